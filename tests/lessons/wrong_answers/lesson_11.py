"""What students get wrong in lesson 11: (name, a piece of the solution, what stands in its place)."""

TAIL = "2 * tail / 2**n"
POOLED = "right_films[drawn].sum(axis=1) / all_films[drawn].sum(axis=1)"
DRAWN = "rng.integers(len(names), size=(resamples, len(names)))"
NUMBERED = "names, number = np.unique(patients, return_inverse=True)"
HELD = "np.minimum(np.maximum.accumulate(steps), 1)"

WRONG = {
    "mcnemar": [
        ("one side only", TAIL, "tail / 2**n"),
        ("above 1", "min(1.0, 2 * tail / 2**n)", "2 * tail / 2**n"),
        ("always from A", "range(min(only_a, only_b) + 1)", "range(only_a + 1)"),
        ("m left out", "range(min(only_a, only_b) + 1)", "range(min(only_a, only_b))"),
        ("of all films", "n = only_a + only_b", "n = len(right_a)"),
        ("probability of m alone", "sum(math.comb(n, k) for k in range(min(only_a, only_b) + 1))",
         "math.comb(n, min(only_a, only_b))"),
        ("right in all", "(right_a & ~right_b).sum()", "right_a.sum()"),
        ("counts exchanged", "return only_a, only_b,", "return only_b, only_a,"),
        ("bell curve for the coin", "min(1.0, 2 * tail / 2**n)",
         "math.erfc(abs(only_a - only_b) / math.sqrt(2 * n))"),
        ("p alone", "return only_a, only_b,", "return"),
    ],
    "bootstrap_interval": [
        ("films drawn", NUMBERED, "names, number = np.unique(np.arange(len(right)), return_inverse=True)"),
        ("each patient's mean", POOLED, "(right_films / all_films)[drawn].mean(axis=1)"),
        ("without putting back", DRAWN,
         "np.array([rng.permutation(len(names)) for _ in range(resamples)])"),
        ("as many draws as films", DRAWN, "rng.integers(len(names), size=(resamples, len(right)))"),
        ("drawn twice, counted once", POOLED,
         "np.array([right_films[np.unique(d)].sum() / all_films[np.unique(d)].sum() for d in drawn])"),
        ("90 %", "[0.025, 0.975]", "[0.05, 0.95]"),
        ("one end only", "[0.025, 0.975]", "[0.05, 1]"),
        ("bell curve", "np.quantile(scores, [0.025, 0.975])",
         "scores.mean() - 1.96 * scores.std(), scores.mean() + 1.96 * scores.std()"),
        ("chance of its own", "drawn = rng.integers", "drawn = np.random.default_rng().integers"),
        ("always the same chance", "drawn = rng.integers", "drawn = np.random.default_rng(0).integers"),
        ("number of resamples fixed", "size=(resamples, len(names))", "size=(1000, len(names))"),
        ("not returned", "return low, high", "low, high"),
    ],
    "holm": [
        ("all times m", "np.arange(len(p), 0, -1)", "len(p)"),
        ("factors the wrong way", "np.arange(len(p), 0, -1)", "np.arange(1, len(p) + 1)"),
        ("not held up", HELD, "np.minimum(steps, 1)"),
        ("above 1", HELD, "np.maximum.accumulate(steps)"),
        ("returned sorted", "corrected[rising] =", "corrected[:] ="),
        ("not put back by place", "corrected[rising] =", "corrected[np.argsort(rising[::-1])] ="),
        ("share of false alarms (Benjamini and Hochberg)", "np.arange(len(p), 0, -1)",
         "len(p) / np.arange(1, len(p) + 1)"),
        ("sorted in place", "rising = np.argsort(p)", "p.sort(); rising = np.argsort(p)"),
        ("not returned", "return corrected", "corrected"),
    ],
}  # fmt: skip
