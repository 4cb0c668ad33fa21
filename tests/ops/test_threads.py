"""Threads, tiles and reused memory."""

import linecache
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
import standin
from threadpoolctl import threadpool_info, threadpool_limits

from ums.layers import Conv2D, ReLU, Sequential
from ums.ops import dense_backward, dense_forward
from ums.ops.fast import threads as fast_threads
from ums.ops.fast.threads import parallel_for, pixel_count, scratch, sharing, tiles


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 100])
@pytest.mark.parametrize("threads", [1, 2, 3, 5])
def test_parallel_for_gives_equal_shares_in_order(n, threads, monkeypatch):
    monkeypatch.setenv("UMS_THREADS", str(threads))
    shares = parallel_for(lambda start, stop: (start, stop), n)
    sizes = [stop - start for start, stop in shares]
    assert [i for start, stop in shares for i in range(start, stop)] == list(range(n))
    assert len(shares) == max(1, min(threads, n)) and max(sizes) - min(sizes) <= 1


def test_parallel_for_runs_its_shares_at_the_same_time(monkeypatch):
    monkeypatch.setenv("UMS_THREADS", "3")
    barrier = threading.Barrier(3, timeout=10)  # one after the other they would wait in vain
    assert sorted(parallel_for(lambda start, stop: barrier.wait(), 3)) == [0, 1, 2]


def test_parallel_for_keeps_the_order_of_the_shares_not_of_their_ends(monkeypatch):
    monkeypatch.setenv("UMS_THREADS", "2")
    later = threading.Event()

    def work(start, stop):
        if start == 0:
            assert later.wait(10)
        else:
            later.set()
        return start

    assert parallel_for(work, 2) == [0, 1]


def interrupting(at):
    """A trace function that raises a KeyboardInterrupt at one of the lines that limit BLAS.

    From Python 3.12 on a signal is handled where a function begins, and not at any line.
    """
    lines = iter(range(at + 1))
    anywhere = sys.version_info < (3, 12)

    def trace(frame, event, argument):
        if frame.f_code.co_name in ("enter", "leave", "_restore", "_set_blas_threads"):
            line = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
            handled = (
                anywhere or event == "call"
            ) and "with self.lock" not in line  # left unbroken
            if handled and next(lines, None) == at:
                raise KeyboardInterrupt
            return trace
        return None

    return trace


def blas_threads():
    return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]


@pytest.mark.parametrize("at", range(40))
def test_interrupt_does_not_leave_blas_at_one_thread(at):
    with threadpool_limits(3, "blas"):
        found, tracing = blas_threads(), sys.gettrace()
        sys.settrace(interrupting(at))
        with suppress(KeyboardInterrupt):
            parallel_for(lambda start, stop: None, 1)
        sys.settrace(tracing)
        assert blas_threads() == found and not fast_threads._one_blas_thread.inside
        with ThreadPoolExecutor(1) as other:  # the lock is free
            assert other.submit(fast_threads._one_blas_thread.lock.acquire, timeout=5).result()
            other.submit(fast_threads._one_blas_thread.lock.release).result()


@pytest.mark.parametrize("threads", ["1", "2", "4"])
def test_parallel_for_hands_on_an_exception_and_works_again(threads, monkeypatch):
    monkeypatch.setenv("UMS_THREADS", threads)

    def work(start, stop):
        if stop == 8:
            raise KeyError("the last share")

    with pytest.raises(KeyError, match="the last share"):
        parallel_for(work, 8)
    assert parallel_for(lambda start, stop: stop, 8)[-1] == 8


def test_parallel_for_holds_blas_to_one_thread_meanwhile(monkeypatch):
    monkeypatch.setenv("UMS_THREADS", "2")

    def blas_threads(*share):
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before = blas_threads()
    parallel_for(lambda *share: None, 2)  # the pool knows the BLAS libraries loaded when it starts
    assert before and blas_threads() == before
    assert 1 in parallel_for(blas_threads, 2)[0]


