"""Execute notebooks: the solved copies, which must run through, and students', which need not."""

import importlib
import json
import os
import queue
import re
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from lessons.checking import checks_of
from lessons.notebooks import ROOT, SOLVED, checks_name, solved_notebook

CELL_SECONDS = 300
"""Longest a cell of a solved copy may take."""

QUIET = ["--log-level=ERROR"]

SILENCE_OUTPUT = """\
class _Nowhere(__import__("io").TextIOBase):
    def write(self, text):
        return len(text)
    def __setattr__(self, name, value):  # IPython would keep a copy of all that is written
        pass
__import__("sys").stdout = __import__("sys").stderr = _Nowhere()
del _Nowhere"""
"""Runs before a student's cells: nobody reads what they print, and it may be endless."""

PATIENCE = 10
"""Seconds a kernel has to end a cell once it is interrupted."""


def solve(source):
    """Execute the solved copy of a lesson and write it to `solved/`; return its path and seconds.

    Nothing is written where a cell fails, a check above all: that raises `CellExecutionError`.
    """
    import nbformat

    notebook = solved_notebook(source)
    started = time.perf_counter()
    with _scratch() as folder:
        client = _client(notebook, folder, timeout=CELL_SECONDS, record_timing=False)
        client.execute(env=_environment(LESSON_STILL="1"), cleanup_kc=True)
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

    Of the file only the text of the code cells is used; they run in this same Python, whatever
    kernel the notebook names. A cell that fails does not stop the others; one that takes longer than
    `timeout` seconds is interrupted. Where that does not help, or the kernel dies, the rest is "not
    run". The notebook's file is not changed. This runs the student's code with all your rights.

    Raises `ValueError` for a file that is not a lesson's notebook, or is in another language.
    """
    name, cells = _read(path)
    module = importlib.import_module(f"lessons.checks.{name}")
    with _scratch() as folder, _scratch() as apart:  # a student's code may clear its own folder
        record = Path(apart, "record")
        record.touch()
        why = _run_all(cells, timeout, folder, _environment(LESSON_RECORD=str(record)))
        try:
            entries = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
            last = {entry["check"]: entry for entry in entries if entry["lesson"] == name}
            return [_result(check, last.get(check), why) for check in checks_of(module)]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: its code spoilt the record of its checks") from error


def _read(path):
    """The lesson of a student's notebook, such as "lesson_02", and the text of each cell of code."""
    if not path.is_file():  # reading a pipe would not end
        raise ValueError(f"{path} is no file, or a link that leads to none")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        stem = re.fullmatch(r"\w+", content["metadata"]["ums_lesson"])[0]
        name = checks_name(stem)
        importlib.import_module(f"lessons.checks.{name}")
        cells = [
            "".join(cell["source"]) if cell["cell_type"] == "code" else ""
            for cell in content["cells"]
        ]
    except Exception as error:  # whatever a student may hand in under the name of a notebook
        why = f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} is no notebook of a lesson: {why}") from error
    for place, key in (("language_info", "name"), ("kernelspec", "language")):
        told = content["metadata"].get(place)
        language = told.get(key) if isinstance(told, dict) else None
        if isinstance(language, str) and "python" not in language.lower():
            raise ValueError(f"{path}: its language is {language!r}, expected Python")
    return name, cells


def _result(name, entry, why):
    if entry is None:
        return Result(name, "not run", why)
    if entry["status"] == "started":
        return Result(name, "failed", f"it did not come to an end; {why}")
    return Result(name, entry["status"], entry["message"])


def _run_all(cells, timeout, folder, environment):
    """Run all cells of code as far as they go; return why a check may not have been reached."""
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from nbformat.v4 import new_code_cell, new_notebook

    notebook = new_notebook(cells=list(map(new_code_cell, [SILENCE_OUTPUT, *cells])))
    client = _client(notebook, folder, timeout=timeout, allow_errors=True)
    client.output = lambda *message: None  # pictures and the like are not kept
    with client.setup_kernel(env=environment, cleanup_kc=True):
        for number, cell in enumerate(notebook.cells, start=-1):
            try:
                client.execute_cell(cell, number + 1)
            except CellTimeoutError:
                if not _interrupt(client):
                    return f"cell {number} took longer than {timeout} s and cannot be interrupted"
            except DeadKernelError:
                return f"the kernel died in cell {number}"
    return "no cell of the notebook calls it, or its cell failed before"


def _client(notebook, folder, **options):
    """What runs a notebook's cells in `folder`, by a kernel of the Python that runs this."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    own = KernelSpecManager(kernel_dirs=[])  # another "python3" may be installed
    manager = AsyncKernelManager(kernel_spec_manager=own)
    resources = {"metadata": {"path": folder}}
    return NotebookClient(
        notebook, km=manager, resources=resources, extra_arguments=QUIET, **options
    )


def _scratch():
    return tempfile.TemporaryDirectory(ignore_cleanup_errors=True)


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
