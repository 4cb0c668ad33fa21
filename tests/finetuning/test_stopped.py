"""Trainings that are stopped at some batch, started again, and end to the byte as if never stopped."""

import signal
import subprocess
import sys
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest
import standin
from small_tasks import CHANNELS, CPU, abnormality, encoder, lungs

from ums.backend import Device, to_numpy
from ums.checkpoint import Checkpoint, gather
from ums.data import Examples
from ums.data.augment import Augmentation
from ums.experiments.store import Store
from ums.finetuning import (
    Equal,
    GradNorm,
    Task,
    Uncertainty,
    train_separately,
    train_task,
    tune_alternately,
    tune_independently,
    tune_jointly,
)
from ums.layers import BatchNorm, Conv2D, Dense, Dropout, GlobalAveragePool, ReLU, Sequential
from ums.networks import classification_head, denoising_autoencoder, separate_classifier
from ums.ops import categorical_cross_entropy
from ums.optimizers import SGD
from ums.source import DenoisingExamples, train_denoising
from ums.training import FitSettings, Training

SETTINGS = FitSettings(epochs=5, batch=4, learning_rate=0.03, patience=4, plateau_patience=2)
STAND_IN = Device(standin, "stand-in")


class Stopped(Exception):
    """Stands in for whatever ends a process."""


class Batches:
    """Counts the batches made of any examples, and raises :class:`Stopped` when none are left."""

    def __init__(self):
        self.begin()

    def begin(self, left=np.inf):
        self.made, self.left = 0, left

    def counted(self, batch):
        def make(*arguments):
            if self.made == self.left:
                raise Stopped
            self.made += 1
            return batch(*arguments)

        return make


batches = Batches()


@pytest.fixture(autouse=True)
def count_batches(monkeypatch):
    batches.begin()
    for kind in (Examples, DenoisingExamples):
        monkeypatch.setattr(kind, "batch", batches.counted(kind.batch))


# ---------------------------------------------------------------------------- what is stopped


def tasks_with_everything(rng):
    """Dropout, batch norm and momentum; 5 and 2 batches of 4 to learn from."""
    head = classification_head(CHANNELS, 2, rng, hidden=8, batch_norm=True)
    momentum = partial(SGD, momentum=0.9)
    return [
        replace(abnormality(rng, n=30, side=16), head=head),
        lungs(rng, n=12, side=16, optimizer=momentum),
    ]


def augmented(rng):
    """Tasks whose images are other ones each time, so that no features are kept."""
    return [
        replace(task, train=replace(task.train, augment=Augmentation(rng)))
        for task in tasks_with_everything(rng)
    ]


def training_of(rng, checkpoint, device=CPU, settings=SETTINGS):
    return Training(settings, rng, device, progress=False, checkpoint=checkpoint)


def source(checkpoint):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (14, 16, 16), dtype=np.uint8)
    network, rows = denoising_autoencoder(rng, width=0.1), np.split(np.arange(14), [9])
    parts = [DenoisingExamples(images, rows[i], rng, fixed=i == 1) for i in range(2)]
    training = training_of(rng, checkpoint, settings=replace(SETTINGS, plateau_patience=1))
    tuned = train_denoising(network, *parts, training)
    return {"source": tuned}, [network]


def strategy(tune, tasks=tasks_with_everything, **changes):
    def run(checkpoint):
        rng = np.random.default_rng(1)
        shared, learned = encoder(rng), tasks(rng)
        more = {name: make() for name, make in changes.items()}
        tuned = tune(shared, learned, training_of(rng, checkpoint), **more)
        return tuned, [shared, *(task.head for task in learned)]

    return run


def jointly(weights):
    def tasks(rng):
        return [replace(task, optimizer=SGD) for task in tasks_with_everything(rng)]

    return strategy(tune_jointly, tasks, weights=weights)


def separate(checkpoint):
    rng = np.random.default_rng(2)
    denoiser = denoising_autoencoder(rng, width=0.05)
    networks = separate_classifier(rng, width=0.05), denoising_autoencoder(rng, width=0.05)
    tasks = [
        replace(task, head=network)
        for task, network in zip(tasks_with_everything(rng), networks, strict=True)
    ]
    tuned = train_separately(tasks, training_of(rng, checkpoint), denoiser)
    return tuned, networks


