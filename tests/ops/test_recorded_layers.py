"""What layers compute on a GPU when their kernels are recorded is what they compute one by one."""

import copy
import gc
import weakref

import cuda_on_cpu
import numpy as np
import pytest
import standin
from test_cupy import GPU, STAND_IN, small_network

from ums import ops
from ums.backend import to_numpy
from ums.layers import BatchNorm, Conv2D, Dense, Dropout, ReLU, Sequential
from ums.ops.fast import graphs
from ums.optimizers import Adam
from ums.parallel import Ranks, share

LEARN = {"training": True}
DEVICES = {"kernels": STAND_IN} | ({"cupy": GPU} if GPU else {})


@pytest.fixture(params=DEVICES)
def device(request, monkeypatch):
    if request.param == "kernels":
        cuda_on_cpu.install(monkeypatch)
    return DEVICES[request.param]


@pytest.fixture
def recorded(monkeypatch):
    """The shapes of what was recorded, as it goes."""
    shapes, make = [], graphs.Record.__init__
    monkeypatch.setattr(
        graphs.Record,
        "__init__",
        lambda self, work, x, pool: make(self, work, x, pool) or shapes.append(x.shape),
    )
    return shapes


class OneByOne(Sequential):
    """The same layers without any record: what is right."""

    def _steps(self, x):
        return self.layers


def both(device, *built):
    """The layers as a network, and copies of them as one that records nothing."""
    network = Sequential(*built).to(device)
    return network, OneByOne(*copy.deepcopy(network).layers)


def convolutions(seed=0):
    rng = np.random.default_rng(seed)
    down = [Conv2D(1, 4, rng, stride=2), BatchNorm(4), ReLU()]
    return [*down, Conv2D(4, 3, rng), ReLU(), Conv2D(3, 2, rng, kernel=1)]


def images(device, n=2, seed=0, side=4):
    x = np.random.default_rng(seed).normal(size=(n, side, side, 1))
    return device.put(x.astype(np.float32))


def assert_same(got, expected):
    for a, e in zip(got, expected, strict=True):
        a, e = to_numpy(a), to_numpy(e)
        np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-6 if GPU else 0)


def gradients(network):
    return [p.grad for p in network.trainable_parameters()]


def test_training_is_the_same_and_records_each_pass_once(device, recorded):
    networks = both(device, *convolutions())
    optimizers = [Adam(network.parameters()) for network in networks]
    for i in range(6):
        x, losses = images(device, seed=i), []
        for network, optimizer in zip(networks, optimizers, strict=True):
            network.zero_gradients()
            value, dy = ops.mse(network.forward(x, **LEARN), device.put(np.ones((2, 2, 2, 2), "f")))
            network.backward(dy, input_gradient=False)
            optimizer.step()
            losses.append(value)
        assert_same(losses[:1], losses[1:])
    assert_same(*(network.state_dict().values() for network in networks))
    assert recorded == [(2, 4, 4, 1), (2, 2, 2, 2)]


def test_a_recorded_pass_starts_one_graph_each_way(device):
    network, _ = both(device, *convolutions())
    for i in range(4):
        if device is STAND_IN:
            standin.Graph.launched = 0
            standin.moves.clear()
        y = network.forward(images(device, seed=i), **LEARN)
        network.backward(y)
    if device is STAND_IN:
        assert standin.Graph.launched == 2
        assert standin.moves["to host"] == 0


def test_gradients_of_several_passes_are_added(device):
    networks = both(device, *convolutions())
    for network in networks:
        for i in range(5):
            y = network.forward(images(device, seed=i), **LEARN)
            network.backward(y)
    assert_same(*map(gradients, networks))


def test_what_a_pass_returned_is_not_written_over(device):
    networks = both(device, *convolutions())
    kept = []
    for network in networks:
        kept.append([])
        for i in range(5):
            network.zero_gradients()
            y = network.forward(images(device, seed=i), **LEARN)
            kept[-1] += [y, network.backward(y), *gradients(network)]
    assert_same(*kept)


