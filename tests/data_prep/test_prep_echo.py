"""The two folders of the Doppler experiment: synthetic, and of one's own screens, by command line."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep import echo
from data_prep.__main__ import main
from data_prep.echo_folder import list_echo
from ums.data.prepared import SPLITS, load_prepared

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "echo_doppler_screens"


def synthetic(out, *more):
    return main(["echo", str(out), "--images", "40", "--patients", "10", "--size", "32", *more])


def load(out):
    return load_prepared(out / "source"), load_prepared(out / "target")


def made_at(out, role):
    return (out / role / "about.json").stat().st_mtime_ns, (out / role).stat().st_ino


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("echo")
    assert synthetic(out) == 0
    return out


def test_patients_are_shared_out_70_to_30_and_stay_together(made):
    source, target = load(made)
    assert not set(source.patients) & set(target.patients)
    assert len(source) + len(target) == 60 == len(set(source.ids) | set(target.ids))
    of = {
        p.folder.name: {s: len(set(p.patients[p.splits == s])) for s in SPLITS}
        for p in (source, target)
    }
    assert of["source"] == {"train": 6, "validation": 1, "test": 1}
    assert of["target"] == {"train": 3, "validation": 0, "test": 4}


def test_every_replicate_has_patients_of_its_own_and_the_test_part_does_not_grow(tmp_path):
    assert synthetic(tmp_path, "--replicates", "3") == 0
    source, target = load(tmp_path)
    for made, each, tested in ((source, 7, 1), (target, 3, 4)):
        test = made.splits == "test"
        patients = [*dict.fromkeys(made.patients[~test])]
        assert len(patients) == 3 * each and len(set(made.patients[test])) == tested
        assert patients == sorted(patients) and max(patients) < min(made.patients[test])
        for r in range(3):
            rows = np.isin(made.patients, patients[r * each : (r + 1) * each])
            assert ("validation" in made.splits[rows]) == (made is source)


def test_no_part_with_its_share_of_each_flow_reaches_over_replicates():
    role, split, part = echo._parts(10, replicates=3)
    assert len(role) == len(split) == len(part) == 3 * 10 + 1 + 4
    steps = [np.diff(np.flatnonzero(part == number)) for number in set(part)]
    assert len(steps) == 3 * 3 + 2 and all((step == 1).all() for step in steps)


def test_both_folders_have_colour_masks_and_both_labels(made):
    for prepared in load(made):
        assert prepared.images.shape[1:] == (32, 32, 3) and prepared.has_mask.all()
        assert set(prepared.labels) == {"flow", "quality"}
        assert set(prepared.labels["flow"]) == {0, 1, 2} and prepared.labels["flow"].min() == 0
        assert prepared.about["label_values"]["flow"] == {"0": "MV", "1": "MA", "2": "TR"}
        assert prepared.about["label_values"]["quality"] == {"0": "poor", "1": "good"}
    source, target = load(made)
    labelled = sum(np.count_nonzero(p.labels["quality"] >= 0) for p in (source, target))
    assert labelled == round(60 * 814 / 2444)


def test_both_folders_have_a_contact_sheet_and_nothing_else_is_left(made):
    assert sorted(path.name for path in made.iterdir()) == ["source", "target"]
    for role in ("source", "target"):
        assert (made / role / "sheet.png").stat().st_size > 1000


def test_a_folder_made_with_the_same_settings_is_kept(tmp_path):
    assert synthetic(tmp_path) == 0
    before = [made_at(tmp_path, role) for role in ("source", "target")]
    source = (tmp_path / "source" / "images.npy").read_bytes()
    assert synthetic(tmp_path) == 0
    assert before == [made_at(tmp_path, role) for role in ("source", "target")]
    assert synthetic(tmp_path, "--seed", "1") == 0
    assert (tmp_path / "source" / "images.npy").read_bytes() != source


def test_the_same_seed_writes_the_same_files(made, tmp_path):
    assert synthetic(tmp_path) == 0
    for role in ("source", "target"):
        for path in (made / role).iterdir():
            assert path.read_bytes() == (tmp_path / role / path.name).read_bytes()


def test_too_few_patients_is_one_line_and_code_2(tmp_path, capsys):
    assert synthetic(tmp_path, "--patients", "5") == 2
    error = capsys.readouterr().err
    assert "5 patients" in error and "at least 6" in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_no_part_that_has_no_images_is_blamed_on_too_few_patients(tmp_path, capsys):
    assert synthetic(tmp_path) == 0 and "too few" not in capsys.readouterr().out


def test_a_folder_of_other_things_is_not_replaced_and_nothing_is_drawn(tmp_path, capsys):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "thesis.txt").write_text("years of work")
    assert synthetic(tmp_path) == 2
    assert "thesis.txt" in capsys.readouterr().err and not (tmp_path / "source").exists()


# A folder of one's own ------------------------------------------------------------------------------

ROWS = [
    {"file": f"p{i}/a{j}.png", "patient": f"p{i}", "flow": ("MV", "ma", "TR")[i % 3],
     "quality": ("good", "poor", "")[j % 3]}
    for i in range(8) for j in range(3)
]  # fmt: skip


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def picture(seed, shape=(24, 32, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def write_table(raw, rows, columns=None):
    columns = columns or list(rows[0])
    with open(raw / "labels.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def raw(tmp_path):
    raw, mask = tmp_path / "raw", np.zeros((24, 32), np.uint8)
    mask[:12, 8:16] = 255
    for i, row in enumerate(ROWS):
        write(raw / "images" / row["file"], picture(i))
        if "a2" not in row["file"]:
            write(raw / "masks" / row["file"], mask)
    write_table(raw, ROWS)
    return raw


def prepare(raw, *more):
    out = raw.parent / "out"
    return main(["echo-folder", str(raw), str(out), "--size", "16", *more]), out


def everything(out):
    """Both folders' rows by id: (image, mask, flow, quality, split)."""
    rows = {}
    for part in load(out):
        masks = np.zeros(part.images.shape[:3]) if part.masks is None else part.masks
        columns = (part.images, masks, part.labels["flow"], part.labels["quality"], part.splits)
        rows |= dict(zip(part.ids.tolist(), zip(*columns, strict=True), strict=True))
    return rows


