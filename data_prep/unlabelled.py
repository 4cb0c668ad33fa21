"""Any folder of PNG, JPEG or DICOM images, for training an encoder without labels.

The pediatric X-rays of D. Kermany et al. (2018, CC BY 4.0) and those of the NIH (X. Wang et al.,
2017) are of this kind; the file names of both tell the patients.
"""

import re
from collections import Counter
from pathlib import Path, PurePosixPath

from data_prep.listing import DEAD_LINK, Item, Listing
from ums.data.decode import image_kind

ABOUT = {"source": "a folder of images", "licence": "see the owner of the images"}
_SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom")
_PERSON = re.compile(r"person\d+", re.IGNORECASE)
_NIH = re.compile(r"(\d{8})_\d{3}")


def list_unlabelled(raw: str | Path) -> Listing:
    """List the PNG, JPEG and DICOM files at any depth under ``raw``, in order.

    ``about`` counts other files by their ending. One that is an image by its first bytes is a
    problem.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: It holds no image.
    """
    raw = Path(raw)
    if not raw.is_dir():
        raise FileNotFoundError(f"no folder {raw}")
    names: list[str] = []
    problems: list[tuple[Path, str]] = []
    others: Counter[str] = Counter()
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


def patient_of(name: str) -> str:
    """Return the patient of an image, as far as its path within the set tells.

    "train/PNEUMONIA/person12_virus_3.jpeg" gives "train/PNEUMONIA/person12" (the numbers start again
    in every folder), "00000334_002.png" gives "00000334", and any other name its stem.
    """
    path = PurePosixPath(name)
    if person := _PERSON.search(path.stem):
        return (path.parent / person[0]).as_posix()
    nih = _NIH.fullmatch(path.stem)
    return nih[1] if nih else path.stem
