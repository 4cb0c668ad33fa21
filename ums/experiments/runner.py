"""The protocol of sections 4.1 and 4.2: every strategy and the baseline on every fold, tested and timed.

A fold's networks are scored as soon as they are trained and then dropped: what is kept is scores,
histories and costs. Trained networks are on disk (:mod:`ums.experiments.stages`), a stage for each
fold, strategy and, where tasks are trained one by one, task.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ums.backend import Device, to_numpy
from ums.checkpoint import Checkpoint
from ums.data.augment import Augmentation
from ums.data.examples import all_of
from ums.data.normalisation import Normalisation
from ums.experiments.results.heat_maps import HeatMaps, heat_maps_of, maps_of_class_1
from ums.experiments.results.scores import Tested, score_classes, score_masks
from ums.experiments.stages import Stages
from ums.experiments.tasks import SEGMENTATION, Fold, Part, TargetTask, thinned
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
from ums.training import History, Training

STRATEGIES = ("independent", "alternating", "joint", "separate")
TOGETHER = ("alternating", "joint")
ENCODER, CONTROL = "encoder", "control"
"""The control is an independent head that learned shuffled labels: its heat maps show no disease."""

HELD_OUT, TEST = "held-out", "test"


@dataclass(frozen=True, eq=False)
class Networks:
    """What the tasks of a part are built from.

    Attributes:
        encoder: the trained source's, on the device; it is not changed.
        heads: task -> a new head for the encoder, ``make(rng)``.
        models: task -> a new separate network, ``make(rng)``.
        clean: what is done to the baseline's images (N, H, W) or (N, H, W, C) before it sees them.
        augment: ``augment(rng)`` makes what changes training images, where the settings ask for it.
    """

    encoder: Sequential
    heads: dict[str, Callable[[np.random.Generator], Layer]]
    models: dict[str, Callable[[np.random.Generator], Layer]]
    clean: Callable[[np.ndarray], np.ndarray]
    augment: Callable[[np.random.Generator], Augmentation] = Augmentation


@dataclass
class Cost:
    """What one fold's training of a task took; see :class:`ums.finetuning.Tuned`."""

    history: History
    seconds: float
    trainable: int
    shared: int


@dataclass
class PartOutcome:
    """Everything the report needs of a part.

    Attributes:
        part, folds: what was run.
        costs: strategy -> task -> by fold.
        tested: strategy -> HELD_OUT or TEST -> task -> scores.
        masks: strategy -> segmentation task -> the first fold's predictions on the test set.
        heat: of the part's explained task, or None.
    """

    part: Part
    folds: list[Fold]
    costs: dict[str, dict[str, list[Cost]]]
    tested: dict[str, dict[str, dict[str, Tested]]]
    masks: dict[str, dict[str, np.ndarray]]
    heat: HeatMaps | None

    @property
    def strategies(self) -> tuple[str, ...]:
        """Those that were run."""
        return tuple(self.costs)


