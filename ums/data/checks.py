"""What images, masks and labels must be where they enter, before they become plausible numbers.

A network learns something from any numbers: images in 0..1, masks of 0 and 255 or labels that are no
classes train without complaint. Shapes and dtypes are checked where a set is made and cost nothing;
values are checked where they are read. All functions return None or raise a ValueError in one line:
what ``name`` (an argument, or the path of a file) must be, what was found, and often what to do.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np


def check_images(images: Any, name: str = "images", stored: bool = False) -> None:
    """Images are (N, H, W) or (N, H, W, C), uint8 or floats; their values are not read.

    Args:
        images: Has ``shape`` and ``dtype``, memory-mapped or not.
        name: For the message.
        stored: Whether they must be as a prepared folder stores them: uint8, grey or RGB.
    """
    dtypes, channels = ("uint8", "C = 3") if stored else ("uint8, or floats in 0..255", "C > 0")
    shape, dtype = _shape_and_dtype(images, name)
    fits = len(shape) == 3 or (len(shape) == 4 and (shape[3] == 3 or not stored))
    if not fits or 0 in shape:
        wanted = f"one or more (N, H, W), or (N, H, W, C) with {channels}"
        raise ValueError(f"{name} must be {wanted}, found shape {shape}")
    if dtype != np.uint8 and (stored or dtype.kind != "f"):
        advice = ": divide 16 bits by 257" if dtype == np.uint16 else ""
        raise ValueError(f"{name} must be {dtypes}, found {dtype}{advice}")


def check_grey_levels(images: np.ndarray, name: str = "images") -> None:
    """Floats are grey levels from 0 to 255: those of a batch that end at 1 would all be black.

    uint8 cannot be anything else and is not read. Floats that are 0 everywhere are black.
    """
    if images.dtype == np.uint8 or images.size == 0:
        return
    low, high = float(images.min()), float(images.max())
    if not (0 <= low and high <= 255):  # not a number is neither
        advice = "they are not finite" if not np.isfinite([low, high]).all() else "rescale them"
        raise ValueError(
            f"{name} must be grey levels in 0..255, found {low:g} to {high:g}: {advice}"
        )
    if 0 < high <= 1:
        found = f"found none above {high:g}: multiply images in 0..1 by 255"
        raise ValueError(f"{name} must be grey levels in 0..255, {found}")


def check_masks(masks: Any, shape: Sequence[int] | None = None, name: str = "masks") -> None:
    """Masks are uint8 or bool, and (N, H, W), if given the ``shape`` of their images (N, H, W, ...).

    Their values are not read: see :func:`check_binary`.
    """
    found, dtype = _shape_and_dtype(masks, name)
    if len(found) != 3 or (shape is not None and found != tuple(shape[:3])):
        wanted = "(N, H, W)" if shape is None else f"{tuple(shape[:3])} as their images"
        raise ValueError(f"{name} must be {wanted}, found shape {found}")
    if dtype not in (np.uint8, np.bool_):
        raise ValueError(f"{name} must be uint8 or bool, 0 and 1, found {dtype}: take masks > 0.5")


def check_binary(masks: np.ndarray, name: str = "masks") -> None:
    """Masks (uint8 or bool) hold 0 and 1 alone."""
    if masks.dtype != np.bool_ and masks.size and (high := int(masks.max())) > 1:
        advice = "divide by 255, or take masks > 0" if high == 255 else "take one class, masks == 1"
        raise ValueError(f"{name} must be 0 and 1, found values up to {high}: {advice}")


def check_labels(labels: Any, name: str = "labels", classes: int | None = None) -> None:
    """Labels are integers (N,) from 0, and below ``classes`` if that is given."""
    shape, dtype = _shape_and_dtype(labels, name)
    if len(shape) != 1 or dtype.kind not in "iu":
        raise ValueError(f"{name} must be integers (N,), found {dtype} of shape {shape}")
    if not shape[0]:
        raise ValueError(f"{name} must be integers (N,), found none")
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        advice = ": leave out the images that are not labelled" if low == -1 else ""
        raise ValueError(f"{name} must be classes from 0, found {low}{advice}")
    if classes is not None and high >= classes:
        raise ValueError(f"{name} must be classes in 0..{classes - 1}, found {high}")


def check_rows(rows: Any, count: int, name: str = "rows") -> None:
    """Rows are integers (n,), one or more, in 0..count - 1."""
    shape, dtype = _shape_and_dtype(rows, name)
    if len(shape) != 1 or dtype.kind not in "iu":
        advice = ": take np.flatnonzero of them" if dtype.kind == "b" else ""
        raise ValueError(f"{name} must be integers (n,), found {dtype} of shape {shape}{advice}")
    if not shape[0]:
        raise ValueError(f"{name} must be integers (n,), found none")
    low, high = int(rows.min()), int(rows.max())
    if low < 0 or high >= count:
        raise ValueError(f"{name} must be in 0..{count - 1}, found {low} to {high}")


def _shape_and_dtype(array: Any, name: str) -> tuple[tuple[int, ...], np.dtype]:
    try:
        return tuple(array.shape), np.dtype(array.dtype)
    except (AttributeError, TypeError):
        raise ValueError(f"{name} must be a NumPy array, found {type(array).__name__}") from None
