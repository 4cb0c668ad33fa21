"""The prepared folders of the chest X-ray study, and the two parts made of them (section 4.1.2)."""

from __future__ import annotations

import numpy as np

from ums.data import Prepared
from ums.experiments.datasets import Modality, check_label, name_of
from ums.experiments.tasks import (
    CLASSIFICATION,
    DIVERSE,
    SEGMENTATION,
    SIMILAR,
    Labelled,
    Part,
    TargetTask,
    pairwise_tasks,
)

LUNGS, ABNORMALITY = "lungs", "abnormality"
LABEL, PNEUMONIA = "abnormal", "pneumonia"
CLASSES = {"normal": 0, "bacterial": 1, "viral": 2}
PAIRS = (("bacterial", "normal"), ("viral", "normal"), ("bacterial", "viral"))
"""The first of each pair is what is looked for."""


def diverse_part(target: Prepared, test: Prepared) -> Part:
    """Lung segmentation and abnormality: learned at one hospital, tested at another.

    Raises:
        ValueError: a folder has no masks, or no label "abnormal" of 0 and 1.
    """
    for prepared in (target, test):
        check_label(prepared, LABEL, 1)
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
    check_label(pneumonia, PNEUMONIA, 2)
    label, test = pneumonia.labels[PNEUMONIA], pneumonia.splits == "test"
    tasks = pairwise_tasks(pneumonia, PNEUMONIA, CLASSES, PAIRS, test)
    name = name_of(pneumonia)
    return Part(
        SIMILAR,
        "Tasks with similar annotations",
        tasks,
        pool=np.flatnonzero(~test & (label >= 0)),
        strata=label,
        held_out=f"{name}, held-out folds",
        tested=f"{name}, test set",
    )


CXR = Modality(
    "cxr",
    {
        DIVERSE: (("target", "test"), diverse_part),
        SIMILAR: (("pneumonia",), similar_part),
    },
    channels=1,
    multiple=16,
    why="the encoder halves them four times",
)
