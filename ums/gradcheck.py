r"""Compare a hand-written backward pass with central differences, and report what differs where.

For an op y = f(x, w, ...) and a *random* upstream gradient dy, the scalar L = sum(dy y) has the
gradients that f's backward pass returns. For each entry e of each input they are compared with

    dL/de  ~  (L(e + h) - L(e - h)) / (2 h),    h = 1e-5, in float64,

by the relative error ``|analytic - numeric| / (|analytic| + |numeric|)`` of the whole gradient, in
norms. A random dy matters: with all ones, a batch norm whose backward pass returns 0 would pass.

    >>> import numpy as np
    >>> from ums.ops import dense_backward, dense_forward
    >>> rng = np.random.default_rng(0)
    >>> x, w, b = rng.normal(size=(3, 4)), rng.normal(size=(4, 2)), rng.normal(size=2)
    >>> errors = check_gradients(dense_forward, dense_backward, {"x": x, "w": w, "b": b}, rng=rng)
    >>> max(errors.values()) < 1e-6
    True

Where f has a kink within h of a point (ReLU at 0) no difference quotient is right. Such entries are
left out. They are found from the values of L alone (the second difference), so that a wrong
backward pass cannot get an entry left out.

A pass that wrote into dy would change the question. All that a pass is given, and what it returned
before, is compared with copies after every call (:mod:`ums.watched`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ums.backend import Array, array_module, to_numpy
from ums.layer import Layer, Parameter, copy_arrays
from ums.watched import (
    GradientError,
    Settings,
    Watched,
    check_shapes,
    number,
    type_name,
    unregistered_parameters,
)

__all__ = ["GradientError", "check_gradients", "check_layer", "check_loss", "relative_error"]

STEP = 1e-5
"""The step h of the central differences."""


def check_gradients(
    forward: Callable[..., tuple[Array, Any]],
    backward: Callable[[Array, Any], Any],
    inputs: Mapping[str, Array],
    *,
    rng: np.random.Generator,
    tolerance: float = 1e-6,
    max_entries: int = 400,
) -> dict[str, float]:
    """Check an op ``y, cache = forward(*inputs)``, ``gradients = backward(dy, cache)``.

    Args:
        forward: Called with the inputs in their order; neither pass may change its arguments or
            what it returned before. Bind arguments without a gradient:
            ``functools.partial(conv2d_forward, stride=2)``.
        backward: Returns one gradient per input, in that order (a bare array if there is one).
        inputs: Name -> float64 array; give random values to every parameter. The entries are
            changed one at a time, in place, and put back.
        rng: Draws the upstream gradient, and the entries to compare where there are many.
        tolerance: The largest relative error accepted, per input.
        max_entries: How many entries of an input are compared at most, drawn at random.

    Returns:
        The relative error of each input's gradient. It does not tell whether ``forward`` is right.

    Raises:
        GradientError: A gradient is missing, misshapen or wrong, or a pass is not as described.
        TypeError: The entries of an input cannot be changed one at a time: it is not a float64
            array (float32 has too few digits for differences), a NumPy scalar, read-only, not
            contiguous in memory, or shares its memory with another.
        ValueError: There is no input, one is empty, not finite, or lies mostly at kinks; or
            ``tolerance`` or ``max_entries`` compares nothing.
    """
    settings = Settings(rng, tolerance, max_entries)
    return _check(forward, backward, inputs, {}, settings)


def check_loss(
    loss: Callable[[Array, Any], tuple[Array, Array]],
    prediction: Array,
    target: Array,
    *,
    rng: np.random.Generator,
    tolerance: float = 1e-6,
    max_entries: int = 400,
) -> float:
    """Check ``value, gradient = loss(prediction, target)``; returns the gradient's relative error.

    Raises:
        GradientError, TypeError, ValueError: As :func:`check_gradients`.
    """
    inputs = {"prediction": prediction}
    settings = Settings(rng, tolerance, max_entries)
    watched = Watched(inputs, {"target": target})

    def value() -> float:
        return number(loss(prediction, target)[0])

    with watched:
        answer = watched.call("the loss", loss, prediction, target, pair="(value, gradient)")
        before = number(answer[0])
        gradients = check_shapes(inputs, answer[1:])
        return _compare(watched, "the loss", gradients, before, value, settings)["prediction"]


def check_layer(
    layer: Layer,
    x: Array,
    *,
    rng: np.random.Generator,
    training: bool = False,
    tolerance: float = 1e-6,
    max_entries: int = 400,
) -> dict[str, float]:
    """Check a float64 layer or network: its input and its parameters that are not frozen.

    The backward pass must also add to the gradients that are there and give none to frozen
    parameters, and the layer must name all its parameters. Statistics move in training alone.

    The layer's gradients and running statistics are restored. Dropout in training draws anew in every
    forward pass, so it has no derivative: check it with ``training=False``, and its op with a
    generator seeded inside the function.

    Returns:
        The relative error of the gradient of x, as ``"x"``, and of each parameter by its name.

    Raises:
        GradientError, TypeError, ValueError: As :func:`check_gradients`.
    """
    if hidden := ", ".join(unregistered_parameters(layer)):
        raise GradientError(f"named_parameters() leaves out {hidden}: nothing would move it")
    gradients = [(parameter, parameter.grad) for parameter in layer.parameters()]
    statistics = {name: value.copy() for name, value in layer.statistics().items()}
    check = _LayerCheck(layer, training, statistics)
    settings = Settings(rng, tolerance, max_entries)
    values = {name: parameter.value for name, parameter in check.learning.items()}
    for name, value in values.items():
        if value.dtype != np.float64:
            advice = 'convert the layer with layer.astype("float64")'
            raise TypeError(f"{name!r} must be a float64 array, got {value.dtype}: {advice}")
    try:
        inputs = {"x": x, **values}
        errors = _check(check.forward, check.backward, inputs, check.fixed(), settings)
        check.check_accumulation(x, rng)
        return errors
    finally:
        copy_arrays(statistics, layer.statistics())
        for parameter, gradient in gradients:
            parameter.grad = gradient


def relative_error(analytic: np.ndarray, numeric: np.ndarray, size: float = 1.0) -> float:
    """``|a - n| / (|a| + |n|)``, in norms; two gradients that are zero to rounding agree.

    Below a norm of 1e-4 the quotient would measure the rounding of the differences (about 1e-11 for
    a function value of 1), so there the denominator is 1e-4, times ``size``, the function's value,
    where that is above 1. A gradient that is not a number has an infinite error.
    """
    scale = max(float(np.linalg.norm(analytic) + np.linalg.norm(numeric)), 1e-4 * max(size, 1.0))
    error = float(np.linalg.norm(analytic - numeric)) / scale
    return error if np.isfinite(error) else np.inf


class _LayerCheck:
    """A layer's passes as those of an op, and what must hold for a layer besides."""

    def __init__(self, layer: Layer, training: bool, statistics: dict[str, Array]):
        self.layer, self.training, self.statistics = layer, training, statistics
        trainable = {id(parameter) for parameter in layer.trainable_parameters()}
        self.learning: dict[str, Parameter] = {}
        self.frozen: dict[str, Parameter] = {}
        for name, parameter in layer.named_parameters().items():
            group = self.learning if id(parameter) in trainable else self.frozen
            if all(parameter is not other for other in group.values()):  # it may be shared
                group[name] = parameter

    def fixed(self) -> dict[str, Array]:
        """What no pass may change: frozen parameters, and the statistics that do not learn."""
        values = {name: parameter.value for name, parameter in self.frozen.items()}
        for leaf in self.layer.leaves():
            if leaf.frozen or not self.training:
                values |= {f"{name} of {leaf!r}": a for name, a in leaf.statistics().items()}
        return values

    def forward(self, x: Array, *values: Array) -> tuple[Array, None]:
        copy_arrays(self.statistics, self.layer.statistics())
        return self.layer.forward(x, training=self.training), None

    def backward(self, dy: Array, cache: None) -> tuple[Array | None, ...]:
        self.layer.zero_gradients()
        dx = self.layer.backward(dy)
        for name, parameter in self.frozen.items():
            if parameter.grad is not None:
                raise GradientError(
                    f"the backward pass gave a gradient to {name!r}, which is frozen"
                )
        return dx, *(parameter.grad for parameter in self.learning.values())

    def check_accumulation(self, x: Array, rng: np.random.Generator) -> None:
        """Raise a GradientError unless the backward pass adds to the gradients that are there."""
        y, _ = self.forward(x)
        xp = array_module(y)
        dy = xp.asarray(rng.normal(size=y.shape))
        _, *alone = self.backward(dy, None)
        self.forward(x)
        start = [xp.asarray(rng.normal(size=p.value.shape)) for p in self.learning.values()]
        for parameter, gradient in zip(self.learning.values(), start, strict=True):
            parameter.grad = gradient.copy()
        self.layer.backward(dy)
        for (name, p), first, second in zip(self.learning.items(), start, alone, strict=True):
            if relative_error(to_numpy(p.grad - first), to_numpy(second)) > 1e-9:
                raise GradientError(f"the backward pass must add to the gradient of {name!r}")


