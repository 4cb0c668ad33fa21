# %% [markdown]
# # 11 Is it really better?
#
# One network scores 0.84, another 0.80. The first is better, one would say, and a table prints it in bold. But the
# test films could have been others, and the training could have begun with other weights; then both scores would be different too. In this
# lesson you learn how much a difference between two scores can tell you.
#
# You write three functions: `mcnemar`, `bootstrap_interval` and `holm`.

# %%
import math

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import t

from data_prep.synthetic import make_synthetic
from lessons.checks import lesson_11 as check
from lessons.pictures import COLOURS, image_row, show, use_style
from ums import Adam, Dense, ReLU, Sequential, normalise, train_step

use_style()

# %% [markdown]
# ## Three networks, and one of them twice
#
# There are 120 synthetic children, half of them with pneumonia, and three films of each child, taken on different days: $N = 360$
# films. The question for the network is: does this child have pneumonia?

# %%
rng = np.random.default_rng(1)
made = make_synthetic(120, 128, rng, "C", abnormal_fraction=0.5)
patients = np.repeat(np.arange(120), 3)  # (N,) which child the film shows
labels = (made.labels[patients] > 0).astype(int)  # (N,) 0 normal, 1 pneumonia


def another_day(body, rng):
    """The same body (H, W), moved by up to four pixels, exposed and grained anew; uint8."""
    moved = np.roll(body, rng.integers(-4, 5, size=2), axis=(0, 1))
    exposed = 255 * (moved / 255) ** rng.uniform(0.8, 1.25)
    return np.clip(exposed + rng.normal(0, 4, body.shape), 0, 255).astype(np.uint8)


films = np.stack([another_day(made.images[p].astype(np.float32), rng) for p in patients])
ill = 3 * int(made.labels.argmax())  # the first film of a child with a pneumonia
shown = [0, 1, 2, ill, ill + 1, ill + 2]
image_row(films[shown], [f"P{patients[n]}, label {labels[n]}" for n in shown])
show(
    "Three films of one healthy child and three of one child with pneumonia. The films of a child differ a little in position, "
    "exposure and grain, and are otherwise alike."
)

# %% [markdown]
# The networks are as small as possible, two dense layers, and they differ in what they see: films of 4 x 4, of 8 x 8 or of 16 x 16
# pixels. A fourth network, "16 again", is the 16 x 16 network trained once more with another seed, that is, with other initial weights
# and another order of the films.
#
# Each is tested by tenfold cross-validation ([stratified_folds](ums/data/folds.py:stratified_folds), by patient). Ten times,
# a network learns from nine tenths of the children and judges the films of the remaining tenth. In the end each film has been judged once, by a network that
# has never seen this child. What we keep is `right`, `(N,)` booleans: was the film judged correctly?

# %%
from ums.data.examples import epoch_batches
from ums.data.folds import stratified_folds
from ums.data.resize import resize_image
from ums.ops import categorical_cross_entropy

folds = stratified_folds(labels, patients.astype(str), 10, np.random.default_rng(0))
small = {
    side: normalise(np.stack([resize_image(film, side) for film in films])).reshape(360, -1)
    for side in (4, 8, 16)
}


def trained(x, labels, rows, rng):
    """A network of two dense layers that has learned from these rows of x (N, C)."""
    network = Sequential(Dense(x.shape[1], 16, rng), ReLU(), Dense(16, 2, rng))
    optimizer = Adam(network.trainable_parameters(), 5e-3)
    for _ in range(20):
        for numbers in epoch_batches(len(rows), 60, rng):
            chosen = rows[numbers]
            batch = x[chosen], labels[chosen]
            train_step(network, categorical_cross_entropy, optimizer, *batch)
    return network


def cross_validated(side, seed):
    """Whether each film is judged correctly by a network that has not seen this child: (N,) bool."""
    right = np.zeros(360, bool)
    for k in range(10):
        rng = np.random.default_rng([seed, k])
        network = trained(small[side], labels, np.flatnonzero(folds != k), rng)
        scores = network.forward(small[side][folds == k], keep=False)
        right[folds == k] = scores.argmax(axis=1) == labels[folds == k]
    return right


right = {
    "4 x 4": cross_validated(4, 0),
    "8 x 8": cross_validated(8, 0),
    "16 x 16": cross_validated(16, 0),
    "16 again": cross_validated(16, 1),
}
for name, values in right.items():
    print(f"{name:8}  accuracy {values.mean():.3f}")

