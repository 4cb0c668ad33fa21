"""What a job records of trained networks: scores or logits of each case, heat maps, denoising."""

from __future__ import annotations

from typing import Any

import numpy as np

from ums.backend import Array, Device
from ums.data import NOISES, Normalisation
from ums.data.examples import all_of
from ums.derived import (
    GRAD_CAM,
    HIRES_CAM,
    OCCLUSION,
    deletion_insertion,
    heat_maps,
    mass_inside,
    pointing_game,
)
from ums.experiments.names import LOGITS, SEGMENTATION
from ums.experiments.tasks import TargetTask, TaskGroup
from ums.finetuning.separate import denoise_exactly
from ums.layers import Layer
from ums.metrics import image_quality, segmentation
from ums.training import predict

OCCLUDED, CURVES = 16, 48
"""Images whose maps are made by occlusion, and for whose maps there are curves."""


def score(
    task: TargetTask,
    network: Layer,
    images: np.ndarray,
    targets: np.ndarray,
    normalisation: Normalisation,
    device: Device,
) -> dict[str, np.ndarray]:
    """Scores (n,) by measure of the masks predicted for images, or the logits (n, K) of classes.

    Args:
        task: What the network was trained for.
        network: On ``device``.
        images: (n, H, W) or (n, H, W, C) uint8.
        targets: (n, H, W) masks; labels are not needed.
        normalisation: The one the network was trained with.
        device: Where to compute.
    """
    if task.kind != SEGMENTATION:
        logits = predict(network, all_of(images, normalisation), device)
        return {LOGITS: logits.astype(np.float64)}
    predicted, target = masks(network, images, normalisation, device), np.asarray(targets) > 0
    measures = {
        "IoU": segmentation.iou,
        "F-score": segmentation.f_score,
        "Accuracy": segmentation.accuracy,
        "Two-class IoU": segmentation.mean_iou,
        "HD95": segmentation.hausdorff_95,
    }
    return {name: np.asarray(measure(target, predicted)) for name, measure in measures.items()}


def masks(
    network: Layer, images: np.ndarray, normalisation: Normalisation, device: Device
) -> np.ndarray:
    """Predicted masks (n, H, W), booleans, of images (n, H, W) or (n, H, W, C)."""
    outputs = predict(network, all_of(images, normalisation), device)
    predicted: np.ndarray = outputs[..., 0] > 0
    return predicted


# ------------------------------------------------------------------------ heat maps


def heat_map_rows(group: TaskGroup) -> np.ndarray:
    """Test images of class 1 of the group's heat-map task that have masks, (n,); often none."""
    test = group.test_set
    if group.heat_map_task is None or test.masks is None:
        return np.arange(0)
    labelled = group.task(group.heat_map_task).test
    rows = labelled.rows[labelled.targets[labelled.rows] == 1]
    masked: np.ndarray = rows[test.has_mask[rows]]
    return masked


def outlines(group: TaskGroup, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> masks (n, H, W) booleans in which a heat map may lie.

    They are those of the group's segmentation task, such as lungs, and those of opacities, if known.
    """
    test = group.test_set
    segmented = [task.name for task in group.tasks if task.kind == SEGMENTATION]
    masks = {(segmented or ["masks"])[0]: test.masks, "opacity": test.opacities}
    return {name: mask[rows] > 0 for name, mask in masks.items() if mask is not None}


def measured_maps(
    network: Layer, x: Array, masks: dict[str, np.ndarray], rng: np.random.Generator
) -> dict[str, dict[str, np.ndarray]]:
    """How good the maps of class 1 are: method -> measure -> value of each image it was taken of, (n,).

    All images have their maps by the paper's method and by the finer one; occlusion, and the curves of
    deletion and insertion, which take long, are of the first images.

    Args:
        network: On the device.
        x: (n, H, W, C), its inputs.
        masks: Name -> (n, H, W) booleans, where the evidence is.
        rng: Draws the order of pixels of one value.
    """
    found = {}
    for method, n in ((GRAD_CAM, len(x)), (HIRES_CAM, len(x)), (OCCLUSION, OCCLUDED)):
        maps = heat_maps(network, x[:n], 1, method)
        own: dict[str, np.ndarray] = {"empty": (maps.max(axis=(1, 2)) == 0).astype(float)}
        for name, mask in masks.items():
            own[f"mass inside the {name}"] = np.asarray(mass_inside(maps, mask[:n]))
            own[f"pointing at the {name}"] = np.asarray(pointing_game(maps, mask[:n]))
        few = slice(0, CURVES)
        areas = deletion_insertion(network, x[:n][few], maps[few], rng, 1)
        found[method] = own | dict(zip(("deletion", "insertion"), areas, strict=True))
    return found


# ------------------------------------------------------------------------ the source


def score_denoising(
    denoiser: Layer,
    images: np.ndarray,
    device: Device,
    rng: np.random.Generator,
    normalisation: Normalisation,
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Table 2: for each noise, mean PSNR (dB), SSIM and MS-SSIM of noisy and of denoised images.

    Args:
        denoiser: On ``device``.
        images: (N, H, W) uint8.
        device: Where to compute.
        rng: Draws the noise, and the image to show.
        normalisation: The one the denoiser was trained with.

    Returns:
        A record for each noise, and one image's pictures (noises, H, W): clean, noisy and denoised.
    """
    rows, pictures = [], []
    shown = int(rng.integers(len(images)))
    clean = images[shown].astype(np.float64)
    for noise in NOISES:
        noisy = noise.add(images, rng)
        denoised = denoise_exactly(denoiser, noisy, device, normalisation)
        pair = {"noisy": noisy, "denoised": denoised}
        row: dict[str, Any] = {"noise": str(noise), "images": len(images)}
        row |= {name: image_scores(images, of) for name, of in pair.items()}
        row["shown"] = {
            n: float(image_quality.psnr(clean, of[shown], 255)) for n, of in pair.items()
        }
        rows.append(row)
        pictures.append((images[shown], noisy[shown], denoised[shown]))
    stacked = (np.stack(p) for p in zip(*pictures, strict=True))
    return rows, dict(zip(("clean", "noisy", "denoised"), stacked, strict=True))


def image_scores(clean: np.ndarray, images: np.ndarray) -> dict[str, float]:
    """Means over images of the three measures of Table 2."""
    clean = np.asarray(clean, np.float64)
    return {
        "PSNR": float(np.mean(image_quality.psnr(clean, images, 255))),
        "SSIM": float(np.mean(image_quality.ssim(clean, images, 255))),
        "MS-SSIM": float(np.mean(image_quality.ms_ssim(clean, images, 255))),
    }
