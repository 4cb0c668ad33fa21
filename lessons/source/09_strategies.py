# %% [markdown]
# # 9 Independent, alternating or joint?
#
# One encoder has learned from unlabelled films, and two tasks want to use it: one draws the lungs, the other says whether
# there is a pneumonia. Should the encoder stay as it is? If it moves, who moves it: one task after the other, or both at
# once? The paper (section 2.3) calls these *independent*, *alternating* and *joint* fine-tuning. They differ in one
# thing only: who moves when.
#
# You write four functions: `moved`, which finds out who moved; `turns` and `alternate`, the alternating strategy; and
# `joint_gradients`, a step of the joint one.

# %%
import os
from itertools import islice

import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_09 as check
from lessons.pictures import COLOURS, image_row, use_style
from ums.backend import choose_device, to_numpy
from ums.data import Examples
from ums.finetuning import Task, tune_alternately, tune_independently, tune_jointly
from ums.finetuning.joint import add_gradients, norms_and_cosines
from ums.finetuning.loop import EndlessBatches
from ums.layers import Sequential
from ums.metrics import classification, segmentation
from ums.networks import (
    classification_head,
    copy_network,
    denoising_autoencoder,
    segmentation_head,
)
from ums.ops import bce_dice, categorical_cross_entropy
from ums.optimizers import Adam
from ums.source import DenoisingExamples, train_denoising
from ums.training import FitSettings, Training, predict, train_step

use_style()
device = choose_device()

# %% [markdown]
# ## Two tasks, one source
#
# The films are those of hospital C, children, 64 x 64 pixels. There are two answers to learn for each: a mask of the
# lungs, and a label, 0 for normal and 1 for a pneumonia. Of 270 films 128 are for training, 40 for validation, 102 for the
# test at the end.

# %%
os.environ.setdefault("UMS_THREADS", "1")  # for networks this small one thread is fastest
rng = np.random.default_rng(9)
children = make_synthetic(270, 64, rng, "C", abnormal_fraction=0.5)
ill = (children.labels > 0).astype(int)  # (N,) 1 where there is a pneumonia
train, validation, test = np.split(np.arange(270), [128, 168])

chosen = np.r_[np.flatnonzero(ill == 0)[:3], np.flatnonzero(ill)[:3]]
image_row(children.images[chosen], [f"label {label}" for label in ill[chosen]])
image_row(children.masks[chosen], ["its lungs"] * 6, high=1)

# %% [markdown]
# The source is a small denoising autoencoder (lesson 7), trained for seconds on films of hospital B without any label. Its
# encoder, four convolutions with batch norm, is what the tasks share. Its parameters are called $\theta_S$.

# %%
unlabelled = make_synthetic(150, 64, rng, "B").images
source = denoising_autoencoder(rng, width=1 / 8).to(device)
noisy = DenoisingExamples(unlabelled, np.arange(120), rng)
held_out = DenoisingExamples(unlabelled, np.arange(120, 150), rng, fixed=True)
denoising = FitSettings(epochs=15, learning_rate=3e-3)
train_denoising(source, noisy, held_out, Training(denoising, rng, device, progress=False))
encoder, decoder = source.layers

# %% [markdown]
# Each task adds a head of its own, with parameters $\theta_i$: the lungs the trained decoder with a new last
# convolution, the pneumonia an average over the image and two dense layers (lesson 8). In ums a
# [Task](ums/finetuning/tasks.py:Task) is a name, a head, a loss and its examples. Every trial starts from a fresh
# copy of the source and fresh heads:


# %%
def start(seed):
    """A copy of the source's encoder, and the two tasks with new heads."""
    rng = np.random.default_rng(seed)
    lungs = segmentation_head(decoder, rng).to(device)
    pneumonia = classification_head(32, 2, rng, hidden=32, dropout=0.2, batch_norm=True).to(device)

    def examples(targets):
        return [Examples(children.images, targets, rows) for rows in (train, validation)]

    tasks = [
        Task("lungs", lungs, bce_dice, *examples(children.masks)),
        Task("pneumonia", pneumonia, categorical_cross_entropy, *examples(ill)),
    ]
    return copy_network(encoder), tasks


# %% [markdown]
# ## Who moves when?
#
# That is a question to arrays, and it can be answered exactly. Take copies of all arrays before a step and after it. An array
# has moved if a single byte of it differs; an array that was meant to stay still and moved by $10^{-9}$ has moved.
#
# **Write** `moved`. Arrays have a method `tobytes()`.


