"""The loop that runs the jobs of a study that are not done: here, in processes, or on other machines.

Machines take part in two ways, both with one folder that all of them see. By ``scheduler``, the address of a
Dask scheduler, this process hands out jobs and waits for their records. By ``share``, K of N, each of N
processes that know nothing of each other runs its own jobs, as in an array of a batch system; a last run
without a share does what needs them all.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import connection
from pathlib import Path
from threading import Thread

from ums.backend import choose_device
from ums.experiments import cluster, estimate
from ums.experiments.arms import PRIMARY_ARMS
from ums.experiments.datasets import Datasets
from ums.experiments.factors import Factor
from ums.experiments.items import Item, Part, items_of, record_files, share_of
from ums.experiments.jobs import SOURCE, TUNE, Job
from ums.experiments.modality import Modality
from ums.experiments.run import Run
from ums.experiments.settings import Settings, described
from ums.experiments.store import Store
from ums.experiments.study import Study
from ums.experiments.study_file import described_run, write_study


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
        portable: Whether what one device computed counts on any other.
        models: Whether networks to use are written at the end.
    """

    modality: Modality
    prepared: Path
    groups: tuple[str, ...] | None
    out: Path
    device: str = "auto"
    progress: bool = True
    portable: bool = False
    models: bool = True


def parts_of(
    settings: Settings, arms: Sequence[str], factors: Sequence[Factor], replicates: int
) -> dict[str, Part]:
    """The parts of a study: "" is the main one, "factor: level" another with so many replicates.

    The number of replicates is a level's own; what a replicate draws does not depend on it, where the
    pool has enough patients for both or for neither.

    Raises:
        ValueError: A level's settings are out of range, or those of the study; the message names the level.
    """
    parts = {"": Part(settings, tuple(arms))}
    for factor in factors:
        for level in factor.levels:
            name = f"{factor.name}: {level.label}"
            try:
                changed = replace(level.change(settings), replicates=replicates)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
            if replace(changed, replicates=settings.replicates) == settings:
                raise ValueError(f"{name}: the study itself is at this level")
            parts[name] = Part(changed, PRIMARY_ARMS)
    return parts


@cache
def datasets_of(place: Place) -> Datasets:
    """The prepared folders, opened once in this process."""
    return place.modality.layout.load(place.prepared, place.groups)


@cache
def study_of(place: Place, part: Part) -> Study:
    """The study, in this process."""
    datasets, device = datasets_of(place), choose_device(place.device)
    run = Run(part.settings, device, Store(place.out), place.progress, place.portable, place.models)
    return Study(place.modality, datasets, run, part.arms)


def run(
    place: Place,
    parts: Mapping[str, Part],
    processes: int = 1,
    report: Callable[[str], None] = print,
    scheduler: str = "",
    share: tuple[int, int] | None = None,
) -> None:
    """Run the jobs that are not done; ``study.json`` in the place names all records.

    Args:
        place: Where.
        parts: What.
        processes: How many jobs run side by side.
        report: Called with one line for each job.
        scheduler: The address of a Dask scheduler whose workers run the jobs; "" for this machine.
        share: (K, N): the K-th of N shares of the jobs alone, without those that need all others.

    Raises:
        OSError: A file cannot be written, or another run has the folder; the message names it.
        ValueError: A part cannot be run; the message names it, before anything is trained.
    """
    datasets_of(place)  # where they are missing, no folder is made
    with Store(place.out, share=share):
        studies = {name: _named_study(place, name, part) for name, part in parts.items()}
        listed = {name: study.jobs(main=not name) for name, study in studies.items()}
        files = {name: record_files(studies[name], jobs) for name, jobs in listed.items()}
        about = described_run(studies[""])
        about["parts"] = {name: described(part.settings) for name, part in parts.items()}
        write_study(place.out, place.modality.name, about, files, studies[""].run.store)
        items: dict[str, Item] = {}
        for name, part in parts.items():  # parts may have records in common
            items = items_of(studies[name], part, listed[name]) | items
        order = dict.fromkeys(file for name in parts for file in files[name])
        chosen = {file: items[file] for file in order}
        run_items(
            place, share_of(chosen, *share) if share else chosen, processes, report, scheduler
        )


