"""Which patient each image shows, as far as the names of its folders and its file tell.

The first of these rules that applies to an image gives its patient:

1. A name that is known to be a patient's, of the file or of a folder it is in: patient00001, sub-01,
   case_7, MIMIC's p10000032, the NIH's 00000334_002.png. If they tell several patients apart, also
   patient_smith, sub-ABXY and the folder around study1, ses-01 or a UID.
2. The outermost folder that is not a part (train, images_001) or a class (NORMAL; 0, 1, 2) of the set,
   provided that these folders look like patients: they are numbered from 1, or most file names occur
   in several of them, or they hold few images each, or there are many of them.
3. The films personN or IM-nnnn of the pediatric set, and what the names of a folder's files have in
   common before a view or a short counter, provided that these beginnings hold a number and look like
   patients: P001 of P001_L_CC and 007 of 007_aug1.
4. Otherwise each image counts as its own patient.

A folder that is a date, a visit, a view or a maker of scanners is passed over: any patient may be in it.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from statistics import median

FEW, MANY = 30, 20
"""Classes hold more images than ``FEW``, and are not more than ``MANY``."""

BY_NAME = "by the name of a folder or file"
BY_FOLDER = "by folder, taken for a patient's"
OWN = "each image counts as its own patient"
RuleAndPatient = tuple[str, str]
"""The rule that applied to an image, and its patient."""

_PATIENT = "patient|pat|pt|subject|subj|sub|participant|paciente|volunteer|proband|case"
_KNOWN = re.compile(
    rf"""(?<![a-z0-9])(
      sub-[a-z]*\d[a-z0-9]*  # BIDS
    | ({_PATIENT})[-_. (#]*((no|nr|number|id)[-_. (#]*)?\d+
    | p\d{{8}}(?!\d)  # MIMIC
    | PA\d{{6}}  # a DICOM disc
    | (?<![^/])\d{{8}}(?=_\d{{3}}(?!\d))  # the NIH
    | CXR\d+(?=_.*IM-)  # Indiana
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_NUMBERED = re.compile(r"(.*/)?[^/]*(person\d+|IM-\d+(?=-\d))", re.IGNORECASE)
_LETTERS = re.compile(
    rf"(?<![^/])((?i:{_PATIENT})(?:[-_ ]+(?P<name>[^\W\d_]+)|[A-Z](?![^\W\d_]))|sub-(?P<sub>[A-Za-z]+))"
)
_STUDY = re.compile(
    r"(study|st|series|se|session|ses|visit|exam|scan)[-_. ]?\d[\d.]*|\d{4}-\d\d-\d\d|\d+(\.\d+){3,}",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"(19[89]|20[0-4])\d([-_. ]?(0[1-9]|1[0-2])([-_. ]?(0[1-9]|[12]\d|3[01]))?)?", re.ASCII
)
_VIEW = re.compile(
    r"[-_ ]?(?<![a-z0-9])(frontal|lateral|lat|pa|ap|left|right|cc|mlo|ml|lm|resized|cropped|flipped|"
    r"[lr]|(png|jpe?g)\.rf\.[0-9a-f]+)(?![a-z0-9])",
    re.IGNORECASE,
)
_COUNTER = re.compile(
    r"(.*[^\W_]\W*)[-_ (#]+((19|20)\d{6}|[a-z]|[a-z]{0,6}[-_ ]?\d{1,3}|pre|post)\)?", re.IGNORECASE
)
_ENDING = re.compile(r"(\.(png|jpe?g|dcm|dicom|ima))+$", re.IGNORECASE)
_PARTS = frozenset(
    "train training val valid validation dev test testing all data dataset raw file files image images "
    "img imgs dicom png jpg jpeg chest xray ray rays cxr film films part batch fold split subset set group "
    "site hospital class label normal abnormal healthy disease control covid pneumonia bacteria "
    "bacterial virus viral tb tuberculosis benign malignant lung opacity no non finding effusion nodule "
    "mass other positive negative".split()
)
_OCCASIONS = frozenset(
    "frontal lateral lat pa ap left right visit exam baseline followup follow up timepoint year "
    "scanner device ge siemens philips fuji fujifilm agfa canon toshiba samsung hologic carestream".split()
)


def patients_by_layout(names: Sequence[str]) -> list[RuleAndPatient]:
    """Return the rule that applies to each path, with slashes, and the patient it gives."""
    names = [_ENDING.sub("", name) for name in names]
    short = _without_occasions(names)
    by_rule = _told_by_letters(names, short)
    by_rule |= {name: (BY_NAME, patient) for name in names if (patient := _known(name))}
    left = {name: short[name] for name in names if name not in by_rule}
    folders = _in_patient_folders([*left.values()])
    by_rule |= {name: folders[path] for name, path in left.items() if path in folders}
    # The numbers of the pediatric set start again in every folder; its val was taken out of train.
    by_rule |= {
        name: (BY_NAME, found[0])
        for name in names
        if name not in by_rule
        and (found := _NUMBERED.match(re.sub("(^|/)val/", r"\1train/", name)))
    }
    left = {name: path for name, path in left.items() if name not in by_rule}
    beginnings = _beginnings([_without_view(path) for path in left.values()])
    by_rule |= {name: beginnings[_without_view(path)] for name, path in left.items()}
    spelt: dict[str, str] = {}
    return [
        (rule, spelt.setdefault(spelling(patient), patient) if rule == BY_NAME else patient)
        for rule, patient in map(by_rule.__getitem__, names)
    ]


def spelling(patient: str) -> str:
    """Return what the spellings of a patient's name share: patient_1, Patient 01 and PATIENT001."""
    words = re.findall(r"\d+|[^\d\s_.()-]+", patient.casefold())
    return " ".join(word.lstrip("0") or "0" for word in words) or patient


def _known(name: str) -> str:
    """Return the patient that a path names, "" if it names none."""
    found = _KNOWN.search(name)
    return re.sub("[(#]", "", found[1]) if found else ""


def _told_by_letters(names: Sequence[str], short: dict[str, str]) -> dict[str, RuleAndPatient]:
    """Return the patients that paths seem to name, if they are several."""
    patients = {}
    for name in names:
        kept = short[name].split("/")
        around = (f for f, below in pairwise(name.split("/")[:-1]) if _STUDY.fullmatch(below))
        patient = next((f for f in around if f in kept and not _in_words(f, _PARTS)), "")
        found = _LETTERS.search(name)
        if found and not _in_words(found["name"] or found["sub"] or "", _PARTS | _OCCASIONS):
            patient = found[0]
        if patient:
            patients[name] = (BY_NAME, _without_view(patient))
    return patients if len({*patients.values()}) > 1 else {}


def _without_occasions(names: Sequence[str]) -> dict[str, str]:
    """Return each path without the folders that any patient may be in: dates, visits and views."""
    at: dict[int, dict[tuple[str, str], bool]] = defaultdict(dict)
    for name in names:
        for level, pair in enumerate(pairwise(parts := name.split("/"))):
            at[level][pair] = level + 2 < len(parts)
    dated = {level for level, pairs in at.items() if _are_dates(pairs)}
    short = {}
    for name in names:
        *folders, file = name.split("/")
        kept = [
            folder
            for level, folder in enumerate(folders)
            if level not in dated and not _in_words(folder, _OCCASIONS)
        ]
        short[name] = "/".join([*kept, file])
    return short


def _are_dates(pairs: dict[tuple[str, str], bool]) -> bool:
    """Return whether folders, each with a name in it and whether that is a folder, are dates of many.

    Many numbers of four digits are no years, and no more names than dates are no patients.
    """
    folders, within = ({*some} for some in zip(*pairs, strict=True))
    years = sum(len(folder) == 4 for folder in folders)
    several = all(pairs.values()) or len(within) > len(folders)
    return several and years <= MANY and all(map(_DATE.fullmatch, folders))


def _in_patient_folders(names: Sequence[str]) -> dict[str, RuleAndPatient]:
    """Return the rule and the patient of each path that lies in a patient's folder, by rule 2."""
    folders = {
        name: [f for f in name.split("/")[:-1] if not _in_words(f, _PARTS)] for name in names
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
    if 2 * again > len(places) or _are_patients(sizes) or all(map(str.isdecimal, sizes)):
        return {name: (BY_FOLDER, patient) for name, patient in patients.items()}
    return {}


def _are_patients(sizes: Counter[str]) -> bool:
    return median(sizes.values()) <= FEW or len(sizes) > MANY


def _not_dominant(sizes: Counter[str]) -> list[str]:
    """Return the beginnings of file names, except one that most of many images share."""
    most = max(FEW, sizes.total() / 2)
    return [beginning for beginning, n in sizes.items() if n <= most]


def _beginnings(names: Sequence[str]) -> dict[str, RuleAndPatient]:
    """Return the rule and the patient of each path by rules 3 and 4."""
    patients = {name: name for name in names}
    for _ in range(4):  # P001_2_L, as one counter after another
        cut = {name: found[1] for name, p in patients.items() if (found := _counted(p))}
        sizes: dict[str, Counter[str]] = defaultdict(Counter)
        for beginning in cut.values():
            sizes[beginning.rpartition("/")[0]][beginning] += 1
        told = {
            beginning
            for there in sizes.values()
            if len(there) > 1 and _are_patients(there)
            for beginning in _not_dominant(there)
        }
        patients |= {name: beginning for name, beginning in cut.items() if beginning in told}
    cut_to = {p.rpartition("/")[2] for name, p in patients.items() if p != name}  # in any folder
    return {
        name: (BY_NAME, patient) if (patient := p.rpartition("/")[2]) in cut_to else (OWN, p)
        for name, p in patients.items()
    }


def _counted(name: str) -> re.Match[str] | None:
    """Match a file name that ends in a counter after what may be a patient, which holds a number."""
    found = _COUNTER.fullmatch(name)
    beginning = found[1].rpartition("/")[2] if found else ""
    is_class = _in_words(beginning, _PARTS) and not re.search(r"\d{3}", beginning)  # covid19_1
    return found if re.search(r"\d", beginning) and not is_class else None


def _in_words(folder: str, words: frozenset[str]) -> bool:
    """Return whether a name consists of some words, whatever its number."""
    found = {word.lower() for word in re.findall("[A-Z]?[a-z]+|[A-Z]+", folder) if len(word) > 1}
    return bool(found) and found <= words


def _without_view(path: str) -> str:
    folder, slash, file = path.rpartition("/")
    return folder + slash + (_VIEW.sub("", file).strip(" _-") or file)
