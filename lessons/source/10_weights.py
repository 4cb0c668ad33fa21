# %% [markdown]
# # 10 How should losses be weighed?
#
# A network with two tasks minimises one number, $L = w_1 L_1 + w_2 L_2$. Somebody has to choose the weights. Setting them all to 1
# sounds fair, and is not: measure a length in millimetres instead of centimetres, and its squared error counts a hundred times
# as much. In this lesson the weights are chosen in four ways, two of them learned by the network itself. We begin with a problem
# whose best answer is known, and then turn to chest films.
#
# You write four functions: `joint_minimum`, `uncertainty_gradient`, `learn_weights` and `gradnorm_gradient`.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_10 as check
from lessons.pictures import COLOURS, image_row, show, use_style
from ums import Examples, FitSettings, Task, Training, choose_device, predict, tune_jointly

os.environ.setdefault("UMS_THREADS", "1")  # for networks this small one thread is fastest
use_style()
device = choose_device()

# %% [markdown]
# ## One heart, two devices
#
# The width of a heart, in truth 12 cm, is measured 20 times with each of two devices. The errors of the first device have a standard deviation
# $\sigma_1$ of 0.2 cm, those of the second $\sigma_2$ of 1 cm. One number $\theta$ is to fit all readings $y_{ij}$ (device $i$, reading $j$, $n$ of
# each). Each device is a task with the loss
#
# $$ L_i(\theta) = \frac1n \sum_j (\theta - y_{ij})^2 . $$
#
# So $\theta$ plays the part of the shared encoder in a network: both tasks pull at it.

# %%
TRUE, SIGMA = 12.0, np.array([0.2, 1.0])  # cm


def readings(rng, n=20):
    """(2, n) readings in cm, a row for each device."""
    return TRUE + SIGMA[:, None] * rng.normal(size=(2, n))


y = readings(np.random.default_rng(4))
widths = np.linspace(10.8, 12.9, 200)
curves = ((widths[:, None, None] - y) ** 2).mean(axis=2)  # (200, 2): L_1 and L_2 at each width

figure, axes = plt.subplots(1, 2, figsize=(9, 2.8))
for i, (marker, line) in enumerate((("o", "--"), ("s", "-."))):
    axes[0].plot(y[i], np.full(20, i + 1), marker, color=COLOURS[i], alpha=0.5)
    axes[1].plot(widths, curves[:, i], line, color=COLOURS[i], label=f"$L_{i + 1}$")
axes[1].plot(widths, curves.sum(axis=1), color="black", label="$L_1 + L_2$")
axes[0].set(xlabel="reading in cm", ylabel="device", ylim=(0.5, 2.5), yticks=(1, 2))
axes[1].set(xlabel=r"$\theta$ in cm", ylabel="loss in cm$^2$")
axes[1].legend()
show(
    "Left, the readings of device 1 lie close together near 12 cm, those of device 2 are spread over several centimetres. Right, "
    "the loss of each device is a parabola in theta with a lowest point of its own; their sum lies above both."
)

# %% [markdown]
# **Predict.** Where is the lowest point of $L_1 + L_2$: at the mean of the first device, at that of the second, or half way between? And of
# $100\, L_1 + L_2$?
#
# *your guess:*
#
# **Write** `joint_minimum`: the $\theta$ at which $w_1 L_1 + w_2 L_2$ is lowest. Set the derivative to zero and solve for $\theta$. It should work
# for any number of devices, and leave `y` and `w` as they are.
#
# <details><summary>Hint: the derivative</summary>
#
# $\dfrac{\mathrm d L_i}{\mathrm d \theta} = \dfrac2n \sum_j (\theta - y_{ij}) = 2\,(\theta - \bar y_i)$, where $\bar y_i$ is the mean of device $i$.
# </details>
#
# <details><summary>Hint: solving for theta</summary>
#
# Write down $\sum_i w_i\, 2\,(\theta - \bar y_i) = 0$ and bring everything with $\theta$ to one side.
# </details>


# %%
def losses_at(theta, y):
    """L_i (K,) of the readings y (K, n) at theta."""
    return ((theta - y) ** 2).mean(axis=1)


def joint_minimum(y, w):
    """The number theta at which sum_i w_i L_i is lowest; y (K, n), w (K,)."""
    # BEGIN SOLUTION
    return (w * y.mean(axis=1)).sum() / w.sum()
    # END SOLUTION


