"""A study of one's own: a TOML file that names the tasks of a folder that ``data_prep folder`` made.

    title = "hand X-rays"

    [tasks.bones]                 # the folder's masks
    kind = "segmentation"

    [tasks.view]                  # a column of texts, or of 0 and 1
    kind = "classification"

    [tasks.age]                   # a column of numbers
    kind = "regression"

    [tasks.findings]
    kind = "several labels"
    columns = ["fracture", "implant"]

A task's column is that of its name unless ``column`` names another, and ``title`` is how the page calls it.
``python -m ums.experiments hands.toml PREPARED`` runs the study. PREPARED holds ``tasks``, and perhaps
``source``, prepared folders of grey images or of RGB, of one size; without ``source`` the source learns from
the images of ``tasks``. What is not in the file is as for chest X-rays: the source is a denoising
autoencoder, and all heads share its encoder.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ums.data import Prepared
from ums.experiments.cxr import ChestXRay
from ums.experiments.datasets import Layout, name_of
from ums.experiments.names import CLASSIFICATION, MEASURES, REGRESSION, SEGMENTATION
from ums.experiments.tasks import TargetTask, TaskGroup, train_and_test
from ums.reading import reading

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

GROUP = "tasks"
KEYS = {"kind", "title", "column", "columns"}


class OwnStudy(ChestXRay):
    """The modality that a file describes.

    Args:
        path: The file; its name without the ending is that of the study.

    Raises:
        ValueError: It cannot be read, or says something that is not understood; the message names it.
    """

    def __init__(self, path: str | Path):
        path = Path(path)
        with reading(path):
            described = tomllib.loads(path.read_text(encoding="utf-8"))
            self.tasks = _checked(described)
        self.name, self.title = path.stem, described.get("title", path.stem)
        self.channels = described.get("channels", 1)
        self.layout = Layout(
            "python -m data_prep folder",
            {GROUP: ((GROUP,), partial(own_group, self.tasks))},
            channels=self.channels,
            multiple=16,
            why="the encoder halves them four times",
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnStudy) and self._all == other._all

    def __hash__(self) -> int:
        return hash(self._all)

    @property
    def _all(self) -> str:
        return repr((self.name, self.title, self.channels, self.tasks))

    def derived(self, *_: Any) -> dict[str, Any]:
        return {}


def _checked(described: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    tasks = described.get("tasks", {})
    if not tasks:
        raise ValueError("it names no task: a table [tasks.NAME] for each")
    if unknown := set(described) - {"title", "channels", "tasks"}:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    for name, task in tasks.items():
        if task.get("kind") not in MEASURES:
            raise ValueError(f"task {name}: kind must be one of {', '.join(MEASURES)}")
        if unknown := set(task) - KEYS:
            raise ValueError(f"task {name}: unknown: {', '.join(sorted(unknown))}")
    return {name: dict(task) for name, task in tasks.items()}


def own_group(tasks: Mapping[str, Mapping[str, Any]], prepared: Prepared) -> TaskGroup:
    """The tasks of a prepared folder, whose images of split "test" are put aside.

    Raises:
        ValueError: A column is missing, or no image has what a task asks for; the message names the folder.
    """
    made = tuple(_task(name, task, prepared) for name, task in tasks.items())
    classified = [task for task in made if task.kind == CLASSIFICATION]
    strata = np.asarray(classified[0].train.targets) if classified else np.zeros(len(prepared), int)
    return TaskGroup(
        GROUP, "Tasks", made,
        pool=np.flatnonzero(prepared.splits != "test"),
        strata=strata,
        test_name=f"{name_of(prepared)}, test part",
        heat_map_task=next((task.name for task in classified if task.classes == 2), None),
    )  # fmt: skip


def _task(name: str, described: Mapping[str, Any], prepared: Prepared) -> TargetTask:
    kind, title = described["kind"], described.get("title", name.capitalize())
    columns = described.get("columns") or [described.get("column", name)]
    there = [*prepared.labels, *prepared.numbers]
    if kind != SEGMENTATION and (missing := [c for c in columns if c not in there]):
        raise ValueError(
            f"{prepared.folder}: no column {missing[0]!r}; there are {', '.join(there)}"
        )

    def made(targets: Any, known: np.ndarray, **options: Any) -> TargetTask:
        parts = train_and_test(prepared, targets, known, f"image with {name}")
        return TargetTask(name, title, kind, *parts, **options)

    if kind == SEGMENTATION:
        if prepared.masks is None:
            raise ValueError(f"{prepared.folder}: there are no masks for the task {name}")
        return made(prepared.masks, prepared.has_mask, classes=prepared.mask_classes)
    if kind == CLASSIFICATION:
        values, names = prepared.labels[columns[0]], prepared.about.get("label_values", {})
        K, own = max(2, int(values.max()) + 1), names.get(columns[0], {})
        classes = tuple(own.get(str(k), str(k)) for k in range(K))
        return made(values, values >= 0, classes=len(classes), class_names=classes)
    values = prepared.values(*columns)
    known = np.isfinite(values).any(axis=1)
    if kind == REGRESSION:
        own = values[known & (prepared.splits != "test"), 0].astype(float)
        unit = (float(own.mean()), float(own.std()) or 1.0) if len(own) else (0.0, 1.0)
        return made(values[:, 0], known, unit=unit)
    return made(values, known, classes=len(columns), class_names=tuple(columns))
