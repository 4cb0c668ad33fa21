"""What the checks of task t2 ask of an optimizer: its steps by the formulas, its state."""

import numpy as np

from lessons.checking import require
from lessons.checks.gradients import Unchanged
from ums.layer import Parameter


def check_first_steps(AdamW):
    """Two steps of three weights, worked out by hand."""
    parameter = Parameter(np.array([[1.0, 1.0, 1.0]]))
    optimizer = AdamW([parameter], learning_rate=0.1)
    parameter.grad = np.array([[0.5, -8.0, 0.0]])
    optimizer.step()
    require(
        np.allclose(parameter.value, [[0.9, 1.1, 1.0]], atol=1e-6),
        "the first step is as long as the learning rate, 0.1, whatever the size of the gradient, and against "
        f"its sign: 1, 1, 1 with the gradients 0.5, -8, 0 become 0.9, 1.1, 1; yours {parameter.value[0]}. "
        "Are m and v corrected for their start at 0?",
    )
    parameter.grad = np.array([[-0.5, -8.0, 0.0]])
    optimizer.step()
    expected = 0.9 + 0.1 * (0.005 / 0.19) / 0.5
    require(
        np.allclose(parameter.value, [[expected, 1.2, 1.0]], atol=1e-6),
        "second step, gradients -0.5, -8, 0: m of the first is 0.9 * 0.05 - 0.1 * 0.5 = -0.005, corrected by "
        f"1 - 0.9^2, v corrected is 0.25: {expected:.5f}, 1.2, 1; yours {np.round(parameter.value[0], 5)}",
    )


def compare_steps(AdamW, start, gradients, settings):
    """Steps from `start` with these gradients, against :func:`by_formula`."""
    parameter = Parameter(start.copy())
    optimizer = AdamW([parameter], **settings)
    values = settings_of(settings)
    expected = [by_formula(*entry, **values) for entry in _entries(start, gradients)]
    for t, gradient in enumerate(gradients):
        parameter.grad = gradient.copy()
        given = Unchanged(gradient=parameter.grad)
        optimizer.step()
        given.check("Somebody may still add to it.")
        found, wanted = parameter.value.ravel(), np.array([steps[t] for steps in expected])
        require(
            np.allclose(found, wanted, rtol=1e-9, atol=1e-12),
            f"AdamW({', '.join(f'{k}={v}' for k, v in settings.items())}), step {t + 1}: the values are off "
            f"by up to {abs(found - wanted).max():.2g}. Compare term by term: what is squared, what is "
            "corrected by which power, what is under the root"
            f"{', where is the decay' * ('decay' in settings)}?",
        )


def settings_of(settings):
    """All settings of AdamW, the defaults of the text where none is given."""
    defaults = {"learning_rate": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "decay": 0.0}
    return defaults | settings


def _entries(start, gradients):
    for index in np.ndindex(start.shape):
        yield float(start[index]), [float(g[index]) for g in gradients]