# %% [markdown]
# (A machine that adds in another order gets slightly different networks, and so here and there another count. The numbers in this lesson are ours.)
#
# **Predict.** The accuracies above are means over ten folds. How far apart will the ten accuracies of one and the same network lie? And where
# the 16 x 16 network does well in a fold, will the 8 x 8 network do well too?
#
# *your guess:*


# %%
def by_fold(values):
    """The mean of values (N,) in each fold: (10,)."""
    return np.array([values[folds == k].mean() for k in range(10)])


figure, ax = plt.subplots(figsize=(6, 2.8))
coarse, fine = by_fold(right["8 x 8"]), by_fold(right["16 x 16"])
for k in range(10):
    ax.plot([k, k], [coarse[k], fine[k]], color="black", linewidth=0.8)
ax.plot(coarse, "s", color=COLOURS[1], label=f"8 x 8, deviation {coarse.std(ddof=1):.3f}")
ax.plot(fine, "o", color=COLOURS[0], label=f"16 x 16, deviation {fine.std(ddof=1):.3f}")
ax.set(xlabel="fold", ylabel="accuracy", xticks=range(10))
ax.legend(loc="lower left", ncols=2)
show(
    "Accuracy of two networks in ten folds, joined by a line in each fold. From fold to fold 8 x 8 varies from below 0.6 to nearly 1, "
    "and 16 x 16 from about 0.7 to 0.95. In most folds they differ by less than that, and each is ahead in some folds."
)

# %% [markdown]
# **Look.** A fold has 36 films of 12 children, and the accuracy of one network runs from below 0.6 to nearly 1. Had we tested on one fold alone, we could
# have reported almost anything. Which fold it is matters more than which network it is, and a fold that is hard for one network is mostly hard for both. So compare *in
# pairs*, on the same films: what both have in common cancels in the difference.
#
# **Predict.** Now the differences, fold by fold. The grey points belong to "16 x 16" and "16 again", which are the same
# method. How far from 0 will they lie?
#
# *your guess:*

# %%
pairs = {
    "16 x 16 minus 8 x 8": right["16 x 16"].astype(float) - right["8 x 8"],
    "16 x 16 minus 4 x 4": right["16 x 16"].astype(float) - right["4 x 4"],
    "16 x 16 minus 16 again": right["16 x 16"].astype(float) - right["16 again"],
}
figure, ax = plt.subplots(figsize=(6.5, 2.2))
for y, (name, difference) in enumerate(pairs.items()):
    of_folds = by_fold(difference)
    colour = "grey" if "again" in name else COLOURS[y]
    ax.plot(of_folds, y + np.linspace(-0.2, 0.2, 10), "os^"[y], color=colour, alpha=0.7)
    ax.plot(of_folds.mean(), y, "|", color="black", markersize=26)
    print(f"{name:22}  mean {of_folds.mean():+.3f}, deviation {of_folds.std(ddof=1):.3f}")
ax.axvline(0, color="black", linestyle="--", linewidth=0.8)
ax.set(yticks=range(3), yticklabels=pairs, ylim=(2.6, -0.6))
ax.set_xlabel("difference of the accuracies in a fold (bar: mean)")
show(
    "Differences of accuracy in ten folds for three pairs, with a bar at each mean. Against 8 x 8 the points lie on both sides of 0 "
    "with a small positive mean; against 4 x 4 none is negative; the grey points of 16 again lie within 0.06 of 0."
)

# %% [markdown]
# **Look.** The grey points show what the seed alone does: up to 0.06 to either side, out of nothing. Against 4 x 4 the mean difference is
# large, and no fold contradicts it. Against 8 x 8 it is less than half of the folds' standard deviation, and four folds of ten say the opposite.
#
# ## Count the disagreements
#
# Compare two networks A and B film by film. A film on which both are right, or both are wrong, says nothing about which is better.
# What remains are the *discordant* films: $n_A$ that only A got right, and $n_B$ that only B got right, $n = n_A + n_B$.
#
# Suppose that A and B are equally good. Then each discordant film is the toss of a coin: it could just as well have gone to the
# other network. The number $X$ of those that go to A follows the binomial distribution,
#
# $$ P(X = k) = \binom{n}{k}\, 2^{-n}, \qquad k = 0, \dots, n . $$
#
# How surprising is the count we saw? The **p-value** is the probability, if both are equally good, of a result at least as
# lopsided as ours, in either direction. With $m = \min(n_A, n_B)$,
#
# $$ p = \min\bigl(1,\; 2\, P(X \le m)\bigr) . $$
#
# This is McNemar's test (1947) in its exact form. An example to work out by hand: $n_A = 1$, $n_B = 5$. The coin gives 0 or 1 of 6
# in $1 + 6 = 7$ of $2^6 = 64$ cases, so $p = 14/64 \approx 0.22$. Five to one is nothing special.
#
# **Predict.** How many films in a row must go to B, and none to A, for $p$ to be below 0.05?
#
# *your guess:*
#
# **Write** `mcnemar`. [math.comb](https://docs.python.org/3/library/math.html#math.comb) gives $\binom{n}{k}$. Integers in Python are as long as
# they need to be; divide only once, at the end.
#
# <details><summary>Hint: counting films</summary>
#
# For arrays of booleans `a & b` is "both", and `~a` is "not a". The sum of an array of booleans counts those that are true; `int(...)` makes a
# Python integer of it.
# </details>
#
# <details><summary>Hint: the probability</summary>
#
# $P(X \le m)$ is the sum of $\binom{n}{k}$ over $k = 0, \dots, m$, divided by $2^n$. Note that $k = m$ counts.
# </details>


