"""The derived recommendation: scored against the rule, and shown under the right images."""

import numpy as np
import pytest
from made_records import in_memory
from small_sets import echoes

from ums.derived.recommendation import OUTCOMES, outcomes
from ums.experiments.echo import ECHO, FLOW, QUALITY
from ums.experiments.jobs import CASES, TUNE, Job
from ums.experiments.names import DIVERSE, LOGITS, OWN_EPOCH, SOURCE_HEAD, STRATEGIES, TEST
from ums.experiments.report import recommendation
from ums.experiments.report.page import Report
from ums.experiments.results.groups import GroupResults

N = 72


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    for seed, name in enumerate(("source", "target")):
        echoes(folder / name, seed)
    return ECHO.layout.load(folder)


def results_on(group, logits, arms=STRATEGIES):
    """Results of two replicates on the group's test set: ``logits(arm, task, replicate)``."""
    tasks, cases = [group.task(FLOW), group.task(QUALITY)], {}
    for task in tasks:
        prepared, rows = task.test.prepared, task.test.rows
        known = {"id": prepared.ids[rows], "patient": prepared.patients[rows]}
        known |= {"label": np.asarray(task.test.targets)[rows]}
        described = {"title": task.title, "kind": task.kind, "classes": task.classes}
        cases[task.name] = described | {TEST: known}
    names = {"title": "", "held-out name": "", "test name": "the test patients", "overlap": 0.0}
    no_maps = {"task": None, "patients": [], "area": {}}
    jobs = {Job(CASES, DIVERSE): names | {"tasks": cases, "heat map": no_maps}}
    for arm in arms:
        for replicate in (1, 2):
            scores = {t.name: {LOGITS: logits(arm, t, replicate)} for t in tasks}
            record = {"tasks": {name: {OWN_EPOCH: {TEST: s}} for name, s in scores.items()}}
            jobs[Job(TUNE, DIVERSE, arm, replicate)] = record
    results = GroupResults(in_memory(jobs), DIVERSE)
    if arms[0] == STRATEGIES[0]:
        first = jobs[Job(TUNE, DIVERSE, arms[0], 1)]["tasks"]
        first = {name: task | task[OWN_EPOCH] for name, task in first.items()}
        results.pictures = ECHO.pictures(group, [{"tasks": first}])
    return results


def test_recommendation_is_scored_against_the_rule_on_the_true_labels(datasets):
    """Networks that are sure of the truth are right throughout; with a TR taken for MV, one is not. Those
    that lean to it a little are right by their classes, but never sure enough by the product."""
    group = datasets.group(DIVERSE)
    flow, quality = group.task(FLOW).test, group.task(QUALITY).test
    both = np.isin(flow.rows, quality.rows)
    poor = group.train_set.labels["quality"][flow.rows] == 0
    to_exclude = np.flatnonzero(both & poor & (flow.targets[flow.rows] == 2))

    def logits(arm, task, replicate):
        labels = task.test.targets[task.test.rows]
        found = (0.5 if arm == "alternating" else 9.0) * np.eye(task.classes)[labels]
        if arm == "joint" and task.name == FLOW:
            found[to_exclude[0]] = (9, 0, 0)
        return found

    section = recommendation.recommendation_section(results_on(group, logits))
    scored, blamed = Report("", sections=[section]).tables
    n = len(to_exclude)
    for row in scored.rows:
        missed = 1 if row["Arm"] == "Joint" else 0
        if row["Arm"] == "Alternating" and row["Excluded where"].startswith("P(TR)"):
            missed = n
        assert row["Sensitivity"].values == pytest.approx([1 - missed / n] * 2)
        assert list(row["Specificity"].values) == [1, 1]
        assert (row["MCC"].mean == 1) == (missed == 0)
    counted = {
        (row["Arm"], row["Mistake"]): [row[c] for c in ("Flow", "Quality", "Both", "Neither")]
        for row in blamed.rows
    }
    assert counted.pop(("Joint", "wrongly used")) == [1, 0, 0, 0]
    assert counted.pop(("Alternating", "wrongly used")) == [0, 0, 0, n]
    assert all(counts == [0] * 4 for counts in counted.values()) and len(counted) == 6


@pytest.fixture
def panels(monkeypatch):
    """What is given to be drawn of recommendations."""
    given, draw = [], recommendation.recommendation_panel
    monkeypatch.setattr(
        recommendation, "recommendation_panel", lambda *a: given.append(a) or draw(*a)
    )
    return given


def assert_images_are_those_of_their_cases(panel, group):
    """Every image to be shown has the true flow and quality that stand above it."""
    images, flow, quality, found = panel
    kinds = outcomes(flow, quality, found)
    first = [n for kind in OUTCOMES for n in np.flatnonzero(kinds == kind)[:4]]
    assert sorted(images) == sorted(first)
    known = np.intersect1d(group.task(FLOW).test.rows, group.task(QUALITY).test.rows)
    for n, image in images.items():
        assert (image == group.test_set.images[known[n]]).all()
        labels = [group.test_set.labels[name][known[n]] for name in (FLOW, QUALITY)]
        assert labels == [flow[n], quality[n]]


def test_recommendations_are_shown_under_the_images_they_are_about(datasets, panels):
    group, rng = datasets.group(DIVERSE), np.random.default_rng(0)
    noise = {name: rng.normal(0, 3, (N, 3)) for name in (FLOW, QUALITY)}

    def logits(arm, task, replicate):
        return replicate * noise[task.name][task.test.rows, : task.classes]

    recommendation.recommendation_section(results_on(group, logits))
    assert_images_are_those_of_their_cases(panels[0], group)
    assert len(panels[0][0]) > 4


def test_replicates_decide_together_by_their_mean_probabilities(datasets):
    """One replicate is sure of the truth and the other leans away from it a little."""
    group = datasets.group(DIVERSE)

    def logits(arm, task, replicate):
        labels = np.asarray(task.test.targets)[task.test.rows]
        return (9.0 if replicate == 2 else -0.1) * np.eye(task.classes)[labels]

    results = results_on(group, logits)
    truth = recommendation.truth_of(results)
    flow, quality = recommendation.probabilities(results, "joint", truth)
    assert flow.shape == (2, len(truth.flow), 3) and quality.shape == (2, len(truth.flow), 2)
    assert (flow.mean(axis=0).argmax(axis=1) == truth.flow).all()
    scored, blamed = recommendation.recommendation_section(results).tables
    assert scored.rows[1]["Sensitivity"].values[1] == 1 > scored.rows[1]["Sensitivity"].values[0]
    assert all(row["Flow"] == row["Quality"] == 0 for row in blamed.rows)


def test_arms_without_both_heads_are_left_out(datasets):
    group = datasets.group(DIVERSE)

    def logits(arm, task, replicate):
        return np.zeros((len(task.test.rows), task.classes))

    results = results_on(group, logits, ("single", SOURCE_HEAD))
    for record in results.runs[SOURCE_HEAD]:
        del record["tasks"][QUALITY]
    section = recommendation.recommendation_section(results)
    assert {row["Arm"] for row in section.tables[0].rows} == {"Single"}
    assert [figure.name for figure in section.figures] == ["recommendation-tables"]
