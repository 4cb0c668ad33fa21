"""Damaged and unusual images and masks, by kind.

Each function returns the bytes of a file and a list of the pixels that are right, empty where none are. Of
a format without checksums it adds the pixels that other software shows of the damaged file.
"""

import io
import struct
import zlib

import numpy as np
from dicom_files import dicom
from PIL import Image, ImageOps
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000, ExplicitVRBigEndian, JPEGBaseline8Bit, RLELossless

LOST = 4096
"""Bytes of a block that a disk or a network loses."""


def film(rng, shape=(96, 120)):
    """A grey image that no format makes small."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = 128 + 60 * np.sin(x / 9) * np.cos(y / 11) + rng.normal(0, 20, shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def lung_mask(rng, shape=(48, 40)):
    """A disc of 1 on 0."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    middle = rng.uniform(15, 25, 2)
    return ((y - middle[0]) ** 2 + (x - middle[1]) ** 2 < 100).astype(np.uint8)


# ---------------------------------------------------------------------------- damage to any bytes


def flipped(data, rng, low=0, high=None):
    place = int(rng.integers(low, min(high or len(data), len(data))))
    return data[:place] + bytes([data[place] ^ (1 << rng.integers(8))]) + data[place + 1 :]


def cut(data, rng):
    return data[: rng.integers(1, len(data) - 1)]


