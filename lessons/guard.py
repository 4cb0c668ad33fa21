"""What keeps a student's code from its own check, in the process that runs both.

Python has no sandbox. What is here stops the ways that a student would find: files, processes and the
network are closed by an audit hook, which Python cannot remove; frames, the garbage collector and code
made at run time are closed to the student's own lines; and what the checks are made of is compared, after
every call of an answer, with what it was. lessons/README.md says what remains.
"""

import os
import pickle
import sys
import types
from pathlib import Path

from lessons.notebooks import LESSONS, ROOT


class Tampered(BaseException):
    """An answer changed what checks it. No check takes this for a failure of its own."""


# -------------------------------------------------------------------------- what is closed

ALWAYS = (
    "os.exec", "os.fork", "os.forkpty", "os.kill", "os.killpg", "os.posix_spawn", "os.spawn",
    "os.startfile", "os.system", "pty.spawn", "signal.pthread_kill", "socket.bind", "socket.connect",
    "socket.getaddrinfo", "socket.sendto", "subprocess.Popen",
)  # fmt: skip
CHANGES = (
    "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink",
    "os.truncate", "shutil.rmtree",
)  # fmt: skip
FROM_CELLS = (
    "_thread.start_new_thread", "code.__new__", "compile", "ctypes.", "exec", "function.__new__", "gc.",
    "object.__delattr__", "object.__getattr__", "object.__setattr__", "resource.", "sys._current",
    "sys._getframe", "sys.addaudithook", "sys.monitoring", "sys.setprofile", "sys.settrace",
)  # fmt: skip
"""Closed where a line of the notebook asks, itself or by one of the modules named next."""

MEANS = (
    "inspect.py",
    "traceback.py",
    "threading.py",
    "thread.py",
    "functools.py",
    "logging/__init__.py",
)

ANSWERS = tuple(str(path) for path in (LESSONS / "source", LESSONS / "solved", ROOT / "tests"))

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def close(folder, note):
    """From here on let code write in `folder` alone, and tell `note` what was stopped.

    What is stopped raises `PermissionError` where it was tried. This cannot be undone.
    """
    inside, frame_of, busy = os.path.realpath(folder), sys._getframe, []

    def hook(event, arguments):
        if busy or not _concerns(event):
            return
        busy.append(event)
        try:
            why = _stopped(event, arguments, inside, frame_of(1))
        finally:
            busy.clear()
        if why:
            note(why)
            raise PermissionError(f"scoring lets no answer do this: {why}")

    sys.addaudithook(hook)


def _concerns(event):
    return event == "open" or event.startswith((*ALWAYS, *CHANGES, *FROM_CELLS))


def _stopped(event, arguments, inside, frame):
    """What of an event is not allowed, or None."""
    if event == "open":
        return _stopped_file(*arguments, inside)
    if event.startswith(CHANGES):
        outside = [a for a in arguments if _is_name(a) and not _within(a, inside)]
        return f"{event} of {outside[0]}" if outside else None
    if event.startswith(ALWAYS) or _from_cell(frame):
        detail = f" {arguments[1]}" if event.startswith("object.") else ""
        return event + detail
    return None


def _stopped_file(name, mode, flags, inside):
    if not _is_name(name):
        return None  # a file that is open already
    path = os.path.realpath(os.fsdecode(name))
    writes = flags & _WRITES if mode is None else set(mode) & set("wax+")
    if writes and path != os.devnull and not _within(path, inside):
        return f"write to {path}"
    if _within(path, *ANSWERS) or path.endswith(".ipynb"):
        return f"read {path}, where answers are"
    if path.startswith("/proc/") and Path(path).name in ("mem", "environ", "cmdline"):
        return f"read {path}"
    return None


def _is_name(value):
    return isinstance(value, str | bytes | os.PathLike)


def _within(name, *folders):
    path = os.path.realpath(os.fsdecode(name))
    return any(path == folder or path.startswith(folder + os.sep) for folder in folders)


def _from_cell(frame):
    """Whether a line of a notebook asks for what the frame is about to do."""
    while frame is not None and frame.f_code.co_filename.endswith((__file__, *MEANS)):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename.startswith(
        ("<cell", "<string", "<unknown")
    )


