# %% [markdown]
# # 6 When does Dice beat BCE?
#
# A loss is the only thing a network is ever told about what you want. Two losses are usual for outlining something in an
# image: the binary cross-entropy (BCE), which asks every pixel, and the Dice loss, which asks how well two areas
# overlap. In this lesson you write both, see what each says about large and small areas, and train with each.
#
# You write four functions: `bce`, `dice`, `bce_dice` and `categorical_cross_entropy`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_06 as check
from lessons.pictures import COLOURS, image_row, use_style
from ums.data import normalise
from ums.layers import Sequential
from ums.metrics import segmentation
from ums.networks import cxr_decoder, cxr_encoder
from ums.ops import sigmoid_forward
from ums.optimizers import Adam
from ums.training import train_step

use_style()

# %% [markdown]
# ## Two things to outline
#
# Synthetic chest X-rays, drawn by [make_synthetic](data_prep/synthetic.py:make_synthetic): 170 with an opacity, a cloud in the lung as
# a pneumonia makes it, and 30 healthy ones. Each film comes with two masks, arrays `(H, W)` of 0 and 1: the lungs, and the
# opacity if there is one.

# %%
made = make_synthetic(200, 48, np.random.default_rng(1), "A", abnormal_fraction=0.85)
ill = made.labels == 1  # (N,)
shown = [*np.flatnonzero(ill)[:4], *np.flatnonzero(~ill)[:2]]
image_row(made.images[shown], ["ill"] * 4 + ["healthy"] * 2)
image_row(made.masks[shown], ["lungs"] * 6, high=1)
image_row(made.opacities[shown], ["opacity"] * 6, high=1)

# %% [markdown]
# **Predict.** A network that answers "no" for every pixel of every ill film: what share of the pixels does it get right
# for the lungs? For the opacities? And what is its F-score? The F-score is $2\,|T \cap P| / (|T| + |P|)$ for the true area
# $T$ and the predicted area $P$: 1 for equal areas, 0 for areas that do not meet.
#
# *your guess:*

# %%
never = np.zeros(made.masks.shape, bool)
for name, masks in (("lungs", made.masks > 0), ("opacities", made.opacities > 0)):
    right = segmentation.accuracy(masks, never)[ill].mean()
    score = segmentation.f_score(masks, never)[ill].mean()
    print(f"{name:9}  pixels right {right:.2f}   F-score {score:.2f}")

# %% [markdown]
# **Look.** 93 % of all pixels right, and nothing found. The rarer a thing is, the less a share of pixels says about it.
#
# ## Every pixel by itself
#
# The last layer of a segmentation network gives each pixel a number $z$ of any size, a *logit*. The sigmoid makes a
# probability of it, $y = 1 / (1 + e^{-z})$. With the target $t$, 0 or 1, the binary cross-entropy is the mean over all pixels of
#
# $$ -\,\bigl( t \log y + (1 - t) \log (1 - y) \bigr) . $$
#
# For $t = 1$ only the first term counts: 0 where the network is sure ($y = 1$), and the larger the surer it is of the opposite. Written
# down as it stands, it breaks:


# %%
def bce_as_it_stands(z, t):
    """-(t log y + (1 - t) log(1 - y)) for every pixel."""
    y = 1 / (1 + np.exp(-z))
    return -(t * np.log(y) + (1 - t) * np.log(1 - y))


z = np.linspace(-15, 30, 400, dtype=np.float32)
with np.errstate(all="ignore"):
    naive = {t: bce_as_it_stands(z, np.float32(t)) for t in (0, 1)}
figure, ax = plt.subplots(figsize=(6, 2.8))
for t, values in naive.items():
    ax.plot(z, values, color=COLOURS[t], label=f"t = {t}")
edge = z[~np.isfinite(naive[0])].min()
ax.axvline(
    edge, color="black", linestyle="--", linewidth=0.8, label=f"infinite from z = {edge:.1f}"
)
ax.set(xlabel="logit $z$", ylabel="BCE of one pixel, float32")
ax.legend()
plt.show()

