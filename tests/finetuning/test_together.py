"""What alternating and joint fine-tuning have in common: a shared encoder that learns."""

import itertools
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import standin
from small_tasks import CHANNELS, CPU, abnormality, bytes_of, encoder, lungs, watched

from ums.backend import Device
from ums.data import Examples
from ums.finetuning import ByHand, GradNorm, Task, Uncertainty, tune_alternately, tune_jointly
from ums.finetuning import loop as shared
from ums.finetuning.loop import EndlessBatches, relative_loss, train_task
from ums.layers import BatchNorm, Conv2D, Dense, GlobalAveragePool, ReLU, Sequential
from ums.ops import categorical_cross_entropy
from ums.optimizers import SGD
from ums.training import FitSettings, History, Training, TrainingDiverged, mean_loss

STRATEGIES = {"alternating": tune_alternately, "joint": tune_jointly}


@pytest.fixture(params=STRATEGIES)
def tune(request):
    def tune(source, tasks, rng, criterion=None, **changes):
        chosen = FitSettings(**{"epochs": 3, "batch": 4, "learning_rate": 0.01, **changes})
        training = Training(chosen, rng, progress=False)
        return STRATEGIES[request.param](source, tasks, training, criterion=criterion)

    return tune


def two_tasks(rng):
    """Data sets of different length and image size: 5 and 2 batches of 4."""
    return [abnormality(rng, n=30, side=16), lungs(rng, n=12, side=32)]


def all_bytes(source, tasks):
    return [bytes_of(network) for network in (source, *(task.head for task in tasks))]


# ---------------------------------------------------------------------------- what moves


def test_encoder_and_all_heads_move_statistics_too(tune, rng):
    source, tasks = encoder(rng), two_tasks(rng)
    before = all_bytes(source, tasks)
    tune(source, tasks, rng)
    assert "1.running_mean" in before[0]
    for was, now in zip(before, all_bytes(source, tasks), strict=True):
        assert [name for name in was if now[name] == was[name]] == []


def test_encoder_frozen_by_another_strategy_learns_again(tune, rng):
    source, tasks = encoder(rng), two_tasks(rng)
    source.freeze()
    before = bytes_of(source)
    tune(source, tasks, rng)
    assert all(value != before[name] for name, value in bytes_of(source).items())


def test_frozen_part_of_a_head_does_not_move(tune, rng):
    source, tasks = encoder(rng), two_tasks(rng)
    last = tasks[0].head.layers[-1].freeze()
    before = bytes_of(last)
    tuned = tune(source, tasks, rng)
    assert bytes_of(last) == before
    assert tuned["abnormality"].trainable == CHANNELS * 8 + 8


def test_same_seed_gives_the_same_weights_to_the_byte(tune):
    def run(seed):
        tasks = two_tasks(np.random.default_rng(9))
        source = encoder(np.random.default_rng(9))
        tuned = tune(source, tasks, np.random.default_rng(seed))
        return all_bytes(source, tasks), [result.history.train for result in tuned.values()]

    assert run(1) == run(1)
    assert run(1)[0] != run(2)[0]


def test_one_task_alone_is_ordinary_training_to_the_byte(tune):
    def start():
        rng = np.random.default_rng(3)
        return rng, encoder(rng), lungs(rng)

    rng, source, task = start()
    tuned = tune(source, [task], rng)["lungs"]
    rng, source, task = start()
    whole = replace(task, head=Sequential(source, task.head))
    alone = train_task(whole, Training(FitSettings(3, 4, 0.01), rng, progress=False))
    assert bytes_of(tuned.network) == bytes_of(alone.network)
    assert tuned.history.train == alone.history.train
    assert tuned.history.validation == alone.history.validation
    assert tuned.history.cosines == {}


# ---------------------------------------------------------------------------- what comes back


