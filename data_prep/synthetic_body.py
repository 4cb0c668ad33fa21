"""A chest as an X-ray meets it: how many centimetres of soft tissue, bone and air each ray crosses.

Positions are in units of half an image: x from -1 (the patient's right, the image's left) to 1, y
from -1 (neck) to 1 (belly); 1 unit is about 19 cm. Every function takes `x` and `y` of shape (S, S)
and returns a map of that shape: a path length in cm, or a signed distance (positive inside).
The shapes are simple solids (ellipsoids, tubes, domes) whose path lengths are known in closed form.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

RIB_PAIRS = 10


@dataclass(frozen=True)
class Body:
    """The measures of one patient; lengths in units of half an image unless they say cm."""

    apex: float  # y of the top of the lungs
    base: float  # y of the diaphragm, midway between its domes
    dome_difference: float  # how much higher the right dome stands
    dome_height: float
    width: float  # half-width of the lungs
    depth_cm: float  # front to back
    fat: float  # thickness of the chest wall at the side
    breasts_cm: float
    heart: float  # size, 1 is average
    heart_tilt: float  # radians
    knob: float  # radius of the aortic knob
    arm: float  # how far the arms stand out
    bone: float  # mineral density, 1 is average
    rib_tilt: float
    spine_bend: float
    thymus: float = 0.0  # half-width; adults have none to be seen
    scale: float = 1.0  # the size of the whole body, 1 for adults: thickness in cm goes with it


def draw_body(rng, hospital):
    """Draw the measures of a patient: at hospital A and B of adults, at C of small children.

    Those of hospital B are heavier, older, more often women.
    """
    heavy = rng.normal(0.9 if hospital == "B" else 0.0, 0.8)
    female = rng.random() < (0.6 if hospital == "B" else 0.35)
    breath = rng.normal(-0.5 if hospital == "B" else 0.0, 1.0)
    measures = dict(
        apex=-0.73 + rng.normal(0, 0.02),
        base=0.50 + 0.06 * np.clip(breath, -2, 1.5),
        dome_difference=0.06 + rng.normal(0, 0.02),
        dome_height=0.17 + 0.03 * np.clip(rng.normal(), -1.5, 1.5),
        width=0.64 + rng.normal(0, 0.025),
        depth_cm=20 + 2.0 * np.clip(heavy, -1.5, 2.5) - 1.5 * female,
        fat=0.12 + 0.04 * np.clip(heavy, -1.2, 2.5),
        breasts_cm=female * rng.uniform(1.5, 3.5) * (1 + 0.3 * np.clip(heavy, -1, 2)),
        heart=1.0 + rng.normal(0.06 if hospital == "B" else 0.0, 0.07) - 0.02 * breath,
        heart_tilt=rng.normal(0.6, 0.1),
        knob=rng.uniform(0.055, 0.085) + (0.012 if hospital == "B" else 0.0),
        arm=rng.uniform(-0.08, 0.12),
        bone=rng.normal(0.85 if hospital == "B" else 1.0, 0.1),
        rib_tilt=rng.uniform(0.75, 1.2),
        spine_bend=rng.normal(0, 0.012),
    )
    # A NumPy float64 among float32 maps would make all of them float64, at twice the time.
    body = Body(**{name: float(value) for name, value in measures.items()})
    return _as_child(body, rng) if hospital == "C" else body


def _as_child(body, rng):
    """The measures of a child of one to five years, from an adult's.

    A child's chest is short and round, the heart takes more of its width, the ribs lie flatter, and
    the thymus may widen the space between the lungs.
    """
    return replace(
        body,
        apex=body.apex + 0.10,
        base=body.base - 0.06,
        dome_height=0.8 * body.dome_height,
        depth_cm=1.1 * body.depth_cm,
        breasts_cm=0.0,
        heart=1.13 * body.heart,
        heart_tilt=0.7 * body.heart_tilt,
        knob=0.7 * body.knob,
        bone=1.15 * body.bone,
        rib_tilt=0.55 * body.rib_tilt,
        thymus=float(max(0.0, rng.uniform(-0.1, 0.24))),
        scale=float(rng.uniform(0.5, 0.65)),
    )


def _ball(x, y, cx, cy, rx, ry=None, tilt=0.0):
    """Share of the largest path through an ellipsoid, 0 outside, 1 through its middle."""
    c, s = math.cos(tilt), math.sin(tilt)
    u, v = (x - cx) * c + (y - cy) * s, (y - cy) * c - (x - cx) * s
    return np.sqrt(np.maximum(1 - (u / rx) ** 2 - (v / (ry or rx)) ** 2, 0))


def _rise(d, width):
    """0 at an edge, 1 from `width` inside it on, round like the side of a cylinder."""
    return np.sqrt(1 - (1 - np.clip(d / width, 0, 1)) ** 2)


def _fade(d, width):
    """0 at an edge, 1 from `width` inside it on, without a crease at either end."""
    t = np.clip(d / width, 0, 1)
    return t * t * (3 - 2 * t)


def _tube(distance, radius, wall=0.35):
    """Path through a hollow tube whose wall is `wall` of its radius: bright edges, as of bones."""
    s = np.abs(distance) / radius
    outer = np.sqrt(np.maximum(1 - s**2, 0))
    inner = np.sqrt(np.maximum((1 - wall) ** 2 - s**2, 0))
    return outer - 0.75 * inner


# Lungs, heart, diaphragm --------------------------------------------------------------------------


def lung_edges(y, body):
    """|x| of the inner and outer edge of the lungs at height y."""
    t = np.clip((y - body.apex) / (0.60 - body.apex), 0, 1.3)
    open_ = (1 - (1 - np.clip(t / 0.82, 0, 1)) ** 2.8) ** 0.56
    outer = 0.20 + (body.width - 0.20) * open_ - 0.05 * np.maximum(t - 0.85, 0)
    inner = 0.20 - 0.115 * _rise(t, 0.22)
    return inner, outer


def diaphragm(x, body):
    """y of the diaphragm's upper border, (S, S): two domes, the right one higher."""
    side = np.sign(x)
    u = (np.abs(x) - 0.24) / (body.width - 0.24)
    fall = np.where(u > 0, np.abs(u) ** 2.2, 0.55 * np.abs(u) ** 2)
    return body.base + 0.5 * side * body.dome_difference + body.dome_height * (fall - 0.35)


