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
from data_prep.tables import Row, match_rows, read_table
from data_prep.unlabelled import list_unlabelled
from ums.backend import thread_count
from ums.data.decode import decode_grey
from ums.data.header import JPEG, read_header
from ums.data.mask import MAX_LABELS
from ums.data.prepared import FIXED_COLUMNS, SPLITS

ABOUT = {"source": "a folder of your own", "licence": "see the owner of the images"}
MOST_CLASSES = 50
"""A column of more different texts, or of hardly a text twice, holds remarks and not names of classes."""

NOT_KNOWN = ("", "nan", "na", "n/a", "#n/a")
LOGICAL = {"false": 0.0, "true": 1.0}
"""How spreadsheets, pandas and R write a cell that is empty, and a label of 0 or 1; in lower case."""


def list_folder(raw: str | Path, patient: str | None = None) -> Listing:
    """List the images under ``raw``, their masks and what labels.csv says of them.

    Names and sizes are compared; no image is decoded. What cannot be used is a problem of the listing.
    ``patient`` is as in :class:`data_prep.options.Options`, for tables without a column "patient".

    Raises:
        FileNotFoundError: There is no folder images.
        ValueError: It holds no image, no mask can be used, the table cannot be read, or a patient is in
            two splits.
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
    else:
        beside = ", ".join(sorted(path.name for path in raw.iterdir() if path.is_file()))
        about["understood"]["labels"] = f"none: no labels.csv{beside and f' but {beside}'}"
    return Listing(raw, items, problems, about)


def _stem(name: str) -> str:
    return re.sub(r"\.(png|jpe?g|dcm|dicom|ima)$", "", name.casefold())


def _with_masks(raw: Path, items: list[Item], about: dict, problems: list[Problem]) -> list[Item]:
    """Give the images their masks, and these the grey values that all masks have together."""
    masks, others = find_files(raw / "masks")
    mask_of, unclear = pair_masks(
        [item.image for item in items],
        masks,
        lambda path: _stem("/".join(path.relative_to(raw).parts[1:])),
    )
    problems += others + unclear
    with ThreadPoolExecutor(thread_count()) as pool:
        read = dict(zip(mask_of, pool.map(_grey_values, mask_of.items()), strict=True))
    for image, found in read.items():
        if isinstance(found, str):
            problems.append((mask_of.pop(image), f"{found}; its image is kept"))
    if masks and not mask_of:
        path, why = next((p for p in problems if p[0] in masks), (masks[0], "of no image"))
        raise ValueError(
            f"{path.parent}: none of {len(masks)} masks can be used; {path.name}: {why}"
        )
    values, about["understood"]["masks"] = _classes([read[image] for image in mask_of], raw)
    about |= {"mask_values": list(values)} if values else {}
    return [
        replace(i, masks=(mask_of[i.image],), values=values) if i.image in mask_of else i
        for i in items
    ]


def _classes(masks: list[dict[int, float]], raw: Path) -> tuple[tuple[int, ...], str]:
    """The grey values of all masks, of which each has a share of the pixels; and what they mean."""
    values = tuple(sorted(set().union(*masks)))
    if not masks:
        return (), "none"
    if len(values) == 1:
        raise ValueError(f"{raw / 'masks'}: every pixel of all {len(masks)} masks is {values[0]}")
    shares = [sum(mask.get(grey, 0) for mask in masks) / len(masks) for grey in values]
    each = zip(values, range(len(values)), shares, strict=True)
    told = ", ".join(f"{grey}: {k} ({share:.1%})" for grey, k, share in each)
    text = f"{len(masks)}, grey value, its class and share {told}"
    if len(values) > 2 and max(map(len, masks)) == 2:
        text += "; no mask has more than two of them: were they all saved alike?"
    return values, text


def _grey_values(pair: tuple[Path, Path]) -> dict[int, float] | str:
    """Return each grey value of an image's mask with its share, or why the mask cannot be used."""
    image, mask = pair
    try:
        data = mask.read_bytes()
        grey = decode_grey(data, mask.name)
        sides = grey.shape
        with suppress(ValueError):  # of a DICOM or damaged image, which reading will tell
            header = read_header(image.read_bytes())
            sides = (header.height, header.width)[:: 1 if header.orientation < 5 else -1]
    except (OSError, ValueError) as error:
        return str(error).removeprefix(f"{mask.name}: ")
    if sides != grey.shape:
        return f"{grey.shape} pixels (height, width), its image {sides}"
    values, counts = np.unique(grey, return_counts=True)
    most = 2 if data.startswith(JPEG) else MAX_LABELS + 1
    if len(values) > most:
        return f"{len(values)} grey values, should be {most} at most: saved with loss, not as PNG?"
    return dict(zip(values.tolist(), (counts / grey.size).tolist(), strict=True))


