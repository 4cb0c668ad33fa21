"""Where a part's networks look: heat maps of its explained task, and what lies inside the masks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ums.backend import Device
from ums.data.examples import all_of, in_order
from ums.data.normalisation import Normalisation
from ums.derived.heat_map import heat_maps, mass_inside
from ums.experiments.tasks import Part
from ums.layers import Layer

SHOWN = 4
"""Images whose heat maps are drawn."""


@dataclass
class HeatMaps:
    """Where the networks look in n test images that show what is looked for, and that have masks.

    Attributes:
        rows: (n,) of the test set.
        lungs, opacities: (n, H, W) booleans, opacities or None.
        inside: strategy -> mask's name ("lungs", "opacity") -> (k, n) shares of the map's mass; NaN
            where nothing spoke for the class.
        shown: strategy -> the first fold's maps of the first images.
    """

    rows: np.ndarray
    lungs: np.ndarray
    opacities: np.ndarray | None
    inside: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    shown: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, strategy: str, fold: int, k: int, maps: np.ndarray) -> None:
        """Note the maps (n, H, W) of one of k folds."""
        masks = {"lungs": self.lungs}
        if self.opacities is not None:
            masks["opacity"] = self.opacities
        inside = self.inside.setdefault(strategy, {})
        for name, mask in masks.items():
            shape = (k, len(self.rows))
            inside.setdefault(name, np.full(shape, np.nan))[fold] = mass_inside(maps, mask)
        if fold == 0:
            self.shown[strategy] = maps[:SHOWN]


def heat_maps_of(part: Part) -> HeatMaps | None:
    """For the test images of class 1 that have masks; nothing where none has."""
    test, task = part.test, part.explained_task
    if task is None or test.masks is None:
        return None
    rows = task.test.rows[task.test.targets[task.test.rows] == 1]
    rows = rows[test.has_mask[rows]]
    if not len(rows):
        return None
    opacities = None if test.opacities is None else test.opacities[rows] > 0
    return HeatMaps(rows, test.masks[rows] > 0, opacities)


def maps_of_class_1(network: Layer, images: np.ndarray, device: Device, dark: int) -> np.ndarray:
    """Heat maps (n, H, W) of class 1 for images (n, H, W), whatever the network says of them."""
    examples = all_of(images, Normalisation(dark))
    maps = [
        heat_maps(network, device.put(examples.batch(chosen)[0]), classes=1)
        for chosen in in_order(len(images), 32)
    ]
    return np.concatenate(maps)
