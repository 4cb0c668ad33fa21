"""What an experiment leaves behind: tables beside the paper's figures, pictures, one HTML page.

A `Report` holds `Section`s, a section holds text, `Table`s and `Figure`s. `Report.write` turns them
into one page that needs no network and no script (`report.html`), the tables as plain text and JSON
(`tables.txt`, `tables.json`) and each figure as a file of its own. Nothing here knows a network or
a data set: all of it is presentation.
"""

import base64
import json
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter

import jinja2

from ums.experiments.results.claims import Verdict
from ums.experiments.results.scores import Estimate

UNKNOWN = "–"
OURS, PAPER = "ours", "paper"


@dataclass(frozen=True)
class Cell:
    """A value as it is written: a number or text, with what stands beside it in smaller type."""

    text: str
    spread: str = ""
    interval: str = ""
    verdict: Verdict | None = None

    def __str__(self):
        return " ".join(part for part in (self.text, self.spread, self.interval) if part)


@dataclass(frozen=True)
class Column:
    """A table's column: its heading and how its numbers are written.

    `format` is a `str.format` pattern with one field, such as `"{:.3f}"`, `"{:,d}"` or
    `"{:.1f} min"`, or a function that writes a number, such as `formatted_p`. The paper often prints
    fewer digits: `paper_format` is for its figures, and the same as `format` unless given.
    """

    name: str
    format: str | Callable = "{}"
    paper_format: str | Callable | None = None


@dataclass
class Table:
    """Rows of results, where known beside the figures the paper prints.

    name: file and anchor name (small letters, digits, - and _); title and note: sentences.
    columns: `Column`s, or plain headings for columns of text.
    rows: one dict per row, heading -> str, int, float, (mean, standard deviation), `Estimate`,
    `Verdict` or None; or what a column's own function writes, of parts that JSON can hold.
    paper_rows: as many dicts as rows, holding what the paper prints; a heading left out, or None,
    is shown as a dash, and a column without any figure from the paper stands alone.

    Raises `ValueError` if a row names an unknown column, or the two lists differ in length.
    """

    name: str
    title: str
    columns: list
    rows: list
    paper_rows: list | None = None
    note: str = ""

    def __post_init__(self):
        _check_name(self.name)
        self.columns = [Column(c) if isinstance(c, str) else c for c in self.columns]
        known = {column.name for column in self.columns}
        for row in [*self.rows, *(self.paper_rows or [])]:
            if unknown := sorted(set(row) - known):
                raise ValueError(f"table {self.name}: no column named {', '.join(unknown)}")
        if self.paper_rows is not None and len(self.paper_rows) != len(self.rows):
            raise ValueError(
                f"table {self.name}: {len(self.rows)} rows beside the paper's {len(self.paper_rows)}"
            )

    @property
    def beside_paper(self):
        """Whether any column has a figure from the paper beside ours."""
        return any(self.is_paired(column) for column in self.columns)

    def is_paired(self, column):
        """Whether the paper says anything about this column that our row does not say already."""
        pairs = zip(self.rows, self.paper_rows or [], strict=False)
        theirs_and_ours = [(paper.get(column.name), ours.get(column.name)) for ours, paper in pairs]
        return any(
            theirs is not None and not (isinstance(theirs, str) and theirs == ours)
            for theirs, ours in theirs_and_ours
        )

    def is_numeric(self, column):
        """Whether the column holds numbers, which are written flush right."""
        values = [row.get(column.name) for row in self.rows]
        return any(not isinstance(value, str) and value is not None for value in values)

    def layout(self):
        """Return the printed columns from left to right as (Column, "ours", "paper" or "")."""
        printed = []
        for column in self.columns:
            sources = (OURS, PAPER) if self.is_paired(column) else ("",)
            printed += [(column, source) for source in sources]
        return printed

    def cells(self):
        """Return every row as the `Cell`s under `layout()`."""
        papers = self.paper_rows or [{}] * len(self.rows)
        return [
            [_cell(column, source, ours, paper) for column, source in self.layout()]
            for ours, paper in zip(self.rows, papers, strict=True)
        ]

    def text(self):
        """Return the table as aligned plain text, ours and the paper's side by side."""
        layout = self.layout()
        # A group's name stands over its first column only.
        names = ["" if source == PAPER else column.name for column, source in layout]
        header = [names, [source for _, source in layout]] if self.beside_paper else [names]
        lines = [*header, *([str(cell) for cell in row] for row in self.cells())]
        widths = [max(len(line[i]) for line in lines) for i in range(len(layout))]
        right = [self.is_numeric(column) for column, _ in layout]
        lines.insert(len(header), ["-" * width for width in widths])
        body = ["  ".join(map(_justified, line, widths, right)).rstrip() for line in lines]
        return "\n".join([self.title, "", *body, *(["", self.note] if self.note else [])]) + "\n"

    def to_dict(self):
        """Return the unrounded table for JSON: NaN as None, pairs as {"mean", "std"}, an `Estimate`
        as its mean, sd, folds, low and high."""
        return {
            "name": self.name,
            "title": self.title,
            "columns": [column.name for column in self.columns],
            "rows": _plain(self.rows),
            "paper_rows": _plain(self.paper_rows),
            "note": self.note,
        }


