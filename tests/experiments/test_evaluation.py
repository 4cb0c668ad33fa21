"""What is recorded of trained networks: masks, logits, heat maps, denoising."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ums.backend import Device
from ums.data import NOISES, Normalisation, Prepared
from ums.experiments.evaluation import (
    class_1_maps,
    heat_map_rows,
    image_scores,
    masks,
    outlines,
    score,
    score_denoising,
    shares_inside,
)
from ums.experiments.names import CLASSIFICATION, LOGITS, SEGMENTATION
from ums.experiments.tasks import Labelled, TargetTask, TaskGroup
from ums.layers import Dense, GlobalAveragePool, Layer, Sequential

CPU, STANDARD = Device(np, "CPU"), Normalisation()


class By(Layer):
    """Stands in for a network: a function of its input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x, training=False, keep=True):
        return self.function(x)


def task_of(kind):
    return TargetTask("a task", "A task", kind, None, None)


def half_and_quarter():
    """Images of which the upper half and quarter are brighter than the mean; masks of the half."""
    images, half = np.full((2, 16, 16), 50, np.uint8), np.zeros((2, 16, 16), np.uint8)
    images[0, :8], images[1, :4], half[:, :8] = 200, 200, 1
    return images, half


# ---------------------------------------------------------------------------- networks


def test_mask_is_where_the_logit_is_positive():
    images, half = half_and_quarter()
    predicted = masks(By(lambda x: x), images, STANDARD, CPU)
    assert predicted.dtype == bool and predicted.sum(axis=(1, 2)).tolist() == [128, 64]
    np.testing.assert_array_equal(predicted[0], half[0])
    assert not masks(By(lambda x: 0 * x), images, STANDARD, CPU).any()


def test_masks_are_scored_by_hand_worked_measures():
    images, half = half_and_quarter()
    found = score(task_of(SEGMENTATION), By(lambda x: x), images, half, STANDARD, CPU)
    for name, worked in (("Accuracy", 0.75), ("F-score", 2 / 3), ("IoU", 1 / 2)):
        np.testing.assert_allclose(found[name], [1, worked])
    np.testing.assert_allclose(found["Two-class IoU"], [1, (1 / 2 + 128 / 192) / 2])


@pytest.mark.parametrize("colour", [(), (3,)])
def test_logits_of_grey_and_of_rgb_images_are_recorded(colour):
    logits = np.array([[2, 1, 0], [0, 3, 1], [-1, -1, 5]], np.float32)
    images, seen = np.zeros((3, 16, 16, *colour), np.uint8), []
    network = By(lambda x: seen.append(x.shape) or logits)
    found = score(task_of(CLASSIFICATION), network, images, np.zeros(3), STANDARD, CPU)
    assert seen == [(3, 16, 16, *(colour or (1,)))]
    assert {name: values.tolist() for name, values in found.items()} == {LOGITS: logits.tolist()}


@pytest.mark.parametrize("kind", [SEGMENTATION, CLASSIFICATION])
@pytest.mark.parametrize(("background", "darker"), [(8, -0.25), (100, -150 / 4)])
def test_networks_see_images_by_their_own_normalisation(background, darker, kind):
    """Both halves are foreground, of mean 100 and deviation 50; or 150 alone is, of deviation 1."""
    images, seen = np.repeat([[[50], [150]]], 2, axis=2).astype(np.uint8), []
    network = By(lambda x: seen.append(x) or x[..., :1])
    score(task_of(kind), network, images, images, Normalisation(background), CPU)
    assert seen[0][0, 0, 0, 0] == pytest.approx(darker)


# ---------------------------------------------------------------------------- heat maps


def group_of(**changes):
    """Six test images, the last three abnormal; the labels of 0 and 5 and the mask of 4 are missing."""
    images = np.zeros((6, 4, 4), np.uint8)
    lungs, names = images.copy(), np.array(list("abcdef"))
    lungs[:, :2] = 1
    has_mask = np.arange(6) != 4
    prepared = Prepared(
        Path("test"), images, lungs, images + 1, names, names, names, has_mask, {}, {}
    )
    prepared = replace(prepared, **changes)
    examples = Labelled(prepared, np.array([1, 0, 0, 1, 1, 1]), np.array([1, 2, 3, 4]))
    kinds = {"lungs": SEGMENTATION, "abnormality": CLASSIFICATION}
    tasks = tuple(TargetTask(name, "", kind, examples, examples) for name, kind in kinds.items())
    return TaskGroup(
        "diverse", "", tasks, np.arange(6), np.zeros(6), "", heat_map_task="abnormality"
    )


def test_heat_maps_are_of_labelled_images_of_class_1_that_have_masks():
    assert heat_map_rows(group_of()).tolist() == [3]
    assert heat_map_rows(group_of(has_mask=np.ones(6, bool))).tolist() == [3, 4]


def test_group_without_a_heat_map_task_or_masks_has_no_heat_maps():
    assert not len(heat_map_rows(replace(group_of(), heat_map_task=None)))
    assert not len(heat_map_rows(group_of(masks=None)))


