r"""Batch normalisation (Ioffe and Szegedy 2015) over N, H and W, and its two backward passes.

    xhat = (x - mean) rstd,    rstd = 1 / sqrt(var + eps),    y = gamma xhat + beta

*Training*: mean and var are the batch's own (var divides by M = N H W), so they depend on x, and

    dx = gamma rstd (dy - mean(dy) - xhat mean(dy xhat)).

*In use, or frozen*: mean and var are the running statistics, constants, and dx = gamma rstd dy.
In both, dgamma = sum(dy xhat) and dbeta = sum(dy). The sums run over everything but channels.

The plain form below is these formulas; the form to use takes the same sums and products in bands that
stay in a core's cache, shared over the threads, and keeps x instead of xhat. On a GPU each of its
passes over x is one kernel.

``momentum`` is Keras's: the share of the old running value that is kept (PyTorch's is 1 minus it).
"""

from __future__ import annotations

import numpy as np

from ums.backend import Array, array_module, for_rows, fused, scratch
from ums.ops.sums import channel_sums, long_rows, per_channel


def batchnorm_forward_plain(
    x, gamma, beta, running_mean, running_var, training, momentum=0.9, eps=1e-5
) -> tuple[Array, tuple]:
    """:func:`batchnorm_forward` as the formulas stand, a pass over memory for each operation."""
    xp = array_module(x)
    axes = tuple(range(x.ndim - 1))
    mean, var = (x.mean(axes), x.var(axes)) if training else (running_mean, running_var)
    if training:
        running_mean += (1 - momentum) * (mean - running_mean)
        running_var += (1 - momentum) * (var - running_var)
    rstd = 1 / xp.sqrt(var + eps)
    xhat = (x - mean) * rstd
    return gamma * xhat + beta, (xhat, rstd, gamma, training)


def batchnorm_backward_plain(dy: Array, cache: tuple) -> tuple[Array, Array, Array]:
    """The gradients (dx, dgamma, dbeta) of :func:`batchnorm_forward_plain`."""
    xhat, rstd, gamma, training = cache
    axes = tuple(range(dy.ndim - 1))
    dgamma, dbeta = (dy * xhat).sum(axes), dy.sum(axes)
    if not training:
        return gamma * rstd * dy, dgamma, dbeta
    mean_dy, mean_dy_xhat = dy.mean(axes), (dy * xhat).mean(axes)
    return gamma * rstd * (dy - mean_dy - xhat * mean_dy_xhat), dgamma, dbeta


# ------------------------------------------------------------------------ the form to use


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
    """Normalise x (..., C); gamma, beta and the running statistics are (C,).

    With ``training`` true the batch's statistics are used, and running_mean and running_var are
    updated in place; otherwise they are used and left as they are.

    Raises:
        TypeError: x and the parameters are not of one dtype.
        ValueError: shapes that do not fit, or a training batch with one value per channel.
    """
    C = x.shape[-1:]
    statistics = {"running_mean": running_mean, "running_var": running_var}
    for name, value in ({"gamma": gamma, "beta": beta} | statistics).items():
        if value.shape != C:
            raise ValueError(f"{name} must be {C} for x {x.shape}, got {value.shape}")
        if value.dtype != x.dtype:
            raise TypeError(f"{name} must be {x.dtype} as x is, got {value.dtype}")
    if training and x.size == C[0]:
        raise ValueError(f"a training batch needs more than one value per channel, got {x.shape}")
    if training:
        mean, var = _moments(x)
        _move_statistics(running_mean, running_var, mean, var, 1 - momentum)
    else:
        mean, var = running_mean.copy(), running_var
    rstd, scale, shift = _scale_and_shift(mean, var, gamma, beta, eps)
    y = _affine(((x, scale),), shift)
    return y, (x, mean, rstd, gamma, training)


@fused
def _move_statistics(xp, running_mean, running_var, mean, var, share):
    running_mean += share * (mean - running_mean)
    running_var += share * (var - running_var)


@fused
def _scale_and_shift(xp, mean, var, gamma, beta, eps):
    rstd = 1 / xp.sqrt(var + eps)
    scale = gamma * rstd
    return rstd, scale, beta - mean * scale


def batchnorm_grad_input(dy: Array, cache: tuple) -> Array:
    """dx alone, of the mode the forward pass ran in."""
    return _grad_input(dy, cache, *(_sums(dy, cache) if cache[4] else (None, None)))


def batchnorm_grad_weights(dy: Array, cache: tuple) -> tuple[Array, Array]:
    """(dgamma, dbeta) alone, each (C,)."""
    return _sums(dy, cache)


def batchnorm_backward(dy: Array, cache: tuple) -> tuple[Array, Array, Array]:
    """The gradients (dx, dgamma, dbeta) of sum(dy * y), of the mode the forward pass ran in."""
    dgamma, dbeta = _sums(dy, cache)
    return _grad_input(dy, cache, dgamma, dbeta), dgamma, dbeta


