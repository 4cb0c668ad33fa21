"""Results of a group of tasks from records that are made up, against sums by hand."""

from statistics import stdev

import numpy as np
import pytest
from made_records import (
    REPLICATES,
    SHARED,
    SOURCE_HISTORY,
    SOURCE_PARAMETERS,
    TASKS,
    UPDATES,
    in_memory,
    jobs_of,
    labels_of,
    results_of,
)

from ums.experiments.arms import ARMS
from ums.experiments.jobs import TUNE, Job
from ums.experiments.names import (
    CLASSIFICATION,
    CONTROL,
    DIVERSE,
    HELD_OUT,
    LOGITS,
    MEASURES,
    ONE_ENCODER,
    OWN_EPOCH,
    SIMILAR,
    SOURCE_HEAD,
    STRATEGIES,
    TEST,
)
from ums.experiments.results.contrasts import QUESTIONS, answer, family
from ums.experiments.results.costs import GroupCosts, TrainingCost
from ums.experiments.results.groups import GroupResults
from ums.experiments.results.intervals import over_trainings, over_trainings_and_patients
from ums.experiments.results.jackknife import Measured
from ums.experiments.results.verdicts import Verdict
from ums.training import History

EACH_GROUP = pytest.mark.parametrize("name", [DIVERSE, SIMILAR])


def recorded(jobs, group, arm, task, where, epoch=OWN_EPOCH):
    """What each replicate's record says."""
    runs = range(1, REPLICATES + 1)
    return [jobs[Job(TUNE, group, arm, r)]["tasks"][task][epoch][where] for r in runs]


# ---------------------------------------------------------------------------- scores


@pytest.mark.parametrize(("name", "where"), [(DIVERSE, TEST), (DIVERSE, HELD_OUT), (SIMILAR, TEST)])
def test_estimates_have_each_replicates_score(name, where):
    jobs, found = jobs_of(name), results_of(name)
    for task, arm in ((t, a) for t in found.tasks for a in STRATEGIES):
        records = recorded(jobs, name, arm, task.name, where)
        if task.kind == CLASSIFICATION:
            by_hand = [(r[LOGITS].argmax(axis=1) == labels_of(where)).mean() for r in records]
        else:
            by_hand = [r["Accuracy"].mean() for r in records]
        estimate = found.estimate(arm, task.name, "Accuracy", where)
        np.testing.assert_allclose(estimate.values, by_hand)
        assert estimate.low <= estimate.mean <= estimate.high


def test_interval_of_a_score_goes_no_further_than_scores_do():
    measured = Measured(np.array([0.1, 0.9]), np.array([[0.1, 0.1], [0.9, 0.9]]))
    low, high = over_trainings_and_patients(measured)
    assert low < -1 and high > 1  # two replicates that differ
    for ends in ((), (0, 1), (-1, 1)):
        estimate = results_of(DIVERSE).estimated(measured, *ends)
        assert (estimate.low, estimate.mean, estimate.high) == ((ends or (0, 1))[0], 0.5, 1)


def test_distance_that_was_recorded_is_a_measure_without_an_end():
    jobs = jobs_of(DIVERSE)
    for job, record in jobs.items():
        if job.arm:
            scores = record["tasks"]["lungs"][OWN_EPOCH][TEST]
            scores["HD95"] = 10 * job.replicate + 20 * scores["IoU"]
    found = GroupResults(in_memory(jobs), DIVERSE)
    lungs, abnormality = found.tasks
    assert found.measures(lungs) == (*MEASURES[lungs.kind], "HD95")
    assert found.measures(abnormality) == MEASURES[abnormality.kind]
    estimate = found.estimate("joint", "lungs", "HD95")
    assert estimate.high > estimate.mean > 10 > estimate.low == 0
    assert found.contrast("joint", "separate", "lungs", "HD95").trainings.low < -1


@EACH_GROUP
def test_every_measure_of_every_task_has_a_mean_and_a_spread(name):
    found = results_of(name)
    for task, (_, kind) in TASKS[name].items():
        for measure in MEASURES[kind]:
            estimate = found.estimate("joint", task, measure)
            assert estimate.mean == pytest.approx(np.mean(estimate.values))
            assert estimate.sd == pytest.approx(stdev(estimate.values))
            assert np.isnan(estimate.low) == (measure == "F-score" and kind == CLASSIFICATION)


def test_tasks_count_their_cases_and_are_named_by_their_main_measure():
    lungs, abnormality = results_of(DIVERSE).tasks
    assert (lungs.title, lungs.measure, abnormality.measure) == ("Lung segmentation", "IoU", "MCC")
    assert lungs.cases == abnormality.cases == {HELD_OUT: 20, TEST: 40}


def test_results_do_not_depend_on_the_order_of_an_arms_replicates():
    jobs = list(jobs_of(SIMILAR).items())
    backwards = GroupResults(in_memory(dict([jobs[0], *reversed(jobs[1:])])), SIMILAR)
    for arm in STRATEGIES:
        one, other = (
            g.estimate(arm, "viral-normal").values for g in (backwards, results_of(SIMILAR))
        )
        np.testing.assert_array_equal(one, other)


