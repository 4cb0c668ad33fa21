import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import mannwhitneyu

from ums.metrics import confusion_matrix, mcc, roc_auc
from ums.metrics.classification import accuracy, f_score, one_vs_rest_auc, recall

# Ten cases: 4 true positives, 1 false negative, 2 false positives, 3 true negatives.
LABELS = np.array([1, 1, 1, 1, 1, 0, 0, 0, 0, 0])
PREDICTIONS = np.array([1, 1, 1, 1, 0, 1, 1, 0, 0, 0])


def random_classes(classes, seed=0, n=200):
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    return labels, np.where(rng.random(n) < 0.6, labels, rng.integers(classes, size=n))


def test_confusion_matrix_has_true_classes_in_rows():
    assert confusion_matrix(LABELS, PREDICTIONS, 2).tolist() == [[3, 2], [1, 4]]
    assert confusion_matrix([0, 2], [1, 2], 3).tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 1]]


def test_scores_of_ten_hand_counted_cases():
    assert accuracy(LABELS, PREDICTIONS, 2) == pytest.approx(7 / 10)
    assert f_score(LABELS, PREDICTIONS, 2, positive=1) == pytest.approx(8 / 11)
    assert f_score(LABELS, PREDICTIONS, 2, positive=0) == pytest.approx(6 / 9)
    assert f_score(LABELS, PREDICTIONS, 2) == pytest.approx((8 / 11 + 6 / 9) / 2)
    assert mcc(LABELS, PREDICTIONS, 2) == pytest.approx(10 / np.sqrt(6 * 5 * 5 * 4))


def test_recall_is_the_share_of_a_class_that_is_found():
    assert recall(LABELS, PREDICTIONS, 2, positive=1) == 4 / 5  # sensitivity
    assert recall(LABELS == 1, PREDICTIONS == 1, 2, positive=0) == 3 / 5  # specificity
    assert recall([0, 1, 1, 2], [0, 1, 2, 1], 3, positive=1) == 1 / 2
    assert np.isnan(recall([0, 0], [0, 1], 2, positive=1))


@pytest.mark.parametrize("score", [f_score, recall])
@pytest.mark.parametrize("positive", [-1, 2])
def test_positive_class_that_is_none_is_refused(score, positive):
    with pytest.raises(ValueError, match=f"positive class {positive} is not in 0 .. 1"):
        score(LABELS, PREDICTIONS, 2, positive=positive)


def test_f_score_is_the_harmonic_mean_of_precision_and_recall():
    labels, predictions = random_classes(3)
    precision = np.mean(labels[predictions == 2] == 2)
    share = np.mean(predictions[labels == 2] == 2)
    expected = 2 * precision * share / (precision + share)
    assert f_score(labels, predictions, 3, positive=2) == pytest.approx(expected)


def test_f_score_of_an_absent_and_unpredicted_class_is_zero():
    assert f_score([0, 0], [0, 0], 2, positive=1) == 0.0
    assert f_score([0, 1], [0, 1], 4) == pytest.approx(0.5)


def test_mcc_of_two_classes_is_their_correlation():
    labels, predictions = random_classes(2)
    expected = np.corrcoef(labels, predictions)[0, 1]
    assert mcc(labels, predictions, 2) == pytest.approx(expected)


def test_mcc_of_more_classes_is_the_correlation_of_the_indicators():
    labels, predictions = random_classes(4)
    t, p = np.eye(4)[labels], np.eye(4)[predictions]
    t, p = t - t.mean(axis=0), p - p.mean(axis=0)
    expected = (t * p).sum() / np.sqrt((t * t).sum() * (p * p).sum())
    assert mcc(labels, predictions, 4) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("predictions", "expected"), [([0, 1, 1], 1.0), ([1, 0, 0], -1.0), ([1, 1, 1], 0.0)]
)
def test_mcc_of_perfect_inverted_and_constant_predictions(predictions, expected):
    assert mcc([0, 1, 1], predictions, 2) == pytest.approx(expected)


def test_mcc_of_many_samples_does_not_overflow():
    labels = np.repeat([0, 1], 300_000)
    assert mcc(labels, labels, 2) == pytest.approx(1.0)


def test_roc_auc_counts_ties_half():
    assert roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == 0.75
    assert roc_auc([0, 1], [0.5, 0.5]) == 0.5
    assert roc_auc([False, True, True], [1.0, 0.0, 1.0]) == 0.25


def test_roc_auc_equals_scipys_rank_sum_test():
    rng = np.random.default_rng(1)
    labels = rng.integers(2, size=80)
    scores = np.round(labels + rng.normal(size=80), 1)
    u = mannwhitneyu(scores[labels == 1], scores[labels == 0]).statistic
    pairs = (labels == 1).sum() * (labels == 0).sum()
    assert roc_auc(labels, scores) == pytest.approx(u / pairs)


def test_roc_auc_of_one_class_is_undefined():
    assert np.isnan(roc_auc([1, 1], [0.2, 0.3]))


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_one_vs_rest_auc_is_the_mean_of_scipys_rank_sum_tests_on_probabilities(classes):
    rng = np.random.default_rng(classes)
    labels = rng.integers(classes, size=90)
    logits = rng.normal(size=(90, classes)) + np.eye(classes)[labels]
    areas = []
    for c, of_class in enumerate(softmax(logits, axis=1).T):
        ours = labels == c
        u = mannwhitneyu(of_class[ours], of_class[~ours]).statistic
        areas.append(u / (ours.sum() * (~ours).sum()))
    assert one_vs_rest_auc(labels, logits) == pytest.approx(np.mean(areas))


def test_one_vs_rest_auc_tells_large_logits_apart():
    """Their probabilities are all 1, which would make every pair a tie."""
    assert (
        one_vs_rest_auc([0, 1, 1, 2], [[900, 0, 0], [0, 900, 0], [800, 900, 0], [0, 0, 900]]) == 1
    )


def test_one_vs_rest_auc_without_a_class_is_undefined():
    assert np.isnan(one_vs_rest_auc([0, 1], np.eye(3)[:2]))


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_logits_that_are_not_of_classes_are_refused(shape):
    with pytest.raises(ValueError, match="K > 1"):
        one_vs_rest_auc([0, 0], np.zeros(shape))


@pytest.mark.parametrize(
    ("labels", "predictions", "message"),
    [
        ([0, 1], [0, 1, 1], r"\(2,\) labels for \(3,\)"),
        ([0, 3], [0, 1], r"labels must be whole numbers in 0 .. 2"),
        ([0, 1], [0.0, 0.7], "predictions must be whole"),
        ([], [], r"non-empty array \(N,\), got shape \(0,\)"),
        ([[0, 1]], [0, 1], r"got shape \(1, 2\)"),
    ],
)
def test_unfit_classes_are_refused(labels, predictions, message):
    with pytest.raises(ValueError, match=message):
        confusion_matrix(labels, predictions, 3)


def test_unfit_scores_and_positive_classes_are_refused():
    with pytest.raises(ValueError, match=r"\(2,\) labels for \(3,\) scores"):
        roc_auc([0, 1], [0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="finite"):
        roc_auc([0, 1], [0.1, np.nan])
    with pytest.raises(ValueError, match="positive class 2"):
        f_score(LABELS, PREDICTIONS, 2, positive=2)
