r"""Batch normalisation (Ioffe and Szegedy 2015) over N, H and W, and its two backward passes.

    xhat = (x - mean) rstd,    rstd = 1 / sqrt(var + eps),    y = gamma xhat + beta

*Training*: mean and var are the batch's own (var divides by M = N H W), so they depend on x, and

    dx = gamma rstd (dy - mean(dy) - xhat mean(dy xhat)).

*In use, or frozen*: mean and var are the running statistics, constants, and dx = gamma rstd dy.
In both, dgamma = sum(dy xhat) and dbeta = sum(dy). The sums run over everything but channels.

The plain form below is these formulas; the form to use takes the same sums and products in bands that
stay in a core's cache, shared over the threads, and keeps x instead of xhat.

``momentum`` is Keras's: the share of the old running value that is kept (PyTorch's is 1 minus it).
"""

from __future__ import annotations

from ums.backend import Array, array_module, for_rows, scratch


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
        running_mean += (1 - momentum) * (mean - running_mean)
        running_var += (1 - momentum) * (var - running_var)
    else:
        mean, var = running_mean.copy(), running_var
    rstd = 1 / array_module(x).sqrt(var + eps)
    scale = gamma * rstd
    y = _affine(((x, scale),), beta - mean * scale)
    return y, (x, mean, rstd, gamma, training)


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
    a = gamma * rstd
    if not training:
        return _affine(((dy, a),), None)
    M = x.size // x.shape[-1]
    b = -a * rstd * dgamma / M
    return _affine(((dy, a), (x, b)), -a * dbeta / M - b * mean)


def _long_rows(x: Array) -> tuple[Array, int]:
    """x (..., W, C) as rows of W C numbers, and W: one long inner loop instead of W short ones."""
    W = x.shape[-2] if x.ndim > 2 else 1
    return x.reshape(-1, W * x.shape[-1]), W


def _per_channel(row_sums: Array, W: int) -> Array:
    """Sums over long rows (W C,) as sums over pixels (C,)."""
    return row_sums.reshape(W, -1).sum(axis=0)


def _moments(x: Array) -> tuple[Array, Array]:
    """Mean and variance of x (..., C) over all but C, each (C,).

    Every band's own mean is taken off before its squares are added (Chan, Golub and LeVeque 1983),
    so that a large mean costs no digits.
    """
    xp = array_module(x)
    rows, W = _long_rows(x)
    M = x.size // x.shape[-1]

    def work(top, bottom):
        n = (bottom - top) * W
        ones = xp.ones(bottom - top, x.dtype)
        mean = _per_channel(ones @ rows[top:bottom], W) / n
        centred = scratch("a", (bottom - top, rows.shape[1]), x.dtype, xp)
        xp.subtract(rows[top:bottom], xp.tile(mean, W), out=centred)
        centred *= centred
        return n, mean, _per_channel(ones @ centred, W)

    parts = for_rows(work, len(rows), 2 * rows.shape[1] * x.dtype.itemsize, xp)
    mean = sum(n * m for n, m, _ in parts) / M
    var = sum(squares + n * (m - mean) ** 2 for n, m, squares in parts) / M
    return mean, var


def _sums(dy: Array, cache: tuple) -> tuple[Array, Array]:
    """dgamma = sum(dy xhat) and dbeta = sum(dy)."""
    _check_upstream(dy, cache)
    x, mean, rstd = cache[:3]
    xp = array_module(x)
    (rows, W), (dy_rows, _) = _long_rows(x), _long_rows(dy)
    mean = xp.tile(mean, W)

    def work(top, bottom):
        ones = xp.ones(bottom - top, x.dtype)
        product = scratch("a", (bottom - top, rows.shape[1]), x.dtype, xp)
        xp.subtract(rows[top:bottom], mean, out=product)
        product *= dy_rows[top:bottom]
        return ones @ product, ones @ dy_rows[top:bottom]

    parts = for_rows(work, len(rows), 3 * rows.shape[1] * x.dtype.itemsize, xp)
    dgamma, dbeta = (_per_channel(sum(sums), W) for sums in zip(*parts, strict=True))
    return dgamma * rstd, dbeta


def _affine(terms: tuple[tuple[Array, Array], ...], shift: Array | None) -> Array:
    """The sum of x * scale over (x, scale) in terms, plus shift; scales and shift are (C,)."""
    like = terms[0][0]
    xp = array_module(like)
    terms = [(_long_rows(x)[0], xp.tile(scale, _long_rows(x)[1])) for x, scale in terms]
    y = xp.empty(terms[0][0].shape, like.dtype)
    if shift is not None:
        shift = xp.tile(shift, _long_rows(like)[1])

    def work(top, bottom):
        out = y[top:bottom]
        term = scratch("a", out.shape, y.dtype, xp)
        for k, (rows, scale) in enumerate(terms):
            xp.multiply(rows[top:bottom], scale, out=term if k else out)
            if k:
                out += term
        if shift is not None:
            out += shift

    for_rows(work, len(y), 3 * y.shape[1] * y.dtype.itemsize, xp)
    return y.reshape(like.shape)


def _check_upstream(dy: Array, cache: tuple) -> None:
    if dy.shape != cache[0].shape:
        raise ValueError(f"dy must have the output's shape {cache[0].shape}, got {dy.shape}")
