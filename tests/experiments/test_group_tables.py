"""Tables of a group of tasks from records that are made up, against sums by hand."""

import numpy as np
import pytest
from made_records import (
    CASES_OF,
    SHARED,
    SOURCE_COST,
    SOURCE_PARAMETERS,
    TASKS,
    results_of,
)

from ums.experiments.names import (
    CLASSIFICATION,
    DIVERSE,
    HELD_OUT,
    SEGMENTATION,
    SIMILAR,
    STRATEGIES,
    TEST,
)
from ums.experiments.report.group import (
    BY_PATIENT,
    LABELS,
    comparison_table,
    cost_table,
    score_table,
)
from ums.experiments.report.sections import GroupText, scores_section
from ums.experiments.results.costs import GroupCosts, TrainingCost
from ums.training import History

pytestmark = pytest.mark.usefixtures("few_resamples")
EACH_GROUP = pytest.mark.parametrize("name", [DIVERSE, SIMILAR])


# ---------------------------------------------------------------------------- scores


@EACH_GROUP
@pytest.mark.parametrize("where", [TEST, HELD_OUT])
def test_score_table_has_the_estimates_of_each_task_and_strategy(name, where):
    results = results_of(name)
    table = score_table(results, CLASSIFICATION, where, ("a", "A"), {("joint", "x"): {}}, "")
    tasks = [task for task in results.tasks if task.kind == CLASSIFICATION]
    rows = iter(table.rows)
    for task, arm in ((task, arm) for task in tasks for arm in STRATEGIES):
        row = next(rows)
        assert row["Strategy"] == LABELS[arm] and row["Images"] == CASES_OF[where]
        assert row["MCC"] == results.estimates[arm, where, task.name, "MCC"]
        assert row.get("Task", task.title) == task.title
    assert next(rows, None) is None


def test_papers_numbers_stand_beside_their_task_and_strategy():
    paper = {("joint", "viral-normal"): {"MCC": 0.92, "Accuracy": 0.97}}
    table = score_table(results_of(SIMILAR), CLASSIFICATION, TEST, ("a", "A"), paper, "")
    pairs = zip(table.rows, table.paper_rows, strict=True)
    ((ours, theirs),) = [(ours, theirs) for ours, theirs in pairs if theirs]
    assert ours["Strategy"] == "Joint" and ours["Task"] == "Viral vs normal"
    assert theirs == paper["joint", "viral-normal"]


# ---------------------------------------------------------------------------- comparisons


def test_comparison_table_has_a_row_for_each():
    results = results_of(DIVERSE)
    table = comparison_table(results, "comparisons")
    assert len(table.rows) == 12
    for row, compared in zip(table.rows, results.comparisons, strict=True):
        assert row["Compared"] == f"{compared.a} – {compared.b}"
        assert row["Difference"].folds == compared.differences
        assert (row["Only first"], row["Only second"]) == (compared.only_a, compared.only_b)
        assert (row["p"], row["p, corrected"]) == (compared.p_value, compared.corrected)


@pytest.mark.parametrize(("images_each", "by_patient"), [(1, False), (2, True)])
def test_comparison_table_says_whether_the_tests_are_by_patient(images_each, by_patient):
    note = comparison_table(results_of(SIMILAR, images_each=images_each), "comparisons").note
    assert (BY_PATIENT in note) == by_patient and "McNemar" in note


# ---------------------------------------------------------------------------- cost


def cost_rows(name, paper=None, source=SOURCE_COST, denoiser=True):
    titles = {task: title for task, (title, _) in TASKS[name].items()}
    costs = GroupCosts(titles, results_of(name).costs, source, denoiser)
    return cost_table(costs, "cost", "Cost", paper or {}, "denoising", "")


