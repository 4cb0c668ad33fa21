"""A lesson's source, Python in the percent format, to its student copy and its solved copy.

In the student copy every solution is a hole, cells tagged "solution" or "rubric" are left out, and a
cell for the answers follows each list of questions to think about; there are no outputs. The solved
copy keeps what the source holds, markers too. The same source gives the same bytes.
"""

import hashlib
import json
import re
from pathlib import Path

from lessons.holes import cut, holes
from lessons.links import ROOT, resolve_links

LESSONS = Path(__file__).resolve().parent
SOLVED = LESSONS / "solved"
WORK = ROOT / "work"
"""Where students write in a checkout: git ignores it."""

SETUP = """\
*A [lesson](lessons/README.md) of [ums](README.md). Opened by `make lessons`, or in VS Code with the kernel of
`.venv`, it needs nothing more. On a hosted notebook run first `!git clone ADDRESS ums`, `%cd ums` and
`%pip install -r requirements.txt`, with the address of the repository.*"""
"""The cell under each lesson's title."""

POINTS = {"t": 4, "c": 7}
"""Points of a check of a task and of a capstone; one of a lesson has one."""

FOR_TEACHERS = {"solution", "rubric"}
"""Cells with one of these tags are in no student copy."""

THINK = re.compile(r"^(## Think\b|\*\*Think\.\*\*)", flags=re.M)
PLACE = re.compile(r"^\*your (answers?|report)\b[^*]*\*$", flags=re.M)
"""A place for an answer within the text that asks for it: the line `*your answer:*`."""


def sources(keys=()):
    """The source files with these keys, in order; all of them, where none is given.

    A key is the beginning of a file's name: the number of a lesson ("4" or "04"), or the letter and
    number of a task ("t1") or a capstone ("c1").

    Raises `ValueError` for a key without a file.
    """
    paths = {path.name.partition("_")[0]: path for path in sorted(LESSONS.glob("source/*_*.py"))}
    keys = [key.zfill(2) for key in keys]
    if unknown := [key for key in keys if key not in paths]:
        raise ValueError(f"no lesson {unknown[0]}; there are {', '.join(paths)}")
    return [path for key, path in paths.items() if not keys or key in keys]


def checks_name(stem):
    """The module of the checks of the lesson "02_backward": lessons.checks.lesson_02."""
    return f"lesson_{stem.partition('_')[0]}"


def check_points(stem):
    """What each check of this lesson, task or capstone is worth: its answer has so many lines more."""
    return POINTS.get(stem[:1], 1)


def tags(cell):
    return set(cell.metadata.get("tags", ()))


def student_path(source):
    return LESSONS / f"{source.stem}.ipynb"


def student_text(source, folder=LESSONS):
    """The student copy of the lesson at `source`, as the text of an .ipynb file."""
    import nbformat

    return nbformat.writes(student_notebook(source, folder)) + "\n"


def student_notebook(source, folder=LESSONS):
    """The student copy of the lesson at `source`, with the links as they are in `folder`."""
    notebook = source_notebook(source)
    cells, to_write, above = [], [], None
    for cell in reversed(notebook.cells):
        below, above = above, cell
        if tags(cell) & FOR_TEACHERS:
            continue
        if cell.cell_type == "code":
            to_write = [name for hole in holes(cell.source) for name in hole.names] + to_write
            cell.source = cut(cell.source, f"{source.name}, a cell of it")
        elif cell.cell_type == "markdown":
            count = asked(cell, below)
            if count and not PLACE.search(cell.source):
                cells.append(_answer_cell(count))
            cell.source = resolve_links(cell.source, folder, source.name, to_write)
        cells.append(cell)
    notebook.cells = cells[::-1]
    return _named(notebook)


def solved_notebook(source):
    """The solved copy of the lesson at `source`, not yet executed."""
    notebook = source_notebook(source)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = resolve_links(cell.source, SOLVED, source.name)
    return _named(notebook)


def asked(cell, after):
    """How many questions a text asks to think about, before the cell `after`: those with numbers.

    It asks where it has a place for the answer, begins with `**Think.**` or is followed by a cell tagged
    "solution"; under the heading `## Think` it asks what has a number.
    """
    if cell.cell_type != "markdown" or tags(cell) & FOR_TEACHERS:
        return 0
    found = THINK.search(cell.source)
    text = cell.source[found.start() :] if found else cell.source
    numbered = len(re.findall(r"^\d+\. ", text, flags=re.M))
    answered = after is not None and after.cell_type == "markdown" and "solution" in tags(after)
    if PLACE.search(text) or answered or (found and found[1] != "## Think"):
        return max(1, numbered)
    return numbered if found else 0


def _answer_cell(count):
    """An empty cell for the answers to so many questions."""
    from nbformat.v4 import new_markdown_cell

    lines = ["**Your answers.**", *(f"{n}. " for n in range(1, count + 1))]
    text = "\n\n".join(lines) if count > 1 else "**Your answer.**"
    return new_markdown_cell(text, metadata={"tags": ["answers"]})


def is_changed(path):
    """Whether someone has worked in the notebook at `path`, so that `build` should not replace it.

    Each cell that `build` writes is named by its text, and no output is written.

    Raises `ValueError` for a file that is no notebook.
    """
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        texts = ["".join(cell["source"]) for cell in cells]
        made = [
            str(cell.get("id")).partition("-")[0] == _name(text)
            for cell, text in zip(cells, texts, strict=True)
        ]
        return not all(made) or any(cell.get("outputs") for cell in cells)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no notebook: {type(error).__name__}: {error}") from error


def source_notebook(source):
    """The notebook of a source, with its links as they are written there."""
    import jupytext
    import nbformat

    text = source.read_text(encoding="utf-8")
    cut(text, source.name)  # where markers are wrong, the file's own line is named
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(SETUP))
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "ums_lesson": source.stem,
        }
    )
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return notebook


def _named(notebook):
    """Give each cell a name made of its text alone, so that a change in one touches no other."""
    seen = {}
    for cell in notebook.cells:
        name = _name(cell.source)
        seen[name] = seen.get(name, 0) + 1
        cell.id = name if seen[name] == 1 else f"{name}-{seen[name]}"
    return notebook


def _name(text):
    return hashlib.sha256(text.encode()).hexdigest()[:12]
