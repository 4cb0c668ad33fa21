"""Target tasks, and groups of tasks that are tuned together.

Section 4.1 has two groups for the chest X-ray: tasks with diverse annotations and tasks with similar
ones. Each replicate of a study draws a group's training images from a pool
(:mod:`ums.experiments.replicates`). The test set, another hospital's or one put aside, is never trained
on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ums.data import Examples, Normalisation, Prepared
from ums.data.augment import Augmentation
from ums.experiments.names import (
    CLASSIFICATION,
    ENCODER,
    MEASURES,
    REGRESSION,
    SEGMENTATION,
    SEVERAL_LABELS,
)
from ums.experiments.replicates import Draw, Pool
from ums.finetuning import Task
from ums.layers import Layer
from ums.ops import bce_dice, categorical_cross_entropy, known_bce, known_mse, softmax_dice
from ums.training import Loss

LOSSES: dict[str, Loss] = {
    SEGMENTATION: bce_dice,
    CLASSIFICATION: categorical_cross_entropy,
    REGRESSION: known_mse,
    SEVERAL_LABELS: known_bce,
}


@dataclass(frozen=True, eq=False)
class Labelled:
    """The images of a prepared folder that have what a task asks for.

    Attributes:
        prepared: The folder, with M images.
        targets: Masks (M, H, W) of 0 and 1, or of 0 .. K - 1; labels (M,) 0 .. K - 1, where of two
            classes 1 is the one that is looked for; numbers (M,); or several labels (M, K) of 0 and 1,
            NaN where one is not known. Entries outside ``rows`` are ignored.
        rows: (n,) integers, ascending.
    """

    prepared: Prepared
    targets: Any
    rows: np.ndarray


@dataclass(frozen=True, eq=False)
class TargetTask:
    """A target task T_i, with its training and its test examples.

    Attributes:
        name: For jobs and records.
        title: For the page.
        kind: SEGMENTATION, CLASSIFICATION, REGRESSION or SEVERAL_LABELS.
        train: The examples of all replicates, and of the images put aside.
        test: Examples that are never trained on.
        classes: K, of a mask or a classification; of several labels, how many.
        class_names: Their names, for models; by default numbers.
        unit: Mean and deviation of a regression's numbers; the network predicts (number - mean) / deviation.

    Raises:
        ValueError: The task's name is that of the encoder in a job's saved weights.
    """

    name: str
    title: str
    kind: str
    train: Labelled
    test: Labelled
    classes: int = 2
    class_names: tuple[str, ...] = ()
    unit: tuple[float, float] = (0.0, 1.0)

    @property
    def outputs(self) -> int:
        """The outputs of a head: one for a number, or for a mask of 0 and 1."""
        one = self.kind == REGRESSION or (self.kind == SEGMENTATION and self.classes == 2)
        return 1 if one else self.classes

    @property
    def loss(self) -> Loss:
        """What a head for the task is trained by."""
        if self.kind == SEGMENTATION and self.classes > 2:
            return softmax_dice
        return LOSSES[self.kind]

    @property
    def named_classes(self) -> tuple[str, ...]:
        """A name for each class."""
        return self.class_names or tuple(map(str, range(self.classes)))

    def __post_init__(self) -> None:
        if self.name == ENCODER:
            raise ValueError(f"a task cannot be called {ENCODER!r}: the shared network is")

    @property
    def measure(self) -> str:
        """The one measure that stands for the task."""
        return MEASURES[self.kind][0]

    def on_draw(
        self,
        draw: Draw,
        head: Layer,
        images: np.ndarray,
        name: str,
        normalisation: Normalisation,
        augment: Augmentation | None = None,
    ) -> Task:
        """The task as the strategies take it, on the images of a draw that have a target.

        Args:
            draw: Rows of the training set.
            head: A head for the shared encoder, or a network from image to output.
            images: (M, H, W) or (M, H, W, C), those of the training set, perhaps denoised.
            name: For the progress bar.
            normalisation: Makes the network's inputs.
            augment: Changes training images; those that choose the epoch stay as they are.
        """
        targets, known = self.train.targets, self.train.rows
        if self.kind == REGRESSION:
            mean, deviation = self.unit
            targets = ((targets - mean) / deviation).astype(np.float32)
        train, validation = (
            Examples(images, targets, np.intersect1d(rows, known), normalisation)
            for rows in (draw.train, draw.validation)
        )
        return Task(name, head, self.loss, replace(train, augment=augment), validation)


@dataclass(frozen=True, eq=False)
class TaskGroup:
    """Tasks that share a training set and a test set.

    Attributes:
        name: As in the modality's layout; DIVERSE or SIMILAR in the paper's studies.
        title: For the page.
        tasks: At least one.
        pool: Rows of the training set that replicates draw from.
        strata: (M,) class of each training image, -1 for none; draws have equal shares of each.
        test_name: What the page calls the test set.
        held_out: Rows of the training set that are put aside for testing, (n,).
        held_out_name: What the page calls them.
        heat_map_task: The name of the classification whose heat maps are made, if any.
    """

    name: str
    title: str
    tasks: tuple[TargetTask, ...]
    pool: np.ndarray
    strata: np.ndarray
    test_name: str
    held_out: np.ndarray = field(default_factory=lambda: np.arange(0))
    held_out_name: str = ""
    heat_map_task: str | None = None

    @property
    def train_set(self) -> Prepared:
        """The folder whose images replicates draw."""
        return self.tasks[0].train.prepared

    @property
    def test_set(self) -> Prepared:
        """The folder that is never trained on."""
        return self.tasks[0].test.prepared

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of its tasks, each once."""
        return tuple(dict.fromkeys(task.kind for task in self.tasks))

    def task(self, name: str) -> TargetTask:
        """The task of that name."""
        return next(task for task in self.tasks if task.name == name)

    def draws(self, images: int, replicates: int, seed: int) -> Pool:
        """What replicates draw their training images from; images without a class are one of their own.

        Raises:
            ValueError: There are fewer images than a draw takes; the message names the folder.
        """
        strata, patients = self.strata[self.pool], self.train_set.patients[self.pool]
        unlabelled = strata < 0
        enough = len(np.unique(patients[unlabelled])) > len(self.pool) / images
        strata = np.where(unlabelled, strata.max() + 1 if enough else 0, strata)
        pool = Pool(self.pool, patients, strata, images, replicates, seed, self.name)
        if (n := len(self.pool)) < pool.wanted:
            raise ValueError(
                f"{self.train_set.folder}: there are {n} images to draw from, should be {pool.wanted} at "
                f"least: {images} labels, and a fifth as many to choose the epoch by"
            )
        return pool

    def check(self, draw: Draw, batch: int) -> None:
        """Check that every task can be trained on a draw.

        Raises:
            ValueError: A task has too few images for a batch, or none to choose the epoch by; the message
                names the folder.
        """
        for task in self.tasks:
            uses = {"train": (draw.train, batch), "choose the epoch": (draw.validation, 1)}
            for use, (rows, least) in uses.items():
                if (n := np.isin(rows, task.train.rows).sum()) < least:
                    raise ValueError(
                        f"{self.train_set.folder}: a replicate has {n} images with what the {task.name} "
                        f"task needs to {use}, should be {least} at least"
                    )


