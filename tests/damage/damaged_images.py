"""Damaged and unusual PNG and JPEG files, by kind.

Each function returns the bytes of a file and a list of the pixels that are right, empty where none are. Of
a format without checksums it adds the pixels that other software shows of the damaged file.
"""

import io
import struct
import zlib
from itertools import pairwise

import numpy as np
from PIL import Image, ImageOps

LOST = 4096
"""Bytes of a block that a disk or a network loses."""


def film(rng, shape=(96, 120)):
    """A grey image that no format makes small."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = 128 + 60 * np.sin(x / 9) * np.cos(y / 11) + rng.normal(0, 20, shape)
    return np.clip(image, 0, 255).astype(np.uint8)


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
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
         (0, 1, 1, 2))  # fmt: skip
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
    data = [chunk(b"IDAT", packed[a:b]) for a, b in pairwise(ends)]
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


def nothing(rng):
    return (b"", b"\0" * 5000, rng.bytes(3000), b"<html>404</html>", b"\x89PNG")[
        rng.integers(5)
    ], []


def another_format(rng):
    """Under the name of a PNG; an animation shows its first image."""
    image = Image.fromarray(film(rng, (40, 48)))
    other = Image.fromarray(film(rng, (40, 48)))
    form = ("BMP", "GIF", "TIFF", "WEBP", "PPM", "PDF", "ICO", "PNG")[rng.integers(8)]
    more = {"save_all": True, "append_images": [other]} if form in ("GIF", "TIFF", "PNG") else {}
    data = saved(image, form, **more)
    return data, [] if form == "PDF" else [luminance(data)]


IMAGES = (png_flip_in_header, png_flip_in_body, png_cut, png_4_kb_zeroed, png_with_another_appended,
          png_chunks_exchanged, png_of_wrong_size, png_of_huge_size, png_of_16_bits,
          png_with_alpha_or_palette, png_turned, png_interlaced, jpeg_flip_in_header,
          jpeg_flip_in_body, jpeg_cut, jpeg_4_kb_zeroed, jpeg_4_kb_lost,
          jpeg_cut_with_another_appended, jpeg_turned, jpeg_of_another_kind, another_format,
          nothing)  # fmt: skip
