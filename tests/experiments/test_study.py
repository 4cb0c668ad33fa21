"""A study as a list of jobs: which there are, what their records depend on, and what is in these."""

import os
import shutil
from dataclasses import fields, replace

import numpy as np
import pytest
from small_sets import (
    FOLDERS,
    SMALL,
    children,
    echoes,
    hospital,
    note_computed,
    save_all,
    small_study,
)
from small_tuning import Trainings, bytes_of, network_of

from ums.data import load_prepared
from ums.derived import GRAD_CAM, HIRES_CAM
from ums.experiments import evaluation, group_pictures
from ums.experiments.arms import ARMS, PRIMARY_ARMS
from ums.experiments.cxr import ABNORMALITY, CXR, LUNGS
from ums.experiments.echo import ECHO
from ums.experiments.jobs import CASES, MODELS, PICTURES, PILOT, SOURCE, SOURCE_TEST, TUNE, Job
from ums.experiments.names import (
    ALTERNATING,
    CONTROL,
    DIVERSE,
    HELD_OUT,
    INDEPENDENT,
    JOINT,
    JOINT_SCRATCH,
    OWN_EPOCH,
    SCRATCH,
    SEPARATE,
    SEPARATE_RAW,
    SIMILAR,
    SINGLE,
    SINGLE_LONG,
    SOURCE_HEAD,
    STRATEGIES,
    TEST,
)
from ums.experiments.record_files import read_arrays, read_record
from ums.experiments.settings import OTHER, Settings
from ums.experiments.study import Study
from ums.experiments.study_file import described_run
from ums.experiments.tasks import TaskGroup

CHEST = tuple(arm for arm in ARMS if arm != SOURCE_HEAD)
SOURCE_JOB, SOURCE_TESTED = (Job(kind, replicate=1) for kind in (SOURCE, SOURCE_TEST))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """All prepared folders, to be left as they are."""
    folder = save_all(tmp_path_factory.mktemp("prepared"), side=16)
    hospital(folder / "source-other", 7, side=16)
    return folder


@pytest.fixture(scope="module")
def datasets(folders):
    return CXR.layout.load(folders)


@pytest.fixture(scope="module")
def finished(datasets, tmp_path_factory):
    """A whole study of one replicate, to be left as it is; nothing learns but the source."""
    settings = replace(SMALL, replicates=1)
    study = small_study(CXR, datasets, tmp_path_factory.mktemp("study"), settings)
    with pytest.MonkeyPatch.context() as patch:
        Trainings(patch)
        for job in study.jobs():
            study.record(job)
    return study


@pytest.fixture
def computed(monkeypatch):
    """The names of what stores compute, as they do."""
    return note_computed(monkeypatch)


# ---------------------------------------------------------------------------- the list


def test_jobs_of_a_study_are_its_cases_replicates_pictures_and_models(datasets, tmp_path):
    jobs = small_study(CXR, datasets, tmp_path).jobs()
    arms = {DIVERSE: CHEST, SIMILAR: [arm for arm in CHEST if arm != CONTROL]}
    expected = [(CASES, DIVERSE, "", 0), (CASES, SIMILAR, "", 0)]
    for replicate in (1, 2):
        expected += [(SOURCE, "", "", replicate), (SOURCE_TEST, "", "", replicate)]
        expected += [(TUNE, group, arm, replicate) for group in arms for arm in arms[group]]
    expected += [(PICTURES, DIVERSE, "", 1), (PICTURES, SIMILAR, "", 1), (MODELS, "", "", 0)]
    assert [(job.kind, job.group, job.arm, job.replicate) for job in jobs] == expected
    assert len({job.name for job in jobs}) == len(jobs)


def test_only_the_main_part_has_pictures_and_models(datasets, tmp_path):
    study = small_study(CXR, datasets, tmp_path, arms=PRIMARY_ARMS)
    assert study.jobs(main=False) == [
        job for job in study.jobs() if job.kind not in (PICTURES, MODELS)
    ]


def test_arms_are_in_one_order_whatever_they_are_given_in(datasets, tmp_path):
    study = small_study(CXR, datasets, tmp_path, arms=(JOINT, SEPARATE, SINGLE))
    assert study.arms == (SEPARATE, SINGLE, JOINT)


