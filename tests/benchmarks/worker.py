"""A process that does cases on demand: ``worker.py CONTESTANT CASES``, the cases a list in JSON.

It answers every line "next" with "ready" once it has prepared the next case and done it once, every
line "run" with the seconds one run took, and "memory" with the peak of its memory and what of it was
there before the first case, in MiB. Kept apart so that one library's threads and memory do not touch the
other's.

A run is often shorter than what surrounds it; on a GPU, a step is queued while the one before is
computed. The answer is therefore the mean of as many runs as take about ``TURN`` seconds, after
``AWAKE`` seconds of runs that wake the caches, the threads or the GPU up and are not counted: after a
pause Linux may leave two threads on one processor for 60 ms. Of a long run one is enough.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cases import Case

TURN = {"cpu": 0.05, "gpu": 0.2}
AWAKE, LONG = 0.08, 0.4
"""Seconds of the runs before a turn, and of a run that needs none before it."""


def timer(work: Callable[[], object], synchronise: Callable[[], None], device: str):
    """A function that gives the seconds of one run; whatever compiles or tunes itself has done so."""

    def seconds(runs: int) -> float:
        start = time.perf_counter()
        for _ in range(runs):
            work()
        synchronise()
        return (time.perf_counter() - start) / runs

    few = 3 if device == "gpu" else 1
    seconds(few)
    one = seconds(few)
    runs = max(1, round(TURN[device] / one))

    def turn() -> float:
        begin = time.perf_counter()
        while one < LONG and time.perf_counter() < begin + AWAKE:
            seconds(1)
        return seconds(runs)

    return turn


def peak_mib(case: Case, contestant: str) -> float:
    """The most memory there has been: reserved by the library's pools on a GPU where it computes
    there, else of this process."""
    if case.device == "gpu" and contestant.startswith("torch"):
        import torch

        return torch.cuda.max_memory_reserved() / 2**20
    if case.device == "gpu":
        return library_of(contestant).reserved_mib()
    status = Path("/proc/self/status")
    if status.exists():  # getrusage's figure would be the parent's, where that is greater
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8"))[1]) / 1024
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def library_of(contestant: str):
    """The module that does a contestant's cases; imported, for Keras with the library that computes."""
    if contestant in ("tensorflow", "xla", "jax"):
        backend = "jax" if contestant == "jax" else "tensorflow"
        os.environ |= {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "2"}  # errors only
        return importlib.import_module("with_keras")
    by_torch = contestant.startswith("torch") or contestant == "compiled"
    return importlib.import_module("with_torch" if by_torch else "with_ums")


def prepared(case: Case, contestant: str, library) -> Callable[[], float]:
    """The function that does a turn of the case."""
    work = library.work(case, contestant)
    work()
    peak_mib(case, contestant)  # ums needs more before the work is recorded
    turn = timer(work, lambda: library.synchronise(case), case.device)
    if case.device == "gpu" and contestant.startswith("torch"):
        import torch

        torch.cuda.empty_cache()  # of what only trying ways to convolve has needed
        torch.cuda.reset_peak_memory_stats()
    return turn


def main() -> None:
    contestant, cases = sys.argv[1], [Case(**one) for one in json.loads(sys.argv[2])]
    library, coming, turn = library_of(contestant), iter(cases), None
    before = peak_mib(cases[0], contestant)
    for line in sys.stdin:
        if line.strip() == "next":
            turn = None  # the case before is over, and its memory free
            turn = prepared(next(coming), contestant, library)
            print("ready", flush=True)
        elif line.strip() == "run":
            print(turn(), flush=True)
        else:
            print(peak_mib(cases[0], contestant), before, flush=True)


if __name__ == "__main__":
    main()
