# %% [markdown]
# # 5 How does it shrink and grow back?
#
# To say whether a film of 256 x 256 pixels is abnormal, a network must turn 65,536 numbers into two. To outline a lung it must first understand the
# film and then say of every pixel what it is: shrink, and grow back. This lesson is about the small parts that do both, and about a
# piece of arithmetic that makes growing cheap.
#
# You write five functions: `global_average_pool_backward`, `dropout_forward`, `upsample2d_backward`, `fold_rows` and `upsample_conv`.

# %%
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_05 as check
from lessons.own import keep
from lessons.pictures import COLOURS, image_row, show, use_style
from ums.data import normalise
from ums.layers import ReLU
from ums.networks import denoising_autoencoder
from ums.ops import mse, upsample_conv2d_forward
from ums.optimizers import Adam
from ums.training import train_step

use_style()

# %% [markdown]
# ## An hourglass
#
# The paper's X-ray source (section 4.1.1) has an encoder of four convolutions with stride 2 and a decoder that mirrors it: four times an *upsampling* and
# a convolution. Here it is at a quarter of its width, for films of 64 x 64 pixels
# ([denoising_autoencoder](ums/networks.py:denoising_autoencoder)). The upper table is the encoder, the lower one the decoder.
#
# **Predict.** Each of the four convolutions halves both sides. How large is the smallest map? It has 64 channels: how many numbers are left of the film's 4096?
#
# *your guess:*

# %%
network = denoising_autoencoder(np.random.default_rng(1), width=1 / 4)
encoder, decoder = network.layers
print(encoder.summary((64, 64, 1)))
print(decoder.summary(encoder.output_shape((64, 64, 1))))

# %% [markdown]
# For a few seconds the network learns to reproduce its input. (Lesson 7 makes that harder.) Then a film that it has never seen goes through, and we look at every level.
# Two channels of each level are shown: on the right the one that varies most over the film, on the left the fourth in that order. White is the largest value, black the smallest, which is 0 in most of them.

# %%
rng = np.random.default_rng(0)
films = normalise(make_synthetic(200, 64, rng).images)  # (200, 64, 64, 1)
optimizer = Adam(network.parameters(), 3e-3)
for _ in range(25):
    for rows in rng.permutation(192).reshape(-1, 16):
        train_step(network, mse, optimizer, films[rows], films[rows])


def levels_of(x):
    """What each ReLU of the network puts out for one film x (H, W, 1): arrays (h, w, C)."""
    x, levels = x[None], []
    for layer in network.leaves():
        x = layer.forward(x)
        if isinstance(layer, ReLU):
            levels.append(x[0])
    return levels


film = films[195]
levels = levels_of(film)
for part, way in (
    (levels[:4], "down: ever smaller and coarser"),
    (levels[4:], "up: ever larger and finer"),
):
    shown, titles = [], []
    for level in part:
        busiest = level.std(axis=(0, 1)).argsort()[[-4, -1]]
        shown += [level[:, :, c] for c in busiest]
        titles += [" x ".join(map(str, level.shape)), ""]
    figure, axes = plt.subplots(1, 8, figsize=(12, 1.9))
    image_row(shown, titles, axes, None, None)
    show(f"Two channels of each of four levels on the way {way} maps of the chest.")
restored = network.forward(film[None])[0]
ends = [film[:, :, 0], restored[:, :, 0], (restored - film)[:, :, 0]]
image_row(ends, ["in", "out", "out - in"], low=-0.75, high=0.75)
show(
    "The film that goes in, the blurred one that comes out, and their difference, in which the outlines of the lungs, "
    "the ribs and the marker can be seen."
)

