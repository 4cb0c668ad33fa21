# %% [markdown]
# # 12 Where does it look, and what follows?
#
# A network says "abnormal". A physician asks: where? The network was never told; it learned from a label alone. In this lesson we ask it all the same,
# and find out what its answer is worth. Then we ask another question that no network was trained for: should this Doppler image of a
# heart be measured at all? Both are *derived* tasks: they need no labels and no training of their own, only networks that exist already.
#
# You write three functions: `grad_cam`, `coarse_maps` and `recommend`.

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

from data_prep.doppler import make_doppler
from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_12 as check
from lessons.pictures import COLOURS, image_row, show, use_style
from ums import Adam, BatchNorm, Conv2D, Dense, GlobalAveragePool, ReLU, Sequential, normalise
from ums.derived.recommendation import FLOWS, POOR, QUALITIES, TR
from ums.networks import copy_network
from ums.ops import softmax_forward

os.environ.setdefault("UMS_THREADS", "1")  # for networks this small one thread is fastest
use_style()

# %% [markdown]
# ## Two networks
#
# The films are synthetic, and half of them have an opacity in the lungs. Since they were drawn by a program, we know *where*: `opacities` holds the exact outlines.
# The networks are told only 0 or 1. The encoder turns a film into a *feature map* $A$ of 16 x 16 places with $C = 32$ channels. The head takes the mean of each channel
# over the places and makes two scores of these means, "normal" and "abnormal".
#
# One network learns from the correct labels. The other, our **control**, learns from the same labels *shuffled*, so it can learn nothing about
# disease. Whatever its maps show, it is not disease.

# %%
from ums import train_step
from ums.data.examples import epoch_batches
from ums.ops import categorical_cross_entropy

learning = make_synthetic(320, 64, np.random.default_rng(0), "A")
testing = make_synthetic(160, 64, np.random.default_rng(1), "A")
x_learn, x_test = normalise(learning.images), normalise(testing.images)


def small_network(rng):
    """Images (N, 64, 64, 1) to features (N, 16, 16, 32), and those to two scores (N, 2)."""
    layers, C = [], 1
    for O, stride in ((8, 2), (16, 2), (32, 1)):
        layers += [Conv2D(C, O, rng, stride=stride), BatchNorm(O), ReLU()]
        C = O
    return Sequential(*layers), Sequential(GlobalAveragePool(), Dense(C, 2, rng))


def trained(labels, epochs=24):
    """An encoder and a head that have learned these labels (320,) of the training films."""
    rng = np.random.default_rng(0)
    network = Sequential(*small_network(rng))
    optimizer = Adam(network.trainable_parameters(), 1e-2)
    for epoch in range(epochs):
        if epoch == 2 * epochs // 3:
            optimizer.learning_rate = 1e-3
        for rows in epoch_batches(320, 16, rng):
            train_step(network, categorical_cross_entropy, optimizer, x_learn[rows], labels[rows])
    return network.layers


shuffled = np.random.default_rng(5).permutation(learning.labels)
encoder, head = trained(learning.labels)
control = trained(shuffled)
for name, layers in (("correct labels", (encoder, head)), ("shuffled labels", control)):
    predicted = Sequential(*layers).forward(x_test, keep=False).argmax(axis=1)
    print(f"{name:15}  accuracy on 160 new films {(predicted == testing.labels).mean():.3f}")


# %%
def outline(ax, mask):
    """Draw the edge of a mask (H, W)."""
    ax.contour(mask, [0.5], colors=[COLOURS[1]], linewidths=1.2)


ill = np.flatnonzero(testing.labels == 1)
figure, axes = plt.subplots(2, 6, figsize=(10, 3.6))
image_row(testing.images[ill[:6]], axes=axes[0])
image_row(testing.images[ill[:6]], axes=axes[1])
for ax, n in zip(axes[1], ill, strict=False):
    outline(ax, testing.opacities[n])
show(
    "Six films with opacities, and the same films below with the outlines drawn: grey patches, small and large, in one or both lungs, some of "
    "them hard to see without the outline."
)

