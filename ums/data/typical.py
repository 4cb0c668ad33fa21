"""What a model's training images are like, and whether another image is unlike them."""

from typing import Any

import numpy as np

COARSE = 16
"""Side of the mean image that others are compared with."""
OUTSIDE = 0.25
"""By so much of the training images' range a statistic may leave it before a warning."""
LEAST = {"mean": 1.0, "deviation": 1.0, "black": 0.01, "white": 0.01, "likeness": 0.01}
"""At least by so much, in grey levels and in shares: all training images may be of one black."""


def statistics(images: np.ndarray) -> dict[str, np.ndarray]:
    """Of images (N, H, W) or (N, H, W, 3) uint8: mean, deviation, share of black and of white, each (N,)."""
    flat = images.reshape(len(images), -1)
    black, white = (flat <= 8).mean(axis=1), (flat >= 247).mean(axis=1)
    return {
        "mean": flat.mean(axis=1),
        "deviation": flat.std(axis=1),
        "black": black,
        "white": white,
    }


def typical(images: np.ndarray) -> dict[str, Any]:
    """What training images (N, H, W[, 3]) uint8 are like, ready for JSON, for :func:`unlike`."""
    coarse = _coarse(images)
    middle = coarse.mean(axis=0)
    found = statistics(images) | {"likeness": _likeness(coarse, middle)}
    ranges = {
        name: [float(v) for v in np.quantile(values, (0.005, 0.995))]
        for name, values in found.items()
    }
    return {"ranges": ranges, "middle": np.round(middle, 3).tolist()}


def unlike(image: np.ndarray, small: np.ndarray, about: dict[str, Any]) -> list[str]:
    """Why an image is unlike those that a model was trained on, a sentence each; often none.

    Args:
        image: As it was read.
        small: The same in the model's size.
        about: The model's manifest.
    """
    found, size = [], about["input"]["size"]
    if min(image.shape[:2]) < size:
        found.append(
            f"smaller ({image.shape[1]} x {image.shape[0]}) than the model's {size} pixels"
        )
    known = about.get("training images")
    if known is None:
        return found
    likeness = _likeness(_coarse(small[None]), np.array(known["middle"]))
    for name, (value,) in (statistics(small[None]) | {"likeness": likeness}).items():
        low, high = known["ranges"][name]
        room = max(OUTSIDE * (high - low), LEAST[name])
        if name == "likeness" and value < 0:
            found.append("dark where the training images are bright: is it inverted?")
        elif value < low - room or (value > high + room and name != "likeness"):
            found.append(
                f"{WORDS[name]} ({value:.2f}; the training images {low:.2f} to {high:.2f})"
            )
    return found


WORDS = {
    "mean": "unusual brightness", "deviation": "unusual contrast", "black": "unusual share of black",
    "white": "unusual share of white", "likeness": "unlike the mean training image",
}  # fmt: skip


def _coarse(images: np.ndarray) -> np.ndarray:
    """Each image's means over a grid of COARSE x COARSE, (N, COARSE^2)."""
    grey = images.mean(axis=3) if images.ndim == 4 else images
    means = []
    for each in grey:
        bands = (np.array_split(rows, COARSE, axis=1) for rows in np.array_split(each, COARSE))
        means.append([part.mean() for parts in bands for part in parts])
    return np.array(means)


def _likeness(coarse: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """The correlation of each image with the mean image, (N,); 0 for an even one."""
    centred, other = coarse - coarse.mean(axis=1, keepdims=True), middle - middle.mean()
    scale = np.linalg.norm(centred, axis=1) * np.linalg.norm(other)
    return np.asarray(centred @ other / np.where(scale > 0, scale, 1))
