"""Checks of lesson 3: receptive fields, windows as a matrix, the product, the adjoint."""

from numbers import Real

import numpy as np

from lessons.checking import as_array, check, refuse_calls, require
from lessons.checks.gradients import Unchanged
from ums.ops import col2im as library_col2im
from ums.ops import conv2d_forward
from ums.ops import im2col as library_im2col

SLIDES = ((1, 1), (2, 1), (1, 2), (2, 2), (3, 2))
"""(stride, dilation)"""


@check
def receptive_field(receptive_field):
    """kernels, strides and dilations in any order, and a single pixel where there is no layer."""
    cases = {
        "no layer at all, which sees a single pixel": ([], 1),
        "one 3x3 convolution": ([(3, 1, 1)], 3),
        "one of 5x5": ([(5, 1, 1)], 5),
        "one 3x3 with dilation 3": ([(3, 1, 3)], 7),
        "one 3x3 with stride 2, which sees no more than one with stride 1": ([(3, 2, 1)], 3),
        "stride 2, then stride 1": ([(3, 2, 1), (3, 1, 1)], 7),
        "stride 2 three times": ([(3, 2, 1)] * 3, 15),
        "stride 3, then 5x5 with dilation 2": ([(3, 3, 1), (5, 1, 2)], 27),
        "stride 2, then dilation 2, then 5x5": ([(3, 2, 1), (3, 1, 2), (5, 1, 1)], 19),
        "1x1 convolutions, stride 2": ([(1, 2, 1)] * 2, 1),
    }
    for name, (layers, width) in cases.items():
        given = list(layers)
        answer = receptive_field(given)
        require(
            given == layers, f"{name}: your function changed the list of layers that it was given"
        )
        require(
            isinstance(answer, Real) and not isinstance(answer, bool),
            f"it should return one number, got {answer!r}",
        )
        require(
            answer == width,
            f"{name}: {width} pixel{'s' * (width > 1)}, yours says {answer}. Draw it on squared "
            "paper. Whose steps does this layer's kernel take, and when do they become longer?",
        )


def _ramp(side):
    """(1, side, side, 1): 10, 20, ... from left to right, the same in every row."""
    return np.tile(10.0 * np.arange(1, side + 1), (side, 1))[None, :, :, None]


@check
def im2col(im2col):
    """every window, for stride, dilation, kernels of 1, 3 and 5, images that are not square."""
    row = as_array(im2col(_ramp(6), 3, 2, 1), "A of a 6 x 6 image, stride 2", (1, 3, 3, 3, 3, 1))
    for v, name, met in ((0, "left", (0, 20, 40)), (1, "middle", (10, 30, 50))):
        yours = row[0, 1, :, 1, v, 0]
        require(
            np.array_equal(yours, met),
            f"in a row 10, 20, ..., 60, with stride 2, the {name} weight meets {met}, yours "
            f"{tuple(yours.tolist())}. Where does the slice start, what is its step, and into which (u, v) "
            "does it go?",
        )
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 6, 9, 3)).astype(np.float32)
    for kernel in (3, 1, 5):
        for stride, dilation in SLIDES:
            _compare_windows(im2col, x, kernel, stride, dilation)


def _compare_windows(im2col, x, kernel, stride, dilation):
    where = f"kernel {kernel}, stride {stride}, dilation {dilation}"
    expected = library_im2col(x, kernel, stride, dilation)
    given = Unchanged(x=x)
    A = as_array(im2col(x, kernel, stride, dilation), f"A ({where})", expected.shape, x.dtype)
    given.check()
    wrong = [i for i in np.ndindex(A.shape) if A[i] != expected[i]] if (A != expected).any() else []
    if wrong:
        _, i, j, u, v, _ = wrong[0]
        at = stride * i + dilation * u, stride * j + dilation * v
        require(
            False,
            f"{where}: {len(wrong)} of {A.size} numbers are wrong. In the window of pixel ({i}, {j}), "
            f"weight (u, v) = ({u}, {v}) should meet the padded image's pixel {at}. Are u and v, rows and "
            "columns, each where they belong, and does the slice know stride and dilation?",
        )


