"""Decode one image file, PNG, JPEG or DICOM, to 8-bit values."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from ums.data.header import JPEG, PNG, Header, upright
from ums.data.mask import mask_of
from ums.data.stored import decode_as_stored, palette_indices


def decode_grey(data: bytes, path: str | Path) -> np.ndarray:
    """Decode the bytes of a PNG, JPEG or DICOM file to grey values (H, W) uint8.

    Colours and palettes become luminance, and transparency is ignored. The image is turned upright
    by its EXIF orientation. 16 bits become 8 over the range of the significant bits that the file
    states, or of the smallest of 8, 10, 12, 14 and 16 bits that holds its brightest pixel; multiples
    of 257 become the 8 bits that they were. For a DICOM see :func:`ums.data.dicom.decode_dicom`.
    The bytes decide which kind of file it is; ``path`` is for error messages.

    Raises:
        ValueError: The file is empty, cut off, damaged, too large or no such image.
        MemoryError: There is not enough memory to decode it.
        ModuleNotFoundError: The file is a JPEG or DICOM, and its decoder is not installed.
    """
    with _errors_about(path):
        if is_dicom(data):
            from ums.data.dicom import decode_dicom

            return decode_dicom(data)
        image, full = _decode_colours(data)
        if image.ndim == 3:
            image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        return _to_8_bits(image, full)


def decode_colour(data: bytes, path: str | Path) -> np.ndarray:
    """Decode a PNG or JPEG file to (H, W, 3) uint8 in RGB; see :func:`decode_grey`."""
    with _errors_about(path):
        if is_dicom(data):
            raise ValueError("a DICOM file; colours are read from PNG and JPEG only")
        image, full = _decode_colours(data)
        if image.ndim == 2:
            return _to_8_bits(np.repeat(image[..., None], 3, axis=2), full)
        return _to_8_bits(np.ascontiguousarray(image[..., ::-1]), full)


def decode_mask(data: bytes, path: str | Path) -> np.ndarray:
    """Decode a mask to (H, W) uint8 of 0 and 1; see :func:`ums.data.mask.mask_of`.

    Of a PNG with a palette, the indices count, 0 for the background; the colours count where some are
    transparent, or black is another index.

    Raises:
        ValueError: The file cannot be decoded, or its image cannot be a mask.
        MemoryError: There is not enough memory to decode it.
        ModuleNotFoundError: The file is a JPEG or DICOM, and its decoder is not installed.
    """
    with _errors_about(path):
        if is_dicom(data):
            from ums.data.dicom import decode_stored

            return mask_of(*decode_stored(data))
        image, header = _decode_upright(data)
        if header.palette:
            image = _without_palette(image, upright(palette_indices(data), header.orientation))
        if header.transparent >= 0:  # OpenCV leaves that out
            image = np.dstack([image, image, image, image != header.transparent])
        return mask_of(image, lossy=data.startswith(JPEG))


def image_kind(path: str | Path) -> str | None:
    """Return "PNG", "JPEG" or "DICOM" by the first bytes of a file, or None for any other."""
    with open(path, "rb") as file:
        start = file.read(132)
    if is_dicom(start):
        return "DICOM"
    return "PNG" if start.startswith(PNG) else "JPEG" if start.startswith(JPEG) else None


def is_dicom(data: bytes) -> bool:
    """Return whether the bytes begin like a DICOM file."""
    return data[128:132] == b"DICM"


def _without_palette(image: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Return the indices unless transparency, or black that is not index 0, says what is background."""
    black = np.asarray((image[..., :3] == 0).all(axis=2))
    opaque = image.shape[2] == 3 or image[..., 3].all()
    by_index = opaque and (not black.any() or black[indices == 0].any())
    return indices if by_index else image


@contextmanager
def _errors_about(path: str | Path) -> Iterator[None]:
    """Turn what goes wrong into errors that name the file."""
    try:
        yield
    except ModuleNotFoundError as error:
        why = f"{path} cannot be read without {error.name}: pip install 'ums-rep[data]'"
        raise ModuleNotFoundError(why, name=error.name) from error
    except (ValueError, MemoryError, cv2.error) as error:
        if isinstance(error, MemoryError) or getattr(error, "code", 0) == cv2.Error.StsNoMem:
            raise MemoryError(f"{path}: not enough memory to decode it") from error
        raise ValueError(f"{path}: {getattr(error, 'err', None) or error}") from error


def _decode_upright(data: bytes) -> tuple[np.ndarray, Header]:
    """Return the image turned upright, otherwise as stored; and its header."""
    image, header = decode_as_stored(data)
    return upright(image, header.orientation), header


def _decode_colours(data: bytes) -> tuple[np.ndarray, int]:
    """Return the upright image without transparency, (H, W) or (H, W, 3), and its full range."""
    image, header = _decode_upright(data)
    if image.ndim == 3:
        image = np.ascontiguousarray(image[..., :3])
    return image, _full_range(image, header.bits)


def _full_range(image: np.ndarray, bits: int) -> int:
    """Return the value that stands for white: films of 12 bits are often stored in 16."""
    if image.dtype != np.uint16:
        return 255
    brightest = int(image.max())
    if (image >> 8 == image & 255).all() or (0 < bits < 16 and _is_scaled(image, bits)):
        return 65535
    sizes = (bits, 16) if 0 < bits < 16 else (8, 10, 12, 14, 16)
    return int(next(2**n - 1 for n in sizes if brightest < 2**n))


def _is_scaled(image: np.ndarray, bits: int) -> bool:
    """Return whether values of fewer bits were scaled to 16: multiples of 256, or dark ones."""
    exact = (image >> (16 - bits)) * (65535 / (2**bits - 1))
    dark = bool(image.max() < 2 ** (bits - 1))
    return not (image & 255).any() or (dark and bool((np.abs(image - exact) <= 1).all()))


def _to_8_bits(image: np.ndarray, full: int) -> np.ndarray:
    if image.dtype == np.uint16:
        image = np.rint(image / np.float32(full / 255)).astype(np.uint8)
    return image
