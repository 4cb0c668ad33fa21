"""The chart of a search."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from ums.experiments.report.page import Figure
from ums.experiments.report.style import (
    INK,
    PAGE,
    WRONG,
    line_legend,
    log_ticks,
    new_sheet,
    pixels,
    saved,
    spread,
)
from ums.experiments.search_space import SPACE, Trial, ranked

# ------------------------------------------------------------------------ the picture

MEAN, LOST, COURSE = "mean of a value's trials", "diverged", "best so far"
MARKS = {
    "one trial": {"ls": "", "marker": "o", "ms": 5, "color": "#0a84c9", "alpha": 0.6, "mew": 0},
    MEAN: {"color": INK, "lw": 2},
    "best": {"ls": "", "marker": "o", "ms": 9.5, "mfc": "none", "mec": "#c97a00", "mew": 2},
    "paper's choice": {"ls": "", "marker": "D", "ms": 9, "mfc": "none", "mec": INK, "mew": 1.2},
    LOST: {"ls": "", "marker": "x", "ms": 5.5, "color": WRONG, "mew": 1.5},
    COURSE: {"color": "#c97a00", "lw": 1.6},
}


def trials_figure(trials: list[Trial]) -> Figure:
    """A panel for each setting, every trial a dot at its value, and the best so far over trials."""
    losses, number = np.array([t.loss for t in trials]), np.arange(1, len(trials) + 1)
    marked = {"best": ranked(trials)[0].number - 1, "paper's choice": 0}
    marked = {mark: i for mark, i in marked.items() if not trials[i].diverged}
    at = {k: np.array([v.index(getattr(t.choice, k)) for t in trials]) for k, v in SPACE.items()}
    means = {setting: _means(at[setting], losses, len(SPACE[setting])) for setting in SPACE}
    with new_sheet(PAGE, 5.4) as sheet:
        sheet.get_layout_engine().set(h_pad=0.08)
        rows = [list(SPACE), [COURSE] * len(SPACE)]
        widths = [0.4 + len(v) + 0.06 * len("".join(map(str, v))) for v in SPACE.values()]
        sizes = {"width_ratios": widths, "height_ratios": [1.25, 1]}
        axes = sheet.subplot_mosaic(rows, sharey=True, **sizes)
        for setting, values in SPACE.items():
            ax = axes[setting]
            _draw_trials(ax, at[setting] + 0.5 * spread(len(trials)), losses, marked)
            for j, mean in enumerate(means[setting]):
                ax.plot([j - 0.33, j + 0.33], [mean, mean], **MARKS[MEAN], zorder=2.5)
            ax.set_title(setting.capitalize(), loc="left", fontweight="bold")
            ax.set_xticks(range(len(values)), values)
            ax.set_xlim(-0.6, len(values) - 0.4)
            ax.tick_params(bottom=False)
        _draw_trials(axes[COURSE], number, losses, marked)
        axes[COURSE].step(number, np.fmin.accumulate(losses), where="post", **MARKS[COURSE])
        axes[COURSE].set_xlabel("Trial")
        axes[COURSE].xaxis.set_major_locator(MaxNLocator(12, integer=True))
        if 0 < 5 * np.nanmin(losses) < np.nanmax(losses):
            log_ticks(axes[COURSE], losses)
        sheet.supylabel("Validation loss", fontsize=9)
        shown = {COURSE, MEAN, "one trial", *marked} | ({LOST} if np.isnan(losses).any() else set())
        line_legend(sheet, {mark: style for mark, style in MARKS.items() if mark in shown})
        data = saved(sheet, "svg")
    caption = (
        "Above: each dot is a trial at its value of one setting, the others being whatever they were; "
        "the bar is the mean over the value's trials. Below: the same trials in the order they were run."
    )
    return Figure("search", data, caption, _told(losses, means, marked), width=pixels(PAGE))


def _means(at, losses, n) -> list[float]:
    """Of the losses at each of n values, diverged trials left out; NaN where there is none."""
    there = [losses[(at == j) & np.isfinite(losses)] for j in range(n)]
    return [float(own.mean()) if len(own) else np.nan for own in there]


def _draw_trials(ax, x, losses, marked):
    ax.plot(x, losses, **MARKS["one trial"])
    for mark, i in marked.items():
        ax.plot(x[i], losses[i], **MARKS[mark], zorder=4)
    for place in x[np.isnan(losses)]:
        ax.plot(place, 1, **MARKS[LOST], transform=ax.get_xaxis_transform(), clip_on=False)
    ax.grid(axis="y")


def _told(losses, means, marked) -> str:
    """What the picture shows, in words."""
    parts = [f"{mark}: trial {i + 1}, {losses[i]:.3f}" for mark, i in marked.items()]
    parts += [f"{LOST}: {lost}"] if (lost := np.isnan(losses).sum()) else []
    each = "; ".join(
        f"{setting} " + ", ".join("none" if np.isnan(m) else f"{m:.3f}" for m in own)
        for setting, own in means.items()
    )
    trials = f"{len(losses)} trials ({'; '.join(parts)})"
    return f"Validation loss of {trials}. Means by value: {each}."
