"""Jobs that tune: equal rules for all arms, which epoch is kept, and what a key holds."""

from collections import Counter
from dataclasses import fields, replace

import numpy as np
import pytest
from small_sets import CPU, SMALL, note_computed
from small_tuning import (
    TUNERS,
    Trainings,
    arms_of,
    bytes_of,
    job_of,
    network_of,
    small_groups,
    small_source,
    small_tuning,
    tune_all,
)

from ums.data import Examples
from ums.experiments import rates, testing
from ums.experiments import tuning as module
from ums.experiments.arms import ARMS, Arm
from ums.experiments.cxr import ABNORMALITY, LUNGS
from ums.experiments.jobs import PILOT
from ums.experiments.names import (
    ALTERNATING,
    CONTROL,
    DIVERSE,
    INDEPENDENT,
    JOINT,
    JOINT_SCRATCH,
    ONE_ENCODER,
    OWN_EPOCH,
    SCRATCH,
    SEPARATE,
    SEPARATE_RAW,
    SIMILAR,
    SINGLE,
    SINGLE_LONG,
)
from ums.experiments.rates import Trial
from ums.experiments.run import training_record
from ums.experiments.settings import Settings
from ums.finetuning import Equal, Uncertainty
from ums.optimizers import Optimizer
from ums.training import FitSettings, mean_loss

EACH_GROUP = pytest.mark.parametrize("name", [DIVERSE, SIMILAR])

FROM_RANDOM = (SCRATCH, JOINT_SCRATCH)
MOVING = (SINGLE, SINGLE_LONG, ALTERNATING, JOINT)
TOGETHER = (JOINT_SCRATCH, ALTERNATING, JOINT)


@pytest.fixture(scope="module")
def groups(tmp_path_factory):
    return small_groups(tmp_path_factory.mktemp("groups"))


@pytest.fixture
def trainings(monkeypatch):
    """The trainings that would be done, and are not."""
    return Trainings(monkeypatch)


@pytest.fixture
def computed(monkeypatch):
    """The names of what stores compute, as they do."""
    return note_computed(monkeypatch)


# ---------------------------------------------------------------------------- equal rules

AUGMENTED = replace(SMALL, augment=True)  # then features are not kept, and every batch is seen


class Seen:
    """What was seen while arms were trained: (arm, task) -> rows, batch by batch, and updates."""

    def __init__(self, groups, out, patch):
        self.train, self.validation, self.updates = {}, {}, {}
        self.histories, self.records, self.draw, self.tunings = {}, {}, {}, {}
        batch, step = Examples.batch, Optimizer.step
        self.counts = Counter()

        def batch_seen(examples, chosen):
            found = self.train if examples.augment else self.validation
            if self.now and (task := self.task_of(examples)):
                found.setdefault((self.now, task), []).append(examples.rows[chosen].tolist())
            return batch(examples, chosen)

        def step_seen(optimizer):
            self.counts.update(id(parameter) for parameter in optimizer.parameters)
            step(optimizer)

        patch.setattr(Examples, "batch", batch_seen)
        patch.setattr(Optimizer, "step", step_seen)
        for name, group in groups.items():
            self.group, source = group, small_source()
            before = bytes_of(source)
            tuning = small_tuning(group, out / name, AUGMENTED, source=source)
            self.tunings[name] = tuning, before
            self.draw |= {task.name: (tuning.draw, task.train.rows) for task in group.tasks}
            for self.now in arms_of(group):
                self.counts.clear()
                outcomes = tuning.tune(job_of(tuning, self.now))
                for task, outcome in outcomes.items():
                    trained = outcome.networks.get(ONE_ENCODER, outcome.networks[OWN_EPOCH])
                    first = next(iter(trained.named_parameters().values()))
                    self.updates[self.now, task] = self.counts[id(first)]
                    self.histories[self.now, task] = outcome.tuned.history
                self.now, arm = "", self.now
                for task, found in testing.tested(tuning, job_of(tuning, arm))["tasks"].items():
                    self.records[arm, task] = found

    def task_of(self, examples):
        """The name of the task whose targets they are; a control has targets of its own."""
        tasks = [t.name for t in self.group.tasks if t.train.targets is examples.targets]
        return tasks[0] if tasks else ABNORMALITY * (self.now == CONTROL)


@pytest.fixture(scope="module")
def seen(groups, tmp_path_factory):
    """All arms of both groups trained, and watched."""
    with pytest.MonkeyPatch.context() as patch:
        return Seen(groups, tmp_path_factory.mktemp("seen"), patch)


