"""The files of records: their names, and reading them."""

from pathlib import Path
from typing import Any

from ums.checkpoint import read_kept
from ums.reading import digest_of, read_verified, reading


def file_name(key: dict[str, Any]) -> str:
    """The file name, without suffix, for the job and the key in a full key."""
    return f"{key['job']}-{digest_of(key)[:12]}"


def read_record(path: Path) -> dict[str, Any]:
    """Read a record; the file's name says to which job and key it must belong.

    Raises:
        ValueError: The file cannot be read, is not as it was written, or belongs to another job; names it.
    """
    record = read_verified(path, "key", "arrays")
    with reading(path):
        if path.stem != (own := file_name(record["key"])):
            raise ValueError(f"it was written as {own}{path.suffix}")
    return record


def read_arrays(path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Read the arrays beside the record in the file ``path``, by name; there may be none.

    Raises:
        ValueError: Their file is missing, cannot be read, or belongs to another record; names it.
    """
    return read_kept(path.with_suffix(".npz"), record["key"])[0] if record["arrays"] else {}
