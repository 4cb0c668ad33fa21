"""Several ranks do what one process does: by MPI, and on threads that stand in for it, on any arrays."""

import shutil
import subprocess
import sys
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cuda_on_cpu
import numpy as np
import parallel_job
import pytest
import standin

from lessons.ranks import on_ranks
from ums import ops
from ums.backend import Device, to_numpy
from ums.finetuning import tune_alternately, tune_jointly
from ums.finetuning.loop import train_task
from ums.layers import BatchNorm, Dense, Dropout, Sequential
from ums.networks import classification_head, copy_network
from ums.ops.norm import batchnorm_backward_plain, batchnorm_forward_plain
from ums.optimizers import SGD
from ums.parallel import Part, gpu_ranks, share, spread
from ums.training import FitSettings, Training, train_step

STAND_IN = Device(standin, "stand-in")
DEVICES = {"CPU": Device(np, "CPU"), "stand-in": STAND_IN, "kernels": STAND_IN}


def difference(one, other, names=None):
    """The largest of any array."""
    return max(abs(one[name] - other[name]).max() for name in names or one)


@cache
def alone():
    """What one process makes of the training."""
    return parallel_job.train()


# ------------------------------------------------------------------------ by MPI


def mpirun(*arguments):
    """Two ranks of the training; the finished process."""
    pytest.importorskip("mpi4py")
    beside = str(Path(sys.executable).parent)  # where the wheel puts it
    if (found := shutil.which("mpirun", path=beside) or shutil.which("mpirun")) is None:
        pytest.skip("no mpirun")
    job = [sys.executable, "-m", "mpi4py", parallel_job.__file__, *map(str, arguments)]
    return subprocess.run([found, "-n", "2", *job], capture_output=True, text=True, timeout=500)


def test_two_processes_with_uneven_parts_agree_with_one_after_twenty_steps(tmp_path):
    ran = mpirun(tmp_path)
    assert ran.returncode == 0, ran.stderr
    first, second = (dict(np.load(tmp_path / f"{rank}.npz")) for rank in (0, 1))
    assert difference(first, alone()) < 1e-9
    assert difference(first, second) == 0


@pytest.mark.parametrize("how", ["killed", "raised"])
def test_rank_that_dies_takes_the_other_with_it(how, tmp_path):
    ran = mpirun(tmp_path, how)  # or the timeout
    assert ran.returncode != 0 and not list(tmp_path.iterdir())
    assert how == "killed" or "RuntimeError: no more" in ran.stderr


# ------------------------------------------------------------------------ the whole training, on threads


def test_seven_ranks_agree_with_one_process_though_two_have_no_example():
    everyone = on_ranks(7, parallel_job.train)  # on batches of five
    assert max(difference(one, alone()) for one in everyone) < 1e-9


def test_float32_agrees_to_its_rounding():
    job = partial(parallel_job.train, dtype=np.float32, optimizer=partial(SGD, momentum=0.9))
    expected = job()
    first, second = on_ranks(2, job)
    assert first["0.0.w"].dtype == np.float32
    assert 0 < difference(first, expected) < 1e-5
    assert difference(first, second) == 0


def test_without_synchronised_batch_norms_the_ranks_learn_another_network():
    first, second = on_ranks(2, partial(parallel_job.train, synchronise=False))
    means = {name for name in first if "running" in name}
    assert difference(first, alone()) > 0.1
    assert difference(first, second, first.keys() - means) == 0
    assert difference(first, second, means) > 0.01


def small_training(rng):
    return Training(FitSettings(epochs=2, batch=4), rng, progress=False)


def test_training_with_validation_agrees_with_one_process():
    def tuned(ranks=None):
        rng = np.random.default_rng(0)
        task = parallel_job.kinds(np.float64, rng)
        done = train_task(spread(task, ranks) if ranks else task, small_training(rng))
        history = {name: np.array(getattr(done.history, name)) for name in ("train", "validation")}
        return done.network.state_dict() | history

    expected = tuned()
    for one in on_ranks(3, tuned):  # the last of the batches of ten has two examples
        assert difference(one, expected) < 1e-9


