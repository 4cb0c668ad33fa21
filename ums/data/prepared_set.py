"""A prepared set in memory, and the digests that tell whether it is the one that was written."""

import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ums.data.rows import parts
from ums.reading import digest_of

SPLITS = ("train", "validation", "test")

ARRAYS = {"images": "images.npy", "masks": "masks.npy", "opacities": "opacities.npy"}
"""Array of a set -> its file."""

REMEDY = "remove the folder and prepare it again"


@dataclass(frozen=True, eq=False)
class Prepared:
    """The arrays and columns of one prepared folder; row i of each belongs to the same image.

    ``ids``, ``patients`` and ``splits`` are strings (N,), ``has_mask`` is bool (N,), and ``labels``
    holds (N,) integers by name, -1 where an image is not labelled, ``numbers`` (N,) float32, NaN where
    one is not known. ``opened`` holds the state of each memory-mapped file when it was opened; a copy
    with other arrays has none.
    """

    folder: Path
    images: np.ndarray
    masks: np.ndarray | None
    opacities: np.ndarray | None
    ids: np.ndarray
    patients: np.ndarray
    splits: np.ndarray
    has_mask: np.ndarray
    labels: dict[str, np.ndarray]
    about: dict
    numbers: dict[str, np.ndarray] = field(default_factory=dict)
    opened: dict[Path, os.stat_result] = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def arrays(self) -> dict[str, Any]:
        """The arrays of the set, by file."""
        found = {file: getattr(self, name) for name, file in ARRAYS.items()}
        return {file: array for file, array in found.items() if array is not None}

    @property
    def mask_classes(self) -> int:
        """The number of classes of the masks, 2 for those of 0 and 1."""
        return len(self.about.get("mask_values", (0, 1)))

    def values(self, *names: str) -> np.ndarray:
        """Labels and numbers of these names as targets (N, K) float32, NaN where not known."""
        known = {name: np.where(v < 0, np.nan, v) for name, v in self.labels.items()}
        columns = [(known | self.numbers)[name] for name in names]
        return np.stack(columns, axis=1).astype(np.float32)

    @cached_property
    def array_digests(self) -> dict[str, str]:
        """The SHA-256 of the values of each array, by file."""
        return {file: _digest(array) for file, array in self.arrays.items()}

    @cached_property
    def column_digests(self) -> dict[str, str]:
        """The SHA-256 of the values of each column, whatever the table's quotes and line endings."""
        columns = {"id": self.ids, "patient": self.patients, "split": self.splits}
        columns |= {"has_mask": self.has_mask.astype(int)} | self.labels | self.numbers
        return {f"table.csv {name}": digest_of(v.tolist()) for name, v in columns.items()}

    def subset(self, rows: np.ndarray) -> "Prepared":
        """Return the images of some rows (n,), with their masks and columns, in memory."""

        def chosen(array: np.ndarray | None) -> np.ndarray | None:
            return None if array is None else np.array(array[rows])

        names = ("images", "masks", "opacities", "ids", "patients", "splits", "has_mask")
        arrays: dict[str, Any] = {name: chosen(getattr(self, name)) for name in names}
        for kind in ("labels", "numbers"):
            columns = getattr(self, kind).items()
            arrays[kind] = {name: np.array(values[rows]) for name, values in columns}
        return replace(self, **arrays)

    def __repr__(self) -> str:
        size = "x".join(str(n) for n in self.images.shape[1:])
        splits = ", ".join(f"{s} {np.count_nonzero(self.splits == s)}" for s in SPLITS)
        text = [f"{len(self)} images {size}", splits, f"{self.has_mask.sum()} with masks"]
        for name, values in self.labels.items():
            listed = [f"{v}: {n}" for v, n in count_labels(values).items()]
            listed = (
                listed if len(listed) <= 10 else [f"{values[values >= 0].min()} to {values.max()}"]
            )
            text.append(f"{name} {', '.join(listed) or 'unlabelled'}")
        for name, values in self.numbers.items():
            known = values[~np.isnan(values)]
            text.append(f"{name} {known.min():g} to {known.max():g}" if len(known) else name)
        return f"Prepared({str(self.folder)!r}; " + "; ".join(text) + ")"


def count_labels(values: np.ndarray) -> dict[str, int]:
    """Count the images of each value of a label (N,), without -1; the keys are ready for JSON."""
    return {str(v): n for v, n in sorted(Counter(values[values >= 0].tolist()).items())}


def _digest(array: Any) -> str:
    digest = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
    for _, part in parts(array):
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


def check_digests(prepared: Prepared, edited: bool = False, arrays: bool = True) -> None:
    """Compare a set that was opened with the digests in its about.json, if there are any.

    Args:
        prepared: The set.
        edited: Whether columns may be new, changed or gone, except for the ids.
        arrays: Whether the arrays are read and compared, or only looked for.

    Raises:
        ValueError: A file is missing, new, damaged or changed; names it, and says what to do.
    """
    if not prepared.opened or "digests" not in prepared.about:
        return
    wanted = prepared.about["digests"]
    if not isinstance(wanted, dict):
        raise ValueError(f"{prepared.folder / 'about.json'}: digests should be an object")
    unread = {file: wanted.get(file) for file in prepared.arrays}
    found = (prepared.array_digests if arrays else unread) | prepared.column_digests
    for name in dict.fromkeys([*found, *wanted]):
        may_differ = edited and name not in (*ARRAYS.values(), "table.csv id")
        if found.get(name) != wanted.get(name) and not may_differ:
            raise ValueError(_refusal(prepared.folder, name))


def _refusal(folder: Path, name: str) -> str:
    if name in ARRAYS.values():
        return f"{folder / name} is missing, damaged or another set's: {REMEDY}"
    table, column = folder / "table.csv", name.removeprefix("table.csv ")
    if column == "id":
        return (
            f"{table}: the ids are not those of the images in their order (was the table sorted?): "
            f"bring the rows back into it, or {REMEDY}"
        )
    return (
        f"{table}: the column {column!r:.200} is not as it was written; if it was changed on purpose, "
        f"`python -m data_prep accept {folder}` keeps it"
    )


def check_untouched(prepared: Prepared) -> None:
    """Check that no file of a set was written to since it was opened: a memory map changes with it.

    Replacing a file does no harm: the one that was opened stays as it was.

    Raises:
        ValueError: A file was written to; names it.
    """
    for path, before in prepared.opened.items():
        now = path.stat() if path.exists() else before
        if not os.path.samestat(now, before):
            continue
        changed = (now.st_mtime_ns, now.st_size) != (before.st_mtime_ns, before.st_size)
        if not changed and now.st_ctime_ns != before.st_ctime_ns:  # the others can be set back
            written = prepared.about.get("digests") or prepared.array_digests
            changed = _digest(prepared.arrays[path.name]) != written.get(path.name)
            prepared.opened[path] = now
        if changed:
            raise ValueError(f"{path} was written to while it was open: start again")
