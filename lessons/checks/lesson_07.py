"""Checks of lesson 7: noise as it should be, input and target on one scale, a step, a restoration."""

import numpy as np

from lessons.checking import CheckFailed, as_array, check, require
from lessons.checks.gradients import Unchanged
from ums.data import denormalise, normalise
from ums.layers import BatchNorm, Conv2D, ReLU, Sequential
from ums.networks import copy_network
from ums.ops import mse
from ums.optimizers import SGD, RMSprop
from ums.training import train_step


@check
def add_noise(add_noise):
    """both noises have the right mean and deviation, are clipped, and are drawn from rng alone."""
    grey = np.full((4, 60, 60), 120, np.uint8)
    for kind, level, deviation in (
        ("gaussian", 20, 20.0),
        ("gaussian", 7.5, 7.5),
        ("poisson", 40, np.sqrt(255 * 120 / 40)),
        ("poisson", 400, np.sqrt(255 * 120 / 400)),
    ):
        given = Unchanged(images=grey)
        noisy = add_noise(grey, kind, level, np.random.default_rng(0))
        as_array(noisy, f"{kind} noise on a uint8 image", grey.shape, np.float32)
        given.check("The clean ones are still needed.")
        _mean_and_deviation(noisy, kind, level, deviation)
        _distribution(noisy, kind, level)
    one = grey[0].astype(np.float64)
    given = Unchanged(images=one)
    as_array(
        add_noise(one, "gaussian", 20, np.random.default_rng(0)), "one float64 film (H, W) with noise",
        one.shape, np.float32,
    )  # fmt: skip
    given.check("The clean film is still needed.")
    _independent(add_noise(grey, "gaussian", 20, np.random.default_rng(0)))
    for kind in ("gaussian", "poisson"):
        ends = np.repeat(np.array([[[0]], [[255]]], np.uint8), 400, axis=2)
        noisy = add_noise(ends, kind, 20, np.random.default_rng(0))
        low, high = float(noisy.min()), float(noisy.max())
        require(
            low >= 0 and high <= 255,
            f"{kind} noise on black and white runs from {low:.1f} to {high:.1f}: which values can "
            "an 8-bit image hold?",
        )
        again = add_noise(ends, kind, 20, np.random.default_rng(0))
        require(
            (noisy == again).all(),
            "the same seed gives other noise: where else does chance come in?",
        )
        other = add_noise(ends, kind, 20, np.random.default_rng(1))
        require(
            (noisy != other).any(), f"two seeds give the same {kind} noise: is it drawn from rng?"
        )
    for kind in ("salt", "gauss", "Poisson", "p"):
        _check_refused(add_noise, grey, kind)


def _check_refused(add_noise, images, kind):
    try:
        add_noise(images, kind, 20, np.random.default_rng(0))
    except ValueError:
        return
    except Exception as error:
        found = f"it raised {type(error).__name__}"
    else:
        found = "it returned something"
    raise CheckFailed(f"add_noise(images, {kind!r}, ...) should raise ValueError; {found}")


def _distribution(noisy, kind, level):
    """Gaussian noise goes beyond two deviations, seldom; Poisson noise comes in whole photons."""
    if kind == "gaussian":
        beyond = float((abs(noisy - 120) > 2 * level).mean())
        require(
            0.035 < beyond < 0.056,
            f"{beyond:.1%} of the pixels are moved by more than two deviations, for a normal distribution "
            "it is 4.6%: from which distribution do you draw?",
        )
    else:
        photons = noisy * level / 255
        off = float(abs(photons - photons.round()).max())
        require(
            off < 0.01,
            "a pixel counts whole photons; brought back to photons, yours are up to "
            f"{off:.2f} away from whole numbers: what is drawn, and is it brought back by level / 255?",
        )


def _mean_and_deviation(noisy, kind, level, deviation):
    mean, found = float(noisy.mean()), float(noisy.std())
    require(
        abs(mean - 120) < 1,
        f"{kind} noise of level {level:g} should leave the mean of a grey area at 120, yours "
        f"moves it to {mean:.1f}",
    )
    require(
        abs(found / deviation - 1) < 0.05,
        f"{kind} noise of level {level:g} on a grey value of 120 has the deviation {deviation:.1f}, "
        f"yours {found:.1f}",
    )


