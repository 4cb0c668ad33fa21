"""The pieces the report's figures are drawn from: settings, colours, images, outlines, curves, dots.

Everything draws on matplotlib's own objects (no pyplot); the settings are held only while a figure
is drawn, and the same input gives the same bytes.
"""

import contextlib
import io
import re
from itertools import pairwise

import matplotlib
import numpy as np
from matplotlib import patheffects
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Sheet
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

# Told apart with the common colour-vision deficiencies, at least 3:1 against white, and light
# enough to be seen on a dark lung. Names are matched by their first word, in small letters.
METHOD_COLOURS = {
    "independent": "#0a84c9",
    "alternating": "#c97a00",
    "joint": "#00956c",
    "separate": "#cc5fa3",
}
OTHER_COLOURS = ("#7a6ee0", "#c8322b", "#6f7d1e", "#7f7f7f")
INK, SOFT, GRID, WRONG = "#22262b", "#5b626c", "#dfe2e6", "#c8322b"

SETTINGS = {
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: the same glyphs on every machine
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "svg.hashsalt": "ums",
    "svg.fonttype": "path",
}
PAGE = 9.4  # inches: what the page shows without scaling down
PIXELS_PER_INCH = 96  # CSS pixels, so that 9 pt text is 12 px high on the page
DOTS_PER_INCH = 144  # of images: one and a half dots per CSS pixel


@contextlib.contextmanager
def new_sheet(width, height):
    """Give an empty white sheet of `width` x `height` inches to draw on with our settings."""
    with matplotlib.rc_context(SETTINGS):
        size = (width, height)
        sheet = Sheet(figsize=size, dpi=DOTS_PER_INCH, layout="constrained", facecolor="white")
        FigureCanvasAgg(sheet)
        yield sheet


def saved(sheet, kind):
    """Return the sheet as "png" or "svg" bytes, without the dates that would make equals differ."""
    metadata = {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}
    data = io.BytesIO()
    sheet.savefig(data, format=kind, metadata=metadata)
    return data.getvalue()


def method_colours(names):
    """Return name -> colour: a known method's own, and for others the next free ones in order.

    No two names share a colour: of two variants of one method the second counts as another.
    """
    names = list(names)
    free = iter(OTHER_COLOURS * len(names))
    colours = {}
    for name in names:
        own = METHOD_COLOURS.get(re.match(r"\w*", name.lower())[0])
        colours[name] = own if own and own not in colours.values() else next(free)
    return colours


def show_image(ax, image, data_range):
    """Show a grey or colour image, 0 black and `data_range` white, without axes."""
    ax.imshow(np.clip(np.asarray(image) / data_range, 0, 1), cmap="gray", vmin=0, vmax=1)
    ax.set_axis_off()


def panel_titles(names, columns):
    """Return name -> title, all broken at their colon if one does not fit above its panel."""
    too_long = max(map(len, names)) > {1: 60, 2: 38, 3: 30}[columns]
    return {name: name.replace(": ", ":\n", 1) if too_long else name for name in names}


def label_row(ax, text):
    """Write along the left edge of a row's first image."""
    ax.text(-0.04, 0.5, text, rotation=90, ha="right", va="center", transform=ax.transAxes)


def stamp(ax, text):
    """Write into the lower left corner of an image."""
    box = {"facecolor": "black", "alpha": 0.65, "edgecolor": "none", "boxstyle": "round,pad=0.25"}
    ax.text(
        0.03, 0.03, text, color="white", va="bottom", fontsize=8, transform=ax.transAxes, bbox=box
    )


def draw_outline(ax, mask, colour, width, style="-"):
    """Draw a mask's border, closed at the image's edge, on a dark casing that shows it on bone."""
    mask = np.pad(np.asarray(mask, dtype=np.float64), 1)
    if not mask.any():
        return
    rows, columns = np.arange(mask.shape[0]) - 1, np.arange(mask.shape[1]) - 1
    line = {"colors": [colour], "linewidths": width, "linestyles": [style]}
    lines = ax.contour(columns, rows, mask, levels=[0.5], **line)
    casing = patheffects.withStroke(linewidth=width + 1.4, foreground=(0, 0, 0, 0.55))
    lines.set_path_effects([casing])


