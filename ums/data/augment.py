"""Augmentation: small random rotations, shifts, scales and exposures of training images.

The paper has none. Hospitals differ in how patients stand and how X-rays are exposed; a network
trained with such changes depends on them less.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from ums.data.checks import check_images, check_masks


@dataclass(frozen=True, eq=False)
class Augmentation:
    """Random changes of images and, with them, of their masks; labels stay.

    Pixels from outside the image are black. Images are not mirrored: the heart is on one side. Each
    change is drawn uniformly between plus and minus its attribute.

    Attributes:
        rng: Draws the changes.
        angle: The largest rotation, in degrees.
        shift: The largest shift, as a share of the image's side.
        zoom: The logarithm of the largest scale.
        gamma: The logarithm of the largest exponent of the grey levels, taken as shares of 255.
    """

    rng: np.random.Generator
    angle: float = 8.0
    shift: float = 0.06
    zoom: float = 0.12
    gamma: float = 0.35

    def __post_init__(self) -> None:
        for name in ("angle", "shift", "zoom", "gamma"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be 0 or more, got {getattr(self, name)}")

    def __call__(self, images: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Change copies of images and of their (n, H, W) masks, uint8 or bool, or other targets.

        Raises:
            ValueError: The images are not (n, H, W) or (n, H, W, 3) uint8, or the masks do not match
                them.
        """
        images, targets = np.array(images), np.array(targets)
        check_images(images, stored=True)
        if targets.ndim > 2 or len(targets) != len(images):
            check_masks(targets, images.shape)
        masks = targets.view(np.uint8) if targets.dtype == bool else targets  # OpenCV has no bool
        n, H, W = images.shape[:3]
        most = (self.angle, self.shift * W, self.shift * H, self.zoom, self.gamma)
        drawn = self.rng.uniform(-1, 1, (n, 5)) * most
        for k, (angle, right, down, zoom, gamma) in enumerate(drawn):
            turn = cv2.getRotationMatrix2D(((W - 1) / 2, (H - 1) / 2), angle, float(np.exp(zoom)))
            turn[:, 2] += right, down
            shades = 255 * (np.arange(256) / 255) ** np.exp(gamma)
            exposed = cv2.LUT(images[k], np.rint(shades).astype(np.uint8))
            images[k] = cv2.warpAffine(exposed, turn, (W, H), flags=cv2.INTER_LINEAR)
            if targets.ndim == 3:
                masks[k] = cv2.warpAffine(masks[k], turn, (W, H), flags=cv2.INTER_NEAREST)
        return images, targets