# %% [markdown]
# **Predict.** Above are six films, and the same films with their opacities outlined. The network with the correct labels is right on most new films. If we knew
# which places it uses, what share of them would lie inside the outlines, which cover a fifteenth of the image? And for the control?
#
# *your guess:*
#
# ## Grad-CAM
#
# Let $s$ be the score of "abnormal", and $A_{ijk}$ the feature map of one film, with $h \times w$ places $i, j$ and channels $k$. The backward pass gives
# $\partial s / \partial A_{ijk}$: what a little more of channel $k$ at this place would do to the score. Grad-CAM (Selvaraju et al. 2017; section 4.1.3 of the paper)
# takes its mean over the places as the *weight of the channel*,
#
# $$ \alpha_k = \frac{1}{h w} \sum_{i,j} \frac{\partial s}{\partial A_{ijk}} , $$
#
# and adds up the channels, place by place. What speaks against the class is set to 0:
#
# $$ \text{map}_{ij} = \max\Bigl(0,\; \sum_k \alpha_k\, A_{ijk}\Bigr) . $$
#
# **Predict.** Our head is a mean over the places and one dense layer with weights $w_k$ for "abnormal". What is $\partial s / \partial A_{ijk}$ then? Does it depend on
# the place, or on the film?
#
# *your guess:*
#
# **Write** `grad_cam`. A batch comes in; each film has alphas of its own. Leave both arrays as they are.
#
# <details><summary>Hint: the axes</summary>
#
# The axes are film, row, column, channel: 0, 1, 2, 3. The mean for $\alpha$ runs over rows and columns only, and `keepdims=True` leaves it in a shape that can be multiplied with
# `features`. The sum runs over channels.
# </details>


# %%
def grad_cam(features, gradient):
    """A (N, h, w, C) and ds/dA (N, h, w, C) -> maps (N, h, w)."""
    # BEGIN SOLUTION
    alpha = gradient.mean(axis=(1, 2), keepdims=True)  # (N, 1, 1, C)
    return np.maximum((alpha * features).sum(axis=3), 0)
    # END SOLUTION


# %%
check.grad_cam(grad_cam)

# %% [markdown]
# Now the network. It has $K$ scores, and we ask about a combination of them, $s = \sum_k \texttt{asked}_k\, \text{score}_k$: `asked` $= (0, 1)$ asks about "abnormal" alone. What
# the head's `backward` needs is, for each film, the gradient of that film's $s$ with respect to its scores. (Lesson 2: `backward` takes `dy` of the shape of
# what `forward` returned, and returns `dx` of the shape of what it took.)
#
# Two warnings. Looking at a network must not change it, and `backward` adds to the gradients of the parameters; therefore a frozen copy of the head, `twin`, runs forward and
# backward. And a layer's `forward(x, training=False, keep=True)` has two switches: `training` (lesson 4), and whether to `keep` what `backward` needs.
#
# **Write** `coarse_maps`.
#
# <details><summary>Hint: the gradient of s</summary>
#
# $\partial s / \partial\, \text{score}_k = \texttt{asked}_k$, for every film. So `dy` is an array `(N, K)` whose rows are all equal to `asked`.
# </details>
#
# <details><summary>Hint: the four steps</summary>
#
# Features from the encoder; scores from `twin`; `dy`, of the dtype of the scores; `grad_cam` of the features and of what `twin.backward(dy)` returns.
# </details>


# %%
def coarse_maps(encoder, head, x, asked):
    """Grad-CAM maps (N, h, w) of images x (N, H, W, 1), asked about the scores' combination (K,)."""
    twin = copy_network(head).freeze()
    # BEGIN SOLUTION
    features = encoder.forward(x, keep=False)  # (N, h, w, C)
    scores = twin.forward(features)  # (N, K)
    dscores = np.tile(np.asarray(asked, scores.dtype), (len(x), 1))
    return grad_cam(features, twin.backward(dscores))
    # END SOLUTION


