"""DICOM in the ways it is stored, whole and damaged."""

import io
import subprocess
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from dicom_files import dicom, jpeg, packed, picture
from PIL import Image
from pydicom import dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.processing import apply_modality_lut, apply_windowing
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

from data_prep.patients import patient_ids
from ums.data.decode import decode_grey, image_kind

ROOT = Path(__file__).parents[2]
RAW = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
PACKED = ("JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless", "RLELossless")


def read(data):
    return decode_grey(data, "x.dcm")


@pytest.mark.parametrize("syntax", [*RAW, ExplicitVRBigEndian])
def test_8_bits_stored_raw_are_read_exactly(syntax):
    np.testing.assert_array_equal(read(dicom(picture(), syntax)), picture())


@pytest.mark.parametrize("name", PACKED)
@pytest.mark.parametrize("bits", [8, 16])
def test_what_is_stored_without_loss_is_read_exactly(name, bits, tmp_path):
    pixels = picture() if bits == 8 else picture().astype(np.uint16) * 16
    np.testing.assert_array_equal(read(packed(dicom(pixels), name, tmp_path)), picture())


def test_a_jpeg_inside_is_read_as_pydicom_reads_it():
    data = jpeg(picture((64, 48)))
    np.testing.assert_array_equal(read(data), dcmread(io.BytesIO(data)).pixel_array)


@pytest.mark.parametrize("make", [dicom, jpeg])
def test_monochrome1_is_inverted(make):
    inverted = make(255 - picture(), PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_allclose(read(inverted), picture(), atol=6)


def test_a_window_is_applied_and_what_lies_outside_is_black_or_white():
    values = np.array([[0, 999, 1000, 1500, 2000, 2001, 4095]], np.uint16)
    shown = read(dicom(values, WindowCenter=1500.5, WindowWidth=1001))[0]
    assert shown.tolist()[:3] == [0, 0, 0] and shown.tolist()[4:] == [255, 255, 255]
    assert abs(int(shown[3]) - 127) <= 1


def test_an_unsaturated_window_is_not_stretched():
    values = np.array([[1000, 1200]], np.uint16)
    shown = read(dicom(values, WindowCenter=1500, WindowWidth=2000))[0]
    assert shown.tolist() == pytest.approx([64, 89], abs=1)


def test_a_rescale_comes_before_the_window():
    values = np.array([[0, 500, 1500]], np.uint16)
    tags = {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": 0, "WindowWidth": 2000}
    assert read(dicom(values, **tags))[0].tolist() == pytest.approx([0, 128, 255], abs=1)


def test_more_than_8_bits_without_a_window_are_stretched():
    values = picture().astype(np.int16) * 7 - 300
    np.testing.assert_array_equal(read(dicom(values)), picture())


def test_an_even_image_of_16_bits_is_black():
    assert not read(dicom(np.full((4, 5), 700, np.uint16))).any()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (1, -1024), (2, 0), (-1, 255)])
def test_8_bits_without_a_window_stay_as_they_are(slope, intercept, kind):
    half = picture() // 2
    tags = {"BitsStored": 8, "HighBit": 7, "RescaleSlope": slope, "RescaleIntercept": intercept}
    expected = half if slope > 0 else 255 - half
    np.testing.assert_array_equal(read(dicom(half.astype(kind), **tags)), expected)


@pytest.mark.parametrize("make", [dicom, jpeg])
def test_an_inverse_presentation_is_inverted(make):
    for kind in ("MONOCHROME1", "MONOCHROME2"):
        tags = {"PresentationLUTShape": "INVERSE", "PhotometricInterpretation": kind}
        np.testing.assert_allclose(read(make(255 - picture(), **tags)), picture(), atol=6)


