# %% [markdown]
# # 9 Independent, alternating or joint?
#
# One encoder has learned from unlabelled films, and now two tasks want to use it: one outlines the lungs, the other says whether a
# child has pneumonia. Should the encoder stay as it is? If it moves, who moves it: one task after the other, or both at
# once? The paper (section 2.3) calls these strategies *independent*, *alternating* and *joint* fine-tuning. They differ in one
# thing only: who moves when.
#
# You write four functions: `moved`, which finds out who moved; `turns` and `alternate`, the alternating strategy; and
# `joint_gradients`, a step of the joint strategy.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_09 as check
from lessons.own import keep
from lessons.pictures import COLOURS, image_row, show, use_style
from ums import Adam, Examples, FitSettings, Sequential, Task, Training, choose_device, train_step

os.environ.setdefault("UMS_THREADS", "1")  # for networks this small one thread is fastest
use_style()
device = choose_device()

# %% [markdown]
# ## Two tasks, one source
#
# The films come from hospital C, a children's hospital, and have 64 x 64 pixels. Each film has two answers to learn: a mask of the
# lungs, and a label, 0 for normal and 1 for pneumonia. Of the 270 films, 128 are for training, 40 for validation and 102 for the
# test at the end.

# %%
rng = np.random.default_rng(9)
children = make_synthetic(270, 64, rng, "C", abnormal_fraction=0.5)
ill = (children.labels > 0).astype(int)  # (N,) 1 where there is pneumonia
train, validation, test = np.arange(128), np.arange(128, 168), np.arange(168, 270)

normal, pneumonia = np.flatnonzero(ill == 0)[:3], np.flatnonzero(ill == 1)[:3]
chosen = np.concatenate([normal, pneumonia])
figure, axes = plt.subplots(2, 6, figsize=(10, 3.6))
image_row(children.images[chosen], [f"label {label}" for label in ill[chosen]], axes[0])
image_row(children.masks[chosen], ["its lungs"] * 6, axes[1], high=1)
show(
    "Six chest films of children, three with label 0 and three with label 1, and below each the white mask of its lungs."
)

# %% [markdown]
# The source is a small denoising autoencoder (lesson 7). It is trained for a few seconds on films of hospital B without any label. Its
# encoder, four convolutions with batch norm, is what the tasks will share. Its parameters are called $\theta_S$.

# %%
from ums.networks import copy_network, denoising_autoencoder
from ums.source import DenoisingExamples, train_denoising

unlabelled = make_synthetic(150, 64, rng, "B").images
source = denoising_autoencoder(rng, width=1 / 8).to(device)
noisy = DenoisingExamples(unlabelled, np.arange(120), rng)
held_out = DenoisingExamples(unlabelled, np.arange(120, 150), rng, fixed=True)
denoising = FitSettings(epochs=15, learning_rate=3e-3)
train_denoising(source, noisy, held_out, Training(denoising, rng, device, progress=False))
encoder, decoder = source.layers

# %% [markdown]
# Each task adds a head of its own, with parameters $\theta_i$. The head for the lungs is the trained decoder with a new last
# convolution. The head for pneumonia takes the average over the image and has two dense layers (lesson 8). In ums a
# [Task](ums/finetuning/tasks.py:Task) is a name, a head, a loss, and examples to train and to validate with. Every experiment below begins with a fresh
# copy of the source's encoder and with fresh heads:

# %%
from ums.networks import classification_head, segmentation_head
from ums.ops import bce_dice, categorical_cross_entropy


def start(seed):
    """A copy of the source's encoder, and the two tasks with new heads."""
    rng = np.random.default_rng(seed)
    lungs = segmentation_head(decoder, rng).to(device)
    pneumonia = classification_head(32, 2, rng, hidden=32, dropout=0.2, batch_norm=True).to(device)
    masks = [Examples(children.images, children.masks, rows) for rows in (train, validation)]
    labels = [Examples(children.images, ill, rows) for rows in (train, validation)]
    tasks = [
        Task("lungs", lungs, bce_dice, masks[0], masks[1]),
        Task("pneumonia", pneumonia, categorical_cross_entropy, labels[0], labels[1]),
    ]
    return copy_network(encoder), tasks


