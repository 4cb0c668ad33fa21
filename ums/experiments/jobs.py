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
MODELS = "models"
PILOT, TRIAL, TRIAL_TEST = "pilot", "trial", "trial-test"


@dataclass(frozen=True)
class Job:
    """One job of a study.

    Attributes:
        kind: CASES records the images that a group of tasks is tested on, SOURCE trains the source,
            SOURCE_TEST tests it, TUNE tunes a group by one arm and tests it, and PICTURES keeps what
            the page shows of a group. MODELS writes the networks that are to be used. A pilot has
            PILOT, a search TRIAL and TRIAL_TEST.
        group: The name of the group of tasks; empty for the source.
        arm: The name of an arm, or of the trial's choice; otherwise empty.
        replicate: From 1; another replicate draws other images and other random numbers. Those of a
            pilot are -1, -2 and so on, and 0 is none.
        trial: The number of a pilot's trial, from 1; otherwise 0.
        seed: The seed of every random number.
    """

    kind: str
    group: str = ""
    arm: str = ""
    replicate: int = 0
    trial: int = 0
    seed: int = 0

    @property
    def name(self) -> str:
        """Unique in a study, and a file name."""
        pilot = "pilot" if self.replicate < 0 else "replicate"
        parts = (
            self.group,
            self.arm or self.kind,
            f"trial{self.trial}" if self.trial else "",
            f"{pilot}{abs(self.replicate)}" if self.replicate else "",
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
    return np.random.default_rng([seed, zlib.crc32(stream.encode()), replicate % 2**32])
