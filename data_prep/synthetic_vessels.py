"""The vessels of both lungs in a synthetic chest, which branch from the hila."""

from collections.abc import Callable

import cv2
import numpy as np


def pulmonary_vessels(
    to_pixel: Callable[[np.ndarray], np.ndarray], size: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the path through the branching vessels of both lungs in cm of blood.

    Args:
        to_pixel: Maps positions (..., 2) of the patient to pixels of the image.
        size: Side of the image in pixels.
        rng: Source of all that is random.

    Returns:
        (size, size) float32.
    """
    scale = 2 if size < 512 else 1
    canvas = np.zeros((size * scale, size * scale), np.uint8)
    radii, points = _branching(rng)
    pixels = np.round(to_pixel(points) * scale * 16).astype(np.int32)
    for k in np.argsort(radii, kind="stable"):
        width = radii[k] * size * scale
        shade = 255 * radii[k] / 0.02 * min(width, 1) ** 0.5
        cv2.polylines(
            canvas, [pixels[k]], False, float(shade), max(1, round(width)), cv2.LINE_AA, 4
        )
    small = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return cv2.GaussianBlur(small.astype(np.float32) / 255, (0, 0), max(0.35, size / 500))


def _branching(rng, trunks=10, generations=5):
    """Draw wavy vessels that leave both hila and divide in two again and again.

    Returns:
        Their radii (K,) and the points that they pass, (K, 6, 2).
    """
    side = np.repeat([-1.0, 1.0], trunks)
    angle = np.tile(np.linspace(-1.25, 1.45, trunks), 2) + rng.normal(0, 0.1, 2 * trunks)
    start = np.stack([side * rng.uniform(0.10, 0.15, 2 * trunks), 0.1 * angle - 0.06], axis=1)
    radius = rng.uniform(0.012, 0.020, 2 * trunks)
    radii, points = [], []
    for generation in range(generations):
        bends = angle[:, None] + np.cumsum(rng.normal(0, 0.16, (len(angle), 5)), axis=1)
        length = rng.uniform(0.08, 0.16, (len(angle), 1, 1)) * 0.88**generation
        steps = np.stack([side[:, None] * np.cos(bends), np.sin(bends)], axis=2) * length / 5
        path = start[:, None] + np.concatenate([0 * steps[:, :1], np.cumsum(steps, axis=1)], axis=1)
        radii.append(radius)
        points.append(path)
        side, start = np.tile(side, 2), np.tile(path[:, -1], (2, 1))
        turn = rng.uniform(0.15, 0.6, len(side)) * np.repeat([-1, 1], len(angle))
        angle = np.tile(bends[:, -1], 2) + turn
        radius = np.tile(radius, 2) * rng.uniform(0.62, 0.8, len(side))
    return np.concatenate(radii), np.concatenate(points)
