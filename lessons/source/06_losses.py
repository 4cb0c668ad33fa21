# %% [markdown]
# # 6 When does Dice beat BCE?
#
# A loss is the only thing a network is ever told about what you want. Two losses are common for outlining something in an
# image: the binary cross-entropy (BCE), which judges each pixel by itself, and the Dice loss, which judges how well two areas
# overlap. In this lesson you write both, see what each says about large and small areas, and train with each.
#
# You write four functions: `bce`, `dice`, `bce_dice` and `categorical_cross_entropy`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_06 as check
from lessons.own import keep
from lessons.pictures import COLOURS, image_row, show, use_style
from lessons.sliders import slide
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
# Here are synthetic chest X-rays, drawn by [make_synthetic](data_prep/synthetic.py:make_synthetic): 170 with an opacity, a cloud in the lung such as
# pneumonia causes, and 30 healthy ones. Each film comes with two masks, arrays `(H, W)` of 0 and 1: the lungs, and the
# opacity if there is one.

# %%
made = make_synthetic(200, 48, np.random.default_rng(1), "A", abnormal_fraction=0.85)
ill = made.labels == 1  # (N,)
shown = [*np.flatnonzero(ill)[:4], *np.flatnonzero(~ill)[:2]]
figure, axes = plt.subplots(3, 6, figsize=(11, 6))
image_row(made.images[shown], ["ill"] * 4 + ["healthy"] * 2, axes[0])
image_row(made.masks[shown], ["lungs"] * 6, axes[1], high=1)
image_row(made.opacities[shown], ["opacity"] * 6, axes[2], high=1)
show(
    "Six films, below each its mask of the lungs, two large areas, and its mask of the opacity: small spots on the four "
    "ill films, nothing on the two healthy ones."
)

# %% [markdown]
# **Predict.** Suppose a network answers "no" for every pixel of every ill film. What share of the pixels does it get right
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
# **Look.** For the opacities 93 % of all pixels are right, and nothing has been found. The rarer a thing is, the less the share of right pixels says about it.
#
# ## Every pixel by itself
#
# The last layer of a segmentation network gives each pixel a number $z$ of any size, a *logit*. The sigmoid turns it into a
# probability, $y = 1 / (1 + e^{-z})$. With the target $t$, 0 or 1, the binary cross-entropy is the mean over all pixels of
#
# $$ -\,\bigl( t \log y + (1 - t) \log (1 - y) \bigr) . $$
#
# For $t = 1$ only the first term counts: it is 0 where the network is certain ($y = 1$), and grows the more certain the network is of the opposite. Computed
# exactly as written, it breaks:


# %%
def bce_as_it_stands(z, t):
    """-(t log y + (1 - t) log(1 - y)) for every pixel."""
    y = 1 / (1 + np.exp(-z))
    return -(t * np.log(y) + (1 - t) * np.log(1 - y))


z = np.linspace(-15, 30, 400, dtype=np.float32)
with np.errstate(all="ignore"):
    naive = {t: bce_as_it_stands(z, np.float32(t)) for t in (0, 1)}
figure, ax = plt.subplots(figsize=(6, 2.8))
for t, line in ((0, "-"), (1, "-.")):
    ax.plot(z, naive[t], line, color=COLOURS[t], label=f"t = {t}")
edge = z[~np.isfinite(naive[0])].min()
ax.axvline(
    edge, color="black", linestyle="--", linewidth=0.8, label=f"infinite from z = {edge:.1f}"
)
ax.set(xlabel="logit $z$", ylabel="BCE of one pixel, float32")
ax.legend()
show(
    "The BCE of one pixel against its logit. For t = 1 it falls from 15 to 0; for t = 0 it rises. Both break off at the "
    "logit 17 or so, from which on the one is not a number and the other infinite."
)

