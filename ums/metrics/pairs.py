"""The shapes that the measures accept: one number per case, one image, or a batch of images."""

import numpy as np
from numpy.typing import ArrayLike, DTypeLike


def vector(values: ArrayLike, name: str, dtype: DTypeLike | None = None) -> np.ndarray:
    """Return values as a non-empty array (N,); a ValueError gives their ``name`` and shape."""
    array = np.asarray(values, dtype)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} must be a non-empty array (N,), got shape {array.shape}")
    return array


def paired_batches(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return an image or a batch and its counterpart, both as (N, H, W).

    Raises:
        ValueError: The shapes differ, or are neither (H, W) nor (N, H, W); names both. An image with
            its channels, (H, W, 1) or (H, W, 3), is not taken for H images.
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or first.ndim not in (2, 3) or first.size == 0:
        raise ValueError(
            "expected two non-empty arrays of one shape, (H, W) or (N, H, W); "
            f"got {first.shape} and {second.shape}"
        )
    if first.ndim == 3 and first.shape[2] in (1, 3, 4) and min(first.shape[:2]) > 4:
        raise ValueError(
            f"expected (H, W) or (N, H, W), got {first.shape}, whose last axis is one of channels"
        )
    return (first[None], second[None]) if first.ndim == 2 else (first, second)


def like_input(values: np.ndarray, given: np.ndarray) -> np.ndarray | float:
    """Return the values (N,) of a batch, or a float if one image (H, W) was given."""
    return float(values[0]) if np.ndim(given) == 2 else values
