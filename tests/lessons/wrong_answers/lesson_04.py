"""What students get wrong in lesson 4: (name, a piece of the solution, what stands in its place)."""

MOVE_MEAN = "running_mean += (1 - momentum) * (mean - running_mean)"
MOVE_VAR = "running_var += (1 - momentum) * (var - running_var)"
BATCH = "mean, var = x.mean(axes), x.var(axes)"
DX = "dx = gamma * rstd * (dy - dy.mean(axes) - xhat * (dy * xhat).mean(axes))"
SUMS = "dgamma, dbeta = (dy * xhat).sum(axes), dy.sum(axes)"

WRONG = {
    "batchnorm_forward": [
        ("momentum turned round", MOVE_MEAN, "running_mean += momentum * (mean - running_mean)"),
        ("not in place", MOVE_MEAN, "running_mean = momentum * running_mean + (1 - momentum) * mean"),
        ("variance never moved", MOVE_VAR, "pass"),
        ("moved at inference, too", "    if training:\n        mean, var = x",
         "    running_mean += 0.1 * (x.mean(axes) - running_mean)\n    if training:\n        mean, var = x"),
        ("running statistics in training", MOVE_VAR,
         MOVE_VAR + "\n        mean, var = running_mean, running_var"),
        ("batch statistics at inference", "mean, var = running_mean, running_var",
         "mean, var = x.mean(axes), x.var(axes)"),
        ("deviation for the variance", BATCH, "mean, var = x.mean(axes), x.std(axes)"),
        ("divided by M - 1", BATCH, "mean, var = x.mean(axes), x.var(axes, ddof=1)"),
        ("eps outside the root", "1 / np.sqrt(var + eps)", "1 / (np.sqrt(var) + eps)"),
        ("all channels together", BATCH, "mean, var = x.mean() + 0 * beta, x.var() + 0 * beta"),
        ("beta forgotten", "y = gamma * xhat + beta", "y = gamma * xhat"),
    ],
    "batchnorm_backward": [
        ("mean forgotten", DX, "dx = gamma * rstd * (dy - xhat * (dy * xhat).mean(axes))"),
        ("variance forgotten", DX, "dx = gamma * rstd * (dy - dy.mean(axes))"),
        ("gamma forgotten", DX, DX.replace("gamma * ", "")),
        ("zeros", DX, "dx = 0 * dy"),
        ("sign of the second term", DX, DX.replace("- xhat", "+ xhat")),
        ("sums for means", DX, DX.replace("mean", "sum")),
        ("as at inference", DX, "dx = gamma * rstd * dy"),
        ("as in training", "dx = gamma * rstd * dy\n", DX + "\n"),
        ("rstd forgotten at inference", "dx = gamma * rstd * dy\n", "dx = gamma * dy\n"),
        ("means for the parameters", SUMS, SUMS.replace("sum", "mean")),
        ("xhat forgotten in dgamma", SUMS, SUMS.replace("(dy * xhat)", "dy")),
    ],
    "moved": [
        ("no copy", "array.copy()", "array"),
        ("forward at inference", "network.forward(x, training=True)\n", "network.forward(x)\n"),
        ("not put back", "array[...] = before[name]", "pass"),
        ("put back in the dictionary alone", "array[...] = before[name]", "array = before[name]"),
        ("a list", "return names", "return sorted(names)"),
        ("all that there are", "if (array != before[name]).any():", "if True:"),
        ("parameters instead", "if (array != before[name]).any():\n            names.add(name)",
         "if (array != before[name]).any():\n            names.add(name.replace('running', 'moving'))"),
        ("layers, not statistics", "names.add(name)", "names.add(name.partition('.')[0])"),
    ],
}  # fmt: skip
