"""Computation graphs: what each step of a formula computes, and the gradient that comes back to it."""

import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch

from lessons.pictures import COLOURS

BATCH_NORM = {
    "x": ((0, 1), "$x$", "1, 1, 5, 5", "0.5, -0.5, 0, 0"),
    "mean": ((1, 0), r"$\mu = $ mean of $x$", "3", "-1"),
    "centred": ((2, 1), r"$c = x - \mu$", "-2, -2, 2, 2", "0.75, -0.25, 0.25, 0.25"),
    "variance": ((3, 0), r"$\sigma^2 = $ mean of $c^2$", "4", "0.25"),
    "rstd": ((4.2, 0), r"rstd $= 1 / \sqrt{\sigma^2}$", "0.5", "-4"),
    "xhat": ((4.2, 1), r"$\hat x = c \cdot$ rstd", "-1, -1, 1, 1", "2, 0, 0, 0"),
    "y": ((6, 1), r"$y = \gamma\,\hat x + \beta$", "-2, -2, 2, 2", "1, 0, 0, 0"),
}
"""{step: (place, formula, its values, their gradients)}: one channel, gamma = 2, beta = eps = 0."""

BATCH_NORM_ARROWS = (
    ("x", "mean"), ("x", "centred"), ("mean", "centred"), ("centred", "variance"),
    ("variance", "rstd"), ("centred", "xhat"), ("rstd", "xhat"), ("xhat", "y"),
)  # fmt: skip


def draw_graph(steps, arrows):
    """Draw the steps as boxes, each with its values, and beneath them the gradients, in colour."""
    _, ax = plt.subplots(figsize=(10.5, 2.9))
    boxes = {name: _draw_step(ax, *step) for name, step in steps.items()}
    for start, end in arrows:
        style = {"arrowstyle": "-|>", "color": "gray", "shrinkA": 2, "shrinkB": 2}
        ends = {"patchA": boxes[start], "patchB": boxes[end]}
        ax.annotate("", steps[end][0], steps[start][0], arrowprops=style | ends)
    ax.set(xlim=(-0.6, 6.6), ylim=(-0.35, 1.35))
    ax.axis("off")


def _draw_step(ax, place, formula, values, gradients):
    """A step's box, with its three lines of text."""
    x, y = place
    width = 0.13 + 0.052 * max(13, len(values), len(gradients))
    frame = "round,pad=0,rounding_size=0.06"
    box = FancyBboxPatch(
        (x - width / 2, y - 0.25), width, 0.5, boxstyle=frame, facecolor="white", edgecolor="gray"
    )
    ax.add_patch(box)
    lines = ((0.15, formula, "black"), (0, values, "black"), (-0.15, gradients, COLOURS[1]))
    for height, text, colour in lines:
        ax.text(x, y + height, text, color=colour, fontsize=9, ha="center", va="center")
    return box
