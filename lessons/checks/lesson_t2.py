"""Checks of task t2: an optimizer with its state, the epochs of a training, and the best of them."""

import numpy as np

from lessons.checking import CheckFailed, check, require
from lessons.checks.gradients import Unchanged
from ums.layer import Layer, Parameter

BATCH = 16


@check
def adamw_steps(AdamW):
    """the steps worked out by hand, ten steps against the formulas, any rate and any type."""
    _check_first_steps(AdamW)
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=(3, 2)), rng.normal(size=(10, 3, 2))
    gradients[4] *= 100
    for settings in (
        {}, {"beta1": 0.5, "beta2": 0.9}, {"eps": 0.1}, {"decay": 0.2}, {"learning_rate": 0.3},
    ):  # fmt: skip
        _compare_steps(AdamW, start, gradients, settings)
    _check_decay(AdamW)
    _check_types(AdamW)


def _check_first_steps(AdamW):
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


def _compare_steps(AdamW, start, gradients, settings):
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
            "corrected by which power, what stands under the root?",
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


def _check_decay(AdamW):
    weights, bias = Parameter(np.full((2, 2), 10.0)), Parameter(np.full(2, 10.0))
    optimizer = AdamW([weights, bias], learning_rate=0.1, decay=0.5)
    for parameter in (weights, bias):
        parameter.grad = np.zeros(parameter.value.shape)
    optimizer.step()
    require(
        np.allclose(weights.value, 9.5),
        "weights of 10 without a slope, rate 0.1 and decay 0.5, shrink by the share 0.05, to 9.5; yours are "
        f"{weights.value[0, 0]:.6g}. The decay is no part of the gradient: it goes past m and v.",
    )
    require(
        (bias.value == 10).all(),
        f"only arrays of two axes or more decay; a bias of 10 became {bias.value[0]:.6g}",
    )


def _check_types(AdamW):
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


@check
def adamw_state(AdamW):
    """each parameter has its own state and count, resting ones are left alone, rates may change."""
    _check_own_state(AdamW)
    _check_resting(AdamW)
    _check_rate(AdamW)
    _check_apart(AdamW)


def _run(AdamW, starts, gradients, **settings):
    """Values of parameters after steps; a gradient of None lets one rest."""
    parameters = [Parameter(np.array(start, dtype=float)) for start in starts]
    optimizer = AdamW(parameters, learning_rate=0.1, **settings)
    for of_step in gradients:
        for parameter, gradient in zip(parameters, of_step, strict=True):
            parameter.grad = None if gradient is None else np.array(gradient, dtype=float)
        optimizer.step()
    return [parameter.value for parameter in parameters]


def _check_own_state(AdamW):
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


def _check_resting(AdamW):
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


def _check_rate(AdamW):
    parameter = Parameter(np.ones((1, 1)))
    optimizer = AdamW([parameter], learning_rate=0.1)
    parameter.grad = np.ones((1, 1))
    optimizer.step()
    optimizer.learning_rate = 0.5
    optimizer.step()
    require(
        np.allclose(parameter.value, 1 - 0.1 - 0.5, atol=1e-6),
        "a schedule sets optimizer.learning_rate between steps: steps of 0.1 and 0.5 lead from 1 to 0.4, "
        f"yours to {parameter.value[0, 0]:.4g}",
    )
    require(
        parameter.grad is not None and (parameter.grad == 1).all(),
        "step() should leave the gradients to the caller, who forgets them with zero_gradients()",
    )


def _check_apart(AdamW):
    """Two optimizers, one after the other, know nothing of each other; nor do later tests."""
    a = np.full((2, 2), 0.5)
    first = _run(AdamW, [np.ones((2, 2))], [(a,), (a,)])[0]
    second = _run(AdamW, [np.ones((2, 2))], [(a,), (a,)])[0]
    require(
        (first == second).all(),
        "a second optimizer, with the same gradients, moves otherwise than the first: is state kept outside "
        "of the object (an attribute of the class, a default argument, a global)?",
    )


# ----------------------------------------------------------------------------- the training


class Probe(Layer):
    """y = x, and a diary of what is done to it; its one parameter counts the optimizer's steps."""

    def __init__(self):
        super().__init__()
        self.w, self.seen = Parameter(np.zeros((1, 1))), np.zeros(1)
        self.diary = []

    def forward(self, x, training=False, keep=True):
        self.diary.append(("training" if training else "inference", np.array(x[:, 0])))
        if training:
            self.seen += 1
        self.rows = len(x)
        return np.array(x)

    def backward(self, dy, input_gradient=True):
        self.diary.append(("backward", np.array(dy)))
        self.w.add(np.full((1, 1), float(self.rows)))
        return dy if input_gradient else None

    def statistics(self):
        return {"seen": self.seen}


