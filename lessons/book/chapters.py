"""A lesson as a chapter of the book: its cells, their outputs, pictures with alternative texts."""

import base64
import re
from pathlib import Path
from typing import NamedTuple

from lessons.book.check import UNTOLD
from lessons.book.links import in_book
from lessons.holes import cut
from lessons.notebooks import SOLVED

FOR_TEACHERS = {"solution", "rubric"}
"""Cells with one of these tags are in the teacher's book alone."""

SLIDER = "*Here the notebook has a slider; run it to move the slider.*"

COLAB = "https://colab.research.google.com/github/{repository}/blob/gh-pages/notebooks/{stem}.ipynb"
BINDER = "https://mybinder.org/v2/gh/{repository}/HEAD?urlpath=lab/tree/lessons/{stem}.ipynb"

FETCH = """\
# Where the course is not installed, as on Colab, this fetches it; elsewhere it does nothing.
import importlib.util

if importlib.util.find_spec("lessons") is None:
    !git clone -q --depth 1 https://github.com/{repository}.git ums-course
    %cd ums-course
    %pip install -q -r requirements.txt"""


METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


class Edition(NamedTuple):
    """Which book is made.

    Attributes:
        solved: With solutions, for teachers; otherwise the holes are open.
        repository: `owner/name` on GitHub, for badges and links; None leaves them out.
        draft: Whether a lesson that was not executed is shown without outputs, or is an error.
    """

    solved: bool = False
    repository: str | None = None
    draft: bool = False


def chapter(source, folder, edition):
    """The lesson at `source` as a notebook for the book; its pictures are written into `folder`.

    Raises `ValueError` where the executed copy is not of this source.
    """
    import jupytext

    notebook = jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent")
    outputs = _outputs(source, notebook, edition.draft)
    cells, pictures = [], Pictures(Path(folder), source.stem)
    for cell, made in zip(notebook.cells, outputs, strict=True):
        if not edition.solved and FOR_TEACHERS & set(cell.metadata.get("tags", ())):
            continue
        if cell.cell_type == "markdown":
            cell.source = in_book(cell.source, up="../", repository=edition.repository)
        else:
            cell.source = cell.source if edition.solved else cut(cell.source, source.name)
            cell.outputs = [pictures.replaced(output) for output in made]
        cells.append(cell)
    cells.insert(1, _offers(source.stem, edition))
    notebook.cells = cells
    notebook.metadata = METADATA
    return notebook


def downloadable(text, repository):
    """A student copy, as text, that fetches the course first where it is not installed."""
    import nbformat

    if not repository:
        return text
    notebook = nbformat.reads(text, as_version=4)
    cell = nbformat.v4.new_code_cell(FETCH.format(repository=repository), id="fetch")
    notebook.cells.insert(1, cell)
    return nbformat.writes(notebook) + "\n"


def _outputs(source, notebook, draft):
    """The outputs of each cell, from the executed copy."""
    import nbformat

    path = SOLVED / f"{source.stem}.ipynb"
    executed = nbformat.read(path, as_version=4).cells if path.exists() else []
    ran = [*executed[:1], *executed[2:]]  # without the cell on how to open it
    codes = [[c.source for c in cells if c.cell_type == "code"] for cells in (notebook.cells, ran)]
    if codes[0] == codes[1]:
        return [cell.get("outputs", ()) for cell in ran]
    if draft:
        return [()] * len(notebook.cells)
    raise ValueError(f"{path} was not made of this {source.name}: run python -m lessons solve")


def _offers(stem, edition):
    """The cell under the title: where this lesson can be run."""
    from nbformat.v4 import new_markdown_cell

    if edition.solved:
        return new_markdown_cell("*The teacher's copy, with solutions. Please do not publish it.*")
    offers = [
        f'<a class="offer" href="../notebooks/{stem}.ipynb" download>Download the notebook</a>'
    ]
    if edition.repository:
        names = {"Open in Colab": COLAB, "Open in Binder": BINDER}
        offers += [
            f'<a class="offer" href="{url.format(repository=edition.repository, stem=stem)}">{name}</a>'
            for name, url in names.items()
        ]
    return new_markdown_cell(" ".join(offers))


class Pictures:
    """The pictures of a lesson, as files `<stem>-<number>.png` in `folder`."""

    def __init__(self, folder, stem):
        self.folder, self.stem, self.count = folder, stem, 0

    def replaced(self, output):
        """An output whose picture, if it is one, is a file with an alternative text."""
        data = output.get("data", {})
        if "image/png" in data:
            self.count += 1
            path = self.folder / f"{self.stem}-{self.count}.png"
            path.write_bytes(base64.b64decode(data["image/png"]))
            alt = output.metadata.get("image/png", {}).get("alt") or UNTOLD
            output.data = {"text/markdown": f"![{_escaped(alt)}]({path.name})"}
        elif "application/vnd.jupyter.widget-view+json" in data:
            output.data = {"text/markdown": SLIDER}
        return output


def _escaped(text):
    return re.sub(r"([\\`*_\[\]<>$!&])", r"\\\1", " ".join(text.split()))