# %%
check.joint_minimum(joint_minimum)
for w in ((1.0, 1.0), (100.0, 1.0)):
    print(
        f"weights {w}: {joint_minimum(y, np.array(w)):.3f} cm; the means are",
        y.mean(axis=1).round(3),
    )

# %% [markdown]
# **Look.** Equal weights trust both devices alike, and the minimum ends up half way. That is not what you would do: the first device is
# better. With a weight of 100 for it, almost nothing is left of the second. The best weights are somewhere in between, and statistics says where:
# $w_i \propto 1/\sigma_i^2$, here 25 to 1. But who tells us the $\sigma_i$?
#
# ## The network tells us
#
# If the errors are normally distributed, a reading $y$ has the probability density $e^{-(\theta - y)^2 / 2\sigma_i^2} / (\sqrt{2\pi}\, \sigma_i)$. Take
# minus its logarithm, average over the readings and double it. Apart from a constant this gives
#
# $$ \frac{1}{\sigma_i^2}\, L_i + \log \sigma_i^2 . $$
#
# The $\theta$ that makes the readings most probable minimises the sum of this over the devices. Here is the idea of Kendall, Gal and Cipolla (2018): the
# $\sigma_i$ are unknown as well, so learn them in the same way, as two more parameters. With $s_i = \log \sigma_i^2$, which may be any
# number, positive or negative,
#
# $$ L = \sum_i e^{-s_i} L_i + s_i , \qquad w_i = e^{-s_i} . $$
#
# **Predict.** What would the weights do without the second term, $+ s_i$?
#
# *your guess:*
#
# **Write** `uncertainty_gradient`: $\partial L / \partial s_i$ for each $i$, where the $L_i$ count as constants.


# %%
def uncertainty_gradient(s, losses):
    """dL/ds (K,), from s (K,) and the L_i (K,)."""
    # BEGIN SOLUTION
    return 1 - np.exp(-s) * losses
    # END SOLUTION


# %%
check.uncertainty_gradient(uncertainty_gradient)

# %% [markdown]
# Without $+ s_i$ only the negative part of the gradient would be left. All $s_i$ would grow for ever, and $L$ would approach 0 because
# every weight does, with nothing learned. The second term makes it cost something to call a task noisy.
#
# **Predict.** Suppose that $L_i$ stays what it is. Where is your gradient zero? What is $w_i$ there? One task has the loss 0.04,
# another the loss 1: which weights will they get?
#
# *your guess:*
#
# Now both together: $\theta$ and the weights. Start with all $s_i = 0$. A step takes the current weights, finds the
# $\theta$ that is best with them (your `joint_minimum`), takes the losses there (`losses_at`), and moves $s$ down its gradient:
# $s \leftarrow s - \eta\, \partial L / \partial s$ (your `uncertainty_gradient`).
#
# **Write** `learn_weights`. It appends the weights that each step used to `weights`.
#
# <details><summary>Hint: one step, in order</summary>
#
# Weights from `s`; `theta` from the weights; losses at this `theta`; a new `s` from the gradient, with `rate` for $\eta$; append the weights *that were
# used*, not those of the new `s`.
# </details>


# %%
def learn_weights(y, steps=200, rate=0.1):
    """Readings (K, n) -> the theta of the last step, and the weights of every step (steps, K)."""
    s = np.zeros(len(y))
    weights = []
    # BEGIN SOLUTION
    for _ in range(steps):
        w = np.exp(-s)
        theta = joint_minimum(y, w)
        s = s - rate * uncertainty_gradient(s, losses_at(theta, y))
        weights.append(w)
    # END SOLUTION
    return theta, np.array(weights)


# %%
check.learn_weights(learn_weights)

# %%
theta, weights = learn_weights(y)
figure, ax = plt.subplots(figsize=(6, 2.8))
for i, line in enumerate(("-", "--")):
    ax.semilogy(weights[:, i], line, color=COLOURS[i], label=f"$w_{i + 1}$")
    ax.axhline(1 / losses_at(theta, y)[i], color=COLOURS[i], linestyle=":")