# %%
def moved(before, after):
    """{name: array} before and after, of the same names -> the set of names whose bytes differ."""
    # BEGIN SOLUTION
    return {name for name in before if before[name].tobytes() != after[name].tobytes()}
    # END SOLUTION


# %%
check.moved(moved)

# %% [markdown]
# ## Whose turn is it?
#
# *Alternating* means: a few batches of one task, then a few of the next, and so on in turn. How many? Task $i$ has $B_i$
# batches of examples. An epoch should show each task every one of its batches once, and no task should have to wait longer
# than it must. So there are as many *rounds* as the smallest task has batches,
#
# $$ R = \min_i B_i , $$
#
# and in each round every task has its turn, in order, of $B_i / R$ batches. When that is no whole number, turns differ by
# one: by the end of round $r = 1, \dots, R$ task $i$ has had $\lfloor r\, B_i / R \rfloor$ batches in all. (In Python: `r * B // R`.)
#
# **Predict.** Task 0 has 2 batches, task 1 has 5. Write down the order of an epoch, as in 0 0 1 ...
#
# *your guess:*
#
# **Write** `turns`.


# %%
def turns(batches):
    """The numbers of batches B_i of the tasks -> the task of every batch of an epoch, a list."""
    rounds = min(batches)
    order = []
    # BEGIN SOLUTION
    for r in range(rounds):
        for i, B in enumerate(batches):
            order += [i] * ((r + 1) * B // rounds - r * B // rounds)
    # END SOLUTION
    return order


# %%
check.turns(turns)
print("2 and 5 batches:", *turns([2, 5]))

# %% [markdown]
# The library's [turns](ums/finetuning/alternating.py:turns) can also be told the lengths of the turns.
#
# **A turn.** Every task has a network, `Sequential(encoder, task.head)`, and an optimizer of its own that may move just this
# network's parameters. The encoder is the same object in both networks. One step of a network is
# [train_step](ums/training.py:train_step)`(network, loss, optimizer, x, target)`, which returns the loss. The batches of a
# task come from an iterator: `next(batches[i])` is its next pair `x, target`.
#
# **Predict.** Encoder, head of the lungs, head of the pneumonia: which of them change in a turn of the lungs? Which in a turn of
# the pneumonia?
#
# *your guess:*
#
# **Write** `alternate`. Everything it gets has one entry for each task; `order` is what `turns` returned.


# %%
def alternate(tasks, networks, optimizers, batches, order):
    """Train on one batch after the other, of the tasks in `order`; the list of their losses."""
    losses = []
    # BEGIN SOLUTION
    for i in order:
        x, target = next(batches[i])
        losses.append(train_step(networks[i], tasks[i].loss, optimizers[i], x, target))
    # END SOLUTION
    return losses


# %%
check.alternate(alternate)

# %% [markdown]
# ## Both at once
#
# *Joint* fine-tuning has one loss and one optimizer over everything. With a weight $w_i$ for each task,
#
# $$ L = \sum_i w_i\, L_i , \qquad
# \frac{\partial L}{\partial \theta_S} = \sum_i w_i \frac{\partial L_i}{\partial \theta_S} , \qquad
# \frac{\partial L}{\partial \theta_i} = w_i \frac{\partial L_i}{\partial \theta_i} . $$
#
# A step takes a batch of *each* task, and moves once. Two things to know about ums:
#
# - `network.backward(dy)` **adds** to the gradients that are there (`parameter.grad`); `network.zero_gradients()` forgets them. You
#   saw in lesson 2 that where a value is used twice its gradients add up. Here it is the encoder that is used twice.
# - A layer keeps one forward pass only. The next forward overwrites what backward needs.
#
# And backward is linear: from $w_i$ times `dy` it makes $w_i$ times all gradients.
#
# **Predict.** Where does `zero_gradients` belong, and in which order must the two forward and the two backward passes go?
#
# *your guess:*
#
# **Write** `joint_gradients`. It moves nothing: it leaves the gradients of $L$ in the parameters. Run forward with
# `training=True`. A loss returns two things: `loss, dy = task.loss(output, target)`.


# %%
def joint_gradients(encoder, tasks, batches, weights):
    """Leave dL/dtheta in all parameters; `batches` holds a pair x, target for each task.

    Returns the list of the L_i, without weights.
    """
    networks = [Sequential(encoder, task.head) for task in tasks]
    losses = []
    # BEGIN SOLUTION
    for network in networks:
        network.zero_gradients()
    for network, task, (x, target), w in zip(networks, tasks, batches, weights, strict=True):
        loss, dy = task.loss(network.forward(x, training=True), target)
        network.backward(w * dy)
        losses.append(loss)
    # END SOLUTION
    return losses


# %%
check.joint_gradients(joint_gradients)

# %% [markdown]
# The library's [add_gradients](ums/finetuning/joint.py:add_gradients) keeps, besides, each task's part of the sum. We will need it.
#
# ## The picture of the three
#
# Twelve steps of each strategy, with your functions, and `moved` looking on. The encoder has two kinds of arrays: weights,
# which an optimizer moves, and the running statistics of its batch norms, which a forward pass in training moves (lesson 4).
#
# **Predict.** On paper: four rows, twelve columns, three times. Which boxes are filled?
#
# *your guess:*


# %%
def parts(encoder, tasks):
    """Copies of all arrays, {row of the picture: {name: array}}."""
    weights = {name: p.value for name, p in encoder.named_parameters().items()}
    rows = {"encoder, weights": weights, "encoder, statistics": encoder.statistics()}
    rows |= {f"head, {task.name}": task.head.state_dict() for task in tasks}
    return {row: {name: a.copy() for name, a in arrays.items()} for row, arrays in rows.items()}


def endless(tasks):
    """Batches of 16 without end, each task's in an order of its own."""
    settings, rngs = FitSettings(batch=16), [np.random.default_rng(0) for _ in tasks]
    return [
        EndlessBatches(task.train, Training(settings, rng, device))
        for task, rng in zip(tasks, rngs, strict=True)
    ]


def one_by_one(frozen):
    """Alternate, one turn at a time; with a frozen encoder that is the independent strategy."""
    encoder, tasks = start(0)
    encoder.freeze(frozen)
    networks = [Sequential(encoder, task.head) for task in tasks]
    optimizers = [Adam(network.trainable_parameters(), 5e-3) for network in networks]
    batches = endless(tasks)
    for i in [0] * 6 + [1] * 6 if frozen else turns([6, 6]):
        before = parts(encoder, tasks)
        alternate(tasks, networks, optimizers, batches, [i])
        yield before, parts(encoder, tasks)


def at_once():
    """Joint steps, all weights 1."""
    encoder, tasks = start(0)
    heads = [task.head for task in tasks]
    everything = Sequential(encoder, *heads)  # never run: a set of parameters
    optimizer = Adam(everything.trainable_parameters(), 5e-3)
    batches = endless(tasks)
    while True:
        before = parts(encoder, tasks)
        joint_gradients(encoder, tasks, [next(b) for b in batches], [1.0, 1.0])
        optimizer.step()
        yield before, parts(encoder, tasks)


figure, axes = plt.subplots(1, 3, figsize=(9, 1.9), sharey=True)
watched = {"independent": one_by_one(True), "alternating": one_by_one(False), "joint": at_once()}
for ax, colour, (name, steps) in zip(axes, COLOURS, watched.items(), strict=False):
    for step, (before, after) in enumerate(islice(steps, 12), 1):
        for y, row in enumerate(before):
            if moved(before[row], after[row]):
                ax.barh(y, 0.85, left=step - 0.42, height=0.7, color=colour)
    ax.set(title=name, xlabel="step", xlim=(0.3, 12.7), xticks=(1, 6, 12))
axes[0].set(ylim=(3.6, -0.6), yticks=range(4), yticklabels=list(before))
plt.show()

# %% [markdown]
# **Look.** Independent: the encoder does not move by a byte, and one head could be trained today and the other next year.
# Alternating: every step moves the encoder, and each head rests while the other has its turn. Joint: every step moves everything,
# and one step has seen two batches.
#
# ## Which is best?
#
# Now the real thing, with the library's [tune_independently](ums/finetuning/independent.py:tune_independently),
# [tune_alternately](ums/finetuning/alternating.py:tune_alternately) and [tune_jointly](ums/finetuning/joint.py:tune_jointly):
# 20 epochs each, all from the same source, twice with different heads and order (half a minute).
#
# **Predict.** Which strategy will have the lowest validation loss for the lungs? Which for the pneumonia? Remember what the source
# was trained for.
#
# *your guess:*

# %%
STRATEGIES = {
    "independent": tune_independently,
    "alternating": tune_alternately,
    "joint": tune_jointly,
}
SETTINGS = FitSettings(epochs=20, patience=20, learning_rate=5e-3)


def tune(strategy, seed):
    """Each task's tuned network with its history, {task: Tuned}."""
    training = Training(SETTINGS, np.random.default_rng(seed), device, progress=False)
    return STRATEGIES[strategy](*start(seed), training)


tuned = {(name, seed): tune(name, seed) for name in STRATEGIES for seed in (0, 1)}

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 2.8))
for (name, seed), networks in tuned.items():
    for ax, task in zip(axes, networks, strict=True):
        losses = networks[task].history.validation
        label = name if seed == 0 else None
        colour = COLOURS[list(STRATEGIES).index(name)]
        ax.plot(range(1, 21), losses, "-" if seed == 0 else "--", color=colour, label=label)
        ax.set(title=task, xlabel="epoch", ylabel="validation loss", xticks=(1, 5, 10, 15, 20))
