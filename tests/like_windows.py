"""A process made as much like one on Windows as can be, for what has no Windows to be tried on.

Imported first, it takes away the modules and functions that Windows lacks. It refuses to open a folder,
to flush what was opened for reading, to move or delete a file that is open or mapped, and to make a
file or folder of a name that Windows does not allow.
"""

import errno
import os
import re
import shutil
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore", "only soft file lock is available")
sys.modules.update(dict.fromkeys(("fcntl", "grp", "pwd", "resource", "termios")))
for name in ("O_DIRECTORY", "fork", "posix_fallocate", "pread", "pwrite", "sched_getaffinity"):
    delattr(os, name)
del os.register_at_fork
shutil._use_fd_functions = False  # its functions are those below, then

_open, _fsync = os.open, os.fsync
_NAME = re.compile(r'[<>:"|?*\\]|[. ]$|^(con|nul|aux|prn)(\.|$)', re.IGNORECASE)


def _in_use(path):
    """Whether the file, or one in the folder, is open or mapped in this process."""
    used = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _there(fd)]
    used += re.findall(r" (/.*)", Path("/proc/self/maps").read_text(encoding="utf-8"))
    whole = os.path.realpath(path)
    return any(one == whole or one.startswith(f"{whole}/") for one in used)


def _there(fd):
    return os.path.lexists(f"/proc/self/fd/{fd}")


def _unless_in_use(function):
    def careful(path, *more, **named):
        if _in_use(path):
            text = "The process cannot access the file because it is being used by another process"
            raise PermissionError(errno.EACCES, text, str(path))
        return function(path, *more, **named)

    return careful


def _open_no_folder(path, flags, *more, **named):
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))
    return _open(path, flags, *more, **named)


def _flush_what_is_written(handle):
    flags = int(Path(f"/proc/self/fdinfo/{handle}").read_text(encoding="utf-8").split()[3], 8)
    if not flags & (os.O_RDWR | os.O_WRONLY):
        raise OSError(errno.EBADF, "Bad file descriptor")
    _fsync(handle)


def _no_kill(*_):
    raise AssertionError("os.kill ends the process on Windows, whatever the signal")


def _legal_names(event, arguments):
    made = event == "os.mkdir" or (event == "open" and (arguments[2] or 0) & os.O_CREAT)
    if made and _NAME.search(os.path.basename(os.fspath(arguments[0]))):
        raise OSError(errno.EINVAL, "Invalid argument", arguments[0])


os.open, os.fsync, os.kill = _open_no_folder, _flush_what_is_written, _no_kill
for name in ("rename", "replace", "unlink", "remove", "rmdir"):
    setattr(os, name, _unless_in_use(getattr(os, name)))
sys.addaudithook(_legal_names)
