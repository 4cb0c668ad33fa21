"""The prepared folder: the one form in which images, real or synthetic, reach the experiments.

::

    images.npy     (N, H, W) or (N, H, W, 3) uint8
    masks.npy      (N, H, W) uint8, 0 or 1           where the set has segmentation masks
    opacities.npy  (N, H, W) uint8, 0 or 1           where the true place of the disease is known
    table.csv      id, patient, split, has_mask, then one column per label (empty: not labelled)
    about.json     source, licence or citation, settings, counts, what was skipped and why
    sheet.png      some of the images (not read again)
    summary.png    their sizes, grey levels and classes (not read again)

Splits are made by patient (UMS-Rep, section 3.1.1), so a patient in two of them is an error, as is any
other disagreement between the files. ``data_prep.writing`` writes such folders.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ums.data.rows import parts

SPLITS = ("train", "validation", "test")
FIXED_COLUMNS = ("id", "patient", "split", "has_mask")
"""The columns of table.csv before those of the labels."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """The arrays and columns of one prepared folder; row i of each belongs to the same image.

    ``ids``, ``patients`` and ``splits`` are strings (N,), ``has_mask`` is bool (N,), and ``labels``
    holds (N,) integers by name, -1 where an image is not labelled.
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

    def __len__(self) -> int:
        return len(self.images)

    def subset(self, rows: np.ndarray) -> "Prepared":
        """Return the images of some rows (n,), with their masks and columns, in memory."""

        def chosen(array: np.ndarray | None) -> np.ndarray | None:
            return None if array is None else np.array(array[rows])

        names = ("images", "masks", "opacities", "ids", "patients", "splits", "has_mask")
        arrays: dict[str, Any] = {name: chosen(getattr(self, name)) for name in names}
        labels = {name: np.array(values[rows]) for name, values in self.labels.items()}
        return replace(self, **arrays, labels=labels)

    def __repr__(self) -> str:
        size = "x".join(str(n) for n in self.images.shape[1:])
        splits = ", ".join(f"{s} {np.count_nonzero(self.splits == s)}" for s in SPLITS)
        text = [f"{len(self)} images {size}", splits, f"{self.has_mask.sum()} with masks"]
        for name, values in self.labels.items():
            counts = ", ".join(f"{v}: {n}" for v, n in count_labels(values).items())
            text.append(f"{name} {counts or 'unlabelled'}")
        return f"Prepared({str(self.folder)!r}; " + "; ".join(text) + ")"


def load_prepared(folder: str | Path) -> Prepared:
    """Open a prepared folder. The arrays stay on disk: they are memory-mapped and read-only.

    Raises:
        FileNotFoundError: The folder or one of its files is missing.
        ValueError: A file cannot be read, or two of them disagree.
    """
    folder = Path(folder)
    images = _read(folder / "images.npy", _open_array)
    masks, opacities = (
        _read(path, _open_array) if path.is_file() else None
        for path in (folder / "masks.npy", folder / "opacities.npy")
    )
    table = _columns(folder / "table.csv", *_read(folder / "table.csv", _rows))
    about = _read(folder / "about.json", _json_object)
    prepared = Prepared(folder, images, masks, opacities, **table, about=about)
    check_prepared(prepared)
    return prepared


def count_labels(values: np.ndarray) -> dict[str, int]:
    """Count the images of each value of a label (N,), without -1; the keys are ready for JSON."""
    return {str(v): n for v, n in sorted(Counter(values[values >= 0].tolist()).items())}


def _read(path: Path, content: Callable[[Path], Any]) -> Any:
    """Read a file; errors name it."""
    if not path.is_file():
        hint = f"from a checkout of ums, `python -m data_prep synthetic {path.parent}` draws a set"
        raise FileNotFoundError(f"{path} is missing: {hint}")
    try:
        return content(path)
    except (ValueError, EOFError, OSError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read: {error}") from error


def _open_array(path: Path) -> Any:
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _json_object(path: Path) -> dict:
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, dict):
        raise ValueError(f"it should be a JSON object, not a {type(found).__name__}")
    return found


def _rows(path: Path) -> list[list[str]]:
    # A spreadsheet that saved the table may have put a byte order mark before "id": utf-8-sig.
    with open(path, newline="", encoding="utf-8-sig") as file:
        return list(csv.reader(file)) or [[]]


