# %% [markdown]
# # 3 How is a convolution computed?
#
# Nearly all the time that a network for images takes, it spends in convolutions. The definition of one is a sum that you can
# write down as loops in five minutes, and wait for all night. Here you find the matrix product inside it, and with the matrix
# comes the backward pass, too.
#
# You write four functions: `receptive_field`, `im2col`, `conv2d` and `col2im`.

# %%
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_03 as check
from lessons.pictures import COLOURS, image_row, use_style
from ums.gradcheck import check_gradients
from ums.layers import Conv2D, Sequential
from ums.ops import conv2d_forward

use_style()

# %% [markdown]
# ## A window that slides
#
# A *kernel* is a small square of weights. It is laid on the image, what it covers is multiplied with it, entry by entry, and
# the products are added up: one number, for the pixel in the middle. Then it moves on. For an input $x$ of shape
# `(N, H, W, C)` (images, height, width, channels) and a kernel $w$ of shape `(K, K, C, O)` with $K$ odd,
#
# $$ y_{nijo} = b_o + \sum_{u=0}^{K-1} \sum_{v=0}^{K-1} \sum_{c=0}^{C-1} \hat x_{n,\; s i + d u,\; s j + d v,\; c} \;\, w_{uvco} . $$
#
# Two numbers say how it moves. With the *stride* $s$ it goes $s$ pixels at a time, so the output has $s$ times fewer rows and columns.
# With the *dilation* $d$ its weights lie $d$ pixels apart. $\hat x$ is $x$ with a border of $p = d\,(K-1)/2$ zeros on every side, so that the window
# fits at the edge, too; the output has $\lceil H/s \rceil$ rows and $\lceil W/s \rceil$ columns.
#
# One kernel, a left and a right, that answers to vertical edges:

# %%
film = make_synthetic(3, 128, np.random.default_rng(4)).images[1] / 255.0
edge = np.array([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])


def edges(stride, dilation):
    """The film convolved with the kernel `edge`, (H, W)."""
    y, _ = conv2d_forward(
        film[None, :, :, None], edge[:, :, None, None], np.zeros(1), stride, dilation
    )
    return y[0, :, :, 0]


figure, axes = plt.subplots(1, 5, figsize=(11, 2.5))
image_row([film], ["film, 128 x 128"], axes[:1], high=1)
for ax, (stride, dilation) in zip(axes[1:], ((1, 1), (1, 2), (1, 4), (2, 1)), strict=True):
    y = edges(stride, dilation)
    title = f"s = {stride}, d = {dilation}: {len(y)} x {len(y)}"
    image_row([y], [title], [ax], low=-1.2, high=1.2, colours="PuOr")

# %% [markdown]
# **Look.** Purple: it gets darker from left to right; orange: brighter. With a larger dilation the same nine weights compare pixels
# farther apart. Wide, soft borders, such as the heart's, answer more strongly; the letter R appears twice. The rightmost
# picture is every second pixel, in both directions, of the one with $s = d = 1$. (A network learns its kernels. This one is Sobel's, made by hand.)
#
# ## How far does a pixel see?
#
# An output pixel of one 3x3 convolution depends on 3x3 input pixels. Stack a second one on top, and each of those depends on
# 3x3 pixels in its turn. The square of the image that a pixel of the last layer can see is its *receptive field*. A
# network that is to find a lung must see one.
#
# **Predict.** How wide is the receptive field of three 3x3 convolutions, if
#
# - all have stride 1 and dilation 1,
# - all have stride 2,
# - the dilations are 1, 2 and 4?
#
# *your guess:*
#
# The rule: go through the layers from the image on. Keep two numbers, the width $r$ of the field, and the *jump* $j$, how many
# pixels of the image apart two neighbours of the present layer are. Before the first layer both are 1. A kernel of $K$ weights in a
# row, $d$ apart, reaches from its first to its last weight over $(K - 1)\, d$ steps of the layer below it, and that layer's
# steps are $j$ pixels long: so much is added to $r$. After that, the layer's stride multiplies $j$.
#
# **Write** `receptive_field`.


# %%
def receptive_field(layers):
    """Width r, in pixels, of what one output pixel depends on; layers are (K, s, d), first to last."""
    r, j = 1, 1
    # BEGIN SOLUTION
    for K, s, d in layers:
        r += (K - 1) * d * j
        j *= s
    return r
    # END SOLUTION


# %%
check.receptive_field(receptive_field)

