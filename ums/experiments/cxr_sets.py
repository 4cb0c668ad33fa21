"""The three prepared folders of the chest X-ray experiment, and which rows serve which task."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ums.data import Prepared, load_prepared
from ums.experiments.stages import fingerprint

LUNGS, ABNORMALITY = "lungs", "abnormality"
LABEL = "abnormal"
HELD_OUT, OTHER = "held-out", "other hospital"


@dataclass(frozen=True)
class Sets:
    """The three prepared folders; the source has its own images or shares the target's."""

    source: Prepared
    target: Prepared
    test: Prepared

    def fingerprints(self) -> dict[str, str]:
        """Hashes of what is trained on, so that no stage is taken from another set's run."""
        return {name: fingerprint(getattr(self, name)) for name in ("source", "target")}


def load_sets(source: str | None, target: str, test: str, batch: int = 1) -> Sets:
    """Open the three folders and check that they fit together.

    Raises:
        ValueError: sizes differ, a label or the masks are missing, a split is empty; names the
            folder.
    """
    target_set, test_set = load_prepared(target), load_prepared(test)
    source_set = load_prepared(source) if source else target_set
    sets = Sets(source_set, target_set, test_set)
    shape = target_set.images.shape[1:]
    for prepared in (source_set, test_set):
        if prepared.images.shape[1:] != shape:
            raise ValueError(
                f"images must be of one size: {target_set.folder} has {shape}, "
                f"{prepared.folder} has {prepared.images.shape[1:]}"
            )
    if len(shape) != 2 or shape[0] % 16 or shape[1] % 16:
        raise ValueError(
            f"{target_set.folder}: X-rays must be grey and their sides multiples of 16 (the encoder "
            f"halves them four times), got {shape}"
        )
    for prepared in (target_set, test_set):
        if LABEL not in prepared.labels:
            raise ValueError(f"{prepared.folder / 'table.csv'} has no column {LABEL!r}")
        if not prepared.has_mask.any():
            raise ValueError(f"{prepared.folder} has no lung masks")
        if prepared.labels[LABEL].max() > 1:
            raise ValueError(f"{prepared.folder / 'table.csv'}: {LABEL} must be 0 or 1")
    check_parts(sets, batch)
    return sets


def check_parts(sets: Sets, batch: int) -> None:
    """Everything a run will ask for, before hours are spent on a part of it.

    Raises:
        ValueError: a split is empty or smaller than a batch; names the folder.
    """
    for prepared, tasks in ((sets.source, (None,)), (sets.target, (LUNGS, ABNORMALITY))):
        for task in tasks:
            for split in ("train", "validation", "test"):
                found = len(rows_of(prepared, split, task))
                if split == "train" and found < batch:
                    what = f" for the {task} task" if task else ""
                    raise ValueError(
                        f"{prepared.folder}: {found} training images{what} cannot fill a batch "
                        f"of {batch}"
                    )
    rows_to_test(sets)


def rows_of(prepared: Prepared, split: str, task: str | None = None) -> np.ndarray:
    """Rows of a split ("all" for every row) that have what a task needs: a mask, or a label.

    Raises:
        ValueError: there is none; names the folder, the split and the task.
    """
    chosen = np.ones(len(prepared), bool) if split == "all" else prepared.splits == split
    if task == LUNGS:
        chosen = chosen & prepared.has_mask
    if task == ABNORMALITY:
        chosen = chosen & (prepared.labels[LABEL] >= 0)
    if not chosen.any():
        what = f" with what the {task} task needs" if task else ""
        raise ValueError(f"{prepared.folder}: no image in split {split!r}{what}")
    return np.flatnonzero(chosen)


def rows_to_test(sets: Sets) -> dict[str, dict[str, np.ndarray]]:
    """Hospital -> task -> rows: the target's held-out part, and all of the other hospital."""
    parts = {HELD_OUT: (sets.target, "test"), OTHER: (sets.test, "all")}
    return {
        hospital: {task: rows_of(prepared, split, task) for task in (LUNGS, ABNORMALITY)}
        for hospital, (prepared, split) in parts.items()
    }
