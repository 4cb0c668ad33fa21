"""The gradient check itself: what it accepts, what it rejects, and what it says."""

import warnings
from collections import deque
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from ums import ops
from ums.gradcheck import (
    GradientError,
    _where,
    check_gradients,
    check_layer,
    check_loss,
    relative_error,
)
from ums.layers import BatchNorm, Conv2D, Dense, Dropout, Layer, Parameter, ReLU, Sequential
from ums.watched import unregistered_parameters


def square(x):
    return x * x, (x,)


def square_backward(dy, cache):
    return 2 * dy * cache[0]


def product(x, w):
    return x * w, (x, w)


def product_backward(dy, cache):
    return dy * cache[1], dy * cache[0]


@pytest.fixture
def x(rng):
    return rng.normal(size=(3, 4))


def wrong_at(index, change):
    def backward(dy, cache):
        dx = square_backward(dy, cache)
        dx[index] = change(dx[index])
        return dx

    return backward


def test_right_gradients_pass_with_their_errors_by_name(x, rng):
    errors = check_gradients(product, product_backward, {"x": x, "w": x + 1}, rng=rng)
    assert errors.keys() == {"x", "w"} and max(errors.values()) < 1e-9


def test_message_names_input_index_expected_and_got(rng):
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    with pytest.raises(GradientError) as caught:
        check_gradients(square, wrong_at((1, 0), lambda g: 10.0), {"x": x}, rng=rng)
    expected = 2 * 3.0 * np.random.default_rng(0).normal(size=(2, 2))[1, 0]
    message = str(caught.value)
    assert "input 'x' (2, 2)" in message and "1 of 4 entries" in message
    assert f"index (1, 0): expected {expected:.6g}"[:-1] in message
    assert message.endswith("got 10")


def test_message_names_the_input_that_is_wrong_not_the_others(x, rng):
    def backward(dy, cache):
        return dy * cache[1], dy * cache[1]

    with pytest.raises(GradientError, match="input 'w'"):
        check_gradients(product, backward, {"x": x, "w": x + 1}, rng=rng)


@pytest.mark.parametrize(
    ("backward", "message"),
    [
        (lambda dy, c: (dy,), r"expected 2 gradients \(x, w\), the backward pass returned 1"),
        (lambda dy, c: dy, r"expected 2 gradients \(x, w\), the backward pass returned 1"),
        (lambda dy, c: (dy, dy, dy), "returned 3"),
        (lambda dy, c: (dy * c[1], None), r"input 'w' must be \(3, 4\), got None"),
        (lambda dy, c: (dy * c[1], (dy * c[0]).T), r"'w' must be \(3, 4\), got shape \(4, 3\)"),
        (lambda dy, c: (dy[0], dy * c[0]), r"'x' must be \(3, 4\), got shape \(4,\)"),
        (lambda dy, c: (dy * c[1], 1.0), r"'w' must be \(3, 4\), got float"),
        (lambda dy, c: None, "the backward pass returned None"),
        (lambda dy, c: {"x": dy, "w": dy}, "the backward pass returned dict"),
        (lambda dy, c: (g for g in (dy, dy)), "the backward pass returned generator"),
    ],
)
def test_missing_and_misshapen_gradients_are_named(backward, message, x, rng):
    with pytest.raises(GradientError, match=message):
        check_gradients(product, backward, {"x": x, "w": x + 1}, rng=rng)


