"""Writing a prepared folder: whole or not at all, a part at a time."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from data_prep.writing import Content, save_prepared
from ums.data import rows
from ums.data.prepared import load_prepared
from ums.data.rows import Rows


def content(images, **changes):
    names, splits = [f"i{k}" for k in range(len(images))], ["train"] * len(images)
    return Content(images, ids=names, patients=names, splits=splits, labels={}, **changes)


def pictures(rng, n=10):
    return rng.integers(0, 256, (n, 8, 6), dtype=np.uint8)


@pytest.fixture
def array():
    return np.random.default_rng(0).integers(0, 2, (9, 4, 5), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path, rng):
    images = pictures(rng)
    save_prepared(tmp_path / "set", content(images, masks=(images > 99).astype(np.uint8)))
    return tmp_path / "set"


def test_the_same_set_gives_the_same_bytes(tmp_path, rng):
    images = pictures(rng)
    for name, about in (("a", {"x": 1, "y": [2]}), ("b", {"y": [2], "x": 1})):
        save_prepared(tmp_path / name, content(images, about=about))
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_an_existing_folder_is_refused_and_left_alone(folder, rng):
    before = (folder / "images.npy").read_bytes()
    with pytest.raises(FileExistsError, match="overwrite"):
        save_prepared(folder, content(pictures(rng)))
    assert (folder / "images.npy").read_bytes() == before


def test_overwrite_replaces_the_whole_folder(folder, rng):
    back = save_prepared(folder, content(pictures(rng)), overwrite=True)
    assert back.masks is None and os.listdir(folder.parent) == ["set"]


def test_overwrite_does_not_delete_a_folder_with_other_files(folder, rng):
    (folder / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match=r"thesis\.tex"):
        save_prepared(folder, content(pictures(rng)), overwrite=True)
    assert (folder / "thesis.tex").exists()


def test_a_failure_while_writing_leaves_the_old_set_and_nothing_else(folder, rng, monkeypatch):
    def full(*_, **__):
        raise OSError("no space left")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(json, "dumps", full)
        save_prepared(folder, content(pictures(rng)), overwrite=True)
    assert os.listdir(folder.parent) == ["set"]
    assert load_prepared(folder).masks is not None


def test_a_failure_of_the_last_step_brings_the_old_set_back(folder, rng, monkeypatch):
    rename = Path.rename

    def fail_for_the_new_one(self, target):
        if ".partial-" in self.name:
            raise OSError("gone")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    with pytest.raises(OSError, match="gone"):
        save_prepared(folder, content(pictures(rng)), overwrite=True)
    assert os.listdir(folder.parent) == ["set"] and load_prepared(folder).masks is not None


def test_an_empty_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"images\.npy must be one or more"):
        save_prepared(tmp_path / "e", content(np.zeros((0, 8, 8), np.uint8)))
    assert not os.listdir(tmp_path)


def test_float_images_are_refused(tmp_path):
    with pytest.raises(ValueError, match="float32"):
        save_prepared(tmp_path / "f", content(np.zeros((10, 8, 8), np.float32)))


def test_a_set_is_saved_part_by_part_as_if_it_were_an_array(array, tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "PART_BYTES", 45)
    places, has_mask = [4, 2, 8, 0, 1], np.array([True, False, True, True, True])
    masks = Rows(array, [4, -1, 8, 0, 1])
    images = Rows(array * 99, places)
    save_prepared(tmp_path / "a", content(images, masks=masks, has_mask=has_mask))
    save_prepared(tmp_path / "b", content(images[:], masks=masks[:], has_mask=has_mask))
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()
    saved = tmp_path / "images.npy"
    np.save(saved, images[:])
    assert saved.read_bytes() == (tmp_path / "a" / "images.npy").read_bytes()


@pytest.mark.parametrize(("value", "why"), [(2, "found values up to 2"), (1, "has_mask is 0")])
def test_a_wrong_mask_is_found_in_any_part(array, tmp_path, value, why, monkeypatch):
    monkeypatch.setattr(rows, "PART_BYTES", 20)
    masks, has_mask = np.zeros_like(array), np.ones(9, bool)
    masks[7, 1, 1], has_mask[7] = value, value == 2
    with pytest.raises(ValueError, match=why):
        save_prepared(tmp_path / "a", content(array, masks=masks, has_mask=has_mask))


def test_what_a_killed_process_left_goes_and_what_a_live_one_has_stays(array, tmp_path):
    dead, alive = (tmp_path / f".a.partial-{pid}" for pid in (2**22 + 5, 1))
    other = tmp_path / ".ab.partial-4194309"
    for path in (dead, alive, other):
        path.mkdir()
    save_prepared(tmp_path / "a", content(array))
    assert not dead.exists() and alive.exists() and other.exists()


def test_pictures_are_part_of_the_folder_and_are_replaced_with_it(array, tmp_path):
    save_prepared(tmp_path / "a", content(array), pictures={"sheet.png": b"x"})
    assert (tmp_path / "a" / "sheet.png").read_bytes() == b"x"
    save_prepared(tmp_path / "a", content(array), overwrite=True)
    assert not (tmp_path / "a" / "sheet.png").exists() and len(load_prepared(tmp_path / "a")) == 9
