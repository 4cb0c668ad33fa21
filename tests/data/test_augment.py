"""Augmentation: exact cases by hand, masks that move with their images, labels that stay."""

import numpy as np
import pytest

from ums.data.augment import Augmentation

STILL = {"angle": 0, "shift": 0, "zoom": 0, "gamma": 0}


class Drawn:
    """A generator that draws what it is told, as shares of what is at most possible."""

    def __init__(self, *shares):
        self.shares = np.array(shares, float)

    def uniform(self, low, high, size):
        assert (low, high) == (-1, 1)
        return np.broadcast_to(self.shares, size)


def changed(images, targets=None, angle=0.0, right=0.0, down=0.0, zoom=0.0, gamma=0.0):
    """Exactly this change: degrees, pixels, logs of scale and exponent."""
    n, H, W = images.shape[:3]
    targets = np.zeros(n, int) if targets is None else targets
    shares = (angle / 90, right / W, down / H, zoom, gamma)
    return Augmentation(Drawn(*shares), angle=90, shift=1, zoom=1, gamma=1)(images, targets)


def pictures(rng, n=4, H=12, W=16):
    return rng.integers(0, 256, (n, H, W), dtype=np.uint8)


def moved(images, right, down):
    """What slices say, with black where nothing was."""
    _, H, W = images.shape
    out = np.zeros_like(images)
    out[:, max(down, 0) : H + min(down, 0), max(right, 0) : W + min(right, 0)] = images[
        :, max(-down, 0) : H - max(down, 0), max(-right, 0) : W - max(right, 0)
    ]
    return out


# ---------------------------------------------------------------------------- by hand


def test_each_channel_of_an_rgb_image_changes_as_a_grey_image_would(rng):
    images, how = rng.integers(0, 256, (4, 12, 16, 3), dtype=np.uint8), {"angle": 7, "gamma": 0.2}
    together, _ = changed(images, right=2, zoom=0.1, **how)
    for c in range(3):
        alone, _ = changed(images[..., c], right=2, zoom=0.1, **how)
        np.testing.assert_array_equal(together[..., c], alone)


def test_no_change_at_most_is_no_change(rng):
    images, masks = pictures(rng), pictures(rng) % 2
    same_images, same_masks = Augmentation(rng, **STILL)(images, masks)
    np.testing.assert_array_equal(same_images, images)
    np.testing.assert_array_equal(same_masks, masks)


@pytest.mark.parametrize(("right", "down"), [(3, 0), (-2, 0), (0, 5), (0, -1), (4, -3)])
def test_shift_by_whole_pixels_is_exact_and_black_comes_in(right, down, rng):
    images, masks = pictures(rng), pictures(rng) % 2
    shifted, shifted_masks = changed(images, masks, right=right, down=down)
    np.testing.assert_array_equal(shifted, moved(images, right, down))
    np.testing.assert_array_equal(shifted_masks, moved(masks, right, down))


@pytest.mark.parametrize("turns", [1, -1])
def test_quarter_turn_of_a_square_is_exact(turns, rng):
    images, masks = pictures(rng, H=9, W=9), pictures(rng, H=9, W=9) % 2
    turned, turned_masks = changed(images, masks, angle=90 * turns)
    np.testing.assert_array_equal(turned, np.rot90(images, turns, (1, 2)))
    np.testing.assert_array_equal(turned_masks, np.rot90(masks, turns, (1, 2)))


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_zoom_is_of_the_sides_and_about_the_centre(factor, rng):
    y, x = np.mgrid[-30:31, -40:41]
    masks = ((abs(x) <= 8) & (abs(y) <= 6)).astype(np.uint8)[None]
    bigger, bigger_masks = changed(masks * 200, masks, zoom=np.log(factor))
    inside = (abs(x) <= 8 * factor - 1) & (abs(y) <= 6 * factor - 1)
    outside = (abs(x) >= 8 * factor + 2) | (abs(y) >= 6 * factor + 2)
    assert bigger_masks[0, inside].all() and not bigger_masks[0, outside].any()
    assert (bigger[0, inside] == 200).all() and not bigger[0, outside].any()


def test_gamma_of_known_greys():
    images = np.array(
        [[[0, 51, 102, 128, 204, 255]]], np.uint8
    )  # 0, 0.2, 0.4, ..., 0.8, 1 of white
    darker, _ = changed(images, gamma=np.log(2))  # squared
    assert darker[0, 0].tolist() == [0, 10, 41, 64, 163, 255]
    brighter, _ = changed(images, gamma=-np.log(2))  # square root
    assert brighter[0, 0].tolist() == [0, 114, 161, 181, 228, 255]


def test_masks_are_not_exposed(rng):
    masks = pictures(rng) % 2
    _, same = changed(pictures(rng), masks, gamma=1.0)
    np.testing.assert_array_equal(same, masks)


def test_image_and_mask_keep_together():
    y, x = np.mgrid[:64, :64]
    masks = (((x - 30) ** 2 + (y - 36) ** 2) < 15**2).astype(np.uint8)[None]
    images, moved_masks = changed(masks * 200, masks, angle=20, right=4, down=-7, zoom=0.2)
    away = abs(images.astype(int) - 200 * moved_masks) > 100  # at the edge between pixels
    assert away.sum() < 0.02 * moved_masks.sum() and (moved_masks != masks).mean() > 0.1