# %% [markdown]
# **Look.** At $z \approx 17$ `float32` rounds $y$ to exactly 1, and $\log(1 - y)$ is the logarithm of 0. A single pixel like that makes the loss
# infinite, or not a number where the factor $1 - t$ is 0; and for $z$ far below zero $e^{-z}$ itself overflows. Yet the true curve is nearly a straight line there, and there is nothing difficult
# about it. Substitute the sigmoid *inside* the logarithm, and for $t = 1$ and $t = 0$
#
# $$ -\log y = \log(1 + e^{-z}), \qquad -\log(1 - y) = \log(1 + e^{z}) . $$
#
# Both are the same function, $s(a) = \log(1 + e^{a})$, of $a = -z$ and of $a = z$. For positive $a$ take $e^{a}$ out of the bracket:
# $s(a) = a + \log(1 + e^{-a})$. So the exponent need never be positive, whatever the sign of $a$. And since
# $s(-z) = s(z) - z$ (try it), one formula serves both targets. `np.log1p(u)` is $\log(1 + u)$, accurate for tiny $u$ too.
#
# <details><summary>A hint: the one formula</summary>
#
# For $t = 0$ the value is $s(z)$, for $t = 1$ it is $s(-z) = s(z) - z$. Both are $s(z) - t\,z$. And $s(z) = \max(z, 0) + \log(1 + e^{-|z|})$, for either sign of $z$.
#
# </details>
#
# **The gradient.** The sigmoid has the slope $\partial y / \partial z = y\,(1 - y)$ ([lesson 2](02_backward.ipynb)). Differentiate the BCE of one pixel with respect to
# $z$. Nearly everything cancels.
#
# <details><summary>A hint: the derivative, step by step</summary>
#
# $\partial \log y / \partial z = y\,(1 - y) / y = 1 - y$, and $\partial \log (1 - y) / \partial z = -y\,(1 - y) / (1 - y) = -y$. Put both into $-(t \log y + (1 - t) \log(1 - y))$ and expand the brackets. What is left is a difference of two of the letters.
#
# </details>
#
# **Predict.** What is the gradient of a pixel with $t = 1$ at $z = -1000$, $0$ and $1000$? Is it large or small?
#
# *your guess:*
#
# **Write** `bce`. It returns the value, a mean over all elements, and its gradient with respect to every logit. Remember what the mean
# does to the gradient.


# %%
def bce(logits, target):
    """The mean binary cross-entropy, a scalar, and its gradient; both arrays have the same shape, any."""
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
# **Predict.** Suppose the mask is empty, $\sum t = 0$. What is the loss when nothing is predicted ($\sum y = 0$)? When three pixels are
# predicted with certainty? What would both be for $\varepsilon = 0$?
#
# *your guess:*
#
# **The gradient.** A pixel's $y$ appears in $I$ with the factor $2t$ and in $U$ with the factor 1. The quotient rule gives
#
# $$ \frac{\partial}{\partial y} \left( 1 - \frac{I}{U} \right) = - \frac{2\,t\,U - I}{U^2} , $$
#
# and the sigmoid contributes its slope. Unlike in BCE, nothing cancels.
#
# **Write** `dice`. With `keepdims=True` the sums keep four axes, `(N, 1, 1, 1)`, and broadcast against `(N, H, W, 1)`.
#
# <details><summary>A hint, if the gradient fails its check</summary>
#
# Three factors make it: the quotient rule above, for each pixel with $I$ and $U$ of *its own* image; the slope $y\,(1 - y)$; and $1/N$ from the mean over images. In the numerator, $I$ already contains $\varepsilon$.
#
# </details>


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
# The library's [dice](ums/ops/losses.py:dice) is the same. The paper uses both losses at once, in its equation (1): $w \cdot \text{BCE} + (1 - w) \cdot \text{Dice}$. **Write** `bce_dice` with
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
# **Keep.** Once the checks pass, this cell writes your three losses to the folder `own/`. In the folder above this one, the command
# `python -m lessons study` then runs a small X-ray study with them in place of the library's, and its page says so.

# %%
keep(bce, dice, bce_dice)

# %% [markdown]
# ## What each says of a miss
#
# Here are three discs on a field of 96 x 96 pixels: large, small and very small. The prediction is a disc of the same size, made with great
# confidence ($z = 8$ inside, $-8$ outside), and moved to the side step by step. Overlap means the F-score of the two discs.
#
# **Predict.** For which disc is BCE largest when the prediction misses it altogether? And Dice? Sketch the
# curves of both losses against the overlap.
#
# *your guess:*


# %%
def disc(radius, left, size=96):
    """A disc as (H, W) booleans, at mid-height, its left edge at the column `left`."""
    row, column = np.mgrid[:size, :size]
    return (row - size / 2) ** 2 + (column - left - radius) ** 2 < radius**2


