"""From velocities to the picture of a spectrum: power, speckle, decibels, and flaws."""

from typing import NamedTuple

import cv2
import numpy as np

from data_prep.doppler_flow import Trace

QUALITIES = ("poor", "good")
"""The values 0 and 1 of the label "quality"."""

FLAWS = ("faint", "broken", "saturated", "noisy")
"""What makes an image poor: mostly one of these, at times two."""

MOMENTS = 320
"""Spectra in a panel, whatever the size of the image; each has speckle of its own."""


class Texture(NamedTuple):
    """How the power of an image is spread and shown; powers in decibels of that of the flow."""

    hollow: float  # power inside the flow as a fraction of that at its edge
    edge: float  # thickness of the edge, as a fraction of the height of the flow
    blur: float  # of the velocities, as a fraction of the height of the panel
    fringe: float  # relative deviation of the shown height from spectrum to spectrum
    grain: int  # rows of speckle in a panel
    other: float  # power of what else the beam meets
    mirror: float  # of the flow on the other side of the baseline
    clutter: float  # of slow walls
    reach: float  # their velocities, as a fraction of the height of the flow
    wall_filter: float  # velocities up to this fraction of the panel are not shown
    noise: float
    signal: float
    white: float
    span: float  # from black to white
    bend: float
    dropout: float  # fraction of the time without signal
    streaks: float  # interference, of all velocities


def draw_texture(flow: int, quality: int, rng: np.random.Generator) -> Texture:
    """Draw the texture of a flow (0 MV, 1 MA, 2 TR) and a quality (0 poor, 1 good)."""
    hollow = np.exp(rng.uniform(*np.log(((0.02, 0.5), (0.01, 0.4), (0.06, 1.0))[flow])))
    span = rng.uniform(26, 38)
    look = Texture(
        hollow=hollow,
        edge=rng.uniform(0.15, 0.45),
        blur=rng.uniform(0.004, 0.012),
        fringe=rng.uniform(0.02, 0.09),
        grain=int(rng.integers(40, 90)),
        other=rng.uniform(-25, -8),
        mirror=rng.uniform(-42, -18),
        clutter=rng.uniform(-22, -2),
        reach=rng.uniform(0.06, 0.25),
        wall_filter=rng.uniform(0.004, 0.02),
        noise=-span + rng.uniform(-9, 0),
        signal=rng.uniform(-5, 0),
        white=rng.uniform(1, 6),
        span=span,
        bend=rng.uniform(0.8, 1.25),
        dropout=max(rng.normal(-0.06, 0.05), 0),
        streaks=max(rng.normal(-0.2, 0.2), 0),
    )
    if quality == 1:
        return look
    flaw = str(rng.choice(FLAWS))
    look = _spoil(look, flaw, rng)
    if flaw != "broken" and rng.random() < 0.3:
        look = _spoil(look, "broken", rng)
    return look


def _spoil(look, flaw, rng):
    if flaw == "faint":
        noise = look.white - look.span + rng.uniform(-1, 3)
        return look._replace(noise=noise, signal=noise + rng.uniform(7, 11))
    if flaw == "broken":
        return look._replace(dropout=rng.uniform(0.35, 0.55))
    if flaw == "saturated":
        return look._replace(
            white=look.white - rng.uniform(11, 15),
            blur=look.blur + rng.uniform(0.01, 0.03),
            mirror=rng.uniform(-20, -10),
            hollow=max(look.hollow, 0.5),
            noise=look.noise - rng.uniform(2, 7),
        )
    return look._replace(
        noise=look.signal - rng.uniform(8, 13),
        white=look.signal + rng.uniform(4, 10),
        span=rng.uniform(18, 26),
        streaks=rng.uniform(0.2, 1.0),
    )


