# %% [markdown]
# # 2 What must a backward pass return?
#
# A network learns by asking the same question about every number in it: if this were a little larger, would the loss grow or shrink, and
# how fast? A *backward pass* answers it for all of them at once. Nobody gets every backward pass right the first time. So in this lesson you also learn
# how to find out whether one is right, without knowing the right answer.
#
# You write four functions: `sigmoid_backward`; `dense_backward`; a wrong backward pass that fools a bad check; and
# `rejected`, which finds planted bugs.

# %%
import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_02 as check
from lessons.own import keep
from lessons.pictures import COLOURS, image_row, show, use_style
from ums.data import normalise
from ums.data.resize import resize_image
from ums.gradcheck import GradientError, check_gradients
from ums.ops import bce, dense_forward, sigmoid_forward, softmax_forward

use_style()

# %% [markdown]
# ## A slope
#
# We have films from two hospitals, of adults (target 0) and of children (target 1), each reduced to 8 x 8 pixels: $N = 80$ inputs $x$ of $C = 64$ numbers each.
# One dense layer turns each film into one number, $z = x w + b$. The loss $L$ says how badly $z$ separates
# the two groups: it is small if $z$ is large for children and far below 0 for adults. (The loss is
# [bce](ums/ops/losses.py:bce), the subject of lesson 6.)

# %%
rng = np.random.default_rng(3)
films = np.concatenate([make_synthetic(40, 32, rng, hospital).images for hospital in "AC"])
small = np.stack([resize_image(film, 8) for film in films])
x = normalise(small).reshape(80, 64).astype(np.float64)  # (N, C)
t = np.repeat([0.0, 1.0], 40)[:, None]  # (N, 1)
image_row(small[36:44], [f"t = {int(target)}" for target in t[36:44, 0]])
show("Four films of adults, t = 0, and four of children, t = 1, at 8 x 8 pixels.")

# %%
w, b = rng.normal(0, 1, (64, 1)), np.zeros(1)


def loss_at(value, i=48):
    """L if weight number i is `value` and all the others stay as they are."""
    changed = w.copy()
    changed[i] = value
    z, _ = dense_forward(x, changed, b)
    loss, _ = bce(z, t)
    return loss


values = np.linspace(-7, 7, 141)
here = w[48, 0]


def draw_slice():
    """The loss as a function of one weight, and the point where we are."""
    _, ax = plt.subplots(figsize=(5.5, 2.8))
    ax.plot(values, [loss_at(value) for value in values], color=COLOURS[0], label="loss")
    ax.plot(here, loss_at(here), "o", color="black", label="where we are")
    ax.set(xlabel="the weight $w_{48}$", ylabel="loss $L$", title="a slice through the loss")
    ax.legend()
    return ax


draw_slice()
show(
    "The loss as a function of one weight: a smooth valley. A black point marks the present weight, to "
    "the right of the lowest place."
)

# %% [markdown]
# **Predict.** At the black point, is $\partial L / \partial w_{48}$ positive or negative? How large is it, roughly: 0.005, 0.05 or 0.5?
# Read it off the picture.
#
# *your guess:*
#
# The slope can be measured, by taking a small step $h$ to either side. This is called a *central difference*:
#
# $$ \frac{\partial L}{\partial w_{48}} \approx \frac{L(w_{48} + h) - L(w_{48} - h)}{2h} . $$


# %%
def central_difference(f, at, h=1e-5):
    return (f(at + h) - f(at - h)) / (2 * h)


slope = central_difference(loss_at, here)
near = values[abs(values - here) < 3]
ax = draw_slice()
ax.plot(near, loss_at(here) + slope * (near - here), "--", color=COLOURS[1], label="tangent")
ax.legend()
show("The same slice with its tangent at the black point, a broken line that touches the curve.")
print(f"the slope is {slope:.4f}")

