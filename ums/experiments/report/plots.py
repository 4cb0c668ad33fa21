"""Charts of a study: training curves, gradients' angles, costs, decisions.

A method has the same colour in all figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.ticker import MaxNLocator

from ums.experiments.report import style
from ums.experiments.report.page import Figure
from ums.experiments.report.words import percent
from ums.training import History

CURVES: dict[str, style.Look] = {
    "training": {"ls": "--", "lw": 1.1},
    "validation": {"lw": 1.8},
    "best epoch": {"ls": "", "marker": "o", "ms": 6},
}


@style.styled
def training_curves(histories: Mapping[str, Sequence[History]], name: str = "training") -> Figure:
    """Draw the loss over epochs, one panel per model, with the best epoch of each replicate.

    A model has a history for each replicate, of which the first is drawn bold. Models named alike up to a
    colon ("Joint: lungs", "Joint: abnormality") share a colour.
    """
    colours = style.method_colours(dict.fromkeys(model.split(":")[0] for model in histories))
    sheet, panels = style.titled_panels(list(histories), 2.3)
    words = []
    for (model, runs), ax in zip(histories.items(), panels.values(), strict=True):
        for number, history in enumerate(runs):
            _draw_history(ax, history, colours[model.split(":")[0]], bold=number == 0)
        best = ", ".join(str(_best(h) + 1) for h in runs if h.validation)
        words += [f"{model} {best}"] if best else []
        style.scale_losses(ax, [loss for h in runs for loss in (*h.train, *h.validation)])
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        ax.set(xlabel="epoch", ylabel="loss" if style.is_first(ax) else "")
    style.legend_below(sheet, CURVES)
    caption = (
        "The loss after each epoch on the training and on the validation images, of up to five replicates; "
        "the first is drawn bold."
    )
    alt = f"Curves of the loss over epochs. The best epoch of each replicate: {'; '.join(words)}."
    return style.finished(sheet, name, "svg", caption, alt)


def _best(history: History) -> int:
    """The task's own best epoch, from 0."""
    return int(np.argmin(history.validation))


def _draw_history(ax: Axes, history: History, colour: str, bold: bool) -> None:
    """Draw a replicate's two curves and its best epoch; if bold, also the epoch's number."""
    size = 1 if bold else 0.45
    line: style.Look = {"color": colour, "alpha": 1 if bold else 0.45, "zorder": 3 if bold else 2}
    epochs = range(1, len(history.train) + 1)
    ax.plot(epochs, history.train, ls="--", lw=1.1 * size, **line)
    if history.validation:
        best = _best(history)
        point: style.Look = {"marker": "o", "markevery": [best], "ms": 6 * size**0.7}
        ax.plot(epochs, history.validation, lw=1.8 * size, mec="white", **point, **line)
        if bold:
            lowest = (best + 1, history.validation[best])
            style.note(ax, f"{best + 1}", lowest, (0, 7), ha="center", zorder=4)


@style.styled
def cosine_curves(
    cosines: Mapping[str, Sequence[Sequence[float]]], name: str = "cosines"
) -> Figure:
    """Draw the cosine between two tasks' gradients over epochs, each replicate and their mean.

    Of a pair of tasks, each replicate has a value per epoch.
    """
    colours = style.method_colours(cosines)
    sheet = style.new_sheet(7.2, 3.6)
    ax = sheet.subplots()
    entries: dict[str, style.Look] = {}
    words = []
    for (pair, runs), marker in zip(cosines.items(), style.MARKERS, strict=False):
        for run in runs:
            ax.plot(range(1, len(run) + 1), run, color=colours[pair], lw=0.7, alpha=0.45)
        table = np.array(list(zip_longest(*runs, fillvalue=np.nan)))
        mean = np.ma.masked_invalid(table).mean(axis=1).filled(np.nan)
        entries[pair] = {"color": colours[pair], "lw": 2.2, "marker": marker, "ms": 5}
        ax.plot(range(1, len(mean) + 1), mean, markevery=0.15, zorder=3, **entries[pair])
        words.append(
            f"{pair} {mean[0]:.3f} in the first epoch, {mean[-1]:.3f} in the last, mean "
            f"{np.nanmean(mean):.3f}, below 0 in {np.sum(mean < 0)} of {len(mean)} epochs"
        )
    _mark_zero(ax)
    ax.set(xlabel="epoch", ylabel="cosine of the gradients")
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.grid(axis="y")
    style.legend_below(sheet, entries | {"one replicate": {"lw": 0.7}})
    caption = (
        "Cosine of the angle between two tasks' gradients on the shared encoder, mean over an epoch's "
        "steps: above 0 a step for one task lowers the other's loss too, below 0 it raises it. "
        "Bold: the mean over replicates."
    )
    alt = f"Cosine between gradients over epochs, mean over replicates: {'; '.join(words)}."
    return style.finished(sheet, name, "svg", caption, alt)


