"""A folder of one's own images, masks and labels.csv becomes a prepared folder."""

import json

import cv2
import numpy as np
import pytest
from raw_files import reasons, write

from data_prep.__main__ import main
from data_prep.folder import list_folder
from data_prep.images import resize_classes
from ums.data import load_prepared

NAMES = [f"images/f{k}.png" for k in range(8)]
TABLE = """File,Patient,view,age,effusion,remark
f0.png,A,AP,20.5,1,one
f1,A,PA,-3,0.0,two
images/f2.png,B,,1e3,,three
F3.PNG,B,AP,,1,four
f4.png,C,PA,4,0,five
f5.png,D,AP,5,1,six
f6.png,E,PA,6,0,seven
f7.png,F,AP,7,1,eight
"""


@pytest.fixture
def raw(tmp_path):
    write(tmp_path / "raw", *NAMES)
    for k, name in enumerate(NAMES):  # no two alike
        pixels = np.random.default_rng(k).integers(0, 256, (16, 16), np.uint8)
        (tmp_path / "raw" / name).write_bytes(cv2.imencode(".png", pixels)[1])
    (tmp_path / "raw" / "labels.csv").write_text(TABLE)
    return tmp_path / "raw"


def draw_mask(raw, name, *values, shape=(16, 16)):
    mask = np.resize(np.repeat(np.array(values, np.uint8), 3), shape)
    (raw / "masks").mkdir(exist_ok=True)
    (raw / "masks" / name).write_bytes(cv2.imencode(".png", mask)[1])
    return mask


def items_of(raw):
    return {item.id: item for item in list_folder(raw).items}


def why_of(raw):
    return reasons(raw, list_folder(raw).problems)


def test_columns_are_classes_numbers_and_labels_where_they_are_known(raw):
    listing = list_folder(raw)
    labels = [item.labels for item in listing.items]
    assert labels[0] == {"view": 0, "age": 20.5, "effusion": 1}
    assert labels[1:3] == [{"view": 1, "age": -3.0, "effusion": 0}, {"age": 1000.0}]
    assert listing.about["label_values"] == {"view": {"0": "AP", "1": "PA"}}
    assert listing.about["understood"] == {
        "column view": "classes AP: 4, PA: 3; 1 not known",
        "column age": "numbers -3 to 1000; 1 not known",
        "column effusion": "label, 1 in 4 of 7; 1 not known",
        "column remark": "left out: 8 different texts; 0 not known",
    }
    assert [item.patient for item in listing.items] == [*"AABBCDEF"] and not listing.problems


def test_what_is_prepared_is_read_and_what_was_understood_printed(raw, tmp_path, capsys):
    for k in range(6):
        draw_mask(raw, f"f{k}.png", 0, 127, 255)
    assert main(["folder", str(raw), str(tmp_path / "out"), "--size", "16"]) == 0
    printed = capsys.readouterr().out
    assert "column age: numbers -3 to 1000; 1 not known" in printed
    shares = "0: 0 (34.0%), 127: 1 (33.2%), 255: 2 (32.8%)"  # 87, 85 and 84 of 256 pixels
    assert f"masks: 6, grey value, its class and share {shares}\n" in printed
    back = load_prepared(tmp_path / "out")
    assert back.mask_classes == 3 and back.has_mask.tolist() == [True] * 6 + [False] * 2
    expected = np.resize(np.repeat([0, 1, 2], 3), (16, 16))
    np.testing.assert_array_equal(back.masks[0], expected)
    np.testing.assert_array_equal(
        back.numbers["age"], np.float32([20.5, -3, 1e3, np.nan, 4, 5, 6, 7])
    )
    assert back.labels["view"].tolist() == [0, 1, -1, 0, 1, 0, 1, 0]
    about = json.loads((tmp_path / "out" / "about.json").read_text())
    assert about["understood"]["column view"] == "classes AP: 4, PA: 3; 1 not known"


