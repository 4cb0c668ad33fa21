"""Every op and loss against central differences in float64; and what holds for all of them alike."""

import numpy as np
import pytest
from planted_bugs import FUNCTIONS, LOSSES, OPS, check_op

from ums import ops
from ums.gradcheck import check_gradients, check_loss

ELEMENTWISE = {"relu", "sigmoid", "softmax", "dropout"}  # they broadcast dy as NumPy does
INNER = {name for name in OPS if name.endswith(("plain", "winograd"))}  # ways of another op
CHECKED = [name for name in OPS if name not in INNER | ELEMENTWISE]
IN_PARTS = [name for name in CHECKED if len(OPS[name].shapes) > 1]
PARTIAL = {"grad_input": slice(0, 1), "grad_weights": slice(1, None)}


def run(name, rng, dtype=np.float64):
    """An op's value and gradients for random inputs."""
    forward, backward = OPS[name].functions(FUNCTIONS)
    y, cache = forward(*OPS[name].inputs(rng, dtype).values())
    gradients = backward(rng.normal(size=y.shape).astype(dtype), cache)
    return y, gradients if isinstance(gradients, tuple) else (gradients,)


@pytest.mark.parametrize("name", [*OPS, *LOSSES])
@pytest.mark.parametrize("seed", [1, 2])
def test_gradient_equals_central_differences(name, seed):
    errors = check_op(name, FUNCTIONS, seed)
    assert max(errors.values()) < 1e-6


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("dilation", [1, 2, 3])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_conv2d_gradient_for_strides_dilations_and_kernels(stride, dilation, kernel, rng):
    inputs = {"x": (2, 7, 5, 3), "w": (kernel, kernel, 3, 2), "b": (2,)}
    inputs = {name: rng.normal(size=shape) for name, shape in inputs.items()}
    errors = check_gradients(
        lambda x, w, b: ops.conv2d_forward(x, w, b, stride, dilation),
        ops.conv2d_backward,
        inputs,
        rng=rng,
        max_entries=60,
    )
    assert max(errors.values()) < 1e-6


CONV_SHAPES = [
    # x, channels out, stride
    ((1, 1, 1, 1), 1, 1),
    ((1, 1, 1, 3), 5, 2),
    ((2, 9, 1, 2), 3, 1),
    ((1, 2, 11, 5), 1, 3),
    ((3, 8, 8, 1), 7, 2),
    ((5, 3, 4, 7), 2, 1),
]


@pytest.mark.parametrize(("shape", "O", "stride"), CONV_SHAPES)
def test_conv2d_gradient_for_odd_sizes_and_channel_counts(shape, O, stride, rng):
    inputs = {"x": shape, "w": (3, 3, shape[3], O), "b": (O,)}
    inputs = {name: rng.normal(size=shape) for name, shape in inputs.items()}
    forward = OPS["conv2d"].functions(ops)[0]
    errors = check_gradients(
        lambda *args: forward(*args, stride=stride),
        ops.conv2d_backward,
        inputs,
        rng=rng,
        max_entries=60,
    )
    assert max(errors.values()) < 1e-6


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 1, 4, 3), (2, 5, 1, 2), (4, 3, 3, 5)])
def test_upsample_conv2d_gradient_for_odd_sizes_and_channel_counts(shape, rng):
    inputs = {"x": shape, "w": (3, 3, shape[3], 3), "b": (3,)}
    inputs = {name: rng.normal(size=shape) for name, shape in inputs.items()}
    pair = ops.upsample_conv2d_forward, ops.upsample_conv2d_backward
    errors = check_gradients(*pair, inputs, rng=rng, max_entries=60)
    assert max(errors.values()) < 1e-6


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(7, 3), (2, 3, 3, 1), (1, 4, 5, 3)])
def test_batchnorm_gradient_for_shapes_in_both_modes(shape, training, rng):
    C = shape[-1]
    x, gamma, beta, mean = (rng.normal(size=s) for s in (shape, C, C, C))
    var = rng.uniform(0.5, 2, C)
    errors = check_gradients(
        lambda *args: ops.batchnorm_forward(*args, mean.copy(), var.copy(), training),
        ops.batchnorm_backward,
        {"x": x, "gamma": gamma, "beta": beta},
        rng=rng,
    )
    assert max(errors.values()) < 1e-6


