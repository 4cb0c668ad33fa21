"""The paper's protocol: how it used each set, how many images it counted, and what we do.

The source is UMS-Rep, section 3.1 and Table 1. The table swaps the two classes of Shenzhen; the text is
right. The paper does not use the classes of RSNA. Their counts are those that the COVID-19 Radiography
Database states for what it took from RSNA, 8,851 normal and 6,012 with an opacity
(https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database); the 11,821 others are the
rest of the 26,684, and 39.11 % of the 30,227 rows of the class table, as counted in
https://ogre51.medium.com/exploratory-data-analysis-on-rsna-pneumonia-dataset-de1b440c8d93.
A listing of a whole set must give these numbers; those of a part are reported beside them.
"""

from pathlib import Path

COUNTS = {
    "RSNA": {"images": 26684, "normal": 8851, "not normal": 11821, "lung opacity": 6012},
    "Shenzhen": {"images": 662, "normal": 326, "abnormal": 336, "masks": 566},
    "Montgomery": {"images": 138, "normal": 80, "abnormal": 58, "masks": 138},
    "Pediatric train": {"images": 5232, "normal": 1349, "bacterial": 2538, "viral": 1345},
    "Pediatric test": {"images": 624, "normal": 234, "bacterial": 242, "viral": 148},
}
USE = {
    "RSNA": "paper: source, denoising, split by patient 70/20/10; here the same, from the seed",
    "Shenzhen": "paper: lungs and abnormality, 10-fold cross-validation on all images; here split "
    "by patient 70/20/10 from the seed: 10 % put aside, replicates draw from the rest",
    "Montgomery": "paper: test set of models trained on Shenzhen; here too, all of its images "
    "whatever their split",
    "Pediatric": "paper: three pairwise tasks, 10-fold cross-validation on train, test held out; "
    "here the same parts, replicates draw from train",
}
"""How the paper uses each set, and how we do."""


def compare(name: str, about: dict, raw: Path) -> list[tuple[Path, str]]:
    """Record the paper's counts beside those found, and compare them.

    Fewer images than the paper's are a part of the set, and no problem. It is one if there are more
    images, or as many with other counts.

    Args:
        name: A key of ``COUNTS``.
        about: Holds the counts under "found"; "paper" and "protocol" are added.
        raw: The folder, which the problems are recorded with.

    Returns:
        The problems, each a (raw, why).
    """
    paper = COUNTS[name]
    about["paper"], about["protocol"] = paper, USE[name.split()[0]]
    return [(raw, why) for why in _differences(name, about["found"], paper)]


def lines(about: dict) -> list[str]:
    """Return a line for a prepared set, or for each of its sides, with its counts and the paper's."""
    name, found, counts = about["name"], about["found"], about["counts"]
    if name in COUNTS:
        return [_line(name, found, counts["images"])]
    return [_line(f"{name} {side}", found[side], counts[side]) for side in found]


def _line(name: str, found: dict[str, int], kept: int) -> str:
    paper = COUNTS[name]
    parts = [f"{what} {found[what]} (paper {n})" for what, n in paper.items() if what in found]
    whole = "the whole set" if found["images"] == paper["images"] else "not the whole set"
    return f"{name}, {whole}: found {'; '.join(parts)}; kept {kept} images"


def _differences(name: str, found: dict[str, int], paper: dict[str, int]) -> list[str]:
    if found["images"] < paper["images"]:
        return []
    other = [f"{n} {what}, not {paper[what]}" for what, n in found.items() if n != paper[what]]
    return [f"{name} should be {paper['images']} images as in the paper: {text}" for text in other]
