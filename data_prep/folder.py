"""Your own images, with masks of two or more values and a table of classes, numbers and 0/1 labels.

    images/NAME.png     PNG, JPEG or DICOM images, at any depth
    masks/NAME.png      masks of the size of their images; not for every image
    labels.csv          file, perhaps patient and split, and any other columns

"file" is the path of an image within images, with or without its ending. A column of 0 and 1 is a label,
one of other numbers holds numbers to be predicted, and one of texts the names of classes; an empty cell is
not known. The grey values of all masks, in ascending order, are the classes of their pixels. "split" is
train, validation or test. Without the column "patient" the rules in data_prep/patients.py determine the
patients; without labels.csv all images are taken. What was understood is printed and in about.json.
"""

import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.echo_folder import one_spelling
from data_prep.listing import Item, Listing, find_files, need_folders
from data_prep.names import Problem, pair_masks, unusable
from data_prep.tables import Row, read_table
from data_prep.unlabelled import list_unlabelled
from ums.backend import thread_count
from ums.data.decode import decode_grey, is_dicom
from ums.data.header import read_header
from ums.data.mask import MAX_LABELS
from ums.data.prepared import FIXED_COLUMNS, SPLITS

ABOUT = {"source": "a folder of your own", "licence": "see the owner of the images"}
MOST_CLASSES = 50
"""A column of more different texts, or of hardly a text twice, holds remarks and not names of classes."""


def list_folder(raw: str | Path, patient: str | None = None) -> Listing:
    """List the images under ``raw``, their masks and what labels.csv says of them.

    Names and sizes are compared; no image is decoded. What cannot be used is a problem of the listing.
    ``patient`` is as in :class:`data_prep.options.Options`, for tables without a column "patient".

    Raises:
        FileNotFoundError: There is no folder images.
        ValueError: It holds no image, the table cannot be read, or a patient is in two splits.
    """
    raw = Path(raw)
    need_folders(raw, "images")
    found = list_unlabelled(raw / "images", patient)
    about: dict[str, Any] = found.about | {"understood": {}}
    times = Counter(_stem(item.id) for item in found.items)
    items = [item for item in found.items if times[_stem(item.id)] == 1]
    why = "another image has the same stem: whose is a mask or a row of that name?"
    problems = found.problems + [(i.image, why) for i in found.items if times[_stem(i.id)] > 1]
    if (raw / "masks").exists():
        items = _with_masks(raw, items, about, problems)
    if (raw / "labels.csv").exists():
        items = _with_rows(raw / "labels.csv", items, about, problems)
    return Listing(raw, items, problems, about)


def _stem(name: str) -> str:
    return re.sub(r"\.(png|jpe?g|dcm|dicom|ima)$", "", name.casefold())


def _with_masks(raw: Path, items: list[Item], about: dict, problems: list[Problem]) -> list[Item]:
    masks, others = find_files(raw / "masks")
    images = [item.image for item in items]
    mask_of, unclear = pair_masks(
        images, masks, lambda path: _stem("/".join(path.relative_to(raw).parts[1:]))
    )
    problems += others + unclear
    with ThreadPoolExecutor(thread_count()) as pool:
        read = dict(zip(mask_of, pool.map(_grey_values, mask_of.items()), strict=True))
    for image, why in read.items():
        if isinstance(why, str):
            problems.append((mask_of.pop(image), f"{why}; its image is kept"))
    values = tuple(sorted(set().union(*(read[image] for image in mask_of))))
    classes = ", ".join(f"{grey}: {k}" for k, grey in enumerate(values))
    about["understood"]["masks"] = f"{len(mask_of)}, grey value and its class {classes}"
    about["mask_values"] = list(values)
    return [
        replace(item, masks=(mask_of[item.image],), values=values)
        if item.image in mask_of
        else item
        for item in items
    ]


def _grey_values(pair: tuple[Path, Path]) -> set[int] | str:
    """Return the grey values of an image's mask, or why it cannot be used."""
    image, mask = pair
    try:
        grey, sides = decode_grey(mask.read_bytes(), mask.name), _sides(image)
    except (OSError, ValueError) as error:
        return str(error).removeprefix(f"{mask.name}: ")
    values = set(np.unique(grey).tolist())
    if sides not in (None, grey.shape):
        return f"{grey.shape} pixels (height, width), its image {sides}"
    if len(values) > MAX_LABELS + 1:
        return f"{len(values)} grey values, should be {MAX_LABELS + 1} at most: saved with loss?"
    return values


