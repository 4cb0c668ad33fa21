"""The search for the echo source's hyperparameters (UMS-Rep, section 4.2.1).

    python -m ums.experiments.search prepared/echo --out results/echo-search

The paper gives the ranges of five settings, 162 combinations, and lets a library choose: 3 x 3 kernels,
dilation 2, dropout 0.5, Adam, batches of 16. Here that choice is tried first, then others in random
order, none twice; with 162 trials that is the whole grid. Each trial trains encoder and classification
head on the split ``train``, with early stopping, and is scored on ``validation``. The lowest loss is the
best: it is what training minimises, and a few dozen images give many trials the same accuracy. The best
of many figures is lucky as well as good, so its own is too high; only the winner meets the split
``test``, once, at the end, and no choice depends on it.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from pathlib import Path

from ums.backend import Device, choose_device, to_numpy
from ums.data import Prepared, load_prepared
from ums.data.prepared import SPLITS
from ums.experiments import command_line
from ums.experiments.echo import flow_classifier, flow_examples
from ums.experiments.echo_sets import ECHO
from ums.experiments.report import search as search_report
from ums.experiments.results.scores import Tested, tested_once
from ums.experiments.search_space import OPTIMIZERS, SPACE, Choice, Found, Settings, Trial, ranked
from ums.experiments.stages import Stages, fingerprint
from ums.finetuning import Task, train_task
from ums.layers import Layer
from ums.metrics.classification import accuracy, mcc
from ums.networks import parameter_count
from ums.ops import categorical_cross_entropy
from ums.training import Training, TrainingDiverged, predict


class Search:
    """The trials on one source's images: every one a stage, taken from disk if it is finished.

    Args:
        source: RGB images with the label "flow", split by patient.
        settings: of the trials.
        device: where to compute.
        stages: where finished trials are kept, each with its network.

    Raises:
        ValueError: images or labels are not the echo study's, a split has none, or the largest batch
            cannot be filled; names the folder.
    """

    def __init__(self, source: Prepared, settings: Settings, device: Device, stages: Stages):
        self.source, self.settings, self.device, self.stages = source, settings, device, stages
        ECHO.check_sizes([source])
        self.splits = {split: flow_examples(source, split, settings.dark) for split in SPLITS}
        self.key = {"source": fingerprint(source), "device": device.name, "dark": settings.dark}
        n, most = len(self.splits["train"]), max(SPACE["batch"])
        if n < most:
            raise ValueError(f"{source.folder}: {n} training images cannot fill a batch of {most}")

    def run(self) -> Found:
        """Train what is not trained yet, and test the best."""
        order = self.settings.choices(self.stages.rng("order"))
        trials = [self.trial(number, choice)[0] for number, choice in enumerate(order, start=1)]
        best = ranked(trials)[0]
        _, network = self.trial(best.number, best.choice)
        scores, tested = self.score(network, "test")
        return Found(trials, best._replace(**scores), tested)

    def trial(self, number: int, choice: Choice) -> tuple[Trial, Layer]:
        """Train and score one combination, and the network as early stopping kept it."""
        settings, rng, fit = self.settings, self.stages.rng(choice.name), self.settings.fit(choice)
        network = flow_classifier(rng, settings.width, *choice[:3]).to(self.device)
        optimizer, _ = OPTIMIZERS[choice.optimizer]
        data = self.splits["train"], self.splits["validation"]
        task = Task(choice.name, network, categorical_cross_entropy, *data, optimizer)

        def compute(checkpoint):
            try:
                training = Training(fit, rng, self.device, settings.progress, checkpoint)
                tuned = train_task(task, training)
            except TrainingDiverged as error:
                return {}, {"diverged": str(error)}
            scores, _ = self.score(network, "validation")
            told = {"epochs": len(tuned.history.train), "seconds": tuned.seconds}
            arrays = {name: to_numpy(array) for name, array in network.state_dict().items()}
            return arrays, told | {"scores": scores}

        own = {"choice": choice._asdict(), "fit": asdict(fit), "width": settings.width}
        arrays, record = self.stages.run(choice.name, self.key | own, compute)
        if arrays:
            network.load_state_dict(arrays)
        scores = record.pop("scores", {})
        return Trial(number, choice, parameter_count(network), **scores, **record), network

    def score(self, network: Layer, split: str) -> tuple[dict[str, float], Tested]:
        """The scores of a :class:`Trial` on a split, and the logits they are of."""
        examples, patients = self.splits[split], self.source.patients
        logits = predict(network, examples, self.device)
        labels, said, K = examples.targets[examples.rows], logits.argmax(axis=1), logits.shape[1]
        loss = float(categorical_cross_entropy(logits, labels)[0])
        scores = {"loss": loss, "accuracy": accuracy(labels, said, K), "mcc": mcc(labels, said, K)}
        return scores, tested_once(patients[examples.rows], labels, logits)


NUMBERS = {
    "trials": "combinations to try; 162 are all",
    "epochs": "of each trial at most; the paper has 64",
} | {name: command_line.NUMBERS[name] for name in ("width", "patience", "dark", "seed")}


def main(arguments: list[str] | None = None) -> int:
    """Run the search from the command line; 2 after one line that says what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m ums.experiments.search",
        description="Random search over the paper's ranges for the echo source's hyperparameters. "
        "Stopped at any time and started again, it goes on and ends with the same figures.",
    )
    command_line.add_basics(parser, ECHO, ["source"], NUMBERS, Settings(), "results/echo-search")
    options = parser.parse_args(arguments)

    def report():
        settings, out = command_line.settings_of(options, Settings), Path(options.out)
        source = load_prepared(Path(options.prepared) / "source")
        device = choose_device(options.device)
        with Stages(out / "stages", settings.seed) as stages:
            found = Search(source, settings, device, stages).run()
        return search_report.build(found, source, settings, device), out

    return command_line.report_on(report)


if __name__ == "__main__":
    sys.exit(main())