def zeroed(data, rng, size=LOST):
    start = int(rng.integers(len(data) // 8, len(data) - size))
    return data[:start] + bytes(size) + data[start + size :]


# ---------------------------------------------------------------------------- PNG

SIGNATURE = b"\x89PNG\r\n\x1a\n"
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # fmt: skip
"""First column, first row, and the steps of the passes of an interlaced image."""


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(image, size=None, interlaced=False, pieces=1):
    """A grey PNG written by hand; ``size`` (H, W) is what its header states."""
    height, width = size or image.shape
    parts = [image[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [image]
    raw = b"".join(b"\0" + row.astype(">u2" if image.itemsize > 1 else "u1").tobytes()
                   for part in parts if part.size for row in part)  # fmt: skip
    packed = zlib.compress(raw)
    ends = np.linspace(0, len(packed), pieces + 1).astype(int)
    data = [chunk(b"IDAT", packed[a:b]) for a, b in zip(ends, ends[1:], strict=False)]
    depth = 8 * image.itemsize
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, interlaced))
    return SIGNATURE + header, data, chunk(b"IEND", b"")


def written(start, data, end):
    return start + b"".join(data) + end


def saved(image, form="PNG", **how):
    file = io.BytesIO()
    image.save(file, form, **how)
    return file.getvalue()


def luminance(data):
    """What Pillow shows of a file, upright and grey."""
    return np.asarray(
        ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB").convert("L")
    )


def png_flip_in_header(rng):
    image = film(rng)
    return flipped(written(*png(image)), rng, 0, 33), [image]


def png_flip_in_body(rng):
    image = film(rng)
    return flipped(written(*png(image)), rng, 33), [image]


def png_cut(rng):
    image = film(rng)
    return cut(written(*png(image)), rng), [image]


def png_4_kb_zeroed(rng):
    return zeroed(written(*png(film(rng))), rng), []


def png_with_another_appended(rng):
    image = film(rng)
    return written(*png(image)) + written(*png(film(rng))), [image]


def png_chunks_exchanged(rng):
    start, data, end = png(film(rng), pieces=4)
    i, j = rng.choice(4, 2, replace=False)
    data[i], data[j] = data[j], data[i]
    return written(start, data, end), []


def png_of_wrong_size(rng):
    """The header, with its checksum, states more or fewer rows or columns than there are."""
    image = film(rng)
    height, width = np.array(image.shape) + rng.choice([(1, 0), (-1, 0), (0, 1), (0, -1), (9, 9)])
    return written(*png(image, (height, width))), []


def png_of_huge_size(rng):
    sides = (20_000, 65_535, 2**31 - 1)
    return written(*png(film(rng), (int(rng.choice(sides)), int(rng.choice(sides))))), []


def png_of_16_bits(rng):
    image = rng.integers(0, 2**16, (60, 70)).astype(np.uint16)
    image[0, 0] = 65535
    return written(*png(image)), [np.rint(image / 257).astype(np.uint8)]


def png_with_alpha_or_palette(rng):
    image = Image.fromarray(rng.integers(0, 256, (40, 50, 4), dtype=np.uint8), "RGBA")
    how = ("RGBA", "LA", "P", "PA", "1", "L", "RGB")[rng.integers(7)]
    if how in ("P", "PA"):
        image = image.convert("RGB").quantize(int(rng.integers(2, 257)))
        data = saved(image, transparency=0) if how == "PA" else saved(image)
    else:
        data = saved(image.convert(how))
    opaque = Image.open(io.BytesIO(data)).convert("RGBA").convert("RGB").convert("L")
    return data, [np.asarray(opaque)]


def png_turned(rng):
    exif = Image.Exif()
    exif[0x0112] = int(rng.integers(1, 9))
    data = saved(Image.fromarray(film(rng, (40, 60))), exif=exif)
    return data, [luminance(data)]


def png_interlaced(rng):
    image = film(rng, tuple(rng.integers(1, 40, 2)))
    image[0, 0] = 255 - image[-1, -1]
    return written(*png(image, interlaced=True)), [image]


# ---------------------------------------------------------------------------- JPEG


def jpeg(rng, shape=(160, 160)):
    return saved(Image.fromarray(film(rng, shape)), "JPEG", quality=95)


def jpeg_flip_in_header(rng):
    return jpeg_flip(rng, 0, 620)


def jpeg_flip_in_body(rng):
    return jpeg_flip(rng, 640)


def jpeg_flip(rng, *where):
    """A JPEG has no checksums: the flip may leave a valid file of other pixels."""
    data = jpeg(rng)
    spoilt = flipped(data, rng, *where)
    try:
        return spoilt, [luminance(data)], [luminance(spoilt)]
    except (OSError, SyntaxError):
        return spoilt, [luminance(data)]


def jpeg_cut(rng):
    data = jpeg(rng)
    return cut(data, rng), [luminance(data)]


def jpeg_4_kb_zeroed(rng):
    return zeroed(jpeg(rng), rng), []


def jpeg_4_kb_lost(rng):
    data = jpeg(rng)
    start = int(rng.integers(700, len(data) - LOST - 50))
    return data[:start] + data[start + LOST :], []


def jpeg_cut_with_another_appended(rng):
    data = jpeg(rng)
    return data[: rng.integers(1000, len(data) - 1000)] + jpeg(rng), []


def jpeg_turned(rng):
    exif = Image.Exif()
    exif[0x0112] = int(rng.integers(1, 9))
    data = saved(Image.fromarray(film(rng, (40, 64))), "JPEG", quality=95, exif=exif)
    return data, [luminance(data)]


def jpeg_of_another_kind(rng):
    colours = np.stack([film(rng, (48, 64)) for _ in range(3)], axis=2)
    image = Image.fromarray(colours)
    how = (("RGB", {}), ("CMYK", {}), ("L", {"progressive": True}), ("RGB", {"subsampling": 0}))
    mode, options = how[rng.integers(len(how))]
    data = saved(image.convert(mode), "JPEG", quality=98, **options)
    return data, [luminance(data)]


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


def nothing(rng):
    return (b"", b"\0" * 5000, rng.bytes(3000), b"<html>404</html>", b"\x89PNG")[
        rng.integers(5)
    ], []


IMAGES = (png_flip_in_header, png_flip_in_body, png_cut, png_4_kb_zeroed, png_with_another_appended,
          png_chunks_exchanged, png_of_wrong_size, png_of_huge_size, png_of_16_bits,
          png_with_alpha_or_palette, png_turned, png_interlaced, jpeg_flip_in_header,
          jpeg_flip_in_body, jpeg_cut, jpeg_4_kb_zeroed, jpeg_4_kb_lost,
          jpeg_cut_with_another_appended, jpeg_turned, jpeg_of_another_kind, dicom_flip, dicom_cut,
          dicom_of_wrong_size_or_frames, dicom_of_odd_slope, dicom_with_padding,
          dicom_of_another_syntax, dicom_stored_otherwise, nothing)  # fmt: skip
MASKS = (
    mask_of_one_value,
    photograph_as_mask,
    mask_of_labels,
    mask_in_another_channel,
    mask_damaged,
)