@pytest.mark.parametrize(
    ("arms", "trained"), [((SCRATCH, SEPARATE_RAW, JOINT_SCRATCH), False), ((SEPARATE,), True)]
)
def test_source_is_trained_if_an_arm_needs_it(arms, trained, datasets, tmp_path):
    study = small_study(CXR, datasets, tmp_path, arms=arms)
    for replicate in (1, -1):
        kinds = {job.kind for job in study.jobs_of(replicate)}
        assert (SOURCE in kinds) == trained
        assert (SOURCE_TEST in kinds) == (trained and replicate > 0)


def test_there_is_no_control_where_nothing_is_shown(tmp_path, folders):
    save_all(tmp_path / "sets", side=16, names=("source", "target"))
    hospital(tmp_path / "sets" / "test", side=16, labels={"abnormal": np.zeros(48, int)})
    study = small_study(CXR, CXR.layout.load(tmp_path / "sets"), tmp_path / "out")
    assert {job.arm for job in study.jobs()} == {"", *CHEST} - {CONTROL}


def test_one_task_alone_is_never_longer(datasets, tmp_path):
    study, group = small_study(CXR, datasets, tmp_path), datasets.group(DIVERSE)
    assert SINGLE_LONG in study.arms_of(group)
    assert SINGLE_LONG not in study.arms_of(replace(group, tasks=group.tasks[1:]))


def test_the_source_s_own_head_is_an_arm_where_it_knows_a_task(datasets, tmp_path):
    for seed, name in enumerate(("source", "target")):
        echoes(tmp_path / "echo" / name, seed, side=16)
    screens = ECHO.layout.load(tmp_path / "echo")
    settings = replace(SMALL, batch=4)
    for modality, sets, known in ((CXR, datasets, False), (ECHO, screens, True)):
        study = small_study(modality, sets, tmp_path / modality.name, settings)
        for group in sets.groups:
            assert (SOURCE_HEAD in study.arms_of(group)) == known


def test_pilot_has_as_many_trials_for_every_arm_that_learns_by_itself(datasets, tmp_path):
    jobs = small_study(CXR, datasets, tmp_path).jobs_of(-2)
    assert jobs[0] == Job(SOURCE, replicate=-2) and {j.kind for j in jobs[1:]} == {PILOT}
    arms = [arm for arm in CHEST if arm not in (CONTROL, SINGLE_LONG)]
    expected = [(g, a, -2, t) for g in (DIVERSE, SIMILAR) for a in arms for t in range(1, 6)]
    assert [(job.group, job.arm, job.replicate, job.trial) for job in jobs[1:]] == expected


# ---------------------------------------------------------------------------- keys

TRAINED = {"source", "scratch", "single"}
# setting -> (another value, jobs whose key changes)
CHANGES = {
    "replicates": (3, set()),
    "other_replicates": (1, set()),
    "width": (0.06, {*TRAINED, "pictures"}),
    "labels": (17, {"scratch", "single", "pictures"}),
    "source_images": (17, {"source", "single", "pictures"}),
    "source_from": (OTHER, {"source", "single", "pictures"}),
    "source_steps": (8, {"source", "single", "pictures"}),
    "source_rate": (0.1, {"source", "single", "pictures"}),
    "steps": (8, {"scratch", "single", "pictures"}),
    "evaluations": (4, {*TRAINED, "pictures"}),
    "batch": (7, {*TRAINED, "pictures"}),
    "rate": (0.01, {"scratch", "single", "pictures"}),
    "augment": (True, {"scratch", "single", "pictures"}),
    "background": (20, {*TRAINED, "pictures"}),
    "seed": (1, {*TRAINED, "cases", "pictures"}),
}


def test_every_setting_is_looked_at_below():
    assert set(CHANGES) == {field.name for field in fields(Settings)}


@pytest.mark.parametrize("setting", CHANGES)
def test_every_setting_changes_the_key_of_what_depends_on_it_and_no_other(
    setting, datasets, tmp_path
):
    value, expected = CHANGES[setting]
    jobs = {
        "cases": Job(CASES, DIVERSE),
        "source": SOURCE_JOB,
        "scratch": Job(TUNE, DIVERSE, SCRATCH, 1),
        "single": Job(TUNE, DIVERSE, SINGLE, 1),
        "pictures": Job(PICTURES, DIVERSE, "", 1),
    }
    study = small_study(CXR, datasets, tmp_path)
    other = small_study(CXR, datasets, tmp_path, replace(SMALL, **{setting: value}))
    seed = other.settings.seed
    changed = {n for n, j in jobs.items() if other.key(replace(j, seed=seed)) != study.key(j)}
    assert changed == expected


