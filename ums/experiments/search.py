"""The search for the echo source's hyperparameters (UMS-Rep, section 4.2.1).

    python -m ums.experiments.search prepared/echo --out results/echo-search

The paper gives the ranges of five settings, 162 combinations, and lets a library choose: 3 x 3 kernels,
dilation 2, dropout 0.5, Adam, batches of 16. Here that choice is tried first, then others in random
order, none twice; with 162 trials that is the whole grid. Each trial trains encoder and classification
head on the split ``train``, with early stopping, and is scored on ``validation``. The lowest loss is the
best: it is what training minimises, and a few dozen images give many trials the same accuracy. The best
of many figures is lucky as well as good, so its own is too high; only the winner meets the split
``test``, once, at the end, and no choice depends on it.

The search is a few lines of its own because a library such as Optuna would add a database and its
dependencies to model 162 combinations, and starts a killed trial anew, where a stage goes on bit for bit.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from ums.backend import Device, choose_device, to_numpy
from ums.data import Examples, Prepared, load_prepared
from ums.data.examples import normalise
from ums.experiments import search_report, study
from ums.experiments.search_space import (
    FLOWS,
    OPTIMIZERS,
    SPACE,
    Choice,
    Found,
    Scores,
    Settings,
    Trial,
    best_of,
    choices,
)
from ums.experiments.sets import source_rows
from ums.experiments.stages import Stages, fingerprint
from ums.finetuning import Task, learn
from ums.layers import Layer, Sequential
from ums.metrics import classification
from ums.networks import classification_head, echo_encoder, parameter_count
from ums.ops import categorical_cross_entropy
from ums.training import TrainingDiverged, predict


class Search:
    """The trials on one source's images: every one a stage, taken from disk if it is finished.

    Args:
        source: images with the label "flow", split by patient.
        settings: of the trials.
        device: where to compute.
        stages: where finished trials are kept, each with its network.

    Raises:
        ValueError: there is no such label, a split is empty, or the largest batch cannot be filled;
            names the folder.
    """

    def __init__(self, source: Prepared, settings: Settings, device: Device, stages: Stages):
        self.source, self.settings, self.device, self.stages = source, settings, device, stages
        self.splits = {split: self._examples(split) for split in ("train", "validation", "test")}
        self.key = {"source": fingerprint(source), "device": device.name, "dark": settings.dark}
        n, most = len(self.splits["train"]), max(SPACE["batch"])
        if n < most:
            raise ValueError(f"{source.folder}: {n} training images cannot fill a batch of {most}")

    def _examples(self, split: str) -> Examples:
        folder, rows = self.source.folder, source_rows(self.source, split)
        flow = self.source.labels.get("flow")
        if flow is None:
            raise ValueError(f'{folder}: there is no label "flow" to learn from')
        if wrong := sorted(set(flow[rows]) - set(range(FLOWS))):
            raise ValueError(f"{folder}: flow must be 0, 1 or 2 on every image, found {wrong[0]}")
        return Examples(self.source.images, flow, rows, partial(normalise, dark=self.settings.dark))

    def run(self) -> Found:
        """Train what is not trained yet, and test the best."""
        order = choices(self.settings.trials, self.stages.rng("order"))
        trials = [self.trial(number, choice)[0] for number, choice in enumerate(order, start=1)]
        best = best_of(trials)
        _, network = self.trial(best.number, best.choice)
        scores, predicted = self.score(network, "test")
        return Found(trials, scores, self.splits["test"].rows, predicted)

    def trial(self, number: int, choice: Choice) -> tuple[Trial, Layer]:
        """Train and score one combination, and the network as early stopping kept it."""
        rng, fit = self.stages.rng(choice.name), self.settings.fit(choice)
        network = classifier(choice, rng, self.settings.width).to(self.device)

        def compute(checkpoint):
            splits, (optimizer, _) = self.splits, OPTIMIZERS[choice.optimizer]
            data = splits["train"], splits["validation"]
            task = Task(choice.name, network, categorical_cross_entropy, *data, optimizer)
            try:
                tuned = learn(task, fit, self.device, rng, self.settings.progress, checkpoint)
            except TrainingDiverged as error:
                return {}, {"diverged": str(error)}
            scores, _ = self.score(network, "validation")
            told = {"epochs": len(tuned.history.train), "seconds": tuned.seconds}
            arrays = {name: to_numpy(array) for name, array in network.arrays().items()}
            return arrays, told | {"scores": asdict(scores)}

        key = self.key | {"choice": asdict(choice), "fit": asdict(fit)}
        key["width"] = self.settings.width
        arrays, record = self.stages.run(choice.name, key, compute)
        if arrays:
            network.load_arrays(arrays)
            record = record | {"scores": Scores(**record["scores"])}
        return Trial(number, choice, parameter_count(network), **record), network

    def score(self, network: Layer, split: str) -> tuple[Scores, np.ndarray]:
        """Scores on a split, and the predicted classes (n,)."""
        examples = self.splits[split]
        logits = predict(network, examples, self.device)
        labels, predicted = examples.targets[examples.rows], logits.argmax(axis=1)
        loss, _ = categorical_cross_entropy(logits, labels)
        accuracy = classification.accuracy(labels, predicted, FLOWS)
        return Scores(
            float(loss), accuracy, classification.mcc(labels, predicted, FLOWS)
        ), predicted


def classifier(choice: Choice, rng: np.random.Generator, width: float) -> Sequential:
    """``Sequential(encoder, head)``: (N, H, W, 3) -> (N, 3) logits."""
    encoder = echo_encoder(rng, width=width, kernel=choice.kernel, dilation=choice.dilation)
    channels = encoder.output_shape((16, 16, 3))[-1]
    return Sequential(encoder, classification_head(channels, FLOWS, rng, dropout=choice.dropout))


NUMBERS = {
    "trials": "combinations to try; 162 are all",
    "epochs": "of each trial at most; the paper has 64",
    "width": "scales the encoder's channel counts; 1 is the paper's",
    "patience": "epochs without improvement before a training stops",
    "dark": "grey level up to which a pixel does not count for its image's mean; -1: all count",
    "seed": "of every random number",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the search from the command line; 2 after one line that says what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m ums.experiments.search",
        description="Random search over the paper's ranges for the echo source's hyperparameters. "
        "Stopped at any time and started again, it goes on and ends with the same figures.",
    )
    parser.add_argument("prepared", help="folder that `python -m data_prep echo` made")
    parser.add_argument(
        "--out", default="results/echo-search", help="folder to write (%(default)s)"
    )
    for name, text in NUMBERS.items():
        default = getattr(Settings(), name)
        text = f"{text} (%(default)s)"
        parser.add_argument(f"--{name}", type=type(default), default=default, help=text)
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    options = parser.parse_args(arguments)

    def report():
        numbers = {name: getattr(options, name) for name in NUMBERS}
        settings = Settings(**numbers, progress=not options.quiet)
        source = load_prepared(Path(options.prepared) / "source")
        out, device = Path(options.out), choose_device(options.device)
        found = Search(source, settings, device, Stages(out / "stages", settings.seed)).run()
        return search_report.build(found, source, settings, device), out

    return study.report_on(report)


if __name__ == "__main__":
    sys.exit(main())
