# %% [markdown]
# # 8 What is a representation worth?
#
# An encoder turns a film into a few hundred numbers, its *representation*. If these contain what matters, a small head and a few labels
# are enough for a new task; if not, no head can bring back what is lost. So the value of an encoder can be
# measured: hold it still, put a head on it, and see how the score grows with the number of labels.
#
# You write four functions: `fingerprint`, `attach_head`, `features` and `labelled_rows`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_08 as check
from lessons.pictures import COLOURS, image_row, show, use_style
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
# A children's hospital, C, has 260 films, and for each of them somebody has recorded whether it shows pneumonia. Hospital A
# treats adults. It wants two things: to tell whether there is an opacity, and to outline the lungs. It has 192 films to learn from, and would
# like to have as few of them labelled and outlined as possible. Another 160 are set aside for testing. All films are synthetic, 48 x 48 pixels.

# %%
children = make_synthetic(260, 48, np.random.default_rng(1), "C", abnormal_fraction=0.5)
adults = make_synthetic(352, 48, np.random.default_rng(2), "A", abnormal_fraction=0.5)
pool, testing = np.arange(192), np.arange(192, 352)
x = normalise(adults.images)  # (352, 48, 48, 1)

for made, name in ((children, "pneumonia"), (adults, "opacity")):
    ill, healthy = np.flatnonzero(made.labels), np.flatnonzero(made.labels == 0)
    chosen = np.concatenate([ill[:3], healthy[:3]])
    image_row(made.images[chosen], [name] * 3 + ["none"] * 3)
    show(f"Six synthetic films of one hospital, three with {name} and three without.")

# %% [markdown]
# We compare three encoders of the same architecture, [cxr_encoder](ums/networks.py:cxr_encoder) at a quarter of the paper's width. They turn a film of 48 x 48
# numbers into 3 x 3 x 64 features. They differ in where their weights come from:
#
# - **random**: fresh weights, with nothing learned;
# - **denoised**: the encoder of a denoising autoencoder ([lesson 7](07_denoising.ipynb)), trained on the children's films *without* their labels;
# - **supervised**: the encoder of a classifier that learned to recognise pneumonia in children *with* the 260 labels.
#
# **Predict.** Which is best for recognising opacities in adults? Which for outlining their lungs? Which could you do without?
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
# Encoders can only be compared if they do not change while a head learns. How do you *know* that one has not changed? Not by looking, and not by comparing a mean.
# Compare its bytes, all of them.
#
# A layer's method [state_dict](ums/layer.py:Layer.state_dict) returns everything the layer holds, as `{name: array}`: the weights, and the running
# mean and variance of each batch norm, which are not weights and yet affect the output. An array's method `tobytes()` returns its bytes.
#
# **Write** `fingerprint`: it returns bytes that are the same for two layers that hold the same, and different as soon as one number somewhere differs in its last
# bit, or two arrays have changed places. (`b"".join(...)` joins bytes.)


# %%
def fingerprint(layer):
    """All that a layer holds, as one object of type bytes; the layer stays as it is."""
    # BEGIN SOLUTION
    arrays = layer.state_dict()
    parts = [name.encode() + to_numpy(arrays[name]).tobytes() for name in sorted(arrays)]
    return b"".join(parts)
    # END SOLUTION


# %%
check.fingerprint(fingerprint)

# %% [markdown]
# **Write** `attach_head`. The head takes the encoder's output `(N, h, w, C)`: a [GlobalAveragePool](ums/layers.py:GlobalAveragePool) turns it into `(N, C)`, a
# [BatchNorm](ums/layers.py:BatchNorm) brings all features to one scale (the three encoders' scales differ), and a
# [Dense](ums/layers.py:Dense) layer makes one logit per class. Join encoder and head into one network with [Sequential](ums/layers.py:Sequential), and freeze the
# encoder with [freeze](ums/layer.py:Layer.freeze).
#
# <details><summary>A hint: two chains</summary>
#
# The head is itself a `Sequential`, of the three layers. The network is a `Sequential` of two parts, encoder and head, so that `network.layers[0]` is the encoder and `network.layers[1]` the head.
#
# </details>