def test_arm_is_known_by_the_tasks_it_was_tested_on():
    jobs = jobs_of(SIMILAR, [*STRATEGIES, SOURCE_HEAD])
    for job, record in jobs.items():
        if job.arm == SOURCE_HEAD:
            record["tasks"] = {
                "viral-normal": {OWN_EPOCH: record["tasks"]["viral-normal"][OWN_EPOCH]}
            }
    found = GroupResults(in_memory(jobs), SIMILAR)
    assert found.has(SOURCE_HEAD, "viral-normal") and not found.has(SOURCE_HEAD, "bacterial-normal")
    assert not found.has("joint", "viral-normal", HELD_OUT) and not found.has(
        "single", "viral-normal"
    )
    assert found.has("joint", "viral-normal", TEST, ONE_ENCODER)
    assert not found.has("separate", "viral-normal", TEST, ONE_ENCODER)
    question = next(q for q in QUESTIONS if q.worse == SOURCE_HEAD)
    answered = [answer(found, question, task, 1) is not None for task in TASKS[SIMILAR]]
    assert answered == [False, True, False]


@pytest.mark.parametrize(("overlap", "correlation"), [(0.0, 0.0), (0.25, 0.25), (1.0, 0.0)])
def test_replicates_that_share_images_are_conditional_and_corrected_where_that_can_be(
    overlap, correlation
):
    found = results_of(SIMILAR, overlap=overlap, replicates=8)
    contrast = found.contrast("joint", "separate", "viral-normal")
    difference = found.measured("joint", "viral-normal", "") - found.measured(
        "separate", "viral-normal", ""
    )
    assert found.conditional == (overlap > 0)
    assert contrast.trainings == over_trainings(difference.values, correlation)
    assert max(map(abs, contrast.trainings)) < 2  # beyond which no MCC differs
    assert contrast.mean == pytest.approx(difference.values.mean())


def test_one_encoder_is_compared_with_each_tasks_own_epoch():
    jobs, found = jobs_of(DIVERSE), results_of(DIVERSE)
    one, own = (
        [r["IoU"].mean() for r in recorded(jobs, DIVERSE, "joint", "lungs", TEST, epoch)]
        for epoch in (ONE_ENCODER, OWN_EPOCH)
    )
    lost = found.cost_of_one_encoder("joint", "lungs")
    assert lost.mean == pytest.approx(np.mean(one) - np.mean(own)) and lost.margin == 0.01


# ---------------------------------------------------------------------------- contrasts


def test_family_is_the_sharing_contrasts_of_all_tasks():
    assert family([results_of(DIVERSE), results_of(SIMILAR)]) == 2 * 5


def test_sharing_has_simultaneous_intervals_and_the_others_plain_ones():
    found = results_of(SIMILAR, arms=("single", "alternating", "scratch"))
    for question in QUESTIONS:
        if {question.better, question.worse} <= set(found.arms):
            size = 10 if question.primary else 1
            expected = found.contrast(question.better, question.worse, "viral-normal", "", size)
            assert answer(found, question, "viral-normal", 10) == expected
    plain = found.contrast("alternating", "single", "viral-normal")
    wide = found.contrast("alternating", "single", "viral-normal", "", 10)
    assert wide.trainings.high > plain.trainings.high and wide.mean == plain.mean


def test_interval_of_a_difference_goes_no_further_than_differences_do():
    found = results_of(DIVERSE, perfect=("joint",))
    wide = [found.contrast("joint", "separate", task, "", 10_000) for task in TASKS[DIVERSE]]
    assert [contrast.trainings.high for contrast in wide] == [1, 2]
    assert wide[0].both.low == -1 and wide[0].verdict is Verdict.OPEN


# ---------------------------------------------------------------------------- heat maps


SHARES = {"independent": [0.2, np.nan], CONTROL: [0.5, 0.1]}


def with_heat_maps(shares, patients=("a", "b")):
    jobs = jobs_of(DIVERSE, STRATEGIES[:1])
    cases = next(iter(jobs.values()))
    cases["heat map"] = {"task": "abnormality", "patients": list(patients), "area": {"lungs": 0.3}}
    for arm, of_maps in shares.items():
        for replicate in (1, 2):
            job = Job(TUNE, DIVERSE, arm, replicate)
            jobs[job] = jobs.get(job, {"tasks": {}}) | {"heat map": of_maps}
    return GroupResults(in_memory(jobs), DIVERSE)


def test_control_has_heat_maps_but_no_scores():
    found = with_heat_maps({arm: {"CAM": {"mass": values}} for arm, values in SHARES.items()})
    assert found.arms == STRATEGIES[:1] and set(found.heat_maps) == set(SHARES)
    for arm, of_maps in SHARES.items():
        np.testing.assert_array_equal(found.heat_maps[arm]["CAM"]["mass"], [of_maps] * 2)


