"""Pooling inside predicted lungs: by hand, against NumPy loops, and where a border misleads."""

from dataclasses import replace

import numpy as np
import pytest
import standin

from ums.backend import Device
from ums.data import Examples
from ums.data.normalisation import STANDARD
from ums.derived import derive_lung_pooling, in_lungs, pooled_features
from ums.derived.lung_pooling import everywhere, fit_lung_pooling, on_film, pool_inside
from ums.layers import Conv2D, Dense, GlobalAveragePool, ReLU, Sequential
from ums.metrics import roc_auc
from ums.networks import classification_head, cxr_decoder, cxr_encoder

CPU = Device(np, "CPU")

# 2 x 2 cells of one channel, and the lungs: all, a quarter, three quarters and none of a cell.
FEATURES = np.array([[8.0, 4.0], [2.0, 100.0]]).reshape(1, 2, 2, 1)
LUNGS = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 0]], float)[None]


def test_cells_count_by_the_area_of_lung_in_them():
    mean, highest = pool_inside(FEATURES, LUNGS)[0, :, 0]
    assert mean == pytest.approx((8 + 4 / 4 + 2 * 3 / 4) / 2)
    assert highest == 8  # the cells that are at least half lung are 8 and 2


@pytest.mark.parametrize("lungs", [np.zeros((1, 4, 4)), np.full((1, 4, 4), 0.4)])
def test_lungs_that_are_not_found_are_everywhere(lungs):
    assert pool_inside(FEATURES, lungs)[0, :, 0].tolist() == [114 / 4, 100]


def test_each_image_is_pooled_in_its_own_lungs():
    rng = np.random.default_rng(0)
    features, lungs = rng.normal(size=(5, 3, 2, 4)), rng.random((5, 12, 6)) ** 0.5
    pooled = pool_inside(features, lungs)
    for n in range(5):
        a = np.array([[lungs[n, 4 * i : 4 * i + 4, 3 * j : 3 * j + 3].mean() for j in (0, 1)]
                      for i in (0, 1, 2)])  # fmt: skip
        mean = (a[..., None] * features[n]).sum(axis=(0, 1)) / a.sum()
        np.testing.assert_allclose(pooled[n], [mean, features[n][a >= 0.5].max(axis=0)])


def test_lungs_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"lungs \(1, 5, 4\) do not fit .* \(1, 2, 2, 1\)"):
        pool_inside(FEATURES, np.zeros((1, 5, 4)))


