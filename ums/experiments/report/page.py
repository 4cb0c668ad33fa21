"""The page that a study leaves behind: a :class:`Report` of sections with text, tables and figures."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2

from ums.experiments.report.tables import Table, formatted, plain
from ums.files import write_whole


@dataclass
class Figure:
    """A picture, the bytes of a PNG or an SVG file, with its caption and a text for the blind.

    Its width is in CSS pixels (1/96 inch); without it the picture fills the page.
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
        """What a notebook shows: the picture in its natural width."""
        if self.suffix == ".svg":
            return {"image/svg+xml": self.data.decode()}
        picture = self.uri.partition(",")[2]
        return {"image/png": picture}, {"image/png": {"width": self.width} if self.width else {}}


@dataclass
class Section:
    """A heading, paragraphs separated by empty lines, and tables and figures in their order."""

    title: str
    text: str = ""
    blocks: list[Table | Figure] = field(default_factory=list)

    @property
    def tables(self) -> list[Table]:
        """The tables among its blocks."""
        return [block for block in self.blocks if isinstance(block, Table)]

    @property
    def figures(self) -> list[Figure]:
        """The figures among its blocks."""
        return [block for block in self.blocks if isinstance(block, Figure)]


@dataclass
class Report:
    """The account of one study, with sentences as its summary and what was run, such as ``{"Seed": "0"}``.

    All strings are plain text, which the page escapes.
    """

    title: str
    subtitle: str = ""
    summary: list[str] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    run: dict[str, Any] = field(default_factory=dict)

    @property
    def tables(self) -> list[Table]:
        """The tables of all sections."""
        return [table for section in self.sections for table in section.tables]

    def html(self) -> str:
        """The page, with every picture inside it, which needs no network and no script."""
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).parent),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        return environment.get_template("page.html").render(report=self, show=formatted)

    def to_dict(self) -> dict[str, Any]:
        """Title, summary, run and tables as JSON values."""
        names = ("title", "subtitle", "summary", "run")
        content = {name: plain(getattr(self, name)) for name in names}
        return content | {"tables": [table.to_dict() for table in self.tables]}

    def write(self, folder: str | Path) -> Path:
        """Write report.html, tables.txt, tables.json and figures/ into a folder.

        Everything is rendered before anything is written, and each file appears under its name only
        when it is complete, so an earlier report survives a failure.

        Returns:
            The path of the page.

        Raises:
            ValueError: Two tables or two figures have the same name.
            OSError: A file cannot be written; the message names it.
        """
        figures = [figure for section in self.sections for figure in section.figures]
        for names in ([table.name for table in self.tables], [figure.name for figure in figures]):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"names used twice: {', '.join(twice)}")
        numbers = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        files = {f"figures/{figure.name}{figure.suffix}": figure.data for figure in figures}
        files["tables.txt"] = "\n\n".join(table.text() for table in self.tables).encode()
        files["tables.json"] = f"{numbers}\n".encode()
        files["report.html"] = self.html().encode()
        for name, data in files.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, data)
        return Path(folder) / "report.html"
