"""Charts of differences between arms: a forest plot, and the benefit of sharing by a number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ums.experiments.report import style
from ums.experiments.report.page import Figure
from ums.experiments.report.tables import formatted
from ums.experiments.results.verdicts import Contrast, Verdict
from ums.metrics.significance import Interval

COLOURS = {
    Verdict.HOLDS: "#00745a",
    Verdict.REFUTED: style.WRONG,
    Verdict.NEGLIGIBLE: "#0a6fb0",
    Verdict.OPEN: style.SOFT,
}
BOTH, TRAININGS = {"lw": 2.0, "solid_capstyle": "butt"}, {"lw": 0.9}
LEGEND: dict[str, style.Look] = {
    **{
        f"{v.mark} {v.value}": {"color": colour, "marker": "o", "ms": 5, "lw": 2}
        for v, colour in COLOURS.items()
    },
    "over other trainings alone": {"lw": 0.9},
    "too small to matter": {"lw": 7, "color": "#e3e7ec"},
}
CAPTION = (
    "Each row is a question, each panel a task: the mean difference over replicates, with the 95 % interval "
    "over other trainings and other patients; the thin line below is that over other trainings alone. In "
    "the shaded band a difference is too small to matter. An arrow: the interval goes on. The intervals "
    "of sharing with one task alone from the source are simultaneous, the others plain."
)


@style.styled
def forest(
    panels: Mapping[str, Mapping[str, Contrast]], measures: Mapping[str, str], name: str
) -> Figure:
    """Draw contrasts in rows, a panel for each task; panels of one measure share their scale.

    ``panels`` has title -> name of a row -> contrast; a row may be missing in a panel.
    """
    names = list(dict.fromkeys(row for rows in panels.values() for row in rows))
    sheet = style.new_sheet(style.PAGE, 0.31 * len(names) + 1.35)
    axes = style.grid(sheet, len(panels), len(panels))[0]
    words = []
    for (title, rows), ax in zip(panels.items(), axes, strict=True):
        alike = [c for t, r in panels.items() if measures[t] == measures[title] for c in r.values()]
        limit = _limit(alike)
        for row, each in rows.items():
            _draw(ax, names.index(row), each, limit)
            words.append(f"{title}, {row} {formatted(each)}")
        ax.axvspan(-alike[0].margin, alike[0].margin, color="#e3e7ec", lw=0, zorder=0)
        ax.axvline(0, color=style.INK, lw=0.8, zorder=1)
        ax.set(xlim=(-limit, limit), ylim=(len(names) - 0.4, -0.6), xlabel=measures[title])
        ax.set_title(title.replace(" ", "\n", 1), loc="left", fontweight="bold", fontsize=9)
        ax.xaxis.set_major_locator(MaxNLocator(3, symmetric=True))
        ax.set_yticks(range(len(names)), names if style.is_first(ax) else [])
        ax.tick_params(left=False)
        ax.spines["left"].set_visible(False)
    style.legend_below(sheet, LEGEND)
    alt = (
        f"Differences between arms, with intervals over trainings and patients. {'; '.join(words)}."
    )
    return style.finished(sheet, name, "svg", CAPTION, alt)


def _limit(contrasts: Sequence[Contrast]) -> float:
    """The end of a scale: all means and most intervals lie within it."""
    means = [abs(c.mean) for c in contrasts]
    reach = max(max(means), 2 * contrasts[0].margin)
    ends = [abs(end) for c in contrasts for end in c.interval if math.isfinite(end)]
    return float(1.12 * min(max([reach, *ends]), 2.2 * reach))


def _draw(ax: Axes, row: int, each: Contrast, limit: float) -> None:
    colour = COLOURS[each.verdict]
    _line(ax, row, each.interval, limit, colour, BOTH)
    _line(ax, row + 0.22, each.trainings, limit, colour, TRAININGS)
    ax.plot(each.mean, row, "o", ms=5, color=colour, zorder=4)
    look: style.Look = {"xycoords": ("axes fraction", "data"), "va": "center", "color": colour}
    style.note(ax, each.verdict.mark, (1, row), (5, 0), fontweight="bold", **look)


def _line(
    ax: Axes, row: float, interval: Interval, limit: float, colour: str, look: style.Look
) -> None:
    """Draw an interval as far as the scale goes, with an arrow where it goes on."""
    if math.isnan(interval.low):
        return
    ends = np.clip(interval, -limit, limit)
    ax.plot(ends, [row, row], color=colour, zorder=3, **look)
    for end, shown, marker in zip(interval, ends, "<>", strict=True):
        if end != shown:
            ax.plot(
                shown, row, marker, ms=2.2 * look["lw"] + 0.6, color=colour, mew=0, clip_on=False
            )


@style.styled
def benefit_curves(
    panels: Mapping[str, Mapping[str, Mapping[float, Contrast]]],
    measures: Mapping[str, str],
    along: str,
    name: str,
) -> Figure:
    """Draw contrasts by a number, such as that of the labels, a panel for each task.

    ``panels`` has title -> question -> number -> contrast; ``along`` says what the number is.
    """
    questions = list(dict.fromkeys(q for curves in panels.values() for q in curves))
    colours = style.method_colours(questions)
    sheet, axes = style.titled_panels(list(panels), 2.3)
    entries: dict[str, style.Look] = {}
    words = []
    for title, ax in axes.items():
        every = [c for curves in panels[title].values() for c in curves.values()]
        for place, (question, curve) in enumerate(panels[title].items()):
            shift = 1.035 ** (place - (len(questions) - 1) / 2)  # intervals side by side
            marker = style.MARKERS[questions.index(question)]
            entries[question] = {"color": colours[question], "marker": marker, "ms": 5, "lw": 1.6}
            at = np.array(list(curve)) * shift
            ax.plot(at, [c.mean for c in curve.values()], zorder=3, **entries[question])
            ends = zip(*(c.interval for c in curve.values()), strict=True)
            ax.vlines(at, *ends, color=colours[question], lw=1.2, alpha=0.75)
            words.append(
                f"{title}, {question} {', '.join(f'{n:g}: {formatted(c)}' for n, c in curve.items())}"
            )
        limit = _limit(every)
        ax.axhspan(-every[0].margin, every[0].margin, color="#e3e7ec", lw=0, zorder=0)
        ax.axhline(0, color=style.INK, lw=0.8, zorder=1)
        numbers = sorted({n for curve in panels[title].values() for n in curve})
        ax.set(xscale="log", ylim=(-limit, limit), xlabel=along)
        ax.set_ylabel(f"difference, {measures[title]}")
        ax.set_xticks(numbers, [f"{n:g}" for n in numbers])
        ax.minorticks_off()
    style.legend_below(sheet, entries | {"too small to matter": LEGEND["too small to matter"]})
    caption = (
        f"Mean difference over replicates by {along}, with the 95 % interval over other trainings and other "
        "patients, for each number alone. Above 0 the first of the two pays. In the shaded band a "
        "difference is too small to matter."
    )
    alt = f"Differences between arms by {along}. {'; '.join(words)}."
    return style.finished(sheet, name, "svg", caption, alt)
