"""The project's own results: records of finished studies, reduced and compressed, one file for each study.

They hold what contrasts, claims and costs are computed from: the scores, or logits, of each test case, of
each task's network of its own best epoch, rounded. ``ums/experiments/RESULTS.md`` is written from them
(:mod:`ums.experiments.report.results`), and the page of a study shows them beside its own results.
"""

from __future__ import annotations

import json
import lzma
from pathlib import Path
from typing import Any

from ums.experiments.names import ONE_ENCODER
from ums.experiments.results.records import Record, Records, StudyRecords
from ums.files import write_whole
from ums.reading import DIGEST, digest_of, reading

FOLDER = Path(__file__).parent.parent / "published"
DIGITS = 3
"""Behind the point, of scores and logits."""

LEFT_OUT = {
    *("key", "arrays", "id", "names", "made by", DIGEST),
    *(ONE_ENCODER, "F-score", "Two-class IoU", "deletion", "insertion"),
    *("train", "learning_rate", "criterion", "weight", "cosines", "trials"),
}
"""What is not published of a record, wherever it stands."""

ONLY_MAIN = {"Accuracy", "HD95", "heat map", "derived", "held-out", "validation", "history"}
"""What is not published of the networks of a level of a factor."""


def publish(study: StudyRecords, path: Path) -> None:
    """Write the reduced records of a study.

    Raises:
        OSError: The file cannot be written; the message names it.
    """
    records: dict[str, Record] = {}
    jobs: dict[str, list[str]] = {}
    for part, of in study.parts.items():
        kept = [(f, r) for f, r in zip(of.files, of.records, strict=True) if _is_kept(r)]
        jobs[part] = [file for file, _ in kept]
        for file, record in kept:
            more = ONLY_MAIN if part and record["job"]["kind"] != "cases" else set()
            reduced = _reduced(record, LEFT_OUT | more)
            records.setdefault(file, reduced)  # of those in common, the main part's
    content = {"study": study.name, "about": study.about, "jobs": jobs, "records": records}
    content[DIGEST] = digest_of(content)
    lines = json.dumps(content, separators=(",", ":")).encode()
    path.parent.mkdir(exist_ok=True)
    write_whole(path, lzma.compress(lines, preset=9 | lzma.PRESET_EXTREME))


def published(name: str, folder: Path = FOLDER) -> StudyRecords | None:
    """Read what is published under a name; None if nothing is.

    Raises:
        ValueError: The file cannot be read or is not as it was written; the message names it.
    """
    path = folder / f"{name}.json.xz"
    if not path.is_file():
        return None
    with reading(path):
        content = json.loads(lzma.decompress(path.read_bytes()))
        if content.pop(DIGEST) != digest_of(content):
            raise ValueError("it is damaged or was changed: its digest does not match")
    records = content["records"]
    parts = {
        part: Records(path, tuple(files), tuple(records[file] for file in files))
        for part, files in content["jobs"].items()
    }
    return StudyRecords(content["study"], content["about"], parts)


def _is_kept(record: Record) -> bool:
    return bool(record["job"]["kind"] != "pictures")


def _reduced(value: Any, left_out: set[str]) -> Any:
    if isinstance(value, dict):
        return {k: _reduced(v, left_out) for k, v in value.items() if k not in left_out}
    if isinstance(value, list):
        return [_reduced(each, left_out) for each in value]
    return round(value, DIGITS) if isinstance(value, float) else value
