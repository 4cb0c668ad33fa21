# %% [markdown]
# # 7 What does denoising teach?
#
# Labels are expensive: a physician must look at every film. Films are not. So a network can first be given a task that
# needs no labels: here is a film with noise on it, give me the clean one. Nobody needs that network for its own sake. What is kept is its
# first half, the *encoder*, in the hope that whoever can restore a chest has learned what a chest looks like. In the paper that
# is the *source*, which all later tasks share.
#
# You write four functions: `add_noise`, `training_pair`, `source_step` and `restored`.

# %%
import cv2
import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_07 as check
from lessons.pictures import COLOURS, image_row, use_style
from ums.backend import choose_device, to_numpy
from ums.data import denormalise, normalise
from ums.metrics import psnr
from ums.networks import copy_network, denoising_autoencoder
from ums.ops import mse
from ums.optimizers import RMSprop

use_style()

# %% [markdown]
# ## Two kinds of noise
#
# 400 synthetic films of 48 x 48 pixels: 340 to learn from, 60 to test on. Grey values run from 0 (black) to 255 (white).

# %%
films = make_synthetic(400, 48, np.random.default_rng(1), "A").images
learning, testing = films[:340], films[340:]

# %% [markdown]
# **Gaussian** noise is what electronics add: to every pixel a number of its own, normally distributed with mean 0 and the standard
# deviation $\sigma$, in grey values. **Poisson** noise comes with the rays themselves. A pixel counts photons, and whoever expects
# $\lambda$ of them counts a number drawn from the Poisson distribution, of mean $\lambda$ and standard deviation $\sqrt{\lambda}$. Say a
# white pixel expects `level` photons; a grey value $g$ then expects $\lambda = g \cdot \text{level} / 255$, and the count must be brought back to grey
# values.
#
# **Predict.** In which parts of a film does Poisson noise lie most heavily: dark, grey, bright? And which is the noisier film, one of 10 or one of 100
# photons in a white pixel?
#
# *your guess:*
#
# **Write** `add_noise`. An 8-bit image holds nothing below 0 or above 255, so the result is clipped there. `rng.standard_normal(shape)` and
# `rng.poisson(expected)` draw the numbers. An unknown kind must not be guessed.


# %%
def add_noise(images, kind, level, rng):
    """Images in 0..255, any shape and type -> noisy ones in 0..255, same shape, float32.

    kind "gaussian": `level` is the standard deviation; "poisson": the photons of a white pixel. Raises ValueError for
    another kind. `rng` is a numpy.random.Generator, the only source of chance.
    """
    images = images.astype(np.float32)
    # BEGIN SOLUTION
    if kind == "gaussian":
        noisy = images + level * rng.standard_normal(images.shape)
    elif kind == "poisson":
        noisy = rng.poisson(images * level / 255) * 255 / level
    else:
        raise ValueError(f"neither gaussian nor poisson: {kind!r}")
    return np.clip(noisy, 0, 255).astype(np.float32)
    # END SOLUTION


# %%
check.add_noise(add_noise)

# %%
NOISES = [("gaussian", 10), ("gaussian", 30), ("gaussian", 50), ("poisson", 40), ("poisson", 10)]
rng = np.random.default_rng(2)
noisy_films = [add_noise(testing[0], kind, level, rng) for kind, level in NOISES]
image_row([testing[0], *noisy_films], ["clean", *(f"{kind} {level}" for kind, level in NOISES)])

flat = np.repeat(np.arange(256), 2000).reshape(256, 2000)  # 2000 pixels of every grey value
figure, ax = plt.subplots(figsize=(6, 2.8))
for (kind, level), colour in zip((NOISES[1], *NOISES[3:]), COLOURS, strict=False):
    spread = add_noise(flat, kind, level, rng).std(axis=1)
    ax.plot(spread, color=colour, label=f"{kind} {level}")
ax.set(xlabel="grey value of the clean pixel", ylabel="standard deviation")
ax.legend()
plt.show()

# %% [markdown]
# **Look.** Gaussian noise is the same everywhere, Poisson noise grows with the square root of the grey value: the count's deviation
# is $\sqrt{\lambda}$, in grey values $255 / \text{level} \cdot \sqrt{g \cdot \text{level} / 255} = \sqrt{255\, g / \text{level}}$. Fewer photons are more noise, which
# is why a film of little dose is grainy. At both ends the clipping takes a part of it away: in black nothing can become darker.
#
# In the library: [Noise](ums/data/noise.py:Noise). Which levels the paper used is lost; [NOISES](ums/data/noise.py:NOISES) are ours.
#
# ## What goes in, what should come out
#
# Input and target are brought into the range of a network, $x = (\text{image} - \mu) / 4s$ with the mean $\mu$ and the
# deviation $s$ of an image's exposed pixels ([lesson 1](01_xray.ipynb)). [normalise](ums/data/normalisation.py:normalise) does that; with
# `like=` it takes $\mu$ and $s$ from other images of the same shape.
#
# **Predict.** By whose statistics must the clean target be normalised: its own, or those of the noisy film? Think of the day the
# network is used: its output must be brought back to grey values, and what is known then?
#
# *your guess:*
#
# **Write** `training_pair`. Each film of the batch gets *one* of the noises, drawn for it (`rng.integers`), so that the network never knows which
# to expect.


