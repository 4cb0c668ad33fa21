"""Panels of images: denoising, outlines of masks, heat maps, examples, recommendations.

Images are grey (N, H, W) or colour (N, H, W, 3), in the range 0 .. 255, and masks (N, H, W).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure as Sheet

from ums.derived.recommendation import FLOWS, OUTCOMES, QUALITIES, Recommendations, outcomes
from ums.experiments.report import style
from ums.experiments.report.page import Figure
from ums.experiments.report.words import percent


def mosaic(
    labels: Sequence[str], columns: int, image: np.ndarray, lines: int = 0
) -> tuple[Sheet, np.ndarray]:
    """A sheet with a labelled row of axes for each label, (rows, columns), for images of one size.

    ``lines`` is the number of lines of the title above each image.
    """
    H, W = image.shape[:2]
    side = min((style.PAGE - 0.6) / columns, 3.2)
    height = side * H / W + 0.17 * lines
    sheet = style.new_sheet(max(side * columns + 0.6, 4.6), height * len(labels) + 0.4)
    axes = style.grid(sheet, len(labels) * columns, columns)
    look = {"xycoords": "axes fraction", "rotation": 90, "ha": "right", "va": "center"}
    for row, label in zip(axes, labels, strict=True):
        lined = fill(label, max(8, int(height / 0.072)))
        style.note(row[0], lined, (0, 0.5), (-4, 0), ma="center", **look)
        for ax in row:
            ax.set_axis_off()
    return sheet, axes


def show(ax: Axes, image: np.ndarray, note: str = "") -> None:
    """Show an image (H, W) or (H, W, 3), with a note in its corner."""
    ax.imshow(image, cmap="gray", vmin=0, vmax=255)
    if note:
        box = {"fc": "black", "alpha": 0.65, "ec": "none", "boxstyle": "round,pad=0.25"}
        look = {"xycoords": "axes fraction", "color": "white", "fontsize": 8}
        style.note(ax, note, (0, 0), (6, 6), bbox=box, **look)


def in_words(axes: np.ndarray) -> str:
    """All that is written in the axes of a mosaic, for readers who cannot see it."""
    written = [[text.get_text() for text in (ax.title, *ax.texts)] for ax in axes.flat]
    words = [", ".join(filter(None, texts)).replace("\n", ", ") for texts in written]
    return f"Images: {'; '.join(filter(None, words))}."


@style.styled
def denoising_panel(
    images: dict[str, np.ndarray], titles: Sequence[str], psnr: Mapping[str, Sequence[float]]
) -> Figure:
    """Show one image for each noise level: clean, noisy, denoised, and the error that is left.

    ``images`` and ``psnr`` (in dB) go by the names "clean", "noisy" and "denoised".
    """
    errors = np.abs(np.asarray(images["denoised"], np.float64) - images["clean"])
    top = max(float(np.percentile(errors, 99.5)), 1e-6)
    sheet, axes = mosaic(titles, 4, images["clean"][0])
    for n, row in enumerate(axes):
        show(row[0], images["clean"][n])
        for ax, name in zip(row[1:], ("noisy", "denoised"), strict=False):
            show(ax, images[name][n], f"{psnr[name][n]:.1f} dB")
        scale = row[3].imshow(errors[n], cmap="magma", vmin=0, vmax=top)
    for ax, heading in zip(axes[0], ("Clean", "Noisy", "Denoised", "Error"), strict=True):
        ax.set_title(heading)
    bar = sheet.colorbar(scale, ax=axes, aspect=14 * len(axes), extend="max", pad=0.02)
    bar.outline.set_visible(False)
    bar.set_label("|denoised − clean|, of 255")
    caption = (
        "A test image at each noise level, with its PSNR before and after denoising. Right: the "
        "remaining error, on one scale for all rows."
    )
    return style.finished(sheet, "denoising", "png", caption, in_words(axes))


@style.styled
def outline_panel(
    images: np.ndarray,
    true_masks: np.ndarray,
    predicted_masks: dict[str, np.ndarray],
    ious: dict[str, Sequence[float]],
    titles: Sequence[str],
) -> Figure:
    """Show each image once per method, with the true outline (white) and the method's (coloured)."""
    colours = style.method_colours(predicted_masks)
    sheet, axes = mosaic(titles, len(predicted_masks), images[0])
    for column, (method, masks) in zip(axes.T, predicted_masks.items(), strict=True):
        column[0].set_title(method)
        for n, ax in enumerate(column):
            show(ax, images[n], f"IoU {ious[method][n]:.3f}")
            style.draw_outline(ax, true_masks[n], "white", 1.0)
            style.draw_outline(ax, masks[n], colours[method], 1.5)
    lines = {"true outline": "white", **colours}
    style.legend_below(sheet, {name: {"color": c} for name, c in lines.items()}, dark=True)
    caption = (
        "The true outline in white, each method's in its own colour, and the image's intersection over "
        "union."
    )
    return style.finished(sheet, "outlines", "svg", caption, in_words(axes))


