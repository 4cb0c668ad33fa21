# %% [markdown]
# # 2 What must a backward pass return?
#
# A network learns by asking of every number in it: if this were a little larger, would the loss grow or shrink, and
# how fast? A *backward pass* answers for all of them at once. Nobody gets one right every time, so here you also learn
# to find out, without knowing the right answer.
#
# You write four functions: `sigmoid_backward`, `dense_backward`, a wrong backward pass that fools a bad check, and
# `rejected`, which finds planted bugs.

# %%
import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_02 as check
from lessons.pictures import COLOURS, image_row, use_style
from ums.data import normalise
from ums.data.resize import resize_image
from ums.gradcheck import GradientError, check_gradients
from ums.ops import bce, dense_forward, sigmoid_forward, softmax_forward

use_style()

# %% [markdown]
# ## A slope
#
# Two hospitals, adults (0) and children (1), each film reduced to 8 x 8 pixels: $N = 80$ inputs $x$ of $C = 64$ numbers.
# One dense layer makes a number of each film, $z = x w + b$, and the loss $L$ says how badly $z$ tells
# the two apart: small where $z$ is large for children and very negative for adults. The loss is
# [bce](ums/ops/losses.py:bce), the subject of lesson 6.

# %%
rng = np.random.default_rng(3)
films = np.concatenate([make_synthetic(40, 32, rng, hospital).images for hospital in "AC"])
small = np.stack([resize_image(film, 8) for film in films])
x = normalise(small).reshape(80, 64).astype(np.float64)  # (N, C)
t = np.repeat([0.0, 1.0], 40)[:, None]  # (N, 1)
image_row(small[36:44], [f"t = {int(k)}" for k in t[36:44, 0]])
# %%
w, b = rng.normal(0, 1, (64, 1)), np.zeros(1)


def loss_at(value, i=48):
    """L when the weight number i is `value` and all others stay as they are."""
    changed = w.copy()
    changed[i] = value
    return bce(dense_forward(x, changed, b)[0], t)[0]


values = np.linspace(-7, 7, 141)
figure, ax = plt.subplots(figsize=(5.5, 2.8))
ax.plot(values, [loss_at(v) for v in values], color=COLOURS[0])
ax.plot(w[48], loss_at(w[48]), "o", color="black", label="where we are")
ax.set(xlabel="the weight $w_{48}$", ylabel="loss $L$", title="a slice through the loss")
ax.legend()
plt.show()

# %% [markdown]
# **Predict.** At the black point, is $\partial L / \partial w_{48}$ positive or negative? About how large: 0.005, 0.05, 0.5?
# Read it off the picture.
#
# *your guess:*
#
# The slope can be measured, by going a small step $h$ to either side (a *central difference*):
#
# $$ \frac{\partial L}{\partial w_{48}} \approx \frac{L(w_{48} + h) - L(w_{48} - h)}{2h} . $$


# %%
def central_difference(f, at, h=1e-5):
    return (f(at + h) - f(at - h)) / (2 * h)


slope = central_difference(loss_at, w[48, 0])
tangent = loss_at(w[48, 0]) + slope * (values - w[48, 0])
near = abs(values - w[48, 0]) < 3
ax.plot(values[near], tangent[near], color=COLOURS[1], label=f"tangent, slope {slope:.4f}")
ax.legend()
figure

