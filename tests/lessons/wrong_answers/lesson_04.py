"""What students hand in for lesson 4: (name, a piece of the solution, what stands in its place)."""

MOVE_MEAN = "running_mean += (1 - momentum) * (mean - running_mean)"
MOVE_VAR = "running_var += (1 - momentum) * (var - running_var)"
BATCH = "mean, var = x.mean(axes), x.var(axes)"
DX = "dx = gamma * rstd * (dy - dy.mean(axes) - xhat * (dy * xhat).mean(axes))"
SUMS = "dgamma, dbeta = (dy * xhat).sum(axes), dy.sum(axes)"
RETURN = "    return dx, dgamma, dbeta"
XHAT = "    rstd = 1 / np.sqrt(var + eps)\n    xhat = (x - mean) * rstd\n"
MOVED = "if (array != before[name]).any():"
FORWARD = """    if training:
        mean, var = x.mean(axes), x.var(axes)
        running_mean += (1 - momentum) * (mean - running_mean)
        running_var += (1 - momentum) * (var - running_var)
    else:
        mean, var = running_mean, running_var
    rstd = 1 / np.sqrt(var + eps)
    xhat = (x - mean) * rstd
    y = gamma * xhat + beta
"""
BACKWARD = """    dgamma, dbeta = (dy * xhat).sum(axes), dy.sum(axes)
    if training:
        dx = gamma * rstd * (dy - dy.mean(axes) - xhat * (dy * xhat).mean(axes))
    else:
        dx = gamma * rstd * dy
"""
DETECTOR = """    before = {name: array.copy() for name, array in network.statistics().items()}
    network.forward(x, training=True)
    names = set()
    for name, array in network.statistics().items():
        if (array != before[name]).any():
            names.add(name)
        array[...] = before[name]
    return names
"""

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
        ("x changed in place", XHAT,
         "    rstd = 1 / np.sqrt(var + eps)\n    x -= mean\n    xhat = x * rstd\n"),
        ("root kept for its reciprocal", XHAT,
         "    rstd = np.sqrt(var + eps)\n    xhat = (x - mean) / rstd\n"),
        ("axes kept in rstd", XHAT, XHAT.replace("np.sqrt(var + eps)", "np.sqrt(var + eps)[None]")),
        ("xhat overwritten", "y = gamma * xhat + beta", "xhat *= gamma\n    y = xhat + beta"),
        ("gamma changed in place", "y = gamma * xhat + beta", "gamma *= 2\n    y = gamma * xhat / 2 + beta"),
        ("eps forgotten", "np.sqrt(var + eps)", "np.sqrt(var)"),
        ("each image by itself", BATCH, "mean, var = x[0].mean(axes[:-1]), x[0].var(axes[:-1])"),
        ("replaced at once", MOVE_MEAN, "running_mean[...] = mean"),
        ("moved towards the deviation", MOVE_VAR,
         "running_var += (1 - momentum) * (np.sqrt(var) - running_var)"),
        ("moved after the statistics are used up", MOVE_MEAN, MOVE_MEAN + "\n        mean = running_mean"),
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
        ("dy changed in place", RETURN, "    dy *= 2\n" + RETURN),
        ("dy centred in place", BACKWARD, BACKWARD.replace("    if training:",
         "    if training:\n        dy -= dy.mean(axes)").replace("dy - dy.mean(axes)", "dy")),
        ("xhat changed in place", RETURN, "    xhat *= 0\n" + RETURN),
        ("modes exchanged", BACKWARD, BACKWARD.replace("if training", "if not training")),
        ("divided by the images alone", DX, DX.replace("dy.mean(axes)", "dy.sum(axes) / len(dy)")),
        ("variance in each image alone", DX, DX.replace("(dy * xhat).mean(axes)",
         "(dy * xhat).mean(axes[1:], keepdims=True)")),
        ("rstd squared", DX, DX.replace("rstd *", "rstd**2 *")),
        ("dx in float16", RETURN, "    return dx.astype(np.float16), dgamma, dbeta"),
        ("dgamma and dbeta exchanged", RETURN, "    return dx, dbeta, dgamma"),
        ("dx alone", RETURN, "    return dx"),
        ("gamma in dgamma", SUMS, SUMS.replace("(dy * xhat)", "(dy * xhat * gamma)")),
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
        ("all numbers must differ", MOVED, "if (array != before[name]).all():"),
        ("roughly equal", MOVED, "if not np.allclose(array, before[name]):"),
        ("nearly equal", MOVED, "if abs(array - before[name]).max() > 1e-6:"),
        ("sums compared", MOVED, "if array.sum() != before[name].sum():"),
        ("smaller is not moved", MOVED, "if (array > before[name]).any() and name != '4.running_var':"),
        ("left frozen", "return names", "network.freeze()\n    return names"),
        ("nothing returned", "return names", "names"),
        ("x changed", "return names", "x *= 0\n    return names"),
    ],
}  # fmt: skip

