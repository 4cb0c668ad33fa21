"""The search's page: every trial in a table, a picture of them, and the best one's test."""

from __future__ import annotations

import platform
from dataclasses import asdict

import numpy as np

from ums import __version__
from ums.backend import Device
from ums.data import Prepared
from ums.experiments.report import Column, Estimate, Report, Section, Table
from ums.experiments.search_figures import search_panels
from ums.experiments.search_space import (
    FLOWS,
    GRID,
    OPTIMIZERS,
    PAPERS,
    SPACE,
    Found,
    Settings,
    Trial,
)
from ums.metrics import classification
from ums.metrics.significance import bootstrap_interval


def build(found: Found, source: Prepared, settings: Settings, device: Device) -> Report:
    """The whole account of a search on a prepared folder."""
    losses = [trial.scores.loss if trial.scores else np.nan for trial in found.trials]
    choices = [asdict(trial.choice) for trial in found.trials]
    picture = search_panels(SPACE, choices, losses, paper=0)
    n, patients = _counts(source)["validation"]
    text = (
        f"{len(found.trials)} of the {len(GRID)} combinations of the paper's ranges, the paper's own first, "
        "then others at random, each trained once on the source's training split with early stopping. "
        f"They are ranked by the mean cross-entropy on the validation split, {n} images of {patients} "
        "patients.\n\n"
        "One training of each says little about small differences: another seed would move every figure. "
        "The paper does not give learning rates; here each optimizer has its usual one ("
        + ", ".join(f"{name} {rate:g}" for name, (_, rate) in OPTIMIZERS.items())
        + ", SGD with momentum 0.9), so a value's mean is also one of that rate. With few epochs large "
        "batches, which take fewer steps in each, have had less time than the paper's 64 epochs give."
    )
    return Report(
        title="The echo source's hyperparameters",
        subtitle="A random search over the ranges of section 4.2.1.",
        summary=summary_lines(found),
        sections=[
            Section("Trials", text, blocks=[picture, trials_table(found, n)]),
            Section("The best on images not seen before", "", [tested_table(found, source)]),
        ],
        run=facts(source, settings, device),
    )


def summary_lines(found: Found) -> list[str]:
    """What was found, in words."""
    ranked, paper = _ranked(found.trials), found.trials[0]
    lines = [f"Lowest validation loss: {_described(found.best)}."]
    if paper.scores and paper is not found.best:
        lines.append(
            f"The paper's choice is number {ranked.index(paper) + 1} of {len(ranked)}: {_described(paper)}."
        )
    elif paper is found.best:
        lines.append("That is the paper's choice.")
    if lost := sum(not trial.scores for trial in found.trials):
        lines.append(f"Trials that diverged: {lost}.")
    lines.append(
        f"On the test split, which only the best met: accuracy {found.test.accuracy:.3f}, MCC "
        f"{found.test.mcc:.3f}."
    )
    return lines


def trials_table(found: Found, n: int) -> Table:
    """A row for each trial, by rank; ``n`` validation images."""
    rows = []
    for trial in _ranked(found.trials):
        row = {"No.": trial.number} | _settings(trial) | {"Param.": trial.parameters}
        row["Mark"] = ", ".join(
            word
            for word, told in (
                ("best", trial is found.best),
                ("paper", trial.choice == PAPERS),
                ("diverged", not trial.scores),
            )
            if told
        )
        if trial.scores:
            scores = trial.scores
            row |= {"Loss": scores.loss, "Accuracy": scores.accuracy, "MCC": scores.mcc}
            row |= {"Epochs": trial.epochs, "Min.": trial.seconds / 60}
        rows.append(row)
    columns = ["Mark", Column("No."), *(Column(setting.capitalize()) for setting in SPACE)]
    columns += [
        Column("Param.", "{:,d}"),
        Column("Loss", "{:.3f}"),
        Column("Accuracy", "{:.3f}"),
    ]
    columns += [Column("MCC", "{:.3f}"), Column("Epochs"), Column("Min.", "{:.1f}")]
    right = found.best.scores.accuracy
    note = (
        f"On the {n} validation images, which also decided when to stop. An accuracy of {right:.3f} on "
        f"{n} independent images has a standard error of {np.sqrt(right * (1 - right) / n):.3f}, and "
        "images of one patient are not independent: trials nearer than that are not told apart. "
        "Min.: minutes of training."
    )
    return Table("trials", "Trials by validation loss", columns, rows, note=note)


def tested_table(found: Found, source: Prepared) -> Table:
    """The best network's scores on the test split, with intervals over its patients."""
    labels, patients = source.labels["flow"][found.rows], source.patients[found.rows]
    rng = np.random.default_rng([0, len(labels)])
    row = _settings(found.best) | {"Loss": found.test.loss}
    columns = [*(Column(setting.capitalize()) for setting in SPACE), Column("Loss", "{:.3f}")]
    for name, measure in (("Accuracy", classification.accuracy), ("MCC", classification.mcc)):
        interval = bootstrap_interval(
            lambda labels, predicted, measure=measure: measure(labels, predicted, FLOWS),
            (labels, found.predicted),
            rng,
            groups=patients,
        )
        row[name] = Estimate([getattr(found.test, name.lower())], *interval)
        columns.append(Column(name, "{:.3f}"))
    n, people = len(labels), len(np.unique(patients))
    note = (
        f"{n} images of {people} patients, with the 95 % bootstrap interval over patients, which is too "
        "narrow where they are few. The best one's validation figures are flattered by its having been "
        "chosen by them; these are not."
    )
    return Table("test", "The best on the test split", columns, [row], note=note)


def facts(source: Prepared, settings: Settings, device: Device) -> dict[str, str]:
    """What was run."""
    counts = [f"{n} {split}" for split, (n, _) in _counts(source).items()]
    height, width = source.images.shape[1:3]
    return {
        "Images": f"{source.about.get('source', source.folder.name)} ({', '.join(counts)})",
        "Image size": f"{height} x {width}",
        "Trials": f"{settings.trials} of {len(GRID)}",
        "Network width": f"{settings.width:g} times the paper's",
        "Epochs at most": f"{settings.epochs}, stopped after {settings.patience} without improvement",
        "Pixels that count for an image's mean": f"above {settings.dark}"
        if settings.dark >= 0
        else "all",
        "Seed": str(settings.seed),
        "Device": device.name,
        "Versions": f"ums {__version__}, Python {platform.python_version()}, NumPy {np.__version__}",
    }


def _ranked(trials: list[Trial]) -> list[Trial]:
    return sorted(trials, key=lambda trial: trial.scores.loss if trial.scores else np.inf)


def _settings(trial: Trial) -> dict:
    return {name.capitalize(): value for name, value in asdict(trial.choice).items()}


def _described(trial: Trial) -> str:
    choice, scores = trial.choice, trial.scores
    return (
        f"{choice.kernel} x {choice.kernel} kernels, dilation {choice.dilation}, dropout {choice.dropout:g}, "
        f"{choice.optimizer}, batches of {choice.batch} (loss {scores.loss:.3f}, accuracy "
        f"{scores.accuracy:.3f}, MCC {scores.mcc:.3f})"
    )


def _counts(source: Prepared) -> dict[str, tuple[int, int]]:
    """Split -> its images and patients."""
    splits = ("train", "validation", "test")
    rows = {split: source.splits == split for split in splits}
    return {split: (int(r.sum()), len(np.unique(source.patients[r]))) for split, r in rows.items()}
