"""Simple solids whose path lengths have a closed form: what the synthetic chest is made of."""

import math

import numpy as np


def ball(
    x: np.ndarray,
    y: np.ndarray,
    cx: float,
    cy: float,
    rx: float,
    ry: float | None = None,
    tilt: float = 0.0,
) -> np.ndarray:
    """Return the path through an ellipsoid: 0 outside, 1 through its middle."""
    c, s = math.cos(tilt), math.sin(tilt)
    u, v = (x - cx) * c + (y - cy) * s, (y - cy) * c - (x - cx) * s
    return np.sqrt(np.maximum(1 - (u / rx) ** 2 - (v / (ry or rx)) ** 2, 0))


def rise(d: np.ndarray, width: float) -> np.ndarray:
    """Rise from 0 at an edge to 1 at ``width`` inside it, round like the side of a cylinder."""
    return np.sqrt(1 - (1 - np.clip(d / width, 0, 1)) ** 2)


def fade(d: np.ndarray, width: float) -> np.ndarray:
    """Rise from 0 at an edge to 1 at ``width`` inside it, smoothly at both ends."""
    t = np.clip(d / width, 0, 1)
    return t * t * (3 - 2 * t)


def tube(distance: np.ndarray, radius: float, wall: float = 0.35) -> np.ndarray:
    """Return the path through a tube with a wall of ``wall`` radii: bright edges, as of bones."""
    s = np.abs(distance) / radius
    outer = np.sqrt(np.maximum(1 - s**2, 0))
    inner = np.sqrt(np.maximum((1 - wall) ** 2 - s**2, 0))
    return outer - 0.75 * inner
