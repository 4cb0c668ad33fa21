"""Finished stages of an experiment, kept on disk: a run that was stopped goes on from there.

A stage is a name, what its result depends on (the key), and its result: networks' arrays and a
record of numbers. A result is used again only under the very same key, so a changed setting, seed or
data set never meets an old result. A stage is there whole, or not at all; one that is not finished may
have a checkpoint, of the same name and key, from which it goes on.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ums import __version__
from ums.checkpoint import Checkpoint, Kept, read, write
from ums.data import Prepared

CHECKPOINT = ".checkpoint"


class Stages:
    """The stages of one experiment in one folder.

    Args:
        folder: made if it is not there.
        seed: every stage gets a generator of its own from this seed and its name, so a stage's
            result does not depend on which stages ran before it in the same process.
        every: seconds between two checkpoints of a stage, at least.

    Raises:
        OSError: the folder cannot be made or written to; names it.
    """

    def __init__(self, folder: Path, seed: int, every: float = 60.0):
        self.folder, self.seed, self.every = Path(folder), seed, every
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"cannot make the folder {self.folder}: {error.strerror}") from error
        if not os.access(self.folder, os.W_OK):
            raise OSError(f"cannot write to the folder {self.folder}")

    def rng(self, name: str) -> np.random.Generator:
        """The generator of the stage ``name``."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def finished(self) -> list[Path]:
        """The files of all stages that are there, of whatever settings."""
        return [p for p in self.folder.glob("*.npz") if CHECKPOINT not in p.suffixes]

    def run(self, name: str, key: dict, compute: Callable[[Checkpoint], Kept]) -> Kept:
        """The stage's result from disk, or computed and kept.

        Args:
            name: of the stage, a file name.
            key: everything the result depends on beside the seed and the library's version.
            compute: returns (arrays by name, JSON-ready record), and may go on from the checkpoint
                that it is given, which is of this stage and key alone.

        Raises:
            OSError: the result cannot be written; names the file.
        """
        full_key = key | {"stage": name, "seed": self.seed, "version": __version__}
        text = json.dumps(full_key, sort_keys=True)
        path = self.folder / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.npz"
        checkpoint = Checkpoint(path.with_suffix(f"{CHECKPOINT}.npz"), self.every)
        if finished := read(path):
            arrays, record = finished
            arrays.pop("__key__", None)
        else:
            arrays, record = compute(checkpoint)
            write(path, arrays | {"__key__": np.array(text)}, record)
        checkpoint.remove()
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
