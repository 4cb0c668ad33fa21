"""Bringing images and masks to one size."""

import numpy as np
import pytest

from data_prep.images import resize_mask
from ums.data.resize import resize_image


def test_shrinking_noise_averages_it_over_all_pixels():
    noise = np.random.default_rng(0).integers(0, 256, (512, 512), dtype=np.uint8)
    assert noise.std() > 70 and resize_image(noise, 64).std() < 20


def test_shrinking_a_mask_goes_with_the_majority():
    speck = np.zeros((512, 512), np.uint8)
    speck[100, 100] = 1
    assert resize_mask(speck, 64).sum() == 0 and resize_mask(1 - speck, 64).all()


@pytest.mark.parametrize("shape", [(7, 9), (64, 64), (300, 100)])
def test_masks_stay_binary_and_keep_their_area(shape):
    mask = np.zeros(shape, np.uint8)
    mask[: shape[0] // 2] = 1
    small = resize_mask(mask, 64)
    assert small.shape == (64, 64) and set(np.unique(small)) == {0, 1}
    assert abs(small.mean() - mask.mean()) < 0.03


def area(mask, size):
    """The area of 1 in each of size x size parts of (H, W), exactly; H * W where all of it is."""
    H, W = mask.shape
    fine = np.repeat(mask.astype(int), size, axis=0).reshape(size, H, W).sum(axis=1)
    return np.repeat(fine, size, axis=1).reshape(size, size, W).sum(axis=2)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((256, 192), 64),  # smaller
        ((201, 133), 64),
        ((125, 125), 100),
        ((20, 30), 64),  # larger
        ((24, 400), 64),  # one axis smaller, the other larger
        ((400, 24), 64),
        ((64, 200), 64),
        ((1, 100), 7),
        ((64, 64), 64),
    ],
)
def test_a_pixel_is_1_where_more_than_half_of_its_area_was(shape, size):
    mask = (np.random.default_rng(1).random(shape) > 0.5).astype(np.uint8)
    mask[: shape[0] // 2] = 1
    expected = 2 * area(mask, size) > mask.size
    np.testing.assert_array_equal(resize_mask(mask, size), expected)
    np.testing.assert_array_equal(resize_mask(mask > 0, size), expected)


def strokes(shape, width):
    """Thin slanted strokes, like the envelope on a Doppler panel."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return ((2 * y + x) % (4 * width) < width).astype(np.uint8)


@pytest.mark.parametrize("shape", [(20, 200), (30, 600), (300, 20), (50, 64)])
@pytest.mark.parametrize("width", [2, 3, 9])
def test_thin_strokes_of_wide_panels_are_averaged_not_sampled(shape, width):
    mask = strokes(shape, width)
    np.testing.assert_array_equal(resize_mask(mask, 64), 2 * area(mask, 64) > mask.size)


def test_half_a_pixel_is_not_most_of_it_however_the_halves_were_rounded():
    mask = np.zeros((224, 224), np.uint8)
    mask[:, :14] = 1  # the edge is in the middle of pixel 12: 14 / (224 / 200) = 12.5
    assert resize_mask(mask, 200).sum() == 12 * 200
