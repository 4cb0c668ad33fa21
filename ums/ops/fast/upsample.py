r"""Upsampling by two folded into the 3x3 convolution that follows it: the form that runs.

Output pixel (2i + p, 2j + q) of the two ops of :mod:`ums.ops.upsample` sees only a 2x2 square of
the small image, because two of its three rows (and columns) fall on the same source row. With the
rows of w that coincide added up, the two ops become four 2x2 convolutions on the small image, one
per phase (p, q):

    phase p = 0 sees rows i - 1, i   with  w[0], w[1] + w[2]
    phase p = 1 sees rows i, i + 1   with  w[0] + w[1], w[2]

and likewise for columns. Zero padding of the large image by one is zero padding of the small one by
one, so the borders agree too. That is 4/9 of the multiply-adds, on a window matrix 1/9 as large.

All 2x2 windows of the padded small image are the rows (a, b), a = 0..H and b = 0..W, of a matrix A,
and the four kernels stand side by side in V (4C, 4O). A window's four phases lie in one 2x2 square
of the output, rows 2a - 1 and 2a, columns 2b - 1 and 2b (on the border, what of it there is), so
that A V holds whole squares.

The arguments have been checked by the functions of the same names in :mod:`ums.ops.upsample`.
"""

from collections.abc import Callable
from types import ModuleType

import numpy as np

from ums.backend import Array, array_module, fused
from ums.ops.fast import gpu, products
from ums.ops.fast.rows import (
    add_up,
    along_rows,
    channel_sums,
    padded_rows,
    transposed_product,
)
from ums.ops.fast.threads import by_images, for_each, for_rows, parallel_for, scratch, tiles

WINDOWS, SQUARES = gpu.How(2, 1, 1, 1, 1), gpu.How(2, 2, 1, 1, 1)
"""How the 2x2 windows of the small image and the 2x2 squares of the large one lie, for ``gpu``."""


def fold_kernel(w: Array) -> Array:
    """The phase kernels V (4C, 4O) of w (3, 3, C, O): rows (s, t, c), columns (r, q, o).

    (s, t) is the place in the 2x2 window, (r, q) that in the 2x2 square of the output.
    """
    _, _, C, O = w.shape
    if gpu.has_kernels(array_module(w)):
        return gpu.fold_kernel(w)
    V = array_module(w).empty((2, 2, C, 2, 2, O), w.dtype)
    phases = V.transpose(4, 1, 3, 0, 2, 5)  # (q, t, r, s, c, o)

    def work(first: int, last: int) -> None:
        part = w[:, :, first:last]
        rows = array_module(w).empty((2, 2, *part.shape[1:]), w.dtype)
        _fold(*part, *rows[0], *rows[1])  # (r, s, v, c, o)
        there = phases[..., first:last, :]
        _fold(*rows.transpose(2, 0, 1, 3, 4), *there[0], *there[1])

    _for_channels(work, w)
    return V.reshape(4 * C, 4 * O)


def unfold_kernel(dV: Array, shape: tuple[int, int, int, int]) -> Array:
    """dw (3, 3, C, O) from dV (4C, 4O): the adjoint of :func:`fold_kernel`."""
    _, _, C, O = shape
    if gpu.has_kernels(array_module(dV)):
        return gpu.unfold_kernel(dV, shape)
    dV = dV.reshape(2, 2, C, 2, 2, O).transpose(4, 1, 3, 0, 2, 5)  # (q, t, r, s, c, o)
    dw = array_module(dV).empty(shape, dV.dtype)

    def work(first: int, last: int) -> None:
        part = dV[..., first:last, :]
        columns = array_module(dV).empty((3, *part.shape[2:]), dV.dtype)
        _unfold(*part[0], *part[1], *columns)  # (v, r, s, c, o)
        rows = columns.transpose(1, 2, 0, 3, 4)  # (r, s, v, c, o)
        _unfold(*rows[0], *rows[1], *dw[:, :, first:last])

    _for_channels(work, dw)
    return dw


def _for_channels(work: Callable[[int, int], None], w: Array) -> None:
    """``work(first, last)`` for parts of the channels in of a kernel w (3, 3, C, O)."""
    _, _, C, O = w.shape
    if array_module(w) is np:
        for_rows(work, C, 25 * O * w.dtype.itemsize)
    else:
        work(0, C)


@fused
def _fold(
    xp: ModuleType, w0: Array, w1: Array, w2: Array, v00: Array, v01: Array, v10: Array, v11: Array
) -> None:
    """The kernel's rows w_u (...) added up to v_rs (...), by output row r and window row s.

    r = 0 is the upper row of the square, which is phase p = 1; r = 1 the lower one, phase 0.
    """
    v00[...] = w0 + w1
    v01[...] = w2
    v10[...] = w0
    v11[...] = w1 + w2


@fused
def _unfold(
    xp: ModuleType, v00: Array, v01: Array, v10: Array, v11: Array, w0: Array, w1: Array, w2: Array
) -> None:
    """The adjoint of :func:`_fold`."""
    w0[...] = v00 + v10
    w1[...] = v00 + v11
    w2[...] = v01 + v11


