"""What a prepared set cannot be made from is refused in one line, before anything is written."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep import rsna
from data_prep.boxes import check_within
from data_prep.doppler import check_numbers
from data_prep.echo import prepare_echo, prepare_echo_folder
from data_prep.listing import Item
from data_prep.montgomery import list_montgomery
from data_prep.options import Options
from data_prep.patients import name_patients
from data_prep.pediatric import list_pediatric
from data_prep.reading import _check_image, _check_mask, _cut, _small_mask
from data_prep.rsna import list_rsna
from data_prep.shenzhen import list_shenzhen
from data_prep.splits import split_by_patient
from data_prep.synthetic import make_synthetic
from data_prep.synthetic_sets import Sizes
from data_prep.tables import read_table
from data_prep.unlabelled import list_unlabelled
from data_prep.writing import accept, check_replaceable

LISTINGS = (list_montgomery, list_shenzhen, list_pediatric, list_rsna, list_unlabelled)


@pytest.mark.parametrize("listed", [*LISTINGS, accept], ids=lambda f: f.__name__)
def test_a_folder_that_is_not_there_is_named(listed, tmp_path):
    there = re.escape(str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match=rf"^no folder {there}$"):
        listed(tmp_path / "none")


@pytest.mark.parametrize(
    ("listed", "folders", "error", "why"),
    [
        (list_montgomery, [], FileNotFoundError, "holds no folder CXR_png"),
        (list_montgomery, ["CXR_png"], FileNotFoundError, "holds no folder ManualMask"),
        (list_montgomery, ["CXR_png", "ManualMask/leftMask"], FileNotFoundError, "no folder right"),
        (list_montgomery, ["CXR_png", "ManualMask/leftMask", "ManualMask/rightMask"], ValueError,
         r"CXR_png holds no \.png image"),
        (list_shenzhen, [], FileNotFoundError, "holds no folder CXR_png"),
        (list_shenzhen, ["CXR_png", "mask"], ValueError, r"CXR_png holds no \.png image"),
        (list_pediatric, ["train"], FileNotFoundError, "holds no folder test"),
        (list_pediatric, ["train/NORMAL", "test/NORMAL"], FileNotFoundError, "no folder PNEUMONIA"),
        (list_rsna, [], FileNotFoundError, f"holds no folder {rsna.TRAIN}"),
        (list_rsna, [rsna.TRAIN], ValueError, r"holds no \.dcm image"),
        (list_unlabelled, ["a/b"], ValueError, r"holds no image \(.*\) at any depth$"),
    ],
)  # fmt: skip
def test_a_folder_without_its_parts_is_refused(listed, folders, error, why, tmp_path):
    for name in folders:
        (tmp_path / "raw" / name).mkdir(parents=True)
    (tmp_path / "raw").mkdir(exist_ok=True)
    with pytest.raises(error, match=why):
        listed(tmp_path / "raw")


def item(*boxes):
    return Item("a", "p", Path("a.png"), boxes=boxes)


def image(*shape, dtype=np.uint8):
    return np.ones(shape, dtype)


RNG = np.random.default_rng(0)
WISHES = {
    "no images": (lambda: make_synthetic(0, 64, RNG), "^0 images asked for"),
    "small": (lambda: make_synthetic(2, 1, RNG), "^images of 1 pixels asked for"),
    "hospital": (lambda: make_synthetic(2, 64, RNG, "Z"), "^hospital 'Z' asked for"),
    "share": (lambda: make_synthetic(2, 64, RNG, abnormal_fraction=1.5), "^abnormal_fraction 1.5"),
    "no screens": (lambda: check_numbers(0, 64, 0), "^0 images asked for"),
    "small screens": (lambda: check_numbers(1, 1, 1), "^images of 1 pixels"),
    "no patients": (lambda: check_numbers(2, 64, 0), "^0 patients for 2 images"),
    "many patients": (lambda: check_numbers(2, 64, 3), "^3 patients for 2 images"),
    "two shares": (lambda: split_by_patient(["a"], (0.5, 0.5), RNG), "should be three"),
    "negative share": (lambda: split_by_patient(["a"], (1.5, -0.5, 0), RNG), "should be three"),
    "share of 0.9": (lambda: split_by_patient(["a"], (0.7, 0.1, 0.1), RNG), "sum to 1"),
    "nobody": (lambda: split_by_patient([], (0.7, 0.2, 0.1), RNG), "^no patient to split"),
    "expression": (lambda: name_patients(["a"], [None], "("), "no regular expression"),
    "group": (lambda: name_patients(["a"], [None], "a"), "should have a group"),
    "other name": (lambda: name_patients(["a"], [None], "(b)"), "finds no patient in a"),
    "empty group": (lambda: name_patients(["a"], [None], "a(b?)"), "finds no patient in a"),
    "box beyond": (lambda: check_within(item((2.0, 0.0, 4.0, 2.0)), (4, 4)), "leaves its 4 x 4"),
    "box outside": (lambda: check_within(item((0.0, 4.0, 1.0, 1.0)), (4, 4)), "leaves its 4 x 4"),
    "cut before": (lambda: _cut(image(4, 5), (-1, 0, 2, 2)), "from 0, 0, 1, 1"),
    "cut of nothing": (lambda: _cut(image(4, 5), (0, 0, 2, 0)), "from 0, 0, 1, 1"),
    "cut too wide": (lambda: _cut(image(4, 5), (4, 0, 2, 2)), "not within its 5 x 4 pixels"),
    "cut too high": (lambda: _cut(image(4, 5), (0, 3, 2, 2)), "not within its 5 x 4 pixels"),
    "grey of 16 bits": (lambda: _check_image(image(4, 5, dtype=np.uint16), False), "to uint16"),
    "colour": (lambda: _check_image(image(4, 5, 3), False), r"should be uint8 \(H, W\)$"),
    "no colour": (lambda: _check_image(image(4, 5), True), r"should be uint8 \(H, W, 3\)"),
    "a line": (lambda: _check_image(image(4), False), r"decoded to uint8 \(4,\)"),
    "no pixels": (lambda: _check_image(image(0, 5), False), r"decoded to uint8 \(0, 5\)"),
    "mask's shape": (lambda: _check_mask(image(4, 5), "m", (5, 4)), "m is 4 x 5 .* 5 x 4$"),
    "mask's type": (lambda: _check_mask(image(4, 5, dtype=int), "m", (4, 5)), "m decoded to int"),
    "mask of 2": (lambda: _check_mask(2 * image(4, 5), "m", (4, 5)), "uint8 up to 2"),
    "empty mask": (lambda: _small_mask(0 * image(4, 5), 2), "nothing is left .* 2 x 2 pixels"),
    "echo's box": (lambda: prepare_echo_folder("a", "b", Options(), box=(1, 2, 3)), "x, y, width, height"),
    "few images": (lambda: Sizes(19), "^19 synthetic images"),
    "few labels": (lambda: Sizes(labels=5), "^5 labelled images"),
    "no replicate": (lambda: Sizes(replicates=0), "^0 replicates, 0 with"),
    "no echo": (lambda: prepare_echo("a", 300, Options(), replicates=0), "^0 replicates asked"),
}  # fmt: skip


@pytest.mark.parametrize(("wish", "why"), WISHES.values(), ids=WISHES)
def test_what_cannot_be_is_refused_with_its_numbers(wish, why):
    with pytest.raises(ValueError, match=why):
        wish()


@pytest.mark.parametrize(
    ("text", "error", "why"),
    [
        (None, FileNotFoundError, "is missing, the table with the columns id, age"),
        (b"id;age\n", ValueError, "exactly once: id, age; found id;age"),
        (b"id,age,ID\n", ValueError, "exactly once: id; found"),
        (b"\xff\xfe\x00", ValueError, "is not readable as CSV"),
        (b"", ValueError, "exactly once: id, age"),
    ],
)
def test_a_table_without_its_columns_is_refused(text, error, why, tmp_path):
    if text is not None:
        (tmp_path / "t.csv").write_bytes(text)
    with pytest.raises(error, match=why):
        read_table(tmp_path / "t.csv", ("id", "age"))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({}, "a dict, should be a list"),
        ([{"subset_img_id": "a", "img_id": "1.png"}], "should be like 00000001_000.png"),
        ([{"subset_img_id": "a", "img_id": f"0000000{n}_000.png"} for n in (1, 2)], "'a' twice"),
        ([{"img_id": "00000001_000.png"}], "subset_img_id"),
        ([{"subset_img_id": "b", "img_id": "00000001_000.png"}], "names none of the 1 images"),
    ],
)
def test_another_mapping_than_rsnas_is_refused(content, why, tmp_path):
    (tmp_path / rsna.TRAIN).mkdir()
    (tmp_path / rsna.TRAIN / "a.dcm").write_bytes(b"")
    (tmp_path / rsna.MAPPING).write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match=why):
        list_rsna(tmp_path, labelled=False)


def test_only_a_prepared_set_is_replaced_and_only_if_asked(tmp_path):
    check_replaceable(tmp_path / "new")
    (tmp_path / "file").write_text("mine")
    for folder, overwrite, why in (
        (tmp_path, False, "exists already"),
        (tmp_path, True, "holds file"),
        (tmp_path / "file", True, "not a folder"),
    ):
        with pytest.raises(FileExistsError, match=why):
            check_replaceable(folder, overwrite)


def test_a_class_of_the_pediatric_set_without_an_image_is_refused(tmp_path):
    for side in ("train", "test"):
        for kind in ("NORMAL", "PNEUMONIA"):
            (tmp_path / side / kind).mkdir(parents=True)
    assert cv2.imwrite(str(tmp_path / "train" / "NORMAL" / "IM-0001-0001.jpeg"), image(4, 5))
    with pytest.raises(ValueError, match="train holds no bacterial and no viral image"):
        list_pediatric(tmp_path)
