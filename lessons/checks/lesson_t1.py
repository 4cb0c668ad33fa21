"""Checks of task t1, a batch norm of one's own: its numbers, gradients, switches, a network of it."""

import copy

import numpy as np

from lessons.checking import CheckFailed, as_array, check, require
from lessons.checks import averaging
from lessons.checks.averaging import NAMES
from lessons.checks.gradients import Unchanged
from ums.gradcheck import GradientError, check_layer
from ums.layers import BatchNorm, Conv2D, Dense, GlobalAveragePool, ReLU, Sequential
from ums.optimizers import SGD


@check
def forward(AveragingBatchNorm):
    """the numbers worked out by hand, any batch and any type, and running statistics that are means."""
    layer = AveragingBatchNorm(1)
    averaging.check_start(layer)
    x = np.array([[1.0], [5.0]], np.float32)
    given = Unchanged(x=x)
    y = as_array(layer.forward(x, training=True), "y of the values 1 and 5", (2, 1), np.float32)
    given.check()
    require(
        np.allclose(y[:, 0], (-1, 1), atol=1e-4),
        f"in training the values 1 and 5 (mean 3, variance 4) become -1 and 1, yours {y[:, 0]}",
    )
    averaging.check_numbers(layer, (3, 4, 1), "after one batch, of mean 3 and variance 4,")
    layer.forward(np.array([[6.0], [8.0]], np.float32), training=True)
    averaging.check_numbers(layer, (5, 2.5, 2), "after a second batch, of mean 7 and variance 1,")
    y = as_array(layer.forward(x), "y at inference", (2, 1), np.float32)
    expected = (x[:, 0] - 5) / np.sqrt(2.5)
    require(
        np.allclose(y[:, 0], expected, atol=1e-4),
        f"at inference, with mean 5 and variance 2.5, 1 and 5 become {expected}, yours {y[:, 0]}",
    )
    averaging.check_numbers(layer, (5, 2.5, 2), "after a forward pass at inference")
    averaging.check_reset(layer, x)
    averaging.compare(AveragingBatchNorm)
    averaging.check_refusals(AveragingBatchNorm)


# ------------------------------------------------------------------------------- gradients


FOR_DX = (
    "\n   Which statistics did this forward pass use, and do they depend on x? (Lesson 4 has the two "
    "formulas.)"
)


@check
def backward(AveragingBatchNorm):
    """every gradient agrees with central differences in both modes, and is added, once."""
    x = np.random.default_rng(0).normal(size=(3, 2, 2, 3))
    for training in (False, True):
        for frozen in (False, True):
            layer = _random_layer(AveragingBatchNorm, 1)
            layer.freeze(frozen)
            where = f"training {training}, frozen {frozen}"
            try:
                check_layer(layer, x, training=training, rng=np.random.default_rng(2))
            except GradientError as error:
                hint = FOR_DX if "input 'x'" in str(error) else ""
                raise CheckFailed(f"{where}: {error}.{hint}") from None
    _check_given(_random_layer(AveragingBatchNorm, 1), x)
    _check_without_input_gradient(_random_layer(AveragingBatchNorm, 1), x)
    _check_once(_random_layer(AveragingBatchNorm, 1), x)


def _random_layer(AveragingBatchNorm, seed):
    """A float64 layer of 3 channels, everything away from where it starts."""
    rng = np.random.default_rng(seed)
    layer = AveragingBatchNorm(3).astype(np.float64)
    layer.gamma.value[...], layer.beta.value[...] = rng.normal(size=(2, 3))
    for _ in range(2):
        layer.forward(rng.normal(1, 2, size=(4, 3)), training=True)
    return layer


def _check_given(layer, x):
    dy = np.random.default_rng(3).normal(size=x.shape)
    given = Unchanged(x=x, dy=dy)
    layer.forward(x, training=True)
    as_array(layer.backward(dy), "dx", x.shape, x.dtype)
    given.check()


