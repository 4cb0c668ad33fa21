"""The records of a study, read from disk; as columns for pandas with :func:`load`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ums.experiments.names import (
    HELD_OUT,
    LOGITS,
    ONE_ENCODER,
    OWN_EPOCH,
    SEGMENTATION,
    STUDY_FILE,
    TEST,
)
from ums.experiments.record_files import read_arrays, read_record
from ums.reading import read_verified

Record = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Records:
    """The records of one part of a study, and the folder that holds them."""

    folder: Path
    files: tuple[str, ...]
    records: tuple[Record, ...]

    def of(self, kind: str, group: str = "", arm: str = "") -> list[Record]:
        """The records of a kind of job, replicate by replicate."""
        wanted = {"kind": kind, "group": group, "arm": arm}
        found = [r for r in self.records if wanted.items() <= r["job"].items()]
        return sorted(found, key=lambda record: record["job"]["replicate"])

    def one(self, kind: str, group: str = "") -> Record:
        """The record of a kind of which there is one, or its first replicate's."""
        return self.of(kind, group)[0]

    @property
    def groups(self) -> list[str]:
        """The names of the groups of tasks."""
        return [
            record["job"]["group"] for record in self.records if record["job"]["kind"] == "cases"
        ]

    def arms(self, group: str) -> tuple[str, ...]:
        """The arms that a group was tuned by, in the order of their jobs."""
        jobs = [r["job"] for r in self.records if r["job"]["kind"] == "tune"]
        return tuple(dict.fromkeys(job["arm"] for job in jobs if job["group"] == group))

    def arrays(self, record: Record) -> dict[str, np.ndarray]:
        """The arrays beside a record, by name; there may be none.

        Raises:
            ValueError: Their file is missing, cannot be read or is another record's; names it.
        """
        return read_arrays(self.folder / self.files[self.records.index(record)], record)


@dataclass(frozen=True, eq=False)
class StudyRecords:
    """What a study left.

    Attributes:
        name: Of the study, such as "cxr".
        about: What was run: data, settings, device, versions.
        parts: Part of the study -> its records; the study itself is the part "".
    """

    name: str
    about: dict[str, Any]
    parts: dict[str, Records]


def read_study(folder: str | Path) -> StudyRecords:
    """Read ``study.json`` in a folder and all records it names.

    Raises:
        FileNotFoundError: There is no such file, or a record is missing: the study is not finished.
        ValueError: A file cannot be read or is not as it was written; the message names it.
    """
    path = Path(folder) / STUDY_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: {folder} holds no study")
    study = read_verified(path, "study", "about", "records", "jobs")
    place = Path(folder) / study["records"]
    names = dict.fromkeys(name for files in study["jobs"].values() for name in files)
    missing = [name for name in names if not (place / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"the study in {folder} is not finished: {len(missing)} of {len(names)} records are "
            f"missing in {place}, such as {missing[0]}; run it again to go on"
        )
    found = {name: read_record(place / name) for name in names}
    parts = {
        part: Records(place, tuple(files), tuple(found[name] for name in files))
        for part, files in study["jobs"].items()
    }
    return StudyRecords(study["study"], study["about"], parts)


def load(folder: str | Path) -> dict[str, dict[str, np.ndarray]]:
    """The numbers of all tuned networks of a study as columns, ready for ``pandas.DataFrame``.

    The source's own test, and the trials of a search, are not among them: see :func:`read_study`.

    Returns:
        Four tables, each a mapping from column names to arrays of one length. ``"cases"`` has a row for
        each test case of each network: its measures, if it is a mask, or its true label and logits.
        ``"epochs"`` has a row for each epoch of each training. ``"costs"`` has a row for each
        training. ``"heat maps"`` has a row for each image, network and method, with the measures of the
        map. Numbers that a row does not have are NaN.

    Raises:
        FileNotFoundError: As :func:`read_study`.
        ValueError: As :func:`read_study`.
    """
    tables: dict[str, list[Record]] = {"cases": [], "epochs": [], "costs": [], "heat maps": []}
    parts = read_study(folder).parts
    for part, records in parts.items():
        for record in records.records:
            job, trainings = record["job"], {}
            if job["kind"] in ("tune", "source"):
                trainings = record.get("tasks", {"source": record})
            own = ({"part": part} if len(parts) > 1 else {}) | job
            if maps := record.get("heat map", {}) if job["kind"] == "tune" else {}:
                columns = {"patient": records.one("cases", job["group"])["heat map"]["patients"]}
                for method, measures in maps.items():
                    rows = _rows(columns | _padded(measures, len(columns["patient"])))
                    tables["heat maps"] += [own | {"method": method} | row for row in rows]
            for task, trained in trainings.items():
                names = own | {"task": task}
                if "history" in trained:
                    cost = {name: trained[name] for name in ("seconds", "trainable", "shared")}
                    tables["costs"].append(names | cost)
                    tables["epochs"] += [names | row for row in _epochs(trained["history"])]
                if job["group"]:
                    cases = records.one("cases", job["group"])["tasks"][task]
                    tables["cases"] += [names | row for row in _cases(trained, cases)]
    return {name: _columns(rows) for name, rows in tables.items()}


def _epochs(history: Record) -> list[Record]:
    columns = {k: values for k, values in history.items() if isinstance(values, list) and values}
    return [{"epoch": i} | row for i, row in enumerate(_rows(columns), start=1)]


def _padded(columns: Record, length: int) -> Record:
    """Columns of the first images alone, with None for the others."""
    return {name: values + [None] * (length - len(values)) for name, values in columns.items()}


def _rows(columns: Record) -> list[Record]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _cases(trained: Record, cases: Record) -> Iterator[Record]:
    for epoch, where in product((OWN_EPOCH, ONE_ENCODER), (HELD_OUT, TEST)):
        scores = trained.get(epoch, {}).get(where)
        if scores is None:
            continue
        known = cases[where]
        for i, (name, patient) in enumerate(zip(known["id"], known["patient"], strict=True)):
            row = {"epoch kept": epoch, "tested on": where, "id": name, "patient": patient}
            if cases["kind"] == SEGMENTATION:
                yield row | {measure: values[i] for measure, values in scores.items()}
            else:
                logits = {f"logit {c}": z for c, z in enumerate(scores[LOGITS][i])}
                yield row | {"label": known["label"][i]} | logits


def _columns(rows: list[Record]) -> dict[str, np.ndarray]:
    names = dict.fromkeys(name for row in rows for name in row)
    cells = {name: [row.get(name) for row in rows] for name in names}
    return {
        k: np.array([np.nan if v is None else v for v in column]) for k, column in cells.items()
    }
