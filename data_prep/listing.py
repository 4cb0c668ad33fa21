"""The images in a raw folder, as a list of files: nothing is read yet."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

DEAD_LINK = "a link that leads nowhere"
_SYSTEM = ("thumbs.db", "desktop.ini", "__macosx")


@dataclass(frozen=True)
class Item:
    """One image to read.

    Attributes:
        id: A name that no other image of the set has.
        patient: The name of the patient.
        image: The file.
        masks: The files whose union is the mask.
        labels: A value from 0 for each label that the image has.
        split: The published split of the image; empty where the set comes without one.
        boxes: Where the disease is, as (x, y, width, height) in pixels.
        box: The part of image and masks to take, likewise; None for all of it.
    """

    id: str
    patient: str
    image: Path
    masks: tuple[Path, ...] = ()
    labels: dict[str, int] = field(default_factory=dict)
    split: str = ""
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    box: tuple[int, int, int, int] | None = None


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
    problems: list[tuple[Path, str]]
    about: dict = field(default_factory=dict)
    held_out: list[Item] = field(default_factory=list)


def image_files(
    folder: Path, suffixes: Collection[str] = (".png",), known: Collection[str] = ()
) -> tuple[list[Path], list[tuple[Path, str]]]:
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
    others: list[tuple[Path, str]] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name.lower() in _SYSTEM or path.name in known:
            continue
        is_image = path.is_file() and path.suffix.lower() in suffixes
        if is_image:
            images.append(path)
        else:
            others.append((path, _why_not(path, suffixes)))
    return images, others


def _why_not(path: Path, suffixes: Collection[str]) -> str:
    if path.is_dir():
        return "a folder, not searched"
    return DEAD_LINK if not path.exists() else f"not a {' or '.join(suffixes)} file"


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
