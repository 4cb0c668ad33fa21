"""Independent fine-tuning (section 2.3): the source is frozen, every head learns by itself.

The shared parameters do not move, so an image's features do not change: they are computed once, and
the head is trained on them.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ums.backend import Device
from ums.data.examples import Examples
from ums.finetuning.loop import train_task
from ums.finetuning.tasks import Task, Tuned, check_tasks
from ums.layers import Layer, Sequential
from ums.training import Training, predict

FEATURE_BYTES = 1 << 30
"""Features of a task that would take more memory are computed again for every batch instead."""


def tune_independently(
    encoder: Layer, tasks: Sequence[Task], training: Training
) -> dict[str, Tuned]:
    """Freeze ``encoder`` and train each task's head with its own loss and optimizer.

    The encoder is the trained source, shared and not copied; it stays frozen afterwards. Move it and
    the heads, which take its output, to ``training.device`` first.

    Returns:
        task name -> the tuned network ``Sequential(encoder, head)``, its history and cost.

    Raises:
        ValueError: :func:`ums.finetuning.tasks.check_tasks` refuses the tasks.
    """
    check_tasks(tasks, training, encoder)
    encoder.freeze()
    tuned = {}
    for task in tasks:
        start = time.perf_counter()
        network = Sequential(encoder, task.head)
        learner = on_features(encoder, task, training.device) or replace(task, head=network)
        preparing = time.perf_counter() - start
        result = train_task(learner, training.part(task.name))
        seconds = preparing + result.seconds
        tuned[task.name] = replace(result, network=network, seconds=seconds)
    return tuned


def on_features(encoder: Layer, task: Task, device: Device) -> Task | None:
    """The task with the encoder's features for inputs, or None if they cannot be computed once.

    They cannot if they change from epoch to epoch, or would take more than :data:`FEATURE_BYTES`.
    """
    train, validation = task.train, task.validation
    if not (isinstance(train, Examples) and isinstance(validation, Examples)):
        return None
    if train.augment is not None:  # an augmented image is different each time
        return None
    if feature_bytes(encoder, train) + feature_bytes(encoder, validation) > FEATURE_BYTES:
        return None
    train, validation = (features(encoder, part, device) for part in (train, validation))
    return replace(task, train=train, validation=validation)


def features(encoder: Layer, examples: Examples, device: Device) -> Examples:
    """The same examples with the encoder's output (N, h, w, C) float32 for inputs."""
    return examples.with_inputs(predict(encoder, examples, device), prepare=np.asarray)


def feature_bytes(encoder: Layer, examples: Examples) -> int:
    """The memory that the float32 features of all examples take."""
    x, _ = examples.batch(np.arange(1))
    return len(examples) * int(np.prod(encoder.output_shape(x.shape[1:]))) * 4
