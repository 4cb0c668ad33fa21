"""Rows of images: zero padding of a band of them, and sums that lose no digits on large maps.

Added one after the other, a million float32 numbers come out up to some per cent wrong: the total
grows until each term is rounded on its way in. On a CPU the sums here are taken by BLAS in blocks of
``BLOCK`` rows, in the arrays' dtype, and the blocks are added in float64, which is the dtype of what
is returned (but a product of few blocks keeps its own). A GPU's threads each add a small part, and
what is returned has the arrays' dtype.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from ums.backend import Array, array_module
from ums.ops.fast import gpu, products
from ums.ops.fast.threads import scratch

BLOCK = 128
"""Rows that are added in the arrays' own dtype: few enough for 7 digits, and enough for speed."""


def padded_rows(x: Array, first: int, height: int, p: int) -> Array:
    """Rows first..first + height of x (n, H, W, C), zeros off the image: (n, height, W + 2p, C)."""
    n, H, W, C = x.shape
    above, below = max(0, -first), max(0, first + height - H)
    band = scratch("band", (n, height, W + 2 * p, C), x.dtype, array_module(x))
    band[:, :above] = band[:, height - below :] = 0
    band[:, :, :p] = band[:, :, p + W :] = 0
    band[:, above : height - below, p : p + W] = x[:, first + above : first + height - below]
    return band


def long_rows(x: Array) -> tuple[Array, int]:
    """x (..., W, C) as rows of W C numbers, and W: one long inner loop instead of W short ones."""
    W = x.shape[-2] if x.ndim > 2 and x.size else 1
    return x.reshape(-1, W * x.shape[-1]), W


def along_rows(values: Array, W: int) -> Array:
    """Values of the channels (C,) along a long row: (W C,)."""
    return values[None].repeat(W, axis=0).reshape(-1)


def per_channel(row_sums: Array, W: int) -> Array:
    """Sums over long rows (W C,) as sums over pixels (C,)."""
    return row_sums.reshape(W, -1).sum(axis=0)


def add_up(shares: Iterable[Sequence[Array]]) -> list[Array]:
    """The sums of the arrays of all shares, place by place; [] if there are none. On a CPU in float64."""
    total: list[Array] = []
    for share in filter(None, shares):
        if not total:
            total = list(share)
            continue
        if array_module(total[0]) is np:
            total = [array.astype(np.float64, copy=False) for array in total]
        for array, other in zip(total, share, strict=True):
            array += other
    return total


def column_sums(x: Array) -> Array:
    """The sums of the columns: (..., M, L) -> (..., L)."""
    if array_module(x) is not np:
        return x.sum(axis=-2)
    *others, M, L = x.shape
    if M <= BLOCK:
        return (np.ones(M, x.dtype) @ x).astype(np.float64)
    blocks, ones = M // BLOCK, np.ones(BLOCK, x.dtype)
    whole, rest = x[..., : blocks * BLOCK, :], x[..., blocks * BLOCK :, :]
    sums = ones @ whole.reshape(*others, blocks, BLOCK, L)
    return sums.sum(axis=-2, dtype=np.float64) + ones[: rest.shape[-2]] @ rest


def transposed_product(a: Array, b: Array) -> Array:
    """a^T b, a sum over many rows: (M, P), (M, Q) -> (P, Q)."""
    (M, P), Q = a.shape, b.shape[1]
    if array_module(a) is not np or M <= BLOCK:
        return products.matmul(a.T, b)
    if M <= 8 * BLOCK and P * Q >= 1 << 15:  # so few that their sum keeps its digits
        total, product = a[:BLOCK].T @ b[:BLOCK], scratch("product", (P, Q), a.dtype)
        for top in range(BLOCK, M, BLOCK):
            total += np.matmul(a[top : top + BLOCK].T, b[top : top + BLOCK], out=product)
        return total
    whole, total = M - M % BLOCK, np.zeros((P, Q))
    step = BLOCK * min(32, max(8, (1 << 17) // max(1, P * Q)))  # some blocks at a time (measured)
    for top in range(0, whole, step):
        A, B = (x[top : min(top + step, whole)].reshape(-1, BLOCK, x.shape[1]) for x in (a, b))
        total += (A.swapaxes(1, 2) @ B).sum(axis=0)
    total += a[whole:].T @ b[whole:]
    return total


def channel_sums(x: Array) -> Array:
    """The sum of x (..., W, C) over all but C: (C,).

    Where there are neither NumPy nor kernels, long rows are added first: they keep more threads busy.
    """
    xp = array_module(x)
    if xp is np:
        return column_sums(x.reshape(-1, x.shape[-1]))
    if gpu.has_kernels(xp) and x.size:
        return gpu.channel_sums(x)
    rows, W = long_rows(x)
    return per_channel(rows.sum(axis=0), W)
