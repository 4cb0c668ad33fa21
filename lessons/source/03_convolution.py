# %% [markdown]
# # 3 How is a convolution computed?
#
# A network for images spends nearly all its time in convolutions. The definition of a convolution is a sum, which you can
# write as loops in five minutes; then you wait for it all night. In this lesson you find the matrix product that is hidden in the sum, and the matrix
# leads to the backward pass, too.
#
# You write four functions: `receptive_field`, `im2col`, `conv2d` and `col2im`.

# %%
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from threadpoolctl import threadpool_limits

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_03 as check
from lessons.own import keep
from lessons.pictures import COLOURS, image_row, show, use_style
from lessons.sliders import slide
from ums.gradcheck import check_gradients
from ums.layers import Conv2D, Sequential
from ums.ops import conv2d_forward

use_style()

# %% [markdown]
# ## A window that slides
#
# A *kernel* is a small square of weights. It is laid on the image. Each weight is multiplied by the pixel beneath it, and
# the products are added up. The sum is one number, for the pixel in the middle. Then the kernel moves on. For an input $x$ of shape
# `(N, H, W, C)` (images, height, width, channels) and a kernel $w$ of shape `(K, K, C, O)`, with $K$ odd,
#
# $$ y_{nijo} = b_o + \sum_{u=0}^{K-1} \sum_{v=0}^{K-1} \sum_{c=0}^{C-1} \hat x_{n,\; s i + d u,\; s j + d v,\; c} \;\, w_{uvco} . $$
#
# Two numbers say how the kernel moves. The *stride* $s$ is the length of its steps, in pixels, so the output has $s$ times fewer rows and columns than the input.
# The *dilation* $d$ is the distance between neighbouring weights. $\hat x$ is $x$ with a border of $p = d\,(K-1)/2$ zeros on every side, so that the window
# fits at the edge as well. The output has $\lceil H/s \rceil$ rows and $\lceil W/s \rceil$ columns.
#
# Here is a kernel that responds to vertical edges: it subtracts what is on its right from what is on its left.

# %%
film = make_synthetic(3, 128, np.random.default_rng(4)).images[1] / 255.0
edge = np.array([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])


def edges(stride, dilation):
    """The film convolved with the kernel `edge`, (H, W)."""
    x, w = film[None, :, :, None], edge[:, :, None, None]
    y, _ = conv2d_forward(x, w, np.zeros(1), stride, dilation)
    return y[0, :, :, 0]


figure, axes = plt.subplots(1, 5, figsize=(11, 2.5))
image_row([film], ["film, 128 x 128"], axes[:1], high=1)
for ax, (stride, dilation) in zip(axes[1:], ((1, 1), (1, 2), (1, 4), (2, 1)), strict=True):
    y = edges(stride, dilation)
    title = f"s = {stride}, d = {dilation}: {len(y)} x {len(y)}"
    image_row([y], [title], [ax], low=-1.2, high=1.2, colours="PuOr")
show(
    "A chest film and its vertical edges for four pairs of stride and dilation. The larger the dilation, "
    "the broader the edges; with stride 2 the picture has half as many rows and columns."
)

