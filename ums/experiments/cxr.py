"""The chest X-ray experiment: a denoising source, its heads, and the baseline of separate models.

    python -m ums.experiments.cxr --source prepared/source --target prepared/target \\
        --test prepared/test --out results/cxr

learns to denoise the source's images, tunes heads for lung segmentation and abnormality on the
target's (independent strategy), trains separate models for the same two tasks, tests all of them on
the target's held-out part and on another hospital's images, and writes a page (section 4.1).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ums.backend import Device, choose_device, to_numpy
from ums.data import NOISES, Examples, Prepared, denormalise, load_prepared
from ums.experiments import cxr_report
from ums.experiments.stages import Stages, fingerprint
from ums.finetuning import Task, Tuned, train_separately, tune_independently
from ums.finetuning.separate import denoise
from ums.layers import Layer, Sequential
from ums.metrics import classification, image_quality, segmentation
from ums.networks import (
    classification_head,
    denoising_autoencoder,
    parameter_count,
    segmentation_head,
    separate_classifier,
)
from ums.ops import bce_dice, categorical_cross_entropy
from ums.source import learn_denoising
from ums.training import FitSettings, History, predict

LUNGS, ABNORMALITY = "lungs", "abnormality"
LABEL = "abnormal"
HELD_OUT, OTHER = "held-out", "other hospital"
DENOISED_AT_MOST = 200
"""Images for Table 2; its means no longer move with more."""


@dataclass(frozen=True)
class Settings:
    """What a run can be told; the defaults are the small run of ``make reproduce-cxr``."""

    width: float = 1.0
    source_epochs: int = 12
    epochs: int = 30
    batch: int = 16
    learning_rate: float = 1e-3
    patience: int = 15
    seed: int = 0
    progress: bool = True

    def __post_init__(self):
        for epochs in (self.source_epochs, self.epochs):
            self.fit(epochs)  # says what is wrong now rather than after the source is trained

    def fit(self, epochs: int) -> FitSettings:
        """The training loop's settings for a stage of so many epochs."""
        return FitSettings(epochs, self.batch, self.learning_rate, self.patience)

    def key(self, epochs: int) -> dict:
        """What a stage's weights depend on: every stage, for the later ones, on the source too."""
        names = ("width", "source_epochs", "batch", "learning_rate", "patience")
        return {name: getattr(self, name) for name in names} | {"epochs": epochs}


@dataclass(frozen=True)
class Sets:
    """The three prepared folders; the source has its own images or shares the target's."""

    source: Prepared
    target: Prepared
    test: Prepared

    def fingerprints(self) -> dict[str, str]:
        """Hashes of what is trained on, so that no stage is taken from another set's run."""
        return {name: fingerprint(getattr(self, name)) for name in ("source", "target")}


def load_sets(source: str | None, target: str, test: str, batch: int = 1) -> Sets:
    """Open the three folders and check that they fit together.

    Raises:
        ValueError: sizes differ, a label or the masks are missing, a split is empty; names the
            folder.
    """
    target_set, test_set = load_prepared(target), load_prepared(test)
    source_set = load_prepared(source) if source else target_set
    sets = Sets(source_set, target_set, test_set)
    shape = target_set.images.shape[1:]
    for prepared in (source_set, test_set):
        if prepared.images.shape[1:] != shape:
            raise ValueError(
                f"images must be of one size: {target_set.folder} has {shape}, "
                f"{prepared.folder} has {prepared.images.shape[1:]}"
            )
    if len(shape) != 2 or shape[0] % 16 or shape[1] % 16:
        raise ValueError(
            f"{target_set.folder}: X-rays must be grey and their sides multiples of 16 (the encoder "
            f"halves them four times), got {shape}"
        )
    for prepared in (target_set, test_set):
        if LABEL not in prepared.labels:
            raise ValueError(f"{prepared.folder / 'table.csv'} has no column {LABEL!r}")
        if not prepared.has_mask.any():
            raise ValueError(f"{prepared.folder} has no lung masks")
        if prepared.labels[LABEL].max() > 1:
            raise ValueError(f"{prepared.folder / 'table.csv'}: {LABEL} must be 0 or 1")
    check_parts(sets, batch)
    return sets


