"""Decode a PNG or JPEG file to the values that it stores."""

import zlib

import cv2
import numpy as np

from ums.data.header import JPEG, PNG, Header, png_chunks, read_header


def decode_as_stored(data: bytes) -> tuple[np.ndarray, Header]:
    """Decode a PNG or JPEG file without any conversion.

    OpenCV decodes JPEGs with the same library, but invents what is damaged. Here each of the
    library's warnings is an error, and so are 256 bytes of zeros unless as much of the image is flat.
    They name most damage, but the format has no checksums: in trials, a twentieth of the baseline
    JPEGs in colour that had lost 64 bytes, and a tenth of the progressive ones that had lost 4 KB,
    went unnoticed.

    Returns:
        The image, (H, W) or (H, W, C) with blue first, in the type of the file; and its header.

    Raises:
        ValueError: See :func:`ums.data.header.read_header`.
        ModuleNotFoundError: The file is a JPEG, and simplejpeg is not installed.
    """
    header = read_header(data)
    if data.startswith(JPEG):
        pixels = _decode_jpeg(data)
        if header.zeros and _flat_blocks(pixels) < header.zeros:
            raise ValueError("damaged JPEG: a part of its data is nothing but zeros")
        return pixels, header
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("damaged PNG: it cannot be decoded")
    return image, header


def _flat_blocks(image: np.ndarray) -> int:
    """Return how many blocks of 8 x 8 pixels are of one value: each byte of zeros holds a few."""
    height, width = (size // 8 for size in image.shape[:2])
    blocks = image[: 8 * height, : 8 * width].reshape(height, 8, width, 8, -1)
    return int((blocks.max((1, 3)) == blocks.min((1, 3))).all(-1).sum())


def palette_indices(data: bytes) -> np.ndarray:
    """Decode a PNG with a palette to its indices (H, W) uint8, those of less than 8 bits scaled."""
    grey = b"IHDR" + data[16:25] + b"\0" + data[26:29]  # of another colour type
    rows = b"IDAT" + b"".join(content for kind, content in png_chunks(data) if kind == b"IDAT")
    file = PNG + b"".join(
        (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        for chunk in (grey, rows, b"IEND")
    )
    return np.asarray(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED))


def _decode_jpeg(data: bytes) -> np.ndarray:
    import simplejpeg

    try:
        grey = simplejpeg.decode_jpeg_header(data)[2] == "Gray"
        image: np.ndarray = simplejpeg.decode_jpeg(data, "GRAY" if grey else "BGR")
    except (ValueError, KeyError) as error:
        raise ValueError(f"damaged JPEG: {error}") from error
    return image[..., 0] if grey else image
