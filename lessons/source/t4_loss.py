# %% [markdown]
# # Task 4: a loss of your own
#
# A loss says which mistakes are expensive, and [lesson 6](06_losses.ipynb) has shown how much depends on it. BCE and Dice treat the two ways to be wrong
# alike: marking what is not there, and missing what is. A clinic does not. To miss an opacity may be worse than to look at a healthy spot twice, or the
# other way round. Here you write two losses from the literature that can be told which is worse, with their gradients, from logits.
#
# There is no skeleton. This page says what your code must do; how it does it is up to you. It takes about 45 lines. Allow 90 minutes to two hours.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_t4 as check
from lessons.own import keep
from lessons.pictures import COLOURS, image_row, show, use_style
from ums.data import normalise
from ums.layers import Sequential
from ums.networks import cxr_decoder, cxr_encoder
from ums.ops import sigmoid_forward
from ums.optimizers import Adam
from ums.training import train_step

use_style()
os.environ.setdefault("UMS_THREADS", "1")  # for networks this small one thread is fastest

# %% [markdown]
# ## What both have in common
#
# Both take logits $z$ and targets $t$, 0 or 1, two arrays `(N, H, W, 1)` of one shape and one dtype, `float32` or `float64`. Each image $n$ has a loss $L_n$ of its own. What is
# returned depends on `reduction`:
#
# | `reduction` | the value | the gradient, `(N, H, W, 1)` |
# |---|---|---|
# | `"mean"` | $\frac{1}{N} \sum_n L_n$, a number | of this number with respect to each logit |
# | `"sum"` | $\sum_n L_n$, a number | of this number with respect to each logit |
# | `"none"` | the array $(L_1, \dots, L_N)$, of shape `(N,)` | in image $n$: of $L_n$ with respect to each logit of image $n$ |
#
# Further,
#
# - a function returns two things, value and gradient; the gradient has the dtype of the logits;
# - another reduction than these three, or logits and targets of different shapes, is a `ValueError`;
# - neither argument is changed;
# - value and gradient are finite for every finite logit, 1000 and -1000 included, in `float32`, and NumPy gives no warning.
#
# **Predict.** Images do not see each other. By which factor do the gradients for `"sum"`, `"none"` and `"mean"` differ?
#
# *your guess:*
#
# ## The focal loss
#
# Most pixels of a film are healthy, and the network knows it: each of them costs little, but there are so many that together they outvote the few that matter. The
# *focal loss* (Lin, Goyal, Girshick, He and Dollár, "Focal loss for dense object detection", 2017, equation 5) turns down whatever is already right.
# Let $p$ be the probability that the network gives to the *true* answer: $p = y$ where $t = 1$, and $p = 1 - y$ where $t = 0$, with $y = 1 / (1 + e^{-z})$. A pixel costs
#
# $$ f = - w\, (1 - p)^{\gamma} \log p , \qquad w = \begin{cases} \alpha & t = 1 \\ 1 - \alpha & t = 0 \end{cases} $$
#
# and $L_n$ is the mean of $f$ over the pixels of image $n$. For $\gamma = 0$ and $\alpha = 1/2$ it is half the BCE. $\gamma$ is any number from 0 upwards, not only a whole one.
#
# **Predict.** For $\gamma = 2$, by what factor does a pixel with $p = 0.9$ cost less than in BCE (apart from $w$)? And one with $p = 0.1$?
#
# *your guess:*
#
# **Write** `focal(logits, target, alpha=0.25, gamma=2.0, reduction="mean")`. On paper first: one pixel, and the derivative with respect to the $s$ of the first hint.
#
# <details><summary>First hint: one formula for both targets</summary>
#
# Let $s = z$ where $t = 1$ and $s = -z$ where $t = 0$. Then $p = 1 / (1 + e^{-s})$ in both cases, and what lesson 6 found for BCE gives $\log p$ without overflow: $-\log p = \max(-s, 0) + \log(1 + e^{-|s|})$. In the same
# way $-\log(1 - p) = \max(s, 0) + \log(1 + e^{-|s|})$.
#
# </details>
#
# <details><summary>Second hint: the derivative</summary>
#
# $\partial p / \partial s = p\,(1 - p)$, so $\partial \log p / \partial s = 1 - p$, and the derivative of $(1 - p)^{\gamma}$ is $-\gamma\, (1 - p)^{\gamma - 1} \cdot p\,(1 - p)$. The two factors with $1 - p$ make one: there is no $\gamma - 1$ left in the exponent,
# which would be trouble where $1 - p$ is 0. The product rule does the rest. Last comes $\partial s / \partial z$, which is 1 or -1.
#
# </details>
#
# ## The Tversky loss
#
# The *Tversky loss* (Salehi, Erdogmus and Gholipour, "Tversky loss function for image segmentation using 3D fully convolutional deep networks", 2017) is Dice with two prices. Count
# softly, over the pixels of one image,
#
# $$ A = \sum t\,y , \qquad B = \sum (1 - t)\, y , \qquad C = \sum t\,(1 - y) $$
#
# (found, marked wrongly, missed). Then
#
# $$ L_n = 1 - \frac{A + \varepsilon}{A + \alpha B + \beta\, C + \varepsilon} . $$
#
# $\alpha$ is the price of a pixel marked wrongly, $\beta$ that of a pixel missed.
#
# **Predict.** For which $\alpha$ and $\beta$ is it the Dice loss of lesson 6? What happens to its $\varepsilon = 1$?
#
# *your guess:*
#
# **Write** `tversky(logits, target, alpha=0.3, beta=0.7, eps=1.0, reduction="mean")`.
#
# <details><summary>A hint: its gradient</summary>
#
# Let $I = A + \varepsilon$ and $U = A + \alpha B + \beta C + \varepsilon$. As a pixel's $y$ grows, $I$ grows by $t$, and $U$ by $t + \alpha\,(1 - t) - \beta\, t$. The rule for quotients gives $\partial L_n / \partial y$, as in lesson 6, and the sigmoid adds its slope.
#
# </details>
#
# The library's [sigmoid_forward](ums/ops/activations.py:sigmoid_forward) returns `y` and a cache, and is finite everywhere. Both functions end in the same three reductions: write those once, in a function
# of their own.


