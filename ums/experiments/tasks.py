"""Target tasks, groups of tasks that are tuned together, and the folds of their training set.

Section 4.1 has two groups for the chest X-ray: tasks with diverse annotations and tasks with similar
ones. All images in the pool of a group's training set are shared out to k folds by patient. For fold i,
the images of that fold are held out, a share of the others decides when to stop, and the rest are
trained on. The test set, another hospital's or one put aside, is never trained on in any fold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ums.data import Examples, Normalisation, Prepared
from ums.data.augment import Augmentation
from ums.data.folds import fold_splits, stratified_folds
from ums.experiments.names import CLASSIFICATION, ENCODER, MEASURES, SEGMENTATION
from ums.finetuning import Task
from ums.layers import Layer
from ums.ops import bce_dice, categorical_cross_entropy
from ums.optimizers import Adam

VALIDATION_SHARE = 0.15
"""Share of the images not held out that decides when to stop; the paper does not give its own."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """The images of a prepared folder that have what a task asks for.

    Attributes:
        prepared: The folder, with M images.
        targets: Masks (M, H, W) of 0 and 1, or labels (M,) 0 .. K - 1; of two classes, 1 is the one
            that is looked for. Entries outside ``rows`` are ignored.
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
        kind: SEGMENTATION or CLASSIFICATION.
        train: The examples of all folds.
        test: Examples that are never trained on.
        classes: K of a classification.
        optimizer: Makes the optimizer of a head on the source, ``optimizer(parameters, rate)``. A joint
            loss over tasks with different ones, and networks trained from scratch, use Adam.

    Raises:
        ValueError: The task's name is that of the encoder in a job's saved weights.
    """

    name: str
    title: str
    kind: str
    train: Labelled
    test: Labelled
    classes: int = 2
    optimizer: Callable = Adam

    def __post_init__(self) -> None:
        if self.name == ENCODER:
            raise ValueError(f"a task cannot be called {ENCODER!r}: the shared network is")

    @property
    def measure(self) -> str:
        """The one measure that stands for the task."""
        return MEASURES[self.kind][0]

    def on_fold(
        self,
        fold: Fold,
        head: Layer,
        images: np.ndarray,
        name: str,
        normalisation: Normalisation,
        augment: Augmentation | None = None,
    ) -> Task:
        """The task as the strategies take it, on the rows of a fold that have a target.

        Args:
            fold: Rows of the training set.
            head: A head for the shared encoder, or a separate model.
            images: (M, H, W) or (M, H, W, C), those of the training set, perhaps denoised.
            name: For the progress bar.
            normalisation: Makes the network's inputs.
            augment: Changes training images; those that decide when to stop stay as they are.
        """
        loss = bce_dice if self.kind == SEGMENTATION else categorical_cross_entropy
        targets, known = self.train.targets, self.train.rows
        train, validation = (
            Examples(images, targets, np.intersect1d(rows, known), normalisation)
            for rows in (fold.train, fold.validation)
        )
        return Task(name, head, loss, replace(train, augment=augment), validation, self.optimizer)


@dataclass(frozen=True, eq=False)
class Fold:
    """Rows of the training set by what they are used for, each ascending."""

    train: np.ndarray
    validation: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True, eq=False)
class TaskGroup:
    """Tasks that share a training set and a test set.

    Attributes:
        name: As in the modality's layout; DIVERSE or SIMILAR in the paper's studies.
        title: For the page.
        tasks: At least one.
        pool: Rows of the training set that are shared out to the folds.
        strata: (M,) class of each training image, -1 for none; folds have equal shares of each.
        held_out_name: What the page calls the held-out folds.
        test_name: What the page calls the test set.
        heat_map_task: The name of the classification whose heat maps are made, if any.
    """

    name: str
    title: str
    tasks: tuple[TargetTask, ...]
    pool: np.ndarray
    strata: np.ndarray
    held_out_name: str
    test_name: str
    heat_map_task: str | None = None

    @property
    def train_set(self) -> Prepared:
        """The folder whose images are shared out to the folds."""
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

    def folds(self, k: int, rng: np.random.Generator) -> list[Fold]:
        """The k folds, stratified and by patient.

        Raises:
            ValueError: There are too few patients of a class, or a task has no example left to train
                on, to stop by or to hold out; the message names the folder.
        """
        strata, patients = self.strata[self.pool], self.train_set.patients[self.pool]
        unlabelled = strata < 0
        enough = len(np.unique(patients[unlabelled])) >= 2 * k  # else no class of their own
        strata = np.where(unlabelled, strata.max() + 1 if enough else 0, strata)
        try:
            number = stratified_folds(strata, patients, k, rng)
            splits = [
                fold_splits(number, i, VALIDATION_SHARE, strata, patients, rng) for i in range(k)
            ]
        except ValueError as error:
            raise ValueError(f"{self.train_set.folder}: {error}") from error
        folds = [Fold(*(self.pool[rows] for rows in split)) for split in splits]
        for i, fold in enumerate(folds):
            self._check(fold, f"fold {i + 1} of {k}")
        return folds

    def _check(self, fold: Fold, name: str) -> None:
        uses = {"train on": fold.train, "stop by": fold.validation, "hold out": fold.held_out}
        for task in self.tasks:
            for use, rows in uses.items():
                if not np.isin(rows, task.train.rows).any():
                    raise ValueError(
                        f"{self.train_set.folder}: {name} has no image with what the {task.name} "
                        f"task needs to {use}"
                    )


def thinned(
    rows: np.ndarray, strata: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """A random share of the rows of each class, at least one of each, ascending.

    With the same generator, a smaller share is a part of a larger one.
    """
    order = rng.permutation(rows)
    kept = []
    for stratum in np.unique(strata[rows]):
        of_class = order[strata[order] == stratum]
        kept.append(of_class[: max(1, round(share * len(of_class)))])
    return np.sort(np.concatenate(kept))


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
    optimizer: Callable = Adam,
) -> tuple[TargetTask, ...]:
    """A classification for each pair of a label's classes, on the images of those two.

    Args:
        prepared: Images of both parts, as in :func:`train_and_test`.
        label: The label whose values are classes.
        classes: Name -> value.
        pairs: Names; the first of each pair is the class that is looked for.
        optimizer: As in :class:`TargetTask`.

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
        tasks.append(TargetTask(name, title, CLASSIFICATION, *parts, optimizer=optimizer))
    return tuple(tasks)
