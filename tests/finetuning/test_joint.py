"""Joint fine-tuning: one gradient for all tasks, and how far theirs agree."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from small_tasks import abnormality, bytes_of, encoder, lungs, watched

from ums.finetuning import ByHand, Equal, GradNorm, Task, Uncertainty, tune_jointly
from ums.finetuning.joint import add_gradients, norms_and_cosines
from ums.layers import BatchNorm, Conv2D, Dense, GlobalAveragePool, ReLU, Sequential
from ums.networks import copy_network
from ums.ops import categorical_cross_entropy, mse
from ums.optimizers import SGD, RMSprop
from ums.training import FitSettings, Training, train_step

SETTINGS = FitSettings(epochs=2, batch=4, learning_rate=0.01)


def two_tasks(rng, **changes):
    """Data sets of different length and image size: 5 and 2 batches of 4."""
    return [abnormality(rng, 30, 16, **changes), lungs(rng, 12, 32, **changes)]


def tune(source, tasks, rng, settings=SETTINGS, **changes):
    return tune_jointly(source, tasks, Training(settings, rng, progress=False), **changes)


# ---------------------------------------------------------------------------- the gradient


def tiny(rng):
    """An encoder, a classification and a regression on it, with a batch each, all in float64."""
    source = Sequential(Conv2D(1, 3, rng, stride=2), BatchNorm(3), ReLU())
    heads = Sequential(GlobalAveragePool(), Dense(3, 2, rng)), Conv2D(3, 1, rng, kernel=1)
    for network in (source, *heads):
        network.astype(np.float64)
        for parameter in network.parameters():
            parameter.value += rng.uniform(-0.3, 0.3, parameter.value.shape)
    tasks = [
        Task("label", heads[0], categorical_cross_entropy, None, None),
        Task("map", heads[1], mse, None, None),
    ]
    batches = [
        (rng.normal(size=(5, 6, 6, 1)), rng.integers(2, size=5)),
        (rng.normal(size=(3, 8, 4, 1)), rng.normal(size=(3, 4, 2, 1))),
    ]
    return source, tasks, batches


WEIGHTS = np.array([0.75, 2], np.float32)


def gradients(*networks):
    return [parameter.grad for network in networks for parameter in network.parameters()]


@pytest.mark.parametrize("weights", [WEIGHTS, np.ones(2, np.float32)])
def test_joint_gradient_is_the_weighted_sum_of_the_tasks_own(weights, rng):
    source, tasks, batches = tiny(rng)
    expected, alone = 0, []
    for task, (x, target), w in zip(tasks, batches, weights, strict=True):
        network = copy_network(Sequential(source, task.head))
        value = train_step(network, task.loss, SGD([], 1.0), x, target)
        of_encoder = np.concatenate([g.ravel() for g in gradients(network.layers[0])])
        alone.append((value, w * of_encoder, [w * g for g in gradients(network.layers[1])]))
        expected = expected + w * of_encoder
    losses, summands = add_gradients(source, tasks, batches, weights)
    found = np.concatenate([g.ravel() for g in gradients(source)])
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    for i, (value, of_encoder, of_head) in enumerate(alone):
        assert losses[i] == value
        np.testing.assert_allclose(summands[i], of_encoder, rtol=1e-12, atol=1e-14)
        for g, e in zip(gradients(tasks[i].head), of_head, strict=True):
            np.testing.assert_allclose(g, e, rtol=1e-12, atol=1e-14)


def test_joint_gradient_equals_pytorchs_of_the_weighted_sum(rng):
    torch = pytest.importorskip("torch")
    source, tasks, batches = tiny(rng)
    parts = source, tasks[0].head, tasks[1].head
    leaves = [
        torch.tensor(p.value.copy(), requires_grad=True) for n in parts for p in n.parameters()
    ]
    w, b, gamma, beta, w1, b1, w2, b2 = leaves

    def encode(x):
        x = torch.tensor(x).permute(0, 3, 1, 2)
        x = torch.nn.functional.conv2d(x, w.permute(3, 2, 0, 1), b, stride=2, padding=1)
        return torch.relu(
            torch.nn.functional.batch_norm(x, None, None, gamma, beta, training=True, eps=1e-5)
        )

    (x1, labels), (x2, target) = batches
    logits = encode(x1).mean(dim=(2, 3)) @ w1 + b1
    image = torch.nn.functional.conv2d(encode(x2), w2.permute(3, 2, 0, 1), b2)
    first = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    second = torch.nn.functional.mse_loss(image, torch.tensor(target).permute(0, 3, 1, 2))
    (0.75 * first + 2 * second).backward()
    losses, _ = add_gradients(source, tasks, batches, WEIGHTS)
    np.testing.assert_allclose(losses, [first.item(), second.item()], rtol=1e-10)
    for found, leaf in zip(gradients(*parts), leaves, strict=True):
        np.testing.assert_allclose(found, leaf.grad.numpy(), rtol=1e-8, atol=1e-12)


def test_gradients_of_the_step_before_are_forgotten(rng):
    source, tasks, batches = tiny(rng)
    add_gradients(source, tasks, batches, WEIGHTS)
    parts = source, tasks[0].head, tasks[1].head
    first = [g.copy() for g in gradients(*parts)]
    add_gradients(source, tasks, batches, WEIGHTS)
    assert all((g == e).all() for g, e in zip(gradients(*parts), first, strict=True))


def test_running_statistics_see_each_tasks_batch_by_itself(rng):
    source, tasks, batches = tiny(rng)
    conv, norm, _ = copy_network(source).layers
    mean = 0
    for x, _ in batches:
        mean = 0.9 * mean + 0.1 * conv.forward(x).mean(axis=(0, 1, 2))
    add_gradients(source, tasks, batches, WEIGHTS)
    assert not norm.running_mean.any()
    np.testing.assert_allclose(source.layers[1].running_mean, mean, rtol=1e-10)


# ---------------------------------------------------------------------------- steps


def test_step_takes_one_batch_of_every_task_and_short_data_go_round_again(rng):
    seen = []
    tasks = [watched(task, lambda *what: seen.append(what)) for task in two_tasks(rng)]
    tune(encoder(rng), tasks, rng)
    trained = [(name, chosen.tolist()) for name, part, chosen in seen if part == "train"]
    assert [name for name, _ in trained] == ["abnormality", "lungs"] * 10
    short = [chosen for name, chosen in trained if name == "lungs"]  # 2 epochs of 5 steps
    passes = [a + b for a, b in zip(short[::2], short[1::2], strict=True)]
    assert all(sorted(one) == list(range(8)) for one in passes)
    assert len({tuple(one) for one in passes}) == 5
    long = [number for name, chosen in trained if name == "abnormality" for number in chosen]
    assert sorted(long[:20]) == sorted(long[20:]) == list(range(20))


def test_one_update_moves_encoder_and_heads_after_all_tasks_were_seen(rng):
    source, seen = encoder(rng), []
    tasks = [
        watched(task, lambda *what: seen.append([p.value.copy() for p in source.parameters()]))
        for task in two_tasks(rng)
    ]
    tune(source, tasks, rng)
    still = [
        all((a == b).all() for a, b in zip(before, after, strict=True))
        for before, after in pairwise(seen)
    ]
    assert still[:9] == [True, False] * 4 + [True]  # moved after every second batch


def one_optimizer(made):
    def optimizer(parameters, learning_rate):
        made.append(SGD(parameters, learning_rate))
        return made[-1]

    return optimizer


def test_one_optimizer_moves_every_parameter_once_in_a_step(rng):
    made, source = [], encoder(rng)
    tasks = two_tasks(rng, optimizer=one_optimizer(made))
    tune(source, tasks, rng)
    (optimizer,) = made
    networks = source, *(task.head for task in tasks)
    expected = [id(p) for network in networks for p in network.parameters()]
    assert [id(parameter) for parameter in optimizer.parameters] == expected
    assert set(optimizer.steps) == {2 * 5}


def test_tasks_that_name_different_optimizers_are_refused(rng):
    source = encoder(rng)
    before = bytes_of(source)
    tasks = [abnormality(rng, optimizer=SGD), lungs(rng, optimizer=RMSprop)]
    wanted = "one optimizer for all tasks; those of abnormality and lungs differ"
    with pytest.raises(ValueError, match=wanted):
        tune(source, tasks, rng)
    assert bytes_of(source) == before


def test_update_follows_the_weighted_gradient(rng):
    source, task = encoder(rng), lungs(rng, n=6, optimizer=SGD)  # 4 to learn from: one batch
    twin = copy_network(Sequential(source, task.head))
    tune(source, [task], rng, FitSettings(1, 4, 0.1), weights=ByHand(3.0))
    x, target = task.train.batch(np.arange(4))
    train_step(twin, task.loss, SGD(twin.parameters(), 0.3), x, target)
    found = Sequential(source, task.head).state_dict()
    for name, value in twin.state_dict().items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5, err_msg=name)


# ---------------------------------------------------------------------------- weights


def test_equal_weights_are_the_default_and_the_plain_sum():
    def run(**weights):
        rng = np.random.default_rng(5)
        source, tasks = encoder(rng), two_tasks(rng)
        tuned = tune(source, tasks, rng, **weights)
        return [bytes_of(result.network) for result in tuned.values()]

    assert run() == run(weights=Equal()) == run(weights=ByHand(1, 1)) != run(weights=ByHand(1, 2))


def test_weights_for_another_number_of_tasks_are_refused_before_anything_moves(rng):
    source = encoder(rng).freeze()
    with pytest.raises(ValueError, match="there are 3 weights for 2 tasks"):
        tune(source, two_tasks(rng), rng, weights=ByHand(1, 2, 3))
    assert source.frozen


def test_history_holds_the_weights_of_each_epoch_and_losses_without_them(rng):
    def run(*weights):
        rng = np.random.default_rng(5)
        source, tasks = encoder(rng), two_tasks(rng, optimizer=SGD)
        chosen = FitSettings(2, 4, 1e-12)  # so slow that nothing moves
        return [
            r.history for r in tune(source, tasks, rng, chosen, weights=ByHand(*weights)).values()
        ]

    heavy, plain = run(2, 0.5), run(1, 1)
    assert [history.weight for history in heavy] == [[2, 2], [0.5, 0.5]]
    for one, other in zip(heavy, plain, strict=True):
        np.testing.assert_allclose(one.train, other.train, rtol=1e-6)


def test_learned_weights_hear_of_losses_without_weights_and_norms_with_them(rng):
    heard = []

    class Told(ByHand):
        def update(self, losses, norms):
            heard.append((losses.copy(), norms.copy()))

    for weights in ((1, 1), (2, 0.5)):
        rng = np.random.default_rng(5)
        source, tasks = encoder(rng), two_tasks(rng)
        tune(source, tasks, rng, FitSettings(1, 4, 0.01), weights=Told(*weights))
    (losses, norms), (same, scaled) = heard[0], heard[5]
    assert losses.tolist() == same.tolist() and (losses > 0).all()
    np.testing.assert_allclose(scaled, norms * [2, 0.5], rtol=1e-5)


@pytest.mark.parametrize("make", [Uncertainty, GradNorm])
def test_learned_weights_move_in_the_course_of_tuning(make, rng):
    tuned = tune(encoder(rng), two_tasks(rng), rng, weights=make())
    weights = np.array([result.history.weight for result in tuned.values()])
    assert weights.shape == (2, 2) and (weights > 0).all()
    assert (weights[:, 0] != weights[:, 1]).all() and (weights != 1).all()


# ---------------------------------------------------------------------------- agreement


def test_norms_and_cosines_worked_by_hand():
    norms, cosines = norms_and_cosines(
        np.array([[3.0, 4, 0], [-6, -8, 0], [0, 0, 2], [0, 0, 0], [0, 1, 0]])
    )
    assert norms.tolist() == [5, 10, 2, 0, 1]
    expected = [
        [1, -1, 0, 0, 0.8],
        [-1, 1, 0, 0, -0.8],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0],
        [0.8, -0.8, 0, 0, 1],
    ]
    np.testing.assert_allclose(cosines, expected, atol=1e-15)


def test_history_holds_the_cosine_of_tasks_that_agree_or_work_against_each_other(rng):
    first = abnormality(rng, n=6)  # 4 to learn from, in one batch: its order does not matter
    first.head.layers[-2].rate = 0.0

    def against(y, target):
        value, gradient = first.loss(y, target)
        return value, -5 * gradient

    def twin(name, loss):
        return replace(first, name=name, head=copy_network(first.head), loss=loss)

    tasks = [first, twin("same", first.loss), twin("opposite", against)]
    tuned = tune(encoder(rng), tasks, rng, FitSettings(1, 4, 0.01))
    cosines = {name: result.history.cosines for name, result in tuned.items()}
    assert cosines["abnormality"] == {
        "same": [pytest.approx(1, abs=1e-3)],
        "opposite": [pytest.approx(-1, abs=1e-3)],
    }
    assert cosines["same"]["opposite"] == cosines["opposite"]["same"]


def test_cosines_are_kept_for_every_epoch_between_minus_one_and_one(rng):
    tuned = tune(encoder(rng), two_tasks(rng), rng)
    (first,), (second,) = (result.history.cosines.items() for result in tuned.values())
    assert first[0] == "lungs" and second[0] == "abnormality" and first[1] == second[1]
    assert len(first[1]) == 2 and all(0 < abs(c) < 1 for c in first[1])
