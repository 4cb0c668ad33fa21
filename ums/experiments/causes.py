"""What it takes for sharing to pay: one thing changed at a time, all else as in the study.

    python -m ums.experiments.causes prepared/cxr --out results/cxr

tunes the part with diverse annotations again for every variant of every cause, on the same folds, and
writes a page to ``results/cxr/causes``. With the options of an earlier run of
:mod:`ums.experiments.cxr` and its folder, what that run has trained is not trained again.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ums.backend import choose_device
from ums.data import Prepared
from ums.data.film import crop_to_film
from ums.experiments import command_line, cxr
from ums.experiments.cxr_sets import CXR, diverse_part
from ums.experiments.facts import facts_of_run
from ums.experiments.part_report import BY_PATIENT, LABELS, PartFigures
from ums.experiments.parts import CLASSIFICATION, DIVERSE, TargetTask
from ums.experiments.protocol import (
    HELD_OUT,
    STRATEGIES,
    TEST,
    TOGETHER,
    PartOutcome,
    PartStudy,
    folds_of,
)
from ums.experiments.report import Column, Report, Section, Table, formatted, formatted_p
from ums.experiments.scores import compare
from ums.experiments.sets import Sets
from ums.experiments.stages import Stages
from ums.experiments.study import Settings
from ums.experiments.study_figures import fold_dots


@dataclass(frozen=True)
class Variant:
    """A change of the settings, of the images that the source learns from, or of all images."""

    label: str
    changes: dict = field(default_factory=dict)
    own_images: bool = False
    cropped: bool = False


@dataclass(frozen=True)
class Cause:
    """A question, and what is tried for an answer; the first variant is what the others differ from.

    Attributes:
        name: for the command line and anchors.
        title, text: for the page.
        variants: two or more.
        strategies: those on which it can tell.
    """

    name: str
    title: str
    text: str
    variants: tuple[Variant, ...]
    strategies: tuple[str, ...] = STRATEGIES


AS_GIVEN = Variant("as in the study")

CAUSES = (
    Cause(
        "normalisation",
        "Intensity normalisation",
        "An image's mean and deviation, of the pixels on the film or of all pixels. Black borders and "
        "collimation differ between hospitals: where they count, they shift everything else. Cropped to "
        "the film, no image has any: what a network may have learned from borders is gone.",
        (
            AS_GIVEN,
            Variant("all pixels count", {"dark": -1}),
            Variant("cropped to the film", cropped=True),
        ),
        ("independent", "alternating", "separate"),
    ),
    Cause(
        "statistics",
        "The frozen batch norm's statistics",
        "A frozen encoder subtracts means that were measured on the source's images. Here they are "
        "measured again on the training hospital's, the weights staying as they are.",
        (AS_GIVEN, Variant("the training hospital's statistics", {"statistics": "target"})),
        ("independent",),
    ),
    Cause(
        "length",
        "The source's training length",
        "Epochs of denoising before anything is tuned; an untrained encoder says what a head makes of "
        "random features.",
        (
            AS_GIVEN,
            Variant("untrained source", {"source_epochs": 0}),
            Variant("2 epochs", {"source_epochs": 2}),
        ),
        ("independent", "alternating"),
    ),
    Cause(
        "images",
        "The source's images",
        "The source's own images, of other patients and hospitals, or those of the training hospital.",
        (AS_GIVEN, Variant("the training hospital's images", own_images=True)),
        ("independent", "alternating"),
    ),
    Cause(
        "augmentation",
        "Augmentation",
        "Training images turned, moved, scaled and exposed at random, or taken as they are. A frozen "
        "encoder's features can then not be computed once.",
        (AS_GIVEN, Variant("none", {"augment": False})),
    ),
    Cause(
        "weights",
        "The weights of the joint loss",
        "Equal weights, weights learned by the tasks' uncertainty (Kendall et al. 2018) or by the size "
        "of their gradients (GradNorm), and a tenth for the abnormality.",
        (
            AS_GIVEN,
            Variant("uncertainty", {"joint_weights": "uncertainty"}),
            Variant("GradNorm", {"joint_weights": "gradnorm"}),
            Variant("1 and 0.1", {"joint_weights": "1,0.1"}),
        ),
        ("joint",),
    ),
    Cause(
        "stopping",
        "The epoch that is kept",
        "Tasks tuned together share an encoder, so all keep the networks of one epoch: that which is best "
        "for all on average, or that which is best for the lungs, whatever becomes of the abnormality.",
        (AS_GIVEN, Variant("best for the lungs", {"stop_by": "first"})),
        TOGETHER,
    ),
    Cause(
        "labels",
        "The number of labels",
        "The fewer labelled images there are, the more a source that needed none should be worth.",
        (
            AS_GIVEN,
            Variant("half of them", {"labels": 0.5}),
            Variant("a quarter", {"labels": 0.25}),
            Variant("a tenth", {"labels": 0.1}),
        ),
        ("independent", "alternating", "separate"),
    ),
)


def run_variant(
    variant: Variant, strategies: tuple[str, ...], sets: Sets, settings: Settings, device, stages
) -> PartOutcome:
    """Train and test what one variant asks for; what is there already is taken."""
    if variant.cropped:
        sets = cropped_to_film(sets)
    part = replace(sets.parts[0], explained=None)
    settings = replace(settings, **variant.changes)
    sets = Sets(part.learn if variant.own_images else sets.source, (part,), sets.changed)
    source = cxr.learn_source(sets, settings, device, stages)
    key = {"sets": sets.fingerprints(part), "device": device.name}
    networks = cxr.networks_of(part, source, settings, device)
    return PartStudy(part, networks, settings, device, stages, key).run(strategies)


def cropped_to_film(sets: Sets) -> Sets:
    """The same sets with the film enlarged to fill every image, masks likewise."""

    def cropped(prepared: Prepared) -> Prepared:
        arrays = crop_to_film(prepared.images, prepared.masks, prepared.opacities)
        return replace(prepared, **dict(zip(("images", "masks", "opacities"), arrays, strict=True)))

    part = sets.parts[0]
    changed = diverse_part(cropped(part.learn), cropped(part.test))
    return Sets(cropped(sets.source), (changed,), "cropped to the film")


def section(cause: Cause, outcomes: dict[str, PartOutcome], seed: int) -> Section:
    """One cause: a table for each task, and the folds."""
    estimates = {label: PartFigures(outcome, seed) for label, outcome in outcomes.items()}
    part = next(iter(outcomes.values())).part
    rng = np.random.default_rng([seed, 11])
    tables = [_table(cause, task, outcomes, estimates, rng) for task in part.tasks]
    groups = {
        f"{task.title}: {label}": {
            LABELS[strategy]: estimates[label].estimates[strategy, TEST, task.name, task.measure]
            for strategy in cause.strategies
        }
        for task in part.tasks
        for label in outcomes
    }
    measures = {f"{t.title}: {label}": t.measure for t in part.tasks for label in outcomes}
    picture = fold_dots(groups, xlabel=measures, name=f"cause-{cause.name}")
    return Section(cause.title, cause.text, tables, [picture])


def _table(
    cause: Cause,
    task: TargetTask,
    outcomes: dict[str, PartOutcome],
    estimates: dict[str, PartFigures],
    rng: np.random.Generator,
) -> Table:
    """A row for each strategy and variant; p against the first variant."""
    first = next(iter(outcomes))
    tested = outcomes[first].part.tested
    measures = [task.measure] + (["AUC"] if task.kind == CLASSIFICATION else [])
    rows = []
    for strategy in cause.strategies:
        for label, outcome in outcomes.items():
            row = {"Strategy": LABELS[strategy], "Variant": label}
            for measure in measures:
                for where, place in ((TEST, ""), (HELD_OUT, ", held out")):
                    figure = estimates[label].estimates[strategy, where, task.name, measure]
                    row[f"{measure}{place}"] = figure
            if label != first:
                pair = (o.tested[strategy][TEST][task.name] for o in (outcome, outcomes[first]))
                row["p"] = compare(*pair, task.measure, rng).p_value
            rows.append(row)
    columns = ["Strategy", "Variant", Column(task.measure, "{:.3f}"), Column("p", formatted_p)]
    columns += [Column(m, "{:.3f}") for m in measures[1:]]
    columns += [Column(f"{m}, held out", "{:.3f}") for m in measures]
    test = "McNemar's test" if task.kind == CLASSIFICATION else "sign-flip test"
    note = (
        f"On {tested}, and on the training hospital's held-out folds. p: {test} on {tested} against the "
        "first variant of the same strategy, not corrected. "
    )
    if outcomes[first].tested[cause.strategies[0]][TEST][task.name].clustered:
        note += BY_PATIENT
    return Table(f"cause-{cause.name}-{task.name}", task.title, columns, rows, note=note)


def summary_of(cause: Cause, table: Table) -> str:
    """What each variant changes on the test set, in words, of the first task's table."""
    measure = table.columns[2].name
    changes = []
    for row in table.rows:
        if row["Variant"] == cause.variants[0].label:
            base = row[measure].mean
        else:
            change = formatted(row[measure].mean - base, "{:+.3f}")
            words = f"{row['Strategy'].lower()}, {row['Variant']}: {change}"
            changes.append(f"{words} (p {formatted_p(row['p'])})")
    return f"{cause.title}, {measure} of the {table.title.lower()}: {'; '.join(changes)}."


