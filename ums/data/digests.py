"""Whether a prepared set that was opened is the one that was written, and stays so.

``about.json`` holds a SHA-256 of each array and of each column of ``table.csv``, of the values that are read:
how a table is quoted or how its lines end is not in it. Rows belong to images by their order, so the
digest of the ids tells a table that was sorted.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np

from ums.data.prepared_set import Prepared
from ums.data.rows import parts
from ums.reading import digest_of

LARGE = 1 << 32
"""Arrays of more bytes are compared with their digests not when opened, but before a study uses them."""

FILES = {"images": "images.npy", "masks": "masks.npy", "opacities": "opacities.npy"}
"""Array of a set -> its file."""

REMEDY = "remove the folder and prepare it again"

TABLE = "table.csv "
"""Before the name of a column in the names of digests."""

_of_arrays: WeakKeyDictionary[Prepared, dict[str, str]] = WeakKeyDictionary()
_not_compared: WeakSet[Prepared] = WeakSet()
_versions: WeakKeyDictionary[Prepared, dict[Path, tuple[int, ...]]] = WeakKeyDictionary()


def digests(prepared: Prepared) -> dict[str, str]:
    """The digest of each array, computed once for a set, and of each column.

    Raises:
        ValueError: The set is large, and an array turns out not to be as it was written.
    """
    if prepared not in _of_arrays:
        there = {file: getattr(prepared, name) for name, file in FILES.items()}
        found = {file: _digest(array) for file, array in there.items() if array is not None}
        if prepared in _not_compared:
            _compare(prepared, found)
        _of_arrays[prepared] = found
    return _of_arrays[prepared] | _of_columns(prepared)


def _of_columns(prepared: Prepared) -> dict[str, str]:
    columns = {"id": prepared.ids, "patient": prepared.patients, "split": prepared.splits}
    columns |= {"has_mask": prepared.has_mask.astype(int)} | prepared.labels
    return {TABLE + name: digest_of(values.tolist()) for name, values in columns.items()}


def _digest(array: Any) -> str:
    digest = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
    for _, part in parts(array):
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


def verify(prepared: Prepared, edited: bool = False) -> None:
    """Compare a set that was opened with the digests in its about.json.

    Args:
        prepared: The set; its arrays are compared later if they are :data:`LARGE`.
        edited: Whether columns may be new, changed or gone, but for the ids.

    Raises:
        ValueError: A file is missing, new, damaged or changed; names it, and says what to do.
    """
    wanted, columns = prepared.about["digests"], _of_columns(prepared)
    if not isinstance(wanted, dict):
        raise ValueError(f"{prepared.folder / 'about.json'}: digests should be an object")
    there = {file for name, file in FILES.items() if getattr(prepared, name) is not None}
    if odd := sorted(there ^ (wanted.keys() & set(FILES.values()))):
        what = "is not of this set" if odd[0] in there else "is missing"
        raise ValueError(f"{prepared.folder / odd[0]} {what}: {REMEDY}")
    if edited:
        columns = {TABLE + "id": columns[TABLE + "id"]}
    elif gone := sorted(wanted.keys() - columns.keys() - there):
        _refuse_column(prepared, gone[0])
    _compare(prepared, columns)
    _versions[prepared] = {prepared.folder / f: _version(prepared.folder / f) for f in there}
    _not_compared.add(prepared)
    if sum(getattr(prepared, n).nbytes for n, f in FILES.items() if f in there) <= LARGE:
        digests(prepared)


def _compare(prepared: Prepared, found: dict[str, str]) -> None:
    wanted = prepared.about["digests"]
    for name, digest in found.items():
        if wanted.get(name) != digest:
            if name.startswith(TABLE):
                _refuse_column(prepared, name)
            path = prepared.folder / name
            raise ValueError(f"{path} is damaged or another set's: {REMEDY}")


def _refuse_column(prepared: Prepared, name: str) -> None:
    table, column = prepared.folder / "table.csv", name.removeprefix(TABLE)
    if column == "id":
        raise ValueError(
            f"{table}: the ids are not those of the images in their order (was the table sorted?): "
            f"bring the rows back into it, or {REMEDY}"
        )
    raise ValueError(
        f"{table}: the column {column!r:.200} is not as it was written; if it was changed on purpose, "
        f"`python -m data_prep accept {prepared.folder}` keeps it"
    )


# ------------------------------------------------------------------------ while it is open


def check_untouched(prepared: Prepared) -> None:
    """Check that no file of a set was written to in its place since it was opened.

    The arrays are memory-mapped: they would change with the file. A file that was replaced by another is no
    matter, since the one that was opened stays as it is.

    Raises:
        ValueError: A file was written to; names it.
    """
    for path, before in _versions.get(prepared, {}).items():
        now = _version(path) if path.exists() else before
        if now[0] == before[0] and now != before:
            raise ValueError(f"{path} was written to while it was open: start again")


def _version(path: Path) -> tuple[int, ...]:
    """What changes when a file is written to (size, time) or replaced (the inode, which is first)."""
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns
