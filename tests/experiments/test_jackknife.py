"""Weighted measures and the pseudo-values of patients, beside scikit-learn's and DeLong's formulas."""

import numpy as np
import pytest

from ums.experiments.results.jackknife import (
    Measured,
    jackknifed,
    weighted_auc,
    weighted_mcc,
    weighted_mean,
)

R, P, B = 3, 40, 4


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("classes", [2, 3])
def test_weighted_mcc_is_that_of_scikit_learn(rng, classes):
    metrics = pytest.importorskip("sklearn.metrics")
    labels, predicted = rng.integers(classes, size=P), rng.integers(classes, size=(R, P))
    predicted[:, ::2] = labels[::2]
    weights = rng.integers(4, size=(B, P)) + rng.random((B, P))
    expected = [
        [metrics.matthews_corrcoef(labels, p, sample_weight=w) for p in predicted] for w in weights
    ]
    np.testing.assert_allclose(weighted_mcc(weights, labels, predicted, classes), expected)


def test_weighted_auc_is_that_of_scikit_learn_with_tied_scores(rng):
    metrics = pytest.importorskip("sklearn.metrics")
    labels, scores = rng.integers(2, size=P), rng.integers(6, size=(R, P)) / 2
    weights = rng.integers(4, size=(B, P)) + rng.random((B, P))
    expected = [
        [metrics.roc_auc_score(labels, s, sample_weight=w) for s in scores] for w in weights
    ]
    np.testing.assert_allclose(weighted_auc(weights, labels, scores), expected)


def test_weighted_mean_is_the_average_of_the_cases(rng):
    values, weights = rng.random((R, P)), rng.random((B, P))
    expected = [[np.average(v, weights=w) for v in values] for w in weights]
    np.testing.assert_allclose(weighted_mean(weights, values), expected)


def test_mcc_is_0_where_all_that_has_weight_is_predicted_alike():
    labels, predicted = np.array([0, 1, 1]), np.array([[1, 1, 0], [0, 1, 1]])
    weights = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    assert weighted_mcc(weights, labels, predicted, 2).tolist() == [[0, 1], [0, 0]]


def test_auc_is_nan_where_a_class_has_no_weight():
    weights = np.array([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    found = weighted_auc(weights, np.array([0, 1, 0]), np.array([[0.0, 1.0, 2.0]]))
    assert np.isnan(found[0, 0]) and found[1, 0] == 0.5


def test_auc_refuses_more_than_two_classes():
    with pytest.raises(ValueError, match=r"labels must be 0 and 1, got \[0, 1, 2\]"):
        weighted_auc(np.ones((1, 3)), np.array([0, 1, 2]), np.zeros((1, 3)))


def test_pseudo_values_of_a_mean_are_the_cases(rng):
    iou = rng.random((R, P))
    found = jackknifed(lambda w: weighted_mean(w, iou), np.arange(P))
    np.testing.assert_allclose(found.values, iou.mean(axis=1))
    np.testing.assert_allclose(found.patients, iou)


def test_pseudo_values_leave_out_all_images_of_a_patient(rng):
    metrics = pytest.importorskip("sklearn.metrics")
    names = np.array(["c", "a", "b", "a", "c", "d", "e", "d", "a", "b"])
    labels, predicted = rng.integers(2, size=10), rng.integers(2, size=(R, 10))
    found = jackknifed(lambda w: weighted_mcc(w, labels, predicted, 2), names)
    for r, of_one in enumerate(predicted):
        whole = metrics.matthews_corrcoef(labels, of_one)
        for g, name in enumerate("abcde"):
            kept = names != name
            without = metrics.matthews_corrcoef(labels[kept], of_one[kept])
            assert found.patients[r, g] == pytest.approx(5 * whole - 4 * without)


def test_jackknife_of_an_auc_has_delongs_standard_error(rng):
    """DeLong, DeLong and Clarke-Pearson 1988: variances of the placements of either class."""
    labels = np.repeat([0, 1], [80, 60])
    score = labels + rng.normal(size=140)
    won = score[labels == 1][:, None] > score[labels == 0]
    delong = won.mean(axis=1).var(ddof=1) / 60 + won.mean(axis=0).var(ddof=1) / 80
    found = jackknifed(lambda w: weighted_auc(w, labels, score[None]), np.arange(140))
    assert found.patients[0].var(ddof=1) / 140 == pytest.approx(delong, rel=0.02)


def test_difference_of_two_arms_is_paired():
    a = Measured(np.array([3.0, 5.0]), np.array([[1.0, 2.0, 6.0], [4.0, 5.0, 6.0]]))
    b = Measured(np.array([1.0, 1.0]), np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 2.0]]))
    assert (a - b).values.tolist() == [2, 4]
    assert (a - b).patients.tolist() == [[0, 1, 5], [4, 4, 4]]
    assert (a - Measured(b.values)).patients is None


def test_arms_whose_patients_are_not_the_same_are_refused():
    a, b = (Measured(np.zeros(2), np.zeros((2, patients))) for patients in (4, 1))
    with pytest.raises(ValueError, match=r"^patients must be paired, got 4 and 1$"):
        a - b


def test_arms_are_paired_over_the_first_replicates_which_both_have():
    more = Measured(np.array([1.0, 2, 4]), np.array([[1.0, 3], [2, 6], [9, 9]]))
    fewer = Measured(np.array([0.5, 1]), np.array([[1.0, 1], [1, 1]]))
    for difference, sign in ((more - fewer, 1), (fewer - more, -1)):
        assert (difference.values * sign).tolist() == [0.5, 1]
        assert (difference.patients * sign).tolist() == [[0, 2], [1, 5]]
    assert (Measured(np.array([1.0, 2])) - fewer).values.tolist() == [0.5, 1]


@pytest.mark.parametrize("shape", [(), (0,), (2, 2)])
def test_values_must_be_one_for_each_replicate(shape):
    with pytest.raises(ValueError, match=r"values must be \(R,\) with R > 0"):
        Measured(np.zeros(shape))


@pytest.mark.parametrize("shape", [(2,), (3, 2), (2, 2, 1)])
def test_pseudo_values_must_be_for_each_replicate_and_patient(shape):
    with pytest.raises(ValueError, match=r"pseudo-values must be \(2, G\)"):
        Measured(np.zeros(2), np.zeros(shape))
