"""Read many images into a work folder, on all processors and with a progress bar."""

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from data_prep.boxes import check_within
from data_prep.duplicates import Digests, digests
from data_prep.images import resize_classes, resize_mask
from data_prep.listing import Item
from data_prep.workfolder import Outcome, Refused, WorkFolder
from ums.backend import thread_count
from ums.data.decode import decode_colour, decode_grey, decode_mask
from ums.data.resize import resize_image


def read_all(
    items: Sequence[Item], raw: Path, work: WorkFolder, *, strict: bool = False
) -> list[Outcome]:
    """Read those of ``items`` that ``work`` does not hold yet.

    Only the images now being read are in memory, one per processor.

    Args:
        items: The images.
        raw: The folder from which file names are recorded.
        work: Where finished images go.
        strict: Stop at the first file that cannot be used.

    Returns:
        The outcome of each item, in their order.

    Raises:
        Refused: A file cannot be used and ``strict`` is set.
    """
    keys = [_key(item, raw) for item in items]
    todo = [i for i, key in enumerate(keys) if key not in work.outcomes]
    bar = tqdm(
        total=len(items), initial=len(items) - len(todo), desc="reading", unit="image", disable=None
    )
    queue, lock, stop = iter(todo), threading.Lock(), threading.Event()

    def work_off() -> None:
        while not stop.is_set():
            with lock:
                i = next(queue, None)
            if i is None:
                return
            try:
                read = _read(items[i], work.size, work.colour)
            except BaseException:
                stop.set()
                raise
            with lock:
                if isinstance(read, str):
                    work.refuse(keys[i], read)
                    if strict:
                        stop.set()
                else:
                    work.add(keys[i], *read)
                bar.update()

    with bar:
        _on_all_processors(work_off, stop)
    if strict:
        _raise_first(items, [work.outcomes.get(key) for key in keys])
    return [work.outcomes[key] for key in keys]


def _on_all_processors(work_off: Callable[[], None], stop: threading.Event) -> None:
    # Each of our threads has an image of its own; OpenCV's would only wait for each other.
    theirs = cv2.getNumThreads()
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(thread_count(), thread_name_prefix="reading") as pool:
        try:
            for job in [pool.submit(work_off) for _ in range(thread_count())]:
                job.result()
        finally:
            stop.set()
            cv2.setNumThreads(theirs)


def _raise_first(items: Sequence[Item], outcomes: Sequence[Outcome | None]) -> None:
    """Raise ``Refused`` for the first of the items that cannot be used, if there is one."""
    for item, outcome in zip(items, outcomes, strict=True):
        if outcome and outcome.why:
            raise Refused(f"{item.image}: {outcome.why}")


def full_digests(
    items: Sequence[Item], outcomes: Sequence[Outcome], colour: bool = False
) -> list[Digests]:
    """Return the digests of each item that :func:`data_prep.duplicates.without_duplicates` needs.

    Equal pictures have equal resized versions and equal sizes, so only files that share both with
    another are read again.
    """
    small = [(outcome.digest, outcome.shape) for outcome in outcomes]
    count: dict[tuple, int] = {}
    for one in small:
        count[one] = count.get(one, 0) + 1

    def digest(i: int) -> Digests:
        if count[small[i]] == 1:
            return small[i], small[i]
        data = items[i].image.read_bytes()
        return digests(data, _decoder(colour)(data, items[i].image.name))

    with ThreadPoolExecutor(thread_count()) as pool:
        return list(pool.map(digest, range(len(items))))


def _key(item: Item, raw: Path) -> str:
    """Return what identifies a finished image: its boxes; names, sizes and times of its files."""
    parts = [] if item.box is None else [f"box {item.box}"]
    if item.boxes:
        parts.append(f"boxes {item.boxes}")
    if item.values:
        parts.append(f"values {item.values}")
    for path in (item.image, *item.masks):
        name = os.path.relpath(path, raw)
        try:
            state = path.stat()
            parts.append(f"{name} {state.st_size} {state.st_mtime_ns}")
        except OSError:
            parts.append(f"{name} missing")
    return "\n".join(parts)


