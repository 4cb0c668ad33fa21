"""Whose an image is: by PatientID, by folder, by file name, or as the user says."""

import cv2
import numpy as np
import pytest
from dicom_files import dicom
from full_disk import nothing

from data_prep.__main__ import main
from data_prep.layout import FEW, MANY
from data_prep.patients import name_patients, patient_ids
from ums.data.prepared import load_prepared

SLICES = range(FEW + 10)

LAYOUTS = {
    "CheXpert": {
        "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg": "patient00001",
        "CheXpert-v1.0-small/train/patient00001/study2/view1_frontal.jpg": "patient00001",
        "CheXpert-v1.0-small/train/patient00002/study1/view1_frontal.jpg": "patient00002",
        "CheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg": "patient64541",
    },
    "CheXpert, flat": {
        "patient00001_study1_view1_frontal.jpg": "patient00001",
        "patient00001_study2_view1_frontal.jpg": "patient00001",
        "patient00002_study1_view1_frontal.jpg": "patient00002",
    },
    "MIMIC": {
        "files/p10/p10000032/s50414267/02aa804e.jpg": "p10000032",
        "files/p10/p10000032/s53189527/2a2277a9.jpg": "p10000032",
        "files/p10/p10000764/s57375967/096052b7.jpg": "p10000764",
    },
    "BIDS": {
        "sub-S03047/ses-E06000/mod-rx/sub-S03047_ses-E06000_run-1.png": "sub-S03047",
        "sub-S03047/ses-E07000/mod-rx/sub-S03047_ses-E07000_run-1.png": "sub-S03047",
        "derivatives/sub-S03048/ses-E06000/sub-S03048_run-1.png": "sub-S03048",
    },
    "PACS": {
        "A17/ST000001/SE000001/IM000001": "A17",
        "A17/ST000002/SE000001/IM000001": "A17",
        "B02/ST000001/SE000001/IM000001": "B02",
    },
    "a disc": {
        "DICOM/PA000000/ST000000/SE000000/IM000000": "PA000000",
        "DICOM/PA000000/ST000000/SE000001/IM000000": "PA000000",
        "DICOM/PA000001/ST000000/SE000000/IM000000": "PA000001",
    },
    "one stem in several folders": {
        "anna/front.png": "anna",
        "anna/side.png": "anna",
        "ben/front.png": "ben",
        "ben/side.png": "ben",
    },
    "slices of two patients": {f"{p}/{i:04d}.png": p for p in ("anna", "ben") for i in SLICES},
    "patients in train and test": {"train/anna/1.png": "anna", "test/anna/2.png": "anna"}
    | {"train/ben/3.png": "ben"},
    "patients within hospitals": {"hospitalA/anna/1.png": "anna", "hospital_B/ben/2.png": "ben"},
    "two studies by date": {
        "anna/2019-03-01/a.png": "anna",
        "anna/2020-04-01/b.png": "anna",
        "ben/2019-05-01/c.png": "ben",
    },
    "NIH": {
        "images_001/images/00000001_000.png": "00000001",
        "images_002/images/00000001_001.png": "00000001",
        "images_002/images/00000002_000.png": "00000002",
    },
    "Indiana": {"CXR1_1_IM-0001-3001.png": "CXR1", "CXR1_1_IM-0001-4001.png": "CXR1"}
    | {"CXR12_IM-0002-1001.png": "CXR12"},
    "pediatric": {
        "train/PNEUMONIA/person12_virus_3.jpeg": "train/PNEUMONIA/person12",
        "val/PNEUMONIA/person12_bacteria_4.jpeg": "train/PNEUMONIA/person12",
        "test/PNEUMONIA/person12_virus_5.jpeg": "test/PNEUMONIA/person12",
        "train/NORMAL/IM-0115-0001.jpeg": "train/NORMAL/IM-0115",
        "train/NORMAL/IM-0115-0001-0002.jpeg": "train/NORMAL/IM-0115",
        "train/NORMAL/NORMAL2-IM-0115-0001.jpeg": "train/NORMAL/NORMAL2-IM-0115",
    },
    "OsiriX": {f"{p}/CT 12/IM-0001-{i:04d}.png": p for p in ("anna", "ben") for i in SLICES},
    "UIDs without an ending": {f"1.2.840.{i}": f"1.2.840.{i}" for i in range(3)},
    "numbered patients with the same files": {
        f"{p}/{v}.png": f"{p}" for p in range(1, 9) for v in SLICES
    },
    "patients by number": {f"{p}/{v}.png": f"{p}" for p in (1, 2) for v in SLICES},
    "studies alone": {"train/study1/s1/a.png": "study1", "train/study2/s1/b.png": "study2"},
    "files that are called by their view": {"PA.png": "PA", "lateral.png": "lateral"},
    "a wrapper around patients": {
        f"thesis/v1/{p}/{v}.png": p for p in ("anna", "ben") for v in "ab"
    },
    "PadChest": {f"{n}_00-163-0{n}8.png": f"{n}" for n in range(1, 4)},
    "VinDr": {"train/0a1b.dicom": "train/0a1b", "test/9f8e.dicom": "test/9f8e"},
    "classes": {f"{c}/{i}.png": f"{c}/{i}" for c in ("NORMAL", "Lung_Opacity") for i in SLICES},
    "patients numbered from 000 within classes": {
        f"{c}/{p:03d}/{v}.png": f"{p:03d}"
        for c in ("COVID", "NORMAL")
        for p in range(3)
        for v in SLICES
    },
    "patients in brackets": {
        f"CT_COVID/Patient ({p}) - {i}.png": f"Patient {p}" for p in range(3) for i in range(2)
    },
    "classes by number": {f"{c}/{i}.png": f"{c}/{i}" for c in "01" for i in range(3)},
    "classes in parts": {
        f"{s}/{c}/{c} ({i}).jpg": f"{s}/{c}/{c} ({i})"
        for s in ("train", "validation")
        for c in ("COVID-19", "Viral Pneumonia")
        for i in range(4)
    },
    "large folders of unknown names": {
        f"{c}/{c}-{i}.png": f"{c}/{c}-{i}" for c in ("glioma", "meningioma") for i in SLICES
    },
    "one folder around all": {f"thesis/{i}.png": f"thesis/{i}" for i in range(3)},
    "views in folders": {f"{v}/{i}.png": f"{i}" for v in ("PA", "lateral") for i in range(3)},
    "views in names": {f"{i}_{v}.png": f"{i}" for v in ("PA", "lateral") for i in range(3)},
    "one picture in two formats": {"a.png": "a", "a.jpg": "a", "b.png": "b"},
    "case of letters": {"Patient_7/a.png": "Patient_7", "patient_7/b.png": "Patient_7"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_patients_are_told_by_the_layout(layout):
    patients, _ = name_patients(list(LAYOUTS[layout]), [""] * len(LAYOUTS[layout]))
    assert dict(zip(LAYOUTS[layout], patients, strict=True)) == LAYOUTS[layout]


TWICE = {
    "dates above": "2019010{0}/{1:08d}/x.png",
    "dates with dashes above": "2019-01-0{0}/{1:08d}/x.png",
    "dates in a folder": "export/2021-03-0{0}/{1:06d}/CR1.png",
    "years": "201{0}/{1:04d}.png",
    "years above": "201{0}/{1:04d}/x.png",
    "visits": "visit{0}/{1:04d}.png",
    "exams in parts": "train/exam {0}/P{1:03d}.png",
    "a UID for each": "jpeg/1.3.6.1.4.1.9590.{1}/{0}-1.jpg",
    "a UID within patients": "P_{1:05d}/1.3.6.1.4.1.9590.{0}{1}/1-1.jpg",
    "dotted studies": "images/id_{1:08x}/Study_{0}.7{1}/Series_3.4/image-{0}.png",
    "counters": "P{1:03d}_{0}.png",
    "two counters": "P{1:03d}_{0}_{0}.png",
    "letters before": "ID_{1:03d}_{0}.png",
    "letters before, in a folder": "all/pid{1:05d}_{0}.png",
    "dates in names": "MRN{1:07d}_2019010{0}_{0}.png",
    "views with a number": "{1:04d}_view{0}_frontal.png",
    "resized NIH": "0000{1:04d}_00{0}_resized.png",
    "augmented": "{1:03d}_aug{0}.png",
    "Roboflow": "{1:03d}_png.rf.{0:032x}.jpg",
    "volunteers": "volunteer{1:02d}_{0}.png",
    "number sign": "Patient #{1} scan {0}.png",
    "counters in several folders": "part{0}/P{1:03d}_{0}.png",
    "counters in folders of unknown names": "cxr_png_{0}/{1:03d}_{0}.png",
    "numbers that might be years": "20{1:02d}/{0}.png",
    "a day for each": "2021-03-{1:02d}/{0}.png",
    "slices": "{1:03d}_slice_{0:03d}.png",
}


@pytest.mark.parametrize("layout", TWICE)
def test_each_of_twelve_patients_has_two_images(layout):
    names = [TWICE[layout].format(i, p) for p in range(1, 13) for i in (1, 2)]
    patients, _ = name_patients(names, [""] * 24)
    assert patients[::2] == patients[1::2] and len({*patients}) == 12


WORDS = {
    "baseline and follow-up": ("baseline/{}.png", "followup/{}.png"),
    "scanners": ("GE/{}/1.png", "Siemens/{}/1.png"),
    "eyes": ("{}_left.jpeg", "{}_right.jpeg"),
    "sides in folders": ("left/{}.png", "right/{}.png"),
    "mammograms": ("P{}_L_CC.png", "P{}_R_MLO.png"),
    "letters": ("{}_a.png", "{}_b.png"),
    "mixed": ("P{}.png", "P{}_2.png"),
    "BIDS without numbers": ("sub-A{}XY_ses-pre_x.png", "sub-A{}XY_ses-post_x.png"),
}


@pytest.mark.parametrize("pair", WORDS)
def test_words_for_a_view_or_an_occasion_are_no_patients(pair):
    names = [name.format(f"{p:04d}") for p in range(12) for name in WORDS[pair]]
    patients, _ = name_patients(names, [""] * 24)
    assert patients[::2] == patients[1::2] and len({*patients}) == 12


@pytest.mark.parametrize(
    ("layout", "patients"),
    [
        ("patient_{}/{}.png", ["smith", "jones", "ABC"]),
        ("patient_{}_{}.png", ["smith", "jones", "ABC"]),
        ("patient{}_{}.png", "ABC"),
        ("sub-{}/ses-pre/x{}.png", ["ABXY", "CDXY"]),
        ("{0}/{0}0{1:02d}.png", range(1, 6)),
    ],
)
def test_large_folders_may_be_patients(layout, patients):
    names = [layout.format(p, i) for p in patients for i in SLICES]
    found, _ = name_patients(names, [""] * len(names))
    assert len({*found}) == len(patients) == len({*zip(names, found, strict=True)}) / len(SLICES)


@pytest.mark.parametrize(
    ("images_each", "told"),
    [
        ([1, 2], "all"),
        ([FEW] * 3, "all"),
        ([FEW + 1] * 3, ""),  # so many are slices, or classes
        ([FEW + 1] * MANY, ""),
        ([FEW + 1] * (MANY + 1), "all"),  # but not so many classes
        ([FEW, FEW, FEW + 1], "all"),
        ([FEW, FEW + 1, FEW + 1], ""),
        ([5, 5, FEW + 1], "all but the last"),  # most of many images share it
        ([5, 5, FEW], "all"),
        ([5] * 8 + [40], "all"),
        ([5] * 8 + [41], "all but the last"),
        ([9], ""),
    ],
)
def test_beginnings_of_names_are_patients_if_few_images_share_each(images_each, told):
    names = [f"P{p:03d}_{i}.png" for p, n in enumerate(images_each) for i in range(n)]
    found, _ = name_patients(names, [""] * len(names))
    whose = {f"P{p:03d}" for p in range(len(images_each))} & {*found}
    last = f"P{len(images_each) - 1:03d}"
    by_words = {"": 0, "all but the last": len(images_each) - 1}
    assert len(whose) == by_words.get(told, len(images_each))
    assert (last in whose) == (told == "all")


@pytest.mark.parametrize("ending", ["A", "b", "POST", "Pre", "IMG3", "20210304"])
def test_counters_after_a_patient_are_told_in_small_and_large_letters(ending):
    names = [f"P{p:03d}_{last}.png" for p in range(3) for last in ("c", ending)]
    found, _ = name_patients(names, [""] * len(names))
    assert found == [f"P{p:03d}" for p in range(3) for _ in range(2)]


@pytest.mark.parametrize(
    "layout",
    [
        "covid19_{}.png",
        "COVID-19 ({}).png",
        "img_{:04d}.png",
        "stage2_{}.png",
        "2020-01-01/IM{}.png",
        "jpeg/1.2.840.1.1/{}.png",
        "patient_images/{}.png",
        "class1_{}.png",
    ],
)
def test_images_of_a_set_do_not_become_one_patient(layout):
    names = [layout.format(i) for i in range(400)] + ["normal1_1.png", "x2_1.png"]
    patients, _ = name_patients(names, [""] * len(names))
    assert len({*patients}) > 390


@pytest.mark.parametrize(
    ("folders", "files", "are_patients"),
    [
        (3, FEW, True),
        (3, FEW + 1, False),
        (MANY, FEW + 1, False),
        (MANY + 1, FEW + 1, True),
    ],
)
def test_folders_of_unknown_names_are_patients_if_small_or_many(folders, files, are_patients):
    names = [f"folder {chr(97 + f)}x/{f} {i}.png" for f in range(folders) for i in range(files)]
    patients, rule = name_patients(names, [""] * len(names))
    assert len(set(patients)) == (folders if are_patients else folders * files)
    assert rule.startswith("by folder" if are_patients else "each image")


@pytest.mark.parametrize(
    ("files", "patients"),
    [
        ({"a.dcm": "X", "b.dcm": "Y", "c.dcm": "X"}, "XYX"),  # in no folder
        ({"NORMAL/a.dcm": "X", "PNEUMONIA/a.dcm": "X", "NORMAL/b.dcm": "Y"}, "XXY"),
        ({"patient1/s1/a.dcm": "X", "patient1/s2/b.png": "", "patient2/c.dcm": "Y"}, "XXY"),
        ({"anna/a.dcm": "X", "anna/b.png": "", "ben/a.dcm": "Y"}, "XXY"),
        ({"patient1/a.dcm": "X", "patient1/b.dcm": "Y", "patient2/c.dcm": "Z"}, "XYZ"),
        ({"may/a.dcm": "X", "may/b.dcm": "Y", "june/c.dcm": "Y"}, "XYY"),
        ({"a.dcm": "x1", "b.dcm": "X1", "c.dcm": "Y"}, ["x1", "x1", "Y"]),
        ({"a.dcm": "001", "b.dcm": "000001", "c.dcm": "2"}, ["001", "001", "2"]),
        ({"a.dcm": "P0", "b.dcm": "P0^^^HOSP", "c.dcm": "P1"}, ["P0", "P0", "P1"]),
        ({f"{n}.dcm": "ANONYMOUS 1" for n in "abc"}, "abc"),
        ({"anna/a.dcm": "S", "ben/b.dcm": "S"}, ["anna", "ben"]),  # the same in all files
    ],
)
def test_patient_ids_go_before_guesses_and_join_what_a_patients_folder_holds(files, patients):
    assert name_patients(list(files), list(files.values()))[0] == list(patients)


def test_the_rules_are_counted_and_a_patient_of_half_the_images_is_named():
    _, rule = name_patients(["a.dcm", "patient1/b.png", "patient1/c.png"], ["X", "", ""])
    assert "PatientID of the DICOM files (1 of 3 images)" in rule
    assert "by the name of a folder or file (2 of 3 images)" in rule
    assert rule.endswith("patient1 alone has 2 of 3 images")
    assert "one PatientID, S, which is not used" in name_patients(["a/a", "b/b"], ["S", "S"])[1]


def write(path, seed=0, **tags):
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    is_dicom = path.suffix in (".dcm", "")
    path.write_bytes(dicom(pixels, **tags) if is_dicom else cv2.imencode(".png", pixels)[1])


def prepare(raw, *more):
    out = raw.parent / "out"
    code = main(["unlabelled", str(raw), str(out), "--size", "8", "--overwrite", *more])
    return load_prepared(out) if code == 0 else None


@pytest.mark.parametrize("ending", [".dcm", ""])
def test_dicoms_in_one_folder_are_split_by_patient_id(ending, tmp_path, capsys):
    for i in range(12):
        write(tmp_path / "raw" / f"IM{i:04d}{ending}", i, PatientID=f"P{i % 4}")
    made = prepare(tmp_path / "raw")
    assert made.patients.tolist() == [f"P{i % 4}" for i in range(12)]
    assert made.about["patients"] == "by the PatientID of the DICOM files"
    assert "patients: 4, by the PatientID" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("stated", "read"),
    [
        ("P 1 ", "P 1"),
        ("", ""),
        ("ANONYMOUS", ""),
        ("Anon^Patient", ""),
        ("ANON0012", "ANON0012"),
        ("unknown", ""),
        ("REDACTED", ""),
        ("TEST PATIENT", ""),
        ("xxxx", ""),
        ("A\0", "A"),
        ("A\x07", "A\\x07"),
    ],
)
def test_patient_ids_are_tidied_and_placeholders_ignored(stated, read, tmp_path):
    write(tmp_path / "a.dcm", PatientID=stated)
    assert patient_ids([tmp_path / "a.dcm"]) == [read]


@pytest.mark.parametrize("cut", [0, 100, 132, 140, 180])
def test_a_damaged_header_states_no_patient(cut, tmp_path):
    write(tmp_path / "a.dcm", PatientID="P1")
    data = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "a.dcm").write_bytes(data[:cut] + b"\xff" * 40)
    assert patient_ids([tmp_path / "a.dcm"]) == [""]


