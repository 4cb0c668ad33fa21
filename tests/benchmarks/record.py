"""What the benchmark has measured: a line of JSON for each case, written as soon as it is known."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path

from cases import Case

TORCH = {"torch": "PyTorch", "torch channels_last": "channels_last"}
"""PyTorch in eager mode, by the layout of its tensors; and its name in tables."""
PEERS = {
    "compiled": "torch.compile",
    "tensorflow": "Keras on TensorFlow",
    "xla": "TensorFlow, XLA",
    "jax": "Keras on JAX",
}
"""Others that do the networks."""
RIVALS = TORCH | PEERS


@dataclass
class Result:
    """A case's times in seconds and peak memory in MiB, by contestant.

    ``before_mib`` is what of the memory was there before the case.
    """

    case: Case
    times: dict[str, list[float]] = field(default_factory=dict)
    peak_mib: dict[str, float] = field(default_factory=dict)
    before_mib: dict[str, float] = field(default_factory=dict)

    def median(self, contestant: str) -> float:
        return statistics.median(self.times[contestant])

    @property
    def rival(self) -> str:
        """The faster form of PyTorch in eager mode."""
        return min((t for t in TORCH if t in self.times), key=self.median)

    @property
    def best(self) -> str:
        """The fastest of all that are not ums."""
        return min((c for c in RIVALS if c in self.times), key=self.median)

    def ratio(self, contestant: str = "ums", to: str | None = None) -> tuple[float, float, float]:
        """Of the medians; and the least and the greatest of the turns."""
        to = to or self.rival
        turns = [a / b for a, b in zip(self.times[contestant], self.times[to], strict=True)]
        return self.median(contestant) / self.median(to), min(turns), max(turns)

    def to_dict(self) -> dict:
        """As JSON can hold it."""
        memory = {"peak_mib": self.peak_mib, "before_mib": self.before_mib}
        return {"case": self.case.to_dict(), "times": self.times} | memory

    @classmethod
    def from_dict(cls, stored: dict) -> Result:
        return cls(**stored | {"case": Case(**stored["case"])})


class Record:
    """The file ``bench.jsonl`` in a folder: facts about the machine, and results by table."""

    def __init__(self, folder: Path):
        self.path = folder / "bench.jsonl"
        self.about: dict[str, str | float] = {}
        self.results: dict[str, list[Result]] = {}
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        for line in lines:
            try:
                stored = json.loads(line)
            except json.JSONDecodeError:
                continue  # it is empty or was cut off
            self._take(stored)

    def _take(self, stored: dict) -> None:
        self.about |= stored.get("about", {})
        if name := stored.pop("table", ""):
            self.results.setdefault(name, []).append(Result.from_dict(stored))

    def _write(self, line: dict) -> None:
        """On a line of its own, even if the one before was cut off."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(line))

    def tell(self, about: dict[str, str | float]) -> None:
        """Write facts, of which the last of a name holds."""
        self._write({"about": about})
        self.about |= about

    def add(self, table: str, result: Result) -> None:
        """Write a result."""
        self._write({"table": table} | result.to_dict())
        self.results.setdefault(table, []).append(result)

    def holds(self, table: str, case: Case) -> bool:
        """Whether the case has been measured."""
        return any(result.case == case for result in self.results.get(table, []))
