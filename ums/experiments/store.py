"""Finished jobs of a study on disk: a study that was stopped goes on from there.

A job leaves its weights in ``weights/`` and its record, with the arrays a page shows, in ``records/``:
each file is there whole, or not at all, and carries a digest or checksums. The file's name ends with a
hash of the job's key, and the key stands in the file: a result is used again only under the very same key,
so a changed setting, seed, data set or line of code never gets an old result, nor does a renamed file
pass for another's. A job that is not finished may have a checkpoint, of the same name and key, from which it
goes on.
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
import os
import platform
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import ums
from ums.backend import Array
from ums.checkpoint import Checkpoint, Kept, read, write
from ums.data.prepared_set import Prepared, check_digests, check_untouched
from ums.experiments.record_files import file_name, read_arrays, read_record
from ums.files import PARTIAL, locked, write_whole
from ums.reading import with_digest

CHECKPOINT = ".checkpoint"

NOT_RECORDED = (
    *("gradcheck.py", "watched.py", "demo.py", "__main__.py", "experiments/__main__.py"),
    *("experiments/report", "experiments/results"),
    *(
        f"experiments/{name}.py"
        for name in ("factors", "runner", "items", "cluster", "pilot", "estimate", "study_file")
    ),
)
"""Files and folders of the package that no record depends on, or only by what stands in its key."""

NOT_TRAINING = (
    *(*NOT_RECORDED, "metrics", "logistic.py", "models.py", "predictions.py"),
    *("experiments/hospitals.py", "experiments/model_files.py"),
    *(
        f"experiments/{name}.py"
        for name in ("evaluation", "testing", "denoising", "group_pictures")
    ),
    *(f"derived/{name}.py" for name in ("heat_map", "lung_pooling", "map_measures")),
)
"""Those that no weights depend on: they test networks."""


class Store:
    """The finished jobs in one folder.

    ``with Store(...) as store:`` keeps the runs of other processes out of the folder: two would write
    and remove the same files.

    Args:
        folder: Made if it is not there.
        every: Seconds between two checkpoints of a job, at least.
        share: (K, N): only this share of N is taken, beside which other shares may be at work.

    Raises:
        OSError: The folder cannot be made or written to; the message names it.
    """

    def __init__(self, folder: Path, every: float = 60.0, share: tuple[int, int] | None = None):
        self.folder, self.every, self.share = Path(folder), every, share
        self._watched: list[Prepared] = []
        self.weights_folder, self.records_folder = self.folder / "weights", self.folder / "records"
        try:
            for each in (self.weights_folder, self.records_folder):
                each.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"cannot make the folder {self.folder}: {error.strerror}") from error
        if not os.access(self.folder, os.W_OK):
            raise OSError(f"cannot write to the folder {self.folder}")

    def __enter__(self) -> Store:
        """Take the folder; it is free again at the end, even if the process is killed.

        What a killed process left half written is removed. Some shared file systems know no locks:
        there a warning is printed instead.

        Raises:
            OSError: Another run has it; the message names the folder.
        """
        with ExitStack() as stack:  # after an error the folder is free again
            whole = locked(self.folder / ".lock", self.folder)
            if self.share:
                with whole:  # no run of all is at work
                    own = self.folder / ".lock-{}-of-{}".format(*self.share)
                    stack.enter_context(locked(own, self.folder))
            else:
                stack.enter_context(whole)
                for share in self.folder.glob(".lock-*"):
                    with locked(share, self.folder):
                        pass  # nor one of a share
                for folder in (self.weights_folder, self.records_folder):
                    for left_by_a_killed_run in folder.glob(f"*{PARTIAL}"):
                        left_by_a_killed_run.unlink()
            self._lock = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    def watch(self, sets: Iterable[Prepared]) -> None:
        """Compare sets with their digests, and keep nothing more once a file of one is written to.

        They are memory-mapped: what was computed may then stem from two versions of a set. Sets in
        memory have no file and are left out.

        Raises:
            ValueError: A set that was too large to be compared when opened is not as it was written.
        """
        opened = (each for each in dict.fromkeys(sets) if each.opened)
        self._watched += [each for each in opened if each not in self._watched]
        for prepared in self._watched:
            check_digests(prepared)

    def _check_watched(self) -> None:
        for prepared in self._watched:
            check_untouched(prepared)

    def finished(self) -> int:
        """The number of records there are, of whatever settings."""
        return len(list(self.records_folder.glob("*.json")))

    def record_path(self, name: str, key: dict[str, Any]) -> Path:
        """The file of a record."""
        return self.records_folder / f"{file_name(_full(name, key, NOT_RECORDED))}.json"

    def record(
        self,
        name: str,
        key: dict[str, Any],
        compute: Callable[[], tuple[dict[str, Any], Mapping[str, Array]]],
    ) -> dict[str, Any]:
        """A job's record from disk, or computed and kept.

        Args:
            name: The job's.
            key: Everything the record depends on beside the code and the packages.
            compute: Returns the record, ready for JSON but for NaN and arrays, and arrays by name to
                be kept beside it; there may be none.

        Raises:
            OSError: A file cannot be written; the message names it.
            ValueError: A set was written to since it was opened, see :meth:`watch`.
        """
        path, full_key = self.record_path(name, key), _full(name, key, NOT_RECORDED)
        if kept := _kept_record(path):
            return kept
        record, arrays = compute()
        self._check_watched()
        if arrays:
            write(path.with_suffix(".npz"), arrays, None, full_key)
        record = {**plain(record), "key": full_key, "made by": made_by(), "arrays": bool(arrays)}
        text = json.dumps(with_digest(record))  # Python's JSON, as a PSNR may be infinite
        write_whole(path, f"{text}\n".encode())
        return record

    def weights(
        self, name: str, key: dict[str, Any], compute: Callable[[Checkpoint], Kept]
    ) -> Kept:
        """A job's weights and the record of their training, from disk, or computed and kept.

        Args:
            name: The job's.
            key: Everything the weights depend on beside the code and the packages.
            compute: Returns arrays by name and a record ready for JSON. It may go on from the
                checkpoint it is given, which is of this job and key alone.

        Raises:
            OSError: A file cannot be written; the message names it.
            ValueError: A set was written to since it was opened, see :meth:`watch`.
        """
        full_key = _full(name, key, NOT_TRAINING)
        path = self.weights_folder / f"{file_name(full_key)}.npz"
        kept_at = path.with_suffix(f"{CHECKPOINT}.npz")
        checkpoint = Checkpoint(kept_at, self.every, full_key, self._check_watched)
        kept = read(path, full_key)
        if kept is None:
            kept = compute(checkpoint)
            self._check_watched()
            write(path, *kept, full_key)
        checkpoint.remove()
        return kept


def _kept_record(path: Path) -> dict[str, Any] | None:
    """A record; None if there is no such file, or it or its arrays cannot be read (prints why)."""
    try:
        record = read_record(path) if os.path.lexists(path) else None
        if record:
            read_arrays(path, record)
    except ValueError as error:
        print(f"{error}; the record is computed again")
        return None
    return record


def plain(value: Any) -> Any:
    """A value that JSON can hold: arrays as lists, NaN as None."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