class PartStudy:
    """One part: its folds, networks, settings, device, and the stages finished so far.

    Args:
        part, networks: what is tuned, and what it is built from.
        settings: :class:`ums.experiments.settings.Settings`.
        device: where to compute.
        stages: where finished ones are kept.
        key: what all stages depend on beside the settings: data, device.

    Raises:
        ValueError: folds cannot be made, or a fold cannot fill a batch; names the folder.
    """

    def __init__(
        self,
        part: Part,
        networks: Networks,
        settings,
        device: Device,
        stages: Stages,
        key: dict,
    ):
        self.part, self.networks, self.settings = part, networks, settings
        self.device, self.stages, self.key = device, stages, key
        self.folds = folds_of(part, settings, stages)
        self.encoder = networks.encoder
        if settings.statistics == "target":
            self.encoder = copy_network(networks.encoder).to(device)
            images = all_of(part.learn.images, Normalisation(settings.dark))
            images = replace(images, rows=part.pool)
            fit = settings.fit(SEGMENTATION)
            training = Training(fit, stages.rng("statistics"), device)
            renew_statistics(self.encoder, images, training)
        self._cleaned: dict[str, np.ndarray] = {}

    def run(self, strategies: Sequence[str] = STRATEGIES) -> PartOutcome:
        """Train what is not trained yet, and test it."""
        part, k = self.part, len(self.folds)
        outcome = PartOutcome(part, self.folds, {}, {}, {}, heat_maps_of(part))
        for strategy in strategies:
            outcome.costs[strategy] = {task.name: [] for task in part.tasks}
            outcome.masks[strategy] = {}
            outcome.tested[strategy] = {
                where: {task.name: _untested(task, where) for task in part.tasks}
                for where in (HELD_OUT, TEST)
            }
        for i in range(k):
            for strategy in strategies:
                for task, tuned in zip(part.tasks, self.tune(strategy, i), strict=True):
                    self._record(outcome, strategy, i, task, tuned)
            if outcome.heat:
                task, control = self._control(i)
                self._explain(outcome.heat, CONTROL, i, control)
        return outcome

    # -------------------------------------------------------------------- training

    def tune(self, strategy: str, i: int) -> list[Tuned]:
        """The part's tasks by one strategy on fold ``i``: whole networks, from image to output."""
        if strategy in TOGETHER:
            return self._together(strategy, i)
        if strategy == "separate":
            models = self.networks.models
            return [self._separate(task, models[task.name], i) for task in self.part.tasks]
        heads = self.networks.heads
        return [self._independent(task, heads[task.name], i) for task in self.part.tasks]

    def _independent(
        self, task: TargetTask, make_head: Callable, i: int, strategy: str = "independent"
    ) -> Tuned:
        name = self._name(strategy, i, task.name)
        rng = self.stages.rng(name)
        head = make_head(rng).to(self.device)
        encoder = self.encoder
        todo = self._task(task, head, self.part.learn.images, i, name, rng)

        def train(checkpoint):
            training = self._training(task.kind, rng, checkpoint)
            tuned = tune_independently(encoder, [todo], training)
            return {task.name: tuned[name]}

        tuned = self._stage(name, {task.name: head}, train, task.kind)[task.name]
        return replace(tuned, network=Sequential(encoder, head))

    def _control(self, i: int) -> tuple[TargetTask, Tuned]:
        """The explained task learned from labels that were shuffled."""
        task = self.part.explained_task
        targets, rows = np.array(task.learn.targets), task.learn.rows
        rng = self.stages.rng(self._name("shuffled", i, task.name))
        targets[rows] = rng.permutation(targets[rows])
        shuffled = replace(task, learn=replace(task.learn, targets=targets))
        make_head = self.networks.heads[task.name]
        return task, self._independent(shuffled, make_head, i, CONTROL)

    def _together(self, strategy: str, i: int) -> list[Tuned]:
        """One stage, since no task is of use without the others of the same epoch."""
        name = self._name(strategy, i)
        rng, settings = self.stages.rng(name), self.settings
        encoder = copy_network(self.encoder).to(self.device)
        heads = {t.name: self.networks.heads[t.name](rng).to(self.device) for t in self.part.tasks}
        images = self.part.learn.images
        tasks = [self._task(t, heads[t.name], images, i, t.name, rng) for t in self.part.tasks]
        kind = self._kind_together

        def train(checkpoint):
            training, criterion = self._training(kind, rng, checkpoint), settings.criterion()
            if strategy == "joint":
                weights = settings.weighting()
                return tune_jointly(encoder, one_optimizer(tasks), training, weights, criterion)
            return tune_alternately(encoder, tasks, training, criterion=criterion)

        extra = {"joint weights": settings.joint_weights} if strategy == "joint" else {}
        if settings.stop_by != "all":
            extra["stop by"] = settings.stop_by
        tuned = self._stage(name, {ENCODER: encoder} | heads, train, kind, extra)
        return [
            replace(tuned[t.name], network=Sequential(encoder, heads[t.name]))
            for t in self.part.tasks
        ]

    @property
    def _kind_together(self) -> str:
        """Tasks tuned together have one number of epochs: a segmentation's, if there is one."""
        kinds = [task.kind for task in self.part.tasks]
        return SEGMENTATION if SEGMENTATION in kinds else kinds[0]

    def _separate(self, task: TargetTask, make_model: Callable, i: int) -> Tuned:
        name = self._name("separate", i, task.name)
        rng = self.stages.rng(name)
        model = make_model(rng).to(self.device)

        def train(checkpoint):
            todo = self._task(task, model, self.cleaned("learn"), i, name, rng)
            todo = replace(todo, optimizer=Adam)
            tuned = train_separately([todo], self._training(task.kind, rng, checkpoint))
            return {task.name: tuned[name]}

        return self._stage(name, {task.name: model}, train, task.kind)[task.name]

    def cleaned(self, which: str) -> np.ndarray:
        """The part's "learn" or "test" images as the baseline sees them, uint8; made once."""
        if which not in self._cleaned:
            images = getattr(self.part, which).images
            self._cleaned[which] = self.networks.clean(images)
        return self._cleaned[which]

    def _task(self, task, head, images, i, name, rng) -> Task:
        prepare = Normalisation(self.settings.dark)
        augment = self.networks.augment(rng) if self.settings.augment else None
        return task.to_learn(head, images, self.folds[i], name, prepare, augment)

    def _training(self, kind: str, rng: np.random.Generator, checkpoint: Checkpoint) -> Training:
        fit, progress = self.settings.fit(kind), self.settings.progress
        return Training(fit, rng, self.device, progress, checkpoint)

    def _name(self, strategy: str, i: int, task: str = "") -> str:
        return "-".join(filter(None, (self.part.name, f"fold{i + 1}", strategy, task)))

    def _stage(
        self,
        name: str,
        networks: dict[str, Layer],
        train: Callable,
        kind: str,
        extra: dict | None = None,
    ) -> dict[str, Tuned]:
        key = self.key | self.settings.key(kind) | (extra or {})
        return trained(self.stages, name, key, networks, train)

    # -------------------------------------------------------------------- testing

    def _record(
        self, outcome: PartOutcome, strategy: str, i: int, task: TargetTask, tuned: Tuned
    ) -> None:
        cost = Cost(tuned.history, tuned.seconds, tuned.trainable, tuned.shared)
        outcome.costs[strategy][task.name].append(cost)
        how = (self.device, self.settings.dark)
        held_out = np.intersect1d(self.folds[i].held_out, task.learn.rows)
        for where, side, rows in (
            (HELD_OUT, "learn", held_out),
            (TEST, "test", task.test.rows),
        ):
            labelled = getattr(task, side)
            images = self._images(strategy, side)[rows]
            tested = outcome.tested[strategy][where][task.name]
            if task.kind == SEGMENTATION:
                truth = labelled.targets[rows]
                scores, masks = score_masks(tuned.network, images, truth, *how)
                if where == TEST and i == 0:
                    outcome.masks[strategy][task.name] = masks
            else:
                scores = score_classes(tuned.network, images, *how)
            cases = np.searchsorted(labelled.rows, rows)
            tested.add(i, len(self.folds), cases, scores)
        if outcome.heat and task.name == self.part.explained:
            self._explain(outcome.heat, strategy, i, tuned)

    def _images(self, strategy: str, side: str) -> np.ndarray:
        return self.cleaned(side) if strategy == "separate" else getattr(self.part, side).images

    def _explain(self, heat: HeatMaps, strategy: str, i: int, tuned: Tuned) -> None:
        images = self._images(strategy, "test")[heat.rows]
        maps = maps_of_class_1(tuned.network, images, self.device, self.settings.dark)
        heat.add(strategy, i, len(self.folds), maps)


