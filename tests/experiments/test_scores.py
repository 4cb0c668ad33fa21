"""Scores of k networks on n cases: worked by hand, with their intervals and comparisons."""

from math import log, sqrt

import numpy as np
import pytest

from ums.backend import Device
from ums.data import NOISES
from ums.experiments.results import scores
from ums.experiments.results.scores import (
    LOGITS,
    compare,
    estimated,
    score_classes,
    score_denoising,
    score_masks,
)
from ums.experiments.tasks import CLASSIFICATION, SEGMENTATION
from ums.layers import Layer

CPU = Device(np, "CPU")
NAN = np.nan


class By(Layer):
    """Stands in for a network: a function of its input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, training=False, keep=True):
        return self.function(x)


def seeded(seed=0):
    return np.random.default_rng(seed)


def asked(values, labels=None, patients=None, kind=CLASSIFICATION, measure=LOGITS):
    """Of logits (k, n, K), those of class 1 less those of class 0 (k, n), or scores (k, n), NaN where a
    network was not asked."""
    values = np.array(values, float)
    if kind == CLASSIFICATION and values.ndim == 2:
        values = np.stack([np.full(values.shape, 0.7), values + 0.7], axis=2)
    n = values.shape[1]
    one = scores.Tested(
        kind,
        np.arange(n) if patients is None else np.array(patients),
        None if labels is None else np.array(labels),
    )
    for fold, of_fold in enumerate(values):
        cases = np.flatnonzero(np.isfinite(of_fold.reshape(n, -1)).all(axis=1))
        one.add(fold, len(values), cases, {measure: of_fold[cases]})
    return one


# ---------------------------------------------------------------------------- networks


def test_lung_masks_are_where_the_logit_is_positive():
    images = np.full((2, 16, 16), 50, np.uint8)
    images[0, :8], images[1, :4] = 200, 200  # a half and a quarter, brighter than the mean
    masks = np.zeros((2, 16, 16), np.uint8)
    masks[:, :8] = 1
    found, predicted = score_masks(By(lambda x: x), images, masks, CPU)
    assert predicted.sum(axis=(1, 2)).tolist() == [128, 64]
    for name, worked in (("Accuracy", 0.75), ("F-score", 2 / 3), ("IoU", 1 / 2)):
        np.testing.assert_allclose(found[name], [1, worked])
    np.testing.assert_allclose(found["Two-class IoU"], [1, (1 / 2 + 128 / 192) / 2])


@pytest.mark.parametrize("colour", [(), (3,)])
def test_logits_of_grey_and_of_rgb_images_are_kept(colour):
    logits = np.array([[2, 1, 0], [0, 3, 1], [-1, -1, 5]], np.float32)
    images, seen = np.zeros((3, 16, 16, *colour), np.uint8), []
    found = score_classes(By(lambda x: seen.append(x.shape) or logits), images, CPU)
    assert seen == [(3, 16, 16, *(colour or (1,)))]
    assert {name: values.tolist() for name, values in found.items()} == {LOGITS: logits.tolist()}


@pytest.mark.parametrize("dark", [8, 100])
def test_images_are_normalised_as_they_were_for_learning(dark):
    images = np.repeat([[[50], [150]]], 2, axis=2).astype(np.uint8)
    seen = []
    score_classes(By(lambda x: seen.append(x) or x[:, 0, :, 0]), images, CPU, dark)
    dark_half = seen[0][0, 0, 0, 0]  # film: both halves, mean 100, deviation 50; or 150 alone
    assert dark_half == pytest.approx(-0.25 if dark == 8 else -150 / 4)


# ---------------------------------------------------------------------------- estimates

MEASURED = {  # of fold 1: said 0 1 1 1 0 1; of fold 2: all said 1
    "Accuracy": [5 / 6, 1 / 2],
    "F-score": [6 / 7, 2 / 3],
    "MCC": [(3 * 2 - 0) / sqrt(4 * 3 * 3 * 2), 0],
    "AUC": [7 / 9, 4.5 / 9],
}
LABELS = [0, 0, 1, 1, 0, 1]
MARGINS = [[-1, 3, 1, 2, -5, 4], [1, 1, 1, 1, 1, 1]]


@pytest.mark.parametrize("measure", MEASURED)
def test_each_fold_is_scored_by_hand_worked_measures(measure):
    estimate = asked(MARGINS, LABELS).estimate(measure, seeded())
    np.testing.assert_allclose(estimate.folds, MEASURED[measure])
    assert estimate.mean == pytest.approx(np.mean(MEASURED[measure]))
    assert estimate.low <= estimate.mean <= estimate.high


@pytest.mark.parametrize("measure", MEASURED)
def test_cases_that_a_network_was_not_asked_about_are_left_out(measure):
    """Held-out cases: the first network was asked about six, the second about six others."""
    margins = np.full((2, 12), NAN)
    margins[0, ::2], margins[1, 1::2] = MARGINS
    estimate = asked(margins, np.repeat(LABELS, 2)).estimate(measure, seeded())
    np.testing.assert_allclose(estimate.folds, MEASURED[measure])


THREE = [  # true class, logits: said 0 1 1 1 2 0
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
    estimate = asked([logits], labels).estimate(measure, seeded())
    assert estimate.folds == [pytest.approx(worked)]


def test_folds_decide_between_three_classes_by_their_mean_probability():
    """Two folds lean to classes 0 and 1 a little; the third, sure of class 2, decides."""
    logits = np.array([[[1, 0, 0.9]], [[0, 1, 0.9]], [[0, 0, 9]]])
    one = asked(logits, [2])
    shares = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    np.testing.assert_allclose(one.probabilities(), shares.mean(axis=0))
    assert one.right().tolist() == [True]


def test_margin_of_0_says_class_0():
    assert asked([[0, 0], [1e-9, -1e-9]], [0, 1]).estimate("Accuracy", seeded()).folds == [0.5, 0]


def test_segmentation_is_scored_by_the_mean_over_its_own_cases():
    one = asked([[0.5, NAN, 0.7], [NAN, 0.2, NAN]], kind=SEGMENTATION, measure="IoU")
    np.testing.assert_allclose(one.estimate("IoU", seeded()).folds, [0.6, 0.2])
    assert one.by_case("IoU").tolist() == [0.5, 0.2, 0.7]


def test_score_of_a_case_is_the_mean_over_the_networks_that_were_asked():
    one = asked([[0.5, 0.1], [0.7, NAN]], kind=SEGMENTATION, measure="IoU")
    np.testing.assert_allclose(one.by_case("IoU"), [0.6, 0.1])


def test_interval_is_that_of_the_folds_mean_over_patients():
    """Two patients: in a quarter of the resamples the first comes twice, so the ends are theirs."""
    values = [[0.2] * 9 + [0.8], [0.4] * 9 + [0.6]]
    one = asked(values, patients=["a"] * 9 + ["b"], kind=SEGMENTATION, measure="IoU")
    estimate = one.estimate("IoU", seeded())
    assert (estimate.low, estimate.high) == pytest.approx((0.3, 0.7))
    assert estimate.mean == pytest.approx((0.26 + 0.42) / 2)


def test_interval_agrees_with_resampling_in_another_way():
    rng = seeded(4)
    values, patients = rng.uniform(size=(3, 60)), np.arange(60) // 3
    one = asked(values, patients=patients, kind=SEGMENTATION, measure="IoU")
    estimate = one.estimate("IoU", seeded())
    by_patient = values.mean(axis=0).reshape(20, 3).mean(axis=1)
    means = rng.choice(by_patient, (20_000, 20)).mean(axis=1)
    found = (estimate.low, estimate.high)
    np.testing.assert_allclose(found, np.quantile(means, [0.025, 0.975]), atol=0.015)


def test_interval_of_resamples_without_a_positive_is_of_the_others(monkeypatch):
    monkeypatch.setattr(scores, "RESAMPLES", 200)
    estimate = asked([[1, -1, -2, -3], [2, -1, -3, -2]], [1, 0, 0, 0]).estimate("AUC", seeded())
    assert (estimate.low, estimate.high) == (1, 1)


def test_fold_without_a_score_has_no_part_in_the_interval():
    """A held-out fold of one class has no AUC; the other folds' mean has its interval all the same."""
    values = np.array([0.2] * 9 + [0.8])
    found = estimated(lambda v: [NAN, v.mean()], (values,), np.array(["a"] * 9 + ["b"]), seeded())
    assert (found.low, found.high) == pytest.approx((0.2, 0.8))
    assert np.isnan(found.folds[0]) and found.folds[1] == pytest.approx(0.26)


