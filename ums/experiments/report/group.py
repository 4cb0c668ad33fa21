"""Tables and charts of one group of tasks: scores, comparisons, cost, training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from ums.experiments.names import (
    ALTERNATING,
    HELD_OUT,
    INDEPENDENT,
    JOINT,
    MEASURES,
    SEGMENTATION,
    SEPARATE,
    TEST,
    TOGETHER,
)
from ums.experiments.report.page import Figure
from ums.experiments.report.plots import cosine_curves, crossover, fold_dots, training_curves
from ums.experiments.report.tables import Column, Table, formatted_p
from ums.experiments.results.costs import GroupCosts
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.scores import Estimate

LABELS = {
    INDEPENDENT: "Independent",
    ALTERNATING: "Alternating",
    JOINT: "Joint",
    SEPARATE: "Separate (baseline)",
}

BY_PATIENT = (
    "Where a patient has several images, which are not independent cases, it is a sign-flip test on each "
    "patient's sum of differences, of right answers or of the IoU. "
)
"""How :func:`ums.experiments.results.scores.compare_cases` tests then."""

Printed = dict[Any, dict[str, float]]
"""A table of the paper: (strategy, task) or the name of a row -> column -> number."""


def lowered(title: str) -> str:
    """A title inside a sentence."""
    return title[0].lower() + title[1:]


# ------------------------------------------------------------------------ scores


def score_table(
    results: GroupResults,
    kind: str,
    where: str,
    anchor: str,
    title: str,
    printed: Printed,
    note: str,
) -> Table:
    """A row for each task of a kind and each strategy, beside the paper's numbers."""
    rows, theirs = [], []
    tasks = [task for task in results.tasks if task.kind == kind]
    for task in tasks:
        for arm, label in LABELS.items():
            row: dict[str, Any] = {"Task": task.title} if len(tasks) > 1 else {}
            row |= {"Strategy": label, "Images": task.cases[where]}
            rows.append(
                row | {m: results.estimates[arm, where, task.name, m] for m in MEASURES[kind]}
            )
            theirs.append(dict(printed.get((arm, task.name), {})))
    heads = (["Task"] if len(tasks) > 1 else []) + ["Strategy", Column("Images", "{:,d}")]
    columns = [Column(m, "{:.3f}", "{:.2f}") for m in MEASURES[kind]]
    return Table(anchor, title, [*heads, *columns], rows, theirs, note)


def score_dots(results: GroupResults, printed: Printed) -> Figure:
    """Every fold, mean and interval of each task's measure, on the test set and held out."""
    groups, marks, labels = {}, {}, {}
    for task in results.tasks:
        for where, place in ((TEST, results.test_name), (HELD_OUT, results.held_out_name)):
            group = f"{task.title}: {place}"
            groups[group] = {
                label: results.estimates[arm, where, task.name, task.measure]
                for arm, label in LABELS.items()
            }
            labels[group] = task.measure
            if where == TEST:
                theirs = {a: printed.get((a, task.name), {}).get(task.measure) for a in LABELS}
                marks[group] = {LABELS[a]: v for a, v in theirs.items() if v is not None}
    return fold_dots(groups, marks, labels, name=f"folds-{results.name}")


def comparison_table(results: GroupResults, anchor: str) -> Table:
    """All pairs of strategies, with p-values as they are and corrected."""
    tasks = {task.name: task for task in results.tasks}
    rows = [
        {
            "Task": tasks[c.task].title,
            "Compared": f"{c.a} – {c.b}",
            "Measure": tasks[c.task].measure,
            "Difference": Estimate(c.differences),
            "Only first": c.only_a,
            "Only second": c.only_b,
            "p": c.p_value,
            "p, corrected": c.corrected,
        }
        for c in results.comparisons
    ]
    columns = ["Task", "Compared", "Measure", Column("Difference", "{:+.3f}")]
    columns += [Column(f"Only {place}", "{:d}") for place in ("first", "second")]
    columns += [Column("p", formatted_p), Column("p, corrected", formatted_p)]
    note = (
        f"On {results.test_name}. Classifications: McNemar's exact test on the cases that only the "
        "first or only the second classified correctly; the folds' networks of a strategy decide by the "
        "mean of their probabilities. "
    )
    if any(task.kind == SEGMENTATION for task in results.tasks):
        note += "Segmentation: sign-flip test on the IoU of each case, the mean over folds. "
    if results.clustered:
        note += BY_PATIENT
    note += f"Corrected for all {len(rows)} comparisons of this table (Holm)."
    title = f"Differences between strategies, {results.name} tasks"
    return Table(anchor, title, columns, rows, note=note)


