# %% [markdown]
# # 1 What does an X-ray look like to a network?
#
# A network sees no lungs. It sees an array of numbers, and it multiplies and adds them. Two films of the same
# chest can be very different arrays: another exposure, another border, black and white exchanged. In this
# lesson you look at the numbers, bring them into one range, and share films out so that a score means something.
#
# You write three functions: `as_shown`, `normalise` and `split_rows`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_01 as check
from lessons.pictures import COLOURS, image_row, use_style
from ums.data.normalisation import BACKGROUND
from ums.data.resize import resize_image

use_style()

# %% [markdown]
# ## Films from three hospitals
#
# The films are synthetic, drawn on the spot by [make_synthetic](data_prep/synthetic.py:make_synthetic), and stand
# for nobody. Hospitals A and B see adults with machines of their own; C is a children's hospital.
# Arrays are `N, H, W`: number of images, height, width. A grey value is a whole number from 0 (black) to 255
# (white), type `uint8`.

# %%
films = {
    hospital: make_synthetic(24, 96, np.random.default_rng(1), hospital).images
    for hospital in "ABC"
}
films["A"].shape, films["A"].dtype

# %%
for hospital, images in films.items():
    image_row(images[:6], [f"hospital {hospital}"])

# %% [markdown]
# **Predict.** Below are the histograms of all 24 films of each hospital: how often each grey value occurs.
# Before you run the cell: where on the axis will the black borders of hospital B be? Is B lighter or darker than A
# on the whole? Write your guess here:
#
# *your guess:*


# %%
def histograms(images_by_name, ax, bins, label):
    """How often each value occurs, as a share of the pixels, one line per name."""
    for name, values in images_by_name.items():
        share, edges = np.histogram(values, bins)
        ax.stairs(share / np.size(values), edges, label=name, linewidth=1.4)
    ax.set(xlabel=label, ylabel="share of the pixels")
    ax.legend()


figure, ax = plt.subplots(figsize=(6.5, 2.6))
histograms({f"hospital {h}": x for h, x in films.items()}, ax, np.arange(0, 257, 4), "grey value")

# %% [markdown]
# **Look.** The peak at 0 is not anatomy: it is the border around the film, and hospital B has more of it. The
# film's own values lie elsewhere at each hospital. A network trained on A alone would meet numbers at B that it has
# never seen, although every chest is a chest.

# %% [markdown]
# ## A negative
#
# A DICOM file says in its field `PhotometricInterpretation` what the numbers mean. In `MONOCHROME2` larger is
# brighter. In `MONOCHROME1` larger is *darker*: shown as it stands, it is a negative. Both kinds lie in the same public
# sets.
#
# **Predict.** What will the histogram of the negative look like beside that of the film?
#
# *your guess:*

# %%
film = films["A"][0]
stored = 255 - film  # the same film as a MONOCHROME1 file holds it

figure, axes = plt.subplots(1, 3, figsize=(8, 2.4), width_ratios=(1, 1, 2))
image_row([film, stored], ["MONOCHROME2", "MONOCHROME1"], axes[:2])
both = {"MONOCHROME2": film, "MONOCHROME1": stored}
histograms(both, axes[2], np.arange(0, 257, 8), "stored value")

# %% [markdown]
# **Write** `as_shown`. It gets the stored pixels and the kind, and returns pixels in which 0 is black. The type
# must stay `uint8`: a film in 64-bit integers takes eight times the memory. An unknown kind must not be guessed.


# %%
def as_shown(pixels, kind):
    """Stored pixels (H, W) uint8 -> (H, W) uint8 with 0 black.

    Raises ValueError for a kind other than "MONOCHROME1" and "MONOCHROME2".
    """
    # BEGIN SOLUTION
    if kind == "MONOCHROME1":
        return 255 - pixels
    if kind == "MONOCHROME2":
        return pixels
    raise ValueError(f"neither MONOCHROME1 nor MONOCHROME2: {kind!r}")
    # END SOLUTION


# %%
check.as_shown(as_shown)

