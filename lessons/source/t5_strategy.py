# %% [markdown]
# # Task 5: a strategy of your own
#
# Lesson 9 compared strategies that others had written. Here you write one yourself, from an empty cell: *gradient surgery*, also called
# PCGrad (Yu, Kumar, Gupta, Levine, Hausman and Finn, "Gradient surgery for multi-task learning", 2020). It is joint
# fine-tuning with one change. When two tasks pull the shared encoder in opposite directions, each gives up the part of its gradient that
# would undo the other's work.
#
# You write three functions, about 60 lines in all, and afterwards you compare your strategy with two of the library's. There is no
# skeleton: the text above each empty cell says what the function takes and returns, and folded hints help where you are stuck. You may import whatever you like from
# `ums.finetuning`, except `tune_jointly` itself. Read [alternating.py](ums/finetuning/alternating.py:tune_alternately) first: your strategy will have the same
# structure. Do not look at `joint.py` again until your own is done. Plan for about 90 minutes. Lessons 9 and 11 come first.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

from lessons.checks import lesson_t5 as check
from lessons.own import keep
from lessons.pictures import COLOURS, show, use_style
from ums import Sequential
from ums.finetuning.loop import EndlessBatches, train_together
from ums.finetuning.tasks import check_tasks
from ums.training import Epoch

os.environ.setdefault("UMS_THREADS", "1")  # for networks this small one thread is fastest
use_style()

# %% [markdown]
# ## The idea in two dimensions
#
# Let $g_1$ and $g_2$ be the gradients of two tasks with respect to the same shared parameters. They are in *conflict* if
# $g_1 \cdot g_2 < 0$: a small step against $g_1$ raises the loss of task 2. In that case $g_1$ is replaced by its projection onto the plane
# at right angles to $g_2$, and $g_2$ by its projection onto the plane at right angles to $g_1$:
#
# $$ g_1' = g_1 - \frac{g_1 \cdot g_2}{\lVert g_2 \rVert^2}\, g_2 , \qquad
# g_2' = g_2 - \frac{g_2 \cdot g_1}{\lVert g_1 \rVert^2}\, g_1 . $$
#
# Both right-hand sides use the *original* gradients. If $g_1 \cdot g_2 \ge 0$ nothing is changed. The encoder then moves by the sum
# $g_1' + g_2'$.

# %%
pairs = {"no conflict": ((3.0, 0.5), (0.5, 1.2)), "conflict": ((3.0, 0.5), (-1.5, 1.2))}
figure, axes = plt.subplots(1, 2, figsize=(8, 2.6), sharex=True, sharey=True)
for ax, (title, (first, second)) in zip(axes, pairs.items(), strict=True):
    total = np.add(first, second)
    for arrow, colour, name in ((first, COLOURS[0], "$g_1$"), (second, COLOURS[1], "$g_2$")):
        ax.annotate("", arrow, (0, 0), arrowprops={"arrowstyle": "->", "color": colour})
        ax.text(arrow[0], arrow[1] + 0.1, name, color=colour)
    ax.annotate("", total, (0, 0), arrowprops={"arrowstyle": "->", "linestyle": "--"})
    ax.text(total[0], total[1] + 0.1, "$g_1 + g_2$")
    ax.set(title=title, xlim=(-2, 4.5), ylim=(-0.3, 3.5), aspect="equal")
show(
    "Two panels with arrows from the origin. Left, without conflict, both gradients point to the right and their sum is "
    "longer than either. Right, in conflict, the second points to the upper left and shortens the sum."
)

# %% [markdown]
# **Predict.** Take a pencil: draw $g_1'$, $g_2'$ and their sum into the right panel. Is the angle between this sum and each of the
# gradients less than 90°?
#
# *your guess:*
#
# ## One: the projection
#
# With $K$ tasks each gradient meets all the others, one after another. For every task $i$, start with $g_i' = g_i$. Visit the other tasks $j \ne i$ in
# random order, and whenever $g_i' \cdot g_j < 0$, replace
#
# $$ g_i' \leftarrow g_i' - \frac{g_i' \cdot g_j}{\lVert g_j \rVert^2}\, g_j . $$
#
# Note which symbols carry a prime: what is *changed* is the current $g_i'$, what it is *compared with* is always an original $g_j$.
#
# **Write** `project(gradients, rng)`.
#
# - `gradients` is an array `(K, P)`, one row per task. It must not be changed.
# - `rng` is a `numpy.random.Generator`. It draws the order of the other tasks anew for every task $i$, and nothing else draws anything.
# - Return the projected gradients, a new array `(K, P)` of the same dtype.
#
# <details><summary>Hint: a case to test with</summary>
#
# $g_1 = (2, 0)$ and $g_2 = (-1, 1)$ have the product $-2$. So $g_1' = (2, 0) + \tfrac{2}{2} (-1, 1) = (1, 1)$ and
# $g_2' = (-1, 1) + \tfrac{2}{4} (2, 0) = (0, 1)$.
# </details>
#
# <details><summary>Hint: where to start</summary>
#
# Copy the array first. Two nested loops follow, over `i` and over a random order of the other tasks. `rng.permutation` takes a number
# or a list. A dot product of two rows is `a @ b`.
# </details>