def test_every_arm_trains_every_task_for_the_same_number_of_batches_of_the_same_sizes(seen):
    sizes = {who: [len(rows) for rows in batches] for who, batches in seen.train.items()}
    assert len(sizes) == 9 * 2 + 1 + 9 * 3  # of each arm and task
    for (arm, task), found in sizes.items():
        tasks = 2 if task in (LUNGS, ABNORMALITY) else 3
        assert len(found) == SMALL.steps * (tasks if arm == SINGLE_LONG else 1)
        assert found[: SMALL.steps] == sizes[SINGLE, task]


def test_every_arm_learns_from_the_same_images_and_is_judged_by_the_same(seen):
    for part, found in (("train", seen.train), ("validation", seen.validation)):
        for (_, task), batches in found.items():
            draw, known = seen.draw[task]
            expected = np.intersect1d(getattr(draw, part), known).tolist()
            assert sorted({row for rows in batches for row in rows}) == expected


def test_every_arm_is_judged_as_often(seen):
    for (arm, task), batches in seen.validation.items():
        draw, known = seen.draw[task]
        images = len(np.intersect1d(draw.validation, known))
        assert sum(map(len, batches)) == SMALL.evaluations * images, (arm, task)
        assert len(seen.histories[arm, task].validation) == SMALL.evaluations


def test_encoder_updates_of_the_records_are_those_that_were_done(seen):
    found = {who: record["encoder updates"] for who, record in seen.records.items()}
    assert found == seen.updates
    assert [found[arm, LUNGS] for arm in (SINGLE, ALTERNATING, JOINT, SINGLE_LONG, INDEPENDENT)] == [
        4, 8, 4, 8, 0,
    ]  # fmt: skip
    assert [found[arm, "viral-normal"] for arm in (SINGLE, ALTERNATING, JOINT, SINGLE_LONG)] == [
        4, 12, 4, 12,
    ]  # fmt: skip


@EACH_GROUP
def test_every_arm_has_the_same_schedule_and_length(name, groups, tmp_path, trainings):
    tune_all(small_tuning(groups[name], tmp_path))
    for call in trainings:
        steps = 2 * (len(groups[name].tasks) if call.job.arm == SINGLE_LONG else 1)
        assert call.training.settings == FitSettings(2, 8, 1e-3, steps=steps, schedule="cosine")


# ---------------------------------------------------------------------------- which epoch is kept

RESTLESS = replace(SMALL, steps=12, evaluations=6, source_steps=6, rate=0.1)


@pytest.fixture(scope="module")
def restless(groups, tmp_path_factory):
    """A group whose losses rise and fall, in a folder of its own."""
    out = tmp_path_factory.mktemp("restless")
    return small_tuning(groups[DIVERSE], out, RESTLESS), out


def loss_of(tuning, task, network):
    own = tuning.group.task(task).on_draw(
        tuning.draw, network, tuning.group.train_set.images, task, RESTLESS.normalisation()
    )
    return mean_loss(network, own.loss, own.validation, RESTLESS.batch, CPU)


@pytest.mark.parametrize("arm", [SCRATCH, SINGLE, INDEPENDENT, *TOGETHER])
def test_own_epoch_is_that_of_the_task_s_own_lowest_validation_loss(arm, restless):
    tuning, _ = restless
    for task, outcome in tuning.tune(job_of(tuning, arm)).items():
        losses = outcome.tuned.history.validation
        assert len(losses) == 6
        own = loss_of(tuning, task, outcome.networks[OWN_EPOCH])
        assert own == pytest.approx(min(losses), rel=1e-4)


@pytest.mark.parametrize("arm", TOGETHER)
def test_one_encoder_is_that_of_the_epoch_with_the_lowest_mean_relative_loss(arm, restless):
    tuning, _ = restless
    outcomes = tuning.tune(job_of(tuning, arm))
    losses = {
        task: np.array(outcome.tuned.history.validation) for task, outcome in outcomes.items()
    }
    epoch = np.mean([one / one[0] for one in losses.values()], axis=0).argmin()
    for task, outcome in outcomes.items():
        kept = loss_of(tuning, task, outcome.networks[ONE_ENCODER])
        assert kept == pytest.approx(losses[task][epoch], rel=1e-4)
    one, two = (outcomes[task].networks[ONE_ENCODER] for task in (LUNGS, ABNORMALITY))
    assert one[0] is two[0]


def test_epochs_above_are_not_all_the_last(restless):
    tuning, _ = restless
    best = [
        o.tuned.history.best_epoch
        for a in TOGETHER
        for o in tuning.tune(job_of(tuning, a)).values()
    ]
    assert set(best) != {5}


@pytest.mark.parametrize("arm", [SINGLE, JOINT])
def test_networks_taken_from_the_store_are_those_that_were_trained(arm, restless, groups):
    tuning, out = restless
    again = small_tuning(groups[DIVERSE], out, RESTLESS)
    for task, outcome in tuning.tune(job_of(tuning, arm)).items():
        other = again.tune(job_of(again, arm))[task]
        assert other.networks.keys() == outcome.networks.keys()
        for epoch, network in outcome.networks.items():
            assert bytes_of(other.networks[epoch]) == bytes_of(network)
        assert other.tuned.history == outcome.tuned.history


