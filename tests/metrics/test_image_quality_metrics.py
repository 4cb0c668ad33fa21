import numpy as np
import pytest

from ums.metrics import iou, ms_ssim, psnr, ssim
from ums.metrics.image_quality import SCALE_EXPONENTS


def smooth_and_noisy(shape, seed=0, noise=20.0):
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(shape[-2:])
    clean = 127 + 90 * np.sin(rows / 9.0) * np.cos(columns / 13.0) + np.zeros(shape)
    return clean, clean + rng.normal(0, noise, shape)


def naive_maps(x, y, data_range):
    """SSIM's factors with an explicit 2-D window and a loop over every position."""
    distance = np.arange(11) - 5
    window = np.exp(-(distance[:, None] ** 2 + distance[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance, contrast = [], []
    for i in range(x.shape[0] - 10):
        for j in range(x.shape[1] - 10):
            u, v = x[i : i + 11, j : j + 11], y[i : i + 11, j : j + 11]
            mu, mv = (window * u).sum(), (window * v).sum()
            covariance = (window * (u - mu) * (v - mv)).sum()
            variances = (window * (u - mu) ** 2).sum() + (window * (v - mv) ** 2).sum()
            luminance.append((2 * mu * mv + c1) / (mu**2 + mv**2 + c1))
            contrast.append((2 * covariance + c2) / (variances + c2))
    return np.array(luminance), np.array(contrast)


def naive_ms_ssim(x, y, data_range, exponents):
    terms = []
    for level in range(len(exponents)):
        luminance, contrast = naive_maps(x, y, data_range)
        last = level == len(exponents) - 1
        terms.append((luminance * contrast).mean() if last else contrast.mean())
        x, y = (
            (z[0::2, 0::2] + z[1::2, 0::2] + z[0::2, 1::2] + z[1::2, 1::2]) / 4
            for z in (z[: z.shape[0] // 2 * 2, : z.shape[1] // 2 * 2] for z in (x, y))
        )
    return np.prod(
        [max(term, 0) ** exponent for term, exponent in zip(terms, exponents, strict=True)]
    )


def test_psnr_of_a_known_error():
    clean = np.zeros((4, 4))
    assert psnr(clean, clean + 25.5, data_range=255) == pytest.approx(20.0)
    assert psnr(clean, clean + 0.01, data_range=1.0) == pytest.approx(40.0)


def test_psnr_of_identical_images_is_infinite():
    assert psnr(np.ones((3, 3)), np.ones((3, 3)), 255) == np.inf


def test_eight_bit_differences_do_not_wrap_around():
    bright, dark = np.full((12, 12), 200, np.uint8), np.full((12, 12), 210, np.uint8)
    assert psnr(bright, dark) == psnr(bright.astype(float), dark.astype(float), 255)
    assert ssim(bright, dark) == ssim(bright.astype(float), dark.astype(float), 255)


@pytest.mark.parametrize("noise", [2.0, 20.0, 80.0])
def test_ssim_equals_scikit_images(noise):
    metrics = pytest.importorskip("skimage.metrics")
    x, y = smooth_and_noisy((47, 61), noise=noise)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    theirs = metrics.structural_similarity(x, y, data_range=255.0, **settings)
    assert ssim(x, y, 255) == pytest.approx(theirs, abs=1e-9)


def test_ssim_equals_a_loop_over_windows():
    x, y = smooth_and_noisy((20, 25))
    luminance, contrast = naive_maps(x, y, 200.0)
    assert ssim(x, y, 200.0) == pytest.approx((luminance * contrast).mean(), abs=1e-10)


def test_ms_ssim_of_five_scales_equals_a_slow_reference():
    x, y = smooth_and_noisy((177, 180))
    expected = naive_ms_ssim(x, y, 255.0, SCALE_EXPONENTS)
    assert 0.3 < expected < 0.99
    assert ms_ssim(x, y, 255) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize(("side", "scales"), [(11, 1), (21, 1), (22, 2), (45, 3), (88, 4)])
def test_ms_ssim_of_a_small_image_uses_the_scales_that_fit(side, scales):
    x, y = smooth_and_noisy((side, side))
    exponents = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333][:scales])
    expected = naive_ms_ssim(x, y, 255.0, exponents / exponents.sum())
    assert ms_ssim(x, y, 255) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("cell", [1, 32])
def test_ms_ssim_of_a_pattern_and_its_negative_is_zero_and_not_nan(cell):
    # Cells of one pixel vanish in the first halving: only the finest scale's term is negative.
    rows, columns = np.indices((64, 64)) // cell
    pattern = np.where((rows + columns) % 2, 60.0, -60.0)
    assert ms_ssim(127 + pattern, 127 - pattern, 255) == 0.0


@pytest.mark.parametrize("measure", [psnr, ssim, ms_ssim])
def test_a_batch_gives_each_image_its_own_value(measure):
    x, y = smooth_and_noisy((3, 32, 40))
    y[1] += 30
    values = measure(x, y, 255)
    assert values.shape == (3,)
    np.testing.assert_allclose(
        values, [measure(a, b, 255) for a, b in zip(x, y, strict=True)], rtol=1e-12
    )


@pytest.mark.parametrize("measure", [ssim, ms_ssim])
def test_identical_images_are_perfectly_similar(measure):
    x, _ = smooth_and_noisy((2, 192, 192))
    np.testing.assert_allclose(measure(x, x, 255), 1.0, atol=1e-12)


@pytest.mark.parametrize("measure", [psnr, ssim, ms_ssim])
def test_different_shapes_are_both_named(measure):
    with pytest.raises(ValueError, match=r"\(16, 16\) and \(16, 17\)"):
        measure(np.zeros((16, 16)), np.zeros((16, 17)))


@pytest.mark.parametrize("measure", [ssim, ms_ssim])
def test_an_image_smaller_than_the_window_is_refused(measure):
    with pytest.raises(ValueError, match="10x40 pixels"):
        measure(np.zeros((10, 40)), np.zeros((10, 40)), 255)


# ---------------------------------------------------------------------------- the data range


def eight_bits(shape=(24, 30)):
    x, y = smooth_and_noisy(shape)
    return np.rint(x).astype(np.uint8), np.clip(np.rint(y), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("measure", [psnr, ssim, ms_ssim])
def test_measure_does_not_depend_on_the_unit_of_the_images(measure):
    x, y = eight_bits()
    expected = measure(x, y)
    assert measure(x, y.astype(np.float32)) == pytest.approx(expected)  # still grey levels
    assert measure(x / 255, y / 255, data_range=1) == pytest.approx(expected)
    assert measure(x * 257.0, y * 257.0, data_range=65535) == pytest.approx(expected)


@pytest.mark.parametrize("unit", [1, 255])
def test_psnr_equals_scikit_images_in_either_unit(unit):
    metrics = pytest.importorskip("skimage.metrics")
    x, y = (a * (unit / 255) for a in eight_bits())
    theirs = metrics.peak_signal_noise_ratio(x, y, data_range=unit)
    assert psnr(x, y, unit) == pytest.approx(theirs)


@pytest.mark.parametrize("measure", [psnr, ssim, ms_ssim])
@pytest.mark.parametrize(("clean", "other"), [
    (np.float32, np.float32), (np.float64, np.uint8), (np.uint16, np.uint16), (bool, bool),
    (np.uint8, np.uint16),
])  # fmt: skip
def test_range_of_images_that_are_not_8_bit_must_be_given(measure, clean, other):
    x, y = eight_bits()
    with pytest.raises(ValueError, match="data_range must be given for images that are not 8-bit"):
        measure(x.astype(clean), y.astype(other))


@pytest.mark.parametrize("measure", [psnr, ssim, ms_ssim])
def test_8_bit_image_beside_one_in_0_to_1_is_refused(measure):
    x, y = eight_bits()
    with pytest.raises(ValueError, match=r"uint8 of \d+ to \d+ and float64 of .* to 1.0"):
        measure(x, y / y.max())


@pytest.mark.parametrize("measure", [psnr, ssim, ms_ssim])
@pytest.mark.parametrize("value", [-3.0, 5000.0])
def test_8_bit_image_beside_floats_out_of_its_range_is_refused(value, measure):
    x, y = eight_bits()
    y = y.astype(float)
    y.flat[0] = value
    with pytest.raises(ValueError, match=f"data_range must be given .*{value}"):
        measure(x, y)
    assert np.isfinite(measure(x, y, 255)).all()


@pytest.mark.parametrize("measure", [psnr, ssim, ms_ssim])
@pytest.mark.parametrize(("data_range", "message"), [
    (0, "positive number, got 0"), (-1, "got -1"), (np.inf, "got inf"), (np.nan, "got nan"),
    (1.0, "clean images span 145, more than data_range, 1"),
])  # fmt: skip
def test_range_that_cannot_be_is_refused(measure, data_range, message):
    with pytest.raises(ValueError, match=message):
        measure(*eight_bits(), data_range)


@pytest.mark.parametrize("measure", [psnr, ssim, ms_ssim])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_images_that_are_not_finite_have_no_quality(measure, bad):
    x, y = smooth_and_noisy((24, 30))
    y[3, 4] = bad
    with pytest.raises(ValueError, match="images must be finite"):
        measure(x, y, 255)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_are_not_taken_for_columns(channels):
    x = np.zeros((16, 24, channels), np.uint8)
    for measure in (psnr, lambda a, b: iou(a > 0, b > 0)):
        with pytest.raises(ValueError, match=rf"\(16, 24, {channels}\), whose last axis is one of"):
            measure(x, x)
