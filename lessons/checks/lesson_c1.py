"""Checks of capstone 1: coarse films and back, examples, two sources by one recipe, a fair comparison."""

import cv2
import numpy as np
from scipy import stats

from lessons.checking import as_array, check, require
from lessons.checks.capstone_1 import (
    SIDE,
    Known,
    Slow,
    arrays_of,
    check_factors,
    check_fixed,
    check_recipe,
    check_seed,
    disc_films,
    factor_of,
    factors_of,
    made_coarse,
    made_up_films,
    pair,
    raises,
    reference_score,
)
from ums.data.normalisation import STANDARD
from ums.metrics import psnr
from ums.networks import denoising_autoencoder
from ums.source import DenoisingExamples
from ums.training import FitSettings


@check
def shrink(shrink):
    """every small pixel is the mean of its square, in float32, whatever the type of the images."""
    images = np.arange(2 * 6 * 12, dtype=np.uint8).reshape(2, 6, 12) * 3 % 251
    before = images.copy()
    for factor in (1, 2, 3):
        small = as_array(
            shrink(images, factor),
            f"shrink(images, {factor})",
            (2, 6 // factor, 12 // factor),
            np.float32,
        )
        for n, i, j in np.ndindex(small.shape):
            square = images[n, factor * i : factor * i + factor, factor * j : factor * j + factor]
            require(
                abs(small[n, i, j] - square.astype(float).mean()) < 1e-3,
                f"factor {factor}, film {n}, pixel ({i}, {j}): the mean of its square is "
                f"{square.mean():.3f}, yours is {small[n, i, j]:.3f}",
            )
    require((images == before).all(), "the images were changed")
    require(
        abs(float(shrink(images / 255.0, 2).mean()) - images.mean() / 255) < 1e-6,
        "images of floats from 0 to 1 do not keep their mean: are they turned into whole numbers?",
    )
    raises(lambda: shrink(images, 4), "6 x 12 pixels and a factor of 4")
    raises(lambda: shrink(images.transpose(0, 2, 1), 4), "12 x 6 pixels and a factor of 4")


@check
def enlarge(enlarge):
    """between the centres the values are interpolated, beyond the outermost ones they stay."""
    hand = as_array(enlarge(np.float32([[[0, 8, 8]]]), 2), "the film", (1, 2, 6), np.float32)
    require(
        np.allclose(hand[0, 0], [0, 2, 6, 8, 8, 8]),
        f"(0, 8, 8) becomes (0, 2, 6, 8, 8, 8) at a factor of 2, yours is {hand[0, 0].tolist()}. Where are "
        "the centres of the large pixels?",
    )
    rng = np.random.default_rng(0)
    small = rng.uniform(0, 255, (3, 5, 7)).astype(np.float32)
    before = small.copy()
    for factor in (1, 2, 3, 4):
        shape = 5 * factor, 7 * factor
        large = as_array(
            enlarge(small, factor), f"enlarge(small, {factor})", (3, *shape), np.float32
        )
        for n in range(3):
            right = cv2.resize(small[n], shape[::-1], interpolation=cv2.INTER_LINEAR)
            k = np.unravel_index(np.abs(large[n] - right).argmax(), shape)
            require(
                np.allclose(large[n], right, atol=1e-2),
                f"factor {factor}, film {n} of 3: the large pixel {tuple(map(int, k))} should be "
                f"{right[k]:.2f}, yours is {large[n][k]:.2f}",
            )
    require((small == before).all(), "the small film was changed")
    dot = as_array(enlarge(np.full((1, 1, 1), 7.0), 4), "a single pixel", (1, 4, 4), np.float32)
    require((dot == 7).all(), "a film of a single pixel has one value, and so has the large one")


# -------------------------------------------------------------------------------- examples


@check
def examples(SuperResolutionExamples):
    """coarse input and sharp target on one scale, factors drawn by rng, and fixed where asked for."""
    images = made_up_films(60, np.random.default_rng(0))
    before = images.copy()
    rows = np.arange(59, 9, -1)  # 50 of the films, in an order of their own
    made = SuperResolutionExamples(images, rows, np.random.default_rng(1))
    require(len(made) == 50, f"there are 50 rows, len(examples) is {len(made)}")
    chosen = np.array([7, 0, 31, 49, 7, 12, 3, 22])
    x, t = pair(made.batch(chosen), len(chosen))
    for k, image in enumerate(images[rows[chosen]]):
        factor_of(k, image, x[k], t[k])
    many = np.arange(50)
    drawn = [factors_of(made, images, rows, many) for _ in range(4)]
    share = np.mean(np.equal(drawn, 2))
    require(
        0.35 < share < 0.65,
        f"of 200 examples {share:.0%} were shrunk by 2 and not by 4: each factor has an equal chance",
    )
    require(
        any((drawn[0] != other).any() for other in drawn[1:]),
        "with fixed=False an example has the same factor in every batch",
    )
    require(
        all(2 < drawn[k].sum() / 50 < 4 for k in range(4)),
        "a batch has one factor for all of its examples: each should have its own",
    )
    again = SuperResolutionExamples(images, rows, np.random.default_rng(1))
    require(
        (again.batch(chosen)[0] == x).all(),
        "the same seed gives other examples: where else does chance come in?",
    )
    check_fixed(SuperResolutionExamples, images, rows)
    check_factors(SuperResolutionExamples, images, rows)
    require((images == before).all(), "the images were changed: they are still needed")


# -------------------------------------------------------------------------------- the source


@check
def train_source(train_source):
    """one recipe: start, steps and chance depend on the seed, and not on what is learned."""
    images, settings = made_up_films(24, np.random.default_rng(0)), FitSettings(epochs=2, batch=8)
    train, validation = np.arange(16), np.arange(16, 24)
    given = images, train, validation
    made = arrays_of(train_source, DenoisingExamples, given, 3, settings)
    again = arrays_of(train_source, DenoisingExamples, given, 3, settings)
    require(
        all((made[name] == again[name]).all() for name in made),
        "the same seed gives another source: where else does chance come in?",
    )
    still = FitSettings(epochs=1, batch=8, learning_rate=1e-12)
    other = arrays_of(train_source, DenoisingExamples, given, 4, still)
    starts = [arrays_of(train_source, k, given, 3, still) for k in (DenoisingExamples, Slow)]
    require(
        np.allclose(starts[0]["0.0.w"], starts[1]["0.0.w"], atol=1e-6),
        "two kinds of examples with one seed start from different weights: what draws before the network?",
    )
    require((starts[0]["0.0.w"] != other["0.0.w"]).any(), "two seeds start from the same weights")
    rows = [(train.tolist(), False), (validation.tolist(), True)]
    require(
        sorted(Slow.made) == sorted(rows),
        "the training examples should be of the rows `train`, with fixed=False, and those for "
        "validation of the rows `validation`, with fixed=True",
    )
    check_recipe(made, starts[0], given, settings)
    wide = train_source(DenoisingExamples, *given, 3, still, width=0.125)
    require(wide[0][0].w.value.shape[-1] == 8, "width=0.125 should make eighths of the channels")
    raises(
        lambda: train_source(DenoisingExamples, images, train, train[-4:], 3, settings),
        "a film both to learn from and to validate by",
    )


@check
def gain(gain):
    """a network that returns its input gains nothing, and one that knows the film gains what it should."""
    images = made_up_films(5, np.random.default_rng(0))
    before = images.copy()
    for factor in (2, 4):
        coarse = made_coarse(images, factor)
        for name, output in (
            ("returns its input", STANDARD.apply(coarse)),
            ("goes half of the way to the film",
             (STANDARD.apply(coarse) + STANDARD.apply(images, like=coarse)) / 2),
            ("returns zeros", np.zeros((5, SIDE, SIDE, 1), np.float32)),
        ):  # fmt: skip
            network = Known(output)
            answer = as_array(gain(network, images, factor), "the gain", (5,))
            require(
                np.allclose(network.seen, STANDARD.apply(coarse), atol=2e-3),
                f"factor {factor}: the network does not see the coarse films, normalised by their own "
                "statistics",
            )
            require(not network.training, "the network runs in training mode")
            right = psnr(images, STANDARD.restore(output, coarse)) - psnr(images, coarse)
            require(
                np.allclose(answer, right, atol=0.02),
                f"factor {factor}, a network that {name}: the gains should be "
                f"{np.round(right, 2).tolist()} dB, yours are {np.round(answer, 2).tolist()}",
            )
    require((images == before).all(), "the images were changed")


# -------------------------------------------------------------------------------- comparing


@check
def head_score(head_score):
    """the source stays as it is, the head learns from the labelled films, the test films score it."""
    films = disc_films(48, np.random.default_rng(0))
    source = denoising_autoencoder(np.random.default_rng(1), width=0.15)
    settings = FitSettings(epochs=10, batch=5, learning_rate=3e-2, schedule="cosine")
    before = {name: array.copy() for name, array in source.state_dict().items()}
    labelled = np.array([3, 1, 20, 8, 9, 15, 2, 11, 5, 17])
    answer = head_score(source, films, labelled, np.random.default_rng(5), settings)
    require(answer is not None, "the score is None: does the function return it?")
    require(isinstance(answer, float), f"the score should be a float, got {type(answer).__name__}")
    wrong = [name for name, array in source.state_dict().items() if (array != before[name]).any()]
    require(
        not wrong,
        f"the source has changed, in {', '.join(wrong[:1])}: the next head would start from another",
    )
    require(
        not source.layers[0].frozen, "the source is frozen afterwards: is it a copy that is tuned?"
    )
    require(
        answer == head_score(source, films, labelled, np.random.default_rng(5), settings),
        "the same call gives another score: where else does chance come in?",
    )
    masks = films.masks.copy()
    masks[films.rows["validation"]] ^= 1  # which makes the least trained head the best one
    for given, what in (
        (films, ""),
        (films._replace(masks=masks), ", with the masks for validation inverted"),
    ):
        answer = head_score(source, given, labelled, np.random.default_rng(5), settings)
        expected = reference_score(source, given, labelled, settings)
        require(
            abs(answer - expected) < 1e-3,
            f"on films with bright discs{what}, the mean IoU on the test films is {expected:.4f}, yours is "
            f"{answer:.4f}. Which films does the head learn from, validate by and get its score from, "
            "what draws from rng first, and where is the border between lung and background?",
        )


@check
def compare(compare):
    """every seed gives all sources the same films and the same chance, and another seed others."""
    seen = []

    def score(source, labelled, rng):
        seen.append((source, np.array(labelled), rng.random(3)))
        return 10.0 * source + len(seen)

    pool, sources = np.arange(100, 140), {"a": 1, "b": 2, "c": 3}
    before = pool.copy()
    answer = compare(sources, pool, 12, [4, 0, 9], score)
    require(isinstance(answer, dict), f"it should return a dictionary, got {type(answer).__name__}")
    require(list(answer) == list("abc"), f"its names should be a, b and c, they are {list(answer)}")
    require((pool == before).all(), "the pool was changed")
    require(
        len(seen) == 9,
        f"three sources and three seeds are 9 scores, score was called {len(seen)} times",
    )
    by_source = {k: [one for one in seen if one[0] == k] for k in (1, 2, 3)}
    for k, (name, values) in enumerate(answer.items(), 1):
        values = as_array(values, f"the scores of {name}", (3,))
        calls = [i for i, one in enumerate(seen, 1) if one[0] == k]
        require(len(calls) == 3, f"the source {name} was scored {len(calls)} times instead of 3")
        require(
            [10.0 * k + i for i in calls] == values.tolist(),
            f"the scores of {name} are not what score returned for it, in the order of the seeds",
        )
    for seed, ones in enumerate(zip(*by_source.values(), strict=True)):
        check_seed(seed, pool, ones)
    rows = [set(one[1].tolist()) for one in by_source[1]]
    require(
        rows[0] != rows[1] != rows[2],
        "two seeds draw the same films: who draws, and from what seed?",
    )
    chance = [one[2].tolist() for one in by_source[1]]
    require(chance[0] != chance[1], "two seeds give the score the same random numbers")
    seen.clear()
    alone = compare({"b": 2}, pool, 12, [0], score)
    require(
        set(seen[0][1].tolist()) == rows[1] and len(alone["b"]) == 1,
        "seed 0 draws other films when it comes first, or when the sources are others",
    )
    require(
        seen[0][2].tolist() == chance[1],
        "seed 0 gives the score other random numbers when it comes first, or when the sources are others",
    )


@check
def paired_interval(paired_interval):
    """the mean difference and Student's interval, as SciPy gives them; what cannot be paired is refused."""
    hand = paired_interval(np.array([2.0, 4.0]), np.array([1.0, 1.0]))
    require(
        isinstance(hand, tuple) and len(hand) == 3,
        f"it should return the mean and two ends, got {hand!r}",
    )
    require(
        all(isinstance(value, float) for value in hand),
        f"the three should be floats, got {[type(value).__name__ for value in hand]}",
    )
    rng = np.random.default_rng(0)
    for n, level in ((2, 0.95), (5, 0.9), (6, 0.95), (30, 0.99)):
        common = rng.normal(0, 5, n)
        a, b = common + rng.normal(1, 0.5, n), common
        answer = paired_interval(a, b, level) if level != 0.95 else paired_interval(a, b)
        d = stats.ttest_rel(a, b).confidence_interval(level)
        for name, value, right in zip(
            ("mean", "lower end", "upper end"),
            answer,
            (np.mean(a - b), d.low, d.high),
            strict=True,
        ):
            require(
                abs(value - right) < 1e-6 * max(1, abs(right)),
                f"{n} pairs at level {level}: the {name} is {right:.4f}, yours is {value:.4f}",
            )
    raises(lambda: paired_interval([1.0], [0.5]), "one pair")
    raises(lambda: paired_interval([1.0, 2.0, 3.0], [0.5]), "three scores and one")
    for level in (0, 1, 95):
        raises(lambda level=level: paired_interval([1.0, 2.0], [0.5, 1.0], level), f"level {level}")
