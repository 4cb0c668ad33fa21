"""One image or a batch of them, and its counterpart: the shapes every per-image measure accepts."""

from __future__ import annotations

import numpy as np


def paired_batches(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return both arrays as (N, H, W), checked to belong together.

    Raises:
        ValueError: the shapes differ, or are neither (H, W) nor (N, H, W); names both.
    """
    first, second = np.asarray(first), np.asarray(second)
    if first.shape != second.shape or first.ndim not in (2, 3) or first.size == 0:
        raise ValueError(
            "expected two non-empty arrays of one shape, (H, W) or (N, H, W); "
            f"got {first.shape} and {second.shape}"
        )
    if first.ndim == 2:
        return first[None], second[None]
    return first, second


def like_input(values: np.ndarray, given: np.ndarray) -> np.ndarray | float:
    """Return the values (N,) of a batch, or a float if one image (H, W) was given."""
    return float(values[0]) if np.ndim(given) == 2 else values
