"""One image or a batch of them, and its counterpart: the shapes every per-image measure accepts."""

import numpy as np


def paired_batches(first, second):
    """Return both arrays as (N, H, W), checked to belong together.

    Raises `ValueError` naming both shapes if they differ or are neither (H, W) nor (N, H, W).
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


def like_input(values, given):
    """Return (N,) values for a batch, a plain float where one (H, W) image was given."""
    return float(values[0]) if np.ndim(given) == 2 else values
