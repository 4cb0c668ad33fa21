"""Winograd's way gives what the direct one gives, tile by tile, and is chosen where it fits."""

import numpy as np
import pytest

from ums import ops
from ums.ops.conv import (
    conv2d_forward_plain,
    conv2d_grad_input_plain,
    conv2d_grad_weights_plain,
)
from ums.ops.fast import winograd
from ums.ops.fast.winograd import AT, BT, G, convolve, grad_weights, pays


def arguments(rng, shape, O, dtype=np.float64):
    C = shape[3]
    parts = (shape, (3, 3, C, O), (O,), (*shape[:3], O))
    return [rng.standard_normal(part).astype(dtype) for part in parts]


SHAPES = [
    ((1, 4, 4, 1), 1, 1),
    ((3, 8, 12, 2), 5, 1),
    ((2, 8, 16, 3), 2, 2),
    ((5, 12, 24, 2), 3, 3),
]


@pytest.mark.parametrize("group", [1, 3, 1000], ids="{} tiles at once".format)
@pytest.mark.parametrize(("shape", "O", "dilation"), SHAPES)
def test_equals_the_direct_way(shape, O, dilation, group, rng, monkeypatch):
    monkeypatch.setattr(winograd, "GROUP", group)
    monkeypatch.setenv("UMS_THREADS", "2")
    x, w, b, dy = arguments(rng, shape, O)
    y, cache = conv2d_forward_plain(x, w, b, 1, dilation)
    np.testing.assert_allclose(convolve(x, w, b, dilation), y, atol=1e-12)
    dw, db = conv2d_grad_weights_plain(dy, cache)
    found_dw, found_db = grad_weights(x, dy, dilation)
    np.testing.assert_allclose(found_dw, dw, atol=1e-11)
    np.testing.assert_allclose(found_db, db, atol=1e-12)


def test_one_dimension_by_hand():
    """Four outputs of three taps: y_i = w_0 d_i + w_1 d_{i+1} + w_2 d_{i+2}."""
    d, w = np.array([1.0, 2, -1, 3, 0, 5]), np.array([2.0, -1, 4])
    np.testing.assert_allclose(AT @ ((G @ w) * (BT @ d)), [-4, 17, -5, 26], atol=1e-12)


def test_gradient_of_the_weights_is_the_adjoint(rng):
    x, w, b, dy = arguments(rng, (2, 8, 8, 3), 4)
    dw, db = grad_weights(x, dy)
    y = convolve(x, w, b)
    assert np.vdot(dy, y) == pytest.approx(np.vdot(dw, w) + np.vdot(db, b), rel=1e-12)


@pytest.mark.parametrize("dilation", [1, 2])
def test_the_convolution_takes_this_way_where_it_pays_and_gives_the_same(
    dilation, rng, monkeypatch
):
    x, w, b, dy = arguments(rng, (4, 32, 32, 32), 48, np.float32)
    assert pays(x.shape, w.shape, 1, dilation)
    called, forward, gradient = [], winograd.convolve, winograd.grad_weights
    monkeypatch.setattr(winograd, "convolve", lambda *a: called.append("y") or forward(*a))
    monkeypatch.setattr(winograd, "grad_weights", lambda *a: called.append("dw") or gradient(*a))
    y, cache = ops.conv2d_forward(x, w, b, 1, dilation)
    dx, dw, db = ops.conv2d_backward(dy, cache)
    assert called == ["y", "y", "dw"]
    plain_y, plain_cache = conv2d_forward_plain(x, w, b, 1, dilation)
    plain_dw, plain_db = conv2d_grad_weights_plain(dy, plain_cache)
    plain_dx = conv2d_grad_input_plain(dy, plain_cache)
    pairs = ((y, plain_y), (dx, plain_dx), (dw, plain_dw), (db, plain_db))
    for found, expected in pairs:
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=3e-5 * abs(expected).max())


@pytest.mark.parametrize("threads", ["1", "2", "3"])
def test_result_is_the_same_in_every_run_with_as_many_threads(threads, rng, monkeypatch):
    monkeypatch.setenv("UMS_THREADS", threads)
    x, w, b, dy = arguments(rng, (8, 16, 16, 32), 32, np.float32)
    first, again = ((convolve(x, w, b), *grad_weights(x, dy)) for _ in range(2))
    assert all((one == same).all() for one, same in zip(first, again, strict=True))


@pytest.mark.parametrize(
    ("shape", "w_shape", "stride", "dilation"),
    [
        ((16, 32, 32, 64), (1, 1, 64, 64), 1, 1),
        ((16, 32, 32, 64), (5, 5, 64, 64), 1, 1),
        ((16, 32, 32, 64), (3, 3, 64, 64), 2, 1),
        ((16, 30, 32, 64), (3, 3, 64, 64), 1, 1),
        ((16, 32, 36, 64), (3, 3, 64, 64), 1, 2),
        ((16, 32, 32, 8), (3, 3, 8, 64), 1, 1),
        ((1, 32, 28, 64), (3, 3, 64, 64), 1, 1),
        ((0, 32, 32, 64), (3, 3, 64, 64), 1, 1),
    ],
)
def test_is_left_alone_where_it_does_not_fit_or_pay(shape, w_shape, stride, dilation):
    assert not pays(shape, w_shape, stride, dilation)
    assert pays((1, 32, 32, 64), (3, 3, 64, 64), 1, 1)
