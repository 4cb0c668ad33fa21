"""The section that a page leads with: when does sharing pay, and what few replicates cannot settle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ums.experiments.report.forest import forest
from ums.experiments.report.page import Section
from ums.experiments.report.tables import Column, Table, formatted
from ums.experiments.report.words import (
    LABELS,
    condition,
    contrasts_counted,
    listed,
    lowered,
    percent,
)
from ums.experiments.results.contrasts import QUESTIONS, Question, answer, family
from ums.experiments.results.groups import MARGIN, GroupResults, TaskInfo
from ums.experiments.results.pilots import replicates_needed, verdict_chances
from ums.experiments.results.published import published
from ums.experiments.results.scores import Estimate
from ums.experiments.results.verdicts import MARGINS, Contrast, Verdict

TIMES_MARGIN = 2
"""The true difference for which the page says how often it is found, in margins."""

MORE = (10, 20, 40)
"""Numbers of replicates beside that of the study."""


class Answer(NamedTuple):
    """The contrast that answers a question on a task."""

    question: Question
    group: GroupResults
    task: TaskInfo
    contrast: Contrast

    @property
    def in_margins(self) -> float:
        """The difference by the largest that does not matter, to order those of several measures."""
        return self.contrast.mean / self.contrast.margin

    @property
    def words(self) -> str:
        """The question and the task with the difference and its interval."""
        difference = Estimate([self.contrast.mean], *self.contrast.interval)
        written = formatted(difference, "{:+.3f}")
        question = self.question.name.removeprefix("sharing, ")
        return f"{question}, {lowered(self.task.title)} ({self.task.measure} {written})"


def answers(groups: Sequence[GroupResults]) -> list[Answer]:
    """The contrasts of all questions and tasks that the study has the arms for."""
    size = family(groups)
    return [
        Answer(question, group, task, found)
        for question in QUESTIONS
        for group in groups
        for task in group.tasks
        if (found := answer(group, question, task.name, size))
    ]


def primary_sentences(found: Iterable[Answer]) -> list[str]:
    """What the primary contrasts say, in words: when sharing pays."""
    primary = sorted((a for a in found if a.question.primary), key=lambda a: a.in_margins)
    if not primary:
        return []
    replicates = listed(str(n) for n in dict.fromkeys(a.contrast.replicates for a in primary))
    lines = [
        f"Sharing an encoder, against one task alone from the same source, "
        f"{contrasts_counted(a.contrast.verdict for a in primary)} of {len(primary)} comparisons over "
        f"{replicates} replicate{'s' * (replicates != '1')} of everything.",
        f"From the lowest to the highest: {primary[0].words} to {primary[-1].words}.",
    ]
    for verdict, says in (
        (Verdict.HOLDS, "It pays for"),
        (Verdict.REFUTED, "It costs for"),
        (Verdict.NEGLIGIBLE, "It makes no difference that matters for"),
    ):
        there = [a.words for a in reversed(primary) if a.contrast.verdict is verdict]
        lines += [f"{says} {'; '.join(there)}."] if there else []
    return lines


def secondary_sentences(found: Sequence[Answer]) -> list[str]:
    """What the other contrasts say, a sentence for each question."""
    lines = []
    for question in (q for q in QUESTIONS if not q.primary):
        if verdicts := [a.contrast.verdict for a in found if a.question is question]:
            name, counts = question.name.capitalize(), contrasts_counted(verdicts)
            lines.append(f"{name} ({question.text}) {counts} of {len(verdicts)} tasks.")
    return lines


def answer_section(
    groups: Sequence[GroupResults],
    found: Sequence[Answer],
    title: str = "When does sharing pay?",
    name: str = "contrasts",
) -> Section:
    """The answer in words, the forest plot of all contrasts, and their table, both of that name."""
    panels: dict[str, dict[str, Contrast]] = {}
    for a in found:
        panels.setdefault(a.task.title, {})[a.question.name.capitalize()] = a.contrast
    measures = {a.task.title: a.task.measure for a in found}
    plot = forest(panels, measures, name)
    paragraphs = (primary_sentences(found), secondary_sentences(found), [condition(groups)])
    text = "\n\n".join(" ".join(filter(None, lines)) for lines in paragraphs)
    return Section(title, text, [plot, _table(found, name)])


def published_section(name: str) -> Section | None:
    """The same of the records that are published with the project, if there are any of the study."""
    study = published(name)
    if study is None:
        return None
    records = study.parts[""]
    groups = [GroupResults(records, group) for group in records.groups]
    replicates = max(group.replicates for group in groups)
    title = f"Beside it: the published records, {replicates} replicates"
    section = answer_section(groups, answers(groups), title, "published-contrasts")
    data = "; ".join([*dict.fromkeys(study.about["data"].values())])
    section.text += f"\n\nImages: {data}. All results: ums/experiments/RESULTS.md."
    return section


def _table(found: Sequence[Answer], name: str) -> Table:
    """Questions in rows, tasks in columns."""
    rows: dict[str, dict[str, Any]] = {}
    for a in found:
        first = {"Question": a.question.name.capitalize(), "Difference": _arms(a.question)}
        rows.setdefault(a.question.name, first)[_heading(a.task)] = a.contrast
    tasks = list(dict.fromkeys(_heading(a.task) for a in found))
    margins = listed(f"{margin:g} {measure}" for measure, margin in MARGINS.items())
    note = (
        "Mean over replicates of the paired difference on the test set, each task's network of its own best "
        "epoch, with the 95 % interval over other trainings and other patients. ≈ negligible: the interval "
        f"lies inside the margin, {margins}, fixed beforehand. Otherwise ✓ holds: it lies above 0; "
        "✗ refuted: below 0; ? open. The contrasts of sharing with one task alone from the source are right "
        f"together (Bonferroni, {sum(a.question.primary for a in found)}); all others have plain "
        "intervals, of which one in twenty is wrong by chance."
    )
    columns = ["Question", "Difference", *(Column(task, "{:+.3f}") for task in tasks)]
    return Table(name, "What differs, and by how much", columns, list(rows.values()), note=note)


def _heading(task: TaskInfo) -> str:
    return f"{task.title}, {task.measure}"


def _arms(question: Question) -> str:
    return f"{LABELS[question.better]} − {LABELS[question.worse].lower()}"


# ------------------------------------------------------------------------ what few replicates cannot settle


def power_section(groups: Sequence[GroupResults], found: Sequence[Answer]) -> Section | None:
    """What so many replicates can settle, by the spreads measured here; None without a spread."""
    size, rows = family(groups), []
    pooled = spreads(found)
    for measure, (sd, R) in pooled.items():
        margin = MARGINS.get(measure, MARGIN)
        for n in sorted({R, *MORE}):
            there = verdict_chances(TIMES_MARGIN * margin, sd, n, margin, size)
            nothing = verdict_chances(0, sd, n, margin, size)
            row = {"Measure": measure, "Replicates": n, "Difference": TIMES_MARGIN * margin}
            row |= {"Found": there[Verdict.HOLDS], "If there is none": nothing[Verdict.NEGLIGIBLE]}
            rows.append(row | {"Note": "this study" if n == R else ""})
    if not rows:
        return None
    columns: list[str | Column] = ["Measure", "Replicates", Column("Difference", "{:g}")]
    columns += [Column("Found", "{:.0%}"), Column("If there is none", "{:.0%}"), "Note"]
    note = (
        "Found: the chance of the verdict “holds” where the true difference is the one beside it. If there "
        "is none: the chance of the verdict “negligible”. By the simultaneous interval over trainings of "
        "independent replicates; few test patients, or replicates that share theirs, make it harder."
    )
    table = Table("power", "Chances of a verdict on sharing", columns, rows, note=note)
    text = " ".join(power_sentences(pooled, size))
    return Section("What so many replicates can settle", text, [table])


def power_sentences(pooled: dict[str, tuple[float, int]], size: int) -> list[str]:
    """By measure, how likely a true difference is found with the replicates there are."""
    lines = []
    for measure, (sd, R) in pooled.items():
        margin = MARGINS.get(measure, MARGIN)
        chance = verdict_chances(TIMES_MARGIN * margin, sd, R, margin, size)[Verdict.HOLDS]
        lines.append(
            f"With {R} replicates, a true difference of {TIMES_MARGIN * margin:g} {measure} by sharing is "
            f"found with a probability of {percent(chance)} (spread of the difference over replicates "
            f"{sd:.3f}); an interval as narrow as the margin of {margin:g} takes "
            f"{replicates_needed(sd, margin, size):,} replicates."
        )
    return lines


def spreads(found: Iterable[Answer]) -> dict[str, tuple[float, int]]:
    """Measure -> spread of the primary paired differences over replicates, and how many there are.

    The spread is the root of the mean variance of the contrasts in that measure.
    """
    variances: dict[str, list[float]] = {}
    counts = {}
    for a in (a for a in found if a.question.primary and a.contrast.replicates > 1):
        arms = (a.question.better, a.question.worse)
        better, worse = (a.group.measured(arm, a.task.name, "").values for arm in arms)
        variances.setdefault(a.task.measure, []).append(float(np.var(better - worse, ddof=1)))
        counts[a.task.measure] = a.contrast.replicates
    return {m: (float(np.sqrt(np.mean(v))), counts[m]) for m, v in variances.items() if sum(v) > 0}
