"""Execute notebooks: the solved copies, which must run through, and students', which need not."""

import importlib
import json
import os
import queue
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from lessons.checking import checks_of
from lessons.notebooks import ROOT, SOLVED, solved_notebook

CELL_SECONDS = 300
"""Longest a cell of a solved copy may take."""

QUIET = ["--log-level=ERROR"]

PATIENCE = 10
"""Seconds a kernel has to end a cell once it is interrupted."""


def solve(source):
    """Execute the solved copy of a lesson and write it to `solved/`; return its path and seconds.

    Nothing is written where a cell fails, a check above all: that raises `CellExecutionError`.
    """
    import nbformat
    from nbclient import NotebookClient

    notebook = solved_notebook(source)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        client = NotebookClient(
            notebook,
            timeout=CELL_SECONDS,
            resources=resources,
            record_timing=False,
            extra_arguments=QUIET,
        )
        client.execute(env=_environment())
    seconds = time.perf_counter() - started
    SOLVED.mkdir(exist_ok=True)
    path = SOLVED / f"{source.stem}.ipynb"
    nbformat.write(notebook, path)
    return path, seconds


class Result(NamedTuple):
    """What became of one check: passed, failed, not written, or not run."""

    check: str
    status: str
    message: str


def score(path, timeout=60):
    """Run a student's notebook and return a `Result` for each check of its lesson.

    A cell that fails does not stop the others; one that takes longer than `timeout` seconds is
    interrupted. Where that does not help, or the kernel dies, the rest is "not run". The notebook's
    file is not changed. This runs the student's code with all your rights.

    Raises `ValueError` for a file that is no notebook of a lesson.
    """
    import nbformat

    try:
        notebook = nbformat.read(path, as_version=4)
        lesson = f"lesson_{notebook.metadata['ums_lesson'][:2]}"
        module = importlib.import_module(f"lessons.checks.{lesson}")
    except Exception as error:  # whatever a student may hand in under the name of a notebook
        raise ValueError(f"{path} is no notebook of a lesson: {error!r}") from error
    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder, "record")
        record.touch()
        why = _run_all(notebook, timeout, folder, _environment(LESSON_RECORD=str(record)))
        entries = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    last = {entry["check"]: entry for entry in entries if entry["lesson"] == lesson}
    return [_result(name, last.get(name), why) for name in checks_of(module)]


def _result(name, entry, why):
    if entry is None:
        return Result(name, "not run", why)
    if entry["status"] == "started":
        return Result(name, "failed", f"it did not come to an end; {why}")
    return Result(name, entry["status"], entry["message"])


def _run_all(notebook, timeout, folder, environment):
    """Run every code cell as far as it goes; return why a check may not have been reached."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    resources = {"metadata": {"path": folder}}
    client = NotebookClient(
        notebook, timeout=timeout, allow_errors=True, resources=resources, extra_arguments=QUIET
    )
    with client.setup_kernel(env=environment):
        for number, cell in enumerate(notebook.cells):
            try:
                client.execute_cell(cell, number)
            except CellTimeoutError:
                if not _interrupt(client):
                    return f"cell {number} took longer than {timeout} s and cannot be interrupted"
            except DeadKernelError:
                return f"the kernel died in cell {number}"
    return "no cell of the notebook calls it, or its cell failed before"


def _interrupt(client):
    """Interrupt the kernel; whether it then ends the cell before our patience does."""
    from jupyter_core.utils import run_sync

    run_sync(client.km.interrupt_kernel)()
    try:
        run_sync(client.kc.get_shell_msg)(timeout=PATIENCE)
    except queue.Empty:
        return False
    return True


def _environment(**more):
    """This process's environment, in which the kernel finds this checkout before any installed."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | more
