"""What a head is trained for, what training it leaves behind, and what the strategies share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ums.backend import Array, Device
from ums.checkpoint import Checkpoint, Stateful, Stopwatch
from ums.data.examples import Examples, epoch_batches
from ums.layers import Layer, Parameter, Sequential
from ums.networks import parameter_count
from ums.optimizers import Adam, Optimizer
from ums.training import (
    FitSettings,
    History,
    Loss,
    epoch_steps,
    fit,
    mean_loss,
    read_losses,
)


@dataclass
class Task:
    """A target task T_i (section 3.2.1): its head, its loss and its own data.

    Tasks need share neither images nor their number; a strategy pairs them with one source.

    Attributes:
        name: for tables and progress bars.
        head: what follows the shared encoder; for a separate model, the whole network.
        loss: ``value, gradient = loss(output, target)``.
        train, validation: inputs are images, whatever the strategy makes of them.
        optimizer: makes the task's own optimizer, ``optimizer(parameters, learning_rate)``.
    """

    name: str
    head: Layer
    loss: Loss
    train: Examples
    validation: Examples
    optimizer: Callable[[Sequence[Parameter], float], Optimizer] = Adam


@dataclass
class Tuned:
    """A tuned task: the whole network from image to output, its history, and the cost.

    The costs of tasks can be added up. Tuned together, each has an equal part of the seconds, and
    the encoder's parameters stand apart.

    Attributes:
        network: from image to output.
        history: of this task's own losses.
        seconds: wall time, or this task's part of it.
        trainable: the task's own parameters that learned.
        shared: the encoder's parameters that learned with them, the same ones for every task; count
            them once, or not at all where the source is counted too.
    """

    network: Layer
    history: History
    seconds: float
    trainable: int
    shared: int = 0


def learn(
    task: Task,
    settings: FitSettings,
    device: Device,
    rng: np.random.Generator,
    progress: bool = True,
    checkpoint: Checkpoint | None = None,
) -> Tuned:
    """Train what is not frozen of ``task.head`` on the task's inputs, with an optimizer of its own.

    The seconds are wall time, all of it. With a checkpoint, a training that was stopped goes on from
    there; the examples (their noise, their augmentation) must draw from ``rng`` then. Raises as
    :func:`ums.training.fit` and :func:`ums.data.epoch_batches` do.
    """
    watch = Stopwatch()
    network, loss, batch = task.head, task.loss, settings.batch
    optimizer = task.optimizer(network.trainable_parameters(), settings.learning_rate)
    history = fit(
        task.name,
        [network],
        [optimizer],
        lambda: epoch_steps(network, loss, optimizer, task.train, batch, device, rng),
        batch_count(task.train, batch),
        lambda: mean_loss(network, loss, task.validation, batch, device),
        settings,
        progress,
        rng=rng,
        others=[watch],
        checkpoint=checkpoint,
    )
    return Tuned(network, history, watch.seconds, parameter_count(network))


def learn_together(
    name: str,
    encoder: Sequential,
    tasks: Sequence[Task],
    optimizers: Sequence[Optimizer],
    steps: Callable[[], Iterable[tuple[int, Array]]],
    steps_per_epoch: int,
    settings: FitSettings,
    device: Device,
    progress: bool = True,
    rng: np.random.Generator | None = None,
    others: Sequence[Stateful] = (),
    checkpoint: Checkpoint | None = None,
    criterion: Callable[[Sequence[History]], float] | None = None,
) -> dict[str, Tuned]:
    """Train a shared encoder and several heads, with one decision when to stop and what to keep.

    The encoder is one, so the heads that fit it are those of the same epoch. What decides is, unless
    said otherwise, :func:`relative_loss`: the joint weights, which may themselves change, have no say
    in it.

    Args:
        name: of the strategy, for the progress bar and error messages.
        encoder: learns with the heads.
        tasks: in the order that ``steps`` numbers them.
        optimizers: those that ``steps`` uses.
        steps: one epoch, yielding a task's number and its loss for every batch.
        steps_per_epoch: how many those are.
        settings: for all alike.
        device: where to compute.
        progress: show a progress bar.
        rng: what ``steps`` draws from.
        others: what else ``steps`` changes.
        checkpoint: saved to, and gone on from, as by :func:`ums.training.fit`.
        criterion: of the tasks' histories after an epoch; the lowest is kept.

    Returns:
        task name -> ``Sequential(encoder, head)``, the history of its losses, its part of the cost.

    Raises:
        TrainingDiverged: a loss is not finite; names its task. All networks are put back.
    """
    watch = Stopwatch()
    heads = [task.head for task in tasks]
    networks = [Sequential(encoder, head) for head in heads]
    histories = [History() for _ in tasks]

    def recorded_steps():
        owners, losses = [], []
        for i, loss in steps():
            owners.append(i)
            losses.append(loss)
            yield loss
        values = read_losses(losses, [tasks[i].name for i in owners])
        for i, history in enumerate(histories):
            history.train.append(float(values[np.equal(owners, i)].mean()))

    def validate():
        for task, network, history in zip(tasks, networks, histories, strict=True):
            value = mean_loss(network, task.loss, task.validation, settings.batch, device)
            if not np.isfinite(value):
                raise FloatingPointError(f"the validation loss of {task.name} is {value}")
            history.validation.append(value)
        return (criterion or relative_loss)(histories)

    common = fit(
        name,
        [encoder, *heads],
        optimizers,
        recorded_steps,
        steps_per_epoch,
        validate,
        settings,
        progress,
        rng=rng,
        others=[watch, *histories, *others],
        checkpoint=checkpoint,
    )
    for history in histories:
        history.learning_rate = list(common.learning_rate)
        history.seconds = [seconds / len(tasks) for seconds in common.seconds]
        history.criterion = list(common.validation)
    seconds, shared = watch.seconds / len(tasks), parameter_count(encoder)
    return {
        task.name: Tuned(network, history, seconds, parameter_count(head), shared)
        for task, network, history, head in zip(tasks, networks, histories, heads, strict=True)
    }


def relative_loss(histories: Sequence[History]) -> float:
    """The mean over tasks of the last validation loss divided by the first.

    Losses of different kinds count alike, which their sum would not do.
    """
    least = 1e-6  # a first loss of 0 leaves nothing to gain
    return float(np.mean([h.validation[-1] / max(h.validation[0], least) for h in histories]))


def check_tasks(tasks: Sequence[Task], batch: int) -> None:
    """Refuse tasks that cannot be tuned together.

    Raises:
        ValueError: there is none, two share a name or a head, or one has less than a batch.
    """
    if not tasks:
        raise ValueError("there is no task to tune")
    for i, task in enumerate(tasks):
        if task.name in [other.name for other in tasks[:i]]:
            raise ValueError(f"two tasks are called {task.name!r}")
        for other in tasks[:i]:
            if task.head is other.head:
                raise ValueError(f"{other.name} and {task.name} have one head")
        if len(task.train) < batch:
            n = len(task.train)
            raise ValueError(f"{task.name}: {n} training examples cannot fill a batch of {batch}")


def batch_count(examples: Examples, size: int) -> int:
    """How many batches :func:`ums.data.epoch_batches` makes of the examples."""
    return -(-len(examples) // size)


class EndlessBatches:
    """An iterator over inputs and targets on ``device``: pass after pass, each in a new random order.

    Its state is the order of the present pass and how many of its batches were shown.
    """

    def __init__(self, examples: Examples, size: int, device: Device, rng: np.random.Generator):
        self.examples, self.size, self.device, self.rng = examples, size, device, rng
        self.order, self.shown = [], 0

    def __iter__(self) -> EndlessBatches:
        return self

    def __next__(self) -> tuple[Array, Array]:
        if self.shown == len(self.order):
            self.order = list(epoch_batches(len(self.examples), self.size, self.rng))
            self.shown = 0
        x, target = self.examples.batch(self.order[self.shown])
        self.shown += 1
        return self.device.put(x), self.device.put(target)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Order and position, for a checkpoint."""
        order = np.concatenate(self.order) if self.order else np.arange(0)
        return {"order": order, "shown": np.array(self.shown)}

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        order, self.shown = arrays["order"], int(arrays["shown"])
        count = batch_count(self.examples, self.size)
        self.order = np.array_split(order, count) if len(order) else []