@pytest.mark.parametrize(
    "name", ["Rows", "BitsStored", "BitsAllocated", "PhotometricInterpretation", "SamplesPerPixel"]
)
def test_what_a_file_does_not_state_is_named(name):
    data = dcmread(io.BytesIO(dicom(picture())))
    delattr(data, name)
    file = io.BytesIO()
    data.save_as(file)
    with pytest.raises(ValueError, match=rf"^x\.dcm: .*it does not state its {name}$"):
        read(file.getvalue())


@pytest.mark.parametrize("start", [b"\x02\0\0\0", b"\x08\0\x16\0"])
def test_a_dicom_without_a_preamble_is_refused_as_such(start):
    data = dicom(picture())
    data = data[data.index(start) :]
    with pytest.raises(ValueError, match=r"^x\.dcm: DICOM without its preamble"):
        read(data)


def test_colour_becomes_luminance():
    green = np.zeros((4, 4, 3), np.uint8)
    green[..., 1] = 255
    assert read(dicom(green))[0, 0] == 150


def test_a_wrong_name_does_not_matter(tmp_path):
    (tmp_path / "x.txt").write_bytes(dicom(picture()))
    assert image_kind(tmp_path / "x.txt") == "DICOM"


@pytest.mark.filterwarnings("ignore:End of file")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
@pytest.mark.parametrize("name", ["raw", "jpeg", *PACKED, "deflated"])
def test_a_truncated_file_is_refused_by_name(name, share, tmp_path):
    make = {"raw": dicom, "jpeg": jpeg}
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    if name == "deflated":
        data = dicom(noise, DeflatedExplicitVRLittleEndian)
    else:
        data = make[name](noise) if name in make else packed(dicom(noise), name, tmp_path)
    with pytest.raises(ValueError, match=r"^x\.dcm: "):
        read(data[: int(len(data) * share)])


def test_a_jpeg_cut_off_inside_a_whole_file_is_refused():
    content = cv2.imencode(".jpg", picture((64, 64)))[1].tobytes()[:-40]
    with pytest.raises(ValueError, match="truncated JPEG"):
        read(dicom(picture((64, 64)), JPEGBaseline8Bit, encapsulate([content])))


def test_a_jpeg_of_another_size_than_the_file_says_is_refused():
    with pytest.raises(ValueError, match=r"\(24, 20\).*\(30, 20\)"):
        read(jpeg(picture(), Rows=30))


@pytest.mark.parametrize(
    ("name", "marker", "at", "value"),
    [
        ("JPEGLSLossless", b"\xff\xf7", 4, 255),  # bits
        ("JPEGLSLossless", b"\xff\xf7", 4, 1),
        ("JPEGLSLossless", b"\xff\xf7", 7, 255),  # columns
        ("JPEGLSLossless", b"\xff\xf7", 9, 3),  # channels
        ("JPEGLosslessProcess14_1", b"\xff\xc3", 4, 200),
        ("JPEGLosslessProcess14_1", b"\xff\xc3", 5, 250),
        ("JPEG2000Lossless", b"\xff\x4f\xff\x51", 5, 83),  # the length of these statements
        ("JPEG2000Lossless", b"\xff\x4f\xff\x51", 9, 118),  # columns: 7.7 GB
        ("JPEG2000Lossless", b"\xff\x4f\xff\x51", 16, 255),  # where the image begins
        ("JPEG2000Lossless", b"\xff\x4f\xff\x51", 41, 3),
        ("JPEG2000Lossless", b"\xff\x4f\xff\x51", 42, 90),
        ("JPEG2000Lossless", b"\xff\x4f\xff\x51", 43, 0),  # pixels from one column to the next
    ],
)
def test_compressed_data_that_state_another_image_are_refused(name, marker, at, value, tmp_path):
    data = bytearray(packed(dicom(picture()), name, tmp_path))
    data[data.index(marker) + at] = value
    with pytest.raises(
        ValueError, match=r"^x\.dcm: .*(compressed image is|makes no sense|truncated JPEG)"
    ):
        read(bytes(data))


