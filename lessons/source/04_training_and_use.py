# %% [markdown]
# # 4 Why do training and use differ?
#
# Ask a network twice about the same film and you expect the same answer. In training you do not get it: the answer depends on the
# other films of the batch. The cause is *batch normalisation*, and it makes deep networks trainable. It is also behind one of the commonest silent
# bugs of transfer learning, a "frozen" encoder that goes on changing. You will see both.
#
# You write three functions: `batchnorm_forward`, `batchnorm_backward` and `moved`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_04 as check
from lessons.pictures import COLOURS, use_style
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
# Numbers of size 1 go into a chain of twenty dense layers of 64 channels, each followed by a ReLU, $\max(x, 0)$. The
# weights are drawn as [he_normal](ums/layer.py:he_normal) draws them, so that a layer keeps the size of its numbers on average, times a
# factor: 0.5, 1 or 2.
#
# **Predict.** How large are the numbers after twenty layers, with the factor 0.5? With 2?
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
    for factor in (0.5, 1, 2):
        ax.semilogy(sizes_by_depth(factor, normalised), label=f"weights x {factor}")
    ax.set(
        xlabel="layer", xticks=range(0, 21, 5), title="with batch norm" if normalised else "without"
    )
axes[0].set_ylabel("size of the activations")
axes[0].legend()
plt.show()

# %% [markdown]
# **Look.** The factor is multiplied in at every layer: $2^{20}$ is about a million, $0.5^{20}$ a millionth. The gradients on the way back fare the same.
# Only a factor near 1 is of use, and training moves the weights. On the right, each channel is brought to mean 0 and deviation 1 over the
# batch after every layer, and the three lines lie on one another: the size of the weights no longer matters.
#
# ## Normalise, then learn how much to
#
# After a convolution the activations have the shape `(N, H, W, C)`. Batch norm (Ioffe and Szegedy, 2015) treats each channel by itself.
# $M = N H W$ numbers are in a channel. With their mean $\mu$ and their variance $\sigma^2$ (divided by $M$),
#
# $$ \hat x = (x - \mu)\,\texttt{rstd}, \qquad \texttt{rstd} = \frac{1}{\sqrt{\sigma^2 + \varepsilon}}, \qquad y = \gamma\, \hat x + \beta . $$
#
# $\gamma$ and $\beta$, of shape `(C,)`, are learned: after all, mean 0 and deviation 1 need not be best. $\varepsilon$ is small and keeps a constant channel
# from a division by 0.
#
# **At inference** there may be no batch: one patient comes. So in training the layer also keeps *running* statistics, $m$ and $v$, and moves
# them at every step a little towards the batch's,
#
# $$ m \leftarrow m + (1 - \texttt{momentum})\,(\mu - m), \qquad v \leftarrow v + (1 - \texttt{momentum})\,(\sigma^2 - v) , $$
#
# and at inference $m$ and $v$ stand in the place of $\mu$ and $\sigma^2$. They are no parameters: no gradient moves them, a forward pass does.
#
# **Write** `batchnorm_forward`. The running statistics belong to the layer: change them *in place* (`+=`, or `[...] =`), so that the caller sees it.


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
# **Predict.** A channel has the mean 3. Its running mean starts at 0, with `momentum` 0.9. After how many steps is it within 1 % of 3?
# With 0.99? And what do the running statistics do if the batches are small?
#
# *your guess:*

# %%
figure, ax = plt.subplots(figsize=(6.5, 2.8))
for k, momentum in enumerate((0.9, 0.99)):
    rng, m, v = np.random.default_rng(0), np.zeros(1), np.ones(1)
    means, running = [], [0.0]
    for _ in range(300):
        x = rng.normal(3, 2, (16, 1))  # 16 values of one channel
        batchnorm_forward(x, np.ones(1), np.zeros(1), m, v, True, momentum)
        means.append(x.mean())
        running.append(m[0])
    if not k:
        ax.plot(means, ".", color="lightgray", label="of each batch of 16")
    ax.plot(running, color=COLOURS[k], label=f"running, momentum {momentum}")
