"""How long the jobs of a study that are not done will take, before they are started.

A job takes as long as a finished one of its kind, group and arm, in proportion to its steps. Where none is
finished, one is tried with a few steps in a folder that is thrown away.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ums.experiments.jobs import PILOT, SOURCE, TUNE, Job
from ums.experiments.record_files import read_record
from ums.experiments.run import Run
from ums.experiments.settings import Settings
from ums.experiments.store import Store
from ums.experiments.study import Study

STEPS = 6
"""Steps of a job that is tried."""

Kind = tuple[str, str, str]


class Time(NamedTuple):
    """Seconds of a job: those that every job of its kind takes, and those of each step."""

    fixed: float
    step: float

    def of(self, steps: int) -> float:
        """Seconds of a job with so many steps."""
        return self.fixed + self.step * steps


def kind_of(job: Job) -> Kind:
    """Jobs of one kind take as long; a pilot's trial as long as tuning."""
    return TUNE if job.kind == PILOT else job.kind, job.group, job.arm


def steps_of(settings: Settings, job: Job) -> int:
    """The training steps of a job, of each task."""
    return settings.source_steps if job.kind == SOURCE else settings.steps


def measured(finished: Iterable[tuple[Settings, Path]]) -> dict[Kind, Time]:
    """Kind -> time, from records of finished jobs."""
    times = {}
    for settings, path in finished:
        record = read_record(path)
        job = Job(**record["job"])
        steps = max(1, steps_of(settings, job))
        times[kind_of(job)] = Time(0, record["wall"] / steps)
    return times


def tried(study: Study, kinds: Iterable[Kind]) -> dict[Kind, Time]:
    """Kind -> time, by a few steps of each kind of job of a study."""
    kinds, times = set(kinds), {}
    few = replace(study.settings, source_steps=STEPS, steps=STEPS, evaluations=1)
    with tempfile.TemporaryDirectory(prefix="ums-") as folder:
        run = Run(few, study.run.device, Store(Path(folder)), progress=False)
        trial = Study(study.modality, study.datasets, run, study.arms)
        for job in trial.jobs_of(1):
            if kind_of(job) in kinds or job.kind == SOURCE:
                record = trial.record(job)
                trainings = record["tasks"].values() if job.kind == TUNE else [record]
                seconds = sum(one.get("seconds", 0) for one in trainings)
                fixed = max(0.0, record["wall"] - seconds)
                times[kind_of(job)] = Time(fixed, seconds / STEPS)
    return times


def seconds_of(settings: Settings, job: Job, times: Mapping[Kind, Time]) -> float:
    """How long a job takes; one of a kind without a time counts as a second."""
    return times.get(kind_of(job), Time(1, 0)).of(steps_of(settings, job))
