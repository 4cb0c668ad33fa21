"""The four folders of the chest X-ray experiment, from tiny raw sets and synthetic, by command line."""

import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from dicom_files import dicom

from data_prep.__main__ import main
from data_prep.cxr import prepare_cxr
from data_prep.options import Options
from data_prep.synthetic_sets import ROLES, Sizes, plan, prepare_parts
from ums.data.prepared import load_prepared

TRAIN = ("NORMAL/IM-0115-0001", "NORMAL/IM-0117-0001", "PNEUMONIA/person1_bacteria_1")
TRAIN += ("PNEUMONIA/person1_bacteria_2", "PNEUMONIA/person2_virus_6", "PNEUMONIA/person9_virus_7")
TEST = ("NORMAL/IM-0001-0001", "PNEUMONIA/person1_bacteria_9", "PNEUMONIA/person3_virus_8")
CHILDREN = "pediatric/chest_xray"


def write(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (20, 24), dtype=np.uint8)


@pytest.fixture
def raw(tmp_path):
    raw, mask = tmp_path / "raw", np.full((20, 24), 255, np.uint8)
    mask[:, :3] = 0
    for i in range(4):
        write(raw / "shenzhen" / "CXR_png" / f"CHNCXR_{i:04d}_{i % 2}.png", picture(i))
        write(raw / "shenzhen" / "mask" / f"CHNCXR_{i:04d}_{i % 2}_mask.png", mask)
        write(raw / "montgomery" / "CXR_png" / f"MCUCXR_{i:04d}_{i % 2}.png", picture(10 + i))
        for side in ("left", "right"):
            name = f"{side}Mask/MCUCXR_{i:04d}_{i % 2}.png"
            write(raw / "montgomery" / "ManualMask" / name, mask)
        write(raw / "nih_cxr14" / f"{i:08d}_000.png", picture(20 + i))
    names = [f"train/{name}" for name in TRAIN] + [f"test/{name}" for name in TEST]
    for seed, name in enumerate(names, start=30):
        write(raw / CHILDREN / f"{name}.jpeg", picture(seed))
    return raw


def prepare(raw, *more):
    """The exit code, and the folder beside `raw` that holds the prepared ones."""
    out = raw.parent / "out"
    return main(["cxr", str(out), "--data", str(raw), "--size", "16", *more]), out


def folders(out):
    return sorted(path.name for path in out.iterdir())


def made_at(out, role):
    return (out / role / "about.json").stat().st_mtime_ns, (out / role).stat().st_ino


def test_real_pneumonia_is_as_the_pediatric_command_makes_it(raw, capsys):
    code, out = prepare(raw)
    assert code == 0 and folders(out) == ["pneumonia", "source", "target", "test"]
    assert "similar tasks" not in capsys.readouterr().out
    assert main(["pediatric", str(raw / "pediatric"), str(out / "alone"), "--size", "16"]) == 0
    for name in ("images.npy", "table.csv"):
        assert (out / "pneumonia" / name).read_bytes() == (out / "alone" / name).read_bytes()
    made = load_prepared(out / "pneumonia")
    assert [np.sum(made.splits == s) for s in ("train", "validation", "test")] == [6, 0, 3]
    assert made.labels["pneumonia"].tolist() == [0, 0, 1, 1, 2, 2, 0, 1, 2]


def test_the_source_has_the_training_part_only_and_says_so(raw):
    _, out = prepare(raw)
    source = load_prepared(out / "source")
    assert len(source) == 4 + len(TRAIN) and not any("/test/" in id_ for id_ in source.ids)
    assert f"the {len(TEST)} images of {CHILDREN}/test" in source.about["held_out"]


@pytest.mark.parametrize(
    "copy", ["nih_cxr14/00000099_000.png", f"{CHILDREN}/train/PNEUMONIA/person77_virus_9.png"]
)
def test_a_test_picture_under_another_name_is_not_in_the_source(raw, copy):
    test = raw / CHILDREN / "test" / "PNEUMONIA" / "person3_virus_8.jpeg"
    write(raw / copy, cv2.imread(str(test), cv2.IMREAD_GRAYSCALE))
    _, out = prepare(raw)
    source, pneumonia = load_prepared(out / "source"), load_prepared(out / "pneumonia")
    same = f"the same pixels as {test.relative_to(raw).as_posix()}"
    assert {"file": copy, "why": same} in source.about["skipped"]
    tested = {image.tobytes() for image in pneumonia.images[pneumonia.splits == "test"]}
    assert len(tested) == len(TEST)
    assert not tested & {image.tobytes() for image in source.images}
    assert not tested & {i.tobytes() for i in pneumonia.images[pneumonia.splits == "train"]}