ax.set(xlabel="step", ylabel="weight, in 1 / cm$^2$")
ax.legend()
show(
    "Two weights over 200 steps on a logarithmic scale. The first rises along a straight line from 1 and levels off near 20; the "
    "second stays near 1. Each ends on its dotted line, 1 / L_i."
)
print("weights", weights[-1].round(2), " 1 / sigma^2", 1 / SIGMA**2)

# %% [markdown]
# **Look.** Both weights end at their dotted lines, $1 / L_i$, and these are near $1 / \sigma_i^2$: 19.7 instead of 25, and 1.04 instead of 1. They
# cannot come closer, since 20 readings say no more about $\sigma_i$. At first $\log w_1$ rises along a straight line: as long as $w_1 L_1$ is
# small, the gradient is nearly 1, and $s_1$ falls by $\eta = 0.1$ in each step.
#
# Is $\theta$ better for it? One set of readings cannot tell. Here are 400 sets, and the errors of three estimates: with equal weights,
# with learned ones, and with $1 / \sigma_i^2$, which nobody would know.

# %%
rng = np.random.default_rng(5)
sets = [readings(rng) for _ in range(400)]
estimates = {
    "equal": [joint_minimum(y, np.ones(2)) for y in sets],
    "learned": [learn_weights(y, 100)[0] for y in sets],
    "known $\\sigma$": [joint_minimum(y, 1 / SIGMA**2) for y in sets],
}
figure, axes = plt.subplots(1, 3, figsize=(9, 2.4), sharey=True)
for ax, colour, (name, values) in zip(axes, COLOURS[4:], estimates.items(), strict=False):
    ax.hist(np.array(values) - TRUE, np.linspace(-0.4, 0.4, 33), color=colour)
    ax.set(xlabel="error in cm", title=f"{name}: deviation {np.std(values):.3f} cm")
axes[0].set_ylabel("sets of readings")
show(
    "Three histograms of the error of theta over 400 sets of readings. With equal weights it is wide; with learned weights and "
    "with known sigma it is narrow, and the two look alike."
)

# %% [markdown]
# **Look.** With equal weights the error has a standard deviation of 0.116 cm, with learned weights 0.044 cm, as good as if the
# $\sigma_i$ had been known. With equal weights it would take seven times as many readings to get there.
#
# ## Chest films
#
# Two tasks on films of hospital C, a children's hospital, where half of the children have pneumonia: outline the lungs, and say whether the child has
# pneumonia. The losses are [bce_dice](ums/ops/losses.py:bce_dice) and
# [categorical_cross_entropy](ums/ops/losses.py:categorical_cross_entropy) (lesson 6). The shared encoder comes from a denoising autoencoder
# (lesson 7), trained for a few seconds. All of this is as in lesson 9.

# %%
from ums.networks import copy_network, denoising_autoencoder
from ums.source import DenoisingExamples, train_denoising

rng = np.random.default_rng(9)
children = make_synthetic(270, 64, rng, "C", abnormal_fraction=0.5)
ill = (children.labels > 0).astype(int)  # (N,) 1 where there is pneumonia
train, validation, test = np.arange(128), np.arange(128, 168), np.arange(168, 270)
chosen = np.concatenate([np.flatnonzero(ill == 0)[:3], np.flatnonzero(ill == 1)[:3]])
image_row(children.images[chosen], ["normal"] * 3 + ["pneumonia"] * 3)
show(
    "Six chest films of children: three that are normal, and three with pneumonia, which shows as faint grey patches."
)

unlabelled = make_synthetic(150, 64, rng, "B").images
source = denoising_autoencoder(rng, width=1 / 8).to(device)
denoising = FitSettings(epochs=15, learning_rate=3e-3)
noisy = DenoisingExamples(unlabelled, np.arange(120), rng)
held_out = DenoisingExamples(unlabelled, np.arange(120, 150), rng, fixed=True)
train_denoising(source, noisy, held_out, Training(denoising, rng, device, progress=False))
encoder, decoder = source.layers

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
# Before any tuning we take two averages over the training films, in eight batches: of each loss, and of the length of its gradient with respect to the
# parameters $\theta_S$ of the shared encoder, $\lVert \partial L_i / \partial \theta_S \rVert$. The library's
# [add_gradients](ums/finetuning/joint.py:add_gradients) and [norms_and_cosines](ums/finetuning/joint.py:norms_and_cosines) compute them.