def own_generator(checkpoint):
    """Dropout that draws from a generator other than that of the order."""
    rng, own = np.random.default_rng(3), np.random.default_rng(4)
    task = abnormality(rng, n=30, side=16)
    inner = Sequential(Conv2D(1, 4, rng, stride=2), BatchNorm(4), Dropout(0.5, own))
    network = Sequential(inner, ReLU(), GlobalAveragePool(), Dense(4, 2, rng))
    tuned = train_task(replace(task, head=network), training_of(rng, checkpoint))
    return {"own": tuned}, [network]


def on_a_device(checkpoint):
    rng = np.random.default_rng(5)
    shared = Sequential(Conv2D(1, 3, rng, stride=2), BatchNorm(3), ReLU()).to(STAND_IN)
    tasks = []
    for name in ("a", "b"):
        images, labels = rng.integers(0, 256, (10, 8, 8), dtype=np.uint8), rng.integers(2, size=10)
        parts = (Examples(images, labels, np.arange(size)) for size in (10, 4))
        head = Sequential(GlobalAveragePool(), Dense(3, 2, rng)).to(STAND_IN)
        tasks.append(Task(name, head, categorical_cross_entropy, *parts))
    training = training_of(rng, checkpoint, STAND_IN)
    tuned = tune_jointly(shared, tasks, training, weights=GradNorm())
    return tuned, [shared, *(task.head for task in tasks)]


RUNS = {
    "source": source,
    "independent": strategy(tune_independently),
    "independent, augmented": strategy(tune_independently, augmented),
    "alternating": strategy(tune_alternately),
    "alternating, mixed": strategy(tune_alternately, mixing=lambda: (1, 2)),
    "alternating, mixed otherwise": strategy(tune_alternately, mixing=lambda: (3, 1)),
    "joint, equal": jointly(Equal),
    "joint, uncertainty": jointly(partial(Uncertainty, learning_rate=0.05)),
    "joint, GradNorm": jointly(partial(GradNorm, learning_rate=0.05)),
    "separate": separate,
    "dropout with its own generator": own_generator,
    "on a device": on_a_device,
}
EVERY = pytest.mark.parametrize("name", RUNS)


def outcome(name, checkpoint=None):
    """Everything that must be equal: weights and statistics to the byte, histories."""
    tuned, networks = RUNS[name](checkpoint)
    histories = {task: result.history.to_dict() for task, result in tuned.items()}
    for task, history in histories.items():
        assert len(history.pop("seconds")) == len(history["train"])
        assert tuned[task].seconds > 0
    return {k: to_numpy(v).tobytes() for k, v in gather(networks).items()}, histories


@cache
def never_stopped(name):
    """The outcome, and the number of batches it takes."""
    batches.begin()
    return outcome(name), batches.made


def go_on(name, folder, left=np.inf):
    """The outcome of a new process that may make so many batches."""
    batches.begin(left)
    return outcome(name, Checkpoint(folder / "x.npz", every=0))


# ---------------------------------------------------------------------------- equal to the byte


@EVERY
def test_checkpoint_changes_nothing_and_what_is_finished_is_not_trained_again(name, tmp_path):
    expected, total = never_stopped(name)
    assert go_on(name, tmp_path) == expected
    assert go_on(name, tmp_path) == expected
    assert batches.made < total / 5  # features or denoised images


