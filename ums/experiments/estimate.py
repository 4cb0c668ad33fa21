"""How long the jobs of a study that are not done will take, before they are started.

All arms of a group take about as long: they train each task for as many steps. A job takes as long as those
of its kind and group that are finished, in proportion to its steps. Where none is finished, one is
tried with a few steps in a folder that is thrown away.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from ums.experiments.jobs import PILOT, SOURCE, TUNE, Job
from ums.experiments.record_files import read_record
from ums.experiments.run import Run
from ums.experiments.settings import Settings
from ums.experiments.store import Store
from ums.experiments.study import Study

STEPS = 6
"""Steps of a job that is tried."""

Kind = tuple[str, str]


class Time(NamedTuple):
    """Seconds of a job: those that every job of its kind takes, and those of each step."""

    fixed: float
    step: float

    def of(self, steps: int) -> float:
        """Seconds of a job with so many steps."""
        return self.fixed + self.step * steps


def kind_of(job: Job) -> Kind:
    """Jobs of one kind take about as long; a pilot's trial as long as tuning."""
    return TUNE if job.kind == PILOT else job.kind, job.group


def steps_of(settings: Settings, job: Job) -> int:
    """The training steps of a job, of each task."""
    return settings.source_steps if job.kind == SOURCE else settings.steps


def measured(finished: Iterable[tuple[Settings, Path]]) -> dict[Kind, Time]:
    """Kind -> time, from records of finished jobs."""
    found: dict[Kind, list[float]] = {}
    for settings, path in finished:
        record = read_record(path)
        job = Job(**record["job"])
        found.setdefault(kind_of(job), []).append(record["wall"] / max(1, steps_of(settings, job)))
    return {kind: Time(0, mean(steps)) for kind, steps in found.items()}


def tried(study: Study, kinds: Iterable[Kind]) -> dict[Kind, Time]:
    """Kind -> time, by a few steps of the first job of each kind, and of the source."""
    wanted = set(kinds)
    times: dict[Kind, Time] = {}
    few = replace(study.settings, source_steps=STEPS, steps=STEPS, evaluations=1)
    with tempfile.TemporaryDirectory(prefix="ums-") as folder:
        run = Run(few, study.run.device, Store(Path(folder)), progress=False)
        trial = Study(study.modality, study.datasets, run, study.arms)
        for job in trial.jobs_of(1):
            if (kind := kind_of(job)) in wanted - set(times) or job.kind == SOURCE:
                record = trial.record(job)
                trainings = record["tasks"].values() if job.kind == TUNE else [record]
                seconds = sum(one.get("seconds", 0) for one in trainings)
                times[kind] = Time(max(0.0, record["wall"] - seconds), seconds / STEPS)
    return times


def seconds_of(settings: Settings, job: Job, times: Mapping[Kind, Time]) -> float:
    """How long a job takes; one of a kind without a time counts as a second."""
    return times.get(kind_of(job), Time(1, 0)).of(steps_of(settings, job))
