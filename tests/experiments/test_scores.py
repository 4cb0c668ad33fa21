"""Scores of one network on n cases, and estimates over replicates: worked by hand."""

from math import sqrt
from statistics import stdev

import numpy as np
import pytest

from ums.experiments.results import scores
from ums.experiments.results.scores import Estimate, of_one_network, score_logits

MEASURED = {  # predicted 0 1 1 1 0 1
    "Accuracy": 5 / 6,
    "F-score": 6 / 7,
    "MCC": (3 * 2 - 0) / sqrt(4 * 3 * 3 * 2),
    "AUC": 7 / 9,
}
LABELS = np.array([0, 0, 1, 1, 0, 1])
MARGINS = [-1, 3, 1, 2, -5, 4]


def logits(margins):
    """Of class 1 over class 0."""
    margins = np.array(margins, float)
    return np.stack([np.full(len(margins), 0.7), margins + 0.7], axis=1)


def seeded(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("measure", MEASURED)
def test_network_is_scored_by_hand_worked_measures(measure):
    assert score_logits(measure, logits(MARGINS), LABELS) == pytest.approx(MEASURED[measure])
    found = of_one_network(measure, logits(MARGINS), LABELS, np.arange(6), seeded())
    assert list(found.values) == [pytest.approx(MEASURED[measure])]
    assert found.low <= found.mean <= found.high


THREE = [  # true class, logits: predicted 0 1 1 1 2 0
    (0, [2, 1, 0]), (0, [0, 2, 1]), (1, [0, 1, 0]), (1, [0, 4, 3]), (2, [0, 0, 1]), (2, [1, 0, 0]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("measure", "worked"),
    [
        ("Accuracy", 4 / 6),
        ("F-score", (2 / 4 + 4 / 5 + 2 / 3) / 3),
        ("MCC", (4 * 6 - 12) / sqrt((36 - 4 - 9 - 1) * (36 - 12))),
    ],
)
def test_three_classes_are_scored_by_hand_worked_measures(measure, worked):
    labels, of_three = (np.array(values) for values in zip(*THREE, strict=True))
    assert score_logits(measure, of_three, labels) == pytest.approx(worked)


def test_margin_of_0_predicts_class_0():
    assert score_logits("Accuracy", logits([0, 0]), np.array([0, 1])) == 0.5


def test_interval_is_over_patients():
    """Two patients: in a quarter of the resamples the first comes twice, so the ends are theirs."""
    right = [1] * 8 + [-1] + [1]
    patients = np.array(["a"] * 9 + ["b"])
    found = of_one_network("Accuracy", logits(right), np.ones(10, int), patients, seeded())
    assert (found.low, found.high) == pytest.approx((8 / 9, 1))


def test_interval_of_resamples_without_a_positive_is_of_the_others(monkeypatch):
    monkeypatch.setattr(scores, "RESAMPLES", 200)
    labels = np.array([1, 0, 0, 0])
    found = of_one_network("AUC", logits([1, -1, -2, -3]), labels, np.arange(4), seeded())
    assert (found.low, found.high) == (1, 1)


def test_same_generator_gives_the_same_interval():
    cases = ("Accuracy", logits(MARGINS), LABELS, np.arange(6))
    first, again, other = (of_one_network(*cases, seeded(s)) for s in (1, 1, 2))
    assert first == again and first.values == other.values


def test_estimate_without_a_replicate_is_refused():
    with pytest.raises(ValueError, match="at least one replicate"):
        Estimate([])


def test_spread_over_replicates_is_that_of_a_sample():
    values = [0.5, 0.75, 0.9]
    assert Estimate(values).sd == pytest.approx(stdev(values))
    assert np.isnan(Estimate([0.5]).sd)
