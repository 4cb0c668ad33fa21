"""The benchmark's page and plot, made from what was recorded.

    PYTHONPATH=. python tests/benchmarks/report.py results/bench results/bench-2

writes them again; the targets are set beside all the runs named, and the tables are the first's, with
the networks of the others below.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from pathlib import Path

import matplotlib
import numpy as np
from record import Record
from tables import TABLES, per_pixel, summary
from threadpoolctl import threadpool_info

from ums.backend import thread_count

PACKAGES = {
    "tensorflow_cpu": "TensorFlow",
    "tensorflow": "TensorFlow",
    "keras": "Keras",
    "jax": "JAX",
}


def write(out: Path, *records: Record) -> str:
    """Write bench.md and scaling.svg to ``out``; return the text of bench.md."""
    first, *others = records
    facts = dict(first.about)
    rate = facts.pop("rate")
    lines = [f"- {name}: {value}" for name, value in facts.items()]
    lines += [f"- large matrix product, GFLOP/s: {rate / 1e9:,.0f}"]
    if "GPU" not in facts:  # the targets are the processor's
        lines += ["", *summary([record.results for record in records])]
    for name, make in TABLES.items():
        if name in first.results:
            lines += ["", *make(first.results[name], rate)]
    if {"sides", "batches"} <= set(first.results):
        scaling_plot(out / "scaling.svg", first.results)
        lines += ["", "![Cost per pixel against side and batch](scaling.svg)"]
    for i, record in enumerate(others):
        lines += ["", f"## Run {i + 2}", ""]
        lines += TABLES["networks"](record.results["networks"], record.about["rate"])
    text = "\n".join(lines) + "\n"
    (out / "bench.md").write_text(text, encoding="utf-8")
    return text


def machine(device: str, tf32: bool) -> dict[str, str | float]:
    """What the figures were measured on."""
    import torch

    blas = [info for info in threadpool_info() if info["user_api"] == "blas"]
    facts = {
        "processor": _processor(),
        "threads": str(thread_count()),
        "NumPy": f"{np.__version__}, "
        + "; ".join(f"{i['internal_api']} {i['version']} ({i.get('architecture')})" for i in blas),
        "PyTorch": f"{torch.__version__} ({torch.backends.cpu.get_cpu_capability()})",
        **_versions(),
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


def _versions() -> dict[str, str]:
    """Of the peers that are installed."""
    found = {}
    for package, name in PACKAGES.items():
        try:
            found[name] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _cuda_version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.processor()
    return f"{name}, {os.cpu_count()} cores"


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


if __name__ == "__main__":
    print(write(Path(sys.argv[1]), *(Record(Path(folder)) for folder in sys.argv[1:])))
