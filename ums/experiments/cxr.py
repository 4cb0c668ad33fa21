"""The chest X-ray study: a denoising source, two groups of tasks, and their networks (section 4.1).

Tasks with diverse annotations (lung segmentation and abnormality) are trained on the images of one
hospital and tested on another's; tasks with similar annotations are three pairwise classifications of
children's pneumonia.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from ums.backend import Device
from ums.data import Examples, Prepared
from ums.data.examples import Dataset
from ums.experiments.datasets import Layout, check_label, name_of, source_rows
from ums.experiments.denoising import score_denoising
from ums.experiments.hospitals import derived_heads
from ums.experiments.modality import Make, Modality, Networks, Pictures
from ums.experiments.names import CLASSIFICATION, DIVERSE, SEGMENTATION, SIMILAR
from ums.experiments.replicates import Draw
from ums.experiments.settings import Settings
from ums.experiments.tasks import Labelled, TargetTask, TaskGroup, pairwise_tasks
from ums.finetuning import Tuned
from ums.finetuning.separate import denoise, denoise_exactly
from ums.layers import Layer, Sequential
from ums.networks import (
    classification_head,
    denoising_autoencoder,
    segmentation_head,
    separate_classifier,
)
from ums.source import DenoisingExamples, train_denoising
from ums.training import Training

LUNGS, ABNORMALITY = "lungs", "abnormality"
LABEL, PNEUMONIA = "abnormal", "pneumonia"
CLASSES = {"normal": 0, "bacterial": 1, "viral": 2}
PAIRS = (("bacterial", "normal"), ("viral", "normal"), ("bacterial", "viral"))
"""The first of each pair is the class that is looked for."""

DENOISED_AT_MOST = {"test": 100, "validation": 10}
"""Images for Table 2, and for choosing its filters' strengths; its means hardly move with more."""


def diverse_group(target: Prepared, test: Prepared) -> TaskGroup:
    """Lung segmentation and abnormality: trained on one hospital's images, tested on another's.

    Raises:
        ValueError: A folder has no masks, or no label "abnormal" of 0 and 1.
    """
    for prepared in (target, test):
        check_label(prepared, LABEL, 1)
        if not (prepared.labels[LABEL] >= 0).any():
            raise ValueError(f"{prepared.folder / 'table.csv'}: no image has a label {LABEL!r}")
        if not prepared.has_mask.any():
            raise ValueError(f"{prepared.folder} has no lung masks")
    lungs = [Labelled(p, p.masks, np.flatnonzero(p.has_mask)) for p in (target, test)]
    abnormality = [
        Labelled(p, p.labels[LABEL], np.flatnonzero(p.labels[LABEL] >= 0)) for p in (target, test)
    ]
    return TaskGroup(
        DIVERSE,
        "Tasks with diverse annotations",
        (
            TargetTask(LUNGS, "Lung segmentation", SEGMENTATION, lungs[0], lungs[1]),
            TargetTask(
                ABNORMALITY,
                "Abnormality",
                CLASSIFICATION,
                abnormality[0],
                abnormality[1],
                class_names=("normal", LABEL),
            ),
        ),
        pool=np.flatnonzero(target.splits != "test"),
        strata=target.labels[LABEL],
        test_name=name_of(test),
        held_out=np.flatnonzero(target.splits == "test"),
        held_out_name=f"{name_of(target)}, images put aside",
        heat_map_task=ABNORMALITY,
    )


def similar_group(pneumonia: Prepared) -> TaskGroup:
    """Three pairwise classifications of one set, whose test part is put aside.

    Raises:
        ValueError: There is no label "pneumonia" of 0, 1 and 2, or no image to train or to test on.
    """
    check_label(pneumonia, PNEUMONIA, 2)
    label, name = pneumonia.labels[PNEUMONIA], name_of(pneumonia)
    return TaskGroup(
        SIMILAR,
        "Tasks with similar annotations",
        pairwise_tasks(pneumonia, PNEUMONIA, CLASSES, PAIRS),
        pool=np.flatnonzero((pneumonia.splits != "test") & (label >= 0)),
        strata=label,
        test_name=f"{name}, test set",
    )


