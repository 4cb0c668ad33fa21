"""DICOM files in the ways they are stored, for tests of what reads them."""

import io

import cv2
import gdcm
import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    SecondaryCaptureImageStorage,
)


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
        if isinstance(value, DataElement):
            data.add(value)
        else:
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
