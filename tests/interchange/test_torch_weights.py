"""Weights from PyTorch and back: the same numbers from both."""

import numpy as np
import pytest
from twins import (
    TITLES,
    difference,
    disturbed,
    every_layer,
    images,
    paper,
    run_torch,
    torch_twin,
)

from ums.interchange.weights import load_torch, to_torch_state
from ums.layers import BatchNorm, Conv2D, ReLU, Sequential

torch = pytest.importorskip("torch")
EVERY = pytest.mark.parametrize("k", range(len(TITLES)), ids=TITLES)


def disturb(module):
    """Random scales, biases and statistics; weights as PyTorch draws them."""
    torch.manual_seed(0)
    for key, tensor in module.state_dict().items():
        if tensor.ndim == 1:
            tensor.uniform_(0.02, 0.1) if key.endswith("var") else tensor.uniform_(0.3, 1.2)


@EVERY
def test_networks_of_the_paper_come_from_pytorch(k, rng):
    network, x = paper(k, rng)
    disturb(twin := torch_twin(network))
    load_torch(network, twin.state_dict())
    assert difference(network.forward(x), run_torch(twin, x)) < 1e-5


@EVERY
def test_networks_of_the_paper_go_to_pytorch(k, rng):
    network, x = paper(k, rng)
    twin = torch_twin(network)
    twin.load_state_dict(to_torch_state(network, twin.state_dict()))
    assert difference(run_torch(twin, x), network.forward(x)) < 1e-5


def test_every_layer_goes_there_and_back_unchanged(rng):
    network = every_layer(rng)
    before = {name: value.copy() for name, value in network.state_dict().items()}
    state = to_torch_state(network, torch_twin(network).state_dict())
    load_torch(disturbed(network, rng), state)
    for name, value in network.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_convolution_without_bias_is_one_with_zeros(rng):
    network = disturbed(Sequential(Conv2D(2, 3, rng), BatchNorm(3)), rng)
    x = images(rng, 6, 5, 2)
    twin = torch_twin(network, bias=False)
    with pytest.raises(ValueError, match=r"the module has no 0\.bias"):
        to_torch_state(network, twin.state_dict())
    load_torch(network, twin.state_dict())
    assert not network[0].b.value.any()
    assert difference(network.forward(x), run_torch(twin, x)) < 1e-5
    assert to_torch_state(network, twin.state_dict()).keys() == twin.state_dict().keys()


def test_batch_norm_without_scale_has_ones(rng):
    network = disturbed(BatchNorm(3), rng)
    load_torch(network, torch.nn.BatchNorm2d(3, affine=False).state_dict())
    assert network.gamma.value.tolist() == [1, 1, 1] and not network.beta.value.any()


def test_float64_network_keeps_the_digits_of_a_float64_module(rng):
    layer, module = (
        Conv2D(2, 3, rng).astype(np.float64),
        torch.nn.Conv2d(2, 3, 3, dtype=torch.float64),
    )
    load_torch(layer, module.state_dict())
    np.testing.assert_array_equal(layer.w.value.transpose(3, 2, 0, 1), module.weight.detach())


def made(rng):
    return Sequential(Conv2D(1, 4, rng), BatchNorm(4), ReLU(), Conv2D(4, 2, rng, kernel=1))


def masked(module):
    module.register_buffer("mask", torch.ones(1))
    return module


nn = torch.nn
MISFITS = [
    ((nn.Conv2d(1, 4, 5), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)),
     r"w of Conv2D\(1, 4\) \(layer 0\) is \(3, 3, 1, 4\), 0\.weight is \(5, 5, 1, 4\)"),
    ((nn.Conv2d(1, 4, 3), nn.Conv2d(4, 2, 1)),
     r"gamma of BatchNorm\(4\) \(layer 1\) is \(4,\), 1\.weight is \(1, 1, 4, 2\)"),
    ((nn.Conv2d(1, 4, 3), nn.PReLU(4), nn.Conv2d(4, 2, 1)),
     r"running_mean of BatchNorm\(4\) \(layer 1\) is \(4,\), 1\.running_mean is missing"),
    ((nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)),
     r"layer 2 .* is Conv2D\(4, 2, kernel=1\) here and None there"),
    ((nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1), nn.Linear(2, 2)),
     r"layer 3 .* is None here and 3 there"),
    ((nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), masked(nn.Conv2d(4, 2, 1))),
     r"no place for 2\.mask"),
    ((nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1)), "sorted by name"),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "message"), MISFITS, ids=[message for _, message in MISFITS])
def test_other_architecture_is_refused_and_changes_nothing(parts, message, rng):
    network, state = made(rng), nn.Sequential(*parts).state_dict()
    if message == "sorted by name":
        state = dict(sorted(state.items()))
    before = {name: value.copy() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        load_torch(network, state)
    for name, value in network.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


def test_safetensors_keeps_a_networks_arrays(tmp_path, rng):
    """No code of ours: ``state_dict`` and ``load_state_dict`` are what the library takes and gives."""
    safetensors = pytest.importorskip("safetensors.numpy")
    network, path = every_layer(rng), tmp_path / "net.safetensors"
    safetensors.save_file(network.state_dict(), path)
    other = every_layer(np.random.default_rng(5))
    other.load_state_dict(safetensors.load_file(path))
    x = images(rng, 12, 10, 2)
    np.testing.assert_array_equal(other.forward(x), network.forward(x))