# %% [markdown]
# **Look.** The tangent touches. So why not measure every slope in this way? Each costs two passes through the network,
# and a network has a million weights. A backward pass gets all of them for the price of about two passes.
#
# ## The chain, link by link
#
# An op computes $y = f(x)$. The rest of the network, whatever it is, makes the loss of $y$. The op is told one thing about
# that rest: $\texttt{dy} = \partial L / \partial y$, an array of the shape of $y$. It must return
# $\texttt{dx} = \partial L / \partial x$, an array of the shape of $x$:
#
# $$ \texttt{dx}_j = \frac{\partial L}{\partial x_j} = \sum_i \frac{\partial L}{\partial y_i}\,
# \frac{\partial y_i}{\partial x_j} = \sum_i \texttt{dy}_i\, \frac{\partial y_i}{\partial x_j} . $$
#
# That is the whole contract. In ums an op is two functions: `y, cache = op_forward(...)` keeps in `cache` what
# the way back needs, and `op_backward(dy, cache)` returns the gradients in the order of the arguments.
#
# **The sigmoid**, $y = 1 / (1 + e^{-x})$, works on each number by itself, so the sum has one term. Its derivative can be
# written with $y$ alone: $\partial y / \partial x = y\,(1 - y)$. That is why
# [sigmoid_forward](ums/ops/activations.py:sigmoid_forward) keeps $y$ and not $x$.
#
# **Write** `sigmoid_backward`.


# %%
def sigmoid_backward(dy, cache):
    """dx of the sigmoid; dy and dx have the shape of y, any shape."""
    (y,) = cache
    # BEGIN SOLUTION
    return dy * y * (1 - y)
    # END SOLUTION


# %%
check.sigmoid_backward(sigmoid_backward)

# %% [markdown]
# **The dense layer**, $y = x w + b$ with $x$ `(N, C)`, $w$ `(C, O)`, $b$ `(O,)`, $y$ `(N, O)`. Entry by entry:
#
# $$ y_{no} = \sum_c x_{nc}\, w_{co} + b_o . $$
#
# Start with one entry, say $w_{co}$. Which entries of $y$ does it appear in, and with which factor? Then
# $\texttt{dw}_{co}$ is a sum over just these. Do the same for $x_{nc}$ and for $b_o$, and write each of the sums as a
# matrix product if it is one.
#
# **Predict.** Without any derivative: `dy` is `(N, O)`. Which products of `dy`, `x` and `w`, transposed or not, have the
# shapes of $\texttt{dx}$ and $\texttt{dw}$ at all?
#
# *your guess:*
#
# **Write** `dense_backward`. No loop is needed.


# %%
def dense_backward(dy, cache):
    """dx (N, C), dw (C, O) and db (O,) from dy (N, O)."""
    x, w = cache
    # BEGIN SOLUTION
    dx = dy @ w.T
    dw = x.T @ dy
    db = dy.sum(axis=0)
    return dx, dw, db
    # END SOLUTION


# %%
check.dense_backward(dense_backward)

# %% [markdown]
# The library's [dense_backward](ums/ops/dense.py:dense_backward) consists of two functions, because not everybody needs
# both gradients: a frozen layer needs no $\texttt{dw}$ (lesson 8), the first layer no $\texttt{dx}$.
#
# ## It learns
#
# With your gradients the weights go down the slope: $w \leftarrow w - \eta\, \texttt{dw}$, three hundred times, with a rate $\eta = 1$. (The gradient of
# the loss with respect to $z$ comes with [bce](ums/ops/losses.py:bce) itself.)


# %%
def learn(backward, steps=300, rate=1.0):
    """Gradient descent from the same start; the loss at every step, and the last weights."""
    v, c, losses = w.copy(), b.copy(), []
    for _ in range(steps):
        z, cache = dense_forward(x, v, c)
        loss, dz = bce(z, t)
        _, dv, dc = backward(dz, cache)
        v, c = v - rate * dv, c - rate * dc
        losses.append(float(loss))
    return losses, v


losses, learned = learn(dense_backward)
figure, axes = plt.subplots(1, 3, figsize=(8.5, 2.5), width_ratios=(2, 1, 1))
axes[0].plot(losses, color=COLOURS[0])
axes[0].set(xlabel="step", ylabel="loss $L$", ylim=(0, None))
for ax, weights, title in zip(axes[1:], (w, learned), ("weights before", "after"), strict=True):
    image_row([weights.reshape(8, 8)], [title], ax, low=-4, high=4, colours="PuOr")