def train_and_test(
    prepared: Prepared, targets: Any, known: np.ndarray, what: str
) -> tuple[Labelled, Labelled]:
    """The training and the test examples of a task where both lie in one folder.

    Args:
        prepared: M images; those of its split "test" are put aside for testing.
        targets: As in :class:`Labelled`.
        known: (M,) booleans, which images have what the task asks for.
        what: The task asks for, in words.

    Raises:
        ValueError: There is none to train on, or none to test on; the message names the folder.
    """
    test = prepared.splits == "test"
    parts = [np.flatnonzero(known & part) for part in (~test, test)]
    if not all(map(len, parts)):
        raise ValueError(f"{prepared.folder}: no {what} in its train or test part")
    train_part, test_part = (Labelled(prepared, targets, rows) for rows in parts)
    return train_part, test_part


def pairwise_tasks(
    prepared: Prepared,
    label: str,
    classes: dict[str, int],
    pairs: Sequence[tuple[str, str]],
) -> tuple[TargetTask, ...]:
    """A classification for each pair of a label's classes, on the images of those two.

    Args:
        prepared: Images of both parts, as in :func:`train_and_test`.
        label: The label whose values are classes.
        classes: Name -> value.
        pairs: Names; the first of each pair is the class that is looked for.

    Raises:
        ValueError: A pair has no image to train on, or none to test on; the message names the folder.
    """
    values, tasks = prepared.labels[label], []
    for positive, negative in pairs:
        known = np.isin(values, (classes[positive], classes[negative]))
        targets = (values == classes[positive]).astype(np.int64)
        parts = train_and_test(prepared, targets, known, f"{positive} or {negative} image")
        title = f"{positive[0].upper()}{positive[1:]} vs {negative}"
        name = f"{positive}-{negative}"
        names = (negative, positive)
        tasks.append(TargetTask(name, title, CLASSIFICATION, *parts, class_names=names))
    return tuple(tasks)