def losses_and_overlap(radius, loss):
    """The overlap of a disc and one moved aside by 0 to its whole width, and the loss."""
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
show(
    "Three true discs, each with a predicted one of the same size that is moved aside by half its width."
)
figure, axes = plt.subplots(1, 3, figsize=(9, 2.8))
for ax, loss in zip(axes, (bce, dice, bce_dice), strict=True):
    for radius, colour, marker in zip(radii, COLOURS, "osv", strict=False):
        label = f"{disc(radius, 1).mean():.1%} of the pixels"
        overlap, values = losses_and_overlap(radius, loss)
        ax.plot(overlap, values, marker + "-", color=colour, markersize=4, label=label)
    ax.set(xlabel="overlap (F-score)", title=loss.__name__)
axes[0].set_ylabel("loss")
axes[0].legend()
show(
    "Three panels with the loss against the overlap, for the three discs. BCE: three falling lines, 2.9 high at the start "
    "for the large disc and below 0.1 for the smallest. Dice: all three on one line from 1 to 0. Their mean lies between."
)

# %% [markdown]
# **Look.** BCE falls from 2.9 to 0 for the large disc, and for the very small one it is never above 0.1: a miss there is wrong on 1 % of
# the pixels, and BCE is a mean over pixels. The Dice loss is the same for all three, a single line: 1 minus the overlap. (The line of the smallest disc
# ends a little above 0: each of the 9000 background pixels is predicted with $y = 0.0003$, which together amounts to 3 pixels, and
# the disc has 45.) The mean of both keeps a loss of about 1/2 for a miss, however small the thing is.
#
# Move the disc yourself: the sliders set its radius, how far the prediction is moved aside, and how confident it is, the logit $z$ inside (outside it is $-z$). (Without the package
# *ipywidgets* there is one picture and no slider.)
#
# **Predict.** Let the prediction miss the disc (shift 46), and turn the confidence from 8 down to 1. Does BCE rise or fall for a radius of 23? And for a radius of 4? Then put the prediction exactly in place (shift 0), with a radius of 4,
# and turn the confidence down again. What does Dice do?
#
# *your guess:*


# %%
def compare(radius, shift, confidence):
    """Draw a true disc and a predicted one, and the losses of the prediction."""
    true, predicted = disc(radius, 1), disc(radius, 1 + shift)
    z = np.where(predicted, float(confidence), -float(confidence))[None, ..., None]
    t = true.astype(float)[None, ..., None]
    values = [loss(z, t)[0] for loss in (bce, dice, bce_dice)]
    _, (left, right) = plt.subplots(1, 2, figsize=(7, 2.6))
    overlap = segmentation.f_score(true[None], predicted[None])[0]
    image_row([true + 0.5 * predicted], [f"overlap {overlap:.2f}"], [left], high=1.5)
    bars = right.barh(["bce", "dice", "bce_dice"], values, color=COLOURS[:3])
    right.bar_label(bars, fmt="%.2f", padding=3)
    right.set(xlabel="loss", xlim=(0, 3.2))
    right.invert_yaxis()


slide(
    compare,
    "A true and a predicted disc on the left; on the right three bars, the losses BCE, Dice and their mean.",
    radius=(3, 23, 10),
    shift=(0, 46, 10),
    confidence=(0, 10, 8),
)

# %% [markdown]
# **Look.** What BCE punishes is certainty about the wrong thing: for the large disc it falls from 2.9 to 0.7. For the very small one it *rises*, from 0.1 to 0.3, because the miss is a handful of pixels, and the whole background, right but no longer certain, now costs more.
# And Dice, for the very small disc exactly in place, rises from 0.03 to 0.97. With $z = -1$ each background pixel counts as $y = 0.27$ of a predicted pixel, nearly 2500 in all, next to a disc of 45. So Dice asks for certainty far more than BCE, which rises only to 0.3.
#
# ## What a network makes of it
#
# The same small network, with the same 120 ill films and the same first weights, is trained three times: with `bce`, with `dice` and with
# `bce_dice`. It does so once for the lungs and once, from the same first weights, for the opacities. It is tested on the other 80 films, after every second pass over
# the 120 (an *epoch*). There are two runs of each, with different first weights. The predicted area is where $y > 1/2$, that is $z > 0$.
#
# **Predict.** Which loss wins for the lungs? Which for the opacities? What does the network that is trained with BCE answer at first?
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
results = {}  # (what, loss) -> the areas of two runs
for name, masks in targets.items():
    for loss in (bce, dice, bce_dice):
        results[name, loss.__name__] = [outlines(loss, masks, seed) for seed in range(2)]