# %% [markdown]
# **Look.** At $z \approx 17$ `float32` rounds $y$ to exactly 1, and $\log(1 - y)$ is the logarithm of 0. One such pixel and the loss
# is infinite; for $z$ far below zero $e^{-z}$ itself overflows. Yet the true curve is nearly a straight line there, and nothing about it is
# difficult. Put the sigmoid *into* the logarithm, and for $t = 1$ and $t = 0$
#
# $$ -\log y = \log(1 + e^{-z}), \qquad -\log(1 - y) = \log(1 + e^{z}) . $$
#
# Both are the same function, $s(a) = \log(1 + e^{a})$, of $a = -z$ and $a = z$. For positive $a$ take $e^{a}$ out of the bracket:
# $s(a) = a + \log(1 + e^{-a})$. So the exponent need never be positive, whatever the sign of $a$. And since
# $s(-z) = s(z) - z$ (try it), one formula serves every $t$. `np.log1p(u)` is $\log(1 + u)$, exact for tiny $u$ too.
#
# **The gradient.** The sigmoid has the slope $\partial y / \partial z = y\,(1 - y)$ ([lesson 2](02_backward.ipynb)). Differentiate the BCE of one pixel by
# $z$. Nearly everything cancels.
#
# **Predict.** What is the gradient of a pixel with $t = 1$ at $z = -1000$, $0$ and $1000$? Large, small?
#
# *your guess:*
#
# **Write** `bce`. It returns the value, a mean over all elements, and its gradient with respect to every logit. Mind what the mean
# does to the gradient.


# %%
def bce(logits, target):
    """The mean binary cross-entropy, a scalar, and its gradient; both arrays have one shape, any."""
    y, _ = sigmoid_forward(logits)  # of the library: finite for every z
    # BEGIN SOLUTION
    tail = np.log1p(np.exp(-np.abs(logits)))
    values = np.maximum(logits, 0) + tail - logits * target
    return values.mean(), (y - target) / logits.size
    # END SOLUTION


# %%
check.bce(bce)

# %% [markdown]
# The library's [bce](ums/ops/losses.py:bce) is the same, on the CPU or on a GPU.
#
# ## Two areas
#
# The Dice loss is 1 minus the F-score, made *soft*: counts become sums of probabilities, so that there is a slope. For one image,
#
# $$ \text{Dice} = 1 - \frac{2 \sum t\,y + \varepsilon}{\sum t + \sum y + \varepsilon} = 1 - \frac{I}{U} , $$
#
# with the sums over the pixels of *this image*. The loss of a batch is the mean over its $N$ images. $\varepsilon = 1$ pixel.
#
# **Predict.** The mask is empty, $\sum t = 0$. What is the loss when nothing is predicted ($\sum y = 0$)? When three pixels are
# predicted, surely? What would both be for $\varepsilon = 0$?
#
# *your guess:*
#
# **The gradient.** A pixel's $y$ stands in $I$ with the factor $2t$ and in $U$ with the factor 1. The rule for quotients gives
#
# $$ \frac{\partial}{\partial y} \left( 1 - \frac{I}{U} \right) = - \frac{2\,t\,U - I}{U^2} , $$
#
# and the sigmoid adds its slope. Unlike in BCE, nothing cancels.
#
# **Write** `dice`. With `keepdims=True` the sums keep four axes, `(N, 1, 1, 1)`, and fit beside `(N, H, W, 1)`.


# %%
def dice(logits, target, eps=1.0):
    """The mean Dice loss of the images and its gradient (N, H, W, 1); both arrays (N, H, W, 1)."""
    y, _ = sigmoid_forward(logits)
    N = len(logits)
    # BEGIN SOLUTION
    axes = (1, 2, 3)
    I = 2 * (target * y).sum(axis=axes, keepdims=True) + eps
    U = (target + y).sum(axis=axes, keepdims=True) + eps
    dy = -(2 * target * U - I) / U**2 / N
    return (1 - I / U).mean(), dy * y * (1 - y)
    # END SOLUTION


# %%
check.dice(dice)

# %% [markdown]
# The paper uses both at once, its equation (1): $w \cdot \text{BCE} + (1 - w) \cdot \text{Dice}$. **Write** `bce_dice` with
# your two functions.