@pytest.mark.parametrize("strategy", [tune_alternately, tune_jointly])
def test_strategies_that_train_the_encoder_agree_with_one_process(strategy):
    def tuned(ranks=None):
        rng = np.random.default_rng(0)
        first = replace(parallel_job.kinds(np.float64, rng), optimizer=SGD)
        shared, head = first.head
        other = classification_head(13, 2, rng, hidden=4).astype(np.float64)
        tasks = [replace(first, head=head), replace(first, name="again", head=other)]
        if ranks is not None:
            share(shared, ranks)
            tasks = [spread(task, ranks) for task in tasks]
        done = strategy(shared, tasks, small_training(rng))
        validation = {name: np.array(one.history.validation) for name, one in done.items()}
        return shared.state_dict() | validation

    expected = tuned()
    for one in on_ranks(2, tuned):
        assert difference(one, expected) < 1e-9


@pytest.mark.parametrize("kind", DEVICES)
def test_a_step_on_any_arrays_is_that_of_one_process(kind, monkeypatch):
    """The stand-in has only functions that CuPy has too, so that GPUs can do the same."""
    device = DEVICES[kind]
    if kind == "kernels":
        cuda_on_cpu.install(monkeypatch)
    x, labels = np.random.default_rng(0).normal(size=(5, 6)), np.array([0, 1, 2, 0, 1])

    def stepped(ranks=None):
        rng = np.random.default_rng(1)
        layers = Dense(6, 8, rng), BatchNorm(8), Dropout(0.5, rng), Dense(8, 3, rng)
        network, loss = Sequential(*layers).astype(np.float64), ops.categorical_cross_entropy
        place, rows = (np if ranks is None else device.xp), slice(None)
        if ranks is not None:
            network.to(device)
            share(network, ranks)
            loss, rows = partial(ranks.loss, loss), (slice(2), slice(2, 5))[ranks.rank]
        optimizer = SGD(network.trainable_parameters(), 0.1)
        train_step(network, loss, optimizer, place.asarray(x[rows]), place.asarray(labels[rows]))
        return {name: to_numpy(array) for name, array in network.state_dict().items()}

    expected = stepped()
    for arrays in on_ranks(2, stepped):
        assert difference(arrays, expected) < 1e-13


# ------------------------------------------------------------------------ its pieces


@pytest.mark.parametrize("parts", [(2, 3), (0, 5), (1, 1, 3)])
@pytest.mark.parametrize("shape", [(4,), (3, 2, 4)])
def test_synchronised_batch_norm_is_the_formula_on_the_whole_batch(parts, shape, rng):
    x, dy = 50 + rng.normal(size=(2, 5, *shape)) * [1, 2, 3, 4]
    gamma, beta, mean, var = rng.uniform(0.5, 2, size=(4, 4))
    edges = np.cumsum((0, *parts))

    def of_part(ranks):
        own = slice(*edges[ranks.rank : ranks.rank + 2])
        running = mean.copy(), var.copy()
        y, cache = ops.batchnorm_forward_part(x[own], gamma, beta, *running, ranks.total)
        dx = ops.batchnorm_grad_input(dy[own], cache)
        again, *sums = ops.batchnorm_backward(dy[own], cache)
        np.testing.assert_array_equal(dx, again)
        return y, dx, *sums, *running

    got = list(zip(*on_ranks(len(parts), of_part), strict=True))
    y, cache = batchnorm_forward_plain(x, gamma, beta, mean, var, True)  # moves mean and var
    expected = y, *batchnorm_backward_plain(dy, cache), mean, var
    whole = (
        [np.concatenate(a) for a in got[:2]] + [sum(a) for a in got[2:4]] + [a[0] for a in got[4:]]
    )
    for ours, theirs in zip(whole, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)


def test_one_value_per_channel_on_all_ranks_is_refused():
    def forward(ranks):
        x = np.ones((1 - ranks.rank, 3))
        ops.batchnorm_forward_part(x, *np.ones((4, 3)), ranks.total)

    with pytest.raises(ValueError, match="more than one value per channel, on all ranks"):
        on_ranks(2, forward)


def test_ranks_drop_what_one_process_drops():
    def dropped(x, rng, place=None):
        return [ops.dropout_forward(x, 0.5, rng, True, place)[0] for _ in range(2)]

    whole = dropped(np.ones((5, 40)), np.random.default_rng(3))
    parts = [
        dropped(np.ones((n, 40)), np.random.default_rng(3), (5, first))
        for n, first in ((2, 0), (3, 2))
    ]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


