"""The sections on factors: what changes the benefit of sharing, with the number of labels first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ums.experiments.names import ALTERNATING, JOINT, SCRATCH, SINGLE
from ums.experiments.report.forest import benefit_curves
from ums.experiments.report.page import Figure, Section
from ums.experiments.report.tables import Column, Table
from ums.experiments.report.words import FACTORS, NUMBER_OF_LABELS, contrasts_counted
from ums.experiments.results.groups import GroupResults, TaskInfo
from ums.experiments.results.records import StudyRecords
from ums.experiments.results.verdicts import Contrast

PRETRAINING = "Single − scratch"
BENEFITS = {
    "Alternating − single": (ALTERNATING, SINGLE),
    "Joint − single": (JOINT, SINGLE),
    PRETRAINING: (SINGLE, SCRATCH),
}
"""Contrasts that all levels have the arms for: twice sharing, and pretraining."""

AS_MAIN = "as in the study"


class Benefit(NamedTuple):
    """One of BENEFITS on a task at one level of a factor, with its plain interval.

    Attributes:
        name: In BENEFITS.
        level: The level's label.
        labels: How many labelled images the arms were trained on there.
        task: The task.
        contrast: The difference.
    """

    name: str
    level: str
    labels: float
    task: TaskInfo
    contrast: Contrast

    @property
    def column(self) -> str:
        """The heading of the task's column."""
        return f"{self.task.title}, {self.task.measure}"


def benefits(study: StudyRecords, factor: str, main: Sequence[GroupResults]) -> list[Benefit]:
    """The benefits by name and level, the fewest labels first; none if the factor was not varied."""
    settings = study.about.get("parts", {})
    labels = settings.get("", {}).get(NUMBER_OF_LABELS)
    levels = {"": (f"{labels} labels" if factor == "labels" else AS_MAIN, list(main))}
    for part, records in study.parts.items():
        of, _, label = part.partition(": ")
        if of == factor:
            levels[part] = label, [GroupResults(records, group) for group in records.groups]
    if len(levels) == 1:
        return []
    found = [
        Benefit(
            name, label, settings[part][NUMBER_OF_LABELS], task, group.contrast(*arms, task.name)
        )
        for name, arms in BENEFITS.items()
        for part, (label, groups) in levels.items()
        for group in groups
        for task in group.tasks
        if all(group.has(arm, task.name) for arm in arms)
    ]
    return sorted(found, key=lambda each: (list(BENEFITS).index(each.name), each.labels))


def factor_sections(study: StudyRecords, main: Sequence[GroupResults]) -> list[Section]:
    """A section for each factor that was varied."""
    sections = []
    for factor, (title, why) in FACTORS.items():
        if found := benefits(study, factor, main):
            text = f"{why}\n\n{' '.join(sentences(found))}"
            figures = [_curves(found)] if factor == "labels" else []
            sections.append(Section(title, text, [*figures, _table(factor, found)]))
    return sections


def sentences(found: Sequence[Benefit]) -> list[str]:
    """What sharing and pretraining do at each level."""
    lines = []
    for level in dict.fromkeys(each.level for each in found):
        of = [each for each in found if each.level == level]
        sharing = [each.contrast.verdict for each in of if each.name != PRETRAINING]
        pretraining = [each.contrast.verdict for each in of if each.name == PRETRAINING]
        lines.append(
            f"{level.capitalize()}: sharing, against one task alone, {contrasts_counted(sharing)} of "
            f"{len(sharing)}; pretraining, against random weights, {contrasts_counted(pretraining)} of "
            f"{len(pretraining)}."
        )
    return lines


def _curves(found: Sequence[Benefit]) -> Figure:
    """The benefits over the number of labels."""
    measures = {each.task.title: each.task.measure for each in found}
    curves: dict[str, dict[str, dict[float, Contrast]]] = {title: {} for title in measures}
    for each in found:
        curves[each.task.title].setdefault(each.name, {})[each.labels] = each.contrast
    return benefit_curves(curves, measures, "labelled images", "benefit-labels")


def _table(factor: str, found: Sequence[Benefit]) -> Table:
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for each in found:
        first = {
            "Difference": each.name,
            "Level": each.level,
            "Replicates": each.contrast.replicates,
        }
        rows.setdefault((each.name, each.level), first)[each.column] = each.contrast
    tasks = [Column(column, "{:+.3f}") for column in dict.fromkeys(each.column for each in found)]
    note = "As the table of all contrasts, but with plain intervals throughout."
    title = f"{FACTORS[factor][0]}: what it changes"
    columns = ["Difference", "Level", "Replicates", *tasks]
    return Table(f"factor-{factor}", title, columns, list(rows.values()), note=note)
