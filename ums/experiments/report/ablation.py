"""What the page about the causes says: where sharing pays, and each cause's tables and folds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ums.experiments.ablation_list import AS_GIVEN, Cause
from ums.experiments.report.page import Section
from ums.experiments.report.part_tables import BY_PATIENT, LABELS, PartFigures, lowered
from ums.experiments.report.plots import fold_dots
from ums.experiments.report.tables import Column, Table, formatted, formatted_p
from ums.experiments.results.claims import Verdict, verdict
from ums.experiments.results.scores import compare
from ums.experiments.runner import HELD_OUT, STRATEGIES, TEST
from ums.experiments.tasks import CLASSIFICATION, TargetTask
from ums.metrics.significance import holm

BASELINE = "separate"
AGAINST = "against separate models"


# ------------------------------------------------------------------------ all of them


def overview(
    base: PartFigures, tried: Sequence[tuple[Cause, dict[str, PartFigures]]], seed: int
) -> tuple[Section, list[str]]:
    """Every strategy under every change against separate models, in a table for each task and in words.

    Args:
        base: the study as it is, all strategies.
        tried: cause, and label of a variant -> figures of the strategies on which the cause can tell.
        seed: of the sign-flip tests.
    """
    rows = [("As it is", "", base)]
    rows += [(cause.title, label, f) for cause, changed in tried for label, f in changed.items()]
    rng, tables, summary = np.random.default_rng([seed, 12]), [], []
    for task in base.part.tasks:
        tables.append(_against_separate(task, base, rows, rng))
        summary.append(_in_words(tables[-1], task, base.part.tested))
    text = (
        "One thing is changed in each row. What a change does to a strategy stands in the sections below; "
        "here every strategy that shares is put beside separate models, under the same change where it "
        "concerns them, otherwise as they are in the study."
    )
    return Section("Where sharing pays", text, tables), summary


def _against_separate(
    task: TargetTask, base: PartFigures, rows: list[tuple[str, str, PartFigures]], rng
) -> Table:
    told, compared = [], []
    for title, label, figures in rows:
        told.append({"Changed": title, "To": label})
        own = figures if BASELINE in figures.outcome.strategies else base
        separate = own.outcome.tested[BASELINE][TEST][task.name]
        for strategy in figures.outcome.strategies:
            cell = {"mean": figures.mean(strategy, TEST, task.name, task.measure)}
            told[-1][LABELS[strategy]] = cell
            if strategy != BASELINE:
                sharing = figures.outcome.tested[strategy][TEST][task.name]
                folds = np.subtract(figures.folds(strategy, task), own.folds(BASELINE, task))
                compared.append((cell, folds, compare(sharing, separate, task.measure, rng)))
    corrected = holm([test.p_value for *_, test in compared])
    for (cell, folds, test), p in zip(compared, corrected, strict=True):
        cell[AGAINST] = verdict(folds, test.tested, p)
    columns = ["Changed", "To", *(Column(LABELS[s], _marked) for s in STRATEGIES)]
    about = "; the tests are about right answers" if task.kind == CLASSIFICATION else ""
    above, below, open_ = (v.mark for v in (Verdict.HOLDS, Verdict.FAILS, Verdict.OPEN))
    note = (
        f"{task.measure}, mean over folds on {base.part.tested}{about}. {above} above separate models, "
        f"{below} below them: significant at 0.05 after Holm's correction over this table, and of one sign "
        f"in all folds and in the test. {open_} not distinguishable. A dash: not tried."
    )
    return Table(f"sharing-{task.name}", task.title, columns, told, note=note)


def _marked(cell: dict) -> str:
    mark = cell[AGAINST].mark if AGAINST in cell else ""
    return f"{formatted(cell['mean'], '{:.3f}')} {mark}".rstrip()


def _in_words(table: Table, task: TargetTask, tested: str) -> str:
    """How often sharing is above separate models, and where."""
    found = {v: [] for v in Verdict}
    for row in table.rows:
        for label in LABELS.values():
            if AGAINST in row.get(label, ()):
                change = f" ({lowered(row['Changed'])}: {row['To']})" if row["To"] else ""
                found[row[label][AGAINST]].append(f"{label.lower()}{change}")
    above, below, open_ = (found[v] for v in (Verdict.HOLDS, Verdict.FAILS, Verdict.OPEN))
    where = f": {'; '.join(above)}" if above else ""
    return (
        f"{task.title} on {tested}: in {len(below)} of {sum(map(len, found.values()))} comparisons sharing "
        f"is below separate models, in {len(open_)} not distinguishable, in {len(above)} above{where}."
    )


# ------------------------------------------------------------------------ one of them


def section(cause: Cause, base: PartFigures, changed: dict[str, PartFigures], seed: int) -> Section:
    """One cause: a table for each task, and the folds."""
    figures = {AS_GIVEN.label: base} | changed
    rng = np.random.default_rng([seed, 11])
    tables = [_table(cause, task, figures, rng) for task in base.part.tasks]
    groups = {
        f"{task.title}: {label}": {
            LABELS[strategy]: figures[label].estimates[strategy, TEST, task.name, task.measure]
            for strategy in cause.strategies
        }
        for task in base.part.tasks
        for label in figures
    }
    measures = {f"{t.title}: {label}": t.measure for t in base.part.tasks for label in figures}
    picture = fold_dots(groups, xlabel=measures, name=f"cause-{cause.name}")
    return Section(cause.title, cause.text, tables, [picture])


def _table(cause: Cause, task: TargetTask, figures: dict[str, PartFigures], rng) -> Table:
    """A row for each strategy and variant; p against the study as it is."""
    base = figures[AS_GIVEN.label]
    tested = base.part.tested
    measures = [task.measure] + (["AUC"] if task.kind == CLASSIFICATION else [])
    rows = []
    for strategy in cause.strategies:
        for label, of_variant in figures.items():
            row = {"Strategy": LABELS[strategy], "Variant": label}
            for measure in measures:
                for where, place in ((TEST, ""), (HELD_OUT, ", held out")):
                    figure = of_variant.estimates[strategy, where, task.name, measure]
                    row[f"{measure}{place}"] = figure
            if of_variant is not base:
                pair = (f.outcome.tested[strategy][TEST][task.name] for f in (of_variant, base))
                row["p"] = compare(*pair, task.measure, rng).p_value
            rows.append(row)
    columns = ["Strategy", "Variant", Column(task.measure, "{:.3f}"), Column("p", formatted_p)]
    columns += [Column(m, "{:.3f}") for m in measures[1:]]
    columns += [Column(f"{m}, held out", "{:.3f}") for m in measures]
    test = "McNemar's test" if task.kind == CLASSIFICATION else "sign-flip test"
    note = (
        f"On {tested}, and on the training hospital's held-out folds. p: {test} on {tested} against the "
        "same strategy in the study, not corrected. "
    )
    if base.outcome.tested[cause.strategies[0]][TEST][task.name].clustered:
        note += BY_PATIENT
    return Table(f"cause-{cause.name}-{task.name}", task.title, columns, rows, note=note)
