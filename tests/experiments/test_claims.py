"""The paper's claims: as its tables have them, and what our differences say of them."""

import pytest

from ums.experiments import paper
from ums.experiments.claims import SIGNIFICANT, verdict
from ums.experiments.cxr_sets import ABNORMALITY, DIVERSE, LUNGS, PAIRS, SIMILAR
from ums.experiments.paper import CXR_CLAIMS
from ums.experiments.protocol import STRATEGIES
from ums.experiments.report import Verdict

TABLES = {DIVERSE: paper.TABLE_3, SIMILAR: paper.TABLE_5}
CLAIMED = [(claim, task) for claim in CXR_CLAIMS for task in claim.tasks]


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


def main_measure(task):
    """The paper's figure that stands for a task."""
    return "Two-class IoU" if task == LUNGS else "MCC"


@pytest.mark.parametrize(
    ("claim", "task"), CLAIMED, ids=[f"{c.better} {c.worse} {t}" for c, t in CLAIMED]
)
def test_claims_order_the_strategies_as_the_papers_tables_do(claim, task):
    table, measure = TABLES[claim.part], main_measure(task)
    better, worse = (table[s, task][measure] for s in (claim.better, claim.worse))
    assert better > worse


def test_every_pair_of_strategies_is_claimed_once_for_every_task():
    tasks = {DIVERSE: (LUNGS, ABNORMALITY), SIMILAR: tuple("-".join(pair) for pair in PAIRS)}
    found = [(c.part, task, frozenset((c.better, c.worse))) for c, task in CLAIMED]
    assert len(set(found)) == len(found)
    expected = {
        (part, task, frozenset((a, b)))
        for part, names in tasks.items()
        for task in names
        for a in STRATEGIES
        for b in STRATEGIES
        if a != b
    }
    assert set(found) == expected


def test_claims_name_their_table():
    assert all(
        c.source.startswith({DIVERSE: "Table 3", SIMILAR: "Table 5"}[c.part]) for c in CXR_CLAIMS
    )
