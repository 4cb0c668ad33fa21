"""Heat maps: Grad-CAM by hand and against PyTorch, and what it must leave alone."""

import numpy as np
import pytest
import standin
from small_classifiers import FEATURES, classifier, everything, images, linear_head, torch_twins

from ums.backend import Device
from ums.derived import grad_cam, heat_map, heat_maps, split_at_pooling
from ums.derived.heat_map import METHODS
from ums.layers import Dropout, GlobalAveragePool, ReLU, Sequential
from ums.networks import classification_head, cxr_encoder, separate_classifier

BY_CLASS = {
    0: [[1, 0], [1, 0]],  # channel 0 less channel 1: 1, -1 / 1, -4
    1: [[0, 2], [0, 8]],  # 2 channel 1 less channel 0: -1, 2 / 0, 8
    2: [[0, 0], [0, 0]],  # negative everywhere
}


# ------------------------------------------------------------------------------ the map


@pytest.mark.parametrize("number", BY_CLASS)
def test_grad_cam_of_a_linear_head_is_the_class_activation_map(number):
    expected = np.array(BY_CLASS[number]) / 4  # the weights divided by the pixels pooled
    np.testing.assert_allclose(grad_cam(FEATURES, linear_head(), number)[0], expected, rtol=1e-12)


def test_gradient_is_averaged_over_the_image():
    """A head that looks at the first of two pixels only: gradients 1/2 and 0, so alpha is 1/4."""
    head = Sequential(ReLU(), linear_head(np.array([[1.0]])))
    features = np.array([[[[2.0], [-1.0]]]])
    assert grad_cam(features, head).tolist() == [[[2 / 4, 0]]]


def test_mean_gradient_of_a_large_map_does_not_drift():
    features = np.full((1, 500, 500, 2), 0.1, np.float32)
    maps = grad_cam(features, linear_head(np.ones((2, 2), np.float32)), 0)
    np.testing.assert_allclose(maps, 0.2 / 500**2, rtol=1e-6)


def test_class_asked_about_is_the_winning_one_by_default():
    scores = linear_head().forward(FEATURES)[0]
    assert scores.tolist() == [-3 / 4, 9 / 4, -21 / 4]
    expected = grad_cam(FEATURES, linear_head(), 1)
    np.testing.assert_array_equal(grad_cam(FEATURES, linear_head()), expected)


def test_each_image_can_have_a_class_of_its_own():
    three = np.repeat(FEATURES, 3, axis=0)
    maps = grad_cam(three, linear_head(), np.array([1, 2, 0]))
    np.testing.assert_allclose(maps, np.array([BY_CLASS[k] for k in (1, 2, 0)]) / 4)
    np.testing.assert_array_equal(grad_cam(three, linear_head(), [0, 0, 0])[1], maps[2])


class EverySecondPixel(ReLU):
    """An encoder whose feature map is the image at half its size."""

    def forward(self, x, training=False, keep=True):
        return x[:, ::2, ::2]


def test_map_is_enlarged_bilinearly_and_scaled_to_one():
    x = np.zeros((1, 2, 4, 1))
    x[0, 0, 0] = 8  # features: one row of two pixels, 8 and 0
    network = Sequential(EverySecondPixel(), linear_head(np.array([[1.0]])))
    np.testing.assert_allclose(heat_maps(network, x)[0], [[1, 3 / 4, 1 / 4, 0]] * 2)


def test_map_without_anything_for_the_class_stays_zero():
    maps = heat_maps(linear_head(), np.repeat(FEATURES, 2, axis=0), [2, 1])
    assert (maps[0] == 0).all() and maps[1].max() == 1


def test_heat_maps_lie_between_zero_and_one_in_the_images_size(rng):
    x = images(rng)
    for number in range(3):
        maps = heat_maps(classifier(rng), x, number)
        assert maps.shape == x.shape[:3] and maps.dtype == np.float32
        assert maps.min() >= 0 and set(maps.max(axis=(1, 2))) <= {0, 1}


# ------------------------------------------------------------------------------ against PyTorch


def torch_heat_maps(network, x, classes):
    """Grad-CAM by autograd, one image at a time, enlarged by PyTorch."""
    torch = pytest.importorskip("torch")
    twins = torch_twins(network)
    pool = [isinstance(layer, GlobalAveragePool) for layer in network.leaves()].index(True)
    maps = []
    for image, number in zip(x, classes, strict=True):
        A = torch.tensor(image[None]).permute(0, 3, 1, 2)
        for twin in twins[:pool]:
            A = twin(A)
        A = A.detach().requires_grad_()
        scores = A
        for twin in twins[pool:]:
            scores = twin(scores)
        number = scores[0].argmax() if number is None else number
        (gradient,) = torch.autograd.grad(scores[0, number], A)
        cam = torch.relu((gradient.mean((2, 3), keepdim=True) * A).sum(1, keepdim=True)).detach()
        size = image.shape[:2]
        cam = torch.nn.functional.interpolate(cam, size, mode="bilinear", align_corners=False)
        maps.append(cam[0, 0].numpy() / (cam.max().item() or 1))
    return np.array(maps)


@pytest.mark.parametrize("classes", [None, 0, [2, 0, 1, 1, 2]])
def test_heat_maps_equal_those_of_autograd(classes, rng):
    network, x = classifier(rng).astype(np.float64), images(rng).astype(np.float64)
    each = np.broadcast_to(classes, 5).tolist()
    expected = torch_heat_maps(network, x, each)
    assert (expected > 0).any(axis=(1, 2)).sum() >= 3
    np.testing.assert_allclose(heat_maps(network, x, classes), expected, rtol=1e-5, atol=1e-6)


