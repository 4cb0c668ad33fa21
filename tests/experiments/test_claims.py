"""The paper's claims: as its tables have them, and the verdicts of our differences on them."""

from itertools import combinations

import numpy as np
import pytest
from made_records import SOURCE_HISTORY, results_of

from ums.experiments.names import DIVERSE, SIMILAR, STRATEGIES
from ums.experiments.report import cxr, echo
from ums.experiments.report.claims import claims_section, verdicts_of
from ums.experiments.report.tables import formatted
from ums.experiments.report.words import claims_counted
from ums.experiments.results import paper
from ums.experiments.results.costs import GroupCosts, TrainingCost
from ums.experiments.results.verdicts import Verdict

TABLES = {"cxr": {DIVERSE: 3, SIMILAR: 5}, "echo": {DIVERSE: 7, SIMILAR: 9}}
CLAIMS = {study: paper.claims(study) for study in TABLES}
CLAIMED = [
    (m, claim, task) for m, claims in CLAIMS.items() for claim in claims for task in claim.tasks
]


def main_number(study, group, strategy, task):
    """The paper's number that stands for a task."""
    numbers = paper.table(TABLES[study][group])[strategy, task]
    return numbers.get("MCC", numbers.get("Two-class IoU"))


@pytest.mark.parametrize(
    ("study", "claim", "task"),
    CLAIMED,
    ids=[f"{m} {c.better} {c.worse} {t}" for m, c, t in CLAIMED],
)
def test_claims_order_the_strategies_as_the_papers_tables_do(study, claim, task):
    better, worse = (main_number(study, claim.group, s, task) for s in (claim.better, claim.worse))
    assert better > worse


@pytest.mark.parametrize("study", CLAIMS)
def test_every_pair_of_strategies_that_differ_is_claimed_once_for_every_task(study):
    found = [(c.group, t, frozenset((c.better, c.worse))) for m, c, t in CLAIMED if m == study]
    assert len(set(found)) == len(found)
    expected = {
        (group, task, frozenset((a, b)))
        for group, number in TABLES[study].items()
        for task in {task for _, task in paper.table(number)}
        for a, b in combinations(STRATEGIES, 2)
        if main_number(study, group, a, task) != main_number(study, group, b, task)
    }
    assert set(found) == expected


@pytest.mark.parametrize("study", CLAIMS)
def test_claims_name_their_table(study):
    for claim in paper.claims(study):
        assert claim.source.startswith(f"Table {TABLES[study][claim.group]}")


@pytest.mark.parametrize(
    ("number", "row", "column", "printed"),
    [
        (3, ("independent", "lungs"), "Two-class IoU", 0.98),
        (3, ("separate", "abnormality"), "MCC", 0.60),
        (4, "source", "Minutes", 302.2),
        (4, ("separate", "abnormality"), "Trainable parameters", 1573506),
        (5, ("joint", "viral-normal"), "F-score", 0.94),
        (6, "baseline tasks", "Minutes", 34.15),
        (7, ("alternating", "flow"), "Accuracy", 0.91),
        (8, "proposed", "Trainable parameters", 1838042),
        (9, ("joint", "MA-TR"), "MCC", 0.95),
        (10, "source", "Minutes", 28.19),
    ],
)
def test_papers_numbers_are_read_as_they_are_printed(number, row, column, printed):
    assert paper.table(number)[row][column] == printed


def test_papers_denoising_is_by_noise_level():
    rows = paper.denoising()
    assert [row["PSNR"] for row in rows] == [39.05, 35.38, 32.75, 30.54, 28.35, 33.37]
    assert rows[0] == {"PSNR": 39.05, "SSIM": 0.96, "MS-SSIM": 0.99}


@pytest.mark.parametrize(
    ("number", "total", "parts"),
    [
        (4, "proposed", ("source", "independent")),
        (4, "baseline", ("denoiser", "separate")),
        (6, "proposed tasks", ("independent",)),
        (6, "baseline tasks", ("separate",)),
        (8, "proposed", ("source", "independent")),
        (8, "baseline tasks", ("separate",)),
        (10, "proposed", ("source", "independent")),
        (10, "baseline tasks", ("separate",)),
    ],
)
def test_papers_totals_are_the_sums_of_its_rows(number, total, parts):
    rows = paper.table(number)
    added = [rows[row] for row in rows if row in parts or row[0] in parts]
    for column, printed in rows[total].items():
        assert sum(row[column] for row in added) == pytest.approx(printed)


