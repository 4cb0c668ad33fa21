"""Bring an image or a mask to one size."""

from itertools import pairwise

import cv2
import numpy as np


def resize_image(image: np.ndarray, size: int) -> np.ndarray:
    """Resize (H, W) or (H, W, 3) uint8 to size x size, bicubic as in UMS-Rep, section 3.1.1."""
    height, width = image.shape[:2]
    # The cubic looks at 4 x 4 pixels only: in a film of 4,000 pixels it would pick single grains,
    # and fine ribs would alias. Averaging down to twice the size first lets every pixel count.
    if max(height, width) > 2 * size:
        twice = (min(width, 2 * size), min(height, 2 * size))
        image = cv2.resize(image, twice, interpolation=cv2.INTER_AREA)
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC)


def resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Resize (H, W) of 0 and 1 to (size, size) uint8: 1 where most of a pixel was 1."""
    rows = _fewer_rows(mask, size) if min(mask.shape) > size else mask.astype(np.float32)
    share = cv2.resize(rows, (size, size), interpolation=cv2.INTER_AREA)
    # Half is not most, whichever way the fractions were rounded.
    return (share > 0.5 + 1e-5).view(np.uint8)


def _fewer_rows(mask: np.ndarray, size: int) -> np.ndarray:
    """Average ``mask`` (H, W) over each of ``size`` equal bands of rows, (size, W) float32.

    ``cv2.INTER_AREA`` does the same, but column by column: on large films five times as slowly.
    """
    H = len(mask)
    ends = np.arange(size + 1) * (H / size)
    first = np.minimum(ends.astype(int), H - 1)
    whole = [mask[a:b].sum(axis=0, dtype=np.uint16) for a, b in pairwise(first)]
    share = (ends - first).astype(np.float32)[:, None] * mask[first]  # of the row where a band ends
    mean: np.ndarray = (np.float32(whole) + share[1:] - share[:-1]) * np.float32(size / H)
    return mean