# %% [markdown]
# **Look.** The line touches the curve, so the slope is right. Then why not measure every slope in this way? Because each one costs two passes through the network,
# and a network has a million weights. A backward pass gets all of them for the price of about two passes.
#
# ## The chain, link by link
#
# An op computes $y = f(x)$. The rest of the network, whatever it is, turns $y$ into the loss. The op is told one thing about
# that rest: $\texttt{dy} = \partial L / \partial y$, an array of the shape of $y$. It must return
# $\texttt{dx} = \partial L / \partial x$, an array of the shape of $x$:
#
# $$ \texttt{dx}_j = \frac{\partial L}{\partial x_j} = \sum_i \frac{\partial L}{\partial y_i}\,
# \frac{\partial y_i}{\partial x_j} = \sum_i \texttt{dy}_i\, \frac{\partial y_i}{\partial x_j} . $$
#
# That is the whole contract. In ums an op consists of two functions. `y, cache = op_forward(...)` keeps in `cache` whatever
# the way back will need. `op_backward(dy, cache)` returns the gradients, in the order of the forward pass's arguments. It makes new arrays, because other parts of the network
# still need `dy` and the contents of `cache` as they are.
#
# **The sigmoid**, $y = 1 / (1 + e^{-x})$, treats each number by itself, so the sum has a single term. Its derivative can be
# written in terms of $y$ alone: $\partial y / \partial x = y\,(1 - y)$. That is why
# the forward pass keeps $y$, and not $x$.
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
# **The dense layer** is $y = x w + b$, with $x$ of shape `(N, C)`, $w$ `(C, O)`, $b$ `(O,)` and $y$ `(N, O)`. Entry by entry:
#
# $$ y_{no} = \sum_c x_{nc}\, w_{co} + b_o . $$
#
# Start with one entry of one array, say $w_{co}$. In which entries of $y$ does it appear, and with which factor? Then
# $\texttt{dw}_{co}$ is a sum over just these entries. Do the same for $x_{nc}$ and for $b_o$. Some of the sums are
# matrix products.
#
# **Predict.** Forget about derivatives for a moment. `dy` has the shape `(N, O)`. Which products of `dy`, `x` and `w`, transposed or not, have the
# shapes of $\texttt{dx}$ and $\texttt{dw}$ at all?
#
# *your guess:*
#
# <details><summary><b>Hint 1: one entry of w</b></summary>
#
# $w_{co}$ appears in $y_{no}$ for every $n$, and only in column $o$. Its factor there is $x_{nc}$. So
# $\texttt{dw}_{co} = \sum_n x_{nc}\, \texttt{dy}_{no}$.
# </details>
#
# <details><summary><b>Hint 2: the sum as a product</b></summary>
#
# In a matrix product $(A B)_{co} = \sum_n A_{cn} B_{no}$ the inner indices meet. In the sum of hint 1 the index $n$ comes first in $x_{nc}$ and would have to come second:
# one of the two arrays must be transposed. Which sum do you get for $\texttt{dx}_{nc}$, and over which index does it run?
# </details>
#
# <details><summary><b>Hint 3: the bias</b></summary>
#
# $b_o$ appears in $y_{no}$ for every $n$ with the factor 1. What is left is a sum over one axis of `dy`.
# </details>
#
# **Write** `dense_backward`. You need no loop.


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
# **Keep.** Once the check passes, this cell writes your function to the folder `own/`. In the folder above this one, the command
# `python -m lessons study` then runs a small X-ray study with it in place of the library's, and its page says so.

# %%
keep(dense_backward)

# %% [markdown]
# The library's [dense_backward](ums/ops/dense.py:dense_backward) consists of two functions, because not everyone needs
# both kinds of gradients: a frozen layer needs no $\texttt{dw}$ (lesson 8), and the first layer needs no $\texttt{dx}$.
#
# ## It learns
#
# With your gradients the weights go down the slope: $w \leftarrow w - \eta\, \texttt{dw}$, three hundred times, with the learning rate $\eta = 1$. (The gradient of
# the loss with respect to $z$ is returned by [bce](ums/ops/losses.py:bce) itself.)


# %%
def learn(backward, steps=300, rate=1.0):
    """Gradient descent from the same start; the loss at every step, and the last weights."""
    v, c = w.copy(), b.copy()
    losses = []
    for _ in range(steps):
        z, cache = dense_forward(x, v, c)
        loss, dz = bce(z, t)
        _, dv, dc = backward(dz, cache)
        v = v - rate * dv
        c = c - rate * dc
        losses.append(float(loss))
    return losses, v


