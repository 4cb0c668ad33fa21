"""What a course hands out, made from the sources: bundles for students and teachers, nbgrader, otter.

The students' folder holds the library, which the notebooks import and link to, the checks and the
notebooks with holes. It holds no source, no solution and no test. The library does contain functions like
those that students write: it is what they learn from afterwards.
"""

import ast
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lessons.graders import NBGRADER_CONFIG, nbgrader_notebook, otter_notebook
from lessons.links import live_links
from lessons.notebooks import LESSONS, ROOT, SETUP, checks_name, student_notebook
from lessons.start_page import start_page
from lessons.teachers import write_teachers

LIBRARY = ("ums", "data_prep")
REQUIREMENTS = ("core", "study", "data", "lessons")
"""What students install, of the files in requirements/."""

SETUP_HERE = (
    "*A lesson of ums. START.md in the folder above says how to begin and how to hand it in.*"
)

IGNORED = """\
# Notebooks hold your work and outputs: git would find a conflict in every new version of them.
lessons/*.ipynb
.ipynb_checkpoints/
own/
work/
.venv/
__pycache__/
"""

COMMAND = '''\
"""The students' command: python -m lessons study (--help tells)."""

import sys

from lessons.own_command import main

sys.exit(main())
'''


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

    copy_library(folder, sources, ["own_command"])
    (folder / "lessons" / "__main__.py").write_text(COMMAND, encoding="utf-8")
    _write_requirements(folder)
    shutil.copy(ROOT / "LICENSE", folder)
    (folder / ".gitignore").write_text(IGNORED, encoding="utf-8")
    titles = {}
    for source in sources:
        notebook = student_notebook(source)
        titles[source.stem] = re.search(r"^# (.+)$", notebook.cells[0].source, flags=re.M)[1]
        for cell in notebook.cells:
            if cell.source.startswith(SETUP[:12]):
                cell.source = SETUP_HERE
            elif cell.cell_type == "markdown":
                cell.source = live_links(cell.source, folder / "lessons")
        nbformat.write(notebook, folder / "lessons" / f"{source.stem}.ipynb")
    (folder / "START.md").write_text(start_page(titles), encoding="utf-8")
    return folder


def _write_requirements(folder):
    """`requirements.txt` with all that students install; that of a GPU stands beside it."""
    (folder / "requirements").mkdir()
    for name in (*REQUIREMENTS, "gpu"):
        shutil.copy(ROOT / "requirements" / f"{name}.txt", folder / "requirements")
    (folder / "requirements" / "tested.txt").write_text(_installed(), encoding="utf-8")
    needed = "".join(f"-r requirements/{name}.txt\n" for name in REQUIREMENTS)
    (folder / "requirements.txt").write_text(needed, encoding="utf-8")


def _installed():
    """What students install, in the versions that are installed here."""
    texts = [(ROOT / "requirements" / f"{name}.txt").read_text("utf-8") for name in REQUIREMENTS]
    lines = []
    for name in sorted(set(re.findall(r"^[\w-]+", "\n".join(texts), flags=re.M))):
        try:
            lines.append(f"{name}=={version(name)}\n")
        except PackageNotFoundError:  # what this Python or this task does without
            continue
    return "".join(lines)


def copy_library(folder, sources, more=()):
    """What the notebooks of these lessons import: the library, the checks and what these import.

    So are the modules of `lessons` that `more` names.
    """
    left_out = shutil.ignore_patterns("__pycache__", "*.json.xz")  # records of the studies: 10 MB
    for name in LIBRARY:
        shutil.copytree(ROOT / name, folder / name, ignore=left_out)
    texts = [source.read_text(encoding="utf-8") for source in sources]
    modules = {"__init__", "setup", "checks/__init__"}
    new = {f"checks/{checks_name(source.stem)}" for source in sources} | set(more)
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