# %%
def bce_dice(logits, target, weight=0.5):
    """weight BCE + (1 - weight) Dice, and its gradient; both arrays (N, H, W, 1)."""
    # BEGIN SOLUTION
    bce_value, d_bce = bce(logits, target)
    dice_value, d_dice = dice(logits, target)
    value = weight * bce_value + (1 - weight) * dice_value
    return value, weight * d_bce + (1 - weight) * d_dice
    # END SOLUTION


# %%
check.bce_dice(bce_dice)

# %% [markdown]
# ## What each says of a miss
#
# Three discs on a field of 96 x 96 pixels: large, small and very small. The prediction is a disc of the same size, very sure of
# itself ($z = 8$ inside, $-8$ outside), moved aside step by step. Overlap is the F-score of the two discs.
#
# **Predict.** For which disc does BCE complain most about a prediction that misses it altogether? And Dice? Draw the
# curves of both losses against the overlap, roughly.
#
# *your guess:*


# %%
def disc(radius, left, size=96):
    """A disc as (H, W) booleans, at mid-height, its left edge at the column `left`."""
    row, column = np.mgrid[:size, :size]
    return (row - size / 2) ** 2 + (column - left - radius) ** 2 < radius**2


def losses_and_overlap(radius, loss):
    """A loss, and the overlap, of a disc and one moved aside by 0 to its whole width."""
    true = disc(radius, 1)
    moved = np.stack([disc(radius, 1 + k) for k in np.linspace(0, 2 * radius, 12)])
    t = np.broadcast_to(true, moved.shape)
    z = np.where(moved, 8.0, -8.0)[:, None, ..., None]  # each by itself: (1, H, W, 1)
    target = true.astype(float)[None, ..., None]
    return segmentation.f_score(t, moved), [loss(one, target)[0] for one in z]


radii = (23, 10, 4)
image_row(
    [disc(r, 1) + 0.5 * disc(r, 1 + r) for r in radii],
    [f"{disc(r, 1).mean():.1%} of the pixels" for r in radii],
    high=1.5,
)
figure, axes = plt.subplots(1, 3, figsize=(9, 2.8))
for ax, loss in zip(axes, (bce, dice, bce_dice), strict=True):
    for radius, colour in zip(radii, COLOURS, strict=False):
        label = f"{disc(radius, 1).mean():.1%} of the pixels"
        ax.plot(*losses_and_overlap(radius, loss), "o-", color=colour, markersize=3, label=label)
    ax.set(xlabel="overlap (F-score)", title=loss.__name__)
axes[0].set_ylabel("loss")
axes[0].legend()
plt.show()

# %% [markdown]
# **Look.** BCE falls from 2.9 to 0 for the large disc, and for the very small one it is never above 0.1: a miss there is wrong on 1 % of
# the pixels, and BCE is a mean over pixels. The Dice loss is the same for all three, one line: 1 minus the overlap. (The green
# end, a little above 0: the 9000 pixels of the background are each predicted with $y = 0.0003$, which together makes 3 pixels, and
# the disc has 45.) Their half-and-half mean keeps a loss of about 1/2 for a miss, however small the thing is.
#
# ## What a network makes of it
#
# The same small network, the same 120 ill films and the same first weights, three times: trained with `bce`, with `dice` and with
# `bce_dice`. First to outline the lungs, then the opacities. It is tested on the other 80 films, after every second pass over
# the 120 (an *epoch*). Two runs each, from other first weights. An area is where $y > 1/2$, that is $z > 0$.
#
# **Predict.** Which loss wins for the lungs? Which for the opacities? Where does BCE begin?
#
# *your guess:*


# %%
x = normalise(made.images)  # on the CPU: your losses are NumPy functions, and the network is tiny
training = np.flatnonzero(ill)[:120]
testing = np.setdiff1d(np.arange(200), training)  # 50 ill and 30 healthy
sick = ill[testing]