# %%
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), sharey=True)
looks = {"bce": (COLOURS[0], "o-"), "dice": (COLOURS[1], "s--"), "bce_dice": (COLOURS[2], "v-.")}
for ax, name in zip(axes, targets, strict=True):
    true = targets[name][testing] > 0
    for loss, (colour, line) in looks.items():
        for k, areas in enumerate(results[name, loss]):
            scores = [segmentation.f_score(true, area)[sick].mean() for area in areas]
            label = loss if k == 0 else None
            ax.plot(np.arange(2, 21, 2), scores, line, color=colour, markersize=4, label=label)
    ax.set(xlabel="epoch", title=f"{name}, ill test films", ylim=(0, 1), xticks=range(0, 21, 4))
lungs = segmentation.f_score(made.opacities[testing] > 0, made.masks[testing] > 0)[sick].mean()
axes[1].axhline(lungs, color="black", linestyle=":", linewidth=1, label="both lungs, whole")
axes[0].set_ylabel("F-score")
axes[0].legend()
axes[1].legend()
show(
    "F-score against epoch for the three losses, two runs each. Lungs: all end above 0.9. Opacities: Dice and the mean of "
    "both rise to about 0.5, while BCE stays at 0 for half the time and ends lower; a dotted line at 0.39."
)

# %% [markdown]
# Here is how the opacities were outlined at the end of the first run, on four ill films and two healthy ones:

# %%
chosen = [*np.flatnonzero(sick)[:4], *np.flatnonzero(~sick)[:2]]
figure, axes = plt.subplots(5, 6, figsize=(9, 8))
image_row(made.images[testing][chosen], ["ill"] * 4 + ["healthy"] * 2, axes[0])
image_row(made.opacities[testing][chosen], ["true"] * 6, axes[1], high=1)
for row, loss in zip(axes[2:], looks, strict=True):
    image_row(results["opacities", loss][0][-1][chosen], [loss] * 6, row, high=1)
show(
    "Six films, their true opacities, and what the three networks outline. The one trained with BCE marks little; those "
    "with Dice mark the opacities roughly, and something on the healthy films too."
)

# %%
true = made.opacities[testing] > 0
print("opacities, two runs        F-score: ill films   all films    healthy films with an area")
for loss in ("bce", "dice", "bce_dice"):
    last = [areas[-1] for areas in results["opacities", loss]]
    f = np.mean([segmentation.f_score(true, area) for area in last], axis=0)  # (80,)
    alarms = np.mean([area.any(axis=(1, 2)) for area in last], axis=0)
    print(f"{loss:30} {f[sick].mean():14.2f} {f.mean():11.2f} {alarms[~sick].mean():18.2f}")

# %% [markdown]
# **Look.** The lungs are a quarter of the pixels. All three losses end between 0.90 and 0.93, and Dice is the slowest, if anything. The opacities are 7 % of
# the pixels. With BCE the network soon says "no" everywhere, the answer that gets 93 % of the pixels right, and only begins to give it up towards the end; the two
# runs differ. Both losses that contain Dice reach about 0.5. That is not much: outlining the whole of both lungs would score 0.39.
# BCE is late rather than lost: in a trial with 150 films and 40 epochs it reached 0.47, and Dice 0.60.
#
# And Dice has its price. The networks were shown ill films only, and the one trained with Dice finds something on nearly every healthy film. On a healthy film the
# F-score is 1 for an empty answer and 0 for a single pixel, so over *all* films the order changes: BCE, which mostly finds nothing, is
# ahead of Dice. A mean score says little until you know which images it was taken over.
#
# So, when does Dice beat BCE? When the thing is small, and present. For large areas there is nothing to gain. On ill films the mean of both is never
# far from the better one here, and that is what the library trains with ([bce_dice](ums/ops/losses.py:bce_dice)). [Task 4](t4_loss.ipynb) is about losses that weigh the two kinds of mistake differently.
#
# ## One of several classes
#
# A classification head gives each image $K$ logits, one per class, and the softmax turns them into probabilities, $y_k = e^{z_k} / \sum_j e^{z_j}$.
# The *categorical* cross-entropy (CCE) is the mean over the images of $-\log y_\ell$, with $\ell$ the image's label, a whole number from 0 to
# $K - 1$.
#
# Again, a logit of a thousand is too much for the exponential. But adding the same number to all logits of an image changes no $y_k$: numerator and
# denominator grow by the same factor. So each image's largest logit can first be shifted to 0. And, as with BCE,
# take the logarithm on paper *before* you compute: $-\log y_\ell = \log \sum_j e^{z_j} - z_\ell$.
#
# Its gradient looks like that of BCE, with a row in place of a number: for one image, $\partial (-\log y_\ell) / \partial z_k = y_k - [k = \ell]$, where $[k = \ell]$
# is 1 for the right class and 0 for the others.
#
# <details><summary>Where that comes from</summary>
#
# $\partial \log \sum_j e^{z_j} / \partial z_k = e^{z_k} / \sum_j e^{z_j} = y_k$, and $\partial z_\ell / \partial z_k$ is 1 for $k = \ell$ and 0 otherwise. The mean over the images again divides by $N$.
#
# </details>
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
# **Keep.** Once the check passes, this cell writes your function to the folder `own/`. In the folder above this one, the command
# `python -m lessons study` then runs a small X-ray study with it in place of the library's, and its page says so.