@style.styled
def examples_panel(
    images: Sequence[np.ndarray],
    titles: Sequence[str],
    correct: Sequence[bool] | np.ndarray,
    name: str = "examples",
) -> Figure:
    """Show images in rows of four, each with a title, and whether the prediction is right."""
    lines = 1 + max(title.count("\n") for title in titles)
    sheet, axes = mosaic([""] * -(-len(images) // 4), min(4, len(images)), images[0], lines)
    for ax, image, title, right in zip(axes.flat, images, titles, correct, strict=False):
        show(ax, image)
        mark, colour = ("✓", style.INK) if right else ("✗", style.WRONG)
        ax.set_title(f"{mark} {title}", color=colour, fontsize=8.5)
    return style.finished(sheet, name, "png", "Examples from the test images.", in_words(axes))


# From clear through magenta to yellow, which differ from each other and from greys in lightness or in
# blue, so that red-green blindness does not hide them.
_SCALE = np.linspace(0, 1, 256)
_PLASMA = colormaps["plasma"](0.15 + 0.85 * _SCALE)[:, :3]
HEAT = ListedColormap(np.column_stack([_PLASMA, 0.8 * _SCALE**0.7]))
OUTLINES = (("white", "-"), ("#6fe3ff", (0, (3, 1.5))), ("#b6ff6f", ":"))


@style.styled
def heat_map_panel(
    images: np.ndarray,
    maps: dict[str, np.ndarray],
    outlines: dict[str, np.ndarray],
    titles: Sequence[str],
    inside: dict[str, Sequence[float]],
    name: str = "heat-maps",
) -> Figure:
    """Show where each network looks: a column per image, a row per network below the image itself.

    The maps are in [0, 1]. Of at most three outlines the first is the one ``inside`` which a share of the
    map lies, NaN where the map is 0.
    """
    where, first = next(iter(outlines.items()))
    sheet, axes = mosaic(["image", *maps], len(images), images[0])
    for n, column in enumerate(axes.T):
        column[0].set_title(titles[n])
        show(column[0], images[n], f"{where} {percent(first[n].mean())}")
        for ax, network in zip(column[1:], maps, strict=True):
            share = inside[network][n]
            note = "no map" if np.isnan(share) else f"{percent(share)} inside"
            show(ax, 0.75 * images[n], note)  # dimmed, so that the colours stand out
            scale = ax.imshow(maps[network][n], cmap=HEAT, vmin=0, vmax=1)
        for ax in column:
            for masks, (colour, ls) in zip(outlines.values(), OUTLINES, strict=False):
                style.draw_outline(ax, masks[n], colour, 1.2, ls)
    bar = sheet.colorbar(scale, ax=axes[1:], aspect=14 * len(maps), pad=0.015)
    bar.set_ticks([0, 1], labels=["0", "most"])
    bar.set_label("speaks for the class", labelpad=-20)
    bar.ax.set_facecolor("0.3")
    bar.outline.set_visible(False)
    lines = {o: {"color": c, "ls": ls} for o, (c, ls) in zip(outlines, OUTLINES, strict=False)}
    style.legend_below(sheet, lines, dark=True)
    caption = (
        "What speaks for the class, laid over the image. The numbers are the share of the map inside the "
        f"outline ({where}), to be read beside the share of the image inside, in the first row."
    )
    return style.finished(sheet, name, "png", caption, in_words(axes))


@style.styled
def recommendation_panel(
    images: Mapping[int, np.ndarray] | np.ndarray,
    flow: np.ndarray,
    quality: np.ndarray,
    made: Recommendations,
    each: int = 4,
) -> Figure:
    """Show images rightly and wrongly used and excluded, with what the heads predict of them.

    Flow and quality are the true classes (N,). The first ``each`` images of each outcome are shown; a
    mapping, number -> image, needs to hold these only.
    """
    kinds = outcomes(flow, quality, made)
    rows = {OUTCOMES[i]: np.flatnonzero(kinds == OUTCOMES[i]).tolist() for i in (0, 3, 2, 1)}
    counts = [f"{kind}: {len(found)}" for kind, found in rows.items()]
    first = next(n for found in rows.values() for n in found)
    sheet, axes = mosaic([c for c in counts if not c.endswith(": 0")], each, images[first], lines=3)
    for row, kind in zip(axes, filter(rows.get, rows), strict=True):
        colour = style.WRONG if kind.startswith("wrongly") else style.INK
        for ax, n in zip(row, rows[kind], strict=False):
            show(ax, images[n])
            ax.set_title(_decision(flow[n], quality[n], made, n), color=colour, fontsize=8)
    caption = (
        f"Images {', '.join(counts)}; the first {each} of each kind. Below the truth stands each "
        "head's likeliest class, with its probability, and the recommendation with the probability of "
        "exclusion, that of TR times that of poor quality."
    )
    return style.finished(sheet, "recommendations", "png", caption, in_words(axes))


def _decision(flow: int, quality: int, made: Recommendations, n: int) -> str:
    """The truth, the heads' predictions for image n, and the recommendation, a line each."""
    f, q = made.predicted_flow[n], made.predicted_quality[n]
    return (
        f"true {FLOWS[flow]}, {QUALITIES[quality]}\n"
        f"predicted {FLOWS[f]} {made.flow[n][f]:.2f}, {QUALITIES[q]} {made.quality[n][q]:.2f}\n"
        f"{'exclude' if made.excluded[n] else 'use'} (exclusion {made.probability[n]:.2f})"
    )
