"""Decoding whatever image files the public sets hold."""

import io
import struct
import sys
import zlib

import cv2
import numpy as np
import pytest
from dicom_files import dicom, jpeg
from full_disk import nothing
from PIL import Image, ImageOps
from png_files import chunk, with_chunk

from ums.data.decode import decode_colour, decode_grey, decode_mask


@pytest.fixture
def grey():
    return np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)


def write(path, image):
    assert cv2.imwrite(str(path), image)
    return path


def read_grey(path):
    return decode_grey(path.read_bytes(), path)


def encoded(image, kind=".png", *options):
    return cv2.imencode(kind, image, options)[1].tobytes()


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_grey_content_is_read_exactly_from_grey_rgb_and_rgba(tmp_path, grey, channels):
    image = grey if channels == 1 else np.repeat(grey[..., None], channels, axis=2)
    np.testing.assert_array_equal(read_grey(write(tmp_path / "x.png", image)), grey)


def test_16_bits_become_8_over_the_full_range(tmp_path, grey):
    path = write(tmp_path / "x.png", grey.astype(np.uint16) * 257)
    np.testing.assert_array_equal(read_grey(path), grey)


def test_a_jpeg_is_read_nearly_exactly(tmp_path):
    smooth = np.linspace(0, 255, 64 * 64).reshape(64, 64).astype(np.uint8)
    back = read_grey(write(tmp_path / "x.jpg", smooth))
    assert back.shape == (64, 64) and np.abs(back.astype(int) - smooth).max() < 8


def test_colour_becomes_luminance(tmp_path):
    green = np.zeros((4, 4, 3), np.uint8)
    green[..., 1] = 255
    assert read_grey(write(tmp_path / "x.png", green))[0, 0] == 150


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_truncated_image_is_refused(tmp_path, grey, suffix, share):
    path = write(tmp_path / f"x{suffix}", grey)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ValueError, match=rf"x{suffix}: truncated"):
        read_grey(path)


def test_a_truncated_jpeg_with_a_whole_thumbnail_is_refused(tmp_path, grey):
    data = write(tmp_path / "x.jpg", grey).read_bytes()
    comment = b"\xff\xe1" + (len(data) + 2).to_bytes(2, "big") + data
    whole = data[:2] + comment + data[2:]
    (tmp_path / "x.jpg").write_bytes(whole[:-2])
    with pytest.raises(ValueError, match=r"x\.jpg: truncated"):
        read_grey(tmp_path / "x.jpg")


def test_a_png_with_a_flipped_bit_is_refused(tmp_path, grey):
    path = write(tmp_path / "x.png", grey)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="checksum"):
        read_grey(path)


@pytest.mark.parametrize(("data", "why"), [(b"", "empty"), (b"GIF89a....", "neither PNG nor JPEG")])
def test_what_is_no_image_is_refused_by_name(tmp_path, data, why):
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(ValueError, match=rf"x\.png.*{why}"):
        read_grey(tmp_path / "x.png")


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_a_film_of_fewer_bits_in_a_png_of_16_has_its_full_range(bits):
    film = np.linspace(0, 2**bits - 1, 4096).astype(np.uint16).reshape(64, 64)
    expected = np.rint(film * (255 / (2**bits - 1)))
    np.testing.assert_array_equal(decode_grey(encoded(film), "x"), expected)
    np.testing.assert_array_equal(decode_colour(encoded(film), "x")[..., 1], expected)


@pytest.mark.parametrize("top", [1, 15, 100, 255])
def test_8_bits_stored_as_multiples_of_257_come_back_however_dark(top):
    dark = np.arange(256, dtype=np.uint16).reshape(16, 16) % (top + 1)
    np.testing.assert_array_equal(decode_grey(encoded(dark * 257), "x"), dark)


