"""``make bench``: how long ums takes beside PyTorch, both run in turns on one machine.

Writes ``bench.md`` (tables), ``bench.json`` (every time measured) and ``scaling.svg`` (cost against
image side and batch) to ``results/bench``. A ratio is ums's median time over PyTorch's, contiguous or
channels_last, whichever is faster there; below 1, ums is faster. PyTorch is needed here and nowhere
else: ``.venv/bin/python -m pip install torch``. A case that fails is named, and the others are measured.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import report
from cases import NETWORKS, OPS, Case, flops
from tqdm import tqdm
from with_ums import LADDER

from ums.backend import choose_device

TORCH = ("torch", "torch channels_last")
SIDES, BATCHES = (64, 96, 128, 192, 256), (1, 2, 4, 8, 16, 32, 64)
REST = 0.02
"""Seconds between turns, for the threads of the one before to fall asleep."""


class Worker:
    """A process that does one case for one contestant; see ``worker.py``."""

    def __init__(self, contestant: str, case: Case):
        command = [sys.executable, str(Path(__file__).with_name("worker.py")), contestant]
        command.append(json.dumps(case.to_dict()))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        # CuPy reads this when it is imported; PyTorch is told by ``with_torch``.
        environment = os.environ | {"CUPY_TF32": str(int(case.tf32))}
        self.process = subprocess.Popen(command, env=environment, **pipes)
        self.contestant, self.times = contestant, []
        self.case = case

    def wait(self) -> None:
        """Until it is ready to run."""
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{self.contestant} failed on {self.case}")

    def ask(self, word: str) -> list[float]:
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().split()
        if not answer:
            raise RuntimeError(f"{self.contestant} came to an end in {self.case}")
        return [float(number) for number in answer]

    def end(self) -> tuple[float, float]:
        """Its peak memory, and what of it was there before the case, in MiB."""
        peak, before = self.ask("end")
        self.process.wait()
        return peak, before


@dataclass
class Result:
    """A case's times in seconds, peak memory in MiB and operations, by contestant."""

    case: Case
    times: dict[str, list[float]] = field(default_factory=dict)
    peak_mib: dict[str, float] = field(default_factory=dict)
    before_mib: dict[str, float] = field(default_factory=dict)

    def median(self, contestant: str) -> float:
        return statistics.median(self.times[contestant])

    @property
    def rival(self) -> str:
        """The faster form of PyTorch."""
        return min((t for t in TORCH if t in self.times), key=self.median)

    def ratio(self, contestant: str = "ums", to: str | None = None) -> tuple[float, float, float]:
        """Of the medians; and the least and the greatest of the turns."""
        to = to or self.rival
        turns = [a / b for a, b in zip(self.times[contestant], self.times[to], strict=True)]
        return self.median(contestant) / self.median(to), min(turns), max(turns)

    def to_dict(self) -> dict:
        """As JSON can hold it."""
        every = {"case": self.case.to_dict(), "flops": flops(self.case), "times": self.times}
        return every | {"peak_mib": self.peak_mib, "before_mib": self.before_mib}


def measure(case: Case, contestants: tuple[str, ...], runs: int) -> Result:
    """Run the contestants in turns, after one turn that does not count.

    Raises:
        RuntimeError: One of them fails.
        OSError: It has ended when it is asked.
    """
    workers = [Worker(contestant, case) for contestant in contestants]
    try:
        return _measured(workers, case, runs)
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.communicate()


def _measured(workers: list[Worker], case: Case, runs: int) -> Result:
    for worker in workers:
        worker.wait()
    for turn in range(runs + 1):
        for worker in workers:
            time.sleep(REST)
            seconds = worker.ask("run")
            worker.times += seconds if turn else []
    result = Result(case)
    for worker in workers:
        name = worker.contestant
        result.times[name] = worker.times
        result.peak_mib[name], result.before_mib[name] = worker.end()
    return result


