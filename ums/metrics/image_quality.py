"""How close a restored image is to the clean one: PSNR, SSIM and MS-SSIM (paper, Table 2).

All three take (H, W) or (N, H, W) arrays of grey values, calculate in float64 and return one value
per image: a float, or an array (N,). ``data_range`` is the distance between black and white in the
images' own unit: 255 for 8-bit images, 1.0 for images scaled to [0, 1]. It may be left out where the
clean images are uint8 and the others grey levels in 0..255 too; for floats it cannot be guessed.

A ValueError is raised where it is missing or less than the clean images span, for values that are
not finite, for shapes that differ or do not fit, and for images smaller than the window of SSIM.
"""

from collections.abc import Callable

import cv2
import numpy as np

from ums.checks import check_positive
from ums.metrics.pairs import like_input, paired_batches

WINDOW = 11  # pixels: the Gaussian window of Wang et al. 2004
SIGMA = 1.5
K1, K2 = 0.01, 0.03
SCALE_EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003, finest scale first


def psnr(
    clean: np.ndarray, image: np.ndarray, data_range: float | None = None
) -> np.ndarray | float:
    """Peak signal-to-noise ratio in dB: ``10 log10(data_range^2 / mean((clean - image)^2))``.

    Identical images give infinity.
    """
    a, b, data_range = _checked(clean, image, data_range)
    mse = np.mean((a.astype(np.float64) - b) ** 2, axis=(1, 2))  # (N,)
    with np.errstate(divide="ignore"):
        return like_input(10 * np.log10(data_range**2 / mse), clean)


def ssim(
    clean: np.ndarray, image: np.ndarray, data_range: float | None = None
) -> np.ndarray | float:
    """Structural similarity, at most 1 (Wang, Bovik, Sheikh, Simoncelli 2004, IEEE TIP 13(4)).

    With means m, variances v and covariance c under an 11x11 Gaussian window (sigma 1.5), and
    ``C1 = (0.01 data_range)^2``, ``C2 = (0.03 data_range)^2``::

        SSIM = (2 m_x m_y + C1) / (m_x^2 + m_y^2 + C1) * (2 c + C2) / (v_x + v_y + C2)

    averaged over every position where the window lies inside the image.
    """

    def of_one(x: np.ndarray, y: np.ndarray, L: float) -> float:
        luminance, contrast = _similarity_maps(x, y, L)
        return float(np.mean(luminance * contrast))

    return _image_by_image(of_one, clean, image, data_range)


def ms_ssim(
    clean: np.ndarray, image: np.ndarray, data_range: float | None = None
) -> np.ndarray | float:
    """Multi-scale structural similarity (Wang, Simoncelli, Bovik 2003, Asilomar).

    With CS_j the mean contrast-structure term at scale j and SSIM_M the mean SSIM at the
    coarsest scale M, both after j - 1 (M - 1) halvings by 2x2 averages (an odd last row or column
    is dropped)::

        MS-SSIM = SSIM_M^b_M * prod(CS_j^b_j for j < M),  b = .0448, .2856, .3001, .2363, .1333

    Five scales need images of at least 176 pixels a side, so that the 11-pixel window still fits at
    the coarsest. Smaller images use as many scales as fit, with the exponents of those scales
    divided by their sum: such values are comparable with each other only at equal image size.
    Negative terms (an image that is locally the clean one's negative) are clipped to 0, where a
    fractional power would not exist.
    """

    def of_one(x: np.ndarray, y: np.ndarray, L: float) -> float:
        product, exponents = 1.0, _exponents_that_fit(min(x.shape))
        for exponent in exponents[:-1]:
            _, contrast = _similarity_maps(x, y, L)
            product *= max(contrast.mean(), 0.0) ** exponent
            x, y = _halved(x), _halved(y)
        luminance, contrast = _similarity_maps(x, y, L)
        return float(product * max(np.mean(luminance * contrast), 0.0) ** exponents[-1])

    return _image_by_image(of_one, clean, image, data_range)


def _checked(
    clean: np.ndarray, image: np.ndarray, data_range: float | None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Both as (N, H, W), and the data range."""
    a, b = paired_batches(clean, image)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("images must be finite numbers")
    if data_range is None:
        low, high = b.min(), b.max()
        within = -0.5 < low <= high < 255.5 and not 0 < high <= 1  # as far as rounding goes
        grey = b.dtype.kind == "f" and within
        if a.dtype != np.uint8 or not (grey or b.dtype == np.uint8):
            found = f"{a.dtype} of {a.min()} to {a.max()} and {b.dtype} of {low} to {high}"
            raise ValueError(f"data_range must be given for images that are not 8-bit, got {found}")
        data_range = 255.0
    check_positive("data_range", data_range)
    if (span := float(a.max()) - float(a.min())) > data_range * (1 + 1e-6):
        raise ValueError(f"clean images span {span:g}, more than data_range, {data_range:g}")
    return a, b, data_range


def _image_by_image(
    measure: Callable[[np.ndarray, np.ndarray, float], float],
    clean: np.ndarray,
    image: np.ndarray,
    data_range: float | None,
) -> np.ndarray | float:
    """A measure of each pair of images, as float64: 8-bit differences and squares would wrap."""
    a, b, L = _checked(clean, image, data_range)
    H, W = a.shape[1:]
    if min(H, W) < WINDOW:
        raise ValueError(f"images of {H}x{W} pixels are smaller than the {WINDOW}x{WINDOW} window")
    pairs = zip(a, b, strict=True)
    values = [measure(x.astype(np.float64), y.astype(np.float64), L) for x, y in pairs]
    return like_input(np.array(values), clean)


def _similarity_maps(
    x: np.ndarray, y: np.ndarray, data_range: float
) -> tuple[np.ndarray, np.ndarray]:
    """SSIM's two factors, luminance and contrast-structure, each (H - 10, W - 10)."""
    C1, C2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    moments = np.stack([x, y, x * x + y * y, x * y], axis=-1)  # (H, W, 4)
    border = WINDOW // 2
    moments = cv2.GaussianBlur(moments, (WINDOW, WINDOW), SIGMA)[border:-border, border:-border]
    mean_x, mean_y, power, product = np.moveaxis(moments, -1, 0)
    mean_power, mean_product = mean_x**2 + mean_y**2, mean_x * mean_y
    luminance = (2 * mean_product + C1) / (mean_power + C1)
    contrast = (2 * (product - mean_product) + C2) / (power - mean_power + C2)
    return luminance, contrast


def _halved(x: np.ndarray) -> np.ndarray:
    H, W = x.shape[0] // 2, x.shape[1] // 2
    halved: np.ndarray = x[: 2 * H, : 2 * W].reshape(H, 2, W, 2).mean(axis=(1, 3))
    return halved


def _exponents_that_fit(side: int) -> np.ndarray:
    scales = sum(side >> level >= WINDOW for level in range(len(SCALE_EXPONENTS)))
    exponents = np.array(SCALE_EXPONENTS[:scales])
    # The five published exponents add up to 1.0001; they are used as published.
    return exponents if scales == len(SCALE_EXPONENTS) else exponents / exponents.sum()