ax.axhline(3, color="black", linestyle="--", linewidth=0.8)
ax.set(xlabel="step", ylabel="mean of the channel")
ax.legend()
plt.show()

# %% [markdown]
# **Look.** The part of the start that is left after $k$ steps is $\texttt{momentum}^k$: with 0.9 it is 1 % after 44 steps, with 0.99 after 459, beyond
# the end of the picture. A small momentum follows the batches' noise instead, which is the larger, the smaller the batches. A network that is used before its running
# statistics have arrived is wrong, whatever its weights. (Keras and ums call *momentum* what is kept, PyTorch what is replaced.)
#
# ## The same film, twice
#
# A small network learns to tell adults (hospital A) from children (C), on synthetic films of 64 x 64 pixels. It is the paper's X-ray
# encoder, [cxr_encoder](ums/networks.py:cxr_encoder), at an eighth of its width, with a batch norm after each of its four convolutions; after it the mean over the
# image, and a dense layer with an output for each class. It learns in steps of 16 films, a *batch*; ten times through all films are ten *epochs*. A step is
# [train_step](ums/training.py:train_step): forward, loss (cross-entropy, lesson 6), backward, and *Adam*, a gradient descent that scales every weight's
# step by the usual size of its gradient.

# %%
rng = np.random.default_rng(0)
adults, children = (normalise(make_synthetic(200, 64, rng, h).images) for h in "AC")
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
    """Share of the test films whose class is right, at inference."""
    return (network.forward(tests).argmax(axis=1) == test_labels).mean()


print(f"accuracy on {len(tests)} other films: {accuracy(network):.2f}")

# %% [markdown]
# Now one film, of which the network is not quite sure, in 40 batches with 15 other films each, drawn at random. The network is asked how likely it is
# that this is a child's ([softmax](ums/ops/activations.py:softmax_forward) of its two outputs). Not a weight changes in between.
#
# **Predict.** Draw both: what comes out with `training=False`, what with `training=True`?
#
# *your guess:*


# %%
def answer(film, others, training):
    """How likely the film (64, 64, 1) is a child's, by a copy, in a batch with others."""
    batch = np.concatenate([film[None], others])
    logits = copy_network(network).forward(batch, training=training)
    return softmax_forward(logits)[0][0, 1]


sure = softmax_forward(network.forward(tests))[0][:, 1]
film = tests[abs(sure - 0.7).argmin()]
companies = [tests[np.random.default_rng(k).choice(160, 15, replace=False)] for k in range(40)]
figure, ax = plt.subplots(figsize=(6.5, 2.4))
for k, training in enumerate((False, True)):
    likely = [answer(film, others, training) for others in companies]
    ax.plot(likely, "o", color=COLOURS[k], label="as in training" if training else "at inference")
ax.set(xlabel="batch", ylabel="child, says the network", ylim=(-0.05, 1.05))
ax.legend()
plt.show()