def test_tuned_networks_share_the_encoder(tune, rng):
    source, tasks = encoder(rng), two_tasks(rng)
    tuned = tune(source, tasks, rng)
    assert list(tuned) == ["abnormality", "lungs"]
    assert [result.network.layers for result in tuned.values()] == [(source, t.head) for t in tasks]


def test_history_holds_each_tasks_own_losses(tune, rng):
    seen = {"abnormality": [], "lungs": []}
    training = [False]

    def look(name, part, chosen):
        training[0] = part == "train"

    def noting(task):
        def loss(y, target):
            value, gradient = task.loss(y, target)
            if training[0]:
                seen[task.name].append(float(value))
            return value, gradient

        return watched(replace(task, loss=loss), look)

    tasks = [noting(task) for task in two_tasks(rng)]
    tuned = tune(encoder(rng), tasks, rng, epochs=1)
    for task in tasks:
        history = tuned[task.name].history
        assert history.train == [pytest.approx(np.mean(seen[task.name]), rel=1e-12)]
        assert history.validation == [
            mean_loss(tuned[task.name].network, task.loss, task.validation, 4, CPU)
        ]
    assert seen["abnormality"] and seen["lungs"]


def test_costs_of_the_tasks_add_up(tune, rng):
    source, start = encoder(rng), time.perf_counter()
    tuned = tune(source, two_tasks(rng), rng)
    wall = time.perf_counter() - start
    seconds = [result.seconds for result in tuned.values()]
    assert seconds[0] == seconds[1] and 0.5 * wall < sum(seconds) <= wall
    for result in tuned.values():
        assert result.seconds >= sum(result.history.seconds) > 0
    assert tuned["abnormality"].trainable == (CHANNELS * 8 + 8) + (8 * 2 + 2)
    expected = sum(parameter.value.size for parameter in source.parameters())
    assert [result.shared for result in tuned.values()] == [expected] * 2


def test_both_tasks_learn_what_they_are_shown(tune, rng):
    tasks = two_tasks(rng)
    for part in (tasks[0].train, tasks[0].validation):
        part.inputs[:] = 100
        part.inputs[part.targets == 1, :, 8:] = 220
    tasks[1].train.inputs[:] = np.where(np.arange(32) < 16, 30, 220)
    tasks[1].train.targets[:] = np.arange(32) >= 16
    tuned = tune(encoder(rng), tasks, rng, epochs=30, patience=30, learning_rate=0.005)
    for result in tuned.values():
        kept = result.history.validation[result.history.best_epoch]
        assert kept < 0.6 * result.history.validation[0]


# ---------------------------------------------------------------------------- one decision


def test_relative_loss_worked_by_hand():
    first, second = History(validation=[8.0, 1.0, 2.0]), History(validation=[0.5, 0.1, 0.25])
    assert relative_loss([first, second]) == (2 / 8 + 0.25 / 0.5) / 2


def test_losses_of_any_size_count_alike_in_the_decision():
    def decide(scale):
        return relative_loss([History(validation=[2.0 * scale, scale]), History(validation=[1, 3])])

    assert decide(1) == decide(1000) == 1.75


def test_loss_of_zero_in_the_first_epoch_is_no_divergence():
    assert np.isfinite(relative_loss([History(validation=[0.0, 10.0])]))


def test_best_epoch_of_all_tasks_is_kept_and_every_network_restored(tune, rng, monkeypatch):
    told = {"abnormality": [4.0, 2.0, 1.0, 4.0, 4.0], "lungs": [0.1, 0.08, 0.3, 0.05, 0.1]}
    source, tasks, seen = encoder(rng), two_tasks(rng), []
    left = itertools.chain.from_iterable(zip(*told.values(), strict=True))

    def scripted(*_):
        seen.append(all_bytes(source, tasks))
        return next(left)

    monkeypatch.setattr(shared, "mean_loss", scripted)
    tuned = tune(source, tasks, rng, epochs=5, patience=2)
    for name, result in tuned.items():  # by itself the first would keep epoch 2
        assert result.history.best_epoch == 1
        assert result.history.criterion == pytest.approx([1, 0.65, 1.625, 0.75])
        assert result.history.validation == told[name][:4]
    assert all_bytes(source, tasks) == seen[2] == seen[3]
    assert not any(was == now for was, now in zip(seen[2], seen[6], strict=True))