def check_parts(sets: Sets, batch: int) -> None:
    """Everything a run will ask for, before hours are spent on a part of it.

    Raises:
        ValueError: a split is empty or smaller than a batch; names the folder.
    """
    for prepared, tasks in ((sets.source, (None,)), (sets.target, (LUNGS, ABNORMALITY))):
        for task in tasks:
            for split in ("train", "validation", "test"):
                found = len(rows_of(prepared, split, task))
                if split == "train" and found < batch:
                    what = f" for the {task} task" if task else ""
                    raise ValueError(
                        f"{prepared.folder}: {found} training images{what} cannot fill a batch "
                        f"of {batch}"
                    )
    tested_rows(sets)


def rows_of(prepared: Prepared, split: str, task: str | None = None) -> np.ndarray:
    """Rows of a split ("all" for every row) that have what a task needs: a mask, or a label.

    Raises:
        ValueError: there is none; names the folder, the split and the task.
    """
    chosen = np.ones(len(prepared), bool) if split == "all" else prepared.splits == split
    if task == LUNGS:
        chosen = chosen & prepared.has_mask
    if task == ABNORMALITY:
        chosen = chosen & (prepared.labels[LABEL] >= 0)
    if not chosen.any():
        what = f" with what the {task} task needs" if task else ""
        raise ValueError(f"{prepared.folder}: no image in split {split!r}{what}")
    return np.flatnonzero(chosen)


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
        rng = self.stages.rng("source")
        network = denoising_autoencoder(rng, width=settings.width).to(self.device)

        def train() -> Tuned:
            return learn_denoising(
                network,
                images.images,
                rows_of(images, "train"),
                rows_of(images, "validation"),
                settings.fit(settings.source_epochs),
                self.device,
                rng,
                settings.progress,
            )

        return self._stage("source", network, train, settings.source_epochs)

    def independent(self, autoencoder: Sequential) -> dict[str, Tuned]:
        """Stage 2: both heads, each by itself on the frozen encoder."""
        encoder, decoder = autoencoder.layers
        channels = encoder.output_shape((16, 16, 1))[-1]
        heads = {
            LUNGS: lambda rng: segmentation_head(decoder, rng),
            ABNORMALITY: lambda rng: classification_head(channels, 2, rng),
        }
        tuned = self._tasks("independent", heads, tune_independently, encoder)
        return {
            name: replace(result, network=Sequential(encoder, result.network))
            for name, result in tuned.items()
        }

    def separate(self, denoiser: Sequential) -> dict[str, Tuned]:
        """The baseline: a network of its own for each task, on denoised images."""
        width = self.settings.width
        networks = {
            LUNGS: lambda rng: denoising_autoencoder(rng, width=width),
            ABNORMALITY: lambda rng: separate_classifier(rng, width=width),
        }
        return self._tasks("separate", networks, train_separately, denoiser)

    def _tasks(self, strategy: str, heads: dict, tune: Callable, shared: Layer) -> dict[str, Tuned]:
        """Each task as a stage of its own. What is kept of it, and returned, is the head."""
        settings = self.settings
        tuned = {}
        for name, make_head in heads.items():
            rng = self.stages.rng(f"{strategy}-{name}")
            head = make_head(rng).to(self.device)
            task = self._task(f"{strategy}: {name}", name, head)

            def train(task=task, rng=rng):
                fit_settings = settings.fit(settings.epochs)
                progress = settings.progress
                return tune(shared, [task], fit_settings, self.device, rng, progress)[task.name]

            tuned[name] = self._stage(f"{strategy}-{name}", head, train, settings.epochs)
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

    def _stage(self, name: str, network: Layer, train: Callable[[], Tuned], epochs: int) -> Tuned:
        """Train ``network``, or give it the weights it got in an earlier run of the same stage."""

        def compute():
            tuned = train()
            arrays = {k: to_numpy(v) for k, v in network.arrays().items()}
            history = tuned.history.to_dict()
            return arrays, {"history": history, "seconds": tuned.seconds}

        key = self.settings.key(epochs) | self.fingerprints | {"device": self.device.name}
        arrays, record = self.stages.run(name, key, compute)
        network.load_arrays(arrays)
        history = History(**record["history"])
        return Tuned(network, history, record["seconds"], parameter_count(network))


# ------------------------------------------------------------------------ scores