@pytest.mark.parametrize(("shift", "bits"), [(0, 12), (4, 12), (0, 10), (6, 10)])
def test_the_significant_bits_that_a_png_states_are_its_range(shift, bits):
    film = np.arange(0, 1000, dtype=np.uint16).reshape(20, 50)  # in 10 bits, whatever it states
    data = with_chunk(encoded(film << shift), b"sBIT", bytes([bits]))
    full = 65535 if shift else 2**bits - 1
    expected = np.rint((film << shift) * (255 / full))
    np.testing.assert_array_equal(decode_grey(data, "x"), expected)


@pytest.mark.parametrize("bits", [9, 10, 12, 14])
@pytest.mark.parametrize("how", ["repeated", "scaled", "from 8 bits"])
def test_a_dark_film_scaled_to_16_bits_as_png_asks_stays_dark(how, bits):
    film = np.arange(2 ** (bits - 5), dtype=np.uint16).reshape(-1, 8)  # below 2**bits when scaled
    stored = {
        "repeated": film << (16 - bits) | film >> (2 * bits - 16),
        "scaled": np.rint(film * (65535 / (2**bits - 1))).astype(np.uint16),
        "from 8 bits": film % 8 << 8,
    }[how]
    data = with_chunk(encoded(stored), b"sBIT", bytes([bits]))
    np.testing.assert_array_equal(decode_grey(data, "x"), np.rint(stored / 257))


def test_a_bright_film_of_8_bits_in_the_12_that_a_png_states_is_not_taken_for_a_scaled_one():
    film = np.arange(256, dtype=np.uint16).reshape(16, 16) * 16
    data = with_chunk(encoded(film), b"sBIT", bytes([12]))
    np.testing.assert_array_equal(decode_grey(data, "x"), np.rint(film * (255 / 4095)))


def test_16_bits_in_colour_become_8_by_the_range_of_all_channels():
    colours = np.random.default_rng(0).integers(0, 4096, (8, 9, 3), dtype=np.uint16)
    expected = np.rint(colours[..., ::-1] * (255 / 4095))
    np.testing.assert_array_equal(decode_colour(encoded(colours), "x"), expected)
    luminance = expected @ [0.299, 0.587, 0.114]
    assert np.abs(decode_grey(encoded(colours), "x") - luminance).max() <= 1


def turned(image, kind, orientation):
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    Image.fromarray(image).save(file, kind, exif=exif.tobytes(), quality=100, subsampling=0)
    return file.getvalue(), np.asarray(ImageOps.exif_transpose(Image.open(file)))


@pytest.mark.parametrize("orientation", [*range(10), 65535])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_images_are_turned_as_pillow_turns_them(kind, orientation):
    image = np.zeros((16, 24, 3), np.uint8)
    image[:8, :8] = 200
    data, expected = turned(image, kind, orientation)
    np.testing.assert_array_equal(decode_colour(data, "x"), expected)
    np.testing.assert_array_equal(decode_grey(data, "x"), expected[..., 0])
    np.testing.assert_array_equal(decode_mask(data, "x"), expected[..., 0] > 0)


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-'
    b'syntax-ns#"><rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" %s</x:xmpmeta>'
)
ATTRIBUTE = XMP % b'tiff:Orientation="6"/></rdf:RDF>'
ELEMENT = XMP % b"><tiff:Orientation>6</tiff:Orientation></rdf:Description></rdf:RDF>"


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112 if orientation else 0x010F] = orientation or "maker"
    return b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")


def noted(kind, *notes):
    """A PNG or JPEG (8, 16) with chunks (kind, content) or application segments."""
    image = np.zeros((8, 16), np.uint8)
    image[:, :8] = 200
    data = encoded(image, kind)
    for note in reversed(notes):
        if kind == ".png":
            data = with_chunk(data, *note)
        else:
            data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note + data[2:]
    return data


