"""Records of a study, made up: what the jobs of two folds leave, with random scores."""

from functools import cache
from pathlib import Path

import numpy as np

from ums.experiments.jobs import CASES, SOURCE, TUNE, Job
from ums.experiments.names import (
    CLASSIFICATION,
    DIVERSE,
    HELD_OUT,
    LOGITS,
    MEASURES,
    SEGMENTATION,
    SIMILAR,
    STRATEGIES,
    TEST,
    TOGETHER,
)
from ums.experiments.results.costs import TrainingCost
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.records import Records
from ums.experiments.runner import write_study
from ums.experiments.store import Store, plain
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
FOLDS, CASES_OF = 2, {HELD_OUT: 20, TEST: 40}
SHARED, SOURCE_PARAMETERS = 1000, 1700
SOURCE_COST = TrainingCost(History([1.0] * 3, [3.0, 1.0, 2.0]), 600.0, SOURCE_PARAMETERS, 0)


def training(arm, task, fold, history=None):
    """The cost of a training, another for every arm, task and fold; (arm, task) are numbers."""
    own = History([1.0] * 3, [3.0, 2.0, 1.0] if fold == 1 else [1.0, 2.0, 3.0])
    return {
        "history": (history or own).to_dict(),
        "seconds": 60.0 * (10 * arm + task + 1) * fold,
        "trainable": 100 * (arm + 1) + task,
        "shared": SHARED if STRATEGIES[arm] in TOGETHER else 0,
    }


def labels_of(where):
    return np.arange(CASES_OF[where]) // (2 if where == TEST else 3) % 2


def tested(kind, where, fold, perfect, rng):
    """Scores of all test cases, or of every second case for a fold that was held out."""
    cases = np.arange(CASES_OF[where])
    cases = cases if where == TEST else cases[fold - 1 :: FOLDS]
    if kind == SEGMENTATION:
        scores = {m: rng.uniform(0, 0.9, len(cases)) + 0.1 * perfect for m in MEASURES[kind]}
        return {"case": cases} | scores
    logits, labels = rng.normal(size=(len(cases), 2)), labels_of(where)[cases]
    if perfect:
        logits[np.arange(len(cases)), labels] = logits.max(axis=1) + 1
    return {"case": cases, LOGITS: logits}


def cases_record(group, images_each):
    """Patients with ``images_each`` images each."""

    def cases(where, kind):
        n = CASES_OF[where]
        label = labels_of(where) if kind == CLASSIFICATION else None
        patients = [f"p{k // images_each}" for k in range(n)]
        return {"id": [f"{where}{k}" for k in range(n)], "patient": patients, "label": label}

    tasks = {
        name: {
            "title": title,
            "kind": kind,
            "classes": 2,
            "train": cases(HELD_OUT, kind),
            "test": cases(TEST, kind),
        }
        for name, (title, kind) in TASKS[group].items()
    }
    names = {
        "title": f"{group} tasks",
        "held-out name": "held-out folds",
        "test name": "a test set",
    }
    heat_map = {"task": None, "patients": [], "area": {}}
    return names | {"folds": FOLDS, "tasks": tasks, "heat map": heat_map}


def jobs_of(group, arms=STRATEGIES, perfect=(), images_each=2):
    """Job -> its record; arms in ``perfect`` are right about every case."""
    rng = np.random.default_rng(1)
    jobs = {Job(CASES, group): cases_record(group, images_each)}
    jobs[Job(SOURCE)] = SOURCE_COST._asdict() | {"history": SOURCE_COST.history.to_dict()}
    for fold in range(1, FOLDS + 1):
        for arm in arms:
            tasks = {}
            for number, (name, (_, kind)) in enumerate(TASKS[group].items()):
                tasks[name] = training(STRATEGIES.index(arm), number, fold) | {
                    where: tested(kind, where, fold, arm in perfect, rng)
                    for where in (HELD_OUT, TEST)
                }
            jobs[Job(TUNE, group, arm, fold)] = {"tasks": tasks}
    return jobs


def in_memory(jobs):
    """The jobs' records as a study has them."""
    made = [
        plain({"job": job.to_dict(), **record, "arrays": False}) for job, record in jobs.items()
    ]
    return Records(Path("nowhere"), tuple(job.name for job in jobs), tuple(made))


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
    return GroupResults(in_memory(jobs_of(group, **how)), group, seed=0)
