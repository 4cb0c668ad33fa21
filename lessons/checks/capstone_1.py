"""What the checks of capstone 1 share: made-up films, references, and what an answer must hold."""

from typing import ClassVar

import cv2
import numpy as np

from lessons.checking import CheckFailed, as_array, require
from lessons.films import Films
from ums.backend import choose_device, to_numpy
from ums.data import Examples
from ums.data.normalisation import STANDARD
from ums.finetuning import Task, tune_independently
from ums.finetuning.loop import train_task
from ums.metrics import segmentation
from ums.networks import copy_network, denoising_autoencoder, segmentation_head
from ums.ops import bce_dice, mse
from ums.optimizers import RMSprop
from ums.source import DenoisingExamples
from ums.training import Training, predict

SIDE = 16


def made_up_films(n, rng, side=SIDE):
    """(n, side, side) uint8: smooth waves and noise, each of another contrast; one white corner."""
    row, column = np.mgrid[:side, :side] / side
    a, b, spread = (rng.uniform(low, high, (n, 1, 1)) for low, high in ((2, 6), (2, 6), (20, 55)))
    waves = np.sin(a * row + b * column) + 0.4 * rng.standard_normal((n, side, side))
    images = np.clip(130 + spread * waves, 20, 255).astype(np.uint8)
    images[0, :4, :4] = 255
    return images


def made_coarse(images, factor):
    """The reference: means over squares, and OpenCV's bilinear interpolation."""
    side = images.shape[1] // factor
    small = [np.mean(np.split(image.astype(float), side), axis=1) for image in images]
    small = [np.mean(np.split(image.T, side), axis=1).T for image in small]
    large = [cv2.resize(image, images.shape[1:], interpolation=cv2.INTER_LINEAR) for image in small]
    return np.stack(large).astype(np.float32)


def raises(call, what):
    try:
        call()
    except ValueError:
        return
    except NotImplementedError:
        raise
    except Exception as error:
        raise CheckFailed(
            f"{what} should be a ValueError, it is a {type(error).__name__}"
        ) from error
    raise CheckFailed(f"{what} should raise ValueError, and nothing was raised")


def pair(answer, n):
    require(
        isinstance(answer, tuple) and len(answer) == 2,
        f"batch should return the input and the target, got {type(answer).__name__}",
    )
    shape = n, SIDE, SIDE, 1
    return tuple(
        as_array(a, name, shape, np.float32)
        for a, name in zip(answer, ("the input", "the target"), strict=True)
    )


def factor_of(k, image, x, t, factors=(2, 4)):
    """By which factor an example was made coarse; CheckFailed where it is none of them."""
    for factor in factors:
        coarse = made_coarse(image[None], factor)
        if np.allclose(x, STANDARD.apply(coarse)[0], atol=2e-3):
            wanted = STANDARD.apply(image[None], like=coarse)[0]
            require(
                np.allclose(t, wanted, atol=2e-3),
                f"example {k}: the input is right, the target is not. It is the film itself, normalised "
                "by the mean and deviation of its coarse version",
            )
            return factor
    raise CheckFailed(
        f"example {k} of the batch: the input is not its film made coarse by one of {factors}, made large "
        "again and normalised. Which row of the images is it?"
    )


def factors_of(made, images, rows, chosen):
    x, t = pair(made.batch(chosen), len(chosen))
    return np.array([factor_of(k, images[rows[i]], x[k], t[k]) for k, i in enumerate(chosen)])


def check_fixed(kind, images, rows):
    made = kind(images, rows, np.random.default_rng(2), fixed=True)
    first = factors_of(made, images, rows, np.arange(50))
    require(0.2 < np.mean(first == 2) < 0.8, "with fixed=True all examples have the same factor")
    order = np.random.default_rng(3).permutation(50)[:20]
    require(
        (factors_of(made, images, rows, order) == first[order]).all()
        and (factors_of(made, images, rows, np.arange(50)) == first).all(),
        "with fixed=True an example has another factor when it is asked for again, or in another order",
    )


def check_factors(kind, images, rows):
    made = kind(images, rows, np.random.default_rng(4), factors=(8,))
    x, t = pair(made.batch(np.arange(3)), 3)
    for k in range(3):
        factor_of(k, images[rows[k]], x[k], t[k], (8,))
    rng = np.random.default_rng(0)
    raises(lambda: kind(images, rows[:0], rng), "no rows")
    raises(lambda: kind(images, rows, rng, factors=(2, 3)), "sides of 16 and a factor of 3")


