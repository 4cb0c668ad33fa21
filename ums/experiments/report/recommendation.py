"""What a page says of the derived recommendation (section 4.2.3, Fig. 9)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.special import softmax

from ums.derived.recommendation import (
    CAUSES,
    EXCLUDE,
    USE,
    Recommendations,
    agreement,
    excluded,
)
from ums.experiments.echo_sets import FLOW, QUALITY
from ums.experiments.report.page import Section
from ums.experiments.report.part_tables import LABELS
from ums.experiments.report.pictures import recommendation_panel
from ums.experiments.report.plots import confusion_tables
from ums.experiments.report.tables import Column, Table
from ums.experiments.results.scores import LOGITS, Tested, estimated
from ums.experiments.runner import TEST, PartOutcome
from ums.metrics.classification import mcc, recall

MEASURES = {
    "MCC": partial(mcc, classes=2),
    "Sensitivity": partial(recall, classes=2, positive=EXCLUDE),
    "Specificity": partial(recall, classes=2, positive=USE),
}
"""Of true and said exclusions, (n,) booleans."""


def recommendation_section(outcome: PartOutcome, seed: int) -> Section:
    """Use or exclude, from the tasks "flow" and "quality" of each strategy, on the test set."""
    tests = {task.name: task.test for task in outcome.part.tasks}
    flow, quality = tests[FLOW], tests[QUALITY]
    rows, *places = np.intersect1d(flow.rows, quality.rows, return_indices=True)
    truth = flow.targets[rows], quality.targets[rows]
    exclude, patients = excluded(*truth), flow.prepared.patients[rows]
    rng = np.random.default_rng([seed, 9])
    scores, together = [], {}
    for strategy, label in LABELS.items():
        pair = [outcome.tested[strategy][TEST][name] for name in (FLOW, QUALITY)]
        folds = [_of_fold(pair, places, i) for i in range(len(outcome.folds))]
        for words, said in (
            ("P(TR) P(poor) > 1/2", [fold.excluded for fold in folds]),
            ("both likeliest", [excluded(fold.flow_said, fold.quality_said) for fold in folds]),
        ):
            row = {"Strategy": label, "Excluded where": words}
            for measure, score in MEASURES.items():
                row[measure] = estimated(
                    partial(_of_folds, score), (exclude, np.transpose(said)), patients, rng
                )
            scores.append(row)
        means = (tested.probabilities()[p] for tested, p in zip(pair, places, strict=True))
        together[label] = Recommendations(*means)
    columns = ["Strategy", "Excluded where", *(Column(m, "{:.3f}") for m in MEASURES)]
    note = (
        f"On the {len(rows)} images of {outcome.part.tested} whose quality is known; {exclude.sum()} are "
        "to be excluded, tricuspid regurgitations of poor quality. Mean and standard deviation over the "
        "folds' networks, with the 95 % bootstrap interval over patients. Sensitivity: the share of those "
        "to be excluded that are; specificity: the share of the others that are used. An MCC of 0 is "
        "what guessing scores."
    )
    agreements = {label: agreement(*truth, said) for label, said in together.items()}
    shown = next(iter(together.values()))
    return Section(
        "Derived: recommendation",
        "No network is trained for this: whether a screen is fit to be measured follows from what the "
        "flow and the quality head say of it. Below the first table the folds' networks decide together, "
        "by their mean probabilities.",
        blocks=[
            Table("recommendation", "The derived task: use or exclude", columns, scores, note=note),
            confusion_tables({label: found.table for label, found in agreements.items()}),
            _blame({label: found.causes for label, found in agreements.items()}),
            recommendation_panel(flow.prepared.images[rows], *truth, shown),
        ],
    )


def _of_fold(pair: list[Tested], places: list[np.ndarray], i: int) -> Recommendations:
    """What the i-th fold's two networks recommend."""
    logits = (tested.values[LOGITS][i][p] for tested, p in zip(pair, places, strict=True))
    return Recommendations(*(softmax(z, axis=1) for z in logits))


def _of_folds(score: Callable, true: np.ndarray, said: np.ndarray) -> list[float]:
    """A score of each fold's decisions ``said`` (n, k)."""
    return [score(true, fold) for fold in said.T]


def _blame(causes: dict[str, dict[str, dict[str, int]]]) -> Table:
    rows = [
        {"Strategy": strategy, "Mistake": mistake} | {c.capitalize(): counts[c] for c in CAUSES}
        for strategy, mistakes in causes.items()
        for mistake, counts in mistakes.items()
    ]
    note = (
        "Images by the head that is wrong about them: about TR or not, about poor or good, both, or "
        "neither, where both are right but not sure enough together."
    )
    columns = ["Strategy", "Mistake", *(Column(c.capitalize(), "{:d}") for c in CAUSES)]
    return Table("recommendation-causes", "Where mistakes come from", columns, rows, note=note)
