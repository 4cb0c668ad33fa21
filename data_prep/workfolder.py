"""Finished images, on disk: memory stays small, and a run that was killed resumes from here.

Beside the folder to be written, ``.NAME.work`` holds::

    images.raw, masks.raw   finished images and masks, one after the other, size x size bytes each
                            (images in colour three times as many)
    journal.jsonl           a line per file that was read: where its image is, or why there is none

An image is on disk before its line is, and the line has a hash of it, so that a half-written image
is never taken for a whole one. A line is valid for a file of the same name, size and time of change,
as long as the code that reads images is the same.
"""

import hashlib
import json
import math
import os
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from data_prep import images
from ums.data import decode
from ums.files import locked, naming, remove_folder


class Refused(ValueError):
    """What was read cannot be used: another run would end the same way."""


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Attributes:
        why: Why the file cannot be used; empty where it can.
        image: The row of its image.
        mask: The row of its mask, -1 where it has none.
        shape: (height, width) of the original.
        digest: A hash of the resized image. Equal pictures have equal digests, but pictures that
            differ may have equal ones too.
        mask_digest: A hash of the resized mask.
    """

    why: str = ""
    image: int = -1
    mask: int = -1
    shape: tuple[int, int] = (0, 0)
    digest: str = ""
    mask_digest: str = ""


class WorkFolder:
    """The work folder of a prepared folder, to be used in a ``with`` statement.

    It is locked against a second run. It is removed at the end if the run succeeded, was refused for
    what it read, or read nothing; otherwise the next run finds in ``outcomes`` what has been read.

    Args:
        out: The prepared folder.
        size: Side of its images in pixels.
        colour: Whether they are in RGB.

    Attributes:
        outcomes: The outcome of each file that was read, under its key.

    Raises:
        OSError: Another run is at work in the folder, or a file cannot be written; names it.
    """

    def __init__(self, out: str | Path, size: int, colour: bool = False) -> None:
        self._out = Path(os.path.abspath(out))
        self.folder = self._out.with_name(f".{self._out.name}.work")
        self.size, self.colour = size, colour
        channels = (3,) if colour else ()
        self._shapes = {"images": (size, size, *channels), "masks": (size, size)}
        self.outcomes: dict[str, Outcome] = {}
        self._rows = {"images": 0, "masks": 0}
        self._recovered = False

    def __enter__(self) -> "WorkFolder":
        with ExitStack() as stack:
            stack.enter_context(locked(Path(f"{self.folder}.lock"), self._out))
            stack.push(self._tidy)
            self.folder.mkdir(exist_ok=True)
            self._files = {}
            for name in ("journal.jsonl", "images.raw", "masks.raw"):
                (path := self.folder / name).touch()
                self._files[path.stem] = stack.enter_context(open(path, "r+b", buffering=0))
            self._recover()
            self._recovered = True
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def _tidy(self, kind: type[BaseException] | None, *_: object) -> None:
        is_empty = self._recovered and not self.outcomes
        if kind is None or issubclass(kind, Refused) or is_empty:
            remove_folder(self.folder)

    def add(
        self, key: str, image: np.ndarray, mask: np.ndarray | None, shape: tuple[int, int]
    ) -> Outcome:
        """Keep an image; only one thread at a time may do so.

        Args:
            key: What identifies the file.
            image: (size, size) or, in colour, (size, size, 3) uint8.
            mask: (size, size) uint8, or None.
            shape: (height, width) of the original.

        Raises:
            ValueError: An array is not of that dtype and shape; names the file.
        """
        image = self._checked(key, "images", image)
        mask = None if mask is None else self._checked(key, "masks", mask)
        outcome = Outcome(
            image=self._append("images", image),
            mask=-1 if mask is None else self._append("masks", mask),
            shape=shape,
            digest=_digest(image),
            mask_digest="" if mask is None else _digest(mask),
        )
        return self._note(key, outcome)

    def refuse(self, key: str, why: str) -> Outcome:
        """Keep the reason why a file cannot be used."""
        return self._note(key, Outcome(why=why))

    def array(self, name: str) -> np.ndarray:
        """Map all "images" or "masks" so far, (M, size, size) or (M, size, size, 3) uint8."""
        shape = (self._rows[name], *self._shapes[name])
        if shape[0] == 0:
            return np.zeros(shape, np.uint8)
        return np.memmap(self._files[name].name, np.uint8, "r", shape=shape)

    def _checked(self, key: str, name: str, array: np.ndarray) -> np.ndarray:
        shape = self._shapes[name]
        if array.dtype != np.uint8 or array.shape != shape:
            found, file = f"{array.dtype} of shape {array.shape}", key.splitlines()[0]
            raise ValueError(f"{file}: {name} are kept as uint8 of shape {shape}, found {found}")
        return np.ascontiguousarray(array)

    def _append(self, name: str, array: np.ndarray) -> int:
        row = self._rows[name]
        self._write(name, row * array.size, array.data.cast("B"))
        self._rows[name] += 1
        return row

    def _write(self, name: str, at: int, data: memoryview) -> None:
        file = self._files[name]
        with naming(file.name):
            file.seek(at)
            while data:  # a full disk may take only a part
                data = data[file.write(data) :]

    def _note(self, key: str, outcome: Outcome) -> Outcome:
        self.outcomes[key] = outcome
        self._write_line([key, vars(outcome)])
        return outcome

    def _write_line(self, content: object) -> None:
        line = memoryview(json.dumps(content).encode() + b"\n")
        self._write("journal", self._files["journal"].seek(0, os.SEEK_END), line)

    def _recover(self) -> None:
        """Read the journal; start anew where it belongs to another size or to other code."""
        journal = self._files["journal"]
        first, *lines = journal.read().split(b"\n")
        header = {"size": self.size, "colour": self.colour, "code": _code()}
        if first != json.dumps(header).encode():
            journal.truncate(0)
            self._recovered = True
            self._write_line(header)
            return
        end = len(first) + 1
        for line in lines[:-1]:
            try:
                key, entry = json.loads(line)
                outcome = Outcome(**entry | {"shape": tuple(entry["shape"])})
            except (ValueError, TypeError, KeyError):
                break  # left by a crash: this line and all that follow are done again
            end += len(line) + 1
            if self._holds("images", outcome.image, outcome.digest) and self._holds(
                "masks", outcome.mask, outcome.mask_digest
            ):
                self.outcomes[key] = outcome
                self._rows["images"] = max(self._rows["images"], outcome.image + 1)
                self._rows["masks"] = max(self._rows["masks"], outcome.mask + 1)
        journal.truncate(end)

    def _holds(self, name: str, row: int, digest: str) -> bool:
        if row < 0:
            return True
        file, size = self._files[name], math.prod(self._shapes[name])
        file.seek(row * size)
        return _digest(file.read(size)) == digest


def _digest(content: bytes | np.ndarray) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _code() -> str:
    """Return a hash of all that decides how a file becomes an image."""
    files = [Path(images.__file__), Path(__file__).with_name("reading.py")]
    files += sorted(Path(decode.__file__).parent.glob("*.py"))
    versions = [cv2.__version__, np.__version__]
    for package in ("pydicom", "python-gdcm", "simplejpeg"):
        with suppress(PackageNotFoundError):
            versions.append(f"{package} {version(package)}")
    return _digest(b"".join([repr(versions).encode(), *(path.read_bytes() for path in files)]))
