"""The lessons' solutions as a notebook holds them, and numbers that every op of the library has a part in."""

import linecache
from functools import cache

import numpy as np
from sources import program

from ums import ops
from ums.layers import BatchNorm, Conv2D, ReLU, Sequential, UpsampleConv2D
from ums.networks import classification_head
from ums.optimizers import SGD
from ums.training import train_step

LESSONS = (
    "02_backward", "03_convolution", "04_training_and_use", "05_shrink_and_grow", "06_losses", "07_denoising",
    "09_strategies", "t1_layer", "t2_training",
)  # fmt: skip


def notebook(text, name="<a cell>"):
    """The names that a cell defines; its text is where Python looks for source, as in a notebook."""
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    namespace = {}
    exec(compile(text, name, "exec"), namespace)
    return namespace


@cache
def solutions():
    """The solutions of all lessons that can be kept, {name: function or class}, without what they import."""
    found = {}
    for lesson in LESSONS:
        names = notebook(program(lesson), f"<{lesson}>").items()
        found |= {n: v for n, v in names if getattr(v, "__module__", "") in (None, "builtins")}
    return found


def numbers():
    """Losses and weights of an encoder with two heads, after a step of each; 8 x 8 pixels."""
    rng = np.random.default_rng(0)
    encoder = Sequential(Conv2D(1, 4, rng, stride=2), BatchNorm(4), ReLU(), Conv2D(4, 4, rng))
    heads = UpsampleConv2D(4, 1, rng), classification_head(4, 2, rng, hidden=4)
    x = rng.normal(size=(6, 8, 8, 1)).astype(np.float32)
    targets = (x > 0).astype(np.float32), np.arange(6) % 2
    found = []
    for head, loss, target in zip(
        heads, (ops.bce_dice, ops.categorical_cross_entropy), targets, strict=True
    ):
        network = Sequential(encoder, head)
        optimizer = SGD(network.trainable_parameters(), 0.1)
        found.append(np.ravel(train_step(network, loss, optimizer, x, target)))
        found += [np.ravel(p.grad) for p in network.parameters()]
        found += [np.ravel(a) for a in network.state_dict().values()]
    return np.concatenate(found)