def _mark_zero(ax: Axes) -> None:
    """Mark 0 and what the two sides of it mean, with room for the words on both."""
    ax.axhline(0, color=style.INK, lw=1.1)
    low, high = ax.get_ylim()
    room = 0.2 * max(high - low, 0.01)
    ax.set_ylim(min(low, -room), max(high, room))
    look = {"color": style.SOFT, "fontsize": 8.5, "xycoords": ax.get_yaxis_transform()}
    style.note(ax, "help\neach other ↑", (1, 0), (6, 5), va="bottom", **look)
    style.note(ax, "work against\neach other ↓", (1, 0), (6, -5), va="top", **look)


@style.styled
def crossover(costs: dict[str, tuple[float, float]], name: str = "crossover") -> Figure:
    """Draw the minutes of 1, 2, ... tasks, and from which task on the first way is cheaper.

    The minutes of a way are those spent once, and those of each task.
    """
    (first, (once, each)), *others = costs.items()
    turns = {label: _turn((once, each), theirs) for label, theirs in others}
    last = int(np.clip(1.3 * max(turn or 0 for turn, _ in turns.values()) + 2, 6, 40))
    tasks, colours = np.arange(1, last + 1), style.method_colours(costs)
    entries: dict[str, style.Look] = {}
    sheet = style.new_sheet(style.PAGE, 3.7)
    ax = sheet.subplots()
    for (label, (fixed, per_task)), marker in zip(costs.items(), style.MARKERS, strict=False):
        entries[label] = {"color": colours[label], "lw": 2, "marker": marker, "ms": 4.5}
        ax.plot(tasks, fixed + per_task * tasks, clip_on=False, **entries[label])
    ax.set(xlabel="Tasks", ylabel="Minutes", xlim=(1, last), ylim=(0, None))
    for i, (label, (turn, words)) in enumerate(turns.items()):
        if turn and turn <= last:
            height = once + each * turn
            ax.plot([turn, turn], [0, height], color=style.SOFT, lw=1.2, ls=":", zorder=1)
            ax.plot(turn, height, "o", ms=12, mfc="none", mec=style.INK, mew=1.4, zorder=4)
            foot = (turn, (0.05 + 0.2 * i) * ax.get_ylim()[1])
            style.note(ax, f"{words}\nagainst {label}", foot, (5, 0), fontsize=8.5)
    ax.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    ax.grid(axis="y")
    style.legend_below(sheet, entries)
    compared = ", ".join(f"{words} against {label}" for label, (_, words) in turns.items())
    minutes = "; ".join(f"{k} {f:.1f} and {e:.1f} for each task" for k, (f, e) in costs.items())
    caption = f"Total by number of tasks. {first}: {compared}."
    alt = f"Minutes by number of tasks: {minutes}. {first}: {compared}."
    return style.finished(sheet, name, "svg", caption, alt)


def _turn(ours: tuple[float, float], theirs: tuple[float, float]) -> tuple[int | None, str]:
    """The number of tasks at which the cheaper way changes, or None, and that in words."""
    tasks = np.arange(1, 10_001)
    cheaper = ours[0] + ours[1] * tasks < theirs[0] + theirs[1] * tasks
    if cheaper.all() or not cheaper.any():
        return None, "pays from the first task on" if cheaper[0] else "never pays"
    turn = int(cheaper.argmin() if cheaper[0] else cheaper.argmax() + 1)
    return turn, f"pays up to {turn} tasks" if cheaper[0] else f"pays from {turn} tasks on"


SHADES = ListedColormap(colormaps["Blues"](np.linspace(0, 0.75, 256)))
USES = ("use", "exclude")


@style.styled
def confusion_tables(tables: dict[str, np.ndarray]) -> Figure:
    """Draw tables of true and recommended use side by side, with counts and each row's shares.

    The (2, 2) counts have true use and exclude in rows, recommended use and exclude in columns.
    """
    columns = min(len(tables), 4)
    sheet = style.new_sheet(min(style.PAGE, 2.3 * columns + 0.4), 2.45 * -(-len(tables) // columns))
    axes = style.grid(sheet, len(tables), columns)
    words = []
    for ax, (label, counts) in zip(axes.flat, tables.items(), strict=False):
        with np.errstate(invalid="ignore"):
            shares = np.asarray(counts) / np.sum(counts, axis=1, keepdims=True)
        ax.imshow(shares, cmap=SHADES, vmin=0, vmax=1)
        for (i, j), share in np.ndenumerate(shares):
            text = f"{counts[i][j]}\n{percent(share)}"
            colour = "white" if share > 0.65 else style.INK
            ax.text(j, i, text, ha="center", va="center", fontsize=11, color=colour)
        ax.set_title(label, loc="left", fontweight="bold")
        ax.spines[:].set_visible(True)
        ax.set_xticks([0, 1], USES)
        ax.set_yticks([0, 1], USES if style.is_first(ax) else ["", ""], rotation=90, va="center")
        ax.set(xlabel="recommended", ylabel="true" if style.is_first(ax) else "")
        ax.tick_params(length=0)
        used, excluded = (f"{percent(shares[i, i])} ({counts[i][i]})" for i in (0, 1))
        words.append(f"{label}: {used} of those to use, {excluded} of those to exclude")
    caption = "Images by what should be done with them and what is recommended; shares are those of a row."
    alt = f"Right recommendations. {'; '.join(words)}."
    return style.finished(sheet, "recommendation-tables", "svg", caption, alt)
