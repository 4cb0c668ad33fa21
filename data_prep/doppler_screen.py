"""The screen around a spectrum: its panel, the sector above, electrocardiogram, text and scale.

Nothing here depends on the flow or on the quality, so that nothing here reveals them: the numbers of
the scale and of the text are random and mean nothing. Positions are fractions of the screen.
"""

from typing import NamedTuple

import cv2
import numpy as np

from data_prep.synthetic_disease import smooth_noise


class Machine(NamedTuple):
    """Colours, (R, G, B) from 0 to 255, and habits of a manufacturer."""

    text: tuple
    ecg: tuple
    baseline: tuple
    tint: tuple  # exponents of the grey values in red, green and blue
    scale_left: float  # how often the scale is to the left of the panel
    dotted: float  # how often a grid covers the panel
    frame: float  # how often the panel has a border
    ground: int  # grey level of the screen around the panel


MACHINES = (
    Machine((255, 255, 255), (70, 255, 70), (170, 100, 30), (1, 1, 1), 0.0, 0.0, 0.0, 0),
    Machine((225, 225, 225), (90, 220, 120), (235, 235, 235), (0.8, 1.0, 1.5), 0.2, 0.7, 0.3, 8),
    Machine((235, 225, 170), (80, 230, 210), (60, 190, 90), (1.2, 1.0, 0.85), 0.7, 0.3, 0.7, 20),
    Machine((200, 220, 255), (240, 220, 60), (130, 130, 130), (1, 1, 1), 0.3, 0.5, 0.5, 0),
)
_LINES = (
    "2D|CF|PW|CW|TDI|HRes|P Low|C 50|HGen|WF 125Hz|FR 54Hz|1.6MHz|SV 4.0mm|Vel|PG|Vmax|HR".split(
        "|"
    )
)


class Layout(NamedTuple):
    """The edges of the panel as fractions of the screen, and what is shown beside it."""

    machine: Machine
    left: float
    top: float
    right: float
    bottom: float
    sector: bool
    scale_left: bool
    ecg: float  # its height above the bottom, as a fraction of the panel; negative: none


def draw_layout(machine: Machine, rng: np.random.Generator) -> Layout:
    """Draw the layout of one image."""
    kind = rng.random()
    scale_left = bool(rng.random() < machine.scale_left)
    narrow, wide = rng.uniform(0.0, 0.06), rng.uniform(0.05, 0.13)
    top = rng.uniform(0.33, 0.46) if kind < 0.4 else rng.uniform(0.02, 0.25)
    if kind > 0.85:  # the panel alone, as if it had been cut out
        narrow, wide, top = rng.uniform(0, 0.02, 3).tolist()
    ecg = (0.96, 0.06, -1.0)[rng.choice(3, p=(0.6, 0.25, 0.15))]
    return Layout(
        machine=machine,
        left=wide if scale_left else narrow,
        top=top,
        right=1 - (narrow if scale_left else wide),
        bottom=1 - (rng.uniform(0.03, 0.1) if kind <= 0.85 else 0.0),
        sector=bool(kind < 0.36),
        scale_left=scale_left,
        ecg=ecg + rng.uniform(-0.03, 0.03),
    )


