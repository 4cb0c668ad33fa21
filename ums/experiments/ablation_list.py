"""What might make sharing pay or not, and the variants of the study in which each is tried on its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from ums.experiments.runner import STRATEGIES, TOGETHER

STUDYS, OWN, AS_FEW = "the study's", "the training hospital's", "as few of the study's"


@dataclass(frozen=True)
class Variant:
    """A change of the settings, of the images that the source learns from, or of all images.

    Attributes:
        label: for the page.
        changes: setting -> value.
        source: STUDYS, OWN or AS_FEW, the images that the source learns from.
        as_long: whether they are repeated until an epoch has as many steps as the study's.
        cropped: whether all images are cropped to the film.
    """

    label: str
    changes: dict = field(default_factory=dict)
    source: str = STUDYS
    as_long: bool = False
    cropped: bool = False


@dataclass(frozen=True)
class Cause:
    """A question, and what is tried for an answer beside the study as it is.

    Attributes:
        name: for the command line and anchors.
        title, text: for the page.
        variants: each differs from the study in one thing.
        strategies: those on which it can tell.
    """

    name: str
    title: str
    text: str
    variants: tuple[Variant, ...]
    strategies: tuple[str, ...] = STRATEGIES


AS_GIVEN = Variant("as in the study")
"""What all others differ from."""

CAUSES = (
    Cause(
        "normalisation",
        "Intensity normalisation",
        "An image's mean and deviation, of the pixels on the film or of all pixels. Black borders and "
        "collimation differ between hospitals: where they count, they shift everything else. Cropped to "
        "the film, no image has any: what a network may have learned from borders is gone.",
        (
            Variant("all pixels count", {"dark": -1}),
            Variant("cropped to the film", cropped=True),
        ),
        ("independent", "alternating", "separate"),
    ),
    Cause(
        "statistics",
        "The frozen batch norm's statistics",
        "A frozen encoder subtracts means that were measured on the source's images. Here they are "
        "measured again on the training hospital's (all of them, those held out later too, without "
        "labels), the weights staying as they are.",
        (Variant("the training hospital's statistics", {"statistics": "target"}),),
        ("independent",),
    ),
    Cause(
        "length",
        "The source's training length",
        "Epochs of denoising before anything is tuned; an untrained encoder says what a head makes of "
        "random features.",
        (
            Variant("untrained source", {"source_epochs": 0}),
            Variant("2 epochs", {"source_epochs": 2}),
        ),
        ("independent", "alternating"),
    ),
    Cause(
        "images",
        "The source's images",
        "The source's own images, of other patients and hospitals; those of the training hospital (some are "
        "held out later); a random choice of the source's own, as few as those. Each is seen once in an "
        "epoch, or repeated until an epoch has as many steps as with all of the source's own.",
        (
            Variant("the training hospital's images", source=OWN),
            Variant("the training hospital's images, repeated", source=OWN, as_long=True),
            Variant("few of the source's own", source=AS_FEW),
            Variant("few of the source's own, repeated", source=AS_FEW, as_long=True),
        ),
        ("independent", "alternating"),
    ),
    Cause(
        "augmentation",
        "Augmentation",
        "Training images turned, moved, scaled and exposed at random, or taken as they are. A frozen "
        "encoder's features can then not be computed once.",
        (Variant("none", {"augment": False}),),
    ),
    Cause(
        "weights",
        "The weights of the joint loss",
        "Equal weights, weights learned by the tasks' uncertainty (Kendall et al. 2018) or by the size "
        "of their gradients (GradNorm), and a tenth for the abnormality.",
        (
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
        (Variant("best for the lungs", {"stop_by": "first"}),),
        TOGETHER,
    ),
    Cause(
        "labels",
        "The number of labels",
        "The fewer labelled images there are, the more a source that needed none should be worth. Fewer "
        "are learned from; the part of a fold that decides when to stop keeps its own.",
        (
            Variant("half of them", {"labels": 0.5}),
            Variant("a quarter", {"labels": 0.25}),
            Variant("a tenth", {"labels": 0.1}),
        ),
        ("independent", "alternating", "separate"),
    ),
)
