"""The pediatric chest X-rays: 5,856 of children of one to five years, normal or with pneumonia.

D. Kermany et al., "Identifying medical diagnoses and treatable diseases by image-based deep
learning", Cell 172 (2018) 1122-1131. As published, in a folder chest_xray:

    train/NORMAL/IM-nnnn-nnnn.jpeg, train/NORMAL/NORMAL2-IM-nnnn-nnnn.jpeg   (or one -nnnn more)
    train/PNEUMONIA/personN_bacteria_M.jpeg, train/PNEUMONIA/personN_virus_M.jpeg
    test/                                        likewise: the test set, held out
    val/                                         in some copies: 16 images taken out of train

The owners parted train and test by patient, and so they stay; val is joined to train, which makes
the 5,232 images of UMS-Rep, section 3.1, for cross-validation by `ums.data.stratified_folds`.

Patients: an image is of `personN`, or of `IM-nnnn` or `NORMAL2-IM-nnnn`, two series. We assume that
a number means one person within train (val included) and another within test, and that bacterial
and viral images of one number are of one person. The numbers look as if bacteria and viruses were
counted apart: each runs on from train to test, and train's viral person100 can hardly be the
bacterial one of test. But to take two children for one costs little; the reverse would let a child
be on two sides of a fold.
"""

import re
from collections import Counter
from pathlib import Path

from data_prep.collect import Item, Listing, image_files, need_folders
from data_prep.protocol import COUNTS, USE, compare

CLASSES = ("normal", "bacterial", "viral")
"""The values 0, 1 and 2 of the label "pneumonia"."""

PAPER = {
    side: {name: COUNTS[f"Pediatric {side}"][name] for name in CLASSES}
    for side in ("train", "test")
}
"""The images of UMS-Rep, Table 1: those of the whole set as published, duplicates included."""

ABOUT = {
    "name": "Pediatric",
    "source": "pediatric chest X-rays of the Guangzhou Women and Children's Medical Center",
    "licence": "CC BY 4.0; cite D. Kermany et al., Cell 172 (2018) 1122-1131",
    "label_values": {"pneumonia": {str(value): name for value, name in enumerate(CLASSES)}},
    "paper": PAPER,
    "protocol": USE["Pediatric"],
}
_SIDES = {"train": "train", "val": "train", "test": "test"}
_NAMES = {
    "NORMAL": (r"(?P<patient>(NORMAL2-)?IM-\d+)(-\d+)+", "IM-nnnn-nnnn"),
    "PNEUMONIA": (
        r"(?P<patient>person\d+)_(?P<cause>bacteria|virus)_\d+",
        "personN_bacteria_M or personN_virus_M",
    ),
}
_CLASS = {None: "normal", "bacteria": "bacterial", "virus": "viral"}
_SUFFIXES = (".jpeg", ".jpg", ".png")


def list_pediatric(raw):
    """List the images under `raw`, the folder that holds train and test; no file is read.

    `raw` may also hold chest_xray with both in it, or that once more, as some archives unpack. The
    items' split is "train" or "test"; `about` counts what was "found" of each class.

    Raises `FileNotFoundError` for a folder at another level, `ValueError` where a class has no image
    in train or in test.
    """
    raw = find_both_sides(Path(raw)) or Path(raw)
    need_folders(raw, *PAPER)
    items, problems = [], []
    for folder, side in _SIDES.items():
        if folder == "val" and not (raw / folder).is_dir():
            continue
        need_folders(raw / folder, *_NAMES)
        paths, others = image_files(raw / folder, _SUFFIXES, known=_NAMES)
        problems += others + [(path, "in neither NORMAL nor PNEUMONIA") for path in paths]
        for kind in _NAMES:
            paths, others = image_files(raw / folder / kind, _SUFFIXES)
            problems += others
            for path in paths:
                item = _item(path, raw, side, kind)
                (items if isinstance(item, Item) else problems).append(item)
    found = {side: _count(items, side) for side in PAPER}
    for side, counts in found.items():
        if missing := [name for name, n in counts.items() if n == 0]:
            raise ValueError(f"{raw / side} holds no {' and no '.join(missing)} image")
        counted = {"found": {"images": sum(counts.values())} | counts}
        problems += compare(f"Pediatric {side}", counted, raw)
    return Listing(raw, items, problems, {"found": found})


def counts_beside_paper(about):
    """One line for train and one for test: the images found, kept and in the paper, by class.

    about: what about.json of the prepared folder holds.
    """
    kept = about["counts"]["labels"]["pneumonia"]
    lines = []
    for side, paper in PAPER.items():
        parts = [
            f"{name} {about['found'][side][name]} found, {kept[side].get(str(value), 0)} kept "
            f"(paper {paper[name]})"
            for value, name in enumerate(CLASSES)
        ]
        lines.append(f"{side}: {'; '.join(parts)}")
    return lines


def find_both_sides(raw):
    """`raw`, or the chest_xray in it, or the one in that: the first to hold train and test, or None."""
    roots = (raw, raw / "chest_xray", raw / "chest_xray" / "chest_xray")
    return next((root for root in roots if all((root / side).is_dir() for side in PAPER)), None)


def _item(path, raw, side, kind):
    """The item of an image in a folder NORMAL or PNEUMONIA, or (path, why there is none)."""
    pattern, wanted = _NAMES[kind]
    name = re.fullmatch(pattern, path.stem)
    if not name:
        return path, f"no class to read: a name in {kind} should be {wanted}"
    label = CLASSES.index(_CLASS[name.groupdict().get("cause")])
    patient = f"{side}/{name['patient']}"
    identity = path.relative_to(raw).as_posix()
    return Item(identity, patient, path, labels={"pneumonia": label}, split=side)


def _count(items, side):
    found = Counter(CLASSES[item.labels["pneumonia"]] for item in items if item.split == side)
    return {name: found[name] for name in CLASSES}
