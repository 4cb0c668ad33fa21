import numpy as np
import pytest
from scipy.spatial.distance import cdist

from ums.metrics.segmentation import accuracy, f_score, hausdorff_95, iou, mean_iou

# target, prediction (2x2 pixels, row by row), then IoU, F-score, accuracy and mean IoU by hand
CASES = [
    ("1100", "1100", 1, 1, 1, 1),
    ("1100", "0011", 0, 0, 0, 0),
    ("1100", "1000", 1 / 2, 2 / 3, 3 / 4, (1 / 2 + 2 / 3) / 2),
    ("1100", "0110", 1 / 3, 1 / 2, 1 / 2, 1 / 3),
    ("1000", "1111", 1 / 4, 2 / 5, 1 / 4, 1 / 8),
    ("1100", "0000", 0, 0, 1 / 2, 1 / 4),
    ("0000", "0000", 1, 1, 1, 1),
    ("0000", "1000", 0, 0, 3 / 4, 3 / 8),
    ("1111", "1111", 1, 1, 1, 1),
]


def mask(pixels):
    return np.array([pixel == "1" for pixel in pixels]).reshape(2, 2)


def random_masks(seed=0, shape=(50, 6, 7)):
    rng = np.random.default_rng(seed)
    share = rng.random((shape[0], 1, 1))
    return rng.random(shape) < share, rng.random(shape) < share[::-1]


@pytest.mark.parametrize(("target", "prediction", "i", "f", "a", "m"), CASES)
def test_scores_of_a_two_by_two_mask(target, prediction, i, f, a, m):
    measured = [x(mask(target), mask(prediction)) for x in (iou, f_score, accuracy, mean_iou)]
    assert measured == pytest.approx([i, f, a, m])


@pytest.mark.parametrize(("measure", "column"), [(iou, 2), (f_score, 3), (accuracy, 4)])
def test_a_batch_gives_each_mask_its_own_score(measure, column):
    targets = np.stack([mask(case[0]) for case in CASES])
    predictions = np.stack([mask(case[1]) for case in CASES])
    expected = [case[column] for case in CASES]
    np.testing.assert_allclose(measure(targets, predictions), expected)


def test_iou_is_f_over_two_minus_f():
    targets, predictions = random_masks()
    f = f_score(targets, predictions)
    assert f.std() > 0.1
    np.testing.assert_allclose(iou(targets, predictions), f / (2 - f))


def test_mean_iou_is_the_same_for_the_inverted_masks():
    targets, predictions = random_masks(seed=1)
    np.testing.assert_allclose(mean_iou(targets, predictions), mean_iou(~targets, ~predictions))


def test_only_mean_iou_can_exceed_the_f_score():
    target, prediction = np.zeros((2, 20, 20), bool)
    target[:4, :4] = prediction[:4, :3] = True
    f = f_score(target, prediction)
    assert iou(target, prediction) < f < mean_iou(target, prediction)


def by_pairs(target, prediction):
    """HD95 from the distances of all pairs of boundary pixels."""
    edges = []
    for mask in (target, prediction):
        m = np.pad(mask, 1)
        inner = m[:-2, 1:-1] & m[2:, 1:-1] & m[1:-1, :-2] & m[1:-1, 2:]
        edges.append(np.argwhere(mask & ~inner))
    distances = cdist(*edges)
    return max(np.percentile(distances.min(axis=k), 95) for k in (0, 1))


def test_hausdorff_distance_is_that_of_all_pairs_of_boundary_pixels():
    rng = np.random.default_rng(0)
    blobs = np.repeat(np.repeat(rng.random((2, 20, 5, 4)) < 0.3, 5, axis=2), 6, axis=3)
    blobs[:, :, 3, 3] = True
    measured = hausdorff_95(*blobs)
    assert measured.std() > 1
    np.testing.assert_allclose(measured, [by_pairs(*pair) for pair in zip(*blobs, strict=True)])


def test_hausdorff_distance_of_shifted_squares_and_a_stray_pixel():
    target, shifted = np.zeros((2, 40, 60), bool)
    target[10:20, 10:20] = shifted[10:20, 13:23] = True
    assert hausdorff_95(target, shifted) == 3
    stray = target.copy()
    stray[35, 55] = True
    assert hausdorff_95(target, stray) == hausdorff_95(stray, target) == 0


def test_hausdorff_distance_takes_the_worse_direction():
    """Half of the prediction lies 20 columns off; the target's pixels are all found."""
    target, prediction = np.zeros((2, 10, 40), bool)
    target[:, 0] = prediction[:, 0] = prediction[:, 20] = True
    assert hausdorff_95(target, prediction) == hausdorff_95(prediction, target) == 20


def test_hausdorff_distance_of_empty_masks():
    empty, pixel = np.zeros((2, 4, 5), bool)
    pixel[1, 1] = True
    pairs = [(empty, empty), (empty, pixel), (pixel, empty), (pixel, pixel)]
    assert [hausdorff_95(*pair) for pair in pairs] == [0, 5, 5, 0]  # 3 rows and 4 columns apart


@pytest.mark.parametrize("measure", [iou, f_score, accuracy, mean_iou, hausdorff_95])
def test_unfit_masks_are_refused(measure):
    with pytest.raises(ValueError, match=r"\(2, 2\) and \(2, 3\)"):
        measure(np.zeros((2, 2), bool), np.zeros((2, 3), bool))
    with pytest.raises(ValueError, match="boolean, got bool and float64"):
        measure(np.zeros((2, 2), bool), np.zeros((2, 2)))
