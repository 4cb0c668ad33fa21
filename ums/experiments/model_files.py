"""The models that a study leaves: for each arm a folder of :mod:`ums.models`, and which of them to use.

Of each group of tasks an arm's networks are those of one replicate, that with the lowest mean validation
loss. Test images play no part in the choice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ums.data import Prepared
from ums.data.typical import typical
from ums.experiments.datasets import name_of
from ums.experiments.names import (
    CLASSIFICATION,
    LOGITS,
    OWN_EPOCH,
    REGRESSION,
    SEGMENTATION,
    SEVERAL_LABELS,
    TEST,
    VALIDATION,
)
from ums.experiments.tasks import TargetTask
from ums.experiments.tuning import Outcome, Tuning
from ums.files import write_whole
from ums.metrics.classification import mcc, roc_auc
from ums.metrics.operating_point import threshold_for
from ums.metrics.several import by_label, errors
from ums.metrics.significance import bootstrap_interval
from ums.models import USE, save_model
from ums.reading import with_digest

Record = Mapping[str, Any]

SCORES: dict[str, Callable[..., float]] = {
    SEGMENTATION: lambda values: float(np.mean(values)),
    CLASSIFICATION: lambda labels, logits: mcc(labels, logits.argmax(axis=1), logits.shape[1]),
    REGRESSION: lambda numbers, outputs: errors(numbers, outputs[:, 0]).r2,
    SEVERAL_LABELS: lambda labels, logits: float(np.nanmean(by_label(roc_auc, labels, logits))),
}
"""Kind of task -> its measure of one network: of each case's IoU, or of labels and outputs."""


class Tuned(NamedTuple):
    """A group's tasks as one arm tuned them in one replicate."""

    tuning: Tuning
    outcomes: Mapping[str, Outcome]
    record: Record


def lowest_losses(record: Record) -> dict[str, float]:
    """Task -> the lowest validation loss of its training."""
    return {name: min(task["history"]["validation"]) for name, task in record["tasks"].items()}


def best_replicate(records: Sequence[Record]) -> Record:
    """Of an arm's records of a group, that with the lowest validation loss, the mean over its tasks."""
    return min(records, key=lambda record: np.mean(list(lowest_losses(record).values())))


def best_arm(records: Mapping[str, Sequence[Sequence[Record]]]) -> str:
    """The arm with the lowest validation losses.

    A loss counts relative to the mean of all arms on the same task in the same replicate, whose images
    are the same.

    Args:
        records: Arm -> group by group, its records.
    """
    losses = {
        arm: {
            (task, record["job"]["replicate"]): loss
            for group in groups
            for record in group
            for task, loss in lowest_losses(record).items()
        }
        for arm, groups in records.items()
    }
    common = set.intersection(*(set(of) for of in losses.values()))
    means = {key: np.mean([of[key] for of in losses.values()]) for key in common}
    return min(losses, key=lambda arm: np.mean([losses[arm][key] / means[key] for key in common]))


def write_model(folder: Path, arm: str, groups: Sequence[Tuned], about: Mapping[str, Any]) -> None:
    """Write an arm's networks of all groups as one model.

    Raises:
        OSError: A file cannot be written; the message names it.
    """
    networks, tasks = {}, {}
    for group in groups:
        for name, outcome in group.outcomes.items():
            networks[name] = outcome.networks[OWN_EPOCH]
            tasks[name] = _described(group, group.tuning.group.task(name))
    tuning = groups[0].tuning
    shape, settings = tuning.group.train_set.images.shape, tuning.run.settings
    drawn = [(group.tuning.group.train_set, group.tuning.draw.train) for group in groups]
    model = {
        "input": {
            "size": shape[1],
            "channels": shape[3] if len(shape) == 4 else 1,
            "background": settings.background,
        },
        "tasks": tasks,
        "arm": arm,
        "training images": typical(np.concatenate([each.images[rows] for each, rows in drawn])),
    }
    save_model(folder, networks, {**model, **about})


def _described(group: Tuned, task: TargetTask) -> dict[str, Any]:
    record, of = group.record["tasks"][task.name], group.tuning.group
    described: dict[str, Any] = {"title": task.title, "kind": task.kind}
    if task.kind == REGRESSION:
        described["unit"] = list(task.unit)
    elif task.kind != SEGMENTATION or task.classes > 2:
        described["classes"] = list(task.named_classes)
    if (known := record.get(VALIDATION)) and task.classes == 2 and len(set(known["label"])) == 2:
        logits = np.array(known[LOGITS])
        chances = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
        described["threshold"] = threshold_for(np.array(known["label"]), chances)
    return described | {
        "replicate": group.record["job"]["replicate"],
        "trained on": _of(of.train_set),
        "images": len(np.intersect1d(group.tuning.draw.train, task.train.rows)),
        "tested on": _of(of.test_set),
        "scores": _scores(task, record[OWN_EPOCH][TEST], of.test_set),
    }


def _of(prepared: Prepared) -> dict[str, str]:
    return {"name": name_of(prepared), "licence": prepared.about.get("licence", "unknown")}


def _scores(task: TargetTask, found: Record, test: Prepared) -> dict[str, Any]:
    """The task's measure of this one network, with its interval over patients."""
    rows = task.test.rows

    if task.kind == SEGMENTATION:
        cases = [np.array(found["IoU"], float)]
    else:
        cases = [np.asarray(task.test.targets)[rows], np.array(found[LOGITS], float)]

    def score(*cases: np.ndarray) -> float:
        return SCORES[task.kind](*cases)

    rng, patients = np.random.default_rng(0), test.patients[rows]
    low, high = bootstrap_interval(score, cases, rng, groups=patients)
    return {"measure": task.measure, "value": score(*cases), "low": low, "high": high}


def write_use(folder: Path, arm: str) -> None:
    """Write which model of a folder :func:`ums.models.load_model` takes."""
    why = "the lowest validation losses, relative to the mean of all arms"
    content = with_digest({"model": arm, "why": why})
    write_whole(folder / USE, (json.dumps(content, indent=1) + "\n").encode())
