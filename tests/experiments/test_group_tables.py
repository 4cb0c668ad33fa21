"""Tables of a group of tasks from records that are made up, against sums by hand."""

import numpy as np
import pytest
from made_records import (
    ABOUT,
    CASES_OF,
    SHARED,
    SOURCE_HISTORY,
    SOURCE_PARAMETERS,
    TASKS,
    UPDATES,
    jobs_of,
    results_of,
    study_of,
)

from ums.experiments.arms import ARMS, Arm
from ums.experiments.jobs import SOURCE
from ums.experiments.names import (
    CLASSIFICATION,
    DIVERSE,
    HELD_OUT,
    SEGMENTATION,
    SIMILAR,
    STRATEGIES,
    TEST,
)
from ums.experiments.report import cxr, echo, plain_page, words
from ums.experiments.report.group import (
    arm_cost_table,
    one_encoder_table,
    overview_table,
    paper_cost_table,
    places,
    score_table,
)
from ums.experiments.report.sections import (
    GroupText,
    PageText,
    build,
    cost_section,
    costs_of,
    provenance,
    run_information,
    scores_section,
    training_section,
)
from ums.experiments.report.words import LABELS
from ums.experiments.results.costs import GroupCosts, TrainingCost
from ums.experiments.results.groups import GroupResults
from ums.training import History

EACH_GROUP = pytest.mark.parametrize("name", [DIVERSE, SIMILAR])
NUMBER = {arm: number for number, arm in enumerate(ARMS)}


# ---------------------------------------------------------------------------- words


def test_every_arm_has_a_name_and_an_explanation():
    assert set(words.ARMS) == set(ARMS) and len(set(LABELS.values())) == len(ARMS)


def test_arms_that_cost_the_source_are_those_that_start_from_it():
    whole: list[Arm] = [arm for arm in ARMS.values() if arm.from_source and not arm.shuffled]
    assert set(words.FROM_SOURCE) == {a.name for a in whole} - {"source-head"}


# ---------------------------------------------------------------------------- scores


@pytest.mark.parametrize(("name", "where"), [(DIVERSE, TEST), (DIVERSE, HELD_OUT), (SIMILAR, TEST)])
def test_overview_has_arms_in_rows_and_each_task_in_its_own_measure(name, where):
    results = results_of(name)
    table = overview_table(results, where, "somewhere")
    assert [row["Arm"] for row in table.rows] == [LABELS[arm] for arm in STRATEGIES]
    for row, arm in zip(table.rows, STRATEGIES, strict=True):
        for task in results.tasks:
            expected = results.estimate(arm, task.name, "", where)
            assert row[f"{task.title}, {task.measure}"] == expected
    assert f"{results.tasks[0].title}: {CASES_OF[where]}" in table.note


def test_images_put_aside_have_a_table_where_there_are_some():
    assert places(results_of(DIVERSE)) == {TEST: "a test set", HELD_OUT: "images put aside"}
    assert places(results_of(SIMILAR)) == {TEST: "a test set"}


@EACH_GROUP
def test_score_table_has_all_measures_of_each_task_and_arm(name):
    results = results_of(name)
    table = score_table(results, CLASSIFICATION, ("a", "A"), {("joint", "x"): {}}, "")
    tasks = [task for task in results.tasks if task.kind == CLASSIFICATION]
    rows = iter(table.rows)
    for task, arm in ((task, arm) for task in tasks for arm in STRATEGIES):
        row = next(rows)
        assert row["Arm"] == LABELS[arm] and row.get("Task", task.title) == task.title
        assert row["AUC"] == results.estimate(arm, task.name, "AUC")
    assert next(rows, None) is None


def test_papers_numbers_stand_beside_their_task_and_arm():
    paper = {("joint", "viral-normal"): {"MCC": 0.92, "Accuracy": 0.97}}
    table = score_table(results_of(SIMILAR), CLASSIFICATION, ("a", "A"), paper, "")
    pairs = zip(table.rows, table.paper_rows, strict=True)
    ((ours, theirs),) = [(ours, theirs) for ours, theirs in pairs if theirs]
    assert ours["Arm"] == "Joint" and ours["Task"] == "Viral vs normal"
    assert theirs == paper["joint", "viral-normal"]


