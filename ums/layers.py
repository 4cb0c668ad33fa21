"""Layers: the ops of :mod:`ums.ops` with the state they need - parameters, caches, freezing.

A layer has two switches. ``frozen`` is the layer's own: it stops learning, its batch statistics stay
still, and its backward pass computes no parameter gradients. ``training`` comes with each forward
pass: it turns dropout on and, in a batch norm that is not frozen, the batch's own statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ums import ops
from ums.backend import Array, Device, array_module


class Parameter:
    """A learned array and its gradient (None until a backward pass adds to it)."""

    def __init__(self, value: Array):
        self.value = value
        self.grad: Array | None = None

    def add(self, gradient: Array) -> None:
        """Add to the gradient, so that several losses can share a parameter."""
        self.grad = gradient if self.grad is None else self.grad + gradient

    def __repr__(self) -> str:
        return f"Parameter{self.value.shape}"


class Layer:
    """What all layers share. A layer is its ``forward`` and ``backward``; the rest is bookkeeping."""

    def __init__(self):
        self.frozen = False
        self._cache: tuple | None = None

    def forward(self, x: Array, training: bool = False, keep: bool = True) -> Array:
        """The layer's output for a batch x.

        Args:
            x: (N, H, W, C), or (N, C) after pooling.
            training: dropout on, batch statistics used (where not frozen).
            keep: keep what ``backward`` needs; False saves the memory in use.
        """
        raise NotImplementedError

    def backward(self, dy: Array, input_gradient: bool = True) -> Array | None:
        """Add to the parameters' gradients and return dx (None if ``input_gradient`` is False).

        Raises:
            RuntimeError: no forward pass was kept.
        """
        raise NotImplementedError

    def named_parameters(self) -> dict[str, Parameter]:
        """The layer's parameters by name, frozen or not."""
        return {k: v for k, v in vars(self).items() if isinstance(v, Parameter)}

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

    def freeze(self, frozen: bool = True) -> Layer:
        """Stop (or resume) learning and forget gradients added before; returns the layer."""
        self.frozen = frozen
        self.zero_gradients()
        return self

    def output_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the output for an input of ``shape``, both without the batch axis."""
        return shape

    def state_dict(self) -> dict[str, Array]:
        """Parameters and statistics by name: everything that must be saved to use the layer again."""
        values = {name: parameter.value for name, parameter in self.named_parameters().items()}
        return values | self.statistics()

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        """Set every parameter and statistic, in place, from what :meth:`state_dict` gave.

        Raises:
            ValueError: a name is missing or unknown, or a shape differs; nothing is changed then.
        """
        copy_arrays(arrays, self.state_dict())

    def map_arrays(self, function: Callable[[Array], Array]) -> Layer:
        """Replace every parameter and statistic by ``function`` of it; returns the layer."""
        for parameter in self.named_parameters().values():
            parameter.value, parameter.grad = function(parameter.value), None
        for name, value in self.statistics().items():
            setattr(self, name, function(value))
        return self

    def to(self, device: Device) -> Layer:
        """Move the layer to a device."""
        return self.map_arrays(device.put)

    def astype(self, dtype) -> Layer:
        """Convert the layer, to float64 for a gradient check."""
        return self.map_arrays(lambda array: array.astype(dtype))

    def _take_cache(self) -> tuple:
        """The cache of the last forward pass, which is then given up: one backward per forward."""
        if self._cache is None:
            raise RuntimeError(f"{self!r}.backward needs a forward pass with keep=True before it")
        cache, self._cache = self._cache, None
        return cache

    def __repr__(self) -> str:
        return type(self).__name__ + "()"


class _Plain(Layer):
    """A layer without parameters around one op."""

    _op: tuple[Callable, Callable]

    def forward(self, x: Array, training: bool = False, keep: bool = True) -> Array:
        y, cache = self._op[0](x)
        self._cache = cache if keep else None
        return y

    def backward(self, dy: Array, input_gradient: bool = True) -> Array | None:
        cache = self._take_cache()
        return self._op[1](dy, cache) if input_gradient else None


class ReLU(_Plain):
    """max(x, 0), any shape."""

    _op = (ops.relu_forward, ops.relu_backward)


class Upsample2D(_Plain):
    """Every pixel four times: (N, H, W, C) -> (N, 2H, 2W, C)."""

    _op = (ops.upsample2d_forward, ops.upsample2d_backward)

    def output_shape(self, shape):
        H, W, C = shape
        return 2 * H, 2 * W, C


class GlobalAveragePool(_Plain):
    """The mean over the image: (N, H, W, C) -> (N, C)."""

    _op = (ops.global_average_pool_forward, ops.global_average_pool_backward)

    def output_shape(self, shape):
        return shape[2:]


class Dropout(Layer):
    """Drop a share ``rate`` of the elements in training; nothing in use.

    The masks come from ``rng``; the layer keeps it, so that a run is repeated by its seed.
    """

    def __init__(self, rate: float, rng: np.random.Generator):
        super().__init__()
        self.rate, self.rng = rate, rng

    def forward(self, x: Array, training: bool = False, keep: bool = True) -> Array:
        y, cache = ops.dropout_forward(x, self.rate, self.rng, training)
        self._cache = cache if keep else None
        return y

    def backward(self, dy: Array, input_gradient: bool = True) -> Array | None:
        cache = self._take_cache()
        return ops.dropout_backward(dy, cache) if input_gradient else None

    def __repr__(self) -> str:
        return f"Dropout({self.rate})"


class _Weighted(Layer):
    """A layer with parameters: what its backward pass computes, and what it leaves out."""

    _grad_input: Callable
    _grad_weights: Callable

    def backward(self, dy: Array, input_gradient: bool = True) -> Array | None:
        cache = self._take_cache()
        if self.frozen:
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


class Conv2D(_Weighted):
    """y = w * x + b with an odd K x K kernel and zero padding: H becomes ceil(H / stride).

    The weights start as He et al. (2015) proposed for ReLU, normal with variance 2 / fan_in, drawn
    from ``rng``; the bias starts at 0.
    """

    _grad_input = staticmethod(ops.conv2d_grad_input)
    _grad_weights = staticmethod(ops.conv2d_grad_weights)

    def __init__(self, C: int, O: int, rng, kernel: int = 3, stride: int = 1, dilation: int = 1):
        super().__init__()
        self.w = Parameter(he_normal((kernel, kernel, C, O), rng))
        self.b = Parameter(np.zeros(O, np.float32))
        self.stride, self.dilation = stride, dilation

    def forward(self, x: Array, training: bool = False, keep: bool = True) -> Array:
        y, cache = ops.conv2d_forward(x, self.w.value, self.b.value, self.stride, self.dilation)
        self._cache = cache if keep else None
        return y

    def output_shape(self, shape):
        H, W, _ = shape
        return -(-H // self.stride), -(-W // self.stride), self.b.value.size

    def __repr__(self) -> str:
        K, _, C, O = self.w.value.shape
        stride = f", stride={self.stride}" if self.stride > 1 else ""
        dilation = f", dilation={self.dilation}" if self.dilation > 1 else ""
        return f"Conv2D({C}, {O}, kernel={K}{stride}{dilation})"


class UpsampleConv2D(_Weighted):
    """:class:`Upsample2D` then a 3x3 :class:`Conv2D`, as one op: H becomes 2 H."""

    _grad_input = staticmethod(ops.upsample_conv2d_grad_input)
    _grad_weights = staticmethod(ops.upsample_conv2d_grad_weights)

    def __init__(self, C: int, O: int, rng: np.random.Generator):
        super().__init__()
        self.w = Parameter(he_normal((3, 3, C, O), rng))
        self.b = Parameter(np.zeros(O, np.float32))

    def forward(self, x: Array, training: bool = False, keep: bool = True) -> Array:
        y, cache = ops.upsample_conv2d_forward(x, self.w.value, self.b.value)
        self._cache = cache if keep else None
        return y

    def output_shape(self, shape):
        H, W, _ = shape
        return 2 * H, 2 * W, self.b.value.size

    def __repr__(self) -> str:
        C, O = self.w.value.shape[2:]
        return f"UpsampleConv2D({C}, {O})"


class Dense(_Weighted):
    """y = x w + b: (N, C) -> (N, O). Starts as :class:`Conv2D` does."""

    _grad_input = staticmethod(ops.dense_grad_input)
    _grad_weights = staticmethod(ops.dense_grad_weights)

    def __init__(self, C: int, O: int, rng: np.random.Generator):
        super().__init__()
        self.w = Parameter(he_normal((C, O), rng))
        self.b = Parameter(np.zeros(O, np.float32))

    def forward(self, x: Array, training: bool = False, keep: bool = True) -> Array:
        y, cache = ops.dense_forward(x, self.w.value, self.b.value)
        self._cache = cache if keep else None
        return y

    def output_shape(self, shape):
        return self.b.value.shape

    def __repr__(self) -> str:
        C, O = self.w.value.shape
        return f"Dense({C}, {O})"


class BatchNorm(_Weighted):
    """Batch normalisation over everything but channels; see :mod:`ums.ops.norm`.

    Frozen, it uses its running statistics and leaves them alone, in training too.
    """

    _grad_input = staticmethod(ops.batchnorm_grad_input)
    _grad_weights = staticmethod(ops.batchnorm_grad_weights)
    _gradients = staticmethod(ops.batchnorm_backward)  # both share the sums over the batch

    def __init__(self, C: int, momentum: float = 0.9, eps: float = 1e-5):
        super().__init__()
        self.gamma = Parameter(np.ones(C, np.float32))
        self.beta = Parameter(np.zeros(C, np.float32))
        self.running_mean = np.zeros(C, np.float32)
        self.running_var = np.ones(C, np.float32)
        self.momentum, self.eps = momentum, eps

    def forward(self, x: Array, training: bool = False, keep: bool = True) -> Array:
        y, cache = ops.batchnorm_forward(
            x,
            self.gamma.value,
            self.beta.value,
            self.running_mean,
            self.running_var,
            training and not self.frozen,
            self.momentum,
            self.eps,
        )
        self._cache = cache if keep else None
        return y

    def statistics(self) -> dict[str, Array]:
        return {"running_mean": self.running_mean, "running_var": self.running_var}

    def __repr__(self) -> str:
        return f"BatchNorm({self.gamma.value.size})"


class Sequential(Layer):
    """Layers one after the other; a layer may be a Sequential, and be shared with another one."""

    def __init__(self, *layers: Layer):
        if len({id(layer) for layer in layers}) != len(layers):
            raise ValueError("a layer keeps one forward pass: it can stand in a chain only once")
        self.layers = layers
        super().__init__()

    @property
    def frozen(self) -> bool:
        """True if every layer is frozen; setting it freezes or unfreezes them all."""
        return all(layer.frozen for layer in self.layers)

    @frozen.setter
    def frozen(self, frozen: bool) -> None:
        if hasattr(self, "_cache"):  # a shared layer keeps its own state when a chain is made
            for layer in self.layers:
                layer.freeze(frozen)

    def forward(self, x: Array, training: bool = False, keep: bool = True) -> Array:
        for layer in self.layers:
            x = layer.forward(x, training, keep)
        return x

    def backward(self, dy: Array, input_gradient: bool = True) -> Array | None:
        """As :meth:`Layer.backward`; goes down no further than somebody needs a gradient."""
        lowest = 0
        if not input_gradient:
            learning = [i for i, layer in enumerate(self.layers) if layer.trainable_parameters()]
            lowest = min(learning, default=len(self.layers))
        for i in range(len(self.layers) - 1, lowest - 1, -1):
            dy = self.layers[i].backward(dy, input_gradient or i > lowest)
        return dy if input_gradient else None

    def named_parameters(self) -> dict[str, Parameter]:
        return dict(self._named("named_parameters"))

    def trainable_parameters(self) -> list[Parameter]:
        return [p for layer in self.layers for p in layer.trainable_parameters()]

    def statistics(self) -> dict[str, Array]:
        return dict(self._named("statistics"))

    def _named(self, method: str) -> Iterator[tuple[str, object]]:
        for i, layer in enumerate(self.layers):
            for name, value in getattr(layer, method)().items():
                yield f"{i}.{name}", value

    def map_arrays(self, function: Callable[[Array], Array]) -> Layer:
        for layer in self.layers:
            layer.map_arrays(function)
        return self

    def output_shape(self, shape):
        for layer in self.layers:
            shape = layer.output_shape(shape)
        return shape

    def __repr__(self) -> str:
        return "Sequential(" + ", ".join(map(repr, self.layers)) + ")"


def he_normal(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Normal float32 weights of variance 2 / fan_in, fan_in = the product of all axes but the last.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015.
    """
    fan_in = int(np.prod(shape[:-1]))
    return (rng.standard_normal(shape) * np.sqrt(2 / fan_in)).astype(np.float32)


def copy_arrays(source: dict[str, Array], target: dict[str, Array]) -> None:
    """Copy arrays into those of the same names, in place, from whichever device they are on.

    Raises:
        ValueError: a name is missing or unknown, or a shape differs; nothing is changed then.
    """
    if source.keys() != target.keys():
        odd = ", ".join(sorted(source.keys() ^ target.keys()))
        raise ValueError(f"the names of the arrays differ in: {odd}")
    for name, value in target.items():
        if value.shape != source[name].shape:
            raise ValueError(f"{name} must be {value.shape}, got {source[name].shape}")
    for name, value in target.items():
        value[...] = array_module(value).asarray(source[name], dtype=value.dtype)
