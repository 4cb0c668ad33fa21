"""The method itself: what learns from which images, what decides by which, and what begins where.

Nothing is trained here: the tests look at what the training and the testing functions are given.
"""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from small_sets import CPU, SMALL, children, echoes, hospital, small_study
from small_tuning import small_groups

from ums import source as denoising
from ums.data import NOISES, Normalisation
from ums.experiments import cxr, echo, search
from ums.experiments import study as study_module
from ums.experiments.cxr import CXR
from ums.experiments.datasets import Datasets
from ums.experiments.echo import ECHO, ENVELOPE, FLOW, QUALITY
from ums.experiments.jobs import SOURCE, SOURCE_TEST, Job
from ums.experiments.names import DIVERSE
from ums.experiments.replicates import Draw
from ums.experiments.run import Run
from ums.experiments.settings import OTHER, OWN, Settings
from ums.experiments.store import Store
from ums.finetuning import Tuned
from ums.optimizers import RMSprop
from ums.training import FitSettings, History, Training


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


def noted(monkeypatch, module, name, result=None):
    """The arguments of every call of a function, which does nothing but return the result."""
    calls = []
    monkeypatch.setattr(module, name, lambda *arguments, **_: calls.append(arguments) or result)
    return calls


def in_split(prepared, split):
    return np.flatnonzero(prepared.splits == split).tolist()


# ---------------------------------------------------------------------------- the source

SETTINGS = replace(SMALL, background=70, seed=3)
DRAW = Draw(np.array([0, 1, 5, 6]), np.array([12, 13, 16, 17]))


def source_parts(monkeypatch, source):
    """What a denoising source learns from and is judged by, and its Training."""
    calls = noted(monkeypatch, cxr, "train_denoising")
    training = Training(FitSettings(), np.random.default_rng(1), CPU)
    CXR.train_source(None, source, DRAW, SETTINGS, training)
    _, learned, judged, given = calls[0]
    assert given is training
    return learned, judged, training


def test_denoising_source_learns_from_the_images_of_its_replicate_alone(source, monkeypatch):
    learned, judged, _ = source_parts(monkeypatch, source)
    assert learned.rows.tolist() == DRAW.train.tolist()
    assert judged.rows.tolist() == DRAW.validation.tolist()


def test_echo_source_learns_from_the_images_of_its_replicate_alone(screens, monkeypatch):
    calls = noted(monkeypatch, echo, "train_task")
    ECHO.train_source("network", screens, DRAW, replace(ECHO.defaults, background=70), "training")
    task, training = calls[0]
    assert (task.head, training) == ("network", "training")
    for examples, rows in ((task.train, DRAW.train), (task.validation, DRAW.validation)):
        assert examples.rows.tolist() == rows.tolist()
        assert examples.targets.tolist() == screens.labels["flow"].tolist()
        assert examples.prepare == Normalisation(70)


@pytest.mark.parametrize("replicate", [1, 2, -1])
@pytest.mark.parametrize("modality", [CXR, ECHO], ids=["cxr", "echo"])
def test_no_test_image_of_a_source_and_none_without_a_class_is_drawn_for_it(
    modality, replicate, source, screens, tmp_path, monkeypatch
):
    images = source if modality is CXR else screens
    if modality is ECHO:
        flow = np.where(np.arange(72) % 5, screens.labels["flow"], -1)
        images = replace(screens, labels=screens.labels | {"flow": flow})
    study = small_study(
        modality, Datasets({OWN: images}, ()), tmp_path, replace(SMALL, source_images=999)
    )
    calls = noted(monkeypatch, type(modality), "train_source", Tuned(None, History(), 0.0, 1))
    monkeypatch.setattr(
        study_module, "trained", lambda store, name, key, networks, train: train(None)
    )
    study.source(replicate)
    _, _, given, draw, settings, training = calls[0]
    assert given is images and settings is study.settings
    drawn = sorted([*draw.train, *draw.validation])
    known = modality.source_strata(images) >= 0
    assert drawn == np.flatnonzero((images.splits != "test") & known).tolist()
    patients = [set(images.patients[rows]) for rows in (draw.train, draw.validation)]
    assert not patients[0] & patients[1]
    fit = study.settings.fit(SMALL.source_steps, SMALL.source_rate)
    assert training.settings == fit and fit.schedule == "cosine"