losses, learned = learn(dense_backward)
figure, axes = plt.subplots(1, 3, figsize=(8.5, 2.5), width_ratios=(2, 1, 1))
axes[0].plot(losses, color=COLOURS[0])
axes[0].set(xlabel="step", ylabel="loss $L$", ylim=(0, None))
image_row([w.reshape(8, 8)], ["weights before"], axes[1], low=-4, high=4, colours="PuOr")
image_row([learned.reshape(8, 8)], ["weights after"], axes[2], low=-4, high=4, colours="PuOr")
show(
    "The loss falls from 0.65 to 0.23 over 300 steps. The 64 weights as 8 x 8 pixels: pale noise before, "
    "and a few strong positive and negative weights after."
)

# %% [markdown]
# **Look.** Where a pixel is purple, brightness points to a child; where it is orange, to an adult. Before training the weights were noise.
#
# ## How do you know?
#
# The checks above compared your gradients with central differences. They used
# [check_gradients](ums/gradcheck.py:check_gradients), which works for any op, and you will use it in all later
# lessons. Two things about it are not obvious.
#
# **The first is the step.** **Predict.** The smaller $h$, the better the tangent. So is $h = 10^{-12}$ better than
# $h = 10^{-5}$? And in `float32`?
#
# *your guess:*


# %%
def error_of(h, dtype, one_sided=False):
    """Relative error of the difference quotient of exp at 1, whose slope is known: exp(1)."""
    at, h = dtype(1), dtype(h)
    if one_sided:
        slope = (np.exp(at + h) - np.exp(at)) / h
    else:
        slope = (np.exp(at + h) - np.exp(at - h)) / (2 * h)
    return abs(float(slope) / np.e - 1)


steps = 10.0 ** np.arange(-14, 0.1, 0.25)
coarse = steps[steps > 1e-7]
one_sided = [error_of(h, np.float64, one_sided=True) for h in steps]
central = [error_of(h, np.float64) for h in steps]
single = [error_of(h, np.float32) for h in coarse]
figure, ax = plt.subplots(figsize=(6, 3))
ax.loglog(steps, one_sided, "-", marker="o", markersize=3, label="one-sided, float64")
ax.loglog(steps, central, "--", marker="s", markersize=3, label="central, float64")
ax.loglog(coarse, single, ":", marker="^", markersize=3, label="central, float32")
ax.axvline(1e-5, color="black", linestyle="--", linewidth=0.8)
ax.axhline(1e-6, color="black", linestyle=":", linewidth=0.8)
ax.set(xlabel="step $h$", ylabel="relative error of the slope")
ax.legend()
show(
    "Error of the slope against the step, both logarithmic: each curve is a V. The central difference in "
    "float64 is lowest, about 1e-11 at a step of 1e-5; in float32 it never falls below 1e-6."
)

# %% [markdown]
# **Look.** Read the curves from right to left. At first the error falls as $h^2$ (for the one-sided difference only as $h$): the tangent gets better. Then it
# rises again as $1/h$. The two function values agree in more and more digits, and what is left of their difference is rounding. At
# $h = 10^{-5}$ in `float64` (vertical line) the central difference is right to about ten digits, far better than the $10^{-6}$ (horizontal line) that
# a check asks for. In `float32` it never gets there.
#
# **The second is the question asked.** A check needs one number to differentiate. It takes $L = \sum_i \texttt{dy}_i\, y_i$, and so it needs a `dy`. The simplest
# choice is all ones, so that $L = \sum_i y_i$. Here is a check that makes this choice:


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
# This check can be fooled. The softmax, $y_k = e^{x_k} / \sum_j e^{x_j}$ along each row, turns the numbers of a row into shares that sum to 1.
#
# **Predict.** What is $\sum_k y_k$ for a row, and how does it change when one $x_j$ grows?
#
# *your guess:*
#
# **Write** `softmax_backward_wrong`: a backward pass that is wrong, although the lazy check finds nothing wrong with it.


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
# That is why `check_gradients` draws `dy` at random. See what the two checks say about yours. (The right one is
# [softmax_backward](ums/ops/activations.py:softmax_backward).)

