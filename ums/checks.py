"""Checks of numbers that are settings; each raises a ValueError that names the setting."""

import numpy as np


def check_positive(name: str, value: float) -> None:
    """Check that a setting is a positive, finite number."""
    if not 0 < value < np.inf:
        raise ValueError(f"{name} must be a positive number, got {value}")


def check_integer(name: str, value: int, least: int = 1) -> None:
    """Check that a setting is an integer, and not too small."""
    if not isinstance(value, int | np.integer):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")


def check_fraction(name: str, value: float) -> None:
    """Check that a setting is between 0 and 1, both excluded."""
    if not 0 < value < 1:
        raise ValueError(f"{name} must be between 0 and 1, got {value}")
