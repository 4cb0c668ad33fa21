# %% [markdown]
# # 13 What must be averaged?
#
# Two machines train one network. Each has a copy of it and half of every batch, and after each step both copies must be the same as the one
# that a single machine with the whole batch would have. So they must tell each other something. What? As little as possible, for a wire
# is slow; but if one thing is forgotten, they train another network, and nobody notices.
#
# You write four functions: `mean_gradient`, `ring_sum`, which adds up arrays along a ring of machines, and `batch_statistics` and
# `norm_backward`, a batch norm whose batch is spread over several machines.

# %%
from functools import partial

import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_13 as check
from lessons.pictures import COLOURS, show, use_style
from lessons.ranks import on_ranks
from ums.data import normalise
from ums.data.noise import NOISES, corrupt
from ums.data.resize import resize_image
from ums.layers import Dense, ReLU, Sequential
from ums.networks import copy_network, denoising_autoencoder
from ums.ops import batchnorm_backward, batchnorm_forward, mse
from ums.optimizers import SGD
from ums.parallel import share
from ums.training import train_step

use_style()

# %% [markdown]
# ## A batch in two parts
#
# Ten films, small enough to be quick, and a network of two dense layers that guesses the mean grey level of each. Every copy of the
# network, with the machine that holds it, is called a *rank*. Rank 0 gets two films of a batch of five, rank 1 the other three.

# %%
rng = np.random.default_rng(0)
films = np.stack([resize_image(f, 32) for f in make_synthetic(10, 64, rng, "A").images])
x = normalise(films).astype(np.float64)  # (10, 32, 32, 1)
grey = films.mean(axis=(1, 2), dtype=np.float64)[:, None] / 255  # (10, 1)
batch, parts = slice(0, 5), [slice(0, 2), slice(2, 5)]
guess = Sequential(Dense(1024, 8, rng), ReLU(), Dense(8, 1, rng)).astype(np.float64)


def gradient_of(rows):
    """The gradient of the mean loss over some films, all of it in one long row."""
    guess.zero_gradients()
    _, dy = mse(guess.forward(x[rows].reshape(-1, 1024), training=True), grey[rows])
    guess.backward(dy)
    return np.concatenate([p.grad.ravel() for p in guess.parameters()])


whole, own = gradient_of(batch), [gradient_of(rows) for rows in parts]
print("numbers in the gradient:", whole.size)

# %% [markdown]
# **Predict.** Each rank has the gradient of the mean loss over its own films. Is the mean of these two gradients the gradient of the whole
# batch? If not: how many times as much as a film of rank 1 does a film of rank 0 count in it?
#
# *your guess:*
#
# **Write** `mean_gradient`: the gradient of the mean loss over *all* films, out of the gradients of the ranks and of how many films each has.


# %%
def mean_gradient(gradients, sizes):
    """The gradient for the whole batch; `gradients` and `sizes` have an entry for each rank."""
    # BEGIN SOLUTION
    total = 0
    for gradient, n in zip(gradients, sizes, strict=True):
        total = total + gradient * (n / sum(sizes))
    return total
    # END SOLUTION


# %%
check.mean_gradient(mean_gradient)

# %%
for name, found in (
    ("plain mean", sum(own) / 2),
    ("your mean_gradient", mean_gradient(own, [2, 3])),
):
    print(
        f"{name:20} off by {np.linalg.norm(found - whole) / np.linalg.norm(whole):.1e} of its length"
    )

# %% [markdown]
# **Look.** The plain mean is off by some per cent: a film of rank 0 counts $\tfrac{1}{4}$, one of rank 1 $\tfrac{1}{6}$. The weighted mean is right
# to the last digits. What is left, $10^{-16}$, is that numbers were added in another order. In the library the
# weight stands in the [loss](ums/parallel.py:Ranks.loss), before the backward pass, so that all gradients need only be added.
#
# ## Adding on a ring
#
# Now the sum itself. $P$ ranks have an array of $n$ numbers each, and all need the sum of all. If each sends its array to every other, $P - 1$
# arrays leave each rank, and with 64 ranks sending takes nearly all the time. There is a better way. The ranks stand in a circle, and each sends
# only to the next. Every array is cut into $P$ chunks.
#
# 1. *Reduce.* In each of $P - 1$ rounds every rank passes one chunk on to the next, which **adds** it to its own. A chunk that goes round
#    collects the numbers of all.
# 2. *Gather.* Each rank then has one chunk that is finished. In $P - 1$ more rounds these go round, and each rank **keeps** what it gets.
#
# `Ring` is the wire. `ring.chunk(r, c)` is chunk `c` of rank `r`, to be changed in place. `ring.pass_on(chunks)` is a round: rank `r` sends its chunk number
# `chunks[r]`, and what is returned is a list of what each rank *got*, from the one before it.


