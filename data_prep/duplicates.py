"""One picture under several names: it is kept once, and never in two splits.

Pictures are equal if their pixels are, whatever the files. A picture that was cropped, scaled or
compressed again counts as another one.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from data_prep.listing import Item

Digests = tuple[bytes, bytes] | tuple[tuple, tuple]
"""What tells two files apart, and what tells two pictures apart."""


def digests(data: bytes, image: np.ndarray) -> Digests:
    """Return hashes of the bytes of a file and of the pixels decoded from them."""
    pixels = hashlib.sha256(repr(image.shape).encode() + image.tobytes())
    return hashlib.sha256(data).digest(), pixels.digest()


def without_duplicates(
    items: Sequence[Item], found: Sequence[Digests]
) -> tuple[dict[int, Item], list[tuple[Path, str]]]:
    """Keep one item of each picture.

    Patients who share a picture are one person under two names, and get one name. If one of them is
    in the published test set and the other is not, they cannot share a name: the remaining images of
    the other are then left out too.

    Args:
        items: The items in the order of preference; those of the published test set precede all.
        found: The digests of each, as :func:`digests` returns them.

    Returns:
        The items that are kept, in order, each under its place in ``items``; and the files that are
        left out, each with the reason.
    """
    first: dict[bytes | tuple, int] = {}
    merged: dict[str, str] = {}
    duplicates: list[tuple[Path, str]] = []
    in_test: set[str] = set()
    for i in sorted(range(len(items)), key=lambda i: items[i].split != "test"):
        item, (data, pixels) = items[i], found[i]
        if pixels not in first:
            first[pixels] = i
            continue
        original, same = items[first[pixels]], data == found[first[pixels]][0]
        what = f"the same {'bytes' if same else 'pixels'} as {original.id}"
        duplicates.append((item.image, what + _disagreement(item.labels, original.labels)))
        if item.split == original.split:
            merged[last_name(item.patient, merged)] = last_name(original.patient, merged)
        else:
            in_test.add(item.patient)
    left = {
        i: replace(items[i], patient=last_name(items[i].patient, merged)) for i in first.values()
    }
    in_test = {last_name(patient, merged) for patient in in_test}
    for i in [i for i, item in left.items() if item.split != "test" and item.patient in in_test]:
        why = f"its patient {items[i].patient} shares a picture with the test set"
        duplicates.append((left.pop(i).image, why))
    return dict(sorted(left.items())), duplicates


def last_name(patient: str, merged: dict[str, str]) -> str:
    """Return the last of the names that a patient was given; ``merged`` gives the next of each."""
    while merged.get(patient, patient) != patient:
        patient = merged[patient]
    return patient


def _disagreement(labels: dict[str, int], others: dict[str, int]) -> str:
    named = [f"{name} {value}, there {others.get(name)}" for name, value in labels.items()]
    return f", though labelled {'; '.join(named)}" if labels != others else ""
