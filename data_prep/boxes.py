"""Boxes around a disease, as masks."""

import numpy as np


class Boxes:
    """Masks (N, size, size) uint8, 1 in the boxes of each image, drawn when they are asked for.

    boxes: for each of N images any number of (x, y, width, height) in pixels of the original;
    shapes: (height, width) of each original. Stands for an array in `save_prepared`.
    """

    dtype, ndim = np.dtype(np.uint8), 3

    def __init__(self, boxes, shapes, size):
        self.boxes, self.shapes = boxes, shapes
        self.shape = (len(boxes), size, size)
        self.size = len(boxes) * size**2

    def __len__(self):
        return len(self.boxes)

    def __getitem__(self, places):
        if not isinstance(places, slice):
            return self[places : places + 1][0]
        boxes, shapes = self.boxes[places], self.shapes[places]
        masks = np.zeros((len(boxes), *self.shape[1:]), np.uint8)
        for mask, some, (height, width) in zip(masks, boxes, shapes, strict=True):
            scale = np.array([self.shape[2] / width, self.shape[1] / height])
            for box in some:
                corner = np.array(box[:2])
                left, top = np.rint(np.maximum(corner, 0) * scale).astype(int)
                right, bottom = np.rint((corner + box[2:]) * scale).astype(int)
                # A box thinner than a pixel still marks one.
                mask[top : max(bottom, top + 1), left : max(right, left + 1)] = 1
        return masks
