r"""Winograd's 3x3 convolution: a quarter of the multiplications (Lavin and Gray 2016).

A 4x4 tile of the output depends on the 6x6 tile d of the padded input around it. Products with
small constant matrices (from the polynomial points 0, 1, -1, 2, -2 and infinity) turn that piece of
convolution into a product element by element:

    y = A^T [ (G w G^T) * (B^T d B) ] A

36 multiplications instead of 16 * 9 = 144. With channels, * becomes 36 matrix products, one for
each place k of the 6x6 tile, over all tiles t at once:

    U = (G (x) G) w          (36, C, O)
    V = (B^T (x) B^T) d      (36, T, C)
    M_k = V_k U_k            (36, T, O)
    y = (A^T (x) A^T) M      (16, T, O)

((x) is the Kronecker product: the two-sided products as one, on tiles written as columns.) All four
are matrix products, so that BLAS does everything. The gradient of the weights is the adjoint,

    dM = (A^T (x) A^T)^T dy,    dU_k = V_k^T dM_k,    dw = (G (x) G)^T dU.

With dilation d, the rows and columns that share a remainder by d are d * d images of their own.
The sums are rounded differently: in float32 the result is off by about ten times what a direct sum
is (near 1e-5 of the largest value).
"""

import numpy as np

from ums.backend import Array, array_module
from ums.ops.fast.rows import add_up, column_sums, padded_rows
from ums.ops.fast.threads import for_each, parallel_for, scratch, tiles

BT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
G = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
AT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]])
AT2, BT2, G2 = (np.kron(matrix, matrix) for matrix in (AT, BT, G))
"""A^T (x) A^T, B^T (x) B^T and G (x) G: (16, 36), (36, 36) and (36, 9)."""

GROUP = 128
"""Tiles computed at once, the rows of each of the 36 products: with fewer the products are slow,
with more they leave the cache."""


def pays(shape: tuple, w_shape: tuple, stride: int, dilation: int) -> bool:
    """Whether this is the faster way to convolve x (N, H, W, C) with w (K, K, C, O) on a CPU.

    Measured: the tiles must fit the image and fill half a group, and there must be so many channels
    that the products outweigh the transformations.
    """
    N, H, W, _ = shape
    K, _, C, O = w_shape
    side = 4 * dilation
    fits = K == 3 and stride == 1 and H % side == 0 and W % side == 0
    return fits and N * H * W // 16 >= GROUP // 2 and min(C, O) >= 32


def convolve(x: Array, w: Array, b: Array | None, dilation: int = 1) -> Array:
    """y (N, H, W, O) of x (N, H, W, C) and w (3, 3, C, O); H and W are multiples of 4 dilation."""
    xp = array_module(x)
    O = w.shape[3]
    y = xp.empty((*x.shape[:3], O), x.dtype)
    U = _transformed_kernel(w)

    def work(images: slice, top: int, bottom: int) -> None:
        V = _transformed_input(x[images], top, bottom, dilation)
        M = scratch("M", (36, V.shape[1], O), x.dtype, xp)
        xp.matmul(V, U, out=M)
        out = scratch("Y", (16, V.shape[1] * O), x.dtype, xp)
        xp.matmul(xp.asarray(AT2, x.dtype), M.reshape(36, -1), out=out)
        there = _output_tiles(y, images, top, bottom, dilation)
        if b is None:
            there[...] = out.reshape(there.shape)
        else:
            xp.add(out.reshape(there.shape), b, out=there)

    for_each(work, _groups(x, dilation), xp)
    return y


def grad_weights(x: Array, dy: Array, dilation: int = 1) -> tuple[Array, Array]:
    """dw (3, 3, C, O) and db (O,) of sum(dy * y) for y = :func:`convolve` of x."""
    xp = array_module(x)
    C, O = x.shape[3], dy.shape[3]
    work_list = _groups(x, dilation)

    def product(images: slice, top: int, bottom: int) -> tuple[Array, Array]:
        V = _transformed_input(x[images], top, bottom, dilation)
        tiles_of_dy = _output_tiles(dy, images, top, bottom, dilation)
        out = scratch("Y", (16, V.shape[1] * O), x.dtype, xp)
        out.reshape(tiles_of_dy.shape)[...] = tiles_of_dy
        dM = scratch("M", (36, V.shape[1] * O), x.dtype, xp)
        xp.matmul(xp.asarray(AT2, x.dtype).T, out, out=dM)
        dU = xp.matmul(V.swapaxes(1, 2), dM.reshape(36, -1, O))  # (36, C, O)
        return dU, column_sums(out.reshape(-1, O))

    def work(start: int, stop: int) -> tuple[Array, Array]:
        dU, db = add_up(product(*group) for group in work_list[start:stop])
        return xp.asarray(G2, dU.dtype).T @ dU.reshape(36, -1), db

    if not work_list:
        return xp.zeros((3, 3, C, O), dy.dtype), xp.zeros(O, dy.dtype)
    dw, db = add_up(parallel_for(work, len(work_list), xp))
    return dw.reshape(3, 3, C, O).astype(dy.dtype, copy=False), db.astype(dy.dtype, copy=False)


def _groups(x: Array, dilation: int) -> list:
    """Groups of whole images, or of rows of tiles of one image."""
    N, H, W, _ = x.shape
    return tiles(N, H // (4 * dilation), W // 4 * dilation, array_module(x), GROUP)


def _transformed_kernel(w: Array) -> Array:
    """U (36, C, O) of w (3, 3, C, O), the channels shared over the threads."""
    xp = array_module(w)
    columns = w.reshape(9, -1)
    U = xp.empty((36, columns.shape[1]), w.dtype)

    def work(start: int, stop: int) -> None:
        xp.matmul(xp.asarray(G2, w.dtype), columns[:, start:stop], out=U[:, start:stop])

    parallel_for(work, columns.shape[1], xp)
    return U.reshape(36, *w.shape[2:])


def _transformed_input(x: Array, top: int, bottom: int, d: int) -> Array:
    """V (36, T, C) of rows top..bottom of tiles of x (n, H, W, C)."""
    xp = array_module(x)
    n, _, W, C = x.shape
    rows, columns = bottom - top, W // (4 * d)
    band = padded_rows(x, (4 * top - 1) * d, (4 * rows + 2) * d, d)
    sn, sh, sw, sc = band.strides
    shape = (6, 6, n, rows, d, columns, d, C)
    strides = (d * sh, d * sw, sn, 4 * d * sh, sh, 4 * d * sw, sw, sc)
    tiles_of_x = xp.lib.stride_tricks.as_strided(band, shape, strides)
    D = scratch("D", shape, x.dtype, xp)
    D[...] = tiles_of_x
    V = scratch("V", (36, D.size // 36), x.dtype, xp)
    xp.matmul(xp.asarray(BT2, x.dtype), D.reshape(36, -1), out=V)
    return V.reshape(36, -1, C)


def _output_tiles(y: Array, images: slice, top: int, bottom: int, d: int) -> Array:
    """A view (4, 4, n, rows, d, columns, d, O) of rows top..bottom of tiles of y (N, H, W, O)."""
    _, _, W, O = y.shape
    part = y[images, top * 4 * d : bottom * 4 * d]
    part = part.reshape(len(part), bottom - top, 4, d, W // (4 * d), 4, d, O)
    return part.transpose(2, 5, 0, 1, 3, 4, 6, 7)
