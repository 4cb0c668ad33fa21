"""A small encoder and two small tasks of different kinds, for the tests of the strategies."""

from dataclasses import replace

import numpy as np

from ums.backend import Device
from ums.data import Examples
from ums.finetuning import Task
from ums.layers import Conv2D, Sequential, UpsampleConv2D
from ums.networks import classification_head, cxr_encoder
from ums.ops import bce_dice, categorical_cross_entropy

CPU = Device(np, "CPU")
WIDTH, CHANNELS = 0.05, 13  # 0.05 * 256


class CountedEncoder(Sequential):
    """An encoder that counts the images that went through it, but for one alone, to see its size."""

    seen = 0

    def forward(self, x, training=False, keep=True):
        self.seen += len(x) if len(x) > 1 else 0
        return super().forward(x, training, keep)


def encoder(rng):
    """A source as training leaves it: biases, batch norms and running statistics have moved."""
    network = CountedEncoder(*cxr_encoder(rng, width=WIDTH).layers)
    for array in network.state_dict().values():
        if array.ndim == 1:
            array += rng.uniform(0, 0.5, array.shape).astype(np.float32)
    return network


def pair(rng, n, side, masks):
    """Training and validation examples of one data set: two thirds, one third, shuffled."""
    images = rng.integers(0, 256, (n, side, side), dtype=np.uint8)
    targets = (images > 128).astype(np.uint8) if masks else rng.integers(2, size=n)
    return [Examples(images, targets, rows) for rows in np.split(rng.permutation(n), [2 * n // 3])]


def abnormality(rng, n=12, side=32, **changes):
    head = classification_head(CHANNELS, 2, rng, hidden=8)
    train, validation = pair(rng, n, side, masks=False)
    return Task("abnormality", head, categorical_cross_entropy, train, validation, **changes)


def lungs(rng, n=12, side=32, **changes):
    ups = [UpsampleConv2D(C, O, rng) for C, O in ((CHANNELS, 4), (4, 3), (3, 2), (2, 2))]
    train, validation = pair(rng, n, side, masks=True)
    head = Sequential(*ups, Conv2D(2, 1, rng, kernel=1))
    return Task("lungs", head, bce_dice, train, validation, **changes)


def bytes_of(network):
    return {name: value.tobytes() for name, value in network.state_dict().items()}


def watched(task, look):
    """The task, calling ``look(name, part, chosen)`` before each batch of either part is made."""

    def watch(examples, part):
        class Watched(Examples):
            def batch(self, chosen):
                look(task.name, part, chosen)
                return super().batch(chosen)

        return Watched(examples.inputs, examples.targets, examples.rows, examples.prepare)

    train, validation = watch(task.train, "train"), watch(task.validation, "validation")
    return replace(task, train=train, validation=validation)
