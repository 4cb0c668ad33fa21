r"""Where a classifier looks: heat maps of the image, by the method of the paper and by two others.

The derivable task of the chest X-ray study (section 4.1.3) is Grad-CAM (Selvaraju et al. 2017, equations
1 and 2). With A (h, w, C) the last feature map, the one that is pooled, and s the score (logit) of
a class,

    alpha_k = mean_{i,j} ds / dA[i, j, k],    map[i, j] = max(0, sum_k alpha_k A[i, j, k]).

A channel counts by how much more of it, anywhere in the image, would raise the score; what speaks
against the class is cut off. Where a single dense layer w follows the pooling, alpha_k is
w[k, class] / (h w) and the map is the class activation map of Zhou et al. (2016).

Such a map has two limits. It is as coarse as the last feature map. And a prediction depends on how
much the class's score exceeds the others, not on the score: adding one number to all of them changes
the map of the score, and no prediction. The other methods therefore explain the log odds of the class,
the logarithm of the ratio of its probability p to 1 - p (with two classes, the difference of their scores),

    l_c = s_c - log sum_{j != c} exp s_j = log p_c / (1 - p_c),

HiResCAM (Draelos and Carin 2020) multiplies gradient and activation place by place, without the mean
over the places, and here it does so at the first feature map F, the finest, after the first ReLU:

    map = max(0, G_fine * e - G_coarse * e),    e[i, j] = sum_k dl_c / dF[i, j, k] F[i, j, k].

Strides leave a grid in e, which the Gaussian G_fine smooths, of a sixteenth of the side; and much of e
is the same all over a region, which says nothing about the place: the mean over the surroundings, by
a Gaussian of a quarter of the side, is taken away.

Occlusion (Zeiler and Fergus 2014) asks by how much l falls where a square is replaced by its blurred
self: a slow reference, which needs no gradient.

A heat map shows which places the network used, not whether it used them for a good reason.
"""

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from ums.backend import Array, array_module, to_numpy
from ums.layers import GlobalAveragePool, Layer, ReLU, Sequential
from ums.networks import copy_network

GRAD_CAM, HIRES_CAM, OCCLUSION = "Grad-CAM", "HiResCAM", "occlusion"

BATCH = 32
"""Images that are explained at a time, which bounds the memory."""


def heat_maps(
    network: Layer, x: Array, classes: int | np.ndarray | None = None, method: str = GRAD_CAM
) -> np.ndarray:
    """Heat maps of images as a classifier sees them, in [0, 1], on the host.

    The network runs as at inference (no dropout, running statistics), so an image's map does not
    depend on the others in its batch. Each map is enlarged bilinearly to the image's size, if it is
    smaller, and divided by its maximum, if that is not 0.

    Args:
        network: Images to scores: ``Sequential(encoder, head)``, or a model with its pooling inside.
        x: (N, H, W, C), normalised as for the network, on its device.
        classes: The class to explain, one for all or one per image (N,); by default the predicted one.
        method: A key of :data:`METHODS`.

    Returns:
        (N, H, W) of the network's dtype.

    Raises:
        ValueError: As for :func:`split_at_pooling` and :func:`grad_cam`; or there is no such method, x
            is not a network's input, as raw uint8 images are not, or the maps are not finite.
    """
    if x.ndim != 4 or x.dtype.kind != "f":
        raise ValueError(f"x must be normalised, floats (N, H, W, C), got {x.shape} {x.dtype}")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    explain = METHODS[method]
    coarse = np.concatenate(
        [to_numpy(explain(network, x[rows], own)) for rows, own in in_parts(len(x), classes)]
    )
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
    gradient: Array = head.backward(chosen_classes(scores, classes))  # (N, h, w, C)
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


def log_odds(scores: Array, own: Array) -> tuple[Array, Array]:
    """The log odds l (N,) of a class by its scores (N, K), and dl / ds = own - softmax of the others.

    ``own`` (N, K) is 1 at each image's class and 0 elsewhere.

    Raises:
        ValueError: There is only one class.
    """
    xp = array_module(scores)
    if scores.shape[1] < 2:
        raise ValueError(f"log odds need two classes or more, got scores {scores.shape}")
    others = xp.where(own > 0, -np.inf, scores)
    highest = others.max(axis=1, keepdims=True)
    shares = xp.exp(others - highest)
    total = shares.sum(axis=1, keepdims=True)
    odds = (own * scores).sum(axis=1, keepdims=True) - highest - xp.log(total)
    return odds[:, 0], own - shares / total


def blurred(x: Array) -> Array:
    """Images (N, H, W, C) without what makes them different: a Gaussian blur by an eighth of the side.

    What is unknown is taken from its surroundings, as in the insertion curve of Petsiuk et al. (2018):
    a patch of grey or black in a film would be a finding of its own.
    """
    sigma = max(x.shape[1:3]) / 8
    smooth = gaussian_filter(to_numpy(x), (0, sigma, sigma, 0), mode="nearest")
    return array_module(x).asarray(smooth)


