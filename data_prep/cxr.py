"""The four prepared folders of the chest X-ray experiment, in one go.

    source      images to learn denoising from, without labels
    target      the training hospital: lung masks and the label "abnormal"
    test        the other hospital, likewise
    pneumonia   children: the label "pneumonia" (0 normal, 1 bacterial, 2 viral), for the similar tasks

With a folder of raw data: Shenzhen is the target, Montgomery the test, the pediatric set pneumonia
(without one there is no such folder, and the similar tasks cannot be run). The source is RSNA's set
and nothing else, as in the paper; without it, what there is of the NIH set (of which RSNA's is a part,
so the two are not mixed) and of the pediatric training part; with none of them, the target once more,
split alike. The pediatric test part is in no source, whatever name its pictures have.
Without: all four are synthetic, source and target of hospital A, test of B, pneumonia of C. A folder
made before from the same files with the same settings is kept as it is.
"""

import hashlib
import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from data_prep import montgomery, pediatric, rsna, shenzhen, unlabelled
from data_prep.collect import Listing, prepare
from data_prep.synthetic import prepare_synthetic
from ums.data.prepared import check_replaceable, load_prepared

FOLDERS = {
    "target": ("shenzhen", "ChinaSet_AllFiles"),
    "test": ("montgomery", "MontgomerySet", "NLM-MontgomeryCXRSet"),
    "rsna": ("rsna", "rsna-pneumonia-detection-challenge"),
    "source": ("nih_cxr14", "pediatric", "chest_xray"),
    "pneumonia": ("pediatric", "chest_xray"),
}
"""Names a raw set may have, in the folder of raw data."""

SHARES = {
    "source": (1.0, "A"),
    "target": (0.75, "A"),
    "test": (0.25, "B"),
    "pneumonia": (0.75, "C"),
}
"""Synthetic sets: images as a share of those asked for, and the hospital."""


def prepare_cxr(out, data=None, images=1200, size=256, seed=0, strict=False, say=print):
    """Make, or keep, the prepared folders `out`/source, target, test and pneumonia; return a list.

    data: the folder of raw sets, or None for synthetic ones; images: how many synthetic ones the
    source has (`SHARES` says how many the others). Other arguments as for `prepare`. Where `data` has
    no pediatric set in train and test, the list lacks pneumonia, a folder of that name from other
    data is removed, and `say` is called with one line on it.

    Raises `FileNotFoundError` where a raw set that is needed is not in `data`, `FileExistsError`
    where such a folder holds more than a prepared set; `ValueError` as `prepare`, `list_pediatric`
    and `make_synthetic` do.
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
    # A copy in one piece has no test part.
    children = [root for root in map(pediatric.find_both_sides, roles["pneumonia"]) if root]
    listing = pediatric.list_pediatric(children[0]) if children else None
    films = [folder for folder in roles["rsna"] if rsna.has_rsna(folder)]
    for folder in roles["rsna"][: 0 if films else None]:
        say(f"{folder} holds no {rsna.TRAIN}: it is not the source")
    made = [
        _rsna_source(out / "source", films[0], *how)
        if films
        else _source(out / "source", roles["source"], children, *how)
        if roles["source"]
        else _prepare(out / "source", shenzhen.list_shenzhen(target), shenzhen.ABOUT, *how),
        _prepare(out / "target", shenzhen.list_shenzhen(target), shenzhen.ABOUT, *how),
        _prepare(out / "test", montgomery.list_montgomery(test), montgomery.ABOUT, *how),
    ]
    if listing:
        made.append(_prepare(out / "pneumonia", listing, pediatric.ABOUT, *how))
    else:
        say(_without_pneumonia(out / "pneumonia", data))
    return made


def _find(data, names):
    if not data.is_dir():
        raise FileNotFoundError(f"no folder {data}")
    return [data / name for name in names if (data / name).is_dir()]


def _without_pneumonia(out, data):
    """Remove the prepared folder `out`, which is not of `data`; return what there is to say."""
    text = f"{data} holds no pediatric set with train and test: the similar tasks cannot be run"
    if not out.is_dir():
        return text
    check_replaceable(out, overwrite=True)
    shutil.rmtree(out)
    return f"{text}; removed {out}, made from other data"


def _synthetic(out, role, images, size, seed):
    share, hospital = SHARES[role]
    settings = {"seed": [seed, list(SHARES).index(role)]}
    n = round(images * share)
    wanted = settings | {"images": n, "size": size, "hospital": hospital}
    if kept := made_before(out, wanted):
        return kept
    rng = np.random.default_rng(settings["seed"])
    return prepare_synthetic(out, n, size, rng, hospital, overwrite=True, settings=settings)


def _rsna_source(out, folder, *how):
    """RSNA's films, without labels: the paper's source."""
    unused = ("label_values", "opacities")
    about = {name: value for name, value in rsna.ABOUT.items() if name not in unused}
    return _prepare(out, rsna.list_rsna(folder, labelled=False), about, *how)


def _source(out, folders, children, size, seed, strict):
    """All images of several folders, but for the test part of those in `children` and its pictures.

    An image that cannot be read is skipped (with `strict` an error), duplicates are skipped too.
    """
    items, held_out, problems, others = [], [], [], Counter()
    for folder in folders:
        listing = unlabelled.list_unlabelled(folder)
        problems += listing.problems
        others.update(listing.about.get("other_files", {}))
        for item in listing.items:
            names = {"id": f"{folder.name}/{item.id}", "patient": f"{folder.name}/{item.patient}"}
            tested = any(item.image.is_relative_to(root / "test") for root in children)
            (held_out if tested else items).append(replace(item, **names))
    names = " and ".join(folder.name for folder in folders)
    about = unlabelled.ABOUT | {"name": names, "source": f"unlabelled images of {names}"}
    if held_out:
        tests = [(root / "test").relative_to(folders[0].parent).as_posix() for root in children]
        about["held_out"] = (
            f"not in this set: the {len(held_out)} images of {' and '.join(tests)}, pictures equal "
            "to one of them, and the other images of whoever such a picture shows"
        )
    if others:
        about["other_files"] = dict(others)
    listing = Listing(folders[0].parent, items, problems)
    return _prepare(out, listing, about, size, seed, strict, held_out=held_out)


def _prepare(out, listing, about, size, seed, strict, held_out=()):
    settings = {"files": digest(listing.raw, listing.items)}
    tests = digest(listing.raw, held_out) if held_out else None
    wanted = settings | {"size": size, "held_out": tests}
    if not any(item.split for item in listing.items):
        wanted["seed"] = seed
    if kept := made_before(out, wanted):
        return kept
    if tests:
        settings["held_out"] = tests
    return prepare(
        listing,
        out,
        about,
        size=size,
        seed=seed,
        strict=strict,
        overwrite=True,
        held_out=held_out,
        settings=settings,
    )


def digest(raw, items):
    """A short hash of the listed files' names and sizes: other files, another prepared folder."""
    digest = hashlib.sha256()
    for item in items:
        for path in (item.image, *item.masks):
            name = path.relative_to(raw).as_posix()
            digest.update(f"{name} {path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]


def made_before(out, wanted):
    """The prepared folder `out` if it is whole and was made with the settings `wanted`, else None."""
    try:
        settings = json.loads((out / "about.json").read_text(encoding="utf-8"))["settings"]
        if any(settings.get(name) != value for name, value in wanted.items()):
            return None
        return load_prepared(out)
    except (OSError, ValueError, KeyError):
        return None
