"""The training loop: what is kept, when it stops, what it says when it diverges."""

import errno
import json
import os
from itertools import islice

import numpy as np
import pytest

from ums.backend import Device
from ums.checkpoint import Checkpoint
from ums.data import Examples
from ums.finetuning import Task, train_task
from ums.finetuning.loop import EndlessBatches
from ums.layers import (
    BatchNorm,
    Conv2D,
    Dense,
    Dropout,
    GlobalAveragePool,
    Parameter,
    ReLU,
    Sequential,
)
from ums.ops import bce, categorical_cross_entropy, mse
from ums.optimizers import SGD, Adam
from ums.training import (
    Epoch,
    FitSettings,
    History,
    Training,
    TrainingDiverged,
    fit,
    mean_loss,
    predict,
    read_losses,
    train_step,
)

CPU = Device(np, "CPU")
NAN, INF = float("nan"), float("inf")


def settings(epochs=10, batch=4, **changes):
    return FitSettings(epochs, batch, **changes)


def training(rng=None, progress=False, checkpoint=None, **changes):
    rng = rng or np.random.default_rng(0)
    return Training(settings(**changes), rng, CPU, progress, checkpoint)


def scripted(validation, train=(1.0, 3.0), optimizer=None, **changes):
    """Fit a network whose every array is set to the epoch's number, with losses as told.

    ``train`` is one epoch's losses, or a dict epoch -> losses.
    """
    network = Sequential(Dense(2, 3, np.random.default_rng(0)), BatchNorm(3))
    epochs = iter(range(100))
    left = iter(validation)

    def steps():
        epoch = next(epochs)
        for loss in train.get(epoch, (1.0, 3.0)) if isinstance(train, dict) else train:
            for array in network.state_dict().values():
                array[...] = epoch
            yield np.float32(loss)

    optimizer = optimizer or SGD([], 0.1)
    chosen = training(**{"epochs": len(validation), **changes})
    error = history = None
    try:
        epoch = Epoch(steps, 2, [optimizer])
        history = fit("lungs", [network], epoch, lambda: next(left), chosen)
    except TrainingDiverged as raised:
        error = str(raised)
    return network, history, error


def classifier(rng):
    return Sequential(
        Conv2D(1, 3, rng, stride=2),
        BatchNorm(3),
        ReLU(),
        GlobalAveragePool(),
        Dropout(0.5, rng),
        Dense(3, 2, rng),
    )


def labelled(rng, n=10, side=8):
    images = rng.integers(0, 256, (n, side, side), dtype=np.uint8)
    return Examples(images, rng.integers(2, size=n), np.arange(n))


def bytes_of(network):
    return {name: value.tobytes() for name, value in network.state_dict().items()}


# ---------------------------------------------------------------------------- what is kept


@pytest.mark.parametrize(
    ("validation", "best"),
    [([3, 2, 1], 2), ([1, 2, 3], 0), ([3, 1, 2, 5], 1), ([2, 1, 1, 1], 1), ([-1, -3, -2], 1)],
)
def test_network_holds_the_best_epochs_weights_and_statistics(validation, best):
    network, history, _ = scripted(validation)
    assert history.best_epoch == best
    assert network.state_dict().keys() >= {"0.w", "0.b", "1.running_mean", "1.running_var"}
    assert all((array == best).all() for array in network.state_dict().values())


def test_best_weights_of_a_real_training_come_back_to_the_byte(rng):
    network, examples, seen = classifier(rng), labelled(rng), []
    optimizer = Adam(network.trainable_parameters(), 0.05)
    told = iter([3.0, 1.0, 2.0, 4.0])

    def validate():
        seen.append(bytes_of(network))
        return next(told)

    def steps():
        for x, target in islice(batches, 3):
            yield train_step(network, categorical_cross_entropy, optimizer, x, target)

    chosen = training(rng, epochs=4)
    batches = EndlessBatches(examples, chosen)
    fit("t", [network], Epoch(steps, 3, [optimizer]), validate, chosen)
    assert bytes_of(network) == seen[1] and seen[1] != seen[3]


def test_every_network_that_learns_is_restored():
    networks = [Dense(1, 1, np.random.default_rng(i)) for i in range(2)]
    told, count = iter([1.0, 2.0]), iter(range(1, 10))

    def steps():
        epoch = next(count)
        for network in networks:
            network.w.value[...] = epoch
        yield np.float32(0)

    fit("t", networks, Epoch(steps, 1, [SGD([], 1)]), lambda: next(told), training(epochs=2))
    assert [float(network.w.value[0, 0]) for network in networks] == [1, 1]


