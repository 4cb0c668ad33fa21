# %% [markdown]
# # 12 Where does it look, and what follows?
#
# A network says "abnormal". A physician asks: where? The network was never told; it learned from a label alone. This lesson asks it all the same,
# and finds out what the answer is worth. Then it asks another thing that no network was trained for: should this echo be measured
# at all? Both are *derived* tasks: they need no labels and no training of their own, only what is known already.
#
# You write three functions: `grad_cam`, `coarse_maps` and `recommend`.

# %%
import os

import cv2
import matplotlib.pyplot as plt
import numpy as np

from data_prep.doppler import make_doppler
from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_12 as check
from lessons.pictures import COLOURS, image_row, use_style
from ums.data import Examples, normalise
from ums.data.examples import epoch_batches
from ums.derived import Recommendations, excluded, mass_inside
from ums.derived.recommendation import FLOWS, POOR, QUALITIES, TR
from ums.experiments.report.pictures import recommendation_panel
from ums.experiments.report.plots import confusion_tables
from ums.finetuning import Task, tune_jointly
from ums.layers import BatchNorm, Conv2D, Dense, GlobalAveragePool, ReLU, Sequential
from ums.metrics.classification import confusion_matrix
from ums.metrics.significance import bootstrap_interval
from ums.networks import copy_network
from ums.ops import categorical_cross_entropy, softmax_forward
from ums.optimizers import Adam
from ums.training import FitSettings, Training, train_step

use_style()

# %% [markdown]
# ## Two networks
#
# The films are synthetic, half of them with an opacity in the lungs, and as they are drawn we know *where*: `opacities` holds the exact outline.
# The networks are told only 0 or 1. The encoder makes of a film a *feature map* $A$ of 16 x 16 places with $C = 32$ channels; the head takes each channel's mean
# over the places and makes two scores of them, "normal" and "abnormal".
#
# One network learns from the right labels. The other, our **control**, learns from the same labels *shuffled*: it can learn nothing about
# disease. Whatever its maps show, they do not show disease.

# %%
os.environ.setdefault("UMS_THREADS", "1")  # for networks this small one thread is fastest
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
    """An encoder and a head that have learned these labels (320,) of the films to learn from."""
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
for name, layers in (("right labels", (encoder, head)), ("shuffled labels", control)):
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
plt.show()

# %% [markdown]
# **Predict.** Above, six films, and the same with their opacities outlined. The network with the right labels is right on most new films. If we knew
# which places it uses: which share of them would lie inside the outlines, which are a fifteenth of the image? And for the control?
#
# *your guess:*
#
# ## Grad-CAM
#
# Let $s$ be the score of "abnormal", and $A_{ijk}$ the feature map of one film: place $i, j$, channel $k$, $h \times w$ places. The backward pass gives
# $\partial s / \partial A_{ijk}$: what a little more of channel $k$ at this place would do to the score. Grad-CAM (Selvaraju et al. 2017; section 4.1.3 of the paper)
# takes its mean over the places as the *weight of the channel*,
#
# $$ \alpha_k = \frac{1}{h w} \sum_{i,j} \frac{\partial s}{\partial A_{ijk}} , $$
#
# and adds the channels up, place by place. What speaks against the class is cut off:
#
# $$ \text{map}_{ij} = \max\Bigl(0,\; \sum_k \alpha_k\, A_{ijk}\Bigr) . $$
#
# **Predict.** Our head is a mean over the places and one dense layer with weights $w_k$ for "abnormal". What is $\partial s / \partial A_{ijk}$ then? Does it depend on
# the place, or on the film?
#
# *your guess:*
#
# **Write** `grad_cam`. A batch comes in; each film has alphas of its own.


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
# Now the network. It has $K$ scores, and we ask about a combination of them, $s = \sum_k \texttt{asked}_k\, \text{score}_k$: with `asked` $= (0, 1)$ about "abnormal" alone. What
# the head's `backward` wants is, for each film, the gradient of that film's $s$ with respect to its scores. (Lesson 2: `backward` takes `dy` of the shape of
# what `forward` returned, and returns `dx` of the shape of what it took.)
#
# Mind two things. Whoever looks at a network must not change it, and `backward` adds to the gradients of the parameters; so the head's copy, `twin`, goes backward,
# frozen. And a layer's `forward(x, training=False, keep=True)` has two switches: `training` (lesson 4), and whether to `keep` what `backward` needs.
#
# **Write** `coarse_maps`.


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
# The library's are [grad_cam](ums/derived/heat_map.py:grad_cam) and [heat_maps](ums/derived/heat_map.py:heat_maps). What the map is made of: the channels of one
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
plt.show()

