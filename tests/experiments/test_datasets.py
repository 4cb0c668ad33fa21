"""The prepared folders of a study: which groups they make, and what is wrong with those refused."""

import shutil
from dataclasses import fields, replace

import numpy as np
import pytest
from small_sets import children, echoes, hospital, save_all

from data_prep.writing import Content, save_prepared
from ums.data import load_prepared, prepared_set
from ums.data.rows import parts
from ums.experiments.cxr import CXR
from ums.experiments.datasets import Layout, fingerprint, name_of, source_rows
from ums.experiments.echo import ECHO
from ums.experiments.names import DIVERSE, SIMILAR
from ums.experiments.settings import OTHER, OWN


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """All four prepared folders, to be left as they are."""
    return save_all(tmp_path_factory.mktemp("folders"), side=16)


@pytest.fixture
def own_folders(folders, tmp_path):
    """Folders that a test may spoil."""
    return shutil.copytree(folders, tmp_path / "folders")


# ---------------------------------------------------------------------------- folders


@pytest.mark.parametrize(
    ("there", "made", "source"),
    [
        (("source", "target", "test", "pneumonia"), [DIVERSE, SIMILAR], "source"),
        (("target", "test"), [DIVERSE], "target"),
        (("pneumonia",), [SIMILAR], "pneumonia"),
        (("target", "test", "pneumonia"), [DIVERSE, SIMILAR], "target"),
        (("source", "pneumonia"), [SIMILAR], "source"),
        (("target", "pneumonia"), [SIMILAR], "pneumonia"),  # no test set, no diverse group
    ],
)
def test_groups_are_those_whose_folders_are_there(there, made, source, own_folders):
    for name in {"source", "target", "test", "pneumonia"} - set(there):
        shutil.rmtree(own_folders / name)
    datasets = CXR.layout.load(own_folders)
    assert [group.name for group in datasets.groups] == made
    assert datasets.source.folder == own_folders / source


@pytest.mark.parametrize("wanted", [[SIMILAR], [DIVERSE], [SIMILAR, DIVERSE]])
def test_only_the_groups_asked_for_are_made(wanted, folders):
    datasets = CXR.layout.load(str(folders), wanted)
    assert {group.name for group in datasets.groups} == set(wanted)
    assert datasets.group(wanted[0]).name == wanted[0]


@pytest.mark.parametrize(
    ("gone", "wanted"), [("test", DIVERSE), ("target", DIVERSE), ("pneumonia", SIMILAR)]
)
def test_group_asked_for_without_its_folder_is_an_error_that_names_it(gone, wanted, own_folders):
    shutil.rmtree(own_folders / gone)
    with pytest.raises(FileNotFoundError, match=f"{own_folders / gone}/images.npy is missing"):
        CXR.layout.load(own_folders, [wanted])


@pytest.mark.parametrize("there", [(), ("source",), ("source", "test"), ("target",)])
def test_folder_with_no_group_is_named(there, own_folders):
    for name in {"source", "target", "test", "pneumonia"} - set(there):
        shutil.rmtree(own_folders / name)
    with pytest.raises(FileNotFoundError, match=f"^{own_folders} holds neither"):
        CXR.layout.load(own_folders)


def remade(make, name, **changes):
    """Spoils the folders by making one of them anew."""

    def spoil(folders):
        shutil.rmtree(folders / name)
        make(folders / name, **{"side": 16} | changes)

    return spoil


def in_colour(folders):
    for name in ("source", "target", "test"):
        remade(hospital, name, images=np.zeros((48, 16, 16, 3), np.uint8))(folders)
    remade(children, "pneumonia", images=np.zeros((72, 16, 16, 3), np.uint8))(folders)


def of_side(side):
    def spoil(folders):
        shutil.rmtree(folders)
        save_all(folders, side=side)

    return spoil


