"""The prepared folders of a study: the source's images, and the groups of tasks tuned on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np

from ums.data import Prepared, load_prepared
from ums.experiments.jobs import SOURCE
from ums.experiments.replicates import Pool
from ums.experiments.settings import OTHER, OWN, Settings
from ums.experiments.tasks import TaskGroup
from ums.reading import digest_of


@dataclass(frozen=True, eq=False)
class Datasets:
    """The source's images, and the groups of tasks tuned on it.

    Attributes:
        sources: OWN -> images of the tasks' training hospital, or whatever there is; OTHER, if it is
            there -> images of another hospital.
        groups: The groups of tasks.
    """

    sources: dict[str, Prepared]
    groups: tuple[TaskGroup, ...]

    @property
    def source(self) -> Prepared:
        """The images that the source is trained on, unless another hospital's are asked for."""
        return self.sources[OWN]

    @property
    def sets(self) -> list[Prepared]:
        """The sources, and the training and the test set of each group."""
        own = [each for group in self.groups for each in (group.train_set, group.test_set)]
        return [*self.sources.values(), *own]

    def group(self, name: str) -> TaskGroup:
        """The group of that name."""
        return next(group for group in self.groups if group.name == name)


@dataclass(frozen=True)
class Layout:
    """What the prepared folders of a modality must hold.

    Attributes:
        preparation: The command that makes them, with {} for the name of their folder.
        groups: Name of a group of tasks -> the folders it needs, and the function that makes it of them.
        channels: The channels of an image; 1 is grey, (H, W).
        multiple: The sides of an image must be multiples of it.
        why: Why the sides must be such multiples, in words.
        supervised: Whether the source learns labels; then no patient of it may be in the groups.
    """

    preparation: str
    groups: dict[str, tuple[tuple[str, ...], Callable[..., TaskGroup]]]
    channels: int
    multiple: int
    why: str
    supervised: bool = False

    @property
    def folders(self) -> list[str]:
        """The names of all folders."""
        return list(dict.fromkeys(["source", *(f for fs, _ in self.groups.values() for f in fs)]))

    def load(self, folder: str | Path, groups: Sequence[str] | None = None) -> Datasets:
        """Open the prepared folders in ``folder`` and check that they fit together.

        Args:
            folder: Holds ``source`` and what the groups need. Without a source, the training set of
                the first group is the source.
            groups: Names of those to run; by default all whose folders are there.

        Raises:
            FileNotFoundError: A group's folder is missing, or there is none of any group.
            ValueError: Sizes differ, a label or the masks are missing, a split is empty, or a
                supervised source shares patients with a group; the message names the folder.
        """
        folder = Path(folder)
        opened = cache(lambda name: load_prepared(folder / name))  # groups may share a folder
        made = []
        for name, (folders, make) in self.groups.items():
            there = all((folder / f).is_dir() for f in folders)
            if name in groups if groups else there:
                made.append(make(*map(opened, folders)))
                if made[-1].name != name:
                    raise ValueError(f"the group {made[-1].name!r} must be called {name!r}")
        if not made:
            wanted = dict.fromkeys(" and ".join(folders) for folders, _ in self.groups.values())
            raise FileNotFoundError(
                f"{folder} holds {'neither ' if len(wanted) > 1 else 'no '}{' nor '.join(wanted)}; "
                f"make them with `{self.preparation.format(folder)}`, from a checkout of ums"
            )
        sources = {
            hospital: load_prepared(folder / name)
            for hospital, name in ((OWN, "source"), (OTHER, "source-other"))
            if (folder / name).is_dir()
        }
        datasets = Datasets({OWN: made[0].train_set} | sources, tuple(made))
        self.check_sizes(datasets.sets)
        if self.supervised:
            _check_patients_apart(datasets)
        return datasets

    def check_sizes(self, folders: Sequence[Prepared]) -> None:
        """Check that images are of one size, and of one that the modality's networks take.

        Raises:
            ValueError: They are not; the message names a folder.
        """
        first = folders[0]
        shape = first.images.shape[1:]
        for prepared in folders:
            if prepared.images.shape[1:] != shape:
                raise ValueError(
                    f"images must be of one size: {first.folder} has {shape}, {prepared.folder} has "
                    f"{prepared.images.shape[1:]}"
                )
        channels = () if self.channels == 1 else (self.channels,)
        if shape[2:] != channels or any(side % self.multiple for side in shape[:2]):
            colour = {1: "grey", 3: "RGB"}[self.channels]
            raise ValueError(
                f"{first.folder}: images must be {colour} and their sides multiples of "
                f"{self.multiple} ({self.why}), got {shape}"
            )


def source_rows(source: Prepared, split: str, label: str | None = None) -> np.ndarray:
    """The source's rows of a split, or those of them that have a label.

    Raises:
        ValueError: There is none; the message names the folder.
    """
    there = source.splits == split
    if label:
        there = there & (source.labels[label] >= 0)
    if not there.any():
        what = f"image with a {label}" if label else "image"
        raise ValueError(f"{source.folder}: no {what} in split {split!r}")
    return np.flatnonzero(there)


def _check_patients_apart(datasets: Datasets) -> None:
    for own, source in product(datasets.sets[len(datasets.sources) :], datasets.sources.values()):
        shared = np.intersect1d(own.patients, source.patients)
        if len(shared):
            raise ValueError(
                f"{own.folder}: the source learns labels, so its patients must not be in the training "
                f"or the test set, but {source.folder} has {shared[0]} too"
            )


def name_of(prepared: Prepared) -> str:
    """The set's own name, or its folder's."""
    return prepared.about.get("name") or prepared.folder.name


def check_label(prepared: Prepared, label: str, highest: int) -> None:
    """Check that the folder has the label, with values 0 .. highest.

    Raises:
        ValueError: It does not; the message names the table.
    """
    table = prepared.folder / "table.csv"
    if label not in prepared.labels:
        raise ValueError(f"{table} has no column {label!r}")
    if not set(prepared.labels[label].tolist()) <= {-1, *range(highest + 1)}:
        raise ValueError(f"{table}: {label} must be from 0 to {highest}, or empty")


def source_pool(source: Prepared, strata: np.ndarray, settings: Settings) -> Pool:
    """What replicates draw the source's images from.

    Args:
        source: M images; those of split "test" are put aside.
        strata: (M,) class of each image, below 0 for those that the source cannot learn from.
        settings: How many images and replicates.

    Raises:
        ValueError: There are too few images; the message names the folder.
    """
    rows = np.flatnonzero((source.splits != "test") & (strata >= 0))
    if not len(rows):
        raise ValueError(f"{source.folder}: no image to train the source on outside split 'test'")
    drawn = settings.source_images, settings.replicates, settings.seed
    return Pool(rows, source.patients[rows], strata[rows], *drawn, SOURCE)


def fingerprint(prepared: Prepared) -> str:
    """A short hash of the images that were opened and of all that belongs to them."""
    return digest_of(prepared.array_digests | prepared.column_digests)[:16]