axes[0].legend()
plt.show()


# %%
def scores(networks):
    """On the test films: mean IoU of the lungs, accuracy of the pneumonia."""
    films = Examples(children.images, None, test)
    masks = predict(networks["lungs"].network, films, device)[..., 0] > 0
    labels = predict(networks["pneumonia"].network, films, device).argmax(axis=1)
    overlap = segmentation.iou(children.masks[test] > 0, masks).mean()
    return overlap, classification.accuracy(ill[test], labels, 2)


for (name, seed), networks in tuned.items():
    print("{:12} start {}   lungs IoU {:.3f}   pneumonia accuracy {:.3f}".format(
        name, seed, *scores(networks)
    ))  # fmt: skip

# %% [markdown]
# **Look.** (Your figures will not be quite these. Another machine adds in another order, and training blows up the rounding: two
# threads instead of one moved the lungs by up to 0.02 and the pneumonia by up to 0.09. Any difference below that means nothing.)
#
# The lungs: within a start the three curves lie close together, the alternating one lowest at the end, and how the heads begin (full
# or broken line) matters more to the loss than the strategy. On the test films the alternating lungs have an IoU (the area that the drawn
# and the true lungs share, over the area that either covers: 1 is best) of about 0.86, the
# others of about 0.80. The pneumonia: with the encoder frozen the loss never falls, and an accuracy between 0.5 and 0.6 is hardly
# better than a coin. What this small source keeps of a film, in order to take noise away, tells its head little about a pneumonia. Where
# the encoder moves, the accuracy is 0.73 to 0.85. With 40 films the validation curves jump, and alternating and joint cannot be told
# apart by them.
#
# Three cautions. In an epoch the alternating encoder makes two steps where the joint one makes one: it has seen the same films and
# moved twice as often. The paper finds independent best, or level, for such unlike tasks; its source had learned from
# thousands of films for hours. And two starts on 102 films settle little: how to compare is lesson 11.
#
# ## Do they pull the same way?
#
# Both moving strategies ask one encoder to serve two losses. Whether the tasks help each other can be read off their gradients on
# $\theta_S$. With $g_i = w_i\, \partial L_i / \partial \theta_S$, all numbers in one long row,
#
# $$ \cos(g_1, g_2) = \frac{g_1 \cdot g_2}{\lVert g_1 \rVert\, \lVert g_2 \rVert} . $$
#
# At 1 they want the same step. At 0 a step for one task does nothing for the other, and at $-1$ it undoes what the other wants.
# `tune_jointly` has kept the mean of every epoch in its history.
#
# **Predict.** Draw the cosine of lungs and pneumonia over the epochs. Near 1, above 0, at 0, below?
#
# *your guess:*

