"""Target tasks of the chest X-ray, and draws that keep test images apart."""

import shutil

import numpy as np
import pytest
from small_sets import children, hospital, save_all

from ums.data import Normalisation
from ums.experiments.cxr import ABNORMALITY, CXR, LUNGS, diverse_group, similar_group
from ums.experiments.names import CLASSIFICATION, DIVERSE, SEGMENTATION, SIMILAR
from ums.experiments.replicates import Draw
from ums.experiments.tasks import TargetTask, train_and_test
from ums.layers import Layer
from ums.ops import bce_dice, categorical_cross_entropy
from ums.optimizers import Adam

PAIRS = {"bacterial-normal": (1, 0), "viral-normal": (2, 0), "bacterial-viral": (1, 2)}
STANDARD = Normalisation()


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """All four prepared folders, to be left as they are."""
    return save_all(tmp_path_factory.mktemp("folders"), side=16)


@pytest.fixture(scope="module")
def groups(folders):
    return {group.name: group for group in CXR.layout.load(folders).groups}


def drawn(group, images=20, replicates=2, seed=0, replicate=1):
    return group.draws(images, replicates, seed).draw(replicate)


def rows_of(draw):
    return {*draw.train.tolist(), *draw.validation.tolist()}


# ---------------------------------------------------------------------------- draws

EACH_GROUP = pytest.mark.parametrize("name", [DIVERSE, SIMILAR])


def test_more_labels_than_there_are_images_to_draw_from_are_refused(groups):
    group = groups[DIVERSE]
    text = (
        r"target: there are 40 images to draw from, should be 42 at least: 35 labels, and a fifth"
    )
    with pytest.raises(ValueError, match=text):
        group.draws(35, 2, 0)
    assert rows_of(drawn(group, 33)) == set(group.pool.tolist())


@EACH_GROUP
@pytest.mark.parametrize("images", [4, 20, 33])
def test_no_image_that_was_put_aside_or_is_tested_on_is_ever_drawn(images, name, groups):
    group = groups[name]
    aside = np.flatnonzero(group.train_set.splits == "test").tolist()
    found = [rows_of(drawn(group, images, replicate=r)) for r in (1, 2, -1, -2, -3)]
    assert not set.union(*found) & set(aside)
    if name == DIVERSE:
        assert group.held_out.tolist() == aside
    else:
        assert {row for task in group.tasks for row in task.test.rows} == set(aside)
        assert not set(aside) & {row for task in group.tasks for row in task.train.rows}


@EACH_GROUP
def test_draw_is_of_the_group_s_patients_classes_seed_and_name(name, groups):
    group = groups[name]
    pool = group.draws(20, 3, 7)
    assert (pool.images, pool.replicates, pool.seed, pool.name) == (20, 3, 7, name)
    assert pool.rows is group.pool
    assert pool.patients.tolist() == group.train_set.patients[group.pool].tolist()
    assert pool.strata.tolist() == group.strata[group.pool].tolist()


def test_diverse_group_is_tested_on_every_image_of_another_folder(groups, folders):
    for task in groups[DIVERSE].tasks:
        assert task.train.prepared.folder == folders / "target"
        assert task.test.prepared.folder == folders / "test"
        assert task.test.rows.tolist() == list(range(48))


def test_images_without_a_class_are_not_in_the_pool_of_the_similar_group(tmp_path):
    kind = np.arange(72) // 12 % 3
    kind[[0, 1, 70]] = -1
    group = similar_group(children(tmp_path / "a", side=16, labels={"pneumonia": kind}))
    assert set(group.pool) == {k for k in range(2, 72) if k % 12 < 8}
    assert all(not {0, 1, 70} & {*t.train.rows, *t.test.rows} for t in group.tasks)


