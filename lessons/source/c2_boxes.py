# %% [markdown]
# # Capstone 2: a head of your own
#
# The heads of the lessons say one thing about a whole film, or one thing about each pixel. A radiologist who reports an opacity does neither: they draw a
# box around it. The paper names such a head as the next step: *"a bounding box regression task can be added to the UMS-Rep by
# appending a task-specific head that has region pooling layers for extracting region-wise features and FC layers for box classification
# and regression"* (section 4.3). You build it, every formula and every gradient, on the shared encoder.
#
# It is the detector of Girshick ("Fast R-CNN", 2015) in small: many candidate boxes, features of each from the encoder, a score for each, and a correction of
# its edges.
#
# There is no skeleton. You write nine answers, about 130 lines, and a report of one page. Plan for a day. Lessons 5, 6 and 8 come first.
#
# ## The specification
#
# **Hand in** this notebook, run from top to bottom, with
#
# 1. the nine answers below, each with its check passed;
# 2. one experiment of your own, described at the end;
# 3. the report, in the last cell.
#
# **What is checked.** Each answer has a check of its own, on small made-up arrays. Gradients are compared with central differences, in `float64`, with random upstream gradients. Keep
# the dtype of what you are given.
#
# **How it is graded.** 100 points.
#
# | part | points | full marks if |
# |---|---|---|
# | checks | 63 | 7 for each of the nine answers that passes |
# | experiment | 22 | one thing is changed and everything else is held fixed; three seeds or more; nothing is chosen by the test films (to compare both sides on them is the result, not a choice); the result is stated with its spread |
# | report | 15 | the question in its first lines; what was done and what was held fixed, so that it could be repeated; a figure with labelled axes; the answer, with its level of IoU and its spread; two ways in which the detector fails, each with a film that shows it and a guess at the cause. At most 6 if it only retells the notebook |
#
# **Real films.** The notebook draws synthetic children's films whose opacities have known outlines. If you have the RSNA set with its boxes, as Kaggle publishes it or as a folder that
# `python -m data_prep rsna` prepared, put its path into `DATA`.

# %%
import os

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from lessons.checks import lesson_c2 as check
from lessons.films import real_films, synthetic_films
from lessons.pictures import COLOURS, image_row, show, use_style
from ums.data import normalise
from ums.layers import Dense, ReLU, Sequential
from ums.networks import copy_network, cxr_encoder, denoising_autoencoder
from ums.ops import bce
from ums.optimizers import Adam
from ums.source import DenoisingExamples, train_denoising
from ums.training import FitSettings, Training

use_style()
os.environ.setdefault("UMS_THREADS", "1")  # for networks this small one thread is fastest
DATA = os.environ.get("DATA")  # or the path of a folder, as a text in quotes
SIZE = 64  # pixels a side, a multiple of 16

# %%
if DATA:
    films = real_films(DATA, SIZE, "opacities")
else:
    films = synthetic_films(200, SIZE, np.random.default_rng(0), "C")


def boxes_of(mask, least=12):
    """The boxes (K, 4) around the pieces of a mask, but for pieces of fewer than `least` pixels."""
    _, _, found, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(mask))
    x, y, width, height, area = found[1:].T
    boxes = np.stack([x, y, x + width, y + height], axis=1)[area >= least]
    return boxes.astype(np.float32)


truth = [boxes_of(mask) for mask in films.opacities]
x = normalise(films.images)  # (N, 64, 64, 1)
print(f"{films.name}: " + ", ".join(f"{len(rows)} {name}" for name, rows in films.rows.items()))
print(f"boxes: {sum(map(len, truth))}, films without any: {sum(len(b) == 0 for b in truth)}")


# %%
def draw(ax, boxes, colour, line="-"):
    for x1, y1, x2, y2 in boxes:
        size = x2 - x1, y2 - y1
        ax.add_patch(
            Rectangle((x1 - 0.5, y1 - 0.5), *size, fill=False, edgecolor=colour, linestyle=line)
        )


