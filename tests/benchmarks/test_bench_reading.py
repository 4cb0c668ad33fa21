"""The benchmark of reading compares like with like."""

import cv2
import numpy as np
import pytest
from bench_reading import RIVALS, for_opencv, main, ours, theirs
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit, SecondaryCaptureImageStorage

from data_prep.montgomery import list_montgomery

SIZE = 16


def picture(seed, shape=(90, 70)):
    noise = np.random.default_rng(seed).integers(0, 256, (9, 7), np.uint8)
    return cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def raw(tmp_path):
    raw, mask = tmp_path / "raw", np.zeros((90, 70), np.uint8)
    mask[20:60, 20:40] = 255
    for folder in ("CXR_png", "ManualMask/leftMask", "ManualMask/rightMask"):
        (raw / folder).mkdir(parents=True)
        for i in range(2):
            image = picture(i) if folder == "CXR_png" else mask
            assert cv2.imwrite(str(raw / folder / f"MCUCXR_000{i}_{i}.png"), image)
    return raw


@pytest.mark.parametrize("name", RIVALS)
def test_both_sides_make_the_same_images_of_the_same_files(raw, tmp_path, name):
    items = list_montgomery(raw).items
    made = ours(items, raw, SIZE, tmp_path).astype(int)
    other = theirs([item.image for item in items], items, SIZE, *RIVALS[name])
    assert made.shape == other.shape == (2, SIZE, SIZE) and np.ptp(made) > 100
    assert np.abs(made - other).mean() < 8 and np.abs(made - other[::-1]).mean() > 30


def test_it_times_every_side_and_prints_the_ratios(raw, capsys):
    main(["montgomery", str(raw), "--size", str(SIZE), "--copies", "2", "--runs", "3"])
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("4 images of montgomery") and len(lines) == 2 * len(RIVALS)
    assert all("; ratio " in line for line in lines)


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, ExplicitVRLittleEndian])
def test_of_a_dicom_opencv_gets_the_jpeg_inside_if_there_is_one(tmp_path, syntax):
    content = cv2.imencode(".jpg", picture(0))[1].tobytes()
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    data.SOPClassUID, data.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    data.PixelData = encapsulate([content]) if syntax == JPEGBaseline8Bit else content
    data["PixelData"].VR = "OB"
    data.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    path = for_opencv(tmp_path / "x.dcm", tmp_path)
    if syntax == JPEGBaseline8Bit:
        assert path.read_bytes().rstrip(b"\0") == content
    else:
        assert path is None