def mediastinum_parts(x, y, body):
    """Heart, great vessels and the tissue between the lungs as shares of ellipsoids."""
    h, low = body.heart, body.base - 0.50
    thymus = [(5.0, _ball(x, y, 0.01, -0.22, body.thymus, 0.22))] if body.thymus else []
    return [
        *thymus,
        (12.0, _ball(x, y, 0.12, 0.29 + low, 0.37 * h, 0.26 * h, body.heart_tilt)),
        (9.0, _ball(x, y, -0.03, 0.27 + low, 0.185 * h, 0.31 * h)),
        (9.0, _ball(x, y, 0.07, 0.08 + low, 0.17 * h, 0.30)),
        (6.0, _ball(x, y, 0.075, -0.06 + low / 2, 0.105 * h, 0.16)),
        (6.0, _ball(x, y, 0.075, -0.25, body.knob + 0.02, body.knob + 0.03)),
        (7.0, _ball(x, y, 0.0, -0.30, 0.11, 0.42)),
        (7.0, _ball(x, y, 0.02, 0.35, 0.12, 0.6)),
    ]


def lung_distance(x, y, body):
    """Signed distance to the edge of the whole lungs, also where they lie behind the heart."""
    inner, outer = lung_edges(y, body)
    across = np.minimum(outer - np.abs(x), np.abs(x) - inner)
    return np.minimum(across, y - body.apex), diaphragm(x, body) - y


def lung_field(x, y, body):
    """True on the lungs as an annotator outlines them: without heart and mediastinum, (S, S)."""
    across, above = lung_distance(x, y, body)
    field = (across > 0) & (above > 0)
    for _, share in mediastinum_parts(x, y, body):
        field &= share == 0
    return field


def lung_air(x, y, body):
    """Path through the lungs in cm; a thin wedge of them reaches down behind the diaphragm."""
    across, above = lung_distance(x, y, body)
    pixel = 2.0 / x.shape[0]
    dome = np.clip(above / pixel + 0.5, 0, 1)
    recess = 0.22 * np.exp(np.minimum(above, 0) / 0.09)
    tall = 0.62 + 0.38 * _rise(y - body.apex, 0.7)
    depth = 0.68 * body.depth_cm * tall
    return (
        depth
        * (0.35 * _rise(across, 0.045) + 0.65 * _rise(across, 0.26))
        * np.maximum(dome, recess)
    )


