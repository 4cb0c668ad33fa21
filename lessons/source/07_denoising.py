# %% [markdown]
# # 7 What does denoising teach?
#
# Labels are expensive, because a physician must look at every film. Films are cheap. So a network can first be given a task that
# needs no labels: from a film with noise on it, produce the clean one. Nobody needs that network for its own sake. What is kept is its
# first half, the *encoder*, in the hope that a network that can restore a chest has learned what a chest looks like. In the paper, this
# is the *source*, which all later tasks share.
#
# You write four functions: `add_noise`, `training_pair`, `source_step` and `restored`.

# %%
import cv2
import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_07 as check
from lessons.own import keep
from lessons.pictures import COLOURS, image_row, show, use_style
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
# We have 400 synthetic films of 48 x 48 pixels: 340 to learn from and 60 to test on. Grey values run from 0 (black) to 255 (white).

# %%
films = make_synthetic(400, 48, np.random.default_rng(1), "A").images
learning, testing = films[:340], films[340:]

# %% [markdown]
# **Gaussian** noise is what electronics add: to every pixel its own random number, normally distributed with mean 0 and standard
# deviation $\sigma$, in grey values. **Poisson** noise comes with the rays themselves. A pixel counts photons, and where
# $\lambda$ of them are expected, the count is drawn from the Poisson distribution, with mean $\lambda$ and standard deviation $\sqrt{\lambda}$. Say that
# `level` photons are expected in a white pixel. Then $\lambda = g \cdot \text{level} / 255$ are expected at a grey value $g$, and the count must be converted back to grey
# values. (A real film is the other way round: where many rays arrive it is black. Our noise treats it as a photograph, in which
# bright means many photons.)
#
# **Predict.** Where in a film is Poisson noise strongest: in dark, grey or bright parts? And which film is noisier, one with 10 or one with 100
# photons in a white pixel?
#
# *your guess:*
#
# **Write** `add_noise`. An 8-bit image holds nothing below 0 or above 255, so the result is clipped to that range. `rng.standard_normal(shape)` and
# `rng.poisson(expected)` draw the numbers. For any other kind raise `ValueError`; never guess what was meant.
#
# <details><summary>A hint for Poisson noise</summary>
#
# It takes three steps: from grey values to expected photons ($\lambda$ above), from expected photons to counted ones (`rng.poisson`), and from counted photons back to grey values, the inverse of the first step. Nothing is added to the image: the count replaces it.
#
# </details>


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
names = [f"{kind} {level}" for kind, level in NOISES]
noisy_films = [add_noise(testing[0], kind, level, rng) for kind, level in NOISES]
image_row([testing[0], *noisy_films], ["clean", *names])
show(
    "One film, clean and with five noises; with Gaussian noise of 50 and with 10 photons only large shapes can be told apart."
)

flat = np.repeat(np.arange(256), 2000).reshape(256, 2000)  # 2000 pixels of every grey value
figure, ax = plt.subplots(figsize=(6, 2.8))
for k, line in ((1, "-"), (3, "--"), (4, ":")):
    kind, level = NOISES[k]
    spread = add_noise(flat, kind, level, rng).std(axis=1)
    ax.plot(spread, line, label=f"{kind} {level}")
ax.set(xlabel="grey value of the clean pixel", ylabel="standard deviation")
ax.legend()
show(
    "Standard deviation of the noise against the grey value. Gaussian noise is level at 30 and drops at both ends; both "
    "Poisson curves rise like a square root, with fewer photons higher, and drop at white."
)

# %% [markdown]
# **Look.** Gaussian noise is the same everywhere. Poisson noise grows with the square root of the grey value: the standard deviation of the count
# is $\sqrt{\lambda}$, which in grey values is $255 / \text{level} \cdot \sqrt{g \cdot \text{level} / 255} = \sqrt{255\, g / \text{level}}$. Fewer photons mean more noise, which
# is why a low-dose film is grainy. At both ends clipping removes part of the noise: black cannot become any darker.
#
# In the library: [Noise](ums/data/noise.py:Noise). The paper does not say which levels it used; those in [NOISES](ums/data/noise.py:NOISES) are ours.
#
# ## What goes in, what should come out
#
# Input and target are brought into the range of a network, $x = (\text{image} - \mu) / 4s$, with the mean $\mu$ and the
# standard deviation $s$ of an image's exposed pixels ([lesson 1](01_xray.ipynb)). [normalise](ums/data/normalisation.py:normalise) does that; with
# `like=` it takes $\mu$ and $s$ from other images of the same shape.
#
# **Predict.** Whose statistics must normalise the clean target: its own, or those of the noisy film? Think of the day the
# network is used. Its output must be converted back to grey values; what is known then?
#
# *your guess:*
#
# **Write** `training_pair`. Each film of the batch gets *one* of the noises, drawn for this film (`rng.integers`), so that the network never knows which
# one to expect.
#
# <details><summary>A hint</summary>
#
# Draw one number for each film, the place of its noise in the list. Make the noisy films with your `add_noise`, one by one, and join them by `np.stack`. Then there are two calls of `normalise`, and they use the same statistics.
#
# </details>


