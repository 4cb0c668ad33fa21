"""The derived recommendation: scored against the rule, and shown under the right images."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from small_sets import blank, echoes
from study_runs import leave_out_training, run

from ums.derived.recommendation import OUTCOMES, outcomes
from ums.experiments.echo import ECHO, FLOW, QUALITY
from ums.experiments.names import CLASSIFICATION, DIVERSE, STRATEGIES, TEST
from ums.experiments.report import recommendation
from ums.experiments.report.page import Report
from ums.experiments.results import scores

N = 72

pytestmark = pytest.mark.usefixtures("few_resamples")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Source and target, to be left as they are."""
    folder = tmp_path_factory.mktemp("prepared")
    for seed, name in enumerate(("source", "target")):
        echoes(folder / name, seed)
    return folder


@pytest.fixture(scope="module")
def datasets(folder):
    return ECHO.layout.load(folder)


def results_on(group, logits):
    """Results of two folds on the group's test set: ``logits(arm, task)`` of both networks."""
    tested, cases = {}, {}
    for task in (group.task(FLOW), group.task(QUALITY)):
        test, rows = task.test.prepared, task.test.rows
        labels, patients = task.test.targets[rows], test.patients[rows]
        known = {"id": test.ids[rows], "patient": patients, "label": labels}
        cases[task.name] = {"test": known}
        for arm in STRATEGIES:
            one = scores.CaseScores(CLASSIFICATION, patients, labels)
            for fold in (0, 1):
                one.add(fold, 2, np.arange(len(rows)), {"logits": logits(arm, task)})
            tested[arm, TEST, task.name] = one
    records = [
        {"tasks": {name: {TEST: {"logits": logits(STRATEGIES[0], group.task(name))}}
                   for name in (FLOW, QUALITY)}}
    ] * 2  # fmt: skip
    pictures = ECHO.pictures(group, records)
    test_name = group.test_name
    return SimpleNamespace(cases=cases, scores=tested, k=2, test_name=test_name, pictures=pictures)


def test_recommendation_is_scored_against_the_rule_on_the_true_labels(datasets):
    """Networks that are sure of the truth are right throughout; with a TR taken for MV, one is not. Those
    that lean to it a little are right by their classes, but never sure enough by the product."""
    group = datasets.group(DIVERSE)
    flow, quality = group.task(FLOW).test, group.task(QUALITY).test
    both = np.isin(flow.rows, quality.rows)
    poor = group.train_set.labels["quality"][flow.rows] == 0
    to_exclude = np.flatnonzero(both & poor & (flow.targets[flow.rows] == 2))

    def logits(arm, task):
        labels = task.test.targets[task.test.rows]
        found = (0.5 if arm == "alternating" else 9.0) * np.eye(task.classes)[labels]
        if arm == "joint" and task.name == FLOW:
            found[to_exclude[0]] = (9, 0, 0)
        return found

    section = recommendation.recommendation_section(results_on(group, logits), 0)
    scored, blamed = Report("", sections=[section]).tables
    n = len(to_exclude)
    for row in scored.rows:
        missed = 1 if row["Strategy"] == "Joint" else 0
        if row["Strategy"] == "Alternating" and row["Excluded where"].startswith("P(TR)"):
            missed = n
        assert row["Sensitivity"].folds == pytest.approx([1 - missed / n] * 2)
        assert row["Specificity"].folds == [1, 1]
        assert (row["MCC"].mean == 1) == (missed == 0)
    counted = {
        (row["Strategy"], row["Mistake"]): [row[c] for c in ("Flow", "Quality", "Both", "Neither")]
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

    def logits(arm, task):
        return noise[task.name][task.test.rows, : task.classes]

    recommendation.recommendation_section(results_on(group, logits), 0)
    assert_images_are_those_of_their_cases(panels[0], group)
    assert len(panels[0][0]) > 4


def test_pages_recommendations_are_shown_under_the_images_they_are_about(
    folder, datasets, panels, tmp_path, monkeypatch
):
    leave_out_training(monkeypatch)
    monkeypatch.setattr(Figure, "savefig", blank)
    assert run("echo", folder, tmp_path, "--groups", "diverse", "--batch", "4") == 0
    assert_images_are_those_of_their_cases(panels[0], datasets.group(DIVERSE))
