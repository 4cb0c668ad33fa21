"""Decode one DICOM X-ray to 8-bit grey values, however it is stored.

RSNA's X-rays are 8-bit JPEGs in a DICOM file. libjpeg-turbo decodes those, ten times as fast as
pydicom and with the same result to the last bit. pydicom decodes everything else that hospital
archives hold: raw, deflated, RLE, JPEG lossless, JPEG-LS and JPEG 2000; 8 to 16 bits, signed or not.

This module needs pydicom; ``ums.data.decode`` imports it only for a DICOM file.
"""

import io
import math
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import cv2
import numpy as np
import pydicom
from pydicom.encaps import get_frame
from pydicom.pixels import processing
from pydicom.pixels.utils import get_expected_length, pixel_array
from pydicom.uid import (
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

from ums.data.header import check_size, frame_header
from ums.data.stored import decode_as_stored

_LOSSLESS = {
    *(HTJ2KLossless, HTJ2KLosslessRPCL, JPEG2000Lossless),
    *(JPEGLossless, JPEGLosslessSV1, JPEGLSLossless, RLELossless),
}
"""The compressed formats without loss; others, such as JPEG 2000, may be with it."""

T = TypeVar("T")

# pydicom warns of every small departure from the standard; unreadable data is an error anyway.
warnings.filterwarnings("ignore", module=r"pydicom\.")
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE

_NEEDED = (
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
)


def decode_dicom(data: bytes) -> np.ndarray:
    """Decode the one image of a DICOM file to grey values (H, W) uint8, 0 for black.

    A window or lookup table in the file is applied, as a viewer would apply it. Without one, 8 bits
    stay as they are, and more are stretched from the darkest value of the image to its brightest.
    MONOCHROME1 and an inverse PresentationLUTShape are inverted; colour becomes luminance. Padding,
    which is no part of the image, takes no part in this and becomes black.

    Raises:
        ValueError: The file is damaged, too large, has no image or several, the image is not of the
            size that the file states, or the values by which to show it make no sense.
        MemoryError: There is not enough memory to decode it.
        ModuleNotFoundError: The image is a JPEG, and simplejpeg is not installed.
    """
    return _read(data, _grey)


def decode_stored(data: bytes) -> tuple[np.ndarray, bool]:
    """Decode the one image of a DICOM file to its stored values, 0 for black and padding.

    MONOCHROME1 is inverted, but not where more than two values begin at 0 and end below the brightest
    that the bits hold, as labels do. Of -1 and 0 alone, -1 becomes 1. For the errors see
    :func:`decode_dicom`.

    Returns:
        The values, (H, W), or (H, W, 3) with blue first; and whether they may have been compressed
        with loss.
    """
    return _read(data, _stored)


def _read(data: bytes, show: Callable[[Any], T]) -> T:
    try:
        with np.errstate(over="ignore"):
            return show(pydicom.dcmread(io.BytesIO(data)))
    except (MemoryError, ModuleNotFoundError, cv2.error):
        raise
    except Exception as error:  # pydicom and its decoders raise whatever damaged bytes lead to
        text = " ".join(str(error).split())
        raise ValueError(f"DICOM that cannot be read: {text or type(error).__name__}") from error


def _stored(dataset: Any) -> tuple[np.ndarray, bool]:
    pixels, lossy = _pixels(dataset), _is_lossy(dataset)
    if pixels.ndim == 3:
        return pixels[..., ::-1], lossy
    padding = _padding(dataset, pixels)
    content = pixels if padding is None else pixels[~padding]
    low, high = int(content.min()), int(content.max())
    several = bool(((content > low) & (content < high)).any())
    labels = several and low == 0 and high < 2**dataset.BitsStored - 1  # they have no brightness
    if (low, high) == (-1, 0):  # all bits of a byte, read as signed
        pixels = -pixels
    elif _is_inverted(dataset) and not labels:
        pixels = high - pixels
    return pixels if padding is None else np.where(padding, 0, pixels), lossy


def _is_lossy(dataset: Any) -> bool:
    syntax = dataset.file_meta.TransferSyntaxUID
    lossy = syntax.is_encapsulated and syntax not in _LOSSLESS
    return bool(lossy or dataset.get("LossyImageCompression") == "01")


def _grey(dataset: Any) -> np.ndarray:
    pixels = _pixels(dataset)
    if pixels.ndim == 3:
        return _luminance(dataset, pixels)
    padding = _padding(dataset, pixels)
    grey = _grey_levels(dataset, pixels, padding)
    grey = 255 - grey if _is_inverted(dataset) else grey
    if padding is not None:
        grey = np.where(padding, np.uint8(0), grey)
    return grey


def _is_inverted(dataset: Any) -> bool:
    shape = dataset.get("PresentationLUTShape")
    return bool(dataset.PhotometricInterpretation == "MONOCHROME1" or shape == "INVERSE")


def _pixels(dataset: Any) -> np.ndarray:
    """Return the image as stored, (H, W) or (H, W, 3) in RGB."""
    if "PixelData" not in dataset:
        raise ValueError("it is truncated or has no image")
    for name in _NEEDED:
        if not _has(dataset, name):
            raise ValueError(f"it does not state its {name}")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise ValueError(f"it holds {frames} frames, should be one")
    highest = dataset.get("HighBit", dataset.BitsStored - 1)
    if highest != dataset.BitsStored - 1:
        raise ValueError(f"its HighBit is {highest} for {dataset.BitsStored} stored bits")
    shape = (dataset.Rows, dataset.Columns)
    check_size(*shape)
    pixels = _decoded(dataset)
    if pixels.shape[:2] != shape:
        raise ValueError(f"its image is {pixels.shape[:2]} pixels, but it states {shape}")
    kind = dataset.PhotometricInterpretation
    if kind == "PALETTE COLOR":
        return np.asarray(processing.apply_color_lut(pixels, dataset)[..., :3])
    if pixels.ndim == 2 and not kind.startswith("MONOCHROME"):
        raise ValueError(f"its image is neither grey nor colour: {kind}")
    return pixels


def _decoded(dataset: Any) -> np.ndarray:
    syntax, grey = dataset.file_meta.TransferSyntaxUID, dataset.SamplesPerPixel == 1
    eight = dataset.BitsAllocated == 8
    if syntax == JPEGBaseline8Bit or (syntax == JPEGExtended12Bit and eight):
        jpeg, _ = decode_as_stored(get_frame(dataset.PixelData, 0, number_of_frames=1))
        if grey:
            return jpeg
    elif syntax in JPEGTransferSyntaxes + JPEGLSTransferSyntaxes + JPEG2000TransferSyntaxes:
        _check_frame(dataset)
    if not syntax.is_encapsulated:
        rest = dataset.PixelData[get_expected_length(dataset) :]
        if len(rest) > 1 and any(rest):  # else it is padding
            raise ValueError(f"it holds {len(rest)} bytes more than an image of its size")
    if not eight and dataset.PhotometricInterpretation in ("YBR_FULL", "YBR_FULL_422"):
        return np.asarray(pixel_array(dataset, raw=True)[..., [0, 0, 0]])  # Y is the luminance
    return np.asarray(dataset.pixel_array)


def _check_frame(dataset: Any) -> None:
    """Compare what compressed data state with the file: nonsense there kills gdcm, and Python."""
    height, width, *bits = frame_header(get_frame(dataset.PixelData, 0, number_of_frames=1))
    size, most = (dataset.Rows, dataset.Columns), dataset.BitsAllocated
    channels = dataset.SamplesPerPixel
    if (height, width) != size or len(bits) != channels or not 1 < min(bits) <= max(bits) <= most:
        raise ValueError(
            f"its compressed image is {height, width} pixels of {bits} bits, "
            f"but it states {size} of {[most] * channels}"
        )


def _luminance(dataset: Any, pixels: np.ndarray) -> np.ndarray:
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        pixels = (pixels >> 8 if pixels.max() > 255 else pixels).astype(np.uint8)
    elif dataset.BitsStored != 8:
        pixels = _stretched(pixels, 0, 2**dataset.BitsStored - 1)
    return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)