# %%
def mcnemar(right_a, right_b):
    """Booleans (N,) and (N,) -> n_A, n_B and p, of the films that two networks judged correctly or not."""
    # BEGIN SOLUTION
    only_a = int((right_a & ~right_b).sum())
    only_b = int((right_b & ~right_a).sum())
    n = only_a + only_b
    tail = sum(math.comb(n, k) for k in range(min(only_a, only_b) + 1))
    return only_a, only_b, min(1.0, 2 * tail / 2**n)
    # END SOLUTION


# %%
check.mcnemar(mcnemar)

# %% [markdown]
# Now our networks. "A coin for each film" assumes that the films are tossed
# *independently*. Three films of one child are not: a network that misses a faint opacity once will miss it again on another day.
# So we run the test twice: on the first film of each child, and, carelessly, on all films.

# %%
print(f"{'':24}  first films (120)        all films (360)")
for name in ("4 x 4", "8 x 8", "16 again"):
    text = f"16 x 16 against {name:8}"
    for step in (3, 1):  # every third film, which is the first of each child; every film
        a, b = right["16 x 16"][::step], right[name][::step]
        only_a, only_b, p = mcnemar(a, b)
        text += f"  {only_a:3} to {only_b:2}, p = {p:.5f}"
    print(text)

# %% [markdown]
# **Look.** Take 4 x 4. On all films a result like this would come up once in a hundred thousand times by chance, on the first films once in two hundred. The careless
# test counts each child three times and believes that it has three times the evidence. Ten to five, against 8 x 8, is no
# surprise for a coin. (Six in a row would be one: $p = 2/64$.)
#
# ## One run says little
#
# All this came from one training of each network. The test asks about *these* networks on other patients. Whether
# the *method* is better is another question, for with other initial weights it would be another network. So let us train
# again, five times.
#
# **Predict.** The same films, the same folds, the same two methods, 16 x 16 against 8 x 8, and other seeds: will the five p-values be
# about the same?
#
# *your guess:*

# %%
p_of_seed, gained = [], []
for seed in range(5):
    fine, coarse = cross_validated(16, seed), cross_validated(8, seed)
    p_of_seed.append(mcnemar(fine[::3], coarse[::3])[2])
    gained.append(fine.mean() - coarse.mean())

figure, axes = plt.subplots(1, 2, figsize=(7, 2.3))
axes[0].bar(range(5), gained, color=COLOURS[0])
axes[0].set(xlabel="seed", ylabel="accuracy gained", xticks=range(5))
axes[1].semilogy(p_of_seed, "o", color="black")
axes[1].axhline(0.05, color=COLOURS[1], linestyle="--")
axes[1].set(xlabel="seed", ylabel="p, first films", xticks=range(5), ylim=(0.001, 1.5))
show(
    "Left, the accuracy gained by 16 x 16 over 8 x 8 is positive for all five seeds. Right, the p-values of the same five runs are "
    "spread from below 0.01 to 1, on both sides of the broken line at 0.05."
)
print("gained:", np.round(gained, 3), "\np:     ", np.round(p_of_seed, 3))

