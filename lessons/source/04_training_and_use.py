# %% [markdown]
# # 4 Why do training and inference differ?
#
# If you ask a network twice about the same film, you expect the same answer. In training you do not get it: the answer depends on the
# other films in the batch. The cause is *batch normalisation*, which makes it possible to train deep networks. It is also behind one of the commonest silent
# bugs of transfer learning: a "frozen" encoder that keeps changing. In this lesson you see both.
#
# You write three functions: `batchnorm_forward`, `batchnorm_backward` and `moved`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_04 as check
from lessons.graphs import BATCH_NORM, BATCH_NORM_ARROWS, draw_graph
from lessons.own import keep
from lessons.pictures import COLOURS, show, use_style
from ums.data import normalise
from ums.layers import Dense, GlobalAveragePool, Sequential
from ums.networks import copy_network, cxr_encoder
from ums.ops import categorical_cross_entropy, softmax_forward
from ums.optimizers import Adam
from ums.training import train_step

use_style()

# %% [markdown]
# ## What becomes of a number in twenty layers
#
# Numbers of about size 1 go into a chain of twenty dense layers of 64 channels, each followed by a ReLU, $\max(x, 0)$. The
# weights are drawn as [he_normal](ums/layer.py:he_normal) draws them, with which a layer keeps the size of its numbers on average. Then they are multiplied by a
# factor: 0.5, 1 or 2.
#
# **Predict.** How large are the numbers, the *activations*, after twenty layers, with the factor 0.5? With 2?
#
# *your guess:*


