"""Cropping images to their foreground: hospitals leave different borders around it."""

from typing import Any

import cv2
import numpy as np

from ums.data.checks import check_images, check_masks
from ums.data.normalisation import BACKGROUND

LEAST = 0.2
"""A row or column with a smaller share of foreground is border, perhaps with writing on it."""


def foreground_box(image: np.ndarray, background: int = BACKGROUND) -> tuple[int, int, int, int]:
    """Top, bottom, left and right (the second of each exclusive) of an image's foreground (H, W).

    Where no row or no column has enough foreground, its whole extent is taken.
    """
    foreground = image > background
    ends: list[int] = []
    for shares in (foreground.mean(axis=1), foreground.mean(axis=0)):
        lines = np.flatnonzero(shares >= LEAST)
        ends += [int(lines[0]), int(lines[-1]) + 1] if len(lines) else [0, len(shares)]
    top, bottom, left, right = ends
    return top, bottom, left, right


def crop_to_foreground(
    images: np.ndarray, *masks: np.ndarray | None, background: int = BACKGROUND
) -> tuple[Any, ...]:
    """Enlarge the foreground of images (N, H, W) to fill them; proportions are not kept.

    Masks are enlarged with them, by the nearest neighbour where images are interpolated; None stays
    None. Grey levels up to ``background`` are background. Returns copies of all arrays, in order.

    Raises:
        ValueError: The images are not grey, (N, H, W), in 0..255, or the masks do not match them.
    """
    check_images(images)
    if images.ndim != 3:
        raise ValueError(f"images must be grey, (N, H, W), got shape {images.shape}")
    for array in masks:
        if array is not None:
            check_masks(array, images.shape)
    results = [None if a is None else np.array(a) for a in (images, *masks)]
    H, W = images.shape[1:]
    for k in range(len(images)):
        top, bottom, left, right = foreground_box(images[k], background)
        for i, array in enumerate(results):
            if array is not None:
                method = cv2.INTER_NEAREST if i else cv2.INTER_CUBIC
                part = array[k, top:bottom, left:right]
                part = part.view(np.uint8) if part.dtype == bool else part  # OpenCV has no bool
                array[k] = np.clip(cv2.resize(part, (W, H), interpolation=method), 0, 255)
    return tuple(results)
