"""What each arm begins with and learns from: the source or random weights, cleaned images or raw ones."""

from dataclasses import replace

import numpy as np
import pytest
from small_sets import SMALL, hospital
from small_tuning import (
    Trainings,
    arms_of,
    bytes_of,
    job_of,
    network_of,
    small_groups,
    small_source,
    small_tuning,
    tune_all,
)

from ums.data import normalise
from ums.data.augment import Augmentation
from ums.experiments import cxr
from ums.experiments.cxr import ABNORMALITY, diverse_group
from ums.experiments.names import (
    ALTERNATING,
    CONTROL,
    DIVERSE,
    INDEPENDENT,
    JOINT,
    JOINT_SCRATCH,
    SCRATCH,
    SEPARATE,
    SEPARATE_RAW,
    SIMILAR,
    SINGLE,
    SINGLE_LONG,
)

EACH_GROUP = pytest.mark.parametrize("name", [DIVERSE, SIMILAR])

OWN_MODELS = (SEPARATE, SEPARATE_RAW)
FROM_RANDOM = (SCRATCH, JOINT_SCRATCH)
FROZEN = (INDEPENDENT, CONTROL)
MOVING = (SINGLE, SINGLE_LONG, ALTERNATING, JOINT)
CLEANED = (SEPARATE,)


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    return small_groups(tmp_path_factory.mktemp("groups"))


@pytest.fixture
def trainings(monkeypatch):
    """The trainings that would be done, and are not."""
    return Trainings(monkeypatch)


def test_every_arm_is_of_one_kind_below(groups):
    kinds = (*OWN_MODELS, *FROM_RANDOM, *FROZEN, *MOVING)
    assert sorted(kinds) == sorted(arms_of(groups[DIVERSE]))


# ---------------------------------------------------------------------------- where arms begin


def begins(call, task):
    """Weights of encoder and head, as the training gets them."""
    if call.encoder is not None:
        return bytes_of(call.encoder), bytes_of(task.head)
    assert len(task.head) == 2
    return tuple(map(bytes_of, task.head))


def shapes(network):
    return {name: value.shape for name, value in network.state_dict().items()}


@EACH_GROUP
def test_arms_from_the_source_begin_with_its_encoder(name, groups, tmp_path, trainings):
    source = small_source()
    tune_all(small_tuning(groups[name], tmp_path, source=source))
    for arm in {*MOVING, *FROZEN} & set(arms_of(groups[name])):
        assert trainings.of(arm)
        for call in trainings.of(arm):
            for task in call.tasks:
                assert begins(call, task)[0] == bytes_of(source[0])


@EACH_GROUP
def test_arms_from_scratch_begin_at_random_in_the_same_shapes(name, groups, tmp_path, trainings):
    tuning = small_tuning(groups[name], tmp_path)
    tune_all(tuning)
    source, encoders = {a.tobytes() for a in weights_in(tuning.source())}, {}
    for arm in FROM_RANDOM:
        for call in trainings.of(arm):
            for task in call.tasks:
                encoder, head = (call.encoder, task.head) if call.encoder else task.head
                assert not source & {a.tobytes() for a in (*weights_in(encoder), *weights_in(head))}
                own = task.name.rpartition(f"{arm}-")[2]
                as_single = network_of(tuning, SINGLE, own)
                assert (shapes(encoder), shapes(head)) == tuple(map(shapes, as_single))
                encoders.setdefault(arm, []).append(bytes_of(encoder)["0.w"])
    assert len(set(encoders[SCRATCH])) == len(groups[name].tasks)
    assert len(set(encoders[JOINT_SCRATCH])) == 1
    assert not set(encoders[SCRATCH]) & set(encoders[JOINT_SCRATCH])


def weights_in(network):
    """The arrays that are drawn at random."""
    return [a for a in network.state_dict().values() if a.ndim > 1]


@pytest.mark.parametrize("arm", [SINGLE, INDEPENDENT, ALTERNATING, JOINT])
def test_segmentation_head_begins_as_the_source_s_decoder_but_for_its_last_layer(
    arm, groups, tmp_path, trainings
):
    tuning = small_tuning(groups[DIVERSE], tmp_path)
    tuning.tune(job_of(tuning, arm))
    call = trainings.of(arm)[0]
    head, decoder = begins(call, call.tasks[0])[1], bytes_of(tuning.source()[1])
    last = str(len(tuning.source()[1]) - 1)
    assert {name.split(".")[0] for name in decoder if head[name] != decoder[name]} == {last}


@EACH_GROUP
def test_baseline_has_models_of_its_own_that_begin_at_random(name, groups, tmp_path, trainings):
    tuning = small_tuning(groups[name], tmp_path)
    tune_all(tuning)
    source = {a.tobytes() for a in weights_in(tuning.source())}
    for arm in OWN_MODELS:
        models = trainings.tasks(arm)
        assert len(models) == len(groups[name].tasks)
        for task in models:
            own = task.name.rpartition(f"{arm}-")[2]
            made = tuning.trained.models[own](np.random.default_rng(0))
            assert shapes(task.head) == shapes(made)
            assert not source & {a.tobytes() for a in weights_in(task.head)}


