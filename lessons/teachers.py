"""The teachers' folder: solved copies, slides made of them, and how to grade."""

import importlib
import inspect
import re

from lessons.checking import checks_of
from lessons.links import without_links
from lessons.notebooks import (
    FOR_TEACHERS,
    PLACE,
    SOLVED,
    THINK,
    asked,
    check_points,
    checks_name,
    solved_notebook,
    source_notebook,
    tags,
)
from lessons.running import solve

USUAL = """\
Two points for each question: one for what is claimed, one for the reason. An answer that differs from the one
below and is well argued from a picture, an equation or a number of the notebook has both.
"""


def write_teachers(folder, sources):
    """Write `solved/`, `slides/` and `grading/`; solves the lessons whose solved copy is out of date."""
    import nbformat

    for name in ("solved", "slides", "grading"):
        (folder / name).mkdir(parents=True)
    for source in sources:
        (folder / "grading" / f"{source.stem}.md").write_text(grading(source), encoding="utf-8")
        notebook = _solved(source)
        nbformat.write(notebook, folder / "solved" / f"{source.stem}.ipynb")
        page = folder / "slides" / f"{source.stem}.slides.html"
        page.write_text(slides(notebook), encoding="utf-8")
    return folder


def _solved(source):
    """The solved copy with its outputs: the one that is there, if the lesson has not changed since."""
    import nbformat

    path, wanted = SOLVED / f"{source.stem}.ipynb", solved_notebook(source)
    if path.is_file():
        kept = nbformat.read(path, as_version=4)
        if [cell.source for cell in kept.cells] == [cell.source for cell in wanted.cells]:
            return kept
    return nbformat.read(solve(source)[0], as_version=4)


def slides(notebook):
    """A page of slides (reveal.js, which it loads from the web) with a slide for each heading.

    What follows a heading is below it: the arrow down leads there.
    """
    from nbconvert import SlidesExporter

    for cell in notebook.cells:
        heads = cell.cell_type == "markdown" and re.match(r"#{1,2} ", cell.source)
        kind = "slide" if heads else "subslide" if cell.cell_type == "markdown" else "fragment"
        if tags(cell) & {"solution", "rubric"}:
            kind = "skip"
        cell.metadata["slideshow"] = {"slide_type": kind}
    return SlidesExporter().from_notebook_node(notebook)[0]


def grading(source):
    """How to grade a lesson, in Markdown: its checks, its questions, their answers and the rubric.

    The rubric is what the source's cells tagged "rubric" say, or else the usual one.
    """
    cells = source_notebook(source).cells
    title = re.search(r"^# (.+)$", cells[0].source, flags=re.M)[1]
    checks = checks_of(importlib.import_module(f"lessons.checks.{checks_name(source.stem)}"))
    lines = [f"# {title}", "", "## Checks", "", _worth(check_points(source.stem)), ""]
    lines += [f"- `{name}`: {' '.join(inspect.getdoc(f).split())}" for name, f in checks.items()]
    if not any("rubric" in tags(cell) for cell in cells):
        lines += ["", USUAL.rstrip()]
    for cell, after in zip(cells, [*cells[1:], None], strict=True):
        if tags(cell) & FOR_TEACHERS:
            lines += ["", without_links(cell.source)]
        elif asked(cell, after):
            begin = THINK.search(cell.source)
            text = cell.source[begin.start() if begin else 0 :]
            lines += ["", without_links(PLACE.sub("", text)).rstrip()]
    return "\n".join(lines) + "\n"


def _worth(points):
    return f"Scoring gives {'one point' if points == 1 else f'{points} points'} for each."
