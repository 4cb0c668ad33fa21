"""The two prepared folders of the Doppler experiment, in one go (UMS-Rep, section 4.2).

    source    70 % of the patients: train, validation and test of the flow classifier that is shared
    target    30 %: train, to be folded for tuning and validating the heads, and test, half as many

Both hold the envelopes' masks and the labels "flow" (0 MV, 1 MA, 2 TR) and "quality" (0 poor, 1 good,
absent for most). They are synthetic, or made of a folder of one's own (`data_prep.echo_folder`). A
folder made before from the same files with the same settings is kept as it is.
"""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from data_prep import echo_folder
from data_prep.collect import Listing, prepare
from data_prep.cxr import digest, made_before
from data_prep.doppler import check_wishes, default_patients, make_doppler
from data_prep.doppler_flow import FLOWS
from data_prep.doppler_spectrum import QUALITIES
from data_prep.look import draw_pictures
from data_prep.splits import FRACTIONS, split_by_patient
from ums.data.prepared import check_replaceable, save_prepared, scratch_folder
from ums.data.rows import Rows

SHARES = {"source": 0.7, "target": 0.3}
"""Shares of the patients."""

SPLITS = {"source": FRACTIONS, "target": (2 / 3, 0.0, 1 / 3)}
"""Shares of a folder's patients in train, validation and test."""

LABEL_VALUES = {
    name: {str(value): text for value, text in enumerate(names)}
    for name, names in (("flow", FLOWS), ("quality", QUALITIES))
}
FEWEST = 6
"""Patients, so that each part of both folders has one."""


def prepare_echo(out, images=2444, size=256, seed=0, patients=None):
    """Make, or keep, synthetic `out`/source and `out`/target; return both as `Prepared`, in a list.

    patients: by default as many images each as in the paper. Every part has its share of each flow
    and of each quality.

    Raises `ValueError` as `make_doppler` does and for fewer than 6 patients, `FileExistsError` where
    such a folder holds more than a prepared set.
    """
    patients = default_patients(images) if patients is None else patients
    check_wishes(images, size, patients)
    _check_patients(patients, f"{patients} patients of {images} images asked for")
    settings = {"images": images, "size": size, "patients": patients, "seed": seed}
    kept = {role: made_before(Path(out) / role, settings | {"part": role}) for role in SHARES}
    if all(kept.values()):
        return list(kept.values())
    for role in SHARES:
        check_replaceable(Path(out) / role, overwrite=True)
    rng = np.random.default_rng(seed)
    names = np.array([f"P{i:03d}" for i in range(1, patients + 1)])
    role, split = _share_out(names, rng)
    parts = np.unique(np.char.add(role, split), return_inverse=True)[1]
    with scratch_folder(Path(out) / "source") as folder:
        made = make_doppler(images, size, rng, patients, parts, True, folder)
        first = np.searchsorted(made.patients, made.patients)
        ids = [
            f"{names[p]}-{n:03d}"
            for p, n in zip(made.patients, np.arange(images) - first + 1, strict=True)
        ]
        return [_save(Path(out), one, made, ids, names, role, split, settings) for one in SHARES]


def _save(out, one, made, ids, names, role, split, settings):
    """Write the folder `one` of `SHARES`: the images of its patients."""
    rows = np.flatnonzero(role[made.patients] == one)
    about = {
        "name": f"synthetic Doppler echocardiograms, {one}",
        "source": "synthetic Doppler echocardiograms",
        "licence": "made by this library; no patient is shown",
        "label_values": LABEL_VALUES,
        "settings": settings | {"part": one, "fractions": _fractions(one)},
    }
    columns = {
        "images": Rows(made.images, rows),
        "ids": [ids[i] for i in rows],
        "splits": split[made.patients[rows]],
        "labels": {"flow": made.flow[rows], "quality": made.quality[rows]},
        "masks": Rows(made.masks, rows),
    }
    return save_prepared(
        out / one,
        **columns,
        patients=names[made.patients[rows]],
        about=about,
        pictures=draw_pictures(**columns, about=about),
        overwrite=True,
    )


def prepare_echo_folder(raw, out, size=256, seed=0, box=None, strict=False):
    """Make, or keep, `out`/source and `out`/target of one's own folder `raw`; return both, in a list.

    box: where the panel is on all screens whose row of the table has none. What cannot be used is left
    out and recorded in about.json, rows and files without their other half in the source's; with
    `strict` it is a `ValueError`.

    Raises `FileNotFoundError` and `ValueError` as `list_echo` and `prepare` do, `ValueError` for fewer
    than 6 patients, `FileExistsError` where such a folder holds more than a prepared set.
    """
    if box is not None and len(box := list(box)) != 4:
        raise ValueError(f"the box {box} should be x, y, width, height")
    out, listing = Path(out), echo_folder.list_echo(raw, box and tuple(box))
    first = "".join(f"; {path.relative_to(raw)}: {why}" for path, why in listing.problems[:1])
    patients = np.unique([item.patient for item in listing.items])
    _check_patients(len(patients), f"{raw} has {len(patients)} patients with usable rows{first}")
    role, split = _share_out(patients, np.random.default_rng(seed))
    side = dict(
        zip(patients.tolist(), zip(role.tolist(), split.tolist(), strict=True), strict=True)
    )
    for one in SHARES:
        check_replaceable(out / one, overwrite=True)
    made, table = [], hashlib.sha256((Path(raw) / "labels.csv").read_bytes()).hexdigest()[:16]
    for one in SHARES:
        mine = [item for item in listing.items if side[item.patient][0] == one]
        settings = {"part": one, "files": digest(listing.raw, mine), "table": table, "box": box}
        settings |= {"size": size, "seed": seed, "fractions": _fractions(one)}
        if kept := made_before(out / one, settings):
            made.append(kept)
            continue
        settings["split"] = "by patient"
        mine = [replace(item, split=side[item.patient][1]) for item in mine]
        part = Listing(listing.raw, mine, listing.problems if one == "source" else [])
        about = echo_folder.ABOUT | {"label_values": LABEL_VALUES}
        how = {"size": size, "seed": seed, "strict": strict, "overwrite": True}
        made.append(prepare(part, out / one, about, **how, settings=settings, colour=True))
    return made


def _share_out(patients, rng):
    """Folder and split of each of the patients, two (P,) arrays of strings."""
    role = split_by_patient(patients, (SHARES["source"], 0.0, SHARES["target"]), rng)
    role = np.where(role == "train", "source", "target")
    split = np.empty(len(patients), dtype="<U10")
    for one, fractions in SPLITS.items():
        split[role == one] = split_by_patient(patients[role == one], fractions, rng)
    return role, split


def _fractions(one):
    return [SHARES[one], *SPLITS[one]]


def _check_patients(patients, found):
    if patients < FEWEST:
        raise ValueError(f"{found}; should be at least {FEWEST}, for both folders' parts")
