"""Computation graphs: what each step of a formula computes, and the gradient that comes back to it."""

import matplotlib.pyplot as plt

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
    _, ax = plt.subplots(figsize=(10.5, 3.6))
    for start, end in arrows:
        ax.annotate(
            "", steps[end][0], steps[start][0],
            arrowprops={"arrowstyle": "-|>", "color": "gray", "shrinkA": 34, "shrinkB": 34},
        )  # fmt: skip
    for place, formula, values, gradients in steps.values():
        _write(ax, place, 0.13, formula, "black", 10)
        _write(ax, place, 0, values, "black", 9)
        _write(ax, place, -0.13, gradients, COLOURS[1], 9)
    ax.set(xlim=(-0.6, 6.6), ylim=(-0.4, 1.4))
    ax.axis("off")


def _write(ax, place, height, text, colour, size):
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.2}
    x, y = place
    ax.text(x, y + height, text, color=colour, fontsize=size, ha="center", va="center", bbox=box)
