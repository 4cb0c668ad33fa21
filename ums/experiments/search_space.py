"""What the search for the echo source's hyperparameters tries, and what comes of a trial (section 4.2.1)."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np

from ums.data.normalisation import Normalisation
from ums.experiments.results.scores import Tested
from ums.optimizers import SGD, Adam, RMSprop
from ums.training import FitSettings

SPACE = {
    "kernel": (3, 5, 7),
    "dilation": (2, 3),
    "dropout": (0.1, 0.3, 0.5),
    "optimizer": ("SGD", "Adam", "RMSprop"),
    "batch": (16, 32, 64),
}

OPTIMIZERS = {
    "SGD": (partial(SGD, momentum=0.9), 1e-2),
    "Adam": (Adam, 1e-3),
    "RMSprop": (RMSprop, 1e-3),
}
"""With the learning rate of each, which the paper does not give: the usual ones."""


class Choice(NamedTuple):
    """One combination: a value of each setting of :data:`SPACE`."""

    kernel: int
    dilation: int
    dropout: float
    optimizer: str
    batch: int

    @property
    def name(self) -> str:
        """For the trial's stage and its progress bar."""
        return "kernel{}-dilation{}-dropout{}-{}-batch{}".format(*self)


GRID = [Choice(*values) for values in itertools.product(*SPACE.values())]
PAPERS = Choice(3, 2, 0.5, "Adam", 16)


@dataclass(frozen=True)
class Settings:
    """What a search can be told beside its folders; the defaults are those of a quick look."""

    trials: int = 16
    epochs: int = 20
    width: float = 0.5
    patience: int = 8
    dark: int = -1
    seed: int = 0
    progress: bool = True

    def __post_init__(self):
        # Say what is wrong now rather than after some trials.
        if not 1 <= self.trials <= len(GRID):
            raise ValueError(f"trials must be 1 to {len(GRID)}, got {self.trials}")
        Normalisation(self.dark)
        self.fit(PAPERS)

    def fit(self, choice: Choice) -> FitSettings:
        """The training loop's settings for a trial."""
        _, rate = OPTIMIZERS[choice.optimizer]
        return FitSettings(self.epochs, choice.batch, rate, self.patience)

    def choices(self, rng: np.random.Generator) -> list[Choice]:
        """The paper's and then others, in an order that does not depend on how many are asked for."""
        others = [choice for choice in GRID if choice != PAPERS]
        return [PAPERS, *(others[i] for i in rng.permutation(len(others)))][: self.trials]


class Trial(NamedTuple):
    """What came of one combination.

    ``number`` is its place in the order of trials, from 1; ``loss`` (mean cross-entropy), ``accuracy``
    and ``mcc`` are over the images of a split; of the ``epochs`` trained the best was kept; ``diverged``
    is the error, if the training did, and the rest then missing.
    """

    number: int
    choice: Choice
    parameters: int
    loss: float = np.nan
    accuracy: float = np.nan
    mcc: float = np.nan
    epochs: int = 0
    seconds: float = np.nan
    diverged: str = ""


class Found(NamedTuple):
    """All trials in order, scored on the validation split; the best, scored on the test split."""

    trials: list[Trial]
    test: Trial
    tested: Tested


def ranked(trials: list[Trial]) -> list[Trial]:
    """By loss, the lowest and of equals the first in front, what diverged at the end.

    Raises:
        RuntimeError: all of them diverged.
    """
    if all(trial.diverged for trial in trials):
        raise RuntimeError(f"all {len(trials)} trials diverged; the first: {trials[0].diverged}")
    return sorted(trials, key=lambda trial: np.inf if trial.diverged else trial.loss)
