"""Prepared folders of synthetic chest X-rays; :mod:`data_prep.synthetic` draws them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data_prep.look import draw_pictures
from data_prep.options import Options
from data_prep.pediatric import CLASSES
from data_prep.splits import FRACTIONS, split_by_patient
from data_prep.synthetic import (
    Patient,
    Synthetic,
    abnormal_share,
    check_size,
    draw_lots,
    draw_patients,
)
from data_prep.writing import Content, check_replaceable, save_prepared, scratch_folder
from ums.data.prepared import Prepared

LABELS = {"A": "abnormal", "B": "abnormal", "C": "pneumonia"}
"""The label of a hospital's images; "pneumonia" has the values of ``data_prep.pediatric``."""

CHILDREN_FRACTIONS = (0.8, 0.0, 0.2)
"""Hospital C is split as the pediatric set is: a part to learn from and a test part."""


@dataclass(frozen=True)
class Part:
    """Patients of a folder who are drawn and split together, whatever else is in the folder.

    Attributes:
        images: Number of images, one of each patient.
        seed: Seed of all that is random.
        fractions: Fractions in train, validation and test; at hospital C of every class.
    """

    images: int
    seed: int | list[int]
    fractions: Sequence[float]


class Role(NamedTuple):
    """What a synthetic folder is for.

    Attributes:
        hospital: Where its images are from.
        learns: What a replicate takes from it, the name of a number of :class:`Sizes`, or "" for nothing.
        test: Its images of split "test", as a fraction of ``Sizes.images``.
    """

    hospital: str
    learns: str
    test: float


ROLES = {
    "source": Role("A", "images", 0.2),
    "target": Role("A", "labels", 0.4),
    "test": Role("B", "", 0.8),
    "pneumonia": Role("C", "labels", 0.6),
    "source-other": Role("B", "images", 0.2),
}
"""The synthetic folders; a place in this order is part of the seed."""


@dataclass(frozen=True)
class Sizes:
    """How many synthetic images a replicate of the study learns from.

    A fifth as many are drawn for validation.

    Attributes:
        images: Images of the source.
        labels: Labelled images of the training hospital, and as many of the children's; None stands
            for 15 % of ``images``.
        replicates: Number of replicates, none of which shares a patient with another.
        other: For so many of them source-other is drawn; 0 stands for no such folder.

    Raises:
        ValueError: A number is out of range.
    """

    images: int = 1000
    labels: int | None = None
    replicates: int = 1
    other: int = 0

    def __post_init__(self) -> None:
        if self.images < 20:
            raise ValueError(f"{self.images} synthetic images asked for, should be at least 20")
        if self.labels is not None and self.labels < 6:
            raise ValueError(f"{self.labels} labelled images asked for, should be at least 6")
        if self.replicates < 1 or self.other < 0:
            found = f"{self.replicates} replicates, {self.other} with another source"
            raise ValueError(f"{found}; should be at least 1 and 0")

    @property
    def roles(self) -> list[str]:
        """The folders to be drawn."""
        return [role for role in ROLES if self.other or role != "source-other"]


def plan(role: str, sizes: Sizes, seed: int | list[int]) -> tuple[dict[str, Any], list[Part]]:
    """Return what about.json says of the synthetic folder ``role``, and its parts.

    There is a part for each replicate, none of which depends on how many there are, and then one of
    split "test".
    """
    hospital, learns, test = ROLES[role]
    labels = round(0.15 * sizes.images) if sizes.labels is None else sizes.labels
    n = {"images": sizes.images, "labels": labels, "": 0}[learns]
    settings = {
        "hospital": hospital,
        "replicates": (sizes.other if role == "source-other" else sizes.replicates) if n else 0,
        "images": n + math.ceil(n / 5),
        "test": round(test * sizes.images),
        "seed": [seed, list(ROLES).index(role)],
    }
    fractions = (1.0, 0.0, 0.0) if hospital == "C" else (5 / 6, 1 / 6, 0.0)
    parts = [
        Part(settings["images"], [*settings["seed"], r], fractions)
        for r in range(1, settings["replicates"] + 1)
    ]
    return settings, [*parts, Part(settings["test"], [*settings["seed"], 0], (0.0, 0.0, 1.0))]


