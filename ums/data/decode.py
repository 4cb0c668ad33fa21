"""Decode one image file, PNG, JPEG or DICOM, to 8-bit values."""

import zlib
from pathlib import Path

import cv2
import numpy as np

_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


def decode_grey(data: bytes, path: str | Path) -> np.ndarray:
    """Decode the bytes of a PNG, JPEG or DICOM file to grey values (H, W) uint8.

    Colours and palettes become luminance, transparency is ignored, 16 bits become 8 over their full
    range; for a DICOM see :func:`ums.data.dicom.decode_dicom`. The bytes decide which kind of file it
    is; ``path`` is for error messages.

    Raises:
        ValueError: The file is empty, cut off, damaged or no such image.
        ModuleNotFoundError: The file is a DICOM and pydicom is not installed.
    """
    if is_dicom(data):
        return _decode_dicom(data, path)
    image = _decode(data, path)
    if image.ndim == 3:
        colour = np.ascontiguousarray(image[..., :3])
        image = colour[..., 0] if image.shape[2] < 3 else cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)
    return _to_8_bits(image, path)


def decode_colour(data: bytes, path: str | Path) -> np.ndarray:
    """Decode a PNG or JPEG file to (H, W, 3) uint8 in RGB; see :func:`decode_grey`."""
    image = _decode(data, path)
    if image.ndim == 2 or image.shape[2] < 3:
        image = np.repeat(image.reshape(*image.shape[:2], -1)[..., :1], 3, axis=2)
    return _to_8_bits(np.ascontiguousarray(image[..., 2::-1]), path)


def decode_mask(data: bytes, path: str | Path) -> np.ndarray:
    """Decode a mask to (H, W) uint8 of 0 and 1, whichever two values the file has."""
    grey = decode_grey(data, path)
    return np.asarray((grey > grey.max() // 2).view(np.uint8))


def image_kind(path: str | Path) -> str | None:
    """Return "PNG", "JPEG" or "DICOM" by the first bytes of a file, or None for any other."""
    with open(path, "rb") as file:
        start = file.read(132)
    if is_dicom(start):
        return "DICOM"
    return "PNG" if start.startswith(_PNG) else "JPEG" if start.startswith(_JPEG) else None


def is_dicom(data: bytes) -> bool:
    """Return whether the bytes begin like a DICOM file."""
    return data[128:132] == b"DICM"


def _decode_dicom(data: bytes, path: str | Path) -> np.ndarray:
    try:
        from ums.data.dicom import decode_dicom
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{path} is a DICOM file, and reading it needs pydicom: pip install 'ums-rep[data]'"
        ) from error
    try:
        return decode_dicom(data, lambda jpeg: decode_grey(jpeg, "its image"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _decode(data: bytes, path: str | Path) -> np.ndarray:
    """Return (H, W), or (H, W, C) with blue first, in the type of the file."""
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


def _to_8_bits(image: np.ndarray, path: str | Path) -> np.ndarray:
    if image.dtype == np.uint16:
        image = np.rint(image / np.float32(257)).astype(np.uint8)
    if image.dtype != np.uint8:
        raise ValueError(f"{path}: values of type {image.dtype}, should be 8 or 16 bits")
    return image


def _damage(data: bytes) -> str | None:
    """What is wrong with the bytes of an image, if anything; decoders just fill in missing parts."""
    if not data:
        return "the file is empty"
    if data.startswith(_PNG):
        return _png_damage(data)
    if data.startswith(_JPEG):
        return _jpeg_damage(data)
    return "neither PNG nor JPEG nor DICOM"


def _png_damage(data: bytes) -> str | None:
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


def _jpeg_damage(data: bytes) -> str | None:
    """Walk the segments to the scan, so that the end of a thumbnail is not taken for the image's.

    Damage within the scan is not found.
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
