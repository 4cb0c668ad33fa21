"""Which patient each image shows.

The first of these rules that applies to an image gives its patient:

1. The PatientID of a DICOM file. A placeholder such as ANONYMOUS does not count, nor does one ID in all
   of several files. A file without an ID takes that of the files of the same patient by the rules below;
   if they have several, these IDs count as one patient.
2. Its folders and its name, by the rules of :mod:`data_prep.layout`. Case, separators and leading zeros
   make no difference: patient_1 is Patient 01.

Mistaking two patients for one costs little, while the reverse puts a patient into training and test.
"""

import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from data_prep.duplicates import last_name
from data_prep.layout import RuleAndPatient, patients_by_layout, spelling
from data_prep.names import nfc, printable
from ums.backend import thread_count

BY_ID = "by the PatientID of the DICOM files"

_PLACEHOLDER = re.compile(
    r"[\W0]*|x+|anon[a-z]*([ ^_]?patient)?|unknown|none|null|n/?a|removed|de-?identified|id|redacted|"
    r"private|confidential|(test[ ^_]?)?patient|test",
    re.IGNORECASE,
)


def name_patients(
    names: Sequence[str], ids: Sequence[str], pattern: str | None = None
) -> tuple[list[str], str]:
    """Name the patient of each image.

    Args:
        names: The path of each image below the folder of the set, with slashes.
        ids: The PatientID of each, "" where there is none.
        pattern: A regular expression whose first group, searched in the path, is the patient; None
            applies the rules above.

    Returns:
        The patients; and the rules that determined them, in words.

    Raises:
        ValueError: ``pattern`` is no regular expression, has no group, or does not match a path.
    """
    if pattern is not None:
        return _by_pattern(names, pattern), printable(f"by the expression {pattern}")
    found, note = _with_ids(patients_by_layout(names), ids)
    spelt: dict[str, str] = {}
    patients = [spelt.setdefault(patient.casefold(), patient) for _, patient in found]
    rules = Counter(rule for rule, _ in found)
    of = f"of {len(names)} images"
    texts = [rule + (f" ({n} {of})" if len(rules) > 1 else "") for rule, n in rules.items()]
    largest, n = Counter(patients).most_common(1)[0]
    if n < len(names) < 2 * n:
        note += f"; {largest} alone has {n} {of}"
    return patients, ", ".join(sorted(texts)) + note


def _by_pattern(names: Sequence[str], pattern: str) -> list[str]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"--patient {pattern}: no regular expression: {error}") from error
    if not expression.groups:
        raise ValueError(f"--patient {pattern}: should have a group, which is the patient: (...)")
    patients = []
    for name in names:
        found = expression.search(name)
        if not (found and found[1]):
            raise ValueError(f"--patient {pattern}: finds no patient in {name}")
        patients.append(found[1])
    return patients


def patient_ids(paths: Sequence[Path]) -> list[str]:
    """Read the PatientID of each file, "" for one that states none, cannot be read or is no DICOM."""

    def read(path: Path) -> str:
        if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
            return ""
        try:
            from ums.data.dicom import pydicom  # silenced there

            header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["PatientID"])
            text = str(header.get("PatientID") or "")
        except MemoryError:
            raise
        except Exception:  # damaged bytes raise anything; reading the image will report it
            return ""
        text = nfc(" ".join(text.replace("\0", " ").split()))
        return "" if _PLACEHOLDER.fullmatch(text) else printable(text)

    with ThreadPoolExecutor(thread_count()) as pool:
        return list(pool.map(read, paths))


def _id_spelling(id_: str) -> str:
    """Return what the spellings of a PatientID share: 001 and 1, P0 and P0^^^HOSPITAL."""
    return spelling(id_.partition("^^^")[0] or id_)


def _with_ids(found: list[RuleAndPatient], ids: Sequence[str]) -> tuple[list[RuleAndPatient], str]:
    """Apply rule 1 to what the other rules found; also return a note of what was done."""
    stating = sum(map(bool, ids))
    spelt: dict[str, str] = {}
    ids = [spelt.setdefault(_id_spelling(id_), id_) if id_ else "" for id_ in ids]
    if len(spelt) == 1 < stating:
        one = next(iter(spelt.values()))
        return found, f"; all {stating} DICOM files have one PatientID, {one}, which is not used"
    ids_of: dict[str, list[str]] = {}
    for id_, (_, patient) in zip(ids, found, strict=True):
        ids_of.setdefault(patient, []).append(id_)
    joined: dict[str, str] = {}
    note = ""
    for some in ids_of.values():
        stated = list(dict.fromkeys(id_ for id_ in some if id_))
        if len(stated) > 1 and "" in some:  # whose is the file without one?
            note += (
                f"; one patient, because a file beside theirs has no PatientID: {', '.join(stated)}"
            )
            for id_ in stated[1:]:
                joined[last_name(id_, joined)] = last_name(stated[0], joined)
    with_ids = []
    for id_, (rule, patient) in zip(ids, found, strict=True):
        id_ = id_ or next(filter(None, ids_of[patient]), "")
        with_ids.append((BY_ID, last_name(id_, joined)) if id_ else (rule, patient))
    return with_ids, note
