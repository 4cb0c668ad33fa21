"""The benchmark's tables and plot."""

from __future__ import annotations

import json
import os
import platform
from functools import partial
from pathlib import Path

import matplotlib
import numpy as np
from cases import flops
from threadpoolctl import threadpool_info
from with_ums import LADDER

from ums.backend import thread_count

KINDS = {"step": "training step", "inference": "inference"}


def write(out: Path, device: str, tf32: bool, runs: int, rate: float, results: dict) -> str:
    """Write bench.json, bench.md and scaling.svg to ``out``; return the text of bench.md."""
    out.mkdir(parents=True, exist_ok=True)
    about = machine(device, tf32) | {"turns": runs, "large matrix product, GFLOP/s": rate / 1e9}
    record = {name: [result.to_dict() for result in group] for name, group in results.items()}
    (out / "bench.json").write_text(json.dumps({"about": about, "results": record}, indent=1))
    lines = [f"- {name}: {value:.0f}" if isinstance(value, float) else f"- {name}: {value}"
             for name, value in about.items()]  # fmt: skip
    for name, make in TABLES.items():
        if name in results:
            lines += ["", *make(results[name], rate)]
    if {"sides", "batches"} <= set(results):
        scaling_plot(out / "scaling.svg", results)
        lines += ["", "![Cost per pixel against side and batch](scaling.svg)"]
    text = "\n".join(lines) + "\n"
    (out / "bench.md").write_text(text)
    return text


def machine(device: str, tf32: bool) -> dict[str, str]:
    """What the figures were measured on."""
    import torch

    blas = [info for info in threadpool_info() if info["user_api"] == "blas"]
    facts = {
        "processor": _processor(),
        "threads": str(thread_count()),
        "NumPy": f"{np.__version__}, "
        + "; ".join(f"{i['internal_api']} {i['version']} ({i.get('architecture')})" for i in blas),
        "PyTorch": f"{torch.__version__} ({torch.backends.cpu.get_cpu_capability()})",
        "Python": platform.python_version(),
    }
    if device == "gpu":
        import cupy

        name = cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()
        runtime = cupy.cuda.runtime
        facts |= {
            "GPU": f"{name}, {runtime.getDeviceProperties(0)['totalGlobalMem'] / 2**30:.0f} GiB",
            "CUDA driver": _cuda_version(runtime.driverGetVersion()),
            "CuPy": f"{cupy.__version__} (CUDA {_cuda_version(runtime.runtimeGetVersion())})",
            "PyTorch": f"{torch.__version__} (cuDNN {torch.backends.cudnn.version()})",
            "TF32": "on, in both" if tf32 else "off, in both",
        }
    return facts


def _cuda_version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor()
    return f"{name}, {os.cpu_count()} cores"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Markdown, the first column to the left, the others to the right."""
    rule = [":--", *["--:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in (head, rule, *rows)]


def _digits(value: float) -> str:
    """With one digit after the point below 100, two below 10, three below 1."""
    return f"{value:.{(value < 100) + (value < 10) + (value < 1)}f}"


def _ms(seconds: float) -> str:
    return _digits(seconds * 1e3)


def _spread(ratio: tuple[float, float, float]) -> list[str]:
    middle, low, high = ratio
    return [f"**{middle:.2f}**", f"{low:.2f} to {high:.2f}"]


def _against_torch(results, rate) -> list[list[str]]:
    rows = []
    for result in results:
        kind = KINDS.get(result.case.kind)
        done = flops(result.case)
        speed = done / result.median("ums") if done else None
        rows.append(
            [
                f"{result.case.name}, {kind}" if kind else result.case.name,
                _ms(result.median("ums")),
                _ms(result.median(result.rival)),
                *_spread(result.ratio()),
                f"{speed / 1e9:.0f}" if speed else "",
                f"{speed / rate:.0%}" if speed else "",
                f"{result.peak_mib['ums']:.0f}",
                f"{result.peak_mib[result.rival]:.0f}",
            ]
        )
    return rows


AGAINST = ["ums, ms", "PyTorch, ms", "ratio", "of single turns", "GFLOP/s", "of the product"]
AGAINST += ["peak, MiB", "PyTorch's"]


def against_torch(title: str, results, rate) -> list[str]:
    """Times, ratios and memory beside PyTorch's."""
    return [title, "", *_table(["", *AGAINST], _against_torch(results, rate))]


