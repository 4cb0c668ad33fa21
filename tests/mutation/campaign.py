"""Run one-line mutants against the tests that concern them: ``make mutants COUNT=300 SEED=0``.

All work is done in copies of the checkout under ``.mutants/``. It can be stopped at any time, and the same
command goes on. When tests change, survivors are tried again; when the library changes, all mutants.
"""

import argparse
import hashlib
import importlib
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from coverage_map import CoverageMap, measure
from mutations import Mutant, sample

HERE = Path(__file__).resolve().parent
ROOT, EQUIVALENTS = HERE.parents[1], HERE / "equivalents.jsonl"
PLACE, PACKAGES = ROOT / ".mutants", ("ums", "data_prep")
COPY, RESULTS = PLACE / "copy-0", PLACE / "results.jsonl"
LIBRARIES = (
    "scipy.stats scipy.ndimage cv2 PIL.Image matplotlib.pyplot pydicom torch jinja2 filelock"
)
SETTINGS = dict.fromkeys(("UMS_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
SETTINGS |= {"MPLBACKEND": "Agg"}


def main() -> int:
    """Run what has no result yet and print the table; 1 if a mutant survived or could not be judged."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="mutants")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument(
        "--only", nargs="+", default=PACKAGES, help="folders, such as ums/ops, or files"
    )
    options = parser.parse_args()
    os.environ |= SETTINGS
    copy_checkout()
    mutants = sample(COPY, options.only, options.count, options.seed)
    prints = {"library": hash_of(COPY.glob("[ud]*/**/*.py"))}
    prints["tests"] = hash_of(COPY.glob("[tl]*/**/*.py"))
    parts, (done, equivalent) = test_files(prints["library"]), results(prints)
    with multiprocessing.Pool(options.jobs, begin_worker) as pool:
        unmeasured = [(file, part) for file, part in parts.items() if not part.exists()]
        for n, file in enumerate(pool.imap_unordered(measured, unmeasured), 1):
            print(f"{n}/{len(unmeasured)} which lines it runs: {file}", flush=True)
        covered = CoverageMap(COPY, PACKAGES, list(parts.values()))
        done = {m: row for m, row in done.items() if row["by"] in {"", *covered.tests}}
        left = [m for m in mutants if m not in done and key_of(m) not in equivalent]
        work = [(m, *covered.tests_for(m.file, m.line)) for m in left]
        for n, row in enumerate(pool.imap_unordered(judged, work), 1):
            done[Mutant(*row["mutant"])] = row
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row | prints) + "\n")
            print(
                f"{n}/{len(left)} {row['outcome']}: {':'.join(map(str, row['mutant'][:2]))}",
                flush=True,
            )
        killers = {done[m]["by"] for m in mutants if m in done} - {""}
        if failed := pool.apply(failing, [killers]):
            forget(failed)
            names = ", ".join(sorted(failed))
            print(f"error: tests fail without a mutant too: {names}; run again", file=sys.stderr)
            return 2
    done |= {m: {"outcome": "equivalent"} for m in mutants if key_of(m) in equivalent}
    return report([(m, done[m]) for m in mutants])


# ------------------------------------------------------------------------------ what there is


def copy_checkout() -> None:
    """Make the copy what the checkout is now: the files that git knows or would take."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    found = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = {name for name in found.split("\0") if name and (ROOT / name).is_file()}
    for path in [p for p in COPY.rglob("*") if p.is_file() and p.suffix != ".pyc"]:
        if path.relative_to(COPY).as_posix() not in names:
            path.unlink()
    for name in names:
        own, copy = ROOT / name, COPY / name
        if not copy.exists() or copy.read_bytes() != own.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(own, copy)


def hash_of(paths: Iterable[Path]) -> str:
    """A print of files of the copy."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(path.relative_to(COPY).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def test_files(library: str) -> dict[str, Path]:
    """Test file -> where what it runs is written, for this state of it and of what it may use."""
    paths = [p for p in COPY.glob("[tl]*/**/*.py") if p.parent.name != "mutation"]
    tests = [p for p in paths if p.name.startswith("test_")]
    folder = PLACE / "runs" / f"{library}-{hash_of(set(paths) - set(tests))}"
    folder.mkdir(parents=True, exist_ok=True)
    parts = {path: folder / f"{path.stem}-{hash_of([path])}.json" for path in tests}
    return {path.relative_to(COPY).as_posix(): part for path, part in sorted(parts.items())}


def results(prints: dict[str, str]) -> tuple[dict[Mutant, dict], set[tuple[str, str, str]]]:
    """Results that still hold, and the mutants that are recorded as equivalent, with a reason."""
    RESULTS.touch()
    rows = list(map(json.loads, RESULTS.read_text(encoding="utf-8").splitlines()))
    rows = [r for r in rows if r["library"] == prints["library"] and r["outcome"] != "error"]
    rows = [
        r for r in rows if r["tests"] == prints["tests"] or r["outcome"] in ("killed", "timed out")
    ]
    known = map(json.loads, EQUIVALENTS.read_text(encoding="utf-8").splitlines())
    equivalent = {(row["file"], row["before"], row["after"]) for row in known}
    return {Mutant(*row["mutant"]): row for row in rows}, equivalent


def forget(killers: set[str]) -> None:
    """Drop the results of tests that kill without a mutant, so that those mutants are run again."""
    rows = RESULTS.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = RESULTS.with_suffix(".kept")
    kept.write_text("".join(r for r in rows if json.loads(r)["by"] not in killers), "utf-8")
    kept.replace(RESULTS)


def key_of(mutant: Mutant) -> tuple[str, str, str]:
    return mutant.file, mutant.before, mutant.after


# ------------------------------------------------------------------------------ work of a process


def begin_worker() -> None:
    """Take a copy of one's own, and import libraries once for all forks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()  # when it is killed, nobody tells this process
    signal.signal(signal.SIGALRM, lambda *_: os.getppid() == parent or os._exit(1))
    signal.setitimer(signal.ITIMER_REAL, 5, 5)
    own = PLACE / f"copy-{multiprocessing.current_process()._identity[0]}"
    shutil.rmtree(own, ignore_errors=True)
    shutil.copytree(COPY, own)
    os.chdir(own)
    sys.path[0] = os.environ["PYTHONPATH"] = str(own)
    for name in LIBRARIES.split():
        try:
            importlib.import_module(name)
        except ImportError:
            continue


def in_fork(work: Callable[[], int], limit: float = 600) -> tuple[int, bool]:
    """The exit status of a function in a process of its own, and whether it took too long.

    The limit is of the processor's seconds, so that other work on the machine changes nothing; one that
    waits for ever is stopped too.
    """
    child = os.fork()
    if child == 0:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_CPU, (int(limit), int(limit)))
        log = os.open("log.txt", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(log, 1), os.dup2(log, 2)
        status = 70
        try:
            status = work()
        finally:
            os._exit(status)
    ends = time.monotonic() + 10 * limit
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > ends:
            os.killpg(child, signal.SIGKILL)
        time.sleep(0.02)
    return os.waitstatus_to_exitcode(ended[1]), os.WIFSIGNALED(ended[1])


def measured(work: tuple[str, Path]) -> str:
    """Write what a test file runs; its name."""
    file, part = work
    status, _ = in_fork(lambda: measure(file, PACKAGES, part))
    if status:
        log = Path("log.txt").read_text(encoding="utf-8")
        raise RuntimeError(f"{file} could not be measured\n{log}")
    return file


def judged(work: tuple[Mutant, list[str], float]) -> dict:
    """What the tests say of a mutant, which is gone from the copy afterwards."""
    mutant, tests, seconds = work
    path, begin, outcome, by = Path(mutant.file), time.monotonic(), "survived", ""
    text, times = path.read_bytes(), path.stat()
    lines = text.decode().splitlines(keepends=True)
    lines[mutant.line - 1] = lines[mutant.line - 1].replace(mutant.before, mutant.after)
    path.write_bytes("".join(lines).encode())
    os.utime(path, (times.st_atime, times.st_mtime + 100))  # what was compiled is not taken for it
    files = Counter(test.split("::")[0] for test in tests)
    most = max(files, key=files.__getitem__, default="")
    for first in (True, False):  # one file is quicker to collect than many
        chosen = Chosen([test for test in tests if (test.split("::")[0] == most) is first])
        status, slow = in_fork(chosen.run, 30 + 3 * seconds)
        if status:
            outcome, by = outcome_of(status, slow), chosen.note.read_text()
            break
    path.write_bytes(text)
    os.utime(path, (times.st_atime, times.st_mtime))
    row = {
        "mutant": mutant,
        "outcome": outcome,
        "by": by,
        "seconds": round(time.monotonic() - begin, 1),
    }
    return row | ({} if outcome == "killed" else {"ran": tests})


def outcome_of(status: int, slow: bool) -> str:
    """What an exit status of pytest other than 0 says of a mutant.

    A test failed, or a module could not be imported. Anything else, such as no tests found, is an error.
    """
    if slow:
        return "timed out"
    log = Path("log.txt").read_text(encoding="utf-8", errors="replace")
    unread = status == pytest.ExitCode.USAGE_ERROR and "while loading conftest" in log
    stopped = (pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED)
    return "killed" if unread or status in stopped else "error"


def failing(tests: set[str]) -> set[str]:
    """Those of some tests that fail with no mutant there.

    Raises:
        RuntimeError: They could not be run.
    """
    left, failed = set(tests), set()
    while left:
        chosen = Chosen(sorted(left))
        status, _ = in_fork(chosen.run)
        if not status:
            break
        if (name := chosen.note.read_text()) not in left:
            log = Path("log.txt").read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"the tests could not be run without a mutant\n{log}")
        failed.add(name)
        left.remove(name)
    return failed


class Chosen:
    """Runs tests in their order up to the first that fails, whose name it writes."""

    def __init__(self, tests: list[str]):
        self.order, self.note = {test: n for n, test in enumerate(tests)}, Path("failed.txt")
        self.note.write_text("")

    def run(self) -> int:
        files = sorted({test.split("::")[0] for test in self.order})
        options = ["-x", "-q", "-p", "no:cacheprovider", "--tb=short", "--basetemp=basetemp"]
        return int(pytest.main([*files, *options], plugins=[self])) if files else 0

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items):
        chosen = [item for item in items if item.nodeid in self.order]
        items[:] = sorted(chosen, key=lambda item: self.order[item.nodeid])

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.note.write_text(report.nodeid)