# %% [markdown]
# **Look.** The upper row is the way down. The first level still shows edges and the marker in the corner, but each pixel of the last stands for 16 x 16 pixels of the film, and nobody
# would recognise a chest in it. Its 1024 numbers, a quarter of the film's 4096, are all that the decoder gets. The second row is the way up: spine, heart and abdomen come back level by level. (On
# the last level one channel hardly responds: not every channel turns out to be useful.) The film that comes out is blurred, and the difference shows what was lost: the outlines of the lungs, the ribs and the marker, in short
# everything small.
#
# ## Pooling: where becomes whether
#
# A classification head ([classification_head](ums/networks.py:classification_head), section 3.2.3) need not know where something is. It takes the mean of each channel over the whole map, which is called *global average
# pooling*:
#
# $$ y_{nc} = \frac{1}{HW} \sum_{i=1}^{H} \sum_{j=1}^{W} x_{nijc} . $$
#
# **Predict.** If $\texttt{dy}_{nc} = 1$ and the map is 4 x 4: what is $\texttt{dx}_{nijc}$, and does it depend on $i$ and $j$?
#
# *your guess:*
#
# **Write** `global_average_pool_backward`. The cache holds the shape of $x$.


# %%
def global_average_pool_backward(dy, cache):
    """dx (N, H, W, C) from dy (N, C), of the dtype of dy."""
    (shape,) = cache
    _, H, W, _ = shape
    # BEGIN SOLUTION
    share = dy / (H * W)
    return np.ones(shape, dy.dtype) * share[:, None, None, :]
    # END SOLUTION


# %%
check.global_average_pool_backward(global_average_pool_backward)

# %% [markdown]
# **Keep.** Once the check passes, this cell writes your function to the folder `own/`. In the folder above this one, the command
# `python -m lessons study` then runs a small X-ray study with it in place of the library's, and its page says so.

# %%
keep(global_average_pool_backward)

# %% [markdown]
# The library has the pair in [pooling.py](ums/ops/pooling.py).
#
# ## Dropout: no number may be indispensable
#
# After the pooling the head has a dense layer with 256 outputs, and then *dropout* (Srivastava et al., 2014): in training each number is set to 0 with
# probability `rate` (0.5 in the paper), drawn anew at every step. So the next layer cannot rely on any single number and must consult several. At inference nothing is dropped.
#
# **Predict.** With a rate of 0.5 the next layer gets half of its inputs in training and all of them at inference. What is wrong with that? How can it be put right
# *in training*, so that nothing has to change at inference?
#
# *your guess:*
#
# **Write** `dropout_forward`. It scales up what is kept, so that the *expected* value of each output is its input. The cache holds the array `scale` by which $x$ was multiplied, since
# `dropout_backward` must multiply by the same array. Draw with `rng.random(shape)`, which is uniform in $[0, 1)$. Both $y$ and `scale` keep the dtype of $x$.
#
# <details><summary>A hint</summary>
#
# An input $x$ becomes $s\,x$ with probability $1 - \texttt{rate}$, and 0 otherwise. Its expected value is $(1 - \texttt{rate})\, s\, x + \texttt{rate} \cdot 0$. For which $s$ is that $x$? It does not depend on how many
# numbers happened to be kept in this draw.
#
# </details>


# %%
def dropout_forward(x, rate, rng, training):
    """y, of the shape and dtype of x, and the cache (scale,); at inference y is x."""
    if not training:
        return x, (None,)
    # BEGIN SOLUTION
    keep = rng.random(x.shape) >= rate
    scale = keep.astype(x.dtype) / (1 - rate)
    return x * scale, (scale,)
    # END SOLUTION


def dropout_backward(dy, cache):
    """dx = dy, dropped and scaled up as in the forward pass."""
    (scale,) = cache
    return dy if scale is None else dy * scale


# %%
check.dropout_forward(dropout_forward)

# %% [markdown]
# In the library: [dropout_forward](ums/ops/dropout.py:dropout_forward). Now take one output of the next dense layer, $z = \sum_k w_k\, y_k$ of 256 numbers, in 2000 steps of training and at inference. The grey histogram is the same without scaling up.