SPOILT = {
    "no label": (remade(hospital, "target", labels={"sick": np.zeros(48, int)}),
                 r"/target/table.csv has no column 'abnormal'"),
    "no label to test": (remade(hospital, "test", labels={}),
                         r"/test/table.csv has no column 'abnormal'"),
    "no pneumonia": (remade(children, "pneumonia", labels={"abnormal": np.zeros(72, int)}),
                     r"/pneumonia/table.csv has no column 'pneumonia'"),
    "third class": (remade(hospital, "target", labels={"abnormal": np.arange(48) // 2 % 3}),
                    r"/target/table.csv: abnormal must be from 0 to 1, or empty"),
    "fourth class": (remade(children, "pneumonia", labels={"pneumonia": np.arange(72) // 2 % 4}),
                     r"/pneumonia/table.csv: pneumonia must be from 0 to 2, or empty"),
    "no masks": (remade(hospital, "target", masks=None), r"/target has no lung masks"),
    "no masks to test": (remade(hospital, "test", masks=None), r"/test has no lung masks"),
    "only empty labels": (remade(hospital, "target", labels={"abnormal": np.full(48, -1)}),
                          r"/target/table.csv: no image has a label 'abnormal'"),
    "only empty labels to test": (remade(hospital, "test", labels={"abnormal": np.full(48, -1)}),
                                  r"/test/table.csv: no image has a label 'abnormal'"),
    "another size": (remade(hospital, "test", side=32),
                     r"one size: .*/source has \(16, 16\), .*/test has \(32, 32\)"),
    "another size of children": (remade(children, "pneumonia", side=32),
                                 r"/source has \(16, 16\), .*/pneumonia has \(32, 32\)"),
    "odd side": (of_side(24), r"/source: .*multiples of 16 .*, got \(24, 24\)"),
    "colour": (in_colour, r"/source: .*grey .*got \(16, 16, 3\)"),
    "no test image": (remade(children, "pneumonia", splits=["train"] * 72),
                      r"/pneumonia: no .* image in its train or test part"),
    "nothing to train on": (remade(children, "pneumonia", splits=["test"] * 72),
                              r"/pneumonia: no .* image in its train or test part"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT)
def test_folder_that_does_not_do_is_named_with_what_is_wrong(name, own_folders):
    spoil, pattern = SPOILT[name]
    spoil(own_folders)
    with pytest.raises(ValueError, match=pattern):
        CXR.layout.load(own_folders)


def test_source_needs_neither_masks_nor_labels(own_folders):
    remade(hospital, "source", masks=None, labels={})(own_folders)
    assert len(CXR.layout.load(own_folders).source) == 48


def test_images_of_another_hospital_are_beside_those_of_the_tasks(own_folders):
    assert set(CXR.layout.load(own_folders).sources) == {OWN}
    hospital(own_folders / "source-other", 7, side=16)
    datasets = CXR.layout.load(own_folders)
    assert datasets.sources[OTHER].folder == own_folders / "source-other"
    assert datasets.source.folder == own_folders / "source"
    assert datasets.sources[OTHER] in datasets.sets and len(datasets.sets) == 2 + 2 * 2
    shutil.rmtree(own_folders / "source-other")
    hospital(own_folders / "source-other", 7, side=32)
    with pytest.raises(ValueError, match=r"one size: .*/source-other has \(32, 32\)"):
        CXR.layout.load(own_folders)


def test_images_need_not_be_square(tmp_path):
    images = np.zeros((48, 16, 32), np.uint8)
    for name in ("target", "test"):
        masks = images + (np.arange(32, dtype=np.uint8) > 9)
        hospital(tmp_path / name, images=images, masks=masks, opacities=images)
    assert CXR.layout.load(tmp_path).source.images.shape[1:] == (16, 32)


@pytest.mark.parametrize(
    ("split", "rows"), [("train", [0, 1, 2]), ("validation", [3]), ("test", [4])]
)
def test_rows_of_the_source_are_those_of_the_split(split, rows, tmp_path):
    images, splits = np.zeros((5, 16, 16), np.uint8), ["train"] * 3 + ["validation", "test"]
    content = Content(images, ids="abcde", patients="abcde", splits=splits, labels={})
    source = save_prepared(tmp_path / "a", content)
    assert source_rows(source, split).tolist() == rows


@pytest.mark.parametrize(("split", "rows"), [("train", [1]), ("validation", [3])])
def test_rows_with_a_label_leave_out_the_unlabelled(split, rows, tmp_path):
    images, splits = np.zeros((5, 16, 16), np.uint8), ["train"] * 2 + ["validation"] * 2 + ["test"]
    content = Content(images, "abcde", "abcde", splits, labels={"flow": [-1, 1, -1, 0, -1]})
    source = save_prepared(tmp_path / "a", content)
    assert source_rows(source, split, "flow").tolist() == rows
    with pytest.raises(ValueError, match=f"^{source.folder}: no image with a flow in split 'test'"):
        source_rows(source, "test", "flow")


def test_folder_without_a_name_of_its_own_is_called_by_its_place(folders):
    prepared = load_prepared(folders / "test")
    assert name_of(prepared) == "Hospital 2"
    assert name_of(replace(prepared, about={})) == "test"


# ---------------------------------------------------------------------------- layouts


def test_layout_lists_every_folder_once():
    make = None
    layout = Layout("x", {"a": (("one", "two"), make), "b": (("two",), make)}, 1, 16, "why")
    assert layout.folders == ["source", "one", "two"]


@pytest.fixture(scope="module")
def echo_folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("echo")
    for seed, name in enumerate(ECHO.layout.folders):
        echoes(folder / name, seed)
    return folder


def test_patients_of_a_source_that_learns_labels_must_be_in_no_group(echo_folders, tmp_path):
    ECHO.layout.load(echo_folders)
    shared = shutil.copytree(echo_folders, tmp_path / "shared")
    target = next(name for name in ECHO.layout.folders if name != "source")
    shutil.rmtree(shared / target)
    patients = ["0-0"] * 2 + [f"1-{k // 2}" for k in range(2, 72)]
    echoes(shared / target, 1, patients=patients)
    with pytest.raises(ValueError, match=rf"^{shared / target}: .* {shared / 'source'} has 0-0"):
        ECHO.layout.load(shared)
    (shared / "source").rename(shared / "source-other")
    echoes(shared / "source", 0, patients=[f"own {k // 2}" for k in range(72)])
    with pytest.raises(ValueError, match=rf"^{shared / target}: .*/source-other has 0-0"):
        ECHO.layout.load(shared)


def test_patients_of_a_source_that_learns_labels_must_be_in_no_test_folder_either(own_folders):
    learns_labels = replace(CXR.layout, supervised=True)
    for name, first in (("source", "a"), ("target", "b"), ("test", "a"), ("pneumonia", "c")):
        make = children if name == "pneumonia" else hospital
        n = len(load_prepared(own_folders / name))
        shutil.rmtree(own_folders / name)
        make(own_folders / name, n=n, side=16, patients=[f"{first}{k // 2}" for k in range(n)])
    with pytest.raises(ValueError, match=rf"^{own_folders / 'test'}: .* has a0 too"):
        learns_labels.load(own_folders)


def test_patients_of_a_source_without_labels_may_be_in_the_groups(folders):
    datasets = CXR.layout.load(folders)
    assert set(datasets.source.patients) & set(datasets.groups[0].train_set.patients)


# ---------------------------------------------------------------------------- fingerprints


def test_fingerprint_is_of_what_was_opened_wherever_it_lies(folders, own_folders):
    for name in ("source", "target", "test", "pneumonia"):
        first, again = (fingerprint(load_prepared(f / name)) for f in (folders, own_folders))
        assert first == again
    prints = [fingerprint(load_prepared(folders / name)) for name in ("source", "target", "test")]
    assert len(set(prints)) == 3


CHANGED = ("images", "masks", "opacities", "ids", "patients", "splits", "has_mask", "labels")


@pytest.mark.parametrize("name", CHANGED)
def test_fingerprint_changes_with_every_array(name, folders):
    prepared = load_prepared(folders / "target")
    value = getattr(prepared, name)
    if name == "labels":
        changed = {"abnormal": 1 - value["abnormal"]}
    else:
        changed = value[::-1] if name in ("ids", "patients") else value.copy()
        if name not in ("ids", "patients"):
            changed[3] = {"images": 7, "splits": "test", "has_mask": False}.get(name, 1)
    assert fingerprint(replace(prepared, **{name: changed})) != fingerprint(prepared)


def test_every_array_of_a_prepared_folder_is_in_its_fingerprint(folders):
    prepared = load_prepared(folders / "target")
    assert {f.name for f in fields(prepared)} == {*CHANGED, "folder", "about", "opened", "numbers"}


def test_fingerprint_tells_a_label_and_a_missing_array_apart(folders):
    prepared = load_prepared(folders / "target")
    others = [
        replace(prepared, labels={"another": prepared.labels["abnormal"]}),
        replace(prepared, opacities=None),
        prepared.subset(np.arange(47)),
        replace(prepared, images=prepared.images.reshape(48, 32, 8)),
    ]
    prints = [fingerprint(each) for each in (prepared, *others)]
    assert len(set(prints)) == len(prints)


def test_arrays_are_read_once_for_opening_and_fingerprint(folders, monkeypatch):
    read = []
    monkeypatch.setattr(
        prepared_set, "parts", lambda array: read.append(array.shape) or parts(array)
    )
    prepared = load_prepared(folders / "target")
    assert len({fingerprint(prepared) for _ in range(3)}) == 1
    assert read == [(48, 16, 16)] * 3
