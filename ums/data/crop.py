"""Cropping images to their foreground: hospitals leave different borders around it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from ums.data.normalisation import BACKGROUND

LEAST = 0.2
"""A row or column with a smaller share of foreground is border, perhaps with writing on it."""


def foreground_box(image: np.ndarray, background: int = BACKGROUND) -> tuple[int, int, int, int]:
    """Top, bottom, left and right (the second of each exclusive) of an image's foreground (H, W).

    Where no row or no column has enough foreground, its whole extent is taken.
    """
    foreground = image > background
    ends: list[int] = []
    for along in (1, 0):
        lines = np.flatnonzero(foreground.mean(axis=along) >= LEAST)
        ends += (
            [int(lines[0]), int(lines[-1]) + 1] if len(lines) else [0, foreground.shape[1 - along]]
        )
    top, bottom, left, right = ends
    return top, bottom, left, right


def crop_to_foreground(
    images: np.ndarray, *masks: np.ndarray | None, background: int = BACKGROUND
) -> tuple[Any, ...]:
    """Enlarge the foreground of images to fill them, and masks with them; proportions are not kept.

    Args:
        images: (N, H, W) uint8; resized by bicubic interpolation.
        masks: (N, H, W) each, resized to the nearest neighbour; None stays None.
        background: the highest grey level of the background.

    Returns:
        Copies of the images and of each of the masks.
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
