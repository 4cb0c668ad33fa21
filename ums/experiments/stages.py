"""Finished stages of an experiment, kept on disk: a run that was stopped goes on from there.

A stage is a name, what its result depends on (the key), and its result: networks' arrays and a
record of numbers. A result is used again only under the very same key, so a changed setting, seed or
data set never meets an old result. Files are written beside and renamed: a stage is there whole, or
not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ums import __version__
from ums.data import Prepared

Result = tuple[dict[str, np.ndarray], dict]


class Stages:
    """The stages of one experiment in one folder.

    Args:
        folder: made if it is not there.
        seed: every stage gets a generator of its own from this seed and its name, so a stage's
            result does not depend on which stages ran before it in the same process.

    Raises:
        OSError: the folder cannot be made or written to; names it.
    """

    def __init__(self, folder: Path, seed: int):
        self.folder, self.seed = Path(folder), seed
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"cannot make the folder {self.folder}: {error.strerror}") from error
        if not os.access(self.folder, os.W_OK):
            raise OSError(f"cannot write to the folder {self.folder}")

    def rng(self, name: str) -> np.random.Generator:
        """The generator of the stage ``name``."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def run(self, name: str, key: dict, compute: Callable[[], Result]) -> Result:
        """The stage's result from disk, or computed and kept.

        Args:
            name: of the stage, a file name.
            key: everything the result depends on beside the seed and the library's version.
            compute: returns (arrays by name, JSON-ready record).
        """
        full_key = key | {"stage": name, "seed": self.seed, "version": __version__}
        text = json.dumps(full_key, sort_keys=True)
        path = self.folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.npz"
        if path.is_file():
            try:
                result = _read(path)
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                print(f"{name}: {path} cannot be read ({error}), computed again")
            else:
                print(f"{name}: finished before, taken from {path}")
                return result
        arrays, record = compute()
        _write(path, arrays, record, text)
        return arrays, record


def fingerprint(prepared: Prepared) -> str:
    """A short hash of a prepared folder's contents: images, masks and table."""
    digest = hashlib.blake2b(digest_size=8)
    for name in ("images.npy", "masks.npy", "table.csv"):
        path = prepared.folder / name
        if path.is_file():
            with open(path, "rb") as file:
                while block := file.read(1 << 22):
                    digest.update(block)
    return digest.hexdigest()


def _read(path: Path) -> Result:
    with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    record = json.loads(str(arrays.pop("__record__")))
    arrays.pop("__key__")
    return arrays, record


def _write(path: Path, arrays: dict[str, np.ndarray], record: dict, key: str) -> None:
    partial = path.with_suffix(".partial")
    try:
        with open(partial, "wb") as file:
            np.savez(file, __record__=json.dumps(record), __key__=key, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
