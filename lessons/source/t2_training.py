# %% [markdown]
# # Task 2: an optimizer and a training of your own
#
# So far something else has moved the weights: a line of gradient descent in lesson 2, the library's Adam in lesson 4. And a few lines went through
# the films batch by batch and hoped for the best. Both are yours to write now: the optimizer that turns gradients into steps, and
# the training around it, which shuffles, validates, notices when something breaks, and keeps the best epoch, not the last.
#
# Afterwards you watch your optimizer cross a narrow valley. Then you train with nothing but your own two pieces, on so few films that a network learns them by heart.
#
# You write a class and a function, about 60 lines together. Allow 75 to 90 minutes.

# %%
import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_t2 as check
from lessons.own import keep
from lessons.pictures import COLOURS, image_row, show, use_style
from ums.data import normalise
from ums.layers import Dense, Parameter, Sequential
from ums.ops import categorical_cross_entropy
from ums.optimizers import SGD

use_style()
BATCH = 16

# %% [markdown]
# ## The optimizer
#
# Plain gradient descent takes a long step where the gradient is large. But how large a gradient is has little to do with how far the weight is from
# where it should be. **Adam** (Kingma and Ba, 2015) divides by the usual size of a weight's gradient, so that every weight moves by about the learning rate. It keeps two
# running means for each weight, of its gradient $g$ and of $g^2$. In step $t = 1, 2, \dots$
#
# $$ m \leftarrow \beta_1 m + (1 - \beta_1)\, g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2 . $$
#
# Both start at 0, and are too small at first: after $t$ steps they hold only the share $1 - \beta^t$ of what they should. Dividing by that share corrects them,
#
# $$ \hat m = \frac{m}{1 - \beta_1^t}, \qquad \hat v = \frac{v}{1 - \beta_2^t}, \qquad
# x \leftarrow x - \eta \left( \frac{\hat m}{\sqrt{\hat v} + \varepsilon} + \lambda\, x \right) , $$
#
# where $\eta$ is the learning rate. The term $\lambda\, x$ is *weight decay*, which pulls the weights towards 0. That it stands beside the quotient, and is not part of $g$, is what makes
# it **AdamW** (Loshchilov and Hutter, 2019): through $g$ it would be divided by $\sqrt{\hat v}$ like everything else. The $x$ on the right-hand side is the one from before the step.
#
# **The class** is `AdamW`.
#
# | | what it does |
# |---|---|
# | `__init__(self, parameters, learning_rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0)` | `parameters` is a list of `Parameter`; `decay` is $\lambda$. Sets `self.learning_rate`, among other attributes, and makes the state. |
# | `step(self)` | moves every parameter that has a gradient. A `parameter` holds the array `parameter.value` and its gradient `parameter.grad`, of the same shape. |
#
# - *State by parameter.* Each parameter has an $m$, a $v$ and a $t$ of its own. If its gradient is `None` in a step, the parameter had no part in the loss: it stays as it is, and so
#   do its $m$, $v$ and $t$.
# - *Decay* only where `parameter.value` has two axes or more. Biases and the $\gamma$ and $\beta$ of a batch norm, of shape `(C,)`, do not decay.
# - *In place.* Change the array `parameter.value` itself, and keep its type. The gradients stay as they are.
# - *The rate* is read in every step: somebody may set `optimizer.learning_rate` in between.
#
# **Predict.** A weight has had the gradient 0.001 in its first step, another one 1000. How far does each of them move?
#
# *your guess:*
#
# <details><summary><b>Hint 1: how to keep the state</b></summary>
#
# Three lists beside the list of parameters, made in `__init__`: `self.m` and `self.v` of arrays of zeros (`np.zeros_like`), `self.t` of whole numbers. In `step`, loop
# over `range(len(self.parameters))`.
# </details>
#
# <details><summary><b>Hint 2: which operations are in place?</b></summary>
#
# `array -= other` and `array[...] = other` change the array. `array = array - other` makes a new one and leaves the old one as it was. Compute the step first, then write
# `parameter.value -= ...` once. With `-=` the array also keeps its type.
# </details>
#
# **Write** `AdamW`.