RAW = b"\nexif\n%8d\n%s\n" % (len(exif_of(6)), exif_of(6).hex().encode())
XAP, XML = b"http://ns.adobe.com/xap/1.0/\0", b"XML:com.adobe.xmp\0"
NOTED = {
    "JPEG, XMP": noted(".jpg", XAP + ATTRIBUTE),
    "JPEG, XMP element": noted(".jpg", XAP + ELEMENT),
    "JPEG, EXIF of something else and XMP": noted(".jpg", exif_of(0), XAP + ATTRIBUTE),
    "JPEG, EXIF 1 before XMP": noted(".jpg", exif_of(1), XAP + ATTRIBUTE),
    "JPEG, EXIF 3 before XMP": noted(".jpg", exif_of(3), XAP + ATTRIBUTE),
    "PNG, XMP": noted(".png", (b"iTXt", XML + bytes(4) + ATTRIBUTE)),
    "PNG, XMP element": noted(".png", (b"iTXt", XML + bytes(4) + ELEMENT)),
    "PNG, XMP compressed": noted(".png", (b"iTXt", XML + b"\1\0\0\0" + zlib.compress(ATTRIBUTE))),
    "PNG, EXIF as text": noted(".png", (b"tEXt", b"Raw profile type exif\0" + RAW)),
    "PNG, EXIF as compressed text": noted(
        ".png", (b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(RAW))
    ),
    "PNG, nonsense": noted(
        ".png", (b"zTXt", b"Raw profile type exif\0\0abc"), (b"iTXt", XML + b"\1\0abc")
    ),
}


@pytest.mark.parametrize("name", NOTED)
def test_the_orientation_is_found_wherever_pillow_finds_it(name):
    data = NOTED[name]
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(decode_grey(data, "x"), expected)


@pytest.mark.parametrize("others", [(0,), (1,), (0, 1), (8,)])
def test_of_several_exif_segments_the_first_that_turns_counts(others):
    data = noted(".jpg", exif_of(6), *map(exif_of, others))
    assert np.array_equal(decode_grey(data, "x"), decode_grey(noted(".jpg", exif_of(6)), "x"))
    data = noted(".jpg", exif_of(1), exif_of(6))
    assert decode_grey(data, "x").shape == (16, 8)


def test_nonsense_in_exif_leaves_the_word_to_xmp():
    assert decode_grey(noted(".jpg", exif_of(9), XAP + ATTRIBUTE), "x").shape == (16, 8)


def test_exif_digits_in_a_comment_do_not_turn_the_image():
    assert decode_grey(noted(".png", (b"tEXt", b"Comment\0" + RAW)), "x").shape == (8, 16)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "value"), [(3, "HH"), (4, "I"), (1, "BBH")])
def test_the_orientation_is_read_in_both_byte_orders_and_all_types_of_integer(order, kind, value):
    value = struct.pack(order + value, 6, *[0] * (len(value) - 1))
    start = struct.pack(order + "2sHIH", b"II" if order == "<" else b"MM", 42, 8, 2)
    other = struct.pack(order + "HHII", 0x0100, 4, 1, 9)
    exif = start + other + struct.pack(order + "HHI", 0x0112, kind, 1) + value + bytes(4)
    data = with_chunk(encoded(np.eye(4, 6, dtype=np.uint8)), b"eXIf", exif)
    assert decode_grey(data, "x").shape == (6, 4)


TAG = b"\x01\x12\0\3\0\0\0\1\0\6\0\0"  # orientation 6


@pytest.mark.parametrize(
    "exif",
    [
        b"",
        b"MM",
        b"II*\0\xff\xff\xff\xff",
        b"MM\0*\0\0\0\x08\0\1" + TAG[:-1],
        b"MM\0*\0\0\0\x08\0\0" + TAG,  # after the last entry
    ],
)
def test_nonsense_for_exif_is_ignored(exif):
    image = np.eye(4, 6, dtype=np.uint8)
    np.testing.assert_array_equal(
        decode_grey(with_chunk(encoded(image), b"eXIf", exif), "x"), image
    )


