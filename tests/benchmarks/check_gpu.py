"""``make check-gpu``: all that a machine with a GPU should do once, the most valuable first.

    python tests/benchmarks/check_gpu.py --minutes 8

The parts, each a process of its own with a share of the minutes:

    tests       the tests of ops, layers and optimizers, on CuPy as well as on NumPy
    agreement   training steps of every network, on the CPU and on the GPU, in float32 and float64
    profile     the kernels of one training step, and PyTorch's beside them
    benchmark   the paper's networks beside PyTorch, without TF32
    tf32        the same with TF32
    source      the chest X-ray source at 256 pixels and full width in what time is left, and its Table 2

What a part finds is written to ``check.md`` in the folder of results before the next begins. A part that
fails or runs out of time is named, and the others follow. There is no download. What is not installed
(PyTorch, for the profile and the benchmark) is said, and its parts are left out.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TESTED = ("test_cupy.py", "ops", "test_layers.py", "test_optimizers.py")
PACKAGES = ("cupy-cuda13x", "cupy-cuda12x", "numpy", "scipy", "torch", "opencv-python-headless")
SHARES = {
    "tests": 0.4, "agreement": 0.2, "profile": 0.15, "benchmark": 0.35, "tf32": 0.3, "source": 1,
}  # fmt: skip
"""Each part's most, as a share of all minutes; the last has what is left."""
NEEDS_TORCH = ("profile", "benchmark", "tf32")
LEAST = 10
"""Seconds without which a part is not begun."""
CASE = 20
"""Seconds that the benchmark's last case may take."""


def main(arguments: list[str] | None = None) -> int:
    """Run the parts one after the other; 1 if one failed or was left out."""
    parser = argparse.ArgumentParser(
        prog="make check-gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=8, help="for all parts (%(default)s)")
    parser.add_argument("--device", choices=("gpu", "stand-in"), default="gpu",
                        help="stand-in: NumPy in CuPy's place, to try this out without a GPU")  # fmt: skip
    parser.add_argument("--only", nargs="+", choices=SHARES, default=list(SHARES), metavar="PART")
    parser.add_argument("--out", type=Path, default=Path("results/gpu"))
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    page, end = options.out / "check.md", time.monotonic() + 60 * options.minutes
    page.write_text(machine(options.device), encoding="utf-8")
    print(page.read_text(encoding="utf-8"), flush=True)
    failed = []
    for part in options.only:
        start = time.monotonic()
        said, well = run(part, min(60 * options.minutes * SHARES[part], end - start), options)
        text = f"\n## {part}: {well}, {time.monotonic() - start:.0f} s\n\n{said.strip()}\n"
        with page.open("a", encoding="utf-8") as file:
            file.write(text)
        print(text, flush=True)
        failed += [part] * (well != "passed")
    return int(bool(failed))


def machine(device: str) -> str:
    """The GPU and its driver as ``nvidia-smi`` names them, and the versions of what computes."""
    query = "--query-gpu=name,memory.total,driver_version,clocks.max.sm"
    try:
        gpu = subprocess.run(["nvidia-smi", query, "--format=csv,noheader"], capture_output=True,
                             text=True, timeout=30, check=True).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        gpu = "none that nvidia-smi knows"
    versions = []
    for name in PACKAGES:
        if importlib.util.find_spec(name.split("-")[0]) or "-" in name:
            try:
                versions.append(f"{name} {importlib.metadata.version(name)}")
            except importlib.metadata.PackageNotFoundError:
                continue
    lines = [f"GPU: {gpu}", f"Processors: {os.cpu_count()}", f"Python {platform.python_version()}"]
    if device != "gpu":
        lines.insert(
            0, "This ran on the stand-in for CuPy: it shows that the parts work, and no speed."
        )
    return "# A machine with a GPU\n\n" + "".join(
        f"- {line}\n" for line in [*lines, ", ".join(versions)]
    )


def run(part: str, seconds: float, options: argparse.Namespace) -> tuple[str, str]:
    """What a part says, and how it went: "passed", "failed", "out of time" or "left out"."""
    if seconds < LEAST:
        return f"{max(seconds, 0):.0f} seconds were left.", "left out"
    if part in NEEDS_TORCH and importlib.util.find_spec("torch") is None:
        return "PyTorch is not installed.", "left out"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(
        map(str, (ROOT, ROOT / "tests", ROOT / "tests/benchmarks", *_path())))}  # fmt: skip
    process = subprocess.Popen(
        command(part, seconds, options), cwd=ROOT, env=environment, text=True, errors="replace",
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=seconds)
        return said, "failed" if process.returncode else "passed"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0], "out of time"


def _path() -> list[str]:
    return [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]


def command(part: str, seconds: float, options: argparse.Namespace) -> list[str]:
    """The process of a part."""
    out = (options.out / part).resolve()
    if part == "tests":
        files = [str(ROOT / "tests" / name) for name in TESTED]
        pytest = [sys.executable, "-m", "pytest", "-q", "--maxfail=20", "--tb=short"]
        if importlib.util.find_spec("xdist"):
            pytest += ["-n", str(min(8, os.cpu_count() or 1)), "-p", "no:benchmark"]
        return [*pytest, *files]
    if part in ("benchmark", "tf32") and options.device == "gpu":
        tf32 = ["--tf32"] if part == "tf32" else []
        bench = [sys.executable, str(HERE / "bench.py"), "--device", "gpu", "--only", "networks"]
        limit = f"{seconds - CASE:.0f}"
        bench += ["--sides", "256", "--batches", "16"]
        return [*bench, "--runs", "3", "--seconds", limit, "--out", str(out), *tf32]
    return [
        sys.executable,
        str(HERE / "gpu_parts.py"),
        part,
        options.device,
        f"{seconds:.0f}",
        str(out),
    ]


if __name__ == "__main__":
    sys.exit(main())
