"""How long preparing a raw set takes beside OpenCV's own decode and resize of the same files.

    PYTHONPATH=. python tests/benchmarks/bench_reading.py montgomery RAW --copies 4

Ours is `data_prep.reading.read_all`: everything between a raw file and the finished image in the work
folder. Theirs is `cv2.imread` as grey and `cv2.resize`, once as cheaply as can be (the image bicubic, each
mask file by its nearest pixel) and once so that every pixel counts, as with ours (`INTER_AREA`). OpenCV
reads no DICOM: of those it gets the JPEG inside as a file of its own, taken out beforehand. All have the
same threads, take turns in one process, and are timed by the clock and by processor time.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from pydicom import dcmread
from pydicom.encaps import get_frame
from pydicom.uid import JPEGBaseline8Bit

from data_prep import montgomery, rsna, shenzhen, unlabelled
from data_prep.reading import read_all
from data_prep.workfolder import WorkFolder
from ums.backend import thread_count
from ums.data.decode import image_kind

RIVALS = {
    "OpenCV, cheapest": (cv2.INTER_CUBIC, cv2.INTER_NEAREST),
    "OpenCV, by area": (cv2.INTER_AREA, cv2.INTER_AREA),
}
"""How they resize images and masks."""

LISTS = {
    "montgomery": montgomery.list_montgomery,
    "shenzhen": shenzhen.list_shenzhen,
    "rsna": rsna.list_rsna,
    "unlabelled": unlabelled.list_unlabelled,
}


def copied(items, copies, folder):
    """Each item `copies` times, its files copied into `folder` under names of their own."""
    made = []
    for i in range(copies):
        for n, item in enumerate(items):
            files = [
                shutil.copyfile(path, folder / f"{i}-{n}-{k}{path.suffix}")
                for k, path in enumerate((item.image, *item.masks))
            ]
            made.append(replace(item, id=f"{i}-{n}", image=files[0], masks=tuple(files[1:])))
    return made


def for_opencv(image, folder):
    """`image`, or if it is a DICOM file, a copy in `folder` of the JPEG in it; None if there is none."""
    if image_kind(image) != "DICOM":
        return image
    data = dcmread(image)
    if data.file_meta.TransferSyntaxUID != JPEGBaseline8Bit:
        return None
    path = folder / f"{image.stem}.jpg"
    path.write_bytes(get_frame(data.PixelData, 0, number_of_frames=1))
    return path


def ours(items, raw, size, folder):
    """Read all items into a work folder; return the images, (N, size, size)."""
    with WorkFolder(folder / "out", size) as work:
        outcomes = read_all(items, raw, work)
        return np.array(work.array("images")[[outcome.image for outcome in outcomes]])


def theirs(paths, items, size, how, mask_how):
    """Read all files with OpenCV, resize images and masks so; return the images, (N, size, size)."""
    images = np.empty((len(paths), size, size), np.uint8)
    masks = np.empty((len(paths), 2, size, size), np.uint8)

    def read(i):
        image = cv2.imread(str(paths[i]), cv2.IMREAD_GRAYSCALE)
        images[i] = cv2.resize(image, (size, size), interpolation=how)
        for k, path in enumerate(items[i].masks):
            mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            masks[i, k] = cv2.resize(mask, (size, size), interpolation=mask_how)

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    with ThreadPoolExecutor(thread_count()) as pool:
        list(pool.map(read, range(len(paths))))
    cv2.setNumThreads(threads)
    return images


def timed(work):
    """Seconds by the clock, and of all this process's threads."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def main(arguments=None):
    """Print the times of all and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=LISTS)
    parser.add_argument("raw", type=Path, help="the raw set's folder")
    parser.add_argument("--size", type=int, default=256, help="pixels a side (%(default)s)")
    parser.add_argument("--copies", type=int, default=1, help="of each file (%(default)s)")
    parser.add_argument("--runs", type=int, default=7, help="turns of each (%(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        items = copied(LISTS[options.set](options.raw).items, options.copies, folder)
        paths = [for_opencv(item.image, folder) for item in items]
        items = [item for item, path in zip(items, paths, strict=True) if path]
        paths = [path for path in paths if path]
        contestants = {"ours": lambda: ours(items, folder, options.size, folder)}
        for name, how in RIVALS.items():
            contestants[name] = lambda how=how: theirs(paths, items, options.size, *how)
        times = {name: [] for name in contestants}
        for turn in range(1 + options.runs):
            for name, work in contestants.items():
                seconds = timed(work)
                if turn > 0:  # the first warms up
                    times[name].append(seconds)
    print(
        f"{len(items)} images of {options.set} to {options.size} pixels, {thread_count()} threads"
    )
    for name in RIVALS:
        report(times["ours"], times[name], name, len(items))


def report(our_times, their_times, name, n):
    """Print a line for clock and for processor time, both in milliseconds an image, and the ratio."""
    for place, what in enumerate(("clock", "processor")):
        ours, theirs = ([pair[place] for pair in times] for times in (our_times, their_times))
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        typical, theirs_typical = (1000 * statistics.median(times) / n for times in (ours, theirs))
        print(
            f"{what}: ours {typical:.2f} ms, {name} {theirs_typical:.2f} ms an image; ratio "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    main()