def _independent(noisy):
    noise = noisy - 120
    for name, a, b in (
        ("two images", noise[0], noise[1]),
        ("neighbouring rows", noise[0, 1:], noise[0, :-1]),
        ("neighbouring columns", noise[0, :, 1:], noise[0, :, :-1]),
    ):
        alike = float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
        require(
            abs(alike) < 0.1,
            f"the noise of {name} is alike (correlation {alike:.2f}): every pixel draws a number of its own",
        )


@check
def training_pair(training_pair):
    """input and target on the noisy film's scale, one noise per film, all noises drawn."""
    clean = _films()
    x, t = _pair(training_pair, clean, [("gaussian", 20)], 0)
    require(
        abs(x.std(axis=(1, 2, 3)) - 0.25).max() < 0.01,
        f"the input should be normalised: deviation 1/4 on every film, yours has {x[0].std():.3f}",
    )
    rough = [float(np.abs(np.diff(a, axis=2)).mean()) for a in (x, t)]
    require(rough[0] > 1.5 * rough[1], "the noise should be on the input, and the target be clean")
    slope = np.mean([np.polyfit(t[n].ravel(), x[n].ravel(), 1)[0] for n in range(len(clean))])
    require(
        abs(slope - 1) < 0.08,
        f"where the target grows by 1 the input should grow by 1, on average; yours grows by {slope:.2f}. "
        "Are both on the scale of one and the same film?",
    )
    two = [("gaussian", 0.01), ("gaussian", 60)]
    x, t = _pair(training_pair, np.repeat(clean[:1], 60, axis=0), two, 1)
    noise = (x - t).std(axis=(1, 2, 3))  # (60,), small or large
    strong = noise > 0.05
    require(
        0.2 < strong.mean() < 0.8,
        f"of 60 films, with one of two noises drawn for each, {strong.mean():.0%} got the strong one, going "
        "by how far x and t are apart: who draws, and for whom? And is each target on its own film's scale?",
    )
    x, t = _pair(training_pair, np.repeat(clean[:1], 60, axis=0), two, 2)
    require(
        (strong != ((x - t).std(axis=(1, 2, 3)) > 0.05)).any(),
        "two seeds give the strong noise to the same films: is it drawn by rng?",
    )
    _pair(training_pair, clean, [("gaussian", level) for level in (5, 10, 20, 30, 40)], 3)
    first, other = (_pair(training_pair, clean, [("gaussian", 20)], seed)[0] for seed in (0, 2))
    again = _pair(training_pair, clean, [("gaussian", 20)], 0)[0]
    require(
        (first == again).all(), "the same seed gives another pair: where else does chance come in?"
    )
    require((first != other).any(), "two seeds give the same pair: is the noise drawn by rng?")


def _pair(training_pair, clean, noises, seed):
    given, listed = Unchanged(clean=clean), list(noises)
    answer = training_pair(clean, noises, np.random.default_rng(seed))
    require(
        isinstance(answer, tuple | list) and len(answer) == 2,
        f"it should return the input x and the target t, got {type(answer).__name__}",
    )
    given.check("The clean films are still needed.")
    require(
        noises == listed, "your function changed the list of noises, which its caller still needs"
    )
    shape = (*clean.shape, 1)
    return tuple(as_array(a, n, shape, np.float32) for a, n in zip(answer, "xt", strict=True))


@check
def source_step(source_step):
    """the loss before the step comes back, and weights and statistics are as one step makes them."""
    rng = np.random.default_rng(0)
    ours, theirs, first = (_network(), _network(), _network())
    x, t = rng.normal(size=(2, 4, 6, 6, 1)).astype(np.float32)
    mine, yours = SGD(ours.trainable_parameters(), 0.1), SGD(theirs.trainable_parameters(), 0.1)
    for step in range(3):
        expected = float(train_step(ours, mse, mine, x, t))
        given = Unchanged(x=x, t=t)
        loss = source_step(theirs, yours, x, t)
        given.check()
        require(loss is not None, "the loss is None: does the function return it?")
        require(
            isinstance(loss, float), f"the loss should be a float, it is a {type(loss).__name__}"
        )
        _as_expected(step, loss, expected, theirs, ours, first)


