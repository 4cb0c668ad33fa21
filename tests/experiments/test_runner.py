"""A study as a list of jobs, and the loop that runs those that are not done."""

import json
import os
import shutil
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from full_disk import nothing
from small_sets import FOLDERS, SMALL, children, hospital, note_computed, save_all, small_study
from small_tuning import Trainings

from ums.data import load_prepared
from ums.experiments import evaluation, runner, store
from ums.experiments.cxr import ABNORMALITY, CXR, LUNGS
from ums.experiments.jobs import CASES, PICTURES, SOURCE, SOURCE_TEST, TUNE, Job
from ums.experiments.names import CONTROL, DIVERSE, HELD_OUT, LOGITS, SIMILAR, STRATEGIES, TEST
from ums.experiments.record_files import read_arrays, read_record
from ums.experiments.results import read_study
from ums.experiments.runner import described_run, run_jobs, write_study
from ums.experiments.settings import Settings
from ums.experiments.store import Store
from ums.experiments.study import SHOWN, Study
from ums.reading import DIGEST


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return save_all(tmp_path_factory.mktemp("prepared"), side=16)


@pytest.fixture(scope="module")
def datasets(folders):
    return CXR.layout.load(folders)


@pytest.fixture(scope="module")
def finished(datasets, tmp_path_factory):
    """A whole study, to be left as it is."""
    out = tmp_path_factory.mktemp("study")
    study = small_study(CXR, datasets, out)
    runner.run(study, out)
    return study


@pytest.fixture
def computed(monkeypatch):
    """The names of what stores compute, as they do."""
    return note_computed(monkeypatch)


def contents(folder):
    """Every file of a study but its lock, as bytes."""
    files = (p for p in Path(folder).rglob("*") if p.is_file() and p.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def without_times(record):
    """A record without its wall times, and the digest in which they are."""
    if isinstance(record, dict):
        own = {name: record[name] for name in record.keys() - {"seconds", DIGEST}}
        return {name: without_times(value) for name, value in own.items()}
    return record


# ---------------------------------------------------------------------------- the list


def test_jobs_of_a_study_are_its_cases_source_folds_and_pictures(finished):
    jobs = finished.jobs()
    tuned = [(job.group, job.fold, job.arm) for job in jobs if job.kind == TUNE]
    arms = {DIVERSE: (*STRATEGIES, CONTROL), SIMILAR: STRATEGIES}
    assert tuned == [(group, fold, arm) for group in arms for fold in (1, 2) for arm in arms[group]]
    others = [(job.kind, job.group) for job in jobs if job.kind != TUNE]
    assert others == [(CASES, DIVERSE), (CASES, SIMILAR), (SOURCE, ""), (SOURCE_TEST, ""),
                      (PICTURES, DIVERSE), (PICTURES, SIMILAR)]  # fmt: skip


def test_every_job_of_a_study_has_a_name_of_its_own(finished):
    names = [job.name for job in finished.jobs()]
    assert len(set(names)) == len(names)


def test_there_is_no_control_where_nothing_is_shown(tmp_path, folders):
    save_all(tmp_path / "sets", side=16, names=("source", "target"))
    hospital(tmp_path / "sets" / "test", side=16, labels={"abnormal": np.zeros(48, int)})
    study = small_study(CXR, CXR.layout.load(tmp_path / "sets"), tmp_path / "out")
    assert {job.arm for job in study.jobs()} == {"", *STRATEGIES}


SOURCE_ALONE = (
    "width",
    "source_epochs",
    "batch",
    "learning_rate",
    "patience",
    "background",
    "seed",
)
OTHERS = {
    "folds": 3, "width": 0.06, "source_epochs": 2, "epochs": 2, "classifier_epochs": 2, "batch": 7,
    "learning_rate": 0.01, "patience": 3, "joint_weights": "1,2", "stop_by": "first",
    "augment": True, "background": 20, "statistics": "target", "labels": 0.7, "seed": 1,
}  # fmt: skip


def test_every_setting_is_looked_at_below():
    assert set(OTHERS) == {field.name for field in fields(Settings)}


@pytest.mark.parametrize("setting", OTHERS)
def test_every_setting_changes_the_key_of_what_depends_on_it(setting, finished):
    changed = replace(SMALL, **{setting: OTHERS[setting]})
    datasets = replace(finished.datasets, groups=finished.datasets.groups[:1])
    other = small_study(CXR, datasets, finished.run.store.folder, changed)
    for job in (Job(SOURCE), Job(CASES, DIVERSE), Job(TUNE, DIVERSE, "joint", 1)):
        again = job.group or setting in SOURCE_ALONE
        same = other.key(replace(job, seed=changed.seed)) == finished.key(job)
        assert same != bool(again)


@pytest.mark.parametrize("changed", ["source", "target", "test", "pneumonia"])
def test_other_images_change_the_key_of_what_is_trained_or_tested_on_them(
    changed, finished, tmp_path
):
    save_all(tmp_path, side=16)
    images = np.array(load_prepared(tmp_path / changed).images)
    images[-1, -1, -1] ^= 1
    shutil.rmtree(tmp_path / changed)
    make, seed = children if changed == "pneumonia" else hospital, FOLDERS.index(changed)
    make(tmp_path / changed, seed, side=16, images=images)
    other = small_study(CXR, CXR.layout.load(tmp_path), finished.run.store.folder)
    again = [job for job in finished.jobs() if other.key(job) != finished.key(job)]
    groups = {"source": {"", DIVERSE, SIMILAR}, "pneumonia": {SIMILAR}}.get(changed, {DIVERSE})
    assert again == [job for job in finished.jobs() if job.group in groups]


def test_set_that_is_written_to_while_it_is_trained_on_leaves_no_weights(tmp_path, monkeypatch):
    study = small_study(CXR, CXR.layout.load(save_all(tmp_path, side=16)), tmp_path / "out")
    path, train = tmp_path / "source" / "images.npy", CXR.train_source

    def meanwhile(*arguments):
        path.write_bytes(path.read_bytes()[:-1] + b"\7")
        os.utime(path, ns=(0, 0))
        return train(*arguments)

    monkeypatch.setattr(CXR, "train_source", meanwhile)
    with pytest.raises(ValueError, match=f"^{path} was written to while it was open"):
        study.record(Job(SOURCE))
    assert not list((tmp_path / "out").rglob("source-*"))


def test_another_device_changes_every_key(finished):
    run = replace(finished.run, device=replace(finished.run.device, name="another"))
    other = Study(CXR, finished.datasets, run)
    assert all(other.key(job) != finished.key(job) for job in finished.jobs())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 25}, "cannot fill a batch"),
        ({"folds": 20}, "fold"),
        ({"joint_weights": "1,2,3"}, "3"),
    ],
)
def test_study_that_cannot_be_run_is_refused_before_anything_is_trained(
    changes, message, datasets, tmp_path, computed
):
    with pytest.raises(ValueError, match=message):
        small_study(CXR, datasets, tmp_path, replace(SMALL, **changes))
    assert not computed.weights and not computed.records