def test_cases_that_say_how_far_replicates_overlap_are_recorded_again(datasets, tmp_path):
    found = []
    for labels in (20, 30):
        study = small_study(CXR, datasets, tmp_path, replace(SMALL, labels=labels))
        found.append(study.record(Job(CASES, DIVERSE))["overlap"])
    assert found == [24 / 40, 36 / 40]


@pytest.mark.parametrize(
    "changes", [{"replicate": 2}, {"arm": JOINT}, {"group": SIMILAR}, {"kind": PILOT, "trial": 1}]
)
def test_key_is_of_one_job_alone(changes, datasets, tmp_path):
    study, job = small_study(CXR, datasets, tmp_path), Job(TUNE, DIVERSE, SINGLE, 1)
    assert study.key(replace(job, **changes)) != study.key(job)


def test_another_replicate_has_another_source_and_other_images(datasets, tmp_path):
    study = small_study(CXR, datasets, tmp_path)
    for job in (SOURCE_JOB, SOURCE_TESTED):
        assert study.key(job) != study.key(replace(job, replicate=2))
    for name in (SOURCE, DIVERSE, SIMILAR):
        assert len({study.draw(name, r).digest for r in (1, 2, -1, -2, -3)}) == 5


@pytest.mark.parametrize("changed", [*FOLDERS, "source-other"])
def test_other_images_change_the_key_of_what_is_trained_or_tested_on_them(
    changed, folders, datasets, tmp_path
):
    own = shutil.copytree(folders, tmp_path / "own")
    images = np.array(load_prepared(own / changed).images)
    images[-1, -1, -1] ^= 1
    shutil.rmtree(own / changed)
    make, seed = children if changed == "pneumonia" else hospital, 7
    make(
        own / changed,
        FOLDERS.index(changed) if changed in FOLDERS else seed,
        side=16,
        images=images,
    )
    one, other = (small_study(CXR, d, tmp_path / "out") for d in (datasets, CXR.layout.load(own)))
    again = [job for job in one.jobs() if other.key(job) != one.key(job)]
    if changed == "source":  # of what needs no source nothing changes
        expected = [
            job for job in one.jobs()
            if job.kind in (SOURCE, SOURCE_TEST, PICTURES, MODELS) or (job.arm and ARMS[job.arm].needs_source)
        ]  # fmt: skip
    else:
        groups = {"pneumonia": {SIMILAR}, "source-other": set()}.get(changed, {DIVERSE})
        expected = [
            job for job in one.jobs() if job.group in groups or (job.kind == MODELS and groups)
        ]
    assert again == expected


def test_set_that_is_written_to_while_it_is_trained_on_leaves_no_weights(tmp_path, monkeypatch):
    study = small_study(CXR, CXR.layout.load(save_all(tmp_path, side=16)), tmp_path / "out")
    path, train = tmp_path / "source" / "images.npy", CXR.train_source

    def meanwhile(*arguments):
        path.write_bytes(path.read_bytes()[:-1] + b"\7")
        os.utime(path, ns=(0, 0))
        return train(*arguments)

    monkeypatch.setattr(CXR, "train_source", meanwhile)
    with pytest.raises(ValueError, match=f"^{path} was written to while it was open"):
        study.record(SOURCE_JOB)
    assert not list((tmp_path / "out").rglob("source-*"))


def test_another_device_changes_every_key(finished):
    run = replace(finished.run, device=replace(finished.run.device, name="another"))
    other = Study(CXR, finished.datasets, run)
    assert all(other.key(job) != finished.key(job) for job in finished.jobs())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 25}, "/target: a replicate has 20 images .* lungs .* train, should be 25"),
        ({"labels": 5, "batch": 6}, r"/target: a replicate has \d images"),
    ],
)
def test_study_that_cannot_be_run_is_refused_before_anything_is_trained(
    changes, message, datasets, tmp_path, computed
):
    with pytest.raises(ValueError, match=message):
        small_study(CXR, datasets, tmp_path, replace(SMALL, **changes))
    assert not computed.weights and not computed.records


