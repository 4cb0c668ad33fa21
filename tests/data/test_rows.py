"""Arrays taken some rows at a time."""

import numpy as np
import pytest

from ums.data import rows
from ums.data.prepared import load_prepared, save_prepared
from ums.data.rows import Rows, parts


@pytest.fixture
def array():
    return np.random.default_rng(0).integers(0, 2, (9, 4, 5), dtype=np.uint8)


def columns(n):
    text = [f"i{k}" for k in range(n)]
    return {"ids": text, "patients": text, "splits": ["train"] * n, "labels": {}}


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


def test_a_set_is_saved_part_by_part_as_if_it_were_an_array(array, tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "PART_BYTES", 45)
    places, has_mask = [4, 2, 8, 0, 1], np.array([True, False, True, True, True])
    masks = Rows(array, [4, -1, 8, 0, 1])
    images = Rows(array * 99, places)
    save_prepared(tmp_path / "a", images, masks=masks, has_mask=has_mask, **columns(5))
    whole = {"masks": masks[:], "has_mask": has_mask}
    save_prepared(tmp_path / "b", images[:], **whole, **columns(5))
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    saved = tmp_path / "images.npy"
    np.save(saved, images[:])
    assert saved.read_bytes() == (tmp_path / "a" / "images.npy").read_bytes()


@pytest.mark.parametrize(("value", "why"), [(2, "found 2"), (1, "has_mask is 0")])
def test_a_wrong_mask_is_found_in_any_part(array, tmp_path, value, why, monkeypatch):
    monkeypatch.setattr(rows, "PART_BYTES", 20)
    masks, has_mask = np.zeros_like(array), np.ones(9, bool)
    masks[7, 1, 1], has_mask[7] = value, value == 2
    with pytest.raises(ValueError, match=why):
        save_prepared(tmp_path / "a", array, masks=masks, has_mask=has_mask, **columns(9))


def test_what_a_killed_process_left_goes_and_what_a_live_one_has_stays(array, tmp_path):
    dead, alive = (tmp_path / f".a.partial-{pid}" for pid in (2**22 + 5, 1))
    other = tmp_path / ".ab.partial-4194309"
    for path in (dead, alive, other):
        path.mkdir()
    save_prepared(tmp_path / "a", array, **columns(9))
    assert not dead.exists() and alive.exists() and other.exists()


def test_pictures_are_part_of_the_folder_and_are_replaced_with_it(array, tmp_path):
    save_prepared(tmp_path / "a", array, pictures={"sheet.png": b"x"}, **columns(9))
    assert (tmp_path / "a" / "sheet.png").read_bytes() == b"x"
    save_prepared(tmp_path / "a", array, overwrite=True, **columns(9))
    assert not (tmp_path / "a" / "sheet.png").exists() and len(load_prepared(tmp_path / "a")) == 9
