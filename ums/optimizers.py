"""Optimizers: how a gradient becomes a step. Each keeps its own state beside the parameters.

An optimizer is given the parameters it may move. A parameter whose gradient is None (its layer was
not part of the loss) is left as it is, its state too. ``@fused`` fills in xp, NumPy or CuPy.
"""

import math
from collections.abc import Iterable
from types import ModuleType

import numpy as np

from ums.backend import Array, array_module, fused
from ums.checks import check_fraction, check_integer, check_positive
from ums.layer import Parameter, copy_arrays
from ums.ops.arguments import check_floats
from ums.ops.fast import gpu
from ums.ops.fast.threads import in_bands

__all__ = ["SGD", "Adam", "CosineDecay", "Optimizer", "RMSprop", "ReduceOnPlateau"]


class Optimizer:
    """What the three share: the parameters, the learning rate, and the state by name.

    Raises:
        ValueError: The learning rate is not a positive number, another setting is out of its range,
            or a parameter is given twice.
        TypeError: What is given as a parameter is not a Parameter, or not float32 or float64.
    """

    state_names: tuple[str, ...] = ()

    def __init__(self, parameters: Iterable[Parameter], learning_rate: float):
        check_positive("learning_rate", learning_rate)
        self.parameters = list(parameters)
        for parameter in self.parameters:
            if not isinstance(parameter, Parameter):
                kind = type(parameter).__name__
                raise TypeError(
                    f"parameters must be a layer's trainable_parameters(), got a {kind}"
                )
            check_floats(parameter=parameter.value)
        if len({id(parameter) for parameter in self.parameters}) < len(self.parameters):
            raise ValueError("a parameter is given twice: each step would move it twice")
        self.learning_rate = float(learning_rate)
        self.steps = [0] * len(self.parameters)
        self.state = {
            name: [array_module(p.value).zeros_like(p.value) for p in self.parameters]
            for name in self.state_names
        }

    def step(self) -> None:
        """Move every parameter that has a gradient, in place; the gradients are kept.

        Where several processes train the network (:mod:`ums.parallel`), they are first added up.

        Raises:
            ValueError, TypeError: A gradient differs from its parameter in shape or dtype; nothing is
                moved.
        """
        for i, parameter in enumerate(self.parameters):
            _check_gradient(i, parameter)
        if self.parameters and (ranks := self.parameters[0].ranks):
            ranks.add_gradients(self.parameters)
        if self._all_in_step():
            self.steps = [t + 1 for t in self.steps]
            own = [p.value for p in self.parameters], *self.state.values()
            flat = gpu.gather([[p.grad for p in self.parameters], *own])
            g, x, *state = flat
            self._move(x, g, self.steps[0], *state)
            gpu.scatter(flat[1:], own)
            return
        for i, parameter in enumerate(self.parameters):
            if parameter.grad is not None:
                self.steps[i] += 1
                state = [self.state[name][i] for name in self.state_names]
                self._move(parameter.value, parameter.grad, self.steps[i], *state)

    def _all_in_step(self) -> bool:
        """Whether one kernel can move all parameters, which saves most of the time of many small ones."""
        if not self.parameters or not gpu.has_kernels(array_module(self.parameters[0].value)):
            return False
        if not all(p.grad is not None and p.value.flags.c_contiguous for p in self.parameters):
            return False
        return len({p.value.dtype for p in self.parameters}) == len(set(self.steps)) == 1

    def _move(self, x: Array, g: Array, t: int, *state: Array) -> None:
        """Change x, and the state, by its gradient g in its step t = 1, 2, ..."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Array]:
        """Everything a later run needs to continue from here, by name."""
        state = {f"{k}.{i}": v for k, values in self.state.items() for i, v in enumerate(values)}
        return state | {"steps": np.array(self.steps), "rate": np.array(float(self.learning_rate))}

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        """Continue from what :meth:`state_dict` gave.

        Raises:
            ValueError: It came from another kind of optimizer, or one of other parameters.
        """
        own = self.state_dict()
        copy_arrays(arrays, own)
        self.steps = [int(t) for t in own["steps"]]
        self.learning_rate = float(own["rate"])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(learning_rate={self.learning_rate:g})"


def _check_gradient(i: int, parameter: Parameter) -> None:
    x, g = parameter.value, parameter.grad
    if g is None:
        return
    name = f"the gradient of parameter {i} {x.shape}"
    if (found := getattr(g, "dtype", type(g).__name__)) != x.dtype:
        raise TypeError(f"{name} must be {x.dtype} as the parameter is, got {found}")
    if g.shape != x.shape:  # NumPy would broadcast it
        raise ValueError(f"{name} must have its shape, got {g.shape}")


def _check_settings(eps: float = 1.0, **shares: float) -> None:
    """Raise a ValueError unless eps is positive and the shares of old values are in [0, 1)."""
    for name, share in shares.items():
        if not 0 <= share < 1:
            raise ValueError(f"{name} must be in [0, 1), got {share}")
    check_positive("eps", eps)


class SGD(Optimizer):
    """v <- momentum v + g;  x <- x - rate v (momentum 0: plain gradient descent)."""

    state_names = ("velocity",)

    def __init__(
        self, parameters: Iterable[Parameter], learning_rate: float = 1e-2, momentum: float = 0.0
    ):
        super().__init__(parameters, learning_rate)
        _check_settings(momentum=momentum)
        self.momentum = momentum

    def _move(self, x: Array, g: Array, t: int, v: Array) -> None:
        _move_sgd(x, g, v, self.learning_rate, self.momentum)


@in_bands
@fused
def _move_sgd(xp: ModuleType, x: Array, g: Array, v: Array, rate: float, momentum: float) -> None:
    v *= momentum
    v += g
    x -= rate * v


class RMSprop(Optimizer):
    """s <- rho s + (1 - rho) g^2;  x <- x - rate g / (sqrt(s) + eps) (Tieleman and Hinton 2012)."""

    state_names = ("square",)

    def __init__(
        self,
        parameters: Iterable[Parameter],
        learning_rate: float = 1e-3,
        rho: float = 0.9,
        eps: float = 1e-7,
    ):
        super().__init__(parameters, learning_rate)
        _check_settings(eps, rho=rho)
        self.rho, self.eps = rho, eps

    def _move(self, x: Array, g: Array, t: int, s: Array) -> None:
        _move_rmsprop(x, g, s, self.learning_rate, self.rho, 1 - self.rho, self.eps)


@in_bands
@fused
def _move_rmsprop(
    xp: ModuleType, x: Array, g: Array, s: Array, rate: float, rho: float, gain: float, eps: float
) -> None:
    s *= rho
    s += gain * g * g
    x -= rate * (g / (xp.sqrt(s) + eps))


class Adam(Optimizer):
    """m and v, running means of g and g^2, corrected for their start at 0 (Kingma and Ba 2015).

    m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;
    x <- x - rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
    """

    state_names = ("m", "v")

    def __init__(
        self,
        parameters: Iterable[Parameter],
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
    ):
        super().__init__(parameters, learning_rate)
        _check_settings(eps, beta1=beta1, beta2=beta2)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps

    def _move(self, x: Array, g: Array, t: int, m: Array, v: Array) -> None:
        first = self.beta1, 1 - self.beta1, 1 - self.beta1**t
        second = self.beta2, 1 - self.beta2, 1 - self.beta2**t
        _move_adam(x, g, m, v, self.learning_rate, *first, *second, self.eps)


@in_bands
@fused
def _move_adam(xp: ModuleType, x: Array, g: Array, m: Array, v: Array, *numbers: float) -> None:
    # beta, gain = 1 - beta and correction = 1 - beta^t, of m and of v
    rate, beta1, gain1, correction1, beta2, gain2, correction2, eps = numbers
    m *= beta1
    m += gain1 * g
    v *= beta2
    v += gain2 * g * g
    x -= rate * (m / correction1 / (xp.sqrt(v / correction2) + eps))


class ReduceOnPlateau:
    """Multiply the learning rate by ``factor`` after ``patience`` epochs without an improvement.

    An improvement is a loss below the best by more than ``min_delta`` of its size. The rate does
    not fall below ``min_rate``.

    Raises:
        ValueError: ``factor`` is not between 0 and 1, ``patience`` is below 1, or another setting is
            negative.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 0.5,
        patience: int = 3,
        min_delta: float = 1e-4,
        min_rate: float = 1e-6,
    ):
        check_fraction("factor", factor)
        check_integer("patience", patience)
        if not (min_delta >= 0 and min_rate >= 0):
            settings = f"{min_delta=}, {min_rate=}"
            raise ValueError(f"min_delta and min_rate must not be negative, got {settings}")
        self.optimizer, self.factor, self.patience = optimizer, factor, patience
        self.min_delta, self.min_rate = min_delta, min_rate
        self.best, self.waited = np.inf, 0

    def state_dict(self) -> dict[str, np.ndarray]:
        """The best loss and the epochs since; the learning rate is in the optimizer's state."""
        return {"best": np.array(float(self.best)), "waited": np.array(self.waited)}

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        """Continue from what :meth:`state_dict` gave."""
        self.best, self.waited = float(arrays["best"]), int(arrays["waited"])

    def update(self, loss: float) -> bool:
        """Record an epoch's loss; reduce the learning rate, and return True, if it is time to."""
        margin = self.min_delta * abs(self.best) if np.isfinite(self.best) else 0
        if loss < self.best - margin:
            self.best, self.waited = loss, 0
            return False
        self.waited += 1
        if self.waited < self.patience or self.optimizer.learning_rate <= self.min_rate:
            return False
        reduced = self.optimizer.learning_rate * self.factor
        self.optimizer.learning_rate = max(reduced, self.min_rate)
        self.waited = 0
        return True


class CosineDecay:
    """Let the learning rate fall to 0 along half a cosine (Loshchilov and Hutter, "SGDR", 2017).

    After epoch e of ``epochs`` it is (1 + cos(pi e / epochs)) / 2 of what it was at first.

    Raises:
        ValueError: ``epochs`` is below 1.
    """

    def __init__(self, optimizer: Optimizer, epochs: int):
        check_integer("epochs", epochs)
        self.optimizer, self.epochs = optimizer, epochs
        self.first, self.done = optimizer.learning_rate, 0

    def state_dict(self) -> dict[str, np.ndarray]:
        """The first learning rate and the epochs that are done."""
        return {"first": np.array(self.first), "done": np.array(self.done)}

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        """Continue from what :meth:`state_dict` gave."""
        self.first, self.done = float(arrays["first"]), int(arrays["done"])

    def update(self, loss: float) -> None:
        """Set the learning rate of the next epoch; the loss does not matter."""
        self.done += 1
        share = min(self.done / self.epochs, 1)
        self.optimizer.learning_rate = self.first * (1 + math.cos(math.pi * share)) / 2
