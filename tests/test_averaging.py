"""Running averages of weights: their values, and trainings that keep them."""

import numpy as np
import pytest

from ums.averaging import WeightAverage
from ums.backend import Device
from ums.checkpoint import Checkpoint
from ums.data import Examples
from ums.finetuning import Task, train_task
from ums.layers import BatchNorm, Conv2D, Dense, GlobalAveragePool, Sequential
from ums.ops import categorical_cross_entropy
from ums.training import FitSettings, Training

CPU = Device(np, "CPU")


def classifier(rng):
    return Sequential(Conv2D(1, 2, rng), BatchNorm(2), GlobalAveragePool(), Dense(2, 2, rng))


def filled(network, value):
    for array in network.state_dict().values():
        array[...] = value


def values(network):
    return {float(value) for array in network.state_dict().values() for value in array.ravel()}


def as_bytes(network):
    return {name: array.tobytes() for name, array in network.state_dict().items()}


def test_averages_worked_by_hand(rng):
    network = classifier(rng)
    filled(network, 4)
    average = WeightAverage(network, 0.2)  # less than (1 + t) / (10 + t) from t = 2 on
    for value in (15, 29):
        filled(network, value)
        average.update()
    average.swap()  # 2/11 4 + 9/11 15 = 13; 0.2 13 + 0.8 29 = 25.8
    assert values(network) == {np.float32(25.8)}


def test_swapping_twice_changes_nothing(rng):
    network = classifier(rng)
    average = WeightAverage(network, 0.9)
    before = as_bytes(network)
    filled(network, 3)
    average.swap()
    assert as_bytes(network) == before
    average.swap()
    assert values(network) == {3}


@pytest.mark.parametrize("decay", [0, 1, -0.1, np.nan])
def test_decay_that_is_no_fraction_is_refused(decay, rng):
    with pytest.raises(ValueError, match="decay must be"):
        WeightAverage(classifier(rng), decay)


# ---------------------------------------------------------------------------- trainings


class Stop(Checkpoint):
    """Saves after every epoch, and ends the program after the first."""

    def save(self, *what):
        super().save(*what)
        raise KeyboardInterrupt


def trained(average, epochs=3, checkpoint=None):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (20, 8, 8), dtype=np.uint8), np.arange(20) % 2
    sets = [Examples(images, labels, rows) for rows in np.split(np.arange(20), [12])]
    task = Task("t", classifier(rng), categorical_cross_entropy, *sets)
    settings = FitSettings(epochs, 4, 0.05, patience=9)
    training = Training(settings, rng, CPU, progress=False, checkpoint=checkpoint)
    return train_task(task, training, average)


def test_training_goes_the_same_way_and_ends_in_its_averages(monkeypatch):
    passed = []  # the weights at the start and after each step
    init, update = WeightAverage.__init__, WeightAverage.update

    def note(then, average, *arguments):
        network = arguments[0] if arguments else average.networks[0]
        passed.append(network.state_dict()["3.w"].copy())
        then(average, *arguments)

    monkeypatch.setattr(WeightAverage, "__init__", lambda *a: note(init, *a))
    monkeypatch.setattr(WeightAverage, "update", lambda *a: note(update, *a))
    tuned, plain = trained(0.5, epochs=1), trained(None, epochs=1)
    assert tuned.history.train == plain.history.train and len(passed) == 4
    np.testing.assert_array_equal(passed[-1], plain.network.state_dict()["3.w"])
    average = passed[0]
    for t, weights in enumerate(passed[1:], start=1):
        d = min(0.5, (1 + t) / (10 + t))
        average = d * average + (1 - d) * weights
    np.testing.assert_allclose(tuned.network.state_dict()["3.w"], average, rtol=1e-5)


def test_averages_are_validated_and_do_not_change_the_steps():
    tuned, plain = trained(0.9), trained(None)
    assert tuned.history.train == plain.history.train
    assert tuned.history.validation != plain.history.validation


def test_stopped_training_continues_with_its_averages_to_the_byte(tmp_path):
    path, expected = tmp_path / "x.npz", trained(0.9)
    with pytest.raises(KeyboardInterrupt):
        trained(0.9, checkpoint=Stop(path, every=0))
    again = trained(0.9, checkpoint=Checkpoint(path, every=0))
    assert as_bytes(again.network) == as_bytes(expected.network)
    assert again.history.validation == expected.history.validation
