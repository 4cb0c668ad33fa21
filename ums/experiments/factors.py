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
        title: For the page.
        text: For the page.
        levels: Beside that of the study.
    """

    name: str
    title: str
    text: str
    levels: tuple[Level, ...]


def _labels(n: int) -> Level:
    return Level(f"{n} labels", lambda settings: replace(settings, labels=n))


def _source_steps(label: str, times: float) -> Level:
    def change(settings: Settings) -> Settings:
        return replace(settings, source_steps=round(settings.source_steps * times))

    return Level(label, change)


FACTORS = (
    Factor(
        "labels",
        "Number of labels",
        "The fewer labelled images there are, the more a source that needed none should be worth. All "
        "arms train for as many steps, so that with few labels each image is seen more often.",
        (_labels(50), _labels(500)),
    ),
    Factor(
        "source",
        "Length of the source's training",
        "An untrained source shows what the architecture alone does.",
        (
            _source_steps("no steps", 0),
            _source_steps("a fifth of the steps", 0.2),
            _source_steps("three times the steps", 3),
        ),
    ),
    Factor(
        "hospital",
        "Images of the source",
        "The source learns from as many images of the tasks' training hospital, of other patients, or of "
        "another hospital.",
        (Level("another hospital's", lambda settings: replace(settings, source_from=OTHER)),),
    ),
    Factor(
        "background",
        "Background in the normalisation",
        "An image's mean and standard deviation are taken over its foreground or over all pixels. Black "
        "borders and collimation differ between hospitals; if they count, they shift everything else.",
        (Level("all pixels count", lambda settings: replace(settings, background=-1)),),
    ),
)
