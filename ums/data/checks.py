"""Checks of images, masks and labels where they enter.

A network learns something from any numbers: it trains without complaint on images in 0..1, masks of 0
and 255, or labels that are not classes. All functions return None or raise a ValueError, in one line: what
``name`` (an argument, or the path of a file) must be, what was found, and often what to do.

Shapes and dtypes cost nothing to check, labels and rows little. The values of masks are many and may
be on disk, so they have a function of their own, for those in memory.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

BLACK = 8
"""Images that go no higher are all background: black films, or ones scaled to 0..1."""


def check_images(
    images: Any, name: str = "images", stored: bool = False, entire: bool = False
) -> None:
    """Check that images are (N, H, W) or (N, H, W, C), uint8 or floats of grey levels in 0..255.

    Images in 0..1 would all be black to a network. A float image that goes no higher than ``BLACK``
    is taken for one if its values vary and are not whole; whole numbers may be a dark frame. No
    entire set may end at 1; uint8 is only read for that, and only in memory.

    Args:
        images: Has ``shape`` and ``dtype``, memory-mapped or not.
        name: For the message.
        stored: Whether they must be as a prepared folder stores them: uint8, grey or RGB.
        entire: Whether they are a set, of which a part alone may be dark.
    """
    shape, dtype = _shape_and_dtype(images, name)
    fits = len(shape) == 3 or (len(shape) == 4 and (shape[3] == 3 or not stored))
    if not fits or 0 in shape or not (dtype == np.uint8 or (dtype.kind == "f" and not stored)):
        wanted = "3) uint8" if stored else "C), uint8 or floats in 0..255"
        raise ValueError(f"{name} must be (N, H, W) or (N, H, W, {wanted}, got {shape} {dtype}")
    if dtype != np.uint8:
        _check_grey_levels(images, name, entire)
    elif entire and not isinstance(images, np.memmap) and images.max() == 1:
        raise ValueError(f"{name} must be grey levels in 0..255, got 0 to 1: were they in 0..1?")


def check_masks(masks: Any, shape: Sequence[int] | None = None, name: str = "masks") -> None:
    """Check that masks are uint8 or bool, (N, H, W), and match the ``shape`` of their images if given.

    Their values are not read: see :func:`check_mask_values`.
    """
    found, dtype = _shape_and_dtype(masks, name)
    fits = len(found) == 3 and (shape is None or found == tuple(shape[:3]))
    if not fits or dtype not in (np.uint8, np.bool_):
        wanted = "(N, H, W)" if shape is None else f"{tuple(shape[:3])}, as their images,"
        raise ValueError(f"{name} must be {wanted} uint8 or bool, got {found} {dtype}")


def check_mask_values(masks: np.ndarray, name: str = "masks", classes: int = 2) -> None:
    """Check that masks (uint8 or bool) hold only 0 and 1, or 0 .. classes - 1."""
    if masks.dtype != np.bool_ and masks.size and (high := int(masks.max())) >= classes:
        wanted = "0 and 1" if classes == 2 else f"classes in 0..{classes - 1}"
        advice = "divide by 255, or take masks > 0" if high == 255 else "take one class, masks == 1"
        raise ValueError(f"{name} must be {wanted}, got values up to {high}: {advice}")


def check_numbers(values: Any, name: str = "numbers", binary: bool = False) -> None:
    """Check that numbers (N,) or (N, K) are finite, or NaN where not known, but for no entire row.

    With ``binary`` they must be several labels, each 0 or 1.
    """
    shape, dtype = _shape_and_dtype(values, name)
    if len(shape) not in (1, 2) or 0 in shape or dtype.kind not in "biuf":
        raise ValueError(f"{name} must be numbers (N,) or (N, K), got {shape} {dtype}")
    unknown = np.isnan(values)
    if len(empty := np.flatnonzero(unknown.reshape(len(values), -1).all(axis=1))):
        raise ValueError(f"{name} must be known in part, got only NaN in example {empty[0]}")
    known = values[~unknown]
    wrong = known[~(np.isin(known, (0, 1)) if binary else np.isfinite(known))]
    if len(wrong):
        found = f"got {wrong.min():g} to {wrong.max():g}"
        raise ValueError(f"{name} must be {'0, 1' if binary else 'finite'} or NaN, {found}")


def check_labels(labels: Any, name: str = "labels", classes: int | None = None) -> None:
    """Check that labels are integers (N,) from 0, and below ``classes`` if that is given."""
    low, high = _integer_range(labels, name)
    if low < 0:
        raise ValueError(f"{name} must be classes from 0, got {low}")
    if classes is not None and high >= classes:
        raise ValueError(f"{name} must be classes in 0..{classes - 1}, got {high}")


def check_rows(rows: Any, count: int, name: str = "rows") -> None:
    """Check that rows are integers (N,), one or more, in 0..count - 1."""
    low, high = _integer_range(rows, name)
    if low < 0 or high >= count:
        raise ValueError(f"{name} must be in 0..{count - 1}, got {low} to {high}")


def _check_grey_levels(images: np.ndarray, name: str, entire: bool) -> None:
    highs = images.max(axis=tuple(range(1, images.ndim)))
    low, high, advice = float(images.min()), float(highs.max()), ""
    if 0 <= low and high <= 255:  # nor is "not a number" in 0..255
        dark = (k for k in np.flatnonzero(highs <= BLACK) if (images[k] % 1).any())
        scaled = (k for k in dark if high <= 1 or images[k].min() < highs[k])
        first = next(scaled, None)
        if first is None and not (entire and 0 < high <= 1):
            return
        if first is not None and high > 1:
            low, high = float(images[first].min()), float(highs[first])
            advice = f" in image {first}"
        advice += ": multiply images in 0..1 by 255"
    raise ValueError(f"{name} must be grey levels in 0..255, got {low:g} to {high:g}{advice}")


def _integer_range(array: Any, name: str) -> tuple[int, int]:
    shape, dtype = _shape_and_dtype(array, name)
    if len(shape) != 1 or dtype.kind not in "iu" or shape == (0,):
        raise ValueError(f"{name} must be integers (N,), one or more, got {shape} {dtype}")
    return int(array.min()), int(array.max())


def _shape_and_dtype(array: Any, name: str) -> tuple[tuple[int, ...], np.dtype]:
    try:
        return tuple(array.shape), np.dtype(array.dtype)
    except (AttributeError, TypeError):
        raise ValueError(f"{name} must be a NumPy array, got {type(array).__name__}") from None
