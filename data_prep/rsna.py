"""The RSNA pneumonia challenge's chest X-rays: 26,684 labelled films of adults, as DICOM.

G. Shih et al., "Augmenting the National Institutes of Health chest radiograph dataset with expert
annotations of possible pneumonia", Radiology: Artificial Intelligence 1 (2019) e180041. As Kaggle
publishes stage 2 of the challenge:

    stage_2_train_images/PATIENTID.dcm       1024 x 1024, 8 bits, JPEG inside
    stage_2_train_labels.csv                 patientId,x,y,width,height,Target; a row for each box
    stage_2_detailed_class_info.csv          patientId,class; likewise
    stage_2_test_images/                     3,000 more, whose labels are not published

UMS-Rep, section 3.1, learns its source from the 26,684, split by patient 70, 20 and 10 %; so do we,
and leave the test images aside. The published patientId is one per film. Films of one patient, who
can have several, are known only from the NIH's own names: with RSNA's file
pneumonia-challenge-dataset-mappings_2018.json in the folder, patients are the NIH's, without it
each film is taken for a patient.
"""

import csv
import json
import math
from pathlib import Path

from data_prep.collect import Item, Listing, image_files
from data_prep.protocol import compare

CLASSES = ("Normal", "No Lung Opacity / Not Normal", "Lung Opacity")
"""The values 0, 1 and 2 of the label "finding", by their names in the class table."""

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


def has_rsna(raw):
    """Whether `raw` is a folder as `list_rsna` wants it, with the labelled images."""
    return (Path(raw) / TRAIN).is_dir()


def list_rsna(raw, labelled=True):
    """List the images under `raw`, Kaggle's folder of the challenge; no image is read.

    Labels are "opacity" (the challenge's Target) and "finding" (`CLASSES`), boxes those of the
    radiologists. With `labelled` false the tables are left alone. Where only the test images are
    there, those are listed, without labels.

    Raises `FileNotFoundError` where images or tables are missing, `ValueError` where a table has
    other columns or there is no image.
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


def _images_folder(raw):
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


def _rows(path, columns):
    """Yield (row number, {column: text}) of a table; raise where it lacks one of `columns`."""
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


def _read_labels(path):
    """Boxes and target by patientId, and (path, why) of rows that are no such thing."""
    boxes, targets, problems = {}, {}, []
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


def _box(texts):
    """Four numbers as a box, () for four empty ones, None for anything else."""
    if not any(texts):
        return ()
    try:
        box = tuple(map(float, texts))
    except (TypeError, ValueError):
        return None
    return box if all(map(math.isfinite, box)) and min(box) >= 0 and min(box[2:]) > 0 else None


def _read_findings(path):
    """The value of "finding" by patientId, and (path, why) of rows that have none."""
    findings, problems = {}, []
    for number, row in _rows(path, ("patientId", "class")):
        id_, name = row["patientId"], row["class"]
        if name not in CLASSES:
            problems.append((path, f"row {number}: no class {name!r}: {id_}"))
        elif findings.setdefault(id_, CLASSES.index(name)) != CLASSES.index(name):
            problems.append((path, f"row {number}: another class than before: {id_}"))
    return findings, problems


def _patients(raw):
    """The NIH's patient by patientId where RSNA's mapping is there, and what to say about it."""
    path = raw / MAPPING
    if not path.is_file():
        return {}, {"patients": f"each image is taken for a patient: no {MAPPING}"}
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        patients = {e["subset_img_id"]: e["img_id"].split("_")[0] for e in entries}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is not RSNA's mapping to the NIH's names: {error!r}") from error
    return patients, {"patients": f"the NIH's, by {MAPPING}"}