def run(sets: Sets, settings: Settings, device, out: Path, causes: list[Cause]) -> Report:
    """All variants of the causes, and the page about them.

    Raises:
        ValueError: a variant leaves too few images for a batch; before anything is trained.
        OSError: the folder cannot be written to.
    """
    stages = Stages(out / "stages", settings.seed)
    for cause in causes:
        for variant in cause.variants:
            folds_of(sets.parts[0], replace(settings, **variant.changes), stages)
    sections, summary = [], []
    for cause in causes:
        outcomes = {
            variant.label: run_variant(variant, cause.strategies, sets, settings, device, stages)
            for variant in cause.variants
        }
        sections.append(section(cause, outcomes, settings.seed))
        summary.append(summary_of(cause, sections[-1].tables[0]))
    return Report(
        title="What it takes for sharing to pay",
        subtitle="Lung segmentation and abnormality, one thing changed at a time.",
        summary=summary,
        sections=sections,
        run=facts_of_run(sets, settings, device),
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the variants from the command line; 2 after one line that says what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m ums.experiments.causes",
        description="What it takes for sharing to pay: the study's part with diverse annotations with "
        "one thing changed at a time. The other options are those of the study.",
    )
    names = [cause.name for cause in CAUSES]
    parser.add_argument("--causes", nargs="+", choices=names, default=names, help="which (all)")
    command_line.add_options(parser, CXR, Settings(), cxr.OUT)
    options = parser.parse_args(arguments)

    def report():
        settings = command_line.settings_of(options)
        sets = CXR.load(options.prepared, [DIVERSE])
        causes = [cause for cause in CAUSES if cause.name in options.causes]
        out = Path(options.out)
        return run(sets, settings, choose_device(options.device), out, causes), out / "causes"

    return command_line.report_on(report)


if __name__ == "__main__":
    sys.exit(main())
