"""The pictures of the derived recommendation: how often it is right, and what it says of images.

As in `ums.experiments.report.pictures`: plain arrays and dicts in, a `report.Figure` out, and `ValueError`
where what belongs together differs in length.
"""

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap

from ums.derived.recommendation import FLOWS, OUTCOMES, QUALITIES, outcomes
from ums.experiments.report.page import Figure
from ums.experiments.report.style import (
    INK,
    PAGE,
    SOFT,
    WRONG,
    check_lengths,
    label_row,
    new_sheet,
    pixels,
    saved,
    show_image,
)

WORDS = ("use", "exclude")
SHADES = ListedColormap(colormaps["Blues"](np.linspace(0, 0.75, 256)))


def confusion_tables(tables, name="recommendation-tables"):
    """Draw tables of true and recommended use side by side, with counts and each row's shares.

    tables: label, such as a strategy -> (2, 2) counts, true use and exclude in rows, said use and
    exclude in columns.
    """
    check_lengths("confusion_tables", tables)
    for label, table in tables.items():
        if np.shape(table) != (2, 2) or np.min(table) < 0:
            raise ValueError(f"confusion_tables, {label}: (2, 2) counts are needed, got {table}")
    columns = min(len(tables), 4)
    rows = -(-len(tables) // columns)
    width = min(PAGE, 2.3 * columns + 0.4)
    with new_sheet(width, 2.45 * rows) as sheet:
        sheet.get_layout_engine().set(h_pad=0.08, w_pad=0.08)
        axes = sheet.subplots(rows, columns, squeeze=False)
        for ax in axes.flat[len(tables) :]:
            ax.set_axis_off()
        for i, (label, table) in enumerate(tables.items()):
            ax = axes.flat[i]
            _draw_table(ax, np.asarray(table))
            ax.set_title(label, loc="left", fontweight="bold")
            ax.set_xticks([0, 1], WORDS)
            ax.set_yticks([0, 1], WORDS if i % columns == 0 else ["", ""], rotation=90, va="center")
            ax.set_xlabel("recommended")
            ax.set_ylabel("true" if i % columns == 0 else "")
        data = saved(sheet, "svg")
    caption = (
        "Images by what should be done and what is recommended; the shares are of a row's images."
    )
    told = [
        f"{label}: " + ", ".join(
            f"{_percent(table[i], j)} ({table[i][j]}) of those to {WORDS[i]} {said}"
            for i, j, said in ((0, 0, "used"), (1, 1, "excluded"))
        )
        for label, table in tables.items()
    ]  # fmt: skip
    alt = f"Recommendations beside the truth. {'; '.join(told)}."
    return Figure(name, data, caption, alt, width=pixels(width))


def _draw_table(ax, table):
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares, cmap=SHADES, vmin=0, vmax=1)
    for (i, j), share in np.ndenumerate(shares):
        text = {"ha": "center", "color": "white" if share > 0.65 else INK}
        ax.text(j, i - 0.03, f"{table[i, j]}", va="bottom", fontsize=13, **text)
        ax.text(j, i + 0.05, _percent(table[i], j), va="top", fontsize=8.5, **text)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(True)


def _percent(row, j):
    """Return a count's share of its row in words."""
    return f"{100 * row[j] / np.sum(row):.0f} %" if np.sum(row) else "none there"


def recommendation_panel(images, flow, quality, said, each=4, name="recommendations"):
    """Show images rightly and wrongly used and excluded, a row for each, with what the heads said.

    images: (N, H, W, 3) or (N, H, W) uint8. flow, quality: (N,) true classes. said:
    `ums.derived.Recommendations` of the same images. each: how many of a row are shown, the first.
    """
    check_lengths("recommendation_panel", flow, quality, said)
    kinds = outcomes(flow, quality, said)
    rows = {OUTCOMES[i]: np.flatnonzero(kinds == OUTCOMES[i]) for i in (0, 3, 2, 1)}
    H, W = next(iter(images.values())).shape[:2]
    side = PAGE / (each + 0.15) * H / W
    heights = [side + 0.6 if len(found) else 1.4 for found in rows.values()]
    with new_sheet(PAGE, sum(heights)) as sheet:
        sheet.get_layout_engine().set(h_pad=0.06)
        axes = sheet.subplots(len(rows), each, squeeze=False, height_ratios=heights)
        for row, (kind, found) in zip(axes, rows.items(), strict=True):
            colour = WRONG if kind.startswith("wrongly") else INK
            for ax, n in zip(row, found, strict=False):
                show_image(ax, images[n], 255)
                title = "\n".join(_title(flow[n], quality[n], said, n))
                ax.set_title(title, color=colour, fontsize=8)
            for ax in row[len(found) :]:
                ax.set_axis_off()
            if not len(found):
                row[0].text(0.5, 0.5, "none", ha="center", color=SOFT, transform=row[0].transAxes)
            label_row(row[0], f"{kind}: {len(found)}")
        data = saved(sheet, "png")
    caption = (
        f"Up to {each} images of each kind, the first of the test images. Below the truth stands what each "
        "head holds for likeliest, with its probability, and the recommendation with the probability of "
        "exclusion, that of TR times that of poor quality."
    )
    told = [
        f"{kind} {len(found)}"
        + "".join(f"; {', '.join(_title(flow[n], quality[n], said, n))}" for n in found[:each])
        for kind, found in rows.items()
    ]
    alt = f"Recommendations for {len(flow)} images. {'. '.join(told)}."
    return Figure(name, data, caption, alt, width=pixels(PAGE))


def _title(flow, quality, said, n):
    """Return the truth, what the heads said of image n, and the recommendation."""
    f, q = said.predicted_flow[n], said.predicted_quality[n]
    return (
        f"true {FLOWS[flow]}, {QUALITIES[quality]}",
        f"said {FLOWS[f]} {said.flow[n][f]:.2f}, {QUALITIES[q]} {said.quality[n][q]:.2f}",
        f"{WORDS[int(said.excluded[n])]} (exclusion {said.probability[n]:.2f})",
    )