def test_gradients_in_another_order_are_recognised(rng):
    inputs = {"x": np.ones((3, 4)), "w": np.ones((4, 2)), "b": np.ones(2)}

    def backward(dy, cache):
        dx, dw, db = ops.dense_backward(dy, cache)
        return dw, dx, db

    with pytest.raises(
        GradientError, match=r"'x' .* \(that is the shape of 'w': are they in order"
    ):
        check_gradients(ops.dense_forward, backward, inputs, rng=rng)


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda x: x * x, r"the forward pass must return \(y, cache\), got ndarray"),
        (lambda x: None, r"must return \(y, cache\), got None"),
        (lambda x: (x * x, x, x), r"must return \(y, cache\), got tuple"),
        (lambda x: (None, x), "must keep float64, but y is None"),
        (lambda x: ((x * x).astype(np.float32), (x,)), "must keep float64, but y is float32"),
        (lambda x: (x * x * np.random.default_rng().random(), (x,)), "is random or not finite"),
        (lambda x: (x * x + np.nan, (x,)), "is random or not finite: nan, then nan"),
        (lambda x: (np.multiply(x, x, out=x), (x,)), "the forward pass changed x"),
    ],
)
def test_forward_pass_that_breaks_a_rule_is_named(forward, message, x, rng):
    with pytest.raises(GradientError, match=message):
        check_gradients(forward, square_backward, {"x": x}, rng=rng)


@pytest.mark.parametrize(
    "change",
    [lambda g: np.nan, lambda g: np.inf, lambda g: 0.0, lambda g: -g, lambda g: g * (1 + 1e-4)],
    ids=["nan", "inf", "zero", "sign", "slightly"],
)
def test_one_wrong_entry_is_rejected(change, rng):
    x = np.array([2.0, -1.0, 1.5])
    with pytest.raises(GradientError, match=r"1 of 3 entries differ, most at index \(1,\)"):
        check_gradients(square, wrong_at(1, change), {"x": x}, rng=rng)


@pytest.mark.parametrize(
    ("numeric", "off", "differs"),
    [(2.0, 1.9e-6, 0), (2.0, 2.1e-6, 1), (-2.0, 1.9e-6, 0), (-2.0, 2.1e-6, 1)]
    + [(n, sign * off, int(off > 1e-9)) for n in (0.0, 9e-4) for sign in (-1, 1)
       for off in (0.95e-9, 1.05e-9)],
)  # fmt: skip
def test_entries_that_differ_by_a_millionth_are_counted(numeric, off, differs):
    entries, expected = np.array([3, 4]), np.array([numeric, 1.0])
    got = expected + np.array([off, 0.5])
    text = _where((2, 3), entries, got, expected)
    assert text.startswith(f"{1 + differs} of 2 entries differ, most at index (1, 1): expected 1 (")
    assert text.endswith("got 1.5")


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_gradient_of_nothing_but_zeros_or_nan_is_rejected(value, x, rng):
    with pytest.raises(GradientError, match="12 of 12 entries differ"):
        check_gradients(square, lambda dy, c: np.full(dy.shape, value), {"x": x}, rng=rng)


def test_all_zero_batchnorm_backward_is_rejected_though_all_ones_upstream_accepts_it(x, rng):
    def forward(x):
        ones = np.ones(4)
        return ops.batchnorm_forward(x, ones, 0 * ones, 0 * ones, ones, True)

    def zeros(dy, cache):
        return np.zeros_like(dy)

    assert abs(ops.batchnorm_grad_input(np.ones((3, 4)), forward(x)[1])).max() < 1e-12
    with pytest.raises(GradientError):
        check_gradients(forward, zeros, {"x": x}, rng=rng)


def test_gradient_that_is_truly_zero_is_accepted(x, rng):
    errors = check_gradients(
        lambda x: (0 * x, None), lambda dy, cache: np.zeros_like(dy), {"x": x}, rng=rng
    )
    assert errors == {"x": 0.0}


def test_float32_is_refused(x, rng):
    with pytest.raises(TypeError, match=r"input 'x' must be a float64 array.*, got float32"):
        check_gradients(square, square_backward, {"x": x.astype(np.float32)}, rng=rng)


@pytest.mark.parametrize("stride", [2, [1.0, 2.0], np.float64(2)])
def test_input_that_is_no_array_is_to_be_bound(stride, x, rng):
    with pytest.raises(TypeError, match=r"'stride' must be a float64 array.*functools\.partial"):
        check_gradients(product, product_backward, {"x": x, "stride": stride}, rng=rng)


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_input_that_is_not_finite_is_refused(value, x, rng):
    x[1, 2] = value
    with pytest.raises(ValueError, match="input 'x' holds values that are infinite or not a numb"):
        check_gradients(square, square_backward, {"x": x}, rng=rng)


