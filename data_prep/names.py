"""File names: compared in one Unicode form, and shown without what breaks a line or a table.

macOS hands out names in decomposed form (NFD), tables are mostly typed in composed form (NFC), and a
Linux file system holds any bytes at all.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

Problem = tuple[Path, str]
"""A file that cannot be used as it is, and why not."""

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def nfc(text: str) -> str:
    """Return ``text`` in the form in which names are compared, Unicode's NFC."""
    return unicodedata.normalize("NFC", text)


def name_within(path: Path, folder: Path) -> str:
    """Return the name of ``path`` below ``folder``, in NFC and with slashes."""
    return nfc(path.relative_to(folder).as_posix())


def unusable(text: str) -> str | None:
    """Say why ``text`` cannot be the name of an image or a patient, if it cannot."""
    found = _UNSAFE.search(text)
    if not found:
        return None
    is_text = unicodedata.category(found[0]) != "Cs"
    return "its name holds a control character" if is_text else "its name is not UTF-8"


def printable(text: str) -> str:
    """Return ``text`` fit for a line, a table or JSON: control characters and stray bytes escaped."""
    return _UNSAFE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    # Python reads a byte that is no UTF-8 as a surrogate from U+DC80 up.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else repr(found[0])[1:-1]


def distinct(paths: Sequence[Path], folder: Path) -> tuple[list[Path], list[Problem]]:
    """Keep one of several files whose names differ only in case or in Unicode form.

    On macOS and Windows such names are the same.

    Args:
        paths: The files, in the order of preference.
        folder: The folder below which names are compared.

    Returns:
        The files that are kept, in order; and the others, with the reason.
    """
    first: dict[str, Path] = {}
    problems: list[Problem] = []
    for path in paths:
        other = first.setdefault(name_within(path, folder).casefold(), path)
        if other is not path:
            why = f"its name differs from {other.name} only in case or Unicode form"
            problems.append((path, why))
    return list(first.values()), problems


def pair_masks(
    images: Sequence[Path], masks: Sequence[Path], key: Callable[[Path], str]
) -> tuple[dict[Path, Path], list[Problem]]:
    """Give each mask to the image whose name it has.

    A mask belongs to one image: where the names of several differ only in the ending, to the one of
    exactly its name. An image has one mask: where there are several, that of exactly its name.

    Args:
        images: The images.
        masks: The masks; the first of several is preferred.
        key: Returns what the names of an image and of its mask have in common.

    Returns:
        The mask of each image that has one; and the problems, which are masks without an image, further
        masks, and images without a mask because it belongs to another image.
    """
    owners: dict[str, list[Path]] = {}
    for image in images:
        owners.setdefault(nfc(key(image)), []).append(image)
    names = {image.name for image in images}
    mask_of: dict[Path, Path] = {}
    problems: list[Problem] = []
    for mask in sorted(masks, key=lambda mask: mask.name not in names):
        alike = owners.get(nfc(key(mask)), [])
        exact = [image for image in alike if nfc(image.name) == nfc(mask.name)]
        own = alike if len(alike) == 1 else exact
        if len(own) != 1:
            several = f"a mask of {' or '.join(image.name for image in alike)}: of which?"
            problems.append((mask, several if alike else "a mask without an image"))
        elif (taken := mask_of.setdefault(own[0], mask)) is not mask:
            why = f"another mask of {own[0].name}, for which {taken.parent.name}/{taken.name} is taken"
            problems.append((mask, why))
        else:
            why = f"kept without a mask: {mask.parent.name}/{mask.name} is that of {own[0].name}"
            problems += [(image, why) for image in alike if image != own[0]]
    return mask_of, [(path, why) for path, why in problems if path not in mask_of]