# ---------------------------------------------------------------------------- what moves


@EACH_GROUP
def test_no_arm_changes_the_source(name, seen):
    tuning, before = seen.tunings[name]
    assert bytes_of(tuning.source()) == before


@EACH_GROUP
@pytest.mark.parametrize("arm", [INDEPENDENT, *MOVING])
def test_arms_but_the_independent_move_the_encoder(arm, name, seen):
    tuning, before = seen.tunings[name]
    for outcome in tuning.tune(job_of(tuning, arm)).values():
        for network in outcome.networks.values():
            encoder = bytes_of(network[0])
            still = [before[f"0.{array}"] == value for array, value in encoder.items()]
            assert all(still) if arm == INDEPENDENT else not any(still)


def test_control_leaves_the_encoder_as_it_is(seen):
    tuning, before = seen.tunings[DIVERSE]
    encoder = bytes_of(network_of(tuning, CONTROL, ABNORMALITY)[0])
    assert encoder == {name[2:]: value for name, value in before.items() if name[:2] == "0."}


# ---------------------------------------------------------------------------- trials


@pytest.fixture
def table(monkeypatch):
    """What the pilot is said to have chosen."""
    chosen = {
        ("cxr", DIVERSE, SINGLE, LUNGS): Trial(0.25),
        ("cxr", DIVERSE, INDEPENDENT, ABNORMALITY): Trial(0.125),
        **{("cxr", DIVERSE, JOINT, t): Trial(0.5, "uncertainty") for t in (LUNGS, ABNORMALITY)},
    }
    monkeypatch.setattr(rates, "_table", lambda: chosen)
    return chosen


def rates_of(trainings, arm):
    return [call.training.settings.learning_rate for call in trainings.of(arm)]


def test_every_task_has_the_rate_that_the_pilot_chose(groups, tmp_path, trainings, table):
    tune_all(small_tuning(groups[DIVERSE], tmp_path, replace(SMALL, rate=0.0)))
    assert rates_of(trainings, SINGLE) == rates_of(trainings, SINGLE_LONG) == [0.25, 1e-3]
    assert rates_of(trainings, INDEPENDENT) == [1e-3, 0.125]
    assert rates_of(trainings, CONTROL) == [0.125]
    assert rates_of(trainings, SEPARATE) == [1e-3, 1e-3] and rates_of(trainings, JOINT) == [0.5]
    assert isinstance(trainings.of(JOINT)[0].weights, Uncertainty)
    assert isinstance(trainings.of(JOINT_SCRATCH)[0].weights, Equal)


def test_rate_of_the_settings_goes_before_the_pilot_s_but_weights_stay(
    groups, tmp_path, trainings, table
):
    tune_all(small_tuning(groups[DIVERSE], tmp_path, replace(SMALL, rate=0.0625)))
    assert {call.training.settings.learning_rate for call in trainings} == {0.0625}
    assert isinstance(trainings.of(JOINT)[0].weights, Uncertainty)


@pytest.mark.parametrize("arm", [SINGLE, JOINT])
def test_trial_of_a_pilot_has_its_own_rate_and_weights(arm, groups, tmp_path, trainings, table):
    tuning = small_tuning(groups[DIVERSE], tmp_path)
    for number, trial in enumerate(rates.trials(arm), start=1):
        trainings.clear()
        tuning.tune(replace(job_of(tuning, arm, -1), kind=PILOT, trial=number))
        assert set(rates_of(trainings, arm)) == {trial.rate}
        if arm == JOINT:
            assert type(trainings[0].weights) is type(trial.weighting())


# ---------------------------------------------------------------------------- keys

EVERYTHING = tuple(arm for arm in ARMS if arm != "source-head")
# field of the settings -> (another value, arms of the diverse group that are trained again)
CHANGES = {
    "width": (0.06, EVERYTHING),
    "labels": (17, EVERYTHING),
    "steps": (6, EVERYTHING),
    "evaluations": (4, EVERYTHING),
    "batch": (7, EVERYTHING),
    "rate": (0.01, EVERYTHING),
    "augment": (True, EVERYTHING),
    "background": (20, EVERYTHING),
    "seed": (1, EVERYTHING),
    "replicates": (3, ()),
    "other_replicates": (1, ()),
    "source_images": (15, ()),  # these are in the source's key
    "source_from": ("other", ()),
    "source_steps": (8, ()),
    "source_rate": (0.1, ()),
}


def test_every_setting_is_looked_at_below():
    assert set(CHANGES) == {field.name for field in fields(Settings)}


