"""The RSNA pneumonia challenge's chest X-rays: 26,684 labelled films of adults, as DICOM.

G. Shih et al., "Augmenting the National Institutes of Health chest radiograph dataset with expert
annotations of possible pneumonia", Radiology: Artificial Intelligence 1 (2019) e180041. As Kaggle
publishes stage 2 of the challenge:

    stage_2_train_images/PATIENTID.dcm       1024 x 1024, 8 bits, JPEG inside
    stage_2_train_labels.csv                 patientId,x,y,width,height,Target; a row for each box
    stage_2_detailed_class_info.csv          patientId,class; likewise
    stage_2_test_images/                     3,000 more, whose labels are not published

UMS-Rep, section 3.1, trains its source on the 26,684, split by patient 70, 20 and 10 %. We do the same
and leave the test images aside. The published patientId is one per film. A patient can have several
films, which only the NIH's own names tell: with RSNA's file
pneumonia-challenge-dataset-mappings_2018.json in the folder the patients are the NIH's; without it
each film counts as a patient. Films that the mapping does not name are left out, as are those whose two
tables contradict each other.
"""

import csv
import json
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from data_prep.boxes import Box
from data_prep.listing import Item, Listing, image_files
from data_prep.names import Problem, composed, distinct
from data_prep.protocol import compare

CLASSES = ("Normal", "No Lung Opacity / Not Normal", "Lung Opacity")
"""The values 0, 1 and 2 of the label "finding", as the class table names them."""

ABOUT = {
    "name": "RSNA",
    "source": "RSNA Pneumonia Detection Challenge (2018), from the NIH's chest X-rays",
    "licence": "on Kaggle under the challenge's rules, for non-commercial use; RSNA's own page asks for "
    "attribution only; cite G. Shih et al., Radiology: Artificial Intelligence 1 (2019) e180041, and "
    "X. Wang et al., CVPR 2017",
    "label_values": {
        "finding": {str(value): name for value, name in enumerate(CLASSES)},
        "opacity": {"0": "no opacity", "1": "opacity"},
    },
    "opacities": "the radiologists' boxes, filled: coarser than the opacities in them",
}
TRAIN, TEST = "stage_2_train_images", "stage_2_test_images"
LABELS, FINDINGS = "stage_2_train_labels.csv", "stage_2_detailed_class_info.csv"
MAPPING = "pneumonia-challenge-dataset-mappings_2018.json"
_SHORT = {"Normal": "normal", CLASSES[1]: "not normal", "Lung Opacity": "lung opacity"}


class _Row(NamedTuple):
    """A row of the labels: its number, and its box or ()."""

    number: int
    box: Box | tuple[()]


def has_rsna(raw: Path) -> bool:
    """Tell whether ``raw`` holds the labelled images."""
    return (Path(raw) / TRAIN).is_dir()


def list_rsna(raw: str | Path, labelled: bool = True) -> Listing:
    """List the images under ``raw``, Kaggle's folder of the challenge.

    The labels are "opacity" (Target of the challenge) and "finding" (``CLASSES``), the boxes those of
    the radiologists. If only the test images are there, they are listed, without labels.

    Args:
        raw: The folder.
        labelled: Whether to read the tables; without them there are no labels.

    Raises:
        FileNotFoundError: Images or tables are missing.
        ValueError: A table has other columns, or there is no image.
    """
    raw = Path(raw)
    folder = _images_folder(raw)
    paths, problems = image_files(folder, (".dcm",))
    if not paths:
        raise ValueError(f"{folder} holds no .dcm image")
    paths, alike = distinct(paths, raw)
    found = {"images": len(paths)}
    items, about, unmapped = _with_patients(raw, [Item(composed(p.stem), "", p) for p in paths])
    problems += alike + unmapped
    about["part"] = folder.name
    if folder.name == TEST:
        problems.append((raw / TRAIN, "missing: listed are the test images, without labels"))
        return Listing(raw, items, problems, about)
    if labelled:
        items, wrong = _with_labels(raw, items, {composed(path.stem) for path in paths})
        problems += wrong
        for value, name in enumerate(CLASSES):
            found[_SHORT[name]] = sum(item.labels["finding"] == value for item in items)
    about["found"] = found
    problems += compare("RSNA", about, raw)
    return Listing(raw, items, problems, about)


def _with_labels(raw: Path, items: list[Item], there: set[str]) -> tuple[list[Item], list[Problem]]:
    """Return the items that both tables label alike; and the problems of the others and of rows.

    ``there`` holds the patientId of all files, those of no known patient too.
    """
    rows, problems = _read_labels(raw / LABELS)
    findings, wrong = _read_findings(raw / FINDINGS)
    problems += wrong
    labelled = []
    for item in items:
        mine, (finding, at) = rows.get(item.id, []), findings.get(item.id, (-1, 0))
        opacity = int(bool(mine and mine[0].box))
        if not mine or finding < 0:
            table = FINDINGS if mine else LABELS
            problems.append((item.image, f"no label: {table} has no (valid) row of it"))
        elif opacity != (finding == CLASSES.index("Lung Opacity")):
            why = f"row {mine[0].number} of {LABELS} says Target {opacity}, row {at} of {FINDINGS}"
            problems.append((item.image, f"{why} {CLASSES[finding]!r}"))
        else:
            boxes = tuple(row.box for row in mine if row.box)
            at_rows = tuple(f"row {row.number} of {LABELS}" for row in mine if row.box)
            labels = {"opacity": opacity, "finding": finding}
            labelled.append(replace(item, labels=labels, boxes=boxes, rows=at_rows))
    problems += [
        (raw / TRAIN / f"{id_}.dcm", "labelled, but there is no such file")
        for id_ in sorted((rows.keys() | findings.keys()) - there)
    ]
    return labelled, problems


