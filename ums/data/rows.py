"""Arrays larger than memory, taken some rows at a time."""

from collections.abc import Iterator

import numpy as np

PART_BYTES = 1 << 24
"""How much of a large array is in memory at once."""


class Rows:
    """Rows (N,) of an array (M, ...), in any order, read only when they are used; row -1 is all zeros.

    It can replace an array (N, ...) of which only slices are taken, as when a prepared folder is
    written.
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
    """Yield slices of the rows of an array (N, ...) with these rows, :data:`PART_BYTES` at most."""
    row_bytes = array.dtype.itemsize * int(np.prod(array.shape[1:]))
    step = max(1, PART_BYTES // max(1, row_bytes))
    for start in range(0, len(array), step):
        places = slice(start, start + step)
        yield places, array[places]
