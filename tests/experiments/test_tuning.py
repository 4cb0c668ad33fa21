"""Jobs that tune: which networks are trained, on what, once, and by what their weights are kept."""

from dataclasses import fields, replace

import numpy as np
import pytest
from small_sets import SMALL, hospital, note_computed
from small_tuning import (
    TUNERS,
    Trainings,
    arms_of,
    jobs_of,
    records_of,
    small_groups,
    small_tuning,
    tasks_in,
    training_in,
)

from ums.data import normalise
from ums.data.augment import Augmentation
from ums.experiments import cxr
from ums.experiments import tuning as module
from ums.experiments.cxr import ABNORMALITY, diverse_group
from ums.experiments.jobs import TUNE, Job
from ums.experiments.names import (
    ALTERNATING,
    CONTROL,
    DIVERSE,
    INDEPENDENT,
    JOINT,
    SEPARATE,
    SIMILAR,
    STRATEGIES,
    TOGETHER,
)
from ums.experiments.settings import Settings
from ums.experiments.tuning import folds_of
from ums.training import History

EACH_GROUP = pytest.mark.parametrize("name", [DIVERSE, SIMILAR])


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    return small_groups(tmp_path_factory.mktemp("groups"))


@pytest.fixture
def trainings(monkeypatch):
    """The trainings that would be done, and are not."""
    return Trainings(monkeypatch)


@pytest.fixture
def computed(monkeypatch):
    """The names of what stores compute, as they do."""
    return note_computed(monkeypatch)


# ---------------------------------------------------------------------------- once


@EACH_GROUP
def test_each_network_is_trained_once_and_on_a_second_run_none(name, groups, tmp_path, monkeypatch):
    trained = []

    def noting(tuner, original):
        return lambda *arguments, **more: trained.append(tuner) or original(*arguments, **more)

    for tuner in TUNERS:
        monkeypatch.setattr(module, tuner, noting(tuner, getattr(module, tuner)))
    first = records_of(small_tuning(groups[name], tmp_path))
    tasks, control = len(groups[name].tasks), name == DIVERSE
    expected = {"tune_independently": 2 * (tasks + control), "train_separately": 2 * tasks}
    expected |= {"tune_alternately": 2, "tune_jointly": 2}
    assert {tuner: trained.count(tuner) for tuner in TUNERS} == expected
    trained.clear()
    second = records_of(small_tuning(groups[name], tmp_path))
    assert trained == [] and repr(second) == repr(first)  # times and scores to the last digit


EVERYTHING = (*STRATEGIES, CONTROL)
# field of the settings -> (another value, arms of the diverse group that are trained again)
CHANGES = {
    "folds": (3, EVERYTHING),
    "width": (0.06, EVERYTHING),
    "source_epochs": (2, EVERYTHING),
    "epochs": (2, STRATEGIES),  # the control is a classification alone
    "classifier_epochs": (2, EVERYTHING),
    "batch": (7, EVERYTHING),
    "learning_rate": (0.01, EVERYTHING),
    "patience": (3, EVERYTHING),
    "joint_weights": ("1,2", (JOINT,)),
    "stop_by": ("first", TOGETHER),
    "augment": (True, EVERYTHING),
    "background": (20, EVERYTHING),
    "statistics": ("target", EVERYTHING),
    "labels": (0.7, EVERYTHING),
    "seed": (1, EVERYTHING),
}


def test_every_setting_is_looked_at_below():
    assert set(CHANGES) == {field.name for field in fields(Settings)}


@pytest.mark.parametrize("setting", CHANGES)
def test_weights_of_another_setting_are_never_taken(setting, groups, tmp_path, trainings, computed):
    value, again = CHANGES[setting]
    records_of(small_tuning(groups[DIVERSE], tmp_path))
    computed.clear()
    other = small_tuning(groups[DIVERSE], tmp_path, replace(SMALL, **{setting: value}))
    records_of(other)
    assert computed.weights == [job.name for job in jobs_of(other) if job.arm in again]


@EACH_GROUP
def test_weights_of_other_data_are_never_taken(name, groups, tmp_path, trainings, computed):
    for data in ("a", "b"):
        tuning = small_tuning(groups[name], tmp_path, data=data)
        records_of(tuning)
    assert computed.weights == 2 * [job.name for job in jobs_of(tuning)]


@pytest.mark.parametrize(("setting", "again"), [("epochs", 1), ("classifier_epochs", 2)])
def test_classifications_depend_on_no_setting_of_a_segmentation(
    setting, again, groups, tmp_path, trainings, computed
):
    for settings in (SMALL, replace(SMALL, **{setting: 2})):
        tuning = small_tuning(groups[SIMILAR], tmp_path, settings)
        records_of(tuning)
    assert computed.weights == again * [job.name for job in jobs_of(tuning)]


