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
Tasks' names are of letters, digits, "_", "-" and blanks, as they become names of files. ``channels = 3``
above all tasks is for images that were prepared with ``--colour``.
``python -m ums.experiments hands.toml PREPARED`` runs the study. PREPARED holds ``tasks``, and perhaps
``source``, prepared folders of grey images or of RGB, of one size; without ``source`` the source learns from
the images of ``tasks``. What is not in the file is as for chest X-rays: the source is a denoising
autoencoder, and all heads share its encoder.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ums.data import Prepared
from ums.experiments.cxr import ChestXRay
from ums.experiments.datasets import Layout, name_of
from ums.experiments.names import (
    CLASSIFICATION,
    ENCODER,
    REGRESSION,
    SEGMENTATION,
    SEVERAL_LABELS,
    TASKS,
)
from ums.experiments.tasks import TargetTask, TaskGroup, train_and_test
from ums.reading import reading

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

KEYS = {
    SEGMENTATION: {"kind", "title"},
    CLASSIFICATION: {"kind", "title", "column"},
    REGRESSION: {"kind", "title", "column"},
    SEVERAL_LABELS: {"kind", "title", "columns"},
}
"""What a task of each kind may say."""

TAKEN = {ENCODER, "file", "recommendation", "source", "warnings"}
"""Names of columns of predictions.csv, and of other networks."""


class OwnStudy(ChestXRay):
    """The modality that a file describes.

    Args:
        path: The file; its name without the ending is that of the study.

    Raises:
        ValueError: It cannot be read, or says something that is not understood; the message names it.
    """

    def __init__(self, path: str | Path):
        path = Path(path)
        if path.stem.lower() in ("cxr", "echo", "search", "report"):
            raise ValueError(f"{path}: {path.stem} is a study of ums; give the file another name")
        with reading(path):
            described = tomllib.loads(path.read_text(encoding="utf-8"))
            self.tasks = _checked(described)
        self.name, self.title = path.stem, described.get("title", path.stem)
        self.channels = described.get("channels", 1)
        self.layout = Layout(
            "python -m data_prep folder RAW {}/tasks",
            {TASKS: ((TASKS,), partial(own_group, self.tasks))},
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
    tasks = described.get("tasks")
    if not tasks or not isinstance(tasks, dict):
        raise ValueError("it names no task: a table [tasks.NAME] for each")
    if unknown := set(described) - {"title", "channels", "tasks"}:
        raise ValueError(f"unknown: {', '.join(sorted(unknown))}")
    if (channels := described.get("channels", 1)) not in (1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (RGB), got {channels!r}")
    for name, task in tasks.items():
        _check_task(name, task)
    return {name: dict(task) for name, task in tasks.items()}


def _check_task(name: str, task: Any) -> None:
    if not re.fullmatch(r"\w([\w -]*\w)?", name) or name.lower() in TAKEN:
        raise ValueError(f"a task cannot be called {name!r}: take letters, digits, _, - and blanks,"
                         f" and none of {', '.join(sorted(TAKEN))}")  # fmt: skip
    if not isinstance(task, dict):
        raise ValueError(f"task {name}: there should be a table [tasks.{name}], got {task!r}")
    if task.get("kind") not in KEYS:
        raise ValueError(f"task {name}: kind must be one of {', '.join(KEYS)}")
    if unknown := set(task) - (known := KEYS[task["kind"]]):
        there = f"a {task['kind']} task takes {', '.join(sorted(known))}"
        raise ValueError(f"task {name}: unknown: {', '.join(sorted(unknown))}; {there}")
    columns, texts = task.get("columns", [name]), [task.get("title", ""), task.get("column", "")]
    if not (isinstance(columns, list) and columns and len({*map(str, columns)}) == len(columns)):
        raise ValueError(
            f'task {name}: columns must be a list of names, as ["fracture", "implant"]'
        )
    if not all(isinstance(text, str) for text in [*texts, *columns]):
        raise ValueError(f"task {name}: title and names of columns must be texts in quotes")


def own_group(tasks: Mapping[str, Mapping[str, Any]], prepared: Prepared) -> TaskGroup:
    """The tasks of a prepared folder, whose images of split "test" are put aside.

    Raises:
        ValueError: A column is missing, or no image has what a task asks for; the message names the folder.
    """
    made = tuple(_task(name, task, prepared) for name, task in tasks.items())
    classified = [task for task in made if task.kind == CLASSIFICATION]
    strata = np.asarray(classified[0].train.targets) if classified else np.zeros(len(prepared), int)
    return TaskGroup(
        TASKS, "Tasks", made,
        pool=np.flatnonzero(prepared.splits != "test"),
        strata=strata,
        test_name=f"{name_of(prepared)}, test part",
        heat_map_task=next((task.name for task in classified if task.classes == 2), None),
    )  # fmt: skip


def _check_columns(kind: str, columns: Sequence[str], prepared: Prepared) -> None:
    """Check that a task's columns are there and hold what it learns from."""
    folder, names = prepared.folder, prepared.about.get("label_values", {})
    there = [*prepared.labels, *prepared.numbers]
    for column in columns:
        if column not in there:
            text = f"there are {', '.join(there) or 'none'}"
            raise ValueError(f"{folder}: no column {column!r}; {text}")
        if column in prepared.numbers:
            holds, fits = "numbers", {REGRESSION}
        elif column in names:
            holds, fits = f"classes ({', '.join(names[column].values())})", {CLASSIFICATION}
        else:
            most = prepared.labels[column].max(initial=0)
            holds = f"labels 0 to {most}"
            fits = {CLASSIFICATION, REGRESSION, *([SEVERAL_LABELS] if most < 2 else [])}
        if kind not in fits:
            raise ValueError(f"{folder}: column {column!r} holds {holds}: not for a {kind} task")
        if kind == CLASSIFICATION and len({*prepared.labels[column].tolist()} - {-1}) < 2:
            raise ValueError(f"{folder}: column {column!r} has one class alone, {holds}")


def _task(name: str, described: Mapping[str, Any], prepared: Prepared) -> TargetTask:
    kind, title = described["kind"], described.get("title", name.capitalize())
    columns = described.get("columns") or [described.get("column", name)]
    if kind != SEGMENTATION:
        _check_columns(kind, columns, prepared)

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
