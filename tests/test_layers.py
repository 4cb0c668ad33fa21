"""Layers: the state around the ops - switches, caches, gradients, arrays."""

import re

import numpy as np
import pytest

from ums import ops
from ums.backend import Device
from ums.gradcheck import check_layer
from ums.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    GlobalAveragePool,
    Layer,
    Parameter,
    ReLU,
    Sequential,
    Upsample2D,
    UpsampleConv2D,
    he_normal,
)

# name: (layer, shape of a batch it takes, repr)
LAYERS = {
    "conv2d": (lambda rng: Conv2D(2, 3, rng), (2, 5, 4, 2), "Conv2D(2, 3)"),
    "conv2d strided": (
        lambda rng: Conv2D(2, 3, rng, kernel=5, stride=2, dilation=3),
        (2, 5, 4, 2),
        "Conv2D(2, 3, kernel=5, stride=2, dilation=3)",
    ),
    "upsample_conv2d": (
        lambda rng: UpsampleConv2D(2, 3, rng), (2, 3, 4, 2), "UpsampleConv2D(2, 3)",
    ),
    "dense": (lambda rng: Dense(4, 3, rng), (5, 4), "Dense(4, 3)"),
    "batchnorm": (lambda rng: BatchNorm(3), (2, 4, 5, 3), "BatchNorm(3)"),
    "relu": (lambda rng: ReLU(), (2, 3, 3, 2), "ReLU()"),
    "upsample2d": (lambda rng: Upsample2D(), (2, 3, 4, 2), "Upsample2D()"),
    "pool": (lambda rng: GlobalAveragePool(), (2, 3, 4, 2), "GlobalAveragePool()"),
    "dropout": (lambda rng: Dropout(0.5, rng), (4, 5), "Dropout(0.5)"),
    "chain": (
        lambda rng: Sequential(Conv2D(2, 3, rng), Sequential(BatchNorm(3), ReLU())),
        (2, 4, 5, 2),
        "Sequential(Conv2D(2, 3), Sequential(BatchNorm(3), ReLU()))",
    ),
}  # fmt: skip
EVERY_LAYER = pytest.mark.parametrize("name", LAYERS)
WITH_PARAMETERS = [n for n in LAYERS if n not in ("relu", "upsample2d", "pool", "dropout")]


def made(name, rng):
    """A layer with random parameters, and a batch for it."""
    make, shape, _ = LAYERS[name]
    layer = make(rng)
    for parameter in layer.parameters():
        parameter.value[...] = rng.normal(size=parameter.value.shape)
    return layer, rng.normal(size=shape).astype(np.float32)


def encoder(rng):
    return Sequential(Conv2D(1, 3, rng, stride=2), BatchNorm(3), ReLU())


def head(rng):
    return Sequential(GlobalAveragePool(), Dense(3, 2, rng))


def statistics_bytes(layer):
    return {name: value.tobytes() for name, value in layer.statistics().items()}


def counted(monkeypatch, cls, method):
    """Count the calls of a layer class's static function."""
    calls, function = [], getattr(cls, method)
    wrapped = staticmethod(lambda *args: calls.append(1) or function(*args))
    monkeypatch.setattr(cls, method, wrapped)
    return calls


# ------------------------------------------------------------------------------ every layer


@EVERY_LAYER
def test_layer_announces_the_shape_it_returns(name, rng):
    layer, x = made(name, rng)
    assert (len(x), *layer.output_shape(x.shape[1:])) == layer.forward(x).shape


@EVERY_LAYER
def test_layer_shows_what_it_is(name, rng):
    assert repr(made(name, rng)[0]) == LAYERS[name][2]


@EVERY_LAYER
def test_layer_has_a_table_for_notebooks(name, rng):
    layer, x = made(name, rng)
    total = sum(parameter.value.size for parameter in layer.parameters())
    shown = layer.summary(x.shape[1:])._repr_html_()
    assert " x ".join(map(str, layer.output_shape(x.shape[1:]))) in shown
    assert f"{total:,d}" in layer._repr_html_() and "output" not in layer._repr_html_()


