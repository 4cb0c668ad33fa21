"""What the tables are made of: scores of a network on images it has not seen."""

from __future__ import annotations

import numpy as np

from ums.backend import Device
from ums.data import NOISES, Examples
from ums.finetuning.separate import restore
from ums.layers import Layer
from ums.metrics import classification, image_quality, segmentation
from ums.training import predict


def score_denoising(denoiser: Layer, images: np.ndarray, device: Device, rng) -> list[dict]:
    """Table 2: for each noise, mean PSNR (dB), SSIM and MS-SSIM of noisy and denoised images.

    Images (N, H, W) uint8. One image's clean, noisy and denoised pictures come along for the page.
    """
    rows = []
    shown = int(rng.integers(len(images)))
    for noise in NOISES:
        noisy = noise.add(images, rng)
        denoised = restore(denoiser, noisy, device)
        rows.append(
            {
                "noise": str(noise),
                "noisy": image_scores(images, noisy),
                "denoised": image_scores(images, denoised),
                "pictures": (images[shown], noisy[shown], denoised[shown]),
            }
        )
    return rows


def image_scores(clean: np.ndarray, images: np.ndarray) -> dict[str, float]:
    """Means over images of the three measures of Table 2."""
    clean = np.asarray(clean, np.float64)
    return {
        "PSNR": float(np.mean(image_quality.psnr(clean, images))),
        "SSIM": float(np.mean(image_quality.ssim(clean, images))),
        "MS-SSIM": float(np.mean(image_quality.ms_ssim(clean, images))),
    }


def score_segmentation(
    network: Layer, images: np.ndarray, masks: np.ndarray, device: Device
) -> dict:
    """Per-image scores of the lung masks predicted for images (N, H, W), and the masks."""
    logits = predict(network, Examples(images, None, np.arange(len(images))), device)
    predicted, target = logits[..., 0] > 0, masks > 0
    return {
        "predicted": predicted,
        "Accuracy": segmentation.accuracy(target, predicted),
        "F-score": segmentation.f_score(target, predicted),
        "IoU": segmentation.iou(target, predicted),
        "Two-class IoU": segmentation.mean_iou(target, predicted),
    }


def score_classification(
    network: Layer, images: np.ndarray, labels: np.ndarray, device: Device
) -> dict:
    """Scores of the labels predicted for images (N, H, W), and the predictions."""
    logits = predict(network, Examples(images, None, np.arange(len(images))), device)
    predicted = logits.argmax(axis=1)
    return {
        "predicted": predicted,
        "labels": labels,
        "Accuracy": classification.accuracy(labels, predicted, 2),
        "F-score": classification.f_score(labels, predicted, 2, positive=1),
        "MCC": classification.mcc(labels, predicted, 2),
        "AUC": classification.roc_auc(labels, logits[:, 1] - logits[:, 0]),
    }
