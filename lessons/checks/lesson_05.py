"""Checks of lesson 5: pooling, dropout, upsampling, and upsampling folded into the convolution."""

import numpy as np

from lessons.checking import as_array, check, require
from lessons.checks.gradients import Unchanged, against_differences, gradients
from ums.ops import global_average_pool_forward, upsample2d_forward


@check
def global_average_pool_backward(global_average_pool_backward):
    """every pixel gets its share, in every channel its own; as central differences say."""
    shape = (1, 2, 4, 1)
    backward = global_average_pool_backward
    (dx,) = gradients(backward, np.full((1, 1), 8.0), (shape,), {"dx": shape})
    require(
        np.allclose(dx.sum(), 8),
        "if all pixels of a map grow by 1, so does their mean: with dy = 8, dx sums to 8, yours to "
        f"{dx.sum():g}",
    )
    require(
        np.allclose(dx, 1),
        f"the 8 pixels of a 2 x 4 map share dy = 8 equally, yours get {dx.ravel().tolist()}",
    )
    gradients(backward, np.ones((1, 1), np.float32), (shape,), {"dx": shape})
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 4, 5, 2))
    hint = "Which films' and which channels' pixels does an entry of dy belong to?"
    against_differences(global_average_pool_forward, backward, {"x": x}, rng, hint)


@check
def dropout_forward(dropout_forward):
    """the share is dropped, the expectation kept, the cache is what x was multiplied by."""
    rng = np.random.default_rng(0)
    x = np.full((200, 100), 3.0, np.float32)
    for rate in (0.5, 0.2):
        y, scale = _dropped(dropout_forward, x, rate, rng)
        by_column, by_row = (y == 0).mean(axis=0), (y == 0).mean(axis=1)
        require(
            np.ptp(by_column) < 0.5 and np.ptp(by_row) < 0.5,
            "whole rows or columns are dropped together: each entry should be drawn by itself",
        )
        dropped = float(by_column.mean())
        require(
            abs(dropped - rate) < 0.02,
            f"with rate {rate} a share of {dropped:.2f} was dropped. Which drawn numbers mean keep?",
        )
        kept = np.unique(y[y != 0])
        require(
            len(kept) == 1 and abs(float(y.mean()) - 3) < 0.1,
            f"3 everywhere should come out as 3 on average, with rate {rate} yours is {y.mean():.2f} "
            f"(the kept ones are {kept[:3].tolist()}). By how much must they grow to make up for the others?",
        )
        require(
            np.allclose(kept, 3 / (1 - rate), atol=1e-4),
            f"what is kept of 3 becomes {kept[0]:.4f} with rate {rate}: is that number the same in every "
            "draw, whatever share happens to be dropped?",
        )
    y, (scale,) = dropout_forward(x, 0.5, rng, False)
    require(
        (y == x).all() and scale is None, "at inference nothing is dropped and nothing made larger"
    )
    first, second = (
        _dropped(dropout_forward, x, 0.5, np.random.default_rng(1))[0] for _ in range(2)
    )
    require((first == second).all(), "the same seed should drop the same: draw from rng alone")
    again, _ = _dropped(dropout_forward, x, 0.5, rng)
    require(not (again == first).all(), "each step should drop others: draw from the rng passed in")
    whole, _ = _dropped(dropout_forward, x[:2], 0, rng)
    require((whole == x[:2]).all(), "with rate 0 nothing should be dropped, and y be x")
    _dropped(dropout_forward, x[:2].astype(np.float64), 0.5, rng)
    mixed = np.tile(np.float32([0, -3, 3]), (100, 1))  # zeros, as after a ReLU, and both signs
    _, scale = _dropped(dropout_forward, mixed, 0.5, rng)
    require(
        (abs((scale == 0).mean(axis=0) - 0.5) < 0.25).all(),
        "for x of 0, -3 and 3 the share of zeros in the scale should be 0.5 in each: it is drawn, and does "
        "not depend on x or y",
    )


def _dropped(dropout_forward, x, rate, rng):
    """y and the scale in training, once both are of x's shape and dtype and x is what it was."""
    given = Unchanged(x=x)
    answer = dropout_forward(x, rate, rng, True)
    given.check()
    require(
        isinstance(answer, tuple | list) and len(answer) == 2,
        f"it should return y and the cache, got {type(answer).__name__}",
    )
    y, cache = answer
    as_array(y, f"y of a {x.dtype} x", x.shape, x.dtype)
    require(
        isinstance(cache, tuple | list) and len(cache) == 1,
        "the cache should be (scale,), a tuple of one array, got "
        f"{f'{len(cache)} of them' if isinstance(cache, tuple | list) else type(cache).__name__}",
    )
    scale = as_array(cache[0], "the scale in the cache", x.shape)
    require(
        scale.dtype == x.dtype,
        f"the scale in the cache is {scale.dtype} and x is {x.dtype}: the way back multiplies dy by it, "
        "and dx must have the dtype of dy",
    )
    require(
        np.allclose(x * scale, y),
        "x times the scale in the cache should be y: the way back must drop the same entries",
    )
    return y, scale


@check
def upsample2d_backward(upsample2d_backward):
    """every pixel collects from its own four copies; as central differences say."""
    dy = np.array([[1.0, 2, 10, 20], [3, 4, 30, 40]])[None, :, :, None]
    shape = (1, 1, 2, 1)
    dx = gradients(upsample2d_backward, dy, (shape,), {"dx": shape})[0].ravel()
    require(
        np.allclose(dx, (10, 100)),
        "copies with gradients 1, 2, 3, 4 and 10, 20, 30, 40 (two squares side by side) give 10 and 100, "
        f"yours {dx.tolist()}. Do the copies of a pixel add up, and which entries are its copies?",
    )
    gradients(upsample2d_backward, dy.astype(np.float32), (shape,), {"dx": shape})
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, 4, 2))
    hint = "Which axes did you split, and in which order do the two parts of each stand?"
    against_differences(upsample2d_forward, upsample2d_backward, {"x": x}, rng, hint)


