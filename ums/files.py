"""Crash-safe writing: a file is there whole or not at all."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

PARTIAL = ".partial"
"""The suffix of a file that is still being written; a killed process may leave one behind."""


def write_whole(path: Path, content: bytes | Callable[[BinaryIO], object]) -> None:
    """Write a file beside ``path``, flush it to the disk, and rename it to ``path``.

    ``content`` is the bytes, or a function that writes them to an open binary file. The temporary
    file has the number of the process in its name, so that two processes never share one.

    Raises:
        OSError: The file cannot be written; names it. A previous version is unchanged.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}{PARTIAL}")
    try:
        with open(partial, "wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
