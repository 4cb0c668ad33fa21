"""Whose each image of a folder is, as far as DICOM headers, folders and file names tell.

The rules, in order; each image goes by the first that applies to it:

1. The PatientID of a DICOM file, unless it is a placeholder, or all files have the same one while
   their folders tell patients apart.
2. A name that says so: a folder or file such as patient00001, sub-01, case_7 or MIMIC's p10000032,
   a folder that holds study1, ses-01 or the like; personN of the pediatric set, within its folder;
   the NIH's 00000334_002; Indiana's CXR12_IM-0001.
3. The outermost folder that is not named like a part or a class of the set (train, images_001, NORMAL,
   0 and 1), if the files below it are called as those in other such folders, if they bear its number,
   or if such folders are small or many.
4. Otherwise an image is a patient of its own; views of one name (PA/7.png, LATERAL/7.png) are one.

Mistaking two patients for one costs little, and the reverse puts a patient into training and test. So
files that PatientID and a patient's folder connect are one patient, and case is ignored.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path, PurePosixPath
from statistics import median

from data_prep.duplicates import last_name
from data_prep.names import composed, shown
from ums.backend import thread_count

SMALL, MANY = 30, 20
"""Folders are taken for the patients' if they hold at most so many files each, at the median, or if there
are more of them; classes are few and large."""

ID, FOLDER, FILE, GUESSED, OWN = (
    "by the PatientID of the DICOM files",
    "by folder, named like a patient's",
    "by file name",
    "by folder, taken for a patient's",
    "each image a patient of its own",
)
Told = tuple[str, str]
"""The rule that applied to an image, and its patient."""

_WORDS = "patient|pat|subject|subj|sub|participant|pt|case"
_PATIENT = re.compile(
    rf"(?<![a-z0-9])((?:{_WORDS}|person)[-_. (]{{0,2}}\d+|(?:{_WORDS}|person)[-_. ][a-z]\d*(?![a-z0-9])"
    r"|sub-[a-z0-9]+|PA\d{6}|p\d{8}(?=$|_s\d))",
    re.IGNORECASE,
)
_STUDY = re.compile(
    r"(study|stud|st|series|ser|se|session|ses|visit|exam|scan|acq|timepoint)[-_. ]?\d+"
    r"|s\d{8}|\d{4}-\d\d-\d\d|\d+(\.\d+){3,}",
    re.IGNORECASE,
)
_PERSON = re.compile(r"person\d+", re.IGNORECASE)
_STEMS = (r"(\d{8})_\d{3}", r"(CXR\d+)_.*IM-\d+.*")
_SERIES = re.compile(r"((?:NORMAL2-)?IM-\d+)(?:-\d+)+", re.IGNORECASE)
_PLACEHOLDER = re.compile(
    r"|anon\w*([ ^]patient)?|unknown|none|null|n/?a|removed|de-?identified|patient ?(id)?|id|x+|-+|\?+",
    re.IGNORECASE,
)
_VIEWS = frozenset(
    "frontal lateral pa ap ll lat left right original originals enhanced processed preprocessed "
    "resized cropped png jpg jpeg dicom dcm".split()
)
_PARTS = _VIEWS | frozenset(
    "train training val valid validation dev test testing holdout all unlabelled unlabeled labelled "
    "labeled stage data dataset database raw file files image images img imgs picture pictures chest "
    "xray xrays x ray rays cxr film films screen screens part parts batch fold split subset set group "
    "chunk shard volume folder archive class classes label category site hospital center centre normal "
    "abnormal healthy sick ill disease diseased control controls cases positive negative pos neg "
    "pneumonia bacteria bacterial virus viral covid tb tuberculosis benign malignant lung lungs opacity "
    "no finding findings nodule mass effusion edema cardiomegaly atelectasis consolidation infiltration "
    "pneumothorax emphysema fibrosis hernia fracture other others good poor high low male female".split()
)
_TOKENS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_ENDING = re.compile(r"\.(png|jpe?g|dcm|dicom|ima)$", re.IGNORECASE)
_VIEW_ENDING = re.compile(r"(?<=\w)[-_ ](frontal|lateral|pa|ap|lat|ll)$", re.IGNORECASE)


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
        The patients; and a sentence that says by which rule.

    Raises:
        ValueError: ``pattern`` is no regular expression, has no group, or does not match a path.
    """
    if pattern is not None:
        return _by_pattern(names, pattern), shown(f"by the expression {pattern}")
    told = by_layout(names)
    layout = {told[i][1] for i in range(len(names)) if ids[i] and told[i][0] != OWN}
    note = ""
    if len(set(filter(None, ids))) == 1 and len(layout) > 1:
        note = "; all DICOM files have one PatientID, which is not used"
        ids = [""] * len(names)
    patients = _joined(told, ids)
    spelt: dict[str, str] = {}
    patients = [spelt.setdefault(patient.casefold(), patient) for patient in patients]
    rules = Counter(ID if id_ else rule for id_, (rule, _) in zip(ids, told, strict=True))
    of = f"of {len(names)} images"
    texts = [rule + (f" ({n} {of})" if len(rules) > 1 else "") for rule, n in rules.items()]
    largest, n = Counter(patients).most_common(1)[0]
    if 1 < len(set(patients)) and 2 * n > len(patients):
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
    """Read the PatientID of DICOM files, "" where one states none or cannot be read.

    Raises:
        ModuleNotFoundError: pydicom is not installed.
    """
    if not paths:
        return []
    try:
        from ums.data import dicom  # which also silences pydicom's warnings
    except ModuleNotFoundError as error:
        text = (
            f"{paths[0]} is a DICOM file, and reading it needs pydicom: pip install 'ums-rep[data]'"
        )
        raise ModuleNotFoundError(text) from error

    def read(path: Path) -> str:
        try:
            header = dicom.pydicom.dcmread(
                path, stop_before_pixels=True, specific_tags=["PatientID"]
            )
            text = str(header.get("PatientID") or "")
        except Exception:  # damaged bytes lead to any; what is wrong is said when the image is read
            return ""
        text = composed(" ".join(text.replace("\0", " ").split()))
        return "" if _PLACEHOLDER.fullmatch(text) else shown(text)

    with ThreadPoolExecutor(thread_count()) as pool:
        return list(pool.map(read, paths))


