"""Array modules, the choice of a device, the number of threads."""

import sys
import threading
import types

import numpy as np
import pytest
import standin

from ums import backend
from ums.backend import array_module, choose_device, thread_count, to_numpy

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


def broken_cupy(off):
    """A CuPy that imports and whose products are ``off`` by a number."""

    class Probe(np.ndarray):
        def __matmul__(self, other):
            return types.SimpleNamespace(get=lambda: np.dot(self, other) + off)

    def arange(n, dtype):
        return np.arange(n, dtype=dtype).view(Probe)

    return types.SimpleNamespace(arange=arange, float32=np.float32)


def test_gpu_without_cupy_says_why(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(RuntimeError, match=r"no working GPU: .*cupy"):
        choose_device("gpu")


def test_gpu_that_computes_wrongly_is_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", broken_cupy(-1))
    with pytest.raises(RuntimeError, match=r"no working GPU: .*wrong result"):
        choose_device("gpu")


def working_cupy(limit=0):
    """A CuPy whose memory pool has a limit already, 0 for none, and keeps what limit is asked for."""
    cupy = broken_cupy(0)
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


@pytest.mark.parametrize("cupy", [None, broken_cupy(-1)])
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
