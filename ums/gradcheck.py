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
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ums.backend import Array, array_module, to_numpy
from ums.layer import Layer, copy_arrays

__all__ = ["GradientError", "check_gradients", "check_layer", "check_loss", "relative_error"]

STEP = 1e-5
"""The step h of the central differences."""


class GradientError(AssertionError):
    """A backward pass disagrees with central differences; the message says where."""


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
        forward: Called with the inputs in their order; neither pass may change its arguments. Bind
            those without a gradient: ``functools.partial(conv2d_forward, stride=2)``.
        backward: Returns one gradient per input, in that order (a bare array if there is one).
        inputs: Name -> float64 array; give random values to every parameter.
        rng: Draws the upstream gradient, and the entries to compare where there are many.
        tolerance: The largest relative error accepted, per input.
        max_entries: How many entries of an input are compared at most, drawn at random.

    Returns:
        The relative error of each input's gradient. It does not tell whether ``forward`` is right.

    Raises:
        GradientError: A gradient is missing, misshapen or wrong, or a pass is not as described.
        TypeError: An input is not a float64 array (float32 has too few digits for differences).
        ValueError: An input is not finite, not contiguous in memory, or lies mostly at kinks.
    """
    _check_inputs(inputs)
    arrays = list(inputs.values())
    y, cache = _call("the forward pass", forward, arrays, inputs, pair="(y, cache)")
    if (found := getattr(y, "dtype", _kind(y))) != np.float64:
        raise GradientError(f"the forward pass must keep float64, but y is {found}")
    dy = array_module(y).asarray(rng.normal(size=y.shape))
    answer = _call("the backward pass", backward, (dy, cache), {**inputs, "dy": dy})
    gradients = _check_shapes(inputs, answer)

    def value() -> float:
        return float((forward(*arrays)[0] * dy).sum())

    return _compare(inputs, gradients, value, rng, tolerance, max_entries)


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
    _check_inputs(inputs)
    arguments = {**inputs, "target": target}
    _, gradient = _call("the loss", loss, (prediction, target), arguments, "(value, gradient)")
    gradients = _check_shapes(inputs, (gradient,))

    def value() -> float:
        return float(loss(prediction, target)[0])

    return _compare(inputs, gradients, value, rng, tolerance, max_entries)["prediction"]


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

    The layer's gradients and running statistics are restored. Dropout in training draws anew in every
    forward pass, so it has no derivative: check it with ``training=False``, and its op with a
    generator seeded inside the function.

    Returns:
        The relative error of the gradient of x, as ``"x"``, and of each parameter by its name.

    Raises:
        GradientError, TypeError, ValueError: As :func:`check_gradients`.
    """
    trainable = {id(parameter) for parameter in layer.trainable_parameters()}
    parameters = {k: p for k, p in layer.named_parameters().items() if id(p) in trainable}
    inputs = {"x": x} | {name: parameter.value for name, parameter in parameters.items()}
    gradients = [(parameter, parameter.grad) for parameter in layer.parameters()]
    statistics = {name: value.copy() for name, value in layer.statistics().items()}

    def forward(x: Array, *values: Array) -> tuple[Array, None]:
        return layer.forward(x, training=training), None

    def backward(dy: Array, cache: None) -> tuple[Array | None, ...]:
        layer.zero_gradients()
        dx = layer.backward(dy)
        return dx, *(parameter.grad for parameter in parameters.values())

    try:
        return check_gradients(
            forward, backward, inputs, rng=rng, tolerance=tolerance, max_entries=max_entries
        )
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


def _compare(
    inputs: Mapping[str, Array],
    gradients: Sequence[Array],
    value: Callable[[], float],
    rng: np.random.Generator,
    tolerance: float,
    max_entries: int,
) -> dict[str, float]:
    """The relative error of each input's gradient of value()."""
    middle, again = value(), value()
    if not abs(again - middle) <= 1e-9 * max(abs(middle), 1.0):
        raise GradientError(f"the forward pass is random or not finite: {middle:g}, then {again:g}")
    errors = {}
    for (name, array), gradient in zip(inputs.items(), gradients, strict=True):
        entries = np.arange(array.size)
        if array.size > max_entries:
            entries = np.sort(rng.choice(entries, max_entries, replace=False))
        numeric, smooth = _differences(array.reshape(-1), entries, value, middle)
        if smooth.mean() < 0.5:
            raise ValueError(f"over half of the entries of {name!r} lie within {STEP} of a kink")
        entries, numeric = entries[smooth], numeric[smooth]
        analytic = to_numpy(gradient).reshape(-1)[entries]
        errors[name] = relative_error(analytic, numeric, abs(middle))
        if errors[name] > tolerance:
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


def _check_inputs(inputs: Mapping[str, Array]) -> None:
    for name, array in inputs.items():
        found = getattr(array, "dtype", _kind(array))
        if found != np.float64 or isinstance(array, np.generic):
            hint = "bind other arguments with functools.partial"
            raise TypeError(f"input {name!r} must be a float64 array, got {found}; {hint}")
        if not np.isfinite(to_numpy(array)).all():
            raise ValueError(f"input {name!r} holds values that are infinite or not a number")
        if not array.flags.c_contiguous:  # the copy that reshape makes would be perturbed instead
            raise ValueError(f"input {name!r} must be contiguous in memory")


def _call(who: str, f: Callable, arguments: Sequence, watched: Mapping, pair: str = "") -> Any:
    """What f returns (a pair where one is named); it must not change the watched arrays."""
    before = {k: to_numpy(a).tobytes() for k, a in watched.items() if hasattr(a, "dtype")}
    answer = f(*arguments)
    for name, content in before.items():
        if to_numpy(watched[name]).tobytes() != content:
            raise GradientError(f"{who} changed {name}, which is its caller's")
    if pair and not (isinstance(answer, tuple | list) and len(answer) == 2):
        raise GradientError(f"{who} must return {pair}, got {_kind(answer)}")
    return answer


def _check_shapes(inputs: Mapping[str, Array], answer: Any) -> Sequence[Array]:
    """What a backward pass returned, once it is one gradient of the right shape per input."""
    gradients = answer if isinstance(answer, tuple | list) else (answer,)
    if gradients is not answer and not hasattr(answer, "shape"):
        raise GradientError(f"the backward pass returned {_kind(answer)}")
    n, got = len(inputs), len(gradients)
    if n != got:
        names = ", ".join(inputs)
        raise GradientError(f"expected {n} gradients ({names}), the backward pass returned {got}")
    shapes = [getattr(gradient, "shape", None) for gradient in gradients]
    for name, gradient, shape in zip(inputs, gradients, shapes, strict=True):
        if shape != (wanted := inputs[name].shape):
            found = _kind(gradient) if shape is None else f"shape {shape}"
            for other, taken in zip(inputs, shapes, strict=True):
                if inputs[other].shape == shape != taken:
                    found += f" (that is the shape of {other!r}: are they in order?)"
            raise GradientError(f"the gradient of input {name!r} must be {wanted}, got {found}")
    return gradients


def _kind(value: Any) -> str:
    return "None" if value is None else type(value).__name__