class Counter:
    """An optimizer whose step adds 1 to the parameter."""

    def __init__(self, network):
        self.network, self.parameters, self.learning_rate = network, network.parameters(), 1.0

    def step(self):
        gradient = self.network.w.grad
        found = None if gradient is None else float(gradient[0, 0])
        self.network.diary.append(("step", found))
        self.network.w.value += 1


def _data(training, validation):
    """Examples whose x is their number, from 100 in validation, and whose target is 10 x."""
    sides = {"training": np.arange(training), "validation": 100 + np.arange(validation)}
    return {name: (1.0 * x[:, None], 10.0 * x[:, None]) for name, x in sides.items()}


def _train(fit, network, loss, data, epochs, seed=0):
    arrays = {f"data[{name!r}]": x for name, pair in data.items() for x in pair}
    kept = Unchanged(**arrays)
    history = fit(network, loss, Counter(network), data, np.random.default_rng(seed), epochs)
    kept.check("Examples are shuffled by drawing an order of row numbers.")
    return history


def _paired(prediction, target):
    require(
        prediction.shape == target.shape and np.allclose(10 * prediction, target),
        "the loss was called with targets that are not those of its examples: x and target must be taken "
        "by the same row numbers",
    )
    return 1.0, 2 * prediction


@check
def epochs(fit):
    """every epoch shows every example once, in a new order, and each batch makes one whole step."""
    network = Probe()
    _train(fit, network, _paired, _data(40, 20), 3)
    _check_batches(network.diary)
    _check_sequence(network.diary)
    orders = [_order(fit, seed) for seed in (0, 0, 1)]
    require(
        orders[0] == orders[1],
        "the same generator gives two orders: where does other chance come in?",
    )
    require(orders[0] != orders[2], "another generator gives the same order: is it drawn from rng?")
    require(
        len(_order(fit, 0, epochs=1)) == 40, "epochs=1 should be one pass through the 40 examples"
    )


def _order(fit, seed, epochs=2):
    network = Probe()
    _train(fit, network, _paired, _data(40, 4), epochs, seed)
    shown = [rows for what, rows in network.diary if what == "training"]
    require(
        len(shown) > 0, "no forward pass in training was made: network.forward(x, training=True)"
    )
    return np.concatenate(shown).tolist()


def _check_batches(diary):
    batches = [rows for what, rows in diary if what == "training"]
    sizes = [len(rows) for rows in batches]
    require(
        sizes == [16, 16, 8] * 3,
        f"40 examples in 3 epochs are batches of 16, 16 and 8 three times; yours were {sizes}",
    )
    shown = [np.concatenate(batches[3 * e : 3 * e + 3]) for e in range(3)]
    for e, rows in enumerate(shown):
        require(
            sorted(rows.tolist()) == list(range(40)),
            f"epoch {e + 1} should show each of the 40 training examples once; it showed "
            f"{len(set(rows.tolist()))} different ones",
        )
        require(rows.tolist() != sorted(rows.tolist()), f"epoch {e + 1} is not shuffled")
    require(
        shown[0].tolist() != shown[1].tolist() and shown[1].tolist() != shown[2].tolist(),
        "every epoch has the same order: draw a new one for each",
    )


def _check_sequence(diary):
    """forward, backward, step, and each step with the gradient of its own batch."""
    kinds = [what for what, _ in diary if what != "inference"]
    require(
        kinds == ["training", "backward", "step"] * 9,
        "each of the 9 batches should go forward in training, backward, and make one step, in this order; "
        f"yours begins {', '.join(kinds[:7])}",
    )
    steps = [gradient for what, gradient in diary if what == "step"]
    require(
        steps == [16, 16, 8] * 3,
        "a step should be made with the gradient of its own batch alone: gradients add up until the "
        "network is told to forget them (zero_gradients)",
    )
    backward = [dy for what, dy in diary if what == "backward"]
    forward = [rows for what, rows in diary if what == "training"]
    require(
        all(np.allclose(dy[:, 0], 2 * rows) for dy, rows in zip(backward, forward, strict=True)),
        "backward should be given the gradient that the loss returned for this batch",
    )


@check
def best_epoch(fit):
    """losses are means over examples, the best epoch is kept whole, and what diverges is put back."""
    for losses, best in (((5, 3, 4, 2, 6), 3), ((2, 3, 4), 0), ((4, 1, 1, 2), 1), ((3, 2, 1), 2)):
        network = Probe()
        history = _train(fit, network, _scripted(network, losses), _data(40, 20), len(losses))
        _check_history(history, losses, best)
        _check_kept(network, best, f"validation losses {losses}")
    _check_inference(fit)
    for bad in (np.nan, np.inf):
        _check_diverged(fit, (3, 2, bad), 1, f"a validation loss of {bad} in epoch 3")
        _check_diverged(fit, (bad, 2), None, f"a validation loss of {bad} in the first epoch")
    _check_training_diverged(fit)