def by_formula(x, gradients, learning_rate, beta1, beta2, eps, decay):
    """The value of one weight after each step, by the formulas of the text, in Python's numbers."""
    m, v, values = 0.0, 0.0, []
    for t, g in enumerate(gradients, start=1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        step = (m / (1 - beta1**t)) / ((v / (1 - beta2**t)) ** 0.5 + eps)
        x = x - learning_rate * (step + decay * x)
        values.append(x)
    return values


def check_decay(AdamW):
    """Decay shrinks weights, whatever their gradient, and leaves a bias alone."""
    weights, bias = Parameter(np.full((2, 2), 10.0)), Parameter(np.full(2, 10.0))
    kernel = Parameter(np.full((3, 3, 1, 2), 10.0))
    optimizer = AdamW([weights, bias, kernel], learning_rate=0.1, decay=0.5)
    for parameter in (weights, bias, kernel):
        parameter.grad = np.zeros(parameter.value.shape)
    optimizer.step()
    require(
        np.allclose(weights.value, 9.5),
        "weights of 10 without a slope, rate 0.1 and decay 0.5, shrink by the share 0.05, to 9.5; yours are "
        f"{weights.value[0, 0]:.6g}. The decay is no part of the gradient: it goes past m and v.",
    )
    require(
        np.allclose(kernel.value, 9.5),
        "weights of shape (3, 3, 1, 2) should shrink as those of shape (2, 2) do: a convolution's decay, too",
    )
    require(
        (bias.value == 10).all(),
        f"only arrays of two axes or more decay; a bias of 10 became {bias.value[0]:.6g}",
    )


def check_types(AdamW):
    """A step changes the array in place and keeps its type."""
    for dtype in (np.float32, np.float64):
        parameter = Parameter(np.ones((2, 3), dtype))
        array = parameter.value
        optimizer = AdamW([parameter], decay=0.1)
        for _ in range(2):
            parameter.grad = np.full((2, 3), 0.5, dtype)
            optimizer.step()
        require(
            parameter.value is array and array.dtype == dtype,
            f"a step must change the array parameter.value in place and keep its type, {np.dtype(dtype)}: "
            "the network, and whoever else holds the array, would not see another one",
        )
        require(abs(array - 1).max() > 1e-4, "the array parameter.value did not move at all")


def _run(AdamW, starts, gradients, **settings):
    """Values of parameters after steps; a gradient of None lets one rest."""
    parameters = [Parameter(np.array(start, dtype=float)) for start in starts]
    optimizer = AdamW(parameters, learning_rate=0.1, **settings)
    for of_step in gradients:
        for parameter, gradient in zip(parameters, of_step, strict=True):
            parameter.grad = None if gradient is None else np.array(gradient, dtype=float)
        optimizer.step()
    return [parameter.value for parameter in parameters]


def check_own_state(AdamW):
    """A parameter moves beside others as it does alone."""
    rng = np.random.default_rng(1)
    starts = [np.ones(3), np.ones(3), np.ones((3, 1)), np.zeros((2, 2))]
    gradients = [[rng.normal(size=start.shape) for start in starts] for _ in range(4)]
    together = _run(AdamW, starts, gradients)
    for i, start in enumerate(starts):
        alone = _run(AdamW, [start], [[of_step[i]] for of_step in gradients])[0]
        require(
            np.allclose(together[i], alone, rtol=1e-9),
            f"parameter {i}, {start.shape}, moves otherwise beside others than alone: does each have its own "
            "m, v and t, also those of the same shape and the same values?",
        )


def check_resting(AdamW):
    """A parameter without a gradient rests, and so does its state."""
    a, b = np.full((2, 2), 0.5), np.full((2, 2), -1.0)
    resting, other = _run(AdamW, [np.ones((2, 2))] * 2, [(a, a), (None, a)], decay=0.5)
    once = _run(AdamW, [np.ones((2, 2))], [(a,)], decay=0.5)[0]
    require(
        np.allclose(resting, once, rtol=1e-12),
        "a parameter whose gradient is None has no part in this step: it must stay as it is, without decay, "
        "and without a step from its old m",
    )
    require(not np.allclose(other, once), "the one after it, which has a gradient, must move on")
    rested = _run(AdamW, [np.ones((2, 2))] * 2, [(a, a), (a, None), (a, b)])[1]
    without = _run(AdamW, [np.ones((2, 2))], [(a,), (b,)])[0]
    require(
        np.allclose(rested, without, rtol=1e-9),
        "a parameter that has rested should go on where it was: its t counts its own steps only, and m and v "
        "stay as they are while it rests",
    )


def check_rate(AdamW):
    """The rate is read in each step, and gradients are left to the caller."""
    parameter = Parameter(np.ones((1, 1)))
    optimizer = AdamW([parameter], learning_rate=0.1)
    parameter.grad = np.ones((1, 1))
    optimizer.step()
    require(
        parameter.grad is not None and (parameter.grad == 1).all(),
        "step() should leave the gradients to the caller, who forgets them with zero_gradients()",
    )
    optimizer.learning_rate = 0.5
    optimizer.step()
    require(
        np.allclose(parameter.value, 1 - 0.1 - 0.5, atol=1e-6),
        "a schedule sets optimizer.learning_rate between steps: steps of 0.1 and 0.5 lead from 1 to 0.4, "
        f"yours to {parameter.value[0, 0]:.4g}",
    )


def check_apart(AdamW):
    """Two optimizers, one after the other, know nothing of each other; nor do later tests."""
    a = np.full((2, 2), 0.5)
    first = _run(AdamW, [np.ones((2, 2))], [(a,), (a,)])[0]
    second = _run(AdamW, [np.ones((2, 2))], [(a,), (a,)])[0]
    require(
        (first == second).all(),
        "a second optimizer, with the same gradients, moves otherwise than the first: is state kept outside "
        "of the object (an attribute of the class, a default argument, a global)?",
    )