@pytest.mark.parametrize("size", [0.0, 1e-3, 5.0, 30.0])
@pytest.mark.parametrize("name", ["bce", "dice", "bce_dice"])
def test_mask_loss_gradient_for_empty_full_and_mixed_masks(name, size, rng):
    logits = size * rng.normal(size=(3, 4, 3, 1))
    target = (rng.random(logits.shape) < 0.5).astype(float)
    target[0], target[1] = 0, 1
    assert check_loss(getattr(ops, name), logits + 0.01, target, rng=rng) < 1e-6


@pytest.mark.parametrize("name", IN_PARTS)
@pytest.mark.parametrize("part", PARTIAL)
def test_partial_gradients_are_parts_of_the_backward_pass(name, part, rng):
    forward, backward = OPS[name].functions(ops)
    y, cache = forward(*OPS[name].inputs(rng).values())
    dy = rng.normal(size=y.shape)
    alone = getattr(ops, f"{name.split(',')[0]}_{part}")(dy, cache)
    alone = alone if isinstance(alone, tuple) else (alone,)
    for got, expected in zip(alone, backward(dy, cache)[PARTIAL[part]], strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPS)
def test_op_keeps_the_dtype_of_its_input(name, dtype, rng):
    y, gradients = run(name, rng, dtype)
    assert [a.dtype for a in (y, *gradients)] == [dtype] * (1 + len(gradients))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LOSSES)
def test_loss_keeps_the_dtype_of_its_prediction(name, dtype, rng):
    value, gradient = LOSSES[name].function(ops)(*LOSSES[name].inputs(rng, dtype))
    assert (value.dtype, gradient.dtype, value.shape) == (dtype, dtype, ())


@pytest.mark.parametrize("name", OPS)
def test_float32_agrees_with_float64(name):
    single = run(name, np.random.default_rng(3), np.float32)
    double = run(name, np.random.default_rng(3))
    for a, b in zip((single[0], *single[1]), (double[0], *double[1]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", OPS)
def test_gradients_have_the_shapes_of_the_inputs_and_change_nothing(name, rng):
    forward, backward = OPS[name].functions(FUNCTIONS)
    inputs = OPS[name].inputs(rng)
    y, cache = forward(*inputs.values())
    dy = rng.normal(size=y.shape)
    before = {k: v.copy() for k, v in inputs.items()} | {"y": y.copy(), "dy": dy.copy()}
    gradients = backward(dy, cache)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    assert [g.shape for g in gradients] == [v.shape for v in inputs.values()]
    for key, value in (inputs | {"y": y, "dy": dy}).items():
        np.testing.assert_array_equal(value, before[key], err_msg=key)


@pytest.mark.parametrize("name", OPS)
def test_backward_can_be_called_again_with_the_same_result(name, rng):
    forward, backward = OPS[name].functions(FUNCTIONS)
    y, cache = forward(*OPS[name].inputs(rng).values())
    dy = rng.normal(size=y.shape)
    first, second = backward(dy, cache), backward(dy, cache)
    if not isinstance(first, tuple):
        first, second = (first,), (second,)
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", CHECKED)
def test_backward_refuses_an_upstream_gradient_of_another_shape(name, rng):
    forward, backward = OPS[name].functions(ops)
    y, cache = forward(*OPS[name].inputs(rng).values())
    wrong = np.zeros((y.shape[0] + 1, *y.shape[1:]))
    with pytest.raises(ValueError, match=r"dy must have the .*shape \(.*\), got \("):
        backward(wrong, cache)
