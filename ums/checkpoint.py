"""Checkpoints: the state of a training, in a file that is there whole or not at all.

Everything that training changes has two methods, as layers and optimizers do: ``state_dict()``, its
state as arrays by name, and ``load_state_dict(state)``, which restores it. :func:`gather` and
:func:`restore_all` do so for many objects at once, and a :class:`Checkpoint` saves the gathered state.
"""

from __future__ import annotations

import glob
import io
import json
import os
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import numpy as np

from ums.backend import Array, to_numpy
from ums.files import PARTIAL, write_whole
from ums.layers import Dropout, Layer, copy_arrays
from ums.reading import reading

Kept = tuple[dict[str, np.ndarray], dict]
"""Arrays by name and a record that is ready for JSON."""

_ABOUT = "__record__"
"""The array of a file that holds, in JSON, its key, its record and the names of its arrays."""


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
    """The file of an interrupted training, saved again and again while it goes on.

    Args:
        path: The file.
        every: Seconds between two saves, at least.
        key: What the training depends on, ready for JSON; a file saved under another is ignored.
        check: Called before each save; what it raises leaves the file as it is.
    """

    def __init__(
        self,
        path: Path,
        every: float = 60.0,
        key: Any = None,
        check: Callable[[], object] = lambda: None,
    ):
        self.path, self.every, self.key, self.check = Path(path), every, key, check
        self._saved = time.monotonic()

    def part(self, name: str) -> Checkpoint:
        """The checkpoint of one of several trainings, a file beside this one, removed with it."""
        own = f"{self.path.stem}+{quote(name, safe='')}{self.path.suffix}"
        key = {"part": name, "of": self.key}
        return Checkpoint(self.path.with_name(own), self.every, key, self.check)

    def load(self) -> Kept | None:
        """What was saved last; None if there is no file, or it is of another training (prints why)."""
        return read(self.path, self.key)

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
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.path} is of another training, remove it: {error}") from error
        return True

    def due(self) -> bool:
        return time.monotonic() - self._saved >= self.every

    def save(self, arrays: Mapping[str, Array], record: dict) -> None:
        """Replace the file by a state, from :func:`gather`, and a record; see :func:`write`."""
        self.check()
        write(self.path, arrays, record, self.key)
        self._saved = time.monotonic()

    def remove(self) -> None:
        """Remove the file, its parts, and the unfinished copies that killed processes left."""
        stem, suffix = (glob.escape(part) for part in (self.path.stem, self.path.suffix))
        for part in ("", "+*"):
            for unfinished in ("", f".*{PARTIAL}"):
                for path in self.path.parent.glob(f"{stem}{part}{suffix}{unfinished}"):
                    path.unlink(missing_ok=True)


# ------------------------------------------------------------------------ files


def write(path: Path, arrays: Mapping[str, Array], record: Any, key: Any = None) -> None:
    """Write arrays and a record to an .npz file, whole or not at all.

    Args:
        path: The file.
        arrays: By name.
        record: Ready for JSON.
        key: What the file depends on, ready for JSON; the file is read only under the same key.

    Raises:
        OSError: The file cannot be written; names it. A previous version is unchanged.
    """
    host: dict[str, Array] = {name: to_numpy(array) for name, array in arrays.items()}
    about = json.dumps({"key": key, "record": record, "arrays": sorted(host)})
    host[_ABOUT] = np.array(about)
    write_whole(path, lambda file: np.savez(file, **host))


def read(path: Path, key: Any = None) -> Kept | None:
    """Read a file of :func:`write`; None if there is none, or :func:`read_kept` refuses it (prints why)."""
    try:
        return read_kept(path, key) if os.path.lexists(path) else None
    except ValueError as error:
        print(f"{error}; it is ignored")
        return None


def read_kept(path: Path, key: Any = None) -> Kept:
    """Read a file of :func:`write`.

    Raises:
        ValueError: There is none, it cannot be read, or it was written under another key; names it.
    """
    with reading(path), zipfile.ZipFile(path) as file:
        # zipfile verifies a checksum only once a member is read to its end.
        members = {
            name.removesuffix(".npy"): io.BytesIO(file.read(name)) for name in file.namelist()
        }
        if _ABOUT not in members:
            raise ValueError("it is no checkpoint and no file of a study")
        arrays = {n: np.lib.format.read_array(m, allow_pickle=False) for n, m in members.items()}
        about = json.loads(str(arrays.pop(_ABOUT)))
        if about["arrays"] != sorted(arrays):
            raise ValueError(f"its arrays should be {about['arrays']}, not {sorted(arrays)}")
        if about["key"] != json.loads(json.dumps(key)):
            raise ValueError("it belongs to another job or training")
        return arrays, about["record"]
