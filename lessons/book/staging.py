"""Gather the pages of the book in one folder, and have Sphinx make the site of them."""

import shutil
from pathlib import Path

import jinja2

from lessons.book.chapters import chapter, downloadable
from lessons.book.links import in_book
from lessons.book.plan import read_plan, title_of
from lessons.book.reference import write_reference
from lessons.notebooks import ROOT, SOLVED, sources, student_text
from lessons.running import solve

HERE = Path(__file__).parent
EXPERIMENTS = ROOT / "ums" / "experiments"


def build(out, edition):
    """Make the book: its sources in `out/source`, the site in `out/html`; Sphinx's exit status.

    Lessons without an executed copy (lessons/solved/) are executed first, except in a draft.
    """
    import myst_nb  # noqa: F401  # else Sphinx says at length, and late, that it is not there
    from sphinx.cmd.build import main as sphinx

    source, html = out / "source", out / "html"
    stage(source, edition)
    shutil.rmtree(html, ignore_errors=True)
    options = ["-qW", "--keep-going", "-c", str(HERE), "-d", str(out / "doctrees")]
    if edition.solved:
        options += ["-D", "html_title=ums: the teacher's book"]
    status = sphinx([*options, str(source), str(html)])
    if not edition.solved:
        _write_notebooks(html / "notebooks", edition)
    return status


def stage(folder, edition):
    """Write every page of the book, as Sphinx reads it, into `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    for name in ("lessons", "api"):
        (folder / name).mkdir(parents=True)
    write_reference(folder / "api")
    for path in (HERE / "pages").glob("*.md"):
        _write_page(path, folder / path.name, edition)
    text = (EXPERIMENTS / "RESULTS.md").read_text(encoding="utf-8")
    text = in_book(text, EXPERIMENTS, repository=edition.repository)
    (folder / "results.md").write_text(text, encoding="utf-8")
    shutil.copytree(EXPERIMENTS / "published", folder / "published", ignore=_not_pictures)
    for source in sources():
        _write_chapter(source, folder / "lessons", edition)


def _not_pictures(folder, names):
    return [name for name in names if not name.endswith((".svg", ".png"))]


def _write_page(path, target, edition):
    """A page of text; its expressions, {{ ... }}, see the plan of the course."""
    template = jinja2.Template(
        path.read_text(encoding="utf-8"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    text = template.render(plan=read_plan(), link=_link, chapters=_chapters(), edition=edition)
    target.write_text(in_book(text, repository=edition.repository), encoding="utf-8")


def _chapters():
    """The stems of the chapters of each kind that there is: {"Lessons": ["01_xray", ...]}."""
    stems = [source.stem for source in sources()]
    kinds = {"Lessons": "0123456789", "Tasks": "t", "Capstones": "c"}
    found = {kind: [s for s in stems if s[0] in first] for kind, first in kinds.items()}
    return {kind: stems for kind, stems in found.items() if stems}


def _link(key):
    """A lesson's title, linked to its chapter; alone, where it has none yet."""
    path = next((path for path in sources() if path.name.startswith(f"{key}_")), None)
    return f"[{title_of(key)}](lessons/{path.stem}.ipynb)" if path else title_of(key)


def _write_chapter(source, folder, edition):
    import nbformat

    if not edition.draft and not (SOLVED / f"{source.stem}.ipynb").exists():
        print(f"executing {source.name}", flush=True)
        solve(source)
    nbformat.write(chapter(source, folder, edition), folder / f"{source.stem}.ipynb")


def _write_notebooks(folder, edition):
    """The students' notebooks, for the links that download or open one."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in sources():
        text = downloadable(student_text(source), edition.repository)
        (folder / f"{source.stem}.ipynb").write_text(text, encoding="utf-8")
