"""Arrays larger than memory, taken some rows at a time."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

PART_BYTES = 1 << 24
"""How much of a large array is in memory at once."""


class Rows:
    """Chosen rows of an array, read only when they are asked for.

    It stands for an array (N, ...) wherever only slices are taken of that, as in
    :func:`ums.data.save_prepared`; nothing is copied before.

    Args:
        array: (M, ...), memory-mapped say.
        rows: (N,) integers, in any order; row -1 is all zeros.
    """

    def __init__(self, array: np.ndarray, rows: np.ndarray):
        self.array, self.rows = array, np.asarray(rows, dtype=np.intp)
        self.shape = (len(self.rows), *array.shape[1:])
        self.dtype, self.ndim = array.dtype, array.ndim
        self.size = int(np.prod(self.shape))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, places: slice | int | np.ndarray) -> np.ndarray:
        rows = self.rows[places]
        chosen = np.array(self.array[rows])
        chosen[rows < 0] = 0
        return chosen


def parts(array: np.ndarray | Rows) -> Iterator[tuple[slice, np.ndarray]]:
    """Go through an array (N, ...), at most :data:`PART_BYTES` at a time.

    Yields:
        A slice of the rows, and these rows.
    """
    row_bytes = array.dtype.itemsize * int(np.prod(array.shape[1:]))
    step = max(1, PART_BYTES // max(1, row_bytes))
    for start in range(0, len(array), step):
        places = slice(start, start + step)
        yield places, array[places]


def new_array(folder: Path | None, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A uint8 array of zeros, in memory or, if there is a folder, in the new file ``name`` there.

    Raises:
        OSError: the disk has no room for the file.
    """
    if folder is None:
        return np.zeros(shape, np.uint8)
    with open(folder / name, "wb") as file:
        if hasattr(os, "posix_fallocate"):  # else a full disk ends the process without a word
            os.posix_fallocate(file.fileno(), 0, math.prod(shape))
    return np.memmap(folder / name, np.uint8, "r+", shape=shape)