# %%
class Ring:
    """Ranks in a circle, with an array each; `sent` counts the numbers that left each rank."""

    def __init__(self, arrays):
        self.arrays, self.size, self.sent = [a.copy() for a in arrays], len(arrays), 0
        self.edges = [len(arrays[0]) * c // self.size for c in range(self.size + 1)]

    def chunk(self, r, c):
        return self.arrays[r][self.edges[c] : self.edges[c + 1]]

    def pass_on(self, chunks):
        messages = [self.chunk(r, c).copy() for r, c in enumerate(chunks)]
        self.sent += max(len(message) for message in messages)
        return [messages[r - 1] for r in range(self.size)]  # rank 0 gets it from the last


# %% [markdown]
# **Predict.** How many numbers leave one rank, in all rounds together? Does it depend on the number of ranks?
#
# *your guess:*
#
# **Write** `ring_sum`. On paper first, with three ranks: if rank $r$ sends its chunk $r$ in the first round, which chunk does it send in the next, and which is finished
# at rank $r$ after the last? (Numbers of chunks go round, too: `% P`.)


# %%
def ring_sum(ring):
    """Leave in every rank's array the sum of all ranks' arrays; returns nothing."""
    P = ring.size
    # BEGIN SOLUTION
    for i in range(P - 1):
        got = ring.pass_on([(r - i) % P for r in range(P)])
        for r in range(P):
            ring.chunk(r, (r - 1 - i) % P)[...] += got[r]
    for i in range(P - 1):
        got = ring.pass_on([(r + 1 - i) % P for r in range(P)])
        for r in range(P):
            ring.chunk(r, (r - i) % P)[...] = got[r]
    # END SOLUTION


# %%
check.ring_sum(ring_sum)

# %%
sizes, sent = [2, 3, 4, 8, 16, 32, 64], []
for P in sizes:
    ring = Ring([whole] * P)
    ring_sum(ring)
    sent.append(ring.sent / whole.size)
plt.figure(figsize=(5.5, 2.8))
plt.plot(sizes, np.array(sizes) - 1, "o-", color=COLOURS[1], label="each to every other")
plt.plot(sizes, sent, "s--", color=COLOURS[0], label="on a ring")
plt.gca().set(xlabel="ranks", ylabel="arrays that leave a rank", xscale="log", yscale="log")
plt.xticks(sizes, sizes, minor=False)
plt.xticks([], minor=True)
plt.yticks([1, 2, 4, 16, 64], [1, 2, 4, 16, 64])
plt.legend()
show(
    "Arrays sent by each rank against the number of ranks, both on logarithmic axes: from each to every other it rises to 63 for 64 ranks, "
    "on a ring it stays below 2."
)

# %% [markdown]
# **Look.** $2 (P - 1) / P$, never more than two arrays, however many ranks there are. That is why the gradients of hundreds of machines can be added at all.
# What does grow is the number of rounds, $2 (P - 1)$: for short arrays, where a round is all waiting, other ways are better, and libraries choose.
#
# ## One layer looks at the whole batch
#
# Summed and weighted gradients are right if the films of a batch know nothing of each other. In *one* layer they are connected: a batch
# norm takes mean and variance over the batch (lesson 4). If each rank takes them over its own films, then each rank's network is another function.
#
# **Predict.** The next picture shows, channel by channel, the mean over rank 0's two films, over rank 1's three, and over all five, of what the first convolution of the paper's autoencoder
# makes of them. How far apart are they, in standard deviations?
#
# *your guess:*

# %%
autoencoder = denoising_autoencoder(rng, width=0.1).astype(np.float64)
maps = autoencoder[0][0](x)  # (10, 16, 16, 6)
means = [maps[rows].mean(axis=(0, 1, 2)) for rows in (*parts, batch)]
deviation = maps[batch].std(axis=(0, 1, 2))
plt.figure(figsize=(5.5, 2.6))
for mean, marker, name in zip(means, "v^o", ("rank 0", "rank 1", "all five"), strict=True):
    plt.plot((mean - means[2]) / deviation, marker, label=name)
plt.gca().set(xlabel="channel", ylabel="mean, in deviations")
plt.legend(loc="center left", bbox_to_anchor=(1, 0.5))
show(
    "For each of six channels, the mean over rank 0's films, over rank 1's and over all five, in standard deviations from that of all: the ranks lie on "
    "opposite sides of it, up to 0.07 of a deviation away."
)

# %% [markdown]
# **Look.** The ranks lie on opposite sides of the mean of all, by up to 0.07 of a deviation. That seems little, but it goes through eight batch norms, and here each film has a map of 256 places. After a
# layer that leaves one number for each film and channel, the means of two films and of three are far apart, and a rank with one film has no variance at all.
#
# So the statistics must be those of the whole batch, $M = \sum_r M_r$ values in each channel:
#
# $$ \mu = \frac{1}{M} \sum_r \sum_{i \in r} x_i , \qquad \sigma^2 = \frac{1}{M} \sum_r \sum_{i \in r} (x_i - \mu)^2 . $$
#
# The films stay where they are. All that ranks may exchange are short arrays, by `total(arrays)`: given a list with one array *for each
# rank*, it returns their sum, which all ranks then know. (It is your `ring_sum`, or MPI's `Allreduce`.)
#
# **Write** `batch_statistics`. `xs` is the list of the ranks' parts, `(M_r, C)`, of different lengths. Whatever is computed from one part alone costs
# nothing; what is computed from several must go through `total`, the number of rows, too.


# %%
def total(arrays):
    """The sum of an array of each rank, as all ranks get it."""
    return sum(np.asarray(a, np.float64) for a in arrays)


def batch_statistics(xs, total):
    """Mean and variance (C,) over the rows of all parts together."""
    # BEGIN SOLUTION
    M = total([len(x) for x in xs])
    mean = total([x.sum(axis=0) for x in xs]) / M
    var = total([((x - mean) ** 2).sum(axis=0) for x in xs]) / M
    return mean, var
    # END SOLUTION


# %%
check.batch_statistics(batch_statistics)

# %% [markdown]
# **And back.** From lesson 4, with $\hat x = (x - \mu)\,\texttt{rstd}$ and $\texttt{rstd} = 1 / \sqrt{\sigma^2 + \varepsilon}$:
#
# $$ \texttt{dx} = \gamma\,\texttt{rstd} \left( \texttt{dy} - \operatorname{mean}(\texttt{dy}) - \hat x \operatorname{mean}(\texttt{dy}\, \hat x) \right) . $$
#
# **Predict.** A film on rank 0 changes $\mu$, and so the output of every film on rank 1, and so the loss there. Which terms of the formula know of it?
#
# *your guess:*
#
# **Write** `norm_backward`. It returns a list, `dx` for each rank. (`dgamma` and `dbeta` need nothing new: they are gradients of parameters, and added with
# the others.)


# %%
def norm_backward(dys, xhats, gamma, rstd, total):
    """dx of each part, (M_r, C); `dys` and `xhats` are lists of such parts, gamma and rstd (C,)."""
    # BEGIN SOLUTION
    M = total([len(dy) for dy in dys])
    mean_dy = total([dy.sum(axis=0) for dy in dys]) / M
    along = total([(dy * xhat).sum(axis=0) for dy, xhat in zip(dys, xhats, strict=True)]) / M
    return [
        gamma * rstd * (dy - mean_dy - xhat * along) for dy, xhat in zip(dys, xhats, strict=True)
    ]
    # END SOLUTION


# %%
check.norm_backward(norm_backward)

# %% [markdown]
# In the library it is [batchnorm_forward_part](ums/ops/norm.py:batchnorm_forward_part), which takes `total` as an argument. Here is the usual batch norm, over five rows on one
# rank, and your two functions on parts of two and three:

# %%
rows, dy = rng.normal(2, 3, (2, 5, 4))
gamma, beta = rng.normal(size=(2, 4))
_, cache = batchnorm_forward(rows, gamma, beta, np.zeros(4), np.ones(4), True)
mean, var = batch_statistics([rows[:2], rows[2:]], total)
rstd = 1 / np.sqrt(var + 1e-5)
xhat = (rows - mean) * rstd
dx = np.concatenate(norm_backward([dy[:2], dy[2:]], [xhat[:2], xhat[2:]], gamma, rstd, total))
print("largest difference:", abs(dx - batchnorm_backward(dy, cache)[0]).max())

# %% [markdown]
# ## What is forgotten does not show
#
# Now the paper's source: the denoising autoencoder, with a batch norm after each of eight convolutions, at a tenth of its width. Twenty steps, always on the same five noisy films, on one
# rank, and on two with parts of two and three. [share](ums/parallel.py:share) tells a network which ranks there are; `on_ranks` runs two of them side by side
# in this notebook, where on a cluster there would be two processes. Three things are tried: everything as it must be, in `float64` and in `float32`; each rank with batch norms of its own; and the plain mean
# in place of the weighted one.
#
# **Predict.** After one step, after twenty: how far from one rank's loss is each? And which of the two mistakes is the larger?
#
# *your guess:*

# %%
start = denoising_autoencoder(np.random.default_rng(1), width=0.1)
noisy = normalise(corrupt(films[batch], rng, NOISES))
clean = normalise(films[batch])


def plain_mean(ranks, y, t):
    """The mean of the ranks' losses, whatever the number of their films."""
    value, dy = mse(y, t)
    return ranks.total(value / ranks.size), dy / ranks.size


def losses(ranks=None, dtype=np.float64, synchronise=True, weighted=True):
    """The loss of the whole batch in each of twenty steps, on one rank or this one of several."""
    network, loss, rows = copy_network(start).astype(dtype), mse, slice(None)
    if ranks is not None:
        share(network, ranks, synchronise)
        loss, rows = partial(ranks.loss, mse), parts[ranks.rank]
        if not weighted:
            loss = partial(plain_mean, ranks)
    optimizer = SGD(network.trainable_parameters(), 0.03, momentum=0.9)
    x, t = noisy[rows].astype(dtype), clean[rows].astype(dtype)
    return np.array([float(train_step(network, loss, optimizer, x, t)) for _ in range(20)])


tried = {
    "own batch norms": {"synchronise": False},
    "plain mean": {"weighted": False},
    "all, float32": {"dtype": np.float32},
    "all": {},
}
alone = {dtype: losses(dtype=dtype) for dtype in (np.float64, np.float32)}
apart = {}
for name, given in tried.items():
    found = on_ranks(2, partial(losses, **given))[0]
    apart[name] = abs(found - alone[given.get("dtype", np.float64)])

# %%
plt.figure(figsize=(6.5, 3))
for (name, values), colour, line in zip(
    apart.items(), COLOURS, ("o-", "s--", "^:", "D-."), strict=False
):
    plt.semilogy(range(1, 21), np.maximum(values, 1e-17), line, color=colour, label=name)
plt.gca().set(xlabel="step", ylabel="loss, distance from one rank's", xticks=(1, 5, 10, 15, 20))
plt.legend(loc="center left", bbox_to_anchor=(1, 0.5))
show(
    "Distance of the loss from that of one rank in each of twenty steps, on a logarithmic axis: with everything shared it is rounding, near 1e-16 in float64 and "
    "1e-7 in float32; with batch norms of their own, or the plain mean, it begins near 1 and falls to between 1e-2 and 1e-4 with the loss itself."
)
print("one rank:", np.round(alone[np.float64][[0, 4, 19]], 4), "in steps 1, 5 and 20")

# %% [markdown]
# **Look.** With all that must be shared, the two ranks are one machine: what differs is rounding, in the sixteenth digit, or in `float32` the seventh. (A difference of exactly 0 is drawn at $10^{-17}$.) Each of the
# mistakes is there from the first step, and *no error message came*. At first the plain mean is the larger mistake, in the end the batch norms. The losses fall all the same, from 7 to 0.2; nobody who looks at a curve would see it. That is why the
# [test](tests/test_parallel.py:test_two_processes_with_uneven_parts_agree_with_one_after_twenty_steps) of it does not look at curves: it compares two processes with one, to $10^{-9}$.
#
# Two more things have to be the same on all ranks, and neither is a sum. *The order of the films*, and with it every random number: all ranks draw from a generator of the same seed. And *dropout*: a rank
# draws the mask of the whole batch and takes its own rows ([dropout_forward](ums/ops/dropout.py:dropout_forward), `place`). If each drew only as many numbers as it needs, both
# would drop the same units in their first rows.
#
# On a cluster the script of a rank is started by `mpirun -n 2 python -m mpi4py script.py`. [ums/parallel.py](ums/parallel.py) shows such a script: only the three lines with `ranks` differ from the script of one process.
#
# ## Or give each machine a network of its own
#
# A study trains hundreds of networks, one or more for each arm and replicate. They need not talk to each other: each is a *job*, which leaves a file.
#
# ```
# python -m ums.experiments cxr PREPARED --processes 8            # eight jobs side by side, on one machine
# python -m ums.experiments cxr PREPARED --scheduler ADDRESS      # handed out by a Dask scheduler to all its workers
# python -m ums.experiments cxr PREPARED --job 3/64               # the third of 64 shares, which know nothing of each other
# ```
#
# **Predict.** You have eight machines, a study of 200 jobs, and batches of 16. Split each network over all eight, so that each has two films of a batch? Or let each machine train a network? How many times faster than one machine is each of the two?
#
# *your guess:*
#
# This was measured, on two cores at 128 pixels: the time of a step with 16, 8, 4, 2 and 1 films ([benchmarks](tests/benchmarks/README.md)). With $P$ ranks a step takes no less time than a step with $16 / P$
# films, whatever the wire.

# %%
milliseconds = {1: 221, 2: 125, 4: 71.4, 8: 39.4, 16: 23.3}  # ranks: a step with 16 / ranks films
workers = np.array(list(milliseconds))
plt.figure(figsize=(5.5, 2.8))
plt.plot(workers, workers, "o-", color=COLOURS[0], label="a job for each machine")
faster = milliseconds[1] / np.array(list(milliseconds.values()))
plt.plot(workers, faster, "s--", color=COLOURS[1], label="one network on all")
plt.gca().set(xlabel="machines", ylabel="times faster", xticks=workers, ylim=(0, None))
plt.legend()
show(
    "Times faster against machines: jobs rise in proportion, to 16 with 16 machines; one network split over them rises to 1.8 with two, 5.6 with eight and 9.5 with sixteen."
)

# %% [markdown]
# **Look.** Eight machines with a job each do eight times as much. One network split over eight is at best 5.6 times as fast, because so small a part keeps a processor poorly occupied, and that is before a single message. So: *jobs first*.
# A network is split if there is only one job, if a step does not fit into one machine, or if a batch has many more films, which makes it a different training ([what a full study costs](ums/experiments/COST.md)).
#
# A machine that dies costs a study one job, which another machine does again: its file is whole, or not there. A rank that dies ends the training, for the sum would lack a part for ever.
#
# ## Think

# %% [markdown]
# **Question 1.** Each rank clips its gradient before the gradients are added: one that is longer than 1 is scaled down to length 1, so that no batch makes too long a step. Is the result that of
# one process that clips? What would you do?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 1 (2 points).** No. The length of a sum is not the sum of lengths, and each part is clipped by another factor, so that even the direction changes. Clip after the sum: then all ranks
# have the same gradient and find the same factor, without another message.
#
# *Points: clipping is not linear, so that the order matters (1); after the sum, alike on all ranks (1).*

# %% [markdown]
# **Question 2.** Many libraries leave batch norms to each rank. When does that do little harm, and when much? Which *running* statistics should then be saved?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 2 (3 points).** Little if each part is large: with many films, or large maps, its statistics are nearly those of the batch. Much with a few films per rank, most of all where a layer has one value per film and channel. The
# ranks' running statistics differ; each has seen its own films only. Their mean over the ranks would be the best estimate; often rank 0's are saved.
#
# *Points: large parts, little harm (1); small parts or one value per film, much (1); that the running statistics differ between ranks, with a sensible choice (1).*

# %% [markdown]
# **Question 3.** In `float32` two ranks and one do not agree to the byte. Is one of them wrong? With RMSprop, which divides every gradient by its size, their weights differ in the second digit after twenty steps,
# most of all the biases that stand before a batch norm. Why these?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 3 (3 points).** Neither: both round, in another order, and each is as far from the exact sum. Batch norm takes away whatever a bias before it adds, so that the gradient of this bias is exactly 0, and what is computed is nothing but
# rounding. RMSprop divides it by its own size and makes a step of the usual length from it, in a random direction. It does no harm, for the same reason that there is no gradient.
#
# *Points: another order of adding, none wrong (1); the gradient is 0 because the mean is taken away (1); division by its size makes a full step out of rounding (1).*

# %% [markdown]
# **Question 4.** Each rank prepares the noise of the whole batch and throws most of it away. Why? On one GPU a batch takes 48 ms for its noise, drawn on a processor, and then 8 ms for the step. How many times as fast can eight GPUs
# be at most? How could the ranks draw only their own noise and still agree with one process?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 4 (3 points).** The generator gives its numbers one after the other; a rank that skipped the other films would draw other numbers for its own, and the generators would no longer be in the same state. The 48 ms remain
# with any number of ranks: at most (48 + 8) / 48, less than 1.2 times as fast. Give each film a seed of its own, drawn from the common generator: one number for each film of the batch, and the noise from the seeds of one's own films.
#
# *Points: the sequence of one generator (1); at most 1.17 times, or that the 48 ms remain (1); a seed for each film, or a generator that can jump (1).*
