"""What the benchmark does on a GPU, as far as it can be seen without one."""

import math

import pytest
import standin
import with_ums
import worker
from cases import NETWORKS, OPS, Case
from report import _cuda_version
from tables import digits

from ums import backend
from ums.ops.fast import threads

CASES = [Case(kind, name, 32, 2, "gpu") for name in NETWORKS for kind in ("step", "inference")]
EPOCH = Case("epoch", "abnormality head", 32, 2, "gpu")
SMALL = ("autoencoder, encoder 4", "autoencoder, decoder 1", "classifier, convolution 6")
CASES += [Case(kind, name, batch=1, device="gpu") for name in SMALL for kind in ("op", "forward")]


@pytest.fixture(autouse=True)
def stand_in_for_the_gpu(monkeypatch):
    monkeypatch.setattr(backend, "choose_device", lambda _: backend.Device(standin, "stand-in"))
    monkeypatch.setattr(threads, "_keep_freed_memory", lambda: None)


@pytest.mark.parametrize("case", [*CASES, EPOCH], ids=lambda case: f"{case.name}, {case.kind}")
def test_case_runs_on_the_device_and_reads_nothing(case):
    work = with_ums.work(case, "ums")
    standin.moves.clear()
    standin.launches.clear()
    work()
    assert standin.moves["to host"] == 0 and standin.launches["matmul"] > 0
    if case.kind != "epoch":
        assert standin.moves["to device"] <= 1  # dropout's mask


def test_epoch_through_the_encoder_runs_on_the_device():
    work = with_ums.work(EPOCH, "ums, encoder every time")
    standin.moves.clear()
    work()
    assert standin.moves["to host"] == 0


@pytest.mark.parametrize("name", {op.kind: name for name, op in OPS.items()}.values())
def test_every_kind_of_op_runs_on_the_device(name):
    work = with_ums.work(Case("op", name, batch=1, device="gpu"), "ums")
    assert isinstance(work(), standin.ndarray)


@pytest.mark.parametrize("seconds_each", [0.001, 10.0])
def test_turn_on_a_gpu_is_many_runs_that_are_waited_for_together(seconds_each, monkeypatch):
    clock, calls = [0.0], []

    def work():
        clock[0] += seconds_each
        calls.append("run")

    monkeypatch.setattr(worker.time, "perf_counter", lambda: clock[0])
    turn = worker.timer(work, lambda: calls.append("wait"), "gpu")
    calls.clear()
    assert turn() == pytest.approx(seconds_each)
    runs = max(1, round(worker.TURN["gpu"] / seconds_each))
    awake, counted = calls[: -runs - 1], calls[-runs - 1 :]
    assert counted == [*["run"] * runs, "wait"]
    enough = round(worker.AWAKE / seconds_each)  # none for a long run; or one more, by rounding
    assert awake in (["run", "wait"] * n for n in range(enough, enough + 1 + (enough > 0)))


def test_turn_on_the_cpu_follows_runs_that_wake_it_but_for_a_long_run(monkeypatch):
    clock, calls = [0.0], []

    def work(seconds):
        clock[0] += seconds
        calls.append("run")

    monkeypatch.setattr(worker.time, "perf_counter", lambda: clock[0])
    short = worker.TURN["cpu"] / 4
    for seconds, count in ((10.0, 1), (short, math.ceil(worker.AWAKE / short) + 4)):
        turn = worker.timer(lambda seconds=seconds: work(seconds), lambda: None, "cpu")
        calls.clear()
        assert turn() == pytest.approx(seconds)
        assert calls == ["run"] * count


def test_numbers_keep_their_digits():
    assert [digits(x) for x in (0.0514, 0.514, 5.14, 51.4, 514.0)] == [
        "0.051", "0.514", "5.14", "51.4", "514",
    ]  # fmt: skip
    assert [_cuda_version(n) for n in (12090, 13000)] == ["12.9", "13.0"]
