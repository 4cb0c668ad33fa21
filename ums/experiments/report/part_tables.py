"""What the page says of one part of a study: scores, comparisons, cost, curves; and the claims on it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ums.experiments.report.page import Figure
from ums.experiments.report.plots import cosine_curves, crossover, fold_dots, training_curves
from ums.experiments.report.tables import Column, Table, formatted_p
from ums.experiments.results.scores import Estimate, compare
from ums.experiments.runner import HELD_OUT, TEST, TOGETHER, PartOutcome
from ums.experiments.tasks import MEASURES, SEGMENTATION, TargetTask
from ums.finetuning import Tuned
from ums.metrics.significance import holm

LABELS = {
    "independent": "Independent",
    "alternating": "Alternating",
    "joint": "Joint",
    "separate": "Separate (baseline)",
}

BY_PATIENT = (
    "Where a patient has several images, which are no independent cases, it is a sign-flip test on each "
    "patient's sum of differences, of right answers or of the IoU. "
)
"""How :func:`ums.experiments.results.scores.compare` tests then."""


@dataclass(frozen=True)
class Comparison:
    """Two strategies on one task's test cases.

    Attributes:
        task, a, b: names.
        differences: of the task's measure, a less b, by fold.
        tested: of what that task's test is about, a less b, summed over the cases.
        p_value: of that test; ``corrected`` for all comparisons of the part (Holm).
        only_a, only_b: cases that only one got right, for a classification.
    """

    task: str
    a: str
    b: str
    differences: tuple[float, ...]
    tested: float
    p_value: float
    corrected: float
    only_a: int | None
    only_b: int | None

    def seen_from(self, better: str) -> tuple[tuple[float, ...], float]:
        """The differences, and what was tested, ``better`` less the other."""
        sign = 1 if better == self.a else -1
        return tuple(sign * d for d in self.differences), sign * self.tested


class PartFigures:
    """A part's figures, computed once: estimates of every measure, and all comparisons.

    Args:
        outcome: of the part.
        seed: of the bootstrap and the sign-flip test.
    """

    def __init__(self, outcome: PartOutcome, seed: int):
        self.outcome, self.part = outcome, outcome.part
        rng = np.random.default_rng([seed, zlib.crc32(self.part.name.encode())])
        self.estimates = {
            (strategy, where, task.name, measure): outcome.tested[strategy][where][
                task.name
            ].estimate(measure, rng)
            for where in (TEST, HELD_OUT)
            for task in self.part.tasks
            for strategy in outcome.strategies
            for measure in MEASURES[task.kind]
        }
        self.comparisons = self._compared(rng)

    def mean(self, strategy: str, where: str, task: str, measure: str) -> float:
        """The mean over folds."""
        return self.estimates[strategy, where, task, measure].mean

    def folds(self, strategy: str, task: TargetTask) -> list[float]:
        """Each fold's value of a task's measure on the test set."""
        return list(self.estimates[strategy, TEST, task.name, task.measure].folds)

    def comparison(self, task: str, a: str, b: str) -> Comparison:
        """Of two strategies, in either order."""
        return next(c for c in self.comparisons if c.task == task and {c.a, c.b} == {a, b})

    def _compared(self, rng) -> list[Comparison]:
        """All pairs of strategies on all tasks, on the test set: one family."""
        strategies = self.outcome.strategies
        pairs = [(task, a, b) for task in self.part.tasks for a, b in combinations(strategies, 2)]
        tests = []
        for task, a, b in pairs:
            one, other = (self.outcome.tested[s][TEST][task.name] for s in (a, b))
            tests.append(compare(one, other, task.measure, rng))
        corrected = holm([test.p_value for test in tests]) if tests else []
        return [
            Comparison(
                task.name,
                a,
                b,
                tuple(np.subtract(*(self.folds(s, task) for s in (a, b))).tolist()),
                float(test.tested),
                test.p_value,
                float(p),
                test.only_a,
                test.only_b,
            )
            for (task, a, b), test, p in zip(pairs, tests, corrected, strict=True)
        ]


# ------------------------------------------------------------------------ scores


def score_table(
    figures: PartFigures, kind: str, where: str, name: str, title: str, paper: dict, note: str
) -> Table:
    """A row for each task of a kind and strategy; ``paper``: (strategy, task) -> measure -> value."""
    part, rows, theirs = figures.part, [], []
    tasks = [task for task in part.tasks if task.kind == kind]
    for task in tasks:
        labelled = task.test if where == TEST else task.learn
        for strategy, label in LABELS.items():
            row = {"Task": task.title} if len(tasks) > 1 else {}
            row |= {"Strategy": label, "Images": len(labelled.rows)}
            values = {m: figures.estimates[strategy, where, task.name, m] for m in MEASURES[kind]}
            rows.append(row | values)
            theirs.append(dict(paper.get((strategy, task.name), {})))
    heads = (["Task"] if len(tasks) > 1 else []) + ["Strategy", Column("Images", "{:,d}")]
    columns = [Column(m, "{:.3f}", "{:.2f}") for m in MEASURES[kind]]
    return Table(name, title, [*heads, *columns], rows, theirs, note)


def score_dots(figures: PartFigures, paper: dict) -> Figure:
    """Every fold, mean and interval of each task's measure, at both places."""
    groups, marks, labels = {}, {}, {}
    for task in figures.part.tasks:
        for where, place in (
            (TEST, figures.part.tested),
            (HELD_OUT, figures.part.held_out),
        ):
            group = f"{task.title}: {place}"
            groups[group] = {
                label: figures.estimates[strategy, where, task.name, task.measure]
                for strategy, label in LABELS.items()
            }
            labels[group] = task.measure
            if where == TEST:
                theirs = {s: paper.get((s, task.name), {}).get(task.measure) for s in LABELS}
                marks[group] = {LABELS[s]: v for s, v in theirs.items() if v is not None}
    return fold_dots(groups, marks, labels, name=f"folds-{figures.part.name}")


