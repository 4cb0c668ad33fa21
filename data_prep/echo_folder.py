"""Anybody's own Doppler echocardiograms: screens, envelope masks where there are, and a table.

    images/NAME.png or .jpg     screens, at any depth
    masks/NAME.png              envelopes, of the size of their images; not for every image
    labels.csv                  file, patient, flow, quality; perhaps x, y, width, height

`file` is an image's path within images; `flow` is MV, MA, TR or empty, `quality` poor (or low), good
or empty. The last four columns are the part of the screen that holds the spectrum, in pixels; where
they are empty, or there are none, the whole screen is taken, or the box given for all.
"""

import csv
from pathlib import Path

from data_prep.collect import Item, Listing, need_folders
from data_prep.doppler_flow import FLOWS
from data_prep.doppler_spectrum import QUALITIES

ABOUT = {
    "name": "Doppler echocardiograms",
    "source": "a folder of Doppler echocardiograms",
    "licence": "see the owner of the images",
}
COLUMNS = ("file", "patient", "flow", "quality")
BOX = ("x", "y", "width", "height")
_VALUES = {
    "flow": {name: value for value, name in enumerate(FLOWS)},
    "quality": {name.upper(): value for value, name in enumerate(QUALITIES)} | {"LOW": 0},
}
_SUFFIXES = (".png", ".jpg", ".jpeg")
_SYSTEM = ("thumbs.db", "desktop.ini")


def list_echo(raw, box=None):
    """List the images under `raw`, the folder that holds images and labels.csv; no image is read.

    box: (x, y, width, height) of the panel on all screens whose row has none. A row or a file that
    cannot be used is a problem of the listing. Raises `FileNotFoundError` for a folder at the wrong
    level or without labels.csv, `ValueError` where the table cannot be read or lacks a column.
    """
    raw = Path(raw)
    need_folders(raw, "images")
    table = raw / "labels.csv"
    if not table.is_file():
        raise FileNotFoundError(f"{raw} holds no labels.csv with the columns {', '.join(COLUMNS)}")
    images, problems = _files(raw / "images", _SUFFIXES)
    masks, others = _files(raw / "masks", (".png",)) if (raw / "masks").is_dir() else ({}, [])
    problems += others
    items, row_of = [], {}
    for number, row in _rows(table):
        name, why = row.get("file", ""), _complaint(row, row_of)
        if not why and name not in images:
            why = "no such image"
        row_of.setdefault(name, number)
        if why:
            # A name that leads out of the folder is no place to point at.
            path = raw / "images" / name if name and ".." not in Path(name).parts else table
            path = path if path.is_relative_to(raw) else table
            problems.append((path, f"row {number} of {table.name}: {why}"))
            continue
        mask = masks.get(Path(name).with_suffix(".png").as_posix())
        items.append(_item(row, images[name], mask, box))
    for name, path in images.items():
        if name not in row_of:
            problems.append((path, f"no row in {table.name}"))
    named = {Path(name).with_suffix(".png").as_posix() for name in images}
    problems += [
        (path, "a mask without an image") for name, path in masks.items() if name not in named
    ]
    return Listing(raw, items, problems)


def _item(row, path, mask, box):
    own = tuple(int(row[name]) for name in BOX) if row.get("x") else box
    labels = {name: _value(name, row[name]) for name in _VALUES}
    masks = () if mask is None else (mask,)
    return Item(row["file"], row["patient"], path, masks, labels, box=own)


def _complaint(row, row_of):
    """Say what is wrong with a row of the table, or nothing; `row_of` has the files before it."""
    if None in row:
        return row[None]
    if not row["file"]:
        return "file is empty"
    if row["file"] in row_of:
        return f"{row['file']} again, after row {row_of[row['file']]}"
    if not row["patient"]:
        return "patient is empty"
    for name, values in _VALUES.items():
        if _value(name, row[name]) is None:
            return f"{name} is {row[name]!r}, should be {', '.join(values)} or empty"
    corners = [row.get(name, "") for name in BOX]
    if any(corners) and not all(text.isdecimal() and len(text) < 10 for text in corners):
        return f"{', '.join(BOX)} are {corners}, should be four whole numbers or all empty"
    return None


def _value(name, text):
    """A label's number, -1 where there is none, None where the text names no class."""
    return _VALUES[name].get(text.upper()) if text else -1


def _rows(table):
    """Yield (number, row) of the table; a row of another length has its complaint under None."""
    try:
        with open(table, newline="", encoding="utf-8-sig") as file:
            header, *rows = list(csv.reader(file)) or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{table} is not readable as CSV: {error}") from error
    header = [name.strip().lower() for name in header]
    wanted = COLUMNS + (BOX if set(BOX) & set(header) else ())
    if missing := [name for name in wanted if header.count(name) != 1]:
        raise ValueError(
            f"{table} should have each of the columns {', '.join(wanted)} once; "
            f"that is not so for {', '.join(missing)}: found {header}"
        )
    for number, values in enumerate(rows, start=2):
        row = dict(zip(header, (text.strip() for text in values), strict=False))
        if values and len(values) != len(header):
            row[None] = f"{len(values)} values for {len(header)} columns"
        if values:
            yield number, row


def _files(folder, suffixes):
    """Files of `folder` at any depth: {path within it: path}, and (path, why) of other kinds."""
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.name.lower() not in _SYSTEM)
    paths = [p for p in paths if not any(q.startswith(".") for q in p.relative_to(folder).parts)]
    wanted = [p for p in paths if p.suffix.lower() in suffixes]
    why = f"not a {' or '.join(suffixes)} file"
    others = [(p, why) for p in paths if p not in set(wanted)]
    return {p.relative_to(folder).as_posix(): p for p in wanted}, others
