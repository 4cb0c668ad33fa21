"""Checks of task 3: max pooling, and a network of two ways, by hand-worked numbers and differences."""

import numpy as np

from lessons.checking import CheckFailed, as_array, check, require
from lessons.checks.gradients import Unchanged, against_differences, gradients
from ums.layer import Parameter
from ums.ops import mse
from ums.optimizers import Adam
from ums.training import train_step

WIDTH = 2
SHAPES = [
    (3, 3, 1, 2), (2,), (3, 3, 2, 4), (4,), (3, 3, 4, 4), (4,), (3, 3, 6, 2), (2,), (1, 1, 2, 3), (3,),
]  # fmt: skip
"""Of the ten parameters of `UNet(rng, 1, 3, WIDTH)`, in the order of the task's diagram."""


@check
def max_pool(max_pool_forward, max_pool_backward):
    """the largest of each square, its gradient to the first of the largest, odd sides refused."""
    x = np.array([[3.0, 7, -1, -2], [7, 1, -4, -3]])[None, :, :, None]
    y, cache = _pooled(max_pool_forward, x, (1, 1, 2, 1))
    require(
        y.ravel().tolist() == [7, -1],
        "two squares side by side, 3 7 / 7 1 and -1 -2 / -4 -3, have the largest values 7 and -1; yours "
        f"are {y.ravel().tolist()}",
    )
    (dx,) = gradients(max_pool_backward, np.array([[[[5.0], [2]]]]), cache, {"dx": x.shape})
    require(
        dx.ravel().tolist() == [0, 5, 2, 0, 0, 0, 0, 0],
        "with dy = 5 and 2 the two rows of dx are 0 5 2 0 and 0 0 0 0: where 7 stands twice, the first in "
        f"reading order gets all. Yours are {dx[0, 0, :, 0].tolist()} and {dx[0, 1, :, 0].tolist()}",
    )
    _check_many(max_pool_forward, max_pool_backward)
    for shape in ((1, 3, 4, 1), (1, 4, 5, 1)):
        _check_refused(max_pool_forward, shape)


