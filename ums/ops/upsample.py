"""Nearest-neighbour upsampling by two, alone and followed by a 3x3 convolution.

Upsampling repeats every pixel in a 2x2 square:  y[n, i, j, c] = x[n, i // 2, j // 2, c].
Its adjoint adds each square up:  dx[n, i, j, c] = sum_{u,v in {0,1}} dy[n, 2i + u, 2j + v, c].

The functions whose names end in ``_plain`` upsample the image and convolve it. The public functions
compute the same in :mod:`ums.ops.fast.upsample`, which never makes the large image: it folds the
upsampling into the kernel. A plain backward pass takes the cache of the plain forward pass only.
"""

from ums.backend import Array
from ums.ops.arguments import check_floats, check_upstream
from ums.ops.conv import check_conv2d, conv2d_backward_plain, conv2d_forward_plain
from ums.ops.fast import upsample as fast


def upsample2d_forward(x: Array) -> tuple[Array, tuple]:
    """(N, H, W, C) -> (N, 2H, 2W, C), every pixel four times.

    Raises:
        ValueError: x does not have four axes.
        TypeError: x is neither float32 nor float64.
    """
    check_floats(x=x)
    if x.ndim != 4:
        raise ValueError(f"x must be (N, H, W, C), got {x.shape}")
    return x.repeat(2, axis=1).repeat(2, axis=2), (x.shape,)


def upsample2d_backward(dy: Array, cache: tuple) -> Array:
    """dx (N, H, W, C): each 2x2 square of dy (N, 2H, 2W, C) added up."""
    N, H, W, C = cache[0]
    check_upstream(dy, (N, 2 * H, 2 * W, C))
    return dy.reshape(N, H, 2, W, 2, C).sum(axis=(2, 4))


def upsample_conv2d_forward_plain(x: Array, w: Array, b: Array) -> tuple[Array, tuple]:
    """The two ops one after the other."""
    large, up_cache = upsample2d_forward(x)
    y, conv_cache = conv2d_forward_plain(large, w, b)
    return y, (up_cache, conv_cache)


def upsample_conv2d_backward_plain(dy: Array, cache: tuple) -> tuple[Array, Array, Array]:
    """The gradients (dx, dw, db) of sum(dy * y)."""
    up_cache, conv_cache = cache
    d_large, dw, db = conv2d_backward_plain(dy, conv_cache)
    return upsample2d_backward(d_large, up_cache), dw, db


def upsample_conv2d_forward(x: Array, w: Array, b: Array) -> tuple[Array, tuple]:
    """Upsample x (N, H, W, C), convolve with w (3, 3, C, O), add b (O,): y (N, 2H, 2W, O).

    Raises:
        ValueError: The shapes do not fit each other, or the kernel is not 3x3.
        TypeError: x, w and b are not all float32 or all float64.
    """
    check_conv2d(x, w, b, 1, 1)
    if w.shape[0] != 3:
        raise ValueError(f"w must be (3, 3, C, O), got {w.shape}")
    return fast.upsample_conv2d_forward(x, w, b)


def upsample_conv2d_grad_weights(dy: Array, cache: tuple) -> tuple[Array, Array]:
    """(dw, db) alone."""
    _check_upstream(dy, cache)
    return fast.upsample_conv2d_grad_weights(dy, cache)


def upsample_conv2d_grad_input(dy: Array, cache: tuple) -> Array:
    """dx (N, H, W, C) alone."""
    _check_upstream(dy, cache)
    return fast.upsample_conv2d_grad_input(dy, cache)


def upsample_conv2d_backward(dy: Array, cache: tuple) -> tuple[Array, Array, Array]:
    """The gradients (dx, dw, db) of sum(dy * y), with the shapes of x, w and b."""
    return upsample_conv2d_grad_input(dy, cache), *upsample_conv2d_grad_weights(dy, cache)


def _check_upstream(dy: Array, cache: tuple) -> None:
    x, w, _ = cache
    N, H, W, _ = x.shape
    check_upstream(dy, (N, 2 * H, 2 * W, w.shape[3]), x.dtype)
