"""Dropout (Srivastava et al. 2014), in the inverted form: nothing is rescaled at inference."""

import numpy as np

from ums.backend import Array, array_module
from ums.ops.arguments import check_floats, check_upstream


def dropout_forward(
    x: Array,
    rate: float,
    rng: np.random.Generator,
    training: bool,
    place: tuple[int, int] | None = None,
) -> tuple[Array, tuple]:
    """In training each element is dropped with probability ``rate``, the rest divided by 1 - rate.

    With ``training`` false, y = x. The mask is drawn by the NumPy generator passed in, on a GPU
    too, so that both devices drop the same elements. ``place`` = (N, first) means that x is the rows
    from ``first`` on of a batch of N: the mask is drawn for all of it, so that processes that have a
    part each, and equal generators, drop together what one process would.

    Raises:
        ValueError: ``rate`` is not in [0, 1).
        TypeError: x is neither float32 nor float64.
    """
    check_floats(x=x)
    if not 0 <= rate < 1:
        raise ValueError(f"the dropout rate must be in [0, 1), got {rate}")
    if not training or rate == 0:
        return x, (None,)
    draws = rng.random(x.shape if place is None else (place[0], *x.shape[1:]), dtype=np.float32)
    if place is not None:
        draws = draws[place[1] : place[1] + len(x)]
    scale = (draws >= rate) / (1 - rate)  # 0 or 1 / (1 - rate)
    scale = array_module(x).asarray(scale, dtype=x.dtype)
    return x * scale, (scale,)


def dropout_backward(dy: Array, cache: tuple) -> Array:
    """dx = dy, dropped and divided as the forward pass did."""
    scale = cache[0]
    check_floats(dy=dy)
    if scale is not None:
        check_upstream(dy, scale.shape, scale.dtype)
    return dy if scale is None else dy * scale