def _check(
    forward: Callable[..., tuple[Array, Any]],
    backward: Callable[[Array, Any], Any],
    inputs: Mapping[str, Array],
    fixed: Mapping[str, Array],
    settings: Settings,
) -> dict[str, float]:
    """:func:`check_gradients`, where the passes must not change the ``fixed`` arrays either."""
    watched, arrays = Watched(inputs, fixed), list(inputs.values())
    with watched:
        y, cache = watched.call("the forward pass", forward, *arrays, pair="(y, cache)")
        if (found := getattr(y, "dtype", type_name(y))) != np.float64:
            raise GradientError(f"the forward pass must keep float64, but y is {found}")
        dy = array_module(y).asarray(settings.rng.normal(size=y.shape))
        watched.add({"dy": dy, "y": y, "cache": cache})
        before = float((y * dy).sum())
        gradients = check_shapes(inputs, watched.call("the backward pass", backward, dy, cache))

        def value() -> float:
            return float((forward(*arrays)[0] * dy).sum())

        return _compare(watched, "the forward pass", gradients, before, value, settings)


def _compare(
    watched: Watched,
    who: str,
    gradients: Sequence[Array],
    before: float,
    value: Callable[[], float],
    settings: Settings,
) -> dict[str, float]:
    """The relative error of each input's gradient of value(), which calls ``who``.

    ``before`` is the value before the gradients were computed.
    """
    middle, again = value(), value()
    watched.check(who)
    if not abs(again - middle) <= 1e-9 * max(abs(middle), 1.0):
        raise GradientError(f"{who} is random or not finite: {middle:g}, then {again:g}")
    if not abs(middle - before) <= 1e-9 * max(abs(middle), 1.0):
        found = f"what {who} depends on: it gave {before:g}, then {middle:g}"
        raise GradientError(f"the computation of the gradients changed {found}")
    errors = {}
    for (name, array), gradient in zip(watched.inputs.items(), gradients, strict=True):
        entries = np.arange(array.size)
        if array.size > settings.max_entries:
            drawn = settings.rng.choice(entries, settings.max_entries, replace=False)
            entries = np.sort(drawn)
        numeric, smooth = _differences(array.reshape(-1), entries, value, middle)
        watched.check(who)
        if smooth.mean() < 0.5:
            raise ValueError(f"over half of the entries of {name!r} lie within {STEP} of a kink")
        entries, numeric = entries[smooth], numeric[smooth]
        analytic = gradient.reshape(-1)[entries]
        errors[name] = relative_error(analytic, numeric, abs(middle))
        if errors[name] > settings.tolerance:
            raise GradientError(
                f"the gradient of input {name!r} {array.shape} is wrong: relative error "
                f"{errors[name]:.1e}, {_where(array.shape, entries, analytic, numeric)}"
            )
    return errors


