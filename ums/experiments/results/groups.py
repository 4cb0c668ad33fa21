"""The results of one group of tasks: scores, costs and heat maps of every arm, and their comparisons."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from ums.experiments.names import CONTROL, HELD_OUT, LOGITS, MEASURES, SEGMENTATION, TEST
from ums.experiments.results.costs import cost_of
from ums.experiments.results.records import Record, Records
from ums.experiments.results.scores import CaseScores, compare_cases
from ums.metrics.significance import holm


@dataclass(frozen=True)
class TaskInfo:
    """A task as it was recorded; see :class:`ums.experiments.tasks.TargetTask`."""

    name: str
    title: str
    kind: str
    cases: dict[str, int]

    @property
    def measure(self) -> str:
        """The one measure that stands for the task."""
        return MEASURES[self.kind][0]


class Comparison(NamedTuple):
    """Two arms, a and b, on one task's test cases; see also :class:`.scores.Difference`.

    ``differences`` are those of the task's measure, a less b, by fold. ``corrected`` is the p-value
    corrected for all comparisons of the group (Holm).
    """

    task: str
    a: str
    b: str
    differences: tuple[float, ...]
    statistic: float
    p_value: float
    corrected: float
    only_a: int | None
    only_b: int | None

    def seen_from(self, better: str) -> tuple[tuple[float, ...], float]:
        """The differences, and the test's statistic, ``better`` less the other."""
        sign = 1 if better == self.a else -1
        return tuple(sign * d for d in self.differences), sign * self.statistic


class GroupResults:
    """The results of a group of tasks in k folds.

    Attributes:
        arms: Those it was tuned by, without the control.
        scores: (arm, HELD_OUT or TEST, task) -> scores of the folds' networks.
        costs: Arm -> task -> cost of each fold.
        heat_maps: Arm -> name of a mask -> (k, n) shares of the map's mass inside it, NaN where
            nothing speaks for the class; empty where there are no heat maps.
        estimates: (arm, HELD_OUT or TEST, task, measure) -> estimate.
        comparisons: Of all pairs of arms on all tasks.
    """

    def __init__(self, records: Records, group: str, seed: int):
        record = records.one("cases", group)
        self.name, self.title, self.k = group, record["title"], record["folds"]
        self.held_out_name, self.test_name = record["held-out name"], record["test name"]
        self.cases: dict[str, Any] = record["tasks"]
        self.heat_map_cases: dict[str, Any] = record["heat map"]
        self.tasks = [_task(name, cases) for name, cases in self.cases.items()]
        runs = {arm: records.of("tune", group, arm) for arm in records.arms(group)}
        self.arms = tuple(arm for arm in runs if arm != CONTROL)
        self.scores = {
            (arm, where, name): _scores(cases, runs[arm], where, name)
            for arm in self.arms
            for where in (HELD_OUT, TEST)
            for name, cases in self.cases.items()
        }
        self.costs = {
            arm: {t.name: [cost_of(r["tasks"][t.name]) for r in runs[arm]] for t in self.tasks}
            for arm in self.arms
        }
        self.heat_maps = {
            arm: {name: np.array([r["heat map"][name] for r in of_arm], float) for name in masks}
            for arm, of_arm in runs.items()
            if (masks := of_arm[0].get("heat map"))
        }
        pictures = records.of("pictures", group)
        self.pictures = records.arrays(pictures[0]) if pictures else {}
        rng = np.random.default_rng([seed, zlib.crc32(group.encode())])
        self.estimates = {
            (arm, where, task.name, m): self.scores[arm, where, task.name].estimate(m, rng)
            for where in (TEST, HELD_OUT)
            for task in self.tasks
            for arm in self.arms
            for m in MEASURES[task.kind]
        }
        self.comparisons = self._compared(rng)

    def mean(self, arm: str, where: str, task: TaskInfo) -> float:
        """The mean over folds of a task's measure."""
        return self.estimates[arm, where, task.name, task.measure].mean

    def folds(self, arm: str, task: TaskInfo) -> list[float]:
        """Each fold's value of a task's measure on the test set."""
        return list(self.estimates[arm, TEST, task.name, task.measure].folds)

    def comparison(self, task: str, a: str, b: str) -> Comparison:
        """Of two arms, in either order."""
        return next(c for c in self.comparisons if c.task == task and {c.a, c.b} == {a, b})

    @property
    def clustered(self) -> bool:
        """Whether a patient has several test cases, which are then not independent."""
        return any(s.clustered for (_, where, _), s in self.scores.items() if where == TEST)

    def _compared(self, rng: np.random.Generator) -> list[Comparison]:
        """All pairs of arms on all tasks, on the test set: one family."""
        found = []
        for task in self.tasks:
            for a, b in combinations(self.arms, 2):
                one, other = (self.scores[arm, TEST, task.name] for arm in (a, b))
                test = compare_cases(one, other, task.measure, rng)._asdict()
                differences = np.subtract(self.folds(a, task), self.folds(b, task)).tolist()
                found.append(Comparison(task.name, a, b, tuple(differences), corrected=1.0, **test))
        corrected = holm([c.p_value for c in found]) if found else np.zeros(0)
        return [c._replace(corrected=float(p)) for c, p in zip(found, corrected, strict=True)]


def _task(name: str, cases: Record) -> TaskInfo:
    counts = {HELD_OUT: len(cases["train"]["id"]), TEST: len(cases["test"]["id"])}
    return TaskInfo(name, cases["title"], cases["kind"], counts)


def _scores(cases: Record, runs: list[Record], where: str, task: str) -> CaseScores:
    """Scores of the networks of all folds, from their records."""
    known = cases["test" if where == TEST else "train"]
    labels = None if known["label"] is None else np.array(known["label"])
    scores = CaseScores(cases["kind"], np.array(known["patient"]), labels)
    names = MEASURES[SEGMENTATION] if cases["kind"] == SEGMENTATION else (LOGITS,)
    for fold, run in enumerate(runs):
        found = run["tasks"][task][where]
        values = {name: np.array(found[name], float) for name in names}
        scores.add(fold, len(runs), np.array(found["case"], int), values)
    return scores
