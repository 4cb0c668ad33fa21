"""What a study of RSNA at 256 pixels would take on other machines: the tables of ums/experiments/COST.md.

    PYTHONPATH=. python tests/benchmarks/scale.py             # prints them
    PYTHONPATH=. python tests/benchmarks/scale.py --write     # puts them into the page

The published records say how long each kind of job took beside the others; the benchmark's page, how long a
training step takes. What is assumed beyond that, the page says.
"""

import heapq
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ums.experiments.arms import ARMS
from ums.experiments.results.published import published
from ums.networks import denoising_autoencoder
from ums.ops import mse
from ums.optimizers import RMSprop
from ums.parallel import Ranks, share
from ums.training import train_step

PAGE = Path(__file__).parents[2] / "ums/experiments/COST.md"
BEGIN, END = "<!-- tables of tests/benchmarks/scale.py -->", "<!-- end of the tables -->"

SOURCE_STEPS, STEPS = 20_000, 3_000
"""Of `make reproduce-cxr-full`."""
CPU_STEP, GPU_STEP = 0.784, 0.00502
"""Seconds of the autoencoder's training step, 256 pixels, batch 16: 2 cores; an H200 (README.md)."""
GPU_SOURCE_STEP = 0.053
"""The same on the H200 with its noise, which is drawn on the processor (README.md)."""
AUGMENTATION = 0.015
"""Processor seconds to augment and normalise a batch of 16 images of 256 pixels, one thread (measured)."""
SPLIT = {1: 221, 2: 125, 4: 71.4, 8: 39.4, 16: 23.3}
"""Ranks -> milliseconds of a step on the part of 16 images that each then has, 128 pixels (README.md)."""
TASKS = {"diverse": 2, "similar": 3}
MACHINES = {
    "2 cores": (1, "cpu"),
    "one H200": (1, "gpu"),
    "8 H200s": (8, "gpu"),
    "64 nodes of 2 cores": (64, "cpu"),
    "64 nodes of 16 cores": (512, "cpu"),
}
"""Jobs side by side, and on what."""
STUDIES = {
    "10 replicates": (10, 1),
    "30 replicates": (30, 1),
    "30 replicates of 10 folds": (30, 10),
}
"""Sources, and tunings of each arm on each of them."""


class Seconds(NamedTuple):
    """Of one job: gradient steps, preparation of batches by the processor, and all else."""

    steps: float
    batches: float
    rest: float


@cache
def measured():
    """Median seconds (training, rest) of each published job, by group and arm, and the two step counts."""
    study = published("cxr")
    settings = study.about["settings"]
    counts = [n for name, n in settings.items() if name.startswith("training steps of")]
    found = defaultdict(list)
    for record in study.parts[""].records:
        job = record["job"]
        if job["kind"] == "source":
            found["source"].append((record["seconds"], record["wall"] - record["seconds"]))
        elif job["kind"] == "source-test":
            found["source-test"].append((0.0, record["wall"]))
        elif job["kind"] == "tune":
            seconds = sum(task["seconds"] for task in record["tasks"].values())
            found[job["group"], job["arm"]].append((seconds, record["wall"] - seconds))
    medians = {key: np.median(values, axis=0) for key, values in found.items()}
    medians["source"] += medians.pop("source-test")
    return medians, counts


def jobs(kind):
    """Every job of a replicate at 256 pixels on a processor or GPU: {(group, arm) or "source": Seconds}."""
    medians, (source_steps, steps) = measured()
    small_step = medians["source"][0] / source_steps
    larger, scaled = CPU_STEP / small_step, {}
    for key, (training, rest) in medians.items():
        longer = SOURCE_STEPS / source_steps if key == "source" else STEPS / steps
        worth = training / small_step * longer  # in steps of the autoencoder
        if kind == "cpu":
            scaled[key] = Seconds(worth * CPU_STEP, 0.0, rest * larger)
        elif key == "source":
            waits = SOURCE_STEPS * (GPU_SOURCE_STEP - GPU_STEP)
            scaled[key] = Seconds(SOURCE_STEPS * GPU_STEP, waits, rest * larger)
        else:
            group, arm = key
            batches = STEPS * TASKS[group] * (TASKS[group] if ARMS[arm].longer else 1)
            scaled[key] = Seconds(worth * GPU_STEP, batches * AUGMENTATION, rest * larger)
    return scaled


