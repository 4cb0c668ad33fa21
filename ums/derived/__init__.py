"""Derived tasks: computed from trained networks, which are not trained further (section 3.2.1)."""

from ums.derived.heat_map import grad_cam, heat_maps, mass_inside, split_at_pooling
from ums.derived.lung_pooling import LungPooling, derive_lung_pooling, in_lungs, pooled_features
from ums.derived.recommendation import Recommendations, agreement, excluded, exclusion_probability

__all__ = [
    "LungPooling", "Recommendations", "agreement", "derive_lung_pooling", "excluded",
    "exclusion_probability", "grad_cam", "heat_maps", "in_lungs", "mass_inside", "pooled_features",
    "split_at_pooling",
]  # fmt: skip
