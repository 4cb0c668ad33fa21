"""The chest X-ray experiment: a denoising source, its heads, and the baseline of separate models.

    python -m ums.experiments.cxr --source prepared/source --target prepared/target \\
        --test prepared/test --out results/cxr

learns to denoise the source's images, tunes heads for lung segmentation and abnormality on the
target's (independent, alternating and joint strategy), trains separate models for the same two tasks,
tests all of them on the target's held-out part and on another hospital's images, and writes a page
(section 4.1).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ums.backend import Device, choose_device, to_numpy
from ums.data import Examples
from ums.experiments import cxr_report
from ums.experiments.cxr_sets import (
    ABNORMALITY,
    HELD_OUT,
    LABEL,
    LUNGS,
    OTHER,
    Sets,
    load_sets,
    rows_of,
    rows_to_test,
)
from ums.experiments.scores import score_classification, score_denoising, score_segmentation
from ums.experiments.stages import Stages
from ums.finetuning import (
    Task,
    Tuned,
    train_separately,
    tune_alternately,
    tune_independently,
    tune_jointly,
)
from ums.finetuning.separate import denoise
from ums.layers import Layer, Sequential
from ums.networks import (
    classification_head,
    copy_network,
    denoising_autoencoder,
    segmentation_head,
    separate_classifier,
)
from ums.ops import bce_dice, categorical_cross_entropy
from ums.source import learn_denoising
from ums.training import FitSettings, History

SOURCE, ENCODER = "source", "encoder"

DENOISED_AT_MOST = 200
"""Images for Table 2; its means no longer move with more."""


@dataclass(frozen=True)
class Settings:
    """What a run can be told; the defaults are the small run of ``make reproduce-cxr``."""

    width: float = 1.0
    source_epochs: int = 8
    epochs: int = 10
    classifier_epochs: int = 24
    batch: int = 16
    learning_rate: float = 1e-3
    patience: int = 20
    seed: int = 0
    progress: bool = True

    def __post_init__(self):
        for part in (SOURCE, LUNGS, ABNORMALITY):
            self.fit(part)  # says what is wrong now rather than after the source is trained

    def fit(self, part: str) -> FitSettings:
        """The training loop's settings for the source or a task.

        A classifier's epochs take little time, and its loss may stand still for many of them before
        it falls; the source's falls from the start, and a plateau of it is soon known for one.
        """
        epochs = {
            SOURCE: self.source_epochs,
            LUNGS: self.epochs,
            ABNORMALITY: self.classifier_epochs,
        }[part]
        plateau_patience = 2 if part == SOURCE else 6
        return FitSettings(epochs, self.batch, self.learning_rate, self.patience, plateau_patience)

    def key(self, part: str) -> dict:
        """What a stage's weights depend on: every stage, for the later ones, on the source too."""
        return {
            "width": self.width,
            "source fit": asdict(self.fit(SOURCE)),
            "fit": asdict(self.fit(part)),
        }


# ------------------------------------------------------------------------ training