# ---------------------------------------------------------------------------- when it stops


@pytest.mark.parametrize(
    ("validation", "patience", "epochs"),
    [
        ([5, 1, 2, 3, 4, 5], 2, 4),
        ([5, 1, 2, 3, 0, 5], 3, 6),
        ([5, 1, 2, 3, 4, 5], 1, 3),
        ([5, 4, 3, 2, 1, 0], 1, 6),
        ([1, 1, 1, 1, 1, 1], 3, 4),  # as good as before is no improvement
    ],
)
def test_training_stops_when_patience_runs_out(validation, patience, epochs):
    _, history, _ = scripted(validation, patience=patience)
    assert history.validation == validation[:epochs]


def test_history_holds_every_epoch():
    _, history, _ = scripted([3, 2, 4], train={0: (1, 3), 1: (2, 5), 2: (0, 0.5)})
    assert history.train == [2.0, 3.5, 0.25]
    assert history.validation == [3, 2, 4] and history.learning_rate == [0.1] * 3
    assert len(history.seconds) == 3 and min(history.seconds) > 0


def test_plateau_lowers_the_rate_of_the_epochs_after_it():
    optimizer = SGD([], 1.0)
    _, history, _ = scripted([1] * 6, optimizer=optimizer, plateau_patience=2, plateau_factor=0.5)
    assert history.learning_rate == [1, 1, 1, 0.5, 0.5, 0.25]
    assert optimizer.learning_rate == 0.25


def test_every_optimizer_is_slowed_down_on_a_plateau(rng):
    optimizers = [SGD([], 1.0), Adam([], 0.1)]
    chosen = training(epochs=3, plateau_patience=1, plateau_factor=0.1)
    fit("t", [Dense(1, 1, rng)], Epoch(lambda: [np.float32(1)], 1, optimizers), lambda: 1, chosen)
    assert [o.learning_rate for o in optimizers] == pytest.approx([0.01, 0.001])


def test_history_goes_through_json():
    history = History([1.5], [2.5], [0.1], [3.0], [0.5], [2.0], {"lungs": [-0.25]})
    assert History(**json.loads(json.dumps(history.to_dict()))) == history


@pytest.mark.parametrize("name", ["epochs", "batch", "patience", "plateau_patience"])
@pytest.mark.parametrize("value", [0, -3])
def test_settings_below_one_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got {value}"):
        FitSettings(**{name: value})


def test_progress_bar_names_the_task_and_its_losses(capsys, rng):
    epoch = Epoch(lambda: [np.float32(0.125)], 1, [SGD([], 1)])
    fit("lungs", [Dense(1, 1, rng)], epoch, lambda: 3, training(rng, progress=True, epochs=2))
    shown = capsys.readouterr().err
    assert "lungs" in shown and "2/2" in shown and "loss 0.125, validation 3" in shown


def test_no_progress_prints_nothing(capsys):
    scripted([1, 2])
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("criterion", "best"), [([], 2), ([0.5, 0.25, 0.75], 1)])
def test_best_epoch_is_the_criterions_where_there_is_one(criterion, best):
    assert History(validation=[3.0, 2.0, 1.0], criterion=criterion).best_epoch == best


# ---------------------------------------------------------------------------- divergence


@pytest.mark.parametrize(("owners", "whose"), [(None, ""), (["a", "b", "c"], " of b")])
def test_first_loss_that_is_not_finite_names_its_owner(owners, whose):
    losses = [np.float32(1), np.float32(INF), np.float32(NAN)]
    with pytest.raises(FloatingPointError, match=f"^the training loss{whose} is inf in batch 2$"):
        read_losses(losses, owners)


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize(
    ("epoch", "losses", "batch"),
    [(0, lambda bad: (bad, 1), 1), (0, lambda bad: (1, bad), 2), (2, lambda bad: (1, bad, bad), 2)],
)
def test_loss_that_is_not_finite_is_named_with_batch_and_epoch(bad, epoch, losses, batch):
    _, _, error = scripted([3, 2, 1, 0], train={epoch: losses(bad)})
    wanted = f"lungs: the training loss is {bad} in batch {batch} of epoch {epoch + 1} "
    assert error.startswith(wanted + "(learning rate 0.1)")


