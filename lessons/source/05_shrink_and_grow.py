# %% [markdown]
# # 5 How does it shrink and grow back?
#
# To say whether a film of 256 x 256 pixels is abnormal, a network must make two numbers of 65,536. To outline a lung it must first understand the
# film and then say for every pixel what it is: shrink, and grow back. Here are the small parts that do both, and a
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
from lessons.pictures import COLOURS, image_row, use_style
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
# The paper's X-ray source (section 4.1.1) is an encoder of four convolutions with stride 2 and a decoder that mirrors it, four times *upsampling* and
# a convolution. Here it is at a quarter of its width, for films of 64 x 64 pixels
# ([denoising_autoencoder](ums/networks.py:denoising_autoencoder)). The upper table is the encoder, the lower one the decoder.
#
# **Predict.** Each of four layers halves both sides. How large is the smallest map? It has 64 channels: how many numbers are left of the film's 4096?
#
# *your guess:*

# %%
network = denoising_autoencoder(np.random.default_rng(1), width=1 / 4)
encoder, decoder = network.layers
print(encoder.summary((64, 64, 1)))
print(decoder.summary(encoder.output_shape((64, 64, 1))))

# %% [markdown]
# It learns to give back what it gets, for some seconds. (Lesson 7 makes that harder.) Then one film that it has never seen goes through, and we look in at every level:
# of each level two of its channels, on the right the one that varies most over the film, on the left the fourth of that order. White is large; black is the least, mostly 0.

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
for part in (levels[:4], levels[4:]):
    shown, titles = [], []
    for level in part:
        busiest = level.std(axis=(0, 1)).argsort()[[-4, -1]]
        shown += [level[:, :, c] for c in busiest]
        titles += [" x ".join(map(str, level.shape)), ""]
    figure, axes = plt.subplots(1, 8, figsize=(12, 1.9))
    image_row(shown, titles, axes, None, None)
restored = network.forward(film[None])[0]
ends = [film[:, :, 0], restored[:, :, 0], (restored - film)[:, :, 0]]
image_row(ends, ["in", "out", "out - in"], low=-0.75, high=0.75)

# %% [markdown]
# **Look.** Above, the way down. The first level still has edges and the marker in the corner, but each pixel of the last stands for 16 x 16 of the film, and no
# eye would find a chest in it. Its 1024 numbers, a quarter of the film's 4096, are all that the decoder gets. Below, the way up: spine, heart and abdomen come back level by level. (On
# the last one a channel hardly answers: not all are of use.) What comes out is blurred. The difference shows what was lost: the lungs' outlines, the ribs, the marker, all
# that is small.
#
# ## Pooling: where becomes whether
#
# A classification head ([classification_head](ums/networks.py:classification_head), section 3.2.3) needs no place. It takes the mean of each channel over the whole map, *global average
# pooling*:
#
# $$ y_{nc} = \frac{1}{HW} \sum_{i=1}^{H} \sum_{j=1}^{W} x_{nijc} . $$
#
# **Predict.** If $\texttt{dy}_{nc} = 1$ and the map is 4 x 4: what is $\texttt{dx}_{nijc}$, and does it depend on $i$ and $j$?
#
# *your guess:*
#
# **Write** `global_average_pool_backward`. In the cache is the shape of $x$.


# %%
def global_average_pool_backward(dy, cache):
    """dx (N, H, W, C) from dy (N, C)."""
    (shape,) = cache
    _, H, W, _ = shape
    # BEGIN SOLUTION
    share = dy / (H * W)
    return np.ones(shape, dy.dtype) * share[:, None, None, :]
    # END SOLUTION


# %%
check.global_average_pool_backward(global_average_pool_backward)

# %% [markdown]
# ## Dropout: no number may be indispensable
#
# After the pooling the head has a dense layer of 256 numbers, and then *dropout* (Srivastava et al., 2014): in training each number is set to 0 with the
# probability `rate` (0.5 in the paper), drawn anew at every step. The layer above cannot rely on any single one and must ask several. At inference nothing is dropped.
#
# **Predict.** With rate 0.5 the next layer gets half of its inputs in training and all of them at inference. What is wrong with that? How can it be put right
# *in training*, so that use needs no change?
#
# *your guess:*
#
# **Write** `dropout_forward`: what is kept is made larger, so that the *expected* value of each output is its input. The cache holds the array `scale` that $x$ was multiplied with, since
# `dropout_backward` must multiply by the same. Draw with `rng.random(shape)`, which is uniform in $[0, 1)$; and $y$ keeps the dtype of $x$.


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
    """dx = dy, dropped and made larger as the forward pass did."""
    (scale,) = cache
    return dy if scale is None else dy * scale


