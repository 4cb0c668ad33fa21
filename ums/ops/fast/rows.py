"""Rows of images: zero padding of a band of them, and sums over everything but channels."""

import numpy as np

from ums.backend import Array, array_module
from ums.ops.fast.threads import scratch


def padded_rows(x: Array, first: int, height: int, p: int) -> Array:
    """Rows first..first + height of x (n, H, W, C), zeros off the image: (n, height, W + 2p, C)."""
    n, H, W, C = x.shape
    above, below = max(0, -first), max(0, first + height - H)
    band = scratch("band", (n, height, W + 2 * p, C), x.dtype, array_module(x))
    band[...] = 0
    band[:, above : height - below, p : p + W] = x[:, first + above : first + height - below]
    return band


def long_rows(x: Array) -> tuple[Array, int]:
    """x (..., W, C) as rows of W C numbers, and W: one long inner loop instead of W short ones."""
    W = x.shape[-2] if x.ndim > 2 else 1
    return x.reshape(-1, W * x.shape[-1]), W


def per_channel(row_sums: Array, W: int) -> Array:
    """Sums over long rows (W C,) as sums over pixels (C,)."""
    return row_sums.reshape(W, -1).sum(axis=0)


def channel_sums(x: Array) -> Array:
    """The sum of x (..., W, C) over all but C: (C,).

    On a CPU it is computed as a product with ones, which BLAS does fastest. A GPU adds up each
    column with its own threads and needs many columns to be busy: there long rows are added first.
    """
    if array_module(x) is np:
        pixels = x.reshape(-1, x.shape[-1])
        return np.ones(len(pixels), x.dtype) @ pixels
    rows, W = long_rows(x)
    return per_channel(rows.sum(axis=0), W)
