"""The records of a study, read from disk and as columns from which its numbers can be checked."""

import json
import shutil

import numpy as np
import pytest
from made_records import CASES_OF, FOLDS, SOURCE_COST, TASKS, in_memory, jobs_of, on_disk
from matplotlib.figure import Figure
from small_sets import SMALL, blank, save_all, small_study

from ums.experiments import results
from ums.experiments.cxr import CXR
from ums.experiments.jobs import CASES, SOURCE, SOURCE_TEST, TUNE, Job
from ums.experiments.names import (
    CLASSIFICATION,
    DIVERSE,
    HELD_OUT,
    SIMILAR,
    STRATEGIES,
    TEST,
)
from ums.experiments.report import write_report
from ums.experiments.results.groups import GroupResults
from ums.experiments.runner import run
from ums.experiments.store import Store
from ums.reading import read_verified, with_digest
from ums.training import History

pytestmark = pytest.mark.usefixtures("few_resamples")
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
    old = '"fold": ' if file == "a record" else '"seed": '
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


def test_records_of_a_kind_come_fold_by_fold(tmp_path):
    on_disk(tmp_path, dict(reversed(MADE.items())))
    records = results.read_study(tmp_path).parts[""]
    for arm in ARMS:
        jobs = [record["job"] for record in records.of(TUNE, SIMILAR, arm)]
        assert [(job["arm"], job["fold"]) for job in jobs] == [(arm, 1), (arm, 2)]
    assert records.one(CASES, SIMILAR)["folds"] == FOLDS and records.of(TUNE, DIVERSE) == []


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
    for fold in (1, 2):
        heat_map = {"lungs": np.array([0.25, value])}
        jobs[Job(TUNE, DIVERSE, ARMS[0], fold)] = MADE[Job(TUNE, SIMILAR, ARMS[0], fold)] | {
            "heat map": heat_map
        }
    path = on_disk(tmp_path, jobs)[1]
    assert f"[0.25, {text}]" in path.read_text()
    found = GroupResults(results.read_study(tmp_path).parts[""], DIVERSE, 0)
    np.testing.assert_array_equal(found.heat_maps[ARMS[0]]["lungs"], [[0.25, value]] * 2)


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
    networks = FOLDS * len(ARMS) * len(TASKS[DIVERSE])
    rows = {name: len(columns["task"]) for name, columns in made_columns.items() if columns}
    cases = networks * (CASES_OF[TEST] + CASES_OF[HELD_OUT] // FOLDS)
    assert rows == {"cases": cases, "epochs": 3 * (networks + 1), "costs": networks + 1}


def test_rows_tell_what_they_are_of(made_columns):
    for columns in filter(None, made_columns.values()):
        assert {"kind", "group", "arm", "fold", "replicate", "seed", "task"} < set(columns)
    cases = made_columns["cases"]
    held_out = (cases["tested on"] == HELD_OUT) & (cases["task"] == "lungs")
    one = held_out & (cases["arm"] == ARMS[0]) & (cases["fold"] == 2)
    assert cases["id"][one].tolist() == [f"held-out{k}" for k in range(1, 20, 2)]
    assert cases["patient"][one].tolist() == [f"p{k // 2}" for k in range(1, 20, 2)]


def test_numbers_that_a_row_does_not_have_are_nan(made_columns):
    cases = made_columns["cases"]
    mask = cases["task"] == "lungs"
    for name in ("label", "logit 0", "logit 1"):
        np.testing.assert_array_equal(np.isnan(cases[name]), mask)
    for name in ("IoU", "F-score", "Accuracy", "Two-class IoU"):
        np.testing.assert_array_equal(np.isnan(cases[name]), ~mask)


def test_epochs_and_costs_are_those_of_the_records(made_columns):
    jobs, costs, epochs = jobs_of(DIVERSE, ARMS), made_columns["costs"], made_columns["epochs"]
    for arm, task, fold in ((a, t, f) for a in ARMS for t in TASKS[DIVERSE] for f in (1, 2)):
        record = jobs[Job(TUNE, DIVERSE, arm, fold)]["tasks"][task]
        found = [
            (table["arm"] == arm) & (table["task"] == task) & (table["fold"] == fold)
            for table in (costs, epochs)
        ]
        for name in ("seconds", "trainable", "shared"):
            assert costs[name][found[0]].tolist() == [record[name]]
        assert epochs["validation"][found[1]].tolist() == record["history"]["validation"]
        assert epochs["epoch"][found[1]].tolist() == [1, 2, 3]


def test_source_has_epochs_and_a_cost_too(made_columns):
    epochs, costs = made_columns["epochs"], made_columns["costs"]
    assert epochs["validation"][epochs["kind"] == SOURCE].tolist() == SOURCE_COST.history.validation
    assert costs["seconds"][costs["task"] == "source"].tolist() == [SOURCE_COST.seconds]


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


# ---------------------------------------------------------------------------- a study that was run


@pytest.fixture(scope="module")
def finished(tmp_path_factory, few_resamples):
    """The folder of a tiny chest X-ray study, its page written."""
    prepared = save_all(tmp_path_factory.mktemp("prepared"), side=16)
    out = tmp_path_factory.mktemp("results")
    study = small_study(CXR, CXR.layout.load(prepared), out)
    run(study, out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", blank)
        write_report(out)
    return study, out


def on_page(out, table, **row):
    """The estimates of a row of a table of the page, by column."""
    tables = json.loads((out / "tables.json").read_text())["tables"]
    (rows,) = (each["rows"] for each in tables if each["name"] == table)
    (found,) = (each for each in rows if row.items() <= each.items())
    return found


def cases_of(out, **chosen):
    """The cases' columns as a pandas table."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(results.load(out)["cases"])
    for name, value in chosen.items():
        frame = frame[frame[name] == value]
    return frame


def test_tables_of_pandas_are_made_from_the_columns(finished):
    pandas = pytest.importorskip("pandas")
    study, out = finished
    tables = {name: pandas.DataFrame(columns) for name, columns in results.load(out).items()}
    trained = [(g, t) for g in study.datasets.groups for t in g.tasks]
    assert tables["costs"].groupby(["arm", "fold"]).size().loc["joint", 1] == len(trained)
    assert set(tables["cases"]["group"]) == {DIVERSE, SIMILAR}


@pytest.mark.parametrize("measure", ["IoU", "Accuracy"])
def test_mean_over_the_masks_of_the_columns_is_the_number_of_the_page(measure, finished):
    page = on_page(finished[1], "table-3-segmentation", Strategy="Joint")[measure]
    cases = cases_of(finished[1], task="lungs", arm="joint")
    by_fold = cases[cases["tested on"] == TEST].groupby("fold")[measure].mean()
    np.testing.assert_allclose(by_fold, page["folds"])
    assert by_fold.mean() == pytest.approx(page["mean"])


@pytest.mark.parametrize("arm", ["independent", "separate"])
@pytest.mark.parametrize(
    ("where", "table"),
    [(TEST, "table-5-classification"), (HELD_OUT, "similar-classification-held-out")],
)
def test_scores_of_the_logits_of_the_columns_are_the_numbers_of_the_page(
    arm, where, table, finished
):
    metrics = pytest.importorskip("sklearn.metrics")
    label = {"independent": "Independent", "separate": "Separate (baseline)"}[arm]
    page = on_page(finished[1], table, Strategy=label, Task="Viral vs normal")
    cases = cases_of(finished[1], task="viral-normal", arm=arm)
    cases = cases[cases["tested on"] == where]
    scores = {
        "Accuracy": metrics.accuracy_score,
        "MCC": metrics.matthews_corrcoef,
        "F-score": metrics.f1_score,
    }
    for measure, of in scores.items():
        by_fold = [
            of(one["label"], one["logit 1"] > one["logit 0"]) for _, one in cases.groupby("fold")
        ]
        np.testing.assert_allclose(by_fold, page[measure]["folds"], atol=1e-12)
    auc = [
        metrics.roc_auc_score(one["label"], one["logit 1"] - one["logit 0"])
        for _, one in cases.groupby("fold")
    ]
    np.testing.assert_allclose(auc, page["AUC"]["folds"])


def test_cases_are_those_of_the_prepared_folders(finished):
    study, out = finished
    for group in study.datasets.groups:
        for task in group.tasks:
            cases = cases_of(out, task=task.name, arm="alternating", fold=1)
            tested = cases[cases["tested on"] == TEST]
            rows, prepared = task.test.rows, group.test_set
            assert tested["id"].tolist() == prepared.ids[rows].tolist()
            assert tested["patient"].tolist() == prepared.patients[rows].tolist()
            if task.kind == CLASSIFICATION:
                assert tested["label"].tolist() == task.test.targets[rows].tolist()


def test_every_training_image_is_held_out_once(finished):
    study, out = finished
    for group in study.datasets.groups:
        for task in group.tasks:
            cases = cases_of(out, task=task.name, arm="independent")
            held_out = cases[cases["tested on"] == HELD_OUT]
            assert sorted(held_out["id"]) == sorted(group.train_set.ids[task.train.rows])


def test_losses_and_costs_of_the_columns_are_those_of_the_trained_networks(finished):
    study, out = finished
    columns = results.load(out)
    job = Job(TUNE, DIVERSE, "joint", 2, seed=SMALL.seed)
    for task, tuned in study.tuning(DIVERSE).tune(job).items():
        one = [
            (t["arm"] == "joint") & (t["fold"] == 2) & (t["task"] == task)
            for t in (columns["epochs"], columns["costs"])
        ]
        for name in ("train", "validation", "learning_rate", "weight"):
            assert columns["epochs"][name][one[0]].tolist() == getattr(tuned.history, name)
        for name in ("seconds", "trainable", "shared"):
            assert columns["costs"][name][one[1]].tolist() == [getattr(tuned, name)]


def test_heat_maps_have_a_row_for_each_positive_test_image_and_network(finished):
    _, out = finished
    columns = results.load(out)["heat maps"]
    group = GroupResults(results.read_study(out).parts[""], DIVERSE, 0)
    for arm, shares in group.heat_maps.items():
        found = columns["lungs"][(columns["arm"] == arm) & (columns["fold"] == 2)]
        np.testing.assert_array_equal(found, shares["lungs"][1])
    patients = columns["patient"][: len(group.heat_map_cases["patients"])]
    assert patients.tolist() == group.heat_map_cases["patients"]
