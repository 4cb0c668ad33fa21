"""Tables and charts of one group of tasks: scores, comparisons, cost."""

from __future__ import annotations

from typing import Any

from ums.experiments.names import (
    ALTERNATING,
    HELD_OUT,
    JOINT,
    MEASURES,
    SEGMENTATION,
    STRATEGIES,
    TEST,
)
from ums.experiments.report.page import Figure
from ums.experiments.report.plots import fold_dots
from ums.experiments.report.tables import Column, Table, formatted_p
from ums.experiments.results.costs import GroupCosts
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.scores import Estimate

LABELS = dict(
    zip(STRATEGIES, ("Independent", "Alternating", "Joint", "Separate (baseline)"), strict=True)
)

TOGETHER = (ALTERNATING, JOINT)

BY_PATIENT = (
    "Images of one patient are not independent: where patients have several, a sign-flip test on each "
    "patient's sum of differences, of right answers or of the IoU, takes its place. "
)
"""How :func:`ums.experiments.results.scores.compare_cases` tests then."""

Printed = dict[Any, dict[str, float]]
"""A table of the paper: (strategy, task) or the name of a row -> column -> number."""


def lowered(title: str) -> str:
    """A title inside a sentence; an abbreviation stays as it is."""
    return title if title[:2].isupper() else title[0].lower() + title[1:]


def score_table(
    results: GroupResults,
    kind: str,
    where: str,
    heading: tuple[str, str],
    printed: Printed,
    note: str,
) -> Table:
    """A row for each task of a kind and each strategy, beside the paper's numbers.

    ``heading`` is the table's anchor and title.
    """
    tasks = [task for task in results.tasks if task.kind == kind]
    rows: list[dict[str, Any]] = []
    theirs = []
    for task in tasks:
        for arm, label in LABELS.items():
            row: dict[str, Any] = {"Task": task.title} if len(tasks) > 1 else {}
            row |= {"Strategy": label, "Images": task.cases[where]}
            row |= {m: results.estimates[arm, where, task.name, m] for m in MEASURES[kind]}
            rows.append(row)
            theirs.append(printed.get((arm, task.name), {}))
    return Table(*heading, list(rows[0]), rows, theirs, note)


def score_dots(results: GroupResults, printed: Printed) -> Figure:
    """Every fold, mean and interval of each task's measure, on the test set and held out."""
    groups, measures, theirs = {}, {}, {}
    for task in results.tasks:
        for where, place in ((TEST, results.test_name), (HELD_OUT, results.held_out_name)):
            group = f"{task.title}: {place}"
            measures[group] = task.measure
            groups[group] = {
                label: results.estimates[arm, where, task.name, task.measure]
                for arm, label in LABELS.items()
            }
            if where == TEST:
                numbers = {label: printed.get((a, task.name), {}) for a, label in LABELS.items()}
                theirs[group] = {
                    k: n[task.measure] for k, n in numbers.items() if task.measure in n
                }
    return fold_dots(groups, measures, theirs, name=f"folds-{results.name}")


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
    columns += ["Only first", "Only second"]
    columns += [Column("p", formatted_p), Column("p, corrected", formatted_p)]
    note = (
        f"On {results.test_name}. Classifications: McNemar's exact test on the cases that only the "
        "first or only the second strategy classified correctly; its folds' networks decide by the mean of "
        "their probabilities. "
    )
    if any(task.kind == SEGMENTATION for task in results.tasks):
        note += "Segmentation: sign-flip test on each case's IoU, its mean over the folds. "
    if results.clustered:
        note += BY_PATIENT
    note += f"Corrected for all {len(rows)} comparisons of this table (Holm)."
    title = f"Differences between strategies, {results.name} tasks"
    return Table(anchor, title, columns, rows, note=note)


def cost_table(
    costs: GroupCosts, anchor: str, title: str, printed: Printed, source: str, note: str
) -> Table:
    """Tables 4, 6, 8 and 10: row by row, in total, with and without the source.

    Of the paper's rows ``"proposed"`` and ``"baseline"`` are its totals, ``"proposed tasks"`` and
    ``"baseline tasks"`` those without the source. ``source`` says in a word what the source learned.
    """
    rows: list[dict[str, Any]] = []
    theirs: list[dict[str, float]] = []

    def add(label: str, part: str, key: Any, minutes: Any, epochs: Any, trainable: int) -> None:
        row = {"Approach": label, "Part": part, "Minutes": minutes, "Epochs": epochs}
        rows.append(row | {"Trainable parameters": trainable})
        theirs.append(printed.get(key, {}))

    history, once, own = costs.source.history, costs.source_minutes, costs.source.trainable
    source_epochs = history.best_epoch + 1.0 if history.validation else 0.0
    shared, denoiser = f"Shared source ({source})", "Separate denoiser" if costs.denoiser else ""
    for label, arm, first, key, word in (
        ("Proposed", "independent", shared, "source", "head"),
        ("Baseline", "separate", denoiser, "denoiser", "model"),
    ):
        total, heads = costs.minutes(arm), costs.trainable(arm)
        if first:
            add(label, first, key, once, source_epochs, own)
        for task, name in costs.tasks.items():
            minutes, epochs = Estimate(costs.minutes(arm, task)), Estimate(costs.epochs(arm, task))
            add(label, f"{name} {word}", (arm, task), minutes, epochs, costs.trainable(arm, task))
        add(label, f"All {word}s", f"{label.lower()} tasks", Estimate(total), None, heads)
        if first:
            both = Estimate(total + once)
            add(label, f"{first} and {word}s", label.lower(), both, None, heads + own)
    for arm in TOGETHER:
        total, heads, label = costs.minutes(arm), costs.trainable(arm), LABELS[arm]
        epochs = Estimate(costs.epochs(arm, next(iter(costs.tasks))))
        add(label, "Encoder and heads", None, Estimate(total), epochs, heads)
        heads += own - costs.shared(arm)
        add(label, "With the source before", None, Estimate(total + once), None, heads)
    columns = ["Approach", "Part", Column("Minutes", "{:.2f}"), Column("Epochs", "{:.1f}")]
    return Table(anchor, title, [*columns, "Trainable parameters"], rows, theirs, note)