def test_argument_bound_with_partial_is_not_checked(rng):
    inputs = {
        "x": rng.normal(size=(2, 5, 5, 1)),
        "w": rng.normal(size=(3, 3, 1, 2)),
        "b": np.ones(2),
    }
    forward = partial(ops.conv2d_forward, stride=2)
    assert check_gradients(forward, ops.conv2d_backward, inputs, rng=rng).keys() == inputs.keys()


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x.T, "got one that is not contiguous: pass a copy"),
        (lambda x: x[:, ::2], "got one that is not contiguous"),
        (np.asfortranarray, "got one that is not contiguous"),
        (lambda x: np.broadcast_to(x[:1], x.shape), "got one that is not contiguous"),
        (lambda x: np.broadcast_to(x, x.shape), "got a read-only one"),
        (read_only, "got a read-only one: pass a copy"),
        (lambda x: np.float64(0.7), "got a NumPy scalar"),
        (lambda x: x.tolist(), "got list"),
        (lambda x: 0.7, "got float"),
        (lambda x: x.astype(np.float32), "got float32"),
        (lambda x: x.astype(">f8"), "got >f8"),
        (lambda x: x.astype(int), "got int64"),
        (lambda x: x.astype(complex), "got complex128"),
        (lambda x: x.astype(object), "got object"),
        (np.ma.masked_array, "got MaskedArray"),
        (lambda x: x.view(np.recarray), "got recarray"),
        (lambda x: None, "got None"),
    ],
)
def test_input_that_cannot_be_perturbed_is_refused_by_name(change, message, x, rng):
    with pytest.raises(TypeError, match=f"'w' must be a float64 array.*, {message}"):
        check_gradients(product, product_backward, {"x": x, "w": change(x + 1)}, rng=rng)


@pytest.mark.parametrize(
    "pair",
    [
        lambda memory: (memory, memory),
        lambda memory: (memory[:2], memory[1:3]),
        lambda memory: (memory, memory.reshape(2, 6)[0]),
        lambda memory: (memory, memory[0]),
    ],
)
def test_inputs_that_share_memory_are_refused(pair, rng):
    x, w = pair(rng.normal(size=(3, 4)))
    with pytest.raises(TypeError, match="'w' must have memory of its own, got some of 'x''s: copy"):
        check_gradients(product, product_backward, {"x": x, "w": w}, rng=rng)


def test_inputs_side_by_side_in_one_memory_are_welcome(rng):
    memory = rng.normal(size=(2, 3, 4))
    check_gradients(product, product_backward, {"x": memory[0], "w": memory[1]}, rng=rng)


def test_empty_input_is_refused(rng):
    with pytest.raises(ValueError, match="input 'x' holds no values"):
        check_gradients(square, square_backward, {"x": np.zeros((0, 3))}, rng=rng)


def test_input_may_have_any_name(x, rng):
    check_gradients(product, product_backward, {"self": x, "values": x + 1}, rng=rng)


def test_kink_is_left_out(rng):
    x = np.array([-1.0, 0.0, 2.0, 3.0])
    check_gradients(ops.relu_forward, ops.relu_backward, {"x": x}, rng=rng)
    check_gradients(ops.relu_forward, wrong_at_kink, {"x": x}, rng=rng)


def wrong_at_kink(dy, cache):
    """Right everywhere else: what relu's derivative at 0 is called is a matter of taste."""
    dx = ops.relu_backward(dy, cache)
    dx[1] = dy[1]
    return dx


def test_kink_does_not_hide_a_wrong_gradient_elsewhere(rng):
    x = np.array([-1.0, 0.0, 2.0, 3.0])
    with pytest.raises(GradientError, match="1 of 3 entries differ"):
        check_gradients(ops.relu_forward, lambda dy, cache: dy, {"x": x}, rng=rng)


