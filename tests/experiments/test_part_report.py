"""A part's figures and costs from scores and histories that are made up, against sums by hand."""

from itertools import combinations

import numpy as np
import pytest
from small_sets import children, hospital

from ums.experiments.cxr_sets import DIVERSE, SIMILAR, diverse_part, similar_part
from ums.experiments.report.part_tables import (
    BY_PATIENT,
    Costs,
    PartFigures,
    comparison_table,
    cost_table,
    score_table,
)
from ums.experiments.results import scores
from ums.experiments.runner import HELD_OUT, STRATEGIES, TEST, Cost, PartOutcome
from ums.experiments.tasks import CLASSIFICATION, MEASURES, SEGMENTATION
from ums.finetuning import Tuned
from ums.training import History

SHARED, SOURCE_PARAMETERS = 1000, 1700
SOURCE = Tuned(None, History([1.0] * 3, [3.0, 1.0, 2.0]), 600.0, SOURCE_PARAMETERS)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(scores, "RESAMPLES", 20)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    return {
        DIVERSE: diverse_part(*(hospital(folder / n, side=16) for n in ("target", "test"))),
        SIMILAR: similar_part(children(folder / "pneumonia", side=16)),
    }


def made_up(part, strategies=STRATEGIES, better=()):
    """Random scores of two folds; strategies in ``better`` are right about everything."""
    rng = np.random.default_rng(1)
    tested, costs = {}, {}
    for s, strategy in enumerate(strategies):
        tested[strategy], costs[strategy] = {}, {}
        for where in (TEST, HELD_OUT):
            tested[strategy][where] = {}
            for task in part.tasks:
                labelled = task.test if where == TEST else task.learn
                n, kind = len(labelled.rows), task.kind
                labels = None if kind == SEGMENTATION else labelled.targets[labelled.rows]
                one = scores.Tested(kind, labelled.prepared.patients[labelled.rows], labels)
                for i in (0, 1):
                    if kind == SEGMENTATION:
                        values = {m: rng.uniform(0, 0.9, n) for m in MEASURES[kind]}
                        values = {m: v + 0.1 * (strategy in better) for m, v in values.items()}
                    else:
                        logits = rng.normal(size=(n, task.classes))
                        if strategy in better:
                            logits[np.arange(n), labels] = logits.max(axis=1) + 1
                        values = {"logits": logits}
                    one.add(i, 2, np.arange(n), values)
                tested[strategy][where][task.name] = one
        shared = SHARED if strategy in ("alternating", "joint") else 0
        for t, task in enumerate(part.tasks):
            trainable, seconds = 100 * (s + 1) + t, 60.0 * (10 * s + t + 1)
            histories = [History([1.0] * 3, v) for v in ([3.0, 2.0, 1.0], [1.0, 2.0, 3.0])]
            costs[strategy][task.name] = [
                Cost(histories[i], seconds * (i + 1), trainable, shared) for i in (0, 1)
            ]
    return PartOutcome(part, [], costs, tested, {}, None)


EACH_PART = pytest.mark.parametrize("name", [DIVERSE, SIMILAR])


# ---------------------------------------------------------------------------- comparisons


def holm_by_hand(p_values):
    """The smallest of m by m, the next by m - 1, and so on; none below the one before."""
    corrected, before = {}, 0.0
    for k, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        before = max(before, min(1.0, (len(p_values) - k) * p_values[i]))
        corrected[i] = before
    return [corrected[i] for i in range(len(p_values))]


@EACH_PART
def test_p_values_are_corrected_for_all_comparisons_of_the_part(name, parts):
    figures = PartFigures(made_up(parts[name], better=("joint",)), seed=0)
    found = figures.comparisons
    assert len(found) == 6 * len(parts[name].tasks)
    p = [c.p_value for c in found]
    np.testing.assert_allclose([c.corrected for c in found], holm_by_hand(p))
    assert min(p) < 0.02 and sum(c.corrected > c.p_value for c in found) > 3


