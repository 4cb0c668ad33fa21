"""The chest X-ray study: a denoising source, heads for its tasks, and the baseline of separate models.

    python -m ums.experiments.cxr prepared/cxr --out results/cxr

learns to denoise the source's images once; then, for tasks with diverse annotations (lung segmentation
and abnormality of one hospital, tested at another) and tasks with similar ones (three pairwise
classifications of children's pneumonia), tunes heads by the independent, the alternating and the joint
strategy and trains separate models, on every fold; tests all of them; and writes a page (section 4.1).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ums.backend import Device, choose_device
from ums.data.examples import DARK
from ums.experiments import cxr_report
from ums.experiments.cxr_sets import PARTS, Sets, load_sets, source_rows
from ums.experiments.parts import CLASSIFICATION, SEGMENTATION, Part
from ums.experiments.protocol import Networks, PartOutcome, PartStudy, folds_of, trained
from ums.experiments.report import Report
from ums.experiments.scores import score_denoising
from ums.experiments.stages import Stages
from ums.finetuning import ByHand, Equal, GradNorm, Tuned, Uncertainty, Weighting
from ums.layers import Sequential
from ums.networks import (
    classification_head,
    denoising_autoencoder,
    parameter_count,
    segmentation_head,
    separate_classifier,
)
from ums.source import learn_denoising
from ums.training import FitSettings, History

SOURCE = "source"

DENOISED_AT_MOST = 200
"""Images for Table 2; its means no longer move with more."""


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
    """Everything the report is written from.

    Attributes:
        sets, settings, device: what was run.
        source: the trained autoencoder.
        denoising: rows of :func:`score_denoising`.
        parts: by name.
        seconds: wall time of this process, to the end of the tests.
    """

    sets: Sets
    settings: Settings
    device: Device
    source: Tuned
    denoising: list[dict]
    parts: dict[str, PartOutcome]
    seconds: float


def run(sets: Sets, settings: Settings, device: Device, out: Path) -> Outcome:
    """Train what is not trained yet, test it all, and return what came out.

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
        networks = networks_of(part, source.network, settings)
        parts[part.name] = PartStudy(part, networks, settings, device, stages, key).run()
    held_out = sets.source.images[source_rows(sets.source, "test")[:DENOISED_AT_MOST]]
    denoising = score_denoising(
        source.network, held_out, device, stages.rng("noise"), settings.dark
    )
    return Outcome(sets, settings, device, source, denoising, parts, time.perf_counter() - start)


def learn_source(sets: Sets, settings: Settings, device: Device, stages: Stages) -> Tuned:
    """Stage 1: the denoising autoencoder, whose encoder all parts share; with 0 epochs, untrained."""
    rng, images = stages.rng(SOURCE), sets.source
    network = denoising_autoencoder(rng, width=settings.width).to(device)
    if settings.source_epochs == 0:
        return Tuned(network, History(), 0.0, parameter_count(network))

    def train(checkpoint) -> dict[str, Tuned]:
        train_rows, validation_rows = (source_rows(images, s) for s in ("train", "validation"))
        tuned = learn_denoising(
            network,
            images.images,
            train_rows,
            validation_rows,
            settings.fit(SOURCE),
            device,
            rng,
            settings.progress,
            checkpoint,
            settings.dark,
        )
        return {SOURCE: tuned}

    key = {"sets": sets.fingerprints(), "device": device.name} | settings.key(SOURCE)
    return trained(stages, SOURCE, key, {SOURCE: network}, train)[SOURCE]


def networks_of(part: Part, autoencoder: Sequential, settings: Settings) -> Networks:
    """Heads on the autoencoder's encoder, and the baseline's networks (sections 4.1.1 and 4.1.2)."""
    encoder, decoder = autoencoder.layers
    channels = encoder.output_shape((16, 16, 1))[-1]
    width, heads, models = settings.width, {}, {}
    for task in part.tasks:
        if task.kind == SEGMENTATION:
            heads[task.name] = lambda rng: segmentation_head(decoder, rng)
            models[task.name] = lambda rng: denoising_autoencoder(rng, width=width)
        else:
            heads[task.name] = lambda rng: classification_head(channels, 2, rng, batch_norm=True)
            models[task.name] = lambda rng: separate_classifier(rng, width=width)
    return Networks(encoder, heads, models, autoencoder)


def main(arguments: list[str] | None = None) -> int:
    """Run the study from the command line; 2 after one line that says what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m ums.experiments.cxr",
        description="The chest X-ray study: a denoising source; heads by three strategies and "
        "separate models, for diverse and for similar tasks, by cross-validation; a page of results.",
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=tuple(PARTS),
        help="tasks with diverse or with similar annotations (all whose images are there)",
    )
    add_options(parser)
    options = parser.parse_args(arguments)

    def study():
        settings = settings_of(options)
        sets = load_sets(options.prepared, options.parts)
        outcome = run(sets, settings, choose_device(options.device), Path(options.out))
        return cxr_report.build(outcome), Path(options.out)

    return report_on(study)


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


def add_options(parser: argparse.ArgumentParser) -> None:
    """The folders, and an option for everything in :class:`Settings`."""
    defaults = Settings()
    parser.add_argument(
        "prepared",
        help="folder that `python -m data_prep cxr` made: source, target, test, pneumonia",
    )
    parser.add_argument("--out", default="results/cxr", help="folder to write (%(default)s)")
    for name, text in NUMBERS.items():
        default = getattr(defaults, name)
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(
            option, type=type(default), default=default, help=f"{text} (%(default)s)"
        )
    parser.add_argument(
        "--joint-weights",
        default=defaults.joint_weights,
        help="of the joint loss: equal, uncertainty, gradnorm or a number for each task of a part, "
        "such as 1,0.5 (%(default)s)",
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
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def settings_of(options: argparse.Namespace) -> Settings:
    """What was given on the command line.

    Raises:
        ValueError: a value is out of its range; names it.
    """
    names = [f.name for f in fields(Settings) if f.name != "progress"]
    return Settings(**{n: getattr(options, n) for n in names}, progress=not options.quiet)


if __name__ == "__main__":
    sys.exit(main())
