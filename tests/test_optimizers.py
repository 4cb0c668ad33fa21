"""Optimizers by hand-computed steps and against PyTorch's; the schedule on worked sequences."""

import numpy as np
import pytest
from planted_bugs import OPTIMIZERS, hand_steps

from ums import optimizers
from ums.layers import Parameter
from ums.ops.fast import threads
from ums.optimizers import SGD, Adam, CosineDecay, ReduceOnPlateau, RMSprop

GRADIENTS = [0.5, -2.0, 0.0, 1.0, 1.0]
EVERY = pytest.mark.parametrize("name", OPTIMIZERS)


def make(name, *parameters):
    return getattr(optimizers, name)(parameters, **OPTIMIZERS[name])


def steps(optimizer, gradients):
    """The first parameter's positions after each gradient, given to all parameters."""
    positions = []
    for gradient in gradients:
        for parameter in optimizer.parameters:
            parameter.grad = np.full_like(parameter.value, gradient)
        optimizer.step()
        positions.append(optimizer.parameters[0].value.copy())
    return positions


@EVERY
def test_steps_equal_hand_computed_ones(name):
    got = steps(make(name, Parameter(np.array([3.0]))), GRADIENTS)
    np.testing.assert_allclose(np.ravel(got), hand_steps(name, 3.0, GRADIENTS), rtol=1e-12)


@EVERY
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("count", ["1", "3"])
def test_moved_in_bands_large_parameters_have_the_same_bits(name, order, count, rng, monkeypatch):
    monkeypatch.setenv("UMS_THREADS", count)
    start, gradients = rng.normal(size=(4, 25)), rng.normal(size=(3, 4, 25))
    whole = steps(make(name, Parameter(start.copy())), gradients)
    monkeypatch.setattr(threads, "BAND", 7)
    monkeypatch.setattr(threads, "TILE_BYTES", 7 << 20)
    moved = steps(make(name, Parameter(start.copy(order))), gradients)
    np.testing.assert_array_equal(moved, whole)


def test_plain_gradient_descent_worked_by_hand():
    got = steps(SGD([Parameter(np.array([1.0]))], learning_rate=0.5), [2.0, -4.0])
    assert np.ravel(got).tolist() == [0, 2]


def test_momentum_worked_by_hand():
    got = steps(SGD([Parameter(np.array([0.0]))], 1.0, momentum=0.5), [1.0, 1.0, 1.0])
    assert np.ravel(got).tolist() == [-1, -2.5, -4.25]


@pytest.mark.parametrize("gradient", [1e-3, 1.0, -1e3])
def test_first_adam_step_is_the_learning_rate_whatever_the_gradient(gradient):
    got = steps(Adam([Parameter(np.array([0.0]))], 0.01), [gradient])
    np.testing.assert_allclose(got[0], -0.01 * np.sign(gradient), rtol=1e-4)


@EVERY
def test_parameter_without_a_gradient_is_left_with_its_state(name):
    moved, still = Parameter(np.array([1.0])), Parameter(np.array([1.0]))
    optimizer = make(name, moved, still)
    moved.grad = np.array([2.0])
    optimizer.step()
    assert moved.value[0] != 1 and still.value[0] == 1
    assert optimizer.steps == [1, 0]
    assert not any(values[1].any() for values in optimizer.state.values())
    still.grad = np.array([2.0])  # its first step is a first step
    moved.grad = None
    optimizer.step()
    assert still.value[0] == moved.value[0]


@EVERY
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_step_is_in_place_and_keeps_dtype_and_gradient(name, dtype):
    parameter = Parameter(np.ones((2, 3), dtype))
    value, optimizer = parameter.value, make(name, parameter)
    parameter.grad = gradient = np.full((2, 3), 0.5, dtype)
    optimizer.step()
    assert parameter.value is value and parameter.grad is gradient
    assert (gradient == 0.5).all() and (value < 1).all()
    assert {a.dtype for values in optimizer.state.values() for a in values} == {np.dtype(dtype)}


@EVERY
def test_run_that_was_saved_goes_on_as_if_nothing_had_happened(name):
    whole = steps(make(name, Parameter(np.array([3.0]))), GRADIENTS)
    first = make(name, Parameter(np.array([3.0])))
    steps(first, GRADIENTS[:2])
    first.learning_rate = 0.1
    second = make(name, Parameter(first.parameters[0].value.copy()))
    second.learning_rate = 77
    second.load_state_dict({key: value.copy() for key, value in first.state_dict().items()})
    np.testing.assert_array_equal(steps(second, GRADIENTS[2:]), whole[2:])


@EVERY
def test_learning_rate_must_be_positive(name):
    for rate in (0, -1e-3, float("nan")):
        with pytest.raises(ValueError, match=f"must be a positive number, got {rate}"):
            getattr(optimizers, name)([], learning_rate=rate)


