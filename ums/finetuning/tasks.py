"""Target tasks, and the results of tuning them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

from ums.data.examples import Dataset
from ums.layers import Layer, Parameter
from ums.optimizers import Adam, Optimizer
from ums.training import History, Loss


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
    are the same for every task; count them once, or not at all where the source is counted too.
    """

    network: Layer
    history: History
    seconds: float
    trainable: int
    shared: int = 0


def check_tasks(tasks: Sequence[Task], batch: int) -> None:
    """Refuse tasks that cannot be tuned, or not together.

    Raises:
        ValueError: There is no task, two share a name or a head, or one has less than a batch.
    """
    if not tasks:
        raise ValueError("there is no task to tune")
    for first, second in combinations(tasks, 2):
        if first.name == second.name:
            raise ValueError(f"two tasks are called {first.name!r}")
        if first.head is second.head:
            raise ValueError(f"{first.name} and {second.name} have one head")
    for task in tasks:
        if (n := len(task.train)) < batch:
            raise ValueError(f"{task.name}: {n} training examples cannot fill a batch of {batch}")
