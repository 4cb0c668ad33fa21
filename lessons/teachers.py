"""The teachers' folder: solved copies, slides made of them, and how to grade."""

import importlib
import inspect
import re
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy

from lessons.checking import checks_of
from lessons.holes import cut
from lessons.links import live_links, without_links
from lessons.notebooks import (
    FOR_TEACHERS,
    PLACE,
    SETUP,
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

SETUP_SOLVED = (
    "*A solved copy. It runs in the students' environment, which their START.md says how to make.*"
)

STUDENTS = "../../students"
"""The students' folder, from that of the solved copies."""

USUAL = """\
Two points for each question: one for what is claimed, one for the reason. An answer that differs from the one
below and is well argued from a picture, an equation or a number of the notebook has both.
"""


def write_teachers(folder, sources, processes=1):
    """Write `solved/`, `slides/` and `grading/`.

    Solves the lessons whose solved copy is out of date, so many side by side, and prints their seconds.
    """
    import nbformat

    for name in ("solved", "slides", "grading"):
        (folder / name).mkdir(parents=True)
    with ThreadPoolExecutor(processes) as pool:
        threads = 1 if processes > 1 else None
        notebooks = list(pool.map(lambda source: _solved(source, threads), sources))
    for source, notebook in zip(sources, notebooks, strict=True):
        (folder / "grading" / f"{source.stem}.md").write_text(grading(source), encoding="utf-8")
        notebook = _linked(notebook, folder)
        nbformat.write(notebook, folder / "solved" / f"{source.stem}.ipynb")
        page = folder / "slides" / f"{source.stem}.slides.html"
        page.write_text(slides(notebook), encoding="utf-8")
    return folder


def _solved(source, threads):
    """The solved copy with its outputs: the one that is there, if the lesson has not changed since."""
    import nbformat

    path, wanted = SOLVED / f"{source.stem}.ipynb", solved_notebook(source)
    if path.is_file():
        kept = nbformat.read(path, as_version=4)
        if [cell.source for cell in kept.cells] == [cell.source for cell in wanted.cells]:
            return kept
    path, seconds = solve(source, threads)
    print(f"{seconds:6.1f} s  {path.name}", flush=True)
    return nbformat.read(path, as_version=4)


def _linked(notebook, folder):
    """The notebook with its links leading into the students' folder beside this one, where they can."""
    for cell in notebook.cells:
        if cell.source.startswith(SETUP[:12]):
            cell.source = SETUP_SOLVED
        elif cell.cell_type == "markdown":
            text = cell.source.replace("](../../", f"]({STUDENTS}/")
            cell.source = live_links(text, folder / "solved")
    return notebook


def slides(notebook):
    """A page of slides (reveal.js, loaded from the web): right for the next heading, down for the rest.

    Slides show the lesson as students get it, with holes. The code that draws a picture is left out,
    and so is the first cell, of imports. What to look at in a picture appears beneath it, and a check
    beneath its hole.
    """
    from nbconvert import SlidesExporter

    shown = notebook.copy()
    imports = [i for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"][:1]
    cells = [cell for i, cell in enumerate(notebook.cells) if i not in imports]
    shown.cells = [slide for cell in cells for slide in _slides_of(cell)]
    for number, slide in enumerate(shown.cells):
        slide.id = f"slide{number}"
    exporter = SlidesExporter(reveal_scroll=True, reveal_width="1280", reveal_height="720")
    title = re.search(r"^# (.+)$", shown.cells[0].source, flags=re.M)[1]
    return exporter.from_notebook_node(shown, {"metadata": {"name": title}})[0]


def _slides_of(cell):
    """The slides that a cell becomes: each heading begins a new one."""
    if tags(cell) & FOR_TEACHERS or cell.source in (SETUP, SETUP_SOLVED):
        return []
    if cell.cell_type == "code":
        is_check = cell.source.startswith("check.")
        slide = _slide(cell, "fragment" if is_check else "subslide", cut(cell.source))
        slide.outputs = [] if is_check else slide.outputs  # "passed", beside an empty hole
        drawn = any("image/png" in output.get("data", {}) for output in slide.outputs)
        slide.metadata["transient"] = {"remove_source": drawn}  # read by nbconvert's templates
        return [slide]
    texts = [text for text in re.split(r"^(?=## )", cell.source, flags=re.M) if text.strip()]
    return [_slide(cell, _kind(text), text) for text in texts]


def _kind(text):
    """The kind of slide for a piece of text, in nbconvert's words."""
    if re.match("##? ", text):
        return "slide"
    return "fragment" if text.startswith("**Look.**") else "subslide"


def _slide(cell, kind, text):
    made = deepcopy(cell)
    made.source, made.metadata["slideshow"] = text, {"slide_type": kind}
    return made


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
