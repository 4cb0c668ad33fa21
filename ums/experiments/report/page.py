"""The page that an experiment leaves behind.

A :class:`Report` holds sections, and a section holds text, tables and figures. ``Report.write``
makes of them one page that needs no network and no script (``report.html``), the tables as plain
text and JSON (``tables.txt``, ``tables.json``), and each figure as a file of its own (``figures/``).
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from ums.experiments.report.tables import Table, formatted, plain
from ums.files import write_whole


@dataclass
class Figure:
    """A picture with its caption.

    Attributes:
        name: file and anchor name, of small letters, digits, ``-`` and ``_``.
        data: the bytes of a PNG or an SVG file.
        caption: the text below the picture.
        alt: what the picture shows, for readers who cannot see it.
        width: in CSS pixels (1/96 inch); without it the picture fills the page.
    """

    name: str
    data: bytes = field(repr=False)
    caption: str
    alt: str
    width: int | None = None

    @property
    def suffix(self) -> str:
        """``".png"`` or ``".svg"``."""
        return ".png" if self.data.startswith(b"\x89PNG") else ".svg"

    @property
    def uri(self) -> str:
        """The picture as a data URI."""
        kind = "image/png" if self.suffix == ".png" else "image/svg+xml"
        return f"data:{kind};base64,{base64.b64encode(self.data).decode()}"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        """Return what a notebook shows: the picture in its natural width."""
        if self.suffix == ".svg":
            return {"image/svg+xml": self.data.decode()}
        picture = base64.b64encode(self.data).decode()
        return {"image/png": picture}, {"image/png": {"width": self.width} if self.width else {}}


@dataclass
class Section:
    """A heading with what follows it: text, tables, figures, then ``blocks`` in their own order.

    Attributes:
        title: the heading.
        text: paragraphs, separated by empty lines.
        tables, figures: what stands below the text.
        blocks: tables and figures, mixed.
    """

    title: str
    text: str = ""
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    blocks: list[Table | Figure] = field(default_factory=list)

    @property
    def paragraphs(self) -> list[str]:
        """The text's paragraphs."""
        return [part.strip() for part in re.split(r"\n\s*\n", self.text) if part.strip()]

    @property
    def content(self) -> list[Table | Figure]:
        """All tables and figures in the order of the page."""
        return [*self.tables, *self.figures, *self.blocks]


@dataclass
class Report:
    """The account of one experiment. All strings are plain text, which the page escapes.

    Attributes:
        title, subtitle: of the page.
        summary: short sentences with the main results.
        sections: in the order of the page.
        run: information on the run, such as ``{"Seed": "0"}``.
    """

    title: str
    subtitle: str = ""
    summary: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    run: dict[str, Any] = field(default_factory=dict)

    @property
    def tables(self) -> list[Table]:
        """The tables of all sections."""
        return [b for section in self.sections for b in section.content if isinstance(b, Table)]

    @property
    def figures(self) -> list[Figure]:
        """The figures of all sections."""
        return [b for section in self.sections for b in section.content if isinstance(b, Figure)]

    def html(self) -> str:
        """Return the page, with every picture inside it."""
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).parent),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        return environment.get_template("page.html").render(report=self, show=formatted)

    def to_dict(self) -> dict[str, Any]:
        """Return title, summary, run and tables as JSON values."""
        return {
            "title": self.title,
            "subtitle": self.subtitle,
            "summary": list(self.summary),
            "run": plain(self.run),
            "tables": [table.to_dict() for table in self.tables],
        }

    def write(self, folder: str | Path) -> Path:
        """Write report.html, tables.txt, tables.json and figures/ into ``folder``.

        Everything is rendered before anything is written, and each file appears under its name only
        when it is complete, so an earlier report survives a failure.

        Returns:
            The path of the page.

        Raises:
            ValueError: two tables or two figures have the same name.
            OSError: a file cannot be written; the message names it.
        """
        files = self._rendered()
        for name, data in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, data)
        return Path(folder) / "report.html"

    def _rendered(self) -> dict[str, bytes]:
        """Return file name -> bytes, the page last."""
        for names in ([t.name for t in self.tables], [f.name for f in self.figures]):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"names used twice: {', '.join(twice)}")
        files = {f"figures/{figure.name}{figure.suffix}": figure.data for figure in self.figures}
        numbers = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        files["tables.txt"] = "\n\n".join(table.text() for table in self.tables).encode()
        files["tables.json"] = (numbers + "\n").encode()
        files["report.html"] = self.html().encode()
        return files