# %%
def training_pair(clean, noises, rng):
    """Clean films (N, H, W) uint8 -> the input x and the target t, both (N, H, W, 1) float32.

    `noises` is a list of (kind, level), as `add_noise` takes them.
    """
    # BEGIN SOLUTION
    drawn = rng.integers(len(noises), size=len(clean))
    noisy = np.stack(
        [add_noise(film, *noises[k], rng) for film, k in zip(clean, drawn, strict=True)]
    )
    return normalise(noisy), normalise(clean, like=noisy)
    # END SOLUTION


# %%
check.training_pair(training_pair)

# %% [markdown]
# The library's [DenoisingExamples](ums/source.py:DenoisingExamples) does the same, and for validation gives a film the same noise every time.
#
# ## The source
#
# The network is an *autoencoder*: an encoder that makes the film small, and a decoder that grows it back. Here it is at a quarter of the paper's
# width.

# %%
fresh = denoising_autoencoder(np.random.default_rng(0), width=0.25)
print(fresh.summary((48, 48, 1)))

# %% [markdown]
# **Predict.** Between the two halves a film of 2304 grey values is $3 \times 3 \times 64 = 576$ numbers. What will be lost first: the outline of the
# lungs, the ribs, the noise?
#
# *your guess:*
#
# One step of learning: forget the gradients of the step before, go forward, compare with the target by the mean squared error
# [mse](ums/ops/losses.py:mse), go backward, and let the optimizer move the weights. The layers' methods are
# [zero_gradients](ums/layer.py:Layer.zero_gradients), [forward](ums/layer.py:Layer.forward) and [backward](ums/layer.py:Layer.backward);
# `backward` takes the loss's gradient and *adds* to what is there. An optimizer has [step](ums/optimizers.py:Optimizer.step).
#
# **Write** `source_step`. Remember that a batch norm must know when it is being trained.


# %%
def source_step(network, optimizer, x, t):
    """Learn once from the batch x (N, H, W, 1) with the target t; the loss before the step, a float."""
    # BEGIN SOLUTION
    network.zero_gradients()
    y = network.forward(x, training=True)
    loss, dy = mse(y, t)
    network.backward(dy)
    optimizer.step()
    return float(loss)
    # END SOLUTION


# %%
check.source_step(source_step)

# %% [markdown]
# And one to use it. **Write** `restored`: noisy films in, restored ones out, both in grey values. The network wants its input normalised, and what comes
# out of it is brought back by [denormalise](ums/data/normalisation.py:denormalise), `denormalise(y, images)`, with the statistics of `images`.


# %%
def restored(network, noisy):
    """Noisy films (N, H, W) in 0..255 -> restored ones (N, H, W) in 0..255, without learning anything."""
    # BEGIN SOLUTION
    x = normalise(noisy)
    y = network.forward(x, keep=False)
    return denormalise(y, noisy)
    # END SOLUTION


# %%
check.restored(restored)

# %% [markdown]
# ## Eight films
#
# Before you let a network learn for an hour, let it learn eight films by heart. If it cannot even do that, something is wrong with
# the code, and it is found in seconds.
#
# The figure for quality is the peak signal-to-noise ratio, $\text{PSNR} = 10 \log_{10} (255^2 / \text{mean squared error})$, in decibels: 10 dB more
# are a tenth of the squared error. What a restoration is worth is its *gain*, PSNR restored minus PSNR noisy.
#
# **Predict.** After 300 steps on the same eight noisy films: is there a gain on these films? On the same films with *new* noise? On films it
# has never seen?
#
# *your guess:*

# %%
eight, rng = learning[:8], np.random.default_rng(3)
noisy = add_noise(eight, "gaussian", 30, rng)
x, t = normalise(noisy), normalise(eight, like=noisy)

student = copy_network(fresh)
optimizer = RMSprop(student.trainable_parameters(), 1e-3)
losses = [source_step(student, optimizer, x, t) for _ in range(300)]

figure, ax = plt.subplots(figsize=(5.5, 2.4))
ax.semilogy(losses, color=COLOURS[0])
ax.set(xlabel="step", ylabel="mean squared error")
plt.show()
image_row(noisy[:6], ["noisy"] * 6)
image_row(restored(student, noisy[:6]), ["restored"] * 6)
image_row(eight[:6], ["clean"] * 6)

