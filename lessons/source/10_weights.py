# %% [markdown]
# # 10 How should losses be weighed?
#
# A network with two tasks minimises one number, $L = w_1 L_1 + w_2 L_2$. Somebody has to choose the weights. All equal to 1
# sounds fair, and is not: measure one of the losses in millimetres instead of centimetres and it counts a hundred times
# as much. In this lesson the weights are chosen four ways, two of them learned by the network itself, first on a problem
# whose best answer is known, then on chest films.
#
# You write four functions: `joint_minimum`, `uncertainty_gradient`, `learn_weights` and `gradnorm_gradient`.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_10 as check
from lessons.pictures import COLOURS, image_row, use_style
from ums.backend import choose_device, to_numpy
from ums.data import Examples
from ums.finetuning import ByHand, Equal, GradNorm, Task, Uncertainty, tune_jointly
from ums.finetuning.joint import add_gradients, norms_and_cosines
from ums.metrics import classification, segmentation
from ums.networks import (
    classification_head,
    copy_network,
    denoising_autoencoder,
    segmentation_head,
)
from ums.ops import bce_dice, categorical_cross_entropy
from ums.source import DenoisingExamples, train_denoising
from ums.training import FitSettings, Training, predict

use_style()
device = choose_device()

# %% [markdown]
# ## One heart, two devices
#
# The width of a heart, truly 12 cm, is read 20 times on each of two devices. The first has errors with a standard deviation
# $\sigma_1$ of 0.2 cm, the second $\sigma_2$ of 1 cm. One number $\theta$ shall fit all readings $y_{ij}$ (device $i$, reading $j$, $n$ of
# each). Each device is a task with the loss
#
# $$ L_i(\theta) = \frac1n \sum_j (\theta - y_{ij})^2 . $$
#
# So $\theta$ is what in a network is the shared encoder: both tasks pull at it.

# %%
TRUE, SIGMA = 12.0, np.array([0.2, 1.0])  # cm


def readings(rng, n=20):
    """(2, n) readings in cm, a row for each device."""
    return TRUE + SIGMA[:, None] * rng.normal(size=(2, n))


y = readings(np.random.default_rng(4))
widths = np.linspace(10.8, 12.9, 200)
curves = ((widths[:, None, None] - y) ** 2).mean(axis=2)  # (200, 2): L_1 and L_2 at each width

figure, axes = plt.subplots(1, 2, figsize=(9, 2.8))
for i in range(2):
    axes[0].plot(y[i], np.full(20, i + 1), "o", color=COLOURS[i], alpha=0.5)
    axes[1].plot(widths, curves[:, i], color=COLOURS[i], label=f"$L_{i + 1}$")
axes[1].plot(widths, curves.sum(axis=1), color="black", label="$L_1 + L_2$")
axes[0].set(xlabel="reading in cm", ylabel="device", ylim=(0.5, 2.5), yticks=(1, 2))
axes[1].set(xlabel=r"$\theta$ in cm", ylabel="loss in cm$^2$")
axes[1].legend()
plt.show()

# %% [markdown]
# **Predict.** Where is the lowest point of $L_1 + L_2$: at the first device's mean, at the second's, half way? And of
# $100\, L_1 + L_2$?
#
# *your guess:*
#
# **Write** `joint_minimum`: the $\theta$ at which $w_1 L_1 + w_2 L_2$ is lowest. Set the derivative to zero and solve for $\theta$. (For
# any number of devices.)


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
# **Look.** Equal weights trust both devices alike, and end half way. That is not what you would do: the first device is
# better. With 100 for it, almost nothing is left of the second. The best weights are somewhere, and statistics knows where:
# $w_i \propto 1/\sigma_i^2$, here 25 to 1. But who tells us the $\sigma_i$?
#
# ## The network tells us
#
# If the errors are normal, a reading $y$ has the probability density $e^{-(\theta - y)^2 / 2\sigma_i^2} / (\sqrt{2\pi}\, \sigma_i)$. Take
# minus the logarithm, average over the readings and double it: apart from a constant that is
#
# $$ \frac{1}{\sigma_i^2}\, L_i + \log \sigma_i^2 . $$
#
# The $\theta$ that makes the readings most probable minimises the sum of this over the devices. Now the idea of Kendall, Gal and Cipolla (2018): the $\sigma_i$ are
# unknown as well, so learn them in the same way, as two more parameters. With $s_i = \log \sigma_i^2$, which may be any
# number, positive or negative,
#
# $$ L = \sum_i e^{-s_i} L_i + s_i , \qquad w_i = e^{-s_i} . $$
#
# **Predict.** What would the weights do without the second term, $+ s_i$?
#
# *your guess:*
#
# **Write** `uncertainty_gradient`: $\partial L / \partial s_i$ for each $i$.


