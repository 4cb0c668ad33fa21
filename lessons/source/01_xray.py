# %% [markdown]
# # 1 What does an X-ray look like to a network?
#
# A network does not see lungs. It gets an array of numbers, which it multiplies and adds. Two films of the same
# chest can be very different arrays: the exposure was different, the border is wider, or black and white are exchanged. In this
# lesson you look at the numbers, bring them into one range, and divide films into two sets in such a way that a test score means something.
#
# You write three functions: `as_shown`, `normalise` and `split_rows`.

# %%
import matplotlib.pyplot as plt
import numpy as np

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_01 as check
from lessons.pictures import COLOURS, image_row, show, use_style
from ums.data.normalisation import BACKGROUND
from ums.data.resize import resize_image

use_style()

# %% [markdown]
# ## Films from three hospitals
#
# The films are synthetic: [make_synthetic](data_prep/synthetic.py:make_synthetic) draws them on the spot, and none of them shows a
# real person. Hospitals A and B treat adults, each with its own machines; C is a children's hospital.
# The arrays have the shape `(N, H, W)`: number of images, height, width. A grey value is a whole number from 0 (black) to 255
# (white), of the type `uint8`.

# %%
films = {}
for hospital in "ABC":
    films[hospital] = make_synthetic(24, 96, np.random.default_rng(1), hospital).images
films["A"].shape, films["A"].dtype

# %%
for hospital in "ABC":
    image_row(films[hospital][:6], [f"hospital {hospital}"])
    show(
        f"Six chest films of hospital {hospital}; exposure, border and the size of the chest vary."
    )

# %% [markdown]
# **Predict.** The next cell draws a histogram for each hospital: how often each grey value occurs in its 24 films.
# Before you run it: where on the axis will the black borders of hospital B appear? Is B darker or lighter than A
# as a whole? Write down your guess:
#
# *your guess:*

# %%
LINES = ("-", "--", ":")


def histograms(images_by_name, ax, bins, label):
    """How often each value occurs, as a share of the pixels: one line for each name."""
    for k, (name, values) in enumerate(images_by_name.items()):
        counts, edges = np.histogram(values, bins)
        shares = counts / np.size(values)
        ax.stairs(shares, edges, label=name, linewidth=1.4, linestyle=LINES[k])
    ax.set(xlabel=label, ylabel="share of the pixels")
    ax.legend(loc="upper center")


figure, ax = plt.subplots(figsize=(6.5, 2.6))
by_hospital = {f"hospital {hospital}": films[hospital] for hospital in "ABC"}
histograms(by_hospital, ax, np.arange(0, 257, 4), "grey value")
show(
    "Histograms of the grey values of the three hospitals. All have a peak at 0, that of B is the "
    "highest; the other values are spread differently: A has more middle greys, B and C more dark ones."
)

# %% [markdown]
# **Look.** The peak at 0 is not anatomy. It is the border around the film, and the films of hospital B have more of it. The
# other grey values are spread differently at each hospital: A has more middle greys, B and C more dark ones. To a network
# trained on A alone the films of B would look unfamiliar, although a chest is a chest.

# %% [markdown]
# ## A negative
#
# A DICOM file, the usual format of medical images, has a field, `PhotometricInterpretation`, that says what its numbers mean. In `MONOCHROME2` a larger number is
# brighter. In `MONOCHROME1` a larger number is *darker*: displayed as it is stored, the film is a negative. Public data sets
# contain both kinds, side by side.
#
# **Predict.** How will the histogram of the negative differ from that of the film?
#
# *your guess:*

# %%
film = films["A"][0]
stored = 255 - film  # the same film as a MONOCHROME1 file stores it

figure, axes = plt.subplots(1, 3, figsize=(8, 2.4), width_ratios=(1, 1, 2))
image_row([film, stored], ["MONOCHROME2", "MONOCHROME1"], axes[:2])
both = {"MONOCHROME2": film, "MONOCHROME1": stored}
histograms(both, axes[2], np.arange(0, 257, 8), "stored value")
show(
    "A film and its negative, and their histograms: that of the negative is the mirror image of the "
    "other, with its border at 255 and not at 0."
)

# %% [markdown]
# **Write** `as_shown`. It is given the stored pixels and their kind, and returns pixels in which 0 is black. The type
# must stay `uint8`, because a film of 64-bit integers takes up eight times the memory. The kind must be exactly one of the two: the function must not guess
# what an unknown kind means.


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
# In the library this is a single line of [_grey](ums/data/dicom.py:_grey), which also deals with windows, lookup
# tables and colour.
#
# ## One range for all
#
# A network starts with weights that suit inputs of about the same size, whichever hospital they come from. So each image is
# brought to mean 0 and a fixed spread by **its own** statistics. With the mean $\mu$ and the standard deviation
# $\sigma$ of its pixels,
#
# $$ x = \frac{\text{image} - \mu}{4\,\sigma} . $$
#
# Films need two refinements. First, $\mu$ and $\sigma$ are taken over the *exposed* pixels only, those brighter than
# `BACKGROUND`. Otherwise a wide border would change the values of everything that is on the film. Second, all pixels off the film get one and the same value,
#
# $$ \min\!\left(-1,\; \frac{0 - \mu}{4\,\sigma}\right) , $$
#
# so that the border is never brighter than black itself.
#
# **Predict.** We divide by $4\sigma$. In which range will nearly all pixels on the film lie? Remember how much of a
# bell curve lies within two, three, four standard deviations of the mean.
#
# *your guess:*
#
# **Write** `normalise`. A batch of images goes in, and each image has its own $\mu$ and $\sigma$. The last axis of the result, of length 1, is the
# channel, because networks take arrays of the shape `(N, H, W, C)`.


