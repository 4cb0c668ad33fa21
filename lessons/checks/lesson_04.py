"""Checks of lesson 4: batch norm forward and backward in both modes, and who moves statistics."""

import numpy as np

from lessons.checking import as_array, check, require
from lessons.checks.gradients import Unchanged, against_differences, gradients
from ums.layers import BatchNorm, Conv2D, Layer, ReLU, Sequential
from ums.ops.norm import batchnorm_backward_plain, batchnorm_forward_plain

HINT = (
    "For x: which of mean and variance are constants in this mode, and which factors stand before dy? "
    "For gamma and beta: over what do you sum, and times what?"
)


def _arguments(rng, C=3):
    """gamma, beta, running mean and variance, all (C,) and away from where a layer starts."""
    gamma, beta, mean = rng.normal(size=(3, C))
    return gamma, beta, mean, rng.uniform(0.5, 2, C)


@check
def batchnorm_forward(batchnorm_forward):
    """the batch's statistics in training, the running ones at inference, moved in training alone."""
    x = np.array([[1.0], [5.0]])
    mean, var = np.zeros(1), np.ones(1)
    given = Unchanged(x=x)
    answer = batchnorm_forward(x, np.ones(1), np.zeros(1), mean, var, True)
    given.check("Only the running statistics are to move.")
    y = as_array(answer[0], "y of the values 1 and 5", (2, 1))[:, 0]
    require(
        np.allclose(y, (-1, 1), atol=1e-4),
        f"in training the values 1 and 5 (mean 3, standard deviation 2) become -1 and 1, yours "
        f"{np.round(y, 4)}. Whose mean and variance do you take, and is the root where it should be?",
    )
    require(
        np.allclose(mean, 0.3) and np.allclose(var, 1.3),
        "with momentum 0.9 the running mean goes a tenth of the way from 0 to 3, the running variance "
        f"from 1 to 4: 0.3 and 1.3; yours are {mean[0]:.4g} and {var[0]:.4g} afterwards. Are the caller's "
        "arrays changed in place, and which share is kept?",
    )
    y = as_array(
        batchnorm_forward(x, np.ones(1), np.zeros(1), np.ones(1), np.full(1, 4.0), False)[0],
        "y at inference", (2, 1),
    )[:, 0]  # fmt: skip
    require(
        np.allclose(y, (0, 2), atol=1e-4),
        "at inference, with running mean 1 and variance 4, the values 1 and 5 become 0 and 2, "
        f"yours {np.round(y, 4)}",
    )
    rng = np.random.default_rng(0)
    for training in (True, False):
        _compare_forward(batchnorm_forward, rng, training)


def _compare_forward(batchnorm_forward, rng, training):
    mode = "in training" if training else "at inference"
    x = rng.normal(1, 3, size=(4, 5, 2, 3))
    gamma, beta, mean, var = _arguments(rng)
    expected_mean, expected_var = mean.copy(), var.copy()
    # The tiny variance shows where eps stands.
    for scale in (1.0, 1e-3):
        given = x * scale
        expected, expected_cache = batchnorm_forward_plain(
            given, gamma, beta, expected_mean, expected_var, training
        )
        kept = Unchanged(x=given, gamma=gamma, beta=beta)
        y, cache = batchnorm_forward(given, gamma, beta, mean, var, training)
        kept.check("Only the running statistics are to move.")
        as_array(y, f"y {mode}", x.shape)
        require(
            np.allclose(y, expected),
            f"{mode}, x of the size {scale:g}: y is off by up to {abs(y - expected).max():.3g}. Are gamma "
            "and beta in it, each channel by itself, and eps beside the variance?",
        )
        require(
            np.allclose(mean, expected_mean) and np.allclose(var, expected_var),
            f"{mode} the running statistics should " + ("move" if training else "stay as they are")
            + ", and yours come out differently. Variance or deviation, divided by M?",
        )  # fmt: skip
        require(
            np.allclose(gamma * cache[0] + beta, y),
            "the cache must hold xhat, as it is before gamma and beta",
        )
        require(
            np.shape(cache[1]) == (3,) and np.allclose(cache[1], expected_cache[1]),
            f"{mode} the cache must hold rstd = 1 / sqrt(variance + eps), (C,): the backward pass "
            "multiplies by it. Is yours the root itself, or of another shape?",
        )