@pytest.mark.parametrize(("optimizer", "shown"), [
    (SGD([]), "SGD(learning_rate=0.01)"), (Adam([], 3e-4), "Adam(learning_rate=0.0003)"),
])  # fmt: skip
def test_optimizer_shows_what_it_is(optimizer, shown):
    assert repr(optimizer) == shown


@pytest.mark.parametrize(
    ("optimizer", "first", "second"),
    [
        (SGD, 0.01, 0.01),
        (RMSprop, 1e-3 / (0.1**0.5 + 1e-7), 1e-3 / (0.19**0.5 + 1e-7)),
        (Adam, 1e-3 / (1 + 1e-8), 1e-3 / (1 + 1e-8)),
    ],
)
def test_steps_by_the_stated_defaults(optimizer, first, second):
    positions = steps(optimizer([Parameter(np.array([0.0]))]), [1.0, 1.0])
    assert np.diff([0, *np.ravel(positions)]) == pytest.approx([-first, -second], rel=1e-9)


@EVERY
def test_optimizer_finds_the_bottom_of_a_bowl(name):
    parameter = Parameter(np.array([3.0, -2.0]))
    optimizer = make(name, parameter)
    optimizer.learning_rate = 0.02
    for _ in range(500):
        parameter.grad = 2 * parameter.value * [1, 3]
        optimizer.step()
    assert abs(parameter.value).max() < 0.05


TORCH = [
    (SGD, {"momentum": 0.9}, "SGD", {"momentum": 0.9}),
    (SGD, {}, "SGD", {}),
    (RMSprop, {"rho": 0.9, "eps": 1e-2}, "RMSprop", {"alpha": 0.9, "eps": 1e-2}),
    (Adam, {}, "Adam", {}),
    (
        Adam,
        {"beta1": 0.8, "beta2": 0.95, "eps": 1e-2},
        "Adam",
        {"betas": (0.8, 0.95), "eps": 1e-2},
    ),
]


@pytest.mark.parametrize(("ours", "settings", "theirs", "their_settings"), TORCH)
def test_ten_steps_equal_torch(ours, settings, theirs, their_settings, rng):
    """A large eps shows where it sits: outside the root, in all of them."""
    torch = pytest.importorskip("torch")
    parameter = Parameter(rng.normal(size=(3, 4)))
    tensor = torch.tensor(parameter.value, requires_grad=True)
    optimizer = ours([parameter], learning_rate=0.05, **settings)
    other = getattr(torch.optim, theirs)([tensor], lr=0.05, **their_settings)
    for _ in range(10):
        parameter.grad = rng.normal(size=(3, 4))
        tensor.grad = torch.tensor(parameter.grad)
        optimizer.step()
        other.step()
        np.testing.assert_allclose(parameter.value, tensor.detach(), rtol=1e-10)


# ------------------------------------------------------------------------------ the schedule


def rates(losses, **settings):
    """The learning rate after each loss, starting at 1."""
    optimizer = SGD([], learning_rate=1.0)
    plateau = ReduceOnPlateau(optimizer, **settings)
    return [(plateau.update(loss), optimizer.learning_rate) for loss in losses]


def test_plateau_worked_by_hand():
    got = rates(
        [1.0, 0.9, 0.9, 0.95, 0.8, 0.81, 0.79, 0.79, 0.79, 0.79, 0.79, 0.5],
        factor=0.5,
        patience=2,
    )
    reduced = [i for i, (told, _) in enumerate(got) if told]
    assert reduced == [3, 8, 10]  # after two losses no better than 0.9; than 0.79; and again
    assert [rate for _, rate in got] == [1, 1, 1] + [0.5] * 5 + [0.25] * 2 + [0.125] * 2


def test_improvement_smaller_than_min_delta_does_not_count():
    assert [told for told, _ in rates([1.0, 0.9995, 0.9991], patience=2, min_delta=1e-3)] == [
        False, False, True,
    ]  # fmt: skip
    assert not any(told for told, _ in rates([1.0, 0.998, 0.996], patience=1, min_delta=1e-3))


def test_negative_losses_improve_downwards_too():
    assert not any(told for told, _ in rates([-1.0, -1.1, -1.2], patience=1))
    assert [told for told, _ in rates([-1.0, -1.0, -1.00001], patience=2)] == [False, False, True]


def test_rate_stops_at_its_minimum():
    got = rates([1.0] * 6, factor=0.1, patience=1, min_rate=0.05)
    assert [rate for _, rate in got] == [1, 0.1, 0.05, 0.05, 0.05, 0.05]
    assert [told for told, _ in got] == [False, True, True, False, False, False]


def test_rate_is_halved_after_three_losses_down_to_a_millionth_unless_told_otherwise():
    got = [rate for _, rate in rates([1.0] * 70)]
    assert got[:8] == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25]
    assert got[-1] == 1e-6


def test_loss_that_is_not_a_number_is_no_improvement():
    assert [told for told, _ in rates([1.0, np.nan, np.nan], patience=2)] == [False, False, True]


# ------------------------------------------------------------------------------ what is refused