# %%
# BEGIN SOLUTION
def project(gradients, rng):
    """Take from each gradient what conflicts with the others: (K, P) -> (K, P)."""
    projected = gradients.copy()
    for i in range(len(gradients)):
        others = [j for j in range(len(gradients)) if j != i]
        for j in rng.permutation(others):
            along = projected[i] @ gradients[j]
            if along < 0:
                length = gradients[j] @ gradients[j]
                projected[i] -= along / length * gradients[j]
    return projected


# END SOLUTION

# %%
check.project(project)

# %% [markdown]
# ## Two: the gradients of a step
#
# **Write** `projected_gradients(encoder, tasks, batches, rng)`. It is the counterpart of `joint_gradients` of lesson 9.
#
# - `tasks` is a list of `Task`. Each has a `head` and a `loss`. The network of a task is `Sequential(encoder, task.head)`.
# - `batches` holds one pair `x, target` for each task, in the order of `tasks`.
# - `rng` is handed on to `project`.
# - Afterwards `parameter.grad` of every trainable parameter of the *encoder* holds the sum of the projected gradients of all tasks, and
#   that of every parameter of a *head* holds the gradient of this head's own loss, which is not projected. Nothing is left of
#   gradients from an earlier step, and no parameter moves.
# - Each task runs forward once, with `training=True`, in order.
# - Return the list of the losses, one number per task.
#
# `project` wants one long row per task, so the gradients of all the encoder's parameters must be laid end to end, and the sum must be cut
# into pieces again. `encoder.trainable_parameters()` is a list whose order does not change.
#
# <details><summary>Hint: one task's gradient at a time</summary>
#
# `backward` adds to the gradients that are there. Call `network.zero_gradients()` before *each* task and copy the encoder's gradients into a
# row right after its backward pass. The heads belong to one task each, so forgetting the encoder's gradients does not touch
# those of the other heads.
# </details>
#
# <details><summary>Hint: from a row back to arrays</summary>
#
# `np.concatenate([p.grad.ravel() for p in parameters])` makes the row. On the way back, keep a position in the row: a
# parameter takes the next `p.value.size` numbers, with `.reshape(p.value.shape)`.
# </details>


# %%
# BEGIN SOLUTION
def projected_gradients(encoder, tasks, batches, rng):
    """Leave the projected sum in the encoder's gradients and each head's own in the head's."""
    shared = encoder.trainable_parameters()
    losses, rows = [], []
    for task, (x, target) in zip(tasks, batches, strict=True):
        network = Sequential(encoder, task.head)
        network.zero_gradients()
        loss, dy = task.loss(network.forward(x, training=True), target)
        network.backward(dy)
        losses.append(loss)
        rows.append(np.concatenate([parameter.grad.ravel() for parameter in shared]))
    total = project(np.stack(rows), rng).sum(axis=0)
    start = 0
    for parameter in shared:
        stop = start + parameter.value.size
        parameter.grad = total[start:stop].reshape(parameter.value.shape)
        start = stop
    return losses


# END SOLUTION

# %%
check.projected_gradients(projected_gradients)

