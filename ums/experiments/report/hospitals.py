"""The section across hospitals: heads of abnormality, thresholds, outlines of the lungs, and patients."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy.special import expit

from ums.experiments.names import HELD_OUT, LOGITS, STRATEGIES, TEST, VALIDATION
from ums.experiments.report.group import places
from ums.experiments.report.page import Section
from ums.experiments.report.tables import Table, formatted
from ums.experiments.report.words import LABELS, condition, contrasts_counted, listed, percent
from ums.experiments.results.groups import MARGIN, GroupResults
from ums.experiments.results.jackknife import Measured, jackknifed, weighted_auc
from ums.experiments.results.scores import Estimate
from ums.experiments.results.verdicts import Verdict
from ums.metrics.calibration import brier, calibration
from ums.metrics.operating_point import at_threshold, threshold_for
from ums.metrics.subgroups import age_groups

LUNGS, ABNORMALITY = "lungs", "abnormality"
OWN = "own head"
DERIVED = IN_LUNGS, ON_FILM, EVERYWHERE = "inside the lungs", "on the film", "everywhere"
"""Derived heads by where they pool features, as records name them."""

FEWEST = 5
"""Images of each class, for a group of patients to be scored by itself."""

FOLLOWS = {
    Verdict.HOLDS: "it helps",
    Verdict.REFUTED: "it harms",
    Verdict.NEGLIGIBLE: "it makes no difference that matters for",
    Verdict.OPEN: "it stays open whether it helps or harms",
}
"""Verdict on the head inside the lungs, less the own one -> what is said of the arms."""

Rows = list[dict[str, Any]]


def hospital_sections(group: GroupResults) -> list[Section]:
    """The section "Across hospitals"; none where no arm has derived heads."""
    if not any("derived" in runs[0] for runs in group.runs.values()):
        return []
    heads, decisions = head_table(group), decision_table(group)
    text = (
        "What is left of a task at another hospital? An arm's own head pools features over the whole image. "
        "Derived heads are logistic regressions on the same features, pooled inside the lungs (as the arm's "
        "lung network predicts them), on the film, or everywhere; the last two show what the region adds. "
        "No label of the other hospital was used to fit or to choose anything."
    )
    found = f"{findings(group, heads.rows)} {passed_on(decisions.rows)} {condition([group])}"
    tables = (heads, decisions, outline_table(group), patient_table(group))
    return [Section("Across hospitals", f"{text}\n\n{found.strip()}", [t for t in tables if t])]


def passed_on(rows: Rows) -> str:
    """What a threshold does at each hospital, on average over the arms."""
    said = []
    for name in dict.fromkeys(row["Images"] for row in rows):
        there = [row for row in rows if row["Images"] == name]
        hit, spared = (np.mean([r[m].mean for r in there]) for m in ("Sensitivity", "Specificity"))
        said.append(f"{percent(hit)} of the ill and {percent(1 - spared)} of the well at {name}")
    return f"The arms' thresholds, set at the training hospital, call abnormal on average: {'; '.join(said)}."


def findings(group: GroupResults, rows: Rows) -> str:
    """What the derived heads change at the other hospital, and what follows for the arms."""

    def differences(head: str, other: str) -> str:
        found = [row[f"Less {other}"] for row in rows if row["Features"] == head]
        low, high = (formatted(end(c.mean for c in found), "{:+.3f}") for end in (min, max))
        return f"{contrasts_counted(c.verdict for c in found)} arms ({low} to {high})"

    lungs = [(row["Arm"], row[f"Less {OWN}"]) for row in rows if row["Features"] == IN_LUNGS]
    against = "; ".join(f"{head}, it {differences(head, OWN)}" for head in DERIVED)
    named = {v: [a.lower().replace(",", "") for a, c in lungs if c.verdict is v] for v in FOLLOWS}
    patients = len(np.unique(group.patients(ABNORMALITY)))
    follows = "; ".join(f"{FOLLOWS[v]} {listed(arms)}" for v, arms in named.items() if arms)
    return (
        f"The AUC of a derived head at {group.test_name}, against the own head's: {against}. Inside the "
        f"lungs, against everywhere, it {differences(IN_LUNGS, EVERYWHERE)}. So with at most "
        f"{group.replicates} replicate{'s' * (group.replicates > 1)}, and {patients} patients, of "
        f"the head inside the lungs: {follows}. The intervals are plain; one in twenty is wrong by chance."
    )


def head_table(group: GroupResults) -> Table:
    """AUC of every head of every arm at both hospitals, and paired differences at the other one."""
    rows: Rows = []
    shown = _places(group, ABNORMALITY)
    for arm in (arm for arm in LABELS if group.has(arm, ABNORMALITY)):
        heads = (OWN, *DERIVED) if "derived" in group.runs[arm][0] else (OWN,)
        aucs = {head: {where: _auc(group, arm, where, head) for where in shown} for head in heads}
        for head, there in aucs.items():
            row: dict[str, Any] = {"Arm": LABELS[arm], "Features": head}
            row |= {f"AUC, {shown[where]}": group.estimated(auc) for where, auc in there.items()}
            for other in (other for other in (OWN, EVERYWHERE) if head not in (OWN, other)):
                row[f"Less {other}"] = group.contrasted(there[TEST], aucs[other][TEST], "AUC")
            rows.append(row)
    note = (
        "Mean over replicates ± standard deviation, with the 95 % interval over other trainings and other "
        "patients, of each task's network of its own best epoch. Less: the paired difference at "
        f"{group.test_name}; ≈ within the margin of {MARGIN:g}, ✓ above 0, ✗ below 0, ? open."
    )
    names = [f"AUC, {name}" for name in shown.values()]
    columns = ["Arm", "Features", *names, f"Less {OWN}", f"Less {EVERYWHERE}"]
    return Table("hospitals-heads", "Heads of abnormality", columns, rows, note=note)


def decision_table(group: GroupResults) -> Table:
    """Calibration of the own heads at both hospitals, and what a threshold set at one does there."""
    rows: Rows = [
        {"Arm": LABELS[arm], "Images": name, **_decided(group, arm, where)}
        for arm in (arm for arm in LABELS if group.has(arm, ABNORMALITY))
        for where, name in _places(group, ABNORMALITY).items()
    ]
    note = (
        "Own heads; mean over replicates ± standard deviation. An intercept below 0 (calibration in the "
        "large): probabilities of abnormality are too high; a slope below 1: they are too extreme. The "
        "threshold has the highest sensitivity + specificity on the validation images, all of the training "
        "hospital. –: not defined in every replicate."
    )
    title = "Calibration, and a threshold set at the training hospital"
    return Table("hospitals-decisions", title, list(rows[0]), rows, note=note)


def _decided(group: GroupResults, arm: str, where: str) -> dict[str, Estimate]:
    labels, found = group.labels(ABNORMALITY, where), []
    for record, z in zip(group.runs[arm], _log_odds(group, arm, where), strict=True):
        known = record["tasks"][ABNORMALITY][VALIDATION]
        threshold = threshold_for(np.array(known["label"]), np.diff(known[LOGITS])[:, 0])
        point = at_threshold(labels, z, threshold)
        values = (brier(labels, expit(z)), *calibration(labels, z))
        found.append((*values, point.sensitivity, point.specificity))
    names = ("Brier score", "Intercept", "Slope", "Sensitivity", "Specificity")
    columns = np.where(np.isfinite(found), found, np.nan).T
    return {name: Estimate(column) for name, column in zip(names, columns, strict=True)}


def outline_table(group: GroupResults) -> Table:
    """IoU and boundary distance of the lungs at both hospitals."""
    rows: Rows = [
        {"Arm": LABELS[arm]}
        | {
            f"{measure}, {name}": group.estimate(arm, LUNGS, measure, where)
            for where, name in _places(group, LUNGS).items()
            for measure in ("IoU", "HD95")
        }
        for arm in LABELS
        if group.has(arm, LUNGS)
    ]
    note = "HD95: the 95 % Hausdorff distance of the outlines, in pixels; lower is better."
    return Table("hospitals-outlines", "Lungs at both hospitals", list(rows[0]), rows, note=note)


def patient_table(group: GroupResults) -> Table | None:
    """AUC of the paper's arms by age and sex; None where neither is known of enough images."""
    arms = [arm for arm in STRATEGIES if group.has(arm, ABNORMALITY)]
    rows: Rows = []
    for where, name in _places(group, ABNORMALITY).items():
        known, labels = group.cases[ABNORMALITY][where], group.labels(ABNORMALITY, where)
        unknown = [-1] * len(labels)
        of_sex = np.take(["female", "male", ""], known.get("sex", unknown))
        for groups in (of_sex, age_groups(np.array(known.get("age", unknown)))):
            for member in np.unique(groups[groups != ""]).tolist():
                cases = groups == member
                well, ill = np.bincount(labels[cases], minlength=2).tolist()
                if min(well, ill) >= FEWEST:
                    row = {"Images": name, "Patients": member, "Normal": well, "Abnormal": ill}
                    aucs = {LABELS[arm]: _auc(group, arm, where, OWN, cases) for arm in arms}
                    rows.append(row | {arm: group.estimated(auc) for arm, auc in aucs.items()})
    title, note = "Abnormality by age and sex", "AUC of the own heads; age in years."
    return Table("hospitals-patients", title, list(rows[0]), rows, note=note) if rows else None


def _auc(
    group: GroupResults, arm: str, where: str, head: str, cases: Any = slice(None)
) -> Measured:
    """Of some of the cases."""
    labels, patients = group.labels(ABNORMALITY, where), group.patients(ABNORMALITY, where)
    scores = _log_odds(group, arm, where, head)[:, cases]
    return jackknifed(partial(weighted_auc, labels=labels[cases], scores=scores), patients[cases])


def _log_odds(group: GroupResults, arm: str, where: str, head: str = OWN) -> np.ndarray:
    """(R, P) log odds of abnormality by a head of each replicate."""
    if head == OWN:
        logits = group.values(arm, ABNORMALITY, LOGITS, where)
    else:
        logits = np.array([r["derived"][head][where][LOGITS] for r in group.runs[arm]], float)
    return np.asarray(logits[..., 1] - logits[..., 0])


def _places(group: GroupResults, task: str) -> dict[str, str]:
    """The training hospital first."""
    names = places(group)
    return {where: names[where] for where in (HELD_OUT, TEST) if where in group.cases[task]}