def heart_and_vessels(x, y, body):
    """Path through heart, aorta and mediastinum in cm."""
    return sum((cm * share) ** 4 for cm, share in mediastinum_parts(x, y, body)) ** 0.25


# Soft tissue --------------------------------------------------------------------------------------


def soft_tissue(x, y, body):
    """Path through torso, neck, shoulders and arms in cm, as if the lungs were solid."""
    a = np.abs(x)
    beside = np.maximum(a - 0.22, 0)
    top = -0.70 + 0.22 * beside**1.5 - 0.36 * np.exp(-beside / 0.11)
    down = y - top
    half = lung_edges(np.maximum(y, -0.1), body)[1] + body.fat + 0.05 * np.maximum(y - 0.6, 0)
    torso = body.depth_cm * np.maximum(1 - (a / half) ** 3, 0) ** 0.5 * _rise(down, 0.9)
    neck = 11.5 * np.sqrt(np.maximum(1 - (a / 0.25) ** 2, 0)) * _fade(0.1 - y, 0.5)
    deltoid = 1.06 + 0.2 * body.arm + 0.5 * body.fat
    shoulder = 12 * _rise(down, 0.45) * _rise(deltoid - a, 0.35) * _fade(0.05 - y, 0.5)
    centre = 0.90 + (0.25 + body.arm) * (y + 0.45) + 0.3 * body.fat
    arm = 9.0 * np.sqrt(np.maximum(1 - ((a - centre) / (0.17 + 0.3 * body.fat)) ** 2, 0))
    arm *= _rise(down, 0.2)
    total = (torso**4 + neck**4 + shoulder**4 + arm**4) ** 0.25
    return total + _breasts(a, y, body)


def _breasts(a, y, body):
    if not body.breasts_cm:
        return 0.0
    low = 0.36 + 0.06 * (body.breasts_cm - 2)
    share = _ball(a, y, 0.42, low, 0.31, 0.27)
    # The skin of the lower border is met edge on, which is why that border is seen.
    return body.breasts_cm * share**0.8 * np.clip((y - low + 0.35) / 0.3, 0, 1)


def stomach_gas(x, y, body, rng):
    """Path through the gas under the left diaphragm in cm: a bubble with a level, some bowel."""
    dome = body.base - 0.5 * body.dome_difference - 0.35 * body.dome_height
    level = dome + rng.uniform(0.08, 0.18)
    cx, rx = rng.uniform(0.22, 0.38), rng.uniform(0.07, 0.16)
    bubble = _ball(x, y, cx, level, rx, level - dome - 0.025)
    gas = rng.uniform(0, 7) * bubble * np.clip((level - y) * x.shape[0] / 2 + 0.5, 0, 1)
    for _ in range(rng.integers(0, 5)):
        cx, cy, r = rng.uniform(-0.1, 0.5), rng.uniform(level + 0.1, 1.1), rng.uniform(0.03, 0.07)
        gas = gas + rng.uniform(0.5, 2.5) * _ball(x, y, cx, cy, r, r * rng.uniform(0.6, 1))
    return gas


def airways(x, y, body):
    """Path through trachea and main bronchi in cm."""
    carina = -0.20
    bend = 0.012 * np.clip((y - body.apex) / 0.4, 0, 1)
    trachea = np.sqrt(np.maximum(1 - ((x + bend) / 0.042) ** 2, 0))
    trachea *= np.clip((carina - y) / 0.03, 0, 1)
    bronchi = 0.0
    for side, slope in ((-1, 0.95), (1, 1.45)):
        across = (side * x - 0.01 - slope * (y - carina + 0.02)) / math.hypot(1, slope)
        along = np.clip((y - carina + 0.03) / 0.03, 0, 1) * np.clip((0.02 - y) / 0.12, 0, 1)
        bronchi = bronchi + np.sqrt(np.maximum(1 - (across / 0.030) ** 2, 0)) * along
    return 1.8 * trachea + 1.1 * bronchi


# Bones --------------------------------------------------------------------------------------------


