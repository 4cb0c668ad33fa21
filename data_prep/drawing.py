"""Draw many images at once, on all processors."""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ums.backend import thread_count

PROCESSES_FROM = 400
"""From so many images on, starting processes takes less time than they save."""

MOST_PROCESSES = 16
"""Each takes about 0.1 GB of memory."""


def draw_all(
    draw: Callable[[Any], tuple[np.ndarray, ...]],
    jobs: Sequence[Any],
    arrays: Sequence[np.ndarray],
    name: str,
    to_disk: bool,
) -> None:
    """Fill row i of every array with what ``draw`` makes of job i.

    A drawing is a thousand short operations, between which threads wait for one another. Many
    drawings that go to disk are therefore shared out to processes.

    Args:
        draw: Makes one row of each array, from a job alone; a function that can be pickled.
        jobs: What to draw, N of them.
        arrays: One or more of N rows.
        name: For the progress bar.
        to_disk: Whether the arrays are files; then progress is shown in a terminal. A script that
            calls this should be guarded by ``if __name__ == "__main__"``, as every script that
            starts processes.

    Raises:
        OSError: A process was ended from outside.
    """
    many = to_disk and len(jobs) >= PROCESSES_FROM
    hide = None if to_disk else True  # None: only where there is no terminal
    pool = _processes() if many else ThreadPoolExecutor(thread_count())
    try:
        rows = pool.map(draw, jobs, chunksize=16)
        for i, row in enumerate(tqdm(rows, name, len(jobs), unit="image", disable=hide)):
            for array, part in zip(arrays, row, strict=True):
                array[i] = part
    except BrokenProcessPool as error:
        raise OSError("a process that drew images was ended; is there enough memory?") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _processes() -> Executor:
    n = min(thread_count(), MOST_PROCESSES)
    return ProcessPoolExecutor(n, get_context("spawn"), _start)


def _start() -> None:
    """Make a process draw on one processor, leave Ctrl-C to its parent, and end with it."""
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