@pytest.mark.parametrize(("unlabelled", "strata"), [(12, {-1: 2}), (2, {-1: 0})])
def test_images_without_a_label_are_a_class_of_their_own_if_they_are_not_too_few(
    unlabelled, strata, tmp_path
):
    """With 12 images there are 5 patients of 10 images in the pool, with 2 one."""
    abnormal = np.where(np.arange(48) < unlabelled, -1, np.arange(48) // 12 % 2)
    target = hospital(tmp_path / "target", side=16, labels={"abnormal": abnormal})
    group = diverse_group(target, hospital(tmp_path / "test", side=16))
    expected = [strata.get(label, label) for label in abnormal[group.pool].tolist()]
    pool = group.draws(20, 2, 0)
    assert pool.strata.tolist() == expected
    assert any(abnormal[row] == -1 for r in range(1, 9) for row in rows_of(pool.draw(r)))


def masked(folder, patients):
    """A hospital in which only some patients have masks."""
    whole = hospital(folder.parent / "whole", side=16)
    has_mask = np.isin(whole.patients, patients)
    shutil.rmtree(whole.folder)
    return hospital(folder, side=16, masks=whole.masks * has_mask[:, None, None], has_mask=has_mask)


@pytest.mark.parametrize(
    ("draw", "batch", "text"),
    [
        (Draw(np.arange(8), np.array([9])), 8, None),
        (
            Draw(np.arange(8), np.array([9])),
            9,
            "8 images .* lungs task needs to train, .* 9 at least",
        ),
        (Draw(np.arange(6), np.array([6, 30])), 4, None),
        (Draw(np.arange(6, 16), np.array([6])), 4, "a replicate has 2 images with what the lungs"),
        (Draw(np.arange(6), np.array([30])), 4, "0 images .* lungs .* choose the epoch, .* 1 at"),
    ],
)
def test_draw_that_leaves_a_task_too_little_is_refused_by_the_folder(draw, batch, text, tmp_path):
    """The images 0 to 7 and 9 have masks, or all."""
    patients = ["p0", "p1", "p2", "p3"] if len(draw.train) != 8 else [f"p{k}" for k in range(24)]
    target, test = masked(tmp_path / "few", patients), hospital(tmp_path / "test", side=16)
    group = diverse_group(target, test)
    if text is None:
        group.check(draw, batch)
        return
    with pytest.raises(ValueError, match=f"^{target.folder}: .*{text}"):
        group.check(draw, batch)


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


def test_task_on_a_draw_has_its_rows_that_have_a_target(groups):
    group, kind = groups[SIMILAR], np.arange(72) // 12 % 3
    draw, head, augment = drawn(group), Head(), lambda images, labels: (images // 2, labels)
    images = group.train_set.images
    task = group.task("viral-normal").on_draw(draw, head, images, "a name", STANDARD, augment)
    assert task.train.rows.tolist() == [k for k in draw.train if kind[k] != 1]
    assert task.validation.rows.tolist() == [k for k in draw.validation if kind[k] != 1]
    assert task.name == "a name" and task.head is head
    assert task.train.augment is augment and task.validation.augment is None
    x, t = task.train.batch(np.array([0, 2]))
    rows = task.train.rows[[0, 2]]
    np.testing.assert_array_equal(x, STANDARD(images[rows] // 2))
    assert t.tolist() == (kind[rows] == 2).astype(int).tolist()


@pytest.mark.parametrize("background", [8, 100])
def test_task_on_a_draw_has_images_and_normalisation_of_its_own(background, groups):
    group, normalisation = groups[DIVERSE], Normalisation(background)
    images = 255 - group.train_set.images  # such as denoised ones
    task = group.tasks[1].on_draw(drawn(group), Head(), images, "", normalisation)
    for part in (task.train, task.validation):
        x, _ = part.batch(np.array([1]))
        np.testing.assert_array_equal(x, normalisation(images[part.rows[[1]]]))


def test_masks_are_learned_by_dice_and_classes_by_cross_entropy_and_all_by_adam(groups):
    group, draw = groups[DIVERSE], drawn(groups[DIVERSE])
    images = group.train_set.images
    tasks = [task.on_draw(draw, Head(), images, "", STANDARD) for task in group.tasks]
    assert [task.loss for task in tasks] == [bce_dice, categorical_cross_entropy]
    assert {task.optimizer for task in tasks} == {Adam}


def test_task_cannot_have_the_name_of_the_encoder():
    with pytest.raises(ValueError, match=r"^a task cannot be called 'encoder'"):
        TargetTask("encoder", "", SEGMENTATION, None, None)


def test_kinds_of_a_group_are_each_named_once(groups):
    assert groups[DIVERSE].kinds == (SEGMENTATION, CLASSIFICATION)
    assert groups[SIMILAR].kinds == (CLASSIFICATION,)


@pytest.mark.parametrize("split", ["train", "test"])
def test_folder_with_nothing_to_train_on_or_to_test_on_is_named(split, groups):
    prepared, targets = groups[SIMILAR].train_set, np.zeros(72, int)
    known = (prepared.splits == "test") == (split == "test")
    with pytest.raises(ValueError, match=f"^{prepared.folder}: no viral image in its train or"):
        train_and_test(prepared, targets, known, "viral image")
