"""Writing a prepared folder: whole or not at all, a part at a time."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from full_disk import FULL, files_of_at_most, nothing

from data_prep.__main__ import main
from data_prep.writing import Content, save_prepared, scratch_folder
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
        if self.name.endswith(".partial"):
            raise OSError("gone")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_for_the_new_one)
    with pytest.raises(OSError, match="gone"):
        save_prepared(folder, content(pictures(rng)), overwrite=True)
    assert os.listdir(folder.parent) == ["set"] and load_prepared(folder).masks is not None


def test_an_empty_set_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"images\.npy must be .* got \(0, 8, 8\)"):
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


@pytest.mark.parametrize(("value", "why"), [(2, "got values up to 2"), (1, "has_mask is 0")])
def test_a_wrong_mask_is_found_in_any_part(array, tmp_path, value, why, monkeypatch):
    monkeypatch.setattr(rows, "PART_BYTES", 20)
    masks, has_mask = np.zeros_like(array), np.ones(9, bool)
    masks[7, 1, 1], has_mask[7] = value, value == 2
    with pytest.raises(ValueError, match=why):
        save_prepared(tmp_path / "a", content(array, masks=masks, has_mask=has_mask))


@pytest.mark.parametrize("left", ["partial", "former"])
def test_what_a_killed_run_left_goes(left, array, tmp_path):
    save_prepared(tmp_path / "a", content(array))
    for name in (f".a.{left}", ".ab.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "images.npy").write_bytes(b"half")
    (tmp_path / ".a.partial.lock").touch()
    save_prepared(tmp_path / "a", content(array), overwrite=True)
    assert sorted(os.listdir(tmp_path)) == [".ab.partial", "a"]


def test_the_old_set_stays_if_a_kill_between_the_two_renames_is_followed_by_a_failure(
    folder, rng, monkeypatch
):
    former = folder.rename(folder.with_name(".set.former"))
    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space left"):
        patch.setattr(json, "dumps", nothing(FULL))
        save_prepared(folder, content(pictures(rng)))
    assert load_prepared(former).masks is not None


@pytest.mark.parametrize("kind", ["drawn", "partial"])
def test_a_folder_that_another_run_writes_is_refused_by_name_and_left_alone(kind, tmp_path, array):
    with scratch_folder(tmp_path / "a", kind) as theirs:
        (theirs / "file").touch()
        with pytest.raises(OSError, match=f"at work in {tmp_path / 'a'}: wait"):
            with scratch_folder(tmp_path / "a", kind):
                pass
        assert (theirs / "file").exists()
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_moved_is_named_and_stays(folder, rng, monkeypatch):
    monkeypatch.setattr(Path, "rename", nothing(PermissionError(13, "Access is denied")))
    with pytest.raises(OSError, match=f"{folder} cannot be moved to .*denied; does a program have"):
        save_prepared(folder, content(pictures(rng)), overwrite=True)
    assert os.listdir(folder.parent) == ["set"] and load_prepared(folder).masks is not None


@pytest.mark.parametrize("full", ["write_array", "fsync", "dumps"])
def test_a_full_disk_names_the_prepared_folder_and_leaves_nothing(
    full, tmp_path, array, monkeypatch
):
    owner = {"write_array": np.lib.format, "fsync": os, "dumps": json}[full]
    name = {"write_array": "write_array_header_1_0"}.get(full, full)
    monkeypatch.setattr(owner, name, nothing(FULL))
    with pytest.raises(OSError, match=f"cannot write {tmp_path}.*: No space left"):
        save_prepared(tmp_path / "a", content(array))
    assert os.listdir(tmp_path) == []


COMMANDS = {
    "synthetic": ["--images", "20"],
    "cxr": ["--images", "80"],
    "echo": ["--images", "120", "--patients", "20"],
}


@pytest.mark.parametrize("size", [100, 6000, 30_000])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_names_what_a_full_disk_did_not_take(command, size, tmp_path, capsys):
    with files_of_at_most(size):
        code = main([command, str(tmp_path / "out"), *COMMANDS[command], "--size", "32"])
    said = capsys.readouterr().err.splitlines()[-1]
    assert code == 2 and re.fullmatch(rf"error: cannot write {tmp_path}/\S+: File too large", said)
    assert [path for path in tmp_path.rglob(".*")] == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path, capsys):
    (tmp_path / "file").touch()
    for command, options in COMMANDS.items():
        assert main([command, str(tmp_path / "file" / "out"), *options, "--size", "32"]) == 2
        said = capsys.readouterr().err
        assert str(tmp_path / "file") in said and said.count("error:") == 1


def test_pictures_are_part_of_the_folder_and_are_replaced_with_it(array, tmp_path):
    save_prepared(tmp_path / "a", content(array), pictures={"sheet.png": b"x"})
    assert (tmp_path / "a" / "sheet.png").read_bytes() == b"x"
    save_prepared(tmp_path / "a", content(array), overwrite=True)
    assert not (tmp_path / "a" / "sheet.png").exists() and len(load_prepared(tmp_path / "a")) == 9


@pytest.mark.parametrize("moved", [1, 2])
def test_an_interrupt_just_after_a_move_leaves_one_whole_set(moved, folder, rng, monkeypatch):
    rename, count = Path.rename, 0

    def interrupted(self, target):
        nonlocal count
        count += 1
        rename(self, target)
        if count == moved:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_prepared(folder, content(pictures(rng)), overwrite=True)
    assert os.listdir(folder.parent) == ["set"]
    assert (load_prepared(folder).masks is None) == (moved == 2)


def test_accept_waits_for_no_other_run(folder, capsys):
    with scratch_folder(folder, "partial"):
        assert main(["accept", str(folder)]) == 2
    assert "another run is at work" in capsys.readouterr().err
    assert main(["accept", str(folder)]) == 0 and os.listdir(folder.parent) == ["set"]


def test_accept_of_no_folder_makes_none(tmp_path, capsys):
    assert main(["accept", str(tmp_path / "a" / "b")]) == 2
    assert "a/b" in capsys.readouterr().err and os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "edit",
    [
        {"name": "My Shenzhen"},
        *({"found": 3}, {"skipped": 3}, {"skipped": [1]}),
        *({"other_files": []}, {"found": {"train": {}}, "name": "Pediatric"}),
    ],
    ids=str,
)
def test_any_edit_of_about_is_accepted_and_reported_in_lines(edit, folder, capsys):
    path = folder / "about.json"
    about = json.loads(path.read_text()) | {"name": "Shenzhen", "found": {"images": 10}}
    path.write_text(json.dumps(about | edit))
    assert main(["accept", str(folder)]) == 0
    assert f"{path} was edited" in capsys.readouterr().out.splitlines()[-1]


def test_about_counts_images_masks_patients_and_labels_part_by_part(tmp_path, rng):
    masks = np.zeros((6, 8, 6), np.uint8)
    masks[:3, :4] = 1
    made = Content(
        pictures(rng, 6), list("abcdef"), list("ppqrst"), ["train"] * 3 + ["validation"] + ["test"] * 2,
        {"ill": np.array([0, 1, 1, -1, 0, 0])}, masks=masks, has_mask=np.arange(6) < 3,
    )  # fmt: skip
    save_prepared(tmp_path / "set", made)
    assert json.loads((tmp_path / "set" / "about.json").read_text("utf-8"))["counts"] == {
        "images": 6, "patients": 5, "train": 3, "validation": 1, "test": 2, "has_mask": 3,
        "constant_masks": {"0": 0, "1": 0},
        "labels": {"ill": {"train": {"0": 1, "1": 2}, "validation": {}, "test": {"0": 2}}},
    }  # fmt: skip
