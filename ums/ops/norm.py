r"""Batch normalisation (Ioffe and Szegedy 2015) over N, H and W, and its two backward passes.

    xhat = (x - mean) rstd,    rstd = 1 / sqrt(var + eps),    y = gamma xhat + beta

*Training*: mean and var are the batch's own (var divides by M = N H W), so they depend on x, and

    dx = gamma rstd (dy - mean(dy) - xhat mean(dy xhat)).

*In use, or frozen*: mean and var are the running statistics, constants, and dx = gamma rstd dy.
In both, dgamma = sum(dy xhat) and dbeta = sum(dy). The sums run over everything but channels.

``momentum`` is Keras's: the share of the old running value that is kept (PyTorch's is 1 minus it).
"""

from __future__ import annotations

from ums.backend import Array, array_module


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
    axes = tuple(range(x.ndim - 1))
    if training:
        mean = x.mean(axis=axes)
        xhat = x - mean
        var = (xhat * xhat).mean(axis=axes)
        running_mean += (1 - momentum) * (mean - running_mean)
        running_var += (1 - momentum) * (var - running_var)
    else:
        xhat, var = x - running_mean, running_var
    rstd = 1 / array_module(x).sqrt(var + eps)
    xhat *= rstd
    return gamma * xhat + beta, (xhat, rstd, gamma, training)


def batchnorm_grad_input(dy: Array, cache: tuple) -> Array:
    """dx alone, of the mode the forward pass ran in."""
    xhat, rstd, gamma, training = _checked(dy, cache)
    if not training:
        return dy * (gamma * rstd)
    axes = tuple(range(dy.ndim - 1))
    mean_dy, mean_dy_xhat = dy.mean(axis=axes), (dy * xhat).mean(axis=axes)
    dx = xhat * -mean_dy_xhat
    dx += dy
    dx -= mean_dy
    dx *= gamma * rstd
    return dx


def batchnorm_grad_weights(dy: Array, cache: tuple) -> tuple[Array, Array]:
    """(dgamma, dbeta) alone, each (C,)."""
    xhat = _checked(dy, cache)[0]
    axes = tuple(range(dy.ndim - 1))
    return (dy * xhat).sum(axis=axes), dy.sum(axis=axes)


def batchnorm_backward(dy: Array, cache: tuple) -> tuple[Array, Array, Array]:
    """The gradients (dx, dgamma, dbeta) of sum(dy * y), of the mode the forward pass ran in."""
    return batchnorm_grad_input(dy, cache), *batchnorm_grad_weights(dy, cache)


def _checked(dy: Array, cache: tuple) -> tuple:
    if dy.shape != cache[0].shape:
        raise ValueError(f"dy must have the output's shape {cache[0].shape}, got {dy.shape}")
    return cache
