"""A network's kernels recorded once and from then on started together, as a CUDA graph.

On a GPU a training step is some hundred kernels of 10 to 100 microseconds, and to start one takes
Python nearly as long. So :class:`ums.layers.Sequential` leaves layers that follow each other to a
:class:`Chain`. The first time that a batch of some shape comes by, it lets them compute one by one;
the second time it records what they start; and from then on it starts the record.

A record holds addresses. What comes in is copied to where the record reads it, and what comes out is
copied from where the record writes it. It is good only while the layers hold the very same arrays
and settings; with others, all of this begins anew. Never recorded is what Python must do each time:
dropout, which draws numbers; layers of other modules; layers that share their batch with other processes.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import cache
from itertools import groupby
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from ums.backend import Array, array_module
from ums.layer import Layer, Parameter, backward_through, forward_through
from ums.ops.fast import gpu, products

MOST_PASSES = 4
"""Of which a chain keeps records: one for each shape of a batch, in training and not. The oldest goes."""

_turn = threading.RLock()
"""A record always writes to the same memory, so that threads take turns."""


def can_record(xp: ModuleType) -> bool:
    """Whether the kernels of ``xp`` can be recorded: it is CuPy, or the tests' stand-in with kernels."""
    return gpu.has_kernels(xp) and hasattr(xp, "cuda")


class Record:
    """What ``work(x)`` starts, to be started again for other arrays of the shape of x.

    Calling it returns what ``work`` returned; the arrays are the same, and their values are new.
    """

    def __init__(self, work: Callable[[Array], Any], x: Array, pool: Any):
        xp = array_module(x)
        stream = _stream(xp, xp.cuda.runtime.getDevice())
        with xp.cuda.using_allocator(pool.malloc), stream:
            self.x = xp.empty(x.shape, x.dtype)
            stream.begin_capture()
            try:
                self.result = work(self.x)
            except BaseException:
                with suppress(Exception):  # that nothing can be recorded any more
                    stream.end_capture()
                raise
            self.graph = stream.end_capture()

    def __call__(self, x: Array) -> Any:
        self.x[...] = x
        self.graph.launch()
        return self.result


def _record(work: Callable[[Array], Any], x: Array, pool: Any) -> Record | None:
    """A record of ``work``; None, with a warning, if it cannot be recorded."""
    # What the work took when it was not recorded is free now, and the record's pool is another.
    array_module(x).get_default_memory_pool().free_all_blocks()
    try:
        return Record(work, x, pool)
    except Exception as error:
        message = f"layers compute one kernel at a time, which is slower: {error}"
        warnings.warn(message, RuntimeWarning, stacklevel=2)
        return None


@cache
def _stream(xp: ModuleType, device: int) -> Any:
    stream = xp.cuda.Stream(non_blocking=True)
    products.prepare(xp, device, stream.ptr)
    return stream


class Chain:
    """Layers one after the other, and the records of their passes."""

    def __init__(self, layers: Sequence[Layer], pool: Any):
        self.layers = layers
        self.pool = pool  # for all passes: the layers keep one, and the next may write over it
        self.passes: dict[tuple, Pass] = {}
        self.latest: Pass | None = None

    def trainable_parameters(self) -> list[Parameter]:
        """Those of the layers."""
        return [parameter for layer in self.layers for parameter in layer.trainable_parameters()]

    def forward(self, x: Array, training: bool, keep: bool) -> Array:
        """As :meth:`ums.layer.Layer.forward`."""
        self.latest = None
        if not x.size or any(layer.ranks for layer in self.layers):
            return forward_through(self.layers, x, training, keep)
        key, state = (x.shape, x.dtype, training, keep), _state(self.layers)
        with _turn:
            found = self.passes.get(key)
            if found is None or not _same(found.state, state):
                self.passes[key] = found = Pass(self.layers, self.pool, state, training, keep)
            if len(self.passes) > MOST_PASSES:
                del self.passes[next(iter(self.passes))]
            y = found.forward(x)
            self.latest = found if keep else None
        return y

    def backward(self, dy: Array, input_gradient: bool) -> Array | None:
        """As :meth:`ums.layer.Layer.backward`."""
        found = self.latest
        if found is None or not found.is_kept() or not _same(found.state, _state(self.layers)):
            return backward_through(self.layers, dy, input_gradient)
        with _turn:
            return found.backward(dy, input_gradient)


