"""``make bench``: how long ums takes beside others, all run in turns on one machine.

Writes every time measured to ``bench.jsonl`` in ``results/bench``, a line as soon as a case is done, and at
the end tables (``bench.md``) and cost against image side and batch (``scaling.svg``). A ratio is ums's
median time over another's; below 1, ums is faster. PyTorch is needed here and nowhere else, and
torch.compile, Keras on TensorFlow and Keras on JAX join in where they are installed:
``.venv/bin/python -m pip install -r requirements/bench.txt``. A case that fails is named, and the others
are measured; ``--resume`` goes on where a run was ended.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import report
from cases import NETWORKS, OPS, Case
from record import PEERS, TORCH, Record, Result
from tables import TABLES
from tqdm import tqdm
from with_ums import LADDER

from ums.backend import choose_device

SIDES, BATCHES = (64, 128, 256), (1, 4, 16)
"""Of the networks and ops."""
MANY_SIDES, MANY_BATCHES = (64, 96, 128, 192, 256), (1, 2, 4, 8, 16, 32, 64)
"""Of the two tables that say how the cost grows."""
REST = 0.02
"""Seconds between turns, for the threads of the one before to fall asleep."""
NEEDS = {
    "compiled": ("torch",),
    "tensorflow": ("keras", "tensorflow"),
    "xla": ("keras", "tensorflow"),
    "jax": ("keras", "jax"),
}
"""Packages of the peers."""
EXPECTED = {
    "networks": 5.0, "ops": 1.2, "convolution": 10.0, "ladder": 90.0, "frozen": 8.0, "sides": 10.0,
    "batches": 8.0, "compiled": 7.0, "tensorflow": 1.0, "xla": 1.5, "jax": 2.0,
}  # fmt: skip
"""Seconds a case of each table takes on two idle cores, and those each peer adds to one."""


class Round(NamedTuple):
    """Cases of a table that are done one after the other, by each contestant in one process."""

    table: str
    cases: Sequence[Case]
    contestants: tuple[str, ...]


class Worker:
    """A process that does cases for one contestant; see ``worker.py``."""

    def __init__(self, contestant: str, cases: Sequence[Case]):
        command = [sys.executable, str(Path(__file__).with_name("worker.py")), contestant]
        command.append(json.dumps([case.to_dict() for case in cases]))
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        # CuPy reads this when it is imported; PyTorch is told by ``with_torch``.
        environment = os.environ | {"CUPY_TF32": str(int(cases[0].tf32))}
        self.process = subprocess.Popen(command, env=environment, **pipes)
        self.contestant = contestant

    def tell(self, word: str) -> None:
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def hear(self) -> list[str]:
        answer = self.process.stdout.readline().split()
        if not answer:
            raise RuntimeError(f"{self.contestant} came to an end")
        return answer

    def ask(self, word: str) -> list[float]:
        self.tell(word)
        return [float(number) for number in self.hear()]


def measure(cases: Sequence[Case], contestants: Sequence[str], runs: int) -> Iterator[Result]:
    """Run the contestants in turns, case after case; each contestant has one process.

    Raises:
        RuntimeError: One of them fails.
        OSError: It has ended when it is asked.
    """
    workers = [Worker(contestant, cases) for contestant in contestants]
    try:
        for case in cases:
            yield _measured(workers, case, runs)
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.communicate()


def _measured(workers: list[Worker], case: Case, runs: int) -> Result:
    """One turn that does not count, then those that do. All prepare at the same time."""
    for worker in workers:
        worker.tell("next")
    for worker in workers:
        worker.hear()
    result = Result(case, times={worker.contestant: [] for worker in workers})
    for turn in range(runs + 1):
        for worker in workers:
            time.sleep(REST)
            seconds = worker.ask("run")
            result.times[worker.contestant] += seconds if turn else []
    for worker in workers:
        name = worker.contestant
        result.peak_mib[name], result.before_mib[name] = worker.ask("memory")
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


def plan(options: argparse.Namespace, peers: Sequence[str]) -> list[Round]:
    """What is measured. The largest case of a network or op comes first: its peak of memory is its own."""
    where = {"device": options.device, "tf32": options.tf32}
    cells = list(product(sorted(options.sides)[::-1], sorted(options.batches)[::-1]))
    ours = ("ums", *TORCH)

    def each(kind: str, name: str) -> tuple[Case, ...]:
        return tuple(Case(kind, name, *cell, **where) for cell in cells)

    rounds = [
        Round("networks", each(kind, name), (*ours, *peers))
        for name in NETWORKS
        for kind in ("step", "inference")
    ]
    rounds += [Round("ops", each("op", name), ours) for name in OPS]
    if options.device == "cpu":
        fast = ("loop", LADDER[0], *ours)
        names = ("autoencoder, encoder 3", "echo, encoder 6 (dilated)")
        rounds += [Round("convolution", (Case("forward", name),), fast) for name in names]
        rounds += [Round("ladder", (Case("step", "autoencoder"),), LADDER)]
    epoch = Case("epoch", "abnormality head", **where)
    rounds += [Round("frozen", (epoch,), ("ums", "ums, encoder every time"))]
    sides = [Case("step", "autoencoder", side, **where) for side in MANY_SIDES]
    batches = [Case("step", "autoencoder", 128, n, **where) for n in MANY_BATCHES]
    rounds += [Round("sides", (case,), ours) for case in sides]
    rounds += [Round("batches", (case,), ours) for case in batches]
    return [one for one in rounds if one.table in options.only]


def expected(rounds: list[Round], runs: int) -> float:
    """Minutes that the rounds take on two idle cores, roughly."""
    seconds = sum(
        len(one.cases) * (EXPECTED[one.table] + sum(EXPECTED.get(c, 0) for c in one.contestants))
        for one in rounds
    )
    return seconds * (runs + 5) / 10 / 60


def missing(device: str) -> str:
    """What is not there without which nothing can be measured; empty if nothing is."""
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


def absent(peer: str) -> list[str]:
    """What is not installed that the peer needs."""
    packages = [name for name in NEEDS[peer] if importlib.util.find_spec(name) is None]
    compiler = os.environ.get("CXX", "g++")
    lacks_compiler = peer == "compiled" and shutil.which(compiler) is None
    return packages + ([f"a C++ compiler ({compiler})"] if lacks_compiler else [])


def parsed(arguments: list[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="make bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tables = list(TABLES)
    add = parser.add_argument
    add("--device", choices=("cpu", "gpu"), default="cpu")
    add("--tf32", action="store_true", help="allow TF32 products on a GPU")
    add("--runs", type=int, default=5, help="turns that count (%(default)s)")
    add("--only", nargs="+", choices=tables, default=tables, metavar="TABLE",
        help="of " + ", ".join(tables))  # fmt: skip
    add("--peers", nargs="*", choices=PEERS, default=list(PEERS), metavar="PEER",
        help="beside PyTorch in eager mode, for networks on the CPU; of "
        + ", ".join(PEERS))  # fmt: skip
    add("--sides", nargs="+", type=int, default=SIDES, help="of the networks' and ops' images")
    add("--batches", nargs="+", type=int, default=BATCHES, help="of the networks and ops")
    add(
        "--seconds", type=float, default=float("inf"), help="begin no case after so many (no limit)"
    )
    add("--resume", action="store_true", help="keep what the folder holds, and measure the rest")
    add("--out", type=Path, default=Path("results/bench"))
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measure everything, or what is asked for, and write the report."""
    options = parsed(arguments)
    if error := missing(options.device):
        print(f"error: {error}")
        return 2
    start = time.monotonic()
    wanted = options.peers if options.device == "cpu" else []
    peers = [peer for peer in wanted if not absent(peer)]
    for peer in wanted:
        if peer not in peers:
            print(f"{PEERS[peer]} is left out, for want of {', '.join(absent(peer))}")
    os.environ["CUPY_TF32"] = str(int(options.tf32))  # for product_rate, which is done here
    if not options.resume:
        Record(options.out).path.unlink(missing_ok=True)
    record = Record(options.out)
    rounds = plan(options, peers)
    about = report.machine(options.device, options.tf32) | {"turns": options.runs}
    record.tell(about | {"rate": product_rate(options.device)})
    failed = measure_all(rounds, options.runs, record, start + options.seconds)
    record.tell({"rate": max(record.about["rate"], product_rate(options.device))})
    print(report.write(options.out, record))
    for line in failed:
        print(f"error: {line}", file=sys.stderr)
    return 1 if failed else 0


def measure_all(
    rounds: list[Round], runs: int, record: Record, end: float = float("inf")
) -> list[str]:
    """Add all results to the record that it does not hold; return what failed, a line each.

    From ``end`` on, of ``time.monotonic``, no case is begun, which counts as a failure.
    """
    waiting = [
        one._replace(cases=[case for case in one.cases if not record.holds(one.table, case)])
        for one in rounds
    ]
    print(f"About {math.ceil(expected(waiting, runs))} minutes on two idle cores.", flush=True)
    failed = []
    with tqdm(total=sum(len(one.cases) for one in waiting), unit="case") as bar:
        for table, cases, contestants in waiting:
            while cases:
                bar.set_postfix_str(f"{table}: {cases[0].name}")
                try:
                    if time.monotonic() > end:
                        raise RuntimeError("not measured, for want of time")
                    for result in measure(tuple(cases), contestants, runs):
                        record.add(table, result)
                        del cases[0]
                        bar.update()
                except (RuntimeError, OSError) as error:
                    failed.append(f"{table}: {cases.pop(0)}: {error}")
                    bar.update()
    return failed


if __name__ == "__main__":
    sys.exit(main())
