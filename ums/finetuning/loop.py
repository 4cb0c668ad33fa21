"""What the strategies share: training one task, training several together, and their batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from ums.backend import Array
from ums.checkpoint import Snapshot, Stopwatch, gather
from ums.data.examples import Dataset, device_batch, epoch_batches
from ums.finetuning.tasks import Task, Tuned, check_task
from ums.layers import Layer, Sequential, copy_arrays
from ums.networks import copy_network, parameter_count
from ums.training import Epoch, History, Training, fit, mean_loss, read_losses, train_step

Criterion = Callable[[Sequence[History]], float]
"""A function of the histories of all tasks; the epoch with the lowest value is kept."""


def train_task(task: Task, training: Training) -> Tuned:
    """Train ``task.head`` on the task's inputs; frozen layers stay as they are.

    To continue exactly from a checkpoint, the examples (their noise, their augmentation) must draw from
    ``training.rng``.

    Raises:
        TrainingDiverged: A loss is not finite; the network is restored.
        ValueError: :func:`ums.finetuning.tasks.check_task` refuses the task.
    """
    check_task(task, training)
    watch = Stopwatch()
    network, loss, settings = task.head, task.loss, training.settings
    optimizer = task.optimizer(network.trainable_parameters(), settings.learning_rate)
    batches, length = EndlessBatches(task.train, training), settings.length(task.train)

    def steps() -> Iterator[Array]:
        for x, target in islice(batches, length):
            yield train_step(network, loss, optimizer, x, target)

    epoch = Epoch(steps, length, [optimizer], [watch, batches])

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
    """Train a shared encoder and several heads, and stop all of them together.

    The heads that are kept are those of the same epoch, since they share one encoder. The epoch is
    chosen by ``criterion``, by default :func:`relative_loss`, which does not depend on the joint
    weights. Beside them, each task keeps a copy of its network as it was in the epoch of its own lowest
    validation loss. For every batch, ``epoch.run`` yields a task's number and its loss.

    Returns:
        task name -> ``Sequential(encoder, head)``, the history of its losses, its part of the cost, and
        its network of its own best epoch.

    Raises:
        TrainingDiverged: A loss is not finite; names its task. All networks are restored.
    """
    watch = Stopwatch()
    networks = [Sequential(encoder, task.head) for task in tasks]
    histories = [History() for _ in tasks]
    own_best = [Snapshot([network]) for network in networks]

    def run_and_record() -> Iterator[Array]:
        owners, losses = [], []
        for i, loss in epoch.run():
            owners.append(i)
            losses.append(loss)
            yield loss
        values = read_losses(losses, [tasks[i].name for i in owners])
        for i, history in enumerate(histories):
            history.train.append(float(values[np.equal(owners, i)].mean()))

    def validate() -> float:
        for task, network, history, best in zip(tasks, networks, histories, own_best, strict=True):
            history.validation.append(_validation_loss(task, network, training))
            if history.validation[-1] == min(history.validation):
                best.take()
        return (criterion or relative_loss)(histories)

    learning = [encoder, *(task.head for task in tasks)]
    recorded = replace(
        epoch, run=run_and_record, state=[watch, *histories, *own_best, *epoch.state]
    )
    common = fit(name, learning, recorded, validate, training)
    seconds, shared = watch.seconds / len(tasks), parameter_count(encoder)
    tuned = {}
    for task, network, history, best in zip(tasks, networks, histories, own_best, strict=True):
        history.learning_rate = list(common.learning_rate)
        history.criterion = list(common.validation)
        history.seconds = [wall / len(tasks) for wall in common.seconds]
        own = parameter_count(task.head)
        twin = copy_network(network)
        copy_arrays(best.kept, gather([twin]))
        tuned[task.name] = Tuned(network, history, seconds, own, shared, twin)
    return tuned


def _validation_loss(task: Task, network: Layer, training: Training) -> float:
    size, device = training.settings.batch, training.device
    value = mean_loss(network, task.loss, task.validation, size, device)
    if not np.isfinite(value):
        raise FloatingPointError(f"the validation loss of {task.name} is {value}")
    return value


def relative_loss(histories: Sequence[History]) -> float:
    """The mean over tasks of the last validation loss divided by the first: all tasks count alike."""
    least = 1e-6  # a first loss of 0 leaves nothing to gain
    return float(np.mean([h.validation[-1] / max(h.validation[0], least) for h in histories]))


class EndlessBatches:
    """An iterator over inputs and targets on the device: pass after pass, each in a new random order."""

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
        order = np.concatenate(self.order) if self.order else np.arange(0)
        return {"order": order, "shown": np.array(self.shown)}

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        order, self.shown = arrays["order"], int(arrays["shown"])
        count = -(-len(self.examples) // self.training.settings.batch)
        self.order = np.array_split(order, count) if len(order) else []
