"""The page on what a full study costs holds the tables that are computed from what was measured."""

import re

import pytest
import scale

from ums.experiments.arms import ARMS


def test_page_holds_the_tables_as_they_are_computed():
    page = scale.PAGE.read_text(encoding="utf-8")
    assert page == scale.page_with(scale.text()), "run: python tests/benchmarks/scale.py --write"
    assert len(page.splitlines()) <= 120


def test_constants_are_those_of_the_benchmarks_page():
    page = scale.PAGE.parents[2].joinpath("tests/benchmarks/README.md").read_text(encoding="utf-8")
    parts = page.split("## On a GPU")
    first, gpu = (re.search(r"autoencoder, training step \| (\S+) \|", part)[1] for part in parts)
    measured = [float(first) / 1000, float(gpu) / 1000]
    assert measured == pytest.approx([scale.CPU_STEP, scale.GPU_STEP])
    assert f"takes {scale.GPU_SOURCE_STEP * 1000:.0f} ms a step" in page
    of_batches = dict(
        re.findall(r"^\| (\d+) \| (\S+) \| \S+ \| \*\*", page.split("by batch")[1], re.M)
    )
    assert {16 // n: ms for n, ms in scale.SPLIT.items()} == {
        int(n): float(ms) for n, ms in of_batches.items() if int(n) <= 16
    }


@pytest.mark.parametrize(("workers", "expected"), [(1, 4.0), (2, 2.0), (9, 2.0)])
def test_free_workers_take_the_longest_job_that_can_start(workers, expected, monkeypatch):
    hour = scale.Seconds(3600.0, 0.0, 0.0)
    made = {"source": hour, ("diverse", "single"): hour, ("diverse", "independent"): hour}
    made["diverse", "scratch"] = scale.Seconds(1800.0, 900.0, 900.0)
    monkeypatch.setattr(scale, "jobs", lambda kind: dict(made))
    assert ARMS["single"].needs_source and not ARMS["scratch"].needs_source
    assert scale.hours("cpu", workers, 1, 1) == pytest.approx(expected)


def test_source_that_others_wait_for_goes_first(monkeypatch):
    long, short = scale.Seconds(7200.0, 0.0, 0.0), scale.Seconds(1800.0, 0.0, 0.0)
    made = {"source": short, ("diverse", "scratch"): long, ("diverse", "single"): long}
    monkeypatch.setattr(scale, "jobs", lambda kind: dict(made))
    assert scale.hours("cpu", 1, 1, 1) == pytest.approx(4.5)
    assert scale.hours("cpu", 2, 1, 1) == pytest.approx(2.5)
    assert scale.hours("cpu", 2, 1, 2) == pytest.approx(4.5)


def test_messages_of_a_step_are_gradients_sums_of_batch_norms_and_the_loss():
    count, size, _ = scale.messages()
    channels = 64 + 64 + 128 + 256 + 128 + 64 + 32 + 16
    assert count == 8 * 3 + 2
    assert size == 4 * (800_033 + 5 * channels + 1)
