"""Tables of results: rows of values, how each is written, and the paper's numbers beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from ums.experiments.results.scores import Estimate
from ums.experiments.results.verdicts import Contrast, Verdict

UNKNOWN = "–"
OURS, PAPER = "ours", "paper"


@dataclass(frozen=True)
class Cell:
    """A value as it is written, with its spread and interval; a verdict gives it a mark and a colour."""

    text: str
    spread: str = ""
    interval: str = ""
    verdict: Verdict | None = None

    def __str__(self) -> str:
        mark = self.verdict.mark if self.verdict and self.interval else ""
        return " ".join(part for part in (self.text, self.spread, self.interval, mark) if part)


@dataclass(frozen=True)
class Column:
    """A heading, and how what stands under it is written.

    That is a ``str.format`` pattern with one field. Without it, floats have three digits, the paper's
    two, and integers a comma after each thousand.
    """

    name: str
    format: str = ""


@dataclass
class Table:
    """Rows of results (heading -> value), beside the paper's numbers where it prints them.

    A value is a string, a number, an ``Estimate``, a ``Contrast``, a ``Verdict`` or None.
    ``name`` is that of the table's anchor.

    Raises:
        ValueError: A row has an unknown heading.
    """

    name: str
    title: str
    columns: list
    rows: list[dict]
    paper_rows: list[dict] | None = None
    note: str = ""

    def __post_init__(self) -> None:
        self.columns = [Column(c) if isinstance(c, str) else c for c in self.columns]
        known = {column.name for column in self.columns}
        for row in [*self.rows, *(self.paper_rows or [])]:
            if unknown := sorted(set(row) - known):
                raise ValueError(f"table {self.name}: no column named {', '.join(unknown)}")

    @property
    def beside_paper(self) -> bool:
        """Whether any column has a number from the paper beside ours."""
        return any(self.is_paired(column) for column in self.columns)

    def is_paired(self, column: Column) -> bool:
        """Whether the paper has a number in this column."""
        return any(row.get(column.name) is not None for row in self.paper_rows or [])

    def is_numeric(self, column: Column) -> bool:
        """Whether the column holds numbers, which are aligned on the right."""
        values = [row.get(column.name) for row in self.rows]
        return any(not isinstance(value, str) and value is not None for value in values)

    def layout(self) -> list[tuple[Column, str]]:
        """The printed columns from left to right, each with ``"ours"``, ``"paper"`` or ``""``."""
        return [
            (column, source)
            for column in self.columns
            for source in ((OURS, PAPER) if self.is_paired(column) else ("",))
        ]

    def cells(self) -> list[list[Cell]]:
        """Every row as the cells under :meth:`layout`."""
        papers = self.paper_rows or [{}] * len(self.rows)
        return [
            [
                _paper_cell(paper.get(column.name))
                if source == PAPER
                else _cell(ours.get(column.name), column.format)
                for column, source in self.layout()
            ]
            for ours, paper in zip(self.rows, papers, strict=True)
        ]

    def text(self) -> str:
        """The table as aligned plain text."""
        layout = self.layout()
        # The name of a pair of columns stands over its first column only.
        header = [["" if source == PAPER else column.name for column, source in layout]]
        header += [[source for _, source in layout]] if self.beside_paper else []
        lines = header + [[str(cell) for cell in row] for row in self.cells()]
        widths = [max(map(len, texts)) for texts in zip(*lines, strict=True)]
        lines.insert(len(header), ["-" * width for width in widths])
        sides = [">" if self.is_numeric(column) else "<" for column, _ in layout]
        body = [
            "  ".join(f"{t:{s}{w}}" for t, s, w in zip(line, sides, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, "", *body, *(["", self.note] if self.note else [])]) + "\n"

    def markdown(self) -> str:
        """The table in Markdown, without its title and note."""
        names = [f"{column.name}, {of}" if of else column.name for column, of in self.layout()]
        sides = ["--:" if self.is_numeric(column) else "---" for column, _ in self.layout()]
        rows = [names, sides, *([str(cell) for cell in row] for row in self.cells())]
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def to_dict(self) -> dict[str, Any]:
        """The unrounded table as JSON values."""
        content = vars(self) | {"columns": [column.name for column in self.columns]}
        return {name: plain(value) for name, value in content.items()}


def formatted(value: Any, pattern: str = "") -> str:
    """Write one value of a table: an ``Estimate`` as ``0.873 ± 0.012 [0.85, 0.89]``, NaN as a dash.

    A ``Contrast`` is written as ``+0.021 [+0.010, +0.032] ✓``.
    """
    return str(_cell(value, pattern))


def plain(value: Any) -> Any:
    """Nested results as JSON values: NaN becomes None, infinity a string."""
    if isinstance(value, Estimate):
        value = value.to_dict()
    if isinstance(value, Verdict):
        return value.value
    if isinstance(value, Contrast):
        intervals = {"low": value.both.low, "high": value.both.high}
        intervals |= {f"trainings {k}": v for k, v in value.trainings._asdict().items()}
        numbers = {"mean": value.mean, **intervals, "replicates": value.replicates}
        value = {**numbers, "margin": value.margin, "verdict": value.verdict}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value


def _paper_cell(number: float | None) -> Cell:
    return _cell(number, "" if isinstance(number, Integral) else "{:.2f}")


def _cell(value: Any, pattern: str) -> Cell:
    if value is None:
        return Cell(UNKNOWN)
    if isinstance(value, Verdict):
        return Cell(value.value, verdict=value)
    if isinstance(value, str):
        return Cell(value)
    if isinstance(value, Contrast):
        pattern = pattern or "{:+.3f}"
        text, interval = _number(value.mean, pattern), _interval(*value.interval, pattern)
        return Cell(text, interval=interval, verdict=value.verdict if interval else None)
    if not isinstance(value, Estimate):
        return Cell(_number(value, pattern))
    if math.isnan(value.mean):
        return Cell(UNKNOWN)
    spread = "" if math.isnan(value.sd) else f"± {_number(value.sd, pattern.replace('+', ''))}"
    return Cell(_number(value.mean, pattern), spread, _interval(value.low, value.high, pattern))


def _interval(low: float, high: float, pattern: str) -> str:
    return "" if math.isnan(low) else f"[{_number(low, pattern)}, {_number(high, pattern)}]"


def _number(number: float, pattern: str) -> str:
    if math.isnan(number):
        return UNKNOWN
    pattern = pattern or ("{:,d}" if isinstance(number, Integral) else "{:.3f}")
    # A minus is as wide as a digit; a hyphen is not.
    return pattern.format(number).replace("-", "−").replace("inf", "∞").replace("%", " %")
