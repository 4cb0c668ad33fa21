"""Checks of lesson 1: black and white the right way round, one range, no patient on both sides."""

import numpy as np

from lessons.checking import CheckFailed, as_array, check, require
from lessons.checks.gradients import Unchanged
from ums.data import normalise as library_normalise
from ums.data.normalisation import BACKGROUND


@check
def as_shown(as_shown):
    """0 is black in both kinds, in uint8, and an unknown kind is refused."""
    stored = np.array([[0, 1, 100], [128, 200, 255]], np.uint8)
    given = Unchanged(pixels=stored)
    plain = as_array(as_shown(stored, "MONOCHROME2"), "a MONOCHROME2 film", (2, 3), np.uint8)
    given.check()
    require(
        (plain == stored).all(), "MONOCHROME2 is right as it is stored: nothing is to be changed"
    )
    turned = as_array(as_shown(stored, "MONOCHROME1"), "a MONOCHROME1 film", (2, 3), np.uint8)
    given.check()
    require(
        turned[0, 0] == 255 and turned[1, 2] == 0,
        f"in MONOCHROME1 a stored 0 is white and 255 black; yours gives {turned[0, 0]} for 0 and "
        f"{turned[1, 2]} for 255. Which whole number lies as far from the other end?",
    )
    back = as_shown(turned, "MONOCHROME1")
    require((back == stored).all(), "turned round twice, a film should be what it was before")
    _check_narrow_film(as_shown)
    for kind in ("RGB", "MONOCHROME", "MONOCHROME12", "monochrome1", ""):
        _check_refused(as_shown, stored, kind)


def _check_narrow_film(as_shown):
    """Neither its darkest nor its brightest pixel is at an end of the range."""
    narrow = as_shown(np.array([[10, 100, 200]], np.uint8), "MONOCHROME1")
    require(
        (narrow == (245, 155, 55)).all(),
        f"a MONOCHROME1 film of the pixels 10, 100, 200 is shown as 245, 155, 55; yours as "
        f"{', '.join(map(str, narrow.ravel()))}. Does your answer depend on other pixels of the film?",
    )


def _check_refused(as_shown, stored, kind):
    try:
        as_shown(stored, kind)
    except ValueError:
        return
    except (KeyError, TypeError, RuntimeError, AssertionError) as error:
        found = f"it raised {type(error).__name__}"
    else:
        found = "it did not"
    raise CheckFailed(f"as_shown(pixels, {kind!r}) should raise ValueError, and {found}")


@check
def normalise(normalise):
    """mean 0 and deviation 1/4 on each film, its border dark, bright still bright."""
    images = _films()
    film = images > BACKGROUND
    given = Unchanged(images=images)
    x = as_array(normalise(images), "x", (*images.shape, 1), np.float32)[..., 0]
    given.check()
    for n in range(len(images)):
        values, grey = x[n][film[n]], images[n][film[n]].astype(float)
        require(
            np.ptp(values) > 0,
            f"image {n}: all exposed pixels come out as {values[0]:.3f}. Is BACKGROUND compared with grey "
            "values from 0 to 255?",
        )
        require(
            np.corrcoef(values, grey)[0, 1] > 0,
            f"image {n}: what was bright is dark now. Look at the sign of the difference.",
        )
        _check_film(n, values)
    _check_border(x, images, film)
    alone = normalise(images[1:2])[0, ..., 0]
    require(
        np.allclose(alone, x[1], atol=1e-5),
        "an image comes out differently alone and in a batch: each has its own mean and standard deviation",
    )
    require(
        np.allclose(x, library_normalise(images)[..., 0], atol=1e-4),
        "close, but not what ums.data.normalise gives: compare film pixels and border one by one",
    )


def _check_film(n, values):
    mean, deviation = float(values.mean()), float(values.std())
    require(
        abs(mean) < 0.01,
        f"image {n}: the exposed pixels should have mean 0, yours have {mean:.3f}. Over which pixels "
        "do you take the mean: all, or the exposed ones of this image?",
    )
    require(
        abs(deviation - 0.25) < 0.005,
        f"image {n}: the exposed pixels should have the standard deviation 1/4, yours have {deviation:.3f}. "
        "What do you divide by, and over which pixels is it taken?",
    )


def _check_border(x, images, film):
    for n in range(len(images)):
        border = x[n][~film[n]]
        require(
            np.ptp(border) < 1e-5,
            f"image {n}: the pixels off the film should have one value, yours run from "
            f"{border.min():.3f} to {border.max():.3f}. Is the formula for exposed pixels "
            "applied to them, too?",
        )
        require(
            border.max() < -1 + 1e-5,
            f"image {n}: off the film x should be -1 or less, yours is {border.max():.3f}",
        )
        mean, deviation = images[n][film[n]].mean(), images[n][film[n]].std()
        require(
            border.max() < -mean / (4 * deviation) + 0.01,
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
        _check_share(patients, train, test, "a quarter of 12 patients is 3", 3)
    for share, drawn in ((0.3, 4), (0.2, 2), (0.5, 6)):
        train, test = _sides(split_rows, patients, share, 0)
        said = f"{share} of 12 patients is {12 * share:g}, rounded {drawn}"
        _check_share(patients, train, test, said, drawn)
    train, test = _sides(split_rows, patients, 0.25, 4)
    again = _sides(split_rows, patients, 0.25, 4)
    require(
        all(np.array_equal(a, b) for a, b in zip(again, (train, test), strict=True)),
        "generators with the same seed give different splits: where does other chance come in?",
    )
    for letter in "QRS":
        renamed = np.char.replace(patients, "P", letter)
        require(
            np.array_equal(_sides(split_rows, renamed, 0.25, 4)[1], test),
            "with other names in the same order the split is another: a `set` has no order that lasts, "
            "np.unique sorts",
        )
    drawn = {tuple(_sides(split_rows, patients, 0.25, seed)[1]) for seed in range(20)}
    require(len(drawn) > 10, "20 seeds give almost the same split: are the patients drawn by rng?")


def _check_share(patients, train, test, said, drawn):
    found = len(set(patients[test]))
    require(
        found == drawn or len(set(patients[train])) != drawn,
        f"{said}, and that many are on your first side. The function returns the rows to train on first, "
        "then those to test on.",
    )
    require(
        found == drawn,
        f"{said}; on your test side there are {found}. Is the share one of the patients or of the rows, "
        "and is it rounded to the nearest whole number, not always up or always down? Can a patient be "
        "drawn twice?",
    )


def _sides(split_rows, patients, share, seed):
    given = Unchanged(patients=patients)
    answer = split_rows(patients, share, np.random.default_rng(seed))
    given.check()
    require(
        isinstance(answer, tuple | list) and len(answer) == 2,
        f"it should return two arrays, rows to train on and rows to test on, got {type(answer).__name__}",
    )
    for name, rows in zip(("train", "test"), answer, strict=True):
        found = f"{rows.dtype} {rows.shape}" if hasattr(rows, "dtype") else type(rows).__name__
        require(
            isinstance(rows, np.ndarray) and rows.ndim == 1 and rows.dtype.kind in "iu",
            f"the {name} side should be an array (n,) of row numbers, got {found}. For a list there is "
            "np.array, for True and False np.flatnonzero.",
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
