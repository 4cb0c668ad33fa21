"""Table 2: what is scored of the network, and the filters beside it."""

import numpy as np
import pytest
from scipy import ndimage

from ums.data import NOISES, Noise
from ums.experiments import denoising
from ums.experiments.denoising import (
    FILTERS,
    TEST_NOISES,
    Filter,
    best_strength,
    gaussian_blur,
    image_scores,
    non_local_means,
    score_denoising,
    wiener_filter,
)

EACH_FILTER = pytest.mark.parametrize("name", FILTERS)


def film(n=2, side=32):
    """Smooth images with one edge, uint8."""
    y, x = np.mgrid[:side, :side] / side
    images = [90 + 60 * np.sin(5 * x + k) * y + 40 * (x > 0.4) for k in range(n)]
    return np.stack(images).astype(np.uint8)


def decibels(clean, image):
    return 20 * np.log10(255) - 10 * np.log10(np.mean((clean.astype(float) - image) ** 2))


# ---------------------------------------------------------------------------- filters


def test_blur_is_a_gaussians(rng):
    images = rng.uniform(0, 255, (2, 20, 24)).astype(np.float32)
    expected = ndimage.gaussian_filter(images, (0, 1.3, 1.3), mode="mirror", truncate=3)
    np.testing.assert_allclose(
        gaussian_blur(images, 1.3)[:, 4:-4, 4:-4], expected[:, 4:-4, 4:-4], atol=1
    )


def test_wiener_filter_is_that_of_local_means_and_variances(rng):
    images = film() + rng.normal(0, 9, (2, 32, 32)).astype(np.float32)
    means = ndimage.uniform_filter(images.astype(float), (0, 3, 3), mode="mirror")
    variances = (
        ndimage.uniform_filter(images.astype(float) ** 2, (0, 3, 3), mode="mirror") - means**2
    )
    kept = 1 - np.minimum(9**2 / variances, 1)
    np.testing.assert_allclose(wiener_filter(images, 9), means + kept * (images - means), atol=1e-6)


def test_non_local_means_are_nearly_those_of_scikit_image(rng):
    restoration = pytest.importorskip("skimage.restoration")
    noisy = np.clip(film() + rng.normal(0, 15, (2, 32, 32)), 0, 255).astype(np.float32)
    found = non_local_means(noisy, 15)
    for image, ours in zip(np.rint(noisy), found, strict=True):
        theirs = restoration.denoise_nl_means(image, 5, 5, h=15, fast_mode=True)
        assert np.abs(theirs - ours)[6:-6, 6:-6].mean() < 0.2 * np.abs(theirs - image).mean()


def test_non_local_means_round_to_the_nearest_grey_level():
    assert (non_local_means(np.full((1, 16, 16), 76.6, np.float32), 5) == 77).all()


@EACH_FILTER
def test_each_image_is_filtered_alone(name, rng):
    images = rng.uniform(0, 255, (3, 20, 24)).astype(np.float32)
    together = FILTERS[name].apply(images, 3)
    alone = np.concatenate([FILTERS[name].apply(image[None], 3) for image in images])
    np.testing.assert_allclose(together, alone, atol=1e-9)


@EACH_FILTER
def test_grey_stays_grey(name):
    flat = np.full((2, 16, 16), 77, np.float32)
    np.testing.assert_allclose(FILTERS[name].apply(flat, 10), flat, atol=1e-4)


@EACH_FILTER
@pytest.mark.parametrize("noise", TEST_NOISES, ids=str)
def test_strengths_reach_beyond_the_best_on_both_sides(name, noise, rng):
    clean = film(4, 48)
    best = best_strength(FILTERS[name], clean, noise.add(clean, rng))
    assert FILTERS[name].strengths[0] < best < FILTERS[name].strengths[-1]


def test_best_strength_has_the_highest_mean_psnr():
    clean = np.zeros((2, 16, 16), np.uint8)
    errors = {1.0: [50, 50], 2.0: [1, 100], 3.0: [20, 20]}  # of two images; 3.0 has the lowest MSE
    tried = Filter(lambda _, s: np.multiply.outer(errors[s], np.ones((16, 16))), np.arange(1.0, 4))
    assert best_strength(tried, clean, clean) == 2


# ---------------------------------------------------------------------------- scores


@pytest.fixture
def weak_or_strong(monkeypatch):
    """One filter of two strengths in place of all."""
    two = {"blur": Filter(gaussian_blur, np.array([0.5, 2.0]))}
    monkeypatch.setattr(denoising, "FILTERS", two)


def test_denoising_is_scored_for_every_noise_in_the_tables_order(weak_or_strong, rng):
    images = np.full((3, 32, 32), 128, np.uint8)
    rows, _ = score_denoising(lambda noisy: 0 * noisy + 128.1, images, images[:2], rng)
    assert [row["noise"] for row in rows] == [str(noise) for noise in TEST_NOISES]
    assert [row["learned"] for row in rows] == [noise in NOISES for noise in TEST_NOISES]
    for row, sigma in zip(rows, (5, 10, 20, 30, 40, None, None), strict=True):
        assert row["images"] == 3
        assert row["denoised"]["PSNR"] == pytest.approx(20 * np.log10(2550), abs=0.01)
        if sigma:  # 50 is clipped now and then
            expected = 20 * np.log10(255 / sigma)
            assert row["noisy"]["PSNR"] == pytest.approx(expected, abs=0.3)


def test_weakest_noise_is_tested_on_but_not_learned_from():
    assert TEST_NOISES[0] == Noise("gaussian", 5) and TEST_NOISES[1:] == NOISES


def test_filters_are_scored_at_the_strength_that_fits_the_noise(weak_or_strong, rng):
    rows, _ = score_denoising(lambda noisy: noisy, film(), film(3), rng)
    assert [row["strengths"]["blur"] for row in (rows[0], rows[5])] == [0.5, 2.0]
    for row in rows:
        assert row["blur"]["PSNR"] > row["noisy"]["PSNR"]
        assert row["blur"].keys() == row["noisy"].keys() and row["denoised"] == row["noisy"]


def test_strengths_are_chosen_on_validation_images_alone(weak_or_strong, rng):
    rough = rng.integers(0, 256, (2, 32, 32), dtype=np.uint8)  # blurring it does harm
    rows, _ = score_denoising(lambda noisy: noisy, film(), rough, rng)
    assert {row["strengths"]["blur"] for row in rows[:4]} == {0.5}


def test_pictures_of_one_image_come_with_every_noise(weak_or_strong, rng):
    images = rng.integers(0, 256, (9, 16, 16), dtype=np.uint8)
    rows, found = score_denoising(lambda noisy: noisy / 2, images, images, rng)
    assert {name: stack.shape for name, stack in found.items()} == dict.fromkeys(
        ("clean", "noisy", "denoised"), (len(TEST_NOISES), 16, 16)
    )
    (shown,) = (image for image in images if (image == found["clean"]).all())
    np.testing.assert_array_equal(found["denoised"], found["noisy"] / 2)
    for row, noisy in zip(rows, found["noisy"], strict=True):
        expected = decibels(shown, noisy)
        assert row["shown"]["noisy"] == pytest.approx(expected)
        assert expected > 12  # 8 dB from another image


def test_image_scores_are_means_over_images():
    clean = np.full((2, 16, 16), 100, np.uint8)
    found = image_scores(clean, clean + np.array([1, 10])[:, None, None])
    # of errors 1 and 10: 0 and 20 dB
    assert found["PSNR"] == pytest.approx(20 * np.log10(255) - 10)