def ribs(x, y, body):
    """Path through the ribs in cm of bone: each a loop, behind from the spine, in front falling."""
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
        total += 1.15 * _tube((y - back) / steep, 0.031) * ends * np.clip((u - 0.07) / 0.05, 0, 1)
        if i < 7:
            drop = 0.13 + 0.022 * i
            front = start + 0.035 + fall + drop * inside
            steep = np.sqrt(1 + (drop * slope) ** 2)
            start_u = 0.40 + 0.05 * i
            bony = np.clip((u - start_u) / 0.15, 0, 1) * ends
            total += 0.70 * _tube((y - front) / steep, 0.032) * bony
    return body.bone * total


def clavicles(x, y, body):
    """Path through the collar bones in cm of bone."""
    a = np.abs(x)
    s = np.clip((a - 0.06) / 0.66, 0, 1)
    line = body.apex + 0.20 - 0.17 * s - 0.035 * np.sin(2 * np.pi * s)
    ends = np.clip((a - 0.05) / 0.02, 0, 1) * np.clip((0.74 - a) / 0.04, 0, 1)
    radius = 0.027 + 0.012 * (2 * s - 1) ** 4
    return body.bone * 1.9 * _tube((y - line) / 1.05, radius) * ends


def shoulder_bones(x, y, body):
    """Path through shoulder blades and upper arms in cm of bone."""
    a = np.abs(x)
    border = a - (0.60 + 0.10 * np.clip((y + 0.15) / 0.5, -1, 1) + 0.03 * np.sin(5 * y))
    height = np.clip((y + 0.62) / 0.06, 0, 1) * np.clip((0.08 - y) / 0.1, 0, 1)
    outer = 0.84 - 0.22 * np.clip((y + 0.5) / 0.55, 0, 1) - a
    blade = 0.25 * np.clip(border / 0.015, 0, 1) * np.clip(outer / 0.03, 0, 1)
    edge = 0.45 * np.exp(-((border / 0.012) ** 2)) + 0.6 * np.exp(-(((outer - 0.02) / 0.02) ** 2))
    spine = 0.5 * _tube(y + 0.56 - 0.25 * (0.85 - a), 0.03) * np.clip((a - 0.5) / 0.15, 0, 1)
    spine = spine * np.clip((0.95 - a) / 0.05, 0, 1)
    centre = 0.90 + (0.25 + body.arm) * (y + 0.45) + 0.3 * body.fat
    shaft = _tube(a - centre, 0.055, wall=0.3) * np.clip((y + 0.52) / 0.1, 0, 1)
    head = 1.1 * _ball(a, y, 0.91, -0.57, 0.10, 0.11)
    blade = (blade + edge * (outer > -0.05)) * height
    return 1.6 * body.bone * (blade + spine + 1.2 * shaft + head)


def spine(x, y, body, rng):
    """Path through the vertebrae in cm of bone: bodies, end plates, pedicles, spinous processes."""
    phase = (y + 1.2 + rng.uniform(0, 0.1)) ** 1.0 / (0.112 + 0.012 * y)
    v = phase - np.floor(phase)
    half = 0.082 + 0.014 * y + 0.008 * np.cos(2 * np.pi * v)
    column = _rise(half - np.abs(x), 0.05)
    disc = np.exp(-(((v - 0.5) / 0.09) ** 2))
    plates = np.exp(-(((np.abs(v - 0.5) - 0.15) / 0.05) ** 2))
    pedicle = np.exp(-((((np.abs(x) - 0.052) / 0.018) ** 2 + ((v - 0.93) / 0.16) ** 2) ** 2))
    process = np.exp(-((x / 0.016) ** 2) - ((v - 0.2) / 0.14) ** 2)
    wings = np.exp(-(((v - 0.92) / 0.13) ** 2)) * np.clip((0.16 - np.abs(x)) / 0.04, 0, 1)
    body_cm = column * (1.0 - 0.5 * disc + 0.35 * plates + 0.5 * pedicle + 0.6 * process)
    return body.bone * (body_cm + 0.3 * wings * (np.abs(x) > half))


# Vessels ------------------------------------------------------------------------------------------


def pulmonary_vessels(to_pixel, size, body, rng):
    """Path through the branching vessels of both lungs in cm of blood, (size, size).

    `to_pixel` maps positions (..., 2) of the patient to pixels of the image.
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
    """Wavy vessels that leave both hila and divide in two again and again.

    Returns their radii (K,) and the points they pass, (K, 6, 2).
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
