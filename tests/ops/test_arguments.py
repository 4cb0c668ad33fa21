"""What the ops refuse: dtypes they would compute wrongly, mixtures, gradients of another form."""

import numpy as np
import pytest
from planted_bugs import FUNCTIONS, OPS

from ums import ops
from ums.ops.conv import conv2d_forward_plain

WRONG = [np.uint8, np.int64, bool, np.float16, np.complex64, np.longdouble, ">f4", object]
FREE = {"upsample2d", "global_average_pool"}  # their caches hold the shape alone
INNER = {"conv2d, winograd", "conv2d, plain", "upsample_conv2d, plain"}


def as_tuple(gradients):
    return gradients if isinstance(gradients, tuple) else (gradients,)


@pytest.mark.parametrize("channels", [1, 31, 32, 40])
@pytest.mark.parametrize("forward", [ops.conv2d_forward, conv2d_forward_plain])
@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float16])
def test_convolution_of_integers_is_refused_with_few_and_with_many_channels(
    dtype, forward, channels, rng
):
    x = rng.integers(0, 5, (2, 32, 32, channels)).astype(dtype)
    w, b = np.ones((3, 3, channels, channels), dtype), np.zeros(channels, dtype)
    name = np.dtype(dtype).name
    with pytest.raises(TypeError, match=f"x must be an array of float32 or float64, got {name}: "):
        forward(x, w, b)


@pytest.mark.parametrize("name", [name for name in OPS if name != "conv2d, winograd"])
@pytest.mark.parametrize("dtype", WRONG)
def test_op_refuses_every_argument_that_is_not_float(name, dtype, rng):
    forward, _ = OPS[name].functions(FUNCTIONS)
    inputs = OPS[name].inputs(rng)
    for argument, value in inputs.items():
        with pytest.raises(TypeError, match=rf"^{argument} must be an array of float32 or float64"):
            forward(*(inputs | {argument: value.astype(dtype)}).values())


@pytest.mark.parametrize("name", [name for name in OPS if name != "conv2d, winograd"])
@pytest.mark.parametrize("value", [[1.0, 2.0], None, 1.0, "x"])
def test_op_refuses_what_is_not_an_array(name, value, rng):
    forward, _ = OPS[name].functions(FUNCTIONS)
    _, *others = OPS[name].inputs(rng).values()
    with pytest.raises(TypeError, match=f"array.*, got {type(value).__name__}"):
        forward(value, *others)


@pytest.mark.parametrize("name", [n for n in OPS if len(OPS[n].shapes) > 1 and "winog" not in n])
def test_op_refuses_a_mixture_of_the_two_dtypes(name, rng):
    forward, _ = OPS[name].functions(FUNCTIONS)
    inputs = OPS[name].inputs(rng)
    for argument, value in inputs.items():
        with pytest.raises(TypeError, match=r"must share a dtype, got .*float32"):
            forward(*(inputs | {argument: value.astype(np.float32)}).values())


@pytest.mark.parametrize("name", [name for name in OPS if name != "conv2d, winograd"])
def test_backward_refuses_a_gradient_of_another_dtype(name, rng):
    forward, backward = OPS[name].functions(FUNCTIONS)
    y, cache = forward(*OPS[name].inputs(rng, np.float32).values())
    for dtype in [np.int64, np.float16] + ([] if name in FREE else [np.float64]):
        with pytest.raises(TypeError, match=f"dy must be .*, got {np.dtype(dtype)}"):
            backward(np.ones(y.shape, dtype), cache)


@pytest.mark.parametrize("name", [name for name in OPS if name not in INNER])
@pytest.mark.parametrize("change", [np.transpose, lambda dy: dy[:1], lambda dy: dy[..., :1]])
def test_backward_refuses_a_gradient_that_would_be_broadcast(name, change, rng):
    forward, backward = OPS[name].functions(FUNCTIONS)
    y, cache = forward(*OPS[name].inputs(rng).values())
    with pytest.raises(ValueError, match="dy must have the output's shape"):
        backward(change(np.ones(y.shape)), cache)


@pytest.mark.parametrize("name", [name for name in OPS if "batchnorm, t" not in name])
def test_empty_batch_gives_empty_results_and_zero_sums(name, rng):
    forward, backward = OPS[name].functions(FUNCTIONS)
    x, *others = OPS[name].inputs(rng, np.float32).values()
    y, cache = forward(x[:0], *others)
    dx, *sums = as_tuple(backward(y, cache))
    assert len(y) == 0 and dx.shape == x[:0].shape
    assert all(not total.any() and total.dtype == np.float32 for total in sums)


@pytest.mark.parametrize("shape", [(0, 3), (0, 4, 4, 3), (2, 0, 4, 3), (1, 3), (1, 1, 1, 3)])
def test_batchnorm_refuses_to_train_on_less_than_two_values(shape):
    ones = np.ones((4, 3), np.float32)
    with pytest.raises(ValueError, match="more than one value per channel, got"):
        ops.batchnorm_forward(np.ones(shape, np.float32), *ones, True)


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (2, 0, 4, 3), (2, 4, 0, 3)])
def test_batchnorm_in_use_takes_an_empty_batch(shape):
    ones = np.ones((4, 3), np.float32)
    y, cache = ops.batchnorm_forward(np.ones(shape, np.float32), *ones, False)
    dx, dgamma, dbeta = ops.batchnorm_backward(y, cache)
    assert y.shape == dx.shape == shape and not dgamma.any() and not dbeta.any()


@pytest.mark.parametrize("shape", [(2, 0, 4, 3), (2, 4, 0, 3), (2, 0, 0, 3)])
def test_images_without_pixels(shape):
    x, w, b = (np.ones(s, np.float32) for s in (shape, (3, 3, 3, 2), 2))
    y, cache = ops.conv2d_forward(x, w, b)
    dx, dw, _ = ops.conv2d_backward(y, cache)
    assert y.size == 0 and dx.shape == shape and not dw.any()
    with pytest.raises(ValueError, match="without pixels has no mean"):
        ops.global_average_pool_forward(x)


@pytest.mark.parametrize("w", [(3, 3, 0, 2), (3, 3, 3, 0)])
def test_convolution_without_channels_is_refused(w):
    x, w, b = (np.ones(s, np.float32) for s in ((2, 4, 4, w[2]), w, w[3]))
    with pytest.raises(ValueError, match="must have channels"):
        ops.conv2d_forward(x, w, b)


@pytest.mark.parametrize("dtype", WRONG)
def test_windows_are_refused_where_adding_them_would_overflow(dtype):
    x = np.ones((1, 4, 4, 1), dtype)
    with pytest.raises(TypeError, match="x must be an array of float32"):
        ops.im2col(x, 3)
    with pytest.raises(TypeError, match="dA must be an array of float32"):
        ops.col2im(np.ones((1, 4, 4, 3, 3, 1), dtype), x.shape)
