"""What the lessons' pictures share: one look, a row of images, and a text for who cannot see them."""

import base64
import html
import io

import matplotlib.pyplot as plt
import numpy as np

from ums.experiments.report.style import METHOD_COLOURS, OTHER_COLOURS, SETTINGS

COLOURS = (*METHOD_COLOURS.values(), *OTHER_COLOURS)
"""Told apart with the common colour-vision deficiencies; the first four are the strategies'."""


def use_style():
    """Draw from here on as the study's page does."""
    plt.rcParams.update(SETTINGS)
    plt.rcParams.update({"figure.constrained_layout.use": True, "figure.dpi": 110})
    plt.rcParams["axes.prop_cycle"] = plt.cycler(color=COLOURS)


def image_row(images, titles=(), axes=None, low=0, high=255, colours="gray"):
    """Show images (H, W) side by side, `low` black and `high` white, in `axes` where given.

    None for `low` and `high` takes each image's own range.
    """
    if axes is None:
        _, axes = plt.subplots(1, len(images), figsize=(1.9 * len(images), 2.2), squeeze=False)
    axes = np.ravel(axes)
    for ax, image in zip(axes, images, strict=True):
        ax.imshow(image, cmap=colours, vmin=low, vmax=high)
        ax.axis("off")
    for ax, title in zip(axes, titles, strict=False):
        ax.set_title(title)


def show(alt):
    """Show the current figure, as `plt.show()` does, with a text for readers who cannot see it.

    Args:
        alt: one or two sentences that say what is to be seen. Outside a notebook they are printed.
    """
    from IPython.display import display

    file = io.BytesIO()
    figure = plt.gcf()
    figure.savefig(file, format="png")
    plt.close(figure)
    display(_Picture(file.getvalue(), alt))


class _Picture:
    """A PNG with its text: beside it, where the book finds it, and in an HTML form, which notebook
    programs prefer. JupyterLab gives a PNG alone no alternative text.
    """

    def __init__(self, data, alt):
        self.data, self.alt = data, alt

    def __repr__(self):
        return self.alt

    def _repr_mimebundle_(self, include=None, exclude=None):
        png = base64.b64encode(self.data).decode()
        picture = f'<img alt="{html.escape(self.alt)}" src="data:image/png;base64,{png}">'
        data = {"text/plain": self.alt, "text/html": picture, "image/png": png}
        return data, {"image/png": {"alt": self.alt}}
