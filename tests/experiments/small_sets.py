"""Tiny prepared folders of made-up images, for the tests of the studies: two images of each patient."""

import numpy as np

from data_prep.writing import Content, save_prepared
from ums.backend import Device
from ums.experiments.arms import ARMS
from ums.experiments.run import Run
from ums.experiments.runner import Place
from ums.experiments.settings import Settings
from ums.experiments.store import Store
from ums.experiments.study import Study

ADULTS = ("train",) * 8 + ("validation",) * 2 + ("test",) * 2
CHILDREN = ("train",) * 6 + ("validation",) * 2 + ("test",) * 4
FOLDERS = ("source", "target", "test", "pneumonia")
CPU = Device(np, "CPU")
SMALL = Settings(
    replicates=2,
    width=0.05,
    labels=20,
    source_images=20,
    source_steps=4,
    steps=4,
    evaluations=2,
    batch=8,
    rate=1e-3,
    augment=False,
)


def x_rays(rng, kind, side):
    """Images with a bright disc for lungs, dark in the middle for kind 1, bright for 2; the masks."""
    n = len(kind)
    y, x = np.mgrid[:side, :side]
    centre, radius = rng.uniform(0.4 * side, 0.6 * side, (n, 1, 1)), 0.3 * side
    squares = (x - centre) ** 2 + (y - side / 2) ** 2
    masks = (squares < radius**2).astype(np.uint8)
    spots = squares < (radius / 2) ** 2
    grey = 60 + 120 * masks + spots * np.choose(kind, (0, -60, 60))[:, None, None]
    images = np.clip(grey + rng.normal(0, 5, grey.shape), 0, 255).astype(np.uint8)
    return images, masks, (spots & (kind > 0)[:, None, None]).astype(np.uint8)


def hospital(folder, seed=0, n=48, side=32, **changes):
    """Twelve images normal, twelve abnormal, and so on; all with masks."""
    abnormal = np.arange(n) // 12 % 2
    images, masks, opacities = x_rays(np.random.default_rng(seed), abnormal, side)
    columns = {
        "images": images,
        "ids": [f"{k}" for k in range(n)],
        "patients": [f"p{k // 2}" for k in range(n)],
        "splits": [ADULTS[k % 12] for k in range(n)],
        "labels": {"abnormal": abnormal},
        "masks": masks,
        "opacities": opacities,
        "about": {"name": f"Hospital {seed}", "source": "made up"},
    }
    return save_prepared(folder, Content(**columns | changes))


def children(folder, seed=0, n=72, side=32, **changes):
    """Twelve images normal, twelve bacterial, twelve viral, and so on; four of twelve to test."""
    kind = np.arange(n) // 12 % 3
    columns = {
        "images": x_rays(np.random.default_rng(seed), kind, side)[0],
        "ids": [f"{k}" for k in range(n)],
        "patients": [f"p{k // 2}" for k in range(n)],
        "splits": [CHILDREN[k % 12] for k in range(n)],
        "labels": {"pneumonia": kind},
        "about": {"name": "Children", "source": "made up"},
    }
    return save_prepared(folder, Content(**columns | changes))


def echoes(folder, seed=0, n=72, side=32, **changes):
    """Twelve RGB screens of each flow in turn, the envelope a bar at its own height; the quality of
    every second one is known, good where the screen is bright."""
    rng, flow, quality = np.random.default_rng(seed), np.arange(n) // 12 % 3, np.arange(n) % 4 // 2
    masks = np.zeros((n, side, side), np.uint8)
    for k in range(n):
        top = side * (1 + 2 * flow[k]) // 8
        masks[k, top : top + side // 4, side // 4 : -side // 4] = 1
    grey = (60 + 60 * quality)[:, None, None] + 100 * masks + rng.normal(0, 5, masks.shape)
    screens = np.clip(grey[..., None] * (1, 0.9, 0.8), 0, 255).astype(np.uint8)
    columns = {
        "images": screens,
        "ids": [f"{k}" for k in range(n)],
        "patients": [f"{seed}-{k // 2}" for k in range(n)],
        "splits": [ADULTS[k % 12] if seed == 0 else CHILDREN[k % 12] for k in range(n)],
        "labels": {"flow": flow, "quality": np.where(np.arange(n) % 2, -1, quality)},
        "masks": masks,
        "about": {"name": f"Echoes {seed}", "source": "made up"},
    }
    if seed:  # a target has nothing to validate on: its replicates have
        columns["splits"] = ["test" if s == "test" else "train" for s in columns["splits"]]
    return save_prepared(folder, Content(**columns | changes))


def save_all(folder, names=FOLDERS, **changes):
    """The folders of the study, or some of them."""
    for seed, name in enumerate(FOLDERS):
        if name in names:
            make = children if name == "pneumonia" else hospital
            make(folder / name, seed, **changes)
    return folder


def small_study(modality, datasets, out, settings=SMALL, arms=tuple(ARMS)):
    """A study without progress bars, whose jobs are kept in ``out``."""
    return Study(modality, datasets, Run(settings, CPU, Store(out), progress=False), arms)


def small_place(modality, folders, out, groups=None):
    """Where a study is run without progress bars."""
    return Place(modality, folders, groups, out, "cpu", progress=False)


PICTURES = {"svg": b"<svg></svg>", "png": b"\x89PNG\r\n\x1a\n"}


def blank(figure, file, format, metadata=None):
    """Stands in for drawing, which takes most of a small run's time."""
    file.write(PICTURES[format])


class Computed:
    """The names of the jobs whose weights or records were computed, not taken from disk."""

    def __init__(self):
        self.weights, self.records = [], []

    def clear(self):
        """Forget what was computed so far."""
        self.weights.clear()
        self.records.clear()


def note_computed(monkeypatch):
    """What any store computes from now on: a :class:`Computed` that fills as jobs run."""
    computed, weights, record = Computed(), Store.weights, Store.record

    def noting(names, name, compute):
        def noted(*arguments):
            names.append(name)
            return compute(*arguments)

        return noted

    def weights_noted(self, name, key, compute):
        return weights(self, name, key, noting(computed.weights, name, compute))

    def record_noted(self, name, key, compute):
        return record(self, name, key, noting(computed.records, name, compute))

    monkeypatch.setattr(Store, "weights", weights_noted)
    monkeypatch.setattr(Store, "record", record_noted)
    return computed
