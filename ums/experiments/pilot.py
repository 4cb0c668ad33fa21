"""The pilot: which learning rate and joint weights each arm gets, chosen before the study.

Every arm has as many trials, on replicates that the study does not have. A trial's loss is each task's
lowest validation loss; no test image is seen.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from ums.checks import check_integer
from ums.experiments.arms import ARMS
from ums.experiments.items import Part, items_of
from ums.experiments.jobs import SOURCE
from ums.experiments.rates import trials
from ums.experiments.replicates import PILOTS
from ums.experiments.results.pilots import best_trial
from ums.experiments.runner import Place, datasets_of, run_items, study_of
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
        processes: How many jobs run side by side.

    Returns:
        The file ``rates.csv`` in the place, with the chosen trial of each arm and task in the form of
        :mod:`ums.experiments.rates`.

    Raises:
        OSError: A file cannot be written, or another run has the folder; the message names it.
        ValueError: There are too few images, the message names the folder; or too many replicates.
    """
    check_integer("replicates of a pilot", replicates)
    if replicates > PILOTS:
        raise ValueError(f"a pilot has {PILOTS} replicates at most, got {replicates}")
    datasets_of(place)  # where they are missing, no folder is made
    with Store(place.out):
        study = study_of(place, part)
        pools = {
            name: study.pool(name) for name in (SOURCE, *(g.name for g in study.datasets.groups))
        }
        for name in (name for name, pool in pools.items() if not pool.has_block(-replicates)):
            print(
                f"{name}: too few images for a pilot with patients of its own; it shares the study's"
            )
        jobs = [job for r in range(1, replicates + 1) for job in study.jobs_of(-r)]
        run_items(place, items_of(study, part, jobs), processes)
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
    if ARMS[arm].together:
        together = np.stack(list(losses.values()), axis=2)
        losses = {task: together for task in losses}
    rows = []
    for task, values in losses.items():
        trial = trials(arm)[best_trial(values)]
        rows.append({"task": task, "rate": trial.rate, "weights": trial.weights})
    return rows