def test_whoever_is_in_the_test_part_by_a_shared_picture_is_in_no_other(raw):
    folder = raw / CHILDREN / "train" / "PNEUMONIA"
    shutil.copy(raw / CHILDREN / "test" / f"{TEST[2]}.jpeg", folder / "person9_virus_8.jpeg")
    _, out = prepare(raw)
    for role in ("source", "pneumonia"):
        made = load_prepared(out / role)
        assert not any("person9" in id_ for id_ in made.ids)
        whys = [entry["why"] for entry in made.about["skipped"] if "virus_7" in entry["file"]]
        assert len(whys) == 1 and whys[0].endswith("shares a picture with the test set")


def test_no_patient_is_on_both_sides(raw):
    _, out = prepare(raw)
    made, source = load_prepared(out / "pneumonia"), load_prepared(out / "source")
    tested = set(made.patients[made.splits == "test"])
    assert tested == {"test/IM-0001", "test/person1", "test/person3"}
    assert not tested & set(made.patients[made.splits == "train"])
    assert not any("test/person" in patient for patient in source.patients)


def test_duplicates_within_the_test_part_are_no_matter_of_the_source(raw):
    folder = raw / CHILDREN / "test" / "PNEUMONIA"
    shutil.copy(folder / "person3_virus_8.jpeg", folder / "person4_virus_8.jpeg")
    (folder / "person5_virus_1.jpeg").write_bytes(b"broken")
    _, out = prepare(raw)
    assert load_prepared(out / "source").about["skipped"] == []
    assert len(load_prepared(out / "pneumonia").about["skipped"]) == 2


def test_two_copies_of_the_pediatric_set_leak_nothing(raw):
    shutil.copytree(raw / CHILDREN, raw / "chest_xray")
    write(raw / "chest_xray" / "test" / "NORMAL" / "IM-0009-0001.jpeg", picture(99))
    _, out = prepare(raw)
    assert len(load_prepared(out / "source")) == 4 + len(TRAIN)


def test_the_same_files_and_seed_keep_the_folders_and_give_the_same_bytes(raw):
    _, out = prepare(raw)
    before = {role: made_at(out, role) for role in folders(out)}
    first = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    prepare(raw)
    assert before == {role: made_at(out, role) for role in folders(out)}
    shutil.rmtree(out)
    prepare(raw)
    assert first == {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}


def test_another_test_part_makes_source_and_pneumonia_anew(raw):
    _, out = prepare(raw)
    before = {role: made_at(out, role) for role in folders(out)}
    write(raw / CHILDREN / "test" / "NORMAL" / "IM-0009-0001.jpeg", picture(99))
    prepare(raw)
    changed = {role for role in before if made_at(out, role) != before[role]}
    assert changed == {"source", "pneumonia"}


def test_a_source_made_before_test_images_were_held_out_is_made_anew(raw):
    _, out = prepare(raw)
    path = out / "source" / "about.json"
    about = json.loads(path.read_text())
    del about["settings"]["held_out"]
    path.write_text(json.dumps(about))
    prepare(raw)
    assert "held_out" in json.loads(path.read_text())["settings"]


def test_a_table_changed_by_hand_is_not_discarded_by_preparing_again(raw, capsys):
    _, out = prepare(raw)
    path = out / "target" / "table.csv"
    edited = path.read_text().replace(",1,0", ",1,1", 1)
    path.write_text(edited)
    capsys.readouterr()
    assert prepare(raw)[0] == 2 and path.read_text() == edited
    assert f"`python -m data_prep accept {out / 'target'}` keeps it" in capsys.readouterr().err
    assert main(["accept", str(out / "target")]) == 0 == prepare(raw)[0]
    assert path.read_text() == edited


@pytest.mark.parametrize("about", ["[]", "null", '{"settings": []}', "{", "[" * 100_000])
def test_a_folder_whose_about_is_not_one_is_made_anew(about, raw):
    _, out = prepare(raw)
    path = out / "target" / "about.json"
    before = path.read_bytes()
    path.write_text(about)
    assert prepare(raw)[0] == 0 and path.read_bytes() == before


def test_without_a_pediatric_set_an_earlier_folder_goes_and_that_is_said(raw, capsys):
    _, out = prepare(raw)
    shutil.rmtree(raw / "pediatric")
    capsys.readouterr()
    code, _ = prepare(raw)
    shown = capsys.readouterr().out
    assert code == 0 and folders(out) == ["source", "target", "test"]
    assert "similar tasks cannot be run" in shown and f"removed {out / 'pneumonia'}" in shown
    assert len(load_prepared(out / "source")) == 4
    prepare(raw)
    shown = capsys.readouterr().out
    assert "similar tasks cannot be run" in shown and "removed" not in shown


