"""Parts of ``check_gpu.py`` that are programs of their own: ``gpu_parts.py PART DEVICE SECONDS FOLDER``."""

from __future__ import annotations

import atexit
import json
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import with_ums
from cases import NETWORKS, Case, network_data

from ums import backend
from ums.backend import Device, to_numpy
from ums.experiments.denoising import score_denoising
from ums.finetuning.separate import denoise_exactly
from ums.layers import Sequential
from ums.networks import denoising_autoencoder
from ums.optimizers import Adam
from ums.source import DenoisingExamples, train_denoising
from ums.training import FitSettings, Training, train_step

STEPS, SIDE, BATCH = 5, 64, 4
"""Of the training steps that are compared."""
WORSE, ROUNDING = 5, {"float32": 1e-5, "float64": 1e-10}
"""A GPU's error may be so many times the CPU's, or so large at any rate; float64 on the CPU is the truth."""

Computed = dict[str, np.ndarray]


def choose(name: str) -> Device:
    """The GPU, or the tests' stand-in for it, which then takes its place everywhere."""
    if name == "gpu":
        return backend.choose_device("gpu")
    import standin

    stand_in = Device(standin, "stand-in")
    backend.choose_device = lambda wanted="auto": stand_in
    return stand_in


# ------------------------------------------------------------------------------ agreement


def steps(name: str, device: Device, dtype: str, side: int = SIDE, batch: int = BATCH) -> Computed:
    """Gradients, and then the losses of ``STEPS`` steps, from the same weights and images.

    The gradients are those of a third pass: in the second a GPU records layers, in the third it repeats them.
    """
    network = with_ums.build(name).astype(np.dtype(dtype)).to(device)
    x, target = network_data(Case("step", name, side, batch))
    if target.ndim == 4:
        target = target.astype(dtype)
    x, target = device.put(x.astype(dtype)), device.put(target)
    loss, optimizer = (
        with_ums.LOSSES[NETWORKS[name].loss],
        Adam(network.trainable_parameters(), 1e-4),
    )
    for _ in range(3):
        network.zero_gradients()
        _, dz = loss(network.forward(x, training=True), target)
        network.backward(dz, input_gradient=False)
    gradients = [to_numpy(p.grad).ravel() for p in network.parameters()]
    losses = [float(train_step(network, loss, optimizer, x, target)) for _ in range(STEPS)]
    return {"gradients": np.concatenate(gradients), "losses": np.array(losses)}


def error(got: np.ndarray, truth: np.ndarray) -> float:
    """The norm of the difference, relative to the norm of the truth."""
    return float(np.linalg.norm(got - truth) / np.linalg.norm(truth))


def agreement(device: Device, seconds: float, out: Path) -> bool:
    """Print each network's errors on both devices; whether the GPU's are rounding."""
    cpu, well = Device(np, "CPU"), True
    print(
        f"Errors relative to float64 on the CPU, {STEPS} steps at {SIDE} pixels, batch {BATCH}.\n"
    )
    print("| network | dtype | gradients, CPU | gradients, GPU | losses, CPU | losses, GPU | |")
    print("|:--|:--|--:|--:|--:|--:|:--|")
    for name in NETWORKS:
        truth = steps(name, cpu, "float64")
        for dtype, rounding in ROUNDING.items():
            both = [steps(name, where, dtype) for where in (cpu, device)]
            errors = [[error(one[what], truth[what]) for one in both] for what in truth]
            same = all(gpu <= max(rounding, WORSE * here) for here, gpu in errors)
            well &= same
            cells = [f"{value:.1e}" for pair in errors for value in pair]
            print(
                f"| {name} | {dtype} | {' | '.join(cells)} | {'' if same else 'WRONG'} |",
                flush=True,
            )
    return well


# ------------------------------------------------------------------------------ profile


def profile(device: Device, seconds: float, out: Path) -> bool:
    """Print the kernels of the autoencoder's training step, ums's and PyTorch's, by time."""
    if device.name == "stand-in":
        import standin

        work = with_ums.work(Case("step", "autoencoder", SIDE, BATCH), "ums")
        standin.launches.clear()
        work()
        print(
            f"{sum(standin.launches.values())} launches: {dict(standin.launches.most_common(12))}"
        )
        return True
    import with_torch

    out.mkdir(parents=True, exist_ok=True)
    case = Case("step", "autoencoder", device="gpu")
    for contestant, library in (("ums", with_ums), ("torch channels_last", with_torch)):
        work = library.work(case, contestant)
        kernels, wall = traced(work, lambda library=library: library.synchronise(case))
        (out / f"{contestant.split()[0]}.json").write_text(json.dumps(kernels))
        busy, by_name = sum(t for _, t in kernels), defaultdict(list)
        for name, microseconds in kernels:
            by_name[name].append(microseconds)
        print(
            f"### {contestant}: {wall:.0f} us a step; {len(kernels)} kernels, busy for {busy:.0f} us\n"
        )
        print("| kernel | launches | us | share |\n|:--|--:|--:|--:|")
        longest = sorted(by_name.items(), key=lambda item: -sum(item[1]))
        for name, times in longest[:15]:
            print(f"| `{name[:90]}` | {len(times)} | {sum(times):.0f} | {sum(times) / busy:.0%} |")
        print(flush=True)
    return True


