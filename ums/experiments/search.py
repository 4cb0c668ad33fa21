"""The search for the echo source's hyperparameters (UMS-Rep, section 4.2.1).

The paper gives the ranges of five settings, 162 combinations, and lets a library choose: 3 x 3 kernels,
dilation 2, dropout 0.5, Adam, batches of 16. Here that choice is tried first, then others in random
order, none twice; with 162 trials that is the whole grid. Each trial trains encoder and classification
head on the split ``train``, with early stopping, and is scored on ``validation``. The lowest loss is the
best: it is what training minimises, and a few dozen images give many trials the same accuracy. The best
of many scores is lucky as well as good, so its own is too high; only the winner meets the split
``test``, once, at the end, and no choice depends on it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ums.backend import to_numpy
from ums.checkpoint import Checkpoint, Kept
from ums.checks import check_integer, check_positive
from ums.data import Normalisation, Prepared
from ums.data.prepared import SPLITS
from ums.experiments.datasets import fingerprint
from ums.experiments.echo import ECHO, flow_classifier, flow_examples
from ums.experiments.jobs import TRIAL, TRIAL_TEST, Job, generator
from ums.experiments.names import LOGITS
from ums.experiments.run import Run
from ums.experiments.search_space import GRID, PAPERS_CHOICE, SPACE, Choice, ranked, trial_of
from ums.experiments.settings import described, setting
from ums.experiments.store import made_by
from ums.experiments.study_file import described_set, write_study
from ums.finetuning import Task, train_task
from ums.layers import Layer
from ums.metrics.classification import accuracy, mcc
from ums.networks import parameter_count
from ums.ops import categorical_cross_entropy
from ums.optimizers import SGD, Adam, RMSprop
from ums.training import FitSettings, Training, TrainingDiverged, predict

OPTIMIZERS: dict[str, tuple[Any, float]] = {
    "SGD": (partial(SGD, momentum=0.9), 1e-2),
    "Adam": (Adam, 1e-3),
    "RMSprop": (RMSprop, 1e-3),
}
"""With the learning rate of each, which the paper does not give: the usual ones."""


@dataclass(frozen=True)
class SearchSettings:
    """Settings of a search; the defaults are those of a quick look.

    Raises:
        ValueError: A value is out of range; the message names the setting.
    """

    trials: int = setting(16, f"combinations to try; {len(GRID)} are all")
    epochs: int = setting(20, "most epochs of a trial; the paper has 64")
    width: float = setting(0.5, "scale of every channel count; 1 is the paper's")
    patience: int = setting(8, "epochs without improvement before training stops")
    background: int = setting(
        -1, "grey level up to which a pixel is background and left out of an image's mean"
    )
    seed: int = setting(0, "seed of every random number")

    def __post_init__(self) -> None:
        # Report an error now rather than after some trials.
        if not 1 <= self.trials <= len(GRID):
            raise ValueError(f"trials must be 1 to {len(GRID)}, got {self.trials}")
        check_positive("width", self.width)
        check_integer("seed", self.seed, least=0)
        self.normalisation()
        self.fit(PAPERS_CHOICE)

    def normalisation(self) -> Normalisation:
        """How an image becomes the input of a network."""
        return Normalisation(self.background)

    def fit(self, choice: Choice) -> FitSettings:
        """Settings of the training loop for a trial."""
        _, rate = OPTIMIZERS[choice.optimizer]
        return FitSettings(self.epochs, choice.batch, rate, self.patience)

    def choices(self, rng: np.random.Generator) -> list[Choice]:
        """The paper's and then others, in an order that does not depend on how many are asked for."""
        others = [choice for choice in GRID if choice != PAPERS_CHOICE]
        return [PAPERS_CHOICE, *(others[i] for i in rng.permutation(len(others)))][: self.trials]


