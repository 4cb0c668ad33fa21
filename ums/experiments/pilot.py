"""The pilot: which learning rate and joint weights each arm gets, chosen before the study.

Every arm has as many trials, on replicates that the study does not have. A trial's loss is each task's
lowest validation loss; no test image is seen.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from ums.experiments.arms import ARMS
from ums.experiments.rates import trials
from ums.experiments.runner import Part, Place, run_replicates, study_of
from ums.experiments.store import Store
from ums.experiments.study import Study
from ums.experiments.tasks import TaskGroup
from ums.files import write_whole

FILE = "rates.csv"
Losses = dict[str, np.ndarray]
"""Task -> lowest validation losses (trials, replicates)."""


def run(place: Place, part: Part, replicates: int, processes: int = 1) -> Path:
    """Run a pilot's trials that are not done, and write what they choose.

    Args:
        place: Where.
        part: The settings and arms of the study.
        replicates: How many the pilot has.
        processes: How many run side by side, each a replicate.

    Returns:
        The file ``rates.csv`` in the place: the chosen trial of each arm and task, in the form of
        :mod:`ums.experiments.rates`.

    Raises:
        OSError: A file cannot be written, or another run has the folder; the message names it.
        ValueError: There are too few images; the message names the folder.
    """
    with Store(place.out):
        study = study_of(place, part)
        pilots = range(-1, -replicates - 1, -1)
        run_replicates(place, [(part, replicate) for replicate in pilots], processes)
        rows = [
            {"modality": place.modality.name, "group": group.name, "arm": arm} | row
            for group in study.datasets.groups
            for arm in study.pilot_arms(group)
            for row in _chosen(arm, _losses(study, group, arm, replicates))
        ]
        text = io.StringIO()
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(place.out / FILE, text.getvalue().encode())
    return place.out / FILE


def _losses(study: Study, group: TaskGroup, arm: str, replicates: int) -> Losses:
    jobs = [
        [job for job in study.jobs_of(-r) if (job.group, job.arm) == (group.name, arm)]
        for r in range(1, replicates + 1)
    ]
    records = [[study.record(job)["losses"] for job in of_replicate] for of_replicate in jobs]
    return {
        task.name: np.array([[trial[task.name] for trial in one] for one in records], float).T
        for task in group.tasks
    }


def _chosen(arm: str, losses: Losses) -> list[dict[str, object]]:
    """The chosen trial of each task; tasks tuned together have one in common."""
    relative = {task: relative_losses(values) for task, values in losses.items()}
    if ARMS[arm].together:
        mean: np.ndarray = np.mean(list(relative.values()), axis=0)
        relative = {task: mean for task in relative}
    rows = []
    for task, values in relative.items():
        trial = trials(arm)[int(np.argmin(values))]
        rows.append({"task": task, "rate": trial.rate, "weights": trial.weights})
    return rows


def relative_losses(losses: np.ndarray) -> np.ndarray:
    """Each trial's loss over the lowest in its replicate, the mean over replicates: (trials,).

    Args:
        losses: (trials, replicates), positive; NaN or infinite where a training diverged.
    """
    finite = np.where(np.isfinite(losses), losses, np.inf)
    return np.asarray((finite / finite.min(axis=0)).mean(axis=1))