def upsample_conv2d_forward(x: Array, w: Array, b: Array) -> tuple[Array, tuple]:
    """y = A V + b, the 2x2 squares that are the rows of A V side by side."""
    xp = array_module(x)
    N, H, W, _ = x.shape
    O = w.shape[3]
    V = fold_kernel(w)
    y = xp.empty((N, 2 * H, 2 * W, O), x.dtype)

    def work(images: slice, top: int, bottom: int) -> None:
        A = _windows(x[images], top, bottom)
        AV = scratch("squares", (len(A), 4 * O), x.dtype, xp)
        products.matmul(A, V, out=AV)
        squares = AV.reshape(-1, bottom - top, W + 1, 2, 2, O)
        band = scratch("band", (len(squares), bottom - top, 2, W + 1, 2, O), x.dtype, xp)
        band[...] = squares.swapaxes(2, 3)
        band = band.reshape(len(squares), -1, 2 * W + 2, O)[:, :, 1:-1]
        first = 2 * top - 1  # the row of y that the band begins with: -1 is off the image
        low, high = max(first, 0), min(2 * bottom - 1, 2 * H)
        long_b = along_rows(b, 2 * W).reshape(2 * W, O)  # NumPy adds it in one loop a row
        xp.add(band[:, low - first : high - first], long_b, out=y[images, low:high])

    def work_on_gpu(images: slice, top: int, bottom: int) -> None:
        AV = products.matmul(_windows(x[images], top, bottom), V)
        gpu.add_windows(AV, y[images], top, bottom, SQUARES, b)

    for_each(work_on_gpu if gpu.has_kernels(xp) else work, _tiles(x, O), xp)
    return y, (x, w, V)


def upsample_conv2d_grad_weights(dy: Array, cache: tuple) -> tuple[Array, Array]:
    """(dw, db): with d(AV) gathered from dy, dV = A^T d(AV), unfolded; db = sum dy."""
    x, w, _ = cache
    xp = array_module(x)
    O = w.shape[3]
    W = x.shape[2]
    work_list = _tiles(x, O)

    def product(images: slice, top: int, bottom: int) -> tuple[Array, Array]:
        dAV = _gather(dy, images, top, bottom)
        dV = transposed_product(_windows(x[images], top, bottom), dAV)
        return dV, channel_sums(dAV.reshape(-1, W + 1, 4 * O))

    def work(start: int, stop: int) -> list[Array]:
        return add_up(product(*tile) for tile in work_list[start:stop])

    if not work_list:
        return xp.zeros(w.shape, w.dtype), xp.zeros(O, w.dtype)
    dV, db = add_up(parallel_for(work, len(work_list), xp))
    db = db.reshape(4, O).sum(axis=0)
    return unfold_kernel(dV, w.shape).astype(w.dtype, copy=False), db.astype(w.dtype, copy=False)


def upsample_conv2d_grad_input(dy: Array, cache: tuple) -> Array:
    """dx (N, H, W, C): each 2x2 window's dA = d(AV) V^T, added up where it came from."""
    x, w, V = cache
    xp = array_module(x)
    _, H, W, C = x.shape
    VT = V.T
    dx = xp.empty(x.shape, dy.dtype)

    def work(images: slice, bands: list) -> None:
        n = images.stop - images.start
        x_pad = scratch("x_pad", (n, H + 2, W + 2, C), dy.dtype, xp)
        x_pad[...] = 0
        for top, bottom in bands:
            dAV = _gather(dy, images, top, bottom)
            dA = scratch("columns", (len(dAV), 4 * C), dy.dtype, xp)
            products.matmul(dAV, VT, out=dA)
            dA = dA.reshape(n, bottom - top, W + 1, 2, 2, C)
            for s, t in np.ndindex(2, 2):
                x_pad[:, top + s : bottom + s, t : t + W + 1] += dA[:, :, :, s, t]
        dx[images] = x_pad[:, 1:-1, 1:-1]

    def work_on_gpu(images: slice, bands: list) -> None:
        for top, bottom in bands:
            dA = products.matmul(_gather(dy, images, top, bottom), VT)
            gpu.add_windows(dA, dx[images], top, bottom, WINDOWS)

    by_device = work_on_gpu if gpu.has_kernels(xp) else work
    for_each(by_device, by_images(_tiles(x, w.shape[3])), xp)
    return dx


def _tiles(x: Array, O: int) -> list:
    """Tiles of the H + 1 rows of windows of x (N, H, W, C), by the size of A and AV together."""
    N, H, W, C = x.shape
    return tiles(N, H + 1, (W + 1) * 4 * (C + O) * x.dtype.itemsize, array_module(x))


def _windows(x: Array, top: int, bottom: int) -> Array:
    """A: the windows (a, b), top <= a < bottom and b = 0..W, of x (n, H, W, C) padded by one."""
    xp = array_module(x)
    n, _, W, C = x.shape
    rows = bottom - top
    if gpu.has_kernels(xp):
        return gpu.windows(x, top, bottom, W + 1, WINDOWS)
    band = padded_rows(x, top - 1, rows + 1, 1)
    A = scratch("columns", (n, rows, W + 1, 2, 2 * C), x.dtype, xp)
    for s in (0, 1):  # a row of the window is 2C numbers side by side
        shape = (n, rows, W + 1, 2 * C)
        A[:, :, :, s] = xp.lib.stride_tricks.as_strided(band[:, s:], shape, band.strides)
    return A.reshape(-1, 4 * C)


def _gather(dy: Array, images: slice, top: int, bottom: int) -> Array:
    """d(AV): the gradient of every pixel where the matrix AV holds it, zero off the image."""
    _, _, W2, O = dy.shape
    n, rows, columns = images.stop - images.start, bottom - top, W2 // 2 + 1
    if gpu.has_kernels(array_module(dy)):
        return gpu.windows(dy[images], top, bottom, columns, SQUARES)
    band = padded_rows(dy[images], 2 * top - 1, 2 * rows, 1)
    dAV = scratch("squares", (n, rows, columns, 2, 2, O), dy.dtype, array_module(dy))
    dAV[...] = band.reshape(n, rows, 2, columns, 2, O).swapaxes(2, 3)
    return dAV.reshape(-1, 4 * O)
