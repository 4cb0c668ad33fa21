"""Where arrays live and who computes on them: array modules, the device, the CPU's threads.

Nothing here is mathematics. An op asks :func:`array_module` for the module its input belongs to
(NumPy or CuPy) and writes the rest once. On NumPy the heavy ops share their work with
:func:`parallel_for` and keep their temporary memory in :func:`scratch`; on CuPy a chain of
elementwise steps is one kernel (:func:`fused`).
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial, wraps
from itertools import pairwise
from types import ModuleType
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

Array = Any
"""A ``numpy.ndarray`` or a ``cupy.ndarray``; the ops treat both alike."""


def array_module(x: Array) -> ModuleType:
    """The module whose functions work on ``x``: ``numpy``, or ``cupy`` for an array on a GPU.

    The module is found by the name of the array's type, so CuPy is never imported for its own
    sake, and any other array library with NumPy's functions can be used too.

    Raises:
        TypeError: ``x`` is not an array.
    """
    if isinstance(x, np.ndarray | np.generic):
        return np
    module = sys.modules.get(type(x).__module__.partition(".")[0])
    if module is None or not hasattr(module, "ndarray") or not isinstance(x, module.ndarray):
        raise TypeError(f"expected a NumPy or CuPy array, got {type(x).__name__}")
    return module


def to_numpy(x: Array) -> np.ndarray:
    """``x`` as a NumPy array in the computer's own memory (a copy only if it lies elsewhere)."""
    return x if array_module(x) is np else x.get()


# ---------------------------------------------------------------------------------- the device


@dataclass(frozen=True)
class Device:
    """Where a run computes: its array module and a name to print."""

    xp: ModuleType
    name: str

    def put(self, x: np.ndarray) -> Array:
        """``x`` as an array of this device (no copy if it is there already)."""
        return self.xp.asarray(x)


def choose_device(wanted: str = "auto") -> Device:
    """The device for a run, chosen once and handed on.

    Args:
        wanted: ``"cpu"``, ``"gpu"``, or ``"auto"`` (a GPU if one works, else the CPU).

    Raises:
        ValueError: ``wanted`` is none of the three.
        RuntimeError: ``"gpu"`` was asked for and none works; says why.
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


def _gpu() -> Device:
    import cupy  # only here: the CPU never needs it

    probe = cupy.arange(4, dtype=cupy.float32)
    if float((probe @ probe).get()) != 14.0:  # a device can be present and not compute
        raise RuntimeError("the GPU computed a wrong result")
    _bound_memory(cupy.get_default_memory_pool())
    name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
    return Device(cupy, f"GPU, {name}, CuPy {cupy.__version__}")


GPU_MEMORY_SHARE = 0.9
"""What ums takes of a GPU's memory at most; beyond it CuPy raises a MemoryError that says how much
was asked for, and the rest is left to the screen and to other programs."""


def _bound_memory(pool: Any) -> None:
    """Limit CuPy's memory pool, which keeps what is freed, unless somebody else has done so.

    ``CUPY_GPU_MEMORY_LIMIT`` (bytes, or a share such as ``50%``; 0 for no limit) is read by CuPy.
    """
    if "CUPY_GPU_MEMORY_LIMIT" not in os.environ and pool.get_limit() == 0:
        pool.set_limit(fraction=GPU_MEMORY_SHARE)


def fused(function: Callable) -> Callable:
    """Make ``function(xp, *arrays_and_numbers)`` a single kernel where its arrays are on a GPU.

    Step by step, every operation is a kernel of its own that carries whole arrays from memory and
    back. On NumPy the function is called as it stands: it is the definition. CuPy calls it once for
    each combination of dtypes, with placeholders, and compiles the operations it sees. Hence it

    - has operators on arrays, in-place ones too, and elementwise functions of ``xp``; at the end,
      one ``xp.sum`` over an axis if need be; no shapes, indices (but ``a[...] = b``) or branches;
    - returns arrays as large as all its arguments broadcast together, and changes no smaller ones;
    - takes every number that can change as an argument: others are compiled in;
    - lets a number meet an array, not another number: CuPy would round their result to float16.

    The stand-in of the tests holds it to this.

    Returns:
        A function of the arrays and numbers alone, an array first.
    """

    @wraps(function)
    def call(array, *others):
        return _kernel(function, array_module(array))(array, *others)

    return call


@cache
def _kernel(function: Callable, xp: ModuleType) -> Callable:
    bound = partial(function, xp)
    return bound if xp is np else xp.fuse(kernel_name=function.__name__)(bound)


# ------------------------------------------------------------------------ the CPU's threads


def thread_count() -> int:
    """CPU threads the ops use: ``UMS_THREADS`` if set, else the processors this process may use."""
    wanted = os.environ.get("UMS_THREADS", "")
    if wanted:
        if not wanted.isdecimal() or int(wanted) < 1:
            raise ValueError(f"UMS_THREADS must be a positive integer, got {wanted!r}")
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _workers(threads: int) -> tuple[ThreadPoolExecutor, ThreadpoolController]:
    _keep_freed_memory()
    return ThreadPoolExecutor(threads, thread_name_prefix="ums"), ThreadpoolController()


def parallel_for(work: Callable[[int, int], Any], n: int, xp: ModuleType = np) -> list:
    """Call ``work(start, stop)`` on equal consecutive shares of ``range(n)``, one per thread.

    BLAS runs single-threaded meanwhile (see :func:`matmul`). The shares depend on ``n`` and the
    number of threads alone, so results that are added up in the returned order are the same in every
    run. A GPU has threads of its own: there ``work`` is called once.

    Returns:
        What the calls returned, in the order of their shares.
    """
    if xp is not np:
        return [work(0, n)]
    pool, blas = _workers(thread_count())
    threads = max(1, min(thread_count(), n))
    edges = [n * i // threads for i in range(threads + 1)]
    with blas.limit(limits=1, user_api="blas"):
        return [work(0, n)] if threads == 1 else list(pool.map(work, edges[:-1], edges[1:]))


def matmul(a: Array, b: Array) -> Array:
    """a @ b, by the calling thread alone.

    In ums every product is: one BLAS thread per worker keeps each worker's tile in its own core's
    cache, and BLAS's own threads, once woken, go on spinning for a while and take the processors
    from the workers. (On 2 cores, two small products per layer left to them made a training step at
    128x128 take 0.23 s instead of 0.13 s.)
    """
    xp = array_module(a)
    return parallel_for(lambda start, stop: xp.matmul(a, b), 1, xp)[0]


TILE_BYTES = 3 << 20
"""A CPU tile's temporary: small enough for a core's share of the last-level cache, measured best."""

GPU_TILE_BYTES = 1 << 29
"""A GPU tile's temporary: large enough to fill the device, small enough to fit beside the rest."""


