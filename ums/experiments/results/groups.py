"""The results of one group of tasks in a part of a study: scores, costs and heat maps of every arm."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import numpy as np

from ums.experiments.names import (
    CONTROL,
    LOGITS,
    MEASURES,
    ONE_ENCODER,
    OWN_EPOCH,
    REGRESSION,
    SEGMENTATION,
    SEVERAL_LABELS,
    TEST,
)
from ums.experiments.results.costs import TrainingCost, cost_of
from ums.experiments.results.intervals import over_trainings_and_patients
from ums.experiments.results.jackknife import (
    Measured,
    jackknifed,
    weighted_auc,
    weighted_by_label,
    weighted_mcc,
    weighted_mean,
    weighted_r2,
)
from ums.experiments.results.records import Record, Records
from ums.experiments.results.scores import Estimate, score_logits
from ums.experiments.results.verdicts import MARGINS, Contrast, contrast
from ums.metrics.significance import Interval

MARGIN = 0.05
"""Of measures without a margin of their own."""


@dataclass(frozen=True)
class TaskInfo:
    """A task as it was recorded; see :class:`ums.experiments.tasks.TargetTask`."""

    name: str
    title: str
    kind: str
    classes: int
    cases: dict[str, int]

    @property
    def measure(self) -> str:
        """The one measure that stands for the task."""
        return MEASURES[self.kind][0]


class GroupResults:
    """The results of a group of tasks in R replicates.

    Attributes:
        arms: Those it was tuned by, without the control.
        replicates: R.
        overlap: The correlation of two replicates that draw from one small pool; 0 if they share nothing,
            and if they share all.
        shared_images: The share of its images that a replicate has in common with another, on average.
        cases: Task -> HELD_OUT or TEST -> ids, patients and labels of the cases.
        runs: Arm -> records by replicate.
        costs: Arm -> task -> cost of each replicate.
        heat_maps: Arm -> method -> measure -> (R, n) of the images, or of the first n, such as the share
            of the map's mass inside a mask, NaN where nothing speaks for the class; empty where there
            are no heat maps.
    """

    def __init__(self, records: Records, group: str):
        record = records.one("cases", group)
        self.name, self.title = group, record["title"]
        self.shared_images: float = record["overlap"]
        self.overlap = self.shared_images if self.shared_images < 1 else 0.0
        self.held_out_name, self.test_name = record["held-out name"], record["test name"]
        self.cases: dict[str, Any] = record["tasks"]
        self.heat_map_cases: dict[str, Any] = record["heat map"]
        self.tasks = [_task(name, cases) for name, cases in self.cases.items()]
        self.runs = {arm: records.of("tune", group, arm) for arm in records.arms(group)}
        self.arms = tuple(arm for arm in self.runs if arm != CONTROL)
        self.replicates = max(map(len, self.runs.values()))
        self.costs: dict[str, dict[str, list[TrainingCost]]] = {
            arm: {
                t.name: [cost_of(r["tasks"][t.name]) for r in runs]
                for t in self.tasks
                if "history" in runs[0]["tasks"].get(t.name, {})
            }
            for arm, runs in self.runs.items()
        }
        self.heat_maps = {
            arm: _heat_maps([r["heat map"] for r in runs])
            for arm, runs in self.runs.items()
            if runs[0].get("heat map")
        }
        pictures = records.of("pictures", group)
        self.pictures = records.arrays(pictures[0]) if pictures else {}
        self.measured = cache(self._measured)

    def task(self, name: str) -> TaskInfo:
        """The task of that name."""
        return next(task for task in self.tasks if task.name == name)

    def has(self, arm: str, task: str, where: str = TEST, epoch: str = OWN_EPOCH) -> bool:
        """Whether an arm was tested on a task there."""
        first: Record = next(iter(self.runs.get(arm, [])), {"tasks": {}})
        return where in first["tasks"].get(task, {}).get(epoch, {})

    def values(
        self, arm: str, task: str, name: str, where: str = TEST, epoch: str = OWN_EPOCH
    ) -> np.ndarray:
        """A measure (R, P) of the cases of a segmentation, or the logits (R, P, K) of a classification."""
        return np.array([r["tasks"][task][epoch][where][name] for r in self.runs[arm]], float)

    def labels(self, task: str, where: str = TEST) -> np.ndarray:
        """(P,) the cases' labels or numbers, or (P, K) several, NaN where one is not known."""
        found = np.array(self.cases[task][where]["label"])
        return found.astype(float) if found.dtype == object else found

    def patients(self, task: str, where: str = TEST) -> np.ndarray:
        """(P,) the cases' patients."""
        return np.array(self.cases[task][where]["patient"])

    def _measured(
        self, arm: str, task: str, measure: str = "", where: str = TEST, epoch: str = OWN_EPOCH
    ) -> Measured:
        """A measure, by default the task's own, of each replicate, and what each patient adds to it."""
        info = self.task(task)
        measure = measure or info.measure
        patients = self.patients(task, where)
        if info.kind == SEGMENTATION:
            scores = self.values(arm, task, measure, where, epoch)
            return jackknifed(partial(weighted_mean, values=scores), patients)
        logits, labels = self.values(arm, task, LOGITS, where, epoch), self.labels(task, where)
        weighted = _weighted(info.kind, measure, labels, logits)
        if weighted:
            return jackknifed(weighted, patients)
        return Measured(np.array([score_logits(measure, one, labels) for one in logits]))

    def estimate(
        self, arm: str, task: str, measure: str = "", where: str = TEST, epoch: str = OWN_EPOCH
    ) -> Estimate:
        """Each replicate's score, and the interval of their mean over other trainings and patients."""
        measured = self.measured(arm, task, measure, where, epoch)
        return self.estimated(measured, *_range(measure or self.task(task).measure))

    def estimated(self, measured: Measured, low: float = 0.0, high: float = 1.0) -> Estimate:
        """A measure of each replicate with the interval of its mean, within the measure's range."""
        interval = over_trainings_and_patients(measured, self.overlap)
        return Estimate(measured.values, *_within(interval, low, high))

    def measures(self, task: TaskInfo) -> tuple[str, ...]:
        """The measures of a task: those of its kind, and of a segmentation all that were recorded."""
        first: Record = next(r[0] for a, r in self.runs.items() if self.has(a, task.name))
        known, recorded = MEASURES[task.kind], first["tasks"][task.name][OWN_EPOCH][TEST]
        if task.kind != SEGMENTATION:
            return known
        return tuple(dict.fromkeys((*(m for m in known if m in recorded), *recorded)))

    def of_heat_maps(self, arm: str, method: str, measure: str) -> Measured:
        """A measure of the heat maps, the mean over the images that have it."""
        values = self.heat_maps[arm][method][measure]
        patients = np.array(self.heat_map_cases["patients"])[: values.shape[1]]
        known = np.isfinite(values)

        def mean(weights: np.ndarray) -> np.ndarray:
            with np.errstate(invalid="ignore"):
                return np.asarray((weights @ np.where(known, values, 0).T) / (weights @ known.T))

        return jackknifed(mean, patients)

    def contrast(
        self, better: str, worse: str, task: str, measure: str = "", family: int = 1
    ) -> Contrast:
        """The difference of two arms on a task's test cases, by default in the task's own measure.

        It is that of the replicates which both arms have, the first ones.
        """
        a, b = (self.measured(arm, task, measure) for arm in (better, worse))
        return self.contrasted(a, b, measure or self.task(task).measure, family)

    def contrasted(self, a: Measured, b: Measured, measure: str, family: int = 1) -> Contrast:
        """The difference of two paired measures, within the measure's range."""
        found = contrast(a, b, MARGINS.get(measure, MARGIN), self.overlap, family)
        low, high = _range(measure)
        most = high - low
        both, trainings = (_within(each, -most, most) for each in (found.both, found.trainings))
        return replace(found, both=both, trainings=trainings)

    def cost_of_one_encoder(self, arm: str, task: str) -> Contrast:
        """What a task loses by the epoch that is best for all: ONE_ENCODER less OWN_EPOCH."""
        a, b = (self.measured(arm, task, "", TEST, epoch) for epoch in (ONE_ENCODER, OWN_EPOCH))
        return self.contrasted(a, b, self.task(task).measure)

    @property
    def conditional(self) -> bool:
        """Whether replicates share images; what is found then holds for these patients alone."""
        return self.shared_images > 0


