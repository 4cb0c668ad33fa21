"""Checks of lesson 1: black and white the right way round, one range, no patient on both sides."""

import numpy as np

from lessons.checking import CheckFailed, as_array, check, require
from ums.data import normalise as library_normalise
from ums.data.normalisation import BACKGROUND


@check
def as_shown(as_shown):
    """0 is black in both kinds, in uint8, and an unknown kind is refused."""
    stored = np.array([[0, 1, 100], [128, 200, 255]], np.uint8)
    kept = stored.copy()
    plain = as_array(as_shown(stored, "MONOCHROME2"), "a MONOCHROME2 film", (2, 3), np.uint8)
    require((plain == kept).all(), "MONOCHROME2 is right as it is stored: nothing is to be changed")
    turned = as_array(as_shown(stored, "MONOCHROME1"), "a MONOCHROME1 film", (2, 3), np.uint8)
    require((stored == kept).all(), "the stored pixels were changed: the caller still needs them")
    require(
        turned[0, 0] == 255 and turned[1, 2] == 0,
        f"in MONOCHROME1 a stored 0 is white and 255 black; yours gives {turned[0, 0]} for 0 and "
        f"{turned[1, 2]} for 255. Which whole number lies as far from the other end?",
    )
    back = as_shown(turned, "MONOCHROME1")
    require((back == kept).all(), "turned round twice, a film should be what it was before")
    try:
        as_shown(stored, "RGB")
    except ValueError:
        return
    raise CheckFailed("as_shown(pixels, 'RGB') should raise ValueError, and it did not")


@check
def normalise(normalise):
    """mean 0 and deviation 1/4 on each film, its border dark, bright still bright."""
    images = _films()
    film = images > BACKGROUND
    x = as_array(normalise(images.copy()), "x", (*images.shape, 1), np.float32)[..., 0]
    for n in range(len(images)):
        values, grey = x[n][film[n]], images[n][film[n]].astype(float)
        require(
            np.corrcoef(values, grey)[0, 1] > 0,
            f"image {n}: what was bright is dark now. Look at the sign of the difference.",
        )
        _check_film(n, values)
    _check_border(x, images, film)
    alone = normalise(images[1:2])[0, ..., 0]
    require(
        np.allclose(alone, x[1], atol=1e-5),
        "an image comes out differently alone and in a batch: each must have its own mean and deviation",
    )
    require(
        np.allclose(x, library_normalise(images)[..., 0], atol=1e-4),
        "close, but not what ums.data.normalise gives: compare film pixels and border one by one",
    )


def _check_film(n, values):
    mean, deviation = float(values.mean()), float(values.std())
    require(
        abs(mean) < 0.01,
        f"image {n}: the film pixels should have mean 0, yours have {mean:.3f}. Over which pixels "
        "do you take the mean: all, or the exposed ones of this image?",
    )
    require(
        abs(deviation - 0.25) < 0.005,
        f"image {n}: the film pixels should have the deviation 1/4, yours have {deviation:.3f}. What "
        "stands below the line, and over which pixels is it taken?",
    )


def _check_border(x, images, film):
    for n in range(len(images)):
        border = x[n][~film[n]]
        require(
            np.ptp(border) < 1e-5,
            f"image {n}: the pixels off the film should have one value, yours run from "
            f"{border.min():.3f} to {border.max():.3f}. Where do they take the formula of the film?",
        )
        require(
            border.max() < -1 + 1e-5,
            f"image {n}: off the film x should be -1 or less, yours is {border.max():.3f}",
        )
        mean, deviation = images[n][film[n]].mean(), images[n][film[n]].std()
        require(
            border.max() < -mean / (4 * deviation) + 1e-4,
            f"image {n}: its border, {border.max():.3f}, is brighter than black would be. Of the two "
            "values in the text, which one holds here?",
        )


def _films():
    """(3, 16, 16) uint8: of low contrast, bright, and with a wide border that is not quite black."""
    rng = np.random.default_rng(0)
    images = np.stack(
        [
            rng.normal(mean, deviation, (16, 16)).clip(BACKGROUND + 1, 255)
            for mean, deviation in ((60, 20), (190, 12), (120, 40))
        ]
    )
    images[:, :2], images[2, :, :6] = 0, 0
    images[:, 0] = BACKGROUND - 3
    return images.astype(np.uint8)


@check
def split_rows(split_rows):
    """every row on one side, no patient on both, patients drawn by the generator alone."""
    patients = np.repeat([f"P{p}" for p in range(12)], [1, 4, 2, 3, 1, 2, 5, 1, 3, 2, 4, 2])
    patients = np.random.default_rng(0).permutation(patients)
    for seed in range(5):
        train, test = _sides(split_rows, patients, 0.25, seed)
        _check_sides(patients, train, test)
        require(
            len(set(patients[test])) == 3,
            f"a quarter of 12 patients are 3, your test side has {len(set(patients[test]))}: is the "
            "share one of the patients or of the rows?",
        )
    again = _sides(split_rows, patients, 0.25, 4)
    require(
        all(np.array_equal(a, b) for a, b in zip(again, (train, test), strict=True)),
        "generators with the same seed give different splits: where does other chance come in?",
    )
    drawn = {tuple(_sides(split_rows, patients, 0.25, seed)[1]) for seed in range(20)}
    require(len(drawn) > 10, "20 seeds give almost the same split: are the patients drawn by rng?")


def _sides(split_rows, patients, share, seed):
    answer = split_rows(patients.copy(), share, np.random.default_rng(seed))
    require(
        isinstance(answer, tuple) and len(answer) == 2,
        f"it should return two arrays, rows to train on and rows to test on, got {type(answer).__name__}",
    )
    for name, rows in zip(("train", "test"), answer, strict=True):
        require(
            isinstance(rows, np.ndarray) and rows.ndim == 1 and rows.dtype.kind in "iu",
            f"the {name} side should be an array of row numbers, not of names or True and False",
        )
    return answer


def _check_sides(patients, train, test):
    both = set(patients[train]) & set(patients[test])
    require(
        not both,
        f"patient {min(both, default='')} is on both sides. What do you draw: rows or patients?",
    )
    rows = np.concatenate([train, test])
    require(
        np.array_equal(np.sort(rows), np.arange(len(patients))),
        f"every one of the {len(patients)} rows should be on one side, once; yours are {len(rows)}, "
        f"{len(np.unique(rows))} of them different",
    )
    require(
        (np.diff(train) > 0).all() and (np.diff(test) > 0).all(),
        "the rows of a side should be ascending",
    )
