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
films, which only the NIH's own names reveal: with RSNA's file
pneumonia-challenge-dataset-mappings_2018.json in the folder the patients are the NIH's; without it
each film counts as its own patient. Films that the mapping does not name are left out, as are those of
which two rows, of one table or of both, contradict each other, or of which a box cannot be used.
"""

import json
import math
import os
import re
from dataclasses import replace
from pathlib import Path

from data_prep.boxes import Box
from data_prep.listing import Item, Listing, image_files, need_folders
from data_prep.names import Problem, nfc
from data_prep.protocol import compare
from data_prep.tables import Row, read_table

OPACITY = "Lung Opacity"
CLASSES = ("Normal", "No Lung Opacity / Not Normal", OPACITY)
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
    found = {"images": len(paths)}
    items, about, unmapped = _with_patients(raw, [Item(nfc(p.stem), "", p) for p in paths])
    problems += unmapped
    about["part"] = folder.name
    if folder.name == TEST:
        problems.append((raw / TRAIN, "missing: listed are the test images, without labels"))
        return Listing(raw, items, problems, about)
    if labelled:
        items, wrong = _with_labels(raw, items, {nfc(path.stem) for path in paths})
        problems += wrong
        for value, name in enumerate(("normal", "not normal", "lung opacity")):
            found[name] = sum(item.labels["finding"] == value for item in items)
    about["found"] = found
    problems += compare("RSNA", about, raw)
    return Listing(raw, items, problems, about)


def _images_folder(raw: Path) -> Path:
    if (raw / TEST).is_dir() and not (raw / TRAIN).is_dir():
        return raw / TEST
    if (raw / f"{TRAIN}.zip").is_file() and not (raw / TRAIN).is_dir():
        raise FileNotFoundError(f"{raw} holds no folder {TRAIN}; unpack {TRAIN}.zip first")
    need_folders(raw, TRAIN)
    return raw / TRAIN


def _with_labels(raw: Path, items: list[Item], there: set[str]) -> tuple[list[Item], list[Problem]]:
    """Return the items whose rows in both tables agree; and the problems of films and rows.

    ``there`` holds the patientId of every file, also where the patient is not known.
    """
    boxes, problems = _read_boxes(raw / LABELS)
    classes, wrong = _read_classes(raw / FINDINGS)
    problems += wrong
    labelled = []
    for item in items:
        mine, named = boxes.get(item.id, {}), classes.get(item.id, {})
        if not mine or not named:
            table = FINDINGS if mine else LABELS
            problems.append((item.image, f"no label: {table} has no (valid) row of it"))
        elif None in mine:
            why = f"row {mine[None]} of {LABELS}: neither Target 0 nor Target 1 with a box"
            problems.append((item.image, why))
        elif len(named) > 1 or {bool(box) for box in mine} != {name == OPACITY for name in named}:
            said = [f"row {n} of {LABELS} says Target {int(bool(box))}" for box, n in mine.items()]
            said += [f"row {n} of {FINDINGS} {name!r}" for name, n in named.items()]
            problems.append((item.image, ", ".join(said)))
        else:
            finding = CLASSES.index(*named)
            drawn = tuple(box for box in mine if box)
            labels = {"opacity": int(bool(drawn)), "finding": finding}
            labelled.append(replace(item, labels=labels, boxes=drawn))
    for id_ in sorted((boxes.keys() | classes.keys()) - there):
        table = LABELS if id_ in boxes else FINDINGS
        problems.append((raw / table, f"there is no image {id_!r}"))
    return labelled, problems


def _read_boxes(path: Path) -> tuple[dict[str, dict[Box | tuple[()] | None, int]], list[Problem]]:
    """Return for each patientId what :func:`_box` gives, with the row; and rows that repeat another."""
    rows, problems = read_table(path, ("patientId", "x", "y", "width", "height", "Target"))
    boxes: dict[str, dict[Box | tuple[()] | None, int]] = {}
    for number, row in rows:
        id_, box = row["patientId"], _box(row)
        same = boxes.setdefault(id_, {}).setdefault(box, number)
        if box is not None and same != number:
            problems.append((path, f"row {number}: the same as row {same}: {id_}"))
    return boxes, problems


def _box(row: Row) -> Box | tuple[()] | None:
    """Return the box of a row with Target 1, () with Target 0 and none, None for anything else."""
    texts = [row[name] for name in ("x", "y", "width", "height")]
    try:
        target = float(row["Target"])
        if target == 0 and {text.lower() for text in texts} <= {"", "nan"}:
            return ()
        x, y, width, height = map(float, texts)
    except ValueError:
        return None
    box = x, y, width, height
    is_box = all(map(math.isfinite, box)) and min(box) >= 0 and min(box[2:]) > 0
    return box if target == 1 and is_box else None


def _read_classes(path: Path) -> tuple[dict[str, dict[str, int]], list[Problem]]:
    """Return for each patientId its classes with their first rows; and the problems of other rows.

    A row is repeated for each box, so equal ones are no problem.
    """
    rows, problems = read_table(path, ("patientId", "class"))
    classes: dict[str, dict[str, int]] = {}
    spelt = {_plain(name): name for name in CLASSES}
    for number, row in rows:
        if name := spelt.get(_plain(row["class"])):
            classes.setdefault(row["patientId"], {}).setdefault(name, number)
        else:
            why = f"row {number}: no class {row['class']!r}: {row['patientId']}"
            problems.append((path, why))
    return classes, problems


def _plain(name: str) -> str:
    """Return the name of a class without case and blanks."""
    return "".join(name.casefold().split())


def _with_patients(
    raw: Path, items: list[Item]
) -> tuple[list[Item], dict[str, str], list[Problem]]:
    """Name the NIH's patient of each item, if RSNA's mapping is there.

    Returns:
        The items; a note of how the patients were determined; and the images that the mapping does not
        name: they may show anyone, even a patient on the other side of the split.
    """
    path = raw / MAPPING
    if not os.path.lexists(path):
        note = {"patients": f"each image counts as its own patient: no {MAPPING}"}
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
    films: dict[str, str] = {}
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
            if patients.setdefault(id_, nih[1]) != nih[1]:
                raise ValueError(f"{id_!r} twice, of {patients[id_]} and of {nih[1]}")
            if films.setdefault(nih[0], id_) != id_:
                raise ValueError(f"{nih[0]} twice, as {films[nih[0]]!r} and as {id_!r}")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        why = repr(error) if isinstance(error, KeyError) else f"{error}"
        raise ValueError(f"{path} is not RSNA's mapping to the NIH's names: {why}") from error
    return patients
