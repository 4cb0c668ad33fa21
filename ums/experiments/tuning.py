"""A group of tasks in one replicate, tuned by one arm after another (sections 4.1 and 4.2).

All arms train a task for as many steps, with the same schedule, on the same images. What an arm leaves is
the weights of its networks and the history of their training; :mod:`ums.experiments.testing` tests them.

A :class:`~ums.experiments.tasks.TargetTask` has the data of all replicates, a :class:`~ums.finetuning.Task`
those of one and a head, a :class:`~ums.finetuning.Tuned` is what came of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ums.checkpoint import Checkpoint
from ums.experiments.arms import ARMS, Arm
from ums.experiments.jobs import Job
from ums.experiments.modality import Modality, Networks
from ums.experiments.names import ENCODER, ONE_ENCODER, OWN_EPOCH, SEPARATE
from ums.experiments.rates import Trial, chosen, trials
from ums.experiments.replicates import Draw
from ums.experiments.run import Run, Train, trained
from ums.experiments.tasks import TargetTask, TaskGroup
from ums.finetuning import (
    Task,
    Tuned,
    train_task,
    tune_alternately,
    tune_independently,
    tune_jointly,
)
from ums.layers import Layer, Sequential
from ums.networks import copy_network
from ums.training import Training


class Outcome(NamedTuple):
    """What came of a task: its history and cost, and OWN_EPOCH or ONE_ENCODER -> its network."""

    tuned: Tuned
    networks: dict[str, Layer]


class Plan(NamedTuple):
    """What an arm is about to do.

    Attributes:
        saved: Name -> what learns and is kept.
        networks: Task -> OWN_EPOCH or ONE_ENCODER -> its network from image to output.
        train: Trains them.
    """

    saved: dict[str, Layer]
    networks: dict[str, dict[str, Layer]]
    train: Train


@dataclass(eq=False)
class Tuning:
    """One group of tasks in one replicate.

    Attributes:
        run: The settings and the like.
        modality: What the networks are.
        group: The tasks.
        draw: The images of the replicate.
        source: Returns the trained source, on the device.
        keys: Whether an arm needs the source -> what its weights depend on beside the settings.
    """

    run: Run
    modality: Modality
    group: TaskGroup
    draw: Draw
    source: Callable[[], Layer]
    keys: Callable[[bool], dict[str, Any]]

    @cached_property
    def trained(self) -> Networks:
        """What the tasks are built from on the trained source."""
        return self._built(self.source())

    def untrained(self, rng: np.random.Generator) -> Networks:
        """The same on a source with random weights."""
        network = self.modality.source_network(rng, self.run.settings.width)
        return self._built(network.to(self.run.device))

    def _built(self, source: Layer) -> Networks:
        return self.modality.networks(self.group, source, self.run.settings, self.run.device)

    def tune(self, job: Job) -> dict[str, Outcome]:
        """Task -> what came of it, trained now or taken from the store."""
        arm = ARMS[job.arm]
        plan = self._together(job, arm) if arm.together else self._alone(job, arm)
        tuned = trained(self.run.store, job.name, self.key(job), plan.saved, plan.train)
        return {name: Outcome(tuned[name], networks) for name, networks in plan.networks.items()}

    def key(self, job: Job) -> dict[str, Any]:
        """Everything that a job's weights depend on beside the code and the packages."""
        own = self.run.settings.key(
            "width", "background", "steps", "evaluations", "batch", "augment"
        )
        chosen = {task.name: list(self.trial(job, task.name)) for task in self.group.tasks}
        data = self.keys(ARMS[job.arm].needs_source) | {"rows": self.draw.digest}
        return data | own | {"trials": chosen} | job.to_dict()

    def trial(self, job: Job, task: str) -> Trial:
        """The learning rate and joint weights of a task."""
        if job.trial:
            return trials(job.arm)[job.trial - 1]
        trial = chosen(self.modality.name, self.group.name, job.arm, task)
        return trial._replace(rate=self.run.settings.rate or trial.rate)

    def training(
        self, job: Job, task: str, rng: np.random.Generator, checkpoint: Checkpoint
    ) -> Training:
        """How long and how fast an arm trains a task."""
        steps = self.run.settings.steps * (len(self.group.tasks) if ARMS[job.arm].longer else 1)
        settings = self.run.settings.fit(steps, self.trial(job, task).rate)
        return self.run.training(settings, rng, checkpoint)

    def _alone(self, job: Job, arm: Arm) -> Plan:
        """A network for each task, each with a generator of its own; perhaps with a frozen encoder."""
        saved: dict[str, Layer] = {}
        whole: dict[str, Layer] = {}
        todo = []
        for task in self._shuffled(job) if arm.shuffled else self.group.tasks:
            name = f"{self.group.name}-{arm.name}-{task.name}"
            rng = job.generator(name)
            encoder, head = self._networks(arm, task, rng)
            whole[task.name] = Sequential(encoder, head) if encoder else head
            saved[task.name] = whole[task.name] if arm.moves else head
            images = self._cleaned if arm.cleaned else self.group.train_set.images
            todo.append((task.name, self._task(task, saved[task.name], images, name, rng), rng))

        def train(checkpoint: Checkpoint) -> dict[str, Tuned]:
            tuned = {}
            for name, task, rng in todo:
                training = self.training(job, name, rng, checkpoint).part(name)
                if arm.moves:
                    tuned[name] = train_task(task, training)
                else:
                    frozen = self.trained.encoder
                    tuned[name] = tune_independently(frozen, [task], training)[task.name]
            return tuned

        return Plan(saved, {name: {OWN_EPOCH: network} for name, network in whole.items()}, train)

    def _networks(
        self, arm: Arm, task: TargetTask, rng: np.random.Generator
    ) -> tuple[Layer | None, Layer]:
        """An encoder and a head for one task; the baseline's models are heads without an encoder."""
        networks = self.trained if arm.from_source else self.untrained(rng)
        device = self.run.device
        if arm.own_models:
            one = self.images(arm, "train_set", self.draw.train[:1])
            channels = 1 if one.ndim == 3 else one.shape[3]
            return None, networks.models[task.name](rng, channels).to(device)
        encoder = copy_network(networks.encoder) if arm.moves else networks.encoder
        if arm.moves:
            encoder.freeze(False)
        return encoder.to(device), networks.heads[task.name](rng).to(device)

    def _together(self, job: Job, arm: Arm) -> Plan:
        """One encoder that learns with all heads."""
        rng, group = job.generator(f"{self.group.name}-{arm.name}"), self.group
        networks = self.trained if arm.from_source else self.untrained(rng)
        encoder = copy_network(networks.encoder).to(self.run.device)
        heads = {t.name: networks.heads[t.name](rng).to(self.run.device) for t in group.tasks}
        images = group.train_set.images
        tasks = [self._task(t, heads[t.name], images, t.name, rng) for t in group.tasks]
        shared: dict[str, Layer] = {n: Sequential(encoder, head) for n, head in heads.items()}
        own = {name: copy_network(network) for name, network in shared.items()}

        def train(checkpoint: Checkpoint) -> dict[str, Tuned]:
            first = tasks[0].name
            training = self.training(job, first, rng, checkpoint)
            if arm.joint:
                weights = self.trial(job, first).weighting()
                tuned = tune_jointly(encoder, tasks, training, weights)
            else:
                tuned = tune_alternately(encoder, tasks, training)
            for name, result in tuned.items():
                assert result.own_best is not None
                own[name].load_state_dict(result.own_best.state_dict())
            return tuned

        saved = {ENCODER: encoder} | heads | {f"{name}, {OWN_EPOCH}": n for name, n in own.items()}
        both = {name: {OWN_EPOCH: own[name], ONE_ENCODER: shared[name]} for name in heads}
        return Plan(saved, both, train)

    def _shuffled(self, job: Job) -> Sequence[TargetTask]:
        """The heat-map task with its labels shuffled among the labelled images."""
        task = self.group.task(self.group.heat_map_task or "")
        targets, rows = np.array(task.train.targets), task.train.rows
        rng = job.generator(f"{self.group.name}-shuffled-{task.name}")
        targets[rows] = rng.permutation(targets[rows])
        return [replace(task, train=replace(task.train, targets=targets))]

    def _task(
        self, task: TargetTask, head: Layer, images: np.ndarray, name: str, rng: np.random.Generator
    ) -> Task:
        settings = self.run.settings
        augment = self.modality.augmentation(rng) if settings.augment else None
        return task.on_draw(self.draw, head, images, name, settings.normalisation(), augment)

    def images(self, arm: Arm, which: str, rows: np.ndarray) -> np.ndarray:
        """Rows of the images of ``"train_set"`` or ``"test_set"`` as an arm sees them, uint8."""
        images: np.ndarray = getattr(self.group, which).images[rows]
        return self.trained.clean(images) if arm.cleaned else images

    @cached_property
    def _cleaned(self) -> np.ndarray:
        """The training set with the images of the draw cleaned; others are black."""
        images = self.group.train_set.images
        rows = np.concatenate([self.draw.train, self.draw.validation])
        some = self.images(ARMS[SEPARATE], "train_set", rows)
        cleaned = np.zeros((len(images), *some.shape[1:]), np.uint8)
        cleaned[rows] = some
        return cleaned
