"""The ablations: the study again with one thing changed at a time, on the same folds.

They concern the chest X-ray's group with diverse annotations. Run with the options and the folder of an
earlier run of the study, they take from it what that run has trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ums.data import Prepared
from ums.data.crop import crop_to_foreground
from ums.experiments.ablation_list import STUDY, SUBSET, TARGET, UNCHANGED, Ablation, Variant
from ums.experiments.cxr import CXR, diverse_group
from ums.experiments.datasets import Datasets, source_rows
from ums.experiments.jobs import CASES, SOURCE, Job, generator
from ums.experiments.names import STRATEGIES
from ums.experiments.run import Run
from ums.experiments.runner import described_run, record_files, run_jobs, write_study
from ums.experiments.study import Study

FOLDER = "ablation"
"""The folder of the page, in that of the study."""


def run(datasets: Datasets, run: Run, out: Path, ablations: Sequence[Ablation]) -> None:
    """Run the jobs of all variants that are not done; ``study.json`` then names their records.

    Args:
        datasets: The source and the group with diverse annotations.
        run: Settings of the study, device and store.
        out: The folder of the study.
        ablations: Those to run.

    Raises:
        ValueError: A variant leaves too few images for a batch, or there are joint weights for another
            number of tasks; the message names the variant, before anything is trained.
        OSError: A file cannot be written; the message names it.
    """
    variants = {"": (UNCHANGED, STRATEGIES)} | {
        f"{ablation.name}: {variant.label}": (variant, ablation.arms)
        for ablation in ablations
        for variant in ablation.variants
    }
    files = {}
    for name, (variant, arms) in variants.items():
        try:
            files[name] = record_files(*variant_jobs(variant, arms, datasets, run))
        except ValueError as error:
            raise ValueError(f"{name or UNCHANGED.label}: {error}") from error
    about = described_run(variant_study(UNCHANGED, datasets, run))
    about["ablations"] = [ablation.name for ablation in ablations]
    write_study(out / FOLDER, FOLDER, about, files, run.store)
    for variant, arms in variants.values():
        run_jobs(*variant_jobs(variant, arms, datasets, run))


def variant_jobs(
    variant: Variant, arms: Sequence[str], datasets: Datasets, run: Run
) -> tuple[Study, list[Job]]:
    """The study with the variant's change, and its jobs.

    Raises:
        ValueError: As :func:`variant_study`.
    """
    study = variant_study(variant, datasets, run)
    group, seed = study.datasets.groups[0], run.settings.seed
    jobs = [Job(CASES, group.name, seed=seed), Job(SOURCE, seed=seed)]
    return study, jobs + study.tune_jobs(group, arms)


def variant_study(variant: Variant, datasets: Datasets, run: Run) -> Study:
    """The study with the variant's change.

    Raises:
        ValueError: It cannot be run; the message names a folder.
    """
    seed = run.settings.seed
    changed = with_source(variant, datasets, seed)
    if variant.cropped:
        changed = cropped_to_foreground(changed)
    settings = replace(run.settings, **variant.changes)
    return Study(CXR, changed, replace(run, settings=settings))


def with_source(variant: Variant, datasets: Datasets, seed: int) -> Datasets:
    """The datasets with the images that the variant's source learns from.

    Raises:
        ValueError: As :func:`rows_of_source`.
    """
    if variant.source == STUDY:
        return datasets
    images = datasets.groups[0].train_set if variant.source == TARGET else datasets.source
    rows = np.concatenate(rows_of_source(variant, datasets, seed))
    return replace(datasets, source=images.subset(rows))


def rows_of_source(
    variant: Variant, datasets: Datasets, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """What the variant's source learns from and what it stops by: rows of the set they are taken from.

    Raises:
        ValueError: There is none; the message names the folder.
    """
    train, validation = (source_rows(datasets.source, s) for s in ("train", "validation"))
    steps = len(train)
    if variant.source != STUDY:
        target = datasets.groups[0].train_set
        own = [source_rows(target, s) for s in ("train", "validation")]
        if variant.source == SUBSET:
            rng = generator(seed, "as few images")
            pairs = zip((train, validation), map(len, own), strict=True)
            own = [np.sort(rng.choice(a, min(n, len(a)), replace=False)) for a, n in pairs]
        train, validation = own
    return (np.resize(train, steps) if variant.same_steps else train), validation


def cropped_to_foreground(datasets: Datasets) -> Datasets:
    """The same datasets with the foreground enlarged to fill every image, masks likewise."""

    def cropped(prepared: Prepared) -> Prepared:
        arrays = crop_to_foreground(prepared.images, prepared.masks, prepared.opacities)
        images, masks, opacities = arrays
        return replace(prepared, images=images, masks=masks, opacities=opacities)

    group = datasets.groups[0]
    changed = diverse_group(cropped(group.train_set), cropped(group.test_set))
    return Datasets(cropped(datasets.source), (changed,))
