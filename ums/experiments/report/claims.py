"""The section on the paper's claims: which strategy scores higher, and its headlines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ums.experiments.names import INDEPENDENT, SCRATCH, SEPARATE, SINGLE, STRATEGIES
from ums.experiments.report.page import Section
from ums.experiments.report.tables import Column, Table, formatted
from ums.experiments.report.words import LABELS, claims_counted, lowered, percent
from ums.experiments.results import paper
from ums.experiments.results.costs import GroupCosts
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.scores import Estimate
from ums.experiments.results.verdicts import Contrast, Verdict

SHARED = [arm for arm in STRATEGIES if arm != SEPARATE]


def claims_section(
    groups: Sequence[GroupResults],
    costs: Mapping[str, GroupCosts],
    claims: Sequence[paper.Claim],
    numbers: Mapping[str, tuple[int, int]],
) -> Section:
    """Each claim on each task with its verdict, and what the abstract and section 5 promise.

    Args:
        groups: What was measured.
        costs: Group -> what it took.
        claims: About which strategy scores higher.
        numbers: Group -> numbers of the paper's tables of scores and of costs.
    """
    rows = [row for claim in claims for row in _claimed(groups, claim)]
    text = (
        f"Of {len(rows)} claims, {claims_counted(verdicts_of(rows))}. A claim is that one strategy scores "
        "higher than another on a task; the baseline is the paper's, on cleaned images."
    )
    columns = [
        "The paper",
        "Task",
        "Verdict",
        "Measure",
        Column("Difference here", "{:+.3f}"),
        "Where",
    ]
    note = (
        "Mean paired difference over replicates on the test set, each task's network of its own best epoch, "
        "with the plain 95 % interval over other trainings and other patients. Negligible: the interval "
        "lies inside the margin; holds: above 0; refuted: below."
    )
    table = Table("claims", "Claims on which strategy scores higher", columns, rows, note=note)
    return Section("The paper's claims", text, [table, headline_table(groups, costs, numbers)])


def _claimed(groups: Sequence[GroupResults], claim: paper.Claim) -> list[dict[str, Any]]:
    rows = []
    for group in (g for g in groups if g.name == claim.group):
        for task in (t for t in group.tasks if t.name in claim.tasks):
            if not all(group.has(arm, task.name) for arm in (claim.better, claim.worse)):
                continue
            found = group.contrast(claim.better, claim.worse, task.name)
            compared = f"{LABELS[claim.better]} above {LABELS[claim.worse].lower()}"
            row: dict[str, Any] = {
                "The paper": compared,
                "Task": task.title,
                "Verdict": found.verdict,
            }
            row |= {"Measure": task.measure, "Difference here": _difference(found)}
            rows.append(row | {"Where": claim.source})
    return rows


def verdicts_of(rows: Sequence[Mapping[str, Any]]) -> list[Verdict]:
    """The verdicts in rows of the table of claims."""
    return [row["Verdict"] for row in rows]


def _difference(found: Contrast) -> Estimate:
    return Estimate([found.mean], *found.interval)


# ------------------------------------------------------------------------ headlines


def headline_table(
    groups: Sequence[GroupResults],
    costs: Mapping[str, GroupCosts],
    numbers: Mapping[str, tuple[int, int]],
) -> Table:
    """Accuracy up to 9 %, time down to 14 %, faster convergence: the paper's figures, and ours."""
    rows = []
    for group in groups:
        if not {INDEPENDENT, SEPARATE} <= set(group.arms):
            continue
        scores, minutes = (paper.table(number) for number in numbers.get(group.name, (0, 0)))
        rows += [_accuracy(group, scores), _time(group, costs[group.name], minutes)]
        rows += [
            _convergence(group, costs[group.name], *pair)
            for pair in ((INDEPENDENT, SEPARATE), (SINGLE, SCRATCH))
            if set(pair) <= set(group.arms)
        ]
    note = (
        "The abstract's 9 % are the accuracy of the echo's image quality, its 86 % less time the similar "
        "tasks of the chest X-ray without the source. Accuracy: the largest of several differences is "
        "large by chance as well, so their mean stands beside it. Time: that of independent heads as a "
        "share of that of separate models, with the source where the paper counts it; every arm trains "
        "for as many steps here, so that this compares the price of a step. Convergence: when the validation "
        "loss is as low as that of the other ever gets; the paper infers it from minutes."
    )
    columns = ["Claim", "Tasks", "The paper", "Here", "Beside it"]
    return Table("headlines", "The paper's headlines", columns, rows, note=note)


def _accuracy(group: GroupResults, printed: Mapping[Any, Mapping[str, float]]) -> dict[str, Any]:
    """The largest gain in accuracy of a strategy that shares over the separate models."""
    theirs = {
        key: numbers["Accuracy"] - printed[SEPARATE, key[1]]["Accuracy"]
        for key, numbers in printed.items()
        if key[0] != SEPARATE
    }
    ours = {
        (arm, task.name): group.contrast(arm, SEPARATE, task.name, "Accuracy")
        for arm in SHARED
        for task in group.tasks
        if group.has(arm, task.name)
    }
    best = max(ours, key=lambda key: ours[key].mean)

    def words(key: tuple[str, str], gain: str) -> str:
        return f"{gain} ({LABELS[key[0]].lower()}, {lowered(group.task(key[1]).title)})"

    there = max(theirs, key=lambda key: theirs[key]) if theirs else None
    mean = formatted(float(np.mean([c.mean for c in ours.values()])), "{:+.3f}")
    return {
        "Claim": "Accuracy, largest gain",
        "Tasks": group.name,
        "The paper": words(there, formatted(theirs[there], "{:+.2f}")) if there else None,
        "Here": words(best, formatted(_difference(ours[best]), "{:+.3f}")),
        "Beside it": f"mean of all {len(ours)} gains {mean}",
    }


def _time(
    group: GroupResults, costs: GroupCosts, printed: Mapping[Any, Mapping[str, float]]
) -> dict[str, Any]:
    """Minutes with the shared source as a share of those of separate models."""
    ours, theirs = (
        next((printed[row]["Minutes"] for row in rows if row in printed), None)
        for rows in (("proposed", "proposed tasks"), ("baseline", "baseline tasks"))
    )
    alone, whole = map(percent, costs.time_left)
    without = "proposed tasks" in printed
    return {
        "Claim": "Time, of separate models'",
        "Tasks": group.name,
        "The paper": percent(ours / theirs) if ours and theirs else None,
        "Here": alone if without else whole,
        "Beside it": f"{whole} with the source" if without else f"{alone} without the source",
    }


def _convergence(group: GroupResults, costs: GroupCosts, arm: str, than: str) -> dict[str, Any]:
    """How soon an arm's validation loss is as low as another's ever gets."""
    shares = np.concatenate([costs.reached(arm, task.name, than) for task in group.tasks])
    there = shares[np.isfinite(shares)]
    when = f", after {percent(float(np.median(there)))} of the steps (median)" if len(there) else ""
    return {
        "Claim": "Faster convergence",
        "Tasks": group.name,
        "The paper": "yes",
        "Here": f"{len(there)} of {len(shares)} trainings get there{when}",
        "Beside it": f"{LABELS[arm].lower()}, to the lowest loss of {LABELS[than].lower()}",
    }