def test_one_encoder_stands_beside_the_main_line_for_arms_tuned_together():
    results = results_of(DIVERSE)
    table = one_encoder_table(results)
    assert [(row["Arm"], row["Task"]) for row in table.rows] == [
        (label, task.title) for label in ("Alternating", "Joint") for task in results.tasks
    ]
    row = table.rows[2]
    assert row["Own epoch"] == results.estimate("joint", "lungs")
    difference = np.subtract(row["One encoder"].values, row["Own epoch"].values)
    assert row["Difference"].mean == pytest.approx(difference.mean())
    assert one_encoder_table(results_of(DIVERSE, arms=("single", "scratch"))) is None


def test_notes_of_a_kind_stand_under_its_table():
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


@pytest.mark.parametrize(("overlap", "said"), [(0.0, False), (0.25, True), (1.0, True)])
def test_scores_say_that_they_are_conditional_where_replicates_share_patients(overlap, said):
    text = scores_section(results_of(SIMILAR, overlap=overlap), GroupText(), "").text
    assert ("conditional on these patients" in text) == said
    assert ("25 % of their images" in text) == (overlap == 0.25)
    assert ("corrected" in text) == (overlap == 0.25)


# ---------------------------------------------------------------------------- cost

SOURCE_COST = TrainingCost(SOURCE_HISTORY, 600.0, SOURCE_PARAMETERS, 0)


def group_costs(name, source=SOURCE_COST, denoiser=True, arms=STRATEGIES):
    titles = {task: title for task, (title, _) in TASKS[name].items()}
    return GroupCosts(titles, results_of(name, arms=arms).costs, [source], denoiser)


def cost_rows(name, paper=None, **how):
    return paper_cost_table(group_costs(name, **how), "cost", "Cost", paper or {}, "denoising", "")


@EACH_GROUP
def test_totals_of_the_cost_table_are_sums_of_its_parts(name):
    table, n = cost_rows(name), len(TASKS[name])
    for approach, arm in (("Proposed", "independent"), ("Baseline", "separate")):
        rows = [row for row in table.rows if row["Approach"] == approach]
        first, tasks, total, whole = rows[0], rows[1 : 1 + n], rows[-2], rows[-1]
        assert len(rows) == n + 3
        assert first["Minutes"] == 10 and first["Trainable parameters"] == SOURCE_PARAMETERS
        minutes = [
            1.5 * (10 * NUMBER[arm] + t + 1) for t in range(n)
        ]  # of a replicate and one of twice that
        assert [row["Minutes"] for row in tasks] == minutes
        assert total["Minutes"] == sum(minutes) and whole["Minutes"] == 10 + sum(minutes)
        parameters = [100 * (NUMBER[arm] + 1) + t for t in range(n)]
        assert [row["Trainable parameters"] for row in tasks] == parameters
        assert total["Trainable parameters"] == sum(parameters)
        assert whole["Trainable parameters"] == sum(parameters) + SOURCE_PARAMETERS


def test_baseline_without_a_denoiser_is_its_models_alone():
    rows = [row for row in cost_rows(DIVERSE, denoiser=False).rows if row["Approach"] == "Baseline"]
    assert [row["Part"] for row in rows] == [
        "Lung segmentation model", "Abnormality model", "All models",
    ]  # fmt: skip


PAPERS = {
    "source": 1, ("independent", "lungs"): 2, ("independent", "abnormality"): 3,
    "proposed tasks": 4, "proposed": 5, "denoiser": 6, ("separate", "lungs"): 7,
    ("separate", "abnormality"): 8, "baseline tasks": 9, "baseline": 10,
}  # fmt: skip


def test_papers_costs_stand_beside_their_own_rows():
    table = cost_rows(DIVERSE, {key: {"Minutes": m} for key, m in PAPERS.items()})
    assert [row.get("Minutes") for row in table.paper_rows] == list(range(1, 11))