# %% [markdown]
# Is it true? A backward pass can tell: put a 1 on the middle pixel of the last layer and 0 elsewhere, and go back. Where
# $\texttt{dx}$ is not 0, that pixel matters. With all weights equal, $\texttt{dx}$ is how much it matters. All four stacks below have three layers of
# nine weights.

# %%
STACKS = {
    "stride 1, 1, 1": [(3, 1, 1)] * 3,
    "stride 2, 2, 2": [(3, 2, 1)] * 3,
    "dilation 1, 2, 4": [(3, 1, 1), (3, 1, 2), (3, 1, 4)],
    "dilation 2, 2, 2": [(3, 1, 2)] * 3,
}


def influence(layers, size=25):
    """dx (size, size) of the middle output pixel, with kernels of equal weights."""
    rng = np.random.default_rng(0)
    chain = Sequential(*(Conv2D(1, 1, rng, K, s, d) for K, s, d in layers)).astype(np.float64)
    for layer in chain.layers:
        layer.w.value[...] = 1 / 9
    dy = np.zeros_like(chain.forward(np.zeros((1, size, size, 1))))
    dy[0, dy.shape[1] // 2, dy.shape[2] // 2] = 1
    return chain.backward(dy)[0, :, :, 0]


figure, axes = plt.subplots(1, 4, figsize=(9, 2.6))
for ax, (name, layers) in zip(axes, STACKS.items(), strict=True):
    dx = influence(layers)
    seen = np.flatnonzero(dx.any(axis=0))
    assert np.ptp(seen) + 1 == receptive_field(layers)  # the picture and your rule agree
    shown = np.where(dx > 0, dx / dx.max(), np.nan)
    image_row([shown], [f"{name}:\n{receptive_field(layers)} wide"], [ax], 0, 1, "viridis")
    ax.axis("on")
    ax.spines[:].set_visible(True)
    ax.set(xticks=(), yticks=())

# %% [markdown]
# **Look.** White pixels are not seen at all; bright ones are reached on many paths. Stride 2, 2, 2 and dilation 1, 2, 4 give the same
# pattern (that it sits elsewhere is only where the middle of the last layer falls). They do compute the same, the strided stack at every
# eighth pixel only, the dilated one at all of them, and pays for it. On the right is a trap: with dilation 2 throughout, three
# pixels of four within the field are never looked at.
#
# The encoders of the paper use both. That of the X-rays ([cxr_encoder](ums/networks.py:cxr_encoder), section 4.1.1) has four strides of 2, that of
# the echo study ([echo_encoder](ums/networks.py:echo_encoder), section 4.2.1) six convolutions, the last three with dilation 2. The text leaves its
# strides open; in ums the first three have stride 2.

# %%
cxr = [(3, 2, 1)] * 4
echo = [(3, 2, 1)] * 3 + [(3, 1, 2)] * 3
echo_undilated = [(3, 2, 1)] * 3 + [(3, 1, 1)] * 3
for name, layers in {"X-ray": cxr, "echo": echo, "echo, undilated": echo_undilated}.items():
    print(f"{name:16} {receptive_field(layers):4} pixels")

# %% [markdown]
# ## The matrix inside
#
# Here is the definition as loops, the innermost sum (over $c$) as a product of NumPy.


# %%
def conv2d_loop(x, w, b, stride=1, dilation=1):
    """The formula above, term by term: y (N, OH, OW, O)."""
    N, H, W, _ = x.shape
    K, _, _, O = w.shape
    p = dilation * (K - 1) // 2
    y = np.zeros((N, -(-H // stride), -(-W // stride), O), x.dtype) + b
    for n, i, j in np.ndindex(y.shape[:3]):
        for u, v in np.ndindex(K, K):
            row, column = stride * i + dilation * u - p, stride * j + dilation * v - p
            if 0 <= row < H and 0 <= column < W:
                y[n, i, j] += x[n, row, column] @ w[u, v]
    return y


rng = np.random.default_rng(0)
x = rng.normal(size=(4, 32, 32, 16)).astype(np.float32)
w, b = rng.normal(size=(3, 3, 16, 16)).astype(np.float32), np.zeros(16, np.float32)
start = perf_counter()
conv2d_loop(x, w, b)
seconds = perf_counter() - start
print(f"4 images of 32 x 32, 16 channels: {seconds:.2f} s")
print(f"16 images of 256 x 256: {4 * 64 * seconds:.0f} s, for one layer of one step of training")

# %% [markdown]
# Now fix one output pixel $(n, i, j)$. The window it sees holds $K \cdot K \cdot C$ numbers. Write them in a row, and the kernel of each
# output channel in a column: then $y_{nijo}$ is row times column. Write all windows of the batch below each other, and the
# convolution is *one matrix product*,
#
# $$ y = A\, w + b, \qquad A: (N \cdot OH \cdot OW) \times (K \cdot K \cdot C), \qquad w: (K \cdot K \cdot C) \times O , $$
#
# with $OH = \lceil H/s \rceil$ and $OW = \lceil W/s \rceil$. Matrix products are what computers are best at. To build $A$ is called *im2col*.
#
# It is easiest one kernel position at a time. Take a fixed $(u, v)$: which pixels of $\hat x$ does the weight $w_{uv}$ meet, for all $i$ and
# $j$? Rows $d u,\; d u + s,\; d u + 2 s, \dots$, $OH$ of them. NumPy has a slice for just that: `start:stop:step`.
#
# **Predict.** $x$ is a row of six pixels `[10, 20, 30, 40, 50, 60]`, $K = 3$, $s = 2$, $d = 1$. Which pixels does the left weight
# ($v = 0$) meet, which the middle one, which the right one? And with $d = 2$?
#
# *your guess:*
#
# **Write** `im2col`: two loops, over $u$ and $v$, none over pixels.


# %%
def im2col(x, kernel, stride=1, dilation=1):
    """A (N, OH, OW, K, K, C): A[n, i, j] is the window of pixel (i, j); x is (N, H, W, C)."""
    N, H, W, C = x.shape
    K, OH, OW = kernel, -(-H // stride), -(-W // stride)  # -(-a // b) rounds up
    p = dilation * (K - 1) // 2
    x_pad = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    A = np.empty((N, OH, OW, K, K, C), x.dtype)
    # BEGIN SOLUTION
    for u in range(K):
        for v in range(K):
            rows = slice(dilation * u, dilation * u + stride * OH, stride)
            columns = slice(dilation * v, dilation * v + stride * OW, stride)
            A[:, :, :, u, v] = x_pad[:, rows, columns]
    return A
    # END SOLUTION


# %%
check.im2col(im2col)

# %% [markdown]
# **Write** `conv2d`, with your `im2col`: make $A$ and $w$ matrices by `reshape`, multiply, add $b$, and give $y$ its shape back.


# %%
def conv2d(x, w, b, stride=1, dilation=1):
    """y (N, OH, OW, O) from x (N, H, W, C), w (K, K, C, O) and b (O,)."""
    K, _, C, O = w.shape
    A = im2col(x, K, stride, dilation)
    # BEGIN SOLUTION
    N, OH, OW = A.shape[:3]
    y = A.reshape(N * OH * OW, K * K * C) @ w.reshape(K * K * C, O) + b
    return y.reshape(N, OH, OW, O)
    # END SOLUTION


# %%
check.conv2d(conv2d)

# %% [markdown]
# ## What is fast?
#
# The three do the same sums. The library's formula, [conv2d_forward_plain](ums/ops/conv.py:conv2d_forward_plain), is yours. What
# runs, [conv2d_forward](ums/ops/fast/conv.py:conv2d_forward), builds $A$ a *tile* at a time, a few rows of a few images, multiplies at once, and shares the tiles out over the computer's cores.
#
# **Predict.** How many times faster than the loop is your `conv2d`: 10, 100, 1000 times? And $A$ is $K \cdot K = 9$ times as
# large as $x$. How many megabytes is that for 4 images of 256 x 256 with 16 channels (4 bytes a number)? By what factor will tiles be faster than
# the whole on two cores: 2, as there are two, or more?
#
# *your guess:*


# %%
def seconds_of(convolve, side):
    """The median of five runs on 4 images of side x side, 16 channels to 16."""
    x = np.random.default_rng(0).normal(size=(4, side, side, 16)).astype(np.float32)
    convolve(x, w, b)
    times = []
    with threadpool_limits(1):  # NumPy's products on one core
        for _ in range(5):
            start = perf_counter()
            convolve(x, w, b)
            times.append(perf_counter() - start)
    return np.median(times)


ways = {
    "loop": (conv2d_loop, (8, 16, 32)),
    "your im2col": (conv2d, (8, 16, 32, 64, 128, 256)),
    "tiles": (conv2d_forward, (8, 16, 32, 64, 128, 256)),
}
times = {
    name: {side: seconds_of(convolve, side) for side in sides}
    for name, (convolve, sides) in ways.items()
}
figure, ax = plt.subplots(figsize=(5.5, 3))
for k, (name, of_side) in enumerate(times.items()):
    each = [1e9 * t / (4 * side**2) for side, t in of_side.items()]
    ax.loglog(list(of_side), each, "o-", label=name, color=COLOURS[k])
ax.set(xlabel="side of the image, pixels", ylabel="ns per output pixel")
ax.set_xticks((8, 16, 32, 64, 128, 256), ("8", "16", "32", "64", "128", "256"), minor=False)
ax.minorticks_off()
ax.legend()
plt.show()
print(f"at 32 pixels im2col is {times['loop'][32] / times['your im2col'][32]:.0f} times as fast")
print(f"at 256 tiles are {times['your im2col'][256] / times['tiles'][256]:.1f} times as fast again")
print(f"there A has {4 * 256 * 256 * 9 * 16 * 4 / 1e6:.0f} MB")

# %% [markdown]
# **Look.** The figures are your computer's; on two busy cores we saw the matrix 100 to 300 times as fast as the loop, which spends its time in Python and
# not on arithmetic, and the tiles two to five times as fast as that where the image is large (where it is tiny, sharing out costs more than it
# brings). Two of it can be the cores. The rest is memory: $A$ whole is written to main memory and read back, which takes longer than to multiply it. A tile never leaves the
# core's cache.
#
# ## The way back
#
# `im2col` takes numbers from places and puts them in others, some of them many times. It does no arithmetic, so it is linear: as a
# huge matrix it would hold zeros and ones only. Lesson 2 has shown what the backward pass of $y = A w + b$ is when $A$ is a matrix of
# inputs: $\texttt{dw} = A^\top \texttt{dy}$, and for $A$ itself $\texttt{dA} = \texttt{dy}\, w^\top$. What is missing is the way from $\texttt{dA}$ back to
# $\texttt{dx}$. A pixel of $x$ stands in $A$ many times, and by the chain rule its gradient is the **sum** over all its places:
#
# $$ \texttt{dx}_j = \sum_{\text{places } k \text{ of } A \text{ with } A_k = x_j} \texttt{dA}_k . $$
#
# This is *col2im*, the *adjoint* of im2col: the transpose of that huge matrix. Whoever is in doubt about an adjoint $A'$ can test it
# without any derivative, since for all $x$ and $y$
#
# $$ \langle A x,\, y \rangle = \langle x,\, A' y \rangle , $$
#
# where $\langle a, b \rangle$ is the sum of all products of entries, $\sum_k a_k b_k$.
#
# **Predict.** Take $x$ with ones everywhere, $K = 3$, $s = d = 1$. What is `col2im(im2col(x))` in the middle of the image? On an edge? In a
# corner?
#
# *your guess:*
#
# **Write** `col2im`. The same slices as in `im2col`, on the other side of the assignment. Mind the word *sum*, and the border.


# %%
def col2im(columns, shape, stride=1, dilation=1):
    """The adjoint of im2col: columns (N, OH, OW, K, K, C) -> an array of `shape` (N, H, W, C)."""
    N, H, W, C = shape
    _, OH, OW, K, _, _ = columns.shape
    p = dilation * (K - 1) // 2
    x_pad = np.zeros((N, H + 2 * p, W + 2 * p, C), columns.dtype)
    # BEGIN SOLUTION
    for u in range(K):
        for v in range(K):
            down = slice(dilation * u, dilation * u + stride * OH, stride)
            across = slice(dilation * v, dilation * v + stride * OW, stride)
            x_pad[:, down, across] += columns[:, :, :, u, v]
    return x_pad[:, p : p + H, p : p + W]
    # END SOLUTION


# %%
check.col2im(im2col, col2im)

# %% [markdown]
# Your predictions, for three ways to slide. The number in a pixel is how many windows it is in.

# %%
ones = np.ones((1, 7, 7, 1))
figure, axes = plt.subplots(1, 3, figsize=(8, 2.9))
for ax, (stride, dilation) in zip(axes, ((1, 1), (2, 1), (1, 2)), strict=True):
    count = col2im(im2col(ones, 3, stride, dilation), ones.shape, stride, dilation)[0, :, :, 0]
    image_row([count], [f"stride {stride}, dilation {dilation}"], [ax], 0, 9, "viridis")
    for i, j in np.ndindex(count.shape):
        colour = "black" if count[i, j] > 5 else "white"
        ax.text(j, i, f"{count[i, j]:.0f}", ha="center", va="center", color=colour)

# %% [markdown]
# **Look.** With stride 1 every inner pixel is in nine windows, with stride 2 some are in one and others in four: the gradient of a
# strided convolution is a little chequered, even where `dy` is smooth. Dilation makes the border wider. All of these are sums; were `col2im` the *inverse*
# of im2col, there would be ones everywhere.
#
# With that the backward pass of the convolution is complete, and the check of lesson 2 accepts it, for a stride and a dilation at once:


# %%
def forward(x, w, b):
    return conv2d(x, w, b, stride=2, dilation=2), (x, w)


def backward(dy, cache):
    """dx, dw and db of a convolution with stride 2 and dilation 2, by three lines of matrices."""
    x, w = cache
    matrix, upstream = im2col(x, 3, 2, 2).reshape(-1, w[..., 0].size), dy.reshape(-1, dy.shape[3])
    dw = (matrix.T @ upstream).reshape(w.shape)
    dA = upstream @ w.reshape(-1, w.shape[3]).T
    return (
        col2im(dA.reshape(*dy.shape[:3], *w.shape[:3]), x.shape, 2, 2),
        dw,
        dy.sum(axis=(0, 1, 2)),
    )


shapes = {"x": (2, 6, 5, 3), "w": (3, 3, 3, 4), "b": (4,)}
inputs = {name: rng.normal(size=shape) for name, shape in shapes.items()}
errors = check_gradients(forward, backward, inputs, rng=rng)
print("relative errors:", ", ".join(f"d{name} {error:.0e}" for name, error in errors.items()))

# %% [markdown]
# The library's formulas stand in one file, [conv.py](ums/ops/conv.py), which you can now read from top to bottom: [im2col](ums/ops/conv.py:im2col), [col2im](ums/ops/conv.py:col2im),
# [conv2d_grad_weights_plain](ums/ops/conv.py:conv2d_grad_weights_plain) and [conv2d_grad_input_plain](ums/ops/conv.py:conv2d_grad_input_plain). The same in tiles is
# [fast/conv.py](ums/ops/fast/conv.py). Where there are many channels, [winograd](ums/ops/fast/winograd.py) gets by with a quarter of the multiplications.
#
# ## Think
#
# 1. The X-ray encoder of the paper strides where other networks pool, and the echo encoder dilates. What does each cost in
#    multiplications, for the same receptive field, and what is lost?
# 2. The last three layers of the echo encoder have dilation 2 throughout, like the stack with the holes. Does it have holes, too? (Draw
#    `influence(echo, 255)`.) Why are they so narrow, and does any pixel go unseen?
# 3. `conv2d_grad_input` of a convolution with stride 1 never calls `col2im`: it *convolves* `dy`, with the kernel turned by half a turn. Why is that
#    the same? Write one row of pixels, three weights.
# 4. A student's `col2im` uses `=` instead of `+=`. Its output has the right shape, and `col2im(im2col(x))` is exactly $x$. Why is that
#    wrong, and why is it so tempting?

# %% [markdown] tags=["solution"]
# **Answers.**
#
# 1. A stride $s$ divides the pixels of the output, and so the multiplications of this and all later layers, by $s^2$. With as many channels
#    throughout, strides 2, 2, 2 cost $1/4 + 1/16 + 1/64$ of an undilated layer, dilations 1, 2, 4 cost 3 of them: nine times as much. What
#    strides lose is place: the map has an eighth of the rows. Dilation keeps them, and can leave holes.
# 2. Yes, lines one pixel wide. A pixel of the third layer sees 15 pixels, and two steps of that layer are 16: side by side, such
#    windows leave one pixel out. No pixel goes unseen: the windows of the neighbouring output, 8 pixels on, lie across the line.
# 3. $y_i = w_0 x_{i-1} + w_1 x_i + w_2 x_{i+1}$, so $x_j$ stands in $y_{j+1}$ with $w_0$, in $y_j$ with $w_1$, in $y_{j-1}$ with $w_2$:
#    $\texttt{dx}_j = w_2\, \texttt{dy}_{j-1} + w_1\, \texttt{dy}_j + w_0\, \texttt{dy}_{j+1}$. The same sum with the weights in reverse. In two
#    dimensions, reversed in both.
# 4. It is the inverse (as far as there is one), not the adjoint: each place overwrites the others, and one of up to nine contributions is
#    left. It is tempting because "the way back" sounds like undoing. A backward pass undoes nothing; it collects.