# %%
# BEGIN SOLUTION
class AdamW:
    """Adam with weight decay beside the gradient; each parameter has its own state."""

    def __init__(self, parameters, learning_rate=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0):
        self.parameters = list(parameters)
        self.learning_rate = learning_rate
        self.beta1, self.beta2 = beta1, beta2
        self.eps, self.decay = eps, decay
        self.m = [np.zeros_like(parameter.value) for parameter in self.parameters]
        self.v = [np.zeros_like(parameter.value) for parameter in self.parameters]
        self.t = [0] * len(self.parameters)

    def step(self):
        for i, parameter in enumerate(self.parameters):
            if parameter.grad is None:
                continue
            x, g = parameter.value, parameter.grad
            self.t[i] += 1
            self.m[i] = self.beta1 * self.m[i] + (1 - self.beta1) * g
            self.v[i] = self.beta2 * self.v[i] + (1 - self.beta2) * g**2
            m_hat = self.m[i] / (1 - self.beta1 ** self.t[i])
            v_hat = self.v[i] / (1 - self.beta2 ** self.t[i])
            direction = m_hat / (np.sqrt(v_hat) + self.eps)
            if x.ndim >= 2:
                direction = direction + self.decay * x
            x -= self.learning_rate * direction


# END SOLUTION

# %%
check.adamw_steps(AdamW)

# %%
check.adamw_state(AdamW)

# %% [markdown]
# The library's [Adam](ums/optimizers.py:Adam) has no decay; what all optimizers share is in [Optimizer](ums/optimizers.py:Optimizer).
#
# ## A narrow valley
#
# A loss of two weights, $L = \tfrac12 (x_1^2 + 50\, x_2^2)$, is a valley that is about seven times as wide along $x_1$ as along $x_2$. From the same point, gradient descent and your
# `AdamW` make 40 steps each.
#
# **Predict.** Draw both paths into the picture of the valley. The gradient is $(x_1, 50\, x_2)$.
#
# *your guess:*


# %%
def path(optimizer, parameter, steps=40):
    """Where the two weights are, before the first step and after each, (steps + 1, 2)."""
    places = [parameter.value.copy()]
    for _ in range(steps):
        parameter.grad = np.array([1, 50]) * parameter.value
        optimizer.step()  # moves parameter.value
        places.append(parameter.value.copy())
    return np.array(places)


figure, ax = plt.subplots(figsize=(7, 2.9))
x1, x2 = np.meshgrid(np.linspace(-3.2, 0.6, 80), np.linspace(-0.8, 0.8, 80))
ax.contour(x1, x2, x1**2 / 2 + 25 * x2**2, 12, colors="lightgray")
start = Parameter(np.array([-3.0, 0.6]))
descent = path(SGD([start], learning_rate=0.037), start)
ax.plot(*descent.T, "o-", color=COLOURS[1], markersize=3, label="gradient descent, rate 0.037")
start = Parameter(np.array([-3.0, 0.6]))
adam = path(AdamW([start], learning_rate=0.1), start)
ax.plot(*adam.T, "s--", color=COLOURS[0], markersize=3, label="your AdamW, rate 0.1")
ax.set(xlabel="$x_1$", ylabel="$x_2$")
ax.legend(loc="upper right")
show(
    "Two paths on the contours of a narrow valley. Gradient descent zigzags across it and makes slow "
    "progress; AdamW first moves equally far along both axes, then along the bottom of the valley."
)

