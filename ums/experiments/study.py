"""A study as a list of jobs, and how each of them is computed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import cache
from typing import Any

from ums.checkpoint import Checkpoint
from ums.data import Prepared
from ums.experiments import evaluation, testing
from ums.experiments.arms import ARMS, PRIMARY_ARMS
from ums.experiments.datasets import Datasets, fingerprint, source_pool
from ums.experiments.group_pictures import outlines, shown_heat_maps
from ums.experiments.jobs import (
    CASES,
    MODELS,
    PICTURES,
    PILOT,
    SOURCE,
    SOURCE_TEST,
    TUNE,
    Job,
)
from ums.experiments.modality import Modality, Pictures
from ums.experiments.model_files import Tuned as Chosen
from ums.experiments.model_files import best_arm, best_replicate, write_model, write_use
from ums.experiments.names import (
    CONTROL,
    INDEPENDENT,
    SEGMENTATION,
    SINGLE_LONG,
    SOURCE_HEAD,
)
from ums.experiments.rates import FOLLOWS, trials
from ums.experiments.replicates import Draw, Pool
from ums.experiments.run import Run, trained, training_record
from ums.experiments.settings import described
from ums.experiments.store import made_by
from ums.experiments.tasks import TaskGroup
from ums.experiments.tuning import Tuning
from ums.finetuning import Tuned
from ums.networks import parameter_count
from ums.training import History

Computed = tuple[dict[str, Any], Pictures]
"""A record, and the arrays beside it."""


class Study:
    """A modality's jobs on its data under one setting.

    Args:
        modality: What is special to it.
        datasets: The images.
        run: Settings, device and the store.
        arms: Those to run, where they apply to a group.

    Raises:
        ValueError: A replicate would have too few images, or the source cannot be trained on its folder;
            the message names the folder, before anything is trained.
    """

    def __init__(
        self, modality: Modality, datasets: Datasets, run: Run, arms: Sequence[str] = tuple(ARMS)
    ):
        self.modality, self.datasets, self.run = modality, datasets, run
        self.settings, self.arms = run.settings, tuple(arm for arm in ARMS if arm in arms)
        self.pool, self.draw = cache(self._pool), cache(self._draw)
        self.source, self.tuning = cache(self._trained_source), cache(self._tuning)
        self._replicate = 0
        modality.check_source(datasets.source)
        run.store.watch(datasets.sets)
        self.pool(SOURCE)
        for group in datasets.groups:
            for replicate in range(1, self.settings.replicates + 1):
                group.check(self.draw(group.name, replicate), self.settings.batch)

    def _pool(self, name: str) -> Pool:
        settings = self.settings
        if name != SOURCE:
            group = self.datasets.group(name)
            return group.draws(settings.labels, settings.replicates, settings.seed)
        return source_pool(self.source_set, self.modality.source_strata(self.source_set), settings)

    @property
    def source_set(self) -> Prepared:
        """The images that the source is trained on.

        Raises:
            ValueError: There are none of another hospital.
        """
        if self.settings.source_from not in self.datasets.sources:
            folder = self.datasets.source.folder
            raise ValueError(f"no images of another hospital for the source beside {folder}")
        return self.datasets.sources[self.settings.source_from]

    def _draw(self, name: str, replicate: int) -> Draw:
        return self.pool(name).draw(replicate)

    # -------------------------------------------------------------------- the list

    def arms_of(self, group: TaskGroup) -> list[str]:
        """The arms that apply to a group."""
        left_out = set() if len(evaluation.heat_map_rows(group)) else {CONTROL}
        left_out |= set() if self.modality.source_logits(group) else {SOURCE_HEAD}
        left_out |= {SINGLE_LONG} if len(group.tasks) == 1 else set()
        return [arm for arm in self.arms if arm not in left_out]

    def pilot_arms(self, group: TaskGroup) -> list[str]:
        """The arms that have trials of their own."""
        return [arm for arm in self.arms_of(group) if arm not in (*FOLLOWS, SOURCE_HEAD)]

    def jobs_of(self, replicate: int) -> list[Job]:
        """The jobs of a replicate, or of a pilot's, each behind those it needs."""
        seed, groups = self.settings.seed, self.datasets.groups
        jobs = []
        if any(ARMS[arm].needs_source for arm in self.arms):
            kinds = (SOURCE, SOURCE_TEST) if replicate > 0 else (SOURCE,)
            jobs = [Job(kind, replicate=replicate, seed=seed) for kind in kinds]
        if replicate < 0:
            return jobs + [
                Job(PILOT, group.name, arm, replicate, trial, seed)
                for group in groups
                for arm in self.pilot_arms(group)
                for trial in range(1, len(trials(arm)) + 1)
            ]
        others = self.settings.other_replicates or replicate
        tuned = [
            (group.name, arm)
            for group in groups
            for arm in self.arms_of(group)
            if arm in PRIMARY_ARMS or replicate <= others
        ]
        return jobs + [Job(TUNE, name, arm, replicate, seed=seed) for name, arm in tuned]

    def jobs(self, main: bool = True) -> list[Job]:
        """All jobs, each behind those it needs; those for pictures only if it is the main part."""
        seed, names = self.settings.seed, [group.name for group in self.datasets.groups]
        jobs = [Job(CASES, name, seed=seed) for name in names]
        for replicate in range(1, self.settings.replicates + 1):
            jobs += self.jobs_of(replicate)
        pictures = [Job(PICTURES, name, replicate=1, seed=seed) for name in names]
        models = [Job(MODELS, seed=seed)] * self.run.models
        return jobs + ([*pictures, *models] if main else [])

    def _tuned(self, arm: str) -> list[Job]:
        """The jobs of an arm, group by group."""
        replicates = range(1, self.settings.replicates + 1)
        jobs = [job for replicate in replicates for job in self.jobs_of(replicate)]
        return [job for job in jobs if (job.kind, job.arm) == (TUNE, arm)]

    def key(self, job: Job) -> dict[str, Any]:
        """Everything a job's record depends on beside the code and the packages.

        A record is used again only under the very same key.
        """
        if job.kind == MODELS:
            tuned = [each for arm in self.model_arms for each in self._tuned(arm)]
            return job.to_dict() | {"networks": [self.key(each) for each in tuned]}
        if job.kind in (SOURCE, SOURCE_TEST):
            return job.to_dict() | self._source_key(job.replicate)
        group = self.datasets.group(job.group)
        sets = {"test": fingerprint(group.test_set)}
        if job.kind in (TUNE, PILOT):
            return self.tuning(group.name, job.replicate).key(job) | sets
        first, own = self.tuning(group.name, 1), job.to_dict() | sets
        if job.kind == CASES:
            names = {"names": [group.held_out_name, group.test_name]}
            return own | names | first.keys(False) | {"overlap": self._overlap(group)}
        tuned = [Job(TUNE, group.name, arm, 1, seed=job.seed) for arm in self.arms_of(group)]
        return own | {"networks": [first.key(each) for each in tuned]}

    def _overlap(self, group: TaskGroup) -> float:
        """The share of its images that a replicate has in common with another."""
        return max(self.pool(name).overlap for name in (group.name, SOURCE))

    def _source_key(self, replicate: int) -> dict[str, Any]:
        """What the source's weights depend on."""
        names = ("width", "background", "evaluations", "batch", "source_steps", "source_rate")
        draw = self.draw(SOURCE, replicate)
        data: dict[str, Any] = {"modality": self.modality.name, "device": self.run.device_key}
        data |= {"source": fingerprint(self.source_set), "source rows": draw.digest}
        return data | self.settings.key(*names)

    # -------------------------------------------------------------------- the jobs

    def record(self, job: Job) -> dict[str, Any]:
        """A job's record, computed now or taken from the store."""
        compute = {
            CASES: self._cases,
            SOURCE: lambda job: (training_record(self.source(job.replicate)), {}),
            SOURCE_TEST: self._source_test,
            TUNE: lambda job: (testing.tested(self.tuning(job.group, job.replicate), job), {}),
            PILOT: lambda job: (testing.tried(self.tuning(job.group, job.replicate), job), {}),
            PICTURES: self._pictures,
            MODELS: self._models,
        }[job.kind]

        def recorded() -> Computed:
            start = time.perf_counter()
            record, pictures = compute(job)
            wall = time.perf_counter() - start
            return {"job": job.to_dict(), "wall": wall} | record, pictures

        return self.run.store.record(job.name, self.key(job), recorded)

    def focus(self, replicate: int) -> None:
        """Let go of the networks and images of another replicate, which this one does not need."""
        if replicate != self._replicate:
            self.source.cache_clear()
            self.tuning.cache_clear()
        self._replicate = replicate

    def _trained_source(self, replicate: int) -> Tuned:
        """The source, trained now or taken from the store; untrained with 0 source steps."""
        job = Job(SOURCE, replicate=replicate, seed=self.settings.seed)
        rng, settings = job.generator(SOURCE), self.settings
        network = self.modality.source_network(rng, settings.width).to(self.run.device)

        def train(checkpoint: Checkpoint) -> dict[str, Tuned]:
            if settings.source_steps == 0:
                return {SOURCE: Tuned(network, History(), 0.0, parameter_count(network))}
            fit = settings.fit(settings.source_steps, settings.source_rate)
            training = self.run.training(fit, rng, checkpoint)
            images, draw = self.source_set, self.draw(SOURCE, replicate)
            return {SOURCE: self.modality.train_source(network, images, draw, settings, training)}

        return trained(self.run.store, job.name, self.key(job), {SOURCE: network}, train)[SOURCE]

    def _tuning(self, name: str, replicate: int) -> Tuning:
        """A group in a replicate."""
        group = self.datasets.group(name)
        data: dict[str, Any] = {"modality": self.modality.name, "device": self.run.device_key}
        data |= {"training set": fingerprint(group.train_set), "seed": self.settings.seed}

        def keys(needs_source: bool) -> dict[str, Any]:
            return data | (self._source_key(replicate) if needs_source else {})

        return Tuning(
            self.run,
            self.modality,
            group,
            self.draw(name, replicate),
            lambda: self.source(replicate).network,
            keys,
        )

    def _source_test(self, job: Job) -> Computed:
        draw, how = self.draw(SOURCE, job.replicate), (self.settings, self.run.device)
        network = self.source(job.replicate).network
        return self.modality.test_source(network, self.datasets.source, draw, *how)

    def _cases(self, job: Job) -> Computed:
        """What stands behind the numbers of a group: its tasks and their test cases."""
        group = self.datasets.group(job.group)
        rows = evaluation.heat_map_rows(group)
        masks = evaluation.outlines(group, rows) if len(rows) else {}
        record = {
            "title": group.title,
            "held-out name": group.held_out_name,
            "test name": group.test_name,
            "overlap": self._overlap(group),
            "tasks": {task.name: testing.described_cases(group, task) for task in group.tasks},
            "heat map": {
                "task": group.heat_map_task,
                "patients": group.test_set.patients[rows],
                "area": {name: float(mask.mean()) for name, mask in masks.items()},
            },
        }
        return record, {}

    @property
    def model_arms(self) -> list[str]:
        """The arms whose networks can be used by themselves, on images as they are."""
        usable = (arm for arm in self.arms if arm not in (CONTROL, SOURCE_HEAD))
        return [arm for arm in usable if not ARMS[arm].cleaned]

    def _models(self, job: Job) -> Computed:
        """Write each arm's networks to use, and which arm's."""
        folder = self.run.store.folder / MODELS
        arms: dict[str, list[list[dict[str, Any]]]] = {}
        about: dict[str, Any] = {"title": self.modality.title, "seed": job.seed}
        about |= {"settings": described(self.settings), "made by": made_by()}
        for arm in self.model_arms:
            groups: dict[str, list[dict[str, Any]]] = {}
            for each in self._tuned(arm):
                groups.setdefault(each.group, []).append(self.record(each))
            chosen = []
            for records in groups.values():
                best = best_replicate(records)
                own = Job(**best["job"])
                tuning = self.tuning(own.group, own.replicate)
                chosen.append(Chosen(tuning, tuning.tune(own), best))
            if chosen:
                write_model(folder / arm, arm, chosen, about)
                arms[arm] = list(groups.values())
        use = best_arm(arms) if arms else None
        if use:
            write_use(folder, use)
        return {"models": list(arms), "use": use}, {}

    def _pictures(self, job: Job) -> Computed:
        """What the page shows of a group beside its numbers."""
        group, jobs = self.datasets.group(job.group), {}
        for arm in self.arms_of(group):
            if arm != SOURCE_HEAD:
                jobs[arm] = Job(TUNE, group.name, arm, job.replicate, seed=job.seed)
        pictures: Pictures = {}
        tuning = self.tuning(group.name, job.replicate)
        if SEGMENTATION in group.kinds and set(jobs) - {CONTROL}:
            pictures |= outlines(tuning, jobs, self.record(next(iter(jobs.values()))))
        if len(rows := evaluation.heat_map_rows(group)):
            pictures |= shown_heat_maps(tuning, jobs, rows)
        if INDEPENDENT in jobs:
            pictures |= self.modality.pictures(group, [self.record(jobs[INDEPENDENT])])
        return {}, pictures
