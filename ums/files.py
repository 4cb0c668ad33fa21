"""File operations that differ between systems: atomic writing, locking, flushing, reserving space.

Windows neither opens a folder nor moves or deletes a file that is open. A network drive may know no
locks, and flush no folder. What cannot be done there is left out, and said where it matters.
"""

import errno
import gc
import io
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import BinaryIO

PARTIAL = ".partial"
"""The suffix of a file that is still being written; a killed process may leave one behind."""

_REFUSED = {
    *(errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOTTY, errno.ENODEV),
    *(errno.EACCES, errno.EPERM, errno.EBADF),  # Windows, of a folder
}
"""The errors of a system that cannot flush or reserve; a full or broken disk has others."""

_CHUNK = 1 << 24


def write_whole(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write a file beside ``path``, flush it to the disk, and rename it to ``path``.

    ``content`` is the bytes, or a function that writes them to an open binary file. The temporary
    file has the names of the computer and of the process in its name, so that two never share one.

    Raises:
        OSError: The file cannot be written; names it. A previous version is unchanged.
    """
    partial = path.with_name(f"{path.name}.{platform.node()}-{os.getpid()}{PARTIAL}")
    with naming(path):
        try:
            with open(partial, "wb") as file:
                if isinstance(content, bytes):
                    file.write(content)
                else:
                    content(file)
                _flush(file)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


class CannotWrite(OSError):
    """A file cannot be written; the message names it."""


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Turn an OSError in the block into CannotWrite, since the error of a full disk names no file."""
    try:
        yield
    except CannotWrite:  # and named already
        raise
    except OSError as error:
        raise CannotWrite(f"cannot write {path}: {error.strerror or error}") from error


def sync(path: Path) -> None:
    """Flush a file or folder to the disk, where the system can.

    Raises:
        OSError: The disk is full or broken; names the file.
    """
    with naming(path), _where_possible():
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def reserve(path: Path, size: int) -> None:
    """Create a file of ``size`` zeros, for which the disk reserves room.

    Otherwise a process that writes to a memory map of it is killed without a message when the disk is full.

    Raises:
        OSError: The disk has no room; names the file.
    """
    with naming(path), open(path, "wb") as file:
        if hasattr(os, "posix_fallocate"):
            with _where_possible():
                os.posix_fallocate(file.fileno(), 0, size)
                return
        for start in range(0, size, _CHUNK):
            file.write(bytes(min(_CHUNK, size - start)))
        _flush(file)


def remove_folder(folder: Path) -> None:
    """Remove a folder as far as possible: Windows deletes no file that is open or mapped."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        gc.collect()  # arrays that only a reference cycle keeps alive
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def locked(lock: Path, folder: Path) -> Iterator[None]:
    """Keep other runs out of ``folder`` during the block, by a lock on the file ``lock``.

    The folder is free again at the end, even if the process is killed. Where the file system has no
    locks, a warning is printed instead.

    Raises:
        OSError: Another run has the folder, or the file cannot be made; names it.
        ModuleNotFoundError: filelock is not installed.
    """
    try:
        import filelock  # not needed by the library's core
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("filelock is missing: python -m pip install filelock") from error
    held = filelock.FileLock(lock, fallback_to_soft=False)
    try:
        held.acquire(timeout=0)
    except filelock.Timeout:
        raise OSError(
            f"another run is at work in {folder}: wait for it, or write elsewhere"
        ) from None
    except (OSError, NotImplementedError) as error:
        if getattr(error, "filename", None):  # the file could not even be opened
            raise
        _warn_once(f"{folder} cannot be locked ({error}): start no second run in it")
    try:
        yield
    finally:
        with suppress(OSError):  # while held, so that no other run's lock file is removed
            lock.unlink()
        held.release()


@cache
def _warn_once(text: str) -> None:
    print(text, file=sys.stderr)


def escape_unprintable() -> None:
    """Escape what the terminal cannot show, such as an undecodable file name, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _flush(file: BinaryIO) -> None:
    file.flush()
    with _where_possible():
        os.fsync(file.fileno())


@contextmanager
def _where_possible() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
