"""Read one image or mask of whatever kind the public sets hold, and bring it to one size."""

import zlib
from itertools import pairwise

import cv2
import numpy as np

from data_prep.dicom import decode_dicom, is_dicom

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


def decode_grey(data, path):
    """Return the PNG, JPEG or DICOM whose bytes are `data` as (H, W) uint8 grey values.

    Colour and palette become luminance, transparency is ignored, 16 bits become 8 over their full
    range, and of a DICOM as `decode_dicom` says. The name's ending does not matter. Raises
    `ValueError`, naming the file at `path`, where it is empty, cut off or no such image.
    """
    if is_dicom(data):
        try:
            return decode_dicom(data, lambda jpeg: decode_grey(jpeg, "its image"))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    image = _decode(data, path)
    if image.ndim == 3:
        image = image[..., 0] if image.shape[2] < 3 else _luminance(image[..., :3])
    return _to_8_bits(image, path)


def decode_colour(data, path):
    """The PNG or JPEG in `data` as (H, W, 3) uint8 in red, green and blue; else as `decode_grey`."""
    image = _decode(data, path)
    if image.ndim == 2 or image.shape[2] < 3:
        image = np.repeat(image.reshape(*image.shape[:2], -1)[..., :1], 3, axis=2)
    return _to_8_bits(np.ascontiguousarray(image[..., 2::-1]), path)


def _decode(data, path):
    """(H, W) or (H, W, C) with blue first, of whatever type the file has."""
    why = _damage(data)
    if why:
        raise ValueError(f"{path}: {why}")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise ValueError(f"{path}: cannot be decoded: {error.err}") from error
    if image is None:
        raise ValueError(f"{path}: cannot be decoded")
    return image


def _to_8_bits(image, path):
    if image.dtype == np.uint16:
        image = np.rint(image / np.float32(257)).astype(np.uint8)
    if image.dtype != np.uint8:
        raise ValueError(f"{path}: values of type {image.dtype}, should be 8 or 16 bits")
    return image


def image_kind(path):
    """ "PNG", "JPEG" or "DICOM" by the first bytes of the file at `path`; None for anything else."""
    with open(path, "rb") as file:
        start = file.read(132)
    if is_dicom(start):
        return "DICOM"
    return "PNG" if start.startswith(_PNG) else "JPEG" if start.startswith(_JPEG) else None


def decode_mask(data, path):
    """A mask as (H, W) uint8 of 0 and 1, whichever two values the file holds; else as `decode_grey`."""
    grey = decode_grey(data, path)
    return (grey > grey.max() // 2).view(np.uint8)


def resize_image(image, size):
    """Bicubic resize of (H, W) or (H, W, 3) uint8 to size x size, as in UMS-Rep, section 3.1.1."""
    height, width = image.shape[:2]
    # The cubic looks at 4 x 4 pixels only: from a film of 4,000 pixels it would pick single grains
    # and fine ribs would alias. Averaging down to twice the size first lets every pixel count.
    if max(height, width) > 2 * size:
        twice = (min(width, 2 * size), min(height, 2 * size))
        image = cv2.resize(image, twice, interpolation=cv2.INTER_AREA)
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC)


def resize_mask(mask, size):
    """Resize (H, W) of 0 and 1 to (size, size) uint8 of 0 and 1: 1 where most of a pixel was."""
    rows = _fewer_rows(mask, size) if min(mask.shape) > size else mask.astype(np.float32)
    share = cv2.resize(rows, (size, size), interpolation=cv2.INTER_AREA)
    # Half is not most, whichever way the fractions were rounded.
    return (share > 0.5 + 1e-5).view(np.uint8)


def _fewer_rows(mask, size):
    """The mean of `mask` (H, W) over each of `size` equal bands of rows, (size, W) float32.

    `cv2.INTER_AREA` does the same, but column by column: on large films five times as slowly.
    """
    H = len(mask)
    ends = np.arange(size + 1) * (H / size)
    first = np.minimum(ends.astype(int), H - 1)
    whole = [mask[a:b].sum(axis=0, dtype=np.uint16) for a, b in pairwise(first)]
    share = np.float32(ends - first)[:, None] * mask[first]  # of the row in which a band ends
    return (np.float32(whole) + share[1:] - share[:-1]) * np.float32(size / H)


def _luminance(image):
    return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_BGR2GRAY)


def _damage(data):
    """Say what is wrong with the bytes of an image, or None; decoders fill cut-off parts quietly."""
    if not data:
        return "the file is empty"
    if data.startswith(_PNG):
        return _png_damage(data)
    if data.startswith(_JPEG):
        return _jpeg_damage(data)
    return "neither PNG nor JPEG nor DICOM"


def _png_damage(data):
    """Walk the chunks (length, kind, content, checksum) up to IEND."""
    at = len(_PNG)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            break
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            return "damaged PNG: a checksum does not fit"
        if data[at + 4 : at + 8] == b"IEND":
            return None
        at = end
    return "truncated PNG: its end is missing"


def _jpeg_damage(data):
    """Walk the segments to the scan, so that the end of a thumbnail is not taken for the image's.

    Damage within the scan is not found: OpenCV fills it in, and libjpeg's warning goes to the screen only.
    """
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        if data[at + 1] == 0xFF:
            at += 1
        elif data[at + 1] == 0xDA:
            ends = data.rfind(b"\xff\xd9") > at
            return None if ends else "truncated JPEG: its end is missing"
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return "truncated JPEG: no image data"