def test_a_folder_that_holds_more_is_not_removed(raw, capsys):
    shutil.rmtree(raw / "pediatric")
    notes = raw.parent / "out" / "pneumonia" / "notes.txt"
    notes.parent.mkdir(parents=True)
    notes.write_text("mine")
    code, _ = prepare(raw)
    assert code == 2 and notes.exists() and "it holds notes.txt" in capsys.readouterr().err


def test_a_pediatric_set_in_one_piece_is_source_only(raw, capsys):
    shutil.move(raw / CHILDREN / "train", raw / "children")
    shutil.rmtree(raw / "pediatric")
    shutil.move(raw / "children", raw / "pediatric")
    code, out = prepare(raw)
    assert code == 0 and folders(out) == ["source", "target", "test"]
    source = load_prepared(out / "source")
    assert len(source) == 4 + len(TRAIN) and "held_out" not in source.about
    assert "holds no pediatric set with train and test" in capsys.readouterr().out


def test_a_class_without_an_image_is_an_error_after_which_the_other_sets_are_made(raw, capsys):
    (raw / CHILDREN / "test" / f"{TEST[2]}.jpeg").unlink()
    code, out = prepare(raw)
    assert code == 2 and "no viral image" in capsys.readouterr().err
    assert sorted(path.name for path in out.iterdir()) == ["source", "target", "test"]


def test_the_rule_for_patients_of_each_folder_of_the_source_is_printed(raw, capsys):
    _, out = prepare(raw)
    by = "by the name of a folder or file"
    rules = f"nih_cxr14: {by}; pediatric: {by}"
    assert load_prepared(out / "source").about["patients"] == rules
    assert f"patients: 9, {rules}" in capsys.readouterr().out


def test_an_expression_tells_the_patients_of_the_source_and_makes_it_anew(raw):
    _, out = prepare(raw)
    before = {role: made_at(out, role) for role in folders(out)}
    prepare(raw, "--patient", "(.*)")
    assert {role for role in before if made_at(out, role) != before[role]} == {"source"}
    source = load_prepared(out / "source")
    assert source.patients.tolist() == source.ids.tolist()
    assert source.about["patients"].startswith("nih_cxr14: by the expression (.*); pediatric: by")


def test_whoever_is_in_the_test_part_by_name_is_not_in_the_source(raw):
    _, out = prepare(raw, "--patient", r"(person\d+|IM-\d+|\d{8})")
    source = load_prepared(out / "source")
    left_out = [f"{CHILDREN}/train/PNEUMONIA/person1_bacteria_{n}.jpeg" for n in (1, 2)]
    why = "its patient has images in the test set"
    assert source.about["skipped"] == [{"file": file, "why": why} for file in left_out]
    assert not {*left_out} & {*source.ids.tolist()}


def test_a_folder_of_rsna_without_films_is_named_and_not_the_source(raw, capsys):
    (raw / "rsna").mkdir()
    _, out = prepare(raw)
    said = capsys.readouterr().out
    assert f"{raw / 'rsna'} holds no stage_2_train_images: it is not the source" in said
    assert load_prepared(out / "source").about["name"] == "nih_cxr14 and pediatric"


@pytest.mark.parametrize("source", ["rsna", "none", "synthetic"])
def test_an_expression_for_another_source_is_an_error(raw, source, capsys):
    shutil.rmtree(raw / "nih_cxr14")
    shutil.rmtree(raw / "pediatric")
    if source == "rsna":
        write(raw / "rsna" / "stage_2_train_images" / "a.png", picture(1))
        (raw / "rsna" / "stage_2_train_images" / "a.dcm").write_bytes(b"")
    more = [] if source == "synthetic" else ["--data", str(raw)]
    assert main(["cxr", str(raw.parent / "out"), *more, "--patient", "(.)"]) == 2
    assert "--patient is for an unlabelled source" in capsys.readouterr().err


SIZES = Sizes(images=20, labels=10, replicates=2, other=1)


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory):
    """The synthetic folders, to be left as they are."""
    out = tmp_path_factory.mktemp("synthetic") / "out"
    prepare_cxr(out, None, SIZES, Options(size=32))
    return out


@pytest.mark.parametrize(
    ("role", "counts"),
    [
        ("source", [2 * 20, 2 * 4, 4]),
        ("source-other", [20, 4, 4]),
        ("target", [2 * 10, 2 * 2, 8]),
        ("pneumonia", [2 * 12, 0, 12]),
        ("test", [0, 0, 16]),
    ],
)
def test_synthetic_parts_to_learn_from_grow_with_replicates_and_test_parts_do_not(
    synthetic, role, counts
):
    made = load_prepared(synthetic / role)
    assert [np.sum(made.splits == s) for s in ("train", "validation", "test")] == counts
    assert made.has_mask.all() and len(set(made.patients)) == sum(counts)
    assert (made.splits[sum(counts[:2]) :] == "test").all()


