"""Checks of lesson 2: backward passes against central differences, a fooled check, planted bugs."""

import numpy as np

from lessons.checking import CheckFailed, as_array, check, require
from ums.gradcheck import GradientError, check_gradients
from ums.ops import dense_forward, sigmoid_forward, softmax_forward


@check
def sigmoid_backward(sigmoid_backward):
    """dx agrees with central differences, relative error below 1e-6."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 4))
    y, cache = sigmoid_forward(x)
    as_array(sigmoid_backward(rng.normal(size=y.shape), cache), "dx", x.shape)
    zero = as_array(sigmoid_backward(np.ones(1), (np.array([0.5]),)), "dx", (1,))[0]
    require(
        abs(zero - 0.25) < 1e-12,
        f"at x = 0, where y = 1/2, the sigmoid has the slope 1/4; with dy = 1 yours returns {zero:.4g}",
    )
    _against_differences(sigmoid_forward, sigmoid_backward, {"x": x}, rng)


@check
def dense_backward(dense_backward):
    """dx, dw and db agree with central differences, relative error below 1e-6."""
    rng = np.random.default_rng(0)
    N, C, O = 5, 4, 3
    inputs = {
        "x": rng.normal(size=(N, C)), "w": rng.normal(size=(C, O)), "b": rng.normal(size=O),
    }  # fmt: skip
    y, cache = dense_forward(*inputs.values())
    answer = dense_backward(rng.normal(size=y.shape), cache)
    require(
        isinstance(answer, tuple) and len(answer) == 3,
        "it should return three gradients, dx, dw and db, in the order of the forward's arguments",
    )
    for (name, array), gradient in zip(inputs.items(), answer, strict=True):
        as_array(gradient, f"d{name} (N, C, O are {N}, {C}, {O})", array.shape)
    _against_differences(dense_forward, dense_backward, inputs, rng)


def _against_differences(forward, backward, inputs, rng):
    """`check_gradients`, whose message names the gradient; here also what to compute by hand."""
    try:
        check_gradients(forward, backward, inputs, rng=rng)
    except GradientError as error:
        raise CheckFailed(
            f"{error}.\n   Write down which entries of y this entry appears in, and with which factor."
        ) from None


@check
def softmax_backward_wrong(softmax_backward_wrong):
    """the lazy check accepts it, a random dy does not."""
    x = np.random.default_rng(0).normal(size=(4, 3))
    y, cache = softmax_forward(x)
    dx = as_array(softmax_backward_wrong(np.ones(y.shape), cache), "dx", x.shape)
    require(
        abs(dx).max() < 1e-6,
        f"the lazy check notices: with dy of all ones it expects 0 everywhere, because the sum of a row "
        f"does not change. Yours is up to {abs(dx).max():.3g} away from it.",
    )
    try:
        rng = np.random.default_rng(1)
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
    answer = rejected(suspects())
    require(
        isinstance(answer, set) and answer <= suspects().keys(),
        f"it should return a set of the suspects' names, got {answer!r}",
    )
    missed, accused = len(_WRONG - answer), len(answer - _WRONG)
    require(
        not missed and not accused,
        f"{missed} wrong backward passes are not in it, {accused} right ones are. Does every suspect "
        "get its turn, whatever came of the ones before? Which of the two does a GradientError mean?",
    )
    require(
        rejected({"right": suspects()["Ada"]}) == set(),
        "asked about a single suspect that is right, it should return an empty set: does it look at "
        "the suspects it is given?",
    )
