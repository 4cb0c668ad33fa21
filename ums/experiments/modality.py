"""What a modality defines: its prepared folders, how its source is trained, and its networks.

To add one:

1. Write its prepared folders, as a command of ``data_prep`` does (``data_prep/README.md``). Of the folder
   with the tasks only the split "test" matters, which is never trained on; a source needs all three splits.
2. Write a file in ``ums/experiments`` like ``cxr.py`` or ``echo.py``: for each group of tasks a function
   that makes a :class:`~ums.experiments.tasks.TaskGroup` of the folders, and a subclass of
   :class:`Modality`. If the source learns to denoise, a subclass of ``ChestXRay`` needs only ``name``,
   ``title`` and ``layout``.
3. Add an instance of it to ``MODALITIES`` in ``ums/experiments/__main__.py``.

``python -m ums.experiments NAME PREPARED`` then runs the study. Its page has no numbers of a paper; for a
page with some, see ``PAGES`` in ``ums/experiments/report``. Finished jobs are kept under a hash of the
code of ``ums``, so that a change of the code trains again.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ums.backend import Device
from ums.data import Examples, Prepared
from ums.data.augment import Augmentation
from ums.data.examples import Dataset
from ums.experiments.datasets import Layout, source_rows
from ums.experiments.replicates import Draw
from ums.experiments.settings import Settings
from ums.experiments.tasks import TaskGroup
from ums.finetuning import Tuned
from ums.layers import Layer, Sequential
from ums.training import Training

Make = Callable[[np.random.Generator], Layer]
"""Makes a new network, its weights drawn from the generator."""

Pictures = dict[str, np.ndarray]
"""Arrays by name that a page shows."""


@dataclass(frozen=True, eq=False)
class Networks:
    """What the tasks of a group are built from.

    Attributes:
        encoder: The trained source's, on the device; it is not changed.
        heads: Task -> makes a new head for the encoder.
        models: Task -> makes a new separate network.
        clean: What is done to the baseline's images (N, H, W) or (N, H, W, C), uint8, before it sees
            them, such as denoising; by default nothing.
    """

    encoder: Layer
    heads: Mapping[str, Make]
    models: Mapping[str, Make]
    clean: Callable[[np.ndarray], np.ndarray] = np.asarray


class Modality(ABC):
    """What is special to one modality of the study. It has no state: two of one class are equal.

    Attributes:
        name: For the command line and the records.
        title: In words.
        layout: The prepared folders.
        defaults: The settings of a small run.
        source_task: What the source learns, in a word.
        denoises_baseline: Whether the baseline's images are denoised by the source.
    """

    name: str
    title: str
    layout: Layout
    defaults: Settings = Settings()
    source_task: str = "source"
    denoises_baseline: bool = False

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))

    @abstractmethod
    def source_network(self, rng: np.random.Generator, width: float) -> Sequential:
        """The source, ``Sequential(encoder, ...)``, before training."""

    def check_source(self, source: Prepared) -> None:
        """Check that the source can be trained on this folder, and tested.

        Raises:
            ValueError: It cannot; the message names the folder.
        """
        source_rows(source, "test")

    @abstractmethod
    def train_source(
        self, network: Layer, source: Prepared, draw: Draw, settings: Settings, training: Training
    ) -> Tuned:
        """Train the source on the images of a replicate (stage 1)."""

    def source_strata(self, source: Prepared) -> np.ndarray:
        """(M,) the class of each of the source's images, of which replicates have equal shares."""
        return np.zeros(len(source), int)

    def test_source(
        self, network: Layer, source: Prepared, draw: Draw, settings: Settings, device: Device
    ) -> tuple[dict[str, Any], Pictures]:
        """A record of the source on test images of its own, and pictures for the page; or nothing."""
        return {}, {}

    @abstractmethod
    def networks(
        self, group: TaskGroup, source: Layer, settings: Settings, device: Device
    ) -> Networks:
        """What a group's tasks are built from, given the trained source."""

    def augmentation(self, rng: np.random.Generator) -> Augmentation:
        """What changes the tasks' training images at random."""
        return Augmentation(rng)

    def source_logits(self, group: TaskGroup) -> dict[str, list[int]]:
        """Task -> which of the source's own outputs are its logits, where the source knows the task."""
        return {}

    def derived(
        self, networks: Mapping[str, Layer], train: Examples, validation: Examples, device: Device
    ) -> dict[str, Callable[[Dataset], np.ndarray]]:
        """Name -> the logits of a head for the heat-map task that is derived from a group's networks.

        Args:
            networks: Task -> its network from image to output.
            train: Labelled examples of the heat-map task.
            validation: Those that choose the head's variant.
            device: Where to compute.
        """
        return {}

    def pictures(self, group: TaskGroup, records: list[dict[str, Any]]) -> Pictures:
        """Further pictures of a group, given the records of its independent heads by replicate."""
        return {}
