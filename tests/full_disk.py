"""A disk that is full, for tests of what is written whole or not at all."""

import errno
import os
from contextlib import contextmanager

import pytest

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def half_a_file(error):
    """In place of ``numpy.savez``: writes a little, then raises."""

    def savez(file, **arrays):
        file.write(b"PK half of a file")
        raise error

    return savez


def nothing(error):
    """In place of any function: only raises."""

    def fail(*arguments, **keywords):
        raise error

    return fail


@contextmanager
def files_of_at_most(size):
    """The system lets no file grow beyond `size` bytes, as if the disk were full then."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
