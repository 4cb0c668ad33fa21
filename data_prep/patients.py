"""Which patient each image shows.

The first of these rules that applies to an image gives its patient:

1. The PatientID of a DICOM file. A placeholder such as ANONYMOUS does not count, nor does one ID in all
   files if folders or file names tell patients apart. A file without an ID takes that of the files of
   the same patient by the rules below; if they have several, these IDs count as one patient.
2. A name that is known to be a patient's, of the file or of a folder it is in: patient00001, sub-01,
   case_7, MIMIC's p10000032, the NIH's 00000334_002.png, or the folder around study1 or ses-01.
   Case, separators and leading zeros make no difference: patient_1 is Patient 01.
3. The outermost folder that is not a part (train, images_001), a view (lateral) or a class (NORMAL; 0,
   1, 2) of the set, provided that these folders look like patients: most file names occur in several
   of them, or they hold few images each, or there are many of them.
4. Otherwise each image counts as its own patient, except for files of a folder whose names belong
   together: the films personN or IM-nnnn of the pediatric set, and the views 7_PA.png and 7_lateral.png.

Mistaking two patients for one costs little, while the reverse puts a patient into training and test.
"""

import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from statistics import median

from data_prep.duplicates import last_name
from data_prep.names import nfc, printable
from ums.backend import thread_count

FEW, MANY = 30, 20
"""Classes hold more images than ``FEW``, and are not more than ``MANY``."""

BY_ID = "by the PatientID of the DICOM files"
BY_NAME = "by the name of a folder or file"
BY_FOLDER = "by folder, taken for a patient's"
OWN = "each image counts as its own patient"
RuleAndPatient = tuple[str, str]
"""The rule that applied to an image, and its patient."""

_PLACEHOLDER = re.compile(
    r"[\W0]*|x+|anon[a-z]*([ ^_]?patient)?|unknown|none|null|n/?a|removed|de-?identified|id|patient",
    re.IGNORECASE,
)
_KNOWN = re.compile(
    r"""(?<![a-z0-9])(
      sub-[a-z]*\d[a-z0-9]*  # BIDS
    | (patient|pat|pt|subject|subj|sub|participant|case)[-_. (]*\d+
    | p\d{8}(?!\d)  # MIMIC
    | PA\d{6}  # a DICOM disc
    | (?<![^/])\d{8}(?=_\d{3}$)  # the NIH
    | CXR\d+(?=_.*IM-)  # Indiana
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_STUDY = re.compile(
    r"(study|st|series|se|session|ses|visit|exam|scan)[-_. ]?\d+|\d{4}-\d\d-\d\d|\d+(\.\d+){3,}",
    re.IGNORECASE,
)
_VIEW = re.compile(r"[-_ ]?(?<![a-z0-9])(frontal|lateral|lat|pa|ap)(?![a-z0-9])/?", re.IGNORECASE)
_NUMBERED = re.compile(r"(.*/)?[^/]*(person\d+|IM-\d+(?=-\d))", re.IGNORECASE)
_ENDING = re.compile(r"\.(png|jpe?g|dcm|dicom|ima)$", re.IGNORECASE)
_PARTS = frozenset(
    "train training val valid validation dev test testing all data dataset raw file files image images "
    "img imgs dicom png jpg chest xray ray rays cxr film films part batch fold split subset set group "
    "site hospital class label frontal lateral lat pa ap left right normal abnormal healthy disease control "
    "covid pneumonia bacteria bacterial virus viral tb tuberculosis benign malignant lung opacity no non "
    "finding effusion nodule mass other positive negative".split()
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
    found, note = _with_ids(_by_layout(names), ids)
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


def _with_ids(found: list[RuleAndPatient], ids: Sequence[str]) -> tuple[list[RuleAndPatient], str]:
    """Apply rule 1 to what the other rules found; also return a note of what was done."""
    apart = {
        patient for id_, (rule, patient) in zip(ids, found, strict=True) if id_ and rule != OWN
    }
    if len({*ids} - {""}) == 1 and len(apart) > 1:
        return found, "; all DICOM files have one PatientID, which is not used"
    spelt: dict[str, str] = {}
    ids = [spelt.setdefault(id_.casefold(), id_) for id_ in ids]
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


def _by_layout(names: Sequence[str]) -> list[RuleAndPatient]:
    """Return the rule and the patient of each path, by rules 2 to 4."""
    names = [_ENDING.sub("", name) for name in names]
    by_rule = {name: (BY_NAME, patient) for name in names if (patient := _known(name))}
    by_rule |= _in_patient_folders([name for name in names if name not in by_rule])
    found = [by_rule.get(name) or _own(name) for name in names]
    spelt: dict[str, str] = {}
    return [
        (rule, spelt.setdefault(_spelling(patient), patient) if rule == BY_NAME else patient)
        for rule, patient in found
    ]


def _spelling(patient: str) -> str:
    """Return what the spellings of a patient's name share: patient_1, Patient 01 and PATIENT001."""
    words = re.findall(r"\d+|[^\d\s_.()-]+", patient.casefold())
    return " ".join(word.lstrip("0") or "0" for word in words) or patient


def _known(name: str) -> str:
    """Return the patient that a path names, "" if it names none."""
    if found := _KNOWN.search(name):
        return found[1].replace("(", "")
    for folder, below in pairwise(name.split("/")[:-1]):
        if _STUDY.fullmatch(below) and not _is_part_view_or_class(folder):
            return folder
    return ""


def _in_patient_folders(names: Sequence[str]) -> dict[str, RuleAndPatient]:
    """Return the rule and the patient of each path that lies in a patient's folder, by rule 3."""
    folders = {
        name: [f for f in name.split("/")[:-1] if not _is_part_view_or_class(f)] for name in names
    }
    folders = {name: inner for name, inner in folders.items() if inner}
    while len({inner[0] for inner in folders.values()}) == 1:  # a folder around all
        folders = {name: inner[1:] for name, inner in folders.items() if inner[1:]}
    patients = {name: inner[0] for name, inner in folders.items()}
    sizes = Counter(patients.values())
    if not sizes or ("0" in sizes and {*sizes} <= {*"01234"}):  # classes
        return {}
    places = {(name.split("/")[-1], patient) for name, patient in patients.items()}
    times = Counter(file for file, _ in places)
    again = sum(times[file] > 1 for file, _ in places)
    if 2 * again > len(places) or median(sizes.values()) <= FEW or len(sizes) > MANY:
        return {name: (BY_FOLDER, patient) for name, patient in patients.items()}
    return {}


def _is_part_view_or_class(folder: str) -> bool:
    """Return whether a folder has the name of a part, a view or a class, whatever its number."""
    words = {word.lower() for word in re.findall("[A-Z]?[a-z]+|[A-Z]+", folder) if len(word) > 1}
    return bool(words) and words <= _PARTS


def _own(name: str) -> RuleAndPatient:
    """Return the rule and the patient of an image by rule 4."""
    # The numbers of the pediatric set start again in every folder; its val was taken out of train.
    if found := _NUMBERED.match(re.sub("(^|/)val/", r"\1train/", name)):
        return BY_NAME, found[0]
    return OWN, _VIEW.sub("", name) or name