@pytest.mark.parametrize("loss", [ops.mse, ops.bce, ops.dice, ops.bce_dice])
def test_loss_and_gradient_are_those_of_the_whole_batch(loss, rng):
    z, target = rng.normal(size=(5, 3, 3, 1)), rng.integers(2, size=(5, 3, 3, 1)).astype(float)
    rows = slice(0, 2), slice(2, 2), slice(2, 5)

    def of_part(ranks):
        own = rows[ranks.rank]
        return ranks.loss(loss, z[own], target[own])

    values, gradients = zip(*on_ranks(3, of_part), strict=True)
    value, gradient = loss(z, target)
    np.testing.assert_allclose(values, value, rtol=1e-13)
    np.testing.assert_allclose(np.concatenate(gradients), gradient, rtol=1e-13, atol=1e-16)


def test_gradients_go_in_one_message_and_parameters_without_one_are_left_alone(rng):
    def stepped(ranks):
        messages = []
        counted = type(ranks)(ranks.rank, ranks.size, lambda x, y: messages.append(x.size) or
                              ranks.add(x, y), ranks.gather)  # fmt: skip
        network = Sequential(
            Dense(2, 3, np.random.default_rng(0)), Dense(3, 1, np.random.default_rng(1))
        )
        share(network, counted)
        before = network.layers[1].w.value.copy()
        first = network.layers[0]
        first.w.grad = np.full((2, 3), 1.0 + ranks.rank, np.float32)
        first.b.grad = np.ones(3, np.float32)
        SGD(network.trainable_parameters(), 1.0).step()
        SGD([network.layers[1].w]).step()
        assert (network.layers[1].w.value == before).all()
        return messages, first.w.grad, first.b.grad

    for messages, w, b in on_ranks(2, stepped):
        assert messages == [9] and (w == 3).all() and (b == 2).all()


def test_copy_of_a_network_has_the_same_ranks(rng):
    network = Sequential(Dense(2, 3, rng), BatchNorm(3))

    def copied(ranks):
        twin = copy_network(network)
        share(twin, ranks)
        return all(layer.ranks is ranks for layer in copy_network(twin).layers)

    assert all(on_ranks(1, copied))
    assert network.layers[0].ranks is None


def test_ranks_that_start_from_different_weights_are_refused():
    def start(ranks):
        share(Dense(2, 3, np.random.default_rng(ranks.rank)), ranks)

    with pytest.raises(ValueError, match="the ranks have different weights: give all of them"):
        on_ranks(2, start)


def test_ranks_that_choose_different_examples_are_refused(rng):
    examples = parallel_job.Made(np.float64, rng)

    def batch(ranks):
        return Part(examples, ranks).batch(np.array([0, 1, 2 + ranks.rank]))

    with pytest.raises(ValueError, match="the ranks have different batches"):
        on_ranks(2, batch)


@pytest.mark.parametrize("loss", [ops.known_bce, ops.known_mse])
def test_mean_over_known_targets_is_refused(loss, rng):
    task = replace(parallel_job.kinds(np.float64, rng), loss=loss)
    with pytest.raises(ValueError, match="kinds: its loss is a mean over known targets"):
        on_ranks(1, lambda ranks: spread(task, ranks))


# ------------------------------------------------------------------------ GPUs, with what they need made up


def test_each_rank_takes_the_gpu_of_its_number_on_its_computer(monkeypatch):
    calls = []
    world = SimpleNamespace(rank=5, size=8, allgather=list)
    world.Split_type = lambda kind: SimpleNamespace(rank=1) if kind == "shared" else None
    device = lambda number: SimpleNamespace(use=lambda: calls.append(number))  # noqa: E731

    def init_process_group(n_devices, rank, *, use_mpi):
        calls.append((n_devices, rank, use_mpi))
        return SimpleNamespace(all_reduce=max)

    modules = {
        "mpi4py": {},
        "mpi4py.MPI": {"COMM_WORLD": world, "COMM_TYPE_SHARED": "shared"},
        "cupy": {"cuda": SimpleNamespace(Device=device)},
        "cupyx": {},
        "cupyx.distributed": {"init_process_group": init_process_group},
    }
    for name, contents in modules.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    ranks = gpu_ranks()
    assert calls == [1, (8, 5, True)] and (ranks.rank, ranks.size, ranks.add) == (5, 8, max)


def test_the_module_needs_no_mpi_until_it_is_asked_for():
    code = "import sys; sys.modules['mpi4py'] = None; import ums.parallel; print('here')"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout == "here\n"