@check
def fold_rows(fold_rows):
    """both phases of a row, with whatever axes follow."""
    w = np.array([1.0, 10, 100])
    for p, expected in ((0, (1, 110)), (1, (11, 100))):
        given = Unchanged(w=w)
        answer = as_array(fold_rows(w, p), f"fold_rows([1, 10, 100], {p})", (2,))
        given.check("The other phase still needs it: make a new array instead.")
        require(
            np.array_equal(answer, expected),
            f"phase {p}, weights 1, 10, 100: yours are {answer.tolist()}. Write the large row a a b b c c, "
            f"put the middle weight on the {'right' if p else 'left'} b, and collect what falls on each "
            "letter.",
        )
    rng = np.random.default_rng(0)
    w, row = rng.normal(size=(3, 3, 4, 2)), rng.normal(size=3)
    as_array(
        fold_rows(w.astype(np.float32), 0), "the fold of a float32 w", (2, 3, 4, 2), np.float32
    )
    large = row.repeat(2)
    for p in (0, 1):
        small = as_array(fold_rows(w, p), f"fold_rows(w, {p}) of w (3, 3, 4, 2)", (2, 3, 4, 2))
        expected = sum(large[1 + p + u] * w[u] for u in range(3))
        got = sum(row[p + s] * small[s] for s in range(2))
        require(
            np.allclose(got, expected), f"phase {p}: right for numbers, wrong for w (3, 3, C, O)"
        )


@check
def upsample_conv(upsample_conv):
    """equal to upsampling and convolving, to the border, with fewer than half the multiplications."""
    x = np.zeros((1, 3, 3, 1))
    x[0, 1, 1] = 1
    w, b = np.ones((3, 3, 1, 1)), np.zeros(1)
    given = Unchanged(x=x, w=w, b=b)
    y = upsample_conv(x, w, b)
    given.check()
    y = as_array(y, "y (N, 2H, 2W, O)", (1, 6, 6, 1))[0, :, :, 0]
    require(
        y[2, 2] == 4 and y.sum() == 36,
        f"one pixel of 1 and weights of 1: y[2, 2] sees all four copies, 4, and y sums to 9 x 4 = 36; "
        f"yours are {y[2, 2]:g} and {y.sum():g}. Which rows of the padded image does each phase read, and to "
        "which rows of y does it write?",
    )
    rng = np.random.default_rng(0)
    x, w, b = rng.normal(size=(2, 4, 5, 3)), rng.normal(size=(3, 3, 3, 2)), rng.normal(size=2)
    expected = _two_steps(x, w, b)
    given = Unchanged(x=x, w=w, b=b)
    y = as_array(upsample_conv(x, w, b), "y (N, 2H, 2W, O)", expected.shape)
    given.check()
    for p in (0, 1):
        for q in (0, 1):
            off = abs(y - expected)[:, p::2, q::2]
            require(
                off.max() < 1e-9,
                f"phase ({p}, {q}) is wrong in {(off > 1e-9).mean():.0%} of its numbers, by up to "
                f"{off.max():.3g}. Is it the border only, or everywhere? Does the moved image start where "
                "this phase's window starts, and is b in it once?",
            )
    x, w, b = (
        rng.normal(size=s).astype(np.float32) for s in ((4, 32, 32, 64), (3, 3, 64, 32), (32,))
    )
    as_array(upsample_conv(x, w, b), "y of a float32 x", (4, 64, 64, 32), np.float32)
    _Counted.products = 0
    upsample_conv(x.view(_Counted), w.view(_Counted), b)
    theirs = 9 * 4 * x.size * w.shape[3]
    require(
        _Counted.products < theirs / 2,
        f"equal, but with {_Counted.products / 1e6:.0f} million multiplications; upsampling and then "
        f"convolving takes {theirs / 1e6:.0f} million. How many products do you take, on which images?",
    )


def _two_steps(x, w, b):
    """The upsampling made, then nine products on the large image, as the notebook has it."""
    N, H, W, _ = x.shape
    padded = np.pad(x.repeat(2, axis=1).repeat(2, axis=2), ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = np.zeros((N, 2 * H, 2 * W, w.shape[3]), x.dtype)
    for u in range(3):
        for v in range(3):
            y += padded[:, u : u + 2 * H, v : v + 2 * W] @ w[u, v]
    return y + b


class _Counted(np.ndarray):
    """An array that counts the multiplications that it takes part in."""

    products = 0

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        plain = [np.asarray(x) if isinstance(x, _Counted) else x for x in inputs]
        if out is not None:
            options["out"] = tuple(np.asarray(x) for x in out)
        result = getattr(ufunc, method)(*plain, **options)
        if ufunc is np.matmul:
            _Counted.products += result.size * plain[0].shape[-1]
        elif ufunc is np.multiply:
            _Counted.products += np.size(result)
        return result.view(_Counted) if isinstance(result, np.ndarray) else result

    def __array_function__(self, function, types, arguments, options):
        result = super().__array_function__(function, types, arguments, options)
        if function in (np.dot, np.inner, np.tensordot, np.einsum):
            sizes = [x.size for x in arguments if isinstance(x, np.ndarray)]
            # The axis that is summed, of length K, is in both: sizes a K and K b, and a b of the result.
            _Counted.products += int((np.prod(sizes, dtype=float) * result.size) ** 0.5)
        return result
