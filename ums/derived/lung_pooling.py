r"""Abnormality from inside the lungs: a task derived from the heads of lungs and of abnormality.

A classification head pools its features over the whole image, so that another hospital's borders,
collimation and exposure enter its score. The lung head knows where the lungs are (section 3.2.1 lets
tasks derive from heads). With a (h, w) the area of predicted lung in each cell of a feature map A
(h, w, C), the features of an image are

    mean_k = sum_ij a_ij A_ijk / sum_ij a_ij,    max_k = max of A_ijk over the cells with a_ij >= 1/2,

at the last resolutions of the encoder. Where no cell is at least half lung, the lungs count as not
found, and that map is pooled everywhere (a = 1). From these features, a logistic regression with an L2
penalty gives the log odds of abnormality. How many resolutions, with or without maxima and the penalty
are chosen by the log loss on validation images; the other hospital's images play no part.

The same head on the film or everywhere tells what the region, and not the regression, changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from ums.backend import Array, Device, array_module, to_numpy
from ums.data.examples import Dataset, Examples, in_order
from ums.derived.heat_map import split_at_pooling
from ums.layers import Layer
from ums.logistic import Logistic, fit_logistic

RESOLUTIONS = (1, 2, 3)
"""How many of the encoder's feature maps may be pooled, from the coarsest on."""

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)

Region = Callable[[Array], Array]
"""From a network's inputs (N, H, W, C) to the probability of each pixel to be inside, (N, H, W)."""

Pooled = list[np.ndarray]
"""For each resolution, the coarsest first, means and maxima of the features: (N, 2, C) float64."""