# %%
again = add_noise(eight, "gaussian", 30, rng)
strange = add_noise(testing, "gaussian", 30, rng)
for name, clean, films_in in (
    ("the same films and noise", eight, noisy),
    ("the same films, new noise", eight, again),
    ("films never seen", testing, strange),
):
    before = psnr(clean, films_in).mean()
    gain = psnr(clean, restored(student, films_in)).mean() - before
    print(f"{name:26} noisy {before:.1f} dB   gain {gain:+.1f} dB")

# %% [markdown]
# **Look.** The error falls from 2 to below 0.01, and the films are recognisable, if coarse: the code learns. But the gain of 4.5 dB is worth
# nothing. With new noise on the very same films the network does harm, with other films more of it. It has learned which film belongs to which
# pattern of noise, and the noise was the easiest mark to tell them by. A training loss alone would have shown a success.
#
# ## Three hundred and forty films
#
# Now all the films to learn from, with new noise every time they come by, so that there is no noise to learn by heart. 30 times through
# all of them, in batches of 17.

# %%
device = choose_device()
source = copy_network(fresh).to(device)
optimizer = RMSprop(source.trainable_parameters(), 1e-3)
rng = np.random.default_rng(4)
losses = []
for epoch in range(30):
    if epoch == 24:
        optimizer.learning_rate /= 4
    for rows in rng.permutation(340).reshape(20, 17):
        x, t = training_pair(learning[rows], NOISES, rng)
        losses.append(source_step(source, optimizer, device.put(x), device.put(t)))
source.map_arrays(to_numpy)  # back from the GPU, if there is one
print(
    f"mean squared error: first epoch {np.mean(losses[:20]):.3f}, last {np.mean(losses[-20:]):.4f}"
)

# %% [markdown]
# For comparison the oldest remedy of all: blurring, each pixel a weighted mean of its neighbours
# ([GaussianBlur](https://docs.opencv.org/4.x/d4/d13/tutorial_py_filtering.html)), with nothing learned. We let it choose, for each noise, the width that comes out best.
#
# **Predict.** At which noise will the network be worth most, at which least? Will it beat the blur?
#
# *your guess:*


# %%
def blurred(noisy, clean):
    """The films blurred by the width, of seven, that is best for them all."""
    widths = (0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3)
    tries = [np.stack([cv2.GaussianBlur(film, (0, 0), s) for film in noisy]) for s in widths]
    return max(tries, key=lambda films: psnr(clean, films).mean())


rng = np.random.default_rng(5)
rows = {kind: [] for kind in ("noisy", "restored", "blurred")}
for kind, level in NOISES:
    noisy = add_noise(testing, kind, level, rng)
    rows["noisy"].append(noisy)
    rows["restored"].append(restored(source, noisy))
    rows["blurred"].append(blurred(noisy, testing))

figure, ax = plt.subplots(figsize=(6.5, 2.8))
for k, (name, versions) in enumerate(rows.items()):
    scores = [psnr(testing, films).mean() for films in versions]
    ax.bar(np.arange(5) + 0.27 * (k - 1), scores, 0.25, color=COLOURS[k], label=name)
ax.set(xticks=range(5), xticklabels=[f"{kind} {level}" for kind, level in NOISES])
ax.set(ylabel="PSNR, dB", title="60 films never seen")
ax.legend(ncols=3)
plt.show()
for k, (kind, level) in enumerate(NOISES):
    before, after = (psnr(testing, rows[name][k]).mean() for name in ("noisy", "restored"))
    print(f"{kind} {level}: gain {after - before:+.1f} dB")

# %%
for name, versions in rows.items():
    image_row([films[2] for films in versions], [name] * 5)
image_row([testing[2]] * 5, ["clean"] * 5)

# %% [markdown]
# **Look.** The restored films have 22 dB, all of them, whatever the noise was. So there is a gain of 7 dB at heavy noise, and at the weakest
# noise a loss of 6. The network does not take noise away: it draws the film anew, from what passed through its 576 numbers. The blur, which
# keeps whatever is there, has the better PSNR everywhere, though at heavy noise by very little, and only because we told it which
# width was best. Our network
# is small and has not learned for long; but the narrow passage would stay.
#
# Now compare the pictures. Restored, the outline of chest, lungs and diaphragm is clean and in its place even where you can hardly see it in
# the noisy film. And the round opacities in both lungs, plain to see at weak noise and in the clean film, are *gone*. The network
# has learned what chests have in common. What this patient has for himself was too small to pay for in squared error.
#
# ## What it has learned
#
# First eight of the 16 filters of the first layer, 3 x 3 weights each, before and after. Green counts a pixel, purple takes
# it away.

