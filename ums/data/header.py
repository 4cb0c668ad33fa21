"""What a PNG or JPEG file says of its image before it is decoded, and whether the file is whole."""

import re
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
MAX_PIXELS = 2**26
"""The largest image that is decoded; a film has a quarter of that, but a header can state anything."""

_MOST_TEXT = 2**20
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # not one of those within the data of a scan
_ZEROS = re.compile(rb"\0{256,}")
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_XMP_ORIENTATION = re.compile(rb"tiff:Orientation(?:\s*=\s*[\"']|>)\s*([1-8])")


@dataclass
class _Notes:
    """The notes on an image in a file: EXIF data from their byte order on, and XMP."""

    exif: list[bytes] = field(default_factory=list)
    xmp: list[bytes] = field(default_factory=list)

    def add_text(self, kind: bytes, content: bytes) -> None:
        """Keep the text chunk of a PNG, if it is one of those; nonsense is ignored."""
        keyword, _, text = content.partition(b"\0")
        if keyword not in (b"XML:com.adobe.xmp", b"Raw profile type exif"):
            return
        with suppress(ValueError, zlib.error):
            compressed = kind == b"zTXt" or (kind == b"iTXt" and text[:1] == b"\1")
            if kind == b"iTXt":  # flag, method, language and keyword come before the text
                text = text[2:].split(b"\0", 2)[-1]
            elif kind == b"zTXt":
                text = text[1:]
            if compressed:
                text = zlib.decompressobj().decompress(text, _MOST_TEXT)
            if keyword.startswith(b"XML"):
                self.xmp.append(text)
            else:  # "exif", the length, and the bytes in hexadecimal digits
                digits = text.split(None, 2)[-1].decode("ascii")
                self.exif.append(bytes.fromhex(digits).removeprefix(_EXIF))

    def orientation(self) -> int:
        """Return the first orientation but 1 in EXIF or else in XMP; 1 if there is none."""
        stated = [value for tiff in self.exif if (value := _orientation(tiff))]
        if not stated:
            stated = [int(found[1]) for xmp in self.xmp for found in _XMP_ORIENTATION.finditer(xmp)]
        return next((value for value in stated if value > 1), 1)


@dataclass
class Header:
    """What a file says of its image.

    Attributes:
        height: Rows of pixels, as stored.
        width: Columns of pixels, as stored.
        orientation: How to turn the stored image upright: 1 to 8, as in EXIF.
        bits: The significant bits of each value, if the file is a PNG that states them; else 0.
        palette: Whether the pixels of a PNG are indices of a palette.
        transparent: The grey value that a grey PNG states to be transparent; else -1.
        zeros: The longest run of zero bytes in the data of a JPEG, from 256 on; else 0.
    """

    height: int = 0
    width: int = 0
    orientation: int = 1
    bits: int = 0
    palette: bool = False
    transparent: int = -1
    zeros: int = 0


def read_header(data: bytes) -> Header:
    """Read the header of a PNG or JPEG file, and walk through the file to its end.

    Decoders fill in what is missing. The walk finds a missing end, a second image and, in a PNG,
    checksums that do not fit and data of another size. The data of an interlaced PNG are not counted.

    Raises:
        ValueError: The file is empty, cut off, damaged, or neither PNG nor JPEG; it holds a second
            image; or the image has more than ``MAX_PIXELS`` pixels.
    """
    if data.startswith(PNG):
        return _png_header(data)
    if data.startswith(JPEG):
        return _jpeg_header(data)
    if data[:4] in (b"\x02\0\0\0", b"\x08\0\x05\0", b"\x08\0\x08\0", b"\x08\0\x16\0"):
        raise ValueError("DICOM without its preamble: 128 bytes and DICM should be before the data")
    raise ValueError("neither PNG nor JPEG nor DICOM" if data else "the file is empty")


def frame_header(data: bytes) -> list[int]:
    """Return what JPEG, JPEG-LS or JPEG 2000 data state: height, width and bits of each channel.

    Raises:
        ValueError: They state nothing of the kind, or have anything between or in the segments
            before the image of which libjpeg would warn.
    """
    start = data.find(b"\xff\x4f\xff\x51")  # the data may lie within the boxes of a JP2 file
    if start >= 0 and not data.startswith(JPEG):
        size = data[start + 4 :][: _number(data[start + 4 : start + 6])]
        x, y, x0, y0 = (_number(size[at : at + 4]) for at in (4, 8, 12, 16))
        channels = [tuple(size[at : at + 3]) for at in range(38, len(size), 3)]
        if len(channels) == _number(size[36:38]) and {c[1:] for c in channels} == {(1, 1)}:
            return [y - y0, x - x0, *((c[0] & 127) + 1 for c in channels)]
    elif data.startswith(JPEG):
        found, at = [], 2
        for kind, content in _jpeg_segments(data):
            if data[at : at + 2] != bytes([0xFF, kind]) or _is_odd(kind, content):
                break
            at += 4 + len(content)
            if kind in _FRAMES | {0xF7} and len(content) == 6 + 3 * content[5]:
                found = [_number(content[1:3]), _number(content[3:5])] + [content[0]] * content[5]
            if kind == 0xDA and found:
                return found
    raise ValueError("damaged JPEG: what it states of its image makes no sense")