def test_heat_maps_of_the_separate_classifier_equal_those_of_autograd(rng):
    network = separate_classifier(rng, width=0.1).astype(np.float64)
    x = images(rng, 3, 64, 64).astype(np.float64)
    for number in (0, 1):
        expected = torch_heat_maps(network, x, [number] * 3)
        assert expected.any()
        np.testing.assert_allclose(heat_maps(network, x, number), expected, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------------------ what it leaves alone


@pytest.mark.parametrize("method", METHODS)
def test_image_has_the_same_map_alone_as_in_a_batch(method, rng, monkeypatch):
    network, x = classifier(rng), images(rng)
    x[1:] *= 20  # images that would move a batch's statistics
    monkeypatch.setattr(heat_map, "BATCH", 3)
    classes = np.array([0, 2, 2, 2, 0])
    together = heat_maps(network, x, classes, method)
    alone = np.concatenate([heat_maps(network, x[[k]], classes[[k]], method) for k in range(5)])
    assert (together > 0).any(axis=(1, 2)).sum() >= 3
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_dropout_is_off(rng):
    network, x = classifier(rng, dropout=0.9), images(rng)
    maps = heat_maps(network, x)
    np.testing.assert_array_equal(maps, heat_maps(network, x))
    encoder, head = network.layers
    without = Sequential(*(layer for layer in head.layers if not isinstance(layer, Dropout)))
    np.testing.assert_array_equal(maps, heat_maps(Sequential(encoder, without), x))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("part", [None, 0, 1])
def test_network_is_left_as_it_was_found(part, method, rng):
    network, x = classifier(rng), images(rng)
    if part is not None:
        network.layers[part].freeze()
    network.backward(network.forward(x, training=True))
    before = everything(network)
    heat_maps(network, x, method=method)
    assert everything(network) == before
    assert any(before[1]) and any(before[2]) == (part is not None)


def test_head_keeps_the_forward_pass_it_had(rng):
    encoder, head = classifier(rng).layers
    features = encoder.forward(images(rng))
    y = head.forward(features)
    grad_cam(features[:2], head)
    assert head.backward(y).shape == features.shape


def test_frozen_and_learning_heads_have_the_same_map(rng):
    network, x = classifier(rng), images(rng)
    maps = heat_maps(network, x)
    network.freeze()
    np.testing.assert_array_equal(heat_maps(network, x), maps)


# ------------------------------------------------------------------------------ splitting


def test_network_is_split_before_its_pooling(rng):
    encoder = cxr_encoder(rng, width=0.1)
    head = classification_head(26, 2, rng, hidden=4)
    before, after = split_at_pooling(Sequential(encoder, head))
    assert before.layers == encoder.layers and after.layers == head.layers
    whole = separate_classifier(rng, width=0.1)
    before, after = split_at_pooling(whole)
    assert before.layers + after.layers == whole.layers
    assert isinstance(after.layers[0], GlobalAveragePool) and len(after.layers) == 2


def test_splitting_leaves_frozen_layers_frozen(rng):
    network = classifier(rng)
    network.layers[0].freeze()
    before, after = split_at_pooling(network)
    assert before.frozen and not any(layer.frozen for layer in after.layers)


@pytest.mark.parametrize("pools", [0, 2])
def test_network_without_one_pooling_is_refused(pools):
    network = Sequential(ReLU(), *(GlobalAveragePool() for _ in range(pools)))
    with pytest.raises(ValueError, match=rf"found {pools} in Sequential\(ReLU\(\)"):
        heat_maps(network, FEATURES)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (3, r"whole numbers in 0 .. 2, got 3"),
        (-1, r"0 .. 2, got -1"),
        ([0, 1], r"one number or \(1,\), got shape \(2,\)"),
        ([0.0], "whole numbers"),
        ([True], "whole numbers"),
    ],
)
def test_classes_that_the_head_does_not_have_are_refused(classes, message):
    with pytest.raises(ValueError, match=message):
        grad_cam(FEATURES, linear_head(), classes)


# ------------------------------------------------------------------------------ another device


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("classes", [None, [2, 0, 1, 1, 2]])
def test_heat_maps_of_a_network_on_a_device_equal_numpys(classes, method, rng):
    device = Device(standin, "stand-in")
    network, x = classifier(rng), images(rng)
    expected = heat_maps(network, x, classes, method)
    network.to(device)
    x = device.put(x)
    standin.moves.clear()
    maps = heat_maps(network, x, classes, method)
    assert isinstance(maps, np.ndarray)
    assert standin.moves["to host"] == 1 or method == "occlusion"
    np.testing.assert_allclose(maps, expected, rtol=1e-4, atol=1e-5)
    assert maps.any()


@pytest.mark.parametrize("shape", [(5, 12, 8), (12, 8), (5, 12, 8, 1)])
def test_images_that_are_not_normalised_have_no_heat_map(shape, rng):
    with pytest.raises(ValueError, match=r"x must be normalised, floats \(N, H, W, C\), got"):
        heat_maps(classifier(rng), rng.integers(0, 256, shape, dtype=np.uint8))


def test_heat_map_of_what_is_not_finite_is_refused(rng):
    x = images(rng)
    x[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="heat maps are not finite"):
        heat_maps(classifier(rng), x)


@pytest.mark.parametrize("classes", [[0, 1], [0] * 6])
def test_classes_are_one_for_each_image(classes, rng):
    with pytest.raises(
        ValueError, match=r"classes must be one number or \(5,\), got shape \(\d,\)"
    ):
        heat_maps(classifier(rng), images(rng), classes)


def test_unknown_method_is_refused_by_name(rng):
    with pytest.raises(ValueError, match=r"one of Grad-CAM, .*, got 'LIME'"):
        heat_maps(classifier(rng), images(rng), method="LIME")
