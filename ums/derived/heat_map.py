r"""Where a classifier looks: a heat map of the image, from the gradient of one class's score.

The derivable task of the chest X-ray study (section 4.1.3), by Grad-CAM (Selvaraju et al. 2017, equations
1 and 2). With A (h, w, C) the last feature map, the one that is pooled, and s the score (logit) of
a class,

    alpha_k = mean_{i,j} ds / dA[i, j, k],    map[i, j] = max(0, sum_k alpha_k A[i, j, k]).

A channel counts by how much more of it, anywhere in the image, would raise the score; what speaks
against the class is cut off. Where a single dense layer w follows the pooling, alpha_k is
w[k, class] / (h w) and the map is the class activation map of Zhou et al. (2016).

A heat map shows which places the network used, not whether it used them for a good reason.
"""

import cv2
import numpy as np

from ums.backend import Array, array_module, to_numpy
from ums.layers import GlobalAveragePool, Layer, Sequential
from ums.metrics.pairs import like_input, paired_batches
from ums.networks import copy_network


def heat_maps(network: Layer, x: Array, classes: int | np.ndarray | None = None) -> np.ndarray:
    """Heat maps of images as a classifier sees them, in [0, 1], on the host.

    The network runs as at inference (no dropout, running statistics), so an image's map does not
    depend on the others in its batch. Each map is enlarged bilinearly to the image's size and divided
    by its maximum, if that is not 0.

    Args:
        network: Images to scores: ``Sequential(encoder, head)``, or a model with its pooling inside.
        x: (N, H, W, C), normalised as for the network, on its device.
        classes: The class to explain, one for all or one per image (N,); by default the predicted one.

    Returns:
        (N, H, W) of the network's dtype.

    Raises:
        ValueError: As for :func:`split_at_pooling` and :func:`grad_cam`; or x is not a network's
            input, as raw uint8 images are not, or the maps are not finite.
    """
    if x.ndim != 4 or x.dtype.kind != "f":
        raise ValueError(f"x must be normalised, floats (N, H, W, C), got {x.shape} {x.dtype}")
    encoder, head = split_at_pooling(network)
    coarse = to_numpy(grad_cam(encoder.forward(x, keep=False), head, classes))
    if not np.isfinite(coarse).all():
        raise ValueError("heat maps are not finite: look at x, and at the weights of the network")
    H, W = x.shape[1:3]
    maps = np.stack([cv2.resize(m, (W, H), interpolation=cv2.INTER_LINEAR) for m in coarse])
    highest = maps.max(axis=(1, 2), keepdims=True)
    return maps / np.where(highest == 0, 1, highest)


def grad_cam(features: Array, head: Layer, classes: int | np.ndarray | None = None) -> Array:
    """The maps before they are enlarged and scaled: (N, h, w, C) -> (N, h, w), on the device.

    ``features`` is the last feature map, which ``head`` pools and maps to scores (N, K). The gradient
    comes from the backward pass of a copy of the head; the head itself is not changed.

    Raises:
        ValueError: ``classes`` are not whole numbers in 0 .. K - 1, one or N of them.
    """
    xp = array_module(features)
    head = copy_network(head).freeze()  # frozen: no gradients of parameters are computed
    scores = head.forward(features)  # (N, K)
    gradient: Array = head.backward(_one_hot(scores, classes))  # (N, h, w, C)
    mean = gradient.mean(axis=(1, 2), keepdims=True, dtype=np.float64)  # (N, 1, 1, C)
    alpha = mean.astype(gradient.dtype)
    return xp.maximum((alpha * features).sum(axis=3), 0)


def split_at_pooling(network: Layer) -> tuple[Sequential, Sequential]:
    """Split a network before its global average pooling; both parts share its layers.

    Raises:
        ValueError: The network has no global average pooling, or more than one.
    """
    layers = network.leaves()
    pools = [i for i, layer in enumerate(layers) if isinstance(layer, GlobalAveragePool)]
    if len(pools) != 1:
        raise ValueError(f"expected one GlobalAveragePool, found {len(pools)} in {network!r}")
    return Sequential(*layers[: pools[0]]), Sequential(*layers[pools[0] :])


def mass_inside(maps: np.ndarray, masks: np.ndarray) -> np.ndarray | float:
    """The share of each map's sum that lies inside its boolean mask (the lungs, say), in [0, 1].

    Compare it with the mask's share of the image, which a constant map would give. The result is
    (N,) for (N, H, W), a float for one map (H, W), and NaN for a map that is 0 everywhere.

    Raises:
        ValueError: The shapes differ, the masks are not boolean or a map has a value that is negative
            or not finite.
    """
    maps_, masks_ = paired_batches(maps, masks)
    if masks_.dtype != bool:
        raise ValueError(f"masks must be boolean, got {masks_.dtype}")
    if (wrong := maps_[~(np.isfinite(maps_) & (maps_ >= 0))]).size:
        raise ValueError(f"maps must be finite and not negative, got {wrong[0]}")
    inside, whole = (m.sum(axis=(1, 2), dtype=np.float64) for m in (maps_ * masks_, maps_))
    return like_input(np.where(whole == 0, np.nan, inside / np.where(whole == 0, 1, whole)), maps)


def _one_hot(scores: Array, classes: int | np.ndarray | None) -> Array:
    """The gradient of each image's chosen score with respect to all its scores: (N, K)."""
    xp = array_module(scores)
    N, K = scores.shape
    if classes is None:
        chosen = scores.argmax(axis=1)
    else:
        given = np.asarray(classes)
        if given.shape not in ((), (N,)):
            raise ValueError(f"classes must be one number or ({N},), got shape {given.shape}")
        if given.dtype.kind not in "iu" or (given < 0).any() or (given >= K).any():
            raise ValueError(f"classes must be whole numbers in 0 .. {K - 1}, got {classes}")
        chosen = xp.asarray(np.broadcast_to(given, (N,)))
    return (xp.arange(K) == chosen[:, None]).astype(scores.dtype)
