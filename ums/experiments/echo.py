"""The Doppler echo study: a source that learned to tell flows apart, heads for its tasks, the baseline.

    python -m ums.experiments.echo prepared/echo --out results/echo

learns the flow of 70 % of the patients' screens once; then, on the other 30 %, tunes heads for tasks
with diverse annotations (envelope, quality, flow) and for tasks with similar ones (three pairs of
flows) by the independent, the alternating and the joint strategy and trains separate models, on every
fold; tests all of them, derives a recommendation from two heads, and writes a page (section 4.2).
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from ums.backend import Device
from ums.checkpoint import Checkpoint
from ums.data import Examples, Prepared
from ums.data.augment import Augmentation
from ums.data.normalisation import Normalisation
from ums.data.prepared import SPLITS
from ums.derived.recommendation import FLOWS
from ums.experiments import command_line
from ums.experiments import settings as study
from ums.experiments.datasets import Sets, check_label, source_rows
from ums.experiments.echo_sets import ECHO, FLOW
from ums.experiments.report import echo as echo_report
from ums.experiments.report.page import Report
from ums.experiments.runner import Networks
from ums.experiments.settings import SOURCE, Outcome, Settings
from ums.experiments.stages import Stages
from ums.experiments.tasks import SEGMENTATION, Part
from ums.finetuning import Task, Tuned, train_task
from ums.layers import Sequential
from ums.networks import classification_head, echo_decoder, echo_encoder, separate_classifier
from ums.ops import categorical_cross_entropy
from ums.training import Training

OUT = "results/echo"
DEFAULTS = Settings(
    width=1.0,
    source_epochs=16,
    epochs=40,
    classifier_epochs=40,
    patience=10,
    dark=-1,
    augment=False,
)
"""The small run of ``make reproduce-echo``: no augmentation, as in the paper, and a screen has no film to
tell from what is not."""


# ------------------------------------------------------------------------ networks


def flow_classifier(
    rng: np.random.Generator,
    width: float = 1.0,
    kernel: int = 3,
    dilation: int = 2,
    dropout: float = 0.5,
) -> Sequential:
    """``Sequential(encoder, head)``: (N, H, W, 3) -> (N, 3) logits, one for each flow (section 4.2.1).

    The defaults are what the paper's search chose.
    """
    encoder = echo_encoder(rng, width=width, kernel=kernel, dilation=dilation)
    head = classification_head(channels_of(encoder), len(FLOWS), rng, dropout=dropout)
    return Sequential(encoder, head)


def flow_examples(source: Prepared, split: str, dark: int) -> Examples:
    """The source's images of a split whose flow is known.

    Raises:
        ValueError: there is none, or no label "flow" of 0, 1 and 2; names the folder.
    """
    check_label(source, FLOW, len(FLOWS) - 1)
    rows = source_rows(source, split, FLOW)
    return Examples(source.images, source.labels[FLOW], rows, Normalisation(dark))


def channels_of(encoder: Sequential) -> int:
    """How many an echo encoder ends with."""
    return encoder.output_shape((8, 8, 3))[-1]


def learn_source(sets: Sets, settings: Settings, device: Device, stages: Stages) -> Tuned:
    """Stage 1: encoder and head learn the flow with CCE and Adam (section 4.2.1)."""
    rng, dark = stages.rng(SOURCE), settings.dark
    network = flow_classifier(rng, settings.width).to(device)
    # Those of the test are for the page: what is missing is to be said before anything is trained.
    data = [flow_examples(sets.source, split, dark) for split in SPLITS]

    def train(checkpoint: Checkpoint) -> Tuned:
        task = Task("source: flow", network, categorical_cross_entropy, *data[:2])
        fit, progress = settings.fit(SOURCE), settings.progress
        return train_task(task, Training(fit, rng, device, progress, checkpoint))

    return study.source_stage(network, train, sets, settings, device, stages)


def networks_of(part: Part, source: Tuned, settings: Settings, device: Device) -> Networks:
    """Heads on the source's encoder, and the baseline's networks on grey images (section 4.2.2)."""
    encoder, width = source.network.layers[0], settings.width
    heads, models = {}, {}
    for task in part.tasks:
        K = task.classes
        if task.kind == SEGMENTATION:
            heads[task.name] = partial(echo_decoder, width=width)
            models[task.name] = partial(segmentation_model, width=width)
        else:
            heads[task.name] = partial(_head, channels_of(encoder), K)
            models[task.name] = partial(separate_classifier, classes=K, width=width)
    upright = partial(Augmentation, angle=0.0)  # a screen has no other side up
    return Networks(encoder, heads, models, as_grey, upright)


def as_grey(images: np.ndarray) -> np.ndarray:
    """Screens (N, H, W, 3) as the baseline sees them, (N, H, W): its counts are of one channel."""
    return np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images])


def segmentation_model(rng: np.random.Generator, width: float = 1.0) -> Sequential:
    """Encoder and symmetrical decoder for grey images, 786,497 parameters at width 1 (Table 8)."""
    return Sequential(echo_encoder(rng, in_channels=1, width=width), echo_decoder(rng, width=width))


def _head(channels: int, classes: int, rng: np.random.Generator) -> Sequential:
    return classification_head(channels, classes, rng, batch_norm=True)


# ------------------------------------------------------------------------ the run


def run(sets: Sets, settings: Settings, device: Device, out: Path) -> Outcome:
    """The whole study; raises as :func:`ums.experiments.settings.run`."""
    return study.run(sets, settings, device, out, learn_source, networks_of)


def main(arguments: list[str] | None = None) -> int:
    """Run the study from the command line; 2 after one line that says what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m ums.experiments.echo",
        description="The Doppler echo study: a source that learned the flow; heads by three strategies "
        "and separate models, for diverse and for similar tasks, by cross-validation; a page of "
        "results.",
    )

    def report(sets: Sets, settings: Settings, device: Device, out: Path) -> Report:
        return echo_report.build(run(sets, settings, device, out))

    return command_line.run_study(parser, ECHO, DEFAULTS, OUT, report, arguments)


if __name__ == "__main__":
    sys.exit(main())
