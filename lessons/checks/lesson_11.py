"""Checks of lesson 11: McNemar, bootstrap by patient and Holm, against exact values and SciPy."""

import itertools

import numpy as np
from scipy import stats

from lessons.checking import CheckFailed, as_array, check, require


@check
def mcnemar(mcnemar):
    """n_A, n_B and p equal values worked out by hand, and SciPy's exact binomial test."""
    only_a, only_b, p = _three(mcnemar, 1, 5)
    require(
        (only_a, only_b) == (1, 5),
        f"only A is right on 1 film and only B on 5; yours are {only_a} and {only_b}. Which films "
        "does each of the two count?",
    )
    _same_p(
        p, 14 / 64, 1, 5, "it is the text's example; are both directions counted, and k = m too?"
    )
    _same_p(_three(mcnemar, 5, 1)[2], 14 / 64, 5, 1, "A and B exchanged should change nothing")
    _same_p(
        _three(mcnemar, 0, 6)[2], 2 / 64, 0, 6, "in how many of 64 cases do all fall to one side?"
    )
    _same_p(_three(mcnemar, 3, 3)[2], 1, 3, 3, "no probability is above 1: read the formula again")
    _same_p(
        _three(mcnemar, 0, 0)[2], 1, 0, 0, "where the two never disagree, nothing is surprising"
    )
    alike = _three(mcnemar, 2, 9, agreeing=200)[2]
    _same_p(alike, 134 / 2048, 2, 9, "do films on which both agree come into your n?")
    for a, b in ((14, 29), (260, 310)):
        exact = stats.binomtest(a, a + b).pvalue
        hint = (
            "SciPy's binomtest says so. Whole numbers of NumPy overflow at 2**63, Python's do not"
        )
        _same_p(_three(mcnemar, a, b)[2], exact, a, b, hint)


