"""Scoring survives what students hand in; a solved copy that fails is not written."""

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
FOR_EVER = CHECKS + "def loop(*a):\n    while True:\n        pass\ncheck.dense_backward(loop)"
DEAF = FOR_EVER.replace("pass", "try:\n            loop()\n        except BaseException: pass")
CRASH = CHECKS + "import os\ncheck.dense_backward(lambda dy, cache: os._exit(1))"


METADATA = {}


def notebook(*cells):
    made = nbformat.v4.new_notebook()
    made.metadata |= {"ums_lesson": "02_backward"} | METADATA
    made.cells = [nbformat.v4.new_code_cell(cell) for cell in cells]
    return made


@pytest.fixture
def statuses(tmp_path):
    """Score a notebook of these cells: the status and message of two checks."""

    def run(*cells, timeout=60):
        path = tmp_path / "02_of_a_student.ipynb"
        path.write_text(json.dumps(notebook(*cells)))
        before = path.read_bytes()
        results = {result.check: result[1:] for result in running.score(path, timeout)}
        assert path.read_bytes() == before
        assert len(results) == 4 and results["rejected"][0] == "not run"
        return results["sigmoid_backward"], results["dense_backward"]

    return run


def test_score_tells_right_wrong_and_what_was_not_reached(statuses):
    sigmoid, dense = statuses("1 / 0", RIGHT)
    assert sigmoid == ("passed", "")
    assert dense == ("not run", "no cell of the notebook calls it, or its cell failed before")


def test_last_run_of_a_check_counts(statuses):
    assert statuses(RIGHT, WRONG)[0][0] == "failed"
    assert statuses(WRONG, RIGHT)[0][0] == "passed"


def test_endless_loop_is_interrupted_and_the_next_cells_run(statuses):
    sigmoid, dense = statuses(FOR_EVER, RIGHT, timeout=3)
    assert sigmoid[0] == "passed"
    assert dense[0] == "failed" and "endless loop" in dense[1]


def test_loop_that_ignores_the_interrupt_ends_the_notebook(statuses, monkeypatch):
    monkeypatch.setattr(running, "PATIENCE", 1)
    sigmoid, dense = statuses(RIGHT, DEAF, RIGHT, timeout=3)
    assert sigmoid[0] == "passed"
    assert dense[0] == "failed" and "did not come to an end" in dense[1]


def test_crash_of_the_kernel_leaves_what_was_checked_before(statuses):
    sigmoid, dense = statuses(RIGHT, CRASH, RIGHT)
    assert sigmoid[0] == "passed"
    assert dense[0] == "failed" and "the kernel died in cell 1" in dense[1]


FLOOD = "while True:\n    print('x' * 100_000)"
EXIT = "import sys, IPython\nIPython.get_ipython().kernel.do_shutdown(False)\nexit()"
CLEAR = "import os, shutil\nshutil.rmtree(os.getcwd())"


def test_kernel_that_is_ended_leaves_what_was_checked_before(statuses):
    assert statuses(RIGHT, EXIT, RIGHT)[0][0] == "passed"


@pytest.mark.parametrize(
    "cells", [(FLOOD,), (CLEAR, "input()", "help()")], ids=["endless output", "no folder, no input"]
)
def test_cells_after_one_that_does_harm_run(cells, statuses):
    assert statuses(*cells, RIGHT, timeout=2)[0] == ("passed", "")


def test_what_a_cell_prints_is_never_sent(monkeypatch, statuses):
    from nbclient import NotebookClient

    seen, process = [], NotebookClient.process_message
    noted = lambda self, message, *rest: seen.append(message) or process(self, message, *rest)  # noqa: E731
    monkeypatch.setattr(NotebookClient, "process_message", noted)
    shout = "import sys\nprint('x' * 1_000)\nprint('x' * 1_000, file=sys.stderr, flush=True)"
    assert statuses(shout, RIGHT)[0][0] == "passed"
    assert seen and not [m for m in seen if m["msg_type"] == "stream"]


@pytest.mark.parametrize(
    "kernelspec",
    [{"display_name": "Python (mlclass)", "language": "python", "name": "conda-env-mlclass-py"},
     {"name": 3}],
)  # fmt: skip
def test_kernel_that_the_notebook_names_is_not_needed(kernelspec, statuses, monkeypatch):
    monkeypatch.setitem(globals(), "METADATA", {"kernelspec": kernelspec})
    assert statuses(RIGHT)[0] == ("passed", "")


def test_kernel_is_this_python_even_where_another_is_installed_under_its_name(
    statuses, tmp_path, monkeypatch
):
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    spec = {"argv": ["/no/such/python"], "display_name": "other", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    assert statuses(RIGHT)[0] == ("passed", "")


@pytest.mark.parametrize("line", ["junk", '{"lesson": "lesson_02", "check": "sigmoid_backward"}\n'])
def test_code_that_spoils_the_record_of_its_checks_is_named(line, statuses):
    spoil = f"import os\nopen(os.environ['LESSON_RECORD'], 'a').write({line!r})"
    with pytest.raises(ValueError, match=r"02_of_a_student\.ipynb: its code spoilt the record"):
        statuses(RIGHT, spoil)


def test_solved_copy_with_a_failing_check_is_an_error_and_not_written(tmp_path, monkeypatch):
    from nbclient.exceptions import CellExecutionError

    monkeypatch.setattr(running, "SOLVED", tmp_path / "solved")
    monkeypatch.setattr(running, "solved_notebook", lambda source: notebook(WRONG))
    with pytest.raises(CellExecutionError, match="slope 1/4"):
        running.solve(tmp_path / "02_backward.py")
    assert not (tmp_path / "solved").exists()