@EVERY
@pytest.mark.parametrize("seed", range(2))
def test_training_stopped_at_any_batch_ends_the_same(name, seed, tmp_path, capsys):
    expected, total = never_stopped(name)
    at = int(np.random.default_rng([seed, len(name)]).integers(total // 3, total))
    with pytest.raises(Stopped):
        go_on(name, tmp_path, at)
    assert go_on(name, tmp_path) == expected and batches.made < total
    assert "continues after epoch" in capsys.readouterr().out


@EVERY
def test_training_stopped_again_and_again_ends_the_same(name, tmp_path):
    expected, total = never_stopped(name)
    stops, result = 0, None
    while result is None:
        try:
            result = go_on(name, tmp_path, total * 2 // 5)
        except Stopped:
            stops += 1
    assert result == expected and stops >= 2


def test_training_stopped_before_any_checkpoint_begins_anew(tmp_path):
    expected, total = never_stopped("source")
    with pytest.raises(Stopped):
        go_on("source", tmp_path, 2)
    assert go_on("source", tmp_path) == expected and batches.made == total


def test_only_the_end_is_saved_where_no_other_saving_is_due(tmp_path):
    expected, total = never_stopped("source")
    batches.begin(total - 1)
    with pytest.raises(Stopped):
        outcome("source", Checkpoint(tmp_path / "x.npz", every=1e9))
    assert not list(tmp_path.iterdir())
    batches.begin()
    assert outcome("source", Checkpoint(tmp_path / "x.npz", every=1e9)) == expected
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["independent", "separate"])
def test_every_task_has_a_part_and_the_whole_removes_them(name, tmp_path):
    go_on(name, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"x+abnormality.npz", "x+lungs.npz"}
    Checkpoint(tmp_path / "x.npz").remove()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["source", "alternating"])
def test_seconds_before_the_stop_are_counted(name, tmp_path):
    with pytest.raises(Stopped):
        go_on(name, tmp_path, never_stopped(name)[1] - 1)
    batches.begin()
    tuned = RUNS[name](Checkpoint(tmp_path / "x.npz", every=0))[0].values()
    epochs = [seconds for result in tuned for seconds in result.history.seconds]
    assert sum(result.seconds for result in tuned) >= sum(epochs) > 0


@pytest.mark.parametrize("name", ["source", "alternating, mixed", "joint, GradNorm"])
def test_runs_are_long_enough_to_show_something(name):
    histories = never_stopped(name)[0][1].values()
    assert all(len(history["train"]) >= 4 for history in histories)
    assert any(len(set(history["learning_rate"])) > 1 for history in histories)


# ---------------------------------------------------------------------------- a killed process


def finished_job(folder):
    """A job whose result is the weights and the history of alternating tuning."""

    def compute(checkpoint):
        tuned, networks = RUNS["alternating, mixed"](checkpoint)
        record = {task: result.history.to_dict()["train"] for task, result in tuned.items()}
        return {k: to_numpy(v) for k, v in gather(networks).items()}, record

    return Store(folder, every=0).weights("together", {"a": 1}, compute)


KILLED = """
import os, signal, sys
folder, at, *sys.path[:0] = sys.argv[1:]
import test_stopped as t

batch, left = t.Examples.batch, iter(range(int(at)))
def make(*arguments):
    return os.kill(os.getpid(), signal.SIGKILL) if next(left, None) is None else batch(*arguments)
t.Examples.batch = make
t.finished_job(folder)
"""


def killed(folder, at):
    """Run the job in a process of its own that kills itself at a batch; its return code."""
    here = Path(__file__).resolve().parent
    where = map(str, (here, *here.parents[:2]))
    command = [sys.executable, "-c", KILLED, str(folder), str(at), *where]
    return subprocess.run(command, capture_output=True).returncode


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows has no SIGKILL")
def test_job_of_a_killed_process_goes_on_in_the_next(tmp_path, capsys):
    expected, train = finished_job(tmp_path / "whole")
    for at in (25, 12):
        assert killed(tmp_path / "killed", at) == -signal.SIGKILL
        kept = list((tmp_path / "killed" / "weights").iterdir())
        assert [path.name[-15:] for path in kept] == [".checkpoint.npz"]
    arrays, record = finished_job(tmp_path / "killed")
    assert "continues after epoch" in capsys.readouterr().out
    assert record == train and arrays.keys() == expected.keys()
    assert all(arrays[k].tobytes() == expected[k].tobytes() for k in expected)
    assert [p.suffixes for p in (tmp_path / "killed" / "weights").iterdir()] == [[".npz"]]
