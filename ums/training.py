"""One training loop for everything that is trained: early stopping, plateaus, progress, recovery.

A strategy says what a step is (a generator of losses); :func:`fit` says when to stop. The weights
of the best validation epoch are kept, and are what the network holds afterwards. A training that was
stopped goes on from its checkpoint and ends where it would have ended, to the byte.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np
from tqdm import tqdm

from ums.backend import Array, Device, array_module, to_numpy
from ums.checkpoint import Checkpoint, Generators, Stateful, gather
from ums.data.examples import Examples, epoch_batches, in_order
from ums.layers import Layer, copy_arrays
from ums.optimizers import Optimizer, ReduceOnPlateau

Loss = Callable[[Array, Array], tuple[Array, Array]]


class TrainingDiverged(RuntimeError):
    """A loss became infinite or not a number; the last good weights were put back."""


@dataclass(frozen=True)
class FitSettings:
    """How long and how fast: the paper's batch and rate (section 4.1.1), ours where it is silent."""

    epochs: int = 20
    batch: int = 16
    learning_rate: float = 1e-3
    patience: int = 8
    plateau_patience: int = 6
    plateau_factor: float = 0.5

    def __post_init__(self):
        for name in ("epochs", "batch", "patience", "plateau_patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass
class History:
    """What happened, epoch by epoch: mean losses, learning rate, seconds.

    The rest is empty where a network is trained by itself, and belongs to tasks tuned together:

    Attributes:
        criterion: what decided which weights are kept, for all tasks; empty: ``validation`` did.
        weight: the task's mean weight w_i in the joint loss.
        cosines: other task -> mean cosine of the two tasks' gradients on the shared parameters.
    """

    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    criterion: list[float] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)
    cosines: dict[str, list[float]] = field(default_factory=dict)

    @property
    def best_epoch(self) -> int:
        """The epoch, from 0, whose weights were kept."""
        return int(np.argmin(self.criterion or self.validation))

    def to_dict(self) -> dict:
        """As JSON can hold it."""
        return asdict(self)

    def state_dict(self) -> dict[str, np.ndarray]:
        """All of it, for a checkpoint."""
        return {"lists": np.array(json.dumps(self.to_dict()))}

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        """Become what :meth:`state_dict` was taken of."""
        vars(self).update(json.loads(str(arrays["lists"])))


class Snapshot:
    """A copy of the weights and statistics of networks as they are at the time."""

    def __init__(self, networks: Sequence[Layer]):
        self.networks = networks
        self.take()

    def take(self) -> None:
        """Copy what the networks hold now."""
        self.kept = {name: array.copy() for name, array in gather(self.networks).items()}

    def restore(self) -> None:
        """Make the networks hold it again."""
        copy_arrays(self.kept, gather(self.networks))

    def state_dict(self) -> dict[str, Array]:
        """The copies, by name."""
        return self.kept

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        """Set every copy, in place, from what :meth:`state_dict` gave."""
        copy_arrays(arrays, self.kept)


def train_step(network: Layer, loss: Loss, optimizer: Optimizer, x: Array, target: Array) -> Array:
    """Forward, backward, update, for one batch; returns the loss (on its device)."""
    network.zero_gradients()
    value, gradient = loss(network.forward(x, training=True), target)
    network.backward(gradient, input_gradient=False)
    optimizer.step()
    return value


def epoch_steps(
    network: Layer,
    loss: Loss,
    optimizer: Optimizer,
    examples: Examples,
    size: int,
    device: Device,
    rng: np.random.Generator,
) -> Iterable[Array]:
    """One pass over the examples in random order, a step per batch; yields the losses."""
    for x, target in shuffled_batches(examples, size, device, rng):
        yield train_step(network, loss, optimizer, x, target)


def shuffled_batches(
    examples: Examples, size: int, device: Device, rng: np.random.Generator
) -> Iterator[tuple[Array, Array]]:
    """Inputs and targets on ``device``, every example once, in a new random order."""
    for chosen in epoch_batches(len(examples), size, rng):
        x, target = examples.batch(chosen)
        yield device.put(x), device.put(target)


def mean_loss(network: Layer, loss: Loss, examples: Examples, size: int, device: Device) -> float:
    """The mean loss per example, with the network in use (no dropout, running statistics)."""
    total = 0.0
    for chosen in in_order(len(examples), size):
        x, target = examples.batch(chosen)
        value, _ = loss(network.forward(device.put(x), keep=False), device.put(target))
        total += float(value) * len(chosen)
    return total / len(examples)


def predict(network: Layer, examples: Examples, device: Device, size: int = 32) -> np.ndarray:
    """The network's outputs for all examples, in order, as one NumPy array."""
    outputs = None
    for chosen in in_order(len(examples), size):
        x, _ = examples.batch(chosen)
        y = to_numpy(network.forward(device.put(x), keep=False))
        if outputs is None:
            outputs = np.empty((len(examples), *y.shape[1:]), y.dtype)
        outputs[chosen] = y
    return outputs