@pytest.mark.parametrize("bad", [NAN, INF])
@pytest.mark.parametrize("epoch", [0, 1])
def test_validation_loss_that_is_not_finite_is_named_with_its_epoch(bad, epoch):
    _, _, error = scripted([*range(epoch), bad, 0])
    assert f"lungs: the validation loss is {bad} of epoch {epoch + 1} (learning rate" in error


@pytest.mark.parametrize(
    ("validation", "train", "kept"),
    [
        ([3, 1, 2, 0], {3: (NAN, 1)}, 1),
        ([3, 1, 2, 0], {1: (1, INF)}, 0),
        ([3, 1, NAN], {}, 1),
    ],
)
def test_best_weights_so_far_are_back_after_divergence(validation, train, kept):
    network, _, error = scripted(validation, train=train)
    assert all((array == kept).all() for array in network.state_dict().values())
    assert f"the weights of epoch {kept + 1} were restored" in error


@pytest.mark.parametrize(("validation", "train"), [([1], {0: (1, NAN)}), ([NAN], {})])
def test_first_weights_are_back_when_the_first_epoch_diverges(validation, train):
    network, _, error = scripted(validation, train=train)
    fresh = Sequential(Dense(2, 3, np.random.default_rng(0)), BatchNorm(3))
    assert bytes_of(network) == bytes_of(fresh)
    assert "the weights from before training were restored" in error


# ---------------------------------------------------------------------------- checkpoints


class Script:
    """Sets the network's weights to the epoch's number, and has the validation losses as told."""

    def __init__(self, network, validation, stop):
        self.network, self.validation, self.stop, self.epoch = network, validation, stop, 0

    def steps(self):
        if self.epoch == self.stop:
            raise KeyboardInterrupt
        self.network.w.value[...] = self.epoch
        yield from np.array([self.epoch, 1], np.float32)

    def validate(self):
        self.epoch += 1
        return self.validation[self.epoch - 1]

    def state_dict(self):
        return {"epoch": np.array(self.epoch)}

    def load_state_dict(self, arrays):
        self.epoch = int(arrays["epoch"])


def stoppable(validation, stop=None, progress=False, checkpoint=None, **changes):
    """What a new process ends with: weights, history, the optimizer's rate."""
    network = Dense(1, 1, np.random.default_rng(0))
    script, optimizer = Script(network, validation, stop), SGD([], 1.0)
    changes = {"epochs": len(validation), "plateau_patience": 2, **changes}
    chosen = training(progress=progress, checkpoint=checkpoint, **changes)
    epoch = Epoch(script.steps, 2, [optimizer], [script])
    history = fit("lungs", [network], epoch, script.validate, chosen).to_dict()
    assert len(history.pop("seconds")) == len(history["train"])
    return network.w.value.item(), history, optimizer.learning_rate


@pytest.mark.parametrize("changes", [{}, {"patience": 2}])
@pytest.mark.parametrize(
    "validation", [[1, 1, 1, 1, 1, 1], [3, 1, 2, 2, 2, 0], [3, 1, 2, 4, 2, 3], [5, 4, 3, 3, 2, 2]]
)
@pytest.mark.parametrize("stop", range(6))
def test_training_stopped_in_any_epoch_ends_the_same(validation, changes, stop, tmp_path):
    expected = stoppable(validation, **changes)
    trained = len(expected[1]["train"])
    path = tmp_path / "x.npz"
    if stop < trained:
        with pytest.raises(KeyboardInterrupt):
            stoppable(validation, stop, checkpoint=Checkpoint(path, every=0), **changes)
        assert path.is_file() == (stop > 0)
    assert stoppable(validation, checkpoint=Checkpoint(path, every=0), **changes) == expected
    again = stoppable(validation, stop=trained - 1, checkpoint=Checkpoint(path), **changes)
    assert again == expected  # no epoch is trained again


def test_progress_bar_starts_where_the_training_left_off(tmp_path, capsys):
    checkpoint = Checkpoint(tmp_path / "x.npz", every=0)
    with pytest.raises(KeyboardInterrupt):
        stoppable([3, 2, 1, 0], stop=3, checkpoint=checkpoint)
    stoppable([3, 2, 1, 0], progress=True, checkpoint=checkpoint)
    shown = capsys.readouterr()
    assert shown.out == f"lungs: continues after epoch 3, from {checkpoint.path}\n"
    assert "8/8" in shown.err and "0/8" not in shown.err


