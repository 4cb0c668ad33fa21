"""Execute the solved copies of lessons, which must run through."""

import os
import tempfile
import time

from lessons.notebooks import ROOT, SOLVED, solved_notebook

CELL_SECONDS = 900
"""Longest a cell of a solved copy may take."""

QUIET = ["--log-level=ERROR"]


def solve(source, threads=None):
    """Execute the solved copy of a lesson and write it to `solved/`; return its path and seconds.

    The library has `threads` threads; as many as there are processors, where that is None. Nothing is
    written where a cell fails, a check above all: that raises `CellExecutionError`.
    """
    import nbformat

    notebook = solved_notebook(source)
    started = time.perf_counter()
    with _scratch() as folder:
        client = _client(notebook, folder, timeout=CELL_SECONDS, record_timing=False)
        threads = {} if threads is None else {"UMS_THREADS": str(threads)}
        client.execute(env=_environment(LESSON_STILL="1", **threads), cleanup_kc=True)
    seconds = time.perf_counter() - started
    SOLVED.mkdir(exist_ok=True)
    path = SOLVED / f"{source.stem}.ipynb"
    nbformat.write(notebook, path)
    return path, seconds


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


def _environment(**more):
    """This process's environment, in which the kernel finds this checkout before any installed."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | more
