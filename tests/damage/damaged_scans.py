"""Damaged and unusual DICOM files and masks, by kind; see :mod:`damaged_images`."""

import io

import numpy as np
from damaged_images import cut, film, flipped, jpeg, png, saved, written
from dicom_files import dicom
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000, ExplicitVRBigEndian, JPEGBaseline8Bit, RLELossless

# ---------------------------------------------------------------------------- DICOM


def shown(data):
    """What pydicom reads of 8 bits, upright in grey levels."""
    try:
        dataset = dcmread(io.BytesIO(data))
        pixels = dataset.pixel_array
    except Exception:
        return []
    inverted = dataset.PhotometricInterpretation == "MONOCHROME1"
    return [255 - pixels if inverted else pixels]


def dicom_flip(rng):
    image = film(rng, (24, 20))
    data = flipped(dicom(image), rng, 128)
    return data, [image], shown(data)


def dicom_cut(rng):
    image = film(rng, (24, 20))
    return cut(dicom(image), rng), [image]


def dicom_of_wrong_size_or_frames(rng):
    tags = ({"Rows": 25}, {"Columns": 19}, {"NumberOfFrames": 2}, {"NumberOfFrames": 0},
            {"SamplesPerPixel": 3}, {"BitsAllocated": 16}, {"Rows": 0}, {"Columns": 65535})  # fmt: skip
    image = film(rng, (24, 20))
    chosen = tags[rng.integers(len(tags))]
    return dicom(image, **chosen), [image] if chosen == {"NumberOfFrames": 0} else []


def dicom_of_odd_slope(rng):
    image = film(rng, (24, 20)).astype(np.uint16)
    tags = ({"RescaleSlope": 0}, {"RescaleSlope": "nan"}, {"RescaleSlope": "inf"},
            {"RescaleIntercept": "nan"}, {"WindowCenter": "nan", "WindowWidth": 5},
            {"WindowCenter": 5, "WindowWidth": 0}, {"WindowCenter": 5, "WindowWidth": -3})  # fmt: skip
    chosen = dict(tags[rng.integers(len(tags))])
    chosen = {"RescaleSlope": 1, "RescaleIntercept": 0} | chosen
    return dicom(image, **chosen), []


def dicom_with_padding(rng):
    """Padding takes no part in the stretch and is black."""
    image = rng.integers(100, 1124, (24, 20)).astype(np.uint16)
    image[0, 10], image[1, 10] = 100, 1123
    padding = int(rng.choice([0, 2000, 65535]))
    image[:, :5] = padding
    expected = np.rint((image.astype(float) - 100) * 255 / 1023)
    expected[:, :5] = 0
    return dicom(image, PixelPaddingValue=padding), [expected]


def dicom_of_another_syntax(rng):
    """The header states another transfer syntax than that of the data."""
    image = film(rng, (24, 20))
    stated = (JPEGBaseline8Bit, RLELossless, JPEG2000)[rng.integers(3)]
    other = dicom(image.astype(np.uint16) * 257)
    swapped = other.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0")
    if rng.integers(2):
        return swapped, []
    return dicom(image, stated, content=encapsulate([image.tobytes()])), []


def dicom_stored_otherwise(rng):
    image = film(rng, (24, 20))
    how = rng.integers(3)
    if how == 0:
        return dicom(image, PhotometricInterpretation="MONOCHROME1"), [255 - image]
    if how == 1:
        return dicom(image, ExplicitVRBigEndian), [image]
    colours = rng.integers(0, 2**16, (24, 20, 3)).astype(np.uint16)
    weights = colours @ np.array([0.299, 0.587, 0.114]) / 257
    return dicom(colours), [np.rint(weights)]


# ---------------------------------------------------------------------------- masks


def lung_mask(rng, shape=(48, 40)):
    """A disc of 1 on 0."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    middle = rng.uniform(15, 25, 2)
    return ((y - middle[0]) ** 2 + (x - middle[1]) ** 2 < 100).astype(np.uint8)


def mask_of_one_value(rng):
    value = (0, 1, 128, 255)[rng.integers(4)]
    return saved(Image.fromarray(np.full((48, 40), value, np.uint8))), []


def photograph_as_mask(rng):
    image = film(rng, (48, 40))
    return (saved(Image.fromarray(image)) if rng.integers(2) else jpeg(rng, (48, 40))), []


def mask_of_labels(rng):
    """0/255, 0/1, 1/2 over 0, in 8 or 16 bits; coloured lungs; a palette."""
    mask = lung_mask(rng)
    labels = np.where(np.arange(40) < 20, 1, 2) * mask
    how = rng.integers(7)
    if how < 3:
        values = (mask * 255, mask, labels)[how].astype(np.uint8)
        return saved(Image.fromarray(values)), [mask]
    if how < 5:
        return written(*png((labels if how == 3 else mask).astype(np.uint16))), [mask]
    colours = np.array([(0, 0, 0), (255, 0, 0), (0, 0, 255)], np.uint8)[labels]
    image = Image.fromarray(colours)
    return saved(image if how == 5 else image.quantize(3)), [mask]


def mask_in_another_channel(rng):
    """The mask in the alpha channel; or a mask with a meaningless one."""
    mask = lung_mask(rng)
    grey = np.full(mask.shape, 255 * rng.integers(2), np.uint8)
    if rng.integers(2):
        return saved(Image.merge("LA", [*map(Image.fromarray, (grey, mask * 255))])), [mask]
    full = np.full(mask.shape, 255, np.uint8)
    return saved(Image.merge("LA", [*map(Image.fromarray, (mask * 255, full))])), [mask]


def mask_damaged(rng):
    mask = lung_mask(rng)
    data = saved(Image.fromarray(mask * 255))
    return (flipped(data, rng) if rng.integers(2) else cut(data, rng)), [mask]


SCANS = (dicom_flip, dicom_cut, dicom_of_wrong_size_or_frames, dicom_of_odd_slope,
         dicom_with_padding, dicom_of_another_syntax, dicom_stored_otherwise)  # fmt: skip
MASKS = (mask_of_one_value, photograph_as_mask, mask_of_labels, mask_in_another_channel,
         mask_damaged)  # fmt: skip
