"""The noise that the source learns to remove (section 4.1.1, Table 2 of the UMS-Rep paper).

The symbols of the paper's five standard deviations and Poisson level are missing in print; these levels
are ours. Noisy images are clipped to 0..255, like any 8-bit image.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ums.data.checks import check_images


@dataclass(frozen=True)
class Noise:
    """Noise of kind ``"gaussian"`` or ``"poisson"``.

    The level is the standard deviation of Gaussian noise in grey levels (0..255), or the number of
    photons that a white pixel counts; fewer is noisier.
    """

    kind: str
    level: float

    def __post_init__(self) -> None:
        if self.kind not in ("gaussian", "poisson") or not 0 < self.level < np.inf:
            raise ValueError(f"noise must be gaussian or poisson with a level > 0, got {self!r}")

    def add(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Noisy float32 images in 0..255, the shape of ``images`` (uint8 or float, 0..255).

        Raises:
            ValueError: ``images`` is not uint8 or float in 0..255.
        """
        check_images(images)
        return self._added(images, rng)

    def _added(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        images = np.asarray(images, np.float32)
        if self.kind == "gaussian":
            noise = rng.standard_normal(images.shape, dtype=np.float32)
            return np.asarray(np.clip(images + np.float32(self.level) * noise, 0, 255))
        scale = np.float32(self.level / 255)
        counts = rng.poisson(images * scale).astype(np.float32)
        return np.asarray(np.clip(counts / scale, 0, 255))

    def __str__(self) -> str:
        if self.kind == "gaussian":
            return f"Gaussian (σ = {self.level:g})"
        return f"Poisson (peak {self.level:g})"


NOISES = (*(Noise("gaussian", level) for level in (10, 20, 30, 40, 50)), Noise("poisson", 40))
"""The rows of Table 2."""


def corrupt(
    images: np.ndarray, rng: np.random.Generator, noises: Sequence[Noise] = NOISES
) -> np.ndarray:
    """Add noise to every image (N, H, W), one of ``noises`` drawn for each; float32 in 0..255.

    Raises:
        ValueError: The images are not uint8 or float, in 0..255, or there is no noise to draw.
    """
    check_images(images)  # all together: one of them may be dark
    if not noises:
        raise ValueError("there is no noise to draw from")
    kinds = rng.integers(len(noises), size=len(images))
    noisy = np.empty(images.shape, np.float32)
    for k, noise in enumerate(noises):
        noisy[kinds == k] = noise._added(images[kinds == k], rng)
    return noisy
