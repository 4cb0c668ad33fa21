# %% [markdown]
# # Task 1: a layer of your own
#
# In lessons 2 to 4 you filled in functions. Here there is nothing to fill in: you write a whole layer, from its first line, and
# it has to hold its own against the library's. It goes into networks, it is trained, frozen, saved and copied, and
# the gradient check has to accept it in every mode.
#
# The layer is a batch norm with a different kind of memory. Lesson 4 showed what is awkward about *momentum*: if it is high, the running statistics
# take hundreds of steps to arrive; if it is low, they follow the noise of the last few batches. Yours has no momentum at all.
# It keeps the plain **average** over every batch it has seen, and it can start afresh. At the end you see what that is good for,
# and what it is not.
#
# You write one class, about 50 lines. Allow 60 to 90 minutes.

# %%
import copy

import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_t1 as check
from lessons.own import keep
from lessons.pictures import COLOURS, show, use_style
from ums.data import normalise
from ums.gradcheck import check_layer
from ums.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    GlobalAveragePool,
    Layer,
    Parameter,
    ReLU,
    Sequential,
)
from ums.ops import categorical_cross_entropy
from ums.optimizers import Adam
from ums.training import train_step

use_style()

# %% [markdown]
# ## What a layer looks like
#
# Here is a complete one, which multiplies everything by a single learned number: $y = a\,x$. It *inherits* from `Layer`: whatever it does not define itself (`parameters()`, `freeze()`,
# `astype()` and more) it gets from there. `self` is the layer itself, and what is to outlast a call is an attribute of it. The gradient check accepts it.


# %%
class Scale(Layer):
    """y = a x, any shape."""

    def __init__(self):
        super().__init__()  # sets self.frozen = False
        self.a = Parameter(np.ones(1, np.float32))  # holds self.a.value and self.a.grad
        self.x = None

    def forward(self, x, training=False, keep=True):  # training makes no difference here
        self.x = x if keep else None
        return self.a.value * x

    def backward(self, dy, input_gradient=True):  # dL/dy in, dL/dx out
        if not self.frozen:  # a frozen layer does not learn
            da = (dy * self.x).sum()
            self.a.add(np.array([da]))  # adds to self.a.grad
        return self.a.value * dy if input_gradient else None


rng = np.random.default_rng(0)
check_layer(Scale().astype(np.float64), rng.normal(size=(4, 3)), rng=rng)