# %%
check.coarse_maps(coarse_maps)

# %% [markdown]
# The library's versions are [grad_cam](ums/derived/heat_map.py:grad_cam) and [heat_maps](ums/derived/heat_map.py:heat_maps). Let us see what a map is made of: the four channels of one
# film with the largest effect.

# %%
ABNORMAL = np.array([0, 1], np.float32)
n = ill[0]
A = encoder.forward(x_test[[n]], keep=False)[0]  # (16, 16, 32)
alpha = head.layers[-1].w.value[:, 1] / 256
effect = alpha * A.mean(axis=(0, 1))
strongest = np.argsort(-abs(effect))[:4]
figure, axes = plt.subplots(1, 6, figsize=(10, 2.1))
image_row([testing.images[n]], ["film"], axes[:1])
for ax, k in zip(axes[1:5], strongest, strict=True):
    image_row([A[..., k]], [f"$\\alpha_{{{k}}}$ = {alpha[k]:.4f}"], ax, None, None)
one_map = coarse_maps(encoder, head, x_test[[n]], ABNORMAL)
image_row(one_map, ["map"], axes[5], None, None, "magma")
outline(axes[0], testing.opacities[n])
show(
    "A film with its opacities outlined, four of its feature maps with their alphas, and the resulting heat map, which is bright near "
    "the larger opacities and also at the neck and the lower border."
)

# %% [markdown]
# **Look.** Each of the four channels responds to something in the lung on the left of the film, and the map is little more than their sum: bright where the larger nodules are,
# but a good deal wider, and with other bright places at the neck and at the lower border. The nodules on the right are hardly seen. With our head all films have the same $\alpha_k$: a dense layer after
# the mean has the gradient $w_k / (h w)$ at every place. With a hidden layer and a ReLU in the head, as in the paper, they
# differ from film to film.
#
# ## Alone or in a batch
#
# **Predict.** Suppose that somebody forgets that batch norm has two modes and runs the encoder with `training=True`. The same film is looked at in a batch with normal films and
# in a batch with abnormal ones. What will happen to its map?
#
# *your guess:*


# %%
def careless_map(n, others):
    """Film n's map in a batch with these others, the encoder in training mode."""
    batch = x_test[[n, *others]]
    in_training = copy_network(encoder).forward(batch, training=True, keep=False)
    gradient = np.broadcast_to(head.layers[-1].w.value[:, 1] / 256, in_training.shape)
    return grad_cam(in_training, gradient)[0]


well = np.flatnonzero(testing.labels == 0)
maps = {
    "inference, alone": coarse_maps(encoder, head, x_test[[n]], ABNORMAL)[0],
    "inference, 7 ill": coarse_maps(encoder, head, x_test[ill[:8]], ABNORMAL)[0],
    "training, alone": careless_map(n, []),
    "training, 7 ill": careless_map(n, ill[1:8]),
    "training, 7 normal": careless_map(n, well[:7]),
}
top = max(m.max() for m in maps.values())
figure, axes = plt.subplots(1, 5, figsize=(9.5, 2.1))
image_row(list(maps.values()), list(maps), axes, 0, top, "magma")
show(
    "Five heat maps of the same film. The two made at inference are the same; the three made in training mode differ from them and "
    "from each other, though each looks like a reasonable map."
)
first = maps["inference, alone"]
for name, other in maps.items():
    print(
        f"{name:20}  differs from the first by up to {abs(other - first).max() / first.max():.0%}"
    )

# %% [markdown]
# **Look.** At inference the map is the same in any company. In training mode it changes with the films that happen to be in the same batch, here and there by a fifth to more than a half of its maximum, and
# nothing in the picture warns of it: each looks like a map. It would show the batch, not the film.
#
# ## Hits and misses
#
# Here are the first five abnormal films that the network calls abnormal, and the first three that it misses. Each map is enlarged to the size of the film
# and divided by its own maximum. Below are the control's maps of the same films.

# %%
import cv2