def test_checkpoint_is_saved_when_due_and_at_the_end(tmp_path, monkeypatch):
    class Sometimes(Checkpoint):
        def due(self):
            return next(due)

        def save(self, arrays, record):
            saved.append(record["epochs"])
            super().save(arrays, record)

    saved, due = [], iter([False, True, False, False, False])
    stoppable([5, 4, 3, 2, 1], checkpoint=Sometimes(tmp_path / "x.npz"))
    assert saved == [2, 5]


def test_full_disk_stops_the_training_and_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    checkpoint = Checkpoint(tmp_path / "x.npz", every=0)
    with pytest.raises(KeyboardInterrupt):
        stoppable([3, 2, 1, 0], stop=2, checkpoint=checkpoint)
    with monkeypatch.context() as patch:

        def full(*arguments):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=f"cannot write {checkpoint.path}: No space left"):
            stoppable([3, 2, 1, 0], checkpoint=checkpoint)
    assert checkpoint.load()[1]["epochs"] == 2
    assert stoppable([3, 2, 1, 0], checkpoint=checkpoint) == stoppable([3, 2, 1, 0])


def test_training_that_diverged_diverges_again_from_its_checkpoint(tmp_path):
    for _ in range(2):
        checkpoint = Checkpoint(tmp_path / "x.npz", every=0)
        with pytest.raises(TrainingDiverged, match=r"nan of epoch 3 .* of epoch 2 were restored"):
            stoppable([3, 2, NAN, 0], checkpoint=checkpoint)
        assert checkpoint.load()[1] == {"training": "lungs", "epochs": 2}


def test_checkpoint_of_another_network_is_refused(tmp_path, rng):
    checkpoint = Checkpoint(tmp_path / "x.npz", every=0)
    stoppable([3, 2], checkpoint=checkpoint)
    with pytest.raises(ValueError, match=f"{checkpoint.path} is of another training"):
        epoch = Epoch(list, 1, [SGD([], 1)], [Script(None, [], None)])
        fit("t", [Dense(2, 2, rng)], epoch, lambda: 1, training(checkpoint=checkpoint))


# ---------------------------------------------------------------------------- steps


def test_step_of_gradient_descent_worked_by_hand():
    network = Dense(1, 1, np.random.default_rng(0))
    network.w.value[...], network.b.value[...] = 2, 1
    optimizer = SGD(network.parameters(), 0.1)
    x, target = np.array([[1.0], [3.0]], np.float32), np.array([[1.0], [3.0]], np.float32)
    value = train_step(network, mse, optimizer, x, target)  # outputs 3 and 7, errors 2 and 4
    assert value == pytest.approx((4 + 16) / 2)
    assert network.w.value[0, 0] == pytest.approx(2 - 0.1 * (2 * 1 + 4 * 3))
    assert network.b.value[0] == pytest.approx(1 - 0.1 * (2 + 4))


def test_gradients_of_the_step_before_are_forgotten(rng):
    network, still = Dense(1, 1, rng), SGD([Parameter(np.zeros(1))], 0.1)
    x = np.ones((2, 1), np.float32)
    gradients = []
    for _ in range(2):
        train_step(network, mse, still, x, 5 * x)
        gradients.append(float(network.w.grad[0, 0]))
    assert gradients[0] == gradients[1] != 0


def test_training_uses_and_keeps_the_batchs_statistics(rng):
    network = BatchNorm(2)
    x = rng.normal(3, 2, (16, 2)).astype(np.float32)
    train_step(network, mse, SGD([], 0.1), x, np.zeros_like(x))
    np.testing.assert_allclose(network.running_mean, 0.1 * x.mean(axis=0), rtol=1e-5)


def test_cosine_schedule_trains_all_epochs_and_ends_at_rate_zero(rng):
    network, optimizer = classifier(rng), SGD([], 0.5)
    epoch = Epoch(lambda: [np.float32(1)], 1, [optimizer])
    told = iter([1.0, 2.0, 3.0, 4.0])
    chosen = training(rng, epochs=4, patience=1, schedule="cosine")
    history = fit("t", [network], epoch, lambda: next(told), chosen)
    assert len(history.train) == 4 and optimizer.learning_rate == 0
    assert history.best_epoch == 0 and history.learning_rate[2] == pytest.approx(0.25)


# ---------------------------------------------------------------------------- inference