def prepare_synthetic(
    out: str | Path,
    n: int,
    options: Options,
    hospital: str = "A",
    abnormal_fraction: float | None = None,
) -> Prepared:
    """Draw ``n`` images as :func:`data_prep.synthetic.make_synthetic` does and write the folder ``out``.

    Every image counts as its own patient. The images of hospital C have no validation part, and their
    test part has the same share of every class.

    Raises:
        FileExistsError: ``out`` exists and may not be replaced.
        ValueError: An argument is out of range.
    """
    fractions = CHILDREN_FRACTIONS if hospital == "C" else FRACTIONS
    settings = {"images": n, "seed": options.seed, "fractions": list(fractions)}
    parts = [Part(n, options.seed, fractions)]
    return prepare_parts(out, parts, hospital, options, settings, abnormal_fraction)


def prepare_parts(
    out: str | Path,
    parts: Sequence[Part],
    hospital: str,
    options: Options,
    settings: dict[str, Any],
    abnormal_fraction: float | None = None,
) -> Prepared:
    """Draw the parts of a folder, one after the other, and write it.

    Args:
        out: The folder.
        parts: Its parts; the images of one do not depend on the others.
        hospital: One of ``HOSPITALS``.
        options: Size, and whether an earlier folder may be replaced.
        settings: What about.json says of the parts.
        abnormal_fraction: As for :func:`data_prep.synthetic.make_synthetic`.

    Raises:
        FileExistsError: ``out`` exists and may not be replaced.
        ValueError: An argument is out of range.
    """
    check_replaceable(out, options.overwrite)
    check_size(options.size)
    patients: list[Patient] = []
    splits: list[str] = []
    for part in parts:
        rng = np.random.default_rng(part.seed)
        some = draw_lots(part.images, rng, hospital, abnormal_fraction)
        labels = np.array([patient.label for patient in some])
        alike = labels if hospital == "C" else np.zeros(len(some))
        splits += _split(alike, part.fractions, rng).tolist()
        patients += some
    about = _about(hospital, {"size": options.size, **settings}, abnormal_fraction)

    def draw(folder: Path) -> Prepared:
        made = draw_patients(patients, options.size, hospital, folder)
        content = _content(made, splits, hospital, about)
        pictures = draw_pictures(content)
        return save_prepared(out, content, pictures=pictures, overwrite=options.overwrite)

    with scratch_folder(out) as folder:
        return draw(folder)  # its arrays are gone before the folder: Windows deletes none in use


def _about(hospital: str, settings: dict, abnormal_fraction: float | None) -> dict[str, Any]:
    more = {"hospital": hospital, "abnormal": abnormal_share(hospital, abnormal_fraction)}
    about: dict[str, Any] = {
        "name": f"synthetic hospital {hospital}",
        "source": f"synthetic chest X-rays, hospital {hospital}",
        "licence": "made by this library; no patient is shown",
        "settings": settings | more,
    }
    if hospital == "C":
        about["label_values"] = {LABELS["C"]: {str(v): name for v, name in enumerate(CLASSES)}}
    return about


def _content(made: Synthetic, splits: list[str], hospital: str, about: dict) -> Content:
    width = max(4, len(str(len(splits))))
    ids = [f"{hospital}{i:0{width}d}" for i in range(1, len(splits) + 1)]
    return Content(
        made.images,
        ids=ids,
        patients=ids,
        splits=splits,
        labels={LABELS[hospital]: made.labels},
        masks=made.masks,
        opacities=made.opacities,
        about=about,
    )


def _split(alike: np.ndarray, fractions: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    """Split the patients of each value of ``alike``, (N,), separately."""
    splits = np.empty(len(alike), dtype=object)
    for value in np.unique(alike):
        rows = np.flatnonzero(alike == value)
        splits[rows] = split_by_patient(rows, fractions, rng)
    return splits