def test_mean_over_maps_leaves_out_images_without_one():
    maps = {"CAM": {"mass": [0.2, np.nan, 0.6, 0.7], "deletion": [0.25, 0.75]}}
    found = with_heat_maps({"independent": maps}, patients="aabc")
    measured = found.of_heat_maps("independent", "CAM", "mass")
    np.testing.assert_allclose(measured.values, [0.5, 0.5])
    # Three patients: 3 m - 2 m without the patient
    np.testing.assert_allclose(measured.patients[0], [1.5 - 1.3, 1.5 - 0.9, 1.5 - 0.8])
    few = found.of_heat_maps("independent", "CAM", "deletion")  # both of one patient
    assert few.values.tolist() == [0.5, 0.5] and few.patients.shape == (2, 1)


# ---------------------------------------------------------------------------- costs


def costs_of(name, source=None, denoiser=True, **how):
    cost = source or TrainingCost(SOURCE_HISTORY, 600.0, SOURCE_PARAMETERS, 0)
    titles = {task: title for task, (title, _) in TASKS[name].items()}
    return GroupCosts(titles, results_of(name, **how).costs, [cost] * REPLICATES, denoiser)


def minutes_by_hand(arm, tasks):
    """Of the first replicate; the second took twice as long."""
    return [10 * list(ARMS).index(arm) + task + 1 for task in range(tasks)]


@EACH_GROUP
@pytest.mark.parametrize("arm", STRATEGIES)
def test_minutes_are_sums_over_tasks_by_replicate(name, arm):
    costs, by_hand = costs_of(name), minutes_by_hand(arm, len(TASKS[name]))
    for task, minutes in zip(TASKS[name], by_hand, strict=True):
        assert costs.minutes(arm, task).tolist() == [minutes, 2 * minutes]
    assert costs.minutes(arm).tolist() == [sum(by_hand), 2 * sum(by_hand)]


@EACH_GROUP
@pytest.mark.parametrize("arm", STRATEGIES)
def test_encoder_that_is_tuned_with_all_heads_counts_once(name, arm):
    costs, first = costs_of(name), 100 * (list(ARMS).index(arm) + 1)
    shared = SHARED if arm in ("alternating", "joint") else 0
    heads = [costs.trainable(arm, task) for task in TASKS[name]]
    assert heads == [first + t for t in range(len(heads))]
    assert costs.trainable(arm) == sum(heads) + shared
    assert costs.updates(arm) == UPDATES + list(ARMS).index(arm)


@EACH_GROUP
@pytest.mark.parametrize("denoiser", [True, False])
def test_time_left_adds_the_source_and_the_denoiser(name, denoiser):
    shared, separate = (
        1.5 * sum(minutes_by_hand(arm, len(TASKS[name]))) for arm in ("independent", "separate")
    )  # the mean of a replicate and one twice as long
    alone, whole = costs_of(name, denoiser=denoiser).time_left
    assert alone == pytest.approx(shared / separate)
    assert whole == pytest.approx((shared + 10) / (separate + 10 * denoiser))


@EACH_GROUP
def test_lines_have_the_source_once_and_a_task_each_time(name):
    n = len(TASKS[name])
    independent, separate = (
        1.5 * np.mean(minutes_by_hand(arm, n)) for arm in ("independent", "separate")
    )
    shared, behind, alone = costs_of(name).lines().values()
    assert shared == pytest.approx((10, independent))
    assert behind == pytest.approx((10, separate)) and alone == pytest.approx((0, separate))
    shared, alone = costs_of(name, denoiser=False).lines().values()
    assert shared[0] == 10 and alone[0] == 0


def test_training_that_was_suspended_does_not_count_its_pause():
    quick, paused = (TrainingCost(History(), 60.0 * m, 1, 0) for m in (3, 500))
    tasks = {arm: {"lungs": [quick, paused, quick]} for arm in ("independent", "separate")}
    costs = GroupCosts({"lungs": "Lungs"}, tasks, [quick, quick, paused], True)
    assert costs.source_minutes == 3 and costs.time_left == (1, 1)


def test_untrained_source_costs_nothing():
    costs = costs_of(DIVERSE, TrainingCost(History(), 0.0, SOURCE_PARAMETERS, 0))
    assert costs.source_minutes == 0 and costs.time_left[0] == costs.time_left[1]


@pytest.mark.parametrize(
    ("losses", "theirs", "share"),
    [
        ([3, 2, 1, 0], [5, 1, 2, 4], 3 / 4),
        ([1, 2], [5, 1], 1 / 2),
        ([3, 2], [5, 1], np.inf),
    ],
)
def test_a_loss_is_reached_after_a_share_of_the_training(losses, theirs, share):
    costs = {
        arm: {"lungs": [TrainingCost(History([], values), 1.0, 1, 0)]}
        for arm, values in (("single", losses), ("scratch", theirs))
    }
    found = GroupCosts({"lungs": "Lungs"}, costs, [], False).reached("single", "lungs", "scratch")
    assert found.tolist() == [share]