ill = [n for n in films.rows["train"] if len(truth[n])][:5]
figure, axes = plt.subplots(1, 5, figsize=(9, 2))
image_row(films.images[ill], axes=axes)
for ax, n in zip(axes, ill, strict=True):
    draw(ax, truth[n], COLOURS[1])
show("Five children's chest films, each with one or two boxes around its opacities.")

# %% [markdown]
# A box is four numbers `(x1, y1, x2, y2)` in pixels: its left, upper, right and lower edge. A pixel in column $j$ reaches from $j$ to $j + 1$. So the box `(0, 0, 64, 64)` is the whole film, and widths are
# simply $x_2 - x_1$. Boxes stand in arrays `(K, 4)`.
#
# ## 1: how well do two boxes agree?
#
# By their IoU, the area they share divided by the area they cover together.
#
# **Write** `box_iou(a, b)`: from boxes `(A, 4)` and `(B, 4)`, the IoU of each pair, `(A, B)`. Boxes that only touch, or lie apart, have an IoU of 0. $A$ or $B$ may be 0. No loop.


# %%
# BEGIN SOLUTION
def box_iou(a, b):
    """IoU of each box of a (A, 4) with each of b (B, 4): (A, B)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    of_a, of_b = ((c[:, 2:] - c[:, :2]).prod(axis=1) for c in (a, b))
    return shared / (of_a[:, None] + of_b[None, :] - shared)


# END SOLUTION

# %%
check.box_iou(box_iou)

# %% [markdown]
# ## 2: what the head is to say about a candidate
#
# A candidate is rarely where the opacity is. The head says how to move it, in a way that does not depend on its size (Girshick, Donahue, Darrell and Malik, "Rich feature hierarchies", 2014). Let a box have the centre
# $(c_x, c_y)$, the width $w$ and the height $h$. The offsets from a candidate (index $a$) to a box are
#
# $$ o = \left( \frac{c_x - c_x^a}{w^a},\; \frac{c_y - c_y^a}{h^a},\; \ln \frac{w}{w^a},\; \ln \frac{h}{h^a} \right) . $$
#
# **Predict.** A candidate of 10 x 20 pixels must move 5 pixels to the right and become twice as wide about its centre. What are its four offsets?
#
# *your guess:*
#
# **Write** `encode(candidates, boxes)`, `(K, 4)` both, which returns the offsets `(K, 4)`, and `decode(candidates, offsets)`, which returns the boxes `(K, 4)`. Each undoes
# the other.


# %%
# BEGIN SOLUTION
def _centre_and_size(boxes):
    size = boxes[:, 2:] - boxes[:, :2]
    return boxes[:, :2] + size / 2, size


def encode(candidates, boxes):
    """Offsets (K, 4) that take each candidate to its box."""
    centre_a, size_a = _centre_and_size(candidates)
    centre, size = _centre_and_size(boxes)
    return np.concatenate([(centre - centre_a) / size_a, np.log(size / size_a)], axis=1)


def decode(candidates, offsets):
    """The boxes (K, 4) to which the offsets take the candidates."""
    centre_a, size_a = _centre_and_size(candidates)
    centre = centre_a + offsets[:, :2] * size_a
    size = size_a * np.exp(offsets[:, 2:])
    return np.concatenate([centre - size / 2, centre + size / 2], axis=1)


# END SOLUTION

# %%
check.offsets(encode, decode)

# %% [markdown]
# ## 3: features of a region
#
# The encoder turns a film into a map $x$ of `(H, W, C)`, whose cell $(i, j)$ stands for the square of $s \times s$ pixels with the upper left corner $(s j, s i)$; $s$ is the *stride*. A head of dense layers needs as many
# numbers from a small box as from a large one. *RoIAlign* (He, Gkioxari, Dollár and Girshick, "Mask R-CNN", 2017) gets them in this way: the box is cut into $B \times B$ equal bins, and in the middle of
# each bin the map is read off, by bilinear interpolation. (The original takes the mean of four points in each bin. One is enough here.)
#
# The middle of bin $(u, v)$ of the box $(x_1, y_1, x_2, y_2)$ is at the pixel position
#
# $$ \left( x_1 + (v + \tfrac12) \frac{x_2 - x_1}{B} ,\;\; y_1 + (u + \tfrac12) \frac{y_2 - y_1}{B} \right) . $$
#
# The middle of cell $(i, j)$ is at $(s (j + \frac12),\, s (i + \frac12))$. So the position $(p, q)$ is at column $p / s - \frac12$ and row $q / s - \frac12$ of the map, as far as that lies between the first and the last cell;
# otherwise at the nearest of these. With row $i + \alpha$ and column $j + \beta$, where $0 \le \alpha, \beta \le 1$,
#
# $$ y = (1 - \alpha)(1 - \beta)\, x_{i, j} + (1 - \alpha) \beta\, x_{i, j+1} + \alpha (1 - \beta)\, x_{i+1, j} + \alpha \beta\, x_{i+1, j+1} . $$
#
# **Write** `roi_align_forward(x, boxes, film, stride, B=3)`. `x` is `(N, H, W, C)`, $H$ and $W$ at least 2; `boxes` is `(R, 4)`, and `film` `(R,)` says to which of the $N$ maps a box belongs. It returns $y$ `(R, B, B, C)`, where
# `y[r, u, v]` is bin $(u, v)$, and a cache.
#
# **Write** `roi_align_backward(dy, cache)`, which returns $\texttt{dx}$ `(N, H, W, C)`. The boxes have no gradient: they are data.
#
# <details><summary>Hint: one formula, two directions</summary>
#
# Forward, $y$ is a sum of four terms, each a weight `(R, B, B)` times cells of the map that an index picks. Backward, each of the four adds its weight times `dy` to the cells it came from. Make the four pairs of index and weight once, in a
# function for both.
# </details>
#
# <details><summary>Hint: a cell that is picked twice</summary>
#
# `dx[index] += values` adds only once where an index comes twice. Lesson 3 met the same with `col2im`. `np.add.at(dx, index, values)` adds every time.
# </details>


# %%
# BEGIN SOLUTION
def _places(low, high, cells, stride, B):
    """First cell (R, B) of each bin's middle along one axis, and the weight of the next."""
    middle = low[:, None] + (np.arange(B) + 0.5) * (high - low)[:, None] / B
    place = np.clip(middle / stride - 0.5, 0, cells - 1)
    first = np.minimum(np.floor(place).astype(int), cells - 2)
    return first, place - first