def weights(dtype=np.float32):
    return [Parameter(np.ones((2, 3), dtype)), Parameter(np.ones(3, dtype))]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(
    ("gradient", "error", "message"),
    [
        (np.ones(3, "f4"), ValueError, r"parameter 0 \(2, 3\) must have its shape, got \(3,\)"),
        (np.ones((1, 3), "f4"), ValueError, r"must have its shape, got \(1, 3\)"),
        (np.ones((), "f4"), ValueError, r"must have its shape, got \(\)"),
        (np.ones((3, 2), "f4"), ValueError, r"must have its shape, got \(3, 2\)"),
        (np.ones((2, 3)), TypeError, "must be float32 as the parameter is, got float64"),
        (np.ones((2, 3), "f2"), TypeError, "got float16"),
        (np.ones((2, 3), int), TypeError, "got int64"),
        (1.0, TypeError, "got float"),
        ([[1.0] * 3] * 2, TypeError, "got list"),
    ],
)
def test_gradient_that_does_not_fit_moves_nothing(name, gradient, error, message):
    first, second = weights()
    optimizer = getattr(optimizers, name)([second, first])
    second.grad, first.grad = np.ones(3, np.float32), gradient
    with pytest.raises(error, match=message.replace("parameter 0", "parameter 1")):
        optimizer.step()
    assert (second.value == 1).all() and (first.value == 1).all() and optimizer.steps == [0, 0]


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("rate", [0, -1e-3, np.nan, np.inf, -np.inf])
def test_learning_rate_must_be_a_positive_number(name, rate):
    with pytest.raises(ValueError, match=f"learning_rate must be a positive number, got {rate}"):
        getattr(optimizers, name)(weights(), rate)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        (lambda: [np.ones(3)], TypeError, r"a layer's trainable_parameters\(\), got a ndarray"),
        (lambda: {"w": weights()[0]}, TypeError, "got a str"),
        (lambda: [weights()[0]] * 2, ValueError, "a parameter is given twice"),
        (lambda: weights(np.float16), TypeError, "parameter must be an array of float32.*float16"),
        (lambda: weights(int), TypeError, "parameter must be an array of float32.*int64"),
    ],
)
def test_optimizer_refuses_what_it_cannot_move(parameters, error, message):
    with pytest.raises(error, match=message):
        optimizers.Adam(parameters())


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("SGD", {"momentum": 1.0}, r"momentum must be in \[0, 1\), got 1.0"),
        ("SGD", {"momentum": -0.1}, "momentum must be in"),
        ("RMSprop", {"rho": 1.5}, "rho must be in"),
        ("RMSprop", {"eps": 0.0}, "eps must be a positive number, got 0.0"),
        ("Adam", {"beta1": 1.0}, "beta1 must be in"),
        ("Adam", {"beta2": np.nan}, "beta2 must be in"),
        ("Adam", {"eps": -1e-8}, "eps must be a positive number"),
    ],
)
def test_setting_out_of_its_range_is_named(name, settings, message):
    with pytest.raises(ValueError, match=message):
        getattr(optimizers, name)(weights(), **settings)


@pytest.mark.parametrize(
    "settings",
    [{"factor": 1.0}, {"factor": 0}, {"patience": 0}, {"min_delta": -1}, {"min_rate": -1}],
)
def test_plateau_refuses_settings_that_make_no_sense(settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))}.* must .*got"):
        optimizers.ReduceOnPlateau(optimizers.SGD(weights()), **settings)


# ---------------------------------------------------------------------------- cosine decay


def test_cosine_decay_worked_by_hand():
    optimizer = SGD(weights(), 0.8)
    decay, rates = CosineDecay(optimizer, 4), []
    for _ in range(5):
        decay.update(1.0)
        rates.append(optimizer.learning_rate)
    root = 0.5**0.5
    np.testing.assert_allclose(rates, [0.4 * (1 + root), 0.4, 0.4 * (1 - root), 0, 0], atol=1e-15)


def test_cosine_decay_equals_that_of_pytorch():
    torch = pytest.importorskip("torch")
    theirs = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.3)
    schedule, optimizer = torch.optim.lr_scheduler.CosineAnnealingLR(theirs, 7), SGD(weights(), 0.3)
    decay = CosineDecay(optimizer, 7)
    for _ in range(7):
        theirs.step()
        schedule.step()
        decay.update(0.0)
        assert optimizer.learning_rate == pytest.approx(schedule.get_last_lr()[0], abs=1e-12)


def test_cosine_decay_goes_on_where_it_was():
    first, second = (SGD(weights(), 0.8) for _ in range(2))
    decay, other = CosineDecay(first, 4), CosineDecay(second, 4)
    decay.update(0.0)
    second.load_state_dict({k: np.asarray(v) for k, v in first.state_dict().items()})
    other.load_state_dict(decay.state_dict())
    decay.update(0.0), other.update(0.0)
    assert first.learning_rate == second.learning_rate == 0.4