@pytest.mark.parametrize(
    ("at", "value"), [(3, 0), (17, 147)]
)  # the marker of a segment, and the transform in it
def test_lossless_colour_jpegs_with_an_odd_segment_are_refused(at, value, tmp_path):
    colours = np.dstack([picture(), picture()[::-1], picture()[:, ::-1]])
    data = packed(dicom(colours), "JPEGLosslessProcess14_1", tmp_path)
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"
    dataset = dcmread(io.BytesIO(data))
    frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
    frame = bytearray(frame[:2] + adobe + frame[frame.index(b"\xff\xc3") :])
    syntax = dataset.file_meta.TransferSyntaxUID
    assert read(dicom(colours, syntax, encapsulate([bytes(frame)]))).std() > 20
    frame[at] = value
    with pytest.raises(ValueError, match=r"^x\.dcm: .*makes no sense"):
        read(dicom(colours, syntax, encapsulate([bytes(frame)])))


def test_several_frames_are_refused():
    with pytest.raises(ValueError, match="2 frames"):
        read(dicom(picture(), Rows=12, NumberOfFrames=2))


def test_a_file_without_an_image_is_refused():
    data = dcmread(io.BytesIO(dicom(picture())))
    del data.PixelData
    file = io.BytesIO()
    data.save_as(file)
    with pytest.raises(ValueError, match="truncated or has no image"):
        read(file.getvalue())


FILM = np.linspace(1000, 3000, 30 * 20).reshape(30, 20).round()


def padded(value, kind, by=4):
    """FILM with columns of padding at its left."""
    film = FILM.astype(kind)
    film[:, :by] = np.array(value).astype(kind)
    return film


def stretched(values):
    return np.rint((values - values.min()) * (255 / np.ptp(values)))


