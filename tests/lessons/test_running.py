"""A solved copy that fails is not written, and whatever kernels are installed, this Python runs it."""

import json

import pytest

from lessons import running

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

pytestmark = pytest.mark.filterwarnings("ignore")  # of the kernel's client, none of ours

CHECKS = "from lessons.checks import lesson_02 as check\n"
RIGHT = CHECKS + "check.sigmoid_backward(lambda dy, cache: dy * cache[0] * (1 - cache[0]))"
WRONG = CHECKS + "check.sigmoid_backward(lambda dy, cache: dy * cache[0])"


@pytest.fixture
def solve(tmp_path, monkeypatch):
    """Solve a lesson of one cell, with another kernel installed under the name of ours."""
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    spec = {"argv": ["/no/such/python"], "display_name": "other", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setattr(running, "SOLVED", tmp_path / "solved")

    def run(cell):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
        monkeypatch.setattr(running, "solved_notebook", lambda source: notebook)
        return running.solve(tmp_path / "02_backward.py")

    return run


def test_solved_copy_is_written_with_its_outputs(solve):
    path, _ = solve(RIGHT)
    assert "sigmoid_backward: dx agrees" in path.read_text(encoding="utf-8")


def test_solved_copy_with_a_failing_check_is_an_error_and_not_written(solve, tmp_path):
    from nbclient.exceptions import CellExecutionError

    with pytest.raises(CellExecutionError, match="slope 1/4"):
        solve(WRONG)
    assert not (tmp_path / "solved").exists()