class ChestXRay(Modality):
    """Chest X-rays: grey images, and a source that learns to denoise them."""

    name, title = "cxr", "chest X-rays"
    source_task, denoises_baseline = "denoising", True
    channels = 1
    layout = Layout(
        "python -m data_prep cxr {}",
        {
            DIVERSE: (("target", "test"), diverse_group),
            SIMILAR: (("pneumonia",), similar_group),
        },
        channels=1,
        multiple=16,
        why="the encoder halves them four times",
    )
    defaults = Settings()

    def source_network(self, rng: np.random.Generator, width: float) -> Sequential:
        """The denoising autoencoder, whose encoder all groups share (section 4.1.1)."""
        return denoising_autoencoder(rng, self.channels, self.channels, width)

    def train_source(
        self, network: Layer, source: Prepared, draw: Draw, settings: Settings, training: Training
    ) -> Tuned:
        train, validation = (
            DenoisingExamples(
                source.images,
                rows,
                training.rng,
                fixed=rows is draw.validation,
                normalisation=settings.normalisation(),
            )
            for rows in (draw.train, draw.validation)
        )
        return train_denoising(network, train, validation, training)

    def test_source(
        self, network: Layer, source: Prepared, draw: Draw, settings: Settings, device: Device
    ) -> tuple[dict[str, Any], Pictures]:
        """Table 2: the source on test images of its own, each channel scored as an image."""
        rng, chosen = np.random.default_rng([settings.seed, 2]), {}
        parts = {"test": source_rows(source, "test"), "validation": draw.validation}
        for part, rows in parts.items():
            if len(rows) > (most := DENOISED_AT_MOST[part]):
                rows = np.sort(rng.choice(rows, most, replace=False))
            chosen[part] = _planes(source.images[rows])
        C = self.channels

        def restored(noisy: np.ndarray) -> np.ndarray:
            if C > 1:
                noisy = np.moveaxis(noisy.reshape(-1, C, *noisy.shape[1:]), 1, 3)
            return _planes(denoise_exactly(network, noisy, device, settings.normalisation()))

        noises, pictures = score_denoising(restored, chosen["test"], chosen["validation"], rng)
        return {"denoising": [row | {"images": row["images"] // C} for row in noises]}, pictures

    def networks(
        self, group: TaskGroup, source: Layer, settings: Settings, device: Device
    ) -> Networks:
        """Heads on the autoencoder's encoder, and the baseline's networks (sections 4.1.1 and 4.1.2).

        An untrained source cannot denoise: the baseline then takes the images as they are.
        """
        assert isinstance(source, Sequential)
        encoder, decoder = source
        assert isinstance(decoder, Sequential)
        pooled = encoder.output_shape((16, 16, self.channels))[-1]
        width, normalisation = settings.width, settings.normalisation()
        heads: dict[str, Make] = {}
        models: dict[str, Callable[[np.random.Generator, int], Layer]] = {}
        for task in group.tasks:
            own, K = task.name, task.outputs
            if task.kind == SEGMENTATION:
                heads[own] = partial(segmentation_head, decoder, outputs=K)
                models[own] = partial(denoising_autoencoder, out_channels=K, width=width)
            else:
                heads[own] = partial(_head, pooled, K)
                models[own] = partial(separate_classifier, classes=K, width=width)

        def clean(images: np.ndarray) -> np.ndarray:
            if settings.source_steps == 0:
                return images
            return denoise(source, images, device, normalisation)

        return Networks(encoder, heads, models, clean)

    def derived(
        self, networks: Mapping[str, Layer], train: Examples, validation: Examples, device: Device
    ) -> dict[str, Callable[[Dataset], np.ndarray]]:
        return derived_heads(networks, (LUNGS, ABNORMALITY), train, validation, device)


def _planes(images: np.ndarray) -> np.ndarray:
    """Images (N, H, W), or (N, H, W, C) as N C images (H, W), the channels of one in a row."""
    if images.ndim == 3:
        return images
    return np.moveaxis(images, 3, 1).reshape(-1, *images.shape[1:3])


def _head(channels: int, outputs: int, rng: np.random.Generator) -> Sequential:
    return classification_head(channels, outputs, rng, batch_norm=True)


CXR = ChestXRay()
