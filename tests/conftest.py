"""Fixtures that several test files share. This folder is put on sys.path, so its modules import."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:  # a process on each processor: threads would only wait
    for name in ("UMS_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")

import numpy as np
import pytest

from ums.ops.fast import threads, winograd


@pytest.fixture
def rng():
    """A generator of its own for each test."""
    return np.random.default_rng(0)


@pytest.fixture
def tiny_tiles(monkeypatch):
    """Tiles so small that every image of a test is cut into several bands, on any device."""
    monkeypatch.setattr(threads, "TILE_BYTES", 2000)
    monkeypatch.setattr(threads, "GPU_TILE_BYTES", 2000)
    monkeypatch.setattr(winograd, "GROUP", 1)