def skipped(out):
    found = [entry for part in load(out) for entry in part.about["skipped"]]
    assert len({entry["file"] for entry in found}) == len(found)
    return {entry["file"]: entry["why"] for entry in found}


def test_ones_own_screens_come_with_masks_and_labels_where_there_are_some(raw):
    code, out = prepare(raw)
    rows = everything(out)
    assert code == 0 and sorted(rows) == sorted(row["file"] for row in ROWS) and not skipped(out)
    flows = [rows[f"p{i}/a0.png"][2] for i in range(3)]
    qualities = [rows[f"p0/a{j}.png"][3] for j in range(3)]
    assert flows == [0, 1, 2] and qualities == [1, 0, -1]
    mask = rows["p1/a1.png"][1]
    assert mask[:8, 4:8].all() and mask.sum() == 32 and not rows["p1/a2.png"][1].any()
    source, target = load(out)
    assert not set(source.patients) & set(target.patients)
    assert len(set(source.patients)) == 6 and target.splits.tolist().count("test") == 3
    assert source.about["patients"] == "by the column patient of labels.csv"


def test_colours_are_kept_in_the_order_red_green_blue(raw):
    red = np.zeros((24, 32, 3), np.uint8)
    red[:12, :, 2] = 200  # OpenCV writes blue first
    write(raw / "images" / "p0/a0.png", red)
    write(raw / "images" / "p0/a1.png", red[..., 2])
    _, out = prepare(raw)
    rows = everything(out)
    assert rows["p0/a0.png"][0][0, 0].tolist() == [200, 0, 0]
    assert rows["p0/a1.png"][0][0, 0].tolist() == [200, 200, 200]


def test_a_box_of_the_table_or_for_all_cuts_image_and_mask(raw, capsys):
    rows = [dict(row, x="", y="", width="", height="") for row in ROWS]
    rows[0] |= {"x": "8", "y": "0", "width": "8", "height": "12"}
    write_table(raw, rows)
    half = np.zeros((24, 32, 3), np.uint8)
    half[:12, 8:16] = 250
    half[0, 8] = 249
    write(raw / "images" / "p0/a0.png", half)
    write(raw / "images" / "p0/a1.png", half)
    _, out = prepare(raw, "--box", "0", "6", "32", "12")
    made = everything(out)
    assert made["p0/a0.png"][0].min() >= 249 and made["p0/a0.png"][1].all()
    image, mask, *_ = made["p0/a1.png"]
    assert image[0, 6].min() > 240 and not image[10:].any()
    assert mask[:8, 4:8].all() and mask.sum() == 32