@pytest.fixture(scope="module")
def film():
    """Smooth with some grain, 300 x 400."""
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.integers(0, 256, (9, 9), dtype=np.uint8), (400, 300))
    return np.clip(smooth + rng.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("progressive", [0, 1])
@pytest.mark.parametrize("restart", [0, 5])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpegs_have_the_pixels_that_opencv_finds_unless_they_are_damaged(
    film, channels, restart, progressive
):
    image = film if channels == 1 else np.dstack([film, film[::-1], film[:, ::-1]])
    flags = (cv2.IMWRITE_JPEG_PROGRESSIVE, progressive, cv2.IMWRITE_JPEG_RST_INTERVAL, restart)
    data = encoded(image, ".jpg", *flags)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_array_equal(decode_colour(data, "x"), pixels[..., ::-1])
    at, n = len(data) // 2, 4096
    for damaged in (
        data[:at] + bytes(n) + data[at + n :],  # 4 KB zeroed
        data[:at] + data[at + n :],  # lost
        data[:at] + data[at - n :],  # twice
        data[:at] + b"\xff" * n + data[at + n :],
        data[:at] + data,  # cut, and another appended
        data[:20] + b"garbage" + data[20:],
        data + data,
    ):
        with pytest.raises(
            ValueError, match=r"x\.jpg: .*(damaged JPEG|truncated JPEG|second image)"
        ):
            decode_grey(damaged, "x.jpg")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("zeros", [512, 2048])
def test_zeros_anywhere_in_a_progressive_jpeg_are_damage(film, zeros, channels):
    film = cv2.resize(film, (700, 600))
    image = film if channels == 1 else np.dstack([film, film[::-1], film[:, ::-1]])
    data = encoded(image, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    for at in np.linspace(data.index(b"\xff\xda") + 20, len(data) - zeros - 9, 40).astype(int):
        with pytest.raises(ValueError, match=r"x\.jpg: (damaged|truncated) JPEG"):
            decode_grey(data[:at] + bytes(zeros) + data[at + zeros :], "x.jpg")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("content", [0, 100])
@pytest.mark.parametrize("how", ["JPEG_PROGRESSIVE", "JPEG_OPTIMIZE"])
def test_the_zeros_of_flat_films_are_no_damage(how, content, channels):
    film = np.zeros((1200, 1000, channels), np.uint8)
    film[500:600, 500:600] = np.random.default_rng(0).integers(0, content + 1, (100, 100, 1))
    data = encoded(film, ".jpg", getattr(cv2, f"IMWRITE_{how}"), 1)
    assert bytes(256) in data
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(decode_colour(data, "x"), expected)


def test_what_follows_the_end_of_a_jpeg_or_png_does_not_matter(film):
    for kind in (".png", ".jpg"):
        data = encoded(film, kind)
        for more in (bytes(512), b"\r\n", b"a comment"):
            np.testing.assert_array_equal(decode_grey(data + more, "x"), decode_grey(data, "x"))


def test_an_exchanged_restart_marker_is_damage(film):
    data = encoded(film, ".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 5)
    with pytest.raises(ValueError, match="damaged JPEG"):
        decode_grey(data.replace(b"\xff\xd3", b"\xff\xd5", 1), "x")


def test_a_second_png_after_the_first_is_refused(grey):
    with pytest.raises(ValueError, match=r"x\.png: a second image follows"):
        decode_grey(encoded(grey) * 2, "x.png")


def test_a_png_without_a_part_of_its_data_is_refused(grey):
    head, tail = encoded(grey)[:33], chunk(b"IEND", b"")
    rows = zlib.compress(b"".join(b"\0" + row.tobytes() for row in grey))
    np.testing.assert_array_equal(decode_grey(head + chunk(b"IDAT", rows) + tail, "x"), grey)
    for part in (b"", rows[:300], rows[1:], zlib.compress(bytes(31 * 19))):
        with pytest.raises(ValueError, match=r"x\.png: damaged PNG"):
            decode_grey(head + chunk(b"IDAT", part) + tail, "x.png")


def of_another_size(data, height, width):
    """A PNG or JPEG whose header states another size."""
    if data[:1] == b"\x89":
        header = struct.pack(">II", width, height) + data[24:29]
        return data[:8] + chunk(b"IHDR", header) + data[33:]
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]


@pytest.mark.parametrize("kind", [".png", ".jpg", ".dcm"])
@pytest.mark.parametrize(
    ("height", "width"), [(20000, 20000), (65535, 65535), (1100, 65000), (65000, 1100)]
)
def test_an_image_that_is_too_large_is_refused_by_its_header(
    kind, height, width, grey, monkeypatch
):
    monkeypatch.setattr(cv2, "imdecode", None)  # nothing may be decoded
    if kind == ".dcm":
        data = dicom(grey, Rows=height, Columns=width)
    else:
        data = of_another_size(encoded(grey, kind), height, width)
    with pytest.raises(ValueError, match=rf"^x{kind}: .*{height} x {width}.* 67,108,864 at most"):
        decode_grey(data, f"x{kind}")


OPENCVS = cv2.error("Failed to allocate 9 bytes")
OPENCVS.code = cv2.Error.StsNoMem


@pytest.mark.parametrize("error", [MemoryError(), OPENCVS])
@pytest.mark.parametrize("kind", ["png", "dcm"])
def test_too_little_memory_is_no_fault_of_the_file_and_names_it(grey, monkeypatch, error, kind):
    data = encoded(grey) if kind == "png" else dicom(grey)
    monkeypatch.setattr(cv2, "imdecode", nothing(error))
    monkeypatch.setattr("ums.data.dicom._decoded", nothing(error))
    with pytest.raises(MemoryError, match=rf"^x\.{kind}: not enough memory"):
        decode_grey(data, f"x.{kind}")


def test_another_error_of_opencv_is_one_of_the_file(grey, monkeypatch):
    monkeypatch.setattr(cv2, "imdecode", nothing(cv2.error("broken")))
    with pytest.raises(ValueError, match=r"^x\.png: broken"):
        decode_grey(encoded(grey), "x.png")


@pytest.mark.parametrize("make", [lambda image: encoded(image, ".jpg"), jpeg])
def test_without_simplejpeg_the_extra_to_install_is_named(grey, monkeypatch, make):
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"^x .*simplejpeg.*pip install 'ums-rep\[data\]'"
    ):
        decode_grey(make(grey), "x")
    assert decode_grey(encoded(grey), "x").shape == grey.shape


def test_colours_in_a_dicom_are_refused_as_such(grey):
    with pytest.raises(ValueError, match=r"x\.dcm: a DICOM file; colours"):
        decode_colour(dicom(grey), "x.dcm")


@pytest.mark.parametrize(("rows", "columns"), [(8, 5), (6, 5), (7, 4), (7, 6)])
def test_png_whose_header_states_another_size_is_refused(rows, columns):
    """Decoders stop where they have enough: without this the image is cut, and nobody is told."""
    image = np.random.default_rng(0).integers(0, 256, (7, 5), dtype=np.uint8)
    raw = b"".join(b"\0" + row.tobytes() for row in image)

    def png(height, width):
        header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
        chunks = [b"IHDR" + header, b"IDAT" + zlib.compress(raw), b"IEND"]
        ends = (struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
        whole = (
            struct.pack(">I", len(c) - 4) + c + end for c, end in zip(chunks, ends, strict=True)
        )
        return b"\x89PNG\r\n\x1a\n" + b"".join(whole)

    assert np.array_equal(decode_grey(png(7, 5), "x.png"), image)
    with pytest.raises(ValueError, match=r"^x\.png: damaged PNG: its image is not of the"):
        decode_grey(png(rows, columns), "x.png")