@pytest.mark.parametrize("setting", CHANGES)
def test_weights_of_another_setting_are_never_taken(setting, groups, tmp_path, trainings, computed):
    value, again = CHANGES[setting]
    tune_all(small_tuning(groups[DIVERSE], tmp_path))
    computed.clear()
    other = small_tuning(groups[DIVERSE], tmp_path, replace(SMALL, **{setting: value}))
    tune_all(other)
    assert computed.weights == [job_of(other, arm).name for arm in again]


def test_another_choice_of_the_pilot_trains_again_what_it_is_for(
    groups, tmp_path, trainings, computed, table
):
    settings = replace(SMALL, rate=0.0)
    tune_all(small_tuning(groups[DIVERSE], tmp_path, settings))
    computed.clear()
    table["cxr", DIVERSE, SINGLE, ABNORMALITY] = Trial(0.0078125)
    tuning = small_tuning(groups[DIVERSE], tmp_path, settings)
    tune_all(tuning)
    assert computed.weights == [job_of(tuning, arm).name for arm in (SINGLE, SINGLE_LONG)]


@EACH_GROUP
def test_weights_of_other_data_are_never_taken(name, groups, tmp_path, trainings, computed):
    for data in ("a", "b"):
        tuning = small_tuning(groups[name], tmp_path, data=data)
        tune_all(tuning)
    assert computed.weights == 2 * [job_of(tuning, arm).name for arm in arms_of(groups[name])]


def test_weights_of_another_draw_are_never_taken(groups, tmp_path):
    tuning = small_tuning(groups[DIVERSE], tmp_path)
    other = replace(tuning, draw=small_tuning(groups[DIVERSE], tmp_path, replicate=2).draw)
    job = job_of(tuning, SCRATCH)
    assert tuning.key(job) != other.key(job)


@pytest.mark.parametrize("arm", EVERYTHING)
def test_key_has_the_source_where_weights_or_images_come_from_it(arm, groups, tmp_path):
    tuning = small_tuning(groups[DIVERSE], tmp_path)
    needs = arm not in (*FROM_RANDOM, SEPARATE_RAW)
    assert ("source" in tuning.key(job_of(tuning, arm))) == needs == ARMS[arm].needs_source


# ---------------------------------------------------------------------------- once


@EACH_GROUP
def test_each_network_is_trained_once_and_on_a_second_run_none(name, groups, tmp_path, monkeypatch):
    trained = []

    def noting(tuner, original):
        return lambda *arguments, **more: trained.append(tuner) or original(*arguments, **more)

    for tuner in TUNERS:
        monkeypatch.setattr(module, tuner, noting(tuner, getattr(module, tuner)))
    first = tune_all(small_tuning(groups[name], tmp_path))
    tasks, control = len(groups[name].tasks), name == DIVERSE
    expected = {"train_task": 5 * tasks, "tune_independently": tasks + control}
    expected |= {"tune_alternately": 1, "tune_jointly": 2}
    assert {tuner: trained.count(tuner) for tuner in TUNERS} == expected
    trained.clear()
    second = tune_all(small_tuning(groups[name], tmp_path))
    assert trained == []
    for arm, task in [(arm, task) for arm, outcomes in first.items() for task in outcomes]:
        one, two = (outcomes[arm][task] for outcomes in (first, second))
        assert training_record(one.tuned) == training_record(two.tuned)  # times to the last digit
        for epoch, network in one.networks.items():
            assert bytes_of(network) == bytes_of(two.networks[epoch])


@pytest.mark.parametrize(
    ("arm", "tuner"), [(INDEPENDENT, "tune_independently"), (SINGLE, "train_task")]
)
def test_job_stopped_between_two_tasks_ends_as_if_never_stopped(
    arm, tuner, groups, tmp_path, monkeypatch
):
    original, calls = getattr(module, tuner), []

    def stopping(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*arguments)

    def tune(folder):
        tuning = small_tuning(groups[DIVERSE], tmp_path / folder)
        return tuning.tune(job_of(tuning, arm))

    whole = tune("a")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, tuner, stopping)
        tune("b")
    again = tune("b")
    for task in whole:
        one, two = (outcomes[task].networks[OWN_EPOCH] for outcomes in (whole, again))
        assert bytes_of(one) == bytes_of(two)
        assert whole[task].tuned.history.train == again[task].tuned.history.train


# ---------------------------------------------------------------------------- updates


@pytest.mark.parametrize(
    ("arm", "updates"),
    [(Arm("a"), 10), (Arm("a", moves=False), 0), (Arm("a", longer=True), 30),
     (Arm("a", together=True), 30), (Arm("a", together=True, joint=True), 10)],
)  # fmt: skip
def test_encoder_is_updated_by_every_task_that_takes_turns_at_it(arm, updates):
    assert arm.encoder_updates(10, tasks=3) == updates
