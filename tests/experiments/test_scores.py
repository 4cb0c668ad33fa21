"""Scores of k networks on n cases: worked by hand, with their intervals and comparisons."""

from math import log, sqrt
from statistics import stdev

import numpy as np
import pytest

from ums.experiments.names import CLASSIFICATION, LOGITS, SEGMENTATION
from ums.experiments.results import scores
from ums.experiments.results.scores import (
    CaseScores,
    Estimate,
    compare_cases,
    estimated,
    single_network,
)

NAN = np.nan


def seeded(seed=0):
    return np.random.default_rng(seed)


def scored(values, labels=None, patients=None, kind=CLASSIFICATION, measure=LOGITS):
    """From logits (k, n, K), margins (k, n) of class 1 over class 0, or scores (k, n); NaN where a
    network was not tested."""
    values = np.array(values, float)
    if kind == CLASSIFICATION and values.ndim == 2:
        values = np.stack([np.full(values.shape, 0.7), values + 0.7], axis=2)
    n = values.shape[1]
    one = CaseScores(
        kind,
        np.arange(n) if patients is None else np.array(patients),
        None if labels is None else np.array(labels),
    )
    for fold, of_fold in enumerate(values):
        cases = np.flatnonzero(np.isfinite(of_fold.reshape(n, -1)).all(axis=1))
        one.add(fold, len(values), cases, {measure: of_fold[cases]})
    return one


# ---------------------------------------------------------------------------- estimates

MEASURED = {  # of fold 1: predicted 0 1 1 1 0 1; of fold 2: all 1
    "Accuracy": [5 / 6, 1 / 2],
    "F-score": [6 / 7, 2 / 3],
    "MCC": [(3 * 2 - 0) / sqrt(4 * 3 * 3 * 2), 0],
    "AUC": [7 / 9, 4.5 / 9],
}
LABELS = [0, 0, 1, 1, 0, 1]
MARGINS = [[-1, 3, 1, 2, -5, 4], [1, 1, 1, 1, 1, 1]]


@pytest.mark.parametrize("measure", MEASURED)
def test_each_fold_is_scored_by_hand_worked_measures(measure):
    estimate = scored(MARGINS, LABELS).estimate(measure, seeded())
    np.testing.assert_allclose(estimate.folds, MEASURED[measure])
    assert estimate.mean == pytest.approx(np.mean(MEASURED[measure]))
    assert estimate.low <= estimate.mean <= estimate.high


@pytest.mark.parametrize("measure", MEASURED)
def test_cases_that_a_network_was_not_tested_on_are_left_out(measure):
    """Held-out cases: the first network was tested on six, the second on six others."""
    margins = np.full((2, 12), NAN)
    margins[0, ::2], margins[1, 1::2] = MARGINS
    estimate = scored(margins, np.repeat(LABELS, 2)).estimate(measure, seeded())
    np.testing.assert_allclose(estimate.folds, MEASURED[measure])


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
    labels, logits = zip(*THREE, strict=True)
    estimate = scored([logits], labels).estimate(measure, seeded())
    assert estimate.folds == [pytest.approx(worked)]


def test_folds_decide_between_three_classes_by_their_mean_probability():
    """Two folds lean to classes 0 and 1 a little; the third, sure of class 2, decides."""
    logits = np.array([[[1, 0, 0.9]], [[0, 1, 0.9]], [[0, 0, 9]]])
    one = scored(logits, [2])
    shares = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(one.probabilities(), shares.mean(axis=0))
    assert one.right().tolist() == [True]


def test_margin_of_0_predicts_class_0():
    assert scored([[0, 0], [1e-9, -1e-9]], [0, 1]).estimate("Accuracy", seeded()).folds == [0.5, 0]


def test_segmentation_is_scored_by_the_mean_over_its_own_cases():
    one = scored([[0.5, NAN, 0.7], [NAN, 0.2, NAN]], kind=SEGMENTATION, measure="IoU")
    np.testing.assert_allclose(one.estimate("IoU", seeded()).folds, [0.6, 0.2])
    assert one.by_case("IoU").tolist() == [0.5, 0.2, 0.7]


