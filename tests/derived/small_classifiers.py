"""Small classifiers whose maps are looked at, and the same layers in PyTorch."""

import numpy as np
import pytest

from ums.layers import BatchNorm, Conv2D, Dense, Dropout, GlobalAveragePool, ReLU, Sequential
from ums.networks import classification_head

# One image's features, 2 x 2 pixels of 2 channels, and a dense layer for three classes.
FEATURES = np.array([[[[1.0, 0.0], [0.0, 1.0]], [[2.0, 1.0], [0.0, 4.0]]]])
WEIGHTS = np.array([[1.0, -1.0, -1.0], [-1.0, 2.0, -3.0]])


def linear_head(w=WEIGHTS):
    head = Sequential(GlobalAveragePool(), Dense(*w.shape, np.random.default_rng(0)))
    head.layers[1].w.value = w.copy()
    head.layers[1].b.value = np.zeros(w.shape[1], w.dtype)
    return head


def classifier(rng, classes=3, dropout=0.5):
    """A small encoder and head with every parameter and statistic away from where it starts."""
    network = Sequential(
        Sequential(Conv2D(1, 4, rng, stride=2), BatchNorm(4), ReLU(), Conv2D(4, 6, rng), ReLU()),
        classification_head(6, classes, rng, hidden=8, dropout=dropout, batch_norm=True),
    )
    for name, value in network.state_dict().items():
        value += rng.uniform(0.1, 0.5, value.shape).astype(np.float32)
        assert "var" not in name or (value > 1).all()
    return network


def images(rng, N=5, H=12, W=8):
    return rng.normal(size=(N, H, W, 1)).astype(np.float32)


def as_torch(layer):
    """A layer of ours as PyTorch's, in evaluation mode, on (N, C, H, W)."""
    torch = pytest.importorskip("torch")
    nn, arrays = torch.nn, {k: torch.tensor(v) for k, v in layer.state_dict().items()}
    if isinstance(layer, Conv2D):
        _, _, C, O = arrays["w"].shape
        twin = nn.Conv2d(C, O, 3, layer.stride, layer.dilation, layer.dilation)
        twin.weight.data, twin.bias.data = arrays["w"].permute(3, 2, 0, 1), arrays["b"]
    elif isinstance(layer, Dense):
        twin = nn.Linear(*arrays["w"].shape)
        twin.weight.data, twin.bias.data = arrays["w"].T, arrays["b"]
    elif isinstance(layer, BatchNorm):
        twin = (nn.BatchNorm2d if layer.image else nn.BatchNorm1d)(len(arrays["beta"]), layer.eps)
        twin.weight.data, twin.bias.data = arrays["gamma"], arrays["beta"]
        twin.running_mean, twin.running_var = arrays["running_mean"], arrays["running_var"]
    elif isinstance(layer, GlobalAveragePool):
        twin = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    else:
        twin = {ReLU: nn.ReLU, Dropout: nn.Dropout}[type(layer)]()
    return twin.double().eval()


def torch_twins(network):
    """All layers of a network, with a global average pooling, in PyTorch."""
    layers, pooled = network.leaves(), False
    for layer in layers:
        pooled |= isinstance(layer, GlobalAveragePool)
        layer.image = not pooled
    return [as_torch(layer) for layer in layers]


def everything(network):
    """Arrays, gradients, switches and the state of the generator, to the byte."""
    return [
        {name: value.tobytes() for name, value in network.state_dict().items()},
        [None if p.grad is None else p.grad.tobytes() for p in network.parameters()],
        [layer.frozen for layer in network.leaves()],
        [layer.rng.bit_generator.state for layer in network.leaves() if isinstance(layer, Dropout)],
    ]