# %%
for name, network in (("before", fresh), ("after", source)):
    w = network.layers[0].layers[0].w.value[:, :, 0, :]  # (3, 3, 16)
    image_row(
        np.moveaxis(w, 2, 0)[:8], [f"{name} {k}" for k in range(8)], low=-1, high=1, colours="PRGn"
    )
    mean = w.sum(axis=(0, 1)) ** 2 / (9 * (w**2).sum(axis=(0, 1)))  # 1: an even mean of 9 pixels
    print(f"{name}: how much of a mean a filter is, from 0 to 1: {mean.mean():.2f} on average")

# %% [markdown]
# **Look.** There is little to see: the filters are still the random ones they were, changed a little. A number tells more. A filter that
# averages has weights of one sign, and its share, printed above, is 1; a random filter has 1/9 on average. They started at 0.10 and are at 0.19:
# a small step towards averaging, which is what noise calls for. The rest of the learning is in the layers behind.
#
# What is kept of the source is the encoder's output, and the question is what *it* does when noise comes. Take the distance between a film's
# output and the output of the same film with noise. By itself it means nothing; so divide it by the mean distance between two *different*
# films. At 0 noise makes no difference, at 1 it moves a film as far as another patient would.
#
# **Predict.** For the raw pixels, for an encoder with random weights, and for yours: how does it grow with $\sigma$?
#
# *your guess:*


# %%
def moved_by_noise(output, sigma):
    """How far noise moves the output, in mean distances between two films; output: (N, H, W, 1) -> (N, ...)."""
    noisy = add_noise(testing, "gaussian", sigma, np.random.default_rng(6))
    a, b = (output(normalise(films)).reshape(60, -1) for films in (testing, noisy))
    apart = np.linalg.norm(a[:, None] - a[None], axis=2)[np.triu_indices(60, 1)]
    return np.linalg.norm(a - b, axis=1).mean() / apart.mean()


def encoder_of(network):
    return lambda x: network.layers[0].forward(x, keep=False)


sigmas = (5, 10, 20, 30, 40, 50, 60, 80)
outputs = {
    "pixels": lambda x: x,
    "random encoder": encoder_of(fresh),
    "your encoder": encoder_of(source),
}
figure, ax = plt.subplots(figsize=(6, 2.8))
for (name, output), colour in zip(outputs.items(), COLOURS, strict=False):
    ax.plot(sigmas, [moved_by_noise(output, s) for s in sigmas], "o-", color=colour, label=name)
ax.axhline(1, color="black", linestyle="--", linewidth=0.8)
ax.set(xlabel="Gaussian noise, $\\sigma$ in grey values", ylabel="moved by noise", ylim=(0, None))
ax.legend()
plt.show()

# %% [markdown]
# **Look.** Noise moves the random encoder's output as far as it moves the pixels: random filters take nothing away. Yours is moved half
# as far. With $\sigma = 50$ noise carries the pixels of a film nearly as far as another patient would, and your encoder's output less than half that
# way. So this is what denoising teaches: to let pass what films differ in on the whole, and to be deaf to what varies from pixel to pixel.
#
# Whether that is of use for a later task is another question. It should be for one about the shape of large things. For one about small
# ones the pictures above make you doubt. Lesson 8 asks.
#
# ## Think
#
# 1. The restored films look alike, whatever the noise, even for a film without any. Where in the network would you have to
#    change something for a better PSNR at weak noise? Would that be a better source, too?
# 2. Why is the target normalised by the noisy film's statistics? What would a network do that is trained with the clean film's own?
# 3. A small opacity is 5 pixels wide here. Does the loss care whether the network keeps it? What does that make you expect of a source
#    for the task "is there an opacity"?
# 4. A network is trained on pairs of two *noisy* versions of the same film, target and input with noise of their own. What does it
#    learn, and why is that useful where no clean film exists?

# %% [markdown] tags=["solution"]
# **Answers.**
#
# 1. At the bottleneck: everything has to pass through 576 numbers. A way around it (a connection from the input or from early layers to
#    late ones) lets the fine structure pass, and the PSNR grows. But what passes by the encoder need not be in the encoder, and that
#    is the half that is kept.
# 2. At inference only the noisy film is known, and output and input must be on one scale. With its own statistics the target would be a
#    film of another contrast: noise adds to the deviation, so the network would have to raise the contrast by a factor that it cannot
#    see directly, and the grey values brought back by the noisy statistics would be wrong by it.
# 3. Hardly: some 20 of 2304 pixels, and a squared error averages over all. The encoder may drop it without harm, and it would
#    lack just what that task needs. Lesson 8 measures it.
# 4. The clean film again. The squared error is least at the mean of all targets that belong to an input, and noise with mean 0
#    cancels in the mean. (Clipping at 0 and 255 spoils that a little.)
