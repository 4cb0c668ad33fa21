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
from ums.data.examples import normalise
from ums.derived.recommendation import FLOWS
from ums.experiments import echo_report, study
from ums.experiments.parts import (
    CLASSIFICATION,
    DIVERSE,
    SEGMENTATION,
    SIMILAR,
    Labelled,
    Part,
    TargetTask,
    pairwise_tasks,
)
from ums.experiments.protocol import Networks
from ums.experiments.report import Report
from ums.experiments.sets import Modality, Sets, check_label, source_rows
from ums.experiments.stages import Stages
from ums.experiments.study import SOURCE, Outcome, Settings
from ums.finetuning import Task, Tuned, learn
from ums.layers import Sequential
from ums.networks import classification_head, echo_decoder, echo_encoder, separate_classifier
from ums.ops import categorical_cross_entropy
from ums.optimizers import SGD

OUT = "results/echo"
ENVELOPE, QUALITY, FLOW = "envelope", "quality", "flow"
FLOW_CLASSES = {name: value for value, name in enumerate(FLOWS)}
PAIRS = (("MV", "MA"), ("MV", "TR"), ("MA", "TR"))
HELD_OUT, TESTED = "the held-out folds", "the test patients"
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


def sgd(parameters, learning_rate: float) -> SGD:
    """The classification heads' optimizer: ten times the rate that suits Adam, and momentum 0.9.

    The paper names SGD, not its rate.
    """
    return SGD(parameters, 10 * learning_rate, momentum=0.9)


# ------------------------------------------------------------------------ data


def diverse_part(target: Prepared) -> Part:
    """Envelope, quality and flow of one set: folds of its train part, its test part put aside.

    Raises:
        ValueError: there are no masks, no label "flow" of 0, 1 and 2, no label "quality" of 0 and 1, or
            no image to learn from or to test; names the folder.
    """
    check_label(target, FLOW, len(FLOWS) - 1)
    check_label(target, QUALITY, 1)
    flow, quality = target.labels[FLOW], target.labels[QUALITY]
    test = target.splits == "test"

    def task(name, title, kind, targets, there, **options):
        sides = [np.flatnonzero(there & side) for side in (~test, test)]
        if not (len(sides[0]) and len(sides[1])):
            raise ValueError(f"{target.folder}: no {name} in its train or in its test part")
        learn, test_ = (Labelled(target, targets, rows) for rows in sides)
        return TargetTask(name, title, kind, learn, test_, **options)

    return Part(
        DIVERSE,
        "Tasks with diverse annotations",
        (
            task(ENVELOPE, "Envelope segmentation", SEGMENTATION, target.masks, target.has_mask),
            task(QUALITY, "Image quality", CLASSIFICATION, quality, quality >= 0, optimizer=sgd),
            task(FLOW, "Flow", CLASSIFICATION, flow, flow >= 0, classes=3, optimizer=sgd),
        ),
        pool=np.flatnonzero(~test),
        strata=flow,
        held_out=HELD_OUT,
        tested=TESTED,
    )


def similar_part(target: Prepared) -> Part:
    """The three pairs of flows, on the same images.

    Raises:
        ValueError: there is no label "flow" of 0, 1 and 2, or no image to learn from or to test.
    """
    check_label(target, FLOW, len(FLOWS) - 1)
    flow, test = target.labels[FLOW], target.splits == "test"
    return Part(
        SIMILAR,
        "Tasks with similar annotations",
        pairwise_tasks(target, FLOW, FLOW_CLASSES, PAIRS, test, sgd),
        pool=np.flatnonzero(~test & (flow >= 0)),
        strata=flow,
        held_out=HELD_OUT,
        tested=TESTED,
    )


ECHO = Modality(
    "echo",
    {DIVERSE: (("target",), diverse_part), SIMILAR: (("target",), similar_part)},
    channels=3,
    multiple=8,
    why="the encoder halves them three times",
)


def as_grey(images: np.ndarray) -> np.ndarray:
    """Screens (N, H, W, 3) as the baseline sees them, (N, H, W): its counts are of one channel."""
    return np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images])


# ------------------------------------------------------------------------ networks


def learn_source(sets: Sets, settings: Settings, device: Device, stages: Stages) -> Tuned:
    """Stage 1: encoder and head learn the flow with CCE and Adam (section 4.2.1)."""
    rng, source = stages.rng(SOURCE), sets.source
    check_label(source, FLOW, len(FLOWS) - 1)
    encoder = echo_encoder(rng, width=settings.width)
    head = classification_head(encoder.output_shape((8, 8, 3))[-1], len(FLOWS), rng)
    network = Sequential(encoder, head).to(device)

    def train(checkpoint: Checkpoint) -> Tuned:
        flow, prepare = source.labels[FLOW], partial(normalise, dark=settings.dark)
        sides = (
            Examples(source.images, flow, rows[flow[rows] >= 0], prepare)
            for rows in (source_rows(source, split) for split in ("train", "validation"))
        )
        task = Task("source: flow", network, categorical_cross_entropy, *sides)
        fit, progress = settings.fit(SOURCE), settings.progress
        return learn(task, fit, device, rng, progress, checkpoint)

    return study.source_stage(network, train, sets, settings, device, stages)


def networks_of(part: Part, source: Tuned, settings: Settings, device: Device) -> Networks:
    """Heads on the source's encoder, and the baseline's networks on grey images (section 4.2.2)."""
    encoder, width = source.network.layers[0], settings.width
    channels = encoder.output_shape((8, 8, 3))[-1]
    heads, models = {}, {}
    for task in part.tasks:
        K = task.classes
        if task.kind == SEGMENTATION:
            heads[task.name] = partial(echo_decoder, width=width)
            models[task.name] = partial(segmentation_model, width=width)
        else:
            heads[task.name] = partial(_head, channels, K)
            models[task.name] = partial(separate_classifier, classes=K, width=width)
    upright = partial(Augmentation, angle=0.0)  # a screen has no other side up
    return Networks(encoder, heads, models, as_grey, upright)


def segmentation_model(rng: np.random.Generator, width: float = 1.0) -> Sequential:
    """Encoder and symmetrical decoder for grey images, 786,497 parameters at width 1 (Table 8)."""
    return Sequential(echo_encoder(rng, in_channels=1, width=width), echo_decoder(rng, width=width))


def _head(channels: int, classes: int, rng: np.random.Generator) -> Sequential:
    return classification_head(channels, classes, rng, batch_norm=True)


# ------------------------------------------------------------------------ the run


def run(sets: Sets, settings: Settings, device: Device, out: Path) -> Outcome:
    """The whole study; raises as :func:`ums.experiments.study.run`."""
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

    return study.command(parser, ECHO, DEFAULTS, OUT, report, arguments)


if __name__ == "__main__":
    sys.exit(main())