def _corners(shape, boxes, film, stride, B):
    """The four cells of every bin, as an index of (R, B, B), with their weights."""
    j, b = _places(boxes[:, 0], boxes[:, 2], shape[2], stride, B)
    i, a = _places(boxes[:, 1], boxes[:, 3], shape[1], stride, B)
    for down, by_row in ((0, 1 - a), (1, a)):
        for right, by_column in ((0, 1 - b), (1, b)):
            index = film[:, None, None], (i + down)[:, :, None], (j + right)[:, None, :]
            yield index, by_row[:, :, None] * by_column[:, None, :]


def roi_align_forward(x, boxes, film, stride, B=3):
    """Features (R, B, B, C) of each box, from the map of its film."""
    y = np.zeros((len(boxes), B, B, x.shape[3]), x.dtype)
    for index, weight in _corners(x.shape, boxes, film, stride, B):
        y += weight[..., None].astype(x.dtype) * x[index]
    return y, (x.shape, boxes, film, stride, B)


def roi_align_backward(dy, cache):
    """dx (N, H, W, C): every bin gives its gradient back to its four cells."""
    dx = np.zeros(cache[0], dy.dtype)
    for index, weight in _corners(*cache):
        np.add.at(dx, index, weight[..., None].astype(dy.dtype) * dy)
    return dx


# END SOLUTION

# %%
check.roi_align(roi_align_forward, roi_align_backward)

