"""What a head is trained for, and what training it leaves behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ums.backend import Device
from ums.data.examples import Examples
from ums.layers import Layer, Parameter
from ums.networks import parameter_count
from ums.optimizers import Adam, Optimizer
from ums.training import FitSettings, History, Loss, epoch_steps, fit, mean_loss


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
    """A tuned task: the whole network from image to output, its history, and the cost."""

    network: Layer
    history: History
    seconds: float
    trainable: int


def learn(
    task: Task,
    settings: FitSettings,
    device: Device,
    rng: np.random.Generator,
    progress: bool = True,
) -> Tuned:
    """Train what is not frozen of ``task.head`` on the task's inputs, with an optimizer of its own.

    The seconds are wall time, all of it. Raises as :func:`ums.training.fit` and
    :func:`ums.data.epoch_batches` do.
    """
    start = time.perf_counter()
    network, loss, batch = task.head, task.loss, settings.batch
    optimizer = task.optimizer(network.trainable_parameters(), settings.learning_rate)
    history = fit(
        task.name,
        [network],
        [optimizer],
        lambda: epoch_steps(network, loss, optimizer, task.train, batch, device, rng),
        -(-len(task.train) // batch),
        lambda: mean_loss(network, loss, task.validation, batch, device),
        settings,
        progress,
    )
    return Tuned(network, history, time.perf_counter() - start, parameter_count(network))
