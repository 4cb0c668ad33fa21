"""The learning rate and the joint weights of each arm, which a pilot chose.

The pilot (:mod:`ums.experiments.pilot`) tries as many trials for each arm, on replicates that the study
does not have, and takes the one with the lowest validation loss. Its choices for the modalities of this
package stand in ``rates.csv``.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ums.experiments.arms import ARMS
from ums.experiments.names import CONTROL, INDEPENDENT, SINGLE, SINGLE_LONG
from ums.finetuning import Equal, Uncertainty, Weighting

WEIGHTINGS: dict[str, Callable[[], Weighting]] = {"equal": Equal, "uncertainty": Uncertainty}
FOLLOWS = {CONTROL: INDEPENDENT, SINGLE_LONG: SINGLE}
"""Arms that have the trial of another."""


class Trial(NamedTuple):
    """A learning rate, and the weights of a joint loss; other arms have none."""

    rate: float
    weights: str = ""

    def weighting(self) -> Weighting:
        """The weights of the joint loss."""
        return WEIGHTINGS[self.weights or "equal"]()


DEFAULT = Trial(1e-3)
"""For what no pilot has tried."""

ALONE = tuple(map(Trial, (3e-2, 1e-2, 3e-3, 1e-3, 3e-4)))
BY_ONE_LOSS = (
    *(Trial(rate, "uncertainty") for rate in (3e-2, 1e-2, 3e-3, 1e-3)),
    Trial(1e-2, "equal"),
)


def trials(arm: str) -> tuple[Trial, ...]:
    """What a pilot tries for an arm: as many for each."""
    return BY_ONE_LOSS if ARMS[arm].joint else ALONE


def chosen(modality: str, group: str, arm: str, task: str) -> Trial:
    """The pilot's choice for a task; tasks tuned together have the same."""
    return _table().get((modality, group, FOLLOWS.get(arm, arm), task), DEFAULT)


@cache
def _table() -> dict[tuple[str, ...], Trial]:
    path = Path(__file__).parent / "rates.csv"
    with open(path, newline="", encoding="utf-8") as file:
        return {
            (row["modality"], row["group"], row["arm"], row["task"]): Trial(
                float(row["rate"]), row["weights"]
            )
            for row in csv.DictReader(file)
        }
