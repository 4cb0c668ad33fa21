"""What the real data sets share: read every listed file, record what cannot be used, split, save."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from data_prep.duplicates import digests, without_duplicates
from data_prep.images import decode_colour, decode_grey, read_mask, resize_image, resize_mask
from data_prep.splits import FRACTIONS, split_by_patient
from ums.data.prepared import check_replaceable, save_prepared


@dataclass(frozen=True)
class Item:
    """One image to read: its file, the files whose union is its mask, its patient and labels.

    `split` is where its owner put it; empty where the set comes without a split. `box` is the part of
    image and masks to take, (x, y, width, height) in pixels; None for all of it.
    """

    id: str
    patient: str
    image: Path
    masks: tuple[Path, ...] = ()
    labels: dict[str, int] = field(default_factory=dict)
    split: str = ""
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
    unique=False,
    held_out=(),
    settings=None,
    colour=False,
):
    """Read the items of `listing`, split them by patient and write the prepared folder `out`.

    A split that the items come with is kept, and `seed` not needed. A file that cannot be used is
    left out and recorded in about.json under `skipped`; with `strict` it is a `ValueError`. `unique`
    keeps one of several equal pictures, as `without_duplicates` says; with it, no picture of the
    items `held_out`, a test set that is kept elsewhere, gets in, nor another of its patients'. The
    images are grey, with `colour` in red, green and blue.
    `about` holds source and licence; `settings` are recorded in it beside size and seed. Returns the
    `Prepared` set; raises `ValueError` where no image is left, or `held_out` comes without `unique`.
    """
    if held_out and not unique:
        raise ValueError("held_out needs unique=True: else equal pictures are not looked for")
    check_replaceable(out, overwrite)
    if size < 1:
        raise ValueError(f"size {size} should be at least 1")
    problems = list(listing.problems)
    _complain(problems, strict)
    kept = []
    with closing(_read_all(listing.items, size, unique, colour)) as outcomes:
        for item, outcome in outcomes:
            if isinstance(outcome, str):
                problems.append((item.image, outcome))
                _complain(problems, strict)
            else:
                kept.append((item, *outcome))
    if unique:
        kept, duplicates = _without_duplicates(kept, held_out, size, colour)
        problems += duplicates
    if not kept:
        raise ValueError(f"{listing.raw}: no usable image; {_first(problems)}")
    skipped = [{"file": _relative(path, listing.raw), "why": why} for path, why in problems]
    drawn = {"seed": seed, "fractions": list(FRACTIONS)}
    how = {"split": "as published"} if kept[0][0].split else drawn
    settings = {"size": size} | how | (settings or {})
    about = {**about, **listing.about, "settings": settings}
    about["skipped"] = sorted(skipped, key=lambda s: s["file"])
    return _save(kept, out, about, seed, overwrite)


def _without_duplicates(kept, held_out, size, colour):
    """`without_duplicates` on (item, image, mask, digests), as if `held_out` were a test set of it."""
    tested = [replace(item, split="test") for item in held_out]
    with closing(_read_all(tested, size, True, colour)) as read:
        test = [(item, *outcome) for item, outcome in read if not isinstance(outcome, str)]
    every = test + kept
    left, duplicates = without_duplicates([k[0] for k in every], [k[3] for k in every])
    held = {item.image for item in held_out}
    kept = [(item, *every[i][1:]) for i, item in left.items() if i >= len(test)]
    return kept, [(path, why) for path, why in duplicates if path not in held]


def image_files(folder, suffixes=(".png",)):
    """The image files of `folder` in order, and (path, why) of others than hidden or system files."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    files = [p for p in files if p.name.lower() not in ("thumbs.db", "desktop.ini")]
    images = [p for p in files if p.suffix.lower() in suffixes]
    why = f"not a {' or '.join(suffixes)} file"
    return images, [(p, why) for p in files if p not in set(images)]


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


def _read_all(items, size, unique, colour):
    """Yield (item, (image, mask or None, digests or None)) or (item, why not), in the order of `items`.

    The digests, of `data_prep.duplicates`, are taken where pictures are to be `unique`.
    """
    with ThreadPoolExecutor(max_workers=min(8, (os.cpu_count() or 1) + 1)) as pool:
        jobs = [pool.submit(_read, item, size, unique, colour) for item in items]
        try:
            for item, job in zip(
                items, tqdm(jobs, desc="reading", unit="image", disable=None), strict=True
            ):
                yield item, job.result()
        finally:
            # After an error, or Ctrl-C, the rest need not be read.
            pool.shutdown(cancel_futures=True)


def _read(item, size, unique, colour):
    try:
        data = item.image.read_bytes()
        image = (decode_colour if colour else decode_grey)(data, item.image.name)
        mask = None
        for path in item.masks:
            part = read_mask(path)
            if part.shape != image.shape[:2]:
                return (
                    f"mask {path.name} is {part.shape[0]} x {part.shape[1]} (height x width), "
                    f"its image {image.shape[0]} x {image.shape[1]}"
                )
            mask = part if mask is None else mask | part
        found = digests(data, image) if unique else None
        image, mask = (_cut(array, item.box) for array in (image, mask))
    except (ValueError, OSError) as error:
        return str(error)
    small = None if mask is None else resize_mask(mask, size)
    return resize_image(image, size), small, found


def _cut(array, box):
    """The part `box` of `array` (H, W, ...), which may be None; `ValueError` where it has no such."""
    if array is None or box is None:
        return array
    x, y, width, height = box
    if min(x, y) < 0 or min(width, height) < 1:
        raise ValueError(f"the box {box} should be x, y, width, height from 0, 0, 1, 1")
    if x + width > array.shape[1] or y + height > array.shape[0]:
        size = f"{array.shape[1]} x {array.shape[0]}"
        raise ValueError(f"the box {box} (x, y, width, height) is not within its {size} pixels")
    return array[y : y + height, x : x + width]


def _save(kept, out, about, seed, overwrite):
    items, images, masks, _ = zip(*kept, strict=True)
    patients = [item.patient for item in items]
    if not (splits := [item.split for item in items])[0]:
        splits = split_by_patient(patients, FRACTIONS, np.random.default_rng(seed))
    has_mask = np.array([mask is not None for mask in masks])
    names = sorted({name for item in items for name in item.labels})
    return save_prepared(
        out,
        np.stack(images),
        ids=[item.id for item in items],
        patients=patients,
        splits=splits,
        labels={n: np.array([item.labels.get(n, -1) for item in items]) for n in names},
        masks=np.stack([_or_empty(m, images[0]) for m in masks]) if has_mask.any() else None,
        has_mask=has_mask,
        about=about,
        overwrite=overwrite,
    )


def _or_empty(mask, image):
    return np.zeros(image.shape[:2], np.uint8) if mask is None else mask


def _complain(problems, strict):
    if strict and problems:
        raise ValueError(_first(problems))


def _first(problems):
    return f"{problems[0][0]}: {problems[0][1]}" if problems else "it holds none"


def _relative(path, raw):
    return path.relative_to(raw).as_posix()
