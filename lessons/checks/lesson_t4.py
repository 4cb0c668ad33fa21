"""Checks of task 4: two losses by hand-worked numbers, against BCE and Dice, by differences."""

import warnings
from math import log

import numpy as np

from lessons.checking import CheckFailed, as_array, check, require
from lessons.checks.gradients import Unchanged
from ums.gradcheck import GradientError, check_loss
from ums.ops import bce, dice

SURE = 1000.0
HINT = "Does each image have sums of its own, is the mean taken last, and where does eps stand?"


@check
def focal(focal):
    """as worked out by hand, half the BCE for gamma = 0, finite at 1000, right by differences."""
    _kinds(focal)
    for p, t, alpha, gamma in (
        (0.75, 1, 0.25, 2), (0.75, 0, 0.25, 2), (0.5, 1, 0.9, 1), (0.1, 1, 0.5, 3), (0.9, 0, 0.5, 0.5),
    ):  # fmt: skip
        z = log(p / (1 - p)) * (1 if t else -1)
        expected = -(alpha if t else 1 - alpha) * (1 - p) ** gamma * log(p)
        value, _ = _of_pixels(focal, [z], [t], alpha, gamma)
        _compare(
            value, expected, f"one pixel with t = {t}, p = {p:g}, alpha = {alpha:g}, gamma = {gamma:g}",
            "Is p the probability of the true answer, and is w that of this t?",
        )  # fmt: skip
    z, t = _example()
    value, gradient = focal(z, t, 0.5, 0.0)
    expected, slope = bce(z, t)
    _compare(
        value,
        expected / 2,
        "alpha = 1/2 and gamma = 0, half the BCE",
        "Over what is the mean taken?",
    )
    require(
        np.allclose(gradient, slope / 2, atol=1e-12),
        "for alpha = 1/2 and gamma = 0 the gradient should be half that of the BCE, and it is not. Are "
        "its sign and its mean those of the value?",
    )
    for z, t, expected in (
        (SURE, 1, 0),
        (-SURE, 0, 0),
        (SURE, 0, 0.75 * SURE),
        (-SURE, 1, SURE / 4),
    ):
        for gamma in (0.0, 0.5, 2.0):
            _at_1000(focal, z, t, expected, (0.25, gamma))
    for gamma in (0.0, 0.5, 1.0, 2.0, 3.5):
        _by_differences(
            lambda z, t, g=gamma: focal(z, t, 0.3, g), f"alpha = 0.3, gamma = {gamma:g}"
        )


@check
def tversky(tversky):
    """as worked out by hand, a Dice loss where both prices are 1/2, finite, right by differences."""
    _kinds(tversky)
    for true, marked, expected in (
        ("1100", "1100", 0),
        ("1100", "0110", 1 - 2 / (2 + 0.3 + 0.7)),
        ("1000", "1110", 1 - 2 / (2 + 0.3 * 2)),
        ("1110", "1000", 1 - 2 / (2 + 0.7 * 2)),
        ("0000", "0000", 0),
        ("0000", "1110", 1 - 1 / (1 + 0.3 * 3)),
        ("1110", "0000", 1 - 1 / (1 + 0.7 * 3)),
    ):
        value, _ = _of_pixels(tversky, _sure(marked), _digits(true))
        _compare(
            value, expected, f"mask {true}, sure prediction {marked}, alpha = 0.3, beta = 0.7, eps = 1",
            "Count A, B and C of these four pixels by hand. Which has which price, and where is eps?",
        )  # fmt: skip
    z, t = _example()
    for eps in (0.5, 3.0):
        value, gradient = tversky(z, t, 0.5, 0.5, eps)
        expected, slope = dice(z, t, 2 * eps)
        _compare(value, expected, f"alpha = beta = 1/2 and eps = {eps:g}, a Dice loss", HINT)
        require(
            np.allclose(gradient, slope, atol=1e-12),
            "for alpha = beta = 1/2 the gradient should be that of a Dice loss, and it is not",
        )
    for marked in ("1111", "0000"):
        gradient = _of_pixels(tversky, np.float32(_sure(marked)), np.float32([1, 0, 1, 0]))[1]
        as_array(gradient, "the gradient at logits of 1000 and -1000", (1, 1, 4, 1), np.float32)
    for alpha, beta, eps in ((0.3, 0.7, 1.0), (0.9, 0.2, 0.1)):
        _by_differences(
            lambda z, t, a=alpha, b=beta, e=eps: tversky(z, t, a, b, e),
            f"alpha = {alpha:g}, beta = {beta:g}, eps = {eps:g}",
        )


@check
def reductions(focal, tversky):
    """mean, sum and none agree with each other, and anything else is refused."""
    for loss in (focal, tversky):
        _check_reductions(loss, loss.__name__)


