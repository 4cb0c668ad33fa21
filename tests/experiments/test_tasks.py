"""Parts of the study: their folders and tasks, and folds that keep patients and test images apart."""

import shutil

import numpy as np
import pytest
from small_sets import children, hospital, save_all
from ums.experiments.cxr_sets import (
    ABNORMALITY,
    CXR,
    DIVERSE,
    LUNGS,
    SIMILAR,
    diverse_part,
    similar_part,
)

from data_prep.writing import Content, save_prepared
from ums.data import normalise
from ums.experiments.datasets import Sets, source_rows
from ums.experiments.tasks import CLASSIFICATION, SEGMENTATION, thinned
from ums.layers import Layer
from ums.ops import bce_dice, categorical_cross_entropy

PAIRS = {"bacterial-normal": (1, 0), "viral-normal": (2, 0), "bacterial-viral": (1, 2)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """All four prepared folders, to be left as they are."""
    return save_all(tmp_path_factory.mktemp("folders"), side=16)


@pytest.fixture(scope="module")
def parts(folders):
    return {part.name: part for part in CXR.load(folders).parts}


@pytest.fixture
def own_folders(folders, tmp_path):
    """Folders that a test may spoil."""
    return shutil.copytree(folders, tmp_path / "folders")


def folds(part, k=3, seed=0):
    return part.folds(k, np.random.default_rng(seed))


# ---------------------------------------------------------------------------- folds

EACH_PART = pytest.mark.parametrize("name", [DIVERSE, SIMILAR])


@EACH_PART
def test_every_image_of_the_pool_is_held_out_exactly_once(name, parts):
    for k in (2, 3, 4):
        held_out = np.concatenate([fold.held_out for fold in folds(parts[name], k)])
        assert sorted(held_out) == parts[name].pool.tolist()


@EACH_PART
def test_a_turn_uses_the_whole_pool_each_image_once_and_in_order(name, parts):
    for fold in folds(parts[name]):
        sides = (fold.train, fold.validation, fold.held_out)
        assert sorted(np.concatenate(sides)) == parts[name].pool.tolist()
        assert all(len(side) and (np.diff(side) > 0).all() for side in sides)


@EACH_PART
def test_no_patient_is_on_two_sides_of_a_turn(name, parts):
    patients = parts[name].learn.patients
    for fold in folds(parts[name]):
        sides = [set(patients[rows]) for rows in (fold.train, fold.validation, fold.held_out)]
        assert len(set.union(*sides)) == sum(map(len, sides))


@EACH_PART
def test_each_side_has_its_share_of_every_class(name, parts):
    part = parts[name]
    classes, whole = np.unique(part.strata[part.pool], return_counts=True)
    for fold in folds(part):
        counts = [
            [(part.strata[rows] == c).sum() for c in classes]
            for rows in (fold.train, fold.validation, fold.held_out)
        ]
        assert np.ptp(counts, axis=1).max() <= 2  # the classes are equally many, by twos
        assert abs(np.array(counts[2]) - whole / 3).max() <= 2


def test_every_row_of_a_diverse_training_set_is_in_the_pool(parts):
    assert parts[DIVERSE].pool.tolist() == list(range(48))


def test_test_images_of_the_similar_part_are_never_learned_from(parts):
    part = parts[SIMILAR]
    tested = {row for task in part.tasks for row in task.test.rows}
    assert tested == {k for k in range(72) if k % 12 >= 8}
    for fold in folds(part):
        assert not tested & {*fold.train, *fold.validation, *fold.held_out}
    assert not tested & {row for task in part.tasks for row in task.learn.rows}


def test_diverse_part_is_tested_on_every_image_of_another_folder(parts, folders):
    for task in parts[DIVERSE].tasks:
        assert task.learn.prepared.folder == folders / "target"
        assert task.test.prepared.folder == folders / "test"
        assert task.test.rows.tolist() == list(range(48))


def test_images_without_a_class_are_in_no_fold_of_the_similar_part(tmp_path):
    kind = np.arange(72) // 12 % 3
    kind[[0, 1, 70]] = -1
    part = similar_part(children(tmp_path / "a", side=16, labels={"pneumonia": kind}))
    assert set(part.pool) == {k for k in range(2, 72) if k % 12 < 8}
    assert all(not {0, 1, 70} & {*t.learn.rows, *t.test.rows} for t in part.tasks)


def test_folds_follow_the_generator_alone(parts):
    first, again, other = (
        [fold.held_out.tolist() for fold in folds(parts[DIVERSE], seed=seed)] for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize(("k", "text"), [(25, "too few for 25 folds"), (13, "has 12 patients")])
def test_too_few_patients_of_a_class_are_said_with_the_folder(k, text, parts, folders):
    with pytest.raises(ValueError, match=f"^{folders}/target: class .*{text}"):
        folds(parts[DIVERSE], k)


def masked(folder, patients):
    """A hospital in which only some patients have masks."""
    whole = hospital(folder.parent / "whole", side=16)
    has_mask = np.isin(whole.patients, patients)
    shutil.rmtree(whole.folder)
    return hospital(folder, side=16, masks=whole.masks * has_mask[:, None, None], has_mask=has_mask)


@pytest.mark.parametrize(
    ("patients", "use"),
    [(["p0"], "(learn from|stop by|hold out)"), (["p0", "p1"], "(learn from|stop by|hold out)")],
)
def test_task_without_an_example_on_one_side_is_named(patients, use, tmp_path):
    target, test = masked(tmp_path / "few", patients), hospital(tmp_path / "test", side=16)
    part = diverse_part(target, test)
    with pytest.raises(
        ValueError, match=rf"^{target.folder}: fold \d of 3 .* lungs task .* {use}$"
    ):
        folds(part)


# ---------------------------------------------------------------------------- tasks


class Head(Layer):
    """Never used."""


def test_tasks_of_the_diverse_part_are_masks_and_labels(parts):
    lungs, abnormality = parts[DIVERSE].tasks
    assert (lungs.name, lungs.kind, lungs.measure) == (LUNGS, SEGMENTATION, "IoU")
    assert (abnormality.name, abnormality.kind) == (ABNORMALITY, CLASSIFICATION)
    assert abnormality.measure == "MCC"
    np.testing.assert_array_equal(lungs.learn.targets, parts[DIVERSE].learn.masks)
    assert abnormality.learn.targets.tolist() == parts[DIVERSE].learn.labels["abnormal"].tolist()
    assert parts[DIVERSE].explained == ABNORMALITY and parts[SIMILAR].explained is None


def test_images_without_mask_or_label_are_left_to_the_other_task(tmp_path):
    target = masked(tmp_path / "target", [f"p{k}" for k in range(20)])
    abnormal = np.where(np.arange(48) < 4, -1, np.arange(48) // 12 % 2)
    test = hospital(tmp_path / "test", side=16, labels={"abnormal": abnormal})
    lungs, abnormality = diverse_part(target, test).tasks
    assert lungs.learn.rows.tolist() == list(range(40)) and len(lungs.test.rows) == 48
    assert abnormality.test.rows.tolist() == list(range(4, 48))
    assert len(abnormality.learn.rows) == 48


def test_patients_without_a_label_are_shared_out_to_all_folds(tmp_path):
    abnormal = np.where(np.arange(48) < 12, -1, np.arange(48) // 12 % 2)
    target = hospital(tmp_path / "target", side=16, labels={"abnormal": abnormal})
    part = diverse_part(target, hospital(tmp_path / "test", side=16))
    for fold in folds(part):
        assert (abnormal[fold.held_out] == -1).sum() == 4


def test_a_few_patients_without_a_label_do_not_stop_the_study(tmp_path):
    abnormal = np.where(np.arange(48) < 2, -1, np.arange(48) // 12 % 2)  # one patient of two images
    target = hospital(tmp_path / "target", side=16, labels={"abnormal": abnormal})
    part = diverse_part(target, hospital(tmp_path / "test", side=16))
    held_out = np.concatenate([fold.held_out for fold in folds(part)])
    assert sorted(held_out) == list(range(48))


@pytest.mark.parametrize("name", PAIRS)
def test_similar_task_has_the_images_of_its_pair_and_the_first_of_it_is_1(name, parts):
    part = parts[SIMILAR]
    assert [task.name for task in part.tasks] == list(PAIRS)
    task = part.tasks[list(PAIRS).index(name)]
    kind, test = np.arange(72) // 12 % 3, np.arange(72) % 12 >= 8
    positive, negative = PAIRS[name]
    for labelled, side in ((task.learn, ~test), (task.test, test)):
        rows = np.flatnonzero(((kind == positive) | (kind == negative)) & side)
        assert labelled.rows.tolist() == rows.tolist()
        assert labelled.targets[rows].tolist() == (kind[rows] == positive).astype(int).tolist()
    assert task.kind == CLASSIFICATION


def test_task_to_learn_has_the_folds_rows_that_have_a_target(parts):
    task, fold = parts[SIMILAR].tasks[1], folds(parts[SIMILAR])[0]
    head, augment = Head(), lambda images, labels: (images // 2, labels)
    learned = task.to_learn(head, parts[SIMILAR].learn.images, fold, "a name", augment=augment)
    kind = np.arange(72) // 12 % 3
    assert learned.train.rows.tolist() == [k for k in fold.train if kind[k] != 1]
    assert learned.validation.rows.tolist() == [k for k in fold.validation if kind[k] != 1]
    assert learned.name == "a name" and learned.head is head
    assert learned.train.augment is augment and learned.validation.augment is None
    x, t = learned.train.batch(np.array([0, 2]))
    rows = learned.train.rows[[0, 2]]
    np.testing.assert_array_equal(x, normalise(parts[SIMILAR].learn.images[rows] // 2))
    assert t.tolist() == (kind[rows] == 2).astype(int).tolist()


def test_masks_learn_by_dice_and_classes_by_cross_entropy(parts):
    part, fold = parts[DIVERSE], folds(parts[DIVERSE])[0]
    losses = [t.to_learn(Head(), part.learn.images, fold, "").loss for t in part.tasks]
    assert losses == [bce_dice, categorical_cross_entropy]


# ---------------------------------------------------------------------------- folders


@pytest.mark.parametrize(
    ("there", "made", "source"),
    [
        (("source", "target", "test", "pneumonia"), [DIVERSE, SIMILAR], "source"),
        (("target", "test"), [DIVERSE], "target"),
        (("pneumonia",), [SIMILAR], "pneumonia"),
        (("target", "test", "pneumonia"), [DIVERSE, SIMILAR], "target"),
        (("source", "pneumonia"), [SIMILAR], "source"),
        (("target", "pneumonia"), [SIMILAR], "pneumonia"),  # no test set, no diverse part
    ],
)
def test_parts_are_those_whose_folders_are_there(there, made, source, own_folders):
    for name in {"source", "target", "test", "pneumonia"} - set(there):
        shutil.rmtree(own_folders / name)
    sets = CXR.load(own_folders)
    assert [part.name for part in sets.parts] == made
    assert sets.source.folder == own_folders / source


@pytest.mark.parametrize("asked", [[SIMILAR], [DIVERSE], [SIMILAR, DIVERSE]])
def test_only_the_parts_asked_for_are_made(asked, folders):
    assert {part.name for part in CXR.load(str(folders), asked).parts} == set(asked)


@pytest.mark.parametrize(
    ("gone", "asked"), [("test", DIVERSE), ("target", DIVERSE), ("pneumonia", SIMILAR)]
)
def test_part_asked_for_without_its_folder_is_an_error_that_names_it(gone, asked, own_folders):
    shutil.rmtree(own_folders / gone)
    with pytest.raises(FileNotFoundError, match=f"{own_folders / gone}:"):
        CXR.load(own_folders, [asked])


@pytest.mark.parametrize("there", [(), ("source",), ("source", "test"), ("target",)])
def test_folder_with_no_part_is_named(there, own_folders):
    for name in {"source", "target", "test", "pneumonia"} - set(there):
        shutil.rmtree(own_folders / name)
    with pytest.raises(FileNotFoundError, match=f"^{own_folders} holds neither"):
        CXR.load(own_folders)


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


def class_missing(number, split):
    """No image of one class of the children in one part."""
    kind, test = np.arange(72) // 12 % 3, np.arange(72) % 12 >= 8
    kind[(kind == number) & (test == (split == "test"))] = -1
    return remade(children, "pneumonia", labels={"pneumonia": kind})


def empty_split(name, split):
    def spoil(folders):
        splits = np.array([("train", "validation", "test")[k // 2 % 3] for k in range(48)])
        others = [s for s in ("train", "validation", "test") if s != split]
        splits[splits == split] = others[0]
        remade(hospital, name, splits=splits)(folders)

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
    "nothing to learn from": (remade(children, "pneumonia", splits=["test"] * 72),
                              r"/pneumonia: no .* image in its train or test part"),
    "no source to learn": (empty_split("source", "train"), r"/source: no image in split 'train'"),
    "no source to stop": (empty_split("source", "validation"),
                          r"/source: no image in split 'validation'"),
    "no source to test": (empty_split("source", "test"), r"/source: no image in split 'test'"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT)
def test_folder_that_does_not_do_is_named_with_what_is_wrong(name, own_folders):
    spoil, pattern = SPOILT[name]
    spoil(own_folders)
    with pytest.raises(ValueError, match=pattern):
        CXR.load(own_folders)


def test_source_needs_neither_masks_nor_labels(own_folders):
    remade(hospital, "source", masks=None, labels={})(own_folders)
    assert len(CXR.load(own_folders).source) == 48


def test_images_need_not_be_square(tmp_path):
    images = np.zeros((48, 16, 32), np.uint8)
    for name in ("target", "test"):
        hospital(tmp_path / name, images=images, masks=images + 1, opacities=images)
    assert CXR.load(tmp_path).source.images.shape[1:] == (16, 32)


@pytest.mark.parametrize(
    ("split", "rows"), [("train", [0, 1, 2]), ("validation", [3]), ("test", [4])]
)
def test_rows_of_the_source_are_those_of_the_split(split, rows, tmp_path):
    images, splits = np.zeros((5, 16, 16), np.uint8), ["train"] * 3 + ["validation", "test"]
    content = Content(images, ids="abcde", patients="abcde", splits=splits, labels={})
    source = save_prepared(tmp_path / "a", content)
    assert source_rows(source, split).tolist() == rows


def test_fingerprints_are_of_what_is_learned_from(folders, own_folders):
    before, diverse = CXR.load(folders), CXR.load(folders).parts[0]
    remade(hospital, "test", seed=9)(own_folders)
    after = CXR.load(own_folders)
    assert before.fingerprints(diverse) == after.fingerprints(after.parts[0])
    assert set(before.fingerprints()) == {"source"}
    remade(hospital, "target", seed=9)(own_folders)
    after = CXR.load(own_folders)
    assert before.fingerprints() == after.fingerprints()
    assert before.fingerprints(diverse) != after.fingerprints(after.parts[0])
    assert before.fingerprints(before.parts[1]) == after.fingerprints(after.parts[1])


# ---------------------------------------------------------------------------- fewer labels


def test_thinned_rows_are_a_share_of_each_class_in_order():
    rows, strata = np.arange(4, 34), np.repeat([7, 0, 1, 2], [4, 20, 8, 2])
    few = thinned(rows, strata, 0.25, np.random.default_rng(0))
    assert np.bincount(strata[few]).tolist() == [5, 2, 1]  # half of one is still one
    assert set(few) < set(rows) and (np.diff(few) > 0).all()


def test_fewer_labels_are_some_of_those_of_a_larger_share():
    rows, strata = np.arange(40), np.arange(40) % 2
    shares = [thinned(rows, strata, s, np.random.default_rng(3)) for s in (0.1, 0.5, 1.0)]
    assert set(shares[0]) < set(shares[1]) < set(shares[2]) == set(rows)


def test_fingerprints_tell_sources_parts_and_what_was_done_to_images_apart(folders):
    sets = CXR.load(folders)
    diverse, similar = sets.parts
    prints = [
        sets.fingerprints(),
        sets.fingerprints(diverse),
        sets.fingerprints(similar),
        Sets(sets.source, sets.parts, "cropped").fingerprints(diverse),
        Sets(diverse.learn, sets.parts).fingerprints(diverse),
    ]
    assert all(a != b for i, a in enumerate(prints) for b in prints[:i])
    assert prints[1] == CXR.load(folders).fingerprints(diverse)