def enlarged(maps):
    """Maps (N, h, w) in the films' size, each divided by its maximum: (N, 64, 64)."""
    large = np.stack([cv2.resize(m, (64, 64)) for m in maps])
    highest = large.max(axis=(1, 2), keepdims=True)
    return large / np.where(highest == 0, 1, highest)


def panel(films, rows, titles, alt):
    """Films with outlined opacities, and under them, for each named row, their maps."""
    _, axes = plt.subplots(
        1 + len(rows), len(films), figsize=(1.3 * len(films) + 0.3, 1.4 * (1 + len(rows)))
    )
    image_row(testing.images[films], titles, axes[0])
    for row, (name, maps) in zip(axes[1:], rows.items(), strict=True):
        for ax, k, heat in zip(row, films, maps, strict=True):
            ax.imshow(testing.images[k], cmap="gray", vmin=0, vmax=255)
            ax.imshow(heat, cmap="magma", alpha=0.6, vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        row[0].set_ylabel(name)
    for column, k in zip(axes.T, films, strict=True):
        for ax in column:
            outline(ax, testing.opacities[k])
    show(alt)


predicted = Sequential(encoder, head).forward(x_test[ill], keep=False).argmax(axis=1)
hits, misses = ill[predicted == 1], ill[predicted == 0]
chosen = np.concatenate([hits[:5], misses[:3]])
titles = ["hit"] * 5 + ["missed"] * 3
rows = {
    "correct labels": enlarged(coarse_maps(encoder, head, x_test[chosen], ABNORMAL)),
    "control": enlarged(coarse_maps(*control, x_test[chosen], ABNORMAL)),
}
panel(
    chosen,
    rows,
    titles,
    "Eight films with outlined opacities, and below each its heat map from the network with correct labels and from the control. The "
    "first network's maps are often bright near the opacity but also elsewhere; the control's maps look just as clear.",
)

# %% [markdown]
# Eight pictures persuade, and prove nothing. [mass_inside](ums/derived/map_measures.py:mass_inside) measures the share of a map's sum that lies inside an outline. Compare it
# with the outline's share of the image, which is the result for a map that is the same everywhere. The lines are 95 % intervals by bootstrap over the films (lesson 11).

# %%
from ums.derived import mass_inside
from ums.metrics.significance import bootstrap_interval

groups = {
    "correct labels, hits": (encoder, head, hits),
    "correct labels, misses": (encoder, head, misses),
    "control, all ill": (*control, ill),
}
figure, axes = plt.subplots(1, 2, figsize=(9, 1.9), sharey=True)
rng = np.random.default_rng(2)
for ax, what, masks in (
    (axes[0], "opacity", testing.opacities),
    (axes[1], "lungs", testing.masks),
):
    for y, (name, (e, h, films)) in enumerate(groups.items()):
        heat = enlarged(coarse_maps(e, h, x_test[films], ABNORMAL))
        inside = mass_inside(heat, masks[films] > 0)
        low, high = bootstrap_interval(np.nanmean, (inside,), rng)
        ax.plot([low, high], [y, y], color="black")
        ax.plot(np.nanmean(inside), y, "o", color="black")
        print(f"{name:22} inside the {what:7}  {np.nanmean(inside):.3f}, {low:.3f} to {high:.3f}")
    even = masks[ill].mean()
    print(f"{'the same everywhere':22} inside the {what:7}  {even:.3f}\n")
    ax.axvline(even, color=COLOURS[1], linestyle="--")
    ax.set(xlabel=f"share inside the {what} (broken line: even map)", xlim=(0, None))
axes[0].set(yticks=range(3), yticklabels=groups, ylim=(2.5, -0.5))
show(
    "The share of the maps' mass inside the opacity (left) and inside the lungs (right), with intervals, for hits, misses and the control. "
    "Inside the opacity, hits and misses lie well above the broken line of an even map; the control lies on it."
)

# %% [markdown]
# **Look.** On hits, about 18 % of the map lies inside the opacity, nearly three times as much as in an even map (6.6 %) or in the control's: the network did find *something* about
# the disease. But it also means that more than four fifths of the map lie elsewhere, and more than half outside the lungs: at the neck, the border, the
# diaphragm. The misses tell a less clear story: about 15 %, with a wide interval, since there are only a dozen. In some of them the map does lie on the opacity, although
# the network calls the film normal. So a map on the disease does not make the answer right, nor does a map beside it make the answer wrong.
#
# And look at the control: its maps are just as clear and colourful, and here and there they touch an outline. Anyone who shows a map must also show what a map
# looks like when there is nothing to see. The project's study prints the share beside that of such a control
# ([results](ums/experiments/RESULTS.md)): 0.210 for the abnormality network of alternating tuning and 0.048 for the control, where an even map has 0.062.
#
# ## What was asked?
#
# A prediction depends on the *difference* between the two scores: the softmax of $(s_0 + c,\, s_1 + c)$ is that of $(s_0, s_1)$, whatever $c$ is. So take the head, and add one and the same
# vector $v$ to its weights for "normal" and to those for "abnormal". On every film both scores then change by the same amount. No prediction changes, on any film.
#
# **Predict.** And the map of "abnormal"?
#
# *your guess:*

# %%
rng = np.random.default_rng(4)
other_head = copy_network(head)
weights = other_head.layers[-1].w.value  # (32, 2)
weights += rng.normal(0, 2 * weights.std(), (32, 1)).astype(np.float32)


def probability(head):
    """The probabilities (n, 2) of the ill films."""
    return softmax_forward(head.forward(encoder.forward(x_test[ill], keep=False), keep=False))[0]


change = abs(probability(head) - probability(other_head)).max()
print(f"probabilities differ by up to {change:.1e}")
DIFFERENCE = np.array([-1, 1], np.float32)
rows = {}
for name, h, asked in (
    ("abnormal", head, ABNORMAL),
    ("abnormal,\nsame\npredictions", other_head, ABNORMAL),
    ("difference", head, DIFFERENCE),
    ("difference,\nsame\npredictions", other_head, DIFFERENCE),
):
    heat = enlarged(coarse_maps(encoder, h, x_test[ill], asked))
    rows[name] = heat[np.isin(ill, chosen)][:6]
    inside = mass_inside(heat, testing.opacities[ill] > 0)
    words = " ".join(name.split())
    print(f"{words:30}  inside the opacity {np.nanmean(inside):.3f}")
panel(
    ill[np.isin(ill, chosen)][:6],
    rows,
    (),
    "Six films and four rows of heat maps. The maps of the score 'abnormal' differ between two heads that make the same predictions; "
    "the maps of the difference of the scores are the same for both.",
)

# %% [markdown]
# **Look.** Two networks that agree on every film, except for rounding, have different maps of "abnormal": with the other head the share inside the opacity falls from
# 18 % to 6 %, which is no more than in an even map. So a map of *one* score depends on something that no prediction
# depends on, and that training does not determine. The map of the difference $s_1 - s_0$ is the same for both. In our first network
# the two questions happened to have nearly the same answer, because training moved the two columns of weights in opposite directions. This need not be so:
# in trials with other heads and encoders of this library the map of one score often did not lie on the disease at all. The library's
# [log_odds](ums/derived/heat_map.py:log_odds) extends the difference to any number of classes, and
# [hires_cam](ums/derived/heat_map.py:hires_cam) explains it at the first feature map, the finest.
#
# ## What follows: to measure or not
#
# The second derived task belongs to the echo part of the paper (section 4.2.3). A Doppler image shows one of three flows, MV (mitral valve), MA (mitral annulus) or TR (tricuspid
# regurgitation), and the flow's envelope, the outline of its trace, is to be measured. A TR of *poor* quality should be excluded, because its envelope is too unclear. Nobody trains a network for "exclude". There are two heads on one encoder, one for
# the flow and one for the quality, and the rule follows from both.

# %%
from ums.derived import excluded  # the rule: TR and poor

echo = make_doppler(900, 64, np.random.default_rng(0), patients=225)
titles = [f"{FLOWS[f]}, {QUALITIES[q]}" for f, q in zip(echo.flow, echo.drawn_quality, strict=True)]
should_go = excluded(echo.flow, echo.drawn_quality)
shown = np.concatenate([np.flatnonzero(should_go)[:3], np.flatnonzero(~should_go)[:4]])
image_row(echo.images[shown], [titles[n] for n in shown])
show(
    "Seven synthetic Doppler images with their flow and quality as titles: three TR of poor quality, too bright, noisy or with gaps, then four "
    "that are fit for measurement."
)

# %% [markdown]
# A small encoder and two heads of one dense layer learn together, with [tune_jointly](ums/finetuning/joint.py:tune_jointly), as in lesson 9. There are 150 patients to learn from, 25 to decide when to stop, and 50 to
# test on.

# %%
from ums import Examples, FitSettings, Task, Training, tune_jointly

train = np.flatnonzero(echo.patients < 150)
validation = np.flatnonzero((echo.patients >= 150) & (echo.patients < 175))
test = np.flatnonzero(echo.patients >= 175)

rng = np.random.default_rng(1)
layers, C = [], 3
for O, stride in ((8, 2), (16, 2), (32, 2), (32, 1)):
    layers += [Conv2D(C, O, rng, stride=stride), BatchNorm(O), ReLU()]
    C = O
tasks = []
for name, classes, labels in (("flow", 3, echo.flow), ("quality", 2, echo.drawn_quality)):
    new_head = Sequential(GlobalAveragePool(), Dense(C, classes, rng))
    parts = [Examples(echo.images, labels, rows) for rows in (train, validation)]
    tasks.append(Task(name, new_head, categorical_cross_entropy, parts[0], parts[1]))
settings = FitSettings(epochs=20, learning_rate=5e-3, patience=10, plateau_patience=4)
tuned = tune_jointly(Sequential(*layers), tasks, Training(settings, rng, progress=False))

x_echo = normalise(echo.images[test])
flow, quality = echo.flow[test], echo.drawn_quality[test]
logits = {}
for name, true in (("flow", flow), ("quality", quality)):
    logits[name] = tuned[name].network.forward(x_echo, keep=False)
    print(f"{name:7}  accuracy {(logits[name].argmax(axis=1) == true).mean():.3f}")

# %% [markdown]
# The heads give probabilities, not certainty. If their errors are independent of each other,
#
# $$ P(\text{exclude}) = P(\text{TR})\; P(\text{poor}) . $$
#
# **Predict.** The flow head is 60 % sure of TR, the quality head 60 % sure of "poor". Both of the likeliest classes say: exclude. Should we?
#
# *your guess:*
#
# That also depends on what a mistake costs. Let it cost `lost` to exclude an image that was fit for measurement, and `spoilt` to measure one that was not; a correct decision costs nothing. With $P =
# P(\text{exclude})$, excluding costs $(1 - P)\,\texttt{lost}$ on average, and using the image costs $P\,\texttt{spoilt}$. Exclude where excluding costs less. For which $P$ is that so?
#
# **Write** `recommend`. It takes *logits*, the scores of the heads before the softmax; [softmax_forward](ums/ops/activations.py:softmax_forward) returns `y, cache`. `TR` and `POOR` are the numbers of these classes, and of their columns.
#
# <details><summary>Hint: the threshold</summary>
#
# Solve $(1 - P)\,\texttt{lost} < P\,\texttt{spoilt}$ for $P$. With equal costs the threshold must come out as $1/2$.
# </details>


# %%
def recommend(flow_logits, quality_logits, lost=1.0, spoilt=1.0):
    """Logits (N, 3) and (N, 2) -> P(exclude) (N,), and the decision to exclude (N,) bool."""
    # BEGIN SOLUTION
    p = softmax_forward(flow_logits)[0][:, TR] * softmax_forward(quality_logits)[0][:, POOR]
    return p, p > lost / (lost + spoilt)
    # END SOLUTION


# %%
check.recommend(recommend)

# %% [markdown]
# The library's rule is [excluded](ums/derived/recommendation.py:excluded), its probability
# [exclusion_probability](ums/derived/recommendation.py:exclusion_probability).
#
# Here are all test images in a plane. To the upper right of the solid curve, $P(\text{TR})\, P(\text{poor}) = 1/2$, they are excluded. The rule on the two likeliest
# classes would exclude (roughly, as there are three flows) the grey corner.

# %%
p_flow = softmax_forward(logits["flow"])[0]
p_quality = softmax_forward(logits["quality"])[0]
truly = excluded(flow, quality)
figure, ax = plt.subplots(figsize=(4.6, 3.6))
ax.fill_between([0.5, 1], 0.5, 1, color="0.9")
line = np.linspace(0.5, 1, 50)
ax.plot(line, 0.5 / line, color="black", label="lost : spoilt = 1 : 1")
line = np.linspace(0.25, 1, 50)
ax.plot(line, 0.25 / line, color="black", linestyle="--", label="1 : 3")
for kind, marker, colour, name in (
    (~truly, ".", COLOURS[0], "to use"),
    (truly, "x", COLOURS[1], "to exclude"),
):
    points = p_flow[kind, TR], p_quality[kind, POOR]
    ax.plot(*points, marker, color=colour, markersize=5, alpha=0.7, label=name)
ax.set(xlabel="P(TR)", ylabel="P(poor)", xlim=(0, 1.02), ylim=(0, 1.02))
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
show(
    "Test images by P(TR) and P(poor). Less than half of the images to exclude lie in the upper right corner, beyond the solid curve, and many "
    "to the left of it. Most images to use lie along the left and lower edges; a few lie beyond the curve."
)

# %% [markdown]
# **Predict.** If a spoilt measurement costs three times as much as a lost image, more is excluded. Which of the two kinds of mistakes grows, and by about how much?
#
# *your guess:*

# %%
from ums.metrics.classification import confusion_matrix

decisions = {
    "use everything": np.zeros(len(truly), bool),
    "lost : spoilt = 1 : 1": recommend(logits["flow"], logits["quality"])[1],
    "lost : spoilt = 1 : 3": recommend(logits["flow"], logits["quality"], spoilt=3.0)[1],
    "likeliest classes": excluded(p_flow.argmax(axis=1), p_quality.argmax(axis=1)),
}
figure, axes = plt.subplots(1, 4, figsize=(9.4, 2.9), sharey=True)
print(f"{'':18}wrongly:    used   excluded   cost at 1 : 1   at 1 : 3")
told = []
for ax, (name, decision) in zip(axes, decisions.items(), strict=True):
    table = confusion_matrix(truly, decision, 2)
    wrongly_used, wrongly_excluded = table[1, 0], table[0, 1]
    equal_cost = (wrongly_used + wrongly_excluded) / len(truly)
    dear_cost = (3 * wrongly_used + wrongly_excluded) / len(truly)
    print(f"{name:24}{wrongly_used:12}{wrongly_excluded:11}{equal_cost:16.3f}{dear_cost:11.3f}")
    told.append(f"{name}: {wrongly_used} wrongly used, {wrongly_excluded} wrongly excluded")
    shares = table / table.sum(axis=1, keepdims=True)
    ax.imshow(shares, cmap="Greys", vmin=0, vmax=1)
    for i in range(2):
        for j in range(2):
            colour = "white" if shares[i, j] > 0.5 else "black"
            ax.text(j, i, str(table[i, j]), ha="center", va="center", color=colour, fontsize=12)
    ax.set(title=name, xlabel="recommended", xticks=(0, 1), xticklabels=("use", "exclude"))
    ax.grid(False)
axes[0].set(ylabel="true", yticks=(0, 1), yticklabels=("use", "exclude"))
show("Four tables of true against recommended use, with counts. " + "; ".join(told) + ".")

# %% [markdown]
# And here are the images themselves, sorted by what became of them, with what the heads predicted. The picture comes from the library's [recommendation_panel](ums/experiments/report/pictures.py:recommendation_panel),
# which the study's page uses.

# %%
from IPython.display import Image

from ums.derived import Recommendations
from ums.experiments.report.pictures import recommendation_panel

recommended = Recommendations(p_flow, p_quality)
panel_of_images = recommendation_panel(echo.images[test], flow, quality, recommended)
Image(panel_of_images.data, width=panel_of_images.width, alt=panel_of_images.alt)

# %% [markdown]
# **Look.** Compared with using everything, each of the rules lowers the cost. Where a spoilt measurement costs three times as much, the lower threshold pays: it uses fewer images wrongly, and wrongly excludes only a few
# more. At equal costs the threshold 1/2 should be best, but it is a little *worse* than the other two.
#
# Is that chance? It may be. The counts differ by a few images of 199, which is well within chance (lesson 11) and within what the computer does: another machine adds in another
# order, training magnifies the rounding, and in other runs of this lesson we have counted from 19 to 25 wrongly used images at the threshold 1/2. (Most shares of the maps changed by 0.02 at most, that of the other head by 0.04.)
#
# It may also be real, for $1/2$ is best only if the probabilities are right and the errors of the heads independent. Look at the images that were wrongly used: in our run the
# flow head gave one of them a probability of about 0.9 for MA, and it is a TR. A head that is too sure of itself spoils the product, and no threshold repairs what one of the heads does not see.
#
# ## Think
#
# Write your answers where each question says *your answer*.

# %% [markdown]
# **Question 1.** Grad-CAM averages the gradient over the places before it multiplies. What would the map look like if each place kept its own gradient? For which head would it make no difference?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 1 (2 points).** Places where more of a channel would not raise the score would be dark, even if the channel is strong there. (In practice the map is finer, and noisier.) After a mean and one dense layer the gradient is the same at every
# place, so it makes no difference.
#
# *Points: dark where more would not help (1); no difference after a mean and one dense layer (1).*

# %% [markdown]
# **Question 2.** The feature map has 16 x 16 places for 64 x 64 pixels. The encoder of the chest X-ray part makes 8 x 8 places for 128 x 128 pixels. What does that mean for the smallest opacity a map can point at, and what does
# bilinear enlargement add?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 2 (2 points).** A place stands for 4 x 4 pixels here, and for 16 x 16 there, and its receptive field (lesson 3) is larger still. A nodule of a few pixels cannot be outlined. Enlarging adds smoothness and no information; a smooth
# map looks more exact than it is.
#
# *Points: the size of a place, or its receptive field (1); no information is added (1).*

# %% [markdown]
# **Question 3.** In a hospital all films of ill patients come from one machine, which prints a letter in a corner. Where will the map lie? Is it wrong?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 3 (2 points).** On the letter, and rightly so: the map shows what the network used. It is the network that is wrong. Finding such things is the best use of a map.
#
# *Points: on the letter (1); the map is right and the network is not (1).*

# %% [markdown]
# **Question 4.** Would you show these maps to a physician beside the answer "abnormal"? What might they do to a decision when they are right, and when they are not?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 4 (2 points).** Not without saying how often such maps lie on the disease, here with less than a fifth of their mass. A map that happens to lie on a shadow persuades
# even where the answer is wrong; one that does not casts doubt on a correct answer.
#
# *Points: a yes or no with a reason, such as the share that was measured (1); maps sway a decision in both directions (1).*

# %% [markdown]
# **Question 5.** Quality is judged from the image, and a TR is easily taken for another flow just *because* its quality is poor. What does that do to $P(\text{TR})\,P(\text{poor})$?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 5 (2 points).** Then the errors of the heads are not independent: where the quality is poor, $P(\text{TR})$ is too small for many a true TR. The product is too small just where it matters, and too few images are
# excluded. A head trained on the decision itself could learn this, with labels of its own; or the threshold is chosen on validation images.
#
# *Points: the errors are dependent (1); the product is too small, so too few are excluded (1).*