# %%
def uncertainty_gradient(s, losses):
    """dL/ds (K,), from s (K,) and the L_i (K,)."""
    # BEGIN SOLUTION
    return 1 - np.exp(-s) * losses
    # END SOLUTION


# %%
check.uncertainty_gradient(uncertainty_gradient)

# %% [markdown]
# Without $+ s_i$ only the negative part of the gradient would be left: all $s_i$ would grow for ever, and $L$ become 0 because
# every weight does, with nothing learned. The second term makes it cost something to call a task noisy.
#
# **Predict.** Suppose $L_i$ stays what it is. Where is your gradient zero? What is $w_i$ there? A task has the loss 0.04,
# another 1: which weights will they get?
#
# *your guess:*
#
# Now both together: $\theta$ and the weights. Start with all $s_i = 0$. A step takes the weights of the moment, finds the
# $\theta$ that is best with them (your `joint_minimum`), takes the losses there (`losses_at`), and moves $s$ down its gradient:
# $s \leftarrow s - \eta\, \partial L / \partial s$.
#
# **Write** `learn_weights`. It puts the weights that each step used into `weights`.


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
for i in range(2):
    ax.semilogy(weights[:, i], color=COLOURS[i], label=f"$w_{i + 1}$")
    ax.axhline(1 / losses_at(theta, y)[i], color=COLOURS[i], linestyle=":")
ax.set(xlabel="step", ylabel="weight, in 1 / cm$^2$")
ax.legend()
plt.show()
print("weights", weights[-1].round(2), " 1 / sigma^2", 1 / SIGMA**2)

# %% [markdown]
# **Look.** Both weights end at their dotted lines, $1 / L_i$, and these are near $1 / \sigma_i^2$: 19.7 for 25, and 1.04 for 1. Closer it
# cannot come, as 20 readings say no more about $\sigma_i$. At first $\log w_1$ rises along a straight line: as long as $w_1 L_1$ is
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
plt.show()

# %% [markdown]
# **Look.** With equal weights the error has a deviation of 0.116 cm, with learned ones 0.044 cm, as good as if the
# $\sigma_i$ had been known. Equal weights would need seven times as many readings for that.
#
# The library's [Uncertainty](ums/finetuning/weighting.py:Uncertainty) is your gradient and an optimizer, Adam. It has a factor
# $c_i$ of $1/2$ for regressions besides, as Kendall et al. have.
#
# ## Chest films
#
# Two tasks on films of hospital C, children, half of them with a pneumonia: draw the lungs, and say whether there is a
# pneumonia. Their losses are [bce_dice](ums/ops/losses.py:bce_dice) and
# [categorical_cross_entropy](ums/ops/losses.py:categorical_cross_entropy) (lesson 6). The shared encoder comes from a denoising autoencoder
# (lesson 7), trained for seconds.

# %%
os.environ.setdefault("UMS_THREADS", "1")  # for networks this small one thread is fastest
rng = np.random.default_rng(9)
children = make_synthetic(270, 64, rng, "C", abnormal_fraction=0.5)
ill = (children.labels > 0).astype(int)  # (N,) 1 where there is a pneumonia
train, validation, test = np.split(np.arange(270), [128, 168])
chosen = np.r_[np.flatnonzero(ill == 0)[:3], np.flatnonzero(ill)[:3]]
image_row(children.images[chosen], ["normal"] * 3 + ["pneumonia"] * 3)

unlabelled = make_synthetic(150, 64, rng, "B").images
source = denoising_autoencoder(rng, width=1 / 8).to(device)
denoising = FitSettings(epochs=15, learning_rate=3e-3)
noisy = DenoisingExamples(unlabelled, np.arange(120), rng)
held_out = DenoisingExamples(unlabelled, np.arange(120, 150), rng, fixed=True)
train_denoising(source, noisy, held_out, Training(denoising, rng, device, progress=False))
encoder, decoder = source.layers


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
# Before anything is tuned, over the training films in eight batches: the losses, and the length of each loss's gradient on the
# parameters $\theta_S$ of the shared encoder, $\lVert \partial L_i / \partial \theta_S \rVert$, which
# [add_gradients](ums/finetuning/joint.py:add_gradients) and [norms_and_cosines](ums/finetuning/joint.py:norms_and_cosines) give.