def comparison_table(figures: PartFigures, name: str) -> Table:
    """All pairs of strategies, with p-values as they are and corrected."""
    titles = {task.name: task for task in figures.part.tasks}
    rows = []
    for c in figures.comparisons:
        row = {"Task": titles[c.task].title, "Compared": f"{c.a} – {c.b}"}
        row |= {"Measure": titles[c.task].measure, "Difference": Estimate(c.differences)}
        row |= {"Only first": c.only_a, "Only second": c.only_b}
        rows.append(row | {"p": c.p_value, "p, corrected": c.corrected})
    columns = ["Task", "Compared", "Measure", Column("Difference", "{:+.3f}")]
    columns += [Column(f"Only {place}", "{:d}") for place in ("first", "second")]
    columns += [Column("p", formatted_p), Column("p, corrected", formatted_p)]
    note = (
        f"On {figures.part.tested}. Classifications: McNemar's exact test on the cases that only the "
        "first or only the second got right, the folds' networks of a strategy deciding by the mean of their "
        "probabilities. "
    )
    if any(task.kind == SEGMENTATION for task in figures.part.tasks):
        note += "Segmentation: sign-flip test on the IoU of each case, the mean over folds. "
    tested = [of[TEST].values() for of in figures.outcome.tested.values()]
    if any(one.clustered for tasks in tested for one in tasks):
        note += BY_PATIENT
    note += f"Corrected for all {len(rows)} comparisons of this table (Holm)."
    return Table(
        name, f"Differences between strategies, {figures.part.name} tasks", columns, rows, note=note
    )


# ------------------------------------------------------------------------ cost


class Costs:
    """Minutes, epochs and parameters of a part, by fold.

    Args:
        outcome: of the part.
        source: the trained source; its cost is paid once for all folds.
        learned: what the source learned, in a word.
        denoiser: whether the baseline's models stand behind a denoiser, of the source's cost.
    """

    def __init__(self, outcome: PartOutcome, source: Tuned, learned: str, denoiser: bool):
        self.outcome, self.part, self.source = outcome, outcome.part, source
        self.learned, self.denoiser = learned, denoiser

    def minutes(self, strategy: str, task: str | None = None) -> np.ndarray:
        """(k,) of one task, or of all."""
        tasks = [task] if task else list(self.outcome.costs[strategy])
        costs = self.outcome.costs[strategy]
        return np.sum([[c.seconds / 60 for c in costs[name]] for name in tasks], axis=0)

    def epochs(self, strategy: str, task: str) -> list[float]:
        """Of each fold, to the one whose weights were kept."""
        return [c.history.best_epoch + 1.0 for c in self.outcome.costs[strategy][task]]

    def trainable(self, strategy: str, task: str | None = None) -> int:
        """Parameters of one task's head, or of all and, once, of an encoder that moves with them."""
        costs = self.outcome.costs[strategy]
        if task:
            return costs[task][0].trainable
        heads = [folds[0] for folds in costs.values()]
        return sum(c.trainable for c in heads) + max(c.shared for c in heads)

    @property
    def source_minutes(self) -> float:
        return self.source.seconds / 60

    @property
    def totals(self) -> tuple[float, float]:
        """Mean minutes of a fold, the source or the denoiser counted: shared, and separate models."""
        shared, separate = (self.minutes(s).mean() for s in ("independent", "separate"))
        return shared + self.source_minutes, separate + self.source_minutes * self.denoiser

    def per_task(self, strategy: str) -> float:
        """Minutes of a task on average, over tasks and folds."""
        return float(self.minutes(strategy).mean()) / len(self.part.tasks)

    def lines(self) -> dict[str, tuple[float, float]]:
        """(fixed, for each task) minutes of sharing by the independent strategy, and of separate
        models with and, if there is one, without the denoiser before them."""
        fixed, each = self.source_minutes, self.per_task("separate")
        lines = {"Shared source and independent heads": (fixed, self.per_task("independent"))}
        if self.denoiser:
            lines["Separate models behind a denoiser"] = (fixed, each)
        return lines | {"Separate models alone": (0.0, each)}


