"""How good a heat map is: by hand, and for a network of which one pixel is known to decide."""

import numpy as np
import pytest
import standin
from scipy.special import expit
from small_classifiers import classifier, images

from ums.backend import Device
from ums.derived import deletion_insertion, heat_map, mass_inside, measure_maps, pointing_game
from ums.derived.heat_map import blurred
from ums.layers import Layer

# ------------------------------------------------------------------------------ mass inside a mask


def test_mass_inside_a_mask_by_hand():
    maps = np.array([[[1, 0], [2, 5]], [[0, 0], [3, 0]], [[1, 1], [1, 1]]]) / 5
    masks = np.array([[[1, 1], [1, 0]], [[0, 0], [1, 1]], [[0, 0], [0, 0]]]) == 1
    np.testing.assert_allclose(mass_inside(maps, masks), [3 / 8, 1, 0])
    assert isinstance(mass_inside(maps[0], masks[0]), float)


def test_mass_inside_of_an_even_map_is_the_share_of_the_mask(rng):
    masks = rng.random((4, 20, 30)) < 0.3
    shares = mass_inside(np.full(masks.shape, 0.1, np.float32), masks)
    np.testing.assert_allclose(shares, masks.mean(axis=(1, 2)), rtol=1e-6)


def test_mass_inside_of_an_empty_map_is_undefined():
    maps = np.zeros((2, 3, 3))
    maps[1, 0, 0] = 1e-30
    np.testing.assert_array_equal(mass_inside(maps, np.ones((2, 3, 3), bool)), [np.nan, 1])


# ---------------------------------------------------------------------------- the pointing game


@pytest.mark.parametrize(
    ("row", "mask", "tolerance", "expected"),
    [
        ([0, 2, 9, 1], [0, 0, 1, 0], 0, 1),
        ([0, 2, 9, 1], [1, 1, 0, 1], 0, 0),
        ([0, 2, 9, 1], [1, 0, 0, 0], 1, 0),
        ([0, 2, 9, 1], [1, 0, 0, 0], 2, 1),
        ([9, 2, 9, 9], [1, 0, 0, 1], 0, 2 / 3),
        ([0, 0, 0, 0], [1, 1, 1, 1], 0, 0),
    ],
    ids=["inside", "outside", "too far", "near enough", "tied", "empty"],
)
def test_maximum_points_into_the_mask_or_not(row, mask, tolerance, expected):
    maps, masks = np.array([row]) / 9, np.array([mask]) == 1
    assert pointing_game(maps, masks, tolerance) == pytest.approx(expected)
    stacked = pointing_game(np.stack([maps, maps]), np.stack([masks, ~masks]))
    assert stacked.shape == (2,)


def test_tolerance_is_within_an_image_along_both_axes():
    maps, masks = np.zeros((2, 5, 5)), np.zeros((2, 5, 5), bool)
    maps[0, 4, 4], masks[0, 3, 3], masks[1] = 1, True, True
    assert pointing_game(maps, masks, 1).tolist() == [1, 0]


@pytest.mark.parametrize("measure", [mass_inside, pointing_game])
@pytest.mark.parametrize(
    ("maps", "masks", "message"),
    [
        (np.ones((1, 2, 2)), np.ones((1, 2, 3), bool), r"\(1, 2, 2\) and \(1, 2, 3\)"),
        (np.ones((1, 2, 2)), np.ones((1, 2, 2)), "boolean, got float64"),
        (-np.ones((1, 2, 2)), np.ones((1, 2, 2), bool), "negative, got -1.0"),
        (np.full((1, 2, 2), np.nan), np.ones((1, 2, 2), bool), "finite and not negative, got nan"),
        (np.diag([np.inf, 1.0]), np.ones((2, 2), bool), "finite and not negative, got inf"),
    ],
)
def test_unfit_maps_and_masks_are_refused(maps, masks, message, measure):
    with pytest.raises(ValueError, match=message):
        measure(maps, masks)