WRONG_INPUTS = [
    (
        lambda rng: Conv2D(64, 128, rng),
        (8, 8, 3),
        "Conv2D(64, 128): input has 3 channels, expected 64",
    ),
    (
        lambda rng: UpsampleConv2D(4, 2, rng),
        (8, 8, 3),
        "UpsampleConv2D(4, 2): input has 3 channels",
    ),
    (lambda rng: Dense(4, 2, rng), (3,), "Dense(4, 2): input has 3 channels, expected 4"),
    (lambda rng: BatchNorm(4), (8, 8, 3), "BatchNorm(4): input has 3 channels, expected 4"),
    (
        lambda rng: Conv2D(3, 4, rng),
        (2, 8, 8, 3),
        "Conv2D(3, 4): input must be (H, W, C), got (2, 8",
    ),
    (lambda rng: Dense(4, 2, rng), (2, 2, 4), "Dense(4, 2): input must be (C), got (2, 2, 4)"),
    (
        lambda rng: GlobalAveragePool(),
        (4,),
        "GlobalAveragePool(): input must be (H, W, C), got (4,)",
    ),
    (lambda rng: Upsample2D(), (8, 8), "Upsample2D(): input must be (H, W, C), got (8, 8)"),
    (lambda rng: Sequential(ReLU(), Dense(4, 2, rng)), (3,), "Dense(4, 2): input has 3 channels"),
]


@pytest.mark.parametrize(("make", "shape", "message"), WRONG_INPUTS)
def test_output_shape_refuses_what_the_layer_cannot_take(make, shape, message, rng):
    with pytest.raises(ValueError, match=re.escape(message)):
        make(rng).output_shape(shape)


@EVERY_LAYER
@pytest.mark.parametrize("training", [True, False])
def test_layer_keeps_float32(name, training, rng):
    layer, x = made(name, rng)
    y = layer.forward(x, training)
    dx = layer.backward(np.ones_like(y))
    arrays = [y, dx, *(p.grad for p in layer.parameters()), *layer.state_dict().values()]
    assert {a.dtype for a in arrays} == {np.dtype(np.float32)}


@EVERY_LAYER
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_layer_gradient_in_every_switch_position(name, training, frozen, rng):
    training = training and name != "dropout"  # two draws of a mask have no derivative
    layer, x = made(name, rng)
    layer.astype(np.float64).freeze(frozen)
    x = x.astype(np.float64) + 0.01
    errors = check_layer(layer, x, rng=rng, training=training)
    assert errors.keys() == {"x"} | (set() if frozen else layer.named_parameters().keys())


@EVERY_LAYER
def test_second_backward_needs_a_second_forward(name, rng):
    layer, x = made(name, rng)
    y = layer.forward(x)
    layer.backward(y)
    with pytest.raises(RuntimeError, match=r"\.backward needs a forward pass with keep=True"):
        layer.backward(y)


@EVERY_LAYER
def test_forward_that_kept_nothing_has_no_backward(name, rng):
    layer, x = made(name, rng)
    layer.forward(x)
    y = layer.forward(x, keep=False)
    with pytest.raises(RuntimeError, match="keep=True before it"):
        layer.backward(y)


@EVERY_LAYER
def test_forward_gives_the_same_with_and_without_keeping(name, rng):
    layer, x = made(name, rng)
    np.testing.assert_array_equal(layer.forward(x, keep=False), layer.forward(x))


