"""The section on the derived recommendation (section 4.2.3, Fig. 9)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.special import softmax

from ums.derived import recommendation
from ums.derived.recommendation import CAUSES, Recommendations, excluded
from ums.experiments.names import LOGITS, TEST
from ums.experiments.report.page import Section
from ums.experiments.report.pictures import recommendation_panel
from ums.experiments.report.plots import confusion_tables
from ums.experiments.report.tables import Table
from ums.experiments.report.words import LABELS
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.jackknife import jackknifed, weighted_mcc, weighted_mean

HEADS = "flow", "quality"


class Truth(NamedTuple):
    """The test images whose flow and quality are known: n in the order of the test set.

    Attributes:
        places: Of HEADS, where the images are among the task's cases.
        flow: (n,).
        quality: (n,).
        patients: (n,).
    """

    places: list[np.ndarray]
    flow: np.ndarray
    quality: np.ndarray
    patients: np.ndarray

    @property
    def exclude(self) -> np.ndarray:
        """(n,) whether the rule excludes the image."""
        return excluded(self.flow, self.quality)


def truth_of(group: GroupResults) -> Truth:
    """What is known of the test images."""
    cases = [group.cases[name][TEST] for name in HEADS]
    _, *places = np.intersect1d(cases[0]["id"], cases[1]["id"], return_indices=True)
    by_case = np.argsort(places[0])
    places = [place[by_case] for place in places]
    flow, quality = (np.array(c["label"])[p] for c, p in zip(cases, places, strict=True))
    return Truth(places, flow, quality, np.array(cases[0]["patient"])[places[0]])


def recommendation_section(group: GroupResults) -> Section:
    """Use or exclude, from the tasks "flow" and "quality" of each arm, on the test set."""
    truth, made = truth_of(group), {}
    arms = [arm for arm in LABELS if all(group.has(arm, name) for name in HEADS)]
    for arm in arms:
        flow, quality = probabilities(group, arm, truth)
        made[LABELS[arm]] = Recommendations(flow.mean(axis=0), quality.mean(axis=0))
    labels = truth.flow, truth.quality
    agreements = {k: recommendation.agreement(*labels, m) for k, m in made.items()}
    blocks: list[Any] = [
        _score_table(group, arms, truth),
        confusion_tables({label: found.table for label, found in agreements.items()}),
        _error_table({label: found.causes for label, found in agreements.items()}),
    ]
    if "recommendations case" in group.pictures:
        case, images = (group.pictures[f"recommendations {name}"] for name in ("case", "images"))
        shown = dict(zip(case.tolist(), images, strict=True))
        first = (of_head[0] for of_head in probabilities(group, arms[0], truth))
        blocks.append(recommendation_panel(shown, *labels, Recommendations(*first)))
    return Section(
        "Derived: recommendation",
        "No network is trained for this: whether a screen is fit to be measured follows from the "
        "predictions of the flow and the quality head. Below the first table the replicates' networks "
        "decide together, by their mean probabilities; the pictures are of the first replicate.",
        blocks,
    )


def probabilities(group: GroupResults, arm: str, truth: Truth) -> list[np.ndarray]:
    """Of HEADS, the probabilities (R, n, K) of the images."""
    return [
        softmax(group.values(arm, name, LOGITS)[:, places], axis=2)
        for name, places in zip(HEADS, truth.places, strict=True)
    ]


def _score_table(group: GroupResults, arms: list[str], truth: Truth) -> Table:
    """How well each arm excludes, by P(TR) P(poor) and by the two likeliest classes."""
    rows: list[dict[str, Any]] = []
    exclude = truth.exclude
    for arm in arms:
        replicates = zip(*probabilities(group, arm, truth), strict=True)
        made = [Recommendations(flow, quality) for flow, quality in replicates]
        for rule, predicted in (
            ("P(TR) P(poor) > 1/2", [m.excluded for m in made]),
            ("both likeliest", [excluded(m.predicted_flow, m.predicted_quality) for m in made]),
        ):
            row: dict[str, Any] = {"Arm": LABELS[arm], "Excluded where": rule}
            for measure, score in _measures(exclude, np.array(predicted)).items():
                row[measure] = group.estimated(jackknifed(score, truth.patients))
            rows.append(row)
    note = (
        f"On the {len(exclude)} images of {group.test_name} whose quality is known; {exclude.sum()} are "
        "to be excluded, tricuspid regurgitations of poor quality. Mean and standard deviation over "
        "replicates, with the 95 % interval over other trainings and other patients. Sensitivity: the share "
        "of those to be excluded that are; specificity: the share of the others that are used. Guessing "
        "has an MCC of 0."
    )
    title = "The derived task: use or exclude"
    return Table("recommendation", title, list(rows[0]), rows, note=note)


def _measures(exclude: np.ndarray, predicted: np.ndarray) -> dict[str, Callable]:
    """Weighted measures of the decisions (R, n) about images (n,)."""
    right = (predicted == exclude).astype(float)
    return {
        "MCC": partial(weighted_mcc, labels=exclude, predicted=predicted, classes=2),
        "Sensitivity": lambda weights: weighted_mean(weights * exclude, right),
        "Specificity": lambda weights: weighted_mean(weights * ~exclude, right),
    }


def _error_table(causes: dict[str, dict[str, dict[str, int]]]) -> Table:
    """How often each head causes each kind of mistake."""
    rows = [
        {"Arm": arm, "Mistake": mistake} | {c.capitalize(): counts[c] for c in CAUSES}
        for arm, mistakes in causes.items()
        for mistake, counts in mistakes.items()
    ]
    note = (
        "Images by the head that is wrong about them: flow (TR or not), quality (poor or good), both, or "
        "neither, where both are right but together not sure enough."
    )
    title = "Where mistakes come from"
    return Table("recommendation-causes", title, list(rows[0]), rows, note=note)
