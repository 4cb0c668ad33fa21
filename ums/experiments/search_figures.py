"""The picture of a hyperparameter search: every trial at its values, and the best so far.

As in `ums.experiments.figures`: plain lists and dicts in, a `report.Figure` out, and `ValueError`
where what belongs together differs.
"""

import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

from ums.experiments.drawing import (
    INK,
    PAGE,
    WRONG,
    check_lengths,
    line_legend,
    new_sheet,
    pixels,
    saved,
)
from ums.experiments.report import Figure

MARKS = {
    "one trial": {"ls": "", "marker": "o", "ms": 5, "color": "#0a84c9", "alpha": 0.6, "mew": 0},
    "mean of a value's trials": {"color": INK, "lw": 2},
    "best": {"ls": "", "marker": "o", "ms": 9.5, "mfc": "none", "mec": "#c97a00", "mew": 2},
    "paper's choice": {"ls": "", "marker": "D", "ms": 9, "mfc": "none", "mec": INK, "mew": 1.2},
    "diverged": {"ls": "", "marker": "x", "ms": 5.5, "color": WRONG, "mew": 1.5},
    "best so far": {"color": "#c97a00", "lw": 1.6},
}
COURSE = "best so far"


def search_panels(values, choices, losses, paper=None, ylabel="Validation loss", name="search"):
    """Draw a panel for each setting, every trial a dot at its value, and the best so far over trials.

    values: setting -> its values, in order. choices: for each trial, in order, setting -> value.
    losses: as many, NaN for a trial that diverged; one at least is not. paper: the number, from 0, of
    the trial with the paper's choice, or None.
    """
    check_lengths("search_panels", choices, losses)
    for i, choice in enumerate(choices):
        if unknown := [k for k in values if choice.get(k) not in values[k]]:
            raise ValueError(f"search_panels, trial {i + 1}: no value of {', '.join(unknown)}")
    losses = np.asarray(losses, np.float64)
    if not np.isfinite(losses).any():
        raise ValueError("search_panels: all trials diverged")
    marked = {"best": int(np.nanargmin(losses)), "paper's choice": paper}
    marked = {k: i for k, i in marked.items() if i is not None and np.isfinite(losses[i])}
    means = {setting: _means(values[setting], setting, choices, losses) for setting in values}
    with new_sheet(PAGE, 5.4) as sheet:
        sheet.get_layout_engine().set(h_pad=0.08)
        widths = [0.4 + len(v) + 0.06 * len("".join(map(str, v))) for v in values.values()]
        rows = [list(values), [COURSE] * len(values)]
        axes = sheet.subplot_mosaic(rows, width_ratios=widths, height_ratios=[1.25, 1])
        for setting, allowed in values.items():
            at = [allowed.index(choice[setting]) for choice in choices]
            _draw_setting(axes[setting], at, losses, means[setting], marked)
            axes[setting].set_title(setting.capitalize(), loc="left", fontweight="bold")
            axes[setting].set_xticks(range(len(allowed)), allowed)
            axes[setting].set_xlim(-0.6, len(allowed) - 0.4)
        _draw_course(axes[COURSE], losses, marked)
        _share_scale(list(axes.values()), losses)
        first, *others = (axes[setting] for setting in values)
        for ax in others:
            ax.tick_params(axis="y", labelleft=False)
        for ax in (first, axes[COURSE]):
            ax.set_ylabel(ylabel)
        absent = {"diverged"} if np.isfinite(losses).all() else set()
        absent |= {"paper's choice"} - set(marked)
        line_legend(sheet, {k: v for k, v in MARKS.items() if k not in absent})
        data = saved(sheet, "svg")
    caption = (
        "Above: each dot is a trial at its value of one setting, the others being whatever they were; "
        "the bar is the mean over the value's trials. Below: the same trials in the order they were run."
    )
    return Figure(name, data, caption, _told(ylabel, losses, means, marked), width=pixels(PAGE))


def _means(values, setting, choices, losses):
    """Return the mean loss of each value's trials, NaN where none has one."""
    own = [
        [loss for c, loss in zip(choices, losses, strict=True) if c[setting] == v] for v in values
    ]
    finite = [np.array(o)[np.isfinite(o)] for o in own]
    return [float(f.mean()) if len(f) else np.nan for f in finite]


def _draw_setting(ax, at, losses, means, marked):
    # Multiples of the golden ratio spread the dots evenly, the same way every time.
    x = np.array(at) + (np.arange(len(at)) * 0.6180339887 % 1 - 0.5) * 0.5
    ax.plot(x, losses, **MARKS["one trial"])
    for i, mean in enumerate(means):
        ax.plot([i - 0.33, i + 0.33], [mean, mean], **MARKS["mean of a value's trials"], zorder=2.5)
    _draw_marks(ax, x, losses, marked)
    ax.grid(axis="y")
    ax.tick_params(bottom=False)


def _draw_course(ax, losses, marked):
    x = np.arange(1, len(losses) + 1)
    ax.step(x, np.fmin.accumulate(losses), where="post", **MARKS["best so far"])
    ax.plot(x, losses, **MARKS["one trial"])
    _draw_marks(ax, x, losses, marked)
    ax.set_xlabel("Trial")
    ax.xaxis.set_major_locator(MaxNLocator(12, integer=True))
    ax.set_xlim(0.5, len(losses) + 0.5)
    ax.grid(axis="y")


def _draw_marks(ax, x, losses, marked):
    for which, i in marked.items():
        ax.plot(x[i], losses[i], **MARKS[which], zorder=4)
    lost = np.flatnonzero(~np.isfinite(losses))
    if len(lost):
        top = {"transform": ax.get_xaxis_transform(), "clip_on": False}
        ax.plot(x[lost], np.ones(len(lost)), **MARKS["diverged"], **top)


def _share_scale(axes, losses):
    """Give all axes one scale, logarithmic where the losses span more than a factor of 5."""
    finite = losses[np.isfinite(losses)]
    low, high = float(finite.min()), float(finite.max())
    logarithmic = low > 0 and high > 5 * low
    room = (high / low) ** 0.07 if logarithmic else 0.07 * (high - low) or 0.05
    limits = (low / room, high * room) if logarithmic else (low - room, high + room)
    for ax in axes:
        if logarithmic:
            ax.set_yscale("log")
            ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
            ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            ax.yaxis.set_minor_locator(NullLocator())
        ax.set_ylim(*limits)


def _told(ylabel, losses, means, marked):
    """Return in words what the picture shows."""
    parts = [f"{which}: trial {i + 1}, {losses[i]:.3f}" for which, i in marked.items()]
    if lost := int((~np.isfinite(losses)).sum()):
        parts.append(f"diverged: {lost}")
    lists = {
        k: ", ".join("none" if np.isnan(m) else f"{m:.3f}" for m in v) for k, v in means.items()
    }
    each = "; ".join(f"{setting} {listed}" for setting, listed in lists.items())
    return f"{ylabel} of {len(losses)} trials ({'; '.join(parts)}). Means by value: {each}."