def outline_legend(sheet, colours, styles=None):
    """Name the outlines below the images, on a dark ground as there: one of them is white."""
    styles = styles or {}
    handles = [Line2D([], [], color=c, lw=2.2, ls=styles.get(n, "-")) for n, c in colours.items()]
    ground = {"facecolor": "#26292d", "labelcolor": "white", "framealpha": 1, "borderpad": 0.7}
    columns = min(len(colours), 5)
    sheet.legend(handles, colours, loc="outside lower center", ncols=columns, **ground)


def line_legend(sheet, entries):
    """Explain below the figure what its lines and markers are: words -> how they are drawn."""
    handles = [Line2D([], [], **{"color": SOFT, **style}) for style in entries.values()]
    widths = [0.55 + 0.068 * len(words) for words in entries]
    room = sheet.get_figwidth()
    columns = len(entries) if sum(widths) <= room else max(1, int(room / max(widths)))
    sheet.legend(handles, entries, loc="outside lower center", ncols=columns, frameon=False)


def draw_history(ax, history, colour, bold=True):
    """Draw one training and validation curve and the best epoch; if bold, learning-rate drops too."""
    size = 1 if bold else 0.45
    line = {"color": colour, "alpha": 1 if bold else 0.6, "zorder": 3 if bold else 2}
    train, validation = history.train, history.validation
    ax.plot(range(1, len(train) + 1), train, ls="--", lw=1.1 * size, **line)
    ax.plot(range(1, len(validation) + 1), validation, lw=1.8 * size, **line)
    if validation:
        lowest = (history.best_epoch + 1, validation[history.best_epoch])
        ax.plot(*lowest, "o", ms=6 if bold else 3.5, mec="white", mew=1 if bold else 0.5, **line)
    if not bold:
        return
    if validation:
        ax.annotate(
            f"{lowest[0]}", lowest, (0, 7), textcoords="offset points", ha="center", zorder=4
        )
    for epoch, rate in rate_drops(history.learning_rate):
        ax.axvline(epoch, color=SOFT, ls=":", lw=1.2, zorder=0)
        top = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "va": "top"}
        ax.annotate(f"{rate:.2g}", (epoch, 1), (3, 0), rotation=90, fontsize=7.5, color=SOFT, **top)


def scale_losses(ax, histories):
    """Make the axis logarithmic where its positive values span more than a factor of 10."""
    values = [value for h in histories for value in (*h.train, *h.validation)]
    if min(values) > 0 and max(values) > 10 * min(values):
        log_ticks(ax, values)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.grid(axis="y")


def log_ticks(ax, values):
    """Make the axis logarithmic, with plain numbers at as many places as these values leave room for."""
    ax.set_yscale("log")
    steps = (1, 2, 5) if np.nanmax(values) < 1000 * np.nanmin(values) else (1,)
    ax.yaxis.set_major_locator(LogLocator(subs=steps))
    ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_locator(NullLocator())


def rate_drops(rates):
    """Return (first epoch at the lower rate, that rate) for each reduction."""
    pairs = enumerate(pairwise(rates), start=2)
    return [(epoch, after) for epoch, (before, after) in pairs if after < before]


def spread(n):
    """Return n places in [-0.5, 0.5), evenly, by multiples of the golden ratio: always the same."""
    return np.arange(n) * 0.6180339887 % 1 - 0.5


def check_lengths(where, *items):
    """Raise `ValueError` unless all items have the same length, and that is not 0."""
    lengths = [len(item) for item in items]
    if len(set(lengths)) != 1 or lengths[0] == 0:
        raise ValueError(f"{where}: as many of each are needed, and at least one; got {lengths}")


def listed(values, digits=1):
    """Return numbers as one string, separated by commas."""
    return ", ".join(f"{value:.{digits}f}" for value in values)


def pixels(inches):
    """Return a length on the sheet in CSS pixels."""
    return round(inches * PIXELS_PER_INCH)