# %% [markdown]
# ## 4: which candidate is which?
#
# The head learns from candidates that are told what they are. Let $m_k$ be the largest IoU of candidate $k$ with any true box. It is
#
# - an **opacity** (label 1) if $m_k \ge$ `high`, or if there is a true box with which no other candidate has a larger IoU, as long as this IoU is above 0: the *second rule*. (Otherwise a small opacity might have no candidate at all.)
# - **nothing** (label 0) if $m_k <$ `low`, and the second rule does not apply;
# - else neither, and it is left out (label -1).
#
# **Write** `match(candidates, boxes, high=0.5, low=0.3)`. It returns two integer arrays `(K,)`: the labels, and for each candidate the number of the true box it has the largest IoU with. A candidate that is an opacity by the second rule
# alone belongs to the box that made it one. (If there are several such boxes, to any of them.) Without any true box all labels and all numbers are 0.


# %%
# BEGIN SOLUTION
def match(candidates, boxes, high=0.5, low=0.3):
    """Labels (K,) of 1, 0 and -1, and the number of each candidate's box (K,)."""
    if len(boxes) == 0:
        return np.zeros(len(candidates), int), np.zeros(len(candidates), int)
    overlap = box_iou(candidates, boxes)  # (K, boxes)
    best, number = overlap.max(axis=1), overlap.argmax(axis=1)
    labels = np.where(best >= high, 1, np.where(best < low, 0, -1))
    for k, most in enumerate(overlap.max(axis=0)):
        if most > 0:
            first = overlap[:, k] == most
            number[first & (labels != 1)] = k
            labels[first] = 1
    return labels, number


# END SOLUTION

# %%
check.match(match)

# %% [markdown]
# ## 5 and 6: the loss
#
# Squared error makes much of a single candidate that is far off. *Smooth L1* (Girshick, 2015) is quadratic near 0 and linear further away:
#
# $$ s(d) = \begin{cases} d^2 / (2 \beta) & \text{if } |d| < \beta \\ |d| - \beta / 2 & \text{otherwise.} \end{cases} $$
#
# **Write** `smooth_l1(prediction, target, beta=0.1)` for arrays `(R, 4)`. It returns the value $\frac 1R \sum_{r, k} s(d_{rk})$ with $d = $ prediction $-$ target, and its gradient with respect to the prediction, `(R, 4)`. For $R = 0$ the
# value is 0.
#
# **Write** `detection_loss(logits, offsets, labels, wanted)`.
#
# - `logits` `(R,)` and `offsets` `(R, 4)` are what the head says; `labels` `(R,)` are 1, 0 or -1; `wanted` `(R, 4)` are the right offsets, which mean something for label 1 only.
# - The value is the [bce](ums/ops/losses.py:bce) over all candidates whose label is not -1, plus `smooth_l1` over those whose label is 1.
# - It returns the value and the two gradients, `(R,)` and `(R, 4)`: `value, (d_logits, d_offsets)`. Candidates that do not count have the gradient 0.
# - If no candidate counts, the value is 0. What stands in `wanted` at other labels does not matter, even if it is `nan`.


# %%
# BEGIN SOLUTION
def smooth_l1(prediction, target, beta=0.1):
    """Sum over each row of the smooth absolute difference, mean over rows; value and gradient."""
    R = max(len(prediction), 1)
    d = prediction - target
    near = np.abs(d) < beta
    value = np.where(near, d * d / (2 * beta), np.abs(d) - beta / 2).sum() / R
    return value, np.where(near, d / beta, np.sign(d)) / R


def detection_loss(logits, offsets, labels, wanted):
    """Score of every candidate that counts, corners of those that are opacities."""
    d_logits, d_offsets = np.zeros_like(logits), np.zeros_like(offsets)
    value = 0.0
    counts, found = labels >= 0, labels == 1
    if counts.any():
        value, d_logits[counts] = bce(logits[counts], labels[counts].astype(logits.dtype))
    if found.any():
        of_boxes, d_offsets[found] = smooth_l1(offsets[found], wanted[found])
        value = value + of_boxes
    return value, (d_logits, d_offsets)


# END SOLUTION

# %%
check.smooth_l1(smooth_l1)

# %%
check.detection_loss(detection_loss)

