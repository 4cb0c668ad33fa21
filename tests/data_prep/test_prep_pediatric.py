"""The pediatric set as it is published and unpacked, whole and broken, through the command line."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep.__main__ import main
from data_prep.pediatric import PAPER, list_pediatric
from ums.data.prepared import load_prepared

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "pediatric"
TRAIN = {
    "NORMAL/IM-0115-0001": "train/IM-0115",
    "NORMAL/IM-0115-0001-0002": "train/IM-0115",
    "NORMAL/NORMAL2-IM-0115-0001": "train/NORMAL2-IM-0115",
    "PNEUMONIA/person1_bacteria_1": "train/person1",
    "PNEUMONIA/person1_bacteria_2": "train/person1",
    "PNEUMONIA/person1_virus_6": "train/person1",
    "PNEUMONIA/person12_virus_7": "train/person12",
}
TEST = {
    "NORMAL/IM-0001-0001": "test/IM-0001",
    "PNEUMONIA/person1_bacteria_9": "test/person1",
    "PNEUMONIA/person1_virus_8": "test/person1",
}


def write(path, seed, shape=(20, 24)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    assert cv2.imwrite(str(path), image)


@pytest.fixture
def raw(tmp_path):
    names = [f"train/{name}" for name in TRAIN] + [f"test/{name}" for name in TEST]
    for seed, name in enumerate(names):
        write(tmp_path / "chest_xray" / f"{name}.jpeg", seed)
    return tmp_path / "chest_xray"


def prepare(raw, *more, out="out"):
    """Return the exit code and the prepared folder beside `raw`."""
    out = raw.parent / out
    return main(["pediatric", str(raw), str(out), "--size", "16", *more]), out


def skipped(out):
    return {entry["file"]: entry["why"] for entry in load_prepared(out).about["skipped"]}


def column(values, out):
    return dict(zip(load_prepared(out).ids.tolist(), values.tolist(), strict=True))


def test_names_give_class_patient_and_published_split(raw):
    code, out = prepare(raw)
    made = load_prepared(out)
    assert code == 0 and made.images.shape == (10, 16, 16) and not skipped(out)
    expected = {f"train/{name}.jpeg": patient for name, patient in TRAIN.items()}
    expected |= {f"test/{name}.jpeg": patient for name, patient in TEST.items()}
    assert column(made.patients, out) == expected
    assert column(made.splits, out) == {name: name.split("/")[0] for name in expected}
    assert column(made.labels["pneumonia"], out) == {
        name: 0 if "NORMAL/" in name else 1 if "bacteria" in name else 2 for name in expected
    }


def test_val_is_joined_to_train(raw):
    write(raw / "val" / "PNEUMONIA" / "person12_bacteria_3.jpeg", 50)
    (raw / "val" / "NORMAL").mkdir()
    _, out = prepare(raw)
    made = load_prepared(out)
    row = made.ids.tolist().index("val/PNEUMONIA/person12_bacteria_3.jpeg")
    assert made.splits[row] == "train" and made.patients[row] == "train/person12"


@pytest.mark.parametrize("nested", [".", "chest_xray", "chest_xray/chest_xray"])
def test_an_archive_unpacked_once_or_twice_is_found_and_its_hidden_files_are_not(raw, nested):
    root = raw.parent / "unpacked" / nested
    root.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(raw, root, dirs_exist_ok=True)
    write(root / "__MACOSX" / "train" / "NORMAL" / "IM-0300-0001.jpeg", 60)
    for name in ("._IM-0115-0001.jpeg", ".DS_Store"):
        (root / "train" / "NORMAL" / name).write_bytes(b"not an image")
    _, out = prepare(raw.parent / "unpacked")
    assert len(load_prepared(out)) == 10 and not skipped(out)


def test_what_lies_beside_the_two_classes_is_recorded(raw):
    write(raw / "train" / "COVID" / "person900_virus_1.jpeg", 60)
    write(raw / "test" / "person901_virus_1.jpeg", 61)
    _, out = prepare(raw)
    assert skipped(out) == {
        "train/COVID": "a folder, not searched",
        "test/person901_virus_1.jpeg": "in neither NORMAL nor PNEUMONIA",
    }


def test_the_outer_copy_is_read_once_where_the_archive_holds_two(raw):
    shutil.copytree(raw, raw.parent / "chest_xray" / "chest_xray")
    _, out = prepare(raw)
    assert len(load_prepared(out)) == 10 and not skipped(out)


def test_a_picture_in_train_and_test_stays_in_test_only(raw):
    source = raw / "test" / "PNEUMONIA" / "person1_virus_8.jpeg"
    shutil.copy(source, raw / "train" / "PNEUMONIA" / "person77_virus_99.jpeg")
    _, out = prepare(raw)
    why = "the same bytes as test/PNEUMONIA/person1_virus_8.jpeg"
    assert skipped(out) == {"train/PNEUMONIA/person77_virus_99.jpeg": why}
    assert load_prepared(out).about["found"]["train"]["viral"] == 3


def test_equal_pixels_in_another_file_are_a_duplicate_too(raw):
    source = raw / "train" / "NORMAL" / "IM-0115-0001.jpeg"
    again = raw / "train" / "NORMAL" / "IM-0400-0001.png"
    assert cv2.imwrite(str(again), cv2.imread(str(source), cv2.IMREAD_GRAYSCALE))
    _, out = prepare(raw)
    why = "the same pixels as train/NORMAL/IM-0115-0001.jpeg"
    assert skipped(out) == {"train/NORMAL/IM-0400-0001.png": why}


def test_patients_who_share_a_picture_share_a_name(raw):
    folder = raw / "train" / "PNEUMONIA"
    shutil.copy(folder / "person1_bacteria_1.jpeg", folder / "person5_bacteria_1.jpeg")
    write(folder / "person5_bacteria_2.jpeg", 70)
    _, out = prepare(raw)
    patients = column(load_prepared(out).patients, out)
    assert patients["train/PNEUMONIA/person5_bacteria_2.jpeg"] == "train/person1"


@pytest.mark.parametrize(
    "name",
    ["PNEUMONIA/person3_fungus_1", "PNEUMONIA/IM-0001-0001", "NORMAL/person1_virus_6", "NORMAL/x"],
)
def test_a_name_that_tells_no_class_is_recorded_or_under_strict_an_error(raw, name, capsys):
    write(raw / "train" / f"{name}.jpeg", 80)
    _, out = prepare(raw)
    assert "no class to read" in skipped(out)[f"train/{name}.jpeg"]
    code, out = prepare(raw, "--strict", out="strict")
    assert code == 2 and not out.exists() and f"{name}.jpeg: no class" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("gone", "missing"),
    [("train/*/*_virus_*", "viral"), ("test/*/*_bacteria_*", "bacterial"), ("test/N*/*", "normal")],
)
def test_a_class_without_an_image_is_an_error(raw, gone, missing, capsys):
    for path in raw.glob(gone):
        path.unlink()
    code, out = prepare(raw)
    error = capsys.readouterr().err
    assert code == 2 and not out.exists()
    assert f"{raw / gone.split('/')[0]} holds no {missing} image" in error


@pytest.mark.parametrize("level", ["train", "test", "../.."])
def test_the_wrong_folder_level_is_an_error(raw, level, capsys):
    code, _ = prepare(raw / level)
    error = capsys.readouterr().err
    assert code == 2 and "expected train and test in it" in error
    assert f"did you mean {raw}" in error or level == "../.."


def test_a_missing_class_folder_is_named(raw, capsys):
    shutil.rmtree(raw / "test" / "NORMAL")
    code, _ = prepare(raw)
    assert code == 2 and f"{raw / 'test'} holds no folder NORMAL" in capsys.readouterr().err


def test_counts_are_shown_beside_the_papers(raw, capsys):
    shutil.copy(raw / "train/NORMAL/IM-0115-0001.jpeg", raw / "train/NORMAL/IM-0400-0001.jpeg")
    _, out = prepare(raw)
    shown = capsys.readouterr().out
    train = "found images 8 (paper 5232); normal 4 (paper 1349); bacterial 2 (paper 2538)"
    assert f"Pediatric train, not the whole set: {train}" in shown and "kept 7 images" in shown
    assert "Pediatric test, not the whole set: found images 3 (paper 624)" in shown
    about = load_prepared(out).about
    assert about["found"]["train"] == {"images": 8, "normal": 4, "bacterial": 2, "viral": 2}
    assert about["counts"]["labels"]["pneumonia"]["train"] == {"0": 3, "1": 2, "2": 2}
    assert about["paper"] == PAPER and about["settings"] == {"size": 16, "split": "as published"}


@pytest.mark.skipif(not REAL.is_dir(), reason="no real images here")
def test_real_set_keeps_its_split_and_loses_its_duplicates_only(tmp_path):
    assert main(["pediatric", str(REAL), str(tmp_path / "out"), "--size", "16"]) == 0
    made = load_prepared(tmp_path / "out")
    assert len(made) + len(made.about["skipped"]) == len(list_pediatric(REAL).items)
    assert all("the same" in entry["why"] for entry in made.about["skipped"])
    assert set(made.splits) == {"train", "test"} and set(made.labels["pneumonia"]) == {0, 1, 2}
