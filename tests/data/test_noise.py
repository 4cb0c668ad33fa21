"""Noise: its statistics against theory, clipping, determinism."""

import numpy as np
import pytest

from ums.data import NOISES, Noise, corrupt

EVERY = pytest.mark.parametrize("noise", NOISES, ids=str)


def grey(value, n=100_000):
    return np.full((1, 100, n // 100), value, np.uint8)


@pytest.mark.parametrize("level", [1, 10, 25])  # 25: clipping is five standard deviations away
def test_gaussian_noise_has_its_standard_deviation_and_no_bias(level, rng):
    difference = Noise("gaussian", level).add(grey(128), rng) - 128.0
    assert abs(difference.mean()) < 5 * level / np.sqrt(difference.size)
    assert abs(difference.std() / level - 1) < 5 / np.sqrt(2 * difference.size)


@pytest.mark.parametrize("value", [50, 100, 128])
@pytest.mark.parametrize("peak", [40, 200])
def test_poisson_variance_is_the_mean_times_255_over_the_peak(peak, value, rng):
    noisy = Noise("poisson", peak).add(grey(value), rng).astype(np.float64)
    variance = value * 255 / peak
    assert abs(noisy.mean() - value) < 5 * np.sqrt(variance / noisy.size)
    assert abs(noisy.var() / variance - 1) < 0.04  # clipping takes a little of the brightest tail


def test_poisson_noise_counts_whole_photons(rng):
    noisy = Noise("poisson", 51).add(grey(100), rng)  # a photon is 255 / 51 = 5 grey levels
    np.testing.assert_allclose(noisy / 5, np.rint(noisy / 5), atol=1e-4)


def test_black_has_no_photons_to_be_noisy(rng):
    assert not Noise("poisson", 40).add(grey(0), rng).any()


@EVERY
def test_noisy_images_are_clipped_to_the_grey_levels(noise, rng):
    images = np.repeat(np.array([0, 255], np.uint8), 500).reshape(10, 10, 10)
    noisy = noise.add(images, rng)
    assert noisy.dtype == np.float32 and noisy.shape == images.shape
    assert noisy.min() == 0 and noisy.max() == 255


@EVERY
def test_noise_repeats_with_its_seed_only(noise):
    one, same, other = (
        noise.add(grey(128, 1000), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert np.array_equal(one, same) and not np.array_equal(one, other)


@EVERY
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_clean_images_are_left_alone_whatever_their_type(noise, dtype):
    images = grey(128, 1000).astype(dtype)
    noisy = noise.add(images, np.random.default_rng(0))
    assert (images == 128).all()
    np.testing.assert_array_equal(noisy, noise.add(grey(128, 1000), np.random.default_rng(0)))


REFUSED = pytest.mark.parametrize(
    ("kind", "level"),
    [("salt", 1), ("Gaussian", 1), ("", 1), ("gaussian", 0), ("poisson", -3), ("poisson", np.nan)],
)


@REFUSED
def test_unknown_kind_or_level_is_refused(kind, level):
    with pytest.raises(ValueError, match="must be gaussian or poisson with a level > 0, got"):
        Noise(kind, level)


@REFUSED
def test_refused_noise_is_named_as_it_was_given(kind, level):
    with pytest.raises(ValueError, match=f"got .*{kind!r}.*{level}"):
        Noise(kind, level)


def test_names_are_those_of_the_table():
    names = [str(noise) for noise in NOISES]
    assert names[0] == "Gaussian (σ = 10)" and names[-1] == "Poisson (peak 40)"
    assert len(set(names)) == 6


def test_corrupt_uses_every_noise_about_equally(rng):
    images = np.full((1200, 8, 8), 128, np.uint8)
    noises = [Noise("gaussian", level) for level in (0.01, 1, 30)]
    strength = corrupt(images, rng, noises).std(axis=(1, 2))
    counts, _ = np.histogram(strength, bins=[0, 0.1, 5, 60])
    assert counts.sum() == 1200 and (abs(counts - 400) < 100).all()


def test_corrupt_leaves_no_image_clean_and_none_alike(rng):
    images = np.full((50, 8, 8), 128, np.uint8)
    noisy = corrupt(images, rng)
    assert noisy.dtype == np.float32 and (noisy.std(axis=(1, 2)) > 5).all()
    assert len({image.tobytes() for image in noisy}) == 50


def test_corrupt_gives_each_image_the_noise_of_its_own_pixels(rng):
    images = np.zeros((40, 8, 8), np.uint8)
    images[::2] = 200  # Poisson noise leaves black black: any mixing up of images would show
    noisy = corrupt(images, rng, [Noise("poisson", level) for level in (20, 40, 80)])
    assert not noisy[1::2].any() and (noisy[::2].mean(axis=(1, 2)) > 150).all()


def test_corrupt_repeats_with_its_seed():
    images = np.full((9, 8, 8), 128, np.uint8)
    one, same, other = (corrupt(images, np.random.default_rng(s)) for s in (1, 1, 2))
    assert np.array_equal(one, same) and not np.array_equal(one, other)


@pytest.mark.parametrize("add", [NOISES[0].add, NOISES[-1].add, corrupt])
@pytest.mark.parametrize("images", [np.full((2, 8, 8), 0.7), np.full((2, 8, 8), 300, np.uint16)])
def test_images_that_are_no_grey_levels_get_no_noise(add, images, rng):
    with pytest.raises(ValueError, match=r"images must be .*(multiply|uint16)"):
        add(images, rng)


def test_one_dark_image_among_bright_floats_gets_its_noise(rng):
    images = np.full((40, 8, 8), 128, np.float32)
    images[3] = 0.5
    assert (corrupt(images, rng, NOISES[:5]).std(axis=(1, 2)) > 3).all()


def test_noise_without_end_or_no_noise_is_refused(rng):
    with pytest.raises(ValueError, match=r"level > 0, got .*inf"):
        Noise("gaussian", np.inf)
    with pytest.raises(ValueError, match="no noise to draw from"):
        corrupt(np.zeros((1, 8, 8), np.uint8), rng, [])