# %% [markdown]
# ## Three: the strategy
#
# **Write** `tune_projected(encoder, tasks, training)`. It takes and returns what `tune_jointly` takes and returns, so that the two can be exchanged.
#
# - First let [check_tasks](ums/finetuning/tasks.py:check_tasks)`(tasks, training, encoder)` refuse tasks that do not fit, with a `ValueError`.
# - The encoder learns, even if it comes frozen: `encoder.freeze(False)`.
# - *One* optimizer moves the encoder and all heads. It is made by `tasks[0].optimizer(parameters, learning_rate)`, with the learning rate of
#   `training.settings`.
# - The batches of each task come from [EndlessBatches](ums/finetuning/loop.py:EndlessBatches)`(task.train, training)`: `next(...)` gives a pair
#   `x, target`, and after the last example it starts again in a new order.
# - An epoch has as many steps as the longest task has batches; `training.settings.length(task.train)` says how many a task has. Every step takes one
#   batch of *every* task and moves once.
# - Everything random comes from `training.rng`, so that the same seed gives the same networks, to the byte.
#
# Epochs, validation, early stopping and the choice of the best epoch are not your concern: you describe one epoch and hand it to
# [train_together](ums/finetuning/loop.py:train_together), whose result you return:
#
# ```python
# epoch = Epoch(steps, number_of_losses, [optimizer], batches)
# return train_together(name, encoder, tasks, epoch, training)
# ```
#
# `steps` is a function without arguments that you define inside yours. It runs the steps of one epoch and returns the list of all pairs `(i, loss)`, the
# number of the task and the loss of its batch; `number_of_losses` is the length of this list. `name` is a text for error messages, such as "projected tuning". `batches` is the list of the `EndlessBatches`.
#
# <details><summary>Hint: parameters of everything</summary>
#
# `Sequential(encoder, *[task.head for task in tasks])` is a network that nobody runs. It is useful all the same: its
# `trainable_parameters()` are those of the encoder, once, and of all heads.
# </details>
#
# <details><summary>Hint: what one step does</summary>
#
# Draw one batch of each task; call `projected_gradients`; call `optimizer.step()`; note the losses with their task numbers. Nothing else.
# </details>


# %%
# BEGIN SOLUTION
def tune_projected(encoder, tasks, training):
    """Tune encoder and heads jointly, without conflicts between gradients; {task name: Tuned}."""
    check_tasks(tasks, training, encoder)
    settings = training.settings
    encoder.freeze(False)
    everything = Sequential(encoder, *[task.head for task in tasks])
    parameters = everything.trainable_parameters()
    optimizer = tasks[0].optimizer(parameters, settings.learning_rate)
    batches = [EndlessBatches(task.train, training) for task in tasks]
    length = max(settings.length(task.train) for task in tasks)

    def steps():
        seen = []
        for _ in range(length):
            drawn = [next(batch) for batch in batches]
            losses = projected_gradients(encoder, tasks, drawn, training.rng)
            optimizer.step()
            seen += enumerate(losses)
        return seen

    epoch = Epoch(steps, length * len(tasks), [optimizer], batches)
    return train_together("projected tuning", encoder, tasks, epoch, training)


# END SOLUTION

# %%
check.tune_projected(tune_projected)

# %% [markdown]
# **Keep.** Once the checks pass, this cell writes your strategy to the folder `own/`. In the folder above this one, the command
# `python -m lessons study` then runs a small X-ray study with it in place of the library's, and its page says so.

# %%
keep(tune_projected)

# %% [markdown]
# Now compare yours with the library's [tune_jointly](ums/finetuning/joint.py:tune_jointly), which differs from it in a few lines only.
#
# ## Does it pay?
#
# The two tasks are those of lesson 9: outline the lungs, and tell whether a child has pneumonia. A fair comparison gives every strategy the same encoder,
# the same heads, the same films and the same budget. But which budget? In an epoch alternating tuning shows each task's films once, as the joint strategies do. Meanwhile its
# encoder moves twice as often, once for each task. The project's [results](ums/experiments/RESULTS.md) say that this is most of its advantage.
# So there are two ways to be fair, and we show both: the joint strategies run with as many *films* as alternating
# tuning, and once more with as many *steps of the encoder*, that is, with twice the films.
#
# In every replicate the training films, the heads and the order are drawn anew, and all strategies get the same ones. The source and the test films
# stay what they are.

# %%
from scipy.stats import t

from data_prep.synthetic import make_synthetic
from ums import Examples, FitSettings, Task, Training, predict, tune_alternately, tune_jointly
from ums.metrics import classification, segmentation
from ums.networks import classification_head, copy_network, denoising_autoencoder, segmentation_head
from ums.ops import bce_dice, categorical_cross_entropy
from ums.source import DenoisingExamples, train_denoising