def test_epoch_is_kept_by_the_criterion_that_is_given(tune, rng, monkeypatch):
    told = itertools.chain.from_iterable([(4.0, 0.1), (2.0, 0.2), (1.0, 0.3), (1.5, 0.4)])
    monkeypatch.setattr(shared, "mean_loss", lambda *_: next(told))
    tuned = tune(encoder(rng), two_tasks(rng), rng, epochs=4, criterion=of_the_first)
    for result in tuned.values():
        assert result.history.best_epoch == 2
        assert result.history.criterion == [4, 2, 1, 1.5]


def of_the_first(histories):
    return histories[0].validation[-1]


def test_plateau_of_the_decision_lowers_the_rate_of_every_optimizer(tune, rng, monkeypatch):
    made = []

    def optimizer(parameters, learning_rate):
        made.append(SGD(parameters, learning_rate))
        return made[-1]

    tasks = [replace(task, optimizer=optimizer) for task in two_tasks(rng)]
    monkeypatch.setattr(shared, "mean_loss", lambda *_: 1.0)
    tuned = tune(encoder(rng), tasks, rng, learning_rate=0.1, plateau_patience=2)
    assert [result.history.learning_rate for result in tuned.values()] == [[0.1] * 3] * 2
    assert [o.learning_rate for o in made] == [0.05] * len(made) and made


# ---------------------------------------------------------------------------- divergence


@pytest.mark.parametrize("sick", ["abnormality", "lungs"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_diverging_task_is_named_and_every_network_restored(tune, sick, bad, rng):
    source, tasks = encoder(rng), two_tasks(rng)
    before = all_bytes(source, tasks)

    def poisoned(task):
        def loss(y, target):
            value, gradient = task.loss(y, target)
            return value * np.float32(bad), gradient * np.float32("nan")

        return replace(task, loss=loss)

    tasks = [poisoned(task) if task.name == sick else task for task in tasks]
    wanted = rf"tuning: the training loss of {sick} is {bad} in batch \d+ of epoch 1 "
    with pytest.raises(TrainingDiverged, match=wanted):
        tune(source, tasks, rng)
    assert all_bytes(source, tasks) == before


@pytest.mark.parametrize("sick", [0, 1])
def test_validation_loss_that_is_not_finite_names_its_task(tune, sick, rng, monkeypatch):
    source, tasks = encoder(rng), two_tasks(rng)
    told = iter([1.0, 1.0, *[float("nan") if i == sick else 1.0 for i in range(2)]])
    monkeypatch.setattr(shared, "mean_loss", lambda *_: next(told))
    wanted = (
        f"the validation loss of {tasks[sick].name} is nan of epoch 2 .* of epoch 1 were restored"
    )
    with pytest.raises(TrainingDiverged, match=wanted):
        tune(source, tasks, rng)


# ---------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda rng: [], "there is no task to tune"),
        (lambda rng: [lungs(rng), lungs(rng)], "two tasks are called 'lungs'"),
        (lambda rng: [lungs(rng), abnormality(rng, n=4)], "abnormality: 2 .* fill a batch of 4"),
    ],
)
def test_tasks_that_cannot_be_tuned_together_are_refused(tune, make, message, rng):
    source = encoder(rng)
    before = bytes_of(source)
    with pytest.raises(ValueError, match=message):
        tune(source, make(rng), rng)
    assert bytes_of(source) == before


def test_two_tasks_with_one_head_are_refused(tune, rng):
    first = lungs(rng)
    with pytest.raises(ValueError, match="lungs and hearts have one head"):
        tune(encoder(rng), [first, replace(first, name="hearts")], rng)


