"""Decoding whatever image files the public sets hold."""

import cv2
import numpy as np
import pytest

from ums.data.decode import decode_grey, decode_mask


@pytest.fixture
def grey():
    return np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)


def write(path, image):
    assert cv2.imwrite(str(path), image)
    return path


def read_grey(path):
    return decode_grey(path.read_bytes(), path)


def read_mask(path):
    return decode_mask(path.read_bytes(), path)


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


@pytest.mark.parametrize("values", [(0, 1), (0, 255), (3, 250)])
def test_a_mask_is_0_and_1_whatever_its_two_values(tmp_path, grey, values):
    mask = np.where(grey > 99, values[1], values[0]).astype(np.uint8)
    np.testing.assert_array_equal(read_mask(write(tmp_path / "m.png", mask)), grey > 99)


def test_an_empty_mask_stays_empty(tmp_path):
    assert read_mask(write(tmp_path / "m.png", np.zeros((5, 5), np.uint8))).sum() == 0