@pytest.mark.parametrize("study", TABLES)
@pytest.mark.parametrize("group", [DIVERSE, SIMILAR])
def test_paper_has_three_scores_of_every_strategy_on_every_task(study, group):
    table = paper.table(TABLES[study][group])
    tasks = {task for _, task in table}
    assert set(table) == {(arm, task) for arm in STRATEGIES for task in tasks}
    for numbers in table.values():
        assert {"Accuracy", "F-score"} < set(numbers) and len(numbers) == 3


NUMBERS = {DIVERSE: (3, 4), SIMILAR: (5, 6)}


def claimed(**how):
    """The section on the claims about made-up records."""
    groups = [results_of(name, **how) for name in (DIVERSE, SIMILAR)]
    source = TrainingCost(SOURCE_HISTORY, 600.0, 1700, 0)
    costs = {
        g.name: GroupCosts({t.name: t.title for t in g.tasks}, g.costs, [source], True)
        for g in groups
    }
    return claims_section(groups, costs, CLAIMS["cxr"], NUMBERS)


def test_every_claim_has_a_row_with_its_plain_contrast():
    rows = claimed(replicates=8).tables[0].rows
    assert len(rows) == 30
    row = next(r for r in rows if r["The paper"] == "Joint above independent")
    contrast = results_of(SIMILAR, replicates=8).contrast(
        "joint", "independent", "bacterial-normal"
    )
    assert row["Verdict"] is contrast.verdict and row["Difference here"].mean == contrast.mean
    assert (row["Difference here"].low, row["Difference here"].high) == contrast.both
    assert contrast.both != contrast.trainings


def test_claims_are_decided_by_what_was_measured():
    """An arm that is right about every case is above all others, and two such arms are alike."""
    section = claimed(perfect=("joint", "alternating"), replicates=12)
    rows = [row for row in section.tables[0].rows if row["Measure"] == "MCC"]
    verdicts = {row["The paper"]: row["Verdict"] for row in rows}
    assert verdicts["Joint above alternating"] is Verdict.NEGLIGIBLE
    assert verdicts["Joint above separate (baseline)"] is Verdict.HOLDS
    assert verdicts["Independent above joint"] is Verdict.REFUTED
    assert section.text.startswith(
        f"Of 30 claims, {claims_counted(verdicts_of(section.tables[0].rows))}"
    )


def test_claims_about_arms_that_were_not_run_are_left_out():
    compared = {row["The paper"] for row in claimed(arms=STRATEGIES[:2]).tables[0].rows}
    assert compared == {"Independent above alternating", "Alternating above independent"}


def test_headlines_have_the_papers_figures_beside_ours():
    rows = claimed().tables[1].rows
    accuracy = [row for row in rows if row["Claim"].startswith("Accuracy")]
    assert [row["The paper"] for row in accuracy] == [
        "+0.06 (independent, abnormality)", "+0.04 (joint, viral vs normal)",
    ]  # fmt: skip
    group = results_of(DIVERSE)
    gains = [
        group.contrast(arm, "separate", task.name, "Accuracy").mean
        for arm in STRATEGIES[:3]
        for task in group.tasks
    ]
    assert accuracy[0]["Here"].startswith(formatted(max(gains), "{:+.3f}"))
    assert accuracy[0]["Beside it"] == f"mean of all 6 gains {formatted(np.mean(gains), '{:+.3f}')}"


def test_headline_of_time_counts_the_source_where_the_paper_does():
    """Minutes of made-up arms: independent is number 6, separate number 0, and the source takes 10."""
    diverse, similar = (r for r in claimed().tables[1].rows if r["Claim"].startswith("Time"))
    whole = (1.5 * (61 + 62) + 10) / (1.5 * (1 + 2) + 10)
    assert (diverse["The paper"], diverse["Here"]) == ("68 %", f"{100 * whole:.0f} %")
    assert (similar["The paper"], similar["Here"]) == ("14 %", f"{100 * (61 + 62 + 63) / 6:.0f} %")


def test_headline_of_convergence_counts_trainings():
    """All made-up losses get as low as 1, in the first replicate after all epochs, then after one."""
    row = next(r for r in claimed().tables[1].rows if r["Claim"].startswith("Faster"))
    assert row["Here"] == "4 of 4 trainings get there, after 67 % of the steps (median)"


@pytest.mark.parametrize(
    ("text", "diverse", "similar"), [(cxr.TEXT, (3, 4), (5, 6)), (echo.TEXT, (7, 8), (9, 10))]
)
def test_scores_and_costs_stand_beside_the_papers_tables_of_their_group(text, diverse, similar):
    numbers = {name: (own.score_table, own.cost_table) for name, own in text.groups.items()}
    assert numbers == {DIVERSE: diverse, SIMILAR: similar}
    study = "cxr" if text is cxr.TEXT else "echo"
    assert text.claims == paper.claims(study)
