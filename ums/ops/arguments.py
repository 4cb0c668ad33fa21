"""What every op asks of its arguments before it computes.

The ops are written for float32 and float64. Integers would be truncated or overflow on the way,
float16 overflows at 65,504 and keeps three digits, complex numbers have another gradient: all of
them give numbers that look right.
"""

import numpy as np

from ums.backend import Array

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def check_floats(**arrays: Array) -> None:
    """Raise a TypeError unless all the arrays, given by name, are float32, or all are float64."""
    dtypes = [getattr(array, "dtype", None) for array in arrays.values()]
    for (name, array), dtype in zip(arrays.items(), dtypes, strict=True):
        if dtype is None or dtype not in FLOATS:  # NumPy takes None for float64
            found = type(array).__name__ if dtype is None else dtype
            raise TypeError(
                f"{name} must be an array of float32 or float64, got {found}: "
                "convert it with np.asarray(..., np.float32)"
            )
    if dtypes.count(dtypes[0]) < len(dtypes):
        *names, last = arrays
        *kinds, kind = map(str, dtypes)
        raise TypeError(
            f"{', '.join(names)} and {last} must share a dtype, got {', '.join(kinds)} and {kind}"
        )


def check_upstream(dy: Array, shape: tuple[int, ...], dtype: np.dtype | None = None) -> None:
    """Raise an error unless dy is as the op's output was (of either dtype where none is given).

    Raises:
        ValueError: Its shape differs.
        TypeError: Its dtype differs.
    """
    check_floats(dy=dy)
    if dtype is not None and dy.dtype != dtype:
        raise TypeError(f"dy must be {dtype} as the op's input was, got {dy.dtype}")
    if dy.shape != shape:
        raise ValueError(f"dy must have the output's shape {shape}, got {dy.shape}")


def zeros_around(size: int, K: int, stride: int, dilation: int, padding: str) -> tuple[int, int]:
    """The zeros before and after a side of an image that a convolution pads (:mod:`ums.ops.conv`)."""
    if padding not in ("symmetric", "same"):
        raise ValueError(f"padding must be 'symmetric' or 'same', got {padding!r}")
    total = dilation * (K - 1)
    if padding == "same":
        total = max(0, (-(-size // stride) - 1) * stride + total + 1 - size)
    return total // 2, total - total // 2