class Slow(DenoisingExamples):
    """Draws more numbers than the plain one, as another kind of examples may."""

    made: ClassVar[list] = []

    def __init__(self, images, rows, rng, fixed=False):
        rng.random(7)
        super().__init__(images, rows, rng, fixed)
        Slow.made.append((rows.tolist(), fixed))


def arrays_of(train_source, kind, given, seed, settings):
    """The arrays of a trained source."""
    Slow.made.clear()
    network = train_source(kind, *given, seed, settings)
    require(network is not None, "it returns None: does the function return the network?")
    require(
        hasattr(network, "layers") and len(network.layers) == 2,
        f"it should return the autoencoder, `encoder, decoder = network`, got {type(network).__name__}",
    )
    arrays = network.state_dict()
    require(
        all(isinstance(array, np.ndarray) for array in arrays.values()),
        "its arrays should be on the CPU",
    )
    return arrays


def check_recipe(made, start, given, settings):
    """Whether the steps are those of the library: their size is that of RMSprop, the loss is mse."""
    require(
        any((made[n] != start[n]).any() for n in made if n.endswith(".w")),
        "after two epochs the weights are those of the start: are they trained?",
    )
    require(
        any((made[n] != start[n]).any() for n in made if n.endswith("running_mean")),
        "the batch norms' running statistics have not moved",
    )
    images, _, validation = given
    rng = np.random.default_rng(0)
    network = denoising_autoencoder(np.random.default_rng(1), width=0.25)
    network.load_state_dict(start)
    parts = [DenoisingExamples(images, rows, rng, fixed=rows is validation) for rows in given[1:]]
    task = Task("reference", network, mse, *parts, RMSprop)
    train_task(task, Training(settings, rng, choose_device("cpu"), progress=False))
    steps = [
        np.concatenate([np.abs(a[n] - start[n]).ravel() for n in start if n.endswith(".w")])
        for a in (made, network.state_dict())
    ]
    ratio = float(np.median(steps[0]) / np.median(steps[1]))
    require(
        0.7 < ratio < 1.4,
        f"the weights moved {ratio:.2g} times as far as with RMSprop and these settings: which "
        "optimizer, which learning rate, how many epochs?",
    )


class Known:
    """A network whose output is known; remembers what it was given."""

    def __init__(self, output):
        self.output, self.seen, self.training = output, np.zeros(output.shape), False

    def forward(self, x, training=False, keep=True):
        self.seen, self.training = x, training
        return self.output

    __call__ = forward


def disc_films(n, rng):
    """Films with a bright disc, and the disc."""
    row, column = np.mgrid[:32, :32]
    centre = rng.uniform(13, 19, (2, n, 1, 1))
    masks = (row - centre[0]) ** 2 + (column - centre[1]) ** 2 < 80
    images = np.clip(80 + 100 * masks + rng.normal(0, 10, masks.shape), 17, 255).astype(np.uint8)
    rows = {"train": np.arange(24), "validation": np.arange(24, 32), "test": np.arange(32, n)}
    return Films(images, masks.astype(np.uint8), None, rows, "discs")


def reference_score(source, films, labelled, settings):
    device, rng = choose_device(), np.random.default_rng(5)
    encoder, decoder = copy_network(source)
    head = segmentation_head(decoder, rng).to(device)
    parts = [Examples(films.images, films.masks, r) for r in (labelled, films.rows["validation"])]
    training = Training(settings, rng, device, progress=False)
    task = Task("discs", head, bce_dice, *parts)
    network = tune_independently(encoder.to(device), [task], training)["discs"].network
    test = films.rows["test"]
    logits = to_numpy(predict(network, Examples(films.images, None, test), device))[..., 0]
    return float(segmentation.iou(films.masks[test] > 0, logits > 0).mean())


def check_seed(seed, pool, ones):
    first = ones[0]
    for _, labelled, chance in ones:
        as_array(labelled, "the labelled rows", (12,))
        require(
            np.isin(labelled, pool).all() and len(set(labelled.tolist())) == 12,
            "the labelled rows should be 12 different ones of the pool",
        )
        require(
            set(labelled.tolist()) == set(first[1].tolist()),
            f"in seed number {seed + 1} two sources get different films, which alone makes them differ",
        )
        require(
            (labelled == first[1]).all(),
            f"in seed number {seed + 1} two sources get the same films in another order",
        )
        require(
            (chance == first[2]).all(),
            f"in seed number {seed + 1} two sources get generators that draw different numbers: do they "
            "share one?",
        )