def check_size(height: int, width: int) -> None:
    """Raise ``ValueError`` for an image of more than ``MAX_PIXELS`` pixels."""
    if height * width > MAX_PIXELS:
        size = f"{height} x {width} pixels (height x width)"
        raise ValueError(f"its image has {size}, should have {MAX_PIXELS:,} at most")


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
    header, states, pieces, notes = Header(), bytes(13), [], _Notes()
    for kind, content in png_chunks(data):
        if kind == b"IHDR":
            states = content.ljust(13, b"\0")
            header.width, header.height = _number(states[:4]), _number(states[4:8])
            header.palette = states[9] == 3
        elif kind == b"IDAT":
            pieces.append(content)
        elif kind == b"tRNS" and states[9] == 0:  # less than 8 bits are decoded to all of 8
            depth = states[8]
            header.transparent = _number(content) * (255 // (2**depth - 1) if 0 < depth < 8 else 1)
        elif kind == b"sBIT":
            header.bits = max(content, default=0)
        elif kind == b"eXIf":
            notes.exif.append(content.removeprefix(_EXIF))
        elif kind in (b"iTXt", b"tEXt", b"zTXt"):
            notes.add_text(kind, content)
    header.orientation = notes.orientation()
    check_size(header.height, header.width)
    _check_png_data(b"".join(pieces), header, states)
    return header


def _check_png_data(compressed: bytes, header: Header, states: bytes) -> None:
    """Check that there are as many values as the header states; decoders stop where they have enough."""
    depth, colour, interlaced = states[8], states[9], states[12]
    if interlaced or colour not in _PNG_CHANNELS:
        return
    bits = depth * _PNG_CHANNELS[colour] * header.width
    size = header.height * (1 + (bits + 7) // 8)  # each row follows the number of its filter
    try:
        found = len(zlib.decompressobj().decompress(compressed, size + 1))
    except zlib.error as error:
        raise ValueError(f"damaged PNG: {error}") from error
    if found != size:
        raise ValueError(
            f"damaged PNG: its image is not of the {header.height} x {header.width} "
            "pixels (height x width) that its header states"
        )


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
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
    header, notes = Header(), _Notes()
    for kind, content in _jpeg_segments(data):
        if kind in _FRAMES:
            header.height, header.width = _number(content[1:3]), _number(content[3:5])
        elif kind == 0 and bytes(256) in content:
            header.zeros = max(header.zeros, *map(len, _ZEROS.findall(content)))
        elif kind == 0xE1 and content.startswith(_EXIF):
            notes.exif.append(content.removeprefix(_EXIF))
        elif kind == 0xE1 and content.startswith(_XMP):
            notes.xmp.append(content)
    header.orientation = notes.orientation()
    check_size(header.height, header.width)
    return header


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Walk the segments (marker, content) and the data of the scans between them (0, content)."""
    at = 2
    while found := _MARKER.search(data, at):
        if found.start() > at:
            yield 0, data[at : found.start()]
        kind, at = found[0][1], found.end()
        if kind == 0xD8:
            raise ValueError("damaged JPEG: a second image begins within the first")
        if kind == 0xD9:
            return _check_rest(data[at:])
        length = _number(data[at : at + 2])
        yield kind, data[at + 2 : at + length]
        at += length
    raise ValueError("truncated JPEG: its end is missing")


def _is_odd(kind: int, content: bytes) -> bool:
    """Return whether libjpeg would warn of an unknown version of JFIF or transform of Adobe."""
    jfif = kind == 0xE0 and content.startswith(b"JFIF\0") and content[5:6] != b"\1"
    return jfif or (kind == 0xEE and content.startswith(b"Adobe") and content[11:12] > b"\1")


def _check_rest(rest: bytes) -> None:
    if PNG in rest or JPEG in rest:
        raise ValueError("a second image follows the first")


def _orientation(tiff: bytes) -> int:
    """Return the orientation that EXIF data state; 0 where they state none or nonsense."""
    order: Literal["little", "big"] = "little" if tiff[:2] == b"II" else "big"

    def number(at: int, length: int) -> int:
        return int.from_bytes(tiff[at : at + length], order)

    first = number(4, 4) + 2  # of the entries: tag, type, count and value
    for at in range(first, len(tiff) - 11, 12)[: number(first - 2, 2)]:
        if number(at, 2) == 0x0112:
            value = number(at + 8, {3: 2, 4: 4}.get(number(at + 2, 2), 1))
            return value if 1 <= value <= 8 else 0
    return 0


def _number(content: bytes) -> int:
    return int.from_bytes(content, "big")
