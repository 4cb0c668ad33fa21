"""The images in a raw folder, as a list of files: nothing is read yet."""

import os
import stat
from collections import deque
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.names import Problem, distinct, name_within, nfc, unusable

DEAD_LINK, FOLDER = "a link that leads nowhere", "a folder, not searched"
_SYSTEM = ("thumbs.db", "desktop.ini", "__macosx")


@dataclass(frozen=True)
class Item:
    """One image to read.

    Attributes:
        id: A name that no other image of the set has.
        patient: The name of the patient.
        image: The file.
        masks: The files whose union is the mask.
        labels: A value from 0 for each label that the image has; a float is a number, not a class.
        split: The published split of the image; empty where the set comes without one.
        boxes: Where the disease is, as (x, y, width, height) in pixels.
        box: The part of image and masks to take, likewise; None for all of it.
        values: The grey values of the one mask that are its classes 0 .. K - 1; none for masks of the
            foreground, as :func:`ums.data.decode.decode_mask` finds it.
    """

    id: str
    patient: str
    image: Path
    masks: tuple[Path, ...] = ()
    labels: dict[str, int | float] = field(default_factory=dict)
    split: str = ""
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    box: tuple[int, int, int, int] | None = None
    values: tuple[int, ...] = ()


@dataclass(frozen=True)
class Listing:
    """The images in a raw folder.

    Attributes:
        raw: The folder.
        items: The images, in order. Either all of them have a split or none has.
        problems: Files that cannot be used, and why not.
        about: What was found, for about.json.
        held_out: Images of a test set that is kept elsewhere: neither they, nor equal pictures, nor
            other images of a patient with such a picture get into the prepared folder.
    """

    raw: Path
    items: list[Item]
    problems: list[Problem]
    about: dict = field(default_factory=dict)
    held_out: list[Item] = field(default_factory=list)


def find_files(folder: Path) -> tuple[list[Path], list[Problem]]:
    """Find the files at any depth under a folder; links are followed, but no folder is listed twice.

    Args:
        folder: The folder.

    Returns:
        The files in the order of their names; and, with the reason, what cannot be used, which are
        folders that cannot be read or were listed before, broken links, pipes and the like, names
        that a table cannot hold, and names that differ only in case. Hidden files and those of the
        operating system are ignored.

    Raises:
        OSError: ``folder`` itself cannot be read.
    """
    files: list[Path] = []
    problems: list[Problem] = []
    first = {_identity(parent): parent for parent in Path(os.path.realpath(folder)).parents}
    todo, links = [folder], deque[Path]()
    while todo or links:  # links last, so that a folder is listed by its own name
        here = todo.pop() if todo else links.popleft()
        try:
            before = first.setdefault(_identity(here), here)
            entries = _entries(here) if before is here else []
        except OSError as error:
            if here == folder:
                raise
            problems.append((here, f"a folder that cannot be read: {error.strerror or error}"))
            continue
        if before is not here:
            problems.append((here, f"the same folder as {os.path.relpath(before, folder)}"))
        for path, what in entries:
            if what == FOLDER:
                (links if path.is_symlink() else todo).append(path)
            elif why := unusable(path.relative_to(folder).as_posix()):
                problems.append((path, why))
            elif what:
                problems.append((path, what))
            else:
                files.append(path)
    files, alike = distinct(sorted(files, key=lambda path: name_within(path, folder)), folder)
    return files, problems + alike


def image_files(
    folder: Path, suffixes: Collection[str] = (".png",), known: Collection[str] = ()
) -> tuple[list[Path], list[Problem]]:
    """Find the image files in a folder.

    Args:
        folder: The folder; those within it are not searched.
        suffixes: Endings of image files, in lower case.
        known: Names that are expected to be there, and are ignored.

    Returns:
        The image files in order; and anything else, with the reason why it is no image. Hidden files
        and those of the operating system are ignored.
    """
    images: list[Path] = []
    others: list[Problem] = []
    for path, what in _entries(folder):
        if path.name in known:
            continue
        if not what and path.suffix.lower() not in suffixes:
            what = f"not a {' or '.join(suffixes)} file"
        if what := what or unusable(path.name) or "":
            others.append((path, what))
        else:
            images.append(path)
    images, alike = distinct(images, folder)
    return images, others + alike


def _entries(folder: Path) -> list[tuple[Path, str]]:
    """Return what is in a folder, in order: "" for a file, else what it is."""
    with os.scandir(folder) as entries:
        names = sorted((entry.name for entry in entries), key=lambda name: (nfc(name), name))
    paths = [folder / name for name in names if name[0] != "." and name.lower() not in _SYSTEM]
    return [(path, _what(path)) for path in paths]


def _what(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return DEAD_LINK
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if stat.S_ISDIR(mode):
        return FOLDER
    return "" if stat.S_ISREG(mode) else "neither a file nor a folder"


def _identity(folder: Path) -> tuple[int, int] | str:
    state = folder.stat()  # some network drives have no inodes
    return (state.st_dev, state.st_ino) if state.st_ino else os.path.realpath(folder)


def without_contradictions(
    items: Sequence[Item], number: Callable[[Item], Hashable]
) -> tuple[list[Item], list[Problem]]:
    """Leave out images of one number whose labels contradict each other.

    Args:
        items: The images.
        number: Returns what identifies an image apart from its labels.

    Returns:
        The images that are kept, in order; and the others, with the reason.
    """
    alike: dict[Hashable, list[Item]] = {}
    for item in items:
        alike.setdefault(number(item), []).append(item)
    kept: list[Item] = []
    problems: list[Problem] = []
    for item in items:
        others = [one.id for one in alike[number(item)] if one.labels != item.labels]
        if others:
            why = f"one number with two labels: there is also {others[0]}"
            problems.append((item.image, why))
        else:
            kept.append(item)
    return kept, problems


def need_folders(raw: Path, *names: str) -> None:
    """Check that ``raw`` holds folders of these names.

    Raises:
        FileNotFoundError: One is missing; the message says where it may be.
    """
    if not raw.is_dir():
        raise FileNotFoundError(f"no folder {raw}")
    for name in names:
        if (raw / name).is_dir():
            continue
        near = [p.parent for p in (raw.parent / names[0], *raw.glob(f"*/{names[0]}")) if p.is_dir()]
        hint = f"; did you mean {near[0]}?" if near else ""
        raise FileNotFoundError(
            f"{raw} holds no folder {name}; expected {' and '.join(names)} in it{hint}"
        )
