r"""Is an echo fit for measurement? Derived from the flow and the quality head (section 4.2.3).

The rule: a tricuspid regurgitation (TR) of poor quality is excluded from further analysis, its envelope
being too unclear to be measured; everything else is used. The heads give probabilities, not classes.
If, the image given, they err independently of each other,

    P(exclude) = P(TR) P(poor)

is the probability that the rule, given the true classes, would exclude it, and excluding where that
is above 1/2 makes the fewest mistakes. That is the decision here. The rule on the two likeliest
classes excludes more: heads that are 60 % sure of TR and 60 % sure of poor quality are together right
only 36 % of the time. The two differ only where both heads are unsure, and agree for probabilities
near 0 or 1. A mistake one way loses an image, one the other way spoils a measurement: where they do
not cost the same, ``threshold`` should be the cost of a lost image divided by the sum of both costs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ums.metrics.classification import confusion_matrix

FLOWS = ("MV", "MA", "TR")
QUALITIES = ("poor", "good")
TR, POOR = FLOWS.index("TR"), QUALITIES.index("poor")

USE, EXCLUDE = 0, 1
OUTCOMES = ("rightly used", "wrongly excluded", "wrongly used", "rightly excluded")
"""In the order of 2 true + recommended, each of them USE or EXCLUDE."""

CAUSES = ("flow", "quality", "both", "neither")


def excluded(flow: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """Apply the rule to classes (N,), numbers of ``FLOWS`` and ``QUALITIES``; (N,) bool.

    Raises:
        ValueError: The shapes differ, or a value is not a class (-1, not labelled, is none).
    """
    flow, quality = _classes(flow, FLOWS, "flow"), _classes(quality, QUALITIES, "quality")
    _check_pairs(flow, quality)
    return np.asarray((flow == TR) & (quality == POOR))


def exclusion_probability(flow: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """P(TR) P(poor) of each image: (N, 3) and (N, 2) probabilities -> (N,).

    Raises:
        ValueError: Other shapes, or rows that are not probabilities (logits need a softmax first).
    """
    flow = _probabilities(flow, FLOWS, "flow")
    quality = _probabilities(quality, QUALITIES, "quality")
    _check_pairs(flow, quality)
    return np.asarray(flow[:, TR] * quality[:, POOR])


@dataclass(frozen=True, eq=False)
class Recommendations:
    """Recommendations from the probabilities of flow (N, 3) and quality (N, 2).

    Images are excluded whose probability of exclusion is above the threshold.

    Raises:
        ValueError: As :func:`exclusion_probability`, or the threshold is not in [0, 1].
    """

    flow: np.ndarray
    quality: np.ndarray
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"the threshold must be in [0, 1], got {self.threshold}")
        exclusion_probability(self.flow, self.quality)

    @property
    def probability(self) -> np.ndarray:
        """The probability of exclusion, (N,)."""
        return exclusion_probability(self.flow, self.quality)

    @property
    def excluded(self) -> np.ndarray:
        """The decision, (N,) bool."""
        return np.asarray(self.probability > self.threshold)

    @property
    def predicted_flow(self) -> np.ndarray:
        """The flow head's likeliest class, (N,)."""
        return np.asarray(np.argmax(self.flow, axis=1))

    @property
    def predicted_quality(self) -> np.ndarray:
        """The quality head's likeliest class, (N,)."""
        return np.asarray(np.argmax(self.quality, axis=1))


@dataclass(frozen=True, eq=False)
class Agreement:
    """Recommendations compared with the truth.

    ``table`` (2, 2) has counts, true use and exclude in rows, recommended use and exclude in columns.
    ``causes`` has counts by "wrongly used" or "wrongly excluded", and by cause of ``CAUSES``.
    """

    table: np.ndarray
    causes: dict[str, dict[str, int]]


def agreement(flow: np.ndarray, quality: np.ndarray, recommended: Recommendations) -> Agreement:
    """Compare recommendations with the rule on the true flow (N,) and quality (N,).

    Raises:
        ValueError: As :func:`excluded`, or there are more or fewer images than recommendations.
    """
    causes = causes_of_errors(flow, quality, recommended)
    outcome = outcomes(flow, quality, recommended)
    counts = {
        wrong: {c: int(np.sum((causes == c) & (outcome == wrong))) for c in CAUSES}
        for wrong in ("wrongly used", "wrongly excluded")
    }
    true = _truth(flow, quality, recommended)
    return Agreement(confusion_matrix(true, recommended.excluded, 2), counts)


def outcomes(flow: np.ndarray, quality: np.ndarray, recommended: Recommendations) -> np.ndarray:
    """Which of :data:`OUTCOMES` each image is, (N,) strings; raises as :func:`agreement`."""
    true = _truth(flow, quality, recommended)
    return np.asarray(np.take(OUTCOMES, 2 * true + recommended.excluded))


def causes_of_errors(
    flow: np.ndarray, quality: np.ndarray, recommended: Recommendations
) -> np.ndarray:
    """Which head is to blame for each wrong recommendation, (N,) strings, "" where it is right.

    "flow" is wrong about TR or not TR (MV for MA does no harm), "quality" about poor or good, by
    their likeliest classes, or "both" are; "neither" where both are right but their probabilities
    lead to the other side of the threshold. Raises as :func:`agreement`.
    """
    wrong = _truth(flow, quality, recommended) != recommended.excluded
    flow_wrong = (np.asarray(flow) == TR) != (recommended.predicted_flow == TR)
    quality_wrong = np.asarray(quality) != recommended.predicted_quality
    blamed = np.take(["neither", "flow", "quality", "both"], flow_wrong + 2 * quality_wrong)
    return np.where(wrong, blamed, "")


def _truth(flow: np.ndarray, quality: np.ndarray, recommended: Recommendations) -> np.ndarray:
    true = excluded(flow, quality)
    if len(true) != len(recommended.flow):
        raise ValueError(f"{len(recommended.flow)} recommendations for {len(true)} images")
    return true


def _check_pairs(flow: np.ndarray, quality: np.ndarray) -> None:
    if len(flow) != len(quality):
        shapes = f"{flow.shape}, {quality.shape}"
        raise ValueError(f"as many flows as qualities are needed, got {shapes}")


def _classes(values: np.ndarray, names: Sequence[str], what: str) -> np.ndarray:
    values = np.asarray(values)
    if values.ndim != 1 or not np.isin(values, range(len(names))).all():
        raise ValueError(f"{what} must be (N,) of 0 .. {len(names) - 1}, got {values}")
    return values


def _probabilities(values: np.ndarray, names: Sequence[str], what: str) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or values.shape[1] != len(names):
        raise ValueError(f"{what} must be (N, {len(names)}), got shape {values.shape}")
    if not ((values >= 0).all() and np.allclose(values.sum(axis=1), 1, atol=1e-4)):
        raise ValueError(f"{what} must hold probabilities, rows of sum 1; logits need a softmax")
    return values
