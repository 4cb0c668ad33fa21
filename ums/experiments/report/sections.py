"""The sections of a study's page that all modalities share; texts and tables of the paper are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from ums.experiments.names import HELD_OUT, JOINT, SEGMENTATION, STRATEGIES, TEST
from ums.experiments.report import pictures
from ums.experiments.report.group import (
    LABELS,
    comparison_table,
    cost_table,
    lowered,
    score_dots,
    score_table,
)
from ums.experiments.report.heat_maps import heat_map_section
from ums.experiments.report.page import Figure, Report, Section
from ums.experiments.report.plots import cosine_curves, crossover, training_curves
from ums.experiments.report.tables import Column, Table, formatted, formatted_p
from ums.experiments.results import paper
from ums.experiments.results.claims import Verdict, verdict
from ums.experiments.results.costs import GroupCosts, cost_of
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.records import StudyRecords
from ums.experiments.results.scores import Estimate


@dataclass(frozen=True)
class GroupText:
    """The numbers of the paper's tables about a group, 0 if there is none, and the notes under ours.

    There is a note for each kind of task, and one that follows what is true of all costs.
    """

    score_table: int = 0
    cost_table: int = 0
    score_notes: dict[str, str] = field(default_factory=dict)
    cost_note: str = ""


@dataclass(frozen=True)
class PageText:
    """What only one modality's page says.

    Attributes:
        seen: What the source has seen of the groups' images.
        groups: Group -> its text, where the paper has tables about it.
    """

    title: str
    subtitle: str
    seen: str
    groups: dict[str, GroupText] = field(default_factory=dict)
    claims: Sequence[paper.Claim] = ()
    cost_note: str = ""


def build(
    study: StudyRecords,
    text: PageText,
    source: Section,
    own_sections: Callable[[GroupResults], Sequence[Section]] = lambda group: (),
    summary: Sequence[str] = (),
) -> Report:
    """The whole page of a study.

    ``own_sections`` makes the sections that only this modality has, after a group's scores; ``summary``
    holds the sentences after those that all studies have.
    """
    records = study.parts[""]
    groups = [GroupResults(records, name, study.about["seed"]) for name in records.groups]
    trained, costs = cost_of(records.one("source")), {}
    denoiser = study.about["denoises baseline"] and study.about["source trained"]
    for group in groups:
        titles = {task.name: task.title for task in group.tasks}
        costs[group.name] = GroupCosts(titles, group.costs, trained, denoiser)
    claims = [claims_section(groups, text.claims)] if text.claims else []
    sections = [*claims, source]
    for group in groups:
        own = text.groups.get(group.name, GroupText())
        sections += [scores_section(group, own, text.seen), *own_sections(group)]
        if group.heat_maps:
            sections.append(heat_map_section(group, study.about["seed"]))
        cost = cost_section(
            group, costs[group.name], own, text.cost_note, study.about["source task"]
        )
        sections += [cost, training_section(group)]
    return Report(
        title=text.title,
        subtitle=text.subtitle,
        summary=[*summary_lines(groups, costs, claims), *summary],
        sections=sections,
        run=run_information(study),
    )


def run_information(study: StudyRecords) -> dict[str, str]:
    """What was run: data, settings, device, versions."""
    about, settings = study.about, {}
    for text, value in about["settings"].items():
        written = f"{value:g}" if isinstance(value, float) else str(value)
        written = {"True": "yes", "False": "no"}.get(written, written)
        settings[text[0].upper() + text[1:]] = written
    versions = ", ".join(f"{name} {version}" for name, version in about["made by"].items())
    return {**about["data"], **settings, "Device": about["device"], "Versions": versions}


def summary_lines(
    groups: Sequence[GroupResults], costs: dict[str, GroupCosts], claims: Sequence[Section]
) -> list[str]:
    """The main numbers in words; all of them are in a table too."""
    lines = []
    for group in groups:
        for task in group.tasks:
            values = ", ".join(
                f"{arm} {formatted(group.mean(arm, TEST, task))}" for arm in STRATEGIES
            )
            lines.append(f"{task.title}, {task.measure} on {group.test_name}: {values}.")
    for section in claims:
        counts = [sum(row["Here"] is v for row in section.tables[0].rows) for v in Verdict]
        lines.append(
            f"Of the paper's claims about which strategy scores higher, {counts[0]} hold here, "
            f"{counts[1]} do not, and {counts[2]} are not distinguishable."
        )
    for name, cost in costs.items():
        heads, models = (cost.minutes(arm).mean() for arm in ("independent", "separate"))
        shared, separate = cost.totals
        if cost.denoiser:
            counted = f"with the source or the denoiser {shared:.1f} and {separate:.1f}"
        else:
            counted = f"with the source, which separate models do without, {shared:.1f}"
        lines.append(
            f"Training time, {name} tasks: heads on the shared source {heads:.1f} minutes a fold, "
            f"separate models {models:.1f}; {counted}."
        )
    return lines


def claims_section(groups: Sequence[GroupResults], claims: Sequence[paper.Claim]) -> Section:
    """Each claim on each task: what was measured, and the verdict."""
    found = [
        (group, claim, task)
        for group in groups
        for claim in claims
        for name in claim.tasks
        for task in group.tasks
        if claim.group == group.name and task.name == name
    ]
    rows = []
    for group, claim, task in found:
        compared = group.comparison(task.name, claim.better, claim.worse)
        differences, statistic = compared.seen_from(claim.better)
        rows.append(
            {
                "The paper": f"{LABELS[claim.better]} above {LABELS[claim.worse].lower()}",
                "Task": task.title,
                "Here": verdict(differences, statistic, compared.corrected),
                "Measure": task.measure,
                "Difference here": Estimate(differences),
                "p": compared.corrected,
                "Where": claim.source,
            }
        )
    columns = ["The paper", "Task", "Here", "Measure", Column("Difference here", "{:+.3f}")]
    columns += [Column("p", formatted_p), "Where"]
    note = (
        "Differences on the test set, mean and standard deviation over folds. A claim is decided only where "
        "the difference is significant at 0.05 after Holm's correction over all comparisons of its group "
        "and has the same sign in all folds and in the test. p says what other test cases might change, the "
        "folds what another training would. The tests are explained below each group's tables; for "
        "classifications they compare right answers, not the MCC."
    )
    table = Table("claims", "Claims on which strategy scores higher", columns, rows, note=note)
    return Section("The paper's claims, and what was measured here", "", [table])


def scores_section(group: GroupResults, own: GroupText, text: str) -> Section:
    """Scores with spread and intervals, the comparisons behind them, and outlines of masks."""
    number, printed = own.score_table, paper.table(own.score_table)
    blocks: list[Table | Figure] = [score_dots(group, printed)]
    for kind in dict.fromkeys(task.kind for task in group.tasks):
        for where, place in ((TEST, group.test_name), (HELD_OUT, group.held_out_name)):
            title, anchor = f"{kind.title()}: {place}", f"{group.name}-{kind}-{where}"
            theirs, note = {}, ""
            if where == TEST and number:
                title, anchor = f"Table {number}, {kind}: {place}", f"table-{number}-{kind}"
                theirs, note = printed, own.score_notes.get(kind, "")
            blocks.append(score_table(group, kind, where, (anchor, title), theirs, note))
    blocks.append(comparison_table(group, f"{group.name}-comparisons"))
    if "outlines case" in group.pictures:
        blocks.append(_outlines(group))
    folds = (
        f"{group.k} folds by patient: each network was trained on {group.k - 1} of them (less a share "
        "that decides when to stop, and any labels that the settings leave out) and tested on the one "
        "held out and on the whole of a set that is "
        "never trained on. A score is the mean of the folds' networks ± their standard deviation, with "
        "the 95 % bootstrap interval over the patients they were tested on."
    )
    return Section(group.title, f"{folds} {text}".strip(), blocks)


def _outlines(group: GroupResults) -> Figure:
    """True and predicted outlines by the first fold's networks on the test set."""
    task = next(task.name for task in group.tasks if task.kind == SEGMENTATION)
    kept, scores = group.pictures, group.scores
    panel = pictures.outline_panel(
        kept["outlines images"],
        kept["outlines truth"],
        {LABELS[arm]: kept[f"outlines {arm}"] for arm in STRATEGIES},
        {
            LABELS[arm]: scores[arm, TEST, task].values["IoU"][0][kept["outlines case"]]
            for arm in STRATEGIES
        },
        titles=["best", "median", "worst tenth", "worst"],
    )
    panel.caption = (
        f"Images of {group.test_name}: the true outline in white, the predicted one in colour, by "
        "the first fold's networks. The images are chosen by the independent head's IoU."
    )
    return panel