@pytest.mark.parametrize("size", [1, 3, 4, 10, 50])
def test_mean_loss_equals_the_loss_of_everything_at_once(size, rng):
    network, examples = classifier(rng), labelled(rng, 10)
    x, labels = examples.batch(np.arange(10))
    torch = pytest.importorskip("torch")
    logits = torch.tensor(network.forward(x))
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(labels)).item()
    found = mean_loss(network, categorical_cross_entropy, examples, size, CPU)
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("size", [1, 3, 10, 50])
def test_prediction_in_batches_equals_the_forward_pass_in_one_piece(size, rng):
    network, own = classifier(rng), labelled(rng, 10)
    rows = rng.permutation(10)[:7]
    expected = network.forward(own.batch(rows)[0])
    found = predict(network, Examples(own.inputs, None, rows), CPU, size)
    assert found.shape == (7, 2) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_prediction_drops_nothing_and_leaves_the_statistics(rng):
    network, examples = classifier(rng), labelled(rng, 10)
    before = bytes_of(network)
    first = predict(network, examples, CPU)
    mean_loss(network, categorical_cross_entropy, examples, 4, CPU)
    assert np.array_equal(predict(network, examples, CPU), first) and bytes_of(network) == before


def test_prediction_keeps_nothing_for_a_backward_pass(rng):
    network = classifier(rng)
    predict(network, labelled(rng), CPU)
    with pytest.raises(RuntimeError, match="needs a forward pass"):
        network.backward(np.ones((10, 2), np.float32))


# ---------------------------------------------------------------------------- what it needs


def test_training_is_on_the_cpu_and_part_of_a_checkpoint_where_there_is_one(tmp_path, rng):
    plain = Training(FitSettings(), rng)
    assert plain.device.xp is np and plain.part("a").checkpoint is None
    saved = Training(FitSettings(), rng, checkpoint=Checkpoint(tmp_path / "x.npz")).part("a")
    assert saved.checkpoint.path.name == "x+a.npz" and saved.rng is rng


# ---------------------------------------------------------------------------- one task


def learned(seed, **changes):
    rng = np.random.default_rng(seed)
    network, data = classifier(rng), labelled(np.random.default_rng(9), 20)
    train, validation = (Examples(data.inputs, data.targets, r) for r in np.split(data.rows, [14]))
    chosen = training(rng, **{"epochs": 3, "learning_rate": 0.01, **changes})
    loss = categorical_cross_entropy
    task = Task("t", network, loss, train, validation)
    return train_task(task, chosen)


def test_same_seed_gives_the_same_weights_to_the_byte():
    one, same, other = learned(1), learned(1), learned(2)
    assert bytes_of(one.network) == bytes_of(same.network) != bytes_of(other.network)
    assert one.history.train == same.history.train != other.history.train


def test_learning_separates_bright_discs_from_dark_ones(rng):
    images = rng.integers(100, 130, (24, 16, 16), dtype=np.uint8)
    labels = np.arange(24) % 2
    images[labels == 1, 4:12, 4:12] += 100
    images[labels == 0, 4:12, 4:12] -= 100
    both = Examples(images, labels, np.arange(24))
    chosen = training(rng, epochs=30, batch=8, learning_rate=0.05, patience=30)
    layers = Conv2D(1, 4, rng, stride=2), ReLU(), Conv2D(4, 8, rng, stride=2), ReLU()
    network = Sequential(*layers, GlobalAveragePool(), Dense(8, 2, rng))
    loss = categorical_cross_entropy
    tuned = train_task(Task("t", network, loss, both, both), chosen)
    assert tuned.history.validation[0] > 20 * min(tuned.history.validation)
    assert (predict(tuned.network, both, CPU).argmax(axis=1) == labels).all()


def test_tuned_says_what_it_cost():
    tuned = learned(1)
    assert tuned.trainable == (9 * 1 * 3 + 3) + 2 * 3 + (3 * 2 + 2)
    assert tuned.seconds >= sum(tuned.history.seconds) > 0


def test_frozen_layers_are_neither_counted_nor_moved(rng):
    network, examples = classifier(rng), labelled(rng)
    for layer in network.layers[:3]:
        layer.freeze()
    before, loss = bytes_of(network), categorical_cross_entropy
    task = Task("t", network, loss, examples, examples)
    tuned = train_task(task, training(rng, epochs=2))
    moved = {name for name, value in bytes_of(network).items() if value != before[name]}
    assert moved == {"5.w", "5.b"} and tuned.trainable == 3 * 2 + 2


def test_fewer_examples_than_a_batch_say_so():
    with pytest.raises(ValueError, match="14 training examples cannot fill a batch of 15"):
        learned(1, batch=15)


