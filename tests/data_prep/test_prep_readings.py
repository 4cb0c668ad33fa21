"""Age and sex from clinical readings, in the spellings that were published, and odd ones."""

import json

import cv2
import numpy as np
import pytest
from raw_files import write

from data_prep.__main__ import main
from data_prep.collect import prepare
from data_prep.cxr import digest
from data_prep.listing import Item
from data_prep.montgomery import list_montgomery
from data_prep.options import Options
from data_prep.readings import read_reading
from data_prep.shenzhen import ABOUT, list_shenzhen

NAMES = ("CHNCXR_0001_0", "CHNCXR_0002_0", "CHNCXR_0003_1", "CHNCXR_0004_1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("male 45yrs\nnormal", {"age": 45, "sex": 1}),
        ("Female, 28yrs\r\nPTB in the right upper field", {"age": 28, "sex": 0}),
        ("femal 32yrs", {"age": 32, "sex": 0}),
        ("male25yrs", {"age": 25, "sex": 1}),
        ("male 16month\n", {"age": 1, "sex": 1}),
        ("female 64days", {"age": 0, "sex": 0}),
        ("Patient's Sex: F\nPatient's Age: 027Y\nnormal", {"age": 27, "sex": 0}),
        ("Patient's Sex: M \n\nPatient's Age: 006M", {"age": 0, "sex": 1}),
        ("Patient's Sex: O\nPatient's Age: 030Y", {"age": 30}),
        ("Patient's Sex:\nPatient's Age: 999Y", {}),
        ("female\n2 mm nodule\n40 years", {"sex": 0}),
        ("normal\nno finding", {}),
        ("\xff\xfe", {}),
        ("", {}),
    ],
)
def test_reading(text, expected, tmp_path):
    (tmp_path / "a.txt").write_bytes(text.encode("latin-1"))
    assert read_reading(tmp_path / "a.txt") == expected


def test_a_missing_file_or_a_folder_in_its_place_says_nothing(tmp_path):
    assert read_reading(tmp_path / "none.txt") == {} == read_reading(tmp_path)


@pytest.fixture
def raw(tmp_path):
    raw = write(tmp_path / "raw", *(f"CXR_png/{name}.png" for name in NAMES))
    for k, name in enumerate(NAMES):
        pixels = np.random.default_rng(k).integers(0, 256, (16, 16), np.uint8)
        assert cv2.imwrite(str(raw / "CXR_png" / f"{name}.png"), pixels)
    (raw / "mask").mkdir()
    (raw / "ClinicalReadings").mkdir()
    for name, text in zip(NAMES, ("male 45yrs", "Female, 28yrs", "torn"), strict=False):
        (raw / "ClinicalReadings" / f"{name}.txt").write_text(text)
    return raw


def test_ages_and_sexes_become_columns_unknown_where_they_cannot_be_read(raw, tmp_path):
    made = prepare(list_shenzhen(raw), tmp_path / "out", Options(size=16), ABOUT)
    assert made.labels["age"].tolist() == [45, 28, -1, -1]
    assert made.labels["sex"].tolist() == [1, 0, -1, -1]
    assert made.labels["abnormal"].tolist() == [0, 0, 1, 1]
    assert made.about["readings"] == {"age": 2, "sex": 2, "images": 4}
    assert made.about["label_values"] == {"sex": {"0": "female", "1": "male"}}
    assert made.about["skipped"] == []


def test_the_command_prints_how_many_are_known(raw, tmp_path, capsys):
    assert main(["shenzhen", str(raw), str(tmp_path / "out"), "--size", "16"]) == 0
    assert "readings: age of 2, sex of 2 of 4 images" in capsys.readouterr().out


def test_without_the_folder_the_set_is_as_before(raw):
    (raw / "ClinicalReadings").rename(raw / "Readings")
    listing = list_shenzhen(raw)
    assert [item.labels for item in listing.items] == [{"abnormal": k} for k in (0, 0, 1, 1)]
    assert "readings" not in listing.about and "label_values" not in listing.about


def test_montgomery_has_them_too(tmp_path):
    sides = [f"ManualMask/{side}Mask/MCUCXR_0001_0.png" for side in ("left", "right")]
    raw = write(tmp_path, "CXR_png/MCUCXR_0001_0.png", *sides)
    (raw / "ClinicalReadings").mkdir()
    text = "Patient's Sex: F\nPatient's Age: 027Y\nnormal"
    (raw / "ClinicalReadings" / "MCUCXR_0001_0.txt").write_text(text)
    assert list_montgomery(raw).items[0].labels == {"abnormal": 0, "age": 27, "sex": 0}


def test_readings_that_come_later_make_the_set_anew(raw):
    items = list_shenzhen(raw).items
    other = [Item(i.id, i.patient, i.image, i.masks, i.labels | {"age": 9}) for i in items]
    assert digest(raw, items) != digest(raw, other)


def test_the_share_of_dark_pixels_is_recorded(raw, tmp_path):
    made = prepare(list_shenzhen(raw), tmp_path / "out", Options(size=16), ABOUT)
    about = json.loads((tmp_path / "out" / "about.json").read_text())
    share = round(float(np.mean(made.images <= 8)), 4)
    assert 0 < share < 0.2 and about["pixels"] == {"dark": share, "dark_at_most": 8}
    assert about["original_sizes"]["different"] == 1