def _check_reductions(loss, name):
    z, t = _example()
    N = len(z)
    alone = [loss(z[n : n + 1], t[n : n + 1]) for n in range(N)]
    values = np.array([float(value) for value, _ in alone])
    gradients = np.concatenate([gradient for _, gradient in alone])
    for reduction, value, scale in (
        ("none", values, 1), ("sum", values.sum(), 1), ("mean", values.mean(), 1 / N),
    ):  # fmt: skip
        given = Unchanged(logits=z, target=t)
        found, gradient = _pair(loss(z, t, reduction=reduction))
        given.check()
        require(
            np.shape(found) == np.shape(value),
            f'{name} with reduction "{reduction}" should have a value of shape {np.shape(value)} for {N} '
            f"images, got {np.shape(found)}",
        )
        require(
            np.allclose(found, value),
            f'{name} with reduction "{reduction}": {found}, expected {value}, from what each image has '
            "alone",
        )
        as_array(gradient, f'the gradient of {name} with reduction "{reduction}"', z.shape)
        require(
            np.allclose(gradient, scale * gradients, atol=1e-12),
            f'{name} with reduction "{reduction}": the value is right and the gradient is not. It should be '
            f"that of each image alone{'' if scale == 1 else ', divided by N'}",
        )
    for what, arguments, options in (
        ("an unknown reduction", (z, t), {"reduction": "median"}),
        ("a target of another shape", (z, t[:, :, :2]), {}),
        ("a target without its last axis", (z[:1, :1], t[:1, :1, :, 0]), {}),
    ):
        _check_refused(loss, name, what, arguments, options)


def _check_refused(loss, name, what, arguments, options):
    try:
        loss(*arguments, **options)
    except ValueError:
        return
    except Exception as error:
        found = f"it raised {type(error).__name__}"
    else:
        found = "it returned something"
    raise CheckFailed(f"{name} should raise ValueError for {what}; {found}")


def _example():
    """Logits and targets (3, 4, 5, 1), float64; the last target is empty."""
    rng = np.random.default_rng(0)
    t = (rng.random((3, 4, 5, 1)) < 0.4).astype(float)
    t[2] = 0
    return rng.normal(0, 2, t.shape), t


def _digits(mask):
    return np.array([float(pixel) for pixel in mask])


def _sure(mask):
    return (2 * _digits(mask) - 1) * SURE


def _of_pixels(loss, z, t, *settings):
    """Value and gradient of one image, a row of pixels."""
    z, t = np.asarray(z), np.asarray(t)
    z, t = (a.reshape(1, 1, -1, 1).astype(z.dtype) for a in (z, t))
    with np.errstate(all="ignore"):
        return _pair(loss(z, t, *settings))


def _pair(answer):
    require(
        isinstance(answer, tuple | list) and len(answer) == 2,
        f"it should return the value and the gradient, got {type(answer).__name__}",
    )
    return answer


def _compare(value, expected, what, hint):
    require(
        np.shape(value) == () and abs(float(value) - float(expected)) < 1e-6,
        f"{what}: the loss is {float(expected):.6f}, yours {value}. {hint}",
    )


def _kinds(loss):
    """One number and a gradient of the logits' shape and dtype; the arguments stay as they are."""
    for dtype in (np.float32, np.float64):
        z, t = (a.astype(dtype) for a in _example())
        given = Unchanged(logits=z, target=t)
        value, gradient = _pair(loss(z, t))
        given.check()
        require(
            np.shape(value) == (),
            "without a reduction given the value is the mean, one number; yours has the shape "
            f"{np.shape(value)}",
        )
        as_array(gradient, f"the gradient of {np.dtype(dtype)} logits", z.shape, dtype)


def _at_1000(loss, z, t, expected, settings):
    logits, target = (np.full((1, 1, 1, 1), a, np.float32) for a in (z, t))
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        value, gradient = _pair(loss(logits, target, *settings))
    where = f"at the logit {z:g} with t = {t} (alpha {settings[0]:g}, gamma {settings[1]:g})"
    require(
        np.isfinite(value) and abs(value - expected) < 1e-3,
        f"{where} the loss is {expected:g}, yours is {value}. Which exponential, logarithm or power leaves "
        "the range of float32?",
    )
    as_array(gradient, f"the gradient {where}", (1, 1, 1, 1))
    require(
        not heard,
        f"{where} NumPy warns: {heard[0].message if heard else ''}. Which exponent is positive and large, "
        "and need it be?",
    )


def _by_differences(loss, what):
    z, t = _example()
    try:
        check_loss(loss, z, t, rng=np.random.default_rng(1))
    except GradientError as error:
        raise CheckFailed(
            f"with {what} the values are right and the gradient is not: {error}.\n   Differentiate the "
            "loss of one pixel by hand, and think of the means."
        ) from None