SIDE, TRAIN, STEPS = 32, 96, 6
rng = np.random.default_rng(5)
unlabelled = make_synthetic(100, SIDE, rng, "B").images
testing = make_synthetic(160, SIDE, rng, "C", abnormal_fraction=0.5)
source = denoising_autoencoder(rng, width=1 / 8)
noisy = DenoisingExamples(unlabelled, np.arange(80), rng)
held_out = DenoisingExamples(unlabelled, np.arange(80, 100), rng, fixed=True)
denoising = FitSettings(epochs=12, learning_rate=3e-3)
train_denoising(source, noisy, held_out, Training(denoising, rng, progress=False))
encoder, decoder = source.layers


def start(films, seed):
    """A copy of the source's encoder, and two tasks with new heads on these films."""
    rng = np.random.default_rng(seed)
    train, validation = np.arange(TRAIN), np.arange(TRAIN, TRAIN + 32)
    ill = (films.labels > 0).astype(int)
    lungs = segmentation_head(decoder, rng)
    pneumonia = classification_head(32, 2, rng, hidden=32, dropout=0.2, batch_norm=True)
    masks = [Examples(films.images, films.masks, rows) for rows in (train, validation)]
    labels = [Examples(films.images, ill, rows) for rows in (train, validation)]
    tasks = [
        Task("lungs", lungs, bce_dice, masks[0], masks[1]),
        Task("pneumonia", pneumonia, categorical_cross_entropy, labels[0], labels[1]),
    ]
    return copy_network(encoder), tasks


def scores(tuned, device):
    """On the test films: mean IoU of the lungs, accuracy for pneumonia."""
    films = Examples(testing.images, None, np.arange(len(testing.images)))
    masks = predict(tuned["lungs"].network, films, device)[..., 0] > 0
    labels = predict(tuned["pneumonia"].network, films, device).argmax(axis=1)
    overlap = segmentation.iou(testing.masks > 0, masks).mean()
    return overlap, classification.accuracy((testing.labels > 0).astype(int), labels, 2)


# %% [markdown]
# **Predict.** Five arms: alternating, joint and projected, and the last two once more with twice the steps. Rank them for pneumonia, on paper, and for
# the lungs. In lesson 9 the cosine of the two tasks' gradients was near 0 on average: how often will your projection have anything to do?
#
# *your guess:*

# %%
ARMS = {
    "alternating": (tune_alternately, 1),
    "joint": (tune_jointly, 1),
    "projected": (tune_projected, 1),
    "joint, 2x steps": (tune_jointly, 2),
    "projected, 2x steps": (tune_projected, 2),
}
REPLICATES = 5
found = {name: [] for name in ARMS}  # name -> a row (IoU, accuracy) for each replicate
for replicate in range(REPLICATES):
    rng = np.random.default_rng(replicate)
    films = make_synthetic(TRAIN + 32, SIDE, rng, "C", abnormal_fraction=0.5)
    for name, (strategy, factor) in ARMS.items():
        settings = FitSettings(epochs=10, patience=10, learning_rate=1e-2, steps=STEPS * factor)
        training = Training(settings, np.random.default_rng([replicate, 1]), progress=False)
        tuned = strategy(*start(films, replicate), training)
        found[name].append(scores(tuned, training.device))
found = {name: np.array(rows) for name, rows in found.items()}


# %%
def interval(d):
    """The mean of differences d (R,), and half the width of its 95 % interval (lesson 11)."""
    return d.mean(), t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / np.sqrt(len(d))


contrasts = [
    ("projected", "joint"),
    ("projected", "alternating"),
    ("projected, 2x steps", "joint, 2x steps"),
    ("projected, 2x steps", "alternating"),
]
figure, axes = plt.subplots(1, 2, figsize=(9.5, 2.6), sharey=True)
told = []
for ax, column, title in ((axes[0], 0, "lungs: IoU"), (axes[1], 1, "pneumonia: accuracy")):
    for y, (a, b) in enumerate(contrasts):
        d = found[a][:, column] - found[b][:, column]
        mean, half = interval(d)
        ax.plot(d, np.full(len(d), y + 0.2), "x", color="grey", markersize=4)
        ax.errorbar(mean, y, xerr=half, fmt="o", color=COLOURS[column], capsize=3)
        told.append(f"{title}, {a} minus {b}: {mean:+.3f} +- {half:.3f}")
    ax.axvline(0, color="black", linestyle="--", linewidth=0.8)
    ax.set(title=title, xlabel="difference on the test films")
    ax.locator_params(axis="x", nbins=5)
