"""The two prepared folders of the Doppler study, in one go (UMS-Rep, section 4.2).

    source    70 % of the patients, for the shared flow classifier
    target    30 % of the patients, for the tasks

Both hold masks of the envelopes and the labels "flow" (0 MV, 1 MA, 2 TR) and "quality" (0 poor, 1 good,
absent for most). They are made from your own folder (see "echo-folder"), where a tenth of the source's and
a third of the target's patients are split "test", which is never learned from; or they are synthetic. Then
there are other patients to learn from for each replicate of the study, 70 % and 30 %, and those of split
"test" are the same for any number of replicates. A folder that was made from the same files with the same
settings is kept.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from data_prep import echo_folder
from data_prep.collect import prepare
from data_prep.cxr import digest, made_before
from data_prep.doppler import Doppler, check_numbers, default_patients, make_doppler
from data_prep.doppler_flow import FLOWS
from data_prep.doppler_spectrum import QUALITIES
from data_prep.listing import Listing
from data_prep.look import draw_pictures
from data_prep.names import name_within
from data_prep.options import Options
from data_prep.splits import FRACTIONS, split_by_patient
from data_prep.writing import Content, check_replaceable, save_prepared, scratch_folder
from ums.data.prepared import Prepared
from ums.data.rows import Rows

SHARES = {"source": 0.7, "target": 0.3}
"""Fractions of the patients."""

SPLITS = {"source": FRACTIONS, "target": (2 / 3, 0.0, 1 / 3)}
"""Fractions of the patients of a folder in train, validation and test."""

TESTED = {"source": 0.1, "target": 0.4}
"""Synthetic patients of split "test", as a fraction of those that a replicate learns from."""

LABEL_VALUES = {
    name: {str(value): text for value, text in enumerate(names)}
    for name, names in (("flow", FLOWS), ("quality", QUALITIES))
}
FEWEST = 6
"""The fewest patients with which each part of both folders has one."""


def prepare_echo(
    out: str | Path,
    images: int,
    options: Options,
    patients: int | None = None,
    replicates: int = 1,
) -> list[Prepared]:
    """Make, or keep, the synthetic folders ``out``/source and ``out``/target.

    Every part of both has its share of each flow and of each quality, and so has every replicate.

    Args:
        out: The folder of both.
        images: Number of images that a replicate learns from, on average.
        options: Size and seed; earlier folders are replaced.
        patients: Number of their patients; by default each has as many images as in the paper.
        replicates: Number of replicates, none of which shares a patient with another.

    Returns:
        Both folders.

    Raises:
        FileExistsError: One of the two folders exists and holds more than a prepared set.
        ValueError: A replicate has fewer than 6 patients, or another number is out of range.
    """
    out, size = Path(out), options.size
    patients = default_patients(images) if patients is None else patients
    check_numbers(images, size, patients)
    _check_patients(patients, f"{patients} patients of {images} images asked for")
    if replicates < 1:
        raise ValueError(f"{replicates} replicates asked for, should be at least 1")
    settings = {"images": images, "size": size, "patients": patients, "seed": options.seed}
    settings["replicates"] = replicates
    kept = [made_before(out / role, settings | {"part": role}) for role in SHARES]
    if all(kept):
        return [one for one in kept if one]
    for role in SHARES:
        check_replaceable(out / role, overwrite=True)
    role_of, split_of, part_of = _parts(patients, replicates)
    images = round(images * len(part_of) / patients)
    names = np.array([f"P{i:0{len(str(len(part_of)))}d}" for i in range(1, len(part_of) + 1)])

    def draw(folder: Path) -> list[Prepared]:
        rng = np.random.default_rng(options.seed)
        made = make_doppler(images, size, rng, len(part_of), part_of, folder)
        contents = [
            _content(made, names, split_of, np.flatnonzero(role_of[made.patients] == role))
            for role in SHARES
        ]
        return [
            _save(out, role, content, settings)
            for role, content in zip(SHARES, contents, strict=True)
        ]

    with scratch_folder(out / "source") as folder:
        return draw(folder)  # its arrays are gone before the folder: Windows deletes none in use


def _parts(patients: int, replicates: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the folder, the split and the part of each synthetic patient, (P,) each.

    The patients of a part are in one folder, split and replicate; parts are numbered.
    """
    source = round(SHARES["source"] * patients)
    validation = max(1, round(source / 6))
    one = ["source train"] * (source - validation) + ["source validation"] * validation
    one += ["target train"] * (patients - source)
    parts = [f"{name} {r}" for r in range(replicates) for name in one]
    for role, share in TESTED.items():
        parts += [f"{role} test -"] * max(1, round(share * patients))
    role, split, _ = np.array([part.split() for part in parts]).T
    return role, split, np.unique(parts, return_inverse=True)[1]