def _joined(told: Sequence[Told], ids: Sequence[str]) -> list[str]:
    """Join what PatientIDs and names tell: files that share either are of one patient."""
    with_ids: dict[Told, set[str]] = {}
    for key, id_ in zip(told, ids, strict=True):
        with_ids.setdefault(key, set()).update(filter(None, [id_]))
    merged: dict[str, str] = {}
    layout = {key: f"{key[0]}\n{key[1]}" for key in with_ids}  # apart from PatientIDs
    for key, found in with_ids.items():
        # A folder that was only guessed to be a patient's is not, if it holds several PatientIDs.
        if key[0] in (FOLDER, FILE) or len(found) == 1:
            for id_ in sorted(found):
                one, other = last_name(layout[key], merged), last_name(id_, merged)
                if one != other:
                    merged[one] = other
    return [
        last_name(id_ or layout[key], merged).split("\n")[-1]
        for key, id_ in zip(told, ids, strict=True)
    ]


def by_layout(names: Sequence[str]) -> list[Told]:
    """Tell the rule and the patient of each image by rules 2 to 4; ``names`` as for above."""
    paths = [PurePosixPath(_ENDING.sub("", name)) for name in names]
    told: list[Told | None] = [_told(path) for path in paths]
    folders = _folders_of_patients([path for path, one in zip(paths, told, strict=True) if not one])
    return [
        one or ((GUESSED, folders[path]) if path in folders else (OWN, _own(path)))
        for path, one in zip(paths, told, strict=True)
    ]


