"""The RSNA challenge as Kaggle publishes it, whole and broken, through the command line."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from dicom_files import dicom, jpeg

from data_prep.__main__ import main
from data_prep.boxes import Boxes
from data_prep.listing import Item
from data_prep.reading import _key
from data_prep.rsna import CLASSES, FINDINGS, LABELS, MAPPING, TEST, TRAIN
from ums.data.prepared import load_prepared

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "rsna"
BOX = (4.0, 8.0, 8.0, 12.0)


def picture(seed, shape=(32, 32)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_tables(raw, findings):
    """findings: patientId -> (value of CLASSES, boxes)"""
    with (
        open(raw / LABELS, "w", newline="", encoding="utf-8") as labels,
        open(raw / FINDINGS, "w", encoding="utf-8") as classes,
    ):
        table = csv.writer(labels)
        table.writerow(["patientId", "x", "y", "width", "height", "Target"])
        classes.write("patientId,class\n")
        for id_, (value, boxes) in findings.items():
            for box in boxes or [("",) * 4]:
                table.writerow([id_, *box, int(bool(boxes))])
                classes.write(f"{id_},{CLASSES[value]}\n")


@pytest.fixture
def raw(tmp_path):
    raw = tmp_path / "raw"
    (raw / TRAIN).mkdir(parents=True)
    findings = {}
    for i in range(10):
        make = jpeg if i % 2 else dicom
        (raw / TRAIN / f"p{i}.dcm").write_bytes(make(picture(i)))
        findings[f"p{i}"] = (i % 3, [BOX, (20.0, 2.0, 4.0, 4.0)][: i % 3])
        findings[f"p{i}"] = (i % 3, findings[f"p{i}"][1] if i % 3 == 2 else [])
    write_tables(raw, findings)
    return raw


def prepare(raw, *more, name="rsna"):
    out = raw.parent / "out"
    return main([name, str(raw), str(out), "--size", "16", *more]), out


def skipped(out):
    return {entry["file"]: entry["why"] for entry in load_prepared(out).about["skipped"]}


def test_labels_classes_and_boxes_come_from_the_tables(raw):
    code, out = prepare(raw)
    made = load_prepared(out)
    assert code == 0 and not skipped(out) and list(made.ids) == [f"p{i}" for i in range(10)]
    assert made.labels["finding"].tolist() == [i % 3 for i in range(10)]
    assert made.labels["opacity"].tolist() == [int(i % 3 == 2) for i in range(10)]
    marked = np.zeros((16, 16), np.uint8)
    marked[4:10, 2:6] = marked[1:3, 10:12] = 1
    np.testing.assert_array_equal(made.opacities[2], marked)
    assert not made.opacities[0].any() and made.masks is None


def test_the_split_is_by_patient_70_20_10(raw):
    _, out = prepare(raw)
    splits = load_prepared(out).splits
    assert [np.sum(splits == s) for s in ("train", "validation", "test")] == [7, 2, 1]


def test_with_rsnas_mapping_patients_are_the_nihs(raw):
    entries = [{"subset_img_id": f"p{i}", "img_id": f"{i // 2:08d}_{i:03d}.png"} for i in range(10)]
    (raw / MAPPING).write_text(json.dumps(entries))
    _, out = prepare(raw)
    made = load_prepared(out)
    assert made.patients.tolist() == [f"{i // 2:08d}" for i in range(10)]
    assert "NIH" in made.about["patients"]


def write_mapping(raw, ids, **other):
    entries = [{"subset_img_id": id_, "img_id": f"0000000{i}_000.png"} for i, id_ in enumerate(ids)]
    (raw / MAPPING).write_text(json.dumps([entry | other for entry in entries]))


def test_films_that_the_mapping_does_not_name_are_left_out(raw):
    write_mapping(raw, ["p0", "p1", "p2", "other"])
    _, out = prepare(raw)
    assert load_prepared(out).ids.tolist() == ["p0", "p1", "p2"]
    why = f"no patient: {MAPPING} does not name it"
    assert skipped(out) == {f"{TRAIN}/p{i}.dcm": why for i in range(3, 10)}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[]", "names none of the 10 images"),
        ('[{"subset_img_id": "x", "img_id": "00000001_000.png"}]', "names none of the 10 images"),
        ("{}", "a dict, should be a list"),
        ("null", "a NoneType, should be a list"),
        ("[1]", "not subscriptable"),
        ('[{"img_id": "00000001_000.png"}]', "subset_img_id"),
        ('[{"subset_img_id": "p0", "img_id": "p0.png"}]', "should be like 00000001_000.png"),
        ('[{"subset_img_id": "p0", "img_id": "\\ud800_000"}]', "should be like 00000001_000.png"),
        ("[" * 100_000, "is not RSNA's mapping"),
        ("", "is not RSNA's mapping"),
    ],
)
def test_another_mapping_is_an_error_that_names_it(raw, content, why, capsys):
    (raw / MAPPING).write_text(content)
    code, out = prepare(raw)
    error = capsys.readouterr().err
    assert code == 2 and MAPPING in error and why in error and error.count("\n") == 1
    assert not out.exists()


def test_a_film_that_is_mapped_twice_is_an_error(raw, capsys):
    write_mapping(raw, ["p0", "p1", "p0"])
    assert prepare(raw)[0] == 2
    assert "'p0' twice, of 00000000 and of 00000002" in capsys.readouterr().err
    write_mapping(raw, ["p0", "p1"], img_id="00000007_000.png")
    assert prepare(raw)[0] == 2
    assert "00000007_000.png twice, as 'p0' and as 'p1'" in capsys.readouterr().err


def test_an_entry_that_is_there_twice_is_no_error(raw):
    write_mapping(raw, [f"p{i}" for i in range(10)])
    (raw / MAPPING).write_text(json.dumps(json.loads((raw / MAPPING).read_text()) * 2))
    assert prepare(raw)[0] == 0


def test_without_it_each_film_is_a_patient_and_that_is_said(raw):
    _, out = prepare(raw)
    made = load_prepared(out)
    assert len(set(made.patients)) == 10 and MAPPING in made.about["patients"]


def test_labels_without_files_and_files_without_labels_are_reported(raw):
    (raw / TRAIN / "p3.dcm").unlink()
    (raw / TRAIN / "new.dcm").write_bytes(dicom(picture(99)))
    _, out = prepare(raw)
    assert skipped(out) == {
        LABELS: "there is no image 'p3'",
        f"{TRAIN}/new.dcm": f"no label: {LABELS} has no (valid) row of it",
    }


@pytest.mark.parametrize("data", [b"", b"<html>", b"\0" * 128 + b"DICM" + b"\1" * 50])
def test_what_is_no_dicom_is_recorded_or_under_strict_an_error(raw, data, capsys):
    (raw / TRAIN / "p4.dcm").write_bytes(data)
    assert prepare(raw, "--strict")[0] == 2 and "p4.dcm: " in capsys.readouterr().err
    _, out = prepare(raw)
    assert list(skipped(out)) == [f"{TRAIN}/p4.dcm"] and len(load_prepared(out)) == 9


def appended(table, row):
    """Add a row to a table; its number."""
    text = table.read_text()
    table.write_text(f"{text}{row}\n", encoding="utf-8")
    return len(text.splitlines()) + 1


@pytest.mark.parametrize(
    ("table", "row", "why"),
    [
        (FINDINGS, "p1,Healthy", "row 14: no class 'Healthy': p1"),
        (LABELS, "p1,,,,,0", "row 14: the same as row 3: p1"),
        (LABELS, "p2,4,8,8,12,1", "row 14: the same as row 4: p2"),
        (LABELS, "p1 ,,,,,0", "row 14: the same as row 3: p1"),
        (LABELS, "p1,,,,0", "row 14: 5 values for 6 columns"),
        (LABELS, "/etc/passwd,,,,,0", "there is no image '/etc/passwd'"),
        (LABELS, "../p1,1,2,3,4,1", "there is no image '../p1'"),
        (LABELS, ",,,,,0", "there is no image ''"),
        (FINDINGS, '"p\n1",Normal', "there is no image 'p\\n1'"),
    ],
)
def test_a_row_that_says_nothing_clear_is_reported(raw, table, row, why):
    rows = appended(raw / table, row)
    _, out = prepare(raw)
    assert skipped(out) == {table: why.replace("14", str(rows))}


@pytest.mark.parametrize(
    ("table", "row", "why"),
    [
        (LABELS, "p1,1,2,3,4,1", "row 3 of {0} says Target 0, row 14 of {0} says Target 1"),
        (
            LABELS,
            "p2,,,,,0",
            "row 4 of {0} says Target 1, row 5 of {0} says Target 1, row 14 of {0}",
        ),
        (FINDINGS, "p2,Normal", "row 4 of {1} 'Lung Opacity', row 14 of {1} 'Normal'"),
        (FINDINGS, "p1,Lung Opacity", "row 3 of {1} 'No Lung Opacity / Not Normal', row 14 of {1}"),
    ],
)
def test_a_film_whose_rows_contradict_each_other_is_left_out(raw, table, row, why):
    rows = appended(raw / table, row)
    _, out = prepare(raw)
    ((film, said),) = skipped(out).items()
    assert film == f"{TRAIN}/{row[:2]}.dcm" and row[:2] not in load_prepared(out).ids
    assert why.format(LABELS, FINDINGS).replace("14", str(rows)) in said


UNUSABLE = ["nan,2,3,4,1", ",,,,1", "1,2,0,4,1", "-1,2,3,4,1", "1,2,3,inf,1", '"1,0",2,3,4,1']


@pytest.mark.parametrize("row", [*UNUSABLE, "1,2,3,4,0", "1,2,3,,1", ",,,,2", ",,,,", ",,,,yes"])
@pytest.mark.parametrize("film", ["p1", "p2"])
def test_a_film_of_which_a_row_cannot_be_used_is_left_out(raw, film, row):
    rows = appended(raw / LABELS, f"{film},{row}")
    _, out = prepare(raw)
    why = f"row {rows} of {LABELS}: neither Target 0 nor Target 1 with a box"
    assert skipped(out) == {f"{TRAIN}/{film}.dcm": why} and film not in load_prepared(out).ids


@pytest.mark.parametrize(
    ("table", "old", "new"),
    [
        (LABELS, ",0\n", ",0.0\n"),
        (LABELS, ",1\n", ",1.0\n"),
        (LABELS, ",,,,,0", ",nan,NaN,,nan,0"),
        (FINDINGS, "Normal", "NORMAL"),
        (FINDINGS, " / ", "/"),
        (FINDINGS, "Lung Opacity", "lung  opacity "),
        (LABELS, ",,,,0\n", ",,,,0\n,,,,,\n"),
    ],
)
def test_spellings_of_a_program_that_saved_the_table_are_read(raw, table, old, new):
    text = (raw / table).read_text()
    (raw / table).write_text(text.replace(old, new))
    _, out = prepare(raw)
    made = load_prepared(out)
    assert old in text and not skipped(out)
    assert made.labels["finding"].tolist() == [i % 3 for i in range(10)]


def test_equal_rows_of_classes_are_no_problem_as_there_is_one_for_each_box(raw):
    with open(raw / FINDINGS, "a", encoding="utf-8") as file:
        file.write(f"p1,{CLASSES[1]}\n\n" * 2)
    _, out = prepare(raw)
    assert not skipped(out)


@pytest.mark.parametrize(
    ("value", "boxes", "why"),
    [
        (0, [BOX], "Target 1, row 2 of {} 'Normal'"),
        (1, [BOX], "Target 1, row 2 of {} 'No Lung Opacity / Not Normal'"),
        (2, [], "Target 0, row 2 of {} 'Lung Opacity'"),
    ],
)
def test_a_target_that_the_class_contradicts_is_a_problem_of_the_film(raw, value, boxes, why):
    write_tables(
        raw, {f"p{i}": (value if i == 0 else 0, boxes if i == 0 else []) for i in range(10)}
    )
    _, out = prepare(raw)
    text = f"row 2 of {LABELS} says {why.format(FINDINGS)}"
    assert skipped(out) == {f"{TRAIN}/p0.dcm": text} and len(load_prepared(out)) == 9


@pytest.mark.parametrize(
    "box", [(33.0, 1, 2, 2), (1, 32.0, 2, 2), (20, 1, 14, 2), (1, 30, 2, 4), (0, 0, 1e30, 1)]
)
def test_a_film_with_a_box_that_leaves_it_is_left_out(raw, box, capsys):
    write_tables(raw, {f"p{i}": (2, [BOX, box] if i == 3 else [BOX]) for i in range(10)})
    _, out = prepare(raw)
    (file, why), *more = skipped(out).items()
    assert file == f"{TRAIN}/p3.dcm" and not more and "p3" not in load_prepared(out).ids
    text = f"the box {tuple(map(float, box))} (x, y, width, height) leaves its 32 x 32 pixels"
    assert why == text
    assert prepare(raw, "--strict", "--overwrite")[0] == 2
    assert f"p3.dcm: {why}" in capsys.readouterr().err


def test_a_film_is_read_again_when_its_boxes_change(tmp_path):
    film, other = (Item("p", "p", tmp_path / "p.dcm", boxes=(b,)) for b in (BOX, (0, 0, 1, 1)))
    assert _key(film, tmp_path) != _key(other, tmp_path)


@pytest.mark.parametrize("box", [(0, 0, 32, 32), (20, 1, 13, 2), (31.5, 31.5, 1, 1)])
def test_a_box_may_touch_the_edge_and_end_a_pixel_beyond(raw, box):
    write_tables(raw, {f"p{i}": (2, [box]) for i in range(10)})
    _, out = prepare(raw)
    assert not skipped(out) and load_prepared(out).opacities.any(axis=(1, 2)).all()


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (b"id,x,y\n", "exactly once: patientId, width, height, Target; found id, x, y"),
        (b"patientId,x,y,width,height,Target,X\n", "exactly once: x; found"),
        (b"", "exactly once: patientId, x, y"),
        (b"patientId\xff\n", "is not readable as CSV: 'utf-8' codec"),
    ],
)
def test_another_table_is_an_error_that_names_it(raw, table, why, capsys):
    (raw / LABELS).write_bytes(table)
    assert prepare(raw)[0] == 2
    error = capsys.readouterr().err
    assert f"{LABELS} " in error and why in error and error.count("\n") == 1


def test_a_missing_table_is_an_error(raw, capsys):
    (raw / FINDINGS).unlink()
    assert prepare(raw)[0] == 2 and f"{FINDINGS} is missing" in capsys.readouterr().err


@pytest.mark.parametrize("level", [".", f"raw/{TRAIN}"])
def test_the_wrong_folder_level_is_an_error_that_names_the_right_one(raw, level, capsys):
    code, _ = prepare(raw.parent / level)
    assert code == 2 and f"did you mean {raw}?" in capsys.readouterr().err


def test_images_still_in_their_archive_are_an_error_that_says_so(raw, capsys):
    shutil.rmtree(raw / TRAIN)
    (raw / f"{TRAIN}.zip").write_bytes(b"")
    assert prepare(raw)[0] == 2 and f"unpack {TRAIN}.zip" in capsys.readouterr().err


def test_with_test_images_only_these_are_read_and_that_is_said(raw):
    (raw / TRAIN).rename(raw / TEST)
    _, out = prepare(raw)
    made = load_prepared(out)
    assert len(made) == 10 and not made.labels and made.about["part"] == TEST
    assert "without labels" in skipped(out)[TRAIN]


def test_a_folder_of_dicoms_is_a_source_without_labels(raw):
    _, out = prepare(raw, name="unlabelled")
    made = load_prepared(out)
    assert len(made) == 10 and made.about["other_files"] == {".csv": 2}


def test_an_image_under_another_name_is_reported(raw):
    (raw / "film.bin").write_bytes(dicom(picture(50)))
    _, out = prepare(raw, name="unlabelled")
    assert "a DICOM image by another name" in skipped(out)["film.bin"]


def test_boxes_reach_to_the_edge_and_never_vanish():
    masks = Boxes([((0, 0, 0.1, 0.1),), ((90, 90, 30, 30),), ()], [(100, 100)] * 3, 10)[0:3]
    assert masks[0].sum() == 1 and masks[1].sum() == 1 and masks[1, 9, 9] and not masks[2].any()


@pytest.mark.skipif(not REAL.is_dir(), reason="no real images here")
def test_real_dicoms_differ_by_their_inversion_only(tmp_path):
    out = tmp_path / "out"
    assert main(["unlabelled", str(REAL), str(out), "--size", "64"]) == 0
    made = load_prepared(out)
    assert len(made) == 2 and made.images[0].std() > 20
    np.testing.assert_allclose(made.images[0].astype(int), 255 - made.images[1].astype(int), atol=1)


def test_a_box_that_begins_at_the_last_pixels_edge_marks_that_pixel():
    masks = Boxes([((96, 20, 5, 10),), ((20, 96, 10, 5),)], [(100, 100)] * 2, 10)[0:2]
    assert [np.argwhere(mask).tolist() for mask in masks] == [[[2, 9]], [[9, 2]]]
