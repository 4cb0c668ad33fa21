"""Verdicts by intervals and margins, and how often they are false."""

import math

import numpy as np
import pytest
from crossed import IOU, MCC, drawn

from ums.experiments.results.intervals import over_trainings, over_trainings_and_patients
from ums.experiments.results.jackknife import Measured, jackknifed, weighted_mcc
from ums.experiments.results.verdicts import MARGINS, Verdict, contrast, verdict
from ums.metrics.significance import Interval

STUDIES = 1500
ERROR = 3 * math.sqrt(0.05 * 0.95 / STUDIES)
DIFFER = (Verdict.HOLDS, Verdict.REFUTED)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def nothing(measured):
    """An arm that scores 0 everywhere."""
    return Measured(0 * measured.values, 0 * measured.patients)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.02, 0.04, Verdict.HOLDS),
        (0.005, 0.011, Verdict.HOLDS),
        (0.002, 0.009, Verdict.NEGLIGIBLE),  # excludes 0, but does not matter
        (-0.01, 0.01, Verdict.NEGLIGIBLE),
        (-0.011, 0.009, Verdict.OPEN),
        (-0.009, 0.011, Verdict.OPEN),
        (0.0, 0.02, Verdict.OPEN),
        (-0.02, 0.0, Verdict.OPEN),
        (-0.02, -0.001, Verdict.REFUTED),
        (-0.009, -0.001, Verdict.NEGLIGIBLE),
        (math.nan, math.nan, Verdict.OPEN),
    ],
)
def test_verdict_by_interval_and_margin(low, high, expected):
    assert verdict(Interval(low, high), 0.01) is expected


def test_marks_of_verdicts_differ():
    assert [v.mark for v in Verdict] == ["≈", "✓", "✗", "?"]
    assert [v.value for v in Verdict] == ["negligible", "holds", "refuted", "open"]


def test_contrast_is_of_paired_differences_and_has_both_intervals(rng):
    a, _ = drawn(IOU, 6, 0.8, rng)
    b, _ = drawn(IOU, 6, 0.7, rng)
    found = contrast(a, b, 0.01, correlation=0.1, family=10)
    assert found.mean == pytest.approx(np.mean(a.values) - np.mean(b.values))
    assert found.trainings == over_trainings(a.values - b.values, 0.1, 10)
    assert found.both == over_trainings_and_patients(a - b, 0.1, 10)
    assert found.replicates == 6 and found.verdict is Verdict.HOLDS


def test_verdict_is_over_patients_too_where_they_are_known():
    """Ten replicates agree on 0.05, but one patient of three decides it."""
    patients = np.tile([0.0, 0.0, 0.15], (10, 1))
    a = Measured(0.05 + np.linspace(-1e-3, 1e-3, 10), patients)
    assert contrast(a, nothing(a), 0.01).verdict is Verdict.OPEN
    assert contrast(Measured(a.values), nothing(a), 0.01).verdict is Verdict.HOLDS


def test_one_replicate_leaves_a_contrast_open():
    assert contrast(Measured(np.ones(1)), Measured(np.zeros(1)), 0.01).verdict is Verdict.OPEN


def rate(verdicts, spread, R, mean, margin, rng):
    """How often the verdict on a study of this true mean is one of these."""
    studies = (drawn(spread, R, mean, rng)[0] for _ in range(STUDIES))
    return np.mean([contrast(a, nothing(a), margin).verdict in verdicts for a in studies])


@pytest.mark.parametrize("R", [3, 10, 40])
@pytest.mark.parametrize(("spread", "measure"), [(IOU, "IoU"), (MCC, "MCC")])
def test_false_verdicts_are_at_most_5_percent(rng, R, spread, measure):
    margin = MARGINS[measure]
    assert rate(DIFFER, spread, R, 0.0, margin, rng) <= 0.05 + ERROR
    assert rate([Verdict.NEGLIGIBLE], spread, R, margin, margin, rng) <= 0.05 + ERROR


@pytest.mark.parametrize("R", [3, 10, 40])
def test_family_of_ten_has_a_false_verdict_in_at_most_5_percent_of_studies(rng, R):
    """Five tasks, each with two sharing arms less the same third one."""
    spoiled = 0
    for _ in range(STUDIES // 3):
        found = []
        for _ in range(5):
            single, joint, alternating = (drawn(IOU, R, 0.0, rng)[0] for _ in range(3))
            found += [contrast(arm, single, 0.01, family=10) for arm in (joint, alternating)]
        spoiled += any(each.verdict in DIFFER for each in found)
    assert spoiled / (STUDIES // 3) <= 0.05 + math.sqrt(3) * ERROR


@pytest.mark.parametrize("R", [3, 10])
def test_mcc_of_alike_classifiers_differs_in_at_most_5_percent_of_studies(rng, R):
    """Skill varies from training to training, and some patients are hard for all networks."""
    P, labels, false = 80, np.arange(80) % 2, 0
    for _ in range(STUDIES // 5):
        hard = rng.normal(size=P)
        arms = []
        for _ in range(2):
            skill = rng.normal(1.0, 0.15, size=(R, 1))
            logits = skill * (2 * labels - 1) + hard + 0.7 * rng.normal(size=(R, P))
            right = (logits > 0).astype(int)
            arms.append(jackknifed(lambda w, p=right: weighted_mcc(w, labels, p, 2), np.arange(P)))
        false += contrast(*arms, MARGINS["MCC"]).verdict in DIFFER
    assert false / (STUDIES // 5) <= 0.05 + math.sqrt(5) * ERROR