@EACH_GROUP
def test_arms_and_tasks_have_heads_from_random_numbers_of_their_own(
    name, groups, tmp_path, trainings
):
    for replicate in (1, 2):
        tuning = small_tuning(groups[name], tmp_path, replicate=replicate)
        for arm in arms_of(groups[name]):
            tuning.tune(job_of(tuning, arm, replicate))
    last = [weights_in(task.head)[-1].tobytes() for task in trainings.tasks()]
    assert len(set(last)) == len(last) == 2 * (9 * len(groups[name].tasks) + (name == DIVERSE))


# ---------------------------------------------------------------------------- what is learned from


@EACH_GROUP
def test_only_the_paper_s_baseline_learns_from_cleaned_images(
    name, groups, tmp_path, trainings, monkeypatch
):
    monkeypatch.setattr(cxr, "denoise", lambda denoiser, images, *how: np.asarray(images) // 2)
    tuning = small_tuning(groups[name], tmp_path)
    tune_all(tuning)
    raw = np.asarray(groups[name].train_set.images)
    for call in trainings:
        for task in call.tasks:
            for examples in (task.train, task.validation):
                factor = 2 if call.job.arm in CLEANED else 1
                expected = raw[examples.rows] // factor
                np.testing.assert_array_equal(examples.inputs[examples.rows], expected)


def test_no_image_outside_the_draw_is_cleaned_for_training(groups, tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(cxr, "denoise", lambda d, images, *how: given.append(images) or images)
    tuning = small_tuning(groups[DIVERSE], tmp_path)
    cleaned = tuning._cleaned
    rows = [*tuning.draw.train, *tuning.draw.validation]
    assert [len(images) for images in given] == [len(rows)]
    assert np.flatnonzero(cleaned.any(axis=(1, 2))).tolist() == sorted(rows)


def test_the_baseline_of_an_untrained_source_takes_images_as_they_are(groups, tmp_path, trainings):
    tune_all(small_tuning(groups[SIMILAR], tmp_path, replace(SMALL, source_steps=0)))
    raw = groups[SIMILAR].train_set.images
    for task in trainings.tasks(SEPARATE):
        assert np.array_equal(task.train.inputs[task.train.rows], raw[task.train.rows])


@pytest.mark.parametrize("augment", [True, False])
def test_augmentation_reaches_what_is_trained_on_and_nothing_else(
    augment, groups, tmp_path, trainings
):
    tune_all(small_tuning(groups[DIVERSE], tmp_path, replace(SMALL, augment=augment)))
    for call in trainings:
        for task in call.tasks:
            assert task.validation.augment is None
            assert isinstance(task.train.augment, Augmentation) == augment
            if augment:  # from the generator that a checkpoint keeps
                assert task.train.augment.rng is call.training.rng


def test_background_of_the_normalisation_reaches_every_training(groups, tmp_path, trainings):
    tune_all(small_tuning(groups[DIVERSE], tmp_path, replace(SMALL, background=70)))
    images = groups[DIVERSE].train_set.images[:3]
    expected = normalise(images, background=70)
    assert abs(expected - normalise(images)).max() > 0.1
    for task in trainings.tasks():
        for examples in (task.train, task.validation):
            np.testing.assert_array_equal(examples.prepare(images), expected)


def test_control_learns_as_many_of_each_label_but_shuffled(groups, tmp_path, trainings):
    true = groups[DIVERSE].task(ABNORMALITY).train.targets.copy()
    for replicate in (1, 2):
        tuning = small_tuning(groups[DIVERSE], tmp_path, replicate=replicate)
        for arm in arms_of(groups[DIVERSE]):
            tuning.tune(job_of(tuning, arm, replicate))
    controls = trainings.tasks(CONTROL)
    assert len(controls) == 2
    for task in controls:
        assert np.bincount(task.train.targets).tolist() == np.bincount(true).tolist()
        assert task.train.targets is task.validation.targets
        assert 12 < (task.train.targets == true).sum() < 36  # of 48; half of them by chance
    assert (controls[0].train.targets != controls[1].train.targets).any()
    for task in (t for a in arms_of(groups[DIVERSE]) if a != CONTROL for t in trainings.tasks(a)):
        if ABNORMALITY in task.name:
            assert task.train.targets.tolist() == task.validation.targets.tolist() == true.tolist()
    assert groups[DIVERSE].task(ABNORMALITY).train.targets.tolist() == true.tolist()


def test_control_is_shuffled_among_the_labelled_alone(groups, tmp_path, trainings):
    abnormal = np.where(np.arange(96) % 12 < 4, -1, np.arange(96) // 12 % 2)
    target = hospital(tmp_path / "target", n=96, side=16, labels={"abnormal": abnormal})
    group = diverse_group(target, groups[DIVERSE].test_set)
    tuning = small_tuning(group, tmp_path / "out", replace(SMALL, labels=40))
    tuning.tune(job_of(tuning, CONTROL))
    (task,) = trainings.tasks(CONTROL)
    assert (task.train.targets == -1).tolist() == (abnormal == -1).tolist()
    assert not np.isin(task.train.rows, np.flatnonzero(abnormal == -1)).any()