# %%
check.dropout_forward(dropout_forward)

# %% [markdown]
# One output of the dense layer above, $z = \sum_k w_k\, y_k$ of 256 numbers, in 2000 steps of training, and at inference. Grey: the same without making larger.

# %%
rng = np.random.default_rng(3)
x, w = rng.uniform(0, 1, 256), rng.uniform(0, 0.02, 256)
bins = np.linspace(0.4, 1.8, 71)
figure, ax = plt.subplots(figsize=(6.5, 2.6))
for k, rate in enumerate((0.1, 0.5)):
    draws = [dropout_forward(x, rate, rng, True)[0] for _ in range(2000)]
    z = [draw @ w for draw in draws]
    ax.hist(z, bins, histtype="step", linewidth=1.5, color=COLOURS[k], label=f"rate {rate}")
    print(
        f"rate {rate}: mean {np.mean(z):.3f}, deviation {np.std(z):.3f}; at inference {x @ w:.3f}"
    )
smaller = [((draw > 0) * x) @ w for draw in draws]
ax.hist(smaller, bins, color="lightgray", label="0.5, not made larger")
ax.axvline(x @ w, color="black", linestyle="--", linewidth=0.8, label="at inference")
ax.set(xlabel="$z$", ylabel="steps")
ax.legend()
plt.show()

# %% [markdown]
# **Look.** Made larger, $z$ scatters about its value at inference, and training and inference agree on average. The grey one has half of it: a layer trained on that would meet twice what
# it knows. The price is noise, of a deviation in proportion to $\sqrt{\texttt{rate}/(1 - \texttt{rate})}$: three times as much with 0.5 as with 0.1, which the printed figures bear out.
#
# ## Upsampling
#
# The decoder doubles the sides of a map: each pixel is repeated in a square of 2 x 2 (*nearest neighbour*),
#
# $$ y_{n,i,j,c} = x_{n,\,\lfloor i/2 \rfloor,\,\lfloor j/2 \rfloor,\,c} . $$
#
# **Predict.** What is $\texttt{dx}$ of a pixel whose four copies have the gradients 1, 2, 3 and 4? Compare it with the pooling above: which of the two
# divides, and why not the other one?
#
# *your guess:*
#
# **Write** `upsample2d_backward`. A way without loops: `reshape` splits an axis of $2H$ into $(H, 2)$.


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
# After each upsampling comes a 3x3 convolution. Here are the two, one after the other. The convolution is written with nine products of whole images, one for each
# weight $(u, v)$: the image, moved, times $w_{uv}$, a matrix of shape `(C, O)`.


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
# Look at one row of a small image, of pixels $\dots, x_{i-1}, x_i, x_{i+1}, \dots$, and what becomes of it:
#
# $$ \dots,\; x_{i-1},\; x_{i-1},\;\; x_i,\; x_i,\;\; x_{i+1},\; x_{i+1},\; \dots $$
#
# The three weights $w_0, w_1, w_2$ slide over the large row. Three neighbours there are never three different pixels: two of them are copies of the same. An output pixel $2i + p$ is one of two kinds, *phase*
# $p = 0$ (the left copy of $x_i$ in the middle) or $p = 1$ (the right copy).
#
# **Predict.** On paper: which two pixels of the *small* row does phase 0 see, and with which weights? Which two does phase 1 see? Then in two dimensions: how many multiplications (for each pair of channels) does it take
# to make the four output pixels of one input pixel, with the large image, and without?
#
# *your guess:*
#
# So the large image need not be made. There are four small kernels, 2 x 2, one for each phase $(p, q)$ of rows and columns, made of $w$ once. **Write** `fold_rows`, which folds the first axis of $w$; `fold`, beneath it, uses it on rows
# and then on columns.