def outlines(loss, masks, seed, epochs=20):
    """Train with one loss: after every second epoch, the areas (80, H, W) of the test films."""
    rng = np.random.default_rng(seed)
    network = Sequential(cxr_encoder(rng, width=0.15), cxr_decoder(rng, width=0.15))
    optimizer = Adam(network.trainable_parameters(), 5e-3)
    t = masks[..., None].astype(np.float32)
    areas = []
    for epoch in range(1, epochs + 1):
        for rows in np.array_split(rng.permutation(training), 8):
            train_step(network, loss, optimizer, x[rows], t[rows])
        if epoch % 2 == 0:
            areas.append(network.forward(x[testing], keep=False)[..., 0] > 0)
    return areas


targets = {"lungs": made.masks, "opacities": made.opacities}
results = {
    (name, loss.__name__): [outlines(loss, masks, seed) for seed in range(2)]
    for name, masks in targets.items()
    for loss in (bce, dice, bce_dice)
}

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), sharey=True)
for (name, loss), runs in results.items():
    ax, colour = axes[list(targets).index(name)], COLOURS[["bce", "dice", "bce_dice"].index(loss)]
    true = targets[name][testing] > 0
    for k, areas in enumerate(runs):
        scores = [segmentation.f_score(true, area)[sick].mean() for area in areas]
        ax.plot(np.arange(2, 21, 2), scores, color=colour, label=loss if k == 0 else None)
    ax.set(xlabel="epoch", title=f"{name}, ill test films", ylim=(0, 1), xticks=range(0, 21, 4))
lungs = segmentation.f_score(made.opacities[testing] > 0, made.masks[testing] > 0)[sick].mean()
axes[1].axhline(lungs, color="black", linestyle="--", linewidth=0.8, label="both lungs, whole")
axes[0].set_ylabel("F-score")
axes[0].legend()
axes[1].legend()
plt.show()

# %% [markdown]
# And the opacities as they were outlined at the end of the first run, on four ill films and two healthy ones:

# %%
chosen = [*np.flatnonzero(sick)[:4], *np.flatnonzero(~sick)[:2]]
image_row(made.images[testing][chosen], ["ill"] * 4 + ["healthy"] * 2)
image_row(made.opacities[testing][chosen], ["true"] * 6, high=1)
for loss in ("bce", "dice", "bce_dice"):
    image_row(results["opacities", loss][0][-1][chosen], [loss] * 6, high=1)

# %%
true = made.opacities[testing] > 0
print("opacities, two runs        F-score: ill films   all films    healthy films with an area")
for loss in ("bce", "dice", "bce_dice"):
    last = [areas[-1] for areas in results["opacities", loss]]
    f = np.mean([segmentation.f_score(true, area) for area in last], axis=0)  # (80,)
    alarms = np.mean([area.any(axis=(1, 2)) for area in last], axis=0)
    print(f"{loss:30} {f[sick].mean():14.2f} {f.mean():11.2f} {alarms[~sick].mean():18.2f}")

# %% [markdown]
# **Look.** The lungs, a quarter of the pixels: all three end between 0.90 and 0.93, and Dice is rather the slowest. The opacities, 7 % of
# them: BCE goes to "no" everywhere at first, the answer that gets 93 % of the pixels right, and is only beginning to leave it at the end; the two
# runs differ. Both losses with Dice in them come to about 0.5. That is not much: whoever outlines the whole of both lungs gets 0.39.
# BCE is late rather than lost: in a trial with 150 films and 40 epochs it came to 0.47, and Dice to 0.60.
#
# And Dice has its price. It was shown ill films only, and finds something on nearly every healthy film. On a healthy film the
# F-score is 1 for nothing and 0 for a single pixel, so over *all* films the order is another one: BCE, which mostly says nothing, is
# above Dice. A mean score says little before you know on which images it was taken.
#
# So, when does Dice beat BCE? When the thing is small, and there. For large areas it gains nothing. The mean of both is never
# far from the better one here, and that is what the library trains with ([bce_dice](ums/ops/losses.py:bce_dice)).
#
# ## One of several classes
#
# A classification head gives each image $K$ logits, one per class, and the softmax makes probabilities of them, $y_k = e^{z_k} / \sum_j e^{z_j}$.
# The *categorical* cross-entropy (CCE) is the mean over the images of $-\log y_\ell$, with $\ell$ the image's label, a whole number from 0 to
# $K - 1$.
#
# A thousand in the exponent is too much again. But adding one number to all logits of an image changes no $y_k$: numerator and
# denominator grow by the same factor. So each image's largest logit can be made 0 first. And, as with BCE,
# take the logarithm *before* you compute: $-\log y_\ell = \log \sum_j e^{z_j} - z_\ell$.
#
# Its gradient looks like that of BCE, with a row in place of a number: $\partial / \partial z_k = y_k - [k = \ell]$, where $[k = \ell]$
# is 1 for the class that is right and 0 for the others.
#
# **Predict.** A network with fresh weights knows nothing, and all its logits are about equal. What is its loss for $K = 3$ classes?
# And for $K = 1000$?
#
# *your guess:*
#
# **Write** `categorical_cross_entropy`.