def _padding(dataset: Any, pixels: np.ndarray) -> np.ndarray | None:
    """Return where the image is padded, (H, W) of booleans, or None if it is not."""
    if not _has(dataset, "PixelPaddingValue"):
        return None
    names = [n for n in ("PixelPaddingValue", "PixelPaddingRangeLimit") if _has(dataset, n)]
    ends = np.array([int(dataset[name].value) for name in names])
    bits = 8 * pixels.itemsize
    if ends.min() < -(2 ** (bits - 1)) or ends.max() >= 2**bits:
        return None
    ends = ends.astype(pixels.dtype)  # some files state it as signed where pixels are not
    low, high = ends.min(), ends.max()
    used = dataset.BitsStored - dataset.PixelRepresentation
    if low < -(2**used) or high >= 2**used:  # in bits that hold no part of the image
        pixels = pixel_array(dataset, correct_unused_bits=False)
    padding = (pixels >= low) & (pixels <= high)
    if padding.all():
        raise ValueError("its image is nothing but padding")
    return np.asarray(padding)


def _grey_levels(dataset: Any, pixels: np.ndarray, padding: np.ndarray | None) -> np.ndarray:
    slope, intercept = _number(dataset, "RescaleSlope", 1), _number(dataset, "RescaleIntercept", 0)
    if slope == 0:
        raise ValueError("its RescaleSlope is 0")
    values = pixels
    if _has(dataset, "ModalityLUTSequence"):
        table = dataset.ModalityLUTSequence[0]
        values = _looked_up(table, _entries(dataset, table), pixels)
    elif (slope, intercept) != (1, 0):
        values = pixels * slope + intercept
    if _has(dataset, "VOILUTSequence"):
        table = dataset.VOILUTSequence[0]
        bits = table.LUTDescriptor[2]
        if not 1 <= bits <= 16:
            raise ValueError(f"its lookup table has {bits} bits for each entry")
        entries = _entries(dataset, table)
        bits = next(n for n in (8, 10, 12, 14, 16) if entries.max() < 2**n)  # some state others
        return _stretched(_looked_up(table, entries, values), 0, 2**bits - 1)
    if _has(dataset, "WindowCenter") and _has(dataset, "WindowWidth"):
        return _stretched(_windowed(dataset, values), 0, 1)
    content = values if padding is None else values[~padding]
    low, high = content.min(), content.max()
    eight = dataset.BitsStored == 8 and 0 <= pixels.min() <= pixels.max() < 256
    if eight and not _has(dataset, "ModalityLUTSequence") and math.isfinite(high - low):
        return (pixels if slope > 0 else 255 - pixels).astype(np.uint8)
    return _stretched(values, low, high)