# %% [markdown]
# ## The specification
#
# **Formulas.** $x$ has the shape `(N, H, W, C)` or `(N, C)`; every mean runs over all axes but the last. As in lesson 4,
#
# $$ \hat x = (x - \mu)\,\texttt{rstd}, \qquad \texttt{rstd} = \frac{1}{\sqrt{\sigma^2 + \varepsilon}}, \qquad y = \gamma\, \hat x + \beta , $$
#
# with $\mu$ and $\sigma^2$ (divided by the number of values, not by one less) of the batch, or the running ones. After $k$ batches
# with the statistics $\mu_1, \sigma_1^2, \dots, \mu_k, \sigma_k^2$ the running statistics are their averages,
#
# $$ m = \frac 1k \sum_{i=1}^k \mu_i , \qquad v = \frac 1k \sum_{i=1}^k \sigma_i^2 , $$
#
# where every batch counts the same, however large it is. Nothing but $m$, $v$ and $k$ may be stored for this. (If you know the average of
# $k - 1$ numbers, how do you get that of $k$?)
#
# **The class** is `AveragingBatchNorm`, and it inherits from `Layer`.
#
# | | what it does |
# |---|---|
# | `__init__(self, C, eps=1e-5)` | calls `super().__init__()`, which sets `self.frozen = False`. Makes the parameters `self.gamma` (ones) and `self.beta` (zeros), each a `Parameter(array)`, and the arrays `self.running_mean` (zeros), `self.running_var` (ones), all of shape `(C,)`, and `self.batches` (zero) of shape `(1,)`, which counts $k$. Everything is `float32`. |
# | `statistics(self)` | returns `{"running_mean": ..., "running_var": ..., "batches": ...}`: the layer's own arrays, not copies. |
# | `reset(self)` | sets the three statistics back to where they started, *in place*. The parameters stay. |
# | `forward(self, x, training=False, keep=True)` | returns $y$. In training, unless the layer is frozen, it uses the batch's statistics and counts the batch; otherwise it uses the running statistics and changes nothing. With `keep=True` it keeps what `backward` needs, with `keep=False` it keeps nothing. |
# | `backward(self, dy, input_gradient=True)` | adds to the gradients of `gamma` and `beta`, unless the layer is frozen, and returns $\texttt{dx}$, or `None` if `input_gradient` is false. |
#
# **Details.**
#
# - *Frozen and training are two switches.* The batch's statistics are used, and counted, only in training **and** not frozen. The
#   backward pass belongs to the forward pass before it: $\texttt{dx}$ follows from the statistics that this forward pass used, even if somebody has
#   switched `frozen` in between.
# - *Gradients add up.* `parameter.add(gradient)` adds to what is there. Do not set `parameter.grad` yourself.
# - *One backward per forward.* `backward` forgets what `forward` kept. Called without a forward pass that was kept, or a second time, it
#   raises `RuntimeError` with a message that says so.
# - *Errors.* `forward` raises `ValueError` if the last axis of `x` is not `C` long, and, where it would use the batch's statistics, if there is only one value in
#   each channel. (Why can such a batch teach nothing?) A batch that is refused is not counted.
# - *In place.* Statistics change in place (`+=`, or `[...] =`), because whoever called `statistics()` may still hold the arrays. `x` and `dy` must not be changed.
# - *Types.* A layer may be converted by `layer.astype("float64")`, which replaces the arrays `self.gamma.value`, `self.running_mean` and so on. Look them up
#   anew each time, and keep the type of `x`.
#
# `freeze`, `parameters`, `zero_gradients`, `state_dict`, `astype` and more come with `Layer`. They find your parameters
# by themselves, because each is an attribute that holds a `Parameter`, and the statistics by your `statistics()`.
#
# <details><summary><b>Hint 1: where do I begin?</b></summary>
#
# Write `__init__`, `statistics` and `reset` first, add a cell below, and try `AveragingBatchNorm(3).statistics()` in it. Then write `forward` for training alone, then
# the other case. The first check tells you how far you are.
# </details>
#
# <details><summary><b>Hint 2: the average of k numbers from that of k - 1</b></summary>
#
# The sum of the first $k - 1$ numbers is $(k - 1)$ times their average. Add the new one and divide by $k$. You can write the result as the old average plus a
# fraction of the difference between the new number and the old average. Which fraction? Compare it with the formula of momentum.
# </details>
#
# <details><summary><b>Hint 3: what to keep for the way back</b></summary>
#
# $\hat x$, $\texttt{rstd}$, and one more thing: whether the batch's statistics were used. One tuple will do. `None` in its place can mean that there
# is nothing.
# </details>
#
# <details><summary><b>Hint 4: the gradients</b></summary>
#
# They are those of lesson 4: $\texttt{dgamma} = \sum \texttt{dy}\,\hat x$ and $\texttt{dbeta} = \sum \texttt{dy}$ in both modes. If the batch's statistics were
# used, $\texttt{dx} = \gamma\,\texttt{rstd}\,(\texttt{dy} - \text{mean}(\texttt{dy}) - \hat x\,\text{mean}(\texttt{dy}\,\hat x))$. If not, two of the three terms are gone.
# </details>
#
# **Write** `AveragingBatchNorm`.


# %%
# BEGIN SOLUTION
class AveragingBatchNorm(Layer):
    """Batch norm whose running statistics are the average over all batches since `reset`."""

    def __init__(self, C, eps=1e-5):
        super().__init__()
        self.gamma = Parameter(np.ones(C, np.float32))
        self.beta = Parameter(np.zeros(C, np.float32))
        self.running_mean = np.zeros(C, np.float32)
        self.running_var = np.ones(C, np.float32)
        self.batches = np.zeros(1, np.float32)
        self.eps = eps
        self.kept = None  # xhat, rstd, and whether they are the batch's

    def statistics(self):
        return {
            "running_mean": self.running_mean,
            "running_var": self.running_var,
            "batches": self.batches,
        }

    def reset(self):
        self.running_mean[...] = 0
        self.running_var[...] = 1
        self.batches[...] = 0

    def forward(self, x, training=False, keep=True):
        C = self.gamma.value.size
        if x.shape[-1] != C:
            raise ValueError(f"x has {x.shape[-1]} channels, the layer {C}")
        by_batch = training and not self.frozen
        if by_batch:
            mean, var = self.count(x)
        else:
            mean, var = self.running_mean, self.running_var
        rstd = 1 / np.sqrt(var + self.eps)
        xhat = (x - mean) * rstd
        self.kept = (xhat, rstd, by_batch) if keep else None
        return self.gamma.value * xhat + self.beta.value

    def count(self, x):
        """The mean and the variance of a batch, once the running ones have moved."""
        axes = tuple(range(x.ndim - 1))
        if x.size == x.shape[-1]:
            raise ValueError(f"one value in each channel, {x.shape}: its variance is 0")
        mean, var = x.mean(axes), x.var(axes)
        self.batches += 1
        self.running_mean += (mean - self.running_mean) / self.batches
        self.running_var += (var - self.running_var) / self.batches
        return mean, var

    def backward(self, dy, input_gradient=True):
        if self.kept is None:
            raise RuntimeError("backward needs a forward pass that was kept, one for each call")
        xhat, rstd, by_batch = self.kept
        self.kept = None
        axes = tuple(range(dy.ndim - 1))
        if not self.frozen:
            self.gamma.add((dy * xhat).sum(axes))
            self.beta.add(dy.sum(axes))
        if not input_gradient:
            return None
        scale = self.gamma.value * rstd
        if by_batch:
            return scale * (dy - dy.mean(axes) - xhat * (dy * xhat).mean(axes))
        return scale * dy