PADDED = {
    "unsigned": (padded(65535, np.uint16), {"PixelPaddingValue": 65535}),
    "zero": (padded(0, np.uint16), {"PixelPaddingValue": 0}),
    "signed": (padded(-32768, np.int16), {"PixelPaddingValue": -32768}),
    "signed, written as unsigned": (
        padded(-2000, np.int16),
        {"PixelPaddingValue": DataElement("PixelPaddingValue", "US", 63536)},
    ),
    "beyond the stored bits": (
        padded(65535, np.uint16),
        {"PixelPaddingValue": 65535, "BitsStored": 12, "HighBit": 11},
    ),
    "signed, below the stored bits": (
        padded(-5000, np.int16),
        {"PixelPaddingValue": -5000, "BitsStored": 13, "HighBit": 12},
    ),
    "signed, above the stored bits": (
        padded(4096, np.int16),
        {"PixelPaddingValue": 4096, "BitsStored": 13, "HighBit": 12},
    ),
    "signed, the lowest of the stored bits": (
        padded(-4096, np.int16),
        {"PixelPaddingValue": -4096, "BitsStored": 13, "HighBit": 12},
    ),
    "the highest of the stored bits": (
        padded(4095, np.uint16),
        {"PixelPaddingValue": 4095, "BitsStored": 12, "HighBit": 11},
    ),
    "just beyond the stored bits": (
        padded(4096, np.uint16),
        {"PixelPaddingValue": 4096, "BitsStored": 12, "HighBit": 11},
    ),
    "among other values": (padded(1500.4, np.uint16), {"PixelPaddingValue": 1500}),
    "rescaled": (
        padded(0, np.uint16),
        {"PixelPaddingValue": 0, "RescaleSlope": 2, "RescaleIntercept": -1024},
    ),
}


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
@pytest.mark.parametrize("kind", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("name", PADDED)
def test_padding_takes_no_part_in_the_stretch_and_becomes_black(name, kind, syntax):
    pixels, tags = PADDED[name]
    is_padding = pixels == pixels[0, 0]
    shown = read(dicom(pixels, syntax, PhotometricInterpretation=kind, **tags))
    expected = stretched(pixels[~is_padding].astype(float))
    expected = 255 - expected if kind == "MONOCHROME1" else expected
    np.testing.assert_array_equal(shown[~is_padding], expected)
    assert not shown[is_padding].any()


def test_padding_may_be_written_as_signed_where_pixels_are_not():
    value = DataElement("PixelPaddingValue", "SS", -2000)
    shown = read(dicom(padded(63536, np.uint16), PixelPaddingValue=value))
    np.testing.assert_array_equal(shown[:, 4:], stretched(FILM[:, 4:]))


@pytest.mark.parametrize("ends", [(0, 500), (500, 0), (500, 20)])
def test_a_range_of_padding_is_all_black(ends):
    pixels = padded(0, np.uint16)
    pixels[:, :4] = [0, 20, 100, 500]
    tags = {"PixelPaddingValue": ends[0], "PixelPaddingRangeLimit": ends[1]}
    shown = read(dicom(pixels, **tags))
    content = pixels >= (1000 if 0 in ends else 1)
    is_padding = (pixels >= min(ends)) & (pixels <= max(ends))
    np.testing.assert_array_equal(shown[~is_padding], stretched(pixels[~is_padding].astype(float)))
    assert not shown[is_padding].any() and content.any()


def test_padding_of_8_bits_becomes_black_and_the_rest_stays():
    image = np.where(picture() < 250, picture(), 255)
    shown = read(dicom(image, PixelPaddingValue=255))
    np.testing.assert_array_equal(shown, np.where(image == 255, 0, image))
    elsewhere = 256 + int(image[5, 5])  # no value of 8 bits
    np.testing.assert_array_equal(read(dicom(image, PixelPaddingValue=elsewhere)), image)


def test_an_image_of_nothing_but_padding_is_refused():
    with pytest.raises(ValueError, match=r"^x\.dcm: .*nothing but padding"):
        read(dicom(np.full((4, 5), 9, np.uint16), PixelPaddingValue=9))


def lookup(entries, first, bits, content=None):
    table = Dataset()
    table.LUTDescriptor = [len(entries) % 2**16, first, bits]
    table.LUTData = content or np.array(entries).astype("<u2").tobytes()
    table["LUTData"].VR = "OW"
    return [table]


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_a_lookup_table_is_shown_over_its_own_range(bits):
    entries = np.arange(4096) * (2**bits - 1) // 4095
    values = np.array([[1000, 1500, 2500, 5000]], np.uint16)  # far from the ends of the table
    shown = read(dicom(values, VOILUTSequence=lookup(entries, 0, bits)))[0]
    assert shown.tolist() == pytest.approx([62, 93, 156, 255], abs=1)


def test_a_lookup_table_may_begin_anywhere_and_follows_the_rescale():
    entries = [0, 0, 100, 200, 255]
    values = np.array([[0, 3, 4, 5, 6, 7, 200]], np.uint16)
    tags = {
        "RescaleSlope": 1,
        "RescaleIntercept": -8,
        "VOILUTSequence": lookup(entries, 2**16 - 5, 8),
    }
    for syntax in (ImplicitVRLittleEndian, ExplicitVRLittleEndian):
        assert read(dicom(values, syntax, **tags))[0].tolist() == [0, 0, 0, 100, 200, 255, 255]


@pytest.mark.parametrize(
    ("bits", "top"), [(8, 65535), (10, 4095), (12, 1023), (16, 255), (16, 4095)]
)
def test_a_lookup_table_of_other_bits_than_it_states_is_shown_over_its_own(bits, top):
    entries = np.arange(4096) * top // 4095
    values = np.array([[0, 1000, 2500, 5000]], np.uint16)
    shown = read(dicom(values, VOILUTSequence=lookup(entries, 0, bits)))[0]
    assert shown.tolist() == pytest.approx([0, 62, 156, 255], abs=1)


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (lookup([1] * 9, 0, 0), "0 bits for each entry"),
        (lookup([1] * 9, 0, 17), "17 bits for each entry"),
        (lookup([1] * 9, 0, 8, b"1234"), "has 4 entries, but states 9"),
    ],
)
def test_a_lookup_table_that_cannot_be_is_refused(table, why):
    with pytest.raises(ValueError, match=rf"^x\.dcm: .*{why}"):
        read(dicom(picture(), VOILUTSequence=table))


