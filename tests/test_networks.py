"""The networks: parameter counts worked out by hand, shapes, copies, gradients."""

import re
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from ums.gradcheck import check_layer
from ums.layers import Conv2D, Sequential
from ums.networks import (
    classification_head,
    copy_network,
    cxr_decoder,
    cxr_encoder,
    denoising_autoencoder,
    echo_decoder,
    echo_encoder,
    parameter_count,
    recovered,
    segmentation_head,
    separate_classifier,
)


def convs(*channels, kernel=3):
    """Weights and biases of convolutions from each channel count to the next."""
    return sum(kernel * kernel * C * O + O for C, O in pairwise(channels))


def norms(*channels):
    return sum(2 * C for C in channels)


def dense(*channels):
    return convs(*channels, kernel=1)


# The channel lists are the text's (sections 4.1.1, 4.2.1 and 3.2.3), batch norm where it says so.
ENCODER_4 = convs(1, 64, 64, 128, 256) + norms(64, 64, 128, 256)
DECODER_4 = convs(256, 128, 64, 32, 16) + norms(128, 64, 32, 16)
ENCODER_6 = convs(1, 8, 16, 32, 64, 128, 256)
DECODER_5 = convs(256, 128, 64, 32, 16, 8)
CLASSIFIER = convs(1, 16, 32, 64, 128, 256, 512)
ECHO_SOURCE = convs(3, 8, 16, 32, 64, 128, 256) + dense(256, 256, 3)

BY_HAND = {
    "autoencoder": (
        lambda rng: denoising_autoencoder(rng, out_channels=3),
        ENCODER_4 + DECODER_4 + convs(16, 3, kernel=1),
        800_067,
    ),
    "autoencoder of the experiments": (
        denoising_autoencoder, ENCODER_4 + DECODER_4 + convs(16, 1, kernel=1), 800_033,
    ),
    "segmentation": (
        lambda rng: Sequential(echo_encoder(rng, in_channels=1), echo_decoder(rng)),
        ENCODER_6 + DECODER_5 + convs(8, 1, kernel=1),
        786_497,
    ),
    "separate classifier": (separate_classifier, CLASSIFIER + dense(512, 2), 1_573_506),
    "echo source": (
        lambda rng: Sequential(echo_encoder(rng), classification_head(256, 3, rng)),
        ECHO_SOURCE,
        460_115,
    ),
    "echo source with kernels of 7": (
        lambda rng: Sequential(echo_encoder(rng, kernel=7), classification_head(256, 3, rng)),
        convs(3, 8, 16, 32, 64, 128, 256, kernel=7) + dense(256, 256, 3),
        2_206_995,
    ),
    "abnormality head": (
        lambda rng: classification_head(256, 2, rng), dense(256, 256, 2), 66_306,
    ),
    "abnormality head with batch norm": (
        lambda rng: classification_head(256, 2, rng, batch_norm=True),
        norms(256) + dense(256, 256, 2),
        66_818,
    ),
}  # fmt: skip

