"""How well a predicted mask covers the true one, image by image (paper, Tables 3 and 7).

All measures take boolean masks, (H, W) or (N, H, W), and return one value per image: a float, or an
array (N,). True is the foreground (lung, envelope). They raise a ValueError if the shapes differ or
a mask is not boolean: threshold probabilities first.

Empty masks: an empty prediction for an empty target is right (1.0); anything predicted where the
target is empty is wrong (0.0); for distances see :func:`hausdorff_95`. The Dice loss with its small
eps in numerator and denominator agrees with that: it is exactly 0 in the first case and close to 1 in
the second.
"""

import numpy as np
from scipy import ndimage

from ums.metrics.pairs import like_input, paired_batches


def iou(target: np.ndarray, prediction: np.ndarray) -> np.ndarray | float:
    """Intersection over union of the foreground, ``|T and P| / |T or P|`` (Jaccard 1901).

    Per image it is never above the F-score: ``IoU = F / (2 - F)``.
    """
    t, p = _masks(target, prediction)
    return like_input(_overlap(t, p), target)


def f_score(target: np.ndarray, prediction: np.ndarray) -> np.ndarray | float:
    """F-score of the foreground, ``2 |T and P| / (|T| + |P|)``: the Dice coefficient (1945)."""
    t, p = _masks(target, prediction)
    return like_input(_ratio(2 * _count(t & p), _count(t) + _count(p)), target)


def accuracy(target: np.ndarray, prediction: np.ndarray) -> np.ndarray | float:
    """The share of pixels on which both masks agree, background included."""
    t, p = _masks(target, prediction)
    return like_input(np.mean(t == p, axis=(1, 2)), target)


def mean_iou(target: np.ndarray, prediction: np.ndarray) -> np.ndarray | float:
    """The mean of the foreground's and the background's IoU.

    The paper prints IoU above F (0.98 beside 0.96), which a foreground IoU averaged over images
    cannot be; averaged over both classes it can. This is the figure to stand beside the paper's.
    """
    t, p = _masks(target, prediction)
    return like_input((_overlap(t, p) + _overlap(~t, ~p)) / 2, target)


def hausdorff_95(target: np.ndarray, prediction: np.ndarray) -> np.ndarray | float:
    """The 95 % Hausdorff distance of the masks' boundaries, in pixels (HD95); 0 is best.

    With d(a, B) the Euclidean distance from pixel a to the nearest of B, and T, P the boundaries::

        HD95 = max(95th percentile of d(t, P) over t in T, 95th percentile of d(p, T) over p in P)

    Unlike IoU it sees how far off an error is; the percentile forgives single stray pixels. Of the
    definitions in use this is the one of "Metrics reloaded" (Maier-Hein et al. 2024, Nature Methods
    21) and of MONAI; MedPy takes one percentile of both sets of distances together. Boundary pixels
    are foreground with a neighbour, left, right, above or below, that is background or outside the
    image. Divided by the image's side, HD95 compares image sizes.

    Both masks empty: 0. One empty: the image's diagonal, the farthest that two pixels can lie apart,
    so that a mask that was missed counts in a mean as the worst.
    """
    t, p = _masks(target, prediction)
    return like_input(np.array([_hausdorff_95(*pair) for pair in zip(t, p, strict=True)]), target)


def _hausdorff_95(t: np.ndarray, p: np.ndarray) -> float:
    if not (t.any() and p.any()):
        H, W = t.shape
        return 0.0 if t.any() == p.any() else float(np.hypot(H - 1, W - 1))
    T, P = (mask & ~ndimage.binary_erosion(mask) for mask in (t, p))
    from_T, from_P = ndimage.distance_transform_edt(~P)[T], ndimage.distance_transform_edt(~T)[P]
    return float(max(np.percentile(from_T, 95), np.percentile(from_P, 95)))


def _masks(target: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    t, p = paired_batches(target, prediction)
    if t.dtype != bool or p.dtype != bool:
        raise ValueError(f"masks must be boolean, got {t.dtype} and {p.dtype}")
    return t, p


def _overlap(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    return _ratio(_count(t & p), _count(t | p))


def _count(masks: np.ndarray) -> np.ndarray:
    return np.asarray(np.count_nonzero(masks, axis=(1, 2)))  # (N,)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Part / whole (N,), and 1.0 where both masks are empty and there is no whole."""
    return np.where(whole == 0, 1.0, part / np.maximum(whole, 1))