# %%
shared, tasks = start(0)
seen = []
for chosen in np.split(np.arange(128), 8):
    pair = [map(device.put, task.train.batch(chosen)) for task in tasks]
    losses, gradients = add_gradients(shared, tasks, pair, [1.0, 1.0])
    seen.append([to_numpy(losses), to_numpy(norms_and_cosines(gradients)[0])])
for task, loss, length in zip(tasks, *np.mean(seen, axis=0), strict=True):
    print(f"{task.name:10} loss {loss:.2f}   length of its gradient {length:.4f}")

# %% [markdown]
# **Look.** The losses are not far apart, 0.7 and 1.1. Their gradients are: that of the pneumonia is some 300 times as long. (A factor of
# eight of it is the batch norm with which its head begins: try `batch_norm=False`.) One
# optimizer moves the encoder by the sum, and in this sum, with equal weights, the lungs hardly count.
#
# **Predict.** What weights will the uncertainty give to the two at the start? Will that change what the encoder does?
#
# *your guess:*
#
# ## Weights for gradients
#
# *GradNorm* (Chen et al., 2018) looks at the gradients instead. Let $G_i = \lVert w_i\, \partial L_i / \partial \theta_S \rVert$ be the length of what task $i$
# adds to the encoder's gradient. All $G_i$ shall be alike, except that a task that lags behind gets more. How far task $i$
# has come says $L_i / L_i(0)$, the share of its first loss that is left, and beside the others
#
# $$ r_i = \frac{L_i / L_i(0)}{\operatorname{mean}_j \left( L_j / L_j(0) \right)} , \qquad
# G_i^* = \operatorname{mean}_j (G_j) \; r_i^{\,\alpha} . $$
#
# $G_i^*$ is the length that task $i$ should have; $\alpha \ge 0$ is chosen by hand, with 0 all are to be alike. The weights minimise
# $\sum_i |G_i - G_i^*|$, where $G_i^*$ counts as a constant. To take the derivative with respect to $w_i$ you need one thing more: how does
# $G_i$ grow with $w_i$? Write $G_i$ as $w_i$ times something that does not depend on it.
#
# **Write** `gradnorm_gradient`. The derivative of $|x|$ is `np.sign(x)`.


# %%
def gradnorm_gradient(w, G, losses, first, alpha):
    """The gradient (K,) of sum_i |G_i - G_i*| on w; G, losses and the first losses are (K,) too."""
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
# together. The library's [GradNorm](ums/finetuning/weighting.py:GradNorm) does that, with Adam for the steps.
#
# ## Four ways to weigh
#
# Joint fine-tuning with [tune_jointly](ums/finetuning/joint.py:tune_jointly), 16 epochs, all weights 1; 100 and 1 by hand; by
# uncertainty; by GradNorm. Each twice, with different heads and order (half a minute).
#
# **Predict.** Which weights will rise, which fall? Which of the four will draw the best lungs? Which will pay for it with the
# pneumonia?
#
# *your guess:*

# %%
WEIGHTINGS = {
    "equal": Equal,
    "by hand": lambda: ByHand(100, 1),
    "uncertainty": lambda: Uncertainty(learning_rate=0.05),
    "GradNorm": lambda: GradNorm(alpha=0.5),
}
SETTINGS = FitSettings(epochs=16, patience=16, learning_rate=5e-3)


def tune(weighting, seed):
    """Each task's tuned network with its history, {task: Tuned}."""
    training = Training(SETTINGS, np.random.default_rng(seed), device, progress=False)
    return tune_jointly(*start(seed), training, weights=WEIGHTINGS[weighting]())


tuned = {(name, seed): tune(name, seed) for name in WEIGHTINGS for seed in (0, 1)}

# %%
epochs = range(1, 17)
figure, axes = plt.subplots(1, 2, figsize=(9, 3))
for task, result in tuned["uncertainty", 0].items():
    (line,) = axes[0].plot(epochs, result.history.weight, label=task)
    reached = 1 / np.array(result.history.train)
    axes[0].plot(epochs, reached, ":", color=line.get_color(), label=f"{task}, 1 / loss")
for name, colour in zip(WEIGHTINGS, COLOURS[4:], strict=False):
    lungs, pneumonia = (np.array(r.history.weight) for r in tuned[name, 0].values())
    axes[1].plot(epochs, lungs / pneumonia, color=colour, label=name)
