"""Files that are there whole or not at all, and the state of a training kept in one of them.

Everything that training changes has two methods, as layers and optimizers do: ``state_dict()``, its
state as arrays by name, and ``load_state_dict(state)``, which puts it back. :func:`gather` and
:func:`restore_all` do so for many things at once; a :class:`Checkpoint` keeps what was gathered on disk.
"""

from __future__ import annotations

import glob
import json
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import numpy as np

from ums.backend import Array, to_numpy
from ums.files import PARTIAL, write_whole

Kept = tuple[dict[str, np.ndarray], dict]
"""Arrays by name and a record that is ready for JSON."""


class Stateful(Protocol):
    """Something with state."""

    def state_dict(self) -> dict[str, Array]:
        """All of the state, by name, on any device."""

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        """Go on from what :meth:`state_dict` gave."""


def gather(things: Sequence[Stateful]) -> dict[str, Array]:
    """The arrays of all things as one dict: each name behind the number of its thing."""
    return {
        f"{i}.{name}": array
        for i, thing in enumerate(things)
        for name, array in thing.state_dict().items()
    }


def restore_all(arrays: Mapping[str, np.ndarray], things: Sequence[Stateful]) -> None:
    """Give every thing what :func:`gather` took of it.

    Raises:
        ValueError: it was taken of other things.
    """
    own = defaultdict(dict)
    for key, array in arrays.items():
        number, _, name = key.partition(".")
        own[int(number)][name] = array
    if max(own, default=-1) >= len(things):
        raise ValueError(f"these are the arrays of more than {len(things)} things")
    for i, thing in enumerate(things):
        thing.load_state_dict(own[i])


class Generators:
    """Where random generators are in their sequences, as something with state.

    Args:
        generators: of :func:`numpy.random.default_rng`; one may come more than once.
    """

    def __init__(self, generators: Iterable[np.random.Generator]):
        self.generators = list({id(rng): rng for rng in generators}.values())

    def state_dict(self) -> dict[str, np.ndarray]:
        states = [rng.bit_generator.state for rng in self.generators]
        return {str(i): np.array(json.dumps(state)) for i, state in enumerate(states)}

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        for i, rng in enumerate(self.generators):
            rng.bit_generator.state = json.loads(str(arrays[str(i)]))


class Stopwatch:
    """Wall seconds since it was made, as something with state: the time before a stop counts too."""

    def __init__(self):
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"seconds": np.array(self.seconds)}

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        self._start = time.perf_counter() - float(arrays["seconds"])


class Checkpoint:
    """A file that a training goes on from when it was stopped, and its parts, files beside it.

    Args:
        path: of the file, which need not be there.
        every: seconds between two savings, at least.
    """

    def __init__(self, path: Path, every: float = 60.0):
        self.path, self.every = Path(path), every
        self._saved = time.monotonic()

    def part(self, name: str) -> Checkpoint:
        """The checkpoint of one of several trainings that follow each other; removed with this one."""
        own = f"{self.path.stem}+{quote(name, safe='')}{self.path.suffix}"
        return Checkpoint(self.path.with_name(own), self.every)

    def load(self) -> Kept | None:
        """What was saved last; None if nothing was, or if it cannot be read (which is said)."""
        return read(self.path)

    def restore(self, things: Sequence[Stateful]) -> bool:
        """Give the things what was saved of them, as :func:`gather` made it; False if nothing was.

        Raises:
            ValueError: it was saved of other things; names the file.
        """
        kept = self.load()
        if kept is None:
            return False
        try:
            restore_all(kept[0], things)
        except (ValueError, KeyError) as error:
            raise ValueError(f"{self.path} is of another training, remove it: {error}") from error
        return True

    def due(self) -> bool:
        """Whether it is time to save again."""
        return time.monotonic() - self._saved >= self.every

    def save(self, arrays: Mapping[str, Array], record: dict) -> None:
        """Keep this in place of what was saved before.

        Raises:
            OSError: the file cannot be written; names it. What was saved before is still there.
        """
        write(self.path, arrays, record)
        self._saved = time.monotonic()

    def remove(self) -> None:
        """Remove the file and its parts, and what a killed process has left half written."""
        stem, suffix = (glob.escape(part) for part in (self.path.stem, self.path.suffix))
        for part in ("", "+*"):
            for unfinished in ("", f".*{PARTIAL}"):
                for path in self.path.parent.glob(f"{stem}{part}{suffix}{unfinished}"):
                    path.unlink(missing_ok=True)


# ------------------------------------------------------------------------ files


def write(path: Path, arrays: Mapping[str, Array], record: dict) -> None:
    """Write arrays and record to an .npz file: beside it, through to the disk, then renamed.

    Raises:
        OSError: the file cannot be written; names it. One that was there before is as it was.
    """
    own = {name: to_numpy(array) for name, array in arrays.items()}
    write_whole(path, lambda file: np.savez(file, __record__=json.dumps(record), **own))


def read(path: Path) -> Kept | None:
    """What :func:`write` wrote; None if there is no file, or it cannot be read (which is said)."""
    if not path.is_file():
        return None
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return arrays, json.loads(str(arrays.pop("__record__")))
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        print(f"{path} cannot be read ({error}) and is left out")
        return None
