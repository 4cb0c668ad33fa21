"""The log odds of a class, and the maps that explain them: integrated gradients and occlusion."""

import cv2
import numpy as np
import pytest
from scipy.special import logit, softmax
from small_classifiers import classifier, images, linear_head, torch_twins

from ums.derived import heat_maps, integrated_gradients, log_odds, occlusion
from ums.derived.heat_map import INTEGRATED, blurred
from ums.layers import Layer, Sequential
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


# ---------------------------------------------------------------------------- integrated gradients


def torch_integrated_gradients(network, x, classes, steps):
    """By autograd, from the blurred image to the image, at the middles of the steps."""
    torch = pytest.importorskip("torch")
    twins, total = torch_twins(network), 0
    base, x = (torch.tensor(a).permute(0, 3, 1, 2) for a in (blurred(x), x))
    for t in (np.arange(steps) + 0.5) / steps:
        point = (base + t * (x - base)).requires_grad_()
        scores = point
        for twin in twins:
            scores = twin(scores)
        odds = torch.logit(torch.softmax(scores, 1))[np.arange(len(x)), classes]
        total = total + torch.autograd.grad(odds.sum(), point)[0] / steps
    return ((x - base) * total).sum(1).numpy()


@pytest.mark.parametrize("classes", [0, [2, 0, 1, 1, 2]])
def test_integrated_gradients_equal_those_of_autograd(classes, rng):
    network, x = classifier(rng).astype(np.float64), images(rng).astype(np.float64)
    expected = torch_integrated_gradients(network, x, classes, 4)
    found = integrated_gradients(network, x, classes, steps=4)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8)


def odds_of(network, x, number):
    own = one_hot([number] * len(x), 3)
    return log_odds(network.forward(x, keep=False), own)[0]


def test_integrated_gradients_add_up_to_what_blurring_takes_away(rng):
    network, x = classifier(rng).astype(np.float64), images(rng).astype(np.float64)
    change = odds_of(network, x, 1) - odds_of(network, blurred(x), 1)
    total = integrated_gradients(network, x, 1, steps=200).sum(axis=(1, 2))
    np.testing.assert_allclose(total, change, rtol=0.01, atol=0.002)
    assert abs(change).min() > 0.01


def test_map_is_smoothed_by_a_thirtysecond_of_the_side_and_cut_at_zero(rng):
    network, x = classifier(rng), images(rng, 3, 64, 64)
    pixels = integrated_gradients(network, x, 1)
    smooth = [cv2.GaussianBlur(p, (17, 17), 2, borderType=cv2.BORDER_REPLICATE) for p in pixels]
    expected = np.array([np.maximum(m, 0) / m.max() for m in smooth])
    np.testing.assert_allclose(heat_maps(network, x, 1, INTEGRATED), expected, atol=1e-3)


def test_map_does_not_depend_on_what_is_added_to_all_scores(rng):
    network, x = classifier(rng), images(rng)
    twin = copy_network(network)
    twin.leaves()[-1].w.value += rng.normal(size=(8, 1)).astype(np.float32)
    one, other = (heat_maps(n, x, 1, INTEGRATED) for n in (network, twin))
    np.testing.assert_allclose(one, other, atol=1e-3)
    assert abs(heat_maps(network, x, 1) - heat_maps(twin, x, 1)).max() > 0.1


def test_predicted_class_is_that_of_the_image_not_of_its_blurred_self(rng):
    x = np.zeros((1, 16, 16, 1))
    x[0, 8, 8] = 60
    network = Sequential(Peaks(), linear_head(np.array([[1.0, -1.0]])))
    network.leaves()[-1].b.value = np.array([-0.1, 0.1])
    assert network.forward(x).argmax() == 0 and network.forward(blurred(x)).argmax() == 1
    np.testing.assert_array_equal(*(integrated_gradients(network, x, c) for c in (None, 0)))


# ---------------------------------------------------------------------------- occlusion


class Peaks(Layer):
    """max(x - 10, 0), for float64 alone."""

    def forward(self, x, training=False, keep=True):
        self.above = x > 10
        return np.maximum(x - 10, 0)

    def backward(self, dy, input_gradient=True):
        return dy * self.above


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
