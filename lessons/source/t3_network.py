# %% [markdown]
# # Task 3: an encoder and a decoder of your own
#
# Can a network keep what it has to make small? The hourglass of [lesson 5](05_shrink_and_grow.ipynb) sees the whole film, but only because it makes the film small, and what is small in the film is lost
# on the way. A *U-shaped* network (Ronneberger, Fischer and Brox, "U-Net: convolutional networks for biomedical image segmentation", 2015) keeps
# both: beside the way down and up, a *skip connection* carries the large map straight across to the decoder.
#
# The chain `Sequential` cannot express that: one map is used twice, and two maps are joined into one. So this time you write the network yourself,
# forward and backward. There is no skeleton. This page says what your code must do; how it does it is up to you. It takes about
# 50 lines. Allow 90 minutes to two hours.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_t3 as check
from lessons.pictures import COLOURS, image_row, show, use_style
from ums.data import denormalise, normalise
from ums.layers import Conv2D, ReLU, Upsample2D
from ums.metrics import psnr
from ums.networks import denoising_autoencoder
from ums.ops import mse
from ums.optimizers import Adam
from ums.training import train_step

use_style()
os.environ.setdefault("UMS_THREADS", "1")  # for networks this small one thread is fastest

# %% [markdown]
# ## Part one: max pooling
#
# The way down halves the sides by *max pooling*: of each square of 2 x 2 pixels the largest value is kept, in each channel by itself,
#
# $$ y_{n,i,j,c} = \max_{u,v \in \{0,1\}} x_{n,\,2i+u,\,2j+v,\,c} . $$
#
# As always in ums, it is two functions, and the cache is whatever your backward pass needs.
#
# | function | what it returns |
# |---|---|
# | `max_pool_forward(x)` | `y, cache` for `x` of shape `(N, H, W, C)`: `y` is `(N, H/2, W/2, C)`, of the dtype of `x`. For an odd `H` or `W` it raises `ValueError`. |
# | `max_pool_backward(dy, cache)` | `dx`, of the shape of `x` and the dtype of `dy`. |
#
# Neither function may change an array that it is given.
#
# **Ties.** After a ReLU many squares hold four zeros. Where several pixels of a square share the largest value, the *first* of them in reading order
# (top left, top right, bottom left, bottom right) gets the whole of `dy`, and the others get nothing. So `dx` always has the same sum as `dy`.
#
# **Predict.** A square holds the values 3, 7, 7, 1 in reading order, and its `dy` is 5. What is its `dx`?
#
# *your guess:*
#
# <details><summary>A hint, if you are stuck</summary>
#
# Lesson 5 split an axis of $2H$ into $(H, 2)$ by `reshape`. Do that with both sides, and use `transpose` to bring the two axes of length 2 next to each other; then
# another `reshape` makes one axis of the four pixels of a square, in reading order. `argmax` along that axis returns the *first* place of the largest value. The
# way back takes the same steps in the opposite order.
#
# </details>
#
# **Write** both functions.