axes[0].set(
    yticks=range(4), yticklabels=[f"{a}\nminus {b}" for a, b in contrasts], ylim=(3.6, -0.5)
)
show(
    "Four differences between strategies for the lungs (left) and pneumonia (right), each a point with its 95 % interval "
    "over five replicates and a cross per replicate. " + "; ".join(told)
)
for name, rows in found.items():
    print("{:20} lungs IoU {:.3f}   pneumonia accuracy {:.3f}".format(name, *rows.mean(axis=0)))
print("\n".join(told))

# %% [markdown]
# **Look.** (The numbers are ours; another machine gets slightly different ones.) Read the intervals before the means. For pneumonia projected tuning was ahead of alternating tuning by 0.07 (0.03 to 0.11), at
# equal films; for the lungs it was behind by 0.02 (0.01 to 0.03). Against joint tuning the interval for pneumonia contains 0, which does not say that the two are equally good (lesson 11).
#
# For the lungs one cross lies far from all others and stretches the interval across the picture. In this replicate joint tuning drew no lungs at all, an IoU of 0, where the other strategies reached 0.75:
# the short gradient of the lungs had no say in the sum (lessons 9 and 10), and these heads began badly. Five replicates cannot tell whether projection prevents such failures, or was lucky once.
#
# Compare the first two rows with the last two. At equal *films* the encoder of alternating tuning has moved twice as often; at equal *steps* the joint strategies have seen twice the films. Whoever
# shows only one of these comparisons can make either strategy look better. That is why a budget has to be stated, and chosen beforehand.
#
# And remember the cosine of lesson 9. It was near 0 on average, so in single steps it is presumably negative about as often as positive, and the projection changes the gradients in about every second step, and
# only a little. Yu et al. report clear gains on other tasks, among them tasks of reinforcement learning.
#
# ## Think
#
# Write your answers where each question says *your answer*.

# %% [markdown]
# **Question 1.** Two tasks are in conflict. Show that a small step against $g_1' + g_2'$ raises neither loss, to first order. (Take the dot product of the sum and $g_1$, and use what $g_2' \cdot g_1$ is.)
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 1 (3 points).** By construction $g_2' \cdot g_1 = g_2 \cdot g_1 - g_2 \cdot g_1 = 0$. Hence $(g_1' + g_2') \cdot g_1 = g_1' \cdot g_1 =
# \lVert g_1 \rVert^2 - (g_1 \cdot g_2)^2 / \lVert g_2 \rVert^2 \ge 0$ by the inequality of Cauchy and Schwarz, and likewise for $g_2$. A step against the sum changes $L_1$ by
# minus the rate times this product, so it does not raise it.
#
# *Points: $g_2' \cdot g_1 = 0$ (1); the product with the sum is not negative (1); so neither loss rises, to first order (1).*

# %% [markdown]
# **Question 2.** Does Question 1 still hold for the step that your strategy really makes? Think of what Adam does with a gradient.
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 2 (2 points).** Not strictly. Adam steps along a running mean of past gradients, and divides each coordinate by a number of its own. Both turn the step away from the projected
# sum, so it may again point against one of the tasks. Also the gradients are those of two small batches, and not of the losses on all films.
#
# *Points: momentum or the division by coordinate changes the direction (1); so the guarantee is lost (1).*

# %% [markdown]
# **Question 3.** The picture shows eight intervals. What follows for those that just exclude 0, and what would you have fixed before the run?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 3 (2 points).** With eight intervals of 95 % one in three such pictures has an interval that misses the truth by chance (if they were independent: $1 - 0.95^8 \approx 0.34$). Correct for their number (Holm, or wider
# intervals), and fix beforehand which contrast answers the question, and which difference is too small to matter.
#
# *Points: several intervals, so false alarms (1); a correction, or one contrast and a margin chosen beforehand (1).*

# %% [markdown]
# **Question 4.** Sketch another strategy, in a few sentences: alternating tuning in which a task's turns become longer when it makes slow progress. What measures progress? What keeps the
# budget equal to that of the other strategies? Which checks would you write for it?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 4 (3 points).** One possibility: after each epoch take the share of its first validation loss that every task has left, as GradNorm does; distribute a fixed number of batches per epoch in
# proportion to these shares, at least one for each task. The total stays that of alternating tuning. Checks: turns add up to the budget; equal progress gives equal turns; a task that lags behind gets more;
# in a turn only the encoder and the task's own head move; the same seed gives the same networks.
#
# *Points: a measure of progress that does not depend on a loss's unit (1); a fixed total (1); at least two checks that can fail (1).*
