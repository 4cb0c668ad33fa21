"""The solutions of tasks t1 and t2, and the formulas of their checks, against PyTorch."""

import numpy as np
import pytest
from sources import program

from lessons.checks import adamw

torch = pytest.importorskip("torch")


@pytest.fixture
def defined():
    """What the solution of a task defines, {name: object}."""

    def run(lesson):
        namespace = {}
        exec(compile(program(lesson), f"<{lesson}>", "exec"), namespace)
        return namespace

    return run


def test_averaging_batch_norm_is_that_of_pytorch_without_a_momentum(defined):
    rng = np.random.default_rng(0)
    layer = defined("t1_layer")["AveragingBatchNorm"](3).astype(np.float64)
    theirs = torch.nn.BatchNorm2d(3, momentum=None, dtype=torch.float64)
    M = 4 * 5 * 6
    for k in range(1, 4):
        x, dy = rng.normal(1, 2, size=(2, 4, 5, 6, 3))
        given = torch.tensor(x.transpose(0, 3, 1, 2), requires_grad=True)
        y = theirs(given)
        y.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
        mine = layer.forward(x, training=True)
        np.testing.assert_allclose(mine, y.detach().numpy().transpose(0, 2, 3, 1), atol=1e-9)
        expected = given.grad.numpy().transpose(0, 2, 3, 1)
        np.testing.assert_allclose(layer.backward(dy), expected, atol=1e-9)
        np.testing.assert_allclose(layer.running_mean, theirs.running_mean.numpy(), atol=1e-9)
        variance = theirs.running_var.numpy() * (M - 1) / M  # theirs is divided by M - 1
        np.testing.assert_allclose(layer.running_var, variance, atol=1e-9)
        assert layer.batches[0] == k == int(theirs.num_batches_tracked)


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_adamw_makes_the_steps_of_pytorch(defined, decay):
    rng = np.random.default_rng(1)
    starts = [rng.normal(size=shape) for shape in ((3, 2), (4,))]
    parameters = [defined("t2_training")["Parameter"](start.copy()) for start in starts]
    mine = defined("t2_training")["AdamW"](parameters, learning_rate=0.01, decay=decay)
    weights, bias = (torch.tensor(start, requires_grad=True) for start in starts)
    groups = [{"params": [weights]}, {"params": [bias], "weight_decay": 0.0}]
    theirs = torch.optim.AdamW(groups, lr=0.01, weight_decay=decay)
    for step in range(6):
        for parameter, other in zip(parameters, (weights, bias), strict=True):
            rests = step == 2 and other is bias
            gradient = None if rests else rng.normal(size=parameter.value.shape)
            parameter.grad = gradient
            other.grad = None if rests else torch.tensor(gradient)
        mine.step()
        theirs.step()
        for parameter, other in zip(parameters, (weights, bias), strict=True):
            np.testing.assert_allclose(parameter.value, other.detach().numpy(), rtol=1e-9)


def test_formulas_of_the_check_are_those_of_pytorch():
    gradients = np.random.default_rng(2).normal(size=5).tolist()
    x = torch.tensor([0.7], dtype=torch.float64, requires_grad=True)
    settings = adamw.settings_of({"decay": 0.2, "beta1": 0.8})
    theirs = torch.optim.AdamW([x], lr=1e-3, betas=(0.8, 0.999), weight_decay=0.2)
    for gradient, expected in zip(
        gradients, adamw.by_formula(0.7, gradients, **settings), strict=True
    ):
        x.grad = torch.tensor([gradient], dtype=torch.float64)
        theirs.step()
        assert float(x.detach()[0]) == pytest.approx(expected, rel=1e-9)
