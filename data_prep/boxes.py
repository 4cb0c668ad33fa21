"""Boxes around a disease, as masks."""

from collections.abc import Sequence

import numpy as np

from data_prep.listing import Item

Box = tuple[float, float, float, float]


def check_within(item: Item, shape: tuple[int, int]) -> None:
    """Check that the boxes of ``item`` are within its image of ``shape`` (height, width).

    One pixel too many is allowed: some tables count from 1.

    Raises:
        ValueError: A box is not; names it.
    """
    height, width = shape
    for x, y, w, h in item.boxes:
        if x >= width or y >= height or x + w > width + 1 or y + h > height + 1:
            box = f"{x, y, w, h} (x, y, width, height)"
            raise ValueError(f"the box {box} leaves its {width} x {height} pixels")


class Boxes:
    """Masks (N, size, size) uint8 that are 1 in the boxes of each image, drawn when they are read.

    It replaces an array where only slices are read, as in :func:`data_prep.writing.save_prepared`.

    Args:
        boxes: For each of N images, any number of (x, y, width, height) in pixels of the original.
        shapes: (height, width) of each original.
        size: Side of the masks in pixels.
    """

    dtype, ndim = np.dtype(np.uint8), 3

    def __init__(
        self, boxes: Sequence[Sequence[Box]], shapes: Sequence[tuple[int, int]], size: int
    ) -> None:
        self.boxes, self.shapes = boxes, shapes
        self.shape = (len(boxes), size, size)
        self.size = len(boxes) * size**2

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, places: int | slice) -> np.ndarray:
        if not isinstance(places, slice):
            return np.array(self[places : places + 1][0])
        boxes, shapes = self.boxes[places], self.shapes[places]
        masks = np.zeros((len(boxes), *self.shape[1:]), np.uint8)
        for mask, some, (height, width) in zip(masks, boxes, shapes, strict=True):
            scale = np.array([self.shape[2] / width, self.shape[1] / height])
            for box in some:
                corner = np.array(box[:2])
                start = np.rint(np.maximum(corner, 0) * scale).astype(int)
                left, top = np.minimum(start, self.shape[2] - 1)
                right, bottom = np.rint((corner + box[2:]) * scale).astype(int)
                # A box thinner than a pixel still marks one, also at the edge.
                mask[top : max(bottom, top + 1), left : max(right, left + 1)] = 1
        return masks
