"""Target tasks, and the results of tuning them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from ums.data.checks import check_labels, check_mask_values, check_numbers
from ums.data.examples import Dataset, Examples, in_order
from ums.layers import Layer, Parameter, Sequential
from ums.ops import bce, known_bce, mse
from ums.optimizers import Adam, Optimizer
from ums.training import History, Loss, Training


@dataclass(repr=False)
class Task:
    """A target task T_i (section 3.2.1): a head, a loss and data of its own.

    Tasks may have different images, and different numbers of them.

    Attributes:
        name: For tables and progress bars.
        head: Follows the shared encoder; for a separate model, the whole network.
        loss: ``value, gradient = loss(output, target)``. For labels (N,) the output is (N, classes)
            logits (categorical_cross_entropy); for masks of two values it is (N, H, W, 1), as is the
            target (bce_dice), and for masks of K values (N, H, W, K) (softmax_dice); for several labels
            (known_bce) and for numbers (known_mse) both are (N, K), with K = 1 for numbers (N,).
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
    inference and through the loss, which changes nothing. Other data sets are checked by the loss,
    batch by batch.

    Raises:
        ValueError: There are fewer training examples than a batch holds, or none to validate by;
            the head's output is not of the masks' size, has fewer classes than there are labels or
            values of a mask, or not as many outputs as there are numbers; a target is not a valid
            mask, label or number; or the loss does not take them. The message names the task.
    """
    batch = training.settings.batch
    if (n := len(task.train)) < batch:
        raise ValueError(f"{task.name}: {n} training examples cannot fill a batch of {batch}")
    if not len(task.validation):
        raise ValueError(f"{task.name}: there is no validation example")
    for part, examples in {"training": task.train, "validation": task.validation}.items():
        if isinstance(examples, Examples):
            name = f"{task.name}: {part}"
            if examples.targets is None:
                raise ValueError(f"{name} examples have no targets: {examples!r}")
            x = examples.prepare(examples.inputs[examples.rows[:1]])
            output = task.head.forward(training.device.put(x), keep=False)
            if examples.targets.ndim > 2:
                _check_masks(name, examples, task.head, x.shape[1:], output.shape[1:])
            else:
                _check_values(name, task.loss, examples, output.shape[1:])
            target = examples.for_loss(np.asarray(examples.targets[examples.rows[:1]]))
            try:
                task.loss(output, training.device.put(target))
            except (TypeError, ValueError) as error:
                raise ValueError(f"{name} targets do not suit the loss: {error}") from error


def _check_masks(
    name: str, examples: Examples, head: Layer, image: tuple[int, ...], output: tuple[int, ...]
) -> None:
    targets, rows = np.asanyarray(examples.targets), examples.rows
    if output[:-1] != targets.shape[1:]:
        size = f"{(*targets.shape[1:], 1)}, the size of the masks, or K channels for K classes"
        found = f"{output}{multiples(head, image)}"
        raise ValueError(f"{name} masks need a head with outputs {size}, got {found}")
    for chosen in in_order(len(rows), 256):
        masks = np.asarray(targets[rows[chosen]])
        check_mask_values(masks, f"{name} masks", max(2, output[-1]))


def _check_values(name: str, loss: Loss, examples: Examples, output: tuple[int, ...]) -> None:
    targets = np.asarray(examples.targets)[examples.rows]
    if targets.ndim == 1 and targets.dtype.kind != "f":
        if len(output) != 1 or output[0] < 2:
            found = f"{output}; numbers are floats"
            raise ValueError(f"{name} labels need a head with (classes,) outputs, got {found}")
        check_labels(targets, f"{name} labels", output[0])
        return
    if output != (wanted := targets.shape[1:] or (1,)):
        found = f"{output}; labels of classes are integers (N,)"
        raise ValueError(
            f"{name} numbers {targets.shape} need a head with {wanted} outputs, got {found}"
        )
    check_numbers(targets, f"{name} numbers", binary=loss in (bce, known_bce))
    if loss in (mse, bce) and np.isnan(targets).any():
        raise ValueError(f"{name} numbers are not all known: use the loss known_{loss.__name__}")


def check_size(network: Layer, image: tuple[int, ...], name: str) -> None:
    """Refuse a network whose output for an image (H, W, C) has another shape, which an image needs."""
    if (output := network.output_shape(image)) != image:
        advice = multiples(network, image)
        raise ValueError(f"{name}: images of {image} come out as {output}{advice}")


def multiples(network: Layer, image: tuple[int, ...]) -> str:
    """Say of what a side must be a multiple to come out of the network, if an image (H, W, C) has none."""
    for side in range(1, max(image[:2])):
        if network.output_shape((side, side, *image[2:]))[:2] == (side, side):
            found = f": their sides, {image[0]} and {image[1]}, must be multiples of {side}"
            return found if image[0] % side or image[1] % side else ""
    return ""
