"""The section that a page leads with: when does sharing pay, and what few replicates cannot settle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ums.experiments.report.forest import forest
from ums.experiments.report.page import Section
from ums.experiments.report.tables import Column, Table, formatted
from ums.experiments.report.words import condition, counted, listed, lowered
from ums.experiments.results.contrasts import QUESTIONS, Question, answer, family
from ums.experiments.results.groups import GroupResults, TaskInfo
from ums.experiments.results.pilots import replicates_needed, verdict_chances
from ums.experiments.results.scores import Estimate
from ums.experiments.results.verdicts import MARGINS, Contrast, Verdict

TIMES_MARGIN = 2
"""The true difference for which the page says how often it is found, in margins."""


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
        """The task with its difference and interval."""
        difference = Estimate([self.contrast.mean], *self.contrast.interval)
        written = formatted(difference, "{:+.3f}")
        return f"{lowered(self.task.title)} ({self.task.measure} {written})"


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
    """What the primary contrasts say, in words."""
    primary = [a for a in found if a.question.primary]
    if not primary:
        return []
    verdicts = [a.contrast.verdict for a in primary]
    order = sorted(primary, key=lambda a: a.in_margins)
    low, high = (f"{a.question.name}, {a.words}" for a in (order[0], order[-1]))
    replicates = listed(str(n) for n in dict.fromkeys(a.contrast.replicates for a in primary))
    lines = [
        f"When does sharing an encoder pay? Against one task alone from the same source, on "
        f"{len(primary)} comparisons with {replicates} replicates each, “sharing scores higher” "
        f"{counted(verdicts)}.",
        f"The difference ranges from {low} to {high}.",
    ]
    for verdict, says in (
        (Verdict.HOLDS, "It pays for"),
        (Verdict.REFUTED, "It costs for"),
        (Verdict.NEGLIGIBLE, "It makes no difference that matters for"),
    ):
        if there := [
            f"{a.question.name}, {a.words}" for a in primary if a.contrast.verdict is verdict
        ]:
            lines.append(f"{says} {'; '.join(there)}.")
    return lines


def secondary_sentences(found: Sequence[Answer]) -> list[str]:
    """What the other contrasts say, a sentence for each question."""
    lines = []
    for question in QUESTIONS:
        of = sorted((a for a in found if a.question is question), key=lambda a: a.in_margins)
        if of and not question.primary:
            verdicts = counted(a.contrast.verdict for a in of)
            lines.append(
                f"{question.name.capitalize()}: {question.text}. On {len(of)} tasks, “scores higher” "
                f"{verdicts}; from {of[0].words} to {of[-1].words}."
            )
    return lines


def answer_section(groups: Sequence[GroupResults], found: Sequence[Answer]) -> Section:
    """The forest plot of all contrasts, their table, and the answer in words."""
    panels: dict[str, dict[str, Contrast]] = {}
    for a in found:
        panels.setdefault(a.task.title, {})[a.question.name] = a.contrast
    measures = {a.task.title: a.task.measure for a in found}
    plot = forest(panels, measures, "contrasts", "Each row is a question, each panel a task.")
    text = [*primary_sentences(found), *secondary_sentences(found)]
    paragraphs = [" ".join(text[:2]), *text[2:], " ".join(filter(None, map(condition, groups)))]
    return Section("When does sharing pay?", "\n\n".join(paragraphs), [plot, _table(found)])


def _table(found: Sequence[Answer]) -> Table:
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
    return Table(
        "contrasts", "What differs, and by how much", columns, list(rows.values()), note=note
    )


def _heading(task: TaskInfo) -> str:
    return f"{task.title}, {task.measure}"


def _arms(question: Question) -> str:
    return f"{question.better} − {question.worse}"


# ------------------------------------------------------------------------ what few replicates cannot settle


def power_section(groups: Sequence[GroupResults], found: Sequence[Answer]) -> Section | None:
    """What so many replicates can settle, by the spreads measured here; None without a spread."""
    size, rows = family(groups), []
    for a in found:
        sd, margin, R = spread(a), a.contrast.margin, a.contrast.replicates
        if a.question.primary and R > 1 and sd > 0:
            there = verdict_chances(TIMES_MARGIN * margin, sd, R, margin, size)[Verdict.HOLDS]
            nothing = verdict_chances(0, sd, R, margin, size)[Verdict.NEGLIGIBLE]
            rows.append(
                {"Task": a.task.title, "Sharing": a.question.better, "Measure": a.task.measure}
                | {"Spread": sd, "True difference": TIMES_MARGIN * margin, "Found": there}
                | {"None, and called negligible": nothing, "Replicates": R}
                | {"Needed": replicates_needed(sd, margin, size)}
            )
    if not rows:
        return None
    columns: list[str | Column] = ["Task", "Sharing", "Measure", "Spread"]
    columns += [Column("True difference", "{:g}"), Column("Found", "{:.0%}")]
    columns += [Column("None, and called negligible", "{:.0%}"), "Replicates", "Needed"]
    note = (
        "Spread: standard deviation over replicates of the paired difference, measured here. Found: the "
        "chance that so many replicates say “holds” of the true difference beside it. The next: the chance "
        "that they say “negligible” where there is no difference. Needed: replicates whose interval is "
        "as narrow as the margin to either side. All by the simultaneous interval over trainings, of "
        "independent replicates; few test patients, or replicates that share theirs, make it harder."
    )
    table = Table("power", "Chances of a verdict", columns, rows, note=note)
    text = " ".join(power_sentences(found, size))
    return Section("What so many replicates can settle", text, [table])


def power_sentences(found: Iterable[Answer], size: int) -> list[str]:
    """By measure, how likely a true difference is found with the replicates there are."""
    primary = [a for a in found if a.question.primary and spread(a) > 0]
    lines = []
    for measure in dict.fromkeys(a.task.measure for a in primary):
        of = [a for a in primary if a.task.measure == measure]
        R, margin = of[0].contrast.replicates, of[0].contrast.margin
        sd = float(np.sqrt(np.mean([spread(a) ** 2 for a in of])))
        chance = verdict_chances(TIMES_MARGIN * margin, sd, R, margin, size)[Verdict.HOLDS]
        lines.append(
            f"With {R} replicates, a true difference of {TIMES_MARGIN * margin:g} {measure} by sharing is "
            f"found with a probability of {chance:.0%} (spread over replicates {sd:.3f}); an interval as "
            f"narrow as the margin of {margin:g} takes {replicates_needed(sd, margin, size):,} replicates."
        )
    return lines


def spread(a: Answer) -> float:
    """The standard deviation over replicates of a paired difference; 0 for one replicate."""
    pair = (a.group.measured(arm, a.task.name, "") for arm in (a.question.better, a.question.worse))
    better, worse = (measured.values for measured in pair)
    return float(np.std(better - worse, ddof=1)) if len(better) > 1 else 0.0