# ------------------------------------------------------------------ what must stay as it is


class Pristine:
    """What checks are made of, as it was before a student's code ran.

    Args:
        checking: the modules of the checks, of which every value counts.
        used: the names of modules that they use, of which functions and classes count.
    """

    def __init__(self, checking, used):
        self._kept = [(vars(m), dict(vars(m)), m.__name__) for m in checking]
        roots = [m for name, m in list(sys.modules.items()) if _is_of(name, used)]
        self._kept += [(vars(m), _made(vars(m)), m.__name__) for m in roots if m is not None]
        made = {id(v): v for _, kept, _ in self._kept for v in kept.values()}.values()
        self._classes = [
            (vars(c), _made(vars(c)), c.__qualname__) for c in made if isinstance(c, type)
        ]
        own = [v for v in made if _is_of(getattr(v, "__module__", None) or "", ("ums", "lessons"))]
        classes = [v for v in own if isinstance(v, type)]
        self._kept += [(vars(c), _made(vars(c)), c.__qualname__) for c in classes]
        functions = [v for v in own if isinstance(v, types.FunctionType)]
        functions += [
            v for c in classes for v in vars(c).values() if isinstance(v, types.FunctionType)
        ]
        self._functions = [(f, f.__code__, f.__defaults__, f.__kwdefaults__) for f in functions]
        self._checking = [vars(m) for m in checking]
        self._values = self._pickled()

    def verify(self, deep=False):
        """Raise `Tampered` if a name stands for something else.

        `deep` looks into the checks' values and the classes of all modules, too.
        """
        for now, before, owner in [*self._kept, *(self._classes if deep else ())]:
            for name, value in before.items():
                if now.get(name, self) is not value:
                    raise Tampered(f"{owner}.{name} was changed")
        for function, code, defaults, keywords in self._functions:
            if function.__code__ is not code or (defaults, keywords) != (
                function.__defaults__, function.__kwdefaults__,
            ):  # fmt: skip
                raise Tampered(f"the function {function.__qualname__} was changed")
        if deep and self._pickled() != self._values:
            raise Tampered("values of the checks were changed")

    def _pickled(self):
        values = [v for names in self._checking for n, v in names.items() if not n.startswith("__")]
        return [data for value in values if (data := _pickle(value))]


def _pickle(value):
    if not isinstance(value, dict | list | set | tuple | str | int | float):
        return None
    try:
        return pickle.dumps(value)
    except Exception:  # of functions made in place, say: those are compared by identity
        return None


def _made(names):
    """The functions and classes among the values."""
    return {n: v for n, v in names.items() if callable(v)}


def _is_of(name, roots):
    return name.partition(".")[0] in roots


# ------------------------------------------------------------------------- what is returned

_OPERATORS = {
    f"__{name}__"
    for name in (
        "eq ne lt le gt ge bool sub rsub add radd mul rmul truediv rtruediv pow abs neg float int len "
        "contains array array_ufunc array_function array_interface array_struct array_finalize getattr "
        "getattribute instancecheck class hash"
    ).split()
}


def known_kinds():
    """All classes there are."""
    found, new = set(), [object]
    while new:
        kind = new.pop()
        if kind not in found:
            found.add(kind)
            new += type.__subclasses__(kind)
    return found


def deceives(value, known, depth=0):
    """Whether a value, or one in it, has operators of a class that is not among the known ones.

    Such a value could be equal to everything.
    """
    kind = type(value)
    if kind not in known and any(
        _OPERATORS & vars(k).keys() for k in kind.__mro__ if k not in known
    ):
        return True
    if depth > 4:
        return False
    if isinstance(value, dict):
        return any(deceives(v, known, depth + 1) for pair in dict.items(value) for v in pair)
    if isinstance(value, list | tuple | set | frozenset):
        return any(deceives(v, known, depth + 1) for v in value)
    if kind.__name__ == "ndarray" and value.dtype == object:
        return any(deceives(v, known, depth + 1) for v in value.ravel())
    return False
