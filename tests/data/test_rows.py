"""Arrays taken some rows at a time."""

import numpy as np
import pytest

from ums.data import rows
from ums.data.rows import Rows, parts


@pytest.fixture
def array():
    return np.random.default_rng(0).integers(0, 2, (9, 4, 5), dtype=np.uint8)


def test_rows_are_those_asked_for_in_that_order_and_minus_one_is_empty(array):
    chosen = Rows(array, [5, -1, 2])
    assert chosen.shape == (3, 4, 5) and len(chosen) == 3 and chosen.size == 60
    np.testing.assert_array_equal(chosen[:], [array[5], 0 * array[0], array[2]])
    np.testing.assert_array_equal(chosen[2], array[2])
    assert not chosen[1].any()


def test_what_is_taken_is_a_copy(array):
    before = array.copy()
    Rows(array, [-1, 8])[:][:] = 7
    Rows(array, [-1, 8])[0][:] = 7
    np.testing.assert_array_equal(array, before)


def test_parts_are_small_and_cover_everything(array, monkeypatch):
    monkeypatch.setattr(rows, "PART_BYTES", 45)
    pieces = [part for _, part in parts(array)]
    assert max(map(len, pieces)) == 2
    np.testing.assert_array_equal(np.concatenate(pieces), array)


def test_a_row_larger_than_a_part_is_a_part(array, monkeypatch):
    monkeypatch.setattr(rows, "PART_BYTES", 3)
    assert [len(part) for _, part in parts(array)] == [1] * 9