# %% [markdown]
# **Look.** At inference there is one answer. In training the company decides: on the whole this film passes for a child's more surely than at inference, but among some
# neighbours it passes for an adult's. In training a film meets new company in every epoch, and that
# averages out. To a patient who comes once it does not.
#
# ## The way back, in both modes
#
# Call the gradient that arrives $\texttt{dy}$, of the shape of $y$. For $\gamma$ and $\beta$ it is easy in both modes: each stands in all $M$ entries of its
# channel, $\texttt{dgamma} = \sum \texttt{dy}\, \hat x$ and $\texttt{dbeta} = \sum \texttt{dy}$.
#
# **At inference**, $m$ and $v$ are constants: $y$ is a multiple of $x$ plus a constant. What is $\texttt{dx}$?
#
# **In training** $x_j$ has three ways to reach the loss: directly, through $\mu$, and through $\sigma^2$. With
#
# $$ \frac{\partial \mu}{\partial x_j} = \frac 1M , \qquad \frac{\partial \sigma^2}{\partial x_j} = \frac{2\,(x_j - \mu)}{M} $$
#
# and the chain rule (do it on paper, it is six lines) each entry of $\hat x$ in the channel depends on each entry of $x$:
#
# $$ \frac{\partial \hat x_i}{\partial x_j} = \texttt{rstd} \left( \delta_{ij} - \frac 1M - \frac{\hat x_i\, \hat x_j}{M} \right) , \qquad \delta_{ij} = 1 \text{ if } i = j \text{, else } 0 . $$
#
# Put that into $\texttt{dx}_j = \sum_i \gamma\, \texttt{dy}_i\, \partial \hat x_i / \partial x_j$. Two of the three sums over $i$ are means over the channel.
#
# **Predict.** If the same number is added to all $x$ of a channel, how does $y$ change, in training? What does that say of the sum of
# $\texttt{dx}$ over the channel? And what is $\texttt{dx}$ if $\texttt{dy}$ is 1 everywhere?
#
# *your guess:*
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
# **Four mutants.** `check.mutants()` gives four wrong backward passes of the training mode: one returns zeros for $\texttt{dx}$, one forgets that $\mu$
# depends on $x$, one that $\sigma^2$ does, one forgets $\gamma$. Three checks are to find them. All compare with central differences; the
# first takes `dy` of all ones, the second a random `dy` and a fresh layer ($\gamma = 1$, $\beta = 0$), the third a random `dy` and random $\gamma$ and $\beta$.
#
# **Predict.** Which check lets which mutant through?
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
        up, down = (run(x + step * direction)[0] for step in (1e-5, -1e-5))
        if abs((dy * (up - down)).sum() / 2e-5 - (dx * direction).sum()) > 1e-5:
            return "rejected"
    return "ACCEPTED"


rng = np.random.default_rng(0)
shape = (4, 2, 3, 3)
checks = {
    "dy = 1": (np.ones(shape), rng.normal(size=3)),
    "gamma = 1": (rng.normal(size=shape), np.ones(3)),
    "all random": (rng.normal(size=shape), rng.normal(size=3)),
}
print(f"{'':20}" + "".join(f"{name:>14}" for name in checks))
for name, backward in (check.mutants() | {"yours": batchnorm_backward}).items():
    verdicts = [slope_check(backward, dy, gamma, rng) for dy, gamma in checks.values()]
    print(f"{name:20}" + "".join(f"{verdict:>14}" for verdict in verdicts))

# %% [markdown]
# **Look.** With `dy` of all ones the loss is $\sum y$, which the normalisation fixes at $M \beta$: the right $\texttt{dx}$ is 0, and so is that of three mutants. With $\gamma = 1$
# nobody misses $\gamma$. Hence [check_gradients](ums/gradcheck.py:check_gradients) draws `dy`, and wants random values for every parameter.
#
# The library has the same formulas, in [batchnorm_backward_plain](ums/ops/norm.py:batchnorm_backward_plain), and once more, faster, in
# [batchnorm_backward](ums/ops/fast/norm.py:batchnorm_backward).
#
# ## Frozen is not inference
#
# The paper's independent strategy (section 2.3) tunes heads on a shared encoder that is *frozen*: it must not learn, so that all heads keep the encoder they were
# trained with. It is easily done wrong: do not give its parameters to the optimizer, and they do not move. But the heads are trained with
# `training=True`, and the batch norms of the encoder are in that network, too.
#
# **Predict.** The encoder from above is lent to the children's hospital, for another task: 60 batches of children's films pass through it with `training=True`, no
# optimizer touches it. How well does it tell adults from children afterwards?
#
# *your guess:*
#
# First a detector. **Write** `moved`: it sends $x$ through the network as in training and returns the names of the statistics which that has moved.
# `network.statistics()` gives `{name: array}`, the layer's own arrays, which the forward pass changes in place. A detector must not change what it
# looks at: put everything back.


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
# Three ways to leave an encoder alone. The first only keeps it from the optimizer; the second freezes its convolutions, which hold most of the weights; the third is
# `freeze()` of the whole:

