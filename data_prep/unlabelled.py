"""Any folder of PNG, JPEG or DICOM images, for training an encoder without labels.

The pediatric X-rays of D. Kermany et al. (2018, CC BY 4.0) and those of the NIH (X. Wang et al.,
2017) are of this kind. The rules that determine the patients stand in data_prep/patients.py.
"""

from collections import Counter
from pathlib import Path

from data_prep.listing import Item, Listing, find_files
from data_prep.names import name_within
from data_prep.patients import name_patients, patient_ids
from ums.data.decode import image_kind

ABOUT = {"source": "a folder of images", "licence": "see the owner of the images"}
_SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")


def list_unlabelled(raw: str | Path, patient: str | None = None) -> Listing:
    """List the PNG, JPEG and DICOM files at any depth under ``raw``, in order.

    DICOM files need no ending: archives export them without one. ``about`` states the rule that
    determined the patients, and counts other files by their ending. A file whose first bytes are those
    of an image is a problem if its ending is not.

    Args:
        raw: The folder.
        patient: As in :class:`data_prep.options.Options`.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: It holds no image, or ``patient`` does not match one of them.
    """
    raw = Path(raw)
    if not raw.is_dir():
        raise FileNotFoundError(f"no folder {raw}")
    files, problems = find_files(raw)
    paths: list[Path] = []
    others: Counter[str] = Counter()
    for path in files:
        ending = path.suffix.lower()
        try:
            kind = None if ending in _SUFFIXES else image_kind(path)
        except OSError as error:
            problems.append((path, f"cannot be read: {error.strerror or error}"))
            continue
        is_index = kind == "DICOM" and path.name.upper() == "DICOMDIR"  # of the files on a disc
        is_export = kind == "DICOM" and (ending in ("", ".ima") or ending[1:].isdecimal())
        if ending in _SUFFIXES or (is_export and not is_index):
            paths.append(path)
        elif kind and not is_index:
            problems.append((path, f"a {kind} image by another name: should end in {_SUFFIXES}"))
        else:
            others[ending or "no ending"] += 1
    if not paths:
        first = "".join(f"; {path}: {why}" for path, why in problems[:1])
        raise ValueError(f"{raw} holds no image ({', '.join(_SUFFIXES)}) at any depth{first}")
    names = [name_within(path, raw) for path in paths]
    patients, rule = name_patients(names, patient_ids(paths), patient)
    about = {"patients": rule} | ({"other_files": dict(others)} if others else {})
    return Listing(raw, list(map(Item, names, patients, paths)), problems, about)
