"""Data-parallel training: one network on several processors or GPUs, a process for each.

Every process (a *rank*) has the whole network and a part of each batch. What N ranks compute is what
one process computes from the whole batch, but for rounding. For that, four things go beyond a part:

- **the loss**, a mean over the batch: each rank's is weighted by its share of the examples, and so is
  the gradient that it passes down, for parts differ in size;
- **the gradients**: their sum over the ranks is the gradient of the whole batch's loss;
- **batch norm**: mean and variance, and the two sums of its backward pass (:mod:`ums.ops.norm`);
- **random numbers**: every rank draws the order, the noise and the dropout masks of the whole batch
  from a generator in the same state, and keeps its own rows.

A script for each rank, of which only the lines with ``ranks`` and ``spread`` are new::

    ranks = mpi_ranks()  # gpu_ranks() for a GPU each
    rng = np.random.default_rng(0)  # the same seed everywhere
    task = Task("source", denoising_autoencoder(rng), mse, train, validation, RMSprop)
    training = Training(FitSettings(), rng, progress=ranks.rank == 0)
    tuned = train_task(spread(task, ranks), training)

It is started by ``mpirun -n 4 python -m mpi4py script.py``, with UMS_THREADS for the threads of each
rank. MPI and mpi4py are the extra ``parallel``; GPUs need CuPy with NCCL besides. At the end all
ranks have the same network, and rank 0 saves it.

**If a rank dies, all end**: mpirun ends the others if one is killed, and ``-m mpi4py`` if one raises
an exception, without which they would wait for it for ever. Nothing goes on with fewer ranks: start
again, from a checkpoint if rank 0 wrote one; all ranks must then read it.

Twenty steps on two ranks, with parts of two and three examples, differ from those of one process by
1e-10 in float64, and by 1e-6 in float32 with SGD. RMSprop and Adam divide gradients by their size,
also those that are nothing but rounding, such as that of a bias before a batch norm: by then the float32
weights differ in the second digit. Without synchronised batch norms the first loss already does.

It holds for :func:`ums.finetuning.loop.train_task`, and for alternating and joint tuning if the
encoder is given to :func:`share` and every task to :func:`spread`; but not for GradNorm, whose
norms would be those of one part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from zlib import crc32

import numpy as np

from ums.backend import Array, array_module, to_numpy
from ums.data.examples import Dataset
from ums.finetuning.tasks import Task
from ums.layers import BatchNorm, Layer, Parameter
from ums.ops import known_bce, known_mse
from ums.training import Loss


@dataclass(frozen=True)
class Ranks:
    """The processes that train one network. What one of them calls, all must call, in the same order.

    Attributes:
        rank: The number of this process, from 0.
        size: How many there are.
        add: ``add(x, out)`` sets the array ``out`` to the sum of all ranks' x.
        gather: ``gather(n)`` returns every rank's integer n, in order.
    """

    rank: int
    size: int
    add: Callable[[Array, Array], object]
    gather: Callable[[int], list[int]]

    def __deepcopy__(self, memo: dict) -> Ranks:
        return self  # a copy of a network has the same ranks

    def total(self, x: Array) -> Array:
        """The sum of x over all ranks."""
        xp = array_module(x)
        out = xp.empty(x.shape, x.dtype)
        self.add(xp.ascontiguousarray(x).reshape(x.shape), out)
        return out

    def place(self, n: int) -> tuple[int, int]:
        """Of a batch of which n rows are here: its size, and the number of the first row here."""
        parts = self.gather(n)
        return sum(parts), sum(parts[: self.rank])

    def agree(self, things: Iterable[np.ndarray], name: str) -> None:
        """Raise a ValueError, on all ranks, unless they have the same arrays, to the byte."""
        checksum = crc32(b"".join(array.tobytes() for array in things))
        if len(set(self.gather(checksum))) > 1:
            raise ValueError(f"the ranks have different {name}: give all of them the same seed")

    def loss(self, loss: Loss, prediction: Array, target: Array) -> tuple[Array, Array]:
        """A mean loss over the whole batch, and its gradient for the part that is here."""
        n = len(prediction)
        weight = n / self.place(n)[0]
        value, gradient = loss(prediction, target) if n else (prediction.sum(), prediction)
        return self.total(value * weight), gradient * weight

    def add_gradients(self, parameters: Sequence[Parameter]) -> None:
        """Replace every gradient by its sum over the ranks, all in one message."""
        if gradients := [p.grad for p in parameters if p.grad is not None]:
            xp, start = array_module(gradients[0]), 0
            flat = self.total(xp.concatenate([gradient.ravel() for gradient in gradients]))
            for p in (p for p in parameters if p.grad is not None):
                p.grad = flat[start : start + p.value.size].reshape(p.value.shape)
                start += p.value.size


def mpi_ranks() -> Ranks:
    """The processes that mpirun started, whose arrays are in the computer's own memory."""
    from mpi4py.MPI import COMM_WORLD as world

    return Ranks(world.rank, world.size, world.Allreduce, world.allgather)


def gpu_ranks() -> Ranks:
    """The processes that mpirun started, each with a GPU of its computer, by NCCL."""
    import cupy
    from cupyx.distributed import init_process_group
    from mpi4py.MPI import COMM_TYPE_SHARED
    from mpi4py.MPI import COMM_WORLD as world

    cupy.cuda.Device(world.Split_type(COMM_TYPE_SHARED).rank).use()
    nccl = init_process_group(world.size, world.rank, use_mpi=True)
    return Ranks(world.rank, world.size, nccl.all_reduce, world.allgather)


@dataclass(frozen=True)
class Part:
    """This rank's rows of every batch of ``examples``; the parts of a batch differ by one row at most.

    Every rank prepares the whole batch, since its noise and augmentation are drawn row after row.
    """

    examples: Dataset
    ranks: Ranks

    def __len__(self) -> int:
        return len(self.examples)

    def batch(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """The part of a batch; a ValueError if the ranks chose different examples."""
        self.ranks.agree([chosen], "batches")
        x, target = self.examples.batch(chosen)
        first, stop = (len(x) * (self.ranks.rank + k) // self.ranks.size for k in (0, 1))
        return x[first:stop], None if target is None else target[first:stop]


def share(network: Layer, ranks: Ranks, synchronise: bool = True) -> None:
    """Tell a network that its batches are parts; :func:`spread` does so for a head.

    Its parameters' gradients are then added up by whichever optimizer moves them. Without
    ``synchronise`` every batch norm normalises a part by itself, as many libraries do.

    Raises:
        ValueError: The ranks' networks differ.
    """
    ranks.agree(map(to_numpy, network.state_dict().values()), "weights")
    for layer in network.leaves():
        layer.ranks = ranks if synchronise or not isinstance(layer, BatchNorm) else None
        for parameter in layer.parameters():
            parameter.ranks = ranks


def spread(task: Task, ranks: Ranks, synchronise: bool = True) -> Task:
    """The same task, whose training is shared by the ranks.

    Args:
        task: Equal on all ranks. Its head belongs to the ranks from here on.
        ranks: This process and the others.
        synchronise: As for :func:`share`.

    Raises:
        ValueError: The ranks' heads differ, or the loss is no mean over the examples.
    """
    if task.loss in (known_bce, known_mse):
        raise ValueError(f"{task.name}: its loss is a mean over known targets, not over examples")
    share(task.head, ranks, synchronise)
    train, validation = Part(task.train, ranks), Part(task.validation, ranks)
    return replace(task, loss=partial(ranks.loss, task.loss), train=train, validation=validation)