def test_input_that_is_mostly_kinks_is_refused(rng):
    with pytest.raises(ValueError, match="over half of the entries of 'x' lie within"):
        check_gradients(ops.relu_forward, ops.relu_backward, {"x": np.zeros(5)}, rng=rng)


def test_backward_that_changes_its_inputs_is_rejected(x, rng):
    def backward(dy, cache):
        dx, dw = product_backward(dy, cache)
        cache[1][...] *= 2
        return dx, dw

    with pytest.raises(GradientError, match="the backward pass changed w, which is its caller's"):
        check_gradients(product, backward, {"x": x, "w": x + 1}, rng=rng)


def times_0(dy):
    dy *= 0
    return dy


def times_7(dy):
    dy *= 7
    return dy


@pytest.mark.parametrize("change", [times_0, times_7])
def test_backward_that_changes_dy_does_not_change_the_question(change, x, rng):
    def backward(dy, cache):
        return square_backward(change(dy), cache)

    with pytest.raises(GradientError, match="the backward pass changed dy, which is its caller's"):
        check_gradients(square, backward, {"x": x}, rng=rng)


def keeps_its_input():
    """A forward pass that changes, in each call, the input of the call before."""
    kept = []

    def forward(x):
        if kept:
            kept[-1][...] += 1e-3
        kept.append(x)
        return square(x)

    return forward


def one_buffer():
    """A forward pass that returns the same array each time."""
    y = np.empty((3, 4))
    return lambda x: (np.multiply(x, x, out=y), (x,))


def one_cache():
    """A forward pass whose cache is the same array each time."""
    kept = np.empty((3, 4))

    def forward(x):
        kept[...] = x
        return x * x, {"kept": kept}

    return forward


@pytest.mark.parametrize(
    ("forward", "backward", "message"),
    [
        (square, lambda dy, c: 2 * np.multiply(dy, c[0], out=dy), "the backward pass changed dy"),
        (square, lambda dy, c: square_backward(dy, (c[0].__imul__(2),)), "pass changed x"),
        (lambda x: (x * x, x.T), lambda dy, c: 2 * dy * c.__imul__(2).T, "the backward pass changed x"),
        (lambda x: (x * x, (x.copy(),)), lambda dy, c: 2 * np.multiply(c[0], dy, out=c[0]),
         r"the backward pass changed cache\[0\]"),
        (lambda x: (x * x, {"x": [x.copy()]}), lambda dy, c: 2 * dy * c["x"][0].__imul__(1.5),
         r"the backward pass changed cache\['x'\]\[0\]"),
        (ops.sigmoid_forward, lambda dy, c: dy * c[0].__isub__(0.1), "the backward pass changed y"),
        (keeps_its_input(), square_backward, "the forward pass changed x"),
        (one_buffer(), square_backward, "the forward pass changed y"),
        (one_cache(), lambda dy, c: 2 * dy * c["kept"], r"the forward pass changed cache\['kept"),
    ],
)  # fmt: skip
def test_pass_that_writes_into_what_is_not_its_own_is_named(forward, backward, message, x, rng):
    kept = x.copy()
    with pytest.raises(GradientError, match=message):
        check_gradients(forward, backward, {"x": np.ascontiguousarray(x)}, rng=rng)
    np.testing.assert_array_equal(x, kept)


def test_gradient_at_zero_set_in_place_in_dy_is_rejected(x, rng):
    def backward(dy, cache):
        dy[cache[0] <= 0] = 0
        return dy

    with pytest.raises(GradientError, match="the backward pass changed dy"):
        check_gradients(ops.relu_forward, backward, {"x": x}, rng=rng)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, int])
def test_gradient_of_another_dtype_is_named(dtype, x, rng):
    def backward(dy, cache):
        return square_backward(dy, cache).astype(dtype)

    found = f"gradient of input 'x' must be float64, got {np.dtype(dtype)}"
    with pytest.raises(GradientError, match=found):
        check_gradients(square, backward, {"x": x}, rng=rng)


