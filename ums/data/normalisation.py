"""How images become a network's input, and its output images again (section 3.1.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BACKGROUND = 8
"""Grey levels up to this are background: borders, collimation, padding."""


@dataclass(frozen=True)
class Normalisation:
    """Images in 0..255 as a network's input, x = (image - mean) / (4 standard deviations).

    The mean normalisation of section 3.1.1, with each image's own mean and deviation, so that another
    exposure, contrast or border does not move the input as a whole. They are those of the foreground:
    borders differ between hospitals, and would move the mean of what the image shows.

    Attributes:
        background: the highest grey level of the background; with -1 every pixel is foreground.

    Raises:
        ValueError: ``background`` is not -1 to 254.
    """

    background: int = BACKGROUND

    def __post_init__(self) -> None:
        if not -1 <= self.background < 255:
            raise ValueError(
                f"background must be a grey level below 255, or -1, got {self.background}"
            )

    def __call__(self, images: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
        """Normalise images.

        Args:
            images: (N, H, W) or (N, H, W, C) in 0..255.
            like: images of the same shape whose statistics are used. A clean image becomes the target
                of its noisy version by the noisy one's statistics, the only ones known at inference.

        Returns:
            float32 (N, H, W, C), one channel for (N, H, W). All background pixels have one value, -1
            (lower where black itself is).

        Raises:
            ValueError: ``images`` or ``like`` has another shape.
        """
        if images.ndim not in (3, 4):
            raise ValueError(f"images must be (N, H, W) or (N, H, W, C), got {images.shape}")
        like = images if like is None else like
        if like.shape != images.shape:
            raise ValueError(f"like must have the images' shape {images.shape}, got {like.shape}")
        mean, deviation = self.statistics(like)
        x: np.ndarray = (np.asarray(images, np.float32) - mean) / (4 * deviation)
        x = np.where(images > self.background, x, np.minimum(-1, -mean / (4 * deviation)))
        return x if x.ndim == 4 else x[..., None]

    def invert(self, outputs: np.ndarray, images: np.ndarray) -> np.ndarray:
        """A network's outputs (N, H, W, 1) as images (N, H, W) in 0..255, by its inputs' statistics."""
        mean, deviation = self.statistics(images)
        return np.asarray(np.clip(outputs[..., 0] * (4 * deviation) + mean, 0, 255))

    def statistics(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of each image's foreground, in grey levels.

        Both are float32 (N, 1, ...), the deviation at least 1.
        """
        images = np.asarray(images, np.float32)
        axes = tuple(range(1, images.ndim))
        foreground = images > self.background
        count = np.maximum(foreground.sum(axis=axes, keepdims=True, dtype=np.float32), 1)
        mean = (images * foreground).sum(axis=axes, keepdims=True) / count
        variance = (np.square(images - mean) * foreground).sum(axis=axes, keepdims=True) / count
        return mean, np.maximum(np.sqrt(variance), 1)


STANDARD = Normalisation()
"""The normalisation with the standard background level."""


def normalise(
    images: np.ndarray, like: np.ndarray | None = None, background: int = BACKGROUND
) -> np.ndarray:
    """Images (N, H, W) or (N, H, W, C) as a network's input; see :class:`Normalisation`."""
    return Normalisation(background)(images, like)


def denormalise(
    outputs: np.ndarray, images: np.ndarray, background: int = BACKGROUND
) -> np.ndarray:
    """A network's outputs (N, H, W, 1) as images again; see :meth:`Normalisation.invert`."""
    return Normalisation(background).invert(outputs, images)
