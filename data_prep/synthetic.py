"""Synthetic chest X-rays with exact lung masks, to try everything without a download.

Each patient is drawn from a seed: a body (:mod:`data_prep.synthetic_body`), perhaps a disease
(:mod:`data_prep.synthetic_disease`), then an exposure (:mod:`data_prep.synthetic_film`). Hospitals A
and B differ in their patients, in their diseases and in the look of their films, as the two sets of
UMS-Rep, section 3.1.1, differ. Hospital C is a children's hospital: its patients are normal, have a
pneumonia of one lobe, as bacteria cause it, or have one of both lungs, as viruses cause it. The images
do not replace real ones: nothing measured on them says anything about patients.
"""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from data_prep import synthetic_body as anatomy
from data_prep import synthetic_bones as bones
from data_prep.images import resize_mask
from data_prep.look import draw_pictures
from data_prep.options import Options
from data_prep.pediatric import CLASSES
from data_prep.splits import FRACTIONS, split_by_patient
from data_prep.synthetic_disease import MIXTURES, draw_disease, smooth_noise
from data_prep.synthetic_film import collimate, develop, expose, mount
from data_prep.synthetic_vessels import pulmonary_vessels
from data_prep.writing import (
    Content,
    check_replaceable,
    new_array,
    save_prepared,
    scratch_folder,
)
from ums.data.prepared import Prepared

HOSPITALS = ("A", "B", "C")
LABELS = {"A": "abnormal", "B": "abnormal", "C": "pneumonia"}
"""The label of a hospital's images; "pneumonia" has the values of ``data_prep.pediatric``."""

CHILDREN_FRACTIONS = (0.8, 0.0, 0.2)
"""Hospital C is split as the pediatric set is: a part for cross-validation and a test part."""

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
    of its own, drawn from ``rng``, so the result does not depend on the number of threads.

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
    _check(n, size, hospital)
    diseases = len(MIXTURES[hospital])
    place = rng.permutation(n)
    ill = place < round(n * _fraction(hospital, abnormal_fraction))
    labels = np.where(ill, 1 + place % diseases, 0)
    names = ("images", "masks", "opacities")
    made = Synthetic(*(new_array(folder, f"{k}.raw", (n, size, size)) for k in names), labels)

    def fill(i: int, child: np.random.Generator) -> None:
        made.images[i], made.masks[i], made.opacities[i] = render(size, child, hospital, labels[i])

    # The hospital is part of the seed: the same rng does not give both the same patients.
    seeds = np.random.SeedSequence([int(rng.integers(2**63)), HOSPITALS.index(hospital)]).spawn(n)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        jobs = [pool.submit(fill, i, np.random.default_rng(seed)) for i, seed in enumerate(seeds)]
        hide = True if folder is None else None  # None: only where there is no terminal
        try:
            for job in tqdm(jobs, desc=f"hospital {hospital}", unit="image", disable=hide):
                job.result()
        finally:
            pool.shutdown(cancel_futures=True)
    return made


def prepare_synthetic(
    out: str | Path,
    n: int,
    options: Options,
    hospital: str = "A",
    abnormal_fraction: float | None = None,
) -> Prepared:
    """Draw ``n`` images as :func:`make_synthetic` does, split them and write the folder ``out``.

    Every image counts as its own patient. The images of hospital C have no validation part, and their
    test part has the same share of every class.

    Raises:
        FileExistsError: ``out`` exists and may not be replaced.
        ValueError: An argument is out of range.
    """
    check_replaceable(out, options.overwrite)
    size = options.size
    _check(n, size, hospital)
    given = {
        "images": n,
        "size": size,
        "hospital": hospital,
        "abnormal": _fraction(hospital, abnormal_fraction),
        "fractions": list(CHILDREN_FRACTIONS if hospital == "C" else FRACTIONS),
    }
    about: dict[str, Any] = {
        "name": f"synthetic hospital {hospital}",
        "source": f"synthetic chest X-rays, hospital {hospital}",
        "licence": "made by this library; no patient is shown",
        "settings": given | {"seed": options.seed},
    }
    if hospital == "C":
        about["label_values"] = {LABELS["C"]: {str(v): name for v, name in enumerate(CLASSES)}}
    rng = np.random.default_rng(options.seed)

    def draw(folder: Path) -> Prepared:
        made = make_synthetic(n, size, rng, hospital, abnormal_fraction, folder)
        content = _content(made, about, rng)
        pictures = draw_pictures(content)
        return save_prepared(out, content, pictures=pictures, overwrite=options.overwrite)

    with scratch_folder(out) as folder:
        return draw(folder)  # its arrays are gone before the folder: Windows deletes none in use


def _content(made: Synthetic, about: dict[str, Any], rng: np.random.Generator) -> Content:
    hospital, fractions = about["settings"]["hospital"], about["settings"]["fractions"]
    ids = [f"{hospital}{i:04d}" for i in range(1, len(made.labels) + 1)]
    alike = made.labels if hospital == "C" else np.zeros(len(ids))
    return Content(
        made.images,
        ids=ids,
        patients=ids,
        splits=_split(np.array(ids), alike, fractions, rng).tolist(),
        labels={LABELS[hospital]: made.labels},
        masks=made.masks,
        opacities=made.opacities,
        about=about,
    )


def _fraction(hospital: str, abnormal_fraction: float | None) -> float:
    """Return the fraction with an opacity; by default all values of the label are equally frequent."""
    if abnormal_fraction is None:
        diseases = len(MIXTURES[hospital])
        return diseases / (1 + diseases)
    if not 0 <= abnormal_fraction <= 1:
        raise ValueError(f"abnormal_fraction {abnormal_fraction}, should be within 0 and 1")
    return abnormal_fraction


def _split(
    patients: np.ndarray, alike: np.ndarray, fractions: Sequence[float], rng: np.random.Generator
) -> np.ndarray:
    """Split the patients of each value of ``alike`` separately; all arrays are (N,)."""
    splits = np.empty(len(patients), dtype=object)
    for value in np.unique(alike):
        splits[alike == value] = split_by_patient(patients[alike == value], fractions, rng)
    return splits


def _check(n: int, size: int, hospital: str) -> None:
    if n < 1:
        raise ValueError(f"{n} images asked for, should be at least 1")
    if size < SMALLEST:
        raise ValueError(f"images of {size} pixels asked for, should be at least {SMALLEST}")
    if hospital not in HOSPITALS:
        raise ValueError(f"hospital {hospital!r} asked for, should be in {HOSPITALS}")


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
