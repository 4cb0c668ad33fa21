"""The reference solutions of tasks 3 and 4 agree with PyTorch, in values and in gradients."""

import numpy as np
import pytest
from sources import program

torch = pytest.importorskip("torch")
F = torch.nn.functional


def solution(lesson):
    """The names that the solution of a task defines."""
    namespace = {}
    exec(compile(program(lesson), f"<lesson {lesson}>", "exec"), namespace)
    return namespace


def as_torch(array, axes=(0, 3, 1, 2)):
    """A float64 tensor with a gradient, its channels where PyTorch has them."""
    return torch.tensor(np.transpose(array, axes).copy(), requires_grad=True)


def close(array, tensor, axes=(0, 2, 3, 1)):
    return np.allclose(array, tensor.detach().numpy().transpose(axes), atol=1e-12)


def test_max_pooling_and_its_ties_are_those_of_torch():
    task = solution("t3_network")
    x = np.random.default_rng(0).integers(0, 3, (2, 6, 8, 3)).astype(float)  # full of ties
    y, cache = task["max_pool_forward"](x)
    theirs = as_torch(x)
    pooled = F.max_pool2d(theirs, 2)
    assert close(y, pooled)
    dy = np.random.default_rng(1).normal(size=y.shape)
    pooled.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
    assert close(task["max_pool_backward"](dy, cache), theirs.grad)


def test_network_with_a_skip_connection_is_that_of_torch():
    rng = np.random.default_rng(0)
    network = solution("t3_network")["UNet"](rng, C=2, O=3, width=4)
    for parameter in network.parameters():
        parameter.value = rng.normal(0, 0.5, parameter.value.shape)
    x, dy = rng.normal(size=(2, 6, 8, 2)), rng.normal(size=(2, 6, 8, 3))
    y = network.forward(x, training=True)
    dx = network.backward(dy)
    theirs = as_torch(x)
    weights = [as_torch(p.value, (3, 2, 0, 1)) for p in network.parameters()[::2]]
    biases = [torch.tensor(p.value.copy(), requires_grad=True) for p in network.parameters()[1::2]]
    conv = [lambda z, w=w, b=b: F.conv2d(z, w, b, padding="same") for w, b in zip(weights, biases)]  # noqa: B905
    a = F.relu(conv[0](theirs))
    q = F.relu(conv[2](F.relu(conv[1](F.max_pool2d(a, 2)))))
    joined = torch.cat([F.interpolate(q, scale_factor=2, mode="nearest"), a], dim=1)
    expected = conv[4](F.relu(conv[3](joined)))
    expected.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
    assert close(y, expected) and close(dx, theirs.grad)
    for ours, w, b in zip(range(0, 10, 2), weights, biases, strict=True):
        dw, db = (p.grad for p in network.parameters()[ours : ours + 2])
        assert close(dw, w.grad, (2, 3, 1, 0)) and np.allclose(db, b.grad.numpy())


LOGITS = np.random.default_rng(2).normal(0, 3, (3, 4, 5, 1))
TARGET = (np.random.default_rng(3).random(LOGITS.shape) < 0.3).astype(float)


def compare(loss, values, z, reduction):
    """Our loss against PyTorch's values (N,) of the logits z."""
    value, gradient = loss(LOGITS, TARGET, reduction=reduction)
    total = values.mean() if reduction == "mean" else values.sum()
    total.backward()
    expected = values if reduction == "none" else total
    assert np.allclose(value, expected.detach().numpy())
    assert np.allclose(gradient, z.grad.numpy(), atol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_loss_is_that_of_torch(gamma, reduction):
    focal = solution("t4_loss")["focal"]
    z, t = torch.tensor(LOGITS, requires_grad=True), torch.tensor(TARGET)
    cross_entropy = F.binary_cross_entropy_with_logits(z, t, reduction="none")
    y = torch.sigmoid(z)
    p = torch.where(t == 1, y, 1 - y)
    w = torch.where(t == 1, 0.3, 0.7)
    values = (w * (1 - p) ** gamma * cross_entropy).mean(dim=(1, 2, 3))
    compare(lambda *a, **k: focal(*a, alpha=0.3, gamma=gamma, **k), values, z, reduction)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_tversky_loss_is_that_of_torch(reduction):
    tversky = solution("t4_loss")["tversky"]
    z, t = torch.tensor(LOGITS, requires_grad=True), torch.tensor(TARGET)
    y = torch.sigmoid(z)
    found, wrong, missed = (a.sum(dim=(1, 2, 3)) for a in (t * y, (1 - t) * y, t * (1 - y)))
    values = 1 - (found + 0.5) / (found + 0.2 * wrong + 0.9 * missed + 0.5)
    compare(lambda *a, **k: tversky(*a, alpha=0.2, beta=0.9, eps=0.5, **k), values, z, reduction)
