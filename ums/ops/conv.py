r"""Two-dimensional convolution, strided and dilated, and its gradients.

For an input x of shape (N, H, W, C) and a kernel w of shape (K, K, C, O) with K odd,

    y[n, i, j, o] = b[o] + sum_{u,v,c} x_pad[n, s i + d u, s j + d v, c] w[u, v, c, o]

where s is the stride, d the dilation and x_pad is x with zeros around it, so that y is (N, OH, OW, O)
with OH = ceil(H / s) and OW = ceil(W / s). The padding is

    "symmetric":  p = d (K - 1) / 2 zeros on every side, as in PyTorch;
    "same":       max(0, (OH - 1) s + 2p + 1 - H), what the windows reach, half of it above the
                  image and the odd one below, and so for the columns: as in TensorFlow and Keras.

They are equal for s = 1. For K = 3, s = 2, d = 1 and an even H, "symmetric" is (1, 1) and "same" is
(0, 1). Writing each window of x_pad as one row of a matrix A makes the convolution a matrix product,
and its gradients two more:

    y = A w + b,    dw = A^T dy,    db = sum of dy over rows,    dx = col2im(dA),    dA = dy w^T

with A (N OH OW, K K C), w (K K C, O), y and dy (N OH OW, O). :func:`im2col` keeps A's axes apart;
the products flatten them. :func:`col2im` is the adjoint of im2col (it adds what overlaps), not its
inverse.

The functions whose names end in ``_plain`` are these formulas word for word. The public functions
compute the same in :mod:`ums.ops.fast.conv`, which never builds the whole of A.
"""

from ums.backend import Array, array_module
from ums.ops.arguments import check_floats, check_upstream, zeros_around
from ums.ops.fast import conv as fast


