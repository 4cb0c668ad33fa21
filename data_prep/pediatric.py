"""The pediatric chest X-rays: 5,856 films of children of one to five years, normal or with pneumonia.

D. Kermany et al., "Identifying medical diagnoses and treatable diseases by image-based deep
learning", Cell 172 (2018) 1122-1131. As published, in a folder chest_xray:

    train/NORMAL/IM-nnnn-nnnn.jpeg, train/NORMAL/NORMAL2-IM-nnnn-nnnn.jpeg   (or one -nnnn more)
    train/PNEUMONIA/personN_bacteria_M.jpeg, train/PNEUMONIA/personN_virus_M.jpeg
    test/                                        likewise: the test set, held out
    val/                                         in some copies: 16 images taken out of train

The owners split train and test by patient, and this split is kept. val is joined to train, which
makes the 5,232 images of UMS-Rep, section 3.1.

A patient is "personN", or "IM-nnnn" or "NORMAL2-IM-nnnn" (two series). We assume that a number stands
for one person within train (val included) and for another within test, and that bacterial and viral
images of one number show one person. The numbers look as if bacteria and viruses were counted
separately: each series continues from train to test, and the viral person100 of train can hardly be the
bacterial one of test. But mistaking two children for one costs little, while the reverse would put a
child into training and validation.
"""

import os
import re
from pathlib import Path

from data_prep.listing import Item, Listing, image_files, need_folders, without_contradictions
from data_prep.names import name_within
from data_prep.protocol import COUNTS, USE, compare

CLASSES = ("normal", "bacterial", "viral")
"""The values 0, 1 and 2 of the label "pneumonia"."""

PAPER = {side: COUNTS[f"Pediatric {side}"] for side in ("train", "test")}
"""The images in UMS-Rep, Table 1: the whole set as published, duplicates included."""

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


def list_pediatric(raw: str | Path) -> Listing:
    """List the images under ``raw``, the folder that holds train and test.

    ``raw`` may also hold chest_xray with both in it, or a chest_xray within that, as some archives
    unpack. The split of the items is "train" or "test"; ``about`` counts the images "found" of each
    class.

    Raises:
        FileNotFoundError: The folder is at the wrong level.
        ValueError: A class has no image in train or in test.
    """
    raw = find_both_sides(Path(raw)) or Path(raw)
    need_folders(raw, *PAPER)
    items: list[Item] = []
    problems: list[tuple[Path, str]] = []
    for folder, side in _SIDES.items():
        if folder == "val" and not os.path.lexists(raw / folder):
            continue
        need_folders(raw / folder, *_NAMES)
        paths, others = image_files(raw / folder, _SUFFIXES, known=_NAMES)
        problems += others + [(path, "in neither NORMAL nor PNEUMONIA") for path in paths]
        for kind in _NAMES:
            paths, others = image_files(raw / folder / kind, _SUFFIXES)
            problems += others
            for path in paths:
                item = _item(path, raw, side, kind)
                if isinstance(item, Item):
                    items.append(item)
                else:
                    problems.append((path, item))
    found = {side: _count(items, side) for side in PAPER}
    for side, counts in found.items():
        if missing := [name for name, n in counts.items() if n == 0]:
            raise ValueError(f"{raw / side} holds no {' and no '.join(missing)} image")
        problems += compare(f"Pediatric {side}", {"found": counts}, raw)
    items, doubtful = without_contradictions(
        items, lambda item: (item.split, re.sub("_(bacteria|virus)_", "_", item.image.stem))
    )
    return Listing(raw, items, problems + doubtful, {"found": found})


def find_both_sides(raw: Path) -> Path | None:
    """Find train and test in ``raw``, in the chest_xray in it or in the one in that."""
    roots = (raw, raw / "chest_xray", raw / "chest_xray" / "chest_xray")
    return next((root for root in roots if all((root / side).is_dir() for side in PAPER)), None)


def _item(path: Path, raw: Path, side: str, kind: str) -> Item | str:
    """Return the item of an image in a folder NORMAL or PNEUMONIA, or why there is none."""
    pattern, wanted = _NAMES[kind]
    name = re.fullmatch(pattern, path.stem)
    if not name:
        return f"no class to read: a name in {kind} should be {wanted}"
    label = CLASSES.index(_CLASS[name.groupdict().get("cause")])
    patient = f"{side}/{name['patient']}"
    return Item(name_within(path, raw), patient, path, labels={"pneumonia": label}, split=side)


def _count(items: list[Item], side: str) -> dict[str, int]:
    labels = [item.labels["pneumonia"] for item in items if item.split == side]
    counts = {name: labels.count(value) for value, name in enumerate(CLASSES)}
    return {"images": len(labels), **counts}
