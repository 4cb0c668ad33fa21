"""The paper's networks: encoders, decoders, heads and the separate models of the baseline.

``python -m ums.networks`` prints each one, layer by layer, and the parameter counts beside those of
the paper's Tables 4, 6, 8 and 10, from which most of the architectures were recovered. All
convolutions are 3x3 with bias unless a name says otherwise. ``width`` scales every hidden channel
count, for quick runs; 1 is the paper's.
"""

import argparse
import copy
from collections.abc import Iterable
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.random import Generator

from ums.checks import check_positive
from ums.layer import parameter_count
from ums.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    GlobalAveragePool,
    Layer,
    ReLU,
    Sequential,
    UpsampleConv2D,
)

__all__ = [
    "classification_head", "copy_network", "cxr_decoder", "cxr_encoder", "denoising_autoencoder",
    "echo_decoder", "echo_encoder", "parameter_count", "segmentation_head", "separate_classifier",
]  # fmt: skip

CXR_ENCODER = (64, 64, 128, 256)
CXR_DECODER = (128, 64, 32, 16)
ECHO_ENCODER = (8, 16, 32, 64, 128, 256)
ECHO_DECODER = (128, 64, 32, 16, 8)
SEPARATE_CLASSIFIER = (16, 32, 64, 128, 256, 512)


def _scaled(channels: Iterable[int], width: float) -> list[int]:
    check_positive("width", width)
    return [max(1, round(width * c)) for c in channels]


def cxr_encoder(rng: Generator, in_channels: int = 1, width: float = 1.0) -> Sequential:
    """Four strided convolutions, each with batch norm and ReLU (section 4.1.1, Fig. 6).

    (N, H, W, in_channels) -> (N, ceil(H / 16), ceil(W / 16), 256 width); for the decoder to give the
    input's size back, a side must be a multiple of 16.
    """
    layers: list[Layer] = []
    for O in _scaled(CXR_ENCODER, width):
        layers += [Conv2D(in_channels, O, rng, stride=2), BatchNorm(O), ReLU()]
        in_channels = O
    return Sequential(*layers)


def cxr_decoder(rng: Generator, out_channels: int = 1, width: float = 1.0) -> Sequential:
    """Four upsampled convolutions, each with batch norm and ReLU, then a 1x1 one (section 4.1.1).

    (N, h, w, 256 width) -> (N, 16 h, 16 w, out_channels).
    """
    C = _scaled(CXR_ENCODER, width)[-1]
    layers: list[Layer] = []
    for O in _scaled(CXR_DECODER, width):
        layers += [UpsampleConv2D(C, O, rng), BatchNorm(O), ReLU()]
        C = O
    return Sequential(*layers, Conv2D(C, out_channels, rng, kernel=1))


def denoising_autoencoder(
    rng: Generator, in_channels: int = 1, out_channels: int = 1, width: float = 1.0
) -> Sequential:
    """The convolutional denoising autoencoder (CDAE): ``Sequential(encoder, decoder)``.

    The source of the chest X-ray part. With one channel in and three out it has the 800,067 trainable
    parameters of Table 4.
    """
    return Sequential(cxr_encoder(rng, in_channels, width), cxr_decoder(rng, out_channels, width))


def segmentation_head(decoder: Sequential, rng: Generator, outputs: int = 1) -> Sequential:
    """A trained decoder with its last convolution replaced by one to a single channel (4.1.2).

    ``outputs`` channels are for masks of as many classes.
    The other layers are copies: the decoder passed in keeps its weights when the head is tuned.
    """
    *layers, last = copy_network(decoder)
    C = last.named_parameters()["w"].value.shape[2]
    return Sequential(*layers, Conv2D(C, outputs, rng, kernel=1))


def echo_encoder(
    rng: Generator,
    in_channels: int = 3,
    width: float = 1.0,
    channels: Iterable[int] = ECHO_ENCODER,
    kernel: int = 3,
    dilation: int = 2,
) -> Sequential:
    """Six convolutions with ReLU, the last three dilated (section 4.2.1, Fig. 8); no batch norm.

    The text does not give the strides; the first three convolutions have stride 2 here:
    (N, H, W, in_channels) -> (N, ceil(H / 8), ceil(W / 8), 256 width). ``kernel``, odd, is the side of
    all six kernels; it and ``dilation`` were chosen by the paper's search.
    """
    layers: list[Layer] = []
    for i, O in enumerate(_scaled(channels, width)):
        convolution = Conv2D(in_channels, O, rng, kernel, *((2, 1) if i < 3 else (1, dilation)))
        layers += [convolution, ReLU()]
        in_channels = O
    return Sequential(*layers)


