"""The method itself: what learns from which images, what decides by which, and what begins where.

Nothing is trained here: the tests look at what the training and the testing functions are given.
"""

from dataclasses import replace

import numpy as np
import pytest
from small_sets import CPU, SMALL, children, echoes, hospital
from small_tuning import Trainings, jobs_of, small_groups, small_tuning, tasks_in, training_in

from ums import source as denoising
from ums.data import NOISES, Normalisation
from ums.experiments import cxr, echo, search, tuning
from ums.experiments.cxr import CXR, LUNGS
from ums.experiments.echo import ECHO, ENVELOPE, FLOW, QUALITY
from ums.experiments.jobs import TUNE, Job
from ums.experiments.names import (
    ALTERNATING,
    DIVERSE,
    INDEPENDENT,
    JOINT,
    SEPARATE,
    SIMILAR,
    TOGETHER,
)
from ums.experiments.run import Run
from ums.experiments.settings import Settings
from ums.experiments.store import Store
from ums.finetuning import ByHand, Tuned
from ums.finetuning.loop import relative_loss
from ums.optimizers import RMSprop
from ums.training import FitSettings, History, Training

EACH_GROUP = pytest.mark.parametrize("name", [DIVERSE, SIMILAR])


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    return small_groups(tmp_path_factory.mktemp("groups"))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """The images of a chest X-ray source."""
    return hospital(tmp_path_factory.mktemp("source") / "source", side=16)


@pytest.fixture(scope="module")
def screens(tmp_path_factory):
    """The images of an echo source."""
    return echoes(tmp_path_factory.mktemp("screens") / "source", side=16)


@pytest.fixture
def trainings(monkeypatch):
    return Trainings(monkeypatch)


def noted(monkeypatch, module, name, result=None):
    """The arguments of every call of a function, which does nothing but return the result."""
    calls = []
    monkeypatch.setattr(module, name, lambda *arguments, **_: calls.append(arguments) or result)
    return calls


def in_split(prepared, split):
    return np.flatnonzero(prepared.splits == split).tolist()


# ---------------------------------------------------------------------------- the source

SETTINGS = replace(SMALL, background=70, seed=3)


def source_parts(monkeypatch, source):
    """What a denoising source learns from and stops by, and its Training."""
    calls = noted(monkeypatch, cxr, "train_denoising")
    training = Training(FitSettings(), np.random.default_rng(1), CPU)
    CXR.train_source(None, source, SETTINGS, training)
    _, learned, judged, given = calls[0]
    assert given is training
    return learned, judged, training


def test_denoising_source_learns_from_its_train_split_and_stops_by_validation(source, monkeypatch):
    learned, judged, _ = source_parts(monkeypatch, source)
    assert learned.rows.tolist() == in_split(source, "train")
    assert judged.rows.tolist() == in_split(source, "validation")


def test_echo_source_learns_from_its_train_split_and_stops_by_validation(screens, monkeypatch):
    calls = noted(monkeypatch, echo, "train_task")
    ECHO.train_source("network", screens, replace(ECHO.defaults, background=70), "training")
    task, training = calls[0]
    assert (task.head, training) == ("network", "training")
    for examples, split in ((task.train, "train"), (task.validation, "validation")):
        assert examples.rows.tolist() == in_split(screens, split)
        assert examples.targets.tolist() == screens.labels["flow"].tolist()
        assert examples.prepare == Normalisation(70)


def test_noise_of_validation_is_fixed_and_that_of_training_new_in_every_epoch(source, monkeypatch):
    learned, judged, training = source_parts(monkeypatch, source)
    chosen = np.arange(4)
    assert np.array_equal(judged.batch(chosen)[0], judged.batch(chosen)[0])
    assert not np.array_equal(learned.batch(chosen)[0], learned.batch(chosen)[0])
    assert learned.rng is training.rng  # which a checkpoint keeps
    assert [p.normalisation for p in (learned, judged)] == [Normalisation(70)] * 2


def test_noise_of_every_kind_is_learned_from_and_judged_by(source, monkeypatch):
    kinds = []

    def corrupt(images, rng, noises=NOISES):
        kinds.append(noises)
        return np.zeros(images.shape, np.float32)

    monkeypatch.setattr(denoising, "corrupt", corrupt)
    for part in source_parts(monkeypatch, source)[:2]:
        part.batch(np.arange(2))
    assert kinds == [NOISES] * 3  # one batch, and each of two images


def test_denoising_learns_by_mse_and_rmsprop_and_is_judged_by_other_images(monkeypatch):
    calls = noted(monkeypatch, denoising, "train_task")
    denoising.train_denoising("network", "train", "validation", "training")
    task, given = calls[0]
    assert (task.head, task.train, task.validation) == ("network", "train", "validation")
    assert (task.loss, task.optimizer, given) == (denoising.mse, RMSprop, "training")