def product_rate(device: str) -> float:
    """Operations per second of a large float32 matrix product in ums's array module: the best of 10.

    On a GPU of 20 in a row, because a single one is over before its result is read.
    """
    xp = choose_device(device).xp
    a = xp.asarray(np.random.default_rng(0).random((3072, 3072), dtype=np.float32))
    best, together = np.inf, 1 if device == "cpu" else 20
    for _ in range(10):
        start = time.perf_counter()
        for _ in range(together):
            product = a @ a
        float(product[0, 0])
        best = min(best, (time.perf_counter() - start) / together)
    return 2 * len(a) ** 3 / best


def plan(device: str, tf32: bool) -> dict[str, list[tuple[Case, tuple[str, ...]]]]:
    """What is measured, by the table it belongs to."""
    where = {"device": device, "tf32": tf32}
    ours = ("ums", *TORCH)
    groups = {
        "networks": [
            (Case(kind, name, **where), ours) for name in NETWORKS for kind in ("step", "inference")
        ],
        "ops": [(Case("op", name, **where), ours) for name in OPS],
    }
    if device == "cpu":
        fast = ("loop", LADDER[0], *ours)
        names = ("autoencoder, encoder 3", "echo, encoder 6 (dilated)")
        groups["one convolution"] = [(Case("forward", name), fast) for name in names]
        groups["ladder"] = [(Case("step", "autoencoder"), LADDER)]
    epoch = Case("epoch", "abnormality head", **where)
    groups["frozen"] = [(epoch, ("ums", "ums, encoder every time"))]
    groups["sides"] = [(Case("step", "autoencoder", side, **where), ours) for side in SIDES]
    groups["batches"] = [(Case("step", "autoencoder", 128, n, **where), ours) for n in BATCHES]
    return groups


def missing(device: str) -> str:
    """What is not there that the benchmark needs; empty if nothing is."""
    if importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed: .venv/bin/python -m pip install torch"
    if device == "gpu":
        import torch

        try:
            choose_device("gpu")
        except RuntimeError as error:
            return str(error)
        if not torch.cuda.is_available():
            return f"PyTorch {torch.__version__} finds no working GPU"
    return ""


def main() -> int:
    """Measure everything, or the groups asked for, and write the report."""
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    groups = tuple(plan("cpu", False))
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--tf32", action="store_true", help="allow TF32 products on a GPU")
    parser.add_argument("--runs", type=int, default=7, help="turns that count (%(default)s)")
    parser.add_argument("--only", nargs="+", choices=groups, default=groups, metavar="GROUP",
                        help="of " + ", ".join(groups))  # fmt: skip
    parser.add_argument("--seconds", type=float, default=float("inf"),
                        help="begin no case after so many (no limit)")  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    options = parser.parse_args()
    if error := missing(options.device):
        print(f"error: {error}")
        return 2
    os.environ["CUPY_TF32"] = str(
        int(options.tf32)
    )  # for product_rate: its own process is this one
    start, rate = time.monotonic(), product_rate(options.device)
    wanted = {k: v for k, v in plan(options.device, options.tf32).items() if k in options.only}
    results, failed = measure_all(wanted, options.runs, start + options.seconds)
    rate = max(rate, product_rate(options.device))
    if results:
        print(report.write(options.out, options.device, options.tf32, options.runs, rate, results))
    for line in failed:
        print(f"error: {line}", file=sys.stderr)
    return 1 if failed else 0


def measure_all(
    wanted: dict, runs: int, end: float = float("inf")
) -> tuple[dict[str, list[Result]], list[str]]:
    """The results by table, and what failed, a line each; the others are measured all the same.

    From ``end`` on, of ``time.monotonic``, no case is begun, which counts as a failure.
    """
    results: dict[str, list[Result]] = {}
    failed = []
    with tqdm(total=sum(map(len, wanted.values())), unit="case") as bar:
        for name, cases in wanted.items():
            for case, contestants in cases:
                bar.set_postfix_str(f"{name}: {case.name}")
                try:
                    if time.monotonic() > end:
                        raise RuntimeError("not measured, for want of time")
                    results.setdefault(name, []).append(measure(case, contestants, runs))
                except (RuntimeError, OSError) as error:
                    failed.append(f"{name}: {case.name}: {error}")
                bar.update()
    return {name: group for name, group in results.items() if group}, failed


if __name__ == "__main__":
    sys.exit(main())
