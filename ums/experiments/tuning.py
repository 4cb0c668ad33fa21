"""The protocol of sections 4.1 and 4.2: a group's tasks tuned on a fold by one arm, then tested.

An arm is one of the strategies, the baseline, or the control. It trains networks for all tasks of the
group; what it leaves is their weights and a record of their scores, histories and costs.

A :class:`~ums.experiments.tasks.TargetTask` has the data of all folds, a :class:`~ums.finetuning.Task` those
of one fold and a head, a :class:`~ums.finetuning.Tuned` is what came of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ums.checkpoint import Checkpoint
from ums.data.augment import Augmentation
from ums.data.examples import all_of
from ums.experiments import evaluation
from ums.experiments.jobs import Job, generator
from ums.experiments.modality import Networks
from ums.experiments.names import (
    CONTROL,
    ENCODER,
    HELD_OUT,
    JOINT,
    SEGMENTATION,
    SEPARATE,
    TEST,
    TOGETHER,
)
from ums.experiments.run import Run, Train, trained, training_record
from ums.experiments.settings import Settings
from ums.experiments.tasks import Fold, TargetTask, TaskGroup, thinned
from ums.finetuning import (
    Task,
    Tuned,
    train_separately,
    tune_alternately,
    tune_independently,
    tune_jointly,
)
from ums.finetuning.independent import renew_statistics
from ums.layers import Layer, Sequential
from ums.networks import copy_network
from ums.optimizers import Adam
from ums.training import Training


class Plan(NamedTuple):
    """What an arm is about to do: ``train`` the networks in ``saved``.

    Attributes:
        saved: Name -> what learns and is kept.
        whole: Task -> its network from image to output.
        train: Trains them.
    """

    saved: dict[str, Layer]
    whole: dict[str, Layer]
    train: Train


class Tuning:
    """One group of tasks on its folds.

    Args:
        run: The settings and the like.
        group: The tasks.
        networks: What they are built from.
        key: What all weights depend on beside the settings: data, device.

    Raises:
        ValueError: Folds cannot be made, or a fold cannot fill a batch; the message names the folder.
    """

    def __init__(self, run: Run, group: TaskGroup, networks: Networks, key: dict[str, Any]):
        self.run, self.group, self.networks, self.key = run, group, networks, key
        self.settings, self.device = run.settings, run.device
        self.normalisation = run.settings.normalisation()
        self.folds = folds_of(group, run.settings)
        self.encoder = networks.encoder
        if self.settings.statistics == "target":
            self.encoder = self._renewed(networks.encoder)
        self._cleaned: dict[str, np.ndarray] = {}

    def _renewed(self, encoder: Layer) -> Layer:
        """A copy of the encoder whose batch norms have the statistics of the training set."""
        copy = copy_network(encoder).to(self.device)
        images = replace(
            all_of(self.group.train_set.images, self.normalisation), rows=self.group.pool
        )
        rng, fit = generator(self.settings.seed, "statistics"), self.settings.fit(SEGMENTATION)
        renew_statistics(copy, images, Training(fit, rng, self.device))
        return copy

    # -------------------------------------------------------------------- training

    def tune(self, job: Job) -> dict[str, Tuned]:
        """Task -> its tuned network from image to output, trained now or taken from the store."""
        tasks: Sequence[TargetTask] = self.group.tasks
        if job.arm == CONTROL:
            tasks = [self._shuffled(job)]
        if job.arm in TOGETHER:
            plan = self._together(job)
        elif job.arm == SEPARATE:
            plan = self._separately(job)
        else:
            plan = self._independently(job, tasks)
        key = self.key | self.settings.key(*dict.fromkeys(task.kind for task in tasks))
        if job.arm in TOGETHER:
            key |= {"stop by": self.settings.stop_by}
        if job.arm == JOINT:
            key |= {"joint weights": self.settings.joint_weights}
        key |= job.to_dict()
        tuned = trained(self.run.store, job.name, key, plan.saved, plan.train)
        return {name: replace(tuned[name], network=n) for name, n in plan.whole.items()}

    def _independently(self, job: Job, tasks: Sequence[TargetTask]) -> Plan:
        """Heads on the frozen encoder, each with a generator of its own."""
        heads: dict[str, Layer] = {}
        todo = []
        for task in tasks:
            name = self._stream(job, task.name)
            rng = job.generator(name)
            heads[task.name] = self.networks.heads[task.name](rng).to(self.device)
            images = self.group.train_set.images
            todo.append((task, self._task(task, heads[task.name], images, job, name, rng), rng))

        def train(checkpoint: Checkpoint) -> dict[str, Tuned]:
            tuned = {}
            for task, one, rng in todo:
                training = self.run.training(task.kind, rng, checkpoint)
                tuned[task.name] = tune_independently(self.encoder, [one], training)[one.name]
            return tuned

        whole: dict[str, Layer] = {n: Sequential(self.encoder, head) for n, head in heads.items()}
        return Plan(heads, whole, train)

    def _together(self, job: Job) -> Plan:
        """A copy of the encoder that moves with all heads."""
        rng = job.generator(self._stream(job))
        encoder = copy_network(self.encoder).to(self.device)
        heads = {t.name: self.networks.heads[t.name](rng).to(self.device) for t in self.group.tasks}
        images = self.group.train_set.images
        tasks = [self._task(t, heads[t.name], images, job, t.name, rng) for t in self.group.tasks]
        kinds = self.group.kinds  # one number of epochs for all: a segmentation's, if there is one
        kind = SEGMENTATION if SEGMENTATION in kinds else kinds[0]

        def train(checkpoint: Checkpoint) -> dict[str, Tuned]:
            training = self.run.training(kind, rng, checkpoint)
            criterion = self.settings.criterion()
            if job.arm == JOINT:
                weights = self.settings.weighting()
                return tune_jointly(encoder, one_optimizer(tasks), training, weights, criterion)
            return tune_alternately(encoder, tasks, training, criterion=criterion)

        whole: dict[str, Layer] = {n: Sequential(encoder, head) for n, head in heads.items()}
        return Plan({ENCODER: encoder} | heads, whole, train)

    def _separately(self, job: Job) -> Plan:
        """Networks of their own on cleaned images, each with a generator of its own."""
        names = {task.name: self._stream(job, task.name) for task in self.group.tasks}
        rngs = {task: job.generator(name) for task, name in names.items()}
        models = {
            task: self.networks.models[task](rng).to(self.device) for task, rng in rngs.items()
        }

        def train(checkpoint: Checkpoint) -> dict[str, Tuned]:
            tuned: dict[str, Tuned] = {}
            images = self.images(SEPARATE, "train_set")
            for task in self.group.tasks:
                name, rng = names[task.name], rngs[task.name]
                one = self._task(task, models[task.name], images, job, name, rng)
                training = self.run.training(task.kind, rng, checkpoint)
                tuned |= train_separately([replace(one, optimizer=Adam)], training)
            return {task: tuned[name] for task, name in names.items()}

        return Plan(models, models, train)

    def _shuffled(self, job: Job) -> TargetTask:
        """The heat-map task with its labels shuffled among the labelled images."""
        task = self.group.task(self.group.heat_map_task or "")
        targets, rows = np.array(task.train.targets), task.train.rows
        rng = job.generator(f"{self.group.name}-fold{job.fold}-shuffled-{task.name}")
        targets[rows] = rng.permutation(targets[rows])
        return replace(task, train=replace(task.train, targets=targets))

    def _task(
        self, task: TargetTask, head: Layer, images: np.ndarray, job: Job, name: str,
        rng: np.random.Generator,
    ) -> Task:  # fmt: skip
        augment: Augmentation | None = self.networks.augment(rng) if self.settings.augment else None
        fold = self.folds[job.fold - 1]
        return task.on_fold(fold, head, images, name, self.normalisation, augment)

    def _stream(self, job: Job, task: str = "") -> str:
        return "-".join(filter(None, (self.group.name, f"fold{job.fold}", job.arm, task)))

    # -------------------------------------------------------------------- testing

    def images(self, arm: str, which: str) -> np.ndarray:
        """The images of ``"train_set"`` or ``"test_set"`` as an arm sees them, uint8."""
        images: np.ndarray = getattr(self.group, which).images
        if arm != SEPARATE:
            return images
        if which not in self._cleaned:
            self._cleaned[which] = self.networks.clean(images)
        return self._cleaned[which]

    def record(self, job: Job) -> dict[str, Any]:
        """Train what is not trained yet, test it, and return the job's record."""
        tuned = self.tune(job)
        tasks = {name: training_record(result) for name, result in tuned.items()}
        record: dict[str, Any] = {"tasks": tasks}
        rows = evaluation.heat_map_rows(self.group)
        for name, result in tuned.items():
            if job.arm != CONTROL:
                tasks[name] |= self._tested(job, self.group.task(name), result.network)
            if name == self.group.heat_map_task and len(rows):
                maps = self.maps(job, result.network, rows)
                masks = evaluation.outlines(self.group, rows)
                record["heat map"] = evaluation.shares_inside(maps, masks)
        return record

    def maps(self, job: Job, network: Layer, rows: np.ndarray) -> np.ndarray:
        """Heat maps (n, H, W) of test images."""
        images = self.images(job.arm, "test_set")[rows]
        return evaluation.class_1_maps(network, images, self.normalisation, self.device)

    def _tested(self, job: Job, task: TargetTask, network: Layer) -> dict[str, Any]:
        """Scores on the fold held out and on the test set; cases are numbered as in the cases' record."""
        held_out = np.intersect1d(self.folds[job.fold - 1].held_out, task.train.rows)
        places = {
            HELD_OUT: ("train_set", task.train, held_out),
            TEST: ("test_set", task.test, task.test.rows),
        }
        found = {}
        for where, (which, labelled, rows) in places.items():
            images, targets = self.images(job.arm, which)[rows], labelled.targets[rows]
            how = (self.normalisation, self.device)
            scores = evaluation.score(task, network, images, targets, *how)
            found[where] = {"case": np.searchsorted(labelled.rows, rows), **scores}
        return found