def echo_decoder(rng: Generator, out_channels: int = 1, width: float = 1.0) -> Sequential:
    """The symmetrical decoder: five convolutions, the last three after upsampling, then 1x1."""
    C = _scaled(ECHO_ENCODER, width)[-1]
    layers: list[Layer] = []
    for i, O in enumerate(_scaled(ECHO_DECODER, width)):
        layers += [Conv2D(C, O, rng) if i < 2 else UpsampleConv2D(C, O, rng), ReLU()]
        C = O
    return Sequential(*layers, Conv2D(C, out_channels, rng, kernel=1))


def classification_head(
    channels: int,
    classes: int,
    rng: Generator,
    hidden: int = 256,
    dropout: float = 0.5,
    batch_norm: bool = False,
) -> Sequential:
    """Global average pooling (GAP), fully connected (FC), ReLU, dropout, FC (section 3.2.3).

    (N, h, w, channels) -> (N, classes) logits; the softmax is part of the loss. With ``batch_norm``
    the pooled features are normalised first: a denoising encoder's are large in what all images share
    and small in what tells them apart, and a head on a frozen encoder learns slowly from them.

    It has 66,306 parameters on the chest X-ray encoder, 66,818 with batch norm (the paper: 295,715).
    """
    return Sequential(
        GlobalAveragePool(),
        *([BatchNorm(channels)] if batch_norm else []),
        Dense(channels, hidden, rng),
        ReLU(),
        Dropout(dropout, rng),
        Dense(hidden, classes, rng),
    )


def separate_classifier(
    rng: Generator, in_channels: int = 1, classes: int = 2, width: float = 1.0
) -> Sequential:
    """The baseline's classifier (1,573,506 parameters; Tables 4, 6, 8, 10): convolutions, GAP, FC.

    The text does not give the strides; the first four convolutions have stride 2 here, so that the
    last map, (ceil(H / 16), ceil(W / 16)), is as small as that of the shared encoder.
    """
    layers: list[Layer] = []
    for i, O in enumerate(_scaled(SEPARATE_CLASSIFIER, width)):
        layers += [Conv2D(in_channels, O, rng, stride=2 if i < 4 else 1), ReLU()]
        in_channels = O
    return Sequential(*layers, GlobalAveragePool(), Dense(in_channels, classes, rng))


AnyLayer = TypeVar("AnyLayer", bound=Layer)


def copy_network(network: AnyLayer) -> AnyLayer:
    """A copy that shares nothing with the original and has seen no batch."""
    twin = copy.deepcopy(network)
    twin.zero_gradients()
    for layer in twin.leaves():
        layer._cache = None
    return twin


class Recovered(NamedTuple):
    """A network of the paper at full width, its input channels and its parameters in the paper."""

    title: str
    channels: int
    paper: int
    network: Sequential
    remark: str = ""


def recovered(rng: Generator) -> list[Recovered]:
    """The paper's networks, each with the tables that give its parameters."""
    cdae = denoising_autoencoder(rng, out_channels=3)
    cxr_head = classification_head(CXR_ENCODER[-1], 2, rng, batch_norm=True)
    cxr = Sequential(cxr_encoder(rng).freeze(), cxr_head)
    segmentation = Sequential(echo_encoder(rng, in_channels=1), echo_decoder(rng))
    separate = separate_classifier(rng)
    echo = Sequential(echo_encoder(rng), classification_head(ECHO_ENCODER[-1], 3, rng))
    one_channel = "three channels out; the experiments use one (800,033)"
    no_head = "not recovered: no GAP-FC-dropout-softmax head on these encoders has this count"
    six_layers = (
        "the whole six-layer network, not a head; Table 4 gives it for the X-rays as well, "
        "where the text describes the four-layer CDAE, which the experiments use"
    )
    return [
        Recovered("CXR source, the CDAE (Table 4)", 1, 800_067, cdae, one_channel),
        Recovered("CXR abnormality head on the CDAE's encoder (Table 4)", 1, 295_715, cxr, no_head),
        Recovered("segmentation network (Tables 4 and 8)", 1, 786_497, segmentation, six_layers),
        Recovered("separate classifier (Tables 4, 6, 8 and 10)", 1, 1_573_506, separate),
        Recovered("echo source (Tables 8 and 10)", 3, 460_115, echo),
    ]


def main() -> None:
    """Print every network and its count beside the paper's."""
    parser = argparse.ArgumentParser(prog="python -m ums.networks", description=main.__doc__)
    parser.add_argument("--size", type=int, default=256, help="image side in pixels (default 256)")
    size = parser.parse_args().size
    for title, channels, paper, network, remark in recovered(np.random.default_rng(0)):
        print(f"{title}, input {size} x {size} x {channels}")
        print(network.summary((size, size, channels)))
        print(f"  {'in the paper':42} {'':16} {paper:12,d}")
        print(f"  note: {remark}\n" if remark else "")


if __name__ == "__main__":
    main()