@pytest.fixture
def raw(tmp_path):
    for i, name in enumerate(("x_1_a.png", "x_1_b.png", "y_2_a.png", "y_3_a.png")):
        write(tmp_path / "raw" / name, i)
    return tmp_path / "raw"


def test_the_user_may_say_where_the_patient_is(raw):
    made = prepare(raw, "--patient", r"_(\d)_")
    assert made.patients.tolist() == ["1", "1", "2", "3"]
    assert made.about["patients"] == r"by the expression _(\d)_"
    assert prepare(raw, "--patient", "^(.)").patients.tolist() == ["x", "x", "y", "y"]


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        (r"x_(\d)", "finds no patient in y_2_a.png"),
        (r"x(\d)?", "finds no patient in x_1_a.png"),
        (r"x_\d", "should have a group"),
        (r"x_(", "no regular expression"),
    ],
)
def test_an_expression_that_finds_no_patient_is_an_error(raw, expression, why, capsys):
    assert prepare(raw, "--patient", expression) is None
    error = capsys.readouterr().err
    assert why in error and error.count("\n") == 1


@pytest.mark.parametrize(
    "names",
    [
        ["patient_1.png", "Patient 01.png", "PATIENT-001_b.png", "patient.1 (2).png"],
        ["patient1/a.png", "patient01/b.png", "patient 1/c.png"],
        ["train/sub-01/a.png", "test/sub-1/a.png"],
        ["train/N/person7_virus_1.png", "train/N/person07_virus_2.png"],
        ["a/pt(3).png", "b/PT_03.png"],
    ],
)
def test_a_number_in_several_spellings_is_one_patient(names):
    others = ["patient10.png", "patient_2.png"]
    patients, _ = name_patients([*names, *others], [""] * (len(names) + 2))
    assert len({*patients[: len(names)]}) == 1 and len({*patients}) == 3


