"""PNG files from their parts, for tests of what reads them."""

import struct
import zlib

import numpy as np

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind, content):
    crc = zlib.crc32(kind + content)
    return len(content).to_bytes(4, "big") + kind + content + crc.to_bytes(4, "big")


def with_chunk(png, kind, content):
    """Insert a chunk after the header of a PNG."""
    return png[:33] + chunk(kind, content) + png[33:]


def grey_png(values, bits):
    """A grey PNG (H, W) of 1, 2, 4, 8 or 16 bits."""
    height, width = values.shape
    ones = (values[..., None] >> np.arange(bits)[::-1]) & 1
    packed = np.packbits(ones.reshape(height, -1), axis=1)
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in packed))
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    return SIGNATURE + b"".join(chunk(*part) for part in parts)