def folds_of(group: TaskGroup, settings: Settings) -> list[Fold]:
    """The group's folds by the settings' number of them and seed.

    Raises:
        ValueError: As :meth:`TaskGroup.folds`, or a fold cannot fill a batch; the message names the
            folder.
    """
    seed, k = settings.seed, settings.folds
    folds = group.folds(k, generator(seed, f"{group.name}-folds"))
    if settings.labels < 1:
        rng, share = generator(seed, f"{group.name}-labels"), settings.labels
        folds = [replace(f, train=thinned(f.train, group.strata, share, rng)) for f in folds]
    for i, fold in enumerate(folds):
        for task in group.tasks:
            found = len(np.intersect1d(fold.train, task.train.rows))
            if found < settings.batch:
                raise ValueError(
                    f"{group.train_set.folder}: {found} images to train the {task.name} task on in "
                    f"fold {i + 1} of {k} cannot fill a batch of {settings.batch}"
                )
    return folds


def one_optimizer(tasks: Sequence[Task]) -> list[Task]:
    """The tasks with the optimizer they have in common, or else with Adam: one loss has one."""
    optimizers = {task.optimizer for task in tasks}
    common = optimizers.pop() if len(optimizers) == 1 else Adam
    return [replace(task, optimizer=common) for task in tasks]
