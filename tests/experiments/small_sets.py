"""Tiny prepared folders of made-up X-rays, for the tests of the study: two images of each patient."""

import numpy as np

from ums.data.prepared import save_prepared
from ums.experiments.stages import Stages

ADULTS = ("train",) * 8 + ("validation",) * 2 + ("test",) * 2
CHILDREN = ("train",) * 6 + ("validation",) * 2 + ("test",) * 4
FOLDERS = ("source", "target", "test", "pneumonia")


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
    return save_prepared(folder, **columns | changes)


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
    return save_prepared(folder, **columns | changes)


def save_all(folder, names=FOLDERS, **changes):
    """The folders of the study, or some of them."""
    for seed, name in enumerate(FOLDERS):
        if name in names:
            make = children if name == "pneumonia" else hospital
            make(folder / name, seed, **changes)
    return folder


def note_computed(monkeypatch):
    """A list that the names of the stages that are computed, not taken from disk, are added to."""
    computed, original = [], Stages.run

    def run(self, name, key, compute):
        def noted(checkpoint):
            computed.append(name)
            return compute(checkpoint)

        return original(self, name, key, noted)

    monkeypatch.setattr(Stages, "run", run)
    return computed