@pytest.mark.parametrize("backward", [square_backward, wrong_at(0, np.negative)])
def test_inputs_are_restored_to_the_byte(backward, x, rng):
    kept = x.tobytes()
    try:
        check_gradients(square, backward, {"x": x}, rng=rng)
    except GradientError:
        pass
    assert x.tobytes() == kept


def test_large_input_is_checked_in_some_of_its_entries(rng):
    calls = []

    def forward(x):
        calls.append(1)
        return square(x)

    check_gradients(forward, square_backward, {"x": np.ones(1000)}, rng=rng, max_entries=7)
    assert len(calls) == 1 + 2 + 2 * 7  # with the gradient, to see it is not random, differences
    with pytest.raises(GradientError, match="of 50 entries"):
        check_gradients(
            square, lambda dy, c: -2 * dy * c[0], {"x": np.ones(1000)}, rng=rng, max_entries=50
        )


def test_scalar_input_and_output_pass(rng):
    errors = check_gradients(square, square_backward, {"x": np.array(1.5)}, rng=rng)
    assert errors["x"] < 1e-9


def zero_weights(scale):
    scale[:] = 0


@pytest.mark.parametrize("change", [zero_weights, lambda scale: scale.__imul__(0.5)])
def test_backward_that_changes_what_forward_closes_over_is_named(change, x, rng):
    scale = np.ones(4)

    def backward(dy, cache):
        change(scale)
        return dy * scale

    with pytest.raises(GradientError, match="changed what the forward pass depends on: it gave"):
        check_gradients(lambda x: (x * scale, None), backward, {"x": x}, rng=rng)


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ({"max_entries": 0}, ValueError, "max_entries must be at least 1, got 0"),
        ({"max_entries": 2.0}, ValueError, "max_entries must be a whole number"),
        ({"tolerance": np.nan}, ValueError, "tolerance must be between 0 and 1"),
        ({"tolerance": np.inf}, ValueError, "tolerance must be between 0 and 1"),
        ({"tolerance": 0}, ValueError, "tolerance must be between 0 and 1"),
        ({"rng": 0}, TypeError, "rng must be a numpy.random.Generator, got int"),
        ({"inputs": {}}, ValueError, "inputs must hold one array or more, got none"),
    ],
)
def test_settings_with_which_nothing_is_compared_are_refused(setting, error, message, x, rng):
    with pytest.raises(error, match=message):
        check_gradients(
            square, wrong_at(0, np.negative), **{"inputs": {"x": x}, "rng": rng} | setting
        )


@pytest.mark.parametrize(("name", "value"), [("dtype", np.int64), ("shape", (12,))])
def test_backward_that_reinterprets_dy_is_named(name, value, x, rng):
    def backward(dy, cache):
        gradient = square_backward(dy, cache)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            setattr(dy, name, value)
        return gradient

    with pytest.raises(GradientError, match="the backward pass changed dy"):
        check_gradients(square, backward, {"x": x}, rng=rng)


def test_cache_may_hold_what_has_a_dtype_and_is_no_array(x, rng):
    def forward(x):
        return x * x, (x, np.finfo(np.float64), torch_like)

    class Tensor:
        dtype = "float32"

    torch_like = Tensor()
    assert check_gradients(forward, square_backward, {"x": x}, rng=rng)["x"] < 1e-9


# ------------------------------------------------------------------------------ losses, layers


def test_loss_that_answers_otherwise_from_its_second_call_on_is_named(x, rng):
    calls = []

    def loss(y, t):
        calls.append(1)
        return (0.0 if len(calls) > 1 else 5.0), np.zeros_like(y)

    with pytest.raises(GradientError, match="changed what the loss depends on: it gave 5, then 0"):
        check_loss(loss, x, x + 1, rng=rng)


@pytest.mark.parametrize("kind", [np.float32, lambda value: None, complex, lambda value: [value]])
def test_value_of_a_loss_without_the_digits_is_refused_for_that(kind, x, rng):
    def loss(y, t):
        value, gradient = ops.mse(y, t)
        return kind(value), gradient

    with pytest.raises(GradientError, match="must return a Python number or float64, got"):
        check_loss(loss, x, x + 1, rng=rng)


