"""Any folder of PNG or JPEG images, for training an encoder without labels.

The pediatric X-rays of D. Kermany et al. (2018, CC BY 4.0) and those of the NIH (X. Wang et al.,
2017) are of this kind; both name their patients in the file names.
"""

import re
from pathlib import Path, PurePosixPath

from data_prep.collect import Item, Listing

ABOUT = {"source": "a folder of images", "licence": "see the owner of the images"}
_SUFFIXES = (".png", ".jpg", ".jpeg")
_PERSON = re.compile(r"person\d+", re.IGNORECASE)
_NIH = re.compile(r"(\d{8})_\d{3}")


def list_unlabelled(raw):
    """List the PNG and JPEG files at any depth under `raw`, in order; no file is read.

    Raises `FileNotFoundError` where there is no such folder, `ValueError` where it has no image.
    """
    raw = Path(raw)
    if not raw.is_dir():
        raise FileNotFoundError(f"no folder {raw}")
    names = sorted(p.relative_to(raw).as_posix() for p in raw.rglob("*") if _is_image(p, raw))
    if not names:
        raise ValueError(f"{raw} holds no image ({', '.join(_SUFFIXES)}) at any depth")
    return Listing(raw, [Item(name, patient_of(name), raw / name) for name in names], [])


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


def _is_image(path, raw):
    hidden = any(part.startswith(".") for part in path.relative_to(raw).parts)
    return path.suffix.lower() in _SUFFIXES and path.is_file() and not hidden
