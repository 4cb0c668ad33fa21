"""What the page shows of a group of tasks: outlines and heat maps of the first replicate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ums.derived import GRAD_CAM, HIRES_CAM, heat_maps
from ums.experiments import evaluation, testing
from ums.experiments.arms import ARMS
from ums.experiments.jobs import Job
from ums.experiments.modality import Pictures
from ums.experiments.names import OWN_EPOCH, SEGMENTATION, STRATEGIES, TEST
from ums.experiments.tuning import Tuning

SHOWN = 4
"""Images whose heat maps are drawn."""


def outlines(tuning: Tuning, jobs: Mapping[str, Job], first: Mapping[str, Any]) -> Pictures:
    """Test images that the first arm outlines best, middling and worst; all arms' masks.

    Args:
        tuning: The group in the first replicate.
        jobs: Arm -> job whose networks are there.
        first: The record of the first job.
    """
    group = tuning.group
    task = next(task for task in group.tasks if task.kind == SEGMENTATION)
    order = np.argsort(first["tasks"][task.name][OWN_EPOCH][TEST]["IoU"])
    case = order[[-1, len(order) // 2, len(order) // 10, 0]]
    rows = task.test.rows[case]
    found = {
        "outlines case": case,
        "outlines images": group.test_set.images[rows],
        "outlines truth": task.test.targets[rows] > 0,
    }
    how = (tuning.run.settings.normalisation(), tuning.run.device)
    for arm in (arm for arm in jobs if arm in STRATEGIES):
        network = tuning.tune(jobs[arm])[task.name].networks[OWN_EPOCH]
        images = tuning.images(ARMS[arm], "test_set", rows)
        found[f"outlines {arm}"] = evaluation.masks(network, images, *how)
    return found


def shown_heat_maps(tuning: Tuning, jobs: Mapping[str, Job], rows: np.ndarray) -> Pictures:
    """The heat maps of a few test images, of all arms."""
    group, rows = tuning.group, rows[:SHOWN]
    task = group.heat_map_task or ""
    found = {"heat maps images": group.test_set.images[rows]}
    found |= {f"heat maps in {n}": m for n, m in evaluation.outlines(group, rows).items()}
    for arm, job in jobs.items():
        network = tuning.tune(job)[task].networks[OWN_EPOCH]
        x = testing.explained(tuning, ARMS[arm], rows)
        found |= {
            f"heat maps {arm}, {method}": heat_maps(network, x, 1, method)
            for method in (GRAD_CAM, HIRES_CAM)
        }
    return found