# %%
def sizes_by_depth(factor, normalised, depth=20):
    """The root mean square of the activations after 0, 1, ..., depth layers."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, 64))
    sizes = [np.sqrt((x**2).mean())]
    for _ in range(depth):
        x = x @ (factor * rng.normal(0, np.sqrt(2 / 64), (64, 64)))
        if normalised:
            x = (x - x.mean(axis=0)) / x.std(axis=0)
        x = np.maximum(x, 0)
        sizes.append(np.sqrt((x**2).mean()))
    return sizes


figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), sharey=True)
for ax, normalised in zip(axes, (False, True), strict=True):
    for k, factor in enumerate((0.5, 1, 2)):
        line = ("-", "--", ":")[k]
        sizes = sizes_by_depth(factor, normalised)
        ax.semilogy(sizes, line, marker="os^"[k], markevery=5, label=f"weights x {factor}")
    ax.set(xlabel="layer", xticks=range(0, 21, 5))
axes[0].set(title="without batch norm", ylabel="size of the activations")
axes[1].set_title("with batch norm")
axes[0].legend()
show(
    "Size of the activations by layer. Without batch norm it falls to a millionth with factor 0.5 and "
    "rises to a million with factor 2; with batch norm the three lines lie on one another."
)

# %% [markdown]
# **Look.** Every layer multiplies by the factor once more: $2^{20}$ is about a million, and $0.5^{20}$ about a millionth. The same happens to the gradients on the way back.
# Only a factor close to 1 works, and training moves the weights away from it. On the right, each channel is brought to mean 0 and standard deviation 1 over the
# batch before every ReLU, and the three lines lie on one another: the size of the weights no longer matters.
#
# ## Normalise, then learn by how much
#
# After a convolution the activations have the shape `(N, H, W, C)`. Batch norm (Ioffe and Szegedy, 2015) treats each channel by itself.
# A channel consists of $M = N H W$ numbers. With their mean $\mu$ and their variance $\sigma^2$ (divided by $M$),
#
# $$ \hat x = (x - \mu)\,\texttt{rstd}, \qquad \texttt{rstd} = \frac{1}{\sqrt{\sigma^2 + \varepsilon}}, \qquad y = \gamma\, \hat x + \beta . $$
#
# $\gamma$ and $\beta$, of shape `(C,)`, are learned, because mean 0 and standard deviation 1 need not be the best choice. $\varepsilon$ is small, and prevents
# a division by 0 if a channel is constant.
#
# **At inference**, when the trained network is asked, there may be no batch: patients come one at a time. So in training the layer also keeps *running* statistics, $m$ and $v$. At every step they move
# a little towards the statistics of the batch,
#
# $$ m \leftarrow m + (1 - \texttt{momentum})\,(\mu - m), \qquad v \leftarrow v + (1 - \texttt{momentum})\,(\sigma^2 - v) , $$
#
# and at inference $m$ and $v$ take the place of $\mu$ and $\sigma^2$. They are not parameters: they are moved by forward passes, not by gradients.
#
# **Write** `batchnorm_forward`. The running statistics belong to the layer. Change them *in place* (with `+=` or `[...] =`), so that the layer sees the change. The other arguments
# must stay as they are.


# %%
def batchnorm_forward(x, gamma, beta, running_mean, running_var, training, momentum=0.9, eps=1e-5):
    """y, of the shape of x (..., C), and the cache; the four others are (C,) each.

    In training the batch's statistics are used, and the running ones moved in place; at inference the
    running ones are used and stay as they are.
    """
    axes = tuple(range(x.ndim - 1))  # all but the channels: x.mean(axes) is (C,)
    # BEGIN SOLUTION
    if training:
        mean, var = x.mean(axes), x.var(axes)
        running_mean += (1 - momentum) * (mean - running_mean)
        running_var += (1 - momentum) * (var - running_var)
    else:
        mean, var = running_mean, running_var
    rstd = 1 / np.sqrt(var + eps)
    xhat = (x - mean) * rstd
    y = gamma * xhat + beta
    # END SOLUTION
    return y, (xhat, rstd, gamma, training)


# %%
check.batchnorm_forward(batchnorm_forward)

# %% [markdown]
# **Predict.** A channel has the mean 3. Its running mean starts at 0, and `momentum` is 0.9. After how many steps is it within 1 % of 3?
# After how many with 0.99? And how do the running statistics behave if the batches are small?
#
# *your guess:*


# %%
def follow(momentum):
    """The mean of each of 300 batches of 16 values, and the running mean after each."""
    rng = np.random.default_rng(0)
    m, v = np.zeros(1), np.ones(1)
    means, running = [], [0.0]
    for _ in range(300):
        x = rng.normal(3, 2, (16, 1))  # 16 values of one channel
        batchnorm_forward(x, np.ones(1), np.zeros(1), m, v, True, momentum)
        means.append(x.mean())
        running.append(m[0])
    return means, running


figure, ax = plt.subplots(figsize=(6.5, 2.8))
ax.plot(follow(0.9)[0], ".", color="lightgray", label="mean of each batch of 16")
ax.plot(follow(0.9)[1], "-", color=COLOURS[0], label="running, momentum 0.9")
ax.plot(follow(0.99)[1], "--", color=COLOURS[1], label="running, momentum 0.99")
ax.axhline(3, color="black", linestyle=":", linewidth=0.8)
ax.set(xlabel="step", ylabel="mean of the channel")
ax.legend()
show(
    "The running mean over 300 steps. With momentum 0.9 it reaches 3 after some 40 steps and then "
    "wavers; with 0.99 it rises smoothly and is still a little below 3 at the end."
)

# %% [markdown]
# **Look.** After $k$ steps the share $\texttt{momentum}^k$ of the start is left. With 0.9 that is 1 % after 44 steps, with 0.99 after 459, which is beyond
# the end of the picture. With a small momentum the running mean follows the noise of the batches instead, and the smaller the batches, the more noise there is. If a network is used before its running
# statistics have arrived, its answers are wrong, however good its weights are. (In Keras and ums, *momentum* is the share that is kept; in PyTorch it is the share that is replaced.)
#
# ## The same film, twice
#
# A small network learns to tell adults (hospital A) from children (hospital C), on synthetic films of 64 x 64 pixels. It is the paper's X-ray
# encoder, [cxr_encoder](ums/networks.py:cxr_encoder), at an eighth of its width, with a batch norm after each of its four convolutions. After it come the mean over the
# image and a dense layer with one output for each class. The network learns in steps of 16 films, a *batch*; ten passes through all films are ten *epochs*. One step is
# [train_step](ums/training.py:train_step): forward, loss (cross-entropy, lesson 6), backward, and *Adam*, a gradient descent that divides each weight's
# step by the usual size of its gradient.

# %%
rng = np.random.default_rng(0)
adults = normalise(make_synthetic(200, 64, rng, "A").images)
children = normalise(make_synthetic(200, 64, rng, "C").images)
films = np.concatenate([adults[:120], children[:120]])  # (240, 64, 64, 1) to learn from
labels = np.repeat([0, 1], 120)
tests = np.concatenate([adults[120:], children[120:]])  # (160, 64, 64, 1)
test_labels = np.repeat([0, 1], 80)

rng = np.random.default_rng(1)
encoder = cxr_encoder(rng, width=1 / 8)
network = Sequential(encoder, GlobalAveragePool(), Dense(32, 2, rng))
optimizer = Adam(network.parameters(), 3e-3)
for _ in range(10):
    for rows in rng.permutation(240).reshape(-1, 16):
        train_step(network, categorical_cross_entropy, optimizer, films[rows], labels[rows])


def accuracy(network):
    """The share of the test films whose class is right, at inference."""
    return (network.forward(tests).argmax(axis=1) == test_labels).mean()


print(f"accuracy on {len(tests)} other films: {accuracy(network):.2f}")

# %% [markdown]
# Now take one film about which the network is not quite sure. It is shown to the network in 40 batches, each with 15 other films drawn at random. Each time the network is asked how likely it is
# that this film shows a child ([softmax](ums/ops/activations.py:softmax_forward) of its two outputs). No weight changes in between.
#
# **Predict.** Draw both: the 40 answers with `training=False`, and those with `training=True`.
#
# *your guess:*


# %%
def answer(film, others, training):
    """How likely the film (64, 64, 1) shows a child, by a copy of the network, in a batch with others."""
    batch = np.concatenate([film[None], others])
    logits = copy_network(network).forward(batch, training=training)
    return softmax_forward(logits)[0][0, 1]


likely = softmax_forward(network.forward(tests))[0][:, 1]
film = tests[abs(likely - 0.7).argmin()]
at_inference, in_training = [], []
for k in range(40):
    others = tests[np.random.default_rng(k).choice(160, 15, replace=False)]
    at_inference.append(answer(film, others, training=False))
    in_training.append(answer(film, others, training=True))

figure, ax = plt.subplots(figsize=(6.5, 2.4))
ax.plot(at_inference, "o", color=COLOURS[0], label="at inference")
ax.plot(in_training, "s", color=COLOURS[1], label="as in training")
ax.set(xlabel="batch", ylabel="probability of a child", ylim=(-0.05, 1.05))
ax.legend()
show(
    "The network's answer about one film in 40 batches. At inference all 40 points lie on one line, near "
    "0.7; as in training they are scattered, some of them below 0.5."
)

# %% [markdown]
# **Look.** At inference there is only one answer. In training the answer depends on the rest of the batch: in most batches the network takes this film for a child's with more certainty than at inference, but in
# some it takes it for an adult's. During training a film is in a different batch in every epoch, and that
# averages out. For a patient who comes once, it does not.
#
# ## The way back, in both modes
#
# Call the gradient that arrives $\texttt{dy}$; it has the shape of $y$. For $\gamma$ and $\beta$ the two modes agree. Each of them appears in all $M$ entries of its
# channel, so $\texttt{dgamma} = \sum \texttt{dy}\, \hat x$ and $\texttt{dbeta} = \sum \texttt{dy}$.
#
# **At inference** $m$ and $v$ are constants, and $y$ is a multiple of $x$ plus a constant. What is $\texttt{dx}$?
#
# **In training** an entry $x_j$ reaches the loss in three ways: directly, through $\mu$, and through $\sigma^2$. The next cell draws the steps of the forward pass, for
# one channel of $M = 4$ numbers. Below each formula are its values, and in colour the gradient of the loss with respect to them, if only the first $y$ matters:
# $\texttt{dy} = (1, 0, 0, 0)$.

# %%
draw_graph(BATCH_NORM, BATCH_NORM_ARROWS)
show(
    "The computation graph of batch norm with gamma = 2, beta = 0 and eps = 0, from x to y. Values: x = "
    "1, 1, 5, 5; mean 3; c = -2, -2, 2, 2; variance 4; rstd 0.5; xhat = -1, -1, 1, 1; y = -2, -2, 2, 2. "
    "Gradients: dy = 1, 0, 0, 0; dxhat = 2, 0, 0, 0; drstd = -4; dvariance = 0.25; dc = 0.75, -0.25, "
    "0.25, 0.25; dmean = -1; dx = 0.5, -0.5, 0, 0."
)

# %% [markdown]
# Go through the graph from right to left, with a pencil, and find out how each coloured number comes about. Two rules suffice. Along an arrow, a gradient is multiplied by the derivative of the
# step (and added up over all entries that the step's input has influenced). Where several arrows *leave* a box, what comes back along them is added.
#
# The steps, and the derivatives that they need:
#
# | step | goes into | derivative |
# |---|---|---|
# | $\hat x$ | $y_i = \gamma\, \hat x_i + \beta$ | $\partial y_i / \partial \hat x_i = \gamma$ |
# | $\texttt{rstd}$ | $\hat x_i = c_i\, \texttt{rstd}$, for every $i$ | $\partial \hat x_i / \partial\, \texttt{rstd} = c_i$ |
# | $\sigma^2$ | $\texttt{rstd} = (\sigma^2 + \varepsilon)^{-1/2}$ | $\partial\, \texttt{rstd} / \partial \sigma^2 = -\tfrac12\, \texttt{rstd}^3$ |
# | $c$ | $\hat x_i = c_i\, \texttt{rstd}$ and $\sigma^2 = \tfrac1M \sum_i c_i^2$ | $\partial \hat x_i / \partial c_i = \texttt{rstd}$ and $\partial \sigma^2 / \partial c_i = 2 c_i / M$ |
# | $\mu$ | $c_i = x_i - \mu$, for every $i$ | $\partial c_i / \partial \mu = -1$ |
# | $x$ | $c_i = x_i - \mu$ and $\mu = \tfrac1M \sum_i x_i$ | $\partial c_i / \partial x_i = 1$ and $\partial \mu / \partial x_i = 1 / M$ |
#
# **Predict.** If the same number is added to all $x$ of a channel, how does $y$ change in training? What does that say about the sum of
# $\texttt{dx}$ over the channel? (Look at the box of $x$.) And what is $\texttt{dx}$ if $\texttt{dy}$ is 1 everywhere?
#
# *your guess:*
#
# You may write down the steps one after the other, from right to left; each is one line of NumPy. Or you may first simplify the result on paper to a single line. The hints lead to
# that line; open as many as you need.
#
# <details><summary><b>Hint 1: the beginning, in the worked example</b></summary>
#
# $\texttt{dxhat} = \gamma\,\texttt{dy} = (2, 0, 0, 0)$. Every $\hat x_i$ contains $\texttt{rstd}$, so $\texttt{drstd} = \sum_i \texttt{dxhat}_i\, c_i = 2 \cdot (-2) = -4$. And
# $\sigma^2$ goes into $\texttt{rstd}$ alone: its gradient is $-4 \cdot (-\tfrac12) \cdot 0.5^3 = 0.25$.
# </details>
#
# <details><summary><b>Hint 2: the two arrows that leave c, and the two that leave x</b></summary>
#
# $\texttt{dc}_i$ is a sum of two terms: $\texttt{dxhat}_i\, \texttt{rstd}$, and the gradient of $\sigma^2$ times $2 c_i / M$. For the first entry $2 \cdot 0.5 + 0.25 \cdot 2 \cdot (-2) / 4 = 0.75$.
# Then the gradient of $\mu$ is $-\sum_i \texttt{dc}_i = -1$, and $\texttt{dx}_i = \texttt{dc}_i + (-1) / M$.
# </details>
#
# <details><summary><b>Hint 3: simplify the gradient of the variance</b></summary>
#
# Use $c_i\, \texttt{rstd} = \hat x_i$ wherever $c$ and $\texttt{rstd}$ meet. Then the term that comes through $\sigma^2$ is
# $-\,\texttt{rstd}\; \hat x_j \cdot \tfrac1M \sum_i \texttt{dxhat}_i\, \hat x_i$: a mean over the channel, times $\hat x_j$.
# </details>
#
# <details><summary><b>Hint 4: simplify the gradient of the mean</b></summary>
#
# In the sum $\sum_i \texttt{dc}_i$ the terms that came through $\sigma^2$ cancel, because $\sum_i c_i = 0$. What is left is $\texttt{rstd} \sum_i \texttt{dxhat}_i$, and $\mu$ passes on
# its negative, divided by $M$: again a mean over the channel.
# </details>
#
# <details><summary><b>Hint 5: all together</b></summary>
#
# $\texttt{dx}$ is $\gamma\,\texttt{rstd}$ times a bracket of three terms: $\texttt{dy}$ itself, minus the mean of $\texttt{dy}$, minus $\hat x$ times the mean of $\texttt{dy}\,\hat x$. In the
# worked example: $2 \cdot 0.5 \cdot \left( (1, 0, 0, 0) - 0.25 - (-1, -1, 1, 1) \cdot (-0.25) \right) = (0.5, -0.5, 0, 0)$.
# </details>
#
# **Write** `batchnorm_backward`.


# %%
def batchnorm_backward(dy, cache):
    """dx (..., C), dgamma (C,) and dbeta (C,) from dy (..., C), of the mode of the forward pass."""
    xhat, rstd, gamma, training = cache
    axes = tuple(range(dy.ndim - 1))
    # BEGIN SOLUTION
    dgamma, dbeta = (dy * xhat).sum(axes), dy.sum(axes)
    if training:
        dx = gamma * rstd * (dy - dy.mean(axes) - xhat * (dy * xhat).mean(axes))
    else:
        dx = gamma * rstd * dy
    # END SOLUTION
    return dx, dgamma, dbeta


# %%
check.batchnorm_backward(batchnorm_backward)

# %% [markdown]
# **Keep.** Once the checks pass, this cell writes your two functions to the folder `own/`. In the folder above this one, the command
# `python -m lessons study` then runs a small X-ray study with them in place of the library's, and its page says so.

# %%
keep(batchnorm_forward, batchnorm_backward)

# %% [markdown]
# Your function on the numbers of the graph (there $\varepsilon$ was 0):

# %%
x = np.array([[1.0], [1.0], [5.0], [5.0]])
y, cache = batchnorm_forward(
    x, np.full(1, 2.0), np.zeros(1), np.zeros(1), np.ones(1), True, eps=0.0
)
dy = np.array([[1.0], [0.0], [0.0], [0.0]])
dx, dgamma, dbeta = batchnorm_backward(dy, cache)
print("dx:", dx[:, 0], "  dgamma:", dgamma, "  dbeta:", dbeta)

# %% [markdown]
# **Four mutants.** `check.mutants()` returns four wrong backward passes for training: one returns zeros for $\texttt{dx}$, one forgets that $\mu$
# depends on $x$, one forgets that $\sigma^2$ does, and one forgets $\gamma$. Three checks are to find them. All of them compare with central differences. The
# first uses `dy` of all ones, the second a random `dy` and $\gamma = 1$, as in a fresh layer, the third a random `dy` and a random $\gamma$.
#
# **Predict.** Which check accepts which mutant?
#
# *your guess:*


# %%
def slope_check(backward, dy, gamma, rng):
    """Whether dx is the slope of sum(dy * y) in the direction of five random arrays, in training."""
    x = rng.normal(size=dy.shape)

    def run(x):
        return batchnorm_forward(x, gamma, np.zeros(3), np.zeros(3), np.ones(3), True)

    dx = backward(dy, run(x)[1])[0]
    for direction in rng.normal(size=(5, *x.shape)):
        above = run(x + 1e-5 * direction)[0]
        below = run(x - 1e-5 * direction)[0]
        slope = (dy * (above - below)).sum() / 2e-5
        if abs(slope - (dx * direction).sum()) > 1e-5:
            return "rejected"
    return "ACCEPTED"


rng = np.random.default_rng(0)
shape = (4, 2, 3, 3)
checks = {
    "dy = 1": (np.ones(shape), rng.normal(size=3)),
    "gamma = 1": (rng.normal(size=shape), np.ones(3)),
    "all random": (rng.normal(size=shape), rng.normal(size=3)),
}
passes = check.mutants()
passes["yours"] = batchnorm_backward
print(" " * 20, *[f"{name:>12}" for name in checks])
for name, backward in passes.items():
    verdicts = [slope_check(backward, dy, gamma, rng) for dy, gamma in checks.values()]
    print(f"{name:20}", *[f"{verdict:>12}" for verdict in verdicts])

# %% [markdown]
# **Look.** With `dy` of all ones the loss is $\sum y$, which the normalisation fixes at $M \beta$. The right $\texttt{dx}$ is 0, and so is that of three mutants. With $\gamma = 1$
# nobody notices that $\gamma$ is missing. That is why [check_gradients](ums/gradcheck.py:check_gradients) draws `dy` at random, and asks for random values of every parameter.
#
# The library has the same formulas in [batchnorm_backward_plain](ums/ops/norm.py:batchnorm_backward_plain), and a faster version of them in
# [batchnorm_backward](ums/ops/fast/norm.py:batchnorm_backward).
#
# ## Frozen is not inference
#
# The paper's independent strategy (section 2.3) tunes *heads*, small networks for one task each, on a shared encoder that is *frozen*: it must not learn, so that every head keeps the encoder it was
# trained with. There is an easy way to get this wrong: the encoder's parameters are not given to the optimizer, so they do not move. But the heads are trained with
# `training=True`, and the batch norms of the encoder are part of the same network.
#
# **Predict.** The encoder from above is lent to the children's hospital, for another task. 60 batches of children's films pass through it with `training=True`, and no
# optimizer touches it. How well does it tell adults from children afterwards?
#
# *your guess:*
#
# First we need a detector. **Write** `moved`. It sends $x$ through the network as in training and returns the names of the statistics that this has moved.
# `network.statistics()` returns `{name: array}`, the layer's own arrays, which the forward pass changes in place. An array has moved if any of its numbers differs, however little. And a detector must not change what it
# looks at, so put everything back.


# %%
def moved(network, x):
    """The set of names of statistics that network.forward(x, training=True) moves; puts them back."""
    # BEGIN SOLUTION
    before = {name: array.copy() for name, array in network.statistics().items()}
    network.forward(x, training=True)
    names = set()
    for name, array in network.statistics().items():
        if (array != before[name]).any():
            names.add(name)
        array[...] = before[name]
    return names
    # END SOLUTION


# %%
check.moved(moved)

# %% [markdown]
# Here are three ways to leave an encoder alone. The first only keeps it from the optimizer. The second freezes its convolutions, which hold most of the weights. The third freezes
# the whole encoder with `freeze()`:

# %%
careless = copy_network(network)
half = copy_network(network)
for layer in half.layers[0].layers[::3]:  # convolution, batch norm, ReLU, convolution, ...
    layer.freeze()
frozen = copy_network(network)
frozen.layers[0].freeze()
ways = {"kept from the optimizer": careless, "convolutions frozen": half, "frozen": frozen}
for name, lent in ways.items():
    print(f"{name:24} moves {len(moved(lent.layers[0], children[:16]))} of 8 statistics")

# %% [markdown]
# And now the loan. At each step we record the running means of six channels, and the accuracy on the old task:


# %%
def lend(lent):
    """Running means of the last batch norm, and the accuracy, before each of 60 batches."""
    rng = np.random.default_rng(2)
    means, accuracies = [], []
    for _ in range(60):
        means.append(lent.layers[0].statistics()["10.running_mean"][:6].copy())
        accuracies.append(accuracy(lent))
        lent.layers[0].forward(children[rng.choice(120, 16)], training=True)
    return means, accuracies


figure, axes = plt.subplots(1, 2, figsize=(8.5, 2.8))
for k, (name, lent) in enumerate({"kept from the optimizer": careless, "frozen": frozen}.items()):
    means, accuracies = lend(lent)
    line = ("-", "--")[k]
    axes[0].plot(means, line, color=COLOURS[k], linewidth=1)
    axes[1].plot(accuracies, line, color=COLOURS[k], label=name)
    right = lent.forward(tests).argmax(axis=1) == test_labels
    print(
        f"{name:24} afterwards right: adults {right[:80].mean():.2f}, children {right[80:].mean():.2f}"
    )
axes[0].set(xlabel="batches of children's films", ylabel="running means, last batch norm")
axes[1].set(xlabel="batches of children's films", ylabel="accuracy, old task", ylim=(0.45, 1))
axes[1].legend()
show(
    "Left, six running means: those of the encoder kept from the optimizer drift, those of the frozen one "
    "are level. Right, the accuracy: the first falls within twenty batches, the frozen one stays."
)

# %% [markdown]
# **Look.** Not a single weight of the encoder has changed, and yet it has lost part of what it knew. Its running means (solid lines) have moved to those of children's films. A child is now the average
# for every batch norm, so less about children stands out. It takes half of them for adults, with the same weights that got four out of five right. Most of
# the damage is done within twenty batches, and no loss shows it. The frozen encoder (broken lines) has not moved at all.
#
# So "frozen" and "training" are two separate switches. In ums, [BatchNorm](ums/layers.py:BatchNorm) uses the statistics of the batch only in
# training *and* if it is not frozen, and [freeze](ums/layer.py:Layer.freeze) reaches all layers of a network. Dropout, in lesson 5, is the other layer that behaves differently in training and
# at inference.
#
# ## Think
#
# **Question 1.** A batch norm directly follows each convolution of [cxr_encoder](ums/networks.py:cxr_encoder). What effect does the bias of the convolution have in training? What is its gradient?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 1 (3 points).** None: it adds the same number to a whole channel, and the batch norm subtracts it again with the mean (1). So its gradient is 0, up to rounding: it is the sum of $\texttt{dx}$ over the
# channel, as in the prediction above (1). At inference the running mean contains the bias, and it cancels there as well (1).

# %% [markdown]
# **Question 2.** Why does `batchnorm_backward` need a formula for *inference* at all? Who goes back through a network that is not learning?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 2 (3 points).** Layers below a frozen one that do learn need its gradient (1), and so does the question of which pixels an answer depends on (lesson 12) (1). The gradient of a frozen batch norm is the one for inference,
# even while the head above it is being trained (1).

# %% [markdown]
# **Question 3.** A training batch of a single film is fine after a convolution, and an error after the mean over the image (`(N, C)` with $N = 1$). Why? (Look into
# [batchnorm_forward](ums/ops/norm.py:batchnorm_forward).)
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 3 (2 points).** After a convolution a channel of one film has $H W$ values (1). After pooling it has only one, which is its own mean: $\hat x$ is 0 whatever the film shows, and the variance is 0 (1).

# %% [markdown]
# **Question 4.** You are given a network that scores 0.93 in training and 0.55 at inference. What do you look at first, second and third?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 4 (3 points).** First, the statistics: have they arrived (few steps, large momentum), were they saved and loaded with the weights, have they drifted (1)? Second, are films at inference
# normalised in the same way as in training (lesson 1) (1)? Third, the training score: was it measured on films that the network has learned from (1)?