def _task(name: str, cases: Record) -> TaskInfo:
    counts = {w: len(cases[w]["patient"]) for w in cases if isinstance(cases[w], dict)}
    return TaskInfo(name, cases["title"], cases["kind"], cases["classes"], counts)


def _range(measure: str) -> tuple[float, float]:
    """The smallest and the largest value of a measure."""
    known = any(measure in measures for measures in MEASURES.values()) and measure != "MAE"
    low = {"MCC": -1.0, "R²": -math.inf}.get(measure, 0.0)
    return low, 1.0 if known else math.inf


def _within(interval: Interval, low: float, high: float) -> Interval:
    """The part of an interval that values can reach; for few replicates it goes on beyond."""
    return Interval(*(float(np.clip(bound, low, high)) for bound in interval))


def _heat_maps(replicates: list[Record]) -> dict[str, dict[str, np.ndarray]]:
    return {
        method: {name: np.array([r[method][name] for r in replicates], float) for name in measures}
        for method, measures in replicates[0].items()
    }


def _weighted(
    kind: str, measure: str, labels: np.ndarray, logits: np.ndarray
) -> Callable[[np.ndarray], np.ndarray] | None:
    """A weighted measure of logits (R, P, K), or of numbers (R, P, 1), if it has such a form."""
    if kind == REGRESSION:
        numbers, true = logits[..., 0], labels.astype(float)
        if measure == "MAE":
            return partial(weighted_mean, values=np.abs(numbers - true))
        return partial(weighted_r2, targets=true, numbers=numbers)
    if kind == SEVERAL_LABELS:
        several = partial(weighted_by_label, labels=labels.astype(float), scores=logits)
        return partial(several, accuracy=measure == "Accuracy")
    predicted, K = logits.argmax(axis=2), logits.shape[2]
    if measure == "MCC":
        return partial(weighted_mcc, labels=labels, predicted=predicted, classes=K)
    if measure == "Accuracy":
        return partial(weighted_mean, values=(predicted == labels).astype(float))
    if measure == "AUC" and K == 2:
        return partial(weighted_auc, labels=labels, scores=logits[..., 1] - logits[..., 0])
    return None