def test_input_gradient_is_left_out_where_it_is_not_wanted(device):
    networks = both(device, *convolutions())
    for i in range(6):
        wanted, found = i % 2 == 0, []
        for network in networks:
            y = network.forward(images(device, seed=i), **LEARN)
            found.append(network.backward(y, input_gradient=wanted))
        assert all((dx is not None) == wanted for dx in found)
        if wanted:
            assert_same(found[:1], found[1:])
    assert_same(*map(gradients, networks))


def change(network, what):
    if what == "freeze a batch norm":
        network[1].freeze()
    elif what == "freeze the first layers":
        network[:3].freeze()
    elif what == "another momentum":
        network[1].momentum = 0.5
    elif what == "a parameter replaced":
        network[0].w.value = network[0].w.value * 2
    elif what == "weights loaded":
        network.load_state_dict({k: to_numpy(v) * 0.5 for k, v in network.state_dict().items()})
    elif what == "a layer replaced":
        network.layers = (*network.layers[:-1], ReLU())
    elif what == "float64":
        network.astype(np.float64)


@pytest.mark.parametrize(
    "what",
    ["freeze a batch norm", "freeze the first layers", "another momentum", "a parameter replaced",
     "weights loaded", "a layer replaced", "float64"],
)  # fmt: skip
def test_what_changes_between_passes_counts(what, device):
    networks = both(device, *convolutions())
    for i in range(6):
        outputs = []
        for network in networks:
            if i == 3:
                change(network, what)
            x = images(device, seed=i).astype(network[0].w.value.dtype)
            network.zero_gradients()
            outputs.append(network.forward(x, **LEARN))
            network.backward(outputs[-1])
        assert_same(outputs[:1], outputs[1:])
        assert_same(*map(gradients, networks))
    assert_same(*(network.state_dict().values() for network in networks))


def test_layers_that_change_each_time_are_not_recorded_in_vain(device, recorded):
    network, expected = both(device, *convolutions())
    for i in range(5):
        x, outputs = images(device, seed=i), []
        for one in (network, expected):
            outputs.append(one.forward(x, **LEARN))
            one.backward(outputs[-1])
            one[0].w.value = one[0].w.value - 0.1 * one[0].w.grad
        assert_same(outputs[:1], outputs[1:])
    assert recorded == []


def test_frozen_between_forward_and_backward_is_frozen(device):
    networks = both(device, *convolutions())
    for i in range(4):
        for network in networks:
            network.freeze(False)
            y = network.forward(images(device, seed=i), **LEARN)
            network[0].freeze()
            network.backward(y)
        assert networks[0][0].w.grad is None
        assert_same(*map(gradients, networks))


def test_dropout_draws_anew_each_time(device):
    rng = np.random.default_rng(0)
    networks = both(device, Dense(6, 5, rng), ReLU(), Dropout(0.5, rng), Dense(5, 2, rng))
    x, outputs = device.put(np.ones((3, 6), np.float32)), []
    for network in networks:
        outputs.append([network.forward(x, **LEARN) for _ in range(5)])
    assert_same(*outputs)
    assert (to_numpy(outputs[0][3]) != to_numpy(outputs[0][4])).any()


class Counting(ReLU):
    """A layer of one's own, which does something that no kernel does."""

    count = 0

    def forward(self, x, training=False, keep=True):
        self.count += 1
        return super().forward(x, training, keep)


def test_layer_of_ones_own_is_called_each_time(device):
    rng = np.random.default_rng(0)
    network = Sequential(Dense(2, 3, rng), Counting(), Dense(3, 1, rng)).to(device)
    for _ in range(5):
        network.forward(device.put(np.ones((4, 2), np.float32)))
    assert network[1].count == 5


def test_passes_of_other_shapes_and_kinds_do_not_mix(device):
    networks, rng = both(device, *convolutions()), np.random.default_rng(0)
    for _ in range(14):
        n, training, seed = int(rng.integers(1, 3)), bool(rng.integers(2)), int(rng.integers(99))
        outputs = []
        for network in networks:
            network.forward(images(device, n, seed + 1), training, keep=False)
            y = network.forward(images(device, n, seed), training)
            outputs += [y, network.backward(y)]
        assert_same(outputs[:2], outputs[2:])
    assert_same(*map(gradients, networks))
    (chain,) = graphs._chains[networks[0]][1]
    assert len(chain.passes) <= graphs.MOST_PASSES