@pytest.mark.parametrize("threads", ["1", "2"])
def test_products_of_dense_layers_leave_blas_to_one_thread(threads, rng, monkeypatch):
    monkeypatch.setenv("UMS_THREADS", threads)
    parallel_for(lambda *share: None, 2)
    original, seen = np.matmul, []

    def spy(a, b, out=None):
        pools = threadpool_info()
        seen.append(min(pool["num_threads"] for pool in pools if pool["user_api"] == "blas"))
        return original(a, b, out=out)

    monkeypatch.setattr(np, "matmul", spy)
    x, w, b = rng.standard_normal((3, 4)), rng.standard_normal((4, 2)), np.zeros(2)
    y, cache = dense_forward(x, w, b)
    dx, dw, _ = dense_backward(y, cache)
    assert seen == [1, 1, 1]
    np.testing.assert_allclose(y, x.dot(w))
    np.testing.assert_allclose(dx, y.dot(w.T))
    np.testing.assert_allclose(dw, x.T.dot(y))


def test_parallel_for_calls_once_on_another_device(monkeypatch):
    monkeypatch.setenv("UMS_THREADS", "4")
    assert parallel_for(lambda *share: share, 10, standin) == [(0, 10)]


# ------------------------------------------------------------------------------ tiles

TILES = [
    # N, rows, row_bytes, budget, threads
    (1, 1, 1, 100, 1),
    (4, 10, 5, 100, 1),
    (5, 10, 5, 100, 2),
    (7, 3, 1, 100, 3),
    (3, 10, 30, 100, 2),
    (2, 10, 100, 100, 3),
    (2, 4, 1000, 100, 2),  # one row alone is larger than a tile
    (9, 7, 14, 98, 4),
]


@pytest.mark.parametrize(("N", "rows", "row_bytes", "budget", "threads"), TILES)
@pytest.mark.parametrize("xp", [np, standin])
def test_tiles_cover_every_row_once_in_order(N, rows, row_bytes, budget, threads, xp, monkeypatch):
    monkeypatch.setattr(fast_threads, "TILE_BYTES", budget)
    monkeypatch.setattr(fast_threads, "GPU_TILE_BYTES", budget)
    monkeypatch.setenv("UMS_THREADS", str(threads))
    seen = np.zeros((N, rows), int)
    for images, top, bottom in tiles(N, rows, row_bytes, xp):
        seen[images, top:bottom] += 1
        n = images.stop - images.start
        assert n * (bottom - top) * row_bytes <= max(budget, row_bytes)
        assert (n == 1 or (top, bottom) == (0, rows)) and bottom > top
    assert (seen == 1).all()


@pytest.mark.parametrize(("N", "rows", "row_bytes", "budget", "threads"), TILES)
def test_tiles_balance_the_threads(N, rows, row_bytes, budget, threads, monkeypatch):
    monkeypatch.setattr(fast_threads, "TILE_BYTES", budget)
    monkeypatch.setattr(fast_threads, "SMALL_BYTES", 0)
    monkeypatch.setenv("UMS_THREADS", str(threads))
    groups = {(t[0].start, t[0].stop) for t in tiles(N, rows, row_bytes)}
    sizes = [stop - start for start, stop in groups]
    assert len(groups) == N or len(groups) % threads == 0
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("N", "threads", "bands"), [(1, 2, 2), (1, 5, 5), (2, 3, 4), (3, 3, 3)])
def test_every_thread_gets_rows_where_there_are_fewer_images(N, threads, bands, monkeypatch):
    monkeypatch.setenv("UMS_THREADS", str(threads))
    monkeypatch.setattr(fast_threads, "SMALL_BYTES", 0)
    assert len(tiles(N, 10, 1)) == bands
    assert tiles(1, 0, 1) == []


def test_small_work_is_one_tile(monkeypatch):
    monkeypatch.setenv("UMS_THREADS", "4")
    monkeypatch.setattr(fast_threads, "SMALL_BYTES", 400)
    assert tiles(3, 10, 13) == [(slice(0, 3), 0, 10)]
    assert len(tiles(4, 10, 10)) == 4


def test_gpu_tiles_have_a_budget_of_their_own(monkeypatch):
    monkeypatch.setattr(fast_threads, "TILE_BYTES", 1)
    assert tiles(3, 5, 10, standin) == [(slice(0, 3), 0, 5)]
    assert len(tiles(3, 5, 10)) == 15