def _has(dataset: Any, name: str) -> bool:
    return name in dataset and not dataset[name].is_empty


def _number(dataset: Any, name: str, default: float) -> float:
    """Return a number, the first if the file has several; ``ValueError`` if it is not finite."""
    value = dataset[name].value if _has(dataset, name) else default
    number = float(value[0] if isinstance(value, pydicom.multival.MultiValue) else value)
    if not math.isfinite(number):
        raise ValueError(f"its {name} is {number}")
    return number


def _entries(dataset: Any, table: Any) -> np.ndarray:
    """Return the entries of a lookup table; pydicom is wrong for tables of 8 bits."""
    entries = table.LUTDescriptor[0] or 2**16
    content = table.LUTData
    if isinstance(content, bytes):
        order = "<" if dataset.file_meta.TransferSyntaxUID.is_little_endian else ">"
        content = np.frombuffer(content, f"{order}u2" if len(content) >= 2 * entries else np.uint8)
    content = np.atleast_1d(content)
    if len(content) < entries:
        raise ValueError(f"its lookup table has {len(content)} entries, but states {entries}")
    return np.asarray(content[:entries])


def _looked_up(table: Any, entries: np.ndarray, values: np.ndarray) -> np.ndarray:
    first = table.LUTDescriptor[1]
    if first >= 2**15 and values.min() < 0:  # a negative number that was read as unsigned
        first -= 2**16
    at = np.rint(values).astype(np.int64) - first
    return np.asarray(entries[np.clip(at, 0, len(entries) - 1)])


def _windowed(dataset: Any, values: np.ndarray) -> np.ndarray:
    """Apply the window (PS3.3, C.11.2.1.2): 0 and less for black, 1 and more for white."""
    center, width = _number(dataset, "WindowCenter", 0), _number(dataset, "WindowWidth", 0)
    kind = str(dataset.get("VOILUTFunction") or "LINEAR").upper()
    if width < 1 if kind == "LINEAR" else width <= 0:
        raise ValueError(f"its WindowWidth is {width}")
    if kind == "SIGMOID":
        return np.asarray(1 / (1 + np.exp(-4 * (values - center) / width)))
    if kind == "LINEAR_EXACT":
        return np.asarray((values - center) / width + 0.5)
    if kind != "LINEAR":
        raise ValueError(f"its VOILUTFunction is {kind}")
    if width == 1:
        return np.asarray(values > center - 0.5)
    return np.asarray((values - (center - 0.5)) / (width - 1) + 0.5)


def _stretched(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map ``low`` to 0 and ``high`` to 255, as uint8; all values become 0 where the two are equal."""
    width = float(high) - float(low)
    if not math.isfinite(width):
        raise ValueError(f"its values reach from {low} to {high}")
    scale = 255 / width if width > 0 else 0.0
    return np.clip(np.rint((values - np.float64(low)) * scale), 0, 255).astype(np.uint8)
