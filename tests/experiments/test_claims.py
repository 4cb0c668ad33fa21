"""The paper's claims: as its tables have them, and what our differences say of them."""

from itertools import combinations

import numpy as np
import pytest

from ums.experiments.report.page import Section
from ums.experiments.report.sections import summary_lines
from ums.experiments.report.tables import Table
from ums.experiments.results import paper, scores
from ums.experiments.results.claims import SIGNIFICANT, Verdict, verdict
from ums.experiments.runner import STRATEGIES
from ums.experiments.tasks import DIVERSE, SIMILAR

TABLES = {
    "cxr": {DIVERSE: ("Table 3", paper.TABLE_3), SIMILAR: ("Table 5", paper.TABLE_5)},
    "echo": {DIVERSE: ("Table 7", paper.TABLE_7), SIMILAR: ("Table 9", paper.TABLE_9)},
}
CLAIMS = {"cxr": paper.CXR_CLAIMS, "echo": paper.ECHO_CLAIMS}
CLAIMED = [
    (m, claim, task) for m, claims in CLAIMS.items() for claim in claims for task in claim.tasks
]


@pytest.mark.parametrize(
    ("differences", "tested", "p", "says"),
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
def test_verdict_takes_a_small_p_and_folds_that_agree_with_the_test(differences, tested, p, says):
    assert verdict(differences, tested, p) is says


def test_better_mcc_with_significantly_fewer_right_answers_does_not_hold():
    """Of 90 abnormal and 10 normal, one is right about 60 and 10, the other about 90 and none."""
    labels, rng = np.repeat([1, 0], [90, 10]), np.random.default_rng(0)
    both = []
    for right in ((60, 10), (90, 0)):
        said = np.concatenate([np.arange(90) < right[0], np.arange(10) >= right[1]])
        logits = 4.0 * np.stack([~said, said], axis=1)
        both.append(scores.tested_once(np.arange(100), labels, logits))
    one, other = (tested.estimate("MCC", rng).mean for tested in both)
    found = scores.compare(*both, "MCC", rng)
    assert one > other and found.p_value < SIGNIFICANT and found.tested == 70 - 90
    assert verdict([one - other], found.tested, found.p_value) is Verdict.OPEN


def main_figure(modality, part, strategy, task):
    """The paper's figure that stands for a task."""
    figures = TABLES[modality][part][1][strategy, task]
    return figures.get("MCC", figures.get("Two-class IoU"))


@pytest.mark.parametrize(
    ("modality", "claim", "task"),
    CLAIMED,
    ids=[f"{m} {c.better} {c.worse} {t}" for m, c, t in CLAIMED],
)
def test_claims_order_the_strategies_as_the_papers_tables_do(modality, claim, task):
    better, worse = (
        main_figure(modality, claim.part, s, task) for s in (claim.better, claim.worse)
    )
    assert better > worse


@pytest.mark.parametrize("modality", CLAIMS)
def test_every_pair_of_strategies_that_differ_is_claimed_once_for_every_task(modality):
    found = [(c.part, t, frozenset((c.better, c.worse))) for m, c, t in CLAIMED if m == modality]
    assert len(set(found)) == len(found)
    expected = {
        (part, task, frozenset((a, b)))
        for part, (_, table) in TABLES[modality].items()
        for task in {task for _, task in table}
        for a, b in combinations(STRATEGIES, 2)
        if main_figure(modality, part, a, task) != main_figure(modality, part, b, task)
    }
    assert set(found) == expected


@pytest.mark.parametrize("modality", CLAIMS)
def test_claims_name_their_table(modality):
    for claim in CLAIMS[modality]:
        assert claim.source.startswith(TABLES[modality][claim.part][0])


def test_summary_counts_what_holds_what_does_not_and_what_is_open():
    here = [Verdict.OPEN] * 4 + [Verdict.HOLDS] * 2 + [Verdict.FAILS]
    table = Table("claims", "", ["Here"], [{"Here": each} for each in here])
    (line,) = summary_lines([], {}, Section("", "", [table]))
    assert "2 hold here, 1 do not, and 4 are not" in line
