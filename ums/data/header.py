"""What a PNG or JPEG file says of its image before it is decoded, and whether the file is whole."""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
MOST_PIXELS = 2**26
"""The largest image that is decoded; a film has a quarter of that, but a header can state anything."""

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # not one of those within the data of a scan
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Values of a pixel by a PNG's colour type."""
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2))  # fmt: skip
"""First column, first row and the steps of each pass of an interlaced PNG."""
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_EXIF = b"Exif\0\0"


@dataclass
class Header:
    """What a file says of its image.

    Attributes:
        height: Rows of pixels, as stored.
        width: Columns of pixels, as stored.
        orientation: How to turn the stored image upright: 1 to 8, as in EXIF.
        bits: The significant bits of each value, if the file is a PNG that states them; else 0.
    """

    height: int = 0
    width: int = 0
    orientation: int = 1
    bits: int = 0


def read_header(data: bytes) -> Header:
    """Read the header of a PNG or JPEG file, and walk through the file to its end.

    Decoders fill in what is missing, and stop where they have enough. The walk finds a missing end, a
    second image and, in a PNG, checksums that do not fit and data of a larger image.

    Raises:
        ValueError: The file is empty, cut off, damaged, or neither PNG nor JPEG; it holds a second
            image; or the image has more than ``MOST_PIXELS`` pixels.
    """
    if data.startswith(PNG):
        header = _png_header(data)
    elif data.startswith(JPEG):
        header = _jpeg_header(data)
    else:
        raise ValueError("neither PNG nor JPEG nor DICOM" if data else "the file is empty")
    check_size(header.height, header.width)
    return header


def check_size(height: int, width: int) -> None:
    """Raise ``ValueError`` for an image of more than ``MOST_PIXELS`` pixels."""
    if height * width > MOST_PIXELS:
        size = f"{height} x {width} pixels (height x width)"
        raise ValueError(f"its image has {size}, should have {MOST_PIXELS:,} at most")


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an image (H, W, ...) as viewers do for an EXIF orientation from 1 to 8."""
    if orientation > 4:
        image = image.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def _png_header(data: bytes) -> Header:
    header, states, pieces = Header(), b"", []
    for kind, content in _png_chunks(data):
        if kind == b"IHDR":
            header.width, header.height = _number(content[:4]), _number(content[4:8])
            states = content
        elif kind == b"IDAT":
            pieces.append(content)
        elif kind == b"sBIT":
            header.bits = max(content, default=0)
        elif kind == b"eXIf":
            header.orientation = _orientation(content.removeprefix(_EXIF))
    check_size(header.height, header.width)
    if _more_than(pieces, _png_bytes(header, states)):
        raise ValueError("damaged PNG: it holds a larger image than its header states")
    return header


def _png_bytes(header: Header, states: bytes) -> int:
    """Return the bytes of the image before compression, the filter of each row included."""
    depth, colour, interlaced = (states[i] if i < len(states) else 0 for i in (8, 9, 12))
    bits, size = depth * _CHANNELS.get(colour, 0), 0
    for x, y, across, down in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        width, height = -(-(header.width - x) // across), -(-(header.height - y) // down)
        if width > 0 and height > 0:
            size += height * (1 + (bits * width + 7) // 8)
    return size


def _more_than(pieces: list[bytes], most: int) -> bool:
    """Return whether the compressed data are of more than ``most`` bytes."""
    inflate, found = zlib.decompressobj(), 0
    try:
        for piece in pieces:
            while piece and found <= most:
                found += len(inflate.decompress(piece, 1 << 20))
                piece = inflate.unconsumed_tail
    except zlib.error as error:
        raise ValueError(f"damaged PNG: {error}") from error
    return found > most


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Walk the chunks (length, kind, content, checksum) up to IEND."""
    at = len(PNG)
    while at + 12 <= len(data):
        kind, end = data[at + 4 : at + 8], at + 12 + _number(data[at : at + 4])
        if end > len(data):
            break
        if zlib.crc32(data[at + 4 : end - 4]) != _number(data[end - 4 : end]):
            raise ValueError("damaged PNG: a checksum does not fit")
        if kind == b"IEND":
            return _check_rest(data[end:])
        yield kind, data[at + 8 : end - 4]
        at = end
    raise ValueError("truncated PNG: its end is missing")


def _jpeg_header(data: bytes) -> Header:
    header = Header()
    for kind, content in _jpeg_segments(data):
        if kind in _FRAMES:
            header.height, header.width = _number(content[1:3]), _number(content[3:5])
        elif kind == 0xE1 and content.startswith(_EXIF):
            header.orientation = _orientation(content.removeprefix(_EXIF))
    return header


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk the segments (marker, length, content) and the data of the scans between them."""
    at = 2
    while found := _MARKER.search(data, at):
        kind, at = found[0][1], found.end()
        if kind == 0xD8:
            raise ValueError("damaged JPEG: a second image begins within the first")
        if kind == 0xD9:
            return _check_rest(data[at:])
        length = _number(data[at : at + 2])
        yield kind, data[at + 2 : at + length]
        at += length
    raise ValueError("truncated JPEG: its end is missing")


def _check_rest(rest: bytes) -> None:
    if PNG in rest or JPEG in rest:
        raise ValueError("a second image follows the first")


def _orientation(tiff: bytes) -> int:
    """Return the orientation that EXIF data state; 1 where they state none or nonsense."""
    order: Literal["little", "big"] = "little" if tiff[:2] == b"II" else "big"

    def number(at: int, length: int) -> int:
        return int.from_bytes(tiff[at : at + length], order)

    first = number(4, 4) + 2  # of the entries: tag, type, count and value
    for at in range(first, len(tiff) - 11, 12)[: number(first - 2, 2)]:
        if number(at, 2) == 0x0112:
            value = number(at + 8, {3: 2, 4: 4}.get(number(at + 2, 2), 1))
            return value if 1 <= value <= 8 else 1
    return 1


def _number(content: bytes) -> int:
    return int.from_bytes(content, "big")