# %% [markdown]
# **Look.** Gradient descent crosses the valley in every step. A larger rate would throw it out on the other side, farther and farther, and with this one it makes slow progress. `AdamW` divides each of
# the two gradients by its own usual size. It begins by moving equally far in both directions, and overshoots a little, because $m$ remembers.
#
# ## The training
#
# An *epoch* is one pass through all training examples, in batches of 16. After each, the network is *validated*: its mean loss at inference, on examples that it does not learn from. Learning
# goes on after it has begun to learn the training examples by heart, and then the validation loss rises. So the training remembers the network of the best epoch and
# gives that back.
#
# **The function** is `fit(network, loss, optimizer, data, rng, epochs)`.
#
# | argument | what it is |
# |---|---|
# | `network` | has `forward(x, training=...)`, `backward(dy)` and `zero_gradients()`. `state_dict()` returns all its parameters and running statistics, `{name: array}`, the arrays themselves; `load_state_dict(arrays)` copies the values of such a dictionary into the network. |
# | `loss` | a function: `value, dy = loss(prediction, target)`, where `value` is the mean over the batch |
# | `optimizer` | has `step()` |
# | `data` | `{"training": (x, target), "validation": (x, target)}`, pairs of arrays with an example in each row |
# | `rng` | a `numpy.random.Generator`, the only source of chance |
# | `epochs` | how many |
#
# It returns a dictionary: `"training"` and `"validation"`, lists with the mean loss of every epoch, and `"best"`, the number of the best epoch, counted from 0.
#
# - *Shuffle* anew in every epoch, by an order of row numbers drawn from `rng`. Each example comes once. Batches have `BATCH` examples; the last one has what is left. The arrays in `data` must not be changed.
# - *A step*: forget the gradients, forward in training, the loss, backward, `optimizer.step()`.
# - *Validate* after the steps of an epoch, at inference (`training=False`), in order, in batches of `BATCH`. Nothing may move.
# - *Means* are over examples, not over batches. With 20 examples in batches of 16 and 4, an example of the second batch counts as much as one of the first.
#   The training loss of an epoch is the mean of what the steps found on their way.
# - *The best epoch* is that with the lowest validation loss, the first one where there are equals. At the end the network has the parameters **and** the running statistics of that epoch.
# - *Divergence*: once the training loss or the validation loss of an epoch is not finite, put the best epoch so far back into the network (before the end of the first epoch: what it began with) and
#   raise `FloatingPointError` with a message that names the epoch.
#
# **Predict.** You keep `best = network.state_dict()` when an epoch is the best so far, and load it at the end. Which epoch do you get back?
#
# *your guess:*
#
# <details><summary><b>Hint 1: the order of things</b></summary>
#
# Write a small function of its own for the validation loss, and one for a copy of the network's state. Then `fit` is a loop over epochs, in it a loop over `range(0, N, BATCH)`, and after
# that five lines of bookkeeping.
# </details>
#
# <details><summary><b>Hint 2: a copy that stays</b></summary>
#
# A dictionary of the same arrays is not a copy: the optimizer goes on changing those arrays in place. Each array has a method `copy()`.
# </details>
#
# <details><summary><b>Hint 3: means over examples</b></summary>
#
# The loss of a batch is a mean. Multiply it by the number of examples in the batch, add up, and divide by the number of all examples at the end.
# </details>
#
# **Write** `fit`. `BATCH`, 16, is defined in the first cell.


# %%
# BEGIN SOLUTION
def _copy_of_state(network):
    return {name: array.copy() for name, array in network.state_dict().items()}


def _validation_loss(network, loss, examples):
    x, target = examples
    total = 0.0
    for start in range(0, len(x), BATCH):
        rows = slice(start, start + BATCH)
        value, _ = loss(network.forward(x[rows]), target[rows])
        total += float(value) * len(x[rows])
    return total / len(x)


def _training_epoch(network, loss, optimizer, examples, rng):
    x, target = examples
    order = rng.permutation(len(x))
    total = 0.0
    for start in range(0, len(x), BATCH):
        rows = order[start : start + BATCH]
        network.zero_gradients()
        value, dy = loss(network.forward(x[rows], training=True), target[rows])
        network.backward(dy)
        optimizer.step()
        total += float(value) * len(rows)
    return total / len(x)


def fit(network, loss, optimizer, data, rng, epochs):
    """Train for so many epochs, leave the best in the network, return the losses of each."""
    history = {"training": [], "validation": [], "best": None}
    best = _copy_of_state(network)
    lowest = np.inf
    for epoch in range(epochs):
        training = _training_epoch(network, loss, optimizer, data["training"], rng)
        validation = _validation_loss(network, loss, data["validation"])
        if not np.isfinite(training) or not np.isfinite(validation):
            network.load_state_dict(best)
            raise FloatingPointError(f"epoch {epoch}: losses {training} and {validation}")
        history["training"].append(training)
        history["validation"].append(validation)
        if validation < lowest:
            lowest, best = validation, _copy_of_state(network)
            history["best"] = epoch
    network.load_state_dict(best)
    return history


# END SOLUTION

# %%
check.epochs(fit)

# %%
check.best_epoch(fit)

# %% [markdown]
# **Keep.** Once the checks pass, this cell writes your optimizer and your loop to the folder `own/`. In the folder above this one, the command
# `python -m lessons study` then runs a small X-ray study with them in place of the library's, and its page says so.

# %%
keep(AdamW, fit)

# %% [markdown]
# The library's training is in two functions, [train_step](ums/training.py:train_step) and [fit](ums/training.py:fit). The second also stops early, lowers the learning rate, and can go on after
# the computer has been switched off.
#
# ## Learned by heart
#
# Forty films, twenty of adults and twenty of children, and six of them have the wrong label because somebody was tired. A single dense layer looks at all 1024 pixels of a film, so it has far more weights
# than there are films, and can learn all forty by heart, errors included. It is trained with your `AdamW` and your `fit`, once without decay and once with $\lambda = 10$.
#
# **Predict.** Draw the two losses, training and validation, over 100 epochs without decay. Where is the best epoch? What does decay change?
#
# *your guess:*

