"""A tiny study that was run: its columns are what was computed, and the page's numbers follow from them."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure
from small_sets import SMALL, blank, save_all

from ums.experiments import results
from ums.experiments.cxr import CXR
from ums.experiments.items import Part
from ums.experiments.jobs import TUNE, Job
from ums.experiments.names import CLASSIFICATION, DIVERSE, OWN_EPOCH, SIMILAR, TEST
from ums.experiments.report import write_report
from ums.experiments.results.groups import GroupResults
from ums.experiments.runner import Place, run, study_of

RUN = ("independent", "joint", "separate", "control")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A tiny chest X-ray study, and its folder with the page."""
    prepared = save_all(tmp_path_factory.mktemp("prepared"), side=16)
    place = Place(CXR, prepared, None, tmp_path_factory.mktemp("results"), "cpu", progress=False)
    part = Part(SMALL, RUN)
    run(place, {"": part}, report=lambda line: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", blank)
        write_report(place.out)
    return study_of(place, part), place.out


def on_page(out, table, **row):
    """The estimates of a row of a table of the page, by column."""
    tables = json.loads((out / "tables.json").read_text())["tables"]
    (rows,) = (each["rows"] for each in tables if each["name"] == table)
    (found,) = (each for each in rows if row.items() <= each.items())
    return found


def cases_of(out, **chosen):
    """The cases' columns as a pandas table, of each task's own epoch."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(results.load(out)["cases"])
    for name, value in ({"epoch kept": OWN_EPOCH} | chosen).items():
        frame = frame[frame[name] == value]
    return frame


def test_tables_of_pandas_are_made_from_the_columns(finished):
    pandas = pytest.importorskip("pandas")
    study, out = finished
    tables = {name: pandas.DataFrame(columns) for name, columns in results.load(out).items()}
    trained = [(g, t) for g in study.datasets.groups for t in g.tasks]
    assert tables["costs"].groupby(["arm", "replicate"]).size().loc["joint", 1] == len(trained)
    assert set(tables["cases"]["group"]) == {DIVERSE, SIMILAR}


@pytest.mark.parametrize("measure", ["IoU", "Accuracy"])
def test_mean_over_the_masks_of_the_columns_is_the_number_of_the_page(measure, finished):
    page = on_page(finished[1], "table-3-segmentation", Arm="Joint")[measure]
    cases = cases_of(finished[1], task="lungs", arm="joint")
    by_replicate = cases[cases["tested on"] == TEST].groupby("replicate")[measure].mean()
    np.testing.assert_allclose(by_replicate, page["values"])
    assert by_replicate.mean() == pytest.approx(page["mean"])


@pytest.mark.parametrize("arm", ["independent", "separate"])
def test_scores_of_the_logits_of_the_columns_are_the_numbers_of_the_page(arm, finished):
    metrics = pytest.importorskip("sklearn.metrics")
    label = {"independent": "Independent", "separate": "Separate (baseline)"}[arm]
    page = on_page(finished[1], "table-5-classification", Arm=label, Task="Viral vs normal")
    cases = cases_of(finished[1], **{"task": "viral-normal", "arm": arm, "tested on": TEST})
    replicates = [one for _, one in cases.groupby("replicate")]
    scores = {
        "Accuracy": metrics.accuracy_score,
        "MCC": metrics.matthews_corrcoef,
        "F-score": metrics.f1_score,
    }
    for measure, of in scores.items():
        found = [of(one["label"], one["logit 1"] > one["logit 0"]) for one in replicates]
        np.testing.assert_allclose(found, page[measure]["values"], atol=1e-12)
    auc = [
        metrics.roc_auc_score(one["label"], one["logit 1"] - one["logit 0"]) for one in replicates
    ]
    np.testing.assert_allclose(auc, page["AUC"]["values"])


def test_difference_of_the_columns_is_the_contrast_of_the_page(finished):
    row = on_page(
        finished[1], "claims", Task="Lung segmentation", **{"The paper": "Independent above joint"}
    )
    means = []
    for arm in ("independent", "joint"):
        cases = cases_of(finished[1], **{"task": "lungs", "arm": arm, "tested on": TEST})
        means.append(cases.groupby("replicate")["IoU"].mean())
    assert (means[0] - means[1]).mean() == pytest.approx(row["Difference here"]["mean"])


def test_cases_are_those_of_the_prepared_folders(finished):
    study, out = finished
    for group in study.datasets.groups:
        for task in group.tasks:
            cases = cases_of(out, task=task.name, arm="joint", replicate=1)
            tested = cases[cases["tested on"] == TEST]
            rows, prepared = task.test.rows, group.test_set
            assert tested["id"].tolist() == prepared.ids[rows].tolist()
            assert tested["patient"].tolist() == prepared.patients[rows].tolist()
            if task.kind == CLASSIFICATION:
                assert tested["label"].tolist() == task.test.targets[rows].tolist()


def test_losses_and_costs_of_the_columns_are_those_of_the_trained_networks(finished):
    study, out = finished
    columns = results.load(out)
    job = Job(TUNE, DIVERSE, "joint", 2, seed=SMALL.seed)
    for task, outcome in study.tuning(DIVERSE, 2).tune(job).items():
        one = [
            (t["arm"] == "joint") & (t["replicate"] == 2) & (t["task"] == task)
            for t in (columns["epochs"], columns["costs"])
        ]
        tuned = outcome.tuned
        for name in ("train", "validation", "learning_rate", "weight"):
            assert columns["epochs"][name][one[0]].tolist() == getattr(tuned.history, name)
        for name in ("seconds", "trainable", "shared"):
            assert columns["costs"][name][one[1]].tolist() == [getattr(tuned, name)]


def test_heat_maps_have_a_row_for_each_positive_test_image_and_network(finished):
    _, out = finished
    columns = results.load(out)["heat maps"]
    group = GroupResults(results.read_study(out).parts[""], DIVERSE)
    for arm, maps in group.heat_maps.items():
        for method, measures in maps.items():
            chosen = (columns["arm"] == arm) & (columns["replicate"] == 2)
            chosen &= columns["method"] == method
            for name, values in measures.items():
                found = columns[name][chosen][: len(values[1])]
                np.testing.assert_array_equal(found, values[1])
    patients = columns["patient"][: len(group.heat_map_cases["patients"])]
    assert patients.tolist() == group.heat_map_cases["patients"]
