"""The prepared folder: the one form in which images reach the experiments, real or synthetic.

    images.npy     (N, H, W) or (N, H, W, 3) uint8
    masks.npy      (N, H, W) uint8, 0 or 1           where the set has segmentation masks
    opacities.npy  (N, H, W) uint8, 0 or 1           where the true place of the disease is known
    table.csv      id, patient, split, has_mask, then one column per label (empty: not labelled)
    about.json     source, licence or citation, settings, counts, what was skipped and why
    sheet.png      some of the images to look at, and
    summary.png    their sizes, grey levels and classes; no program reads these two

Splits are made by patient (UMS-Rep, section 3.1.1), so a patient found in two of them is an error
here, as is anything else in which the other five files disagree.
"""

import csv
import json
import os
import re
import shutil
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ums.data.rows import parts

SPLITS = ("train", "validation", "test")
_FIXED_COLUMNS = ["id", "patient", "split", "has_mask"]
PICTURES = ("sheet.png", "summary.png")
_FILES = {"images.npy", "masks.npy", "opacities.npy", "table.csv", "about.json", *PICTURES}


@dataclass(frozen=True, eq=False)
class Prepared:
    """One prepared folder. Row i of every array belongs to the same image.

    `images` is (N, H, W) or (N, H, W, 3) uint8; `masks` and `opacities` are (N, H, W) uint8 of 0
    and 1, or None; `ids`, `patients`, `splits` are (N,) strings; `has_mask` is (N,) bool; `labels`
    maps a name to (N,) integers with -1 where the image has no such label.
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

    def __len__(self):
        return len(self.images)

    def subset(self, rows):
        """The images of some rows (n,) integers, with all that belongs to them, in memory."""
        arrays = ("images", "masks", "opacities", "ids", "patients", "splits", "has_mask")
        there = {name: getattr(self, name) for name in arrays}
        chosen = {name: None if a is None else np.array(a[rows]) for name, a in there.items()}
        labels = {name: values[rows] for name, values in self.labels.items()}
        return replace(self, **chosen, labels=labels)

    def __repr__(self):
        size = "x".join(str(n) for n in self.images.shape[1:])
        splits = ", ".join(f"{s} {np.count_nonzero(self.splits == s)}" for s in SPLITS)
        parts = [f"{len(self)} images {size}", splits, f"{self.has_mask.sum()} with masks"]
        for name, values in self.labels.items():
            counts = ", ".join(f"{v}: {n}" for v, n in _tally(values).items())
            parts.append(f"{name} {counts or 'unlabelled'}")
        return f"Prepared({str(self.folder)!r}; " + "; ".join(parts) + ")"


def load_prepared(folder):
    """Open a prepared folder; the arrays stay on disk (memory-mapped, read-only).

    Raises `FileNotFoundError` where the folder or one of its files is missing and `ValueError`
    where a file cannot be read or two of them disagree.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"no prepared folder at {folder}: {_hint(folder)}")
    images = _open_array(folder / "images.npy", required=True)
    masks = _open_array(folder / "masks.npy")
    opacities = _open_array(folder / "opacities.npy")
    table = _read_table(folder / "table.csv")
    prepared = Prepared(
        folder, images, masks, opacities, **table, about=_read_about(folder / "about.json")
    )
    _check(prepared)
    return prepared


def save_prepared(
    folder,
    images,
    *,
    ids,
    patients,
    splits,
    labels,
    masks=None,
    opacities=None,
    has_mask=None,
    about=None,
    pictures=None,
    overwrite=False,
):
    """Write a prepared folder, whole or not at all, and return it as `load_prepared` does.

    Shapes are those of `Prepared`; `has_mask` defaults to "all" where `masks` are given. Arrays may be
    `ums.data.rows.Rows`: they are checked and written part by part, so the set may be larger than the
    memory. `pictures` maps some of the names `PICTURES` to the bytes of a PNG file. The files go
    into a temporary folder beside `folder`, which takes its name only once everything is on disk; an
    earlier folder of that name lives until then. What a killed process left of such a folder goes.
    The same input gives the same bytes.

    Raises `FileExistsError` where `folder` exists and may not be replaced, `ValueError` where the
    arrays and columns disagree or there is no image.
    """
    folder = Path(os.path.abspath(folder))
    check_replaceable(folder, overwrite)
    text = {"ids": ids, "patients": patients, "splits": splits}
    columns = {name: np.asarray([str(v) for v in values]) for name, values in text.items()}
    if has_mask is None:
        has_mask = np.full(len(images), masks is not None)
    prepared = Prepared(
        folder,
        _as_array(images),
        None if masks is None else _as_array(masks),
        None if opacities is None else _as_array(opacities),
        **columns,
        has_mask=np.asarray(has_mask, dtype=bool),
        labels={name: np.asarray(values) for name, values in labels.items()},
        about=dict(about or {}),
    )
    _check(prepared)
    _write_then_rename(prepared, pictures or {})
    return load_prepared(folder)