# %%
from ums.backend import to_numpy
from ums.finetuning.joint import add_gradients, norms_and_cosines

shared, tasks = start(0)
losses, lengths = [], []
for chosen in np.split(np.arange(128), 8):
    batches = []
    for task in tasks:
        x, target = task.train.batch(chosen)
        batches.append((device.put(x), device.put(target)))
    values, gradients = add_gradients(shared, tasks, batches, [1.0, 1.0])
    norms, _ = norms_and_cosines(gradients)
    losses.append(to_numpy(values))
    lengths.append(to_numpy(norms))
for i, task in enumerate(tasks):
    loss, length = np.mean(losses, axis=0)[i], np.mean(lengths, axis=0)[i]
    print(f"{task.name:10} loss {loss:.2f}   length of its gradient {length:.4f}")

# %% [markdown]
# **Look.** The losses are not far apart, 0.7 and 1.1. Their gradients are: the one of pneumonia is some 300 times as long. (A factor of
# eight is due to the batch norm with which its head begins: try `batch_norm=False`.) One
# optimizer moves the encoder by the sum, and with equal weights the lungs hardly count in this sum.
#
# **Predict.** Which weights will the uncertainty give the two tasks at the start? Will that change what the encoder does?
#
# *your guess:*
#
# ## Weights for gradients
#
# *GradNorm* (Chen et al., 2018) looks at the gradients instead. Let $G_i = \lVert w_i\, \partial L_i / \partial \theta_S \rVert$ be the length of what task $i$
# adds to the encoder's gradient. All $G_i$ should be equal, except that a task that lags behind should get more. How far task $i$ still
# has to go is measured by $L_i / L_i(0)$, the share of its first loss that is left, compared with the other tasks:
#
# $$ r_i = \frac{L_i / L_i(0)}{\operatorname{mean}_j \left( L_j / L_j(0) \right)} , \qquad
# G_i^* = \operatorname{mean}_j (G_j) \; r_i^{\,\alpha} . $$
#
# $G_i^*$ is the length that task $i$ should have. The exponent $\alpha \ge 0$ is chosen by hand; with 0 all lengths should be equal. The weights minimise
# $\sum_i |G_i - G_i^*|$, where $G_i^*$ counts as a constant. For the derivative with respect to $w_i$ you need one more thing: how does
# $G_i$ grow with $w_i$? Write $G_i$ as $w_i$ times something that does not depend on it.
#
# **Write** `gradnorm_gradient`. The derivative of $|x|$ is `np.sign(x)`. The arrays that come in must stay as they are.
#
# <details><summary>Hint: how a length grows with its weight</summary>
#
# $G_i = w_i\, \lVert \partial L_i / \partial \theta_S \rVert$, so $\partial G_i / \partial w_i = \lVert \partial L_i / \partial \theta_S \rVert = G_i / w_i$.
# </details>
#
# <details><summary>Hint: the chain rule</summary>
#
# $\dfrac{\partial}{\partial w_i} |G_i - G_i^*| = \operatorname{sign}(G_i - G_i^*)\, \dfrac{\partial G_i}{\partial w_i}$. Compute in this order: the shares that are left, $r$,
# $G^*$, the sign.
# </details>


# %%
def gradnorm_gradient(w, G, losses, first, alpha):
    """The gradient (K,) of sum_i |G_i - G_i*| with respect to w; G, losses and the first losses are (K,) too."""
    # BEGIN SOLUTION
    left = losses / first
    r = left / left.mean()
    wanted = G.mean() * r**alpha
    return np.sign(G - wanted) * G / w
    # END SOLUTION


# %%
check.gradnorm_gradient(gradnorm_gradient)

# %% [markdown]
# After each step the weights are scaled so that they add up to the number of tasks; otherwise all of them could shrink to 0
# together.
#
# Both rules are in the library. [Uncertainty](ums/finetuning/weighting.py:Uncertainty) is your `uncertainty_gradient` with an optimizer, Adam; it also has a factor
# $c_i$ of $1/2$ for regressions, as Kendall et al. have. [GradNorm](ums/finetuning/weighting.py:GradNorm) is your `gradnorm_gradient` with the scaling, and Adam
# for the steps.
#
# ## Four ways to choose weights
#
# Joint fine-tuning with [tune_jointly](ums/finetuning/joint.py:tune_jointly), 16 epochs: with both weights 1; with 100 and 1, set by hand; with
# uncertainty; with GradNorm. Each runs twice, with different heads and a different order (half a minute).
#
# **Predict.** Which weights will rise, which will fall? Which of the four will draw the best lungs? Which will pay for it in
# pneumonia?
#
# *your guess:*