# %%
def training_pair(clean, noises, rng):
    """Clean films (N, H, W) uint8 -> the input x and the target t, both (N, H, W, 1) float32.

    `noises` is a list of (kind, level), as `add_noise` takes them.
    """
    # BEGIN SOLUTION
    drawn = rng.integers(len(noises), size=len(clean))
    noisy = []
    for film, k in zip(clean, drawn, strict=True):
        kind, level = noises[k]
        noisy.append(add_noise(film, kind, level, rng))
    noisy = np.stack(noisy)
    return normalise(noisy), normalise(clean, like=noisy)
    # END SOLUTION


# %%
check.training_pair(training_pair)

# %% [markdown]
# The library's [DenoisingExamples](ums/source.py:DenoisingExamples) does the same, and for validation it gives a film the same noise every time.
#
# ## The source
#
# The network is an *autoencoder*: an encoder that shrinks the film, and a decoder that makes it grow back. Here it is at a quarter of the paper's
# width.

# %%
fresh = denoising_autoencoder(np.random.default_rng(0), width=0.25)
print(fresh.summary((48, 48, 1)))

# %% [markdown]
# **Predict.** Between the two halves, a film of 2304 grey values is reduced to $3 \times 3 \times 64 = 576$ numbers. What will be lost first: the outline of the
# lungs, the ribs, or the noise?
#
# *your guess:*
#
# One step of learning is this: forget the gradients of the step before, go forward, compare the output with the target by the mean squared error
# [mse](ums/ops/losses.py:mse), which returns the loss and its gradient, go backward, and let the optimizer move the weights. The methods of a layer are
# [zero_gradients](ums/layer.py:Layer.zero_gradients), [forward](ums/layer.py:Layer.forward) and [backward](ums/layer.py:Layer.backward);
# `backward` takes the gradient of the loss and *adds* to the gradients that are there. An optimizer has the method [step](ums/optimizers.py:Optimizer.step).
#
# **Write** `source_step`. Remember that a batch norm must know when it is being trained.


# %%
def source_step(network, optimizer, x, t):
    """Learn once from the batch x (N, H, W, 1) with target t; returns the loss before the step, a float."""
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
# **Keep.** Once the checks pass, this cell writes your noise and your step to the folder `own/`. In the folder above this one, the command
# `python -m lessons study` then runs a small X-ray study with them in place of the library's, and its page says so.

# %%
keep(add_noise, source_step)

# %% [markdown]
# The library's [train_step](ums/training.py:train_step) does the same. And now for using the network. **Write** `restored`: noisy films go in, restored ones come out, both in grey values. The network expects normalised input, and its
# output is converted back by [denormalise](ums/data/normalisation.py:denormalise): `denormalise(y, images)` uses the statistics of `images`.


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
# the code, and you find out within seconds.
#
# Quality is measured by the peak signal-to-noise ratio, $\text{PSNR} = 10 \log_{10} (255^2 / \text{mean squared error})$, in decibels: 10 dB more
# means a tenth of the squared error. What a restoration is worth is its *gain*, the PSNR of the restored film minus that of the noisy one.
#
# **Predict.** After 300 steps on the same eight noisy films, is there a gain on these films? On the same films with *new* noise? On films it
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
show(
    "The mean squared error against the step, on a logarithmic axis: it falls from about 2 to below 0.01."
)
figure, axes = plt.subplots(3, 6, figsize=(10, 5.6))
image_row(noisy[:6], ["noisy"] * 6, axes[0])
image_row(restored(student, noisy[:6]), ["restored"] * 6, axes[1])
image_row(eight[:6], ["clean"] * 6, axes[2])
show(
    "Six films in three rows, noisy, restored and clean; the restored ones are coarse, but recognisable."
)

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
# **Look.** The error falls from 2 to below 0.01, and the films are recognisable, if coarse: the code learns. But its gain of more than 4 dB is worth
# nothing. With new noise on the very same films the network does harm, and with other films even more. It has learned which film belongs to which
# pattern of noise, because the noise was the easiest way to tell the films apart. Judged by the training loss alone, this would have been a success.
#
# ## Three hundred and forty films
#
# Now the network learns from all 340 films, with new noise each time, so that there is no noise to learn by heart. It goes through
# them 30 times, in batches of 17.

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
# We compare it with the oldest remedy of all, blurring: each pixel becomes a weighted mean of its neighbours
# ([GaussianBlur](https://docs.opencv.org/4.x/d4/d13/tutorial_py_filtering.html)), and nothing is learned. For each noise we even give the blur the width that turns out best.
#
# **Predict.** For which noise will the network gain most, and for which least? Will it beat the blur?
#
# *your guess:*


