"""The CPU's threads and caches: shares of work, tiles, and temporary memory that is reused.

The heavy ops share their work over the threads with :func:`parallel_for`, cut it into :func:`tiles`
that stay in a core's cache, and keep their temporary memory in :func:`scratch`. A GPU schedules its
own threads; on one, ``parallel_for`` calls its function once, and tiles only bound the memory.
"""

import ctypes
import math
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from contextvars import ContextVar, copy_context
from functools import cache, wraps
from itertools import groupby, pairwise
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from threadpoolctl import LibController, ThreadpoolController

from ums.backend import Array, array_module, thread_count
from ums.ops.fast import products

TILE_BYTES = 3 << 20
"""Temporary memory of a CPU tile: what fits a core's share of the last-level cache (measured)."""

SMALL_BYTES = 1 << 20
"""Temporary memory of all tiles together below which they are one: to wake a thread takes longer."""

SMALL_BATCH = 1 << 17
"""Pixels in a batch below which a network's products are shared by BLAS; see :func:`sharing`."""

BAND = 1 << 16
"""Numbers of each array that :func:`in_bands` works on at once."""

GPU_TILE_BYTES = 1 << 29
"""Temporary memory of a GPU tile: enough to fill the device, and fits beside the rest."""


def parallel_for(work: Callable[[int, int], Any], n: int, xp: ModuleType = np) -> list:
    """Call ``work(start, stop)`` on equal consecutive shares of ``range(n)``, one per thread.

    BLAS runs single-threaded meanwhile (see :func:`matmul`). The shares depend on ``n`` and the
    number of threads alone and the results are in their order, so that sums of them are the same in
    every run. On a GPU ``work`` is called once.

    The calling thread takes shares like the others, and any that no other thread takes. Hence this works
    inside ``work``, in a forked process, and in an exit handler, when Python starts no thread any
    more. No share is still running when this ends, even with an exception.
    """
    if xp is not np or _by_blas.get():
        return [work(0, n)]
    threads = min(thread_count(), n) if n > 1 else 1
    depth = _one_blas_thread.depth()
    if threads == 1 and depth:
        return [work(0, n)]
    edges = [n * i // threads for i in range(threads + 1)]
    shares = iter(list(enumerate(pairwise(edges))))  # the threads take from it in turns
    results, helpers = [None] * threads, []

    def run() -> None:
        for i, share in shares:
            results[i] = work(*share)

    try:
        _one_blas_thread.enter()
        try:
            with suppress(RuntimeError):  # no thread can be started
                for _ in range(threads - 1):
                    helpers.append(_pool(threads - 1).submit(copy_context().run, run))
            run()
        finally:
            list(shares)  # after an exception nobody takes another
            helpers = [helper for helper in helpers if not helper.cancel()]
            if helpers:
                wait(helpers)
    finally:
        try:
            _one_blas_thread.leave(depth)
        except BaseException:  # an interrupt, which comes once
            _one_blas_thread.leave(depth)
            raise
    for helper in helpers:
        helper.result()  # raises what it raised
    return results


_by_blas: ContextVar[bool | None] = ContextVar("by_blas", default=None)


def pixel_count(x: Array) -> int:
    """The pixels of a batch of images (N, H, W, C); with more than three channels, a third of the numbers."""
    return int(x.size // max(1, min((3, *x.shape[-1:]))))


@contextmanager
def sharing(pixels: int, xp: ModuleType = np) -> Iterator[None]:
    """Decide who shares the work over the threads while a network computes with a batch of so many pixels.

    The threads of :func:`parallel_for` take some 0.1 ms to wake. Those of BLAS stay awake for a while
    after a product, and with a small batch they are faster, though all but the products is then left to
    one thread. The two must not take turns, for awake threads keep the processors busy. Hence the
    outermost network decides for all that happens inside.
    """
    if _by_blas.get() is not None or xp is not np:
        yield
        return
    token = _by_blas.set(pixels < SMALL_BATCH and _blas_has_all_threads())
    try:
        yield
    finally:
        _by_blas.reset(token)


def _blas_has_all_threads() -> bool:
    threads = thread_count()
    return threads > 1 and all(one.num_threads == threads for one in _blas_libraries())


def for_each(work: Callable, items: list[tuple], xp: ModuleType = np) -> list:
    """Call ``work(*item)`` for every item, the items shared over the threads; results in order."""

    def share(start: int, stop: int) -> list:
        return [work(*item) for item in items[start:stop]]

    return [result for part in parallel_for(share, len(items), xp) for result in part]


def for_rows(work: Callable[[int, int], Any], M: int, row_bytes: int) -> list:
    """Call ``work(top, bottom)`` on bands of M rows, a tile's worth each; results in order.

    For passes over a large array that do little with each element: what one band needs stays in a
    core's cache between its operations. (On a GPU such a pass is one fused kernel.)
    """
    return for_each(work, [(top, bottom) for _, top, bottom in tiles(1, M, row_bytes)])


def in_bands(function: Callable) -> Callable:
    """Let ``function(*arrays, *numbers)`` change large arrays of one shape, in place, band by band.

    What it does is elementwise. A band of each array stays in a core's cache between its operations.
    """

    @wraps(function)
    def call(x: Array, *others: Array | float) -> None:
        arrays = [x, *(other for other in others if isinstance(other, type(x)))]
        numbers = others[len(arrays) - 1 :]
        contiguous = all(array.flags.c_contiguous for array in arrays)
        if array_module(x) is not np or x.size <= BAND or not contiguous:
            function(*arrays, *numbers)
            return
        flat = [array.reshape(-1) for array in arrays]
        for_rows(
            lambda i, j: function(*(a[i:j] for a in flat), *numbers), x.size, TILE_BYTES // BAND
        )

    return call


def single_threaded(work: Callable[[], Any], xp: ModuleType = np) -> Any:
    """``work()`` with BLAS held to the calling thread; see :func:`matmul`."""
    return parallel_for(lambda start, stop: work(), 1, xp)[0]


def matmul(a: Array, b: Array) -> Array:
    """a @ b, computed by the calling thread alone.

    So is every product in ums, but for those of :func:`sharing`. One BLAS thread per worker keeps
    each worker's tile in its own core's cache; BLAS's own threads, once woken, keep spinning for a
    while and take the processors from the workers. (On 2 cores, leaving two small products per
    layer to them made a training step at 128x128 take 0.23 s instead of 0.13 s.)
    """
    return single_threaded(lambda: products.matmul(a, b), array_module(a))


def tiles(
    N: int, rows: int, row_bytes: int, xp: ModuleType = np, budget: int | None = None
) -> list[tuple[slice, int, int]]:
    """Cut N images of ``rows`` output rows into tiles (images, top, bottom) of bounded size.

    One row needs ``row_bytes`` of temporary memory; ``budget`` is the size of a CPU tile in that
    unit (default ``TILE_BYTES``). A tile is several whole images where these fit, else a band of
    rows of one image. On NumPy there are as many groups of images as balance the threads, or, where
    there are fewer images than threads, as many bands as give every thread one; less than
    ``SMALL_BYTES`` in all is one tile.
    """
    small = budget is None and 0 < N * rows * row_bytes < min(SMALL_BYTES, TILE_BYTES)
    if small and xp is np:
        return [(slice(0, N), 0, rows)]
    budget = (budget or TILE_BYTES) if xp is np else GPU_TILE_BYTES
    images = max(1, budget // max(1, rows * row_bytes))
    groups = -(-N // images)
    if xp is np:
        threads = 1 if _by_blas.get() else thread_count()
        groups = min(N, -(-groups // threads) * threads)
    edges = [N * i // max(groups, 1) for i in range(groups + 1)]
    step = max(1, rows if images > 1 or N == 0 else budget // max(1, row_bytes))
    if xp is np and 0 < groups < threads:
        step = max(1, min(step, -(-rows // -(-threads // groups))))
    return [
        (slice(first, last), top, min(top + step, rows))
        for first, last in pairwise(edges)
        for top in range(0, rows, step)
    ]


def by_images(work_list: list[tuple[slice, int, int]]) -> list[tuple[slice, list]]:
    """Gather :func:`tiles` of the same images: (images, [(top, bottom), ...])."""
    groups = groupby(work_list, lambda tile: tile[0])
    return [(images, [band for _, *band in group]) for images, group in groups]


_thread = threading.local()


def scratch(key: str, shape: tuple[int, ...], dtype: DTypeLike, xp: ModuleType = np) -> Array:
    """Uninitialised memory for a temporary, kept by this thread under ``key`` for the next call.

    The first touch of fresh memory costs many times a write to memory already in use. What a caller
    returns must not lie in it. CuPy's memory pool does the same by itself.
    """
    if xp is not np:
        return xp.empty(shape, dtype)
    buffers = _thread.__dict__.setdefault("buffers", {})
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if key not in buffers or buffers[key].size < size:
        buffers[key] = np.empty(size, np.uint8)
    return buffers[key][:size].view(dtype).reshape(shape)


@cache
def _pool(helpers: int) -> ThreadPoolExecutor:
    """A pool of threads that help the calling one."""
    return ThreadPoolExecutor(helpers, "ums")


@cache
def _blas_libraries() -> list[LibController]:
    _keep_freed_memory()
    return [one for one in ThreadpoolController().lib_controllers if one.user_api == "blas"]


def _set_blas_threads(numbers: list[int]) -> None:
    for library, number in zip(_blas_libraries(), numbers, strict=True):
        # threadpoolctl 3.8 obeys only the first thread that asked, unless told to forget it
        forget = getattr(library, "clear_controlling_thread", lambda force: None)
        forget(force=True)
        library.set_num_threads(number)
        forget(force=True)


class _OneBlasThread:
    """Keeps BLAS at one thread while any thread is inside a block.

    An interrupt may come anywhere: ``leave`` must follow where ``enter`` was not finished too, and
    may be called again; the numbers to restore are kept until they are.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.inside: list[int] = []  # the thread of each block
        self.before: list[int] = []

    def depth(self) -> int:
        """How many blocks the calling thread is inside."""
        return self.inside.count(threading.get_ident())

    def enter(self) -> None:
        with self.lock:
            if not self.inside:
                self.before = self.before or [one.num_threads for one in _blas_libraries()]
                _set_blas_threads([1] * len(self.before))
            self.inside.append(threading.get_ident())

    def leave(self, depth: int) -> None:
        """Leave all blocks of the calling thread but the first ``depth``."""
        with self.lock:
            while self.depth() > depth:
                self.inside.remove(threading.get_ident())
            self._restore()

    def _restore(self) -> None:
        if not self.inside and self.before:
            _set_blas_threads(self.before)
            self.before = []

    def start_anew(self) -> None:
        """In a forked child, which has none of its parent's other threads."""
        _pool.cache_clear()
        self.inside = [thread for thread in self.inside if thread == threading.get_ident()]
        self._restore()
        self.lock.release()


_one_blas_thread = _OneBlasThread()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_one_blas_thread.lock.acquire,
        after_in_parent=_one_blas_thread.lock.release,
        after_in_child=_one_blas_thread.start_anew,
    )


def _keep_freed_memory() -> None:
    """Ask glibc, where it is the C library, to keep freed memory instead of returning the pages."""
    m_trim_threshold, m_mmap_max = -1, -4  # from <malloc.h>
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(m_mmap_max, 0)
    mallopt(m_trim_threshold, 2**31 - 1)