# END SOLUTION

# %% [markdown]
# There are four checks, from single numbers to a whole network. When one passes, go on to the next.

# %%
check.forward(AveragingBatchNorm)

# %%
check.backward(AveragingBatchNorm)

# %%
check.switches(AveragingBatchNorm)

# %%
check.in_a_network(AveragingBatchNorm)

# %% [markdown]
# **Keep.** Once the checks pass, this cell writes your layer to the folder `own/`. In the folder above this one, the command
# `python -m lessons study --only AveragingBatchNorm` then runs a small X-ray study with it in place of the library's, and its page says so.

# %%
keep(AveragingBatchNorm)

# %% [markdown]
# The library's [BatchNorm](ums/layers.py:BatchNorm) leaves the bookkeeping of `forward` and `backward` to
# [Layer](ums/layer.py:Layer), which all layers share, and says only how the numbers come about.
#
# ## Ready for the first patient
#
# Now use it. A small network learns to tell adults (hospital A) from children (C). It is trained three times, from the same weights and with the same
# batches: with the library's batch norm and a momentum of 0.9, with one of 0.99, and with your average. In training the running statistics are not used, so the weights
# are the same in all three at every step. Only the answers at inference differ.
#
# **Predict.** Draw three lines: the loss *at inference*, on other films, during the first 60 steps. Which is lowest after 4 steps? Which after 30?
#
# *your guess:*

# %%
rng = np.random.default_rng(0)
adults = normalise(make_synthetic(130, 32, rng, "A").images)
children = normalise(make_synthetic(130, 32, rng, "C").images)
films = np.concatenate([adults[:80], children[:80]])  # (160, 32, 32, 1) to learn from
labels = np.repeat([0, 1], 80)
tests = np.concatenate([adults[80:], children[80:]])  # (100, 32, 32, 1)
test_labels = np.repeat([0, 1], 50)


def small_network(norm):
    """Three strided convolutions, each with norm(C), and a dense layer for two classes."""
    rng = np.random.default_rng(1)
    layers = []
    for C, O in ((1, 8), (8, 16), (16, 32)):
        layers += [Conv2D(C, O, rng, stride=2), norm(O), ReLU()]
    return Sequential(*layers, GlobalAveragePool(), Dense(32, 2, rng))


def slow_batch_norm(C):
    return BatchNorm(C, momentum=0.99)


def test_loss(network):
    """The mean loss on the test films, at inference."""
    return categorical_cross_entropy(network.forward(tests, keep=False), test_labels)[0]


STEPS = range(0, 61, 4)


def learn(network, look):
    """Train for 60 steps; what `look(network)` returns before the first and after every fourth."""
    rng = np.random.default_rng(2)
    optimizer = Adam(network.parameters(), 2e-3)
    found = []
    for step in range(61):
        if step in STEPS:
            found.append(look(network))
        rows = rng.choice(160, 16, replace=False)
        train_step(network, categorical_cross_entropy, optimizer, films[rows], labels[rows])
    return found


averaging = small_network(AveragingBatchNorm)
losses = {
    "momentum 0.9": learn(small_network(BatchNorm), test_loss),
    "momentum 0.99": learn(small_network(slow_batch_norm), test_loss),
    "your average": learn(averaging, test_loss),
}
figure, ax = plt.subplots(figsize=(6.5, 2.8))
for k, (name, of_steps) in enumerate(losses.items()):
    ax.plot(STEPS, of_steps, ("-", "--", "-.")[k], marker="osD"[k], color=COLOURS[k], label=name)
ax.set(xlabel="steps of training", ylabel="loss at inference", ylim=(0.3, 0.9))
ax.legend(ncols=2, loc="upper right")
show(
    "Loss at inference against steps of training. Your average falls at once, then stays above momentum "
    "0.9 from step 20 on; momentum 0.99 lags far behind to the end."
)

