"""A study's page, section by section; texts and tables of the paper are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement

from ums.experiments.names import (
    CLASSIFICATION,
    INDEPENDENT,
    JOINT,
    REGRESSION,
    SCRATCH,
    SEGMENTATION,
    SEPARATE,
    SEVERAL_LABELS,
    SINGLE,
    STRATEGIES,
    tasks_of,
)
from ums.experiments.report import pictures
from ums.experiments.report.answer import (
    answer_section,
    answers,
    power_section,
    power_sentences,
    primary_sentences,
    published_section,
    spreads,
)
from ums.experiments.report.claims import claims_section, verdicts_of
from ums.experiments.report.factors import factor_sections
from ums.experiments.report.group import (
    arm_cost_table,
    one_encoder_table,
    overview_table,
    paper_cost_table,
    places,
    score_table,
)
from ums.experiments.report.heat_maps import heat_map_section
from ums.experiments.report.page import Figure, Report, Section
from ums.experiments.report.plots import cosine_curves, crossover, training_curves
from ums.experiments.report.tables import Table
from ums.experiments.report.words import (
    ARMS,
    LABELS,
    claims_counted,
    condition,
    listed,
    lowered,
    percent,
)
from ums.experiments.results import paper
from ums.experiments.results.contrasts import family
from ums.experiments.results.costs import GroupCosts, cost_of
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.records import StudyRecords

SHOWN, CURVES = (*STRATEGIES, SINGLE, SCRATCH), 5
"""Arms whose training curves are drawn, and of how many replicates."""


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
    source: Section | None,
    own_sections: Callable[[GroupResults], Sequence[Section]] = lambda group: (),
    summary: Sequence[str] = (),
) -> Report:
    """The whole page of a study.

    ``source`` is None where no arm needs one. ``own_sections`` makes the sections that only this modality
    has, after a group's scores; ``summary`` holds the sentences after those that all studies have.
    """
    records = study.parts[""]
    groups = [GroupResults(records, name) for name in records.groups]
    costs = {group.name: costs_of(study, group) for group in groups}
    found = answers(groups)
    sections = [answer_section(groups, found)] if found else []
    sections += factor_sections(study, groups)
    power = power_section(groups, found)
    beside = published_section(study.name)
    sections += [section for section in (power, beside) if section]
    lines = [*primary_sentences(found)[:2], *power_sentences(spreads(found), family(groups))]
    if text.claims:
        numbers = {name: (own.score_table, own.cost_table) for name, own in text.groups.items()}
        sections.append(claims_section(groups, costs, text.claims, numbers))
        verdicts = verdicts_of(sections[-1].tables[0].rows)
        lines.append(f"Of the paper's {len(verdicts)} claims, {claims_counted(verdicts)}.")
    sections += [arms_section(groups), *([source] if source else [])]
    for group in groups:
        own = text.groups.get(group.name, GroupText())
        images = provenance(study, group)
        sections += [scores_section(group, own, f"{text.seen} {images}"), *own_sections(group)]
        if group.heat_maps:
            sections.append(heat_map_section(group, images))
        sections.append(cost_section(study, group, costs[group.name], own, text.cost_note))
        sections.append(training_section(group))
    lines += [*filter(None, (time_line(groups, costs), condition(groups))), *summary]
    return Report(text.title, text.subtitle, lines, sections, run_information(study))


def costs_of(study: StudyRecords, group: GroupResults) -> GroupCosts:
    """What a group took, with the source of each replicate."""
    source = [cost_of(record) for record in study.parts[""].of("source")]
    denoiser = study.about["denoises baseline"] and study.about["source trained"]
    return GroupCosts({t.name: t.title for t in group.tasks}, group.costs, source, denoiser)


def run_information(study: StudyRecords) -> dict[str, str]:
    """What was run: data, settings, device, versions."""
    about, settings = study.about, {}
    for text, value in about["settings"].items():
        written = f"{value:g}" if isinstance(value, float) else str(value)
        written = {"True": "yes", "False": "no"}.get(written, written)
        settings[text[0].upper() + text[1:]] = written
    levels = [part for part in study.parts if part] if "parts" in about else []
    versions = ", ".join(f"{name} {version}" for name, version in about["made by"].items())
    facts = {**about["data"], **settings, "Device": about["device"]}
    return (
        facts
        | ({"Levels of factors": "; ".join(levels)} if levels else {})
        | {"Versions": versions}
    )


def provenance(study: StudyRecords, group: GroupResults) -> str:
    """Where a group's images come from, to stand beside its figures."""
    data, title = study.about["data"], tasks_of(group.name).capitalize()
    found = [data[name] for use in ("training", "test") if (name := f"{title}, {use} set") in data]
    return f"Images: {'; '.join([*found, data.get('Image size', '')])}."


