"""Elementwise nonlinearities, and softmax over the last axis."""

from __future__ import annotations

import numpy as np

from ums.backend import Array, array_module, for_rows, fused, scratch


def relu_forward(x: Array) -> tuple[Array, tuple]:
    """y = max(x, 0), any shape. The cache is y itself: nothing is stored twice."""
    xp = array_module(x)
    if xp is not np:
        y = xp.maximum(x, 0)
        return y, (y,)
    y = np.empty(x.shape, x.dtype)
    flat, out = x.reshape(-1), y.reshape(-1)

    def work(top, bottom):
        zeros = scratch("zeros", (bottom - top,), x.dtype)
        zeros[...] = 0  # NumPy's maximum of two arrays is four times as fast as with a number
        np.maximum(flat[top:bottom], zeros, out=out[top:bottom])

    for_rows(work, x.size, 3 * x.dtype.itemsize)
    return y, (y,)


def relu_backward(dy: Array, cache: tuple) -> Array:
    """dx = dy where y > 0, else 0 (0 is taken as the derivative at x = 0)."""
    if array_module(dy) is not np:
        return _relu_gradient(dy, cache[0])
    dx = np.empty(dy.shape, dy.dtype)
    y_flat, dy_flat, dx_flat = (a.reshape(-1) for a in (cache[0], dy, dx))

    def work(top, bottom):
        np.multiply(dy_flat[top:bottom], y_flat[top:bottom] > 0, out=dx_flat[top:bottom])

    for_rows(work, dy.size, 3 * dy.dtype.itemsize)
    return dx


@fused
def _relu_gradient(xp, dy, y):
    return dy * (y > 0)


def sigmoid(xp, x: Array) -> Array:
    """1 / (1 + exp(-x)), any shape; finite for every x because it is computed by tanh."""
    return 0.5 * (1 + xp.tanh(0.5 * x))


_sigmoid = fused(sigmoid)


def sigmoid_forward(x: Array) -> tuple[Array, tuple]:
    """y = :func:`sigmoid` of x, any shape. The cache is y itself."""
    y = _sigmoid(x)
    return y, (y,)


def sigmoid_backward(dy: Array, cache: tuple) -> Array:
    """dx = dy y (1 - y)."""
    return _sigmoid_gradient(dy, cache[0])


@fused
def _sigmoid_gradient(xp, dy, y):
    return dy * y * (1 - y)


def softmax_forward(x: Array) -> tuple[Array, tuple]:
    """y_k = exp(x_k) / sum_j exp(x_j) over the last axis; (..., K) -> (..., K).

    Each row's own maximum is subtracted first: with a global one a row far below it is all zeros.
    """
    xp = array_module(x)
    e = xp.exp(x - x.max(axis=-1, keepdims=True))
    y = e / e.sum(axis=-1, keepdims=True)
    return y, (y,)


def softmax_backward(dy: Array, cache: tuple) -> Array:
    """dx_k = y_k (dy_k - sum_j dy_j y_j)."""
    y = cache[0]
    return y * (dy - (dy * y).sum(axis=-1, keepdims=True))
