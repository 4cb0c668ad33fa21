"""Synthetic chest X-rays with exact lung masks, to try everything without a download.

Each patient is drawn from a seed: a body (:mod:`data_prep.synthetic_body`), perhaps a disease
(:mod:`data_prep.synthetic_disease`), then an exposure (:mod:`data_prep.synthetic_film`). Hospitals A
and B differ in their patients, in their diseases and in the look of their films, as the two sets of
UMS-Rep, section 3.1.1, differ. Hospital C is a children's hospital: its patients are normal, have a
pneumonia of one lobe, as bacteria cause it, or have one of both lungs, as viruses cause it. The images
do not replace real ones: nothing measured on them says anything about patients.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from data_prep import synthetic_body as anatomy
from data_prep import synthetic_bones as bones
from data_prep.drawing import draw_all
from data_prep.images import resize_mask
from data_prep.synthetic_disease import MIXTURES, draw_disease, smooth_noise
from data_prep.synthetic_film import collimate, develop, expose, mount
from data_prep.synthetic_vessels import pulmonary_vessels
from data_prep.writing import new_array

HOSPITALS = ("A", "B", "C")
SMALLEST = 32


class Synthetic(NamedTuple):
    """Synthetic X-rays.

    Attributes:
        images: (N, S, S) uint8.
        masks: Lungs, (N, S, S) uint8 of 0 and 1.
        opacities: Disease, (N, S, S) uint8 of 0 and 1.
        labels: (N,) integers, 0 for normal.
    """

    images: np.ndarray
    masks: np.ndarray
    opacities: np.ndarray
    labels: np.ndarray


class Patient(NamedTuple):
    """Who is to be drawn: the seed of all that is random, and the label of :func:`render`."""

    seed: np.random.SeedSequence
    label: int


def make_synthetic(
    n: int,
    size: int,
    rng: np.random.Generator,
    hospital: str = "A",
    abnormal_fraction: float | None = None,
    folder: Path | None = None,
) -> Synthetic:
    """Draw synthetic chest X-rays.

    An opacity lies within the lung mask, which is drawn as if there were none. Every image has a seed
    of its own, drawn from ``rng``, so the result does not depend on the number of processes.

    Args:
        n: Number of images.
        size: Side of the images in pixels, at least 32.
        rng: Source of the seeds.
        hospital: One of ``HOSPITALS``.
        abnormal_fraction: Fraction of images with an opacity, label 1 (at hospital C 1 or 2, in equal
            numbers). By default all values of the label are equally frequent.
        folder: Where to keep the images, in memory-mapped files, so that there may be more of them
            than memory holds; progress is shown. None keeps them in memory.

    Raises:
        ValueError: ``n``, ``size``, ``hospital`` or ``abnormal_fraction`` is out of range.
    """
    check_size(size)
    return draw_patients(draw_lots(n, rng, hospital, abnormal_fraction), size, hospital, folder)


def draw_lots(
    n: int, rng: np.random.Generator, hospital: str, abnormal_fraction: float | None = None
) -> list[Patient]:
    """Draw the labels and seeds of ``n`` patients; arguments and errors as of :func:`make_synthetic`."""
    if n < 1:
        raise ValueError(f"{n} images asked for, should be at least 1")
    if hospital not in HOSPITALS:
        raise ValueError(f"hospital {hospital!r} asked for, should be in {HOSPITALS}")
    diseases = len(MIXTURES[hospital])
    place = rng.permutation(n)
    ill = place < round(n * abnormal_share(hospital, abnormal_fraction))
    labels = np.where(ill, 1 + place % diseases, 0)
    # The hospital is part of the seed: the same rng does not give both the same patients.
    seeds = np.random.SeedSequence([int(rng.integers(2**63)), HOSPITALS.index(hospital)]).spawn(n)
    return [Patient(*both) for both in zip(seeds, labels.tolist(), strict=True)]


def draw_patients(
    patients: Sequence[Patient], size: int, hospital: str, folder: Path | None = None
) -> Synthetic:
    """Draw one X-ray of each patient; ``size`` and ``folder`` as for :func:`make_synthetic`."""
    names, shape = ("images", "masks", "opacities"), (len(patients), size, size)
    arrays = [new_array(folder, f"{name}.raw", shape) for name in names]
    draw = partial(_draw_patient, size, hospital)
    draw_all(draw, patients, arrays, f"hospital {hospital}", folder is not None)
    return Synthetic(*arrays, np.array([patient.label for patient in patients]))


def _draw_patient(
    size: int, hospital: str, patient: Patient
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return render(size, np.random.default_rng(patient.seed), hospital, patient.label)


def abnormal_share(hospital: str, abnormal_fraction: float | None = None) -> float:
    """Return the fraction with an opacity; by default all values of the label are equally frequent.

    Raises:
        ValueError: ``abnormal_fraction`` is not within 0 and 1.
    """
    if abnormal_fraction is None:
        diseases = len(MIXTURES[hospital])
        return diseases / (1 + diseases)
    if not 0 <= abnormal_fraction <= 1:
        raise ValueError(f"abnormal_fraction {abnormal_fraction}, should be within 0 and 1")
    return abnormal_fraction


def check_size(size: int) -> None:
    """Check that images of ``size`` pixels can be drawn.

    Raises:
        ValueError: They cannot.
    """
    if size < SMALLEST:
        raise ValueError(f"images of {size} pixels asked for, should be at least {SMALLEST}")


def render(
    size: int, rng: np.random.Generator, hospital: str = "A", label: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one X-ray.

    Args:
        size: Side of the image in pixels.
        rng: Source of all that is random in it.
        hospital: One of ``HOSPITALS``.
        label: 0 for normal, from 1 on for the diseases of the hospital.

    Returns:
        Image, lung mask and opacity mask, each (size, size) uint8.
    """
    # Below 128 pixels bones are thinner than a pixel: those images are drawn larger and averaged.
    factor = -(-128 // size)
    S = size * factor
    body = anatomy.draw_body(rng, hospital)
    x, y, to_pixel = _pose(S, rng)
    inside, edges = collimate(S, hospital, rng)
    field = anatomy.lung_field(x, y, body) & (inside > 0.5)
    density, opacity = np.zeros_like(x), np.zeros_like(field)
    if label:
        mixture = MIXTURES[hospital][label - 1]
        _, density, opacity = draw_disease(x, y, field, mixture, rng)
    soft, bone = _tissue(x, y, to_pixel, body, density, rng)
    grey = develop(expose(soft, bone, hospital, rng), hospital, rng)
    grey, inside = (
        cv2.resize(m, (size, size), interpolation=cv2.INTER_AREA) for m in (grey, inside)
    )
    grey = mount(grey, inside, edges, hospital, rng)
    image = np.clip(np.rint(255 * grey), 0, 255).astype(np.uint8)
    return image, resize_mask(field, size), resize_mask(opacity, size)


def _pose(
    S: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Return the positions x, y (S, S) of the patient under each pixel, and the map back to pixels.

    The patient stands slightly rotated, shifted, and nearer or farther. A slow wave bends the shapes,
    so that no two patients have lungs of the same form and none is symmetric.
    """
    angle, zoom = rng.normal(0, 0.025), rng.uniform(0.82, 1.03)
    shift = rng.normal(0, [0.03, 0.035])
    c, s = math.cos(angle), math.sin(angle)
    turn = np.array([[c, -s], [s, c]]) * zoom
    r = ((np.arange(S) + 0.5) / S * 2 - 1).astype(np.float32)
    column, row = np.meshgrid(r, r)
    x = float(turn[0, 0]) * column + float(turn[0, 1]) * row + float(shift[0])
    y = float(turn[1, 0]) * column + float(turn[1, 1]) * row + float(shift[1])
    phases, size = rng.uniform(0, 2 * np.pi, 4).tolist(), rng.normal(0, 0.014, 4).tolist()
    x = x + size[0] * np.sin(2.2 * y + phases[0]) + size[1] * np.sin(2.6 * x + phases[1])
    y = y + size[2] * np.sin(2.2 * x + phases[2]) + size[3] * np.sin(2.4 * y + phases[3])

    def to_pixel(points: np.ndarray) -> np.ndarray:
        flat = (points - shift) @ np.linalg.inv(turn).T
        return (flat + 1) / 2 * S - 0.5

    return x, y, to_pixel


def _tissue(
    x: np.ndarray,
    y: np.ndarray,
    to_pixel: Callable[[np.ndarray], np.ndarray],
    body: anatomy.Body,
    density: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the centimetres of soft tissue and of bone along each ray, (S, S) each."""
    S = len(x)
    bent = x - body.spine_bend * np.sin(2.5 * y)
    air = anatomy.lung_air(x, y, body)
    lung = air / air.max()
    heart = 0.9 * air * (1 - np.exp(-anatomy.heart_and_vessels(x, y, body) / 4.5))
    texture = smooth_noise(S, 0.05, rng) + smooth_noise(S, 0.02, rng)
    vessels = pulmonary_vessels(to_pixel, S, rng) * np.sqrt(lung)
    # Inflated lung is a quarter tissue; disease fills the rest of some of its depth.
    tissue = 0.25 + 0.006 * texture + 0.55 * density
    soft = anatomy.soft_tissue(x, y, body) - (air - heart) * (1 - np.clip(tissue, 0, 1))
    soft += 1.7 * vessels - 1.4 * anatomy.airways(bent, y, body)
    soft -= anatomy.stomach_gas(x, y, body, rng)
    soft *= 1 + 0.006 * smooth_noise(S, 0.15, rng)
    bone = bones.ribs(x, y, body) + bones.clavicles(x, y, body)
    bone += bones.shoulder_bones(x, y, body) + bones.spine(bent, y, body, rng)
    return body.scale * np.maximum(soft, 0), body.scale * bone