def _differences(
    flat: Array, entries: np.ndarray, value: Callable[[], float], middle: float
) -> tuple[np.ndarray, np.ndarray]:
    """Central differences of value() in each entry, and whether it is smooth there.

    At a kink the two one-sided slopes differ by a jump; on a smooth function they differ by about
    step times the second derivative.
    """
    numeric, jumps = np.empty((2, len(entries)))
    for k, i in enumerate(entries):
        kept = float(flat[i])
        flat[i] = kept + STEP
        above = value()
        flat[i] = kept - STEP
        below = value()
        flat[i] = kept
        numeric[k] = (above - below) / (2 * STEP)
        jumps[k] = abs(above - 2 * middle + below) / STEP
    return numeric, jumps <= 1e-2 * np.maximum(abs(numeric), 1.0)


def _where(shape: tuple, entries: np.ndarray, analytic: np.ndarray, numeric: np.ndarray) -> str:
    """How many entries differ, and at the worst of them: index, expected, got."""
    difference = np.nan_to_num(abs(analytic - numeric), nan=np.inf)
    wrong = int((difference > 1e-6 * np.maximum(abs(numeric), 1e-3)).sum())
    worst = int(difference.argmax())
    index = tuple(int(i) for i in np.unravel_index(entries[worst], shape))
    return (
        f"{wrong} of {len(entries)} entries differ, most at index {index}: "
        f"expected {numeric[worst]:.8g} (central difference), got {analytic[worst]:.8g}"
    )
