"""The paper's networks with weights away from where they start, and their twins elsewhere."""

import os

import numpy as np
import pytest

from ums.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    GlobalAveragePool,
    ReLU,
    Sequential,
    Upsample2D,
    UpsampleConv2D,
)
from ums.networks import (
    classification_head,
    cxr_decoder,
    cxr_encoder,
    echo_encoder,
    recovered,
    segmentation_head,
    separate_classifier,
)


def _cxr(rng, C, **head):
    return Sequential(cxr_encoder(rng, C), classification_head(256, rng=rng, **head))


def _echo(rng, head, **how):
    return Sequential(echo_encoder(rng, **how), classification_head(256, rng=rng, **head))


def _outline(rng, C, outputs):
    return Sequential(cxr_encoder(rng, C), segmentation_head(cxr_decoder(rng), rng, outputs))


PAPER = [
    (one.title, one.channels, lambda rng, k=k: recovered(rng)[k].network)
    for k, one in enumerate(recovered(np.random.default_rng(0)))
] + [
    ("CXR lung head", 1, lambda rng: _outline(rng, 1, 1)),
    ("CXR head for masks of four classes", 3, lambda rng: _outline(rng, 3, 4)),
    ("CXR head for a number", 1, lambda rng: _cxr(rng, 1, classes=1, batch_norm=True)),
    ("CXR head for several labels, no batch norm", 3, lambda rng: _cxr(rng, 3, classes=14)),
    ("separate classifier of three classes", 3, lambda rng: separate_classifier(rng, 3, 3)),
    ("echo quality head", 3, lambda rng: _echo(rng, {"classes": 2, "batch_norm": True})),
    ("searched echo source", 3, lambda rng: _echo(rng, {"classes": 3}, kernel=5, dilation=4)),
]  # fmt: skip
TITLES = [title for title, *_ in PAPER]


def paper(k, rng):
    """The k-th of the paper's networks at full width, all of it random, and images with an odd side."""
    _, C, make = PAPER[k]
    network = disturbed(make(rng), rng)
    for layer in network.leaves():
        if isinstance(layer, BatchNorm):
            layer.eps = 2e-3
    return network, images(rng, 32, 47, C)


def every_layer(rng):
    """One of each layer, strided and dilated at once, in nested Sequentials; an odd side fits."""
    first = Sequential(Conv2D(2, 3, rng, 5, stride=2, dilation=2), BatchNorm(3), ReLU())
    then = Sequential(Upsample2D(), UpsampleConv2D(3, 4, rng), Sequential(Dropout(0.5, rng)))
    last = Sequential(GlobalAveragePool(), BatchNorm(4, eps=1e-3), Dense(4, 2, rng))
    return disturbed(Sequential(first, then, last), rng)


def disturbed(network, rng):
    """Random biases, scales and statistics; variances so small that eps shows."""
    for name, value in network.state_dict().items():
        if not name.endswith("w"):
            low, high = (0.02, 0.1) if name.endswith("var") else (0.5, 1.5)
            value[...] = rng.uniform(low, high, value.shape) * (1 if name[-1] in "ra" else 0.1)
    return network


def difference(found, expected):
    """The largest difference, as a share of the largest value expected."""
    assert found.shape == expected.shape
    return abs(found - expected).max() / abs(expected).max()


def images(rng, H, W, C, N=3):
    return rng.normal(size=(N, H, W, C)).astype(np.float32)


# ------------------------------------------------------------------------------ PyTorch


def torch_twin(network, bias=True):
    """The same layers in PyTorch, with weights of its own."""
    nn, pooled, twins = pytest.importorskip("torch").nn, False, []
    for layer in network.leaves():
        pooled |= isinstance(layer, GlobalAveragePool)
        twins += _torch_layer(nn, layer, pooled, bias)
    return nn.Sequential(*twins).eval()


def _torch_layer(nn, layer, pooled, bias):
    twice = nn.Upsample(scale_factor=2)
    if isinstance(layer, Conv2D | UpsampleConv2D):
        K, _, C, O = layer.w.value.shape
        s, d = getattr(layer, "stride", 1), getattr(layer, "dilation", 1)
        conv = nn.Conv2d(C, O, K, s, d * (K - 1) // 2, d, bias=bias)
        return [twice, conv] if isinstance(layer, UpsampleConv2D) else [conv]
    if isinstance(layer, Dense):
        return [nn.Linear(*layer.w.value.shape)]
    if isinstance(layer, BatchNorm):
        return [(nn.BatchNorm1d if pooled else nn.BatchNorm2d)(layer.beta.value.size, layer.eps)]
    if isinstance(layer, GlobalAveragePool):
        return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return [{ReLU: nn.ReLU(), Dropout: nn.Dropout(), Upsample2D: twice}[type(layer)]]


def run_torch(module, x):
    """A module's output for images (N, H, W, C), in ums's layout."""
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        y = module(torch.from_numpy(x).permute(0, 3, 1, 2)).numpy()
    return y.transpose(0, 2, 3, 1) if y.ndim == 4 else y


# ------------------------------------------------------------------------------ Keras


def keras():
    """Keras on PyTorch, which writes no settings to the home folder."""
    pytest.importorskip("torch")
    os.environ |= {"KERAS_BACKEND": "torch", "KERAS_HOME": os.devnull}
    return pytest.importorskip("keras")


def keras_twin(network, shape, **settings):
    """The same layers in Keras with its own usual settings, and with weights of its own."""
    parts = [keras().Input(shape)]
    for layer in network.leaves():
        parts += _keras_layer(keras().layers, layer, settings)
    return keras().Sequential(parts)


def _keras_layer(there, layer, settings):
    twice = there.UpSampling2D(2)
    if isinstance(layer, Conv2D | UpsampleConv2D):
        K, _, _, O = layer.w.value.shape
        steps = {
            "strides": getattr(layer, "stride", 1),
            "dilation_rate": getattr(layer, "dilation", 1),
        }
        conv = there.Conv2D(O, K, padding="same", **{**steps, **settings})
        return [twice, conv] if isinstance(layer, UpsampleConv2D) else [conv]
    if isinstance(layer, Dense):
        return [there.Dense(layer.b.value.size)]
    if isinstance(layer, GlobalAveragePool):
        return [there.GlobalAveragePooling2D()]
    others = {ReLU: there.ReLU, Upsample2D: lambda: twice, BatchNorm: there.BatchNormalization}
    return [others.get(type(layer), lambda: there.Dropout(0.5))()]
