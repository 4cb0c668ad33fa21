"""Your own Doppler echocardiograms: screens, a table, and masks of the envelopes where there are any.

    images/NAME.png or .jpg     screens, at any depth
    masks/NAME.png              envelopes, of the size of their images; not for every image
    labels.csv                  file, patient, flow, quality; perhaps x, y, width, height

"file" is the path of an image within images; "flow" is MV, MA, TR or empty; "quality" is poor (or low),
good or empty. The last four columns state the part of the screen that holds the spectrum, in pixels. If
they are empty, 0 or missing, the box given for all screens is taken, else the whole screen. Patients
whose names differ only in case, in blanks, in invisible characters or in Unicode form are treated as one,
and about.json records it.
"""

import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.doppler_flow import FLOWS
from data_prep.doppler_spectrum import QUALITIES
from data_prep.listing import Item, Listing, find_files, need_folders
from data_prep.names import Problem, name_within, pair_masks, unusable
from data_prep.tables import Row, match_rows, read_table

ABOUT = {
    "name": "Doppler echocardiograms",
    "source": "a folder of Doppler echocardiograms",
    "licence": "see the owner of the images",
}
COLUMNS = ("file", "patient", "flow", "quality")
BOX = ("x", "y", "width", "height")
Box = tuple[int, int, int, int]
_VALUES = {
    "flow": {name: value for value, name in enumerate(FLOWS)},
    "quality": {name.upper(): value for value, name in enumerate(QUALITIES)} | {"LOW": 0},
}
_SUFFIXES = (".png", ".jpg", ".jpeg")


def list_echo(raw: str | Path, box: Box | None = None) -> Listing:
    """List the images under ``raw``, the folder that holds images and labels.csv.

    A row or a file that cannot be used is a problem of the listing.

    Args:
        raw: The folder.
        box: (x, y, width, height) of the panel, in pixels, on all screens whose row states none.

    Raises:
        FileNotFoundError: The folder is at the wrong level or has no labels.csv.
        ValueError: The table cannot be read or lacks a column.
    """
    raw = Path(raw)
    need_folders(raw, "images")
    table = raw / "labels.csv"
    rows, short = read_table(table, COLUMNS)
    images, problems = _files(raw / "images", _SUFFIXES)
    masks, others = _files(raw / "masks", (".png",)) if os.path.lexists(raw / "masks") else ([], [])
    mask_of, unclear = pair_masks(images, masks, lambda path: _below(path, raw))
    problems += others + unclear + short
    name_of = {path: name_within(path, raw / "images") for path in images}
    path_of = {name.casefold(): path for path, name in name_of.items()}
    row_of, wrong = match_rows(table, rows, path_of, _complaint)
    problems += wrong
    items = [_item(name_of[p], row, p, mask_of.get(p), box) for p, row in row_of.items()]
    items, one = one_spelling(items)
    about = {"patients": f"by the column patient of {table.name}{one}"}
    if zeros := sum(_box_of(row) == (0, 0, 0, 0) for _, row in rows):
        about["boxes"] = f"{zeros} rows of {table.name} say 0, 0, 0, 0, taken for none"
    return Listing(raw, items, problems, about)


def _below(path: Path, raw: Path) -> str:
    """Return the name of a file below images or masks, without the ending."""
    return "/".join(path.relative_to(raw).with_suffix("").parts[1:])


def one_spelling(items: list[Item]) -> tuple[list[Item], str]:
    """Give all spellings of a patient's name the first of them; return a note of which they are."""
    spelt: dict[str, dict[str, None]] = {}
    for item in items:
        spelt.setdefault(_plain(item.patient), {})[item.patient] = None
    first = {name: next(iter(names)) for names in spelt.values() for name in names}
    several = [" and ".join(map(repr, names)) for names in spelt.values() if len(names) > 1]
    items = [replace(item, patient=first[item.patient]) for item in items]
    return items, f"; taken for one: {'; '.join(several)}" if several else ""


def _plain(patient: str) -> str:
    """Return a patient's name without case, invisible characters and repeated blanks."""
    visible = (c for c in patient.casefold() if unicodedata.category(c) != "Cf")
    return " ".join("".join(visible).split())


def _box_of(row: Row) -> Box | None:
    """Return the box that a row states, None if it has none or not four whole numbers."""
    texts = [row.get(name, "") for name in BOX]
    if not all(re.fullmatch(r"\d{1,9}(\.0*)?", text) for text in texts):
        return None
    x, y, width, height = (int(text.partition(".")[0]) for text in texts)
    return x, y, width, height


def _item(name: str, row: Row, path: Path, mask: Path | None, box: Box | None) -> Item:
    stated = _box_of(row)
    if stated and any(stated):
        box = stated
    labels = {n: v[row[n].upper()] if row[n] else -1 for n, v in _VALUES.items()}
    masks = () if mask is None else (mask,)
    return Item(name, row["patient"], path, masks, labels, box=box)


def _complaint(row: Row) -> str | None:
    """Say what is wrong with a row of the table, if anything."""
    if not _plain(row["patient"]):
        return "patient is empty"
    if unusable(row["patient"]):
        return f"patient is {row['patient']!r}"
    for name, values in _VALUES.items():
        if row[name] and row[name].upper() not in values:
            return f"{name} is {row[name]!r}, should be {', '.join(values)} or empty"
    corners = [row.get(name, "") for name in BOX]
    if any(corners) and _box_of(row) is None:
        return f"{', '.join(BOX)} are {corners}, should be four whole numbers or all empty"
    return None


def _files(folder: Path, suffixes: Sequence[str]) -> tuple[list[Path], list[Problem]]:
    """Return the files of these endings at any depth, and what else there is."""
    paths, problems = find_files(folder)
    why = f"not a {' or '.join(suffixes)} file"
    problems += [(path, why) for path in paths if path.suffix.lower() not in suffixes]
    return [path for path in paths if path.suffix.lower() in suffixes], problems