@pytest.mark.parametrize("hidden", ["\u200b", "\ufeff", "\u00ad", "\u200e", "\u2060"])
def test_invisible_characters_make_no_other_patient(raw, hidden):
    rows = [dict(row) for row in ROWS]
    rows[1]["patient"] = hidden + rows[0]["patient"].upper() + hidden
    rows[2]["patient"] = hidden
    write_table(raw, rows)
    listing = list_echo(raw)
    assert [item.patient for item in listing.items[:2]] == [rows[0]["patient"]] * 2
    assert "taken for one" in listing.about["patients"]
    assert "patient is empty" in str(listing.problems)


@pytest.mark.parametrize(
    ("texts", "box"),
    [
        (("8.0", "0.0", "8.", "12.00"), (8, 0, 8, 12)),
        (("0", "0", "8", "12"), (0, 0, 8, 12)),
        (("0", "0", "0", "0"), (1, 2, 3, 4)),
        (("0.0", "0.0", "0.0", "0.0"), (1, 2, 3, 4)),
        (("", "", "", ""), (1, 2, 3, 4)),
    ],
)
def test_boxes_are_read_as_a_program_writes_them_and_0_is_none(raw, texts, box):
    corners = dict(zip(("x", "y", "width", "height"), texts, strict=True))
    write_table(raw, [dict(row, **corners) for row in ROWS])
    listing = list_echo(raw, (1, 2, 3, 4))
    assert {item.box for item in listing.items} == {box} and not listing.problems
    assert ("boxes" in listing.about) == texts[0].startswith("0") * (texts[2] != "8")


@pytest.mark.parametrize(
    "spell", [lambda f: f.replace("/", "\\"), str.upper, lambda f: f.replace(".png", ".PNG")]
)
def test_images_are_found_in_the_spelling_of_another_system(raw, spell):
    write_table(raw, [dict(row, file=spell(row["file"])) for row in ROWS])
    listing = list_echo(raw)
    assert not listing.problems and [item.id for item in listing.items] == [r["file"] for r in ROWS]
    write_table(raw, [*ROWS, dict(ROWS[0], file=spell(ROWS[0]["file"]))])
    assert "again, after row 2" in str(list_echo(raw).problems)


@pytest.mark.parametrize(("word", "value"), [("low", 0), ("POOR", 0), ("Good", 1), ("", -1)])
def test_quality_is_told_by_its_words(raw, word, value):
    write_table(raw, [dict(row, quality=word) for row in ROWS])
    assert {item.labels["quality"] for item in list_echo(raw).items} == {value}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"x": "1.5", "y": "1", "width": "4", "height": "4"}, "should be four whole numbers"),
        ({"flow": "AV"}, "row 6 of labels.csv: flow is 'AV', should be MV, MA, TR or empty"),
        ({"quality": "fair"}, "quality is 'fair', should be POOR, GOOD, LOW or empty"),
        ({"patient": ""}, "row 6 of labels.csv: patient is empty"),
        ({"file": ""}, "row 6 of labels.csv: file is empty"),
        ({"file": "p1/a0.png"}, "p1/a0.png again, after row 5"),
        ({"file": "p1/no.png"}, "row 6 of labels.csv: no such image"),
        ({"file": "../../no.png"}, "row 6 of labels.csv: no such image"),
        ({"file": "/etc/no.png"}, "row 6 of labels.csv: no such image"),
        ({"x": "1", "y": "1", "width": "4"}, "should be four whole numbers or all empty"),
        ({"x": "-1", "y": "1", "width": "4", "height": "4"}, "should be four whole numbers"),
        ({"x": "1", "y": "1", "width": "32", "height": "4"}, "is not within its 32 x 24 pixels"),
        ({"x": "1", "y": "1", "width": "0", "height": "4"}, "should be x, y, width, height from"),
    ],
)
def test_a_bad_row_is_recorded_with_its_reason_and_strict_stops_at_it(raw, change, why, capsys):
    rows = [dict(row) for row in ROWS]
    rows[4] |= change
    write_table(raw, rows, [*ROWS[0], *[c for c in ("x", "y", "width", "height") if "x" in change]])
    _, out = prepare(raw)
    assert any(why in reason for reason in skipped(out).values())
    others = {row["file"] for row in ROWS} - {"p1/a1.png", "p1/a0.png"}
    assert others <= set(everything(out)) and "p1/a1.png" not in everything(out)
    capsys.readouterr()
    assert prepare(raw, "--strict", "--seed", "1")[0] == 2
    error = capsys.readouterr().err
    assert why in error and error.count("\n") == 1