def test_score_of_a_case_is_the_mean_over_the_networks_that_were_tested_on_it():
    one = scored([[0.5, 0.1], [0.7, NAN]], kind=SEGMENTATION, measure="IoU")
    np.testing.assert_allclose(one.by_case("IoU"), [0.6, 0.1])


def test_interval_is_that_of_the_folds_mean_over_patients():
    """Two patients: in a quarter of the resamples the first comes twice, so the ends are theirs."""
    values = [[0.2] * 9 + [0.8], [0.4] * 9 + [0.6]]
    one = scored(values, patients=["a"] * 9 + ["b"], kind=SEGMENTATION, measure="IoU")
    estimate = one.estimate("IoU", seeded())
    assert (estimate.low, estimate.high) == pytest.approx((0.3, 0.7))
    assert estimate.mean == pytest.approx((0.26 + 0.42) / 2)


def test_interval_agrees_with_resampling_in_another_way():
    rng = seeded(4)
    values, patients = rng.uniform(size=(3, 60)), np.arange(60) // 3
    one = scored(values, patients=patients, kind=SEGMENTATION, measure="IoU")
    estimate = one.estimate("IoU", seeded())
    by_patient = values.mean(axis=0).reshape(20, 3).mean(axis=1)
    means = rng.choice(by_patient, (20_000, 20)).mean(axis=1)
    found = (estimate.low, estimate.high)
    np.testing.assert_allclose(found, np.quantile(means, [0.025, 0.975]), atol=0.015)


def test_interval_of_resamples_without_a_positive_is_of_the_others(monkeypatch):
    monkeypatch.setattr(scores, "RESAMPLES", 200)
    estimate = scored([[1, -1, -2, -3], [2, -1, -3, -2]], [1, 0, 0, 0]).estimate("AUC", seeded())
    assert (estimate.low, estimate.high) == (1, 1)


def test_fold_without_a_score_is_left_out_of_the_interval():
    """A held-out fold of one class has no AUC; the other folds' mean has its interval all the same."""
    values = np.array([0.2] * 9 + [0.8])
    found = estimated(lambda v: [NAN, v.mean()], (values,), np.array(["a"] * 9 + ["b"]), seeded())
    assert (found.low, found.high) == pytest.approx((0.2, 0.8))
    assert np.isnan(found.folds[0]) and found.folds[1] == pytest.approx(0.26)


def test_same_generator_gives_the_same_interval():
    one = scored(MARGINS, LABELS)
    first, again, other = (one.estimate("Accuracy", seeded(s)) for s in (1, 1, 2))
    assert first == again and first.folds == other.folds


# ---------------------------------------------------------------------------- together


@pytest.mark.parametrize(
    ("margins", "predicted"),
    [
        ([3, 2], 1),
        ([-3, 2], 0),
        ([4, -0.2, -0.2], 1),  # outvoted, but 0.98 + 0.45 + 0.45 > 1.5
        ([10, -4, -4], 0),  # the mean margin is positive, but 1 + 0.02 + 0.02 < 1.5
        ([log(3), -log(3)], 0),  # 3/4 and 1/4: undecided is class 0, as a margin of 0 is
        ([NAN, 0.1], 1),
        ([-0.1, NAN], 0),
    ],
)
@pytest.mark.parametrize("label", [0, 1])
def test_folds_decide_by_their_mean_probability(margins, predicted, label):
    one = scored(np.array(margins)[:, None], [label])
    assert one.right().tolist() == [predicted == label]


