"""The loop that runs the jobs of a study that are not done, and the file that names their records."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from ums.backend import choose_device
from ums.data import Prepared
from ums.experiments.arms import PRIMARY_ARMS
from ums.experiments.factors import Factor
from ums.experiments.jobs import SOURCE, Job
from ums.experiments.modality import Modality
from ums.experiments.names import STUDY_FILE
from ums.experiments.run import Run
from ums.experiments.settings import Settings, described
from ums.experiments.store import Store, made_by, plain
from ums.experiments.study import Study
from ums.files import write_whole
from ums.reading import with_digest


@dataclass(frozen=True)
class Place:
    """Where a study is run: what a process needs to know to take part in it.

    Attributes:
        modality: What is studied.
        prepared: The folder of the prepared folders.
        groups: Names of the groups of tasks, or None for all that are there.
        out: The folder of the results.
        device: "cpu", "gpu" or "auto".
        progress: Whether progress bars are shown.
    """

    modality: Modality
    prepared: Path
    groups: tuple[str, ...] | None
    out: Path
    device: str = "auto"
    progress: bool = True


@dataclass(frozen=True)
class Part:
    """The study under one setting; the main one has all arms, a level of a factor has some."""

    settings: Settings
    arms: tuple[str, ...]

    def replicates(self) -> range:
        """From 1."""
        return range(1, self.settings.replicates + 1)


def parts_of(
    settings: Settings, arms: Sequence[str], factors: Sequence[Factor], replicates: int
) -> dict[str, Part]:
    """The parts of a study: "" is the main one, "factor: level" another with so many replicates.

    The number of replicates is a level's own; what a replicate draws does not depend on it.
    """
    parts = {"": Part(settings, tuple(arms))}
    for factor in factors:
        for level in factor.levels:
            changed = replace(level.change(settings), replicates=replicates)
            parts[f"{factor.name}: {level.label}"] = Part(changed, PRIMARY_ARMS)
    return parts


@cache
def study_of(place: Place, part: Part) -> Study:
    """The study, in this process."""
    datasets = place.modality.layout.load(place.prepared, place.groups)
    device = choose_device(place.device)
    run = Run(part.settings, device, Store(place.out), place.progress)
    return Study(place.modality, datasets, run, part.arms)


def run(
    place: Place,
    parts: Mapping[str, Part],
    processes: int = 1,
    report: Callable[[str], None] = print,
) -> None:
    """Run the jobs that are not done; ``study.json`` in the place names all records.

    Args:
        place: Where.
        parts: What.
        processes: How many run side by side, each a replicate.
        report: Called with one line for each replicate.

    Raises:
        OSError: A file cannot be written, or another run has the folder; the message names it.
        ValueError: A part cannot be run; the message names it, before anything is trained.
    """
    with Store(place.out):
        studies = {name: _named_study(place, name, part) for name, part in parts.items()}
        files = {name: record_files(study, all_jobs(study)) for name, study in studies.items()}
        about = described_run(studies[""]) | {
            "parts": {n: described(p.settings) for n, p in parts.items()}
        }
        write_study(place.out, place.modality.name, about, files, studies[""].run.store)
        todo = [
            (part, replicate)
            for name, part in parts.items()
            for replicate in part.replicates()
            if not is_done(studies[name], studies[name].jobs_of(replicate))
        ]
        run_replicates(place, todo, processes, report)
        for name, study in studies.items():
            for job in [*study.cases_jobs(), *([] if name else study.pictures_jobs())]:
                study.record(job)


def _named_study(place: Place, name: str, part: Part) -> Study:
    try:
        return study_of(place, part)
    except ValueError as error:
        raise ValueError(f"{name}: {error}" if name else str(error)) from error


def all_jobs(study: Study) -> list[Job]:
    """All jobs of a study, without what only the main part's page shows."""
    jobs = study.cases_jobs()
    for replicate in range(1, study.settings.replicates + 1):
        jobs += study.jobs_of(replicate)
    return jobs


def is_done(study: Study, jobs: Sequence[Job]) -> bool:
    """Whether all of the jobs' records are there."""
    store = study.run.store
    return all(store.record_path(job.name, study.key(job)).is_file() for job in jobs)


def run_replicates(
    place: Place,
    todo: Sequence[tuple[Part, int]],
    processes: int,
    report: Callable[[str], None] = print,
) -> None:
    """Run the jobs of replicates, several processes side by side."""
    start = time.perf_counter()

    def done(number: int) -> None:
        minutes = (time.perf_counter() - start) / 60
        left = minutes / number * (len(todo) - number)
        report(f"{number}/{len(todo)} replicates after {minutes:.1f} minutes, {left:.1f} to go")

    if processes == 1 or len(todo) < 2:
        for number, (part, replicate) in enumerate(todo, start=1):
            run_replicate(place, part, replicate)
            done(number)
        return
    quiet = replace(place, progress=False)
    os.environ.setdefault("UMS_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    context = multiprocessing.get_context("spawn")  # a fork would copy the pools of threads
    with ProcessPoolExecutor(processes, context) as pool:
        futures = [pool.submit(run_replicate, quiet, *one) for one in todo]
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                future.result()
                done(number)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def run_replicate(place: Place, part: Part, replicate: int) -> None:
    """Run the jobs of one replicate, in this process."""
    study = study_of(place, part)
    for job in study.jobs_of(replicate):
        study.record(job)
    study.forget()


# ------------------------------------------------------------------------ what was run


def record_files(study: Study, jobs: Sequence[Job]) -> list[str]:
    """The file names of the jobs' records."""
    return [study.run.store.record_path(job.name, study.key(job)).name for job in jobs]


def write_study(
    out: Path, name: str, about: dict[str, Any], files: dict[str, list[str]], store: Store
) -> None:
    """Write the file that names a study and its records.

    Args:
        out: The folder of the page, that of the store or one in it.
        name: The study's name, which decides what page is made.
        about: What was run.
        files: Part of the study -> file names of its records.
        store: Where the records are.
    """
    up = [".."] * len(out.relative_to(store.folder).parts)
    folder = Path(*up, store.records_folder.name).as_posix()
    content = {"study": name, "about": plain(about), "records": folder, "jobs": files}
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / STUDY_FILE, (json.dumps(with_digest(content), indent=1) + "\n").encode())


def described_run(study: Study) -> dict[str, Any]:
    """What was run, for the page: data, settings, device, versions."""
    pool = study.pool(SOURCE)
    data = {"Source images": described_set(study.datasets.source, f"{len(pool.rows)} to draw from")}
    for group in study.datasets.groups:
        title, tested = group.name.title(), {len(task.test.rows) for task in group.tasks}
        to_draw = f"{len(group.pool)} to draw from"
        data[f"{title} tasks, training set"] = described_set(group.train_set, to_draw)
        data[f"{title} tasks, test set"] = described_set(
            group.test_set, f"{max(tested)} for testing"
        )
    height, width, *channels = study.datasets.source.images.shape[1:]
    data["Image size"] = f"{height} x {width}, {'RGB' if channels else 'grey'}"
    return {
        "title": study.modality.title,
        "source task": study.modality.source_task,
        "denoises baseline": study.modality.denoises_baseline,
        "data": data,
        "settings": described(study.settings),
        "seed": study.settings.seed,
        "device": study.run.device.name,
        "made by": made_by(),
        "source trained": study.settings.source_steps > 0,
    }


def described_set(prepared: Prepared, counts: str) -> str:
    """Where the images of a set come from, and how many there are."""
    source = prepared.about.get("source", prepared.folder.name)
    return f"{source}: {len(prepared)} images ({counts})"
