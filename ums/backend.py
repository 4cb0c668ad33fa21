"""Where arrays live and what computes on them: the array module, the device, fused kernels.

An op asks :func:`array_module` for the module its input belongs to (NumPy or CuPy) and is written
once for both. On CuPy a chain of elementwise steps is one kernel (:func:`fused`). How the ops share
their work over the CPU's threads is in :mod:`ums.ops.fast.threads`.
"""

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial, wraps
from types import ModuleType
from typing import Any

import numpy as np

Array = Any
"""A ``numpy.ndarray`` or a ``cupy.ndarray``; the ops treat both alike."""


def array_module(x: Array) -> ModuleType:
    """The module whose functions work on ``x``: ``numpy``, or ``cupy`` for an array on a GPU.

    The module is found by the name of the array's type, so CuPy is never imported for its own sake.

    Raises:
        TypeError: ``x`` is not an array.
    """
    kind: type = type(x)
    return _module_of(kind)


@cache  # of few types; a training step asks some hundred times
def _module_of(kind: type) -> ModuleType:
    if issubclass(kind, np.ndarray | np.generic):
        return np
    module = sys.modules.get(kind.__module__.partition(".")[0])
    if module is None or not hasattr(module, "ndarray") or not issubclass(kind, module.ndarray):
        raise TypeError(f"expected a NumPy or CuPy array, got {kind.__name__}")
    return module


def to_numpy(x: Array) -> np.ndarray:
    """``x`` as a NumPy array in the computer's own memory (a copy only if it lies elsewhere)."""
    array: np.ndarray = x if array_module(x) is np else x.get()
    return array


@dataclass(frozen=True)
class Device:
    """Where a run computes: the array module, NumPy or CuPy, and a name to print."""

    xp: ModuleType
    name: str

    def put(self, x: np.ndarray) -> Array:
        """``x`` as an array of this device (no copy if it is there already)."""
        return self.xp.asarray(x)


def choose_device(wanted: str = "auto") -> Device:
    """The device of a run: ``"cpu"``, ``"gpu"``, or ``"auto"`` (a GPU if one works, else the CPU).

    Raises:
        ValueError: ``wanted`` is none of the three.
        RuntimeError: ``"gpu"`` was requested and none works; the message says why.
    """
    if wanted not in ("auto", "cpu", "gpu"):
        raise ValueError(f"device must be 'auto', 'cpu' or 'gpu', got {wanted!r}")
    if wanted != "cpu":
        try:
            return _gpu()
        except Exception as error:  # CuPy absent, no driver, no device, broken install: all differ
            if wanted == "gpu":
                raise RuntimeError(f"no working GPU: {error}") from error
    return Device(np, f"CPU, {thread_count()} threads")


GPU_MEMORY_SHARE = 0.9
"""The share of a GPU's memory that CuPy's default pool takes at most; recorded layers have pools of their
own (:mod:`ums.ops.fast.graphs`). ``CUPY_GPU_MEMORY_LIMIT``, which CuPy reads, overrides it."""


def _gpu() -> Device:
    import cupy  # only here: the CPU never needs it

    probe = cupy.arange(4, dtype=cupy.float32)
    if float((probe @ probe).get()) != 14.0:  # a device can be present and not compute
        raise RuntimeError("the GPU computed a wrong result")
    pool = cupy.get_default_memory_pool()
    if "CUPY_GPU_MEMORY_LIMIT" not in os.environ and pool.get_limit() == 0:
        pool.set_limit(fraction=GPU_MEMORY_SHARE)
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    return Device(cupy, f"GPU, {name}, CuPy {cupy.__version__}")


def thread_count() -> int:
    """The CPU threads of the ops: ``UMS_THREADS`` if set, else the processors this process may use.

    Raises:
        ValueError: ``UMS_THREADS`` is not a positive integer.
    """
    wanted = os.environ.get("UMS_THREADS", "")
    if wanted:
        if not wanted.isdecimal() or int(wanted) < 1:
            raise ValueError(f"UMS_THREADS must be a positive integer, got {wanted!r}")
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fused(function: Callable) -> Callable:
    """Make ``function(xp, *arrays_and_numbers)`` a single kernel where its arrays are on a GPU.

    Called one by one, the operations are kernels of their own, each of which carries whole arrays
    from memory and back. On NumPy the function is called as it stands: it is the definition. CuPy
    calls it once for each combination of dtypes, with placeholders, and compiles the operations it
    sees. Hence the function

    - uses operators on arrays, in-place ones too, and elementwise functions of ``xp``; at the end,
      one ``xp.sum`` over an axis if need be; no shapes, indices (but ``a[...] = b``) or branches;
    - returns arrays as large as all its arguments broadcast together, and changes no smaller ones;
    - takes every number that can change as an argument: others are compiled in;
    - combines a number with an array, never with another number, which CuPy would round to float16.

    The tests enforce these rules. The result is called without ``xp``, an array first.
    """

    @wraps(function)
    def call(array: Array, *others: Array | float | None) -> Any:
        return _kernel(function, array_module(array))(array, *others)

    return call


@cache
def _kernel(function: Callable, xp: ModuleType) -> Callable:
    bound = partial(function, xp)
    return bound if xp is np else xp.fuse(kernel_name=function.__name__)(bound)