def _content(made: Doppler, names: np.ndarray, splits: np.ndarray, rows: np.ndarray) -> Content:
    """Return the rows of ``made`` as a set; ``names`` and ``splits`` are those of the patients."""
    first = np.searchsorted(made.patients, made.patients)
    number = np.arange(len(made.patients)) - first + 1  # among the images of the patient
    patients = names[made.patients[rows]]
    return Content(
        Rows(made.images, rows),
        ids=[f"{name}-{n:03d}" for name, n in zip(patients, number[rows], strict=True)],
        patients=patients.tolist(),
        splits=splits[made.patients[rows]].tolist(),
        labels={"flow": made.flow[rows], "quality": made.quality[rows]},
        masks=Rows(made.masks, rows),
    )


def _save(out: Path, role: str, content: Content, settings: dict) -> Prepared:
    about = {
        "name": f"synthetic Doppler echocardiograms, {role}",
        "source": "synthetic Doppler echocardiograms",
        "licence": "made by this library; no patient is shown",
        "label_values": LABEL_VALUES,
        "settings": settings | {"part": role},
    }
    content = replace(content, about=about)
    return save_prepared(out / role, content, pictures=draw_pictures(content), overwrite=True)


def prepare_echo_folder(
    raw: str | Path,
    out: str | Path,
    options: Options,
    box: Sequence[int] | None = None,
) -> list[Prepared]:
    """Make, or keep, ``out``/source and ``out``/target from a folder of your own screens.

    Args:
        raw: The folder, as :mod:`data_prep.echo_folder` describes it.
        out: The folder of both.
        options: Size, seed and strictness. Earlier folders are replaced. What cannot be used is left
            out and recorded in about.json; rows and files without a counterpart in the source's.
        box: The place of the panel on all screens whose row of the table states none, as
            (x, y, width, height) in pixels.

    Returns:
        Both folders.

    Raises:
        FileExistsError: One of the two folders exists and holds more than a prepared set.
        FileNotFoundError: ``raw`` lacks a folder or the table.
        ValueError: There are fewer than 6 patients, the table or the box is wrong, or a file cannot
            be used and ``options.strict`` is set.
    """
    if box is not None and len(box) != 4:
        raise ValueError(f"the box {list(box)} should be x, y, width, height")
    raw, out = Path(raw), Path(out)
    listing = echo_folder.list_echo(raw, None if box is None else tuple(box))
    first = "".join(f"; {name_within(path, raw)}: {why}" for path, why in listing.problems[:1])
    patients = np.unique([item.patient for item in listing.items])
    _check_patients(len(patients), f"{raw} has {len(patients)} patients with usable rows{first}")
    role_of, split_of = _share_out(patients, np.random.default_rng(options.seed))
    places = zip(role_of.tolist(), split_of.tolist(), strict=True)
    place_of = dict(zip(patients.tolist(), places, strict=True))
    for role in SHARES:
        check_replaceable(out / role, overwrite=True)
    table = hashlib.sha256((raw / "labels.csv").read_bytes()).hexdigest()[:16]
    settings = {"table": table, "box": None if box is None else list(box)}
    return [_prepare(listing, role, place_of, out, options, settings) for role in SHARES]


def _prepare(
    listing: Listing,
    role: str,
    place_of: dict[str, tuple[str, str]],
    out: Path,
    options: Options,
    settings: dict,
) -> Prepared:
    """Make, or keep, one of the two folders; ``place_of`` gives each patient's folder and split."""
    mine = [item for item in listing.items if place_of[item.patient][0] == role]
    wanted = settings | {"part": role, "files": digest(listing.raw, mine)}
    wanted |= {"size": options.size, "seed": options.seed, "fractions": list(SPLITS[role])}
    if kept := made_before(out / role, wanted):
        return kept
    mine = [replace(item, split=place_of[item.patient][1]) for item in mine]
    problems = listing.problems if role == "source" else []
    part = Listing(listing.raw, mine, problems, listing.about)
    about = echo_folder.ABOUT | {"label_values": LABEL_VALUES}
    options = replace(options, overwrite=True, colour=True)
    return prepare(part, out / role, options, about, wanted | {"split": "by patient"})


def _share_out(patients: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw the folder and the split of each patient, two (P,) arrays of strings."""
    role = split_by_patient(patients, (SHARES["source"], 0.0, SHARES["target"]), rng)
    role = np.where(role == "train", "source", "target")
    split = np.empty(len(patients), dtype="<U10")
    for one, fractions in SPLITS.items():
        split[role == one] = split_by_patient(patients[role == one], fractions, rng)
    return role, split


def _check_patients(patients: int, found: str) -> None:
    if patients < FEWEST:
        raise ValueError(f"{found}; should be at least {FEWEST}, for both folders' parts")
