"""Across hospitals: the abnormality derived from inside the lungs, and what an operating point needs.

The derived heads and their controls pool the features of an arm's abnormality network inside the lungs
that its lung network predicts, on the film, or everywhere (:mod:`ums.derived.lung_pooling`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ums.backend import Device
from ums.data import Examples
from ums.data.examples import Dataset
from ums.derived import derive_lung_pooling, in_lungs, pooled_features
from ums.derived.lung_pooling import everywhere, on_film
from ums.layers import Layer

IN_LUNGS, ON_FILM, EVERYWHERE = "inside the lungs", "on the film", "everywhere"

Derived = Callable[[Dataset], np.ndarray]
"""The logits (n, 2) of a derived head."""


def derived_heads(
    networks: Mapping[str, Layer],
    names: tuple[str, str],
    train: Examples,
    validation: Examples,
    device: Device,
) -> dict[str, Derived]:
    """Where features are pooled -> the logits of a head fitted to them.

    Args:
        networks: Task -> its network from image to output, on the device.
        names: Those of the lungs' task and of the abnormality's.
        train: Labelled examples of the abnormality.
        validation: Those that choose the head's variant.
        device: Where to compute.
    """
    lungs, abnormality = (networks[name] for name in names)
    regions = {IN_LUNGS: in_lungs(lungs), ON_FILM: on_film, EVERYWHERE: everywhere}

    def fitted(region: Callable) -> Derived:
        head = derive_lung_pooling(region, abnormality, train, validation, device)
        return lambda examples: head.logits(pooled_features(region, abnormality, examples, device))

    return {name: fitted(region) for name, region in regions.items()}
