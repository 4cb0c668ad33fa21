"""Losses on cases a person can work out."""

from math import log

import numpy as np
import pytest
import standin

from ums.ops import (
    bce,
    bce_dice,
    categorical_cross_entropy,
    dice,
    known_bce,
    known_mse,
    mse,
    softmax_dice,
)

SURE = 1000.0  # a logit that says yes; minus it says no


def logits_of(mask):
    return np.where(np.array(mask) > 0, SURE, -SURE)


def test_mse_worked_by_hand():
    value, gradient = mse(np.array([[1.0, 2], [3, 4]]), np.array([[1.0, 0], [3, 8]]))
    assert value == (0 + 4 + 0 + 16) / 4
    assert gradient.tolist() == [[0, 2 * 2 / 4], [0, -2 * 4 / 4]]


@pytest.mark.parametrize("target", [0.0, 1.0, 0.3])
def test_bce_of_a_coin_is_log_2(target):
    value, gradient = bce(np.zeros((2, 5)), np.full((2, 5), target))
    assert value == pytest.approx(log(2))
    np.testing.assert_allclose(gradient, (0.5 - target) / 10)


def test_bce_worked_by_hand():
    z = np.log(np.array([3.0, 1 / 3]))  # y = 3/4 and 1/4
    value, gradient = bce(z, np.array([1.0, 1.0]))
    assert value == pytest.approx(-(log(3 / 4) + log(1 / 4)) / 2)
    np.testing.assert_allclose(gradient, [-1 / 8, -3 / 8])


@pytest.mark.parametrize(("logit", "target", "expected"), [
    (SURE, 1, 0), (-SURE, 0, 0), (SURE, 0, SURE), (-SURE, 1, SURE),
])  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bce_stays_finite_and_exact_at_huge_logits(logit, target, expected, dtype):
    value, gradient = bce(np.array([logit], dtype), np.array([target], dtype))
    assert value == expected
    assert gradient[0] == float(logit > 0) - target


