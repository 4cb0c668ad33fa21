"""The Montgomery County chest X-rays: 138 films, each with a left and a right lung mask.

S. Jaeger et al., "Two public chest X-ray datasets for computer-aided screening of pulmonary
diseases", Quantitative Imaging in Medicine and Surgery 4 (2014) 475-477. As published:

    CXR_png/MCUCXR_nnnn_L.png            L is 0 (normal) or 1 (tuberculosis)
    ManualMask/leftMask/MCUCXR_nnnn_L.png, ManualMask/rightMask/MCUCXR_nnnn_L.png
    ClinicalReadings/MCUCXR_nnnn_L.txt   age and sex, where the folder is there
"""

import re
from pathlib import Path

from data_prep.listing import Item, Listing, image_files, need_folders, without_contradictions
from data_prep.names import Problem, pair_masks
from data_prep.protocol import compare
from data_prep.readings import with_readings

ABOUT = {
    "name": "Montgomery",
    "source": "Montgomery County chest X-ray set, U.S. National Library of Medicine",
    "licence": "free for research; cite S. Jaeger et al., Quantitative Imaging in Medicine and "
    "Surgery 4 (2014) 475-477",
}
_NAME = re.compile(r"MCUCXR_(\d+)_([01])\.png", re.IGNORECASE)
_SIDES = ("leftMask", "rightMask")


def list_montgomery(raw: str | Path) -> Listing:
    """List the images under ``raw``, the folder that holds CXR_png and ManualMask.

    Raises:
        FileNotFoundError: The folder is at the wrong level.
        ValueError: It holds no image.
    """
    raw = Path(raw)
    need_folders(raw, "CXR_png", "ManualMask")
    need_folders(raw / "ManualMask", *_SIDES)
    images, problems = image_files(raw / "CXR_png")
    if not images:
        raise ValueError(f"{raw / 'CXR_png'} holds no .png image")
    sides = {side: _masks(raw / "ManualMask" / side, images, problems) for side in _SIDES}
    items, counts = [], {"images": 0, "normal": 0, "abnormal": 0, "masks": 0}
    for path in images:
        name = _NAME.fullmatch(path.name)
        masks = tuple(found[path] for found in sides.values() if path in found)
        missing = [f"ManualMask/{n}/{path.name}" for n, found in sides.items() if path not in found]
        counts["images"] += 1
        if name:
            counts["abnormal" if name[2] == "1" else "normal"] += 1
            counts["masks"] += not missing
        if not name:
            problems.append((path, "no label to read: should be named MCUCXR_nnnn_0.png or _1.png"))
        elif missing:
            problems.append((path, f"its mask {' and '.join(missing)} is missing"))
        else:
            items.append(Item(path.stem, name[1], path, masks, {"abnormal": int(name[2])}))
    about = {"found": counts}
    items, doubtful = without_contradictions(items, lambda item: item.patient)
    problems += doubtful + compare("Montgomery", about, raw)
    items, readings = with_readings(raw, items)
    return Listing(raw, items, problems, about | readings)


def _masks(folder: Path, images: list[Path], problems: list[Problem]) -> dict[Path, Path]:
    """Return the mask in ``folder`` of each image that has one; add to ``problems``."""
    masks, others = image_files(folder)
    mask_of, unclear = pair_masks(images, masks, lambda path: path.stem)
    problems += others + unclear
    return mask_of