SMALL = {
    "cxr encoder": (lambda rng, w: cxr_encoder(rng, width=w), 1),
    "cxr autoencoder": (lambda rng, w: denoising_autoencoder(rng, 1, 3, w), 1),
    "echo encoder": (lambda rng, w: echo_encoder(rng, width=w), 3),
    "echo encoder, 5 x 5, dilated by 3": (
        lambda rng, w: echo_encoder(rng, width=w, kernel=5, dilation=3), 3,
    ),
    "echo autoencoder": (
        lambda rng, w: Sequential(echo_encoder(rng, 1, w), echo_decoder(rng, width=w)), 1,
    ),
    "separate classifier": (lambda rng, w: separate_classifier(rng, width=w), 1),
    "classifier": (
        lambda rng, w: Sequential(
            echo_encoder(rng, width=w), classification_head(round(256 * w), 3, rng, hidden=5)
        ),
        3,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_HAND)
def test_parameter_count_is_the_papers_and_the_sum_by_hand(name, rng):
    make, by_hand, stated = BY_HAND[name]
    assert by_hand == stated
    assert parameter_count(make(rng)) == stated


def test_frozen_layers_and_statistics_are_not_counted(rng):
    network = denoising_autoencoder(rng)
    network.layers[0].freeze()
    assert parameter_count(network) == DECODER_4 + convs(16, 1, kernel=1)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("shape", [(16, 32), (48, 16)])
def test_forward_pass_has_the_shape_that_was_announced(name, shape, rng):
    make, channels = SMALL[name]
    network = make(rng, 0.05)
    y = network.forward(rng.normal(size=(2, *shape, channels)).astype(np.float32))
    assert y.shape[1:] == network.output_shape((*shape, channels))
    assert y.dtype == np.float32 and np.isfinite(y).all()


SHAPES = {
    "cxr encoder": (cxr_encoder, (64, 32, 1), (4, 2, 256)),
    "cxr decoder": (cxr_decoder, (4, 2, 256), (64, 32, 1)),
    "autoencoder": (denoising_autoencoder, (64, 32, 1), (64, 32, 1)),
    "echo encoder": (echo_encoder, (64, 32, 3), (8, 4, 256)),
    "echo decoder": (echo_decoder, (8, 4, 256), (64, 32, 1)),
    "separate classifier": (separate_classifier, (64, 32, 1), (2,)),
    "classification head": (lambda rng: classification_head(8, 3, rng), (4, 2, 8), (3,)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_network_maps_the_stated_shapes(name, rng):
    make, shape, expected = SHAPES[name]
    assert make(rng).output_shape(shape) == expected


@pytest.mark.parametrize(
    ("width", "channels"),
    [(0.001, [1, 1, 1, 1]), (0.05, [3, 3, 6, 13]), (0.07, [4, 4, 9, 18]), (1, [64, 64, 128, 256])],
)
def test_width_scales_channels_and_keeps_at_least_one(width, channels, rng):
    found = [
        c.b.value.size for c in cxr_encoder(rng, width=width).leaves() if isinstance(c, Conv2D)
    ]
    assert found == channels


@pytest.mark.parametrize("width", [0, -1, float("nan"), float("inf")])
def test_width_that_is_not_positive_is_refused(width, rng):
    with pytest.raises(ValueError, match=r"width must be a positive number, got"):
        cxr_encoder(rng, width=width)


@pytest.mark.parametrize("width", [0.03, 0.07, 0.11])
def test_odd_widths_train(width, rng):
    network = denoising_autoencoder(rng, width=width)
    y = network.forward(rng.normal(size=(2, 16, 16, 1)).astype(np.float32), training=True)
    network.backward(y, input_gradient=False)
    assert all(p.grad is not None and p.grad.any() for p in network.parameters()[-2:])


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (cxr_encoder, [(2, 1)] * 4),
        (echo_encoder, [(2, 1)] * 3 + [(1, 2)] * 3),
        (lambda rng: echo_encoder(rng, dilation=3), [(2, 1)] * 3 + [(1, 3)] * 3),
        (separate_classifier, [(2, 1)] * 4 + [(1, 1)] * 2),
    ],
)
def test_convolutions_have_the_stated_strides_and_dilations(make, expected, rng):
    found = [(c.stride, c.dilation) for c in make(rng).leaves() if isinstance(c, Conv2D)]
    assert found == expected


# ---------------------------------------------------------------------------- copies


def test_segmentation_head_starts_with_the_decoders_weights_but_the_last(rng):
    decoder = cxr_decoder(rng, out_channels=3, width=0.05)
    head = segmentation_head(decoder, rng)
    theirs, own = decoder.state_dict(), head.state_dict()
    differ = {name for name in own if not np.array_equal(own[name], theirs[name])}
    assert differ == {"12.w", "12.b"}
    assert own["12.w"].shape == (1, 1, 1, 1) and head.output_shape((1, 1, 13)) == (16, 16, 1)


def test_segmentation_head_and_decoder_share_no_array(rng):
    decoder = cxr_decoder(rng, width=0.05)
    head = segmentation_head(decoder, rng)
    before = {name: value.copy() for name, value in decoder.state_dict().items()}
    for value in head.state_dict().values():
        value += 1
    assert all(np.array_equal(value, before[k]) for k, value in decoder.state_dict().items())


def test_segmentation_head_learns_though_the_encoder_is_frozen(rng):
    autoencoder = denoising_autoencoder(rng, width=0.05)
    autoencoder.layers[0].freeze()
    head = segmentation_head(autoencoder.layers[1], rng)
    assert len(head.trainable_parameters()) == len(head.parameters())


def test_copy_of_a_network_keeps_its_outputs_and_not_its_arrays(rng):
    network = denoising_autoencoder(rng, width=0.05)
    x = rng.normal(size=(2, 16, 16, 1)).astype(np.float32)
    copy, y = copy_network(network), network.forward(x)
    for parameter in network.parameters():
        parameter.value[...] = 0
    assert y.any() and np.array_equal(copy.forward(x), y)


def test_copy_of_a_network_has_seen_no_batch(rng):
    network = cxr_decoder(rng, width=0.05)
    dy = network.forward(rng.normal(size=(2, 1, 1, 13)).astype(np.float32), training=True)
    network.backward(dy)
    network.forward(rng.normal(size=(2, 1, 1, 13)).astype(np.float32))
    copy = copy_network(network)
    assert all(parameter.grad is None for parameter in copy.parameters())
    with pytest.raises(RuntimeError, match="needs a forward pass"):
        copy.backward(dy)


# ---------------------------------------------------------------------------- gradients


@pytest.mark.parametrize(
    ("name", "training"),
    [
        ("cxr autoencoder", True),
        ("cxr autoencoder", False),
        ("echo autoencoder", True),
        ("separate classifier", True),
        ("echo encoder, 5 x 5, dilated by 3", True),
        ("classifier", False),  # dropout draws anew every time: its op is checked by itself
    ],
)
def test_gradients_of_a_whole_network_equal_differences(name, training, rng):
    make, channels = SMALL[name]
    network = make(rng, 0.03).astype(np.float64)
    for parameter in network.parameters():  # a gamma of 1 and a beta of 0 would hide mistakes
        parameter.value += 0.3 * rng.normal(size=parameter.value.shape)
    x = rng.normal(size=(3, 16, 16, channels))
    check_layer(network, x, rng=rng, training=training, max_entries=12, tolerance=1e-5)


# ---------------------------------------------------------------------------- printing


def test_summary_lists_layers_shapes_and_parameters(rng):
    lines = str(separate_classifier(rng, width=0.125).summary((32, 16, 1))).splitlines()
    assert len(lines) == 1 + 6 * 2 + 2 + 1 and lines[0].split() == ["layer", "output", "trainable"]
    assert re.fullmatch(r"  Conv2D\(1, 2, stride=2\) +16 x 8 x 2 +20", lines[1])
    assert re.fullmatch(r"  Dense\(64, 2\) +2 +130", lines[-2])
    assert lines[-1].split()[-1] == f"{convs(1, 2, 4, 8, 16, 32, 64) + dense(64, 2):,d}"


@pytest.mark.parametrize("size", [(), ("--size", "64")])
def test_command_prints_every_layer_and_the_papers_counts(size, rng):
    command = [sys.executable, "-m", "ums.networks", *size]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for network in recovered(rng):
        assert all(repr(layer) in printed for layer in network.network.leaves())
        side = size[-1] if size else "256"
        assert f"{network.title}, input {side} x {side} x {network.channels}" in printed
    trainable = re.findall(r"trainable parameters +([\d,]+)", printed)
    assert trainable == ["800,067", "66,818", "786,497", "1,573,506", "460,115"]
    paper = re.findall(r"in the paper +([\d,]+)", printed)
    assert paper == ["800,067", "295,715", "786,497", "1,573,506", "460,115"]
