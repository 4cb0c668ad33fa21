"""A group of tasks on a small source, for the tests of what trains and of what it leaves."""

import numpy as np
from small_sets import CPU, SMALL, children, hospital

from ums.experiments import tuning as module
from ums.experiments.cxr import CXR, diverse_group, similar_group
from ums.experiments.evaluation import heat_map_rows
from ums.experiments.jobs import TUNE, Job
from ums.experiments.names import CONTROL, DIVERSE, SIMILAR, STRATEGIES
from ums.experiments.run import Run
from ums.experiments.store import Store
from ums.experiments.tuning import Tuning
from ums.finetuning import Tuned
from ums.networks import denoising_autoencoder
from ums.training import History, Training

TUNERS = ("tune_independently", "tune_alternately", "tune_jointly", "train_separately")


def small_groups(folder):
    """Both groups of tasks, of images drawn into the folder."""
    target, test = (hospital(folder / f"{n}", n, side=16) for n in (1, 2))
    return {
        DIVERSE: diverse_group(target, test),
        SIMILAR: similar_group(children(folder / "3", 3, side=16)),
    }


def small_tuning(group, out, settings=SMALL, data="a"):
    """The group on a source that has seen a little, the same each time."""
    rng = np.random.default_rng(5)
    source = denoising_autoencoder(rng, width=settings.width)
    for array in source.state_dict().values():
        if array.ndim == 1:
            array += rng.uniform(0, 0.5, array.shape).astype(np.float32)
    networks = CXR.networks(group, source, settings, CPU)
    run = Run(settings, CPU, Store(out), progress=False)
    tuning = Tuning(run, group, networks, {"data": data})
    tuning.source = source
    return tuning


def arms_of(group):
    """The strategies, and the control where there are heat maps."""
    return (*STRATEGIES, CONTROL) if len(heat_map_rows(group)) else STRATEGIES


def jobs_of(tuning):
    """The jobs of all folds and arms, fold by fold."""
    folds, seed = range(1, tuning.settings.folds + 1), tuning.settings.seed
    name, arms = tuning.group.name, arms_of(tuning.group)
    return [Job(TUNE, name, arm, fold, seed=seed) for fold in folds for arm in arms]


def records_of(tuning):
    """(arm, fold) -> the record of the job."""
    return {(job.arm, job.fold): tuning.record(job) for job in jobs_of(tuning)}


def tasks_in(arguments):
    """The tasks among the arguments of a training."""
    return next(a for a in arguments if isinstance(a, list))


def training_in(arguments):
    """The settings, generator and so on among the arguments of a training."""
    return next(a for a in arguments if isinstance(a, Training))


class Trainings(list):
    """(arm, arguments) of every training that jobs would do, in order.

    Nothing is trained: networks stay as they were made.
    """

    def __init__(self, monkeypatch):
        super().__init__()
        self.job = None
        for name in TUNERS:
            monkeypatch.setattr(module, name, self.tune)
        original = Tuning.tune

        def tune(tuning, job):
            self.job = job
            return original(tuning, job)

        monkeypatch.setattr(Tuning, "tune", tune)

    def tune(self, *arguments, **more):
        """In place of any of the functions that train."""
        self.append((self.job, arguments))
        tasks = tasks_in(arguments)
        history = History([1.0], [1.0], cosines={task.name: [0.0] for task in tasks})
        return {task.name: Tuned(task.head, history, 0.0, 1) for task in tasks}

    def tasks(self, arm=None, fold=None):
        """The tasks of all trainings, or of those of an arm or a fold."""
        mine = [a for job, a in self if arm in (None, job.arm) and fold in (None, job.fold)]
        return [task for arguments in mine for task in tasks_in(arguments)]
