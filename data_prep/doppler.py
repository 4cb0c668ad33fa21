"""Synthetic Doppler echocardiograms with exact envelope masks, flow and quality.

Each patient has a heart (:mod:`data_prep.doppler_flow`) and is examined with one machine. Each image
shows one of the three flows of UMS-Rep, section 3.1.2, as a spectrum
(:mod:`data_prep.doppler_spectrum`) on a screen (:mod:`data_prep.doppler_screen`). The mask is the whole
envelope of the flow, even where its picture is faint or broken. The images do not replace real ones:
nothing measured on them says anything about patients.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from data_prep.doppler_flow import FLOWS, Patient, draw_patient, draw_trace
from data_prep.doppler_screen import MACHINES, draw_layout, draw_screen, panel_box
from data_prep.doppler_spectrum import (
    MOMENTS,
    draw_texture,
    envelope,
    heights,
    show_spectrum,
    velocities,
)
from data_prep.drawing import draw_all
from data_prep.images import resize_mask
from data_prep.writing import new_array

PAPER = {"MV": 855, "MA": 490, "TR": 1099}
"""The images of each flow in UMS-Rep, Table 1; ``PAPER_QUALITY`` of them have a quality label."""

PAPER_QUALITY = 814
GOOD = 0.6
"""The fraction of good images, which the paper does not state."""

SMALLEST = 32


class Doppler(NamedTuple):
    """Synthetic Doppler images.

    Attributes:
        images: (N, S, S, 3) uint8 in RGB.
        masks: Envelopes, (N, S, S) uint8 of 0 and 1.
        flow: (N,) integers.
        quality: (N,) integers, -1 where the quality is not labelled.
        drawn_quality: (N,) integers: the quality of all images, labelled or not.
        patients: (N,) integers from 0.
    """

    images: np.ndarray
    masks: np.ndarray
    flow: np.ndarray
    quality: np.ndarray
    drawn_quality: np.ndarray
    patients: np.ndarray


def make_doppler(
    n: int,
    size: int,
    rng: np.random.Generator,
    patients: int | None = None,
    part: np.ndarray | None = None,
    folder: Path | None = None,
) -> Doppler:
    """Draw synthetic Doppler images, ordered by patient.

    Flows are in the paper's proportions and a third of the images have a quality label, as there.
    Every image has a seed of its own, drawn from ``rng``: neither the size nor the number of processes
    changes which patients and flows are drawn.

    Args:
        n: Number of images.
        size: Side of the images in pixels, at least 32.
        rng: Source of the seeds.
        patients: Number of patients; by default each has as many images as in the paper.
        part: The part of the set that each patient belongs to, (patients,); every part has its share
            of each flow and quality.
        folder: Where to keep images and masks, in memory-mapped files; progress is shown. None keeps
            them in memory.

    Raises:
        ValueError: ``n``, ``size`` or ``patients`` is out of range.
    """
    patients = default_patients(n) if patients is None else patients
    check_numbers(n, size, patients)
    part = np.zeros(patients, int) if part is None else np.asarray(part)
    of_image = np.repeat(np.arange(patients), _images_each(n, patients, rng))
    flow, drawn, labelled = deal(n, part[of_image], rng)
    seeds = np.random.SeedSequence(int(rng.integers(2**63))).spawn(n + patients)
    people = [draw_patient(np.random.default_rng(seed), len(MACHINES)) for seed in seeds[n:]]
    images = new_array(folder, "images.raw", (n, size, size, 3))
    masks = new_array(folder, "masks.raw", (n, size, size))
    jobs = [(seeds[i], people[of_image[i]], int(flow[i]), int(drawn[i])) for i in range(n)]
    draw_all(partial(_draw_screen, size), jobs, (images, masks), "doppler", folder is not None)
    return Doppler(images, masks, flow, np.where(labelled, drawn, -1), drawn, of_image)


Job = tuple[np.random.SeedSequence, Patient, int, int]
"""What one screen is drawn from: a seed, the patient, the flow and the quality."""


def _draw_screen(size: int, job: Job) -> tuple[np.ndarray, np.ndarray]:
    seed, patient, flow, quality = job
    return render(size, np.random.default_rng(seed), patient, flow, quality)


def default_patients(n: int) -> int:
    """Return how many patients ``n`` images come from at the paper's rate, at least 1."""
    return max(round(100 * n / sum(PAPER.values())), 1)


