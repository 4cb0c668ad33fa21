"""Films for the capstones: real ones from a folder, or synthetic ones where there is none.

A capstone reads the folder that its ``DATA`` or the environment variable of that name gives: a prepared
folder (``python -m data_prep SET RAW FOLDER``), or a raw set in its owner's layout, Shenzhen, Montgomery
or RSNA, which is then prepared once, in ``own/`` beside the notebook.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_prep.collect import prepare
from data_prep.images import resize_mask
from data_prep.montgomery import ABOUT as MONTGOMERY
from data_prep.montgomery import list_montgomery
from data_prep.options import Options
from data_prep.rsna import ABOUT as RSNA
from data_prep.rsna import list_rsna
from data_prep.shenzhen import ABOUT as SHENZHEN
from data_prep.shenzhen import list_shenzhen
from data_prep.synthetic import make_synthetic
from ums.data import load_prepared
from ums.data.resize import resize_image

RAW = {
    "ManualMask": (list_montgomery, MONTGOMERY),
    "mask": (list_shenzhen, SHENZHEN),
    "stage_2_train_images": (list_rsna, RSNA),
}
"""A folder that only this raw set has -> how it is read."""

SPLITS = {"train": 0.6, "validation": 0.15, "test": 0.25}
"""Shares of synthetic films; real ones are split by patient when they are prepared."""


class Films(NamedTuple):
    """Films of one size.

    Attributes:
        images: (N, S, S) uint8.
        masks: Lungs, (N, S, S) uint8 of 0 and 1.
        opacities: Disease, (N, S, S) uint8 of 0 and 1.
        rows: "train", "validation" and "test" -> the numbers of its films, those that have what was
            asked for.
        name: Where they are from.
    """

    images: np.ndarray
    masks: np.ndarray | None
    opacities: np.ndarray | None
    rows: dict[str, np.ndarray]
    name: str


def synthetic_films(n, size, rng, hospital="A", abnormal_fraction=None):
    """Draw ``n`` films of a made-up hospital; arguments as of ``make_synthetic``."""
    made = make_synthetic(n, size, rng, hospital, abnormal_fraction)
    ends = np.rint(n * np.cumsum(list(SPLITS.values()))).astype(int)
    rows = dict(zip(SPLITS, np.split(np.arange(n), ends[:-1]), strict=True))
    return Films(made.images, made.masks, made.opacities, rows, f"synthetic, hospital {hospital}")


def real_films(data, size, needed, cache="own/films"):
    """Films from a prepared folder or a raw set, square and ``size`` pixels a side.

    Args:
        data: The folder.
        size: Side in pixels.
        needed: "masks" or "opacities"; films without them are left out of ``rows``.
        cache: Where a raw set is prepared, once.

    Raises:
        ValueError: The folder is neither, or its films lack what is needed; the message names it.
    """
    folder = Path(data)
    if not (folder / "about.json").is_file():
        folder = _prepared(folder, Path(cache, f"{folder.resolve().name}-{size}"), size)
    prepared = load_prepared(folder)
    targets = getattr(prepared, needed)
    if targets is None:
        raise ValueError(f"{data}: its films have no {needed}, which this capstone needs")
    there = prepared.has_mask if needed == "masks" else np.ones(len(targets), bool)
    rows = {split: np.flatnonzero(there & (prepared.splits == split)) for split in SPLITS}
    if empty := [split for split, chosen in rows.items() if not len(chosen)]:
        raise ValueError(f"{data}: no film with {needed} is in the {empty[0]} part")
    images = np.stack([resize_image(np.asarray(image), size) for image in prepared.images])
    sized = {
        name: None if array is None else np.stack([resize_mask(mask, size) for mask in array])
        for name, array in (("masks", prepared.masks), ("opacities", prepared.opacities))
    }
    return Films(images, **sized, rows=rows, name=prepared.about.get("name", folder.name))


def _prepared(raw, out, size):
    """The prepared folder of a raw set, made where it is not there."""
    if not raw.is_dir():
        raise ValueError(f"DATA: there is no folder {raw}")
    if (out / "about.json").is_file():
        return out
    for mark, (make_list, about) in RAW.items():
        if (raw / mark).is_dir():
            out.parent.mkdir(parents=True, exist_ok=True)
            prepare(make_list(raw), out, Options(size=size), about)
            return out
    raise ValueError(
        f"{raw} is neither a prepared folder nor one of the sets of Shenzhen, Montgomery or RSNA; "
        "prepare it first: python -m data_prep --help"
    )