# %% [markdown]
# **Look.** The 16 x 16 network is ahead all five times, by 3 to 5 percentage points. Yet the p-values lie anywhere between less than 0.01 and 1: there are few discordant
# first films, and a handful of them decide. A group that trains once may publish either "significant" or "no
# difference". A group that trains five times and shows the best run does not report a result at all. Show all runs, or their mean and spread.
#
# ## What p says, and what it does not
#
# With simulated networks we can *know* the truth. Let both be right on 60 % of the films, A alone on a share of $0.10 + g/2$ and B alone on $0.10 - g/2$,
# so that A's true accuracy is greater by the gap $g$. First $g = 0$: there is nothing to find, two thousand times over.
#
# **Predict.** How will the 2000 p-values be distributed between 0 and 1? What share of them lies below 0.05?
#
# *your guess:*


# %%
def made_up(n, gap, rng):
    """Whether two simulated networks are right about n films, A better by `gap`: two (n,) bool."""
    lot = rng.random(n)
    both, only_a = lot < 0.6, (lot >= 0.6) & (lot < 0.7 + gap / 2)
    only_b = (lot >= 0.7 + gap / 2) & (lot < 0.8)
    return both | only_a, both | only_b


rng = np.random.default_rng(5)
nothing = np.array([mcnemar(*made_up(120, 0, rng))[2] for _ in range(2000)])
sizes = (60, 120, 250, 500, 1000, 2000)
found = {
    gap: [np.mean([mcnemar(*made_up(n, gap, rng))[2] < 0.05 for _ in range(300)]) for n in sizes]
    for gap in (0.05, 0.10)
}

figure, axes = plt.subplots(1, 2, figsize=(8, 2.6))
axes[0].hist(nothing, np.linspace(0, 1, 21), color="grey", rwidth=0.9)
axes[0].axvline(0.05, color=COLOURS[1], linestyle="--")
axes[0].set(xlabel="p", ylabel="of 2000 experiments", title="no difference, 120 films")
for gap, colour, look in ((0.05, COLOURS[0], "o-"), (0.10, COLOURS[1], "s--")):
    axes[1].semilogx(sizes, found[gap], look, color=colour, label=f"true gap {gap:.2f}")
axes[1].set(xlabel="films", ylabel="share with p < 0.05", ylim=(0, 1.03), title="a difference")
axes[1].set_xticks(sizes, sizes)
axes[1].minorticks_off()
axes[1].legend()
show(
    "Left, a histogram of 2000 p-values without a difference: about flat, with gaps and a peak at 1. Right, the share of experiments "
    "with p below 0.05 against the number of films: for a gap of 0.05 it rises slowly to nearly 1 at 1000 films, for 0.10 sooner."
)
print(
    f"below 0.05 without a difference: {(nothing < 0.05).mean():.3f}; p = 1: {(nothing == 1).mean():.3f}"
)

# %% [markdown]
# **Look.** Left: without a difference every p-value is about as frequent as any other, and small ones do occur. Fewer than 5 % lie below 0.05,
# because counts are integers and the coin cannot hit 0.05 exactly; for the same reason there are gaps, and a peak at 1. Right: with a true gap of 5 points and 120 films
# the test finds it one time in six. It takes a thousand films to find it nearly always.
#
# So a *small* p says: if the two were equally good, such counts would be rare. It does **not** say how probable it is that they are
# equally good, nor that the difference is large or matters. A *large* p does **not** say that they are equally good: with few films
# it says next to nothing.
#
# ## How sure is a score?
#
# A p-value does not say how large a difference is, nor how precisely it is known. An interval does. If we could draw
# 120 children again and again, we would see the accuracy vary. We cannot. The *bootstrap* draws from the children we have instead: as
# many as there are, and every time from all of them, so that some come twice or more and some not at all. The accuracy of such a *resample* is
# computed, a thousand times over, and the interval holds the middle 95 % of the thousand values,
# from their 0.025 quantile to their 0.975 quantile.
#
# What is drawn? The units that were drawn when the data set was made: **patients**. A child who is drawn comes with all of their films, and twice if drawn
# twice. The accuracy is the share of correct films among all films of the resample. (Patients may have different numbers of films.)
#
# **Predict.** Three films of a child mostly fare alike. If films were drawn instead of patients, would the interval be too narrow or
# too wide?
#
# *your guess:*
#
# **Write** `bootstrap_interval`.
#
# <details><summary>Hint: with a loop</summary>
#
# First collect, for each patient, the numbers of their films. Then, `resamples` times: draw as many patients as there are with
# `rng.integers`, put the films of the drawn patients together, and take the mean of `right` there. At the end use `np.quantile`.
# </details>
#
# <details><summary>Hint: without a loop</summary>
#
# Count each patient's films and correct films once. `np.unique(patients, return_inverse=True)` numbers the patients, and `np.bincount` counts. The accuracy
# of a resample is the sum of the correct films of the drawn patients, divided by the sum of their films.
# </details>