# %%
figure, ax = plt.subplots(figsize=(5.5, 2.6))
for seed, line in ((0, "-"), (1, "--")):
    cosines = tuned["joint", seed]["lungs"].history.cosines["pneumonia"]
    ax.plot(range(1, 21), cosines, line, color=COLOURS[2], label=f"start {seed}")
ax.axhline(0, color="black", linewidth=0.8)
ax.set(xlabel="epoch", ylabel="cosine of the gradients", ylim=(-1, 1), xticks=(1, 5, 10, 15, 20))
ax.legend()
plt.show()

# %% [markdown]
# **Look.** Within 0.1 of 0, from the first epoch to the last. On the average of an epoch the tasks neither help nor hinder each other.
#
# How small is small? A gradient of 16 films is a noisy thing, and noise in thousands of dimensions is nearly at right angles to
# everything. So we need something to compare with: the cosine of *the same* task's gradients on two *different*
# batches. Below are four gradients, twice each task, averaged over 16 draws of batches, in a network that joint
# tuning has trained for five epochs.
#
# **Predict.** What stands beside the diagonal: lungs with lungs, pneumonia with pneumonia?
#
# *your guess:*

# %%
shared, tasks = start(0)
few = FitSettings(epochs=5, learning_rate=5e-3)
tune_jointly(shared, tasks, Training(few, np.random.default_rng(0), device, progress=False))
four = [tasks[0], tasks[0], tasks[1], tasks[1]]
batches = [EndlessBatches(task.train, Training(few, rng, device)) for task in four]
cosines, lengths = [], []
for _ in range(16):
    _, gradients = add_gradients(shared, four, [next(b) for b in batches], [1.0] * 4)
    norms, between = norms_and_cosines(gradients)
    cosines.append(to_numpy(between))
    lengths.append(to_numpy(norms))
