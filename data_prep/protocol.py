"""The paper's protocol: which set it used how, how many images of what it counted, and what we do.

UMS-Rep, section 3.1 and Table 1. (The table swaps Shenzhen's two classes; the text is right. The paper
has no use for RSNA's classes. Their counts are those that the COVID-19 Radiography Database gives of
what it took from RSNA, 8,851 normal and 6,012 with an opacity,
https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database; the 11,821 others are the
rest of the 26,684, and 39.11 % of the class table's 30,227 rows, as counted in
https://ogre51.medium.com/exploratory-data-analysis-on-rsna-pneumonia-dataset-de1b440c8d93.)
A listing of a whole set must give these numbers; one of a part is reported beside them.
"""

COUNTS = {
    "RSNA": {"images": 26684, "normal": 8851, "not normal": 11821, "lung opacity": 6012},
    "Shenzhen": {"images": 662, "normal": 326, "abnormal": 336, "masks": 566},
    "Montgomery": {"images": 138, "normal": 80, "abnormal": 58, "masks": 138},
    "Pediatric train": {"images": 5232, "normal": 1349, "bacterial": 2538, "viral": 1345},
    "Pediatric test": {"images": 624, "normal": 234, "bacterial": 242, "viral": 148},
}
USE = {
    "RSNA": "paper: source, denoising, split by patient 70/20/10; here the same, from the seed",
    "Shenzhen": "paper: lungs and abnormality, 10-fold cross-validation on all images; here one "
    "split by patient 70/20/10 from the seed, or folds of it by ums.data.stratified_folds",
    "Montgomery": "paper: test set of what was trained on Shenzhen; here too, all of its images "
    "whatever their split",
    "Pediatric": "paper: three pairwise tasks, 10-fold cross-validation on train, test held out; "
    "here the same parts",
}
"""How the paper uses a set, and we."""


def compare(name, about, raw):
    """Record the paper's counts beside `about["found"]`; return problems, a list of (raw, why).

    name: of `COUNTS`; `about` gets "paper" and "protocol". Fewer images than the paper's are a part
    of the set, and no problem. As many, but other counts of something, or more, are one.
    """
    paper = COUNTS[name]
    about["paper"], about["protocol"] = paper, USE[name.split()[0]]
    return [(raw, why) for why in _differences(name, about["found"], paper)]


def lines(about):
    """What there is to say of a prepared set's counts beside the paper's, a list of lines."""
    found, paper = about["found"], COUNTS[about["name"]]
    parts = [f"{what} {found[what]} (paper {n})" for what, n in paper.items() if what in found]
    whole = "the whole set" if found["images"] == paper["images"] else "not the whole set"
    kept = about["counts"]["images"]
    return [f"{about['name']}, {whole}: found {'; '.join(parts)}; kept {kept} images"]


def _differences(name, found, paper):
    if found["images"] < paper["images"]:
        return []
    other = [f"{n} {what}, not {paper[what]}" for what, n in found.items() if n != paper[what]]
    return [f"{name} should be {paper['images']} images as in the paper: {text}" for text in other]
