"""The search's page: every trial in a picture and a table, and the best one's test."""

from __future__ import annotations

import numpy as np

from ums.backend import Device
from ums.data import Prepared
from ums.experiments.datasets import source_rows
from ums.experiments.echo_sets import FLOW
from ums.experiments.report.facts import basic_facts, described_source
from ums.experiments.report.page import Report, Section
from ums.experiments.report.search_plot import trials_figure
from ums.experiments.report.tables import Column, Table
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