def traced(work, synchronise, runs: int = 5) -> tuple[list[tuple[str, float]], float]:
    """The kernels of one run in order, (name, microseconds), and the microseconds of a run untraced."""
    import torch  # its tracer sees every kernel of the process, whoever launched it

    torch.zeros(1, device="cuda")
    for _ in range(5):
        work()
    synchronise()
    start = time.perf_counter()
    for _ in range(runs):
        work()
    synchronise()
    wall = (time.perf_counter() - start) / runs * 1e6
    kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=kinds) as trace:
        work()
        synchronise()
    on_gpu = [e for e in trace.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    on_gpu.sort(key=lambda event: event.time_range.start)
    return [(event.name, event.time_range.elapsed_us()) for event in on_gpu], wall


# ------------------------------------------------------------------------------ source


def source(device: Device, seconds: float, out: Path) -> bool:
    """Train the autoencoder at 256 pixels for most of the seconds, and print its Table 2."""
    from data_prep.options import Options
    from data_prep.synthetic_sets import prepare_synthetic

    start, small = time.monotonic(), device.name == "stand-in"
    side, width, number = (64, 0.25, 60) if small else (256, 1.0, 1500)
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    prepared = prepare_synthetic(folder / "images", number, Options(side))
    rng = np.random.default_rng(0)
    rows = {
        part: np.flatnonzero(prepared.splits == part) for part in ("train", "validation", "test")
    }
    parts = [DenoisingExamples(prepared.images, rows[part], rng, fixed=part == "validation")
             for part in ("train", "validation")]  # fmt: skip
    drawn, network = time.monotonic(), denoising_autoencoder(rng, width=width).to(device)

    def train(network: Sequential, steps: int, epochs: int) -> float:
        """The seconds that it took."""
        settings = FitSettings(epochs, 16, 3e-3, steps=steps, schedule="cosine")
        began = time.monotonic()
        train_denoising(network, *parts, Training(settings, rng, device, progress=False))
        return time.monotonic() - began

    for_tests = 0.35 * seconds
    train(denoising_autoencoder(np.random.default_rng(1), width=width).to(device), 3, 1)
    trial, epochs = 5 if small else 40, 2 if small else 10
    pace = (
        train(denoising_autoencoder(np.random.default_rng(1), width=width).to(device), trial, 1)
        / trial
    )
    left = seconds - (time.monotonic() - start) - for_tests
    length = max(1, min(int(0.8 * left / pace / epochs), 10 if small else 10**6))
    took = train(network, length, epochs)
    print(f"{number} images of {side} pixels drawn in {drawn - start:.1f} s. {epochs * length} steps "
          f"in {took:.1f} s, validation included: {1e3 * took / epochs / length:.1f} ms each.\n")  # fmt: skip
    few = [prepared.images[rows[part][:n]] for part, n in (("test", 20), ("validation", 5))]
    scores, _ = score_denoising(lambda noisy: denoise_exactly(network, noisy, device), *few, rng)
    shown = [
        name for name, value in scores[0].items() if isinstance(value, dict) and "SSIM" in value
    ]
    print(f"| PSNR, dB | {' | '.join(shown)} |\n|:--|{'--:|' * len(shown)}")
    for row in scores:
        print(
            f"| {row['noise']} | {' | '.join(format(row[name]['PSNR'], '.1f') for name in shown)} |"
        )
    return all(np.isfinite(row["denoised"]["PSNR"]) for row in scores)


def benchmark(device: Device, seconds: float, out: Path) -> bool:
    """Only on the stand-in: that every case of the benchmark's networks runs."""
    for name in NETWORKS:
        with_ums.work(Case("step", name, SIDE, BATCH, "gpu"), "ums")()
        print(f"{name}: a step ran")
    return True


def main() -> int:
    part, device, seconds, out = sys.argv[1:]
    parts = {"agreement": agreement, "profile": profile, "source": source}
    work = parts.get(part, benchmark)
    return 0 if work(choose(device), float(seconds), Path(out)) else 1


if __name__ == "__main__":
    sys.exit(main())