# %% [markdown]
# ## 7: the head
#
# A dense layer and a ReLU, shared, and after them two dense layers side by side: one makes a logit, the other four offsets.
#
# **Write** the class `BoxHead`.
#
# - `__init__(self, inputs, rng, hidden=64)`, where `inputs` is $B \cdot B \cdot C$. Use the layers of `ums.layers`.
# - `parameters(self)` is the list of all six `Parameter`s, and `zero_gradients(self)` forgets their gradients.
# - `forward(self, pooled, keep=True)`, from `(R, B, B, C)`, returns the logits `(R,)` and the offsets `(R, 4)`. `keep` is handed on to the layers.
# - `backward(self, d_logits, d_offsets)` adds to the gradients of the parameters, and returns the gradient of `pooled`, `(R, B, B, C)`.
#
# **Predict.** The hidden numbers are used twice. What does the chain rule say about their gradient?
#
# *your guess:*


# %%
# BEGIN SOLUTION
class BoxHead:
    """A score and four offsets for each region."""

    def __init__(self, inputs, rng, hidden=64):
        self.shared = Sequential(Dense(inputs, hidden, rng), ReLU())
        self.score = Dense(hidden, 1, rng)
        self.corners = Dense(hidden, 4, rng)
        self.parts = (self.shared, self.score, self.corners)

    def parameters(self):
        return [parameter for part in self.parts for parameter in part.parameters()]

    def zero_gradients(self):
        for part in self.parts:
            part.zero_gradients()

    def forward(self, pooled, keep=True):
        self.shape = pooled.shape
        hidden = self.shared.forward(pooled.reshape(len(pooled), -1), keep=keep)
        logits = self.score.forward(hidden, keep=keep)
        return logits[:, 0], self.corners.forward(hidden, keep=keep)

    def backward(self, d_logits, d_offsets):
        d_hidden = self.score.backward(d_logits[:, None]) + self.corners.backward(d_offsets)
        return self.shared.backward(d_hidden).reshape(self.shape)


# END SOLUTION

# %%
check.box_head(BoxHead)

# %% [markdown]
# ## 8: one box for one opacity
#
# Around an opacity many candidates have a high score, and after their correction they are nearly the same box. *Non-maximum suppression* keeps the best: take the box with the highest score, drop all that have an IoU above a threshold
# with it, and go on with the best of the rest.
#
# **Write** `nms(boxes, scores, threshold=0.3)`. It returns the numbers of the boxes that are kept, a list or an array of whole numbers, the best first. Of two equal scores the earlier one counts as the better.


# %%
# BEGIN SOLUTION
def nms(boxes, scores, threshold=0.3):
    """The numbers of the boxes that no better one overlaps, the best first."""
    left = np.argsort(-scores, kind="stable")
    kept = []
    while len(left):
        best, others = left[0], left[1:]
        kept.append(int(best))
        overlap = box_iou(boxes[[best]], boxes[others])[0]
        left = others[overlap <= threshold]
    return kept


# END SOLUTION

# %%
check.nms(nms)

# %% [markdown]
# ## 9: how good is a detector?
#
# All boxes that were found, in all films, are put in one list, the highest score first. Going down the list, a box is **right** if in its film there is a true box with an IoU of at least `threshold` that no box before it has taken; it takes the one with the
# largest IoU among those that are not taken yet. Otherwise it is **wrong**. A second box on the same opacity is wrong.
#
# After $k$ boxes of the list, with $r_k$ right ones among them, the *precision* is $r_k / k$. The *average precision* adds up the precision at every right box and divides by the number $T$ of true boxes:
#
# $$ \text{AP} = \frac 1T \sum_{k:\ \text{box } k \text{ is right}} \frac{r_k}{k} . $$
#
# **Predict.** Two true boxes, four found ones: right, wrong, right, wrong. What is the AP? And if there is a third true box, which was not found at all?
#
# *your guess:*
#
# **Write** `average_precision(found, truth, threshold=0.5)`. `found` has a pair `(boxes, scores)` for each film, `(K, 4)` and `(K,)`, $K$ may be 0; `truth` has the true boxes of each film. It returns a `float`. If there is no true box at all, raise `ValueError`.


