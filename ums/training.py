"""The training loop of every network: early stopping, plateaus, progress, recovery.

A strategy defines the steps of an epoch (:class:`Epoch`); :func:`fit` decides when to stop, and leaves
the weights of the epoch with the lowest validation loss. An interrupted training continues from its
checkpoint and ends with the same weights, to the byte.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from tqdm import tqdm

from ums.backend import Array, Device, array_module, choose_device, to_numpy
from ums.checkpoint import Checkpoint, Generators, Snapshot, Stateful, gather, generators_of
from ums.checks import check_fraction, check_integer, check_positive
from ums.data.examples import Dataset, device_batch, in_order
from ums.layers import Layer
from ums.ops.fast.threads import pixel_count, sharing
from ums.optimizers import CosineDecay, Optimizer, ReduceOnPlateau

Loss = Callable[[Array, Array], tuple[Array, Array]]


class TrainingDiverged(RuntimeError):
    """A loss is infinite or not a number; the best weights so far were restored."""


@dataclass(frozen=True)
class FitSettings:
    """How long and how fast to train, ``epochs`` at most, ``batch`` examples per step.

    An epoch shows a task each of its examples once; or, if ``steps`` is given, as many batches of each
    task, whatever the number of its examples, so that strategies can be compared at equal lengths.

    With the schedule ``"plateau"``, training stops after ``patience`` epochs without a lower validation
    loss, and multiplies the learning rate by ``plateau_factor`` after ``plateau_patience`` epochs
    without an improvement (:class:`ums.optimizers.ReduceOnPlateau`). With ``"cosine"``, the learning
    rate falls to 0 over all epochs (:class:`ums.optimizers.CosineDecay`), and none is left out. Batch
    and learning rate are the paper's (section 4.1.1); where it is silent, the values are ours.
    """

    epochs: int = 20
    batch: int = 16
    learning_rate: float = 1e-3
    patience: int = 8
    plateau_patience: int = 6
    plateau_factor: float = 0.5
    steps: int | None = None
    schedule: str = "plateau"

    def __post_init__(self) -> None:
        if self.schedule not in ("plateau", "cosine"):
            raise ValueError(f"schedule must be plateau or cosine, got {self.schedule!r}")
        for name in ("epochs", "batch", "patience", "plateau_patience"):
            check_integer(name, getattr(self, name))
        if self.steps is not None:
            check_integer("steps", self.steps)
        check_positive("learning_rate", self.learning_rate)
        check_fraction("plateau_factor", self.plateau_factor)

    def length(self, examples: Dataset) -> int:
        """The batches of an epoch of a task."""
        return self.steps or -(-len(examples) // self.batch)

    def schedule_of(self, optimizer: Optimizer) -> ReduceOnPlateau | CosineDecay:
        """What changes an optimizer's learning rate after each epoch."""
        if self.schedule == "cosine":
            return CosineDecay(optimizer, self.epochs)
        return ReduceOnPlateau(optimizer, self.plateau_factor, self.plateau_patience)


@dataclass(frozen=True, eq=False)
class Training:
    """What every training needs, by whichever strategy (a layer's ``training`` is a bool instead).

    Attributes:
        settings: How long and how fast to train.
        rng: Draws the order of the examples.
        device: Where to compute; the networks must be there already.
        progress: Whether to show progress bars.
        checkpoint: Where the state is saved between epochs, or None. If the file is there already,
            the training continues from it.
    """

    settings: FitSettings
    rng: np.random.Generator
    device: Device = field(default_factory=partial(choose_device, "cpu"))
    progress: bool = True
    checkpoint: Checkpoint | None = None

    def part(self, name: str) -> Training:
        """This Training, with the same rng, but with a checkpoint of its own."""
        return replace(self, checkpoint=self.checkpoint and self.checkpoint.part(name))


@dataclass(frozen=True, eq=False)
class Epoch:
    """One epoch of a training.

    Attributes:
        run: Runs the steps of an epoch and yields the loss of each, or, for
            :func:`ums.finetuning.loop.train_together`, pairs (task number, loss). A
            FloatingPointError in it counts as a loss that is not finite.
        length: The number of steps.
        optimizers: Those that the steps use; their learning rates are reduced on a plateau.
        state: Whatever else the steps and the validation change, for checkpoints.
    """

    run: Callable[[], Iterable[Any]]
    length: int
    optimizers: Sequence[Optimizer]
    state: Sequence[Stateful] = ()


@dataclass
class History:
    """Mean training loss, validation loss, learning rate and wall seconds of each epoch.

    The others are empty where they do not apply: ``criterion`` belongs to tasks tuned together,
    ``weight`` and ``cosines`` to joint tuning alone.

    Attributes:
        criterion: The value for all tasks that decides which epoch is kept, in place of ``validation``.
        weight: The task's mean weight w_i in the joint loss.
        cosines: Other task -> mean cosine of the two tasks' gradients on the shared parameters.
    """

    train: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    learning_rate: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    criterion: list[float] = field(default_factory=list)
    weight: list[float] = field(default_factory=list)
    cosines: dict[str, list[float]] = field(default_factory=dict)

    def add(self, train: float, validation: float, learning_rate: float, start: float) -> None:
        """Add an epoch that began when :func:`time.perf_counter` was ``start``."""
        self.train.append(train)
        self.validation.append(validation)
        self.learning_rate.append(learning_rate)
        self.seconds.append(time.perf_counter() - start)

    @property
    def best_epoch(self) -> int:
        """The epoch, from 0, whose weights were kept."""
        return int(np.argmin(self.criterion or self.validation))

    def to_dict(self) -> dict:
        """Return the lists by name, ready for JSON."""
        return asdict(self)

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"lists": np.array(json.dumps(self.to_dict()))}

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        vars(self).update(json.loads(str(arrays["lists"])))


