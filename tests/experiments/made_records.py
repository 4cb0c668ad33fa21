"""Records of a study, made up: what the jobs of two replicates leave, with random scores."""

from functools import cache
from pathlib import Path

import numpy as np

from ums.experiments.arms import ARMS
from ums.experiments.jobs import CASES, SOURCE, TUNE, Job
from ums.experiments.names import (
    CLASSIFICATION,
    DIVERSE,
    HELD_OUT,
    LOGITS,
    MEASURES,
    ONE_ENCODER,
    OWN_EPOCH,
    SEGMENTATION,
    SIMILAR,
    STRATEGIES,
    TEST,
)
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.records import Records, StudyRecords
from ums.experiments.store import Store, plain
from ums.experiments.study_file import write_study
from ums.training import History

TASKS = {
    DIVERSE: {
        "lungs": ("Lung segmentation", SEGMENTATION),
        "abnormality": ("Abnormality", CLASSIFICATION),
    },
    SIMILAR: {
        "bacterial-normal": ("Bacterial vs normal", CLASSIFICATION),
        "viral-normal": ("Viral vs normal", CLASSIFICATION),
        "bacterial-viral": ("Bacterial vs viral", CLASSIFICATION),
    },
}
REPLICATES, CASES_OF = 2, {HELD_OUT: 20, TEST: 40}
SHARED, SOURCE_PARAMETERS, UPDATES = 1000, 1700, 300
SOURCE_HISTORY = History([1.0] * 3, [3.0, 1.0, 2.0])
PLACES = {DIVERSE: (HELD_OUT, TEST), SIMILAR: (TEST,)}
"""Only the diverse tasks have images that were put aside."""


def training(arm, task, replicate):
    """The record of a training, another for every arm, task and replicate; ``task`` is a number."""
    number = list(ARMS).index(arm)
    own = History([1.0] * 3, [3.0, 2.0, 1.0] if replicate == 1 else [1.0, 2.0, 3.0])
    return {
        "history": own.to_dict(),
        "seconds": 60.0 * (10 * number + task + 1) * replicate,
        "trainable": 100 * (number + 1) + task,
        "shared": SHARED if ARMS[arm].together else 0,
        "encoder updates": UPDATES + number,
    }


def labels_of(where):
    return np.arange(CASES_OF[where]) // (2 if where == TEST else 3) % 2


def tested(kind, where, perfect, rng):
    """Scores of all cases."""
    n = CASES_OF[where]
    if kind == SEGMENTATION:
        return {m: rng.uniform(0, 0.9, n) + 0.1 * perfect for m in MEASURES[kind]}
    logits, labels = rng.normal(size=(n, 2)), labels_of(where)
    if perfect:
        logits[np.arange(n), labels] = logits.max(axis=1) + 1
    return {LOGITS: logits}


def cases_record(group, images_each=2, overlap=0.0):
    """Patients with ``images_each`` images each."""

    def cases(where, kind):
        n = CASES_OF[where]
        label = labels_of(where) if kind == CLASSIFICATION else None
        patients = [f"p{k // images_each}" for k in range(n)]
        return {"id": [f"{where}{k}" for k in range(n)], "patient": patients, "label": label}

    tasks = {
        name: {"title": title, "kind": kind, "classes": 2}
        | {where: cases(where, kind) for where in PLACES[group]}
        for name, (title, kind) in TASKS[group].items()
    }
    return {
        "title": f"{group} tasks",
        "held-out name": "images put aside",
        "test name": "a test set",
        "overlap": overlap,
        "tasks": tasks,
        "heat map": {"task": None, "patients": [], "area": {}},
    }


def tune_record(group, arm, replicate, perfect, rng):
    """What an arm leaves; tasks tuned together have a second network."""
    epochs = (OWN_EPOCH, ONE_ENCODER) if ARMS[arm].together else (OWN_EPOCH,)
    tasks = {}
    for number, (name, (_, kind)) in enumerate(TASKS[group].items()):
        tasks[name] = training(arm, number, replicate) | {
            epoch: {where: tested(kind, where, arm in perfect, rng) for where in PLACES[group]}
            for epoch in epochs
        }
    return {"tasks": tasks}


def jobs_of(group, arms=STRATEGIES, perfect=(), replicates=REPLICATES, **cases):
    """Job -> its record; arms in ``perfect`` are right about every case."""
    rng = np.random.default_rng(1)
    jobs = {Job(CASES, group): cases_record(group, **cases)}
    for replicate in range(1, replicates + 1):
        cost = {"seconds": 600.0, "trainable": SOURCE_PARAMETERS, "shared": 0}
        history = SOURCE_HISTORY.to_dict()
        jobs[Job(SOURCE, replicate=replicate)] = cost | {"history": history}
        for arm in arms:
            record = tune_record(group, arm, replicate, perfect, rng)
            jobs[Job(TUNE, group, arm, replicate)] = record
    return jobs


def in_memory(jobs):
    """The jobs' records as a study has them."""
    made = [
        plain({"job": job.to_dict(), **record, "arrays": False}) for job, record in jobs.items()
    ]
    return Records(Path("nowhere"), tuple(job.name for job in jobs), tuple(made))


ABOUT = {
    "title": "made-up images",
    "source task": "denoising",
    "denoises baseline": True,
    "source trained": True,
    "data": {"Diverse tasks, test set": "hospital B: 40 images", "Image size": "16 x 16, grey"},
    "settings": {},
    "seed": 0,
    "device": "CPU",
    "made by": {"ums": "1"},
}


def study_of(of_parts, **about):
    """A study in memory, of jobs by part."""
    return StudyRecords("cxr", ABOUT | about, {p: in_memory(jobs) for p, jobs in of_parts.items()})


def on_disk(folder, jobs, arrays=None, name="cxr"):
    """Write the records as a run does; returns their paths."""
    store, paths = Store(folder), []
    for job, record in jobs.items():
        whole = {"job": job.to_dict()} | record
        store.record(job.name, {}, lambda whole=whole: (whole, arrays or {}))
        paths.append(store.record_path(job.name, {}))
    write_study(folder, name, {"seed": 0}, {"": [path.name for path in paths]}, store)
    return paths


@cache
def results_of(group, **how):
    """The results of a group of made-up records."""
    return GroupResults(in_memory(jobs_of(group, **how)), group)