# %%
def normalise(images):
    """Images (N, H, W) uint8 -> x (N, H, W, 1) float32."""
    images = images.astype(np.float32)
    film = images > BACKGROUND  # (N, H, W), True on exposed pixels
    # BEGIN SOLUTION
    x = np.zeros(images.shape, np.float32)
    for n in range(len(images)):
        mu, sigma = images[n][film[n]].mean(), images[n][film[n]].std()
        off_film = min(-1, -mu / (4 * sigma))
        x[n] = np.where(film[n], (images[n] - mu) / (4 * sigma), off_film)
    return x[..., None]
    # END SOLUTION


# %%
check.normalise(normalise)

# %% [markdown]
# **Look.** Here are the films of all three hospitals before and after. Between the two thin broken lines lie 95 % of the exposed pixels.

# %%
before, after = {}, {}
for hospital in "ABC":
    images = films[hospital]
    exposed = images > BACKGROUND
    before[f"hospital {hospital}"] = images[exposed]
    after[f"hospital {hospital}"] = normalise(images)[exposed]

figure, axes = plt.subplots(1, 2, figsize=(9, 2.8))
histograms(before, axes[0], np.arange(0, 257, 4), "grey value of exposed pixels")
histograms(after, axes[1], np.linspace(-1.2, 1.2, 65), "x of exposed pixels")
axes[0].set_title("before")
axes[1].set_title("after")
for ax, values in zip(axes, (before, after), strict=True):
    together = np.concatenate(list(values.values()))
    for end in np.quantile(together, (0.025, 0.975)):
        ax.axvline(end, color="black", linestyle="--", linewidth=0.8)
show(
    "Histograms of the exposed pixels. Before normalisation those of hospital A are brighter as a whole; "
    "after it all three lines are centred on 0 and lie mostly between -0.5 and 0.5."
)

# %% [markdown]
# And these are the films as the network gets them, all three on one grey scale, from $-0.75$ (black) to 0.75 (white):

# %%
chosen = np.stack([films[hospital][1] for hospital in "ABC"])
image_row(chosen, ["A, before", "B, before", "C, before"])
show("One film of each hospital before normalisation; they differ in brightness and contrast.")
image_row(normalise(chosen)[..., 0], ["A, after", "B, after", "C, after"], low=-0.75, high=0.75)
show("The same three films after normalisation; brightness and contrast are now alike.")

# %% [markdown]
# The library's [normalise](ums/data/normalisation.py:normalise) does the same without a loop over the images, and
# [denormalise](ums/data/normalisation.py:denormalise) leads back to grey values. The paper calls this mean normalisation
# (section 3.1.1).

# %% [markdown]
# ## Who is on which side?
#
# A model is tested on images that it has not learned from. But patients come back. Here are 40 patients with three films
# each, taken on different days: the patient has moved a little, the exposure is different, and the noise is new. Each patient
# has a label: twenty have a 0, twenty a 1. The labels were drawn **at random**, so there is nothing in the films from which they could be learned.

# %%
rng = np.random.default_rng(2)
bodies = make_synthetic(40, 128, rng).images.astype(np.float32)
patients = np.repeat([f"P{p:02d}" for p in range(40)], 3)  # (120,) whose film it is
labels = np.repeat(rng.permutation([0, 1] * 20), 3)  # (120,) the random labels


def another_day(body, rng):
    """The same body (H, W), moved by up to a pixel, with another exposure and new noise; uint8."""
    moved = np.roll(body, rng.integers(-1, 2, size=2), axis=(0, 1))
    exposed = 255 * (moved / 255) ** rng.uniform(0.8, 1.2)
    return np.clip(exposed + rng.normal(0, 4, body.shape), 0, 255).astype(np.uint8)


visits = np.stack([another_day(body, rng) for body in np.repeat(bodies, 3, axis=0)])
titles = [f"{patients[i]}, label {labels[i]}" for i in range(6)]
image_row(visits[:6], titles)
show("Three films each of two patients. The films of one patient look almost alike.")

# %% [markdown]
# Our model is the simplest possible. It gives a film the label of the training film that is most similar to it: the one with the
# smallest sum of squared differences, at 32 x 32 pixels.


# %%
def nearest(train, test, x):
    """For each of the test rows the most similar of the train rows, by the inputs x (N, H, W, 1)."""
    x = x.reshape(len(x), -1)
    distances = ((x[test, None] - x[None, train]) ** 2).sum(axis=2)  # (test, train)
    return train[distances.argmin(axis=1)]


