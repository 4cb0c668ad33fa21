"""The numbers printed in the UMS-Rep paper, to stand beside ours, and its claims.

Zamzmi, Rajaraman and Antani, "UMS-Rep: Unified modality-specific representation for efficient
medical image analysis", Informatics in Medicine Unlocked, 2021. Only numbers are quoted.

``paper_tables.csv`` holds Tables 2 to 10. Table 2 is denoising by noise level: five Gaussians, weakest
first, then Poisson. The IoU of Tables 3 and 7 stands under "Two-class IoU": it is printed above the
F-score, which the IoU of the lungs or of the envelope alone cannot be (IoU = F / (2 - F)). Tables 6 and
10 count no source. ``paper_claims.csv`` holds what Tables 3, 5, 7 and 9 claim; where a table has two
strategies equal there is no claim.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, NamedTuple


class Claim(NamedTuple):
    """One strategy scores above another on some tasks of a group, as ``source`` in the paper says."""

    group: str
    better: str
    worse: str
    tasks: tuple[str, ...]
    source: str


def table(number: int) -> dict[Any, dict[str, float]]:
    """One of Tables 3 to 10: (strategy, task), or the name of a row -> column -> number."""
    return {
        (row["row"], row["task"]) if row["task"] else row["row"]: _numbers(row)
        for row in _rows("paper_tables.csv")
        if row["table"] == str(number)
    }


def denoising() -> list[dict[str, float]]:
    """The rows of Table 2, by noise level."""
    return [_numbers(row) for row in _rows("paper_tables.csv") if row["table"] == "2"]


def claims(study: str) -> list[Claim]:
    """The claims about the chest X-ray ("cxr") or the Doppler echo ("echo")."""
    return [
        Claim(row["group"], row["better"], row["worse"], tuple(row["tasks"].split()), row["source"])
        for row in _rows("paper_claims.csv")
        if row["study"] == study
    ]


def _rows(name: str) -> list[dict[str, str]]:
    with open(Path(__file__).parent / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _numbers(row: dict[str, str]) -> dict[str, float]:
    numbers = {k: v for k, v in row.items() if v and k not in ("table", "row", "task")}
    return {k: int(v) if k == "Trainable parameters" else float(v) for k, v in numbers.items()}
