"""The chart of a hyperparameter search: every trial by each setting, and in the order of trials."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ums.experiments.report import style
from ums.experiments.report.page import Figure
from ums.experiments.search_space import SPACE, Trial, ranked

DOT, MEAN, LOST, COURSE = "one trial", "mean of a value's trials", "diverged", "best so far"
RING: style.Look = {"ls": "", "mfc": "none"}
MARKS: dict[str, style.Look] = {
    DOT: {"ls": "", "marker": "o", "ms": 5, "color": "#0a84c9", "alpha": 0.6, "mew": 0},
    MEAN: {"color": style.INK, "lw": 2},
    "best": RING | {"marker": "o", "ms": 9.5, "mec": "#c97a00", "mew": 2},
    "paper's choice": RING | {"marker": "D", "ms": 9, "mec": style.INK, "mew": 1.2},
    LOST: {"ls": "", "marker": "x", "ms": 5.5, "color": style.WRONG, "mew": 1.5},
    COURSE: {"color": "#c97a00", "lw": 1.6},
}


@style.styled
def trials_figure(trials: Sequence[Trial]) -> Figure:
    """Draw a panel for each setting, every trial a dot at its value, and the best so far over trials."""
    losses, number = np.array([t.loss for t in trials]), np.arange(1, len(trials) + 1)
    marked = {"best": ranked(list(trials))[0].number - 1, "paper's choice": 0}
    marked = {mark: i for mark, i in marked.items() if not trials[i].diverged}
    sheet = style.new_sheet(style.PAGE, 5.4)
    widths = [0.4 + len(v) + 0.06 * len("".join(map(str, v))) for v in SPACE.values()]
    rows: style.Look = {"width_ratios": widths, "height_ratios": [1.25, 1], "sharey": True}
    axes = sheet.subplot_mosaic([list(SPACE), [COURSE] * len(SPACE)], **rows)
    words = []
    for setting, values in SPACE.items():
        ax, at = axes[setting], np.array([values.index(getattr(t.choice, setting)) for t in trials])
        places = np.arange(len(values))
        means = [_mean(losses[at == place]) for place in places]
        # Multiples of the golden ratio spread the dots of one value evenly, and always alike.
        _draw_trials(ax, at + 0.5 * (number * 0.6180339887 % 1 - 0.5), losses, marked)
        ax.hlines(means, places - 0.33, places + 0.33, **MARKS[MEAN], zorder=2.5)
        ax.set_title(setting.capitalize(), loc="left", fontweight="bold")
        ax.set(xticks=places, xticklabels=map(str, values), xlim=(-0.6, len(values) - 0.4))
        ax.tick_params(bottom=False)
        words.append(f"{setting} {', '.join(f'{m:.3f}'.replace('nan', 'none') for m in means)}")
    course = axes[COURSE]
    _draw_trials(course, number, losses, marked)
    course.step(number, np.fmin.accumulate(losses), where="post", **MARKS[COURSE])
    course.set_xlabel("Trial")
    course.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    style.scale_losses(course, losses)
    sheet.supylabel("Validation loss", fontsize=9)
    lost = int(np.isnan(losses).sum())
    absent = {"best", "paper's choice"} - set(marked) | (set() if lost else {LOST})
    style.legend_below(sheet, {mark: look for mark, look in MARKS.items() if mark not in absent})
    caption = (
        "Above: each dot is a trial at its value of one setting, whatever its others are; the bar is the "
        "mean over the value's trials. Below: the same trials in the order in which they were run."
    )
    marks = "; ".join(f"{mark}: trial {i + 1}, {losses[i]:.3f}" for mark, i in marked.items())
    alt = (
        f"Validation loss of {len(losses)} trials ({marks}; {LOST}: {lost}). Means by value: "
        f"{'; '.join(words)}."
    )
    return style.finished(sheet, "search", "svg", caption, alt)


def _mean(losses: np.ndarray) -> float:
    """The mean without diverged trials, NaN where there is none."""
    converged = losses[np.isfinite(losses)]
    return float(converged.mean()) if len(converged) else np.nan


def _draw_trials(ax: Axes, x: np.ndarray, losses: np.ndarray, marked: dict[str, int]) -> None:
    ax.plot(x, losses, **MARKS[DOT])
    for mark, i in marked.items():
        ax.plot(x[i], losses[i], **MARKS[mark], zorder=4)
    for lost in x[np.isnan(losses)]:
        ax.plot(lost, 1, **MARKS[LOST], transform=ax.get_xaxis_transform(), clip_on=False)
    ax.grid(axis="y")