def test_another_replicate_is_another_job_and_draws_other_numbers(groups, tmp_path):
    tuning, tuned = small_tuning(groups[DIVERSE], tmp_path), []
    for replicate in (0, 1, 1):
        job = Job(TUNE, DIVERSE, JOINT, 1, replicate)
        network = tuning.tune(job)[ABNORMALITY].network
        tuned.append({n: a.tobytes() for n, a in network.layers[1].state_dict().items()})
    assert tuned[0] != tuned[1] == tuned[2]
    assert len(list(tmp_path.glob("weights/*.npz"))) == 2


def test_job_stopped_between_two_tasks_ends_as_if_never_stopped(groups, tmp_path, monkeypatch):
    job, original, calls = Job(TUNE, DIVERSE, INDEPENDENT, 1), module.tune_independently, []

    def stopping(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*arguments)

    whole = small_tuning(groups[DIVERSE], tmp_path / "a").tune(job)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "tune_independently", stopping)
        small_tuning(groups[DIVERSE], tmp_path / "b").tune(job)
    again = small_tuning(groups[DIVERSE], tmp_path / "b").tune(job)
    for task in whole:
        one, two = whole[task].network.state_dict(), again[task].network.state_dict()
        assert all(one[name].tobytes() == two[name].tobytes() for name in one)
        assert one.keys() == two.keys()
        assert whole[task].history.train == again[task].history.train


# ---------------------------------------------------------------------------- the settings


@pytest.mark.parametrize(("name", "epochs"), [(DIVERSE, 2), (SIMILAR, 3)])
def test_tasks_tuned_together_train_as_long_as_a_segmentation_if_there_is_one(
    name, epochs, groups, tmp_path, trainings
):
    settings = replace(SMALL, epochs=2, classifier_epochs=3)
    records_of(small_tuning(groups[name], tmp_path, settings))
    together = [training_in(a).settings for job, a in trainings if job.arm in TOGETHER]
    assert [fit.epochs for fit in together] == [epochs] * 4
    alone = {tasks_in(a)[0].name: training_in(a).settings.epochs for job, a in trainings
             if job.arm not in TOGETHER}  # fmt: skip
    assert {task: 2 if "lungs" in task else 3 for task in alone} == alone


def test_tasks_tuned_together_may_stop_by_the_first_alone():
    histories = [History(validation=[2.0, 1.0]), History(validation=[1.0, 3.0])]
    assert Settings().criterion()(histories) == (0.5 + 3) / 2
    assert Settings(stop_by="first").criterion()(histories) == 0.5


def test_target_statistics_change_a_copy_of_the_encoder_and_no_weight(groups, tmp_path, trainings):
    settings = replace(SMALL, statistics="target")
    tuning = small_tuning(groups[DIVERSE], tmp_path, settings)
    ours, source = tuning.encoder.state_dict(), tuning.networks.encoder.state_dict()
    changed = {
        name.rpartition(".")[2] for name in ours if not np.array_equal(ours[name], source[name])
    }
    assert changed == {"running_mean", "running_var"}
    images = normalise(groups[DIVERSE].train_set.images, background=settings.background)
    mean = tuning.encoder.layers[0].forward(images, keep=False).mean(axis=(0, 1, 2))
    distance = abs(ours["1.running_mean"] - mean).max()
    assert distance < 0.2 * abs(source["1.running_mean"] - mean).max()
    tuning.tune(Job(TUNE, DIVERSE, INDEPENDENT, 1))
    assert trainings[0][1][0] is tuning.encoder


# ---------------------------------------------------------------------------- what is trained on