class Pass:
    """A forward pass and the backward passes that follow it, and in time their records."""

    def __init__(self, layers: Sequence[Layer], pool: Any, state: list, training: bool, keep: bool):
        self.layers, self.pool, self.state, self.how = layers, pool, state, (training, keep)
        self.parameters = [p for layer in layers for p in layer.trainable_parameters()]
        self.record: Record | None = None
        self.times = 0
        self.caches: list[tuple | None] = []
        self.backwards: dict[tuple, tuple[Record | None, list[Array]]] = {}

    def forward(self, x: Array) -> Array:
        """As :meth:`ums.layer.Layer.forward`."""
        self.times += 1
        if self.times == 2:
            self.record = _record(
                lambda x: forward_through(self.layers, x, *self.how), x, self.pool
            )
            self.caches = [layer._cache for layer in self.layers]
        if self.record is None:
            return forward_through(self.layers, x, *self.how)
        y = self.record(x).copy()
        self._keep(self.caches)
        return y

    def is_kept(self) -> bool:
        """Whether this is the pass that the layers keep."""
        pairs = zip(self.layers, self.caches, strict=True)
        return self.record is not None and all(layer._cache is kept for layer, kept in pairs)

    def backward(self, dy: Array, input_gradient: bool) -> Array | None:
        """As :meth:`ums.layer.Layer.backward`, if the pass is kept."""
        key = dy.shape, dy.dtype, input_gradient
        if key not in self.backwards:
            self.backwards[key] = self._record_backward(dy, input_gradient)
        record, gradients = self.backwards[key]
        if record is None:
            return backward_through(self.layers, dy, input_gradient)
        dx = record(dy)
        self._keep([None] * len(self.caches))
        if gradients:
            (flat,), start = gpu.gather([gradients]), 0
            for parameter, g in zip(self.parameters, gradients, strict=True):
                parameter.add(flat[start : start + g.size].reshape(g.shape))
                start += g.size
        return None if dx is None else dx.copy()

    def _record_backward(
        self, dy: Array, input_gradient: bool
    ) -> tuple[Record | None, list[Array]]:
        """The record, and where it writes the gradients."""
        layers, parameters = self.layers, self.parameters
        before = [parameter.grad for parameter in parameters]
        for parameter in parameters:
            parameter.grad = None
        record = _record(lambda dy: backward_through(layers, dy, input_gradient), dy, self.pool)
        gradients = [parameter.grad for parameter in parameters]
        for parameter, gradient in zip(parameters, before, strict=True):
            parameter.grad = gradient
        self._keep(self.caches)
        return record, gradients

    def _keep(self, caches: Sequence[tuple | None]) -> None:
        for layer, kept in zip(self.layers, caches, strict=True):
            layer._cache = kept


_chains: WeakKeyDictionary[Any, tuple[Any, list]] = WeakKeyDictionary()
"""Of every network, with the layers that it had; a copy of a network has its own."""


def chained(network: Any, kinds: Collection[type], xp: ModuleType) -> list:
    """The layers of a network, those of ``kinds`` that follow each other as one :class:`Chain`."""
    layers, steps = _chains.get(network, (None, []))
    if layers is not network.layers:
        steps = []
        for known, group in groupby(network.layers, lambda layer: type(layer) in kinds):
            together = list(group)
            steps += [Chain(together, xp.cuda.MemoryPool())] if known else together
        _chains[network] = network.layers, steps
    return steps


def _state(layers: Sequence[Layer]) -> list:
    """All that the layers hold, but for what a pass leaves there."""
    state: list = []
    for layer in layers:
        for name, value in vars(layer).items():
            if name != "_cache":
                state += value, getattr(value, "value", None)
    return state


def _same(one: list, other: list) -> bool:
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))
