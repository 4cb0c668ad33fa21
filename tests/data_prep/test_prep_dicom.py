"""DICOM in the ways it is stored, whole and damaged."""

import io

import cv2
import gdcm
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    SecondaryCaptureImageStorage,
)

from data_prep.images import decode_grey, image_kind

RAW = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian)
PACKED = ("JPEGLosslessProcess14_1", "JPEGLSLossless", "JPEG2000Lossless", "RLELossless")


def picture(shape=(24, 20)):
    """Smooth, so that a JPEG of it is near, from 0 to 255."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.sin(x / 7) + np.cos(y / 9)
    return np.rint(255 * (image - image.min()) / np.ptp(image)).astype(np.uint8)


def dicom(pixels, syntax=ExplicitVRLittleEndian, content=None, **tags):
    """The bytes of a DICOM file of `pixels` (H, W) or (H, W, 3); `tags` are set last."""
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.SOPClassUID = SecondaryCaptureImageStorage
    data.SOPInstanceUID = "1.2.3"
    data.Rows, data.Columns = pixels.shape[:2]
    data.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
    data.PhotometricInterpretation = "MONOCHROME2" if pixels.ndim == 2 else "RGB"
    data.PlanarConfiguration = 0
    bits = 8 * pixels.dtype.itemsize
    data.BitsAllocated, data.BitsStored, data.HighBit = bits, bits, bits - 1
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    raw = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    data.PixelData = content or raw
    data["PixelData"].VR = "OB" if bits == 8 or content else "OW"
    for name, value in tags.items():
        setattr(data, name, value)
    file = io.BytesIO()
    data.save_as(file, enforce_file_format=True)
    return file.getvalue()


def jpeg(pixels, **tags):
    content = encapsulate(
        [cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()]
    )
    return dicom(pixels, JPEGBaseline8Bit, content, **tags)


def packed(data, name, folder):
    """`data` in another of the standard's ways to store it."""
    path = str(folder / "x.dcm")
    (folder / "x.dcm").write_bytes(data)
    reader, change, writer = (
        gdcm.ImageReader(),
        gdcm.ImageChangeTransferSyntax(),
        gdcm.ImageWriter(),
    )
    reader.SetFileName(path)
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, name)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(path)
    assert writer.Write()
    return (folder / "x.dcm").read_bytes()


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
