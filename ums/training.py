"""One training loop for everything that is trained: early stopping, plateaus, progress, recovery.

A strategy says what a step is (a generator of losses); :func:`fit` says when to stop. The weights
of the best validation epoch are kept, and are what the network holds afterwards. A training that was
stopped goes on from its checkpoint and ends where it would have ended, to the byte.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from ums.backend import Array, Device, array_module, choose_device, to_numpy
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


@dataclass(frozen=True, eq=False)
class Training:
    """What every training needs, whatever it trains and by whichever strategy.

    Attributes:
        settings: how long and how fast to train.
        rng: draws the order of the examples.
        device: where to compute; the networks must be there already.
        progress: whether to show progress bars.
        checkpoint: where the state is saved between epochs. A training that finds one of a stopped
            training like it continues from there; without it nothing is saved.
    """

    settings: FitSettings
    rng: np.random.Generator
    device: Device = field(default_factory=partial(choose_device, "cpu"))
    progress: bool = True
    checkpoint: Checkpoint | None = None

    def part(self, name: str) -> Training:
        """The same for one of several trainings, with its own part of the checkpoint."""
        return replace(self, checkpoint=self.checkpoint and self.checkpoint.part(name))


@dataclass(frozen=True, eq=False)
class Epoch:
    """One epoch of a training: its steps, and what they change apart from the networks.

    Attributes:
        steps: runs the steps of an epoch and yields the loss of each. A FloatingPointError raised
            in it is taken for a loss that is not finite.
        length: the number of steps.
        optimizers: the optimizers that the steps use; their rates are reduced on a plateau.
        state: whatever else the steps and the validation change.
    """

    steps: Callable[[], Iterable[Any]]
    length: int
    optimizers: Sequence[Optimizer]
    state: Sequence[Stateful] = ()


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

    def add(self, train: float, validation: float, learning_rate: float, start: float) -> None:
        """Add an epoch that began at ``start`` of :func:`time.perf_counter`."""
        self.train.append(train)
        self.validation.append(validation)
        self.learning_rate.append(learning_rate)
        self.seconds.append(time.perf_counter() - start)

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
    network: Layer, loss: Loss, optimizer: Optimizer, examples: Examples, training: Training
) -> Iterator[Array]:
    """One pass over the examples in random order, a step per batch; yields the losses."""
    for chosen in epoch_batches(len(examples), training.settings.batch, training.rng):
        x, target = examples.batch(chosen)
        put = training.device.put
        yield train_step(network, loss, optimizer, put(x), put(target))


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
    epoch: Epoch,
    validate: Callable[[], float],
    training: Training,
) -> History:
    """Run epochs until the validation loss stops falling, and keep the best epoch's weights.

    Args:
        name: what is trained, for the progress bar and error messages.
        networks: everything that learns; holds the best epoch's weights afterwards.
        epoch: the steps of one epoch.
        validate: the loss on the validation part, lower is better. A FloatingPointError raised in
            it is taken for a loss that is not finite.
        training: the settings and all else.

    Raises:
        TrainingDiverged: a loss is not finite. The message says where; the best weights so far (the
            first ones, if no epoch was finished) are restored before.
        OSError: the checkpoint cannot be written; names it.
        ValueError: the checkpoint is of another training; names it.
    """
    settings, checkpoint, optimizers = training.settings, training.checkpoint, epoch.optimizers
    history, best = History(), Snapshot(networks)
    plateaus = [
        ReduceOnPlateau(o, settings.plateau_factor, settings.plateau_patience) for o in optimizers
    ]
    generators = Generators((training.rng, *_drawn_from(networks)))
    changing = [*networks, *optimizers, *plateaus, history, best, generators, *epoch.state]
    if checkpoint and checkpoint.restore(changing):
        print(f"{name}: continues after epoch {len(history.train)}, from {checkpoint.path}")
    with _progress_bar(name, epoch.length, len(history.train), training) as bar:
        while not _finished(history, settings):
            start = time.perf_counter()
            try:
                train, validation = _one_epoch(epoch.steps, validate, bar)
            except FloatingPointError as error:
                best.restore()
                raise TrainingDiverged(_diverged(name, error, optimizers, history)) from None
            history.add(train, validation, optimizers[0].learning_rate, start)
            if history.best_epoch == len(history.train) - 1:
                best.take()
            for plateau in plateaus:
                plateau.update(validation)
            if checkpoint and (checkpoint.due() or _finished(history, settings)):
                record = {"training": name, "epochs": len(history.train)}
                checkpoint.save(gather(changing), record)
    best.restore()
    return history


def _progress_bar(name: str, length: int, done: int, training: Training) -> tqdm:
    """A bar over the steps of all epochs, ``done`` of which were finished before."""
    total, initial = training.settings.epochs * length, done * length
    shown = {"unit": "batch", "mininterval": 0.5, "disable": not training.progress}
    return tqdm(desc=name, total=total, initial=initial, **shown)


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


def _one_epoch(
    steps: Callable[[], Iterable[Array]], validate: Callable[[], float], bar: tqdm
) -> tuple[float, float]:
    """Mean training loss and validation loss; FloatingPointError says what is not finite."""
    losses = []
    for value in steps():
        losses.append(value)
        bar.update()
    train = float(read_losses(losses).mean())
    validation = float(validate())
    if not np.isfinite(validation):
        raise FloatingPointError(f"the validation loss is {validation}")
    bar.set_postfix_str(f"loss {train:.4g}, validation {validation:.4g}")
    return train, validation


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


def _diverged(
    name: str, error: FloatingPointError, optimizers: Sequence[Optimizer], history: History
) -> str:
    rates = ", ".join(f"{o.learning_rate:g}" for o in optimizers)
    kept = f"of epoch {history.best_epoch + 1}" if history.validation else "from before training"
    return (
        f"{name}: {error} of epoch {len(history.train) + 1} (learning rate {rates}); the weights "
        f"{kept} were restored. A smaller learning rate is the usual cure."
    )
