"""What the search for the echo source's hyperparameters tries, and what comes of a trial (section 4.2.1)."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import astuple, dataclass
from functools import partial

import numpy as np

from ums.optimizers import SGD, Adam, Optimizer, RMSprop
from ums.training import FitSettings

FLOWS = 3
"""Classes: MV, MA, TR."""

SPACE = {
    "kernel": (3, 5, 7),
    "dilation": (2, 3),
    "dropout": (0.1, 0.3, 0.5),
    "optimizer": ("SGD", "Adam", "RMSprop"),
    "batch": (16, 32, 64),
}

OPTIMIZERS: dict[str, tuple[Callable[..., Optimizer], float]] = {
    "SGD": (partial(SGD, momentum=0.9), 1e-2),
    "Adam": (Adam, 1e-3),
    "RMSprop": (RMSprop, 1e-3),
}
"""With the learning rate of each, which the paper does not give: the usual ones."""


@dataclass(frozen=True)
class Choice:
    """One combination: a value of each setting of :data:`SPACE`."""

    kernel: int
    dilation: int
    dropout: float
    optimizer: str
    batch: int

    @property
    def name(self) -> str:
        """For the trial's stage and its progress bar."""
        k, d, p, optimizer, batch = astuple(self)
        return f"kernel{k}-dilation{d}-dropout{p}-{optimizer}-batch{batch}"


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
        self.fit(PAPERS)

    def fit(self, choice: Choice) -> FitSettings:
        """The training loop's settings for a trial."""
        _, rate = OPTIMIZERS[choice.optimizer]
        return FitSettings(self.epochs, choice.batch, rate, self.patience)


@dataclass(frozen=True)
class Scores:
    """A network's mean cross-entropy, accuracy and MCC over the images of a split."""

    loss: float
    accuracy: float
    mcc: float


@dataclass(frozen=True)
class Trial:
    """What came of one combination.

    Attributes:
        number: its place in the order of trials, from 1.
        choice: the combination.
        parameters: trainable, of encoder and head.
        scores: on the validation split; None if the training diverged.
        epochs: trained, of which the best was kept.
        seconds: wall time of the training.
        diverged: the error, if it did.
    """

    number: int
    choice: Choice
    parameters: int
    scores: Scores | None = None
    epochs: int = 0
    seconds: float = np.nan
    diverged: str = ""


@dataclass(frozen=True, eq=False)
class Found:
    """All trials in order, and the best one's network on the test split, which no other has met.

    ``predicted`` are its classes (n,) for the test images ``rows`` (n,) of the prepared folder.
    """

    trials: list[Trial]
    test: Scores
    rows: np.ndarray
    predicted: np.ndarray

    @property
    def best(self) -> Trial:
        """The lowest validation loss."""
        return best_of(self.trials)


def choices(trials: int, rng: np.random.Generator) -> list[Choice]:
    """The paper's choice and then others, in an order that does not depend on how many are asked for."""
    others = [choice for choice in GRID if choice != PAPERS]
    return [PAPERS, *(others[i] for i in rng.permutation(len(others)))][:trials]


def best_of(trials: list[Trial]) -> Trial:
    """The trial with the lowest validation loss, the first of equals.

    Raises:
        RuntimeError: all of them diverged.
    """
    scored = [trial for trial in trials if trial.scores]
    if not scored:
        raise RuntimeError(f"all {len(trials)} trials diverged; the first: {trials[0].diverged}")
    return min(scored, key=lambda trial: trial.scores.loss)
