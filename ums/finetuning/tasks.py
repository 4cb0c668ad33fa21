"""Target tasks, and what tuning them returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ums.data.examples import Dataset
from ums.layers import Layer, Parameter
from ums.optimizers import Adam, Optimizer
from ums.training import History, Loss


@dataclass(repr=False)
class Task:
    """A target task T_i (section 3.2.1): a head, a loss and data of its own.

    Tasks need share neither images nor their number; a strategy pairs them with one source.

    Attributes:
        name: for tables and progress bars.
        head: what follows the shared encoder; for a separate model, the whole network.
        loss: ``value, gradient = loss(output, target)``.
        train: the training set; its inputs are images, whatever the strategy makes of them.
        validation: the validation set, likewise.
        optimizer: makes the task's own optimizer, ``optimizer(parameters, learning_rate)``.
    """

    name: str
    head: Layer
    loss: Loss
    train: Dataset
    validation: Dataset
    optimizer: Callable[[Sequence[Parameter], float], Optimizer] = Adam

    def __repr__(self) -> str:
        return f"Task({self.name!r}, {len(self.train)} train, {len(self.validation)} validation)"


@dataclass
class Tuned:
    """A tuned task: the whole network from image to output, its history, and the cost.

    The costs of tasks can be added up. Tasks tuned together have equal parts of the seconds, and
    the encoder's parameters are counted apart.

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
