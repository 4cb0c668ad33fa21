"""The prepared folders of the chest X-ray study, in one go.

    source      images to learn denoising from, without labels
    target      the training hospital: lung masks and the label "abnormal"
    test        the other hospital, likewise
    pneumonia   children: the label "pneumonia" (0 normal, 1 bacterial, 2 viral), for the similar tasks

With a folder of raw data, Shenzhen is the target, Montgomery the test set and the pediatric set
pneumonia; without a pediatric set there is no such folder, and the similar tasks cannot be run. The
source is RSNA's set alone, as in the paper. Without it, the source is what there is of the NIH set (of
which RSNA's is a part, so the two are not mixed) and of the pediatric training part; with none of them
it is the target again, with the same split. The pediatric test part is in no source, under whatever
name.

Without a folder of raw data all are synthetic: source and target from hospital A, test from B and
pneumonia from C. With --other there is also source-other, a source from B whose patients are not those
of the test set. For each replicate of the study there are other patients to learn from, and a fifth as
many to validate with; those of split "test", which is never learned from, are the same for any number of
replicates. A folder that was made from the same files with the same settings is kept.
"""

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from data_prep import montgomery, pediatric, rsna, shenzhen, unlabelled
from data_prep.collect import prepare
from data_prep.listing import Item, Listing, need_folders
from data_prep.names import Problem
from data_prep.options import Options
from data_prep.synthetic_sets import Sizes, plan, prepare_parts
from data_prep.writing import check_replaceable
from ums.data.prepared import Prepared, load_prepared
from ums.reading import read_json

FOLDERS = {
    "target": ("shenzhen", "ChinaSet_AllFiles"),
    "test": ("montgomery", "MontgomerySet", "NLM-MontgomeryCXRSet"),
    "rsna": ("rsna", "rsna-pneumonia-detection-challenge"),
    "source": ("nih_cxr14", "pediatric", "chest_xray"),
    "pneumonia": ("pediatric", "chest_xray"),
}
"""Names that a raw set may have in the folder of raw data."""

Listed = tuple[Listing, dict]
"""The images of a set, and what about.json says of it."""


def prepare_cxr(
    out: str | Path,
    data: str | Path | None,
    sizes: Sizes,
    options: Options,
    report: Callable[[str], None] = print,
) -> list[Prepared]:
    """Make, or keep, the prepared folders ``out``/source, target, test and pneumonia.

    Args:
        out: The folder of all of them.
        data: The folder of raw sets; None stands for synthetic images.
        sizes: How many synthetic images to draw.
        options: Size, seed and strictness, and how to find the patients of an unlabelled source.
            Earlier folders are replaced.
        report: Called with one line for each set that is not there or not used.

    Returns:
        The folders. One that is not among them, but was made from other data or with other sizes, is
        removed.

    Raises:
        FileExistsError: One of the folders exists and holds more than a prepared set.
        FileNotFoundError: ``data`` lacks the target or the test set.
        ValueError: A set is not as published, an option is out of range, or a file cannot be used and
            ``options.strict`` is set. All other sets are still made.
    """
    out, options = Path(out), replace(options, overwrite=True)
    if data is None:
        if options.patient is not None:
            raise ValueError("--patient is for an unlabelled source, but images are drawn")
        if not sizes.other:
            _remove(out / "source-other", report)
        return [_synthetic(out / role, role, sizes, options) for role in sizes.roles]
    data = Path(data)
    roles = {role: _find(data, names) for role, names in FOLDERS.items()}
    for role in ("target", "test"):
        if not roles[role]:
            names = ", ".join(FOLDERS[role])
            raise FileNotFoundError(f"{data} holds no folder of the {role} set: {names}")
    films = [folder for folder in roles["rsna"] if rsna.has_rsna(folder)]
    if options.patient is not None and (films or not roles["source"]):
        source = (films or roles["target"])[0]
        raise ValueError(f"--patient is for an unlabelled source, but the source is {source}")
    for folder in roles["rsna"]:
        if folder not in films:
            report(f"{folder} holds no {rsna.TRAIN}: it is not the source")
    target, test = roles["target"][0], roles["test"][0]
    # A copy in one piece has no test part.
    children = [root for root in map(pediatric.find_both_sides, roles["pneumonia"]) if root]
    listings: dict[str, Callable[[], Listed]] = {
        "source": lambda: _list_source(roles, films, children, options.patient),
        "target": lambda: (shenzhen.list_shenzhen(target), shenzhen.ABOUT),
        "test": lambda: (montgomery.list_montgomery(test), montgomery.ABOUT),
    }
    if children:
        listings["pneumonia"] = lambda: (pediatric.list_pediatric(children[0]), pediatric.ABOUT)
    else:
        report(
            f"{data} holds no pediatric set with train and test: the similar tasks cannot be run"
        )
        _remove(out / "pneumonia", report)
    _remove(out / "source-other", report)
    return _prepare_each(out, listings, options)


