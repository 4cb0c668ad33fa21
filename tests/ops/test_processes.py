"""Forks, user threads, exit handlers and interrupts while the ops compute."""

import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from ums import ops
from ums.ops.fast.threads import parallel_for, single_threaded

needs_fork = pytest.mark.skipif(sys.platform != "linux", reason="forks are for Linux alone")

SETUP = """
import os, signal, sys, threading, warnings
import numpy as np
from threadpoolctl import threadpool_info
from ums import ops
from ums.ops.fast.threads import parallel_for
warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
x, w, b = rng.normal(size=(6, 20, 20, 4)), rng.normal(size=(3, 3, 4, 4)), np.ones(4)
def conv():
    return ops.conv2d_forward(x, w, b)[0].sum()
def blas():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
def child(work):
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)  # a child that hangs ends, and fails the test
        os._exit(0 if work() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
expected = [conv() for _ in range(5)][0]
before = blas()
"""


def run(script, threads=3, seconds=60):
    """What a fresh interpreter prints; it fails, or is ended after so many seconds."""
    paths = [str(Path(ops.__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "UMS_THREADS": str(threads),
        "OPENBLAS_NUM_THREADS": "4",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    done = subprocess.run(
        [sys.executable, "-c", SETUP + script],
        env=environment, capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


# ------------------------------------------------------------------------------ forks


@needs_fork
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_forked_child_computes(threads):
    script = "child(lambda: conv() == expected and blas() == before); print(conv() == expected)"
    assert run(script, threads) == ["True"]


@needs_fork
def test_forked_grandchild_computes():
    assert run("child(lambda: child(lambda: conv() == expected) or True); print('ok')") == ["ok"]


def _conv_sum(seed):
    x = np.random.default_rng(seed).random((8, 32, 32, 4), np.float32)
    w, b = np.ones((3, 3, 4, 4), np.float32), np.zeros(4, np.float32)
    return float(ops.conv2d_forward(x, w, b)[0].sum())


@needs_fork
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_pool_of_forked_processes_computes(monkeypatch):
    monkeypatch.setenv("UMS_THREADS", "2")
    expected = [_conv_sum(seed) for seed in range(6)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(_conv_sum, range(6)).get(60) == expected


@needs_fork
def test_child_forked_inside_a_block_limits_blas_until_its_last_block_ends():
    script = """
from ums.ops.fast.threads import single_threaded
ones = [1] * len(before)
pid = single_threaded(lambda: (os.fork(), blas()))  # the child goes on inside the block
within = single_threaded(blas)
if pid[0] == 0:
    os._exit(0 if pid[1] == within == ones and blas() == before else 1)
print(os.waitstatus_to_exitcode(os.waitpid(pid[0], 0)[1]), blas() == before)
"""
    assert run(script) == ["0", "True"]


@needs_fork
def test_fork_while_other_threads_compute():
    script = """
end = threading.Event()
def work():
    while not end.is_set():
        conv()
users = [threading.Thread(target=work) for _ in range(3)]
for user in users: user.start()
for _ in range(30):
    child(lambda: conv() == expected and blas() == before)
end.set()
for user in users: user.join()
print(conv() == expected, blas() == before)
"""
    assert run(script, 2, 120) == ["True", "True"]


@needs_fork
def test_fork_does_not_wait_for_a_call_that_does_not_end():
    script = """
end, begun = threading.Event(), threading.Event()
def wait(start, stop): begun.set(); end.wait()
user = threading.Thread(target=parallel_for, args=(wait, 1))
user.start(); begun.wait()
child(lambda: blas() == before and conv() == expected and blas() == before)
print(conv() == expected)
end.set(); user.join()
print(blas() == before)
"""
    assert run(script) == ["True", "True"]


@needs_fork
def test_fork_inside_a_share_computes_in_the_child():
    script = """
together = threading.Barrier(3)
def work(start, stop):
    together.wait()  # each share has a thread of its own
    child(lambda: conv() == expected)
    return start
print(parallel_for(work, 3), conv() == expected)
"""
    assert run(script) == ["[0,", "1,", "2]", "True"]


@needs_fork
def test_scratch_memory_of_a_child_is_its_own():
    script = """
child(lambda: ops.conv2d_forward(-x, w, b)[0].any())
print(conv() == expected)
"""
    assert run(script) == ["True"]


# ------------------------------------------------------------------------------ user threads


def blas_threads():
    """The threads of every BLAS that can be asked (Apple's cannot)."""
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def train_step(seed):
    rng = np.random.default_rng(seed)
    x, w, b = rng.random((4, 16, 16, 3)), rng.random((3, 3, 3, 5)), rng.random(5)
    y, cache = ops.conv2d_forward(x, w, b)
    z, norm = ops.batchnorm_forward(y, b + 1, b, 0 * b, b + 1, True)
    dy, dgamma, _ = ops.batchnorm_backward(z, norm)
    return [z, dgamma, *ops.conv2d_backward(dy, cache), ops.global_average_pool_forward(z)[0]]


@pytest.mark.parametrize("users", [2, 8])
@pytest.mark.parametrize("threads", ["1", "2", "4"])
def test_user_threads_get_what_one_thread_gets_and_leave_blas_alone(users, threads, monkeypatch):
    monkeypatch.setenv("UMS_THREADS", threads)
    with threadpool_limits(3, "blas"), ThreadPoolExecutor(users) as pool:
        before = blas_threads()
        expected = [train_step(seed) for seed in range(24)]
        found = list(pool.map(train_step, range(24)))
        assert blas_threads() == before
    for arrays, others in zip(found, expected, strict=True):
        assert all((a == b).all() for a, b in zip(arrays, others, strict=True))


def test_first_call_in_and_last_call_out_decide_over_blas(monkeypatch):
    monkeypatch.setenv("UMS_THREADS", "1")
    entered, leave, seen = threading.Event(), threading.Event(), []

    def slow(start, stop):
        entered.set()
        assert leave.wait(10)
        seen.append(blas_threads())

    with threadpool_limits(3, "blas"):
        before = blas_threads()
        user = threading.Thread(target=parallel_for, args=(slow, 1))
        user.start()
        assert entered.wait(10)
        single_threaded(blas_threads)  # comes later and ends first
        leave.set()
        user.join()
        assert blas_threads() == before
        assert seen[0] == [1] * len(before) and set(before) <= {3}


@pytest.mark.parametrize("threads", ["1", "2", "4"])
@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, SystemExit])
def test_exception_in_a_share_gives_blas_its_threads_back(error, threads, monkeypatch):
    monkeypatch.setenv("UMS_THREADS", threads)
    with threadpool_limits(3, "blas"):
        before = blas_threads()
        for wrong in range(4):

            def work(start, stop, wrong=wrong):
                if start <= wrong < stop:
                    raise error(wrong)

            with pytest.raises(error):
                parallel_for(work, 4)
            assert blas_threads() == before
    assert [stop for _, stop in parallel_for(lambda *share: share, 4)][-1] == 4


def test_no_share_is_at_work_after_an_exception(monkeypatch):
    monkeypatch.setenv("UMS_THREADS", "3")
    begun, at_work = threading.Barrier(3, timeout=10), [0, 0, 0]

    def work(start, stop):
        begun.wait()
        if start == 1:
            raise ValueError("one share")
        for _ in range(200_000):
            at_work[start] += 1

    with pytest.raises(ValueError, match="one share"):
        parallel_for(work, 3)
    assert sorted(at_work) == [0, 200_000, 200_000]


@pytest.mark.parametrize("threads", ["1", "2", "4"])
def test_share_that_shares_out_its_own_work_does_not_wait_for_ever(threads, monkeypatch):
    monkeypatch.setenv("UMS_THREADS", threads)

    def inner(start, stop):
        return parallel_for(lambda i, j: j - i, stop - start)

    def outer(start, stop):
        return parallel_for(inner, 8)

    assert sum(n for a in parallel_for(outer, 8) for b in a for n in b) == 8 * int(threads)


def test_error_state_of_the_caller_holds_in_every_share(monkeypatch):
    monkeypatch.setenv("UMS_THREADS", "3")
    together = threading.Barrier(3, timeout=10)

    def state(start, stop):
        together.wait()
        return np.geterr()["over"]

    with np.errstate(over="raise"):
        assert parallel_for(state, 3) == ["raise"] * 3


# ------------------------------------------------------------------------------ the end


def test_exit_handler_computes_without_new_threads():
    assert run("import atexit; atexit.register(lambda: print(conv() == expected))") == ["True"]


def test_finalizer_at_the_interpreters_end_computes():
    script = """
class Late:
    def __del__(self): print(conv() == expected)
late = Late()
threading.Thread(target=lambda: None).start()
import atexit; atexit.register(lambda: globals().pop("late"))
"""
    assert run(script) == ["True"]


def test_calling_thread_computes_alone_where_no_thread_starts():
    script = """
from ums.ops.fast import threads
def refuse(self): raise RuntimeError("can't start new thread")
threads._pool.cache_clear()
threading.Thread.start = refuse
print(conv() == expected, conv() == expected, blas() == before)
"""
    assert run(script) == ["True", "True", "True"]


@pytest.mark.skipif(sys.platform == "win32", reason="no signal to send itself")
def test_interrupted_computation_leaves_all_as_it_was():
    script = """
def interrupt(start, stop):
    if start == 0:
        signal.raise_signal(signal.SIGINT)
    return conv()
for _ in range(20):
    try:
        parallel_for(interrupt, 3)
    except KeyboardInterrupt:
        pass
print(conv() == expected, blas() == before)
"""
    assert run(script) == ["True", "True"]
