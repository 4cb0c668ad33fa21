"""The sections of a study's page that are the same for every modality; wording and tables are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from ums.experiments.report import pictures as figures
from ums.experiments.report.facts import facts_of_run
from ums.experiments.report.page import Figure, Report, Section
from ums.experiments.report.part_tables import (
    LABELS,
    Costs,
    PartFigures,
    comparison_table,
    cosines,
    cost_table,
    crossover_figure,
    curves,
    score_dots,
    score_table,
)
from ums.experiments.report.plots import training_curves
from ums.experiments.report.tables import Column, Table, formatted_p
from ums.experiments.results.claims import Claim, Verdict, verdict
from ums.experiments.results.scores import Estimate
from ums.experiments.runner import HELD_OUT, STRATEGIES, TEST, PartOutcome
from ums.experiments.settings import Outcome
from ums.experiments.tasks import CLASSIFICATION, SEGMENTATION


@dataclass(frozen=True)
class Wording:
    """What a modality's page says that no other's does.

    Attributes:
        title, subtitle: of the page.
        learned: what the source learned, in a word.
        denoiser: whether the baseline's models stand behind a denoiser, of the source's cost.
        seen: what the source has seen of the parts' images.
        cost_note: what stands under every table of costs, before what is said of the part's.
        parts: part -> what the paper has on it.
        claims: the paper's.
    """

    title: str
    subtitle: str
    learned: str
    denoiser: bool
    seen: str
    parts: dict[str, InPaper]
    claims: Sequence[Claim]
    cost_note: str = ""


@dataclass(frozen=True)
class InPaper:
    """What the paper prints of a part, and what is to be said beside it.

    Attributes:
        scores: (strategy, task) -> measure -> value, and the table's number.
        costs: as :func:`ums.experiments.report.part_tables.cost_table` takes them, and the table's number.
        score_notes: kind of task -> what stands under its table.
        cost_note: what stands under the table of costs, after what is true of all.
    """

    scores: dict
    score_table: int
    costs: dict
    cost_table: int
    score_notes: dict[str, str] = field(default_factory=dict)
    cost_note: str = ""


def build(
    outcome: Outcome,
    wording: Wording,
    source: Section,
    of_part: Callable[[PartFigures], Sequence[Section]],
    summary: Sequence[str] = (),
) -> Report:
    """The whole page of a study.

    Args:
        outcome: of the run.
        wording: the modality's.
        source: the section on the source.
        of_part: makes the sections that only this modality has, to follow a part's scores.
        summary: lines to stand after those that all studies have.
    """
    parts = [PartFigures(part, outcome.settings.seed) for part in outcome.parts.values()]
    costs = {
        name: Costs(part, outcome.source, wording.learned, wording.denoiser)
        for name, part in outcome.parts.items()
    }
    sections = [claims_section(parts, wording.claims), source]
    for part in parts:
        paper, cost = wording.parts[part.part.name], costs[part.part.name]
        sections.append(scores_section(part, paper, wording.seen))
        sections += of_part(part)
        sections += [cost_section(cost, paper, wording.cost_note), training_section(part.outcome)]
    time = f"{outcome.seconds / 60:.1f} minutes, what was finished before left out"
    return Report(
        title=wording.title,
        subtitle=wording.subtitle,
        summary=[*summary_lines(parts, costs, sections[0]), *summary],
        sections=sections,
        run=facts_of_run(outcome.sets, outcome.settings, outcome.device)
        | {"Time of this run": time},
    )


def summary_lines(
    parts: Sequence[PartFigures], costs: dict[str, Costs], claims: Section
) -> list[str]:
    """The main figures in words; nothing here is not in a table."""
    lines = []
    for figures_ in parts:
        part = figures_.part
        for task in part.tasks:
            values = ", ".join(
                f"{strategy} {figures_.mean(strategy, TEST, task.name, task.measure):.3f}"
                for strategy in STRATEGIES
            )
            lines.append(f"{task.title}, {task.measure} on {part.tested}: {values}.")
    counts = [sum(row["Here"] is v for row in claims.tables[0].rows) for v in Verdict]
    lines.append(
        f"Of the paper's claims about which strategy scores higher, {counts[0]} hold here, "
        f"{counts[1]} do not, and {counts[2]} are not distinguishable."
    )
    for name, cost in costs.items():
        shared, separate = (cost.minutes(s).mean() for s in ("independent", "separate"))
        totals = [f"{minutes:.1f}" for minutes in cost.totals]
        if cost.denoiser:
            counted = f"with the source or the denoiser {totals[0]} and {totals[1]}"
        else:
            counted = f"with the source, which separate models do without, {totals[0]}"
        lines.append(
            f"Training time, {name} tasks: heads on the shared source {shared:.1f} minutes a fold, "
            f"separate models {separate:.1f}; {counted}."
        )
    return lines


def claims_section(parts: Sequence[PartFigures], claims: Sequence[Claim]) -> Section:
    """Each claim on each task: what was measured, and what that says of it."""
    rows = []
    for part in parts:
        tasks = {task.name: task for task in part.part.tasks}
        for claim in claims:
            if claim.part != part.part.name:
                continue
            for name in claim.tasks:
                compared = part.comparison(name, claim.better, claim.worse)
                differences, tested = compared.seen_from(claim.better)
                rows.append(
                    {
                        "The paper": f"{LABELS[claim.better]} above {LABELS[claim.worse].lower()}",
                        "Task": tasks[name].title,
                        "Here": verdict(differences, tested, compared.corrected),
                        "Measure": tasks[name].measure,
                        "Difference here": Estimate(differences),
                        "p": compared.corrected,
                        "Said in": claim.source,
                    }
                )
    columns = ["The paper", "Task", "Here", "Measure", Column("Difference here", "{:+.3f}")]
    columns += [Column("p", formatted_p), "Said in"]
    note = (
        "Differences on the test set, mean and standard deviation over folds. A claim holds or does not "
        "where the difference is significant at 0.05 after Holm's correction over all comparisons of its "
        "part, and has one sign in all folds and in the test: p says how far other test cases might turn a "
        "difference, the folds how far another training would. The tests stand with the parts' tables; of "
        "classifications they are about right answers, not about the MCC."
    )
    return Section(
        "What the paper claims, and what shows here",
        "",
        [Table("claims", "Claims on which strategy scores higher", columns, rows, note=note)],
    )


def scores_section(part: PartFigures, paper: InPaper, text: str) -> Section:
    """Scores with spread and intervals, the comparisons behind them, and outlines of masks.

    ``text`` follows what is said of the folds.
    """
    name, number = part.part.name, paper.score_table
    blocks = [score_dots(part, paper.scores)]
    for kind in dict.fromkeys(task.kind for task in part.part.tasks):
        words = {SEGMENTATION: "segmentation", CLASSIFICATION: "classification"}[kind]
        for where, place in ((TEST, part.part.tested), (HELD_OUT, part.part.held_out)):
            if where == TEST:
                title, anchor = f"Table {number}, {words}: {place}", f"table-{number}-{words}"
                theirs, note = paper.scores, paper.score_notes.get(kind, "")
            else:
                title, anchor = f"{words.title()}: {place}", f"{name}-{words}-{where}"
                theirs, note = {}, ""
            blocks.append(score_table(part, kind, where, anchor, title, theirs, note))
    blocks.append(comparison_table(part, f"{name}-comparisons"))
    if part.outcome.masks["independent"]:
        blocks.append(_outlines(part.outcome))
    k = len(part.outcome.folds)
    folds = (
        f"{k} folds by patient: each network learned from {k - 1} of them (less a share that decides "
        "when to stop) and was tested on the one held out and on the whole of a set never learned from. "
        "A figure is the mean of the folds' networks ± their standard deviation, with the 95 % bootstrap "
        f"interval over {part.part.tested}'s patients or those held out."
    )
    return Section(part.part.title, f"{folds} {text}".strip(), blocks=blocks)


def _outlines(outcome: PartOutcome) -> Figure:
    """True and predicted outlines of the first fold's networks on the test set."""
    part, test = outcome.part, outcome.part.test
    task = next(t for t in part.tasks if t.kind == SEGMENTATION)
    rows = task.test.rows
    iou = {s: outcome.tested[s][TEST][task.name].values["IoU"][0] for s in STRATEGIES}
    order = np.argsort(iou["independent"])
    picked = [order[-1], order[len(order) // 2], order[len(order) // 10], order[0]]
    panel = figures.outline_panel(
        test.images[rows[picked]],
        test.masks[rows[picked]] > 0,
        [(LABELS[s], outcome.masks[s][task.name][picked]) for s in STRATEGIES],
        [iou[s][picked] for s in STRATEGIES],
        titles=["best", "median", "worst tenth", "worst"],
    )
    panel.caption = (
        f"Images of {part.tested}: the true outline in white, the predicted one in colour, by "
        "the first fold's networks. The images are chosen by the independent head's IoU."
    )
    return panel


def cost_section(costs: Costs, paper: InPaper, note: str) -> Section:
    """Time and parameters, and after how many tasks sharing pays."""
    name, number = costs.part.name, paper.cost_table
    notes = (
        "Wall time of training on this machine, mean and standard deviation over folds; epochs to the "
        "one whose weights were kept.",
        note,
        paper.cost_note,
        "Tuned alternately or jointly the encoder learns on: its parameters count once.",
    )
    title = f"Table {number}, cost of the {name} tasks"
    table = cost_table(costs, f"table-{number}", title, paper.costs, " ".join(filter(None, notes)))
    return Section(f"Cost: {name} tasks", "", [table], [crossover_figure(costs)])


def training_section(outcome: PartOutcome) -> Section:
    """Losses by epoch, and how the tasks' gradients agree."""
    text = (
        "The weights of the best validation epoch are the ones kept. The loss is categorical "
        "cross-entropy for classes, half binary cross-entropy and half Dice for masks. Below: the cosine "
        "of the tasks' gradients on the shared encoder while they are tuned jointly. Above 0 a step for "
        "one task helps the other as well; below, they undo each other's."
    )
    return Section(
        f"Training: {outcome.part.name} tasks", text, [], [curves(outcome), cosines(outcome)]
    )


def overlap_note(what: str) -> str:
    """What stands under a table of a segmentation of ``what``."""
    return (
        f"Means over images; F-score and IoU are of the {what}, image by image. The paper's IoU lies "
        f"above its F-score, which an IoU of the {what} alone cannot (IoU = F / (2 - F)), so it stands "
        f"beside the mean of two IoU, of the {what} and of the background."
    )


def source_curves(outcome: Outcome, label: str) -> list[Figure]:
    """The source's losses by epoch, if it was trained."""
    history = outcome.source.history
    if not history.validation:
        return []
    return [training_curves({label: history}, name="training-source")]