# %% [markdown]
# ## Who moves when?
#
# This question has an exact answer. Copy all arrays before a step, and compare the copies with the arrays after it. An array
# has *moved* if a single byte of it differs. An array that was meant to stay still and changed by $10^{-9}$ has moved.
#
# **Write** `moved`. Arrays have a method `tobytes()`, which returns their content as `bytes`. The dictionaries and arrays that come in must
# stay as they are.


# %%
def moved(before, after):
    """{name: array} before and after, of the same names -> the set of names whose bytes differ."""
    # BEGIN SOLUTION
    return {name for name in before if before[name].tobytes() != after[name].tobytes()}
    # END SOLUTION


# %%
check.moved(moved)

# %% [markdown]
# **Look.** Why bytes, and not `(before[name] != after[name]).any()`? The two differ for a NaN, which is not equal even to itself, and for
# $0$ and $-0$, which are equal but are not the same bytes.
#
# ## Whose turn is it?
#
# *Alternating* means: a few batches of one task, then a few of the next, and so on in turn. How many? Task $i$ has $B_i$
# batches of examples. An epoch should show each task every one of its batches once, and no task should wait longer
# than it must. So there are as many *rounds* as the smallest task has batches,
#
# $$ R = \min_i B_i , $$
#
# and in each round every task has one turn, in order, of $B_i / R$ batches. When this is not a whole number, turns differ by
# one: by the end of round $r = 1, \dots, R$ task $i$ has had $\lfloor r\, B_i / R \rfloor$ batches in all. (In Python: `r * B // R`.)
#
# **Predict.** Task 0 has 2 batches, task 1 has 5. Write down the order of an epoch, as in 0 0 1 ...
#
# *your guess:*
#
# **Write** `turns`.
#
# <details><summary>Hint: the length of one turn</summary>
#
# How many batches has task $i$ had by the end of round $r$, and how many by the end of the round before? Its turn is the
# difference. For $B_i = 5$ and $R = 2$ the totals are 0, 2, 5, so its turns are of 2 and 3 batches.
# </details>


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
# **Keep.** Once the check passes, this cell writes your schedule to the folder `own/`. In the folder above this one, the command
# `python -m lessons study` then runs a small X-ray study with it in place of the library's, and its page says so.

# %%
keep(turns)

# %% [markdown]
# The library's [turns](ums/finetuning/alternating.py:turns) can also be given the lengths of the turns.
#
# **A turn.** Every task has a network, `Sequential(encoder, task.head)`, and an optimizer of its own that moves the
# parameters of this network and no others. The encoder is the same object in both networks. One step of a network is
# [train_step](ums/training.py:train_step)`(network, loss, optimizer, x, target)`, which returns the loss. Batches come from an
# *iterator*, an object that hands out one thing after another: `next(batches[i])` returns the next pair `x, target` of task $i$.
#
# **Predict.** The encoder, the head for the lungs, the head for pneumonia: which of them change when it is the turn of the lungs? Which when it is
# the turn of pneumonia?
#
# *your guess:*
#
# **Write** `alternate`. `tasks`, `networks`, `optimizers` and `batches` have one entry for each task; `order` is what `turns` returned.


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
# *Joint* fine-tuning has one loss and one optimizer for everything. With a weight $w_i$ for each task,
#
# $$ L = \sum_i w_i\, L_i , \qquad
# \frac{\partial L}{\partial \theta_S} = \sum_i w_i \frac{\partial L_i}{\partial \theta_S} , \qquad
# \frac{\partial L}{\partial \theta_i} = w_i \frac{\partial L_i}{\partial \theta_i} . $$
#
# A step takes a batch of *each* task, and moves once. Three facts about ums help:
#
# - `network.backward(dy)` **adds** to the gradients that are there (`parameter.grad`), and `network.zero_gradients()` forgets them. You
#   saw in lesson 2 that where a value is used twice, its gradients add up. Here the encoder is used twice.
# - A layer keeps one forward pass only. The next forward pass overwrites what backward needs.
# - Backward is linear: from $w_i$ times `dy` it makes $w_i$ times all gradients.
#
# **Predict.** Where does `zero_gradients` belong, and in which order must the two forward and the two backward passes run?
#
# *your guess:*
#
# **Write** `joint_gradients`. It moves nothing: it only leaves the gradients of $L$ in the parameters. Run forward with
# `training=True`. A loss returns two things: `loss, dy = task.loss(output, target)`.
#
# <details><summary>Hint: the order of the passes</summary>
#
# Since a layer remembers one forward pass, each task must run backward before the next one runs forward. Old gradients must
# be forgotten before the first backward pass, and not between the two.
# </details>
#
# <details><summary>Hint: one task's part</summary>
#
# With `x, target` of this task and its weight `w`: `output = network.forward(x, training=True)`, then the loss, then
# `network.backward(...)` of `w` times `dy`.
# </details>


