"""A case that fails is named, and the benchmark measures the others."""

import io
import sys
from types import SimpleNamespace

import bench
import pytest
from cases import Case

CASES = [(Case("op", name), ("ums",)) for name in ("one", "two", "three")]


def test_other_cases_are_measured_and_the_exit_status_tells(monkeypatch, tmp_path, capsys):
    def measure(case, contestants, runs):
        if case.name == "two":
            raise RuntimeError("ums failed on it")
        return case.name

    written = []
    monkeypatch.setattr(bench, "measure", measure)
    monkeypatch.setattr(bench, "plan", lambda *_: {"ops": CASES, "networks": CASES[1:2]})
    monkeypatch.setattr(bench, "missing", lambda device: "")
    monkeypatch.setattr(bench, "product_rate", lambda device: 1.0)
    monkeypatch.setattr(bench.report, "write", lambda *arguments: written.append(arguments[-1]))
    monkeypatch.setattr(sys, "argv", ["bench", "--out", str(tmp_path)])
    assert bench.main() == 1
    assert written == [{"ops": ["one", "three"]}]
    lines = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert lines == [f"error: {name}: two: ums failed on it" for name in ("ops", "networks")]


def test_worker_that_ends_in_the_middle_is_named():
    worker = object.__new__(bench.Worker)
    worker.contestant, worker.case = "ums", "a case"
    worker.process = SimpleNamespace(stdin=io.StringIO(), stdout=io.StringIO(""))
    with pytest.raises(RuntimeError, match="ums came to an end in a case"):
        worker.ask("run")


def test_no_worker_outlives_a_case_that_fails(monkeypatch):
    ended = []

    class Worker(SimpleNamespace):
        def __init__(self, contestant, case):
            process = SimpleNamespace(kill=lambda: ended.append(contestant), communicate=list)
            super().__init__(contestant=contestant, process=process)

        def wait(self):
            if self.contestant == "b":
                raise RuntimeError("b failed")

    monkeypatch.setattr(bench, "Worker", Worker)
    with pytest.raises(RuntimeError, match="b failed"):
        bench.measure(CASES[0][0], ("a", "b", "c"), 1)
    assert ended == ["a", "b", "c"]