def test_bits_that_are_not_the_lowest_are_refused():
    with pytest.raises(ValueError, match=r"^x\.dcm: .*HighBit is 15 for 12 stored bits"):
        read(dicom(picture().astype(np.uint16) * 256, BitsStored=12, HighBit=15))


def test_a_modality_table_comes_before_the_stretch():
    table = lookup([0, 10, 20, 40], 0, 8, bytes([0, 10, 20, 40]))
    values = np.array([[0, 1, 2, 3]], np.uint16)
    assert read(dicom(values, ModalityLUTSequence=table))[0].tolist() == [0, 64, 128, 255]


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("slope", "intercept"), [(1, 0), (2.5, -1000)])
def test_windows_are_applied_as_pydicom_applies_them(function, slope, intercept):
    values = np.arange(0, 4096, 7, dtype=np.uint16).reshape(2, -1)
    tags = {"WindowCenter": 1400, "WindowWidth": 900, "VOILUTFunction": function}
    data = dicom(values, RescaleSlope=slope, RescaleIntercept=intercept, **tags)
    dataset = dcmread(io.BytesIO(data))
    there = apply_windowing(apply_modality_lut(values, dataset), dataset)
    low, high = np.array([0, 65535]) * slope + intercept
    np.testing.assert_allclose(read(data), (there - low) * (255 / (high - low)), atol=0.5001)


def test_a_window_of_width_1_is_a_threshold():
    values = np.array([[9, 10, 11]], np.uint16)
    assert read(dicom(values, WindowCenter=10.5, WindowWidth=1))[0].tolist() == [0, 0, 255]


