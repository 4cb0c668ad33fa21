"""Table 2: images denoised by the source's network and by three filters, which learn nothing.

The filters know the noise, and the network does not: the strength of each filter is chosen for every
noise by PSNR on validation images, while the network is one for all noises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import cv2
import numpy as np
from scipy.signal import wiener

from ums.data import NOISES, Noise
from ums.metrics import image_quality

TEST_NOISES = (Noise("gaussian", 5), *NOISES)
"""What denoising is tested on; the first is weaker than all that the source learns from."""

Denoise = Callable[[np.ndarray], np.ndarray]


def gaussian_blur(images: np.ndarray, strength: float) -> np.ndarray:
    """Blur images (N, H, W) by a Gaussian with a standard deviation of ``strength`` pixels."""
    return np.stack([cv2.GaussianBlur(image, (0, 0), strength) for image in images])


def wiener_filter(images: np.ndarray, strength: float) -> np.ndarray:
    """Wiener filter by mean and variance in 3x3 windows (Lim 1990), for noise of ``strength`` grey levels.

    Pixels beyond the border of the images (N, H, W) are mirrored.
    """
    padded = np.pad(images.astype(np.float64), ((0, 0), (1, 1), (1, 1)), "reflect")
    with np.errstate(divide="ignore", invalid="ignore"):  # a variance of 0; SciPy takes the mean
        return np.asarray(wiener(padded, (1, 3, 3), strength**2)[:, 1:-1, 1:-1])


def non_local_means(images: np.ndarray, strength: float) -> np.ndarray:
    """Means of similar 5x5 patches within 11x11 pixels (Buades, Coll and Morel 2005).

    ``strength`` is OpenCV's h, in grey levels. The images (N, H, W), in 0..255, are rounded to 8 bits.
    """
    rounded = np.rint(images).astype(np.uint8)
    return np.stack([cv2.fastNlMeansDenoising(x, None, strength, 5, 11) for x in rounded])


class Filter(NamedTuple):
    """A filter and the strengths that are tried."""

    apply: Callable[[np.ndarray, float], np.ndarray]
    strengths: np.ndarray


FILTERS = {
    "Gaussian blur": Filter(gaussian_blur, np.geomspace(0.3, 5, 15)),
    "Wiener filter": Filter(wiener_filter, np.geomspace(2, 200, 15)),
    "non-local means": Filter(non_local_means, np.geomspace(2, 200, 15)),
}


def best_strength(tried: Filter, clean: np.ndarray, noisy: np.ndarray) -> float:
    """The strength with the highest mean PSNR over images (N, H, W) in 0..255."""
    scores = [
        np.mean(image_quality.psnr(clean, tried.apply(noisy, strength), 255))
        for strength in tried.strengths
    ]
    return float(tried.strengths[np.argmax(scores)])


def score_denoising(
    denoise: Denoise, images: np.ndarray, validation: np.ndarray, rng: np.random.Generator
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Table 2: for each noise, mean PSNR (dB), SSIM and MS-SSIM of noisy and of denoised images.

    Args:
        denoise: The network: noisy images (n, H, W) in 0..255 -> denoised ones.
        images: (N, H, W) uint8, to test on.
        validation: (n, H, W) uint8, to choose the filters' strengths by.
        rng: Draws the noise, and the image to show.

    Returns:
        A record for each noise, and one image's clean, noisy and denoised pictures (noises, H, W).
    """
    rows, pictures = [], []
    shown = int(rng.integers(len(images)))
    for noise in TEST_NOISES:
        noisy, to_choose = noise.add(images, rng), noise.add(validation, rng)
        strengths = {name: best_strength(f, validation, to_choose) for name, f in FILTERS.items()}
        restored = {"noisy": noisy, "denoised": denoise(noisy)}
        restored |= {name: FILTERS[name].apply(noisy, s) for name, s in strengths.items()}
        row: dict[str, Any] = {"noise": str(noise), "learned": noise in NOISES}
        row |= {"images": len(images), "strengths": strengths}
        row |= {name: image_scores(images, of) for name, of in restored.items()}
        pair = {name: restored[name][shown] for name in ("noisy", "denoised")}
        clean = images[shown]
        row["shown"] = {n: float(image_quality.psnr(clean, of, 255)) for n, of in pair.items()}
        rows.append(row)
        pictures.append((clean, *pair.values()))
    stacked = (np.stack(p) for p in zip(*pictures, strict=True))
    return rows, dict(zip(("clean", "noisy", "denoised"), stacked, strict=True))


def image_scores(clean: np.ndarray, images: np.ndarray) -> dict[str, float]:
    """Means over images of the three measures of Table 2."""
    measures = {
        "PSNR": image_quality.psnr,
        "SSIM": image_quality.ssim,
        "MS-SSIM": image_quality.ms_ssim,
    }
    return {name: float(np.mean(measure(clean, images, 255))) for name, measure in measures.items()}