# %%
def attach_head(encoder, channels, classes, rng):
    """Sequential(encoder, head): films -> logits (N, classes). The encoder is frozen, and not copied.

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
# You might think that the optimizer takes care of freezing: give it the head's parameters alone, and nothing else can move. Here are both ways, 20 steps
# each.
#
# **Predict.** Does the fingerprint of the encoder stay the same in both?
#
# *your guess:*


# %%
def held_still(network, parameters):
    """Train these parameters for 20 steps and print what has changed in network.layers[0], the encoder."""
    encoder = network.layers[0]
    first = fingerprint(encoder)
    before = {name: array.copy() for name, array in encoder.state_dict().items()}
    optimizer, rng = Adam(parameters, 1e-3), np.random.default_rng(0)
    for _ in range(20):
        rows = rng.choice(pool, 16, replace=False)
        train_step(network, categorical_cross_entropy, optimizer, x[rows], adults.labels[rows])
    changed = []
    for name, array in encoder.state_dict().items():
        if (array != before[name]).any():
            changed.append(name)
    print("   same fingerprint:", fingerprint(encoder) == first)
    print(f"   arrays changed: {len(changed)}", *changed[:2], "..." if changed else "")


rng = np.random.default_rng(0)
frozen = attach_head(copy_network(encoders["denoised"]), 64, 2, rng)
loose = attach_head(copy_network(encoders["denoised"]), 64, 2, rng)
loose.layers[0].freeze(False)
for name, network in (("frozen", frozen), ("not frozen; the optimizer has the head alone", loose)):
    print(name)
    held_still(network, network.layers[1].parameters())

# %% [markdown]
# **Look.** The weights stay the same in both. But every forward pass in training moves the running means and variances of those batch norms that
# are not frozen, eight arrays here, and at inference these decide what the encoder computes. Frozen and training are two separate switches
# ([BatchNorm](ums/layers.py:BatchNorm)), and a network whose "frozen" part drifts in this way is a common error that nothing reports.
#
# ## Computed once
#
# A frozen encoder gives the same features for the same film every time. So why compute them in each of a thousand steps? **Write** `features`. The films
# go through the encoder `batch` at a time, so that the memory needed does not grow with their number; `keep=False` tells the layers to keep nothing for a backward pass.


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
# A step of training is now a step of the head alone. That is what [tune_independently](ums/finetuning/independent.py:tune_independently) does, the strategy that the
# paper calls *independent*.
#
# ## A few labels
#
# One question is left: which films get labelled? **Write** `labelled_rows`: `n` rows drawn at random, the same number of each class, so that even eight rows contain both classes. (`n` is a multiple of the number of classes.)
#
# <details><summary>A hint</summary>
#
# `np.unique(labels)` gives the classes that occur, and `np.flatnonzero(labels == k)` the row numbers of class `k`. `rng.permutation` shuffles them into a new array, of which you take as many as you need.
#
# </details>


# %%
def labelled_rows(labels, n, rng):
    """An array (n,) of different row numbers of labels (N,), drawn by `rng`, equally many of each class."""
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
# decoder ([cxr_decoder](ums/networks.py:cxr_decoder)) for the lungs. This is repeated three times, each time with other films labelled. The scores are computed on the 160 test
# films. For the opacity it is the area under the ROC curve (AUC), the probability that an ill film gets a higher score than a healthy one, which is 0.5 for
# guessing; for the lungs it is the F-score, 1 for a perfect outline.
#
# There is a fourth line in each picture. For the opacity it is *everything learns*: encoder and head together, from random weights, on the same few films.
# That is what you would do without any source. For the lungs it is the denoised encoder *with its decoder*, of which only the last layer is new
# ([segmentation_head](ums/networks.py:segmentation_head)), as in the paper.
#
# **Predict.** Sketch the four curves for the opacity, AUC against the number of labels, before you run this.
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


def all_scores(score, network, inputs):
    """The scores (draws, numbers) of copies of a network that learn n labels."""
    return [[score(copy_network(network), inputs, n, k) for n in NUMBERS] for k in DRAWS]


for name, encoder in encoders.items():
    before = fingerprint(encoder)
    head = attach_head(encoder, 64, 2, np.random.default_rng(0)).layers[1]
    decoder = cxr_decoder(np.random.default_rng(0), width=0.25)
    f = features(encoder, x)  # once, for all heads
    opacity[name] = all_scores(opacity_score, head, f)
    lungs[name] = all_scores(lung_score, decoder, f)
    assert fingerprint(encoder) == before

f = features(autoencoder.layers[0], x)
decoder = segmentation_head(autoencoder.layers[1], np.random.default_rng(0))
lungs["denoised, its decoder"] = all_scores(lung_score, decoder, f)
whole = attach_head(copy_network(encoders["random"]), 64, 2, np.random.default_rng(0))
whole.layers[0].freeze(False)
opacity["everything learns"] = all_scores(opacity_score, whole, x)

# %%
figure, axes = plt.subplots(1, 2, figsize=(8.5, 3))
for ax, scores in zip(axes, (opacity, lungs), strict=True):
    for k, (name, values) in enumerate(scores.items()):
        line, marker, place = ("-", "--", "-.", ":")[k], "osv^"[k], np.array(NUMBERS) * 1.05**k
        ax.plot(place, np.mean(values, axis=0), line, color=COLOURS[k], label=name)
        for row in values:
            ax.plot(place, row, marker, color=COLOURS[k], markersize=4, alpha=0.6)
    ax.set_xscale("log")
    ax.set_xticks(NUMBERS, [str(n) for n in NUMBERS])
    ax.minorticks_off()
    ax.set_xlabel("labelled films")
axes[0].axhline(0.5, color="black", linestyle="--", linewidth=0.8)
axes[0].set(title="opacity", ylabel="AUC", ylim=(0.45, 0.95))
axes[1].set(title="lungs", ylabel="F-score", ylim=(0.8, 0.9))
axes[0].legend(ncols=2, loc="upper center")
axes[1].legend(ncols=2, loc="lower center")
show(
    "Scores against the number of labelled films, a line for each of the four ways. Opacity: the supervised encoder lies at an AUC of about "
    "0.7, the others between 0.5 and 0.65. Lungs: all rise from about 0.85 to 0.89 and lie close together."
)

for title, scores in (("opacity, AUC", opacity), ("lungs, F-score", lungs)):
    print(
        f"{title:25}"
        + "".join(f"{n:>8} labels" for n in NUMBERS)
        + "   (mean and deviation of three draws)"
    )
    for name, values in scores.items():
        means, deviations = np.mean(values, axis=0), np.std(values, axis=0, ddof=1)
        print(f"  {name:23}", end="")
        for mean, deviation in zip(means, deviations, strict=True):
            print(f"  {mean:.3f} ± {deviation:.3f}", end="")
        print()

# %% [markdown]
# **Look.** For the *opacity* the supervised encoder is ahead at every number of labels: with 8 of them it has an AUC of 0.67, which *everything learns* does
# not reach with 96. It is worth a great deal that others have labelled something similar to what you look for. The denoised encoder cannot be told from
# the random one here. *Everything learns* achieves next to nothing with 8 labels, and with 96 it has overtaken both: where the features lack what
# matters, holding them still is a handicap that more labels do not remove.
#
# For the *lungs* the order is different, and on a much finer scale: most scores lie between 0.85 and 0.90. The denoised encoder is best or among the best at each number of
# labels, by less than 0.01, and the supervised one is no better than random weights. Keeping the source's decoder brings no gain in this run. The lungs are such
# a coarse shape that even random filters let it through.
#
# So a representation has no value in itself; it has a value *for a task*.
#
# How certain is that? The dots differ in which films were labelled and in their order, and in nothing else: there is one encoder of each kind and one set of test films. We
# repeated the whole experiment twice, with other films and other first weights. Three results came out each time: the supervised encoder was ahead for the opacity
# with 32 and 96 labels; *everything learns* was ahead of the denoised encoder with 96; and the denoised encoder was ahead of the random one for the lungs, by
# 0.003 to 0.03. Three did not: with 8 labels the supervised encoder once had only 0.51; for the opacity with 96 labels the denoised encoder was clearly better than
# random in the other two runs, 0.62 against 0.45 and 0.67 against 0.50; and its decoder did help there with 8 outlines, by less than 0.01.
#
# The project's study asks the same of larger networks, with everything drawn and trained anew many times. Its [arms](ums/experiments/arms.py:ARMS)
# differ in one thing each, and the curves of this lesson are among them: *independent* is a head on the denoised encoder, held still;
# *scratch* is *everything learns*; and *single* starts from the denoised encoder and lets it learn too. The number of labels and
# the length of the source's training are [factors](ums/experiments/factors.py:FACTORS): a source that has been trained for no steps makes *independent* the random
# encoder of this lesson. The outcome is among its [results](ums/experiments/RESULTS.md).
#
# ## Think
#
# **Question 1.** The head for the lungs is a decoder of 25,000 weights, the one for the opacity a dense layer of 130. Could this be why the encoders
# differ so little for the lungs? How would you find out?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 1 (2 points).** It could: with so many weights a decoder can make an outline from any 576 numbers that still contain the rough shape, and the output of random filters does contain it (1).
# Use a smaller head (one 1 x 1 convolution on the 3 x 3 map, and its upsampling), or fewer films: if the encoders then
# separate, the decoder had made up for them (1).

# %% [markdown]
# **Question 2.** "For the opacity the denoised encoder is no better than the random one." The picture says so. Why would it be wrong to report that, and
# what would have to be repeated before you could?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 2 (3 points).** The dots are draws of labelled films for *one* encoder of each kind. Another start of the source, other children and other test films
# move them as well: in two other runs it was better (1). Seeing no difference is not the same as there being none (1). So draw and train
# everything anew many times, sources included, and say how far the differences scatter: do they lie close to 0 (1)? (Lesson 11 makes an interval of them.)

# %% [markdown]
# **Question 3.** A physician's label for a child's film costs as much as one for an adult's. Was the supervised source a fair comparison? What should its
# curve be compared with?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 3 (2 points).** Not as it stands, because it has used 260 labels more. It is fair where these labels exist anyway (1). (That is the paper's case for Doppler echocardiograms.) If they must
# be paid for, compare it with *everything learns* on as many labels more, 96 + 260, if the hospital had so many films (1).

# %% [markdown]
# **Question 4.** Why does the denoised encoder lose the opacity? Think of the pictures in lesson 7. Name two things you could change about the source, its task or its network, so
# that it would have to keep it.
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 4 (3 points).** In the squared error: a small opacity is a few of 2304 pixels, and leaving it out costs next to nothing, so the bottleneck has no room for it (1, for either). Two of these, or others with a reason (2): give the
# error inside the lungs more weight; hide patches of the film and ask for what is under them; leave a larger map (fewer strides); add a few labels to the
# source's task.
