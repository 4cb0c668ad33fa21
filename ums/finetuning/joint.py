"""Joint fine-tuning (section 2.3): one loss for everything, L = sum_i w_i L_i over the tasks.

One optimizer moves the shared parameters theta_S and all heads. A step takes one batch of every
task; their gradients on theta_S add up, dL/dtheta_S = sum_i w_i dL_i/dtheta_S, and where they point
in opposite directions the tasks work against each other: the cosines are kept in the history.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from ums.backend import Array, array_module, to_numpy
from ums.checkpoint import Stateful
from ums.finetuning.loop import Criterion, EndlessBatches, train_together
from ums.finetuning.tasks import Task, Tuned, check_tasks
from ums.finetuning.weighting import Equal, Weighting
from ums.layers import Layer, Sequential
from ums.ops.fast.threads import matmul
from ums.optimizers import Optimizer
from ums.training import Epoch, History, Training


def tune_jointly(
    encoder: Layer,
    tasks: Sequence[Task],
    training: Training,
    weights: Weighting | None = None,
    criterion: Criterion | None = None,
) -> dict[str, Tuned]:
    """Train ``encoder`` and all heads at once, with the optimizer that the tasks have in common.

    An epoch has as many steps as the task with the most examples has batches; the other tasks start
    again on their examples, in a new order each time. A batch norm of the encoder sees one task's
    batch after the other: it normalises by that batch alone, and its running statistics, which are
    used at inference, average over all tasks.

    Move the encoder and the heads, which take its output, to ``training.device`` first. The encoder
    is trained further (pass a copy to keep the source). The ``weights`` w_i are those of
    :mod:`ums.finetuning.weighting`, by default all 1. ``criterion`` chooses the epoch that is kept,
    as for :func:`ums.finetuning.loop.train_together`.

    Returns:
        task name -> the tuned network ``Sequential(encoder, head)``, its history (with the weights
        and cosines of each epoch) and cost. The losses are those of the task, without its weight.

    Raises:
        ValueError: The tasks cannot be tuned together or have different optimizers, or the weights are
            for another number of tasks.
        TrainingDiverged: A task's loss is not finite; all networks are restored.
    """
    settings = training.settings
    check_tasks(tasks, training, encoder)
    weighting = weights or Equal()
    weighting.start(len(tasks), training.device)
    make_optimizer = common_optimizer(tasks)
    encoder.freeze(False)
    learning = Sequential(encoder, *(task.head for task in tasks))  # never run: a set of parameters
    optimizer = make_optimizer(learning.trainable_parameters(), settings.learning_rate)
    batches = [EndlessBatches(task.train, training) for task in tasks]
    length = max(settings.length(task.train) for task in tasks)
    recorded = {task.name: History() for task in tasks}  # only weight and cosines are filled

    def steps() -> Iterator[tuple[int, Array]]:
        seen = []
        for _ in range(length):
            w = weighting.weights
            losses, gradients = add_gradients(encoder, tasks, map(next, batches), w)
            optimizer.step()
            norms, cosines = norms_and_cosines(gradients)
            weighting.update(losses, norms)
            seen.append((w, cosines))
            yield from enumerate(losses)
        add_means(recorded, *zip(*seen, strict=True))

    state: list[Stateful] = [*batches, weighting, *recorded.values()]
    epoch = Epoch(steps, length * len(tasks), [optimizer], state)
    tuned = train_together("joint tuning", encoder, tasks, epoch, training, criterion)
    for name, means in recorded.items():
        tuned[name].history.weight, tuned[name].history.cosines = means.weight, means.cosines
    return tuned


def add_gradients(
    encoder: Layer, tasks: Sequence[Task], batches: Iterable[tuple[Array, Array]], weights: Array
) -> tuple[Array, Array]:
    """Leave the gradient of L = sum_i w_i L_i in the parameters of the encoder and the heads.

    A layer keeps one forward pass, so the K tasks, with a batch each, run forward and backward one
    after the other. Returns the L_i (K,), without weights, and the summands w_i dL_i/dtheta_S,
    (K, size of theta_S).
    """
    shared = encoder.trainable_parameters()
    losses: list[Array] = []
    gradients: list[list[Array]] = []
    for task, (x, target), w in zip(tasks, batches, weights, strict=True):
        network = Sequential(encoder, task.head)
        network.zero_gradients()  # norms and cosines need each task's own gradient, not the sum
        loss, gradient = task.loss(network.forward(x, training=True), target)
        network.backward(w * gradient, input_gradient=False)
        losses.append(loss)
        gradients.append([parameter.grad for parameter in shared])
    for parameter, *summands in zip(shared, *gradients, strict=True):
        parameter.grad = sum(summands)
    xp = array_module(losses[0])
    rows = [xp.concatenate([g.ravel() for g in of_task]) for of_task in gradients]
    return xp.stack(losses), xp.stack(rows)


def norms_and_cosines(gradients: Array) -> tuple[Array, Array]:
    """Norms (K,) of gradients (K, size of theta_S), and their cosines (K, K); 0 where one is 0."""
    xp = array_module(gradients)
    norms = xp.sqrt((gradients * gradients).sum(axis=1))
    products = norms[:, None] * norms[None, :]
    return norms, matmul(gradients, gradients.T) / xp.maximum(products, np.finfo(np.float32).tiny)


def common_optimizer(tasks: Sequence[Task]) -> Callable[..., Optimizer]:
    """The optimizer of all tasks; a ValueError if theirs differ, as one minimises the joint loss."""
    first, *others = tasks
    for task in others:
        if task.optimizer != first.optimizer:
            names = f"those of {first.name} and {task.name} differ"
            raise ValueError(f"joint tuning has one optimizer for all tasks; {names}")
    return first.optimizer


def add_means(
    histories: dict[str, History], weights: Sequence[Array], cosines: Sequence[Array]
) -> None:
    """Add the means over an epoch's steps of the weights (K,) and the cosines (K, K)."""
    xp = array_module(cosines[0])
    w, c = (to_numpy(xp.stack(arrays).mean(axis=0)) for arrays in (weights, cosines))
    for i, history in enumerate(histories.values()):
        history.weight.append(float(w[i]))
        for j, other in enumerate(histories):
            if j != i:
                history.cosines.setdefault(other, []).append(float(c[i, j]))