def hires_cam(network: Layer, x: Array, classes: int | np.ndarray | None = None) -> Array:
    """What each place of the first feature map adds to the log odds, of either sign: (N, h, w).

    Raises:
        ValueError: As for :func:`grad_cam` and :func:`log_odds`; or the network has no ReLU.
    """
    layers = copy_network(network).freeze().leaves()
    first = next((i for i, layer in enumerate(layers, 1) if isinstance(layer, ReLU)), None)
    if first is None:
        raise ValueError(f"expected a ReLU, after which the first feature map is, in {network!r}")
    rest = Sequential(*layers[first:])
    features = Sequential(*layers[:first]).forward(x, keep=False)  # (N, h, w, C)
    scores = rest.forward(features)
    _, dscores = log_odds(scores, chosen_classes(scores, classes))
    return (rest.backward(dscores) * features).sum(axis=3)


def occlusion(network: Layer, x: Array, classes: int | np.ndarray | None = None) -> Array:
    """How much the log odds fall where a square is blurred, of either sign: (N, H, W), on the host.

    The square's side is an eighth of the image's, and it moves by half of that; a pixel's value is the
    mean over the squares that hide it.

    Raises:
        ValueError: As for :func:`grad_cam` and :func:`log_odds`.
    """
    N, H, W, _ = x.shape
    own, base = chosen_classes(network.forward(x, keep=False), classes), blurred(x)

    def odds(images: Array) -> np.ndarray:
        return to_numpy(log_odds(network.forward(images, keep=False), own)[0])

    before = odds(x)
    falls, count = np.zeros((N, H, W), before.dtype), np.zeros((H, W), before.dtype)
    side = max(2, min(H, W) // 8)
    for top in range(-(side // 2), H, side // 2):
        for left in range(-(side // 2), W, side // 2):
            rows, columns = (slice(max(0, start), start + side) for start in (top, left))
            hidden = x.copy()
            hidden[:, rows, columns] = base[:, rows, columns]
            falls[:, rows, columns] += (before - odds(hidden))[:, None, None]
            count[rows, columns] += 1
    return falls / count


def _cam(network: Layer, x: Array, classes: int | np.ndarray | None) -> Array:
    encoder, head = split_at_pooling(network)
    return grad_cam(encoder.forward(x, keep=False), head, classes)


def _local_hires_cam(network: Layer, x: Array, classes: int | np.ndarray | None) -> Array:
    """The map of :func:`hires_cam`: smoothed, less the surroundings."""
    places = to_numpy(hires_cam(network, x, classes))
    fine, coarse = (
        gaussian_filter(places, (0, sigma, sigma), mode="reflect")
        for sigma in (max(places.shape[1:]) / 16, max(places.shape[1:]) / 4)
    )
    return np.maximum(fine - coarse, 0)


def _occlusion(network: Layer, x: Array, classes: int | np.ndarray | None) -> Array:
    return np.maximum(occlusion(network, x, classes), 0)


METHODS: dict[str, Callable[..., Array]] = {
    GRAD_CAM: _cam,
    HIRES_CAM: _local_hires_cam,
    OCCLUSION: _occlusion,
}
"""Name -> ``method(network, x, classes)``, maps (N, h, w) that are not negative."""


def in_parts(N: int, classes: int | np.ndarray | None) -> Iterator[tuple[slice, np.ndarray | None]]:
    """N images, :data:`BATCH` at a time: which, and the class asked about of each, if one is."""
    each = None if classes is None else _one_each(classes, N)
    for start in range(0, N, BATCH):
        rows = slice(start, start + BATCH)
        yield rows, None if each is None else each[rows]


def _one_each(classes: int | np.ndarray, N: int) -> np.ndarray:
    given = np.asarray(classes)
    if given.shape not in ((), (N,)):
        raise ValueError(f"classes must be one number or ({N},), got shape {given.shape}")
    return np.broadcast_to(given, (N,))


def chosen_classes(scores: Array, classes: int | np.ndarray | None) -> Array:
    """1 at the class of each image, by default the one with the highest score, and 0 elsewhere: (N, K)."""
    xp = array_module(scores)
    N, K = scores.shape
    if classes is None:
        chosen = scores.argmax(axis=1)
    else:
        given = _one_each(classes, N)
        if given.dtype.kind not in "iu" or (given < 0).any() or (given >= K).any():
            raise ValueError(f"classes must be whole numbers in 0 .. {K - 1}, got {classes}")
        chosen = xp.asarray(given)
    return (xp.arange(K) == chosen[:, None]).astype(scores.dtype)
