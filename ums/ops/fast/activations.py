"""ReLU of :mod:`ums.ops.activations` in bands: the form that runs."""

from functools import cache
from types import ModuleType

import numpy as np

from ums.backend import Array, array_module, fused
from ums.ops.fast import gpu, threads
from ums.ops.fast.threads import for_rows


def relu_forward(x: Array) -> tuple[Array, tuple]:
    """y = max(x, 0)."""
    xp = array_module(x)
    if xp is not np:
        y = gpu.relu(x) if gpu.has_kernels(xp) else xp.maximum(x, 0)
        return y, (y,)
    y, row_bytes = np.empty(x.shape, x.dtype), 3 * x.dtype.itemsize
    zeros = _zeros(x.dtype, max(1, threads.TILE_BYTES // row_bytes))  # slower with a number
    flat, out = x.reshape(-1), y.reshape(-1)

    def work(top: int, bottom: int) -> None:
        np.maximum(flat[top:bottom], zeros[: bottom - top], out=out[top:bottom])

    for_rows(work, x.size, row_bytes)
    return y, (y,)


@cache
def _zeros(dtype: np.dtype, size: int) -> np.ndarray:
    return np.zeros(size, dtype)


def relu_backward(dy: Array, cache: tuple) -> Array:
    """dx = dy where y > 0, else 0."""
    if gpu.has_kernels(array_module(dy)):
        return gpu.relu_gradient(dy, cache[0])
    if array_module(dy) is not np:
        return _relu_gradient(dy, cache[0])
    dx = np.empty(dy.shape, dy.dtype)
    y_flat, dy_flat, dx_flat = (a.reshape(-1) for a in (cache[0], dy, dx))

    def work(top: int, bottom: int) -> None:
        np.multiply(dy_flat[top:bottom], y_flat[top:bottom] > 0, out=dx_flat[top:bottom])

    for_rows(work, dy.size, 3 * dy.dtype.itemsize)
    return dx


@fused
def _relu_gradient(xp: ModuleType, dy: Array, y: Array) -> Array:
    return dy * (y > 0)
