"""The padding of a strided convolution as TensorFlow and Keras have it, beside the symmetric one."""

import re

import numpy as np
import pytest

from ums import ops
from ums.gradcheck import check_gradients
from ums.layers import Conv2D
from ums.ops.conv import conv2d_backward_plain, conv2d_forward_plain
from ums.ops.fast import threads as fast_threads

# TensorFlow's zeros before and after a side: (size, kernel, stride, dilation) -> worked out by hand
ZEROS = {
    (8, 3, 2, 1): (0, 1),
    (7, 3, 2, 1): (1, 1),
    (8, 5, 2, 1): (1, 2),
    (7, 5, 2, 1): (2, 2),
    (8, 3, 2, 2): (1, 2),
    (7, 3, 2, 2): (2, 2),
    (8, 5, 2, 2): (3, 4),
    (8, 3, 3, 1): (0, 1),
    (9, 3, 3, 1): (0, 0),
    (10, 3, 5, 1): (0, 0),  # the kernel reaches less far than the stride
    (8, 1, 2, 1): (0, 0),
    (8, 5, 1, 1): (2, 2),
}


def every(test):
    """Kernels, strides, dilations, and sides odd, even and smaller than the kernel."""
    for name, values in (("K", [1, 3, 5]), ("stride", [1, 2]), ("dilation", [1, 2])):
        test = pytest.mark.parametrize(name, values)(test)
    return pytest.mark.parametrize(("H", "W"), [(7, 6), (8, 5), (1, 2)])(test)


def arguments(rng, H, W, K):
    return [rng.normal(size=shape) for shape in ((2, H, W, 3), (K, K, 3, 2), (2,))]


@pytest.mark.parametrize(("case", "zeros"), ZEROS.items(), ids=str)
@pytest.mark.parametrize("forward", [ops.conv2d_forward, conv2d_forward_plain])
def test_same_padding_puts_zeros_where_tensorflow_does(case, zeros, forward, rng):
    size, K, stride, dilation = case
    x, w, b = arguments(rng, size, size, K)
    x_pad = np.pad(x, ((0, 0), zeros, zeros, (0, 0)))
    y, _ = forward(x, w, b, stride, dilation, "same")
    assert y.shape[1:3] == (-(-size // stride),) * 2
    for i, j in np.ndindex(y.shape[1:3]):
        rows, columns = (slice(stride * k, stride * k + dilation * K, dilation) for k in (i, j))
        window = x_pad[:, rows, columns]
        np.testing.assert_allclose(y[:, i, j], np.tensordot(window, w, 3) + b, atol=1e-12)


@every
def test_gradient_with_same_padding(K, stride, dilation, H, W, rng):
    settings = stride, dilation, "same"
    x, w, b = arguments(rng, H, W, K)
    errors = check_gradients(
        lambda *arrays: ops.conv2d_forward(*arrays, *settings),
        ops.conv2d_backward,
        {"x": x, "w": w, "b": b},
        rng=rng,
        max_entries=60,
    )
    assert max(errors.values()) < 1e-6


@every
@pytest.mark.parametrize("tile_bytes", [1, 2000, 1 << 30])
def test_fast_form_equals_its_formula(K, stride, dilation, H, W, tile_bytes, rng, monkeypatch):
    monkeypatch.setattr(fast_threads, "TILE_BYTES", tile_bytes)
    monkeypatch.setenv("UMS_THREADS", "2")
    settings = stride, dilation, "same"
    x, w, b = arguments(rng, H, W, K)
    y, cache = ops.conv2d_forward(x, w, b, *settings)
    plain, plain_cache = conv2d_forward_plain(x, w, b, *settings)
    np.testing.assert_allclose(y, plain, rtol=1e-12, atol=1e-12)
    dy = rng.normal(size=y.shape)
    pair = ops.conv2d_backward(dy, cache), conv2d_backward_plain(dy, plain_cache)
    for found, expected in zip(*pair, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


@every
def test_col2im_is_the_adjoint_of_im2col(K, stride, dilation, H, W, rng):
    settings = stride, dilation, "same"
    x = rng.normal(size=(2, H, W, 3))
    A = ops.im2col(x, K, *settings)
    a = rng.normal(size=A.shape)
    assert np.vdot(A, a) == pytest.approx(np.vdot(x, ops.col2im(a, x.shape, *settings)), rel=1e-12)


@pytest.mark.parametrize("dilation", [1, 2])
def test_without_stride_both_paddings_give_the_same_bits(dilation, rng):
    x, w, b = arguments(rng, 8, 7, 3)
    both = [ops.conv2d_forward(x, w, b, 1, dilation, name) for name in ("same", "symmetric")]
    np.testing.assert_array_equal(both[0][0], both[1][0])
    np.testing.assert_array_equal(*(ops.conv2d_grad_input(y, cache) for y, cache in both))


def test_layer_pads_as_it_was_told(rng):
    x = rng.normal(size=(1, 8, 8, 2)).astype(np.float32)
    layer = Conv2D(2, 3, rng, stride=2, padding="same")
    expected, _ = ops.conv2d_forward(x, layer.w.value, layer.b.value, 2, 1, "same")
    np.testing.assert_array_equal(layer.forward(x), expected)
    assert repr(layer) == "Conv2D(2, 3, stride=2, padding='same')"
    layer.padding = "symmetric"
    assert abs(layer.forward(x) - expected).max() > 0.1


@pytest.mark.parametrize("K", [1, 3])
def test_unknown_padding_is_refused(K, rng):
    x, w, b = arguments(rng, 4, 4, K)
    calls = [
        lambda: ops.conv2d_forward(x, w, b, padding="valid"),
        lambda: conv2d_forward_plain(x, w, b, padding="valid"),
        lambda: ops.im2col(x, K, padding="valid"),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=re.escape("'symmetric' or 'same', got 'valid'")):
            call()
