"""Settings of a study. Each has a help text beside it, which ``--help`` and the page print."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from ums.checks import check_integer, check_positive
from ums.data import Normalisation
from ums.training import FitSettings

OWN, OTHER = "own", "other"


def setting(default: Any, text: str, choices: Sequence[str] | None = None) -> Any:
    """A dataclass field with its help text and, where they are few, its possible values."""
    return field(default=default, metadata={"help": text, "choices": choices})


def add_options(parser: argparse.ArgumentParser, defaults: Any) -> None:
    """Add a command-line option for each setting of ``defaults``, which has the default values."""
    for one in fields(defaults):
        default = getattr(defaults, one.name)
        how: dict[str, Any] = {"type": type(default), "choices": one.metadata["choices"]}
        if isinstance(default, bool):
            how = {"action": argparse.BooleanOptionalAction}
        text = f"{one.metadata['help']} (%(default)s)"
        parser.add_argument(f"--{one.name.replace('_', '-')}", default=default, help=text, **how)


def from_options(kind: type, options: argparse.Namespace) -> Any:
    """Settings of the given class from the options of the command line.

    Raises:
        ValueError: A value is out of range; the message names the setting.
    """
    return kind(**{one.name: getattr(options, one.name) for one in fields(kind)})


def described(settings: Any) -> dict[str, Any]:
    """Help text -> value of every setting, for the page."""
    return {one.metadata["help"]: getattr(settings, one.name) for one in fields(settings)}


@dataclass(frozen=True)
class Settings:
    """Settings of a study; the defaults are those of ``make reproduce-cxr``, a small run.

    Raises:
        ValueError: A value is out of range; the message names the setting.
    """

    replicates: int = setting(2, "times that everything is drawn and trained anew")
    other_replicates: int = setting(
        0, "replicates of the arms that the sharing of an encoder is not judged by; 0: as many"
    )
    width: float = setting(0.5, "scale of every channel count; 1 is the paper's")
    labels: int = setting(150, "labelled images that a group of tasks is trained on")
    source_images: int = setting(1000, "images that the source is trained on")
    source_from: str = setting(
        OWN, "hospital of the source's images: that of the tasks, or another", (OWN, OTHER)
    )
    source_steps: int = setting(1500, "training steps of the source; 0 leaves it untrained")
    steps: int = setting(300, "training steps of each task, in every arm")
    evaluations: int = setting(10, "times in a training that the validation loss is measured")
    batch: int = setting(16, "images in a batch")
    source_rate: float = setting(3e-3, "learning rate of the source at the start")
    rate: float = setting(
        0.0, "learning rate of all tasks at the start; 0 takes what a pilot chose for each arm"
    )
    augment: bool = setting(True, "augmentation of the tasks' training images")
    background: int = setting(
        Normalisation().background,
        "grey level up to which a pixel is background and left out of an image's mean; -1 for none",
    )
    seed: int = setting(0, "seed of every random number")

    def __post_init__(self) -> None:
        # Report an error now rather than after the source is trained.
        least = dict.fromkeys(("replicates", "labels", "source_images", "evaluations", "batch"), 1)
        for name, low in {**least, "other_replicates": 0, "source_steps": 0, "seed": 0}.items():
            check_integer(name.replace("_", " "), getattr(self, name), low)
        for name in ("steps", *(["source_steps"] if self.source_steps else [])):
            check_integer(name.replace("_", " "), getattr(self, name), self.evaluations)
        if self.steps % self.evaluations:
            message = f"steps must be a multiple of the {self.evaluations} evaluations"
            raise ValueError(f"{message}, got {self.steps}")
        for name in ("width", "source_rate", *(["rate"] if self.rate else [])):
            check_positive(name.replace("_", " "), getattr(self, name))
        if self.source_from not in (OWN, OTHER):
            raise ValueError(f"source from must be own or other, got {self.source_from!r}")
        self.normalisation()

    def fit(self, steps: int, rate: float) -> FitSettings:
        """Settings of the training loop: so many steps, and a learning rate that falls to 0."""
        length = max(1, steps // self.evaluations)
        return FitSettings(self.evaluations, self.batch, rate, steps=length, schedule="cosine")

    def normalisation(self) -> Normalisation:
        """How an image becomes the input of a network."""
        return Normalisation(self.background)

    def key(self, *names: str) -> dict[str, Any]:
        """The named settings, for the key of a job that depends on them."""
        return {name: getattr(self, name) for name in names}