def _check_many(max_pool_forward, max_pool_backward):
    """Random maps against a loop, a map of zeros, float32, and central differences."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 4, 6, 3))
    y, _ = _pooled(max_pool_forward, x, (2, 2, 3, 3))
    expected = [x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2] for i in range(2) for j in range(3)]
    expected = np.stack([square.max(axis=(1, 2)) for square in expected], axis=1)
    require(
        np.allclose(y.reshape(2, 6, 3), expected),
        "right for one square in one channel, wrong for maps (2, 4, 6, 3): which axes are a square's, "
        "and does each channel have a largest value of its own?",
    )
    zeros, dy = np.zeros((2, 4, 4, 2), np.float32), rng.normal(size=(2, 2, 2, 2))
    _, cache = _pooled(max_pool_forward, zeros, dy.shape)
    (dx,) = gradients(max_pool_backward, dy.astype(np.float32), cache, {"dx": zeros.shape})
    require(
        np.allclose(dx[:, ::2, ::2], dy) and np.count_nonzero(dx) == dy.size,
        "where a square holds four equal values, as after a ReLU, the top left pixel gets the whole of dy "
        f"and the others nothing; in yours {np.count_nonzero(dx)} pixels get some of {dy.size} values",
    )
    hint = (
        "Does each dy go back to the place, and to the channel, that its largest value came from?"
    )
    against_differences(max_pool_forward, max_pool_backward, {"x": x}, rng, hint)


def _pooled(max_pool_forward, x, shape):
    given = Unchanged(x=x)
    answer = max_pool_forward(x)
    given.check()
    require(
        isinstance(answer, tuple | list) and len(answer) == 2,
        f"max_pool_forward should return y and the cache, got {type(answer).__name__}",
    )
    as_array(answer[0], "y", shape, x.dtype)
    return answer[0], answer[1]


def _check_refused(max_pool_forward, shape):
    try:
        max_pool_forward(np.zeros(shape))
    except ValueError:
        return
    except Exception as error:
        found = f"it raised {type(error).__name__}"
    else:
        found = "it returned something"
    raise CheckFailed(f"for x of shape {shape} it should raise ValueError; {found}")


@check
def forward(UNet):
    """ten parameters in order, drawn by rng alone, and the output that the diagram says."""
    network = _network(UNet)
    again, other = _network(UNet), _network(UNet, seed=1)
    pairs = list(zip(network.parameters(), again.parameters(), other.parameters(), strict=True))
    require(
        all((p.value == q.value).all() for p, q, _ in pairs),
        "the same seed gives another network: is everything drawn by the rng passed in?",
    )
    require(
        all((p.value != q.value).any() for p, _, q in pairs[::2]),
        "two seeds give the same weights in some layer: is everything drawn by the rng passed in?",
    )
    _double(network)
    rng = np.random.default_rng(2)
    x = rng.normal(size=(2, 4, 6, 1))
    given = Unchanged(x=x)
    y = as_array(network.forward(x), "y of x (2, 4, 6, 1) and O = 3", (2, 4, 6, 3), np.float64)
    given.check()
    _check_output(y, x, [p.value for p in network.parameters()])
    y = network.forward(x, training=True)
    _check_output(y, x, [p.value for p in network.parameters()])
    x = x.astype(np.float32)
    as_array(_network(UNet).forward(x), "y of a float32 x", (2, 4, 6, 3), np.float32)
    _check_defaults(UNet)


def _check_defaults(UNet):
    shapes = [p.value.shape for p in UNet(np.random.default_rng(0)).parameters()]
    require(
        (shapes[0], shapes[-1]) == ((3, 3, 1, 8), (1,)),
        "UNet(rng) alone should have C = 1, O = 1 and width = 8; its first parameter has the shape "
        f"{shapes[0]}, its last {shapes[-1]}",
    )


def _network(UNet, seed=0):
    """A small network of the student's, once its parameters are what they should be."""
    network = UNet(np.random.default_rng(seed), 1, 3, WIDTH)
    for method in ("forward", "backward", "parameters", "zero_gradients"):
        require(hasattr(network, method), f"UNet has no method {method}()")
    parameters = network.parameters()
    require(
        isinstance(parameters, list | tuple) and all(isinstance(p, Parameter) for p in parameters),
        "parameters() should return a list of Parameter objects, as the layers' own parameters() do",
    )
    require(
        len({id(p) for p in parameters}) == len(parameters),
        "parameters() returns some parameter twice: an optimizer would move it twice",
    )
    require(
        len(parameters) == len(SHAPES),
        f"parameters() should return ten, weights and bias of five convolutions, got {len(parameters)}",
    )
    for place, (parameter, shape) in enumerate(zip(parameters, SHAPES, strict=True)):
        require(
            parameter.value.shape == shape,
            f"in UNet(rng, C=1, O=3, width=2) parameter {place} of 10 (counted from 0) should have the "
            f"shape {shape}, got {parameter.value.shape}: is it the convolution that the diagram has there?",
        )
    return network


def _double(network):
    """Make all parameters float64 and random, biases too."""
    rng = np.random.default_rng(5)
    for parameter in network.parameters():
        parameter.value = rng.normal(0, 0.7, parameter.value.shape)


def _check_output(y, x, values):
    right, others = _expected(x, values)
    for what, other in others.items():
        require(
            not np.allclose(y, other, atol=1e-9),
            f"y is what comes out when {what}: see the diagram",
        )
    require(
        np.allclose(y, right, atol=1e-9),
        f"y differs from what the diagram says by up to {abs(y - right).max():.3g}. Print the shape "
        "after every step, and compare the steps with the diagram one by one.",
    )