# %% [markdown]
# In the library this is one line of [_grey](ums/data/dicom.py:_grey), among others for windows, lookup
# tables and colour.
#
# ## One range for all
#
# A network starts with weights made for inputs of about the same size, whatever the hospital. So each image is
# brought to mean 0 and a fixed spread by **its own** statistics. With the mean $\mu$ and the standard deviation
# $\sigma$ of its pixels,
#
# $$ x = \frac{\text{image} - \mu}{4\,\sigma} . $$
#
# Two details make it right for films. First, $\mu$ and $\sigma$ are those of the *exposed* pixels, the ones above
# `BACKGROUND`: a wide border would otherwise move what is on the film. Second, all pixels off the film get one value,
#
# $$ \min\!\left(-1,\; \frac{0 - \mu}{4\,\sigma}\right) , $$
#
# never brighter than black itself.
#
# **Predict.** With $4\sigma$ below the line, in which range will nearly all film pixels lie? Remember how much of a
# bell curve lies within two, three, four deviations.
#
# *your guess:*
#
# **Write** `normalise`. A batch goes in; each image has its own $\mu$ and $\sigma$. The last axis, of size 1, is the
# channel: networks take `N, H, W, C`.


# %%
def normalise(images):
    """Images (N, H, W) uint8 -> x (N, H, W, 1) float32."""
    images = images.astype(np.float32)
    film = images > BACKGROUND  # (N, H, W), True on exposed pixels
    # BEGIN SOLUTION
    x = np.empty(images.shape, np.float32)
    for n in range(len(images)):
        mu, sigma = images[n][film[n]].mean(), images[n][film[n]].std()
        off_film = min(-1, -mu / (4 * sigma))
        x[n] = np.where(film[n], (images[n] - mu) / (4 * sigma), off_film)
    return x[..., None]
    # END SOLUTION


# %%
check.normalise(normalise)

# %% [markdown]
# **Look.** Every hospital before and after. The broken lines hold 95 % of the film pixels.

# %%
figure, axes = plt.subplots(1, 2, figsize=(9, 2.8))
exposed = {f"hospital {h}": images[images > BACKGROUND] for h, images in films.items()}
histograms(exposed, axes[0], np.arange(0, 257, 4), "grey value, film pixels only")
inputs = {f"hospital {h}": normalise(x)[x > BACKGROUND] for h, x in films.items()}
histograms(inputs, axes[1], np.linspace(-1.2, 1.2, 65), "x, film pixels only")
axes[0].set_title("before")
axes[1].set_title("after")
for ax, values in zip(axes, (exposed, inputs), strict=True):
    for end in np.quantile(np.concatenate(list(values.values())), (0.025, 0.975)):
        ax.axvline(end, color="black", linestyle="--", linewidth=0.8)

# %% [markdown]
# And the films themselves, as the network gets them, all three on one grey scale, from $-0.75$ to 0.75:

# %%
chosen = np.stack([films[hospital][1] for hospital in "ABC"])
names = [f"hospital {hospital}" for hospital in "ABC"]
image_row(chosen, [f"{name}, before" for name in names])
image_row(normalise(chosen)[..., 0], [f"{name}, after" for name in names], low=-0.75, high=0.75)
# %% [markdown]
# The library's [normalise](ums/data/normalisation.py:normalise) does the same without a loop over images, and
# [denormalise](ums/data/normalisation.py:denormalise) goes back to grey values. The paper calls it mean normalisation
# (section 3.1.1).

# %% [markdown]
# ## Who is on which side?
#
# A model is tested on images it has not learned from. But patients come back. Here are 40 patients with three films
# each: taken on other days, so the patient has moved a little, the exposure differs, the grain is new. Each patient
# has a label, 0 or 1, drawn **by lot**, 20 of each. There is nothing in the films to learn it from.

# %%
rng = np.random.default_rng(2)
bodies = make_synthetic(40, 128, rng).images.astype(np.float32)
patients = np.repeat([f"P{p:02d}" for p in range(40)], 3)  # (120,) whose film it is
labels = np.repeat(rng.permutation([0, 1] * 20), 3)  # (120,) the lot


def another_day(body, rng):
    """The same body (H, W), moved by up to a pixel, exposed and grained anew; uint8."""
    moved = np.roll(body, rng.integers(-1, 2, size=2), axis=(0, 1))
    exposed = 255 * (moved / 255) ** rng.uniform(0.8, 1.2)
    return np.clip(exposed + rng.normal(0, 4, body.shape), 0, 255).astype(np.uint8)


visits = np.stack([another_day(body, rng) for body in np.repeat(bodies, 3, axis=0)])
titles = [f"{patient}, label {label}" for patient, label in zip(patients, labels, strict=True)]
image_row(visits[:6], titles)

# %% [markdown]
# Our model is the simplest there is: it gives a film the label of the most similar film it was trained on (the
# smallest sum of squared differences, at 32 x 32 pixels).


# %%
def nearest(train, test, x):
    """For each of the test rows the most similar of the train rows, by the inputs x (N, H, W, 1)."""
    x = x.reshape(len(x), -1)
    distances = ((x[test, None] - x[None, train]) ** 2).sum(axis=2)  # (test, train)
    return train[distances.argmin(axis=1)]