def one_convolution(results, rate) -> list[str]:
    """What else one might write."""
    names = {"loop": "a loop over pixels", LADDER[0]: "windows of the whole batch",
             "ums": "ums", "torch": "PyTorch", "torch channels_last": "channels_last"}  # fmt: skip
    rows = [
        [r.case.name, *(f"{_ms(r.median(c))} ({r.ratio(c, 'ums')[0]:.2g})" for c in names)]
        for r in results
    ]
    head = ["forward, ms (times ums's)", *names.values()]
    return ["### One convolution, several ways", "", *_table(head, rows)]


def ladder(results, rate) -> list[str]:
    """One idea after the other."""
    (result,) = results
    rows = []
    for i, name in enumerate(LADDER):
        time, before = result.median(name), result.median(LADDER[max(0, i - 1)])
        peak = f"{result.peak_mib[name]:.0f}"
        rows.append([name, _ms(time), f"{before / time:.2f}" if i else "", peak])
    head = ["the autoencoder's training step", "ms", "times faster", "peak, MiB"]
    return ["### What each idea buys", "", *_table(head, rows)]


def frozen(results, rate) -> list[str]:
    """Features computed once."""
    (result,) = results
    every = "ums, encoder every time"
    ratio = _spread(result.ratio(every, "ums"))
    row = [f"{8 * result.case.batch} images", _ms(result.median(every)), _ms(result.median("ums"))]
    head = ["an epoch of a classification head", "through the frozen encoder, ms"]
    head += ["on kept features, ms", "times faster", "of single turns"]
    return ["### Frozen means free", "", *_table(head, [[*row, *ratio]])]


def per_pixel(result, contestant: str) -> float:
    """Nanoseconds for each pixel of the batch."""
    case = result.case
    return result.median(contestant) / (case.batch * case.side**2) * 1e9


def scaling(by: str, title: str, results, rate) -> list[str]:
    """Cost per pixel against the side or the batch."""
    rows = [
        [
            str(getattr(r.case, by)),
            _ms(r.median("ums")),
            _ms(r.median(r.rival)),
            *_spread(r.ratio()),
            _digits(per_pixel(r, "ums")),
            _digits(per_pixel(r, r.rival)),
        ]
        for r in results
    ]
    head = [by, "ums, ms", "PyTorch, ms", "ratio", "of single turns", "ums, ns per pixel"]
    return [title, "", *_table([*head, "PyTorch's"], rows)]


TABLES = {
    "networks": partial(against_torch, "### Networks, 256 x 256, batch 16"),
    "ops": partial(against_torch, "### Ops, forward and backward, batch 16"),
    "one convolution": one_convolution,
    "ladder": ladder,
    "frozen": frozen,
    "sides": partial(
        scaling, "side", "### The autoencoder's training step by image side, batch 16"
    ),
    "batches": partial(scaling, "batch", "### The autoencoder's training step by batch, 128 x 128"),
}


def scaling_plot(path: Path, results: dict) -> None:
    """Nanoseconds per pixel against side and batch."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained", sharey=True)
    for ax, by in zip(axes, ("side", "batch"), strict=True):
        group = results[f"{by}s" if by == "side" else "batches"]
        x = [getattr(result.case, by) for result in group]
        for name, colour in (("ums", "#0b6e99"), ("PyTorch", "#d1701a")):
            y = [per_pixel(r, "ums" if name == "ums" else r.rival) for r in group]
            ax.plot(x, y, "o-", color=colour, label=name, linewidth=1.8, markersize=4)
        ax.set_xscale("log", base=2)
        ax.set_xticks(x, [str(value) for value in x])
        ax.minorticks_off()
        ax.set_ylim(bottom=0)
        ax.set_xlabel("pixels a side, batch 16" if by == "side" else "batch, 128 x 128")
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", alpha=0.3)
    axes[0].set_ylabel("training step, ns per pixel")
    axes[0].legend(frameon=False)
    figure.savefig(path)
    pyplot.close(figure)