# ------------------------------------------------------------------------ keys


def made_by() -> dict[str, str]:
    """The versions of what computes; CuPy's is in the name of a GPU."""
    versions = {module.__name__: module.__version__ for module in (ums, np, cv2)}
    return {"python": platform.python_version()} | versions


def _full(name: str, key: dict[str, Any], without: tuple[str, ...]) -> dict[str, Any]:
    """The key with the job's name, the code and the packages, as JSON gives it back."""
    versions = {module.__name__: module.__version__ for module in (np, cv2)}
    full = key | {"job": name, "code": code_print(without)} | versions
    as_json: dict[str, Any] = json.loads(json.dumps(full, sort_keys=True))
    return as_json


@cache
def code_print(without: tuple[str, ...], package: Path = Path(ums.__file__).parent) -> str:
    """A short hash of the package's code; comments, docstrings and layout do not count.

    Args:
        without: Files and folders of the package that are left out.
        package: Its folder.
    """
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted([*package.rglob("*.py"), *package.rglob("*.cu")]):
        own, text = path.relative_to(package).as_posix(), path.read_text(encoding="utf-8")
        if not any(own == part or own.startswith(f"{part}/") for part in without):
            digest.update(f"{own} {_hash_of(text) if path.suffix == '.py' else text}".encode())
    return digest.hexdigest()


@cache
def _hash_of(text: str) -> str:
    code = ast.dump(_WithoutWords().visit(ast.parse(text)))
    return hashlib.blake2b(code.encode(), digest_size=8).hexdigest()


class _WithoutWords(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        return None if isinstance(node.value, ast.Constant) else node