def tiles(
    N: int, rows: int, row_bytes: int, xp: ModuleType = np, budget: int | None = None
) -> list[tuple[slice, int, int]]:
    """Cut N images of ``rows`` rows into tiles (images, top, bottom) of bounded size.

    Args:
        N: images in the batch.
        rows: rows of an image, those of the output.
        row_bytes: bytes of temporary memory that one row of one image needs.
        xp: the array module; it decides the size of a tile.
        budget: of a CPU tile, where it is not ``TILE_BYTES``, in the unit of ``row_bytes``.

    Returns:
        Tiles in order: several whole images where these fit, else a band of rows of one image.
        On NumPy there are as many image groups as balance the threads, or, where there are fewer
        images than threads, as many bands as give every thread one.
    """
    budget = (budget or TILE_BYTES) if xp is np else GPU_TILE_BYTES
    images = max(1, budget // max(1, rows * row_bytes))
    groups = -(-N // images)
    if xp is np:
        threads = thread_count()
        groups = min(N, -(-groups // threads) * threads)
    edges = [N * i // max(groups, 1) for i in range(groups + 1)]
    step = rows if images > 1 or N == 0 else max(1, budget // row_bytes)
    if xp is np and 0 < groups < threads:
        step = max(1, min(step, -(-rows // -(-threads // groups))))
    return [
        (slice(first, last), top, min(top + step, rows))
        for first, last in pairwise(edges)
        for top in range(0, rows, step)
    ]


def for_rows(work: Callable[[int, int], Any], M: int, row_bytes: int) -> list:
    """Call ``work(top, bottom)`` on bands of M rows, a tile's worth each, over the CPU's threads.

    For passes over a large array that do little with each element: what one band needs stays in a
    core's cache between its operations. (On a GPU such a pass is a :func:`fused` function.)

    Returns:
        What the calls returned, in the order of their bands.
    """
    bands = [(top, bottom) for _, top, bottom in tiles(1, M, row_bytes)]

    def share(start, stop):
        return [work(*band) for band in bands[start:stop]]

    return [result for part in parallel_for(share, len(bands)) for result in part]


_thread = threading.local()


def scratch(key: str, shape: tuple[int, ...], dtype, xp: ModuleType = np) -> Array:
    """Uninitialised memory for a temporary, kept by this thread under ``key`` for the next call.

    The first touch of fresh memory costs many times a write to memory already in use, so the
    inner loops of the ops reuse theirs. What a caller returns must not lie in it. CuPy's memory
    pool does the same by itself.
    """
    if xp is not np:
        return xp.empty(shape, dtype)
    buffers = _thread.__dict__.setdefault("buffers", {})
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if key not in buffers or buffers[key].size < size:
        buffers[key] = np.empty(size, np.uint8)
    return buffers[key][:size].view(dtype).reshape(shape)


def _keep_freed_memory() -> None:
    """Ask glibc to keep freed arrays for the next allocation instead of returning the pages.

    Elsewhere than on glibc nothing is done. The numbers are those of ``<malloc.h>``.
    """
    m_trim_threshold, m_mmap_max = -1, -4
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(m_mmap_max, 0)
    mallopt(m_trim_threshold, 2**31 - 1)
