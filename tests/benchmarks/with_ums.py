"""The cases done by ums, in its usual form and with its ideas taken away again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

import numpy as np
from cases import NETWORKS, OPS, Case, network_data, op_data, op_side

from ums import backend, layers, networks, ops
from ums.data import Examples
from ums.finetuning.loop import EndlessBatches
from ums.layers import Sequential
from ums.ops import activations, conv, norm
from ums.ops.fast import graphs, threads
from ums.optimizers import Adam
from ums.training import FitSettings, Training, predict, train_step

LADDER = (
    "windows of the whole batch, all plain",
    "+ freed memory kept",
    "+ convolution in tiles, over the threads",
    "+ upsampling folded into the convolution",
    "+ batch norm and ReLU in bands",
    "+ no gradient of the image",
)
"""Steps from the plain form of everything to the usual one; each has what those before it have."""

LOSSES = {"mse": ops.mse, "bce_dice": ops.bce_dice, "cce": ops.categorical_cross_entropy}


def work(case: Case, contestant: str) -> Callable[[], object]:
    """A function that does the case's work once. ``contestant`` is a rung of the ladder,
    ``"ums"``, ``"loop"``, or ``"ums, encoder every time"``."""
    step_down(LADDER.index(contestant) if contestant in LADDER else len(LADDER) - 1)
    device = backend.choose_device(case.device)
    image_gradient = contestant in LADDER[:-1]
    if contestant == "loop":
        return _loop(case)
    if case.kind == "epoch":
        return _epoch(case, device, kept=contestant == "ums")
    if case.kind in ("op", "forward"):
        return _op(case, device)
    return _network(case, device, image_gradient)


def synchronise(case: Case) -> None:
    """Wait for the GPU."""
    if case.device == "gpu":
        import cupy

        cupy.cuda.Stream.null.synchronize()


_most = 0


def reserved_mib() -> float:
    """The most that CuPy's pools, those of recorded layers too, held when this was called."""
    import cupy

    global _most
    chains = (step for _, steps in graphs._chains.values() for step in steps)
    pools = [chain.pool for chain in chains if isinstance(chain, graphs.Chain)]
    held = sum(pool.total_bytes() for pool in [cupy.get_default_memory_pool(), *pools])
    _most = max(_most, held)
    return _most / 2**20


def build(name: str) -> Sequential:
    """A network at full width, float32."""
    rng = np.random.default_rng(0)
    if name == "autoencoder":
        return networks.denoising_autoencoder(rng)
    if name == "segmentation network":
        return Sequential(networks.echo_encoder(rng, in_channels=1), networks.echo_decoder(rng))
    if name == "echo source":
        head = networks.classification_head(256, NETWORKS[name].classes, rng)
        return Sequential(networks.echo_encoder(rng), head)
    return networks.separate_classifier(rng, classes=NETWORKS[name].classes)


def step_down(rung: int) -> None:
    """Put the plain forms back in place of the ideas above ``rung``, in this process."""
    if rung >= 1:
        threads._keep_freed_memory()
    else:
        threads._keep_freed_memory = lambda: None
    if rung < 2:
        ops.conv2d_forward = conv.conv2d_forward_plain
        layers.Conv2D._grad_input = staticmethod(conv.conv2d_grad_input_plain)
        layers.Conv2D._grad_weights = staticmethod(conv.conv2d_grad_weights_plain)
    if rung < 3:
        networks.UpsampleConv2D = lambda C, O, rng: Sequential(
            layers.Upsample2D(), layers.Conv2D(C, O, rng)
        )
    if rung < 4:
        ops.batchnorm_forward = norm.batchnorm_forward_plain
        layers.BatchNorm._gradients = staticmethod(norm.batchnorm_backward_plain)
        ops.relu_forward = activations.relu_forward_plain
        layers.ReLU._grad_input = staticmethod(activations.relu_backward_plain)


def _network(case: Case, device, image_gradient: bool) -> Callable[[], object]:
    network = build(case.name).to(device)
    x, target = map(device.put, network_data(case))
    if case.kind == "inference":
        return lambda: network.forward(x, keep=False)
    loss, optimizer = LOSSES[NETWORKS[case.name].loss], Adam(network.trainable_parameters())

    def step_with_image_gradient():
        network.zero_gradients()
        _, gradient = loss(network.forward(x, training=True), target)
        network.backward(gradient)
        optimizer.step()

    if image_gradient:
        return step_with_image_gradient
    return lambda: train_step(network, loss, optimizer, x, target)


def _op(case: Case, device) -> Callable[[], object]:
    op, rng = OPS[case.name], np.random.default_rng(0)
    layer = {
        "conv": lambda: layers.Conv2D(op.C, op.O, rng, stride=op.stride, dilation=op.dilation),
        "conv 1x1": lambda: layers.Conv2D(op.C, op.O, rng, kernel=1),
        "upsample conv": lambda: layers.UpsampleConv2D(op.C, op.O, rng),
        "batch norm": lambda: layers.BatchNorm(op.C),
        "relu": layers.ReLU,
        "pool": layers.GlobalAveragePool,
        "dense": lambda: layers.Dense(op.C, op.O, rng),
    }[op.kind]().to(device)
    x = device.put(op_data(case))
    if case.kind == "forward":
        return lambda: layer.forward(x, keep=False)
    dy = layer.forward(x, training=True)

    def both():
        layer.zero_gradients()
        layer.forward(x, training=True)
        return layer.backward(dy)

    return both


def _loop(case: Case) -> Callable[[], object]:
    """The convolution as a beginner writes it: one output pixel after the other."""
    op, x = OPS[case.name], op_data(case)
    w = np.random.default_rng(0).standard_normal((3, 3, op.C, op.O), dtype=np.float32)
    p = op.dilation
    x_pad = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    side = -(-op_side(case) // op.stride)

    def convolve():
        y = np.empty((case.batch, side, side, op.O), np.float32)
        for n in range(case.batch):
            for i in range(side):
                for j in range(side):
                    top, left = i * op.stride, j * op.stride
                    rows = slice(top, top + 2 * p + 1, p)
                    columns = slice(left, left + 2 * p + 1, p)
                    y[n, i, j] = np.tensordot(x_pad[n, rows, columns], w, 3)
        return y

    return convolve


def _epoch(case: Case, device, kept: bool) -> Callable[[], object]:
    """An epoch of a classification head on the frozen chest X-ray encoder, 8 batches.

    With ``kept`` on features computed once, before the clock runs; else through the encoder.
    """
    rng = np.random.default_rng(0)
    encoder = networks.cxr_encoder(rng).to(device)
    encoder.freeze()
    head = networks.classification_head(256, 2, rng, batch_norm=True).to(device)
    n = 8 * case.batch
    images = rng.integers(0, 256, (n, case.side, case.side), dtype=np.uint8)
    examples = Examples(images, rng.integers(0, 2, n), np.arange(n))
    network = Sequential(encoder, head)
    if kept:
        features = predict(encoder, examples, device)
        network, examples = head, examples.with_inputs(features, prepare=np.asarray)
    optimizer, loss = Adam(head.trainable_parameters()), ops.categorical_cross_entropy

    training = Training(FitSettings(batch=case.batch), rng, device)

    def epoch():
        for x, target in islice(EndlessBatches(examples, training), n // case.batch):
            train_step(network, loss, optimizer, x, target)

    return epoch