# %%
def bootstrap_interval(right, patients, rng, resamples=1000):
    """The 95 % interval (low, high) of the accuracy, by resampling patients.

    `right` (N,) says whether each film was judged correctly, `patients` (N,) which patient it
    shows, by a number or a name; `rng` is a numpy.random.Generator, the only source of chance.
    """
    # BEGIN SOLUTION
    names, number = np.unique(patients, return_inverse=True)
    right_films, all_films = np.bincount(number, right), np.bincount(number)
    drawn = rng.integers(len(names), size=(resamples, len(names)))
    scores = right_films[drawn].sum(axis=1) / all_films[drawn].sum(axis=1)
    low, high = np.quantile(scores, [0.025, 0.975])
    return low, high
    # END SOLUTION


# %%
check.bootstrap_interval(bootstrap_interval)

# %% [markdown]
# Does such an interval keep its promise? We simulate patients, so that the truth is known: the accuracy is 0.7. A hundred test sets hold
# 40 patients each, with three films; the films of a patient are easy (judged correctly with probability 0.95) or hard (0.45). A 95 % interval
# should contain the truth about 95 times.


# %%
def coverage(unit_of_film, ax, title):
    """Draw the intervals of a hundred test sets; a broken line misses the truth."""
    rng, held = np.random.default_rng(8), 0
    for i in range(100):
        easy = np.repeat(rng.random(40) < 0.5, 3)
        fared = rng.random(120) < np.where(easy, 0.95, 0.45)
        low, high = bootstrap_interval(fared, unit_of_film, rng, 500)
        holds = low <= 0.7 <= high
        held += holds
        if holds:
            ax.plot([i, i], [low, high], color="grey", linewidth=1.5)
        else:
            ax.plot([i, i], [low, high], ":", color=COLOURS[1], linewidth=1.5)
    ax.axhline(0.7, color="black", linewidth=0.8)
    ax.set(xlabel="test set", title=f"{title}: {held} of 100 contain the truth")


figure, axes = plt.subplots(1, 2, figsize=(9, 2.5), sharey=True)
coverage(np.arange(120), axes[0], "films drawn")
coverage(np.repeat(np.arange(40), 3), axes[1], "patients drawn")
axes[0].set_ylabel("accuracy, interval")
show(
    "A hundred vertical intervals in each of two panels, with a line at the true accuracy 0.7; those that miss it are dotted. Where "
    "films are drawn the intervals are shorter and more of them miss."
)

# %% [markdown]
# **Look.** Intervals that promise 95 % and draw films contain the truth distinctly less often. They are too narrow, by about a fifth, because
# three films of a child are not three children. With patients drawn they keep their promise, as far as a hundred test sets can show (a
# count that should be 95 varies by about 2).
#
# The library's `bootstrap_interval` takes any score as its statistic, and so also the
# *difference* of the scores of two networks on the same resample.
#
# **Predict.** The intervals of the accuracies will be about 0.12 wide. If the two scores had nothing to do with each other, their difference would
# have an interval $\sqrt 2$ times as wide. Will it be wider or narrower than that? On which side of 0 will each of the three differences lie?
#
# *your guess:*

# %%
from ums.metrics import significance

rng = np.random.default_rng(9)
intervals = {
    name: (right[name].mean(), *bootstrap_interval(right[name], patients, rng))
    for name in ("16 x 16", "8 x 8", "4 x 4")
}
differences = {}
for name, difference in pairs.items():
    bounds = significance.bootstrap_interval(np.mean, (difference,), rng, groups=patients)
    differences[name] = (difference.mean(), *bounds)

figure, axes = plt.subplots(1, 2, figsize=(9, 1.9), width_ratios=(1, 1.3))
for ax, shown in zip(axes, (intervals, differences), strict=True):
    for y, (middle, low, high) in enumerate(shown.values()):
        ax.plot([low, high], [y, y], color="black")
        ax.plot(middle, y, "o", color="black")
    ax.set(yticks=range(len(shown)), yticklabels=shown, ylim=(len(shown) - 0.5, -0.5))
axes[0].set_xlabel("accuracy")
axes[1].set_xlabel("difference of the accuracies")
axes[1].axvline(0, color="black", linestyle="--", linewidth=0.8)
show(
    "Left, the accuracies of three networks with intervals that overlap. Right, three differences with intervals: 16 x 16 minus 4 x 4 "
    "lies entirely above 0, minus 8 x 8 mostly above 0 but reaches across it, minus 16 again is short and centred near 0."
)
for name, (middle, low, high) in (intervals | differences).items():
    print(f"{name:22}  {middle:.3f}, from {low:.3f} to {high:.3f}")