def _told(path: PurePosixPath) -> Told | None:
    """Return the patient that a path names."""
    parts = path.parts[:-1]
    for part, below in zip(parts, (*parts, "")[1:], strict=True):
        if found := _PATIENT.search(part):
            return FOLDER, found[1].replace("(", "")
        if _STUDY.fullmatch(below) and not _is_part(part) and not _STUDY.fullmatch(part):
            return FOLDER, part
    # The numbers of the pediatric set start again in every folder; its val was taken out of train.
    folder = PurePosixPath(*("train" if part.lower() == "val" else part for part in parts))
    if person := _PERSON.search(path.name):
        return FILE, (folder / person[0]).as_posix()
    if all(map(_is_part, parts)) and (series := _SERIES.fullmatch(path.name)):
        return FILE, (folder / series[1]).as_posix()
    for pattern in _STEMS:
        if stem := re.fullmatch(pattern, path.name, re.IGNORECASE):
            return FILE, stem[1]
    found = _PATIENT.search(path.name)
    return (FILE, found[1].replace("(", "")) if found else None


def _folders_of_patients(paths: Sequence[PurePosixPath]) -> dict[PurePosixPath, str]:
    """Return the patient of each of the files that lie in a folder taken for a patient's."""
    found: dict[PurePosixPath, str] = {}
    depth, inner = 1, {path: [p for p in path.parts[:-1] if not _is_part(p)] for path in paths}
    n_paths = len(inner)
    while inner := {path: parts for path, parts in inner.items() if len(parts) >= depth}:
        groups: dict[str, list[PurePosixPath]] = {}
        for path, parts in inner.items():
            groups.setdefault("/".join(parts[:depth]), []).append(path)
        is_patients = _patients_test(groups)
        for folder, files in groups.items():
            holds_all = len(files) == n_paths  # such a folder tells nothing apart
            if not holds_all and is_patients(folder):
                found |= dict.fromkeys(files, folder)
        inner = {path: parts for path, parts in inner.items() if path not in found}
        depth += 1
    return found


def _patients_test(groups: dict[str, list[PurePosixPath]]) -> Callable[[str], bool]:
    """Return what tells whether a folder is a patient's, from the files of all folders of its kind."""
    typical = median(map(len, groups.values()))
    names = sorted(folder.split("/")[-1] for folder in groups)
    if names == list("01234"[: len(names)]) and len(names) <= typical:
        return lambda folder: False  # classes
    below = {
        folder: {path: _below(path, folder) for path in files} for folder, files in groups.items()
    }
    times = Counter(name for names in below.values() for name in set(names.values()))

    def is_patients(folder: str) -> bool:
        name = folder.split("/")[-1].casefold()
        again = sum(times[one] > 1 for one in below[folder].values())
        bears_its_name = all(path.name.casefold().startswith(name) for path in groups[folder])
        coded = bears_its_name and any(map(str.isdecimal, name))  # glioma/glioma_7.png is a class
        small = typical <= SMALL or len(groups) > MANY
        return 2 * again > len(groups[folder]) or coded or small

    return is_patients


def _below(path: PurePosixPath, folder: str) -> str:
    parts = path.parts
    return "/".join(parts[parts.index(folder.split("/")[-1]) + 1 :])


def _own(path: PurePosixPath) -> str:
    parts = [part for part in path.parts[:-1] if not _words(part) <= _VIEWS]
    return "/".join([*parts, _VIEW_ENDING.sub("", path.name)])


@lru_cache(4096)
def _is_part(folder: str) -> bool:
    """Return whether a folder is named like a part or a class of a set, or like a view."""
    words = _words(folder)
    if words <= _VIEWS:  # but PA001 is a patient
        return not any(map(str.isdecimal, folder))
    return folder.isascii() and words <= _PARTS


def _words(folder: str) -> set[str]:
    """Return the words in a name, without numbers and single letters; the whole name if it has none."""
    words = {word.lower() for word in _TOKENS.findall(folder) if len(word) > 1}
    return words or {folder}
