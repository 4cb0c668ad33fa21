"""How images become a network's input, and its output images again (section 3.1.1)."""

from dataclasses import dataclass

import numpy as np

from ums.data.checks import BLACK, check_images

BACKGROUND = BLACK
"""Grey levels up to this are background: borders, collimation, padding."""


@dataclass(frozen=True)
class Normalisation:
    """Images in 0..255 as a network's input, x = (image - mean) / (4 standard deviations).

    This is the mean normalisation of section 3.1.1, with each image's own mean and deviation, so that
    another exposure, contrast or border does not shift the input as a whole. Mean normalisation
    divides by the range; 4 deviations are about that, and no single pixel decides them. Mean and
    deviation are those of the foreground, since borders differ between hospitals. ``background`` is
    the highest grey level of the background, at most 254; with -1 every pixel is foreground.
    """

    background: int = BACKGROUND

    def __post_init__(self) -> None:
        if not -1 <= self.background < 255:
            raise ValueError(
                f"background must be a grey level below 255, or -1, got {self.background}"
            )

    def __call__(self, images: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
        """Normalise images (N, H, W) or (N, H, W, C) to float32 (N, H, W, C), with C = 1 for (N, H, W).

        The statistics are those of ``like``, if given: a clean target is normalised by the statistics
        of its noisy input, the only ones known at inference. All background pixels get one value, -1,
        or that of black where it is lower.

        Raises:
            ValueError: ``images`` or ``like`` has another shape, or values outside 0..255.
        """
        check_images(images)
        if like is None:
            like = images
        else:
            check_images(like, "like")
        if like.shape != images.shape:
            raise ValueError(f"like must have the images' shape {images.shape}, got {like.shape}")
        return self.apply(images, like)

    def apply(self, images: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
        """The same without checks: noise makes fractions of the grey levels of a dark image."""
        mean, deviation = self.statistics(images if like is None else like)
        x: np.ndarray = (np.asarray(images, np.float32) - mean) / (4 * deviation)
        x = np.where(images > self.background, x, np.minimum(-1, -mean / (4 * deviation)))
        return x if x.ndim == 4 else x[..., None]

    def invert(self, outputs: np.ndarray, images: np.ndarray) -> np.ndarray:
        """A network's outputs as images in 0..255, by its inputs' statistics.

        Images (N, H, W) need outputs (N, H, W, 1), images (N, H, W, C) outputs of their shape.

        Raises:
            ValueError: The shapes do not fit, or the images have values outside 0..255.
        """
        check_images(images)
        return self.restore(outputs, images)

    def restore(self, outputs: np.ndarray, images: np.ndarray) -> np.ndarray:
        """:meth:`invert` without checks of the grey levels, as :meth:`apply`."""
        wanted = images.shape if images.ndim == 4 else (*images.shape, 1)
        if outputs.shape != wanted:
            raise ValueError(f"outputs must be {wanted}, got {outputs.shape}")
        mean, deviation = self.statistics(images)
        return np.asarray(np.clip(outputs.reshape(images.shape) * (4 * deviation) + mean, 0, 255))

    def statistics(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation (at least 1) of each image's foreground: float32 (N, 1, ...)."""
        images = np.asarray(images, np.float32)
        axes = tuple(range(1, images.ndim))
        foreground = images > self.background

        def total(values: np.ndarray) -> np.ndarray:  # float32 sums drift in some memory orders
            return np.asarray(values.sum(axis=axes, keepdims=True, dtype=np.float64))

        count = np.maximum(total(foreground), 1)
        mean = (total(images * foreground) / count).astype(np.float32)
        variance = total(np.square(images - mean) * foreground) / count
        return mean, np.maximum(np.sqrt(variance), 1).astype(np.float32)


STANDARD = Normalisation()
"""The normalisation of all images, unless another is given."""


def normalise(
    images: np.ndarray, like: np.ndarray | None = None, background: int = BACKGROUND
) -> np.ndarray:
    """Images (N, H, W) or (N, H, W, C) as a network's input; see :class:`Normalisation`."""
    return Normalisation(background)(images, like)


def denormalise(
    outputs: np.ndarray, images: np.ndarray, background: int = BACKGROUND
) -> np.ndarray:
    """A network's outputs (N, H, W, 1) or (N, H, W, C) as images; see :meth:`Normalisation.invert`."""
    return Normalisation(background).invert(outputs, images)
