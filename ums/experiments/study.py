"""A study as a list of jobs, and how each of them is computed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ums.checkpoint import Checkpoint
from ums.experiments import evaluation
from ums.experiments.datasets import Datasets, fingerprint
from ums.experiments.jobs import CASES, PICTURES, SOURCE, SOURCE_TEST, TUNE, Job
from ums.experiments.modality import Modality, Pictures
from ums.experiments.names import CONTROL, INDEPENDENT, SEGMENTATION, STRATEGIES, TEST
from ums.experiments.run import Run, trained, training_record
from ums.experiments.tasks import Labelled, TargetTask, TaskGroup
from ums.experiments.tuning import Tuning, folds_of
from ums.finetuning import Tuned
from ums.networks import parameter_count
from ums.training import History

SHOWN = 4
"""Images whose heat maps are drawn."""

Computed = tuple[dict[str, Any], Pictures]
"""A record, and the arrays beside it."""


class Study:
    """A modality's jobs on its data under one setting.

    Args:
        modality: What is special to it.
        datasets: The images.
        run: Settings, device and the store.

    Raises:
        ValueError: Folds cannot be made or cannot fill a batch, there are joint weights for another
            number of tasks, or the source cannot be trained on its folder; before anything is trained.
    """

    def __init__(self, modality: Modality, datasets: Datasets, run: Run):
        self.modality, self.datasets, self.run = modality, datasets, run
        self.settings, self.normalisation = run.settings, run.settings.normalisation()
        self._tunings: dict[str, Tuning] = {}
        modality.check_source(datasets.source)
        run.store.watch(datasets.sets)
        for group in datasets.groups:
            folds_of(group, run.settings)
            run.settings.weighting().start(len(group.tasks), run.device)

    # -------------------------------------------------------------------- the list

    def tune_jobs(self, group: TaskGroup, arms: Sequence[str]) -> list[Job]:
        """The jobs that tune a group on every fold."""
        folds, seed = range(1, self.settings.folds + 1), self.settings.seed
        return [Job(TUNE, group.name, arm, fold, seed=seed) for fold in folds for arm in arms]

    def jobs(self) -> list[Job]:
        """All jobs of the study, each behind those it needs."""
        seed = self.settings.seed
        jobs = [Job(CASES, group.name, seed=seed) for group in self.datasets.groups]
        jobs += [Job(SOURCE, seed=seed), Job(SOURCE_TEST, seed=seed)]
        for group in self.datasets.groups:
            control = (CONTROL,) if len(evaluation.heat_map_rows(group)) else ()
            jobs += self.tune_jobs(group, STRATEGIES + control)
            jobs.append(Job(PICTURES, group.name, seed=seed))
        return jobs

    def key(self, job: Job) -> dict[str, Any]:
        """Everything a job's record depends on beside the code and the packages.

        A record is used again only under the very same key.
        """
        key: dict[str, Any] = job.to_dict() | self._source_key()
        if job.group:
            group = self.datasets.group(job.group)
            key |= self._group_key(group) | self.settings.key(*group.kinds)
            key |= {"test": fingerprint(group.test_set)}
            key |= {n: getattr(self.settings, n) for n in ("joint_weights", "stop_by")}
        if job.kind == CASES:
            key |= {"names": [group.held_out_name, group.test_name]}
        return key

    def _source_key(self) -> dict[str, Any]:
        source = fingerprint(self.datasets.source)
        key = {"modality": self.modality.name, "source": source, "device": self.run.device.name}
        return key | self.settings.key()

    def _group_key(self, group: TaskGroup) -> dict[str, Any]:
        return self._source_key() | {"train": fingerprint(group.train_set)}

    # -------------------------------------------------------------------- the jobs

    def record(self, job: Job) -> dict[str, Any]:
        """A job's record, computed now or taken from the store."""
        compute = {
            CASES: self._cases,
            SOURCE: self._source,
            SOURCE_TEST: self._source_test,
            TUNE: self._tune,
            PICTURES: self._pictures,
        }[job.kind]

        def recorded() -> Computed:
            record, pictures = compute(job)
            return {"job": job.to_dict()} | record, pictures

        return self.run.store.record(job.name, self.key(job), recorded)

    @cached_property
    def source(self) -> Tuned:
        """The source, trained now or taken from the store; untrained with 0 source epochs."""
        job = Job(SOURCE, seed=self.settings.seed)
        rng = job.generator(SOURCE)
        network = self.modality.source_network(rng, self.settings.width).to(self.run.device)

        def train(checkpoint: Checkpoint) -> dict[str, Tuned]:
            if self.settings.source_epochs == 0:
                return {SOURCE: Tuned(network, History(), 0.0, parameter_count(network))}
            training = self.run.training(SOURCE, rng, checkpoint)
            images, train_source = self.datasets.source, self.modality.train_source
            return {SOURCE: train_source(network, images, self.settings, training)}

        key = job.to_dict() | self._source_key()
        return trained(self.run.store, job.name, key, {SOURCE: network}, train)[SOURCE]

    def tuning(self, name: str) -> Tuning:
        """A group on the trained source."""
        if name not in self._tunings:
            group, network = self.datasets.group(name), self.source.network
            networks = self.modality.networks(group, network, self.settings, self.run.device)
            self._tunings[name] = Tuning(self.run, group, networks, self._group_key(group))
        return self._tunings[name]

    def _source(self, job: Job) -> Computed:
        return training_record(self.source), {}

    def _source_test(self, job: Job) -> Computed:
        images, how = self.datasets.source, (self.settings, self.run.device)
        return self.modality.test_source(self.source.network, images, *how)

    def _tune(self, job: Job) -> Computed:
        return self.tuning(job.group).record(job), {}

    def _cases(self, job: Job) -> Computed:
        """What stands behind the numbers of a group: its tasks, test cases and folds."""
        group = self.datasets.group(job.group)
        rows = evaluation.heat_map_rows(group)
        masks = evaluation.outlines(group, rows) if len(rows) else {}
        record = {
            "title": group.title,
            "held-out name": group.held_out_name,
            "test name": group.test_name,
            "folds": len(folds_of(group, self.settings)),
            "tasks": {task.name: _described_task(task) for task in group.tasks},
            "heat map": {
                "task": group.heat_map_task,
                "patients": group.test_set.patients[rows],
                "area": {name: float(mask.mean()) for name, mask in masks.items()},
            },
        }
        return record, {}

    def _pictures(self, job: Job) -> Computed:
        """What the page shows of a group: outlines and heat maps of the first fold, and the like."""
        group = self.datasets.group(job.group)
        pictures: Pictures = {}
        records = {j.name: self.record(j) for j in self.tune_jobs(group, (INDEPENDENT,))}
        first = {
            arm: Job(TUNE, group.name, arm, 1, seed=job.seed) for arm in (*STRATEGIES, CONTROL)
        }
        if SEGMENTATION in group.kinds:
            pictures |= self._outlines(group, first, next(iter(records.values())))
        if len(rows := evaluation.heat_map_rows(group)):
            pictures |= self._heat_maps(group, first, rows[:SHOWN])
        pictures |= self.modality.pictures(group, list(records.values()))
        return {}, pictures

    def _outlines(
        self, group: TaskGroup, first: dict[str, Job], independent: dict[str, Any]
    ) -> Pictures:
        """Test images that the independent head outlines best, middling and worst; all arms' masks."""
        task = next(task for task in group.tasks if task.kind == SEGMENTATION)
        order = np.argsort(independent["tasks"][task.name][TEST]["IoU"])
        case = order[[-1, len(order) // 2, len(order) // 10, 0]]
        rows, tuning = task.test.rows[case], self.tuning(group.name)
        found = {
            "outlines case": case,
            "outlines images": group.test_set.images[rows],
            "outlines truth": task.test.targets[rows] > 0,
        }
        for arm in STRATEGIES:
            network = tuning.tune(first[arm])[task.name].network
            found[f"outlines {arm}"] = evaluation.masks(
                network, tuning.images(arm, "test_set")[rows], self.normalisation, self.run.device
            )
        return found

    def _heat_maps(self, group: TaskGroup, first: dict[str, Job], rows: np.ndarray) -> Pictures:
        tuning, task = self.tuning(group.name), group.heat_map_task or ""
        found = {"heat maps images": group.test_set.images[rows]}
        found |= {f"heat maps in {n}": m for n, m in evaluation.outlines(group, rows).items()}
        for arm, job in first.items():
            found[f"heat maps {arm}"] = tuning.maps(job, tuning.tune(job)[task].network, rows)
        return found


def _described_task(task: TargetTask) -> dict[str, Any]:
    return {
        "title": task.title,
        "kind": task.kind,
        "classes": task.classes,
        "train": _described_cases(task, task.train),
        "test": _described_cases(task, task.test),
    }


def _described_cases(task: TargetTask, labelled: Labelled) -> dict[str, Any]:
    rows, prepared = labelled.rows, labelled.prepared
    labels = None if task.kind == SEGMENTATION else np.asarray(labelled.targets)[rows]
    return {"id": prepared.ids[rows], "patient": prepared.patients[rows], "label": labels}
