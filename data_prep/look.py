"""Two pictures of a prepared set, to see that it is what it should be.

The contact sheet shows some of the images with their labels and the outlines of their masks. The
summary shows how large the originals were, how bright the images are and how many images each class
has.
"""

import io
from collections.abc import Mapping, Sequence
from textwrap import fill

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from data_prep.writing import Content
from ums.data.prepared import SPLITS
from ums.data.rows import parts

TILES, COLUMNS, TILE = 48, 8, 192
CAPTION = 34
MASK, OPACITY = (80, 220, 80), (60, 140, 255)  # BGR

Shape = tuple[int, int]


def draw_pictures(content: Content, shapes: Sequence[Shape] = ()) -> dict[str, bytes]:
    """Draw the pictures that accompany a prepared set.

    Args:
        content: The set.
        shapes: (height, width) of each original, if known.

    Returns:
        "sheet.png" and "summary.png", and the bytes of each.
    """
    return {"sheet.png": contact_sheet(content), "summary.png": summary_plot(content, shapes)}


def contact_sheet(content: Content) -> bytes:
    """Draw a PNG of at most ``TILES`` images, taken evenly from the whole set.

    Masks are outlined in green and opacities in orange.
    """
    images = content.images
    rows = np.unique(np.linspace(0, len(images) - 1, min(TILES, len(images))).astype(int))
    columns = min(COLUMNS, len(rows))
    height = TILE + CAPTION
    sheet = np.zeros((-(-len(rows) // columns) * height, columns * TILE, 3), np.uint8)
    for place, row in enumerate(map(int, rows)):
        y, x = place // columns * height, place % columns * TILE
        sheet[y : y + TILE, x : x + TILE] = _tile(content, row)
        for line, text in enumerate((str(content.ids[row])[-30:], _caption(content, row))):
            at = (x + 3, y + TILE + 13 + 15 * line)
            text = text.encode("ascii", "replace").decode()  # all that OpenCV's font can draw
            cv2.putText(sheet, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (230,) * 3, 1, cv2.LINE_AA)
            sheet[y + TILE :, x + TILE :] = 0  # cut off what is too long for its tile
    return bytes(cv2.imencode(".png", sheet)[1])


def _tile(content: Content, row: int) -> np.ndarray:
    """Draw one image with the outlines of its masks, (TILE, TILE, 3) in BGR."""
    tile = cv2.resize(content.images[row], (TILE, TILE), interpolation=cv2.INTER_AREA)
    tile = cv2.cvtColor(tile, cv2.COLOR_GRAY2BGR) if tile.ndim == 2 else tile[..., ::-1].copy()
    for masks, colour in ((content.masks, MASK), (content.opacities, OPACITY)):
        if masks is not None:
            _outline(tile, masks[row], colour)
    return tile


def _caption(content: Content, row: int) -> str:
    names, has_mask = content.about.get("label_values", {}), content.has_mask
    values = [_named(v[row], name, names) for name, v in content.labels.items() if v[row] >= 0]
    without = content.masks is not None and has_mask is not None and not has_mask[row]
    return ", ".join([str(content.splits[row]), *values, *(["no mask"] if without else [])])


def summary_plot(content: Content, shapes: Sequence[Shape]) -> bytes:
    """Draw a PNG of three plots: sizes of the originals, grey levels, images of each class."""
    images, title = content.images, content.about.get("name", "images")
    splits, names = np.asarray(content.splits), content.about.get("label_values", {})
    figure = Figure(figsize=(13, 4), dpi=100, layout="constrained")
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
        for name, values in content.labels.items()
        for value in np.unique(values[values >= 0])
        if name != "age"
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


def describe_sizes(shapes: Sequence[Shape]) -> dict:
    """Return the smallest, median and largest (height, width) by area, and how many differ."""
    ordered = sorted(shapes, key=lambda shape: (shape[0] * shape[1], shape))
    found = {"smallest": ordered[0], "median": ordered[len(ordered) // 2], "largest": ordered[-1]}
    described = {name: list(shape) for name, shape in found.items()}
    return described | {"different": len(set(ordered))}


def _outline(tile: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int]) -> None:
    large = cv2.resize(mask, tile.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(tile, outlines, -1, colour, 1)


def _named(value: int, label: str, names: Mapping[str, Mapping[str, str]]) -> str:
    return names.get(label, {}).get(str(value), f"{label} {value}")