def test_same_generator_gives_the_same_interval():
    one = asked(MARGINS, LABELS)
    first, again, other = (one.estimate("Accuracy", seeded(s)) for s in (1, 1, 2))
    assert first == again and first.folds == other.folds


# ---------------------------------------------------------------------------- together


@pytest.mark.parametrize(
    ("margins", "says"),
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
def test_folds_decide_by_their_mean_probability(margins, says, label):
    one = asked(np.array(margins)[:, None], [label])
    assert one.right().tolist() == [says == label]


def test_comparison_of_classifiers_is_mcnemars():
    """Of ten cases, six only a is right about, one only b: p = 2 (1 + 7) / 2^7."""
    labels = [0, 1, 0, 1, 0, 1, 1, 0, 0, 1]
    sign = 2 * np.array(labels) - 1
    a = np.where([1, 1, 1, 1, 1, 1, 0, 1, 0, 0], sign, -sign)
    b = np.where([0, 0, 0, 0, 0, 0, 1, 1, 0, 0], sign, -sign)
    both = [asked([m, m], labels) for m in (a, b)]
    assert compare(*both, "MCC", seeded()) == (0.125, 5, 6, 1)
    assert compare(*both[::-1], "MCC", seeded()) == (0.125, -5, 1, 6)
    assert compare(both[0], both[0], "MCC", seeded()) == (1, 0, 0, 0)


def test_comparison_of_segmentations_is_by_flipping_signs():
    """All five cases are better: 2 of 2^5 patterns are as far from 0."""
    worse = np.array([[0.1, 0.2, 0.3, 0.4, 0.5], [0.3, 0.2, 0.1, 0.0, 0.5]])
    better = worse + np.array([[0.3, 0.1, 0.2, 0.4, 0.1], [-0.1, 0.1, 0.2, 0.0, 0.1]])
    a, b = (asked(v, kind=SEGMENTATION, measure="IoU") for v in (better, worse))
    for one, other, sign in ((a, b, 1), (b, a, -1)):
        p, tested, only_one, only_other = compare(one, other, "IoU", seeded())
        assert p == 2 / 32 and only_one is only_other is None
        assert tested == pytest.approx(sign * 0.7)
    assert compare(a, a, "IoU", seeded()).p_value == 1


@pytest.mark.parametrize("kind", [CLASSIFICATION, SEGMENTATION])
def test_images_of_one_patient_have_one_sign_together(kind):
    """Ten cases of which a is better on nine, of four patients whose sums are 3, 3, 2 and 1."""
    patients = ["p", "q", "r", "p", "q", "s", "r", "p", "q", "s"]
    wins, labels = np.array([1, 1, 1, 1, 1, 1, 1, 1, 1, 0]), np.ones(10, int)
    if kind == CLASSIFICATION:
        a, b = (asked([m], labels, patients) for m in (2 * wins - 1, -np.ones(10)))
        tested, only = 9, (9, 0)
    else:
        a, b = (
            asked([v], None, patients, SEGMENTATION, "IoU")
            for v in (0.5 + 0.25 * wins, wins * 0 + 0.5)
        )
        tested, only = 9 * 0.25, (None, None)
    found = compare(a, b, "MCC" if kind == CLASSIFICATION else "IoU", seeded())
    assert a.clustered and found == (2 / 2**4, tested, *only)  # by case it would be 2 / 2^9


def test_test_by_patient_agrees_with_all_sign_patterns_worked_out():
    """Patients' sums 3, -1 and 2: 4 of the 8 patterns, ±4 and ±6, are as far from 0 as 4."""
    labels, patients = np.ones(8, int), ["p"] * 3 + ["q"] + ["r"] * 4
    a = asked([[1, 1, 1, -1, 1, 1, 1, -1]], labels, patients)
    b = asked([[-1, -1, -1, 1, -1, -1, 1, -1]], labels, patients)
    assert compare(a, b, "MCC", seeded()) == (4 / 8, 4, 5, 1)


# ---------------------------------------------------------------------------- the source


def test_denoising_is_scored_for_every_noise_in_the_tables_order(rng):
    images = np.full((3, 32, 32), 128, np.uint8)
    rows = score_denoising(By(lambda x: 0 * x), images, CPU, rng)  # the mean, for every pixel
    assert [row["noise"] for row in rows] == [str(noise) for noise in NOISES]
    for row, sigma in zip(rows, (10, 20, 30, 40, None, None), strict=True):
        assert row["denoised"]["PSNR"] > row["noisy"]["PSNR"] + 10
        if sigma:  # 50 is clipped now and then
            expected = 20 * np.log10(255 / sigma)
            assert row["noisy"]["PSNR"] == pytest.approx(expected, abs=0.3)


def test_pictures_of_one_image_come_with_every_noise(rng):
    images = rng.integers(0, 256, (3, 16, 16), dtype=np.uint8)
    rows = score_denoising(By(lambda x: x), images, CPU, rng)
    clean = [row["pictures"][0] for row in rows]
    assert all(np.array_equal(picture, clean[0]) for picture in clean)
    assert any(np.array_equal(picture, clean[0]) for picture in images)
    for row in rows:
        _, noisy, denoised = row["pictures"]
        np.testing.assert_allclose(denoised, np.where(noisy > 8, noisy, 0), atol=1e-3)
