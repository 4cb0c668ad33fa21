"""The CPU's threads and caches: shares of work, tiles, and temporary memory that is reused.

The heavy ops share their work over the threads with :func:`parallel_for`, cut it into :func:`tiles`
that stay in a core's cache, and keep their temporary memory in :func:`scratch`. A GPU schedules its
own threads; on one, ``parallel_for`` calls its function once, and tiles only bound the memory.
"""

import ctypes
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from contextvars import copy_context
from functools import partial
from itertools import groupby, pairwise
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from threadpoolctl import LibController, ThreadpoolController

from ums.backend import Array, array_module, thread_count

TILE_BYTES = 3 << 20
"""Temporary memory of a CPU tile: what fits a core's share of the last-level cache (measured)."""

GPU_TILE_BYTES = 1 << 29
"""Temporary memory of a GPU tile: enough to fill the device, and fits beside the rest."""


def parallel_for(work: Callable[[int, int], Any], n: int, xp: ModuleType = np) -> list:
    """Call ``work(start, stop)`` on equal consecutive shares of ``range(n)``, one per thread.

    BLAS runs single-threaded meanwhile (see :func:`matmul`). The shares depend on ``n`` and the
    number of threads alone and the results are in their order, so that sums of them are the same in
    every run. On a GPU ``work`` is called once.

    The calling thread takes shares like the others, and all that nobody else takes. Hence this works
    inside ``work``, in a forked process, and in an exit handler, when Python starts no thread any
    more. No share is at work when this ends, even by an exception.
    """
    if xp is not np:
        return [work(0, n)]
    threads = max(1, min(thread_count(), n))
    shares = enumerate(pairwise(n * i // threads for i in range(threads + 1)))
    results, todo, helpers = [None] * threads, deque(shares), []

    def run() -> None:
        with _calls.inside():
            while todo:
                try:
                    i, share = todo.popleft()
                except IndexError:  # another thread took the last one
                    return
                results[i] = work(*share)

    with _calls.counted():
        try:
            with suppress(RuntimeError):  # no thread can be started
                for _ in range(threads - 1):
                    helpers.append(_calls.pool(threads - 1).submit(copy_context().run, run))
            run()
        finally:
            todo.clear()
            helpers = [helper for helper in helpers if not helper.cancel()]
            wait(helpers)
    for helper in helpers:
        helper.result()  # raises what it raised
    return results


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


def add_up(shares: list[tuple[Array, ...]]) -> list[Array]:
    """Add the arrays of all shares to those of the first, place by place."""
    return [sum(others, first) for first, *others in zip(*shares, strict=True)]


def alone(work: Callable[[], Any], xp: ModuleType = np) -> Any:
    """``work()`` with BLAS held to the calling thread; see :func:`matmul`."""
    return parallel_for(lambda start, stop: work(), 1, xp)[0]


def matmul(a: Array, b: Array) -> Array:
    """a @ b, computed by the calling thread alone.

    Every product in ums is computed so. One BLAS thread per worker keeps each worker's tile in its
    own core's cache; BLAS's own threads, once woken, keep spinning for a while and take the
    processors from the workers. (On 2 cores, leaving two small products per layer to them made a
    training step at 128x128 take 0.23 s instead of 0.13 s.)
    """
    xp = array_module(a)
    return alone(lambda: xp.matmul(a, b), xp)


def tiles(
    N: int, rows: int, row_bytes: int, xp: ModuleType = np, budget: int | None = None
) -> list[tuple[slice, int, int]]:
    """Cut N images of ``rows`` output rows into tiles (images, top, bottom) of bounded size.

    One row needs ``row_bytes`` of temporary memory; ``budget`` is the size of a CPU tile in that
    unit (default ``TILE_BYTES``). A tile is several whole images where these fit, else a band of
    rows of one image. On NumPy there are as many groups of images as balance the threads, or, where
    there are fewer images than threads, as many bands as give every thread one.
    """
    budget = (budget or TILE_BYTES) if xp is np else GPU_TILE_BYTES
    images = max(1, budget // max(1, rows * row_bytes))
    groups = -(-N // images)
    if xp is np:
        threads = thread_count()
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


class _Calls:
    """The calls of :func:`parallel_for` at work in this process, its threads, and BLAS's.

    The first call in holds BLAS to one thread and the last one out gives it back its own, whichever
    user threads they come from. A fork waits for the calls of other threads to end: the child has
    none of them, and a lock that one held inside BLAS would stay locked for ever.
    """

    FORK_PATIENCE = 10.0
    """Seconds that a fork waits at most."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.count, self.forking = 0, False
        self.blas: list[LibController] | None = None
        self.blas_threads: list[int] = []
        self.pools: dict[int, ThreadPoolExecutor] = {}

    @staticmethod
    def depth() -> int:
        """How many calls this thread is at work for, one inside the other."""
        depth: int = _thread.__dict__.get("depth", 0)
        return depth

    @contextmanager
    def inside(self) -> Iterator[None]:
        _thread.depth = self.depth() + 1
        try:
            yield
        finally:
            _thread.depth -= 1

    @contextmanager
    def counted(self) -> Iterator[None]:
        with self.changed:
            if not self.depth():  # else the fork may be waiting for what this is a part of
                self.changed.wait_for(lambda: not self.forking)
            if self.blas is None:
                _keep_freed_memory()
                libraries = ThreadpoolController().lib_controllers
                self.blas = [library for library in libraries if library.user_api == "blas"]
            if self.count == 0:
                self.blas_threads = [library.num_threads for library in self.blas]
                self._set_blas([1] * len(self.blas))
            self.count += 1
        try:
            yield
        finally:
            with self.changed:
                self.count -= 1
                if self.count == 0:
                    self._set_blas(self.blas_threads)
                    self.changed.notify_all()

    def _set_blas(self, threads: list[int]) -> None:
        for library, n in zip(self.blas or [], threads, strict=True):
            # threadpoolctl 3.8 lets no thread do so but the first that did, unless it is told
            clear = getattr(library, "clear_controlling_thread", lambda force: None)
            clear(force=True)
            library.set_num_threads(n)
            clear(force=True)

    def pool(self, helpers: int) -> ThreadPoolExecutor:
        """The pool of so many threads beside the calling one."""
        with self.changed:
            if helpers not in self.pools:
                self.pools[helpers] = ThreadPoolExecutor(helpers, "ums")
            return self.pools[helpers]

    def before_fork(self) -> None:
        self.changed.acquire()
        self.forking = True
        if not self.depth():
            self.changed.wait_for(lambda: self.count == 0, self.FORK_PATIENCE)

    def after_fork(self, child: bool) -> None:
        self.forking = False
        if child:
            self.pools.clear()  # their threads are the parent's
            if self.count and not self.depth():
                self.count = 0
                self._set_blas(self.blas_threads)
        self.changed.notify_all()
        self.changed.release()


_calls = _Calls()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_calls.before_fork,
        after_in_parent=partial(_calls.after_fork, child=False),
        after_in_child=partial(_calls.after_fork, child=True),
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