def test_a_negative_slope_turns_black_and_white():
    values = picture().astype(np.uint16) * 16
    tags = {"RescaleSlope": -1, "RescaleIntercept": 4095}
    np.testing.assert_array_equal(read(dicom(values, **tags)), 255 - picture())
    tags |= {"WindowCenter": 2048, "WindowWidth": 4096}
    np.testing.assert_allclose(read(dicom(values, **tags)), 255 - picture(), atol=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RescaleSlope", "0"),
        ("RescaleSlope", "NaN"),
        ("RescaleSlope", "inf"),
        ("RescaleSlope", "1e308"),
        ("RescaleIntercept", "NaN"),
        ("RescaleIntercept", "-inf"),
        ("WindowCenter", "NaN"),
        ("WindowWidth", "NaN"),
        ("WindowWidth", "0"),
        ("WindowWidth", "0.5"),
        ("WindowWidth", "-100"),
        ("VOILUTFunction", "CUBIC"),
    ],
)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_numbers_that_would_show_nothing_are_refused_by_name(name, value, kind):
    data = dcmread(io.BytesIO(dicom(picture().astype(kind))))
    if "Rescale" not in name:
        data.WindowCenter, data.WindowWidth = 100, 200
    tag = tag_for_keyword(name)
    vr = "CS" if name == "VOILUTFunction" else "DS"
    data[tag] = RawDataElement(Tag(tag), vr, len(value), value.encode(), 0, False, True)
    file = io.BytesIO()
    data.save_as(file)
    with pytest.raises(ValueError, match=rf"^x\.dcm: .*({name}|values reach)"):
        read(file.getvalue())


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize(("kind", "bits"), [(np.uint8, 8), (np.uint16, 16), (np.uint16, 12)])
def test_colour_of_any_depth_becomes_the_luminance_of_8_bits(kind, bits, planar):
    eight = np.dstack([picture(), picture()[::-1], picture()[:, ::-1]])
    values = np.rint(eight * ((2**bits - 1) / 255)).astype(kind)
    stored = np.ascontiguousarray(np.moveaxis(values, 2, 0)) if planar else values
    tags = {"PlanarConfiguration": planar, "BitsStored": bits, "HighBit": bits - 1}
    shown = read(dicom(values, content=stored.tobytes(), **tags))
    assert shown.dtype == np.uint8
    np.testing.assert_allclose(shown, eight @ [0.299, 0.587, 0.114], atol=1)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_the_luminance_of_ybr_is_its_first_channel(kind):
    values = np.dstack([picture(), picture() * 0 + 128, picture() * 0 + 128]).astype(kind)
    values = values * 257 if kind == np.uint16 else values
    data = dicom(values, PhotometricInterpretation="YBR_FULL")
    np.testing.assert_allclose(read(data), picture(), atol=1)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_palette_becomes_luminance(bits):
    ramp = np.arange(256) * (257 if bits == 16 else 1)
    tags = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        tags[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
        content = ramp.astype("<u2" if bits == 16 else np.uint8).tobytes()
        tags[f"{colour}PaletteColorLookupTableData"] = content
    np.testing.assert_array_equal(read(dicom(picture(), **tags)), picture())


@pytest.mark.parametrize("channels", [1, 3])
def test_a_damaged_jpeg_in_a_dicom_is_refused(channels):
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    noise = noise[..., 0] if channels == 1 else noise
    content = cv2.imencode(".jpg", noise)[1].tobytes()
    half = len(content) // 2
    damaged = content[:half] + bytes(2000) + content[half + 2000 :]
    tags = {"PhotometricInterpretation": "YBR_FULL_422"} if channels == 3 else {}
    assert read(dicom(noise, JPEGBaseline8Bit, encapsulate([content]), **tags)).std() > 20
    with pytest.raises(ValueError, match=r"^x\.dcm: .*damaged JPEG"):
        read(dicom(noise, JPEGBaseline8Bit, encapsulate([damaged]), **tags))


def test_the_orientation_of_a_jpeg_in_a_dicom_is_none_of_its_matter():
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = 3
    Image.fromarray(picture()).save(file, "JPEG", exif=exif.tobytes(), quality=95)
    shown = read(dicom(picture(), JPEGBaseline8Bit, encapsulate([file.getvalue()])))
    np.testing.assert_allclose(shown, picture(), atol=8)


def test_without_pydicom_the_extra_to_install_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "ums.data.dicom", raising=False)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(
        ModuleNotFoundError, match=r"x\.dcm .*pydicom.*pip install 'ums-rep\[data\]'"
    ):
        read(dicom(picture()))


def test_importing_the_data_package_needs_no_pydicom():
    code = "import sys; sys.modules['pydicom'] = None; import ums.data.decode, data_prep.collect"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    "change", [{"Columns": 19}, {"Rows": 23}, {"BitsAllocated": 16, "Rows": 6}]
)
def test_raw_dicom_of_more_pixels_than_it_states_is_refused(change):
    pixels = picture() + np.uint8(0)
    pixels[-1] = 7
    with pytest.raises(ValueError, match=r"^x\.dcm: .*"):
        decode_grey(dicom(pixels, **change), "x.dcm")


@pytest.mark.filterwarnings("ignore:The pixel data is")  # from pydicom, of just this
def test_zeros_after_the_pixels_of_a_dicom_are_padding():
    pixels = picture()
    data = dicom(pixels, content=pixels.tobytes() + bytes(40))
    assert np.array_equal(decode_grey(data, "x.dcm"), pixels)


def test_what_the_standard_does_not_allow_is_no_matter(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (tmp_path / "a.dcm").write_bytes(dicom(picture(), PatientID="7" * 99))
    assert decode_grey((tmp_path / "a.dcm").read_bytes(), "a.dcm").shape == picture().shape
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert patient_ids([tmp_path / "a.dcm"]) == ["7" * 99]
