"""Answers of lesson 11, wrong ones and right ones written otherwise: (name, piece, replacement)."""

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
        ("counts of NumPy overflow", "n = only_a + only_b", "n = np.int64(only_a + only_b)"),
        ("changed in place", "only_a = int((right_a & ~right_b).sum())",
         "right_a &= ~right_b\n    only_a = int(right_a.sum())"),
        ("the larger count", "range(min(only_a, only_b) + 1)", "range(max(only_a, only_b) + 1)"),
        ("discordant of one side", "n = only_a + only_b", "n = max(only_a, only_b)"),
        ("a share", "only_a = int((right_a & ~right_b).sum())", "only_a = (right_a & ~right_b).mean()"),
        ("both right counted in", "(right_b & ~right_a)", "(right_b | ~right_a)"),
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
        ("patients sorted in place", "names, number = ", "patients.sort()\n    names, number = "),
        ("the mean and the deviation", "return low, high", "return scores.mean(), scores.std()"),
        ("bounds exchanged", "return low, high", "return high, low"),
        ("three numbers", "return low, high", "return low, scores.mean(), high"),
        ("one patient too few", DRAWN, DRAWN.replace("len(names)))", "len(names) - 1))")),
        ("last patient never drawn", "rng.integers(len(names),", "rng.integers(len(names) - 1,"),
        ("right films out of as many patients", POOLED,
         "right_films[drawn].sum(axis=1) / all_films.sum()"),
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
        ("smallest left out", "np.arange(len(p), 0, -1)", "np.arange(len(p) - 1, -1, -1)"),
        ("float32", "corrected = np.zeros(len(p))", "corrected = np.empty(len(p), np.float32)"),
        ("a list", "return corrected", "return list(corrected)"),
        ("falling", "rising = np.argsort(p)", "rising = np.argsort(-p)"),
        ("cut off in place", "steps = np.arange", "p[p > 0.5] = 1; steps = np.arange"),
        ("held down", "np.maximum.accumulate(steps)", "np.minimum.accumulate(steps[::-1])[::-1]"),
        ("sorted in place", "rising = np.argsort(p)", "p.sort(); rising = np.argsort(p)"),
        ("not returned", "return corrected", "corrected"),
    ],
}  # fmt: skip

COUNTS = """only_a = int((right_a & ~right_b).sum())
    only_b = int((right_b & ~right_a).sum())
"""
SUM = "tail = sum(math.comb(n, k) for k in range(min(only_a, only_b) + 1))"
BOOTSTRAP = f"""{NUMBERED}
    right_films, all_films = np.bincount(number, right), np.bincount(number)
    drawn = {DRAWN}
    scores = {POOLED}
"""

RIGHT = {
    "mcnemar": [
        ("a list", "return only_a, only_b, min(1.0, 2 * tail / 2**n)",
         "return [only_a, only_b, min(1.0, 2 * tail / 2**n)]"),
        ("greater and less", COUNTS, """only_a = int((right_a > right_b).sum())
    only_b = int((right_a < right_b).sum())
"""),
        ("exclusive or", COUNTS, """either = right_a ^ right_b
    only_a, only_b = int((either & right_a).sum()), int((either & right_b).sum())
"""),
        ("a loop over the films", COUNTS, """only_a = only_b = 0
    for a, b in zip(right_a, right_b):
        only_a += bool(a and not b)
        only_b += bool(b and not a)
"""),
        ("by differences of counts", COUNTS, """both = int((right_a & right_b).sum())
    only_a, only_b = int(right_a.sum()) - both, int(right_b.sum()) - both
"""),
        ("integer halves", TAIL, "tail / 2 ** (n - 1) if n else 1.0"),
        ("SciPy", SUM, "from scipy.stats import binom; "
         "tail = binom.cdf(min(only_a, only_b), n, 0.5) * 2.0**n"),
        ("term by term", SUM, "tail, term = 0, 1\n    for k in range(min(only_a, only_b) + 1):\n"
         "        tail, term = tail + term, term * (n - k) // (k + 1)"),
        ("NumPy counts in what is returned", "return only_a, only_b,",
         "return np.int64(only_a), np.int64(only_b),"),
    ],
    "bootstrap_interval": [
        ("a loop over the resamples", BOOTSTRAP, """names = np.unique(patients)
    rows = {name: np.flatnonzero(patients == name) for name in names}
    scores = []
    for _ in range(resamples):
        drawn = rng.choice(names, len(names))
        scores.append(right[np.concatenate([rows[name] for name in drawn])].mean())
"""),
        ("resample by resample", BOOTSTRAP, """names, number = np.unique(patients, return_inverse=True)
    right_films, all_films = np.bincount(number, right), np.bincount(number)
    scores = np.zeros(resamples)
    for k in range(resamples):
        drawn = rng.integers(0, len(names), len(names))
        scores[k] = right_films[drawn].sum() / all_films[drawn].sum()
"""),
        ("multinomial", BOOTSTRAP, """names, number = np.unique(patients, return_inverse=True)
    right_films, all_films = np.bincount(number, right), np.bincount(number)
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    scores = times @ right_films / (times @ all_films)
"""),
        ("percentiles", "np.quantile(scores, [0.025, 0.975])", "np.percentile(scores, [2.5, 97.5])"),
        ("an array", "return low, high", "return np.array([low, high])"),
        ("a list", "return low, high", "return [low, high]"),
        ("sorted by hand", "np.quantile(scores, [0.025, 0.975])",
         "np.sort(scores)[[int(0.025 * resamples), min(resamples - 1, int(0.975 * resamples))]]"),
    ],
    "holm": [
        ("a loop", HELD, "[min(1, max(steps[: k + 1])) for k in range(len(p))]"),
        ("clip", HELD, "np.clip(np.maximum.accumulate(steps), 0, 1)"),
        ("places by argsort twice", "    corrected = np.zeros(len(p))\n    corrected[rising] = " + HELD,
         "    corrected = (" + HELD + ")[np.argsort(rising)]"),
        ("stable sort", "np.argsort(p)", "np.argsort(p, kind='stable')"),
        ("factors by subtraction", "np.arange(len(p), 0, -1)", "(len(p) - np.arange(len(p)))"),
        ("put", "corrected[rising] = " + HELD, "np.put(corrected, rising, " + HELD + ")"),
        ("cut off first", HELD, "np.maximum.accumulate(np.minimum(steps, 1))"),
    ],
}  # fmt: skip
