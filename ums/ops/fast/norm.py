"""Batch normalisation of :mod:`ums.ops.norm` in bands: the form that runs.

It takes the sums and products of the formulas in bands of rows that stay in a core's cache, shared
over the threads, and keeps x instead of xhat. On a GPU each of its passes over x is one kernel.

The arguments have been checked by the functions of the same names in :mod:`ums.ops.norm`.
"""

from collections.abc import Callable
from types import ModuleType

import numpy as np

from ums.backend import Array, array_module, fused
from ums.ops.fast import gpu
from ums.ops.fast.rows import along_rows, channel_sums, column_sums, long_rows, per_channel
from ums.ops.fast.threads import for_rows, scratch


def batchnorm_forward(
    x: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array,
    running_var: Array,
    training: bool,
    momentum: float = 0.9,
    eps: float = 1e-5,
) -> tuple[Array, tuple]:
    """y = x scale + shift, where scale = gamma rstd and shift = beta - mean scale."""
    M = x.size // x.shape[-1]
    if training and gpu.has_kernels(array_module(x)):
        of_batch = gpu.statistics(x, gamma, beta, running_mean, running_var, 1 - momentum, eps)
        mean, rstd, scale, shift = of_batch
        return _affine([(x, scale)], shift), (x, mean, rstd, gamma, True, M, None)
    if training:
        mean, var = _moments(x)
        _move_statistics(running_mean, running_var, mean, var, 1 - momentum)
    else:
        mean, var = running_mean.copy(), running_var
    y, cache = _normalise(x, mean, var, gamma, beta, eps)
    return y, (*cache, training, M, None)


def batchnorm_forward_part(
    x: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array,
    running_var: Array,
    total: Callable[[Array], Array],
    momentum: float = 0.9,
    eps: float = 1e-5,
) -> tuple[Array, tuple]:
    """The same in training, with the statistics of all parts."""
    M, mean, var = _of_all_parts(x, beta, total)
    _move_statistics(running_mean, running_var, mean, var, 1 - momentum)
    y, cache = _normalise(x, mean, var, gamma, beta, eps)
    return y, (*cache, True, M, total)


def _of_all_parts(
    x: Array, beta: Array, total: Callable[[Array], Array]
) -> tuple[Array, Array, Array]:
    """Size (C times the same), mean and variance of a batch of which x is a part."""
    xp, M = array_module(x), x.size // x.shape[-1]
    mean, var = _moments(x) if M else (0 * beta, 0 * beta)
    size, sums = total(xp.stack([M * xp.ones_like(mean), M * mean]))
    mean_of_all = sums / size
    squares = total(M * (var + (mean - mean_of_all) ** 2))
    if xp is np and size[0] < 2:  # on a GPU, to look would be to wait
        raise ValueError("a training batch needs more than one value per channel, on all ranks")
    return size, mean_of_all, squares / size


def _normalise(
    x: Array, mean: Array, var: Array, gamma: Array, beta: Array, eps: float
) -> tuple[Array, tuple]:
    """y, and what the backward passes need of the statistics."""
    rstd, scale, shift = _scale_and_shift(mean, var, gamma, beta, eps)
    return _affine([(x, scale)], shift), (x, mean, rstd, gamma)


@fused
def _move_statistics(
    xp: ModuleType, running_mean: Array, running_var: Array, mean: Array, var: Array, share: float
) -> None:
    running_mean += share * (mean - running_mean)
    running_var += share * (var - running_var)


@fused
def _scale_and_shift(
    xp: ModuleType, mean: Array, var: Array, gamma: Array, beta: Array, eps: float
) -> tuple[Array, Array, Array]:
    rstd = 1 / xp.sqrt(var + eps)
    scale = gamma * rstd
    return rstd, scale, beta - mean * scale


def batchnorm_grad_weights(dy: Array, cache: tuple) -> tuple[Array, Array]:
    """dgamma = sum(dy (x - mean)) rstd and dbeta = sum(dy)."""
    x, mean, rstd = cache[:3]
    (rows, W), (dy_rows, _) = long_rows(x), long_rows(dy)
    if array_module(x) is not np:
        shape = (-1, W, len(mean))
        products = _sum_of_products(rows.reshape(shape), mean, dy.reshape(shape))
        return products.sum(axis=0) * rstd, channel_sums(dy)
    mean = along_rows(mean, W)

    def work(top: int, bottom: int) -> tuple[Array, Array]:
        product = scratch("a", (bottom - top, rows.shape[1]), x.dtype)
        np.subtract(rows[top:bottom], mean, out=product)
        product *= dy_rows[top:bottom]
        return column_sums(product), column_sums(dy_rows[top:bottom])

    bands = for_rows(work, len(rows), 3 * rows.shape[1] * x.dtype.itemsize)
    parts = bands or [work(0, 0)]  # an empty batch has none
    sums = (per_channel(sum(sums), W) for sums in zip(*parts, strict=True))
    dgamma, dbeta = (total.astype(x.dtype) for total in sums)
    return dgamma * rstd, dbeta


def batchnorm_grad_input(dy: Array, cache: tuple) -> Array:
    """dx alone; at inference it needs no sums over the batch."""
    training = cache[4]
    return _grad_input(dy, cache, *(batchnorm_grad_weights(dy, cache) if training else ()))


