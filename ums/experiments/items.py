"""The jobs of a study by the file names of their records, what each needs, and shares of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ums.experiments import estimate
from ums.experiments.arms import ARMS
from ums.experiments.jobs import MODELS, PICTURES, SOURCE, SOURCE_TEST, TUNE, Job
from ums.experiments.settings import Settings
from ums.experiments.study import Study


@dataclass(frozen=True)
class Part:
    """The study under one setting; the main one has all arms, a level of a factor has some."""

    settings: Settings
    arms: tuple[str, ...]


class Item(NamedTuple):
    """A job of a part, and the file names of the records that must be there before."""

    part: Part
    job: Job
    needs: frozenset[str]


def items_of(study: Study, part: Part, jobs: Sequence[Job]) -> dict[str, Item]:
    """File name of the record -> job, of a part's jobs."""
    files = dict(zip(jobs, record_files(study, jobs), strict=True))
    return {
        file: Item(part, job, frozenset(files[other] for other in jobs if needs(job, other)))
        for job, file in files.items()
    }


def needs(job: Job, other: Job) -> bool:
    """Whether a job needs another: its source, for pictures all networks of its replicate, or all."""
    if job.kind == MODELS:
        return other.kind == TUNE
    sourced = job.kind == SOURCE_TEST or (bool(job.arm) and ARMS[job.arm].needs_source)
    found = (sourced and other.kind == SOURCE) or (job.kind == PICTURES and other.kind == TUNE)
    return found and other.replicate == job.replicate


def record_files(study: Study, jobs: Sequence[Job]) -> list[str]:
    """The file names of the jobs' records."""
    return [study.run.store.record_path(job.name, study.key(job)).name for job in jobs]


def share_of(items: Mapping[str, Item], k: int, n: int) -> dict[str, Item]:
    """The k-th, from 1, of n shares of about as many steps; a source and all that needs it are in one.

    What needs all networks of a replicate or of the study is in none.
    """
    together: dict[str, dict[str, Item]] = {}
    for file, item in items.items():
        if item.job.kind not in (PICTURES, MODELS):
            together.setdefault(min(item.needs, default=file), {})[file] = item
    shares: list[dict[str, Item]] = [{} for _ in range(n)]
    steps = [0] * n
    for alike in sorted(together.values(), key=lambda alike: -_steps(alike)):
        least = steps.index(min(steps))
        shares[least] |= alike
        steps[least] += _steps(alike)
    return {file: item for file, item in items.items() if file in shares[k - 1]}


def _steps(items: Mapping[str, Item]) -> int:
    """All training steps of some jobs, those of a group's tasks counted once."""
    trained = (item for item in items.values() if item.job.kind in (SOURCE, TUNE))
    return sum(estimate.steps_of(item.part.settings, item.job) for item in trained)
