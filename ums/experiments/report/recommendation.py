"""The section on the derived recommendation (section 4.2.3, Fig. 9)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy.special import softmax

from ums.derived import recommendation
from ums.derived.recommendation import CAUSES, EXCLUDE, USE, Recommendations, excluded
from ums.experiments.names import LOGITS, TEST
from ums.experiments.report.group import LABELS
from ums.experiments.report.page import Section
from ums.experiments.report.pictures import recommendation_panel
from ums.experiments.report.plots import confusion_tables
from ums.experiments.report.tables import Table
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.scores import estimated
from ums.metrics.classification import mcc, recall

HEADS = "flow", "quality"
MEASURES: dict[str, Callable] = {
    "MCC": partial(mcc, classes=2),
    "Sensitivity": partial(recall, classes=2, positive=EXCLUDE),
    "Specificity": partial(recall, classes=2, positive=USE),
}
"""Of true and predicted exclusions, (n,) booleans."""


def recommendation_section(group: GroupResults, seed: int) -> Section:
    """Use or exclude, from the tasks "flow" and "quality" of each strategy, on the test set."""
    cases = [group.cases[name]["test"] for name in HEADS]
    _, *places = np.intersect1d(cases[0]["id"], cases[1]["id"], return_indices=True)
    by_case = np.argsort(places[0])  # in the order of the test set
    places = [place[by_case] for place in places]
    flow, quality = (np.array(c["label"])[p] for c, p in zip(cases, places, strict=True))
    made = {}
    for arm, label in LABELS.items():
        heads = [group.scores[arm, TEST, name].probabilities() for name in HEADS]
        made[label] = _recommended(heads, places)
    agreements = {k: recommendation.agreement(flow, quality, m) for k, m in made.items()}
    case, images = (group.pictures[f"recommendations {name}"] for name in ("case", "images"))
    shown = dict(zip(case.tolist(), images, strict=True))
    patients = np.array(cases[0]["patient"])[places[0]]
    return Section(
        "Derived: recommendation",
        "No network is trained for this: whether a screen is fit to be measured follows from the "
        "predictions of the flow and the quality head. Below the first table the folds' networks decide "
        "together, by their mean probabilities.",
        [
            _score_table(group, places, excluded(flow, quality), patients, seed),
            confusion_tables({label: found.table for label, found in agreements.items()}),
            _error_table({label: found.causes for label, found in agreements.items()}),
            recommendation_panel(shown, flow, quality, next(iter(made.values()))),
        ],
    )


def _recommended(probabilities: list[np.ndarray], places: list[np.ndarray]) -> Recommendations:
    """From the two heads' probabilities, at the places of the images that both know."""
    flow, quality = (of_head[p] for of_head, p in zip(probabilities, places, strict=True))
    return Recommendations(flow, quality)


def _score_table(
    group: GroupResults,
    places: list[np.ndarray],
    exclude: np.ndarray,
    patients: np.ndarray,
    seed: int,
) -> Table:
    """How well each strategy excludes, by P(TR) P(poor) and by the two likeliest classes."""
    rng = np.random.default_rng([seed, 9])
    rows: list[dict[str, Any]] = []
    for arm, label in LABELS.items():
        logits = [group.scores[arm, TEST, name].values[LOGITS] for name in HEADS]
        folds = [
            _recommended([softmax(of_head[i], axis=1) for of_head in logits], places)
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
        "to be excluded that are; specificity: the share of the others that are used. Guessing has an "
        "MCC of 0."
    )
    title = "The derived task: use or exclude"
    return Table("recommendation", title, list(rows[0]), rows, note=note)


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
        "Images by the head that is wrong about them: flow (TR or not), quality (poor or good), both, or "
        "neither, where both are right but together not sure enough."
    )
    title = "Where mistakes come from"
    return Table("recommendation-causes", title, list(rows[0]), rows, note=note)
