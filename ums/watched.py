"""What the gradient check asks of the arrays and the functions it is given.

An input must be an array whose entries can be changed one at a time. A function may change only
what is its own: everything it is given, and everything it has returned, is compared with a copy
after each call, and restored at the end. A layer must name all the parameters that it holds.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from ums.backend import Array, to_numpy
from ums.checks import check_fraction, check_integer
from ums.layer import Layer, Parameter


class GradientError(AssertionError):
    """A backward pass disagrees with central differences; the message says where."""


@dataclass(frozen=True)
class Settings:
    """How much of the gradients is compared, and how exactly."""

    rng: np.random.Generator
    tolerance: float
    max_entries: int

    def __post_init__(self) -> None:
        if not isinstance(self.rng, np.random.Generator):
            raise TypeError(f"rng must be a numpy.random.Generator, got {type_name(self.rng)}")
        check_fraction("tolerance", self.tolerance)
        check_integer("max_entries", self.max_entries)


class Watched:
    """Arrays that are not to be changed, beside copies of them; put back when the block ends.

    Raises:
        TypeError, ValueError: An input cannot be perturbed; see :func:`ums.gradcheck.check_gradients`.
    """

    def __init__(self, inputs: Mapping[str, Array], others: Mapping[str, Any]):
        _check_inputs(inputs, others)
        self.inputs = inputs
        self.kept: list[tuple[str, Array, Array]] = []
        self.add({**inputs, **others})

    def add(self, values: Mapping[str, Any]) -> None:
        """Watch these arrays too, and those in tuples, lists and dictionaries, by name."""
        for name, value in values.items():
            copies = hasattr(value, "dtype") and callable(getattr(value, "copy", None))
            if copies and not isinstance(value, np.generic):
                self.kept.append((name, value, value.copy()))
            elif isinstance(value, tuple | list | dict):
                parts = value.items() if isinstance(value, dict) else enumerate(value)
                self.add({f"{name}[{key!r}]": part for key, part in parts})

    def check(self, who: str) -> None:
        """Raise a GradientError if an array is not as its copy."""
        for name, array, copy in self.kept:
            if _content(array) != _content(copy):
                raise GradientError(f"{who} changed {name}, which is its caller's")

    def call(self, who: str, f: Callable, *arguments: Any, pair: str = "") -> Any:
        """What f returns (a pair where one is named); it must not change what is watched."""
        answer = f(*arguments)
        self.check(who)
        if pair and not (isinstance(answer, tuple | list) and len(answer) == 2):
            raise GradientError(f"{who} must return {pair}, got {type_name(answer)}")
        return answer

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        for _, array, copy in self.kept:
            if array.dtype == copy.dtype and array.shape == copy.shape:
                if _content(array) != _content(copy):
                    array[...] = copy


def _content(array: Array) -> tuple[np.dtype, tuple[int, ...], bytes]:
    return array.dtype, array.shape, to_numpy(array).tobytes()


def _check_inputs(inputs: Mapping[str, Array], others: Mapping[str, Any]) -> None:
    if not inputs:
        raise ValueError("inputs must hold one array or more, got none")
    for name, array in inputs.items():
        if found := _unlike_an_input(array):
            raise TypeError(
                f"input {name!r} must be a float64 array, contiguous and writable, got {found}: "
                "pass a copy, or bind other arguments with functools.partial"
            )
        if not array.size or not np.isfinite(to_numpy(array)).all():
            what = "values that are infinite or not a number" if array.size else "no values"
            raise ValueError(f"input {name!r} holds {what}")
    arrays = {k: a for k, a in {**others, **inputs}.items() if isinstance(a, np.ndarray)}
    for first, second in combinations(arrays, 2):
        if second in inputs and np.shares_memory(arrays[first], arrays[second]):
            raise TypeError(
                f"input {second!r} must have memory of its own, got some of {first!r}'s: copy it"
            )


def _unlike_an_input(array: Any) -> str:
    """What was found in place of an array whose entries can be changed one at a time, or ""."""
    if isinstance(array, np.generic):
        return "a NumPy scalar"
    subclass = isinstance(array, np.ndarray) and type(array) is not np.ndarray
    if subclass or not hasattr(array, "dtype"):
        return type_name(array)
    if array.dtype != np.float64:
        return str(array.dtype)
    if not array.flags.c_contiguous:  # the copy that reshape makes would be changed instead
        return "one that is not contiguous"
    return "" if getattr(array.flags, "writeable", True) else "a read-only one"


def check_shapes(inputs: Mapping[str, Array], answer: Any) -> list[np.ndarray]:
    """Copies of what a backward pass returned, once it is one gradient like each input."""
    gradients = answer if isinstance(answer, tuple | list) else (answer,)
    if gradients is not answer and not hasattr(answer, "shape"):
        raise GradientError(f"the backward pass returned {type_name(answer)}")
    n, got = len(inputs), len(gradients)
    if n != got:
        names = ", ".join(inputs)
        raise GradientError(f"expected {n} gradients ({names}), the backward pass returned {got}")
    shapes = [getattr(gradient, "shape", None) for gradient in gradients]
    for name, gradient, shape in zip(inputs, gradients, shapes, strict=True):
        if shape != (wanted := inputs[name].shape):
            found = type_name(gradient) if shape is None else f"shape {shape}"
            for other, taken in zip(inputs, shapes, strict=True):
                if inputs[other].shape == shape != taken:
                    found += f" (that is the shape of {other!r}: are they in order?)"
            raise GradientError(f"the gradient of input {name!r} must be {wanted}, got {found}")
        if gradient.dtype != np.float64:
            raise GradientError(
                f"the gradient of input {name!r} must be float64, got {gradient.dtype}"
            )
    return [np.array(to_numpy(gradient)) for gradient in gradients]  # later calls may reuse theirs


def unregistered_parameters(layer: Layer) -> Iterator[str]:
    """Where the layer holds parameters that its ``named_parameters`` does not return."""
    seen = {id(parameter) for parameter in layer.parameters()}
    found: list[tuple[str, Any]] = [(type(layer).__name__, layer)]
    while found:
        place, value = found.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, Parameter):
            yield place
            continue
        if isinstance(value, np.ndarray) and value.dtype == object:
            value = value.ravel().tolist()
        if isinstance(value, list | tuple | dict | set | frozenset | deque):
            parts = value.items() if isinstance(value, dict) else enumerate(value)
            found += [(f"{place}[{key!r}]", part) for key, part in parts]
        if not isinstance(value, type | ModuleType | FunctionType | MethodType):
            attributes = getattr(value, "__dict__", {})
            found += [(f"{place}.{name}", part) for name, part in attributes.items()]


def number(value: Any) -> float:
    """A loss's value, once it is one number with the digits that differences need."""
    if shape := getattr(value, "shape", ()):
        raise GradientError(f"the loss must return one number, got an array {shape}")
    found = getattr(value, "dtype", type_name(value))
    if not isinstance(value, float | int) and found != np.float64:
        raise GradientError(
            f"the loss must return a Python number or float64, got {found}: "
            "others have too few digits for differences"
        )
    return float(value)


def type_name(value: Any) -> str:
    return "None" if value is None else type(value).__name__