@EVERY_LAYER
def test_without_input_gradient_the_parameters_get_theirs_all_the_same(name, rng):
    layer, x = made(name, rng)
    y = layer.forward(x)
    layer.backward(y)
    expected = [p.grad for p in layer.parameters()]
    layer.zero_gradients()
    layer.forward(x)
    assert layer.backward(y, input_gradient=False) is None
    for parameter, gradient in zip(layer.parameters(), expected, strict=True):
        np.testing.assert_array_equal(parameter.grad, gradient)


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_frozen_layer_adds_no_gradient_and_hands_the_same_on(name, rng):
    layer, x = made(name, rng)
    y = layer.forward(x)
    dx = layer.backward(y)
    layer.zero_gradients()
    assert layer.freeze() is layer and layer.frozen
    layer.forward(x)
    np.testing.assert_array_equal(layer.backward(y), dx)
    assert all(p.grad is None for p in layer.parameters())
    assert layer.trainable_parameters() == [] and layer.parameters() != []


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_frozen_layer_does_not_compute_its_gradients(name, rng, monkeypatch):
    layer, x = made(name, rng)
    classes = {type(one) for one in (layer, *getattr(layer, "layers", ()))}
    calls = [counted(monkeypatch, c, "_grad_weights") for c in classes - {Sequential}]
    layer.freeze()
    layer.backward(layer.forward(x))
    assert calls and not any(calls)


@pytest.mark.parametrize("name", WITH_PARAMETERS)
def test_gradients_add_up_until_they_are_forgotten(name, rng):
    layer, x = made(name, rng)
    y = layer.forward(x)
    layer.backward(y)
    once = [p.grad.copy() for p in layer.parameters()]
    layer.forward(x)
    layer.backward(y)
    for parameter, gradient in zip(layer.parameters(), once, strict=True):
        np.testing.assert_allclose(parameter.grad, 2 * gradient)
    layer.zero_gradients()
    assert all(p.grad is None for p in layer.parameters())


@EVERY_LAYER
def test_arrays_make_the_same_layer_again(name, rng):
    layer, x = made(name, rng)
    layer.forward(x, training=True)  # moves the statistics
    other = LAYERS[name][0](np.random.default_rng(99))
    kept = {k: v.copy() for k, v in layer.state_dict().items()}
    other.load_state_dict(kept)
    np.testing.assert_array_equal(other.forward(x), layer.forward(x))
    for value in other.state_dict().values():
        value += 1  # the copy is its own
    np.testing.assert_array_equal(layer.forward(x), made_from(name, kept).forward(x))


def made_from(name, arrays):
    layer = LAYERS[name][0](np.random.default_rng(5))
    layer.load_state_dict(arrays)
    return layer


# ------------------------------------------------------------------------------ frozen, training


@pytest.mark.parametrize(
    ("frozen", "training", "batch_statistics", "learns"),
    [
        (False, True, True, True),
        (False, False, False, True),
        (True, True, False, False),
        (True, False, False, False),
    ],
)
def test_frozen_and_training_are_two_switches(frozen, training, batch_statistics, learns, rng):
    layer = BatchNorm(3).freeze(frozen)
    x = (4 + 2 * rng.normal(size=(50, 3))).astype(np.float32)
    before = statistics_bytes(layer)
    y = layer.forward(x, training)
    layer.backward(y)
    assert (abs(y.mean()) < 1e-5) == batch_statistics
    assert (statistics_bytes(layer) != before) == batch_statistics
    assert (layer.gamma.grad is not None) == learns


def test_frozen_chain_keeps_its_statistics_through_training(rng):
    net, x = encoder(rng).freeze(), rng.normal(size=(4, 6, 6, 1)).astype(np.float32)
    before = statistics_bytes(net)
    in_use = net.forward(x)
    np.testing.assert_array_equal(net.forward(x, training=True), in_use)
    assert before.keys() == {"1.running_mean", "1.running_var"}
    assert statistics_bytes(net) == before


def test_freezing_leaves_dropout_to_the_training_switch(rng):
    layer, x = Dropout(0.5, rng).freeze(), np.ones((10, 10))
    assert (layer.forward(x, training=True) == 0).any()
    assert (layer.forward(x) == 1).all()