# %% [markdown]
# **Look.** After four steps your average is far ahead. It is right from the first batch on, when there is nothing else to go by, while the momentum of 0.9
# still holds much of where it started. Then the lines cross. The weights have moved on, but your average still contains the statistics of the first batches, made by
# weights that are long gone. It never forgets, and that is its weakness. The momentum of 0.99 has not arrived after 60 steps: measured at inference, this network seems to
# have learned little, although its weights are the same as those of the others.
#
# ## A fresh start
#
# That is what `reset` is for. Reset the layers, send films through the network in training without an optimizer, and the statistics are the average for
# exactly these films and the present weights. Here the same training runs once more. At every fourth step a copy of the network gets fresh statistics in this way.
#
# **Predict.** Where will the fourth line lie?
#
# *your guess:*


# %%
def refresh(network, films, batches=8):
    """Reset the running statistics and average them anew over batches of 16 films."""
    rng = np.random.default_rng(3)
    for layer in network.layers:
        if isinstance(layer, AveragingBatchNorm):
            layer.reset()
    for _ in range(batches):
        rows = rng.choice(len(films), 16, replace=False)
        network.forward(films[rows], training=True, keep=False)


def refreshed_loss(network):
    """The test loss of a copy with fresh statistics."""
    other = copy.deepcopy(network)
    refresh(other, films)
    return test_loss(other)


losses["average, refreshed"] = learn(small_network(AveragingBatchNorm), refreshed_loss)
figure, ax = plt.subplots(figsize=(6.5, 2.8))
for k, (name, of_steps) in enumerate(losses.items()):
    line = ("-", "--", "-.", ":")[k]
    ax.plot(STEPS, of_steps, line, marker="osD^"[k], color=COLOURS[k], label=name)
ax.set(xlabel="steps of training", ylabel="loss at inference", ylim=(0.3, 0.9))
ax.legend(ncols=2, loc="upper right")
show(
    "The same three lines and a fourth, the average refreshed at each point: it lies lowest nearly "
    "everywhere, and momentum 0.9 joins it after some 40 steps."
)

# %% [markdown]
# **Look.** With fresh statistics the network is nearly everywhere the best of the four, and momentum 0.9 takes some 40 steps to draw level. The average was the right idea at the wrong time. It
# suits weights that stand still, and eight batches are enough for it. Anyone who averages the weights of several trainings has to do this before the resulting network is of any use.
#
# In lesson 4 an encoder was lent to the children's hospital and came back spoilt, although no weight had changed. Here is the same with your network, and its cure:


# %%
def right_of_each(network):
    """The share of the adults, and of the children, among the test films that it gets right."""
    right = network.forward(tests, keep=False).argmax(axis=1) == test_labels
    return right[:50].mean(), right[50:].mean()


stages = {}
for name, shown in (
    ("refreshed", films),
    ("after the loan", films[80:]),
    ("refreshed again", films),
):
    refresh(averaging, shown)  # the loan: only children's films
    stages[name] = right_of_each(averaging)

figure, ax = plt.subplots(figsize=(5.5, 2.6))
values = np.array(list(stages.values()))  # (3, 2)
ax.plot(list(stages), values[:, 0], "o-", color=COLOURS[0], label="adults")
ax.plot(list(stages), values[:, 1], "s--", color=COLOURS[1], label="children")
ax.set(ylabel="share that is right", ylim=(0, 1.05), xlim=(-0.3, 2.3))
ax.legend(loc="lower left")
show(
    "Share of adults and of children that the network gets right: after the loan more adults and fewer "
    "children than before; refreshed again, exactly as many as before."
)

# %% [markdown]
# **Look.** After the loan the statistics are those of children's films alone. A child is now the average for every batch norm, so less about children stands out, and
# more of them are taken for adults. No weight has changed, and so eight batches of both kinds of films repair the damage completely.
#
# ## Think
#
# **Question 1.** Your layer counts every batch the same, however large it is. When does $v$ differ from the variance of all the values that it has seen,
# even if no weight moves? Is it larger or smaller?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 1 (4 points).** When the batches' means differ (1): the variance of all values is the mean of the variances within the batches
# *plus* the variance of the batches' means (1), which $v$ leaves out, so $v$ is smaller (1). The smaller the batches, the more their means differ, and
# the more is missing. Batches of different size make a second difference: each of their values counts differently (1).

# %% [markdown]
# **Question 2.** Why is `batches` among the statistics, and not a plain Python number in the layer? Name two things that would go wrong.
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 2 (4 points).** The statistics are what is saved, loaded and put back (1). With a plain number, a network that was loaded would begin to count at
# 0, and its first batch in training would replace everything that was averaged before (2). A detector such as `moved` of lesson 4, or the gradient check, would put back the averages
# but not the count, so that the next batch is weighted wrongly (1).

# %% [markdown]
# **Question 3.** In which situation would you prefer a momentum to the average?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 3 (2 points).** During a long training: the weights move, so old batches say less and less about the present network, and a momentum forgets
# them (1). The average suits the end, when the weights stand still (1).