# %%
from ums import ByHand, Equal, GradNorm, Uncertainty


def new_weights(name):
    """The weighting of this name, at its start."""
    if name == "equal":
        return Equal()
    if name == "by hand":
        return ByHand(100, 1)
    if name == "uncertainty":
        return Uncertainty(learning_rate=0.05)
    return GradNorm(alpha=0.5)


NAMES = ["equal", "by hand", "uncertainty", "GradNorm"]
SETTINGS = FitSettings(epochs=16, patience=16, learning_rate=5e-3)

tuned = {}  # (weighting, seed) -> {task: the tuned network with its history}
for name in NAMES:
    for seed in (0, 1):
        shared, tasks = start(seed)
        training = Training(SETTINGS, np.random.default_rng(seed), device, progress=False)
        tuned[name, seed] = tune_jointly(shared, tasks, training, weights=new_weights(name))

# %%
epochs = range(1, 17)
figure, axes = plt.subplots(1, 2, figsize=(9, 3))
for task, marker, colour in (("lungs", "o", COLOURS[0]), ("pneumonia", "s", COLOURS[1])):
    history = tuned["uncertainty", 0][task].history
    look = {"color": colour, "markersize": 4}
    axes[0].plot(epochs, history.weight, marker + "-", label=task, **look)
    reached = 1 / np.array(history.train)
    axes[0].plot(epochs, reached, marker + ":", fillstyle="none", label=f"{task}, 1 / loss", **look)
for k, marker in enumerate("osD^"):
    histories = [tuned[NAMES[k], 0][task].history for task in ("lungs", "pneumonia")]
    ratio = np.array(histories[0].weight) / np.array(histories[1].weight)
    colour = COLOURS[4 + k]
    axes[1].plot(epochs, ratio, marker + "-", markersize=4, color=colour, label=NAMES[k])
axes[0].set(xlabel="epoch", ylabel="weight", title="uncertainty", yscale="log")
axes[1].set(xlabel="epoch", ylabel="weight of lungs / of pneumonia", title="all four", yscale="log")
axes[0].legend(fontsize=8)
axes[1].set_ylim(0.3, 30000)
axes[1].legend(ncols=2, loc="upper right", fontsize=8)
for ax in axes:
    ax.set_xticks((1, 4, 8, 12, 16))
show(
    "Left, the two weights of uncertainty rise over 16 epochs and follow the dotted curves of 1 / loss. Right, the ratio of the lungs' "
    "weight to that of pneumonia: constant at 1 and 100, falling below 1 for uncertainty, and for GradNorm rising to several hundred "
    "before it falls."
)

# %%
from ums.metrics import classification, segmentation


def scores(results):
    """On the test films: mean IoU of the lungs, accuracy for pneumonia."""
    films = Examples(children.images, None, test)
    masks = predict(results["lungs"].network, films, device)[..., 0] > 0
    labels = predict(results["pneumonia"].network, films, device).argmax(axis=1)
    overlap = segmentation.iou(children.masks[test] > 0, masks).mean()
    return overlap, classification.accuracy(ill[test], labels, 2)


figure, axes = plt.subplots(1, 2, figsize=(9, 2.2), sharey=True)
for (name, seed), results in tuned.items():
    lungs, pneumonia = scores(results)
    colour, marker = COLOURS[4 + NAMES.index(name)], "o" if seed == 0 else "s"
    axes[0].plot(lungs, name, marker, color=colour)
    axes[1].plot(pneumonia, name, marker, color=colour)
    print(f"{name:12} start {seed}   lungs {lungs:.3f}   pneumonia {pneumonia:.3f}")
axes[0].set(xlabel="lungs: IoU on the test films")
axes[1].set(xlabel="pneumonia: accuracy on the test films")
axes[0].invert_yaxis()
show(
    "Scores of the four weightings, a circle for the first start and a square for the second. Lungs: by hand and GradNorm are best, "
    "equal and uncertainty lowest. Pneumonia: the two starts of a weighting lie as far apart as the weightings do."
)

