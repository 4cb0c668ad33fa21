"""What is refused where images, masks, labels and rows enter, and in which words."""

import numpy as np
import pytest

from ums.data.checks import check_images, check_labels, check_mask_values, check_masks, check_rows


def ramp(dtype, low, high):
    """Two images (2, 4, 4) from the lowest to the highest value."""
    return np.linspace(low, high, 32).reshape(2, 4, 4).astype(dtype)


@pytest.mark.parametrize(
    "images",
    [
        ramp(np.uint8, 0, 255),
        ramp(np.uint8, 0, 0),  # a black film is one
        ramp(np.uint8, 0, 1),
        ramp(np.float32, 0, 0),
        ramp(np.float32, 0, 255),
        ramp(np.float16, 3, 250),
        np.round(ramp(np.float32, 0, 1)),  # a dark frame
        np.eye(4, dtype=np.float32)[None] * 8.1,
        np.repeat(ramp(np.uint8, 0, 255)[..., None], 3, axis=3),
    ],
)
def test_grey_levels_are_images(images):
    check_images(images)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (ramp(np.float32, 0, 1), "grey levels in 0..255, got 0 to 1: multiply .* by 255"),
        (ramp(np.float64, 0, 0.5), "got 0 to 0.5: multiply"),
        (ramp(np.float64, 0, 1.5), "in image 0: multiply images in 0..1 by"),
        (ramp(np.float32, 0, 1) * 1.02, "got 0 to .* in image 0: multiply"),
        (ramp(np.float32, 0, 7), "in image 0: multiply"),
        (ramp(np.float16, 0, 7), "in image 0: multiply"),
        (np.where(np.eye(2)[0, :, None, None], 100, np.eye(3) / 2), "0 to 0.5 in image 1: multi"),
        (ramp(np.float32, -1, 1), "got -1 to 1"),
        (ramp(np.float32, 0, 4095), "got 0 to 4095"),
        (ramp(np.float32, 0, np.nan), "got nan to nan"),
        (np.where(np.eye(4)[None] > 0, np.inf, 9.0), "got 9 to inf"),
        (ramp(bool, 0, 1), r"got \(2, 4, 4\) bool"),
        (ramp(np.uint16, 0, 65535), r"got \(2, 4, 4\) uint16"),
        (ramp(np.int64, 0, 255), r"got \(2, 4, 4\) int64"),
        (ramp(np.complex64, 0, 255), "complex64"),
        (ramp(np.uint8, 0, 9)[0], r"\(N, H, W\) or .*, got \(4, 4\) uint8"),
        (np.zeros((0, 4, 4), np.uint8), r"got \(0, 4, 4\)"),
        (np.zeros((2, 4, 4, 0), np.uint8), r"got \(2, 4, 4, 0\)"),
        ([[[1, 2]]], "a NumPy array, got list"),
    ],
)
def test_what_is_no_grey_levels_is_refused_with_what_was_found(images, message):
    with pytest.raises(ValueError, match=f"^films.npy must be .*{message}"):
        check_images(images, "films.npy")


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_entire_set_that_ends_at_1_is_refused_and_a_dark_frame_of_one_is_not(dtype):
    for images in (ramp(dtype, 0, 0), np.eye(2, dtype=dtype)[:, None] * [[[1]], [[100]]]):
        check_images(images.astype(dtype), entire=True)
    with pytest.raises(ValueError, match=r"films must be grey levels in .*, got 0 to 1"):
        check_images(np.eye(2, dtype=dtype)[None], "films", entire=True)


@pytest.mark.parametrize("images", [ramp(np.float32, 0, 255), np.zeros((2, 4, 4, 1), np.uint8)])
def test_a_folder_holds_grey_or_rgb_bytes_alone(images):
    check_images(images)
    with pytest.raises(ValueError, match=r"\(N, H, W\) or \(N, H, W, 3\) uint8, got"):
        check_images(images, stored=True)


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (np.zeros((2, 4, 4)), r"uint8 or bool, got \(2, 4, 4\) float64"),
        (np.zeros((2, 4, 4), np.int64), "int64"),
        (np.zeros((2, 4, 5), bool), r"must be \(2, 4, 4\), as their images, .* got \(2, 4, 5\)"),
        (np.zeros((2, 4, 4, 1), np.uint8), r"got \(2, 4, 4, 1\) uint8"),
        (np.zeros((3, 4, 4), np.uint8), r"got \(3, 4, 4\)"),
        (None, "NumPy array, got NoneType"),
    ],
)
def test_masks_of_another_form_are_refused(masks, message):
    with pytest.raises(ValueError, match=message):
        check_masks(masks, (2, 4, 4, 3))


def test_masks_are_bytes_or_booleans_of_their_images_size():
    check_masks(np.zeros((2, 4, 4), np.uint8), (2, 4, 4))
    check_masks(np.zeros((2, 4, 4), bool), (2, 4, 4, 3))
    check_masks(np.zeros((2, 9, 9), bool))


@pytest.mark.parametrize(("most", "advice"), [(255, "divide by 255"), (2, "one class"), (7, "")])
def test_mask_with_other_values_than_0_and_1_is_refused(most, advice):
    check_mask_values(ramp(np.uint8, 0, 1), "masks.npy")
    check_mask_values(ramp(bool, 0, 1))
    with pytest.raises(
        ValueError, match=f"^masks.npy must be 0 and 1, .* up to {most}: .*{advice}"
    ):
        check_mask_values(ramp(np.uint8, 0, most), "masks.npy")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, -1, 2]), "classes from 0, got -1"),
        (np.array([0, -7]), "classes from 0, got -7"),
        (np.array([0, 3, 1]), "classes in 0..2, got 3"),
        (np.array([0.0, 1.0]), r"integers \(N,\), one or more, got \(2,\) float64"),
        (np.array([False, True]), "bool"),
        (np.array(["0", "1"]), "<U1"),
        (np.zeros((2, 1), int), r"got \(2, 1\)"),
        (np.zeros(0, int), r"got \(0,\)"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, message):
    with pytest.raises(ValueError, match=f"^flow must be .*{message}"):
        check_labels(labels, "flow", 3)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, ">i4"])
def test_labels_may_be_of_any_integer_type_and_lack_a_class(dtype):
    check_labels(np.array([0, 2, 0], dtype), classes=3)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.array([0, 5]), r"in 0..4, got 0 to 5"),
        (np.array([-1]), "in 0..4, got -1 to -1"),
        (np.array([True, False]), "bool"),
        (np.array([0.0]), "float64"),
        (np.zeros(0), r"one or more, got \(0,\)"),
        ([0, 1], "NumPy array, got list"),
    ],
)
def test_rows_outside_the_set_are_refused(rows, message):
    check_rows(np.array([4, 0, 4]), 5)
    with pytest.raises(ValueError, match=message):
        check_rows(rows, 5)
