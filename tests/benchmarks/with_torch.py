"""The same cases done by PyTorch: eager, its tensors contiguous or channels_last; or networks compiled."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from cases import NETWORKS, OPS, Case, network_data, op_data
from torch import nn
from torch.nn import functional as F

from ums import networks
from ums.backend import thread_count


def work(case: Case, contestant: str) -> Callable[[], object]:
    """A function that does the case's work once. ``contestant``: ``"torch"``, ``"torch channels_last"``
    or ``"compiled"``, whose tensors are channels_last too."""
    torch.set_num_threads(thread_count())
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = case.tf32
    torch.backends.cudnn.benchmark = True  # it tries its ways to convolve, and keeps the fastest
    torch.manual_seed(0)
    last = contestant != "torch"
    how = {"memory_format": torch.channels_last if last else torch.contiguous_format}
    how["device"] = "cuda" if case.device == "gpu" else "cpu"
    if case.kind in ("op", "forward"):
        return _op(case, how)
    if contestant != "compiled":
        return _network(case, how, lambda function: function)
    torch.compiler.reset()  # the case before
    return _network(case, how, partial(torch.compile, dynamic=False))


def synchronise(case: Case) -> None:
    """Wait for the GPU."""
    if case.device == "gpu":
        torch.cuda.synchronize()


def build(name: str) -> nn.Sequential:
    """The networks of :mod:`ums.networks`, from the same channel lists."""
    C, classes = NETWORKS[name].channels, NETWORKS[name].classes
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if name == "autoencoder":
        encoder = _chain(1, networks.CXR_ENCODER, lambda i: {"stride": 2}, norm=True)
        decoder = _chain(256, networks.CXR_DECODER, lambda i: {"up": True}, norm=True)
        return nn.Sequential(*encoder, *decoder, nn.Conv2d(16, 1, 1))
    if name == "separate classifier":
        channels = networks.SEPARATE_CLASSIFIER
        body = _chain(C, channels, lambda i: {"stride": 2 if i < 4 else 1})
        return nn.Sequential(*body, *pool, nn.Linear(512, classes))
    encoder = _chain(
        C, networks.ECHO_ENCODER, lambda i: {"stride": 2} if i < 3 else {"dilation": 2}
    )
    if name == "echo source":
        head = [nn.Linear(256, 256), nn.ReLU(), nn.Dropout(0.5), nn.Linear(256, classes)]
        return nn.Sequential(*encoder, *pool, *head)
    decoder = _chain(256, networks.ECHO_DECODER, lambda i: {"up": i >= 2})
    return nn.Sequential(*encoder, *decoder, nn.Conv2d(8, 1, 1))


def _chain(C: int, channels: tuple[int, ...], options: Callable[[int], dict], norm=False) -> list:
    """Convolution, batch norm if asked for, ReLU, for each of ``channels``."""
    modules = []
    for i, O in enumerate(channels):
        modules += [_convolution(C, O, **options(i))]
        modules += [nn.BatchNorm2d(O)] if norm else []
        modules += [nn.ReLU()]
        C = O
    return modules


def _convolution(C: int, O: int, stride: int = 1, dilation: int = 1, up: bool = False):
    convolution = nn.Conv2d(C, O, 3, stride, dilation, dilation=dilation)
    return nn.Sequential(nn.Upsample(scale_factor=2), convolution) if up else convolution


def bce_dice(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """Half binary cross-entropy, half Dice per image."""
    y, axes = z.sigmoid(), (1, 2, 3)
    dice = 1 - (2 * (t * y).sum(axes) + 1) / (t.sum(axes) + y.sum(axes) + 1)
    return 0.5 * F.binary_cross_entropy_with_logits(z, t) + 0.5 * dice.mean()


LOSSES = {"mse": F.mse_loss, "bce_dice": bce_dice, "cce": F.cross_entropy}


def _channels_first(x, how: dict) -> torch.Tensor:
    x = torch.from_numpy(x).to(how["device"])
    if x.ndim == 2:
        return x
    return x.permute(0, 3, 1, 2).contiguous(memory_format=how["memory_format"])


def _network(case: Case, how: dict, compiled: Callable) -> Callable[[], object]:
    network = build(case.name).to(**how)
    x, target = network_data(case)
    x = _channels_first(x, how)
    if target.ndim == 4:
        target = _channels_first(target, how)
    else:
        target = torch.from_numpy(target).to(how["device"])
    if case.kind == "inference":
        network.eval()
        infer = compiled(network)
        return torch.inference_mode()(lambda: infer(x))
    loss, optimizer = LOSSES[NETWORKS[case.name].loss], torch.optim.Adam(network.parameters())
    loss_of = compiled(lambda x, target: loss(network(x), target))

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss_of(x, target).backward()
        optimizer.step()

    return step


def _op(case: Case, how: dict) -> Callable[[], object]:
    op = OPS[case.name]
    module = {
        "conv": lambda: _convolution(op.C, op.O, op.stride, op.dilation),
        "conv 1x1": lambda: nn.Conv2d(op.C, op.O, 1),
        "upsample conv": lambda: _convolution(op.C, op.O, up=True),
        "batch norm": lambda: nn.BatchNorm2d(op.C),
        "relu": nn.ReLU,
        "pool": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        "dense": lambda: nn.Linear(op.C, op.O),
    }[op.kind]().to(**how)
    x = _channels_first(op_data(case), how)
    if case.kind == "forward":
        return torch.inference_mode()(lambda: module(x))
    x.requires_grad_()
    dy = module(x).detach().clone()

    def both():
        x.grad = None
        module.zero_grad(set_to_none=True)
        module(x).backward(dy)

    return both
