r"""Two-dimensional convolution, strided and dilated, and its gradients.

For an input x of shape (N, H, W, C) and a kernel w of shape (K, K, C, O) with K odd,

    y[n, i, j, o] = b[o] + sum_{u,v,c} x_pad[n, s i + d u, s j + d v, c] w[u, v, c, o]

where s is the stride, d the dilation and x_pad is x with p = d (K - 1) / 2 zeros on every side, so
that y is (N, ceil(H / s), ceil(W / s), O). Writing each window of x_pad as one row of a matrix A
(:func:`im2col`) makes the convolution a matrix product, and its gradients two more:

    y = A w + b,    dw = A^T dy,    db = sum dy,    dx = col2im(dy w^T)

where :func:`col2im` is the adjoint of im2col (it adds what overlaps), not its inverse.

Each function exists in two forms. The plain one (``conv2d_forward_plain`` and its gradients) is
these formulas word for word. The one to use computes the same products in tiles: the matrix A is
K * K times as large as the input, and built whole it travels to main memory and back, which costs
more than the arithmetic; built a few rows at a time it stays in a core's cache
(:func:`ums.backend.tiles`), and every thread multiplies its own tiles. Where there are many channels
and no stride, :mod:`ums.ops.winograd` needs a quarter of the multiplications.
"""

from __future__ import annotations

from functools import reduce
from itertools import groupby
from operator import iadd
from types import ModuleType

import numpy as np

from ums.backend import Array, array_module, parallel_for, scratch, tiles
from ums.ops import winograd
from ums.ops.padding import padded_rows
from ums.ops.sums import channel_sums


def im2col(x: Array, kernel: int, stride: int = 1, dilation: int = 1) -> Array:
    """Every window the kernel sees, side by side: (N, H, W, C) -> (N, OH, OW, K, K, C)."""
    xp = array_module(x)
    N, H, W, C = x.shape
    OH, OW = -(-H // stride), -(-W // stride)
    p = dilation * (kernel - 1) // 2
    x_pad = xp.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))  # (N, H + 2p, W + 2p, C)
    A = xp.empty((N, OH, OW, kernel, kernel, C), x.dtype)
    A[...] = _windows(x_pad, kernel, OH, OW, stride, dilation)
    return A


def col2im(
    columns: Array, shape: tuple[int, int, int, int], stride: int = 1, dilation: int = 1
) -> Array:
    """Add every window back to where it came from: (N, OH, OW, K, K, C) -> ``shape``.

    The adjoint of :func:`im2col`: <im2col(x), a> = <x, col2im(a)> for all x and a.
    """
    xp = array_module(columns)
    N, H, W, C = shape
    K = columns.shape[3]
    p = dilation * (K - 1) // 2
    x_pad = xp.zeros((N, H + 2 * p, W + 2 * p, C), columns.dtype)
    _add_windows(x_pad, columns, stride, dilation)
    return x_pad[:, p : p + H, p : p + W]


# ------------------------------------------------------------------------ the plain form


def conv2d_forward_plain(
    x: Array, w: Array, b: Array, stride: int = 1, dilation: int = 1
) -> tuple[Array, tuple]:
    """:func:`conv2d_forward` as one matrix product over the whole batch."""
    check_conv2d(x, w, b, stride, dilation)
    K, _, C, O = w.shape
    A = im2col(x, K, stride, dilation)  # (N, OH, OW, K, K, C)
    N, OH, OW = A.shape[:3]
    y = A.reshape(N * OH * OW, K * K * C) @ w.reshape(K * K * C, O) + b
    return y.reshape(N, OH, OW, O), (x, w, stride, dilation)


def conv2d_grad_weights_plain(dy: Array, cache: tuple) -> tuple[Array, Array]:
    """:func:`conv2d_grad_weights` as one matrix product over the whole batch."""
    x, w, stride, dilation = cache
    K, _, C, O = w.shape
    A = im2col(x, K, stride, dilation).reshape(-1, K * K * C)
    dy = dy.reshape(-1, O)
    return (A.T @ dy).reshape(w.shape), dy.sum(axis=0)


def conv2d_grad_input_plain(dy: Array, cache: tuple) -> Array:
    """:func:`conv2d_grad_input` as one matrix product over the whole batch."""
    x, w, stride, dilation = cache
    K, _, C, O = w.shape
    N, OH, OW, _ = dy.shape
    dA = dy.reshape(-1, O) @ w.reshape(K * K * C, O).T
    return col2im(dA.reshape(N, OH, OW, K, K, C), x.shape, stride, dilation)