@pytest.mark.parametrize(
    ("files", "patients"),
    [
        ({"anna/a.dcm": "X", "anna/b.dcm": "Y", "anna/c.png": "", "ben/a.dcm": "Y"}, "XXXX"),
        ({"ben/a.dcm": "Y", "anna/a.dcm": "X", "anna/b.dcm": "Y", "anna/c.png": ""}, "XXXX"),
        ({"patient1/a.dcm": "X", "patient 01/b.png": "", "patient2/c.dcm": "Y"}, "XXY"),
        (
            {"p/anna/a.dcm": "X", "p/anna/b.dcm": "Y", "p/anna/c.png": ""}
            | {"p/ben/a.dcm": "Y", "p/ben/b.dcm": "Z", "p/ben/c.png": "", "p/cy/a.dcm": "W"},
            "XXXXXXW",
        ),
    ],
)
def test_ids_beside_a_file_without_one_are_joined(files, patients):
    found, rule = name_patients(list(files), list(files.values()))
    assert len({*zip(found, patients, strict=True)}) == len({*patients}) == len({*found})
    assert ("one patient, because" in rule) == (patients != "XXY")


def test_no_memory_for_a_header_is_not_taken_for_no_patient(tmp_path, monkeypatch):
    write(tmp_path / "a.dcm", PatientID="P1")
    monkeypatch.setattr("pydicom.dcmread", nothing(MemoryError()))
    with pytest.raises(MemoryError):
        patient_ids([tmp_path / "a.dcm"])


def test_splits_that_stay_empty_are_named(tmp_path, capsys):
    for i in range(4):
        write(tmp_path / "raw" / f"patient{i // 3}_{i}.png", i)
    assert prepare(tmp_path / "raw") is not None
    printed = capsys.readouterr().out
    assert "no image for test: 2 patients are too few" in printed and "for train" not in printed