# %% [markdown]
# **Look.** The interval of a difference is narrower than two separate intervals would suggest: easy and hard children are easy and hard for
# both networks, and cancel. Therefore intervals that overlap do not settle a comparison; look at the interval of the difference. Here
# 16 x 16 is better than 4 x 4 by anything from 5 to 21 points. Compared with 8 x 8 it may be 9 points better or 1 point worse. That is not "no
# difference" but "not known from 120 children", and it says more than $p = 0.30$.
#
# ## Twenty questions
#
# Four networks make six pairs; a study with two test sets and five scores has sixty. Where there is nothing to find, each test still says
# $p < 0.05$ in up to one case of twenty.
#
# **Predict.** Twenty independent tests, and no difference anywhere. How probable is it that at least one says $p < 0.05$?
#
# *your guess:*
#
# Holm (1979) found the cure. Sort the $m$ p-values, $p_{(1)} \le p_{(2)} \le \dots \le p_{(m)}$. Multiply the smallest by $m$, the next
# by $m - 1$, and so on, and the last by 1. A later value must not be smaller than an earlier one, so each becomes the largest so far;
# and none may exceed 1:
#
# $$ \tilde p_{(k)} = \min\Bigl(1,\; \max_{i \le k}\, (m - i + 1)\, p_{(i)}\Bigr) . $$
#
# If only corrected values below 0.05 are called significant, the probability of even *one* false alarm among all $m$ is at most 0.05. The tests
# need not be independent for that. (Multiplying all values by $m$ also works, but finds less.)
#
# **Write** `holm`. The corrected values are returned in the order in which the p-values came.
#
# <details><summary>Hint: an example</summary>
#
# $0.01, 0.04, 0.03$: sorted $0.01, 0.03, 0.04$, multiplied $0.03, 0.06, 0.04$. The last must not be smaller than the one before, so $0.03, 0.06,
# 0.06$. Back in the old order: $0.03, 0.06, 0.06$.
# </details>
#
# <details><summary>Hint: useful functions</summary>
#
# `order = np.argsort(p)` gives the positions from the smallest to the largest; `result[order] = values` puts sorted values back in their places.
# `np.maximum.accumulate` gives the largest value so far.
# </details>


# %%
def holm(p_values):
    """p-values (m,) -> corrected p-values (m,), in the same order."""
    p = np.asarray(p_values, float)
    # BEGIN SOLUTION
    rising = np.argsort(p)
    steps = np.arange(len(p), 0, -1) * p[rising]
    corrected = np.zeros(len(p))
    corrected[rising] = np.minimum(np.maximum.accumulate(steps), 1)
    return corrected
    # END SOLUTION


# %%
check.holm(holm)

# %% [markdown]
# The library's versions of your three functions are [mcnemar_exact](ums/metrics/significance.py:mcnemar_exact),
# [bootstrap_interval](ums/metrics/significance.py:bootstrap_interval) and [holm](ums/metrics/significance.py:holm).

# %%
rng = np.random.default_rng(10)
counts = np.arange(1, 31)
plain, corrected = [], []  # shares of studies with a false alarm
for m in counts:
    studies = rng.random((1000, m))  # p-values where there is nothing to find, 1000 studies
    plain.append((studies.min(axis=1) < 0.05).mean())
    corrected.append(np.mean([holm(p).min() < 0.05 for p in studies]))

figure, ax = plt.subplots(figsize=(5.5, 2.5))
ax.plot(counts, plain, "o", markersize=3, color=COLOURS[1], label="as they are")
ax.plot(counts, corrected, "s", markersize=3, color=COLOURS[0], label="Holm")
ax.plot(counts, 1 - 0.95**counts, color=COLOURS[1], linewidth=0.8, label="$1 - 0.95^m$")
ax.axhline(0.05, color="black", linestyle="--", linewidth=0.8)
ax.set(xlabel="number of tests $m$", ylabel="studies with a false alarm", ylim=(0, 1))
ax.legend()
show(
    "The share of studies with a false alarm against the number of tests. Uncorrected it follows 1 - 0.95^m and passes 0.6 at twenty "
    "tests; with Holm's correction it stays near 0.05."
)

