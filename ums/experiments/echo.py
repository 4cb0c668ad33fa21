"""The Doppler echo study: a source that learns the flow, two groups of tasks, their networks (section 4.2).

The source is trained on the screens of 70 % of the patients. The screens of the others are those of tasks
with diverse annotations (envelope, quality, flow) and of tasks with similar ones (three pairs of flows).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
from scipy.special import softmax

from ums.backend import Device
from ums.data import Examples, Normalisation, Prepared
from ums.data.augment import Augmentation
from ums.data.examples import all_of
from ums.data.prepared import SPLITS
from ums.data.rows import Rows, parts
from ums.derived.recommendation import FLOWS, OUTCOMES, Recommendations, outcomes
from ums.experiments.datasets import Layout, check_label, source_rows
from ums.experiments.modality import Make, Modality, Networks, Pictures
from ums.experiments.names import (
    CLASSIFICATION,
    DIVERSE,
    LOGITS,
    OWN_EPOCH,
    SEGMENTATION,
    SIMILAR,
    TEST,
)
from ums.experiments.replicates import Draw
from ums.experiments.settings import Settings
from ums.experiments.tasks import TargetTask, TaskGroup, pairwise_tasks, train_and_test
from ums.finetuning import Task, Tuned, train_task
from ums.layers import Layer, Sequential
from ums.networks import classification_head, echo_decoder, echo_encoder, separate_classifier
from ums.ops import categorical_cross_entropy
from ums.training import Training, predict

ENVELOPE, QUALITY, FLOW = "envelope", "quality", "flow"
FLOW_CLASSES = {name: value for value, name in enumerate(FLOWS)}
PAIRS = (("MV", "MA"), ("MV", "TR"), ("MA", "TR"))
TEST_NAME = "the test patients"


# ------------------------------------------------------------------------ groups of tasks


def diverse_group(target: Prepared) -> TaskGroup:
    """Envelope, quality and flow of one set, whose test part is put aside.

    Raises:
        ValueError: There are no masks, no label "flow" of 0, 1 and 2, no label "quality" of 0 and 1, or
            no image to train or to test on; the message names the folder.
    """
    check_label(target, FLOW, len(FLOWS) - 1)
    check_label(target, QUALITY, 1)
    flow, quality = target.labels[FLOW], target.labels[QUALITY]

    def task(
        name: str, title: str, kind: str, targets: Any, known: np.ndarray, **options: Any
    ) -> TargetTask:
        return TargetTask(
            name, title, kind, *train_and_test(target, targets, known, name), **options
        )

    return TaskGroup(
        DIVERSE,
        "Tasks with diverse annotations",
        (
            task(ENVELOPE, "Envelope segmentation", SEGMENTATION, target.masks, target.has_mask),
            task(QUALITY, "Image quality", CLASSIFICATION, quality, quality >= 0),
            task(FLOW, "Flow", CLASSIFICATION, flow, flow >= 0, classes=3),
        ),
        pool=np.flatnonzero(target.splits != "test"),
        strata=flow,
        test_name=TEST_NAME,
    )


def similar_group(target: Prepared) -> TaskGroup:
    """The three pairs of flows, on the same images.

    Raises:
        ValueError: There is no label "flow" of 0, 1 and 2, or no image to train or to test on.
    """
    check_label(target, FLOW, len(FLOWS) - 1)
    flow = target.labels[FLOW]
    return TaskGroup(
        SIMILAR,
        "Tasks with similar annotations",
        pairwise_tasks(target, FLOW, FLOW_CLASSES, PAIRS),
        pool=np.flatnonzero((target.splits != "test") & (flow >= 0)),
        strata=flow,
        test_name=TEST_NAME,
    )


# ------------------------------------------------------------------------ networks


def flow_classifier(
    rng: np.random.Generator,
    width: float = 1.0,
    kernel: int = 3,
    dilation: int = 2,
    dropout: float = 0.5,
) -> Sequential:
    """``Sequential(encoder, head)``: (N, H, W, 3) -> (N, 3) logits, one for each flow (section 4.2.1).

    The defaults are those the paper's search chose.
    """
    encoder = echo_encoder(rng, width=width, kernel=kernel, dilation=dilation)
    head = classification_head(channels_of(encoder), len(FLOWS), rng, dropout=dropout)
    return Sequential(encoder, head)


def channels_of(encoder: Layer) -> int:
    """The channels of an echo encoder's output."""
    return int(encoder.output_shape((8, 8, 3))[-1])


def segmentation_model(
    rng: np.random.Generator, in_channels: int = 1, width: float = 1.0
) -> Sequential:
    """Encoder and symmetrical decoder; 786,497 parameters for grey images at width 1 (Table 8)."""
    return Sequential(echo_encoder(rng, in_channels, width), echo_decoder(rng, width=width))


def as_grey(images: np.ndarray) -> np.ndarray:
    """Screens (N, H, W, 3) as the baseline sees them, (N, H, W): the paper's counts are of one channel."""
    return np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images])


# ------------------------------------------------------------------------ the source


def flow_examples(source: Prepared, split: str, normalisation: Normalisation) -> Examples:
    """The source's images of a split whose flow is known.

    Raises:
        ValueError: There is none, or no label "flow" of 0, 1 and 2; the message names the folder.
    """
    check_label(source, FLOW, len(FLOWS) - 1)
    rows = source_rows(source, split, FLOW)
    return Examples(source.images, source.labels[FLOW], rows, normalisation)


