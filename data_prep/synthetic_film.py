"""From centimetres of tissue to a film: Beer-Lambert, scatter, noise, display, borders, markers."""

import cv2
import numpy as np

# Linear attenuation at chest energies, per cm: water-like tissue, and what bone adds to it.
SOFT, BONE = 0.20, 0.33


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
    size = len(soft_cm)
    primary = np.exp(-(SOFT * soft_cm + BONE * bone_cm)).astype(np.float32)
    blur = rng.uniform(0.0010, 0.0018) if hospital == "A" else rng.uniform(0.0020, 0.0034)
    primary = _blur(primary, blur * size)
    grid = rng.uniform(0.10, 0.25) if hospital == "A" else rng.uniform(0.15, 0.35)
    received = primary + grid * _blur(primary, 0.10 * size)
    # Smaller pixels catch fewer quanta: the numbers are those of an image of 128 pixels a side.
    quanta = (rng.uniform(1.5e5, 6e5) if hospital == "A" else rng.uniform(5e4, 3e5)) * (
        128 / size
    ) ** 2
    noise = rng.standard_normal((size, size), dtype=np.float32) / np.sqrt(quanta * received)
    grain = _blur(noise, 0.6) * 1.4
    return -np.log(np.maximum(received * (1 + grain), 1e-4))


def develop(depth, hospital, rng):
    """Grey values 0 to 1 from optical depth: exposure, local contrast and the display's curve."""
    size = len(depth)
    centre = depth[size // 8 : -size // 8, size // 6 : -size // 6]
    low, high = np.quantile(centre[::2, ::2], [0.02, 0.97]).tolist()
    span = high - low
    if hospital == "A":
        low = low - span * rng.uniform(0.3, 0.75)
        high = high + span * rng.uniform(-0.02, 0.22)
        enhance, gamma = rng.uniform(0.25, 0.7), rng.uniform(0.75, 1.15)
    else:
        low = low - span * rng.uniform(0.05, 0.35)
        high = high + span * rng.uniform(-0.18, 0.05)
        enhance, gamma = rng.uniform(0.0, 0.25), rng.uniform(1.0, 1.6)
    sharp = depth + enhance * (depth - _blur(depth, 0.045 * size))
    grey = np.maximum((sharp - low) / (high - low), 0)
    # A film saturates softly at both ends, as silver does.
    grey = grey / (1 + grey**6) ** (1 / 6)
    return np.clip(grey, 0, 1) ** gamma


def collimate(size, hospital, rng):
    """Return where the beam passes, (size, size) from 0 to 1, and its edges: left, right, top,
    bottom in shares of the image."""
    if hospital == "A":
        edges, turn = rng.uniform(0, 0.05, 4) * (rng.random(4) < 0.6), rng.normal(0, 0.004)
    else:
        edges, turn = rng.uniform(0.01, 0.09, 4) * (rng.random(4) < 0.9), rng.normal(0, 0.015)
    return _shutter(size, edges.tolist(), turn), edges.tolist()


def mount(grey, inside, edges, hospital, rng):
    """Return the film in its dark border with burnt-in marks, (S, S) grey values 0 to 1."""
    dark = rng.uniform(0, 0.06) if hospital == "A" else 0.0
    _marker(grey, edges, hospital, rng)
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


def _marker(grey, edges, hospital, rng):
    """Burn in the side marker; hospital B adds the projection in a box, as film stickers do."""
    size = len(grey)
    if hospital == "A":
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