def _check_without_input_gradient(layer, x):
    dy = np.random.default_rng(3).normal(size=x.shape)
    y = layer.forward(x, training=True)
    require(
        layer.backward(dy, input_gradient=False) is None,
        "backward(dy, input_gradient=False) should return None: nobody asks for dx",
    )
    xhat = (y - layer.beta.value) / layer.gamma.value
    require(
        layer.gamma.grad is not None
        and np.allclose(layer.gamma.grad, (dy * xhat).sum(axis=(0, 1, 2))),
        "with input_gradient=False gamma and beta still need their gradients",
    )


def _check_once(layer, x):
    dy = np.ones(x.shape)
    for what, before in (
        ("a second backward pass after one forward pass", lambda: layer.backward(dy)),
        ("backward after forward(x, keep=False)", lambda: layer.forward(x, keep=False)),
    ):
        layer.forward(x, training=True)
        before()
        _check_refused(layer, dy, what)
    _check_refused(type(layer)(3), dy, "backward before any forward pass")


def _check_refused(layer, dy, what):
    try:
        layer.backward(dy)
    except RuntimeError:
        return
    except (AttributeError, TypeError, ValueError) as error:
        found = f"it raised {type(error).__name__}"
    else:
        found = "it did not"
    raise CheckFailed(f"{what} should raise RuntimeError, and {found}")


# -------------------------------------------------------------------------------- switches


@check
def switches(AveragingBatchNorm):
    """frozen and training are two switches: the batch counts only in training and not frozen."""
    rng = np.random.default_rng(0)
    x, dy = rng.normal(2, 3, size=(2, 6, 3))
    for frozen in (False, True):
        for training in (False, True):
            layer = _random_layer(AveragingBatchNorm, 4)
            layer.freeze(frozen)
            _check_mode(layer, x, dy, training)
    _check_freeze(_random_layer(AveragingBatchNorm, 4), x, dy)
    _check_mode_of_forward(AveragingBatchNorm, x, dy)


def _check_mode(layer, x, dy, training):
    where = f"frozen = {layer.frozen}, training = {training}"
    before = {name: array.copy() for name, array in layer.statistics().items()}
    own = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)
    running = (x - before["running_mean"]) / np.sqrt(before["running_var"] + 1e-5)
    by_batch = training and not layer.frozen
    y = layer.forward(x, training=training)
    expected = layer.gamma.value * (own if by_batch else running) + layer.beta.value
    require(
        np.allclose(y, expected),
        f"{where}: x should be normalised by {'the batch' if by_batch else 'the running statistics'}",
    )
    after = layer.statistics()
    moved = sorted(name for name in before if (before[name] != after[name]).any())
    require(
        moved == (sorted(NAMES) if by_batch else []),
        f"{where}: {'all three' if by_batch else 'no'} statistics should move; moved have: "
        f"{', '.join(moved) or 'none'}",
    )
    layer.zero_gradients()
    layer.backward(dy)
    learning = [name for name, p in layer.named_parameters().items() if p.grad is not None]
    require(
        sorted(learning) == ([] if layer.frozen else ["beta", "gamma"]),
        f"{where}: gradients should be added to {'no parameter' if layer.frozen else 'gamma and beta'}; "
        f"yours: {', '.join(learning) or 'none'}",
    )


def _check_freeze(layer, x, dy):
    layer.forward(x, training=True)
    layer.backward(dy)
    require(layer.freeze() is layer, "freeze() should return the layer, as every layer's does")
    require(layer.gamma.grad is None, "freeze() should forget the gradients that were added before")
    require(layer.trainable_parameters() == [], "a frozen layer has no trainable parameters")
    layer.freeze(False)
    require(len(layer.trainable_parameters()) == 2, "freeze(False) should let it learn again")
    before = float(layer.batches[0])
    layer.forward(x, training=True)
    require(layer.batches[0] == before + 1, "after freeze(False) the batches count again")