def panel_box(layout: Layout, shape: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return (top, bottom, left, right) of the panel, in pixels of a screen of ``shape`` (H, W)."""
    height, width = shape
    top, bottom = round(layout.top * height), round(layout.bottom * height)
    return top, bottom, round(layout.left * width), round(layout.right * width)


def draw_screen(
    grey: np.ndarray,
    ecg: np.ndarray,
    baseline: float,
    layout: Layout,
    shape: tuple[int, int],
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw the screen around a panel.

    Args:
        grey: Values of the panel, from 0 to 1, of the size of its box.
        ecg: Electrocardiogram, (N,).
        baseline: Height of the baseline below the top of the panel, as a fraction of the panel.
        layout: Where everything is.
        shape: (H, W) of the screen.
        rng: Source of all that is random.

    Returns:
        The screen (H, W, 3) uint8 in RGB.
    """
    machine = layout.machine
    screen = np.full((*shape, 3), machine.ground, np.uint8)
    if layout.sector:
        _sector(screen, layout, rng)
    top, bottom, left, right = panel_box(layout, shape)
    curves = [np.rint(255 * np.linspace(0, 1, 256) ** power) for power in machine.tint]
    lookup = np.stack(curves, axis=1).astype(np.uint8)
    screen[top:bottom, left:right] = lookup[np.rint(255 * grey).astype(np.uint8)]
    _scale(screen, (top, bottom, left, right), baseline, layout, rng)
    if layout.ecg > 0:
        _electrocardiogram(screen, (top, bottom, left, right), ecg, layout, rng)
    _text(screen, machine, rng)
    return screen


def _scale(screen, box, baseline, layout, rng):
    """Draw the baseline, ticks and numbers of velocity, ticks of time, a grid, a border."""
    machine = layout.machine
    top, bottom, left, right = box
    unit = len(screen) / 240
    thin, zero = max(round(unit), 1), round(top + baseline * (bottom - top))
    cv2.line(screen, (left, zero), (right - 1, zero), machine.baseline, thin)
    step = rng.uniform(0.1, 0.25) * (bottom - top)
    value, unit_of_value = int(rng.choice([5, 10, 20, 25, 40, 50, 100])), rng.choice([1, 10])
    edge, side = (left, -1) if layout.scale_left else (right, 1)
    grid = rng.random() < machine.dotted
    for i in range(-12, 13):
        y = round(zero - i * step)
        if not top <= y < bottom:
            continue
        cv2.line(screen, (edge, y), (round(edge + side * 3 * unit), y), machine.text, thin)
        label = f"{i * value / unit_of_value:g}" if i else str(rng.choice(["cm/s", "m/s", "0"]))
        x = edge + (5 * unit if side > 0 else -5 * unit * len(label) - 4 * unit)
        _write(screen, label, x, y + 3 * unit, 6 * unit, machine.text)
        if grid and i:
            screen[y, left : right : max(round(8 * unit), 2)] = 110
    x, second = left + rng.uniform(0, 20) * unit, rng.uniform(15, 40) * unit
    while x < right:
        cv2.line(
            screen,
            (round(x), bottom - thin),
            (round(x), round(bottom - 4 * unit)),
            machine.text,
            thin,
        )
        x += second
    if rng.random() < machine.frame:
        cv2.rectangle(screen, (left, top), (right - 1, bottom - 1), (120, 120, 120), thin)


def _electrocardiogram(screen, box, ecg, layout, rng):
    top, bottom, left, right = box
    unit = len(screen) / 240
    y = bottom - layout.ecg * (bottom - top) - rng.uniform(4, 14) * unit * ecg
    x = np.linspace(left, right - 1, len(ecg))
    points = np.stack([x, np.clip(y, 0, len(screen) - 1)], axis=-1)
    points = np.rint(16 * points).astype(np.int32)
    thick = max(round(unit), 1)
    cv2.polylines(screen, [points], False, layout.machine.ecg, thick, cv2.LINE_AA, shift=4)


def _sector(screen, layout, rng):
    """Draw a two-dimensional picture of the heart in a fan above the panel, at times in colour."""
    height, width = screen.shape[:2]
    tall = round(layout.top * height)
    apex = (rng.uniform(0.3, 0.65) * width, rng.uniform(0.05, 0.2) * tall)
    y, x = np.mgrid[:tall, :width].astype(np.float32)
    radius = np.hypot(x - apex[0], y - apex[1]) / (tall - apex[1])
    angle = np.arctan2(x - apex[0], y - apex[1])
    fan = (np.abs(angle) < rng.uniform(0.45, 0.75)) & (radius < 0.97) & (radius > 0.03)
    walls = smooth_noise(width, rng.uniform(0.2, 0.4), rng)[:tall]
    grain = smooth_noise(width, 0.02, rng)[:tall]
    grey = np.exp(1.2 * walls + 0.4 * grain - 1.5 * radius) * rng.uniform(30, 80)
    colours = np.repeat(np.clip(grey, 0, 255)[..., None], 3, axis=2)
    if rng.random() < 0.6:
        _colour_box(colours, radius, angle, rng)
    screen[:tall][fan] = colours[fan].astype(np.uint8)
    for r in np.arange(0.1, 1, 0.09):
        a = rng.uniform(-0.02, 0.02)
        at = (round(apex[0] + np.sin(a) * r * tall), round(apex[1] + r * (tall - apex[1])))
        cv2.circle(screen, at, max(round(height / 500), 1), layout.machine.text, -1)


def _colour_box(colours, radius, angle, rng):
    near, side = rng.uniform(0.1, 0.4), rng.uniform(-0.3, 0.1)
    box = (radius > near) & (radius < near + 0.5) & (angle > side) & (angle < side + 0.35)
    flow = smooth_noise(colours.shape[1], 0.12, rng)[: len(colours)]
    for sign, colour in ((1, (220, 70, 20)), (-1, (20, 60, 220))):
        part = box & (sign * flow > rng.uniform(0.3, 1.0))
        colours[part] = np.array(colour) * np.minimum(np.abs(flow[part]), 1.3)[:, None] / 1.3
    edges = box & ~cv2.erode(box.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    colours[edges] = 200


def _text(screen, machine, rng):
    """Write a column of settings, and often measurements, sweep speed and heart rate."""
    height, width = screen.shape[:2]
    unit = height / 240
    y, column = rng.uniform(8, 30) * unit, rng.uniform(2, 8) * unit
    for _ in range(rng.integers(0, 12)):
        words = (
            f"{rng.choice(_LINES)} {rng.integers(1, 100)}"
            if rng.random() < 0.6
            else rng.choice(_LINES)
        )
        _write(screen, str(words), column, y, rng.choice([5, 6]) * unit, machine.text)
        y += rng.uniform(7, 11) * unit
    if rng.random() < 0.5:
        y, column = rng.uniform(10, 50) * unit, rng.uniform(0.55, 0.72) * width
        for _ in range(rng.integers(1, 6)):
            words = f"{rng.choice(_LINES)} {rng.uniform(0.1, 200):.1f} {rng.choice(['cm/s', 'mmHg', 'm/s'])}"
            _write(screen, words, column, y, 6 * unit, machine.text)
            y += 9 * unit
    words = (f"{rng.choice([50, 75, 100])}mm/s", f"{rng.integers(40, 130)}bpm")
    for text, x in zip(words, rng.uniform((0.5, 0.75), (0.7, 0.88)).tolist(), strict=True):
        if rng.random() < 0.7:
            _write(screen, text, x * width, height - 3 * unit, 6 * unit, machine.text)


def _write(screen, text, x, y, height, colour):
    """Write ``text``, ``height`` pixels high, with its lower left corner at (x, y)."""
    scale = height / 22
    thick = max(round(2.2 * scale), 1)
    at = (round(float(x)), round(float(y)))
    cv2.putText(screen, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thick, cv2.LINE_AA)