def cost_section(
    group: GroupResults, costs: GroupCosts, own: GroupText, cost_note: str, source_task: str
) -> Section:
    """Time and parameters, and after how many tasks sharing pays."""
    notes = (
        "Wall time of training on this machine, mean and standard deviation over folds; epochs up to the "
        "one whose weights were kept.",
        cost_note,
        own.cost_note,
        "Tuned alternately or jointly, the encoder goes on learning: its parameters count once.",
    )
    number, title, anchor = own.cost_table, f"Cost of the {group.name} tasks", f"{group.name}-cost"
    if number:
        title, anchor = f"Table {number}, cost of the {group.name} tasks", f"table-{number}"
    note = " ".join(filter(None, notes))
    table = cost_table(costs, anchor, title, paper.table(number), source_task, note)
    figure = crossover(costs.lines(), name=f"crossover-{group.name}")
    return Section(f"Cost: {group.name} tasks", "", [table, figure])


def training_section(group: GroupResults) -> Section:
    """Losses by epoch, and how the tasks' gradients agree."""
    text = (
        "The weights of the best validation epoch are the ones kept. The loss is categorical "
        "cross-entropy for classes, half binary cross-entropy and half Dice for masks. The gradients are "
        "those of joint tuning."
    )
    histories = {
        f"{LABELS[arm]}: {task.title}": [cost.history for cost in group.costs[arm][task.name]]
        for arm in group.arms
        for task in group.tasks
    }
    cosines = {
        f"{a.title} and {lowered(b.title)}": [
            cost.history.cosines[b.name] for cost in group.costs[JOINT][a.name]
        ]
        for a, b in combinations(group.tasks, 2)
    }
    figures: list[Table | Figure] = [training_curves(histories, name=f"training-{group.name}")]
    if cosines:  # a group of one task has none
        figures.append(cosine_curves(cosines, name=f"cosines-{group.name}"))
    return Section(f"Training: {group.name} tasks", text, figures)


def overlap_note(what: str) -> str:
    """Note under a table of a segmentation of ``what``."""
    return (
        f"Means over images; F-score and IoU are of the {what}, image by image. The paper's IoU lies "
        f"above its F-score, which an IoU of the {what} alone cannot (IoU = F / (2 - F)), so it stands "
        f"beside the mean of two IoUs, of the {what} and of the background."
    )


def source_curves(study: StudyRecords, label: str) -> list[Table | Figure]:
    """The source's losses by epoch, if it was trained."""
    history = cost_of(study.parts[""].one("source")).history
    return [training_curves({label: history}, name="training-source")] if history.validation else []
