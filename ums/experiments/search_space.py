"""What the search for the echo source's hyperparameters tries, and the outcome of a trial."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

SPACE: dict[str, tuple] = {
    "kernel": (3, 5, 7),
    "dilation": (2, 3),
    "dropout": (0.1, 0.3, 0.5),
    "optimizer": ("SGD", "Adam", "RMSprop"),
    "batch": (16, 32, 64),
}
"""The ranges of section 4.2.1."""


class Choice(NamedTuple):
    """One combination: a value of each setting of :data:`SPACE`."""

    kernel: int
    dilation: int
    dropout: float
    optimizer: str
    batch: int

    @property
    def name(self) -> str:
        """For the trial's job and its progress bar."""
        return "kernel{}-dilation{}-dropout{}-{}-batch{}".format(*self)


GRID = [Choice(*values) for values in itertools.product(*SPACE.values())]
PAPERS_CHOICE = Choice(3, 2, 0.5, "Adam", 16)


class Trial(NamedTuple):
    """The outcome of one combination.

    Attributes:
        number: Its place in the order of trials, from 1.
        choice: The combination.
        parameters: The number of the network's parameters.
        loss: Mean cross-entropy over the images of a split; NaN, as what follows, if it diverged.
        accuracy: The accuracy over the same images.
        mcc: The MCC over the same images.
        epochs: The number of epochs trained, of which the best was kept.
        seconds: The time of training.
        diverged: The error if the training diverged.
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


def trial_of(number: int, record: dict[str, Any]) -> Trial:
    """A trial from its record."""
    fields = {k: record[k] for k in Trial._fields if record.get(k) is not None}
    return Trial(**(fields | {"number": number, "choice": Choice(**record["choice"])}))


def ranked(trials: list[Trial]) -> list[Trial]:
    """Trials by loss, the lowest first, of equals the earlier; those that diverged come last.

    Raises:
        RuntimeError: All of them diverged.
    """
    if all(trial.diverged for trial in trials):
        raise RuntimeError(f"all {len(trials)} trials diverged; the first: {trials[0].diverged}")
    return sorted(trials, key=lambda trial: np.inf if trial.diverged else trial.loss)
