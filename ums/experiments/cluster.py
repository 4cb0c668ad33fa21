"""Jobs on other machines, by Dask (https://distributed.dask.org): the extra ``cluster``.

    dask scheduler                                                  # prints its address
    dask worker ADDRESS --nworkers 8 --nthreads 1                   # on each machine
    python -m ums.experiments cxr PREPARED --scheduler ADDRESS

All machines see the prepared images and the results under the same paths, and have the same ums. A worker
that is lost costs the jobs that it was at; Dask gives them to others.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

RETRIES = 3
"""Workers that a job may lose."""


@contextmanager
def workers(address: str) -> Iterator[tuple[Executor, int]]:
    """A pool of the workers of a Dask scheduler, and how many jobs it may be given at once.

    Raises:
        OSError: There is no scheduler at the address.
        ValueError: A worker has several threads, which would share a study's networks.
    """
    try:
        from dask import distributed
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("dask is missing: pip install 'ums-rep[cluster]'") from error
    connect: Any = distributed.Client
    with connect(address) as client:
        threads = [worker["nthreads"] for worker in client.scheduler_info(-1)["workers"].values()]
        if any(count > 1 for count in threads):
            raise ValueError(
                f"{address}: each worker must have one thread: dask worker --nthreads 1"
            )
        yield client.get_executor(retries=RETRIES, pure=False), 10**6  # it keeps what must wait