def test_a_layer_used_by_itself_is_another_pass(device):
    networks = both(device, *convolutions())
    for i in range(5):
        for network in networks:
            y = network.forward(images(device, seed=i), **LEARN)
            network[0].forward(images(device, seed=i + 1), **LEARN)
            network.backward(y)
    assert_same(*map(gradients, networks))


@pytest.mark.parametrize("keep", [True, False])
def test_backward_needs_a_forward_pass_that_was_kept(keep, device):
    network, _ = both(device, *convolutions())
    for i in range(4):
        y = network.forward(images(device, seed=i), keep=keep)
        if keep:
            network.backward(y)
        with pytest.raises(RuntimeError, match="needs a forward pass"):
            network.backward(y)


def test_empty_batch_is_computed(device):
    network, expected = both(device, *convolutions())
    for _ in range(3):
        x = images(device, n=0)
        assert network.forward(x).shape == expected.forward(x).shape == (0, 2, 2, 2)


def test_shared_layers_are_recorded_for_each_network_and_stay_right(device):
    """An encoder and two heads, whose losses are added, as in joint fine-tuning."""
    rng = np.random.default_rng(0)
    encoder, expected = both(device, *convolutions())
    heads = [both(device, Conv2D(2, 1, rng), ReLU()) for _ in range(2)]
    for i in range(3):
        for shared, k in ((encoder, 0), (expected, 1)):
            for head in heads:
                y = shared.forward(images(device, seed=i), **LEARN)
                z = head[k].forward(y, **LEARN)
                shared.backward(head[k].backward(z), input_gradient=False)
    assert_same(gradients(encoder), gradients(expected))


def test_copy_of_a_network_that_was_recorded_is_another_network(device):
    network = small_network().to(device)
    x = images(device, side=8)
    for _ in range(3):
        network.forward(x)
    other = copy.deepcopy(network)
    other.leaves()[0].w.value *= 0
    before = to_numpy(network.forward(x))
    for _ in range(3):
        other.forward(x)
    assert (to_numpy(network.forward(x)) == before).all()
    assert (to_numpy(other.forward(x)) != before).any()


def test_records_go_with_their_network(device):
    network, _ = both(device, *convolutions())
    for _ in range(3):
        network.backward(network.forward(images(device), **LEARN))
    chain = weakref.ref(graphs._chains[network][1][0])
    del network
    gc.collect()
    assert chain() is None


def test_what_reads_the_host_is_computed_one_by_one_with_a_warning(device, monkeypatch):
    network, expected = both(device, *convolutions())
    usual = ops.conv2d_forward

    def reading(x, *others):
        y, cache = usual(x, *others)
        assert float(abs(y).sum()) >= 0
        return y, cache

    monkeypatch.setattr(ops, "conv2d_forward", reading)
    for i in range(4):
        x = images(device, seed=i)
        if i == 1:
            with pytest.warns(RuntimeWarning, match="one kernel at a time, which is slower"):
                y = network.forward(x, **LEARN)
        else:
            y = network.forward(x, **LEARN)
        assert_same([y, network.backward(y)], [expected.forward(x, **LEARN), expected.backward(y)])


def test_layers_that_share_their_batch_are_not_recorded(device, recorded):
    """Their processes talk to each other in each pass."""
    sums = []
    ranks = Ranks(0, 1, lambda x, out: sums.append(1) or out.__setitem__(..., x), lambda n: [n])
    network, expected = both(device, *convolutions())
    share(network, ranks)
    for i in range(4):
        x = images(device, seed=i)
        assert_same([network.forward(x, **LEARN)], [expected.forward(x, **LEARN)])
    assert recorded == [] and len(sums) == 8  # two for each pass of the batch norm


def test_network_on_the_cpu_records_nothing(recorded):
    network = Sequential(*convolutions())
    for _ in range(3):
        network.backward(network.forward(np.ones((2, 6, 6, 1), np.float32), **LEARN))
    assert recorded == [] and network not in graphs._chains
