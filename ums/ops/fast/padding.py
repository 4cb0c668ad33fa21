"""Zero padding of one band of rows at a time, in memory that is reused."""

from __future__ import annotations

import numpy as np

from ums.backend import Array, array_module
from ums.ops.fast.threads import scratch


def padded_rows(x: Array, first: int, height: int, p: int) -> Array:
    """Rows first..first + height of x (n, H, W, C), zeros where x has none: (n, height, W + 2p, C)."""
    xp = array_module(x)
    n, H, W, C = x.shape
    above, below = max(0, -first), max(0, first + height - H)
    shape = (n, height, W + 2 * p, C)
    if xp is np:
        band = scratch("band", shape, x.dtype)
        band[:, :above] = 0
        band[:, height - below :] = 0
        band[:, :, :p] = 0
        band[:, :, p + W :] = 0
    else:  # on a GPU clearing it all is one kernel, clearing the borders four
        band = xp.zeros(shape, x.dtype)
    band[:, above : height - below, p : p + W] = x[:, first + above : first + height - below]
    return band
