"""Layers: the ops of :mod:`ums.ops` with the state they need.

What they share (parameters, caches, freezing) is in :mod:`ums.layer`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.random import Generator

from ums import ops
from ums.backend import Array, array_module
from ums.layer import (
    Layer,
    Parameter,
    backward_through,
    copy_arrays,
    forward_through,
    he_normal,
)
from ums.ops.fast.graphs import can_record, chained
from ums.ops.fast.threads import pixel_count, sharing

__all__ = [
    "BatchNorm", "Conv2D", "Dense", "Dropout", "GlobalAveragePool", "Layer", "Parameter", "ReLU",
    "Sequential", "Upsample2D", "UpsampleConv2D", "copy_arrays", "he_normal",
]  # fmt: skip


class ReLU(Layer):
    """max(x, 0), any shape."""

    _grad_input = staticmethod(ops.relu_backward)

    def _forward(self, x: Array, training: bool) -> tuple[Array, tuple]:
        return ops.relu_forward(x)


class Upsample2D(Layer):
    """Every pixel four times: (N, H, W, C) -> (N, 2H, 2W, C)."""

    _grad_input = staticmethod(ops.upsample2d_backward)

    def _forward(self, x: Array, training: bool) -> tuple[Array, tuple]:
        return ops.upsample2d_forward(x)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        self._check_input(shape, "H, W, C")
        H, W, C = shape
        return 2 * H, 2 * W, C


class GlobalAveragePool(Layer):
    """The mean over the image: (N, H, W, C) -> (N, C)."""

    _grad_input = staticmethod(ops.global_average_pool_backward)

    def _forward(self, x: Array, training: bool) -> tuple[Array, tuple]:
        return ops.global_average_pool_forward(x)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        self._check_input(shape, "H, W, C")
        return shape[2:]


class Dropout(Layer):
    """Drop a share ``rate`` of the elements in training, drawn by ``rng``; none at inference."""

    _grad_input = staticmethod(ops.dropout_backward)

    def __init__(self, rate: float, rng: Generator):
        super().__init__()
        if not 0 <= rate < 1:
            raise ValueError(f"the dropout rate must be in [0, 1), got {rate}")
        self.rate, self.rng = rate, rng

    def _forward(self, x: Array, training: bool) -> tuple[Array, tuple]:
        place = self.ranks.place(len(x)) if self.ranks and training else None
        return ops.dropout_forward(x, self.rate, self.rng, training, place)

    def arguments(self) -> dict[str, Any]:
        return {"rate": self.rate}

    def __repr__(self) -> str:
        return f"Dropout({self.rate})"


class Conv2D(Layer):
    """The convolution of :mod:`ums.ops.conv`, its kernel K x K, K odd: H becomes ceil(H / stride).

    C channels in, O channels out; ``stride`` is the step of the kernel and ``dilation`` the spacing
    of its weights, in pixels. ``padding`` is "symmetric", or "same" as TensorFlow and Keras pad, which
    differs where the stride is above 1. :func:`ums.layer.he_normal` draws the weights; the bias starts at 0.
    """

    _grad_input = staticmethod(ops.conv2d_grad_input)
    _grad_weights = staticmethod(ops.conv2d_grad_weights)

    def __init__(
        self,
        C: int,
        O: int,
        rng: Generator,
        kernel: int = 3,
        stride: int = 1,
        dilation: int = 1,
        padding: str = "symmetric",
    ):
        super().__init__()
        self.w = Parameter(he_normal((kernel, kernel, C, O), rng))
        self.b = Parameter(np.zeros(O, np.float32))
        self.stride, self.dilation, self.padding = stride, dilation, padding

    def _forward(self, x: Array, training: bool) -> tuple[Array, tuple]:
        settings = self.stride, self.dilation, self.padding
        return ops.conv2d_forward(x, self.w.value, self.b.value, *settings)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        self._check_input(shape, "H, W, C", self.w.value.shape[2])
        H, W, _ = shape
        return -(-H // self.stride), -(-W // self.stride), self.b.value.size

    def arguments(self) -> dict[str, Any]:
        K, _, C, O = self.w.value.shape
        own = {name: getattr(self, name) for name in ("stride", "dilation", "padding")}
        return {"C": C, "O": O, "kernel": K} | own

    def __repr__(self) -> str:
        usual = {"kernel": 3, "stride": 1, "dilation": 1, "padding": "symmetric"}
        own = self.arguments()
        others = (f", {k}={own[k]!r}" for k, value in usual.items() if own[k] != value)
        return f"Conv2D({own['C']}, {own['O']}{''.join(others)})"


class UpsampleConv2D(Layer):
    """:class:`Upsample2D` then a 3x3 :class:`Conv2D`, as one op: H becomes 2 H."""

    _grad_input = staticmethod(ops.upsample_conv2d_grad_input)
    _grad_weights = staticmethod(ops.upsample_conv2d_grad_weights)

    def __init__(self, C: int, O: int, rng: Generator):
        super().__init__()
        self.w = Parameter(he_normal((3, 3, C, O), rng))
        self.b = Parameter(np.zeros(O, np.float32))

    def _forward(self, x: Array, training: bool) -> tuple[Array, tuple]:
        return ops.upsample_conv2d_forward(x, self.w.value, self.b.value)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        self._check_input(shape, "H, W, C", self.w.value.shape[2])
        H, W, _ = shape
        return 2 * H, 2 * W, self.b.value.size

    def arguments(self) -> dict[str, Any]:
        C, O = self.w.value.shape[-2:]
        return {"C": C, "O": O}

    def __repr__(self) -> str:
        return "UpsampleConv2D({C}, {O})".format(**self.arguments())


class Dense(Layer):
    """y = x w + b: (N, C) -> (N, O), initialised as in :class:`Conv2D`."""

    _grad_input = staticmethod(ops.dense_grad_input)
    _grad_weights = staticmethod(ops.dense_grad_weights)

    def __init__(self, C: int, O: int, rng: Generator):
        super().__init__()
        self.w = Parameter(he_normal((C, O), rng))
        self.b = Parameter(np.zeros(O, np.float32))

    def _forward(self, x: Array, training: bool) -> tuple[Array, tuple]:
        self.output_shape(x.shape[1:])  # raises an error that names the layer
        return ops.dense_forward(x, self.w.value, self.b.value)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        self._check_input(shape, "C", self.w.value.shape[0])
        return (self.b.value.size,)

    def arguments(self) -> dict[str, Any]:
        C, O = self.w.value.shape[-2:]
        return {"C": C, "O": O}

    def __repr__(self) -> str:
        return "Dense({C}, {O})".format(**self.arguments())


class BatchNorm(Layer):
    """Batch normalisation over everything but channels; see :mod:`ums.ops.norm`.

    ``momentum`` is the share of the old running statistics that an update keeps. Frozen, the layer
    uses its running statistics and leaves them alone, in training too.
    """

    _grad_input = staticmethod(ops.batchnorm_grad_input)
    _grad_weights = staticmethod(ops.batchnorm_grad_weights)
    _gradients = staticmethod(ops.batchnorm_backward)  # both share the sums over the batch

    def __init__(self, C: int, momentum: float = 0.9, eps: float = 1e-5):
        super().__init__()
        if not 0 <= momentum <= 1:
            raise ValueError(f"momentum must be in 0..1, got {momentum}")
        self.gamma = Parameter(np.ones(C, np.float32))
        self.beta = Parameter(np.zeros(C, np.float32))
        self.running_mean = np.zeros(C, np.float32)
        self.running_var = np.ones(C, np.float32)
        self.momentum, self.eps = momentum, eps

    def _forward(self, x: Array, training: bool) -> tuple[Array, tuple]:
        arrays = self.gamma.value, self.beta.value, self.running_mean, self.running_var
        batch_statistics, settings = training and not self.frozen, (self.momentum, self.eps)
        if self.ranks and batch_statistics:
            return ops.batchnorm_forward_part(x, *arrays, self.ranks.total, *settings)
        return ops.batchnorm_forward(x, *arrays, batch_statistics, *settings)

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        axes = "H, W, C" if len(shape) == 3 else "C"
        self._check_input(shape, axes, self.gamma.value.size)
        return shape

    def statistics(self) -> dict[str, Array]:
        return {"running_mean": self.running_mean, "running_var": self.running_var}

    def arguments(self) -> dict[str, Any]:
        return {"C": self.gamma.value.size, "momentum": self.momentum, "eps": self.eps}

    def __repr__(self) -> str:
        eps = "" if self.eps == 1e-5 else f", eps={self.eps}"
        return f"BatchNorm({self.gamma.value.size}{eps})"


RECORDED = frozenset(
    {ReLU, Upsample2D, GlobalAveragePool, Conv2D, UpsampleConv2D, Dense, BatchNorm}
)
"""Layers that always start the same kernels, which a GPU can run without Python."""


class Sequential(Layer):
    """Layers one after the other, Sequentials too; one layer may belong to several Sequentials.

    ``len(network)``, ``for layer in network`` and ``network[i]`` work as for a list; a slice is a
    Sequential of the same layers, not of copies.

    Raises:
        ValueError: A layer stands in the chain twice.
    """

    def __init__(self, *layers: Layer):
        if len({id(layer) for layer in layers}) != len(layers):
            raise ValueError("a layer keeps one forward pass: it can stand in a chain only once")
        self._pixels = 0  # of the last batch
        self.layers = layers  # no super().__init__(): each has its own frozen and its own cache

    @property
    def frozen(self) -> bool:
        """True if every layer is frozen; setting it freezes or unfreezes them all."""
        return all(layer.frozen for layer in self.layers)

    @frozen.setter
    def frozen(self, frozen: bool) -> None:
        for layer in self.layers:
            layer.freeze(frozen)

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    @overload
    def __getitem__(self, index: int) -> Layer: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Layer:
        if isinstance(index, slice):
            return Sequential(*self.layers[index])
        return self.layers[index]

    def forward(self, x: Array, training: bool = False, keep: bool = True) -> Array:
        self._pixels = pixel_count(x)
        with sharing(self._pixels, array_module(x)):
            return forward_through(self._steps(x), x, training, keep)

    def backward(self, dy: Array, input_gradient: bool = True) -> Array | None:
        """As :meth:`Layer.backward`; stops at the lowest layer with trainable parameters."""
        with sharing(self._pixels, array_module(dy)):
            return backward_through(self._steps(dy), dy, input_gradient)

    def _steps(self, x: Array) -> Sequence[Any]:
        """The layers; on a GPU, those between which Python has nothing to do are one step."""
        xp = array_module(x)
        return chained(self, RECORDED, xp) if can_record(xp) else self.layers

    def named_parameters(self) -> dict[str, Parameter]:
        """The parameters of all layers, by place and name: ``"0.w"``, ``"1.0.gamma"``."""
        return {
            f"{i}.{name}": parameter
            for i, layer in enumerate(self.layers)
            for name, parameter in layer.named_parameters().items()
        }

    def trainable_parameters(self) -> list[Parameter]:
        return [p for layer in self.layers for p in layer.trainable_parameters()]

    def statistics(self) -> dict[str, Array]:
        return {
            f"{i}.{name}": value
            for i, layer in enumerate(self.layers)
            for name, value in layer.statistics().items()
        }

    def leaves(self) -> list[Layer]:
        return [leaf for layer in self.layers for leaf in layer.leaves()]

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        for layer in self.layers:
            shape = layer.output_shape(shape)
        return shape

    def __repr__(self) -> str:
        return "Sequential(" + ", ".join(map(repr, self.layers)) + ")"