axes[0].set(xlabel="epoch", ylabel="weight", title="uncertainty", yscale="log")
axes[1].set(xlabel="epoch", ylabel="weight of lungs / of pneumonia", title="all four", yscale="log")
axes[0].legend()
axes[1].set_ylim(0.3, 30000)
axes[1].legend(ncols=2, loc="upper right")
for ax in axes:
    ax.set_xticks((1, 4, 8, 12, 16))
plt.show()


# %%
def scores(networks):
    """On the test films: mean IoU of the lungs, accuracy of the pneumonia."""
    films = Examples(children.images, None, test)
    masks = predict(networks["lungs"].network, films, device)[..., 0] > 0
    labels = predict(networks["pneumonia"].network, films, device).argmax(axis=1)
    overlap = segmentation.iou(children.masks[test] > 0, masks).mean()
    return overlap, classification.accuracy(ill[test], labels, 2)


reached = {key: scores(networks) for key, networks in tuned.items()}
figure, axes = plt.subplots(1, 2, figsize=(9, 2.2), sharey=True)
for (name, seed), both in reached.items():
    for ax, score in zip(axes, both, strict=True):
        colour = COLOURS[4 + list(WEIGHTINGS).index(name)]
        ax.plot(score, name, "o" if seed == 0 else "s", color=colour)
axes[0].set(xlabel="lungs: IoU on the test films")
axes[1].set(xlabel="pneumonia: accuracy on the test films")
axes[0].invert_yaxis()
plt.show()
for (name, seed), both in reached.items():
    print("{:12} start {}   lungs {:.3f}   pneumonia {:.3f}".format(name, seed, *both))

# %% [markdown]
# **Look.** Left, the uncertainty: its weights follow $1 / L_i$ (dotted) at some distance. Both rise as the losses fall, that of the pneumonia
# faster, so that in the end the lungs have *less* weight than with equal ones (right). It looks at losses, and these were
# not far apart ($1/0.7 \approx 1.4$ and $1/1.1 \approx 0.9$ at the start); of the lengths of the gradients it knows nothing. GradNorm does: it
# overshoots, to some hundred times the weight for the lungs, and settles at 20 to 60 times.
#
# The scores (circle and square are the two starts; the IoU is the area that the drawn and the true lungs share, over the area that either covers). The lungs by hand reach about 0.83, with GradNorm 0.81 to 0.82, with equal weights
# 0.78 to 0.79, with uncertainty 0.74 to 0.80. In the pneumonia the starts of one weighting lie as far apart as the weightings: nobody paid
# visibly for better lungs. (Your figures will differ: another machine adds in another order, and training blows up the rounding. Two
# threads instead of one moved the lungs by up to 0.04 and the pneumonia by up to 0.06.)
#
# So what is best with the readings of one heart need not be best in a network. Uncertainty takes a high loss for noise, and chooses
# well where it is noise. And the simplest was the best here: look at the lengths once, and set a weight by hand. But this is one
# data set with two starts; another pair of tasks may turn it round.
#
# ## Think
#
# 1. Multiply $L_1$ by 100 (millimetres for centimetres). What becomes of $s_1$, of $w_1$, of $w_1 L_1$ and of $\theta$ with
#    learned weights? And with equal ones?
# 2. A cross-entropy can become as small as it likes, once all training films are right. What does $w_i = 1/L_i$ do then, and
#    which task gets the attention: the one that is finished or the one that is not? What does GradNorm do with $\alpha > 0$?
# 3. Give a task labels drawn by lot. What do uncertainty and GradNorm make of it?
# 4. Which epoch's networks are kept at the end is decided by [relative_loss](ums/finetuning/loop.py:relative_loss), in which no weight
#    occurs. Why not by the weighted sum that is being minimised?

# %% [markdown] tags=["solution"]
# **Answers.**
#
# 1. $s_1$ grows by $\log 100$, $w_1$ becomes a hundredth, $w_1 L_1$ stays 1 at the optimum, and $\theta$ stays where it was: the unit drops out. With equal
#    weights $\theta$ moves almost to the first device's mean.
# 2. $w_i$ grows without bound, so the finished task gets ever more weight, and what is left of its gradient, often the noise of a few films, is
#    blown up. GradNorm gives the lagging task more, because its $r_i$ is above 1.
# 3. Its loss stays near $\log 2$ (two classes), until the network knows the training films by heart. Until then uncertainty takes the task for noisy and gives it little weight, which is right. GradNorm takes it
#    for a task that lags behind and gives it more, which is wrong. No rule that sees only losses and gradients can tell *hard* from *hopeless*.
# 4. The weights change as training goes on, so the sum of one epoch cannot be compared with that of another: it can fall because a
#    weight fell. With the terms $s_i$ it can even become negative.