def _columns(path: Path, header: list[str], *rows: list[str]) -> dict[str, Any]:
    """Return the columns of table.csv, named as the fields of :class:`Prepared`."""
    if tuple(header[:4]) != FIXED_COLUMNS or len(set(header)) != len(header):
        raise ValueError(
            f"{path}: the columns should be {', '.join(FIXED_COLUMNS)} and then one per label; "
            f"found {', '.join(header)}"
        )
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            found = f"{len(row)} values for {len(header)} columns: {row}"
            raise ValueError(f"{path}, row {number}: {found}")
    values = zip(*rows, strict=True) if rows else [()] * len(header)
    columns = dict(zip(header, values, strict=True))
    ids, patients, splits = (np.array(columns.pop(c), dtype=str) for c in FIXED_COLUMNS[:3])
    has_mask = _integers(path, "has_mask", columns.pop("has_mask"), "[01]", "0 or 1") == 1
    labels = {name: _integers(path, name, values) for name, values in columns.items()}
    return dict(ids=ids, patients=patients, splits=splits, has_mask=has_mask, labels=labels)


def _integers(
    path: Path,
    name: str,
    values: Sequence[str],
    pattern: str = "[0-9]{0,9}",
    wanted: str = "empty or a whole number from 0",
) -> np.ndarray:
    for row, value in enumerate(values, start=2):
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{path}, row {row}: {name} is {value!r}, should be {wanted}")
    return np.array([int(value or -1) for value in values], dtype=np.int64)


def check_prepared(prepared: Prepared) -> None:
    """Check that the arrays and columns of a prepared set fit together.

    Raises:
        ValueError: They do not; the message names the file that they are, or would be, in.
    """
    folder, images, table = prepared.folder, prepared.images, prepared.folder / "table.csv"
    grey_or_rgb = images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)
    if images.dtype != np.uint8 or not grey_or_rgb:
        raise ValueError(
            f"{folder / 'images.npy'}: should be (N, H, W) or (N, H, W, 3) uint8, "
            f"found {images.shape} {images.dtype}"
        )
    if images.size == 0:
        raise ValueError(f"{folder / 'images.npy'}: no image in an array of shape {images.shape}")
    _check_binary(folder / "masks.npy", prepared.masks, images)
    _check_binary(folder / "opacities.npy", prepared.opacities, images)
    _check_columns(table, prepared)
    _check_ids_and_splits(table, prepared)
    if prepared.masks is None:
        if with_mask := prepared.has_mask.sum():
            raise ValueError(f"{table}: {with_mask} rows say has_mask 1, but there is no masks.npy")
    elif any(masks[~prepared.has_mask[rows]].any() for rows, masks in parts(prepared.masks)):
        raise ValueError(f"{table}: has_mask is 0 for an image whose mask is not")


def _check_binary(path: Path, masks: np.ndarray | None, images: np.ndarray) -> None:
    if masks is None:
        return
    if masks.dtype != np.uint8 or masks.shape != images.shape[:3]:
        fit = f"does not fit images.npy {images.shape}; should be {images.shape[:3]} uint8"
        raise ValueError(f"{path}: {masks.shape} {masks.dtype} {fit}")
    highest = max(int(part.max()) for _, part in parts(masks))
    if highest > 1:
        raise ValueError(f"{path}: values should be 0 and 1, found {highest}")


def _check_columns(path: Path, prepared: Prepared) -> None:
    fixed = (prepared.ids, prepared.patients, prepared.splits, prepared.has_mask)
    columns = dict(zip(FIXED_COLUMNS, fixed, strict=True)) | prepared.labels
    for name, values in columns.items():
        if values.shape != (len(prepared),):
            shapes = f"of shape {values.shape} for images.npy of shape {prepared.images.shape}"
            raise ValueError(f"{path}: column {name} {shapes}")
    for name, values in prepared.labels.items():
        if name in (*FIXED_COLUMNS, "") or values.dtype.kind not in "iu" or values.min() < -1:
            raise ValueError(
                f"{path}: label {name!r} should be whole numbers from 0, or -1 where absent, "
                f"under a name of its own; found {values.dtype} from {values.min()}"
            )


def _check_ids_and_splits(path: Path, prepared: Prepared) -> None:
    first_row: dict[str, int] = {}
    split_of: dict[str, str] = {}
    columns = (prepared.ids.tolist(), prepared.patients.tolist(), prepared.splits.tolist())
    for row, (id_, patient, split) in enumerate(zip(*columns, strict=True), start=2):
        at = f"{path}, row {row}"
        if split not in SPLITS:
            raise ValueError(f"{at}: split is {split!r}, should be in {SPLITS}")
        if not id_ or not patient:
            raise ValueError(f"{at}: id or patient is empty")
        if first_row.setdefault(id_, row) != row:
            raise ValueError(f"{at}: id {id_!r} again, after row {first_row[id_]}")
        if split_of.setdefault(patient, split) != split:
            both = f"{split} and in {split_of[patient]}"
            raise ValueError(f"{at}: patient {patient!r} is in {both}, not in one split")