# %%
def blurred(noisy, clean):
    """The films blurred by that one of seven widths that is best on average."""
    widths = (0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.3)
    tries, scores = [], []
    for width in widths:
        films = np.stack([cv2.GaussianBlur(film, (0, 0), width) for film in noisy])
        tries.append(films)
        scores.append(psnr(clean, films).mean())
    return tries[np.argmax(scores)]


rng = np.random.default_rng(5)
rows = {kind: [] for kind in ("noisy", "restored", "blurred")}
for kind, level in NOISES:
    noisy = add_noise(testing, kind, level, rng)
    rows["noisy"].append(noisy)
    rows["restored"].append(restored(source, noisy))
    rows["blurred"].append(blurred(noisy, testing))

figure, ax = plt.subplots(figsize=(6.5, 2.8))
hatches = ("", "//", "..")
for k, (name, versions) in enumerate(rows.items()):
    scores = [psnr(testing, films).mean() for films in versions]
    place = np.arange(5) + 0.27 * (k - 1)
    ax.bar(place, scores, 0.25, color=COLOURS[k], hatch=hatches[k], edgecolor="white", label=name)
ax.set(xticks=range(5), xticklabels=names, ylim=(0, 36))
ax.set(ylabel="PSNR, dB", title="60 films never seen")
ax.legend(ncols=3)
show(
    "PSNR for five noises. Noisy films have between 14 and 28 dB, restored ones about 22 dB whatever the noise, and the "
    "best blur lies above the restored ones everywhere, by little at heavy noise."
)
for k, (kind, level) in enumerate(NOISES):
    before = psnr(testing, rows["noisy"][k]).mean()
    after = psnr(testing, rows["restored"][k]).mean()
    print(f"{kind} {level}: gain {after - before:+.1f} dB")

# %%
figure, axes = plt.subplots(4, 5, figsize=(8.5, 7))
for row, (name, versions) in zip(axes, rows.items(), strict=False):
    image_row([films[2] for films in versions], [name] * 5, row)
image_row([testing[2]] * 5, ["clean"] * 5, axes[3])
show(
    "One film with five noises in four rows: noisy, restored, blurred, clean. Restored, the body and the heart keep "
    "their outlines in all five, the lungs roughly; ribs and round opacities are missing."
)

# %% [markdown]
# **Look.** The restored films all have about 22 dB, whatever the noise was. So there is a gain of 7 dB at heavy noise, and a loss of 6 dB at the
# weakest. The network does not remove noise: it draws the film anew, from what passed through its 576 numbers. The blur, which
# keeps whatever is there, has the better PSNR everywhere, though by very little at heavy noise; and we told it which
# width was best. Our network is small and has not learned for long; but the bottleneck would be there all the same.
#
# Now compare the pictures. In the restored film, body and heart have smooth outlines in the right place, and the lungs roughly, even where you can hardly see them in
# the noisy film. The ribs are gone. And so are the round opacities in both lungs, plain to see at weak noise and in the clean film. The network
# has learned what chests have in common, and draws some of it amiss. What is peculiar to this patient was too small to matter to the squared error.
#
# ## What it has learned
#
# Below are the first eight of the 16 filters of the first layer, with 3 x 3 weights each, before and after training. Green weights are positive, purple ones
# negative.

# %%
for name, network in (("before", fresh), ("after", source)):
    w = network.layers[0].layers[0].w.value[:, :, 0, :]  # (3, 3, 16)
    titles = [f"{name} {k}" for k in range(8)]
    image_row(np.moveaxis(w, 2, 0)[:8], titles, low=-1, high=1, colours="PRGn")
    show(f"Eight filters of 3 x 3 weights {name} training, green and purple in no visible order.")
    mean = w.sum(axis=(0, 1)) ** 2 / (9 * (w**2).sum(axis=(0, 1)))  # 1: an even mean of 9 pixels
    print(
        f"{name}: how close to a plain mean the filters are, 0 to 1: {mean.mean():.2f} on average"
    )