def _check_mode_of_forward(AveragingBatchNorm, x, dy):
    """The backward pass belongs to the forward pass before it, whatever is frozen in between."""
    expected = _random_layer(AveragingBatchNorm, 4)
    expected.forward(x, training=True)
    dx = expected.backward(dy)
    layer = _random_layer(AveragingBatchNorm, 4)
    layer.forward(x, training=True)
    layer.frozen = True
    require(
        np.allclose(layer.backward(dy), dx),
        "frozen was switched on after the forward pass: dx still belongs to the statistics that this "
        "forward pass used. Keep with the cache which they were.",
    )
    require(
        layer.gamma.grad is None, "frozen was switched on before backward: gamma got a gradient"
    )


# -------------------------------------------------------------------------------- a network


@check
def in_a_network(AveragingBatchNorm):
    """it trains as the library's layer does, is saved, copied and converted, and shares nothing."""
    _check_training(AveragingBatchNorm)
    network = _network(AveragingBatchNorm)
    expected = {f"{i}.{name}" for i in (1, 4) for name in NAMES}
    require(
        set(network.statistics()) == expected,
        f"a network of it should have the statistics {sorted(expected)}, has {sorted(network.statistics())}",
    )
    x = np.random.default_rng(1).normal(size=(4, 6, 6, 1)).astype(np.float32)
    network.forward(x, training=True)
    first, second = network[1].statistics(), network[4].statistics()
    require(
        not np.allclose(first["running_mean"], second["running_mean"]),
        "two layers have the same running mean: do they share an array? Make arrays in __init__.",
    )
    _check_saved(AveragingBatchNorm, network, x)
    _check_copied(network, x)
    _check_converted(network, x)


def _network(norm, seed=0):
    rng = np.random.default_rng(seed)
    return Sequential(
        Conv2D(1, 4, rng), norm(4), ReLU(), Conv2D(4, 4, rng, stride=2), norm(4), ReLU(),
        GlobalAveragePool(), Dense(4, 2, rng),
    )  # fmt: skip


def _check_training(AveragingBatchNorm):
    rng = np.random.default_rng(2)
    batches = rng.normal(size=(3, 8, 6, 6, 1)).astype(np.float32)
    networks = [_network(AveragingBatchNorm), _network(BatchNorm)]
    for network in networks:
        optimizer = SGD(network.trainable_parameters(), 0.1)
        for x in batches:
            network.zero_gradients()
            y = network.forward(x, training=True)
            network.backward(y - 1, input_gradient=False)
            optimizer.step()
    mine, library = (network.state_dict() for network in networks)
    for name in ("0.w", "1.gamma", "4.beta", "7.w"):
        require(
            np.allclose(mine[name], library[name], atol=1e-4),
            f"after three steps of training, {name} of a network with your layer differs from one with the "
            f"library's BatchNorm by up to {abs(mine[name] - library[name]).max():.2g}",
        )


def _check_saved(AveragingBatchNorm, network, x):
    other = _network(AveragingBatchNorm, seed=5)
    other.load_state_dict(network.state_dict())
    require(
        np.allclose(other.forward(x), network.forward(x), atol=1e-6),
        "a network that loads the state of another should answer as that one does: is all that it needs "
        "at inference among the parameters and statistics?",
    )


def _check_copied(network, x):
    twin = copy.deepcopy(network)
    before = network.forward(x)
    twin.forward(2 * x, training=True)
    require(
        np.array_equal(network.forward(x), before),
        "a batch through a copy of the network changed the network itself: which array do they share?",
    )


def _check_converted(network, x):
    network.astype(np.float64)
    y = network.forward(x.astype(np.float64), training=True)
    found = {name: array.dtype for name, array in network.statistics().items()}
    require(
        y.dtype == np.float64 and set(found.values()) == {np.dtype(np.float64)},
        f"after network.astype(float64) all should be float64; y is {y.dtype}, the statistics "
        f"{', '.join(sorted({str(dtype) for dtype in found.values()}))}",
    )
