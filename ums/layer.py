"""What every layer has: parameters, a cache, and the two switches.

``frozen`` is the layer's own: it stops learning, its running statistics stay, and its backward
pass computes no parameter gradients. ``training`` comes with each forward pass: it turns on dropout
and, in a batch norm that is not frozen, the batch's own statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from ums.backend import Array, Device, array_module

if TYPE_CHECKING:
    from typing_extensions import Self


class Parameter:
    """A learned array ``value`` and its gradient ``grad``, None until a backward pass adds one."""

    ranks: Any = None  # the ums.parallel.Ranks that have a part of the gradient each, if any

    def __init__(self, value: Array):
        self.value = value
        self.grad: Array | None = None

    def add(self, gradient: Array) -> None:
        """Add to the gradient, so that several losses can share a parameter."""
        self.grad = gradient if self.grad is None else self.grad + gradient

    def __repr__(self) -> str:
        return f"Parameter{self.value.shape}"


class Layer:
    """What all layers share: the bookkeeping around an op.

    A subclass calls its op in ``_forward`` and names the op's gradients in ``_grad_input`` and
    ``_grad_weights``, or it overrides ``forward`` and ``backward`` themselves. ``_grad_weights``
    returns a tuple, also of one gradient, in the order in which ``__init__`` sets the parameters.
    Where both gradients share work, ``_gradients`` may be overridden to compute them together.
    """

    _grad_input: Callable
    _grad_weights: Callable
    ranks: Any = None  # the ums.parallel.Ranks that have a part of each batch, if any

    def __init__(self) -> None:
        self.frozen = False
        self._cache: tuple | None = None

    def forward(self, x: Array, training: bool = False, keep: bool = True) -> Array:
        """The output for a batch x, (N, H, W, C) or (N, C); ``layer(x)`` is the same.

        ``training`` turns on dropout and, where not frozen, batch statistics. ``keep=False`` saves
        the memory of what ``backward`` needs.
        """
        y, cache = self._forward(x, training)
        self._cache = cache if keep else None
        return y

    def _forward(self, x: Array, training: bool) -> tuple[Array, tuple]:
        raise NotImplementedError

    def __call__(self, x: Array, training: bool = False, keep: bool = True) -> Array:
        return self.forward(x, training, keep)

    def backward(self, dy: Array, input_gradient: bool = True) -> Array | None:
        """Add to the parameters' gradients and return dx (None if ``input_gradient`` is False).

        Call it once per forward pass; the cache is freed.

        Raises:
            RuntimeError: No forward pass was kept.
        """
        if self._cache is None:
            raise RuntimeError(f"{self!r}.backward needs a forward pass with keep=True before it")
        cache, self._cache = self._cache, None
        if not self.trainable_parameters():
            return self._grad_input(dy, cache) if input_gradient else None
        if input_gradient:
            dx, *gradients = self._gradients(dy, cache)
        else:
            dx, gradients = None, self._grad_weights(dy, cache)
        for parameter, gradient in zip(self.parameters(), gradients, strict=True):
            parameter.add(gradient)
        return dx

    def _gradients(self, dy: Array, cache: tuple) -> tuple[Array, ...]:
        return self._grad_input(dy, cache), *self._grad_weights(dy, cache)

    def named_parameters(self) -> dict[str, Parameter]:
        """The layer's parameters by name, frozen or not."""
        return {k: v for k, v in vars(self).items() if isinstance(v, Parameter)}

    def arguments(self) -> dict[str, Any]:
        """What ``__init__`` takes to make such a layer, by name, beside a random generator."""
        return {}

    def parameters(self) -> list[Parameter]:
        """All parameters, frozen or not."""
        return list(self.named_parameters().values())

    def trainable_parameters(self) -> list[Parameter]:
        """The parameters a backward pass adds to: those of layers that are not frozen."""
        return [] if self.frozen else self.parameters()

    def statistics(self) -> dict[str, Array]:
        """Arrays a forward pass in training updates in place (a batch norm's), by name."""
        return {}

    def zero_gradients(self) -> None:
        """Forget the gradients added so far."""
        for parameter in self.parameters():
            parameter.grad = None

    def freeze(self, frozen: bool = True) -> Self:
        """Stop (or resume) learning and forget gradients added before; returns the layer."""
        self.frozen = frozen
        self.zero_gradients()
        return self

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the output for an input of ``shape``, both without the batch axis.

        Raises:
            ValueError: The layer cannot take such an input: the axes or the channels do not fit.
        """
        return shape

    def _check_input(self, shape: tuple[int, ...], axes: str, C: int | None = None) -> None:
        if len(shape) != axes.count(",") + 1:
            raise ValueError(f"{self!r}: input must be ({axes}), got {shape}")
        if C is not None and shape[-1] != C:
            raise ValueError(f"{self!r}: input has {shape[-1]} channels, expected {C}")

    def leaves(self) -> list[Layer]:
        """The layers in order, with nested ones opened; the layer itself if it holds no others."""
        return [self]

    def summary(self, input_shape: tuple[int, ...] | None = None) -> Summary:
        """A table of the layers and their trainable parameters, to print or to show in a notebook.

        Given the shape of one input, without the batch axis, it has each layer's output shape too.

        Raises:
            ValueError: A layer cannot take the output of the one before it.
        """
        rows = [("layer", "output" if input_shape else "", "trainable")]
        shape = input_shape or ()
        for layer in self.leaves():
            shape = layer.output_shape(shape) if input_shape else ()
            rows.append((repr(layer), " x ".join(map(str, shape)), f"{parameter_count(layer):,d}"))
        return Summary([*rows, ("trainable parameters", "", f"{parameter_count(self):,d}")])

    def state_dict(self) -> dict[str, Array]:
        """Parameters and statistics by name: all that must be saved to use the layer again."""
        values = {name: parameter.value for name, parameter in self.named_parameters().items()}
        return values | self.statistics()

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        """Set every parameter and statistic, in place, from what :meth:`state_dict` gave.

        Raises:
            ValueError: A name is missing or unknown, or a shape differs; nothing is changed then.
        """
        copy_arrays(arrays, self.state_dict())

    def map_arrays(self, function: Callable[[Array], Array]) -> Self:
        """Replace every parameter and statistic by ``function`` of it, and forget the gradients."""
        for layer in self.leaves():
            for parameter in layer.parameters():
                parameter.value, parameter.grad = function(parameter.value), None
            for name, value in layer.statistics().items():
                setattr(layer, name, function(value))
        return self

    def to(self, device: Device) -> Self:
        """Move the layer to a device."""
        return self.map_arrays(device.put)

    def astype(self, dtype: DTypeLike) -> Self:
        """Convert the layer, to float64 for a gradient check."""
        return self.map_arrays(lambda array: array.astype(dtype))

    def __repr__(self) -> str:
        return type(self).__name__ + "()"

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()


@dataclass(frozen=True, repr=False)
class Summary:
    """The table of :meth:`Layer.summary`: layer, output shape and trainable parameters, as text."""

    rows: list[tuple[str, str, str]]

    def __repr__(self) -> str:
        return "\n".join(f"  {a:42} {b:>16} {c:>12}" for a, b, c in self.rows)

    def _repr_html_(self) -> str:
        rows = ("</td><td>".join(map(escape, row)) for row in self.rows)
        return "<table>" + "".join(f"<tr><td>{row}</td></tr>" for row in rows) + "</table>"


def forward_through(layers: Sequence[Any], x: Array, training: bool, keep: bool) -> Array:
    """The forward passes of layers, one after the other."""
    for layer in layers:
        x = layer.forward(x, training, keep)
    return x


def backward_through(layers: Sequence[Any], dy: Array, input_gradient: bool) -> Array | None:
    """Their backward passes, from the last down to the lowest whose parameters learn."""
    lowest = 0
    if not input_gradient:
        learning = (i for i, layer in enumerate(layers) if layer.trainable_parameters())
        lowest = next(learning, len(layers))
    for i in range(len(layers) - 1, lowest - 1, -1):
        dy = layers[i].backward(dy, input_gradient or i > lowest)
    return dy if input_gradient else None


def parameter_count(network: Layer) -> int:
    """Trainable parameters of layers that are not frozen; running statistics are not counted."""
    return sum(parameter.value.size for parameter in network.trainable_parameters())


def he_normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Normal float32 weights of variance 2 / fan_in, fan_in = the product of all axes but the last.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015.
    """
    fan_in = int(np.prod(shape[:-1]))
    w: np.ndarray = rng.standard_normal(shape) * np.sqrt(2 / fan_in)
    return w.astype(np.float32)


def copy_arrays(source: dict[str, Array], target: dict[str, Array]) -> None:
    """Copy arrays into those of the same names, in place, from whichever device they are on.

    Raises:
        ValueError: A name is missing or unknown, or a shape differs; nothing is changed then.
    """
    if source.keys() != target.keys():
        odd = ", ".join(sorted(source.keys() ^ target.keys()))
        raise ValueError(f"the names of the arrays differ in: {odd}")
    for name, value in target.items():
        if value.shape != source[name].shape:
            raise ValueError(f"{name} must be {value.shape}, got {source[name].shape}")
    for name, value in target.items():
        value[...] = array_module(value).asarray(source[name], dtype=value.dtype)
