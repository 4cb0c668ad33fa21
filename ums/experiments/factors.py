"""Factors: what may make sharing pay or not, and the levels of each that the study is run at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ums.experiments.settings import OTHER, Settings


@dataclass(frozen=True)
class Level:
    """The study with one thing changed.

    Attributes:
        label: For the page.
        change: Makes the settings of this level from the study's.
    """

    label: str
    change: Callable[[Settings], Settings]


@dataclass(frozen=True)
class Factor:
    """One thing that is varied.

    Attributes:
        name: For the command line and anchors.
        levels: Beside that of the study.
    """

    name: str
    levels: tuple[Level, ...]


def _labels(n: int) -> Level:
    return Level(f"{n} labels", lambda settings: replace(settings, labels=n))


def _source_steps(label: str, times: float) -> Level:
    def change(settings: Settings) -> Settings:
        return replace(settings, source_steps=round(settings.source_steps * times))

    return Level(label, change)


FACTORS = (
    Factor("labels", (_labels(50), _labels(500))),
    Factor(
        "source",
        (
            _source_steps("no steps", 0),
            _source_steps("a fifth of the steps", 0.2),
            _source_steps("three times the steps", 3),
        ),
    ),
    Factor(
        "hospital",
        (Level("another hospital's", lambda settings: replace(settings, source_from=OTHER)),),
    ),
    Factor(
        "background",
        (Level("all pixels count", lambda settings: replace(settings, background=-1)),),
    ),
)
