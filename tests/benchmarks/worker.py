"""A process that does one case on demand: ``worker.py CONTESTANT CASE``.

It prepares the case (in JSON), does it once, says "ready", then answers every line "run" with the
seconds one run took, and "end" with its peak memory in MiB. Kept apart so that one library's threads
and memory do not touch the other's.

On a GPU a run is often shorter than what surrounds it, and a step is queued while the one before is
computed. There the answer is the mean of as many runs as take about ``GPU_TURN`` seconds, after one
that wakes the GPU up and is not counted.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cases import Case

GPU_TURN = 0.2


def timer(work: Callable[[], object], synchronise: Callable[[], None], gpu: bool):
    """A function that gives the seconds of one run; whatever compiles or tunes itself has done so."""

    def seconds(runs: int) -> float:
        start = time.perf_counter()
        for _ in range(runs):
            work()
        synchronise()
        return (time.perf_counter() - start) / runs

    if not gpu:
        return lambda: seconds(1)
    seconds(3)
    runs = max(1, round(GPU_TURN / seconds(3)))

    def turn() -> float:
        seconds(1)
        return seconds(runs)

    return turn


def peak_mib(case: Case, contestant: str) -> float:
    """The most memory there has been: reserved by the library's pool on a GPU where it computes
    there, else of this process."""
    if case.device == "gpu" and contestant.startswith("torch"):
        import torch

        return torch.cuda.max_memory_reserved() / 2**20
    if case.device == "gpu":
        import cupy

        return cupy.get_default_memory_pool().total_bytes() / 2**20
    status = Path("/proc/self/status")
    if status.exists():  # getrusage's figure would be the parent's, where that is greater
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8"))[1]) / 1024
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    contestant, case = sys.argv[1], Case(**json.loads(sys.argv[2]))
    library = "with_torch" if contestant.startswith("torch") else "with_ums"
    library = importlib.import_module(library)
    before = peak_mib(case, contestant)
    work = library.work(case, contestant)
    work()
    seconds = timer(work, lambda: library.synchronise(case), case.device == "gpu")
    if case.device == "gpu" and contestant.startswith("torch"):
        import torch

        torch.cuda.empty_cache()  # of what only trying ways to convolve has needed
        torch.cuda.reset_peak_memory_stats()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            print(peak_mib(case, contestant), before, flush=True)
            return
        print(seconds(), flush=True)


if __name__ == "__main__":
    main()