# %%
rng = np.random.default_rng(3)
x, w = rng.uniform(0, 1, 256), rng.uniform(0, 0.02, 256)
bins = np.linspace(0.4, 1.8, 71)
figure, ax = plt.subplots(figsize=(6.5, 2.6))
for rate, colour, line in ((0.1, COLOURS[0], "-"), (0.5, COLOURS[1], "--")):
    draws = [dropout_forward(x, rate, rng, True)[0] for _ in range(2000)]
    z = [draw @ w for draw in draws]
    ax.hist(z, bins, histtype="step", linestyle=line, color=colour, label=f"rate {rate}")
    print(
        f"rate {rate}: mean {np.mean(z):.3f}, deviation {np.std(z):.3f}; at inference {x @ w:.3f}"
    )
smaller = [((draw > 0) * x) @ w for draw in draws]
ax.hist(smaller, bins, color="lightgray", label="0.5, not scaled up")
ax.axvline(x @ w, color="black", linestyle=":", linewidth=1, label="at inference")
ax.set(xlabel="$z$", ylabel="steps")
ax.legend()
show(
    "Histograms of z: with rates 0.1 (narrow) and 0.5 (wide) both lie around the value at inference, 1.27; without scaling "
    "up the histogram lies around half of it."
)

# %% [markdown]
# **Look.** Scaled up, $z$ scatters around its value at inference, so training and inference agree on average. The grey histogram lies around half that value: a layer trained on it would meet inputs twice as large as those it
# has known. The price is noise, whose standard deviation is proportional to $\sqrt{\texttt{rate}/(1 - \texttt{rate})}$: three times as much at 0.5 as at 0.1, which the printed numbers confirm.
#
# ## Upsampling
#
# The decoder doubles the sides of a map: each pixel is repeated in a square of 2 x 2 (*nearest neighbour*),
#
# $$ y_{n,i,j,c} = x_{n,\,\lfloor i/2 \rfloor,\,\lfloor j/2 \rfloor,\,c} . $$
#
# **Predict.** What is $\texttt{dx}$ of a pixel whose four copies have the gradients 1, 2, 3 and 4? Compare it with the pooling above: one of the two backward passes
# divides. Which one, and why not the other?
#
# *your guess:*
#
# **Write** `upsample2d_backward`. It needs no loop: `reshape` can split an axis of length $2H$ into two, $(H, 2)$.


# %%
def upsample2d_backward(dy, cache):
    """dx (N, H, W, C) from dy (N, 2H, 2W, C)."""
    (shape,) = cache
    N, H, W, C = shape
    # BEGIN SOLUTION
    squares = dy.reshape(N, H, 2, W, 2, C)
    return squares.sum(axis=(2, 4))
    # END SOLUTION


# %%
check.upsample2d_backward(upsample2d_backward)

# %% [markdown]
# ## Upsampling that never happens
#
# Each upsampling is followed by a 3x3 convolution. Here are the two, one after the other. The convolution is written as nine products of whole images, one for each
# weight $(u, v)$: the shifted image times $w_{uv}$, a matrix of shape `(C, O)`.


