r"""Is an echo fit for measurement? Derived from the flow and the quality head (section 4.2.3).

The rule: a tricuspid regurgitation (TR) of poor quality is excluded from further analysis, its envelope
being too unclear to be measured; everything else is used. The heads give probabilities, not classes.
If, the image given, they err independently of each other,

    P(exclude) = P(TR) P(poor)

is the probability that the rule, told the truth, would exclude it, and excluding where that is above 1/2
makes the fewest mistakes. That is the decision here. The rule on the two likeliest classes excludes
more: heads that are 60 % sure of TR and 60 % sure of poor quality are together right only 36 % of the
time. The two differ only where both heads are unsure, and agree for probabilities near 0 or 1. A mistake
one way loses an image, one the other way spoils a measurement: where they do not cost the same,
``threshold`` is to be the cost of a lost image divided by the sum of both costs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ums.metrics.classification import confusion_matrix

FLOWS = ("MV", "MA", "TR")
QUALITIES = ("poor", "good")
TR, POOR = FLOWS.index("TR"), QUALITIES.index("poor")

USE, EXCLUDE = 0, 1
OUTCOMES = ("rightly used", "wrongly excluded", "wrongly used", "rightly excluded")
"""By 2 true + said, each of them USE or EXCLUDE."""

CAUSES = ("flow", "quality", "both", "neither")


def excluded(flow, quality) -> np.ndarray:
    """The rule on classes: flow (N,) of :data:`FLOWS` and quality (N,) of :data:`QUALITIES` -> (N,) bool.

    Raises:
        ValueError: the shapes differ, or a value is no class (-1, not labelled, is none).
    """
    flow, quality = _classes(flow, FLOWS, "flow"), _classes(quality, QUALITIES, "quality")
    if flow.shape != quality.shape:
        raise ValueError(
            f"as many flows as qualities are needed, got {flow.shape}, {quality.shape}"
        )
    return (flow == TR) & (quality == POOR)


def exclusion_probability(flow, quality) -> np.ndarray:
    """P(TR) P(poor) of each image: (N, 3) and (N, 2) probabilities -> (N,).

    Raises:
        ValueError: other shapes, or rows that are no probabilities (logits need a softmax first).
    """
    flow = _probabilities(flow, FLOWS, "flow")
    quality = _probabilities(quality, QUALITIES, "quality")
    if len(flow) != len(quality):
        raise ValueError(
            f"as many flows as qualities are needed, got {flow.shape}, {quality.shape}"
        )
    return flow[:, TR] * quality[:, POOR]


@dataclass(frozen=True, eq=False)
class Recommendations:
    """What is recommended for N images, and what it follows from.

    Attributes:
        flow: (N, 3) probabilities.
        quality: (N, 2) probabilities.
        threshold: the probability of exclusion above which an image is excluded.

    Raises:
        ValueError: as :func:`exclusion_probability`, or the threshold is not in [0, 1].
    """

    flow: np.ndarray
    quality: np.ndarray
    threshold: float = 0.5

    def __post_init__(self):
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"the threshold must be in [0, 1], got {self.threshold}")
        exclusion_probability(self.flow, self.quality)

    def __len__(self) -> int:
        return len(self.flow)

    @property
    def probability(self) -> np.ndarray:
        """Of exclusion, (N,)."""
        return exclusion_probability(self.flow, self.quality)

    @property
    def excluded(self) -> np.ndarray:
        """The decision, (N,) bool."""
        return self.probability > self.threshold

    @property
    def flow_said(self) -> np.ndarray:
        """The flow head's likeliest class, (N,)."""
        return np.argmax(self.flow, axis=1)

    @property
    def quality_said(self) -> np.ndarray:
        """The quality head's likeliest class, (N,)."""
        return np.argmax(self.quality, axis=1)


@dataclass(frozen=True, eq=False)
class Agreement:
    """Recommendations beside the truth.

    Attributes:
        table: (2, 2) counts, true use and exclude in rows, said use and exclude in columns.
        causes: "wrongly used" and "wrongly excluded" -> cause of :data:`CAUSES` -> count, as
            :func:`causes_of_errors` says.
    """

    table: np.ndarray
    causes: dict[str, dict[str, int]]


def agreement(flow, quality, said: Recommendations) -> Agreement:
    """How recommendations compare with the rule on the true flow (N,) and quality (N,).

    Raises:
        ValueError: as :func:`excluded`, or another number of them than of recommendations.
    """
    causes, outcome = (of(flow, quality, said) for of in (causes_of_errors, outcomes))
    counts = {
        wrong: {c: int(np.sum((causes == c) & (outcome == wrong))) for c in CAUSES}
        for wrong in ("wrongly used", "wrongly excluded")
    }
    return Agreement(confusion_matrix(_truth(flow, quality, said), said.excluded, 2), counts)


def outcomes(flow, quality, said: Recommendations) -> np.ndarray:
    """Which of :data:`OUTCOMES` each image is, (N,) strings; raises as :func:`agreement`."""
    true = _truth(flow, quality, said)
    return np.array(OUTCOMES)[2 * true + said.excluded]


def causes_of_errors(flow, quality, said: Recommendations) -> np.ndarray:
    """Which head is to blame for each wrong recommendation, (N,) strings, "" where it is right.

    "flow" is wrong about TR or not TR (MV for MA does no harm), "quality" about poor or good, by
    their likeliest classes, or "both" are; "neither" where both are right but not sure enough for
    the threshold, or it asks for little. Raises as :func:`agreement`.
    """
    wrong = _truth(flow, quality, said) != said.excluded
    flow_wrong = (np.asarray(flow) == TR) != (said.flow_said == TR)
    quality_wrong = np.asarray(quality) != said.quality_said
    blamed = np.array(["neither", "flow", "quality", "both"])[flow_wrong + 2 * quality_wrong]
    return np.where(wrong, blamed, "")


def _truth(flow, quality, said):
    true = excluded(flow, quality)
    if len(true) != len(said):
        raise ValueError(f"{len(said)} recommendations for {len(true)} images")
    return true


def _classes(values, names, what):
    values = np.asarray(values)
    if values.ndim != 1 or not np.isin(values, range(len(names))).all():
        raise ValueError(f"{what} must be (N,) of 0 .. {len(names) - 1}, got {values}")
    return values


def _probabilities(values, names, what):
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or values.shape[1] != len(names):
        raise ValueError(f"{what} must be (N, {len(names)}), got shape {values.shape}")
    if not ((values >= 0).all() and np.allclose(values.sum(axis=1), 1, atol=1e-4)):
        raise ValueError(f"{what} must hold probabilities, rows of sum 1; logits need a softmax")
    return values
