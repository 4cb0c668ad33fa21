"""Everything on another array library: the stand-in always, CuPy where a GPU works.

With a C++ compiler the stand-in also runs once with the GPU's kernels, compiled for the CPU.

Arrays of that library go in and come out, the values are NumPy's, and no step reads the host.
"""

import warnings
from functools import cache
from inspect import signature, unwrap

import cuda_on_cpu
import numpy as np
import pytest
import standin
from planted_bugs import FUNCTIONS, LOSSES, OPS

from ums import layers, ops, optimizers
from ums.backend import Device, array_module, choose_device, fused, to_numpy
from ums.gradcheck import check_gradients, check_layer, check_loss
from ums.ops import activations, losses
from ums.ops.fast import activations as fast_activations
from ums.ops.fast import norm, threads, upsample


def working_gpu():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # CuPy warns where it finds no CUDA
        try:
            return choose_device("gpu")
        except RuntimeError:
            return None


GPU = working_gpu()
STAND_IN = Device(standin, "stand-in")
DEVICES = {"stand-in": STAND_IN, "kernels": STAND_IN} | ({"cupy": GPU} if GPU else {})


@pytest.fixture(params=DEVICES)
def device(request, monkeypatch):
    if request.param == "kernels":
        cuda_on_cpu.install(monkeypatch)
    return DEVICES[request.param]


@pytest.mark.skipif(GPU is None, reason="no working GPU: CuPy is left out of the tests below")
def test_tests_below_run_on_cupy_too():
    assert "cupy" in DEVICES


def as_tuple(gradients):
    return gradients if isinstance(gradients, tuple) else (gradients,)


def assert_same(got, expected, device, rtol=1e-9):
    """Arrays of the device with NumPy's values, shapes and dtypes."""
    for a, e in zip(got, expected, strict=True):
        assert array_module(a) is device.xp
        assert (a.shape, a.dtype) == (np.shape(e), e.dtype)
        np.testing.assert_allclose(to_numpy(a), e, rtol=rtol, atol=rtol)


# ------------------------------------------------------------------------------ the wall


@pytest.mark.parametrize(
    "crossing",
    [
        np.asarray,
        np.exp,
        np.sum,
        np.float32,
        lambda x: np.ones(3) + x,
        lambda x: x * np.ones(3),
        lambda x: standin.maximum(x, np.ones(3)),
        lambda x: standin.concatenate([x, np.ones(3)]),
        lambda x: x[np.array([0, 1])],
        lambda x: x.__setitem__(slice(None), np.ones(3)),
        lambda x: standin.add(x, x, out=np.ones(3)),
        lambda x: x.__iadd__(np.ones(3)),
    ],
)
def test_stand_in_does_not_mix_with_numpy_arrays(crossing):
    with pytest.raises(TypeError):
        crossing(standin.ones(3))


def test_stand_in_computes_with_scalars_and_keeps_its_dtype():
    x = standin.ones(3, dtype=np.float32)
    for y in (2 * x, x * np.float32(2), np.float32(2) * x, 1 - x, x**2, -x, abs(x), x > 0.5):
        assert isinstance(y, standin.ndarray)
    assert (2.0 * x).dtype == np.float32
    assert (np.float64(2) * x).dtype == np.float64  # the trap that CuPy has too
    assert isinstance(x.sum(), standin.ndarray) and x.sum().shape == ()


def test_stand_in_counts_what_crosses_the_wall():
    standin.moves.clear()
    x = standin.asarray(np.arange(3.0))
    float(x.sum()), bool(x[0] == 0), x.get()
    assert standin.moves == {"to device": 1, "to host": 3}


def test_cupy_has_every_function_of_the_stand_in():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cupy = pytest.importorskip("cupy", exc_type=ImportError)
    assert [name for name in standin.FUNCTIONS if not hasattr(cupy, name)] == []
    assert callable(cupy.lib.stride_tricks.as_strided)
    members = standin.METHODS + standin.ATTRIBUTES + ["get", "T", "__len__", "__abs__"]
    assert [name for name in members if not hasattr(cupy.ndarray, name)] == []


