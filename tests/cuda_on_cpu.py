"""CUDA kernels without a GPU: CuPy's ``RawModule`` for the stand-in, compiled by a C++ compiler.

Blocks run one after the other. The threads of a block do so too where no kernel waits for them, and
are threads of the system where it does. ``available()`` says whether there is a compiler.
"""

import ctypes
import hashlib
import re
import shutil
import subprocess
import tempfile
import threading
from functools import cache
from pathlib import Path

import pytest
import standin

from ums.ops.fast import gpu

COMPILER = shutil.which("g++")
THREADS = 32
"""Of a block that adds up rows: fewer than on a GPU, since each is a thread of the system."""

SHIM = r"""
#include <algorithm>
#include <barrier>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>
using std::max; using std::min; using std::sqrt;
struct uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
struct Place { unsigned x = 0, y = 0, z = 0; };
thread_local Place threadIdx, blockIdx;
Place blockDim, gridDim;
std::unique_ptr<std::barrier<>> meeting;
double lanes[1024];
#define __global__
#define __device__
#define __shared__ static
#define __syncthreads() meeting->arrive_and_wait()
template <typename T> T __shfl_down_sync(unsigned, T value, int by) {
    lanes[threadIdx.x] = value;
    meeting->arrive_and_wait();
    T found = threadIdx.x + by < 32 ? lanes[threadIdx.x + by] : value;
    meeting->arrive_and_wait();
    return found;
}
void launch(const int* shape, bool waits, const std::function<void()>& kernel) {
    gridDim = {(unsigned)shape[0], (unsigned)shape[1], 1};
    blockDim = {(unsigned)shape[2], 1, 1};
    for (unsigned y = 0; y < gridDim.y; y++) for (unsigned x = 0; x < gridDim.x; x++) {
        auto run = [&, x, y](unsigned t) { blockIdx = {x, y}; threadIdx = {t}; kernel(); };
        if (!waits) { for (unsigned t = 0; t < blockDim.x; t++) run(t); continue; }
        // one that returns early, as a whole block's tail may, is no longer waited for
        meeting = std::make_unique<std::barrier<>>(blockDim.x);
        std::vector<std::thread> threads;
        for (unsigned t = 0; t < blockDim.x; t++)
            threads.emplace_back([&, t] { run(t); meeting->arrive_and_drop(); });
        for (auto& thread : threads) thread.join();
    }
}
"""

SIGNATURE = re.compile(
    r"template <typename (\w+)>\n__global__ void (\w+)\((.*?)\) \{(.*?)\n\}", re.DOTALL
)
C_TYPES = {"int": ctypes.c_int, "double": ctypes.c_double, "bool": ctypes.c_bool}
WAITING = ("store(", "total(")
"""What a kernel calls whose threads wait for one another."""


def available() -> bool:
    """Whether kernels can be compiled here."""
    return COMPILER is not None


def install(monkeypatch):
    """Give the stand-in the kernels until the test ends, or skip the test."""
    if not available():
        pytest.skip("no C++ compiler")
    monkeypatch.setattr(standin, "RawModule", RawModule, raising=False)
    monkeypatch.setattr(gpu, "THREADS", THREADS)


@cache
def _built(code: str, names: tuple[str, ...]) -> tuple[ctypes.CDLL, dict[str, list]]:
    kernels = {
        name: (own, parameters, body) for own, name, parameters, body in SIGNATURE.findall(code)
    }
    wrappers, types = [], {}
    for i, full in enumerate(names):
        name, word = re.fullmatch(r"(\w+)<(\w+)>", full).groups()
        own, parameters, body = kernels[name]
        parameters = re.sub(rf"\b{own}\b", word, " ".join(parameters.split()))
        given = [one.rsplit(" ", 1)[-1] for one in parameters.split(", ")]
        types[full] = [
            C_TYPES.get(one.rsplit(" ", 1)[0], ctypes.c_void_p) for one in parameters.split(", ")
        ]
        waits = str(any(word in body for word in WAITING)).lower()
        wrappers.append(
            f'extern "C" void kernel_{i}(const int* shape, {parameters}) '
            f"{{ launch(shape, {waits}, [=] {{ {full}({', '.join(given)}); }}); }}"
        )
    source = "\n".join([SHIM, code, *wrappers])
    library = (
        Path(tempfile.gettempdir()) / f"ums-{hashlib.sha256(source.encode()).hexdigest()[:16]}.so"
    )
    if not library.exists():
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "kernels.so"
            command = [
                COMPILER,
                "-std=c++20",
                "-O1",
                "-shared",
                "-fPIC",
                "-pthread",
                "-w",
                "-x",
                "c++",
            ]
            subprocess.run([*command, "-", "-o", str(made)], input=source.encode(), check=True)
            shutil.move(made, library)
    return ctypes.CDLL(str(library)), types


_ONE_KERNEL = threading.Lock()
"""Kernels run one after another, as in a GPU's stream, also where several threads start them."""


class RawModule:
    """As CuPy's, as far as :mod:`ums.ops.fast.gpu` uses it."""

    def __init__(self, code, options, name_expressions):
        code, times = re.subn(r"(#define THREADS) 256", rf"\1 {THREADS}", code)
        assert times == 1, "the kernels no longer say how many threads a block has"
        self.names = tuple(name_expressions)
        self.library, self.types = _built(code, self.names)

    def get_function(self, name):
        """A kernel: called with the grid, the block and the arguments."""
        function, types = (
            getattr(self.library, f"kernel_{self.names.index(name)}"),
            self.types[name],
        )
        function.restype = None

        def kernel(grid, block, arguments):
            assert len(arguments) == len(types), f"{name} takes {len(types)} arguments"
            assert 0 < grid[0] < 2**31 and all(0 < n < 2**16 for n in grid[1:]) and block[0] <= 1024
            shape = (ctypes.c_int * 3)(grid[0], *(grid[1:] or (1,)), block[0])
            given = [_given(argument, to) for argument, to in zip(arguments, types, strict=True)]
            with _ONE_KERNEL:
                function(shape, *given)

        def launch(grid, block, arguments):
            on_gpu(grid, block, *arguments)

        on_gpu = standin.taped(lambda grid, block, *arguments: kernel(grid, block, arguments))
        return launch


def _given(argument, to):
    if to is ctypes.c_void_p:
        return to(argument._data.ctypes.data if hasattr(argument, "_data") else argument)
    return to(argument)