@pytest.mark.parametrize("kind", [float, np.float64, np.array])
def test_value_of_a_loss_may_be_any_float64(kind, x, rng):
    def loss(y, t):
        value, gradient = ops.mse(y, t)
        return kind(value), gradient

    assert check_loss(loss, x, x + 1, rng=rng) < 1e-8


def test_float32_layer_is_told_how_to_become_float64(rng):
    with pytest.raises(
        TypeError, match=r'.w. must be .*, got float32: .*layer.astype\("float64"\)'
    ):
        check_layer(Dense(3, 2, rng), rng.normal(size=(4, 3)), rng=rng)


def test_loss_is_checked_in_its_prediction(x, rng):
    assert check_loss(ops.mse, x, x + 1, rng=rng) < 1e-9
    with pytest.raises(GradientError, match="input 'prediction'"):
        check_loss(lambda y, t: (ops.mse(y, t)[0], y - t), x, x + 1, rng=rng)
    with pytest.raises(TypeError, match="must be a float64 array"):
        check_loss(ops.mse, x.astype(np.float32), x, rng=rng)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda y, t: ops.mse(y, t)[0], r"the loss must return \(value, gradient\), got float64"),
        (lambda y, t: (ops.mse(y, t)[0], None), r"'prediction' must be \(3, 4\), got None"),
        (lambda y, t: ops.mse(np.subtract(y, 1, out=y), t), "the loss changed prediction"),
        (lambda y, t: ops.mse(y, np.subtract(t, 1, out=t)), "the loss changed target"),
        (
            lambda y, t: ((y - t) ** 2, 2 * (y - t)),
            r"must return one number, got an array \(3, 4\)",
        ),
        (lambda y, t: (ops.mse(y, t)[0], (y - t).astype("f4")), "must be float64, got float32"),
        (lambda y, t: (np.random.default_rng().random(), y), "the loss is random or not finite"),
    ],
)
def test_loss_that_breaks_a_rule_is_named(loss, message, x, rng):
    with pytest.raises(GradientError, match=message):
        check_loss(loss, x, x + 1, rng=rng)


def test_loss_that_changes_its_prediction_in_its_second_call_is_named(x, rng):
    calls = []

    def loss(y, t):
        if calls:
            y *= 0.5
        calls.append(1)
        return ops.mse(y, t)

    kept = x.copy()
    with pytest.raises(GradientError, match="the loss changed prediction, which is its caller's"):
        check_loss(loss, x, x + 1, rng=rng)
    np.testing.assert_array_equal(x, kept)


@pytest.mark.parametrize("target", [lambda x: x, lambda x: x[::-1], lambda x: x[:1]])
def test_target_that_shares_memory_with_the_prediction_is_refused(target, x, rng):
    with pytest.raises(
        TypeError, match="'prediction' must have memory of its own, got some of 'tar"
    ):
        check_loss(ops.mse, x, target(x), rng=rng)


def test_target_may_hold_nan_where_nothing_is_known(x, rng):
    def loss(y, t):
        return ops.mse(y, np.where(np.isnan(t), y, t))

    assert check_loss(loss, x, np.where(x > 0, np.nan, x - 1), rng=rng) < 1e-6


def network(rng):
    layers = Sequential(Conv2D(2, 3, rng, stride=2), BatchNorm(3), ReLU(), Conv2D(3, 2, rng))
    return layers.astype(np.float64)


@pytest.mark.parametrize("training", [True, False])
def test_network_is_checked_under_the_names_of_its_parameters(training, rng):
    net = network(rng)
    errors = check_layer(net, rng.normal(size=(2, 5, 6, 2)), rng=rng, training=training)
    assert errors.keys() == {"x", *net.named_parameters()}
    assert max(errors.values()) < 1e-6