# %%
# BEGIN SOLUTION
def average_precision(found, truth, threshold=0.5):
    """Mean over the true boxes of the precision at which each was found; 0 where it was not."""
    T = sum(map(len, truth))
    if T == 0:
        raise ValueError("without a true box there is no average precision")
    ranked = [
        (score, film, box)
        for film, (boxes, scores) in enumerate(found)
        for box, score in zip(boxes, scores, strict=True)
    ]
    ranked.sort(key=lambda one: -one[0])
    free = [np.ones(len(boxes), bool) for boxes in truth]
    right, total = 0, 0.0
    for k, (_, film, box) in enumerate(ranked, start=1):
        if not free[film].any():
            continue
        overlap = np.where(free[film], box_iou(box[None], truth[film])[0], -1)
        if overlap.max() >= threshold:
            free[film][overlap.argmax()] = False
            right += 1
            total += right / k
    return float(total / T)


# END SOLUTION

# %%
check.average_precision(average_precision)

# %% [markdown]
# ## The detector
#
# Now all of it together. The candidates are the same for every film: windows of six shapes, every 4 pixels.


# %%
def candidate_boxes(size, step=4):
    """Windows of a quarter to two thirds of a film, square and upright, as far as they fit."""
    shapes = [(s * size, s * tall * size) for s in (0.22, 0.3, 0.4) for tall in (1.0, 1.6)]
    boxes = [
        (x1, y1, x1 + width, y1 + height)
        for width, height in shapes
        for x1 in np.arange(0, size - width + 1e-6, step)
        for y1 in np.arange(0, size - height + 1e-6, step)
    ]
    return np.array(boxes, np.float32)


candidates = candidate_boxes(SIZE)
best = [box_iou(candidates, boxes).max(axis=0) for boxes in truth if len(boxes)]
print(
    f"{len(candidates)} candidates; the best one of a true box has a mean IoU of {np.concatenate(best).mean():.2f}"
)

# %% [markdown]
# The encoder comes from a denoising source, as in lesson 7, which has seen these films without their boxes. Its last convolution is left out: the map after the third one has a stride of 8, which is fine enough for boxes of 14 pixels.

# %%
STRIDE, BINS, WIDTH = 8, 3, 0.25
rng = np.random.default_rng(1)
autoencoder = denoising_autoencoder(rng, width=WIDTH)
parts = [
    DenoisingExamples(films.images, films.rows[name], rng, fixed=name == "validation")
    for name in ("train", "validation")
]
recipe = FitSettings(epochs=8, steps=40, learning_rate=3e-3, schedule="cosine")
train_denoising(autoencoder, *parts, Training(recipe, rng, progress=False))
source = autoencoder[0][:9]  # three times convolution, batch norm and ReLU
channels = source.output_shape((SIZE, SIZE, 1))[-1]
print(source.summary((SIZE, SIZE, 1)))

# %% [markdown]
# A step of training takes some films, and of each at most 8 candidates that are opacities and 8 that are not: otherwise the head would see nothing but healthy lung. `moving` says whether the encoder learns, too. Then
# the gradient goes through your `roi_align_backward` into it.


# %%
def some_of(labels, rng, most=8):
    """The numbers of at most `most` candidates of label 1, and at most `most` of label 0."""
    drawn = [rng.permutation(np.flatnonzero(labels == label))[:most] for label in (1, 0)]
    return np.concatenate(drawn)


