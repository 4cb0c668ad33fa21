"""A part of the study: target tasks on one training set, its folds, and the set they are tested on.

Section 4.1 has two for the chest X-ray, tasks with diverse annotations and tasks with similar ones.
All images of the training set's pool are shared out to k folds by patient. In turn i, fold i is held
out, a share of the others decides when to stop, and the rest is learned from; the test set, another
hospital's or one put aside, is never learned from in any turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ums.data import Examples, Prepared
from ums.data.folds import fold_splits, stratified_folds
from ums.data.normalisation import STANDARD
from ums.finetuning.tasks import Task
from ums.layers import Layer
from ums.ops import bce_dice, categorical_cross_entropy
from ums.optimizers import Adam

DIVERSE, SIMILAR = "diverse", "similar"
SEGMENTATION, CLASSIFICATION = "segmentation", "classification"
MEASURES = {
    SEGMENTATION: ("IoU", "F-score", "Accuracy", "Two-class IoU"),
    CLASSIFICATION: ("MCC", "F-score", "Accuracy", "AUC"),
}
"""What each kind of task is scored by; the first one stands for it where there is room for one."""

VALIDATION_SHARE = 0.15
"""Of the images that are not held out; the paper does not give its own."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """The images of a prepared folder that have what a task asks for.

    Attributes:
        prepared: the folder, M images.
        targets: (M, H, W) masks of 0 and 1, or (M,) labels 0 .. K - 1, of two classes 1 for what is
            looked for; what rows that are not in ``rows`` hold does not matter.
        rows: (n,) ascending.
    """

    prepared: Prepared
    targets: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True, eq=False)
class TargetTask:
    """A target task T_i: where its examples come from, to learn and to be tested on.

    Attributes:
        name: of the task; ``title`` is for the page.
        kind: SEGMENTATION or CLASSIFICATION.
        learn, test: its examples.
        classes: K of a classification.
        optimizer: its own, ``optimizer(parameters, learning_rate)``, for a head on the source; a joint
            loss of tasks with different ones, and whole networks from a random start, have Adam.
    """

    name: str
    title: str
    kind: str
    learn: Labelled
    test: Labelled
    classes: int = 2
    optimizer: Callable = Adam

    @property
    def measure(self) -> str:
        """The one measure that stands for the task."""
        return MEASURES[self.kind][0]

    def to_learn(
        self,
        head: Layer,
        images: np.ndarray,
        fold: Fold,
        name: str,
        prepare: Callable = STANDARD,
        augment: Callable | None = None,
    ) -> Task:
        """The task as the strategies take it.

        Args:
            head: or a separate model.
            images: (M, H, W) or (M, H, W, C), the training set's, perhaps denoised.
            fold: those of its rows that have a target are learned from.
            name: for the progress bar.
            prepare: as in :class:`ums.data.Examples`.
            augment: likewise; what decides when to stop is not augmented.
        """
        loss = bce_dice if self.kind == SEGMENTATION else categorical_cross_entropy
        train, validation = (
            Examples(images, self.learn.targets, np.intersect1d(rows, self.learn.rows), prepare)
            for rows in (fold.train, fold.validation)
        )
        return Task(name, head, loss, replace(train, augment=augment), validation, self.optimizer)


@dataclass(frozen=True, eq=False)
class Fold:
    """Rows of the training set in one turn, each ascending."""

    train: np.ndarray
    validation: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True, eq=False)
class Part:
    """Tasks that share a training set and a test set.

    Attributes:
        name: DIVERSE or SIMILAR.
        title: for the page.
        tasks: at least one.
        pool: rows of the training set to be shared out to the folds.
        strata: (M,) the class of each training image, -1 for none, alike in all folds.
        held_out, tested: what the two sets of images to be tested on are called.
        explained: the classification whose heat maps are drawn, by name.
    """

    name: str
    title: str
    tasks: tuple[TargetTask, ...]
    pool: np.ndarray
    strata: np.ndarray
    held_out: str
    tested: str
    explained: str | None = None

    @property
    def learn(self) -> Prepared:
        """The training set."""
        return self.tasks[0].learn.prepared

    @property
    def test(self) -> Prepared:
        """The set never learned from."""
        return self.tasks[0].test.prepared

    @property
    def explained_task(self) -> TargetTask | None:
        """The task that ``explained`` names, or None."""
        return next((task for task in self.tasks if task.name == self.explained), None)

    def folds(self, k: int, rng: np.random.Generator) -> list[Fold]:
        """The k turns, stratified and by patient.

        Raises:
            ValueError: too few patients of a class, or a task has no example left to learn from, to
                stop by or to be held out; names the folder.
        """
        strata, patients = self.strata[self.pool], self.learn.patients[self.pool]
        unlabelled = strata < 0
        enough = len(np.unique(patients[unlabelled])) >= 2 * k  # else no class of their own
        strata = np.where(unlabelled, strata.max() + 1 if enough else 0, strata)
        try:
            number = stratified_folds(strata, patients, k, rng)
            turns = [
                fold_splits(number, i, VALIDATION_SHARE, strata, patients, rng) for i in range(k)
            ]
        except ValueError as error:
            raise ValueError(f"{self.learn.folder}: {error}") from error
        folds = [Fold(*(self.pool[rows] for rows in turn)) for turn in turns]
        for i, fold in enumerate(folds):
            for task in self.tasks:
                for rows, use in (
                    (fold.train, "learn from"),
                    (fold.validation, "stop by"),
                    (fold.held_out, "hold out"),
                ):
                    if not np.isin(rows, task.learn.rows).any():
                        raise ValueError(
                            f"{self.learn.folder}: fold {i + 1} of {k} has no image with what the "
                            f"{task.name} task needs to {use}"
                        )
        return folds


def thinned(
    rows: np.ndarray, strata: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """A random share of the rows of each class, at least one of each, ascending.

    With the same generator a smaller share is a part of a larger one.
    """
    order = rng.permutation(rows)
    kept = []
    for stratum in np.unique(strata[rows]):
        of_class = order[strata[order] == stratum]
        kept.append(of_class[: max(1, round(share * len(of_class)))])
    return np.sort(np.concatenate(kept))


def learn_and_test(
    prepared: Prepared, targets: np.ndarray, there: np.ndarray, to_test: np.ndarray, what: str
) -> tuple[Labelled, Labelled]:
    """The two sides of a task whose test images are a part of the same folder.

    Args:
        prepared: M images.
        targets: as in :class:`Labelled`.
        there: (M,) booleans, which images have what the task asks for.
        to_test: (M,) booleans, which images are put aside for testing.
        what: the task asks for, in words.

    Raises:
        ValueError: there is none to learn from, or none to test on; names the folder.
    """
    sides = [np.flatnonzero(there & side) for side in (~to_test, to_test)]
    if not (len(sides[0]) and len(sides[1])):
        raise ValueError(f"{prepared.folder}: no {what} in its train or test part")
    learn, test = (Labelled(prepared, targets, rows) for rows in sides)
    return learn, test


def pairwise_tasks(
    prepared: Prepared,
    label: str,
    classes: dict[str, int],
    pairs: Sequence[tuple[str, str]],
    to_test: np.ndarray,
    optimizer: Callable = Adam,
) -> tuple[TargetTask, ...]:
    """A classification for each pair of a label's classes, on the images of those two.

    Args:
        prepared: the images to learn from and those to test on.
        label: whose values are classes.
        classes: name -> value.
        pairs: names; the first of each is what is looked for.
        to_test: (M,) booleans, which images are put aside for testing.
        optimizer: of all.

    Raises:
        ValueError: a pair has no image to learn from, or none to test on; names the folder.
    """
    values, tasks = prepared.labels[label], []
    for positive, negative in pairs:
        chosen = np.isin(values, (classes[positive], classes[negative]))
        targets = (values == classes[positive]).astype(np.int64)
        what = f"{positive} or {negative} image"
        learn, test = learn_and_test(prepared, targets, chosen, to_test, what)
        title = f"{positive[0].upper()}{positive[1:]} vs {negative}"
        name = f"{positive}-{negative}"
        tasks.append(TargetTask(name, title, CLASSIFICATION, learn, test, optimizer=optimizer))
    return tuple(tasks)
