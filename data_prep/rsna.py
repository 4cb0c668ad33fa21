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
each film counts as a patient.
"""

import csv
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

from data_prep.listing import Item, Listing, image_files
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
    patients, about = _patients(raw)
    about["part"] = folder.name
    if folder.name == TEST or not labelled:
        items = [Item(p.stem, patients.get(p.stem, p.stem), p) for p in paths]
        if folder.name == TEST:
            problems.append((raw / TRAIN, "missing: listed are the test images, without labels"))
        else:
            about |= {"found": {"images": len(items)}}
            problems += compare("RSNA", about, raw)
        return Listing(raw, items, problems, about)
    boxes, targets, wrong = _read_labels(raw / LABELS)
    findings, others = _read_findings(raw / FINDINGS)
    items, problems = [], problems + wrong + others
    for path in paths:
        id_ = path.stem
        if id_ in targets and id_ in findings:
            labels = {"opacity": targets[id_], "finding": findings[id_]}
            items.append(
                Item(id_, patients.get(id_, id_), path, labels=labels, boxes=tuple(boxes[id_]))
            )
        else:
            table = LABELS if id_ not in targets else FINDINGS
            problems.append((path, f"no label: {table} has no (valid) row of it"))
    there = {path.stem for path in paths}
    problems += [
        (folder / f"{id_}.dcm", "labelled, but there is no such file")
        for id_ in sorted((targets.keys() | findings.keys()) - there)
    ]
    about["found"] = {"images": len(paths)} | {
        _SHORT[name]: sum(item.labels["finding"] == value for item in items)
        for value, name in enumerate(CLASSES)
    }
    problems += compare("RSNA", about, raw)
    return Listing(raw, items, problems, about)


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


def _read_labels(
    path: Path,
) -> tuple[dict[str, list[tuple]], dict[str, int], list[tuple[Path, str]]]:
    """Return boxes and target of each patientId, and the problems of rows without them."""
    boxes: dict[str, list[tuple]] = {}
    targets: dict[str, int] = {}
    problems: list[tuple[Path, str]] = []
    for number, row in _rows(path, ("patientId", "x", "y", "width", "height", "Target")):
        id_, target = row["patientId"], row["Target"]
        box = _box([row[name] for name in ("x", "y", "width", "height")])
        if target not in ("0", "1") or box is None or (target == "1") != bool(box):
            problems.append(
                (path, f"row {number}: neither Target 0 nor Target 1 with a box: {id_}")
            )
        elif targets.setdefault(id_, int(target)) != int(target):
            problems.append((path, f"row {number}: another Target than before: {id_}"))
        else:
            boxes.setdefault(id_, []).extend([box] if box else [])
    return boxes, targets, problems


def _box(texts: list[str]) -> tuple[float, ...] | None:
    """Return a box of four numbers, () for four empty texts, None for anything else."""
    if not any(texts):
        return ()
    try:
        box = tuple(map(float, texts))
    except (TypeError, ValueError):
        return None
    return box if all(map(math.isfinite, box)) and min(box) >= 0 and min(box[2:]) > 0 else None


def _read_findings(path: Path) -> tuple[dict[str, int], list[tuple[Path, str]]]:
    """Return the value of "finding" of each patientId, and the problems of rows without one."""
    findings: dict[str, int] = {}
    problems: list[tuple[Path, str]] = []
    for number, row in _rows(path, ("patientId", "class")):
        id_, name = row["patientId"], row["class"]
        if name not in CLASSES:
            problems.append((path, f"row {number}: no class {name!r}: {id_}"))
        elif findings.setdefault(id_, CLASSES.index(name)) != CLASSES.index(name):
            problems.append((path, f"row {number}: another class than before: {id_}"))
    return findings, problems


def _patients(raw: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Return the NIH's patient of each patientId, if RSNA's mapping is there, and a note of it."""
    path = raw / MAPPING
    if not path.is_file():
        return {}, {"patients": f"each image counts as a patient: no {MAPPING}"}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        patients = {e["subset_img_id"]: e["img_id"].split("_")[0] for e in entries}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is not RSNA's mapping to the NIH's names: {error!r}") from error
    return patients, {"patients": f"the NIH's, by {MAPPING}"}
