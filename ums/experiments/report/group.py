"""Tables of one group of tasks: scores, and what training took."""

from __future__ import annotations

from typing import Any

import numpy as np

from ums.experiments.names import (
    CLASSIFICATION,
    HELD_OUT,
    ONE_ENCODER,
    REGRESSION,
    SEVERAL_LABELS,
    TEST,
)
from ums.experiments.report.tables import Column, Table
from ums.experiments.report.words import FROM_SOURCE, LABELS, listed
from ums.experiments.results.costs import GroupCosts
from ums.experiments.results.groups import GroupResults

Printed = dict[Any, dict[str, float]]
"""A table of the paper: (strategy, task) or the name of a row -> column -> number."""


GUESSED = {
    CLASSIFICATION: "an MCC of 0",
    REGRESSION: "an R² of 0",
    SEVERAL_LABELS: "a mean AUC of 0.5",
}
"""What a prediction that is the same for all images reaches, in the measure of a kind of task."""


def overview_table(results: GroupResults, where: str, name: str) -> Table:
    """Arms in rows and tasks in columns, each in its own measure; ``name`` is that of the images."""
    tasks = [task for task in results.tasks if where in task.cases]
    rows: list[dict[str, Any]] = []
    for arm in (arm for arm in LABELS if arm in results.arms):
        scores = {
            f"{task.title}, {task.measure}": results.estimate(arm, task.name, "", where)
            for task in tasks
            if results.has(arm, task.name, where)
        }
        rows += [{"Arm": LABELS[arm]} | scores] if scores else []
    images = ", ".join(f"{task.title}: {task.cases[where]}" for task in tasks)
    guessed = listed(dict.fromkeys(GUESSED[t.kind] for t in tasks if t.kind in GUESSED))
    note = f"Images: {images}. {guessed and f'Guessing has {guessed}.'}".strip()
    columns = ["Arm", *(f"{task.title}, {task.measure}" for task in tasks)]
    anchor = f"{results.name}-{where}"
    return Table(anchor, f"Scores: {name}", columns, rows, note=note)


def score_table(
    results: GroupResults, kind: str, heading: tuple[str, str], printed: Printed, note: str
) -> Table:
    """All measures of each task of a kind by each arm on the test set, beside the paper's numbers.

    ``heading`` is the table's anchor and title.
    """
    tasks = [task for task in results.tasks if task.kind == kind]
    rows: list[dict[str, Any]] = []
    theirs = []
    for task in tasks:
        for arm in (arm for arm in LABELS if results.has(arm, task.name)):
            row: dict[str, Any] = {"Task": task.title} if len(tasks) > 1 else {}
            row |= {"Arm": LABELS[arm]}
            row |= {m: results.estimate(arm, task.name, m) for m in results.measures(task)}
            rows.append(row)
            theirs.append(printed.get((arm, task.name), {}))
    return Table(*heading, list(rows[0]), rows, theirs, note)


def one_encoder_table(results: GroupResults) -> Table | None:
    """What the arms that share an encoder lose where one encoder must serve all tasks."""
    rows = []
    for arm in (arm for arm in LABELS if arm in results.arms):
        for task in results.tasks:
            if results.has(arm, task.name, TEST, ONE_ENCODER):
                one = results.estimate(arm, task.name, "", TEST, ONE_ENCODER)
                rows.append(
                    {"Arm": LABELS[arm], "Task": task.title, "Measure": task.measure}
                    | {"Own epoch": results.estimate(arm, task.name), "One encoder": one}
                    | {"Difference": results.cost_of_one_encoder(arm, task.name)}
                )
    if not rows:
        return None
    note = (
        "Own epoch, the line of all other tables: each task keeps the network of the epoch that is best for "
        "it, with an encoder of its own. One encoder: all tasks keep that of one epoch, the best by the "
        "mean of their validation losses, which is what can be used as a single encoder."
    )
    columns = [
        "Arm",
        "Task",
        "Measure",
        "Own epoch",
        "One encoder",
        Column("Difference", "{:+.3f}"),
    ]
    title = "One encoder for all tasks"
    return Table(f"{results.name}-one-encoder", title, columns, rows, note=note)


# ------------------------------------------------------------------------ cost


def paper_cost_table(
    costs: GroupCosts, anchor: str, title: str, printed: Printed, source: str, note: str
) -> Table:
    """Tables 4, 6, 8 and 10: row by row, in total, with and without the source.

    Of the paper's rows ``"proposed"`` and ``"baseline"`` are its totals, ``"proposed tasks"`` and
    ``"baseline tasks"`` those without the source. ``source`` says in a word what the source learned.
    """
    rows: list[dict[str, Any]] = []
    theirs: list[dict[str, float]] = []

    def add(label: str, part: str, key: Any, minutes: Any, trainable: int) -> None:
        row = {"Approach": label, "Part": part, "Minutes": minutes}
        rows.append(row | {"Trainable parameters": trainable})
        theirs.append(printed.get(key, {}))

    once, own = costs.source_minutes, costs.source[0].trainable
    shared, denoiser = f"Shared source ({source})", "Separate denoiser" if costs.denoiser else ""
    for label, arm, first, key, word in (
        ("Proposed", "independent", shared, "source", "head"),
        ("Baseline", "separate", denoiser, "denoiser", "model"),
    ):
        total, heads = float(np.median(costs.minutes(arm))), costs.trainable(arm)
        if first:
            add(label, first, key, once, own)
        for task, name in costs.tasks.items():
            minutes = float(np.median(costs.minutes(arm, task)))
            add(label, f"{name} {word}", (arm, task), minutes, costs.trainable(arm, task))
        add(label, f"All {word}s", f"{label.lower()} tasks", total, heads)
        if first:
            add(label, f"{first} and {word}s", label.lower(), total + once, heads + own)
    columns = ["Approach", "Part", Column("Minutes", "{:.2f}"), "Trainable parameters"]
    return Table(anchor, title, columns, rows, theirs, note)


def arm_cost_table(results: GroupResults, costs: GroupCosts) -> Table:
    """Minutes, updates and parameters of each arm, for all tasks together."""
    rows = []
    for arm in (arm for arm in LABELS if arm in results.arms and costs.costs[arm]):
        total = float(np.median(costs.minutes(arm)))
        needs = arm in FROM_SOURCE or (arm == "separate" and costs.denoiser)
        row: dict[str, Any] = {"Arm": LABELS[arm], "Minutes": total}
        row["With the source"] = total + costs.source_minutes if needs else None
        row |= {"Encoder updates": costs.updates(arm), "Trainable parameters": costs.trainable(arm)}
        rows.append(row)
    note = (
        "All tasks of the group together: minutes of training on this machine, the median of the replicates, "
        "and with those of the source, where an arm needs it. Encoder updates: how often "
        "the encoder that a task ends with was updated for these tasks. An encoder that is shared and goes "
        "on learning counts once among the parameters."
    )
    columns = ["Arm", Column("Minutes", "{:.2f}"), Column("With the source", "{:.2f}")]
    columns += [Column("Encoder updates"), Column("Trainable parameters")]
    title = "What each arm takes"
    return Table(f"{results.name}-arms", title, columns, rows, note=note)


def places(results: GroupResults) -> dict[str, str]:
    """TEST, and HELD_OUT where there is such a place -> the name of its images."""
    found = {TEST: results.test_name}
    if any(HELD_OUT in task.cases for task in results.tasks):
        found[HELD_OUT] = results.held_out_name
    return found
