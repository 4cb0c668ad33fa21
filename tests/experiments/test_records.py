"""The records of a study, read from disk and as columns from which its numbers can be checked."""

import json
import shutil

import numpy as np
import pytest
from made_records import (
    CASES_OF,
    PLACES,
    REPLICATES,
    SOURCE_HISTORY,
    TASKS,
    in_memory,
    jobs_of,
    on_disk,
)

from ums.experiments import results
from ums.experiments.jobs import CASES, SOURCE, SOURCE_TEST, TUNE, Job
from ums.experiments.names import (
    DIVERSE,
    HELD_OUT,
    ONE_ENCODER,
    OWN_EPOCH,
    SIMILAR,
    STRATEGIES,
)
from ums.experiments.results.groups import GroupResults
from ums.experiments.store import Store
from ums.reading import read_verified, with_digest
from ums.training import History

ARMS = STRATEGIES[:2]
MADE = jobs_of(SIMILAR, ARMS)


# ---------------------------------------------------------------------------- reading


def test_study_is_read_as_it_was_written(tmp_path):
    on_disk(tmp_path, MADE)
    study = results.read_study(tmp_path)
    (records,) = study.parts.values()
    made = in_memory(MADE)
    assert study.name == "cxr" and study.about == {"seed": 0} and list(study.parts) == [""]
    assert records.groups == [SIMILAR] and records.arms(SIMILAR) == ARMS
    for ours, theirs in zip(records.records, made.records, strict=True):
        assert {**ours, "key": 0, "made by": 0} == {**theirs, "key": 0, "made by": 0}


def test_page_in_a_folder_of_its_own_finds_the_stores_records(tmp_path):
    paths = on_disk(tmp_path, MADE)
    study = read_verified(tmp_path / "study.json")
    (tmp_path / "page").mkdir()
    text = json.dumps(with_digest(study | {"records": f"../{study['records']}"}))
    (tmp_path / "page" / "study.json").write_text(text)
    (records,) = results.read_study(tmp_path / "page").parts.values()
    assert records.files == tuple(path.name for path in paths)


def test_folder_without_a_study_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"^{tmp_path}/study.json is missing"):
        results.read_study(tmp_path)


def test_study_that_is_not_finished_names_a_record_that_is_missing(tmp_path):
    paths = on_disk(tmp_path, MADE)
    for path in paths[3:5]:
        path.unlink()
    text = rf"{tmp_path} is not finished: 2 of {len(paths)} records .*, such as {paths[3].name}"
    with pytest.raises(FileNotFoundError, match=text):
        results.read_study(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b"[" * 100_000])
@pytest.mark.parametrize("file", ["study.json", "a record"])
def test_file_that_cannot_be_read_is_named(file, content, tmp_path):
    paths = on_disk(tmp_path, MADE)
    path = paths[2] if file == "a record" else tmp_path / file
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{path} cannot be read: "):
        results.read_study(tmp_path)


def test_records_of_two_studies_exchanged_by_hand_are_named(tmp_path):
    one, two = (on_disk(tmp_path / name, MADE)[1] for name in ("a", "b"))
    other = Store(tmp_path / "b")
    record = read_verified(two)
    other.record(one.stem[:-13], {"seed": 1}, lambda: (record, {}))
    two.unlink()
    shutil.copy(other.record_path(one.stem[:-13], {"seed": 1}), one)
    with pytest.raises(ValueError, match=f"^{one} cannot be read: it was written as "):
        results.read_study(tmp_path / "a")


@pytest.mark.parametrize("file", ["study.json", "a record"])
def test_number_that_was_changed_is_refused(file, tmp_path):
    paths = on_disk(tmp_path, MADE)
    path = paths[2] if file == "a record" else tmp_path / file
    old = '"replicate": ' if file == "a record" else '"seed": '
    path.write_text(path.read_text().replace(old, f"{old}1", 1))
    with pytest.raises(ValueError, match=f"^{path} cannot be read: it is damaged or was changed"):
        results.load(tmp_path)