def test_unfrozen_layer_learns_again(rng):
    layer, x = made("dense", rng)
    layer.freeze().freeze(False)
    layer.backward(layer.forward(x))
    assert layer.w.grad is not None


def test_chain_is_frozen_when_all_its_layers_are(rng):
    net = encoder(rng)
    assert not net.frozen
    net.frozen = True
    assert net.frozen and all(layer.frozen for layer in net.layers)
    net.layers[0].freeze(False)
    assert not net.frozen and net.trainable_parameters() == net.layers[0].parameters()


def test_making_a_chain_of_a_frozen_layer_leaves_it_frozen(rng):
    shared = encoder(rng).freeze()
    net = Sequential(shared, head(rng))
    assert shared.frozen and not net.frozen
    assert net.trainable_parameters() == net.layers[1].parameters()


def test_dropout_is_repeated_by_its_seed():
    x = np.ones((6, 7), np.float32)
    y = [Dropout(0.4, np.random.default_rng(s)).forward(x, training=True) for s in (3, 3, 4)]
    np.testing.assert_array_equal(y[0], y[1])
    assert (y[0] != y[2]).any()


def test_dropout_draws_a_new_mask_each_time(rng):
    layer, x = Dropout(0.4, rng), np.ones((6, 7))
    assert (layer.forward(x, training=True) != layer.forward(x, training=True)).any()


# ------------------------------------------------------------------------------ chains


def test_chain_calls_its_layers_in_turn(rng):
    a, b = Dense(3, 4, rng), Dense(4, 2, rng)
    x = rng.normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(Sequential(a, b).forward(x), b.forward(a.forward(x)))


def test_calling_a_layer_is_its_forward_pass(rng):
    x = rng.normal(size=(4, 6, 6, 1)).astype(np.float32)
    networks = [encoder(np.random.default_rng(1)) for _ in range(2)]
    for training in (True, False):
        np.testing.assert_array_equal(networks[0](x, training), networks[1].forward(x, training))


def test_chain_is_a_sequence_of_its_layers(rng):
    net = encoder(rng)
    assert len(net) == 3 and list(net) == [net[0], net[1], net[-1]]
    assert net[:2].layers == net.layers[:2] and isinstance(net[1:], Sequential)
    with pytest.raises(IndexError):
        net[3]


def test_layer_cannot_stand_twice_in_a_chain(rng):
    layer = Dense(3, 3, rng)
    with pytest.raises(ValueError, match="it can stand in a chain only once"):
        Sequential(layer, Dense(3, 3, rng), layer)


def test_leaves_are_the_layers_of_nested_chains_in_order(rng):
    down, up = encoder(rng), head(rng)
    assert Sequential(down, Sequential(up)).leaves() == [*down, *up]
    assert down[0].leaves() == [down[0]]


def test_chain_hands_training_down_to_every_layer(rng):
    net = Sequential(Sequential(BatchNorm(2)), Sequential(Sequential(BatchNorm(2))))
    before = statistics_bytes(net)
    net.forward(rng.normal(size=(5, 2)).astype(np.float32), training=True)
    after = statistics_bytes(net)
    assert len(before) == 4 and all(before[name] != after[name] for name in before)


def test_names_in_a_chain_of_chains_tell_the_place(rng):
    net = Sequential(encoder(rng), head(rng))
    names = ["0.0.w", "0.0.b", "0.1.gamma", "0.1.beta", "1.1.w", "1.1.b"]
    assert list(net.named_parameters()) == names
    assert net.named_parameters()["1.1.w"] is net.layers[1].layers[1].w


