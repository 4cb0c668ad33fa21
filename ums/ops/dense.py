"""The fully connected layer's product: y = x w + b."""

from ums.backend import Array, array_module
from ums.ops.arguments import check_floats, check_upstream
from ums.ops.fast.rows import column_sums, transposed_product
from ums.ops.fast.threads import matmul, single_threaded


def dense_forward(x: Array, w: Array, b: Array) -> tuple[Array, tuple]:
    """x (N, C), w (C, O), b (O,) -> y (N, O) = x w + b.

    Raises:
        ValueError: The shapes do not fit each other.
        TypeError: x, w and b are not all float32 or all float64.
    """
    check_floats(x=x, w=w, b=b)
    if x.ndim != 2 or w.ndim != 2 or x.shape[1] != w.shape[0] or b.shape != w.shape[1:]:
        raise ValueError(
            f"x must be (N, C), w (C, O) and b (O,), got {x.shape}, {w.shape} and {b.shape}"
        )
    return matmul(x, w) + b, (x, w)


def dense_grad_input(dy: Array, cache: tuple) -> Array:
    """dx (N, C) = dy w^T."""
    _check_upstream(dy, cache)
    _, w = cache
    return matmul(dy, w.T)


def dense_grad_weights(dy: Array, cache: tuple) -> tuple[Array, Array]:
    """dw (C, O) = x^T dy and db (O,) = sum_n dy."""
    _check_upstream(dy, cache)
    x, _ = cache
    dw, db = single_threaded(lambda: (transposed_product(x, dy), column_sums(dy)), array_module(dy))
    return dw.astype(dy.dtype, copy=False), db.astype(dy.dtype, copy=False)


def dense_backward(dy: Array, cache: tuple) -> tuple[Array, Array, Array]:
    """The gradients (dx, dw, db) of sum(dy * y)."""
    return dense_grad_input(dy, cache), *dense_grad_weights(dy, cache)


def _check_upstream(dy: Array, cache: tuple) -> None:
    x, w = cache
    check_upstream(dy, (len(x), w.shape[1]), w.dtype)
