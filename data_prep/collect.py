"""From the list of files of a real data set to a prepared folder: read, leave out, split, save."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from data_prep.boxes import Boxes
from data_prep.duplicates import without_duplicates
from data_prep.listing import Item, Listing
from data_prep.look import describe_sizes, draw_pictures
from data_prep.names import name_within, printable
from data_prep.options import Options
from data_prep.reading import full_digests, read_all
from data_prep.splits import FRACTIONS, split_by_patient
from data_prep.workfolder import Outcome, Refused, WorkFolder
from data_prep.writing import Content, check_replaceable, save_prepared
from ums.data.prepared import Prepared
from ums.data.rows import Rows


def prepare(
    listing: Listing,
    out: str | Path,
    options: Options,
    about: dict,
    settings: dict | None = None,
) -> Prepared:
    """Read the images of ``listing``, split them by patient and write a prepared folder.

    A published split is kept. A file that cannot be used is left out and recorded under "skipped"
    in about.json, as are all but one of several equal pictures (see
    :func:`data_prep.duplicates.without_duplicates`).

    Only the images being read are in memory, however large the set. Finished ones wait in a
    :class:`data_prep.workfolder.WorkFolder`, from which an interrupted run resumes.

    Args:
        listing: The images.
        out: The folder to write.
        options: Its options.
        about: Source and licence, for about.json.
        settings: Further settings to record, beside size and seed.

    Raises:
        FileExistsError: ``out`` exists and may not be replaced.
        ValueError: No image is left, or a file cannot be used and ``options.strict`` is set.
    """
    check_replaceable(out, options.overwrite)
    size, raw = options.size, listing.raw
    if size < 1:
        raise ValueError(f"size {size} should be at least 1")
    problems = list(listing.problems)
    if options.strict and problems:
        raise ValueError(_first(problems))
    with WorkFolder(out, size, options.colour) as work:
        outcomes = read_all(listing.items, raw, work, strict=options.strict)
        read = list(zip(listing.items, outcomes, strict=True))
        problems += [(item.image, outcome.why) for item, outcome in read if outcome.why]
        kept, duplicates = _without_duplicates(read, listing, work)
        problems += duplicates
        if not kept:
            raise Refused(f"{raw}: no usable image; {_first(problems)}")
        skipped = [
            {"file": printable(name_within(p, raw)), "why": printable(why)} for p, why in problems
        ]
        drawn = {"seed": options.seed, "fractions": list(FRACTIONS)}
        how = {"split": "as published"} if kept[0][0].split else drawn
        about = {**about, **listing.about, "settings": {"size": size} | how | (settings or {})}
        about["skipped"] = sorted(skipped, key=lambda s: (s["file"], s["why"]))
        return _save(kept, work, out, options, about)


def _without_duplicates(
    read: list[tuple[Item, Outcome]], listing: Listing, work: WorkFolder
) -> tuple[list[tuple[Item, Outcome]], list[tuple[Path, str]]]:
    """Apply ``without_duplicates`` as if the images held out were a test set among those read."""
    test = [replace(item, split="test") for item in listing.held_out]
    every = [*zip(test, read_all(test, listing.raw, work), strict=True), *read]
    every = [pair for pair in every if not pair[1].why]
    items, outcomes = [item for item, _ in every], [outcome for _, outcome in every]
    left, duplicates = without_duplicates(items, full_digests(items, outcomes, work.colour))
    held = {item.image for item in listing.held_out}
    kept = [(item, outcomes[i]) for i, item in left.items() if item.image not in held]
    return kept, [(path, why) for path, why in duplicates if path not in held]


def _save(
    kept: list[tuple[Item, Outcome]],
    work: WorkFolder,
    out: str | Path,
    options: Options,
    about: dict,
) -> Prepared:
    items, outcomes = [item for item, _ in kept], [outcome for _, outcome in kept]
    patients = [item.patient for item in items]
    splits = [item.split for item in items]
    if not splits[0]:
        rng = np.random.default_rng(options.seed)
        splits = split_by_patient(patients, FRACTIONS, rng).tolist()
    known = {name: value for item in items for name, value in item.labels.items()}
    names, numeric = (
        sorted(name for name, value in known.items() if isinstance(value, float) == floats)
        for floats in (False, True)
    )
    shapes = [outcome.shape for outcome in outcomes]
    has_mask = np.array([outcome.mask >= 0 for outcome in outcomes])
    masks, opacities = None, None
    if has_mask.any():
        masks = Rows(work.array("masks"), [outcome.mask for outcome in outcomes])
    if any(item.boxes for item in items):
        opacities = Boxes([item.boxes for item in items], shapes, work.size)
    content = Content(
        Rows(work.array("images"), [outcome.image for outcome in outcomes]),
        ids=[item.id for item in items],
        patients=patients,
        splits=splits,
        labels={n: np.array([item.labels.get(n, -1) for item in items]) for n in names},
        masks=masks,
        opacities=opacities,
        has_mask=has_mask,
        numbers={n: np.array([item.labels.get(n, np.nan) for item in items]) for n in numeric},
        about=about | {"original_sizes": describe_sizes(shapes)},
    )
    pictures = draw_pictures(content, shapes)
    return save_prepared(out, content, pictures=pictures, overwrite=options.overwrite)


def _first(problems: list[tuple[Path, str]]) -> str:
    return printable(f"{problems[0][0]}: {problems[0][1]}") if problems else "it holds none"