def pool_inside(features: Array, lungs: Array) -> Array:
    """Means and maxima of features (N, h, w, C) inside the lungs: (N, 2, C), on the device.

    Args:
        features: A feature map.
        lungs: (N, H, W) probabilities of lung, H and W multiples of h and w.

    Raises:
        ValueError: The sizes do not fit.
    """
    xp = array_module(features)
    N, h, w, C = features.shape
    if lungs.shape[0] != N or lungs.shape[1] % h or lungs.shape[2] % w:
        raise ValueError(f"lungs {lungs.shape} do not fit a feature map {features.shape}")
    area = lungs.reshape(N, h, lungs.shape[1] // h, w, -1).mean(axis=(2, 4)).reshape(N, h * w, 1)
    nowhere = (area < 0.5).all(axis=1, keepdims=True)
    area = xp.where(nowhere, 1, area)
    cells = features.reshape(N, h * w, C)
    mean = (area * cells).sum(axis=1) / area.sum(axis=1)
    return xp.stack([mean, xp.where(area >= 0.5, cells, -np.inf).max(axis=1)], axis=1)


def in_lungs(lungs: Layer) -> Region:
    """The lungs that a segmentation network, from images to logits (N, H, W, 1), predicts."""

    def region(x: Array) -> Array:
        xp, z = array_module(x), lungs.forward(x, keep=False)[..., 0]
        return 1 / (1 + xp.exp(-xp.clip(z, -30, 30)))

    return region


def on_film(x: Array) -> Array:
    """All but the background (:class:`ums.data.Normalisation`): what the borders alone explain."""
    return (x[..., 0] > -1).astype(x.dtype)


def everywhere(x: Array) -> Array:
    """The whole image, as the classification head pools it."""
    return array_module(x).ones_like(x[..., 0])


def pooled_features(
    region: Region, abnormality: Layer, examples: Dataset, device: Device, size: int = 32
) -> Pooled:
    """Features of the abnormality network's encoder, pooled inside a region of each image.

    Args:
        region: Where to pool, :func:`in_lungs`, :func:`on_film` or :func:`everywhere`.
        abnormality: A network from images to classes, with its pooling inside. Its encoder and that of
            the lungs are one, or two, according to how the tasks were tuned.
        examples: N images, normalised as for all networks.
        device: Where the networks are.
        size: Images at a time.
    """
    encoder, _ = split_at_pooling(abnormality)
    pooled = []
    for chosen in in_order(len(examples), size):
        x = device.put(examples.batch(chosen)[0])
        area, maps = region(x), _maps(encoder.layers, x)
        pooled.append([to_numpy(pool_inside(A, area)).astype(np.float64) for A in maps])
    return [np.concatenate(batches) for batches in zip(*pooled, strict=True)]


def _maps(layers: Sequence[Layer], x: Array) -> list[Array]:
    """The last feature map of each resolution, the coarsest first."""
    maps: list[Array] = []
    for layer in layers:
        x = layer.forward(x, keep=False)
        if maps and maps[0].shape[1:3] == x.shape[1:3]:
            maps[0] = x
        else:
            maps.insert(0, x)
    return maps[: max(RESOLUTIONS)]


@dataclass(frozen=True, eq=False)
class LungPooling:
    """The fitted head.

    Attributes:
        resolutions: How many feature maps it takes, from the coarsest on.
        maximum: Whether it takes maxima beside means.
        penalty: Of its logistic regression.
        mean: (D,) of the training features, by which features are standardised.
        deviation: (D,), likewise.
        regression: On the standardised features.
        validation_loss: Mean log loss of the validation images.
    """

    resolutions: int
    maximum: bool
    penalty: float
    mean: np.ndarray
    deviation: np.ndarray
    regression: Logistic
    validation_loss: float

    def logits(self, pooled: Pooled) -> np.ndarray:
        """Logits (N, 2) of normal and abnormal, the first 0, as those of a classifier."""
        features = _joined(pooled, self.resolutions, self.maximum)
        z = self.regression.logits((features - self.mean) / self.deviation)
        return np.stack([np.zeros(len(z)), z], axis=1)


def derive_lung_pooling(
    region: Region, abnormality: Layer, train: Examples, validation: Examples, device: Device
) -> LungPooling:
    """Fit the head to labelled training images, its variant chosen on validation images.

    Arguments are those of :func:`pooled_features`, with the examples of the abnormality task.

    Raises:
        ValueError: The examples have no labels, or training lacks a class.
    """
    plain = [replace(examples, augment=None) for examples in (train, validation)]
    parts = [(pooled_features(region, abnormality, e, device), _labels(e)) for e in plain]
    return fit_lung_pooling(*parts)


def fit_lung_pooling(
    train: tuple[Pooled, np.ndarray], validation: tuple[Pooled, np.ndarray]
) -> LungPooling:
    """The same from features and labels (N,) of 0 and 1."""
    candidates = (
        _fit(train, validation, *variant)
        for variant in product(RESOLUTIONS[: len(train[0])], (False, True), PENALTIES)
    )
    return min(candidates, key=lambda head: head.validation_loss)


def _fit(
    train: tuple[Pooled, np.ndarray],
    validation: tuple[Pooled, np.ndarray],
    resolutions: int,
    maximum: bool,
    penalty: float,
) -> LungPooling:
    features, other = (_joined(p, resolutions, maximum) for p, _ in (train, validation))
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation = np.where(deviation > 1e-6, deviation, 1)  # a constant feature gets no weight
    regression = fit_logistic((features - mean) / deviation, train[1], penalty)
    z = regression.logits((other - mean) / deviation)
    loss = float(np.mean(np.logaddexp(0, z) - validation[1] * z))
    return LungPooling(resolutions, maximum, penalty, mean, deviation, regression, loss)


def _joined(pooled: Pooled, resolutions: int, maximum: bool) -> np.ndarray:
    """The features of a variant, (N, D)."""
    kinds = slice(None) if maximum else slice(1)
    return np.concatenate([p[:, kinds].reshape(len(p), -1) for p in pooled[:resolutions]], axis=1)


def _labels(examples: Examples) -> np.ndarray:
    if examples.targets is None:
        raise ValueError(f"examples of abnormality need labels: {examples!r}")
    return np.asarray(examples.targets[examples.rows])