@pytest.mark.parametrize(
    ("arm", "source", "moves"),
    [("joint", True, True), ("scratch", False, False), ("separate", True, False)],
)
def test_arms_have_their_minutes_updates_and_parameters(arm, source, moves):
    """Lungs and abnormality take 10 n + 1 and 10 n + 2 minutes in the first replicate."""
    results = results_of(DIVERSE, arms=("joint", "scratch", "separate"))
    costs, n = group_costs(DIVERSE, arms=results.arms), NUMBER[arm]
    (row,) = (r for r in arm_cost_table(results, costs).rows if r["Arm"] == LABELS[arm])
    minutes = 1.5 * (20 * n + 3)
    assert row["Minutes"] == minutes
    assert row["With the source"] == (minutes + 10 if source else None)
    assert row["Encoder updates"] == UPDATES + n
    assert row["Trainable parameters"] == 200 * (n + 1) + 1 + SHARED * moves


def test_baseline_without_a_denoiser_needs_no_source():
    results = results_of(DIVERSE)
    rows = arm_cost_table(results, group_costs(DIVERSE, denoiser=False)).rows
    (row,) = (r for r in rows if r["Arm"] == LABELS["separate"])
    assert row["With the source"] is None


def test_cost_without_the_papers_arms_is_that_of_each_arm():
    arms = ("single", "scratch")
    study = study_of({"": jobs_of(DIVERSE, arms)})
    results = results_of(DIVERSE, arms=arms)
    section = cost_section(study, results, costs_of(study, results), GroupText(3, 4), "")
    assert [table.name for table in section.tables] == ["diverse-arms"] and not section.figures


# ---------------------------------------------------------------------------- training


def test_curves_are_those_of_the_papers_arms_and_of_one_task_alone(monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        "ums.experiments.report.sections.training_curves", lambda h, name: drawn.update(h)
    )
    training_section(results_of(DIVERSE, arms=("joint", "joint-scratch", "single"), replicates=6))
    assert list(drawn) == [
        f"{arm}: {title}" for arm in ("Joint", "Single") for title, _ in TASKS[DIVERSE].values()
    ]
    assert [len(runs) for runs in drawn.values()] == [5] * 4


def with_cosines(cosines):
    """Joint tuning with cosines of the lungs' gradients; results of it."""
    jobs = jobs_of(DIVERSE, ("joint",))
    for job, record in jobs.items():
        if job.arm:
            record["tasks"]["lungs"]["history"] = History([1.0], [1.0], cosines=cosines).to_dict()
    study = study_of({"": jobs})
    return GroupResults(study.parts[""], DIVERSE)


@pytest.mark.parametrize(
    ("cosines", "pairs"),
    [
        ({"abnormality": [0.25]}, ["Lung segmentation and abnormality"]),
        (
            {"abnormality": [0.25], "lungs": [0.5]},
            ["Lung segmentation, two batches", "Lung segmentation and abnormality"],
        ),
        ({}, []),
    ],
)
def test_cosines_are_shown_with_their_ceiling_where_it_was_recorded(cosines, pairs, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        "ums.experiments.report.sections.cosine_curves", lambda c, name: drawn.update(c)
    )
    text = training_section(with_cosines(cosines)).text
    assert list(drawn) == pairs
    assert ("nearly orthogonal from noise" in text) == bool(pairs)


# ---------------------------------------------------------------------------- the page


def test_images_are_described_in_the_run_and_beside_their_figures():
    study = study_of({"": jobs_of(DIVERSE)})
    run, beside = run_information(study), provenance(study, results_of(DIVERSE))
    assert beside == "Images: hospital B: 40 images; 16 x 16, grey."
    assert run["Diverse tasks, test set"] == ABOUT["data"]["Diverse tasks, test set"]


@pytest.mark.parametrize("page", [cxr.build, echo.build, plain_page])
def test_page_of_arms_that_need_no_source_has_none(page):
    jobs = jobs_of(DIVERSE, ("scratch", "joint-scratch"))
    study = study_of({"": {job: record for job, record in jobs.items() if job.kind != SOURCE}})
    titles = [section.title for section in page(study).sections]
    assert titles[0] == "When does sharing pay?" and not any("source" in t.lower() for t in titles)


@EACH_GROUP
@pytest.mark.parametrize("arms", [tuple(ARMS)[:9], ("single", "joint"), ("independent",)])
def test_page_is_made_of_whatever_arms_there_are(name, arms):
    study = study_of({"": jobs_of(name, arms)})
    report = build(study, PageText("T", "S", "seen"), None)
    assert report.html() and len({table.name for table in report.tables}) == len(report.tables)
    assert (report.sections[0].title == "When does sharing pay?") == (len(arms) > 1)