# %%
def fold_rows(w, p):
    """The two weights of phase p (0 or 1): w (3, ...) -> (2, ...), that of the upper pixel first."""
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
# Now the convolution on the small image, padded with one row and column of zeros on every side (`padded[:, 1 + i, 1 + j]` is $x_{ij}$). Phase $p$ of row $i$ sees two rows of it: with your result from above, which? The output pixels of a phase are
# every second one, `y[:, p::2, q::2]`, and have the shape `(N, H, W, O)`.
#
# **Write** `upsample_conv`: for each phase, the four weights of its kernel, each a product of a moved small image and a matrix, as in `upsample_then_conv`. Add the four up first, and put the sum in its place once: to add to every second
# pixel is slow.


# %%
def upsample_conv(x, w, b):
    """The same y (N, 2H, 2W, O) as upsample_then_conv, with no large image in between."""
    N, H, W, _ = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = np.empty((N, 2 * H, 2 * W, w.shape[3]), x.dtype)
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
# **Predict.** 16 products instead of 36: by what factor should it be faster? Will it be?
#
# *your guess:*


# %%
def milliseconds(function, side):
    """The median of seven runs on 4 maps of side x side, 64 channels to 32."""
    rng = np.random.default_rng(0)
    shapes = (4, side, side, 64), (3, 3, 64, 32), (32,)
    x, w, b = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
    times = []
    with threadpool_limits(1):  # NumPy's products on one core
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
for k, (name, function) in enumerate(ways.items()):
    times = [milliseconds(function, side) for side in sides]
    ax.loglog(sides, times, "o-", color=COLOURS[k], label=name)
    print(f"{name:28}" + "".join(f"{t:9.2f} ms" for t in times))
ax.set_xticks(sides, [str(side) for side in sides])
ax.minorticks_off()
ax.set(xlabel="side of the small map, pixels", ylabel="ms")
ax.legend()
plt.show()

# %% [markdown]
# **Look.** The figures are your computer's. On ours the folded one was 1.4 to 4 times as fast as the two steps; counting products promises $36/16 = 2.25$. On a small map
# Python's own time, the same for both, hides a part of it. On a large one there is more to gain, as the large image is neither written nor read nine times. The library's works
# a tile at a time, on all cores, as in lesson 3; at these sizes that brings little, on the large maps up to twice as much.
#
# In the library: [upsample_conv2d_forward](ums/ops/fast/upsample.py:upsample_conv2d_forward), with [fold_kernel](ums/ops/fast/upsample.py:fold_kernel) for all four phases at once, and its gradients, for which the *adjoint* of folding,
# [unfold_kernel](ums/ops/fast/upsample.py:unfold_kernel), brings four small kernels' gradients back to that of one 3x3 kernel. The pooling and dropout are [pooling.py](ums/ops/pooling.py) and
# [dropout.py](ums/ops/dropout.py).
#
# ## Think
#
# 1. The output of the hourglass is blurred. Which of its levels is to blame? The well-known U-Net joins each level of the decoder with that of the encoder of the same size. What would that do for a task of
#    outlining, and what for learning by giving back the input?
# 2. Pooling divides in its backward pass, upsampling does not. Why? What would happen to a network with four upsamplings if each divided by four, with plain gradient descent, and with Adam, which makes all
#    steps about as large, whatever the size of the gradient?
# 3. Dropout sits in the head, after the pooling. What would it do between two convolutions, where neighbouring pixels say much the same?
# 4. A 5x5 convolution after upsampling: how many small pixels in a row does an output pixel see, and how much is saved?

# %% [markdown] tags=["solution"]
# **Answers.**
#
# 1. The smallest: what 4 x 4 places with 64 channels do not hold cannot come back. The joined levels carry the fine detail past it: outlines become sharp. For giving back the input they are a short cut: the film could go
#    along the uppermost one, and nothing need be understood below.
# 2. Each backward pass only follows its forward pass: a mean has the factor $1/HW$, a copy has the factor 1, and gradients of copies add up. Divided, the gradient would be too small by $4^4 = 256$ below four upsamplings: with plain
#    gradient descent the encoder would hardly learn, while the loss falls all the same (lesson 2). Adam would hide the mistake nearly altogether. A gradient check would not.
# 3. Little: the dropped number can be guessed from its neighbours. There one drops whole channels instead, if at all.
# 4. Five neighbours of the large row are copies of three pixels ($w_0 + w_1$, $w_2 + w_3$, $w_4$, or $w_0$, $w_1 + w_2$, $w_3 + w_4$): 9 weights instead of 25, 0.36 instead of 4/9.