# ---------------------------------------------------------------------------- random


def test_masks_stay_binary_and_everything_keeps_its_shape_and_type(rng):
    images, masks = pictures(rng, 20, 32, 48), pictures(rng, 20, 32, 48) % 2
    x, t = Augmentation(rng)(images, masks)
    assert (x.shape, x.dtype, t.shape, t.dtype) == (images.shape, np.uint8, masks.shape, np.uint8)
    assert set(np.unique(t)) == {0, 1}
    assert all((x[k] != images[k]).any() for k in range(20))


def test_labels_stay_and_nothing_given_is_changed(rng):
    images, labels = pictures(rng), np.array([3, 0, 1, 2])
    before = images.copy()
    x, t = Augmentation(rng)(images, labels)
    assert t.tolist() == labels.tolist() and t is not labels
    np.testing.assert_array_equal(images, before)
    assert (x != images).any()


def test_masks_given_are_not_changed(rng):
    masks = pictures(rng) % 2
    before = masks.copy()
    Augmentation(rng)(pictures(rng), masks)
    np.testing.assert_array_equal(masks, before)


def test_images_may_be_read_only(rng):
    images = pictures(rng)
    images.flags.writeable = False
    Augmentation(rng)(images, np.zeros(4, int))


def test_same_seed_gives_the_same_and_the_next_call_another(rng):
    images = pictures(rng)
    first, again = (Augmentation(np.random.default_rng(2)) for _ in range(2))
    one, two = (first(images, np.zeros(4, int))[0] for _ in range(2))
    assert (one != two).any()
    for expected in (one, two):
        np.testing.assert_array_equal(again(images, np.zeros(4, int))[0], expected)


def test_images_of_a_batch_are_changed_differently(rng):
    one = np.repeat(pictures(rng, 1, 32, 32), 5, axis=0)
    x, _ = Augmentation(rng)(one, np.zeros(5, int))
    assert len({image.tobytes() for image in x}) == 5


@pytest.mark.parametrize(
    ("most", "axis", "bound"),
    [({"shift": 0.25}, 0, 16), ({"shift": 0.25}, 1, 8), ({"angle": 30}, None, 30)],
)
def test_changes_reach_their_bounds_both_ways_and_go_no_further(most, axis, bound):
    y, x = np.mgrid[-32:33, -16:17]
    masks = np.repeat(((abs(x) <= 2) & (abs(y) <= 6)).astype(np.uint8)[None], 400, axis=0)
    _, t = Augmentation(np.random.default_rng(0), **STILL | most)(masks, masks)
    places = (y, x)
    if axis is None:  # the long axis of the bar, from the vertical, by its second moments
        xx, yy, xy = (np.mean(t * v, axis=(1, 2)) for v in (x * x, y * y, x * y))
        found = np.degrees(np.arctan2(2 * xy, yy - xx) / 2)
    else:
        found = (t * places[axis]).sum(axis=(1, 2)) / t.sum(axis=(1, 2))
        assert abs((t * places[1 - axis]).sum(axis=(1, 2)) / t.sum(axis=(1, 2))).max() <= 17
    assert -1.03 * bound - 1 <= found.min() < -0.9 * bound
    assert 0.9 * bound < found.max() <= 1.03 * bound + 1


@pytest.mark.parametrize(
    "images",
    [np.zeros((8, 8), np.uint8), np.zeros((2, 8, 8, 2), np.uint8), np.zeros((2, 8, 8), np.float32)],
)
def test_images_of_another_form_are_refused_with_it(images):
    shape = r"\(" + ", ".join(map(str, images.shape)) + rf"\) {images.dtype}"
    with pytest.raises(ValueError, match=f"got {shape}"):
        Augmentation(np.random.default_rng(0))(images, np.zeros(len(images), int))


def test_boolean_masks_stay_boolean_and_move_as_bytes_do(rng):
    images, masks = pictures(rng), pictures(rng) > 128
    (_, t), (_, of_bytes) = (
        Augmentation(np.random.default_rng(4))(images, m) for m in (masks, masks.astype(np.uint8))
    )
    assert t.dtype == bool and t.shape == masks.shape and (t != masks).any()
    np.testing.assert_array_equal(t, of_bytes > 0)


@pytest.mark.parametrize(
    "masks",
    [np.zeros((4, 12, 15), np.uint8), np.zeros((3, 12, 16), bool), np.zeros((4, 12, 16))],
)
def test_masks_of_other_images_are_refused(masks, rng):
    with pytest.raises(ValueError, match=r"masks must be \(4, 12, 16\), as their images, uint8 or"):
        Augmentation(rng)(pictures(rng), masks)


@pytest.mark.parametrize("name", ["angle", "shift", "zoom", "gamma"])
@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_changes_that_cannot_be_are_refused_by_name(name, value, rng):
    with pytest.raises(ValueError, match=f"{name} must be 0 or more, got {value}"):
        Augmentation(rng, **{name: value})