def _grad_input(dy: Array, cache: tuple, dgamma: Array | None, dbeta: Array | None) -> Array:
    """dx as a sum of channel-wise multiples of dy and x: xhat = (x - mean) rstd put into the formula."""
    _check_upstream(dy, cache)
    x, mean, rstd, gamma, training = cache
    if not training:
        return _affine(((dy, gamma * rstd),), None)
    M = x.size // x.shape[-1]
    a, b, shift = _gradient_coefficients(mean, rstd, gamma, dgamma, dbeta, M)
    return _affine(((dy, a), (x, b)), shift)


@fused
def _gradient_coefficients(xp, mean, rstd, gamma, dgamma, dbeta, M):
    a = gamma * rstd
    b = -a * rstd * dgamma / M
    return a, b, -a * dbeta / M - b * mean


def _moments(x: Array) -> tuple[Array, Array]:
    """Mean and variance of x (..., C) over all but C, each (C,).

    Every band's own mean is taken off before its squares are added (Chan, Golub and LeVeque 1983),
    so that a large mean costs no digits.
    """
    rows, W = long_rows(x)
    M = x.size // x.shape[-1]
    if array_module(x) is not np:
        mean = channel_sums(x) / M
        return mean, _sum_of_squares(rows.reshape(-1, W, len(mean)), mean).sum(axis=0) / M

    def work(top, bottom):
        n = (bottom - top) * W
        ones = np.ones(bottom - top, x.dtype)
        mean = per_channel(ones @ rows[top:bottom], W) / n
        centred = scratch("a", (bottom - top, rows.shape[1]), x.dtype)
        np.subtract(rows[top:bottom], np.tile(mean, W), out=centred)
        centred *= centred
        return n, mean, per_channel(ones @ centred, W)

    parts = for_rows(work, len(rows), 2 * rows.shape[1] * x.dtype.itemsize)
    mean = sum(n * m for n, m, _ in parts) / M
    var = sum(squares + n * (m - mean) ** 2 for n, m, squares in parts) / M
    return mean, var


@fused
def _sum_of_squares(xp, x, mean):
    """Of x (R, W, C) less its mean (C,), over R."""
    centred = x - mean
    return xp.sum(centred * centred, axis=0)


@fused
def _sum_of_products(xp, x, mean, dy):
    """Of x (R, W, C) less its mean (C,) with dy, over R."""
    return xp.sum((x - mean) * dy, axis=0)


def _sums(dy: Array, cache: tuple) -> tuple[Array, Array]:
    """dgamma = sum(dy xhat) and dbeta = sum(dy)."""
    _check_upstream(dy, cache)
    x, mean, rstd = cache[:3]
    (rows, W), (dy_rows, _) = long_rows(x), long_rows(dy)
    if array_module(x) is not np:
        shape = (-1, W, len(mean))
        products = _sum_of_products(rows.reshape(shape), mean, dy.reshape(shape))
        return products.sum(axis=0) * rstd, channel_sums(dy)
    mean = np.tile(mean, W)

    def work(top, bottom):
        ones = np.ones(bottom - top, x.dtype)
        product = scratch("a", (bottom - top, rows.shape[1]), x.dtype)
        np.subtract(rows[top:bottom], mean, out=product)
        product *= dy_rows[top:bottom]
        return ones @ product, ones @ dy_rows[top:bottom]

    parts = for_rows(work, len(rows), 3 * rows.shape[1] * x.dtype.itemsize)
    dgamma, dbeta = (per_channel(sum(sums), W) for sums in zip(*parts, strict=True))
    return dgamma * rstd, dbeta


def _affine(terms: tuple[tuple[Array, Array], ...], shift: Array | None) -> Array:
    """The sum of x * scale over (x, scale) in terms, plus shift; scales and shift are (C,)."""
    like = terms[0][0]
    if array_module(like) is not np:
        return _affine_plain(*(array for term in terms for array in term), shift)
    terms = [(long_rows(x)[0], np.tile(scale, long_rows(x)[1])) for x, scale in terms]
    y = np.empty(terms[0][0].shape, like.dtype)
    if shift is not None:
        shift = np.tile(shift, long_rows(like)[1])

    def work(top, bottom):
        out = y[top:bottom]
        term = scratch("a", out.shape, y.dtype)
        for k, (rows, scale) in enumerate(terms):
            np.multiply(rows[top:bottom], scale, out=term if k else out)
            if k:
                out += term
        if shift is not None:
            out += shift

    for_rows(work, len(y), 3 * y.shape[1] * y.dtype.itemsize)
    return y.reshape(like.shape)


@fused
def _affine_plain(xp, *terms_and_shift):
    """:func:`_affine` in one line, of x, scale, x, scale, ..., shift."""
    *terms, shift = terms_and_shift
    y = sum(x * scale for x, scale in zip(terms[::2], terms[1::2], strict=True))
    return y if shift is None else y + shift


def _check_upstream(dy: Array, cache: tuple) -> None:
    if dy.shape != cache[0].shape:
        raise ValueError(f"dy must have the output's shape {cache[0].shape}, got {dy.shape}")