@EACH_PART
def test_every_two_strategies_are_compared_on_the_test_cases_of_every_task(name, parts):
    outcome = made_up(parts[name], better=("joint",))
    figures = PartFigures(outcome, seed=0)
    for task in parts[name].tasks:
        for a, b in combinations(STRATEGIES, 2):
            (found,) = (c for c in figures.comparisons if (c.task, c.a, c.b) == (task.name, a, b))
            one, other = (outcome.tested[s][TEST][task.name] for s in (a, b))
            if task.kind == CLASSIFICATION:
                assert found.only_a == (one.right() & ~other.right()).sum()
                assert found.only_b == (other.right() & ~one.right()).sum()
                assert found.tested == found.only_a - found.only_b
            else:
                assert np.sign(found.tested) == np.sign(np.sum(found.differences))
            means = [figures.folds(s, task) for s in (a, b)]
            np.testing.assert_allclose(found.differences, np.subtract(*means))


def test_comparison_is_found_and_seen_from_either_side(parts):
    figures = PartFigures(made_up(parts[DIVERSE], better=("separate",)), seed=0)
    found = figures.comparison("lungs", "separate", "joint")
    assert found is figures.comparison("lungs", "joint", "separate") and found.a == "joint"
    differences, tested = found.seen_from("separate")
    assert tested > 0 and all(d > 0 for d in differences)
    assert found.seen_from("joint") == (tuple(-d for d in differences), -tested)


def test_figures_of_a_part_follow_the_seed(parts):
    outcome = made_up(parts[SIMILAR])
    first, again, other = (PartFigures(outcome, seed).estimates for seed in (1, 1, 2))
    assert first == again != other


def test_part_with_some_strategies_compares_those(parts):
    outcome = made_up(parts[SIMILAR], ("independent", "separate"))
    found = PartFigures(outcome, 0).comparisons
    assert [(c.a, c.b) for c in found] == [("independent", "separate")] * 3


def test_comparison_table_has_a_row_for_each(parts):
    figures = PartFigures(made_up(parts[DIVERSE]), 0)
    table = comparison_table(figures, "comparisons")
    assert len(table.rows) == 12
    for row, compared in zip(table.rows, figures.comparisons, strict=True):
        values = list(row.values())
        assert [v for v in values if v is None or isinstance(v, int)] == [
            compared.only_a,
            compared.only_b,
        ]
        assert values[-2:] == [compared.p_value, compared.corrected]


def test_comparison_table_says_whether_the_tests_are_by_patient(parts, tmp_path):
    single = children(tmp_path / "children", side=16, patients=[f"p{k}" for k in range(72)])
    for part, by_patient in ((parts[SIMILAR], True), (similar_part(single), False)):
        note = comparison_table(PartFigures(made_up(part), 0), "comparisons").note
        assert (BY_PATIENT in note) == by_patient and "McNemar" in note


# ---------------------------------------------------------------------------- scores


@EACH_PART
@pytest.mark.parametrize("where", [TEST, HELD_OUT])
def test_score_table_has_the_mean_of_the_folds_for_each_task_and_strategy(name, where, parts):
    outcome = made_up(parts[name])
    table = score_table(
        PartFigures(outcome, 0), CLASSIFICATION, where, "a", "A", {("joint", "x"): {}}, ""
    )
    rows = iter(table.rows)
    for task in (t for t in parts[name].tasks if t.kind == CLASSIFICATION):
        for strategy in STRATEGIES:
            row, tested = next(rows), outcome.tested[strategy][where][task.name]
            right = tested.values["logits"].argmax(axis=2) == tested.labels
            np.testing.assert_allclose(row["Accuracy"].folds, right.mean(axis=1))
            assert row["Images"] == len(tested.labels)
    assert next(rows, None) is None


def test_papers_figures_stand_beside_their_task_and_strategy(parts):
    paper = {("joint", "viral-normal"): {"MCC": 0.92, "Accuracy": 0.97}}
    figures = PartFigures(made_up(parts[SIMILAR]), 0)
    table = score_table(figures, CLASSIFICATION, TEST, "a", "A", paper, "")
    beside = [
        (ours, theirs) for ours, theirs in zip(table.rows, table.paper_rows, strict=True) if theirs
    ]
    ((ours, theirs),) = beside
    assert ours["Strategy"] == "Joint" and ours["Task"] == "Viral vs normal"
    assert theirs == paper["joint", "viral-normal"]


# ---------------------------------------------------------------------------- cost


