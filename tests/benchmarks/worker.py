"""A process that does one case on demand: ``worker.py CONTESTANT CASE``.

It prepares the case (in JSON), does it once, says "ready", then answers every line "run" with the
seconds one run took, and "end" with its peak memory in MiB. Kept apart so that one library's threads
and memory do not touch the other's.
"""

from __future__ import annotations

import importlib
import json
import re
import resource
import sys
import time
from pathlib import Path

from cases import Case


def peak_mib(case: Case, contestant: str) -> float:
    """The most memory there has been: of the GPU where it computes there, else of this process."""
    if case.device == "gpu" and contestant.startswith("torch"):
        import torch

        return torch.cuda.max_memory_reserved() / 2**20
    if case.device == "gpu":
        import cupy

        return cupy.get_default_memory_pool().total_bytes() / 2**20
    status = Path("/proc/self/status")
    if status.exists():  # getrusage's figure would be the parent's, where that is greater
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    contestant, case = sys.argv[1], Case(**json.loads(sys.argv[2]))
    library = "with_torch" if contestant.startswith("torch") else "with_ums"
    library = importlib.import_module(library)
    before = peak_mib(case, contestant)
    work = library.work(case, contestant)
    work()
    print("ready", flush=True)
    for line in sys.stdin:
        if line.strip() == "end":
            print(peak_mib(case, contestant), before, flush=True)
            return
        start = time.perf_counter()
        work()
        library.synchronise(case)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