@EACH_GROUP
def test_totals_of_the_cost_table_are_sums_of_its_parts(name):
    table, n = cost_rows(name), len(TASKS[name])
    for approach, arm in (("Proposed", 0), ("Baseline", 3)):
        rows = [row for row in table.rows if row["Approach"] == approach]
        first, tasks, total, whole = rows[0], rows[1 : 1 + n], rows[-2], rows[-1]
        assert len(rows) == n + 3
        assert first["Minutes"] == 10 and first["Trainable parameters"] == SOURCE_PARAMETERS
        minutes = [10 * arm + t + 1 for t in range(n)]
        assert [list(row["Minutes"].folds) for row in tasks] == [[m, 2 * m] for m in minutes]
        assert list(total["Minutes"].folds) == [sum(minutes), 2 * sum(minutes)]
        assert list(whole["Minutes"].folds) == [10 + sum(minutes), 10 + 2 * sum(minutes)]
        parameters = [100 * (arm + 1) + t for t in range(n)]
        assert [row["Trainable parameters"] for row in tasks] == parameters
        assert total["Trainable parameters"] == sum(parameters)
        assert whole["Trainable parameters"] == sum(parameters) + SOURCE_PARAMETERS


@EACH_GROUP
def test_encoder_tuned_together_counts_once_with_and_without_the_source(name):
    table, n = cost_rows(name), len(TASKS[name])
    for label, arm in (("Alternating", 1), ("Joint", 2)):
        alone, after = (row for row in table.rows if row["Approach"] == label)
        heads = sum(100 * (arm + 1) + t for t in range(n))
        minutes = sum(10 * arm + t + 1 for t in range(n))
        assert alone["Trainable parameters"] == heads + SHARED
        assert after["Trainable parameters"] == heads + SOURCE_PARAMETERS
        assert list(alone["Minutes"].folds) == [minutes, 2 * minutes]
        assert list(after["Minutes"].folds) == [10 + minutes, 10 + 2 * minutes]


def test_baseline_without_a_denoiser_is_its_models_alone():
    rows = [row for row in cost_rows(DIVERSE, denoiser=False).rows if row["Approach"] == "Baseline"]
    assert [row["Part"] for row in rows] == [
        "Lung segmentation model", "Abnormality model", "All models",
    ]  # fmt: skip


def test_epochs_are_to_the_one_whose_weights_were_kept():
    table = cost_rows(DIVERSE)
    assert table.rows[0]["Epochs"] == 2
    estimates = [row["Epochs"] for row in table.rows[1:] if hasattr(row["Epochs"], "folds")]
    assert len(estimates) == 2 + 2 + 2 and all(list(e.folds) == [3, 1] for e in estimates)


PAPERS = {
    "source": 1, ("independent", "lungs"): 2, ("independent", "abnormality"): 3,
    "proposed tasks": 4, "proposed": 5, "denoiser": 6, ("separate", "lungs"): 7,
    ("separate", "abnormality"): 8, "baseline tasks": 9, "baseline": 10,
}  # fmt: skip


def test_papers_costs_stand_beside_their_own_rows():
    table = cost_rows(DIVERSE, {key: {"Minutes": m} for key, m in PAPERS.items()})
    found = [row.get("Minutes") for row in table.paper_rows]
    assert found == [*range(1, 11), None, None, None, None]


def test_untrained_source_costs_nothing():
    table = cost_rows(DIVERSE, source=TrainingCost(History(), 0.0, 0, 0))
    assert (table.rows[0]["Minutes"], table.rows[0]["Epochs"]) == (0, 0)
    total, whole = table.rows[3:5]
    np.testing.assert_array_equal(total["Minutes"].folds, whole["Minutes"].folds)


def test_notes_of_a_kind_stand_under_its_table_of_the_test_set():
    own = GroupText(3, 4, {CLASSIFICATION: "about classes", SEGMENTATION: "about masks"})
    section = scores_section(results_of(DIVERSE), own, "")
    noted = {table.title: table.note for table in section.tables}
    for kind, note in own.score_notes.items():
        (found,) = [n for title, n in noted.items() if title.startswith(f"Table 3, {kind}: ")]
        assert note in found
    assert sum("about classes" in note or "about masks" in note for note in noted.values()) == 2


def test_group_without_a_table_of_the_paper_has_none_of_its_numbers():
    tables = scores_section(results_of(DIVERSE), GroupText(), "").tables
    assert tables and not any(row for table in tables for row in table.paper_rows or [])