def test_arrays_of_another_record_are_refused_by_name(tmp_path):
    arrays = [{"clean": np.full((2, 3), k, np.uint8)} for k in (1, 2)]
    paths = [on_disk(tmp_path, {Job(SOURCE_TEST, seed=k): {}}, arrays[k])[0] for k in (0, 1)]
    one, two = (path.with_suffix(".npz") for path in paths)
    shutil.copy(one, two)
    records = results.read_study(tmp_path).parts[""]
    with pytest.raises(ValueError, match=f"^{two} cannot be read: it belongs to another job"):
        records.arrays(records.one(SOURCE_TEST))
    two.unlink()
    with pytest.raises(ValueError, match=f"^{two} cannot be read: No such file"):
        records.arrays(records.one(SOURCE_TEST))


def test_records_of_a_kind_come_replicate_by_replicate(tmp_path):
    on_disk(tmp_path, dict(reversed(MADE.items())))
    records = results.read_study(tmp_path).parts[""]
    for arm in ARMS:
        jobs = [record["job"] for record in records.of(TUNE, SIMILAR, arm)]
        assert [(job["arm"], job["replicate"]) for job in jobs] == [(arm, 1), (arm, 2)]
    assert records.one(CASES, SIMILAR)["overlap"] == 0 and records.of(TUNE, DIVERSE) == []


def test_arrays_beside_a_record_are_its_own(tmp_path):
    job, arrays = Job(SOURCE_TEST), {"clean": np.arange(6, dtype=np.uint8).reshape(2, 3)}
    on_disk(tmp_path, {job: {"denoising": []}}, arrays)
    records = results.read_study(tmp_path).parts[""]
    found = records.arrays(records.one(SOURCE_TEST))
    assert set(found) == {"clean"}
    np.testing.assert_array_equal(found["clean"], arrays["clean"])
    on_disk(tmp_path / "without", {job: {"denoising": []}})
    without = results.read_study(tmp_path / "without").parts[""]
    assert without.arrays(without.one(SOURCE_TEST)) == {}


@pytest.mark.parametrize(("value", "text"), [(np.nan, "null"), (np.inf, "Infinity")])
def test_numbers_that_are_not_finite_survive_the_file(value, text, tmp_path):
    jobs = {Job(CASES, DIVERSE): MADE[Job(CASES, SIMILAR)]}
    for replicate in (1, 2):
        heat_map = {"CAM": {"mass": np.array([0.25, value])}}
        record = MADE[Job(TUNE, SIMILAR, ARMS[0], replicate)] | {"heat map": heat_map}
        jobs[Job(TUNE, DIVERSE, ARMS[0], replicate)] = record
    path = on_disk(tmp_path, jobs)[1]
    assert f"[0.25, {text}]" in path.read_text()
    found = GroupResults(results.read_study(tmp_path).parts[""], DIVERSE)
    np.testing.assert_array_equal(found.heat_maps[ARMS[0]]["CAM"]["mass"], [[0.25, value]] * 2)


# ---------------------------------------------------------------------------- as columns


