"""What it takes for sharing to pay: one thing changed at a time, all else as in the study.

    python -m ums.experiments.ablation prepared/cxr --out results/cxr

tunes the part with diverse annotations again for every variant of every cause, on the same folds, and
writes a page to ``results/cxr/causes``. With the options of an earlier run of
:mod:`ums.experiments.cxr` and its folder, what that run has trained is not trained again as long as the
code that trains and the packages are the same.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from ums.backend import choose_device
from ums.data import Prepared
from ums.data.crop import crop_to_foreground
from ums.experiments import command_line, cxr
from ums.experiments.ablation_list import AS_FEW, AS_GIVEN, CAUSES, OWN, STUDYS, Cause, Variant
from ums.experiments.cxr_sets import CXR, diverse_part
from ums.experiments.datasets import Sets, source_rows
from ums.experiments.report.ablation import overview, section
from ums.experiments.report.facts import facts_of_run
from ums.experiments.report.page import Report
from ums.experiments.report.part_tables import PartFigures
from ums.experiments.runner import STRATEGIES, PartOutcome
from ums.experiments.settings import Settings, check, part_study
from ums.experiments.stages import Stages
from ums.experiments.tasks import DIVERSE


def run_variant(
    variant: Variant, strategies: tuple[str, ...], sets: Sets, settings: Settings, device, stages
) -> PartOutcome:
    """Train and test what one variant asks for; what is there already is taken."""
    if variant.cropped:
        sets = cropped_to_film(sets)
    part = replace(sets.parts[0], explained=None)
    settings = replace(settings, **variant.changes)
    sets = replace(with_source(variant, sets, stages), parts=(part,))
    source = cxr.learn_source(sets, settings, device, stages)
    networks = cxr.networks_of(part, source, settings, device)
    return part_study(part, networks, sets, settings, device, stages).run(strategies)


def with_source(variant: Variant, sets: Sets, stages: Stages) -> Sets:
    """The sets with the images that the variant's source learns from.

    Raises:
        ValueError: as :func:`rows_of_source`.
    """
    if variant.source == STUDYS:
        return sets
    images = sets.parts[0].learn if variant.source == OWN else sets.source
    chosen = images.subset(np.concatenate(rows_of_source(variant, sets, stages)))
    told = f"{variant.source}, {zlib.crc32(','.join(chosen.ids).encode()):08x}"
    return replace(sets, source=chosen, changed=f"{sets.changed} {told}".strip())


def rows_of_source(variant: Variant, sets: Sets, stages: Stages) -> tuple[np.ndarray, np.ndarray]:
    """What the variant's source learns from, and what it stops by: rows of the set they are taken from.

    Raises:
        ValueError: there is none; names the folder.
    """
    train, validation = (source_rows(sets.source, s) for s in ("train", "validation"))
    steps = len(train)
    if variant.source != STUDYS:
        own = [source_rows(sets.parts[0].learn, s) for s in ("train", "validation")]
        if variant.source == AS_FEW:
            rng = stages.rng("as few images")
            pairs = zip((train, validation), map(len, own), strict=True)
            own = [np.sort(rng.choice(a, min(n, len(a)), replace=False)) for a, n in pairs]
        train, validation = own
    return (np.resize(train, steps) if variant.as_long else train), validation


def cropped_to_film(sets: Sets) -> Sets:
    """The same sets with the film enlarged to fill every image, masks likewise."""

    def cropped(prepared: Prepared) -> Prepared:
        arrays = crop_to_foreground(prepared.images, prepared.masks, prepared.opacities)
        return replace(prepared, **dict(zip(("images", "masks", "opacities"), arrays, strict=True)))

    part = sets.parts[0]
    changed = diverse_part(cropped(part.learn), cropped(part.test))
    return Sets(cropped(sets.source), (changed,), "cropped to the film")


def run(sets: Sets, settings: Settings, device, out: Path, causes: list[Cause]) -> Report:
    """All variants of the causes, and the page about them.

    Raises:
        ValueError: a variant leaves too few images for a batch, or there are joint weights for another
            number of tasks; names the cause and the variant, before anything is trained.
        OSError: the folder cannot be written to, or another run is at work there.
    """
    tried = []
    with Stages(out / "stages", settings.seed) as stages:

        def figures(variant: Variant, strategies: tuple[str, ...]) -> PartFigures:
            outcome = run_variant(variant, strategies, sets, settings, device, stages)
            return PartFigures(outcome, settings.seed)

        for cause in causes:
            for variant in (AS_GIVEN, *cause.variants):
                _check_variant(cause, variant, sets, settings, device, stages)
        base = figures(AS_GIVEN, STRATEGIES)
        for cause in causes:
            changed = {v.label: figures(v, cause.strategies) for v in cause.variants}
            tried.append((cause, changed))
    first, summary = overview(base, tried, settings.seed)
    sections = [section(cause, base, changed, settings.seed) for cause, changed in tried]
    return Report(
        title="What it takes for sharing to pay",
        subtitle="Lung segmentation and abnormality, one thing changed at a time.",
        summary=summary,
        sections=[first, *sections],
        run=facts_of_run(sets, settings, device),
    )


def _check_variant(cause: Cause, variant: Variant, sets, settings, device, stages) -> None:
    try:
        rows_of_source(variant, sets, stages)
        check(sets.parts[0], replace(settings, **variant.changes), device, stages)
    except ValueError as error:
        raise ValueError(f"{cause.name}, {variant.label!r}: {error}") from error


def main(arguments: list[str] | None = None) -> int:
    """Run the variants from the command line; 2 after one line that says what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m ums.experiments.ablation",
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