def _with_rows(table: Path, items: list[Item], about: dict, problems: list[Problem]) -> list[Item]:
    """Return the images that have a row, with what it says."""
    rows, short = read_table(table, ["file"], ["patient", "split"])
    path_of = {
        folder + name: i.image
        for i in items
        for name in (_stem(i.id), i.id.casefold())
        for folder in ("", "images/")
    }
    for _, row in rows:
        if split := row.get("split", "").lower():
            row["split"] = "validation" if split == "val" else split
    splits = SPLITS if any(row.get("split") for _, row in rows) else ("",)

    def complaint(row: Row) -> str | None:
        if not row.get("patient", "-") or unusable(row.get("patient", "-")):
            return f"patient is {row['patient']!r}"
        wrong = row.get("split", "") not in splits
        return f"split is {row['split']!r}, should be {', '.join(splits)}" if wrong else None

    row_of, wrong = match_rows(table, rows, path_of, complaint)
    problems += short + wrong
    columns, split_of = _columns([*row_of.values()], about), {}
    items = [item for item in items if item.image in row_of]
    for k, item in enumerate(items):
        row = row_of[item.image]
        labels = {name: of[row[name]] for name, of in columns.items() if row[name] in of}
        own = {name: row[name] for name in ("patient", "split") if name in row}
        items[k] = replace(item, labels=labels, **own)
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
    for name in set(rows[0]) - {"file", "patient", "split"} if rows else ():
        known = Counter(row[name] for row in rows if row[name].lower() not in NOT_KNOWN)
        kind, values = _understood(known)
        if not name or name in FIXED_COLUMNS or unusable(name):
            kind, values = "left out: no column may have this name", {}
        elif kind == "classes":
            about["label_values"][name] = {str(k): text for text, k in values.items()}
            kind += " " + ", ".join(f"{text}: {known[text]}" for text in values)
            kind += ", some alike but for case" * (len({*map(str.casefold, values)}) < len(values))
        elif kind == "numbers":
            kind += f" {min(values.values()):g} to {max(values.values()):g}"
        elif values:
            kind += f", 1 in {sum(n for t, n in known.items() if values[t])} of {known.total()}"
        about["understood"][f"column {name}"] = f"{kind}; {len(rows) - known.total()} not known"
        columns |= {name: values} if values else {}
    return columns


def _understood(known: Counter[str]) -> tuple[str, dict[str, int | float]]:
    """Say what the texts of a column are, and what each of them stands for."""
    numbers = {text: n for text in known if np.isfinite(n := _number(text))}
    if not known or (len(numbers) == len(known) and {*numbers.values()} <= {0, 1}):
        return "label" if known else "left out: empty", {t: int(n) for t, n in numbers.items()}
    if len(numbers) == len(known):
        return "numbers", numbers
    if 2 * sum(known[text] for text in numbers) > known.total():
        odd = next(text for text in known if text not in numbers)
        return f"left out: {odd!r} is no finite number, as most of its cells are", {}
    if len(known) > min(MOST_CLASSES, max(2, known.total() / 2)):
        return f"left out: {len(known)} different texts", {}
    return "classes", {text: k for k, text in enumerate(sorted(known))}


def _number(text: str) -> float:
    """The number that a text is, or NaN."""
    with suppress(ValueError):
        return float(LOGICAL.get(text.lower(), text))
    return np.nan