@pytest.mark.parametrize("most", [2, 200])
def test_table_2_is_of_test_images_that_the_source_never_saw(most, source, monkeypatch):
    monkeypatch.setattr(cxr, "DENOISED_AT_MOST", {"test": most, "validation": most})
    calls = noted(monkeypatch, cxr, "score_denoising", ([], {}))
    CXR.test_source("network", source, SETTINGS, CPU)
    for images, split in zip(calls[0][1:3], ("test", "validation"), strict=True):
        own = {image.tobytes() for image in source.images[in_split(source, split)]}
        assert len(images) == min(most, len(own)) == len({i.tobytes() for i in images} & own)


def test_table_2_is_of_the_network_in_its_own_normalisation(source, monkeypatch):
    scored = noted(monkeypatch, cxr, "score_denoising", ([], {}))
    calls = noted(monkeypatch, cxr, "denoise_exactly")
    CXR.test_source("network", source, SETTINGS, CPU)
    scored[0][0]("noisy")
    assert calls[0] == ("network", "noisy", CPU, Normalisation(70))


def test_echo_source_is_tested_beside_what_its_training_images_say_alone(screens, monkeypatch):
    flow = screens.labels["flow"].copy()
    train, test = (in_split(screens, split) for split in ("train", "test"))
    flow[train], flow[test] = 1, 2
    flow[train[0]] = 0
    spoilt = replace(screens, labels=screens.labels | {"flow": flow})
    monkeypatch.setattr(echo, "predict", lambda *_: np.zeros((len(test), 3)))
    record, _ = ECHO.test_source(None, spoilt, ECHO.defaults, CPU)
    assert record["label"].tolist() == [2] * len(test)
    assert record["commonest"] == 1 and record["trained on"] == len(train)
    assert set(record["nearest neighbour"].tolist()) <= {0, 1}
    assert record["patient"].tolist() == screens.patients[test].tolist()


# ---------------------------------------------------------------------------- patients


@pytest.mark.parametrize("shared", ["target", "test", "pneumonia"])
def test_not_one_patient_of_a_source_that_learns_labels_is_in_any_folder(shared, tmp_path):
    for name in ("source", "target", "test", "pneumonia"):
        make, n = (children, 72) if name == "pneumonia" else (hospital, 48)
        patients = [f"{name}{k // 2}" for k in range(n)]
        if name == shared:
            patients[-1] = "source0"
        make(tmp_path / name, n=n, side=16, patients=patients)
    layout = replace(CXR.layout, supervised=True)
    with pytest.raises(ValueError, match=rf"^{tmp_path / shared}: .* has source0 too"):
        layout.load(tmp_path)


def test_part_that_decides_when_to_stop_is_about_15_percent_of_what_is_not_held_out(groups):
    for fold in tuning.folds_of(groups[SIMILAR], replace(SMALL, folds=3)):
        rest = len(fold.train) + len(fold.validation)
        assert 0.1 < len(fold.validation) / rest < 0.2


# ---------------------------------------------------------------------------- where networks begin


def test_heads_of_both_modalities_stand_on_the_source_s_own_encoder(groups, tmp_path):
    target = echoes(tmp_path / "target", 1, side=16)
    for modality, group in ((CXR, groups[DIVERSE]), (ECHO, echo.diverse_group(target))):
        network = modality.source_network(np.random.default_rng(1), 0.1)
        networks = modality.networks(group, network, replace(SMALL, width=0.1), CPU)
        assert networks.encoder is network.layers[0]


def test_segmentation_head_begins_as_the_source_s_decoder_but_for_its_last_layer(groups):
    network = CXR.source_network(np.random.default_rng(1), 0.1)
    networks = CXR.networks(groups[DIVERSE], network, replace(SMALL, width=0.1), CPU)
    decoder = network.layers[1].state_dict()
    head = networks.heads[LUNGS](np.random.default_rng(2)).state_dict()
    last = str(len(network.layers[1].layers) - 1)
    same = {name for name in decoder if np.array_equal(head[name], decoder[name])}
    assert {name.split(".")[0] for name in decoder.keys() - same} == {last}


@pytest.mark.parametrize("statistics", ["source", "target"])
def test_tasks_tuned_together_begin_from_a_copy_of_the_encoder(
    statistics, groups, tmp_path, trainings
):
    tuned = small_tuning(groups[DIVERSE], tmp_path, replace(SMALL, statistics=statistics))
    for arm in TOGETHER:
        tuned.tune(Job(TUNE, DIVERSE, arm, 1))
        encoder, expected = trainings[-1][1][0], tuned.encoder.state_dict()
        assert encoder is not tuned.encoder
        found = encoder.state_dict()
        assert all(np.array_equal(found[name], expected[name]) for name in expected)