# %% [markdown]
# **Look.** Left, uncertainty: its weights follow $1 / L_i$ (dotted), that of the lungs closely. Both rise as the losses fall, the one of pneumonia
# faster, so that in the end the lungs have *less* weight than pneumonia (right). Uncertainty looks at losses, and these were
# not far apart ($1/0.7 \approx 1.4$ and $1/1.1 \approx 0.9$ at the start); it knows nothing of the lengths of the gradients. GradNorm does. It
# overshoots: the lungs get several hundred times the weight of pneumonia, and in the end 20 to 60 times.
#
# The scores: for the lungs (IoU, the area that the predicted and the true lungs share, divided by the area that either covers) the weights set by hand and GradNorm reach
# 0.81 to 0.83, equal weights and uncertainty 0.77 to 0.79. For pneumonia the two starts of one weighting lie as far apart as the weightings do: none of them visibly paid
# for better lungs. (Your numbers will differ. Another machine adds in another order, and training magnifies the rounding: two
# threads instead of one changed the IoU of the lungs by up to 0.04 and the accuracy for pneumonia by up to 0.06.)
#
# So what is best for the readings of one heart need not be best in a network. Uncertainty takes a high loss for noise, and chooses
# well where it is noise. And the simplest way was as good as any here: look at the lengths once, and set a weight by hand. But this is one
# data set with two starts, and another pair of tasks may reverse the order. In the project's study
# ([results](ums/experiments/RESULTS.md)) the weights of the joint loss were chosen by the validation loss in a small pilot. Joint tuning still
# drew worse lungs than a network with the lungs as its only task, by 0.038 IoU.
#
# ## Think
#
# Write your answers where each question says *your answer*.

# %% [markdown]
# **Question 1.** Multiply $L_1$ by 100 (millimetres instead of centimetres for the first device's error). What becomes of $s_1$, of $w_1$, of $w_1 L_1$ and of $\theta$ with
# learned weights? And with equal weights?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 1 (3 points).** With learned weights $s_1$ grows by $\log 100$, $w_1$ becomes a hundredth, $w_1 L_1$ stays 1 at the optimum, and $\theta$ stays where it was:
# the unit drops out. With equal weights $\theta$ moves almost to the mean of the first device.
#
# *Points: $s_1$ and $w_1$ (1); $w_1 L_1$ and $\theta$ do not change (1); equal weights (1).*

# %% [markdown]
# **Question 2.** A cross-entropy can become as small as it likes once all training films are classified correctly. What does $w_i = 1/L_i$ do then, and
# which task gets the attention: the one that is finished or the one that is not? What does GradNorm do with $\alpha > 0$?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 2 (3 points).** $w_i$ grows without bound, so the finished task gets more and more weight, and what is left of its gradient, often the noise of a few films,
# is magnified. GradNorm gives the task that lags behind, whose $r_i$ is above 1, the larger share of the encoder's gradient.
#
# *Points: the weight grows without bound (1); the finished task gets the attention (1); GradNorm favours the one that lags behind (1).*

# %% [markdown]
# **Question 3.** Give a task labels that were drawn by lot. What do uncertainty and GradNorm make of it? Could any rule that sees only losses and
# gradients do better?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 3 (3 points).** Its loss stays near $\log 2$ (for two classes) until the network knows the training films by heart. Until then uncertainty takes the task for
# noisy and gives it little weight, which is right. GradNorm takes it for a task that lags behind and gives it more, which is wrong. No rule that sees only
# losses and gradients can tell *hard* from *hopeless*.
#
# *Points: uncertainty (1); GradNorm (1); hard and hopeless look alike to a rule (1).*

# %% [markdown]
# **Question 4.** Which epoch's networks are kept at the end is decided by [relative_loss](ums/finetuning/loop.py:relative_loss), in which no weight
# occurs. Why is it not decided by the weighted sum that is being minimised?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 4 (2 points).** The weights change during training, so the sum of one epoch cannot be compared with that of another: it can fall because a
# weight fell. With the terms $s_i$ it can even become negative.
#
# *Points: the weights change (1); so the sum can fall although no task became better (1). Who answers instead that every task should count alike, whatever its unit, has one point.*