def test_no_images_need_no_tiles():
    assert tiles(0, 5, 10) == [] == tiles(0, 5, 10, standin)


# ------------------------------------------------------------------------------ reused memory


def test_scratch_gives_the_same_memory_for_the_same_key():
    first = scratch("test a", (4, 5), np.float64)
    assert first.shape == (4, 5) and first.dtype == np.float64
    assert np.shares_memory(first, scratch("test a", (3, 2), np.float32))
    assert not np.shares_memory(first, scratch("test b", (4, 5), np.float64))


def test_scratch_grows_where_it_is_too_small():
    scratch("test c", (2,), np.float32)
    larger = scratch("test c", (1000, 3), np.float64)
    larger[...] = 1
    assert larger.sum() == 3000 and larger.flags.c_contiguous


def test_scratch_of_another_thread_is_its_own():
    mine, theirs = scratch("test d", (8,), np.float64), []
    thread = threading.Thread(target=lambda: theirs.append(scratch("test d", (8,), np.float64)))
    thread.start()
    thread.join()
    assert not np.shares_memory(mine, theirs[0])


def test_scratch_of_another_device_is_left_to_it():
    assert isinstance(scratch("test e", (2, 3), np.float32, standin), standin.ndarray)


# ------------------------------------------------------------------- who shares the work: sharing


def shares_of(pixels, **others):
    with sharing(pixels, **others):
        return parallel_for(lambda start, stop: (start, stop), 4)


def test_products_of_a_small_batch_are_left_to_the_threads_of_blas(monkeypatch):
    monkeypatch.setenv("UMS_THREADS", "2")
    with threadpool_limits(2, "blas"):
        assert shares_of(fast_threads.SMALL_BATCH - 1) == [(0, 4)]
        assert shares_of(fast_threads.SMALL_BATCH) == [(0, 2), (2, 4)]
        with sharing(1):
            assert set(parallel_for(lambda start, stop: blas_threads(), 4)[0]) == {2}
            assert len(tiles(2, 64, 1 << 16)) < len(tiles(2, 64, 1 << 20))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((2, 8, 4, 1), 64), ((2, 8, 4, 3), 64), ((2, 8, 4, 6), 128), ((2, 0), 0), ((), 0)],
)
def test_pixels_are_those_of_images_and_a_third_of_the_numbers_of_features(shape, expected):
    assert pixel_count(np.zeros(shape)) == expected


def test_outermost_batch_decides(monkeypatch):
    monkeypatch.setenv("UMS_THREADS", "2")
    with threadpool_limits(2, "blas"):
        with sharing(1):
            assert len(shares_of(fast_threads.SMALL_BATCH)) == 1
        with sharing(fast_threads.SMALL_BATCH):
            assert len(shares_of(1)) == 2
        assert len(shares_of(fast_threads.SMALL_BATCH)) == 2


@pytest.mark.parametrize("blas", [1, 3])
def test_blas_with_another_number_of_threads_is_left_alone(blas, monkeypatch):
    monkeypatch.setenv("UMS_THREADS", "2")
    with threadpool_limits(blas, "blas"):
        assert len(shares_of(1)) == 2


def test_backward_pass_is_shared_as_the_forward_pass_was(monkeypatch, rng):
    monkeypatch.setenv("UMS_THREADS", "2")
    seen = []

    class Watched(ReLU):
        def forward(self, x, training=False, keep=True):
            seen.append(len(parallel_for(lambda start, stop: None, 4)))
            return super().forward(x, training, keep)

        def backward(self, dy, input_gradient=True):
            seen.append(len(parallel_for(lambda start, stop: None, 4)))
            return super().backward(dy, input_gradient)

    with threadpool_limits(2, "blas"):
        for side in (64, 512):  # the second pass ends with a small map
            network = Sequential(Watched(), Conv2D(1, 1, rng, stride=2))
            y = network.forward(rng.normal(size=(1, side, side, 1)).astype(np.float32))
            network.backward(np.ones_like(y))
    assert seen == [1, 1, 2, 2]