# %% [markdown]
# **Look.** Each of the four channels answers to something in the lung on the left of the film, and the map is little but their sum: bright where the larger nodules lie,
# but a good deal wider, and with other bright places at the neck and at the lower border. The small nodules on the right are hardly seen. With our head all films have the same $\alpha_k$: a dense layer after
# the mean has the gradient $w_k / (h w)$ at every place. With a hidden layer and a ReLU in the head, as the paper has them, they
# differ from film to film.
#
# ## Alone or in a batch
#
# **Predict.** Suppose somebody forgets that the batch norm has two modes and runs the encoder with `training=True`. The same film is looked at in a batch with normal films and
# in a batch with ill ones. What will its map do?
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
    "used, alone": coarse_maps(encoder, head, x_test[[n]], ABNORMAL)[0],
    "used, with 7 ill": coarse_maps(encoder, head, x_test[ill[:8]], ABNORMAL)[0],
    "training, alone": careless_map(n, []),
    "training, 7 ill": careless_map(n, ill[1:8]),
    "training, 7 normal": careless_map(n, well[:7]),
}
top = max(m.max() for m in maps.values())
figure, axes = plt.subplots(1, 5, figsize=(9.5, 2.1))
image_row(list(maps.values()), list(maps), axes, 0, top, "magma")
plt.show()
first = maps["used, alone"]
for name, other in maps.items():
    print(
        f"{name:20}  differs from the first by up to {abs(other - first).max() / first.max():.0%}"
    )

# %% [markdown]
# **Look.** Used as for predictions, the map is the same in any company. In training mode it changes, here and there by a fifth to a half of its maximum, with the films that happen to stand beside it, and
# nothing in the picture warns of it: each looks like a map. It would show the batch, not the film.
#
# ## Hits and misses
#
# Here are the first five ill films that the network calls abnormal, and the first three that it misses. Each map is enlarged to the size of the film
# and scaled by its own maximum. Below, the control's maps of the same films.


# %%
def enlarged(maps):
    """Maps (N, h, w) in the films' size, each divided by its maximum: (N, 64, 64)."""
    large = np.stack([cv2.resize(m, (64, 64)) for m in maps])
    highest = large.max(axis=(1, 2), keepdims=True)
    return large / np.where(highest == 0, 1, highest)


def panel(films, rows, titles):
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
    plt.show()


predicted = Sequential(encoder, head).forward(x_test[ill], keep=False).argmax(axis=1)
hits, misses = ill[predicted == 1], ill[predicted == 0]
chosen = np.concatenate([hits[:5], misses[:3]])
titles = ["hit"] * 5 + ["missed"] * 3
rows = {
    "right labels": enlarged(coarse_maps(encoder, head, x_test[chosen], ABNORMAL)),
    "control": enlarged(coarse_maps(*control, x_test[chosen], ABNORMAL)),
}
panel(chosen, rows, titles)

# %% [markdown]
# Eight pictures persuade, and prove nothing. [mass_inside](ums/derived/map_measures.py:mass_inside) measures: the share of a map's sum that lies inside an outline. It is to be read
# beside the outline's share of the image, which a map that is the same everywhere would have. The lines are 95 % intervals by bootstrap over the films (lesson 11).