# %%
inputs = {"x": rng.normal(size=(2, 3))}
print("lazy check:", lazy_check(softmax_forward, softmax_backward_wrong, inputs["x"]))
try:
    check_gradients(softmax_forward, softmax_backward_wrong, inputs, rng=rng)
except GradientError as error:
    print("check_gradients:", error)

# %% [markdown]
# `check_gradients` says no by *raising* a `GradientError`. Nothing after the raise is executed, unless the exception is caught, as here, by `try` and `except`.
#
# ## Find the bugs
#
# Here are seven backward passes of the dense layer and the sigmoid, as students hand them in. Some are right, some are not.
# `check.suspects()` returns a dictionary. For each student's name it holds `(forward, backward, inputs)`, which is what `check_gradients` wants.
#
# **Write** `rejected`. It returns the set of the *names* whose backward pass `check_gradients` rejects.


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
# Not every wrong gradient keeps a network from learning. The next cell repeats the descent with two wrong backward passes: in one $\texttt{db}$ is the mean over the batch
# and not the sum, in the other $\texttt{dw}$ is too small by the same factor.
#
# **Predict.** Will both still learn? How does each curve differ from the right one?
#
# *your guess:*


# %%
def with_mean_bias(dy, cache):
    dx, dw, db = dense_backward(dy, cache)
    return dx, dw, db / len(dy)


def with_mean_weights(dy, cache):
    dx, dw, db = dense_backward(dy, cache)
    return dx, dw / len(dy), db


figure, ax = plt.subplots(figsize=(5.5, 2.6))
ax.plot(learn(dense_backward)[0], "-", label="right")
ax.plot(learn(with_mean_bias)[0], "--", label="db wrong")
ax.plot(learn(with_mean_weights)[0], ":", label="dw wrong")
ax.set(xlabel="step", ylabel="loss $L$", ylim=(0, None))
ax.legend()
show(
    "Loss against step: with the wrong db the curve is almost the right one; with the wrong dw it falls "
    "much more slowly."
)

# %% [markdown]
# **Look.** A falling loss proves nothing. That is why every op of ums is checked in this way, and why the tests
# [plant bugs](tests/planted_bugs.py:BUGS) in every op, to make sure that the check finds them.
#
# ## Think
#
# **Question 1.** $\texttt{db}$ is a sum over the batch. Where in the equations do you see that it is not a mean? And where is the
# mean, then?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 1 (3 points).** $b_o$ is added in every row $n$, so $\partial y_{no} / \partial b_o = 1$ for each of them (1), and the chain rule adds up (1). The mean is in the loss:
# `bce` divides by $N$, and its gradient `dy` carries the factor $1/N$ (1).

# %% [markdown]
# **Question 2.** A ReLU, $\max(x, 0)$, has no slope at 0. What does a central difference give at $x = 0$, and what should a check do with
# such entries? (Look into [_differences](ums/gradcheck.py:_differences).)
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 2 (3 points).** It gives $(h - 0) / 2h = 1/2$, which is the slope of neither side (1). Such entries must be left out (1). They must be found from
# the *forward* pass alone, or else a wrong backward pass could get itself excused (1).

# %% [markdown]
# **Question 3.** Which of the wrong suspects would the lazy check have accepted? Why? (Their one-line backward passes are in
# [lesson_02.py](lessons/checks/lesson_02.py:_DENSE).)
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 3 (4 points).** Fay (1), who ignores `dy` and puts ones in its place: if `dy` is all ones, that makes no difference (1). And Cem (1), who sums `dy` over the wrong axis:
# in a square array of ones both sums are the same (1).

# %% [markdown]
# **Question 4.** Why does the dense layer keep $x$ *and* $w$ in its cache, and the sigmoid only $y$? What, then, does a network need so much
# memory for in training?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 4 (3 points).** $\texttt{dw}$ needs $x$ and $\texttt{dx}$ needs $w$, while the slope of the sigmoid follows from $y$ (1). Every layer keeps its activations until
# the way back (1). So training needs memory for the activations of all layers, and inference only for those of one layer at a time (1).
