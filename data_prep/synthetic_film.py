"""From centimetres of tissue to a film: Beer-Lambert, scatter, noise, display, borders, markers."""

from typing import NamedTuple

import cv2
import numpy as np

# Linear attenuation at chest energies, per cm: water-like tissue, and what bone adds to it.
SOFT, BONE = 0.20, 0.33

Range = tuple[float, float]


class Look(NamedTuple):
    """What the films of a hospital have in common; each pair is the range of the value of an image."""

    blur: Range  # of the focal spot, as a fraction of the image
    scatter: Range  # reaches the film through the grid, as a fraction of the primary beam
    quanta: Range  # per pixel of an image of 128 pixels a side
    below: Range  # distance of the darkest tissue from black, as a fraction of the chest's span
    above: Range  # distance of the brightest tissue from white, likewise
    enhance: Range  # local contrast
    gamma: Range
    border: Range  # widths of the edges of the shutter, as fractions of the image
    bordered: float  # how often an edge is visible
    askew: float  # rotation of the shutter, in radians
    background: Range | None  # grey level of the border, 0 to 1; None for black
    sticker: bool  # side and projection are always burnt in, else mostly the side alone


LOOKS = {
    "A": Look(
        blur=(0.0010, 0.0018), scatter=(0.10, 0.25), quanta=(1.5e5, 6e5), below=(0.3, 0.75),
        above=(-0.02, 0.22), enhance=(0.25, 0.7), gamma=(0.75, 1.15), border=(0, 0.05),
        bordered=0.6, askew=0.004, background=(0, 0.06), sticker=False,
    ),
    "B": Look(
        blur=(0.0020, 0.0034), scatter=(0.15, 0.35), quanta=(5e4, 3e5), below=(0.05, 0.35),
        above=(-0.18, 0.05), enhance=(0.0, 0.25), gamma=(1.0, 1.6), border=(0.01, 0.09),
        bordered=0.9, askew=0.015, background=None, sticker=True,
    ),
    "C": Look(
        blur=(0.0014, 0.0026), scatter=(0.05, 0.20), quanta=(8e4, 4e5), below=(0.1, 0.3),
        above=(0.0, 0.2), enhance=(0.2, 0.5), gamma=(0.9, 1.2), border=(0, 0.06),
        bordered=0.4, askew=0.010, background=(0, 0.08), sticker=False,
    ),
}  # fmt: skip


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Apply a Gaussian blur, ``sigma`` in pixels; a wide one to a smaller copy, where it is cheap."""
    shrink = int(max(1, sigma // 4))
    if shrink == 1:
        return cv2.GaussianBlur(image, (0, 0), max(sigma, 1e-3))
    h, w = image.shape
    small = cv2.resize(
        image, (max(1, w // shrink), max(1, h // shrink)), interpolation=cv2.INTER_AREA
    )
    small = cv2.GaussianBlur(small, (0, 0), sigma / shrink)
    return cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)


def expose(
    soft_cm: np.ndarray, bone_cm: np.ndarray, hospital: str, rng: np.random.Generator
) -> np.ndarray:
    """Return the optical depth that the detector records: Beer-Lambert, focal blur, scatter, quanta.

    The primary beam is exp(-sum mu t). A fraction of it is scattered widely. The count of quanta is
    Poisson, which after the logarithm is close to a normal error of 1 / sqrt(count).

    Args:
        soft_cm: Soft tissue along each ray in cm, (S, S).
        bone_cm: Bone along each ray in cm, (S, S).
        hospital: A key of ``LOOKS``.
        rng: Source of all that is random.

    Returns:
        (S, S) float.
    """
    size, look = len(soft_cm), LOOKS[hospital]
    primary = np.exp(-(SOFT * soft_cm + BONE * bone_cm)).astype(np.float32)
    primary = _blur(primary, rng.uniform(*look.blur) * size)
    received = primary + rng.uniform(*look.scatter) * _blur(primary, 0.10 * size)
    # Smaller pixels catch fewer quanta: the numbers are those of an image of 128 pixels a side.
    quanta = rng.uniform(*look.quanta) * (128 / size) ** 2
    noise = rng.standard_normal((size, size), dtype=np.float32) / np.sqrt(quanta * received)
    grain = _blur(noise, 0.6) * 1.4
    return -np.log(np.maximum(received * (1 + grain), 1e-4))


def develop(depth: np.ndarray, hospital: str, rng: np.random.Generator) -> np.ndarray:
    """Turn optical depth into grey values from 0 to 1: exposure, local contrast, display curve."""
    size, look = len(depth), LOOKS[hospital]
    centre = depth[size // 8 : -size // 8, size // 6 : -size // 6]
    low, high = np.quantile(centre[::2, ::2], [0.02, 0.97]).tolist()
    span = high - low
    low = low - span * rng.uniform(*look.below)
    high = high + span * rng.uniform(*look.above)
    enhance, gamma = rng.uniform(*look.enhance), rng.uniform(*look.gamma)
    sharp = depth + enhance * (depth - _blur(depth, 0.045 * size))
    grey = np.maximum((sharp - low) / (high - low), 0)
    # A film saturates softly at both ends, as silver does.
    grey = grey / (1 + grey**6) ** (1 / 6)
    return np.clip(grey, 0, 1) ** gamma


def collimate(size: int, hospital: str, rng: np.random.Generator) -> tuple[np.ndarray, list[float]]:
    """Draw the shutter.

    Returns:
        Where the beam passes, (size, size) from 0 to 1; and its left, right, top and bottom edges as
        fractions of the image.
    """
    look = LOOKS[hospital]
    edges = rng.uniform(*look.border, 4) * (rng.random(4) < look.bordered)
    turn = rng.normal(0, look.askew)
    return _shutter(size, edges.tolist(), turn), edges.tolist()


def mount(
    grey: np.ndarray,
    inside: np.ndarray,
    edges: list[float],
    hospital: str,
    rng: np.random.Generator,
) -> np.ndarray:
    """Add the dark border and the burnt-in marks.

    Args:
        grey: Grey values from 0 to 1, (S, S).
        inside: Where the beam passes, as :func:`collimate` returns it.
        edges: The edges of the beam, likewise.
        hospital: A key of ``LOOKS``.
        rng: Source of all that is random.

    Returns:
        Grey values from 0 to 1, (S, S).
    """
    look = LOOKS[hospital]
    background = rng.uniform(*look.background) if look.background else 0.0
    _marker(grey, edges, look.sticker, rng)
    return grey * inside + background * (1 - inside)


def _shutter(size, edges, turn):
    """Return 1 where the beam passes, (size, size): a slightly rotated rectangle with soft edges."""
    r = (np.arange(size, dtype=np.float32) + 0.5) / size
    column, row = np.meshgrid(r, r)
    left, right, top, bottom = edges
    inset = np.minimum.reduce(
        [
            np.where(left > 0, column - left + turn * (row - 0.5), 1),
            np.where(right > 0, 1 - right - column + turn * (row - 0.5), 1),
            np.where(top > 0, row - top + turn * (column - 0.5), 1),
            np.where(bottom > 0, 1 - bottom - row + turn * (column - 0.5), 1),
        ]
    )
    return np.clip(inset * size + 0.5, 0, 1)


def _marker(grey, edges, sticker, rng):
    """Burn in the side marker; a sticker also has the projection, in a box."""
    size = len(grey)
    if not sticker:
        if rng.random() < 0.75:
            side = rng.choice(["R", "L"])
            at = rng.uniform(0.03, 0.12) if side == "R" else rng.uniform(0.86, 0.93)
            _write(grey, side, at, 0.06 + rng.uniform(0, 0.05), 0.045 * size, False, rng)
        return
    _write(grey, "R", edges[0] + 0.02, edges[2] + rng.uniform(0.06, 0.12), 0.06 * size, False, rng)
    _write(grey, "PA", 0.80, edges[2] + rng.uniform(0.06, 0.1), 0.045 * size, True, rng)


def _write(grey, text, x, y, height, boxed, rng):
    """Write ``text`` at (x, y), fractions of the image; it is drawn large, then reduced."""
    size = len(grey)
    large = max(size, 512)
    scale = height / size * large / 22
    ink = np.zeros((large, large), np.uint8)
    origin = (round(x * large), round(y * large))
    (width, tall), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 2)
    if boxed:
        pad = tall // 3
        corner = (origin[0] + width + pad, origin[1] - tall - pad)
        cv2.rectangle(ink, (origin[0] - pad, origin[1] + pad), corner, 255, -1)
    cv2.putText(
        ink, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, 0 if boxed else 255, 3, cv2.LINE_AA
    )
    cover = cv2.resize(ink, (size, size), interpolation=cv2.INTER_AREA) / np.float32(255)
    strength = rng.uniform(0.75, 0.98)
    grey += cover * (strength - grey) * (cover > 0)