@EACH_GROUP
def test_separate_models_begin_at_random_each_from_numbers_of_its_own(
    name, groups, tmp_path, trainings
):
    tuned = small_tuning(groups[name], tmp_path)
    for job in jobs_of(tuned):
        if job.arm == SEPARATE:
            tuned.tune(job)
    source = {a.tobytes() for a in tuned.source.state_dict().values() if a.ndim > 1}
    models = [task.head.state_dict() for task in trainings.tasks(SEPARATE)]
    first = [next(a.tobytes() for a in model.values() if a.ndim > 1) for model in models]
    assert len(set(first)) == len(first) == 2 * len(groups[name].tasks)
    assert not source & {a.tobytes() for model in models for a in model.values()}


def test_every_training_alone_is_as_long_and_as_patient_as_its_kind(groups, tmp_path, trainings):
    settings = replace(SMALL, epochs=2, classifier_epochs=3, patience=4)
    tuned = small_tuning(groups[DIVERSE], tmp_path, settings)
    for arm in (INDEPENDENT, SEPARATE):
        tuned.tune(Job(TUNE, DIVERSE, arm, 1))
    assert len(trainings) == 4
    for _, arguments in trainings:
        (task,) = tasks_in(arguments)
        kind = "segmentation" if LUNGS in task.name else "classification"
        assert training_in(arguments).settings == settings.fit(kind)


def test_joint_weights_and_criterion_reach_the_tasks_tuned_together(groups, tmp_path, monkeypatch):
    seen = {}
    for name in ("tune_jointly", "tune_alternately"):

        def tune(encoder, tasks, *arguments, name=name, **more):
            seen[name] = [*arguments, *more.values()]
            return {task.name: Tuned(task.head, History([1.0], [1.0]), 0.0, 1) for task in tasks}

        monkeypatch.setattr(tuning, name, tune)
    settings = replace(SMALL, joint_weights="1,0.25", stop_by="first")
    tuned = small_tuning(groups[DIVERSE], tmp_path, settings)
    for arm in (JOINT, ALTERNATING):
        tuned.tune(Job(TUNE, DIVERSE, arm, 1))
    weights = next(a for a in seen["tune_jointly"] if isinstance(a, ByHand))
    assert weights._given == (1, 0.25)
    histories = [History(validation=[2.0, 1.0]), History(validation=[1.0, 3.0])]
    for arguments in seen.values():
        assert arguments[-1](histories) == relative_loss(histories[:1])


# ---------------------------------------------------------------------------- target statistics


@EACH_GROUP
def test_target_statistics_are_of_the_images_in_folds_and_of_no_test_image(
    name, groups, tmp_path, monkeypatch
):
    calls = noted(monkeypatch, tuning, "renew_statistics")
    settings = replace(SMALL, statistics="target", background=70)
    tuned = small_tuning(groups[name], tmp_path, settings)
    encoder, examples, _ = calls[0]
    assert encoder is tuned.encoder
    assert examples.inputs is groups[name].train_set.images
    assert examples.rows.tolist() == groups[name].pool.tolist()
    assert examples.prepare == Normalisation(70)
    test_images = groups[name].test_set.images[groups[name].tasks[0].test.rows]
    assert not {i.tobytes() for i in test_images} & {
        i.tobytes() for i in examples.inputs[examples.rows]
    }


# ---------------------------------------------------------------------------- echo's tasks


def test_every_echo_task_has_the_targets_of_its_own_name(tmp_path):
    target = echoes(tmp_path / "target", 1, side=16)
    group = echo.diverse_group(target)
    for name in (QUALITY, FLOW):
        for labelled in (group.task(name).train, group.task(name).test):
            assert labelled.targets.tolist() == target.labels[name].tolist()
            assert labelled.prepared is target
    assert group.task(ENVELOPE).train.targets is target.masks
    for made in (group, echo.similar_group(target)):
        assert not set(made.pool.tolist()) & set(in_split(target, "test"))


# ---------------------------------------------------------------------------- the search


def small_search(screens, tmp_path):
    settings = search.SearchSettings(trials=2, epochs=1, width=0.05)
    return search.Search(screens, settings, Run(Settings(), CPU, Store(tmp_path), progress=False))


def test_search_learns_stops_and_chooses_without_a_test_image(tmp_path, monkeypatch):
    screens = echoes(tmp_path / "screens", n=144, side=16)
    tuned = Tuned(None, History([1.0], [1.0]), 0.0, 1)
    calls = noted(monkeypatch, search, "train_task", tuned)
    made, splits = small_search(screens, tmp_path / "out"), []
    monkeypatch.setattr(made, "scores", lambda network, split: splits.append(split) or {})
    jobs = list(made.jobs().items())
    for job, choice in jobs:
        made.record(job, choice)
    assert splits == ["validation"] * 2
    for task, _ in calls:
        assert task.train.rows.tolist() == in_split(screens, "train")
        assert task.validation.rows.tolist() == in_split(screens, "validation")
    made.test_record(*jobs[0])
    assert splits[2:] == ["test"]
