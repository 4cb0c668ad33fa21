# %% [markdown]
# # 8 What is a representation worth?
#
# An encoder turns a film into a few hundred numbers, its *representation*. If these say what matters, a small head and a few labels
# are enough for a new task; if not, no head can bring back what is lost. So the worth of an encoder can be
# measured: hold it still, put a head on it, and see how the score grows with the number of labels.
#
# You write four functions: `fingerprint`, `attach_head`, `features` and `labelled_rows`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_08 as check
from lessons.pictures import COLOURS, image_row, use_style
from ums.backend import choose_device, to_numpy
from ums.data import normalise
from ums.layers import BatchNorm, Dense, GlobalAveragePool, Sequential
from ums.metrics import roc_auc, segmentation
from ums.networks import (
    copy_network,
    cxr_decoder,
    cxr_encoder,
    denoising_autoencoder,
    segmentation_head,
)
from ums.ops import bce_dice, categorical_cross_entropy
from ums.optimizers import Adam
from ums.source import DenoisingExamples, train_denoising
from ums.training import FitSettings, Training, train_step

use_style()

# %% [markdown]
# ## Two hospitals
#
# A children's hospital, C, has many films: 260, and for each of them somebody has written down whether there is a pneumonia. Hospital A
# sees adults. It wants two things: to tell whether there is an opacity, and to outline the lungs. It has 192 films to learn from, and would
# like to have as few of them labelled and outlined as possible. Another 160 are there for testing. All are synthetic, 48 x 48 pixels.

# %%
children = make_synthetic(260, 48, np.random.default_rng(1), "C", abnormal_fraction=0.5)
adults = make_synthetic(352, 48, np.random.default_rng(2), "A", abnormal_fraction=0.5)
pool, testing = np.arange(192), np.arange(192, 352)
x = normalise(adults.images)  # (352, 48, 48, 1)

for made, name in ((children, "pneumonia"), (adults, "opacity")):
    ill, healthy = np.flatnonzero(made.labels), np.flatnonzero(made.labels == 0)
    image_row(made.images[[*ill[:3], *healthy[:3]]], [name] * 3 + ["none"] * 3)

# %% [markdown]
# Three encoders of the same architecture, [cxr_encoder](ums/networks.py:cxr_encoder) at a quarter of the paper's width. They make a film of 48 x 48
# numbers 3 x 3 x 64 features. They differ in where their weights come from:
#
# - **random**: fresh weights, nothing learned;
# - **denoised**: the encoder of a denoising autoencoder ([lesson 7](07_denoising.ipynb)), learned on the children's films *without* their labels;
# - **supervised**: the encoder of a classifier that learned the children's pneumonia *with* the 260 labels.
#
# **Predict.** Which is best for telling opacities in adults? Which for outlining their lungs? Which can you do without?
#
# *your guess:*

# %%
device = choose_device()


def denoising_source():
    rng = np.random.default_rng(0)
    network = denoising_autoencoder(rng, width=0.25).to(device)
    train = DenoisingExamples(children.images, np.arange(220), rng)
    validation = DenoisingExamples(children.images, np.arange(220, 260), rng, fixed=True)
    training = Training(FitSettings(epochs=25), rng, device, progress=False)
    train_denoising(network, train, validation, training)
    return network.map_arrays(to_numpy)  # back from the GPU, if there is one


def supervised_encoder():
    rng = np.random.default_rng(0)
    encoder = cxr_encoder(rng, width=0.25)
    head = Sequential(GlobalAveragePool(), BatchNorm(64), Dense(64, 2, rng))
    network = Sequential(encoder, head).to(device)
    optimizer = Adam(network.trainable_parameters(), 2e-3)
    films, labels = normalise(children.images), np.minimum(children.labels, 1)
    for _ in range(20):
        for rows in np.array_split(rng.permutation(260), 16):
            batch = device.put(films[rows]), device.put(labels[rows])
            train_step(network, categorical_cross_entropy, optimizer, *batch)
    return encoder.map_arrays(to_numpy)


autoencoder = denoising_source()
encoders = {
    "random": cxr_encoder(np.random.default_rng(0), width=0.25),
    "denoised": autoencoder.layers[0],
    "supervised": supervised_encoder(),
}

# %% [markdown]
# ## Held still
#
# To compare encoders, they must not change while a head learns. How do you *know* that one has not? Not by looking, and not by comparing a mean.
# Compare its bytes, all of them.
#
# A layer's [arrays](ums/layer.py:Layer.state_dict) gives everything it holds, `{name: array}`: the weights, and a batch norm's running
# mean and variance, which are not weights and still decide what comes out. An array's `tobytes()` are its bytes.
#
# **Write** `fingerprint`: bytes that are the same for two layers that hold the same, and different as soon as one number somewhere differs in its last
# bit, or two arrays have changed places. (`b"".join(...)` joins bytes.)


