"""The derivable tasks of the paper: computed from trained heads, without further training."""

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
from ums.derived.map_measures import deletion_insertion, mass_inside, measure_maps, pointing_game
from ums.derived.recommendation import Recommendations, agreement, excluded, exclusion_probability

__all__ = [
    "GRAD_CAM", "HIRES_CAM", "OCCLUSION", "Recommendations", "agreement", "deletion_insertion",
    "excluded", "exclusion_probability", "grad_cam", "heat_maps", "hires_cam", "log_odds",
    "mass_inside", "measure_maps", "occlusion", "pointing_game", "split_at_pooling",
]  # fmt: skip