# %% [markdown]
# And our six pairs? McNemar's test can use only one film of each patient. The sign-flip test
# ([paired_permutation](ums/metrics/significance.py:paired_permutation)) uses all films and still takes patients as its units: it asks
# how often the mean difference would be as far from 0 if each *patient's* difference could just as well have had the other sign.

# %%
names = list(right)
six, exact, flipped = [], [], []
for i in range(4):
    for j in range(i + 1, 4):
        a, b = right[names[i]], right[names[j]]
        six.append(f"{names[i]:>8} against {names[j]:8}")
        exact.append(mcnemar(a[::3], b[::3])[2])
        of_patient = (b.astype(float) - a).reshape(120, 3).mean(axis=1)
        flipped.append(significance.paired_permutation(of_patient, rng, resamples=4000))

print("                           McNemar, first films      sign flips, all films")
rows = zip(six, exact, holm(exact), flipped, holm(flipped), strict=True)
for pair, p, p_holm, q, q_holm in rows:
    print(f"{pair}  {p:.4f}  Holm {p_holm:.4f}     {q:.4f}  Holm {q_holm:.4f}")

# %% [markdown]
# **Look.** Of the six, some are below 0.05 as they stand. After Holm's correction only those of 4 x 4 against the 16 x 16
# networks remain, and with McNemar's test only one of the two: the same method, trained once more, falls on the other side
# of the line. 0.057 and 0.027 are hardly different evidence.
#
# ## Trained anew
#
# All these tests take trained networks as they are, and ask what other *films* would have said. But whoever adopts a *method* will train it anew, on
# films of their own. Folds do not show what happens then, because they share most of their films. *Replicates* do: in each, everything is drawn
# anew, the children to learn from, the initial weights and the order of the films, and the methods are compared on the same draws. The differences
# $d_1, \dots, d_R$ of $R$ replicates are independent, and their mean has the interval that every statistics textbook gives, with $t_{R-1}$, the 0.975 quantile of Student's distribution
# with $R - 1$ degrees of freedom, and the standard deviation $s$ of the differences:
#
# $$ \bar d \pm t_{R-1}\, \frac{s}{\sqrt R} . $$
#
# Here each replicate learns from 60 new children, and is tested on the films of our 120.
#
# **Predict.** Ten replicates of 16 x 16, of 8 x 8, and of 16 x 16 once more. How many times narrower will an interval be after ten than after two?
#
# *your guess:*


# %%
def replicate(r):
    """Name -> on which of our films (360,) a network is right that learned from 60 other children."""
    rng = np.random.default_rng([11, r])
    made = make_synthetic(60, 128, rng, "C", abnormal_fraction=0.5)
    own = np.repeat(np.arange(60), 3)
    theirs = [another_day(made.images[p].astype(np.float32), rng) for p in own]
    right = {}
    for name, side, seed in (("8 x 8", 8, 0), ("16 x 16", 16, 0), ("16 again", 16, 1)):
        x = normalise(np.stack([resize_image(film, side) for film in theirs])).reshape(180, -1)
        rng = np.random.default_rng([r, seed])
        network = trained(x, (made.labels[own] > 0).astype(int), np.arange(180), rng)
        right[name] = network.forward(small[side], keep=False).argmax(axis=1) == labels
    return right


def student_interval(d):
    """The 95 % interval (low, high) of the mean of independent differences d (R,)."""
    half = t.ppf(0.975, len(d) - 1) * d.std(ddof=1) / math.sqrt(len(d))
    return d.mean() - half, d.mean() + half


replicates = [replicate(r) for r in range(10)]

# %%
figure, ax = plt.subplots(figsize=(6.5, 2.8))
for name, marker, colour, shift in (
    ("8 x 8", "o", COLOURS[0], -0.1),
    ("16 again", "s", "grey", 0.1),
):
    d = np.array([result["16 x 16"].mean() - result[name].mean() for result in replicates])
    for R in range(2, 11):
        low, high = student_interval(d[:R])
        ax.plot([R + shift, R + shift], [low, high], color=colour, linewidth=2)
        ax.plot(R + shift, d[:R].mean(), marker, color=colour, label=name if R == 2 else None)
        if R in (2, 10):
            found = f"{d[:R].mean():+.3f}, {low:+.3f} to {high:+.3f}"
            print(f"16 x 16 minus {name:8}  {R:2} replicates: {found}")
ax.axhline(0, color="black", linestyle="--", linewidth=0.8)
ax.set(xlabel="replicates", ylabel="difference", ylim=(-0.3, 0.3))
ax.legend(title="16 x 16 minus")
show(
    "Mean differences with 95 % intervals after 2 to 10 replicates. The intervals shrink as replicates are added: 16 x 16 minus 8 x 8 "
    "ends clearly above 0, 16 x 16 minus 16 again ends around 0."
)

