"""Bring an image to the size that a network was trained on."""

import cv2
import numpy as np


def resize_image(image: np.ndarray, size: int) -> np.ndarray:
    """Resize (H, W) or (H, W, 3) uint8 to size x size, bicubic as in UMS-Rep, section 3.1.1."""
    height, width = image.shape[:2]
    # The cubic looks at 4 x 4 pixels only: in a film of 4,000 pixels it would pick single grains,
    # and fine ribs would alias. Averaging down to twice the size first lets every pixel count.
    if max(height, width) > 2 * size:
        twice = (min(width, 2 * size), min(height, 2 * size))
        image = cv2.resize(image, twice, interpolation=cv2.INTER_AREA)
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC)