def test_task_is_shown_by_its_name_and_numbers(rng):
    assert repr(lungs(rng, n=12)) == "Task('lungs', 8 train, 4 validation)"


# ---------------------------------------------------------------------------- equal lengths


def test_epoch_of_so_many_steps_shows_each_task_as_many_batches(tune, rng):
    seen = []
    tasks = [watched(task, lambda *what: seen.append(what[:2])) for task in two_tasks(rng)]
    tune(encoder(rng), tasks, rng, epochs=2, steps=7)
    assert seen.count(("lungs", "train")) == seen.count(("abnormality", "train")) == 14


def test_task_tuned_alone_has_epochs_of_so_many_steps_too(rng):
    seen, task = [], lungs(rng, n=12)
    whole = replace(task, head=Sequential(encoder(rng), task.head))
    fit = FitSettings(epochs=2, batch=4, steps=7)
    whole = watched(whole, lambda _, part, chosen: seen.append(part))
    train_task(whole, Training(fit, rng, progress=False))
    assert seen.count("train") == 14


def test_each_task_also_keeps_its_network_of_its_own_best_epoch(tune, rng):
    source, tasks = encoder(rng), two_tasks(rng)
    losses = {"abnormality": iter([3.0, 1.0, 2.0]), "lungs": iter([1.0, 2.0, 3.0])}
    seen = {name: [] for name in losses}

    def validation(network, loss, examples, *_):
        task = tasks[0] if examples is tasks[0].validation else tasks[1]
        seen[task.name].append(bytes_of(network))
        return next(losses[task.name])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(shared, "mean_loss", validation)
        tuned = tune(source, tasks, rng, epochs=3)
    assert bytes_of(tuned["abnormality"].own_best) == seen["abnormality"][1]
    assert bytes_of(tuned["lungs"].own_best) == seen["lungs"][0]


# ---------------------------------------------------------------------------- batches


def test_endless_batches_show_every_example_once_in_each_pass_in_new_orders(rng):
    images = np.arange(10, dtype=np.float32)[:, None]
    examples = Examples(images, np.arange(10), np.arange(10), prepare=np.asarray)
    batches = EndlessBatches(examples, Training(FitSettings(batch=4), rng))
    passes = [[next(batches) for _ in range(3)] for _ in range(3)]
    orders = [[int(t) for _, targets in one for t in targets] for one in passes]
    assert all(sorted(order) == list(range(10)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert all((x[:, 0] == t).all() for one in passes for x, t in one)


# ---------------------------------------------------------------------------- on a device


def classification(rng, name, device, n):
    """n images to learn from, 4 to validate with, and a small head on ``device``."""
    images, labels = rng.integers(0, 256, (n, 8, 8), dtype=np.uint8), rng.integers(2, size=n)
    parts = (Examples(images, labels, np.arange(size)) for size in (n, 4))
    head = Sequential(GlobalAveragePool(), Dense(3, 2, rng)).to(device)
    return Task(name, head, categorical_cross_entropy, *parts)


@pytest.mark.parametrize(
    "strategy",
    [
        tune_alternately,
        tune_jointly,
        partial(tune_jointly, weights=ByHand(1, 2)),
        partial(tune_jointly, weights=Uncertainty()),
        partial(tune_jointly, weights=GradNorm()),
    ],
)
def test_no_step_reads_the_host(strategy):
    device, reads = Device(standin, "stand-in"), []
    for n in (8, 24):  # 2 batches and 6 of each task
        rng = np.random.default_rng(0)
        source = Sequential(Conv2D(1, 3, rng, stride=2), BatchNorm(3), ReLU()).to(device)
        tasks = [classification(rng, name, device, n) for name in ("a", "b")]
        standin.moves.clear()
        strategy(source, tasks, Training(FitSettings(1, 4), rng, device, progress=False))
        reads.append(standin.moves["to host"])
    assert reads[0] == reads[1] > 0
