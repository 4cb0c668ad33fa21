"""A group of tasks on a small source, for the tests of what trains and of what it leaves."""

from typing import Any, NamedTuple

import numpy as np
from small_sets import CPU, SMALL, children, hospital

from ums.experiments import tuning as module
from ums.experiments.arms import ARMS
from ums.experiments.cxr import CXR, diverse_group, similar_group
from ums.experiments.evaluation import heat_map_rows
from ums.experiments.jobs import TUNE, Job
from ums.experiments.names import CONTROL, DIVERSE, SIMILAR, SOURCE_HEAD
from ums.experiments.run import Run
from ums.experiments.store import Store
from ums.experiments.testing import tested
from ums.experiments.tuning import Tuning
from ums.finetuning import Tuned
from ums.layers import Sequential
from ums.networks import copy_network, denoising_autoencoder
from ums.training import History

TUNERS = ("train_task", "tune_independently", "tune_alternately", "tune_jointly")


def small_groups(folder):
    """Both groups of tasks, of images drawn into the folder."""
    target, test = (hospital(folder / f"{n}", n, side=16) for n in (1, 2))
    return {
        DIVERSE: diverse_group(target, test),
        SIMILAR: similar_group(children(folder / "3", 3, side=16)),
    }


def small_source(width=SMALL.width):
    """A source that has seen a little, the same each time."""
    rng = np.random.default_rng(5)
    source = denoising_autoencoder(rng, width=width)
    for array in source.state_dict().values():
        if array.ndim == 1:
            array += rng.uniform(0, 0.5, array.shape).astype(np.float32)
    return source


def small_tuning(group, out, settings=SMALL, replicate=1, data="a", source=None):
    """The group in a replicate, on a small source."""
    run = Run(settings, CPU, Store(out), progress=False)
    draw = group.draws(settings.labels, settings.replicates, settings.seed).draw(replicate)
    trained = source or small_source(settings.width)

    def keys(needs_source):
        return {"data": data} | ({"source": "s"} if needs_source else {})

    return Tuning(run, CXR, group, draw, lambda: trained, keys)


def arms_of(group):
    """The arms that apply to a group of chest X-rays."""
    left_out = {SOURCE_HEAD} | (set() if len(heat_map_rows(group)) else {CONTROL})
    return [arm for arm in ARMS if arm not in left_out]


def job_of(tuning, arm, replicate=1):
    """The job of an arm."""
    return Job(TUNE, tuning.group.name, arm, replicate, seed=tuning.run.settings.seed)


def tune_all(tuning):
    """Arm -> what came of each task; nothing is tested."""
    return {arm: tuning.tune(job_of(tuning, arm)) for arm in arms_of(tuning.group)}


def records_of(tuning):
    """Arm -> the record of its job."""
    return {arm: tested(tuning, job_of(tuning, arm)) for arm in arms_of(tuning.group)}


def network_of(tuning, arm, task, epoch="own epoch"):
    """A trained network."""
    return tuning.tune(job_of(tuning, arm))[task].networks[epoch]


def bytes_of(network):
    """Name -> the bytes of an array of weights or statistics."""
    return {name: value.tobytes() for name, value in network.state_dict().items()}


class Call(NamedTuple):
    """A training that a job would do."""

    job: Job
    function: str
    encoder: Any
    tasks: list
    training: Any
    weights: Any


class Trainings(list):
    """A :class:`Call` for every training that jobs would do, in order.

    Nothing is trained: networks stay as they were made.
    """

    def __init__(self, monkeypatch):
        super().__init__()
        self.job = None
        for name in TUNERS:
            monkeypatch.setattr(module, name, self.standing_in(name))
        original = Tuning.tune

        def tune(tuning, job):
            self.job = job
            return original(tuning, job)

        monkeypatch.setattr(Tuning, "tune", tune)

    def standing_in(self, name):
        """A function in place of one of the functions that train."""

        def alone(task, training):
            self.append(Call(self.job, name, None, [task], training, None))
            return Tuned(task.head, History([1.0], [1.0]), 0.0, 1)

        def together(encoder, tasks, training, weights=None):
            self.append(Call(self.job, name, encoder, tasks, training, weights))
            networks = {task.name: Sequential(encoder, task.head) for task in tasks}
            return {
                name: Tuned(network, History([1.0], [1.0]), 0.0, 1, 0, copy_network(network))
                for name, network in networks.items()
            }

        return alone if name == "train_task" else together

    def of(self, arm):
        """The trainings of an arm."""
        return [call for call in self if call.job.arm == arm]

    def tasks(self, arm=None):
        """The tasks of all trainings, or of those of an arm."""
        return [task for call in self if arm in (None, call.job.arm) for task in call.tasks]