def score_denoising(denoiser: Layer, images: np.ndarray, device: Device, rng) -> list[dict]:
    """Table 2: for each noise, mean PSNR (dB), SSIM and MS-SSIM of noisy and denoised images.

    Images (N, H, W) uint8. One image's clean, noisy and denoised pictures come along for the page.
    """
    rows = []
    shown = int(rng.integers(len(images)))
    for noise in NOISES:
        noisy = noise.add(images, rng)
        denoised = restore(denoiser, noisy, device)
        rows.append(
            {
                "noise": str(noise),
                "noisy": image_scores(images, noisy),
                "denoised": image_scores(images, denoised),
                "pictures": (images[shown], noisy[shown], denoised[shown]),
            }
        )
    return rows


def restore(denoiser: Layer, noisy: np.ndarray, device: Device) -> np.ndarray:
    """Float images (N, H, W) in 0..255 through the denoiser, the same again."""
    y = predict(denoiser, Examples(noisy, None, np.arange(len(noisy))), device)
    return denormalise(y, noisy)


def image_scores(clean: np.ndarray, images: np.ndarray) -> dict[str, float]:
    """Means over images of the three measures of Table 2."""
    clean = np.asarray(clean, np.float64)
    return {
        "PSNR": float(np.mean(image_quality.psnr(clean, images))),
        "SSIM": float(np.mean(image_quality.ssim(clean, images))),
        "MS-SSIM": float(np.mean(image_quality.ms_ssim(clean, images))),
    }


def score_lungs(network: Layer, images: np.ndarray, masks: np.ndarray, device: Device) -> dict:
    """Per-image scores of the lung masks predicted for images (N, H, W), and the masks."""
    logits = predict(network, Examples(images, None, np.arange(len(images))), device)
    predicted, target = logits[..., 0] > 0, masks > 0
    return {
        "predicted": predicted,
        "Accuracy": segmentation.accuracy(target, predicted),
        "F-score": segmentation.f_score(target, predicted),
        "IoU": segmentation.iou(target, predicted),
        "Two-class IoU": segmentation.mean_iou(target, predicted),
    }


def score_abnormality(
    network: Layer, images: np.ndarray, labels: np.ndarray, device: Device
) -> dict:
    """Scores of the labels predicted for images (N, H, W), and the predictions."""
    logits = predict(network, Examples(images, None, np.arange(len(images))), device)
    predicted = logits.argmax(axis=1)
    return {
        "predicted": predicted,
        "labels": labels,
        "Accuracy": classification.accuracy(labels, predicted, 2),
        "F-score": classification.f_score(labels, predicted, 2, positive=1),
        "MCC": classification.mcc(labels, predicted, 2),
        "AUC": classification.roc_auc(labels, logits[:, 1] - logits[:, 0]),
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
    independent = experiment.independent(autoencoder)
    separate = experiment.separate(autoencoder)
    tested = tested_rows(sets)
    scores = {
        "independent": score_tasks(sets, tested, independent, device),
        "separate": score_tasks(sets, tested, separate, device, denoiser=autoencoder),
    }
    held_out = sets.source.images[rows_of(sets.source, "test")[:DENOISED_AT_MOST]]
    denoising = score_denoising(autoencoder, held_out, device, experiment.stages.rng("noise"))
    tuned = {"independent": independent, "separate": separate}
    seconds = time.perf_counter() - start
    return Outcome(sets, settings, device, source, tuned, denoising, scores, tested, seconds)


def tested_rows(sets: Sets) -> dict[str, dict[str, np.ndarray]]:
    """Hospital -> task -> rows: the target's held-out part, and all of the other hospital."""
    parts = {HELD_OUT: (sets.target, "test"), OTHER: (sets.test, "all")}
    return {
        hospital: {task: rows_of(prepared, split, task) for task in (LUNGS, ABNORMALITY)}
        for hospital, (prepared, split) in parts.items()
    }


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
                score, truth = score_lungs, prepared.masks[rows]
            else:
                score, truth = score_abnormality, prepared.labels[LABEL][rows]
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
        "(independent strategy), separate models; a page of results.",
    )
    parser.add_argument("--source", help="prepared folder for denoising (default: the target's)")
    parser.add_argument("--target", required=True, help="prepared folder of the training hospital")
    parser.add_argument("--test", required=True, help="prepared folder of the other hospital")
    parser.add_argument("--out", default="results/cxr", help="folder to write (%(default)s)")
    numbers = (
        ("width", float, "scales every channel count; 1 is the paper's"),
        ("source-epochs", int, "epochs of the source at most"),
        ("epochs", int, "epochs of each head and separate model at most"),
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
