"""A disk that is full, for tests of what is written whole or not at all."""

import errno
import os

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
