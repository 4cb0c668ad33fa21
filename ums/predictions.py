"""What a trained model says of image files: ``python -m ums predict IMAGE... --model results/cxr``.

Of each image it writes a mask for every outline, a heat map for every class that is looked for, and a line of
``predictions.csv``; ``contact.png`` shows all. File names of the images are used, and nothing else that
identifies a patient: no tag of a DICOM file is copied. For research and teaching, not for clinical use.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.special import expit, softmax
from tqdm import tqdm

from ums.backend import Device, choose_device, to_numpy
from ums.data.decode import decode_colour, decode_grey, image_kind
from ums.data.resize import resize_image
from ums.data.typical import unlike
from ums.derived.heat_map import HIRES_CAM, heat_maps
from ums.derived.recommendation import FLOWS, QUALITIES, exclusion_probability
from ums.files import write_whole
from ums.models import Model, load_model

SHEET = 224
"""Side of an image on the contact sheet, in pixels."""


@dataclass(eq=False)
class Prediction:
    """What a model says of one image.

    Attributes:
        path: The file.
        image: (H, W) or (H, W, 3) uint8, as it was read.
        probabilities: Task -> (K,), the probability of each class, or of each of several labels.
        numbers: Task -> the number that a regression predicts.
        masks: Task -> (H, W) of the image's own size: bool, or classes 0 .. K - 1.
        maps: Task -> (H, W) in 0..1, where the network looked for the class that it is asked for.
        warnings: Why the image is unlike those that the model was trained on.
    """

    path: Path
    image: np.ndarray
    probabilities: dict[str, np.ndarray] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    maps: dict[str, np.ndarray] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def predict_image(model: Model, path: str | Path, device: Device) -> Prediction:
    """What the model, on the device, says of an image file.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no image that can be decoded; the message names it.
    """
    path, colour = Path(path), model.about["input"]["channels"] == 3
    image = (decode_colour if colour else decode_grey)(path.read_bytes(), path)
    small = resize_image(image, model.size)
    x = device.put(model.normalisation(small[None]))
    found = Prediction(path, image, warnings=unlike(image, small, model.about))
    height, width = image.shape[:2]
    for name, network in model.networks.items():
        output = to_numpy(network.forward(x, keep=False))[0]
        task = model.about["tasks"][name]
        if task["kind"] == "regression":
            mean, deviation = task["unit"]
            found.numbers[name] = float(output[0] * deviation + mean)
        elif task["kind"] == "several labels":
            found.probabilities[name] = expit(output.astype(np.float64))
        elif task["kind"] == "segmentation":
            logits = cv2.resize(output, (width, height), interpolation=cv2.INTER_LINEAR)
            found.masks[name] = logits.argmax(axis=2) if logits.ndim == 3 else logits > 0
        else:
            found.probabilities[name] = softmax(output.astype(np.float64))
            shown = None if len(output) > 2 else 1
            map_ = heat_maps(network, x, shown, HIRES_CAM)[0]
            found.maps[name] = cv2.resize(map_, (width, height), interpolation=cv2.INTER_LINEAR)
    return found


# ------------------------------------------------------------------------ files


def image_files(paths: Iterable[str | Path]) -> list[Path]:
    """The files, and of folders all PNG, JPEG and DICOM files in them.

    Raises:
        FileNotFoundError: There is no such file or folder, or no image in a folder.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f"{path}: there is no such file")
        inside = sorted(p for p in path.rglob("*") if p.is_file() and image_kind(p))
        if path.is_dir() and not inside:
            raise FileNotFoundError(f"{path}: no PNG, JPEG or DICOM file in this folder")
        found += inside if path.is_dir() else [path]
    return found


def write_predictions(
    paths: Sequence[Path], model: Model, out: Path, device: Device, progress: bool = True
) -> list[str]:
    """Write what the model says of image files to a folder; files that cannot be read are left out.

    Returns:
        Why files were left out, a line each.

    Raises:
        OSError: A file cannot be written; the message names it.
    """
    out.mkdir(parents=True, exist_ok=True)
    rows, tiles, refused = [], [], []
    names = _names(paths)
    for path in tqdm(paths, "predict", unit="image", disable=None if progress else True):
        try:
            found = predict_image(model, path, device)
        except (OSError, ValueError, MemoryError) as error:
            refused.append(str(error))
            continue
        for suffix, picture in pictures(found):
            write_whole(out / f"{names[path]}-{suffix}.png", _png(picture))
        rows.append(row(found, model))
        tiles.append(_tile(found))
    if rows:
        _write_table(out / "predictions.csv", rows)
        write_whole(out / "contact.png", _png(_sheet(tiles)))
    return refused


