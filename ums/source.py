"""Stage 1: the source S, one representation per imaging modality (section 3.2.2).

Without labels, as for the chest X-ray, a denoising autoencoder is trained to restore clean images,
and later tasks share its encoder (section 4.1.1). With labels, as for Doppler echo, the source is an
ordinary classifier, trained like any task (:func:`ums.finetuning.train_task`).
"""

import numpy as np

from ums.data.checks import check_images, check_rows
from ums.data.noise import NOISES, corrupt
from ums.data.normalisation import STANDARD, Normalisation
from ums.finetuning.loop import train_task
from ums.finetuning.tasks import Task, Tuned, check_size
from ums.layers import Layer
from ums.ops import mse
from ums.optimizers import RMSprop
from ums.training import Training


class DenoisingExamples:
    """Noisy images with their clean versions for targets, in place of :class:`ums.data.Examples`.

    Args:
        images: (M, H, W) or (M, H, W, C) in 0..255, clean.
        rows: The rows of ``images`` to use, (N,) integers.
        rng: Draws the noise: its kind and strength for each image, and its pixels.
        fixed: Whether an image has the same noise in every epoch, as for validation.
        normalisation: Applied to both.

    Raises:
        ValueError: There is no image, or the images or rows are of another form.
    """

    def __init__(
        self,
        images: np.ndarray,
        rows: np.ndarray,
        rng: np.random.Generator,
        fixed: bool = False,
        normalisation: Normalisation = STANDARD,
    ):
        check_images(images, entire=True)
        check_rows(rows, len(images))
        self.images, self.rows, self.rng, self.normalisation = images, rows, rng, normalisation
        self.seeds = rng.integers(2**63, size=len(rows)) if fixed else None

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Noisy inputs and clean targets, float32 (n, H, W, C), normalised as the noisy ones."""
        clean = self.images[self.rows[chosen]]
        if self.seeds is None:
            noisy = corrupt(clean, self.rng, NOISES)
        else:
            own = (np.random.default_rng(seed) for seed in self.seeds[chosen])
            noisy = np.stack([corrupt(c[None], r)[0] for c, r in zip(clean, own, strict=True)])
        return self.normalisation.apply(noisy), self.normalisation.apply(clean, like=noisy)


def train_denoising(
    autoencoder: Layer, train: DenoisingExamples, validation: DenoisingExamples, training: Training
) -> Tuned:
    """Train a denoising autoencoder by the paper's recipe: MSE and RMSprop.

    The paper's batches of 16, learning rate of 1e-3 reduced on a plateau and early stopping (section
    4.1.1) are for ``training.settings`` to say. A rate of 3e-3 learns faster: with the plateau, on
    synthetic X-rays of 64 pixels, at width 0.5, by 0.6 dB in 600 steps (one seed). Adam was 2 dB lower
    there at its best rate; a cosine schedule 0.1 and 0.4 dB higher in 600 steps (two seeds),
    0.1 dB lower in 1,500.

    ``autoencoder.layers[0]`` is the encoder to share afterwards. The training set has new noise in
    every epoch, drawn from ``training.rng`` if an interrupted training is to continue exactly; the
    noise of the validation set is fixed.

    Raises:
        ValueError: The autoencoder's outputs have not the size of the images, or their channels.
    """
    for part in (train, validation):
        check_size(autoencoder, (*part.images.shape[1:], 1)[:3], "source: denoising")
    task = Task("source: denoising", autoencoder, mse, train, validation, RMSprop)
    return train_task(task, training)
