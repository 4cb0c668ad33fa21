"""From centimetres of tissue to a film: Beer-Lambert, scatter, noise, display, borders, markers."""

from typing import NamedTuple

import cv2
import numpy as np

# Linear attenuation at chest energies, per cm: water-like tissue, and what bone adds to it.
SOFT, BONE = 0.20, 0.33


class Look(NamedTuple):
    """What a hospital's films have in common; a pair is the range that an image's value is from."""

    blur: tuple  # of the focal spot, in shares of the image
    scatter: tuple  # reaches the film through the grid, as a share of the primary beam
    quanta: tuple  # per pixel of an image of 128 pixels a side
    below: tuple  # the darkest tissue lies this far above black, in shares of the chest's span
    above: tuple  # the brightest this far below white
    enhance: tuple  # local contrast
    gamma: tuple
    border: tuple  # widths of the shutter's edges, in shares of the image
    bordered: float  # how often an edge is seen
    askew: float  # the shutter's turn, in radians
    dark: tuple  # grey of the border, 0 to 1; empty for black
    sticker: bool  # side and projection always burnt in, else mostly the side alone


LOOKS = {
    "A": Look(
        blur=(0.0010, 0.0018), scatter=(0.10, 0.25), quanta=(1.5e5, 6e5), below=(0.3, 0.75),
        above=(-0.02, 0.22), enhance=(0.25, 0.7), gamma=(0.75, 1.15), border=(0, 0.05),
        bordered=0.6, askew=0.004, dark=(0, 0.06), sticker=False,
    ),
    "B": Look(
        blur=(0.0020, 0.0034), scatter=(0.15, 0.35), quanta=(5e4, 3e5), below=(0.05, 0.35),
        above=(-0.18, 0.05), enhance=(0.0, 0.25), gamma=(1.0, 1.6), border=(0.01, 0.09),
        bordered=0.9, askew=0.015, dark=(), sticker=True,
    ),
    "C": Look(
        blur=(0.0014, 0.0026), scatter=(0.05, 0.20), quanta=(8e4, 4e5), below=(0.1, 0.3),
        above=(0.0, 0.2), enhance=(0.2, 0.5), gamma=(0.9, 1.2), border=(0, 0.06),
        bordered=0.4, askew=0.010, dark=(0, 0.08), sticker=False,
    ),
}  # fmt: skip


def _blur(image, sigma):
    """Gaussian blur with `sigma` in pixels; wide ones on a smaller copy, where they cost little."""
    shrink = int(max(1, sigma // 4))
    if shrink == 1:
        return cv2.GaussianBlur(image, (0, 0), max(sigma, 1e-3))
    h, w = image.shape
    small = cv2.resize(
        image, (max(1, w // shrink), max(1, h // shrink)), interpolation=cv2.INTER_AREA
    )
    small = cv2.GaussianBlur(small, (0, 0), sigma / shrink)
    return cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)


def expose(soft_cm, bone_cm, hospital, rng):
    """Optical depth the detector records, (S, S): Beer-Lambert, focal blur, scatter, quanta.

    The primary beam is exp(-sum mu t); a share of it is scattered widely; the count of quanta is
    Poisson, which after the logarithm is close to a normal error of 1 / sqrt(count).
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


def develop(depth, hospital, rng):
    """Grey values 0 to 1 from optical depth: exposure, local contrast and the display's curve."""
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


def collimate(size, hospital, rng):
    """Return where the beam passes, (size, size) from 0 to 1, and its edges: left, right, top,
    bottom in shares of the image."""
    look = LOOKS[hospital]
    edges = rng.uniform(*look.border, 4) * (rng.random(4) < look.bordered)
    turn = rng.normal(0, look.askew)
    return _shutter(size, edges.tolist(), turn), edges.tolist()


def mount(grey, inside, edges, hospital, rng):
    """Return the film in its dark border with burnt-in marks, (S, S) grey values 0 to 1."""
    look = LOOKS[hospital]
    dark = rng.uniform(*look.dark) if look.dark else 0.0
    _marker(grey, edges, look.sticker, rng)
    return grey * inside + dark * (1 - inside)


def _shutter(size, edges, turn):
    """1 where the beam passes, (size, size): a slightly turned rectangle, its edges smooth."""
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
    """Burn in the side marker; a sticker has the projection too, in a box."""
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
    """Put `text` of `height` pixels at (x, y), in shares of the image; drawn large, then reduced."""
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
