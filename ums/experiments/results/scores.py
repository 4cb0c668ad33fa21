"""What the tables are made of: scores of networks on images they have not seen, and how sure they are.

A task is learned k times, once per fold. Its figure is the mean of the k networks' scores; beside it
stand their standard deviation, which says how much another training set changes it, and a bootstrap
interval, which says how much other test cases would.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from scipy.special import softmax

from ums.backend import Device
from ums.data import NOISES
from ums.data.examples import all_of
from ums.data.normalisation import BACKGROUND, Normalisation
from ums.experiments.tasks import CLASSIFICATION, SEGMENTATION
from ums.finetuning.separate import denoise_exactly
from ums.layers import Layer
from ums.metrics import classification, image_quality, segmentation
from ums.metrics.significance import bootstrap_interval, mcnemar_exact, paired_permutation
from ums.training import predict

@dataclass(frozen=True)
class Estimate:
    """A score over the folds of a cross-validation: `0.853 ± 0.012 [0.832, 0.871]` in a table.

    folds: one value per fold; low, high: the ends of an interval for their mean, NaN where there is
    none.
    """

    folds: Sequence[float]
    low: float = math.nan
    high: float = math.nan

    def __post_init__(self):
        if not len(self.folds):
            raise ValueError("an Estimate needs the value of at least one fold")

    @property
    def mean(self):
        """Return the mean over the folds."""
        return float(np.mean(self.folds))

    @property
    def sd(self):
        """Return the standard deviation over the folds (k - 1 in the denominator), NaN for one."""
        return float(np.std(self.folds, ddof=1)) if len(self.folds) > 1 else math.nan

    @property
    def has_interval(self):
        """Whether both ends of the interval are known."""
        return not (math.isnan(self.low) or math.isnan(self.high))

    def to_dict(self):
        """Return the unrounded numbers."""
        numbers = {"mean": self.mean, "sd": self.sd, "folds": list(self.folds)}
        return numbers | {"low": self.low, "high": self.high}


RESAMPLES = 1000
"""Of the test cases, for an interval."""

LOGITS = "logits"
"""What is kept of a classification."""


def score_masks(
    network: Layer, images: np.ndarray, masks: np.ndarray, device: Device, dark: int = BACKGROUND
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Scores (n,) by measure of the masks predicted for images (n, H, W) or (n, H, W, C), and the masks,
    booleans (n, H, W)."""
    logits = predict(network, all_of(images, Normalisation(dark)), device)
    predicted, target = logits[..., 0] > 0, np.asarray(masks) > 0
    scores = {
        "IoU": segmentation.iou(target, predicted),
        "F-score": segmentation.f_score(target, predicted),
        "Accuracy": segmentation.accuracy(target, predicted),
        "Two-class IoU": segmentation.mean_iou(target, predicted),
    }
    return scores, predicted


def score_classes(
    network: Layer, images: np.ndarray, device: Device, dark: int = BACKGROUND
) -> dict[str, np.ndarray]:
    """The logits (n, K) of images (n, H, W) or (n, H, W, C)."""
    return {LOGITS: predict(network, all_of(images, Normalisation(dark)), device).astype(np.float64)}


@dataclass(eq=False)
class Tested:
    """What the k networks of a task scored on n cases, fold by fold.

    Attributes:
        kind: of the task.
        patients: (n,) of each case.
        labels: (n,) 0 .. K - 1, for a classification.
        values: by measure (k, n), or the logits (k, n, K); NaN where a fold's network was not asked.
    """

    kind: str
    patients: np.ndarray
    labels: np.ndarray | None
    values: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def clustered(self) -> bool:
        """Whether a patient has several cases, which are then not independent."""
        return len(np.unique(self.patients)) < len(self.patients)

    def add(self, fold: int, k: int, cases: np.ndarray, scores: dict[str, np.ndarray]) -> None:
        """Note one fold's scores on some of the cases."""
        for name, values in scores.items():
            if name not in self.values:
                self.values[name] = np.full((k, len(self.patients), *values.shape[1:]), np.nan)
            self.values[name][fold, cases] = values

    def estimate(self, measure: str, rng: np.random.Generator) -> Estimate:
        """The measure: each fold's value, and the interval of their mean over other cases."""
        name = measure if self.kind == SEGMENTATION else LOGITS
        values = self.values[name].swapaxes(0, 1)  # (n, k) or (n, k, K)
        labels = np.zeros(len(values)) if self.labels is None else self.labels

        def of_folds(values, labels):
            return [self._score(measure, v, labels) for v in values.swapaxes(0, 1)]

        return estimated(of_folds, (values, labels), self.patients, rng)

    def _score(self, measure: str, values: np.ndarray, labels: np.ndarray) -> float:
        seen = np.isfinite(values).reshape(len(values), -1).all(axis=1)
        if not seen.any():
            return np.nan
        values, labels = values[seen], labels[seen]
        if self.kind == SEGMENTATION:
            return float(values.mean())
        if measure == "AUC":
            return classification.one_vs_rest_auc(labels, values)
        said, K = values.argmax(axis=1), values.shape[1]
        if measure == "F-score":
            return classification.f_score(labels, said, K, positive=1 if K == 2 else None)
        return {"MCC": classification.mcc, "Accuracy": classification.accuracy}[measure](
            labels, said, K
        )

    def probabilities(self) -> np.ndarray:
        """Each case's mean probability (n, K) over the folds' networks that were asked about it."""
        return np.nanmean(softmax(self.values[LOGITS], axis=2), axis=0)

    def right(self) -> np.ndarray:
        """Whether the folds' networks together, by mean probability, are right about each case, (n,).

        A held-out case has been put to one network.
        """
        return self.probabilities().argmax(axis=1) == self.labels

    def by_case(self, measure: str) -> np.ndarray:
        """A segmentation's score of each case, the mean over the folds that were asked, (n,)."""
        return np.nanmean(self.values[measure], axis=0)