def row(found: Prediction, model: Model) -> dict[str, Any]:
    """The line of ``predictions.csv``."""
    line: dict[str, Any] = {"file": str(found.path)}
    for name, mask in found.masks.items():
        line[f"{name}: share of the image"] = f"{(mask > 0).mean():.4f}"
    for name, number in found.numbers.items():
        line[name] = f"{number:.4g}"
    for name, chances in found.probabilities.items():
        task = model.about["tasks"][name]
        for label, chance in zip(task["classes"], chances, strict=True):
            line[f"{name}: {label}"] = f"{chance:.4f}"
        if threshold := task.get("threshold"):
            called = task["classes"][int(chances[1] >= threshold)]
            line[f"{name}: at {threshold:.3f}"] = called
    heads = {
        tuple(model.about["tasks"][n]["classes"]): p[None] for n, p in found.probabilities.items()
    }
    if heads.keys() >= {FLOWS, QUALITIES}:  # the paper's derived task (section 4.2.3)
        (chance,) = exclusion_probability(heads[FLOWS], heads[QUALITIES])
        line["recommendation"] = f"{'exclude' if chance > 0.5 else 'use'} ({chance:.2f})"
    return line | {"warnings": "; ".join(found.warnings)}


def pictures(found: Prediction) -> Iterator[tuple[str, np.ndarray]]:
    """Name -> mask (0 and 255, or its classes), or heat map over the image (BGR)."""
    for name, mask in found.masks.items():
        yield f"{name}-mask", mask.astype(np.uint8) * (255 if mask.dtype == bool else 1)
    for name, map_ in found.maps.items():
        yield f"{name}-map", _overlaid(_bgr(found.image), map_)


def _overlaid(image: np.ndarray, map_: np.ndarray) -> np.ndarray:
    colours = cv2.applyColorMap(np.asarray(255 * map_, np.uint8), cv2.COLORMAP_INFERNO)
    share = 0.6 * map_[..., None]
    return np.asarray(np.rint((1 - share) * image + share * colours), np.uint8)


def _bgr(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_RGB2BGR)


def outlined(found: Prediction, side: int = 768) -> np.ndarray:
    """The image (BGR), its longer side of so many pixels, with the edges of its masks."""
    small = _scaled(_bgr(found.image), side)
    for mask in found.masks.values():
        inside = _scaled((mask > 0).astype(np.uint8), side)
        edges, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(small, edges, -1, (90, 200, 90), 1)
    return small


def _scaled(picture: np.ndarray, side: int) -> np.ndarray:
    scale = side / max(picture.shape[:2])
    sides = [max(1, round(n * scale)) for n in picture.shape[1::-1]]
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(picture, sides, interpolation=how))


def _tile(found: Prediction) -> np.ndarray:
    """The image with its outlines, the first heat map beside it, and its file name."""
    maps = [_scaled(p, SHEET) for name, p in pictures(found) if name.endswith("-map")]
    tile = np.zeros((SHEET + 20, 2 * SHEET, 3), np.uint8)
    for i, picture in enumerate([outlined(found, SHEET), *maps[:1]]):
        tile[: len(picture), i * SHEET : i * SHEET + picture.shape[1]] = picture
    text = found.path.name + (" (!)" if found.warnings else "")
    text = text.encode("ascii", "replace").decode()[-54:]
    place, white = (2, SHEET + 14), (255, 255, 255)
    return np.asarray(cv2.putText(tile, text, place, cv2.FONT_HERSHEY_PLAIN, 0.9, white))


def _sheet(tiles: list[np.ndarray], columns: int = 3) -> np.ndarray:
    blank = np.zeros_like(tiles[0])
    tiles = tiles + [blank] * (-len(tiles) % min(columns, len(tiles)))
    columns = min(columns, len(tiles))
    lines = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)]
    return np.vstack(lines)


def _png(picture: np.ndarray) -> bytes:
    return bytes(cv2.imencode(".png", picture)[1])


def _names(paths: Sequence[Path]) -> dict[Path, str]:
    """File -> what its outputs are called: its name without suffix, and a number if that is not its own."""
    taken: set[str] = set()
    names = {}
    for path in paths:
        numbers = (f"{path.stem}-{n}" for n in count(2))
        names[path] = next(n for n in chain([path.stem], numbers) if n.casefold() not in taken)
        taken.add(names[path].casefold())
    return names


def _write_table(path: Path, rows: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(column for one in rows for column in one))
    lines: list[str] = []

    class Lines:
        write = staticmethod(lines.append)

    table = csv.DictWriter(Lines(), columns, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_whole(path, "".join(lines).encode())


def run(images: Sequence[str], model: str, out: str, device: str) -> int:
    """The command ``python -m ums predict``; its exit status is 1 if a file was left out."""
    chosen = choose_device(device)
    loaded, files = load_model(model).to(chosen), image_files(images)
    refused = write_predictions(files, loaded, Path(out), chosen)
    for line in refused:
        print(f"left out: {line}", file=sys.stderr)
    done = len(files) - len(refused)
    if done:
        images_of = f"{done} image{'s' * (done > 1)}"
        print(f"{Path(out) / 'predictions.csv'}: {images_of}. {loaded.about['notice']}")
    return int(bool(refused))
