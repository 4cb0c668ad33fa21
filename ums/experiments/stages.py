"""Finished stages of an experiment, kept on disk: a run that was stopped goes on from there.

A stage is a name, what its result depends on (the key), and its result: networks' arrays and a
record of numbers. A result is used again only under the very same key, so a changed setting, seed, data
set or line of the code that trains never meets an old result. A stage is there whole, or not at all; one
that is not finished may have a checkpoint, of the same name and key, from which it goes on.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import json
import os
import sys
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np

import ums
from ums.checkpoint import Checkpoint, Kept, read, write
from ums.data import Prepared

CHECKPOINT = ".checkpoint"

NOT_TRAINING = (
    *("gradcheck.py", "derived/__init__.py", "derived/heat_map.py", "metrics/__init__.py"),
    *(f"metrics/{name}.py" for name in ("image_quality", "pairs", "segmentation", "significance")),
    *("experiments/ablation_list.py", "experiments/command_line.py"),
    *("experiments/report/*.py", "experiments/results/*.py"),
)
"""Files of the package that test trained networks and write pages. What a stage keeps may depend on
any other; of the variants in ``cause_list``, the settings and images they name are in its key."""


class Stages:
    """The stages of one experiment in one folder.

    ``with Stages(...) as stages:`` keeps other processes' runs out of the folder meanwhile: two would
    write and remove the same files.

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
        self.made_by = {"code": code_print()} | packages()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"cannot make the folder {self.folder}: {error.strerror}") from error
        if not os.access(self.folder, os.W_OK):
            raise OSError(f"cannot write to the folder {self.folder}")

    def __enter__(self) -> Stages:
        """Take the folder; it is free again at the end, even of a process that is killed.

        Some shared file systems know no locks: there it is only said that nobody is kept out.

        Raises:
            OSError: another run has it; names the folder.
        """
        self._lock = open(self.folder / ".lock", "w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise OSError(
                f"another run is at work in {self.folder}: wait for it, or write elsewhere"
            ) from None
        except OSError as error:
            told = f"{self.folder} cannot be locked ({error.strerror}): start no second run in it"
            print(told, file=sys.stderr)
        return self

    def __exit__(self, *_) -> None:
        self._lock.close()

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
            key: everything the result depends on beside the seed, the code and the packages.
            compute: returns (arrays by name, JSON-ready record), and may go on from the checkpoint
                that it is given, which is of this stage and key alone.

        Raises:
            OSError: the result cannot be written; names the file.
        """
        full_key = key | {"stage": name, "seed": self.seed} | self.made_by
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


@cache
def code_print(package: Path = Path(ums.__file__).parent) -> str:
    """A short hash of the code that trains; comments, docstrings and layout do not count."""
    digest = hashlib.blake2b(digest_size=8)
    rest = {path for pattern in NOT_TRAINING for path in package.glob(pattern)}
    for path in sorted(set(package.rglob("*.py")) - rest):
        code = _WithoutWords().visit(ast.parse(path.read_text(encoding="utf-8")))
        digest.update(f"{path.relative_to(package)} {ast.dump(code)}".encode())
    return digest.hexdigest()


class _WithoutWords(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) else node


def packages() -> dict[str, str]:
    """The versions of those that compute, but CuPy's, which is in a GPU's name."""
    return {module.__name__: module.__version__ for module in (np, cv2)}
