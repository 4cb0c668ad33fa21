"""The look of the report's figures: settings, colours, sheets, axes and legends.

Everything draws on matplotlib's own objects (no pyplot), and the same input gives the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Sheet
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from ums.experiments.report.page import Figure

# Distinct with the common colour-vision deficiencies, at least 3:1 against white, and light enough
# to be seen on a dark lung. Names are matched by their first word, in small letters.
METHOD_COLOURS = {
    "independent": "#0a84c9",
    "alternating": "#c97a00",
    "joint": "#00956c",
    "separate": "#cc5fa3",
    "single": "#7a6ee0",
    "scratch": "#6f7d1e",
}
OTHER_COLOURS = ("#c8322b", "#7f7f7f", "#00788f", "#9c5b2e")
INK, SOFT, GRID, WRONG = "#22262b", "#5b626c", "#dfe2e6", "#c8322b"
MARKERS = "osD^vP"

Look = dict[str, Any]
"""How something is drawn: properties as matplotlib names them."""

SETTINGS: Look = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same glyphs on every machine
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "figure.constrained_layout.h_pad": 0.06,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
    **dict.fromkeys(("axes.edgecolor", "xtick.color", "ytick.color"), SOFT),
    **dict.fromkeys(("axes.labelcolor", "text.color", "xtick.labelcolor", "ytick.labelcolor"), INK),
    "svg.hashsalt": "ums",
    "svg.fonttype": "path",
}
PAGE = 9.4  # inches: what the page shows without scaling down
PIXELS_PER_INCH = 96  # CSS pixels, so that 9 pt text is 12 px high on the page
DOTS_PER_INCH = 144  # of images: one and a half dots per CSS pixel

styled = matplotlib.style.context(SETTINGS)
"""Decorator: our settings hold while the function draws, and the caller's afterwards."""


def new_sheet(width: float, height: float) -> Sheet:
    """An empty white sheet of ``width`` x ``height`` inches."""
    look: Look = {"dpi": DOTS_PER_INCH, "layout": "constrained", "facecolor": "white"}
    sheet = Sheet(figsize=(width, height), **look)
    FigureCanvasAgg(sheet)
    return sheet


def grid(sheet: Sheet, count: int, columns: int) -> np.ndarray:
    """``count`` axes in rows of ``columns``, (rows, columns); those left over are switched off."""
    axes: np.ndarray = sheet.subplots(-(-count // columns), columns, squeeze=False)
    for ax in axes.flat[count:]:
        ax.set_axis_off()
    return axes


def titled_panels(names: Sequence[str], height: float) -> tuple[Sheet, dict[str, Axes]]:
    """A sheet with axes ``height`` inches high for each name, the title, broken at its colon."""
    columns = {1: 1, 2: 2, 4: 2, 6: 2, 8: 2}.get(len(names), 3)
    rows = -(-len(names) // columns)
    titles = [name.replace(": ", ":\n", 1) if columns > 1 else name for name in names]
    height += 0.15 * max(title.count("\n") for title in titles)
    sheet = new_sheet(PAGE if columns > 1 else 6.8, height * rows + 0.4)
    panels = dict(zip(names, grid(sheet, len(names), columns).flat, strict=False))
    for ax, title in zip(panels.values(), titles, strict=True):
        ax.set_title(title, loc="left", fontweight="bold")
    return sheet, panels


def is_first(ax: Axes) -> bool:
    """Whether axes are the first of their row, which have the labels of the row."""
    place = ax.get_subplotspec()
    return place is not None and place.is_first_col()


def finished(sheet: Sheet, name: str, kind: str, caption: str, alt: str) -> Figure:
    """The sheet as a figure, "png" or "svg", without the dates that would make equals differ."""
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    data = io.BytesIO()
    sheet.savefig(data, format=kind, metadata=metadata)
    width = round(sheet.get_figwidth() * PIXELS_PER_INCH)
    return Figure(name, data.getvalue(), caption, alt, width)


def method_colours(names: Iterable[str]) -> dict[str, str]:
    """Name -> colour: a known method's own, the first time it occurs, otherwise the next free one."""
    names = list(names)
    free = iter(OTHER_COLOURS * len(names))
    colours: dict[str, str] = {}
    for name in names:
        own = METHOD_COLOURS.get(re.split(r"\W", name.lower())[0])
        colours[name] = own if own and own not in colours.values() else next(free)
    return colours


def note(
    ax: Axes, words: str, at: tuple[float, float], offset: tuple[float, float], **look: Any
) -> None:
    """Write words beside a point, ``offset`` points away."""
    ax.annotate(words, at, offset, textcoords="offset points", **look)


def draw_outline(ax: Axes, mask: np.ndarray, color: str, lw: float, ls: Any = "-") -> None:
    """Draw a mask's border, closed at the image's edge, on a dark casing that shows it on bone."""
    mask = np.pad(np.asarray(mask, dtype=np.float64), 1)
    if not mask.any():
        return
    rows, columns = np.arange(mask.shape[0]) - 1, np.arange(mask.shape[1]) - 1
    line: Look = {"colors": [color], "linewidths": lw, "linestyles": [ls]}
    lines = ax.contour(columns, rows, mask, levels=[0.5], **line)
    lines.set_path_effects([patheffects.withStroke(linewidth=lw + 1.4, foreground=(0, 0, 0, 0.55))])


def legend_below(sheet: Sheet, entries: dict[str, Look], dark: bool = False) -> None:
    """Explain lines and markers (words -> properties of a ``Line2D``) below the figure.

    A white outline needs a dark ground, such as it has on the images.
    """
    handles = [Line2D([], [], **{"color": SOFT, **look}) for look in entries.values()]
    widths, room = [0.55 + 0.068 * len(words) for words in entries], sheet.get_figwidth()  # inches
    columns = len(entries) if sum(widths) <= room else max(1, int(room / max(widths)))
    ground: Look = {"facecolor": "#26292d", "labelcolor": "white", "framealpha": 1}
    ground = ground if dark else {"frameon": False}
    sheet.legend(handles, list(entries), loc="outside lower center", ncols=columns, **ground)


def scale_losses(ax: Axes, losses: Iterable[float]) -> None:
    """Make the axis logarithmic, with plain numbers, where the losses span more than a factor of 10."""
    ax.grid(True, axis="y")
    values = [loss for loss in losses if np.isfinite(loss)]
    if 0 < 10 * min(values) < max(values):
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        ax.minorticks_off()
