"""The prepared folder: the one form in which images, real or synthetic, reach the experiments.

::

    images.npy     (N, H, W) or (N, H, W, 3) uint8
    masks.npy      (N, H, W) uint8, 0 or 1 or more   where the set has segmentation masks
    opacities.npy  (N, H, W) uint8, 0 or 1           where the true place of the disease is known
    table.csv      id, patient, split, has_mask, then one column per label or number (empty: not known)
    about.json     source, licence or citation, settings, counts, what was skipped and why, digests
    sheet.png      some of the images (not read again)
    summary.png    their sizes, grey levels and classes (not read again)

Labels are classes, whole numbers from 0, whose names about.json may give ("label_values"). Columns
listed there under "numbers" hold any numbers, and "mask_values" lists the grey values that became the
classes 0 .. K - 1 of masks; without it masks are of 0 and 1.

Splits are made by patient (UMS-Rep, section 3.1.1), so a patient in two of them is an error, as is any
other disagreement between the files. ``data_prep.writing`` writes such folders.

What is opened must be what was written, down to the order of the rows, although a spreadsheet may quote
the table differently. After correcting a label, a patient or the text of about.json, or adding a
column, run ``python -m data_prep accept FOLDER``, which records the change in about.json. Arrays are not
edited: they are prepared again.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ums.data.checks import check_images, check_mask_values, check_masks
from ums.data.prepared_set import ARRAYS, SPLITS, Prepared, check_digests, count_labels
from ums.data.rows import parts
from ums.reading import read_json, read_verified, reading

__all__ = [
    "FIXED_COLUMNS", "SPLITS", "Prepared", "check_prepared", "constant_masks", "count_labels",
    "load_prepared",
]  # fmt: skip

FIXED_COLUMNS = ("id", "patient", "split", "has_mask")
"""The columns of table.csv before those of the labels."""

LARGE_BYTES = 1 << 32
"""Arrays of more bytes are compared with their digests not when opened, but before a study uses them."""


def load_prepared(folder: str | Path, edited: bool = False) -> Prepared:
    """Open a prepared folder. The arrays stay on disk: they are memory-mapped and read-only.

    They are read once to be compared with their digests, unless they exceed ``LARGE_BYTES``.

    Args:
        folder: The folder.
        edited: Whether table.csv and about.json may have been changed by hand.

    Raises:
        FileNotFoundError: The folder or one of its files is missing.
        ValueError: A file cannot be read or is not as it was written, or two of them disagree.
    """
    folder = Path(folder)
    _check_there(folder)
    about = read_json(folder / "about.json") if edited else _read_about(folder)
    paths = {name: folder / file for name, file in ARRAYS.items() if (folder / file).exists()}
    opened = {path: path.stat() for path in paths.values()}
    arrays: dict[str, Any] = dict.fromkeys(ARRAYS)
    for name, path in paths.items():
        with reading(path):
            arrays[name] = np.lib.format.open_memmap(path, mode="r")
    table = folder / "table.csv"
    with reading(table):
        rows = _rows(table)
    prepared = Prepared(folder, **arrays, **_columns(table, about, *rows), about=about)
    prepared.opened.update(opened)
    check_prepared(prepared)
    size = sum(array.nbytes for array in prepared.arrays.values())
    check_digests(prepared, edited, arrays=edited or size <= LARGE_BYTES)
    return prepared


def _check_there(folder: Path) -> None:
    for name in (*ARRAYS.values(), "table.csv", "about.json"):
        if (folder / name).is_symlink() and not (folder / name).exists():
            raise FileNotFoundError(f"{folder / name} is a broken link")
    for name in ("images.npy", "table.csv", "about.json"):
        if not (folder / name).exists():
            hint = f"from a checkout of ums, `python -m data_prep synthetic {folder}` draws a set"
            raise FileNotFoundError(f"{folder / name} is missing: {hint}")


def _read_about(folder: Path) -> dict[str, Any]:
    try:
        return read_verified(folder / "about.json", "digests")
    except ValueError as error:
        read_json(folder / "about.json")  # what is not even that cannot be kept
        hint = f"if it should be as it is, `python -m data_prep accept {folder}` keeps it"
        raise ValueError(f"{error}; {hint}") from error


def _rows(path: Path) -> list[list[str]]:
    # A spreadsheet that saved the table may have put a byte order mark before "id": utf-8-sig.
    with open(path, newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if any(map(str.strip, row))] or [[]]
    # It may also leave empty rows, and an empty column at the end.
    while rows[0][-1:] == [""] and all(len(row) == len(rows[0]) and not row[-1] for row in rows):
        rows = [row[:-1] for row in rows]
    return rows


def _columns(path: Path, about: dict, header: list[str], *rows: list[str]) -> dict[str, Any]:
    """Return the columns of table.csv, named as the fields of :class:`Prepared`."""
    if tuple(header[:4]) != FIXED_COLUMNS or len(set(header)) != len(header):
        raise ValueError(
            f"{path}: the columns should be {', '.join(FIXED_COLUMNS)} and then one per label; "
            f"found {header!r:.200}"
        )
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            found = f"{len(row)} values for {len(header)} columns: {row!r:.200}"
            raise ValueError(f"{path}, row {number}: {found}")
    values = zip(*rows, strict=True) if rows else [()] * len(header)
    columns = dict(zip(header, values, strict=True))
    ids, patients, splits = (np.array(columns.pop(c), dtype=str) for c in FIXED_COLUMNS[:3])
    has_mask = _integers(path, "has_mask", columns.pop("has_mask"), "[01]", "0 or 1") == 1
    numbers = {
        n: _numbers(path, n, columns.pop(n)) for n in about.get("numbers", ()) if n in columns
    }
    labels = {name: _integers(path, name, values) for name, values in columns.items()}
    fixed = dict(ids=ids, patients=patients, splits=splits, has_mask=has_mask)
    return dict(**fixed, labels=labels, numbers=numbers)


def _numbers(path: Path, name: str, values: Sequence[str]) -> np.ndarray:
    try:
        return np.array([value or "nan" for value in values]).astype(np.float32)
    except ValueError as error:
        raise ValueError(f"{path}: {name} should be empty or numbers: {error}") from error


def _integers(
    path: Path,
    name: str,
    values: Sequence[str],
    pattern: str = "[0-9]{0,9}",
    wanted: str = "empty or a whole number from 0",
) -> np.ndarray:
    for row, value in enumerate(values, start=2):
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{path}, row {row}: {name} is {value!r:.200}, should be {wanted}")
    return np.array([int(value or -1) for value in values], dtype=np.int64)


def check_prepared(prepared: Prepared) -> None:
    """Check that the arrays and columns of a prepared set fit together.

    Raises:
        ValueError: They do not; the message names the file that they are, or would be, in.
    """
    folder, images, table = prepared.folder, prepared.images, prepared.folder / "table.csv"
    check_images(images, str(folder / "images.npy"), stored=True)
    _check_columns(table, prepared)
    _check_ids_and_splits(table, prepared)
    _check_masks(folder / "opacities.npy", prepared.opacities, images)
    _check_masks(folder / "masks.npy", prepared.masks, images, prepared.mask_classes)
    with_mask = int(prepared.has_mask.sum())
    if prepared.masks is None and with_mask:
        needed = f"{with_mask} rows of {table.name} have has_mask 1"
        raise ValueError(f"{folder / 'masks.npy'} is missing, although {needed}")
    for value, count in constant_masks(prepared).items():
        if 0 < count == with_mask:
            every = f"each mask of the {count} images with has_mask 1 is all {value}"
            raise ValueError(f"{folder / 'masks.npy'}: {every}")


def _check_masks(
    path: Path, masks: np.ndarray | None, images: np.ndarray, classes: int = 2
) -> None:
    if masks is None:
        return
    check_masks(masks, images.shape, str(path))
    if masks.dtype != np.uint8:
        raise ValueError(f"{path} must be uint8, found {masks.dtype}")
    for _, part in parts(masks):
        check_mask_values(part, str(path), classes)


def constant_masks(prepared: Prepared) -> dict[str, int]:
    """Count the images with has_mask 1 whose mask is all 0, and those whose mask is all 1.

    Raises:
        ValueError: An image with has_mask 0 has a mask that is not all 0.
    """
    counts = {"0": 0, "1": 0}
    for rows, masks in parts(prepared.masks) if prepared.masks is not None else ():
        has_mask, low, high = prepared.has_mask[rows], masks.min((1, 2)), masks.max((1, 2))
        if high[~has_mask].any():
            table = prepared.folder / "table.csv"
            raise ValueError(f"{table}: has_mask is 0 for an image whose mask is not")
        counts["0"] += int(np.count_nonzero(high[has_mask] == 0))
        counts["1"] += int(np.count_nonzero(low[has_mask] == 1))
    return counts


def _check_columns(path: Path, prepared: Prepared) -> None:
    fixed = (prepared.ids, prepared.patients, prepared.splits, prepared.has_mask)
    columns = dict(zip(FIXED_COLUMNS, fixed, strict=True)) | prepared.labels | prepared.numbers
    for name, values in columns.items():
        if values.shape != (len(prepared),):
            shapes = f"of shape {values.shape} for images.npy of shape {prepared.images.shape}"
            raise ValueError(f"{path}: column {name} {shapes}")
    for name, values in prepared.labels.items():
        if name in (*FIXED_COLUMNS, "") or values.dtype.kind not in "iu" or values.min() < -1:
            raise ValueError(
                f"{path}: label {name!r:.200} should be whole numbers from 0, or -1 where absent, "
                f"under a name of its own; found {values.dtype} from {values.min()}"
            )
    for name, values in prepared.numbers.items():
        if name in (*FIXED_COLUMNS, *prepared.labels, "") or np.isinf(values).any():
            raise ValueError(
                f"{path}: numbers {name!r:.200} should be finite, under their own name"
            )


def _check_ids_and_splits(path: Path, prepared: Prepared) -> None:
    first_row: dict[str, int] = {}
    split_of: dict[str, str] = {}
    columns = (prepared.ids.tolist(), prepared.patients.tolist(), prepared.splits.tolist())
    for row, (id_, patient, split) in enumerate(zip(*columns, strict=True), start=2):
        at = f"{path}, row {row}"
        if split not in SPLITS:
            raise ValueError(f"{at}: split is {split!r:.200}, should be in {SPLITS}")
        if not id_ or not patient:
            raise ValueError(f"{at}: id or patient is empty")
        if first_row.setdefault(id_, row) != row:
            raise ValueError(f"{at}: id {id_!r:.200} again, after row {first_row[id_]}")
        if split_of.setdefault(patient, split) != split:
            both = f"{split} and in {split_of[patient]}"
            raise ValueError(f"{at}: patient {patient!r:.200} is in {both}, not in one split")
