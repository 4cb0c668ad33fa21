"""Write prepared folders; the format is that of :mod:`ums.data.prepared`."""

import csv
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ums.data.normalisation import BACKGROUND
from ums.data.prepared import (
    FIXED_COLUMNS,
    SPLITS,
    Prepared,
    check_prepared,
    constant_masks,
    count_labels,
    load_prepared,
)
from ums.data.rows import parts
from ums.files import locked, naming, remove_folder, reserve, sync, write_whole
from ums.reading import reading, with_digest

PICTURES = ("sheet.png", "summary.png")
_FILES = {"images.npy", "masks.npy", "opacities.npy", "table.csv", "about.json", *PICTURES}


@dataclass(frozen=True, eq=False)
class Content:
    """What a prepared folder will hold. Shapes are those of :class:`ums.data.prepared.Prepared`.

    The arrays may be anything that has a shape and can be sliced, such as
    :class:`ums.data.rows.Rows`. They are checked and written a part at a time, so the set may be
    larger than memory.

    Attributes:
        images: (N, H, W) or (N, H, W, 3) uint8.
        ids: N strings.
        patients: N strings.
        splits: N strings.
        labels: A name for each label, and its (N,) integers, -1 where an image is not labelled.
        numbers: A name for each column of numbers, and its (N,) floats, NaN where not known.
        masks: (N, H, W) uint8 of 0 and 1, or of as many values as ``about`` lists under
            "mask_values"; or None.
        opacities: (N, H, W) uint8 of 0 and 1, or None.
        has_mask: N booleans; None stands for "all" where there are masks and "none" otherwise.
        about: The content of about.json, to which the counts are added.
    """

    images: Any
    ids: Sequence[str]
    patients: Sequence[str]
    splits: Sequence[str]
    labels: Mapping[str, Any]
    masks: Any = None
    opacities: Any = None
    has_mask: Any = None
    about: dict = field(default_factory=dict)
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def as_prepared(self, folder: Path) -> Prepared:
        """Return the set as it will be read from ``folder``.

        Raises:
            ValueError: The arrays and columns disagree, or there is no image.
        """
        has_mask = self.has_mask
        if has_mask is None:
            has_mask = np.full(len(self.images), self.masks is not None)
        prepared = Prepared(
            folder,
            _as_array(self.images),
            None if self.masks is None else _as_array(self.masks),
            None if self.opacities is None else _as_array(self.opacities),
            ids=_strings(self.ids),
            patients=_strings(self.patients),
            splits=_strings(self.splits),
            has_mask=np.asarray(has_mask, dtype=bool),
            labels={name: np.asarray(values) for name, values in self.labels.items()},
            about=dict(self.about) | ({"numbers": [*self.numbers]} if self.numbers else {}),
            numbers={name: np.asarray(values, np.float32) for name, values in self.numbers.items()},
        )
        check_prepared(prepared)
        return prepared


def save_prepared(
    folder: str | Path,
    content: Content,
    *,
    pictures: Mapping[str, bytes] | None = None,
    overwrite: bool = False,
) -> Prepared:
    """Write a prepared folder, whole or not at all.

    The files are written to a temporary folder beside ``folder``, which takes its name once
    everything is on disk; an earlier folder of that name stays until then. What a killed process
    left there is removed. The same content always gives the same bytes.

    Args:
        folder: The folder to write.
        content: The set.
        pictures: The bytes of a PNG file for some of the names in ``PICTURES``.
        overwrite: Whether an earlier prepared folder may be replaced.

    Returns:
        The set, as :func:`ums.data.prepared.load_prepared` reads it.

    Raises:
        FileExistsError: ``folder`` exists and may not be replaced.
        OSError: It cannot be written, or another run is writing it; names it.
        ValueError: The arrays and columns disagree, or there is no image.
    """
    folder = Path(os.path.abspath(folder))
    check_replaceable(folder, overwrite)
    _write_then_rename(content.as_prepared(folder), pictures or {})
    return load_prepared(folder)


def accept(folder: str | Path) -> Prepared:
    """Take what was changed by hand in table.csv or about.json over into the digests and counts.

    A folder that was prepared before there were digests gets them.

    Raises:
        FileNotFoundError: A file is missing.
        ValueError: A file cannot be read, an array is not as it was written, the rows are not in the
            order of the images, or two files disagree.
        OSError: about.json cannot be written, or another run is writing the folder; names it.
    """
    folder = Path(os.path.abspath(folder))
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}")
    with locked(_beside(folder, "partial.lock"), folder):
        prepared = load_prepared(folder, edited=True)
        with reading(folder / "about.json"):  # it may hold what is no text
            about = _about(prepared)
        write_whole(folder / "about.json", about)
        return load_prepared(folder)


