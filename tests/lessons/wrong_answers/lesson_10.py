"""What students get wrong in lesson 10: (name, a piece of the solution, what stands in its place)."""

MINIMUM = "(w * y.mean(axis=1)).sum() / w.sum()"
SLOPE = "1 - np.exp(-s) * losses"
STEP = "s = s - rate * uncertainty_gradient(s, losses_at(theta, y))"

WRONG = {
    "joint_minimum": [
        ("not divided by the weights", MINIMUM, "(w * y.mean(axis=1)).sum()"),
        ("divided by the number", MINIMUM, "(w * y.mean(axis=1)).mean()"),
        ("weights forgotten", MINIMUM, "y.mean()"),
        ("weights for deviations", MINIMUM, "(w**2 * y.mean(axis=1)).sum() / (w**2).sum()"),
        ("weights upside down", MINIMUM, "(y.mean(axis=1) / w).sum() / (1 / w).sum()"),
        ("one for each device", MINIMUM, "w * y.mean(axis=1) / w.sum()"),
        ("medians", MINIMUM, "np.average(np.median(y, axis=1) + 1e-3 * w, weights=w)"),
        ("mean over the devices", "y.mean(axis=1)", "y.mean(axis=0)"),
    ],
    "uncertainty_gradient": [
        ("sign exchanged", SLOPE, "np.exp(-s) * losses - 1"),
        ("second term forgotten", SLOPE, "-np.exp(-s) * losses"),
        ("inner derivative forgotten", SLOPE, "1 + np.exp(-s) * losses"),
        ("weight upside down", SLOPE, "1 - np.exp(s) * losses"),
        ("half a logarithm", SLOPE, "0.5 - np.exp(-s) * losses"),
        ("derivative of s s", SLOPE, "s - np.exp(-s) * losses"),
        ("weight without the loss", SLOPE, "1 - np.exp(-s)"),
        ("summed", SLOPE, f"({SLOPE}).sum()"),
        ("s moved in place", f"return {SLOPE}", f"s -= {SLOPE}; return s"),
    ],
    "learn_weights": [
        ("uphill", STEP, STEP.replace("s - rate", "s + rate")),
        ("rate forgotten", STEP, STEP.replace("rate * ", "")),
        ("s for weights", "weights.append(w)", "weights.append(s)"),
        ("weights of the next step", "weights.append(w)", "weights.append(np.exp(-s))"),
        ("the same array every time", "weights.append(w)",
         "weights.append(w if not weights else weights[0]); weights[0][:] = w"),
        ("theta with equal weights", "theta = joint_minimum(y, w)", "theta = joint_minimum(y, 1 + 0 * w)"),
        ("losses at the mean", STEP, STEP.replace("theta", "y.mean()")),
        ("losses with their weights", STEP, STEP.replace("losses_at", "w * losses_at")),
        ("one step short", "for _ in range(steps):", "for _ in range(steps - 1):"),
        ("weight upside down", "w = np.exp(-s)", "w = np.exp(s)"),
    ],
    "gradnorm_gradient": [
        ("uphill", "np.sign(G - wanted)", "np.sign(wanted - G)"),
        ("weight not divided by", "* G / w", "* G"),
        ("length forgotten", "* G / w", "/ w"),
        ("only the sign", "* G / w", ""),
        ("loss left out", "r = left / left.mean()", "r = 1 + 0 * left"),
        ("losses not relative to the first", "left = losses / first", "left = losses"),
        ("not relative to the others", "r = left / left.mean()", "r = left"),
        ("leader favoured", "r**alpha", "r**-alpha"),
        ("times alpha", "r**alpha", "(1 + alpha * (r - 1))"),
        ("sum for mean", "wanted = G.mean()", "wanted = G.sum()"),
        ("each its own length", "wanted = G.mean()", "wanted = G"),
    ],
}  # fmt: skip
