"""What is recorded of trained networks: masks, logits, heat maps."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ums.backend import Device
from ums.data import Normalisation, Prepared
from ums.derived import GRAD_CAM, HIRES_CAM, OCCLUSION
from ums.experiments import evaluation
from ums.experiments.evaluation import (
    heat_map_rows,
    masks,
    measured_maps,
    outlines,
    score,
)
from ums.experiments.names import CLASSIFICATION, LOGITS, SEGMENTATION
from ums.experiments.tasks import Labelled, TargetTask, TaskGroup
from ums.layers import Dense, GlobalAveragePool, Layer, ReLU, Sequential

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
    dense.load_state_dict({"w": np.array([[-1.0, 1.0]]), "b": np.array([2.0, -2.0])})
    return Sequential(ReLU(), GlobalAveragePool(), dense)


def test_maps_of_class_1_are_measured_by_every_method_even_where_class_0_is_predicted(
    rng, monkeypatch
):
    """The bright half or quarter is all the evidence: its map lies inside the mask of the half."""
    monkeypatch.setattr(evaluation, "CURVES", 2)
    images, half = half_and_quarter()
    x = STANDARD.apply(images)
    found = measured_maps(by_brightness(), x, {"lungs": half > 0, "rest": half == 0}, rng)
    assert set(found) == {GRAD_CAM, HIRES_CAM, OCCLUSION}
    for method, n in ((GRAD_CAM, 2), (HIRES_CAM, 2), (OCCLUSION, 1)):
        own = found[method]
        assert {len(values) for values in own.values()} == {n}
        assert own["empty"].tolist() == [0] * n
        assert own["pointing at the lungs"].tolist() == [1] * n
        assert own["pointing at the rest"].tolist() == [0] * n
        inside = own["mass inside the lungs"]
        np.testing.assert_allclose(inside, 1, atol=1e-5 if method == GRAD_CAM else 0.3)
        np.testing.assert_allclose(inside + own["mass inside the rest"], 1)
        assert (own["deletion"] <= own["insertion"]).all()


def test_empty_maps_are_counted_and_point_nowhere(rng):
    class_0 = Sequential(*by_brightness())
    class_0[2].load_state_dict({"w": np.zeros((1, 2)), "b": np.zeros(2)})
    images, half = half_and_quarter()
    found = measured_maps(class_0, STANDARD.apply(images), {"lungs": half > 0}, rng)
    for own in found.values():
        assert (own["empty"] == 1).all() and (own["pointing at the lungs"] == 0).all()
        assert np.isnan(own["mass inside the lungs"]).all()


def test_curves_are_of_the_first_images(rng):
    images, half = half_and_quarter()
    found = measured_maps(by_brightness(), STANDARD.apply(images), {"lungs": half > 0}, rng)
    assert len(found[HIRES_CAM]["deletion"]) == len(found[HIRES_CAM]["insertion"]) == 1
    assert len(found[HIRES_CAM]["empty"]) == 2


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