def train_step(network: Layer, loss: Loss, optimizer: Optimizer, x: Array, target: Array) -> Array:
    """Forward, backward, update, for one batch; returns the loss (on the device)."""
    with sharing(pixel_count(x), array_module(x)):
        network.zero_gradients()
        value, gradient = loss(network.forward(x, training=True), target)
        network.backward(gradient, input_gradient=False)
        optimizer.step()
    return value


def mean_loss(network: Layer, loss: Loss, examples: Dataset, size: int, device: Device) -> float:
    """The mean loss per example at inference (no dropout, running statistics).

    Raises:
        ValueError: There is no example.
    """
    if not len(examples):
        raise ValueError(f"there is no example to take a mean loss of: {examples!r}")
    total = 0.0
    for chosen in in_order(len(examples), size):
        x, target = device_batch(examples, chosen, device)
        value, _ = loss(network.forward(x, keep=False), target)
        total += float(value) * len(chosen)
    return total / len(examples)


def predict(network: Layer, examples: Dataset, device: Device, size: int = 32) -> np.ndarray:
    """The network's outputs for all examples, in order, as one NumPy array.

    Raises:
        ValueError: An output is not finite.
    """
    outputs = np.empty(0)
    for chosen in in_order(len(examples), size):
        x, _ = examples.batch(chosen)
        y = to_numpy(network.forward(device.put(x), keep=False))
        if not len(outputs):
            outputs = np.empty((len(examples), *y.shape[1:]), y.dtype)
        if not np.isfinite(y).all():
            raise ValueError(f"outputs are not finite: look at the weights, and at {examples!r}")
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

    ``networks`` are all that learn. ``validate`` returns the validation loss; a FloatingPointError in
    it counts as a loss that is not finite. The name is for the progress bar and error messages.

    Raises:
        TrainingDiverged: A loss is not finite; the best weights so far are restored.
        OSError: The checkpoint cannot be written; names it.
        ValueError: The checkpoint is of another training; names it.
    """
    settings, checkpoint, optimizers = training.settings, training.checkpoint, epoch.optimizers
    history, best = History(), Snapshot(networks)
    schedules = [settings.schedule_of(optimizer) for optimizer in optimizers]
    generators = Generators([training.rng, *generators_of(networks)])
    changing: list[Stateful] = [*networks, *optimizers, *schedules, history, best]
    changing += [generators, *epoch.state]
    if checkpoint and checkpoint.restore(changing):
        print(f"{name}: continues after epoch {len(history.train)}, from {checkpoint.path}")
    with _progress_bar(name, epoch.length, len(history.train), training) as bar:
        while not _finished(history, settings):
            try:
                _one_epoch(epoch, validate, history, bar)
            except FloatingPointError as error:
                best.restore()
                raise TrainingDiverged(_diverged(name, error, epoch, history)) from None
            if history.best_epoch == len(history.train) - 1:
                best.take()
            for schedule in schedules:
                schedule.update(history.validation[-1])
            if checkpoint and (checkpoint.due() or _finished(history, settings)):
                checkpoint.save(gather(changing), {"training": name, "epochs": len(history.train)})
    best.restore()
    return history


def _finished(history: History, settings: FitSettings) -> bool:
    epochs = len(history.validation)
    if epochs == 0 or settings.schedule == "cosine":
        return epochs == settings.epochs
    return epochs == settings.epochs or epochs - 1 - history.best_epoch >= settings.patience


def _progress_bar(name: str, length: int, done: int, training: Training) -> tqdm:
    total, done, silent = training.settings.epochs * length, done * length, not training.progress
    return tqdm(desc=name, total=total, initial=done, unit="batch", mininterval=0.5, disable=silent)


def _one_epoch(epoch: Epoch, validate: Callable[[], float], history: History, bar: tqdm) -> None:
    """Train, validate and record; raises FloatingPointError if a loss is not finite."""
    start, losses = time.perf_counter(), []
    for value in epoch.run():
        losses.append(value)
        bar.update()
    train = float(read_losses(losses).mean())
    validation = float(validate())
    if not np.isfinite(validation):
        raise FloatingPointError(f"the validation loss is {validation}")
    bar.set_postfix_str(f"loss {train:.4g}, validation {validation:.4g}")
    history.add(train, validation, epoch.optimizers[0].learning_rate, start)


def read_losses(losses: Sequence[Array], owners: Sequence[str] | None = None) -> np.ndarray:
    """The losses of all batches as float64, read from the device at once, since each read waits.

    Raises:
        FloatingPointError: A loss is not finite; names the first, and its owner if there are ``owners``.
    """
    values = to_numpy(array_module(losses[0]).stack(losses)).astype(np.float64)
    if not np.isfinite(values).all():
        batch = int(np.flatnonzero(~np.isfinite(values))[0])
        whose = f" of {owners[batch]}" if owners else ""
        raise FloatingPointError(
            f"the training loss{whose} is {values[batch]} in batch {batch + 1}"
        )
    return values


def _diverged(name: str, error: FloatingPointError, epoch: Epoch, history: History) -> str:
    rates = ", ".join(f"{o.learning_rate:g}" for o in epoch.optimizers)
    kept = f"of epoch {history.best_epoch + 1}" if history.validation else "from before training"
    return (
        f"{name}: {error} of epoch {len(history.train) + 1} (learning rate {rates}); the weights "
        f"{kept} were restored. Look for inputs, targets and weights that are not finite; where there "
        "are none, a smaller learning rate is the usual cure."
    )
