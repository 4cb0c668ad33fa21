"""The prepared folders of the chest X-ray study, and the two parts made of them (section 4.1.2)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ums.data import Prepared, load_prepared
from ums.experiments.parts import (
    CLASSIFICATION,
    SEGMENTATION,
    Labelled,
    Part,
    Sets,
    TargetTask,
    source_rows,
)

DIVERSE, SIMILAR = "diverse", "similar"
LUNGS, ABNORMALITY = "lungs", "abnormality"
LABEL, PNEUMONIA = "abnormal", "pneumonia"
CLASSES = {"normal": 0, "bacterial": 1, "viral": 2}
PAIRS = (("bacterial", "normal"), ("viral", "normal"), ("bacterial", "viral"))
"""The first of each pair is what is looked for."""


def load_sets(folder: str | Path, parts: Sequence[str] | None = None) -> Sets:
    """Open the prepared folders in ``folder`` and check that they fit together.

    Args:
        folder: holds ``source`` (without it, the source learns from the training set of the first
            part), ``target`` and ``test`` for the diverse part, ``pneumonia`` for the similar one.
        parts: names of those to run; by default all whose folders are there.

    Raises:
        FileNotFoundError: a part's folder is not there, or no part's is.
        ValueError: sizes differ, a label or the masks are missing, a split is empty; names the
            folder.
    """
    folder = Path(folder)
    made = []
    for name, (folders, make) in PARTS.items():
        there = all((folder / f).is_dir() for f in folders)
        if name in parts if parts else there:
            made.append(make(*(load_prepared(folder / f) for f in folders)))
    if not made:
        wanted = " nor ".join(" and ".join(folders) for folders, _ in PARTS.values())
        raise FileNotFoundError(
            f"{folder} holds neither {wanted}; make them with `python -m data_prep cxr {folder}`"
        )
    source = folder / "source"
    sets = Sets(load_prepared(source) if source.is_dir() else made[0].learn, tuple(made))
    for split in ("train", "validation", "test"):
        source_rows(sets.source, split)
    _check_sizes([sets.source, *(p for part in made for p in (part.learn, part.test))])
    return sets


def diverse_part(target: Prepared, test: Prepared) -> Part:
    """Lung segmentation and abnormality: learned at one hospital, tested at another.

    Raises:
        ValueError: a folder has no masks, or no label "abnormal" of 0 and 1.
    """
    for prepared in (target, test):
        _check_label(prepared, LABEL, 1)
        if not (prepared.labels[LABEL] >= 0).any():
            raise ValueError(f"{prepared.folder / 'table.csv'}: no image has a label {LABEL!r}")
        if not prepared.has_mask.any():
            raise ValueError(f"{prepared.folder} has no lung masks")
    lungs, abnormality = (
        (Labelled(p, p.masks, np.flatnonzero(p.has_mask)) for p in (target, test)),
        (
            Labelled(p, p.labels[LABEL], np.flatnonzero(p.labels[LABEL] >= 0))
            for p in (target, test)
        ),
    )
    return Part(
        DIVERSE,
        "Tasks with diverse annotations",
        (
            TargetTask(LUNGS, "Lung segmentation", SEGMENTATION, *lungs),
            TargetTask(ABNORMALITY, "Abnormality", CLASSIFICATION, *abnormality),
        ),
        pool=np.arange(len(target)),
        strata=target.labels[LABEL],
        held_out=f"{name_of(target)}, held-out folds",
        tested=name_of(test),
        explained=ABNORMALITY,
    )


def similar_part(pneumonia: Prepared) -> Part:
    """Three pairwise classifications of one set: folds of its train part, its test part put aside.

    Raises:
        ValueError: there is no label "pneumonia" of 0, 1 and 2, or no image to learn from or to test.
    """
    _check_label(pneumonia, PNEUMONIA, 2)
    label, test = pneumonia.labels[PNEUMONIA], pneumonia.splits == "test"
    tasks = []
    for positive, negative in PAIRS:
        chosen = np.isin(label, (CLASSES[positive], CLASSES[negative]))
        targets = (label == CLASSES[positive]).astype(np.int64)
        sides = [np.flatnonzero(chosen & side) for side in (~test, test)]
        if not (len(sides[0]) and len(sides[1])):
            raise ValueError(
                f"{pneumonia.folder}: no {positive} or {negative} image in its train or test part"
            )
        tasks.append(
            TargetTask(
                f"{positive}-{negative}",
                f"{positive.capitalize()} vs {negative}",
                CLASSIFICATION,
                *(Labelled(pneumonia, targets, rows) for rows in sides),
            )
        )
    name = name_of(pneumonia)
    return Part(
        SIMILAR,
        "Tasks with similar annotations",
        tuple(tasks),
        pool=np.flatnonzero(~test & (label >= 0)),
        strata=label,
        held_out=f"{name}, held-out folds",
        tested=f"{name}, test set",
    )


PARTS = {
    DIVERSE: (("target", "test"), diverse_part),
    SIMILAR: (("pneumonia",), similar_part),
}
"""Part -> the prepared folders it needs, and what makes it of them."""


def name_of(prepared: Prepared) -> str:
    """The set's own name, or its folder's."""
    return prepared.about.get("name") or prepared.folder.name


def _check_label(prepared: Prepared, label: str, highest: int) -> None:
    table = prepared.folder / "table.csv"
    if label not in prepared.labels:
        raise ValueError(f"{table} has no column {label!r}")
    if not set(prepared.labels[label].tolist()) <= {-1, *range(highest + 1)}:
        raise ValueError(f"{table}: {label} must be from 0 to {highest}, or empty")


def _check_sizes(folders: list[Prepared]) -> None:
    first = folders[0]
    shape = first.images.shape[1:]
    for prepared in folders:
        if prepared.images.shape[1:] != shape:
            raise ValueError(
                f"images must be of one size: {first.folder} has {shape}, {prepared.folder} has "
                f"{prepared.images.shape[1:]}"
            )
    if len(shape) != 2 or shape[0] % 16 or shape[1] % 16:
        raise ValueError(
            f"{first.folder}: X-rays must be grey and their sides multiples of 16 (the encoder "
            f"halves them four times), got {shape}"
        )