def _prepare_each(
    out: Path, listings: dict[str, Callable[[], Listed]], options: Options
) -> list[Prepared]:
    """Make every set that can be made; then raise ``ValueError`` if some could not, naming them."""
    made, failed = [], []
    for role, make_list in listings.items():
        try:
            made.append(_prepare(out / role, *make_list(), options))
        except (ValueError, OSError) as error:
            failed.append(f"{out / role} was not prepared: {error}")
    if failed:
        done = ", ".join(str(one.folder) for one in made)
        raise ValueError("; ".join(failed) + (f"; these were prepared: {done}" if done else ""))
    return made


def _find(data: Path, names: Sequence[str]) -> list[Path]:
    if not data.is_dir():
        raise FileNotFoundError(f"no folder {data}")
    there = [data / name for name in names if os.path.lexists(data / name)]
    for folder in there:
        need_folders(folder)
    return there


def _remove(out: Path, report: Callable[[str], None]) -> None:
    """Remove the prepared folder ``out``, if there is one, since it is not of what was asked for."""
    if out.is_dir():
        check_replaceable(out, overwrite=True)
        shutil.rmtree(out)
        report(f"removed {out}, made from other data")


def _synthetic(out: Path, role: str, sizes: Sizes, options: Options) -> Prepared:
    settings, parts = plan(role, sizes, options.seed)
    if kept := made_before(out, settings | {"size": options.size}):
        return kept
    return prepare_parts(out, parts, settings["hospital"], options, settings)


def _list_source(
    roles: dict[str, list[Path]], films: list[Path], children: list[Path], patient: str | None
) -> Listed:
    """List RSNA's set, else what else there is, else the target."""
    if films:
        unused = ("label_values", "opacities")
        about = {name: value for name, value in rsna.ABOUT.items() if name not in unused}
        return rsna.list_rsna(films[0], labelled=False), about
    if roles["source"]:
        return _list_unlabelled(roles["source"], children, patient)
    return shenzhen.list_shenzhen(roles["target"][0]), shenzhen.ABOUT


def _list_unlabelled(folders: list[Path], children: list[Path], patient: str | None) -> Listed:
    """List the images of several folders, the test part of those in ``children`` held out."""
    items: list[Item] = []
    held_out: list[Item] = []
    problems: list[Problem] = []
    others: Counter[str] = Counter()
    rules: dict[str, str] = {}
    for folder in folders:
        listing = unlabelled.list_unlabelled(folder, patient)
        problems += listing.problems
        others.update(listing.about.get("other_files", {}))
        rules[folder.name] = listing.about["patients"]
        for item in listing.items:
            in_test = any(item.image.is_relative_to(root / "test") for root in children)
            id_, name = f"{folder.name}/{item.id}", f"{folder.name}/{item.patient}"
            (held_out if in_test else items).append(replace(item, id=id_, patient=name))
    tested = {item.patient for item in held_out}
    why = "its patient has images in the test set"
    problems += [(item.image, why) for item in items if item.patient in tested]
    items = [item for item in items if item.patient not in tested]
    names = " and ".join(folder.name for folder in folders)
    about = unlabelled.ABOUT | {"name": names, "source": f"unlabelled images of {names}"}
    if held_out:
        tests = [(root / "test").relative_to(folders[0].parent).as_posix() for root in children]
        about["held_out"] = (
            f"not in this set: the {len(held_out)} images of {' and '.join(tests)}, pictures equal "
            "to one of them, and the other images of whoever such a picture shows"
        )
    found: dict = {"patients": "; ".join(f"{name}: {rule}" for name, rule in rules.items())}
    found |= {"other_files": dict(others)} if others else {}
    return Listing(folders[0].parent, items, problems, found, held_out), about


def _prepare(out: Path, listing: Listing, about: dict, options: Options) -> Prepared:
    settings = {"files": digest(listing.raw, listing.items)}
    if listing.held_out:
        settings["held_out"] = digest(listing.raw, listing.held_out)
    wanted = {"held_out": None, **settings, "size": options.size}
    if not any(item.split for item in listing.items):
        wanted["seed"] = options.seed
    if kept := made_before(out, wanted):
        return kept
    return prepare(listing, out, options, about, settings)


def digest(raw: Path, items: Iterable[Item]) -> str:
    """Return a short hash of the names and sizes of all files, and of their patients and labels."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(f"{item.patient} {sorted(item.labels.items())}\n".encode())
        for path in (item.image, *item.masks):
            name = path.relative_to(raw).as_posix()
            digest.update(f"{name} {path.stat().st_size}\n".encode())
    return digest.hexdigest()[:16]


def made_before(out: Path, wanted: dict) -> Prepared | None:
    """Return the prepared folder ``out`` if it is whole and was made with the settings ``wanted``.

    Raises:
        ValueError: It was made with them, but was then damaged or edited; edits are never discarded.
    """
    try:
        settings = read_json(out / "about.json").get("settings")
    except ValueError:
        return None
    wrong = not isinstance(settings, dict) or any(settings.get(n) != v for n, v in wanted.items())
    try:
        return None if wrong else load_prepared(out)
    except FileNotFoundError:
        return None
