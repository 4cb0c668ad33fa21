"""Global average pooling: a feature map becomes one number per channel."""

from ums.backend import Array, array_module
from ums.ops.arguments import check_floats, check_upstream
from ums.ops.fast.rows import column_sums
from ums.ops.fast.threads import parallel_for


def global_average_pool_forward(x: Array) -> tuple[Array, tuple]:
    """y (N, C) = mean of x (N, H, W, C) over H and W.

    Raises:
        ValueError: x does not have four axes, or its images have no pixels.
        TypeError: x is neither float32 nor float64.
    """
    check_floats(x=x)
    if x.ndim != 4:
        raise ValueError(f"x must be (N, H, W, C), got {x.shape}")
    N, H, W, C = x.shape
    if H * W == 0:
        raise ValueError(f"an image without pixels has no mean, got x {x.shape}")
    pixels = x.reshape(N, H * W, C)
    shares = parallel_for(lambda i, j: column_sums(pixels[i:j]) / (H * W), N, array_module(x))
    y = shares[0] if len(shares) == 1 else array_module(x).concatenate(shares)
    return y.astype(x.dtype, copy=False), (x.shape,)


def global_average_pool_backward(dy: Array, cache: tuple) -> Array:
    """dx (N, H, W, C) = dy / (H W), the same at every pixel."""
    N, H, W, C = cache[0]
    check_upstream(dy, (N, C))
    xp = array_module(dy)
    return xp.ascontiguousarray(xp.broadcast_to((dy / (H * W))[:, None, None, :], cache[0]))