mean, length = np.mean(cosines, axis=0), np.mean(lengths, axis=0)

names = ["lungs", "lungs, other batch", "pneumonia", "pneumonia, other batch"]
figure, axes = plt.subplots(1, 2, figsize=(9, 2.8))
axes[0].imshow(mean, cmap="PuOr", vmin=-1, vmax=1)
for (i, j), value in np.ndenumerate(mean):
    dark = abs(value) > 0.6
    axes[0].text(j, i, f"{value:.2f}", ha="center", va="center", color="white" if dark else "black")
axes[0].set(title="mean cosine", xticks=[], yticks=range(4), yticklabels=names)
axes[0].grid(False)
axes[1].plot(length, names, "o", color=COLOURS[2])
axes[1].set(xscale="log", xlabel=r"mean length $\Vert g_i \Vert$", yticklabels=[])
axes[1].set(xlim=(1e-3, 10), ylim=(3.5, -0.5))
plt.show()

# %% [markdown]
# **Look.** Two batches of the lungs agree a little (0.2 to 0.4), two of the pneumonia less (0.1): the greater part of a batch's gradient is
# chance. So the 0 between the tasks proves less than it seems to. Even if both wanted exactly the same, such noise would leave a
# cosine of no more than about $\sqrt{0.3 \cdot 0.1} \approx 0.17$. There is no sign of a conflict here, and none of help.
#
# The lengths say more. The pneumonia's gradient is nearly a hundred times as long as that of the lungs, so in the joint sum the lungs have
# next to no say in where the encoder goes. That may be why they come out no better than with a frozen encoder, and worse than in the
# alternating strategy, where each task's own Adam makes its step. Whether weights $w_i$ mend it is the question of lesson 10.
#
# ## Think
#
# 1. An encoder, a head and Adam with one set of state over *everything*. Task 1 rests and its gradient is set to
#    0 instead of forgotten. Adam keeps a running mean of past gradients (its momentum). Does the resting head move? What would your `moved` say?
# 2. In the alternating strategy each task's Adam divides its step by the size of *its own* gradients. Why does it not mind that
#    one gradient is so much longer than the other, while the joint strategy does?
# 3. A third task comes next year, and nobody has kept the films of the first two. Which strategy still works, and what must not happen
#    to the encoder?
# 4. Independent tuning computes each film's features once, and trains on them
#    ([features](ums/finetuning/independent.py:features)). Why may it, and why may the other two not?

# %% [markdown] tags=["solution"]
# **Answers.**
#
# 1. It moves: the running mean of its past gradients is not 0 yet, and the step is made of it. `moved` would name the arrays
#    of the resting head. In ums a parameter without a gradient (`None`) is left alone, its momentum too, and each task has its own
#    optimizer besides.
# 2. Adam divides a running mean of the gradients by the root of a running mean of their squares: a factor in the gradient cancels. So a
#    step of the lungs and a step of the pneumonia have about the same length. In the joint strategy the *sum* is divided, by the size of the sum: the shorter
#    summand stays the smaller part of it by the same factor.
# 3. Independent: a new head on the frozen encoder. If the encoder moved, its features would change under the old heads, which would
#    fit it no more; nobody could tune them again, or even measure the damage.
# 4. The encoder is frozen, so the features of a film are the same in every epoch. In the others they are different after every step.