def test_every_replicate_and_the_test_part_have_each_class_equally_often(synthetic):
    for role, label, each in (("pneumonia", "pneumonia", 4), ("target", "abnormal", 6)):
        labels = load_prepared(synthetic / role).labels[label]
        n = each * len(np.unique(labels))
        for part in (labels[:n], labels[n : 2 * n], labels[2 * n :]):
            assert len(set(np.bincount(part))) == 1


def test_synthetic_children_have_opacities_where_they_are_ill(synthetic):
    children = load_prepared(synthetic / "pneumonia")
    ill = children.labels["pneumonia"] > 0
    np.testing.assert_array_equal(children.opacities.any(axis=(1, 2)), ill)
    assert "abnormal" not in children.labels and children.about["settings"]["hospital"] == "C"


def test_every_part_of_every_synthetic_folder_has_a_seed_of_its_own():
    seeds = [tuple(part.seed) for role in ROLES for part in plan(role, SIZES, seed=7)[1]]
    assert len(set(seeds)) == len(seeds) == 3 * 3 + 1 + 2


def test_no_two_synthetic_images_are_equal_in_whatever_folder(synthetic):
    images = [
        image.tobytes() for f in folders(synthetic) for image in load_prepared(synthetic / f).images
    ]
    assert len(set(images)) == len(images) == 52 + 28 + 32 + 36 + 16


def test_a_replicate_and_the_test_part_do_not_depend_on_the_number_of_replicates(
    synthetic, tmp_path
):
    settings, parts = plan("pneumonia", replace(SIZES, replicates=1), seed=0)
    one = prepare_parts(tmp_path / "one", parts, "C", Options(size=32), settings)
    two = load_prepared(synthetic / "pneumonia")
    np.testing.assert_array_equal(one.images[:12], two.images[:12])
    np.testing.assert_array_equal(one.images[12:], two.images[24:])


def test_synthetic_folders_are_kept_and_the_same_seed_gives_the_same_bytes(synthetic, tmp_path):
    out = shutil.copytree(synthetic, tmp_path / "out")
    before = {role: made_at(out, role) for role in folders(out)}
    made = prepare_cxr(out, None, SIZES, Options(size=32))
    assert [p.folder.name for p in made] == [*"source target test pneumonia source-other".split()]
    assert before == {role: made_at(out, role) for role in folders(out)}
    shutil.rmtree(out / "pneumonia")
    prepare_cxr(out, None, SIZES, Options(size=32))
    for path in (synthetic / "pneumonia").iterdir():
        assert path.read_bytes() == (out / "pneumonia" / path.name).read_bytes()


@pytest.mark.parametrize("change", [{"replicates": 1}, {"labels": 11}, {"images": 25}])
def test_other_sizes_make_target_and_children_anew(change, synthetic, monkeypatch):
    drawn = []
    monkeypatch.setattr("data_prep.cxr._remove", lambda *_: None)
    monkeypatch.setattr("data_prep.cxr.prepare_parts", lambda out, *_: drawn.append(out.name))
    prepare_cxr(synthetic, None, replace(SIZES, **change), Options(size=32))
    assert {"target", "pneumonia"} <= {*drawn} and ("test" in drawn) == ("images" in change)


def test_a_source_from_the_other_hospital_that_is_not_wanted_goes(synthetic, tmp_path, capsys):
    out = shutil.copytree(synthetic, tmp_path / "out")
    arguments = "--images 20 --labels 10 --replicates 2 --size 32".split()
    assert main(["cxr", str(out), *arguments]) == 0
    assert "source-other" not in folders(out) and len(folders(out)) == 4
    assert f"removed {out / 'source-other'}" in capsys.readouterr().out


def test_a_synthetic_folder_does_not_stay_beside_real_ones(raw, synthetic):
    shutil.copytree(synthetic, raw.parent / "out")
    _, out = prepare(raw)
    assert folders(out) == ["pneumonia", "source", "target", "test"]
    assert load_prepared(out / "pneumonia").about["name"] == "Pediatric"


def test_the_source_is_rsnas_set_where_it_is_there(raw):
    films = raw / "rsna" / "stage_2_train_images"
    films.mkdir(parents=True)
    for i in range(4):
        (films / f"p{i}.dcm").write_bytes(dicom(picture(50 + i)))
    code, out = prepare(raw)
    made = load_prepared(out / "source")
    assert code == 0 and sorted(made.ids) == ["p0", "p1", "p2", "p3"] and not made.labels
    assert made.about["name"] == "RSNA" and "label_values" not in made.about