def time_line(groups: Sequence[GroupResults], costs: dict[str, GroupCosts]) -> str:
    """What training took, in words; nothing without the two approaches."""
    there = [g.name for g in groups if {INDEPENDENT, SEPARATE} <= set(g.arms)]
    shares = {name: [percent(share) for share in costs[name].time_left] for name in there}
    took = [
        f"{alone} for the {tasks_of(n)} ({whole} with the source)"
        for n, (alone, whole) in shares.items()
    ]
    text = "Training time of independent heads on the shared source, of separate models' time:"
    return f"{text} {listed(took)}." if took else ""


def arms_section(groups: Sequence[GroupResults]) -> Section:
    """What the arms are."""
    there = {arm for group in groups for arm in group.runs}
    rows = [{"Arm": label, "What it is": text} for a, (label, text) in ARMS.items() if a in there]
    text = (
        "All arms train each task for as many steps, with the same schedule, on the same images. In each "
        "replicate everything is drawn anew: the source's images, the labelled images, the weights at the "
        "start and the order. Unless the settings state one learning rate for all, that of each arm is the "
        "one that a pilot chose by the validation loss, with as many trials for each, on replicates that "
        "are not among these, or 0.001 where there was no pilot."
    )
    return Section("The arms", text, [Table("arms", "Ways to train", list(rows[0]), rows)])


def scores_section(group: GroupResults, own: GroupText, text: str) -> Section:
    """Scores with spread and intervals, and outlines of masks."""
    number, printed = own.score_table, paper.table(own.score_table)
    blocks: list[Table | Figure] = []
    blocks += [overview_table(group, where, name) for where, name in places(group).items()]
    for kind in dict.fromkeys(task.kind for task in group.tasks):
        title, anchor = f"{kind.capitalize()}: {group.test_name}", f"{group.name}-{kind}"
        if number:
            title, anchor = f"Table {number}, {kind}: {group.test_name}", f"table-{number}-{kind}"
        note = own.score_notes.get(kind, "")
        blocks.append(score_table(group, kind, (anchor, title), printed, note))
    one_encoder = one_encoder_table(group)
    blocks += [one_encoder] if one_encoder else []
    if "outlines case" in group.pictures:
        blocks.append(_outlines(group))
    how = (
        f"A score is the mean over {_replicates(group)} ± their standard deviation, with the 95 % "
        "interval over other trainings and other patients; the F-score of classes and the AUC of more than "
        f"two have none. {condition([group])}"
    )
    return Section(group.title, f"{how.strip()}\n\n{text}", blocks)


def _replicates(group: GroupResults) -> str:
    counts = {len(group.runs[arm]) for arm in group.arms}
    fewer = f" (of some methods {min(counts)})" if len(counts) > 1 else ""
    return f"{max(counts)} replicate{'s' * (max(counts) > 1)}{fewer}"


def _outlines(group: GroupResults) -> Figure:
    """True and predicted outlines by the first replicate's networks on the test set."""
    task = next(task.name for task in group.tasks if task.kind == SEGMENTATION)
    kept, case = group.pictures, group.pictures["outlines case"]
    arms = [arm for arm in STRATEGIES if f"outlines {arm}" in kept]
    panel = pictures.outline_panel(
        kept["outlines images"],
        kept["outlines truth"],
        {LABELS[arm]: kept[f"outlines {arm}"] for arm in arms},
        {LABELS[arm]: group.values(arm, task, "IoU")[0][case] for arm in arms},
        titles=["best", "median", "worst tenth", "worst"],
    )
    panel.caption = (
        f"Images of {group.test_name}: the true outline in white, the predicted one in colour, by the first "
        f"replicate's networks. The images are chosen by the IoU of {LABELS[next(iter(group.runs))].lower()}."
    )
    return panel