# %%
# BEGIN SOLUTION
def focal(logits, target, alpha=0.25, gamma=2.0, reduction="mean"):
    """-w (1 - p)^gamma log p, the mean of each image's pixels, and its gradient."""
    _check_shapes(logits, target)
    sign = 2 * target - 1
    s = sign * logits
    tail = np.log1p(np.exp(-np.abs(s)))
    log_p = np.minimum(s, 0) - tail
    p, rest = np.exp(log_p), np.exp(-np.maximum(s, 0) - tail)  # rest is 1 - p
    w = alpha * target + (1 - alpha) * (1 - target)
    focus = w * rest**gamma
    pixels = logits[0].size
    values = (-focus * log_p).reshape(len(logits), -1).mean(axis=1)
    gradient = sign * focus * (gamma * p * log_p - rest) / pixels
    return _reduced(values, gradient, reduction)


def tversky(logits, target, alpha=0.3, beta=0.7, eps=1.0, reduction="mean"):
    """1 - (A + eps) / (A + alpha B + beta C + eps) of each image, and its gradient."""
    _check_shapes(logits, target)
    y, _ = sigmoid_forward(logits)
    axes = (1, 2, 3)
    found = (target * y).sum(axis=axes, keepdims=True)  # (N, 1, 1, 1)
    wrong = ((1 - target) * y).sum(axis=axes, keepdims=True)
    missed = (target * (1 - y)).sum(axis=axes, keepdims=True)
    I = found + eps
    U = found + alpha * wrong + beta * missed + eps
    dU = target + alpha * (1 - target) - beta * target
    dy = (I * dU - target * U) / U**2
    return _reduced((1 - I / U)[:, 0, 0, 0], dy * y * (1 - y), reduction)


def _check_shapes(logits, target):
    if logits.shape != target.shape:
        raise ValueError(f"logits {logits.shape} and target {target.shape} must agree")


def _reduced(values, gradient, reduction):
    """The images' values (N,) and the gradients of each, as `reduction` says."""
    if reduction == "none":
        return values, gradient
    if reduction == "sum":
        return values.sum(), gradient
    if reduction == "mean":
        return values.mean(), gradient / len(values)
    raise ValueError(f"reduction must be mean, sum or none, got {reduction!r}")


# END SOLUTION

# %%
check.focal(focal)