# %%
def fingerprint(layer):
    """All that a layer holds, as one `bytes`; the layer stays as it is."""
    # BEGIN SOLUTION
    arrays = layer.state_dict()
    parts = [name.encode() + to_numpy(arrays[name]).tobytes() for name in sorted(arrays)]
    return b"".join(parts)
    # END SOLUTION


# %%
check.fingerprint(fingerprint)

# %% [markdown]
# **Write** `attach_head`. The head takes the encoder's output `(N, h, w, C)`: a [GlobalAveragePool](ums/layers.py:GlobalAveragePool) makes `(N, C)` of it, a
# [BatchNorm](ums/layers.py:BatchNorm) brings the features to one scale (those of the three encoders differ in it), and a
# [Dense](ums/layers.py:Dense) layer makes one logit per class. Encoder and head become one network with [Sequential](ums/layers.py:Sequential), and the
# encoder is frozen with [freeze](ums/layer.py:Layer.freeze).


# %%
def attach_head(encoder, channels, classes, rng):
    """Sequential(encoder, head): films -> logits (N, classes). The encoder itself, frozen, no copy.

    `channels` is C of the encoder's output; `rng` draws the head's first weights.
    """
    # BEGIN SOLUTION
    encoder.freeze()
    dense = Dense(channels, classes, rng)
    head = Sequential(GlobalAveragePool(), BatchNorm(channels), dense)
    return Sequential(encoder, head)
    # END SOLUTION


# %%
check.attach_head(attach_head)

# %% [markdown]
# You might think that freezing is a matter for the optimizer: give it the head's parameters alone, and nothing else can move. Here are both ways, 20 steps
# each.
#
# **Predict.** Does the fingerprint of the encoder stay the same in both?
#
# *your guess:*


# %%
def held_still(network, parameters):
    """Train 20 steps with these parameters; what has changed in the encoder, network.layers[0]."""
    encoder = network.layers[0]
    first = fingerprint(encoder)
    before = {name: array.copy() for name, array in encoder.state_dict().items()}
    optimizer, rng = Adam(parameters, 1e-3), np.random.default_rng(0)
    for _ in range(20):
        rows = rng.choice(pool, 16, replace=False)
        train_step(network, categorical_cross_entropy, optimizer, x[rows], adults.labels[rows])
    changed = [
        name for name, array in encoder.state_dict().items() if (array != before[name]).any()
    ]
    return (
        fingerprint(encoder) == first,
        len(changed),
        sorted({n.split(".")[-1] for n in changed}),
    )


rng = np.random.default_rng(0)
frozen = attach_head(copy_network(encoders["denoised"]), 64, 2, rng)
loose = attach_head(copy_network(encoders["denoised"]), 64, 2, rng)
loose.layers[0].freeze(False)
for name, network in (("frozen", frozen), ("not frozen, optimizer has the head alone", loose)):
    same, count, which = held_still(network, network.layers[1].parameters())
    print(f"{name:41} same fingerprint: {same!s:6} arrays changed: {count} {', '.join(which)}")

# %% [markdown]
# **Look.** The weights stay in both. But every forward pass in training moves the running means and variances of the batch norms that
# are not frozen, eight arrays here, and at inference these decide what the encoder computes. Frozen and training are two switches
# ([BatchNorm](ums/layers.py:BatchNorm)), and a network whose "frozen" part drifts in this way is a common and silent error.
#
# ## Computed once
#
# A frozen encoder gives the same features for the same film every time. So why compute them in each of a thousand steps? **Write** `features`. The films
# go through the encoder `batch` at a time, so that the memory does not grow with their number; `keep=False` tells the layers to keep nothing for a way back.


# %%
def features(encoder, films, batch=64):
    """Films (N, H, W, 1) -> the encoder's output (N, h, w, C), in order; at most `batch` at a time."""
    # BEGIN SOLUTION
    starts = range(0, len(films), batch)
    parts = [encoder.forward(films[i : i + batch], keep=False) for i in starts]
    return np.concatenate(parts)
    # END SOLUTION


# %%
check.features(features)

# %% [markdown]
# Every step of a head is now a step of the head alone. That is what [tune_independently](ums/finetuning/independent.py:tune_independently) does, the strategy the
# paper calls *independent*.
#
# ## A few labels
#
# The last thing: which films get labelled? **Write** `labelled_rows`: `n` rows drawn by lot, the same number of each class, so that even eight hold both.


