"""The baseline (Fig. 4): a model of its own for every task, trained from a random start.

A separate denoising model cleans the images first (section 4.1.2), since the shared encoder has
learned to see through noise as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ums.backend import Device
from ums.checkpoint import Checkpoint
from ums.data.examples import DARK, Examples, all_of, denormalise, in_order
from ums.finetuning.tasks import Task, Tuned, learn
from ums.layers import Layer
from ums.training import FitSettings, predict


def train_separately(
    denoiser: Layer | None,
    tasks: Sequence[Task],
    settings: FitSettings,
    device: Device,
    rng: np.random.Generator,
    progress: bool = True,
    checkpoint: Checkpoint | None = None,
) -> dict[str, Tuned]:
    """Train each task's own network, ``task.head``, on images that ``denoiser`` has cleaned.

    Without a denoiser the images are taken as they are, cleaned before or not. Other arguments as in
    :func:`ums.finetuning.independent.tune_independently`; the heads are whole networks from image to
    output here. A tuned network takes *denoised* images.
    """
    tuned = {}
    for task in tasks:
        learner = task
        if denoiser is not None:
            sides = (denoise_examples(denoiser, e, device) for e in (task.train, task.validation))
            learner = replace(task, **dict(zip(("train", "validation"), sides, strict=True)))
        part = checkpoint and checkpoint.part(task.name)
        tuned[task.name] = learn(learner, settings, device, rng, progress, part)
    return tuned


def denoise_examples(denoiser: Layer, examples: Examples, device: Device) -> Examples:
    """The same examples with denoised images for inputs."""
    images = denoise(denoiser, examples.inputs[examples.rows], device)
    return examples.with_inputs(images, examples.prepare)


def denoise(
    denoiser: Layer, images: np.ndarray, device: Device, size: int = 32, dark: int = DARK
) -> np.ndarray:
    """Images (N, H, W) in 0..255, uint8 or float, through the denoiser: (N, H, W) uint8.

    ``dark`` is what the denoiser was trained with (:func:`ums.source.learn_denoising`).
    """
    denoised = np.empty(images.shape, np.uint8)
    for chosen in in_order(len(images), size):
        denoised[chosen] = np.rint(restore(denoiser, images[chosen], device, dark))
    return denoised


def restore(denoiser: Layer, images: np.ndarray, device: Device, dark: int = DARK) -> np.ndarray:
    """The same as :func:`denoise`, unrounded and all at once: float32 in 0..255."""
    return denormalise(predict(denoiser, all_of(images, dark), device), images, dark)
