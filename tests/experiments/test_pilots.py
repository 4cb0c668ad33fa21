"""What pilots decide: the best trial, the number of replicates, and the chances of the verdicts."""

import math

import numpy as np
import pytest
from scipy import stats

from ums.experiments.results.intervals import over_trainings
from ums.experiments.results.pilots import best_trial, replicates_needed, verdict_chances
from ums.experiments.results.verdicts import MARGINS, Verdict, verdict

TINY = 1e-9
"""A margin inside which no interval lies."""


def test_best_trial_counts_easy_and_hard_pilots_alike():
    """Relative means 1.25, 1.5 and 1.05; the plain means 1.075, 1.1 and 1.15 would choose the first."""
    assert best_trial(np.array([[2.0, 0.15], [2.0, 0.2], [2.2, 0.1]])) == 2


def test_best_trial_takes_each_task_relative_to_its_own_lowest():
    losses = np.array([[[10.0, 0.2]], [[11.0, 0.1]]])  # (trials, pilots, tasks)
    assert best_trial(losses) == 1


def test_first_of_equal_trials_is_the_best():
    assert best_trial(np.array([[2.0, 1.0], [1.0, 1.0], [1.0, 1.0]])) == 1


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_trial_that_diverged_in_a_pilot_is_out(loss):
    assert best_trial(np.array([[1.0, loss], [1.1, 9.0], [2.0, 8.0]])) == 1


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ([1.0, 2.0], r"losses must be \(trials, pilots\) or more, got \(2,\)"),
        (np.zeros((0, 2)), "or more"),
        ([[1.0], [0.0]], "losses must be positive, got 0.0"),
        ([[1.0, math.nan], [math.inf, 1.0]], "each of the 2 trials diverged in a pilot"),
    ],
)
def test_losses_that_choose_no_trial_are_refused(losses, message):
    with pytest.raises(ValueError, match=message):
        best_trial(np.array(losses))


@pytest.mark.parametrize(
    ("sd", "half", "family"),
    [
        (0.02, 0.01, 1),
        (0.02, 0.01, 10),
        (0.08, 0.05, 1),
        (0.06, 0.01, 1),
        (0.02, 0.4, 1),
        (0.02, 0.04, 1),
        (0, 1, 1),
    ],
)
def test_replicates_needed_are_the_fewest_with_that_half_width(sd, half, family):
    R = replicates_needed(sd, half, family)
    fewest = next(
        n
        for n in range(2, 10_000)
        if stats.t.ppf(1 - 0.025 / family, n - 1) * sd / math.sqrt(n) <= half
    )
    assert R == fewest


@pytest.mark.parametrize(("sd", "half"), [(-1, 1), (math.nan, 1), (1, 0), (math.inf, 1)])
def test_replicates_needed_refuse_what_is_no_spread_or_width(sd, half):
    with pytest.raises(ValueError, match="must be"):
        replicates_needed(sd, half)


@pytest.mark.parametrize("R", [2, 3, 10, 40])
@pytest.mark.parametrize("difference", [0.0, 0.5, 2.0])
def test_chance_to_exclude_0_is_that_of_the_noncentral_t(R, difference):
    chances = verdict_chances(difference, 1.0, R, TINY)
    limit, shift = stats.t.ppf(0.975, R - 1), difference * math.sqrt(R)
    assert chances[Verdict.HOLDS] == pytest.approx(stats.nct.sf(limit, R - 1, shift), abs=3e-4)
    assert chances[Verdict.REFUTED] == pytest.approx(stats.nct.cdf(-limit, R - 1, shift), abs=3e-4)
    assert chances[Verdict.NEGLIGIBLE] == pytest.approx(0)
    assert sum(chances.values()) == pytest.approx(1)


@pytest.mark.parametrize(("R", "difference"), [(3, 3.3), (10, 1.0), (50, 0.4)])
def test_power_is_80_percent_at_the_known_differences(R, difference):
    chances = verdict_chances(difference, 1.0, R, TINY)
    assert chances[Verdict.HOLDS] == pytest.approx(0.8, abs=0.02)


@pytest.mark.parametrize("R", [3, 10, 40])
@pytest.mark.parametrize(
    ("difference", "sd", "family"),
    [(0, 0.015, 1), (0.004, 0.015, 10), (-0.02, 0.015, 1), (0.005, 0.004, 1), (-0.005, 0.004, 1)],
)
def test_chances_agree_with_simulated_studies(R, difference, sd, family):
    rng = np.random.default_rng(R)
    studies = rng.normal(difference, sd, size=(2000, R))
    found = [verdict(over_trainings(of_one, family=family), 0.01) for of_one in studies]
    for each, chance in verdict_chances(difference, sd, R, 0.01, family).items():
        assert np.mean([v is each for v in found]) == pytest.approx(chance, abs=0.035)


@pytest.mark.parametrize("R", [2, 3, 6, 10, 20, 40, 400])
@pytest.mark.parametrize(
    ("measure", "sd"), [("IoU", 0.02), ("MCC", 0.06), ("MCC", 0.08), ("IoU", 0.001)]
)
def test_chance_of_a_false_verdict_is_at_most_5_percent(measure, sd, R):
    margin = MARGINS[measure]
    null, edge = (verdict_chances(d, sd, R, margin) for d in (0.0, margin))
    assert null[Verdict.HOLDS] + null[Verdict.REFUTED] <= 0.05 + 1e-6
    assert edge[Verdict.NEGLIGIBLE] + edge[Verdict.REFUTED] <= 0.05 + 1e-6


@pytest.mark.parametrize(("sd", "R", "margin"), [(0, 3, 1), (1, 1, 1), (1, 3, 0)])
def test_chances_refuse_what_has_no_interval(sd, R, margin):
    with pytest.raises(ValueError, match="must be"):
        verdict_chances(0.0, sd, R, margin)