def _images_folder(raw: Path) -> Path:
    if not raw.is_dir():
        raise FileNotFoundError(f"no folder {raw}")
    for name in (TRAIN, TEST):
        if (raw / name).is_dir():
            return raw / name
    hint = ""
    if (raw / f"{TRAIN}.zip").is_file():
        hint = f"; unpack {TRAIN}.zip first"
    near = [raw.parent / TRAIN, *raw.glob(f"*/{TRAIN}")]
    for folder in [path.parent for path in near if path.is_dir()][:1]:
        hint = f"; did you mean {folder}?"
    raise FileNotFoundError(f"{raw} holds no folder {TRAIN}{hint}")


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the rows of a table with their numbers; a missing column is a ``ValueError``."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if missing := set(columns) - set(reader.fieldnames or ()):
                found = ", ".join(reader.fieldnames or ["nothing"])
                raise ValueError(f"{path} lacks the column {min(missing)}; it has {found}")
            yield from enumerate(reader, start=2)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not readable as CSV: {error}") from error


def _checked_rows(
    path: Path, columns: Sequence[str], problems: list[Problem]
) -> Iterator[tuple[int, str, list[str]]]:
    """Yield number, patientId and other columns of the rows whose patientId can be a file's name."""
    for number, row in _rows(path, ("patientId", *columns)):
        id_ = composed(row["patientId"] or "")
        if re.fullmatch(r"[\w-][\w.-]*", id_):  # no way out of the folder
            yield number, id_, [row[name] or "" for name in columns]
        else:
            problems.append((path, f"row {number}: patientId {id_!r} is no name of a file"))


def _read_labels(path: Path) -> tuple[dict[str, list[_Row]], list[Problem]]:
    """Return the rows of each patientId, all of one Target; and the problems of other rows."""
    rows: dict[str, list[_Row]] = {}
    problems: list[Problem] = []
    columns = ("Target", "x", "y", "width", "height")
    for number, id_, (target, *texts) in _checked_rows(path, columns, problems):
        box, before = _box(texts), rows.get(id_, [])
        if target not in ("0", "1") or box is None or (target == "1") != bool(box):
            problems.append(
                (path, f"row {number}: neither Target 0 nor Target 1 with a box: {id_}")
            )
        elif before and bool(before[0].box) != bool(box):
            problems.append((path, f"row {number}: another Target than before: {id_}"))
        elif same := [row.number for row in before if row.box == box]:
            problems.append((path, f"row {number}: the same as row {same[0]}: {id_}"))
        else:
            rows.setdefault(id_, []).append(_Row(number, box))
    return rows, problems


def _box(texts: list[str]) -> Box | tuple[()] | None:
    """Return a box of four numbers, () for four empty texts, None for anything else."""
    if not any(texts):
        return ()
    try:
        x, y, width, height = map(float, texts)
    except ValueError:
        return None
    box = x, y, width, height
    return box if all(map(math.isfinite, box)) and min(box) >= 0 and min(box[2:]) > 0 else None


def _read_findings(path: Path) -> tuple[dict[str, tuple[int, int]], list[Problem]]:
    """Return the value of "finding" of each patientId and its row; and the problems of other rows.

    A row is repeated for each box, so equal ones are no problem.
    """
    findings: dict[str, tuple[int, int]] = {}
    problems: list[Problem] = []
    for number, id_, (name,) in _checked_rows(path, ("class",), problems):
        if name not in CLASSES:
            problems.append((path, f"row {number}: no class {name!r}: {id_}"))
        elif findings.setdefault(id_, (CLASSES.index(name), number))[0] != CLASSES.index(name):
            problems.append((path, f"row {number}: another class than before: {id_}"))
    return findings, problems


def _with_patients(
    raw: Path, items: list[Item]
) -> tuple[list[Item], dict[str, str], list[Problem]]:
    """Name the NIH's patient of each item, if RSNA's mapping is there.

    Returns:
        The items; a note of whose the patients are; and the images that the mapping does not name: they
        may show anyone, also somebody on the other side of the split.
    """
    path = raw / MAPPING
    if not os.path.lexists(path):
        note = {"patients": f"each image counts as a patient: no {MAPPING}"}
        return [replace(item, patient=item.id) for item in items], note, []
    patients = _read_mapping(path)
    named = [replace(item, patient=patients[item.id]) for item in items if item.id in patients]
    if not named:
        raise ValueError(f"{path} names none of the {len(items)} images in {items[0].image.parent}")
    why = f"no patient: {MAPPING} does not name it"
    problems = [(item.image, why) for item in items if item.id not in patients]
    return named, {"patients": f"the NIH's, by {MAPPING}"}, problems


def _read_mapping(path: Path) -> dict[str, str]:
    """Return the NIH's patient of each patientId."""
    patients: dict[str, str] = {}
    if not path.is_file():
        raise FileNotFoundError(f"{path} is no file")
    try:
        entries = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(entries, list):
            raise ValueError(f"a {type(entries).__name__}, should be a list")
        for entry in entries:
            id_, nih = entry["subset_img_id"], re.fullmatch(r"(\d{8})_\d{3}\.png", entry["img_id"])
            if not nih:
                raise ValueError(f"img_id {entry['img_id']!r}, should be like 00000001_000.png")
            if id_ in patients:
                raise ValueError(f"{id_!r} twice, of {patients[id_]} and of {nih[1]}")
            patients[id_] = nih[1]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        why = repr(error) if isinstance(error, KeyError) else f"{error}"
        raise ValueError(f"{path} is not RSNA's mapping to the NIH's names: {why}") from error
    return patients
