"""Weights from Keras on its PyTorch backend: the same numbers from both."""

import numpy as np
import pytest
from twins import TITLES, difference, every_layer, images, keras, keras_twin, paper

from ums.interchange.weights import load_keras, to_keras
from ums.layers import BatchNorm, Conv2D, Dense, Sequential, UpsampleConv2D

layers = keras().layers
CONVOLUTION = {"filters": 2, "kernel_size": 3, "padding": "same"}
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def disturb(model, rng):
    """Random scales, biases and statistics; weights as Keras draws them."""
    for variable in model.weights:
        if len(variable.shape) == 1:
            low, high = (0.02, 0.1) if variable.name.endswith("variance") else (0.3, 1.2)
            variable.assign(rng.uniform(low, high, variable.shape))
    return model


def same(network, model, x):
    load_keras(network, model)
    assert difference(network.forward(x), model.predict(x, verbose=0)) < 1e-5


@pytest.mark.parametrize("k", range(len(TITLES)), ids=TITLES)
def test_networks_of_the_paper_come_from_keras_and_go_back(k, rng):
    network, x = paper(k, rng)
    model = disturb(keras_twin(network, x.shape[1:]), rng)
    same(network, model, x)
    for parameter in network.parameters():
        parameter.value *= 1.01
    to_keras(network, model)
    assert difference(model.predict(x, verbose=0), network.forward(x)) < 1e-5


@pytest.mark.parametrize(
    ("own", "other", "settings", "message"),
    [
        (
            lambda rng: Conv2D(2, 2, rng, stride=2),
            layers.Conv2D,
            {"strides": 2},
            "pads as Keras does",
        ),
        (lambda rng: BatchNorm(2), layers.BatchNormalization, {}, r"epsilon 0\.001: not BatchNorm"),
        (
            lambda rng: Conv2D(2, 2, rng),
            layers.Conv2D,
            {"use_bias": False},
            "has no .*bias, and the",
        ),
    ],
)
def test_what_keras_cannot_take_is_refused_and_changes_nothing(own, other, settings, message, rng):
    network = own(rng)
    for parameter in network.parameters():
        parameter.value += 1
    settings = (CONVOLUTION if other is layers.Conv2D else {}) | settings
    model = keras().Sequential([keras().Input((8, 8, 2)), other(**settings)])
    before = [np.array(variable) for variable in model.weights]
    with pytest.raises(ValueError, match=message):
        to_keras(network, model)
    for variable, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(np.array(variable), value)


@pytest.mark.parametrize("side", [7, 8, 9, 10])
@pytest.mark.parametrize("K", [1, 3, 5])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (3, 1), (1, 2)])
def test_convolution_pads_as_keras_does(stride, dilation, K, side, rng):
    network, x = Conv2D(2, 3, rng, K, stride, dilation), images(rng, side, 8, 2)
    same(network, disturb(keras_twin(network, x.shape[1:]), rng), x)


def test_settings_of_keras_are_taken_over(rng):
    network = Sequential(Conv2D(1, 2, rng, stride=2), BatchNorm(2))
    x = images(rng, 8, 8, 1)
    same(network, disturb(keras_twin(network, (8, 8, 1)), rng), x)
    assert (
        repr(network)
        == "Sequential(Conv2D(1, 2, stride=2, padding='same'), BatchNorm(2, eps=0.001))"
    )
    assert network[1].momentum == 0.99


def test_models_in_a_model_are_opened_and_arrays_left_out_have_their_neutral_value(rng):
    network = Sequential(Conv2D(1, 2, rng), BatchNorm(2), Conv2D(2, 2, rng, kernel=1))
    for parameter in network.parameters():
        parameter.value += 1
    inner = keras().Sequential([layers.Conv2D(2, 3, padding="same", use_bias=False, name="conv")])
    outer = [layers.BatchNormalization(scale=False), layers.Conv2D(2, 1, name="conv")]
    model = keras().Sequential([keras().Input((6, 5, 1)), inner, *outer])
    same(network, disturb(model, rng), images(rng, 6, 5, 1))
    assert network[1].gamma.value.tolist() == [1, 1] and not network[0].b.value.any()


MISFITS = [
    (Conv2D, layers.Conv2D, {"strides": 2}, r"strides \(2, 2\).*: not Conv2D\(2, 2\)"),
    (Conv2D, layers.Conv2D, {"dilation_rate": 2}, r"dilation \(2, 2\).*: not Conv2D\(2, 2\)"),
    (Conv2D, layers.Conv2D, {"padding": "valid"}, "padding 'valid'"),
    (UpsampleConv2D, layers.Conv2DTranspose, {"strides": 2}, r"strides \(2, 2\)"),
    (Conv2D, layers.Conv2D, {"kernel_size": 5}, r"is \(3, 3, 2, 2\), .*kernel is \(5, 5, 2, 2\)"),
    (Conv2D, layers.SeparableConv2D, {}, r"separable.*kernel is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("own", "other", "settings", "message"), MISFITS)
def test_layer_that_computes_something_else_is_refused(own, other, settings, message, rng):
    network = own(2, 2, rng)
    before = {name: value.copy() for name, value in network.state_dict().items()}
    model = keras().Sequential([keras().Input((8, 8, 2)), other(**{**CONVOLUTION, **settings})])
    with pytest.raises(ValueError, match=message):
        load_keras(network, model)
    for name, value in network.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_dense_weights_come_from_keras(rng):
    model = keras().Sequential([keras().Input((5,)), layers.Dense(3)])
    same(Dense(5, 3, rng), disturb(model, rng), rng.normal(size=(4, 5)).astype(np.float32))


def test_every_layer_comes_from_keras(rng):
    network, x = every_layer(rng), images(rng, 11, 10, 2)
    network[0][0].dilation = 1  # Keras has no stride and dilation at once
    same(network, disturb(keras_twin(network, x.shape[1:]), rng), x)
