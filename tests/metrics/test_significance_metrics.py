from itertools import product

import numpy as np
import pytest
from scipy import stats

from ums.metrics import roc_auc, significance
from ums.metrics.significance import bootstrap_interval, holm, mcnemar_exact, paired_permutation


def seeded(seed=0):
    return np.random.default_rng(seed)


def right_and_wrong(both, only_a, only_b, neither, seed=0):
    """Paired booleans with these counts, in random order."""
    a = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
    b = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
    order = seeded(seed).permutation(a.size)
    return a[order], b[order]


# ------------------------------------------------------------------------------ McNemar


@pytest.mark.parametrize(
    ("only_a", "only_b", "p"),
    [
        (6, 0, 2 / 2**6),
        (0, 6, 2 / 2**6),
        (1, 9, 2 * (1 + 10) / 2**10),
        (2, 7, 2 * (1 + 9 + 36) / 2**9),
        (3, 3, 1),
        (3, 4, 1),
        (1, 0, 1),
        (0, 0, 1),
    ],
)
def test_mcnemar_of_a_few_hand_counted_cases(only_a, only_b, p):
    result = mcnemar_exact(*right_and_wrong(5, only_a, only_b, 3))
    assert (result.only_a, result.only_b) == (only_a, only_b)
    assert result.p_value == pytest.approx(p, rel=1e-12) and result.p_value <= 1


@pytest.mark.parametrize("only_b", [30, 45, 50, 71])
def test_mcnemar_equals_scipys_binomial_test(only_b):
    expected = stats.binomtest(50, 50 + only_b, 0.5).pvalue
    assert mcnemar_exact(*right_and_wrong(400, 50, only_b, 9)).p_value == pytest.approx(expected)


def test_mcnemar_looks_at_discordant_cases_only():
    few, many = right_and_wrong(0, 8, 1, 0), right_and_wrong(900, 8, 1, 300)
    assert mcnemar_exact(*few) == mcnemar_exact(*many)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (np.ones(2, bool), np.ones(3, bool), r"\(2,\) and \(3,\)"),
        (np.ones((2, 2), bool), np.ones((2, 2), bool), r"\(2, 2\) and \(2, 2\)"),
        (np.ones(0, bool), np.ones(0, bool), r"\(0,\) and \(0,\)"),
        (np.ones(2, bool), np.ones(2, int), "boolean, got bool and int64"),
    ],
)
def test_mcnemar_refuses_what_is_not_paired_booleans(a, b, message):
    with pytest.raises(ValueError, match=message):
        mcnemar_exact(a, b)


# ------------------------------------------------------------------------------ Holm


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # 4 x .005, 3 x .01, 2 x .03, .04
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
        ([0.9, 0.6], [1, 1]),
        ([0.04], [0.04]),
        ([0, 1], [0, 1]),
    ],
)
def test_holm_by_hand(p_values, adjusted):
    np.testing.assert_allclose(holm(p_values), adjusted, rtol=1e-12)


def test_holm_rejects_what_the_step_down_procedure_does():
    for p in seeded().random((200, 6)) ** 4:
        rejected, order = np.zeros(6, bool), np.argsort(p)
        for k in range(6):
            if p[order[k]] > 0.05 / (6 - k):
                break
            rejected[order[k]] = True
        np.testing.assert_array_equal(holm(p) <= 0.05, rejected)


@pytest.mark.parametrize("p_values", [[0.1, np.nan], [1.1], [-0.1, 0.5]])
def test_holm_refuses_what_is_no_probability(p_values):
    with pytest.raises(ValueError, match=r"\[0, 1\], got \["):
        holm(p_values)


@pytest.mark.parametrize("p_values", [[], [[0.1]], 0.1])
def test_holm_refuses_other_shapes(p_values):
    with pytest.raises(ValueError, match="got shape"):
        holm(p_values)


# ------------------------------------------------------------------------------ bootstrap


