"""Where the film is in an image: hospitals leave different borders around it."""

from __future__ import annotations

import cv2
import numpy as np

from ums.data.normalisation import BACKGROUND

LEAST = 0.2
"""A row or column with a smaller share of exposed pixels is border, perhaps with writing on it."""


def foreground_box(image: np.ndarray, background: int = BACKGROUND) -> tuple[int, int, int, int]:
    """Top, bottom, left and right (the second of each exclusive) of the film in an image (H, W).

    The whole image, where no row or no column is exposed.
    """
    foreground = image > background
    ends = []
    for along in (1, 0):
        lines = np.flatnonzero(foreground.mean(axis=along) >= LEAST)
        ends += (
            [int(lines[0]), int(lines[-1]) + 1] if len(lines) else [0, foreground.shape[1 - along]]
        )
    return tuple(ends)


def crop_to_foreground(
    images: np.ndarray, *masks: np.ndarray | None, background: int = BACKGROUND
) -> tuple[np.ndarray | None, ...]:
    """Images (N, H, W) uint8 with the film enlarged to fill them, and masks (N, H, W) with them.

    Bicubic for images, nearest for masks; a mask that is None stays so. The film's proportions are
    not kept.
    """
    results = [None if a is None else np.array(a) for a in (images, *masks)]
    H, W = images.shape[1:]
    for k in range(len(images)):
        top, bottom, left, right = foreground_box(images[k], background)
        for array, method in zip(
            results, (cv2.INTER_CUBIC, *(cv2.INTER_NEAREST for _ in masks)), strict=True
        ):
            if array is not None:
                array[k] = cv2.resize(
                    array[k, top:bottom, left:right], (W, H), interpolation=method
                )
    return tuple(results)
