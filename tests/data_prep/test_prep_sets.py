"""Raw folders as published, whole and broken, through the command line."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep.__main__ import _details, main
from ums.data.prepared import load_prepared

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def picture(seed, shape=(20, 24)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def half(side, shape=(20, 24)):
    mask = np.zeros(shape, np.uint8)
    mask[: shape[0] // 2, : shape[1] // 2] = 255
    return mask if side == "left" else mask[:, ::-1]


@pytest.fixture
def montgomery(tmp_path):
    raw = tmp_path / "raw"
    for i in range(6):
        name = f"MCUCXR_{i:04d}_{i % 2}.png"
        write(raw / "CXR_png" / name, picture(i))
        for side in ("left", "right"):
            write(raw / "ManualMask" / f"{side}Mask" / name, half(side))
    return raw


@pytest.fixture
def shenzhen(tmp_path):
    raw = tmp_path / "raw"
    for i in range(6):
        write(raw / "CXR_png" / f"CHNCXR_{i:04d}_{i % 2}.png", picture(i))
        if i != 3:
            write(raw / "mask" / f"CHNCXR_{i:04d}_{i % 2}_mask.png", half("left"))
    return raw


def prepare(name, raw, *more):
    """Return the exit code and the prepared folder beside `raw`."""
    out = raw.parent / "out"
    return main([name, str(raw), str(out), "--size", "16", *more]), out


def skipped(out):
    return {entry["file"]: entry["why"] for entry in load_prepared(out).about["skipped"]}


def test_montgomery_is_prepared_with_the_union_of_both_masks(montgomery):
    code, out = prepare("montgomery", montgomery)
    made = load_prepared(out)
    assert code == 0 and made.images.shape == (6, 16, 16)
    assert made.masks[:, :8].all() and not made.masks[:, 8:].any()
    assert list(made.labels["abnormal"]) == [0, 1, 0, 1, 0, 1]
    assert made.patients[3] == "0003" and not skipped(out)


def test_shenzhen_keeps_images_without_a_mask(shenzhen):
    _, out = prepare("shenzhen", shenzhen)
    made = load_prepared(out)
    assert list(made.has_mask) == [True, True, True, False, True, True]
    assert made.masks[3].sum() == 0 and made.masks[2].sum() == made.masks[2, :8, :8].sum() == 64


def test_masks_a_folder_deeper_as_kaggle_has_them_are_found(shenzhen):
    (shenzhen / "mask").rename(shenzhen / "deep")
    (shenzhen / "mask").mkdir()
    (shenzhen / "deep").rename(shenzhen / "mask" / "mask")
    _, out = prepare("shenzhen", shenzhen)
    assert load_prepared(out).has_mask.sum() == 5


def test_masks_of_another_size_are_reported_with_both_sizes(shenzhen):
    write(shenzhen / "mask" / "CHNCXR_0001_1_mask.png", half("left", (10, 12)))
    _, out = prepare("shenzhen", shenzhen)
    assert "10 x 12" in (why := skipped(out)["CXR_png/CHNCXR_0001_1.png"]) and "20 x 24" in why
    assert "CHNCXR_0001_1" not in load_prepared(out).ids


@pytest.mark.parametrize("name", ["MCUCXR_0009_2.png", "MCUCXR_0009.png", "scan.png"])
def test_an_unreadable_label_is_recorded_by_file(montgomery, name):
    write(montgomery / "CXR_png" / name, picture(9))
    _, out = prepare("montgomery", montgomery)
    assert "no label" in skipped(out)[f"CXR_png/{name}"] and len(load_prepared(out)) == 6


def test_a_missing_right_mask_is_recorded(montgomery):
    (montgomery / "ManualMask" / "rightMask" / "MCUCXR_0002_0.png").unlink()
    _, out = prepare("montgomery", montgomery)
    assert "rightMask/MCUCXR_0002_0.png is missing" in skipped(out)["CXR_png/MCUCXR_0002_0.png"]


def test_a_mask_without_an_image_is_recorded(shenzhen):
    (shenzhen / "CXR_png" / "CHNCXR_0000_0.png").unlink()
    _, out = prepare("shenzhen", shenzhen)
    assert skipped(out) == {"mask/CHNCXR_0000_0_mask.png": "a mask without an image"}


def test_a_truncated_image_is_recorded_and_shown(montgomery, capsys):
    path = montgomery / "CXR_png" / "MCUCXR_0002_0.png"
    path.write_bytes(path.read_bytes()[:200])
    _, out = prepare("montgomery", montgomery)
    assert skipped(out)["CXR_png/MCUCXR_0002_0.png"].startswith("truncated")
    assert "  CXR_png/MCUCXR_0002_0.png: truncated" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["shenzhen", "unlabelled"])
def test_a_link_that_leads_nowhere_is_recorded(shenzhen, name):
    (shenzhen / "CXR_png" / "CHNCXR_0008_0.png").symlink_to(shenzhen / "gone.png")
    _, out = prepare(name, shenzhen)
    assert skipped(out)["CXR_png/CHNCXR_0008_0.png"] == "a link that leads nowhere"


def test_a_folder_among_the_images_is_recorded(montgomery):
    write(montgomery / "CXR_png" / "more" / "MCUCXR_0007_0.png", picture(7))
    _, out = prepare("montgomery", montgomery)
    assert skipped(out) == {"CXR_png/more": "a folder, not searched"}


def test_masks_beside_the_folder_of_masks_are_found_too(shenzhen):
    (shenzhen / "mask" / "mask").mkdir()
    moved = shenzhen / "mask" / "CHNCXR_0001_1_mask.png"
    moved.rename(shenzhen / "mask" / "mask" / moved.name)
    _, out = prepare("shenzhen", shenzhen)
    assert load_prepared(out).has_mask.sum() == 5 and not skipped(out)


def test_why_names_the_file_only_where_it_is_another(shenzhen):
    for path in ("CXR_png/CHNCXR_0001_1.png", "mask/CHNCXR_0002_0_mask.png"):
        (shenzhen / path).write_bytes(b"")
    _, out = prepare("shenzhen", shenzhen)
    assert skipped(out) == {
        "CXR_png/CHNCXR_0001_1.png": "the file is empty",
        "CXR_png/CHNCXR_0002_0.png": "CHNCXR_0002_0_mask.png: the file is empty",
    }


def test_strict_stops_at_a_bad_file_and_writes_nothing(montgomery, capsys):
    (montgomery / "CXR_png" / "MCUCXR_0002_0.png").write_bytes(b"")
    code, out = prepare("montgomery", montgomery, "--strict")
    error = capsys.readouterr().err
    assert code == 2 and error.startswith("error: ") and error.count("\n") == 1
    assert "MCUCXR_0002_0.png" in error and os.listdir(out.parent) == ["raw"]


@pytest.mark.parametrize("level", [".", "raw/CXR_png", "raw/ManualMask"])
def test_the_wrong_folder_level_is_an_error_that_names_the_right_one(montgomery, level, capsys):
    code, _ = prepare("montgomery", montgomery.parent / level)
    assert code == 2 and f"did you mean {montgomery}" in capsys.readouterr().err


def test_a_folder_without_images_is_an_error(montgomery, capsys):
    for path in (montgomery / "CXR_png").iterdir():
        path.unlink()
    code, out = prepare("montgomery", montgomery)
    assert code == 2 and "no .png image" in capsys.readouterr().err and not out.exists()


def test_only_bad_images_is_an_error_that_says_why(montgomery, capsys):
    for path in (montgomery / "CXR_png").iterdir():
        path.write_bytes(b"")
    code, out = prepare("montgomery", montgomery)
    assert code == 2 and "empty" in capsys.readouterr().err and not out.exists()


def test_unlabelled_keeps_one_of_equal_files(tmp_path):
    raw = tmp_path / "raw"
    for name in ("a/one.png", "b/two.png", "b/three.jpeg"):
        write(raw / name, picture(7 if name.endswith("png") else 8))
    (raw / "notes.txt").write_text("not an image")
    _, out = prepare("unlabelled", raw)
    assert list(load_prepared(out).ids) == ["a/one.png", "b/three.jpeg"]
    assert skipped(out) == {"b/two.png": "the same bytes as a/one.png"}


def test_the_same_raw_folder_gives_the_same_bytes(shenzhen):
    _, out = prepare("shenzhen", shenzhen)
    first = {p.name: p.read_bytes() for p in out.iterdir()}
    prepare("shenzhen", shenzhen, "--overwrite")
    assert first == {p.name: p.read_bytes() for p in out.iterdir()}


@pytest.mark.skipif(not (REAL / "montgomery").is_dir(), reason="no real images here")
@pytest.mark.parametrize("name", ["montgomery", "shenzhen"])
def test_real_sets_are_prepared_without_a_skip(name, tmp_path):
    out = tmp_path / "out"
    assert main([name, str(REAL / name), str(out), "--size", "64"]) == 0
    made = load_prepared(out)
    assert not made.about["skipped"] and 0.1 < made.masks.mean() < 0.4
    assert set(made.labels["abnormal"]) == {0, 1}


@pytest.mark.skipif(not (REAL / "pediatric").is_dir(), reason="no real images here")
def test_real_duplicates_are_found(tmp_path):
    out = tmp_path / "out"
    assert main(["unlabelled", str(REAL / "pediatric"), str(out), "--size", "32"]) == 0
    reasons = [entry["why"] for entry in load_prepared(out).about["skipped"]]
    assert reasons and all("the same bytes as" in why for why in reasons)


@pytest.mark.parametrize(("name", "masks"), [("montgomery", 6), ("shenzhen", 5)])
def test_about_tells_what_was_found(name, masks, request):
    _, out = prepare(name, request.getfixturevalue(name))
    assert load_prepared(out).about["found"] == {
        "images": 6, "normal": 3, "abnormal": 3, "masks": masks,
    }  # fmt: skip


@pytest.mark.parametrize(("skipped_files", "listed", "more"), [(10, 10, None), (12, 10, "2 more")])
def test_ten_of_what_was_skipped_are_printed_and_the_rest_counted(skipped_files, listed, more):
    why = ["the same as a", "truncated"]
    about = {
        "counts": {"constant_masks": {"0": 3, "1": 0}, "patients": 7},
        "patients": "by name",
        "other_files": {".csv": 2},
        "skipped": [{"file": f"f{i}", "why": why[i % 2]} for i in range(skipped_files)],
    }
    first, masks, others, skips, *files = _details(about, Path("about.json"))
    assert (first, masks) == ("patients: 7, by name", "masks that are all 0: 3")
    assert others == "not images: 2 files, .csv"
    assert skips.startswith(f"skipped {skipped_files}, {skipped_files // 2} of them equal")
    assert sum(line.startswith("  f") for line in files) == listed
    assert files[listed:] == ([f"  and {more}"] if more else [])


def test_report_of_a_set_has_a_line_for_all_that_it_states():
    about = {
        "settings": {"fractions": [0.7, 0.3, 0.0]},
        "counts": {"patients": 7, "train": 9, "validation": 0, "constant_masks": {"0": 0, "1": 2}},
        "name": "Shenzhen",
        "found": {"images": 9},
        "patients": "by name",
        "boxes": "of the panel",
        "other_files": {".csv": 2, ".txt": 1},
        "skipped": [],
    }
    about["counts"]["images"] = 9
    assert list(_details(about, Path("about.json"))) == [
        "no image for validation: 7 patients are too few to fill every split",
        "Shenzhen, not the whole set: found images 9 (paper 662); kept 9 images",
        "patients: 7, by name",
        "boxes: of the panel",
        "masks that are all 1: 2",
        "not images: 2 files, .csv",
        "not images: 1 files, .txt",
    ]


def test_report_of_a_set_that_states_little_is_short():
    about = {"counts": {"constant_masks": {}}, "skipped": [{"file": "a", "why": "cut off"}]}
    assert list(_details(about, Path("about.json"))) == [
        "skipped 1, 0 of them equal to another picture (all of them in about.json):",
        "  a: cut off",
    ]