# %%
def labelled_rows(labels, n, rng):
    """`n` different row numbers of labels (N,), as many of each class that occurs; `rng` draws them."""
    # BEGIN SOLUTION
    classes = np.unique(labels)
    each = n // len(classes)
    drawn = [rng.permutation(np.flatnonzero(labels == k))[:each] for k in classes]
    return np.concatenate(drawn)
    # END SOLUTION


# %%
check.labelled_rows(labelled_rows)

# %% [markdown]
# ## What it is worth
#
# For each encoder and for 8, 32 and 96 labelled films of hospital A, two heads are trained: your pooling head for the opacity, and a
# decoder ([cxr_decoder](ums/networks.py:cxr_decoder)) for the lungs. Three times, with other films labelled. The scores are taken on the 160 test
# films: for the opacity the area under the ROC curve (AUC), the chance that an ill film gets a higher score than a healthy one, 0.5 for
# guessing; for the lungs the F-score, 1 for a perfect outline.
#
# There is a fourth line in each picture. For the opacity: *everything learns*, encoder and head together from random weights, on the same few films.
# That is what you would do without any source. For the lungs: the denoised encoder *with its decoder*, whose last layer alone is new
# ([segmentation_head](ums/networks.py:segmentation_head)), as the paper has it.
#
# **Predict.** Draw the four curves for the opacity, AUC against number of labels, before you run this.
#
# *your guess:*

# %%
NUMBERS, DRAWS = (8, 32, 96), range(3)
masks = adults.masks[..., None].astype(np.float32)


def learn(network, loss, inputs, targets, rows, rng, steps):
    """`steps` steps on batches drawn from the rows."""
    optimizer = Adam(network.trainable_parameters(), 3e-3)
    for _ in range(steps):
        some = rng.choice(rows, min(16, len(rows)), replace=False)
        train_step(network, loss, optimizer, inputs[some], targets[some])
    return network


def opacity_score(network, inputs, n, draw):
    """AUC on the test films of a head, or of a whole network, that learns n labels."""
    rng = np.random.default_rng([draw, n])
    rows = labelled_rows(adults.labels[pool], n, rng)
    learn(network, categorical_cross_entropy, inputs, adults.labels, rows, rng, 150)
    z = network.forward(inputs[testing], keep=False)
    return roc_auc(adults.labels[testing], z[:, 1] - z[:, 0])


def lung_score(decoder, inputs, n, draw):
    """F-score on the test films of a decoder that learns n outlined films."""
    rng = np.random.default_rng([draw, n])
    rows = labelled_rows(adults.labels[pool], n, rng)
    learn(decoder, bce_dice, inputs, masks, rows, rng, 60)
    area = decoder.forward(inputs[testing], keep=False)[..., 0] > 0
    return segmentation.f_score(adults.masks[testing] > 0, area).mean()


opacity, lungs = {}, {}  # name -> scores (draws, numbers)
for name, encoder in encoders.items():
    before = fingerprint(encoder)
    head = attach_head(encoder, 64, 2, np.random.default_rng(0)).layers[1]
    decoder = cxr_decoder(np.random.default_rng(0), width=0.25)
    f = features(encoder, x)  # once, for all heads
    opacity[name] = [[opacity_score(copy_network(head), f, n, k) for n in NUMBERS] for k in DRAWS]
    lungs[name] = [[lung_score(copy_network(decoder), f, n, k) for n in NUMBERS] for k in DRAWS]
    assert fingerprint(encoder) == before

f = features(autoencoder.layers[0], x)
decoder = segmentation_head(autoencoder.layers[1], np.random.default_rng(0))
lungs["denoised, its decoder"] = [
    [lung_score(copy_network(decoder), f, n, k) for n in NUMBERS] for k in DRAWS
]
whole = attach_head(copy_network(encoders["random"]), 64, 2, np.random.default_rng(0))
whole.layers[0].freeze(False)
opacity["everything learns"] = [
    [opacity_score(copy_network(whole), x, n, k) for n in NUMBERS] for k in DRAWS
]

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.5, 3))
for ax, scores in zip(axes, (opacity, lungs), strict=True):
    for (name, values), colour in zip(scores.items(), COLOURS, strict=False):
        ax.plot(NUMBERS, np.mean(values, axis=0), "-", color=colour, label=name)
        for row in values:
            ax.plot(NUMBERS, row, "o", color=colour, markersize=4, alpha=0.6)
    ax.set_xscale("log")
    ax.set_xticks(NUMBERS, map(str, NUMBERS))
    ax.minorticks_off()
    ax.set_xlabel("labelled films")