# ------------------------------------------------------------------------------ what came of it


def report(outcomes: list[tuple[Mutant, dict]]) -> int:
    """Print what was not killed and the table by area; 1 if a mutant survived or could not be judged."""
    areas, names = defaultdict(Counter), ("killed", "timed out", "survived", "equivalent", "error")
    for mutant, row in outcomes:
        for area in ("/".join(mutant.file.removesuffix(".py").split("/")[:2]), "total"):
            areas[area][row["outcome"]] += 1
        if row["outcome"] in ("survived", "timed out", "error"):
            print(f"\n{mutant.file}:{mutant.line} {row['outcome']}")
            print(f"- {mutant.before}\n+ {mutant.after}\n{len(row['ran'])} tests: {row['ran'][:3]}")
    print(f"\n| {'area':28} | mutants | " + " | ".join(names) + " |   rate |")
    for area, n in sorted(areas.items(), key=lambda one: (one[0] == "total", one[0])):
        counts = " | ".join(f"{n[name]:{len(name)}}" for name in names)
        judged, caught = n.total() - n["equivalent"] - n["error"], n["killed"] + n["timed out"]
        print(f"| {area:28} | {n.total():7} | {counts} | {caught / max(judged, 1):6.1%} |")
    return int(areas["total"]["survived"] + areas["total"]["error"] > 0)


if __name__ == "__main__":
    sys.exit(main())
