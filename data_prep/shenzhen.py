"""The Shenzhen chest X-rays: 662 films, for 566 of which others later made a lung mask.

Images: S. Jaeger et al., Quantitative Imaging in Medicine and Surgery 4 (2014) 475-477. Masks:
S. Stirenko et al., "Chest X-ray analysis of tuberculosis by deep learning with segmentation and
augmentation" (2018). As published:

    CXR_png/CHNCXR_nnnn_L.png      L is 0 (normal) or 1 (tuberculosis)
    mask/CHNCXR_nnnn_L_mask.png    not for every image; in mask/mask in Kaggle's copy
    ClinicalReadings/CHNCXR_nnnn_L.txt    age and sex, where the folder is there
"""

import re
from pathlib import Path

from data_prep.listing import Item, Listing, image_files, need_folders, without_contradictions
from data_prep.names import pair_masks
from data_prep.protocol import compare
from data_prep.readings import with_readings

ABOUT = {
    "name": "Shenzhen",
    "source": "Shenzhen chest X-ray set, U.S. National Library of Medicine; masks by S. Stirenko "
    "et al.",
    "licence": "images free for research, cite S. Jaeger et al., Quantitative Imaging in Medicine "
    "and Surgery 4 (2014) 475-477; masks CC BY-NC-SA 4.0",
}
_NAME = re.compile(r"CHNCXR_(\d+)_([01])\.png", re.IGNORECASE)


def list_shenzhen(raw: str | Path) -> Listing:
    """List the images under ``raw``, the folder that holds CXR_png and mask.

    An image without a mask is listed too, for classification.

    Raises:
        FileNotFoundError: The folder is at the wrong level.
        ValueError: It holds no image.
    """
    raw = Path(raw)
    need_folders(raw, "CXR_png", "mask")
    images, problems = image_files(raw / "CXR_png")
    if not images:
        raise ValueError(f"{raw / 'CXR_png'} holds no .png image")
    inner = raw / "mask" / "mask"  # as Kaggle's copy unpacks
    masks, others = image_files(raw / "mask", known=("mask",) if inner.is_dir() else ())
    if inner.is_dir():
        more, other = image_files(inner)
        masks, others = masks + more, others + other
    mask_of, unclear = pair_masks(images, masks, lambda path: path.stem.removesuffix("_mask"))
    items = []
    for path in images:
        name = _NAME.fullmatch(path.name)
        if not name:
            problems.append((path, "no label to read: should be named CHNCXR_nnnn_0.png or _1.png"))
        else:
            files = (mask_of[path],) if path in mask_of else ()
            items.append(Item(path.stem, name[1], path, files, {"abnormal": int(name[2])}))
    labels = [item.labels["abnormal"] for item in items]
    counts = {"images": len(images), "normal": labels.count(0), "abnormal": labels.count(1)}
    about = {"found": counts | {"masks": sum(bool(item.masks) for item in items)}}
    items, doubtful = without_contradictions(items, lambda item: item.patient)
    problems += others + unclear + doubtful + compare("Shenzhen", about, raw)
    items, readings = with_readings(raw, items)
    return Listing(raw, items, problems, about | readings)
