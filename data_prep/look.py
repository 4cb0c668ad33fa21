"""Two pictures of a prepared set, to see with one's own eyes that it is what it should be.

The contact sheet shows some of its images with the outlines of masks and the labels; the summary,
how large the originals were, how grey the images are and how many there are of each class.
"""

import io
from textwrap import fill

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ums.data.prepared import SPLITS
from ums.data.rows import parts

TILES, COLUMNS, TILE = 48, 8, 192
CAPTION = 34
MASK, OPACITY = (80, 220, 80), (60, 140, 255)  # BGR


def draw_pictures(
    images, ids, splits, labels, masks=None, opacities=None, has_mask=None, about=None, shapes=()
):
    """Return {"sheet.png": bytes, "summary.png": bytes} of a set; arrays as for `save_prepared`.

    shapes: (height, width) of each original, where known.
    """
    about, splits = about or {}, np.asarray(splits)
    names = about.get("label_values", {})
    sheet = contact_sheet(images, ids, splits, labels, masks, opacities, has_mask, names)
    summary = summary_plot(images, splits, labels, shapes, names, about.get("name", "images"))
    return {"sheet.png": sheet, "summary.png": summary}


def contact_sheet(images, ids, splits, labels, masks, opacities, has_mask, names):
    """A PNG of at most `TILES` images, evenly from the whole set; outlines green (mask), orange."""
    rows = np.unique(np.linspace(0, len(images) - 1, min(TILES, len(images))).astype(int))
    columns = min(COLUMNS, len(rows))
    height = TILE + CAPTION
    sheet = np.zeros((-(-len(rows) // columns) * height, columns * TILE, 3), np.uint8)
    for place, row in enumerate(map(int, rows)):
        y, x = place // columns * height, place % columns * TILE
        tile = cv2.resize(images[row], (TILE, TILE), interpolation=cv2.INTER_AREA)
        tile = cv2.cvtColor(tile, cv2.COLOR_GRAY2BGR) if tile.ndim == 2 else tile[..., ::-1].copy()
        for mask, colour in ((masks, MASK), (opacities, OPACITY)):
            if mask is not None:
                _outline(tile, mask[row], colour)
        sheet[y : y + TILE, x : x + TILE] = tile
        values = [_named(v[row], name, names) for name, v in labels.items() if v[row] >= 0]
        without = masks is not None and has_mask is not None and not has_mask[row]
        notes = [str(splits[row]), *values, *(["no mask"] if without else [])]
        for line, text in enumerate((str(ids[row])[-30:], ", ".join(notes))):
            at = (x + 3, y + TILE + 13 + 15 * line)
            cv2.putText(sheet, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (230,) * 3, 1, cv2.LINE_AA)
            sheet[y + TILE : y + height, x + TILE :] = 0  # what is too long stays in its tile
    return cv2.imencode(".png", sheet)[1].tobytes()


def summary_plot(images, splits, labels, shapes, names, title):
    """A PNG of three plots: sizes of the originals, grey levels, images of each class and split."""
    figure = Figure(figsize=(13, 4), layout="constrained")
    figure.suptitle(f"{title}: {len(images)} images of {images.shape[2]} x {images.shape[1]}")
    sizes, greys, classes = figure.subplots(1, 3)
    sizes.set(title="originals", xlabel="width (pixels)", ylabel="height (pixels)")
    if len(shapes):
        counted, times = np.unique(np.asarray(shapes), axis=0, return_counts=True)
        sizes.scatter(counted[:, 1], counted[:, 0], s=8 + 120 * times / times.max(), alpha=0.4)
        sizes.set(xlim=(0, None), ylim=(0, None))
    else:
        sizes.text(0.5, 0.5, "not recorded", ha="center", transform=sizes.transAxes)
    counts = np.zeros(256)
    for _, part in parts(images):
        counts += np.ravel(cv2.calcHist([part.reshape(-1, 1)], [0], None, [256], [0, 256]))
    greys.stairs(counts / counts.sum(), np.arange(257), fill=True)
    greys.set(title="prepared images", xlabel="grey level", ylabel="share of pixels", yscale="log")
    bars = [
        (fill(_named(value, name, names), 9), splits[values == value])
        for name, values in labels.items()
        for value in np.unique(values[values >= 0])
    ] or [("images", splits)]
    bottom = np.zeros(len(bars))
    for split in SPLITS:
        heights = np.array([np.count_nonzero(of == split) for _, of in bars])
        classes.bar([text for text, _ in bars], heights, bottom=bottom, label=split)
        bottom += heights
    classes.set(title="classes", ylabel="images")
    classes.legend()
    file = io.BytesIO()
    FigureCanvasAgg(figure).print_png(file)
    return file.getvalue()


def describe_sizes(shapes):
    """The smallest, median and largest (height, width) by area, and how many there are of a size."""
    ordered = sorted(shapes, key=lambda shape: (shape[0] * shape[1], shape))
    found = {"smallest": ordered[0], "median": ordered[len(ordered) // 2], "largest": ordered[-1]}
    described = {name: list(shape) for name, shape in found.items()}
    return described | {"different": len(set(ordered))}


def _outline(tile, mask, colour):
    large = cv2.resize(mask, tile.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(tile, outlines, -1, colour, 1)


def _named(value, label, names):
    return names.get(label, {}).get(str(value), f"{label} {value}")