def test_source_of_another_hospital_that_is_not_there_is_named(tmp_path):
    datasets = CXR.layout.load(save_all(tmp_path, side=16))
    with pytest.raises(ValueError, match=f"^no images of another hospital .* {tmp_path}/source$"):
        small_study(CXR, datasets, tmp_path / "out", replace(SMALL, source_from=OTHER))


def test_images_of_every_replicate_are_looked_at_before_anything_is_trained(
    datasets, tmp_path, monkeypatch
):
    seen = []
    monkeypatch.setattr(TaskGroup, "check", lambda group, draw, batch: seen.append(draw.digest))
    study = small_study(CXR, datasets, tmp_path, replace(SMALL, replicates=3))
    drawn = [study.draw(name, r).digest for name in (DIVERSE, SIMILAR) for r in (1, 2, 3)]
    assert seen == drawn


def test_folder_without_an_image_to_train_the_source_on_is_named(tmp_path, datasets):
    source = replace(datasets.source, splits=np.full(48, "test"))
    with pytest.raises(ValueError, match=f"^{source.folder}: no image to train the source on"):
        small_study(CXR, replace(datasets, sources={"own": source}), tmp_path)


# ---------------------------------------------------------------------------- the source


def test_source_is_trained_once_for_all_that_need_it(datasets, tmp_path, computed):
    study = small_study(CXR, datasets, tmp_path)
    study.record(SOURCE_TESTED)
    study.record(SOURCE_JOB)
    study.focus(2)
    network = study.source(1).network
    assert computed.weights == [SOURCE_JOB.name] and network is study.source(1).network