def test_outlines_are_of_what_is_known():
    found = outlines(group_of(), np.array([3, 1]))
    assert {name: mask.mean() for name, mask in found.items()} == {"lungs": 0.5, "opacity": 1}
    assert found["lungs"].shape == (2, 4, 4) and found["lungs"].dtype == bool
    assert set(outlines(group_of(opacities=None), np.array([3]))) == {"lungs"}


def by_brightness():
    """A classifier that predicts class 0 for any image; what is bright speaks for class 1."""
    dense = Dense(1, 2, np.random.default_rng(0))
    dense.load_state_dict({"w": np.array([[-1.0, 1.0]]), "b": np.array([100.0, -100.0])})
    return Sequential(By(lambda x: x), GlobalAveragePool(), dense)


def test_heat_maps_are_of_class_1_even_where_class_0_is_predicted():
    images, half = half_and_quarter()
    maps = class_1_maps(by_brightness(), images, STANDARD, CPU)
    np.testing.assert_allclose(maps[0], half[0], atol=1e-6)
    assert maps.shape == images.shape


def test_heat_maps_of_many_images_are_those_of_each():
    images = np.random.default_rng(1).integers(0, 256, (70, 16, 16), dtype=np.uint8)
    maps = class_1_maps(by_brightness(), images, STANDARD, CPU)
    for row in (0, 31, 32, 69):
        alone = class_1_maps(by_brightness(), images[row : row + 1], STANDARD, CPU)[0]
        np.testing.assert_allclose(maps[row], alone, atol=1e-6)


def test_shares_are_of_a_maps_mass_inside_each_mask():
    maps = np.zeros((2, 4, 4))
    maps[0, 0], maps[0, 3] = 3, 1  # the second map is 0 everywhere
    found = shares_inside(maps, outlines(group_of(), np.array([1, 2])))
    np.testing.assert_allclose(found["lungs"], [0.75, np.nan])
    np.testing.assert_allclose(found["opacity"], [1, np.nan])


# ---------------------------------------------------------------------------- the source


def test_denoising_is_scored_for_every_noise_in_the_tables_order(rng):
    images = np.full((3, 32, 32), 128, np.uint8)
    rows, _ = score_denoising(By(lambda x: 0 * x), images, CPU, rng, STANDARD)  # the mean
    assert [row["noise"] for row in rows] == [str(noise) for noise in NOISES]
    for row, sigma in zip(rows, (10, 20, 30, 40, None, None), strict=True):
        assert row["images"] == 3 and row["denoised"]["PSNR"] > row["noisy"]["PSNR"] + 10
        if sigma:  # 50 is clipped now and then
            expected = 20 * np.log10(255 / sigma)
            assert row["noisy"]["PSNR"] == pytest.approx(expected, abs=0.3)


@pytest.mark.parametrize("background", [8, 100])
def test_pictures_of_one_image_come_with_every_noise(background, rng):
    images = rng.integers(0, 256, (3, 16, 16), dtype=np.uint8)
    unchanged = By(lambda x: x)
    rows, found = score_denoising(unchanged, images, CPU, rng, Normalisation(background))
    assert {name: stack.shape for name, stack in found.items()} == dict.fromkeys(
        ("clean", "noisy", "denoised"), (len(NOISES), 16, 16)
    )
    (shown,) = (image for image in images if (image == found["clean"]).all())
    for row, noisy, denoised in zip(rows, found["noisy"], found["denoised"], strict=True):
        error = np.square(noisy - shown.astype(float)).mean()
        assert row["shown"]["noisy"] == pytest.approx(10 * np.log10(255**2 / error))
        foreground = noisy > background  # the background becomes one value
        np.testing.assert_allclose(denoised[foreground], noisy[foreground], atol=1e-3)
        assert np.ptp(denoised[~foreground]) < 1e-3


def test_image_scores_are_means_over_images():
    clean = np.full((2, 16, 16), 100, np.uint8)
    found = image_scores(clean, clean + np.array([1, 10])[:, None, None])
    assert found["PSNR"] == pytest.approx(
        20 * np.log10(255) - 10
    )  # of errors 1 and 10: 0 and 20 dB


@pytest.mark.parametrize(("kinds", "name"), [((CLASSIFICATION, SEGMENTATION), "second"),
                                             ((CLASSIFICATION,), "masks")])  # fmt: skip
def test_outlines_have_the_name_of_the_task_that_has_masks(kinds, name):
    tasks = [
        SimpleNamespace(name=n, kind=k) for n, k in zip(("first", "second"), kinds, strict=False)
    ]
    masks = np.arange(3)[:, None, None] * np.ones((3, 2, 2))
    test_set = SimpleNamespace(masks=masks, opacities=None)
    found = outlines(SimpleNamespace(test_set=test_set, tasks=tasks), np.array([0, 2]))
    assert list(found) == [name] and found[name].any(axis=(1, 2)).tolist() == [False, True]