# %%
def categorical_cross_entropy(logits, labels):
    """The mean of -log y[label], and its gradient (N, K); logits (N, K), labels (N,) integers."""
    N, K = logits.shape
    onehot = np.eye(K, dtype=logits.dtype)[labels]  # (N, K), 1 at each image's label
    # BEGIN SOLUTION
    z = logits - logits.max(axis=1, keepdims=True)
    total = np.exp(z).sum(axis=1, keepdims=True)
    values = np.log(total[:, 0]) - (z * onehot).sum(axis=1)
    return values.mean(), (np.exp(z) / total - onehot) / N
    # END SOLUTION


# %%
check.categorical_cross_entropy(categorical_cross_entropy)

# %% [markdown]
# **Look.** An image of class 0, and what the gradient asks for while its logits are wrong, undecided and right. A step goes *against* the
# gradient: a bar downwards raises its logit.

# %%
cases = {"sure, and wrong": [-2, 3, -1], "undecided": [0, 0, 0], "right": [3, -1, -1]}
figure, axes = plt.subplots(1, 3, figsize=(8, 2.3), sharey=True)
for ax, (name, z) in zip(axes, cases.items(), strict=True):
    value, gradient = categorical_cross_entropy(np.array([z], float), np.array([0]))
    ax.bar(range(3), gradient[0], color=[COLOURS[0], COLOURS[1], COLOURS[1]])
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(title=f"{name}: loss {value:.2f}", xlabel="class", xticks=range(3))
axes[0].set_ylabel("gradient")
plt.show()

# %% [markdown]
# The largest gradient a logit can get is 1 (divided by $N$), however wrong it is: no image outvotes a whole batch. The library's is
# [categorical_cross_entropy](ums/ops/losses.py:categorical_cross_entropy).
#
# ## Think
#
# 1. A pixel with $t = 1$ and $z = -8$: compare its gradient under BCE and under Dice. Which loss can hardly correct a network that is
#    sure of the wrong thing, and what part of the formula is to blame?
# 2. By the F-score over *all* test films, which network for opacities is best, and what has it learned? What would you report?
# 3. The Dice loss here is a mean over images. It could also take its sums over the whole batch at once. What would change for a batch of one
#    large and one small opacity, and for a batch with a healthy film?
# 4. You could also multiply BCE's term for $t = 1$ by 10. What of the advantage of Dice would that give you, and what not?

# %% [markdown] tags=["solution"]
# **Answers.**
#
# 1. BCE: $y - t \approx -1$ (over the number of pixels), as large as it gets. Dice has the factor $y\,(1 - y) \approx 0.0003$, the slope of the
#    sigmoid, which does not cancel: it can hardly move that pixel. BCE brings such pixels back, one reason to use both.
# 2. `bce_dice` (0.39), but BCE comes second (0.35) with a network that finds almost nothing: it earns its score on the 30 healthy
#    films, by silence. Report both parts: the F-score on the films that show an opacity, and on how many healthy ones an area is marked.
# 3. In one sum the small opacity's pixels count as much as the large one's, so that the small one hardly matters; by image both
#    matter alike. A healthy film by itself has a loss of nearly 1 as soon as a few pixels are predicted; in one sum with an ill
#    film it is a few pixels among many, and no image is ever empty.
# 4. The rare pixels get more weight, so that "no" everywhere stops being cheap. But the factor must be chosen, for each task anew, and BCE still adds
#    up pixels one by one: its value says nothing about overlap, while Dice is the score itself, nearly.