# %%
rng = np.random.default_rng(5)
adults = normalise(make_synthetic(120, 32, rng, "A").images).reshape(120, 1024)
children = normalise(make_synthetic(120, 32, rng, "C").images).reshape(120, 1024)
films = np.concatenate([adults[:20], children[:20]])  # (40, 1024) to learn from
labels = np.repeat([0, 1], 20)
wrong = rng.choice(40, 6, replace=False)
labels[wrong] = 1 - labels[wrong]
others = np.concatenate([adults[20:], children[20:]])  # (200, 1024), all labels right
truth = np.repeat([0, 1], 100)
data = {"training": (films, labels), "validation": (others[::2], truth[::2])}


def right(network, x, target):
    """How many of the examples the network gets right."""
    return (network.forward(x).argmax(axis=1) == target).sum()


figure, axes = plt.subplots(1, 4, figsize=(11, 2.8), width_ratios=(2, 2, 1, 1))
for k, decay in enumerate((0, 10)):
    network = Sequential(Dense(1024, 2, np.random.default_rng(1)))
    optimizer = AdamW(network.parameters(), learning_rate=5e-3, decay=decay)
    rng = np.random.default_rng(2)
    history = fit(network, categorical_cross_entropy, optimizer, data, rng, epochs=100)
    best = history["best"]
    axes[k].plot(history["training"], "--", color=COLOURS[1], label="training")
    axes[k].plot(history["validation"], "-", color=COLOURS[0], label="validation")
    axes[k].plot(best, history["validation"][best], "o", color="black", label="best epoch")
    axes[k].set(xlabel="epoch", title=f"decay {decay}", ylim=(0, 0.8))
    w = network[0].w.value
    difference = (w[:, 1] - w[:, 0]).reshape(32, 32)
    image_row([difference], [f"weights, decay {decay}"], [axes[2 + k]], -0.1, 0.1, "PuOr")
    print(f"decay {decay}: best epoch {best}")
    print(f"    {right(network, others[1::2], truth[1::2])} of 100 test films are right")
    print(f"    {right(network, films[wrong], labels[wrong])} of the 6 wrong labels are learned")
axes[0].set_ylabel("loss")
axes[0].legend()
show(
    "Losses and weights. Without decay the training loss falls towards 0, the validation loss rises again "
    "after some 20 to 40 epochs, and the 32 x 32 weights are noisy. With decay 10 both losses stay near 0.4, and "
    "the weights show the outline of a chest."
)

# %% [markdown]
# **Look.** Without decay the training loss goes on falling, while the validation loss turns round after 20 to 40 epochs. By then most of the six wrong labels have been learned by heart. Keeping the best epoch is no cure for that; it
# only stops the training in time. With decay the network cannot afford to remember single films: about half of the wrong labels stay unlearned, and the weights, which are noisy without it, show what the two groups differ in, the outline of
# the lungs and shoulders. The loss is no lower, because small weights make small outputs, and the network is never very sure. About as many test films are right.
#
# ## Think
#
# **Question 1.** Two networks have the same architecture, and the loss of one is multiplied by 1000. How do their first steps differ with gradient descent, how with Adam? What if the decay were part
# of the gradient?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 1 (4 points).** With gradient descent the step is 1000 times as long (1). With Adam it is the same, because the factor appears in $\hat m$ and in $\sqrt{\hat v}$ and cancels (up to
# $\varepsilon$) (1). As part of the gradient, the decay $\lambda x$ would be a thousandth as strong relative to the rest of it (1): how much the weights decay would depend on the scale of the loss, which
# the decay beside the quotient does not (1).

# %% [markdown]
# **Question 2.** The validation loss of the best epoch is the lowest of 100 numbers. Is it a fair estimate of the loss on new films? What would be one?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 2 (3 points).** No: it was chosen because it is the lowest, and part of that is luck with these validation films (1), so on average it is too low (1). Fair is the loss on films that neither
# the weights nor the choice of the epoch have seen: a test set (1).

# %% [markdown]
# **Question 3.** Why must the running statistics be put back together with the weights? Which layer of which lesson would show it?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 3 (2 points).** They describe the activations that the weights of that epoch produce; with those of another epoch the network normalises wrongly at inference (1). The batch norm of lesson 4, where
# an encoder was spoilt without any change to its weights (1).