# %%
keep(categorical_cross_entropy)

# %% [markdown]
# Below is an image of class 0, and its gradient while its logits are wrong, undecided and right. A step goes *against* the
# gradient: a bar that points down raises its logit.

# %%
cases = {"certain and wrong": [-2, 3, -1], "undecided": [0, 0, 0], "right": [3, -1, -1]}
figure, axes = plt.subplots(1, 3, figsize=(8, 2.3), sharey=True)
for ax, (name, z) in zip(axes, cases.items(), strict=True):
    value, gradient = categorical_cross_entropy(np.array([z], float), np.array([0]))
    ax.bar(range(3), gradient[0], color=[COLOURS[0], COLOURS[1], COLOURS[1]])
    ax.axhline(0, color="black", linewidth=0.8)
    ax.set(title=f"{name}: loss {value:.2f}", xlabel="class", xticks=range(3))
axes[0].set_ylabel("gradient")
show(
    "Three bar charts of the gradient of three logits. Certain and wrong: class 0 far below zero, class 1 far above. "
    "Undecided: class 0 at minus two thirds, the others at one third. Right: all near zero."
)

# %% [markdown]
# **Look.** The largest gradient that a logit can get is 1 (divided by $N$), however wrong it is: no single image outvotes a whole batch. The library has
# [categorical_cross_entropy](ums/ops/losses.py:categorical_cross_entropy) as well.
#
# ## Think
#
# **Question 1.** Take a pixel with $t = 1$ and $z = -8$, and compare its gradient under BCE and under Dice. Which loss can hardly correct a network that is
# certain of the wrong thing, and what part of the formula is to blame?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 1 (2 points).** Under BCE it is $y - t \approx -1$ (divided by the number of pixels), as large as it gets (1). Dice has the factor $y\,(1 - y) \approx 0.0003$, the slope of the
# sigmoid, which does not cancel, and so it can hardly move that pixel. BCE brings such pixels back (1).

# %% [markdown]
# **Question 2.** By the F-score over *all* test films, which network for opacities is best, and what has it learned? What would you report?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 2 (2 points).** Read it off the table (the numbers differ a little between computers): BCE is first or close to it, with a network that finds little; it earns its score on the 30 healthy
# films, by marking nothing (1). Report both parts: the F-score on the films that show an opacity, and the share of healthy films on which an area is marked (1).

# %% [markdown]
# **Question 3.** The Dice loss here is a mean over images. It could also take its sums over the whole batch at once. What would change for a batch of one
# large and one small opacity, and for a batch with a healthy film?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 3 (2 points).** In a single sum every pixel counts alike, so the small opacity, with its few pixels, hardly matters; taken image by image, both opacities
# matter alike (1). A healthy film by itself has a loss of nearly 1 as soon as a few pixels are predicted; in one sum with an ill
# film, these are a few pixels among many, and the sum of the targets is not 0 (1).

# %% [markdown]
# **Question 4.** You could also multiply the term of BCE for $t = 1$ by 10. Which advantage of Dice would that give you, and which not?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 4 (2 points).** The rare pixels get more weight, so that "no" everywhere stops being cheap (1). But the factor must be chosen anew for each task, and BCE still adds
# up pixels one by one: with any factor a small area counts for less than a large one, while Dice is nearly the score itself (1).