def cost_rows(part, paper=None):
    return cost_table(
        Costs(made_up(part), SOURCE, "denoising", True), "cost", "Cost", paper or {}, ""
    )


@EACH_PART
def test_totals_of_the_cost_table_are_sums_of_its_parts(name, parts):
    table = cost_rows(parts[name])
    n = len(parts[name].tasks)
    for approach, strategy in (("Proposed", 0), ("Baseline", 3)):
        rows = [row for row in table.rows if row["Approach"] == approach]
        first, tasks, total, whole = rows[0], rows[1 : 1 + n], rows[-2], rows[-1]
        assert len(rows) == n + 3
        assert first["Minutes"] == 10 and first["Trainable parameters"] == SOURCE_PARAMETERS
        minutes = [10 * strategy + t + 1 for t in range(n)]
        assert [list(row["Minutes"].folds) for row in tasks] == [[m, 2 * m] for m in minutes]
        assert list(total["Minutes"].folds) == [sum(minutes), 2 * sum(minutes)]
        assert list(whole["Minutes"].folds) == [10 + sum(minutes), 10 + 2 * sum(minutes)]
        parameters = [100 * (strategy + 1) + t for t in range(n)]
        assert [row["Trainable parameters"] for row in tasks] == parameters
        assert total["Trainable parameters"] == sum(parameters)
        assert whole["Trainable parameters"] == sum(parameters) + SOURCE_PARAMETERS


@EACH_PART
def test_encoder_tuned_together_counts_once_with_and_without_the_source(name, parts):
    table = cost_rows(parts[name])
    n = len(parts[name].tasks)
    for label, strategy in (("Alternating", 1), ("Joint", 2)):
        alone, after = (row for row in table.rows if row["Approach"] == label)
        heads = sum(100 * (strategy + 1) + t for t in range(n))
        minutes = sum(10 * strategy + t + 1 for t in range(n))
        assert alone["Trainable parameters"] == heads + SHARED
        assert after["Trainable parameters"] == heads + SOURCE_PARAMETERS
        assert list(alone["Minutes"].folds) == [minutes, 2 * minutes]
        assert list(after["Minutes"].folds) == [10 + minutes, 10 + 2 * minutes]


def test_epochs_are_to_the_one_whose_weights_were_kept(parts):
    table = cost_rows(parts[DIVERSE])
    assert table.rows[0]["Epochs"] == 2
    estimates = [row["Epochs"] for row in table.rows[1:] if hasattr(row["Epochs"], "folds")]
    assert len(estimates) == 2 + 2 + 2 and all(list(e.folds) == [3, 1] for e in estimates)


PAPERS = {
    "source": 1, ("independent", "lungs"): 2, ("independent", "abnormality"): 3,
    "proposed tasks": 4, "proposed": 5, "denoiser": 6, ("separate", "lungs"): 7,
    ("separate", "abnormality"): 8, "baseline tasks": 9, "baseline": 10,
}  # fmt: skip


def test_papers_costs_stand_beside_their_own_rows(parts):
    table = cost_rows(parts[DIVERSE], {key: {"Minutes": m} for key, m in PAPERS.items()})
    found = [row.get("Minutes") for row in table.paper_rows]
    assert found == [*range(1, 11), None, None, None, None]


@EACH_PART
def test_lines_cross_where_the_source_is_paid_for(name, parts):
    costs = Costs(made_up(parts[name]), SOURCE, "denoising", True)
    n = len(parts[name].tasks)
    independent, separate = (
        np.mean([1.5 * (10 * s + t + 1) for t in range(n)])
        for s in (0, 3)  # of 1 and 2 times
    )
    shared, behind, alone = costs.lines().values()
    assert shared == pytest.approx((10, independent))
    assert behind == pytest.approx((10, separate)) and alone == pytest.approx((0, separate))


def test_untrained_source_costs_nothing(parts):
    source = Tuned(None, History(), 0.0, 0)
    table = cost_table(
        Costs(made_up(parts[DIVERSE]), source, "denoising", True), "cost", "Cost", {}, ""
    )
    assert (table.rows[0]["Minutes"], table.rows[0]["Epochs"]) == (0, 0)
    total, whole = table.rows[3:5]
    assert list(total["Minutes"].folds) == list(whole["Minutes"].folds)
