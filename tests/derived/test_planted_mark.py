"""Maps of networks whose evidence is known: a mark at a random place decides the label."""

import numpy as np
import pytest

from ums.derived import GRAD_CAM, HIRES_CAM, OCCLUSION, heat_maps, mass_inside, pointing_game
from ums.layers import Conv2D, ReLU, Sequential
from ums.networks import classification_head, cxr_encoder
from ums.ops import categorical_cross_entropy
from ums.optimizers import Adam
from ums.training import train_step

SIDE, MARK = 48, 6
STRIPES = np.where(np.arange(MARK) // 2 % 2, -1.0, 1.0)[:, None]
"""The mark's rows, light and dark by turns."""


def films(n, rng):
    """Noise, two smooth shapes, and in every second image the mark; labels; where the marks are."""
    rows, columns = np.mgrid[:SIDE, :SIDE]
    x, masks = rng.normal(0, 0.3, (n, SIDE, SIDE)), np.zeros((n, SIDE, SIDE), bool)
    for _ in range(2):
        y0, x0, r, height = rng.uniform([0, 0, 5, -1], [SIDE, SIDE, 12, 1], (n, 4)).T[
            ..., None, None
        ]
        x += height * np.exp(-((rows - y0) ** 2 + (columns - x0) ** 2) / (2 * r**2))
    for k in range(1, n, 2):
        top, left = rng.integers(0, SIDE - MARK + 1, 2)
        place = k, slice(top, top + MARK), slice(left, left + MARK)
        x[place] += 1.5 * STRIPES
        masks[place] = True
    return x[..., None].astype(np.float32), np.arange(n) % 2, masks


@pytest.fixture(scope="module")
def trained():
    """A network of the studies' kind, small, that tells marked films from others."""
    rng = np.random.default_rng(0)
    head = classification_head(32, 2, rng, hidden=32, batch_norm=True)
    network = Sequential(cxr_encoder(rng, width=0.125), head)
    x, labels, _ = films(512, rng)
    optimizer = Adam(network.trainable_parameters(), 3e-3)
    for _ in range(100):
        rows = rng.integers(0, len(x), 32)
        train_step(network, categorical_cross_entropy, optimizer, x[rows], labels[rows])
    return network


def test_trained_networks_maps_find_the_mark_in_95_percent(trained):
    """No tolerance: the maximum, of one pixel, lies on the mark, 1.6 % of the image."""
    x, labels, masks = films(200, np.random.default_rng(1))
    assert (trained.forward(x, keep=False).argmax(axis=1) == labels).mean() >= 0.9
    marked = labels == 1
    maps = heat_maps(trained, x[marked], 1, HIRES_CAM)
    assert pointing_game(maps, masks[marked]).mean() >= 0.95
    assert mass_inside(maps, masks[marked]).mean() >= 5 * masks[marked].mean()


def made():
    """A network of which every weight is known: its log odds see the mark, its scores the shapes too.

    The first channel answers to the mark alone; the second is the brightness, and raises both scores by
    the same amount.
    """
    rng = np.random.default_rng(0)
    mark, grey = np.zeros((7, 7)), np.ones((7, 7))
    mark[:MARK, :MARK] = STRIPES
    encoder = Sequential(Conv2D(1, 2, rng, kernel=7), ReLU(), Conv2D(2, 2, rng, stride=2), ReLU())
    first, _, second, _ = encoder
    first.w.value[:, :, 0] = np.stack([mark, grey], axis=-1)
    first.b.value[:] = -30, 0  # a whole mark gives 54
    second.w.value[:] = np.eye(2)
    head = classification_head(2, 2, rng, hidden=2)
    head[1].w.value[:], head[4].w.value[:] = np.eye(2), [[-10, 10], [100, 100]]
    return Sequential(encoder, head)


@pytest.mark.parametrize(("method", "n"), [(HIRES_CAM, 80), (OCCLUSION, 20)])
def test_made_networks_maps_find_the_mark_where_grad_cam_sees_the_shapes(method, n):
    x, labels, masks = films(n, np.random.default_rng(2))
    x, masks = x[labels == 1], masks[labels == 1]
    assert pointing_game(heat_maps(made(), x, 1, method), masks).mean() >= 0.95
    assert pointing_game(heat_maps(made(), x, 1, GRAD_CAM), masks).mean() < 0.5
