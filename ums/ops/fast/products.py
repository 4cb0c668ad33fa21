"""Matrix products: NumPy's, or cuBLAS's called directly.

CuPy's own products refuse to be recorded (:mod:`ums.ops.fast.graphs`), and start more slowly.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from ums.backend import Array, array_module

WORKSPACE = 32 << 20
"""Bytes that cuBLAS may use for itself, as its documentation advises for large GPUs."""

TF32 = 3
"""cuBLAS's name for products in TensorFloat-32, which CuPy's ``CUPY_TF32=1`` asks for."""

NUMBERS = {"f": ("cublasSgemm_v2", ctypes.c_float), "d": ("cublasDgemm_v2", ctypes.c_double)}


def matmul(a: Array, b: Array, out: Array | None = None) -> Array:
    """a @ b of two matrices, in ``out`` if it is given."""
    xp = array_module(a)
    if xp is np or (library := _library(xp)) is None:
        return xp.matmul(a, b, out=out)
    if out is None:
        out = xp.empty((len(a), b.shape[1]), a.dtype)
    if not all((a.size, b.size, out.flags.c_contiguous)):
        return xp.matmul(a, b, out=out)
    # cuBLAS reads matrices column by column: to it, these are b^T, a^T and out^T = b^T a^T.
    (a, a_turned, a_step), (b, b_turned, b_step) = _as_stored(a), _as_stored(b)
    name, number = NUMBERS[a.dtype.char]
    failed = getattr(library, name)(
        _handle(xp, xp.cuda.runtime.getDevice(), xp.cuda.get_current_stream().ptr)[0],
        b_turned, a_turned, out.shape[1], out.shape[0], a.shape[1], ctypes.byref(number(1)),
        ctypes.c_void_p(b.data.ptr), b_step, ctypes.c_void_p(a.data.ptr), a_step,
        ctypes.byref(number(0)), ctypes.c_void_p(out.data.ptr), out.shape[1],
    )  # fmt: skip
    if failed:
        raise RuntimeError(f"cuBLAS could not multiply {a.shape} by {b.shape}: status {failed}")
    return out


def _as_stored(a: Array) -> tuple[Array, int, int]:
    """The matrix, whether it is stored column by column, and from one row or column to the next."""
    if not a.flags.c_contiguous and a.flags.f_contiguous:
        return a, 1, a.shape[0]
    return array_module(a).ascontiguousarray(a), 0, a.shape[1]


def prepare(xp: ModuleType, device: int, stream: int) -> None:
    """Make what products in this stream need, which cannot be made while they are recorded."""
    if _library(xp) is not None:
        _handle(xp, device, stream)


@cache
def _handle(xp: ModuleType, device: int, stream: int) -> tuple[ctypes.c_void_p, Any]:
    """cuBLAS for a stream of a device, and its workspace, which no two streams may share."""
    library, new = _library(xp), ctypes.c_void_p()
    workspace = xp.cuda.alloc(WORKSPACE)
    tf32 = os.environ.get("CUPY_TF32", "0") not in ("", "0")
    for failed in (
        library.cublasCreate_v2(ctypes.byref(new)),
        library.cublasSetStream_v2(new, ctypes.c_void_p(stream)),
        library.cublasSetWorkspace_v2(
            new, ctypes.c_void_p(workspace.ptr), ctypes.c_size_t(WORKSPACE)
        ),
        library.cublasSetMathMode(new, TF32 if tf32 else 0),
    ):
        if failed:
            raise RuntimeError(f"cuBLAS does not work: status {failed}")
    return new, workspace  # which lives as long


@cache
def _library(xp: ModuleType) -> Any:
    """The cuBLAS that CuPy has loaded; None where it cannot be found."""
    if xp.__name__ != "cupy":
        return None
    from cupy_backends.cuda.libs import cublas

    library = ctypes.CDLL(cublas.__file__)  # symbols of what it is linked to are found too
    return library if hasattr(library, "cublasSgemm_v2") else None