axes[0].axhline(0.5, color="black", linestyle="--", linewidth=0.8)
axes[0].set(title="opacity", ylabel="AUC", ylim=(0.45, 0.95))
axes[1].set(title="lungs", ylabel="F-score", ylim=(0.8, 0.9))
axes[0].legend(ncols=2, loc="upper center")
axes[1].legend(ncols=2, loc="lower center")
plt.show()

for title, scores in (("opacity, AUC", opacity), ("lungs, F-score", lungs)):
    print(
        f"{title:25}"
        + "".join(f"{n:>8} labels" for n in NUMBERS)
        + "   (mean and deviation of three draws)"
    )
    for name, values in scores.items():
        cells = zip(np.mean(values, axis=0), np.std(values, axis=0, ddof=1), strict=True)
        print(f"  {name:23}" + "".join(f"  {mean:.3f} ± {std:.3f}" for mean, std in cells))

# %% [markdown]
# **Look.** For the *opacity* the supervised encoder is ahead at every number of labels: with 8 of them it has an AUC of 0.69, which *everything learns* does
# not reach with 96. That others have labelled something like what you look for is worth a great deal. The denoised encoder cannot be told from
# the random one here. *Everything learns* has next to nothing with 8 labels, and with 96 it has passed both: where the features lack what
# matters, holding them still is a handicap that more labels do not take away.
#
# For the *lungs* the order is another, on a much finer scale: all lie between 0.85 and 0.90. The denoised encoder is best at each number of
# labels, by 0.003 to 0.01, and the supervised one is no better than random weights. Its own decoder brings nothing in this run. The lungs are so
# coarse a shape that even random filters let it pass.
#
# So a representation has no worth by itself; it has one *for a task*.
#
# How sure is that? The dots differ in the films that were labelled and in their order, and in nothing else: one encoder of each kind, one set of test films. We
# have repeated the whole of it twice, with other films and other first weights. What came out each time: the supervised encoder ahead for the opacity
# with 32 and 96 labels, *everything learns* ahead of the denoised with 96, the denoised encoder ahead of the random one for the lungs, by
# 0.003 to 0.03. What did not: with 8 labels the supervised encoder once had 0.51; the denoised one was clearly better than random for the opacity
# with 96 labels, 0.62 against 0.45 and 0.67 against 0.50, and not here; its decoder did help with 8 outlines, by less than 0.01.
#
# The project's study asks the same of larger networks, with everything drawn and trained anew many times. Its [arms](ums/experiments/arms.py:ARMS)
# differ in one thing each, and the curves of this lesson have their places among them: *independent* is a head on the denoised encoder, held still,
# *scratch* is *everything learns*, and *single* starts from the denoised encoder and lets it learn too. How many labels there are and how
# long the source was trained are [factors](ums/experiments/factors.py:FACTORS): with no steps of the source, *independent* would be the random
# encoder of this lesson. What came out is among its [results](ums/experiments/RESULTS.md).
#
# ## Think
#
# 1. The head for the lungs is a decoder of 25,000 weights, that of the opacity a dense layer of 130. Could this be why the encoders
#    differ so little for the lungs? How would you find out?
# 2. "For the opacity the denoised encoder is no better than the random one." By the picture it is so. Why would it be wrong to write that down, and
#    what would have to be repeated before you could?
# 3. A physician's label for a child's film costs as much as one for an adult's. Was the supervised source a fair comparison? What should its
#    curve be compared with?
# 4. Where does the denoised encoder lose the opacity? Think of lesson 7's pictures. Name two things you could change about the source's task so that it
#    would have to keep it.

# %% [markdown] tags=["solution"]
# **Answers.**
#
# 1. It could: with so many weights a decoder can make an outline of any 576 numbers that still hold the rough shape, and random filters do hold it.
#    Put a smaller head on (one 1 x 1 convolution on the 3 x 3 map and its upsampling), or take fewer films: if the encoders then
#    part, the decoder had made up for them.
# 2. The dots are draws of labelled films, for *one* encoder of each kind. Another start of the source, other children and other test films
#    move them as well, and did: in two other runs it was better. Not seeing a difference is not the same as there being none. So: draw and train
#    all of it anew many times, sources too, and look at the interval of the paired differences (lesson 11): is it narrow, and near 0?
# 3. Not as it stands: it has used 260 labels more. It is fair where these labels exist anyway, which is the paper's case for Doppler echo. If they must
#    be paid for, compare it with *everything learns* on 96 + 260 labels.
# 4. In the squared error: a small opacity is a few pixels of 2304, and leaving it out costs next to nothing. One could weigh the
#    error inside the lungs more, hide patches of the film and ask for what is under them, leave a larger map (fewer strides), or add a few labels to the
#    source's task.