# ------------------------------------------------------------------------ cost


def cost_table(
    costs: GroupCosts, anchor: str, title: str, printed: Printed, source: str, note: str
) -> Table:
    """Tables 4, 6, 8 and 10: row by row, in total, with and without the source.

    Args:
        costs: Of the group.
        anchor: The table's.
        title: The table's.
        printed: The paper's numbers; "proposed" and "baseline" are its totals, "proposed tasks" and
            "baseline tasks" those without the source.
        source: What the source learned, in a word.
        note: Stands under the table.
    """
    rows: list[dict[str, Any]] = []
    theirs: list[dict[str, float]] = []

    def add(
        approach: str, part: str, minutes: Any, trainable: int, epochs: Any = None, key: Any = None
    ) -> None:
        row = {"Approach": approach, "Part": part, "Minutes": minutes, "Epochs": epochs}
        rows.append(row | {"Trainable parameters": trainable})
        theirs.append(printed.get(key, {}))

    history, own = costs.source.history, costs.source.trainable
    source_epochs = history.best_epoch + 1.0 if history.validation else 0.0
    denoiser = "Separate denoiser" if costs.denoiser else None
    for approach, arm, first, word, keys in (
        ("Proposed", INDEPENDENT, f"Shared source ({source})", "head", ("source", "proposed")),
        ("Baseline", SEPARATE, denoiser, "model", ("denoiser", "baseline")),
    ):
        if first:
            add(approach, first, costs.source_minutes, own, source_epochs, keys[0])
        for task, label in costs.tasks.items():
            minutes, epochs = Estimate(costs.minutes(arm, task)), Estimate(costs.epochs(arm, task))
            trainable = costs.trainable(arm, task)
            add(approach, f"{label} {word}", minutes, trainable, epochs, (arm, task))
        total, heads = costs.minutes(arm), costs.trainable(arm)
        add(approach, f"All {word}s", Estimate(total), heads, None, f"{keys[1]} tasks")
        if first:
            both = Estimate(total + costs.source_minutes)
            add(approach, f"{first} and {word}s", both, heads + own, None, keys[1])
    for arm in TOGETHER:
        total, heads = costs.minutes(arm), costs.trainable(arm)
        epochs = Estimate(costs.epochs(arm, next(iter(costs.tasks))))
        add(LABELS[arm], "Encoder and heads", Estimate(total), heads, epochs)
        both = Estimate(total + costs.source_minutes)
        add(LABELS[arm], "With the source before", both, heads - costs.shared(arm) + own)
    columns = ["Approach", "Part", Column("Minutes", "{:.2f}"), Column("Epochs", "{:.1f}", "{:d}")]
    columns.append(Column("Trainable parameters", "{:,d}"))
    return Table(anchor, title, columns, rows, theirs, note)


def crossover_figure(results: GroupResults, costs: GroupCosts) -> Figure:
    """Minutes against the number of tasks."""
    return crossover(costs.lines(), name=f"crossover-{results.name}")


# ------------------------------------------------------------------------ training


def curves(results: GroupResults) -> Figure:
    """Losses of every strategy and task, all folds."""
    histories = {
        f"{LABELS[arm]}: {task.title}": [cost.history for cost in results.costs[arm][task.name]]
        for arm in results.arms
        for task in results.tasks
    }
    return training_curves(histories, name=f"training-{results.name}")


def cosines(results: GroupResults) -> Figure:
    """Cosine of each two tasks' gradients on the encoder, by epoch of the joint strategy."""
    joint = results.costs[JOINT]
    pairs: dict[str, Sequence[Sequence[float]]] = {
        f"{a.title} and {lowered(b.title)}": [c.history.cosines[b.name] for c in joint[a.name]]
        for a, b in combinations(results.tasks, 2)
    }
    return cosine_curves(pairs, name=f"cosines-{results.name}")