def test_everywhere_the_means_are_those_that_the_head_pools():
    rng = np.random.default_rng(0)
    encoder = cxr_encoder(rng, width=1 / 16)
    abnormality = Sequential(encoder, classification_head(16, 2, rng))
    images = rng.integers(0, 256, (5, 32, 32), np.uint8)
    examples = Examples(images, None, np.arange(5))
    pooled = pooled_features(everywhere, abnormality, examples, CPU, size=2)
    A = encoder.forward(examples.batch(np.arange(5))[0])
    assert [p.shape for p in pooled] == [(5, 2, 16), (5, 2, 8), (5, 2, 4)]
    np.testing.assert_allclose(pooled[0][:, 0], A.mean(axis=(1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(pooled[0][:, 1], A.max(axis=(1, 2)), rtol=1e-4)


def hospital(rng, n, border):
    """Images whose left half is lung; bright spots in it are the disease, bright borders are not."""
    labels = rng.integers(2, size=n)
    images = rng.integers(90, 110, (n, 16, 16)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4:8, 2:4] += (60 * label).astype(np.uint8)
        image[:, 8:] += (60 * (label if border == "disease" else 1 - label)).astype(np.uint8)
    return Examples(images, labels, np.arange(n), prepare=lambda x: x[..., None] / np.float32(128))


@pytest.fixture
def networks():
    """A lung network that finds the left half, and one that passes brightness on to its pooling."""
    rng = np.random.default_rng(0)

    class LeftHalf(Conv2D):
        def forward(self, x, training=False, keep=True):
            return np.where(np.arange(16)[:, None] < 8, 20, -20) + 0 * x

    encoder = Sequential(Conv2D(1, 1, rng, kernel=1, stride=2), ReLU())
    encoder.layers[0].w.value[:] = 1
    return in_lungs(LeftHalf(1, 1, rng, 1)), Sequential(
        encoder, GlobalAveragePool(), Dense(1, 2, rng)
    )


def test_the_film_is_all_but_the_background():
    images = np.random.default_rng(0).integers(9, 256, (2, 8, 8), np.uint8)
    images[0, :, :3] = images[1, 5] = 8
    x = STANDARD(images)
    np.testing.assert_array_equal(on_film(x), images > 8)
    np.testing.assert_array_equal(everywhere(x), np.ones((2, 8, 8)))


def test_a_cue_outside_the_lungs_misleads_it_no_more(networks):
    """Borders that go with the disease at one hospital and against it at the other."""
    rng = np.random.default_rng(1)
    train, validation = hospital(rng, 60, "disease"), hospital(rng, 20, "disease")
    other = hospital(rng, 40, "health")
    inside = derive_lung_pooling(*networks, train, validation, CPU)
    assert roc_auc(other.targets, inside.logits(pooled_features(*networks, other, CPU))[:, 1]) == 1
    whole = everywhere, networks[1]
    misled = derive_lung_pooling(*whole, train, validation, CPU)
    assert roc_auc(other.targets, misled.logits(pooled_features(*whole, other, CPU))[:, 1]) < 0.5


def test_the_variant_with_the_lowest_validation_loss_is_kept():
    """A maximum of the second map goes with the label; the third map does so in training alone."""
    rng = np.random.default_rng(0)

    def drawn(n, third):
        labels, pooled = rng.integers(2, size=n), [rng.normal(size=(n, 2, 6)) for _ in range(3)]
        pooled[1][:, 1, 0] += 4 * labels
        pooled[2][:, :, 0] += third * labels[:, None]
        return pooled, labels

    train, validation = drawn(80, 4), drawn(80, -4)
    head = fit_lung_pooling(train, validation)
    assert head.maximum and head.resolutions == 2
    z = head.logits(validation[0])
    assert (z[:, 0] == 0).all() and roc_auc(validation[1], z[:, 1]) > 0.95
    p = 1 / (1 + np.exp(-z[:, 1]))
    expected = -np.mean(np.log(np.where(validation[1] == 1, p, 1 - p)))
    assert head.validation_loss == pytest.approx(expected)


def test_a_feature_that_is_constant_in_training_plays_no_part():
    rng = np.random.default_rng(0)
    labels, pooled = np.arange(40) % 2, rng.normal(size=(40, 2, 3))
    pooled[:, :, 2] = 0
    head = fit_lung_pooling(([pooled], labels), ([pooled], labels))
    changed = pooled.copy()
    changed[:, :, 2] = 1e6
    np.testing.assert_array_equal(head.logits([changed]), head.logits([pooled]))


def test_images_are_not_augmented(networks):
    train, validation = (hospital(np.random.default_rng(k), 40, "disease") for k in (0, 1))
    blank = replace(train, augment=lambda x, t: (0 * x, t))
    plain, same = (derive_lung_pooling(*networks, e, validation, CPU) for e in (train, blank))
    np.testing.assert_array_equal(plain.mean, same.mean)


def test_examples_without_labels_are_refused(networks):
    examples = hospital(np.random.default_rng(0), 4, "disease")
    bare = Examples(examples.inputs, None, examples.rows, examples.prepare)
    with pytest.raises(ValueError, match="need labels"):
        derive_lung_pooling(*networks, bare, bare, CPU)


def test_networks_on_another_device_give_the_same_features():
    rng, device = np.random.default_rng(0), Device(standin, "stand-in")
    encoder = cxr_encoder(rng, width=1 / 16)
    lungs = Sequential(encoder, cxr_decoder(rng, width=1 / 16))
    abnormality = Sequential(encoder, classification_head(16, 2, rng))
    examples = Examples(rng.integers(0, 256, (3, 32, 32), np.uint8), None, np.arange(3))
    here = pooled_features(in_lungs(lungs), abnormality, examples, CPU)
    lungs.to(device), abnormality.to(device)
    there = pooled_features(in_lungs(lungs), abnormality, examples, device)
    for a, b in zip(here, there, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
