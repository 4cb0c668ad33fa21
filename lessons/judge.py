"""The process in which one notebook is scored: `lessons.scoring` starts it and believes it alone.

It reads the notebook, runs the statements that the answers need and then calls the checks, of this
checkout, on the answers. What it reports is a line each, signed with a secret that the student's code
does not know: that code can write to the same pipe, and is not believed.
"""

import binascii
import functools
import hashlib
import importlib
import json
import linecache
import marshal
import math
import os
import sys
import time
import types
from itertools import count
from pathlib import Path

from lessons import guard
from lessons.checking import checks_of
from lessons.handed_in import definitions, parse, read
from lessons.notebooks import ROOT, checks_name
from lessons.signs import fingerprint, likeness, signs

USED = (
    "builtins",
    "data_prep",
    "functools",
    "inspect",
    "itertools",
    "json",
    "math",
    "numpy",
    "ums",
)

MEGABYTE = 2**20
MOST_SIGNS = 50
LARGEST_FILE = 50 * MEGABYTE


def main():
    request = json.loads(_read_all())
    send = _reporter(request.pop("secret"))
    _limit(request["memory"] * MEGABYTE)
    _limit_time(request["seconds"])
    try:
        _judge(request, send)
    except ValueError as error:
        send(kind="error", text=str(error))


def _read_all():
    return b"".join(iter(lambda: os.read(0, MEGABYTE), b""))


def _reporter(secret):
    """What sends signed lines to who started this process; nothing else reaches its output."""
    channel, nowhere = os.dup(1), os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nowhere, number)
    keyed, numbers = hashlib.sha256(secret.encode()), count()
    # All in C: what Python itself calls, such as json, an answer could replace.
    write, dumps, hexlify = os.write, marshal.dumps, binascii.hexlify

    def send(**entry):
        text = hexlify(dumps(entry | {"number": next(numbers)}))
        signature = keyed.copy()
        signature.update(text)
        line = memoryview(signature.hexdigest().encode() + b" " + text + b"\n")
        while line:
            line = line[write(channel, line) :]

    return send


def _limit(memory):
    try:
        import resource
    except ModuleNotFoundError:  # not on Windows
        return
    for kind, most in (("RLIMIT_AS", memory), ("RLIMIT_FSIZE", 100 * MEGABYTE), ("RLIMIT_CORE", 0)):
        _, hard = resource.getrlimit(getattr(resource, kind))
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(getattr(resource, kind), (most, most))


def _limit_time(seconds):
    """From here on this process may use so much processor time; others on the machine take none of it."""
    try:
        import resource
    except ModuleNotFoundError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    most = math.ceil(time.process_time()) + seconds
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (most, hard))