# %%
def joint_gradients(encoder, tasks, batches, weights):
    """Leave dL/dtheta in all parameters; `batches` holds a pair x, target for each task.

    `weights` are numbers, one for each task. Returns the list of the L_i, without weights.
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
# The library's [add_gradients](ums/finetuning/joint.py:add_gradients) also keeps each task's part of the sum. We will need it at the end.
#
# ## The three in one picture
#
# Here are twelve steps of each strategy, made by your functions and watched by `moved`. The encoder has two kinds of arrays: weights,
# which an optimizer moves, and the running statistics of its batch norms, which a forward pass in training moves (lesson 4).
#
# **Predict.** On paper: four rows, twelve columns, three times. Which boxes are filled?
#
# *your guess:*

# %%
from ums.finetuning.loop import EndlessBatches


def all_arrays(encoder, tasks):
    """Copies of all arrays, {row of the picture: {name: array}}."""
    weights = {name: p.value.copy() for name, p in encoder.named_parameters().items()}
    statistics = {name: array.copy() for name, array in encoder.statistics().items()}
    rows = {"encoder, weights": weights, "encoder, statistics": statistics}
    for task in tasks:
        arrays = task.head.state_dict()
        rows[f"head, {task.name}"] = {name: array.copy() for name, array in arrays.items()}
    return rows


def watch(strategy):
    """Run twelve steps; a list with the rows of the picture that moved in each."""
    encoder, tasks = start(0)
    encoder.freeze(strategy == "independent")
    networks = [Sequential(encoder, task.head) for task in tasks]
    optimizers = [Adam(network.trainable_parameters(), 5e-3) for network in networks]
    everything = Sequential(encoder, tasks[0].head, tasks[1].head)  # never run: only its parameters
    common = Adam(everything.trainable_parameters(), 5e-3)
    training = Training(FitSettings(batch=16), np.random.default_rng(0), device)
    batches = [EndlessBatches(task.train, training) for task in tasks]
    order = [0] * 6 + [1] * 6 if strategy == "independent" else turns([6, 6])
    steps = []
    for turn in order:
        before = all_arrays(encoder, tasks)
        if strategy == "joint":
            joint_gradients(encoder, tasks, [next(batches[0]), next(batches[1])], [1.0, 1.0])
            common.step()
        else:
            alternate(tasks, networks, optimizers, batches, [turn])
        after = all_arrays(encoder, tasks)
        steps.append([row for row in before if moved(before[row], after[row])])
    return steps


ROWS = ["encoder, weights", "encoder, statistics", "head, lungs", "head, pneumonia"]
figure, axes = plt.subplots(1, 3, figsize=(9, 1.9), sharey=True)
for k, strategy in enumerate(["independent", "alternating", "joint"]):
    for step, rows in enumerate(watch(strategy), start=1):
        for row in rows:
            axes[k].barh(ROWS.index(row), 0.85, left=step - 0.42, height=0.7, color=COLOURS[k])
    axes[k].set(title=strategy, xlabel="step", xlim=(0.3, 12.7), xticks=(1, 6, 12))
axes[0].set(ylim=(3.6, -0.6), yticks=range(4), yticklabels=ROWS)
show(
    "Which arrays move in twelve steps. Independent: no box for the encoder; the head of the lungs fills steps 1 to 6, that of "
    "pneumonia 7 to 12. Alternating: the encoder's two rows are full, the heads fill every other step. Joint: all boxes are full."
)

# %% [markdown]
# **Look.** Independent: not a byte of the encoder moves, so one head could be trained today and the other next year.
# Alternating: every step moves the encoder, and each head rests while it is the other's turn. Joint: every step moves everything,
# and one step has seen two batches.
#
# ## Which is best?
#
# Now for the full training, with the library's [tune_independently](ums/finetuning/independent.py:tune_independently),
# [tune_alternately](ums/finetuning/alternating.py:tune_alternately) and [tune_jointly](ums/finetuning/joint.py:tune_jointly):
# 20 epochs each, all from the same source, twice, with different heads and a different order of the films (half a minute).
#
# **Predict.** Which strategy will have the lowest validation loss for the lungs? Which for pneumonia? Remember what the source
# was trained for.
#
# *your guess:*

# %%
from ums import tune_alternately, tune_independently, tune_jointly

STRATEGIES = {
    "independent": tune_independently,
    "alternating": tune_alternately,
    "joint": tune_jointly,
}
SETTINGS = FitSettings(epochs=20, patience=20, learning_rate=5e-3)

tuned = {}  # (strategy, seed) -> {task: the tuned network with its history}
for strategy, tune in STRATEGIES.items():
    for seed in (0, 1):
        shared, tasks = start(seed)
        training = Training(SETTINGS, np.random.default_rng(seed), device, progress=False)
        tuned[strategy, seed] = tune(shared, tasks, training)

# %%
MARKERS = {"independent": "o", "alternating": "s", "joint": "^"}
EPOCHS = range(1, 21)
figure, axes = plt.subplots(1, 2, figsize=(9, 3))
for (strategy, seed), results in tuned.items():
    look = {
        "color": COLOURS[list(STRATEGIES).index(strategy)],
        "marker": MARKERS[strategy],
        "markersize": 4,
        "linestyle": "-" if seed == 0 else "--",
    }
    for ax, task in zip(axes, results, strict=True):
        ax.plot(EPOCHS, results[task].history.validation, label=f"{strategy}, start {seed}", **look)
        ax.set(title=task, xlabel="epoch", ylabel="validation loss", xticks=(1, 5, 10, 15, 20))
axes[0].legend(fontsize=8)
show(
    "Validation loss over 20 epochs. For the lungs the curves of one start fall close together, to about 0.2, those of the other "
    "start to 0.4. For pneumonia the independent curves stay flat, while the alternating and joint ones fall and jump."
)

# %%
from ums import predict
from ums.metrics import classification, segmentation


def scores(results):
    """On the test films: mean IoU of the lungs, accuracy for pneumonia."""
    films = Examples(children.images, None, test)
    masks = predict(results["lungs"].network, films, device)[..., 0] > 0
    labels = predict(results["pneumonia"].network, films, device).argmax(axis=1)
    overlap = segmentation.iou(children.masks[test] > 0, masks).mean()
    return overlap, classification.accuracy(ill[test], labels, 2)


for (strategy, seed), results in tuned.items():
    lungs, pneumonia = scores(results)
    print(
        f"{strategy:12} start {seed}   lungs IoU {lungs:.3f}   pneumonia accuracy {pneumonia:.3f}"
    )

# %% [markdown]
# **Look.** (Your numbers will not be exactly ours. Another machine adds in another order, and training magnifies the rounding: two
# threads instead of one changed the IoU of the lungs by up to 0.02 and the accuracy for pneumonia by up to 0.09. Any difference smaller than that means
# nothing.)
#
# The lungs: for each start the three curves lie close together, the alternating one lowest at the end, and how the heads begin (solid
# or broken line) matters more to the loss than the strategy. On the test films alternating tuning reaches an IoU of 0.83 to 0.85, the
# others about 0.79. (The IoU is the area that the predicted and the true lungs share, divided by the area that either covers: 1 is best.)
#
# Pneumonia: with the encoder frozen the loss never falls, and an accuracy between 0.5 and 0.6 is hardly
# better than tossing a coin. To remove noise, this small source had to keep little that tells pneumonia from normal. Where
# the encoder moves, the accuracy is 0.70 to 0.82. With only 40 validation films the curves jump, and they do not
# separate alternating from joint.
#
# Three warnings. In an epoch the alternating encoder makes two steps where the joint one makes one: it has seen the same films and
# moved twice as often. The paper finds independent tuning best, or as good as the others, for such different tasks; its source had learned from
# thousands of films for hours. And two starts on 102 films settle little: how to compare is the subject of lesson 11.
#
# The project's study made the same comparison 40 times (20 with independent tuning), with everything drawn and trained anew, on synthetic films
# ([results](ums/experiments/RESULTS.md)). Alternating tuning was ahead of joint tuning on both of these tasks, and independent tuning was far behind both on the abnormality.
# But a network trained for the abnormality *alone*, whose encoder makes as many steps as the alternating one, could not be told
# from it. Most of the advantage of taking turns is that the encoder moves more often.
#
# ## Do they pull the same way?
#
# Both moving strategies ask one encoder to serve two losses. Whether the tasks help each other can be read off their gradients with
# respect to $\theta_S$. Let $g_i = w_i\, \partial L_i / \partial \theta_S$, with all its numbers in one long row. Then
#
# $$ \cos(g_1, g_2) = \frac{g_1 \cdot g_2}{\lVert g_1 \rVert\, \lVert g_2 \rVert} . $$
#
# At 1 both tasks want the same step. At 0 a step for one task does nothing for the other, and at $-1$ it undoes what the other wants.
# `tune_jointly` has kept the mean of every epoch in its history.
#
# **Predict.** Draw the cosine between lungs and pneumonia over the epochs. Near 1, above 0, at 0, below?
#
# *your guess:*

# %%
figure, ax = plt.subplots(figsize=(5.5, 2.6))
for seed, line in ((0, "o-"), (1, "s--")):
    cosines = tuned["joint", seed]["lungs"].history.cosines["pneumonia"]
    ax.plot(EPOCHS, cosines, line, markersize=4, color=COLOURS[2], label=f"start {seed}")
ax.axhline(0, color="black", linewidth=0.8)
ax.set(xlabel="epoch", ylabel="cosine of the gradients", ylim=(-1, 1), xticks=(1, 5, 10, 15, 20))
ax.legend()
show(
    "The cosine of the two tasks' gradients over 20 epochs, for two starts. Both curves stay within about 0.1 of zero."
)

# %% [markdown]
# **Look.** It stays within about 0.1 of 0, from the first epoch to the last. Averaged over an epoch, the tasks neither help nor hinder each other.
#
# But how small is small? The gradient of 16 films is noisy, and noise in thousands of dimensions is nearly at right angles to
# everything. We need something to compare with: the cosine of *the same* task's gradients on two *different*
# batches. Below are the cosines and lengths of four gradients, two of each task, averaged over 16 draws of batches, in a network that joint
# tuning has trained for five epochs.
#
# **Predict.** What will be the cosine of lungs with lungs, on different batches? Of pneumonia with pneumonia?
#
# *your guess:*

# %%
from ums.backend import to_numpy
from ums.finetuning.joint import add_gradients, norms_and_cosines

shared, tasks = start(0)
few = FitSettings(epochs=5, learning_rate=5e-3)
training = Training(few, np.random.default_rng(0), device, progress=False)
tune_jointly(shared, tasks, training)
four = [tasks[0], tasks[0], tasks[1], tasks[1]]
batches = [EndlessBatches(task.train, training) for task in four]
cosines, lengths = [], []
for _ in range(16):
    drawn = [next(batch) for batch in batches]
    losses, gradients = add_gradients(shared, four, drawn, [1.0] * 4)
    norms, between = norms_and_cosines(gradients)
    cosines.append(to_numpy(between))
    lengths.append(to_numpy(norms))
mean, length = np.mean(cosines, axis=0), np.mean(lengths, axis=0)

names = ["lungs", "lungs, other batch", "pneumonia", "pneumonia, other batch"]
figure, axes = plt.subplots(1, 2, figsize=(9, 2.8))
axes[0].imshow(mean, cmap="PuOr", vmin=-1, vmax=1)
for i in range(4):
    for j in range(4):
        colour = "white" if abs(mean[i, j]) > 0.6 else "black"
        axes[0].text(j, i, f"{mean[i, j]:.2f}", ha="center", va="center", color=colour)
axes[0].set(title="mean cosine", xticks=[], yticks=range(4), yticklabels=names)
axes[0].grid(False)
axes[1].plot(length, names, "o", color=COLOURS[2])
axes[1].set(xscale="log", xlabel=r"mean length $\Vert g_i \Vert$", yticklabels=[])
axes[1].set(xlim=(1e-3, 10), ylim=(3.5, -0.5))
show(
    "Left, a table of mean cosines: 1 on the diagonal, about 0.4 between two batches of the lungs, about 0.1 between two of "
    "pneumonia, about 0 between the tasks. Right, the gradients of pneumonia are nearly a hundred times as long as those of the lungs."
)

# %% [markdown]
# **Look.** Two batches of the lungs agree somewhat (0.4), two batches of pneumonia only a little (0.1): most of a batch's gradient is
# chance. So the 0 between the tasks proves less than it seems to. Even if both tasks wanted exactly the same, such noise would leave a
# cosine of no more than about $\sqrt{0.4 \cdot 0.1} = 0.2$. There is no sign of a conflict here, and none of help.
#
# The lengths say more. The gradient of pneumonia is nearly a hundred times as long as that of the lungs, so in the joint sum the lungs have
# almost no say in where the encoder goes. That may be why they come out no better than with a frozen encoder, and worse than with
# alternating tuning, where each task's own Adam makes its step. Whether weights $w_i$ can help is the question of lesson 10. What can be done
# about gradients that *are* in conflict is the subject of [task 5](t5_strategy.ipynb), where you write a strategy of your own.
#
# ## Think
#
# Write your answers where each question says *your answer*.

# %% [markdown]
# **Question 1.** Suppose that one Adam, with one state, moves the encoder and both heads. It is the lungs' turn, and the gradient of the
# pneumonia head is set to 0 instead of being forgotten. Adam keeps a running mean of past gradients (its momentum). Does the resting head
# move? What would your `moved` say?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 1 (2 points).** It moves. The running mean of its past gradients is not yet 0, and the step is made of this mean. `moved` would name
# the arrays of the resting head. In ums a parameter without a gradient (`None`) is left alone, and so is its momentum; besides, each task has its own
# optimizer.
#
# *Points: it moves, and `moved` reports it (1); because of the momentum (1).*

# %% [markdown]
# **Question 2.** In the alternating strategy each task's Adam divides its step by the size of *its own* gradients. Why does it not matter there that
# one gradient is so much longer than the other, while in the joint strategy it does?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 2 (3 points).** Adam divides a running mean of the gradients by the root of a running mean of their squares, so a constant factor in the gradient cancels.
# Hence a step of the lungs and a step of pneumonia have about the same length. In the joint strategy it is the *sum* that is divided, by the size of the
# sum: the shorter summand remains the smaller part, by the same factor.
#
# *Points: a factor cancels in Adam (1); so steps of both tasks are about equally long (1); jointly, only the sum is normalised (1).*

# %% [markdown]
# **Question 3.** A third task comes next year, and nobody has kept the films of the first two. Which strategy still works, and what must not happen
# to the encoder?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 3 (2 points).** Independent tuning: a new head on the frozen encoder. If the encoder moved, the old heads would receive features that they do not
# fit any more; without the films nobody could tune them again, or even measure the damage.
#
# *Points: independent (1); the encoder must not move, because the old heads depend on its features (1).*

# %% [markdown]
# **Question 4.** Independent tuning computes the features of each film once and trains on them
# ([features](ums/finetuning/independent.py:features)). Why may it do so, and why may the other two not?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 4 (2 points).** The encoder is frozen and runs at inference, so the features of a film are the same in every epoch. In the other strategies they
# change with every step.
#
# *Points: frozen features stay the same (1); in the others they change (1).*
