"""The log odds of a class, and the maps that explain them: HiResCAM and occlusion."""

import cv2
import numpy as np
import pytest
from scipy.special import logit, softmax
from small_classifiers import classifier, images, linear_head, torch_twins

from ums.derived import heat_maps, hires_cam, log_odds, occlusion
from ums.derived.heat_map import HIRES_CAM, blurred
from ums.layers import Conv2D, Dense, GlobalAveragePool, Layer, ReLU, Sequential
from ums.networks import copy_network


def one_hot(classes, K):
    return np.eye(K)[classes]


# ---------------------------------------------------------------------------- the score


@pytest.mark.parametrize("K", [2, 3, 5])
def test_log_odds_are_the_logit_of_the_classs_probability(K, rng):
    scores, classes = rng.normal(0, 3, (6, K)), rng.integers(0, K, 6)
    expected = logit(softmax(scores, axis=1)[np.arange(6), classes])
    np.testing.assert_allclose(log_odds(scores, one_hot(classes, K))[0], expected, rtol=1e-9)


def test_log_odds_of_two_classes_are_the_difference_of_their_scores():
    odds, gradient = log_odds(np.array([[2.0, 5.0], [1e4, 0.0]]), one_hot([1, 1], 2))
    assert odds.tolist() == [3, -1e4] and gradient.tolist() == [[-1, 1], [-1, 1]]


def test_gradient_of_the_log_odds_is_that_of_autograd(rng):
    torch = pytest.importorskip("torch")
    scores = rng.normal(0, 3, (1, 4))
    s = torch.tensor(scores, requires_grad=True)
    torch.logit(torch.softmax(s, 1)[0, 2]).backward()
    np.testing.assert_allclose(log_odds(scores, one_hot([2], 4))[1], s.grad.numpy(), rtol=1e-8)


def test_one_class_has_no_log_odds():
    with pytest.raises(ValueError, match=r"two classes or more, got scores \(3, 1\)"):
        log_odds(np.ones((3, 1)), np.ones((3, 1)))


# ---------------------------------------------------------------------------- the blurred image


@pytest.mark.parametrize("shape", [(2, 32, 32, 1), (2, 32, 16, 3)])
def test_images_are_blurred_by_an_eighth_of_the_side_each_by_itself(shape, rng):
    x = rng.normal(size=shape)
    of = [cv2.GaussianBlur(i, (33, 33), 4, borderType=cv2.BORDER_REPLICATE) for i in x]
    np.testing.assert_allclose(blurred(x), np.reshape(of, shape), atol=1e-3)


# ---------------------------------------------------------------------------- HiResCAM


def torch_hires_cam(network, x, classes, first):
    """By autograd, at the output of the first layers."""
    torch = pytest.importorskip("torch")
    features, twins = torch.tensor(x).permute(0, 3, 1, 2), torch_twins(network)
    for twin in twins[:first]:
        features = twin(features)
    features = scores = features.detach().requires_grad_()
    for twin in twins[first:]:
        scores = twin(scores)
    odds = torch.logit(torch.softmax(scores, 1))[np.arange(len(x)), classes]
    (gradient,) = torch.autograd.grad(odds.sum(), features)
    return (gradient * features).sum(1).detach().numpy()


@pytest.mark.parametrize("classes", [0, [2, 0, 1, 1, 2]])
def test_hires_cam_is_that_of_autograd_at_the_first_relu(classes, rng):
    network, x = classifier(rng).astype(np.float64), images(rng).astype(np.float64)
    expected = torch_hires_cam(network, x, classes, 3)
    np.testing.assert_allclose(hires_cam(network, x, classes), expected, rtol=1e-5, atol=1e-9)
    assert expected.shape == (5, 6, 4) and (expected > 0).any() and (expected < 0).any()


