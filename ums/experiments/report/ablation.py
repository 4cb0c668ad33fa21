"""The ablations' page: where sharing pays, and each question's tables and folds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ums.experiments.ablation_list import ABLATIONS, UNCHANGED, Ablation
from ums.experiments.names import CLASSIFICATION, HELD_OUT, SEPARATE, TEST
from ums.experiments.report.group import BY_PATIENT, LABELS, lowered
from ums.experiments.report.page import Report, Section
from ums.experiments.report.plots import fold_dots
from ums.experiments.report.sections import run_information
from ums.experiments.report.tables import Column, Table, formatted, formatted_p
from ums.experiments.results.claims import Verdict, verdict
from ums.experiments.results.groups import GroupResults, TaskInfo
from ums.experiments.results.records import StudyRecords
from ums.experiments.results.scores import compare_cases
from ums.metrics.significance import holm

AGAINST = "against separate models"
BETTER, WORSE, OPEN = Verdict.HOLDS, Verdict.FAILS, Verdict.OPEN

Tried = Sequence[tuple[Ablation, dict[str, GroupResults]]]
"""Each ablation, and the label of each of its variants -> results of the arms it concerns."""


def build(study: StudyRecords) -> Report:
    """The whole page."""
    seed, (group,) = study.about["seed"], study.parts[""].groups
    results = {part: GroupResults(records, group, seed) for part, records in study.parts.items()}
    tried = [
        (one, {v.label: results[f"{one.name}: {v.label}"] for v in one.variants})
        for one in ABLATIONS
        if one.name in study.about["ablations"]
    ]
    first, summary = overview(results[""], tried, seed)
    return Report(
        title="What it takes for sharing to pay",
        subtitle="Lung segmentation and abnormality, one thing changed at a time.",
        summary=summary,
        sections=[first, *(section(one, results[""], changed, seed) for one, changed in tried)],
        run=run_information(study),
    )


def overview(base: GroupResults, tried: Tried, seed: int) -> tuple[Section, list[str]]:
    """Every strategy under every change against separate models: a table for each task, and sentences.

    ``base`` is the study as it is, with all strategies; ``seed`` is that of the sign-flip tests.
    """
    rows = [("As it is", "", base)]
    rows += [(one.title, label, r) for one, changed in tried for label, r in changed.items()]
    rng = np.random.default_rng([seed, 12])
    tables = [_against_separate(task, base, rows, rng) for task in base.tasks]
    pairs = zip(tables, base.tasks, strict=True)
    summary = [_in_words(table, task, base.test_name) for table, task in pairs]
    text = (
        "One thing is changed in each row. The sections below show what a change does to a strategy; "
        "here every strategy that shares is compared with separate models, changed alike where the change "
        "concerns them, otherwise as in the study."
    )
    return Section("Where sharing pays", text, [*tables]), summary


def _against_separate(
    task: TaskInfo,
    base: GroupResults,
    variants: list[tuple[str, str, GroupResults]],
    rng: np.random.Generator,
) -> Table:
    rows: list[dict[str, Any]] = []
    compared = []
    for title, label, results in variants:
        rows.append({"Changed": title, "To": label})
        own = results if SEPARATE in results.arms else base
        for arm in results.arms:
            cell: dict[str, Any] = {"mean": results.mean(arm, TEST, task)}
            rows[-1][LABELS[arm]] = cell
            if arm != SEPARATE:
                pair = results.scores[arm, TEST, task.name], own.scores[SEPARATE, TEST, task.name]
                folds = np.subtract(results.folds(arm, task), own.folds(SEPARATE, task))
                compared.append((cell, folds.tolist(), compare_cases(*pair, task.measure, rng)))
    corrected = holm([test.p_value for *_, test in compared])
    for (cell, folds, test), p in zip(compared, corrected, strict=True):
        cell[AGAINST] = verdict(folds, test.statistic, p)
    columns = ["Changed", "To", *(Column(label, _marked) for label in LABELS.values())]
    about = "; the tests are about right answers" if task.kind == CLASSIFICATION else ""
    note = (
        f"{task.measure}, mean over folds on {base.test_name}{about}. {BETTER.mark} above separate models, "
        f"{WORSE.mark} below them: significant at 0.05 after Holm's correction over this table, and of one "
        f"sign in all folds and in the test. {OPEN.mark} not distinguishable. A dash: not tried."
    )
    return Table(f"sharing-{task.name}", task.title, columns, rows, note=note)


def _marked(cell: dict[str, Any]) -> str:
    mark = cell[AGAINST].mark if AGAINST in cell else ""
    return f"{formatted(cell['mean'])} {mark}".rstrip()


def _in_words(table: Table, task: TaskInfo, test_name: str) -> str:
    """How often sharing is above separate models, and where."""
    found: dict[Verdict, list[str]] = {v: [] for v in Verdict}
    for row in table.rows:
        for label in LABELS.values():
            if AGAINST in row.get(label, ()):
                change = f" ({lowered(row['Changed'])}: {row['To']})" if row["To"] else ""
                found[row[label][AGAINST]].append(f"{label.lower()}{change}")
    where = f": {'; '.join(found[BETTER])}" if found[BETTER] else ""
    return (
        f"{task.title} on {test_name}: in {len(found[WORSE])} of {sum(map(len, found.values()))} "
        f"comparisons sharing is below separate models, in {len(found[OPEN])} not distinguishable, in "
        f"{len(found[BETTER])} above{where}."
    )


def section(
    ablation: Ablation, base: GroupResults, changed: dict[str, GroupResults], seed: int
) -> Section:
    """One ablation: a table for each task, and the folds."""
    results = {UNCHANGED.label: base} | changed
    rng = np.random.default_rng([seed, 11])
    tables = [_table(ablation, task, results, rng) for task in base.tasks]
    groups, measures = {}, {}
    for task in base.tasks:
        for label, of_variant in results.items():
            measures[f"{task.title}: {label}"] = task.measure
            groups[f"{task.title}: {label}"] = {
                LABELS[arm]: of_variant.estimates[arm, TEST, task.name, task.measure]
                for arm in ablation.arms
            }
    picture = fold_dots(groups, measures, name=f"ablation-{ablation.name}")
    return Section(ablation.title, ablation.text, [*tables, picture])


def _table(
    ablation: Ablation, task: TaskInfo, results: dict[str, GroupResults], rng: np.random.Generator
) -> Table:
    """A row for each strategy and variant; p against the study as it is."""
    base = results[UNCHANGED.label]
    measures = [task.measure] + (["AUC"] if task.kind == CLASSIFICATION else [])
    rows = []
    for arm in ablation.arms:
        for label, of_variant in results.items():
            row: dict[str, Any] = {"Strategy": LABELS[arm], "Variant": label}
            for m in measures:
                row[m] = of_variant.estimates[arm, TEST, task.name, m]
                row[f"{m}, held out"] = of_variant.estimates[arm, HELD_OUT, task.name, m]
            if of_variant is not base:
                one, other = (r.scores[arm, TEST, task.name] for r in (of_variant, base))
                row["p"] = compare_cases(one, other, task.measure, rng).p_value
            rows.append(row)
    columns = ["Strategy", "Variant", task.measure, Column("p", formatted_p), *measures[1:]]
    columns += [f"{measure}, held out" for measure in measures]
    test = "McNemar's test" if task.kind == CLASSIFICATION else "sign-flip test"
    note = (
        f"On {base.test_name}, and on the training hospital's held-out folds. p: {test} on "
        f"{base.test_name} against the same strategy in the study, not corrected. "
    )
    if base.scores[ablation.arms[0], TEST, task.name].clustered:
        note += BY_PATIENT
    anchor = f"ablation-{ablation.name}-{task.name}"
    return Table(anchor, task.title, columns, rows, note=note)
