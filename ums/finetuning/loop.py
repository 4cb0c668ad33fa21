"""What the strategies share: training one task, training several together, and their batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from ums.backend import Array
from ums.checkpoint import Stopwatch
from ums.data.examples import Dataset, device_batch, epoch_batches
from ums.finetuning.tasks import Task, Tuned
from ums.layers import Layer, Sequential
from ums.networks import parameter_count
from ums.training import (
    Epoch,
    History,
    Training,
    epoch_steps,
    fit,
    mean_loss,
    read_losses,
)

Criterion = Callable[[Sequence[History]], float]
"""Judges an epoch by the histories of all tasks; the weights with the lowest value are kept."""


def train_task(task: Task, training: Training) -> Tuned:
    """Train what is not frozen of ``task.head`` on the task's inputs, with an optimizer of its own.

    The seconds are wall time, all of it. To continue exactly from a checkpoint, the examples (their
    noise, their augmentation) must draw from ``training.rng``.

    Raises:
        TrainingDiverged: a loss is not finite, as :func:`ums.training.fit` says.
        ValueError: there are fewer training examples than a batch holds.
    """
    watch = Stopwatch()
    network, loss, settings = task.head, task.loss, training.settings
    optimizer = task.optimizer(network.trainable_parameters(), settings.learning_rate)
    epoch = Epoch(
        lambda: epoch_steps(network, loss, optimizer, task.train, training),
        batch_count(task.train, settings.batch),
        [optimizer],
        [watch],
    )

    def validate() -> float:
        return mean_loss(network, loss, task.validation, settings.batch, training.device)

    history = fit(task.name, [network], epoch, validate, training)
    return Tuned(network, history, watch.seconds, parameter_count(network))


def train_together(
    name: str,
    encoder: Layer,
    tasks: Sequence[Task],
    epoch: Epoch,
    training: Training,
    criterion: Criterion | None = None,
) -> dict[str, Tuned]:
    """Train a shared encoder and several heads, with one decision when to stop and what to keep.

    There is one encoder, so the heads that fit it are those of the same epoch. By default
    :func:`relative_loss` decides; the joint weights, which may themselves change, do not affect it.

    Args:
        name: of the strategy, for the progress bar and error messages.
        encoder: learns with the heads.
        tasks: in the order in which the steps number them.
        epoch: its steps yield a task's number and that task's loss for every batch.
        training: the settings and all else, for all tasks alike.
        criterion: of the tasks' histories after an epoch; the weights of the lowest are kept.

    Returns:
        task name -> ``Sequential(encoder, head)``, the history of its losses, its part of the cost.

    Raises:
        TrainingDiverged: a loss is not finite; names its task. All networks are restored.
    """
    watch = Stopwatch()
    networks = [Sequential(encoder, task.head) for task in tasks]
    histories = [History() for _ in tasks]

    def steps() -> Iterator[Array]:
        owners, losses = [], []
        for i, loss in epoch.steps():
            owners.append(i)
            losses.append(loss)
            yield loss
        values = read_losses(losses, [tasks[i].name for i in owners])
        for i, history in enumerate(histories):
            history.train.append(float(values[np.equal(owners, i)].mean()))

    def validate() -> float:
        for task, network, history in zip(tasks, networks, histories, strict=True):
            size, device = training.settings.batch, training.device
            value = mean_loss(network, task.loss, task.validation, size, device)
            if not np.isfinite(value):
                raise FloatingPointError(f"the validation loss of {task.name} is {value}")
            history.validation.append(value)
        return (criterion or relative_loss)(histories)

    learning = [encoder, *(task.head for task in tasks)]
    recorded = replace(epoch, steps=steps, state=[watch, *histories, *epoch.state])
    common = fit(name, learning, recorded, validate, training)
    seconds, shared = watch.seconds / len(tasks), parameter_count(encoder)
    return {
        task.name: Tuned(
            network,
            _with_common(history, common, len(tasks)),
            seconds,
            parameter_count(task.head),
            shared,
        )
        for task, network, history in zip(tasks, networks, histories, strict=True)
    }


def _with_common(history: History, common: History, tasks: int) -> History:
    """A task's history with its share of what all tasks have in common."""
    return replace(
        history,
        learning_rate=list(common.learning_rate),
        seconds=[seconds / tasks for seconds in common.seconds],
        criterion=list(common.validation),
    )


def relative_loss(histories: Sequence[History]) -> float:
    """The mean over tasks of the last validation loss divided by the first.

    Losses of different kinds count alike, which their sum would not do.
    """
    least = 1e-6  # a first loss of 0 leaves nothing to gain
    return float(np.mean([h.validation[-1] / max(h.validation[0], least) for h in histories]))


def batch_count(examples: Dataset, size: int) -> int:
    """How many batches :func:`ums.data.epoch_batches` makes of the examples."""
    return -(-len(examples) // size)


class EndlessBatches:
    """An iterator over inputs and targets on the device: pass after pass, each in a new random order.

    Its state is the order of the present pass and how many of its batches were shown.
    """

    def __init__(self, examples: Dataset, training: Training):
        self.examples, self.training = examples, training
        self.order: list[np.ndarray] = []
        self.shown = 0

    def __iter__(self) -> EndlessBatches:
        return self

    def __next__(self) -> tuple[Array, Array]:
        size = self.training.settings.batch
        if self.shown == len(self.order):
            self.order = list(epoch_batches(len(self.examples), size, self.training.rng))
            self.shown = 0
        chosen = self.order[self.shown]
        self.shown += 1
        return device_batch(self.examples, chosen, self.training.device)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Order and position, for a checkpoint."""
        order = np.concatenate(self.order) if self.order else np.arange(0)
        return {"order": order, "shown": np.array(self.shown)}

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        """Continue from what :meth:`state_dict` returned."""
        order, self.shown = arrays["order"], int(arrays["shown"])
        count = batch_count(self.examples, self.training.settings.batch)
        self.order = np.array_split(order, count) if len(order) else []