def fit(
    name: str,
    networks: Sequence[Layer],
    optimizers: Sequence[Optimizer],
    steps: Callable[[], Iterable[Array]],
    steps_per_epoch: int,
    validate: Callable[[], float],
    settings: FitSettings,
    progress: bool = True,
    rng: np.random.Generator | None = None,
    others: Sequence[Stateful] = (),
    checkpoint: Checkpoint | None = None,
) -> History:
    """Run epochs until the validation loss stops falling, and keep the best epoch's weights.

    Args:
        name: what is trained, for the progress bar and error messages.
        networks: everything that learns; its weights are kept and put back.
        optimizers: those that ``steps`` uses; their rates are reduced on a plateau.
        steps: one epoch, yielding the loss of each step. A FloatingPointError raised in it, or in
            ``validate``, is taken for a loss that is not finite.
        steps_per_epoch: how many those are.
        validate: the loss on the validation part, lower is better.
        settings: epochs at most, patience, plateau.
        progress: show a progress bar with the time left.
        rng: what ``steps`` draws from (the networks' dropout need not draw from the same).
        others: what else ``steps`` and ``validate`` change.
        checkpoint: saved between epochs, with all that has changed so far. If there is one of a
            training like this one that was stopped, this one goes on from there.

    Raises:
        TrainingDiverged: a loss is not finite. It says where, and the best weights so far (the
            first ones, if no epoch was finished) are put back before it is raised.
        OSError: the checkpoint cannot be written; names it.
        ValueError: the checkpoint is of another training; names it.
    """
    history, best = History(), Snapshot(networks)
    plateaus = [
        ReduceOnPlateau(o, settings.plateau_factor, settings.plateau_patience) for o in optimizers
    ]
    generators = Generators(filter(None, (rng, *_drawn_from(networks))))
    changing = [*networks, *optimizers, *plateaus, history, best, generators, *others]
    if checkpoint and checkpoint.restore(changing):
        print(f"{name}: goes on after epoch {len(history.train)}, from {checkpoint.path}")
    total, done = settings.epochs * steps_per_epoch, len(history.train) * steps_per_epoch
    shown = {"desc": name, "unit": "batch", "mininterval": 0.5, "disable": not progress}
    with tqdm(total=total, initial=done, **shown) as bar:
        while not _finished(history, settings):
            epoch, start = len(history.train), time.perf_counter()
            try:
                train, validation = _one_epoch(steps, validate, bar)
            except FloatingPointError as error:
                best.restore()
                raise TrainingDiverged(_diverged(name, epoch, error, optimizers, history)) from None
            history.train.append(train)
            history.validation.append(validation)
            history.learning_rate.append(optimizers[0].learning_rate)
            history.seconds.append(time.perf_counter() - start)
            bar.set_postfix_str(f"loss {train:.4g}, validation {validation:.4g}")
            if history.best_epoch == epoch:
                best.take()
            for plateau in plateaus:
                plateau.update(validation)
            if checkpoint and (checkpoint.due() or _finished(history, settings)):
                checkpoint.save(gather(changing), {"training": name, "epochs": epoch + 1})
    best.restore()
    return history


def _finished(history: History, settings: FitSettings) -> bool:
    """Whether there were epochs enough, or too many since the best one."""
    epochs = len(history.validation)
    if epochs == 0:
        return False
    return epochs == settings.epochs or epochs - 1 - history.best_epoch >= settings.patience


def _drawn_from(layers: Iterable[Layer]) -> Iterator[np.random.Generator]:
    """The generators of the dropout layers among ``layers`` and within them."""
    for layer in layers:
        if hasattr(layer, "rng"):
            yield layer.rng
        yield from _drawn_from(getattr(layer, "layers", ()))


def _one_epoch(steps, validate, bar) -> tuple[float, float]:
    """Mean training loss and validation loss; FloatingPointError says what is not finite."""
    losses = []
    for value in steps():
        losses.append(value)
        bar.update()
    losses = read_losses(losses)
    validation = float(validate())
    if not np.isfinite(validation):
        raise FloatingPointError(f"the validation loss is {validation}")
    return float(losses.mean()), validation


def read_losses(losses: Sequence[Array], owners: Sequence[str] | None = None) -> np.ndarray:
    """The losses of an epoch's batches as one float64 array.

    They are read from the device together, at the end: each reading makes a GPU wait.

    Raises:
        FloatingPointError: one is not finite; names the first, and its owner if there are ``owners``.
    """
    values = to_numpy(array_module(losses[0]).stack(losses)).astype(np.float64)
    if not np.isfinite(values).all():
        batch = int(np.flatnonzero(~np.isfinite(values))[0])
        whose = f" of {owners[batch]}" if owners else ""
        raise FloatingPointError(
            f"the training loss{whose} is {values[batch]} in batch {batch + 1}"
        )
    return values


def _diverged(name, epoch, error, optimizers, history) -> str:
    rates = ", ".join(f"{o.learning_rate:g}" for o in optimizers)
    kept = f"of epoch {history.best_epoch + 1}" if history.validation else "from before training"
    return (
        f"{name}: {error} of epoch {epoch + 1} (learning rate {rates}); the weights {kept} were "
        "put back. A smaller learning rate is the usual cure."
    )