@pytest.fixture(scope="module")
def made_columns(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    on_disk(folder, jobs_of(DIVERSE, ARMS))
    return results.load(folder)


def test_columns_of_a_table_are_of_one_length(made_columns):
    assert set(made_columns) == {"cases", "epochs", "costs", "heat maps"}
    for columns in filter(None, made_columns.values()):
        assert len({values.shape for values in columns.values()}) == 1
        assert all(values.dtype != object for values in columns.values())


def test_there_is_a_row_for_each_case_epoch_and_training(made_columns):
    trained = REPLICATES * len(ARMS) * len(TASKS[DIVERSE])
    tested = trained + REPLICATES * len(TASKS[DIVERSE])  # alternating has a second network
    rows = {name: len(columns["task"]) for name, columns in made_columns.items() if columns}
    cases = tested * sum(CASES_OF[where] for where in PLACES[DIVERSE])
    trainings = trained + REPLICATES  # the source's
    assert rows == {"cases": cases, "epochs": 3 * trainings, "costs": trainings}


def test_rows_tell_what_they_are_of(made_columns):
    for columns in filter(None, made_columns.values()):
        assert {"kind", "group", "arm", "replicate", "seed", "task"} < set(columns)
    cases = made_columns["cases"]
    held_out = (cases["tested on"] == HELD_OUT) & (cases["task"] == "lungs")
    one = held_out & (cases["arm"] == ARMS[0]) & (cases["replicate"] == 2)
    assert cases["id"][one].tolist() == [f"held-out{k}" for k in range(20)]
    assert cases["patient"][one].tolist() == [f"p{k // 2}" for k in range(20)]
    epochs = {arm: set(cases["epoch kept"][cases["arm"] == arm]) for arm in ARMS}
    assert epochs == {ARMS[0]: {OWN_EPOCH}, ARMS[1]: {OWN_EPOCH, ONE_ENCODER}}


def test_numbers_that_a_row_does_not_have_are_nan(made_columns):
    cases = made_columns["cases"]
    mask = cases["task"] == "lungs"
    for name in ("label", "logit 0", "logit 1"):
        np.testing.assert_array_equal(np.isnan(cases[name]), mask)
    for name in ("IoU", "F-score", "Accuracy", "Two-class IoU"):
        np.testing.assert_array_equal(np.isnan(cases[name]), ~mask)


def test_epochs_and_costs_are_those_of_the_records(made_columns):
    jobs, costs, epochs = jobs_of(DIVERSE, ARMS), made_columns["costs"], made_columns["epochs"]
    for arm, task, r in ((a, t, r) for a in ARMS for t in TASKS[DIVERSE] for r in (1, 2)):
        record = jobs[Job(TUNE, DIVERSE, arm, r)]["tasks"][task]
        found = [
            (table["arm"] == arm) & (table["task"] == task) & (table["replicate"] == r)
            for table in (costs, epochs)
        ]
        for name in ("seconds", "trainable", "shared"):
            assert costs[name][found[0]].tolist() == [record[name]]
        assert epochs["validation"][found[1]].tolist() == record["history"]["validation"]
        assert epochs["epoch"][found[1]].tolist() == [1, 2, 3]


def test_source_has_epochs_and_a_cost_too(made_columns):
    epochs, costs = made_columns["epochs"], made_columns["costs"]
    validation = epochs["validation"][epochs["kind"] == SOURCE].tolist()
    assert validation == REPLICATES * SOURCE_HISTORY.validation
    assert costs["seconds"][costs["task"] == "source"].tolist() == [600.0] * REPLICATES


def test_network_that_was_not_trained_has_a_cost_but_no_epochs(tmp_path):
    cost = {"history": History().to_dict(), "seconds": 0.0, "trainable": 9, "shared": 0}
    on_disk(tmp_path, {Job(SOURCE): cost})
    columns = results.load(tmp_path)
    assert columns["costs"]["trainable"].tolist() == [9] and columns["epochs"] == {}


def test_parts_of_a_study_are_told_apart(tmp_path):
    paths = on_disk(tmp_path, MADE)
    names = [path.name for path in paths]
    study = read_verified(tmp_path / "study.json")
    study["jobs"] = {"": names, "changed": names}
    (tmp_path / "study.json").write_text(json.dumps(with_digest(study)))
    for columns in filter(None, results.load(tmp_path).values()):
        half = len(columns["part"]) // 2
        assert columns["part"].tolist() == [""] * half + ["changed"] * half


def test_heat_maps_have_a_row_for_each_method_image_and_network(tmp_path):
    jobs = jobs_of(DIVERSE, ARMS[:1])
    next(iter(jobs.values()))["heat map"] = {"task": "x", "patients": ["a", "b"], "area": {}}
    maps = {"CAM": {"mass": [0.25, 0.5], "deletion": [0.75]}, "occlusion": {"empty": [0.0, 1.0]}}
    for replicate in (1, 2):
        job = Job(TUNE, DIVERSE, ARMS[0], replicate)
        jobs[job] = jobs[job] | {"heat map": maps}
    on_disk(tmp_path, jobs)
    columns = results.load(tmp_path)["heat maps"]
    assert columns["patient"].tolist() == ["a", "b"] * 4
    assert columns["method"].tolist() == (["CAM"] * 2 + ["occlusion"] * 2) * 2
    assert columns["mass"][:2].tolist() == [0.25, 0.5] and columns["empty"][2:4].tolist() == [0, 1]
    assert columns["deletion"][0] == 0.75 and np.isnan(columns["deletion"][1:4]).all()
