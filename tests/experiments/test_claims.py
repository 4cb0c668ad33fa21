"""The paper's claims: as its tables have them, and the verdicts of our differences on them."""

from itertools import combinations

import numpy as np
import pytest
from ums.experiments.results.claims import SIGNIFICANT, Verdict, verdict

from ums.experiments.names import DIVERSE, SIMILAR, STRATEGIES
from ums.experiments.report import cxr, echo
from ums.experiments.report.page import Section
from ums.experiments.report.sections import summary_lines
from ums.experiments.report.tables import Table
from ums.experiments.results import paper, scores

TABLES = {"cxr": {DIVERSE: 3, SIMILAR: 5}, "echo": {DIVERSE: 7, SIMILAR: 9}}
CLAIMS = {study: paper.claims(study) for study in TABLES}
CLAIMED = [
    (m, claim, task) for m, claims in CLAIMS.items() for claim in claims for task in claim.tasks
]


@pytest.mark.parametrize(
    ("differences", "statistic", "p", "expected"),
    [
        ((0.1, 0.2, 0.01), 5, 0.01, Verdict.HOLDS),
        ((-0.1, -0.2, -0.01), -5, 0.01, Verdict.FAILS),
        ((0.1, -0.001), 5, 0.001, Verdict.OPEN),  # another training may turn it
        ((0.1, 0.0), 5, 0.001, Verdict.OPEN),
        ((0.0, -0.1), -5, 0.001, Verdict.OPEN),
        ((0.3, 0.2), 5, SIGNIFICANT, Verdict.OPEN),
        ((0.3, 0.2), 5, 0.0499, Verdict.HOLDS),
        ((-0.3, -0.2), -5, 1.0, Verdict.OPEN),
        ((0.0, 0.0), 0, 1.0, Verdict.OPEN),
        ((0.0, 0.0), 0, 0.01, Verdict.OPEN),
        ((0.1, 0.2), 5, float("nan"), Verdict.OPEN),
        ((0.1, 0.2), -5, 0.001, Verdict.OPEN),  # the better MCC has fewer right answers
        ((-0.1, -0.2), 5, 0.001, Verdict.OPEN),
    ],
)
def test_verdict_takes_a_small_p_and_folds_that_agree_with_the_test(
    differences, statistic, p, expected
):
    assert verdict(differences, statistic, p) is expected


def test_better_mcc_with_significantly_fewer_right_answers_does_not_hold():
    """Of 90 abnormal and 10 normal, one is right about 60 and 10, the other about 90 and none."""
    labels, rng = np.repeat([1, 0], [90, 10]), np.random.default_rng(0)
    both = []
    for right in ((60, 10), (90, 0)):
        predicted = np.concatenate([np.arange(90) < right[0], np.arange(10) >= right[1]])
        logits = 4.0 * np.stack([~predicted, predicted], axis=1)
        both.append(scores.single_network(np.arange(100), labels, logits))
    one, other = (scored.estimate("MCC", rng).mean for scored in both)
    found = scores.compare_cases(*both, "MCC", rng)
    assert one > other and found.p_value < SIGNIFICANT and found.statistic == 70 - 90
    assert verdict([one - other], found.statistic, found.p_value) is Verdict.OPEN


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


def test_summary_counts_what_holds_what_does_not_and_what_is_open():
    here = [Verdict.OPEN] * 4 + [Verdict.HOLDS] * 2 + [Verdict.FAILS]
    table = Table("claims", "", ["Here"], [{"Here": each} for each in here])
    (line,) = summary_lines([], {}, [Section("", "", [table])])
    assert "2 hold here, 1 do not, and 4 are not" in line


def test_page_without_the_papers_claims_counts_none():
    assert summary_lines([], {}, []) == []


@pytest.mark.parametrize(
    ("text", "diverse", "similar"), [(cxr.TEXT, (3, 4), (5, 6)), (echo.TEXT, (7, 8), (9, 10))]
)
def test_scores_and_costs_stand_beside_the_papers_tables_of_their_group(text, diverse, similar):
    numbers = {name: (own.score_table, own.cost_table) for name, own in text.groups.items()}
    assert numbers == {DIVERSE: diverse, SIMILAR: similar}
    study = "cxr" if text is cxr.TEXT else "echo"
    assert text.claims == paper.claims(study)
