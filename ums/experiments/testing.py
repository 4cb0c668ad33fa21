"""What an arm's networks are tested on, and the record that comes of it.

No weights depend on this: a change of it tests the kept networks again and trains nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ums.backend import Array
from ums.data import Examples
from ums.data.examples import all_of
from ums.experiments import evaluation
from ums.experiments.arms import ARMS, Arm
from ums.experiments.jobs import Job
from ums.experiments.names import (
    CLASSIFICATION,
    CONTROL,
    HELD_OUT,
    LOGITS,
    OWN_EPOCH,
    SEGMENTATION,
    SOURCE_HEAD,
    TEST,
    VALIDATION,
)
from ums.experiments.run import training_record
from ums.experiments.tasks import TargetTask, TaskGroup
from ums.experiments.tuning import Outcome, Tuning
from ums.layers import Layer
from ums.training import TrainingDiverged, predict

DIGITS = 5
"""Behind the point, of recorded scores and logits."""


def cases_of(group: TaskGroup, task: TargetTask) -> dict[str, tuple[str, np.ndarray]]:
    """HELD_OUT and TEST -> which set of the group, and the rows with what the task asks for."""
    held_out = np.intersect1d(group.held_out, task.train.rows)
    cases = {TEST: ("test_set", task.test.rows)}
    return cases | ({HELD_OUT: ("train_set", held_out)} if len(held_out) else {})


def described_cases(group: TaskGroup, task: TargetTask) -> dict[str, Any]:
    """A task, and ids, patients, labels and what else is known of its cases."""
    found: dict[str, Any] = {"title": task.title, "kind": task.kind, "classes": task.classes}
    for where, (which, rows) in cases_of(group, task).items():
        prepared = getattr(group, which)
        targets = (task.train if which == "train_set" else task.test).targets
        labels = None if task.kind == SEGMENTATION else np.asarray(targets)[rows]
        found[where] = {
            "id": prepared.ids[rows],
            "patient": prepared.patients[rows],
            "label": labels,
        }
        known = [name for name in ("age", "sex") if name in prepared.labels]
        found[where] |= {name: prepared.labels[name][rows] for name in known}
    return found


def tested(tuning: Tuning, job: Job) -> dict[str, Any]:
    """Train what is not trained yet, test it, and return the job's record."""
    if job.arm == SOURCE_HEAD:
        return {"tasks": _of_the_source(tuning)}
    arm, group = ARMS[job.arm], tuning.group
    tasks: dict[str, Any] = {}
    record: dict[str, Any] = {"tasks": tasks}
    rows = evaluation.heat_map_rows(group)
    outcomes = tuning.tune(job)
    for name, outcome in outcomes.items():
        steps = tuning.run.settings.steps
        tasks[name] = training_record(outcome.tuned)
        tasks[name]["encoder updates"] = arm.encoder_updates(steps, len(group.tasks))
        if job.arm != CONTROL:
            for epoch, network in outcome.networks.items():
                tasks[name][epoch] = _scores(tuning, arm, group.task(name), network)
            if group.task(name).kind == CLASSIFICATION:
                tasks[name][VALIDATION] = _validated(tuning, arm, group.task(name), outcome)
        if name == group.heat_map_task and len(rows):
            x, rng = explained(tuning, arm, rows), job.generator("heat maps")
            masks = evaluation.outlines(group, rows)
            network = outcome.networks[OWN_EPOCH]
            record["heat map"] = evaluation.measured_maps(network, x, masks, rng)
    if group.heat_map_task and len(outcomes) > 1 and not arm.own_models:
        record["derived"] = _derived(tuning, outcomes, group.task(group.heat_map_task))
    return record


def _derived(
    tuning: Tuning, outcomes: dict[str, Outcome], task: TargetTask
) -> dict[str, dict[str, Any]]:
    """Name of a derived head -> HELD_OUT and TEST -> its logits."""
    networks = {name: outcome.networks[OWN_EPOCH] for name, outcome in outcomes.items()}
    normalisation, device = tuning.run.settings.normalisation(), tuning.run.device
    own = task.on_draw(
        tuning.draw, networks[task.name], tuning.group.train_set.images, "", normalisation
    )
    assert isinstance(own.train, Examples) and isinstance(own.validation, Examples)
    heads = tuning.modality.derived(networks, own.train, own.validation, device)
    cases = {
        where: Examples(getattr(tuning.group, which).images, None, rows, normalisation)
        for where, (which, rows) in cases_of(tuning.group, task).items()
    }
    return {
        name: {where: {LOGITS: np.round(head(of), DIGITS)} for where, of in cases.items()}
        for name, head in heads.items()
    }


def _validated(
    tuning: Tuning, arm: Arm, task: TargetTask, outcome: Outcome
) -> dict[str, np.ndarray]:
    """Labels and logits of the validation images, which an operating point may be chosen by."""
    rows = np.intersect1d(tuning.draw.validation, task.train.rows)
    images, labels = tuning.images(arm, "train_set", rows), np.asarray(task.train.targets)[rows]
    how = (tuning.run.settings.normalisation(), tuning.run.device)
    scores = evaluation.score(task, outcome.networks[OWN_EPOCH], images, labels, *how)
    return {"label": labels, LOGITS: np.round(scores[LOGITS], DIGITS)}


def explained(tuning: Tuning, arm: Arm, rows: np.ndarray) -> Array:
    """Test images as a network's inputs, on the device, whose heat maps are made."""
    images = tuning.images(arm, "test_set", rows)
    return tuning.run.device.put(tuning.run.settings.normalisation().apply(images))


def _scores(tuning: Tuning, arm: Arm, task: TargetTask, network: Layer) -> dict[str, Any]:
    """HELD_OUT and TEST -> scores of the cases, in the order of :func:`cases_of`."""
    found = {}
    for where, (which, rows) in cases_of(tuning.group, task).items():
        images = tuning.images(arm, which, rows)
        targets = (task.train if where == HELD_OUT else task.test).targets[rows]
        how = (tuning.run.settings.normalisation(), tuning.run.device)
        scores = evaluation.score(task, network, images, targets, *how)
        found[where] = {name: np.round(values, DIGITS) for name, values in scores.items()}
    return found


def _of_the_source(tuning: Tuning) -> dict[str, Any]:
    """The source's own outputs for the tasks that it knows."""
    found: dict[str, Any] = {}
    source, normalisation = tuning.source(), tuning.run.settings.normalisation()
    for name, columns in tuning.modality.source_logits(tuning.group).items():
        found[name] = {OWN_EPOCH: {}}
        for where, (which, rows) in cases_of(tuning.group, tuning.group.task(name)).items():
            images = all_of(getattr(tuning.group, which).images[rows], normalisation)
            outputs = predict(source, images, tuning.run.device)[:, columns]
            logits = np.round(outputs.astype(np.float64), DIGITS)
            found[name][OWN_EPOCH][where] = {LOGITS: logits}
    return found


def tried(tuning: Tuning, job: Job) -> dict[str, Any]:
    """The record of a pilot's trial: each task's lowest validation loss, infinite if it diverged."""
    try:
        outcomes = tuning.tune(job)
    except TrainingDiverged:
        return {"losses": {task.name: math.inf for task in tuning.group.tasks}}
    return {"losses": {name: min(o.tuned.history.validation) for name, o in outcomes.items()}}