def train_detector(trunk, moving, seed, steps=250, batch=10, rate=2e-3):
    """Train a head on a copy of `trunk`; return the copy and the head."""
    rng = np.random.default_rng(seed)
    trunk = copy_network(trunk).freeze(not moving)
    head = BoxHead(BINS * BINS * channels, rng)
    optimizer = Adam([*trunk.trainable_parameters(), *head.parameters()], rate)
    matched = {n: match(candidates, truth[n]) for n in films.rows["train"]}
    for _ in range(steps):
        rows = rng.choice(films.rows["train"], batch, replace=False)
        chosen = [some_of(matched[n][0], rng) for n in rows]
        film = np.repeat(np.arange(batch), [len(c) for c in chosen])
        boxes = candidates[np.concatenate(chosen)]
        labels = np.concatenate([matched[n][0][c] for n, c in zip(rows, chosen, strict=True)])
        true = [
            truth[n][matched[n][1][c]] if len(truth[n]) else candidates[c]
            for n, c in zip(rows, chosen, strict=True)
        ]
        wanted = encode(boxes, np.concatenate(true)).astype(np.float32)
        trunk.zero_gradients()
        head.zero_gradients()
        pooled, cache = roi_align_forward(
            trunk.forward(x[rows], training=moving), boxes, film, STRIDE, BINS
        )
        _, gradients = detection_loss(*head.forward(pooled), labels, wanted)
        d_pooled = head.backward(*gradients)
        if moving:
            trunk.backward(roi_align_backward(d_pooled, cache), input_gradient=False)
        optimizer.step()
    return trunk, head


def detect(trunk, head, rows, least=0.2, most=5):
    """For each film the boxes that are left, (K, 4), and their scores, the best first."""
    maps, found = trunk.forward(x[rows], keep=False), []
    for one in maps:
        film = np.zeros(len(candidates), int)
        pooled, _ = roi_align_forward(one[None], candidates, film, STRIDE, BINS)
        logits, offsets = head.forward(pooled, keep=False)
        boxes, scores = decode(candidates, offsets), 1 / (1 + np.exp(-logits))
        likely = np.flatnonzero(scores > least)
        kept = likely[nms(boxes[likely], scores[likely])[:most]]
        found.append((np.clip(boxes[kept], 0, SIZE), scores[kept]))
    return found


# %% [markdown]
# Three ways to come by the encoder: from the source and frozen, from the source and learning on, and one that starts from nothing and learns. Three seeds each, of the head and of the order of the films.
#
# **Predict.** Order the three by their average precision at an IoU of 0.5.
#
# *your guess:*

# %%
blank = cxr_encoder(np.random.default_rng(2), width=WIDTH)[:9]
WAYS = {
    "frozen source": (source, False),
    "source, learning": (source, True),
    "from nothing": (blank, True),
}
test = films.rows["test"]
of_test = [truth[n] for n in test]
scores, detectors = {}, {}
for name, (trunk, moving) in WAYS.items():
    scores[name] = []
    for seed in range(3):
        detectors[name, seed] = train_detector(trunk, moving, seed)
        found = detect(*detectors[name, seed], test)
        scores[name].append([average_precision(found, of_test, level) for level in (0.5, 0.3)])
    at_half, at_less = np.transpose(scores[name])
    print(
        f"{name:17} AP at IoU 0.5: {at_half.mean():.2f} ({at_half.min():.2f} to {at_half.max():.2f}), "
        f"at 0.3: {at_less.mean():.2f}"
    )

# %%
figure, ax = plt.subplots(figsize=(6, 2.2))
for k, values in enumerate(scores.values()):
    ax.plot(np.array(values)[:, 0], [k] * 3, "osD"[k], color=COLOURS[k])
ax.set(yticks=range(3), yticklabels=list(scores), ylim=(2.5, -0.5), xlim=(0, 1))
ax.set(xlabel="average precision at an IoU of 0.5, one point for each seed")
show("Average precision of the three ways to come by the encoder, three points for each.")

# %%
ill = [k for k in range(len(test)) if len(of_test[k])][:5]
figure, axes = plt.subplots(2, 5, figsize=(9, 3.8))
for row, name in zip(axes, ("frozen source", "source, learning"), strict=True):
    found = detect(*detectors[name, 0], test[ill])
    image_row(films.images[test[ill]], axes=row)
    row[0].set_title(name, loc="left")
    for ax, k, (boxes, _) in zip(row, ill, found, strict=True):
        draw(ax, of_test[k], COLOURS[1])
        draw(ax, boxes[:2], COLOURS[0], "--")
show(
    "Five test films, above with the frozen encoder and below with the learning one: true boxes with full lines, the two "
    "best found boxes with broken ones."
)

