"""Synthetic lung disease: opacities with their exact outline, for the synthetic chest X-rays.

Each function returns ``(density, mask)``, both (S, S): the fraction of the lung that is filled (0 to 1)
and where a reader would outline it. Positions are those of :mod:`data_prep.synthetic_body`.
"""

import math

import cv2
import numpy as np

_ADULT = ("infiltrate", "consolidation", "ground glass", "nodules", "effusion")
MIXTURES = {
    "A": (dict(zip(_ADULT, (0.34, 0.26, 0.12, 0.18, 0.10), strict=True)),),
    "B": (dict(zip(_ADULT, (0.10, 0.34, 0.22, 0.12, 0.22), strict=True)),),
    "C": ({"lobar": 1.0}, {"interstitial": 1.0}),
}
"""For each hospital and its label values 1, 2, ...: the kinds of disease and their frequencies."""


def smooth_noise(size: int, grain: float, rng: np.random.Generator) -> np.ndarray:
    """Draw a smooth field (size, size) float32 of mean 0 and deviation 1; ``grain`` in half images."""
    cells = int(np.clip(round(2.0 / grain), 2, size))
    coarse = rng.standard_normal((cells + 3, cells + 3), dtype=np.float32)
    field = cv2.resize(coarse, (size + 1, size + 1), interpolation=cv2.INTER_CUBIC)[:size, :size]
    return (field - field.mean()) / (field.std() + 1e-6)


def draw_disease(
    x: np.ndarray,
    y: np.ndarray,
    field: np.ndarray,
    mixture: dict[str, float],
    rng: np.random.Generator,
) -> tuple[str, np.ndarray, np.ndarray]:
    """Draw a disease within the lung field.

    A mask smaller than 1/150 of the field is drawn again, and after eight tries replaced by a nodule
    in the middle of the larger lung.

    Args:
        x: Horizontal position of each pixel, (S, S).
        y: Vertical position of each pixel, (S, S).
        field: The lung field, (S, S) bool.
        mixture: The kinds of disease and their frequencies, from ``MIXTURES``.
        rng: Source of all that is random.

    Returns:
        Its name, its density and its mask, which is never empty.
    """
    kind = str(rng.choice(list(mixture), p=list(mixture.values())))
    for _ in range(8):
        density, mask = _MAKERS[kind](x, y, field, rng)
        mask &= field
        if mask.sum() >= max(4, field.sum() / 150):
            return kind, density, mask
    return "nodules", *_fallback(x, y, field)


def _fallback(x, y, field):
    deep = cv2.distanceTransform(field.astype(np.uint8), cv2.DIST_L2, 3)
    row, column = np.unravel_index(np.argmax(deep), deep.shape)
    d = np.hypot(x - x[row, column], y - y[row, column]) / 0.09
    return np.sqrt(np.maximum(1 - d**2, 0)), (d < 1) & field


def _centre(x, y, field, rng, low=0.0, high=1.0):
    """Draw a point of the field between the quantiles ``low`` and ``high`` of its height."""
    rows, columns = np.nonzero(field)
    band = (rows >= np.quantile(rows, low)) & (rows <= np.quantile(rows, high))
    k = rng.choice(np.flatnonzero(band))
    return x[rows[k], columns[k]], y[rows[k], columns[k]]


def _patch(x, y, field, rng, radius, low=0.0, high=1.0, rough=0.5):
    """Draw a ragged ellipse, 0 outside and up to 1 inside, and where it is more than a trace."""
    cx, cy = _centre(x, y, field, rng, low, high)
    rx, ry, turn = radius * rng.uniform(0.7, 1.3), radius * rng.uniform(0.7, 1.3), rng.uniform(0, 3)
    c, s = math.cos(turn), math.sin(turn)
    u, v = (x - cx) * c + (y - cy) * s, (y - cy) * c - (x - cx) * s
    ragged = smooth_noise(len(x), radius * 0.7, rng) + 0.5 * smooth_noise(len(x), radius / 4, rng)
    g = 1 - (u / rx) ** 2 - (v / ry) ** 2 + rough * ragged * 0.6
    # The noise may only shape the edge, not sow islands far from the patch.
    g = np.minimum(g, 1.6 - 0.8 * ((u / rx) ** 2 + (v / ry) ** 2))
    return np.clip(g / 0.7, 0, 1), g > 0.22


def _infiltrate(x, y, field, rng):
    """Draw an upper-lobe infiltrate: a few ragged patches with streaks and small nodules between them."""
    density, mask = np.zeros_like(x), np.zeros(x.shape, bool)
    for _ in range(rng.integers(4, 9)):
        d, m = _patch(x, y, field, rng, rng.uniform(0.11, 0.22), 0.02, 0.5, rough=0.8)
        density, mask = np.maximum(density, d), mask | m
    mottle = smooth_noise(len(x), 0.035, rng) + 0.6 * smooth_noise(len(x), 0.015, rng)
    return density * np.clip(0.55 + 0.12 * mottle, 0.1, 0.9) * rng.uniform(0.8, 1.1), mask