# ------------------------------------------------------------------------------ ops and losses


@pytest.mark.parametrize("name", OPS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("tile_bytes", [2000, 1 << 29])
def test_op_on_the_device_equals_numpy(name, dtype, tile_bytes, device, rng, monkeypatch):
    monkeypatch.setattr(threads, "GPU_TILE_BYTES", tile_bytes)
    forward, backward = OPS[name].functions(FUNCTIONS)
    inputs = OPS[name].inputs(rng, dtype).values()
    y, cache = forward(*inputs)
    dy = rng.normal(size=y.shape).astype(dtype)
    there, there_cache = forward(*map(device.put, inputs))
    gradients = as_tuple(backward(device.put(dy), there_cache))
    expected = [y, *as_tuple(backward(dy, cache))]
    assert_same([there, *gradients], expected, device, 1e-4 if dtype == np.float32 else 1e-9)


PARTIAL = ["conv2d", "conv2d, strided", "upsample_conv2d", "dense", "batchnorm, training"]


@pytest.mark.parametrize("name", [*PARTIAL, "batchnorm, inference"])
@pytest.mark.parametrize("part", ["grad_input", "grad_weights"])
def test_partial_gradient_on_the_device_equals_numpy(name, part, device, rng):
    forward, _ = OPS[name].functions(ops)
    partial = getattr(ops, f"{name.split(',')[0]}_{part}")
    inputs = OPS[name].inputs(rng).values()
    y, cache = forward(*inputs)
    _, there_cache = forward(*map(device.put, inputs))
    got = as_tuple(partial(device.put(y), there_cache))
    assert_same(got, as_tuple(partial(y, cache)), device)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loss_on_the_device_equals_numpy(name, dtype, device, rng):
    loss = LOSSES[name].function(ops)
    prediction, target = LOSSES[name].inputs(rng, dtype)
    got = loss(device.put(prediction), device.put(target))
    assert_same(got, loss(prediction, target), device, 1e-5)


@pytest.mark.parametrize("name", ["conv2d", "upsample_conv2d"])
def test_empty_batch_on_the_device(name, device, rng):
    forward, backward = OPS[name].functions(ops)
    x, w, b = OPS[name].inputs(rng).values()
    y, cache = forward(*map(device.put, (x[:0], w, b)))
    dx, dw, _ = backward(y, cache)
    assert len(y) == len(dx) == 0
    assert not to_numpy(dw).any()


def test_arrays_of_two_libraries_are_refused(rng):
    x, w, b = OPS["conv2d"].inputs(rng).values()
    with pytest.raises(TypeError):
        ops.conv2d_forward(standin.asarray(x), w, b)


def test_gradient_checks_run_on_the_device(device, rng):
    inputs = {k: device.put(v) for k, v in OPS["dense"].inputs(rng).items()}
    errors = check_gradients(ops.dense_forward, ops.dense_backward, inputs, rng=rng)
    x = device.put(rng.normal(size=(3, 4, 4, 2)))
    errors["loss"] = check_loss(ops.mse, x, 0 * x, rng=rng)
    net = layers.Sequential(layers.BatchNorm(2), layers.ReLU()).astype(np.float64).to(device)
    errors |= check_layer(net, x, rng=rng, training=True)
    assert max(errors.values()) < 1e-6


# ------------------------------------------------------------------------------ fused functions

FUSED = {
    function.__name__: function
    for module in (activations, fast_activations, losses, norm, upsample, optimizers)
    for function in vars(module).values()
    if hasattr(function, "__wrapped__") and [*signature(unwrap(function)).parameters][:1] == ["xp"]
}


@cache
def fused_arguments(dtype):
    """Arguments of every fused function, by name, as a run of every op, loss and optimizer gives them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(standin, "RawModule", raising=False)  # with kernels, few would be called
        return _fused_arguments(dtype)


def _fused_arguments(dtype):
    standin.arguments.clear()
    rng, put = np.random.default_rng(0), standin.asarray
    for op in OPS.values():
        forward, backward = op.functions(FUNCTIONS)
        y, cache = forward(*map(put, op.inputs(rng, dtype).values()))
        backward(y, cache)
    for loss in LOSSES.values():
        loss.function(ops)(*map(put, loss.inputs(rng, dtype)))
    for name in ("SGD", "RMSprop", "Adam"):
        parameter = layers.Parameter(put(rng.normal(size=(3, 4)).astype(dtype)))
        optimizer = getattr(optimizers, name)([parameter])
        for _ in range(2):
            parameter.grad = put(rng.normal(size=(3, 4)).astype(dtype))
            optimizer.step()
    return dict(standin.arguments)


def test_every_fused_function_is_known():
    assert len(FUSED) >= 15
    assert set(fused_arguments(np.float32)) == set(FUSED)


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fused_function_on_the_device_equals_its_definition(name, dtype, device):
    arguments = [a.copy() if isinstance(a, np.ndarray) else a for a in fused_arguments(dtype)[name]]
    there = [device.put(a) if isinstance(a, np.ndarray) else a for a in arguments]
    expected, got = unwrap(FUSED[name])(np, *arguments), FUSED[name](*there)
    rtol = 1e-5 if dtype == np.float32 else 1e-9
    if expected is not None:
        assert_same(as_tuple(got), as_tuple(expected), device, rtol)
    arrays = [i for i, a in enumerate(arguments) if isinstance(a, np.ndarray)]  # it may change them
    assert_same([there[i] for i in arrays], [arguments[i] for i in arrays], device, rtol)


A, B = np.arange(6.0, dtype=np.float32).reshape(2, 3), np.ones(3, np.float32)


@pytest.mark.parametrize(
    "function",
    [
        lambda xp, x, b, n: abs(x),
        lambda xp, x, b, n: x.shape,
        lambda xp, x, b, n: x.sum(axis=0),
        lambda xp, x, b, n: x.reshape(-1),
        lambda xp, x, b, n: x[0],
        lambda xp, x, b, n: [*x],
        lambda xp, x, b, n: x if x > 0 else -x,
        lambda xp, x, b, n: x if n else -x,
        lambda xp, x, b, n: x * float(x),
        lambda xp, x, b, n: x * (1 - n),
        lambda xp, x, b, n: x * n**2,
        lambda xp, x, b, n: x * -n,
        lambda xp, x, b, n: x * np.float64(2),
        lambda xp, x, b, n: np.sqrt(x),
        lambda xp, x, b, n: x + xp.ones(3),
        lambda xp, x, b, n: xp.matmul(x, b),
        lambda xp, x, b, n: xp.maximum(x, 0, out=x),
        lambda xp, x, b, n: xp.sum(x, axis=0, keepdims=True),
        lambda xp, x, b, n: xp.sum(x, axis=0) / n,
        lambda xp, x, b, n: b * n,
        lambda xp, x, b, n: (b.__imul__(n), None)[1],
        lambda xp, x, b, n: x * ((x > 0) * n),
        lambda xp, x, b, n: x.__setitem__(0, b),
        lambda xp, x, b, n: (x * n, x.copy()),
    ],
)
def test_stand_in_refuses_what_cupy_cannot_fuse(function):
    with pytest.raises((TypeError, ValueError, AttributeError)):
        fused(function)(standin.asarray(A), standin.asarray(B), 0.5)


def test_stand_in_fuses_what_cupy_can():
    @fused
    def function(xp, x, b, n):
        x += n * b
        return xp.where(x > 1, -x, xp.exp(b)), xp.maximum(x, 0) / 2

    standin.launches.clear()
    x, y = standin.asarray(A), A.copy()
    got = function(x, standin.asarray(B), 0.5)
    assert standin.launches == {"function": 1}
    expected = function(y, B, 0.5)
    assert_same([x, *got], [y, *expected], Device(standin, "stand-in"), 1e-6)
    total = fused(lambda xp, x, b: xp.sum(x * b, axis=0))(x, standin.asarray(B))
    np.testing.assert_array_equal(to_numpy(total), (y * B).sum(axis=0))


@pytest.mark.parametrize("number", [np.float32(2), np.float64(2), True, "2", B])
def test_stand_in_fuses_only_with_its_arrays_and_numbers_of_python(number):
    with pytest.raises(TypeError):
        fused(lambda xp, x, n: x * n)(standin.asarray(A), number)


def test_stand_in_refuses_changes_to_memory_that_is_read_elsewhere():
    @fused
    def copy(xp, x, y):
        y[...] = x

    memory = standin.zeros(8)
    copy(memory[:4], memory[4:])
    copy(memory[:4], memory[:4])
    with pytest.raises(ValueError, match="lies over another"):
        copy(memory[:4], memory[1:5])


def launches(work):
    standin.launches.clear()
    work()
    return sum(standin.launches.values())


@pytest.mark.parametrize(
    ("name", "most"), [("relu", 2), ("sigmoid", 2), ("batchnorm, training", 16)]
)
def test_op_is_few_kernels(name, most, rng):
    forward, backward = OPS[name].functions(ops)
    inputs = [standin.asarray(a) for a in OPS[name].inputs(rng).values()]
    y, cache = forward(*inputs)
    there = launches(lambda: backward(y, cache)) + launches(lambda: forward(*inputs))
    assert there <= most


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adam"])
def test_optimizer_moves_every_parameter_in_one_kernel(name, rng):
    parameters = [layers.Parameter(standin.zeros(shape)) for shape in ((3, 4), (5,), ())]
    optimizer = getattr(optimizers, name)(parameters)
    for parameter in parameters:
        parameter.grad = standin.ones(parameter.value.shape)
    assert launches(optimizer.step) == 3


@pytest.mark.parametrize("name", ["conv2d", "conv2d, strided", "upsample_conv2d"])
def test_no_temporary_is_larger_than_a_tile(name, rng, monkeypatch):
    """What a GPU must hold besides inputs and outputs does not grow with the batch."""
    monkeypatch.setattr(threads, "GPU_TILE_BYTES", 20_000)
    forward, backward = OPS[name].functions(ops)
    x, w, b = OPS[name].inputs(rng, np.float32).values()
    x, w, b = (standin.asarray(a) for a in (np.tile(x, (6, 1, 1, 1)), w, b))
    made = []
    make = standin.ndarray.__init__
    monkeypatch.setattr(
        standin.ndarray,
        "__init__",
        lambda s, data: made.append(data.nbytes if data.base is None else 0) or make(s, data),
    )
    y, cache = forward(x, w, b)
    backward(y, cache)
    assert max(made) <= max(20_000, x.nbytes, y.nbytes)
    assert 9 * x.nbytes > 20_000  # the windows of the whole batch would be


# ------------------------------------------------------------------------------ layers, networks


def small_network(seed=1):
    """Every layer there is, in one network of about the paper's shape."""
    rng = np.random.default_rng(seed)
    down = [layers.Conv2D(1, 4, rng, stride=2), layers.BatchNorm(4), layers.ReLU()]
    up = [layers.UpsampleConv2D(4, 3, rng), layers.ReLU(), layers.Upsample2D()]
    end = [layers.GlobalAveragePool(), layers.Dropout(0.3, rng), layers.Dense(3, 4, rng)]
    return layers.Sequential(
        layers.Sequential(*down), layers.Conv2D(4, 4, rng, dilation=2), *up, *end
    )


def batches(dtype=np.float32):
    rng = np.random.default_rng(2)
    for _ in range(3):
        yield rng.normal(size=(5, 8, 6, 1)).astype(dtype), rng.integers(0, 4, 5)


def one_step(net, optimizer, x, labels):
    value, gradient = ops.categorical_cross_entropy(net.forward(x, training=True), labels)
    net.zero_gradients()
    net.backward(gradient, input_gradient=False)
    optimizer.step()
    return value


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adam"])
def test_training_on_the_device_equals_numpy(name, device):
    nets = [small_network().astype(np.float64) for _ in range(2)]  # a bias before a batch norm
    nets[1].to(device)  # has no gradient but rounding, which Adam would scale up in float32
    made = [getattr(optimizers, name)(net.parameters(), 1e-2) for net in nets]
    for x, labels in batches(np.float64):
        here = one_step(nets[0], made[0], x, labels)
        there = one_step(nets[1], made[1], device.put(x), device.put(labels))
        assert_same([there], [here], device)
    assert_same(nets[1].state_dict().values(), nets[0].state_dict().values(), device, 1e-6)
    gradients = [[p.grad for p in net.parameters()] for net in nets]
    assert_same(gradients[1], gradients[0], device, 1e-6)


def test_training_on_the_device_stays_float32(device):
    net = small_network().to(device)
    optimizer = optimizers.Adam(net.parameters())
    for x, labels in batches():
        value = one_step(net, optimizer, device.put(x), device.put(labels))
    arrays = [value, *net.state_dict().values(), *(p.grad for p in net.parameters())]
    assert {str(a.dtype) for a in [*arrays, *optimizer.state["m"]]} == {"float32"}


def test_no_step_reads_the_host():
    device = Device(standin, "stand-in")
    net = small_network().to(device)
    optimizer = optimizers.Adam(net.parameters())
    for x, labels in batches():
        x, labels = device.put(x), device.put(labels)
        standin.moves.clear()
        one_step(net, optimizer, x, labels)
        assert standin.moves["to host"] == 0
        assert standin.moves["to device"] <= 1  # dropout's mask


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adam"])
def test_float32_step_makes_no_float64_array_on_its_way(name, monkeypatch):
    device, dtypes = Device(standin, "stand-in"), set()
    net = small_network().to(device)
    optimizer = getattr(optimizers, name)(net.parameters(), 1e-3)
    x, labels = map(device.put, next(batches()))
    make = standin.ndarray.__init__
    monkeypatch.setattr(
        standin.ndarray, "__init__", lambda s, data: dtypes.add(str(data.dtype)) or make(s, data)
    )
    one_step(net, optimizer, x, labels)
    assert dtypes <= {"float32", "bool", "int64"}


@pytest.mark.parametrize("training", [True, False])
def test_frozen_network_on_the_device_equals_numpy(training, device):
    nets = small_network(), small_network().to(device)
    x = next(batches())[0]
    results = []
    for net, put in zip(nets, (np.asarray, device.put), strict=True):
        net.layers[0].freeze()
        y = net.forward(put(x), training)
        results.append([y, net.backward(y), *net.statistics().values()])
    assert_same(results[1], results[0], device, 1e-3)


def test_arrays_travel_to_the_device_and_back(device):
    here, there = small_network(1), small_network(2).to(device)
    there.load_state_dict(here.state_dict())
    assert_same(there.state_dict().values(), here.state_dict().values(), device)
    back = small_network(3)
    back.load_state_dict({name: to_numpy(value) for name, value in there.state_dict().items()})
    for name, value in back.state_dict().items():
        np.testing.assert_array_equal(value, here.state_dict()[name])


def test_optimizer_goes_on_on_the_device_from_arrays_of_the_host(device):
    here, there = small_network(), small_network().to(device)
    first = optimizers.Adam(here.parameters())
    second = optimizers.Adam(there.parameters())
    data = list(batches())
    one_step(here, first, *data[0])
    second.load_state_dict(first.state_dict())
    for name, value in second.state_dict().items():
        np.testing.assert_array_equal(to_numpy(value), first.state_dict()[name])
    assert all(array_module(a) is device.xp for a in second.state["m"])