# %% [markdown]
# **Look.** Purple pixels speak for a child when they are bright, orange ones for an adult. Before, that was noise.
#
# ## How do you know?
#
# Your checks above compared your gradients with central differences. That is
# [check_gradients](ums/gradcheck.py:check_gradients), for any op, and it is the tool you will use in all further
# lessons. Two things about it are not obvious.
#
# **The first: the step.** **Predict.** The smaller $h$, the better the tangent. Is $h = 10^{-12}$ better than
# $h = 10^{-5}$? And in `float32`?
#
# *your guess:*


# %%
def error_of(h, dtype, forward_only=False):
    """Relative error of the difference quotient of exp at 1, whose slope is known: exp(1)."""
    at, h = dtype(1), dtype(h)
    below, width = (at, h) if forward_only else (at - h, 2 * h)
    return abs(float((np.exp(at + h) - np.exp(below)) / width) / np.e - 1)


steps = 10.0 ** np.arange(-14, 0.1, 0.25)
figure, ax = plt.subplots(figsize=(6, 3))
ax.loglog(steps, [error_of(h, np.float64, True) for h in steps], label="one-sided, float64")
ax.loglog(steps, [error_of(h, np.float64) for h in steps], label="central, float64")
coarse = steps[steps > 1e-7]
ax.loglog(coarse, [error_of(h, np.float32) for h in coarse], label="central, float32")
ax.axvline(1e-5, color="black", linestyle="--", linewidth=0.8)
ax.axhline(1e-6, color="black", linestyle=":", linewidth=0.8)
ax.set(xlabel="step $h$", ylabel="relative error of the slope")
ax.legend()
plt.show()

# %% [markdown]
# **Look.** From the right, the error falls with $h^2$ (one-sided only with $h$): the tangent gets better. From the left it
# falls with $1/h$: $f(x+h)$ and $f(x-h)$ agree in ever more digits, and their difference consists of rounding. At
# $h = 10^{-5}$ in `float64` (broken line) the central difference is right to ten digits, far below the $10^{-6}$ (dotted) that
# a check asks for; in `float32` it never gets there.
#
# **The second: the question asked.** A check needs a scalar, $L = \sum_i \texttt{dy}_i\, y_i$, and so it needs a `dy`. The simplest
# is all ones, $L = \sum_i y_i$. Here is a check that does it so:


# %%
def lazy_check(forward, backward, x):
    """Compare backward with central differences of sum(y): an upstream gradient of all ones."""
    y, cache = forward(x)
    dx = backward(np.ones(y.shape), cache)
    for i in np.ndindex(x.shape):
        step = np.zeros(x.shape)
        step[i] = 1e-5
        slope = (forward(x + step)[0].sum() - forward(x - step)[0].sum()) / 2e-5
        if abs(dx[i] - slope) > 1e-6:
            return f"wrong at {i}: expected {slope:.6f}, got {dx[i]:.6f}"
    return "nothing wrong found"


lazy_check(sigmoid_forward, sigmoid_backward, rng.normal(size=(2, 3)))

# %% [markdown]
# It can be fooled. The softmax, $y_k = e^{x_k} / \sum_j e^{x_j}$ along each row, turns numbers into shares that sum to 1.
#
# **Predict.** What is $\sum_k y_k$ of a row, and what does it do when an $x_j$ grows?
#
# *your guess:*
#
# **Write** `softmax_backward_wrong`: wrong, and yet the lazy check finds nothing wrong with it. (The right one is
# [softmax_backward](ums/ops/activations.py:softmax_backward).)


# %%
def softmax_backward_wrong(dy, cache):
    """A wrong dx of the softmax that a check with dy of all ones accepts; the shape of dy."""
    (y,) = cache
    # BEGIN SOLUTION
    return np.zeros(y.shape)
    # END SOLUTION


# %%
check.softmax_backward_wrong(softmax_backward_wrong)

# %% [markdown]
# Hence `check_gradients` draws `dy` at random. Here is what the two say of yours:

