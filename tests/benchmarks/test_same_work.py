"""The benchmark compares like with like: all libraries compute the same networks.

What torch.compile compiles is the network that is compared here.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bench import NEEDS, absent
from cases import NETWORKS, OPS, Case, flops, network_data
from with_ums import LADDER, LOSSES, build

from ums.layers import BatchNorm, Conv2D, Dense, UpsampleConv2D
from ums.optimizers import Adam
from ums.training import train_step

torch = pytest.importorskip("torch")
import with_torch  # noqa: E402


def copy_weights(ours, theirs):
    """Give the PyTorch network the parameters of ours, layer by layer."""
    kinds = (torch.nn.Conv2d, torch.nn.Linear, torch.nn.BatchNorm2d)
    modules = [m for m in theirs.modules() if isinstance(m, kinds)]
    layers = [
        x for x in ours.leaves() if isinstance(x, Conv2D | UpsampleConv2D | Dense | BatchNorm)
    ]
    for layer, module in zip(layers, modules, strict=True):
        first, second = (torch.from_numpy(p.value) for p in layer.parameters())
        order = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[first.ndim]
        with torch.no_grad():
            module.weight.copy_(first.permute(order))
            module.bias.copy_(second)


@pytest.mark.parametrize("name", NETWORKS)
def test_both_libraries_compute_the_same_outputs_and_losses(name):
    case = Case("inference", name, side=64, batch=2)
    ours, theirs = build(name), with_torch.build(name).eval()
    copy_weights(ours, theirs)
    x, target = network_data(case)
    y = ours.forward(x)
    with torch.inference_mode():
        their_y = theirs(torch.from_numpy(x).permute(0, 3, 1, 2))
    if y.ndim == 4:
        their_y = their_y.permute(0, 2, 3, 1)
    np.testing.assert_allclose(y, their_y.numpy(), rtol=1e-3, atol=1e-4)
    loss, _ = LOSSES[NETWORKS[name].loss](y, target)
    their_loss = with_torch.LOSSES[NETWORKS[name].loss](
        torch.from_numpy(y), torch.from_numpy(target)
    )
    assert float(loss) == pytest.approx(float(their_loss), rel=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_both_libraries_train_as_many_parameters(name):
    theirs = sum(p.numel() for p in with_torch.build(name).parameters())
    assert sum(p.value.size for p in build(name).parameters()) == theirs


def ours(name):
    """Parameters, outputs, loss, and losses of two training steps, of two images."""
    network, (x, target) = build(name), network_data(Case("inference", name, 64, 2))
    parameters = [p.value.copy() for p in network.parameters()]
    y, loss = network.forward(x), LOSSES[NETWORKS[name].loss]
    optimizer = Adam(network.trainable_parameters())
    losses = [train_step(network, loss, optimizer, x, target) for _ in range(2)]
    return parameters, y, loss(y, target)[0], losses


KERAS_PROGRAM = """
import sys
import numpy as np
import with_keras
from cases import Case, NETWORKS, network_data
stored, xla = np.load("ours.npz"), sys.argv[1] == "xla"
found = {}
for name in NETWORKS:
    network = with_keras.build(name)
    for i, variable in enumerate(network.trainable_variables):
        value = stored[f"{name} {i}"]
        variable.assign(value[::-1, ::-1] if value.ndim == 4 else value)
    x, target = network_data(Case("step", name, 64, 2))
    x = x[:, ::-1, ::-1].copy()
    mirrored = target.ndim == 4
    target = target[:, ::-1, ::-1].copy() if mirrored else target
    y = np.asarray(with_keras.on_backend(network, Case("inference", name), x, target, xla)())
    loss = float(with_keras.LOSSES[NETWORKS[name].loss](y, target))
    step = with_keras.on_backend(network, Case("step", name), x, target, xla)
    found[name + " y"] = y[:, ::-1, ::-1] if mirrored else y
    found[name + " losses"] = [loss, *(float(step()) for _ in range(2))]
    found[name + " parameters"] = sum(np.prod(v.shape) for v in network.trainable_variables)
np.savez("theirs.npz", **found)
"""


@pytest.mark.parametrize("peer", [peer for peer in NEEDS if "keras" in NEEDS[peer]])
def test_keras_computes_and_trains_the_mirror_image_of_our_networks(peer, tmp_path):
    if missing := absent(peer):
        pytest.skip(f"not installed: {', '.join(missing)}")
    expected = {name: ours(name) for name in NETWORKS}
    weights = {f"{n} {i}": p for n, (all_, *_) in expected.items() for i, p in enumerate(all_)}
    np.savez(tmp_path / "ours.npz", **weights)
    here = Path(__file__).parent
    path = f"{here}:{here.parents[1]}"
    environment = os.environ | {"PYTHONPATH": path, "KERAS_BACKEND": NEEDS[peer][1]}
    program = [sys.executable, "-c", KERAS_PROGRAM, peer]
    subprocess.run(program, cwd=tmp_path, env=environment, check=True)
    theirs = np.load(tmp_path / "theirs.npz")
    for name, (parameters, y, loss, losses) in expected.items():
        assert theirs[f"{name} parameters"] == sum(p.size for p in parameters)
        np.testing.assert_allclose(theirs[f"{name} y"], y, rtol=1e-3, atol=1e-4)
        known = [loss] if name == "echo source" else [loss, *losses]  # its dropout is random
        np.testing.assert_allclose(theirs[f"{name} losses"][: len(known)], known, rtol=1e-3)


def test_every_rung_of_the_ladder_trains_to_the_same_weights():
    program = """
import sys
import numpy as np
import with_ums
from cases import Case
from ums.optimizers import SGD
kept = []  # SGD: Adam would make full steps of the rounding errors of biases before batch norm
with_ums.Adam = lambda parameters: kept.append(parameters) or SGD(parameters, 0.1)
work = with_ums.work(Case("step", "autoencoder", 32, 4), sys.argv[1])
work(); work()
print(*(float(np.abs(p.value).sum(dtype=np.float64)) for p in kept[0]))
"""
    sums = []
    for rung in (*LADDER, "ums"):
        here = Path(__file__).parent
        run = subprocess.run(
            [sys.executable, "-c", program, rung],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONPATH": f"{here}:{here.parents[1]}", "UMS_THREADS": "2"},
        )
        sums.append([float(number) for number in run.stdout.split()])
    assert len(sums[0]) == 4 * 9 - 2
    np.testing.assert_allclose(sums, [sums[-1]] * len(sums), rtol=1e-4, atol=1e-4)


def test_operations_are_counted_by_hand():
    assert OPS["autoencoder, encoder 2"][:4] == ("conv", 128, 64, 64)
    forward = 2 * 16 * 64 * 64 * 9 * 64 * 64
    assert flops(Case("forward", "autoencoder, encoder 2")) == forward
    assert flops(Case("op", "autoencoder, encoder 2")) == 3 * forward
    assert flops(Case("op", "ReLU, 16 channels")) is None
    first = 2 * 3 * 32 * 32 * 9 * 1 * 16  # of three images of 64 pixels: 32 x 32 after the stride
    total = flops(Case("inference", "separate classifier", side=64, batch=3))
    assert flops(Case("step", "separate classifier", side=64, batch=3)) == 3 * total - first
