"""Score a class: every notebook in processes of its own (`lessons.judge`), several side by side.

Whatever a notebook holds, it gets a `Score`, and the others get theirs.
"""

import contextlib
import hashlib
import hmac
import json
import marshal
import os
import queue
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from lessons.notebooks import ROOT, check_points, solved_notebook, sources, student_notebook
from lessons.signs import bare_functions

LONGEST_LINE = 2**20

OUT_OF_TIME = -signal.SIGXCPU if os.name == "posix" else None
PATIENCE = 5 if os.name == "posix" else 1
"""How many times as long as its processor time a check may take by the clock; Windows has the clock alone."""


class Result(NamedTuple):
    """What became of one check: passed, failed, not written, or not run."""

    check: str
    status: str
    message: str


class Limits(NamedTuple):
    """Processor time of one check, or of all that comes before the first, in seconds; memory in megabytes."""

    seconds: int = 60
    memory: int = 4096


@dataclass
class Score:
    """What became of a notebook's checks, and what a teacher should look at."""

    path: Path
    lesson: str = ""
    results: list[Result] = field(default_factory=list)
    signs: list[str] = field(default_factory=list)
    error: str = ""
    copy: tuple = (None, 0)
    solution: tuple = (None, 0)

    @property
    def points(self):
        passed = sum(result.status == "passed" for result in self.results)
        return passed * check_points(self.lesson)

    @property
    def most(self):
        """The points of a notebook that passes every check."""
        return len(self.results) * check_points(self.lesson)


def score_all(paths, limits, processes=1):
    """Yield the `Score` of each notebook, in order, several at a time.

    Runs the students' code with your rights. The files are not changed.
    """
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(processes) as pool:
        known = Path(folder, "known.json")
        known.write_text(json.dumps(_known()), encoding="utf-8")
        yield from pool.map(lambda path: score(path, known, limits), paths)


def mark_copies(scores):
    """Add a sign to the scores whose answers are equal to another's, or to the solution."""
    alike = {}
    for score in scores:
        digest, lines = score.copy
        if digest is not None:
            alike.setdefault((score.lesson, digest), []).append(score)
            if digest == score.solution[0]:
                score.signs.append(
                    f"its {lines} lines are the solution's, but for names and layout"
                )
    for group in alike.values():
        for score in group if len(group) > 1 else ():
            others = ", ".join(str(other.path) for other in group if other is not score)
            score.signs.append(
                f"its {score.copy[1]} lines are, but for names and layout, those of {others}"
            )


def score(path, known, limits):
    """The `Score` of one notebook. `known` is a file with what each lesson gives and solves, and the library.

    A check that ends its process, or comes to no end, fails alone: those after it get another one.
    """
    scored, checks, done = Score(path), None, {}
    try:
        while checks is None or len(done) < len(checks):
            left = None if checks is None else [name for name in checks if name not in done]
            entries, why = _run(
                {"path": os.path.abspath(path), "only": left, "known": str(known)}, limits
            )
            checks = _take(scored, entries) or checks
            started = [e["check"] for e in entries if e["kind"] == "started"]
            done |= {name: Result(name, "failed", f"it came to no end: {why}") for name in started}
            done |= {e["check"]: _result(e) for e in entries if e["kind"] == "done"}
            if not started:
                break
        scored.results = [done.get(n, Result(n, "not run", why)) for n in checks or ()]
        if checks is None and not scored.error:
            scored.error = f"{path}: {why}"
    except Exception as error:  # one notebook is not the others' trouble
        scored.error = f"{path}: {type(error).__name__}: {error}"
    scored.signs = list(dict.fromkeys(scored.signs))
    return scored


def _result(entry):
    return Result(entry["check"], entry["status"], entry["message"])


def _take(scored, entries):
    """Put what was said of the whole notebook into its score; the names of its checks, if told."""
    checks = None
    for entry in entries:
        if entry["kind"] == "error":
            scored.error = entry["text"]
        elif entry["kind"] == "sign":
            scored.signs.append(entry["text"])
        elif entry["kind"] == "notebook":
            checks, scored.lesson = entry["checks"], entry["lesson"]
            scored.copy, scored.solution = tuple(entry["copy"]), tuple(entry["solution"])
            scored.signs += entry["signs"]
    return checks


def _known():
    """The code of every lesson as students get it and as it is solved, and the library's functions."""
    made = {"given": student_notebook, "solution": solved_notebook}
    lessons = {
        source.stem: {
            kind: [cell.source for cell in make(source).cells if cell.cell_type == "code"]
            for kind, make in made.items()
        }
        for source in sources()
    }
    library = {}
    for path in [*(ROOT / "ums").rglob("*.py"), *(ROOT / "lessons" / "checks").glob("*.py")]:
        where = path.relative_to(ROOT).as_posix()
        functions = bare_functions(path.read_text(encoding="utf-8"))
        library |= {f"{name} in {where}": lines for name, lines in functions.items()}
    return {"lessons": lessons, "library": library}


# ------------------------------------------------------------------------- the processes


def _run(request, limits):
    """Let a judge run until it ends or is silent too long: its entries, and why there are no more."""
    secret = secrets.token_hex(32)
    text = json.dumps(request | limits._asdict() | {"secret": secret})
    by_clock = limits.seconds * PATIENCE
    lines, entries = queue.Queue(), []
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        process = subprocess.Popen(
            [sys.executable, "-m", "lessons.judge"], cwd=folder, env=_environment(folder),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        reader = threading.Thread(target=_pass_on, args=(process.stdout, lines), daemon=True)
        reader.start()
        try:
            with contextlib.suppress(OSError), process.stdin:
                process.stdin.write(text.encode())
            while (entry := _next(lines, secret.encode(), len(entries), by_clock)) is not None:
                entries.append(entry)
            ended = process.wait(timeout=5)
            why = f"its process ended by itself (status {ended})"
            if ended == OUT_OF_TIME:
                why = f"more than {limits.seconds} s of processor time"
        except queue.Empty:
            why = f"more than {by_clock} s"
        except subprocess.TimeoutExpired:
            why = "its process closed its output"
        finally:
            _end(process)
    return entries, why


def _next(lines, secret, number, seconds):
    """The next entry that the judge signed; None at the end. Other lines are passed over."""
    end = time.monotonic() + seconds
    while (line := lines.get(timeout=max(0.0, end - time.monotonic()))) is not None:
        signature, _, text = line.rstrip(b"\n").partition(b" ")
        told = hashlib.sha256(secret + text).hexdigest().encode()
        if hmac.compare_digest(signature, told):
            entry = marshal.loads(bytes.fromhex(text.decode()))
            if entry["number"] == number:
                return entry
    return None


def _pass_on(stream, lines):
    with contextlib.suppress(OSError, ValueError):  # the pipe may be closed while we read
        while line := stream.readline(LONGEST_LINE):
            lines.put(line)
    lines.put(None)


def _end(process):
    """End the process and all that it started."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    process.stdout.close()


def _environment(folder):
    """This process's environment; threads of one notebook would take processors from another's."""
    threads = dict.fromkeys(("UMS_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    named = {
        "PYTHONPATH": os.pathsep.join(paths), "MPLBACKEND": "agg", "PYTHONSAFEPATH": "1",
        "MPLCONFIGDIR": folder,
        "LESSON_STILL": "1",
    }  # fmt: skip
    return os.environ | threads | named
