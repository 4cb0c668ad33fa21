"""The kernels of ``kernels.cu``, for CuPy: what a GPU does beside matrix products.

Each computes what a function of :mod:`ums.ops.fast.conv`, :mod:`ums.ops.fast.upsample`,
:mod:`ums.ops.fast.norm` or :mod:`ums.ops.fast.activations` writes down in operations of NumPy, to which
the tests compare it. A training step is a few milliseconds of work, and to start one kernel takes
Python 10 to 25 microseconds: few kernels matter as much as fast ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import accumulate
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from ums.backend import Array, array_module

THREADS = 256
"""Of a block; ``kernels.cu`` has the same number."""
MOST_BLOCKS = 512
"""That share the rows of a sum: some for each multiprocessor of a large GPU."""
NUMBERS = {"f": "float", "d": "double"}
WORDS = {
    "windows": ("uint4", "uint2", "unsigned"),
    "add_windows affine relu relu_gradient": ("Four", "float", "double"),
    "copy_each fold unfold moments statistics sums channel_sums coefficients": ("float", "double"),
}
"""The kernels, and what each is compiled for."""


class How(NamedTuple):
    """How windows lie: their side, the step to the next, the spacing inside, the zeros before the image."""

    K: int
    stride: int
    dilation: int
    above: int
    left: int


def has_kernels(xp: ModuleType) -> bool:
    """Whether ``xp`` is CuPy: NumPy, and the tests' stand-in for CuPy, compute by the formulas."""
    return xp is not np and hasattr(xp, "RawModule")


@cache
def _module(xp: ModuleType) -> Any:
    names = [
        f"{name}<{word}>"
        for names, words in WORDS.items()
        for name in names.split()
        for word in words
    ]
    code = Path(__file__).with_name("kernels.cu").read_text(encoding="utf-8")
    return xp.RawModule(code=code, options=("-std=c++14",), name_expressions=names)


@cache
def _kernel(xp: ModuleType, name: str, word: str) -> Any:
    return _module(xp).get_function(f"{name}<{word}>")


