"""DICOM in the ways it is stored, whole and damaged."""

import io
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from dicom_files import dicom, jpeg, packed, picture
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
)

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


def test_without_pydicom_the_extra_to_install_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ums.data.dicom", None)
    with pytest.raises(ModuleNotFoundError, match=r"x\.dcm .*pip install 'ums-rep\[data\]'"):
        read(dicom(picture()))


def test_importing_the_data_package_needs_no_pydicom():
    code = "import sys; sys.modules['pydicom'] = None; import ums.data.decode, data_prep.collect"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
