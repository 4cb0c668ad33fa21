"""The chest X-ray study: a denoising source, heads for its tasks, and the baseline of separate models.

    python -m ums.experiments.cxr prepared/cxr --out results/cxr

learns to denoise the source's images once; then, for tasks with diverse annotations (lung segmentation
and abnormality of one hospital, tested at another) and tasks with similar ones (three pairwise
classifications of children's pneumonia), tunes heads by the independent, the alternating and the joint
strategy and trains separate models, on every fold; tests all of them; and writes a page (section 4.1).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from ums.backend import Device
from ums.checkpoint import Checkpoint
from ums.data.normalisation import Normalisation
from ums.experiments import command_line
from ums.experiments import settings as study
from ums.experiments.cxr_sets import CXR
from ums.experiments.datasets import Sets, source_rows
from ums.experiments.report import cxr as cxr_report
from ums.experiments.report.page import Report
from ums.experiments.results.scores import score_denoising
from ums.experiments.runner import Networks
from ums.experiments.settings import SOURCE, Outcome, Settings
from ums.experiments.stages import Stages
from ums.experiments.tasks import SEGMENTATION, Part
from ums.finetuning import Tuned
from ums.finetuning.separate import denoise
from ums.networks import (
    classification_head,
    denoising_autoencoder,
    segmentation_head,
    separate_classifier,
)
from ums.source import DenoisingExamples, train_denoising
from ums.training import Training

OUT = "results/cxr"

DENOISED_AT_MOST = 200
"""Images for Table 2; its means hardly move with more."""


def learn_source(sets: Sets, settings: Settings, device: Device, stages: Stages) -> Tuned:
    """Stage 1: the denoising autoencoder, whose encoder all parts share."""
    rng, images = stages.rng(SOURCE), sets.source
    network = denoising_autoencoder(rng, width=settings.width).to(device)

    def train(checkpoint: Checkpoint) -> Tuned:
        train_rows, validation_rows = (source_rows(images, s) for s in ("train", "validation"))
        normalisation = Normalisation(settings.dark)
        return train_denoising(
            network,
            DenoisingExamples(images.images, train_rows, rng, False, normalisation),
            DenoisingExamples(images.images, validation_rows, rng, True, normalisation),
            Training(settings.fit(SOURCE), rng, device, settings.progress, checkpoint),
        )

    return study.source_stage(network, train, sets, settings, device, stages)


def networks_of(part: Part, source: Tuned, settings: Settings, device: Device) -> Networks:
    """Heads on the autoencoder's encoder, and the baseline's networks (sections 4.1.1 and 4.1.2).

    An untrained source cleans nothing: the baseline's images are then as they are.
    """
    autoencoder = source.network
    encoder, decoder = autoencoder.layers
    channels = encoder.output_shape((16, 16, 1))[-1]
    width, heads, models = settings.width, {}, {}
    for task in part.tasks:
        if task.kind == SEGMENTATION:
            heads[task.name] = lambda rng: segmentation_head(decoder, rng)
            models[task.name] = lambda rng: denoising_autoencoder(rng, width=width)
        else:
            heads[task.name] = lambda rng: classification_head(channels, 2, rng, batch_norm=True)
            models[task.name] = lambda rng: separate_classifier(rng, width=width)

    def clean(images: np.ndarray) -> np.ndarray:
        if settings.source_epochs == 0:
            return images
        return denoise(autoencoder, images, device, Normalisation(settings.dark))

    return Networks(encoder, heads, models, clean)


def denoising(outcome: Outcome) -> list[dict]:
    """Table 2: the source on test images of its own."""
    source, settings = outcome.sets.source, outcome.settings
    rng = np.random.default_rng([settings.seed, 2])
    rows = source_rows(source, "test")
    if len(rows) > DENOISED_AT_MOST:
        rows = np.sort(rng.choice(rows, DENOISED_AT_MOST, replace=False))
    images = source.images[rows]
    return score_denoising(outcome.source.network, images, outcome.device, rng, settings.dark)


def run(sets: Sets, settings: Settings, device: Device, out: Path) -> Outcome:
    """The whole study; raises as :func:`ums.experiments.settings.run`."""
    return study.run(sets, settings, device, out, learn_source, networks_of)


def main(arguments: list[str] | None = None) -> int:
    """Run the study from the command line; 2 after one line that says what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m ums.experiments.cxr",
        description="The chest X-ray study: a denoising source; heads by three strategies and "
        "separate models, for diverse and for similar tasks, by cross-validation; a page of results.",
    )

    def report(sets: Sets, settings: Settings, device: Device, out: Path) -> Report:
        outcome = run(sets, settings, device, out)
        return cxr_report.build(outcome, denoising(outcome))

    return command_line.run_study(parser, CXR, Settings(), OUT, report, arguments)


if __name__ == "__main__":
    sys.exit(main())