# %% [markdown]
# **Look.** In our run the frozen source came to 0.50 (from 0.46 to 0.53), the learning one to 0.62 (0.48 to 0.71), and the encoder that started from nothing to 0.62 (0.54 to 0.71). Yours will differ. On average it paid to let the
# encoder learn, though not in every run. Whether it should start from the source, three seeds cannot tell: the points overlap.
#
# The pictures show what goes wrong. Many boxes with broken lines lie around a healthy lung: what a denoiser must keep of a film are its large shapes, and a lung is one. Where an opacity is found, the box is near it, but seldom on its edges. A box
# that is a fifth too wide on every side has an IoU of only about 0.5, so at a level of 0.3 the detectors look much better. Which level should count depends on what the box is for: to point at an opacity, or to measure it?
#
# ## Your experiment
#
# Choose one, or one of your own. Change one thing, hold everything else fixed, take three seeds or more, and do not choose by the test films.
#
# - **The loss of the box.** The negative logarithm of the IoU of the decoded box with the true one (Yu, Jiang, Wang, Cao and Huang, "UnitBox", 2016) in place of smooth L1. Write its gradient, and check it with `ums.gradcheck.check_loss`.
# - **The region pooling.** Four points in each bin, as in the original; or $B$ = 1, 2, 5 (the head's number of inputs goes with it).
# - **The map.** `autoencoder[0][:6]` with a stride of 4, or the whole encoder with a stride of 16.
# - **The source.** The super-resolution source of capstone 1, or more films.
# - **Real films**, with `DATA`. What is different there about the boxes themselves?
#

# %%
# Your experiment goes here, and into as many cells as it needs.

# %% [markdown]
# ## The report
#
# One page, in this cell. Its figures are those that the cells of your experiment show. What it must say stands in the table at the top.
#
# *your report:*

# %% [markdown] tags=["solution", "rubric"]
# **Rubric.**
#
# *Checks, 63 points.* 7 for each of `box_iou`, `offsets`, `roi_align`, `match`, `smooth_l1`, `detection_loss`, `box_head`, `nms`, `average_precision`.
#
# *Experiment, 22 points.* 6 for one change with everything else held fixed, and for saying what was held fixed. 5 for three seeds or more on both sides. 5 for choosing nothing by the test films: thresholds, steps and rates come from the validation films or from
# before. 6 for the result with its spread, and a conclusion that follows from it: where the points of both sides overlap, the experiment does not tell them apart.
#
# *Report, 15 points.* 3 each: the question in the first lines; what was done, so that it could be repeated; a figure with labelled axes; the answer in numbers, with the level of IoU; two failures, 1 for each with its film and 1 for the causes (such as: two boxes on one
# opacity, a box on the heart, a faint opacity that is missed, a box that is too tight because the outline is ragged). A page that only retells the notebook gets no more than 6.
#
# **Predictions.** The offsets of the 10 x 20 candidate are $(0.5, 0, \ln 2, 0)$. The hidden numbers' gradient is the sum of those from both branches. The AP of right, wrong, right, wrong with two true boxes is $(1/1 + 2/3) / 2 = 0.83$; with three true boxes, one of them not found,
# it is $(1/1 + 2/3) / 3 = 0.56$.
#
# **The IoU loss**, for whoever chose it. With the decoded box $(x_1, y_1, x_2, y_2)$, the shared area $I$ and the joined area $U$, $L = -\ln (I / U)$ has $\partial L / \partial x_1 = -I'/I + U'/U$ with $I' = -h_I$ where $x_1$ is the left edge of the shared part and 0 elsewhere, and $U' = -h - I'$; and so for the other
# edges. The offsets follow by the chain rule through `decode`: $\partial L / \partial o_1 = w^a (\partial L / \partial x_1 + \partial L / \partial x_2)$ and $\partial L / \partial o_3 = \frac w2 (\partial L / \partial x_2 - \partial L / \partial x_1)$. Where the boxes do not meet, $I = 0$ and there is no gradient: candidates of label 1 must overlap, which `match` sees to, and the offsets must start near 0.