def nearest_neighbours(images: np.ndarray | Rows, of: np.ndarray) -> np.ndarray:
    """For each of the images ``of`` (n, ...) the row of ``images`` (N, ...) at the least distance."""
    one = _as_points(of)
    distances = []  # squared, less what is the same for all N
    for _, some in parts(images):
        other = _as_points(some)
        distances.append(np.square(other).sum(axis=1) - 2 * one @ other.T)
    nearest: np.ndarray = np.concatenate(distances, axis=1).argmin(axis=1)
    return nearest


def _as_points(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1).astype(np.float32) / 255


class Echo(Modality):
    """Doppler screens: RGB images, and a source that learns which flow they show."""

    name, title, source_task = "echo", "Doppler echo", "flow"
    layout = Layout(
        "python -m data_prep echo {}",
        {DIVERSE: (("target",), diverse_group), SIMILAR: (("target",), similar_group)},
        channels=3,
        multiple=8,
        why="the encoder halves them three times",
        supervised=True,
    )
    # No augmentation, as in the paper; a screen has no background to be told from the image.
    defaults = Settings(
        width=1.0,
        labels=400,
        source_images=1200,
        source_steps=1000,
        source_rate=1e-3,
        steps=600,
        background=-1,
        augment=False,
    )

    def source_network(self, rng: np.random.Generator, width: float) -> Sequential:
        """Encoder and head for the flow."""
        return flow_classifier(rng, width)

    def check_source(self, source: Prepared) -> None:
        for split in SPLITS:
            flow_examples(source, split, Normalisation())

    def source_strata(self, source: Prepared) -> np.ndarray:
        return np.asarray(source.labels[FLOW])

    def train_source(
        self, network: Layer, source: Prepared, draw: Draw, settings: Settings, training: Training
    ) -> Tuned:
        """Encoder and head learn the flow with CCE and Adam (section 4.2.1)."""
        train, validation = (
            Examples(source.images, source.labels[FLOW], rows, settings.normalisation())
            for rows in (draw.train, draw.validation)
        )
        task = Task("source: flow", network, categorical_cross_entropy, train, validation)
        return train_task(task, training)

    def source_logits(self, group: TaskGroup) -> dict[str, list[int]]:
        """Its own logits for the flow; of a pair of flows, those of the two."""
        if group.name == DIVERSE:
            return {FLOW: list(FLOW_CLASSES.values())}
        return {f"{a}-{b}": [FLOW_CLASSES[b], FLOW_CLASSES[a]] for a, b in PAIRS}

    def test_source(
        self, network: Layer, source: Prepared, draw: Draw, settings: Settings, device: Device
    ) -> tuple[dict[str, Any], Pictures]:
        """The flow of the source's test patients, by the source and without any network."""
        flow, train, test = source.labels[FLOW], draw.train, source_rows(source, "test", FLOW)
        images = source.images[test]
        logits = predict(network, all_of(images, settings.normalisation()), device).astype(
            np.float64
        )
        record = {
            "patient": source.patients[test],
            "label": flow[test],
            LOGITS: logits,
            "trained on": len(train),
            "nearest neighbour": flow[train][
                nearest_neighbours(Rows(source.images, train), images)
            ],
            "commonest": int(np.bincount(flow[train]).argmax()),
        }
        predicted = logits.argmax(axis=1)
        wrong = np.flatnonzero(predicted != flow[test])[:4]
        shown = np.concatenate(
            [wrong, np.flatnonzero(predicted == flow[test])[-(8 - len(wrong)) :]]
        )
        return record, {"shown": shown, "images": images[shown]}

    def networks(
        self, group: TaskGroup, source: Layer, settings: Settings, device: Device
    ) -> Networks:
        """Heads on the source's encoder, and the baseline's networks on grey images (section 4.2.2)."""
        assert isinstance(source, Sequential)
        encoder, width = source[0], settings.width
        heads: dict[str, Make] = {}
        models: dict[str, Callable[[np.random.Generator, int], Layer]] = {}
        for task in group.tasks:
            K = task.classes
            if task.kind == SEGMENTATION:
                heads[task.name] = partial(echo_decoder, width=width)
                models[task.name] = partial(segmentation_model, width=width)
            else:
                heads[task.name] = partial(_head, channels_of(encoder), K)
                models[task.name] = partial(separate_classifier, classes=K, width=width)
        return Networks(encoder, heads, models, as_grey)

    def augmentation(self, rng: np.random.Generator) -> Augmentation:
        return Augmentation(rng, angle=0.0)  # a screen has no other side up

    def pictures(self, group: TaskGroup, records: list[dict[str, Any]]) -> Pictures:
        """Screens with each outcome of the derived recommendation (Fig. 9), up to four of each."""
        if group.name != DIVERSE:
            return {}
        flow, quality = group.task(FLOW).test, group.task(QUALITY).test
        rows, *places = np.intersect1d(flow.rows, quality.rows, return_indices=True)
        means = [
            np.mean(
                [softmax(r["tasks"][name][OWN_EPOCH][TEST][LOGITS], axis=1) for r in records],
                axis=0,
            )[p]
            for name, p in zip((FLOW, QUALITY), places, strict=True)
        ]
        found = outcomes(flow.targets[rows], quality.targets[rows], Recommendations(*means))
        case = np.concatenate([np.flatnonzero(found == outcome)[:4] for outcome in OUTCOMES])
        images = group.test_set.images[rows[case]]
        return {"recommendations case": case, "recommendations images": images}


def _head(channels: int, classes: int, rng: np.random.Generator) -> Sequential:
    return classification_head(channels, classes, rng, batch_norm=True)


ECHO = Echo()