def check_replaceable(folder: str | Path, overwrite: bool = False) -> None:
    """Check, before any work is done, that :func:`save_prepared` may write ``folder``.

    Raises:
        FileExistsError: ``folder`` exists, and ``overwrite`` is false or it holds other files.
    """
    folder = Path(folder)
    if not os.path.lexists(folder):
        return
    if not overwrite:
        raise FileExistsError(f"{folder} exists already; overwrite=True (--overwrite) replaces it")
    # Replacing means deleting: never a folder that holds anything but a prepared set.
    others = sorted(set(os.listdir(folder)) - _FILES) if folder.is_dir() else ["(not a folder)"]
    if others:
        raise FileExistsError(f"{folder} is not replaced: it holds {', '.join(others[:3])}")


@contextmanager
def scratch_folder(folder: str | Path, kind: str = "drawn") -> Iterator[Path]:
    """Provide the temporary folder .NAME.``kind`` beside the prepared folder ``folder``.

    It is empty, locked against other runs, and removed at the end; if the process is killed, by the
    next run.

    Raises:
        OSError: It cannot be made, or another run has it; names the folder.
    """
    folder = Path(os.path.abspath(folder))
    scratch = _beside(folder, kind)
    with locked(_beside(folder, f"{kind}.lock"), folder):
        remove_folder(scratch)
        scratch.mkdir()
        try:
            yield scratch
        finally:
            remove_folder(scratch)


def new_array(folder: Path | None, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return a uint8 array of zeros, in memory or in a file.

    Args:
        folder: Where to make the file; None keeps the array in memory.
        name: The name of the file.
        shape: The shape of the array.

    Raises:
        OSError: The disk has no room for the file; names it.
    """
    if folder is None:
        return np.zeros(shape, np.uint8)
    reserve(folder / name, math.prod(shape))
    return np.memmap(folder / name, np.uint8, "r+", shape=shape)


def _as_array(rows: Any) -> Any:
    """Return ``rows``, or an array of it where it is a list of images, for example."""
    return rows if hasattr(rows, "shape") else np.asarray(rows)


def _strings(values: Sequence[str]) -> np.ndarray:
    return np.asarray([str(value) for value in values])


def _write_then_rename(prepared: Prepared, pictures: Mapping[str, bytes]) -> None:
    folder = prepared.folder
    former = _beside(folder, "former")
    with scratch_folder(folder, "partial") as partial:
        with naming(folder):
            _write_files(partial, prepared, pictures)
        try:
            if folder.exists():
                remove_folder(former)
                _move(folder, former)
            _move(partial, folder)
        except BaseException:  # an interrupt may come after either move, too
            if folder.exists():
                remove_folder(former)
            elif former.exists():
                former.rename(folder)
            raise
        sync(folder.parent)
        remove_folder(former)


def _beside(folder: Path, kind: str) -> Path:
    return folder.with_name(f".{folder.name}.{kind}")


def _move(folder: Path, target: Path) -> None:
    try:
        folder.rename(target)
    except OSError as error:
        why = f"{error.strerror or error}; does a program have its files open?"
        raise OSError(f"{folder} cannot be moved to {target}: {why}") from error


def _write_files(folder: Path, prepared: Prepared, pictures: Mapping[str, bytes]) -> None:
    for name, array in prepared.arrays.items():
        _write_array(folder / name, array)
    for name, content in pictures.items():
        (folder / name).write_bytes(content)
    with open(folder / "table.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*FIXED_COLUMNS, *prepared.labels, *prepared.numbers])
        labels = [["" if v < 0 else int(v) for v in column] for column in prepared.labels.values()]
        labels += [["" if np.isnan(v) else str(v) for v in n] for n in prepared.numbers.values()]
        has_mask = prepared.has_mask.astype(int)
        writer.writerows(
            zip(prepared.ids, prepared.patients, prepared.splits, has_mask, *labels, strict=True)
        )
    (folder / "about.json").write_bytes(_about(prepared))
    for path in [*folder.iterdir(), folder]:
        sync(path)


def _about(prepared: Prepared) -> bytes:
    """The content of about.json."""
    about = {"skipped": [], **prepared.about, "counts": _counts(prepared)}
    about["pixels"] = {"dark": _dark_share(prepared.images), "dark_at_most": BACKGROUND}
    about["digests"] = prepared.array_digests | prepared.column_digests
    return (
        json.dumps(with_digest(about), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    ).encode()


def _dark_share(images: Any) -> float:
    """The share of pixels that are background: much of it in images that were padded or turned."""
    dark = sum(int(np.count_nonzero(part <= BACKGROUND)) for _, part in parts(images))
    return round(dark / math.prod(images.shape), 4)


def _write_array(path: Path, array: np.ndarray) -> None:
    """Write what ``np.save`` would, a part at a time."""
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": array.shape}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for _, part in parts(array):
            file.write(np.ascontiguousarray(part).data)


def _counts(prepared: Prepared) -> dict[str, Any]:
    counts: dict[str, Any] = {s: int(np.count_nonzero(prepared.splits == s)) for s in SPLITS}
    counts |= {"images": len(prepared), "has_mask": int(prepared.has_mask.sum())}
    counts["constant_masks"] = constant_masks(prepared)
    counts["labels"] = {
        name: {s: count_labels(values[prepared.splits == s]) for s in SPLITS}
        for name, values in prepared.labels.items()
    }
    return counts | {"patients": len(set(prepared.patients.tolist()))}
