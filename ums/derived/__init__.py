"""Derived tasks: computed from trained networks, which are not trained further (section 3.2.1)."""

from ums.derived.heat_map import (
    GRAD_CAM,
    HIRES_CAM,
    OCCLUSION,
    grad_cam,
    heat_maps,
    hires_cam,
    log_odds,
    occlusion,
    split_at_pooling,
)
from ums.derived.lung_pooling import LungPooling, derive_lung_pooling, in_lungs, pooled_features
from ums.derived.map_measures import deletion_insertion, mass_inside, measure_maps, pointing_game
from ums.derived.recommendation import Recommendations, agreement, excluded, exclusion_probability

__all__ = [
    "GRAD_CAM", "HIRES_CAM", "OCCLUSION", "LungPooling", "Recommendations", "agreement",
    "deletion_insertion", "derive_lung_pooling", "excluded", "exclusion_probability", "grad_cam",
    "heat_maps", "hires_cam", "in_lungs", "log_odds", "mass_inside", "measure_maps", "occlusion",
    "pointing_game", "pooled_features", "split_at_pooling",
]  # fmt: skip
