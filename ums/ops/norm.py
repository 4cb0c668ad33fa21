r"""Batch normalisation (Ioffe and Szegedy 2015) over N, H and W, and its two backward passes.

    xhat = (x - mean) rstd,    rstd = 1 / sqrt(var + eps),    y = gamma xhat + beta

*Training*: mean and var are the batch's own (var divides by M = N H W), so they depend on x, and

    dx = gamma rstd (dy - mean(dy) - xhat mean(dy xhat)).

*At inference, or frozen*: mean and var are the running statistics, constants: dx = gamma rstd dy.
In both, dgamma = sum(dy xhat) and dbeta = sum(dy). The sums and means run over everything but
channels. rstd is the reciprocal standard deviation.

``momentum`` is Keras's: the share of the old running value that is kept (PyTorch's is 1 minus it).

Where a batch is spread over several processes (:mod:`ums.parallel`), :func:`batchnorm_forward_part`
takes the place of the forward pass in training: M, mean, var, mean(dy) and mean(dy xhat) are then those
of the whole batch. dgamma and dbeta stay sums over the part that is here, for the optimizer adds all
gradients.

The functions whose names end in ``_plain`` are these formulas word for word. The public functions
compute the same in :mod:`ums.ops.fast.norm`, in fewer passes over memory, and cache other arrays:
a plain backward pass takes the cache of the plain forward pass only.
"""

from collections.abc import Callable

from ums.backend import Array, array_module
from ums.ops.arguments import check_floats, check_upstream
from ums.ops.fast import norm as fast


def batchnorm_forward_plain(
    x: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array,
    running_var: Array,
    training: bool,
    momentum: float = 0.9,
    eps: float = 1e-5,
) -> tuple[Array, tuple]:
    """y = gamma xhat + beta; in training the running statistics move."""
    _check(x, gamma, beta, running_mean, running_var, training)
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
    """The gradients (dx, dgamma, dbeta) of sum(dy * y)."""
    xhat, rstd, gamma, training = cache
    check_upstream(dy, xhat.shape, xhat.dtype)
    axes = tuple(range(dy.ndim - 1))
    dgamma, dbeta = (dy * xhat).sum(axes), dy.sum(axes)
    if not training:
        return gamma * rstd * dy, dgamma, dbeta
    mean_dy, mean_dy_xhat = dy.mean(axes), (dy * xhat).mean(axes)
    return gamma * rstd * (dy - mean_dy - xhat * mean_dy_xhat), dgamma, dbeta


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
    updated in place; otherwise the running statistics are used and not changed.

    Raises:
        TypeError: x and the parameters are not all float32 or all float64.
        ValueError: The shapes do not fit, a training batch has at most one value per channel,
            ``momentum`` is not in [0, 1], or ``eps`` is negative.
    """
    _check(x, gamma, beta, running_mean, running_var, training)
    _check_settings(momentum, eps)
    return fast.batchnorm_forward(
        x, gamma, beta, running_mean, running_var, training, momentum, eps
    )


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
    """:func:`batchnorm_forward` in training, where x is a part of the batch, or none of it.

    ``total`` returns the sum of an array over all processes that have a part; all must call this. The
    backward passes are those of :func:`batchnorm_forward`.

    Raises:
        TypeError, ValueError: As there; it is the whole batch that needs more than one value per channel.
    """
    _check(x, gamma, beta, running_mean, running_var, training=False)
    _check_settings(momentum, eps)
    return fast.batchnorm_forward_part(
        x, gamma, beta, running_mean, running_var, total, momentum, eps
    )


def _check_settings(momentum: float, eps: float) -> None:
    if not (0 <= momentum <= 1 and 0 <= eps < 1):
        raise ValueError(f"momentum must be in [0, 1] and eps small, got {momentum} and {eps}")


def batchnorm_grad_weights(dy: Array, cache: tuple) -> tuple[Array, Array]:
    """(dgamma, dbeta) alone, each (C,)."""
    _check_upstream(dy, cache)
    return fast.batchnorm_grad_weights(dy, cache)


def batchnorm_grad_input(dy: Array, cache: tuple) -> Array:
    """dx alone."""
    _check_upstream(dy, cache)
    return fast.batchnorm_grad_input(dy, cache)


def batchnorm_backward(dy: Array, cache: tuple) -> tuple[Array, Array, Array]:
    """The gradients (dx, dgamma, dbeta) of sum(dy * y), in the mode of the forward pass."""
    _check_upstream(dy, cache)
    return fast.batchnorm_backward(dy, cache)


def _check(
    x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, training: bool
) -> None:
    own = {"gamma": gamma, "beta": beta, "running_mean": running_mean, "running_var": running_var}
    check_floats(x=x, **own)
    C = x.shape[-1:]
    if x.ndim < 2 or 0 in C:
        raise ValueError(f"x must be (..., C), one or more channels, got {x.shape}")
    for name, value in own.items():
        if value.shape != C:
            raise ValueError(f"{name} must be {C} for x {x.shape}, got {value.shape}")
    if training and x.size <= C[0]:
        raise ValueError(f"a training batch needs more than one value per channel, got {x.shape}")


def _check_upstream(dy: Array, cache: tuple) -> None:
    check_upstream(dy, cache[0].shape, cache[0].dtype)  # of x, which y shares