MESSAGES = {
    "batchnorm_forward": {
        "x changed in place": "changed x in place",
        "root kept for its reciprocal": "rstd = 1 / sqrt",
        "xhat overwritten": "must hold xhat",
    },
    "batchnorm_backward": {
        "dy changed in place": "changed dy in place",
        "xhat changed in place": r"changed cache\[0\] in place",
        "dx in float16": "dx is float16, but dy is float64",
        "dx alone": "3 gradients, dx, dgamma, dbeta, in this order",
        "as at inference": "in training",
        "as in training": "at inference",
    },
    "moved": {
        "all numbers must differ": "if any does at all",
        "roughly equal": "if any does at all",
        "a list": "a set of names",
        "not put back": "not the same after the detector looked",
    },
}

RIGHT = {
    "batchnorm_forward": [
        ("a new value written into the array", MOVE_MEAN,
         "running_mean[:] = momentum * running_mean + (1 - momentum) * mean"),
        ("copyto", MOVE_VAR, "np.copyto(running_var, momentum * running_var + (1 - momentum) * var)"),
        ("scaled, then added", MOVE_MEAN,
         "running_mean *= momentum\n        running_mean += (1 - momentum) * mean"),
        ("variance by hand", BATCH, "mean = x.mean(axes)\n        var = ((x - mean) ** 2).mean(axes)"),
        ("a table of channels", BATCH,
         "table = x.reshape(-1, x.shape[-1])\n        mean, var = table.mean(0), np.var(table, 0)"),
        ("divided by the root", XHAT,
         "    deviation = (var + eps) ** 0.5\n    rstd = 1 / deviation\n    xhat = (x - mean) / deviation\n"),
        ("sums over M", BATCH, "M = x.size // x.shape[-1]\n        mean = x.sum(axes) / M\n"
         "        var = (x * x).sum(axes) / M - mean * mean"),
        ("two branches", FORWARD, """    if not training:
        rstd = (running_var + eps) ** -0.5
        xhat = (x - running_mean) * rstd
    else:
        mu = np.mean(x, axis=axes)
        sigma2 = np.var(x, axis=axes)
        rstd = (sigma2 + eps) ** -0.5
        xhat = (x - mu) * rstd
        running_mean[...] = running_mean + (1 - momentum) * (mu - running_mean)
        running_var[...] = running_var + (1 - momentum) * (sigma2 - running_var)
    y = xhat * gamma + beta
"""),
    ],
    "batchnorm_backward": [
        ("a list", RETURN, "    return [dx, dgamma, dbeta]"),
        ("step by step, as the paper", DX, """M = dy.size // dy.shape[-1]
        dxhat = dy * gamma
        dvar = (dxhat * xhat).sum(axes) * rstd**2 * -0.5
        dmean = -(dxhat * rstd).sum(axes)
        dx = dxhat * rstd + dvar * 2 * xhat / rstd / M + dmean / M"""),
        ("sums over M", DX, "M = dy.size / len(gamma)\n"
         "        dx = gamma * rstd / M * (M * dy - dbeta - xhat * dgamma)"),
        ("the whole Jacobian", DX, """dx = np.empty_like(dy)
        for c in range(len(gamma)):
            h, d = xhat[..., c].ravel(), dy[..., c].ravel()
            M = len(h)
            J = rstd[c] * (np.eye(M) - 1 / M - np.outer(h, h) / M)
            dx[..., c] = (gamma[c] * d @ J).reshape(dy.shape[:-1])"""),
        ("einsum", SUMS,
         'dgamma = np.einsum("nhwc,nhwc->c", dy, xhat)\n    dbeta = np.einsum("nhwc->c", dy)'),
        ("a difference that is 0 at inference", BACKWARD,
         """    dgamma, dbeta = (dy * xhat).sum(axes), dy.sum(axes)
    M = dy.size // dy.shape[-1]
    dx = gamma * rstd * (dy - training * (dbeta + xhat * dgamma) / M)
"""),
    ],
    "moved": [
        ("a frozen set", "return names", "return frozenset(names)"),
        ("bytes", MOVED, "if array.tobytes() != before[name].tobytes():"),
        ("not equal", MOVED, "if not np.array_equal(array, before[name]):"),
        ("parameters copied too", "before = {name: array.copy() for name, array in network.statistics()",
         "before = {name: array.copy() for name, array in network.state_dict()"),
        ("not all equal", MOVED, "if not (array == before[name]).all():"),
        ("a copy of the network", DETECTOR, """    import copy

    other = copy.deepcopy(network)
    other.forward(x, training=True)
    after = other.statistics()
    return {name for name, a in network.statistics().items() if (a != after[name]).any()}
"""),
        ("put back by the network", DETECTOR, """    import copy

    before = copy.deepcopy(network.state_dict())
    network(x, True)
    names = {n for n, a in network.statistics().items() if np.any(a != before[n])}
    network.load_state_dict(before)
    return names
"""),
    ],
}  # fmt: skip