def _consolidation(x, y, field, rng):
    """Draw a lobar or patchy consolidation, dense, with dark branches of air bronchograms."""
    density, mask = _patch(x, y, field, rng, rng.uniform(0.3, 0.5), 0.25, 0.95)
    air = np.abs(smooth_noise(len(x), 0.05, rng)) < 0.12
    return density * (0.85 - 0.25 * air) * rng.uniform(0.65, 0.95), mask


def _lobar(x, y, field, rng):
    """Draw a consolidation of much of one lung, with a sharper edge than ``_consolidation``."""
    cx, _ = _centre(x, y, field, rng)
    lung = x * cx > 0
    density, mask = _patch(x, y, field & lung, rng, rng.uniform(0.35, 0.6), 0.1, 0.95, rough=0.25)
    air = np.maximum(1 - np.abs(smooth_noise(len(x), 0.11, rng)) / 0.25, 0)
    return lung * density * (1.1 - 0.3 * air) * rng.uniform(0.75, 1.0), mask & lung


def _ground_glass(x, y, field, rng):
    """Draw faint, hazy patches in both lungs."""
    density, mask = np.zeros_like(x), np.zeros(x.shape, bool)
    for _ in range(rng.integers(3, 7)):
        d, m = _patch(x, y, field, rng, rng.uniform(0.15, 0.28), 0.1, 0.95, rough=0.6)
        density, mask = np.maximum(density, d), mask | m
    return density * rng.uniform(0.38, 0.55), mask


def _interstitial(x, y, field, rng):
    """Draw faint streaks from the hila, a net of fine lines and a haze in both lungs."""
    size = len(x)
    out, down = np.abs(x) - 0.10, y + 0.04
    radius = np.hypot(out, down)
    reach = np.exp(-((radius / rng.uniform(0.55, 0.9)) ** 2))
    reach = np.clip(reach + 0.18 * smooth_noise(size, 0.3, rng), 0, 1)
    # Noise around each hilum, stretched along the radius, with slightly bent angles.
    angle = np.arctan2(down, out) + 0.08 * smooth_noise(size, 0.2, rng)
    column = (angle / (2 * np.pi) + 0.25 + 0.5 * (x > 0)) * size
    polar = [m.astype(np.float32) for m in (column, radius * size / 10)]
    streaks = cv2.remap(
        smooth_noise(size, 0.04, rng), *polar, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    net = 1 - np.abs(smooth_noise(size, 0.06, rng)) / 0.5
    haze, lines = rng.uniform(0.12, 0.30), rng.uniform(0.25, 0.40)
    density = haze + lines * np.clip(streaks, 0, 1.5) + 0.5 * lines * np.maximum(net, 0)
    return reach * density, reach > 0.35


def _nodules(x, y, field, rng):
    """Draw six to eighteen round nodules of 17 to 38 mm."""
    density, mask = np.zeros_like(x), np.zeros(x.shape, bool)
    wobble = smooth_noise(len(x), 0.06, rng)
    for _ in range(rng.integers(6, 19)):
        cx, cy = _centre(x, y, field, rng, 0.03, 0.97)
        r = rng.uniform(0.045, 0.1)
        d = np.hypot(x - cx, y - cy) / r * (1 + 0.06 * wobble)
        density = np.maximum(density, rng.uniform(0.6, 0.95) * np.sqrt(np.maximum(1 - d**2, 0)))
        mask |= d < 1
    return density, mask


def _effusion(x, y, field, rng):
    """Draw fluid in one pleural space: it blunts the angle and climbs along the chest wall."""
    side = float(rng.choice([-1.0, 1.0]))
    half = side * x > 0
    lung = field & half
    a, rows = np.abs(x), np.nonzero(lung)[0]
    top, bottom = y[rows.min()].mean(), y[rows.max()].mean()
    wall = a[lung].max()
    level = bottom - (bottom - top) * rng.uniform(0.35, 0.65)
    climb = rng.uniform(0.10, 0.22) * np.exp((a - wall) / rng.uniform(0.05, 0.1))
    depth = y - level + climb - 0.02 * smooth_noise(len(x), 0.2, rng)
    return half * np.clip(depth / 0.07, 0, 1) * rng.uniform(0.75, 1.0), lung & (depth > 0.01)


_MAKERS = {
    "infiltrate": _infiltrate,
    "consolidation": _consolidation,
    "lobar": _lobar,
    "ground glass": _ground_glass,
    "interstitial": _interstitial,
    "nodules": _nodules,
    "effusion": _effusion,
}
