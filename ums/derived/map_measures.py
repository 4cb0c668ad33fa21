"""How good a heat map is: does it lie where the truth is known, and on what the network needs?"""

import numpy as np
from scipy.integrate import trapezoid
from scipy.ndimage import maximum_filter
from scipy.special import expit

from ums.backend import Array, array_module, to_numpy
from ums.derived.heat_map import blurred, chosen_classes, in_parts, log_odds
from ums.layers import Layer
from ums.metrics.pairs import like_input, paired_batches

CURVE_STEPS = 16
"""Steps in which deletion and insertion go through an image."""


def mass_inside(maps: np.ndarray, masks: np.ndarray) -> np.ndarray | float:
    """The share of each map's sum that lies inside its boolean mask (the lungs, say), in [0, 1].

    Compare it with the mask's share of the image, which a constant map would give. The result is
    (N,) for (N, H, W), a float for one map (H, W), and NaN for a map that is 0 everywhere.

    Raises:
        ValueError: The shapes differ, the masks are not boolean or a map has a value that is negative
            or not finite.
    """
    maps_, masks_ = _checked(maps, masks)
    inside, whole = (m.sum(axis=(1, 2), dtype=np.float64) for m in (maps_ * masks_, maps_))
    return like_input(np.where(whole == 0, np.nan, inside / np.where(whole == 0, 1, whole)), maps)


def pointing_game(maps: np.ndarray, masks: np.ndarray, tolerance: int = 0) -> np.ndarray | float:
    """Whether each map's maximum lies inside its boolean mask, 1 or 0 (Zhang et al. 2018).

    A maximum up to ``tolerance`` pixels away along either axis counts as inside. Of several pixels
    with the highest value the share inside counts; a map that is 0 everywhere points nowhere, and has
    0. The result is as in :func:`mass_inside`.

    Raises:
        ValueError: As for :func:`mass_inside`.
    """
    maps_, masks_ = _checked(maps, masks)
    size = 2 * tolerance + 1
    near = maximum_filter(masks_, (1, size, size), mode="constant", cval=False)
    highest = maps_.max(axis=(1, 2), keepdims=True)
    peak = (maps_ == highest) & (highest > 0)
    hits, peaks = (m.sum(axis=(1, 2)) for m in (peak & near, peak))
    return like_input(hits / np.maximum(peaks, 1), maps)


def deletion_insertion(
    network: Layer,
    x: Array,
    maps: np.ndarray,
    rng: np.random.Generator,
    classes: int | np.ndarray = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Areas under the deletion and the insertion curve, (N,) each, in [0, 1] (Petsiuk et al. 2018).

    The curves are of the probability of the class. Deletion blurs the image's pixels, those with the
    highest values in the map first; insertion starts from the blurred image and puts them back. A map
    that finds what the network needs has a small area of deletion and a large one of insertion.

    Args:
        network: As for :func:`ums.derived.heat_maps`.
        x: (N, H, W, C), normalised, on the network's device.
        maps: (N, H, W), on the host.
        rng: Draws the order of pixels of one value.
        classes: The class of the maps, one for all or one per image.

    Raises:
        ValueError: The maps are not of the images' size, or as for :func:`ums.derived.heat_maps`.
    """
    if maps.shape != x.shape[:3]:
        raise ValueError(f"maps must be {x.shape[:3]}, as the images, got {maps.shape}")
    deletion, insertion = np.concatenate(
        [
            _areas(network, x[rows], _ranks(maps[rows], rng), own)
            for rows, own in in_parts(len(x), classes)
        ],
        axis=1,
    )
    return deletion, insertion


def _ranks(maps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The place of every pixel in its map's order, highest first, in [0, 1): (N, H, W)."""
    flat = maps.reshape(len(maps), -1)
    shuffled = rng.permuted(np.broadcast_to(np.arange(flat.shape[1]), flat.shape), axis=1)
    order = np.lexsort((shuffled, -flat), axis=1)
    return (np.argsort(order, axis=1) / flat.shape[1]).reshape(maps.shape)


def _areas(network: Layer, x: Array, ranks: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
    """Deletion's and insertion's areas by the trapezoidal rule: (2, N)."""
    xp = array_module(x)
    base = blurred(x)
    order = xp.asarray(ranks)[..., None]
    own = chosen_classes(network.forward(x, keep=False), classes)
    curves = []
    for share in np.linspace(0, 1, CURVE_STEPS + 1):
        first = order < share
        pair = xp.where(first, base, x), xp.where(first, x, base)
        odds = [log_odds(network.forward(images, keep=False), own)[0] for images in pair]
        curves.append([expit(to_numpy(one).astype(np.float64)) for one in odds])
    areas: np.ndarray = trapezoid(np.array(curves), dx=1 / CURVE_STEPS, axis=0)
    return areas


def measure_maps(
    network: Layer,
    x: Array,
    maps: np.ndarray,
    masks: np.ndarray,
    rng: np.random.Generator,
    classes: int | np.ndarray = 1,
) -> dict[str, np.ndarray]:
    """All measures of each map, (N,) each, by name.

    Args:
        network: As for :func:`ums.derived.heat_maps`.
        x: (N, H, W, C), normalised, on the network's device.
        maps: (N, H, W), on the host.
        masks: (N, H, W) booleans, where the evidence is.
        rng: Draws the order of pixels of one value.
        classes: The class of the maps, one for all or one per image.

    Returns:
        "empty" (1 for a map that is 0 everywhere, else 0), "mass inside" (NaN where empty), "pointing",
        "deletion" and "insertion".

    Raises:
        ValueError: As for :func:`mass_inside` and :func:`deletion_insertion`.
    """
    deletion, insertion = deletion_insertion(network, x, maps, rng, classes)
    return {
        "empty": (maps.max(axis=(1, 2)) == 0).astype(np.float64),
        "mass inside": np.asarray(mass_inside(maps, masks)),
        "pointing": np.asarray(pointing_game(maps, masks)),
        "deletion": deletion,
        "insertion": insertion,
    }


def _checked(maps: np.ndarray, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps and masks as (N, H, W), if they are such and fit each other."""
    maps_, masks_ = paired_batches(maps, masks)
    if masks_.dtype != bool:
        raise ValueError(f"masks must be boolean, got {masks_.dtype}")
    if (wrong := maps_[~(np.isfinite(maps_) & (maps_ >= 0))]).size:
        raise ValueError(f"maps must be finite and not negative, got {wrong[0]}")
    return maps_, masks_