def _grid(length: int, rows: int = 1) -> tuple[tuple[int, int], tuple[int]]:
    """Blocks and threads for so many rows of so many numbers."""
    return (max(1, -(-length // THREADS)), max(1, min(rows, 65535))), (THREADS,)


def _fours(C: int, first: Array, *others: Array | None) -> tuple[str, int]:
    """The word that a kernel takes at a time, four numbers or one, and how many words C numbers are."""
    given = [first, *(array for array in others if array is not None)]
    if first.dtype.char == "f" and C % 4 == 0 and _aligned(16, *given):
        return "Four", C // 4
    return NUMBERS[first.dtype.char], C


def _aligned(size: int, *arrays: Array) -> bool:
    return all(array.data.ptr % size == 0 for array in arrays)


def windows(x: Array, top: int, bottom: int, OW: int, how: How) -> Array:
    """The K x K windows of output rows top..bottom of x (n, H, W, C), as rows of a matrix.

    ``OW`` of them lie side by side; off the image are zeros.
    """
    xp, K = array_module(x), how.K
    x = xp.ascontiguousarray(x)
    n, H, W, C = x.shape
    rows = bottom - top
    A = xp.empty((n * rows * OW, K * K * C), x.dtype)
    if A.size:
        size = C * x.itemsize
        width = next(w for w in (16, 8, 4) if size % w == 0 and (w == 4 or _aligned(w, x)))
        words = size // width
        kernel = _kernel(xp, "windows", {16: "uint4", 8: "uint2", 4: "unsigned"}[width])
        numbers = n, H, W, words, top, rows, OW, *how
        kernel(*_grid(OW * K * K * words, n * rows), (x, A, *numbers))
    return A


def add_windows(
    A: Array, y: Array, top: int, bottom: int, how: How, b: Array | None = None
) -> None:
    """The adjoint of :func:`windows`: every window of A added to y (n, H, W, C) where it came from.

    The first band, ``top`` = 0, sets y, to b (C,) or 0 where there is no window; others are added.
    """
    xp = array_module(y)
    n, H, W, C = y.shape
    rows = bottom - top
    OW = A.size // max(1, n * rows * how.K**2 * C)
    if y.size:
        word, words = _fours(C, y, A, b)
        numbers = n, H, W, words, top, rows, OW, *how, top > 0
        arrays = A, 0 if b is None else b, y
        _kernel(xp, "add_windows", word)(*_grid(W * words, n * H), (*arrays, *numbers))


def affine(
    x: Array, a: Array | None, z: Array | None, b: Array | None, shift: Array | None, y: Array
) -> Array:
    """y = x a + z b + shift, arrays (..., C) and (C,); what is None is left out."""
    C, length = x.shape[-1], math.prod(x.shape[-2:])
    word, words = _fours(C, x, a, z, b, shift, y)
    if x.size:
        arrays = (0 if array is None else array for array in (x, a, z, b, shift, y))
        rows, length = x.size // length, length // C * words
        _kernel(array_module(x), "affine", word)(
            *_grid(length, rows), (*arrays, rows, length, words)
        )
    return y


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return _each("relu", x)


def relu_gradient(dy: Array, y: Array) -> Array:
    """dy where y > 0, else 0."""
    return _each("relu_gradient", dy, y)


def _each(kernel: str, *arrays: Array) -> Array:
    xp = array_module(arrays[0])
    arrays = tuple(xp.ascontiguousarray(array) for array in arrays)
    out = xp.empty(arrays[0].shape, arrays[0].dtype)
    if out.size:
        length = math.prod(out.shape[-2:])
        word, words = _fours(length, out, *arrays)
        rows = out.size // length
        _kernel(xp, kernel, word)(*_grid(words, rows), (*arrays, out, rows, words))
    return out


def fold_kernel(w: Array) -> Array:
    """V (4C, 4O) of :func:`ums.ops.fast.upsample.fold_kernel`."""
    xp = array_module(w)
    _, _, C, O = w.shape
    V = xp.empty((4 * C, 4 * O), w.dtype)
    kernel = _kernel(xp, "fold", NUMBERS[w.dtype.char])
    kernel(*_grid(V.size), (xp.ascontiguousarray(w), V, C, O))
    return V


def unfold_kernel(dV: Array, shape: tuple[int, int, int, int]) -> Array:
    """dw (3, 3, C, O) of :func:`ums.ops.fast.upsample.unfold_kernel`."""
    xp = array_module(dV)
    dw = xp.empty(shape, dV.dtype)
    kernel = _kernel(xp, "unfold", NUMBERS[dV.dtype.char])
    kernel(*_grid(dw.size), (xp.ascontiguousarray(dV), dw, *shape[2:]))
    return dw


def gather(lists: Sequence[Sequence[Array]]) -> Array:
    """(k, P): the arrays of each of the k lists one after the other; the lists have the same shapes."""
    lists = [[array_module(a).ascontiguousarray(a) for a in arrays] for arrays in lists]
    like = lists[0][0]
    flat = array_module(like).empty((len(lists), sum(a.size for a in lists[0])), like.dtype)
    _copy_each(flat, lists, back=False)
    return flat


def scatter(flat: Array, lists: Sequence[Sequence[Array]]) -> None:
    """Copy what :func:`gather` made back to the contiguous arrays that it came from."""
    _copy_each(flat, lists, back=True)


@lru_cache(maxsize=64)
def _table(xp: ModuleType, device: int, numbers: tuple[int, ...]) -> Array:
    """Numbers on the GPU; CuPy's pool gives most steps the memory of the step before, at the same places."""
    return xp.asarray(np.array(numbers, np.int64))


def _copy_each(flat: Array, lists: Sequence[Sequence[Array]], back: bool) -> None:
    xp, arrays = array_module(flat), [array for arrays in lists for array in arrays]
    sizes = [array.size for array in arrays]
    starts = [flat.data.ptr + flat.itemsize * n for n in accumulate(sizes, initial=0)][:-1]
    places = [[array.data.ptr for array in arrays], starts]
    numbers = *places[back], *places[not back], *sizes
    table = _table(xp, xp.cuda.runtime.getDevice(), numbers)
    kernel = _kernel(xp, "copy_each", NUMBERS[flat.dtype.char])
    kernel((32, len(arrays)), (THREADS,), (table, len(arrays)))


def _parts(x: Array, kernel: str, numbers: int, *others: Array | int) -> tuple[Array, int]:
    """What every block finds in its share of the rows of x (..., C): (blocks, C, numbers)."""
    xp = array_module(x)
    C = x.shape[-1]
    M = x.size // C
    lines = THREADS // min(C, THREADS)
    blocks = max(1, min(MOST_BLOCKS, -(-M // (4 * lines))))
    parts = xp.empty((blocks, C, numbers), np.float64)
    run = _kernel(xp, kernel, NUMBERS[x.dtype.char])
    run((blocks, -(-C // THREADS)), (THREADS,), (x, *others, parts, M, C))
    return parts, blocks


def statistics(
    x: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array,
    running_var: Array,
    share: float,
    eps: float,
) -> Array:
    """(4, C): mean, rstd, scale and shift of a batch norm's training batch; moves the running ones."""
    xp, C = array_module(x), x.shape[-1]
    parts, blocks = _parts(xp.ascontiguousarray(x), "moments", 3)
    out = xp.empty((4, C), x.dtype)
    arrays = gamma, beta, running_mean, running_var
    _kernel(xp, "statistics", NUMBERS[x.dtype.char])(
        (C,), (32,), (parts, blocks, C, *arrays, float(share), float(eps), out)
    )
    return out


def channel_sums(x: Array) -> Array:
    """The sum of x (..., C) over all but C: (C,)."""
    xp, C = array_module(x), x.shape[-1]
    parts, blocks = _parts(xp.ascontiguousarray(x), "sums", 2, 0, 0)
    out = xp.empty(C, x.dtype)
    _kernel(xp, "channel_sums", NUMBERS[x.dtype.char])((C,), (32,), (parts, blocks, C, out))
    return out


def coefficients(dy: Array, x: Array, mean: Array, rstd: Array, gamma: Array) -> Array:
    """(5, C): dgamma, dbeta, and a, b and shift of batch norm's dx = a dy + b x + shift."""
    xp, C = array_module(x), x.shape[-1]
    dy, x = xp.ascontiguousarray(dy), xp.ascontiguousarray(x)
    parts, blocks = _parts(dy, "sums", 2, x, mean)
    out = xp.empty((5, C), x.dtype)
    M = float(x.size // C)
    _kernel(xp, "coefficients", NUMBERS[x.dtype.char])(
        (C,), (32,), (parts, blocks, C, M, mean, rstd, gamma, out)
    )
    return out
