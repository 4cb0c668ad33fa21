"""What the ops refuse: dtypes they would compute wrongly, mixtures, gradients of another form."""

import itertools

import numpy as np
import pytest
from planted_bugs import FUNCTIONS, OPS

from ums import ops
from ums.ops.activations import relu_backward_plain, relu_forward_plain
from ums.ops.conv import conv2d_forward_plain
from ums.ops.norm import batchnorm_backward_plain, batchnorm_forward_plain

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


# ---------------------------------------------------------------------------- each function alone

OWN = {"gamma": (3,), "beta": (3,), "running_mean": (3,), "running_var": (3,)}
CONV = {"x": (2, 6, 6, 3), "w": (3, 3, 3, 3), "b": (3,)}
ALONE = {  # function -> the shapes of its arrays, what else it takes, and its backward functions
    relu_forward_plain: ({"x": (4, 3)}, (), (relu_backward_plain,)),
    batchnorm_forward_plain: ({"x": (4, 3), **OWN}, (True,), (batchnorm_backward_plain,)),
    ops.batchnorm_forward: ({"x": (4, 3), **OWN}, (True,), "batchnorm"),
    ops.dense_forward: ({"x": (4, 3), "w": (3, 5), "b": (5,)}, (), "dense"),
    ops.conv2d_forward: (CONV, (), "conv2d"),
    ops.upsample_conv2d_forward: (CONV, (), "upsample_conv2d"),
    conv2d_forward_plain: (CONV, (), "conv2d plain"),
    FUNCTIONS.upsample_conv2d_forward_plain: (
        CONV,
        (),
        (FUNCTIONS.upsample_conv2d_backward_plain,),
    ),
    ops.dropout_forward: ({"x": (4, 3)}, (0.5, np.random.default_rng(0), True), "dropout"),
    ops.global_average_pool_forward: ({"x": (2, 4, 4, 3)}, (), "global_average_pool"),
    ops.upsample2d_forward: ({"x": (2, 4, 4, 3)}, (), "upsample2d"),
    ops.relu_forward: ({"x": (4, 3)}, (), "relu"),
    ops.sigmoid_forward: ({"x": (4, 3)}, (), "sigmoid"),
    ops.softmax_forward: ({"x": (4, 3)}, (), "softmax"),
}


def backward_functions(found):
    """The functions of an op that take the gradient of its output."""
    if not isinstance(found, str):
        return found
    name, _, plain = found.partition(" ")
    kinds = ("backward", "grad_input", "grad_weights")
    names = [f"{name}_{kind}{plain and '_plain'}" for kind in kinds]
    return [getattr(FUNCTIONS, each) for each in names if hasattr(FUNCTIONS, each)]


def test_every_op_is_among_those_that_are_tried():
    public = {f for name, f in vars(ops).items() if name.endswith("_forward")}
    tried = {g for _, _, found in ALONE.values() for g in backward_functions(found)}
    endings = ("_backward", "_grad_input", "_grad_weights")
    assert public <= {*ALONE}
    assert {f for name, f in vars(ops).items() if name.endswith(endings)} <= tried


@pytest.mark.parametrize("forward", ALONE, ids=lambda f: f.__name__)
def test_every_array_of_every_op_is_refused_by_name_unless_float(forward):
    shapes, more, _ = ALONE[forward]
    given = {name: np.ones(shape) for name, shape in shapes.items()}
    for name, dtype in itertools.product(shapes, WRONG):
        wrong = given | {name: given[name].astype(dtype)}
        with pytest.raises(TypeError, match=f"^{name} must be an array of float32 or float64, got"):
            forward(*wrong.values(), *more)


@pytest.mark.parametrize(
    ("forward", "backward"),
    [(f, b) for f, (_, _, found) in ALONE.items() for b in backward_functions(found)],
    ids=lambda f: f.__name__,
)
def test_every_backward_function_alone_refuses_a_gradient_of_another_form(forward, backward):
    shapes, more, found = ALONE[forward]
    y, cache = forward(*(np.ones(shape, np.float32) for shape in shapes.values()), *more)
    for dtype in [np.int64, np.float16] + ([] if found in FREE else [np.float64]):
        with pytest.raises(TypeError, match=f"^dy must be .*, got {np.dtype(dtype)}"):
            backward(np.ones(y.shape, dtype), cache)
    for shape in [(1, *y.shape), (*y.shape[:-1], 1), (y.shape[0] + 1, *y.shape[1:])]:
        with pytest.raises(ValueError, match="dy must have the output's shape"):
            backward(np.ones(shape, np.float32), cache)


@pytest.mark.parametrize(
    ("momentum", "eps"), [(-0.01, 1e-5), (1.01, 1e-5), (0.9, -1e-9), (0.9, 1.0), (float("nan"), 0)]
)
def test_batchnorm_refuses_numbers_out_of_range(momentum, eps):
    with pytest.raises(ValueError, match=r"momentum must be in \[0, 1\] and eps small, got"):
        ops.batchnorm_forward(np.ones((4, 3)), *np.ones((4, 3)), True, momentum, eps)


@pytest.mark.parametrize(("momentum", "eps"), [(0, 1e-5), (1, 1e-5), (0.9, 0.0), (0.9, 0.999)])
def test_batchnorm_takes_the_ends_of_its_ranges(momentum, eps, rng):
    ops.batchnorm_forward(rng.normal(size=(4, 3)), *np.ones((4, 3)), True, momentum, eps)
