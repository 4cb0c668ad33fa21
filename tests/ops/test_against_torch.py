"""Values and gradients of every op, loss and small networks against PyTorch's own autograd."""

import numpy as np
import pytest
from planted_bugs import FUNCTIONS, LOSSES, OPS

from ums import ops
from ums.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    GlobalAveragePool,
    ReLU,
    Sequential,
    Upsample2D,
    UpsampleConv2D,
)
from ums.optimizers import Adam

torch = pytest.importorskip("torch")
F = torch.nn.functional


def nchw(x):
    return x.permute(0, 3, 1, 2)


def nhwc(x):
    return x.permute(0, 2, 3, 1)


def conv2d(stride=1, dilation=1):
    def function(x, w, b):
        padding = dilation * (w.shape[0] - 1) // 2
        kernel = w.permute(3, 2, 0, 1)
        return nhwc(F.conv2d(nchw(x), kernel, b, stride, padding, dilation))

    return function


def conv2d_same(x, w, b):
    """Stride 2 with a kernel of 3 on even sides, as TensorFlow pads it: zeros right and below."""
    return nhwc(F.conv2d(F.pad(nchw(x), (0, 1, 0, 1)), w.permute(3, 2, 0, 1), b, 2))


def batchnorm(training):
    def function(x, gamma, beta):
        C = x.shape[-1]
        mean = torch.linspace(-0.5, 0.5, C, dtype=torch.float64)
        var = torch.linspace(0.5, 2, C, dtype=torch.float64)
        return nhwc(F.batch_norm(nchw(x), mean, var, gamma, beta, training))

    return function


def upsample2d(x):
    return nhwc(F.interpolate(nchw(x), scale_factor=2, mode="nearest"))


def dice(z, t, eps=1.0):
    y, axes = torch.sigmoid(z), tuple(range(1, z.ndim))
    return (1 - (2 * (t * y).sum(axes) + eps) / (t.sum(axes) + y.sum(axes) + eps)).mean()


def softmax_dice(z, classes, weight=0.3, eps=0.5):
    y, t = torch.softmax(z, -1), F.one_hot(classes, z.shape[-1])
    each = 1 - (2 * (t * y).sum((1, 2)) + eps) / (t.sum((1, 2)) + y.sum((1, 2)) + eps)
    return weight * F.cross_entropy(nchw(z), classes) + (1 - weight) * each.mean()


TORCH_OPS = {
    "conv2d": conv2d(),
    "conv2d, dilated": conv2d(dilation=2),
    "conv2d, strided": conv2d(2, 2),
    "conv2d, same": conv2d_same,
    "conv2d, plain": conv2d(2, 2),
    "conv2d, winograd": conv2d(),
    "upsample2d": upsample2d,
    "upsample_conv2d": lambda x, w, b: conv2d()(upsample2d(x), w, b),
    "upsample_conv2d, plain": lambda x, w, b: conv2d()(upsample2d(x), w, b),
    "batchnorm, training": batchnorm(True),
    "batchnorm, inference": batchnorm(False),
    "global_average_pool": lambda x: x.mean((1, 2)),
    "dense": lambda x, w, b: F.linear(x, w.T, b),
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "softmax": lambda x: torch.softmax(x, -1),
}

TORCH_LOSSES = {
    "mse": F.mse_loss,
    "bce": F.binary_cross_entropy_with_logits,
    "dice": dice,
    "bce_dice": lambda z, t: 0.3 * F.binary_cross_entropy_with_logits(z, t) + 0.7 * dice(z, t, 0.5),
    "categorical_cross_entropy": F.cross_entropy,
    "known_mse": lambda z, t: F.mse_loss(z[~t.isnan()], t[~t.isnan()]),
    "known_bce": lambda z, t: F.binary_cross_entropy_with_logits(z[~t.isnan()], t[~t.isnan()]),
    "softmax_dice": softmax_dice,
}


