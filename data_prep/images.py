"""Bring masks to one size; images: :func:`ums.data.resize.resize_image`."""

import cv2
import numpy as np


def resize_mask(mask: np.ndarray, size: int) -> np.ndarray:
    """Resize (H, W) of 0 and 1 to (size, size) uint8: 1 where more than half of a pixel was 1.

    The areas are exact. ``cv2.INTER_AREA`` rounds them, and picks single pixels if an axis grows.
    """
    return np.ascontiguousarray(2 * _areas(mask, size) > mask.size).view(np.uint8)


def resize_classes(mask: np.ndarray, size: int, classes: int) -> np.ndarray:
    """Resize (H, W) of 0 .. classes - 1 to (size, size) uint8: the class of the largest area."""
    return np.argmax([_areas(mask == k, size) for k in range(classes)], axis=0).astype(np.uint8)


def _areas(mask: np.ndarray, size: int) -> np.ndarray:
    area = _at_edges(_at_edges(cv2.integral(np.asarray(mask, np.uint8)), size).T, size).T
    return np.diff(np.diff(area, axis=0), axis=1)


def _at_edges(integral: np.ndarray, size: int) -> np.ndarray:
    """Interpolate (N + 1, M) at the edges of ``size`` equal bands of N rows.

    Between rows, the integral of an image is linear.

    Returns:
        ``size`` times the values, (size + 1, M) int64.
    """
    last = len(integral) - 1
    row, part = np.divmod(np.arange(size + 1, dtype=np.int64) * last, size)
    part = part[:, None]
    edges: np.ndarray = (size - part) * integral[row] + part * integral[np.minimum(row + 1, last)]
    return edges
