"""Twenty steps on one process or several: ``mpirun -n 2 python -m mpi4py tests/parallel_job.py FOLDER``."""

import os
import signal
import sys
from itertools import islice
from pathlib import Path

import numpy as np

from ums.finetuning.loop import EndlessBatches
from ums.finetuning.tasks import Task
from ums.layers import Sequential
from ums.networks import classification_head, cxr_encoder
from ums.ops import categorical_cross_entropy
from ums.optimizers import RMSprop
from ums.parallel import mpi_ranks, spread
from ums.training import FitSettings, Training, train_step

STEPS, RATE = 20, 3e-3


class Made:
    """Ten images of two kinds, with noise that is drawn anew for each batch."""

    def __init__(self, dtype, rng):
        self.labels = np.arange(10) % 2
        clean = rng.normal(size=(10, 32, 32, 1)) + self.labels[:, None, None, None]
        self.clean, self.rng = clean.astype(dtype), rng

    def __len__(self):
        return len(self.labels)

    def batch(self, chosen):
        x = self.clean[chosen]
        return x + self.rng.normal(size=x.shape).astype(x.dtype), self.labels[chosen]


def kinds(dtype, rng):
    """The paper's encoder and a classification head: five batch norms and dropout."""
    head = classification_head(13, 2, rng, hidden=16, batch_norm=True)
    network = Sequential(cxr_encoder(rng, width=0.05), head).astype(dtype)
    return Task("kinds", network, categorical_cross_entropy, Made(dtype, rng), Made(dtype, rng))


def train(ranks=None, dtype=np.float64, synchronise=True, optimizer=RMSprop, each=lambda: None):
    """The arrays, by name, and the losses, after twenty batches of five; ``each`` follows each step."""
    rng, losses = np.random.default_rng(0), []
    task = kinds(dtype, rng)
    if ranks is not None:
        task = spread(task, ranks, synchronise)
    moved = optimizer(task.head.trainable_parameters(), RATE)
    batches = EndlessBatches(task.train, Training(FitSettings(batch=5), rng))
    for x, target in islice(batches, STEPS):
        losses.append(float(train_step(task.head, task.loss, moved, x, target)))
        each()
    return task.head.state_dict() | {"losses": np.array(losses)}


def die(how):
    """Die by a signal, or with an exception."""
    if how == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    raise RuntimeError("no more")


def main(folder, how=""):
    """Train and save; or, told how, let rank 1 die after its third step."""
    ranks, done = mpi_ranks(), []

    def each():
        done.append(1)
        if how and ranks.rank == 1 and len(done) == 3:
            die(how)

    np.savez(Path(folder) / f"{ranks.rank}.npz", **train(ranks, each=each))


if __name__ == "__main__":
    main(*sys.argv[1:])
