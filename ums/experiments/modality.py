"""What a modality defines: its prepared folders, how its source is trained, and its networks.

To add one, write a file like ``echo.py``:

1. For each group of tasks a function that makes a :class:`TaskGroup` of prepared folders
   (:func:`ums.experiments.tasks.train_and_test` and :func:`~ums.experiments.tasks.pairwise_tasks` help).
2. A subclass of :class:`Modality` with ``name``, ``title``, ``defaults`` and ``layout``, which names these
   functions and the folders they take, and with the methods ``source_network``, ``train_source`` and
   ``networks``; the others have defaults.
3. Its instance in ``MODALITIES`` of ``ums/experiments/__main__.py``.

``python -m ums.experiments NAME PREPARED`` then runs the study. Its page has no numbers of a paper unless
``ums/experiments/report`` is given some.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ums.backend import Device
from ums.data import Normalisation, Prepared
from ums.data.augment import Augmentation
from ums.experiments.datasets import Layout
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
        clean: Prepares the baseline's images (N, H, W) or (N, H, W, C), uint8; by default it changes
            nothing.
        augment: Makes what changes training images, ``augment(rng)``.
    """

    encoder: Layer
    heads: Mapping[str, Make]
    models: Mapping[str, Make]
    clean: Callable[[np.ndarray], np.ndarray] = np.asarray
    augment: Callable[[np.random.Generator], Augmentation] = Augmentation


class Modality:
    """What is special to one modality of the study.

    Attributes:
        name: For the command line and the records.
        title: In words.
        layout: The prepared folders.
        defaults: The settings of a small run.
    """

    name: str
    title: str
    layout: Layout
    defaults: Settings

    def source_network(self, rng: np.random.Generator, width: float) -> Sequential:
        """The source, ``Sequential(encoder, ...)``, before training."""
        raise NotImplementedError

    def check_source(self, source: Prepared) -> None:
        """Check that the source can be trained and tested on this folder.

        Raises:
            ValueError: It cannot; the message names the folder.
        """

    def train_source(
        self,
        network: Layer,
        source: Prepared,
        normalisation: Normalisation,
        training: Training,
    ) -> Tuned:
        """Train the source on its images (stage 1)."""
        raise NotImplementedError

    def test_source(
        self,
        network: Layer,
        source: Prepared,
        normalisation: Normalisation,
        device: Device,
        seed: int,
    ) -> tuple[dict[str, Any], Pictures]:
        """A record of the source on test images of its own, and pictures for the page; or nothing."""
        return {}, {}

    def networks(
        self, group: TaskGroup, source: Layer, settings: Settings, device: Device
    ) -> Networks:
        """What a group's tasks are built from, given the trained source."""
        raise NotImplementedError

    def pictures(self, group: TaskGroup, records: list[dict[str, Any]]) -> Pictures:
        """Further pictures of a group, given the records of its independent heads, fold by fold."""
        return {}