def _expected(x, values):
    """y by a direct sum over the kernel's weights, and y of some networks that are nearly right."""
    w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = values
    a = np.maximum(_convolved(x, w1, b1), 0)
    N, H, W, F = a.shape
    p = a.reshape(N, H // 2, 2, W // 2, 2, F).max(axis=(2, 4))
    q = np.maximum(_convolved(np.maximum(_convolved(p, w2, b2), 0), w3, b3), 0)
    u = q.repeat(2, axis=1).repeat(2, axis=2)

    def end(first, second, relu=True, last_relu=False):
        z = _convolved(np.concatenate([first, second], axis=3), w4, b4)
        y = _convolved(np.maximum(z, 0) if relu else z, w5, b5)
        return np.maximum(y, 0) if last_relu else y

    nearly = {
        "the channels of a come before those of u": end(a, u),
        "the skip connection carries nothing": end(u, 0 * a),
        "there is no ReLU after convolution 4": end(u, a, relu=False),
        "there is a ReLU after convolution 5": end(u, a, last_relu=True),
        "the skip connection carries the input of the first ReLU": end(u, _convolved(x, w1, b1)),
    }
    return end(u, a), nearly


def _convolved(x, w, b):
    K = len(w)
    _, H, W, _ = x.shape
    around = K // 2
    padded = np.pad(x, ((0, 0), (around, around), (around, around), (0, 0)))
    y = b + np.zeros((*x.shape[:3], w.shape[3]))
    for u in range(K):
        for v in range(K):
            y += np.einsum("nijc,co->nijo", padded[:, u : u + H, v : v + W], w[u, v])
    return y


@check
def backward(UNet):
    """the gradients of x and of all ten parameters, as central differences say; they add up."""
    network = _network(UNet)
    _double(network)
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 4, 6, 1))
    network.forward(-x)
    y = network.forward(x, training=True)
    dx = network.backward(np.ones(y.shape))
    as_array(dx, "dx, what backward returns,", x.shape, np.float64)
    for place, parameter in enumerate(network.parameters()):
        require(
            parameter.grad is not None,
            f"after backward parameter {place} of 10 (counted from 0) has no gradient, it is None: did "
            "backward reach its layer?",
        )
    _check_forgotten(network)
    names = [f"{kind} of convolution {k}" for k in range(1, 6) for kind in ("weights", "bias")]
    values = [parameter.value for parameter in network.parameters()]

    def forward(x, *values):
        return network.forward(x, training=True), ()

    def gradients_of(dy, cache):
        network.zero_gradients()
        dx = network.backward(dy)
        return dx, *[parameter.grad for parameter in network.parameters()]

    inputs = {"x": x} | dict(zip(names, values, strict=True))
    hint = "Where does the gradient split, where do two meet, and through which layers must the sum go?"
    against_differences(forward, gradients_of, inputs, rng, hint)
    _check_adding(network, x)


def _check_adding(network, x):
    """Gradients are added, `input_gradient` and `keep` are obeyed, the last forward pass counts."""
    dy = np.random.default_rng(4).normal(size=(2, 4, 6, 3))
    gradients_once = _gradients(network, x, dy)
    network.forward(-x)
    network.forward(x)
    dx = network.backward(dy, input_gradient=False)
    require(dx is None, "with input_gradient=False backward should return None")
    for place, (once, p) in enumerate(zip(gradients_once, network.parameters(), strict=True)):
        require(
            np.allclose(p.grad, 2 * once),
            f"two backward passes without zero_gradients() between them should add up; parameter {place} "
            "has another gradient (the second pass had input_gradient=False, and a forward pass of "
            "other films before its own)",
        )
    network.forward(x, keep=False)
    try:
        network.backward(dy)
    except Exception:
        return
    raise CheckFailed(
        "backward after a forward pass with keep=False should fail, and it did not: was keep passed on to "
        "every layer, and is your own cache emptied?"
    )


def _check_forgotten(network):
    network.zero_gradients()
    require(
        all(p.grad is None or not np.any(p.grad) for p in network.parameters()),
        "after zero_gradients() a gradient is still there: does it reach every layer?",
    )


def _gradients(network, x, dy):
    """The parameters' gradients, which are left in place, of one pass."""
    network.zero_gradients()
    network.forward(x)
    network.backward(dy)
    return [parameter.grad.copy() for parameter in network.parameters()]


@check
def training(UNet):
    """it forgets gradients when told to, and learns what takes fine detail."""
    network = _network(UNet)
    x = np.random.default_rng(5).normal(size=(2, 4, 6, 1)).astype(np.float32)
    dy = np.ones((2, 4, 6, 3), np.float32)
    first = _gradients(network, x, dy)
    _check_forgotten(network)
    require(
        all(np.allclose(a, b) for a, b in zip(first, _gradients(network, x, dy), strict=True)),
        "the same pass gives other gradients the second time: what is left of the first?",
    )
    rng = np.random.default_rng(6)
    x = rng.normal(size=(8, 8, 8, 1)).astype(np.float32)
    learner = UNet(rng, width=6)
    optimizer = Adam(learner.parameters(), 0.01)
    start = float(mse(learner.forward(x, keep=False), x)[0])
    for _ in range(150):
        train_step(learner, mse, optimizer, x, x)
    end = float(mse(learner.forward(x, keep=False), x)[0])
    require(
        end < 0.02 * start,
        f"150 steps of learning to give back noise bring the mean squared error from {start:.3f} to "
        f"{end:.3f}; below {0.02 * start:.3f} was expected. Pixel by pixel noise can come by the skip "
        "connection alone: does it carry everything, and does its gradient arrive?",
    )
