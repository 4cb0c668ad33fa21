"""The section on the derived recommendation (section 4.2.3, Fig. 9)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

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
from ums.experiments.names import LOGITS, TEST
from ums.experiments.report.group import LABELS
from ums.experiments.report.page import Section
from ums.experiments.report.pictures import recommendation_panel
from ums.experiments.report.plots import confusion_tables
from ums.experiments.report.tables import Column, Table
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.scores import CaseScores, estimated
from ums.metrics.classification import mcc, recall

FLOW, QUALITY = "flow", "quality"
MEASURES: dict[str, Callable] = {
    "MCC": partial(mcc, classes=2),
    "Sensitivity": partial(recall, classes=2, positive=EXCLUDE),
    "Specificity": partial(recall, classes=2, positive=USE),
}
"""Of true and predicted exclusions, (n,) booleans."""


def recommendation_section(group: GroupResults, seed: int) -> Section:
    """Use or exclude, from the tasks "flow" and "quality" of each strategy, on the test set."""
    flow, quality = (group.cases[name]["test"] for name in (FLOW, QUALITY))
    _, *places = np.intersect1d(flow["id"], quality["id"], return_indices=True)
    by_case = np.argsort(places[0])  # in the order of the test set
    places = [place[by_case] for place in places]
    truth = [np.array(c["label"])[p] for c, p in zip((flow, quality), places, strict=True)]
    together = {
        label: _recommended([scores.probabilities()[p] for scores, p in _heads(group, arm, places)])
        for arm, label in LABELS.items()
    }
    agreements = {label: agreement(truth[0], truth[1], made) for label, made in together.items()}
    case, images = (group.pictures[f"recommendations {name}"] for name in ("case", "images"))
    shown = dict(zip(case.tolist(), images, strict=True))
    patients = np.array(flow["patient"])[places[0]]
    return Section(
        "Derived: recommendation",
        "No network is trained for this: whether a screen is fit to be measured follows from the "
        "predictions of the flow and the quality head. Below the first table the folds' networks decide "
        "together, by their mean probabilities.",
        blocks=[
            _score_table(group, places, excluded(truth[0], truth[1]), patients, seed),
            confusion_tables({label: found.table for label, found in agreements.items()}),
            _error_table({label: found.causes for label, found in agreements.items()}),
            recommendation_panel(shown, truth[0], truth[1], next(iter(together.values()))),
        ],
    )


def _heads(
    group: GroupResults, arm: str, places: Sequence[np.ndarray]
) -> list[tuple[CaseScores, np.ndarray]]:
    """The scores of the flow and the quality head, each with the places of the common images."""
    scores = [group.scores[arm, TEST, name] for name in (FLOW, QUALITY)]
    return list(zip(scores, places, strict=True))


def _score_table(
    group: GroupResults,
    places: Sequence[np.ndarray],
    exclude: np.ndarray,
    patients: np.ndarray,
    seed: int,
) -> Table:
    """How well each strategy excludes, by P(TR) P(poor) and by the two likeliest classes."""
    rng, rows = np.random.default_rng([seed, 9]), []
    for arm, label in LABELS.items():
        heads = _heads(group, arm, places)
        folds = [
            _recommended([softmax(scores.values[LOGITS][i][p], axis=1) for scores, p in heads])
            for i in range(group.k)
        ]
        for rule, predicted in (
            ("P(TR) P(poor) > 1/2", [fold.excluded for fold in folds]),
            ("both likeliest", [excluded(f.predicted_flow, f.predicted_quality) for f in folds]),
        ):
            row: dict[str, Any] = {"Strategy": label, "Excluded where": rule}
            for measure, score in MEASURES.items():
                cases = exclude, np.transpose(predicted)
                row[measure] = estimated(partial(_of_folds, score), cases, patients, rng)
            rows.append(row)
    note = (
        f"On the {len(exclude)} images of {group.test_name} whose quality is known; {exclude.sum()} are "
        "to be excluded, tricuspid regurgitations of poor quality. Mean and standard deviation over the "
        "folds' networks, with the 95 % bootstrap interval over patients. Sensitivity: the share of those "
        "to be excluded that are; specificity: the share of the others that are used. An MCC of 0 is "
        "that of guessing."
    )
    columns = ["Strategy", "Excluded where", *(Column(m, "{:.3f}") for m in MEASURES)]
    return Table("recommendation", "The derived task: use or exclude", columns, rows, note=note)


def _recommended(probabilities: list[np.ndarray]) -> Recommendations:
    return Recommendations(probabilities[0], probabilities[1])


def _of_folds(score: Callable, true: np.ndarray, predicted: np.ndarray) -> list[float]:
    """A score of each fold's decisions ``predicted`` (n, k)."""
    return [score(true, fold) for fold in predicted.T]


def _error_table(causes: dict[str, dict[str, dict[str, int]]]) -> Table:
    """How often each head causes each kind of mistake."""
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
