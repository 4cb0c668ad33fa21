"""A job is a pure function of the data and the settings; a study is a list of jobs.

A job has a name, which says what it is, and a key, which holds everything that its result depends on.
It leaves its weights, if it trains any, and a record of numbers (:mod:`ums.experiments.store`).
"""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

CASES, SOURCE, SOURCE_TEST, TUNE, PICTURES = "cases", "source", "source-test", "tune", "pictures"
TRIAL, TRIAL_TEST = "trial", "trial-test"


@dataclass(frozen=True)
class Job:
    """One job of a study.

    Attributes:
        kind: CASES records the images of a group of tasks and their folds, SOURCE trains the source,
            SOURCE_TEST tests it, TUNE tunes a group on one fold by one arm and tests it, and PICTURES
            keeps what the page shows of a group. A search has TRIAL and TRIAL_TEST.
        group: The name of the group of tasks; empty for the source.
        arm: A strategy, the baseline or the control, or the trial's choice; otherwise empty.
        fold: From 1; 0 unless the job tunes.
        replicate: From 0; another replicate draws other random numbers.
        seed: The seed of every random number.
    """

    kind: str
    group: str = ""
    arm: str = ""
    fold: int = 0
    replicate: int = 0
    seed: int = 0

    @property
    def name(self) -> str:
        """Unique in a study, and a file name."""
        fold = f"fold{self.fold}" if self.fold else ""
        parts = (
            self.group,
            fold,
            self.arm or self.kind,
            f"replicate{self.replicate}",
            f"seed{self.seed}",
        )
        return "-".join(filter(None, parts))

    def to_dict(self) -> dict[str, Any]:
        """Its fields, for its record."""
        return asdict(self)

    def generator(self, stream: str) -> np.random.Generator:
        """A generator of the job's seed and replicate.

        Args:
            stream: What is drawn; different streams are independent.
        """
        return generator(self.seed, stream, self.replicate)


def generator(seed: int, stream: str, replicate: int = 0) -> np.random.Generator:
    """The random generator of one purpose, whatever else was drawn before in the same process."""
    return np.random.default_rng([seed, zlib.crc32(stream.encode()), replicate])
