"""Results of a group of tasks from records that are made up, against sums by hand."""

from itertools import combinations

import numpy as np
import pytest
from made_records import (
    FOLDS,
    SHARED,
    SOURCE_COST,
    SOURCE_PARAMETERS,
    TASKS,
    in_memory,
    jobs_of,
    labels_of,
    results_of,
)

from ums.experiments.jobs import TUNE, Job
from ums.experiments.names import (
    CLASSIFICATION,
    CONTROL,
    DIVERSE,
    HELD_OUT,
    LOGITS,
    MEASURES,
    SIMILAR,
    STRATEGIES,
    TEST,
)
from ums.experiments.results.costs import GroupCosts, TrainingCost
from ums.experiments.results.groups import GroupResults
from ums.training import History

pytestmark = pytest.mark.usefixtures("few_resamples")
EACH_GROUP = pytest.mark.parametrize("name", [DIVERSE, SIMILAR])


def scores_in(jobs, group, arm, task, where):
    """What each fold's record says."""
    return [jobs[Job(TUNE, group, arm, f)]["tasks"][task][where] for f in range(1, FOLDS + 1)]


# ---------------------------------------------------------------------------- scores


@EACH_GROUP
@pytest.mark.parametrize("where", [TEST, HELD_OUT])
def test_estimates_have_each_folds_score_of_its_own_cases(name, where):
    jobs, found = jobs_of(name), results_of(name)
    for task, arm in ((t, a) for t in found.tasks for a in STRATEGIES):
        recorded = scores_in(jobs, name, arm, task.name, where)
        if task.kind == CLASSIFICATION:
            labels = labels_of(where)
            by_hand = [(r[LOGITS].argmax(axis=1) == labels[r["case"]]).mean() for r in recorded]
        else:
            by_hand = [r["Accuracy"].mean() for r in recorded]
        estimate = found.estimates[arm, where, task.name, "Accuracy"]
        np.testing.assert_allclose(estimate.folds, by_hand)
        assert estimate.low < estimate.mean < estimate.high


@EACH_GROUP
def test_every_measure_of_every_task_is_estimated(name):
    found = results_of(name)
    assert set(found.estimates) == {
        (arm, where, task, measure)
        for arm in STRATEGIES
        for where in (TEST, HELD_OUT)
        for task, (_, kind) in TASKS[name].items()
        for measure in MEASURES[kind]
    }


def test_tasks_count_their_cases_and_are_named_by_their_main_measure():
    lungs, abnormality = results_of(DIVERSE).tasks
    assert (lungs.title, lungs.measure, abnormality.measure) == ("Lung segmentation", "IoU", "MCC")
    assert lungs.cases == abnormality.cases == {HELD_OUT: 20, TEST: 40}


def test_results_follow_the_seed():
    records = in_memory(jobs_of(SIMILAR))
    first, again, other = (GroupResults(records, SIMILAR, seed).estimates for seed in (1, 1, 2))
    assert first == again != other


def test_results_do_not_depend_on_the_order_of_a_strategys_folds():
    jobs = list(jobs_of(SIMILAR).items())
    backwards = GroupResults(in_memory(dict([*jobs[:2], *jobs[6:], *jobs[2:6]])), SIMILAR, 0)
    assert backwards.estimates == results_of(SIMILAR).estimates
    assert backwards.comparisons == results_of(SIMILAR).comparisons


@pytest.mark.parametrize(("images_each", "clustered"), [(1, False), (2, True)])
def test_results_tell_whether_a_patient_has_several_cases(images_each, clustered):
    assert results_of(SIMILAR, images_each=images_each).clustered == clustered


def test_control_has_heat_maps_but_no_scores():
    jobs = jobs_of(DIVERSE, STRATEGIES[:1])
    shares = {STRATEGIES[0]: [0.2, np.nan], CONTROL: [0.5, 0.1]}
    for arm, of_maps in shares.items():
        for fold in (1, 2):
            record = jobs.get(Job(TUNE, DIVERSE, arm, fold), {"tasks": {}})
            jobs[Job(TUNE, DIVERSE, arm, fold)] = record | {"heat map": {"lungs": of_maps}}
    found = GroupResults(in_memory(jobs), DIVERSE, 0)
    assert found.arms == STRATEGIES[:1] and set(found.heat_maps) == set(shares)
    for arm, of_maps in shares.items():
        np.testing.assert_array_equal(found.heat_maps[arm]["lungs"], [of_maps] * 2)


# ---------------------------------------------------------------------------- comparisons


def holm_by_hand(p_values):
    """The smallest of m by m, the next by m - 1, and so on; none below the one before."""
    corrected, before = {}, 0.0
    for k, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        before = max(before, min(1.0, (len(p_values) - k) * p_values[i]))
        corrected[i] = before
    return [corrected[i] for i in range(len(p_values))]


@EACH_GROUP
def test_p_values_are_corrected_for_all_comparisons_of_the_group(name):
    found = results_of(name, perfect=("joint",)).comparisons
    assert len(found) == 6 * len(TASKS[name])
    p = [c.p_value for c in found]
    np.testing.assert_allclose([c.corrected for c in found], holm_by_hand(p))
    assert min(p) < 0.02 and sum(c.corrected > c.p_value for c in found) > 3