# %%
check.tversky(tversky)

# %%
check.reductions(focal, tversky)

# %% [markdown]
# **Keep.** Once the checks pass, this cell writes your losses to the folder `own/`. In the folder above this one, the command
# `python -m lessons study --only tversky` then runs a small X-ray study with that loss in place of the library's, and its page says so.

# %%
keep(focal, tversky)

# %% [markdown]
# ## What the focus does
#
# The loss of one pixel with $t = 1$ and its gradient, for four values of $\gamma$ (with $\alpha = 1/2$, doubled, so that $\gamma = 0$ is BCE).
#
# **Predict.** At which logit is the pull on a pixel strongest if $\gamma = 2$? In BCE it is strongest where the network is most wrong.
#
# *your guess:*

# %%
z = np.linspace(-6, 6, 121)
pixels = z.reshape(121, 1, 1, 1)  # each an image of one pixel
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8))
for gamma, colour, line in zip((0, 1, 2, 5), COLOURS, ("-", "--", "-.", ":"), strict=False):
    values, gradient = focal(pixels, np.ones_like(pixels), 0.5, gamma, "none")
    axes[0].plot(z, 2 * values, line, color=colour, label=f"$\\gamma$ = {gamma}")
    axes[1].plot(z, 2 * gradient.ravel(), line, color=colour)
axes[0].set(xlabel="logit $z$", ylabel="loss")
axes[1].set(xlabel="logit $z$", ylabel="gradient")
axes[0].legend()
show(
    "Loss and gradient of one pixel against its logit, for gamma 0, 1, 2 and 5. The larger gamma, the sooner the loss "
    "is nearly zero; for gamma above zero the gradient dips below minus one at negative logits before it comes back to it."
)

# %% [markdown]
# **Look.** Right of 1 the curves with a focus are nearly flat: a pixel that is surely right is left in peace. On the left the pull does not fade as that of Dice does. It is even stronger than in
# BCE, which never pulls by more than 1: for $\gamma = 2$ by 1.13 at $z \approx -2.8$. That is the product rule's second term.
#
# ## What a price does
#
# Now for the prices. The small network of lesson 6 learns to outline the lungs from 120 films, always from the same first weights: three times with your focal loss, with $\alpha$ of 0.1, 0.5 and 0.9, and once
# with your Tversky loss. All are tested on 40 other films. *Recall* is the share of the true pixels that are found, *precision* the share of the marked pixels that are true.
#
# **Predict.** In the focal loss $\alpha$ is the price of a lung pixel and $1 - \alpha$ that of any other. Which of recall and precision grows with $\alpha$, and which falls? Where will the outlines lie?
#
# *your guess:*

# %%
made = make_synthetic(160, 48, np.random.default_rng(1), "A")
x = normalise(made.images)
t = made.masks[..., None].astype(np.float32)


def outlined(loss, epochs=14):
    """The areas (40, 48, 48) of the test films, by a network trained with one loss."""
    rng = np.random.default_rng(0)
    network = Sequential(cxr_encoder(rng, width=0.15), cxr_decoder(rng, width=0.15))
    optimizer = Adam(network.trainable_parameters(), 5e-3)
    for _ in range(epochs):
        for rows in rng.permutation(120).reshape(8, 15):
            train_step(network, loss, optimizer, x[rows], t[rows])
    return network.forward(x[120:], keep=False)[..., 0] > 0


def priced(alpha):
    """The focal loss with the price alpha for pixels of the lungs, and 1 - alpha for all others."""

    def loss(logits, target):
        return focal(logits, target, alpha)

    return loss


areas = {}
for alpha in (0.1, 0.5, 0.9):
    areas[f"alpha = {alpha}"] = outlined(priced(alpha))
areas["Tversky"] = outlined(tversky)

# %%
true = made.masks[120:] > 0
figure, ax = plt.subplots(figsize=(4.5, 3))
for (name, area), colour, marker in zip(areas.items(), COLOURS, "osvD", strict=False):
    recall = (area & true).sum() / true.sum()
    precision = (area & true).sum() / max(area.sum(), 1)
    ax.plot(recall, precision, marker, color=colour, markersize=9, fillstyle="none", label=name)
    print(f"{name:15} recall {recall:.2f}   precision {precision:.2f}")