# ---------------------------------------------------------------------------- the loop


def test_second_run_computes_nothing_and_changes_no_file(finished, datasets, computed, capsys):
    out = finished.run.store.folder
    before = contents(out)
    runner.run(small_study(CXR, datasets, out), out)
    assert not computed.weights and not computed.records
    assert contents(out) == before
    assert capsys.readouterr().out == f"{out}: 24 of 24 jobs are done\n"


def test_run_with_some_jobs_gone_computes_those_alone_and_ends_as_before(
    finished, datasets, tmp_path, computed
):
    before, jobs = contents(finished.run.store.folder), [j.name for j in finished.jobs()]
    kept = [name for k, name in enumerate(jobs) if k % 3]
    for name, content in before.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if path.stem.rpartition("-")[0] in kept:
            path.write_bytes(content)
    runner.run(small_study(CXR, datasets, tmp_path), tmp_path)
    assert sorted(computed.records) == sorted(set(jobs) - set(kept))
    assert set(computed.weights) <= set(jobs) - set(kept)
    after = contents(tmp_path)
    assert after.keys() == before.keys()
    for name in (name for name in after if name.endswith(".json")):
        one, two = (without_times(json.loads(files[name])) for files in (before, after))
        assert one == two


def test_job_killed_between_its_weights_and_its_record_is_tested_again_and_not_trained(
    datasets, tmp_path, monkeypatch, computed
):
    job = Job(TUNE, DIVERSE, "independent", 1)
    whole = small_study(CXR, datasets, tmp_path / "a").record(job)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(store, "write_whole", nothing(KeyboardInterrupt()))
        small_study(CXR, datasets, tmp_path / "b").record(job)
    assert not list(tmp_path.glob("b/records/*"))
    computed.clear()
    again = small_study(CXR, datasets, tmp_path / "b").record(job)
    assert computed.weights == [] and computed.records == [job.name]
    for task in (LUNGS, ABNORMALITY):
        for where in (HELD_OUT, TEST):
            assert again["tasks"][task][where] == whole["tasks"][task][where]


