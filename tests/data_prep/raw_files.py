"""Raw folders of small pictures under given names, and what a listing says of them."""

import sys

import cv2
import numpy as np
import pytest

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs names of any bytes, and pipes")


def write(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(len(str(path))).integers(0, 256, (16, 16), np.uint8)
        path.write_bytes(cv2.imencode(".png", pixels)[1])
    return folder


def reasons(folder, problems):
    return {path.relative_to(folder).as_posix(): why for path, why in problems}
