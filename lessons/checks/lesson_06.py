"""Checks of lesson 6: losses worked out by hand, at logits of 1000, on empty masks, by differences."""

from math import log

import numpy as np

from lessons.checking import CheckFailed, as_array, check, require
from lessons.checks.gradients import Unchanged
from ums.gradcheck import GradientError, check_gradients
from ums.ops import bce as library_bce
from ums.ops import dice as library_dice

SURE = 1000.0


@check
def bce(bce):
    """as worked out by hand, finite at logits of 1000, its gradient as central differences have it."""
    _kinds(bce, *_example())
    coin, _ = bce(np.zeros((2, 5)), np.ones((2, 5)))
    require(
        abs(coin - log(2)) < 1e-9,
        f"a pixel at z = 0 costs log 2 = 0.693, and so does the mean of ten of them; yours is {coin:.4g}",
    )
    for z, t, expected in ((2.0, 1, 0.126928), (2.0, 0, 2.126928), (-2.0, 1, 2.126928)):
        value, _ = bce(np.array([z]), np.array([float(t)]))
        require(
            abs(value - expected) < 1e-5,
            f"z = {z:g} and t = {t} cost {expected:.4f}, yours is {value:.4f}. Which of the two logarithms "
            "counts for this t?",
        )
    for z, t, expected in ((SURE, 1, 0), (-SURE, 0, 0), (SURE, 0, SURE), (-SURE, 1, SURE)):
        _at_1000(bce, np.array([[z]], np.float32), np.array([[t]], np.float32), expected)
    rng = np.random.default_rng(0)
    target = (rng.random((2, 3, 4, 1)) < 0.4).astype(float)
    _by_differences(bce, rng.normal(size=target.shape), target)


@check
def dice(dice):
    """as worked out by hand, on empty masks and at logits of 1000, its gradient as differences have it."""
    _kinds(dice, *_example())
    for true, predicted, expected, hint in (
        ("1100", "1100", 0, "the prediction is perfect"),
        ("1100", "0110", 1 - 3 / 5, "one pixel in common"),
        ("1100", "0000", 1 - 1 / 3, "nothing is predicted"),
        ("0000", "0000", 0, "nothing is there and nothing is predicted: what decides is eps"),
        ("0000", "1110", 3 / 4, "nothing is there: with S pixels predicted it is S / (S + eps)"),
    ):
        value, gradient = _quietly(dice, _image(predicted) * 2 * SURE - SURE, _image(true))
        require(
            abs(value - expected) < 1e-6,
            f"for the mask {true} and the sure prediction {predicted} the loss is {expected:.4f}, yours is "
            f"{value:.4f} ({hint})",
        )
        as_array(gradient, f"the gradient at logits of {SURE:g}", (1, 1, 4, 1))
    value, _ = _quietly(dice, _image("1110") * 2 * SURE - SURE, _image("0000"), 0.5)
    require(
        abs(value - 6 / 7) < 1e-6,
        "with eps = 0.5, three pixels predicted and nothing there the loss is 3 / 3.5 = 0.8571, yours is "
        f"{value:.4f}: is it the eps that was passed in?",
    )
    value, _ = _quietly(dice, _image("0000"), _image("1100"))
    require(
        abs(value - 0.4) < 1e-6,
        "for the mask 1100 and logits of 0, each y 1/2, the loss is 1 - (2 + 1) / (2 + 2 + 1) = 0.4, "
        f"yours is {value:.4f}: is y the sigmoid itself, neither rounded nor squared?",
    )
    two = _image("1100", "0001"), _image("1110", "0000")
    value, _ = _quietly(dice, two[1] * 2 * SURE - SURE, two[0])
    expected = (1 - 5 / 6 + 1 - 1 / 2) / 2
    require(
        abs(value - expected) < 1e-6,
        f"two images with the losses 1/6 and 1/2 have the mean {expected:.4f}, yours is {value:.4f}. Over "
        "which axes do the sums run, and when is the mean taken?",
    )
    rng = np.random.default_rng(0)
    target = (rng.random((3, 3, 4, 1)) < 0.4).astype(float)
    _by_differences(dice, rng.normal(size=target.shape), target)


@check
def bce_dice(bce_dice):
    """the weighted sum of both, value and gradient, the weight on BCE."""
    rng = np.random.default_rng(0)
    target = (rng.random((2, 3, 4, 1)) < 0.4).astype(float)
    logits = rng.normal(size=target.shape)
    _kinds(bce_dice, logits, target)
    for weight in (1.0, 0.0, 0.25):
        (b, db), (d, dd) = library_bce(logits, target), library_dice(logits, target)
        value, gradient = bce_dice(logits, target, weight)
        as_array(gradient, "the gradient", logits.shape)
        require(
            abs(value - (weight * b + (1 - weight) * d)) < 1e-9,
            f"with weight = {weight:g} yours is {value:.4f}; BCE here is {b:.4f} and Dice {d:.4f}",
        )
        require(
            np.allclose(gradient, weight * db + (1 - weight) * dd, atol=1e-12),
            f"with weight = {weight:g} the value is right and the gradient is not: how does the gradient "
            "of a weighted sum follow from the gradients of its terms?",
        )
    half, _ = bce_dice(logits, target)
    require(
        abs(half - (library_bce(logits, target)[0] + library_dice(logits, target)[0]) / 2) < 1e-9,
        "without a weight given it should be 1/2 for both",
    )


