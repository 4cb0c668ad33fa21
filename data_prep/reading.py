"""Read many images on all processors into a work folder, with progress and time left."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
from tqdm import tqdm

from data_prep.duplicates import digests
from data_prep.images import resize_image, resize_mask
from ums.backend import thread_count
from ums.data.decode import decode_colour, decode_grey, decode_mask


def read_all(items, raw, work, *, strict=False):
    """Read what `work` has not of `items`; return the `Outcome` of each, in their order.

    Only the images now being read are in memory, one per processor. raw: the folder that file names
    are recorded from. With `strict`, raises `ValueError` for the first file that cannot be used.
    """
    keys = [_key(item, raw) for item in items]
    todo = [i for i, key in enumerate(keys) if key not in work.outcomes]
    bar = tqdm(
        total=len(items), initial=len(items) - len(todo), desc="reading", unit="image", disable=None
    )
    queue, lock, stop = iter(todo), threading.Lock(), threading.Event()

    def work_off():
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

    # Each of our threads has an image of its own; OpenCV's would only wait for each other.
    theirs = cv2.getNumThreads()
    cv2.setNumThreads(1)
    with bar, ThreadPoolExecutor(thread_count(), thread_name_prefix="reading") as pool:
        try:
            for job in [pool.submit(work_off) for _ in range(thread_count())]:
                job.result()
        finally:
            stop.set()
            cv2.setNumThreads(theirs)
    if strict:
        done = ((item, work.outcomes.get(key)) for item, key in zip(items, keys, strict=True))
        bad = [f"{item.image}: {outcome.why}" for item, outcome in done if outcome and outcome.why]
        if bad:
            raise ValueError(bad[0])
    return [work.outcomes[key] for key in keys]


def full_digests(items, outcomes, colour=False):
    """For `without_duplicates`: what tells the pictures of `items` apart, read again where needed.

    Equal pictures have equal small versions and sizes, so only files that have those in common with
    another are read again. Returns a pair (of the file, of the pixels) for each item.
    """
    small = [(outcome.digest, outcome.shape) for outcome in outcomes]
    count = {}
    for one in small:
        count[one] = count.get(one, 0) + 1

    def digest(i):
        if count[small[i]] == 1:
            return small[i], small[i]
        data = items[i].image.read_bytes()
        return digests(data, _decoder(colour)(data, items[i].image.name))

    with ThreadPoolExecutor(thread_count()) as pool:
        return list(pool.map(digest, range(len(items))))


def _key(item, raw):
    """What a finished image is found again by: names, sizes and times of its files."""
    parts = [] if item.box is None else [f"box {item.box}"]
    for path in (item.image, *item.masks):
        name = os.path.relpath(path, raw)
        try:
            state = path.stat()
            parts.append(f"{name} {state.st_size} {state.st_mtime_ns}")
        except OSError:
            parts.append(f"{name} missing")
    return "\n".join(parts)


def _decoder(colour):
    return decode_colour if colour else decode_grey


def _read(item, size, colour):
    """(image, mask or None, original shape) of one item, or why it cannot be used."""
    path, mask = item.image, None
    try:
        image = _decoder(colour)(path.read_bytes(), path.name)
        shape = image.shape[:2]
        for path in item.masks:
            part = decode_mask(path.read_bytes(), path.name)
            if part.shape != shape:
                return (
                    f"mask {path.name} is {part.shape[0]} x {part.shape[1]} (height x width), "
                    f"its image {shape[0]} x {shape[1]}"
                )
            mask = part if mask is None else mask | part
        image, mask = (_cut(array, item.box) for array in (image, mask))
    except ValueError as error:
        return str(error).removeprefix(f"{item.image.name}: ")
    except OSError as error:
        return f"{path.name}: {error.strerror or error}".removeprefix(f"{item.image.name}: ")
    small = None if mask is None else resize_mask(mask, size)
    return resize_image(image, size), small, shape


def _cut(array, box):
    """The part `box` of `array` (H, W, ...), which may be None; `ValueError` where it has no such."""
    if array is None or box is None:
        return array
    x, y, width, height = box
    if min(x, y) < 0 or min(width, height) < 1:
        raise ValueError(f"the box {box} should be x, y, width, height from 0, 0, 1, 1")
    if x + width > array.shape[1] or y + height > array.shape[0]:
        size = f"{array.shape[1]} x {array.shape[0]}"
        raise ValueError(f"the box {box} (x, y, width, height) is not within its {size} pixels")
    return array[y : y + height, x : x + width]