def cost_table(costs: Costs, name: str, title: str, paper: dict, note: str) -> Table:
    """Tables 4, 6, 8 and 10: part by part, in total, with and without the source."""
    rows, theirs = [], []

    def add(approach, part, minutes, trainable, epochs=None, key=None):
        row = {"Approach": approach, "Part": part, "Minutes": minutes}
        rows.append(row | {"Epochs": epochs, "Trainable parameters": trainable})
        theirs.append(paper.get(key, {}))

    source, minutes = costs.source, costs.source_minutes
    source_epochs = source.history.best_epoch + 1.0 if source.history.validation else 0.0
    shared = f"Shared source ({costs.learned})"
    denoiser = "Separate denoiser" if costs.denoiser else None
    for approach, strategy, first, word, keys in (
        ("Proposed", "independent", shared, "head", ("source", "proposed")),
        ("Baseline", "separate", denoiser, "model", ("denoiser", "baseline")),
    ):
        if first:
            add(approach, first, minutes, source.trainable, source_epochs, keys[0])
        for task in costs.part.tasks:
            add(
                approach,
                f"{task.title} {word}",
                Estimate(costs.minutes(strategy, task.name)),
                costs.trainable(strategy, task.name),
                Estimate(costs.epochs(strategy, task.name)),
                (strategy, task.name),
            )
        total, parameters = costs.minutes(strategy), costs.trainable(strategy)
        add(approach, f"All {word}s", Estimate(total), parameters, None, f"{keys[1]} tasks")
        if first:
            both = parameters + source.trainable
            add(approach, f"{first} and {word}s", Estimate(total + minutes), both, None, keys[1])
    for strategy in TOGETHER:
        task, total = costs.part.tasks[0].name, costs.minutes(strategy)
        label, epochs = LABELS[strategy], Estimate(costs.epochs(strategy, task))
        add(label, "Encoder and heads", Estimate(total), costs.trainable(strategy), epochs)
        heads = costs.trainable(strategy) - costs.outcome.costs[strategy][task][0].shared
        add(label, "With the source before", Estimate(total + minutes), heads + source.trainable)
    columns = ["Approach", "Part", Column("Minutes", "{:.2f}"), Column("Epochs", "{:.1f}", "{:d}")]
    columns.append(Column("Trainable parameters", "{:,d}"))
    return Table(name, title, columns, rows, theirs, note)


def crossover_figure(costs: Costs) -> Figure:
    """Minutes against the number of tasks."""
    return crossover(costs.lines(), name=f"crossover-{costs.part.name}")


# ------------------------------------------------------------------------ training


def curves(outcome: PartOutcome) -> Figure:
    """Losses of every strategy and task, all folds."""
    histories = {
        f"{LABELS[strategy]}: {task.title}": [
            cost.history for cost in outcome.costs[strategy][task.name]
        ]
        for strategy in outcome.strategies
        for task in outcome.part.tasks
    }
    return training_curves(histories, name=f"training-{outcome.part.name}")


def lowered(title: str) -> str:
    """A title inside a sentence."""
    return title[0].lower() + title[1:]


def cosines(outcome: PartOutcome) -> Figure:
    """Cosine of each two tasks' gradients on the encoder, by epoch of the joint strategy."""
    joint = outcome.costs["joint"]
    pairs = {
        f"{a.title} and {lowered(b.title)}": [
            cost.history.cosines[b.name] for cost in joint[a.name]
        ]
        for a, b in combinations(outcome.part.tasks, 2)
    }
    return cosine_curves(pairs, name=f"cosines-{outcome.part.name}")
