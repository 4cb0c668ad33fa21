"""What the real data sets share: read every listed file, record what cannot be used, split, save."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from data_prep.boxes import Boxes
from data_prep.duplicates import without_duplicates
from data_prep.look import describe_sizes, draw_pictures
from data_prep.reading import full_digests, read_all
from data_prep.splits import FRACTIONS, split_by_patient
from data_prep.workfolder import WorkFolder
from ums.data.prepared import check_replaceable, save_prepared
from ums.data.rows import Rows

DEAD_LINK = "a link that leads nowhere"
_SYSTEM = ("thumbs.db", "desktop.ini", "__macosx")


@dataclass(frozen=True)
class Item:
    """One image to read: its file, the files whose union is its mask, its patient and labels.

    `split` is where its owner put it; empty where the set comes without a split. `box` is the part of
    image and masks to take, (x, y, width, height) in pixels; None for all of it. `boxes` are where the
    disease is, likewise.
    """

    id: str
    patient: str
    image: Path
    masks: tuple[Path, ...] = ()
    labels: dict[str, int] = field(default_factory=dict)
    split: str = ""
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    box: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class Listing:
    """What a raw folder holds: items in order, and (path, why) of files that cannot be used.

    Either every item has a split or none. `about` is for about.json: what was found.
    """

    raw: Path
    items: list[Item]
    problems: list[tuple[Path, str]]
    about: dict = field(default_factory=dict)


def prepare(
    listing,
    out,
    about,
    *,
    size,
    seed,
    strict=False,
    overwrite=False,
    held_out=(),
    settings=None,
    colour=False,
):
    """Read the items of `listing`, split them by patient and write the prepared folder `out`.

    A split that the items come with is kept, and `seed` not needed. A file that cannot be used is
    left out and recorded in about.json under `skipped`; with `strict` it is a `ValueError`. One of
    several equal pictures is kept, as `without_duplicates` says, and no picture of the items
    `held_out`, a test set that is kept elsewhere, gets in, nor another of its patients'. The images
    are grey, with `colour` in red, green and blue. `about` holds source and licence; `settings` are
    recorded in it beside size and seed.

    However large the set, only the images being read are in memory; those finished wait in a
    `WorkFolder`, and a run that is stopped goes on from there. Returns the `Prepared` set; raises
    `ValueError` where no image is left.
    """
    check_replaceable(out, overwrite)
    if size < 1:
        raise ValueError(f"size {size} should be at least 1")
    problems = list(listing.problems)
    _complain(problems, strict)
    with WorkFolder(out, size, colour) as work:
        outcomes = read_all(listing.items, listing.raw, work, strict=strict)
        read = list(zip(listing.items, outcomes, strict=True))
        problems += [(item.image, outcome.why) for item, outcome in read if outcome.why]
        kept, duplicates = _without_duplicates(read, held_out, listing.raw, work)
        problems += duplicates
        if not kept:
            raise ValueError(f"{listing.raw}: no usable image; {_first(problems)}")
        skipped = [{"file": _relative(path, listing.raw), "why": why} for path, why in problems]
        drawn = {"seed": seed, "fractions": list(FRACTIONS)}
        how = {"split": "as published"} if kept[0][0].split else drawn
        settings = {"size": size} | how | (settings or {})
        about = {**about, **listing.about, "settings": settings}
        about["skipped"] = sorted(skipped, key=lambda s: (s["file"], s["why"]))
        return _save(kept, work, out, about, seed, overwrite)


def _without_duplicates(read, held_out, raw, work):
    """`without_duplicates` on pairs of item and outcome, as if `held_out` were a test set of them."""
    test = [replace(item, split="test") for item in held_out]
    every = [*zip(test, read_all(test, raw, work), strict=True), *read]
    every = [pair for pair in every if not pair[1].why]
    items, outcomes = zip(*every, strict=True) if every else ((), ())
    left, duplicates = without_duplicates(items, full_digests(items, outcomes, work.colour))
    held = {item.image for item in held_out}
    kept = [(item, outcomes[i]) for i, item in left.items() if item.image not in held]
    return kept, [(path, why) for path, why in duplicates if path not in held]


def image_files(folder, suffixes=(".png",), known=()):
    """The image files of `folder` in order, and (path, why) of all else that is in it.

    Hidden and system files are left out, and so is what has one of the names `known`.
    """
    images, others = [], []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.lower() in _SYSTEM or path.name in known:
            continue
        is_image = path.is_file() and path.suffix.lower() in suffixes
        images.append(path) if is_image else others.append((path, _why_not(path, suffixes)))
    return images, others


def _why_not(path, suffixes):
    if path.is_dir():
        return "a folder, not looked into"
    return DEAD_LINK if not path.exists() else f"not a {' or '.join(suffixes)} file"


def need_folders(raw, *names):
    """Raise `FileNotFoundError` where `raw` lacks a folder of these names, and say where it may be."""
    if not raw.is_dir():
        raise FileNotFoundError(f"no folder {raw}")
    for name in names:
        if (raw / name).is_dir():
            continue
        near = [p.parent for p in (raw.parent / names[0], *raw.glob(f"*/{names[0]}")) if p.is_dir()]
        hint = f"; did you mean {near[0]}?" if near else ""
        raise FileNotFoundError(
            f"{raw} holds no folder {name}; expected {' and '.join(names)} in it{hint}"
        )


def _save(kept, work, out, about, seed, overwrite):
    items, outcomes = zip(*kept, strict=True)
    patients = [item.patient for item in items]
    if not (splits := [item.split for item in items])[0]:
        splits = split_by_patient(patients, FRACTIONS, np.random.default_rng(seed))
    names = sorted({name for item in items for name in item.labels})
    shapes = [outcome.shape for outcome in outcomes]
    has_mask = np.array([outcome.mask >= 0 for outcome in outcomes])
    columns = {
        "images": Rows(work.array("images"), [outcome.image for outcome in outcomes]),
        "ids": [item.id for item in items],
        "splits": splits,
        "labels": {n: np.array([item.labels.get(n, -1) for item in items]) for n in names},
        "masks": None,
        "opacities": None,
    }
    if has_mask.any():
        columns["masks"] = Rows(work.array("masks"), [outcome.mask for outcome in outcomes])
    if any(item.boxes for item in items):
        columns["opacities"] = Boxes([item.boxes for item in items], shapes, work.size)
    about = about | {"original_sizes": describe_sizes(shapes)}
    return save_prepared(
        out,
        **columns,
        patients=patients,
        has_mask=has_mask,
        about=about,
        pictures=draw_pictures(**columns, has_mask=has_mask, about=about, shapes=shapes),
        overwrite=overwrite,
    )


def _complain(problems, strict):
    if strict and problems:
        raise ValueError(_first(problems))


def _first(problems):
    return f"{problems[0][0]}: {problems[0][1]}" if problems else "it holds none"


def _relative(path, raw):
    return path.relative_to(raw).as_posix()