@pytest.mark.parametrize(("level", "expected"), [(0.4, (0.5, 0.5)), (0.6, (0, 1))])
def test_bootstrap_of_two_cases_by_hand(level, expected):
    """The mean of two draws from 0 and 1 is 0, 1/2 or 1 with probabilities 1/4, 1/2 and 1/4."""
    cases = (np.array([0.0, 1.0]),)
    assert bootstrap_interval(np.mean, cases, seeded(), level) == expected


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_bootstrap_interval_is_that_of_all_resamples(level):
    x = np.array([0.3, 1.1, 2.5, 2.6, 7.0])
    means = [np.mean(drawn) for drawn in product(x, repeat=5)]
    expected = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    assert bootstrap_interval(np.mean, (x,), seeded(), level, 20_000) == pytest.approx(
        expected, abs=0.05
    )


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_bootstrap_interval_is_scipys_percentile_interval(level):
    pytest.importorskip("scipy", minversion="1.15")  # its generators had another name before
    x = seeded(1).exponential(size=60)
    theirs = stats.bootstrap(
        (x,), np.mean, n_resamples=20_000, confidence_level=level, method="percentile",
        rng=seeded(2),
    ).confidence_interval  # fmt: skip
    ours = bootstrap_interval(np.mean, (x,), seeded(3), level, resamples=20_000)
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.05 * x.std() / np.sqrt(60))


def test_bootstrap_draws_the_arrays_of_a_case_together():
    x = np.arange(20.0)

    def always_two(a, b):
        return np.mean(b - a)

    assert bootstrap_interval(always_two, (x, x + 2), seeded(), resamples=50) == (2, 2)


def test_bootstrap_is_repeated_by_its_seed():
    x = seeded(1).normal(size=30)
    first, second, other = (bootstrap_interval(np.mean, (x,), seeded(s)) for s in (5, 5, 6))
    assert first == second != other


def test_bootstrap_draws_whole_groups():
    """Groups of 1, 2 and 3 cases: a resample has every group's cases as often as each other."""
    groups = np.array(["b", "c", "a", "c", "b", "c"])
    seen = []

    def statistic(case):
        counts = np.bincount(case, minlength=6)
        seen.append(tuple(counts[[0, 1, 2]]))
        assert counts[0] == counts[4] and counts[1] == counts[3] == counts[5]
        return counts[2]

    bootstrap_interval(statistic, (np.arange(6),), seeded(), resamples=300, groups=groups)
    assert {sum(counts) for counts in seen} == {3}
    assert len(set(seen)) == 10  # every way to draw three of three groups


def test_bootstrap_of_single_image_groups_equals_that_of_images():
    x, names = seeded(1).normal(size=25), seeded(2).permutation(25)
    assert bootstrap_interval(np.mean, (x,), seeded(3)) == bootstrap_interval(
        np.mean, (x,), seeded(3), groups=names
    )


def test_bootstrap_of_repeated_images_is_as_wide_as_that_of_their_patients():
    x = seeded(1).normal(size=40)
    copies, patients = np.repeat(x, 9), np.repeat(np.arange(40), 9)
    single = bootstrap_interval(np.mean, (x,), seeded(3))
    grouped = bootstrap_interval(np.mean, (copies,), seeded(3), groups=patients)
    ignored = bootstrap_interval(np.mean, (copies,), seeded(3))
    assert grouped == pytest.approx(single, abs=1e-12)
    assert 3 * np.ptp(ignored) == pytest.approx(np.ptp(grouped), rel=0.1)


def test_bootstrap_leaves_out_resamples_without_a_score():
    labels, scores = np.array([1, 0, 0, 0]), np.array([0.9, 0.1, 0.2, 0.3])
    drawn = []

    def auc(*arrays):
        drawn.append(roc_auc(*arrays))
        return drawn[-1]

    assert bootstrap_interval(auc, (labels, scores), seeded(), resamples=200) == (1, 1)
    assert 20 < np.isnan(drawn).sum() < 100  # (3/4)^4 + (1/4)^4 of them


@pytest.mark.parametrize(("undefined", "expected"), [(50, 7.0), (51, np.nan)])
def test_bootstrap_is_undefined_where_most_resamples_are(undefined, expected):
    scores = iter([np.inf] * undefined + [7.0] * (100 - undefined))
    interval = bootstrap_interval(lambda x: next(scores), (np.ones(3),), seeded(), resamples=100)
    np.testing.assert_equal(tuple(interval), (expected, expected))


@pytest.mark.parametrize(("x", "groups"), [([3.0], None), ([3.0, 4.0], ["one", "one"])])
def test_bootstrap_of_one_case_or_one_patient_is_undefined(x, groups):
    assert np.isnan(bootstrap_interval(np.mean, (x,), seeded(), groups=groups)).all()


