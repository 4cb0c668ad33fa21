"""What a course hands out, made from the sources: bundles for students and teachers, nbgrader, otter.

The students' folder holds the library, which the notebooks import and link to, the checks and the
notebooks with holes. It holds no source, no solution and no test. The library does contain functions like
those that students write: it is what they learn from afterwards.
"""

import ast
import re
import shutil
import subprocess
from pathlib import Path

from lessons.graders import NBGRADER_CONFIG, nbgrader_notebook, otter_notebook
from lessons.links import live_links
from lessons.notebooks import LESSONS, ROOT, SETUP, checks_name, student_notebook
from lessons.teachers import write_teachers

LIBRARY = ("ums", "data_prep")
FILES = ("LICENSE", "requirements.txt")

START = """\
# Start here

1. Once, with Python 3.10 or newer, in this folder:

   ```
   python -m venv .venv
   .venv/bin/python -m pip install -r requirements.txt -r requirements/lessons.txt
   .venv/bin/python -m lessons.setup
   ```

   On Windows write `.venv\\Scripts\\python` for `.venv/bin/python`.
2. Each time: `.venv/bin/python -m jupyterlab`, in this folder. Open the notebooks from its folder `lessons`.
   In VS Code open one and choose `.venv` as its kernel.
3. Do the notebooks in the order below. Where you write, a line says `raise NotImplementedError`, or `None`:
   put your own lines there. The cell beneath checks them and says what is wrong.
4. Answers in words go where the text says *your answer*, or into the cell *Your answers* after it.
5. Hand in the notebooks themselves, under their own names. Your answers are found by their names
   (`dense_backward`), so keep these; cells that you add, move or delete do no harm.

Write before you look: `ums/` is the library that these lessons explain, and holds functions like yours.

## The notebooks

"""

SETUP_HERE = (
    "*A lesson of ums. START.md in the folder above says how to begin and how to hand it in.*"
)

IGNORED = """\
# Notebooks hold your work and outputs: git would find a conflict in every new version of them.
lessons/*.ipynb
.ipynb_checkpoints/
.venv/
__pycache__/
"""


def release(out, sources, otter=None, processes=1):
    """Write the bundles into the new or empty folder `out`; yield each one's name and folder.

    Args:
        out: the folder.
        sources: the lessons' sources.
        otter: a Python with otter-grader, which then makes the zips for Gradescope.
        processes: lessons solved side by side.

    Raises `FileExistsError` where the folder holds something.
    """
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty: a release needs a folder of its own")
    yield "students", write_students(out / "students", sources)
    yield "nbgrader", write_nbgrader(out / "nbgrader", sources)
    yield "otter", write_otter(out / "otter", sources, otter)
    yield "teachers", write_teachers(out / "teachers", sources, processes)


def write_students(folder, sources):
    """The students' folder."""
    import nbformat

    copy_library(folder, sources)
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    for name in FILES:
        shutil.copy(ROOT / name, folder / name)
    (folder / ".gitignore").write_text(IGNORED, encoding="utf-8")
    lines = []
    for source in sources:
        notebook = student_notebook(source)
        title = re.search(r"^# (.+)$", notebook.cells[0].source, flags=re.M)[1]
        for cell in notebook.cells:
            if cell.source.startswith(SETUP[:12]):
                cell.source = SETUP_HERE
            elif cell.cell_type == "markdown":
                cell.source = live_links(cell.source, folder / "lessons")
        nbformat.write(notebook, folder / "lessons" / f"{source.stem}.ipynb")
        lines.append(f"- [{title}](lessons/{source.stem}.ipynb)\n")
    (folder / "START.md").write_text(START + "".join(lines), encoding="utf-8")
    return folder


def copy_library(folder, sources):
    """What the notebooks of these lessons import: the library, the checks and what these import."""
    for name in LIBRARY:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    texts = [source.read_text(encoding="utf-8") for source in sources]
    modules = {"__init__", "setup", "checks/__init__"}
    new = {f"checks/{checks_name(source.stem)}" for source in sources}
    new |= {m for text in texts for m in _imported(text)}
    while new - modules:
        modules |= new
        new = {m for m in modules for m in _imported(_module(m).read_text(encoding="utf-8"))}
    for module in modules:
        target = folder / "lessons" / f"{module}.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_module(module), target)


def _module(name):
    return LESSONS / f"{name}.py"


def _imported(text):
    """The modules of `lessons` that a text of Python imports, as `checks/lesson_02`."""
    names = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "lessons":
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    paths = {
        n.removeprefix("lessons.").replace(".", "/") for n in names if n.startswith("lessons.")
    }
    return {path for path in paths if _module(path).is_file()}


# ------------------------------------------------------------------- nbgrader and otter


def write_nbgrader(folder, sources):
    """A course folder of nbgrader: each lesson an assignment."""
    import nbformat

    for source in sources:
        path = folder / "source" / source.stem / f"{source.stem}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(nbgrader_notebook(source), path)
    (folder / "nbgrader_config.py").write_text(NBGRADER_CONFIG, encoding="utf-8")
    return folder


def write_otter(folder, sources, python=None):
    """Master copies for otter, with the library beside them; where it can run, its zips in `made/`.

    Raises `subprocess.CalledProcessError` if otter refuses one.
    """
    import nbformat

    masters = folder / "masters"
    copy_library(masters, sources)
    needed = [(ROOT / "requirements" / name).read_text(encoding="utf-8") for name in NEEDED]
    (masters / "requirements.txt").write_text("".join(needed), encoding="utf-8")
    for source in sources:
        master = masters / f"{source.stem}.ipynb"
        nbformat.write(otter_notebook(source, [*LIBRARY, "lessons"]), master)
        if python:
            made = Path("..", "made", source.stem)
            command = [python, "-m", "otter", "assign", master.name, str(made), "--no-pdfs"]
            subprocess.run(command, cwd=masters, check=True, capture_output=True)
    return folder


NEEDED = ("core.txt", "study.txt")
"""What the library needs where otter or Gradescope runs the notebooks."""
