"""The prepared folders of a study: the source's images, and the parts to be tuned on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from ums.data import Prepared, load_prepared
from ums.data.prepared import SPLITS
from ums.experiments.stages import fingerprint
from ums.experiments.tasks import Part


@dataclass(frozen=True, eq=False)
class Sets:
    """The source's images, and the parts to be tuned on it.

    ``changed`` says what was done to all images since they were opened.
    """

    source: Prepared
    parts: tuple[Part, ...]
    changed: str = ""

    def fingerprints(self, part: Part | None = None) -> dict[str, str]:
        """Hashes of what the source, and a part, learn from: another set's stages are never taken."""
        prints = {"source": self._source_print}
        if self.changed:
            prints["changed"] = self.changed
        return prints | ({part.name: fingerprint(part.learn)} if part else {})

    @cached_property
    def _source_print(self) -> str:
        """Every part asks for it, and the source is the largest set."""
        return fingerprint(self.source)


@dataclass(frozen=True)
class Modality:
    """What a study's prepared folders are.

    Attributes:
        preparation: the command of ``python -m data_prep`` that makes them.
        parts: name -> the folders a part needs, and what makes it of them.
        channels: of an image; 1 is grey, (H, W).
        multiple: what an image's sides must be multiples of.
        why: they must, in words.
        supervised: whether the source learns labels; then it may know no patient of the parts.
    """

    preparation: str
    parts: dict[str, tuple[tuple[str, ...], Callable[..., Part]]]
    channels: int
    multiple: int
    why: str
    supervised: bool = False

    def load(self, folder: str | Path, parts: Sequence[str] | None = None) -> Sets:
        """Open the prepared folders in ``folder`` and check that they fit together.

        Args:
            folder: holds ``source`` (without it, the source learns from the training set of the first
                part) and what the parts need.
            parts: names of those to run; by default all whose folders are there.

        Raises:
            FileNotFoundError: a part's folder is not there, or no part's is.
            ValueError: sizes differ, a label or the masks are missing, a split is empty, a supervised
                source shares patients with a part; names the folder.
        """
        folder = Path(folder)
        opened = cache(lambda name: load_prepared(folder / name))  # parts may share a folder
        made = []
        for name, (folders, make) in self.parts.items():
            there = all((folder / f).is_dir() for f in folders)
            if name in parts if parts else there:
                made.append(make(*map(opened, folders)))
        if not made:
            wanted = dict.fromkeys(" and ".join(folders) for folders, _ in self.parts.values())
            raise FileNotFoundError(
                f"{folder} holds {'neither ' if len(wanted) > 1 else 'no '}{' nor '.join(wanted)}; "
                f"make them with `python -m data_prep {self.preparation} {folder}`"
            )
        source = folder / "source"
        sets = Sets(load_prepared(source) if source.is_dir() else made[0].learn, tuple(made))
        for split in SPLITS:
            source_rows(sets.source, split)
        self.check_sizes([sets.source, *(p for part in made for p in (part.learn, part.test))])
        if self.supervised:
            _check_patients_apart(sets)
        return sets

    def check_sizes(self, folders: Sequence[Prepared]) -> None:
        """Refuse images of different sizes, or of one that the modality's networks cannot take.

        Raises:
            ValueError: it is so; names a folder.
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
        ValueError: there is none; names the folder.
    """
    there = source.splits == split
    if label:
        there = there & (source.labels[label] >= 0)
    if not there.any():
        what = f"image with a {label}" if label else "image"
        raise ValueError(f"{source.folder}: no {what} in split {split!r}")
    return np.flatnonzero(there)


def _check_patients_apart(sets: Sets) -> None:
    for part in sets.parts:
        known = np.intersect1d(part.learn.patients, sets.source.patients)
        if len(known):
            raise ValueError(
                f"{part.learn.folder}: the source learns labels and must not know the patients of the "
                f"folds and the test, but {sets.source.folder} has {known[0]} too"
            )


def name_of(prepared: Prepared) -> str:
    """The set's own name, or its folder's."""
    return prepared.about.get("name") or prepared.folder.name


def check_label(prepared: Prepared, label: str, highest: int) -> None:
    """Refuse a folder without the label, or with other values than 0 .. highest.

    Raises:
        ValueError: it is so; names the table.
    """
    table = prepared.folder / "table.csv"
    if label not in prepared.labels:
        raise ValueError(f"{table} has no column {label!r}")
    if not set(prepared.labels[label].tolist()) <= {-1, *range(highest + 1)}:
        raise ValueError(f"{table}: {label} must be from 0 to {highest}, or empty")
