"""Intervals over trainings, and over trainings and patients: coverage, and values beside others' code."""

import math

import numpy as np
import pytest
from crossed import IOU, MCC, NO_TRAINING, SMALL_TEST, drawn
from scipy import stats

from ums.experiments.results.intervals import over_trainings, over_trainings_and_patients
from ums.experiments.results.jackknife import Measured

STUDIES = 1500
ERROR = 3 * math.sqrt(0.05 * 0.95 / STUDIES)
"""Three standard errors of a simulated coverage."""


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("R", [2, 5, 40])
@pytest.mark.parametrize("family", [1, 10])
def test_interval_over_trainings_is_the_t_interval(rng, R, family):
    differences = rng.normal(0.1, 0.02, R)
    expected = stats.ttest_1samp(differences, 0).confidence_interval(1 - 0.05 / family)
    assert over_trainings(differences, family=family) == pytest.approx(tuple(expected))


def test_correlated_replicates_widen_the_interval_as_nadeau_and_bengio_have_it():
    """Ten splits that test on a fifth: 1/10 + n2/n1 = 0.1 + 0.25 instead of 0.1."""
    differences = np.arange(10.0)
    plain, corrected = (over_trainings(differences, rho) for rho in (0.0, 0.2))
    ratio = (corrected.high - corrected.low) / (plain.high - plain.low)
    assert ratio == pytest.approx(math.sqrt(0.35 / 0.1))


def test_share_of_a_small_pool_is_the_correlation_that_covers_all_patients(rng):
    """A replicate's score is the mean of 50 of the pool's 100 images, each with its own effect."""
    covered = np.zeros(2)
    for _ in range(STUDIES):
        pool = rng.normal(size=100)
        values = rng.permuted(np.tile(pool, (8, 1)), axis=1)[:, :50].mean(axis=1)
        found = (over_trainings(values, rho) for rho in (0.0, 0.5))
        covered += [low <= 0 <= high for low, high in found]
    plain, corrected = covered / STUDIES
    assert plain < 0.7 and corrected == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize("correlation", [-0.1, 1.0, math.nan])
def test_correlation_must_be_a_share(correlation):
    with pytest.raises(ValueError, match="correlation must be at least 0 and below 1"):
        over_trainings(np.zeros(3), correlation)


def test_one_replicate_has_no_interval():
    one = Measured(np.array([0.3]), np.array([[0.2, 0.4]]))
    assert all(map(math.isnan, over_trainings(one.values)))
    assert all(map(math.isnan, over_trainings_and_patients(one)))


@pytest.mark.parametrize("patients", [None, np.ones((3, 1))])
def test_without_patients_there_is_no_interval_over_them(patients):
    found = over_trainings_and_patients(Measured(np.arange(3.0), patients))
    assert all(map(math.isnan, found))


@pytest.mark.parametrize("R", [2, 3, 10, 40])
@pytest.mark.parametrize("spread", [IOU, MCC, SMALL_TEST, NO_TRAINING])
def test_both_intervals_cover_the_true_mean(rng, R, spread):
    covered = np.zeros(2)
    for _ in range(STUDIES):
        measured, of_these_patients = drawn(spread, R, 0.02, rng)
        trainings, both = over_trainings(measured.values), over_trainings_and_patients(measured)
        covered[0] += trainings.low <= of_these_patients <= trainings.high
        covered[1] += both.low <= 0.02 <= both.high
    trainings, both = covered / STUDIES
    assert trainings == pytest.approx(0.95, abs=ERROR)
    most = 0.97 if R == 40 else 1  # few replicates, and the interval errs on the wide side
    assert 0.95 - ERROR <= both <= most + ERROR


def test_interval_over_both_has_the_variances_of_a_mixed_model(rng):
    """Crossed random effects by REML, which in a balanced table are those of the analysis of variance."""
    formula = pytest.importorskip("statsmodels.formula.api")
    pandas = pytest.importorskip("pandas")
    R, G = 5, 12
    measured, _ = drawn(MCC._replace(replicates=0.6, patients=0.7, G=G), R, 0.0, rng)
    r, g = np.indices((R, G)).reshape(2, -1)
    data = pandas.DataFrame({"y": measured.patients.ravel(), "r": r, "g": g, "all": 1})
    effects = {"r": "0 + C(r)", "g": "0 + C(g)"}
    fitted = formula.mixedlm("y ~ 1", data, groups="all", vc_formula=effects).fit()
    variances = dict(zip(fitted.model.exog_vc.names, fitted.vcomp, strict=True))
    V = [variances["r"] / R, variances["g"] / G, fitted.scale / (R * G)]
    T = [stats.t.ppf(0.975, f) ** 2 for f in (R - 1, G - 1, (R - 1) * (G - 1))]
    half = math.sqrt(T[0] * (V[0] + V[2]) + T[1] * (V[1] + V[2]) - T[2] * V[2])
    found = over_trainings_and_patients(measured)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=1e-3)
    assert np.sqrt(sum(V)) == pytest.approx(fitted.bse["Intercept"], rel=1e-6)


def test_patients_who_differ_alone_give_the_t_interval_over_patients(rng):
    patients = np.tile(rng.normal(size=9), (4, 1))
    found = over_trainings_and_patients(Measured(patients.mean(axis=1), patients))
    expected = stats.ttest_1samp(patients[0], 0).confidence_interval(0.95)
    assert found == pytest.approx(tuple(expected))


def test_simultaneous_and_correlated_intervals_over_both_are_wider(rng):
    measured, _ = drawn(IOU, 6, 0.0, rng)
    plain, *wider = (
        over_trainings_and_patients(measured, rho, m) for rho, m in ((0, 1), (0, 10), (0.3, 1))
    )
    assert all(each.low < plain.low and plain.high < each.high for each in wider)