def test_hires_cam_explains_the_predicted_class_by_default(rng):
    network, x = classifier(rng), images(rng)
    predicted = network.forward(x).argmax(axis=1)
    np.testing.assert_array_equal(hires_cam(network, x), hires_cam(network, x, predicted))
    assert abs(hires_cam(network, x) - hires_cam(network, x, (predicted + 1) % 3)).max() > 0.001


def test_hires_cam_without_biases_adds_up_to_the_log_odds(rng):
    """A piecewise linear network of two classes without biases is its gradient times its input."""
    network = Sequential(Conv2D(1, 4, rng), ReLU(), GlobalAveragePool(), Dense(4, 2, rng))
    x = images(rng)
    scores = network.forward(x)
    total = hires_cam(network, x, 1).sum(axis=(1, 2))
    np.testing.assert_allclose(total, scores[:, 1] - scores[:, 0], rtol=1e-4)


def test_map_is_smoothed_less_its_surroundings_and_cut_at_zero(rng):
    network, x = classifier(rng), images(rng, 3, 64, 64)
    places = hires_cam(network, x, 2)  # 32 x 32

    def gaussian(place, sigma):
        size = 8 * sigma + 1
        return cv2.GaussianBlur(place, (size, size), sigma, borderType=cv2.BORDER_REFLECT)

    less = [np.maximum(gaussian(p, 2) - gaussian(p, 8), 0) for p in places]
    large = np.array([cv2.resize(m, (64, 64)) for m in less])
    expected = large / large.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(heat_maps(network, x, 2, HIRES_CAM), expected, atol=0.01)


def test_network_without_a_first_feature_map_is_refused():
    with pytest.raises(
        ValueError, match=r"expected a ReLU, .* in Sequential\(GlobalAveragePool\(\)"
    ):
        hires_cam(linear_head(), np.ones((1, 2, 2, 2)))


def test_map_does_not_depend_on_what_is_added_to_all_scores(rng):
    network, x = classifier(rng), images(rng)
    twin = copy_network(network)
    twin.leaves()[-1].w.value += rng.normal(size=(8, 1)).astype(np.float32)
    one, other = (heat_maps(n, x, 1, HIRES_CAM) for n in (network, twin))
    np.testing.assert_allclose(one, other, atol=1e-3)
    assert abs(heat_maps(network, x, 1) - heat_maps(twin, x, 1)).max() > 0.1


# ---------------------------------------------------------------------------- occlusion


class Peaks(Layer):
    """max(x - 10, 0)."""

    def forward(self, x, training=False, keep=True):
        return np.maximum(x - 10, 0)


def test_occlusion_is_the_mean_fall_over_the_squares_that_hide_a_pixel(rng):
    """A mean over the image falls by the sum of what is hidden, whatever else is hidden."""
    x = rng.normal(size=(2, 32, 24, 1))
    network = linear_head(np.array([[0.0, 768.0]]))  # log odds of class 1: the sum of the pixels
    lost = np.pad((x - blurred(x))[..., 0], ((0, 0), (3, 3), (3, 3)))  # squares of 3, moved by 1
    sums = np.array(
        [[lost[:, i : i + 3, j : j + 3].sum((1, 2)) for j in range(28)] for i in range(36)]
    )
    expected = [sums[i : i + 3, j : j + 3].mean((0, 1)) for i in (10, 20) for j in (10, 15)]
    found = occlusion(network, x, 1)[:, 9:20:10, 9:15:5]
    np.testing.assert_allclose(np.moveaxis(found, 0, 2).reshape(4, 2), expected, rtol=1e-6)


def test_occlusion_finds_the_one_pixel_that_counts():
    x = np.zeros((1, 32, 32, 1))
    x[0, 20, 9] = 60
    network = Sequential(Peaks(), linear_head(np.array([[-1.0, 1.0]])))
    seen = occlusion(network, x, 1)[0]
    assert seen[20, 9] == seen.max() > 0
    far = np.ones((32, 32), bool)
    far[17:24, 6:13] = False
    assert (seen[far] == 0).all()
