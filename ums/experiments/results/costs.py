"""What training took: minutes, updates of the encoder and parameters, by replicate."""

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
    encoder_updates: int = 0


def cost_of(record: Record) -> TrainingCost:
    """From the record of a training."""
    history = History(**record["history"])
    numbers = (record["seconds"], record["trainable"], record["shared"])
    return TrainingCost(history, *numbers, record.get("encoder updates", 0))


@dataclass(frozen=True, eq=False)
class GroupCosts:
    """Minutes, updates of the encoder and parameters of a group, by replicate.

    Minutes are summed up by their median: that of a training which was suspended counts the pause.

    Attributes:
        tasks: Task -> title.
        costs: Arm -> task -> cost of each replicate.
        source: The source's, of each replicate.
        denoiser: Whether the baseline's models stand behind a denoiser, which costs what the source does.
    """

    tasks: dict[str, str]
    costs: dict[str, dict[str, list[TrainingCost]]]
    source: list[TrainingCost]
    denoiser: bool

    def minutes(self, arm: str, task: str | None = None) -> np.ndarray:
        """(R,) minutes of one task, or of all."""
        tasks = [task] if task else list(self.costs[arm])
        seconds = [[c.seconds / 60 for c in self.costs[arm][name]] for name in tasks]
        total: np.ndarray = np.sum(seconds, axis=0)
        return total

    def trainable(self, arm: str, task: str | None = None) -> int:
        """Parameters of one task's head, or of all and, once, of an encoder that moves with them."""
        costs = self.costs[arm]
        if task:
            return costs[task][0].trainable
        heads = [replicates[0] for replicates in costs.values()]
        return sum(c.trainable for c in heads) + max(c.shared for c in heads)

    def updates(self, arm: str) -> int:
        """How often an arm updates the encoder that a task ends with; the largest of its tasks."""
        return max(each[0].encoder_updates for each in self.costs[arm].values())

    @property
    def source_minutes(self) -> float:
        """Median minutes of the source; 0 where no arm needs one."""
        return float(np.median([cost.seconds for cost in self.source] or [0.0]) / 60)

    @property
    def time_left(self) -> tuple[float, float]:
        """Minutes of independent heads as a share of separate models': alone, and with the source.

        With the source, the denoiser counts as well, if the separate models stand behind one.
        """
        shared, separate = (
            float(np.median(self.minutes(arm))) for arm in ("independent", "separate")
        )
        source = self.source_minutes
        return shared / separate, (shared + source) / (separate + source * self.denoiser)

    def reached(self, arm: str, task: str, than: str) -> np.ndarray:
        """(R,) share of the training after which an arm's loss is as low as another's ever gets.

        It is infinite where it never gets there. Both losses are on the same validation images.
        """
        shares = []
        for ours, theirs in zip(self.costs[arm][task], self.costs[than][task], strict=True):
            losses = np.array(ours.history.validation)
            there = np.flatnonzero(losses <= min(theirs.history.validation))
            shares.append((there[0] + 1) / len(losses) if len(there) else np.inf)
        return np.array(shares)

    def lines(self) -> dict[str, tuple[float, float]]:
        """Approach -> (fixed minutes, minutes of a further task)."""
        totals = (float(np.median(self.minutes(arm))) for arm in ("independent", "separate"))
        own, each = (total / len(self.tasks) for total in totals)
        lines = {"Shared source and independent heads": (self.source_minutes, own)}
        if self.denoiser:
            lines["Separate models behind a denoiser"] = (self.source_minutes, each)
        return lines | {"Separate models alone": (0.0, each)}
