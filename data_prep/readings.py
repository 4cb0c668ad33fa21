"""Age and sex from the clinical readings that come with the Shenzhen and the Montgomery set.

A text file for each image, ClinicalReadings/NAME.txt beside CXR_png, begins with

    male 45yrs                          Shenzhen, spelt in many ways: "Female, 28yrs", "femal 32yrs",
                                        "male 16month", "female 64days"

    Patient's Sex: F                    Montgomery
    Patient's Age: 027Y

They become the labels "age", in whole years, and "sex". What cannot be read is unknown: no image is
left out for it.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from data_prep.listing import Item

FOLDER = "ClinicalReadings"
SEXES = {"0": "female", "1": "male"}
"""The values of the label "sex"."""

OLDEST = 120
"""Years; more is an error of typing."""

_SEX = re.compile(r"(?<![a-z\d])(female?|f|male|m)(?![a-z])", re.IGNORECASE)
_AGE = re.compile(
    r"(?<!\d)(\d{1,3})\s*(y|yrs?|years?|m|months?|w|weeks?|d|days?)(?![a-z])", re.IGNORECASE
)
_PER_YEAR = {"y": 1, "m": 12, "w": 52, "d": 365}
_HEAD = 2
"""Lines that may say them; the findings follow, with numbers of other things."""


def with_readings(raw: Path, items: Sequence[Item]) -> tuple[list[Item], dict]:
    """Add age and sex to the labels of the items whose readings say them.

    Returns:
        The items; and for about.json the counts of known ages and sexes and what the values of "sex"
        mean, or nothing where the folder of the readings is missing.
    """
    if not (raw / FOLDER).is_dir():
        return list(items), {}
    found = [read_reading(raw / FOLDER / f"{item.image.stem}.txt") for item in items]
    known = {name: sum(name in labels for labels in found) for name in ("age", "sex")}
    items = [replace(i, labels=i.labels | own) for i, own in zip(items, found, strict=True)]
    about: dict = {"readings": known | {"images": len(items)}, "label_values": {"sex": SEXES}}
    return items, about


def read_reading(path: Path) -> dict[str, int]:
    """Return "age" and "sex", each if the file says it; nothing if the file cannot be read."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    text = " ".join([line for line in lines if line.strip()][:_HEAD]).replace("Patient's", "")
    labels = {}
    if age := _AGE.search(text):
        years = int(age[1]) // _PER_YEAR[age[2][0].lower()]
        labels |= {"age": years} if years <= OLDEST else {}
    if sex := _SEX.search(text):
        labels["sex"] = int(sex[1].lower().startswith("m"))
    return labels