@contextmanager
def scratch_folder(folder):
    """A folder beside the prepared folder `folder`, for what it is made of; removed at the end.

    Where the process is killed, it stays until `folder` is saved by another one.
    """
    folder = Path(os.path.abspath(folder))
    scratch = folder.with_name(f".{folder.name}.drawn-{os.getpid()}")
    scratch.mkdir(parents=True, exist_ok=True)
    try:
        yield scratch
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


# Reading ------------------------------------------------------------------------------------------


def _hint(folder):
    return f"make one with, for example, `python -m data_prep synthetic {folder}`"


def _open_array(path, required=False):
    if not path.is_file():
        if required:
            raise FileNotFoundError(f"{path} is missing: {_hint(path.parent)}")
        return None
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is not a readable .npy array: {error}") from error


def _read_about(path):
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: {_hint(path.parent)}")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not readable as JSON: {error}") from error
    if not isinstance(about, dict):
        raise ValueError(f"{path} should hold a JSON object, found {type(about).__name__}")
    return about


def _read_table(path):
    """Return the columns of table.csv under the names of `Prepared`'s fields."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: {_hint(path.parent)}")
    # A spreadsheet that saved the table again may have put a byte order mark before "id".
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not readable as CSV: {error}") from error
    if header[:4] != _FIXED_COLUMNS or len(set(header)) != len(header):
        raise ValueError(
            f"{path}: the columns should be {_FIXED_COLUMNS} and then one per label, found {header}"
        )
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise ValueError(
                f"{path}, row {number}: {len(row)} values for {len(header)} columns: {row}"
            )
    values = zip(*rows, strict=True) if rows else [()] * len(header)
    columns = dict(zip(header, values, strict=True))
    ids, patients, splits = (np.array(columns.pop(c), dtype=str) for c in _FIXED_COLUMNS[:3])
    has_mask = _integers(path, "has_mask", columns.pop("has_mask"), allowed=("0", "1")) == 1
    labels = {name: _integers(path, name, values) for name, values in columns.items()}
    return {
        "ids": ids, "patients": patients, "splits": splits, "has_mask": has_mask, "labels": labels,
    }  # fmt: skip


def _integers(path, name, values, allowed=None):
    numbers = np.full(len(values), -1, dtype=np.int64)
    for i, value in enumerate(values):
        if value == "" and allowed is None:
            continue
        if not (value in allowed if allowed else re.fullmatch("[0-9]{1,9}", value)):
            wanted = " or ".join(allowed) if allowed else "empty or a whole number from 0"
            raise ValueError(f"{path}, row {i + 2}: {name} is {value!r}, should be {wanted}")
        numbers[i] = int(value)
    return numbers


# Checking -----------------------------------------------------------------------------------------


def _check(prepared):
    """Raise `ValueError` where the arrays and columns of `prepared` do not fit together."""
    folder, images = prepared.folder, prepared.images
    if images.dtype != np.uint8 or not (
        images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)
    ):
        raise ValueError(
            f"{folder / 'images.npy'}: should be (N, H, W) or (N, H, W, 3) uint8, "
            f"found {images.shape} {images.dtype}"
        )
    if images.size == 0:
        raise ValueError(f"{folder / 'images.npy'}: no image in an array of shape {images.shape}")
    _check_binary(folder / "masks.npy", prepared.masks, images)
    _check_binary(folder / "opacities.npy", prepared.opacities, images)
    _check_columns(prepared)
    if prepared.masks is None and prepared.has_mask.any():
        raise ValueError(
            f"{folder / 'table.csv'}: {prepared.has_mask.sum()} rows say has_mask 1, "
            f"but there is no masks.npy"
        )
    if prepared.masks is not None and any(
        masks[~prepared.has_mask[places]].any() for places, masks in parts(prepared.masks)
    ):
        raise ValueError(f"{folder / 'table.csv'}: has_mask is 0 for an image whose mask is not")


def _check_binary(path, masks, images):
    if masks is None:
        return
    if masks.dtype != np.uint8 or masks.shape != images.shape[:3]:
        raise ValueError(
            f"{path}: {masks.shape} {masks.dtype} does not fit images.npy {images.shape}; "
            f"should be {images.shape[:3]} uint8"
        )
    highest = max(int(part.max()) for _, part in parts(masks))
    if highest > 1:
        raise ValueError(f"{path}: values should be 0 and 1, found {highest}")


def _check_columns(prepared):
    path = prepared.folder / "table.csv"
    columns = {
        "id": prepared.ids, "patient": prepared.patients, "split": prepared.splits,
        "has_mask": prepared.has_mask, **prepared.labels,
    }  # fmt: skip
    for name, values in columns.items():
        if values.shape != (len(prepared),):
            raise ValueError(
                f"{path}: column {name} of shape {values.shape} for images.npy of shape "
                f"{prepared.images.shape}"
            )
    for name, values in prepared.labels.items():
        if name in (*_FIXED_COLUMNS, "") or values.dtype.kind not in "iu" or values.min() < -1:
            raise ValueError(
                f"{path}: label {name!r} should be whole numbers from 0, or -1 where absent, "
                f"under a name of its own; found {values.dtype} from {values.min()}"
            )
    _check_ids_and_splits(path, prepared)


def _check_ids_and_splits(path, prepared):
    first_row, split_of = {}, {}
    for row, (id_, patient, split) in enumerate(
        zip(prepared.ids, prepared.patients, prepared.splits, strict=True), start=2
    ):
        if split not in SPLITS:
            raise ValueError(f"{path}, row {row}: split is {str(split)!r}, should be in {SPLITS}")
        if not id_ or not patient:
            raise ValueError(f"{path}, row {row}: id or patient is empty")
        if first_row.setdefault(id_, row) != row:
            raise ValueError(
                f"{path}, row {row}: id {str(id_)!r} again, after row {first_row[id_]}"
            )
        if split_of.setdefault(patient, split) != split:
            raise ValueError(
                f"{path}, row {row}: patient {str(patient)!r} is in {split} "
                f"and in {split_of[patient]}; a patient belongs to one split"
            )


# Writing ------------------------------------------------------------------------------------------


def check_replaceable(folder, overwrite=False):
    """Raise `FileExistsError` where `save_prepared` would: to ask before the work, not after."""
    folder = Path(folder)
    if not os.path.lexists(folder):
        return
    if not overwrite:
        raise FileExistsError(f"{folder} exists already; overwrite=True (--overwrite) replaces it")
    # Replacing means deleting: never a folder that holds anything but a prepared set.
    others = sorted(set(os.listdir(folder)) - _FILES) if folder.is_dir() else ["(not a folder)"]
    if others:
        raise FileExistsError(f"{folder} is not replaced: it holds {', '.join(others[:3])}")


def _as_array(rows):
    """`rows`, or an array of it where it is a list of images say."""
    return rows if hasattr(rows, "shape") else np.asarray(rows)


def _write_then_rename(prepared, pictures):
    folder = prepared.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
    former = folder.with_name(f".{folder.name}.former-{os.getpid()}")
    try:
        partial.mkdir()
        _write_files(partial, prepared, pictures)
        if folder.exists():
            folder.rename(former)
        partial.rename(folder)
    except BaseException:
        if former.exists() and not folder.exists():
            former.rename(folder)
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _sync(folder.parent)
    shutil.rmtree(former, ignore_errors=True)
    _remove_leftovers(folder)


def _remove_leftovers(folder):
    """Remove the temporary folders of processes that were killed while they wrote `folder`."""
    name = re.compile(re.escape(f".{folder.name}.") + r"(partial|former|drawn)-(\d+)")
    for path in folder.parent.iterdir():
        found = name.fullmatch(path.name)
        if found and not _runs(int(found[2])):
            shutil.rmtree(path, ignore_errors=True)


def _runs(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True


def _write_files(folder, prepared, pictures):
    for name in ("images", "masks", "opacities"):
        array = getattr(prepared, name)
        if array is not None:
            _write_array(folder / f"{name}.npy", array)
    for name, content in pictures.items():
        (folder / name).write_bytes(content)
    with open(folder / "table.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*_FIXED_COLUMNS, *prepared.labels])
        labels = [["" if v < 0 else int(v) for v in column] for column in prepared.labels.values()]
        has_mask = prepared.has_mask.astype(int)
        writer.writerows(
            zip(prepared.ids, prepared.patients, prepared.splits, has_mask, *labels, strict=True)
        )
    about = {"skipped": [], **prepared.about, "counts": _counts(prepared)}
    text = json.dumps(about, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    (folder / "about.json").write_text(text, encoding="utf-8")
    for path in [*folder.iterdir(), folder]:
        _sync(path)


def _write_array(path, array):
    """What np.save writes, part by part."""
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for _, part in parts(array):
            file.write(np.ascontiguousarray(part).data)


def _counts(prepared):
    counts = {s: int(np.count_nonzero(prepared.splits == s)) for s in SPLITS}
    counts |= {"images": len(prepared), "has_mask": int(prepared.has_mask.sum())}
    counts["labels"] = {
        name: {s: _tally(values[prepared.splits == s]) for s in SPLITS}
        for name, values in prepared.labels.items()
    }
    return counts | {"patients": len(set(prepared.patients.tolist()))}


def _tally(values):
    """How many of each label there are, the unlabelled left out; JSON's keys are strings."""
    return {str(v): n for v, n in sorted(Counter(values[values >= 0].tolist()).items())}


def _sync(path):
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