# ------------------------------------------------------------------------ the form to use


def conv2d_forward(
    x: Array, w: Array, b: Array, stride: int = 1, dilation: int = 1
) -> tuple[Array, tuple]:
    """y = w * x + b, for x (N, H, W, C), w (K, K, C, O) and b (O,).

    Returns:
        y (N, ceil(H / stride), ceil(W / stride), O), and the cache for the gradients.

    Raises:
        ValueError: shapes that do not fit each other, an even kernel, a stride or dilation < 1.
        TypeError: x, w and b are not of one dtype.
    """
    check_conv2d(x, w, b, stride, dilation)
    return _convolve(x, w, b, stride, dilation), (x, w, stride, dilation)


def conv2d_grad_weights(dy: Array, cache: tuple) -> tuple[Array, Array]:
    """(dw, db) alone, for a layer whose input needs no gradient: dw = A^T dy, db = sum dy."""
    _check_upstream(dy, cache)
    x, w, stride, dilation = cache
    xp = array_module(dy)
    if xp is np and winograd.pays(x.shape, w.shape, stride, dilation):
        return winograd.grad_weights(x, dy, dilation)
    O = w.shape[3]
    work_list = _tiles(dy.shape, w, xp)

    def work(start, stop):
        dw, db = xp.zeros((w.size // O, O), w.dtype), xp.zeros(O, w.dtype)
        for images, top, bottom in work_list[start:stop]:
            A = _columns(x[images], top, bottom, w.shape[0], stride, dilation, xp)
            dy2 = dy[images, top:bottom].reshape(-1, O)
            dw += A.T @ dy2
            db += channel_sums(dy[images, top:bottom])
        return dw, db

    shares = parallel_for(work, len(work_list), xp)
    dw, db = (reduce(iadd, parts) for parts in zip(*shares, strict=True))
    return dw.reshape(w.shape), db


def conv2d_grad_input(dy: Array, cache: tuple) -> Array:
    """dx alone, for a frozen layer.

    With stride 1 the gradient is itself a convolution of dy, with the kernel turned by 180 degrees
    and its channel axes exchanged; otherwise dx = col2im(dy w^T).
    """
    _check_upstream(dy, cache)
    x, w, stride, dilation = cache
    if stride == 1:
        xp = array_module(dy)
        turned = xp.ascontiguousarray(w[::-1, ::-1].swapaxes(2, 3))  # (K, K, O, C)
        return _convolve(dy, turned, None, 1, dilation)
    return _spread(dy, x.shape, w, stride, dilation)


def conv2d_backward(dy: Array, cache: tuple) -> tuple[Array, Array, Array]:
    """The gradients (dx, dw, db) of sum(dy * y), with the shapes of x, w and b."""
    return conv2d_grad_input(dy, cache), *conv2d_grad_weights(dy, cache)


def _convolve(x: Array, w: Array, b: Array | None, stride: int, dilation: int) -> Array:
    """y (N, OH, OW, O), tile by tile."""
    xp = array_module(x)
    if xp is np and winograd.pays(x.shape, w.shape, stride, dilation):
        return winograd.convolve(x, w, b, dilation)
    N, H, W, _ = x.shape
    K, O = w.shape[0], w.shape[3]
    y = xp.empty((N, -(-H // stride), -(-W // stride), O), x.dtype)
    w2 = w.reshape(-1, O)
    work_list = _tiles(y.shape, w, xp)

    def work(start, stop):
        for images, top, bottom in work_list[start:stop]:
            A = _columns(x[images], top, bottom, K, stride, dilation, xp)
            out = y[images, top:bottom].reshape(-1, O)
            xp.matmul(A, w2, out=out)
            if b is not None:
                out += b

    parallel_for(work, len(work_list), xp)
    return y


def _spread(dy: Array, shape: tuple, w: Array, stride: int, dilation: int) -> Array:
    """dx (N, H, W, C) = col2im(dy w^T), tile by tile; a group of images belongs to one thread."""
    xp = array_module(dy)
    _, H, W, C = shape
    OW, O, K = dy.shape[2], dy.shape[3], w.shape[0]
    p = dilation * (K - 1) // 2
    dx = xp.empty(shape, dy.dtype)
    wT = w.reshape(-1, O).T
    groups = [list(g) for _, g in groupby(_tiles(dy.shape, w, xp), lambda tile: tile[0].start)]

    def work(start, stop):
        for group in groups[start:stop]:
            images = group[0][0]
            n = images.stop - images.start
            x_pad = scratch("x_pad", (n, H + 2 * p, W + 2 * p, C), dy.dtype, xp)
            x_pad[...] = 0
            for _, top, bottom in group:
                dy2 = dy[images, top:bottom].reshape(-1, O)
                dA = scratch("columns", (len(dy2), K * K * C), dy.dtype, xp)
                xp.matmul(dy2, wT, out=dA)
                dA = dA.reshape(n, bottom - top, OW, K, K, C)
                _add_windows(x_pad[:, top * stride :], dA, stride, dilation)
            dx[images] = x_pad[:, p : p + H, p : p + W]

    parallel_for(work, len(groups), xp)
    return dx


def _tiles(y_shape: tuple, w: Array, xp: ModuleType) -> list:
    """Tiles of the output (N, OH, OW, O) by the size of their window matrix."""
    N, OH, OW, O = y_shape
    return tiles(N, OH, OW * (w.size // O) * w.dtype.itemsize, xp)


def _columns(
    x: Array, top: int, bottom: int, K: int, stride: int, dilation: int, xp: ModuleType
) -> Array:
    """The windows of output rows top..bottom of images x (n, H, W, C), as rows of a matrix."""
    n, _, W, C = x.shape
    if K == 1 and stride == 1:
        return x[:, top:bottom].reshape(-1, C)
    rows, OW = bottom - top, -(-W // stride)
    p = dilation * (K - 1) // 2
    height = (rows - 1) * stride + 2 * p + 1
    band = padded_rows(x, top * stride - p, height, p, xp)
    A = scratch("columns", (n, rows, OW, K, K, C), x.dtype, xp)
    A[...] = _windows(band, K, rows, OW, stride, dilation)
    return A.reshape(n * rows * OW, K * K * C)


def _windows(x_pad: Array, K: int, OH: int, OW: int, stride: int, dilation: int) -> Array:
    """A view (n, OH, OW, K, K, C) of x_pad: what the kernel meets at each place; to be read only."""
    n, _, _, C = x_pad.shape
    sn, sh, sw, sc = x_pad.strides
    strides = (sn, stride * sh, stride * sw, dilation * sh, dilation * sw, sc)
    as_strided = array_module(x_pad).lib.stride_tricks.as_strided
    return as_strided(x_pad, (n, OH, OW, K, K, C), strides)


def _add_windows(x_pad: Array, dA: Array, stride: int, dilation: int) -> None:
    """Add windows (n, rows, OW, K, K, C) to the padded images they came from.

    One kernel position at a time, because windows overlap; with dilation 1 as many columns of the
    kernel as the stride, which do not, so that longer runs are added.
    """
    _, rows, OW, K, _, _ = dA.shape
    places = _windows(x_pad, K, rows, OW, stride, dilation)
    together = stride if dilation == 1 else 1
    for u in range(K):
        for v in range(0, K, together):
            places[:, :, :, u, v : v + together] += dA[:, :, :, u, v : v + together]


def check_conv2d(x: Array, w: Array, b: Array, stride: int, dilation: int) -> None:
    """Raise a ValueError or TypeError that names the shapes if the arguments do not fit."""
    if x.ndim != 4 or w.ndim != 4 or w.shape[0] != w.shape[1] or x.shape[3] != w.shape[2]:
        raise ValueError(f"x must be (N, H, W, C) and w (K, K, C, O), got {x.shape} and {w.shape}")
    if w.shape[0] % 2 == 0:
        raise ValueError(f"the kernel must have an odd size, got w {w.shape}")
    if b.shape != w.shape[3:]:
        raise ValueError(f"b must be (O,) for w (K, K, C, O), got {b.shape} and {w.shape}")
    if stride < 1 or dilation < 1:
        raise ValueError(f"stride and dilation must be at least 1, got {stride} and {dilation}")
    if not x.dtype == w.dtype == b.dtype:
        raise TypeError(f"x, w and b must share a dtype, got {x.dtype}, {w.dtype} and {b.dtype}")


def _check_upstream(dy: Array, cache: tuple) -> None:
    x, w, stride, _ = cache
    N, H, W, _ = x.shape
    expected = (N, -(-H // stride), -(-W // stride), w.shape[3])
    if dy.shape != expected:
        raise ValueError(f"dy must have the output's shape {expected}, got {dy.shape}")