def hours(kind, workers, sources, folds):
    """From first to last job, if each free worker takes the longest one that need not wait for a source."""
    of_replicate = jobs(kind)
    source = sum(of_replicate.pop("source"))
    tunings = {key: sum(seconds) for key, seconds in of_replicate.items()}
    waiting = [(-s, key) for key, s in tunings.items() for _ in range(folds)]
    after = [(s, key) for s, key in waiting if ARMS[key[1]].needs_source]
    ready = [(s, key) for s, key in waiting if not ARMS[key[1]].needs_source] * sources
    ready += [(-source - 1e9, "source")] * sources  # first of all
    heapq.heapify(ready)
    free, now, running = workers, 0.0, []
    while ready or running:
        while ready and free:
            seconds, key = heapq.heappop(ready)
            length = source if key == "source" else -seconds
            heapq.heappush(running, (now + length, str(key)))
            free -= 1
        now, key = heapq.heappop(running)
        free += 1
        if key == "source":
            for job in after:
                heapq.heappush(ready, job)
    return now / 3600


def messages():
    """What a rank sends in a step of the full autoencoder: arrays, their bytes, and integers."""
    sizes, integers = [], []

    def add(x, out):
        sizes.append(x.nbytes)
        out[...] = x

    def gather(n):
        integers.append(n)
        return [n]

    rng = np.random.default_rng(0)
    network, x = denoising_autoencoder(rng), np.zeros((2, 16, 16, 1), np.float32)
    ranks = Ranks(0, 1, add, gather)
    share(network, ranks)
    integers.clear()
    optimizer = RMSprop(network.trainable_parameters(), 1e-3)
    train_step(network, lambda y, t: ranks.loss(mse, y, t), optimizer, x, x)
    return len(sizes), sum(sizes), len(integers) + 1  # and the chosen examples


# ------------------------------------------------------------------------ tables


def table(head, rows):
    """A table of Markdown, its numbers to the right."""
    lines = [head, [":--", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def spelled(hours):
    """Hours, or days from two on."""
    return f"{hours:.3g} hours" if hours < 48 else f"{hours / 24:.3g} days"


def times():
    """The hours of each study on each machine."""
    rows = [
        [f"**{name}**", *(spelled(hours(kind, workers, *study)) for study in STUDIES.values())]
        for name, (workers, kind) in MACHINES.items()
    ]
    return table(["", *STUDIES], rows)


def shares():
    """Where the time of a replicate goes."""
    rows = []
    for name, kind in (("2 cores", "cpu"), ("one H200", "gpu")):
        all_jobs = jobs(kind)
        total = sum(map(sum, all_jobs.values()))
        source = all_jobs.pop("source")
        sums = np.sum([tuple(seconds) for seconds in all_jobs.values()], axis=0)
        parts = source.steps, source.batches, *sums[:2], source.rest + sums[2]
        rows.append([f"**{name}**", *(f"{part / total:.0%}" for part in parts)])
    head = ["", "source: steps", "its noise", "tuning: steps", "its batches", "tests, heat maps"]
    return table(head, rows)


def limits():
    """The chain that no number of machines shortens, and how many workers are of use."""
    rows = []
    for name, kind in (("2 cores each", "cpu"), ("an H200 each", "gpu")):
        all_jobs = {key: sum(seconds) for key, seconds in jobs(kind).items()}
        source = all_jobs.pop("source")
        longest = max((s, key) for key, s in all_jobs.items() if ARMS[key[1]].needs_source)
        chain = source + longest[0]
        useful = [
            sources * (source + folds * sum(all_jobs.values())) / chain
            for sources, folds in STUDIES.values()
        ]
        last = " ".join(longest[1])
        rows.append([f"**{name}**", spelled(chain / 3600), last, *(f"{n:.0f}" for n in useful)])
    head = ["", "longest chain", "its last job", *(f"workers of use, {name}" for name in STUDIES)]
    return table(head, rows)


def parts_of_a_batch():
    """A step whose batch of 16 is shared by several ranks."""
    rows = [
        ["one part, ms", *SPLIT.values()],
        ["times faster at most", *(f"{SPLIT[1] / ms:.1f}" for ms in SPLIT.values())],
        ["share of the ranks' time that is of use", *(f"{SPLIT[1] / ms / n:.0%}" for n, ms in SPLIT.items())],
    ]  # fmt: skip
    return table(["ranks", *SPLIT], rows)


def text():
    """All tables, as they stand in the page."""
    count, size, integers = messages()
    sent = f"A step of the full autoencoder sends {count} messages, together {size / 1e6:.1f} MB, "
    sent += f"and {integers} integers."
    parts = [
        "### How long a study takes", times(),
        "### Where the time goes", shares(),
        "### What more machines do not shorten", limits(),
        "### One network on several machines", parts_of_a_batch(), sent,
    ]  # fmt: skip
    return "\n\n".join(parts)


def page_with(tables):
    """The page with these tables in it."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page_with(text()), encoding="utf-8")
    print(text())
