"""The baseline (Fig. 4): a model of its own for every task, trained from a random start.

A separate denoising model cleans the images first (section 4.1.2), since the shared encoder has
learned to see through noise as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ums.backend import Device
from ums.data.examples import Examples, denormalise, in_order
from ums.finetuning.tasks import Task, Tuned, learn
from ums.layers import Layer
from ums.training import FitSettings, predict


def train_separately(
    denoiser: Layer,
    tasks: Sequence[Task],
    settings: FitSettings,
    device: Device,
    rng: np.random.Generator,
    progress: bool = True,
) -> dict[str, Tuned]:
    """Train each task's own network, ``task.head``, on images that ``denoiser`` has cleaned.

    Arguments as in :func:`ums.finetuning.independent.tune_independently`; the heads are whole
    networks from image to output here. A tuned network takes *denoised* images.
    """
    tuned = {}
    for task in tasks:
        train, validation = (
            denoise_examples(denoiser, part, device) for part in (task.train, task.validation)
        )
        learner = replace(task, train=train, validation=validation)
        tuned[task.name] = learn(learner, settings, device, rng, progress)
    return tuned


def denoise_examples(denoiser: Layer, examples: Examples, device: Device) -> Examples:
    """The same examples with denoised images for inputs."""
    images = denoise(denoiser, examples.inputs[examples.rows], device)
    return examples.with_inputs(images, examples.prepare)


def denoise(denoiser: Layer, images: np.ndarray, device: Device, size: int = 32) -> np.ndarray:
    """Images (N, H, W) in 0..255, uint8 or float, through the denoiser: (N, H, W) uint8."""
    denoised = np.empty(images.shape, np.uint8)
    for chosen in in_order(len(images), size):
        denoised[chosen] = np.rint(restore(denoiser, images[chosen], device))
    return denoised


def restore(denoiser: Layer, images: np.ndarray, device: Device) -> np.ndarray:
    """The same as :func:`denoise`, unrounded and all at once: float32 in 0..255."""
    y = predict(denoiser, Examples(images, None, np.arange(len(images))), device)
    return denormalise(y, images)
