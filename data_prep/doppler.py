"""Synthetic Doppler echocardiograms with exact envelope masks, flow and quality.

Each patient has a heart (`doppler_flow`) and is examined with one machine; each image is one of the
three flows of UMS-Rep, section 3.1.2, as a spectrum (`doppler_spectrum`) on a screen
(`doppler_screen`). The mask is the flow's whole envelope, also where the picture of it is faint or
broken. The images are no substitute for real ones: nothing measured on them says anything about
patients.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from data_prep.doppler_flow import FLOWS, draw_patient, draw_trace
from data_prep.doppler_screen import MACHINES, draw_layout, draw_screen, panel_box
from data_prep.doppler_spectrum import (
    MOMENTS,
    draw_texture,
    envelope,
    heights,
    show_spectrum,
    velocities,
)
from data_prep.images import resize_mask
from ums.data.rows import new_array

PAPER = {"MV": 855, "MA": 490, "TR": 1099}
"""The images of each flow in UMS-Rep, Table 1; quality is labelled on `PAPER_QUALITY` of them."""

PAPER_QUALITY = 814
GOOD = 0.6
"""The share of good images, which the paper does not give."""

SMALLEST = 32


class Doppler(NamedTuple):
    """`images` (N, S, S, 3) uint8 in RGB, `masks` (N, S, S) uint8 of 0 and 1; (N,) integers: `flow`,
    `quality` with -1 where it is not labelled, `drawn_quality`, and `patients`, from 0."""

    images: np.ndarray
    masks: np.ndarray
    flow: np.ndarray
    quality: np.ndarray
    drawn_quality: np.ndarray
    patients: np.ndarray


def make_doppler(n, size, rng, patients=None, part=None, progress=False, folder=None):
    """Draw `n` synthetic Doppler images of size x size pixels; return `Doppler`, ordered by patient.

    patients: how many, by default as many images each as in the paper (100 for 2,444). Flows are in
    the paper's proportions, the quality is labelled on a third, as there. `part`, (patients,), says
    to which part of the set each belongs: every part has its share of each flow and quality. Every
    image has a seed of its own, drawn from `rng`: neither the size nor the number of threads changes
    who is drawn. With `folder`, images and masks are memory-mapped files in it.

    Raises `ValueError` for n < 1, size < 32, more patients than images or none.
    """
    patients = default_patients(n) if patients is None else patients
    check_wishes(n, size, patients)
    part = np.zeros(patients, int) if part is None else np.asarray(part)
    of_image = np.repeat(np.arange(patients), _images_each(n, patients, rng))
    flow, drawn, labelled = deal(n, part[of_image], rng)
    seeds = np.random.SeedSequence(int(rng.integers(2**63))).spawn(n + patients)
    people = [draw_patient(np.random.default_rng(seed), len(MACHINES)) for seed in seeds[n:]]
    images = new_array(folder, "images.raw", (n, size, size, 3))
    masks = new_array(folder, "masks.raw", (n, size, size))

    def fill(i, child):
        images[i], masks[i] = render(size, child, people[of_image[i]], flow[i], drawn[i])

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        jobs = [pool.submit(fill, i, np.random.default_rng(seeds[i])) for i in range(n)]
        hide = None if progress else True  # None: only where there is no terminal
        try:
            for job in tqdm(jobs, desc="doppler", unit="image", disable=hide):
                job.result()
        finally:
            pool.shutdown(cancel_futures=True)
    return Doppler(images, masks, flow, np.where(labelled, drawn, -1), drawn, of_image)


def default_patients(n):
    """Patients for `n` images, as many as the paper would have; at least 1."""
    return max(round(100 * n / sum(PAPER.values())), 1)


def check_wishes(n, size, patients):
    """Raise `ValueError` where so many images, pixels or patients cannot be drawn."""
    if n < 1:
        raise ValueError(f"{n} images asked for, should be at least 1")
    if size < SMALLEST:
        raise ValueError(f"images of {size} pixels asked for, should be at least {SMALLEST}")
    if not 1 <= patients <= n:
        raise ValueError(f"{patients} patients for {n} images, should be from 1 to {n}")


def render(size, rng, patient, flow, quality):
    """Draw one screen; return image (size, size, 3) in RGB and mask (size, size), both uint8.

    flow: 0 MV, 1 MA, 2 TR; quality: 0 poor, 1 good.
    """
    # The screen is 4 to 3, as real ones are, and finer than the image, which it is averaged to.
    shape = (max(240, -(-3 * size // 2)), max(320, 2 * size))
    machine = MACHINES[patient.machine]
    layout = draw_layout(machine, rng)
    top, bottom, left, right = panel_box(layout, shape)
    seconds = rng.choice([2.0, 2.8, 4.0]) * rng.uniform(0.85, 1.15)
    trace = draw_trace(flow, patient, seconds, MOMENTS, rng)
    baseline, fill = rng.uniform(0.35, 0.65), rng.uniform(0.5, 0.95)
    # Mitral inflow comes towards the probe, a jet leaves it; a display may be turned round.
    turned = rng.random() < (0, 0.03, 0.04)[flow]
    bands = heights(trace, baseline, fill, upward=(flow != FLOWS.index("TR")) != turned)
    v = velocities(bottom - top, baseline)
    look = draw_texture(flow, quality, rng)
    grey = show_spectrum(trace, *bands, v, right - left, look, rng)
    screen = draw_screen(grey, trace, baseline, layout, machine, shape, rng)
    mask = np.zeros(shape, np.uint8)
    mask[top:bottom, left:right] = envelope(bands[0], v, right - left)
    image = cv2.resize(screen, (size, size), interpolation=cv2.INTER_AREA)
    return image, resize_mask(mask, size)


def _images_each(n, patients, rng):
    """How many images each patient has: (patients,) integers from 1 that sum to n."""
    share = rng.uniform(0.6, 1.4, patients)
    ends = np.rint(np.cumsum(share) / share.sum() * (n - patients)).astype(int)
    return 1 + np.diff(ends, prepend=0)


def deal(n, part, rng):
    """Flow, quality and whether it is labelled, of each of `n` images, (n,) each; `part` is (n,).

    They are dealt in proportion to every part, as the paper's are in all, and at random within it.
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


def _spread(weights, n):
    """(n,) integers from 0 in proportion to `weights`, spread so that any stretch has its share."""
    wanted = n * np.asarray(weights, float) / np.sum(weights)
    counts = np.floor(wanted).astype(int)
    counts[np.argsort(counts - wanted, kind="stable")[: n - counts.sum()]] += 1
    places = np.concatenate([(np.arange(c) + 0.5) / max(c, 1) for c in counts])
    return np.repeat(np.arange(len(counts)), counts)[np.argsort(places, kind="stable")]
