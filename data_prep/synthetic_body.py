"""A chest as X-rays cross it: how many centimetres of soft tissue, bone and air are on each ray.

Positions are in units of half an image: x from -1 (right of the patient, left of the image) to 1, y
from -1 (neck) to 1 (belly); 1 unit is about 19 cm. Every function takes ``x`` and ``y`` of shape (S, S)
and returns a map of that shape: a path length in cm, or a signed distance (positive inside).
Bones and vessels have modules of their own.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from data_prep.synthetic_shapes import ball, fade, rise


@dataclass(frozen=True)
class Body:
    """The measures of one patient; lengths are in units of half an image, or in cm where named so."""

    apex: float  # y of the top of the lungs
    base: float  # y of the diaphragm, midway between its domes
    dome_difference: float  # how much higher the right dome is
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
    thymus: float = 0.0  # half-width; in adults it is not visible
    scale: float = 1.0  # size of the whole body, 1 for adults; it scales the thickness in cm


def draw_body(rng: np.random.Generator, hospital: str) -> Body:
    """Draw the measures of a patient: of an adult at hospital A and B, of a small child at C.

    The patients of hospital B are heavier and older, and more often women.
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
    # A NumPy float64 among float32 maps would make all of them float64, which takes twice the time.
    body = Body(**{name: float(value) for name, value in measures.items()})
    return _as_child(body, rng) if hospital == "C" else body


def _as_child(body: Body, rng: np.random.Generator) -> Body:
    """Turn the measures of an adult into those of a child of one to five years.

    The chest of a child is short and round, the heart takes more of its width, the ribs are flatter,
    and the thymus may widen the space between the lungs.
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


# Lungs, heart, diaphragm --------------------------------------------------------------------------


def lung_edges(y: np.ndarray, body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Return the absolute x of the inner and outer edge of the lungs at height y."""
    t = np.clip((y - body.apex) / (0.60 - body.apex), 0, 1.3)
    open_ = (1 - (1 - np.clip(t / 0.82, 0, 1)) ** 2.8) ** 0.56
    outer = 0.20 + (body.width - 0.20) * open_ - 0.05 * np.maximum(t - 0.85, 0)
    inner = 0.20 - 0.115 * rise(t, 0.22)
    return inner, outer


def diaphragm(x: np.ndarray, body: Body) -> np.ndarray:
    """Return y of the upper border of the diaphragm, (S, S): two domes, the right one higher."""
    side = np.sign(x)
    u = (np.abs(x) - 0.24) / (body.width - 0.24)
    fall = np.where(u > 0, np.abs(u) ** 2.2, 0.55 * np.abs(u) ** 2)
    return body.base + 0.5 * side * body.dome_difference + body.dome_height * (fall - 0.35)


def mediastinum_parts(x: np.ndarray, y: np.ndarray, body: Body) -> list[tuple[float, np.ndarray]]:
    """Return heart, great vessels and the tissue between the lungs: cm, and the form of each."""
    h, low = body.heart, body.base - 0.50
    thymus = [(5.0, ball(x, y, 0.01, -0.22, body.thymus, 0.22))] if body.thymus else []
    return [
        *thymus,
        (12.0, ball(x, y, 0.12, 0.29 + low, 0.37 * h, 0.26 * h, body.heart_tilt)),
        (9.0, ball(x, y, -0.03, 0.27 + low, 0.185 * h, 0.31 * h)),
        (9.0, ball(x, y, 0.07, 0.08 + low, 0.17 * h, 0.30)),
        (6.0, ball(x, y, 0.075, -0.06 + low / 2, 0.105 * h, 0.16)),
        (6.0, ball(x, y, 0.075, -0.25, body.knob + 0.02, body.knob + 0.03)),
        (7.0, ball(x, y, 0.0, -0.30, 0.11, 0.42)),
        (7.0, ball(x, y, 0.02, 0.35, 0.12, 0.6)),
    ]