# %%
# BEGIN SOLUTION
def max_pool_forward(x):
    """(N, H, W, C) -> (N, H/2, W/2, C), the largest value of each square."""
    N, H, W, C = x.shape
    if H % 2 or W % 2:
        raise ValueError(f"the sides of x must be even, got {x.shape}")
    squares = x.reshape(N, H // 2, 2, W // 2, 2, C).transpose(0, 1, 3, 2, 4, 5)
    squares = squares.reshape(N, H // 2, W // 2, 4, C)
    first = squares.argmax(axis=3)  # (N, H/2, W/2, C), each 0 to 3
    return squares.max(axis=3), (first, x.shape)


def max_pool_backward(dy, cache):
    """dx: each dy at the pixel that was the largest, 0 elsewhere."""
    first, (N, H, W, C) = cache
    largest = first[:, :, :, None, :] == np.arange(4)[:, None]  # (N, H/2, W/2, 4, C)
    squares = (largest * dy[:, :, :, None, :]).reshape(N, H // 2, W // 2, 2, 2, C)
    return squares.transpose(0, 1, 3, 2, 4, 5).reshape(N, H, W, C)


# END SOLUTION

# %%
check.max_pool(max_pool_forward, max_pool_backward)

# %% [markdown]
# ## Part two: the network
#
# For an input `x` of shape `(N, H, W, C)` and a width $F$, the network computes
#
# ```text
# x  (N, H, W, C)
# |     convolution 1, 3 x 3, C -> F,   then ReLU
# a  (N, H, W, F) --------------------------------------.
# |     max pooling                                     |
# |     convolution 2, 3 x 3, F -> 2F,  then ReLU       |
# |     convolution 3, 3 x 3, 2F -> 2F, then ReLU       |  the skip connection
# |     upsampling                                      |
# u  (N, H, W, 2F)                                      |
# |     joined with a  <--------------------------------'
# j  (N, H, W, 3F)
# |     convolution 4, 3 x 3, 3F -> F,  then ReLU
# |     convolution 5, 1 x 1, F -> O
# y  (N, H, W, O)
# ```
#
# *Joined* means: in each pixel of $j$, first the $2F$ channels of $u$, then the $F$ channels of $a$ (`np.concatenate`).
#
# Use your max pooling, and three layers of the library: `Conv2D(C, O, rng)` is a 3 x 3 convolution from `C` to `O` channels, `Conv2D(C, O, rng, kernel=1)` a 1 x 1 convolution, and there are `ReLU()` and `Upsample2D()`
# ([layers.py](ums/layers.py:Conv2D)). A layer keeps one forward pass, so make a new one for each place in the diagram. Do not use `Sequential`:
# the loops over layers are yours to write. A layer has
#
# - `forward(x, training, keep)`, which returns its output and keeps what the way back needs, unless `keep` is False;
# - `backward(dy, input_gradient)`, which *adds* to the gradients of the layer's parameters, and returns dx, or None if `input_gradient` is False;
# - `parameters()`, a list of [Parameter](ums/layer.py:Parameter) objects. Each has a `value` and a gradient `grad`, None until a backward pass adds one;
# - `zero_gradients()`, which forgets the gradients.
#
# **Write** a class `UNet` with the following methods.
#
# | method | what it does |
# |---|---|
# | `UNet(rng, C=1, O=1, width=8)` | makes the five convolutions, each with this `rng`; $F$ is `width`. |
# | `forward(x, training=False, keep=True)` | returns `y`. `training` and `keep` go to every layer; after a pass with `keep=False` a `backward` must fail, with any exception. |
# | `backward(dy, input_gradient=True)` | adds the gradients of all ten parameters, and returns `dx`, or None if `input_gradient` is False. |
# | `parameters()` | the ten `Parameter` objects, weights and bias of convolution 1, then of convolution 2, and so on. |
# | `zero_gradients()` | forgets all gradients. |
#
# **Predict.** Two things happen to gradients here that never happen in a chain. At which letters of the diagram, and what are they?
#
# *your guess:*
#
# <details><summary>First hint: where the gradient splits</summary>
#
# Each channel of $j$ is a channel of $u$ or one of $a$, unchanged. So $\partial L / \partial u$ is the first $2F$ channels of $\partial L / \partial j$, and the other $F$ channels go to $a$.
#
# </details>
#
# <details><summary>Second hint: where gradients meet</summary>
#
# The map $a$ is used twice, by the pooling and by the skip connection. What lesson 2 said of a bias used in every row holds here too: where a value is used
# twice, its gradients add up. Only when both have arrived may the way back go on, through the ReLU and convolution 1. And only convolution 1 may be told
# that its dx is not wanted: the dx of every other layer is the dy of the one before it.
#
# </details>


# %%
# BEGIN SOLUTION
class UNet:
    """Two levels and one skip connection: (N, H, W, C) -> (N, H, W, O)."""

    def __init__(self, rng, C=1, O=1, width=8):
        F = width
        self.split = 2 * F
        self.top = [Conv2D(C, F, rng), ReLU()]
        self.bottom = [Conv2D(F, 2 * F, rng), ReLU(), Conv2D(2 * F, 2 * F, rng), ReLU()]
        self.bottom.append(Upsample2D())
        self.end = [Conv2D(3 * F, F, rng), ReLU(), Conv2D(F, O, rng, kernel=1)]
        self.layers = self.top + self.bottom + self.end
        self.pooling = None

    def forward(self, x, training=False, keep=True):
        """y, with all that backward needs kept in the layers and in self.pooling."""
        for layer in self.top:
            x = layer.forward(x, training, keep)
        a = x
        x, cache = max_pool_forward(a)
        self.pooling = cache if keep else None
        for layer in self.bottom:
            x = layer.forward(x, training, keep)
        x = np.concatenate([x, a], axis=3)
        for layer in self.end:
            x = layer.forward(x, training, keep)
        return x

    def backward(self, dy, input_gradient=True):
        """dx; the gradient splits where u and a were joined, and meets again at a."""
        for layer in reversed(self.end):
            dy = layer.backward(dy)
        du, da = dy[..., : self.split], dy[..., self.split :]
        for layer in reversed(self.bottom):
            du = layer.backward(du)
        da = da + max_pool_backward(du, self.pooling)
        convolution, relu = self.top
        return convolution.backward(relu.backward(da), input_gradient)

    def parameters(self):
        """Weights and bias of each convolution, in the order of the diagram."""
        return [parameter for layer in self.layers for parameter in layer.parameters()]

    def zero_gradients(self):
        """Forget the gradients added so far."""
        for layer in self.layers:
            layer.zero_gradients()


# END SOLUTION

# %% [markdown]
# Three checks, from the first thing to get right to the last.

# %%
check.forward(UNet)

# %%
check.backward(UNet)

# %%
check.training(UNet)

# %% [markdown]
# ## What comes out at the other end
#
# Lesson 7 asks what an hourglass learns from removing noise. Here are that hourglass and your network, on the same 240 noisy films with the same number of steps: each
# learns to produce the clean film. It takes half a minute.
#
# **Predict.** Which of the two restores films better where there is little noise, and which where there is much? Where would it be best to leave the film alone? Think of what each network *must* throw away.
#
# *your guess:*

# %%
films = make_synthetic(280, 48, np.random.default_rng(1), "A").images
learning, testing = films[:240], films[240:]


def noisy(clean, sigma, rng):
    """Gaussian noise of the standard deviation sigma, in grey values."""
    return np.clip(clean + sigma * rng.standard_normal(clean.shape), 0, 255)


def trained(network, epochs=16):
    """The network after learning to restore films with noise of sigma 10 to 50."""
    rng = np.random.default_rng(2)
    optimizer = Adam(network.parameters(), 3e-3)
    for epoch in range(epochs):
        if epoch == 12:
            optimizer.learning_rate /= 5
        for rows in rng.permutation(240).reshape(16, 15):
            clean = learning[rows]
            films_in = noisy(clean, rng.uniform(10, 50, (15, 1, 1)), rng)
            x, t = normalise(films_in), normalise(clean, like=films_in)
            train_step(network, mse, optimizer, x, t)
    return network


def restored(network, films_in):
    return denormalise(network.forward(normalise(films_in), keep=False), films_in)


networks = {
    "hourglass": trained(denoising_autoencoder(np.random.default_rng(0), width=0.25)),
    "your U-shape": trained(UNet(np.random.default_rng(0))),
}

# %%
sigmas = (5, 10, 20, 30, 40, 50)
figure, ax = plt.subplots(figsize=(6, 2.8))
before = [psnr(testing, noisy(testing, s, np.random.default_rng(3))).mean() for s in sigmas]
ax.plot(sigmas, before, "s--", color="gray", label="noisy")
for (name, network), colour, marker in zip(networks.items(), COLOURS, "ov", strict=False):
    scores = []
    for sigma in sigmas:
        films_in = noisy(testing, sigma, np.random.default_rng(3))
        scores.append(psnr(testing, restored(network, films_in)).mean())
    ax.plot(sigmas, scores, marker + "-", color=colour, label=name)
    print(f"{name:13}" + "".join(f"{score:7.1f} dB" for score in scores))
ax.set(xlabel="noise, $\\sigma$ in grey values", ylabel="PSNR, dB", title="40 films never seen")
ax.legend()
show(
    "PSNR against noise. The noisy films fall from 34 to 15 dB; the hourglass is flat, the lowest except at heavy noise; the "
    "U-shape lies above the hourglass everywhere and falls slowly, and above the noisy films from about sigma 13 on."
)

# %%
films_in = noisy(testing[:5], 20, np.random.default_rng(3))
figure, axes = plt.subplots(4, 5, figsize=(8.5, 7))
image_row(films_in, ["noisy"] * 5, axes[0])
for row, (name, network) in zip(axes[1:3], networks.items(), strict=True):
    image_row(restored(network, films_in), [name] * 5, row)
image_row(testing[:5], ["clean"] * 5, axes[3])
show(
    "Five films in four rows: noisy; restored by the hourglass, blurred and misshapen; restored by the U-shape, soft but with every "
    "outline in its place; clean."
)

# %% [markdown]
# **Look.** The hourglass, after so short a training, draws much the same blurred chest whatever the noise. Your network has every outline in its place, because it need not squeeze them through anything; it softens
# what it cannot tell from noise, such as the ribs. Where there is hardly any noise it does harm: it was never shown films as clean as these.
#
# What goes which way? Convolution 4 reads the channels of $u$ and those of $a$, each with weights of its own. Set the weights of one group to zero, and only the other way is left. (Here it
# helps that your `parameters()` come in a fixed order: number 6, counted from 0, holds the weights of convolution 4.)
#
# **Predict.** What will a film look like if only the skip connection is open? And if only the way from below is open?
#
# *your guess:*

# %%
network = networks["your U-shape"]
w = network.parameters()[6].value  # (3, 3, 3F, F)
whole = w.copy()
outputs = {"both ways": restored(network, films_in)}
w[:, :, 16:] = 0  # what reads a
outputs["from below alone"] = restored(network, films_in)
w[...] = whole
w[:, :, :16] = 0  # what reads u
outputs["skip alone"] = restored(network, films_in)
w[...] = whole

figure, axes = plt.subplots(3, 5, figsize=(8.5, 5.2))
for row, (name, images) in zip(axes, outputs.items(), strict=True):
    image_row(images, [name] * 5, row, None, None)
show(
    "Five films in three rows: with both ways open; from below alone, soft shades, bright along spine, heart and abdomen; "
    "by the skip connection alone, the film with its outlines and much of its grain."
)

# %% [markdown]
# **Look.** From below come soft shades, made from a neighbourhood that is large enough to tell noise from film, and accurate to 2 x 2 pixels only. Over the skip connection comes
# the film with its outlines, and much of the grain as well; the last two layers combine the two. Nobody has told either way what to carry: it follows from the gradients that you split and added.
#
# ## Think
#
# **Question 1.** Had $u$ and $a$ been *added* (both with $F$ channels) instead of joined, what would the backward pass look like at that place? What can the joined version learn that the sum cannot?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 1 (2 points).** The gradient of the sum goes unchanged to both, a copy in place of a split (1). Joined, convolution 4 has separate weights for the two
# sources and can weigh or ignore each one, as the experiment above shows; added, they share their weights and cannot be told apart any more (1).

# %% [markdown]
# **Question 2.** The paper's source has no skip connection, and it restores films worse than your network. Why would the authors not want one? Remember what is kept of the source.
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 2 (2 points).** What is kept is the encoder's output at the narrowest place, as the representation for other tasks (1). With a skip connection the film can pass beside it: the
# restoration gets better while the narrow map may hold less, because nothing forces it to hold more (1).

# %% [markdown]
# **Question 3.** Suppose your backward pass forgot the gradient that comes over the skip connection into $a$, and everything else was right. Would the loss still fall? Which parameters would
# have a wrong gradient, and how did the check find it?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 3 (3 points).** It would still fall: convolutions 2 to 5 get their right gradients (1), and only the weights and the bias of convolution 1 (and dx) lack a part (1). The check compares the
# gradient of every parameter with central differences, which know nothing of the code (1).

# %% [markdown]
# **Question 4.** Which arrays must be kept between the forward and the backward pass, and which of them is the largest? What would a second level of skip connections add to what must be kept?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 4 (2 points).** The input of each convolution, the signs (or outputs) of each ReLU, and the places of the largest values for the pooling; the largest is $j$ with $3F$ channels at full
# size (1, for $j$ and two kinds of arrays). A second level adds maps with more channels at half the side: with twice the channels, half as much memory as the level above (1).