# %% [markdown]
# **Look.** There is little to see: they are still the random filters of the start, slightly changed. A number tells us more. A filter that takes
# the mean of its nine pixels scores 1, and a random filter 1/9 on average. The filters started at 0.10 and ended at 0.19:
# a small step towards averaging, which is what noise calls for. The rest of the learning is in the later layers.
#
# What is kept of the source is the encoder, and the question is how its output responds to noise. Take the distance between the output for a film
# and the output for the same film with noise. By itself this number means nothing, so divide it by the mean distance between two *different*
# films. At 0, noise makes no difference; at 1, it moves a film as far as two patients are apart.
#
# **Predict.** How does this ratio grow with $\sigma$ for the raw pixels, for an encoder with random weights, and for yours?
#
# *your guess:*


# %%
def moved_by_noise(output, sigma):
    """How far noise moves the output, in mean distances between two films; output: (N, H, W, 1) -> (N, ...)."""
    noisy = add_noise(testing, "gaussian", sigma, np.random.default_rng(6))
    a = output(normalise(testing)).reshape(60, -1)
    b = output(normalise(noisy)).reshape(60, -1)
    apart = np.linalg.norm(a[:, None] - a[None], axis=2)[np.triu_indices(60, 1)]
    return np.linalg.norm(a - b, axis=1).mean() / apart.mean()


def pixels(x):
    return x


def random_encoder(x):
    return fresh.layers[0].forward(x, keep=False)


def your_encoder(x):
    return source.layers[0].forward(x, keep=False)


sigmas = (5, 10, 20, 30, 40, 50, 60, 80)
outputs = {"pixels": pixels, "random encoder": random_encoder, "your encoder": your_encoder}
figure, ax = plt.subplots(figsize=(6, 2.8))
for (name, output), colour, marker in zip(outputs.items(), COLOURS, "osv", strict=False):
    ratios = [moved_by_noise(output, sigma) for sigma in sigmas]
    ax.plot(sigmas, ratios, marker + "-", color=colour, label=name)
ax.axhline(1, color="black", linestyle="--", linewidth=0.8)
ax.set(xlabel="Gaussian noise, $\\sigma$ in grey values", ylabel="moved by noise", ylim=(0, None))
ax.legend()
show(
    "How far noise moves the output, against the noise. Pixels and random encoder rise together to about 1 and beyond; "
    "your encoder's line rises half as steeply."
)

# %% [markdown]
# **Look.** Noise moves the output of the random encoder as far as it moves the pixels: random filters remove nothing. Your encoder's output moves half
# as far. At $\sigma = 50$ noise moves the pixels of a film nearly as far as two patients are apart, and the output of your encoder less than half as far. So this is what denoising teaches: to let through what distinguishes films as a whole, and to ignore what varies from pixel to pixel.
#
# Whether that helps with a later task is another question. It should help with a task about the shape of large things. For one about small
# things, the pictures above are reason to doubt it. Lesson 8 finds out.
#
# ## Think
#
# **Question 1.** The restored films look much the same whatever the noise, even if there is none. What in the network would you have to
# change for a better PSNR at weak noise? Would that also make a better source?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 1 (2 points).** The bottleneck: everything has to pass through 576 numbers. A way around it (a connection from the input or from early layers to
# late ones), or more numbers, lets fine structure pass, and the PSNR rises (1). But what bypasses the encoder's output need not be in it, and the encoder
# is the half that is kept; and where nearly everything passes, little has to be learned (1, for either).

# %% [markdown]
# **Question 2.** Why is the target normalised by the statistics of the noisy film? What would a network learn if it were trained with those of the clean film itself?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 2 (2 points).** At inference only the noisy film is known, and output and input must be on one scale (1). Normalised by its own statistics the target would be a
# film of different contrast: noise increases the deviation, so the network would have to raise the contrast by a factor that it cannot
# see directly, and grey values converted back with the noisy statistics would be wrong by that factor (1).

# %% [markdown]
# **Question 3.** A small opacity is 5 pixels wide here. Does the loss care whether the network keeps it? What does that lead you to expect of this source
# for the task "is there an opacity"?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 3 (2 points).** Hardly: it is some 20 of 2304 pixels, and the squared error is a mean over all of them (1). The encoder can drop it at almost no cost, and would then
# lack exactly what that task needs. Lesson 8 measures it (1).

# %% [markdown]
# **Question 4.** A network is trained on pairs of two *noisy* versions of the same film: input and target each have noise of their own. What does it
# learn, and why is that useful where no clean film exists? (Which number $c$ makes the mean of $(c - t)^2$ over many targets $t$ smallest?)
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 4 (2 points).** It still learns to produce the clean film. The squared error is smallest at the mean of all targets that belong to an input, and noise with mean 0
# averages out (1). So noisy films alone are enough, and real ones have no clean version (1). (Clipping at 0 and 255 spoils that a little.)
