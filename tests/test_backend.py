"""Array modules, the choice of a device, threads, tiles and reused memory."""

import sys
import threading
import types

import numpy as np
import pytest
import standin
from threadpoolctl import threadpool_info

from ums import backend
from ums.backend import (
    array_module,
    choose_device,
    parallel_for,
    scratch,
    thread_count,
    tiles,
    to_numpy,
)
from ums.ops import dense_backward, dense_forward

# ------------------------------------------------------------------------------ array modules


@pytest.mark.parametrize("x", [np.zeros(3), np.float32(1), np.zeros((0, 2), int)])
def test_array_module_of_numpy_arrays_and_scalars(x):
    assert array_module(x) is np


def test_array_module_finds_another_library_by_the_type():
    assert array_module(standin.zeros(3)) is standin


@pytest.mark.parametrize("x", [1.0, [1, 2], "text", None, object(), threading.local()])
def test_array_module_refuses_what_is_not_an_array(x):
    with pytest.raises(TypeError, match=f"NumPy or CuPy array, got {type(x).__name__}"):
        array_module(x)


def test_to_numpy_copies_only_from_elsewhere():
    x = np.arange(3.0)
    assert to_numpy(x) is x
    np.testing.assert_array_equal(to_numpy(standin.asarray(x)), x)


# ------------------------------------------------------------------------------ the device


def broken_cupy(product):
    """A CuPy that imports and whose probe comes out as ``product``."""
    probe = types.SimpleNamespace(get=lambda: product)
    array = type("probe", (), {"__matmul__": lambda a, b: probe})()
    return types.SimpleNamespace(arange=lambda n, dtype: array, float32=np.float32)


def test_gpu_without_cupy_says_why(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(RuntimeError, match=r"no working GPU: .*cupy"):
        choose_device("gpu")


def test_gpu_that_computes_wrongly_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", broken_cupy(13.0))
    with pytest.raises(RuntimeError, match=r"no working GPU: .*wrong result"):
        choose_device("gpu")


def working_cupy(limit=0):
    """A CuPy whose memory pool has a limit already, 0 for none, and keeps what limit is asked for."""
    cupy = broken_cupy(14.0)
    pool = types.SimpleNamespace(get_limit=lambda: limit, asked=[])
    pool.set_limit = lambda **limit: pool.asked.append(limit)
    cupy.get_default_memory_pool = lambda: pool
    runtime = types.SimpleNamespace(getDeviceProperties=lambda n: {"name": b"test"})
    cupy.cuda, cupy.__version__ = types.SimpleNamespace(runtime=runtime), "14.0"
    return cupy, pool.asked


def test_gpu_memory_is_bounded_and_the_gpu_named(monkeypatch):
    monkeypatch.delenv("CUPY_GPU_MEMORY_LIMIT", raising=False)
    cupy, asked = working_cupy()
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    device = choose_device()
    assert device.xp is cupy and device.name == "GPU, test, CuPy 14.0"
    assert asked == [{"fraction": backend.GPU_MEMORY_SHARE}] and 0.5 < asked[0]["fraction"] < 1


@pytest.mark.parametrize(("variable", "limit"), [("50%", 0), ("0", 0), (None, 1 << 30)])
def test_gpu_memory_bounded_by_somebody_else_is_left_so(variable, limit, monkeypatch):
    monkeypatch.delenv("CUPY_GPU_MEMORY_LIMIT", raising=False)
    if variable:
        monkeypatch.setenv("CUPY_GPU_MEMORY_LIMIT", variable)
    cupy, asked = working_cupy(limit)
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    choose_device("gpu")
    assert asked == []


@pytest.mark.parametrize("cupy", [None, broken_cupy(0.0)])
def test_auto_falls_back_to_the_cpu(cupy, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setenv("UMS_THREADS", "3")
    device = choose_device()
    assert device.xp is np and device.name == "CPU, 3 threads"


def test_cpu_puts_an_array_without_a_copy():
    x = np.zeros(3)
    assert choose_device("cpu").put(x) is x


@pytest.mark.parametrize("wanted", ["cuda", "", "GPU"])
def test_unknown_device_is_named(wanted):
    with pytest.raises(ValueError, match=f"'auto', 'cpu' or 'gpu', got {wanted!r}"):
        choose_device(wanted)


# ------------------------------------------------------------------------------ threads


def test_thread_count_is_the_environments(monkeypatch):
    monkeypatch.setenv("UMS_THREADS", "5")
    assert thread_count() == 5
    monkeypatch.delenv("UMS_THREADS")
    assert thread_count() >= 1


@pytest.mark.parametrize("wanted", ["0", "-1", "two", "1.5"])
def test_thread_count_refuses_what_is_no_positive_integer(wanted, monkeypatch):
    monkeypatch.setenv("UMS_THREADS", wanted)
    with pytest.raises(ValueError, match=f"UMS_THREADS must be a positive integer, got '{wanted}'"):
        thread_count()


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

    def spy(a, b):
        pools = threadpool_info()
        seen.append(min(pool["num_threads"] for pool in pools if pool["user_api"] == "blas"))
        return original(a, b)

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
    monkeypatch.setattr(backend, "TILE_BYTES", budget)
    monkeypatch.setattr(backend, "GPU_TILE_BYTES", budget)
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
    monkeypatch.setattr(backend, "TILE_BYTES", budget)
    monkeypatch.setenv("UMS_THREADS", str(threads))
    groups = {(t[0].start, t[0].stop) for t in tiles(N, rows, row_bytes)}
    sizes = [stop - start for start, stop in groups]
    assert len(groups) == N or len(groups) % threads == 0
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("N", "threads", "bands"), [(1, 2, 2), (1, 5, 5), (2, 3, 4), (3, 3, 3)])
def test_every_thread_gets_rows_where_there_are_fewer_images(N, threads, bands, monkeypatch):
    monkeypatch.setenv("UMS_THREADS", str(threads))
    assert len(tiles(N, 10, 1)) == bands
    assert tiles(1, 0, 1) == []


def test_gpu_tiles_have_a_budget_of_their_own(monkeypatch):
    monkeypatch.setattr(backend, "TILE_BYTES", 1)
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
