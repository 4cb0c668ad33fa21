"""Decode a PNG or JPEG file to the values that it stores."""

import cv2
import numpy as np

from ums.data.header import JPEG, Header, read_header


def decode_as_stored(data: bytes) -> tuple[np.ndarray, Header]:
    """Decode a PNG or JPEG file without any conversion.

    OpenCV decodes JPEGs with the same library, but invents what is damaged. Here each of the
    library's warnings is an error. They name most damage, but the format has no checksums.

    Returns:
        The image, (H, W) or (H, W, C) with blue first, in the type of the file; and its header.

    Raises:
        ValueError: See :func:`ums.data.header.read_header`.
        ModuleNotFoundError: The file is a JPEG, and simplejpeg is not installed.
    """
    header = read_header(data)
    if data.startswith(JPEG):
        return _decode_jpeg(data), header
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise ValueError("damaged PNG: it cannot be decoded")
    return image, header


def _decode_jpeg(data: bytes) -> np.ndarray:
    import simplejpeg

    try:
        grey = simplejpeg.decode_jpeg_header(data)[2] == "Gray"
        image: np.ndarray = simplejpeg.decode_jpeg(data, "GRAY" if grey else "BGR")
    except (ValueError, KeyError) as error:
        raise ValueError(f"damaged JPEG: {error}") from error
    return image[..., 0] if grey else image