# %% [markdown]
# **Look.** With two replicates $t_1$ is 12.7, and the standard deviation of two numbers is a matter of luck: the interval of "16 again" is 0.4 wide, while that
# of 8 x 8 is narrow because its first two differences happen to agree, and the third takes it back across 0. After ten replicates that of 8 x 8 is 0.06 to 0.12:
# among networks that learn from 60 children, 16 x 16 is the better *method*. For a method against itself it is -0.03 to 0.03. Had we said beforehand
# that a difference of up to 0.03 does not matter, we could now call it *negligible*, which a p-value can never say.
#
# The study of this project is made in this way. In every replicate everything is drawn and trained anew, the source too, and each difference between two of its
# [arms](ums/experiments/arms.py:ARMS) gets one of four [verdicts](ums/experiments/results/verdicts.py:verdict). It is *negligible* if its interval lies inside a
# margin that was fixed beforehand (0.01 IoU, 0.05 MCC). Otherwise it *holds* if the interval lies above 0, is *refuted* if it lies below 0, and is *open* if the interval
# contains 0. Two examples from the [results](ums/experiments/RESULTS.md), with 40 and 20 replicates: "alternating tuning tells abnormal films better than one task alone" holds,
# +0.276 [+0.203, +0.350] MCC; "it does so with as many steps of the encoder, too" is open, +0.034 [−0.009, +0.077].
#
# Our ten replicates are tested on the same 120 children. The study's interval also covers other patients, and is wider
# ([over_trainings_and_patients](ums/experiments/results/intervals.py:over_trainings_and_patients)). And where ten differences answer one question, their
# intervals are widened so that all ten are right together, which is Holm's concern as well.
#
# ## Think
#
# Write your answers where each question says *your answer*.

# %% [markdown]
# **Question 1.** The ten differences of the folds look like ten measurements, and a t-test would ask whether their mean is 0. What do the ten networks of one
# method have in common, so that they are not independent? What does that do to the t-test?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 1 (2 points).** Any two of them share eight ninths of their training films, so they make the same mistakes, and a lucky or unlucky choice of the 120 children
# affects all ten. The standard deviation of the folds says too little about what another data set would do, and a t-test that takes the folds
# for independent finds too much.
#
# *Points: shared training films (1); so the spread is too small and the test too optimistic (1).*

# %% [markdown]
# **Question 2.** One paper writes: "p = 0.21, so the two methods are equally good." Another: "p = 0.04, so the new method is better with probability 96 %."
# What is wrong with each? Use the two pictures of the simulated networks.
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 2 (4 points).** The first: with a true gap of 5 points and 120 films, five experiments of six have a p above 0.05. Not found is not equal. The second: p is
# computed *as if* the two were equally good, so it cannot be the probability that they are. How probable that is also depends on how probable it was before.
#
# *Points: first paper, that not found is not equal (1), and why a real gap can be missed, as in the pictures (1); second paper, that p is no probability of being better (1), and that it
# is computed as if both were equally good (1).*

# %% [markdown]
# **Question 3.** A network is right on all 20 films of a test set. What is its bootstrap interval? Would you believe it?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 3 (2 points).** From 1 to 1: no resample can contain a mistake that the set does not contain. With a true accuracy of 0.9, twenty of twenty still happen
# with probability $0.9^{20} \approx 0.12$. The bootstrap cannot know what was not seen.
#
# *Points: 1 to 1 (1); why it is not to be believed (1).*

# %% [markdown]
# **Question 4.** Somebody tries 40 settings, chooses the best by its score on the test set, and reports McNemar's p of that one against the old network.
# What should have been done?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 4 (2 points).** Choose on validation films, and test once on others; or correct for all 40. The best of 40 equally good settings is ahead by chance.
#
# *Points: a choice on validation films, or a correction (1); because the best of many is ahead by chance (1).*

# %% [markdown]
# **Question 5.** On 100,000 films a new network is better by 0.1 points, $p = 0.0001$. Is it worth having? And on films of another hospital?
#
# *your answer:*

# %% [markdown] tags=["solution", "rubric"]
# **Answer 5 (2 points).** Significant is not large: with enough films every difference is significant. Whether 0.1 points matter is a question for a physician. And all of this holds for
# films *like these*, drawn as these were; about another hospital only its own films can tell.
#
# *Points: significant is not large (1); other hospitals need their own films (1).*
