"""Two or three tiny tasks whose gradients conflict, and what a step of plain descent makes of them."""

from typing import ClassVar

import numpy as np

from ums.data import Examples
from ums.finetuning import Task
from ums.layers import BatchNorm, Conv2D, Dense, GlobalAveragePool, ReLU, Sequential
from ums.networks import copy_network
from ums.ops import categorical_cross_entropy
from ums.optimizers import SGD

NAMES = "first", "second", "third", "fourth"


class Counting(Examples):
    """Examples that note which of them were asked for."""

    asked: ClassVar = {}

    def batch(self, chosen):
        Counting.asked.setdefault(id(self), []).extend(np.asarray(chosen).tolist())
        return super().batch(chosen)


class Spy(SGD):
    """Gradient descent that notes every optimizer that is made."""

    made: ClassVar = []

    def __init__(self, parameters, learning_rate):
        super().__init__(parameters, learning_rate)
        Spy.made.append(self)


def tiny(sizes, conflict=True, seed=0):
    """An encoder and tasks with so many examples; the first two want the opposite, if in conflict,
    and the labels of a third and a fourth are drawn by lot.
    """
    rng = np.random.default_rng(seed)
    encoder = Sequential(Conv2D(1, 4, rng, stride=2), BatchNorm(4), ReLU())
    images = rng.integers(0, 256, (24, 8, 8), dtype=np.uint8)
    images[::2, :, :4] //= 4  # what the labels say can be seen
    labels = np.arange(24) % 2
    heads = [Sequential(GlobalAveragePool(), Dense(4, 2, rng)) for _ in sizes]
    if len(sizes) > 1:
        heads[1] = copy_network(heads[0])
    tasks = []
    for i, (n, head) in enumerate(zip(sizes, heads, strict=True)):
        targets = rng.permutation(labels) if i > 1 else labels
        if i == 1 and conflict:
            targets = 1 - labels
        train = Counting(images, targets, np.arange(n))
        validation = Examples(images, targets, np.arange(12, 20))
        loss = categorical_cross_entropy
        tasks.append(Task(NAMES[i], head, loss, train, validation, optimizer=Spy))
    return encoder, tasks


def own_gradients(encoder, tasks, batches):
    """Each task's loss, its row on the encoder and its head's gradients, from copies."""
    losses, rows, heads = [], [], []
    for task, (x, target) in zip(tasks, batches, strict=True):
        twin = copy_network(Sequential(encoder, task.head))
        loss, dy = task.loss(twin.forward(x, training=True), target)
        twin.backward(dy)
        losses.append(float(loss))
        rows.append(np.concatenate([p.grad.ravel() for p in twin.layers[0].parameters()]))
        heads.append([p.grad for p in twin.layers[1].parameters()])
    return losses, np.array(rows), heads


def two_projected(g):
    """The sum of two gradients (2, P) without their conflict, in closed form."""
    product, squares = float(g[0] @ g[1]), (g * g).sum(axis=1)
    return g.sum(axis=0) if product >= 0 else ((1 - product / squares)[:, None] * g).sum(axis=0)


def arrays(network):
    return {name: array.copy() for name, array in network.state_dict().items()}


def three_steps(n, rate):
    """Three steps of plain descent on all n examples of two tasks, without their conflict.

    Returns the arrays of encoder and heads after the step with the lowest validation loss, relative
    to the first, and the training and validation losses (3, 2).
    """
    encoder, tasks = tiny((n, n))
    states, train, validation = [], [], []
    for _ in range(3):
        batches = [task.train.batch(np.arange(n)) for task in tasks]
        before, rows, heads = own_gradients(encoder, tasks, batches)
        train.append(before)
        for x, _ in batches:
            encoder.forward(x, training=True)
        _descend(encoder, tasks, rate, two_projected(rows), heads)
        states.append(arrays(Sequential(encoder, *[task.head for task in tasks])))
        validation.append([_validation_loss(encoder, task) for task in tasks])
    validation = np.array(validation)
    best = int(np.argmin((validation / validation[0]).mean(axis=1)))
    return states[best], np.array(train), validation


def _descend(encoder, tasks, rate, total, heads):
    start, rate = 0, np.float32(rate)
    for parameter in encoder.parameters():
        size = parameter.value.size
        step = total[start : start + size].reshape(parameter.value.shape)
        parameter.value -= rate * step.astype(np.float32)
        start += size
    for task, gradients in zip(tasks, heads, strict=True):
        for parameter, gradient in zip(task.head.parameters(), gradients, strict=True):
            parameter.value -= rate * gradient


def _validation_loss(encoder, task):
    x, target = task.validation.batch(np.arange(len(task.validation)))
    output = Sequential(encoder, task.head).forward(x, keep=False)
    return float(task.loss(output, target)[0])
