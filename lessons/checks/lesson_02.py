"""Checks of lesson 2: backward passes against central differences, a fooled check, planted bugs."""

import numpy as np

from lessons.checking import CheckFailed, check, require
from lessons.checks.gradients import against_differences, gradients
from ums.gradcheck import GradientError, check_gradients
from ums.ops import dense_forward, sigmoid_forward, softmax_forward

HINT = "Write down which entries of y this entry appears in, and with which factor."


@check
def sigmoid_backward(sigmoid_backward):
    """dx agrees with central differences, relative error below 1e-6."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 4))
    y, cache = sigmoid_forward(x)
    gradients(sigmoid_backward, rng.normal(size=y.shape), cache, {"dx": x.shape})
    (dx,) = gradients(sigmoid_backward, np.array([2.0]), (np.array([0.5]),), {"dx": (1,)})
    require(
        abs(dx[0] - 0.5) < 1e-12,
        "at x = 0, where y = 1/2, the sigmoid has the slope 1/4; with dy = 2 this makes dx = 1/2, and yours "
        f"is {dx[0]:.4g}. Are dy and the slope both in it?",
    )
    hint = "Each dx is the dy of the same entry times the slope there, in terms of y."
    against_differences(sigmoid_forward, sigmoid_backward, {"x": x}, rng, hint)


@check
def dense_backward(dense_backward):
    """dx, dw and db agree with central differences, relative error below 1e-6."""
    rng = np.random.default_rng(0)
    N, C, O = 5, 4, 3
    inputs = {
        "x": rng.normal(size=(N, C)), "w": rng.normal(size=(C, O)), "b": rng.normal(size=O),
    }  # fmt: skip
    y, cache = dense_forward(*inputs.values())
    shapes = {f"d{name}": array.shape for name, array in inputs.items()}
    gradients(dense_backward, rng.normal(size=y.shape), cache, shapes)
    against_differences(dense_forward, dense_backward, inputs, rng, HINT)


@check
def softmax_backward_wrong(softmax_backward_wrong):
    """the lazy check accepts it, a random dy does not."""
    x = np.random.default_rng(0).normal(size=(4, 3))
    y, cache = softmax_forward(x)
    (dx,) = gradients(softmax_backward_wrong, np.ones(y.shape), cache, {"dx": x.shape})
    require(
        abs(dx).max() < 1e-6,
        f"the lazy check notices: with dy of all ones it expects 0 everywhere, because the sum of a row "
        f"does not change. Yours is up to {abs(dx).max():.3g} away from it.",
    )
    rng = np.random.default_rng(1)
    gradients(softmax_backward_wrong, rng.normal(size=y.shape), cache, {"dx": x.shape})
    try:
        check_gradients(softmax_forward, softmax_backward_wrong, {"x": x}, rng=rng)
    except GradientError:
        return
    raise CheckFailed(
        "this one is right: a random dy finds nothing wrong either. It should be wrong!"
    )


# -------------------------------------------------------------------------------- the suspects


def suspects():
    """{name: (forward, backward, inputs)}: as students hand them in, some right, some wrong."""
    rng = np.random.default_rng(7)
    square = {"x": rng.normal(size=(3, 3)), "w": rng.normal(size=(3, 3)), "b": rng.normal(size=3)}
    single = {"x": rng.normal(size=(4, 3))}
    dense = {name: (dense_forward, _DENSE[name], square) for name in _DENSE}
    sigmoid = {name: (sigmoid_forward, _SIGMOID[name], single) for name in _SIGMOID}
    together = dense | sigmoid
    return {name: together[name] for name in sorted(together)}


_DENSE = {
    "Ada": lambda dy, c: (np.einsum("no,co->nc", dy, c[1]), c[0].T @ dy, np.ones(len(dy)) @ dy),
    "Ben": lambda dy, c: (dy @ c[1], c[0].T @ dy, dy.sum(axis=0)),
    "Cem": lambda dy, c: (dy @ c[1].T, c[0].T @ dy, dy.sum(axis=1)),
    "Eva": lambda dy, c: ((c[1] @ dy.T).T, (dy.T @ c[0]).T, np.add.reduce(dy)),
}
_SIGMOID = {
    "Dan": lambda dy, c: dy * (1 - c[0] ** 2),
    "Fay": lambda dy, c: np.ones_like(dy) * c[0] * (1 - c[0]),
    "Gus": lambda dy, c: dy * (c[0] - c[0] ** 2),
}
_WRONG = {"Ben", "Cem", "Dan", "Fay"}


@check
def rejected(rejected):
    """every wrong backward pass is found, every right one is left alone."""
    answer = _rejected(rejected, suspects())
    require(
        isinstance(answer, set | frozenset) and answer <= suspects().keys(),
        f"it should return a set of the suspects' names, got {answer!r}",
    )
    missed, accused = len(_WRONG - answer), len(answer - _WRONG)
    require(
        not missed and not accused,
        f"{missed} wrong backward passes are not in it, {accused} right ones are. Does every suspect "
        "get its turn, whatever came of the ones before? Which of the two does a GradientError mean?",
    )
    _check_others(rejected)


def _check_others(rejected):
    """Suspects that the notebook does not show: an answer by heart knows none of them."""
    known = suspects()
    for name, expected in (("Ada", set()), ("Ben", {"new"})):
        answer = _rejected(rejected, {"new": known[name]})
        require(
            answer == expected,
            f"asked about a single suspect, named 'new', that is {'wrong' if expected else 'right'}, it "
            f"should return {expected or 'an empty set'}, got {answer!r}: does it look at the suspects "
            "that it is given?",
        )


def _rejected(rejected, given):
    try:
        return rejected(given)
    except GradientError:
        raise CheckFailed(
            "check_gradients met a wrong suspect and raised GradientError, and that ended your function: "
            "the suspects after it never got their turn. Catch the exception around this one call (try "
            "and except), and go on with the next suspect."
        ) from None