@dataclass
class Figure:
    """A picture: PNG or SVG bytes, a caption, and `alt`, which says it to those who cannot see it.

    `width` is the natural width in CSS pixels (1/96 inch); without it the picture fills the page.
    Raises `ValueError` for other data or a missing `alt`.
    """

    name: str
    data: bytes = field(repr=False)
    caption: str
    alt: str
    width: int | None = None

    def __post_init__(self):
        _check_name(self.name)
        if not self.alt.strip():
            raise ValueError(f"figure {self.name}: alt must say what the picture shows")
        if self.suffix is None:
            raise ValueError(f"figure {self.name}: neither PNG nor SVG")

    @property
    def suffix(self):
        """Return ".png" or ".svg", by what the bytes are."""
        if self.data.startswith(b"\x89PNG\r\n\x1a\n"):
            return ".png"
        return ".svg" if b"<svg" in self.data[:1000] else None

    def _repr_mimebundle_(self, include=None, exclude=None):
        """Return what a notebook shows: the picture in its natural width."""
        if self.suffix == ".svg":
            return {"image/svg+xml": self.data.decode()}
        picture = base64.b64encode(self.data).decode("ascii")
        return {"image/png": picture}, {"image/png": {"width": self.width} if self.width else {}}

    @property
    def uri(self):
        """Return the picture as a data URI."""
        kind = {".png": "image/png", ".svg": "image/svg+xml"}[self.suffix]
        return f"data:{kind};base64,{base64.b64encode(self.data).decode('ascii')}"


@dataclass
class Section:
    """A heading and what follows it: text, tables, figures, and then `blocks` in their own order.

    blocks: any of str, `Table`, `Figure` and, as a subsection, a `Section` without subsections.
    Strings are paragraphs, separated by an empty line.
    """

    title: str
    text: str = ""
    tables: list = field(default_factory=list)
    figures: list = field(default_factory=list)
    blocks: list = field(default_factory=list)

    def __post_init__(self):
        for block in self.blocks:
            if not isinstance(block, str | Table | Figure | Section):
                raise TypeError(f"section {self.title}: {type(block).__name__} is no block")
            if isinstance(block, Section) and any(isinstance(b, Section) for b in block.blocks):
                raise ValueError(f"section {self.title}: a subsection cannot have subsections")

    def content(self):
        """Yield all in order: ("text", paragraph), ("table", it), ("figure", it), ("section", it)."""
        for block in (self.text, *self.tables, *self.figures, *self.blocks):
            if isinstance(block, str):
                parts = re.split(r"\n\s*\n", block)
                yield from (("text", part.strip()) for part in parts if part.strip())
            else:
                yield type(block).__name__.lower(), block

    def all(self, kind):
        """Return its tables ("table") or figures ("figure"), those of its subsections included."""
        return [
            found
            for this, item in self.content()
            for found in (item.all(kind) if this == "section" else [item] * (this == kind))
        ]


