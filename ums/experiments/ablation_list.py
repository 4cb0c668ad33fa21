"""Ablations: what might make sharing pay or not, and the variants of the study that try it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ums.experiments.names import STRATEGIES, TOGETHER

STUDY, TARGET, SUBSET = "the study's", "the training hospital's", "a subset of the study's"
"""Which images the source learns from."""


@dataclass(frozen=True)
class Variant:
    """The study with one change: of the settings, of the source's images, or of all images.

    Attributes:
        label: For the page.
        changes: Setting -> value.
        source: STUDY, TARGET or SUBSET, the images that the source learns from.
        same_steps: Whether they are repeated until an epoch has as many steps as the study's.
        cropped: Whether all images are cropped to the foreground.
    """

    label: str
    changes: dict[str, Any] = field(default_factory=dict)
    source: str = STUDY
    same_steps: bool = False
    cropped: bool = False


@dataclass(frozen=True)
class Ablation:
    """A question, and the variants that answer it.

    Attributes:
        name: For the command line and anchors.
        title: For the page.
        text: For the page.
        variants: Each differs from the study in one thing.
        arms: Those that the variants concern.
    """

    name: str
    title: str
    text: str
    variants: tuple[Variant, ...]
    arms: tuple[str, ...] = STRATEGIES


UNCHANGED = Variant("as in the study")
"""What all others differ from."""

ABLATIONS = (
    Ablation(
        "normalisation",
        "Intensity normalisation",
        "An image's mean and standard deviation are taken over its foreground or over all pixels. Black "
        "borders and collimation differ between hospitals; if they count, they shift everything else. "
        "Images cropped to the foreground have no borders, so a network cannot learn from them.",
        (
            Variant("all pixels count", {"background": -1}),
            Variant("cropped to the foreground", cropped=True),
        ),
        ("independent", "alternating", "separate"),
    ),
    Ablation(
        "statistics",
        "Statistics of the frozen batch norms",
        "A frozen encoder subtracts means that were measured on the source's images. Here they are "
        "measured again on the training hospital's images (all of them, including those held out "
        "later, without labels), while the weights stay as they are.",
        (Variant("the training hospital's statistics", {"statistics": "target"}),),
        ("independent",),
    ),
    Ablation(
        "length",
        "Training length of the source",
        "The number of epochs of denoising before anything is tuned. An untrained encoder shows what a "
        "head can do with random features.",
        (
            Variant("untrained source", {"source_epochs": 0}),
            Variant("2 epochs", {"source_epochs": 2}),
        ),
        ("independent", "alternating"),
    ),
    Ablation(
        "images",
        "Images of the source",
        "The source learns from its own images, of other patients and hospitals; from those of the "
        "training hospital (some are held out later); or from a random subset of its own, as many as "
        "those. Each image is seen once in an epoch, or repeated until an epoch has as many steps as "
        "with all of the source's own.",
        (
            Variant("the training hospital's images", source=TARGET),
            Variant("the training hospital's images, repeated", source=TARGET, same_steps=True),
            Variant("a subset of the source's own", source=SUBSET),
            Variant("a subset of the source's own, repeated", source=SUBSET, same_steps=True),
        ),
        ("independent", "alternating"),
    ),
    Ablation(
        "augmentation",
        "Augmentation",
        "Training images are rotated, shifted, scaled and changed in exposure at random, or taken as "
        "they are. With augmentation, the features of a frozen encoder cannot be computed once.",
        (Variant("none", {"augment": False}),),
    ),
    Ablation(
        "weights",
        "Weights of the joint loss",
        "Equal weights; weights learned from the tasks' uncertainty (Kendall et al. 2018) or from the "
        "size of their gradients (GradNorm); and a tenth for the abnormality.",
        (
            Variant("uncertainty", {"joint_weights": "uncertainty"}),
            Variant("GradNorm", {"joint_weights": "gradnorm"}),
            Variant("1 and 0.1", {"joint_weights": "1,0.1"}),
        ),
        ("joint",),
    ),
    Ablation(
        "stopping",
        "The epoch that is kept",
        "Tasks tuned together share an encoder, so all of them keep the networks of one epoch: the one "
        "that is best for all on average, or the one that is best for the lungs.",
        (Variant("best for the lungs", {"stop_by": "first"}),),
        TOGETHER,
    ),
    Ablation(
        "labels",
        "Number of labels",
        "The fewer labelled images there are, the more a source that needed no labels should be worth. "
        "Fewer are trained on; the part of a fold that decides when to stop keeps its labels.",
        (
            Variant("half of them", {"labels": 0.5}),
            Variant("a quarter", {"labels": 0.25}),
            Variant("a tenth", {"labels": 0.1}),
        ),
        ("independent", "alternating", "separate"),
    ),
)
