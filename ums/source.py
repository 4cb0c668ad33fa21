"""Stage 1: the source S, one representation per imaging modality (section 3.2.2).

Without labels, as for the chest X-ray: a denoising autoencoder is trained to restore clean images,
and its encoder is what later tasks share (section 4.1.1). With labels, as for Doppler echo, the
source is an ordinary classifier and needs nothing of its own (:func:`ums.finetuning.learn`).
"""

from __future__ import annotations

import numpy as np

from ums.backend import Device
from ums.checkpoint import Checkpoint
from ums.data.examples import DARK, normalise
from ums.data.noise import NOISES, corrupt
from ums.finetuning.tasks import Task, Tuned, learn
from ums.layers import Sequential
from ums.ops import mse
from ums.optimizers import RMSprop
from ums.training import FitSettings


class DenoisingExamples:
    """Noisy images with their clean versions for targets, in place of :class:`ums.data.Examples`.

    Args:
        images: (M, H, W) in 0..255, clean as they come.
        rows: which of them, (N,) integers.
        rng: draws the noise: its kind and strength for each image, and its pixels.
        fixed: give an image the same noise whenever it is asked for (for validation); otherwise the
            noise is new every time, so that no epoch repeats another.
        dark: grey level up to which a pixel is off the film (:func:`ums.data.normalise`).
    """

    def __init__(
        self,
        images: np.ndarray,
        rows: np.ndarray,
        rng: np.random.Generator,
        fixed: bool = False,
        dark: int = DARK,
    ):
        if len(rows) == 0:
            raise ValueError("there is no image to learn denoising from")
        self.images, self.rows, self.rng, self.dark = images, rows, rng, dark
        self.seeds = rng.integers(2**63, size=len(rows)) if fixed else None

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Noisy inputs and clean targets, both float32 (n, H, W, 1), by the noisy statistics."""
        clean = self.images[self.rows[chosen]]
        if self.seeds is None:
            noisy = corrupt(clean, self.rng, NOISES)
        else:
            own = (np.random.default_rng(seed) for seed in self.seeds[chosen])
            noisy = np.stack([corrupt(c[None], r)[0] for c, r in zip(clean, own, strict=True)])
        return normalise(noisy, dark=self.dark), normalise(clean, noisy, self.dark)


def learn_denoising(
    autoencoder: Sequential,
    images: np.ndarray,
    train: np.ndarray,
    validation: np.ndarray,
    settings: FitSettings,
    device: Device,
    rng: np.random.Generator,
    progress: bool = True,
    checkpoint: Checkpoint | None = None,
    dark: int = DARK,
) -> Tuned:
    """Train a denoising autoencoder by the paper's recipe: MSE, RMSprop, plateau, early stopping.

    Args:
        autoencoder: on ``device``; ``autoencoder.layers[0]`` is the encoder to share afterwards.
        images: (M, H, W) uint8.
        train: rows to learn from.
        validation: rows that decide when to stop.
        settings: epochs, batch, rate, patience.
        device: where to compute.
        rng: draws noise and order.
        progress: show a progress bar.
        checkpoint: saved to, and gone on from, as by :func:`ums.training.fit`.
        dark: as for :class:`DenoisingExamples`.
    """
    task = Task(
        "source: denoising",
        autoencoder,
        mse,
        DenoisingExamples(images, train, rng, dark=dark),
        DenoisingExamples(images, validation, rng, fixed=True, dark=dark),
        RMSprop,
    )
    return learn(task, settings, device, rng, progress, checkpoint)