# %%
print(lazy_check(softmax_forward, softmax_backward_wrong, rng.normal(size=(2, 3))))
try:
    check_gradients(
        softmax_forward, softmax_backward_wrong, {"x": rng.normal(size=(2, 3))}, rng=rng
    )
except GradientError as error:
    print(error)

# %% [markdown]
# ## Find the bugs
#
# Seven backward passes of the dense layer and the sigmoid, as students hand them in. Some are right, some are not.
# `check.suspects()` gives, for each name, `(forward, backward, inputs)`: what `check_gradients` wants.
#
# **Write** `rejected`. It returns the *names* of those that `check_gradients` rejects. Mind that `check_gradients` says no by
# raising `GradientError`.


# %%
def rejected(suspects):
    """{name: (forward, backward, inputs)} -> the set of names whose backward pass is wrong."""
    rng = np.random.default_rng(0)  # check_gradients(..., rng=rng) draws dy from it
    # BEGIN SOLUTION
    names = set()
    for name, (forward, backward, inputs) in suspects.items():
        try:
            check_gradients(forward, backward, inputs, rng=rng)
        except GradientError:
            names.add(name)
    return names
    # END SOLUTION


# %%
check.rejected(rejected)
print("rejected:", ", ".join(sorted(rejected(check.suspects()))))

# %% [markdown]
# **Look.** Not every wrong gradient keeps a network from learning. Here is the descent from before once more, with a wrong
# $\texttt{db}$ (the mean over the batch instead of the sum), and with $\texttt{dw}$ too small by the same factor:


# %%
def with_mean_bias(dy, cache):
    dx, dw, db = dense_backward(dy, cache)
    return dx, dw, db / len(dy)


def with_mean_weights(dy, cache):
    dx, dw, db = dense_backward(dy, cache)
    return dx, dw / len(dy), db


figure, ax = plt.subplots(figsize=(5.5, 2.6))
for name, backward in (
    ("right", dense_backward),
    ("db wrong", with_mean_bias),
    ("dw wrong", with_mean_weights),
):
    ax.plot(learn(backward)[0], label=name)
ax.set(xlabel="step", ylabel="loss $L$", ylim=(0, None))
ax.legend()
plt.show()

# %% [markdown]
# A falling loss is no proof. That is why every op of ums is checked in this way, and why the tests
# [plant bugs](tests/planted_bugs.py:BUGS) in every op, to see that the check finds each.
#
# ## Think
#
# 1. $\texttt{db}$ is a sum over the batch. Where in the equations does it come from that it is not a mean? Where is the
#    mean, then?
# 2. A ReLU, $\max(x, 0)$, has no slope at 0. What does a central difference say at $x = 0$, and what should a check do with
#    such entries? (Look into [_differences](ums/gradcheck.py:_differences).)
# 3. Which of the suspects would the lazy check have accepted? Why?
# 4. Why does the dense layer keep $x$ *and* $w$ in its cache, the sigmoid only $y$? What does a network therefore need
#    memory for in training?

# %% [markdown] tags=["solution"]
# **Answers.**
#
# 1. $b_o$ is added in every row $n$, so $\partial y_{no} / \partial b_o = 1$ for each, and the chain rule adds. The mean is in the loss:
#    `bce` divides by $N$, and its gradient `dy` brings the factor $1/N$ along.
# 2. $(h - 0) / 2h = 1/2$, which is neither of the slopes on the two sides. Such entries must be left out, and must be found from
#    the *forward* pass alone: otherwise a wrong backward pass could excuse itself.
# 3. Fay ignores `dy` and puts ones in its place: with `dy` of all ones there is no difference. Cem sums `dy` over the wrong axis:
#    in a square of ones both sums are the same.
# 4. $\texttt{dw}$ needs $x$ and $\texttt{dx}$ needs $w$; the sigmoid's slope follows from $y$. Every layer keeps its activations until
#    the way back: training needs memory for all of them, use only for one layer's at a time.