def _three(mcnemar, only_a, only_b, agreeing=20):
    """The answer for so many discordant films, among films that both or neither got right."""
    kinds = [(True, False)] * only_a + [(False, True)] * only_b
    kinds += [(True, True)] * agreeing + [(False, False)] * (agreeing // 2)
    shuffled = np.random.default_rng(0).permutation(np.array(kinds))
    given = shuffled[:, 0].copy(), shuffled[:, 1].copy()
    answer = mcnemar(*given)
    require(
        answer is not None and np.shape(answer) == (3,),
        f"it should return three numbers, n_A, n_B and p, got {type(answer).__name__}",
    )
    same = all((array == column).all() for array, column in zip(given, shuffled.T, strict=True))
    require(same, "an array that was given has been changed: the caller still needs it")
    return answer[0], answer[1], float(answer[2])


def _same_p(p, expected, only_a, only_b, hint):
    require(
        abs(p - expected) <= 1e-9 * expected,
        f"for n_A = {only_a} and n_B = {only_b} p should be {expected:.6g}, yours is {p:.6g}: {hint}",
    )


@check
def bootstrap_interval(bootstrap_interval):
    """the bounds are those of all possible resamples, enumerated, and those of SciPy's bootstrap."""
    certain = _bounds(bootstrap_interval, [2, 1, 3, 2], [2, 1, 3, 2])
    require(
        certain == (1, 1),
        f"all films are right, so every resample has accuracy 1; yours runs from {certain[0]:.3f} to "
        f"{certain[1]:.3f}",
    )
    for right_films, all_films in (([1, 1, 1], [4, 2, 1]), ([9, 0, 1, 0, 1], [12, 1, 2, 1, 1])):
        _counted_out(bootstrap_interval, right_films, all_films)
    rng = np.random.default_rng(3)
    all_films = rng.integers(1, 7, 40)
    right_films = rng.binomial(all_films, rng.choice([0.2, 0.9], 40))
    both = _bounds(bootstrap_interval, right_films, all_films, resamples=6000)
    known = stats.bootstrap(
        (right_films, all_films), lambda a, b, axis: a.sum(axis=axis) / b.sum(axis=axis),
        paired=True, vectorized=True, method="percentile", n_resamples=6000,
        random_state=np.random.default_rng(0),
    ).confidence_interval  # fmt: skip
    require(
        np.allclose(both, known, atol=0.012),
        f"of 40 patients SciPy's bootstrap gives {known.low:.3f} to {known.high:.3f}, yours "
        f"{both[0]:.3f} to {both[1]:.3f}. What is drawn, how many, and what is averaged?",
    )
    _chance(bootstrap_interval, right_films, all_films)


def _counted_out(bootstrap_interval, right_films, all_films):
    """Compare with the quantiles of all resamples there are: P to the power of P."""
    P = len(all_films)
    drawn = np.array(list(itertools.product(range(P), repeat=P)))
    scores = np.array(right_films)[drawn].sum(axis=1) / np.array(all_films)[drawn].sum(axis=1)
    exact = np.quantile(scores, [0.025, 0.975], method="inverted_cdf")
    low, high = _bounds(bootstrap_interval, right_films, all_films, resamples=10_000)
    told = ", ".join(f"{a} of {b}" for a, b in zip(right_films, all_films, strict=True))
    require(
        np.allclose((low, high), exact, atol=0.015),
        f"{P} patients have {told} films right. All {P**P} possible resamples, enumerated, give "
        f"{exact[0]:.3f} to {exact[1]:.3f}, yours {low:.3f} to {high:.3f}. Does a patient drawn twice count "
        "twice, with all films? As many draws as patients? Which two quantiles?",
    )


def _chance(bootstrap_interval, right_films, all_films):
    first, again, other = (
        _bounds(bootstrap_interval, right_films, all_films, seed, 200) for seed in (1, 1, 2)
    )
    require(
        first == again,
        "generators with the same seed give different intervals: all chance must come from rng",
    )
    require(first != other, "other seeds give the same interval: does the chance come from rng?")
    fewer = [_bounds(bootstrap_interval, right_films, all_films, s, 3) for s in range(30)]
    spread = np.std([low for low, _ in fewer])
    require(spread > 0.02, "with 3 resamples the bounds should vary much: is `resamples` used?")


def _bounds(bootstrap_interval, right_films, all_films, seed=0, resamples=1000):
    """The answer for patients with so many right films of so many, as two floats."""
    patients = np.repeat([f"P{k}" for k in range(len(all_films))], all_films)
    right = np.concatenate([np.arange(b) < a for a, b in zip(right_films, all_films, strict=True)])
    order = np.random.default_rng(7).permutation(len(right))
    rng = np.random.default_rng(seed)
    given = right[order], patients[order]
    answer = bootstrap_interval(*given, rng, resamples)
    if answer is None or np.shape(answer) != (2,):
        raise CheckFailed(f"it should return two numbers, low and high, got {answer!r}")
    same = (given[0] == right[order]).all() and (given[1] == patients[order]).all()
    require(same, "an array that was given has been changed: the caller still needs it")
    low, high = map(float, answer)
    require(low <= high, f"the lower bound, {low:.3f}, is above the upper, {high:.3f}")
    return low, high


@check
def holm(holm):
    """the corrected values are those worked out by hand, in the order given, none above 1."""
    for given, expected, hint in (
        ([0.02], [0.02], "a single test needs no correction"),
        ([0.01, 0.02, 0.5], [0.03, 0.04, 0.5], "with which factor is the k-th smallest multiplied?"),
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06],
         "in which order should they come back, and may a larger p come out below a smaller one?"),
        ([0.9, 0.2, 0.7], [1, 0.6, 1], "is each in the place of its own p, and none above 1?"),
        ([0.04, 0.04, 0.001, 0.3], [0.12, 0.12, 0.004, 0.3], "equal values should stay equal"),
    ):  # fmt: skip
        kept = np.array(given)
        got = as_array(holm(kept), "what holm returns", (len(given),), float)
        require(
            np.allclose(got, expected, rtol=1e-9, atol=1e-12),
            f"{given} should become {expected}, yours are {np.round(got, 6).tolist()}: {hint}",
        )
        require((kept == given).all(), "the array given was changed: the caller still needs it")