def lung_distance(x: np.ndarray, y: np.ndarray, body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Return the signed distances to the edge of the lungs and to the diaphragm.

    The lungs are whole here, including what lies behind the heart.
    """
    inner, outer = lung_edges(y, body)
    across = np.minimum(outer - np.abs(x), np.abs(x) - inner)
    return np.minimum(across, y - body.apex), diaphragm(x, body) - y


def lung_field(x: np.ndarray, y: np.ndarray, body: Body) -> np.ndarray:
    """Return the lungs as an annotator outlines them, (S, S) bool: without heart and mediastinum."""
    across, above = lung_distance(x, y, body)
    field = (across > 0) & (above > 0)
    for _, share in mediastinum_parts(x, y, body):
        field &= share == 0
    return field


def lung_air(x: np.ndarray, y: np.ndarray, body: Body) -> np.ndarray:
    """Return the path through the lungs in cm; a thin wedge reaches down behind the diaphragm."""
    across, above = lung_distance(x, y, body)
    pixel = 2.0 / x.shape[0]
    dome = np.clip(above / pixel + 0.5, 0, 1)
    recess = 0.22 * np.exp(np.minimum(above, 0) / 0.09)
    tall = 0.62 + 0.38 * rise(y - body.apex, 0.7)
    depth = 0.68 * body.depth_cm * tall
    return (
        depth * (0.35 * rise(across, 0.045) + 0.65 * rise(across, 0.26)) * np.maximum(dome, recess)
    )


def heart_and_vessels(x: np.ndarray, y: np.ndarray, body: Body) -> np.ndarray:
    """Return the path through heart, aorta and mediastinum in cm."""
    return sum((cm * share) ** 4 for cm, share in mediastinum_parts(x, y, body)) ** 0.25


# Soft tissue --------------------------------------------------------------------------------------


def soft_tissue(x: np.ndarray, y: np.ndarray, body: Body) -> np.ndarray:
    """Return the path through torso, neck, shoulders and arms in cm, as if the lungs were solid."""
    a = np.abs(x)
    beside = np.maximum(a - 0.22, 0)
    top = -0.70 + 0.22 * beside**1.5 - 0.36 * np.exp(-beside / 0.11)
    down = y - top
    half = lung_edges(np.maximum(y, -0.1), body)[1] + body.fat + 0.05 * np.maximum(y - 0.6, 0)
    torso = body.depth_cm * np.maximum(1 - (a / half) ** 3, 0) ** 0.5 * rise(down, 0.9)
    neck = 11.5 * np.sqrt(np.maximum(1 - (a / 0.25) ** 2, 0)) * fade(0.1 - y, 0.5)
    deltoid = 1.06 + 0.2 * body.arm + 0.5 * body.fat
    shoulder = 12 * rise(down, 0.45) * rise(deltoid - a, 0.35) * fade(0.05 - y, 0.5)
    centre = 0.90 + (0.25 + body.arm) * (y + 0.45) + 0.3 * body.fat
    arm = 9.0 * np.sqrt(np.maximum(1 - ((a - centre) / (0.17 + 0.3 * body.fat)) ** 2, 0))
    arm *= rise(down, 0.2)
    total = (torso**4 + neck**4 + shoulder**4 + arm**4) ** 0.25
    return total + _breasts(a, y, body)


def _breasts(a, y, body):
    if not body.breasts_cm:
        return 0.0
    low = 0.36 + 0.06 * (body.breasts_cm - 2)
    share = ball(a, y, 0.42, low, 0.31, 0.27)
    # Rays cross the skin of the lower border edge on, which is why that border is visible.
    return body.breasts_cm * share**0.8 * np.clip((y - low + 0.35) / 0.3, 0, 1)


def stomach_gas(x: np.ndarray, y: np.ndarray, body: Body, rng: np.random.Generator) -> np.ndarray:
    """Return the path through the gas below the left diaphragm in cm: a bubble and some bowel."""
    dome = body.base - 0.5 * body.dome_difference - 0.35 * body.dome_height
    level = dome + rng.uniform(0.08, 0.18)
    cx, rx = rng.uniform(0.22, 0.38), rng.uniform(0.07, 0.16)
    bubble = ball(x, y, cx, level, rx, level - dome - 0.025)
    gas = rng.uniform(0, 7) * bubble * np.clip((level - y) * x.shape[0] / 2 + 0.5, 0, 1)
    for _ in range(rng.integers(0, 5)):
        cx, cy, r = rng.uniform(-0.1, 0.5), rng.uniform(level + 0.1, 1.1), rng.uniform(0.03, 0.07)
        gas = gas + rng.uniform(0.5, 2.5) * ball(x, y, cx, cy, r, r * rng.uniform(0.6, 1))
    return gas


def airways(x: np.ndarray, y: np.ndarray, body: Body) -> np.ndarray:
    """Return the path through trachea and main bronchi in cm."""
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
