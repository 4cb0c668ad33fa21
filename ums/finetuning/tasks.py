"""Target tasks, and the results of tuning them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from ums.data.checks import check_binary, check_labels
from ums.data.examples import Dataset, Examples, in_order
from ums.layers import Layer, Parameter, Sequential
from ums.optimizers import Adam, Optimizer
from ums.training import History, Loss, Training


@dataclass(repr=False)
class Task:
    """A target task T_i (section 3.2.1): a head, a loss and data of its own.

    Tasks may have different images, and different numbers of them.

    Attributes:
        name: For tables and progress bars.
        head: Follows the shared encoder; for a separate model, the whole network.
        loss: ``value, gradient = loss(output, target)``, where output and target are (N, H, W, 1) for
            segmentation, or logits (N, classes) and labels (N,).
        train: The training set; its inputs are images, whichever strategy is used.
        validation: The validation set, likewise.
        optimizer: Makes the task's own optimizer, ``optimizer(parameters, learning_rate)``.
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

    Costs can be added over tasks: those tuned together have equal parts of the wall ``seconds``, and
    ``trainable`` counts the task's own trained parameters. The encoder's trained parameters, ``shared``,
    are the same for every task; count them once, or not at all where the source is counted too. Of
    tasks tuned together, ``own_best`` is the network, with an encoder of its own, of the epoch with the
    task's own lowest validation loss; it is None for a task tuned alone, whose network is that already.
    """

    network: Layer
    history: History
    seconds: float
    trainable: int
    shared: int = 0
    own_best: Layer | None = None


def check_tasks(tasks: Sequence[Task], training: Training, encoder: Layer | None = None) -> None:
    """Refuse tasks that cannot be tuned, or not together, on the ``encoder`` or without one.

    Raises:
        ValueError: There is no task, two share a name or a head, or :func:`check_task` refuses one.
    """
    if not tasks:
        raise ValueError("there is no task to tune")
    for first, second in combinations(tasks, 2):
        if first.name == second.name:
            raise ValueError(f"two tasks are called {first.name!r}")
        if first.head is second.head:
            raise ValueError(f"{first.name} and {second.name} have one head")
    for task in tasks:
        network = task.head if encoder is None else Sequential(encoder, task.head)
        check_task(replace(task, head=network), training)


def check_task(task: Task, training: Training) -> None:
    """Refuse a task whose head, from image to output, does not fit its examples.

    Of :class:`ums.data.Examples` all targets are checked, and one image goes through the network at
    inference, which changes nothing. Other data sets are checked by the loss, batch by batch.

    Raises:
        ValueError: There are fewer training examples than a batch holds, or none to validate by;
            the head's output is not of the masks' size, or has fewer classes than there are labels;
            or a target is not a valid mask or label. The message names the task.
    """
    batch = training.settings.batch
    if (n := len(task.train)) < batch:
        raise ValueError(f"{task.name}: {n} training examples cannot fill a batch of {batch}")
    if not len(task.validation):
        raise ValueError(f"{task.name}: there is no validation example")
    for part, examples in {"training": task.train, "validation": task.validation}.items():
        if isinstance(examples, Examples):
            x = training.device.put(examples.prepare(examples.inputs[examples.rows[:1]]))
            output = task.head.forward(x, keep=False).shape[1:]
            _check_targets(f"{task.name}: {part}", examples, output)


def _check_targets(name: str, examples: Examples, output: tuple[int, ...]) -> None:
    targets, rows = examples.targets, examples.rows
    if targets is None:
        raise ValueError(f"{name} examples have no targets: {examples!r}")
    if targets.ndim == 1:
        if len(output) != 1 or output[0] < 2:
            raise ValueError(f"{name} labels need a head with (classes,) outputs, got {output}")
        check_labels(np.asarray(targets[rows]), f"{name} labels", output[0])
        return
    if output != (*targets.shape[1:], 1):
        size = f"{(*targets.shape[1:], 1)}, the size of the masks"
        raise ValueError(f"{name} masks need a head with outputs {size}, got {output}")
    for chosen in in_order(len(rows), 256):
        check_binary(np.asarray(targets[rows[chosen]]), f"{name} masks")