class CxrExperiment:
    """One run's training: its sets, settings, device, and the stages finished so far."""

    def __init__(self, sets: Sets, settings: Settings, device: Device, out: Path):
        self.sets, self.settings, self.device = sets, settings, device
        self.stages = Stages(Path(out) / "stages", settings.seed)
        self.fingerprints = sets.fingerprints()

    def source(self) -> Tuned:
        """Stage 1: the denoising autoencoder, its encoder frozen from here on."""
        settings, images = self.settings, self.sets.source
        rng = self.stages.rng(SOURCE)
        network = denoising_autoencoder(rng, width=settings.width).to(self.device)

        def train() -> dict[str, Tuned]:
            tuned = learn_denoising(
                network,
                images.images,
                rows_of(images, "train"),
                rows_of(images, "validation"),
                settings.fit(SOURCE),
                self.device,
                rng,
                settings.progress,
            )
            return {SOURCE: tuned}

        return self._stage(SOURCE, {SOURCE: network}, train, SOURCE)[SOURCE]

    def independent(self, autoencoder: Sequential) -> dict[str, Tuned]:
        """Stage 2: both heads, each by itself on the frozen encoder."""
        encoder = autoencoder.layers[0]
        heads = self._heads(autoencoder)
        return _behind(encoder, self._one_by_one("independent", heads, tune_independently, encoder))

    def together(self, strategy: str, autoencoder: Sequential) -> dict[str, Tuned]:
        """Stage 2 by the alternating or the joint strategy: a copy of the encoder, and both heads.

        One stage, since none of them is of use without the others of the same epoch.
        """
        settings, rng = self.settings, self.stages.rng(strategy)
        encoder = copy_network(autoencoder.layers[0]).to(self.device)
        heads = {name: make(rng).to(self.device) for name, make in self._heads(autoencoder).items()}
        tasks = [self._task(name, name, head) for name, head in heads.items()]
        tune = {"alternating": tune_alternately, "joint": tune_jointly}[strategy]

        def train() -> dict[str, Tuned]:
            fit_settings, progress = settings.fit(LUNGS), settings.progress
            return tune(encoder, tasks, fit_settings, self.device, rng, progress=progress)

        return _behind(encoder, self._stage(strategy, {ENCODER: encoder} | heads, train, LUNGS))

    def _heads(self, autoencoder: Sequential) -> dict[str, Callable]:
        """What makes each task's head, by task."""
        encoder, decoder = autoencoder.layers
        channels = encoder.output_shape((16, 16, 1))[-1]
        return {
            LUNGS: lambda rng: segmentation_head(decoder, rng),
            ABNORMALITY: lambda rng: classification_head(channels, 2, rng, batch_norm=True),
        }

    def separate(self, denoiser: Sequential) -> dict[str, Tuned]:
        """The baseline: a network of its own for each task, on denoised images."""
        width = self.settings.width
        networks = {
            LUNGS: lambda rng: denoising_autoencoder(rng, width=width),
            ABNORMALITY: lambda rng: separate_classifier(rng, width=width),
        }
        return self._one_by_one("separate", networks, train_separately, denoiser)

    def _one_by_one(
        self, strategy: str, heads: dict[str, Callable], tune: Callable, shared: Layer
    ) -> dict[str, Tuned]:
        """Each task as a stage of its own. What is kept of it, and returned, is the head."""
        settings = self.settings
        tuned = {}
        for name, make_head in heads.items():
            rng = self.stages.rng(f"{strategy}-{name}")
            head = make_head(rng).to(self.device)
            task = self._task(f"{strategy}: {name}", name, head)

            def train(name=name, task=task, rng=rng):
                fit_settings, progress = settings.fit(name), settings.progress
                result = tune(shared, [task], fit_settings, self.device, rng, progress)
                return {name: result[task.name]}

            tuned |= self._stage(f"{strategy}-{name}", {name: head}, train, name)
        return tuned

    def _task(self, title: str, name: str, head: Layer) -> Task:
        target = self.sets.target
        targets = target.masks if name == LUNGS else target.labels[LABEL]
        train, validation = (
            Examples(target.images, targets, rows_of(target, split, name))
            for split in ("train", "validation")
        )
        loss = bce_dice if name == LUNGS else categorical_cross_entropy
        return Task(title, head, loss, train, validation)

    def _stage(
        self,
        name: str,
        networks: dict[str, Layer],
        train: Callable[[], dict[str, Tuned]],
        part: str,
    ) -> dict[str, Tuned]:
        """Train ``networks``, or give them the weights they got in an earlier run of the same stage.

        ``train`` returns what came out for some of them, and so does this.
        """

        def compute():
            tuned = train()
            arrays = {
                f"{network}.{array}": to_numpy(value)
                for network in networks
                for array, value in networks[network].arrays().items()
            }
            record = {
                task: {
                    "history": result.history.to_dict(),
                    "seconds": result.seconds,
                    "trainable": result.trainable,
                    "shared": result.shared,
                }
                for task, result in tuned.items()
            }
            return arrays, record

        key = self.settings.key(part) | {"sets": self.fingerprints, "device": self.device.name}
        arrays, record = self.stages.run(name, key, compute)
        for network, layer in networks.items():
            first = f"{network}."
            layer.load_arrays(
                {k.removeprefix(first): v for k, v in arrays.items() if k.startswith(first)}
            )
        return {
            task: Tuned(networks[task], **(told | {"history": History(**told["history"])}))
            for task, told in record.items()
        }


def _behind(encoder: Sequential, heads: dict[str, Tuned]) -> dict[str, Tuned]:
    """Tuned heads as whole networks, from image to output."""
    return {
        name: replace(head, network=Sequential(encoder, head.network))
        for name, head in heads.items()
    }


@dataclass
class Outcome:
    """Everything the report is written from.

    Attributes:
        sets, settings, device: what was run.
        source: the trained autoencoder.
        tuned: strategy -> task -> tuned network.
        denoising: rows of :func:`score_denoising`.
        scores: strategy -> hospital -> task -> scores.
        tested: hospital -> task -> the rows tested there.
        seconds: wall time of this process, to the end of the tests.
    """

    sets: Sets
    settings: Settings
    device: Device
    source: Tuned
    tuned: dict[str, dict[str, Tuned]]
    denoising: list[dict]
    scores: dict[str, dict[str, dict[str, dict]]]
    tested: dict[str, dict[str, np.ndarray]]
    seconds: float


