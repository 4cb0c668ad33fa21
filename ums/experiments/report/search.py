"""The search's page: every trial in a picture and a table, and the best one's test."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import MaxNLocator

from ums.backend import Device
from ums.data import Prepared
from ums.experiments.datasets import source_rows
from ums.experiments.echo_sets import FLOW
from ums.experiments.report.facts import basic_facts, described_source
from ums.experiments.report.page import Column, Figure, Report, Section, Table
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
from ums.experiments.search_space import GRID, OPTIMIZERS, PAPERS, SPACE, Found, Trial, ranked

SETTINGS = [Column(setting.capitalize()) for setting in SPACE]
LOSS, ACCURACY, MCC = (Column(name, "{:.3f}") for name in ("Loss", "Accuracy", "MCC"))


def build(found: Found, source: Prepared, settings, device: Device) -> Report:
    """The whole account of a search, with its :class:`ums.experiments.search_space.Settings`."""
    rows = source_rows(source, "validation", FLOW)
    rates = ", ".join(f"{name} {rate:g}" for name, (_, rate) in OPTIMIZERS.items())
    text = (
        f"{len(found.trials)} of the {len(GRID)} combinations of the paper's ranges, the paper's own first, "
        "then others at random, each trained once on the source's training split with early stopping. "
        f"They are ranked by the mean cross-entropy on the validation split, {len(rows)} images of "
        f"{len(np.unique(source.patients[rows]))} patients.\n\n"
        "One training of each says little about small differences: another seed would move every figure. "
        f"The paper does not give learning rates; here each optimizer has its usual one ({rates}, SGD with "
        "momentum 0.9), so a value's mean is also one of that rate. With few epochs large batches, which "
        "take fewer steps in each, have had less time than the paper's 64 epochs give."
    )
    trials = [trials_figure(found.trials), trials_table(found.trials, len(rows))]
    facts = {
        "Source images": described_source(source),
        "Trials": f"{settings.trials} of {len(GRID)}",
        "Epochs at most": f"{settings.epochs}, stopped after {settings.patience} without improvement",
    }
    return Report(
        title="The echo source's hyperparameters",
        subtitle="A random search over the ranges of section 4.2.1.",
        summary=summary_lines(found),
        sections=[
            Section("Trials", text, blocks=trials),
            Section("The best on images not seen before", "", [tested_table(found, settings.seed)]),
        ],
        run=facts | basic_facts(source, settings, device),
    )


def summary_lines(found: Found) -> list[str]:
    """What was found, in words."""
    order, paper = ranked(found.trials), found.trials[0]
    lines = [f"Lowest validation loss: {_described(order[0])}."]
    if paper is order[0]:
        lines.append("That is the paper's choice.")
    elif not paper.diverged:
        place = f"number {order.index(paper) + 1} of {len(order)}"
        lines.append(f"The paper's choice is {place}: {_described(paper)}.")
    if lost := sum(bool(trial.diverged) for trial in order):
        lines.append(f"Trials that diverged: {lost}.")
    test = f"accuracy {found.test.accuracy:.3f}, MCC {found.test.mcc:.3f}"
    return [*lines, f"On the test split, which only the best met: {test}."]


def trials_table(trials: list[Trial], n: int) -> Table:
    """A row for each trial, by rank; ``n`` validation images."""
    rows = []
    for place, trial in enumerate(ranked(trials)):
        marks = {"best": place == 0, "paper": trial.choice == PAPERS, "diverged": trial.diverged}
        row = {"Mark": ", ".join(mark for mark, there in marks.items() if there)}
        row |= {"No.": trial.number} | _settings(trial) | {"Param.": trial.parameters}
        if not trial.diverged:
            row |= {"Loss": trial.loss, "Accuracy": trial.accuracy, "MCC": trial.mcc}
            row |= {"Epochs": trial.epochs, "Min.": trial.seconds / 60}
        rows.append(row)
    columns = ["Mark", Column("No."), *SETTINGS, Column("Param.", "{:,d}"), LOSS, ACCURACY, MCC]
    columns += [Column("Epochs"), Column("Min.", "{:.1f}")]
    right = rows[0]["Accuracy"]
    note = (
        f"On the {n} validation images, which also decided when to stop. An accuracy of {right:.3f} on "
        f"{n} independent images has a standard error of {np.sqrt(right * (1 - right) / n):.3f}, and "
        "images of one patient are not independent: trials nearer than that are not told apart. "
        "Min.: minutes of training."
    )
    return Table("trials", "Trials by validation loss", columns, rows, note=note)


def tested_table(found: Found, seed: int) -> Table:
    """The best network's scores on the test split, with intervals over its patients."""
    rng, tested = np.random.default_rng([seed, 5]), found.tested
    row = _settings(found.test) | {"Loss": found.test.loss}
    row |= {measure: tested.estimate(measure, rng) for measure in ("Accuracy", "MCC")}
    note = (
        f"{len(tested.patients)} images of {len(np.unique(tested.patients))} patients, with the 95 % "
        "bootstrap interval over patients, which is too narrow where they are few. The best one's "
        "validation figures are flattered by its having been chosen by them; these are not."
    )
    columns = [*SETTINGS, LOSS, ACCURACY, MCC]
    return Table("test", "The best on the test split", columns, [row], note=note)


def _settings(trial: Trial) -> dict:
    return {name.capitalize(): value for name, value in trial.choice._asdict().items()}


def _described(trial: Trial) -> str:
    k, dilation, dropout, optimizer, batch = trial.choice
    return (
        f"{k} x {k} kernels, dilation {dilation}, dropout {dropout:g}, {optimizer}, batches of {batch} "
        f"(loss {trial.loss:.3f}, accuracy {trial.accuracy:.3f}, MCC {trial.mcc:.3f})"
    )


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