# %%
def upsample_then_conv(x, w, b):
    """Nearest upsampling, then a 3x3 convolution: x (N, H, W, C) -> y (N, 2H, 2W, O)."""
    N, H, W, _ = x.shape
    large = x.repeat(2, axis=1).repeat(2, axis=2)
    padded = np.pad(large, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = np.zeros((N, 2 * H, 2 * W, w.shape[3]), x.dtype)
    for u in range(3):
        for v in range(3):
            y += padded[:, u : u + 2 * H, v : v + 2 * W] @ w[u, v]
    return y + b


# %% [markdown]
# Look at one row of a small image, with pixels $\dots, x_{i-1}, x_i, x_{i+1}, \dots$, and at what it becomes:
#
# $$ \dots,\; x_{i-1},\; x_{i-1},\;\; x_i,\; x_i,\;\; x_{i+1},\; x_{i+1},\; \dots $$
#
# The three weights $w_0, w_1, w_2$ slide over the large row. Three neighbours there are never three different pixels: two of them are copies of one pixel. So the output pixels $2i + p$ come in two kinds, called *phases*: in phase
# $p = 0$ the middle weight lies on the left copy of $x_i$, in phase $p = 1$ on the right copy.
#
# **Predict.** On paper: which two pixels of the *small* row does phase 0 see, and with which weights? Which two does phase 1 see? Then in two dimensions: how many multiplications (for each pair of channels) does it take
# to compute the four output pixels of one input pixel, with the large image and without it?
#
# *your guess:*
#
# So the large image is never needed. There are four small kernels of 2 x 2 weights, one for each phase $(p, q)$ of rows and columns, and they are computed from $w$ once. **Write** `fold_rows`, which folds the first axis of $w$; `fold`, below it, uses it on the rows
# and then on the columns.
#
# <details><summary>First hint: a row to write on paper</summary>
#
# Write the large row as `a a b b c c` and put the middle weight on the *left* b. Then $w_0$ lies on an a, $w_1$ and $w_2$ lie on the two copies of b.
#
# </details>
#
# <details><summary>Second hint: collect the weights</summary>
#
# The output of phase 0 is therefore $w_0\, a + w_1\, b + w_2\, b = w_0\, a + (w_1 + w_2)\, b$: two pixels of the small row, two weights. Do the same with the middle weight on the *right* b.
#
# </details>


# %%
def fold_rows(w, p):
    """The two weights of phase p (0 or 1): w (3, ...) -> (2, ...), that of the upper (or left) pixel first."""
    # BEGIN SOLUTION
    if p == 0:
        return np.stack([w[0], w[1] + w[2]])
    return np.stack([w[0] + w[1], w[2]])
    # END SOLUTION


def fold(w, p, q):
    """The kernel (2, 2, C, O) of phase (p, q), from w (3, 3, C, O)."""
    return fold_rows(fold_rows(w, p).swapaxes(0, 1), q).swapaxes(0, 1)


# %%
check.fold_rows(fold_rows)

# %% [markdown]
# Now for the convolution on the small image, padded with one row or column of zeros on every side (`padded[:, 1 + i, 1 + j]` is $x_{ij}$). By your result from above, phase $p$ of row $i$ sees two rows of it: which two? The output pixels of a phase are
# every second one, `y[:, p::2, q::2]`, and have the shape `(N, H, W, O)`.
#
# **Write** `upsample_conv`. For each phase, take the four weights of its kernel, each as the product of a shifted small image and a matrix, as in `upsample_then_conv`. Add up the four products first, and assign the sum once, because adding to every second
# pixel is slow.
#
# <details><summary>A hint: where the window starts</summary>
#
# In phase 0 output row $2i$ sees $x_{i-1}$ and $x_i$, which are rows $i$ and $i + 1$ of `padded`. In phase 1 output row $2i + 1$ sees $x_i$ and $x_{i+1}$, rows $i + 1$ and $i + 2$. So the first weight of phase $p$ meets the $H$ rows from row $p$ on, and the second those from row $p + 1$ on.
#
# </details>


# %%
def upsample_conv(x, w, b):
    """The same y (N, 2H, 2W, O) as upsample_then_conv gives, with no large image in between."""
    N, H, W, _ = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = np.zeros((N, 2 * H, 2 * W, w.shape[3]), x.dtype)
    # BEGIN SOLUTION
    for p, q in ((0, 0), (0, 1), (1, 0), (1, 1)):
        kernel, total = fold(w, p, q), b
        for s, t in ((0, 0), (0, 1), (1, 0), (1, 1)):
            moved = padded[:, p + s : p + s + H, q + t : q + t + W]
            total = total + moved @ kernel[s, t]
        y[:, p::2, q::2] = total
    return y
    # END SOLUTION


# %%
check.upsample_conv(upsample_conv)

# %% [markdown]
# ## How much faster?
#
# **Predict.** 16 products instead of 36: how many times as fast should it be? Will it be?
#
# *your guess:*


# %%
def milliseconds(function, side):
    """The median of seven runs on 4 maps of side x side, 64 channels to 32."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, side, side, 64)).astype(np.float32)
    w = rng.normal(size=(3, 3, 64, 32)).astype(np.float32)
    b = rng.normal(size=32).astype(np.float32)
    times = []
    with threadpool_limits(1):  # NumPy's matrix products on one core
        for _ in range(8):
            start = perf_counter()
            function(x, w, b)
            times.append(1e3 * (perf_counter() - start))
    return np.median(times[1:])


ways = {
    "upsampled, then convolved": upsample_then_conv,
    "folded (yours)": upsample_conv,
    "folded, in tiles (library)": upsample_conv2d_forward,
}
sides = (8, 16, 32, 64)
figure, ax = plt.subplots(figsize=(6, 2.8))
for (name, function), colour, marker in zip(ways.items(), COLOURS, "osv", strict=False):
    times = [milliseconds(function, side) for side in sides]
    ax.loglog(sides, times, marker + "-", color=colour, label=name)
    print(f"{name:28}" + "".join(f"{t:9.2f} ms" for t in times))
ax.set_xticks(sides, [str(side) for side in sides])
ax.minorticks_off()
ax.set(xlabel="side of the small map, pixels", ylabel="ms")
ax.legend()
show(
    "Milliseconds against the side of the map, three rising lines on logarithmic axes: the two steps take longest, the "
    "folded convolution and the library's are faster."
)

# %% [markdown]
# **Look.** The numbers are those of your computer. On ours the folded convolution was 1.3 to 4 times as fast as the two steps; counting products promises $36/16 = 2.25$. On small maps
# the time that Python itself takes, the same for both, hides part of the gain. On large maps there is more to gain, because the large image is neither written nor read nine times. The library's version works
# on one tile at a time and on all cores, as in lesson 3. At these sizes that brings little; on the largest maps it is up to twice as fast.
#
# In the library: [upsample_conv2d_forward](ums/ops/fast/upsample.py:upsample_conv2d_forward), with [fold_kernel](ums/ops/fast/upsample.py:fold_kernel) for all four phases at once. Its gradients use the *adjoint* of folding:
# [unfold_kernel](ums/ops/fast/upsample.py:unfold_kernel) turns the gradients of the four small kernels back into that of one 3x3 kernel.
#
# What a network of this shape loses, and how to keep it, is the subject of [task 3](t3_network.ipynb).
#
# ## Think
#
# **Question 1.** The output of the hourglass is blurred. Which of its levels is to blame? The well-known U-Net joins each level of the decoder with the level of the encoder that has the same size. How would that help a task of
# outlining, and what would it do to learning by reproducing the input?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 1 (3 points).** The smallest level is to blame: what 4 x 4 places with 64 channels do not hold cannot come back (1). The joined levels carry fine detail past it, so that outlines become sharp (1). For reproducing the input they are a short cut: the film can
# take the uppermost one, and nothing below has to be understood (1).

# %% [markdown]
# **Question 2.** Pooling divides in its backward pass, upsampling does not. Why? What would happen to a network with four upsamplings if each of them divided by four, with plain gradient descent, and with Adam, whose
# steps are about equally large whatever the size of the gradient?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 2 (3 points).** Each backward pass follows from its forward pass: a mean has the factor $1/HW$, a copy has the factor 1, and the gradients of copies add up (1). Divided by four each time, the gradient below four upsamplings would be too small by a factor of $4^4 = 256$: with plain
# gradient descent the encoder would hardly learn (1). (The loss falls all the same, as in lesson 2.) Adam would hide the mistake almost completely (1). (A gradient check would not.)

# %% [markdown]
# **Question 3.** Dropout sits in the head, after the pooling. What would it do between two convolutions, where neighbouring pixels say much the same?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 3 (2 points).** Little, because a dropped number can be guessed from its neighbours (1). Between convolutions one drops whole channels, if anything (1).

# %% [markdown]
# **Question 4.** Suppose a 5x5 convolution follows the upsampling. How many neighbouring pixels of a small row does an output pixel see, and how much is saved?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 4 (2 points).** Three: five neighbours in the large row are copies of three pixels, with the weights $w_0 + w_1$, $w_2 + w_3$, $w_4$ or $w_0$, $w_1 + w_2$, $w_3 + w_4$ (1, for the three). That is 9 weights instead of 25, or 0.36 of the work, against $4/9$ for 3x3 (1).