@pytest.mark.parametrize(
    ("mask", "prediction", "expected"),
    [
        ("1100", "1100", 0),  # perfect
        ("0000", "0000", 0),  # empty and empty
        ("1111", "1111", 0),
        ("0000", "1000", 1 / 2),  # S predicted pixels of an empty mask: S / (S + eps)
        ("0000", "1110", 3 / 4),
        ("0000", "1111", 4 / 5),
        ("1100", "0000", 1 - 1 / 3),
        ("1100", "0110", 1 - 3 / 5),
        ("1100", "0011", 1 - 1 / 5),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dice_of_hand_counted_masks(mask, prediction, expected, dtype):
    target = np.array([[int(pixel) for pixel in mask]], dtype)
    logits = logits_of([[int(pixel) for pixel in prediction]]).astype(dtype)
    value, gradient = dice(logits, target)
    assert value == pytest.approx(expected, abs=1e-7)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("eps", [1e-3, 0.1, 10.0])
def test_empty_mask_scores_predicted_pixels_by_eps(eps):
    value, _ = dice(logits_of([[1, 1, 1, 0]]), np.zeros((1, 4)), eps)
    assert value == pytest.approx(3 / (3 + eps))


def test_dice_is_the_mean_over_images_not_over_the_batch_as_one(rng):
    logits, target = rng.normal(size=(4, 5, 5, 1)), (rng.random((4, 5, 5, 1)) < 0.3) * 1.0
    alone = [dice(logits[n : n + 1], target[n : n + 1]) for n in range(4)]
    value, gradient = dice(logits, target)
    assert value == pytest.approx(np.mean([v for v, _ in alone]))
    np.testing.assert_allclose(gradient, np.concatenate([g for _, g in alone]) / 4)


def test_bce_dice_is_the_weighted_sum_of_the_two(rng):
    logits, target = rng.normal(size=(2, 6)), (rng.random((2, 6)) < 0.5) * 1.0
    (b, db), (d, dd) = bce(logits, target), dice(logits, target, 0.5)
    value, gradient = bce_dice(logits, target, weight=0.2, eps=0.5)
    assert value == pytest.approx(0.2 * b + 0.8 * d)
    np.testing.assert_allclose(gradient, 0.2 * db + 0.8 * dd)


def test_bce_dice_gives_both_half_the_weight_by_default(rng):
    logits, target = rng.normal(size=(2, 6)), np.ones((2, 6))
    expected = (bce(logits, target)[0] + dice(logits, target)[0]) / 2
    assert bce_dice(logits, target)[0] == pytest.approx(expected)


@pytest.mark.parametrize("K", [2, 3, 10])
def test_cross_entropy_of_chance_is_log_k(K):
    value, gradient = categorical_cross_entropy(np.full((4, K), 7.0), np.arange(4) % K)
    assert value == pytest.approx(log(K))
    assert gradient[0, 0] == pytest.approx((1 / K - 1) / 4)
    np.testing.assert_allclose(gradient.sum(axis=1), 0, atol=1e-15)


def test_cross_entropy_worked_by_hand():
    logits = np.log([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3]])
    value, gradient = categorical_cross_entropy(logits, np.array([0, 2]))
    assert value == pytest.approx(-(log(0.7) + log(0.3)) / 2)
    np.testing.assert_allclose(gradient, [[-0.15, 0.1, 0.05], [0.05, 0.3, -0.35]])


@pytest.mark.parametrize(("label", "expected"), [(0, 0), (1, 2 * SURE)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_stays_finite_at_huge_logits(label, expected, dtype):
    logits = np.array([[SURE, -SURE]], dtype)
    value, gradient = categorical_cross_entropy(logits, np.array([label]))
    assert value == expected
    assert gradient.tolist() == [[0, 0]] if label == 0 else [[1, -1]]


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_cross_entropy_takes_labels_of_any_integer_type(dtype, rng):
    logits, labels = rng.normal(size=(3, 4)), np.array([3, 0, 2])
    value = categorical_cross_entropy(logits, labels.astype(dtype))[0]
    assert value == categorical_cross_entropy(logits, labels)[0]


@pytest.mark.parametrize("loss", [mse, bce, dice, bce_dice])
def test_loss_names_both_shapes_and_both_dtypes(loss):
    with pytest.raises(ValueError, match=r"got \(2, 3, 3, 1\) and \(2, 3, 3\)"):
        loss(np.zeros((2, 3, 3, 1)), np.zeros((2, 3, 3)))
    with pytest.raises(TypeError, match="got float32 and float64"):
        loss(np.zeros(3, np.float32), np.zeros(3))


@pytest.mark.parametrize("dtype", [np.float16, np.int64, np.complex128])
def test_cross_entropy_takes_no_logits_of_another_dtype(dtype):
    with pytest.raises(TypeError, match=f"logits must be .* got {np.dtype(dtype)}"):
        categorical_cross_entropy(np.zeros((2, 3), dtype), np.array([0, 1]))


@pytest.mark.parametrize("labels", [(4,), (3, 5), ()])
def test_cross_entropy_names_both_shapes(labels):
    with pytest.raises(ValueError, match=r"\(N, K\) and labels \(N,\), got \(3, 5\) and"):
        categorical_cross_entropy(np.zeros((3, 5)), np.zeros(labels, int))


def test_cross_entropy_refuses_labels_that_are_not_integers():
    with pytest.raises(TypeError, match="integers, got float64"):
        categorical_cross_entropy(np.zeros((3, 5)), np.zeros(3))


# ---------------------------------------------------------------------------- what is no target


@pytest.mark.parametrize("loss", [bce, dice, bce_dice])
@pytest.mark.parametrize("bad", [255.0, -1e-6, 1 + 1e-6, np.nan, np.inf])
def test_target_outside_0_to_1_is_refused(loss, bad):
    target = np.array([[0.0, 1.0, bad]])
    with pytest.raises(ValueError, match=r"targets must be in 0..1, .*, got"):
        loss(np.zeros((1, 3)), target)


@pytest.mark.parametrize("loss", [bce, dice, bce_dice])
@pytest.mark.parametrize("bad", [255.0, -1e-6, np.nan])
def test_target_outside_0_to_1_is_not_a_number_on_a_device_where_an_error_would_wait(loss, bad):
    logits = np.array([[0.3, -2, 1.5], [1, 2, 3]], np.float32)
    target = np.array([[0, 1, 1], [0.25, 0, 1]], np.float32)
    expected = loss(logits, target)
    value, gradient = loss(standin.asarray(logits), standin.asarray(target))
    assert float(value) == pytest.approx(float(expected[0])) and value.dtype == np.float32
    np.testing.assert_allclose(gradient.get(), expected[1], rtol=1e-5)
    target[0, 0] = bad
    assert np.isnan(float(loss(standin.asarray(logits), standin.asarray(target))[0]))


@pytest.mark.parametrize(("label", "dtype"), [(-1, np.int64), (3, np.int8), (255, np.uint8)])
def test_label_that_is_no_class_is_refused_and_on_a_device_not_a_number(label, dtype):
    logits, labels = np.zeros((2, 3), np.float32), np.array([1, label], dtype)
    with pytest.raises(ValueError, match=r"labels must be classes in 0..2, got"):
        categorical_cross_entropy(logits, labels)
    value, _ = categorical_cross_entropy(*map(standin.asarray, (logits, labels)))
    assert np.isnan(float(value))


@pytest.mark.parametrize("loss", [mse, bce, dice, bce_dice])
def test_no_image_or_whole_numbers_have_no_loss(loss):
    with pytest.raises(ValueError, match=r"empty, of shape \(0, 4, 4, 1\)"):
        loss(np.zeros((0, 4, 4, 1)), np.zeros((0, 4, 4, 1)))
    for dtype in (np.uint8, np.int64, np.float16):
        with pytest.raises(TypeError, match=f"float32 or float64, got {np.dtype(dtype)}"):
            loss(np.zeros((1, 4), dtype), np.zeros((1, 4), dtype))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0)])