def test_untrained_source_is_the_network_as_it_was_made(datasets, tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(CXR, "train_source", lambda *arguments: trained.append(arguments))
    study = small_study(CXR, datasets, tmp_path, replace(SMALL, source_steps=0))
    record = study.record(SOURCE_JOB)
    made = CXR.source_network(SOURCE_JOB.generator(SOURCE), SMALL.width)
    assert bytes_of(study.source(1).network) == bytes_of(made)
    assert trained == [] and record["history"]["train"] == [] and record["seconds"] == 0
    assert not described_run(study)["source trained"] and described_run(study)["seed"] == 0


def test_networks_tuned_are_those_of_the_replicate_s_source(finished):
    encoder = finished.source(1).network[0]
    network = network_of(finished.tuning(DIVERSE, 1), INDEPENDENT, LUNGS)
    assert bytes_of(network[0]) == bytes_of(encoder)


def test_what_a_replicate_keeps_in_memory_is_let_go_with_the_next(datasets, tmp_path):
    study = small_study(CXR, datasets, tmp_path)
    study.focus(1)
    first = study.tuning(DIVERSE, 1)
    study.focus(1)
    assert study.tuning(DIVERSE, 1) is first
    study.focus(2)
    assert study.tuning(DIVERSE, 1) is not first


# ---------------------------------------------------------------------------- the records


def record_of(study, arm, group):
    return study.record(Job(TUNE, group, arm, 1))


@pytest.mark.parametrize("name", [DIVERSE, SIMILAR])
def test_cases_have_their_own_patients_and_labels(name, finished):
    record, group = finished.record(Job(CASES, name)), finished.datasets.group(name)
    aside = np.flatnonzero(group.train_set.splits == "test")
    for task in group.tasks:
        found = record["tasks"][task.name]
        assert found.keys() & {TEST, HELD_OUT} == ({TEST, HELD_OUT} if name == DIVERSE else {TEST})
        for where, labelled, rows in (
            (TEST, task.test, task.test.rows),
            (HELD_OUT, task.train, aside),
        ):
            if where in found:
                assert found[where]["id"] == labelled.prepared.ids[rows].tolist()
                assert found[where]["patient"] == labelled.prepared.patients[rows].tolist()
                labels = None if task.name == LUNGS else labelled.targets[rows].tolist()
                assert found[where]["label"] == labels


def test_cases_and_scores_are_as_many(finished):
    for name in (DIVERSE, SIMILAR):
        cases = finished.record(Job(CASES, name))["tasks"]
        for task, found in record_of(finished, ALTERNATING, name)["tasks"].items():
            for where, scores in found[OWN_EPOCH].items():
                assert {len(v) for v in scores.values()} == {len(cases[task][where]["id"])}


def test_record_of_the_cases_has_the_patients_of_the_heat_maps_and_the_area_of_the_masks(finished):
    found = finished.record(Job(CASES, DIVERSE))["heat map"]
    test = finished.datasets.groups[0].test_set
    abnormal = np.flatnonzero(test.labels["abnormal"] == 1)
    assert found["task"] == ABNORMALITY
    assert found["patients"] == test.patients[abnormal].tolist()
    assert found["area"]["lungs"] == pytest.approx(test.masks[abnormal].mean())
    assert found["area"]["opacity"] == pytest.approx(test.opacities[abnormal].mean())


def arrays_of(study, group):
    job = Job(PICTURES, group, replicate=1)
    study.record(job)
    path = study.run.store.record_path(job.name, study.key(job))
    return read_arrays(path, read_record(path))


def test_outlines_shown_are_those_of_the_first_replicate(finished):
    shown, test = arrays_of(finished, DIVERSE), finished.datasets.groups[0].test_set
    case = shown["outlines case"]
    np.testing.assert_array_equal(shown["outlines truth"], test.masks[case] > 0)
    for arm in STRATEGIES:
        scores = record_of(finished, arm, DIVERSE)["tasks"][LUNGS][OWN_EPOCH][TEST]
        right = (shown[f"outlines {arm}"] == shown["outlines truth"]).mean(axis=(1, 2))
        np.testing.assert_allclose(np.array(scores["Accuracy"])[case], right, atol=1e-4)


def test_outlines_shown_go_from_the_best_to_the_worst(datasets, tmp_path, monkeypatch):
    Trainings(monkeypatch)
    score = evaluation.score
    monkeypatch.setattr(
        evaluation, "score", lambda *how: score(*how) | {"IoU": np.arange(len(how[2])) * 7 % 48}
    )
    study = small_study(CXR, datasets, tmp_path, arms=(SINGLE,))
    case = arrays_of(study, DIVERSE)["outlines case"]
    assert (case * 7 % 48).tolist() == [47, 24, 4, 0]


def test_heat_maps_shown_are_of_the_first_abnormal_images(finished):
    shown, test = arrays_of(finished, DIVERSE), finished.datasets.groups[0].test_set
    rows = np.flatnonzero(test.labels["abnormal"] == 1)[: group_pictures.SHOWN]
    np.testing.assert_array_equal(shown["heat maps images"], test.images[rows])
    np.testing.assert_array_equal(shown["heat maps in lungs"], test.masks[rows] > 0)
    shapes = {
        shown[f"heat maps {arm}, {method}"].shape
        for arm in CHEST
        for method in (GRAD_CAM, HIRES_CAM)
    }
    assert shapes == {(group_pictures.SHOWN, 16, 16)}


def test_nothing_is_shown_of_a_group_without_masks(finished):
    assert arrays_of(finished, SIMILAR) == {}


def test_control_alone_is_shown_without_outlines(datasets, tmp_path, monkeypatch):
    Trainings(monkeypatch)
    shown = arrays_of(small_study(CXR, datasets, tmp_path, arms=(CONTROL,)), DIVERSE)
    assert (
        not [name for name in shown if "outlines" in name]
        and f"heat maps {CONTROL}, {GRAD_CAM}" in shown
    )


def test_every_record_names_its_job(finished):
    jobs = finished.jobs()
    assert [finished.record(job)["job"] for job in jobs] == [job.to_dict() for job in jobs]


def test_cases_of_a_set_with_another_name_are_recorded_again(finished):
    job, tune = Job(CASES, DIVERSE), Job(TUNE, DIVERSE, SINGLE, 1)
    group = finished.datasets.group(DIVERSE)
    for changes in ({"test_name": "elsewhere"}, {"held_out_name": "aside"}):
        renamed = replace(finished.datasets, groups=(replace(group, **changes),))
        other = Study(CXR, renamed, finished.run)
        assert other.key(job) != finished.key(job) and other.key(tune) == finished.key(tune)


def test_every_job_has_the_seed_of_the_study(datasets, tmp_path):
    study = small_study(CXR, datasets, tmp_path, replace(SMALL, seed=3))
    assert {job.seed for r in (1, -1) for job in study.jobs() + study.jobs_of(r)} == {3}
