"""Target tasks of the chest X-ray, and folds that keep patients and test images apart."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from small_sets import children, hospital, save_all

from ums.data import Normalisation
from ums.experiments.cxr import ABNORMALITY, CXR, LUNGS, diverse_group, similar_group
from ums.experiments.names import CLASSIFICATION, DIVERSE, SEGMENTATION, SIMILAR
from ums.experiments.tasks import thinned, train_and_test
from ums.layers import Layer
from ums.ops import bce_dice, categorical_cross_entropy
from ums.optimizers import SGD, Adam

PAIRS = {"bacterial-normal": (1, 0), "viral-normal": (2, 0), "bacterial-viral": (1, 2)}
STANDARD = Normalisation()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """All four prepared folders, to be left as they are."""
    return save_all(tmp_path_factory.mktemp("folders"), side=16)


@pytest.fixture(scope="module")
def groups(folders):
    return {group.name: group for group in CXR.layout.load(folders).groups}


def folds(group, k=3, seed=0):
    return group.folds(k, np.random.default_rng(seed))


def test_group_may_have_one_task_only(groups):
    group = groups[DIVERSE]
    alone = replace(group, tasks=group.tasks[1:])
    assert alone.train_set is group.train_set and alone.test_set is group.test_set


# ---------------------------------------------------------------------------- folds

EACH_GROUP = pytest.mark.parametrize("name", [DIVERSE, SIMILAR])


@EACH_GROUP
def test_every_image_of_the_pool_is_held_out_exactly_once(name, groups):
    for k in (2, 3, 4):
        held_out = np.concatenate([fold.held_out for fold in folds(groups[name], k)])
        assert sorted(held_out) == groups[name].pool.tolist()


@EACH_GROUP
def test_each_fold_uses_the_whole_pool_each_image_once_and_in_order(name, groups):
    for fold in folds(groups[name]):
        sides = (fold.train, fold.validation, fold.held_out)
        assert sorted(np.concatenate(sides)) == groups[name].pool.tolist()
        assert all(len(side) and (np.diff(side) > 0).all() for side in sides)


@EACH_GROUP
def test_no_patient_is_on_two_sides_of_a_fold(name, groups):
    patients = groups[name].train_set.patients
    for fold in folds(groups[name]):
        sides = [set(patients[rows]) for rows in (fold.train, fold.validation, fold.held_out)]
        assert len(set.union(*sides)) == sum(map(len, sides))


@EACH_GROUP
def test_each_side_has_its_share_of_every_class(name, groups):
    group = groups[name]
    classes, whole = np.unique(group.strata[group.pool], return_counts=True)
    for fold in folds(group):
        counts = [
            [(group.strata[rows] == c).sum() for c in classes]
            for rows in (fold.train, fold.validation, fold.held_out)
        ]
        assert np.ptp(counts, axis=1).max() <= 2  # the classes are equally many, by twos
        assert abs(np.array(counts[2]) - whole / 3).max() <= 2


def test_every_row_of_a_diverse_training_set_is_in_the_pool(groups):
    assert groups[DIVERSE].pool.tolist() == list(range(48))


def test_test_images_of_the_similar_group_are_never_trained_on(groups):
    group = groups[SIMILAR]
    tested = {row for task in group.tasks for row in task.test.rows}
    assert tested == {k for k in range(72) if k % 12 >= 8}
    for fold in folds(group):
        assert not tested & {*fold.train, *fold.validation, *fold.held_out}
    assert not tested & {row for task in group.tasks for row in task.train.rows}


def test_diverse_group_is_tested_on_every_image_of_another_folder(groups, folders):
    for task in groups[DIVERSE].tasks:
        assert task.train.prepared.folder == folders / "target"
        assert task.test.prepared.folder == folders / "test"
        assert task.test.rows.tolist() == list(range(48))


def test_images_without_a_class_are_in_no_fold_of_the_similar_group(tmp_path):
    kind = np.arange(72) // 12 % 3
    kind[[0, 1, 70]] = -1
    group = similar_group(children(tmp_path / "a", side=16, labels={"pneumonia": kind}))
    assert set(group.pool) == {k for k in range(2, 72) if k % 12 < 8}
    assert all(not {0, 1, 70} & {*t.train.rows, *t.test.rows} for t in group.tasks)


def test_folds_follow_the_generator_alone(groups):
    first, again, other = (
        [fold.held_out.tolist() for fold in folds(groups[DIVERSE], seed=seed)] for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize(("k", "text"), [(25, "too few for 25 folds"), (13, "has 12 patients")])
def test_too_few_patients_of_a_class_are_an_error_that_names_the_folder(k, text, groups, folders):
    with pytest.raises(ValueError, match=f"^{folders}/target: class .*{text}"):
        folds(groups[DIVERSE], k)


def masked(folder, patients):
    """A hospital in which only some patients have masks."""
    whole = hospital(folder.parent / "whole", side=16)
    has_mask = np.isin(whole.patients, patients)
    shutil.rmtree(whole.folder)
    return hospital(folder, side=16, masks=whole.masks * has_mask[:, None, None], has_mask=has_mask)


@pytest.mark.parametrize(
    ("patients", "use"),
    [(["p0"], "(train on|stop by|hold out)"), (["p0", "p1"], "(train on|stop by|hold out)")],
)
def test_task_without_an_example_on_one_side_is_named(patients, use, tmp_path):
    target, test = masked(tmp_path / "few", patients), hospital(tmp_path / "test", side=16)
    group = diverse_group(target, test)
    with pytest.raises(
        ValueError, match=rf"^{target.folder}: fold \d of 3 .* lungs task .* {use}$"
    ):
        folds(group)


# ---------------------------------------------------------------------------- tasks


class Head(Layer):
    """Never used."""


def test_tasks_of_the_diverse_group_are_masks_and_labels(groups):
    lungs, abnormality = groups[DIVERSE].tasks
    assert (lungs.name, lungs.kind, lungs.measure) == (LUNGS, SEGMENTATION, "IoU")
    assert (abnormality.name, abnormality.kind) == (ABNORMALITY, CLASSIFICATION)
    assert abnormality.measure == "MCC"
    np.testing.assert_array_equal(lungs.train.targets, groups[DIVERSE].train_set.masks)
    assert (
        abnormality.train.targets.tolist() == groups[DIVERSE].train_set.labels["abnormal"].tolist()
    )
    assert groups[DIVERSE].heat_map_task == ABNORMALITY
    assert groups[SIMILAR].heat_map_task is None


def test_images_without_mask_or_label_are_left_to_the_other_task(tmp_path):
    target = masked(tmp_path / "target", [f"p{k}" for k in range(20)])
    abnormal = np.where(np.arange(48) < 4, -1, np.arange(48) // 12 % 2)
    test = hospital(tmp_path / "test", side=16, labels={"abnormal": abnormal})
    lungs, abnormality = diverse_group(target, test).tasks
    assert lungs.train.rows.tolist() == list(range(40)) and len(lungs.test.rows) == 48
    assert abnormality.test.rows.tolist() == list(range(4, 48))
    assert len(abnormality.train.rows) == 48


def test_patients_without_a_label_are_shared_out_to_all_folds(tmp_path):
    abnormal = np.where(np.arange(48) < 12, -1, np.arange(48) // 12 % 2)
    target = hospital(tmp_path / "target", side=16, labels={"abnormal": abnormal})
    group = diverse_group(target, hospital(tmp_path / "test", side=16))
    for fold in folds(group):
        assert (abnormal[fold.held_out] == -1).sum() == 4


def test_a_few_patients_without_a_label_are_in_the_folds_too(tmp_path):
    abnormal = np.where(np.arange(48) < 2, -1, np.arange(48) // 12 % 2)  # one patient of two images
    target = hospital(tmp_path / "target", side=16, labels={"abnormal": abnormal})
    group = diverse_group(target, hospital(tmp_path / "test", side=16))
    held_out = np.concatenate([fold.held_out for fold in folds(group)])
    assert sorted(held_out) == list(range(48))


@pytest.mark.parametrize("name", PAIRS)
def test_similar_task_has_the_images_of_its_pair_and_the_first_of_it_is_1(name, groups):
    group = groups[SIMILAR]
    assert [task.name for task in group.tasks] == list(PAIRS)
    task = group.tasks[list(PAIRS).index(name)]
    kind, test = np.arange(72) // 12 % 3, np.arange(72) % 12 >= 8
    positive, negative = PAIRS[name]
    for labelled, side in ((task.train, ~test), (task.test, test)):
        rows = np.flatnonzero(((kind == positive) | (kind == negative)) & side)
        assert labelled.rows.tolist() == rows.tolist()
        assert labelled.targets[rows].tolist() == (kind[rows] == positive).astype(int).tolist()
    assert task.kind == CLASSIFICATION


def test_task_on_a_fold_has_the_folds_rows_that_have_a_target(groups):
    group, kind = groups[SIMILAR], np.arange(72) // 12 % 3
    fold, head, augment = folds(group)[0], Head(), lambda images, labels: (images // 2, labels)
    images = group.train_set.images
    task = group.task("viral-normal").on_fold(fold, head, images, "a name", STANDARD, augment)
    assert task.train.rows.tolist() == [k for k in fold.train if kind[k] != 1]
    assert task.validation.rows.tolist() == [k for k in fold.validation if kind[k] != 1]
    assert task.name == "a name" and task.head is head
    assert task.train.augment is augment and task.validation.augment is None
    x, t = task.train.batch(np.array([0, 2]))
    rows = task.train.rows[[0, 2]]
    np.testing.assert_array_equal(x, STANDARD(images[rows] // 2))
    assert t.tolist() == (kind[rows] == 2).astype(int).tolist()


@pytest.mark.parametrize("background", [8, 100])
def test_task_on_a_fold_has_images_and_normalisation_of_its_own(background, groups):
    group, normalisation = groups[DIVERSE], Normalisation(background)
    images = 255 - group.train_set.images  # such as denoised ones
    task = group.tasks[1].on_fold(folds(group)[0], Head(), images, "", normalisation)
    for part in (task.train, task.validation):
        x, _ = part.batch(np.array([1]))
        np.testing.assert_array_equal(x, normalisation(images[part.rows[[1]]]))


def test_masks_are_learned_by_dice_and_classes_by_cross_entropy(groups):
    group, fold = groups[DIVERSE], folds(groups[DIVERSE])[0]
    images = group.train_set.images
    losses = [task.on_fold(fold, Head(), images, "", STANDARD).loss for task in group.tasks]
    assert losses == [bce_dice, categorical_cross_entropy]


def test_optimizer_of_a_task_is_its_own(groups):
    group, fold = groups[SIMILAR], folds(groups[SIMILAR])[0]
    images = group.train_set.images
    for optimizer in (Adam, SGD):
        task = replace(group.tasks[0], optimizer=optimizer)
        assert task.on_fold(fold, Head(), images, "", STANDARD).optimizer is optimizer


def test_kinds_of_a_group_are_each_named_once(groups):
    assert groups[DIVERSE].kinds == (SEGMENTATION, CLASSIFICATION)
    assert groups[SIMILAR].kinds == (CLASSIFICATION,)


@pytest.mark.parametrize("split", ["train", "test"])
def test_folder_with_nothing_to_train_on_or_to_test_on_is_named(split, groups):
    prepared, targets = groups[SIMILAR].train_set, np.zeros(72, int)
    known = (prepared.splits == "test") == (split == "test")
    with pytest.raises(ValueError, match=f"^{prepared.folder}: no viral image in its train or"):
        train_and_test(prepared, targets, known, "viral image")


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


@pytest.mark.parametrize("split", ["train", "validation"])
def test_source_that_lacks_a_part_is_refused_by_its_folder(split):
    splits = np.array(["train", "validation", "test"])
    source = SimpleNamespace(folder="hospital", splits=splits[splits != split])
    with pytest.raises(ValueError, match=f"^hospital: no image in split '{split}'$"):
        CXR.check_source(source)
