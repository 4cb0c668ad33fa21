"""What the jobs of a run share, and training networks or taking their weights from the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ums.backend import Device, to_numpy
from ums.checkpoint import Checkpoint, Kept
from ums.experiments.settings import Settings
from ums.experiments.store import Store
from ums.finetuning import Tuned
from ums.layers import Layer
from ums.training import FitSettings, History, Training

Train = Callable[[Checkpoint], dict[str, Tuned]]
"""Trains networks, or goes on from a checkpoint; returns what came of each task, by name."""


@dataclass(frozen=True)
class Run:
    """What all jobs of a run share beside the data.

    Attributes:
        settings: The settings of the study.
        device: Where to compute.
        store: Where finished jobs are kept.
        progress: Whether progress bars are shown.
        portable: Whether what one device computed counts on any other.
        models: Whether networks to use are written at the end.
    """

    settings: Settings
    device: Device
    store: Store
    progress: bool = True
    portable: bool = False
    models: bool = True

    @property
    def device_key(self) -> str:
        """The device, as what is computed depends on it."""
        return "any" if self.portable else self.device.name

    def training(
        self, fit: FitSettings, rng: np.random.Generator, checkpoint: Checkpoint
    ) -> Training:
        """What a training of the source or of tasks needs."""
        return Training(fit, rng, self.device, self.progress, checkpoint)


def trained(
    store: Store, name: str, key: dict[str, Any], networks: dict[str, Layer], train: Train
) -> dict[str, Tuned]:
    """Train ``networks``, or give them the weights they got in an earlier run of the same job.

    Returns:
        What came of each task, by name; ``network`` is the one of that name, if there is one.
    """

    def compute(checkpoint: Checkpoint) -> Kept:
        tuned = train(checkpoint)
        arrays = {
            f"{network}.{array}": to_numpy(value)
            for network in networks
            for array, value in networks[network].state_dict().items()
        }
        return arrays, {task: training_record(result) for task, result in tuned.items()}

    arrays, record = store.weights(name, key, compute)
    for network, layer in networks.items():
        first = f"{network}."
        own = {k.removeprefix(first): v for k, v in arrays.items() if k.startswith(first)}
        layer.load_state_dict(own)
    return {
        task: Tuned(networks[task], **(fields | {"history": History(**fields["history"])}))
        for task, fields in record.items()
    }


def training_record(tuned: Tuned) -> dict[str, Any]:
    """The history and the cost of a task, ready for JSON."""
    fields = {name: getattr(tuned, name) for name in ("seconds", "trainable", "shared")}
    return fields | {"history": tuned.history.to_dict()}
