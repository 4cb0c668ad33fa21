"""Bringing images and masks to one size."""

import numpy as np
import pytest

from data_prep.images import resize_image, resize_mask


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


def overlaps(n, size):
    """(size, n) share of each of `n` pixels in each of `size` equal parts of the line."""
    ends = np.arange(size + 1) * n / size
    pixels = np.arange(n)
    length = np.minimum(ends[1:, None], pixels + 1) - np.maximum(ends[:-1, None], pixels)
    return np.maximum(length, 0) * size / n


@pytest.mark.parametrize(
    ("shape", "size"), [((512, 512), 64), ((401, 333), 64), ((65, 300), 64), ((250, 250), 200)]
)
def test_a_smaller_mask_is_1_where_more_than_half_of_a_pixel_was(shape, size):
    mask = (np.random.default_rng(1).random(shape) > 0.5).astype(np.uint8)
    mask[: shape[0] // 2] = 1
    share = overlaps(shape[0], size) @ mask @ overlaps(shape[1], size).T
    clear = np.abs(share - 0.5) > 1e-4
    small = resize_mask(mask, size)
    np.testing.assert_array_equal(small[clear], (share > 0.5)[clear])
    assert not small[np.abs(share - 0.5) < 1e-9].any()


def test_half_a_pixel_is_not_most_of_it_however_the_halves_were_rounded():
    mask = np.zeros((224, 224), np.uint8)
    mask[:, :14] = 1  # the edge is in the middle of pixel 12: 14 / (224 / 200) = 12.5
    assert resize_mask(mask, 200).sum() == 12 * 200
