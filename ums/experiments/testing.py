"""What an arm's networks are tested on, and the record that comes of it.

No weights depend on this: a change of it tests the kept networks again and trains nothing.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ums.data.examples import all_of
from ums.experiments import evaluation
from ums.experiments.arms import ARMS, Arm
from ums.experiments.jobs import Job
from ums.experiments.names import CONTROL, HELD_OUT, LOGITS, OWN_EPOCH, SOURCE_HEAD, TEST
from ums.experiments.run import training_record
from ums.experiments.tasks import TargetTask, TaskGroup
from ums.experiments.tuning import Tuning
from ums.layers import Layer
from ums.training import TrainingDiverged, predict

DIGITS = 5
"""Behind the point, of recorded scores and logits."""


def cases_of(group: TaskGroup, task: TargetTask) -> dict[str, tuple[str, np.ndarray]]:
    """HELD_OUT and TEST -> which set of the group, and the rows with what the task asks for."""
    held_out = np.intersect1d(group.held_out, task.train.rows)
    cases = {TEST: ("test_set", task.test.rows)}
    return cases | ({HELD_OUT: ("train_set", held_out)} if len(held_out) else {})


def tested(tuning: Tuning, job: Job) -> dict[str, Any]:
    """Train what is not trained yet, test it, and return the job's record."""
    if job.arm == SOURCE_HEAD:
        return {"tasks": _of_the_source(tuning)}
    arm, group = ARMS[job.arm], tuning.group
    tasks: dict[str, Any] = {}
    record: dict[str, Any] = {"tasks": tasks}
    rows = evaluation.heat_map_rows(group)
    for name, outcome in tuning.tune(job).items():
        steps = tuning.run.settings.steps
        tasks[name] = training_record(outcome.tuned)
        tasks[name]["encoder updates"] = arm.encoder_updates(steps, len(group.tasks))
        if job.arm != CONTROL:
            for epoch, network in outcome.networks.items():
                tasks[name][epoch] = _scores(tuning, arm, group.task(name), network)
        if name == group.heat_map_task and len(rows):
            maps = heat_maps(tuning, arm, outcome.networks[OWN_EPOCH], rows)
            record["heat map"] = evaluation.shares_inside(maps, evaluation.outlines(group, rows))
    return record


def heat_maps(tuning: Tuning, arm: Arm, network: Layer, rows: np.ndarray) -> np.ndarray:
    """Heat maps (n, H, W) of test images."""
    images = tuning.images(arm, "test_set", rows)
    how = (tuning.run.settings.normalisation(), tuning.run.device)
    return evaluation.class_1_maps(network, images, *how)


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
