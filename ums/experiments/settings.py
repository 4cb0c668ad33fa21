"""Settings of a study. Each has a help text beside it, which ``--help`` and the page print."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from ums.checks import check_integer, check_positive
from ums.data import Normalisation
from ums.experiments.names import CLASSIFICATION, SEGMENTATION
from ums.finetuning import ByHand, Equal, GradNorm, Uncertainty, Weighting
from ums.finetuning.loop import relative_loss
from ums.training import FitSettings, History

SOURCE = "source"
WEIGHTINGS: dict[str, Callable[[], Weighting]] = {
    "equal": Equal,
    "uncertainty": Uncertainty,
    "gradnorm": GradNorm,
}


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

    folds: int = setting(3, "folds of the cross-validation; the paper has 10")
    width: float = setting(0.5, "scale of every channel count; 1 is the paper's")
    source_epochs: int = setting(8, "most epochs of the source; 0 leaves it untrained")
    epochs: int = setting(12, "most epochs of segmentation, and of tasks tuned together with it")
    classifier_epochs: int = setting(30, "most epochs of a classifier")
    batch: int = setting(16, "images in a batch")
    learning_rate: float = setting(1e-3, "learning rate at the start; it is halved on a plateau")
    patience: int = setting(20, "epochs without improvement before training stops")
    joint_weights: str = setting(
        "equal",
        "weights of the joint loss: equal, uncertainty, gradnorm, or a number for each task of a "
        "group, such as 1,0.5",
    )
    stop_by: str = setting(
        "all",
        "tasks whose validation losses decide which epoch is kept of tasks tuned together",
        ("all", "first"),
    )
    augment: bool = setting(True, "augmentation of the tasks' training images")
    background: int = setting(
        Normalisation().background,
        "grey level up to which a pixel is background and left out of an image's mean; -1 for none",
    )
    statistics: str = setting(
        "source",
        "images whose statistics the batch norms of a frozen encoder use",
        ("source", "target"),
    )
    labels: float = setting(1.0, "share of a fold's training images that are learned from")
    seed: int = setting(0, "seed of every random number")

    def __post_init__(self) -> None:
        # Report an error now rather than after the source is trained.
        for name, least in {"folds": 2, "source_epochs": 0, "seed": 0}.items():
            check_integer(name.replace("_", " "), getattr(self, name), least)
        check_positive("width", self.width)
        if self.statistics not in ("source", "target"):
            raise ValueError(f"statistics must be source or target, got {self.statistics!r}")
        if self.stop_by not in ("all", "first"):
            raise ValueError(f"stop by must be all or first, got {self.stop_by!r}")
        if not 0 < self.labels <= 1:
            raise ValueError(f"labels must be a share above 0 and at most 1, got {self.labels}")
        self.normalisation()
        self.weighting()
        for kind in (SOURCE, SEGMENTATION, CLASSIFICATION):
            self.fit(kind)

    def fit(self, kind: str) -> FitSettings:
        """Settings of the training loop for the source or a kind of task.

        An epoch of a classifier takes little time, and its loss may stand still for many epochs
        before it falls. The source's loss falls from the start, so that a plateau shows early.
        """
        epochs = {
            SOURCE: max(1, self.source_epochs),
            SEGMENTATION: self.epochs,
            CLASSIFICATION: self.classifier_epochs,
        }[kind]
        plateau_patience = 2 if kind == SOURCE else 6
        return FitSettings(epochs, self.batch, self.learning_rate, self.patience, plateau_patience)

    def normalisation(self) -> Normalisation:
        """How an image becomes the input of a network."""
        return Normalisation(self.background)

    def weighting(self) -> Weighting:
        """The weights of the joint loss, by name or as numbers separated by commas."""
        if self.joint_weights in WEIGHTINGS:
            return WEIGHTINGS[self.joint_weights]()
        try:
            numbers = [float(word) for word in self.joint_weights.split(",")]
        except ValueError:
            raise ValueError(
                f"joint weights must be {', '.join(WEIGHTINGS)} or numbers separated by commas, "
                f"got {self.joint_weights!r}"
            ) from None
        return ByHand(*numbers)

    def criterion(self) -> Callable[[Sequence[History]], float]:
        """The value by which an epoch of tasks tuned together is chosen; the lowest is kept."""
        deciding = {"all": slice(None), "first": slice(1)}[self.stop_by]
        return lambda histories: relative_loss(histories[deciding])

    def key(self, *kinds: str) -> dict[str, Any]:
        """The settings that trained weights depend on.

        Args:
            kinds: The kinds of task that are trained; none for the source alone.
        """
        key: dict[str, Any] = {"width": self.width, "background": self.background}
        key |= {"source epochs": self.source_epochs, "source fit": asdict(self.fit(SOURCE))}
        if kinds:
            own = ("folds", "augment", "statistics", "labels")
            key |= {name: getattr(self, name) for name in own}
            key |= {f"{kind} fit": asdict(self.fit(kind)) for kind in kinds}
        return key