def tested_once(patients: np.ndarray, labels: np.ndarray, logits: np.ndarray) -> Tested:
    """One network's logits (n, K) of n cases, with their patients (n,) and labels (n,)."""
    tested = Tested(CLASSIFICATION, patients, labels)
    tested.add(0, 1, np.arange(len(labels)), {LOGITS: logits})
    return tested


def estimated(
    of_folds: Callable[..., Sequence[float]],
    cases: tuple[np.ndarray, ...],
    patients: np.ndarray,
    rng: np.random.Generator,
) -> Estimate:
    """Each fold's score, and the 95 % bootstrap interval of their mean over other patients.

    Args:
        of_folds: ``of_folds(*cases)``, the scores (k,) of cases; NaN where a fold has none.
        cases: arrays (n, ...).
        patients: (n,) of each case.
        rng: draws the patients.
    """

    def mean(*drawn):
        scores = np.asarray(of_folds(*drawn))
        known = scores[np.isfinite(scores)]
        return known.mean() if len(known) else np.nan

    interval = bootstrap_interval(mean, cases, rng, resamples=RESAMPLES, groups=patients)
    return Estimate([float(score) for score in of_folds(*cases)], *interval)


class Difference(NamedTuple):
    """Whether two strategies differ on the same cases.

    Attributes:
        p_value: as :func:`compare` says.
        tested: a less b, summed over the cases: what p is about.
        only_a, only_b: cases that only one got right, for a classification.
    """

    p_value: float
    tested: float
    only_a: int | None = None
    only_b: int | None = None


def compare(a: Tested, b: Tested, measure: str, rng: np.random.Generator) -> Difference:
    """Test two strategies on the cases of one task; the p-value is not corrected for others.

    McNemar's exact test of a classification is the sign-flip test on the differences of right answers;
    a segmentation's is on those of the IoU by case. Where a patient has several cases, as alike as they
    may be, a patient's sum has one sign to be flipped in both.
    """
    only = []
    if a.kind == SEGMENTATION:
        differences = a.by_case(measure) - b.by_case(measure)
    else:
        differences = a.right().astype(float) - b.right()
        *only, p = mcnemar_exact(a.right(), b.right())
        if not a.clustered:
            return Difference(p, differences.sum(), *only)
    p = sign_flips(differences, a.patients, rng)
    return Difference(p, differences.sum(), *only)


def sign_flips(differences: np.ndarray, patients: np.ndarray, rng: np.random.Generator) -> float:
    """The sign-flip test's p-value of differences (n,), a patient's flipped together."""
    _, patient = np.unique(patients, return_inverse=True)
    return paired_permutation(np.bincount(patient, differences), rng)


# ------------------------------------------------------------------------ the source


def score_denoising(
    denoiser: Layer, images: np.ndarray, device: Device, rng: np.random.Generator, dark: int = BACKGROUND
) -> list[dict]:
    """Table 2: for each noise, mean PSNR (dB), SSIM and MS-SSIM of noisy and denoised images.

    Images (N, H, W) uint8. Their number, and one image's clean, noisy and denoised pictures, come along
    for the page.
    """
    rows = []
    shown = int(rng.integers(len(images)))
    for noise in NOISES:
        noisy = noise.add(images, rng)
        denoised = denoise_exactly(denoiser, noisy, device, Normalisation(dark))
        rows.append(
            {
                "noise": str(noise),
                "images": len(images),
                "noisy": image_scores(images, noisy),
                "denoised": image_scores(images, denoised),
                "pictures": (images[shown], noisy[shown], denoised[shown]),
            }
        )
    return rows


def image_scores(clean: np.ndarray, images: np.ndarray) -> dict[str, float]:
    """Means over images of the three measures of Table 2."""
    clean = np.asarray(clean, np.float64)
    return {
        "PSNR": float(np.mean(image_quality.psnr(clean, images))),
        "SSIM": float(np.mean(image_quality.ssim(clean, images))),
        "MS-SSIM": float(np.mean(image_quality.ms_ssim(clean, images))),
    }
