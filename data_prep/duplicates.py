"""One picture under several names: kept once, and never on both sides of a split.

Equal means equal pixels, whatever the file around them; a picture that was cropped, scaled or
compressed again is another one here.
"""

import hashlib
from dataclasses import replace


def digests(data, image):
    """Hashes of a file's bytes and of its pixels, for `image` (H, W) uint8 as decoded from them."""
    pixels = hashlib.sha256(repr(image.shape).encode() + image.tobytes())
    return hashlib.sha256(data).digest(), pixels.digest()


def without_duplicates(items, found):
    """Leave one item of each picture; return those left and what was left out, with the reasons.

    items: in the order of preference, but that one of the published test set comes before all; found:
    the `digests` of each. Returns {place in `items`: item}, in order, and a list of (path, why).

    Patients who share a picture are one person under two names, and get one name. Where one of them
    is in the test set and the other not, a common name cannot be: then the other's remaining images
    are left out too.
    """
    first, merged, duplicates, tested = {}, {}, [], set()
    for i in sorted(range(len(items)), key=lambda i: items[i].split != "test"):
        item, (data, pixels) = items[i], found[i]
        if pixels not in first:
            first[pixels] = i
            continue
        original, same = items[first[pixels]], data == found[first[pixels]][0]
        what = f"the same {'bytes' if same else 'pixels'} as {original.id}"
        duplicates.append((item.image, what + _disagreement(item.labels, original.labels)))
        if item.split == original.split:
            merged[_name(item.patient, merged)] = _name(original.patient, merged)
        else:
            tested.add(item.patient)
    left = {i: replace(items[i], patient=_name(items[i].patient, merged)) for i in first.values()}
    tested = {_name(patient, merged) for patient in tested}
    for i in [i for i, item in left.items() if item.split != "test" and item.patient in tested]:
        why = f"its patient {items[i].patient} shares a picture with the test set"
        duplicates.append((left.pop(i).image, why))
    return dict(sorted(left.items())), duplicates


def _name(patient, merged):
    """Follow the names that a patient was given, to the last."""
    while merged.get(patient, patient) != patient:
        patient = merged[patient]
    return patient


def _disagreement(labels, others):
    named = [f"{name} {value}, there {others.get(name)}" for name, value in labels.items()]
    return f", though labelled {'; '.join(named)}" if labels != others else ""
