"""The paper's claims: as its tables have them, and what our differences say of them."""

from itertools import combinations

import pytest

from ums.experiments import paper
from ums.experiments.claims import SIGNIFICANT, verdict
from ums.experiments.parts import DIVERSE, SIMILAR
from ums.experiments.protocol import STRATEGIES
from ums.experiments.report import Section, Table, Verdict
from ums.experiments.study_report import summary_lines

TABLES = {
    "cxr": {DIVERSE: ("Table 3", paper.TABLE_3), SIMILAR: ("Table 5", paper.TABLE_5)},
    "echo": {DIVERSE: ("Table 7", paper.TABLE_7), SIMILAR: ("Table 9", paper.TABLE_9)},
}
CLAIMS = {"cxr": paper.CXR_CLAIMS, "echo": paper.ECHO_CLAIMS}
CLAIMED = [
    (m, claim, task) for m, claims in CLAIMS.items() for claim in claims for task in claim.tasks
]


@pytest.mark.parametrize(
    ("differences", "p", "says"),
    [
        ((0.1, 0.2, 0.01), 0.01, Verdict.HOLDS),
        ((-0.1, -0.2, -0.01), 0.01, Verdict.FAILS),
        ((0.1, -0.001), 0.001, Verdict.OPEN),  # another training may turn it
        ((0.1, 0.0), 0.001, Verdict.OPEN),
        ((0.0, -0.1), 0.001, Verdict.OPEN),
        ((0.3, 0.2), SIGNIFICANT, Verdict.OPEN),
        ((0.3, 0.2), 0.0499, Verdict.HOLDS),
        ((-0.3, -0.2), 1.0, Verdict.OPEN),
        ((0.0, 0.0), 1.0, Verdict.OPEN),
        ((0.0, 0.0), 0.01, Verdict.OPEN),
        ((0.1, 0.2), float("nan"), Verdict.OPEN),
    ],
)
def test_verdict_takes_a_small_p_and_folds_that_agree(differences, p, says):
    assert verdict(differences, p) is says


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
    assert "2 hold here, 1 do not, and 4 cannot" in line
