"""What the checks of backward passes share: what is returned, what must stay, central differences."""

import numpy as np

from lessons.checking import CheckFailed, as_array, require
from ums.gradcheck import GradientError, check_gradients


class Unchanged:
    """Copies of arrays that an answer is given, to see afterwards that it left them alone."""

    def __init__(self, **arrays):
        self.arrays = arrays
        self.copies = {name: array.copy() for name, array in arrays.items()}

    def check(self, advice="The caller still needs it: make a new array instead."):
        """Raise `CheckFailed`, naming the array, unless every one is as it was."""
        for name, array in self.arrays.items():
            require(
                array.tobytes() == self.copies[name].tobytes(),
                f"your function changed {name} in place (by *=, -= or [...] =, for example). {advice}",
            )


def gradients(backward, dy, cache, shapes):
    """The gradients that `backward(dy, cache)` returns, once they are arrays such as they must be.

    Args:
        backward: A student's backward pass, called once.
        dy: The upstream gradient; must stay as it is, and so must what `cache` holds.
        cache: A tuple of arrays and other values.
        shapes: {name: shape} of the gradients, in order; of one, the bare array is expected.

    Raises:
        CheckFailed: A gradient is missing, misshapen or of another type than dy, or an argument was
            changed.
    """
    kept = {f"cache[{i}]": a for i, a in enumerate(cache) if isinstance(a, np.ndarray)}
    given = Unchanged(dy=dy, **kept)
    answer = backward(dy, cache)
    given.check("The layers before it and their checks still need it: make a new array instead.")
    names = ", ".join(shapes)
    if len(shapes) == 1:
        require(
            not isinstance(answer, tuple | list),
            f"it should return {names} itself, not a {type(answer).__name__} with {names} in it",
        )
        answer = (answer,)
    require(answer is not None, f"it returned None: does it end with a return of {names}?")
    require(
        isinstance(answer, tuple | list) and len(answer) == len(shapes),
        f"it should return {len(shapes)} gradients, {names}, in this order; got "
        + (f"{len(answer)}" if isinstance(answer, tuple | list) else type(answer).__name__),
    )
    for (name, shape), gradient in zip(shapes.items(), answer, strict=True):
        _check_gradient(name, shape, gradient, dy.dtype)
    return tuple(answer)


def _check_gradient(name, shape, gradient, dtype):
    as_array(gradient, name, shape)
    require(
        gradient.dtype == dtype,
        f"{name} is {gradient.dtype}, but dy is {dtype}. A gradient has the type of what it is made "
        "of: where does yours get another one (astype, or an array made without dtype)?",
    )


def against_differences(forward, backward, inputs, rng, hint):
    """`check_gradients`, whose message names the gradient; with a hint at what to do on paper.

    Raises:
        CheckFailed: A gradient disagrees with the central differences.
    """
    try:
        check_gradients(forward, backward, inputs, rng=rng)
    except GradientError as error:
        raise CheckFailed(f"{error}.\n   {hint}") from None
