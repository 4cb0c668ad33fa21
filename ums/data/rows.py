"""Arrays larger than memory, taken some rows at a time."""

import numpy as np

PART_BYTES = 1 << 24
"""How much of a large array is in memory at once."""


class Rows:
    """Rows `rows` of `array`, in that order, read when they are asked for; row -1 is all zeros.

    array: (M, ...), memory-mapped say; rows: (N,) integers. Stands for an array (N, ...) where that
    is asked for slices only, as in `data_prep.writing`: nothing is copied before.
    """

    def __init__(self, array, rows):
        self.array, self.rows = array, np.asarray(rows, dtype=np.intp)
        self.shape = (len(self.rows), *array.shape[1:])
        self.dtype, self.ndim = array.dtype, array.ndim
        self.size = int(np.prod(self.shape))

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, places):
        rows = self.rows[places]
        chosen = np.array(self.array[rows])
        chosen[rows < 0] = 0
        return chosen


def parts(array):
    """Yield (slice of rows, these rows) through `array` (N, ...), at most `PART_BYTES` a time."""
    row_bytes = array.dtype.itemsize * int(np.prod(array.shape[1:]))
    step = max(1, PART_BYTES // max(1, row_bytes))
    for start in range(0, len(array), step):
        places = slice(start, start + step)
        yield places, array[places]
