"""What task t1 asks of a layer's numbers: those worked out by hand, the formulas, what is refused."""

import numpy as np

from lessons.checking import CheckFailed, as_array, require

NAMES = ("running_mean", "running_var", "batches")


def check_start(layer):
    """What a new layer holds: the statistics and parameters of the text, each where it belongs."""
    names = tuple(layer.statistics())
    require(
        sorted(names) == sorted(NAMES),
        f"statistics() should name {', '.join(NAMES)}, yours names {', '.join(names)}",
    )
    for name in NAMES:
        require(
            getattr(layer, name, None) is layer.statistics()[name],
            f"statistics()[{name!r}] must be the array self.{name} itself, not a copy, and named alike",
        )
        require(
            isinstance(layer.statistics()[name], np.ndarray),
            f"self.{name} must be an array, which can change in place; it is of the type "
            f"{type(layer.statistics()[name]).__name__}",
        )
        require(
            layer.statistics()[name].dtype == np.float32,
            f"self.{name} should start as float32; it is {layer.statistics()[name].dtype}",
        )
    parameters = set(layer.named_parameters())
    require(
        parameters == {"gamma", "beta"},
        "the parameters should be self.gamma and self.beta, each a Parameter; found: "
        + (", ".join(sorted(parameters)) or "none"),
    )
    check_numbers(layer, (0, 1, 0), "before the first batch")


def check_numbers(layer, expected, when):
    """The statistics of a layer of one channel are `expected`, in the order of NAMES."""
    found = [float(np.ravel(layer.statistics()[name])[0]) for name in NAMES]
    require(
        np.allclose(found, expected, atol=1e-5),
        f"{when} {', '.join(NAMES)} should be {expected}, yours are "
        f"{tuple(round(value, 5) for value in found)}",
    )


def check_reset(layer, x):
    """reset() writes into the arrays, leaves parameters alone, and counting begins anew."""
    arrays = dict(layer.statistics())
    gamma = layer.gamma.value.copy() + 1
    layer.gamma.value[...] = gamma
    layer.reset()
    require(
        all(layer.statistics()[name] is array for name, array in arrays.items()),
        "reset() must write into the arrays that are there; others may hold on to them",
    )
    check_numbers(layer, (0, 1, 0), "after reset()")
    require((layer.gamma.value == gamma).all(), "reset() is for the statistics: gamma changed too")
    layer.forward(x, training=True)
    check_numbers(layer, (3, 4, 1), "after reset() and one batch, of mean 3 and variance 4,")


def compare(AveragingBatchNorm):
    """Against formulas written out in float64, for batches of different size, 2 and 4 axes."""
    rng = np.random.default_rng(0)
    for axes, dtype in (("N, H, W, C", np.float32), ("N, C", np.float64)):
        layer = AveragingBatchNorm(3, eps=1e-2).astype(dtype)
        layer.gamma.value[...], layer.beta.value[...] = rng.normal(size=(2, 3))
        means, variances = [], []
        for N in (4, 9, 2):
            shape = (N, 5, 2, 3) if "H" in axes else (N, 3)
            x = rng.normal(1, 0.3, shape).astype(dtype)
            table = x.reshape(-1, 3).astype(np.float64)
            means.append(table.mean(axis=0))
            variances.append(table.var(axis=0))
            y = as_array(layer.forward(x, training=True), f"y ({axes})", shape, dtype)
            _check_formula(layer, x, y, means[-1], variances[-1], f"in training, x ({axes})")
        _check_means(layer, means, variances, axes)
        y = as_array(layer.forward(x), f"y ({axes}) at inference", shape, dtype)
        _check_formula(
            layer, x, y, np.mean(means, 0), np.mean(variances, 0), f"at inference, x ({axes})"
        )


def _check_formula(layer, x, y, mean, var, where):
    expected = layer.gamma.value * (x - mean) / np.sqrt(var + 1e-2) + layer.beta.value
    require(
        np.allclose(y, expected, atol=1e-5),
        f"{where}, three channels, eps 0.01: y is off by up to {abs(y - expected).max():.3g}. Are gamma, "
        "beta and eps where the formula has them, each channel by itself?",
    )


def _check_means(layer, means, variances, axes):
    for name, expected in (
        ("running_mean", np.mean(means, 0)),
        ("running_var", np.mean(variances, 0)),
    ):
        found = layer.statistics()[name]
        require(
            found.shape == (3,) and np.allclose(found, expected, atol=1e-5),
            f"x ({axes}), batches of 4, 9 and 2: {name} should be the mean of the three batches' own, all "
            f"three counting alike, {np.round(expected, 4)}; yours is {np.round(found, 4)}",
        )


def check_refusals(AveragingBatchNorm):
    """Other channels, and a training batch of one value each, are refused and not counted."""
    for shape, why in (((2, 4), "4 channels"), ((1, 3), "one value in each channel, in training")):
        layer = AveragingBatchNorm(3)
        try:
            layer.forward(np.ones(shape, np.float32), training=True)
        except ValueError:
            check_numbers(
                layer,
                (0, 1, 0),
                f"after a batch that was refused ({why}; refuse it before anything moves)",
            )
            continue
        raise CheckFailed(f"a layer of 3 channels should refuse x {shape}, {why}: ValueError")
    for shape, training, what in (
        ((1, 3), False, "at inference a batch of a single example"),
        (
            (1, 2, 2, 3),
            True,
            "in training a single film of 2 x 2 pixels, four values in each channel,",
        ),
    ):
        try:
            layer.forward(np.ones(shape, np.float32), training=training)
        except ValueError:
            raise CheckFailed(f"{what} must be accepted") from None
