"""The weights of the joint loss, on two or three tasks whose answer is known by hand."""

import numpy as np
import pytest
import standin
from small_tasks import CPU

from ums.backend import Device
from ums.finetuning.weighting import ByHand, Equal, GradNorm, Uncertainty
from ums.optimizers import SGD, Adam


def array(*values):
    return np.array(values, np.float32)


def settle(weighting, losses, norms_of, steps):
    """Weights after many steps with the same losses; ``norms_of(w)`` are the weighted norms."""
    weighting.start(len(losses), CPU)
    for _ in range(steps):
        weighting.update(losses, norms_of(weighting.weights))
    return weighting.weights


# ---------------------------------------------------------------------------- fixed


def test_equal_weights_are_one_whatever_happens():
    weighting = Equal()
    weighting.start(3, CPU)
    weighting.update(array(1, 2, 3), array(9, 1, 4))
    assert weighting.weights.tolist() == [1, 1, 1]


def test_weights_by_hand_stay_as_given():
    weighting = ByHand(0.25, 4)
    weighting.start(2, CPU)
    weighting.update(array(1, 2), array(9, 1))
    assert weighting.weights.tolist() == [0.25, 4]


@pytest.mark.parametrize("bad", [0, -1, float("nan"), float("inf")])
def test_weight_by_hand_that_is_not_positive_is_refused(bad):
    with pytest.raises(ValueError, match=r"weights must be positive, got \(1, "):
        ByHand(1, bad)


@pytest.mark.parametrize(
    ("weighting", "what"),
    [(ByHand(1, 2), "weights"), (Uncertainty([True, False]), "marks of regression")],
)
def test_weighting_for_another_number_of_tasks_is_refused(weighting, what):
    with pytest.raises(ValueError, match=f"there are 2 {what} for 3 tasks"):
        weighting.start(3, CPU)


@pytest.mark.parametrize("make", [Equal, lambda: ByHand(1, 2), Uncertainty, GradNorm])
def test_weights_read_before_a_step_stay_what_they_were(make):
    weighting = make()
    weighting.start(2, CPU)
    before = weighting.weights
    kept = before.copy()
    weighting.update(array(1, 2), array(9, 1))
    assert before.dtype == weighting.weights.dtype == np.float32
    assert before.tolist() == kept.tolist()


@pytest.mark.parametrize("make", [Uncertainty, GradNorm])
def test_learned_weights_begin_anew_for_another_tuning(make):
    def learn(weighting, *steps):
        weighting.start(2, CPU)
        for losses in steps:
            weighting.update(losses, array(5, 5))
        return weighting.weights.tolist()

    used = make()
    learn(used, array(9, 1), array(1, 9))
    steps = array(1, 2), array(0.5, 1.8)  # the first task learns faster
    assert learn(used, *steps) == learn(make(), *steps) != [1, 1]


@pytest.mark.parametrize("make", [Equal, lambda: ByHand(1, 2), Uncertainty, GradNorm])
def test_weights_lie_on_the_device(make):
    device, weighting = Device(standin, "stand-in"), make()
    weighting.start(2, device)
    for _ in range(2):
        assert isinstance(weighting.weights, standin.ndarray)
        weighting.update(device.put(array(1, 2)), device.put(array(9, 1)))


# ---------------------------------------------------------------------------- uncertainty


def test_step_of_uncertainty_worked_by_hand():
    weighting = Uncertainty([False, True], SGD, 0.1)
    weighting.start(2, CPU)
    assert weighting.weights.tolist() == [1, 0.5]
    weighting.update(array(3, 4), array(0, 0))  # ds = 1 - 3 and 1 - 4 / 2
    np.testing.assert_allclose(weighting.s.value, [0.2, 0.1], rtol=1e-6)
    np.testing.assert_allclose(weighting.weights, [np.exp(-0.2), 0.5 * np.exp(-0.1)], rtol=1e-6)


@pytest.mark.parametrize(("optimizer", "rate"), [(SGD, 0.1), (Adam, 0.05)])
def test_uncertainty_of_steady_losses_becomes_their_logarithm(optimizer, rate):
    weighting = Uncertainty(None, optimizer, rate)
    losses = array(0.2, 3)
    w = settle(weighting, losses, lambda w: w, steps=500)
    np.testing.assert_allclose(weighting.s.value, np.log(losses), atol=1e-3)
    np.testing.assert_allclose(w, 1 / losses, rtol=1e-3)


