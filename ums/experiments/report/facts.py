"""What a page says was run: data, settings, device, versions."""

from __future__ import annotations

import platform

import numpy as np
import scipy

from ums import __version__
from ums.backend import Device
from ums.data import Prepared
from ums.data.prepared import SPLITS
from ums.experiments.datasets import Sets
from ums.experiments.settings import Settings


def facts_of_run(sets: Sets, settings: Settings, device: Device) -> dict[str, str]:
    """What was run: data, settings, versions."""
    facts = {"Source images": described_source(sets.source)}
    for part in sets.parts:
        used = len(np.unique(np.concatenate([task.test.rows for task in part.tasks])))
        title = part.name.title()
        facts[f"{title}, to learn from"] = _described(part.learn, f"{len(part.pool)} in folds")
        facts[f"{title}, to test on"] = _described(part.test, f"{used} for testing")
    facts["Folds"] = str(settings.folds)
    facts["Epochs at most"] = (
        f"source {settings.source_epochs}, segmentation {settings.epochs}, "
        f"classifiers {settings.classifier_epochs}"
    )
    facts["Epochs without improvement at most"] = str(settings.patience)
    facts["Batch, learning rate"] = f"{settings.batch}, {settings.learning_rate:g}"
    facts["Weights of the joint loss"] = settings.joint_weights
    facts["Kept of tasks tuned together"] = "the epoch best for " + (
        "all on average" if settings.stop_by == "all" else "the first task"
    )
    facts["Augmentation"] = "yes" if settings.augment else "no"
    facts["Statistics of a frozen batch norm"] = f"of the {settings.statistics}'s images"
    facts["Labels learned from"] = f"{settings.labels:.0%} of the training part's"
    return facts | basic_facts(sets.source, settings, device)


def basic_facts(source: Prepared, settings, device: Device) -> dict[str, str]:
    """What any run on a source has: its images' size, width, normalisation, seed, device, versions."""
    height, width, *channels = source.images.shape[1:]
    return {
        "Image size": f"{height} x {width}, {'RGB' if channels else 'grey'}",
        "Network width": f"{settings.width:g} times the paper's",
        "Pixels that count for an image's mean": (
            f"above grey level {settings.dark}" if settings.dark >= 0 else "all"
        ),
        "Seed": str(settings.seed),
        "Device": device.name,
        "Versions": f"ums {__version__}, Python {platform.python_version()}, NumPy {np.__version__}, "
        f"SciPy {scipy.__version__}",
    }


def described_source(source: Prepared) -> str:
    """Where its images are from, and how many there are in each split."""
    return _described(source, ", ".join(f"{(source.splits == s).sum()} {s}" for s in SPLITS))


def _described(prepared: Prepared, counts: str) -> str:
    source = prepared.about.get("source", prepared.folder.name)
    return f"{source}: {len(prepared)} images ({counts})"