small = np.stack([resize_image(film, 32) for film in visits])


def accuracy(train, test):
    """The share of the test rows whose label the model gets right."""
    found = labels[nearest(train, test, normalise(small))]
    return (found == labels[test]).mean()


# %% [markdown]
# **Predict.** The labels are random. What accuracy should an honest test find? And what accuracy will it find if films are drawn
# for the test set, and not patients?
#
# *your guess:*
#
# **Write** `split_rows`, which draws whole patients: if a patient is drawn, all films of that patient go to the test set. The number of patients to draw is `share` times the number of patients,
# rounded to the nearest whole number.


# %%
def split_rows(patients, share, rng):
    """Rows to train on and rows to test on: two arrays of row numbers, each in ascending order.

    `patients` are (N,) names, one for each row; `share` is the part of the *patients* to test on; `rng`
    is a numpy.random.Generator, the only source of chance.
    """
    # BEGIN SOLUTION
    names = np.unique(patients)
    drawn = rng.permutation(names)[: round(share * len(names))]
    testing = np.isin(patients, drawn)
    return np.flatnonzero(~testing), np.flatnonzero(testing)
    # END SOLUTION


# %%
check.split_rows(split_rows)

# %% [markdown]
# Now the experiment: ten splits by film, and ten by patient.


# %%
def split_films(rng):
    """The careless way: a quarter of the films, whoever is on them."""
    order = rng.permutation(len(visits))
    return order[30:], order[:30]


careless, honest = [], []
for seed in range(10):
    rng = np.random.default_rng(seed)
    train, test = split_films(rng)
    careless.append(accuracy(train, test))
    train, test = split_rows(patients, 0.25, rng)
    honest.append(accuracy(train, test))

figure, ax = plt.subplots(figsize=(6, 2))
height = np.linspace(-0.15, 0.15, 10)  # so that equal scores do not hide each other
ax.plot(careless, 0 + height, "s", color=COLOURS[5], alpha=0.7)
ax.plot(honest, 1 + height, "o", color=COLOURS[0], alpha=0.7)
ax.plot([np.mean(careless), np.mean(honest)], [0, 1], "|", color="black", markersize=30)
ax.axvline(0.5, color="black", linestyle="--", linewidth=0.8)
ax.set(yticks=(0, 1), yticklabels=("split by film", "split by patient"), ylim=(-0.6, 1.6))
ax.set(xlim=(0, 1.03), xlabel="accuracy with random labels, ten splits (bar: mean)")
show(
    "Accuracies of ten splits each. Split by film, they lie between about 0.9 and 1; split by patient, "
    "they are scattered widely around 0.5."
)

# %% [markdown]
# **Look.** There is nothing to learn, and yet the careless test reports a model that is nearly always right. See what
# it "recognised":

# %%
train, test = split_films(np.random.default_rng(0))
found = nearest(train, test, normalise(small))
image_row(visits[test[:6]], [f"test: {name}" for name in patients[test[:6]]])
show("Six films of the careless test set, each with the name of its patient.")
image_row(visits[found[:6]], [f"nearest: {name}" for name in patients[found[:6]]])
show("The most similar training film of each: in most cases another film of the same patient.")

# %% [markdown]
# In five of these six cases it found another film of the same patient. It recognises the patient, not the disease. The library always splits by patient:
# [split_by_patient](data_prep/splits.py:split_by_patient) when a data set is prepared, and
# [stratified_folds](ums/data/folds.py:stratified_folds) when a study draws its folds. The second also keeps the classes in
# proportion.
#
# ## Think
#
# **Question 1.** Why does each image get its own $\mu$ and $\sigma$, and not those of all training images? Find a case in which
# something is lost by that.
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 1 (3 points).** The exposure differs from film to film, and statistics of the whole set cannot take that out (1). What is lost is
# whether a film *as a whole* is bright (1). If a disease made the whole film brighter, as fluid in both lungs does, part of that sign
# would be normalised away (1, for this or another sound case).

# %% [markdown]
# **Question 2.** A MONOCHROME1 film has lost its header. Could `normalise` repair it? What in the picture could tell you?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 2 (2 points).** No. A negative has a mean and a standard deviation like any other film, and comes out as a normalised negative (1). The border can
# tell, because it is white and not black, or the lungs, which should be the dark regions in the middle (1, for either).

# %% [markdown]
# **Question 3.** Some of the accuracies of the splits by patient lie well away from 0.5. Has the model learned something there? How
# many *independent* random draws are there in 30 test films of 10 patients?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 3 (3 points).** No (1). There are ten, one for each patient, and the films of one patient mostly share their fate (1). The mean of ten tosses of a
# coin has the standard deviation $0.5 / \sqrt{10} \approx 0.16$, so 0.3 or 0.7 are no surprise (1).

# %% [markdown]
# **Question 4.** The children of hospital C look different from the adults of A. A model tells "healthy adult" from "ill child"
# with an accuracy of 0.99. What has it learned?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 4 (2 points).** Possibly the age, the size, or the machine. The class and the hospital always change together, so this test cannot tell (1). Both
# classes should come from the same hospital, or every hospital should contribute both (1).