def test_masks_of_two_values_may_be_empty(raw, tmp_path):
    for k, values in enumerate([(0, 255), (0,), (255,)]):
        draw_mask(raw, f"f{k}.png", *values)
    assert {item.values for item in items_of(raw).values()} == {(0, 255), ()}
    main(["folder", str(raw), str(tmp_path / "out"), "--size", "16"])
    back = load_prepared(tmp_path / "out")
    assert back.has_mask.sum() == 3 and back.masks[:3].mean((1, 2)).tolist()[1:] == [0, 1]


def test_masks_that_were_not_saved_alike_are_asked_about(raw):
    draw_mask(raw, "f0.png", 0, 255)
    draw_mask(raw, "f1.png", 0, 1)
    assert "no mask has more than two" in list_folder(raw).about["understood"]["masks"]
    draw_mask(raw, "f2.png", 0, 1, 255)
    assert "no mask has more" not in list_folder(raw).about["understood"]["masks"]


def test_jpeg_masks_are_taken_where_they_lost_nothing(raw):
    draw_mask(raw, "f0.png", 0, 255)
    drawn = np.where(np.hypot(*np.mgrid[-8:8, -8:8]) < 5, 255, 0)
    for name, mask in (("f1", drawn), ("f2", np.full((16, 16), 255))):
        (raw / "masks" / f"{name}.jpg").write_bytes(cv2.imencode(".jpg", mask)[1])
    why = why_of(raw)["masks/f1.jpg"]
    assert why.endswith(
        "grey values, should be 2 at most: saved with loss, not as PNG?; its image is kept"
    )
    items = items_of(raw)
    assert [len(items[f"f{k}.png"].masks) for k in (0, 1, 2)] == [1, 0, 1]


@pytest.mark.parametrize(
    ("name", "values", "why"),
    [
        (
            "f0_mask.png",
            (0, 255),
            r"masks: none of 1 masks can be used; f0_mask\.png: a mask without an",
        ),
        ("f0.png", range(40), r"none of 1 masks can be used; f0\.png: 40 grey values"),
        ("f0.png", (0,), "masks: every pixel of all 1 masks is 0"),
    ],
)
def test_masks_of_no_use_are_refused(name, values, why, raw):
    draw_mask(raw, name, *values)
    with pytest.raises(ValueError, match=why):
        list_folder(raw)


def test_what_does_not_belong_together_is_named_before_an_image_is_read(raw):
    write(raw, "images/f1.jpg", "images/extra.png", "masks/other.png")
    draw_mask(raw, "f3.png", 0, 255, shape=(16, 12))
    draw_mask(raw, "f2.png", *range(40))
    draw_mask(raw, "f4.png", 0, 255)
    (raw / "labels.csv").write_text(TABLE + "f77.png,G,AP,,,\nf0.png,A,,,,\n")
    same = "another image has the same stem: whose is a mask or a row of that name?"
    assert why_of(raw) == {
        "images/f1.png": same,
        "images/f1.jpg": same,
        "images/extra.png": "no row in labels.csv",
        "images/f0.png": "row 11 of labels.csv: f0.png again, after row 2",
        "labels.csv": "row 10 of labels.csv: no such image: f77.png",
        "masks/other.png": "a mask without an image",
        "masks/f2.png": "40 grey values, should be 25 at most: saved with loss, not as PNG?; "
        "its image is kept",
        "masks/f3.png": "(16, 12) pixels (height, width), its image (16, 16); its image is kept",
    }
    assert {*items_of(raw)} == {f"f{k}.png" for k in (0, 2, 3, 4, 5, 6, 7)}


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("f4.png,C", "f4.png,", "row 6 of labels.csv: patient is ''"),
        ("f4.png,C", "f4.png,C\u2028D", r"row 6 of labels.csv: patient is 'C\u2028D'"),
    ],
)
def test_row_that_cannot_be_used_is_named(raw, old, new, why):
    (raw / "labels.csv").write_text(TABLE.replace(old, new), encoding="utf-8")
    assert why_of(raw) == {"images/f4.png": why}