def _judge(request, send):
    path = Path(request["path"])
    if path.is_file() and path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path} is larger than {LARGEST_FILE // MEGABYTE} MB")
    handed = read(path)
    module = importlib.import_module(f"lessons.checks.{checks_name(handed.stem)}")
    checks = checks_of(module)
    parsed, unread = parse(handed.cells)
    known = json.loads(Path(request["known"]).read_text(encoding="utf-8"))
    lesson = known["lessons"].get(handed.stem, {})
    given, solution = (parse(lesson.get(key, []))[0] for key in ("given", "solution"))
    found = [*unread, *likeness(parsed, known["library"]), *signs(parsed, given)]
    found = [sign[:200] for sign in found[:MOST_SIGNS]]
    send(
        kind="notebook", lesson=handed.stem, checks=list(checks), signs=found,
        copy=fingerprint(parsed, given), solution=fingerprint(solution, given),
    )  # fmt: skip
    todo = [name for name in checks if request["only"] is None or name in request["only"]]
    statements = definitions(parsed, {n for name in todo for n in _parameters(checks[name])})
    _trial({name: checks[name] for name in todo}, statements, send, request["seconds"])


def _parameters(check):
    return list(importlib.import_module("inspect").signature(check).parameters)


def _trial(checks, statements, send, seconds):
    """Run the statements, then each check, for `seconds` at most, on the names that it asks for."""
    checking = importlib.import_module("lessons.checking")
    private = [m for name, m in sys.modules.items() if name.startswith("lessons.check")]
    for its in private:  # tracebacks show lines, and files will be closed
        linecache.getlines(its.__file__)
    parameters = {name: _parameters(check) for name, check in checks.items()}
    pristine = guard.Pristine(private, USED)
    known = guard.known_kinds()
    for name in [name for name in sys.modules if name.partition(".")[0] == "lessons"]:
        del sys.modules[name]  # a student's import makes copies, which nobody asks
    sys.modules["__main__"] = types.ModuleType("__main__")  # of the notebook, not of this file
    guard.close(os.getcwd(), _noting(send))
    namespace, errors = _run(statements)
    send(kind="ready")
    for name, check in checks.items():
        send(kind="started", check=name)
        _limit_time(seconds)
        try:
            answers = [_answer(namespace, key, pristine, known) for key in parameters[name]]
            status, message = _verdict(check, answers, checking)
            pristine.verify(deep=True)
        except guard.Tampered as error:
            send(kind="sign", text=f"tampers with the check {name}: {error}")
            send(kind="done", check=name, status="failed", message=f"not believed: {error}")
            os._exit(3)  # the checks after this one get a process of their own
        if status == "not written" and errors:
            message += "\n" + "\n".join(errors)
        send(kind="done", check=name, status=status, message=message[:2000])
    os._exit(0)  # nothing of the student's runs any more


def _noting(send, most=20):
    """What tells of each thing that was stopped once, and of no more than `most`."""
    told = set()

    def note(text):
        if text not in told and len(told) < most:
            told.add(text)
            send(kind="sign", text=f"tried, and was stopped: {text}")

    return note


def _run(statements):
    """The names that the statements give values, and what those that failed said."""
    namespace, errors = vars(sys.modules["__main__"]), []
    for cell, text, line in statements:
        name = f"<cell {cell}>"
        padded = "\n" * (line - 1) + text
        known = linecache.cache.get(name, (0, None, [], name))[2]
        lines = [*known, *["\n"] * max(0, line - 1 - len(known)), *text.splitlines(keepends=True)]
        linecache.cache[name] = (len(padded), None, lines, name)
        try:
            exec(compile(padded, name, "exec"), namespace)
        except BaseException as error:  # SystemExit too: the next statements count all the same
            errors.append(f"cell {cell} stopped with {type(error).__name__}: {error}")
    return namespace, errors


def _answer(namespace, name, pristine, known):
    """The student's answer of this name; where it is a function, watched. None where there is none."""
    answer = namespace.get(name)
    if not isinstance(answer, types.FunctionType | functools.partial):
        return answer

    def honest(value):
        if guard.deceives(value, known):
            raise guard.Tampered(f"{name} returns an object with operators of its own")
        return value

    def honest_item(value):  # made now, while the check asks for it
        pristine.verify()
        return honest(value)

    @functools.wraps(answer)
    def watched(*arguments, **named):
        try:
            value = answer(*arguments, **named)
        finally:
            pristine.verify()
        items = isinstance(value, types.GeneratorType)
        return map(honest_item, value) if items else honest(value)

    return watched


def _verdict(check, answers, checking):
    try:
        check(*answers)
    except checking.CheckFailed as failure:  # or what a student derived from it
        left = type(failure) is checking.NotWritten
        return "not written" if left else "failed", str(failure)
    except guard.Tampered:
        raise
    except BaseException as error:
        return "failed", f"it stopped with {type(error).__name__}: {error}"
    return "passed", ""


if __name__ == "__main__":
    sys.path[:] = [str(ROOT), *[p for p in sys.path if p not in ("", os.getcwd())]]
    main()