@dataclass
class Report:
    """An experiment's whole account.

    summary: short sentences on what came out; run: what was run, fact -> value (str or number).
    All strings are plain text: the page escapes them.
    """

    title: str
    subtitle: str = ""
    summary: list = field(default_factory=list)
    sections: list = field(default_factory=list)
    run: dict = field(default_factory=dict)

    @property
    def tables(self):
        """Return the tables of all sections."""
        return [table for section in self.sections for table in section.all("table")]

    @property
    def figures(self):
        """Return the figures of all sections."""
        return [figure for section in self.sections for figure in section.all("figure")]

    def html(self):
        """Return the page, with every picture inside it."""
        environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(Path(__file__).parent),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        return environment.get_template("page.html").render(report=self, show=formatted)

    def to_dict(self):
        """Return title, summary, run and tables as JSON can hold them."""
        return {
            "title": self.title,
            "subtitle": self.subtitle,
            "summary": list(self.summary),
            "run": _plain(self.run),
            "tables": [table.to_dict() for table in self.tables],
        }

    def write(self, folder):
        """Write report.html, tables.txt, tables.json and figures/ into `folder`; return the page.

        Everything is rendered before anything is written, and each file appears under its name only
        when it is whole: an earlier report survives a failure. Raises `ValueError` if two tables or
        two figures share a name, `OSError` naming the folder if it cannot be written.
        """
        files = self._rendered()
        page = Path(folder) / "report.html"
        try:
            for name, data in files.items():
                _write_whole(Path(folder) / name, data)
        except OSError as error:
            reason = error.strerror or error
            raise OSError(
                error.errno, f"cannot write the report into {folder}: {reason}"
            ) from error
        return page

    def _rendered(self):
        """Return file name -> bytes, the page last."""
        for items in (self.tables, self.figures):
            names = [item.name for item in items]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"names used twice: {', '.join(twice)}")
        files = {f"figures/{figure.name}{figure.suffix}": figure.data for figure in self.figures}
        numbers = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        files["tables.txt"] = "\n\n".join(table.text() for table in self.tables).encode()
        files["tables.json"] = (numbers + "\n").encode()
        files["report.html"] = self.html().encode()
        return files


def formatted(value, pattern="{}"):
    """Write one value: a number by `pattern`, a (mean, std) pair as `0.873 ± 0.012`.

    Strings stay as they are; None and NaN are a dash, infinity its sign. A unit is written once.
    """
    return str(_written(value, pattern))


def formatted_p(p):
    """Write a p-value: `0.03`, `0.004`, `< 0.001`; `0.048`, where `0.05` would hide the side it is on.

    None and NaN are a dash.
    """
    if p is None or math.isnan(p):
        return UNKNOWN
    if p < 0.001:
        return "< 0.001"
    digits = 2 if p >= 0.01 else 3
    while p < 0.05 <= round(p, digits):
        digits += 1
    return f"{p:.{digits}f}"


def _written(value, pattern):
    if value is None:
        return Cell(UNKNOWN)
    if isinstance(value, Verdict):
        return Cell(value.value, verdict=value)
    if isinstance(value, str):
        return Cell(value)
    if callable(pattern):
        return Cell(pattern(value))
    before, _, spec, _ = next(Formatter().parse(pattern))
    unit = "".join(text for text, *_ in list(Formatter().parse(pattern))[1:])
    mean, spread, interval = _numbers(value)
    if mean is None or math.isnan(mean):
        return Cell(UNKNOWN)
    parts = [before + _number(mean, spec)]
    parts.append("± " + _number(spread, spec.replace("+", "")) if spread is not None else "")
    ends = ", ".join(_number(end, spec) for end in interval)
    parts.append(f"[{ends}]" if ends else "")
    last = max(i for i, part in enumerate(parts) if part)
    parts[last] += unit
    return Cell(*parts)


def _numbers(value):
    """Return mean, spread (None: no spread) and interval (empty: none) of a cell's value."""
    if isinstance(value, Estimate):
        spread = None if math.isnan(value.sd) else value.sd
        return value.mean, spread, (value.low, value.high) if value.has_interval else ()
    return (*value, ()) if isinstance(value, tuple) else (value, None, ())


def _number(number, spec):
    if number is None or math.isnan(number):
        return UNKNOWN
    if math.isinf(number):
        return "∞" if number > 0 else "−∞"
    # An en-dash-wide minus lines up with the digits; a hyphen does not.
    return format(number, spec).replace("-", "−")


def _cell(column, source, ours, paper):
    if source == PAPER:
        return _written(paper.get(column.name), column.paper_format or column.format)
    return _written(ours.get(column.name), column.format)


def _justified(text, width, right):
    return text.rjust(width) if right else text.ljust(width)


def _plain(value):
    """Return nested results as JSON values: NumPy numbers as Python's, spreads as two names."""
    if isinstance(value, Estimate):
        return _plain(value.to_dict())
    if isinstance(value, Verdict):
        return value.value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple) and len(value) == 2:
        return {"mean": _plain(value[0]), "std": _plain(value[1])}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _write_whole(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        unfinished.write_bytes(data)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _check_name(name):
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise ValueError(f"a name of small letters, digits, - and _ is needed, got {name!r}")