def folds_of(part: Part, settings, stages: Stages) -> list[Fold]:
    """The part's folds by the settings' number of them and the stages' seed.

    Raises:
        ValueError: as :meth:`Part.folds`, or a fold cannot fill a batch; names the folder.
    """
    folds = part.folds(settings.folds, stages.rng(f"{part.name}-folds"))
    if settings.labels < 1:
        rng, share = stages.rng(f"{part.name}-labels"), settings.labels
        folds = [replace(f, train=thinned(f.train, part.strata, share, rng)) for f in folds]
    for i, fold in enumerate(folds):
        for task in part.tasks:
            found = len(np.intersect1d(fold.train, task.learn.rows))
            if found < settings.batch:
                raise ValueError(
                    f"{part.learn.folder}: {found} images to learn the {task.name} task from in "
                    f"fold {i + 1} of {settings.folds} cannot fill a batch of {settings.batch}"
                )
    return folds


def trained(
    stages: Stages,
    name: str,
    key: dict,
    networks: dict[str, Layer],
    train: Callable,
) -> dict[str, Tuned]:
    """Train ``networks``, or give them the weights they got in an earlier run of the same stage.

    ``train(checkpoint)`` returns what came out for some of the networks, by name, and so does this.
    """

    def compute(checkpoint):
        tuned = train(checkpoint)
        arrays = {
            f"{network}.{array}": to_numpy(value)
            for network in networks
            for array, value in networks[network].state_dict().items()
        }
        return arrays, {task: _record_of(result) for task, result in tuned.items()}

    arrays, record = stages.run(name, key, compute)
    for network, layer in networks.items():
        first = f"{network}."
        layer.load_state_dict(
            {k.removeprefix(first): v for k, v in arrays.items() if k.startswith(first)}
        )
    return {
        task: Tuned(networks[task], **(told | {"history": History(**told["history"])}))
        for task, told in record.items()
    }


def one_optimizer(tasks: Sequence[Task]) -> list[Task]:
    """The tasks with the optimizer they have in common, or else with Adam: one loss has one."""
    optimizers = {task.optimizer for task in tasks}
    common = optimizers.pop() if len(optimizers) == 1 else Adam
    return [replace(task, optimizer=common) for task in tasks]


def _record_of(tuned: Tuned) -> dict:
    fields = {name: getattr(tuned, name) for name in ("seconds", "trainable", "shared")}
    return fields | {"history": tuned.history.to_dict()}


def _untested(task: TargetTask, where: str) -> Tested:
    labelled = task.test if where == TEST else task.learn
    labels = None if task.kind == SEGMENTATION else np.asarray(labelled.targets)[labelled.rows]
    return Tested(task.kind, labelled.prepared.patients[labelled.rows], labels)
