"""What gets into a work folder: checked pictures and masks, upright, and nothing of one grey level."""

import json

import cv2
import numpy as np
import pytest
from dicom_files import dicom, picture
from PIL import Image

from data_prep import reading
from data_prep.__main__ import main
from data_prep.listing import Item
from ums.data.prepared import load_prepared
from ums.data.resize import resize_image

GREY = picture((48, 40))


def prepare(tmp_path, *contents):
    """Prepare GREY and files of these contents; what is kept, and what is skipped."""
    (tmp_path / "raw").mkdir()
    for i, content in enumerate([GREY, *contents]):
        name = tmp_path / "raw" / f"{i}.png"
        data = content if isinstance(content, bytes) else cv2.imencode(".png", content)[1].tobytes()
        name.write_bytes(data)
    assert main(["unlabelled", str(tmp_path / "raw"), str(tmp_path / "out"), "--size", "32"]) == 0
    made = load_prepared(tmp_path / "out")
    return made, {entry["file"]: entry["why"] for entry in made.about["skipped"]}


def shenzhen(tmp_path, image, mask):
    """Prepare a set of two films, the second of which has this image and mask."""
    half = np.zeros(GREY.shape, np.uint8)
    half[:, :20] = 255
    for i, (film, its_mask) in enumerate([(GREY, half), (image, mask)]):
        for folder, name, content in (("CXR_png", "", film), ("mask", "_mask", its_mask)):
            (tmp_path / "raw" / folder).mkdir(parents=True, exist_ok=True)
            path = tmp_path / "raw" / folder / f"CHNCXR_000{i}_0{name}.png"
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                assert cv2.imwrite(str(path), content)
    assert main(["shenzhen", str(tmp_path / "raw"), str(tmp_path / "out"), "--size", "32"]) == 0
    about = json.loads((tmp_path / "out" / "about.json").read_text())
    return load_prepared(tmp_path / "out"), [entry["why"] for entry in about["skipped"]]


@pytest.mark.parametrize(
    "content",
    [
        np.full((20, 30), 7, np.uint8),
        np.full((20, 30), 4000, np.uint16),
        np.full((20, 30, 3), [0, 9, 200], np.uint8),
        dicom(np.full((20, 30), 700, np.uint16)),
        dicom(picture(), WindowCenter=5000, WindowWidth=10),
    ],
)
def test_films_of_one_grey_level_are_refused_and_merge_no_patients(tmp_path, content):
    made, skipped = prepare(tmp_path, content, content, 255 - GREY)
    assert made.ids.tolist() == ["0.png", "3.png"] and len(set(made.patients)) == 2
    assert set(skipped) == {"1.png", "2.png"}
    assert all("one grey level: every pixel is" in why for why in skipped.values())


@pytest.mark.parametrize(
    ("decoded", "found"),
    [
        (np.zeros((4, 5), np.uint16), r"uint16 \(4, 5\)"),
        (np.zeros((4, 5), np.float32), r"float32 \(4, 5\)"),
        (np.zeros((4, 5), bool), r"bool \(4, 5\)"),
        (np.zeros((4, 5, 1), np.uint8), r"uint8 \(4, 5, 1\)"),
        (np.zeros((4, 5, 3), np.uint8), r"uint8 \(4, 5, 3\)"),
        (np.zeros((0, 5), np.uint8), r"uint8 \(0, 5\)"),
        (np.zeros(5, np.uint8), r"uint8 \(5,\)"),
    ],
)
def test_what_a_decoder_returns_is_checked(decoded, found):
    with pytest.raises(ValueError, match=rf"decoded to {found}, should be uint8 \(H, W\)$"):
        reading._check_image(decoded, colour=False)
    if decoded.shape == (4, 5, 3):
        return reading._check_image(decoded, colour=True)
    with pytest.raises(ValueError, match=rf"{found}, should be uint8 \(H, W, 3\)"):
        reading._check_image(decoded, colour=True)


@pytest.mark.parametrize(
    ("mask", "why"),
    [
        (np.ones((4, 6), np.uint8), r"4 x 6 \(height x width\), its image 4 x 5"),
        (np.full((4, 5), 255, np.uint8), "uint8 up to 255"),
        (np.ones((4, 5), bool), "bool up to True"),
        (np.ones((4, 5), np.uint16), "uint16 up to 1"),
    ],
)
def test_what_a_decoder_returns_for_a_mask_is_checked(mask, why):
    with pytest.raises(ValueError, match=rf"^mask m\.png .*{why}"):
        reading._check_mask(mask, "m.png", (4, 5))


@pytest.mark.parametrize("colour", ["RGB", "YBR_FULL"])
def test_a_colour_dicom_of_16_bits_is_the_picture_it_shows(tmp_path, colour):
    values = np.repeat(GREY[..., None], 3, 2).astype(np.uint16) * 257
    if colour == "YBR_FULL":
        values[..., 1:] = 32768
    made, _ = prepare(tmp_path, dicom(values[::-1], PhotometricInterpretation=colour))
    np.testing.assert_allclose(made.images[1], resize_image(GREY[::-1], 32), atol=1)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_mask_drawn_on_the_upright_film_lies_on_it(tmp_path, orientation):
    bright = np.full((48, 48), 20, np.uint8)
    bright[4:20, 8:24] = 220
    mask = (bright > 100).astype(np.uint8)
    stored = np.rot90(bright, {1: 0, 3: 2, 6: 1, 8: -1}[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "film.png"
    Image.fromarray(stored).save(path, exif=exif.tobytes())
    made, skipped = shenzhen(tmp_path, path.read_bytes(), mask)
    assert not skipped
    np.testing.assert_array_equal(made.images[1] > 120, made.masks[1] == 1)


@pytest.mark.parametrize(
    ("mask", "why"),
    [
        (np.zeros(GREY.shape, np.uint8), "every pixel is 0"),
        (np.full(GREY.shape, 255, np.uint8), "every pixel is 255"),
        (GREY, "like a photograph"),
        (np.pad([[1]], ((0, 95), (0, 79))).astype(np.uint8), "nothing is left of its mask at 32"),
    ],
)
def test_a_mask_that_cannot_be_is_recorded_and_its_film_left_out(tmp_path, mask, why):
    made, skipped = shenzhen(tmp_path, 255 - picture(mask.shape), mask)
    assert len(made) == 1 and len(skipped) == 1 and why in skipped[0]


def test_labels_of_16_bits_are_the_mask_of_a_prepared_film(tmp_path):
    labels = np.zeros(GREY.shape, np.uint16)
    labels[:24, :20], labels[:24, 20:] = 1, 2
    made, skipped = shenzhen(tmp_path, 255 - GREY, labels)
    assert not skipped and made.has_mask.all()
    assert made.masks[1, :16].all() and not made.masks[1, 16:].any()


def test_nothing_unchecked_gets_into_the_work_folder(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"")
    item = Item("x", "x", tmp_path / "x", masks=(tmp_path / "x",))
    monkeypatch.setattr(reading, "decode_grey", lambda *_: GREY)
    monkeypatch.setattr(reading, "decode_mask", lambda *_: GREY)
    assert "mask x decoded to uint8 up to 255" in reading._read(item, 16, colour=False)
    monkeypatch.setattr(reading, "decode_grey", lambda *_: GREY.astype(np.uint16))
    assert "decoded to uint16 (48, 40)" in reading._read(item, 16, colour=False)
