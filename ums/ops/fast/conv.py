"""The convolution of :mod:`ums.ops.conv` in tiles: the form that runs.

The matrix A of all windows is K * K times as large as the input. Built whole it travels to main
memory and back, which costs more than the arithmetic; built a few rows at a time it stays in a
core's cache (:func:`ums.ops.fast.threads.tiles`), and every thread multiplies its own tiles. Where
there are many channels and no stride, :mod:`ums.ops.fast.winograd` needs a quarter of the
multiplications.

The arguments have been checked by the functions of the same names in :mod:`ums.ops.conv`.
"""

import numpy as np

from ums.backend import Array, array_module
from ums.ops.arguments import zeros_around
from ums.ops.fast import gpu, products, winograd
from ums.ops.fast.rows import (
    add_up,
    along_rows,
    channel_sums,
    long_rows,
    padded_rows,
    transposed_product,
)
from ums.ops.fast.threads import by_images, for_each, parallel_for, scratch, tiles


def conv2d_forward(
    x: Array,
    w: Array,
    b: Array | None,
    stride: int = 1,
    dilation: int = 1,
    padding: str = "symmetric",
) -> tuple[Array, tuple]:
    """y = A w + b (no b if it is None), tile by tile."""
    xp = array_module(x)
    cache = (x, w, stride, dilation, padding)
    if xp is np and winograd.pays(x.shape, w.shape, stride, dilation):
        return winograd.convolve(x, w, b, dilation), cache
    N, H, W, _ = x.shape
    K, O = w.shape[0], w.shape[3]
    y = xp.empty((N, -(-H // stride), -(-W // stride), O), x.dtype)
    w2 = w.reshape(-1, O)

    def work(images: slice, top: int, bottom: int) -> None:
        A = _columns(x[images], slice(top, bottom), K, stride, dilation, padding)
        out = y[images, top:bottom].reshape(-1, O)
        products.matmul(A, w2, out=out)
        if b is not None and gpu.has_kernels(xp):
            gpu.affine(out, None, None, None, b, out)
        elif b is not None:
            rows, OW = long_rows(y[images, top:bottom])
            rows += along_rows(b, OW)

    for_each(work, _tiles(y.shape, w), xp)
    return y, cache


def conv2d_grad_weights(dy: Array, cache: tuple) -> tuple[Array, Array]:
    """(dw, db): every thread adds up the products A^T dy of its tiles."""
    x, w, stride, dilation, padding = cache
    xp = array_module(dy)
    if xp is np and winograd.pays(x.shape, w.shape, stride, dilation):
        return winograd.grad_weights(x, dy, dilation)
    O = w.shape[3]
    work_list = _tiles(dy.shape, w)

    def product(images: slice, top: int, bottom: int) -> tuple[Array, Array]:
        A = _columns(x[images], slice(top, bottom), w.shape[0], stride, dilation, padding)
        out = dy[images, top:bottom]
        return transposed_product(A, out.reshape(-1, O)), channel_sums(out)

    def work(start: int, stop: int) -> list[Array]:
        return add_up(product(*tile) for tile in work_list[start:stop])

    if not work_list:
        return xp.zeros(w.shape, w.dtype), xp.zeros(O, w.dtype)
    dw, db = add_up(parallel_for(work, len(work_list), xp))
    return dw.reshape(w.shape).astype(w.dtype, copy=False), db.astype(w.dtype, copy=False)


def conv2d_grad_input(dy: Array, cache: tuple) -> Array:
    """dx.

    With stride 1 the gradient is itself a convolution of dy, with the kernel turned by 180 degrees
    and its channel axes exchanged; otherwise, and where the image is smaller than that kernel,
    dx = col2im(dy w^T).
    """
    x, w, stride, dilation, padding = cache
    xp = array_module(dy)
    if stride == 1 and (x.size + dy.size > w.size or xp is not np):
        turned = xp.ascontiguousarray(w[::-1, ::-1].swapaxes(2, 3))  # (K, K, O, C)
        return conv2d_forward(dy, turned, None, 1, dilation)[0]
    return _spread(dy, x.shape, w, stride, dilation, padding)


def _spread(dy: Array, shape: tuple, w: Array, stride: int, dilation: int, padding: str) -> Array:
    """dx (N, H, W, C) = col2im(dy w^T), tile by tile; an image belongs to one thread."""
    xp = array_module(dy)
    _, H, W, C = shape
    OW, O, K = dy.shape[2], dy.shape[3], w.shape[0]
    p = dilation * (K - 1) // 2
    (above, _), (left, _) = (zeros_around(side, K, stride, dilation, padding) for side in (H, W))
    dx = xp.empty(shape, dy.dtype)
    wT = w.reshape(-1, O).T

    def work(images: slice, bands: list) -> None:
        n = images.stop - images.start
        x_pad = scratch("x_pad", (n, H + 2 * p, W + 2 * p, C), dy.dtype, xp)
        x_pad[...] = 0
        for top, bottom in bands:
            dy2 = dy[images, top:bottom].reshape(-1, O)
            dA = scratch("columns", (len(dy2), K * K * C), dy.dtype, xp)
            products.matmul(dy2, wT, out=dA)
            dA = dA.reshape(n, bottom - top, OW, K, K, C)
            places = x_pad[:, p - above + top * stride :, p - left :]
            _add_windows(places, dA, stride, dilation)
        dx[images] = x_pad[:, p : p + H, p : p + W]

    def work_on_gpu(images: slice, bands: list) -> None:
        for top, bottom in bands:
            dA = products.matmul(dy[images, top:bottom].reshape(-1, O), wT)
            gpu.add_windows(dA, dx[images], top, bottom, gpu.How(K, stride, dilation, above, left))

    by_device = work_on_gpu if gpu.has_kernels(xp) else work
    for_each(by_device, by_images(_tiles(dy.shape, w)), xp)
    return dx


def _tiles(y_shape: tuple, w: Array) -> list:
    """Tiles of the output (N, OH, OW, O) by the size of their window matrix."""
    N, OH, OW, O = y_shape
    return tiles(N, OH, OW * (w.size // O) * w.dtype.itemsize, array_module(w))


def _columns(x: Array, band: slice, K: int, stride: int, dilation: int, padding: str) -> Array:
    """The windows of a band of output rows of images x (n, H, W, C), as rows of a matrix."""
    n, H, W, C = x.shape
    if K == 1 and stride == 1:
        return x[:, band].reshape(-1, C)
    rows, OW = band.stop - band.start, -(-W // stride)
    p = dilation * (K - 1) // 2
    (above, _), (left, _) = (zeros_around(side, K, stride, dilation, padding) for side in (H, W))
    if gpu.has_kernels(array_module(x)):
        how = gpu.How(K, stride, dilation, above, left)
        return gpu.windows(x, band.start, band.stop, OW, how)
    first, height = band.start * stride - above, (rows - 1) * stride + 2 * p + 1
    x_pad = padded_rows(x, first, height, p)[:, :, p - left :]
    A = scratch("columns", (n, rows, OW, K, K, C), x.dtype, array_module(x))
    A[...] = _windows(x_pad, K, rows, OW, stride, dilation)
    return A.reshape(n * rows * OW, K * K * C)


def _windows(x_pad: Array, K: int, OH: int, OW: int, stride: int, dilation: int) -> Array:
    """A view (n, OH, OW, K, K, C) of x_pad: what the kernel sees at each place."""
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