def _scripted(network, losses):
    """A loss that is losses[e] on average in validation after epoch e, and e + 1 in training.

    It depends on the example, so that a mean over batches is not one over examples.
    """

    def loss(prediction, target):
        epoch = int(network.w.value[0, 0])  # 3 steps to an epoch of 40
        if prediction[0, 0] >= 100:
            offsets = (prediction[:, 0] >= 116) * 5.0 - 1.0  # 16 of -1, 4 of 4: mean 0
            return losses[epoch // 3 - 1] + float(offsets.mean()), prediction * 0
        last = len(prediction) < BATCH
        return epoch // 3 + (1.0 + 4.0 if last else 0.0), prediction * 0

    return loss


def _check_history(history, losses, best):
    require(
        isinstance(history, dict) and {"training", "validation", "best"} <= history.keys(),
        "fit should return a dictionary with 'training', 'validation' and 'best', got "
        + (f"one with {list(history)}" if isinstance(history, dict) else type(history).__name__),
    )
    found = [float(value) for value in history["validation"]]
    require(
        np.allclose(found, losses) if len(found) == len(losses) else False,
        f"20 validation examples whose mean loss is {losses} in these epochs: yours {np.round(found, 4)}. "
        "Their batches have 16 and 4 examples: does each example count the same?",
    )
    # Two batches of 16 with the loss e, one of 8 with e + 5: on average e + 1.
    expected = [e + 1.0 for e in range(len(losses))]
    found = [float(value) for value in history["training"]]
    require(
        np.allclose(found, expected) if len(found) == len(expected) else False,
        f"40 training examples whose mean loss is {expected} in these epochs: yours {np.round(found, 4)}. "
        "Their batches have 16, 16 and 8 examples: does each example count the same?",
    )
    require(
        history["best"] == best,
        f"validation losses {losses}: the best epoch, counted from 0, is {best} (the first, where there are "
        f"equals), yours {history['best']}",
    )


def _check_kept(network, best, where):
    steps, seen = float(network.w.value[0, 0]), float(network.seen[0])
    wanted = 0 if best is None else 3 * (best + 1)
    whose = "from before the training" if best is None else f"of epoch {best}, after {wanted} steps"
    require(
        steps == wanted,
        f"{where}: the network should be left with the weights {whose}; it has those of step {steps:g}. What "
        "the optimizer changes in place must be kept as a copy.",
    )
    require(
        seen == wanted,
        f"{where}: the weights are those {whose}, but the running statistics are not: they belong together",
    )


def _check_inference(fit):
    network = Probe()
    _train(fit, network, _scripted(network, (1, 1)), _data(40, 20), 2)
    shown = [rows for what, rows in network.diary if what == "inference"]
    rows = np.concatenate(shown) if shown else np.empty(0)
    require(
        sorted(rows.tolist()) == sorted(list(range(100, 120)) * 2),
        "in each epoch each validation example should go through the network once, at inference; in 2 epochs "
        f"of 20 examples yours shows {len(rows)}",
    )
    kinds = [what for what, _ in network.diary]
    first = kinds.index("inference")
    require(
        kinds[:first].count("step") == 3, "the validation of an epoch comes after all its steps"
    )


def _check_diverged(fit, losses, best, where):
    network = Probe()
    _refused(fit, network, _scripted(network, losses), _data(40, 20), len(losses), where)
    _check_kept(network, best, f"{where}, FloatingPointError raised")


def _check_training_diverged(fit):
    network = Probe()
    scripted = _scripted(network, (3, 2, 1))

    def loss(prediction, target):
        value, gradient = scripted(prediction, target)
        broken = prediction[0, 0] < 100 and network.w.value[0, 0] == 4
        return (np.nan if broken else value), gradient

    where = "a training loss of nan in the second batch of epoch 2"
    _refused(fit, network, loss, _data(40, 20), 3, where)
    _check_kept(network, 0, f"{where}, FloatingPointError raised")


def _refused(fit, network, loss, data, epochs, where):
    try:
        _train(fit, network, loss, data, epochs)
    except FloatingPointError:
        return
    except (ValueError, ArithmeticError, RuntimeError) as error:
        found = f"fit raised {type(error).__name__}"
    else:
        found = "it did not"
    raise CheckFailed(f"{where}: fit should raise FloatingPointError, and {found}")
