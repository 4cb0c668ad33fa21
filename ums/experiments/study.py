"""What all studies share: their settings, their command line, and the order of things.

A study of one modality says what its prepared folders hold (:class:`ums.experiments.sets.Modality`), how
its source is learned and what its networks are; everything else is here.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ums.backend import Device, choose_device
from ums.checkpoint import Checkpoint
from ums.data.examples import DARK
from ums.experiments.parts import CLASSIFICATION, SEGMENTATION, Part
from ums.experiments.protocol import Networks, PartOutcome, PartStudy, folds_of, trained
from ums.experiments.report import Report
from ums.experiments.sets import Modality, Sets
from ums.experiments.stages import Stages
from ums.finetuning import ByHand, Equal, GradNorm, Tuned, Uncertainty, Weighting
from ums.finetuning.tasks import relative_loss
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
    dark: int = DARK
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
        OSError: the folder cannot be written to.
    """
    start = time.perf_counter()
    stages = Stages(Path(out) / "stages", settings.seed)
    for part in sets.parts:
        folds_of(part, settings, stages)
        settings.weighting().start(len(part.tasks), device)  # are there as many weights as tasks?
    if there := len(stages.finished()):
        print(
            f"{stages.folder} holds {there} stages of earlier runs: those of the same settings are used"
        )
    source = learn_source(sets, settings, device, stages)
    parts = {}
    for part in sets.parts:
        key = {"sets": sets.fingerprints(part), "device": device.name}
        networks = networks_of(part, source, settings, device)
        parts[part.name] = PartStudy(part, networks, settings, device, stages, key).run()
    return Outcome(sets, settings, device, source, parts, time.perf_counter() - start)


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


# ------------------------------------------------------------------------ the command line


def command(
    parser: argparse.ArgumentParser,
    modality: Modality,
    defaults: Settings,
    out: str,
    study: Callable[[Sets, Settings, Device, Path], Report],
    arguments: list[str] | None,
) -> int:
    """Run a study from the command line; 2 after one line that says what is wrong.

    Args:
        parser: with the study's name and description.
        modality: whose prepared folder is asked for.
        defaults: of the options.
        out: the folder for results, by default.
        study: everything, given what the options say.
        arguments: in place of the command line's.
    """
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=tuple(modality.parts),
        help="tasks with diverse or with similar annotations (all whose images are there)",
    )
    add_options(parser, modality, defaults, out)
    options = parser.parse_args(arguments)

    def report():
        settings, folder = settings_of(options), Path(options.out)
        sets = modality.load(options.prepared, options.parts)
        return study(sets, settings, choose_device(options.device), folder), folder

    return report_on(report)


def report_on(study: Callable[[], tuple[Report, Path]]) -> int:
    """Write and print the report that ``study()`` makes, for a folder; the exit status."""
    start = time.perf_counter()
    try:
        report, folder = study()
        page = report.write(folder)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; what is finished is kept, start again to go on", file=sys.stderr)
        return 130
    print("\n" + "\n\n".join(table.text() for table in report.tables))
    print(f"{page}: the page, after {(time.perf_counter() - start) / 60:.1f} minutes")
    return 0


NUMBERS = {
    "folds": "turns of the cross-validation; the paper has 10",
    "width": "scales every channel count; 1 is the paper's",
    "source_epochs": "epochs of the source at most; 0 leaves it untrained",
    "epochs": "epochs of each segmentation network at most, and of tasks tuned with one",
    "classifier_epochs": "epochs of each classifier at most",
    "batch": "images per batch",
    "learning_rate": "at the start; halved on a plateau",
    "patience": "epochs without improvement before training stops",
    "dark": "grey level up to which a pixel is off the film; -1: all count for the image's mean",
    "labels": "share of the training images that are learned from",
    "seed": "of every random number",
}


def add_basics(
    parser: argparse.ArgumentParser,
    modality: Modality,
    holds: Iterable[str],
    numbers: dict[str, str],
    defaults: object,
    out: str,
) -> None:
    """The folders, the device, and an option for each of ``numbers``, a setting -> what it means.

    Args:
        parser: what they are added to.
        modality: whose prepared folder is asked for.
        holds: the folders in it that are used.
        numbers: of ``defaults``, which has the default of each.
        defaults: settings.
        out: the folder for results, by default.
    """
    parser.add_argument(
        "prepared",
        help=f"folder that `python -m data_prep {modality.preparation}` made: {', '.join(holds)}",
    )
    parser.add_argument("--out", default=out, help="folder to write (%(default)s)")
    for name, text in numbers.items():
        default = getattr(defaults, name)
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(
            option, type=type(default), default=default, help=f"{text} (%(default)s)"
        )
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def add_options(
    parser: argparse.ArgumentParser, modality: Modality, defaults: Settings, out: str
) -> None:
    """The prepared folder, where results go, and an option for everything in :class:`Settings`."""
    folders = dict.fromkeys(f for folders, _ in modality.parts.values() for f in folders)
    add_basics(parser, modality, ["source", *folders], NUMBERS, defaults, out)
    parser.add_argument(
        "--joint-weights",
        default=defaults.joint_weights,
        help="of the joint loss: equal, uncertainty, gradnorm or a number for each task of a part, "
        "such as 1,0.5 (%(default)s)",
    )
    parser.add_argument(
        "--stop-by",
        choices=("all", "first"),
        default=defaults.stop_by,
        help="whose validation losses say which epoch is kept of tasks tuned together: all tasks' or the "
        "first's (%(default)s)",
    )
    parser.add_argument(
        "--augment",
        action=argparse.BooleanOptionalAction,
        default=defaults.augment,
        help="turn, move, scale and expose the tasks' training images at random (%(default)s)",
    )
    parser.add_argument(
        "--statistics",
        choices=("source", "target"),
        default=defaults.statistics,
        help="whose images a frozen encoder's batch norms are set to (%(default)s)",
    )


def settings_of(options: argparse.Namespace, kind: type = Settings):
    """What was given on the command line, as settings of the kind.

    Raises:
        ValueError: a value is out of its range; names it.
    """
    names = [f.name for f in fields(kind) if f.name != "progress"]
    return kind(**{n: getattr(options, n) for n in names}, progress=not options.quiet)
