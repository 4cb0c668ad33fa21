"""A case that fails is named, the benchmark measures the others, and what is measured stays."""

import io
from types import SimpleNamespace

import bench
import pytest
from cases import Case
from record import Record, Result

CASES = tuple(Case("op", name) for name in ("one", "two", "three"))
ROUNDS = [bench.Round("ops", CASES, ("ums",)), bench.Round("networks", CASES[1:2], ("ums",))]


def names(record):
    return {table: [r.case.name for r in results] for table, results in record.results.items()}


@pytest.fixture
def measured(monkeypatch):
    """The names of cases in the order they are measured in; "two" fails."""
    measured = []

    def measure(cases, contestants, runs):
        for case in cases:
            measured.append(case.name)
            if case.name == "two":
                raise RuntimeError("ums came to an end")
            yield Result(case, {"ums": [0.1]})

    monkeypatch.setattr(bench, "measure", measure)
    monkeypatch.setattr(bench, "plan", lambda *_: ROUNDS)
    monkeypatch.setattr(bench, "missing", lambda device: "")
    monkeypatch.setattr(bench, "product_rate", lambda device: 1.0)
    monkeypatch.setattr(bench.report, "machine", lambda *_: {})
    monkeypatch.setattr(bench.report, "write", lambda out, record: "")
    return measured


def test_other_cases_are_measured_and_the_exit_status_tells(measured, tmp_path, capsys):
    assert bench.main(["--out", str(tmp_path)]) == 1
    assert measured == ["one", "two", "three", "two"]
    assert names(Record(tmp_path)) == {"ops": ["one", "three"]}
    lines = [line for line in capsys.readouterr().err.splitlines() if "error:" in line]
    assert [line.split(":")[1:] for line in lines] == [
        [f" {table}", f" {CASES[1]}", " ums came to an end"] for table in ("ops", "networks")
    ]


def test_run_that_was_ended_goes_on_where_it_was(measured, tmp_path):
    bench.main(["--out", str(tmp_path)])
    del measured[:]
    bench.main(["--out", str(tmp_path), "--resume"])
    assert measured == ["two", "two"]
    assert names(Record(tmp_path)) == {"ops": ["one", "three"]}
    del measured[:]
    bench.main(["--out", str(tmp_path)])
    assert measured == ["one", "two", "three", "two"]


def test_line_that_was_cut_off_is_measured_again(measured, tmp_path):
    bench.main(["--out", str(tmp_path)])
    lines = (tmp_path / "bench.jsonl").read_text().splitlines()
    cut_off = next(i for i, line in enumerate(lines) if '"three"' in line)
    (tmp_path / "bench.jsonl").write_text("\n".join([*lines[:cut_off], lines[cut_off][:-20]]))
    assert names(Record(tmp_path)) == {"ops": ["one"]}
    bench.main(["--out", str(tmp_path), "--resume"])
    assert names(Record(tmp_path)) == {"ops": ["one", "three"]}


def test_no_case_is_begun_when_time_is_up(measured, tmp_path, capsys):
    assert bench.main(["--out", str(tmp_path), "--seconds", "-1"]) == 1
    assert not measured
    assert capsys.readouterr().err.count("for want of time") == 4


def test_peer_that_is_not_installed_is_left_out_and_said(measured, monkeypatch, tmp_path, capsys):
    taking_part = []
    monkeypatch.setattr(bench, "plan", lambda options, peers: taking_part.extend(peers) or [])
    there = {"keras", "jax", "torch"}
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: name in there or None)
    monkeypatch.setattr(bench.shutil, "which", lambda name: None)
    bench.main(["--out", str(tmp_path)])
    assert taking_part == ["jax"]
    said = capsys.readouterr().out
    assert "Keras on TensorFlow is left out, for want of tensorflow" in said
    assert "torch.compile is left out, for want of a C++ compiler" in said


def test_worker_that_ends_in_the_middle_is_named():
    worker = object.__new__(bench.Worker)
    worker.contestant = "ums"
    worker.process = SimpleNamespace(stdin=io.StringIO(), stdout=io.StringIO(""))
    with pytest.raises(RuntimeError, match="ums came to an end"):
        worker.ask("run")


def test_no_worker_outlives_a_case_that_fails(monkeypatch):
    ended = []

    class Worker(SimpleNamespace):
        def __init__(self, contestant, cases):
            process = SimpleNamespace(kill=lambda: ended.append(contestant), communicate=list)
            super().__init__(contestant=contestant, process=process, tell=lambda word: None)

        def hear(self):
            if self.contestant == "b":
                raise RuntimeError("b failed")

    monkeypatch.setattr(bench, "Worker", Worker)
    with pytest.raises(RuntimeError, match="b failed"):
        list(bench.measure(CASES[:1], ("a", "b", "c"), 1))
    assert ended == ["a", "b", "c"]
