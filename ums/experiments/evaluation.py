"""What a job records of trained networks: scores or logits of each case, and heat maps."""

from __future__ import annotations

import numpy as np

from ums.backend import Device
from ums.data import Normalisation
from ums.data.examples import all_of, in_order
from ums.derived.heat_map import heat_maps, mass_inside
from ums.experiments.names import LOGITS, SEGMENTATION
from ums.experiments.tasks import TargetTask, TaskGroup
from ums.layers import Layer
from ums.metrics import segmentation
from ums.training import predict


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


def class_1_maps(
    network: Layer, images: np.ndarray, normalisation: Normalisation, device: Device
) -> np.ndarray:
    """Heat maps (n, H, W) of class 1 for images, whatever the network predicts."""
    examples = all_of(images, normalisation)
    maps = [
        heat_maps(network, device.put(examples.batch(chosen)[0]), classes=1)
        for chosen in in_order(len(images), 32)
    ]
    return np.concatenate(maps)


def shares_inside(maps: np.ndarray, masks: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Name of a mask -> share (n,) of each map's mass inside it; NaN where a map is 0 everywhere."""
    return {name: np.asarray(mass_inside(maps, mask)) for name, mask in masks.items()}
