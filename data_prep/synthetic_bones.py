"""The bones of a synthetic chest; positions are those of :mod:`data_prep.synthetic_body`."""

import numpy as np

from data_prep.synthetic_body import Body, lung_edges
from data_prep.synthetic_shapes import ball, rise, tube

RIB_PAIRS = 10


def ribs(x: np.ndarray, y: np.ndarray, body: Body) -> np.ndarray:
    """Return the path through the ribs in cm of bone: loops from the spine that fall in front."""
    cage = lung_edges(y + 0.08, body)[1] + 0.02
    u = np.abs(x) / cage
    inside = np.sqrt(np.maximum(1 - np.minimum(u, 1) ** 2, 2e-3))
    slope = np.minimum(u, 0.999) / inside / cage
    ends = np.clip((1.01 - u) / 0.02, 0, 1)
    total = np.zeros_like(x)
    for i in range(RIB_PAIRS):
        start = body.apex - 0.03 + 0.122 * i
        fall = body.rib_tilt * (0.15 + 0.012 * i)
        back = start + 0.035 - 0.06 * np.sin(np.pi * np.minimum(u * 1.2, 1)) + fall * (1 - inside)
        steep = np.sqrt(1 + (fall * slope) ** 2)
        total += 1.15 * tube((y - back) / steep, 0.031) * ends * np.clip((u - 0.07) / 0.05, 0, 1)
        if i < 7:
            drop = 0.13 + 0.022 * i
            front = start + 0.035 + fall + drop * inside
            steep = np.sqrt(1 + (drop * slope) ** 2)
            start_u = 0.40 + 0.05 * i
            bony = np.clip((u - start_u) / 0.15, 0, 1) * ends
            total += 0.70 * tube((y - front) / steep, 0.032) * bony
    return body.bone * total


def clavicles(x: np.ndarray, y: np.ndarray, body: Body) -> np.ndarray:
    """Return the path through the collar bones in cm of bone."""
    a = np.abs(x)
    s = np.clip((a - 0.06) / 0.66, 0, 1)
    line = body.apex + 0.20 - 0.17 * s - 0.035 * np.sin(2 * np.pi * s)
    ends = np.clip((a - 0.05) / 0.02, 0, 1) * np.clip((0.74 - a) / 0.04, 0, 1)
    radius = 0.027 + 0.012 * (2 * s - 1) ** 4
    return body.bone * 1.9 * tube((y - line) / 1.05, radius) * ends


def shoulder_bones(x: np.ndarray, y: np.ndarray, body: Body) -> np.ndarray:
    """Return the path through shoulder blades and upper arms in cm of bone."""
    a = np.abs(x)
    border = a - (0.60 + 0.10 * np.clip((y + 0.15) / 0.5, -1, 1) + 0.03 * np.sin(5 * y))
    height = np.clip((y + 0.62) / 0.06, 0, 1) * np.clip((0.08 - y) / 0.1, 0, 1)
    outer = 0.84 - 0.22 * np.clip((y + 0.5) / 0.55, 0, 1) - a
    blade = 0.25 * np.clip(border / 0.015, 0, 1) * np.clip(outer / 0.03, 0, 1)
    edge = 0.45 * np.exp(-((border / 0.012) ** 2)) + 0.6 * np.exp(-(((outer - 0.02) / 0.02) ** 2))
    spine = 0.5 * tube(y + 0.56 - 0.25 * (0.85 - a), 0.03) * np.clip((a - 0.5) / 0.15, 0, 1)
    spine = spine * np.clip((0.95 - a) / 0.05, 0, 1)
    centre = 0.90 + (0.25 + body.arm) * (y + 0.45) + 0.3 * body.fat
    shaft = tube(a - centre, 0.055, wall=0.3) * np.clip((y + 0.52) / 0.1, 0, 1)
    head = 1.1 * ball(a, y, 0.91, -0.57, 0.10, 0.11)
    blade = (blade + edge * (outer > -0.05)) * height
    return 1.6 * body.bone * (blade + spine + 1.2 * shaft + head)


def spine(x: np.ndarray, y: np.ndarray, body: Body, rng: np.random.Generator) -> np.ndarray:
    """Return the path through the vertebrae in cm: bodies, plates, pedicles, spinous processes."""
    phase = (y + 1.2 + rng.uniform(0, 0.1)) ** 1.0 / (0.112 + 0.012 * y)
    v = phase - np.floor(phase)
    half = 0.082 + 0.014 * y + 0.008 * np.cos(2 * np.pi * v)
    column = rise(half - np.abs(x), 0.05)
    disc = np.exp(-(((v - 0.5) / 0.09) ** 2))
    plates = np.exp(-(((np.abs(v - 0.5) - 0.15) / 0.05) ** 2))
    pedicle = np.exp(-((((np.abs(x) - 0.052) / 0.018) ** 2 + ((v - 0.93) / 0.16) ** 2) ** 2))
    process = np.exp(-((x / 0.016) ** 2) - ((v - 0.2) / 0.14) ** 2)
    wings = np.exp(-(((v - 0.92) / 0.13) ** 2)) * np.clip((0.16 - np.abs(x)) / 0.04, 0, 1)
    body_cm = column * (1.0 - 0.5 * disc + 0.35 * plates + 0.5 * pedicle + 0.6 * process)
    return body.bone * (body_cm + 0.3 * wings * (np.abs(x) > half))