# %% [markdown]
# **Look.** Purple means that it gets darker from left to right, orange that it gets brighter. With a larger dilation the same nine weights compare pixels that are
# farther apart. Wide, soft borders, such as the heart's, respond more strongly, and the letter R appears twice. The rightmost
# picture consists of every second pixel, in both directions, of the one with $s = d = 1$. (A network learns its kernels. This one, made by hand, is Sobel's.)
#
# ## How far does a pixel see?
#
# An output pixel of one 3x3 convolution depends on 3x3 input pixels. If a second convolution follows, each of its output pixels depends on 3x3 pixels of the first, and each of these on
# 3x3 pixels of the image. The square of the image that a pixel of the last layer depends on is its *receptive field*. A
# network that is to find a lung must be able to see one.
#
# **Predict.** How wide is the receptive field of three 3x3 convolutions, if
#
# - all have stride 1 and dilation 1,
# - all have stride 2,
# - the dilations are 1, 2 and 4?
#
# *your guess:*
#
# The rule: go through the layers, beginning at the image, and keep track of two numbers. The width of the field is $r$. The *jump* $j$ is the distance, in pixels of the image,
# between two neighbouring pixels of the present layer. Before the first layer both are 1. A row of the kernel has $K$ weights, $d$ apart, so from its first to its last weight it
# spans $(K - 1)\, d$ steps of the layer below. Each of those steps is $j$ pixels long, and that is how much is added to $r$. After that, the layer's stride multiplies $j$.
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
# Is the rule right? A backward pass can tell. Put a 1 on the middle pixel of the last layer and 0 everywhere else, and go back. Where
# $\texttt{dx}$ is not 0, the pixel matters. If all weights are equal, $\texttt{dx}$ also says how much it matters. Each of the four stacks below has three layers of
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
    network = Sequential(*[Conv2D(1, 1, rng, K, s, d) for K, s, d in layers]).astype(np.float64)
    for layer in network.layers:
        layer.w.value[...] = 1 / 9
    y = network.forward(np.zeros((1, size, size, 1)))
    dy = np.zeros(y.shape)
    dy[0, dy.shape[1] // 2, dy.shape[2] // 2] = 1
    return network.backward(dy)[0, :, :, 0]


def draw_influence(layers, name, ax, size=25):
    """Draw dx; pixels that are not seen are white."""
    dx = influence(layers, size)
    seen = np.where(dx > 0, dx / dx.max(), np.nan)
    image_row([seen], [f"{name}:\n{receptive_field(layers)} wide"], [ax], 0, 1, "viridis")
    ax.axis("on")
    ax.spines[:].set_visible(True)
    ax.set(xticks=(), yticks=())
    return dx


figure, axes = plt.subplots(1, 4, figsize=(9, 2.6))
for ax, (name, layers) in zip(axes, STACKS.items(), strict=True):
    dx = draw_influence(layers, name, ax)
    columns = np.flatnonzero(dx.any(axis=0))
    assert columns[-1] - columns[0] + 1 == receptive_field(layers)  # picture and rule agree
show(
    "Influence of the image's pixels on one output pixel. Stride 1, 1, 1: a square of 7. Stride 2, 2, 2 "
    "and dilation 1, 2, 4: a square of 15. Dilation 2, 2, 2: a grid of separate dots, 13 wide."
)

# %% [markdown]
# **Look.** White pixels are not seen at all; bright ones are reached on many paths. Stride 2, 2, 2 and dilation 1, 2, 4 give the same
# pattern. (Its place differs only because the middle of the last layer falls on another pixel.) They do compute the same: the strided stack at every
# eighth pixel only, the dilated stack at every pixel, which costs far more. On the right is a trap: with dilation 2 throughout, seven out of ten
# pixels within the field are never looked at.
#
# **Try it.** Here are three 3x3 convolutions with the dilations that you choose.
#
# 1. Set the dilations to 1, 2, 4 and then to 4, 2, 1. Does the order matter?
# 2. Set all of them to 2, then to 3. Which share of the field is seen?
# 3. **Predict** first: what is the widest field *without a hole* that three layers can have? Then find it.
#
# *your answers:*
#
# (If you see no sliders, call `draw_field(1, 2, 4)` with other numbers in a cell of your own.)


# %%
def draw_field(first, second, third):
    """The influence on one pixel through three dilated 3x3 convolutions, and the share seen."""
    layers = [(3, 1, first), (3, 1, second), (3, 1, third)]
    _, ax = plt.subplots(figsize=(3.6, 3.9))
    dx = draw_influence(layers, f"dilations {first}, {second}, {third}", ax, size=57)
    seen = (dx > 0).sum() / receptive_field(layers) ** 2
    ax.set_xlabel(f"{seen:.0%} of the field is seen")


slide(
    draw_field,
    "The receptive field of three dilated convolutions: with the dilations 1, 2, 4 a square of 15 "
    "pixels, all of them seen.",
    first=(1, 9, 1),
    second=(1, 9, 2),
    third=(1, 9, 4),
)

# %% [markdown]
# The *encoders* of the paper, the first parts of its networks, use strides and dilation. The one for X-rays ([cxr_encoder](ums/networks.py:cxr_encoder), section 4.1.1) has four strides of 2. The one of
# the echo study ([echo_encoder](ums/networks.py:echo_encoder), section 4.2.1) has six convolutions, the last three of which have dilation 2. The paper does not give its
# strides; in ums the first three are 2.

# %%
encoders = {
    "X-ray": [(3, 2, 1)] * 4,
    "echo": [(3, 2, 1)] * 3 + [(3, 1, 2)] * 3,
    "echo, undilated": [(3, 2, 1)] * 3 + [(3, 1, 1)] * 3,
}
for name, layers in encoders.items():
    print(f"{name:16} {receptive_field(layers):4} pixels")

# %% [markdown]
# ## The matrix inside
#
# Here is the definition as loops. Only the innermost sum, over $c$, is left to NumPy.


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
print(f"16 images of 256 x 256: {4 * 64 * seconds:.0f} s, for one layer in one step of training")

# %% [markdown]
# Now consider one output pixel $(n, i, j)$. Its window holds $K \cdot K \cdot C$ numbers. Write them in a row, and write the kernel of each
# output channel as a column: then $y_{nijo}$ is row times column. Write the windows of all pixels in the batch one below the other, and the whole
# convolution becomes *one matrix product*,
#
# $$ y = A\, w + b, \qquad A: (N \cdot OH \cdot OW) \times (K \cdot K \cdot C), \qquad w: (K \cdot K \cdot C) \times O , $$
#
# with $OH = \lceil H/s \rceil$ and $OW = \lceil W/s \rceil$. Few things run as fast on a computer as a matrix product. Building $A$ is called *im2col*.
#
# It is easiest to build one kernel position at a time. Take a fixed $(u, v)$. Which pixels of $\hat x$ does the weight $w_{uv}$ meet, for all $i$ and
# $j$? It meets the rows $d u,\; d u + s,\; d u + 2 s, \dots$; there are $OH$ of them. NumPy has a slice for exactly that: `start:stop:step`.
#
# **Predict.** $x$ is a row of six pixels, `[10, 20, 30, 40, 50, 60]`, with $K = 3$, $s = 2$ and $d = 1$. Which pixels does the left weight
# ($v = 0$) meet, which the middle one, and which the right one? What changes if $d = 2$?
#
# *your guess:*
#
# <details><summary><b>Hint 1: the row of six pixels on paper</b></summary>
#
# With $p = 1$ the padded row is `[0, 10, 20, 30, 40, 50, 60, 0]`, and $OW = 3$. The left weight meets the places 0, 2, 4 of it, the middle one 1, 3, 5, and the right one 2, 4, 6.
# </details>
#
# <details><summary><b>Hint 2: the slice</b></summary>
#
# It starts at $d v$, its step is $s$, and it must hold $OW$ places. So its stop may be any number above $d v + s\,(OW - 1)$ and up to $d v + s\, OW$. The rows go the same way, with $u$ and $OH$.
# </details>
#
# **Write** `im2col`. It takes two loops, over $u$ and $v$, and none over pixels.


# %%
def im2col(x, kernel, stride=1, dilation=1):
    """A (N, OH, OW, K, K, C): A[n, i, j] is the window of pixel (i, j); x is (N, H, W, C)."""
    N, H, W, C = x.shape
    K, OH, OW = kernel, -(-H // stride), -(-W // stride)  # -(-a // b) rounds up
    p = dilation * (K - 1) // 2
    x_pad = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    A = np.zeros((N, OH, OW, K, K, C), x.dtype)
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
# **Write** `conv2d` with your `im2col`. Turn $A$ and $w$ into matrices with `reshape`, multiply them, add $b$, and give $y$ its shape back. The result has the type of `x`.


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
# The loops, your matrix and the library compute the same sums. What the library runs,
# `conv2d_forward`, builds $A$ one *tile* at a time, a few rows of a few images. It multiplies each tile as soon as it is built, and it divides the tiles among the cores of the computer.
#
# **Predict.** How many times faster than the loops is your `conv2d`: 10, 100, 1000 times? $A$ is $K \cdot K = 9$ times as
# large as $x$. How many megabytes is that for 4 images of 256 x 256 with 16 channels, at 4 bytes a number? And how many times faster are tiles than
# the whole matrix on two cores: twice, because there are two, or more?
#
# *your guess:*


# %%
def seconds_of(convolve, side):
    """The median of five runs on 4 images of side x side, 16 channels to 16."""
    x = np.random.default_rng(0).normal(size=(4, side, side, 16)).astype(np.float32)
    convolve(x, w, b)
    seconds = []
    with threadpool_limits(1):  # NumPy's products on one core
        for _ in range(5):
            start = perf_counter()
            convolve(x, w, b)
            seconds.append(perf_counter() - start)
    return np.median(seconds)


SIDES = (8, 16, 32, 64, 128, 256)
loops = [seconds_of(conv2d_loop, side) for side in SIDES[:3]]
yours = [seconds_of(conv2d, side) for side in SIDES]
tiles = [seconds_of(conv2d_forward, side) for side in SIDES]
pixels = 4 * np.array(SIDES) ** 2

figure, ax = plt.subplots(figsize=(5.5, 3))
ax.loglog(SIDES[:3], 1e9 * np.array(loops) / pixels[:3], "o-", color=COLOURS[0], label="loops")
ax.loglog(SIDES, 1e9 * np.array(yours) / pixels, "s--", color=COLOURS[1], label="your im2col")
ax.loglog(SIDES, 1e9 * np.array(tiles) / pixels, "^:", color=COLOURS[2], label="tiles")
ax.set(xlabel="side of the image, pixels", ylabel="ns per output pixel")
ax.set_xticks(SIDES, [str(side) for side in SIDES], minor=False)
ax.minorticks_off()
ax.legend()
show(
    "Nanoseconds per output pixel against the side of the image. The loops lie about a hundred times "
    "above im2col; the tiles lie below im2col where images are large."
)
print(f"at 32 pixels im2col is {loops[2] / yours[2]:.0f} times as fast as the loops")
print(f"at 256 pixels tiles are {yours[5] / tiles[5]:.1f} times as fast as im2col")
print(f"there A has {4 * 256 * 256 * 9 * 16 * 4 / 1e6:.0f} MB")

# %% [markdown]
# **Look.** The numbers are your computer's. On two busy cores we saw the matrix run about 100 to 300 times as fast as the loops, which spend their time in Python and
# not on arithmetic. The tiles were two to five times faster still for large images. (For tiny ones, dividing up the work costs more than it
# gains.) The two cores explain a factor of 2. The rest is memory: the whole of $A$ is written to main memory and read back, which takes longer than multiplying it. A tile never leaves the
# core's cache.
#
# ## The way back
#
# `im2col` takes numbers from some places and puts them in others, many of them several times. Where they go does not depend on their values, so `im2col` is linear: written as a
# huge matrix $T$, it would hold only zeros and ones. Lesson 2 showed the backward pass of $y = A w + b$ for a matrix $A$ of
# inputs: $\texttt{dw} = A^\top \texttt{dy}$, and for $A$ itself $\texttt{dA} = \texttt{dy}\, w^\top$. What is missing is the way from $\texttt{dA}$ back to
# $\texttt{dx}$. A pixel of $x$ appears in $A$ several times, and by the chain rule its gradient is the **sum** over all these places:
#
# $$ \texttt{dx}_j = \sum_{\text{places } k \text{ of } A \text{ with } A_k = x_j} \texttt{dA}_k . $$
#
# This is *col2im*, the *adjoint* of im2col: the transpose $T^\top$ of that huge matrix. An adjoint can be tested
# without any derivative, since for all arrays $x$ and $y$ that fit
#
# $$ \langle T x,\, y \rangle = \langle x,\, T^\top y \rangle , $$
#
# where $\langle a, b \rangle = \sum_k a_k b_k$ is the sum of the products of all entries.
#
# **Predict.** Let $x$ be all ones, $K = 3$, $s = d = 1$. What is `col2im(im2col(x))` in the middle of the image? On an edge? In a
# corner?
#
# *your guess:*
#
# <details><summary><b>Hint: read im2col backwards</b></summary>
#
# For each $(u, v)$, `im2col` read one slice of the padded image into `A[:, :, :, u, v]`. Now `columns[:, :, :, u, v]` must go to the places of that same slice. Other $(u, v)$ go to some of the same places. What
# may not happen to the numbers that are already there? And which part of the padded image is the answer?
# </details>
#
# **Write** `col2im`. The slices are those of `im2col`, on the other side of the assignment. Mind the word *sum*, and the border.


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
# **Keep.** Once the checks pass, this cell writes your three functions to the folder `own/`. In the folder above this one, the command
# `python -m lessons study` then runs a small X-ray study with them in place of the library's, and its page says so.

# %%
keep(im2col, conv2d, col2im)

# %% [markdown]
# Here are your predictions, for three ways to slide. The number in each pixel says how many windows it is in.

# %%
ones = np.ones((1, 7, 7, 1))
figure, axes = plt.subplots(1, 3, figsize=(8, 2.9))
for ax, (stride, dilation) in zip(axes, ((1, 1), (2, 1), (1, 2)), strict=True):
    count = col2im(im2col(ones, 3, stride, dilation), ones.shape, stride, dilation)[0, :, :, 0]
    image_row([count], [f"stride {stride}, dilation {dilation}"], [ax], 0, 9, "viridis")
    for i, j in np.ndindex(count.shape):
        colour = "black" if count[i, j] > 5 else "white"
        ax.text(j, i, f"{count[i, j]:.0f}", ha="center", va="center", color=colour)
show(
    "How many windows each of 7 x 7 pixels is in. Stride 1: 9 inside, 6 on an edge, 4 in a corner. Stride "
    "2: a chequered pattern of 1, 2 and 4. Dilation 2: 9 only in the middle."
)

# %% [markdown]
# **Look.** With stride 1 every inner pixel is in nine windows. With stride 2 some are in one and others in four, so the gradient of a
# strided convolution is slightly chequered, even if `dy` is smooth. Dilation makes the border wider. All of these are sums. If `col2im` were the *inverse*
# of im2col, there would be ones everywhere.
#
# Now the backward pass of the convolution is complete. The check of lesson 2 accepts it, here for stride 2 and dilation 2:


# %%
def forward(x, w, b):
    return conv2d(x, w, b, stride=2, dilation=2), (x, w)


def backward(dy, cache):
    """dx, dw and db of a convolution with stride 2 and dilation 2."""
    x, w = cache
    K, _, C, O = w.shape
    A = im2col(x, K, stride=2, dilation=2)
    matrix = A.reshape(-1, K * K * C)  # (N OH OW, K K C)
    upstream = dy.reshape(-1, O)  # (N OH OW, O)
    dw = matrix.T @ upstream
    dA = upstream @ w.reshape(K * K * C, O).T
    dx = col2im(dA.reshape(A.shape), x.shape, stride=2, dilation=2)
    return dx, dw.reshape(w.shape), upstream.sum(axis=0)


inputs = {
    "x": rng.normal(size=(2, 6, 5, 3)),
    "w": rng.normal(size=(3, 3, 3, 4)),
    "b": rng.normal(size=4),
}
errors = check_gradients(forward, backward, inputs, rng=rng)
for name, error in errors.items():
    print(f"relative error of d{name}: {error:.0e}")

# %% [markdown]
# The library's formulas are in one file, [conv.py](ums/ops/conv.py), which you can now read from top to bottom: [im2col](ums/ops/conv.py:im2col), [col2im](ums/ops/conv.py:col2im),
# [conv2d_forward_plain](ums/ops/conv.py:conv2d_forward_plain), [conv2d_grad_weights_plain](ums/ops/conv.py:conv2d_grad_weights_plain) and
# [conv2d_grad_input_plain](ums/ops/conv.py:conv2d_grad_input_plain). The same in tiles is
# in [fast/conv.py](ums/ops/fast/conv.py). For many channels, [winograd](ums/ops/fast/winograd.py) needs only a quarter of the multiplications.
#
# ## Think
#
# **Question 1.** The X-ray encoder of the paper uses strides where other networks pool, and the echo encoder uses dilation. Compare strides of 2, 2, 2 with dilations of 1, 2, 4: what does each cost in
# multiplications, and what is lost?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 1 (4 points).** A stride $s$ divides the number of output pixels, and so the multiplications of this and all later layers, by $s^2$ (1). With the same number of channels
# throughout, strides 2, 2, 2 cost $1/4 + 1/16 + 1/64$ of an undilated layer, and dilations 1, 2, 4 cost 3 of them: nine times as much (1). Strides
# lose position, since the map has only an eighth of the rows (1). Dilation keeps the position, and can leave holes (1).

# %% [markdown]
# **Question 2.** What is the widest field without a hole that three dilated 3x3 convolutions can have, and why is it not wider? Which dilations give it?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 2 (3 points).** 27 pixels, with the dilations 1, 3, 9 in any order (1). There are $3 \cdot 3 \cdot 3 = 27$ paths along a row, and every pixel that is seen needs at least one
# of them (1). With 1, 3, 9 each pixel has exactly one path, as each whole number from -13 to 13 is $a + 3b + 9c$ for exactly one choice of $a$, $b$ and $c$ from $-1$, 0 and 1 (1).

# %% [markdown]
# **Question 3.** The last three layers of the echo encoder have dilation 2 throughout, like the stack with the holes. Does it have holes, too? (Call
# `draw_influence(encoders["echo"], "echo", plt.gca(), 255)`.) Why are they so narrow, and is any pixel unseen by all outputs?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 3 (3 points).** Yes: lines that are one pixel wide (1). A pixel of the third layer sees 15 pixels, and two steps of that layer are 16 pixels long, so
# windows side by side leave out one pixel between them (1). No pixel goes unseen, because the windows of the neighbouring output pixel, 8 pixels farther on, cover the line (1).

# %% [markdown]
# **Question 4.** The library's `conv2d_grad_input` needs no `col2im` if the stride is 1. It *convolves* `dy`, with the kernel rotated by half a turn. Why is that
# the same? Write down one row of pixels and three weights.
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 4 (3 points).** $y_i = w_0 x_{i-1} + w_1 x_i + w_2 x_{i+1}$. So $x_j$ appears in $y_{j+1}$ with $w_0$, in $y_j$ with $w_1$ and in $y_{j-1}$ with $w_2$ (1):
# $\texttt{dx}_j = w_2\, \texttt{dy}_{j-1} + w_1\, \texttt{dy}_j + w_0\, \texttt{dy}_{j+1}$. That is the same sum with the weights in reverse order (1). In two
# dimensions they are reversed along both axes, which is a rotation by half a turn (1).

# %% [markdown]
# **Question 5.** A student's `col2im` uses `=` where there should be `+=`. Its output has the right shape, and `col2im(im2col(x))` is exactly $x$. Why is it
# wrong, and why is the mistake so tempting?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 5 (2 points).** It is the inverse (as far as there is one) and not the adjoint: each assignment overwrites the one before, and of up to nine contributions only one is
# left (1). It is tempting because "the way back" sounds like undoing, and because $x$ comes back. A backward pass undoes nothing; it collects (1).
