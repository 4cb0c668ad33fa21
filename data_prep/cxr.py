"""The three prepared folders of the chest X-ray experiment, in one go.

    source   images to learn denoising from, without labels
    target   the training hospital: lung masks and the label "abnormal"
    test     the other hospital, likewise

With a folder of raw data: Shenzhen is the target, Montgomery the test, and what there is of the NIH
and the pediatric set the source (with neither, the source is the target once more, split alike).
Without: all three are synthetic, source and target of hospital A, test of hospital B. A folder made
before from the same files with the same settings is kept as it is.
"""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from data_prep import montgomery, shenzhen, unlabelled
from data_prep.collect import Listing, prepare
from data_prep.synthetic import prepare_synthetic
from ums.data.prepared import load_prepared

FOLDERS = {
    "target": ("shenzhen", "ChinaSet_AllFiles"),
    "test": ("montgomery", "MontgomerySet", "NLM-MontgomeryCXRSet"),
    "source": ("nih_cxr14", "pediatric", "chest_xray"),
}
"""Names a raw set may have, in the folder of raw data."""

SHARES = {"source": (1.0, "A"), "target": (0.75, "A"), "test": (0.25, "B")}
"""Synthetic sets: images as a share of those asked for, and the hospital."""


def prepare_cxr(out, data=None, images=1200, size=256, seed=0, strict=False):
    """Make, or keep, the prepared folders `out`/source, target and test; return them in a list.

    data: the folder of raw sets, or None for synthetic ones; images: how many synthetic ones the
    source has (the target three quarters, the test a quarter as many). Other arguments as for `prepare`.

    Raises `FileNotFoundError` where a raw set that is needed is not in `data`; `ValueError` as
    `prepare` and `make_synthetic` do.
    """
    out = Path(out)
    if data is None:
        if images < 40:
            raise ValueError(f"{images} synthetic images asked for, should be at least 40")
        return [_synthetic(out / role, role, images, size, seed) for role in SHARES]
    roles = {role: _find(Path(data), names) for role, names in FOLDERS.items()}
    for role in ("target", "test"):
        if not roles[role]:
            names = ", ".join(FOLDERS[role])
            raise FileNotFoundError(f"{data} holds no folder of the {role} set: {names}")
    target, test, how = roles["target"][0], roles["test"][0], (size, seed, strict)
    return [
        _source(out / "source", roles["source"], size, seed)
        if roles["source"]
        else _prepare(out / "source", shenzhen.list_shenzhen(target), shenzhen.ABOUT, *how),
        _prepare(out / "target", shenzhen.list_shenzhen(target), shenzhen.ABOUT, *how),
        _prepare(out / "test", montgomery.list_montgomery(test), montgomery.ABOUT, *how),
    ]


def _find(data, names):
    if not data.is_dir():
        raise FileNotFoundError(f"no folder {data}")
    return [data / name for name in names if (data / name).is_dir()]


def _synthetic(out, role, images, size, seed):
    share, hospital = SHARES[role]
    settings = {"seed": [seed, list(SHARES).index(role)]}
    n = round(images * share)
    wanted = settings | {"images": n, "size": size, "hospital": hospital}
    if kept := _made_before(out, wanted):
        return kept
    rng = np.random.default_rng(settings["seed"])
    return prepare_synthetic(out, n, size, rng, hospital, overwrite=True, settings=settings)


def _source(out, folders, size, seed):
    """All images of several folders; one that cannot be read is skipped, duplicates are too."""
    items = []
    for folder in folders:
        for item in unlabelled.list_unlabelled(folder).items:
            names = {"id": f"{folder.name}/{item.id}", "patient": f"{folder.name}/{item.patient}"}
            items.append(replace(item, **names))
    names = " and ".join(folder.name for folder in folders)
    about = unlabelled.ABOUT | {"name": names, "source": f"unlabelled images of {names}"}
    listing = Listing(folders[0].parent, items, [])
    return _prepare(out, listing, about, size, seed, strict=False, unique=True)


def _prepare(out, listing, about, size, seed, strict, unique=False):
    settings = {"files": _digest(listing)}
    if kept := _made_before(out, settings | {"size": size, "seed": seed}):
        return kept
    return prepare(
        listing,
        out,
        about,
        size=size,
        seed=seed,
        strict=strict,
        overwrite=True,
        unique=unique,
        settings=settings,
    )


def _digest(listing):
    """A short hash of the listed files' names and sizes: other files, another prepared folder."""
    digest = hashlib.sha256()
    for item in listing.items:
        for path in (item.image, *item.masks):
            name = path.relative_to(listing.raw).as_posix()
            digest.update(f"{name} {path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]


def _made_before(out, wanted):
    """The prepared folder `out` if it is whole and was made with the settings `wanted`, else None."""
    try:
        settings = json.loads((out / "about.json").read_text(encoding="utf-8"))["settings"]
        if any(settings.get(name) != value for name, value in wanted.items()):
            return None
        return load_prepared(out)
    except (OSError, ValueError, KeyError):
        return None