def im2col(
    x: Array, kernel: int, stride: int = 1, dilation: int = 1, padding: str = "symmetric"
) -> Array:
    """Every window the kernel sees, side by side: (N, H, W, C) -> (N, OH, OW, K, K, C)."""
    check_floats(x=x)
    xp = array_module(x)
    N, H, W, C = x.shape
    K, OH, OW = kernel, -(-H // stride), -(-W // stride)  # -(-a // b) rounds up
    zeros = [zeros_around(side, K, stride, dilation, padding) for side in (H, W)]
    x_pad = xp.pad(x, ((0, 0), *zeros, (0, 0)))
    A = xp.empty((N, OH, OW, K, K, C), x.dtype)
    for u in range(K):
        for v in range(K):
            rows = slice(dilation * u, dilation * u + stride * OH, stride)
            columns = slice(dilation * v, dilation * v + stride * OW, stride)
            A[:, :, :, u, v] = x_pad[:, rows, columns]  # (N, OH, OW, C)
    return A


def col2im(
    dA: Array, shape: tuple, stride: int = 1, dilation: int = 1, padding: str = "symmetric"
) -> Array:
    """Add every window back to where it came from: (N, OH, OW, K, K, C) -> ``shape``.

    The adjoint of :func:`im2col`: <im2col(x), dA> = <x, col2im(dA)> for all x and dA.
    """
    check_floats(dA=dA)
    N, H, W, C = shape
    _, OH, OW, K, _, _ = dA.shape
    top, bottom = zeros_around(H, K, stride, dilation, padding)
    left, right = zeros_around(W, K, stride, dilation, padding)
    dx_pad = array_module(dA).zeros((N, top + H + bottom, left + W + right, C), dA.dtype)
    for u in range(K):
        for v in range(K):
            rows = slice(dilation * u, dilation * u + stride * OH, stride)
            columns = slice(dilation * v, dilation * v + stride * OW, stride)
            dx_pad[:, rows, columns] += dA[:, :, :, u, v]  # (N, OH, OW, C)
    return dx_pad[:, top : top + H, left : left + W]


def conv2d_forward_plain(
    x: Array, w: Array, b: Array, stride: int = 1, dilation: int = 1, padding: str = "symmetric"
) -> tuple[Array, tuple]:
    """y = A w + b."""
    check_conv2d(x, w, b, stride, dilation, padding)
    K, _, C, O = w.shape
    A = im2col(x, K, stride, dilation, padding)  # (N, OH, OW, K, K, C)
    N, OH, OW = A.shape[:3]
    y = A.reshape(N * OH * OW, K * K * C) @ w.reshape(K * K * C, O) + b
    return y.reshape(N, OH, OW, O), (x, w, stride, dilation, padding)


def conv2d_grad_weights_plain(dy: Array, cache: tuple) -> tuple[Array, Array]:
    """dw = A^T dy and db = sum dy."""
    _check_upstream(dy, cache)
    x, w, stride, dilation, padding = cache
    K, _, C, O = w.shape
    A = im2col(x, K, stride, dilation, padding).reshape(-1, K * K * C)
    dy = dy.reshape(-1, O)
    return (A.T @ dy).reshape(w.shape), dy.sum(axis=0)


def conv2d_grad_input_plain(dy: Array, cache: tuple) -> Array:
    """dx = col2im(dA), where dA = dy w^T."""
    _check_upstream(dy, cache)
    x, w, stride, dilation, padding = cache
    K, _, C, O = w.shape
    N, OH, OW, _ = dy.shape
    dA = dy.reshape(-1, O) @ w.reshape(K * K * C, O).T
    return col2im(dA.reshape(N, OH, OW, K, K, C), x.shape, stride, dilation, padding)


def conv2d_backward_plain(dy: Array, cache: tuple) -> tuple[Array, Array, Array]:
    """The gradients (dx, dw, db) of sum(dy * y)."""
    return conv2d_grad_input_plain(dy, cache), *conv2d_grad_weights_plain(dy, cache)


def conv2d_forward(
    x: Array, w: Array, b: Array, stride: int = 1, dilation: int = 1, padding: str = "symmetric"
) -> tuple[Array, tuple]:
    """y (N, ceil(H / stride), ceil(W / stride), O) of x (N, H, W, C), w (K, K, C, O) and b (O,).

    Raises:
        ValueError: The shapes do not fit each other, the kernel is even, the stride or the dilation
            is below 1, or ``padding`` is neither "symmetric" nor "same".
        TypeError: x, w and b are not all float32 or all float64.
    """
    check_conv2d(x, w, b, stride, dilation, padding)
    return fast.conv2d_forward(x, w, b, stride, dilation, padding)


def conv2d_grad_weights(dy: Array, cache: tuple) -> tuple[Array, Array]:
    """(dw, db) alone, for a layer whose input needs no gradient."""
    _check_upstream(dy, cache)
    return fast.conv2d_grad_weights(dy, cache)


def conv2d_grad_input(dy: Array, cache: tuple) -> Array:
    """dx alone, for a frozen layer."""
    _check_upstream(dy, cache)
    return fast.conv2d_grad_input(dy, cache)


def conv2d_backward(dy: Array, cache: tuple) -> tuple[Array, Array, Array]:
    """The gradients (dx, dw, db) of sum(dy * y), with the shapes of x, w and b."""
    return conv2d_grad_input(dy, cache), *conv2d_grad_weights(dy, cache)


def check_conv2d(
    x: Array, w: Array, b: Array, stride: int, dilation: int, padding: str = "symmetric"
) -> None:
    """Raise a ValueError or TypeError that names the shapes if the arguments do not fit."""
    check_floats(x=x, w=w, b=b)
    if x.ndim != 4 or w.ndim != 4 or w.shape[0] != w.shape[1] or x.shape[3] != w.shape[2]:
        raise ValueError(f"x must be (N, H, W, C) and w (K, K, C, O), got {x.shape} and {w.shape}")
    if 0 in w.shape:
        raise ValueError(f"x and y must have channels, got w {w.shape}")
    if w.shape[0] % 2 == 0:
        raise ValueError(f"the kernel must have an odd size, got w {w.shape}")
    if b.shape != w.shape[3:]:
        raise ValueError(f"b must be (O,) for w (K, K, C, O), got {b.shape} and {w.shape}")
    if stride < 1 or dilation < 1:
        raise ValueError(f"stride and dilation must be at least 1, got {stride} and {dilation}")
    zeros_around(x.shape[1], w.shape[0], stride, dilation, padding)  # raises if there is no such


def _check_upstream(dy: Array, cache: tuple) -> None:
    x, w, stride, *_ = cache
    N, H, W, _ = x.shape
    check_upstream(dy, (N, -(-H // stride), -(-W // stride), w.shape[3]), x.dtype)