# %%
careless, half, frozen = (copy_network(network) for _ in range(3))
for layer in half.layers[0].layers[::3]:  # convolution, batch norm, ReLU, convolution, ...
    layer.freeze()
frozen.layers[0].freeze()
ways = {"kept from the optimizer": careless, "convolutions frozen": half, "frozen": frozen}
for name, lent in ways.items():
    print(f"{name:24} moves {len(moved(lent.layers[0], children[:16]))} of 8 statistics")

# %% [markdown]
# And now the loan. At each step we follow the running means of six channels, and the accuracy on the old task:

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.5, 2.8))
for k, (name, lent) in enumerate({"kept from the optimizer": careless, "frozen": frozen}.items()):
    rng, means, accuracies = np.random.default_rng(2), [], []
    for _ in range(60):
        means.append(lent.layers[0].statistics()["10.running_mean"].copy())
        accuracies.append(accuracy(lent))
        lent.layers[0].forward(children[rng.choice(120, 16)], training=True)
    axes[0].plot(np.array(means)[:, :6], color=COLOURS[k], linewidth=1)
    axes[1].plot(accuracies, color=COLOURS[k], label=name)
    right = (lent.forward(tests).argmax(axis=1) == test_labels).reshape(2, -1).mean(axis=1)
    print(f"{name:24} afterwards right: adults {right[0]:.2f}, children {right[1]:.2f}")
axes[0].set(xlabel="batches of children's films", ylabel="running means, last batch norm")
axes[1].set(xlabel="batches of children's films", ylabel="accuracy, old task", ylim=(0.45, 1))
axes[1].legend()
plt.show()

# %% [markdown]
# **Look.** Not a weight of the encoder has changed, and yet it has forgotten part of what it knew. Its running means have moved (blue) to those of children's films: to each batch
# norm children are the average now, so less about them stands out. It takes half of them for adults, with the same weights that got four of five right. Most of
# the damage is done within twenty batches, and no loss shows it. The frozen one (orange) has not moved at all.
#
# "Frozen" and "training" are two switches therefore. In ums, [BatchNorm](ums/layers.py:BatchNorm) uses the batch's statistics only in
# training *and* if not frozen, and [freeze](ums/layer.py:Layer.freeze) reaches all layers of a network. Dropout, in lesson 5, is the other layer for which training and
# use differ.
#
# ## Think
#
# 1. A batch norm directly follows each convolution of [cxr_encoder](ums/networks.py:cxr_encoder). What does the convolution's bias do then, in training? What is its gradient?
# 2. Why does `batchnorm_backward` need a formula for *use* at all? Who goes back through a network that is not learning?
# 3. A batch of one film is fine in training after a convolution, and an error after the mean over the image (`(N, C)` with $N = 1$). Why? (Look into
#    [batchnorm_forward](ums/ops/norm.py:batchnorm_forward).)
# 4. You get a network that scores 0.93 in training and 0.55 at inference. What do you look at first, second, third?

# %% [markdown] tags=["solution"]
# **Answers.**
#
# 1. Nothing: it is the same number for a whole channel, and the mean takes it out again. So its gradient is 0 (to rounding): the sum of $\texttt{dx}$ over the
#    channel, as predicted above. At inference the running mean contains it.
# 2. Whoever lies below a frozen layer and learns, and whoever asks which pixels an answer depends on (lesson 12). The gradient of a frozen batch norm is that of use,
#    also while the head above it is in training.
# 3. After a convolution a channel of one film has $H W$ values. Pooled it has one: it is its own mean, $\hat x$ is 0 whatever the film, and the variance is 0.
# 4. First the statistics: have they arrived (few steps, large momentum), were they saved and loaded with the weights, did they drift? Second, whether use gets the
#    same normalisation of its films as training (lesson 1). Third, in training itself: is the score measured on films it has learned from?
