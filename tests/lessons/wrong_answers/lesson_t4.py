"""What students hand in for task 4: (name, a piece of the solution, what stands in its place)."""

SIGN = "sign = 2 * target - 1"
TAIL = "tail = np.log1p(np.exp(-np.abs(s)))"
LOG_P = "log_p = np.minimum(s, 0) - tail"
P = "p, rest = np.exp(log_p), np.exp(-np.maximum(s, 0) - tail)  # rest is 1 - p"
W = "w = alpha * target + (1 - alpha) * (1 - target)"
FOCUS = "focus = w * rest**gamma"
VALUES = "values = (-focus * log_p).reshape(len(logits), -1).mean(axis=1)"
GRADIENT = "gradient = sign * focus * (gamma * p * log_p - rest) / pixels"
FOUND = "found = (target * y).sum(axis=axes, keepdims=True)"
MISSED = "missed = (target * (1 - y)).sum(axis=axes, keepdims=True)"
I = "I = found + eps"
U = "U = found + alpha * wrong + beta * missed + eps"
DU = "dU = target + alpha * (1 - target) - beta * target"
DY = "dy = (I * dU - target * U) / U**2"
TVERSKY = "return _reduced((1 - I / U)[:, 0, 0, 0], dy * y * (1 - y), reduction)"
SHAPES = "if logits.shape != target.shape:"
NONE = 'if reduction == "none":\n        return values, gradient'
SUM = 'if reduction == "sum":\n        return values.sum(), gradient'
MEAN = "return values.mean(), gradient / len(values)"
REFUSED = 'raise ValueError(f"reduction must be mean, sum or none, got {reduction!r}")'

WRONG = {
    "focal": [
        ("prices exchanged", W, "w = (1 - alpha) * target + alpha * (1 - target)"),
        ("alpha for all", W, "w = alpha * np.ones_like(target)"),
        ("alpha forgotten", W, "w = np.ones_like(target)"),
        ("focus on what is right", FOCUS, "focus = w * p**gamma"),
        ("gamma a factor", FOCUS, "focus = w * rest * gamma"),
        ("gamma always 2", FOCUS, "focus = w * rest**2"),
        ("logarithm of p", LOG_P, "log_p = np.log(1 / (1 + np.exp(-s)))"),
        ("exponent grows", TAIL,
         "tail = np.log1p(np.exp(s)) - np.maximum(s, 0)"),
        ("clipped", LOG_P, "log_p = np.log(np.clip(1 / (1 + np.exp(-np.clip(s, -80, 80))), 1e-7, 1))"),
        ("warns", TAIL, "with_overflow = np.exp(np.abs(s)); tail = np.log1p(1 / with_overflow)"),
        ("gradient of the BCE", GRADIENT, "gradient = sign * focus * -rest / pixels"),
        ("focus held fast in the gradient", GRADIENT, "gradient = -sign * w * rest / pixels"),
        ("a power too low", GRADIENT,
         "gradient = sign * w * (gamma * rest ** (gamma - 1) * p * rest * log_p - rest**gamma * rest)"
         " / pixels"),
        ("sign of t forgotten", GRADIENT, "gradient = focus * (gamma * p * log_p - rest) / pixels"),
        ("gradient upside down", GRADIENT, "gradient = sign * focus * (rest - gamma * p * log_p) / pixels"),
        ("gradient of the sum", GRADIENT, "gradient = sign * focus * (gamma * p * log_p - rest)"),
        ("sum over pixels", VALUES, "values = (-focus * log_p).reshape(len(logits), -1).sum(axis=1)"),
        ("float64", W, "w = np.where(target == 1, np.float64(alpha), np.float64(1 - alpha))"),
        ("target changed", SIGN, "target *= 2; target -= 1; sign = target.copy(); target = (sign + 1) / 2"),
        ("logits changed", "s = sign * logits", "logits *= sign; s = logits.copy()"),
    ],
    "tversky": [
        ("prices exchanged", U, "U = found + beta * wrong + alpha * missed + eps"),
        ("prices exchanged, gradient too", U + "\n    " + DU,
         "alpha, beta = beta, alpha\n    " + U + "\n    " + DU),
        ("no eps below", U, "U = found + alpha * wrong + beta * missed"),
        ("no eps above", I, "I = found"),
        ("eps twice, as in Dice", I, "eps = eps / 2; I = found + eps"),
        ("sums over the batch", "axes = (1, 2, 3)", "axes = (0, 1, 2, 3)"),
        ("one image for all", FOUND, "found = (target * y).sum() + np.zeros((len(y), 1, 1, 1), y.dtype)"),
        ("counts of hard areas", "y, _ = sigmoid_forward(logits)", "y = (logits > 0) * 1.0"),
        ("found counted twice", U, "U = 2 * found + alpha * wrong + beta * missed + eps"),
        ("not subtracted from 1", "(1 - I / U)[:, 0, 0, 0]", "(I / U)[:, 0, 0, 0]"),
        ("slope of the sigmoid forgotten", "dy * y * (1 - y)", "dy"),
        ("slope of what is missed forgotten", DU, "dU = target + alpha * (1 - target)"),
        ("numerator's slope only", DY, "dy = -target / U"),
        ("sign", DY, "dy = (target * U - I * dU) / U**2"),
        ("target changed", MISSED, "target *= 1 - y; missed = target.sum(axis=axes, keepdims=True)"),
        ("sigmoid that overflows", "y, _ = sigmoid_forward(logits)",
         "y = np.exp(logits) / (1 + np.exp(logits))"),
        ("value alone", TVERSKY, "return _reduced((1 - I / U)[:, 0, 0, 0], dy * y * (1 - y), reduction)[0]"),
        ("float64", TVERSKY,
         "return _reduced((1 - I / U)[:, 0, 0, 0], dy * y * (1 - y.astype(float)), reduction)"),
    ],
    "reductions": [
        ("sum for none", NONE, 'if reduction == "none":\n        return values.sum(), gradient'),
        ("sum with the mean's gradient", SUM,
         'if reduction == "sum":\n        return values.sum(), gradient / len(values)'),
        ("none with the mean's gradient", NONE,
         'if reduction == "none":\n        return values, gradient / len(values)'),
        ("mean with the sum's gradient", MEAN, "return values.mean(), gradient"),
        ("four axes", NONE, 'if reduction == "none":\n        return values[:, None, None, None], gradient'),
        ("unknown taken for mean", REFUSED, "return values.mean(), gradient / len(values)"),
        ("unknown returns None", REFUSED, "return None"),
        ("another exception", REFUSED, "raise KeyError(reduction)"),
        ("asserted", SHAPES, "assert logits.shape == target.shape\n    if False:"),
        ("shapes not looked at", SHAPES, "if logits.size != target.size:"),
        ("shapes broadcast", SHAPES, "if False:"),
        ("a list of values", NONE, 'if reduction == "none":\n        return values[:1], gradient'),
    ],
}  # fmt: skip