class Watched(Layer):
    """Hands everything on and writes down how its backward pass was called."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, x, training=False, keep=True):
        return x

    def backward(self, dy, input_gradient=True):
        self.calls.append(input_gradient)
        return dy if input_gradient else None


def watched_chain(rng):
    """Dense layers 1, 3 and 5 with a watched layer before each."""
    dense = [Dense(3, 3, rng) for _ in range(3)]
    watched = [Watched() for _ in range(3)]
    layers = [layer for pair in zip(watched, dense, strict=True) for layer in pair]
    return Sequential(*layers), watched, dense


@pytest.mark.parametrize(
    ("frozen", "reached"),
    [
        ([], [False, True, True]),
        ([0], [False, False, True]),
        ([0, 1], [False, False, False]),
        ([1], [False, True, True]),
        ([1, 2], [False, True, True]),
        ([0, 1, 2], [False, False, False]),
    ],
)
def test_backward_goes_no_lower_than_somebody_learns(frozen, reached, rng, monkeypatch):
    net, watched, dense = watched_chain(rng)
    for i in frozen:
        dense[i].freeze()
    grad_input = counted(monkeypatch, Dense, "_grad_input")
    y = net.forward(np.ones((2, 3), np.float32))
    assert net.backward(y, input_gradient=False) is None
    assert [bool(w.calls) for w in watched] == reached
    assert len(grad_input) == sum(reached)  # the lowest that learns computes no dx
    assert [d.w.grad is not None for d in dense] == [i not in frozen for i in range(3)]


def test_backward_of_a_frozen_chain_goes_all_the_way_for_an_input_gradient(rng):
    net, watched, _ = watched_chain(rng)
    net.freeze()
    y = net.forward(np.ones((2, 3), np.float32))
    assert net.backward(y).shape == (2, 3)
    assert [w.calls for w in watched] == [[True]] * 3


def test_first_convolution_of_a_network_pays_for_no_input_gradient(rng, monkeypatch):
    net = Sequential(encoder(rng), head(rng))
    calls = counted(monkeypatch, Conv2D, "_grad_input")
    y = net.forward(rng.normal(size=(2, 4, 4, 1)).astype(np.float32))
    net.backward(y, input_gradient=False)
    assert not calls and net.parameters()[0].grad is not None


def test_shared_encoder_collects_the_gradients_of_both_heads(rng):
    shared, heads = encoder(rng), [head(rng), head(rng)]
    nets = [Sequential(shared, one) for one in heads]
    x = rng.normal(size=(3, 6, 6, 1)).astype(np.float32)
    alone = []
    for net in nets:
        net.zero_gradients()
        net.backward(np.ones_like(net.forward(x)))
        alone.append([p.grad for p in shared.parameters()])
    shared.zero_gradients()
    for net in nets:
        net.backward(np.ones_like(net.forward(x)))
    for parameter, a, b in zip(shared.parameters(), *alone, strict=True):
        np.testing.assert_allclose(parameter.grad, a + b, rtol=1e-6)


# ------------------------------------------------------------------------------ arrays


def spoiled(arrays, change):
    arrays = {name: value + 1 for name, value in arrays.items()}
    change(arrays)
    return arrays


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("1.running_var"), r"differ in: 1\.running_var"),
        (lambda a: a.update(stranger=np.zeros(1)), "differ in: stranger"),
        (lambda a: a.update({"1.beta": np.zeros(4)}), r"1\.beta must be \(3,\), got \(4,\)"),
        (lambda a: a.update({"0.w": np.zeros((3, 3, 3))}), r"must be \(3, 3, 1, 3\), got \(3, 3"),
    ],
)
def test_arrays_that_do_not_fit_are_named_and_change_nothing(change, message, rng):
    net = encoder(rng)
    before = {name: value.tobytes() for name, value in net.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        net.load_state_dict(spoiled(net.state_dict(), change))
    assert {name: value.tobytes() for name, value in net.state_dict().items()} == before


def test_loading_keeps_the_arrays_and_their_dtype(rng):
    net = encoder(rng)
    optimizer_sees = net.parameters()[0].value
    net.load_state_dict(
        {name: 0 * v.astype(np.float64) + 7 for name, v in net.state_dict().items()}
    )
    assert net.parameters()[0].value is optimizer_sees
    assert (optimizer_sees == 7).all() and optimizer_sees.dtype == np.float32


def test_astype_converts_parameters_and_statistics_and_forgets_gradients(rng):
    net = encoder(rng)
    net.backward(net.forward(np.ones((2, 4, 4, 1), np.float32)))
    assert net.astype(np.float64) is net
    assert {a.dtype for a in net.state_dict().values()} == {np.dtype(np.float64)}
    assert all(p.grad is None for p in net.parameters())
    assert net.to(Device(np, "here")) is net


def test_parameter_adds_without_changing_what_it_was_given():
    parameter, first = Parameter(np.zeros(2)), np.ones(2)
    parameter.add(first)
    parameter.add(np.ones(2))
    assert parameter.grad.tolist() == [2, 2] and first.tolist() == [1, 1]
    assert repr(parameter) == "Parameter(2,)"


@pytest.mark.parametrize(("shape", "fan_in"), [((3, 3, 16, 40), 144), ((200, 100), 200)])
def test_he_normal_has_the_variance_of_its_fan_in(shape, fan_in, rng):
    w = he_normal(shape, rng)
    assert w.dtype == np.float32
    assert w.var() == pytest.approx(2 / fan_in, rel=0.1)
    assert abs(w.mean()) < 0.1 * w.std()


def test_weights_are_repeated_by_their_seed():
    a, b = (Conv2D(2, 3, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(a.w.value, b.w.value)
    assert not a.b.value.any()


@pytest.mark.parametrize(
    ("layer", "x", "message"),
    [
        (lambda rng: Conv2D(2, 3, rng), (1, 4, 4, 3), r"\(1, 4, 4, 3\) and \(3, 3, 2, 3\)"),
        (lambda rng: UpsampleConv2D(2, 3, rng), (4, 4, 2), r"\(4, 4, 2\) and \(3, 3, 2, 3\)"),
        (lambda rng: Dense(2, 3, rng), (1, 4), r"Dense\(2, 3\): input has 4 channels, expected 2"),
        (lambda rng: Dense(2, 3, rng), (1, 5, 2), r"Dense\(2, 3\): input must be \(C\), got"),
        (lambda rng: BatchNorm(2), (1, 4, 4, 3), r"\(3,\) for x \(1, 4, 4, 3\), got \(2,\)"),
    ],
)
def test_layer_names_both_shapes_where_they_do_not_fit(layer, x, message, rng):
    with pytest.raises(ValueError, match=message):
        layer(rng).forward(np.zeros(x, np.float32))


@pytest.mark.parametrize("name", [n for n in LAYERS if n not in ("chain", "dropout")])
def test_layer_equals_its_op(name, rng):
    layer, x = made(name, rng)
    op = {"conv2d strided": "conv2d", "pool": "global_average_pool"}.get(name, name)
    arguments = [*(p.value for p in layer.parameters()), *layer.statistics().values()]
    settings = (2, 3) if name == "conv2d strided" else (False,) if name == "batchnorm" else ()
    expected, _ = getattr(ops, f"{op}_forward")(x, *arguments, *settings)
    np.testing.assert_array_equal(layer.forward(x), expected)


@pytest.mark.parametrize("rate", [2.0, 1, -0.1, np.nan])
def test_dropout_rate_is_checked_when_the_layer_is_made(rate, rng):
    with pytest.raises(ValueError, match=r"the dropout rate must be in \[0, 1\), got"):
        Dropout(rate, rng)


@pytest.mark.parametrize("momentum", [9, -0.1, np.nan])
def test_momentum_is_checked_when_the_layer_is_made(momentum):
    with pytest.raises(ValueError, match=f"momentum must be in 0..1, got {momentum}"):
        BatchNorm(3, momentum=momentum)