def test_jobs_are_told_when_they_are_done(datasets, tmp_path):
    study, said = small_study(CXR, datasets, tmp_path), []
    jobs = [Job(CASES, DIVERSE), Job(CASES, SIMILAR)]
    study.record(jobs[1])
    run_jobs(study, jobs, said.append)
    assert said == [
        f"{tmp_path}: 1 of 2 jobs are done",
        "1/2 diverse-cases-replicate0-seed0: done after 0.0 minutes",
    ]


def test_minutes_since_the_start_are_told(datasets, tmp_path, monkeypatch):
    study, said, times = small_study(CXR, datasets, tmp_path), [], iter([60.0, 60.0 + 900])
    monkeypatch.setattr(runner.time, "perf_counter", lambda: next(times))
    monkeypatch.setattr(study, "record", lambda job: {})
    run_jobs(study, [Job(CASES, DIVERSE)], said.append)
    assert said == ["1/1 diverse-cases-replicate0-seed0: done after 15.0 minutes"]


def test_study_file_names_every_record_before_any_is_there(datasets, tmp_path, monkeypatch):
    study = small_study(CXR, datasets, tmp_path)
    monkeypatch.setattr(runner, "run_jobs", lambda *_: None)
    runner.run(study, tmp_path)
    content = json.loads((tmp_path / "study.json").read_text())
    assert content["study"] == "cxr" and content["records"] == "records"
    paths = [study.run.store.record_path(job.name, study.key(job)) for job in study.jobs()]
    assert content["jobs"] == {"": [path.name for path in paths]}
    with pytest.raises(FileNotFoundError, match="not finished: 24 of 24 records are missing"):
        read_study(tmp_path)


def test_study_file_of_a_folder_below_finds_the_records_above(tmp_path):
    kept, out = Store(tmp_path), tmp_path / "below" / "it"
    write_study(out, "cxr", {"width": np.float64(1)}, {"": []}, kept)
    content = json.loads((out / "study.json").read_text())
    assert (out / content["records"]).resolve() == kept.records_folder.resolve()
    assert content["about"] == {"width": 1}


def test_study_file_says_what_was_run(finished):
    about = described_run(finished)
    assert about["device"] == "CPU" and about["seed"] == 0 and about["source trained"]
    assert about["data"]["Image size"] == "16 x 16, grey"
    assert about["data"]["Source images"] == "made up: 48 images (32 train, 8 validation, 8 test)"
    assert about["settings"]["images in a batch"] == SMALL.batch


# ---------------------------------------------------------------------------- the records


def record_of(study, *job):
    return study.record(Job(*job))


@pytest.mark.parametrize("name", [DIVERSE, SIMILAR])
def test_cases_have_their_own_patients_and_labels(name, finished):
    record, group = record_of(finished, CASES, name), finished.datasets.group(name)
    for task in group.tasks:
        for where, labelled in (("train", task.train), ("test", task.test)):
            found, rows = record["tasks"][task.name][where], labelled.rows
            assert found["id"] == labelled.prepared.ids[rows].tolist()
            assert found["patient"] == labelled.prepared.patients[rows].tolist()
            labels = None if task.name == LUNGS else labelled.targets[rows].tolist()
            assert found["label"] == labels


def test_cases_of_scores_are_numbered_as_in_the_record_of_the_cases(finished):
    task = finished.datasets.group(SIMILAR).task("bacterial-viral")
    cases = record_of(finished, CASES, SIMILAR)["tasks"][task.name]["train"]
    for fold in (1, 2):
        case = record_of(finished, TUNE, SIMILAR, "joint", fold)["tasks"][task.name][HELD_OUT][
            "case"
        ]
        ids = [cases["id"][number] for number in case]
        rows = np.intersect1d(finished.tuning(SIMILAR).folds[fold - 1].held_out, task.train.rows)
        assert ids == task.train.prepared.ids[rows].tolist()


def test_record_of_the_cases_has_the_patients_of_the_heat_maps_and_the_area_of_the_masks(finished):
    found, test = (
        record_of(finished, CASES, DIVERSE)["heat map"],
        finished.datasets.groups[0].test_set,
    )
    abnormal = np.flatnonzero(test.labels["abnormal"] == 1)
    assert found["task"] == ABNORMALITY
    assert found["patients"] == test.patients[abnormal].tolist()
    assert found["area"]["lungs"] == pytest.approx(test.masks[abnormal].mean())
    assert found["area"]["opacity"] == pytest.approx(test.opacities[abnormal].mean())


def arrays_of(study, *job):
    one = Job(*job)
    study.record(one)
    path = study.run.store.record_path(one.name, study.key(one))
    return read_arrays(path, read_record(path))


