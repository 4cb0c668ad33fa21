"""The search's page: every trial in a picture and a table, and the best one's test."""

from __future__ import annotations

from typing import Any

import numpy as np

from ums.experiments.names import LOGITS
from ums.experiments.report.page import Report, Section
from ums.experiments.report.search_plot import trials_figure
from ums.experiments.report.sections import run_information
from ums.experiments.report.tables import Column, Table
from ums.experiments.results.records import Record, StudyRecords
from ums.experiments.results.scores import of_one_network
from ums.experiments.search_space import GRID, PAPERS_CHOICE, SPACE, Trial, ranked, trial_of

COLUMNS = [Column(setting.capitalize(), "{}") for setting in SPACE]
COLUMNS += [Column(measure, "{:.3f}") for measure in ("Loss", "Accuracy", "MCC")]


def build(study: StudyRecords) -> Report:
    """The whole page.

    Raises:
        FileNotFoundError: The best trial was not tested yet.
    """
    if "test" not in study.parts:
        raise FileNotFoundError("the search is not finished; run it again to go on")
    records, test = study.parts["trials"].records, study.parts["test"].records[0]
    trials = [trial_of(number, record) for number, record in enumerate(records, start=1)]
    best = ranked(trials)[0]
    scored = records[best.number - 1]
    n = len(scored["label"])
    rates = ", ".join(f"{name} {rate:g}" for name, rate in study.about["rates"].items())
    text = (
        f"{len(trials)} of the {len(GRID)} combinations of the paper's ranges, the paper's own first, "
        "then others at random, each trained once on the source's training split with early stopping. "
        "They are ranked by the mean cross-entropy on the validation split, "
        f"{n} images of {len(set(scored['patient']))} patients.\n\n"
        "One training of each says little about small differences: another seed would move every score. "
        f"The paper does not give learning rates; here each optimizer has its usual one ({rates}, SGD with "
        "momentum 0.9), so its mean is also that of its rate. Large batches take fewer steps in an epoch; "
        "with few epochs they have had less time than the paper's 64 epochs give."
    )
    tested = best._replace(**{name: test[name] for name in ("loss", "accuracy", "mcc")})
    on_test = test_table(tested, test, study.about["seed"])
    return Report(
        title="The echo source's hyperparameters",
        subtitle="A random search over the ranges of section 4.2.1.",
        summary=summary_lines(trials, tested),
        sections=[
            Section("Trials", text, [trials_figure(trials), trials_table(trials, n)]),
            Section("The best on images not seen before", "", [on_test]),
        ],
        run=run_information(study),
    )


def summary_lines(trials: list[Trial], tested: Trial) -> list[str]:
    """The main results in words; ``tested`` is the best trial with its scores on the test split."""
    order, paper = ranked(trials), trials[0]
    lines = [f"Lowest validation loss: {_described(order[0])}."]
    if paper is order[0]:
        lines.append("That is the paper's choice.")
    elif not paper.diverged:
        place = f"number {order.index(paper) + 1} of {len(order)}"
        lines.append(f"The paper's choice is {place}: {_described(paper)}.")
    if lost := sum(bool(trial.diverged) for trial in order):
        lines.append(f"Trials that diverged: {lost}.")
    test = f"accuracy {tested.accuracy:.3f}, MCC {tested.mcc:.3f}"
    return [*lines, f"On the test split, on which only the best was tested: {test}."]


def trials_table(trials: list[Trial], n: int) -> Table:
    """A row for each trial, by rank; ``n`` validation images."""
    order, rows = ranked(trials), []
    for trial in order:
        marks = {"best": trial is order[0], "paper": trial.choice == PAPERS_CHOICE}
        marks["diverged"] = bool(trial.diverged)
        row: dict[str, Any] = {"Mark": ", ".join(mark for mark, there in marks.items() if there)}
        row |= {"No.": trial.number} | _settings(trial) | {"Param.": trial.parameters}
        if not trial.diverged:
            row |= {"Loss": trial.loss, "Accuracy": trial.accuracy, "MCC": trial.mcc}
            row |= {"Epochs": trial.epochs, "Min.": trial.seconds / 60}
        rows.append(row)
    settings, scores = COLUMNS[: len(SPACE)], COLUMNS[len(SPACE) :]
    columns = ["Mark", "No.", *settings, "Param.", *scores, "Epochs", Column("Min.", "{:.1f}")]
    right = order[0].accuracy
    note = (
        f"On the {n} validation images, which also decided when to stop. An accuracy of {right:.3f} on "
        f"{n} independent images has a standard error of {np.sqrt(right * (1 - right) / n):.3f}, and "
        "images of one patient are not independent: smaller differences between trials mean nothing. "
        "Min.: minutes of training."
    )
    return Table("trials", "Trials by validation loss", columns, rows, note=note)


def test_table(tested: Trial, record: Record, seed: int) -> Table:
    """The best network's scores on the test split, with intervals over its patients."""
    patients, rng = np.array(record["patient"]), np.random.default_rng([seed, 5])
    cases = (np.array(record[LOGITS], float), np.array(record["label"]), patients, rng)
    row = _settings(tested) | {"Loss": tested.loss}
    row |= {measure: of_one_network(measure, *cases) for measure in ("Accuracy", "MCC")}
    note = (
        f"{len(patients)} images of {len(np.unique(patients))} patients, with the 95 % "
        "bootstrap interval over patients, which is too narrow where they are few. The validation scores "
        "flatter the best trial, which was chosen by them; these do not."
    )
    return Table("test", "The best on the test split", COLUMNS, [row], note=note)


def _settings(trial: Trial) -> dict[str, Any]:
    return {name.capitalize(): value for name, value in trial.choice._asdict().items()}


def _described(trial: Trial) -> str:
    k, dilation, dropout, optimizer, batch = trial.choice
    return (
        f"{k} x {k} kernels, dilation {dilation}, dropout {dropout:g}, {optimizer}, batches of {batch} "
        f"(loss {trial.loss:.3f}, accuracy {trial.accuracy:.3f}, MCC {trial.mcc:.3f})"
    )