def test_files_without_their_other_half_are_recorded(raw):
    write(raw / "images" / "p9" / "new.png", picture(99))
    write(raw / "masks" / "p9" / "lost.png", picture(99)[..., 0])
    (raw / "images" / "notes.txt").write_text("not an image")
    _, out = prepare(raw)
    found = skipped(out)
    assert found["images/p9/new.png"] == "no row in labels.csv"
    assert found["masks/p9/lost.png"] == "a mask without an image"
    assert "not a .png" in found["images/notes.txt"] and len(found) == 3


def test_damaged_images_and_masks_of_another_size_are_recorded(raw):
    path = raw / "images" / "p0/a0.png"
    path.write_bytes(path.read_bytes()[:200])
    (raw / "images" / "p1/a0.png").write_bytes(b"")
    write(raw / "masks" / "p2/a0.png", np.eye(12, 16, dtype=np.uint8))
    _, out = prepare(raw)
    found = skipped(out)
    assert "truncated" in found["images/p0/a0.png"] and "empty" in found["images/p1/a0.png"]
    assert "12 x 16" in found["images/p2/a0.png"] and "24 x 32" in found["images/p2/a0.png"]


@pytest.mark.parametrize("column", ["file", "patient", "flow", "quality"])
def test_a_missing_column_is_an_error_that_names_it(raw, column, capsys):
    write_table(raw, ROWS, [name for name in ROWS[0] if name != column])
    code, out = prepare(raw)
    error = capsys.readouterr().err
    assert code == 2 and f"exactly once: {column};" in error and not out.exists()


def test_half_a_box_and_no_table_are_errors(raw, capsys):
    write_table(raw, [dict(row, x="1", y="1") for row in ROWS])
    assert prepare(raw)[0] == 2 and "four whole numbers or all empty" in capsys.readouterr().err
    (raw / "labels.csv").unlink()
    assert prepare(raw)[0] == 2 and "labels.csv is missing" in capsys.readouterr().err


def test_the_wrong_folder_level_is_an_error_that_names_the_right_one(raw, capsys):
    assert main(["echo-folder", str(raw.parent), str(raw.parent / "out")]) == 2
    assert f"did you mean {raw}" in capsys.readouterr().err


def test_too_few_patients_of_ones_own_are_an_error_with_the_first_reason(raw, capsys):
    write_table(raw, [dict(row, patient="") if row["patient"] > "p4" else row for row in ROWS])
    code, out = prepare(raw)
    error = capsys.readouterr().err
    assert code == 2 and "5 patients" in error and "patient is empty" in error
    assert not out.exists()


def test_ones_own_folder_is_kept_until_table_image_or_box_changes(raw):
    _, out = prepare(raw)
    first = made_at(out, "source")
    prepare(raw)
    assert made_at(out, "source") == first
    for change in ("table", "image", "box"):
        if change == "table":
            write_table(raw, [dict(row, quality="") for row in ROWS])
        elif change == "image":
            for row in ROWS:
                write(raw / "images" / row["file"], picture(7, (24, 32)))
        prepare(raw, *(["--box", "0", "0", "20", "20"] if change == "box" else []))
        assert made_at(out, "source") != first
        first = made_at(out, "source")
    assert json.loads((out / "source" / "about.json").read_text())["settings"]["box"] == [
        0,
        0,
        20,
        20,
    ]


@pytest.mark.skipif(not REAL.is_dir(), reason="no real images here")
def test_real_screens_are_prepared_by_their_panel(tmp_path):
    raw, names = tmp_path / "raw", sorted(path.name for path in REAL.iterdir())
    rows = []
    for i in range(8):
        image = cv2.imread(str(REAL / names[i % len(names)]))
        image = image if i < len(names) else 255 - image  # equal pictures would be left out
        write(raw / "images" / f"{i}.png", image)
        rows.append({"file": f"{i}.png", "patient": str(i), "flow": "MV", "quality": ""})
    write_table(raw, rows)
    code, out = prepare(raw, "--box", "42", "342", "900", "390")
    assert code == 0 and len(everything(out)) == 8 and not skipped(out)
    assert all(image.std() > 10 for image, *_ in everything(out).values())


def test_as_many_screens_are_drawn_as_the_paper_has(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit):
        main(["echo", "--help"])
    assert (
        "number of images that a replicate learns from and validates with (2444)"
        in capsys.readouterr().out
    )