def _as_expected(step, loss, expected, theirs, ours, first):
    value, wanted, start = theirs.state_dict(), ours.state_dict(), first.state_dict()
    moving = [name for name in value if name.endswith("running_mean")]
    require(
        any((value[name] != start[name]).any() for name in moving),
        "the batch norm's running statistics have not moved: does the network know that it is being trained?",
    )
    weights = [name for name in value if name.endswith((".w", ".b", "gamma", "beta"))]
    require(
        any((value[name] != start[name]).any() for name in weights),
        "after a step all weights are what they were: what moves them, and has it been asked to?",
    )
    where = "in the first step" if step == 0 else f"in step {step + 1}, after a right first one"
    require(
        abs(loss - expected) < 1e-4 * max(1, expected),
        f"{where} the mean squared error is {expected:.4f}, yours is {loss:.4f}",
    )
    wrong = [n for n in value if not np.allclose(value[n], wanted[n], rtol=1e-3, atol=1e-5)]
    require(
        not wrong,
        f"{where} the array {', '.join(wrong[:1])} is not what one step makes of it. What is still there "
        "from the step before, and with which gradient does the way back begin?",
    )


@check
def restored(restored):
    """grey values by the noisy film's statistics, from a network that learns nothing meanwhile."""
    network = _network()
    for _ in range(3):
        batch = np.random.default_rng(1).normal(0.3, 1, (4, 6, 6, 1)).astype(np.float32)
        train_step(network, mse, RMSprop(network.trainable_parameters(), 1e-3), batch, batch)
    films = _films()[:, :16, :16].astype(np.float32)
    films[:, :3] = 0  # a border, which does not count for mean and deviation
    films[0, 8:10], films[1, 8:10] = 255, 1
    before = {name: array.copy() for name, array in network.state_dict().items()}
    learns = len(network.trainable_parameters())
    given = Unchanged(noisy=films)
    output = as_array(restored(network, films), "what comes out", films.shape)
    given.check("The noisy films are still needed.")
    require(
        all((network.state_dict()[name] == array).all() for name, array in before.items()),
        "the network is not the same afterwards: is it in inference mode, or in training mode?",
    )
    require(
        len(network.trainable_parameters()) == learns,
        "the network was frozen: it should be left as it was, and learn on",
    )
    alone = as_array(restored(network, films[:1]), "what comes out of one film", (1, 16, 16))
    require(
        np.allclose(alone[0], output[0], atol=0.1),
        "a film comes out differently alone and in a batch: is the network in inference mode, and does each "
        "film have statistics of its own?",
    )
    require(
        float(np.ptp(output)) > 10,
        f"what comes out runs from {output.min():.2f} to {output.max():.2f}: are these grey values?",
    )
    expected = denormalise(network.forward(normalise(films), keep=False), films)
    require(
        np.allclose(output, expected, atol=0.1),
        f"what comes out is {np.abs(output - expected).mean():.1f} grey values off. Which range "
        "does the network want its input in, and by whose statistics is its output brought back?",
    )


def _films():
    """(5, 32, 32) uint8: smooth, of different contrast, without borders."""
    row, column = np.mgrid[:32, :32] / 31
    rng = np.random.default_rng(0)
    waves = [np.sin(a * row + b * column) for a, b in rng.uniform(2, 5, (5, 2))]
    spread = (35, 25, 40, 30, 20)
    return np.stack([120 + s * w for s, w in zip(spread, waves, strict=True)]).astype(np.uint8)


def _network():
    rng = np.random.default_rng(3)
    network = Sequential(Conv2D(1, 4, rng), BatchNorm(4), ReLU(), Conv2D(4, 1, rng))
    return copy_network(network)