@pytest.mark.parametrize(
    ("cases", "settings", "message"),
    [
        ((np.ones(3), np.ones(2)), {}, r"got shapes \[\(3,\), \(2,\)\]"),
        ((np.ones(0),), {}, r"got shapes \[\(0,\)\]"),
        ((1.0,), {}, r"got shapes \[\(\)\]"),
        ((), {}, r"got shapes \[\]"),
        ((np.ones(3),), {"groups": [1, 2]}, r"\(3,\) for 3 cases, got \(2,\)"),
        ((np.ones(3),), {"level": 95}, "between 0 and 1, got 95"),
        ((np.ones(3),), {"level": 0}, "between 0 and 1, got 0"),
        ((np.ones(3),), {"level": 1}, "between 0 and 1, got 1"),
        ((np.ones(3),), {"resamples": 0}, "at least 1, got 0"),
    ],
)
def test_bootstrap_refuses_unfit_cases_and_settings(cases, settings, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(np.mean, cases, seeded(), **settings)


# ------------------------------------------------------------------------------ sign flips


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1, 1, 1, 1, 1], 2 / 32),
        ([-1, -1, -1, -1, -1], 2 / 32),
        ([1, 2, -3, 4], 10 / 16),  # of the 16 sums, 2, 0 and -2 are nearer than 4, two each
        ([0.1, 0.2, -0.3], 1),
        ([0, 0, 0], 1),
        ([5], 1),
    ],
)
def test_sign_flips_by_hand(differences, p):
    assert paired_permutation(differences, seeded()) == p


@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_sign_flips_equal_scipys_permutation_test(shift):
    d = seeded(4).normal(shift, 1, 12)
    theirs = stats.permutation_test(
        (d, np.zeros(12)), lambda a, b: np.mean(a - b), permutation_type="samples"
    )
    assert paired_permutation(d, seeded()) == pytest.approx(theirs.pvalue, abs=1e-12)


def test_rounding_does_not_part_sums_that_are_equal():
    d = np.array([0.1, 0.1, 0.1, 0.3, -0.2, 0.7])
    assert paired_permutation(d, seeded()) == paired_permutation(np.round(10 * d), seeded())


def test_all_patterns_are_taken_where_there_are_as_many_as_resamples():
    assert paired_permutation(np.array([1.0, 2, 4]), seeded(), resamples=8) == 2 / 8


def test_sampled_sign_flips_are_close_to_all_of_them():
    d = seeded(5).normal(0.5, 1, 12)
    exact = paired_permutation(d, seeded(), resamples=2**12)
    sampled = paired_permutation(d, seeded(), resamples=2**12 - 1)
    assert sampled != exact and 0.05 < exact < 0.5
    assert sampled == pytest.approx(exact, abs=4 * np.sqrt(exact / 2**12))


def test_sampled_sign_flips_do_not_depend_on_how_many_are_drawn_at_a_time(monkeypatch):
    d = seeded(5).normal(0.2, 1, 50)
    whole = paired_permutation(d, seeded(), resamples=100)
    monkeypatch.setattr(significance, "PATTERN_SIGNS", 7 * 50)
    assert paired_permutation(d, seeded(), resamples=100) == whole != 1


def test_sampled_p_value_counts_the_observed_pattern():
    assert paired_permutation(np.ones(200), seeded(), resamples=999) == 1 / 1000


def test_sign_flips_are_repeated_by_their_seed():
    d = seeded(1).normal(size=50)
    first, second, other = (paired_permutation(d, seeded(s), 500) for s in (1, 1, 2))
    assert first == second != other


@pytest.mark.parametrize(
    ("differences", "resamples", "message"),
    [
        ([], 10, r"got shape \(0,\)"),
        ([[1.0]], 10, r"got shape \(1, 1\)"),
        ([1.0, np.nan], 10, "finite"),
        ([1.0], 0, "at least 1, got 0"),
    ],
)
def test_sign_flips_refuse_unfit_differences(differences, resamples, message):
    with pytest.raises(ValueError, match=message):
        paired_permutation(differences, seeded(), resamples)


@pytest.mark.parametrize(("other", "p"), [(4e-13, 1.0), (1e-11, 0.5)])
def test_sums_that_differ_as_by_rounding_are_equally_far(other, p):
    assert paired_permutation(np.array([1, other]), np.random.default_rng(0)) == p
