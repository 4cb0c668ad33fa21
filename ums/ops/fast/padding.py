"""Zero padding of one band of rows at a time, in memory that is reused."""

from __future__ import annotations

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