@pytest.mark.parametrize(
    ("cells", "understood", "values"),
    [
        (
            "1 2.5 3 about-4",
            "left out: 'about-4' is no finite number, as most of its cells are",
            None,
        ),
        ("1 0 1 ?", "left out: '?' is no finite number, as most of its cells are", None),
        ("1 2 inf 3", "left out: 'inf' is no finite number, as most of its cells are", None),
        ("1 NA n/a 2", "numbers 1 to 2; 2 not known", [1, None, None, 2]),
        ("TRUE False true FALSE", "label, 1 in 2 of 4", [1, 0, 1, 0]),
        (
            "ap AP PA PA AP ap",
            "classes AP: 2, PA: 2, ap: 2, some alike but for case",
            [2, 0, 1, 1, 0, 2],
        ),
    ],
)
def test_what_a_column_of_mixed_cells_is(cells, understood, values, raw):
    rows = [f"f{k}.png,{cell}" for k, cell in enumerate(cells.split())]
    (raw / "labels.csv").write_text("\n".join(["file,c", *rows]))
    listing = list_folder(raw)
    assert listing.about["understood"]["column c"].startswith(understood)
    found = [item.labels.get("c") for item in listing.items]
    assert found[: len(rows)] == (values or [None] * 4)


def test_folder_without_the_table_says_what_lies_there_instead(raw):
    (raw / "labels.csv").rename(raw / "Labels.xlsx")
    assert list_folder(raw).about["understood"]["labels"] == "none: no labels.csv but Labels.xlsx"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("file;age\nf0.png;1", r"found file;age; are they separated by commas\?"),
        ("file,age,age\nf0.png,1,2", r"labels\.csv has the column age 2 times"),
    ],
)
def test_table_that_means_something_else_is_refused(text, why, raw):
    (raw / "labels.csv").write_text(text)
    with pytest.raises(ValueError, match=why):
        list_folder(raw)


def with_splits(raw, *splits):
    rows = [f"f{k}.png,{'AABBCDEF'[k]},{split}" for k, split in enumerate(splits)]
    (raw / "labels.csv").write_text("\n".join(["file,patient,split", *rows]))


def test_stated_split_is_taken(raw):
    with_splits(raw, *["train"] * 4, "Train", "test", "val", "dev")
    assert [item.split for item in items_of(raw).values()][4:] == ["train", "test", "validation"]
    assert why_of(raw) == {
        "images/f7.png": "row 9 of labels.csv: split is 'dev', should be train, validation, test"
    }


def test_split_that_no_row_names_is_said(raw, tmp_path, capsys):
    with_splits(raw, *["train"] * 6, "test", "test")
    assert main(["folder", str(raw), str(tmp_path / "out"), "--size", "16"]) == 0
    printed = capsys.readouterr().out
    assert "no image for validation: the given splits have none" in printed
    assert "no image for test" not in printed


def test_patient_in_two_splits_is_refused_before_an_image_is_read(raw):
    with_splits(raw, "train", "test", *["train"] * 6)
    with pytest.raises(ValueError, match="patient 'A' is in train and in test"):
        list_folder(raw)


def test_without_a_table_all_images_are_taken_and_their_names_tell_the_patients(tmp_path):
    raw = write(
        tmp_path / "r", "images/patient1/a.png", "images/patient1/b.png", "images/patient2/a.png"
    )
    assert [i.patient for i in list_folder(raw).items] == ["patient1", "patient1", "patient2"]


def test_pixel_of_a_resized_mask_is_of_the_class_of_its_largest_part():
    mask = np.array([[0, 0, 1, 2], [1, 1, 1, 2], [2, 2, 0, 0], [2, 0, 0, 0]])
    np.testing.assert_array_equal(resize_classes(mask, 2, 3), [[0, 1], [2, 0]])
    np.testing.assert_array_equal(resize_classes(mask, 8, 3), np.kron(mask, np.ones((2, 2))))