WHERE = """    y, _ = sigmoid_forward(logits)
    p = np.where(target == 1, y, 1 - y)
    z = np.where(target == 1, logits, -logits)
    log_p = -np.logaddexp(logits.dtype.type(0), -z)
    rest = np.exp(-np.logaddexp(logits.dtype.type(0), z))
    sign = np.where(target == 1, logits.dtype.type(1), logits.dtype.type(-1))
"""
FOUR = f"""    {SIGN}
    s = sign * logits
    {TAIL}
    {LOG_P}
    {P}
"""

MESSAGES = {
    "focal": {
        "prices exchanged": "is w that of this t",
        "warns": "NumPy warns: overflow",
    },
    "tversky": {
        "prices exchanged, gradient too": "Which has which price",
    },
    "reductions": {
        "another exception": "it raised KeyError",
        "four axes": r"should have a value of shape \(3,\)",
    },
}

RIGHT = {
    "focal": [
        ("by logaddexp and where", FOUR, WHERE),
        ("prices by where", W, "w = np.where(target == 1, alpha, 1 - alpha).astype(logits.dtype)"),
        ("1 - p as it stands", P, "p = np.exp(log_p); rest = 1 - p"),
        ("mean over three axes", VALUES, "values = (-focus * log_p).mean(axis=(1, 2, 3))"),
        ("the product rule written out", GRADIENT,
         "gradient = sign * w * (gamma * rest**gamma * p * log_p - rest**gamma * rest) / pixels"),
        ("a list", "return _reduced(values, gradient, reduction)\n\n\ndef tversky",
         "return list(_reduced(values, gradient, reduction))\n\n\ndef tversky"),
        ("pixels counted from the shape", "pixels = logits[0].size",
         "pixels = logits.shape[1] * logits.shape[2] * logits.shape[3]"),
    ],
    "tversky": [
        ("missed as a difference", MISSED, "missed = target.sum(axis=axes, keepdims=True) - found"),
        ("two quotients", DY, "dy = I * dU / U**2 - target / U"),
        ("by where", DU, "dU = np.where(target == 1, 1 - beta, alpha).astype(logits.dtype)"),
        ("a float for the mean", "return values.mean(), gradient", "return float(values.mean()), gradient"),
        ("negative power", DY, "dy = (I * dU - target * U) * U**-2"),
    ],
    "reductions": [
        ("a dictionary", NONE, 'if reduction in ("none", None):\n        return values, gradient'),
        ("reduced by NumPy", SUM, 'if reduction == "sum":\n        return np.add.reduce(values), gradient'),
        ("refused first", "return values.mean(), gradient / len(values)",
         "return np.mean(values), gradient / gradient.shape[0]"),
        ("its own exception", REFUSED, "raise type('Unknown', (ValueError,), {})(reduction)"),
    ],
}  # fmt: skip