def test_training_that_really_diverges_says_where_and_restores(rng):
    network, examples = classifier(rng), labelled(rng)
    before = bytes_of(network)
    network_loss = categorical_cross_entropy

    def poisoned(logits, labels):
        value, gradient = network_loss(logits, labels)
        return value, gradient * np.float32(NAN)

    with pytest.raises(
        TrainingDiverged, match=r"nan in batch 2 of epoch 1 \(learning rate 0.001\)"
    ):
        task = Task("t", network, poisoned, examples, examples)
        train_task(task, training(rng, epochs=2))
    assert bytes_of(network) == before


# ---------------------------------------------------------------------------- what is at fault


class Given:
    """A data set of one's own: inputs and targets as they are."""

    def __init__(self, x, t):
        self.x, self.t = x, t

    def __len__(self):
        return len(self.x)

    def __repr__(self):
        return "Given"

    def batch(self, chosen):
        return self.x[chosen], self.t[chosen]


def regression(bad_input=0.0, bad_target=0.0, weight=0.5, rate=1e-3):
    """A line fitted to eight points, one of which may be bad; what the training says."""
    x = np.linspace(-1, 1, 8, dtype=np.float32)[:, None]
    t = 2 * x
    x[5] += np.float32(bad_input)
    t[5] += np.float32(bad_target)
    line = Dense(1, 1, np.random.default_rng(0))
    line.w.value[:] = weight
    task = Task("t", line, mse, Given(x, t), Given(x, t), SGD)
    with np.errstate(all="ignore"), pytest.raises(TrainingDiverged) as error:
        train_task(task, training(epochs=50, learning_rate=rate))
    return str(error.value)


@pytest.mark.parametrize(
    "bad", [{"bad_input": NAN}, {"bad_target": -INF}, {"weight": NAN}, {"rate": 1e6}]
)
def test_divergence_says_what_may_be_at_fault(bad):
    said = regression(**bad)
    assert "inputs, targets and weights that are not finite" in said and "learning rate" in said


def test_targets_that_are_no_probabilities_are_an_error_of_theirs(rng):
    x = rng.normal(size=(8, 1)).astype(np.float32)
    given = Given(x, np.full((8, 1), 255, np.float32))
    with pytest.raises(ValueError, match=r"targets must be in 0..1, .* got 255"):
        train_task(Task("t", Dense(1, 1, rng), bce, given, given), training(epochs=1))


@pytest.mark.parametrize("bad", [NAN, INF])
def test_prediction_that_is_not_finite_is_refused(bad, rng):
    network, examples = classifier(rng), labelled(rng, 10)
    network.layers[-1].b.value[0] = bad
    with pytest.raises(ValueError, match=r"outputs are not finite: .* Examples\(10 of 10"):
        predict(network, examples, CPU)


def test_mean_loss_of_nothing_is_refused(rng):
    nothing = Given(np.zeros((0, 1), np.float32), np.zeros((0, 1), np.float32))
    with pytest.raises(ValueError, match="no example to take a mean loss of: Given"):
        mean_loss(Dense(1, 1, rng), mse, nothing, 4, CPU)


@pytest.mark.parametrize(("name", "value", "text"), [
    ("learning_rate", 0.0, "a positive number, got 0.0"),
    ("learning_rate", -1e-3, "a positive number, got -0.001"),
    ("learning_rate", NAN, "a positive number, got nan"),
    ("learning_rate", INF, "a positive number, got inf"),
    ("plateau_factor", 0.0, "between 0 and 1, got 0.0"),
    ("plateau_factor", 1, "between 0 and 1, got 1"),
    ("epochs", 2.5, "a whole number, got 2.5"),
    ("batch", "16", "a whole number, got '16'"),
])  # fmt: skip
def test_settings_that_cannot_be_are_refused_by_name(name, value, text):
    with pytest.raises(ValueError, match=f"^{name} must be {text}"):
        FitSettings(**{name: value})


def test_step_asks_for_no_gradient_of_the_images(rng, monkeypatch):
    asked = []
    plain = Dense.backward
    monkeypatch.setattr(
        Dense, "backward", lambda self, dy, **how: asked.append(how) or plain(self, dy, **how)
    )
    network, x = Dense(1, 1, rng), np.ones((2, 1), np.float32)
    train_step(network, mse, SGD(network.parameters(), 0.1), x, x)
    assert asked == [{"input_gradient": False}]
