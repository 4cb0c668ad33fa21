"""What all studies share: their settings, and the order of things.

A study of one modality says what its prepared folders hold (:class:`ums.experiments.datasets.Modality`), how
its source is learned and what its networks are; everything else is here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ums.backend import Device
from ums.checkpoint import Checkpoint
from ums.data.normalisation import BACKGROUND, Normalisation
from ums.experiments.datasets import Sets
from ums.experiments.runner import Networks, PartOutcome, PartStudy, folds_of, trained
from ums.experiments.stages import Stages
from ums.experiments.tasks import CLASSIFICATION, SEGMENTATION, Part
from ums.finetuning import ByHand, Equal, GradNorm, Tuned, Uncertainty, Weighting
from ums.finetuning.loop import relative_loss
from ums.layers import Layer
from ums.networks import parameter_count
from ums.training import FitSettings, History

SOURCE = "source"


@dataclass(frozen=True)
class Settings:
    """What a run can be told; the defaults are the small run of ``make reproduce-cxr``."""

    folds: int = 3
    width: float = 0.5
    source_epochs: int = 8
    epochs: int = 12
    classifier_epochs: int = 30
    batch: int = 16
    learning_rate: float = 1e-3
    patience: int = 20
    joint_weights: str = "equal"
    stop_by: str = "all"
    augment: bool = True
    dark: int = BACKGROUND
    statistics: str = "source"
    labels: float = 1.0
    seed: int = 0
    progress: bool = True

    def __post_init__(self):
        # Say what is wrong now rather than after the source is trained.
        if self.folds < 2:
            raise ValueError(f"folds must be at least 2, got {self.folds}")
        if self.source_epochs < 0:
            raise ValueError(f"source epochs must be at least 0, got {self.source_epochs}")
        if self.statistics not in ("source", "target"):
            raise ValueError(f"statistics must be source or target, got {self.statistics!r}")
        if self.stop_by not in ("all", "first"):
            raise ValueError(f"stop by must be all or first, got {self.stop_by!r}")
        Normalisation(self.dark)
        if not 0 < self.labels <= 1:
            raise ValueError(f"labels must be a share above 0 and at most 1, got {self.labels}")
        self.weighting()
        for kind in (SOURCE, SEGMENTATION, CLASSIFICATION):
            self.fit(kind)

    def fit(self, kind: str) -> FitSettings:
        """The training loop's settings for the source or a kind of task.

        A classifier's epochs take little time, and its loss may stand still for many of them before
        it falls; the source's falls from the start, and a plateau of it is soon known for one.
        """
        epochs = {
            SOURCE: max(1, self.source_epochs),
            SEGMENTATION: self.epochs,
            CLASSIFICATION: self.classifier_epochs,
        }[kind]
        plateau_patience = 2 if kind == SOURCE else 6
        return FitSettings(epochs, self.batch, self.learning_rate, self.patience, plateau_patience)

    def weighting(self) -> Weighting:
        """The weights of the joint loss, by name or as numbers separated by commas."""
        named = {"equal": Equal, "uncertainty": Uncertainty, "gradnorm": GradNorm}
        if self.joint_weights in named:
            return named[self.joint_weights]()
        try:
            numbers = [float(word) for word in self.joint_weights.split(",")]
        except ValueError:
            raise ValueError(
                f"joint weights must be {', '.join(named)} or numbers separated by commas, got "
                f"{self.joint_weights!r}"
            ) from None
        return ByHand(*numbers)

    def criterion(self) -> Callable[[Sequence[History]], float]:
        """What says which epoch is kept of tasks tuned together."""
        deciding = {"all": slice(None), "first": slice(1)}[self.stop_by]
        return lambda histories: relative_loss(histories[deciding])

    def key(self, kind: str) -> dict:
        """What a stage's weights depend on: every stage, for the later ones, on the source too."""
        source = {"source epochs": self.source_epochs, "source fit": asdict(self.fit(SOURCE))}
        common = {"width": self.width, "dark": self.dark} | source
        if kind == SOURCE:
            return common
        names = ("folds", "augment", "statistics", "labels")
        own = {name: getattr(self, name) for name in names}
        return common | {"fit": asdict(self.fit(kind))} | own


@dataclass
class Outcome:
    """Everything a report is written from.

    Attributes:
        sets, settings, device: what was run.
        source: the trained source.
        parts: by name.
        seconds: wall time of this process, to the end of the tests.
    """

    sets: Sets
    settings: Settings
    device: Device
    source: Tuned
    parts: dict[str, PartOutcome]
    seconds: float


def run(
    sets: Sets,
    settings: Settings,
    device: Device,
    out: Path,
    learn_source: Callable[[Sets, Settings, Device, Stages], Tuned],
    networks_of: Callable[[Part, Tuned, Settings, Device], Networks],
) -> Outcome:
    """Train what is not trained yet, test it all, and return what came out.

    Args:
        sets: the source's images, and the parts.
        settings: of everything.
        device: where to compute.
        out: its folder ``stages`` holds what is finished.
        learn_source: stage 1.
        networks_of: what a part's tasks are built from, given the source.

    Raises:
        ValueError: a part's folds cannot be made or cannot fill a batch, or there are joint weights for
            another number of tasks; before anything is trained.
        OSError: the folder cannot be written to, or another run is at work there.
    """
    start = time.perf_counter()
    with Stages(Path(out) / "stages", settings.seed) as stages:
        for part in sets.parts:
            check(part, settings, device, stages)
        if there := len(stages.finished()):
            print(
                f"{stages.folder} holds {there} stages: those of the same settings, code "
                "and packages are used"
            )
        source = learn_source(sets, settings, device, stages)
        parts = {}
        for part in sets.parts:
            networks = networks_of(part, source, settings, device)
            parts[part.name] = part_study(part, networks, sets, settings, device, stages).run()
    return Outcome(sets, settings, device, source, parts, time.perf_counter() - start)


def check(part: Part, settings: Settings, device: Device, stages: Stages) -> None:
    """Say what is wrong with the settings for a part now rather than after hours of training.

    Raises:
        ValueError: its folds cannot be made or cannot fill a batch, or there are joint weights for another
            number of tasks.
    """
    folds_of(part, settings, stages)
    settings.weighting().start(len(part.tasks), device)


def part_study(
    part: Part,
    networks: Networks,
    sets: Sets,
    settings: Settings,
    device: Device,
    stages: Stages,
) -> PartStudy:
    """A part of the sets, its stages' key what all of them depend on."""
    key = {"sets": sets.fingerprints(part), "device": device.name}
    return PartStudy(part, networks, settings, device, stages, key)


def source_stage(
    network: Layer,
    train: Callable[[Checkpoint], Tuned],
    sets: Sets,
    settings: Settings,
    device: Device,
    stages: Stages,
) -> Tuned:
    """Stage 1, trained now or taken from an earlier run; with 0 source epochs, untrained.

    Args:
        network: on ``device``, with the weights it starts from.
        train: goes on from a checkpoint, and returns ``network``, tuned.
        sets: the data.
        settings: of everything.
        device: where to compute.
        stages: where finished ones are kept.
    """
    if settings.source_epochs == 0:
        return Tuned(network, History(), 0.0, parameter_count(network))
    key = {"sets": sets.fingerprints(), "device": device.name} | settings.key(SOURCE)
    return trained(
        stages, SOURCE, key, {SOURCE: network}, lambda checkpoint: {SOURCE: train(checkpoint)}
    )[SOURCE]