def test_outlines_shown_are_the_first_fold_s(finished):
    shown, test = arrays_of(finished, PICTURES, DIVERSE), finished.datasets.groups[0].test_set
    case = shown["outlines case"]
    np.testing.assert_array_equal(shown["outlines truth"], test.masks[case] > 0)
    for arm in STRATEGIES:
        accuracy = record_of(finished, TUNE, DIVERSE, arm, 1)["tasks"][LUNGS][TEST]["Accuracy"]
        right = (shown[f"outlines {arm}"] == shown["outlines truth"]).mean(axis=(1, 2))
        np.testing.assert_allclose(np.array(accuracy)[case], right)


def test_outlines_shown_go_from_the_best_to_the_worst(datasets, tmp_path, monkeypatch):
    Trainings(monkeypatch)
    score = evaluation.score
    monkeypatch.setattr(
        evaluation, "score", lambda *how: score(*how) | {"IoU": np.arange(len(how[2])) * 7 % 48}
    )
    case = arrays_of(small_study(CXR, datasets, tmp_path), PICTURES, DIVERSE)["outlines case"]
    assert (case * 7 % 48).tolist() == [47, 24, 4, 0]


def test_heat_maps_shown_are_of_the_first_abnormal_images(finished):
    shown, test = arrays_of(finished, PICTURES, DIVERSE), finished.datasets.groups[0].test_set
    rows = np.flatnonzero(test.labels["abnormal"] == 1)[:SHOWN]
    np.testing.assert_array_equal(shown["heat maps images"], test.images[rows])
    np.testing.assert_array_equal(shown["heat maps in lungs"], test.masks[rows] > 0)
    assert all(shown[f"heat maps {arm}"].shape == (4, 16, 16) for arm in (*STRATEGIES, CONTROL))


def test_nothing_is_shown_of_a_group_without_masks(finished):
    assert arrays_of(finished, PICTURES, SIMILAR) == {}


def test_untrained_source_is_the_network_as_it_was_made(datasets, tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(CXR, "train_source", lambda *arguments: trained.append(arguments))
    study = small_study(CXR, datasets, tmp_path, replace(SMALL, source_epochs=0))
    record = record_of(study, SOURCE)
    made = CXR.source_network(Job(SOURCE).generator(SOURCE), SMALL.width).state_dict()
    ours = study.source.network.state_dict()
    assert all(np.array_equal(ours[name], made[name]) for name in made)
    assert trained == [] and record["history"]["train"] == [] and record["seconds"] == 0
    tuned = study.record(Job(TUNE, SIMILAR, "separate", 1))["tasks"]["viral-normal"]
    assert np.isfinite(tuned[TEST][LOGITS]).all()
    assert not described_run(study)["source trained"]


def test_networks_tuned_are_those_of_the_study_s_source(finished):
    encoder = finished.source.network.layers[0].state_dict()
    tuned = finished.tuning(DIVERSE).tune(Job(TUNE, DIVERSE, "independent", 2))[LUNGS]
    ours = tuned.network.layers[0].state_dict()
    assert all(np.array_equal(ours[name], encoder[name]) for name in encoder)


def test_every_record_names_its_job(finished):
    jobs = finished.jobs()
    assert [finished.record(job)["job"] for job in jobs] == [job.to_dict() for job in jobs]


def test_cases_of_a_set_with_another_name_are_recorded_again(finished):
    job = Job(CASES, DIVERSE, seed=SMALL.seed)
    group = finished.datasets.group(DIVERSE)
    renamed = replace(finished.datasets, groups=(replace(group, test_name="elsewhere"),))
    other = Study(CXR, renamed, finished.run)
    assert other.key(job) != finished.key(job)
    tune = Job(TUNE, DIVERSE, STRATEGIES[0], 1, seed=SMALL.seed)
    assert other.key(tune) == finished.key(tune)


def test_every_job_has_the_seed_of_the_study(datasets, tmp_path):
    study = small_study(CXR, datasets, tmp_path, replace(SMALL, seed=3))
    assert {job.seed for job in study.jobs()} == {3}


@pytest.mark.parametrize(
    ("about", "source"), [({"source": "a hospital"}, "a hospital"), ({}, "folder")]
)
def test_images_come_from_their_source_or_else_their_folder(about, source):
    prepared = type("Set", (SimpleNamespace,), {"__len__": lambda self: 7})
    made = prepared(about=about, folder=Path("a/folder"))
    assert runner.described_set(made, "7 test") == f"{source}: 7 images (7 test)"
