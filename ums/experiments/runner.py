"""The loop that runs the jobs of a study that are not done, and the file that names their records."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ums.data import Prepared
from ums.data.prepared import SPLITS
from ums.experiments.jobs import Job
from ums.experiments.names import STUDY_FILE
from ums.experiments.settings import described
from ums.experiments.store import Store, made_by, plain
from ums.experiments.study import Study
from ums.files import write_whole
from ums.reading import with_digest


def run(study: Study, out: Path) -> None:
    """Run the jobs that are not done; ``study.json`` in ``out`` names all records.

    Raises:
        OSError: A file cannot be written; the message names it.
    """
    jobs, store = study.jobs(), study.run.store
    files = {"": record_files(study, jobs)}
    write_study(out, study.modality.name, described_run(study), files, store)
    run_jobs(study, jobs)


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


def run_jobs(study: Study, jobs: Sequence[Job], report: Callable[[str], None] = print) -> None:
    """Compute each record that is not there yet, and say which one."""
    start, store = time.perf_counter(), study.run.store
    there = [store.record_path(job.name, study.key(job)).is_file() for job in jobs]
    if any(there):
        report(f"{store.folder}: {sum(there)} of {len(jobs)} jobs are done")
    for number, (job, done) in enumerate(zip(jobs, there, strict=True), start=1):
        study.record(job)
        if not done:
            minutes = (time.perf_counter() - start) / 60
            report(f"{number}/{len(jobs)} {job.name}: done after {minutes:.1f} minutes")


def described_run(study: Study) -> dict[str, Any]:
    """What was run, for the page: data, settings, device, versions."""
    source = study.datasets.source
    counts = ", ".join(f"{(source.splits == split).sum()} {split}" for split in SPLITS)
    data = {"Source images": described_set(source, counts)}
    for group in study.datasets.groups:
        tested = np.unique(np.concatenate([task.test.rows for task in group.tasks]))
        title = group.name.title()
        in_folds = f"{len(group.pool)} in folds"
        data[f"{title} tasks, training set"] = described_set(group.train_set, in_folds)
        data[f"{title} tasks, test set"] = described_set(
            group.test_set, f"{len(tested)} for testing"
        )
    height, width, *channels = source.images.shape[1:]
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
        "source trained": study.settings.source_epochs > 0,
    }


def described_set(prepared: Prepared, counts: str) -> str:
    """Where the images of a set come from, and how many there are."""
    source = prepared.about.get("source", prepared.folder.name)
    return f"{source}: {len(prepared)} images ({counts})"
