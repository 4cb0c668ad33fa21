"""Read one DICOM X-ray as 8-bit grey values, however it was stored.

RSNA's films are 8-bit JPEGs in a DICOM file; those go to OpenCV, ten times as fast as pydicom's own
way and equal to the last bit. Everything else, as hospitals' archives hold it (raw, deflated, RLE,
JPEG lossless, JPEG-LS, JPEG 2000; 8 to 16 bits, signed, inverted, windowed), goes through pydicom.
"""

import io
import warnings

import cv2
import numpy as np
import pydicom
from pydicom.encaps import get_frame
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, apply_windowing
from pydicom.uid import JPEGBaseline8Bit

VERSION = pydicom.__version__

# It warns of every small departure from the standard; what cannot be read is an error anyway.
warnings.filterwarnings("ignore", module=r"pydicom\.")
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE


def is_dicom(data):
    """Whether the bytes begin as a DICOM file does."""
    return data[128:132] == b"DICM"


def decode_dicom(data, decode_jpeg):
    """Return the one image in a DICOM file's bytes as (H, W) uint8, 0 black.

    A window or lookup table in the file is applied, as a viewer would; without one, 8 bits stay as
    they are and more are stretched from the image's darkest value to its brightest. MONOCHROME1 is
    inverted, colour becomes luminance. decode_jpeg: bytes of a grey JPEG -> (H, W) uint8.

    Raises `ValueError` where it is damaged, has no image or several, or its size is another than it
    says.
    """
    try:
        return _grey(pydicom.dcmread(io.BytesIO(data)), decode_jpeg)
    except Exception as error:  # pydicom and its decoders raise whatever damaged bytes lead to
        text = " ".join(str(error).split())
        raise ValueError(f"DICOM that cannot be read: {text or type(error).__name__}") from error


def _grey(dataset, decode_jpeg):
    if "PixelData" not in dataset:
        raise ValueError("it is truncated or has no image")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise ValueError(f"it holds {frames} frames, should be one")
    pixels = _pixels(dataset, decode_jpeg)
    shape = (dataset.Rows, dataset.Columns)
    if pixels.shape[:2] != shape:
        raise ValueError(f"its image is {pixels.shape[:2]} pixels where it says {shape}")
    kind = dataset.PhotometricInterpretation
    if kind == "PALETTE COLOR":
        pixels = apply_color_lut(pixels, dataset)
        pixels = np.right_shift(pixels, 8 * (pixels.dtype.itemsize - 1)).astype(np.uint8)
    if pixels.ndim == 3:
        return cv2.cvtColor(np.ascontiguousarray(pixels[..., :3]), cv2.COLOR_RGB2GRAY)
    if not kind.startswith("MONOCHROME"):
        raise ValueError(f"its image is neither grey nor colour: {kind}")
    grey = pixels if _as_shown(dataset, pixels) else _shown(dataset, pixels)
    return 255 - grey if kind == "MONOCHROME1" else grey


def _pixels(dataset, decode_jpeg):
    """The values as stored, (H, W), or (H, W, 3) RGB."""
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax == JPEGBaseline8Bit and dataset.SamplesPerPixel == 1:
        return decode_jpeg(get_frame(dataset.PixelData, 0, number_of_frames=1))
    return dataset.pixel_array


def _as_shown(dataset, pixels):
    """Whether the stored values are grey levels already."""
    other = ("WindowCenter", "VOILUTSequence", "ModalityLUTSequence")
    scaled = (dataset.get("RescaleSlope") or 1, dataset.get("RescaleIntercept") or 0) != (1, 0)
    eight = pixels.dtype == np.uint8 and dataset.BitsStored == 8
    return eight and not scaled and not any(_has(dataset, name) for name in other)


def _shown(dataset, pixels):
    values = apply_modality_lut(pixels, dataset)
    if _has(dataset, "VOILUTSequence"):
        values = apply_voi_lut(values, dataset)
    elif _has(dataset, "WindowCenter") and _has(dataset, "WindowWidth"):
        # What far too dark and far too bright become are the ends of the window's range.
        with np.errstate(over="ignore"):
            low, high = apply_windowing(np.array([-1e9, 1e9]), dataset)
        return _stretched(apply_windowing(values, dataset), low, high)
    return _stretched(values, values.min(), values.max())


def _has(dataset, name):
    """Whether there is a value: 0 is one."""
    return name in dataset and not dataset[name].is_empty


def _stretched(values, low, high):
    """`values` from `low` to `high` as uint8 from 0 to 255; all 0 where the two are equal."""
    scale = 255 / (float(high) - float(low)) if high > low else 0.0
    return np.clip(np.rint((values - np.float64(low)) * scale), 0, 255).astype(np.uint8)