@check
def conv2d(conv2d):
    """as by hand, and as the library's, for stride and dilation, with the bias."""
    refuse_calls(conv2d, "conv2d_loop")
    x, w = np.zeros((1, 3, 3, 1)), np.arange(9.0).reshape(3, 3, 1, 1)
    x[0, 1, 1] = 1
    y = as_array(conv2d(x, w, np.zeros(1)), "y of one bright pixel", (1, 3, 3, 1))[0, :, :, 0]
    require(
        y[1, 1] == 4,
        f"one pixel of 1 under the middle weight, 4, and zeros around: y should be 4, yours is {y[1, 1]:g}",
    )
    x, w = np.ones((2, 5, 4, 3)), np.ones((3, 3, 3, 2))
    b = np.array([0.0, 100.0])
    y = as_array(conv2d(x, w, b), "y (N, OH, OW, O)", (2, 5, 4, 2))
    require(
        y[0, 2, 2, 0] == 27,
        f"ones everywhere, 3 x 3 x 3 weights of 1: y in the middle is 27, yours is {y[0, 2, 2, 0]:g}",
    )
    require(
        y[0, 2, 2, 1] == 127,
        f"the second channel has the bias 100, so it should have 127, yours has {y[0, 2, 2, 1]:g}",
    )
    rng = np.random.default_rng(0)
    x, w, b = (rng.normal(size=shape) for shape in ((2, 6, 9, 3), (3, 3, 3, 4), (4,)))
    for stride, dilation in SLIDES:
        expected, _ = conv2d_forward(x, w, b, stride, dilation)
        given = Unchanged(x=x, w=w, b=b)
        y = conv2d(x, w, b, stride, dilation)
        given.check()
        as_array(y, "y (N, OH, OW, O)", expected.shape, x.dtype)
        require(
            np.allclose(y, expected),
            f"stride {stride}, dilation {dilation}: y is off by up to {abs(y - expected).max():.3g}. Are the "
            "numbers in a row of your matrix in the same order, (u, v, c), as the weights in a column of w?",
        )
    single = [array.astype(np.float32) for array in (x, w, b)]
    found = conv2d(*single).dtype
    require(
        found == np.float32,
        f"x, w and b of float32 make a y of {found}: where does another type come in? It needs twice "
        "(float64) the memory, or has lost digits (float16).",
    )


@check
def col2im(im2col, col2im):
    """<im2col(x), y> = <x, col2im(y)> for random x and y, and as many windows as a pixel is in."""
    ones = np.ones((1, 5, 5, 1))
    shape = (1, 5, 5, 1)
    count = as_array(col2im(library_im2col(ones, 3), shape), "col2im(...)", shape)[0, :, :, 0]
    for name, place, number in (("the middle", (2, 2), 9), ("a corner", (0, 0), 4)):
        require(
            count[place] == number,
            f"a pixel in {name} is in {number} windows of 3 x 3, so ones give {number} there, yours give "
            f"{count[place]:g}. What becomes of a place that is met a second time, and which part of the "
            "padded image is the answer?",
        )
    rng = np.random.default_rng(0)
    for stride, dilation, kernel in [(*slide, 3) for slide in SLIDES] + [(1, 1, 1), (2, 1, 5)]:
        x = rng.normal(size=(2, 6, 9, 3))
        A = library_im2col(x, kernel, stride, dilation)
        y = rng.normal(size=A.shape)
        given = Unchanged(columns=y)
        back = as_array(col2im(y, x.shape, stride, dilation), "col2im(...)", x.shape)
        given.check()
        left, right = float((A * y).sum()), float((x * back).sum())
        require(
            abs(left - right) < 1e-9 * (np.linalg.norm(A) * np.linalg.norm(y)),
            f"kernel {kernel}, stride {stride}, dilation {dilation}: <im2col(x), y> is {left:.6f}, "
            f"<x, col2im(y)> is {right:.6f}. Do the places you add to agree with those that im2col "
            "reads from?",
        )
        expected = library_col2im(y, x.shape, stride, dilation)
        require(np.allclose(back, expected), "one product agrees by chance, the arrays do not")
    x = rng.normal(size=(2, 6, 9, 3))
    mine = im2col(x, 3, 2, 2)
    require(
        np.isclose((mine * mine).sum(), (x * col2im(mine, x.shape, 2, 2)).sum()),
        "col2im is right by itself, but it is not the adjoint of your im2col: is that one right?",
    )