def test_regression_has_half_its_loss_and_ends_at_the_same_weight():
    weighting = Uncertainty([True, False], SGD, 0.1)
    w = settle(weighting, array(3, 3), lambda w: w, steps=500)
    np.testing.assert_allclose(weighting.s.value, [np.log(3 / 2), np.log(3)], atol=1e-3)
    np.testing.assert_allclose(w, [1 / 3, 1 / 3], rtol=1e-3)


def test_uncertainty_follows_the_slope_of_its_loss(rng):
    weighting, losses, step = Uncertainty([False, True, False], SGD, 1.0), array(0.3, 2, 5), 1e-5
    weighting.start(3, CPU)
    s = weighting.s.value = rng.normal(size=3)

    def total(s):
        return (np.array([1, 0.5, 1]) * np.exp(-s) * losses + s).sum()

    slope = [(total(s + step * e) - total(s - step * e)) / (2 * step) for e in np.eye(3)]
    before = s.copy()
    weighting.update(losses, None)
    np.testing.assert_allclose(before - weighting.s.value, slope, rtol=1e-6)


# ---------------------------------------------------------------------------- GradNorm


def test_step_of_gradnorm_worked_by_hand():
    weighting = GradNorm(alpha=1, optimizer=SGD, learning_rate=0.01)
    weighting.start(2, CPU)
    weighting.update(array(4, 2), array(3, 5))  # the first: r = 1; mean norm 4; slopes -3 and 5
    first = np.array([1.03, 0.95]) * 2 / 1.98
    np.testing.assert_allclose(weighting.weights, first, rtol=1e-6)
    # left: 1/2 and 1, r = 2/3 and 4/3; mean norm 6; drawn to 4 and 8; slopes 9 / w_1 and -3 / w_2
    weighting.update(array(2, 2), array(9, 3))
    second = first - 0.01 * np.array([9, -3]) / first
    np.testing.assert_allclose(weighting.weights, second * 2 / second.sum(), rtol=1e-6)


@pytest.mark.parametrize(("optimizer", "rate"), [(SGD, 1e-3), (Adam, 2e-3)])
@pytest.mark.parametrize("alpha", [0, 1.5])
def test_gradnorm_weighs_by_the_inverse_of_the_norms_at_equal_training_rates(
    optimizer, rate, alpha
):
    g = array(10, 1)
    w = settle(GradNorm(alpha, optimizer, rate), array(5, 0.1), lambda w: w * g, steps=1500)
    np.testing.assert_allclose(w, [2 / 11, 20 / 11], atol=0.02)


@pytest.mark.parametrize(("alpha", "ratio"), [(0, 1), (1, 2), (2, 3.5)])
def test_gradnorm_favours_the_task_that_lags_behind(alpha, ratio):
    # r = 4/3 and 2/3; with alpha = 2 the norms cannot both be 16/9 and 4/9: they become 14/9 and 4/9
    weighting = GradNorm(alpha, SGD, 1e-3)
    weighting.start(2, CPU)
    for losses in [array(3, 3)] + 2000 * [array(3, 1.5)]:  # the second has halved its loss
        weighting.update(losses, weighting.weights * array(1, 1))
    w = weighting.weights
    assert w[0] / w[1] == pytest.approx(ratio, rel=0.02)


def test_gradnorms_weights_sum_to_the_number_of_tasks_and_stay_positive(rng):
    weighting = GradNorm(optimizer=SGD, learning_rate=5.0)  # far too fast
    weighting.start(3, CPU)
    for _ in range(50):
        weighting.update(array(*rng.uniform(0, 3, 3)), array(*rng.uniform(0, 3, 3)))
        assert (weighting.weights > 0).all()
        assert weighting.weights.sum() == pytest.approx(3, rel=1e-5)


def test_gradnorm_stands_losses_and_gradients_of_zero():
    weighting = GradNorm()
    weighting.start(2, CPU)
    for losses in (array(0, 1), array(0, 0)):
        weighting.update(losses, array(0, 0))
    assert weighting.weights.tolist() == [1, 1]


@pytest.mark.parametrize("made", [
    lambda v: Uncertainty(learning_rate=v), lambda v: GradNorm(learning_rate=v), ByHand,
])  # fmt: skip
@pytest.mark.parametrize("value", [0, -0.1, np.inf, np.nan])
def test_rates_and_weights_that_cannot_be_are_refused(made, value):
    with pytest.raises(ValueError, match=f"must be .*positive.*{value}"):
        made(value)


@pytest.mark.parametrize("alpha", [-1, np.inf, np.nan])
def test_alpha_that_cannot_be_is_refused(alpha):
    with pytest.raises(ValueError, match=f"alpha must be 0 or more, got {alpha}"):
        GradNorm(alpha)