def test_source_of_another_hospital_is_trained_on_its_images_and_tested_on_those_of_its_own(
    source, tmp_path, monkeypatch
):
    other = hospital(tmp_path / "other", 7, side=16)
    datasets = Datasets({OWN: source, OTHER: other}, ())
    study = small_study(CXR, datasets, tmp_path / "out", replace(SMALL, source_from=OTHER))
    trained = noted(monkeypatch, CXR.__class__, "train_source", Tuned(None, History(), 0.0, 1))
    tested = noted(monkeypatch, CXR.__class__, "test_source", ({}, {}))
    monkeypatch.setattr(
        study_module, "trained", lambda store, name, key, networks, train: train(None)
    )
    study.source(1)
    assert trained[0][2] is other and trained[0][3].digest == study.draw(SOURCE, 1).digest
    study.record(Job(SOURCE_TEST, replicate=1))
    assert tested[0][2] is source


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
    monkeypatch.setattr(denoising, "check_size", lambda *_: None)
    train, validation = (SimpleNamespace(images=np.zeros((1, 16, 16))) for _ in range(2))
    denoising.train_denoising("network", train, validation, "training")
    task, given = calls[0]
    assert (task.head, task.train, task.validation) == ("network", train, validation)
    assert (task.loss, task.optimizer, given) == (denoising.mse, RMSprop, "training")


@pytest.mark.parametrize("most", [2, 200])
def test_table_2_is_of_test_images_that_the_source_never_saw(most, source, monkeypatch):
    monkeypatch.setattr(cxr, "DENOISED_AT_MOST", {"test": most, "validation": most})
    calls = noted(monkeypatch, cxr, "score_denoising", ([], {}))
    CXR.test_source("network", source, DRAW, SETTINGS, CPU)
    wanted = {"test": in_split(source, "test"), "validation": DRAW.validation}
    for images, rows in zip(calls[0][1:3], wanted.values(), strict=True):
        own = {image.tobytes() for image in source.images[rows]}
        assert len(images) == min(most, len(own)) == len({i.tobytes() for i in images} & own)


def test_table_2_is_of_the_network_in_its_own_normalisation(source, monkeypatch):
    scored = noted(monkeypatch, cxr, "score_denoising", ([], {}))
    calls = noted(monkeypatch, cxr, "denoise_exactly", np.zeros((1, 2, 2)))
    CXR.test_source("network", source, DRAW, SETTINGS, CPU)
    scored[0][0]("noisy")
    assert calls[0] == ("network", "noisy", CPU, Normalisation(70))


def test_echo_source_is_tested_beside_what_its_training_images_say_alone(screens, monkeypatch):
    flow = screens.labels["flow"].copy()
    test = in_split(screens, "test")
    flow[:], flow[test], flow[DRAW.train] = 2, 2, 1
    flow[DRAW.train[0]] = 0
    spoilt = replace(screens, labels=screens.labels | {"flow": flow})
    monkeypatch.setattr(echo, "predict", lambda *_: np.zeros((len(test), 3)))
    record, _ = ECHO.test_source(None, spoilt, DRAW, ECHO.defaults, CPU)
    assert record["label"].tolist() == [2] * len(test)
    assert record["commonest"] == 1 and record["trained on"] == len(DRAW.train)
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


# ---------------------------------------------------------------------------- where networks begin


def test_heads_of_both_modalities_stand_on_the_source_s_own_encoder(groups, tmp_path):
    target = echoes(tmp_path / "target", 1, side=16)
    for modality, group in ((CXR, groups[DIVERSE]), (ECHO, echo.diverse_group(target))):
        network = modality.source_network(np.random.default_rng(1), 0.1)
        networks = modality.networks(group, network, replace(SMALL, width=0.1), CPU)
        assert networks.encoder is network.layers[0]


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
