"""What the page about the causes says of each: tables, folds, and the changes in words."""

from __future__ import annotations

import numpy as np

from ums.experiments.cause_list import Cause
from ums.experiments.part_report import BY_PATIENT, LABELS, PartFigures
from ums.experiments.parts import CLASSIFICATION, TargetTask
from ums.experiments.protocol import HELD_OUT, TEST, PartOutcome
from ums.experiments.report import Column, Section, Table, formatted, formatted_p
from ums.experiments.scores import compare
from ums.experiments.study_figures import fold_dots


def section(cause: Cause, outcomes: dict[str, PartOutcome], seed: int) -> Section:
    """One cause: a table for each task, and the folds."""
    estimates = {label: PartFigures(outcome, seed) for label, outcome in outcomes.items()}
    part = next(iter(outcomes.values())).part
    rng = np.random.default_rng([seed, 11])
    tables = [_table(cause, task, outcomes, estimates, rng) for task in part.tasks]
    groups = {
        f"{task.title}: {label}": {
            LABELS[strategy]: estimates[label].estimates[strategy, TEST, task.name, task.measure]
            for strategy in cause.strategies
        }
        for task in part.tasks
        for label in outcomes
    }
    measures = {f"{t.title}: {label}": t.measure for t in part.tasks for label in outcomes}
    picture = fold_dots(groups, xlabel=measures, name=f"cause-{cause.name}")
    return Section(cause.title, cause.text, tables, [picture])


def _table(
    cause: Cause,
    task: TargetTask,
    outcomes: dict[str, PartOutcome],
    estimates: dict[str, PartFigures],
    rng: np.random.Generator,
) -> Table:
    """A row for each strategy and variant; p against the first variant."""
    first = next(iter(outcomes))
    tested = outcomes[first].part.tested
    measures = [task.measure] + (["AUC"] if task.kind == CLASSIFICATION else [])
    rows = []
    for strategy in cause.strategies:
        for label, outcome in outcomes.items():
            row = {"Strategy": LABELS[strategy], "Variant": label}
            for measure in measures:
                for where, place in ((TEST, ""), (HELD_OUT, ", held out")):
                    figure = estimates[label].estimates[strategy, where, task.name, measure]
                    row[f"{measure}{place}"] = figure
            if label != first:
                pair = (o.tested[strategy][TEST][task.name] for o in (outcome, outcomes[first]))
                row["p"] = compare(*pair, task.measure, rng).p_value
            rows.append(row)
    columns = ["Strategy", "Variant", Column(task.measure, "{:.3f}"), Column("p", formatted_p)]
    columns += [Column(m, "{:.3f}") for m in measures[1:]]
    columns += [Column(f"{m}, held out", "{:.3f}") for m in measures]
    test = "McNemar's test" if task.kind == CLASSIFICATION else "sign-flip test"
    note = (
        f"On {tested}, and on the training hospital's held-out folds. p: {test} on {tested} against the "
        "first variant of the same strategy, not corrected. "
    )
    if outcomes[first].tested[cause.strategies[0]][TEST][task.name].clustered:
        note += BY_PATIENT
    return Table(f"cause-{cause.name}-{task.name}", task.title, columns, rows, note=note)


def summary_of(cause: Cause, table: Table) -> str:
    """What each variant changes on the test set, in words, of the first task's table."""
    measure = table.columns[2].name
    changes = []
    for row in table.rows:
        if row["Variant"] == cause.variants[0].label:
            base = row[measure].mean
        else:
            change = formatted(row[measure].mean - base, "{:+.3f}")
            words = f"{row['Strategy'].lower()}, {row['Variant']}: {change}"
            changes.append(f"{words} (p {formatted_p(row['p'])})")
    return f"{cause.title}, {measure} of the {table.title.lower()}: {'; '.join(changes)}."