small = np.stack([resize_image(film, 32) for film in visits])


def accuracy(train, test):
    """Share of the test rows whose label the model gets right."""
    return (labels[nearest(train, test, normalise(small))] == labels[test]).mean()


# %% [markdown]
# **Predict.** The label was drawn by lot. What accuracy should an honest test find? What will it find if films, not
# patients, are drawn for the test?
#
# *your guess:*
#
# **Write** `split_rows`: it draws whole patients. Whoever is drawn goes to the test side with all their films. Round
# `share` times the number of patients to a whole number.


# %%
def split_rows(patients, share, rng):
    """Rows to train on and to test on, two arrays of row numbers, each ascending.

    `patients` are (N,) names, one per row; `share` is the part of the *patients* to test on; `rng` is a
    numpy.random.Generator, the only source of chance.
    """
    # BEGIN SOLUTION
    names = np.unique(patients)
    drawn = rng.permutation(names)[: round(share * len(names))]
    testing = np.isin(patients, drawn)
    return np.flatnonzero(~testing), np.flatnonzero(testing)
    # END SOLUTION


# %%
check.split_rows(split_rows)


# %%
def split_films(rng):
    """The careless way: a quarter of the films, whoever is on them."""
    order = rng.permutation(len(visits))
    return order[30:], order[:30]


rngs = [np.random.default_rng(seed) for seed in range(10)]
careless = [accuracy(*split_films(rng)) for rng in rngs]
honest = [accuracy(*split_rows(patients, 0.25, rng)) for rng in rngs]

figure, ax = plt.subplots(figsize=(6, 2))
for y, (scores, colour) in enumerate([(careless, COLOURS[5]), (honest, COLOURS[0])]):
    ax.plot(scores, np.full(10, y) + np.linspace(-0.15, 0.15, 10), "o", color=colour, alpha=0.7)
    ax.plot(np.mean(scores), y, "|", color="black", markersize=30)
ax.axvline(0.5, color="black", linestyle="--", linewidth=0.8)
ax.set(yticks=(0, 1), yticklabels=("split by film", "split by patient"), ylim=(-0.6, 1.6))
ax.set(xlim=(0, 1.03), xlabel="accuracy on labels drawn by lot, ten splits (bar: mean)")
plt.show()
# %% [markdown]
# **Look.** Nothing can be learned, and yet the careless test reports a model that is nearly always right. Look at what
# it "recognised":

# %%
train, test = split_films(np.random.default_rng(0))
found = nearest(train, test, normalise(small))
image_row(visits[test[:6]], [f"test: {p}" for p in patients[test[:6]]])
image_row(visits[found[:6]], [f"nearest: {p}" for p in patients[found[:6]]])

# %% [markdown]
# In five cases of these six it has found another film of the same patient: it recognises the patient, not the illness. The library never splits any other way:
# [split_by_patient](data_prep/splits.py:split_by_patient) when a set is prepared, and
# [stratified_folds](ums/data/folds.py:stratified_folds) when a study draws from it, which also keep the classes in
# proportion.
#
# ## Think
#
# 1. Why does each image get its own $\mu$ and $\sigma$, and not those of all training images? Find a case in which
#    that loses something.
# 2. A MONOCHROME1 film lost its header. Could `normalise` repair it? What in the picture could tell you?
# 3. Among the splits by patient some accuracies lie well away from 0.5. Has the model learned something there? How
#    many *independent* lots are there in 30 test films of 10 patients?
# 4. The children of hospital C look different from the adults of A. A model tells "healthy adult" from "ill child"
#    with accuracy 0.99. What has it learned?

# %% [markdown] tags=["solution"]
# **Answers.**
#
# 1. Exposure differs from film to film, and the statistics of a set cannot take that out. What is lost: whether a
#    film *as a whole* is bright. If an illness changed the brightness of the whole film (fluid in both lungs), part of it
#    would be normalised away.
# 2. No: a negative has a mean and a deviation too, and comes out as a normalised negative. The border helps (white
#    instead of black), or the lungs: the dark regions in the middle.
# 3. No. Ten patients are ten lots, and their films mostly fare alike. The deviation of the mean of ten tosses of a coin is
#    $0.5 / \sqrt{10} \approx 0.16$, so 0.3 or 0.7 are no surprise.
# 4. Possibly the age, the size or the machine. Class and hospital change together, so the test cannot tell. Both
#    classes must come from one hospital, or the hospital must be the same on both sides of the comparison.