def check_numbers(n: int, size: int, patients: int) -> None:
    """Check that this many images, pixels and patients can be drawn.

    Raises:
        ValueError: They cannot.
    """
    if n < 1:
        raise ValueError(f"{n} images asked for, should be at least 1")
    if size < SMALLEST:
        raise ValueError(f"images of {size} pixels asked for, should be at least {SMALLEST}")
    if not 1 <= patients <= n:
        raise ValueError(f"{patients} patients for {n} images, should be from 1 to {n}")


def render(
    size: int, rng: np.random.Generator, patient: Patient, flow: int, quality: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one screen.

    Args:
        size: Side of the image in pixels.
        rng: Source of all that is random in it.
        patient: The patient.
        flow: 0 MV, 1 MA, 2 TR.
        quality: 0 poor, 1 good.

    Returns:
        The image (size, size, 3) in RGB and the mask (size, size), both uint8.
    """
    # The screen is 4 to 3, as real ones are, and finer than the image: it is averaged down.
    shape = (max(240, -(-3 * size // 2)), max(320, 2 * size))
    machine = MACHINES[patient.machine]
    layout = draw_layout(machine, rng)
    top, bottom, left, right = panel_box(layout, shape)
    seconds = rng.choice([2.0, 2.8, 4.0]) * rng.uniform(0.85, 1.15)
    trace = draw_trace(flow, patient, seconds, MOMENTS, rng)
    baseline, fill = rng.uniform(0.35, 0.65), rng.uniform(0.5, 0.95)
    # Mitral inflow moves towards the probe and a jet away from it; a display may be inverted.
    turned = rng.random() < (0, 0.03, 0.04)[flow]
    bands = heights(trace, baseline, fill, upward=(flow != FLOWS.index("TR")) != turned)
    v = velocities(bottom - top, baseline)
    look = draw_texture(flow, quality, rng)
    grey = show_spectrum(trace.clicks, bands, v, right - left, look, rng)
    screen = draw_screen(grey, trace.ecg, baseline, layout, shape, rng)
    mask = np.zeros(shape, np.uint8)
    mask[top:bottom, left:right] = envelope(bands[0], v, right - left)
    image = cv2.resize(screen, (size, size), interpolation=cv2.INTER_AREA)
    return image, resize_mask(mask, size)


def _images_each(n: int, patients: int, rng: np.random.Generator) -> np.ndarray:
    """Draw how many images each patient has: (patients,) integers from 1 that sum to ``n``."""
    share = rng.uniform(0.6, 1.4, patients)
    ends = np.rint(np.cumsum(share) / share.sum() * (n - patients)).astype(int)
    return 1 + np.diff(ends, prepend=0)


def deal(
    n: int, part: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Deal out flows and qualities: to every part in the paper's proportions, at random within it.

    Args:
        n: Number of images.
        part: The part that each image belongs to, (n,).
        rng: Source of the order.

    Returns:
        Flow, quality and whether the quality is labelled, (n,) each.
    """
    flows = _spread(list(PAPER.values()), n)
    labelled = PAPER_QUALITY / sum(PAPER.values())
    kinds = _spread(np.outer([1 - labelled, labelled], [1 - GOOD, GOOD]).ravel(), n)
    flow, kind = np.empty(n, int), np.empty(n, int)
    rows = np.argsort(part, kind="stable")
    for name in np.unique(part):
        at = np.flatnonzero(part[rows] == name)
        flow[rows[at]], kind[rows[at]] = rng.permutation(flows[at]), rng.permutation(kinds[at])
    return flow, kind % 2, kind >= 2


def _spread(weights: Sequence[float] | np.ndarray, n: int) -> np.ndarray:
    """Return (n,) integers from 0 in proportion to ``weights``, in every stretch as in the whole."""
    wanted = n * np.asarray(weights, float) / np.sum(weights)
    counts = np.floor(wanted).astype(int)
    counts[np.argsort(counts - wanted, kind="stable")[: n - counts.sum()]] += 1
    places = np.concatenate([(np.arange(c) + 0.5) / max(c, 1) for c in counts])
    return np.repeat(np.arange(len(counts)), counts)[np.argsort(places, kind="stable")]