def _sides(image: Path) -> tuple[int, int] | None:
    """Return height and width by an image's header; None if it is damaged, which reading will tell."""
    try:
        if is_dicom(data := image.read_bytes()):
            from ums.data.dicom import pydicom

            dataset = pydicom.dcmread(image, stop_before_pixels=True)
            return int(dataset.Rows), int(dataset.Columns)
        header = read_header(data)
        sides = header.height, header.width
        return sides if header.orientation < 5 else sides[::-1]
    except Exception:  # damaged bytes raise anything
        return None


def _with_rows(table: Path, items: list[Item], about: dict, problems: list[Problem]) -> list[Item]:
    rows, short = read_table(table, ["file"], ["patient", "split"])
    item_of = {name: item for item in items for name in (_stem(item.id), item.id.casefold())}
    has_split = any(row.get("split") for _, row in rows)
    kept: dict[str, Row] = {}
    named, split_of = set(), {}
    for number, row in rows:
        name = row["file"].replace("\\", "/").removeprefix("images/")
        patient, split = row.get("patient", "-"), row["split"] if has_split else ""
        item, why = item_of.get(name.casefold()), ""
        if item is None:
            why = f"no such image: {name}"
        elif item.id in named:
            why = f"{name} again"
        elif not patient or unusable(patient):
            why = f"patient is {patient!r}"
        elif has_split and split not in SPLITS:
            why = f"split is {split!r}, should be {', '.join(SPLITS)}"
        else:
            kept[item.id] = row
        named.add(item.id if item else "")
        if why:
            problems.append((item.image if item else table, f"row {number} of {table.name}: {why}"))
    problems += short + [(i.image, f"no row in {table.name}") for i in items if i.id not in named]
    columns = _columns([*kept.values()], about)
    items = [item for item in items if item.id in kept]
    for k, item in enumerate(items):
        row = kept[item.id]
        labels = {
            name: values[row[name]] for name, values in columns.items() if row[name] in values
        }
        split = row["split"] if has_split else ""
        items[k] = replace(
            item, patient=row.get("patient", item.patient), split=split, labels=labels
        )
    if rows and "patient" in rows[0][1]:
        items, note = one_spelling(items)
        about["patients"] = f"by the column patient of {table.name}{note}"
    for item in items:
        if (split := split_of.setdefault(item.patient, item.split)) != item.split:
            both = f"{split} and in {item.split}"
            raise ValueError(f"{table}: patient {item.patient!r} is in {both}, not in one split")
    return items


def _columns(rows: Sequence[Row], about: dict) -> dict[str, dict[str, int | float]]:
    """Return what the known texts of each column stand for, and record what was understood."""
    columns, about["label_values"] = {}, {}
    for name in rows[0] if rows else ():
        if name in ("file", "patient", "split"):
            continue
        known = Counter(row[name] for row in rows if row[name].lower() not in ("", "nan"))
        kind, values = _understood(known)
        if not name or name in FIXED_COLUMNS or unusable(name):
            kind, values = "left out: no column may have this name", {}
        elif kind == "classes":
            about["label_values"][name] = {str(k): text for text, k in values.items()}
        if kind == "numbers":
            kind += f" {min(values.values()):g} to {max(values.values()):g}"
        elif values:
            counts: Counter[str | float] = Counter()
            for text, value in sorted(values.items(), key=lambda pair: pair[1]):
                counts[text if kind == "classes" else value] += known[text]
            kind += " " + ", ".join(f"{shown}: {n}" for shown, n in counts.items())
        about["understood"][f"column {name}"] = f"{kind}; {len(rows) - known.total()} not known"
        columns |= {name: values} if values else {}
    return columns


def _understood(known: Counter[str]) -> tuple[str, dict[str, int | float]]:
    """Say what the texts of a column are, and what each of them stands for."""
    with suppress(ValueError):  # of float, of a text
        numbers = {text: float(text) for text in known}
        if {*numbers.values()} <= {0, 1}:
            return ("label" if known else "left out: empty"), {
                t: int(n) for t, n in numbers.items()
            }
        if np.isfinite([*numbers.values()]).all():
            return "numbers", dict(numbers)
    if len(known) > min(MOST_CLASSES, max(2, known.total() / 2)):
        return f"left out: {len(known)} different texts", {}
    return "classes", {text: k for k, text in enumerate(sorted(known))}
