"""A lesson's source, Python in the percent format, to its student copy and its solved copy.

In the student copy every solution is a hole and cells tagged "solution" are left out; there are no
outputs. The solved copy keeps both, markers too, so that nbgrader and otter-grader can read it. The
same source gives the same bytes.

In both, a link to a file of the repository, `[text](ums/ops/dense.py:dense_backward)`, becomes one
relative to the notebook that leads to the line where that function or class is defined.
"""

import ast
import hashlib
import os
import re
from functools import cache
from pathlib import Path

from lessons.holes import cut

LESSONS = Path(__file__).resolve().parent
ROOT = LESSONS.parent
SOLVED = LESSONS / "solved"

SETUP = """\
*A [lesson](lessons/README.md) of [ums](README.md). Opened by `make lessons`, or in VS Code with the kernel of
`.venv`, it needs nothing more. On a hosted notebook run first `!git clone ADDRESS ums`, `%cd ums` and
`%pip install -r requirements.txt`, with the address of the repository.*"""
"""The cell under each lesson's title."""

_LINK = re.compile(r"\]\(((?:ums|data_prep|lessons|tests)/[\w./-]+|README\.md)(?::([\w.]+))?\)")


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


def student_path(source):
    return LESSONS / f"{source.stem}.ipynb"


def student_text(source):
    """The student copy of the lesson at `source`, as the text of an .ipynb file."""
    import nbformat

    notebook = _notebook(source, LESSONS)
    notebook.cells = [c for c in notebook.cells if "solution" not in c.metadata.get("tags", ())]
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = cut(cell.source, f"{source.name}, a cell of it")
    return nbformat.writes(_named(notebook)) + "\n"


def solved_notebook(source):
    """The solved copy of the lesson at `source`, not yet executed."""
    return _named(_notebook(source, SOLVED))


def _notebook(source, folder):
    """The notebook of a source, with the links as they are in `folder`."""
    import jupytext
    import nbformat

    text = source.read_text(encoding="utf-8")
    cut(text, source.name)  # where markers are wrong, the file's own line is named
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.cells.insert(1, nbformat.v4.new_markdown_cell(SETUP))
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = resolve_links(cell.source, folder, source.name)
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
        name = hashlib.sha256(cell.source.encode()).hexdigest()[:12]
        seen[name] = seen.get(name, 0) + 1
        cell.id = name if seen[name] == 1 else f"{name}-{seen[name]}"
    return notebook


# ------------------------------------------------------------------------------------ links


def resolve_links(text, folder, where):
    """Markdown with its links to files of the repository made relative to `folder`.

    Raises `ValueError`, naming `where`, for a file or definition that is not there.
    """
    up = os.path.relpath(ROOT, folder)

    def link(found):
        path, name = found.groups()
        if not (ROOT / path).exists():
            raise ValueError(f"{where} links to {path}, which is not there")
        line = f"#L{_line(ROOT / path, name, where)}" if name else ""
        return f"]({Path(up, path).as_posix()}{line})"

    return _LINK.sub(link, text)


def _line(path, name, where):
    """The line of the file at which `name`, or `Class.method`, is defined."""
    lines = _definitions(path)
    if name not in lines:
        raise ValueError(f"{where} links to {name} in {path.relative_to(ROOT)}: no such definition")
    return lines[name]


@cache
def _definitions(path):
    """Where the functions, classes, methods and named values of a file are: {name: line}."""
    lines = {}

    def visit(body, prefix):
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                lines[prefix + node.name] = node.lineno
                if isinstance(node, ast.ClassDef):
                    visit(node.body, f"{node.name}.")
            elif isinstance(node, ast.Assign):
                targets = [t for t in node.targets if isinstance(t, ast.Name)]
                lines.update({prefix + target.id: node.lineno for target in targets})

    visit(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return lines