class Search:
    """The trials on one source's images, each a job.

    Args:
        source: RGB images with the label "flow", split by patient.
        settings: Those of the trials.
        run: Device, store and progress; its settings are not used.

    Raises:
        ValueError: Images or labels are not the echo study's, a split has none, or the largest batch
            cannot be filled; the message names the folder.
    """

    def __init__(self, source: Prepared, settings: SearchSettings, run: Run):
        self.source, self.settings, self.run = source, settings, run
        ECHO.layout.check_sizes([source])
        run.store.watch([source])
        normalisation = settings.normalisation()
        self.splits = {split: flow_examples(source, split, normalisation) for split in SPLITS}
        n, most = len(self.splits["train"]), max(SPACE["batch"])
        if n < most:
            raise ValueError(f"{source.folder}: {n} training images cannot fill a batch of {most}")

    def jobs(self) -> dict[Job, Choice]:
        """The trials in order."""
        seed = self.settings.seed
        choices = self.settings.choices(generator(seed, "order"))
        return {Job(TRIAL, arm=choice.name, seed=seed): choice for choice in choices}

    def key(self, job: Job, choice: Choice) -> dict[str, Any]:
        """Everything a trial depends on beside the code and the packages."""
        key = {"source": fingerprint(self.source), "device": self.run.device.name}
        own = {"fit": asdict(self.settings.fit(choice)), "width": self.settings.width}
        return key | own | {"background": self.settings.background} | job.to_dict()

    def record(self, job: Job, choice: Choice) -> dict[str, Any]:
        """A trial's record, computed now or taken from the store."""

        def compute() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
            network, trained = self.trained(job, choice)
            record = {"job": job.to_dict(), "choice": choice._asdict()} | trained
            record["parameters"] = parameter_count(network)
            if not trained["diverged"]:
                record |= self.scores(network, "validation")
            return record, {}

        return self.run.store.record(job.name, self.key(job, choice), compute)

    def test_record(self, job: Job, choice: Choice) -> str:
        """Test the best trial's network on the split "test"; the file name of the record."""
        own = Job(TRIAL_TEST, seed=job.seed)
        key = self.key(own, choice) | {"choice": choice._asdict()}

        def compute() -> tuple[dict[str, Any], dict[str, np.ndarray]]:
            network, _ = self.trained(job, choice)
            return {"job": own.to_dict()} | self.scores(network, "test"), {}

        self.run.store.record(own.name, key, compute)
        return self.run.store.record_path(own.name, key).name

    def trained(self, job: Job, choice: Choice) -> tuple[Layer, dict[str, Any]]:
        """One combination's network as early stopping kept it, and a record of its training."""
        settings, rng, fit = self.settings, job.generator(choice.name), self.settings.fit(choice)
        network = flow_classifier(rng, settings.width, *choice[:3]).to(self.run.device)
        optimizer, _ = OPTIMIZERS[choice.optimizer]
        data = self.splits["train"], self.splits["validation"]
        task = Task(choice.name, network, categorical_cross_entropy, *data, optimizer)

        def compute(checkpoint: Checkpoint) -> Kept:
            training = Training(fit, rng, self.run.device, self.run.progress, checkpoint)
            try:
                tuned = train_task(task, training)
            except TrainingDiverged as error:
                return {}, {"epochs": 0, "seconds": math.nan, "diverged": str(error)}
            record = {"epochs": len(tuned.history.train), "seconds": tuned.seconds, "diverged": ""}
            return {n: to_numpy(a) for n, a in network.state_dict().items()}, record

        arrays, record = self.run.store.weights(job.name, self.key(job, choice), compute)
        if arrays:
            network.load_state_dict(arrays)
        return network, record

    def scores(self, network: Layer, split: str) -> dict[str, Any]:
        """Loss, accuracy and MCC on a split, and the logits they are of."""
        examples = self.splits[split]
        logits = predict(network, examples, self.run.device)
        labels = np.asarray(examples.targets)[examples.rows]
        predicted, K = logits.argmax(axis=1), logits.shape[1]
        return {
            "loss": float(categorical_cross_entropy(logits, labels)[0]),
            "accuracy": accuracy(labels, predicted, K),
            "mcc": mcc(labels, predicted, K),
            "patient": self.source.patients[examples.rows],
            "label": labels,
            LOGITS: logits,
        }


def run(search: Search, out: Path) -> None:
    """Run the trials that are not done, then test the best; ``study.json`` names their records.

    Raises:
        RuntimeError: All trials diverged.
        OSError: A file cannot be written; the message names it.
    """
    jobs, store = search.jobs(), search.run.store
    files = {"trials": [store.record_path(j.name, search.key(j, c)).name for j, c in jobs.items()]}
    counts = ", ".join(f"{(search.source.splits == s).sum()} {s}" for s in SPLITS)
    about = {
        "data": {"Source images": described_set(search.source, counts)},
        "settings": described(search.settings),
        "seed": search.settings.seed,
        "device": search.run.device.name,
        "made by": made_by(),
        "rates": {name: rate for name, (_, rate) in OPTIMIZERS.items()},
    }
    write_study(out, "search", about, files, store)
    trials = []
    for number, (job, choice) in enumerate(jobs.items(), start=1):
        trials.append(trial_of(number, search.record(job, choice)))
        print(f"{number}/{len(jobs)} {job.name}: done")
    best, choice = list(jobs.items())[ranked(trials)[0].number - 1]
    files["test"] = [search.test_record(best, choice)]
    write_study(out, "search", about, files, store)
