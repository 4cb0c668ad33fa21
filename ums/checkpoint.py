"""Checkpoints: the state of a training, in a file that is there whole or not at all.

Everything that training changes has two methods, as layers and optimizers do: ``state_dict()``, its
state as arrays by name, and ``load_state_dict(state)``, which restores it. :func:`gather` and
:func:`restore_all` do so for many objects at once, and a :class:`Checkpoint` saves the gathered state.
"""

from __future__ import annotations

import glob
import json
import time
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import numpy as np

from ums.backend import Array, to_numpy
from ums.files import PARTIAL, write_whole
from ums.layers import Dropout, Layer, copy_arrays

Kept = tuple[dict[str, np.ndarray], dict]
"""Arrays by name and a record that is ready for JSON."""


class Stateful(Protocol):
    """An object with state: arrays by name, on any device, and back from the host."""

    def state_dict(self) -> dict[str, Array]: ...

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None: ...


def gather(things: Sequence[Stateful]) -> dict[str, Array]:
    """The state of all objects as one dict; the keys are ``number.name``, numbered in their order."""
    return {
        f"{i}.{name}": array
        for i, thing in enumerate(things)
        for name, array in thing.state_dict().items()
    }


def restore_all(arrays: Mapping[str, np.ndarray], things: Sequence[Stateful]) -> None:
    """Restore the state of objects, given in the same order as to :func:`gather`.

    Raises:
        ValueError: The state is that of other objects.
    """
    own: list[dict[str, np.ndarray]] = [{} for _ in things]
    for key, array in arrays.items():
        number, _, name = key.partition(".")
        if int(number) >= len(things):
            raise ValueError(f"these are the arrays of more than {len(things)} objects")
        own[int(number)][name] = array
    for thing, state in zip(things, own, strict=True):
        thing.load_state_dict(state)


class Snapshot:
    """A copy of the weights and statistics of networks at one time."""

    def __init__(self, networks: Sequence[Stateful]) -> None:
        self.networks = networks
        self.take()

    def take(self) -> None:
        """Copy the weights and statistics that the networks have now."""
        self.kept = {name: array.copy() for name, array in gather(self.networks).items()}

    def restore(self) -> None:
        """Copy the weights and statistics back into the networks."""
        copy_arrays(self.kept, gather(self.networks))

    def state_dict(self) -> dict[str, Array]:
        return self.kept

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        copy_arrays(arrays, self.kept)


class Generators:
    """The states of random generators as one object; a generator may occur more than once."""

    def __init__(self, generators: Iterable[np.random.Generator]):
        self.generators = list({id(rng): rng for rng in generators}.values())

    def state_dict(self) -> dict[str, np.ndarray]:
        states = [rng.bit_generator.state for rng in self.generators]
        return {str(i): np.array(json.dumps(state)) for i, state in enumerate(states)}

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        for i, rng in enumerate(self.generators):
            rng.bit_generator.state = json.loads(str(arrays[str(i)]))


def generators_of(layers: Iterable[Layer]) -> list[np.random.Generator]:
    """The generators of all dropout layers in ``layers``."""
    leaves = (leaf for layer in layers for leaf in layer.leaves())
    return [leaf.rng for leaf in leaves if isinstance(leaf, Dropout)]


class Stopwatch:
    """Wall seconds since it was made, those of an interrupted run included once it is restored."""

    def __init__(self) -> None:
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start

    def state_dict(self) -> dict[str, np.ndarray]:
        return {"seconds": np.array(self.seconds)}

    def load_state_dict(self, arrays: dict[str, np.ndarray]) -> None:
        self._start = time.perf_counter() - float(arrays["seconds"])


class Checkpoint:
    """The file ``path`` of an interrupted training, saved again after ``every`` seconds at least."""

    def __init__(self, path: Path, every: float = 60.0):
        self.path, self.every = Path(path), every
        self._saved = time.monotonic()

    def part(self, name: str) -> Checkpoint:
        """The checkpoint of one of several trainings, a file beside this one, removed with it."""
        own = f"{self.path.stem}+{quote(name, safe='')}{self.path.suffix}"
        return Checkpoint(self.path.with_name(own), self.every)

    def load(self) -> Kept | None:
        return read(self.path)

    def restore(self, things: Sequence[Stateful]) -> bool:
        """Restore the state of objects from the file; False if there is none.

        Raises:
            ValueError: The file holds the state of other objects; names it.
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
        return time.monotonic() - self._saved >= self.every

    def save(self, arrays: Mapping[str, Array], record: dict) -> None:
        """Replace the file by a state, from :func:`gather`, and a record; see :func:`write`."""
        write(self.path, arrays, record)
        self._saved = time.monotonic()

    def remove(self) -> None:
        """Remove the file, its parts, and the unfinished copies that killed processes left."""
        stem, suffix = (glob.escape(part) for part in (self.path.stem, self.path.suffix))
        for part in ("", "+*"):
            for unfinished in ("", f".*{PARTIAL}"):
                for path in self.path.parent.glob(f"{stem}{part}{suffix}{unfinished}"):
                    path.unlink(missing_ok=True)


# ------------------------------------------------------------------------ files


def write(path: Path, arrays: Mapping[str, Array], record: dict) -> None:
    """Write arrays and a record to an .npz file, whole or not at all.

    Raises:
        OSError: The file cannot be written; names it. A previous version is unchanged.
    """
    host: dict[str, Array] = {name: to_numpy(array) for name, array in arrays.items()}
    write_whole(path, lambda file: np.savez(file, __record__=json.dumps(record), **host))


def read(path: Path) -> Kept | None:
    """Read a file of :func:`write`; None if there is none, or it cannot be read (prints why)."""
    if not path.is_file():
        return None
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return arrays, json.loads(str(arrays.pop("__record__")))
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        print(f"{path} cannot be read ({error}) and is ignored")
        return None