def batchnorm_backward(dy: Array, cache: tuple) -> tuple[Array, Array, Array]:
    """(dx, dgamma, dbeta), with the sums over the batch taken once for all three."""
    x, mean, rstd, gamma, training, _, total = cache
    if training and total is None and gpu.has_kernels(array_module(x)):
        dgamma, dbeta, a, b, shift = gpu.coefficients(dy, x, mean, rstd, gamma)
        return _affine([(dy, a), (x, b)], shift), dgamma, dbeta
    dgamma, dbeta = batchnorm_grad_weights(dy, cache)
    return _grad_input(dy, cache, dgamma, dbeta), dgamma, dbeta


def _grad_input(dy: Array, cache: tuple, *sums: Array) -> Array:
    """dx = a dy + b x + shift, which is the formula with xhat = (x - mean) rstd put into it."""
    x, mean, rstd, gamma, training, M, total = cache
    if not training:
        return _affine([(dy, gamma * rstd)], None)
    if total is not None:
        sums = total(array_module(x).stack(sums))
    a, b, shift = _gradient_coefficients(mean, rstd, gamma, *sums, M)
    return _affine([(dy, a), (x, b)], shift)


@fused
def _gradient_coefficients(
    xp: ModuleType, mean: Array, rstd: Array, gamma: Array, dgamma: Array, dbeta: Array, M: int
) -> tuple[Array, Array, Array]:
    a = gamma * rstd
    b = -a * rstd * dgamma / M
    return a, b, -a * dbeta / M - b * mean


def _moments(x: Array) -> tuple[Array, Array]:
    """Mean and variance of x (..., C) over all but C, each (C,).

    Every band is centred before it is squared, at the mean of some of its rows, and the bands'
    results are put together by Chan, Golub and LeVeque (1983): a large mean costs no digits.
    """
    rows, W = long_rows(x)
    M = x.size // x.shape[-1]
    if array_module(x) is not np:
        mean = channel_sums(x) / M
        return mean, _sum_of_squares(rows.reshape(-1, W, len(mean)), mean).sum(axis=0) / M

    def work(top: int, bottom: int) -> tuple[int, Array, Array]:
        n, some = (bottom - top) * W, rows[top:bottom:8]
        centre = (per_channel(column_sums(some), W) / (len(some) * W)).astype(x.dtype)
        centred = scratch("a", (bottom - top, rows.shape[1]), x.dtype)
        np.subtract(rows[top:bottom], along_rows(centre, W), out=centred)
        rest = per_channel(column_sums(centred), W) / n
        centred *= centred
        return n, centre + rest, per_channel(column_sums(centred), W) - n * rest**2

    parts = for_rows(work, len(rows), 2 * rows.shape[1] * x.dtype.itemsize)
    mean = sum(n * m for n, m, _ in parts) / M
    var = sum(squares + n * (m - mean) ** 2 for n, m, squares in parts) / M
    return mean.astype(x.dtype), np.maximum(var, 0).astype(x.dtype)


@fused
def _sum_of_squares(xp: ModuleType, x: Array, mean: Array) -> Array:
    """The sum over R of (x - mean)^2, for x (R, W, C) and mean (C,)."""
    centred = x - mean
    return xp.sum(centred * centred, axis=0)


@fused
def _sum_of_products(xp: ModuleType, x: Array, mean: Array, dy: Array) -> Array:
    """The sum over R of (x - mean) dy, for x and dy (R, W, C) and mean (C,)."""
    return xp.sum((x - mean) * dy, axis=0)


def _affine(terms: list[tuple[Array, Array]], shift: Array | None) -> Array:
    """The sum of x * scale over (x, scale) in terms, plus shift; scales and shift are (C,)."""
    like, xp = terms[0][0], array_module(terms[0][0])
    if gpu.has_kernels(xp):
        (x, a), (z, b) = (*terms, (None, None))[:2]
        x, z = xp.ascontiguousarray(x), None if z is None else xp.ascontiguousarray(z)
        return gpu.affine(x, a, z, b, shift, xp.empty(x.shape, x.dtype))
    if xp is not np:
        return _affine_plain(*(array for term in terms for array in term), shift)
    W = long_rows(like)[1]
    tiled = [(long_rows(x)[0], along_rows(scale, W)) for x, scale in terms]
    shift = None if shift is None else along_rows(shift, W)
    y = np.empty(tiled[0][0].shape, like.dtype)

    def work(top: int, bottom: int) -> None:
        out = y[top:bottom]
        term = scratch("a", out.shape, y.dtype)
        for k, (rows, scale) in enumerate(tiled):
            np.multiply(rows[top:bottom], scale, out=term if k else out)
            if k:
                out += term
        if shift is not None:
            out += shift

    for_rows(work, len(y), 3 * y.shape[1] * y.dtype.itemsize)
    return y.reshape(like.shape)


@fused
def _affine_plain(xp: ModuleType, *terms_and_shift: Array) -> Array:
    """:func:`_affine` in one line, of x, scale, x, scale, ..., shift."""
    *terms, shift = terms_and_shift
    y = sum(x * scale for x, scale in zip(terms[::2], terms[1::2], strict=True))
    return y if shift is None else y + shift