def cost_section(
    study: StudyRecords, group: GroupResults, costs: GroupCosts, own: GroupText, cost_note: str
) -> Section:
    """Time, updates and parameters, and after how many tasks sharing pays."""
    blocks: list[Table | Figure] = [arm_cost_table(group, costs)]
    if {INDEPENDENT, SEPARATE} <= set(group.arms):
        number, title, anchor = own.cost_table, "The shared source and separate models", ""
        if number:
            title, anchor = f"Table {number}, cost of the {tasks_of(group.name)}", f"table-{number}"
        note = " ".join(filter(None, (cost_note, own.cost_note)))
        words = (anchor or f"{group.name}-cost", title, paper.table(number))
        blocks.append(paper_cost_table(costs, *words, study.about["source task"], note))
        blocks.append(crossover(costs.lines(), name=f"crossover-{group.name}"))
    return Section(f"Cost: {tasks_of(group.name)}", "", blocks)


LOSSES = {
    SEGMENTATION: "half cross-entropy and half Dice for masks",
    CLASSIFICATION: "categorical cross-entropy for classes",
    REGRESSION: "the squared error of numbers divided by their deviation",
    SEVERAL_LABELS: "the mean binary cross-entropy of several labels",
}


def training_section(group: GroupResults) -> Section:
    """Losses by epoch, and how the tasks' gradients agree."""
    text = (
        "An epoch is the stretch between two measurements of the validation loss. The loss is "
        f"{listed([LOSSES[kind] for kind in dict.fromkeys(task.kind for task in group.tasks)])}."
    )
    histories = {
        f"{LABELS[arm]}: {task.title}": [
            cost.history for cost in group.costs[arm][task.name][:CURVES]
        ]
        for arm in SHOWN
        if arm in group.arms
        for task in group.tasks
    }
    figures: list[Table | Figure] = []
    if histories:
        figures.append(training_curves(histories, name=f"training-{group.name}"))
    if cosines := _cosines(group):
        figures.append(cosine_curves(cosines, name=f"cosines-{group.name}"))
        text += (
            "\n\nThe gradients are those of joint tuning. Cosines near 0 do not show that tasks do not "
            "conflict: gradients of small batches are nearly orthogonal from noise alone, even those of two "
            "batches of one task. Only where a pair stays below the cosine of two such batches do tasks "
            "disagree."
        )
    return Section(f"Training: {tasks_of(group.name)}", text, figures)


def _cosines(group: GroupResults) -> dict[str, list[list[float]]]:
    """Pair of tasks, or a task with itself where that was recorded -> cosines of each replicate."""
    of_joint = group.costs.get(JOINT, {})
    found = {}
    for a, b in combinations_with_replacement(group.tasks, 2):
        runs = [cost.history.cosines.get(b.name) for cost in of_joint.get(a.name, [])]
        name = f"{a.title} and {lowered(b.title)}" if a is not b else f"{a.title}, two batches"
        if runs and all(runs):
            found[name] = [run for run in runs if run]
    return found


def overlap_note(what: str) -> str:
    """Note under a table of a segmentation of ``what``."""
    return (
        f"Means over images; F-score and IoU are of the {what}, image by image. The paper's IoU lies "
        f"above its F-score, which an IoU of the {what} alone cannot (IoU = F / (2 - F)), so it stands "
        f"beside the mean of two IoUs, of the {what} and of the background. HD95: the 95 % Hausdorff "
        "distance of the outlines, in pixels."
    )


def source_curves(study: StudyRecords, label: str) -> list[Table | Figure]:
    """The first replicate's source's losses by epoch, if it was trained."""
    history = cost_of(study.parts[""].one("source")).history
    return (
        [training_curves({label: [history]}, name="training-source")] if history.validation else []
    )
