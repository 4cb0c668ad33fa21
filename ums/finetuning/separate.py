"""The baseline (Fig. 4): a model of its own for every task, trained from a random start.

A separate denoising model cleans the images first (section 4.1.2), so that the baseline too profits
from the denoising training.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ums.backend import Device
from ums.data.checks import check_images
from ums.data.examples import Dataset, Examples, in_order
from ums.data.normalisation import STANDARD, Normalisation
from ums.finetuning.loop import train_task
from ums.finetuning.tasks import Task, Tuned, check_tasks
from ums.layers import Layer
from ums.training import Training, predict


def train_separately(
    tasks: Sequence[Task], training: Training, denoiser: Layer | None = None
) -> dict[str, Tuned]:
    """Train each task's own network on images that ``denoiser``, if given, has cleaned.

    The task's head is the whole network here, from image to output; with a denoiser it takes *denoised*
    images, so denoise at prediction too. The denoiser was trained with the examples' normalisation.

    Returns:
        task name -> the trained network, its history and cost.

    Raises:
        ValueError: :func:`ums.finetuning.tasks.check_tasks` refuses the tasks.
    """
    check_tasks(tasks, training)
    tuned = {}
    for task in tasks:
        learner = task
        if denoiser is not None:
            train, validation = (
                denoise_examples(denoiser, examples, training.device)
                for examples in (task.train, task.validation)
            )
            learner = replace(task, train=train, validation=validation)
        tuned[task.name] = train_task(learner, training.part(task.name))
    return tuned


def denoise_examples(denoiser: Layer, examples: Dataset, device: Device) -> Examples:
    """The same examples with denoised images for inputs, in their own normalisation.

    Raises:
        TypeError: The examples are not prepared by a :class:`ums.data.Normalisation`.
    """
    if not isinstance(examples, Examples) or not isinstance(examples.prepare, Normalisation):
        raise TypeError(f"denoising needs examples prepared by a Normalisation, got {examples!r}")
    images = denoise(denoiser, examples.inputs[examples.rows], device, examples.prepare)
    return examples.with_inputs(images, examples.prepare)


def denoise(
    denoiser: Layer,
    images: np.ndarray,
    device: Device,
    normalisation: Normalisation = STANDARD,
    size: int = 32,
) -> np.ndarray:
    """Denoise images (N, H, W) or (N, H, W, C) in 0..255, ``size`` at a time, and round them to uint8.

    The normalisation is that of the denoiser's training (:func:`ums.source.train_denoising`).

    Raises:
        ValueError: The images are not grey levels in 0..255, or the outputs differ from them in size.
    """
    check_images(images)
    denoised = np.empty(images.shape, np.uint8)
    for chosen in in_order(len(images), size):
        exact = denoise_exactly(denoiser, images[chosen], device, normalisation)
        denoised[chosen] = np.rint(exact)
    return denoised


def denoise_exactly(
    denoiser: Layer, images: np.ndarray, device: Device, normalisation: Normalisation = STANDARD
) -> np.ndarray:
    """The same as :func:`denoise` without rounding or checks of grey levels: float32 in 0..255."""
    inputs = Examples(images, None, np.arange(len(images)), normalisation.apply)
    outputs = predict(denoiser, inputs, device)
    return normalisation.restore(outputs, images)