# %%
groups = {
    "right labels, hits": (encoder, head, hits),
    "right labels, misses": (encoder, head, misses),
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
        print(f"{name:21} inside the {what:7}  {np.nanmean(inside):.3f}, {low:.3f} to {high:.3f}")
    even = masks[ill].mean()
    print(f"{'the same everywhere':21} inside the {what:7}  {even:.3f}\n")
    ax.axvline(even, color=COLOURS[1], linestyle="--")
    ax.set(xlabel=f"share inside the {what} (broken: even map)", xlim=(0, None))
axes[0].set(yticks=range(3), yticklabels=groups, ylim=(2.5, -0.5))
plt.show()

# %% [markdown]
# **Look.** On hits, about 18 % of the map lies inside the opacity, nearly three times the 6.6 % of an even map and of the control: the network did find *something* about
# the disease. But it also says that more than four fifths of the map lie elsewhere, and more than half outside the lungs: at the neck, the border, the
# diaphragm. The maps of misses are less sharp a tale: about 15 %, with a wide interval, as there are only a dozen. In some of them the map does lie on the opacity that
# the network calls normal. So a map on the disease does not make the answer right, nor a map off it the answer wrong.
#
# And look at the control: its maps are as clear, as colourful, and here and there they touch an outline. Whoever shows a map must show what a map
# looks like when there is nothing to see. In the study the share is printed beside such a control
# ([heat_map_section](ums/experiments/report/heat_maps.py:heat_map_section)).
#
# ## What was asked?
#
# A prediction depends on the *difference* of the two scores: the softmax of $(s_0 + c,\, s_1 + c)$ is that of $(s_0, s_1)$, whatever $c$. So take the head, and add one and the same
# vector $v$ to its weights for "normal" and for "abnormal". Both scores grow by the same amount on every film. No prediction changes, on any film.
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
    """P(abnormal) of the ill films."""
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
panel(ill[np.isin(ill, chosen)][:6], rows, ())

# %% [markdown]
# **Look.** Two networks that agree on every film, but for rounding, have different maps of "abnormal": with the other head the share inside the opacity falls from
# 18 % to 10 %, nearer to an even map's than to where it was. So a map of *one* score depends on something that no prediction
# depends on, and that training does not determine. The map of the difference $s_1 - s_0$ is the same for both. In our network
# the two happened to agree, because training moved both columns of weights in opposite directions. They need not:
# in trials with other heads and encoders of this library the map of one score often did not lie on the disease at all. The library's
# [log_odds](ums/derived/heat_map.py:log_odds) is the difference for any number of classes, and
# [hires_cam](ums/derived/heat_map.py:hires_cam) explains it at the first feature map, the finest.
#
# ## What follows: to measure or not
#
# The second derived task is of the echo part (section 4.2.3). A Doppler screen shows one of three flows, MV, MA or TR, and its envelope is to be measured. A TR (tricuspid
# regurgitation) of *poor* quality should be left out: its envelope is too unclear. Nobody trains a network for "leave out". There are two heads on one encoder, one for
# the flow and one for the quality, and the rule follows from both: [excluded](ums/derived/recommendation.py:excluded).

# %%
echo = make_doppler(900, 64, np.random.default_rng(0), patients=225)
titles = [f"{FLOWS[f]}, {QUALITIES[q]}" for f, q in zip(echo.flow, echo.drawn_quality, strict=True)]
should_go = excluded(echo.flow, echo.drawn_quality)
shown = np.concatenate([np.flatnonzero(should_go)[:3], np.flatnonzero(~should_go)[:4]])
image_row(echo.images[shown], [titles[n] for n in shown])

# %% [markdown]
# A small encoder and two heads of one dense layer learn together, as in lesson 9: [tune_jointly](ums/finetuning/joint.py:tune_jointly). 150 patients to learn from, 25 to say when to stop, 50 to
# test on.

# %%
train = np.flatnonzero(echo.patients < 150)
validation = np.flatnonzero((echo.patients >= 150) & (echo.patients < 175))
test = np.flatnonzero(echo.patients >= 175)

rng = np.random.default_rng(1)
layers, C = [], 3
for O, stride in ((8, 2), (16, 2), (32, 2), (32, 1)):
    layers += [Conv2D(C, O, rng, stride=stride), BatchNorm(O), ReLU()]
    C = O
tasks = [
    Task(
        name,
        Sequential(GlobalAveragePool(), Dense(C, classes, rng)),
        categorical_cross_entropy,
        Examples(echo.images, labels, train),
        Examples(echo.images, labels, validation),
    )
    for name, classes, labels in (("flow", 3, echo.flow), ("quality", 2, echo.drawn_quality))
]
settings = FitSettings(epochs=20, learning_rate=5e-3, patience=10, plateau_patience=4)
tuned = tune_jointly(Sequential(*layers), tasks, Training(settings, rng, progress=False))

x_echo = normalise(echo.images[test])
logits = {name: t.network.forward(x_echo, keep=False) for name, t in tuned.items()}
flow, quality = echo.flow[test], echo.drawn_quality[test]
for name, true in (("flow", flow), ("quality", quality)):
    print(f"{name:7}  accuracy {(logits[name].argmax(axis=1) == true).mean():.3f}")

# %% [markdown]
# The heads give probabilities, not certainty. If they err independently of each other,
#
# $$ P(\text{exclude}) = P(\text{TR})\; P(\text{poor}) . $$
#
# **Predict.** The flow head is 60 % sure of TR, the quality head 60 % sure of "poor". Both likeliest classes say: exclude. Should we?
#
# *your guess:*
#
# It also depends on what a mistake costs. To leave out an image that was fit costs `lost`, to measure one that was not costs `spoilt`, and what is right costs nothing. With $P =
# P(\text{exclude})$, excluding costs $(1 - P)\,\texttt{lost}$ on average, and using costs $P\,\texttt{spoilt}$. Exclude where excluding costs less. From which $P$ on is that?
#
# **Write** `recommend`. It takes *logits*, the heads' scores before the softmax; [softmax_forward](ums/ops/activations.py:softmax_forward) returns `y, cache`. `TR` and `POOR` are the numbers of these classes, and of their columns.


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
# All test images in a plane. Right of and above the black curve $P(\text{TR})\, P(\text{poor}) = 1/2$ they are excluded. The rule on the two likeliest
# classes would be the grey corner (for the flow, of three classes, roughly).

# %%
p_flow, p_quality = (softmax_forward(logits[k])[0] for k in ("flow", "quality"))
truly = excluded(flow, quality)
figure, ax = plt.subplots(figsize=(4.6, 3.6))
ax.fill_between([0.5, 1], 0.5, 1, color="0.9")
line = np.linspace(0.5, 1, 50)
ax.plot(line, 0.5 / line, color="black", label="lost : spoilt = 1 : 1")
line = np.linspace(0.25, 1, 50)
ax.plot(line, 0.25 / line, color="black", linestyle="--", label="1 : 3")
for kind, colour, name in ((~truly, COLOURS[0], "to use"), (truly, COLOURS[1], "to exclude")):
    ax.plot(p_flow[kind, TR], p_quality[kind, POOR], ".", color=colour, alpha=0.7, label=name)
ax.set(xlabel="P(TR)", ylabel="P(poor)", xlim=(0, 1.02), ylim=(0, 1.02))
ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# **Predict.** With spoilt measurements three times as dear as lost images, more is excluded. Which of the two kinds of mistakes grows, and about how much?
#
# *your guess:*

# %%
decisions = {
    "use everything": np.zeros(len(truly), bool),
    "lost : spoilt = 1 : 1": recommend(logits["flow"], logits["quality"])[1],
    "lost : spoilt = 1 : 3": recommend(logits["flow"], logits["quality"], spoilt=3.0)[1],
    "likeliest classes": excluded(p_flow.argmax(axis=1), p_quality.argmax(axis=1)),
}
print(f"{'':18}wrongly:    used   excluded   cost at 1 : 1   at 1 : 3")
tables = {}
for name, decision in decisions.items():
    tables[name] = confusion_matrix(truly, decision, 2)
    wrongly_used, wrongly_out = tables[name][1, 0], tables[name][0, 1]
    costs = [(spoilt * wrongly_used + wrongly_out) / len(truly) for spoilt in (1, 3)]
    print(f"{name:24}{wrongly_used:12}{wrongly_out:11}{costs[0]:16.3f}{costs[1]:11.3f}")
confusion_tables(tables)

# %% [markdown]
# And the screens themselves, by what became of them, with what the heads predicted (the library's picture, [recommendation_panel](ums/experiments/report/pictures.py:recommendation_panel)):

# %%
recommended = Recommendations(p_flow, p_quality)
recommendation_panel(echo.images[test], flow, quality, recommended)

# %% [markdown]
# **Look.** Against using everything, each of the rules saves. Where spoilt measurements are dear, the lower threshold pays: fewer wrongly used, hardly more wrongly
# excluded. But at equal costs the threshold 1/2, which should be best, is a little *worse* than the other two. The counts differ by a few images of 199, which is well within chance (lesson 11), and within what the computer does: another machine adds in another
# order, training blows up the rounding, and with two threads instead of one there were 25 wrongly used in place of 19. (The shares of the maps moved by 0.02 at most.) That it is worse may also be real:
# $1/2$ is best if the probabilities are right and the heads err independently. Read the third row of screens: one is "MV 0.97" and yet TR. A head
# that is too sure spoils the product, and no threshold repairs what one of the heads does not see.
#
# ## Think
#
# 1. Grad-CAM averages the gradient over the places before it multiplies. What would be seen if each place kept its own gradient? For which head would it make no difference?
# 2. The feature map has 16 x 16 places for 64 x 64 pixels. The encoder of the chest X-ray part makes 8 x 8 of 128 x 128. What does that do to the smallest opacity a map can point at, and what does
#    enlarging it bilinearly add?
# 3. In a hospital all films of ill patients come from one machine, which prints a letter in a corner. Where will the map lie? Is it wrong?
# 4. Would you show these maps to a physician beside the answer "abnormal"? What might they do to a decision when they are right, and when they are not?
# 5. Quality is judged on the image, and a TR is easily taken for something else just *because* its quality is poor. What does that do to $P(\text{TR})\,P(\text{poor})$?

# %% [markdown] tags=["solution"]
# **Answers.**
#
# 1. Places of which more would not raise the score would be dark, even where the channel is strong; the map becomes finer, and noisier. After a mean and one dense layer the gradient is the same at every
#    place, so that it makes no difference.
# 2. A place stands for 4 x 4 pixels here, and for 16 x 16 there, and its receptive field (lesson 3) is larger still. A nodule of a few pixels cannot be outlined. Enlarging adds smoothness, no information; a smooth
#    map looks more exact than it is.
# 3. On the letter, and rightly so: the map says what the network used. It is the network that is wrong. To find such a thing is the best use of a map.
# 4. Not without telling how often such maps lie on the disease, here less than a fifth of their mass. A map that happens to lie on a shadow persuades,
#    also where the answer is wrong; one that does not casts doubt on a right answer.
# 5. Then the heads do not err independently: where the quality is poor, $P(\text{TR})$ is too small for many a true TR. The product is too low just where it matters, and too few are
#    excluded. A head trained on the decision itself could learn that, with labels of its own; or the threshold is chosen on validation images.