def _named_study(place: Place, name: str, part: Part) -> Study:
    try:
        return study_of(place, part)
    except ValueError as error:
        raise ValueError(f"{name}: {error}" if name else str(error)) from error


def run_items(
    place: Place,
    items: Mapping[str, Item],
    processes: int = 1,
    report: Callable[[str], None] = print,
    scheduler: str = "",
) -> None:
    """Run jobs whose records are not there yet.

    Args:
        place: Where.
        items: File name of the record -> part and job, each behind those it needs.
        processes: How many run side by side.
        report: Called with one line for each job.
        scheduler: The address of a Dask scheduler whose workers run them; "" for this machine.
    """
    folder = Store(place.out).records_folder
    todo = {file: item for file, item in items.items() if not (folder / file).is_file()}
    count, done = len(todo), len(items) - len(todo)
    if done:
        report(f"{place.out}: {done} of {len(items)} jobs are done")
    if not todo:
        return
    seconds = _seconds(place, items, todo)
    expected = sum(seconds.values())
    report(f"{count} jobs will take about {expected / processes / 3600:.1f} hours")
    start = time.perf_counter()

    def finished(job: Job) -> None:
        took, left = time.perf_counter() - start, sum(seconds[file] for file in todo)
        trust = expected / 20 + 1e-9  # in the estimate, until more has been measured
        pace = (took + trust / processes) / (expected - left + trust)
        number, minutes = (
            count - len(todo),
            f"{took / 60:.1f} minutes, about {left * pace / 60:.0f}",
        )
        report(f"{number}/{count} {job.name}: {minutes} to go")

    if processes == 1 and not scheduler:
        for file, item in list(todo.items()):
            run_item(place, item, file)
            del todo[file]
            finished(item.job)
        return
    pool = cluster.workers(scheduler) if scheduler else _processes(processes)
    with pool as (executor, at_once):
        _side_by_side(executor, at_once, replace(place, progress=False), todo, finished)


def _seconds(place: Place, items: Mapping[str, Item], todo: Mapping[str, Item]) -> dict[str, float]:
    """File name of the record -> how long a job that is not done will take."""
    folder = Store(place.out).records_folder
    finished = [(i.part.settings, folder / file) for file, i in items.items() if file not in todo]
    times = estimate.measured(finished)
    unknown = {estimate.kind_of(item.job) for item in todo.values()} - set(times)
    if any(kind in (SOURCE, TUNE) for kind, *_ in unknown):
        first = study_of(place, next(iter(todo.values())).part)
        times = estimate.tried(first, unknown) | times
    return {f: estimate.seconds_of(i.part.settings, i.job, times) for f, i in todo.items()}


def _side_by_side(
    pool: Executor,
    at_once: int,
    place: Place,
    todo: dict[str, Item],
    finished: Callable[[Job], None],
) -> None:
    """Run jobs by a pool, as soon as those they need are done."""
    running: dict[Future, str] = {}
    while todo:
        for file, item in todo.items():
            if len(running) == at_once:
                break
            if file not in running.values() and item.needs.isdisjoint(todo):
                running[pool.submit(run_item, place, item, file)] = file
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            future.result()
            item = todo.pop(running.pop(future))
            finished(item.job)


@contextmanager
def _processes(count: int) -> Iterator[tuple[Executor, int]]:
    """Processes of this machine, and how many."""
    context = multiprocessing.get_context("spawn")  # a fork would copy the pools of threads
    with ProcessPoolExecutor(count, context, end_with_parent) as pool:
        try:
            yield pool, count
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            children = multiprocessing.active_children()
            for child in children:
                child.terminate()
            for child in children:  # none writes to the folder once it is free again
                child.join()
            raise


def end_with_parent() -> None:
    """In a process of a pool: end when the process that started it does, by whatever signal."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)


def run_item(place: Place, item: Item, file: str) -> None:
    """Run a job in this process; what it shares with others of its replicate is kept for the next.

    Raises:
        RuntimeError: The record would not be the one that is asked for: this process is another machine's.
    """
    study = study_of(place, item.part)
    (own,) = record_files(study, [item.job])
    if own != file:
        raise RuntimeError(
            f"{platform.node()} would write {own}, not {file}: its code, packages, data or device differ "
            f"({study.run.device.name}); --portable takes what any device computed"
        )
    study.focus(item.job.replicate)
    study.record(item.job)