ax.set(xlabel="recall", ylabel="precision", xlim=(0, 1.04), ylim=(0, 1.04))
ax.legend(loc="lower left")
show(
    "Precision against recall, one mark for each loss. As alpha grows from 0.1 to 0.9 the marks of the focal loss move to "
    "the right and down: more is found, and more is marked wrongly."
)

# %%
figure, axes = plt.subplots(1, 4, figsize=(10, 2.9))
image_row(made.images[120:124], axes=axes)
for k, ax in enumerate(axes):
    for (name, area), colour, line in zip(areas.items(), COLOURS, ("-", "--", ":"), strict=False):
        ax.contour(area[k], levels=[0.5], colors=[colour], linestyles=line, linewidths=1.8)
        ax.plot([], [], line, color=colour, label=name)
axes[0].legend(fontsize=7, loc="lower left")
show(
    "Four films with three outlines of the lungs on each. The one for alpha 0.1 lies inside the lungs, the one for 0.5 near their "
    "edge, the one for 0.9 outside."
)

# %% [markdown]
# **Look.** The network and the films are the same, and the price alone decides on which side of the edge it errs. None of these networks is better than another until somebody says what a mistake costs. A network cannot
# answer that, and a loss is the place to write the answer down.
#
# A loss of this form fits everywhere in ums: a [Task](ums/finetuning/tasks.py:Task) of the strategies in lesson 9 takes yours in place of the library's.
#
# ## Think
#
# **Question 1.** The gradient of the focal loss at $z = -1000$ and $t = 1$ is finite, although $\log p = -1000$ stands in it. Why is $\gamma\, p \log p$ no problem there? What would `np.log(p)` have done?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 1 (2 points).** $p = e^{-1000}$ is 0 in floating point, and $0 \cdot (-1000) = 0$; the limit is 0 as well, since $p$ falls faster than $\log p$ grows (1). `np.log(p)` is minus infinity there, and
# $0 \cdot (-\infty)$ is not a number (1).

# %% [markdown]
# **Question 2.** A pixel with $t = 1$ and $z = -8$: compare the gradients under BCE, the focal loss with $\gamma = 2$, and the Tversky loss. Which of them can correct a network that is sure and wrong?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 2 (2 points).** BCE and focal both pull with nearly full strength, about -1 and $-w$ over the number of pixels, since $(1 - p)^\gamma \approx 1$ (1). The Tversky loss, like Dice, has the factor
# $y\,(1 - y) \approx 0.0003$ and can hardly move it (1). (A sum with BCE or focal helps.)

# %% [markdown]
# **Question 3.** Somebody raises the price of a miss until the recall is 0.99, and reports it. What is missing from the report? Name a way to compare networks that does not depend on the price each was trained with.
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 3 (2 points).** The precision, or what is marked on healthy films: marking everything has a recall of 1 (1). Compare whole curves, precision against recall over all thresholds of $z$, or the
# area under them; or compare at one recall fixed beforehand (1).

# %% [markdown]
# **Question 4.** Why can no check of a gradient find out that a value is wrong, say that $\alpha$ and $\beta$ are exchanged in value *and* gradient? What finds it?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 4 (2 points).** Central differences compare a gradient with the value of the same code; both belong to the exchanged loss and agree (1). Cases worked out by hand find it: one pixel marked wrongly and
# one missed must cost different amounts, which you know from the definition (1).

# %% [markdown]
# **Question 5.** We also tried the Tversky loss with $\alpha = 0.05$ and $\beta = 0.95$ on these films. The network marked every pixel and stayed there (recall 1.00, precision 0.27). The lungs are 27 % of the pixels: what does marking everything
# cost, and what does an undecided network cost, with $y = 1/2$ everywhere? Why does gradient descent not leave that state?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 5 (3 points).** As shares of the pixels, everything marked: $A = 0.27$, $B = 0.73$, $C = 0$, so the loss is $1 - 0.27 / (0.27 + 0.05 \cdot 0.73) = 0.12$ (1). Undecided: $A = C = 0.135$, $B = 0.365$, so it is $1 - 0.135 / (0.135 + 0.018 + 0.128) = 0.52$ (1). Marking
# everything is a large and quick gain; once all pixels are certain, the factor $y\,(1 - y)$ makes the gradient nearly 0 (1).