def test_comparison_of_classifiers_is_mcnemars():
    """Of ten cases, six only a is right about, one only b: p = 2 (1 + 7) / 2^7."""
    labels = [0, 1, 0, 1, 0, 1, 1, 0, 0, 1]
    sign = 2 * np.array(labels) - 1
    a = np.where([1, 1, 1, 1, 1, 1, 0, 1, 0, 0], sign, -sign)
    b = np.where([0, 0, 0, 0, 0, 0, 1, 1, 0, 0], sign, -sign)
    both = [scored([m, m], labels) for m in (a, b)]
    assert compare_cases(*both, "MCC", seeded()) == (0.125, 5, 6, 1)
    assert compare_cases(*both[::-1], "MCC", seeded()) == (0.125, -5, 1, 6)
    assert compare_cases(both[0], both[0], "MCC", seeded()) == (1, 0, 0, 0)


def test_comparison_of_segmentations_is_by_flipping_signs():
    """All five cases are better: 2 of 2^5 patterns are as far from 0."""
    worse = np.array([[0.1, 0.2, 0.3, 0.4, 0.5], [0.3, 0.2, 0.1, 0.0, 0.5]])
    better = worse + np.array([[0.3, 0.1, 0.2, 0.4, 0.1], [-0.1, 0.1, 0.2, 0.0, 0.1]])
    a, b = (scored(v, kind=SEGMENTATION, measure="IoU") for v in (better, worse))
    for one, other, sign in ((a, b, 1), (b, a, -1)):
        p, statistic, only_one, only_other = compare_cases(one, other, "IoU", seeded())
        assert p == 2 / 32 and only_one is only_other is None
        assert statistic == pytest.approx(sign * 0.7)
    assert compare_cases(a, a, "IoU", seeded()).p_value == 1


@pytest.mark.parametrize("kind", [CLASSIFICATION, SEGMENTATION])
def test_images_of_one_patient_have_one_sign_together(kind):
    """Ten cases of which a is better on nine, of four patients whose sums are 3, 3, 2 and 1."""
    patients = ["p", "q", "r", "p", "q", "s", "r", "p", "q", "s"]
    wins, labels = np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 0]), np.ones(10, int)
    if kind == CLASSIFICATION:
        a, b = (scored([m], labels, patients) for m in (2 * wins - 1, -np.ones(10)))
        statistic, only = 9, (9, 0)
    else:
        a, b = (
            scored([v], None, patients, SEGMENTATION, "IoU")
            for v in (0.5 + 0.25 * wins, wins * 0 + 0.5)
        )
        statistic, only = 9 * 0.25, (None, None)
    found = compare_cases(a, b, "MCC" if kind == CLASSIFICATION else "IoU", seeded())
    assert a.clustered and found == (2 / 2**4, statistic, *only)  # by case it would be 2 / 2^9


def test_test_by_patient_agrees_with_all_sign_patterns_worked_out():
    """Patients' sums 3, -1 and 2: 4 of the 8 patterns, ±4 and ±6, are as far from 0 as 4."""
    labels, patients = np.ones(8, int), ["p"] * 3 + ["q"] + ["r"] * 4
    a = scored([[1, 1, 1, -1, 1, 1, 1, -1]], labels, patients)
    b = scored([[-1, -1, -1, 1, -1, -1, 1, -1]], labels, patients)
    assert compare_cases(a, b, "MCC", seeded()) == (4 / 8, 4, 5, 1)


def test_scores_of_a_single_network_are_those_of_one_fold():
    one = single_network(np.array(["p", "q", "p"]), np.array([0, 1, 1]), np.eye(2)[[0, 1, 0]])
    assert one.estimate("Accuracy", seeded()).folds == [2 / 3]
    assert one.right().tolist() == [True, True, False] and one.clustered


def test_estimate_without_a_fold_is_refused():
    with pytest.raises(ValueError, match="at least one fold"):
        scores.Estimate([])


def test_spread_over_folds_is_that_of_a_sample():
    folds = [0.5, 0.75, 0.9]
    assert Estimate(folds).sd == pytest.approx(stdev(folds))
    assert np.isnan(Estimate([0.5]).sd)