@check
def batchnorm_backward(batchnorm_backward):
    """dx, dgamma and dbeta agree with central differences in both modes."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 2, 2, 3))
    for training in (False, True):
        mode = "in training" if training else "at inference"
        gamma, beta, mean, var = _arguments(rng)

        def forward(x, gamma, beta, training=training, mean=mean, var=var):
            return batchnorm_forward_plain(x, gamma, beta, mean.copy(), var.copy(), training)

        cache = forward(x, gamma, beta)[1]
        shapes = {"dx": x.shape, "dgamma": (3,), "dbeta": (3,)}
        dx, _, _ = gradients(batchnorm_backward, rng.normal(size=x.shape), cache, shapes)
        if training:
            _check_sums(dx, cache[0])
        inputs = {"x": x, "gamma": gamma, "beta": beta}
        against_differences(forward, batchnorm_backward, inputs, rng, f"This is {mode}. {HINT}")


def _check_sums(dx, xhat):
    """What no change of the input can do: shift or stretch a channel as a whole."""
    total = abs(dx.sum(axis=(0, 1, 2))).max()
    require(
        total < 1e-8,
        "in training: adding one number to a whole channel leaves y as it is, so dx sums to 0 over a "
        f"channel; yours sums to {total:.3g}. Which of the three ways takes that into account?",
    )
    along = abs((dx * xhat).sum(axis=(0, 1, 2))).max()
    require(
        along < 1e-2,
        "in training: stretching a channel about its mean leaves y as it is, so the sum of dx times xhat is "
        f"0 (nearly, because of eps); yours is {along:.3g}. How does the variance depend on x?",
    )


def mutants():
    """{name: wrong backward pass of the training mode}."""

    def changed(dx):
        def backward(dy, cache):
            _, *others = batchnorm_backward_plain(dy, cache)
            axes = tuple(range(dy.ndim - 1))
            return dx(dy, dy.mean(axes), cache[0] * (dy * cache[0]).mean(axes), cache), *others

        return backward

    return {
        "zeros": changed(lambda dy, mean, along, c: 0 * dy),
        "mean forgotten": changed(lambda dy, mean, along, c: c[2] * c[1] * (dy - along)),
        "variance forgotten": changed(lambda dy, mean, along, c: c[2] * c[1] * (dy - mean)),
        "gamma forgotten": changed(lambda dy, mean, along, c: c[1] * (dy - mean - along)),
    }


# ------------------------------------------------------------------------------ statistics


@check
def moved(moved):
    """frozen statistics are still, the smallest move is found, and all is put back."""
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)
    every = {"1.running_mean", "1.running_var", "4.running_mean", "4.running_var"}
    cases = {
        "a network that is not frozen": ((), every),
        "one that is frozen throughout": (range(6), set()),
        "one with its convolutions frozen": ((0, 3), every),
        "one whose first batch norm is frozen": ((1,), {"4.running_mean", "4.running_var"}),
    }
    for name, (frozen, expected) in cases.items():
        network = _network(np.random.default_rng(1))
        for i in frozen:
            network.layers[i].freeze()
        _check_detector(moved, name, network, x, expected)
    expected = {"0.one_entry", "0.exchanged"}
    name = (
        "a layer in which one number of four moves by its last digit, and two others change places"
    )
    _check_detector(moved, name, Sequential(_SmallMoves()), x, expected)


def _check_detector(moved, name, network, x, expected):
    before = {key: array.copy() for key, array in network.statistics().items()}
    given = Unchanged(x=x)
    answer = moved(network, x)
    given.check()
    require(isinstance(answer, set | frozenset), f"it should return a set of names, got {answer!r}")
    require(
        answer == expected,
        f"{name}: {len(expected)} of its {len(before)} statistics move; yours names "
        f"{len(answer & expected)} of these and {len(answer - expected)} others. The arrays change in "
        "place: what do you compare them with? And when has an array moved: if all of its numbers "
        "differ, if they differ by much, or if any does at all?",
    )
    after = network.statistics()
    require(
        all((after[key] == before[key]).all() for key in before),
        f"{name}: its statistics are not the same after the detector looked as before it",
    )
    require(
        moved(network, x) == expected,
        f"{name}: asked a second time, your detector gives another answer",
    )


class _SmallMoves(Layer):
    """Its statistics move by what a comparison of sums, of all entries, or a rounded one misses."""

    def __init__(self):
        super().__init__()
        self.still, self.one_entry = np.ones(4, np.float32), np.ones(4, np.float32)
        self.exchanged = np.arange(4, dtype=np.float32)

    def _forward(self, x, training):
        if training and not self.frozen:
            self.one_entry[2] = np.nextafter(self.one_entry[2], np.float32(9))
            self.exchanged[:2] = self.exchanged[1::-1]
        return x, ()

    def statistics(self):
        return {"still": self.still, "one_entry": self.one_entry, "exchanged": self.exchanged}


def _network(rng):
    """Two convolutions with batch norm, of 4 channels, after a few batches."""
    layers = []
    for C in (1, 4):
        layers += [Conv2D(C, 4, rng), BatchNorm(4), ReLU()]
    network = Sequential(*layers)
    for _ in range(3):
        network.forward(rng.normal(size=(4, 8, 8, 1)).astype(np.float32), training=True)
    return network