def assert_close(got, expected):
    np.testing.assert_allclose(got, expected.detach().numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", [name for name in OPS if name != "dropout"])
def test_op_equals_torch_in_value_and_gradients(name, rng):
    forward, backward = OPS[name].functions(FUNCTIONS)
    inputs = OPS[name].inputs(rng)
    tensors = [torch.tensor(x, requires_grad=True) for x in inputs.values()]
    (y, cache), expected = forward(*inputs.values()), TORCH_OPS[name](*tensors)
    assert_close(y, expected)
    dy = rng.normal(size=y.shape)
    expected.backward(torch.tensor(dy))
    gradients = backward(dy, cache)
    for got, tensor in zip(gradients if len(tensors) > 1 else [gradients], tensors, strict=True):
        assert_close(got, tensor.grad)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_equals_torch_in_value_and_gradient(name, rng):
    prediction, target = LOSSES[name].inputs(rng)
    value, gradient = LOSSES[name].function(ops)(prediction, target)
    tensor = torch.tensor(prediction, requires_grad=True)
    expected = TORCH_LOSSES[name](tensor, torch.tensor(target))
    assert_close(value, expected)
    expected.backward()
    assert_close(gradient, tensor.grad)


@pytest.mark.parametrize("K", [1, 3, 5])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_conv2d_equals_torch_for_strides_dilations_and_kernels(stride, dilation, K, rng):
    arrays = [rng.normal(size=s) for s in ((3, 9, 8, 3), (K, K, 3, 5), (5,))]
    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, cache = ops.conv2d_forward(*arrays, stride, dilation)
    expected = conv2d(stride, dilation)(*tensors)
    assert_close(y, expected)
    dy = rng.normal(size=y.shape)
    expected.backward(torch.tensor(dy))
    for got, tensor in zip(ops.conv2d_backward(dy, cache), tensors, strict=True):
        assert_close(got, tensor.grad)


def test_batchnorm_statistics_equal_torch_up_to_its_unbiased_variance(rng):
    x, mean, var = rng.normal(size=(10, 3)), np.zeros(3), np.ones(3)
    ops.batchnorm_forward(x, np.ones(3), np.zeros(3), mean, var, True, momentum=0.9)
    other_mean, other_var = torch.zeros(3).double(), torch.ones(3).double()
    F.batch_norm(torch.tensor(x), other_mean, other_var, training=True, momentum=0.1)
    assert_close(mean, other_mean)
    assert_close((var - 0.9) * 10 / 9 + 0.9, other_var)


# ------------------------------------------------------------------------------ networks


class Upsample(torch.nn.Module):
    def forward(self, x):
        return F.interpolate(x, scale_factor=2, mode="nearest")


class Mean(torch.nn.Module):
    def forward(self, x):
        return x.mean((2, 3))


def classifier(rng):
    ours = Sequential(
        Sequential(Conv2D(1, 4, rng, stride=2), BatchNorm(4), ReLU()),
        Conv2D(4, 6, rng, dilation=2),
        ReLU(),
        UpsampleConv2D(6, 3, rng),
        ReLU(),
        GlobalAveragePool(),
        Dense(3, 4, rng),
    )
    nn = torch.nn
    theirs = nn.Sequential(
        nn.Conv2d(1, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3, 1, 2, 2),
        nn.ReLU(), Upsample(), nn.Conv2d(6, 3, 3, 1, 1), nn.ReLU(), Mean(), nn.Linear(3, 4),
    )  # fmt: skip
    return ours, theirs, (5, 9, 8, 1), ops.categorical_cross_entropy, F.cross_entropy


def segmenter(rng):
    ours = Sequential(
        Conv2D(3, 5, rng, kernel=5), BatchNorm(5), ReLU(), Upsample2D(), Conv2D(5, 1, rng, kernel=1)
    )
    nn = torch.nn
    theirs = nn.Sequential(
        nn.Conv2d(3, 5, 5, 1, 2), nn.BatchNorm2d(5), nn.ReLU(), Upsample(), nn.Conv2d(5, 1, 1)
    )
    return ours, theirs, (3, 5, 6, 3), ops.bce_dice, half_bce_half_dice


def half_bce_half_dice(z, t):
    z, t = nhwc(z), nhwc(t)
    return 0.5 * F.binary_cross_entropy_with_logits(z, t) + 0.5 * dice(z, t)


def as_torch(array):
    """Our array in PyTorch's layout, as a copy."""
    array = torch.tensor(array)
    return array.permute(3, 2, 0, 1) if array.ndim == 4 else array.T if array.ndim == 2 else array


@pytest.mark.parametrize("build", [classifier, segmenter])
def test_network_follows_torch_through_several_adam_steps(build, rng):
    ours, theirs, shape, our_loss, their_loss = build(rng)
    ours.astype(np.float64)
    theirs.double()
    for parameter, tensor in zip(ours.parameters(), theirs.parameters(), strict=True):
        tensor.data = as_torch(parameter.value)
    optimizer = Adam(ours.parameters(), 1e-2)
    other = torch.optim.Adam(theirs.parameters(), 1e-2)
    for _ in range(5):
        x = rng.normal(size=shape)
        z = ours.forward(x, training=True)
        target = rng.integers(0, 4, len(x)) if z.ndim == 2 else (rng.random(z.shape) < 0.5) * 1.0
        value, gradient = our_loss(z, target)
        ours.zero_gradients()
        ours.backward(gradient, input_gradient=False)
        optimizer.step()

        t = torch.tensor(target)
        expected = their_loss(theirs(nchw(torch.tensor(x))), nchw(t) if t.ndim == 4 else t)
        other.zero_grad()
        expected.backward()
        other.step()
        assert_close(value, expected)
    for parameter, tensor in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert_close(as_torch(parameter.grad), tensor.grad)
        np.testing.assert_allclose(as_torch(parameter.value), tensor.data, rtol=1e-5, atol=1e-8)


def test_untrained_network_gives_torch_values_in_use(rng):
    ours, theirs, shape, *_ = classifier(rng)
    for parameter, tensor in zip(ours.parameters(), theirs.parameters(), strict=True):
        tensor.data = as_torch(parameter.value)
    x = rng.normal(size=shape).astype(np.float32)
    expected = theirs.eval()(nchw(torch.tensor(x))).detach()
    np.testing.assert_allclose(ours.forward(x), expected, rtol=1e-4, atol=1e-5)