def _decoder(colour: bool) -> Callable[[bytes, str], np.ndarray]:
    return decode_colour if colour else decode_grey


def _read(
    item: Item, size: int, colour: bool
) -> tuple[np.ndarray, np.ndarray | None, tuple[int, int]] | str:
    """Return image, mask or None and original shape of one item, or why it cannot be used."""
    path, mask = item.image, None
    try:
        image = _decoder(colour)(path.read_bytes(), path.name)
        _check_image(image, colour)
        shape: tuple[int, int] = image.shape[:2]
        check_within(item, shape)
        for path in item.masks:
            part = _decode_mask(path, item.values)
            _check_mask(part, path.name, shape, len(item.values) or 2)
            mask = part if mask is None else mask | part
        image = _cut(image, item.box)
        if (image == image[0, 0]).all():
            raise ValueError(f"one grey level: every pixel is {image[0, 0]}")
        small = None if mask is None else _small_mask(_cut(mask, item.box), size, item.values)
    except ValueError as error:
        return str(error).removeprefix(f"{item.image.name}: ")
    except OSError as error:
        return f"{path.name}: {error.strerror or error}".removeprefix(f"{item.image.name}: ")
    return resize_image(image, size), small, shape


def _check_image(image: np.ndarray, colour: bool) -> None:
    """Check what a decoder returned: (H, W), or in colour (H, W, 3), uint8; at least one pixel."""
    channels = (3,) if colour else ()
    if image.dtype != np.uint8 or image.shape[2:] != channels or image.ndim < 2 or not image.size:
        expected = "uint8 (H, W, 3)" if colour else "uint8 (H, W)"
        raise ValueError(f"decoded to {image.dtype} {image.shape}, should be {expected}")


def _decode_mask(path: Path, values: tuple[int, ...]) -> np.ndarray:
    if not values:
        return decode_mask(path.read_bytes(), path.name)
    grey = decode_grey(path.read_bytes(), path.name)
    return np.searchsorted(values, grey).astype(np.uint8)


def _check_mask(mask: np.ndarray, name: str, shape: tuple[int, int], classes: int = 2) -> None:
    """Check what a decoder returned for a mask: uint8 of 0 and 1, or of classes, as large as its image."""
    if mask.shape != shape:
        found = " x ".join(str(side) for side in mask.shape)
        expected = f"{shape[0]} x {shape[1]}"
        raise ValueError(f"mask {name} is {found} (height x width), its image {expected}")
    if mask.dtype != np.uint8 or mask.max() >= classes:
        found = f"{mask.dtype} up to {mask.max()}"
        raise ValueError(f"mask {name} decoded to {found}, should be uint8 of 0 and 1")


def _small_mask(mask: np.ndarray, size: int, values: tuple[int, ...] = ()) -> np.ndarray:
    if values:
        return resize_classes(mask, size, len(values))
    small = resize_mask(mask, size)
    if not small.any():
        raise ValueError(f"nothing is left of its mask at {size} x {size} pixels")
    return small


def _cut(array: np.ndarray, box: tuple[int, int, int, int] | None) -> np.ndarray:
    """Return the part ``box`` of ``array`` (H, W, ...); ``ValueError`` where it has no such part."""
    if box is None:
        return array
    x, y, width, height = box
    if min(x, y) < 0 or min(width, height) < 1:
        raise ValueError(f"the box {box} should be x, y, width, height from 0, 0, 1, 1")
    if x + width > array.shape[1] or y + height > array.shape[0]:
        size = f"{array.shape[1]} x {array.shape[0]}"
        raise ValueError(f"the box {box} (x, y, width, height) is not within its {size} pixels")
    return array[y : y + height, x : x + width]