def test_checked_layer_keeps_its_running_statistics_and_gradients(rng):
    net = network(rng)
    net.layers[0].w.add(np.ones((3, 3, 2, 3)))
    before = {name: value.copy() for name, value in net.state_dict().items()}
    check_layer(net, rng.normal(size=(2, 5, 6, 2)), rng=rng, training=True)
    assert all((value == before[name]).all() for name, value in net.state_dict().items())
    first, *others = net.parameters()
    assert (first.grad == 1).all() and all(parameter.grad is None for parameter in others)


def test_frozen_parameters_are_not_checked(rng):
    net = network(rng)
    net.layers[0].freeze()
    errors = check_layer(net, rng.normal(size=(2, 5, 6, 2)), rng=rng, training=True)
    assert errors.keys() == {"x", "1.gamma", "1.beta", "3.w", "3.b"}


def test_wrong_layer_is_rejected_under_the_name_of_its_parameter(rng):
    class ForgetfulDense(Dense):
        _grad_weights = staticmethod(lambda dy, cache: (cache[0].T @ dy, dy.mean(axis=0)))

    net = Sequential(Dense(3, 4, rng), ForgetfulDense(4, 2, rng)).astype(np.float64)
    with pytest.raises(GradientError, match=r"input '1\.b' \(2,\) is wrong"):
        check_layer(net, rng.normal(size=(5, 3)), rng=rng)


def test_layer_that_changes_dy_is_rejected(rng):
    class Zero(ReLU):
        _grad_input = staticmethod(lambda dy, cache: times_0(dy))

    with pytest.raises(GradientError, match="the backward pass changed dy"):
        check_layer(Zero(), rng.normal(size=(4, 3)), rng=rng)


class Scale(Layer):
    """y = w x, with one weight for each channel."""

    def __init__(self, C, name="w"):
        super().__init__()
        self.w = Parameter(np.linspace(1.0, 2, C))

    def _forward(self, x, training):
        return x * self.w.value, (x, self.w.value)

    _grad_input = staticmethod(lambda dy, cache: dy * cache[1])
    _grad_weights = staticmethod(lambda dy, cache: ((dy * cache[0]).sum(axis=0),))


class Assigns(Scale):
    def backward(self, dy, input_gradient=True):
        (x, w), self._cache = self._cache, None
        self.w.grad = (dy * x).sum(axis=0)
        return dy * w


class AddsInPlace(Scale):
    def backward(self, dy, input_gradient=True):
        (x, w), self._cache = self._cache, None
        gradient = (dy * x).sum(axis=0)
        if self.w.grad is None:
            self.w.grad = np.zeros_like(w)
        self.w.grad += gradient
        return dy * w


class IgnoresFreezing(Scale):
    def backward(self, dy, input_gradient=True):
        (x, w), self._cache = self._cache, None
        self.w.add((dy * x).sum(axis=0))
        return dy * w


class ChangesItsWeights(Scale):
    def _forward(self, x, training):
        self.w.value *= 0.99
        return super()._forward(x, training)


class Narrow(Scale):
    _grad_input = staticmethod(lambda dy, cache: (dy * cache[1]).astype(np.float32))


class Holds(Scale):
    """A layer that keeps ``kept`` beside its weight."""

    def __init__(self, C, kept):
        super().__init__(C)
        self.kept = kept


class CountsInUse(BatchNorm):
    """Its statistics move out of training too."""

    def _forward(self, x, training):
        self.running_mean += 0.1
        return super()._forward(x, training)


