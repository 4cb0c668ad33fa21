"""The prepared folders of the Doppler echo study, and the two parts made of them (section 4.2.2)."""

from __future__ import annotations

import numpy as np

from ums.data import Prepared
from ums.derived.recommendation import FLOWS
from ums.experiments.datasets import Modality, check_label
from ums.experiments.tasks import (
    CLASSIFICATION,
    DIVERSE,
    SEGMENTATION,
    SIMILAR,
    Part,
    TargetTask,
    learn_and_test,
    pairwise_tasks,
)
from ums.optimizers import SGD

ENVELOPE, QUALITY, FLOW = "envelope", "quality", "flow"
FLOW_CLASSES = {name: value for value, name in enumerate(FLOWS)}
PAIRS = (("MV", "MA"), ("MV", "TR"), ("MA", "TR"))
HELD_OUT, TESTED = "the held-out folds", "the test patients"


def sgd(parameters, learning_rate: float) -> SGD:
    """The classification heads' optimizer: ten times the rate that suits Adam, and momentum 0.9.

    The paper names SGD, not its rate.
    """
    return SGD(parameters, 10 * learning_rate, momentum=0.9)


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
        sides = learn_and_test(target, targets, there, test, name)
        return TargetTask(name, title, kind, *sides, **options)

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
    supervised=True,
)
