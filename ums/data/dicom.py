"""Decode one DICOM X-ray to 8-bit grey values, however it is stored.

RSNA's X-rays are 8-bit JPEGs in a DICOM file. OpenCV decodes those, ten times as fast as pydicom and
with the same result to the last bit. pydicom decodes everything else that hospital archives hold:
raw, deflated, RLE, JPEG lossless, JPEG-LS and JPEG 2000; 8 to 16 bits, signed, inverted, windowed.

This module needs pydicom; ``ums.data.decode`` imports it only for a DICOM file.
"""

import io
import warnings
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pydicom
from pydicom.encaps import get_frame
from pydicom.pixels import processing
from pydicom.uid import JPEGBaseline8Bit

# pydicom warns of every small departure from the standard; unreadable data is an error anyway.
warnings.filterwarnings("ignore", module=r"pydicom\.")
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


def decode_dicom(data: bytes, decode_jpeg: Callable[[bytes], np.ndarray]) -> np.ndarray:
    """Decode the one image of a DICOM file to grey values (H, W) uint8, 0 for black.

    A window or lookup table in the file is applied, as a viewer would apply it. Without one, 8 bits
    stay as they are, and more are stretched from the darkest value of the image to its brightest.
    MONOCHROME1 is inverted; colour becomes luminance. ``decode_jpeg`` decodes a grey JPEG.

    Raises:
        ValueError: The file is damaged, has no image or several, or the image is not of the size
            that the file states.
    """
    try:
        return _grey(pydicom.dcmread(io.BytesIO(data)), decode_jpeg)
    except Exception as error:  # pydicom and its decoders raise whatever damaged bytes lead to
        text = " ".join(str(error).split())
        raise ValueError(f"DICOM that cannot be read: {text or type(error).__name__}") from error


def _grey(dataset: Any, decode_jpeg: Callable[[bytes], np.ndarray]) -> np.ndarray:
    if "PixelData" not in dataset:
        raise ValueError("it is truncated or has no image")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise ValueError(f"it holds {frames} frames, should be one")
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax == JPEGBaseline8Bit and dataset.SamplesPerPixel == 1:
        pixels = decode_jpeg(get_frame(dataset.PixelData, 0, number_of_frames=1))
    else:
        pixels = dataset.pixel_array  # (H, W), or (H, W, 3) in RGB
    shape = (dataset.Rows, dataset.Columns)
    if pixels.shape[:2] != shape:
        raise ValueError(f"its image is {pixels.shape[:2]} pixels, but it states {shape}")
    kind = dataset.PhotometricInterpretation
    if kind == "PALETTE COLOR":
        pixels = processing.apply_color_lut(pixels, dataset)
        pixels = np.right_shift(pixels, 8 * (pixels.dtype.itemsize - 1)).astype(np.uint8)
    if pixels.ndim == 3:
        return cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_RGB2GRAY)
    if not kind.startswith("MONOCHROME"):
        raise ValueError(f"its image is neither grey nor colour: {kind}")
    grey = pixels if _are_grey_levels(dataset, pixels) else _to_grey_levels(dataset, pixels)
    return 255 - grey if kind == "MONOCHROME1" else grey


def _are_grey_levels(dataset: Any, pixels: np.ndarray) -> bool:
    other = ("WindowCenter", "VOILUTSequence", "ModalityLUTSequence")
    scaled = (dataset.get("RescaleSlope") or 1, dataset.get("RescaleIntercept") or 0) != (1, 0)
    eight = pixels.dtype == np.uint8 and dataset.BitsStored == 8
    return eight and not scaled and not any(_has(dataset, name) for name in other)


def _to_grey_levels(dataset: Any, pixels: np.ndarray) -> np.ndarray:
    values = processing.apply_modality_lut(pixels, dataset)
    if _has(dataset, "VOILUTSequence"):
        values = processing.apply_voi_lut(values, dataset)
    elif _has(dataset, "WindowCenter") and _has(dataset, "WindowWidth"):
        # Values far below and far above the window become the two ends of its range.
        with np.errstate(over="ignore"):
            low, high = processing.apply_windowing(np.array([-1e9, 1e9]), dataset)
        return _stretched(processing.apply_windowing(values, dataset), low, high)
    return _stretched(values, values.min(), values.max())


def _has(dataset: Any, name: str) -> bool:
    return name in dataset and not dataset[name].is_empty


def _stretched(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map ``low`` to 0 and ``high`` to 255, as uint8; all values become 0 where the two are equal."""
    scale = 255 / (float(high) - float(low)) if high > low else 0.0
    return np.clip(np.rint((values - np.float64(low)) * scale), 0, 255).astype(np.uint8)
