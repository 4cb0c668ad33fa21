"""What training took: minutes, epochs and parameters of a group of tasks, fold by fold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ums.experiments.results.records import Record
from ums.training import History


class TrainingCost(NamedTuple):
    """What one training of a task took; see :class:`ums.finetuning.Tuned`."""

    history: History
    seconds: float
    trainable: int
    shared: int


def cost_of(record: Record) -> TrainingCost:
    """From the record of a training."""
    history = History(**record["history"])
    return TrainingCost(history, record["seconds"], record["trainable"], record["shared"])


@dataclass(frozen=True, eq=False)
class GroupCosts:
    """Minutes, epochs and parameters of a group, by fold.

    Attributes:
        tasks: Task -> title.
        costs: Arm -> task -> cost of each fold.
        source: The source's; it is paid once for all folds.
        denoiser: Whether the baseline's models stand behind a denoiser, which costs what the source does.
    """

    tasks: dict[str, str]
    costs: dict[str, dict[str, list[TrainingCost]]]
    source: TrainingCost
    denoiser: bool

    def minutes(self, arm: str, task: str | None = None) -> np.ndarray:
        """(k,) minutes of one task, or of all."""
        tasks = [task] if task else list(self.costs[arm])
        seconds = [[c.seconds / 60 for c in self.costs[arm][name]] for name in tasks]
        total: np.ndarray = np.sum(seconds, axis=0)
        return total

    def epochs(self, arm: str, task: str) -> list[float]:
        """Epochs of each fold, to the one whose weights were kept."""
        return [c.history.best_epoch + 1.0 for c in self.costs[arm][task]]

    def trainable(self, arm: str, task: str | None = None) -> int:
        """Parameters of one task's head, or of all and, once, of an encoder that moves with them."""
        costs = self.costs[arm]
        if task:
            return costs[task][0].trainable
        heads = [folds[0] for folds in costs.values()]
        return sum(c.trainable for c in heads) + max(c.shared for c in heads)

    def shared(self, arm: str) -> int:
        """Parameters of the encoder that moves with the heads."""
        return max(folds[0].shared for folds in self.costs[arm].values())

    @property
    def source_minutes(self) -> float:
        """Minutes of the source."""
        return self.source.seconds / 60

    @property
    def totals(self) -> tuple[float, float]:
        """Mean minutes of a fold with the source or the denoiser: shared, and separate models."""
        shared, separate = (self.minutes(arm).mean() for arm in ("independent", "separate"))
        return shared + self.source_minutes, separate + self.source_minutes * self.denoiser

    def lines(self) -> dict[str, tuple[float, float]]:
        """Approach -> (fixed minutes, minutes of a further task)."""
        means = (float(self.minutes(arm).mean()) for arm in ("independent", "separate"))
        own, each = (mean / len(self.tasks) for mean in means)
        lines = {"Shared source and independent heads": (self.source_minutes, own)}
        if self.denoiser:
            lines["Separate models behind a denoiser"] = (self.source_minutes, each)
        return lines | {"Separate models alone": (0.0, each)}