def heights(
    trace: Trace, baseline: float, fill: float, upward: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Scale a trace to a panel.

    Args:
        trace: The velocities.
        baseline: Height of the baseline below the top of the panel, as a fraction of the panel.
        fill: Fraction of its room that the flow takes.
        upward: Whether forward is up.

    Returns:
        The flow and what else the beam meets, above and below the baseline, (2, N) each, as fractions
        of the panel.
    """
    flow = np.stack([trace.forward, trace.backward])
    other = np.stack([trace.other_forward, trace.other_backward])
    if not upward:
        flow, other = flow[::-1], other[::-1]
    room = np.array([baseline, 1 - baseline]) / np.maximum(flow.max(axis=1), 1e-6)
    scale = np.float32(fill * room.min())
    return scale * flow, scale * other


def velocities(rows: int, baseline: float) -> np.ndarray:
    """Return the velocity at each row of a panel, (rows, 1), in units of its height, positive up."""
    return (baseline - (np.arange(rows, dtype=np.float32)[:, None] + 0.5) / rows).astype(np.float32)


def envelope(flow: np.ndarray, v: np.ndarray, columns: int) -> np.ndarray:
    """Return the mask (H, columns) uint8 of the flow, from the baseline to its height."""
    tall = _at(flow, columns)
    return (np.abs(v) <= np.where(v > 0, tall[0], tall[1])).astype(np.uint8)


def show_spectrum(
    clicks: np.ndarray,
    bands: tuple[np.ndarray, np.ndarray],
    v: np.ndarray,
    columns: int,
    look: Texture,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw the grey values of a panel.

    Args:
        clicks: Strength of the sounds of the valves, (N,).
        bands: The flow and what else the beam meets, as :func:`heights` returns them.
        v: Velocity at each row, (H, 1).
        columns: Width of the panel in pixels.
        look: The texture.
        rng: Source of all that is random.

    Returns:
        Values from 0 to 1, (H, columns) float32.
    """
    flow, other = bands
    steady = _smooth(MOMENTS, 40, rng)
    contact = _smooth(MOMENTS, 50, rng)
    broken = contact < np.quantile(contact, look.dropout)
    gain = look.signal + 1.5 * steady - 25 * cv2.blur(broken.astype(np.float32)[None], (5, 1))[0]
    power = _decibels(gain)
    fringe = 1 + look.fringe * _at(rng.standard_normal((1, MOMENTS), dtype=np.float32), columns)
    tall, others = fringe * _at(flow, columns), fringe * _at(other, columns)
    clicks, power = _at(clicks[None], columns), _at(power[None], columns)
    size, up = np.abs(v), v > 0
    total = power * _band(size, np.where(up, *tall), look)
    total += power * _decibels(look.mirror) * _band(size, np.where(up, *tall[::-1]), look)
    wide = look._replace(hollow=0.8, blur=2 * look.blur)
    total += _decibels(look.signal + look.other) * _band(size, np.where(up, *others), wide)
    walls = _at(np.exp(1.4 * _smooth(MOMENTS, 30, rng) - 1)[None], columns)
    total += _decibels(look.clutter) * walls * np.exp(-((size / (look.reach * flow.max())) ** 2))
    total += 0.3 * clicks * np.exp(-size / 0.08)
    total *= 1 - np.exp(-((size / look.wall_filter) ** 4))
    bursts = _at((_smooth(MOMENTS, MOMENTS, rng) > 2.2).astype(np.float32)[None], columns)
    total += _decibels(look.noise) + 0.05 * look.streaks * bursts
    total *= _speckle(len(v), columns, look.grain, rng)
    level = 10 * np.log10(np.maximum(total, 1e-9))
    return np.clip((level - look.white) / look.span + 1, 0, 1) ** look.bend


def _band(size, tall, look):
    """Return the power at velocity ``size`` of a flow as fast as ``tall``: strongest at its edge."""
    inside = 1 / (1 + np.exp(np.clip((size - tall) / look.blur, -30, 30)))
    depth = np.maximum(tall - size, 0) / (look.edge * tall + 0.01)
    return (tall > 0.004) * inside * (look.hollow + (1 - look.hollow) * np.exp(-(depth**2)))


def _speckle(rows, columns, grain, rng):
    """Draw the power of random echoes, (rows, columns) of mean 1, per spectrum, and enlarge it."""
    waves = rng.standard_normal((2, grain, MOMENTS), dtype=np.float32)
    power = (waves**2).mean(axis=0)
    return cv2.resize(power, (columns, rows), interpolation=cv2.INTER_LINEAR)


def _smooth(n, knots, rng):
    """Draw (n,) float32 of deviation about 1, smooth over n / knots."""
    coarse = rng.standard_normal((1, knots), dtype=np.float32)
    return cv2.resize(coarse, (n, 1), interpolation=cv2.INTER_LINEAR)[0]


def _at(values, columns):
    """Resample (K, N) to (K, columns) float32."""
    rows = [cv2.resize(row[None], (columns, 1), interpolation=cv2.INTER_LINEAR) for row in values]
    return np.concatenate(rows)


def _decibels(level):
    return np.float32(10) ** (np.asarray(level, np.float32) / np.float32(10))
