"""A picture with sliders in a live notebook, and a picture that stands still everywhere else."""

import base64
import io
import os

import matplotlib.pyplot as plt

from lessons.pictures import show


def slide(draw, alt, **sliders):
    """Draw a figure, and draw it anew whenever a slider is moved.

    The picture stands still where ipywidgets is missing, and where nobody can move a slider: LESSON_STILL
    is set in the environment while solved copies are executed. A page that was made from a live notebook
    shows the first position.

    Args:
        draw: Makes a figure from the sliders' values, which it is given by name.
        alt: The alternative text of the picture, as for :func:`lessons.pictures.show`.
        sliders: name=(lowest, highest, first), three whole numbers.
    """

    def redraw(**values):
        draw(**values)
        show(alt)

    first = {name: start for name, (_, _, start) in sliders.items()}
    widgets = _ipywidgets()
    if widgets is None:
        redraw(**first)
        return
    moved = {
        name: widgets.IntSlider(min=low, max=high, value=start, continuous_update=False)
        for name, (low, high, start) in sliders.items()
    }
    draw(**first)
    picture = _picture()  # closed first: the box shows every figure that is open
    _display(widgets.interactive(redraw, **moved), picture, alt)


def _ipywidgets():
    """The module, or None where there are to be no sliders."""
    if os.environ.get("LESSON_STILL"):
        return None
    try:
        import ipywidgets
    except ImportError:
        return None
    return ipywidgets


def _picture():
    """The current figure as PNG, closed."""
    picture = io.BytesIO()
    plt.gcf().savefig(picture, format="png")
    plt.close()
    return picture.getvalue()


def _display(box, picture, alt):
    """Show the box where there is a kernel to move it, and its picture where there is none."""
    from IPython.display import display

    bundle = dict(box._repr_mimebundle_())
    bundle["image/png"] = base64.b64encode(picture).decode()
    bundle["text/plain"] = alt
    display(bundle, raw=True, metadata={"image/png": {"alt": alt}})