@check
def categorical_cross_entropy(categorical_cross_entropy):
    """log K where nothing is known, finite at logits of 1000, its gradient as differences have it."""
    f = categorical_cross_entropy
    _kinds(f, np.random.default_rng(2).normal(size=(2, 3)), np.array([0, 2]))
    for K in (3, 10):
        value, _ = f(np.zeros((4, K)), np.arange(4) % K)
        require(
            abs(value - log(K)) < 1e-9,
            f"with {K} equal logits y is 1/{K} for each class and the loss log {K} = {log(K):.4f}, yours "
            f"is {value:.4f}",
        )
    value, _ = f(np.log([[1.0, 2.0, 5.0]]), np.array([1]))
    require(
        abs(value - log(4)) < 1e-9,
        f"logits log 1, log 2, log 5 and the label 1: y is 2/8 there, the loss log 4 = {log(4):.4f}; yours "
        f"is {value:.4f}",
    )
    for z, label, expected in (([SURE, 0, 0], 0, 0), ([SURE, 0, -SURE], 2, 2 * SURE)):
        _at_1000(f, np.array([z], np.float32), np.array([label]), expected)
    rows = np.array([[SURE, 0, 0], [0, 1, 0], [-SURE, 0.5, -SURE]], np.float32)
    value, _ = _quietly(f, rows, np.array([0, 1, 1]))
    expected = (log(np.e + 2) - 1) / 3
    require(
        np.isfinite(value) and abs(value - expected) < 1e-5,
        f"images of very different logits in one batch: the loss is {expected:.4f}, yours {value:.4f}. From "
        "each image's logits, whose largest do you subtract?",
    )
    rng = np.random.default_rng(0)
    _by_differences(f, rng.normal(size=(5, 3)), rng.integers(0, 3, 5))


def _image(*masks):
    """Masks written as "1100", each an image (1, 1, 4, 1) of its own: (N, 1, 4, 1) float64."""
    return np.array([[[[float(pixel)] for pixel in mask]] for mask in masks])


def _quietly(loss, *arguments):
    """What a loss returns, without NumPy's warnings: the check itself says what is wrong."""
    with np.errstate(all="ignore"):
        return loss(*arguments)


def _example():
    """Logits and targets of two images, (2, 3, 3, 1)."""
    rng = np.random.default_rng(2)
    return rng.normal(size=(2, 3, 3, 1)), (rng.random((2, 3, 3, 1)) < 0.5).astype(float)


def _kinds(loss, logits, target):
    """A scalar and a gradient of the logits' shape and type come back, and nothing is changed."""
    answer = loss(logits.astype(np.float32), target.astype(np.float32 if target.ndim > 1 else int))
    require(
        isinstance(answer, tuple | list) and len(answer) == 2,
        f"it should return the value and the gradient, got {type(answer).__name__}",
    )
    require(
        np.shape(answer[0]) == (),
        f"the value should be one number, the mean; yours has the shape {np.shape(answer[0])}",
    )
    as_array(answer[1], "the gradient", logits.shape)
    require(
        answer[1].dtype == np.float32,
        f"the gradient of float32 logits should be float32, got {answer[1].dtype}. A NumPy number of "
        "float64 or int64, such as np.prod returns, makes float64 of an array; a Python number does not.",
    )
    given = Unchanged(logits=logits, target=target)
    loss(logits, target)
    given.check()


def _at_1000(loss, logits, target, expected):
    value, gradient = _quietly(loss, logits, target)
    require(
        np.isfinite(value) and abs(value - expected) < 1e-3,
        f"for the logits {logits[0].tolist()} and the target {target.tolist()} the loss is {expected:g}, "
        f"yours is {value}. Which exponential or logarithm leaves the range of float32?",
    )
    as_array(gradient, f"the gradient at the logits {logits[0].tolist()}", logits.shape)


def _by_differences(loss, logits, target):
    """`check_gradients` of the loss as an op of its logits alone, one scalar out."""

    def forward(z):
        value, gradient = loss(z, target)
        return np.asarray(value), gradient

    try:
        check_gradients(
            forward,
            lambda dy, gradient: dy * gradient,
            {"logits": logits},
            rng=np.random.default_rng(1),
        )
    except GradientError as error:
        raise CheckFailed(
            f"the value is right, its gradient is not: {error}.\n   Differentiate the loss of one image or "
            "pixel, and think of the mean."
        ) from None