@EACH_GROUP
def test_only_the_baseline_trains_on_cleaned_images(name, groups, tmp_path, trainings, monkeypatch):
    monkeypatch.setattr(cxr, "denoise", lambda denoiser, images, *how: np.asarray(images) // 2)
    records_of(small_tuning(groups[name], tmp_path))
    raw = np.asarray(groups[name].train_set.images)
    for arm in arms_of(groups[name]):
        expected = raw // 2 if arm == SEPARATE else raw
        assert trainings.tasks(arm)
        for task in trainings.tasks(arm):
            np.testing.assert_array_equal(task.train.inputs, expected)
            np.testing.assert_array_equal(task.validation.inputs, expected)


def test_the_baseline_of_an_untrained_source_takes_images_as_they_are(groups, tmp_path, trainings):
    records_of(small_tuning(groups[SIMILAR], tmp_path, replace(SMALL, source_epochs=0)))
    raw = groups[SIMILAR].train_set.images
    assert all(np.array_equal(task.train.inputs, raw) for task in trainings.tasks(SEPARATE))


@EACH_GROUP
def test_every_training_has_the_rows_of_its_fold(name, groups, tmp_path, trainings):
    tuning = small_tuning(groups[name], tmp_path)
    records_of(tuning)
    for i, fold in enumerate(tuning.folds, start=1):
        assert len(trainings.tasks(fold=i)) == 4 * len(groups[name].tasks) + (name == DIVERSE)
        for task in trainings.tasks(fold=i):
            own = next(t for t in groups[name].tasks if t.name in task.name)
            for rows, examples in ((fold.train, task.train), (fold.validation, task.validation)):
                assert set(examples.rows) == set(rows) & set(own.train.rows)


@pytest.mark.parametrize("labels", [1.0, 0.5])
def test_fewer_labels_thin_out_what_is_trained_on_alone(labels, groups):
    settings = replace(SMALL, labels=labels, batch=4)
    few, every = (folds_of(groups[DIVERSE], s) for s in (settings, SMALL))
    for ours, whole in zip(few, every, strict=True):
        assert ours.validation.tolist() == whole.validation.tolist()
        assert ours.held_out.tolist() == whole.held_out.tolist()
        assert set(ours.train) <= set(whole.train)
        assert len(ours.train) == labels * len(whole.train)


@pytest.mark.parametrize("augment", [True, False])
def test_augmentation_reaches_what_is_trained_on_and_nothing_else(
    augment, groups, tmp_path, trainings
):
    records_of(small_tuning(groups[DIVERSE], tmp_path, replace(SMALL, augment=augment)))
    for _, arguments in trainings:
        for task in tasks_in(arguments):
            assert task.validation.augment is None
            assert isinstance(task.train.augment, Augmentation) == augment
            if augment:  # from the generator that a checkpoint keeps
                assert task.train.augment.rng is training_in(arguments).rng


def test_background_of_the_normalisation_reaches_every_training(groups, tmp_path, trainings):
    records_of(small_tuning(groups[DIVERSE], tmp_path, replace(SMALL, background=70)))
    images = groups[DIVERSE].train_set.images[:3]
    expected = normalise(images, background=70)
    assert abs(expected - normalise(images)).max() > 0.1
    for task in trainings.tasks():
        for examples in (task.train, task.validation):
            np.testing.assert_array_equal(examples.prepare(images), expected)


def test_control_learns_as_many_of_each_label_but_shuffled(groups, tmp_path, trainings):
    true = groups[DIVERSE].task(ABNORMALITY).train.targets.copy()
    records_of(small_tuning(groups[DIVERSE], tmp_path))
    controls = trainings.tasks(CONTROL)
    assert len(controls) == 2
    for task in controls:
        assert np.bincount(task.train.targets).tolist() == np.bincount(true).tolist()
        assert task.train.targets is task.validation.targets
        assert 12 < (task.train.targets == true).sum() < 36  # of 48; half of them by chance
    assert (controls[0].train.targets != controls[1].train.targets).any()
    others = [t for arm in STRATEGIES for t in trainings.tasks(arm) if ABNORMALITY in t.name]
    assert len(others) == 8
    for task in others:
        assert task.train.targets.tolist() == task.validation.targets.tolist() == true.tolist()
    assert groups[DIVERSE].task(ABNORMALITY).train.targets.tolist() == true.tolist()


def test_control_is_shuffled_among_the_labelled_alone(groups, tmp_path, trainings):
    abnormal = np.where(np.arange(96) % 12 < 4, -1, np.arange(96) // 12 % 2)
    target = hospital(tmp_path / "target", n=96, side=16, labels={"abnormal": abnormal})
    group = diverse_group(target, groups[DIVERSE].test_set)
    records_of(small_tuning(group, tmp_path / "out"))
    assert len(trainings.tasks(CONTROL)) == 2
    for task in trainings.tasks(CONTROL):
        assert (task.train.targets == -1).tolist() == (abnormal == -1).tolist()
        assert not np.isin(task.train.rows, np.flatnonzero(abnormal == -1)).any()


def test_folds_and_arms_begin_from_random_numbers_of_their_own(groups, tmp_path, trainings):
    records_of(small_tuning(groups[SIMILAR], tmp_path))
    heads = [task.head.state_dict() for arm in (INDEPENDENT, ALTERNATING, JOINT)
             for task in trainings.tasks(arm)]  # fmt: skip
    first = {next(array.tobytes() for array in head.values() if array.ndim > 1) for head in heads}
    assert len(first) == len(heads) == 3 * 2 * 3


def test_fold_that_cannot_fill_a_batch_is_named(groups):
    text = r"/1: \d+ images to train the lungs task on in fold 1 of 2 cannot fill a batch of 25$"
    with pytest.raises(ValueError, match=text):
        folds_of(groups[DIVERSE], replace(SMALL, batch=25))
