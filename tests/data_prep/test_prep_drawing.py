"""Drawing many images: by threads or by processes, into arrays in memory or on disk."""

import os

import numpy as np
import pytest

from data_prep import drawing
from data_prep.drawing import draw_all
from data_prep.synthetic import make_synthetic


@pytest.fixture
def started(monkeypatch):
    """A list to which an entry is added whenever processes are started, from four images on."""
    starts, start = [], drawing._processes
    monkeypatch.setattr(drawing, "PROCESSES_FROM", 4)
    monkeypatch.setattr(drawing, "_processes", lambda: starts.append(start()) or starts[-1])
    return starts


def test_processes_draw_what_threads_draw(tmp_path, started):
    made = [make_synthetic(4, 32, np.random.default_rng(0), folder=f) for f in (None, tmp_path)]
    assert len(started) == 1
    for one, other in zip(*made, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("n", "to_disk"), [(3, True), (9, False)])
def test_few_images_or_images_in_memory_start_no_process(n, to_disk, started):
    squares, cubes = np.zeros(n), np.zeros((n, 2))
    draw_all(lambda k: (k**2, (k**3, -k)), range(n), (squares, cubes), "numbers", to_disk)
    assert not started and squares.tolist() == [k**2 for k in range(n)]
    assert cubes.tolist() == [[k**3, -k] for k in range(n)]


def test_a_process_that_was_ended_is_an_error(started):
    with pytest.raises(OSError, match="a process that drew images was ended; is there enough mem"):
        draw_all(os._exit, [1] * 4, [np.zeros(4)], "nothing", True)
    assert started
