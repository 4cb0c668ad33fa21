"""Finished images, on disk: memory stays small, and a run that was killed resumes from here.

Beside the folder to be written, ``.NAME.work`` holds::

    images.raw, masks.raw   finished images and masks, one after the other, size x size bytes each
                            (images in colour three times as many)
    journal.jsonl           a line per file that was read: where its image is, or why there is none

An image is on disk before its line is, and the line has a hash of it, so that a half-written image
is never taken for a whole one. A line is valid for a file of the same name, size and time of change,
as long as the code that reads images is the same.
"""

import fcntl
import hashlib
import json
import math
import os
import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import cv2
import numpy as np

from data_prep import images
from ums.data import decode


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

    It is locked against a second run, and removed at the end unless the run was stopped or could
    not write: then the next run finds in ``outcomes`` what is done.

    Args:
        out: The prepared folder.
        size: Side of its images in pixels.
        colour: Whether they are in RGB.

    Attributes:
        outcomes: The outcome of each file that was read, under its key.

    Raises:
        BlockingIOError: Another run has the lock.
    """

    def __init__(self, out: str | Path, size: int, colour: bool = False) -> None:
        out = Path(os.path.abspath(out))
        self.folder, self.size, self.colour = out.with_name(f".{out.name}.work"), size, colour
        self._shapes = {
            "images": (size, size, 3) if colour else (size, size),
            "masks": (size, size),
        }
        self.outcomes: dict[str, Outcome] = {}
        self._files: dict[str, int] = {}
        self._rows = {"images": 0, "masks": 0}

    def __enter__(self) -> "WorkFolder":
        self.folder.mkdir(parents=True, exist_ok=True)
        self._journal = open(self.folder / "journal.jsonl", "a+b")
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._journal.close()
            raise BlockingIOError(f"{self.folder}: another run is using it") from None
        for name in self._rows:
            handle = os.open(self.folder / f"{name}.raw", os.O_RDWR | os.O_CREAT, 0o666)
            self._files[name] = handle
        self._recover()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for handle in self._files.values():
            os.close(handle)
        if kind is None or issubclass(kind, ValueError):
            shutil.rmtree(self.folder)
        self._journal.close()

    def add(
        self, key: str, image: np.ndarray, mask: np.ndarray | None, shape: tuple[int, int]
    ) -> Outcome:
        """Keep an image; only one thread at a time may do so.

        Args:
            key: What identifies the file.
            image: (size, size) or, in colour, (size, size, 3) uint8.
            mask: (size, size) uint8, or None.
            shape: (height, width) of the original.
        """
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
        return np.memmap(self.folder / f"{name}.raw", np.uint8, "r", shape=shape)

    def _append(self, name: str, content: np.ndarray) -> int:
        row, data = self._rows[name], np.ascontiguousarray(content).data.cast("B")
        at = row * self._bytes(name)
        while data:  # a full disk may take only a part
            written = os.pwrite(self._files[name], data, at)
            data, at = data[written:], at + written
        self._rows[name] += 1
        return row

    def _note(self, key: str, outcome: Outcome) -> Outcome:
        self.outcomes[key] = outcome
        self._write_line([key, vars(outcome)])
        return outcome

    def _write_line(self, content: object) -> None:
        self._journal.write(json.dumps(content).encode() + b"\n")
        self._journal.flush()

    def _recover(self) -> None:
        """Read the journal; start anew where it belongs to another size or to other code."""
        self._journal.seek(0)
        first, *lines = self._journal.read().split(b"\n")
        header = {"size": self.size, "colour": self.colour, "code": _code()}
        if first != json.dumps(header).encode():
            self._journal.truncate(0)
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
        self._journal.truncate(end)

    def _bytes(self, name: str) -> int:
        return math.prod(self._shapes[name])

    def _holds(self, name: str, row: int, digest: str) -> bool:
        n = self._bytes(name)
        return row < 0 or _digest(os.pread(self._files[name], n, row * n)) == digest


def _digest(content: bytes | np.ndarray) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


def _code() -> str:
    """Return a hash of all that decides how a file becomes an image."""
    files = [Path(module.__file__) for module in (images, decode)]
    files += [files[-1].with_name(f"{name}.py") for name in ("dicom", "header", "mask")]
    sources = [path.read_bytes() for path in files]
    others = [_version(name) for name in ("pydicom", "simplejpeg")]
    versions = " ".join([cv2.__version__, np.__version__, *others])
    return _digest(b"".join([versions.encode(), *sources]))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
