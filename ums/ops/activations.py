"""Elementwise nonlinearities, and softmax over the last axis."""

from types import ModuleType

from ums.backend import Array, array_module, fused
from ums.ops.arguments import check_floats, check_upstream
from ums.ops.fast import activations as fast


def relu_forward_plain(x: Array) -> tuple[Array, tuple]:
    """y = max(x, 0)."""
    check_floats(x=x)
    y = array_module(x).maximum(x, 0)
    return y, (y,)


def relu_backward_plain(dy: Array, cache: tuple) -> Array:
    """dx = dy where y > 0, else 0."""
    (y,) = cache
    check_upstream(dy, y.shape, y.dtype)
    return dy * (y > 0)


def relu_forward(x: Array) -> tuple[Array, tuple]:
    """y = max(x, 0), any shape; the cache is y itself, so that nothing is stored twice."""
    check_floats(x=x)
    return fast.relu_forward(x)


def relu_backward(dy: Array, cache: tuple) -> Array:
    """dx = dy where y > 0, else 0 (0 is taken as the derivative at x = 0)."""
    check_upstream(dy, cache[0].shape, cache[0].dtype)
    return fast.relu_backward(dy, cache)


def sigmoid(xp: ModuleType, x: Array) -> Array:
    """1 / (1 + exp(-x)), any shape; finite for every x because it is computed by tanh."""
    return 0.5 * (1 + xp.tanh(0.5 * x))


_sigmoid = fused(sigmoid)


def sigmoid_forward(x: Array) -> tuple[Array, tuple]:
    """y = :func:`sigmoid` of x, any shape; the cache is y itself."""
    check_floats(x=x)
    y = _sigmoid(x)
    return y, (y,)


def sigmoid_backward(dy: Array, cache: tuple) -> Array:
    """dx = dy y (1 - y)."""
    check_upstream(dy, cache[0].shape, cache[0].dtype)
    return _sigmoid_gradient(dy, cache[0])


@fused
def _sigmoid_gradient(xp: ModuleType, dy: Array, y: Array) -> Array:
    return dy * y * (1 - y)


def softmax_forward(x: Array) -> tuple[Array, tuple]:
    """y_k = exp(x_k) / sum_j exp(x_j) over the last axis; (..., K) -> (..., K).

    Each row's own maximum is subtracted first: with a global one a row far below it is all zeros.
    """
    check_floats(x=x)
    xp = array_module(x)
    e = xp.exp(x - x.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)
    return y, (y,)


def softmax_backward(dy: Array, cache: tuple) -> Array:
    """dx_k = y_k (dy_k - sum_j dy_j y_j)."""
    y = cache[0]
    check_upstream(dy, y.shape, y.dtype)
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))
