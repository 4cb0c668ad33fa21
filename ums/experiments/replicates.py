"""What a replicate of a study is trained on: images drawn anew from a pool, by patient.

Where the pool has enough patients, it is cut into blocks, and each replicate takes one: no two replicates
share a patient, and they are independent. Otherwise every replicate draws at random from the whole pool.
Their images then overlap, and what is found holds for these patients alone. The replicates of a pilot
take the last blocks, if there are some that no replicate of the study has.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ums.data.folds import stratified_folds, stratified_split
from ums.experiments.jobs import generator
from ums.reading import digest_of

PILOTS = 3
"""Replicates of a pilot, at most."""

VALIDATION = 5
"""There is one validation image, by which an epoch is chosen, for so many training images."""


FEWEST = 4
"""Patients of each class in a block, at least; of fewer none may be left for validation."""


@dataclass(frozen=True, eq=False)
class Draw:
    """Rows of a set by what a replicate uses them for, each ascending."""

    train: np.ndarray
    validation: np.ndarray

    @property
    def digest(self) -> str:
        """A short hash of the rows, for keys."""
        rows = {name: getattr(self, name).tolist() for name in ("train", "validation")}
        return digest_of(rows)[:16]


@dataclass(frozen=True, eq=False)
class Pool:
    """The images of a set that replicates draw from.

    Attributes:
        rows: (n,) rows of the set.
        patients: (n,) the patient of each.
        strata: (n,) the class of each; a draw has all classes in their proportions.
        images: Training images of a draw, at most.
        replicates: How many there will be.
        seed: Of every random number.
        name: For the random numbers and error messages.
    """

    rows: np.ndarray
    patients: np.ndarray
    strata: np.ndarray
    images: int
    replicates: int
    seed: int
    name: str

    @property
    def wanted(self) -> int:
        """Images that a draw takes, for training and validation."""
        return self.images + max(1, round(self.images / VALIDATION))

    @property
    def disjoint(self) -> bool:
        """Whether there is a block for each replicate."""
        return self._blocks >= max(2, self.replicates)

    @property
    def overlap(self) -> float:
        """The share of its images that a replicate has in common with another, on average."""
        return 0.0 if self.disjoint else min(1.0, self.wanted / len(self.rows))

    @cached_property
    def _blocks(self) -> int:
        """How many there can be with enough patients of every class to train on and to validate."""
        classes = (self.strata == stratum for stratum in np.unique(self.strata))
        fewest = min(len(np.unique(self.patients[of_class])) for of_class in classes)
        return min(len(self.rows) // self.wanted, fewest // FEWEST)

    @cached_property
    def _block_of(self) -> np.ndarray:
        """(n,) the block of each image."""
        rng = generator(self.seed, f"{self.name}-blocks")
        return stratified_folds(self.strata, self.patients, self._blocks, rng)

    def draw(self, replicate: int) -> Draw:
        """The images of a replicate, from 1; those of a pilot are -1, -2 and so on.

        Raises:
            ValueError: A class has too few patients; the message names the pool.
        """
        rng = generator(self.seed, f"{self.name}-draw", replicate)
        try:
            return self._split(self._chosen(replicate), rng)
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error

    def has_block(self, replicate: int) -> bool:
        """Whether a replicate, or a pilot's, has patients of its own."""
        return self.disjoint and (replicate > 0 or self._blocks + replicate >= self.replicates)

    def _chosen(self, replicate: int) -> np.ndarray:
        """The block of a replicate; the whole pool for one that has none."""
        if not self.has_block(replicate):
            return np.arange(len(self.rows))
        number = replicate - 1 if replicate > 0 else self._blocks + replicate
        return np.flatnonzero(self._block_of == number)

    def _split(self, chosen: np.ndarray, rng: np.random.Generator) -> Draw:
        """Training and validation images, by patient, of those chosen."""
        strata, patients = self.strata[chosen], self.patients[chosen]
        parts = stratified_split(strata, patients, 1 / (VALIDATION + 1), rng)
        numbers = (self.images, self.wanted - self.images)
        kept = [
            thinned(part, strata, min(1.0, n / len(part)), rng)
            for part, n in zip(parts, numbers, strict=True)
        ]
        return Draw(*(self.rows[chosen[part]] for part in kept))


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
