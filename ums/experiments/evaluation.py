"""What a job records of trained networks: scores or logits of each case, and heat maps."""

from __future__ import annotations

import numpy as np

from ums.backend import Array, Device
from ums.data import Normalisation
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
from ums.layers import Layer
from ums.metrics import segmentation
from ums.metrics.several import by_class
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
    """Scores (n,) by measure of the masks predicted for images; else logits (n, K), or numbers (n, 1).

    Of masks of several classes it is the mean IoU of all classes, the background among them.

    Args:
        task: What the network was trained for.
        network: On ``device``.
        images: (n, H, W) or (n, H, W, C) uint8.
        targets: (n, H, W) masks; labels are not needed.
        normalisation: The one the network was trained with.
        device: Where to compute.
    """
    if task.kind != SEGMENTATION:
        outputs = predict(network, all_of(images, normalisation), device).astype(np.float64)
        mean, deviation = task.unit
        return {LOGITS: outputs * deviation + mean}
    predicted, target = masks(network, images, normalisation, device), np.asarray(targets)
    if task.classes > 2:
        return {"IoU": by_class(segmentation.iou, target, predicted, task.classes).mean(axis=0)}
    target = target > 0
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
    """Predicted masks (n, H, W) of images (n, H, W) or (n, H, W, C): booleans, or classes 0 .. K - 1."""
    outputs = predict(network, all_of(images, normalisation), device)
    several = outputs.shape[-1] > 1
    predicted: np.ndarray = outputs.argmax(axis=-1) if several else outputs[..., 0] > 0
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
