"""What is measured: the paper's networks and the ops inside them, at the shapes they have there.

A case is a few words and numbers, so that it can be sent to a process of its own;
``with_ums.py`` and ``with_torch.py`` make it something to run.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True)
class Case:
    """One thing to time.

    Attributes:
        kind: ``"step"`` (forward, backward, update) or ``"inference"`` of a network; ``"op"``
            (forward and backward) or ``"forward"`` of an op; ``"epoch"`` of a head.
        name: of the network or op.
        side, batch: pixels a side of the images and images in a batch.
        device: ``"cpu"`` or ``"gpu"``.
        tf32: let a GPU round the factors of a product to 10 bits.
    """

    kind: str
    name: str
    side: int = 256
    batch: int = 16
    device: str = "cpu"
    tf32: bool = False

    def to_dict(self) -> dict:
        """As JSON can hold it."""
        return asdict(self)


class Network(NamedTuple):
    """Channels of the input, the loss, and the classes of a classifier."""

    channels: int
    loss: str
    classes: int = 0


NETWORKS = {
    "autoencoder": Network(1, "mse"),
    "segmentation network": Network(1, "bce_dice"),
    "echo source": Network(3, "cce", 3),
    "separate classifier": Network(1, "cce", 2),
}


class Op(NamedTuple):
    """A layer: its kind, its input's side for images of 256, channels in and out, stride, dilation."""

    kind: str
    side: int
    C: int
    O: int
    stride: int = 1
    dilation: int = 1


OPS = {
    "autoencoder, encoder 1": Op("conv", 256, 1, 64, 2),
    "autoencoder, encoder 2": Op("conv", 128, 64, 64, 2),
    "autoencoder, encoder 3": Op("conv", 64, 64, 128, 2),
    "autoencoder, encoder 4": Op("conv", 32, 128, 256, 2),
    "autoencoder, decoder 1": Op("upsample conv", 16, 256, 128),
    "autoencoder, decoder 2": Op("upsample conv", 32, 128, 64),
    "autoencoder, decoder 3": Op("upsample conv", 64, 64, 32),
    "autoencoder, decoder 4": Op("upsample conv", 128, 32, 16),
    "autoencoder, last (1x1)": Op("conv 1x1", 256, 16, 1),
    "echo, encoder 1": Op("conv", 256, 3, 8, 2),
    "echo, encoder 2": Op("conv", 128, 8, 16, 2),
    "echo, encoder 3": Op("conv", 64, 16, 32, 2),
    "echo, encoder 4 (dilated)": Op("conv", 32, 32, 64, 1, 2),
    "echo, encoder 5 (dilated)": Op("conv", 32, 64, 128, 1, 2),
    "echo, encoder 6 (dilated)": Op("conv", 32, 128, 256, 1, 2),
    "echo, decoder 1": Op("conv", 32, 256, 128),
    "echo, decoder 2": Op("conv", 32, 128, 64),
    "echo, decoder 3": Op("upsample conv", 32, 64, 32),
    "echo, decoder 4": Op("upsample conv", 64, 32, 16),
    "echo, decoder 5": Op("upsample conv", 128, 16, 8),
    "echo, last (1x1)": Op("conv 1x1", 256, 8, 1),
    "segmentation, encoder 1": Op("conv", 256, 1, 8, 2),
    "classifier, convolution 1": Op("conv", 256, 1, 16, 2),
    "classifier, convolution 2": Op("conv", 128, 16, 32, 2),
    "classifier, convolution 3": Op("conv", 64, 32, 64, 2),
    "classifier, convolution 4": Op("conv", 32, 64, 128, 2),
    "classifier, convolution 5": Op("conv", 16, 128, 256),
    "classifier, convolution 6": Op("conv", 16, 256, 512),
    "batch norm, 64 channels": Op("batch norm", 128, 64, 64),
    "batch norm, 16 channels": Op("batch norm", 256, 16, 16),
    "batch norm, 256 channels": Op("batch norm", 16, 256, 256),
    "ReLU, 16 channels": Op("relu", 256, 16, 16),
    "ReLU, 256 channels": Op("relu", 32, 256, 256),
    "global average pooling": Op("pool", 32, 256, 256),
    "head, fully connected": Op("dense", 1, 256, 256),
}


def op_side(case: Case) -> int:
    """Of the input of the case's op."""
    return max(1, OPS[case.name].side * case.side // 256)


def network_data(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Input (N, H, W, C) and target, the same for both libraries."""
    rng = np.random.default_rng(0)
    network, N, S = NETWORKS[case.name], case.batch, case.side
    x = rng.standard_normal((N, S, S, network.channels), dtype=np.float32)
    if network.loss == "cce":
        return x, rng.integers(0, network.classes, N)
    target = rng.random((N, S, S, 1), dtype=np.float32)
    return x, (target > 0.7).astype(np.float32) if network.loss == "bce_dice" else target


def op_data(case: Case) -> np.ndarray:
    """An op's input (N, H, W, C); of the fully connected layer, (N, C)."""
    op, S = OPS[case.name], op_side(case)
    shape = (case.batch, op.C) if op.kind == "dense" else (case.batch, S, S, op.C)
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def flops(case: Case) -> float | None:
    """Operations of the convolutions as they are written: an upsampled image counts at full size.

    Leaving out some of them (folding) shows as a higher rate. None where there is no
    convolution, and for an epoch.
    """
    if case.kind == "epoch":
        return None
    if case.kind in ("op", "forward"):
        op = OPS[case.name]
        if "conv" not in op.kind:
            return None
        side = op_side(case)
        side = side * 2 if op.kind == "upsample conv" else -(-side // op.stride)
        taps = 1 if op.kind == "conv 1x1" else 9
        passes = 3 if case.kind == "op" else 1
        return passes * 2.0 * case.batch * side**2 * taps * op.C * op.O
    forward = [2.0 * case.batch * n for n in _multiplications(case)]
    if case.kind == "inference":
        return sum(forward)
    return 3 * sum(forward) - forward[0]  # nobody asks for the gradient of the image


def _multiplications(case: Case) -> list[int]:
    """Of every convolution, for one image."""
    from with_ums import build

    from ums.layers import Conv2D, UpsampleConv2D

    found, shape = [], (case.side, case.side, NETWORKS[case.name].channels)
    for layer in build(case.name).leaves():
        shape = layer.output_shape(shape)
        if isinstance(layer, Conv2D | UpsampleConv2D):
            found.append(shape[0] * shape[1] * layer.w.value.size)
    return found
