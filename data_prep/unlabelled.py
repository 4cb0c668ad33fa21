"""Any folder of PNG, JPEG or DICOM images, for training an encoder without labels.

The pediatric X-rays of D. Kermany et al. (2018, CC BY 4.0) and those of the NIH (X. Wang et al.,
2017) are of this kind; both name their patients in the file names.
"""

import re
from collections import Counter
from pathlib import Path, PurePosixPath

from data_prep.collect import DEAD_LINK, Item, Listing
from ums.data.decode import image_kind

ABOUT = {"source": "a folder of images", "licence": "see the owner of the images"}
_SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")
_PERSON = re.compile(r"person\d+", re.IGNORECASE)
_NIH = re.compile(r"(\d{8})_\d{3}")


def list_unlabelled(raw):
    """List the PNG, JPEG and DICOM files at any depth under `raw`, in order; no image is read.

    Other files are counted by their ending in `about`; one that is an image by its first bytes is a
    problem.

    Raises `FileNotFoundError` where there is no such folder, `ValueError` where it has no image.
    """
    raw = Path(raw)
    if not raw.is_dir():
        raise FileNotFoundError(f"no folder {raw}")
    names, problems, others = [], [], Counter()
    for path in sorted(raw.rglob("*"), key=lambda path: path.relative_to(raw).as_posix()):
        name = path.relative_to(raw)
        if path.is_dir() or any(part.startswith(".") for part in name.parts):
            continue
        if not path.is_file():
            problems.append((path, DEAD_LINK))
        elif path.suffix.lower() in _SUFFIXES:
            names.append(name.as_posix())
        elif kind := image_kind(path):
            problems.append((path, f"a {kind} image by another name: should end in {_SUFFIXES}"))
        else:
            others[path.suffix.lower() or "no ending"] += 1
    if not names:
        raise ValueError(f"{raw} holds no image ({', '.join(_SUFFIXES)}) at any depth")
    items = [Item(name, patient_of(name), raw / name) for name in names]
    return Listing(raw, items, problems, {"other_files": dict(others)} if others else {})


def patient_of(name):
    """Return the patient of an image from its path within the set, as far as names tell.

    `train/PNEUMONIA/person12_virus_3.jpeg` gives `train/PNEUMONIA/person12` (the numbers start anew
    in every folder), `00000334_002.png` gives `00000334`, any other name its stem.
    """
    path = PurePosixPath(name)
    if person := _PERSON.search(path.stem):
        return (path.parent / person[0]).as_posix()
    nih = _NIH.fullmatch(path.stem)
    return nih[1] if nih else path.stem