# ---------------------------------------------------------------------------- deletion and insertion


class OnePixel(Layer):
    """Scores 0 and the value at row 1, column 2."""

    def forward(self, x, training=False, keep=True):
        return np.stack([0 * x[:, 1, 2, 0], x[:, 1, 2, 0]], axis=1)


def probabilities(x):
    """P(class 1) of the image and of its blurred self."""
    return expit(x[0, 1, 2, 0]), expit(blurred(x)[0, 1, 2, 0])


@pytest.mark.parametrize("place", [0, 7, 15])
def test_areas_of_a_network_that_needs_one_pixel_by_its_place_in_the_maps_order(place, rng):
    """16 steps for 16 pixels: the probability changes once, in the middle of the step ``place``."""
    x = 3 * rng.normal(size=(1, 4, 4, 1))
    before, after = probabilities(x)
    values = np.delete(np.arange(16.0)[::-1], place)
    maps = np.insert(values, 6, 15.0 - place).reshape(1, 4, 4)  # pixel 6 is row 1, column 2
    share = (place + 0.5) / 16
    expected = [share * a + (1 - share) * b for a, b in ((before, after), (after, before))]
    deletion, insertion = deletion_insertion(OnePixel(), x, maps, rng)
    np.testing.assert_allclose([deletion[0], insertion[0]], expected, rtol=1e-6)
    assert abs(before - after) > 0.02


def test_pixels_of_one_value_go_in_random_order(rng):
    x = np.repeat(3 * rng.normal(size=(1, 4, 4, 1)), 400, axis=0)
    before, after = probabilities(x)
    deletion, _ = deletion_insertion(OnePixel(), x, np.zeros((400, 4, 4)), rng)
    spread = abs(before - after) / np.sqrt(12)  # of a uniform place
    assert abs(deletion.mean() - (before + after) / 2) < 4 * spread / np.sqrt(400)
    assert deletion.std() == pytest.approx(spread, rel=0.2)


def test_each_image_is_measured_for_its_class_and_by_itself(rng, monkeypatch):
    network, x, classes = classifier(rng), images(rng), np.array([0, 1, 2, 1, 0])
    maps = rng.random(x.shape[:3])
    monkeypatch.setattr(heat_map, "BATCH", 2)
    together = deletion_insertion(network, x, maps, rng, classes)
    alone = [deletion_insertion(network, x[[k]], maps[[k]], rng, classes[k]) for k in range(5)]
    np.testing.assert_allclose(together, np.concatenate(alone, axis=1), rtol=1e-5)
    assert np.ptp(together) > 0.01


def test_areas_on_a_device_equal_numpys(rng):
    network, x, maps = classifier(rng), images(rng), rng.random((5, 12, 8))
    expected = deletion_insertion(network, x, maps, rng)
    device = Device(standin, "stand-in")
    found = deletion_insertion(network.to(device), device.put(x), maps, rng)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_maps_of_another_size_are_refused(rng):
    with pytest.raises(
        ValueError, match=r"maps must be \(5, 12, 8\), as the images, got \(5, 6, 4\)"
    ):
        deletion_insertion(classifier(rng), images(rng), np.ones((5, 6, 4)), rng)


# ---------------------------------------------------------------------------- all of them


def test_all_measures_of_each_map(rng):
    network, x, maps = classifier(rng), images(rng), rng.random((5, 12, 8))
    maps[2], maps[:, 0, 0], masks = 0, 0, rng.random((5, 12, 8)) < 0.5
    found = measure_maps(network, x, maps, masks, np.random.default_rng(1), 2)
    areas = deletion_insertion(network, x, maps, np.random.default_rng(1), 2)
    np.testing.assert_array_equal(found["empty"], [0, 0, 1, 0, 0])
    np.testing.assert_array_equal(found["mass inside"], mass_inside(maps, masks))
    np.testing.assert_array_equal(found["pointing"], pointing_game(maps, masks))
    np.testing.assert_array_equal([found["deletion"], found["insertion"]], areas)