def test_cross_entropy_of_nothing_is_refused(shape):
    with pytest.raises(ValueError, match=r"logits must be \(N, K\) and labels"):
        categorical_cross_entropy(np.zeros(shape), np.zeros(shape[0], int))


@pytest.mark.parametrize("loss", [mse, bce, dice, bce_dice])
def test_list_has_no_loss(loss):
    with pytest.raises(TypeError, match="target must be an array, got list"):
        loss(np.zeros((2, 1)), [[0.0], [1.0]])
    with pytest.raises(TypeError, match="prediction must be an array, got float"):
        loss(0.5, np.zeros((2, 1)))


def test_labels_in_a_list_are_refused():
    with pytest.raises(TypeError, match="labels must be an array of integers, got list"):
        categorical_cross_entropy(np.zeros((2, 3)), [0, 1])


@pytest.mark.parametrize("loss", [dice, bce_dice])
def test_dice_of_one_number_is_refused(loss):
    with pytest.raises(ValueError, match=r"logits must be \(N, ...\), .* got shape \(\)"):
        loss(np.array(0.5), np.array(1.0))


# ---------------------------------------------------------------------------- not known, K classes


@pytest.mark.parametrize(("loss", "expected"), [(known_mse, (9 + 4) / 2), (known_bce, log(2))])
@pytest.mark.parametrize("on", [np.asarray, standin.asarray])
def test_what_is_not_known_is_left_out(loss, expected, on):
    known = np.array([[3.0, np.nan], [np.nan, 2]], np.float32) * (loss is known_mse)
    value, gradient = loss(on(np.zeros((2, 2), np.float32)), on(known))
    assert float(value) == pytest.approx(expected) and value.dtype == gradient.dtype == np.float32
    gradient = gradient if on is np.asarray else gradient.get()
    assert gradient[0, 1] == gradient[1, 0] == 0 and (np.diag(gradient) != 0).all()


@pytest.mark.parametrize("loss", [known_mse, known_bce])
def test_batch_of_which_nothing_is_known_teaches_nothing(loss):
    value, gradient = loss(np.ones((2, 3)), np.full((2, 3), np.nan))
    assert value == 0 and not gradient.any()


@pytest.mark.parametrize("loss", [known_mse, known_bce])
def test_prediction_that_is_no_number_is_not_taken_for_unknown(loss):
    assert np.isnan(loss(np.array([[np.nan, 1]]), np.array([[1.0, np.nan]]))[0])


def test_several_labels_must_be_in_0_to_1():
    with pytest.raises(ValueError, match=r"targets must be in 0..1, .* got 0.0 to 2.0"):
        known_bce(np.zeros((1, 3)), np.array([[0, 2, np.nan]]))


@pytest.mark.parametrize(
    ("masks", "predictions", "dice_loss"),
    [
        ("0120", "0120", 0),
        ("0000", "0000", 0),  # of the absent classes too, as 0 pixels are predicted
        ("0000", "0001", (1 - 7 / 8 + 1 / 2 + 0) / 3),  # 3 of 4 + 3; S / (S + eps)
        ("0011", "0022", (0 + (1 - 1 / 3) + 2 / 3) / 3),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_dice_of_hand_counted_masks(masks, predictions, dice_loss, dtype):
    target = np.array([[list(map(int, masks))]], np.uint8)
    logits = (SURE * np.eye(3)[[[list(map(int, predictions))]]]).astype(dtype)
    assert softmax_dice(logits, target, weight=0)[0] == pytest.approx(dice_loss, abs=1e-7)
    ce = categorical_cross_entropy(logits[0, 0], target[0, 0])[0]
    assert softmax_dice(logits, target)[0] == pytest.approx((ce + dice_loss) / 2, abs=1e-6)


def test_softmax_dice_takes_masks_as_examples_give_them(rng):
    logits, masks = rng.normal(size=(2, 3, 4, 3)), rng.integers(0, 3, (2, 3, 4), np.uint8)
    value, gradient = softmax_dice(logits, masks)
    again, same = softmax_dice(logits, masks.astype(np.float32)[..., None])
    assert value == again and (gradient == same).all()


def test_mask_of_no_class_is_refused_and_on_a_device_not_a_number():
    logits, masks = np.zeros((1, 2, 2, 3), np.float32), np.array([[[0, 1], [2, 3]]], np.uint8)
    with pytest.raises(ValueError, match=r"classes in 0..2, got 0 to 3"):
        softmax_dice(logits, masks)
    assert np.isnan(float(softmax_dice(*map(standin.asarray, (logits, masks)))[0]))


@pytest.mark.parametrize("shape", [(2, 4, 4, 3), (2, 4, 5), (2,)])
def test_softmax_dice_names_both_shapes(shape):
    with pytest.raises(ValueError, match=r"and masks \(N, H, W\), got \(2, 4, 4, 3\) and \(2,"):
        softmax_dice(np.zeros((2, 4, 4, 3)), np.zeros(shape, int))
