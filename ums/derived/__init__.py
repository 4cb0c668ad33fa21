"""The derivable tasks of the paper: computed from trained heads, without further training."""

from ums.derived.heat_map import grad_cam, heat_maps, mass_inside, split_at_pooling
from ums.derived.recommendation import Recommendations, agreement, excluded, exclusion_probability

__all__ = [
    "Recommendations", "agreement", "excluded", "exclusion_probability", "grad_cam", "heat_maps",
    "mass_inside", "split_at_pooling",
]  # fmt: skip