def run(sets: Sets, settings: Settings, device: Device, out: Path) -> Outcome:
    """Train what is not trained yet, test it all, and return what came out."""
    start = time.perf_counter()
    experiment = CxrExperiment(sets, settings, device, out)
    source = experiment.source()
    autoencoder = source.network
    tuned = {
        "independent": experiment.independent(autoencoder),
        "alternating": experiment.together("alternating", autoencoder),
        "joint": experiment.together("joint", autoencoder),
        "separate": experiment.separate(autoencoder),
    }
    tested = rows_to_test(sets)
    scores = {
        strategy: score_tasks(
            sets, tested, tasks, device, autoencoder if strategy == "separate" else None
        )
        for strategy, tasks in tuned.items()
    }
    held_out = sets.source.images[rows_of(sets.source, "test")[:DENOISED_AT_MOST]]
    denoising = score_denoising(autoencoder, held_out, device, experiment.stages.rng("noise"))
    seconds = time.perf_counter() - start
    return Outcome(sets, settings, device, source, tuned, denoising, scores, tested, seconds)


def score_tasks(
    sets: Sets, tested: dict, tuned: dict[str, Tuned], device: Device, denoiser: Layer | None = None
) -> dict[str, dict[str, dict]]:
    """Hospital -> task -> scores of one strategy's networks, behind a denoiser for the baseline."""
    scores: dict[str, dict[str, dict]] = {}
    for hospital, prepared in ((HELD_OUT, sets.target), (OTHER, sets.test)):
        scores[hospital] = {}
        for task, rows in tested[hospital].items():
            images = np.asarray(prepared.images[rows])
            if denoiser is not None:
                images = denoise(denoiser, images, device)
            if task == LUNGS:
                score, truth = score_segmentation, prepared.masks[rows]
            else:
                score, truth = score_classification, prepared.labels[LABEL][rows]
            scores[hospital][task] = score(tuned[task].network, images, truth, device)
    return scores


def main(arguments: list[str] | None = None) -> int:
    """Run the experiment from the command line; 2 after one line that says what is wrong."""
    options = _parser().parse_args(arguments)
    start = time.perf_counter()
    try:
        settings = Settings(
            width=options.width,
            source_epochs=options.source_epochs,
            epochs=options.epochs,
            classifier_epochs=options.classifier_epochs,
            batch=options.batch,
            learning_rate=options.learning_rate,
            patience=options.patience,
            seed=options.seed,
            progress=not options.quiet,
        )
        sets = load_sets(options.source, options.target, options.test, options.batch)
        device = choose_device(options.device)
        outcome = run(sets, settings, device, Path(options.out))
        report = cxr_report.build(outcome)
        page = report.write(options.out)
    except (ValueError, OSError, RuntimeError, MemoryError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; finished stages are kept, start again to go on", file=sys.stderr)
        return 130
    print("\n" + "\n\n".join(table.text() for table in report.tables))
    print(f"{page}: the page, after {(time.perf_counter() - start) / 60:.1f} minutes")
    return 0


def _parser() -> argparse.ArgumentParser:
    defaults = Settings()
    parser = argparse.ArgumentParser(
        prog="python -m ums.experiments.cxr",
        description="The chest X-ray experiment: denoising source, lung and abnormality heads "
        "(three strategies), separate models; a page of results.",
    )
    parser.add_argument("--source", help="prepared folder for denoising (default: the target's)")
    parser.add_argument("--target", required=True, help="prepared folder of the training hospital")
    parser.add_argument("--test", required=True, help="prepared folder of the other hospital")
    parser.add_argument("--out", default="results/cxr", help="folder to write (%(default)s)")
    numbers = (
        ("width", float, "scales every channel count; 1 is the paper's"),
        ("source-epochs", int, "epochs of the source at most"),
        ("epochs", int, "epochs of each segmentation network at most"),
        ("classifier-epochs", int, "epochs of each classifier at most"),
        ("batch", int, "images per batch"),
        ("learning-rate", float, "at the start; halved on a plateau"),
        ("patience", int, "epochs without improvement before training stops"),
        ("seed", int, "of every random number"),
    )
    for name, kind, help_text in numbers:
        default = getattr(defaults, name.replace("-", "_"))
        text = f"{help_text} (%(default)s)"
        parser.add_argument(f"--{name}", type=kind, default=default, help=text)
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    return parser


if __name__ == "__main__":
    sys.exit(main())
