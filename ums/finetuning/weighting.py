"""The weights w_i of the joint loss L = sum_i w_i L_i (section 2.3): equal, by hand, or learned.

Weights, losses and norms are arrays (K,) on the device, one element for each of K tasks in their
order. They are never copied to the host, so that a GPU need not wait.
"""

from collections.abc import Callable, Sequence

import numpy as np

from ums.backend import Array, Device, array_module
from ums.checks import check_positive
from ums.layers import Parameter, copy_arrays
from ums.optimizers import Adam, Optimizer

LEAST = 1e-3
"""The lower bound of GradNorm's weights, which could change sign otherwise."""


class Weighting:
    """All weightings: call ``start`` first, read ``weights`` before a step, ``update`` after it."""

    _w: Array

    def start(self, count: int, device: Device) -> None:
        """Start anew for ``count`` tasks; a ValueError if the weighting is for another number."""
        raise NotImplementedError

    @property
    def weights(self) -> Array:
        """w_i (K,) float32, positive."""
        return self._w

    def update(self, losses: Array, norms: Array) -> None:
        """Adapt to a step's losses L_i, without weights, and its norms of w_i dL_i/dtheta_S."""

    def state_dict(self) -> dict[str, Array]:
        return {}

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        """Restore what :meth:`update` changed; nothing, if the weights are constant."""


class ByHand(Weighting):
    """Constant weights, given in the order of the tasks."""

    def __init__(self, *weights: float) -> None:
        if not all(0 < w < np.inf for w in weights):
            raise ValueError(f"weights must be positive, got {weights}")
        self._given = weights

    def start(self, count: int, device: Device) -> None:
        _check_number("weights", self._given, count)
        self._w = _vector(self._given, device)


class Equal(Weighting):
    """w_i = 1: the plain sum of the losses."""

    def start(self, count: int, device: Device) -> None:
        self._w = _vector([1] * count, device)


class _Learned(Weighting):
    """A weighting with arrays of its own, which an optimizer changes."""

    _optimizer: Optimizer

    def _own_arrays(self) -> dict[str, Array]:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Array]:
        return self._own_arrays() | self._optimizer.state_dict()

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        own = self._own_arrays()
        copy_arrays({name: arrays[name] for name in own}, own)
        self._optimizer.load_state_dict({k: v for k, v in arrays.items() if k not in own})


class Uncertainty(_Learned):
    """Homoscedastic uncertainty: L = sum_i c_i exp(-s_i) L_i + s_i, with s_i = log sigma_i^2 learned.

    Kendall, Gal and Cipolla, "Multi-task learning using uncertainty to weigh losses", 2018. A noisy
    task, whose loss stays high, gets a large s_i and a small weight w_i = c_i exp(-s_i). c_i is 1/2
    where ``regression[i]`` is true (the squared error of a Gaussian likelihood), and 1 otherwise.
    dL/ds_i = 1 - w_i L_i, so that steady losses lead to w_i = 1 / L_i. (Kendall et al. have
    L = sum_i c_i exp(-s_i) L_i + s_i / 2: their weights settle at 1 / (2 L_i).)
    """

    def __init__(
        self,
        regression: Sequence[bool] | None = None,
        optimizer: Callable[..., Optimizer] = Adam,
        learning_rate: float = 1e-2,
    ):
        check_positive("learning_rate", learning_rate)
        self.regression, self.optimizer, self.learning_rate = regression, optimizer, learning_rate

    def start(self, count: int, device: Device) -> None:
        regression = [False] * count if self.regression is None else self.regression
        _check_number("marks of regression", regression, count)
        self._c = _vector([0.5 if r else 1 for r in regression], device)
        self.s = Parameter(_vector([0] * count, device))
        self._optimizer = self.optimizer([self.s], self.learning_rate)

    @property
    def weights(self) -> Array:
        return self._c * array_module(self._c).exp(-self.s.value)

    def update(self, losses: Array, norms: Array) -> None:
        self.s.grad = 1 - self.weights * losses
        self._optimizer.step()

    def _own_arrays(self) -> dict[str, Array]:
        return {"s": self.s.value}


class GradNorm(_Learned):
    """Weights that make the norms G_i = ``||w_i dL_i/dtheta_S||`` of the tasks' gradients similar.

    Chen, Badrinarayanan, Lee and Rabinovich, "GradNorm", 2018. With the inverse training rate
    r_i = (L_i / L_i(0)) / mean_j (L_j / L_j(0)) - above 1 for a task that lags behind - the norms are
    drawn to G_i* = mean_j G_j * r_i^alpha by the loss sum_i ``|G_i - G_i*|``, with G_i* constant:
    its gradient on w_i is sign(G_i - G_i*) G_i / w_i. Then the weights are scaled to sum to K.

    L_i(0) is the loss of the first step. Chen et al. take only the last shared layer for theta_S, to
    save time; here all shared parameters are taken, since their gradients are computed anyway. A
    larger alpha favours tasks that lag behind more strongly; 0 makes all norms equal.
    """

    def __init__(
        self,
        alpha: float = 1.5,
        optimizer: Callable[..., Optimizer] = Adam,
        learning_rate: float = 0.025,
    ):
        check_positive("learning_rate", learning_rate)
        if not 0 <= alpha < np.inf:
            raise ValueError(f"alpha must be 0 or more, got {alpha}")
        self.alpha, self.optimizer, self.learning_rate = alpha, optimizer, learning_rate

    def start(self, count: int, device: Device) -> None:
        self.w = Parameter(_vector([1] * count, device))
        self._optimizer = self.optimizer([self.w], self.learning_rate)
        self._first = _vector([0] * count, device)  # L_i(0), known after the first step

    @property
    def weights(self) -> Array:
        return self.w.value.copy()  # the optimizer changes its own in place

    def update(self, losses: Array, norms: Array) -> None:
        xp, w, tiny = array_module(losses), self.w, np.finfo(np.float32).tiny
        if self._optimizer.steps == [0]:
            self._first = xp.maximum(losses, tiny)
        left = losses / self._first
        r = left / xp.maximum(left.mean(), tiny)
        w.grad = xp.sign(norms - norms.mean() * r**self.alpha) * norms / w.value
        self._optimizer.step()
        kept = xp.maximum(w.value, LEAST)
        w.value = kept * (len(kept) / kept.sum())

    def _own_arrays(self) -> dict[str, Array]:
        return {"w": self.w.value, "first": self._first}


def _vector(values: Sequence[float], device: Device) -> Array:
    return device.put(np.array(values, np.float32))


def _check_number(name: str, given: Sequence, count: int) -> None:
    if len(given) != count:
        raise ValueError(f"there are {len(given)} {name} for {count} tasks")
