"""Where the foreground of an image is, and images that it is made to fill."""

import numpy as np
import pytest

from ums.data.crop import crop_to_foreground, foreground_box


def framed(shape=(20, 30), foreground=(3, 17, 5, 25), level=100):
    """A black image with a foreground of one grey at top, bottom, left, right."""
    image = np.zeros(shape, np.uint8)
    top, bottom, left, right = foreground
    image[top:bottom, left:right] = level
    return image


@pytest.mark.parametrize(
    "foreground", [(3, 17, 5, 25), (0, 20, 0, 30), (0, 20, 7, 30), (19, 20, 0, 30)]
)
def test_foreground_is_found_inside_its_border(foreground):
    assert foreground_box(framed(foreground=foreground)) == foreground


def test_writing_in_the_border_is_no_foreground():
    image = framed()
    image[1, 2:7] = 255  # five letters: a sixth of the row, a twentieth of each column
    assert foreground_box(image) == (3, 17, 5, 25)


def test_dark_parts_inside_the_foreground_belong_to_it():
    image = framed()
    image[5:16, 8:23] = 0
    assert foreground_box(image) == (3, 17, 5, 25)


@pytest.mark.parametrize(("background", "whole"), [(9, False), (10, True), (-1, True)])
def test_foreground_is_what_is_above_the_level_and_an_image_without_any_is_whole(background, whole):
    """Above -1, all pixels are: there is no border then."""
    box = foreground_box(framed(level=10), background)
    assert box == ((0, 20, 0, 30) if whole else (3, 17, 5, 25))


def test_foreground_fills_the_image_and_a_mask_goes_with_it(rng):
    """A foreground of half the sides: every pixel of its mask becomes two by two."""
    images, masks = (np.zeros((2, 8, 12), np.uint8) for _ in range(2))
    images[0, 2:6, 4:10] = 200
    images[1, 1:5, 0:6] = 90
    drawn = rng.integers(2, size=(2, 4, 6), dtype=np.uint8)
    masks[0, 2:6, 4:10], masks[1, 1:5, 0:6] = drawn
    before = images.copy()
    filled, enlarged, absent = crop_to_foreground(images, masks, None)
    assert (filled == np.array([200, 90])[:, None, None]).all() and filled.dtype == np.uint8
    assert (enlarged == np.kron(drawn, np.ones((1, 2, 2), int))).all() and absent is None
    assert (images == before).all()


def test_images_without_a_border_stay_as_they_are(rng):
    images = rng.integers(60, 256, (3, 16, 16), dtype=np.uint8)
    assert (crop_to_foreground(images)[0] == images).all()


def test_boolean_masks_are_cropped_as_bytes_are(rng):
    images = np.stack([framed(), framed(foreground=(0, 10, 0, 15))])
    masks = rng.random(images.shape) < 0.5
    of_bool, of_bytes = (crop_to_foreground(images, m)[1] for m in (masks, masks.astype(np.uint8)))
    assert of_bool.dtype == bool
    np.testing.assert_array_equal(of_bool, of_bytes > 0)


def test_floats_stay_grey_levels_where_the_interpolation_overshoots():
    image = framed(foreground=(3, 17, 5, 25), level=0).astype(np.float32)
    image[3:17, 5:15] = 255
    image[3:17, 15:25] = 9
    filled = crop_to_foreground(image[None])[0]
    assert filled.min() >= 0 and filled.max() == 255


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((np.zeros((2, 8, 8, 3), np.uint8),), "images must be grey"),
        ((np.full((2, 8, 8), 0.5),), "multiply images in 0..1 by 255"),
        ((np.zeros((2, 8, 8), np.uint16),), "uint16"),
        ((np.zeros((2, 8, 8), np.uint8), np.zeros((2, 8, 9), bool)), "as their images"),
    ],
)
def test_what_cannot_be_cropped_is_refused(arrays, message):
    with pytest.raises(ValueError, match=message):
        crop_to_foreground(*arrays)