@EACH_GROUP
def test_every_two_strategies_are_compared_on_the_test_cases_of_every_task(name):
    results = results_of(name, perfect=("joint",))
    for task in results.tasks:
        for a, b in combinations(STRATEGIES, 2):
            (found,) = (c for c in results.comparisons if (c.task, c.a, c.b) == (task.name, a, b))
            one, other = (results.scores[arm, TEST, task.name] for arm in (a, b))
            if task.kind == CLASSIFICATION:
                assert found.only_a == (one.right() & ~other.right()).sum()
                assert found.only_b == (other.right() & ~one.right()).sum()
                assert found.statistic == found.only_a - found.only_b
            else:
                assert np.sign(found.statistic) == np.sign(np.sum(found.differences))
            folds = [results.folds(arm, task) for arm in (a, b)]
            np.testing.assert_allclose(found.differences, np.subtract(*folds))


def test_comparison_is_found_and_seen_from_either_side():
    results = results_of(DIVERSE, perfect=("separate",))
    found = results.comparison("lungs", "separate", "joint")
    assert found is results.comparison("lungs", "joint", "separate") and found.a == "joint"
    differences, statistic = found.seen_from("separate")
    assert statistic > 0 and all(d > 0 for d in differences)
    assert found.seen_from("joint") == (tuple(-d for d in differences), -statistic)


def test_group_tuned_by_some_strategies_compares_those():
    found = results_of(SIMILAR, arms=("independent", "separate")).comparisons
    assert [(c.a, c.b) for c in found] == [("independent", "separate")] * 3


def test_group_tuned_by_one_strategy_has_nothing_to_compare():
    assert results_of(SIMILAR, arms=("independent",)).comparisons == []


# ---------------------------------------------------------------------------- costs


def costs_of(name, source=SOURCE_COST, denoiser=True):
    titles = {task: title for task, (title, _) in TASKS[name].items()}
    return GroupCosts(titles, results_of(name).costs, source, denoiser)


def minutes_by_hand(arm, n):
    """Of the first fold; the second takes twice as long."""
    return [10 * STRATEGIES.index(arm) + t + 1 for t in range(n)]


@EACH_GROUP
@pytest.mark.parametrize("arm", STRATEGIES)
def test_minutes_of_all_tasks_are_the_sums_of_each_folds(name, arm):
    costs, by_hand = costs_of(name), minutes_by_hand(arm, len(TASKS[name]))
    for task, minutes in zip(TASKS[name], by_hand, strict=True):
        assert costs.minutes(arm, task).tolist() == [minutes, 2 * minutes]
    assert costs.minutes(arm).tolist() == [sum(by_hand), 2 * sum(by_hand)]


@EACH_GROUP
@pytest.mark.parametrize("arm", STRATEGIES)
def test_encoder_that_is_tuned_with_all_heads_counts_once(name, arm):
    costs, first = costs_of(name), 100 * (STRATEGIES.index(arm) + 1)
    shared = SHARED if arm in ("alternating", "joint") else 0
    heads = [costs.trainable(arm, task) for task in TASKS[name]]
    assert heads == [first + t for t in range(len(heads))]
    assert costs.trainable(arm) == sum(heads) + shared and costs.shared(arm) == shared


def test_epochs_are_to_the_one_whose_weights_were_kept():
    assert costs_of(DIVERSE).epochs("joint", "lungs") == [3, 1]


@EACH_GROUP
@pytest.mark.parametrize("denoiser", [True, False])
def test_totals_add_the_source_and_the_denoiser(name, denoiser):
    n = len(TASKS[name])
    shared, separate = (
        1.5 * sum(minutes_by_hand(arm, n)) for arm in ("independent", "separate")
    )  # the mean of a fold and one twice as long
    assert costs_of(name, denoiser=denoiser).totals == (shared + 10, separate + 10 * denoiser)


def test_untrained_source_costs_nothing():
    costs = costs_of(DIVERSE, TrainingCost(History(), 0.0, SOURCE_PARAMETERS, 0))
    assert costs.source_minutes == 0
    assert costs.totals == tuple(costs.minutes(arm).mean() for arm in ("independent", "separate"))


@EACH_GROUP
def test_lines_cross_where_the_source_is_paid_for(name):
    n = len(TASKS[name])
    independent, separate = (
        1.5 * np.mean(minutes_by_hand(arm, n)) for arm in ("independent", "separate")
    )
    shared, behind, alone = costs_of(name).lines().values()
    assert shared == pytest.approx((10, independent))
    assert behind == pytest.approx((10, separate)) and alone == pytest.approx((0, separate))
    tasks = 10 / (separate - independent)  # as many as make up for the source
    assert shared[0] + shared[1] * tasks == pytest.approx(alone[1] * tasks)


def test_without_a_denoiser_there_is_no_line_behind_it():
    shared, alone = costs_of(DIVERSE, denoiser=False).lines().values()
    assert shared[0] == 10 and alone[0] == 0
