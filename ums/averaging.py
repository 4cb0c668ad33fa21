"""The running average of a network's weights, a better network than that of the last step."""

from __future__ import annotations

import numpy as np

from ums.backend import Array
from ums.checkpoint import Snapshot, gather
from ums.checks import check_fraction
from ums.layers import Layer


class WeightAverage(Snapshot):
    """Exponential moving averages of a network's weights and running statistics.

    After step t = 1, 2, ... each becomes ``d average + (1 - d) value`` with d = min(decay, (1 + t) /
    (10 + t)), so that the random start is soon forgotten. (Polyak and Juditsky, "Acceleration of
    stochastic approximation by averaging", 1992, weight all steps alike.)

    Raises:
        ValueError: ``decay`` is not between 0 and 1.
    """

    def __init__(self, network: Layer, decay: float):
        check_fraction("decay", decay)
        super().__init__([network])
        self.decay, self.steps = decay, 0

    def update(self) -> None:
        """Take the network's present values into the averages, after a step."""
        self.steps += 1
        d = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, value in gather(self.networks).items():
            self.kept[name] += (1 - d) * (value - self.kept[name])

    def swap(self) -> None:
        """Exchange the network's values and the averages; a second time, all is as it was."""
        present = Snapshot(self.networks).kept
        self.restore()
        self.kept = present

    def state_dict(self) -> dict[str, Array]:
        return self.kept | {"steps": np.array(self.steps)}

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        self.steps = int(arrays["steps"])
        super().load_state_dict({name: a for name, a in arrays.items() if name != "steps"})