class UsesWhatItMoved(Scale):
    """In training it takes off a running mean that it has just moved."""

    def __init__(self, C):
        super().__init__(C)
        self.mean = np.zeros(C)

    def statistics(self):
        return {"mean": self.mean}

    def _forward(self, x, training):
        if training:
            self.mean += 0.5
        return (x - self.mean) * self.w.value, (x - self.mean, self.w.value)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: Assigns(3), "the backward pass must add to the gradient of '0.w'"),
        (lambda: IgnoresFreezing(3).freeze(), "gave a gradient to '0.w', which is frozen"),
        (lambda: ChangesItsWeights(3), "the forward pass changed 0.w"),
        (lambda: ChangesItsWeights(3).freeze(), "the forward pass changed 0.w"),
        (lambda: Narrow(3), "gradient of input 'x' must be float64, got float32"),
        (lambda: Holds(3, [Parameter(np.ones(3))]), r"leaves out Sequential.layers\[0\].kept\[0\]"),
        (lambda: Holds(3, {"a": Parameter(np.ones(3))}), r"leaves out .*kept\['a'\]"),
        (lambda: Holds(3, (1, [Parameter(np.ones(3))])), r"leaves out .*kept\[1\]\[0\]"),
        (lambda: Holds(3, Dense(3, 2, np.random.default_rng(0))), r"leaves out .*kept\.[wb]"),
        (lambda: Holds(3, {Parameter(np.ones(3))}), r"leaves out .*kept\[0\]"),
        (lambda: Holds(3, frozenset([Parameter(np.ones(3))])), r"leaves out .*kept\[0\]"),
        (lambda: Holds(3, deque([Parameter(np.ones(3))])), r"leaves out .*kept\[0\]"),
        (lambda: Holds(3, np.array([None, Parameter(np.ones(3))])), r"leaves out .*kept\[1\]"),
        (lambda: Holds(3, SimpleNamespace(w=Parameter(np.ones(3)))), r"leaves out .*kept\.w"),
        (lambda: CountsInUse(3), r"the forward pass changed running_mean of BatchNorm\(3\)"),
        (lambda: CountsInUse(3).freeze(), "the forward pass changed running_mean"),
    ],
)
def test_layer_that_breaks_a_rule_is_named(layer, message, rng):
    net = Sequential(layer()).astype(np.float64)
    with pytest.raises(GradientError, match=message):
        check_layer(net, rng.normal(size=(4, 3)), rng=rng)


@pytest.mark.parametrize("layer", [Scale, AddsInPlace, UsesWhatItMoved])
@pytest.mark.parametrize("training", [True, False])
def test_layer_of_ones_own_is_accepted(layer, training, rng):
    nested = Sequential(Sequential(layer(3), ReLU()), Sequential(Sequential(layer(3))))
    errors = check_layer(nested, rng.normal(size=(4, 3)), rng=rng, training=training)
    assert errors.keys() == {"x", "0.0.w", "1.0.0.w"} and max(errors.values()) < 1e-6


def test_parameter_that_two_layers_share_is_checked_once(rng):
    first, second = Scale(3), Scale(3)
    second.w = first.w
    errors = check_layer(Sequential(first, second), rng.normal(size=(4, 3)), rng=rng)
    assert errors.keys() == {"x", "0.w"} and max(errors.values()) < 1e-6


def test_input_that_is_a_weight_too_is_refused(rng):
    layer = Scale(3)
    with pytest.raises(TypeError, match="input 'w' must have memory of its own"):
        check_layer(layer, layer.w.value.reshape(1, 3), rng=rng)


def test_dropout_layer_is_checked_out_of_training(rng):
    x = rng.normal(size=(4, 3))
    assert check_layer(Dropout(0.5, rng), x, rng=rng)["x"] < 1e-9
    with pytest.raises(GradientError, match="the forward pass is random"):
        check_layer(Dropout(0.5, rng), x, rng=rng, training=True)


@pytest.mark.parametrize(
    ("analytic", "numeric", "expected"),
    [
        ([3.0, 4], [3.0, 4], 0),
        ([3.0, 4], [0.0, 0], 1),
        ([1.0], [-1.0], 1),
        ([3.0], [1.0], 0.5),
        ([0.0], [1e-11], 1e-7),  # rounding of the differences does not count
        ([np.nan], [1.0], np.inf),
    ],
)
def test_relative_error_of_two_gradients(analytic, numeric, expected):
    assert relative_error(np.array(analytic), np.array(numeric)) == pytest.approx(expected)


def test_parameter_under_two_names_is_told_once():
    layer = Layer()
    layer.hidden = {"one": Parameter(np.zeros(1))}
    layer.again = [layer.hidden["one"], layer.hidden]
    assert len(list(unregistered_parameters(layer))) == 1
